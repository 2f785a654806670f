//! Testkit: what the answers of a card mean, beside a vector and keys.

use super::input::{Keys, Operator, Vector};
use super::meanings::{
    AGREE, AMF_DIFFERS, CARD_ACCEPTS, CARD_FAILED, CARD_HAS_KEYS, CARD_HAS_OTHER, CHANCE_REFUSED,
    GIVEN_ARE_OTHER, HSS_BEGINS_BEHIND, HSS_HAS_OTHER, MAC_FAILURE, NONE_AGREE, READ_OTHERWISE, RES_DIFFERS,
    RES_SHORTENED, SEPARATION_BIT, SQN_BEHIND, SQN_JUMPS, SQN_MOVED, SQN_NOT_TOLD, SQN_UNCHECKED, Verdict,
    XRES_DIFFERS,
};
use super::suite::{Candidate, Reading, is_shortened};
use super::{Maker, Question, Step};
use crate::card::session::AkaFailure;
use crate::card::wording::and;
use crate::milenage::Sqn;
use crate::usim::{Res, SEQ_DELTA_MAX};

const REFUSED: &str = "(9862, MAC failure)";

/// All that can be said.
pub(super) fn verdicts(question: &Question, candidates: &[Candidate], steps: &[Step]) -> Vec<Verdict> {
    let case = Case {
        vector: question.vector.as_ref(),
        keys: question.keys.as_ref(),
        candidates,
        steps,
    };
    if let Some(failure) = steps.iter().find_map(|step| failed(&step.answer)) {
        return vec![failure];
    }
    let Some(first) = steps.first() else {
        return Vec::new();
    };
    match (case.vector, case.keys) {
        (Some(vector), _) => case.of_vector(vector, first),
        (None, Some(keys)) => case.of_our_own(keys),
        (None, None) => of_chance(first),
    }
}

/// The failure's own words: the sentence, and behind a semicolon what to do.
fn failed(answer: &Result<Res, AkaFailure>) -> Option<Verdict> {
    let Err(failure @ AkaFailure::Card(_)) = answer else {
        return None;
    };
    let text = failure.to_string();
    let mut letters = text.chars();
    let text: String = letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default();
    Some(match text.split_once("; ") {
        Some((sentence, remedy)) => CARD_FAILED.verdict(sentence, remedy),
        None => CARD_FAILED.alone(text),
    })
}

fn of_chance(step: &Step) -> Vec<Verdict> {
    let remedy = "give --k and --opc (or --core with the file of the HSS), or --hss-vector";
    let refused = format!(
        "The card refuses a challenge made of chance {REFUSED}, as it should: it does AKA, and what its keys are is not known"
    );
    vec![match step.answer {
        Err(AkaFailure::Mac) => CHANCE_REFUSED.verdict(refused, remedy),
        _ => CARD_FAILED.verdict(
            "The card does not refuse a challenge made of chance: it does not look at MAC-A",
            "a card that takes every network is for no network: look at its configuration",
        ),
    }]
}

#[derive(Clone, Copy)]
struct Case<'a> {
    vector: Option<&'a Vector>,
    keys: Option<&'a Keys>,
    candidates: &'a [Candidate],
    steps: &'a [Step],
}

