//! Machine: the INVITE server transaction (RFC 3261 17.2.1, RFC 6026 7.1 and 8.5).

use std::time::Duration;

use super::{Action, Actions, Class, Failure, TimerName, Wire, linger};

/// State of an INVITE server transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InviteServer {
    /// No final response yet.
    Proceeding,
    /// A final response of 300 to 699 was sent; `interval` is the present value of timer G.
    Completed { interval: Duration },
    /// A 2xx was sent (RFC 6026).
    Accepted,
    /// The ACK came.
    Confirmed,
    /// Over.
    Terminated,
}

impl InviteServer {
    /// RFC 3261 17.2.1: (initial) | INVITE | INVITE to TU, 100 unless the TU answers within 200 ms | Proceeding
    pub(super) fn start(wire: &Wire) -> (Self, Actions) {
        let mut actions = Actions::new();
        actions.push(Action::Set(TimerName::Trying, wire.first(TimerName::Trying)));
        (Self::Proceeding, actions)
    }

    /// Whether the final response is still owed.
    pub(super) fn awaits_final(self) -> bool {
        matches!(self, Self::Proceeding)
    }

    /// A retransmitted INVITE.
    pub(super) fn on_request(self) -> Actions {
        let mut actions = Actions::new();
        match self {
            // Proceeding, Completed | INVITE | last response sent | unchanged
            Self::Proceeding | Self::Completed { .. } => actions.push(Action::Send),
            // RFC 6026 7.1: Accepted | INVITE | absorbed | Accepted
            Self::Accepted | Self::Confirmed | Self::Terminated => {}
        }
        actions
    }

    pub(super) fn on_ack(&mut self, wire: &Wire) -> Actions {
        let mut actions = Actions::new();
        match *self {
            // RFC 3261 17.2.1: Completed | ACK | timer I, no more retransmissions | Confirmed
            Self::Completed { .. } => {
                actions.extend([Action::Stop(TimerName::G), Action::Stop(TimerName::H)]);
                *self = match linger(&mut actions, wire, TimerName::I) {
                    true => Self::Confirmed,
                    false => Self::Terminated,
                };
            }
            // RFC 6026 7.1: Accepted | ACK | ACK to TU | Accepted
            Self::Accepted => actions.push(Action::Pass),
            // Confirmed | ACK | absorbed | Confirmed
            Self::Proceeding | Self::Confirmed | Self::Terminated => {}
        }
        actions
    }

    /// A response of the transaction user; without [`Action::Send`] it is not to be sent.
    pub(super) fn on_response(&mut self, wire: &Wire, class: Class) -> Actions {
        let mut actions = Actions::new();
        match (*self, class) {
            // Proceeding | 1xx from TU | response sent | Proceeding
            (Self::Proceeding, Class::Provisional) => {
                actions.extend([Action::Stop(TimerName::Trying), Action::Send]);
            }
            // RFC 6026 7.1: Proceeding | 2xx from TU | response sent, timer L | Accepted
            (Self::Proceeding, Class::Success) => {
                actions.extend([Action::Stop(TimerName::Trying), Action::Send]);
                actions.push(Action::Set(TimerName::L, wire.first(TimerName::L)));
                *self = Self::Accepted;
            }
            // RFC 3261 17.2.1: Proceeding | 300-699 from TU | response sent, timers G (unreliable) and H | Completed
            (Self::Proceeding, Class::Failure) => {
                let interval = wire.first(TimerName::G);
                actions.extend([Action::Stop(TimerName::Trying), Action::Send]);
                if !wire.reliable {
                    actions.push(Action::Set(TimerName::G, interval));
                }
                actions.push(Action::Set(TimerName::H, wire.first(TimerName::H)));
                *self = Self::Completed { interval };
            }
            // RFC 6026 7.1: Accepted | 2xx from TU | response sent | Accepted
            (Self::Accepted, Class::Success) => actions.push(Action::Send),
            // A final response was sent already.
            (Self::Accepted, Class::Provisional | Class::Failure)
            | (Self::Completed { .. } | Self::Confirmed | Self::Terminated, _) => {}
        }
        actions
    }

