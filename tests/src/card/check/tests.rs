//! Testkit: cards, HSSs and keys that agree and that do not, each with its sentence.

use ims_common::aka::Secret;

use super::meanings::*;
use super::*;
use crate::card::apdu::StatusWord;
use crate::card::apdu::instruction;
use crate::card::channel::CardError;
use crate::card::session::Card;
use crate::card::virtual_card::{CardProfile, Fault, VirtualCard};
use crate::hss::{TEST_K, TEST_OPC};
use crate::milenage::Milenage;

const OTHER: [u8; 16] = [0x77; 16];
const RAND: [u8; 16] = [0x33; 16];

fn profile() -> CardProfile {
    CardProfile::new("001010000000001")
}

/// A card that has this history.
fn standing_at(sqn: Sqn) -> CardProfile {
    profile().sqn(sqn)
}

fn given() -> Keys {
    Keys {
        whose: "given".to_owned(),
        k: Secret::new(TEST_K),
        operator: Operator::Opc(Secret::new(TEST_OPC)),
        amf: None,
        sqn: None,
    }
}

/// What an HSS gives out that has these keys.
fn vector(functions: &Milenage, sqn: Sqn, amf: [u8; 2]) -> Vector {
    let made = functions.vector(RAND, sqn, amf);
    Vector {
        rand: made.rand,
        autn: made.autn,
        xres: Some(made.xres),
        ck: Some(made.ck),
        ik: Some(made.ik),
    }
}

fn right(sqn: Sqn) -> Vector {
    vector(&Milenage::new(&TEST_K, &TEST_OPC), sqn, AMF)
}

fn about(vector: Vector) -> Question {
    Question {
        vector: Some(vector),
        ..Question::default()
    }
}

fn with_keys(question: Question, keys: Keys) -> Question {
    Question {
        keys: Some(keys),
        ..question
    }
}

fn of_keys(keys: Keys) -> Question {
    with_keys(Question::default(), keys)
}

fn asked(profile: CardProfile, question: &Question) -> Check {
    let mut card = Card::open(VirtualCard::new(profile)).expect("a card");
    let mut count = 0;
    run(&mut card, question, &mut || {
        count += 1;
        [count; 16]
    })
}

/// The verdicts are the examples of these rows.
fn assert_meant(profile: CardProfile, question: &Question, rows: &[&Meaning]) {
    let said: Vec<_> = asked(profile, question)
        .verdicts()
        .iter()
        .map(ToString::to_string)
        .collect();
    let examples: Vec<_> = rows.iter().map(|row| row.example).collect();
    assert_eq!(said, examples);
}

/// The ids of the verdicts, and the first sentence with its remedy.
fn assert_said(profile: CardProfile, question: &Question, ids: &[&str], first: &str) {
    let check = asked(profile, question);
    let found: Vec<_> = check.verdicts().iter().map(|it| it.id).collect();
    assert_eq!(found, ids);
    assert_eq!(check.verdicts()[0].to_string(), first);
}

#[test]
fn a_vector_that_the_card_accepts_proves_that_both_have_the_keys() {
    let question = about(right(Sqn::of(1, 0)));
    assert_meant(profile(), &question, &[&CARD_ACCEPTS]);
    let question = with_keys(question, given());
    assert_meant(profile(), &question, &[&AGREE]);
    assert!(!asked(profile(), &question).is_wrong());
    let challenge = Vector::challenge(RAND, right(Sqn::of(1, 0)).autn);
    let without = AGREE.example.replace(" and of the vector", "");
    assert_said(
        profile(),
        &with_keys(about(challenge), given()),
        &["keys-agree"],
        &without,
    );
}

#[test]
fn keys_that_neither_card_nor_hss_has_are_no_harm_to_a_phone() {
    let others = Keys {
        k: Secret::new(OTHER),
        ..given()
    };
    let accepted = with_keys(about(right(Sqn::of(1, 0))), others.clone());
    assert_meant(profile(), &accepted, &[&GIVEN_ARE_OTHER]);
    let out_of_range = standing_at(Sqn::of(9, 0));
    assert_meant(out_of_range, &accepted, &[&GIVEN_ARE_OTHER, &SQN_NOT_TOLD]);
    let named_op = Keys {
        operator: Operator::Op(Secret::new(TEST_OPC)),
        ..given()
    };
    let said = GIVEN_ARE_OTHER.example.replace(
        "the keys given are others",
        "both have the keys given with what is said to be OP taken for OPc",
    );
    let misnamed = with_keys(about(right(Sqn::of(1, 0))), named_op);
    assert_said(profile(), &misnamed, &["given-keys-are-other"], &said);
}