impl<'a> Case<'a> {
    /// The reading of the keys with which the vector was made.
    fn maker(&self) -> Option<&'a Candidate> {
        let vector = self.vector?;
        let mut candidates = self.candidates.iter();
        candidates.find(|it| it.suite.sqn_of(&vector.rand, &vector.autn).is_some())
    }

    /// The reading of the keys that the card takes, by challenges of our own.
    fn taker(&self) -> Option<Reading> {
        self.steps
            .iter()
            .find_map(|step| match (step.maker, &step.answer) {
                (Maker::Us(reading), Ok(_) | Err(AkaFailure::Sync(_))) => Some(reading),
                _ => None,
            })
    }

    /// A challenge of our own had SQN 0, and the card took it.
    fn has_accepted_zero(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(step.maker, Maker::Us(_)) && step.answer.is_ok() && step.sqn == Some(Sqn::default())
        })
    }

    fn candidate(&self, reading: Reading) -> Option<&'a Candidate> {
        self.candidates.iter().find(|it| it.reading == reading)
    }

    fn of_vector(&self, vector: &Vector, step: &Step) -> Vec<Verdict> {
        let mut verdicts = match &step.answer {
            Ok(res) => self.accepted(vector, step, res),
            Err(AkaFailure::Mac) => vec![self.refused()],
            Err(AkaFailure::Sync(_)) => self.out_of_range(step),
            Err(AkaFailure::Card(_)) => Vec::new(),
        };
        verdicts.extend(self.amf(vector));
        verdicts
    }

    fn accepted(&self, vector: &Vector, step: &Step, res: &Res) -> Vec<Verdict> {
        if let Some(verdict) = xres_differs(vector, res) {
            return vec![verdict];
        }
        let Some(keys) = self.keys else {
            let octets = res.res.expose().len();
            return vec![CARD_ACCEPTS.alone(format!(
                "The card accepts the challenge, with RES of {octets} octets: who made it has the card's K and OPc, and its \
                 SQN fits"
            ))];
        };
        let Some(maker) = self.maker() else {
            return vec![given_are_other(&format!("the keys {} are others", keys.whose))];
        };
        if let Some(verdict) = res_differs(keys, maker, step, res) {
            return vec![verdict];
        }
        if maker.reading != Reading::AsSaid {
            return vec![given_are_other(&format!(
                "both have {}",
                words(keys, maker.reading)
            ))];
        }
        let and_vector = if vector.xres.is_some() {
            " and of the vector"
        } else {
            ""
        };
        let agree = AGREE.alone(format!(
            "Card, HSS and the keys {} agree: the vector was made with them, the card accepts it at {}, and RES, CK and IK are \
             those of Milenage{and_vector}",
            keys.whose,
            step.sqn.map(in_words).unwrap_or_default()
        ));
        // An XRES that is the same is as short.
        let shortened = res_shortened(maker, step, res).filter(|_| vector.xres.is_none());
        [agree].into_iter().chain(shortened).collect()
    }

    fn refused(&self) -> Verdict {
        let Some(keys) = self.keys else {
            return MAC_FAILURE.verdict(
                format!(
                    "The card refuses the challenge {REFUSED}: who made it has not the card's K and OPc"
                ),
                "compare Ki, and OP against OPc, in the HSS with what the card's vendor says; with --k and --opc it is said \
                 here which of the two is wrong",
            );
        };
        match (self.maker().map(|maker| maker.reading), self.taker()) {
            (Some(hss), Some(card)) if hss == card => CARD_FAILED.verdict(
                format!("The card refuses the vector {REFUSED} and takes other challenges of the same keys"),
                "look at its AMF: it is all that is different",
            ),
            (Some(hss), Some(card)) => READ_OTHERWISE.verdict(
                format!(
                    "The card has {}, and the HSS has {}",
                    words(keys, card),
                    words(keys, hss)
                ),
                match card {
                    Reading::AsSaid => in_the_hss(hss),
                    _ => in_the_card(card),
                },
            ),
            (Some(hss), None) => CARD_HAS_OTHER.verdict(
                format!(
                    "The HSS has {}, and the card has others: it refuses the vector {REFUSED}, and all that is made with these \
                     keys, also {}",
                    words(keys, hss),
                    all_readings(keys)
                ),
                CARDS_KEYS,
            ),
            (None, Some(card)) => HSS_HAS_OTHER.verdict(
                format!(
                    "The card has {}, and the HSS has others: its vector is refused {REFUSED}, and a challenge made with these \
                     keys is not",
                    words(keys, card)
                ),
                as_the_card_has(card),
            ),
            (None, None) => NONE_AGREE.verdict(
                format!(
                    "Neither the HSS nor the card has the keys {}: the vector was not made with them, and the card refuses it \
                     and them {REFUSED}",
                    keys.whose
                ),
                "find out first what the card has: K and OPc that the vendor names for this very card (by its ICCID)",
            ),
        }
    }

    fn out_of_range(&self, step: &Step) -> Vec<Verdict> {
        let Some(keys) = self.keys else {
            return vec![out_of_some_range()];
        };
        let (Some(maker), Some(sqn)) = (self.maker(), step.sqn) else {
            let other = given_are_other(&format!("the keys {} are others", keys.whose));
            return vec![other, out_of_some_range()];
        };
        let misread = (maker.reading != Reading::AsSaid)
            .then(|| given_are_other(&format!("both have {}", words(keys, maker.reading))));
        misread
            .into_iter()
            .chain([sqn_verdict(step, sqn, "the SQN of the HSS")])
            .collect()
    }

    fn of_our_own(&self, keys: &Keys) -> Vec<Verdict> {
        let Some(reading) = self.taker() else {
            return vec![CARD_HAS_OTHER.verdict(
                format!(
                    "The card has not the keys {}: it refuses all that is made with them {REFUSED}, also {}",
                    keys.whose,
                    all_readings(keys)
                ),
                CARDS_KEYS,
            )];
        };
        let misread = (reading != Reading::AsSaid).then(|| {
            READ_OTHERWISE.verdict(
                format!("The card has {}", words(keys, reading)),
                in_the_card(reading),
            )
        });
        let rest = self.of_the_taken(keys, reading);
        misread.into_iter().chain(rest).collect()
    }

    /// The last challenge is one that the card had to accept.
    fn of_the_taken(&self, keys: &Keys, reading: Reading) -> Vec<Verdict> {
        let (Some(last), Some(candidate)) = (self.steps.last(), self.candidate(reading)) else {
            return Vec::new();
        };
        let sqn = last.sqn.unwrap_or_default();
        let res = match &last.answer {
            Ok(res) => res,
            Err(_) => return vec![sqn_verdict(last, sqn, "the SQN of the challenge")],
        };
        if let Some(verdict) = res_differs(keys, candidate, last, res) {
            return vec![verdict, moved(sqn)];
        }
        if self.has_accepted_zero() {
            return vec![SQN_UNCHECKED.verdict(
                format!(
                    "The card has {}, and it accepts SQN 0: it does not look at sequence numbers, or was told not to this once",
                    words(keys, reading)
                ),
                "ask again; when it accepts SQN 0 again, resynchronisation cannot be tested with it: switch the check on in the \
                 card's configuration",
            )];
        }
        let stood = self.steps.iter().find_map(|step| step.sqn_ms);
        let stood = stood.map(|sqn| format!("it stood at {}, ", in_words(sqn)));
        let ok = CARD_HAS_KEYS.alone(format!(
            "The card has {}: {}accepted {}, and RES, CK and IK are those of {}",
            words(keys, reading),
            stood.unwrap_or_else(|| "it ".to_owned()),
            in_words(sqn),
            algorithm(reading)
        ));
        [ok, moved(sqn)]
            .into_iter()
            .chain(res_shortened(candidate, last, res))
            .chain(begins_behind(keys, sqn))
            .collect()
    }

    fn amf(&self, vector: &Vector) -> Option<Verdict> {
        let hex = |[high, low]: [u8; 2]| format!("{high:02X}{low:02X}");
        let amf = vector.amf();
        let named = self.keys.and_then(|keys| Some((keys, keys.amf?)));
        match named {
            Some((keys, said)) if said != amf => Some(AMF_DIFFERS.verdict(
                format!(
                    "The vector has AMF {} in its AUTN, and the keys {} name {}",
                    hex(amf),
                    keys.whose,
                    hex(said)
                ),
                "a card takes either, for MAC-A covers it: correct AMF in the HSS when it is to be the one given",
            )),
            _ if amf.first().is_some_and(|octet| octet & 0x80 == 0) => Some(SEPARATION_BIT.verdict(
                format!(
                    "AMF {} has no separation bit, which IMS does not ask for",
                    hex(amf)
                ),
                "a phone that gets it for LTE or 5G refuses it: set AMF to 8000 when the same HSS authenticates the radio",
            )),
            _ => None,
        }
    }
}

