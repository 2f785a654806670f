//! Testkit: a node that a driver runs and a program steers and watches.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use ims_common::net::{Command, NetInput, NetOutput};
use ims_common::node::{Metrics, Node, earliest};

/// How often the node looks for something to do.
const PERIOD: Duration = Duration::from_millis(10);
/// How long the driver's thread may do something else: a card in a reader may take its time with a challenge.
const ASKING: Duration = Duration::from_secs(60);
/// Longer than any program of ours runs.
const FOR_GOOD: Duration = Duration::from_secs(1_000_000);

type Act<N> = Box<dyn FnOnce(Instant, &mut N) + Send>;

/// A node with a string attached: what comes through a [`Handle`] is done on the driver's own thread.
pub struct Remote<N> {
    node: N,
    acts: Receiver<Act<N>>,
    watch: Box<dyn FnMut(Instant, Seen<'_>) + Send>,
    next: Instant,
    now: Instant,
}

/// What the watcher of a [`Remote`] is shown.
#[derive(Debug)]
pub enum Seen<'a> {
    /// An input, before the node takes it.
    Input(&'a NetInput),
    /// An output, after the node gave it.
    Output(&'a NetOutput),
}

/// The other end of the string.
pub struct Handle<N> {
    acts: Sender<Act<N>>,
}

impl<N> Handle<N> {
    /// Has `act` done to the node; nothing happens when the node is gone.
    pub fn act(&self, act: impl FnOnce(Instant, &mut N) + Send + 'static) {
        let _ = self.acts.send(Box::new(act));
    }

    /// Asks the node; `None` when it is gone.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(Instant, &mut N) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = channel();
        self.act(move |now, node| {
            let _ = answer.send(question(now, node));
        });
        answered.recv_timeout(ASKING).ok()
    }
}

impl<N> Clone for Handle<N> {
    fn clone(&self) -> Self {
        Self {
            acts: self.acts.clone(),
        }
    }
}

impl<N> Remote<N> {
    /// Ties a string to a node; `now` is the first instant at which it looks.
    pub fn new(
        node: N,
        now: Instant,
        watch: impl FnMut(Instant, Seen<'_>) + Send + 'static,
    ) -> (Self, Handle<N>) {
        let (acts, receiver) = channel();
        let remote = Self {
            node,
            acts: receiver,
            watch: Box::new(watch),
            next: now,
            now,
        };
        (remote, Handle { acts })
    }
}

impl<N: Node<Input = NetInput, Output = NetOutput>> Remote<N> {
    fn look(&mut self, now: Instant) {
        self.next = now + PERIOD;
        loop {
            match self.acts.try_recv() {
                Ok(act) => act(now, &mut self.node),
                Err(TryRecvError::Empty) => return,
                // Nobody holds the other end any more.
                Err(TryRecvError::Disconnected) => {
                    self.next = now + FOR_GOOD;
                    return;
                }
            }
        }
    }
}

impl<N: Node<Input = NetInput, Output = NetOutput>> Node for Remote<N> {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        self.now = now;
        (self.watch)(now, Seen::Input(&input));
        // The program decides when its nodes end, not the signal that the driver heard.
        if matches!(input, NetInput::Command(Command::Drain)) {
            return;
        }
        self.node.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.next <= now {
            self.look(now);
        }
        self.node.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<NetOutput> {
        let output = self.node.poll_output()?;
        (self.watch)(self.now, Seen::Output(&output));
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.node.poll_timeout(), Some(self.next))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.node.metrics(out);
    }
}
