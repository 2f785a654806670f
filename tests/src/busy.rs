//! Testkit: a node on a slow machine: each message takes it some time, and the others wait as they do in the shell.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ims_common::net::{NetInput, NetOutput, SipInput};
use ims_common::node::{Metrics, Node, earliest};
use ims_common::overload::{Excess, Next, Waiting, WaitingLimits};
use ims_common::why::Note;

/// A refusal costs so many times less than a message that is served.
const REFUSAL_IS_CHEAPER: u32 = 20;

/// A node on a slow machine.
pub struct Busy<N> {
    node: N,
    /// What one message takes.
    service: Duration,
    waiting: Waiting<NetInput>,
    /// What found no place.
    excess: VecDeque<NetInput>,
    free_at: Instant,
}

impl<N: Node<Input = NetInput, Output = NetOutput>> Busy<N> {
    /// `node` on a machine on which one message takes `service`, with the shell's limits.
    pub const fn new(now: Instant, node: N, service: Duration, limits: WaitingLimits) -> Self {
        Self {
            node,
            service,
            waiting: Waiting::new(limits),
            excess: VecDeque::new(),
            free_at: now,
        }
    }
}

impl<N: Node<Input = NetInput, Output = NetOutput>> Node for Busy<N> {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        let NetInput::Sip(SipInput::Received { flow, message }) = &input else {
            return self.node.handle(now, input);
        };
        let work = self.node.work_of(flow, message);
        if let Some(Excess::Refuse(oldest)) = self.waiting.push(now, work, input) {
            self.excess.push_back(oldest);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            return self.node.handle_timeout(now);
        }
        if let Some(input) = self.excess.pop_front() {
            return self.node.handle(now, excess(input));
        }
        if self.free_at > now {
            return;
        }
        match self.waiting.pop(now) {
            None => {}
            Some(Next::Serve(input)) => {
                self.free_at = now + self.service;
                self.node.handle(now, input);
            }
            Some(Next::Refuse(input)) => {
                self.free_at = now + self.service / REFUSAL_IS_CHEAPER;
                self.node.handle(now, excess(input));
            }
        }
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.node.poll_note()
    }

    fn poll_output(&mut self) -> Option<NetOutput> {
        self.node.poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let waits = !self.waiting.is_empty() || !self.excess.is_empty();
        earliest(self.node.poll_timeout(), waits.then_some(self.free_at))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.node.metrics(out);
    }
}

fn excess(input: NetInput) -> NetInput {
    match input {
        NetInput::Sip(SipInput::Received { flow, message }) => {
            NetInput::Sip(SipInput::Excess { flow, message })
        }
        other => other,
    }
}