const CARDS_KEYS: &str = "take K and OPc that the vendor names for this very card (by its ICCID), or program these into the \
                          card; a card with TUAK, or with a Milenage of its own constants, looks the same";

fn given_are_other(how: &str) -> Verdict {
    GIVEN_ARE_OTHER.verdict(
        format!("Card and HSS agree, for the card takes MAC-A of the vector, and {how}"),
        "a phone registers all the same: correct the list that the keys were taken from",
    )
}

/// Without the card's keys its AUTS stays closed.
fn out_of_some_range() -> Verdict {
    SQN_NOT_TOLD.verdict(
        "The card has the keys of the challenge, and its SQN is out of range: the card has seen it, or a later one, or it is \
         too far ahead of the card",
        "let the phone register: the core resynchronises by its AUTS; with the card's keys (--k and --opc) it is said here how \
         far the two are apart",
    )
}

fn moved(sqn: Sqn) -> Verdict {
    SQN_MOVED.verdict(
        format!(
            "This was a real authentication: the card has accepted {}, which the HSS does not know",
            in_words(sqn)
        ),
        "nothing to do: if the next challenge of the HSS is not above, the phone resynchronises once",
    )
}

/// An HSS that forgets where it was begins again with what its file says.
fn begins_behind(keys: &Keys, stands: Sqn) -> Option<Verdict> {
    let begins = keys.sqn.filter(|begins| begins.seq() < stands.seq())?;
    Some(HSS_BEGINS_BEHIND.verdict(
        format!(
            "By its file the HSS begins at {}, and the card stands at {}: {} behind",
            in_words(begins),
            in_words(stands),
            stands.seq() - begins.seq()
        ),
        format!(
            "nothing to do, each start of this HSS costs the phone one resynchronisation; sqn: {} in the file saves the next one",
            stands.number()
        ),
    ))
}

