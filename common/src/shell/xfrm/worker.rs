//! Shell: the one thread that asks the kernel: installs, extends and removes sets, and tells what vanished.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::figures::{Figures, Outcome, state_row};
use super::message::{
    self, Notice, Request, SeenPolicy, SeenState, StateKey, Verb, delete_policy, delete_state, dump_policies,
    dump_states, get_state,
};
use super::netlink::{Ack, Heard, Netlink, Notices};
use super::sets::Sets;
use super::watch::{Failures, Growth, PROTO_ERROR, Watch};
use crate::ipsec::{GoneCause, ProtectedPorts, SaSet, SaSetId, SaState, XfrmFailure, XfrmInput, XfrmOutput};
use crate::operate::SaRow;

/// Requests that are served before notices get their turn.
const BATCH: usize = 32;
/// Sets that one answer to an operator lists.
const LISTED_MAX: usize = 250;
/// Rest before states are listed again, when listing failed.
const RESYNC_PAUSE: Duration = Duration::from_secs(1);

/// How often the kernel's counters are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What the thread is asked.
pub(super) enum Task {
    Xfrm(XfrmOutput),
    /// The latest sets and what they have carried.
    List(oneshot::Sender<Vec<SaRow>>),
    /// All states of ours.
    RemoveStates(oneshot::Sender<()>),
    /// All policies of ours; the last task.
    RemovePolicies(oneshot::Sender<()>),
}

/// Whom the thread tells.
pub(super) struct Told {
    pub(super) answers: mpsc::UnboundedSender<XfrmInput>,
    /// What nobody reads is left out.
    pub(super) growth: mpsc::Sender<Growth>,
}

pub(super) struct Worker {
    pub(super) ports: ProtectedPorts,
    pub(super) netlink: Netlink,
    pub(super) sets: Sets,
    pub(super) told: Told,
    pub(super) figures: Arc<Figures>,
}

