use std::time::Instant;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::limits::SipLimits;

#[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn start() -> Instant {
    Instant::now()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn work(method: &str, uri: &str, extra: &str) -> Work {
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@h.example>;tag=1\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\n{extra}\r\n"
    );
    Work::of(&Message::parse(Bytes::from(text), &SipLimits::default()).unwrap())
}

fn register(extra: &str) -> Work {
    work(
        "REGISTER",
        "sip:h.example",
        &format!("To: <sip:a@h.example>\r\n{extra}"),
    )
}

#[test]
fn registers_that_answer_a_challenge_are_in_progress_and_first_ones_are_new() {
    let digest = "Authorization: Digest username=\"a@h.example\",realm=\"h\",uri=\"sip:h\",";
    assert_eq!(register(""), Work::New);
    assert_eq!(
        register(&format!("{digest}nonce=\"\",response=\"\"\r\n")),
        Work::New
    );
    let answer = "nonce=\"bm9uY2U=\",response=\"6629fae49393a05397450978507c4ef1\"\r\n";
    assert_eq!(register(&format!("{digest}{answer}")), Work::InProgress);
    let unusual = "nonce=\"bm9uY2U=\",Response = \"6629fae49393a05397450978507c4ef1\"\r\n";
    assert_eq!(register(&format!("{digest}{unusual}")), Work::InProgress);
    let resync = "nonce=\"bm9uY2U=\",response=\"\",auts=\"YXV0cw==\"\r\n";
    assert_eq!(register(&format!("{digest}{resync}")), Work::InProgress);
}

#[test]
fn dialogs_and_emergencies_go_before_what_is_new() {
    let to = "To: <sip:b@h.example>\r\n";
    for (method, uri, extra, expected) in [
        ("INVITE", "sip:b@h.example", to, Work::New),
        ("MESSAGE", "sip:b@h.example", to, Work::New),
        ("ACK", "sip:b@h.example", to, Work::InProgress),
        ("CANCEL", "sip:b@h.example", to, Work::InProgress),
        (
            "INVITE",
            "sip:b@h.example",
            "To: <sip:b@h.example>;tag=2\r\n",
            Work::InProgress,
        ),
        (
            "UPDATE",
            "sip:b@h.example",
            "To: <sip:b@h.example>;tag=2\r\n",
            Work::InProgress,
        ),
        ("INVITE", "urn:service:sos.police", to, Work::InProgress),
        ("INVITE", "tel:1-12;phone-context=+1", to, Work::InProgress),
        ("INVITE", "SIP:911@h.example;user=phone", to, Work::InProgress),
        ("INVITE", "tel:1120", to, Work::New),
        ("INVITE", "tel:+112", to, Work::New),
        ("INVITE", "sip:911a@h.example", to, Work::New),
    ] {
        assert_eq!(work(method, uri, extra), expected, "{method} {uri} {extra}");
    }
    assert_eq!(register("Contact: <sip:a@192.0.2.9;sos>\r\n"), Work::InProgress);
    let response = "SIP/2.0 200 OK\r\nCall-ID: c\r\n\r\n";
    let response = Message::parse(Bytes::from(response), &SipLimits::default()).unwrap();
    assert_eq!(Work::of(&response), Work::InProgress);
}

#[test]
fn retry_after_is_spread_over_its_range_and_never_zero() {
    let spread = RetryAfter {
        min: Duration::from_secs(5),
        max: Duration::from_secs(8),
    };
    let drawn: Vec<u64> = (0..5).map(|number| spread.of(number)).collect();
    assert_eq!(drawn, [5, 6, 7, 8, 5]);
    let none = RetryAfter {
        min: Duration::ZERO,
        max: Duration::ZERO,
    };
    assert_eq!(none.of(u64::MAX), 1);
}

fn waiting(places: usize) -> Waiting<u32> {
    Waiting::new(WaitingLimits {
        places,
        delay: ms(50),
    })
}

#[test]
fn work_in_progress_is_served_before_what_is_new() {
    let now = start();
    let mut waiting = waiting(9);
    for (work, item) in [
        (Work::New, 1),
        (Work::InProgress, 2),
        (Work::New, 3),
        (Work::InProgress, 4),
    ] {
        assert_eq!(waiting.push(now, work, item), None);
    }
    let order: Vec<_> = std::iter::from_fn(|| waiting.pop(now)).collect();
    assert_eq!(order, [2, 4, 1, 3].map(Next::Serve));
    assert!(waiting.is_empty());
}