/// How far a challenge that was out of range is from where the card stands.
fn sqn_verdict(step: &Step, sqn: Sqn, whose: &str) -> Verdict {
    let Some(ms) = step.sqn_ms else {
        return CARD_FAILED.verdict(
            "The card says that SQN is out of range, and MAC-S of its AUTS is not of the keys whose MAC-A it takes",
            "look at the constants of f1* and f5* in the card's configuration: no HSS can follow such an AUTS",
        );
    };
    let next = Sqn::of(ms.seq() + 1, ms.ind()).number();
    let (has, stands) = (in_words(sqn), position(ms));
    if sqn.seq() > ms.seq() {
        return SQN_JUMPS.verdict(
            format!(
                "The keys are right, and {whose} is too far ahead of the card's: the challenge has {has}, the card stands at \
                 {stands}, and a card accepts a jump of SEQ of {SEQ_DELTA_MAX} or less (delta of TS 33.102 C.2.1), many of them \
                 of less"
            ),
            format!(
                "let the phone register: the core resynchronises by its AUTS; an HSS that does not follow has to be set to \
                 {next}"
            ),
        );
    }
    let behind = match ms.seq() - sqn.seq() {
        0 => "which it has seen".to_owned(),
        count => format!("{count} behind"),
    };
    SQN_BEHIND.verdict(
        format!(
            "The keys are right, and {whose} is behind the card's: the challenge has {has}, the card stands at {stands}, \
             {behind}"
        ),
        format!(
            "let the phone register: the core resynchronises by its AUTS; an HSS that does not follow has to be set to {next} \
             or more"
        ),
    )
}

/// `SQN 33, SEQ 1, IND 1` with its parts in brackets.
pub(super) fn in_words(sqn: Sqn) -> String {
    format!("SQN {}", position(sqn))
}

fn position(sqn: Sqn) -> String {
    format!("{} (SEQ {}, IND {})", sqn.number(), sqn.seq(), sqn.ind())
}

/// What somebody has who reads the keys so.
fn words(keys: &Keys, reading: Reading) -> String {
    let whose = &keys.whose;
    match reading {
        Reading::AsSaid => format!("the keys {whose}"),
        Reading::OpcIsOp => format!("the keys {whose} with what is said to be OPc taken for OP"),
        Reading::OpIsOpc => format!("the keys {whose} with what is said to be OP taken for OPc"),
        Reading::Exchanged => format!("the keys {whose} with K and OPc exchanged"),
        Reading::Xor => format!("K of the keys {whose} with XOR instead of Milenage"),
    }
}

const fn algorithm(reading: Reading) -> &'static str {
    match reading {
        Reading::Xor => "XOR",
        Reading::AsSaid | Reading::OpcIsOp | Reading::OpIsOpc | Reading::Exchanged => "Milenage",
    }
}

const fn all_readings(keys: &Keys) -> &'static str {
    match &keys.operator {
        Operator::Opc(_) => "with OPc taken for OP, with K and OPc exchanged, or with XOR",
        Operator::Op(_) => "with OP taken for OPc, with K and OPc exchanged, or with XOR",
    }
}

/// The card has them as they are said; the HSS does not.
const fn in_the_hss(hss: Reading) -> &'static str {
    match hss {
        Reading::AsSaid => "nothing to do in the HSS",
        Reading::OpcIsOp => "enter the value in the HSS as OPc, not as OP",
        Reading::OpIsOpc => "enter the value in the HSS as OP, not as OPc, or OPc that is made of it",
        Reading::Exchanged => "exchange K and OPc in the HSS",
        Reading::Xor => "switch the HSS from XOR to Milenage",
    }
}

/// The HSS has none of them; the card has them in this way.
const fn as_the_card_has(card: Reading) -> &'static str {
    match card {
        Reading::AsSaid => {
            "enter K and OPc in the HSS as they are given here, under the IMPI and the IMSI of this card"
        }
        Reading::OpcIsOp => {
            "the value is OP: enter K in the HSS, and the value as OP or OPc that is made of it, under the IMPI and the IMSI of \
             this card"
        }
        Reading::OpIsOpc => {
            "the value is OPc: enter K in the HSS, and the value as OPc, under the IMPI and the IMSI of this card"
        }
        Reading::Exchanged => {
            "enter K and OPc in the HSS the other way round, as the card has them, under its IMPI and its IMSI"
        }
        Reading::Xor => {
            "switch the card from XOR to Milenage, for the HSS computes nothing else for IMS; then enter K and OPc in the HSS \
             as the card has them, under its IMPI and its IMSI"
        }
    }
}

