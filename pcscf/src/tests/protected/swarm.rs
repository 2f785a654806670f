//! Testkit: phones, home network and kernel in any order; what must hold on Gm does so after each step.

use std::time::Duration;

use ims_common::ipsec::{GoneCause, XfrmFailure, XfrmInput};
use ims_common::node::{Node, Seed};
use rand::Rng;
use rand::rngs::StdRng;

use super::*;

const PHONES: u16 = 4;

struct Swarm {
    bench: Bench,
    rng: StdRng,
    /// What the home network has been asked and has not answered.
    asked: Vec<Request>,
    /// What phones have been asked.
    to_answer: Vec<Request>,
    /// Security-Server of the last 401 of each phone, and its offer.
    challenges: [Option<(u16, Response)>; PHONES as usize],
    paths: Vec<String>,
    steps: u32,
    registered: usize,
    reached: usize,
}

impl Swarm {
    fn new(seed: u64) -> Self {
        Self {
            bench: bench(),
            rng: Seed::from_number(seed).rng(9),
            asked: Vec::new(),
            to_answer: Vec::new(),
            challenges: Default::default(),
            paths: Vec::new(),
            steps: 0,
            registered: 0,
            reached: 0,
        }
    }

    /// Two phones at each address.
    fn ip(phone: u16) -> String {
        format!("127.0.1.{}", 10 + phone / 2)
    }

    /// The text of the usual phone as that of another one.
    fn of(&self, phone: u16, text: &str) -> String {
        let digit = char::from_digit(u32::from(phone) + 1, 10).unwrap();
        text.replace("00000001@", &format!("0000000{digit}@"))
            .replace("+15550001", &format!("+1555000{digit}"))
            .replace("127.0.1.10", &Self::ip(phone))
            .replace("44062", &format!("4406{}", phone + 2))
            .replace("45", &format!("{}", 45 + phone))
            .replace("@ue", &format!("@ue{}-{}", phone, self.steps))
            .replace("z9hG4bK", &format!("z9hG4bK{}x{}", phone, self.steps))
    }

    fn flow(&mut self, phone: u16, nth: u16) -> Flow {
        let port = (45 + phone) * 1_000 + nth;
        let flow = Flow {
            remote: format!("{}:{port}", Self::ip(phone)).parse().unwrap(),
            ..uplink(nth)
        };
        match self.rng.random_bool(0.2) {
            true => over_tcp(flow, u64::from(phone) * 100 + u64::from(nth)),
            false => flow,
        }
    }

    fn says(&mut self, phone: u16, flow: Flow, text: &str) {
        let text = self.of(phone, text);
        let text = match flow.transport {
            Transport::Udp => text,
            Transport::Tcp => text.replace("/UDP", "/TCP"),
        };
        self.bench.receive(flow, &text);
    }

    fn step(&mut self) {
        self.steps += 1;
        let phone = self.rng.random_range(0..PHONES);
        let nth = self.rng.random_range(1..6);
        let known = self.challenges[usize::from(phone)].clone();
        match self.rng.random_range(0..14) {
            0..=1 => {
                let flow = gm_flow(&format!("{}:5060", Self::ip(phone)));
                self.says(phone, flow, &first(self.steps, nth).text());
            }
            2..=4 => {
                let Some((nth, challenged)) = known else { return };
                let flow = self.flow(phone, nth);
                let text = protected(self.steps, RESPONSE, &confirming(nth, &challenged)).text();
                self.says(phone, flow, &text);
            }
            5 => {
                let mut register = protected(self.steps, RESPONSE, &offering(nth));
                if self.rng.random_bool(0.3) {
                    register.contact = Some("*".to_owned());
                    register.further.push_str("Expires: 0\r\n");
                }
                let over = known.map_or(nth, |(nth, _)| nth);
                let flow = self.flow(phone, over);
                self.says(phone, flow, &register.text());
            }
            6 => {
                let flow = self.flow(phone, nth);
                self.says(phone, flow, &of_the_phone("MESSAGE", "u", ""));
            }
            7..=9 => self.home_answers(),
            10 => {
                let Some(path) = self.paths.last().cloned() else {
                    return;
                };
                let branch = format!("h{}", self.steps);
                self.bench.home_sends("MESSAGE", &branch, &path, "");
            }
            11 => {
                let Some(request) = self.to_answer.pop() else {
                    return;
                };
                let flow = self.flow(phone, nth);
                self.bench.receive(flow, &answer(&request, 200, ""));
            }
            12 => match self.rng.random_range(0..3) {
                0 => self.bench.kernel.failures.push_back(XfrmFailure::Exists),
                1 => self.bench.kernel.failures.push_back(XfrmFailure::KernelFull),
                _ => {
                    let Some((id, _)) = self.bench.kernel.sets.pop_first() else {
                        return;
                    };
                    let cause = GoneCause::Deleted;
                    self.bench.kernel_says(Some(XfrmInput::Gone { id, cause }));
                }
            },
            _ => {
                let span = Duration::from_secs(self.rng.random_range(0..60));
                self.pass(span);
            }
        }
    }

