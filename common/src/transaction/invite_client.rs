//! Machine: the INVITE client transaction (RFC 3261 17.1.1, RFC 6026 7.2 and 8.4).

use std::time::Duration;

use super::{Action, Actions, Class, Failure, TimerName, Wire, linger};

/// State of an INVITE client transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InviteClient {
    /// Nothing heard yet; `interval` is the present value of timer A.
    Calling { interval: Duration },
    /// A provisional response came.
    Proceeding,
    /// A final response of 300 to 699 came and was acknowledged.
    Completed,
    /// A 2xx came (RFC 6026).
    Accepted,
    /// Over.
    Terminated,
}

impl InviteClient {
    /// RFC 3261 17.1.1.2: (initial) | INVITE from TU | INVITE sent, timers A (unreliable) and B | Calling
    pub(super) fn start(wire: &Wire) -> (Self, Actions) {
        let interval = wire.first(TimerName::A);
        let mut actions = Actions::new();
        actions.push(Action::Send);
        if !wire.reliable {
            actions.push(Action::Set(TimerName::A, interval));
        }
        actions.push(Action::Set(TimerName::B, wire.first(TimerName::B)));
        (Self::Calling { interval }, actions)
    }

    /// Whether a provisional response came and the final one did not: only now may a CANCEL be sent.
    pub(super) fn is_proceeding(self) -> bool {
        matches!(self, Self::Proceeding)
    }

    pub(super) fn on_response(&mut self, wire: &Wire, class: Class) -> Actions {
        let mut actions = Actions::new();
        match (*self, class) {
            // RFC 3261 17.1.1.2: Calling | 1xx | 1xx to TU, no more retransmissions | Proceeding
            (Self::Calling { .. }, Class::Provisional) => {
                actions.extend([
                    Action::Stop(TimerName::A),
                    Action::Stop(TimerName::B),
                    Action::Pass,
                ]);
                *self = Self::Proceeding;
            }
            // Proceeding | 1xx | 1xx to TU | Proceeding
            (Self::Proceeding, Class::Provisional) => actions.push(Action::Pass),
            // RFC 6026 7.2: Calling, Proceeding | 2xx | 2xx to TU, timer M | Accepted
            (Self::Calling { .. } | Self::Proceeding, Class::Success) => {
                actions.extend([
                    Action::Stop(TimerName::A),
                    Action::Stop(TimerName::B),
                    Action::Pass,
                ]);
                actions.push(Action::Set(TimerName::M, wire.first(TimerName::M)));
                *self = Self::Accepted;
            }
            // RFC 3261 17.1.1.2: Calling, Proceeding | 300-699 | ACK sent, response to TU, timer D | Completed
            (Self::Calling { .. } | Self::Proceeding, Class::Failure) => {
                actions.extend([Action::Stop(TimerName::A), Action::Stop(TimerName::B)]);
                actions.extend([Action::Ack, Action::Pass]);
                *self = match linger(&mut actions, wire, TimerName::D) {
                    true => Self::Completed,
                    false => Self::Terminated,
                };
            }
            // Completed | 300-699 | ACK sent | Completed
            (Self::Completed, Class::Failure) => actions.push(Action::Ack),
            // RFC 6026 8.4: Accepted | 2xx | 2xx to TU | Accepted
            (Self::Accepted, Class::Success) => actions.push(Action::Pass),
            // Whatever else comes late is absorbed.
            (Self::Completed, Class::Provisional | Class::Success)
            | (Self::Accepted, Class::Provisional | Class::Failure)
            | (Self::Terminated, _) => {}
        }
        actions
    }

    pub(super) fn on_timer(&mut self, name: TimerName) -> Actions {
        let mut actions = Actions::new();
        match (*self, name) {
            // RFC 3261 17.1.1.2: Calling | Timer A fires | INVITE sent, A doubled | Calling
            (Self::Calling { interval }, TimerName::A) => {
                let interval = interval.saturating_mul(2);
                actions.extend([Action::Send, Action::Set(TimerName::A, interval)]);
                *self = Self::Calling { interval };
            }
            // Calling | Timer B fires | inform TU | Terminated
            (Self::Calling { .. }, TimerName::B) => {
                actions.extend([Action::Inform(Failure::Timeout), Action::Terminate]);
                *self = Self::Terminated;
            }
            // Completed | Timer D fires | - | Terminated;  RFC 6026 8.4: Accepted | Timer M fires | - | Terminated
            (Self::Completed, TimerName::D) | (Self::Accepted, TimerName::M) => {
                actions.push(Action::Terminate);
                *self = Self::Terminated;
            }
            _ => {}
        }
        actions
    }

