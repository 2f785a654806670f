//! Table: what a card's answers to challenges mean. The manual is made of it.

use std::fmt;

use serde::Serialize;

/// How good or bad it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// With this nothing registers.
    Wrong,
    /// It may be meant so, or heal by itself.
    Doubtful,
    /// Good to know.
    Note,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Doubtful => "doubtful",
            Self::Note => "note",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// Its name, which does not change.
    pub id: &'static str,
    /// How good or bad it is.
    pub outcome: Outcome,
    /// In a few words.
    pub title: &'static str,
    /// What a test has produced.
    pub example: &'static str,
}

impl Meaning {
    pub(super) fn verdict(&self, sentence: impl Into<String>, remedy: impl Into<String>) -> Verdict {
        Verdict {
            id: self.id,
            outcome: self.outcome,
            sentence: sentence.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// Nothing is to be done.
    pub(super) fn alone(&self, sentence: impl Into<String>) -> Verdict {
        Verdict {
            remedy: None,
            ..self.verdict(sentence, "")
        }
    }
}

/// What was found out: `{sentence}; {remedy}.`
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Verdict {
    /// Which row it is.
    pub id: &'static str,
    /// How good or bad it is.
    pub outcome: Outcome,
    /// What is so, with the values that prove it.
    pub sentence: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(f, "{}; {remedy}.", self.sentence),
            None => write!(f, "{}.", self.sentence),
        }
    }
}

/// All rows.
pub const MEANINGS: &[&Meaning] = &[
    &AGREE,
    &CARD_HAS_KEYS,
    &CARD_ACCEPTS,
    &MAC_FAILURE,
    &CARD_HAS_OTHER,
    &HSS_HAS_OTHER,
    &NONE_AGREE,
    &READ_OTHERWISE,
    &GIVEN_ARE_OTHER,
    &RES_DIFFERS,
    &RES_SHORTENED,
    &XRES_DIFFERS,
    &SQN_BEHIND,
    &SQN_JUMPS,
    &SQN_NOT_TOLD,
    &SQN_UNCHECKED,
    &CARD_FAILED,
    &AMF_DIFFERS,
    &SEPARATION_BIT,
    &SQN_MOVED,
    &HSS_BEGINS_BEHIND,
    &CHANCE_REFUSED,
];

pub(super) const AGREE: Meaning = Meaning {
    id: "keys-agree",
    outcome: Outcome::Ok,
    title: "Card, HSS and keys agree",
    example: "Card, HSS and the keys given agree: the vector was made with them, the card accepts it at SQN 32 (SEQ 1, IND \
              0), and RES, CK and IK are those of Milenage and of the vector.",
};

pub(super) const CARD_HAS_KEYS: Meaning = Meaning {
    id: "card-has-keys",
    outcome: Outcome::Ok,
    title: "The card has the keys",
    example: "The card has the keys given: it stood at SQN 3203 (SEQ 100, IND 3), accepted SQN 3236 (SEQ 101, IND 4), and \
              RES, CK and IK are those of Milenage.",
};

pub(super) const CARD_ACCEPTS: Meaning = Meaning {
    id: "card-accepts",
    outcome: Outcome::Ok,
    title: "The card accepts the challenge",
    example: "The card accepts the challenge, with RES of 8 octets: who made it has the card's K and OPc, and its SQN fits.",
};

pub(super) const MAC_FAILURE: Meaning = Meaning {
    id: "mac-failure",
    outcome: Outcome::Wrong,
    title: "MAC failure, and no keys to compare",
    example: "The card refuses the challenge (9862, MAC failure): who made it has not the card's K and OPc; compare Ki, and \
              OP against OPc, in the HSS with what the card's vendor says; with --k and --opc it is said here which of the \
              two is wrong.",
};

pub(super) const CARD_HAS_OTHER: Meaning = Meaning {
    id: "card-has-other-keys",
    outcome: Outcome::Wrong,
    title: "The card has other keys",
    example: "The HSS has the keys given, and the card has others: it refuses the vector (9862, MAC failure), and all that is \
              made with these keys, also with OPc taken for OP, with K and OPc exchanged, or with XOR; take K and OPc that the vendor \
              names for this very card (by its ICCID), or program these into the card; a card with TUAK, or with a Milenage \
              of its own constants, looks the same.",
};

pub(super) const HSS_HAS_OTHER: Meaning = Meaning {
    id: "hss-has-other-keys",
    outcome: Outcome::Wrong,
    title: "The HSS has other keys",
    example: "The card has the keys given, and the HSS has others: its vector is refused (9862, MAC failure), and a challenge \
              made with these keys is not; enter K and OPc in the HSS as they are given here, under the IMPI and the IMSI of \
              this card.",
};

pub(super) const NONE_AGREE: Meaning = Meaning {
    id: "no-keys-agree",
    outcome: Outcome::Wrong,
    title: "Card, HSS and keys are three",
    example: "Neither the HSS nor the card has the keys given: the vector was not made with them, and the card refuses it and \
              them (9862, MAC failure); find out first what the card has: K and OPc that the vendor names for this very card \
              (by its ICCID).",
};

pub(super) const READ_OTHERWISE: Meaning = Meaning {
    id: "op-or-opc",
    outcome: Outcome::Wrong,
    title: "OP taken for OPc, or the like",
    example: "The card has the keys given, and the HSS has the keys given with what is said to be OPc taken for OP; enter \
              the value in the HSS as OPc, not as OP.",
};

pub(super) const GIVEN_ARE_OTHER: Meaning = Meaning {
    id: "given-keys-are-other",
    outcome: Outcome::Doubtful,
    title: "Card and HSS agree, and the keys given are others",
    example: "Card and HSS agree, for the card takes MAC-A of the vector, and the keys given are others; a phone registers \
              all the same: correct the list that the keys were taken from.",
};

