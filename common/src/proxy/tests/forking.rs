//! Testkit: forks whose answers come to the node: groups in turn, why losers are cancelled, forks that are given up
//! (SE-16, SE-17).

use super::*;

const B: &str = "192.0.2.2:5060";
const C: &str = "192.0.2.3:5060";
const D: &str = "192.0.2.4:5060";

impl Bench {
    fn fork(&mut self, method: &str, groups: &[&[&str]], group_time: Option<Duration>) -> Forked {
        let (transaction, request) = self.receive_new(&request(method, "1", &[]));
        self.fork_again(transaction, &request, groups, group_time);
        Forked { transaction, request }
    }

    fn fork_again(
        &mut self,
        transaction: ServerTransactionId,
        request: &Request,
        groups: &[&[&str]],
        group_time: Option<Duration>,
    ) {
        let targets = |group: &&[&str]| group.iter().map(|r| NextHopTarget::unchanged(to(r))).collect();
        let plan = ForkPlan {
            groups: groups.iter().map(targets).collect(),
            group_time,
        };
        self.core
            .fork(self.now, transaction, request.clone(), plan, Interface::Mw);
    }

    /// Statuses that the node was told of; failures as what they are as good as.
    fn told(&mut self) -> Vec<u16> {
        let status = |event| match event {
            CoreEvent::Forked {
                answer: ForkAnswer::Response(response),
                ..
            } => response.status().as_u16(),
            CoreEvent::Forked {
                answer: ForkAnswer::Failed(failure),
                ..
            } => failure.status().as_u16(),
            CoreEvent::Forked {
                answer: ForkAnswer::Trying,
                ..
            } => 100,
            CoreEvent::Cancelled { .. } => 0,
            other => panic!("not of a fork: {other:?}"),
        };
        self.events().into_iter().map(status).collect()
    }

    fn requests(&mut self) -> Vec<Sent> {
        let sent = self.sent();
        sent.into_iter()
            .filter(|sent| matches!(sent.message, SipMessage::Request(_)))
            .filter(|sent| sent.method() != Method::Ack)
            .collect()
    }
}

struct Forked {
    transaction: ServerTransactionId,
    request: Request,
}

#[test]
fn a_100_is_a_sign_of_life_for_the_node_and_for_nobody_else() {
    let mut bench = Bench::new();
    bench.fork("MESSAGE", &[&[B]], None);
    let branches = bench.requests();
    bench.answer(&branches[0], 100);
    assert_eq!(bench.told(), [100]);
    assert!(bench.requests().is_empty());
}

#[test]
fn answers_of_a_fork_come_to_the_node_and_nothing_goes_upstream_by_itself() {
    let mut bench = Bench::new();
    bench.fork("INVITE", &[&[B, C]], None);
    let branches = bench.requests();
    bench.answer(&branches[0], 180);
    bench.answer(&branches[0], 486);
    bench.answer(&branches[1], 503);
    assert_eq!(bench.told(), [180, 486]);
    assert!(statuses(&bench.sent()).is_empty());
}

#[test]
fn a_503_comes_to_the_node_as_it_is() {
    let mut bench = Bench::new();
    bench.fork("MESSAGE", &[&[B]], None);
    let branches = bench.requests();
    bench.answer(&branches[0], 503);
    assert_eq!(bench.told(), [503]);
}

#[test]
fn silence_and_a_dead_host_come_to_the_node_as_failures() {
    let mut bench = Bench::new();
    bench.fork("MESSAGE", &[&[B]], None);
    bench.advance(secs(33));
    assert_eq!(bench.told(), [408]);
    bench.fork_again_fresh("2", &[&[C]]);
    let sent = bench.requests();
    bench.fail_send(&sent[0]);
    assert_eq!(bench.told(), [503]);
}

impl Bench {
    fn fork_again_fresh(&mut self, branch: &str, groups: &[&[&str]]) {
        self.sent();
        let text = request("MESSAGE", branch, &[]).replace("call-1", "call-2");
        let (transaction, request) = self.receive_new(&text);
        self.fork_again(transaction, &request, groups, None);
    }
}

