//! Machine: one test per row of RFC 3539 Appendix A, or per group of equal rows.

use rand::rngs::StdRng;

use super::*;
use crate::diameter::testing::{secs, start};
use crate::node::Seed;

const TW: Duration = Duration::from_secs(30);

struct Bench {
    now: Instant,
    rng: StdRng,
    watchdog: Watchdog,
}

impl Bench {
    fn initial() -> Self {
        Self {
            now: start(),
            rng: Seed::from_number(3).rng(0),
            watchdog: Watchdog::new(TW),
        }
    }

    fn okay() -> Self {
        let mut bench = Self::initial();
        assert!(bench.up().is_empty());
        bench
    }

    fn suspect() -> Self {
        let mut bench = Self::okay();
        bench.expire();
        bench.expire();
        bench
    }

    fn reopen() -> Self {
        let mut bench = Self::okay();
        bench.watchdog.connection_down();
        assert_eq!(bench.up()[..], [WatchdogAction::SendDwr]);
        bench
    }

    fn up(&mut self) -> WatchdogActions {
        self.watchdog.connection_up(self.now, &mut self.rng)
    }

    fn dwa(&mut self) -> WatchdogActions {
        self.watchdog.received_dwa(self.now, &mut self.rng)
    }

    fn other(&mut self) -> WatchdogActions {
        self.watchdog.received_other(self.now, &mut self.rng)
    }

    /// Goes to the instant of Tw.
    fn expire(&mut self) -> WatchdogActions {
        self.now = self.watchdog.poll_timeout().expect("Tw runs");
        self.watchdog.handle_timeout(self.now, &mut self.rng)
    }

    fn state(&self) -> WatchdogState {
        self.watchdog.state()
    }
}

#[test]
fn initial_connection_up_goes_to_okay() {
    let bench = Bench::okay();
    assert_eq!(bench.state(), WatchdogState::Okay);
    assert!(bench.watchdog.poll_timeout().is_some());
}

#[test]
fn initial_and_down_throw_messages_away_and_run_no_timer() {
    let mut bench = Bench::initial();
    assert!(bench.dwa().is_empty() && bench.other().is_empty());
    assert_eq!(
        (bench.state(), bench.watchdog.poll_timeout()),
        (WatchdogState::Initial, None)
    );
    let mut bench = Bench::okay();
    bench.watchdog.connection_down();
    assert!(bench.dwa().is_empty() && bench.other().is_empty());
    assert_eq!(
        (bench.state(), bench.watchdog.poll_timeout()),
        (WatchdogState::Down, None)
    );
}

#[test]
fn okay_any_message_sets_the_watchdog_again() {
    for is_dwa in [true, false] {
        let mut bench = Bench::okay();
        let before = bench.watchdog.poll_timeout().unwrap();
        bench.now += secs(20);
        let actions = if is_dwa { bench.dwa() } else { bench.other() };
        assert!(actions.is_empty());
        assert!(bench.watchdog.poll_timeout().unwrap() > before);
    }
}

#[test]
fn okay_timer_expires_without_pending_sends_a_dwr() {
    let mut bench = Bench::okay();
    assert_eq!(bench.expire()[..], [WatchdogAction::SendDwr]);
    assert_eq!(bench.state(), WatchdogState::Okay);
}

#[test]
fn okay_dwa_clears_pending_so_the_next_expiry_sends_a_dwr_again() {
    let mut bench = Bench::okay();
    bench.expire();
    assert!(bench.dwa().is_empty());
    assert_eq!(bench.expire()[..], [WatchdogAction::SendDwr]);
}

#[test]
fn okay_other_message_does_not_clear_pending() {
    let mut bench = Bench::okay();
    bench.expire();
    bench.other();
    assert_eq!(bench.expire()[..], [WatchdogAction::Failover]);
}

#[test]
fn okay_timer_expires_while_pending_goes_to_suspect() {
    let mut bench = Bench::okay();
    bench.expire();
    assert_eq!(bench.expire()[..], [WatchdogAction::Failover]);
    assert_eq!(bench.state(), WatchdogState::Suspect);
}

#[test]
fn okay_connection_down_fails_over() {
    let mut bench = Bench::okay();
    assert_eq!(bench.watchdog.connection_down()[..], [WatchdogAction::Failover]);
    assert_eq!(bench.state(), WatchdogState::Down);
}

#[test]
fn suspect_any_message_fails_back_to_okay() {
    for is_dwa in [true, false] {
        let mut bench = Bench::suspect();
        let actions = if is_dwa { bench.dwa() } else { bench.other() };
        assert_eq!(actions[..], [WatchdogAction::Failback]);
        assert_eq!(bench.state(), WatchdogState::Okay);
    }
}

#[test]
fn suspect_timer_expires_closes_the_connection() {
    let mut bench = Bench::suspect();
    assert_eq!(bench.expire()[..], [WatchdogAction::CloseConnection]);
    assert_eq!(
        (bench.state(), bench.watchdog.poll_timeout()),
        (WatchdogState::Down, None)
    );
}

#[test]
fn suspect_and_reopen_connection_down_goes_to_down_without_a_second_failover() {
    for mut bench in [Bench::suspect(), Bench::reopen()] {
        assert!(bench.watchdog.connection_down().is_empty());
        assert_eq!(bench.state(), WatchdogState::Down);
    }
}

#[test]
fn down_connection_up_sends_a_dwr_and_is_on_trial() {
    assert_eq!(Bench::reopen().state(), WatchdogState::Reopen);
}

#[test]
fn reopen_third_dwa_fails_back() {
    let mut bench = Bench::reopen();
    for _ in 0..2 {
        assert!(bench.dwa().is_empty());
        assert_eq!(bench.state(), WatchdogState::Reopen);
        assert_eq!(bench.expire()[..], [WatchdogAction::SendDwr]);
    }
    assert_eq!(bench.dwa()[..], [WatchdogAction::Failback]);
    assert_eq!(bench.state(), WatchdogState::Okay);
}

#[test]
fn reopen_other_messages_are_no_proof() {
    let mut bench = Bench::reopen();
    for _ in 0..5 {
        assert!(bench.other().is_empty());
    }
    assert_eq!(bench.state(), WatchdogState::Reopen);
}

#[test]
fn reopen_two_expiries_while_pending_close_the_connection() {
    let mut bench = Bench::reopen();
    assert!(bench.expire().is_empty());
    assert_eq!(bench.state(), WatchdogState::Reopen);
    assert_eq!(bench.expire()[..], [WatchdogAction::CloseConnection]);
    assert_eq!(bench.state(), WatchdogState::Down);
}

#[test]
fn tw_is_30_seconds_give_or_take_2_and_differs_each_time() {
    let mut bench = Bench::okay();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        bench.other();
        let tw = bench.watchdog.poll_timeout().unwrap() - bench.now;
        assert!((secs(28)..=secs(32)).contains(&tw), "{tw:?}");
        seen.insert(tw);
    }
    assert!(seen.len() > 100);
}

#[test]
fn tw_below_six_seconds_becomes_six() {
    let mut bench = Bench::initial();
    bench.watchdog = Watchdog::new(secs(1));
    bench.up();
    assert!(bench.watchdog.poll_timeout().unwrap() - bench.now >= secs(4));
}

#[test]
fn early_timeout_is_a_no_op() {
    let mut bench = Bench::okay();
    assert!(
        bench
            .watchdog
            .handle_timeout(bench.now, &mut bench.rng)
            .is_empty()
    );
}
