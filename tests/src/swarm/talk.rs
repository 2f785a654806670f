//! Testkit: calls, messages and application servers on a day of the swarm, and the call that has to come about when all
//! troubles have ended.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use super::Swarm;
use super::plan::{PHONE_LIFETIME_MAX, any};
use crate::app_server::{AppServer, AsBehaviour};
use crate::hss::{Ifc, Personality, Subscriber};
use crate::scene::{self, Scene};
use crate::site::Site;
use crate::ue::message::{SMS, rp_data};
use crate::ue::talk::{Answer, CallEvent, Manner, Plan as Dial, Text, Twist};
use crate::ue::{UeCommand, UeEvent};

/// The number of the one application server.
const SERVER: u8 = 1;
/// How long a call takes to be answered that nothing is in the way of, with registrations anew before it.
const SET_UP_MAX: Duration = Duration::from_secs(60);

/// Who talks on that day, and who serves the calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    /// Calls and messages come to an application server first.
    pub(super) served: bool,
    /// A failure of that server ends the call.
    terminates: bool,
    /// It is told of registrations.
    told_of_registrations: bool,
    /// The P-CSCF and the phones subscribe to registrations.
    pub(super) subscribes: bool,
}

impl Talk {
    pub(super) fn draw(rng: &mut StdRng) -> Self {
        Self {
            served: rng.random_bool(0.5),
            terminates: rng.random_bool(0.3),
            told_of_registrations: rng.random_bool(0.4),
            subscribes: rng.random_bool(0.4),
        }
    }

    /// A subscriber with the services of that day.
    pub(super) fn subscriber(self, site: &Site, number: u8) -> Subscriber {
        let subscriber = scene::subscriber(number);
        if !self.served {
            return subscriber;
        }
        let uri = site.app_server_uri(SERVER);
        let mut methods = vec!["INVITE", "MESSAGE"];
        if self.told_of_registrations {
            methods.push("REGISTER");
        }
        let criterion = Ifc::to(&uri, 1).method(&methods);
        subscriber.ifc(match self.terminates {
            true => criterion.terminates(),
            false => criterion,
        })
    }

    /// How a phone of that day calls and answers.
    pub(super) fn manner(self, rng: &mut StdRng) -> Manner {
        let base = any(rng, &[Manner::VOLTE, Manner::VOLTE, Manner::SIMPLE]);
        Manner {
            answer: answer(rng),
            subscribes: self.subscribes,
            session_expires: any(rng, &[None, Some(90), Some(1_800)]),
            ..base
        }
    }

    /// Puts the server into the world.
    pub(super) fn serve(self, scene: &mut Scene) {
        if self.served {
            scene.app_server(SERVER, AsBehaviour::Continue { record_route: true });
        }
    }
}

fn answer(rng: &mut StdRng) -> Answer {
    let seconds = |rng: &mut StdRng| Duration::from_secs(rng.random_range(0..20));
    match rng.random_range(0..11) {
        0..5 => Answer::Ring(seconds(rng)),
        5 | 6 => Answer::AtOnce,
        7 => Answer::Refuse(any(rng, &[486, 480, 488, 603, 500, 503])),
        8 => Answer::RingThenRefuse(seconds(rng), any(rng, &[486, 603])),
        9 => Answer::RingForEver,
        _ => Answer::AnswerWhenCancelled,
    }
}

impl Swarm {
    /// A phone says something.
    pub(super) fn talk(&mut self) {
        let index = self.rng.random_range(0..self.phones.len());
        let name = self.phones[index].name.clone();
        if !self.scene.world.is_up(&name) {
            return self.bring_back(&name);
        }
        let command = self.words();
        self.take_events(index);
        self.scene.ue(&name, |now, ue| {
            if ue.is_registered() {
                ue.command(now, command);
            }
        });
    }

    fn words(&mut self) -> UeCommand {
        // One number more than there are subscribers.
        let number = self.rng.random_range(1..=self.plan.phones + 1);
        let to = match self.rng.random_bool(0.5) {
            true => scene::calls::tel(number),
            false => scene::calls::sip(number),
        };
        match self.rng.random_range(0..16) {
            0..5 => UeCommand::Call(Dial::to(&to)),
            5 => UeCommand::PickUp,
            6 | 7 => UeCommand::HangUp,
            8 => UeCommand::Hold,
            9 => UeCommand::Resume,
            10 => UeCommand::Update,
            11 => UeCommand::Subscribe(self.rng.random_range(0..900)),
            12 => {
                let method = any(&mut self.rng, &["INFO", "BYE", "UPDATE", "MESSAGE"]);
                let wrong = [
                    Twist::None,
                    Twist::OldCseq,
                    Twist::OtherTransport,
                    Twist::Target("sip:192.0.2.99:5099".to_owned()),
                    Twist::Routes(vec!["<sip:192.0.2.99:5099;lr>".to_owned()]),
                ];
                let nth = self.rng.random_range(0..wrong.len());
                UeCommand::InDialog(method, wrong[nth].clone())
            }
            _ => UeCommand::Message(Text {
                to,
                content_type: SMS.to_owned(),
                body: rp_data(1, "15550000", &[0, 13, 10, 0xff]),
                lines: String::new(),
            }),
        }
    }

