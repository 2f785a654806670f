//! Testkit: which of card, HSS and known keys is wrong, by what the card answers to challenges.
//!
//! [`run`] asks the card and judges. It asks with the vector of an HSS when there is one, and with challenges of its own when
//! there are keys: those that a card refuses change nothing on it, one that it accepts moves its SQN. What it finds are rows of
//! [`MEANINGS`], each with a sentence and a remedy. RES, CK, IK and K are in no text unless [`Shown::Keys`] is asked for.

mod input;
mod judge;
mod meanings;
mod suite;
#[cfg(test)]
mod tests;
mod transcript;

pub use self::input::{BadInput, Keys, Operator, Vector, amf, key, sqn};
pub use self::meanings::{MEANINGS, Meaning, Outcome, Verdict};
use self::suite::Candidate;
pub use self::suite::Reading;
pub use self::transcript::{Check, Shown};
use super::session::{Aka, AkaFailure};
use crate::milenage::Sqn;
use crate::usim::Res;

/// What is known beside the card.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What the card should have, and the HSS too.
    pub keys: Option<Keys>,
    /// What an HSS has made.
    pub vector: Option<Vector>,
    /// SQN of a challenge of our own; without it the card is asked where it stands.
    pub sqn: Option<Sqn>,
}

/// AMF of challenges of our own, unless the keys name one: the separation bit alone (TS 33.102 annex H).
const AMF: [u8; 2] = [0x80, 0x00];

/// One AUTHENTICATE.
#[derive(Clone, Debug)]
struct Step {
    maker: Maker,
    rand: [u8; 16],
    autn: [u8; 16],
    /// As the one that made it, or the first one that could have, has it.
    sqn: Option<Sqn>,
    answer: Result<Res, AkaFailure>,
    /// Where the card stands, by AUTS.
    sqn_ms: Option<Sqn>,
}

/// Who made a challenge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Maker {
    /// The HSS whose vector was given.
    Hss,
    /// We, with the keys read in this way.
    Us(Reading),
    /// We, of chance: nobody can accept it.
    Chance,
}

/// Asks the card, and says what its answers mean. `rands` gives RAND for challenges of our own.
pub fn run(card: &mut dyn Aka, question: &Question, rands: &mut dyn FnMut() -> [u8; 16]) -> Check {
    let candidates = question.keys.as_ref().map(Keys::candidates).unwrap_or_default();
    let mut asking = Asking {
        card,
        candidates: &candidates,
        amf: question.keys.as_ref().and_then(|keys| keys.amf).unwrap_or(AMF),
        rands,
        steps: Vec::new(),
    };
    match (&question.vector, &question.keys) {
        (Some(vector), keys) => asking.of_vector(vector, keys.is_some()),
        (None, Some(_)) => asking.of_our_own(question.sqn),
        (None, None) => asking.of_chance(),
    }
    let steps = asking.steps;
    let verdicts = judge::verdicts(question, &candidates, &steps);
    Check::new(question, steps, verdicts)
}

struct Asking<'a> {
    card: &'a mut dyn Aka,
    candidates: &'a [Candidate],
    amf: [u8; 2],
    rands: &'a mut dyn FnMut() -> [u8; 16],
    steps: Vec<Step>,
}

impl Asking<'_> {
    /// The vector, and when the card refuses it, which keys the card takes instead.
    fn of_vector(&mut self, vector: &Vector, has_keys: bool) {
        self.ask(Maker::Hss, vector.rand, vector.autn);
        if has_keys && self.is_refused() {
            self.find_keys();
        }
    }

    /// A challenge that has to be accepted: with this SQN, else one above that of the card.
    fn of_our_own(&mut self, sqn: Option<Sqn>) {
        if let Some(sqn) = sqn {
            self.with_our_keys(0, sqn);
            if self.is_refused()
                && let Some(taker) = self.find_keys()
            {
                self.with_our_keys(taker, sqn);
            }
        } else if let Some(taker) = self.find_keys()
            && let Some(sqn_ms) = self.steps.last().and_then(|step| step.sqn_ms)
        {
            self.with_our_keys(taker, sqn_ms.next());
        }
    }

    /// Which reading of the keys the card takes: SQN 0 is refused, but by another answer than a wrong MAC.
    fn find_keys(&mut self) -> Option<usize> {
        for index in 0..self.candidates.len() {
            self.with_our_keys(index, Sqn::default());
            match self.steps.last()?.answer {
                Err(AkaFailure::Mac) => {}
                Ok(_) | Err(AkaFailure::Sync(_)) => return Some(index),
                Err(AkaFailure::Card(_)) => return None,
            }
        }
        None
    }

    fn is_refused(&self) -> bool {
        let last = self.steps.last().map(|step| &step.answer);
        matches!(last, Some(Err(AkaFailure::Mac)))
    }

    fn with_our_keys(&mut self, candidate: usize, sqn: Sqn) {
        let Some(Candidate { reading, suite }) = self.candidates.get(candidate) else {
            return;
        };
        let rand = (self.rands)();
        let autn = suite.autn(&rand, sqn, self.amf);
        self.ask(Maker::Us(*reading), rand, autn);
    }

    fn of_chance(&mut self) {
        let (rand, autn) = ((self.rands)(), (self.rands)());
        self.ask(Maker::Chance, rand, autn);
    }

    fn ask(&mut self, maker: Maker, rand: [u8; 16], autn: [u8; 16]) {
        let answer = self.card.authenticate(&rand, &autn);
        let mut candidates = self.candidates.iter();
        let sqn = candidates.find_map(|it| it.suite.sqn_of(&rand, &autn));
        let sqn_ms = match &answer {
            Err(AkaFailure::Sync(auts)) => self.candidates.iter().find_map(|it| it.suite.open(&rand, auts)),
            Ok(_) | Err(AkaFailure::Mac | AkaFailure::Card(_)) => None,
        };
        self.steps.push(Step {
            maker,
            rand,
            autn,
            sqn,
            answer,
            sqn_ms,
        });
    }
}
