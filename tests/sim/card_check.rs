//! Testkit: what `ue card check` says when all is well, and when it is not: golden texts.

use ims_common::aka::Secret;
use ims_tests::card::check::{self, Check, Keys, Operator, Question, Shown, Vector};
use ims_tests::card::session::Card;
use ims_tests::card::virtual_card::{CardProfile, VirtualCard};
use ims_tests::hss::{TEST_K, TEST_OPC};
use ims_tests::ladder::assert_golden_file;
use ims_tests::milenage::{Milenage, Sqn};

const RAND: [u8; 16] = [0x5A; 16];

/// A card that has accepted SEQ 100.
fn card() -> CardProfile {
    CardProfile::new("001010000000001").sqn(Sqn::of(100, 3))
}

fn keys() -> Keys {
    Keys {
        whose: "given".to_owned(),
        k: Secret::new(TEST_K),
        operator: Operator::Opc(Secret::new(TEST_OPC)),
        amf: Some([0x80, 0]),
        sqn: None,
    }
}

fn with_vector(functions: &Milenage, sqn: Sqn) -> Question {
    let made = functions.vector(RAND, sqn, [0x80, 0]);
    let vector = Vector {
        xres: Some(made.xres),
        ck: Some(made.ck),
        ik: Some(made.ik),
        ..Vector::challenge(made.rand, made.autn)
    };
    Question {
        keys: Some(keys()),
        vector: Some(vector),
        ..Question::default()
    }
}

/// Asks, and compares the text without secrets. What is wrong are these.
fn assert_checked(name: &str, profile: CardProfile, question: &Question, verdicts: &[&str]) -> Check {
    let mut card = Card::open(VirtualCard::new(profile)).expect("a card");
    let mut count = 0;
    let check = check::run(&mut card, question, &mut || {
        count += 1;
        [count; 16]
    });
    assert_golden_file(&format!("card/{name}.txt"), &check.text(Shown::Outcome));
    let found: Vec<_> = check.verdicts().iter().map(|verdict| verdict.id).collect();
    assert_eq!(found, verdicts);
    check
}

#[test]
fn a_card_with_the_keys_is_asked_where_it_stands_and_authenticates_once() {
    let question = Question {
        keys: Some(keys()),
        ..Question::default()
    };
    let verdicts = ["card-has-keys", "sqn-moved"];
    let check = assert_checked("check_keys", card(), &question, &verdicts);
    assert!(!check.is_wrong());
}

#[test]
fn an_hss_that_takes_opc_for_op_is_told_beside_the_cards_answers() {
    let question = with_vector(&Milenage::with_op(&TEST_K, &TEST_OPC), Sqn::of(101, 0));
    let check = assert_checked("check_op_for_opc", card(), &question, &["op-or-opc"]);
    assert!(check.is_wrong());
}

#[test]
fn an_hss_behind_the_card_is_told_with_where_both_stand() {
    let question = with_vector(&Milenage::new(&TEST_K, &TEST_OPC), Sqn::of(3, 3));
    let check = assert_checked("check_sqn_behind", card(), &question, &["sqn-behind"]);
    assert!(!check.is_wrong());
}
