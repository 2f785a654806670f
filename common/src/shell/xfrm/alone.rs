//! Shell: the kernel's IPsec for a program without a node: very many phones, or a measurement.

use std::future::poll_fn;
use std::task::Poll;

use super::{Lack, Trial, Xfrm};
use crate::ipsec::{ProtectedPorts, XfrmInput, XfrmOutput};

/// Security associations of the network namespace in which it was started.
pub struct KernelSets(Xfrm);

impl KernelSets {
    /// Checks the kernel and installs the policies of these ports; none where there are no ports.
    ///
    /// # Errors
    /// One line: what this machine lacks, and the remedy.
    pub fn start(ports: &ProtectedPorts) -> Result<Self, String> {
        Xfrm::start(ports).map(Self)
    }

    /// What this machine lacks for these ports, when it can have none of their pairs of algorithms; nothing is left in
    /// the kernel by the question.
    #[must_use]
    pub fn lack(ports: &ProtectedPorts) -> Option<Lack> {
        match Trial::of(ports) {
            Ok(trial) if trial.lacks.len() < trial.tried => None,
            Ok(trial) => trial.lacks.into_iter().next(),
            Err(lack) => Some(lack),
        }
    }

    /// Asks; [`Self::answer`] gives what becomes of it.
    pub fn ask(&mut self, request: XfrmOutput) {
        // Whoever has connections closes them.
        self.0.ask(request);
    }

    /// The next answer. Nothing is lost when nobody waits any more.
    pub async fn answer(&mut self) -> XfrmInput {
        loop {
            if let Some((answer, _)) = self.0.next() {
                return answer;
            }
            poll_fn(|task| match self.0.poll(task) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
        }
    }

    /// Removes all states, then all policies.
    pub async fn end(self) {
        self.0.remove_states().await;
        self.0.remove_policies().await;
    }
}