    pub(super) fn on_timer(&mut self, wire: &Wire, name: TimerName) -> Actions {
        let mut actions = Actions::new();
        match (*self, name) {
            // Proceeding | 200 ms passed | 100 sent | Proceeding
            (Self::Proceeding, TimerName::Trying) => actions.push(Action::Trying),
            // Completed | Timer G fires | response sent, G = MIN(2*G, T2) | Completed
            (Self::Completed { interval }, TimerName::G) => {
                let interval = wire.timers.backoff(interval);
                actions.extend([Action::Send, Action::Set(TimerName::G, interval)]);
                *self = Self::Completed { interval };
            }
            // Completed | Timer H fires | inform TU | Terminated
            (Self::Completed { .. }, TimerName::H) => {
                actions.extend([Action::Inform(Failure::Timeout), Action::Terminate]);
                *self = Self::Terminated;
            }
            // Confirmed | Timer I fires | - | Terminated;  RFC 6026 7.1: Accepted | Timer L fires | - | Terminated
            (Self::Confirmed, TimerName::I) | (Self::Accepted, TimerName::L) => {
                actions.push(Action::Terminate);
                *self = Self::Terminated;
            }
            _ => {}
        }
        actions
    }

    /// RFC 6026 7.1: any | transport error | inform TU | unchanged. Timers H and L end the transaction.
    pub(super) fn on_transport_error(self) -> Actions {
        let mut actions = Actions::new();
        match self {
            Self::Proceeding | Self::Completed { .. } | Self::Accepted => {
                actions.push(Action::Inform(Failure::Transport));
            }
            Self::Confirmed | Self::Terminated => {}
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

    fn after(wire: &Wire, class: Class) -> InviteServer {
        let mut machine = InviteServer::start(wire).0;
        machine.on_response(wire, class);
        machine
    }

    #[test]
    fn start_promises_a_100_within_200_ms() {
        let (mut machine, actions) = InviteServer::start(&UDP);
        assert_eq!(
            actions.as_slice(),
            [Action::Set(TimerName::Trying, Duration::from_millis(200))]
        );
        assert_eq!(
            machine.on_timer(&UDP, TimerName::Trying).as_slice(),
            [Action::Trying]
        );
    }

    #[test]
    fn retransmitted_invite_gets_the_last_response_again() {
        assert_eq!(InviteServer::Proceeding.on_request().as_slice(), [Action::Send]);
        assert_eq!(
            after(&UDP, Class::Failure).on_request().as_slice(),
            [Action::Send]
        );
    }

    #[test]
    fn success_moves_to_accepted_which_absorbs_invites_and_sends_every_2xx() {
        let mut machine = after(&UDP, Class::Success);
        assert_eq!(machine, InviteServer::Accepted);
        assert!(machine.on_request().is_empty());
        assert_eq!(
            machine.on_response(&UDP, Class::Success).as_slice(),
            [Action::Send]
        );
        assert!(machine.on_response(&UDP, Class::Failure).is_empty());
        assert_eq!(machine.on_ack(&UDP).as_slice(), [Action::Pass]);
        assert_eq!(
            machine.on_timer(&UDP, TimerName::L).as_slice(),
            [Action::Terminate]
        );
    }

    #[test]
    fn failure_is_retransmitted_by_timer_g_up_to_t2_until_the_ack() {
        let mut machine = after(&UDP, Class::Failure);
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.extend(
                machine
                    .on_timer(&UDP, TimerName::G)
                    .into_iter()
                    .filter_map(|a| match a {
                        Action::Set(TimerName::G, interval) => Some(interval.as_millis()),
                        _ => None,
                    }),
            );
        }
        assert_eq!(seen, [1_000, 2_000, 4_000, 4_000, 4_000]);
        machine.on_ack(&UDP);
        assert_eq!(machine, InviteServer::Confirmed);
        assert!(machine.on_timer(&UDP, TimerName::G).is_empty());
        assert_eq!(
            machine.on_timer(&UDP, TimerName::I).as_slice(),
            [Action::Terminate]
        );
    }

    #[test]
    fn failure_over_tcp_waits_for_the_ack_without_retransmission() {
        let mut machine = InviteServer::start(&TCP).0;
        let actions = machine.on_response(&TCP, Class::Failure);
        assert!(!actions.iter().any(|a| matches!(a, Action::Set(TimerName::G, _))));
        assert!(machine.on_ack(&TCP).contains(&Action::Terminate));
    }

    #[test]
    fn missing_ack_ends_the_transaction_at_timer_h() {
        let mut machine = after(&UDP, Class::Failure);
        let actions = machine.on_timer(&UDP, TimerName::H);
        assert_eq!(
            actions.as_slice(),
            [Action::Inform(Failure::Timeout), Action::Terminate]
        );
    }

    #[test]
    fn second_final_response_is_not_sent() {
        let mut machine = after(&UDP, Class::Failure);
        assert!(machine.on_response(&UDP, Class::Success).is_empty());
        assert!(machine.on_response(&UDP, Class::Failure).is_empty());
    }

    #[test]
    fn transport_error_informs_but_does_not_terminate() {
        let machine = after(&UDP, Class::Success);
        assert_eq!(
            machine.on_transport_error().as_slice(),
            [Action::Inform(Failure::Transport)]
        );
    }
}
