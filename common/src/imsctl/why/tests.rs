//! Testkit: what an operator reads who asks why.

use super::*;
use crate::imsctl::ladder::tests::refused;
use crate::why::explain;

fn finding(case: &Case) -> Finding {
    let answer = case
        .entries
        .iter()
        .find(|entry| entry.is_diameter("UAA"))
        .unwrap();
    let mut finding = Finding::new(
        answer,
        "The HSS does not know 001010000000009 (5001 to the UAR)",
        "provision the subscriber or correct the SIM's IMPI",
    );
    finding.detector = "user-unknown".to_owned();
    finding
}

#[test]
fn the_sentence_is_on_top_and_the_ladder_shows_its_proof() {
    let case = refused();
    assert_eq!(
        print(&case, &[finding(&case)], false, Paper::PIPE),
        "IMSI 001010000000009: one finding.\n\
         8 steps at I-CSCF, P-CSCF, the last one 2026-11-21 14:13:07 UTC\n\
         \n  \
           The HSS does not know 001010000000009 (5001 to the UAR); provision the subscriber or correct the\n  \
           SIM's IMPI.\n  \
           [user-unknown, 2026-11-21 14:13:07 UTC, I-CSCF]\n\
         \n\
         from 2026-11-21 14:13:07 UTC\n       \
                0.000 UE     > P-CSCF REGISTER              CSeq=1 Contact=198.51.100.7 Expires=600000\n       \
                0.001 P-CSCF > I-CSCF REGISTER              CSeq=1 Contact=198.51.100.7 Expires=600000\n       \
                0.003 I-CSCF > HSS    UAR                   sip:001010000000009@ims.mnc001.mcc001.3gppnetwork.org\n\
         >>     0.005 HSS    > I-CSCF UAA 5001\n       \
                0.006 I-CSCF > P-CSCF 403 Forbidden         CSeq=1 REGISTER\n       \
                0.008 P-CSCF > UE     403 Forbidden         CSeq=1 REGISTER\n\
         \n\
         The nodes themselves\n  \
           2026-11-21 14:13:07.120 -- I-CSCF: Diameter connection is up\n"
    );
}

#[test]
fn the_catalogue_explains_the_case_of_these_tests_or_says_nothing_of_it() {
    let case = refused();
    for finding in explain(&case) {
        assert!(print(&case, std::slice::from_ref(&finding), false, Paper::PIPE).contains(&finding.detector));
    }
}

#[test]
fn nobody_known_is_told_with_what_to_look_at() {
    let case = Case {
        entries: Vec::new(),
        site: Vec::new(),
        ..refused()
    };
    let text = print(&case, &[], false, Paper::PIPE);
    assert!(
        text.starts_with("Nothing is known of IMSI 001010000000009: no message of theirs"),
        "{text}"
    );
    assert!(text.contains("imsctl doctor"), "{text}");
}

#[test]
fn old_steps_are_left_out_unless_all_are_wanted_and_a_pause_begins_anew() {
    let mut case = refused();
    let first = case.entries.clone();
    for round in 1..20_u64 {
        case.entries.extend(first.iter().cloned().map(|mut entry| {
            entry.at += round * 60_000_000;
            entry
        }));
    }
    let text = print(&case, &[], false, Paper::PIPE);
    assert!(
        text.contains("(60 older steps are left out; --all shows them)"),
        "{text}"
    );
    assert_eq!(text.matches("from 2026").count(), 10, "{text}");
    let all = print(&case, &[], true, Paper::PIPE);
    assert_eq!(all.matches("UAA 5001").count(), 20, "{all}");
    assert!(
        all.starts_with("IMSI 001010000000009: nothing that looks like a failure.\n"),
        "{all}"
    );
}

#[test]
fn a_narrow_terminal_cuts_the_ladder_and_wraps_the_sentence() {
    let case = refused();
    let paper = Paper {
        width: 50,
        is_coloured: false,
    };
    let text = print(&case, &[finding(&case)], false, paper);
    let ladder = text.lines().filter(|line| line.contains(" > "));
    assert!(
        ladder.clone().count() == 6 && ladder.clone().all(|line| line.chars().count() <= 50),
        "{text}"
    );
}
