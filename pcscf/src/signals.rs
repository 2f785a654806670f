//! Machine: what challenges and their answers tell an operator: counters and log lines, never a decision.
//!
//! Only phones that are registering just now are watched, up to a limit; what is not watched loses its lines and nothing
//! else. What happens over security associations is told where they are kept. The manual lists all signals and their
//! causes (`ims_common::manual::ipsec`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ims_common::identity::Impi;
use ims_common::node::{Counters, Metrics, TimerTable, give_back};
use ims_common::sip::Credentials;
use tracing::{info, warn};

/// Phones that are watched at a time.
const WATCHED_MAX: usize = 2_048;
/// A phone that could verify the network answers a challenge at once.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// A phone that does nothing for so long is not registering.
const IDLE: Duration = Duration::from_secs(60);
const SIGNALS: &str = "ims_pcscf_ue_signals_total";

/// What a REGISTER says about the challenge before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// Nothing.
    None,
    /// The network is known, its sequence number is out of range (RFC 3310 3.4).
    Auts,
    /// A response.
    Response,
}

impl Answer {
    /// In the Authorization of a REGISTER.
    pub(crate) fn of(credentials: Option<&Credentials<'_>>) -> Self {
        let response = credentials.and_then(Credentials::response);
        if credentials.is_some_and(|it| it.auts().is_some()) {
            Self::Auts
        } else if response.is_some_and(|response| !response.is_empty()) {
            Self::Response
        } else {
            Self::None
        }
    }
}

/// How a 401 (Unauthorized) left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Challenged {
    /// To be answered in clear.
    InClear,
    /// To be answered over a new set of security associations, which is watched there.
    WithAssociations,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stage {
    #[default]
    Quiet,
    /// A 401 left.
    Challenged,
    /// A REGISTER with a response to it came.
    Answering,
}

#[derive(Debug, Default)]
struct Phone {
    stage: Stage,
    /// REGISTERs with `auts` since the last that was granted.
    resyncs: u16,
}

#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Watch {
    Answer(Impi),
    Forget(Impi),
}

/// The phones that are registering just now.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    phones: HashMap<Impi, Phone>,
    timers: TimerTable<Watch>,
    counters: Counters,
}

impl Signals {
    /// A REGISTER of this user came.
    pub(crate) fn register_came(&mut self, now: Instant, impi: &Impi, answer: Answer) {
        self.timers.cancel(&Watch::Answer(impi.clone()));
        let Some(phone) = self.watched(now, impi) else {
            return;
        };
        phone.stage = match (phone.stage, answer) {
            (Stage::Challenged, Answer::Response) => Stage::Answering,
            (_, Answer::None | Answer::Auts | Answer::Response) => Stage::Quiet,
        };
        if answer != Answer::Auts {
            return;
        }
        phone.resyncs = phone.resyncs.saturating_add(1);
        let times = phone.resyncs;
        self.counters.count(SIGNALS, "resynchronises");
        if times == 1 {
            info!(%impi, "says that its sequence number is not the network's");
        } else {
            self.counters.count(SIGNALS, "resynchronises_again");
            warn!(%impi, times, "says again that its sequence number is not the network's: did the HSS resynchronise?");
        }
    }

    /// A 401 (Unauthorized) leaves for the phone.
    pub(crate) fn challenged(&mut self, now: Instant, impi: &Impi, how: Challenged) {
        let Some(phone) = self.watched(now, impi) else {
            return;
        };
        let was = std::mem::replace(&mut phone.stage, Stage::Challenged);
        if how == Challenged::InClear {
            self.timers.set(Watch::Answer(impi.clone()), now + ANSWER_WAIT);
        }
        if was == Stage::Answering {
            self.answer_refused(impi);
        }
    }

    /// The home network refused.
    pub(crate) fn refused(&mut self, impi: &Impi) {
        let stage = self.phones.get_mut(impi).map(|phone| &mut phone.stage);
        if stage.map(std::mem::take) == Some(Stage::Answering) {
            self.answer_refused(impi);
        }
    }

    /// The home network granted.
    pub(crate) fn granted(&mut self, impi: &Impi) {
        if let Some(phone) = self.phones.get_mut(impi) {
            *phone = Phone::default();
        }
    }

    fn answer_refused(&mut self, impi: &Impi) {
        self.counters.count(SIGNALS, "answer_refused");
        warn!(%impi, "the home network did not take the answer to its challenge: other keys, or another algorithm?");
    }

