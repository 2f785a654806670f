//! Testkit: a kernel that takes, refuses, forgets or loses security associations as a script says, and checks what it is asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ims_common::ipsec::{GoneCause, SaSet, SaSetId, XfrmFailure, XfrmInput, XfrmOutput};

use super::script::Step;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Mood {
    #[default]
    Good,
    Refuses(XfrmFailure),
    Silent,
}

#[derive(Debug, Default)]
pub(super) struct FakeKernel {
    sets: BTreeMap<SaSetId, Arc<SaSet>>,
    last: Option<Arc<SaSet>>,
    mood: Mood,
    /// An answer was owed and never came: it and the node need not agree any more.
    lost: bool,
    pub(super) inputs: VecDeque<XfrmInput>,
}

impl FakeKernel {
    /// `good`, `exists`, `full`, `busy`, `silent`, `gone`, `expired`.
    pub(super) fn step(&mut self, step: &Step) {
        let cause = match step.word(1) {
            "exists" => return self.mood = Mood::Refuses(XfrmFailure::Exists),
            "full" => return self.mood = Mood::Refuses(XfrmFailure::KernelFull),
            "busy" => return self.mood = Mood::Refuses(XfrmFailure::Busy),
            "silent" => return self.mood = Mood::Silent,
            "gone" => GoneCause::Deleted,
            "expired" => GoneCause::Expired,
            _ => return self.mood = Mood::Good,
        };
        if let Some((id, _)) = self.sets.pop_first() {
            self.inputs.push_back(XfrmInput::Gone { id, cause });
        }
    }

    /// The set that was installed last.
    pub(super) fn last(&self) -> Option<&SaSet> {
        self.last.as_deref()
    }

    pub(super) fn on_output(&mut self, output: XfrmOutput) {
        if self.mood == Mood::Silent {
            self.lost = true;
            return;
        }
        match output {
            XfrmOutput::Install { set, lifetime } => self.install(set, lifetime),
            XfrmOutput::Extend { set, lifetime } => {
                assert!(lifetime > Duration::ZERO);
                let id = set.id;
                let cause = GoneCause::Deleted;
                self.inputs.push_back(match self.sets.contains_key(&id) {
                    true => XfrmInput::Extended { id },
                    false => XfrmInput::Gone { id, cause },
                });
            }
            XfrmOutput::Remove { id } => {
                self.sets.remove(&id);
                self.inputs.push_back(XfrmInput::Removed { id });
            }
        }
    }

    fn install(&mut self, set: Arc<SaSet>, lifetime: Duration) {
        let id = set.id;
        if let Mood::Refuses(failure) = self.mood {
            self.inputs.push_back(XfrmInput::InstallFailed { id, failure });
            return;
        }
        assert!(lifetime > Duration::ZERO);
        well_formed(&set);
        self.last = Some(Arc::clone(&set));
        assert!(self.sets.insert(id, set).is_none(), "a number is used twice");
        self.apart();
        self.inputs.push_back(XfrmInput::Installed { id });
    }

    /// TS 33.203 7.1: no two live sets share an SPI of ours or a way to a UE.
    fn apart(&self) {
        if self.lost {
            return;
        }
        let (mut spis, mut ways) = (BTreeSet::new(), BTreeSet::new());
        for set in self.sets.values() {
            let [from_uc, _, to_us, from_us] = &set.states;
            assert!(spis.insert(from_uc.spi) && spis.insert(from_us.spi), "{set:?}");
            assert!(ways.insert((to_us.source, to_us.destination)), "{set:?}");
        }
    }

    /// How many sets are installed, as far as the node can know.
    pub(super) fn known(&self) -> Option<u64> {
        (!self.lost).then_some(self.sets.len() as u64)
    }
}

/// TS 33.203 7.1, table of the four associations.
fn well_formed(set: &SaSet) {
    let [from_uc, to_uc, to_us, from_us] = &set.states;
    assert_eq!(
        (from_uc.source, from_uc.destination),
        (to_uc.destination, to_uc.source)
    );
    assert_eq!(
        (to_us.source, to_us.destination),
        (from_us.destination, from_us.source)
    );
    assert_eq!(from_uc.source.ip(), from_us.source.ip());
    assert_eq!(from_uc.destination.ip(), from_us.destination.ip());
    let spis: BTreeSet<u32> = set.states.iter().map(|state| state.spi).collect();
    assert!(spis.len() == 4 && spis.iter().all(|spi| *spi > 255), "{set:?}");
    assert!(from_uc.destination.port() == 6_101 && from_us.destination.port() != 6_101);
    assert!(
        set.states
            .iter()
            .all(|state| state.source.port() > 0 && state.destination.port() > 0)
    );
    assert!(!from_uc.source.ip().is_unspecified());
}
