//! Testkit: sources, limits and bans by themselves.

use bytes::Bytes;
use ims_common::limits::SipLimits;

use super::*;
use crate::config::GuardConfig;

#[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn start() -> Instant {
    Instant::now()
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn guard(change: impl FnOnce(&mut GuardConfig)) -> Guard {
    let mut config = GuardConfig {
        messages_per_second: 10,
        burst: 20,
        failures_per_minute: 6,
        ..GuardConfig::default()
    };
    change(&mut config);
    let place = ims_common::steering::ShardPlace::ALONE;
    let pool = ["198.51.100.0/24".parse().unwrap()];
    let mut guard = Guard::new(config.policy(&pool, place).unwrap().unwrap());
    // The first ten minutes are over, unless a test wants them.
    guard.started = Some(start() - START);
    guard
}

fn sender(address: &str, contacts: usize) -> Sender {
    Sender {
        address: address.parse().unwrap(),
        contacts,
        is_forgeable: false,
    }
}

fn message(agent: &str) -> Message {
    let text = format!(
        "OPTIONS sip:p.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@h.example>;tag=1\r\n\
         To: <sip:a@h.example>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nUser-Agent: {agent}\r\n\r\n"
    );
    Message::parse(Bytes::from(text), &SipLimits::default()).unwrap()
}

/// Failures until the ban.
fn fail(guard: &mut Guard, now: Instant, sender: Sender) -> u32 {
    let mut failures = 0;
    while !guard.is_banned(now, sender.address) {
        guard.failed(now, sender, Failure::Register);
        failures += 1;
        assert!(failures < 100_000, "never banned");
    }
    failures
}

const SCANNER: &str = "192.0.2.66";

#[test]
fn a_source_that_fails_more_than_its_limit_is_banned_and_others_are_not() {
    let (mut guard, now) = (guard(|_| {}), start());
    assert_eq!(fail(&mut guard, now, sender(SCANNER, 0)), 7);
    assert!(guard.turns_away(now, SCANNER.parse().unwrap()));
    assert!(!guard.turns_away(now, "192.0.2.67".parse().unwrap()));
    assert_eq!(
        guard.on_message(now, sender("192.0.2.67", 0), &message("x")),
        Verdict::Pass
    );
}

#[test]
fn what_fails_at_the_allowed_rate_is_never_banned() {
    let (mut guard, mut now) = (guard(|_| {}), start());
    for _ in 0..1_000 {
        guard.failed(now, sender(SCANNER, 0), Failure::NotRegistered);
        now += secs(10);
    }
    assert!(!guard.is_banned(now, SCANNER.parse().unwrap()));
}

#[test]
fn each_ban_is_twice_as_long_as_the_one_before_up_to_the_longest_and_quiet_is_forgiven() {
    let mut guard = guard(|config| config.ban_max = ims_common::config::DurationText::secs(200));
    let mut now = start();
    let mut lasted = Vec::new();
    for _ in 0..4 {
        fail(&mut guard, now, sender(SCANNER, 0));
        lasted.push(guard.bans(now)[0].left.as_secs());
        now = guard.bans.poll_timeout().unwrap();
        guard.handle_timeout(now);
        assert!(guard.bans(now).is_empty());
    }
    assert_eq!(lasted, [60, 120, 200, 200]);
    // Four hours of quiet: the four bans count no more.
    for _ in 0..4 {
        now = guard.bans.poll_timeout().unwrap();
        guard.handle_timeout(now);
    }
    assert_eq!(guard.bans.poll_timeout(), None);
    fail(&mut guard, now, sender(SCANNER, 0));
    assert_eq!(guard.bans(now)[0].left.as_secs(), 60);
}

#[test]
fn the_sign_of_a_scanner_bans_at_once_but_not_whoever_shares_an_address_with_phones() {
    let (mut guard, now) = (guard(|_| {}), start());
    let sign = message("Friendly-Scanner 0.3");
    assert_eq!(guard.on_message(now, sender(SCANNER, 3), &sign), Verdict::Drop);
    assert!(!guard.is_banned(now, SCANNER.parse().unwrap()));
    assert_eq!(guard.on_message(now, sender(SCANNER, 0), &sign), Verdict::Drop);
    assert!(guard.is_banned(now, SCANNER.parse().unwrap()));
}

