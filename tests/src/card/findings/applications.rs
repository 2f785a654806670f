//! Table: findings about the applications of a card and whether they say anything at all.

use super::super::contents::{CardContents, Isim, Read};
use super::super::core::Core;
use super::super::wording::{and, hex};
use super::{Rule, Said, Severity};

/// TS 24.229 5.1.1.1A: the ISIM, else the USIM, and nothing else.
pub(super) const NO_APPLICATION: Rule = Rule {
    id: "no-application",
    severity: Severity::Wrong,
    title: "Neither an ISIM nor a USIM",
    looks_at: "EF_DIR",
    example: "The card has neither an ISIM nor a USIM (EF_DIR names A000000063): no phone can register with it; take a \
              UICC with a USIM, better with an ISIM too: with a SIM of GSM alone there is no IMS.",
    find: no_application,
};

fn no_application(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    if card.isim.is_some() || card.usim.is_some() {
        return Vec::new();
    }
    let aids: Vec<_> = card
        .applications
        .records()
        .map(|(_, application)| hex(&application.aid))
        .collect();
    vec![Said::new(
        format!(
            "The card has neither an ISIM nor a USIM (EF_DIR names {}): no phone can register with it",
            and(&aids)
        ),
        "take a UICC with a USIM, better with an ISIM too: with a SIM of GSM alone there is no IMS",
    )]
}

/// TS 23.003 13.2, 13.3, 13.4B.
pub(super) const NO_ISIM: Rule = Rule {
    id: "no-isim",
    severity: Severity::Note,
    title: "No ISIM",
    looks_at: "EF_DIR; EF_IMSI and EF_AD of the USIM",
    example: "The card has no ISIM: a phone derives its names from the USIM, IMPI \
              001010000000001@ims.mnc001.mcc001.3gppnetwork.org, IMPU \
              sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org, domain ims.mnc001.mcc001.3gppnetwork.org; nothing to \
              do when the HSS has the subscriber under these names, as this core's has; else take a card with an ISIM.",
    find: no_isim,
};

fn no_isim(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let (None, Ok(identity)) = (&card.isim, card.identity()) else {
        return Vec::new();
    };
    let names = identity.names;
    let known = match core.and_then(|core| core.subscriber(&names.impi)) {
        Some(_) => ", as this core's has",
        None => "",
    };
    vec![Said::new(
        format!(
            "The card has no ISIM: a phone derives its names from the USIM, IMPI {}, IMPU {}, domain {}",
            names.impi, names.impu, names.home
        ),
        format!(
            "nothing to do when the HSS has the subscriber under these names{known}; else take a card with an ISIM"
        ),
    )]
}

/// TS 31.103 4.2.2, 4.2.3, 4.2.4: the three are mandatory.
pub(super) const ISIM_EMPTY: Rule = Rule {
    id: "isim-empty",
    severity: Severity::Wrong,
    title: "The ISIM says nothing",
    looks_at: "EF_IMPI, EF_DOMAIN and EF_IMPU of the ISIM",
    example: "The card has an ISIM, and in it EF_IMPI (empty) and EF_IMPU (not there) say nothing: many phones then do \
              not start IMS, and others take the IMSI of the USIM; write what the HSS has to these files, or take the \
              ISIM out of EF_DIR, so that each phone takes the USIM.",
    find: isim_empty,
};

fn isim_empty(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let Some(isim) = &card.isim else {
        return Vec::new();
    };
    let empty: Vec<_> = empty_files(isim).collect();
    if empty.is_empty() {
        return Vec::new();
    }
    let say = if empty.len() == 1 { "says" } else { "say" };
    vec![Said::new(
        format!(
            "The card has an ISIM, and in it {} {say} nothing: many phones then do not start IMS, and others take the \
             IMSI of the USIM",
            and(&empty)
        ),
        "write what the HSS has to these files, or take the ISIM out of EF_DIR, so that each phone takes the USIM",
    )]
}

