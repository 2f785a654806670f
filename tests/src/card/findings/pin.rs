//! Table: findings about the PIN of a card (ETSI TS 102 221 9.5.1).

use super::super::contents::{CardContents, PinState};
use super::super::core::Core;
use super::{Rule, Said, Severity};

pub(super) const BLOCKED: Rule = Rule {
    id: "pin-blocked",
    severity: Severity::Wrong,
    title: "The PIN is blocked",
    looks_at: "VERIFY without a PIN: 6983",
    example: "The PIN is blocked, it was wrong too often: no phone gets past it, and what it protects was not read here; \
              unblock it with the card's PUK, in a phone or by unblock_chv of pySim-shell; a PUK that is wrong ten times \
              ends the card.",
    find: blocked,
};

fn blocked(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    if card.pin.is_none_or(|pin| pin.state != PinState::Blocked) {
        return Vec::new();
    }
    vec![Said::new(
        "The PIN is blocked, it was wrong too often: no phone gets past it, and what it protects was not read here",
        "unblock it with the card's PUK, in a phone or by unblock_chv of pySim-shell; a PUK that is wrong ten times ends \
         the card",
    )]
}

pub(super) const LAST_TRY: Rule = Rule {
    id: "pin-last-try",
    severity: Severity::Doubtful,
    title: "The last try of the PIN",
    looks_at: "VERIFY without a PIN: 63C1",
    example: "One try of the PIN remains: one more wrong PIN, here or in a phone, blocks the card; look the PIN up, then \
              say it with --pin and --pin-last-try: a right one gives all tries back.",
    find: last_try,
};

fn last_try(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    if card
        .pin
        .is_none_or(|pin| pin.state != (PinState::Wanted { tries: 1 }))
    {
        return Vec::new();
    }
    vec![Said::new(
        "One try of the PIN remains: one more wrong PIN, here or in a phone, blocks the card",
        "look the PIN up, then say it with --pin and --pin-last-try: a right one gives all tries back",
    )]
}

pub(super) const WANTED: Rule = Rule {
    id: "pin-enabled",
    severity: Severity::Note,
    title: "The PIN is enabled",
    looks_at: "VERIFY without a PIN: 63Cx, or a PIN that was said",
    example: "The PIN is enabled, and 3 tries remain: a phone asks for it whenever it is switched on; say it with --pin; \
              for a phone that nobody sits at, disable it (in a phone, or by disable_chv of pySim-shell).",
    find: wanted,
};

fn wanted(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let said = |how: String, now: &str| {
        let phone = "a phone asks for it whenever it is switched on";
        let disable =
            "for a phone that nobody sits at, disable it (in a phone, or by disable_chv of pySim-shell)";
        vec![Said::new(
            format!("The PIN is enabled, and {how}: {phone}"),
            format!("{now}{disable}"),
        )]
    };
    match card.pin.map(|pin| pin.state) {
        Some(PinState::Wanted { tries: 1 }) => said("1 try remains".to_owned(), ""),
        Some(PinState::Wanted { tries }) => said(format!("{tries} tries remain"), "say it with --pin; "),
        Some(PinState::Verified) => said("it was said".to_owned(), ""),
        Some(PinState::Disabled | PinState::Blocked | PinState::Unknown(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::asserting::{assert_found, assert_said, assert_silent};
    use super::super::samples::{card, pin};
    use super::*;
    use crate::card::contents::Pin;

    fn with_tries(tries: u8) -> CardContents {
        CardContents {
            pin: pin(tries),
            ..card()
        }
    }

    #[test]
    fn a_blocked_pin_is_wrong() {
        assert_found(&BLOCKED, &with_tries(0), None);
        assert_silent(&BLOCKED, &with_tries(1), None);
        assert_silent(&WANTED, &with_tries(0), None);
    }

    #[test]
    fn the_last_try_is_doubtful() {
        assert_found(&LAST_TRY, &with_tries(1), None);
        assert_silent(&LAST_TRY, &with_tries(2), None);
    }

    #[test]
    fn an_enabled_pin_is_a_note() {
        assert_found(&WANTED, &with_tries(3), None);
        assert_silent(&WANTED, &card(), None);
        let verified = CardContents {
            pin: Some(Pin {
                reference: 1,
                state: PinState::Verified,
            }),
            ..card()
        };
        assert_said(
            &WANTED,
            &verified,
            None,
            "The PIN is enabled, and it was said: a phone asks for it whenever it is switched on; for a phone that nobody \
             sits at, disable it (in a phone, or by disable_chv of pySim-shell).",
        );
    }
}
