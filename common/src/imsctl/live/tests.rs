//! Testkit: the screen of a live trace, drawn into memory.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::imsctl::ladder::tests::{places, refused};

fn live() -> Live {
    let mut live = Live::new("everybody", places());
    for node in ["pcscf", "icscf"] {
        live.node(node, FOLLOWING);
    }
    live
}

fn told() -> Live {
    let mut live = live();
    for entry in &refused().entries {
        live.push(entry);
    }
    live
}

fn drawn(live: &Live, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| live.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y: u16| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect() };
    (0..height).map(|y| row(y).trim_end().to_owned()).collect()
}

fn press(live: &mut Live, keys: &str) {
    for letter in keys.chars() {
        let key = match letter {
            '\n' => Key::Enter,
            letter => Key::Char(letter),
        };
        assert_eq!(live.key(key, 4), Turn::Stay);
    }
}

#[test]
fn the_screen_shows_who_is_followed_the_ladder_and_the_keys() {
    assert_eq!(
        drawn(&told(), 76, 9),
        [
            " everybody  I-CSCF P-CSCF  from 2026-11-21 14:13:07 UTC",
            "     0.000 UE     > P-CSCF REGISTER              CSeq=1 Contact=198.51.100.…",
            "     0.002 P-CSCF > I-CSCF REGISTER              CSeq=1 Contact=198.51.100.…",
            "     0.003 I-CSCF > HSS    UAR                   sip:001010000000009@ims.mn…",
            "     0.005 HSS    > I-CSCF UAA 5001",
            "     0.007 I-CSCF > P-CSCF 403 Forbidden         CSeq=1 REGISTER",
            "     0.008 P-CSCF > UE     403 Forbidden         CSeq=1 REGISTER",
            "",
            "q quits, space pauses, / filters, arrows scroll, c clears",
        ]
    );
}

#[test]
fn on_a_small_screen_the_last_lines_stand_and_arrows_scroll() {
    let mut live = told();
    let first = |live: &Live| {
        drawn(live, 76, 4)[1]
            .get(..10)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    assert_eq!(first(&live), "0.007");
    live.key(Key::Up, 2);
    assert_eq!(first(&live), "0.005");
    live.key(Key::PageUp, 2);
    assert_eq!(first(&live), "0.002");
    // What comes meanwhile does not move the lines that one looks at.
    live.push(&refused().entries[0]);
    assert_eq!(first(&live), "0.002");
    live.key(Key::Home, 2);
    live.key(Key::End, 2);
    assert_eq!(first(&live), "0.008");
}

#[test]
fn space_pauses_and_goes_on() {
    let mut live = live();
    press(&mut live, " ");
    for entry in &refused().entries {
        live.push(entry);
    }
    let paused = drawn(&live, 90, 5);
    assert!(
        paused[1].is_empty() && paused[4].contains("paused, 6 more"),
        "{paused:?}"
    );
    press(&mut live, " ");
    let going = drawn(&live, 90, 5);
    assert!(
        going[3].contains("P-CSCF > UE") && !going[4].contains("paused"),
        "{going:?}"
    );
}

#[test]
fn a_filter_is_typed_and_finds_in_any_case_of_letters() {
    let mut live = told();
    press(&mut live, "/uaQ");
    live.key(Key::Backspace, 4);
    assert_eq!(drawn(&live, 40, 4)[3], "/ua_");
    press(&mut live, "\n");
    let found = drawn(&live, 90, 6);
    assert!(
        found[1].contains("UAR") && found[2].contains("UAA") && found[3].is_empty(),
        "{found:?}"
    );
    assert!(found[5].contains("filter `ua`"));
    // Escape leaves the old one.
    press(&mut live, "/x");
    assert_eq!(live.key(Key::Escape, 4), Turn::Stay);
    assert!(drawn(&live, 90, 6)[5].contains("filter `ua`"));
    assert_eq!(live.key(Key::Char('q'), 4), Turn::Quit);
}

#[test]
fn what_is_kept_is_bounded_and_a_node_that_is_gone_is_named() {
    let mut live = live();
    for _ in 0..LINES_MAX {
        live.push(&refused().entries[0]);
        live.push(&refused().entries[3]);
    }
    assert_eq!(live.lines.len(), LINES_MAX);
    assert!(drawn(&live, 120, 4)[3].contains("5000 old lines forgotten"));
    live.node("icscf", "ended");
    assert!(drawn(&live, 120, 4)[0].contains("I-CSCF (ended) P-CSCF"));
    // Then what was said to it is told by whoever said it.
    let said = refused().entries[1].clone();
    assert!(
        live.push(&said)
            .is_some_and(|line| line.contains("P-CSCF > I-CSCF REGISTER"))
    );
    press(&mut live, "c");
    assert!(drawn(&live, 120, 4)[1].is_empty());
}