#[test]
fn a_refused_vector_without_keys_is_a_mac_failure() {
    let foreign = vector(&Milenage::new(&OTHER, &TEST_OPC), Sqn::of(1, 0), AMF);
    assert_meant(profile(), &about(foreign), &[&MAC_FAILURE]);
}

#[test]
fn a_refused_vector_with_keys_says_who_has_others() {
    let of_hss = |k: &[u8; 16]| vector(&Milenage::new(k, &TEST_OPC), Sqn::of(1, 0), AMF);
    let hss_is_wrong = with_keys(about(of_hss(&OTHER)), given());
    assert_meant(profile(), &hss_is_wrong, &[&HSS_HAS_OTHER]);
    let card_is_wrong = with_keys(about(of_hss(&TEST_K)), given());
    let other_card = || profile().keys(OTHER, TEST_OPC);
    assert_meant(other_card(), &card_is_wrong, &[&CARD_HAS_OTHER]);
    let both_are = with_keys(about(of_hss(&[0x55; 16])), given());
    assert_meant(other_card(), &both_are, &[&NONE_AGREE]);
}

#[test]
fn an_hss_with_other_keys_is_to_get_those_that_the_card_has_and_not_those_that_were_said() {
    let foreign = vector(&Milenage::new(&OTHER, &OTHER), Sqn::of(1, 0), AMF);
    let question = with_keys(about(foreign), given());
    let cards = [
        (
            profile().keys(TEST_K, Milenage::opc(&TEST_K, &TEST_OPC)),
            " with what is said to be OPc taken for OP",
            "the value as OP ",
        ),
        (
            profile().keys(TEST_OPC, TEST_K),
            " with K and OPc exchanged",
            "the other way round",
        ),
    ];
    for (card, how, remedy) in cards {
        let check = asked(card, &question);
        let [verdict] = check.verdicts() else {
            panic!("{:?}", check.verdicts());
        };
        assert_eq!(verdict.id, "hss-has-other-keys");
        let has = format!("The card has the keys given{how}, and the HSS has others");
        assert!(verdict.sentence.starts_with(&has), "{verdict}");
        let said = verdict.remedy.as_deref().unwrap_or_default();
        assert!(
            said.contains(remedy) && !said.contains("as they are given"),
            "{verdict}"
        );
    }
}

#[test]
fn an_opc_that_the_hss_takes_for_op_is_told() {
    let twice = vector(&Milenage::with_op(&TEST_K, &TEST_OPC), Sqn::of(1, 0), AMF);
    assert_meant(profile(), &with_keys(about(twice), given()), &[&READ_OTHERWISE]);
}

#[test]
fn an_opc_that_the_card_takes_for_op_is_told() {
    let card = profile().keys(TEST_K, Milenage::opc(&TEST_K, &TEST_OPC));
    let remedy = "the value is OP: say it with --op, and see that the HSS has it as OP or has OPc that is made of it; or \
                  program it into the card as OPc.";
    assert_said(
        card.clone(),
        &with_keys(about(right(Sqn::of(1, 0))), given()),
        &["op-or-opc"],
        &format!(
            "The card has the keys given with what is said to be OPc taken for OP, and the HSS has the keys given; {remedy}"
        ),
    );
    assert_said(
        card,
        &of_keys(given()),
        &["op-or-opc", "card-has-keys", "sqn-moved"],
        &format!("The card has the keys given with what is said to be OPc taken for OP; {remedy}"),
    );
}

#[test]
fn with_an_sqn_the_card_is_asked_with_it_also_when_the_keys_are_misread() {
    let opc = Milenage::opc(&TEST_K, &TEST_OPC);
    let asked_with = |sqn| {
        let question = Question {
            sqn: Some(sqn),
            ..of_keys(given())
        };
        asked(profile().keys(TEST_K, opc).sqn(Sqn::of(100, 5)), &question)
    };
    let said = |check: &Check, id: &str| {
        let mut verdicts = check.verdicts().iter();
        verdicts.find(|it| it.id == id).map(|it| it.sentence.clone())
    };
    let behind = asked_with(Sqn::of(3, 5));
    let sentence = said(&behind, "sqn-behind").expect("a verdict about SQN");
    assert!(
        sentence.contains("the challenge has SQN 101 (SEQ 3, IND 5)"),
        "{sentence}"
    );
    let above = asked_with(Sqn::of(101, 4));
    let ids: Vec<_> = above.verdicts().iter().map(|it| it.id).collect();
    assert_eq!(ids, ["op-or-opc", "card-has-keys", "sqn-moved"]);
    let sentence = said(&above, "card-has-keys").unwrap();
    assert!(
        sentence.contains("accepted SQN 3236 (SEQ 101, IND 4)"),
        "{sentence}"
    );
}