    /// Lets time pass, and looks after each timer.
    fn pass(&mut self, span: Duration) {
        let until = self.bench.now + span;
        while let Some(at) = self.bench.node.poll_timeout().filter(|at| *at <= until) {
            self.bench.advance(at.saturating_duration_since(self.bench.now));
            self.look();
        }
        self.bench.advance(until - self.bench.now);
    }

    fn home_answers(&mut self) {
        let Some(request) = self.asked.pop() else { return };
        let (code, further) = match self.rng.random_range(0..10) {
            0..=4 => (401, challenge()),
            5..=8 => {
                let contact = header(&request, HeaderName::Contact).unwrap_or_default();
                let contact = contact.split(['<', '>']).nth(1).unwrap_or(CONTACT).to_owned();
                (200, grant(&contact, 600, &format!("sip:orig@{SCSCF};lr")))
            }
            _ => (403, String::new()),
        };
        if code == 200 {
            self.paths.extend(header(&request, HeaderName::Path));
        }
        self.bench
            .receive(mw_flow(SCSCF), &answer(&request, code, &further));
    }

    /// Looks at all that has left.
    fn look(&mut self) {
        while !self.bench.is_quiet() {
            let (to, message) = self.bench.next();
            let to_gm = match to {
                Destination::Flow(flow) => (flow.interface != Interface::Mw).then_some(flow),
                Destination::Address { interface, .. } => {
                    assert_eq!(interface, Interface::Mw, "towards phones only along flows");
                    None
                }
            };
            match (to_gm, message) {
                (None, SipMessage::Request(request)) => self.asked.push(request),
                (None, SipMessage::Response(_)) => {}
                (Some(flow), message) if flow.interface == Interface::Gm => {
                    self.look_at_clear(flow, &message)
                }
                (Some(flow), message) => self.look_at_protected(flow, message),
            }
        }
    }

    fn look_at_clear(&mut self, flow: Flow, message: &SipMessage) {
        let SipMessage::Response(response) = message else {
            panic!("a request in clear: {message:?}");
        };
        assert_eq!(flow.remote.port(), 5060, "in clear only to who spoke in clear");
        self.keep_challenge(flow, response);
    }

    fn look_at_protected(&mut self, flow: Flow, message: SipMessage) {
        let leads = |set: &SaSet| match flow.connection {
            Some(_) => (set.states[1].source, set.states[1].destination) == (flow.local, flow.remote),
            None => (set.states[2].source, set.states[2].destination) == (flow.local, flow.remote),
        };
        let sets = &self.bench.kernel.sets;
        assert!(sets.values().any(|set| leads(set)), "{flow:?} is no way of a set");
        self.reached += 1;
        match message {
            SipMessage::Request(request) => self.to_answer.push(request),
            SipMessage::Response(response) => {
                let is_register = response.cseq().unwrap().method.as_str() == "REGISTER";
                self.registered += usize::from(is_register && response.status().is_success());
                self.keep_challenge(flow, &response);
            }
        }
    }

    fn keep_challenge(&mut self, flow: Flow, response: &Response) {
        assert!(!text(response).contains(CK) && !text(response).contains(IK));
        let is_register = response.cseq().unwrap().method.as_str() == "REGISTER";
        if response.status().as_u16() != 401 || !is_register {
            return;
        }
        let uc = self.bench.kernel.newest().states[0].source;
        assert_eq!(uc.ip(), flow.remote.ip(), "the set is there before its 401");
        let (thousand, nth) = (uc.port() / 1_000, uc.port() % 1_000);
        self.challenges[usize::from(thousand - 45)] = Some((nth, response.clone()));
    }
}

#[test]
fn whatever_phones_home_and_kernel_do_nothing_leaves_but_over_its_set_and_nothing_stays_behind() {
    let (mut registered, mut reached) = (0, 0);
    for seed in 0..20 {
        let mut swarm = Swarm::new(seed);
        for _ in 0..250 {
            swarm.step();
            swarm.look();
        }
        swarm.pass(Duration::from_secs(3_000));
        assert_eq!(swarm.bench.kernel.len(), 0);
        assert_eq!(swarm.bench.node.contact_count(), 0);
        assert_eq!(swarm.bench.node.poll_timeout(), None);
        registered += swarm.registered;
        reached += swarm.reached;
    }
    assert!(registered > 50 && reached > 300, "{registered} {reached}");
}