#[test]
fn contacts_behind_a_source_raise_its_limits() {
    let (mut guard, now) = (guard(|_| {}), start());
    let nat = sender("192.0.2.1", 1_000);
    for _ in 0..10_000 {
        guard.failed(now, nat, Failure::Register);
    }
    assert!(!guard.is_banned(now, nat.address));
    let passed = |guard: &mut Guard, sender: Sender| {
        let verdicts = (0..20_000).map(|_| guard.on_message(now, sender, &message("x")));
        verdicts.filter(|verdict| *verdict == Verdict::Pass).count()
    };
    assert_eq!(passed(&mut guard, sender("192.0.2.2", 0)), 20);
    assert_eq!(passed(&mut guard, sender("192.0.2.3", 1_000)), 20 + 5 * 1_000);
}

#[test]
fn registrations_make_up_for_failures_but_in_a_minute_for_no_more_than_the_limit() {
    let (mut guard, now) = (guard(|_| {}), start());
    let nat = sender("192.0.2.1", 0);
    for _ in 0..6 {
        guard.failed(now, nat, Failure::Register);
    }
    for _ in 0..100 {
        guard.registered(now, nat);
    }
    assert_eq!(fail(&mut guard, now, nat), 6);
    let later = now + secs(600);
    guard.handle_timeout(later);
    assert_eq!(fail(&mut guard, later, nat), 7);
}

#[test]
fn who_may_be_forged_is_banned_for_the_first_term_only_until_a_registration_proved_it() {
    let (mut guard, mut now) = (guard(|_| {}), start());
    let forged = Sender {
        is_forgeable: true,
        ..sender(SCANNER, 0)
    };
    let mut lasted = Vec::new();
    for round in 0..4 {
        if round >= 2 {
            guard.registered(now, forged);
        }
        fail(&mut guard, now, forged);
        let left = guard.bans(now)[0].left;
        lasted.push(left.as_secs());
        now += left;
        guard.handle_timeout(now);
    }
    assert_eq!(lasted, [60, 60, 120, 240]);
}

#[test]
fn one_datagram_with_the_sign_of_a_scanner_may_be_forged_and_the_third_bans() {
    let (mut guard, now) = (guard(|_| {}), start());
    let forged = Sender {
        is_forgeable: true,
        ..sender(SCANNER, 0)
    };
    let banned = [(); 3].map(|()| {
        guard.on_message(now, forged, &message("sipvicious"));
        guard.is_banned(now, forged.address)
    });
    assert_eq!(banned, [false, false, true]);
}

#[test]
fn bans_of_many_addresses_do_not_fill_the_timeline() {
    let (mut guard, now) = (guard(|_| {}), start());
    for n in 0..1_000 {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
        guard.on_message(now, sender(&address, 0), &message("sipvicious"));
    }
    assert_eq!(guard.bans(now).len(), 1_000);
    assert_eq!(std::iter::from_fn(|| guard.poll_fresh()).count(), 30);
}

#[test]
fn the_pool_of_ues_is_never_banned_but_limited() {
    let (mut guard, now) = (guard(|_| {}), start());
    let ue = sender("198.51.100.7", 0);
    for _ in 0..1_000 {
        guard.failed(now, ue, Failure::Malformed);
    }
    assert!(!guard.is_banned(now, ue.address));
    let mut verdicts: Vec<Verdict> = (0..60)
        .map(|_| guard.on_message(now, ue, &message("x")))
        .collect();
    verdicts.dedup();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Excess, Verdict::Drop]);
}

