//! Shell: the kernel's IPsec (XFRM): security associations for a node, over netlink (RFC 4301, TS 33.203 7).
//!
//! * Before the protected sockets are bound, [`Xfrm::start`] checks the kernel and installs the shared policies.
//! * One thread asks the kernel, so that no slow kernel stops a node; requests that wait are limited.
//! * A set is installed whole or not at all; every state has a hard lifetime, so that a crash leaves nothing for long;
//!   what vanishes is told.
//! * At the end the states go first, then the driver closes its sockets, then the policies go: as long as a state
//!   decrypts there is a socket, and the kernel never quotes a decrypted message in an ICMP error in clear; as long as
//!   there is a socket, clear text does not reach it. After a crash, when the states still decrypt, a policy keeps the
//!   errors in (port unreachable, of the protected addresses, whatever port it is about).
//! * What is not ours (by reqid and address, and for policies by priority too) is never touched; nothing is ever flushed.
//! * Keys: requests and lists are wiped after use, and no library logs them, for none but the codec sees them.

mod alone;
mod figures;
mod message;
mod netlink;
mod sets;
mod start;
mod trial;
mod watch;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use self::alone::KernelSets;
use self::figures::{Figures, Outcome};
pub use self::start::Lack;
pub(crate) use self::trial::Trial;
pub(crate) use self::watch::Growth;
use self::worker::{Task, Told};
use crate::ipsec::{GoneCause, ProtectedPorts, SaSetId, SaState, XfrmFailure, XfrmInput, XfrmOutput};
use crate::node::Metrics;
use crate::operate::SaRow;

/// How long the end waits for the states to be removed, and for the policies. What is left has its lifetime.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// Growths of the kernel's counters that may wait to be heard.
const GROWTHS_MAX: usize = 256;

/// A driver's way to the kernel's IPsec.
pub(crate) struct Xfrm {
    tasks: mpsc::UnboundedSender<Task>,
    answers: mpsc::UnboundedReceiver<XfrmInput>,
    growths: mpsc::Receiver<Growth>,
    /// How the kernel's counters have grown, to be told.
    grown: VecDeque<Growth>,
    /// Answers that are there, to be told in their order.
    heard: VecDeque<XfrmInput>,
    figures: Arc<Figures>,
    requests_max: usize,
    connections: Connections,
}

impl Xfrm {
    /// Checks the kernel, removes what an earlier life left, installs the policies, starts the thread.
    ///
    /// # Errors
    /// One line: what this machine lacks, and the remedy.
    pub(crate) fn start(ports: &ProtectedPorts) -> Result<Self, String> {
        let (tasks, receiver) = mpsc::unbounded_channel();
        let (sender, answers) = mpsc::unbounded_channel();
        let (growth, growths) = mpsc::channel(GROWTHS_MAX);
        let figures = Arc::new(Figures::default());
        let told = Told {
            answers: sender,
            growth,
        };
        start::start(ports, receiver, told, Arc::clone(&figures))?;
        Ok(Self {
            tasks,
            answers,
            growths,
            grown: VecDeque::new(),
            heard: VecDeque::new(),
            figures,
            requests_max: ports.requests_max,
            connections: Connections::default(),
        })
    }

    /// Asks; the answer comes later. Whose connections end with it, is told at once.
    ///
    /// New sets are refused when too many requests wait. Sets that exist are always served: each waits at most with
    /// as many requests as its UE has caused.
    pub(crate) fn ask(&mut self, request: XfrmOutput) -> Vec<Ends> {
        let mut ended = Vec::new();
        match &request {
            XfrmOutput::Install { set, .. } => {
                if self.figures.waiting() >= self.requests_max {
                    let failure = XfrmFailure::Busy;
                    self.figures.count(Outcome::NotInstalled(failure));
                    self.heard
                        .push_back(XfrmInput::InstallFailed { id: set.id, failure });
                    return ended;
                }
                self.connections.add(set.id, &set.states);
            }
            XfrmOutput::Remove { id } => ended = self.connections.remove(*id),
            XfrmOutput::Extend { .. } => {}
        }
        self.figures.asked();
        if let Err(mpsc::error::SendError(Task::Xfrm(request))) = self.tasks.send(Task::Xfrm(request)) {
            // The thread ends only after this has.
            self.figures.answered();
            self.heard.push_back(without_ipsec(&request));
        }
        ended
    }