#[test]
fn k_and_opc_that_were_exchanged_are_told() {
    let exchanged = vector(&Milenage::new(&TEST_OPC, &TEST_K), Sqn::of(1, 0), AMF);
    assert_said(
        profile(),
        &with_keys(about(exchanged), given()),
        &["op-or-opc"],
        "The card has the keys given, and the HSS has the keys given with K and OPc exchanged; exchange K and OPc in the HSS.",
    );
}

#[test]
fn an_sqn_behind_the_card_is_told_with_both_numbers() {
    let card = standing_at(Sqn::of(100, 5));
    let question = about(right(Sqn::of(3, 5)));
    assert_meant(card.clone(), &question, &[&SQN_NOT_TOLD]);
    assert_meant(card, &with_keys(question, given()), &[&SQN_BEHIND]);
    let same = SQN_BEHIND
        .example
        .replace("101 (SEQ 3, IND 5)", "3205 (SEQ 100, IND 5)")
        .replace("97 behind", "which it has seen");
    let seen = with_keys(about(right(Sqn::of(100, 5))), given());
    assert_said(standing_at(Sqn::of(100, 5)), &seen, &["sqn-behind"], &same);
}

#[test]
fn an_sqn_too_far_ahead_of_the_card_is_told_with_both_numbers() {
    let far = about(right(Sqn::of(101 + crate::usim::SEQ_DELTA_MAX, 0)));
    assert_meant(
        standing_at(Sqn::of(100, 0)),
        &with_keys(far, given()),
        &[&SQN_JUMPS],
    );
}

#[test]
fn without_a_vector_the_card_is_asked_where_it_stands_and_goes_one_on() {
    let card = standing_at(Sqn::of(100, 3));
    assert_meant(card, &of_keys(given()), &[&CARD_HAS_KEYS, &SQN_MOVED]);
}

#[test]
fn an_hss_that_begins_below_the_card_is_noted() {
    let begins = |seq| Keys {
        sqn: Some(Sqn::of(seq, 0)),
        ..given()
    };
    let card = standing_at(Sqn::of(100, 3));
    let rows = [&CARD_HAS_KEYS, &SQN_MOVED, &HSS_BEGINS_BEHIND];
    assert_meant(card.clone(), &of_keys(begins(2)), &rows);
    assert_meant(card, &of_keys(begins(101)), &rows[..2]);
}

#[test]
fn with_an_sqn_the_card_is_asked_once() {
    let question = Question {
        sqn: Some(Sqn::of(101, 4)),
        ..of_keys(given())
    };
    let check = asked(standing_at(Sqn::of(100, 3)), &question);
    let said = CARD_HAS_KEYS
        .example
        .replace("it stood at SQN 3203 (SEQ 100, IND 3), accepted", "it accepted");
    assert_eq!(check.verdicts()[0].to_string(), said);
    assert_eq!(check.steps.len(), 1);
    let behind = Question {
        sqn: Some(Sqn::of(3, 5)),
        ..of_keys(given())
    };
    let said = SQN_BEHIND
        .example
        .replace("the SQN of the HSS", "the SQN of the challenge");
    assert_said(standing_at(Sqn::of(100, 5)), &behind, &["sqn-behind"], &said);
}

#[test]
fn a_card_with_other_keys_refuses_all_that_is_made_with_those_given() {
    let said = "The card has not the keys given: it refuses all that is made with them (9862, MAC failure), also with OPc taken \
                for OP, with K and OPc exchanged, or with XOR; take K and OPc that the vendor names for this very card (by its \
                ICCID), or program these into the card; a card with TUAK, or with a Milenage of its own constants, looks the \
                same.";
    let card = profile().keys(OTHER, TEST_OPC);
    assert_said(card, &of_keys(given()), &["card-has-other-keys"], said);
}

#[test]
fn without_keys_and_vector_a_challenge_of_chance_is_refused() {
    assert_meant(profile(), &Question::default(), &[&CHANCE_REFUSED]);
}

