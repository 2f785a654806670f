//! A phone with IPsec against a network side of a few lines, in the virtual world.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ims_common::ipsec::{SaSet, SaSetId, SaState, XfrmFailure, XfrmOutput};
use ims_common::net::{Destination, SendTag, SipOutput, Transmit};
use ims_common::sip::{HeaderName, Method, StatusCode};
use std::sync::Arc;

use super::esp_keys::esp_keys;
use super::identity::{Secret, UeIdentity};
use super::security::UeSecurity;
use super::*;
use crate::hss::{TEST_K, TEST_OPC};
use crate::kernel::{Dropped, Fault};
use crate::milenage::{Milenage, Sqn};
use crate::scene::phone_spec;
use crate::text::{SipText, param_of};
use crate::usim::Usim;
use crate::world::{NodeSpec, World};

const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const PS: u16 = 6101;

/// Challenges every REGISTER that is no answer, and believes every answer.
#[derive(Default)]
struct Gatekeeper {
    outputs: VecDeque<NetOutput>,
    waiting: Option<(Request, Flow, String)>,
    nonce: String,
    challenges: u8,
    set: Option<Arc<SaSet>>,
    heard: Vec<(Flow, String)>,
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Gatekeeper {
    fn challenge(&mut self, request: Request, flow: Flow) {
        self.challenges += 1;
        let rand = [self.challenges; 16];
        let sqn = Sqn::of(u64::from(self.challenges), 0);
        let vector = Milenage::new(&TEST_K, &TEST_OPC).vector(rand, sqn, [0x80, 0]);
        self.nonce = STANDARD.encode([vector.rand, vector.autn].concat());
        let text = String::from_utf8(request.bytes().to_vec()).unwrap();
        let client = SipText::new(text.as_bytes())
            .unwrap()
            .header("Security-Client")
            .unwrap()
            .to_owned();
        let number = |name| param_of(&client, name).unwrap().parse::<u32>().unwrap();
        let port = |name| u16::try_from(number(name)).unwrap();
        let suite = shape::PLAIN.dialect.suites[0];
        let (ue, us_side) = (flow.remote.ip(), flow.local.ip());
        let (uc, us) = (
            SocketAddr::new(ue, port("port-c")),
            SocketAddr::new(ue, port("port-s")),
        );
        let pc_port = 6100 - 2 * u16::from(self.challenges % 3);
        let (pc, ps) = (SocketAddr::new(us_side, pc_port), SocketAddr::new(us_side, PS));
        let state = |spi, source, destination| SaState {
            spi,
            source,
            destination,
        };
        let spi = 1_000 + 2 * u32::from(self.challenges);
        let set = Arc::new(SaSet {
            id: SaSetId(u64::from(self.challenges)),
            suite,
            keys: Arc::new(esp_keys(suite, vector.ck.expose(), vector.ik.expose())),
            states: [
                state(spi, uc, ps),
                state(number("spi-c"), ps, uc),
                state(number("spi-s"), pc, us),
                state(spi + 1, us, pc),
            ],
        });
        let server = format!(
            "ipsec-3gpp;q=0.1;prot=esp;mod=trans;spi-c={};spi-s={spi};port-c={pc_port};port-s={PS};alg={};ealg={}",
            spi + 1,
            suite.integrity.token(),
            suite.encryption.token()
        );
        self.set = Some(Arc::clone(&set));
        self.waiting = Some((request, flow, server));
        self.outputs.push_back(NetOutput::Xfrm(XfrmOutput::Install {
            set,
            lifetime: Duration::from_secs(4_000),
        }));
    }

    fn answer(&mut self, request: &Request, flow: Flow, status: StatusCode, lines: &[(HeaderName, String)]) {
        let response = request.reply(status).to_tag("n").finish();
        let mut edit = response.edit();
        for (name, value) in lines {
            edit = edit.append(*name, value);
        }
        self.outputs
            .push_back(NetOutput::Sip(SipOutput::Transmit(Transmit {
                bytes: edit.finish_response().bytes().clone(),
                destination: Destination::Flow(flow),
                tag: SendTag(1),
            })));
    }

    fn way_back(&self, flow: Flow) -> Flow {
        match (flow.interface, flow.transport, &self.set) {
            (Interface::GmProtected, Transport::Udp, Some(set)) => Flow {
                local: set.states[2].source,
                remote: set.states[2].destination,
                ..flow
            },
            _ => flow,
        }
    }
}

impl Node for Gatekeeper {
    type Input = NetInput;
    type Output = NetOutput;
    fn handle(&mut self, _: Instant, input: NetInput) {
        match input {
            NetInput::Sip(SipInput::Received { flow, message }) => {
                let text = String::from_utf8(message.bytes().to_vec()).unwrap();
                self.heard.push((flow, text.clone()));
                let SipMessage::Request(request) = message.into_parts() else {
                    return;
                };
                if request.method() != Method::Register {
                    return;
                }
                let nonce = param_of(&text, "nonce").unwrap_or_default().to_owned();
                let is_answer = !nonce.is_empty() && nonce == self.nonce && text.contains("nc=00000001");
                if !is_answer {
                    return self.challenge(request, flow);
                }
                let contact = SipText::new(text.as_bytes())
                    .unwrap()
                    .header("Contact")
                    .unwrap()
                    .to_owned();
                let contact = (HeaderName::Contact, format!("{contact};expires=3600"));
                self.answer(&request, self.way_back(flow), StatusCode::OK, &[contact]);
            }
            NetInput::Xfrm(XfrmInput::Installed { .. }) => {
                let (request, flow, server) = self.waiting.take().unwrap();
                let nonce = &self.nonce;
                let value =
                    format!("Digest realm=\"{HOME}\",nonce=\"{nonce}\",algorithm=AKAv1-MD5,qop=\"auth\"");
                let lines = [
                    (HeaderName::WwwAuthenticate, value),
                    (HeaderName::SecurityServer, server),
                ];
                // Over the set that carried it: the one before, which is known by its flow only.
                let flow = match (flow.interface, flow.transport) {
                    (Interface::GmProtected, Transport::Udp) => {
                        let before = 6100 - 2 * u16::from((self.challenges - 1) % 3);
                        Flow {
                            local: SocketAddr::new(flow.local.ip(), before),
                            remote: self.set.as_ref().unwrap().states[2].destination,
                            ..flow
                        }
                    }
                    _ => flow,
                };
                self.answer(&request, flow, StatusCode::UNAUTHORIZED, &lines);
            }
            _ => {}
        }
    }
    fn handle_timeout(&mut self, _: Instant) {}
    fn poll_output(&mut self) -> Option<NetOutput> {
        self.outputs.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn metrics(&self, _: &mut Metrics) {}
}

fn world(change: impl FnOnce(UeConfig) -> UeConfig) -> World {
    let mut world = World::seeded(1);
    let mut spec = NodeSpec::network("P-CSCF")
        .socket(Interface::Gm, at("192.0.2.1:5060"))
        .protected(at("192.0.2.1:6101"), true);
    for port in [6100, 6098, 6096] {
        spec = spec.protected(SocketAddr::new(at("192.0.2.1:1").ip(), port), false);
    }
    world.add(spec, Gatekeeper::default());
    let identity = UeIdentity::from_imsi("001010000000001", 2);
    let usim = Usim::new(&TEST_K, &TEST_OPC);
    let config = UeConfig::new(
        identity,
        Secret::Aka(usim),
        at("192.0.2.10:5060"),
        at("192.0.2.1:5060"),
    )
    .security(UeSecurity::default());
    let config = change(config);
    let seed = world.next_seed();
    world.add(phone_spec("UE", &config), Ue::new(config, &seed));
    world
}

fn tell(world: &mut World, command: UeCommand) -> Vec<UeEvent> {
    world.with("UE", |now, ue: &mut Ue| ue.command(now, command));
    world.run_until(Duration::from_secs(200), |world| {
        world.with("UE", |_, ue: &mut Ue| ue.is_idle())
    });
    world.run_until_idle();
    world.with("UE", |_, ue: &mut Ue| ue.take_events())
}

fn heard(world: &mut World) -> Vec<(Flow, String)> {
    world.with("P-CSCF", |_, node: &mut Gatekeeper| {
        std::mem::take(&mut node.heard)
    })
}

#[test]
fn a_phone_answers_inside_the_set_of_the_challenge_from_its_client_port() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = world(|config| config.transport(transport));
        let events = tell(&mut world, UeCommand::Register);
        assert!(matches!(events.last(), Some(UeEvent::Registered(granted)) if granted.expires == 3600));
        let heard = heard(&mut world);
        let [(_, first), (flow, answer)] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!((flow.remote.port(), flow.local.port()), (45_061, PS));
        assert!(answer.contains("192.0.2.10:45062;branch"), "the Via: {answer}");
        assert!(answer.contains("@192.0.2.10:45062"), "the Contact: {answer}");
        let line = |text: &str, name: &str| {
            let text = SipText::new(text.as_bytes()).unwrap();
            text.header(name).map(ToOwned::to_owned)
        };
        assert_eq!(line(first, "Security-Client"), line(answer, "Security-Client"));
        assert_eq!(line(first, "Security-Verify"), None);
        assert!(line(answer, "Security-Verify").unwrap().contains("spi-s=1002"));
        let set = world.kernel("UE").sets().next().unwrap().id;
        let [uc_ps, ps_uc, pc_us, us_pc] = world.kernel("UE").traffic(set).unwrap();
        let used = [uc_ps, ps_uc, pc_us, us_pc].map(|traffic| traffic.packets > 0);
        match transport {
            Transport::Udp => assert_eq!(used, [true, false, true, false]),
            Transport::Tcp => assert_eq!(used, [true, true, false, false]),
        }
        assert_eq!(world.states(), [("P-CSCF".to_owned(), 4), ("UE".to_owned(), 4)]);
    }
}

