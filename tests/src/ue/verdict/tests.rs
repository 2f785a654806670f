use super::*;
use crate::card::channel::{CardError, ReaderError};
use crate::ue::talk::{CallEvent, Cause};
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

fn sort(events: &[UeEvent]) -> Sort {
    of_registration(events, &about()).sort
}

#[test]
fn a_refusal_means_another_thing_after_the_answer_than_before_the_challenge() {
    assert_eq!(sort(&[rejected(403)]), Sort::Forbidden);
    let answered = [
        challenged(),
        UeEvent::NetworkAuthentic,
        installed(),
        rejected(403),
    ];
    let verdict = of_registration(&answered, &about());
    assert_eq!((verdict.sort, verdict.status), (Sort::NotBelieved, Some(403)));
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
    assert_eq!(sort(&mac), Sort::MacFailure);
    let sync = [
        challenged(),
        UeEvent::SyncFailure,
        challenged(),
        UeEvent::SyncFailure,
        UeEvent::GaveUp,
    ];
    assert_eq!(sort(&sync), Sort::NotResynchronised);
    let followed = [
        challenged(),
        UeEvent::SyncFailure,
        challenged(),
        UeEvent::NetworkAuthentic,
        rejected(504),
    ];
    assert_eq!(sort(&followed), Sort::NetworkWaits);
}

#[test]
fn a_card_that_is_gone_is_no_fault_of_the_network() {
    let gone = UeEvent::CardFailed(CardError::Reader(ReaderError::Removed));
    let verdict = of_registration(&[challenged(), gone], &about());
    assert_eq!(verdict.sort, Sort::Card);
    assert!(
        verdict.sentence.contains("taken out of the reader"),
        "{verdict:?}"
    );
}

#[test]
fn silence_means_the_way_there_or_esp_or_what_lies_behind() {
    assert_eq!(sort(&[UeEvent::NoAnswer]), Sort::Silence);
    let inside = [
        challenged(),
        UeEvent::NetworkAuthentic,
        installed(),
        UeEvent::NoAnswer,
    ];
    assert_eq!(sort(&inside), Sort::Esp);
    let clear = [challenged(), UeEvent::NetworkAuthentic, UeEvent::NoAnswer];
    assert_eq!(sort(&clear), Sort::SilenceAfterChallenge);
}

#[test]
fn the_security_agreement_has_its_own_words_for_each_side_that_lacks_it() {
    assert_eq!(sort(&[rejected(420)]), Sort::NoSecAgree);
    assert_eq!(sort(&[rejected(494)]), Sort::SecAgree);
    for status in [421, 494] {
        let clear = About {
            ipsec: false,
            ..about()
        };
        let verdict = of_registration(&[rejected(status)], &clear);
        assert_eq!(verdict.sort, Sort::SecAgreeWanted);
        assert!(verdict.sentence.contains("without --clear"), "{verdict:?}");
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
        "the answer for tel:+15550002 is 486: who is called is busy"
    );
    assert_eq!(
        of_call(&[ended(Cause::NoAnswer)], "tel:1").sort,
        Sort::CallUnanswered
    );
    let message = of_message(&[UeEvent::Answered(404)], "sip:nobody@h.example");
    assert_eq!((message.sort, message.status), (Sort::MessageRefused, Some(404)));
}

#[test]
fn what_happens_to_a_registered_phone_is_not_told_as_a_first_registration() {
    for errand in [Errand::Refresh, Errand::Leave] {
        let silent = of_registered(&[UeEvent::NoAnswer], &about(), errand);
        assert_eq!(silent.sort, Sort::SilenceWhenRegistered);
        assert!(silent.sentence.contains("was registered"), "{silent:?}");
        assert!(!silent.sentence.contains("nothing answers at"), "{silent:?}");
        let refused = of_registered(&[rejected(403)], &about(), errand);
        assert_eq!(
            (refused.sort, refused.status),
            (Sort::RefusedWhenRegistered, Some(403))
        );
        assert!(!refused.sentence.contains("does not know alice"), "{refused:?}");
        // What is true of any REGISTER stays so.
        let waits = of_registered(&[rejected(504)], &about(), errand);
        assert_eq!(waits.sort, Sort::NetworkWaits);
    }
    let left = of_registered(&[UeEvent::NoAnswer], &about(), Errand::Leave);
    assert!(left.sentence.contains("leaving has no answer"), "{left:?}");
}