#[test]
fn a_card_that_does_no_aka_says_so() {
    let fault = Fault::StatusAt(instruction::AUTHENTICATE, StatusWord::NO_CONTEXT);
    let card = profile().fault(fault);
    assert_meant(card, &of_keys(given()), &[&CARD_FAILED]);
    let gone = profile().fault(Fault::RemovedAtAuthenticate);
    let check = asked(gone, &of_keys(given()));
    assert_eq!(check.verdicts()[0].id, "card-failed");
    assert!(check.is_wrong());
}

#[test]
fn an_amf_of_the_hss_is_compared_and_its_separation_bit_noted() {
    let zero = vector(&Milenage::new(&TEST_K, &TEST_OPC), Sqn::of(1, 0), [0, 0]);
    let question = about(zero);
    assert_meant(profile(), &question, &[&CARD_ACCEPTS, &SEPARATION_BIT]);
    let named = Keys {
        amf: Some(AMF),
        ..given()
    };
    assert_meant(profile(), &with_keys(question, named), &[&AGREE, &AMF_DIFFERS]);
}

#[test]
fn a_vector_whose_parts_are_not_the_cards_is_told_part_by_part() {
    let mut wrong = right(Sqn::of(1, 0));
    wrong.xres = Some(Secret::new(vec![0; 8]));
    wrong.ck = Some(Secret::new([0; 16]));
    assert_meant(profile(), &about(wrong), &[&XRES_DIFFERS]);
}

/// A card as a program may see it that has no card.
struct Answering(fn(&[u8; 16]) -> Result<Res, AkaFailure>);

impl Aka for Answering {
    fn authenticate(&mut self, rand: &[u8; 16], _: &[u8; 16]) -> Result<Res, AkaFailure> {
        (self.0)(rand)
    }
}

fn answer(rand: &[u8; 16], res: &[u8]) -> Result<Res, AkaFailure> {
    let keys = Milenage::new(&TEST_K, &TEST_OPC).f2345(rand);
    Ok(Res {
        res: Secret::new(res.to_vec()),
        ck: Secret::new(keys.ck),
        ik: Secret::new(keys.ik),
    })
}

#[test]
fn a_card_that_computes_otherwise_is_told() {
    let mut card = Answering(|rand| answer(rand, &[0; 8]));
    let question = with_keys(about(Vector::challenge(RAND, right(Sqn::of(1, 0)).autn)), given());
    let said = run(&mut card, &question, &mut || RAND).verdicts()[0].to_string();
    assert_eq!(said, RES_DIFFERS.example);
}

#[test]
fn a_card_that_shortens_res_is_not_said_to_compute_otherwise() {
    let mut card = Answering(|rand| {
        let res = Milenage::new(&TEST_K, &TEST_OPC).f2345(rand).res;
        answer(rand, &res[..4])
    });
    let made = right(Sqn::of(1, 0));
    let challenge = with_keys(about(Vector::challenge(RAND, made.autn)), given());
    let check = run(&mut card, &challenge, &mut || RAND);
    let ids: Vec<_> = check.verdicts().iter().map(|it| it.id).collect();
    assert_eq!(ids, ["keys-agree", "res-shortened"]);
    assert_eq!(check.verdicts()[1].to_string(), RES_SHORTENED.example);
    assert!(!check.is_wrong());
    let own = Question {
        sqn: Some(Sqn::of(1, 0)),
        ..of_keys(given())
    };
    let check = run(&mut card, &own, &mut || RAND);
    let ids: Vec<_> = check.verdicts().iter().map(|it| it.id).collect();
    assert_eq!(ids, ["card-has-keys", "sqn-moved", "res-shortened"]);
    let short = Vector {
        xres: made
            .xres
            .as_ref()
            .map(|xres| Secret::new(xres.expose()[..4].to_vec())),
        ..made.clone()
    };
    let check = run(&mut card, &with_keys(about(short), given()), &mut || RAND);
    let ids: Vec<_> = check.verdicts().iter().map(|it| it.id).collect();
    assert_eq!(ids, ["keys-agree"]);
    let check = run(&mut card, &about(made), &mut || RAND);
    assert_eq!(
        check.verdicts()[0].to_string(),
        "The card accepts the challenge, and its RES is the first 4 octets of XRES of the vector, which has 8 (CK and IK are): \
         the card shortens RES, and the HSS does not; have the HSS make XRES of 4 octets for this card, or have the card give \
         all of RES (only_4bytes_res_in_3g of a sysmoISIM is false)."
    );
}