#[test]
fn a_second_registration_has_new_numbers_and_the_old_set_goes_when_the_new_one_was_heard() {
    let mut world = world(|config| config);
    tell(&mut world, UeCommand::Register);
    let events = tell(&mut world, UeCommand::Refresh);
    assert!(
        matches!(events.last(), Some(UeEvent::Registered(_))),
        "{events:?}"
    );
    let all = heard(&mut world);
    let ports: Vec<_> = all.iter().map(|(flow, _)| flow.remote.port()).collect();
    assert_eq!(ports, [5060, 45_061, 45_061, 45_063]);
    assert_eq!(world.kernel("UE").states(), 8);
    world.advance(Duration::from_secs(600));
    assert_eq!(
        world.kernel("UE").states(),
        8,
        "nothing came over the new one yet"
    );
    tell(&mut world, UeCommand::Refresh);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.kernel("UE").states(), 8, "the oldest of three is gone");
    tell(&mut world, UeCommand::Deregister);
    assert_eq!(world.kernel("UE").states(), 0);
}

#[test]
fn a_phone_that_has_no_states_or_wrong_keys_is_not_heard() {
    for (misdeed, why) in [
        (Misdeed::InClear, Dropped::Clear),
        (Misdeed::WrongKey, Dropped::Integrity),
    ] {
        let mut world = world(|config| {
            config.security(UeSecurity {
                misdeed,
                ..UeSecurity::default()
            })
        });
        if misdeed == Misdeed::InClear {
            let ports = world.with("UE", |_, ue: &mut Ue| ue.config_mut().protected_ports());
            ports
                .into_iter()
                .for_each(|port| world.kernel_mut("UE").unprotect(port));
        }
        let events = tell(&mut world, UeCommand::Register);
        assert_eq!(events.last(), Some(&UeEvent::NoAnswer), "{misdeed:?}");
        assert!(world.kernel("P-CSCF").dropped(why) > 3, "{misdeed:?}");
        assert_eq!(heard(&mut world).len(), 1, "{misdeed:?}");
        assert_eq!(world.kernel("UE").states(), 0);
    }
}

