//! Machine: the watchdog of one connection (RFC 3539 3.4 and Appendix A). Read that table first.
//!
//! Each row stands above the line that obeys it. AttemptOpen() is not here: *deviates*, the peer table
//! dials by timer Tc of RFC 6733 2.1, so the states INITIAL and DOWN run no timer of their own.

use std::time::{Duration, Instant};

use rand::Rng;
use smallvec::{SmallVec, smallvec};

/// The states of RFC 3539 Appendix A.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchdogState {
    /// INITIAL: never connected.
    Initial,
    /// OKAY: in use.
    Okay,
    /// SUSPECT: a watchdog is unanswered; not in use.
    Suspect,
    /// DOWN: no connection.
    Down,
    /// REOPEN: connected again, on trial.
    Reopen,
}

/// What the watchdog wants done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchdogAction {
    /// SendWatchdog(): send a DWR.
    SendDwr,
    /// Failover(): move pending requests to another peer.
    Failover,
    /// Failback(): use the peer again.
    Failback,
    /// CloseConnection(): the peer is dead.
    CloseConnection,
}

/// What one event leads to, in order.
pub type WatchdogActions = SmallVec<[WatchdogAction; 2]>;

/// The least Tw (RFC 3539 3.4.1).
pub(crate) const TW_MIN: Duration = Duration::from_secs(6);
/// The most that jitter takes from or adds to Tw.
const JITTER_MILLIS: u64 = 2_000;

/// The watchdog of one peer.
#[derive(Clone, Debug)]
pub struct Watchdog {
    tw_init: Duration,
    state: WatchdogState,
    pending: bool,
    num_dwa: i32,
    tw: Option<Instant>,
}

impl Watchdog {
    /// A watchdog in INITIAL. A Tw below 6 s becomes 6 s.
    #[must_use]
    pub fn new(tw: Duration) -> Self {
        Self {
            tw_init: tw.max(TW_MIN),
            state: WatchdogState::Initial,
            pending: false,
            num_dwa: 0,
            tw: None,
        }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> WatchdogState {
        self.state
    }

    /// When timer Tw expires.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tw
    }

    /// The capabilities exchange succeeded.
    pub fn connection_up(&mut self, now: Instant, rng: &mut impl Rng) -> WatchdogActions {
        self.set_watchdog(now, rng);
        match self.state {
            // INITIAL | Connection up | SetWatchdog() | OKAY
            WatchdogState::Initial => {
                self.pending = false;
                self.state = WatchdogState::Okay;
                smallvec![]
            }
            // DOWN | Connection up | NumDWA = 0, SendWatchdog(), SetWatchdog(), Pending = TRUE | REOPEN
            WatchdogState::Down => {
                self.num_dwa = 0;
                self.pending = true;
                self.state = WatchdogState::Reopen;
                smallvec![WatchdogAction::SendDwr]
            }
            WatchdogState::Okay | WatchdogState::Suspect | WatchdogState::Reopen => smallvec![],
        }
    }

    /// The transport connection is gone.
    pub fn connection_down(&mut self) -> WatchdogActions {
        match self.state {
            // OKAY | Connection down | CloseConnection(), Failover(), SetWatchdog() | DOWN
            WatchdogState::Okay => {
                self.down();
                smallvec![WatchdogAction::Failover]
            }
            // SUSPECT | Connection down | CloseConnection(), SetWatchdog() | DOWN
            // REOPEN | Connection down | CloseConnection(), SetWatchdog() | DOWN
            WatchdogState::Suspect | WatchdogState::Reopen => {
                self.down();
                smallvec![]
            }
            WatchdogState::Initial | WatchdogState::Down => smallvec![],
        }
    }