#[test]
fn a_card_that_takes_any_sqn_is_doubtful() {
    let mut card = Answering(|rand| answer(rand, &Milenage::new(&TEST_K, &TEST_OPC).f2345(rand).res));
    let said = run(&mut card, &of_keys(given()), &mut || RAND).verdicts()[0].to_string();
    assert_eq!(said, SQN_UNCHECKED.example);
}

#[test]
fn a_card_that_goes_in_the_middle_ends_the_questions() {
    let mut card = Answering(|_| Err(AkaFailure::Card(CardError::NoApplication)));
    let check = run(&mut card, &of_keys(given()), &mut || RAND);
    assert_eq!(check.steps.len(), 1);
}

#[test]
fn no_secret_is_in_the_text_unless_it_is_asked_for() {
    let question = with_keys(about(right(Sqn::of(1, 0))), given());
    let check = asked(profile(), &question);
    let keys = Milenage::new(&TEST_K, &TEST_OPC).f2345(&RAND);
    let hex = ims_common::aka::hex::to_hex;
    let json = |shown| serde_json::to_string(&check.json(shown)).unwrap();
    for secret in [&keys.res[..], &keys.ck, &keys.ik] {
        let secret = hex(secret);
        for hidden in [
            check.text(Shown::Outcome),
            json(Shown::Outcome),
            format!("{check:?}"),
        ] {
            assert!(!hidden.contains(&secret), "{hidden}");
        }
        assert!(check.text(Shown::Keys).contains(&secret));
        assert!(json(Shown::Keys).contains(&secret));
    }
    for key in [TEST_K, TEST_OPC].map(|key| hex(&key)) {
        assert!(!check.text(Shown::Outcome).contains(&key));
        assert!(!json(Shown::Outcome).contains(&key));
    }
    for shown in [check.text(Shown::Keys), json(Shown::Keys)] {
        assert!(
            shown.contains(&hex(&TEST_OPC)) && !shown.contains(&hex(&TEST_K)),
            "{shown}"
        );
    }
}

#[test]
fn the_text_has_challenges_answers_and_verdicts() {
    let check = asked(standing_at(Sqn::of(100, 3)), &of_keys(given()));
    let text = check.text(Shown::Outcome);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("Keys        given: K and OPc"));
    assert!(text.contains("\nChallenge   made here, SQN 0 (SEQ 0, IND 0), AMF 8000\n"));
    assert!(
        text.contains(", the card stands at SQN 3203 (SEQ 100, IND 3)\n"),
        "{text}"
    );
    assert!(text.contains("\n  answer    RES (8 octets), CK and IK\n"));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn each_meaning_has_a_name_of_its_own_and_a_test_that_produces_it() {
    let tests = include_str!("tests.rs");
    let names = [
        ("keys-agree", "&AGREE"),
        ("card-has-keys", "&CARD_HAS_KEYS"),
        ("card-accepts", "&CARD_ACCEPTS"),
        ("mac-failure", "&MAC_FAILURE"),
        ("card-has-other-keys", "&CARD_HAS_OTHER"),
        ("hss-has-other-keys", "&HSS_HAS_OTHER"),
        ("no-keys-agree", "&NONE_AGREE"),
        ("op-or-opc", "&READ_OTHERWISE"),
        ("given-keys-are-other", "&GIVEN_ARE_OTHER"),
        ("res-differs", "RES_DIFFERS.example"),
        ("res-shortened", "RES_SHORTENED.example"),
        ("xres-differs", "&XRES_DIFFERS"),
        ("sqn-behind", "&SQN_BEHIND"),
        ("sqn-jumps", "&SQN_JUMPS"),
        ("sqn-out-of-range", "&SQN_NOT_TOLD"),
        ("sqn-unchecked", "SQN_UNCHECKED.example"),
        ("card-failed", "&CARD_FAILED"),
        ("amf-differs", "&AMF_DIFFERS"),
        ("separation-bit", "&SEPARATION_BIT"),
        ("sqn-moved", "&SQN_MOVED"),
        ("hss-begins-behind", "&HSS_BEGINS_BEHIND"),
        ("chance-refused", "&CHANCE_REFUSED"),
    ];
    let ids: Vec<_> = MEANINGS.iter().map(|meaning| meaning.id).collect();
    assert_eq!(ids, names.map(|(id, _)| id));
    for (id, used) in names {
        assert!(tests.matches(used).count() > 1, "{id}: no test produces it");
    }
}
