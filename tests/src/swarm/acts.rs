//! Testkit: what happens on a day of the swarm, one act at a time.

use std::time::Duration;

use hss_client::cx::{CxResult, ReasonCode};
use ims_common::ipsec::XfrmFailure;
use ims_common::net::Command;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::plan::{Trouble, any};
use super::{Swarm, junk};
use crate::hss::{Fault as HssFault, Faulty, TEST_K, TEST_OPC};
use crate::kernel::Fault;
use crate::milenage::Sqn;
use crate::scene;
use crate::ue::identity::Secret;
use crate::ue::security::Misdeed;
use crate::ue::{Behaviour, UeCommand};
use crate::usim::Usim;

impl Swarm {
    /// One act: of a phone as a rule, else of somebody who makes trouble.
    pub(super) fn act(&mut self) {
        let troubles: Vec<Trouble> = self.plan.troubles.iter().copied().collect();
        if troubles.is_empty() || self.rng.random_bool(0.6) {
            let talks = self.plan.talk.is_some() && self.rng.random_bool(0.6);
            return if talks { self.talk() } else { self.phone_acts() };
        }
        let trouble = troubles[self.rng.random_range(0..troubles.len())];
        self.make(trouble);
    }

    fn make(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Partition => self.part(),
            Trouble::CscfCrash => self.crash_or_bring_back(Some("P-CSCF")),
            Trouble::PowerCut => self.cut_power(),
            Trouble::HssCrash => self.crash_or_bring_back(None),
            Trouble::HssFault => self.fail_hss(),
            Trouble::HssPush => self.push(),
            Trouble::Drain => self.drain(),
            Trouble::Reset => self.reset(),
            Trouble::Deafness => self.deafen(),
            Trouble::Junk => junk::send_junk(&mut self.scene.world, &self.scene.site, &mut self.rng),
            Trouble::Strangers => {
                let phones = self.plan.phones;
                junk::send_request(&mut self.scene.world, &self.scene.site, phones, &mut self.rng);
            }
            Trouble::Vanishing => self.vanish(),
            Trouble::Misbehaviour => self.misbehave(),
            Trouble::WrongKey => self.change_key(),
            Trouble::Resync => self.run_ahead(),
            Trouble::Kernel => self.fail_kernel(),
            Trouble::Misdeed => self.do_wrong(),
            Trouble::AppServer => self.upset_app_server(),
        }
    }

    fn phone_acts(&mut self) {
        let index = self.rng.random_range(0..self.phones.len());
        let name = self.phones[index].name.clone();
        let command = match self.rng.random_range(0..10) {
            0..5 => UeCommand::Register,
            5..7 => UeCommand::Refresh,
            7 => UeCommand::Query,
            8 => UeCommand::DeregisterAll,
            _ => UeCommand::Deregister,
        };
        if !self.scene.world.is_up(&name) {
            return self.bring_back(&name);
        }
        self.take_events(index);
        self.scene.ue(&name, |now, ue| {
            if ue.is_free() && (ue.is_registered() || command == UeCommand::Register) {
                ue.command(now, command);
            }
        });
    }

    /// Half of the time what was done is undone.
    fn undoes(&mut self) -> bool {
        self.rng.random_bool(0.5)
    }

    fn part(&mut self) {
        if self.undoes() {
            self.scene.world.note("partitions heal");
            return self.scene.world.links.heal();
        }
        let names = self.scene.world.names();
        let a = names[self.rng.random_range(0..names.len())].clone();
        let b = names[self.rng.random_range(0..names.len())].clone();
        self.scene.world.note(&format!("{a} and {b} part"));
        if self.rng.random_bool(0.3) {
            self.scene.world.links.partition_from(&a, &b);
        } else {
            self.scene.world.links.partition(&a, &b);
        }
    }

    fn cscf(&mut self) -> String {
        let mut names = vec!["P-CSCF".to_owned(), "I-CSCF".to_owned()];
        names.extend((0..self.scene.site.scscfs.len()).map(scene::scscf_name));
        names[self.rng.random_range(0..names.len())].clone()
    }

    fn crash_or_bring_back(&mut self, cscf: Option<&str>) {
        let name = match cscf {
            Some(_) => self.cscf(),
            None => "HSS".to_owned(),
        };
        if !self.scene.world.is_up(&name) {
            return self.bring_back(&name);
        }
        self.scene.world.crash(&name);
        if self.undoes() {
            self.bring_back(&name);
        }
    }

    fn cut_power(&mut self) {
        let name = match self.rng.random_range(0..3) {
            0 => "HSS".to_owned(),
            _ => self.cscf(),
        };
        if self.scene.world.is_up(&name) {
            self.scene.world.darken(&name);
        } else {
            self.bring_back(&name);
        }
    }

    fn fail_hss(&mut self) {
        if self.undoes() {
            return self.scene.hss(|_, hss| hss.clear_faults());
        }
        let which = any(
            &mut self.rng,
            &[Faulty::Uar, Faulty::Mar, Faulty::Sar, Faulty::Lir, Faulty::All],
        );
        let fault = fault(&mut self.rng);
        self.scene
            .world
            .note(&format!("the HSS fails: {which:?} {fault:?}"));
        self.scene.hss(|_, hss| hss.set_fault(which, fault));
    }

    fn push(&mut self) {
        if !self.scene.world.is_up("HSS") {
            return;
        }
        let impi = scene::impi(self.rng.random_range(1..=self.plan.phones));
        let impu = scene::impu(&format!("sip:{}", impi.as_str()));
        let reason = any(
            &mut self.rng,
            &[
                ReasonCode::PermanentTermination,
                ReasonCode::NewServerAssigned,
                ReasonCode::ServerChange,
                ReasonCode::RemoveScscf,
            ],
        );
        match self.rng.random_range(0..3) {
            0 => self.scene.hss(|now, hss| hss.send_ppr(now, &impi, &impu)),
            1 => self.scene.hss(|now, hss| hss.send_rtr(now, &impi, &[], reason)),
            _ => self
                .scene
                .hss(|now, hss| hss.send_rtr(now, &impi, &[impu], reason)),
        };
    }

    fn drain(&mut self) {
        let name = self.cscf();
        if self.scene.world.is_drained(&name) {
            return self.bring_back(&name);
        }
        if self.scene.world.is_up(&name) {
            self.scene.world.note(&format!("{name} is drained"));
            self.scene.world.command(&name, Command::Drain);
            self.draining.insert(name);
        }
    }

    fn reset(&mut self) {
        let a = self.cscf();
        let b = match self.rng.random_range(0..3) {
            0 => self.cscf(),
            _ => "HSS".to_owned(),
        };
        self.scene.world.reset_between(&a, &b);
    }

    fn deafen(&mut self) {
        let name = match self.rng.random_range(0..3) {
            0 => "HSS".to_owned(),
            _ => self.cscf(),
        };
        if self.undoes() {
            self.scene.world.undeafen(&name);
        } else {
            self.scene.world.deafen(&name);
        }
    }

    fn vanish(&mut self) {
        let index = self.rng.random_range(0..self.phones.len());
        let name = self.phones[index].name.clone();
        if self.scene.world.is_up(&name) {
            self.take_events(index);
            self.scene.world.darken(&name);
        }
        if self.undoes() {
            self.bring_back(&name);
        }
    }

    fn misbehave(&mut self) {
        let behaviour = any(
            &mut self.rng,
            &[
                Behaviour::Honest,
                Behaviour::WrongResponse,
                Behaviour::MacFailure,
                Behaviour::AlwaysResync,
                Behaviour::IgnoreChallenge,
                Behaviour::NewCallId,
            ],
        );
        let index = self.rng.random_range(0..self.phones.len());
        let name = self.phones[index].name.clone();
        self.scene
            .ue(&name, |_, ue| ue.config_mut().behaviour = behaviour);
    }

    /// The kernel of the P-CSCF or of a phone.
    fn fail_kernel(&mut self) {
        let name = match self.rng.random_range(0..3) {
            0 => self.phones[self.rng.random_range(0..self.phones.len())]
                .name
                .clone(),
            _ => "P-CSCF".to_owned(),
        };
        if !self.scene.world.is_up(&name) {
            return;
        }
        let set = self.scene.world.kernel(&name).sets().next().map(|set| set.id);
        if let (Some(set), true) = (set, self.rng.random_bool(0.3)) {
            return self.scene.world.delete_states(&name, set);
        }
        let fault = any(
            &mut self.rng,
            &[
                Fault::ThirdOfFour,
                Fault::Silence,
                Fault::Refuse(XfrmFailure::Exists),
                Fault::Refuse(XfrmFailure::Busy),
                Fault::Refuse(XfrmFailure::NotPermitted),
            ],
        );
        let slow = Duration::from_millis(any(&mut self.rng, &[1, 1, 200, 5_000]));
        let room = any(&mut self.rng, &[None, None, Some(4), Some(9)]);
        self.scene
            .world
            .note(&format!("the kernel of {name}: {fault:?}, {slow:?}, {room:?}"));
        let kernel = self.scene.world.kernel_mut(&name);
        kernel.fail_next([fault]);
        kernel.set_answer_after(slow);
        kernel.set_states_max(room);
    }

    fn do_wrong(&mut self) {
        let misdeed = any(
            &mut self.rng,
            &[
                Misdeed::None,
                Misdeed::WrongVerify,
                Misdeed::NoVerify,
                Misdeed::ChangedClient,
                Misdeed::NoClient,
                Misdeed::OtherImpi,
                Misdeed::WrongKey,
                Misdeed::MessageOnTemporarySet,
                Misdeed::AnswerUnprotected,
                Misdeed::NeverAnswers,
            ],
        );
        let index = self.rng.random_range(0..self.phones.len());
        let name = self.phones[index].name.clone();
        self.scene.ue(&name, |_, ue| {
            if let Some(security) = &mut ue.config_mut().security {
                security.misdeed = misdeed;
            }
        });
    }

    fn change_key(&mut self) {
        let index = self.rng.random_range(0..self.phones.len());
        if self.undoes() {
            return self.right_key(index);
        }
        let name = self.phones[index].name.clone();
        let mut wrong = TEST_K;
        wrong[0] ^= 1;
        self.scene.ue(&name, |_, ue| {
            ue.config_mut().secret = Secret::Aka(Usim::new(&wrong, &TEST_OPC));
        });
    }

    /// A card with the right key; it may have seen more than the HSS remembers.
    pub(super) fn right_key(&mut self, index: usize) {
        let phone = &self.phones[index];
        let usim = scene::subscriber(phone.number).usim();
        let name = phone.name.clone();
        self.scene
            .ue(&name, |_, ue| ue.config_mut().secret = Secret::Aka(usim));
    }

    fn run_ahead(&mut self) {
        let index = self.rng.random_range(0..self.phones.len());
        let name = self.phones[index].name.clone();
        let ahead = 1 << self.rng.random_range(4..24);
        self.scene.ue(&name, |_, ue| {
            if let Secret::Aka(usim) = &mut ue.config_mut().secret {
                let sqn = usim.sqn_ms();
                *usim = usim.clone().with_sqn(Sqn::of(sqn.seq() + ahead, 0));
            }
        });
    }
}

fn fault(rng: &mut StdRng) -> HssFault {
    match rng.random_range(0..6) {
        0 => HssFault::Silent,
        1 => HssFault::LoseAnswer,
        2 => HssFault::Garbage(bytes::Bytes::from_static(&[
            0, 0, 1, 0xff, 0x40, 0, 0, 9, 7, 0, 0, 0,
        ])),
        3 => HssFault::Answer(any(
            rng,
            &[
                CxResult::UNABLE_TO_COMPLY,
                CxResult::USER_UNKNOWN,
                CxResult::TOO_BUSY,
                CxResult::UNABLE_TO_DELIVER,
                CxResult::IDENTITY_ALREADY_REGISTERED,
                CxResult::IN_ASSIGNMENT_TYPE,
                CxResult::AUTHORIZATION_REJECTED,
                CxResult::SUCCESS,
            ],
        )),
        _ => HssFault::Delay(Duration::from_millis(rng.random_range(1..9_000))),
    }
}