#[test]
fn the_next_group_begins_when_the_one_before_it_has_failed() {
    let mut bench = Bench::new();
    bench.fork("INVITE", &[&[B], &[C, D]], None);
    let first = bench.requests();
    assert_eq!(first.len(), 1);
    bench.answer(&first[0], 486);
    let second = bench.requests();
    assert_eq!(second.len(), 2);
    assert_eq!(bench.told(), [0_u16; 0]);
    bench.answer(&second[0], 480);
    bench.answer(&second[1], 404);
    assert_eq!(bench.told(), [486], "the first of equals is the best");
}

#[test]
fn a_6xx_is_the_end_of_all_groups() {
    let mut bench = Bench::new();
    bench.fork("INVITE", &[&[B], &[C]], None);
    let first = bench.requests();
    bench.answer(&first[0], 603);
    assert_eq!(bench.told(), [603]);
    assert!(bench.requests().is_empty());
}

#[test]
fn a_group_that_only_rings_gives_way_after_its_time() {
    let mut bench = Bench::new();
    bench.fork("INVITE", &[&[B], &[C]], Some(secs(20)));
    let first = bench.requests();
    bench.answer(&first[0], 180);
    bench.advance(secs(19));
    assert!(bench.requests().is_empty());
    bench.advance(secs(1));
    assert_eq!(methods(&bench.sent()), ["CANCEL", "INVITE"]);
    // The last group has all the time it needs.
    bench.advance(secs(25));
    bench.answer(&first[0], 487);
    assert_eq!(bench.told(), [180]);
}

#[test]
fn losers_learn_that_the_call_was_completed_elsewhere() {
    let mut bench = Bench::new();
    bench.fork("INVITE", &[&[B, C]], None);
    let branches = bench.requests();
    bench.answer(&branches[0], 180);
    bench.answer(&branches[1], 180);
    bench.answer(&branches[1], 200);
    assert_eq!(bench.told(), [180, 180, 200]);
    let cancel = bench.requests();
    assert_eq!(methods(&cancel), ["CANCEL"]);
    assert_eq!(cancel[0].remote(), address(B));
    let reason = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n";
    assert!(cancel[0].text().contains(reason), "{}", cancel[0].text());
    // The 487 of the loser is nobody's answer, a second 2xx is (RFC 3261 16.7 step 5).
    bench.answer(&branches[0], 487);
    assert_eq!(bench.told(), [0_u16; 0]);
    bench.answer_tagged(&branches[1], 200, "b2", &[]);
    assert_eq!(bench.told(), [200]);
}

#[test]
fn a_cancel_from_upstream_ends_the_fork_and_the_node_knows() {
    let mut bench = Bench::new();
    let forked = bench.fork("INVITE", &[&[B], &[C]], None);
    let branches = bench.requests();
    bench.answer(&branches[0], 180);
    let reason = "Reason: Q.850;cause=16";
    bench.receive(udp(UPSTREAM), &request("CANCEL", "1", &[reason]));
    assert_eq!(bench.told(), [180, 0]);
    let cancel = bench.requests();
    assert_eq!(methods(&cancel), ["CANCEL"]);
    assert!(cancel[0].text().contains(reason));
    bench.answer(&branches[0], 487);
    assert_eq!(bench.told(), [487], "the second group never begins");
    assert!(bench.core.awaits_final(forked.transaction));
}

#[test]
fn late_answers_of_a_fork_that_was_given_up_are_dropped() {
    let mut bench = Bench::new();
    let forked = bench.fork("INVITE", &[&[B]], None);
    let old = bench.requests();
    bench.answer(&old[0], 180);
    bench.fork_again(forked.transaction, &forked.request, &[&[C]], None);
    let sent = bench.requests();
    assert_eq!(methods(&sent), ["CANCEL", "INVITE"]);
    bench.answer(&old[0], 200);
    assert_eq!(bench.told(), [180]);
    assert_eq!(
        bench.count("ims_sip_responses_dropped_total", "of_an_earlier_fork"),
        1
    );
    bench.answer(&sent[1], 200);
    assert_eq!(bench.told(), [200]);
}