    /// Whether there are answers; if not, the task is woken when there are.
    pub(crate) fn poll(&mut self, task: &mut TaskContext<'_>) -> bool {
        while let Poll::Ready(Some(answer)) = self.answers.poll_recv(task) {
            self.heard.push_back(answer);
        }
        while let Poll::Ready(Some(growth)) = self.growths.poll_recv(task) {
            self.grown.push_back(growth);
        }
        !self.heard.is_empty() || !self.grown.is_empty()
    }

    /// How a counter of the kernel has grown, and the next one.
    pub(crate) fn next_growth(&mut self) -> Option<Growth> {
        self.grown.pop_front()
    }

    /// The next answer, and whose connections end with it.
    pub(crate) fn next(&mut self) -> Option<(XfrmInput, Vec<Ends>)> {
        let answer = self.heard.pop_front()?;
        let ended = match &answer {
            XfrmInput::Gone { id, .. } | XfrmInput::InstallFailed { id, .. } => self.connections.remove(*id),
            XfrmInput::Installed { .. } | XfrmInput::Extended { .. } | XfrmInput::Removed { .. } => {
                Vec::new()
            }
        };
        Some((answer, ended))
    }

    /// Lists the sets for an operator.
    pub(crate) fn list(&self, answer: oneshot::Sender<Vec<SaRow>>) {
        // A thread that has ended drops the question.
        let _ = self.tasks.send(Task::List(answer));
    }

    /// Removes all states. The sockets must be open until this has ended.
    pub(crate) async fn remove_states(&self) {
        self.finish(Task::RemoveStates).await;
    }

    /// Removes the policies and ends. The sockets must be closed.
    pub(crate) async fn remove_policies(self) {
        self.finish(Task::RemovePolicies).await;
    }

    async fn finish(&self, task: impl FnOnce(oneshot::Sender<()>) -> Task) {
        let (done, is_done) = oneshot::channel();
        if self.tasks.send(task(done)).is_ok() && timeout(END_PATIENCE, is_done).await.is_err() {
            tracing::warn!("the kernel is slow: what is left of IPsec is removed at the next start");
        }
    }

    /// Copies the counters to `out`.
    pub(crate) fn export(&self, out: &mut Metrics) {
        self.figures.export(out);
    }
}

/// The answers of a shell that has no way to the kernel's IPsec.
pub(crate) fn without_ipsec(request: &XfrmOutput) -> XfrmInput {
    match request {
        XfrmOutput::Install { set, .. } => XfrmInput::InstallFailed {
            id: set.id,
            failure: XfrmFailure::NoIpsec,
        },
        XfrmOutput::Extend { set, .. } => XfrmInput::Gone {
            id: set.id,
            cause: GoneCause::Deleted,
        },
        XfrmOutput::Remove { id } => XfrmInput::Removed { id: *id },
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// Which connections live only as long as a set. One that lost its security association would not notice for long:
/// what it sends is dropped without a word.
#[derive(Debug, Default)]
struct Connections {
    by_set: BTreeMap<SaSetId, [Ends; 2]>,
    /// How many sets carry these ends: a UE may keep its client port.
    carried: BTreeMap<Ends, usize>,
}

impl Connections {
    fn add(&mut self, id: SaSetId, states: &[SaState; 4]) {
        // Rows 2 and 3 of TS 33.203 7.1 are ours to the UE.
        let [_, to_client, to_server, _] = states;
        let ends = [to_client, to_server].map(|state| Ends {
            local: state.source,
            remote: state.destination,
        });
        if let Some(before) = self.by_set.insert(id, ends) {
            self.release(before);
        }
        for ends in ends {
            *self.carried.entry(ends).or_default() += 1;
        }
    }

    /// The ends that no set carries any more.
    fn remove(&mut self, id: SaSetId) -> Vec<Ends> {
        let ends = self.by_set.remove(&id);
        ends.map_or_else(Vec::new, |ends| self.release(ends))
    }

    fn release(&mut self, ends: [Ends; 2]) -> Vec<Ends> {
        let mut free = Vec::new();
        for ends in ends {
            let count = self.carried.get(&ends).copied().unwrap_or(0);
            if count > 1 {
                self.carried.insert(ends, count - 1);
            } else {
                self.carried.remove(&ends);
                free.push(ends);
            }
        }
        free
    }
}

#[cfg(test)]
mod tests;
