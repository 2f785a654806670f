//! Shell: how a driver ends: the drain that a signal or an operator asks for, the last writes, the kernel's IPsec.

use std::time::{Duration, Instant};

use super::{Driver, Phase};
use crate::net::{Command, Interface, NetInput};
use crate::node::Sharded;
use crate::shell::Event;
use crate::shell::stream::until;

/// How long the last writes may take after the node has ended.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

impl<N: Sharded> Driver<N> {
    pub(super) fn on_signal(&mut self, now: Instant, signal: &'static str) {
        match self.phase {
            Phase::Serving => {
                self.begin_drain(now, signal);
                self.signalled();
            }
            // A supervisor that ends what an operator has begun to drain says so once.
            Phase::Draining { signalled: false, .. } => self.signalled(),
            Phase::Draining { .. } => {
                tracing::warn!(signal, "second signal: ending with work in progress");
                self.phase = Phase::Over;
            }
            Phase::Over => {}
        }
    }

    /// Remembers that a signal has asked for the drain.
    fn signalled(&mut self) {
        if let Phase::Draining { signalled, .. } = &mut self.phase {
            *signalled = true;
        }
    }

    pub(super) fn begin_drain(&mut self, now: Instant, cause: &'static str) {
        if self.phase != Phase::Serving {
            return;
        }
        if self.is_first() {
            tracing::info!(cause, timeout = ?self.shell.drain_timeout, "draining");
            self.shell.supervisor.stopping(self.shell.name, cause);
        }
        self.phase = Phase::Draining {
            until: now + self.shell.drain_timeout,
            signalled: false,
        };
        self.tell(now, NetInput::Command(Command::Drain));
    }

    /// The states go while the sockets are open, and the policies when they are closed.
    pub(super) async fn end_protection(&mut self) {
        let Some(xfrm) = self.shell.xfrm.take() else {
            return;
        };
        xfrm.remove_states().await;
        self.shell
            .udp
            .retain(|side| side.interface() != Interface::GmProtected);
        for accept in self.shell.protected_accepts.drain(..) {
            accept.abort();
            // Aborted: then its socket is closed.
            let _ = accept.await;
        }
        xfrm.remove_policies().await;
    }

    /// Lets the last writes out, then ends.
    pub(super) async fn flush(&mut self) {
        self.shell.streams.close_all();
        self.shell.diameter.close_all();
        let deadline = Instant::now() + FLUSH_PATIENCE;
        while self.shell.streams.len() > 0 || self.shell.diameter.is_closing() {
            tokio::select! {
                event = self.shell.events.recv() => match event {
                    Some(Event::SipEnded(id)) => {
                        self.shell.streams.ended(id);
                    }
                    Some(Event::DiameterEnded(connection)) => drop(self.shell.diameter.ended(connection)),
                    // Nobody listens any more.
                    Some(_) => {}
                    None => return,
                },
                () = until(Some(deadline)) => return,
            }
        }
    }
}