#[test]
fn the_remedy_is_one_that_the_command_line_of_this_phone_takes() {
    let keys = About {
        prover: Prover::Keys,
        ..about()
    };
    let none = [UeEvent::SaFailed("no Security-Server")];
    for events in [&none[..], &[rejected(420)]] {
        let of_card = of_registration(events, &about()).sentence;
        assert!(of_card.contains("with --clear"), "{of_card}");
        let of_keys = of_registration(events, &keys).sentence;
        assert!(
            of_keys.contains("without --ipsec") && !of_keys.contains("--clear"),
            "{of_keys}"
        );
    }
    let refused = of_registration(&[UeEvent::SaFailed("not_permitted")], &about()).sentence;
    assert!(refused.contains("sudo --preserve-env=UE_PIN ue"), "{refused}");
}

#[test]
fn a_call_that_began_has_begun_whatever_comes_behind_it() {
    let event = |what| UeEvent::Call { call: 1, what };
    let hung_up = || CallEvent::Ended(Cause::PeerHungUp(Some("Q.850;cause=16".to_owned())));
    assert!(has_begun(&[event(CallEvent::Begun), event(hung_up())]));
    assert!(!has_begun(&[event(CallEvent::Ringing), event(hung_up())]));
    let verdict = of_call(&[event(CallEvent::Ringing), event(hung_up())], "tel:1");
    assert_eq!(verdict.sort, Sort::CallNotBegun);
    assert!(
        verdict
            .sentence
            .contains("has hung up before the call began (Q.850;cause=16)"),
        "{verdict:?}"
    );
}

const CHAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../common/src/manual/isim_cards.md");
const BEGIN: &str = "<!-- made of what the program says; run the test with UPDATE_GOLDEN=1 -->\n";
const END: &str = "<!-- end of what the program says -->\n";

/// One failure of each sort, but those before anything is sent.
fn samples() -> Vec<Verdict> {
    let good = || [challenged(), UeEvent::NetworkAuthentic];
    let of = |events: &[UeEvent]| of_registration(events, &about());
    let in_clear = About {
        ipsec: false,
        ..about()
    };
    let after = |last: UeEvent| of(&[&good()[..], &[installed(), last]].concat());
    let call = |cause| UeEvent::Call {
        call: 1,
        what: CallEvent::Ended(cause),
    };
    let to = "tel:+15550002";
    vec![
        of(&[
            challenged(),
            UeEvent::CardFailed(CardError::Reader(ReaderError::Removed)),
        ]),
        of(&[&good()[..], &[UeEvent::SaFailed("no Security-Server")]].concat()),
        of(&[challenged(), UeEvent::MacFailure, rejected(403)]),
        of(&[
            challenged(),
            UeEvent::SyncFailure,
            challenged(),
            UeEvent::SyncFailure,
        ]),
        after(rejected(403)),
        of(&[rejected(403)]),
        of(&[rejected(404)]),
        of(&[rejected(400)]),
        of(&[rejected(420)]),
        of_registration(&[rejected(421)], &in_clear),
        of(&[rejected(421)]),
        of(&[rejected(494)]),
        after(rejected(504)),
        after(rejected(503)),
        after(rejected(439)),
        of(&[UeEvent::Challenged {
            algorithm: "MD5".to_owned(),
        }]),
        of(&[UeEvent::NoAnswer]),
        after(UeEvent::NoAnswer),
        of_registration(&[&good()[..], &[UeEvent::NoAnswer]].concat(), &in_clear),
        of_registered(&[UeEvent::NoAnswer], &about(), Errand::Refresh),
        of_registered(&[rejected(403)], &about(), Errand::Leave),
        of_call(&[call(Cause::Refused(486))], to),
        of_call(&[call(Cause::NoAnswer)], to),
        of_call(&[], to),
        of_message(&[UeEvent::Answered(404)], to),
        of_message(&[], to),
        of_report(true, "tel:+15550099"),
        of_report(false, "tel:+15550099"),
        interrupted(),
        internal("the phone is gone"),
    ]
}

#[test]
fn each_sort_of_failure_is_in_the_manual_as_the_program_says_it() {
    let samples = samples();
    let sorts: Vec<Sort> = std::iter::once(Sort::Start)
        .chain(samples.iter().map(|verdict| verdict.sort))
        .collect();
    assert_eq!(sorts, Sort::ALL, "one sample of each, in their order");
    let told = samples.iter().map(|verdict| {
        let said = format!("`{}`: {}", verdict.sort.word(), verdict.sentence);
        format!("* {said}.\n")
    });
    let made = format!("\n{}\n", told.collect::<String>());
    let written = std::fs::read_to_string(CHAPTER).unwrap();
    let (before, rest) = written.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let chapter = format!("{before}{BEGIN}{made}{END}{after}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(CHAPTER, &chapter).unwrap();
    } else {
        assert!(
            written == chapter,
            "the chapter is not what the program says: run with UPDATE_GOLDEN=1"
        );
    }
}
