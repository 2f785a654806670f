//! Testkit: many requests under a seeded, hostile world; what must hold whatever happens (SC-03, SC-21).

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// One run of the swarm.
struct Swarm {
    bench: Bench,
    rng: StdRng,
    /// Requests that upstream sent, by branch.
    asked: Vec<(String, &'static str)>,
    /// Requests of ours that may still be answered.
    open: Vec<Sent>,
    /// Final responses by the branch that they answer; each with its bytes, equal ones once.
    finals: BTreeMap<String, Vec<(u16, Bytes)>>,
}

const REMOTES: [&str; 3] = ["192.0.2.2:5060", "192.0.2.3:5060", "192.0.2.4:5060"];

impl Swarm {
    fn seeded(seed: u64) -> Self {
        Self {
            bench: Bench::new(),
            rng: StdRng::seed_from_u64(seed),
            asked: Vec::new(),
            open: Vec::new(),
            finals: BTreeMap::new(),
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.rng.random_range(0..100) {
                0..20 => self.ask(),
                20..30 => self.ask_again(),
                30..38 => self.cancel(),
                38..42 => self.acknowledge(),
                42..80 => self.reply(),
                80..84 => self.refuse_transport(),
                84..86 => self.answer_dns(),
                _ => {
                    let wait = self.rng.random_range(1..4_000);
                    self.bench.advance(millis(wait));
                }
            }
            self.settle();
        }
        // Nobody says anything any more.
        self.bench.advance(secs(1_200));
        self.settle();
    }

    fn ask(&mut self) {
        let method = if self.rng.random_bool(0.6) {
            "INVITE"
        } else {
            "MESSAGE"
        };
        let branch = format!("b{}", self.asked.len());
        self.bench.receive(udp(UPSTREAM), &text_of(method, &branch));
        self.asked.push((branch, method));
    }

    fn any_asked(&mut self) -> Option<(String, &'static str)> {
        let at = self.rng.random_range(0..self.asked.len().max(1));
        self.asked.get(at).cloned()
    }

    fn ask_again(&mut self) {
        if let Some((branch, method)) = self.any_asked() {
            // Only while the transaction remembers it; later it would be a new request.
            let recent = self.asked.len().saturating_sub(3);
            if self.asked[recent..].iter().any(|(b, _)| *b == branch) {
                self.bench.receive(udp(UPSTREAM), &text_of(method, &branch));
            }
        }
    }

    fn cancel(&mut self) {
        if let Some((branch, _)) = self.any_asked() {
            self.bench.receive(udp(UPSTREAM), &text_of("CANCEL", &branch));
        }
    }

    fn acknowledge(&mut self) {
        if let Some((branch, "INVITE")) = self.any_asked() {
            self.bench.receive(udp(UPSTREAM), &text_of("ACK", &branch));
        }
    }

    fn reply(&mut self) {
        let at = self.rng.random_range(0..self.open.len().max(1));
        if self.open.get(at).is_none() {
            return;
        }
        let statuses = [
            100, 180, 183, 200, 200, 302, 401, 404, 480, 486, 487, 500, 503, 603,
        ];
        let status = statuses[self.rng.random_range(0..statuses.len())];
        let sent = self.open.swap_remove(at);
        let tag = if self.rng.random_bool(0.5) { "x" } else { "y" };
        self.bench.answer_tagged(&sent, status, tag, &[]);
        if self.rng.random_bool(0.7) {
            self.open.push(sent);
        }
    }

    fn refuse_transport(&mut self) {
        if let Some(sent) = self.open.pop() {
            self.bench.fail_send(&sent);
        }
    }

    fn answer_dns(&mut self) {
        if let Some(question) = self.bench.resolves.pop() {
            let targets = REMOTES
                .iter()
                .map(|remote| ResolvedTarget {
                    transport: Transport::Udp,
                    remote: address(remote),
                })
                .take(self.rng.random_range(0..4))
                .collect();
            self.bench.core.handle(
                self.bench.now,
                SipInput::Resolved {
                    id: question.id,
                    targets,
                },
            );
        }
    }

    /// Plays the node: relays what comes, and files what leaves.
    fn settle(&mut self) {
        for event in self.bench.events() {
            if let CoreEvent::Request {
                transaction, request, ..
            } = event
            {
                let count = self.rng.random_range(1..4);
                let targets = (0..count)
                    .map(|at| match self.rng.random_range(0..4) {
                        0 => NextHopTarget::unchanged(uri("sip:far.example")),
                        _ => NextHopTarget::unchanged(to(REMOTES[at])),
                    })
                    .collect();
                self.bench
                    .core
                    .relay(self.bench.now, transaction, request, targets, Interface::Mw);
            }
        }
        for sent in self.bench.sent() {
            match &sent.message {
                SipMessage::Request(request)
                    if matches!(request.method(), Method::Invite | Method::Message) =>
                {
                    self.open.push(sent);
                }
                SipMessage::Request(_) => {}
                SipMessage::Response(response) => {
                    let method = response.cseq().expect("CSeq").method;
                    let branch = response
                        .top_via()
                        .expect("Via")
                        .branch()
                        .expect("branch")
                        .to_vec();
                    if response.status().is_final() && method != Method::Cancel {
                        let answers = self
                            .finals
                            .entry(String::from_utf8_lossy(&branch).into_owned())
                            .or_default();
                        let answer = (response.status().as_u16(), sent.transmit.bytes.clone());
                        if !answers.contains(&answer) {
                            answers.push(answer);
                        }
                    }
                }
            }
        }
    }

    fn check(&self, seed: u64) {
        assert!(self.bench.core.is_idle(), "SEED={seed}: something is left");
        let mut metrics = Metrics::default();
        self.bench.core.export_metrics(&mut metrics);
        for gauge in [
            "ims_sip_transactions",
            "ims_sip_forwards",
            "ims_sip_response_contexts",
        ] {
            assert_eq!(metrics.sum(gauge, &[]), 0, "SEED={seed}: {gauge}");
        }
        for (branch, method) in &self.asked {
            let answers = self
                .finals
                .get(&format!("z9hG4bK{branch}"))
                .map_or(&[][..], Vec::as_slice);
            let successes = answers.iter().filter(|(status, _)| *status < 300).count();
            let failures = answers.len() - successes;
            match *method {
                // Several 2xx may come, of several places; never a failure besides.
                "INVITE" => assert!(
                    (successes > 0 && failures == 0) || failures == 1,
                    "SEED={seed} {branch}: {successes} successes, {failures} failures"
                ),
                _ => assert!(
                    answers.len() <= 1,
                    "SEED={seed} {branch}: {} answers",
                    answers.len()
                ),
            }
        }
    }
}

fn text_of(method: &str, branch: &str) -> String {
    request(method, branch, &[]).replace("call-1", branch)
}

#[test]
fn every_request_gets_one_final_answer_and_nothing_is_left_behind() {
    for seed in 0..60 {
        let mut swarm = Swarm::seeded(seed);
        swarm.run(400);
        assert!(swarm.asked.len() > 20);
        swarm.check(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut swarm = Swarm::seeded(7);
        swarm.run(300);
        swarm.finals
    };
    assert_eq!(run(), run());
}
