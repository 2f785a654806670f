//! Testkit: a P-CSCF on a bench that is scanned and flooded.

use ims_common::net::{Command, NetInput};
use ims_common::node::Node;

use super::{Bench, Register, answer, gm_flow, grant};

const SCANNER: &str = "127.0.1.66:5070";
const GUARD: &str =
    ", guard: {failures_per_minute: 1, messages_per_second: 5, burst: 5, messages_per_contact: 0}";

fn request(method: &str, from: &str, number: u32, agent: &str) -> String {
    format!(
        "{method} sip:{number}@127.0.1.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bK-scan-{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:100@1.1.1.1>;tag=s\r\nTo: <sip:{number}@127.0.1.1>\r\n\
         Call-ID: scan-{number}\r\nCSeq: 1 {method}\r\nUser-Agent: {agent}\r\n\
         Contact: <sip:100@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Codes that the scanner sees for each of its INVITEs, 0 for none.
fn scan(bench: &mut Bench, agent: &str, count: u32) -> Vec<u16> {
    let mut seen = Vec::new();
    for number in 0..count {
        bench.receive(gm_flow(SCANNER), &request("MESSAGE", SCANNER, number, agent));
        seen.push(match bench.is_quiet() {
            true => 0,
            false => bench.final_response().status().as_u16(),
        });
        bench.now += std::time::Duration::from_millis(300);
    }
    seen
}

#[test]
fn whoever_tries_one_request_after_another_without_a_registration_is_banned() {
    let mut bench = Bench::with("", GUARD);
    let seen = scan(&mut bench, "x", 14);
    // Ten times its limit, for the node has just started.
    assert_eq!(seen, [[403].repeat(11), [0].repeat(3)].concat());
    assert_eq!(bench.count("ims_pcscf_guard_bans_total", "not_registered"), 1);
    assert!(bench.node.turns_away(bench.now, &gm_flow(SCANNER)));
    let phone = Register::default();
    bench.register(
        &phone,
        &grant("sip:001010000000001@127.0.1.10:5060", 600, "sip:s.home.test;lr"),
    );
    assert_eq!(bench.node.contact_count(), 1);
}

#[test]
fn refused_registers_of_many_names_ban_whoever_tries_them() {
    let mut bench = Bench::with("", GUARD);
    for cseq in 1..20 {
        let register = Register {
            from: SCANNER,
            ..Register::nth(cseq)
        };
        bench.receive(register.flow(), &register.text());
        if bench.is_quiet() {
            break;
        }
        let request = bench.request();
        bench.home_answers(&request, 403, "");
        bench.flush();
        bench.now += std::time::Duration::from_millis(300);
    }
    assert_eq!(bench.count("ims_pcscf_guard_bans_total", "register_refused"), 1);
}

#[test]
fn a_banned_source_may_be_told_so() {
    let mut bench = Bench::with("", ", guard: {banned: reject}");
    let seen = scan(&mut bench, "sipcli/v1.8", 5);
    assert_eq!(seen, [0, 0, 0, 403, 403]);
    assert!(
        !bench.node.turns_away(bench.now, &gm_flow(SCANNER)),
        "it is answered"
    );
}

#[test]
fn the_connection_of_a_banned_source_is_closed() {
    let mut bench = Bench::new();
    let mut flow = gm_flow(SCANNER);
    flow.transport = ims_common::net::Transport::Tcp;
    flow.connection = Some(ims_common::net::ConnectionId(7));
    bench.receive(flow, &request("OPTIONS", SCANNER, 1, "friendly-scanner"));
    assert_eq!(bench.closed, [ims_common::net::ConnectionId(7)]);
    assert!(bench.is_quiet());
}

#[test]
fn the_operator_lifts_the_ban_of_an_address() {
    let mut bench = Bench::new();
    assert_eq!(scan(&mut bench, "sipvicious", 3), [0, 0, 0]);
    let unban = Command::Unban("127.0.1.66".parse().unwrap());
    bench.node.handle(bench.now, NetInput::Command(unban));
    assert_eq!(scan(&mut bench, "x", 1), [403]);
}

#[test]
fn a_flood_gets_a_few_503_and_then_nothing() {
    let mut bench = Bench::with("", GUARD);
    let mut codes = Vec::new();
    for number in 0..30 {
        bench.receive(gm_flow(SCANNER), &request("SUBSCRIBE", SCANNER, number, "x"));
        codes.push(match bench.is_quiet() {
            true => 0,
            false => bench.final_response().status().as_u16(),
        });
    }
    codes.dedup();
    assert_eq!(codes, [403, 503, 0]);
}

/// The answer to the last REGISTER of a busy NAT is no failure of anybody.
#[test]
fn answers_other_than_refusals_of_the_user_are_no_failures() {
    let mut bench = Bench::with("", GUARD);
    for cseq in 1..20 {
        let register = Register::nth(cseq);
        bench.receive(register.flow(), &register.text());
        let request = bench.request();
        bench.home_says(&answer(&request, 503, "Retry-After: 5\r\n"));
        bench.flush();
        bench.now += std::time::Duration::from_secs(1);
    }
    assert_eq!(
        bench.count("ims_pcscf_guard_failures_total", "register_refused"),
        0
    );
}
