//! Machine: timers A to M by name, and their values per interface (RFC 3261 table 4, TS 24.229 table 7.7.1).

use std::time::Duration;

/// The base values of one interface, from which all timers follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SipTimers {
    /// Estimate of the round trip (RFC 3261 17.1.1.1).
    pub t1: Duration,
    /// Longest retransmission interval of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
    /// Timer C: how long a proxy waits for a final response after a provisional one; more than 3 minutes
    /// (RFC 3261 16.6 step 11).
    pub timer_c: Duration,
}

impl SipTimers {
    /// Between UE and P-CSCF: T1 2 s, T2 16 s, T4 17 s (TS 24.229 table 7.7.1).
    #[must_use]
    pub const fn gm() -> Self {
        Self {
            t1: Duration::from_secs(2),
            t2: Duration::from_secs(16),
            t4: Duration::from_secs(17),
            timer_c: Duration::from_secs(185),
        }
    }

    /// Between network elements: T1 500 ms, T2 4 s, T4 5 s (RFC 3261 table 4).
    #[must_use]
    pub const fn mw() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_c: Duration::from_secs(185),
        }
    }

    /// 64 * T1, the life of a transaction.
    #[must_use]
    pub fn t1_times_64(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// The value with which a timer is armed first. Zero: the timer does not run on this transport.
    #[must_use]
    pub fn first(&self, name: TimerName, reliable: bool) -> Duration {
        match name {
            TimerName::A | TimerName::E | TimerName::G if reliable => Duration::ZERO,
            TimerName::A | TimerName::E | TimerName::G => self.t1,
            TimerName::B | TimerName::F | TimerName::H | TimerName::L | TimerName::M => self.t1_times_64(),
            TimerName::C => self.timer_c,
            TimerName::D | TimerName::I | TimerName::J | TimerName::K if reliable => Duration::ZERO,
            // RFC 3261 17.1.1.2: "at least 32 seconds for unreliable transports"
            TimerName::D => self.t1_times_64().max(Duration::from_secs(32)),
            TimerName::I | TimerName::K => self.t4,
            TimerName::J => self.t1_times_64(),
            TimerName::Trying => Duration::from_millis(200),
            TimerName::Lifetime => self.timer_c.saturating_add(self.t1_times_64()),
        }
    }

    /// The next interval of timers E and G: doubled, at most T2. Never zero: a timer that is due again at once
    /// would fire for ever.
    #[must_use]
    pub fn backoff(&self, interval: Duration) -> Duration {
        interval
            .saturating_mul(2)
            .min(self.t2)
            .max(Duration::from_millis(1))
    }

    /// The time after which a client's timer E has grown to T2, before which RFC 4320 4.1 forbids a 100 to a
    /// non-INVITE request over an unreliable transport: 3.5 s on Mw, 14 s on Gm.
    #[must_use]
    pub fn until_timer_e_reaches_t2(&self) -> Duration {
        let mut interval = self.t1;
        let mut elapsed = Duration::ZERO;
        while interval < self.t2 && !interval.is_zero() {
            elapsed = elapsed.saturating_add(interval);
            interval = self.backoff(interval);
        }
        elapsed
    }
}

/// A timer of RFC 3261 table 4 or RFC 6026.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TimerName {
    /// INVITE request retransmission.
    A,
    /// INVITE client time-out.
    B,
    /// Proxy INVITE time-out.
    C,
    /// Wait for retransmitted final responses to INVITE.
    D,
    /// Non-INVITE request retransmission.
    E,
    /// Non-INVITE client time-out.
    F,
    /// INVITE final response retransmission.
    G,
    /// Wait for ACK.
    H,
    /// Wait for retransmitted ACKs.
    I,
    /// Wait for retransmitted non-INVITE requests.
    J,
    /// Wait for retransmitted non-INVITE responses.
    K,
    /// Wait for retransmitted INVITEs after a 2xx (RFC 6026 8.1).
    L,
    /// Wait for retransmitted 2xx (RFC 6026 8.4).
    M,
    /// When to send 100: 200 ms for INVITE (RFC 3261 17.2.1), see RFC 4320 4.1 for others.
    Trying,
    /// How long a server transaction may owe its final response after the last provisional one. Of no RFC: a
    /// transaction user that forgets one must not hold its place for ever.
    Lifetime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_never_becomes_zero_even_with_a_zero_t2() {
        let timers = SipTimers {
            t2: Duration::ZERO,
            ..SipTimers::mw()
        };
        assert!(!timers.backoff(timers.t1).is_zero());
    }

    #[test]
    fn gm_and_mw_values_are_those_of_ts_24_229_table_7_7_1() {
        let gm = SipTimers::gm();
        assert_eq!((gm.t1.as_secs(), gm.t2.as_secs(), gm.t4.as_secs()), (2, 16, 17));
        assert_eq!(gm.first(TimerName::B, false).as_secs(), 128);
        let mw = SipTimers::mw();
        assert_eq!((mw.t1.as_millis(), mw.t2.as_secs(), mw.t4.as_secs()), (500, 4, 5));
        assert_eq!(mw.first(TimerName::F, true).as_secs(), 32);
    }

    #[test]
    fn timer_c_is_more_than_three_minutes() {
        assert!(SipTimers::gm().timer_c > Duration::from_secs(180));
        assert!(SipTimers::mw().timer_c > Duration::from_secs(180));
    }

    #[test]
    fn linger_timers_are_zero_on_reliable_transports() {
        for name in [
            TimerName::D,
            TimerName::I,
            TimerName::J,
            TimerName::K,
            TimerName::A,
            TimerName::E,
            TimerName::G,
        ] {
            assert!(SipTimers::mw().first(name, true).is_zero(), "{name:?}");
            assert!(!SipTimers::mw().first(name, false).is_zero(), "{name:?}");
        }
    }

    #[test]
    fn timer_e_reaches_t2_after_three_and_a_half_seconds_on_mw() {
        assert_eq!(
            SipTimers::mw().until_timer_e_reaches_t2(),
            Duration::from_millis(3_500)
        );
        assert_eq!(
            SipTimers::gm().until_timer_e_reaches_t2(),
            Duration::from_secs(14)
        );
    }

    #[test]
    fn backoff_doubles_up_to_t2() {
        let mw = SipTimers::mw();
        assert_eq!(mw.backoff(Duration::from_secs(1)), Duration::from_secs(2));
        assert_eq!(mw.backoff(Duration::from_secs(3)), Duration::from_secs(4));
    }
}