#[test]
fn an_ipv6_source_is_its_64_bits() {
    let (mut guard, now) = (guard(|_| {}), start());
    for host in 1..=7 {
        guard.failed(
            now,
            sender(&format!("2001:db8:0:1::{host}"), 0),
            Failure::Register,
        );
    }
    assert!(guard.is_banned(now, "2001:db8:0:1:ffff::9".parse().unwrap()));
    assert!(!guard.is_banned(now, "2001:db8:0:2::1".parse().unwrap()));
    assert_eq!(guard.bans(now)[0].source.to_string(), "2001:db8:0:1::/64");
    let mapped = Source::of("::ffff:192.0.2.1".parse().unwrap());
    assert_eq!(mapped, Source::of("192.0.2.1".parse().unwrap()));
}

#[test]
fn challenges_that_come_to_nothing_are_failures_and_those_that_do_not_are_none() {
    let (mut guard, mut now) = (guard(|_| {}), start());
    let (scanner, nat) = (sender(SCANNER, 0), sender("192.0.2.1", 0));
    for _ in 0..90 {
        for source in [scanner, nat] {
            guard.on_message(now, source, &message("x"));
            guard.challenged(now, source.address);
        }
        // Answered after a second.
        now += secs(1);
        guard.registered(now, nat);
    }
    assert!(guard.is_banned(now, scanner.address));
    assert!(!guard.is_banned(now, nat.address));
}

#[test]
fn after_a_start_a_nat_whose_phones_nobody_knows_any_more_is_borne_with() {
    let (mut guard, now) = (guard(|_| {}), start());
    guard.started = None;
    assert_eq!(fail(&mut guard, now, sender("192.0.2.1", 0)), 61);
}

/// An attacker with many addresses: neither his long ban nor what is known of a source that goes on is forgotten.
#[test]
fn many_addresses_drive_out_neither_a_longer_ban_nor_who_goes_on_sending() {
    let mut guard = guard(|config| (config.bans, config.sources) = (8, 100));
    let mut now = start();
    for _ in 0..3 {
        fail(&mut guard, now, sender(SCANNER, 0));
        now += secs(60);
        guard.handle_timeout(now);
        now = guard.bans.poll_timeout().map_or(now, |at| now.max(at));
    }
    fail(&mut guard, now, sender(SCANNER, 0));
    let other = |n: u32| sender(&std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string(), 0);
    let goes_on = sender("192.0.2.99", 0);
    for n in 0..5_000 {
        if n % 40 == 0 {
            guard.failed(now, goes_on, Failure::Register);
        }
        guard.on_message(now, other(n), &message("sipvicious"));
        guard.on_message(now, other(n + 100_000), &message("x"));
        assert!(guard.is_banned(now, SCANNER.parse().unwrap()), "after {n}");
    }
    assert!(guard.is_banned(now, goes_on.address));
    assert!(guard.bans(now).len() <= 8 && guard.watched.len() <= 100);
}

#[test]
fn the_operator_lifts_a_ban_and_it_is_forgotten() {
    let (mut guard, now) = (guard(|_| {}), start());
    fail(&mut guard, now, sender(SCANNER, 0));
    guard.turns_away(now, SCANNER.parse().unwrap());
    assert_eq!(guard.bans(now)[0].dropped, 1);
    assert!(guard.unban(SCANNER.parse().unwrap()));
    assert!(!guard.is_banned(now, SCANNER.parse().unwrap()));
    assert_eq!(fail(&mut guard, now, sender(SCANNER, 0)), 7);
    assert_eq!(guard.bans(now)[0].times, 1);
}

#[test]
fn the_log_gets_no_more_than_its_lines() {
    let (mut journal, now) = (Journal::default(), start());
    let written = (0..1_000).filter(|_| journal.line(now).is_some()).count();
    assert_eq!(written, 30);
    assert_eq!(journal.line(now + secs(3)), Some(970));
}

#[test]
fn whoever_is_silent_is_forgotten_and_nothing_is_left() {
    let (mut guard, mut now) = (guard(|_| {}), start());
    guard.on_message(now, sender(SCANNER, 0), &message("x"));
    assert_eq!(guard.watched.len(), 1);
    while let Some(at) = guard.poll_timeout() {
        now = at;
        guard.handle_timeout(now);
    }
    assert_eq!(guard.watched.len(), 0);
}