fn empty_files(isim: &Isim) -> impl Iterator<Item = String> {
    let impus = match &isim.impus {
        Read::Is(records) if records.iter().all(|record| *record == Read::Empty) => Some("empty"),
        impus => how_empty(impus),
    };
    let files = [
        ("EF_IMPI", how_empty(&isim.impi)),
        ("EF_DOMAIN", how_empty(&isim.domain)),
        ("EF_IMPU", impus),
    ];
    files
        .into_iter()
        .filter_map(|(name, how)| Some(format!("{name} ({})", how?)))
}

const fn how_empty<T>(read: &Read<T>) -> Option<&'static str> {
    match read {
        Read::Empty => Some("empty"),
        Read::Absent => Some("not there"),
        Read::Is(_) | Read::Refused(_) | Read::Malformed { .. } => None,
    }
}

/// TS 31.102 4.2.2: mandatory.
pub(super) const NO_IMSI: Rule = Rule {
    id: "no-imsi",
    severity: Severity::Wrong,
    title: "No ISIM, and no IMSI in the USIM",
    looks_at: "EF_IMSI of the USIM, when there is no ISIM",
    example: "The card has no ISIM, and EF_IMSI of its USIM is empty: no phone has a name with it, neither for the radio \
              nor for IMS; write the IMSI of the subscriber to EF_IMSI.",
    find: no_imsi,
};

fn no_imsi(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let (None, Some(usim)) = (&card.isim, &card.usim) else {
        return Vec::new();
    };
    let Some(how) = how_empty(&usim.imsi) else {
        return Vec::new();
    };
    vec![Said::new(
        format!(
            "The card has no ISIM, and EF_IMSI of its USIM is {how}: no phone has a name with it, neither for the radio \
             nor for IMS"
        ),
        "write the IMSI of the subscriber to EF_IMSI",
    )]
}

#[cfg(test)]
mod tests {
    use super::super::samples::asserting::{assert_found, assert_said, assert_silent};
    use super::super::samples::{
        card, card_with_isim, card_with_usim, core, core_with, protected, texts, usim_only,
    };
    use super::*;
    use crate::card::contents::Application;

    #[test]
    fn a_card_of_another_kind_has_nothing_for_a_phone() {
        let other = CardContents {
            isim: None,
            usim: None,
            applications: Read::Is(vec![Read::Is(Application {
                aid: vec![0xA0, 0, 0, 0, 0x63],
                label: None,
            })]),
            ..card()
        };
        assert_found(&NO_APPLICATION, &other, None);
        assert_silent(&NO_APPLICATION, &usim_only(), None);
    }

    #[test]
    fn without_an_isim_the_derived_names_are_told() {
        assert_found(&NO_ISIM, &usim_only(), Some(&core()));
        let unknown = NO_ISIM.example.replace(", as this core's has", "");
        assert_said(&NO_ISIM, &usim_only(), Some(&core_with("")), &unknown);
        assert_silent(&NO_ISIM, &card(), None);
    }

    #[test]
    fn an_isim_whose_files_are_empty_or_missing_is_wrong() {
        let empty = card_with_isim(|isim| {
            isim.impi = Read::Empty;
            isim.impus = Read::Absent;
        });
        assert_found(&ISIM_EMPTY, &empty, None);
        let records = card_with_isim(|isim| isim.impus = texts(&["", ""]));
        let said = ISIM_EMPTY.example.replace(
            "EF_IMPI (empty) and EF_IMPU (not there) say",
            "EF_IMPU (empty) says",
        );
        assert_said(&ISIM_EMPTY, &records, None, &said);
        // What is not known is not called empty.
        let locked = card_with_isim(|isim| isim.impi = protected());
        assert_silent(&ISIM_EMPTY, &locked, None);
        assert_silent(&ISIM_EMPTY, &usim_only(), None);
    }

    #[test]
    fn a_usim_without_an_imsi_names_nobody() {
        let nameless = |isim| CardContents {
            isim,
            ..card_with_usim(|usim| usim.imsi = Read::Empty)
        };
        assert_found(&NO_IMSI, &nameless(None), None);
        assert_silent(&NO_IMSI, &nameless(card().isim), None);
    }
}
