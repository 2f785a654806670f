use super::*;
use crate::card::channel::{CardError, ReaderError};
use ims_common::ipsec::{Encryption, Integrity, SaSetId, SaState};

fn about() -> About {
    About {
        impi: "alice@h.example".to_owned(),
        impu: "sip:alice@h.example".to_owned(),
        home: "h.example".to_owned(),
        pcscf: "192.0.2.1:5060".parse().unwrap(),
        transport: Transport::Udp,
        ipsec: true,
        prover: Prover::Card,
    }
}

fn challenged() -> UeEvent {
    UeEvent::Challenged {
        algorithm: "AKAv1-MD5".to_owned(),
    }
}

const fn rejected(status: u16) -> UeEvent {
    UeEvent::Rejected {
        status,
        retry_after: None,
        min_expires: None,
    }
}

fn installed() -> UeEvent {
    let end = "192.0.2.9:5062".parse().unwrap();
    let state = SaState {
        spi: 1,
        source: end,
        destination: end,
    };
    UeEvent::SaInstalled(crate::ue::sas::SaView {
        id: SaSetId(1),
        suite: crate::ue::security::suite(Integrity::HmacSha1_96, Encryption::Null),
        states: [state; 4],
    })
}

fn sort(events: &[UeEvent]) -> &'static str {
    of_registration(events, &about()).sort
}

#[test]
fn a_refusal_means_another_thing_after_the_answer_than_before_the_challenge() {
    assert_eq!(sort(&[rejected(403)]), "forbidden");
    let answered = [
        challenged(),
        UeEvent::NetworkAuthentic,
        installed(),
        rejected(403),
    ];
    let verdict = of_registration(&answered, &about());
    assert_eq!(
        (verdict.sort, verdict.status),
        ("forbidden_after_challenge", Some(403))
    );
    assert!(verdict.sentence.contains("ue card check"), "{verdict:?}");
}

#[test]
fn what_the_card_found_counts_more_than_what_the_network_said_then() {
    let mac = [
        challenged(),
        UeEvent::MacFailure,
        challenged(),
        UeEvent::MacFailure,
        rejected(403),
    ];
    assert_eq!(sort(&mac), "mac_failure");
    let sync = [
        challenged(),
        UeEvent::SyncFailure,
        challenged(),
        UeEvent::SyncFailure,
        UeEvent::GaveUp,
    ];
    assert_eq!(sort(&sync), "not_resynchronised");
    let followed = [
        challenged(),
        UeEvent::SyncFailure,
        challenged(),
        UeEvent::NetworkAuthentic,
        rejected(504),
    ];
    assert_eq!(sort(&followed), "network_waits");
}

#[test]
fn a_card_that_is_gone_is_no_fault_of_the_network() {
    let gone = UeEvent::CardFailed(CardError::Reader(ReaderError::Removed));
    let verdict = of_registration(&[challenged(), gone], &about());
    assert_eq!(verdict.sort, "card");
    assert!(
        verdict.sentence.contains("taken out of the reader"),
        "{verdict:?}"
    );
}

#[test]
fn silence_means_the_way_there_or_esp_or_what_lies_behind() {
    assert_eq!(sort(&[UeEvent::NoAnswer]), "silence");
    let inside = [
        challenged(),
        UeEvent::NetworkAuthentic,
        installed(),
        UeEvent::NoAnswer,
    ];
    assert_eq!(sort(&inside), "esp");
    let clear = [challenged(), UeEvent::NetworkAuthentic, UeEvent::NoAnswer];
    assert_eq!(sort(&clear), "silence_after_challenge");
}

#[test]
fn the_security_agreement_has_its_own_words_for_each_side_that_lacks_it() {
    assert_eq!(sort(&[rejected(420)]), "no_sec_agree");
    assert_eq!(sort(&[rejected(494)]), "sec_agree");
    for status in [421, 494] {
        let clear = About {
            ipsec: false,
            ..about()
        };
        let verdict = of_registration(&[rejected(status)], &clear);
        assert_eq!(verdict.sort, "sec_agree_wanted");
        assert!(verdict.sentence.contains("--ipsec"), "{verdict:?}");
    }
    let none = [
        challenged(),
        UeEvent::NetworkAuthentic,
        UeEvent::SaFailed("no Security-Server"),
    ];
    let verdict = of_registration(&none, &about());
    assert!(verdict.sentence.contains("--clear"), "{verdict:?}");
}

#[test]
fn a_call_that_nobody_takes_says_who_refused_and_why() {
    let ended = |cause| UeEvent::Call {
        call: 1,
        what: CallEvent::Ended(cause),
    };
    let verdict = of_call(&[ended(Cause::Refused(486))], "tel:+15550002");
    assert_eq!(verdict.status, Some(486));
    assert_eq!(
        verdict.sentence,
        "tel:+15550002 refuses with 486: who is called is busy"
    );
    assert_eq!(
        of_call(&[ended(Cause::NoAnswer)], "tel:1").sort,
        "call_unanswered"
    );
    let message = of_message(&[UeEvent::Answered(404)], "sip:nobody@h.example");
    assert_eq!((message.sort, message.status), ("message_refused", Some(404)));
}