    /// A DWA came.
    pub fn received_dwa(&mut self, now: Instant, rng: &mut impl Rng) -> WatchdogActions {
        self.pending = false;
        match self.state {
            // OKAY | Receive DWA | Pending = FALSE, SetWatchdog() | OKAY
            WatchdogState::Okay => {
                self.set_watchdog(now, rng);
                smallvec![]
            }
            // SUSPECT | Receive DWA | Pending = FALSE, Failback(), SetWatchdog() | OKAY
            WatchdogState::Suspect => self.failback(now, rng),
            // REOPEN | Receive DWA & NumDWA == 2 | Pending = FALSE, NumDWA++, Failback() | OKAY
            WatchdogState::Reopen if self.num_dwa == 2 => {
                self.num_dwa += 1;
                self.state = WatchdogState::Okay;
                smallvec![WatchdogAction::Failback]
            }
            // REOPEN | Receive DWA & NumDWA < 2 | Pending = FALSE, NumDWA++ | REOPEN
            WatchdogState::Reopen => {
                self.num_dwa += 1;
                smallvec![]
            }
            // INITIAL, DOWN | Receive DWA | Pending = FALSE, Throwaway() | same
            WatchdogState::Initial | WatchdogState::Down => smallvec![],
        }
    }

    /// Any other message came.
    pub fn received_other(&mut self, now: Instant, rng: &mut impl Rng) -> WatchdogActions {
        match self.state {
            // OKAY | Receive non-DWA | SetWatchdog() | OKAY
            WatchdogState::Okay => {
                self.set_watchdog(now, rng);
                smallvec![]
            }
            // SUSPECT | Receive non-DWA | Failback(), SetWatchdog() | OKAY
            WatchdogState::Suspect => self.failback(now, rng),
            // REOPEN, INITIAL, DOWN | Receive non-DWA | Throwaway() | same
            WatchdogState::Reopen | WatchdogState::Initial | WatchdogState::Down => smallvec![],
        }
    }

    /// Fires Tw when it is due.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut impl Rng) -> WatchdogActions {
        if self.tw.is_none_or(|tw| tw > now) {
            return smallvec![];
        }
        self.set_watchdog(now, rng);
        match self.state {
            // OKAY | Timer expires & !Pending | SendWatchdog(), SetWatchdog(), Pending = TRUE | OKAY
            // REOPEN | Timer expires & !Pending | SendWatchdog(), SetWatchdog(), Pending = TRUE | REOPEN
            WatchdogState::Okay | WatchdogState::Reopen if !self.pending => {
                self.pending = true;
                smallvec![WatchdogAction::SendDwr]
            }
            // OKAY | Timer expires & Pending | Failover(), SetWatchdog() | SUSPECT
            WatchdogState::Okay => {
                self.state = WatchdogState::Suspect;
                smallvec![WatchdogAction::Failover]
            }
            // SUSPECT | Timer expires | CloseConnection(), SetWatchdog() | DOWN
            WatchdogState::Suspect => {
                self.down();
                smallvec![WatchdogAction::CloseConnection]
            }
            // REOPEN | Timer expires & Pending & NumDWA >= 0 | NumDWA = -1, SetWatchdog() | REOPEN
            WatchdogState::Reopen if self.num_dwa >= 0 => {
                self.num_dwa = -1;
                smallvec![]
            }
            // REOPEN | Timer expires & Pending & NumDWA < 0 | CloseConnection(), SetWatchdog() | DOWN
            WatchdogState::Reopen => {
                self.down();
                smallvec![WatchdogAction::CloseConnection]
            }
            WatchdogState::Initial | WatchdogState::Down => {
                self.tw = None;
                smallvec![]
            }
        }
    }

    fn failback(&mut self, now: Instant, rng: &mut impl Rng) -> WatchdogActions {
        self.set_watchdog(now, rng);
        self.state = WatchdogState::Okay;
        smallvec![WatchdogAction::Failback]
    }

    fn down(&mut self) {
        self.state = WatchdogState::Down;
        self.pending = false;
        self.tw = None;
    }

    /// SetWatchdog(): Tw is TWINIT - 2 s + 4 s * random() (RFC 3539 3.4.1).
    fn set_watchdog(&mut self, now: Instant, rng: &mut impl Rng) {
        let jitter = rng.random_range(0..=2 * JITTER_MILLIS);
        let earliest = self.tw_init - Duration::from_millis(JITTER_MILLIS);
        self.tw = Some(now + earliest + Duration::from_millis(jitter));
    }
}

#[cfg(test)]
mod tests;
