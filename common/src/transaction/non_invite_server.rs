//! Machine: the non-INVITE server transaction (RFC 3261 17.2.2, RFC 4320 4.1).

use std::time::Duration;

use super::{Action, Actions, Class, Failure, TimerName, Wire, linger};

/// State of a non-INVITE server transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NonInviteServer {
    /// Nothing sent yet.
    Trying,
    /// 100 was sent.
    Proceeding,
    /// The final response was sent.
    Completed,
    /// Over.
    Terminated,
}

impl NonInviteServer {
    /// RFC 3261 17.2.2: (initial) | request | request to TU | Trying.
    /// RFC 4320 4.1: a 100 must be sent, but not before a client's timer E has reached T2.
    pub(super) fn start(wire: &Wire) -> (Self, Actions) {
        let mut actions = Actions::new();
        let wait = wire
            .timers
            .until_timer_e_reaches_t2()
            .max(Duration::from_millis(1));
        actions.push(Action::Set(TimerName::Trying, wait));
        (Self::Trying, actions)
    }

    /// Whether the final response is still owed.
    pub(super) fn awaits_final(self) -> bool {
        matches!(self, Self::Trying | Self::Proceeding)
    }

    /// A retransmitted request.
    pub(super) fn on_request(self) -> Actions {
        let mut actions = Actions::new();
        match self {
            // Proceeding, Completed | request | last response sent | unchanged
            Self::Proceeding | Self::Completed => actions.push(Action::Send),
            // Trying | request | absorbed | Trying
            Self::Trying | Self::Terminated => {}
        }
        actions
    }

    /// A response of the transaction user; without [`Action::Send`] it is not to be sent.
    pub(super) fn on_response(&mut self, wire: &Wire, class: Class) -> Actions {
        let mut actions = Actions::new();
        match (*self, class) {
            // RFC 4320 4.1: no provisional response but 100, and that one is the timer's business.
            (Self::Trying | Self::Proceeding, Class::Provisional) => {}
            // Trying, Proceeding | 200-699 from TU | response sent, timer J | Completed
            (Self::Trying | Self::Proceeding, Class::Success | Class::Failure) => {
                actions.extend([Action::Stop(TimerName::Trying), Action::Send]);
                *self = match linger(&mut actions, wire, TimerName::J) {
                    true => Self::Completed,
                    false => Self::Terminated,
                };
            }
            // Completed | response from TU | discarded | Completed
            (Self::Completed | Self::Terminated, _) => {}
        }
        actions
    }

    pub(super) fn on_timer(&mut self, name: TimerName) -> Actions {
        let mut actions = Actions::new();
        match (*self, name) {
            // RFC 4320 4.1: Trying | client's timer E has reached T2 | 100 sent | Proceeding
            (Self::Trying, TimerName::Trying) => {
                actions.push(Action::Trying);
                *self = Self::Proceeding;
            }
            // Completed | Timer J fires | - | Terminated
            (Self::Completed, TimerName::J) => {
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
            // RFC 3261 17.2.2: Completed | transport error | inform TU | Terminated
            Self::Completed => {
                actions.extend([Action::Inform(Failure::Transport), Action::Terminate]);
                *self = Self::Terminated;
            }
            // A lost 100 is no loss; the final response may still find a way.
            Self::Trying | Self::Proceeding | Self::Terminated => {}
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

    #[test]
    fn retransmission_in_trying_is_absorbed() {
        assert!(NonInviteServer::start(&UDP).0.on_request().is_empty());
    }

    #[test]
    fn trying_is_sent_only_after_timer_e_reached_t2() {
        let (mut machine, actions) = NonInviteServer::start(&UDP);
        assert_eq!(
            actions.as_slice(),
            [Action::Set(TimerName::Trying, Duration::from_millis(3_500))]
        );
        assert_eq!(machine.on_timer(TimerName::Trying).as_slice(), [Action::Trying]);
        assert_eq!(machine.on_request().as_slice(), [Action::Send]);
    }

    #[test]
    fn provisional_response_of_the_user_is_not_sent() {
        let mut machine = NonInviteServer::start(&UDP).0;
        assert!(machine.on_response(&UDP, Class::Provisional).is_empty());
        assert!(machine.awaits_final());
    }

    #[test]
    fn final_response_is_repeated_for_retransmissions_until_timer_j() {
        let mut machine = NonInviteServer::start(&UDP).0;
        let actions = machine.on_response(&UDP, Class::Success);
        assert!(actions.contains(&Action::Send));
        assert!(actions.contains(&Action::Set(TimerName::J, Duration::from_secs(32))));
        assert_eq!(machine.on_request().as_slice(), [Action::Send]);
        assert!(machine.on_response(&UDP, Class::Failure).is_empty());
        assert_eq!(machine.on_timer(TimerName::J).as_slice(), [Action::Terminate]);
    }

    #[test]
    fn final_response_over_tcp_terminates_at_once() {
        let mut machine = NonInviteServer::start(&TCP).0;
        assert!(
            machine
                .on_response(&TCP, Class::Success)
                .contains(&Action::Terminate)
        );
    }

    #[test]
    fn transport_error_after_the_final_response_terminates() {
        let mut machine = NonInviteServer::start(&UDP).0;
        machine.on_response(&UDP, Class::Success);
        assert!(machine.on_transport_error().contains(&Action::Terminate));
    }
}