#[test]
fn a_phone_whose_kernel_refuses_gives_up_and_a_set_that_vanished_is_not_used() {
    let mut world = world(|config| config);
    world.kernel_mut("UE").fail_next([Fault::ThirdOfFour]);
    let events = tell(&mut world, UeCommand::Register);
    assert_eq!(
        events.last(),
        Some(&UeEvent::SaFailed(XfrmFailure::KernelFull.label()))
    );
    tell(&mut world, UeCommand::Register);
    let set = world.kernel("UE").sets().next().unwrap().id;
    world.delete_states("UE", set);
    world.run_until_idle();
    heard(&mut world);
    tell(&mut world, UeCommand::Refresh);
    let all = heard(&mut world);
    assert_eq!(
        all.first().unwrap().0.interface,
        Interface::Gm,
        "an initial registration"
    );
}

#[test]
fn a_message_on_a_temporary_set_goes_before_the_answer() {
    let mut world = world(|config| {
        config.security(UeSecurity {
            misdeed: Misdeed::MessageOnTemporarySet,
            ..UeSecurity::default()
        })
    });
    tell(&mut world, UeCommand::Register);
    let all = heard(&mut world);
    let methods: Vec<_> = all
        .iter()
        .map(|(_, text)| text.split(' ').next().unwrap())
        .collect();
    assert_eq!(methods[..3], ["REGISTER", "MESSAGE", "REGISTER"]);
}