const fn in_the_card(card: Reading) -> &'static str {
    match card {
        Reading::AsSaid => "nothing to do on the card",
        Reading::OpcIsOp => {
            "the value is OP: say it with --op, and see that the HSS has it as OP or has OPc that is made of it; or program it \
             into the card as OPc"
        }
        Reading::OpIsOpc => {
            "the value is OPc: say it with --opc, and see that the HSS has it so; or program OPc that is made of it into the \
             card"
        }
        Reading::Exchanged => "exchange K and OPc, in the HSS too, or on the card",
        Reading::Xor => "switch the card from XOR to Milenage: the HSS computes nothing else for IMS",
    }
}

fn res_differs(keys: &Keys, candidate: &Candidate, step: &Step, res: &Res) -> Option<Verdict> {
    let agrees = candidate.suite.agrees(&step.rand, res);
    let (other, same) = parted(["RES", "CK", "IK"], agrees.map(Some));
    if other.is_empty() {
        return None;
    }
    Some(RES_DIFFERS.verdict(
        format!(
            "The card takes MAC-A of the keys {}, and its {} {} not that of {}{}: its functions have other constants, or it is \
             broken",
            keys.whose,
            and(&other),
            is_or_are(&other),
            algorithm(candidate.reading),
            in_brackets(&same)
        ),
        "look at the constants c and r of Milenage in the card's configuration (TS 35.206 4.1)",
    ))
}

fn res_shortened(candidate: &Candidate, step: &Step, res: &Res) -> Option<Verdict> {
    let octets = candidate.suite.shortens(&step.rand, res)?;
    Some(RES_SHORTENED.verdict(
        format!("The card gives the first {octets} octets of the 8 that Milenage has for RES"),
        format!(
            "an HSS whose XRES is longer refuses such a phone: see with --hss-vector that XRES has {octets} octets too, or \
             {WHOLE_RES}"
        ),
    ))
}

const WHOLE_RES: &str = "have the card give all of RES (only_4bytes_res_in_3g of a sysmoISIM is false)";

fn xres_differs(vector: &Vector, res: &Res) -> Option<Verdict> {
    let agrees = [
        vector.xres.as_ref().map(|xres| *xres == res.res),
        vector.ck.as_ref().map(|ck| *ck == res.ck),
        vector.ik.as_ref().map(|ik| *ik == res.ik),
    ];
    let (other, same) = parted(["RES", "CK", "IK"], agrees);
    let (other_of_vector, _) = parted(["XRES", "CK", "IK"], agrees);
    if other.is_empty() {
        return None;
    }
    if let ["RES"] = other.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && let Some(xres) = &vector.xres
        && is_shortened(res.res.expose(), xres.expose())
    {
        let (short, long) = (res.res.expose().len(), xres.expose().len());
        return Some(XRES_DIFFERS.verdict(
            format!(
                "The card accepts the challenge, and its RES is the first {short} octets of XRES of the vector, which has \
                 {long}{}: the card shortens RES, and the HSS does not",
                in_brackets(&same)
            ),
            format!("have the HSS make XRES of {short} octets for this card, or {WHOLE_RES}"),
        ));
    }
    Some(XRES_DIFFERS.verdict(
        format!(
            "The card accepts the challenge, and its {} {} not {} of the vector{}: the HSS computes or writes its vector wrong",
            and(&other),
            is_or_are(&other),
            and(&other_of_vector),
            in_brackets(&same)
        ),
        "look whether parts of the vector were exchanged, or XRES is hex written out as text",
    ))
}

/// Names of what differs and of what is the same.
fn parted(names: [&str; 3], agrees: [Option<bool>; 3]) -> (Vec<String>, Vec<String>) {
    let those = |wanted: bool| {
        let pairs = names.iter().zip(agrees);
        let those = pairs.filter(|(_, agrees)| *agrees == Some(wanted));
        those.map(|(name, _)| (*name).to_owned()).collect()
    };
    (those(false), those(true))
}

const fn is_or_are(names: &[String]) -> &'static str {
    match names.len() {
        1 => "is",
        _ => "are",
    }
}

fn in_brackets(same: &[String]) -> String {
    match same.is_empty() {
        true => String::new(),
        false => format!(" ({} {})", and(same), is_or_are(same)),
    }
}
