//! Testkit: the replay window of one state (RFC 4303 3.4.3).

/// Sequence numbers that the check looks back.
const WINDOW: u64 = 64;

/// What has come lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    highest: u64,
    /// Bit n: `highest - n` has come.
    seen: u64,
}

impl Window {
    /// Takes a sequence number; false when it came before, or is too old to know.
    pub(super) const fn take(&mut self, sequence: u64) -> bool {
        if sequence > self.highest {
            let ahead = sequence - self.highest;
            self.seen = if ahead >= WINDOW { 0 } else { self.seen << ahead };
            self.seen |= 1;
            self.highest = sequence;
            return true;
        }
        let behind = self.highest - sequence;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_passes_once_in_any_order_within_the_window() {
        let mut window = Window::default();
        for sequence in [1, 3, 2, 60, 4] {
            assert!(window.take(sequence), "{sequence}");
            assert!(!window.take(sequence), "{sequence} again");
        }
        assert!(window.take(200));
        assert!(!window.take(136), "older than the window");
        assert!(window.take(137));
    }
}