#[test]
fn a_full_queue_gives_up_its_oldest_new_work_and_only_then_work_in_progress() {
    let now = start();
    let mut waiting = waiting(2);
    assert_eq!(waiting.push(now, Work::New, 1), None);
    assert_eq!(waiting.push(now, Work::New, 2), None);
    assert_eq!(waiting.push(now, Work::InProgress, 3), Some(Excess::Refuse(1)));
    assert_eq!(waiting.push(now, Work::New, 4), Some(Excess::Refuse(2)));
    assert_eq!(waiting.push(now, Work::InProgress, 5), Some(Excess::Refuse(4)));
    assert!(waiting.is_half_full());
    assert_eq!(waiting.push(now, Work::InProgress, 6), Some(Excess::Drop(3)));
}

/// The thread was not scheduled for a while: what came meanwhile is late, but served.
#[test]
fn a_burst_is_served_and_a_standing_queue_is_refused_oldest_first() {
    let mut now = start();
    let mut waiting = waiting(99);
    for item in 0..10 {
        waiting.push(now, Work::New, item);
    }
    now += ms(200);
    for item in 0..10 {
        assert_eq!(waiting.pop(now), Some(Next::Serve(item)));
    }
    // From here on two come for each that is served.
    let (mut served, mut refused) = (Vec::new(), Vec::new());
    for round in 0..400_u32 {
        waiting.push(now, Work::New, round * 2);
        waiting.push(now, Work::New, round * 2 + 1);
        now += ms(5);
        loop {
            match waiting.pop(now) {
                Some(Next::Refuse(item)) => refused.push(item),
                Some(Next::Serve(item)) => {
                    served.push(item);
                    break;
                }
                None => break,
            }
        }
        assert!(
            waiting.delay() <= ms(200),
            "{:?} in round {round}",
            waiting.delay()
        );
    }
    assert_eq!(served.len(), 400, "it is never idle");
    assert!(refused.len() > 300, "{} refused", refused.len());
    assert!(refused.is_sorted() && served.is_sorted(), "oldest first");
    assert!(waiting.delay() <= ms(60), "{:?}", waiting.delay());
}

#[test]
fn refusals_do_not_keep_work_in_progress_waiting() {
    let now = start();
    let mut waiting = waiting(99);
    for item in 0..3 {
        waiting.push(now, Work::New, item);
        waiting.push(now, Work::InProgress, item + 10);
    }
    let late = now + ms(501);
    let order: Vec<_> = std::iter::from_fn(|| waiting.pop(late)).collect();
    let expected = [
        Next::Refuse(0),
        Next::Serve(10),
        Next::Refuse(1),
        Next::Serve(11),
        Next::Refuse(2),
        Next::Serve(12),
    ];
    assert_eq!(order, expected);
}

/// How many are asked and taken a second by a next hop that takes 100 and lets five wait, when so many come.
fn asked_and_taken(offered: u32) -> (u32, u32) {
    let mut rng = StdRng::seed_from_u64(7);
    let (mut throttle, mut now) = (Throttle::default(), start());
    let mut free_at = now;
    let (mut asked, mut taken) = (0, 0);
    for second in 0..30 {
        if second == 20 {
            (asked, taken) = (0, 0);
        }
        for _ in 0..offered {
            now += Duration::from_secs(1) / offered;
            if throttle.sheds(now, &mut rng) {
                continue;
            }
            asked += 1;
            if free_at <= now + ms(50) {
                free_at = free_at.max(now) + ms(10);
                taken += 1;
                throttle.on_taken(now);
            } else {
                throttle.on_refused(now);
            }
        }
    }
    (asked / 10, taken / 10)
}

#[test]
fn a_next_hop_that_refuses_is_asked_for_little_more_than_it_takes() {
    assert_eq!(
        asked_and_taken(90),
        (90, 90),
        "nothing is shed while all is taken"
    );
    for offered in [200, 400, 1_000] {
        let (asked, taken) = asked_and_taken(offered);
        assert!(
            taken >= 95 && asked <= 125,
            "{asked} asked, {taken} taken of {offered}"
        );
    }
}

