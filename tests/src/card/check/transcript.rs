//! Testkit: what was asked and answered, and what it means: as text and for programs.

use std::fmt::Write as _;

use ims_common::aka::hex::to_hex;
use serde::Serialize;

use super::input::{Keys, Operator};
use super::judge::in_words;
use super::meanings::{Outcome, Verdict};
use super::{Maker, Question, Reading, Step};
use crate::card::session::AkaFailure;
use crate::card::show::COLUMNS;
use crate::card::wording::wrapped;
use crate::usim::Res;

/// What was asked of a card, what it answered, and what that means.
#[derive(Clone, Debug)]
pub struct Check {
    keys: Option<Keys>,
    pub(super) steps: Vec<Step>,
    verdicts: Vec<Verdict>,
}

/// What is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shown {
    /// No secret: whether values are equal.
    Outcome,
    /// RES, CK, IK and OPc too.
    Keys,
}

impl Check {
    pub(super) fn new(question: &Question, steps: Vec<Step>, verdicts: Vec<Verdict>) -> Self {
        Self {
            keys: question.keys.clone(),
            steps,
            verdicts,
        }
    }

    /// What it means.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Something is wrong, and not only doubtful.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.verdicts.iter().any(|it| it.outcome == Outcome::Wrong)
    }

    /// All of it, at most [`COLUMNS`] wide.
    #[must_use]
    pub fn text(&self, shown: Shown) -> String {
        let mut text = String::new();
        if let Some(keys) = &self.keys {
            text.push_str(&line("Keys", &keys_in_words(keys, shown)));
        }
        text.push('\n');
        for step in &self.steps {
            text.push_str(&line("Challenge", &made_by(step)));
            text.push_str(&line("  RAND", &to_hex(&step.rand)));
            text.push_str(&line("  AUTN", &to_hex(&step.autn)));
            text.push_str(&line("  answer", &answer(step)));
            if let (Ok(res), Shown::Keys) = (&step.answer, shown) {
                let Values { res, ck, ik } = Values::of(res);
                let _ = write!(
                    text,
                    "{}{}{}",
                    line("  RES", &res),
                    line("  CK", &ck),
                    line("  IK", &ik)
                );
            }
            text.push('\n');
        }
        for verdict in &self.verdicts {
            let sentence = format!("{} [{}]", verdict.sentence, verdict.id);
            let outcome = verdict.outcome.word();
            text.push_str(&wrapped(&format!("{outcome:<10}"), &sentence, COLUMNS));
            if let Some(remedy) = &verdict.remedy {
                text.push_str(&wrapped("          -> ", remedy, COLUMNS));
            }
        }
        text
    }

    /// The same for programs. The names stay.
    #[must_use]
    pub fn json(&self, shown: Shown) -> impl Serialize + '_ {
        let step = |step| Challenge::of(step, shown);
        Json {
            keys: self.keys.as_ref().map(|keys| keys.whose.as_str()),
            opc: match shown {
                Shown::Outcome => None,
                Shown::Keys => self.keys.as_ref().map(|keys| to_hex(keys.opc().expose())),
            },
            challenges: self.steps.iter().map(step).collect(),
            verdicts: &self.verdicts,
        }
    }
}

fn line(name: &str, text: &str) -> String {
    wrapped(&format!("{name:<12}"), text, COLUMNS)
}

fn keys_in_words(keys: &Keys, shown: Shown) -> String {
    let operator = match keys.operator {
        Operator::Opc(_) => "OPc",
        Operator::Op(_) => "OP",
    };
    let amf = keys.amf.map(|[high, low]| format!(", AMF {high:02X}{low:02X}"));
    let opc = match shown {
        Shown::Outcome => String::new(),
        Shown::Keys => format!(", OPc {}", to_hex(keys.opc().expose())),
    };
    format!("{}: K and {operator}{}{opc}", keys.whose, amf.unwrap_or_default())
}

fn made_by(step: &Step) -> String {
    let maker = match step.maker {
        Maker::Hss => "of the HSS",
        Maker::Us(Reading::AsSaid) => "made here",
        Maker::Us(Reading::OpcIsOp) => "made here with OPc taken for OP",
        Maker::Us(Reading::OpIsOpc) => "made here with OP taken for OPc",
        Maker::Us(Reading::Exchanged) => "made here with K and OPc exchanged",
        Maker::Us(Reading::Xor) => "made here with XOR",
        Maker::Chance => return "made of chance".to_owned(),
    };
    let [.., high, low, _, _, _, _, _, _, _, _] = step.autn;
    let sqn = match step.sqn {
        Some(sqn) => in_words(sqn),
        None => "SQN not known".to_owned(),
    };
    format!("{maker}, {sqn}, AMF {high:02X}{low:02X}")
}

fn answer(step: &Step) -> String {
    match &step.answer {
        Ok(res) => format!("RES ({} octets), CK and IK", res.res.expose().len()),
        Err(AkaFailure::Mac) => "MAC failure (9862)".to_owned(),
        Err(AkaFailure::Sync(auts)) => {
            let stands = step
                .sqn_ms
                .map(|sqn| format!(", the card stands at {}", in_words(sqn)));
            format!("AUTS {}{}", to_hex(&auts.0), stands.unwrap_or_default())
        }
        Err(AkaFailure::Card(error)) => error.to_string(),
    }
}

/// What is secret, in hex.
#[derive(Serialize)]
struct Values {
    res: String,
    ck: String,
    ik: String,
}

impl Values {
    fn of(res: &Res) -> Self {
        Self {
            res: to_hex(res.res.expose()),
            ck: to_hex(res.ck.expose()),
            ik: to_hex(res.ik.expose()),
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    keys: Option<&'a str>,
    opc: Option<String>,
    challenges: Vec<Challenge>,
    verdicts: &'a [Verdict],
}

#[derive(Serialize)]
struct Challenge {
    /// `hss`, `here` or `chance`
    maker: &'static str,
    rand: String,
    autn: String,
    sqn: Option<u64>,
    /// `res`, `mac-failure`, `auts` or `failed`
    answer: &'static str,
    auts: Option<String>,
    sqn_ms: Option<u64>,
    failure: Option<String>,
    values: Option<Values>,
}

impl Challenge {
    fn of(step: &Step, shown: Shown) -> Self {
        let (answer, auts, failure) = match &step.answer {
            Ok(_) => ("res", None, None),
            Err(AkaFailure::Mac) => ("mac-failure", None, None),
            Err(AkaFailure::Sync(auts)) => ("auts", Some(to_hex(&auts.0)), None),
            Err(AkaFailure::Card(error)) => ("failed", None, Some(error.to_string())),
        };
        let values = step.answer.as_ref().ok().filter(|_| shown == Shown::Keys);
        Self {
            maker: match step.maker {
                Maker::Hss => "hss",
                Maker::Us(_) => "here",
                Maker::Chance => "chance",
            },
            rand: to_hex(&step.rand),
            autn: to_hex(&step.autn),
            sqn: step.sqn.map(|sqn| sqn.number()),
            answer,
            auts,
            sqn_ms: step.sqn_ms.map(|sqn| sqn.number()),
            failure,
            values: values.map(Values::of),
        }
    }
}