    /// The application server does something else, dies, or comes back.
    pub(super) fn upset_app_server(&mut self) {
        let name = format!("AS{SERVER}");
        if !self.scene.world.is_up(&name) {
            return self.bring_back(&name);
        }
        if self.rng.random_bool(0.1) {
            return self.scene.world.crash(&name);
        }
        let elsewhere = scene::calls::sip(self.rng.random_range(1..=self.plan.phones));
        let behaviour = match self.rng.random_range(0..15) {
            0 | 1 => AsBehaviour::Continue { record_route: false },
            2..5 => AsBehaviour::B2bua,
            5 => AsBehaviour::Answer,
            6 => AsBehaviour::Redirect(elsewhere),
            7 => AsBehaviour::Refuse(any(&mut self.rng, &[403, 408, 486, 500, 503, 603])),
            8 => AsBehaviour::ProgressThenRefuse(500),
            9 => AsBehaviour::Silent,
            10 => AsBehaviour::Loop,
            11 => AsBehaviour::DropOdi,
            12 => AsBehaviour::Retarget {
                uri: elsewhere,
                diverts: self.rng.random_bool(0.5),
            },
            13 => AsBehaviour::RecordRoutes(12),
            _ => AsBehaviour::AnswerTwice,
        };
        if matches!(behaviour, AsBehaviour::Silent) {
            self.scene.world.excuse(&name);
        }
        self.scene.world.note(&format!("the server does {behaviour:?}"));
        self.scene.app_server_behaves(SERVER, behaviour);
    }

    /// The server starts again and knows no call.
    pub(super) fn bring_back_app_server(&mut self) {
        let behaviour = AsBehaviour::Continue { record_route: true };
        let config = self.scene.app_server_config(SERVER, behaviour);
        let seed = self.scene.world.next_seed();
        let server = AppServer::new(config, &seed);
        self.scene.world.restart(&format!("AS{SERVER}"), server);
    }

    /// The server does what it should again.
    pub(super) fn calm_app_server(&mut self) {
        if self.plan.talk.is_some_and(|talk| talk.served) {
            let calm = AsBehaviour::Continue { record_route: true };
            self.scene.app_server_behaves(SERVER, calm);
        }
    }

    /// Liveness: when everybody is registered, one can call another.
    pub(super) fn call_somebody(&mut self) {
        // Open5GS keeps the server of the first registration for some spellings of a number; PyHSS 1.0 forgets the one that
        // a user has when another one, which had it before, is done with it.
        let forgetful = [Personality::Open5gs, Personality::PyHss1].contains(&self.plan.personality);
        let has_stale_servers = self.plan.second_scscf && forgetful;
        if self.plan.talk.is_none() || self.phones.len() < 2 || has_stale_servers {
            return;
        }
        for index in [0, 1] {
            let name = self.phones[index].name.clone();
            self.scene.ue(&name, |now, ue| {
                ue.config_mut().manner = Manner {
                    answer: Answer::Ring(Duration::from_secs(1)),
                    subscribes: false,
                    ..Manner::VOLTE
                };
                // One of them may have to try again for a while.
                ue.config_mut().expires = PHONE_LIFETIME_MAX;
                while ue.calls_in_progress() > 0 {
                    let before = ue.calls_in_progress();
                    ue.command(now, UeCommand::HangUp);
                    if ue.calls_in_progress() >= before {
                        break;
                    }
                }
                ue.command(now, UeCommand::Register);
            });
            self.phones[index].is_content = false;
            self.phones[index].is_trying = true;
        }
        self.recover();
        let (caller, callee) = (self.phones[0].name.clone(), self.phones[1].number);
        let call = UeCommand::call(&scene::calls::tel(callee));
        self.scene.ue(&caller, |now, ue| ue.command(now, call));
        self.pass(SET_UP_MAX);
        let events = self.scene.ue(&caller, |_, ue| ue.take_events());
        let begun = |event: &UeEvent| {
            matches!(
                event,
                UeEvent::Call {
                    what: CallEvent::Begun,
                    ..
                }
            )
        };
        assert!(
            events.iter().any(begun),
            "{caller} could not call number {callee} after all troubles ended: {events:?}"
        );
        self.tally.calls += 1;
        self.scene
            .ue(&caller, |now, ue| ue.command(now, UeCommand::HangUp));
        self.pass(SET_UP_MAX);
    }
}