#[test]
fn a_next_hop_that_recovers_gets_everything_again() {
    let mut rng = StdRng::seed_from_u64(7);
    let (mut throttle, mut now) = (Throttle::default(), start());
    for _ in 0..1_000 {
        now += ms(2);
        if !throttle.sheds(now, &mut rng) {
            throttle.on_refused(now);
        }
    }
    assert!(throttle.permille() > 900);
    for _ in 0..15_000 {
        now += ms(2);
        if !throttle.sheds(now, &mut rng) {
            throttle.on_taken(now);
        }
    }
    assert_eq!(throttle.permille(), 0);
}

#[test]
fn the_emergency_numbers_of_a_network_go_before_what_is_new_and_re_registrations_before_first_ones() {
    let priorities = Priorities::with_emergency_numbers(["110", "*08"]);
    let of = |interface, method: &str, uri: &str| {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@h.example>;tag=1\r\n\
             To: <sip:a@h.example>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
        );
        let message = Message::parse(Bytes::from(text), &SipLimits::default()).unwrap();
        let flow = crate::net::Flow {
            interface,
            transport: crate::net::Transport::Udp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: "192.0.2.9:5060".parse().unwrap(),
            connection: None,
        };
        priorities.work_of(&flow, &message)
    };
    use crate::net::Interface::{Gm, GmProtected};
    for uri in [
        "tel:110",
        "sip:1-1-0@h.example;user=phone",
        "tel:*08",
        "tel:112",
        "urn:service:sos.fire",
    ] {
        assert_eq!(of(Gm, "INVITE", uri), Work::InProgress, "{uri}");
    }
    assert_eq!(of(Gm, "INVITE", "tel:1100"), Work::New);
    assert_eq!(of(Gm, "REGISTER", "sip:h.example"), Work::New);
    assert_eq!(of(GmProtected, "REGISTER", "sip:h.example"), Work::InProgress);
    assert_eq!(of(GmProtected, "INVITE", "tel:1100"), Work::New);
}

/// Which seconds a thousand phones that were refused within a second come again in.
fn comebacks(limits: StormLimits) -> Vec<u64> {
    let (mut storm, mut now) = (Storm::new(limits), start());
    let spread = RetryAfter::default();
    let mut seconds = Vec::new();
    for n in 0..1_000 {
        seconds.push(n / 1_000 + storm.put_off(now, spread));
        now += ms(1);
    }
    seconds
}

#[test]
fn phones_that_are_refused_come_again_at_the_rate_at_which_others_may_begin() {
    let seconds = comebacks(StormLimits {
        per_second: Some(100),
        retry_after_max: ms(600_000),
    });
    assert_eq!(seconds.iter().min(), Some(&5));
    for second in 6..13 {
        let count = seconds.iter().filter(|at| **at == second).count();
        assert!((80..=125).contains(&count), "{count} in second {second}");
    }
}

#[test]
fn past_the_longest_retry_after_the_slots_begin_again() {
    let seconds = comebacks(StormLimits {
        per_second: Some(10),
        retry_after_max: ms(15_000),
    });
    assert!(
        seconds.iter().all(|seconds| (4..=15).contains(seconds)),
        "{seconds:?}"
    );
    for second in 6..14 {
        let count = seconds.iter().filter(|at| **at == second).count();
        assert!((80..=130).contains(&count), "{count} in second {second}");
    }
}

#[test]
fn a_configured_rate_lets_a_second_of_registers_pass_at_once_and_then_its_rate() {
    let (mut storm, mut now) = (
        Storm::new(StormLimits {
            per_second: Some(50),
            retry_after_max: ms(60_000),
        }),
        start(),
    );
    let passed = |storm: &mut Storm, now: Instant| (0..1_000).filter(|_| !storm.is_over(now)).count();
    assert_eq!(passed(&mut storm, now), 50);
    now += ms(500);
    assert_eq!(passed(&mut storm, now), 25);
}

#[test]
fn a_storm_is_told_every_five_seconds_with_its_rate_and_its_retry_after() {
    let (mut storm, mut now) = (
        Storm::new(StormLimits {
            per_second: Some(10),
            retry_after_max: ms(60_000),
        }),
        start(),
    );
    assert_eq!(storm.poll_state(now), None);
    let mut told = Vec::new();
    for _ in 0..100 {
        storm.put_off(now, RetryAfter::default());
        told.extend(storm.poll_state(now));
        now += ms(100);
    }
    assert_eq!(told.len(), 2);
    assert_eq!((told[1].per_second, told[1].refused), (10, 60));
    assert_eq!(told[1].retry_after.0, 5);
}
