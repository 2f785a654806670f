//! Machine: the non-INVITE client transaction (RFC 3261 17.1.2).

use std::time::Duration;

use super::{Action, Actions, Class, Failure, TimerName, Wire, linger};

/// State of a non-INVITE client transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NonInviteClient {
    /// Nothing heard yet; `interval` is the present value of timer E.
    Trying { interval: Duration },
    /// A provisional response came.
    Proceeding,
    /// The final response came.
    Completed,
    /// Over.
    Terminated,
}

impl NonInviteClient {
    /// RFC 3261 17.1.2.2: (initial) | request from TU | request sent, timers E (unreliable) and F | Trying
    pub(super) fn start(wire: &Wire) -> (Self, Actions) {
        let interval = wire.first(TimerName::E);
        let mut actions = Actions::new();
        actions.push(Action::Send);
        if !wire.reliable {
            actions.push(Action::Set(TimerName::E, interval));
        }
        actions.push(Action::Set(TimerName::F, wire.first(TimerName::F)));
        (Self::Trying { interval }, actions)
    }

    pub(super) fn on_response(&mut self, wire: &Wire, class: Class) -> Actions {
        let mut actions = Actions::new();
        match (*self, class) {
            // Trying, Proceeding | 1xx | response to TU | Proceeding
            (Self::Trying { .. } | Self::Proceeding, Class::Provisional) => {
                actions.push(Action::Pass);
                *self = Self::Proceeding;
            }
            // Trying, Proceeding | 200-699 | response to TU, timer K | Completed
            (Self::Trying { .. } | Self::Proceeding, Class::Success | Class::Failure) => {
                actions.extend([
                    Action::Stop(TimerName::E),
                    Action::Stop(TimerName::F),
                    Action::Pass,
                ]);
                *self = match linger(&mut actions, wire, TimerName::K) {
                    true => Self::Completed,
                    false => Self::Terminated,
                };
            }
            // Completed | any response | absorbed | Completed
            (Self::Completed | Self::Terminated, _) => {}
        }
        actions
    }

    pub(super) fn on_timer(&mut self, wire: &Wire, name: TimerName) -> Actions {
        let mut actions = Actions::new();
        match (*self, name) {
            // Trying | Timer E fires | request sent, E = MIN(2*E, T2) | Trying
            (Self::Trying { interval }, TimerName::E) => {
                let interval = wire.timers.backoff(interval);
                actions.extend([Action::Send, Action::Set(TimerName::E, interval)]);
                *self = Self::Trying { interval };
            }
            // Proceeding | Timer E fires | request sent, E = T2 | Proceeding
            (Self::Proceeding, TimerName::E) => {
                actions.extend([Action::Send, Action::Set(TimerName::E, wire.timers.t2)]);
            }
            // Trying, Proceeding | Timer F fires | inform TU | Terminated
            (Self::Trying { .. } | Self::Proceeding, TimerName::F) => {
                actions.extend([Action::Inform(Failure::Timeout), Action::Terminate]);
                *self = Self::Terminated;
            }
            // Completed | Timer K fires | - | Terminated
            (Self::Completed, TimerName::K) => {
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
            // Trying, Proceeding | transport error | inform TU | Terminated
            Self::Trying { .. } | Self::Proceeding => {
                actions.extend([Action::Inform(Failure::Transport), Action::Terminate]);
                *self = Self::Terminated;
            }
            Self::Completed | Self::Terminated => {}
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

    fn intervals_of_e(machine: &mut NonInviteClient, times: usize) -> Vec<u128> {
        let mut seen = Vec::new();
        for _ in 0..times {
            seen.extend(
                machine
                    .on_timer(&UDP, TimerName::E)
                    .into_iter()
                    .filter_map(|a| match a {
                        Action::Set(TimerName::E, interval) => Some(interval.as_millis()),
                        _ => None,
                    }),
            );
        }
        seen
    }

    #[test]
    fn start_over_udp_sends_and_arms_e_and_f() {
        let (_, actions) = NonInviteClient::start(&UDP);
        let expected = [
            Action::Send,
            Action::Set(TimerName::E, Duration::from_millis(500)),
            Action::Set(TimerName::F, Duration::from_secs(32)),
        ];
        assert_eq!(actions.as_slice(), expected);
        assert_eq!(NonInviteClient::start(&TCP).1.len(), 2);
    }

    #[test]
    fn timer_e_doubles_up_to_t2() {
        let mut machine = NonInviteClient::start(&UDP).0;
        assert_eq!(
            intervals_of_e(&mut machine, 5),
            [1_000, 2_000, 4_000, 4_000, 4_000]
        );
    }

    #[test]
    fn timer_e_is_t2_in_proceeding() {
        let mut machine = NonInviteClient::start(&UDP).0;
        assert_eq!(
            machine.on_response(&UDP, Class::Provisional).as_slice(),
            [Action::Pass]
        );
        assert_eq!(intervals_of_e(&mut machine, 2), [4_000, 4_000]);
    }

    #[test]
    fn timer_f_informs_and_terminates_in_trying_and_proceeding() {
        for responses in [0, 1] {
            let mut machine = NonInviteClient::start(&UDP).0;
            for _ in 0..responses {
                machine.on_response(&UDP, Class::Provisional);
            }
            let actions = machine.on_timer(&UDP, TimerName::F);
            assert_eq!(
                actions.as_slice(),
                [Action::Inform(Failure::Timeout), Action::Terminate]
            );
        }
    }

    #[test]
    fn final_response_is_passed_once_and_stragglers_absorbed_until_timer_k() {
        let mut machine = NonInviteClient::start(&UDP).0;
        let actions = machine.on_response(&UDP, Class::Failure);
        assert!(actions.contains(&Action::Pass));
        assert!(actions.contains(&Action::Set(TimerName::K, Duration::from_secs(5))));
        assert!(machine.on_response(&UDP, Class::Failure).is_empty());
        assert_eq!(
            machine.on_timer(&UDP, TimerName::K).as_slice(),
            [Action::Terminate]
        );
    }

    #[test]
    fn final_response_over_tcp_terminates_at_once() {
        let mut machine = NonInviteClient::start(&TCP).0;
        assert!(
            machine
                .on_response(&TCP, Class::Success)
                .contains(&Action::Terminate)
        );
    }

    #[test]
    fn transport_error_informs_and_terminates() {
        let mut machine = NonInviteClient::start(&UDP).0;
        let actions = machine.on_transport_error();
        assert_eq!(
            actions.as_slice(),
            [Action::Inform(Failure::Transport), Action::Terminate]
        );
        assert!(machine.on_transport_error().is_empty());
    }
}