impl Worker {
    /// Until the policies are removed. A driver that is gone without a word has its states and policies removed too.
    pub(super) async fn run(mut self, mut tasks: mpsc::UnboundedReceiver<Task>, mut notices: Notices) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut watch = Watch::new();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = looks.tick() => self.look(&mut watch),
                heard = notices.hear() => self.on_heard(heard).await,
                count = tasks.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        self.remove_states();
                        self.remove_policies();
                        return;
                    }
                    for task in batch.drain(..) {
                        if self.perform(task) == Turn::Last {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn perform(&mut self, task: Task) -> Turn {
        // Whoever asked may have gone meanwhile.
        match task {
            Task::Xfrm(request) => {
                let answer = match request {
                    XfrmOutput::Install { set, lifetime } => self.install(&set, lifetime),
                    XfrmOutput::Extend { set, lifetime } => self.extend(&set, lifetime),
                    XfrmOutput::Remove { id } => self.remove(id),
                };
                self.figures.answered();
                self.tell(answer);
            }
            Task::List(answer) => drop(answer.send(self.list())),
            Task::RemoveStates(done) => {
                self.remove_states();
                let _ = done.send(());
            }
            Task::RemovePolicies(done) => {
                self.remove_policies();
                let _ = done.send(());
                return Turn::Last;
            }
        }
        Turn::More
    }

    fn tell(&self, input: XfrmInput) {
        self.figures.sets(self.sets.len());
        let _ = self.told.answers.send(input);
    }

    /// All four states, or none.
    fn install(&mut self, set: &SaSet, lifetime: Duration) -> XfrmInput {
        let now = Instant::now();
        let id = set.id;
        let adds = |state| message::state(Verb::Add, &self.ports, set, state, lifetime);
        let acks = self.netlink.exchange(&mut set.states.each_ref().map(adds));
        let Some(failure) = failure(&acks) else {
            self.sets.insert(now, id, set.states);
            self.figures.count(Outcome::Installed);
            return XfrmInput::Installed { id };
        };
        self.delete(to_undo(&set.states, &acks));
        self.figures.count(Outcome::NotInstalled(failure));
        tracing::warn!(
            set = id.0,
            failure = failure.label(),
            ?acks,
            "security associations not installed (TS 33.203 7.1)"
        );
        XfrmInput::InstallFailed { id, failure }
    }

    /// The kernel counts a lifetime from when the state was first added.
    fn extend(&mut self, set: &SaSet, lifetime: Duration) -> XfrmInput {
        let id = set.id;
        let Some(since) = self.sets.since(id) else {
            return self.gone(id, GoneCause::Deleted);
        };
        let time_hard = since.elapsed() + lifetime;
        let updates = |state| message::state(Verb::Update, &self.ports, set, state, time_hard);
        let acks = self.netlink.exchange(&mut set.states.each_ref().map(updates));
        if let Some(failure) = failure(&acks) {
            tracing::warn!(
                set = id.0,
                failure = failure.label(),
                ?acks,
                "security associations not extended"
            );
            return self.gone(id, GoneCause::Deleted);
        }
        self.figures.count(Outcome::Extended);
        XfrmInput::Extended { id }
    }

    fn remove(&mut self, id: SaSetId) -> XfrmInput {
        if let Some(states) = self.sets.remove(id) {
            self.delete(states.iter().map(Into::into).collect());
        }
        self.figures.count(Outcome::Removed);
        XfrmInput::Removed { id }
    }

    /// What is left of the set goes too.
    fn gone(&mut self, id: SaSetId, cause: GoneCause) -> XfrmInput {
        if let Some(states) = self.sets.remove(id) {
            self.delete(states.iter().map(Into::into).collect());
        }
        self.figures.count(Outcome::Gone(cause));
        tracing::info!(
            set = id.0,
            cause = cause.label(),
            "security associations vanished"
        );
        XfrmInput::Gone { id, cause }
    }

    /// States that are gone already are no error. What cannot be deleted ends with its lifetime.
    fn delete(&mut self, keys: Vec<StateKey>) {
        let mut requests: Vec<Request> = keys.iter().map(delete_state).collect();
        for ack in self.netlink.exchange(&mut requests) {
            if !matches!(ack, Ack::Done | Ack::Refused(libc::ESRCH)) {
                self.figures.count(Outcome::NotDeleted);
                tracing::warn!(?ack, "a state was not deleted");
            }
        }
    }

    async fn on_heard(&mut self, heard: io::Result<Heard>) {
        match heard {
            Ok(Heard::Notices(notices)) => {
                for notice in notices {
                    self.on_notice(notice);
                }
            }
            Ok(Heard::Lost) => self.resync("notices were lost"),
            Err(error) => {
                tracing::warn!(%error, "no notices from the kernel");
                tokio::time::sleep(RESYNC_PAUSE).await;
                self.resync("notices were not readable");
            }
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        let (key, cause) = match notice {
            Notice::Expired(key) => (key, GoneCause::Expired),
            Notice::Deleted(key) => (key, GoneCause::Deleted),
            Notice::Flushed => return self.resync("somebody deleted all states"),
        };
        if let Some(id) = self.sets.by_state(&key) {
            let gone = self.gone(id, cause);
            self.tell(gone);
        }
    }

    /// Makes the table and the kernel agree.
    fn resync(&mut self, why: &'static str) {
        self.figures.count(Outcome::Resync);
        let mut seen = BTreeSet::new();
        let ports = &self.ports;
        let listed = self.netlink.dump(dump_states(), |body| {
            seen.extend(SeenState::parse(body).filter(|s| s.is_ours(ports)).map(|s| s.key));
        });
        if let Err(error) = listed {
            // What has expired meanwhile is found with the next notice that is lost, or when it is extended.
            tracing::warn!(%error, why, "states cannot be listed");
            return;
        }
        let difference = self.sets.compare(&seen);
        tracing::warn!(
            why,
            vanished = difference.broken.len(),
            strays = difference.strays.len(),
            "states of the kernel compared with ours"
        );
        self.delete(difference.strays);
        for id in difference.broken {
            let gone = self.gone(id, GoneCause::Deleted);
            self.tell(gone);
        }
    }

    /// The latest sets, one by one: a list of all states would stop the others for long.
    fn list(&mut self) -> Vec<SaRow> {
        let listed = || self.sets.latest().take(LISTED_MAX);
        let mut questions: Vec<Request> = listed()
            .flat_map(|(_, states)| states.iter().map(|state| get_state(&state.into())))
            .collect();
        let mut seen = BTreeMap::new();
        self.netlink.ask_all(&mut questions, |body| {
            seen.extend(SeenState::parse(body).map(|state| (state.key, state)));
        });
        let figures = |state: &SaState| state_row(state, seen.get(&state.into()));
        listed()
            .map(|(id, states)| SaRow {
                node: String::new(),
                id: id.0,
                states: states.iter().map(figures).collect(),
            })
            .collect()
    }

    /// How the kernel's counters have grown; of integrity checks that failed, over which states.
    fn look(&mut self, watch: &mut Watch) {
        for (counter, more) in watch.look() {
            let known = match counter {
                PROTO_ERROR => watch.failures.of_states(self.integrity_failures()),
                _ => Vec::new(),
            };
            let counted = known.iter().map(|growth| growth.more).sum();
            let rest = Growth::of_nobody(counter, more.saturating_sub(counted));
            for growth in known.into_iter().chain(rest) {
                let _ = self.told.growth.try_send(growth);
            }
        }
    }

    /// The states of the latest sets over which a check has failed, and how often.
    fn integrity_failures(&mut self) -> Failures {
        let listed = self.list();
        let states = listed.into_iter().flat_map(|set| set.states);
        states
            .filter(|state| state.integrity_failed > 0)
            .map(|state| ((state.spi, state.source.ip()), state.integrity_failed))
            .collect()
    }

    /// Of this life, and what is left of earlier ones. Says how many there were.
    pub(super) fn remove_states(&mut self) -> usize {
        let mut seen = Vec::new();
        let ports = &self.ports;
        let listed = self.netlink.dump(dump_states(), |body| {
            seen.extend(SeenState::parse(body).filter(|s| s.is_ours(ports)).map(|s| s.key));
        });
        if let Err(error) = listed {
            tracing::warn!(%error, "states cannot be listed");
            seen = self
                .sets
                .latest()
                .flat_map(|(_, states)| states.iter().map(StateKey::from))
                .collect();
        }
        self.sets = Sets::default();
        self.figures.sets(0);
        let count = seen.len();
        self.delete(seen);
        count
    }

    /// Of this life, and what is left of earlier ones. Says how many there were.
    pub(super) fn remove_policies(&mut self) -> usize {
        let mut requests: Vec<Request> = self.policies().iter().map(delete_policy).collect();
        for ack in self.netlink.exchange(&mut requests) {
            if !matches!(ack, Ack::Done | Ack::Refused(libc::ENOENT | libc::ESRCH)) {
                tracing::warn!(?ack, "a policy was not deleted");
            }
        }
        self.figures.policies(0);
        requests.len()
    }

    /// Our policies in the kernel.
    pub(super) fn policies(&mut self) -> Vec<SeenPolicy> {
        let mut seen = Vec::new();
        let ports = &self.ports;
        let listed = self.netlink.dump(dump_policies(), |body| {
            seen.extend(SeenPolicy::parse(body).filter(|policy| policy.is_ours(ports)));
        });
        if let Err(error) = listed {
            tracing::warn!(%error, "policies cannot be listed");
        }
        seen
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    More,
    Last,
}

/// Why not all was done.
fn failure(acks: &[Ack]) -> Option<XfrmFailure> {
    acks.iter().find_map(|ack| match ack {
        Ack::Done => None,
        Ack::Refused(errno) => Some(of_errno(*errno)),
        Ack::Unknown => Some(XfrmFailure::Other),
    })
}

/// What the kernel's refusal of a state means.
pub(super) const fn of_errno(errno: i32) -> XfrmFailure {
    match errno {
        libc::EEXIST => XfrmFailure::Exists,
        libc::EPERM | libc::EACCES => XfrmFailure::NotPermitted,
        libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::ENOSYS | libc::ENOENT => {
            XfrmFailure::Unsupported
        }
        libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC => XfrmFailure::KernelFull,
        _ => XfrmFailure::Other,
    }
}

/// What was, or may have been, added of a set that was not added whole. A state that was refused is not ours.
fn to_undo(states: &[SaState; 4], acks: &[Ack]) -> Vec<StateKey> {
    let added = states
        .iter()
        .zip(acks)
        .filter(|(_, ack)| !matches!(ack, Ack::Refused(_)));
    added.map(|(state, _)| state.into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> [SaState; 4] {
        [256, 257, 258, 259].map(|spi| SaState {
            spi,
            source: "192.0.2.1:5061".parse().unwrap(),
            destination: "192.0.2.2:6101".parse().unwrap(),
        })
    }

    fn spis(keys: &[StateKey]) -> Vec<u32> {
        keys.iter().map(|key| key.spi).collect()
    }

    #[test]
    fn refusal_of_the_third_state_undoes_the_others_and_leaves_the_stranger_alone() {
        let acks = [Ack::Done, Ack::Done, Ack::Refused(libc::EEXIST), Ack::Done];
        assert_eq!(failure(&acks), Some(XfrmFailure::Exists));
        assert_eq!(spis(&to_undo(&states(), &acks)), [256, 257, 259]);
    }

    #[test]
    fn state_whose_answer_was_lost_is_undone_too() {
        let acks = [Ack::Done, Ack::Unknown, Ack::Refused(libc::ENOMEM), Ack::Unknown];
        assert_eq!(spis(&to_undo(&states(), &acks)), [256, 257, 259]);
        assert_eq!(failure(&[Ack::Done; 4]), None);
    }

    #[test]
    fn refusals_of_the_kernel_become_reasons_that_a_node_can_act_on() {
        let reasons = [
            (libc::EEXIST, XfrmFailure::Exists),
            (libc::EPERM, XfrmFailure::NotPermitted),
            (libc::EPROTONOSUPPORT, XfrmFailure::Unsupported),
            (libc::ENOSYS, XfrmFailure::Unsupported),
            (libc::ENOENT, XfrmFailure::Unsupported),
            (libc::ENOMEM, XfrmFailure::KernelFull),
            (libc::ENOBUFS, XfrmFailure::KernelFull),
            (libc::EINVAL, XfrmFailure::Other),
        ];
        for (errno, failure) in reasons {
            assert_eq!(of_errno(errno), failure, "errno {errno}");
        }
    }
}