    pub(super) fn on_transport_error(&mut self) -> Actions {
        let mut actions = Actions::new();
        match *self {
            // RFC 3261 17.1.1.2: Calling, Completed | transport error | inform TU | Terminated
            Self::Calling { .. } | Self::Completed => {
                actions.extend([Action::Inform(Failure::Transport), Action::Terminate]);
                *self = Self::Terminated;
            }
            // Nothing of ours is under way in these states.
            Self::Proceeding | Self::Accepted | Self::Terminated => {}
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::super::SipTimers;
    use super::*;

    const UDP: Wire = Wire {
        timers: SipTimers::mw(),
        reliable: false,
    };
    const TCP: Wire = Wire {
        timers: SipTimers::mw(),
        reliable: true,
    };

    fn calling(wire: &Wire) -> InviteClient {
        InviteClient::start(wire).0
    }

    fn after(wire: &Wire, classes: &[Class]) -> InviteClient {
        let mut machine = calling(wire);
        for class in classes {
            machine.on_response(wire, *class);
        }
        machine
    }

    #[test]
    fn start_over_udp_sends_and_arms_a_and_b() {
        let (_, actions) = InviteClient::start(&UDP);
        let expected = [
            Action::Send,
            Action::Set(TimerName::A, Duration::from_millis(500)),
            Action::Set(TimerName::B, Duration::from_secs(32)),
        ];
        assert_eq!(actions.as_slice(), expected);
    }

    #[test]
    fn start_over_tcp_arms_only_b() {
        let (_, actions) = InviteClient::start(&TCP);
        assert_eq!(
            actions.as_slice(),
            [Action::Send, Action::Set(TimerName::B, Duration::from_secs(32))]
        );
    }

    #[test]
    fn timer_a_doubles_without_a_ceiling() {
        let mut machine = calling(&UDP);
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.extend(
                machine
                    .on_timer(TimerName::A)
                    .into_iter()
                    .filter_map(|a| match a {
                        Action::Set(TimerName::A, interval) => Some(interval.as_millis()),
                        _ => None,
                    }),
            );
        }
        assert_eq!(seen, [1_000, 2_000, 4_000, 8_000, 16_000]);
    }

    #[test]
    fn timer_b_informs_of_a_timeout_and_terminates() {
        let mut machine = calling(&UDP);
        let actions = machine.on_timer(TimerName::B);
        assert_eq!(
            actions.as_slice(),
            [Action::Inform(Failure::Timeout), Action::Terminate]
        );
        assert_eq!(machine, InviteClient::Terminated);
    }

    #[test]
    fn provisional_stops_retransmission_and_moves_to_proceeding() {
        let mut machine = calling(&UDP);
        let actions = machine.on_response(&UDP, Class::Provisional);
        assert!(actions.contains(&Action::Stop(TimerName::A)) && actions.contains(&Action::Pass));
        assert!(machine.is_proceeding());
        assert!(machine.on_timer(TimerName::B).is_empty());
    }

    #[test]
    fn success_moves_to_accepted_where_every_2xx_is_passed_until_timer_m() {
        let mut machine = after(&UDP, &[Class::Success]);
        assert_eq!(machine, InviteClient::Accepted);
        assert_eq!(
            machine.on_response(&UDP, Class::Success).as_slice(),
            [Action::Pass]
        );
        assert!(machine.on_response(&UDP, Class::Failure).is_empty());
        assert_eq!(machine.on_timer(TimerName::M).as_slice(), [Action::Terminate]);
    }

    #[test]
    fn failure_is_acknowledged_once_per_retransmission_and_passed_once() {
        let mut machine = calling(&UDP);
        let first = machine.on_response(&UDP, Class::Failure);
        assert!(first.contains(&Action::Ack) && first.contains(&Action::Pass));
        assert!(first.contains(&Action::Set(TimerName::D, Duration::from_secs(32))));
        assert_eq!(
            machine.on_response(&UDP, Class::Failure).as_slice(),
            [Action::Ack]
        );
        assert_eq!(machine.on_timer(TimerName::D).as_slice(), [Action::Terminate]);
    }

    #[test]
    fn failure_over_tcp_terminates_at_once() {
        let mut machine = after(&TCP, &[Class::Provisional]);
        let actions = machine.on_response(&TCP, Class::Failure);
        assert!(actions.contains(&Action::Ack) && actions.contains(&Action::Terminate));
        assert_eq!(machine, InviteClient::Terminated);
    }

    #[test]
    fn transport_error_in_calling_informs_and_terminates() {
        let mut machine = calling(&UDP);
        let actions = machine.on_transport_error();
        assert_eq!(
            actions.as_slice(),
            [Action::Inform(Failure::Transport), Action::Terminate]
        );
        assert!(after(&UDP, &[Class::Provisional]).on_transport_error().is_empty());
    }
}