pub(super) const RES_DIFFERS: Meaning = Meaning {
    id: "res-differs",
    outcome: Outcome::Wrong,
    title: "The card computes something else than Milenage",
    example: "The card takes MAC-A of the keys given, and its RES is not that of Milenage (CK and IK are): its functions have \
              other constants, or it is broken; look at the constants c and r of Milenage in the card's configuration (TS \
              35.206 4.1).",
};

pub(super) const RES_SHORTENED: Meaning = Meaning {
    id: "res-shortened",
    outcome: Outcome::Doubtful,
    title: "The card shortens RES",
    example: "The card gives the first 4 octets of the 8 that Milenage has for RES; an HSS whose XRES is longer refuses such a \
              phone: see with --hss-vector that XRES has 4 octets too, or have the card give all of RES (only_4bytes_res_in_3g \
              of a sysmoISIM is false).",
};

pub(super) const XRES_DIFFERS: Meaning = Meaning {
    id: "xres-differs",
    outcome: Outcome::Wrong,
    title: "The vector's XRES, CK or IK is not the card's",
    example: "The card accepts the challenge, and its RES and CK are not XRES and CK of the vector (IK is): the HSS computes \
              or writes its vector wrong; look whether parts of the vector were exchanged, or XRES is hex written out \
              as text.",
};

pub(super) const SQN_BEHIND: Meaning = Meaning {
    id: "sqn-behind",
    outcome: Outcome::Doubtful,
    title: "The HSS is behind the card",
    example: "The keys are right, and the SQN of the HSS is behind the card's: the challenge has SQN 101 (SEQ 3, IND 5), the \
              card stands at 3205 (SEQ 100, IND 5), 97 behind; let the phone register: the core resynchronises by its AUTS; \
              an HSS that does not follow has to be set to 3237 or more.",
};

pub(super) const SQN_JUMPS: Meaning = Meaning {
    id: "sqn-jumps",
    outcome: Outcome::Doubtful,
    title: "The HSS is too far ahead of the card",
    example: "The keys are right, and the SQN of the HSS is too far ahead of the card's: the challenge has SQN 8589937824 \
              (SEQ 268435557, IND 0), the card stands at 3200 (SEQ 100, IND 0), and a card accepts a jump of SEQ of 268435456 \
              or less (delta of TS 33.102 C.2.1), many of them of less; let the phone register: the core resynchronises by its \
              AUTS; an HSS that does not follow has to be set to 3232.",
};

pub(super) const SQN_NOT_TOLD: Meaning = Meaning {
    id: "sqn-out-of-range",
    outcome: Outcome::Doubtful,
    title: "SQN is out of range, and how far is not known",
    example: "The card has the keys of the challenge, and its SQN is out of range: the card has seen it, or a later one, \
              or it is too far ahead of the card; let the phone register: the core resynchronises by its AUTS; with the card's \
              keys (--k and --opc) it is said here how far the two are apart.",
};

pub(super) const SQN_UNCHECKED: Meaning = Meaning {
    id: "sqn-unchecked",
    outcome: Outcome::Doubtful,
    title: "The card does not look at SQN",
    example: "The card has the keys given, and it accepts SQN 0: it does not look at sequence numbers, or was told not to this \
              once; ask again; when it accepts SQN 0 again, resynchronisation cannot be tested with it: switch the check on in \
              the card's configuration.",
};

pub(super) const CARD_FAILED: Meaning = Meaning {
    id: "card-failed",
    outcome: Outcome::Wrong,
    title: "The card gives no answer to a challenge",
    example: "The card refused AUTHENTICATE: 9864 (authentication error: this security context is not supported); the \
              application does not do AKA: it may have no algorithm or no key programmed.",
};

pub(super) const AMF_DIFFERS: Meaning = Meaning {
    id: "amf-differs",
    outcome: Outcome::Doubtful,
    title: "The HSS uses another AMF",
    example: "The vector has AMF 0000 in its AUTN, and the keys given name 8000; a card takes either, for MAC-A covers it: \
              correct AMF in the HSS when it is to be the one given.",
};

pub(super) const SEPARATION_BIT: Meaning = Meaning {
    id: "separation-bit",
    outcome: Outcome::Note,
    title: "AMF without the separation bit",
    example: "AMF 0000 has no separation bit, which IMS does not ask for; a phone that gets it for LTE or 5G refuses it: set \
              AMF to 8000 when the same HSS authenticates the radio.",
};

pub(super) const SQN_MOVED: Meaning = Meaning {
    id: "sqn-moved",
    outcome: Outcome::Note,
    title: "The card's SQN has moved",
    example: "This was a real authentication: the card has accepted SQN 3236 (SEQ 101, IND 4), which the HSS does not know; \
              nothing to do: if the next challenge of the HSS is not above, the phone resynchronises once.",
};

pub(super) const HSS_BEGINS_BEHIND: Meaning = Meaning {
    id: "hss-begins-behind",
    outcome: Outcome::Note,
    title: "The HSS begins below the card's SQN",
    example: "By its file the HSS begins at SQN 64 (SEQ 2, IND 0), and the card stands at SQN 3236 (SEQ 101, IND 4): 99 behind; \
              nothing to do, each start of this HSS costs the phone one resynchronisation; sqn: 3236 in the file saves the next \
              one.",
};

pub(super) const CHANCE_REFUSED: Meaning = Meaning {
    id: "chance-refused",
    outcome: Outcome::Note,
    title: "Without keys and vector there is little to say",
    example: "The card refuses a challenge made of chance (9862, MAC failure), as it should: it does AKA, and what its keys \
              are is not known; give --k and --opc (or --core with the file of the HSS), or --hss-vector.",
};