    /// `None`: no place is left.
    fn watched(&mut self, now: Instant, impi: &Impi) -> Option<&mut Phone> {
        if !self.phones.contains_key(impi) {
            if self.phones.len() >= WATCHED_MAX {
                self.counters.count("ims_pcscf_ue_unwatched_total", "full");
                return None;
            }
            self.phones.insert(impi.clone(), Phone::default());
        }
        self.timers.set(Watch::Forget(impi.clone()), now + IDLE);
        self.phones.get_mut(impi)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(watch) = self.timers.pop_expired(now) {
            match watch {
                Watch::Answer(impi) => {
                    self.counters.count(SIGNALS, "challenge_unanswered");
                    info!(%impi, "no answer to the challenge yet");
                }
                Watch::Forget(impi) => {
                    self.phones.remove(&impi);
                    give_back(&mut self.phones);
                }
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn export_metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Watching {
        now: Instant,
        signals: Signals,
        impi: Impi,
    }

    impl Watching {
        #[allow(
            clippy::disallowed_methods,
            reason = "any instant serves as the origin of virtual time"
        )]
        fn new() -> Self {
            Self {
                now: Instant::now(),
                signals: Signals::default(),
                impi: Impi::parse("001010000000001@ims.test").unwrap(),
            }
        }

        fn after(&mut self, secs: u64) {
            let end = self.now + Duration::from_secs(secs);
            while let Some(at) = self.signals.poll_timeout().filter(|at| *at <= end) {
                self.signals.handle_timeout(at);
            }
            self.now = end;
        }

        fn comes(&mut self, answer: Answer) {
            self.signals.register_came(self.now, &self.impi, answer);
        }

        fn challenge(&mut self, how: Challenged) {
            self.signals.challenged(self.now, &self.impi, how);
        }

        fn register(&mut self) {
            self.comes(Answer::None);
            self.challenge(Challenged::WithAssociations);
            self.comes(Answer::Response);
            self.signals.granted(&self.impi);
        }

        /// Unanswered challenges, resynchronisations, second ones, refused answers.
        fn told(&self) -> [u64; 4] {
            let labels = [
                "challenge_unanswered",
                "resynchronises",
                "resynchronises_again",
                "answer_refused",
            ];
            labels.map(|label| self.signals.counters.get(SIGNALS, label))
        }
    }

    #[test]
    fn a_phone_that_registers_gives_no_signal_and_is_forgotten() {
        let mut watching = Watching::new();
        watching.register();
        watching.after(200);
        assert_eq!(watching.told(), [0, 0, 0, 0]);
        assert!(watching.signals.phones.is_empty());
        assert_eq!(watching.signals.poll_timeout(), None);
    }

    #[test]
    fn a_challenge_in_clear_without_an_answer_in_ten_seconds_is_told_once() {
        let mut watching = Watching::new();
        watching.comes(Answer::None);
        watching.challenge(Challenged::InClear);
        watching.after(9);
        assert_eq!(watching.told(), [0, 0, 0, 0]);
        watching.after(100);
        assert_eq!(watching.told(), [1, 0, 0, 0]);
    }

    #[test]
    fn a_second_resynchronisation_is_told_from_the_first() {
        let mut watching = Watching::new();
        for _ in 0..3 {
            watching.comes(Answer::Auts);
            watching.challenge(Challenged::InClear);
        }
        assert_eq!(watching.told(), [0, 3, 2, 0]);
        watching.comes(Answer::Response);
        watching.signals.granted(&watching.impi.clone());
        watching.comes(Answer::Auts);
        assert_eq!(watching.told(), [0, 4, 2, 0]);
    }

    #[test]
    fn an_answer_that_is_challenged_again_or_refused_is_told() {
        let mut watching = Watching::new();
        watching.comes(Answer::None);
        watching.challenge(Challenged::WithAssociations);
        watching.comes(Answer::Response);
        watching.challenge(Challenged::WithAssociations);
        assert_eq!(watching.told(), [0, 0, 0, 1]);
        watching.comes(Answer::Response);
        watching.signals.refused(&watching.impi.clone());
        assert_eq!(watching.told(), [0, 0, 0, 2]);
    }

    #[test]
    fn a_re_registration_with_its_last_response_is_no_answer_to_a_challenge() {
        let mut watching = Watching::new();
        watching.register();
        watching.comes(Answer::Response);
        watching.challenge(Challenged::WithAssociations);
        watching.comes(Answer::Response);
        watching.signals.granted(&watching.impi.clone());
        watching.comes(Answer::Response);
        watching.signals.refused(&watching.impi.clone());
        assert_eq!(watching.told(), [0, 0, 0, 0]);
    }

    #[test]
    fn more_phones_than_are_watched_do_no_harm() {
        let mut watching = Watching::new();
        for user in 0..WATCHED_MAX + 10 {
            watching.impi = Impi::parse(&format!("{user}@ims.test")).unwrap();
            watching.comes(Answer::Auts);
        }
        assert_eq!(watching.signals.phones.len(), WATCHED_MAX);
        watching.after(61);
        assert!(watching.signals.phones.is_empty());
    }
}
