//! Table: findings about the home domain: its form, whether this core serves it, and what it follows from.

use super::super::contents::CardContents;
use super::super::core::Core;
use super::super::identity::{CardIdentity, Origin};
use super::super::wording::printable;
use super::{Rule, Said, Severity};
use crate::ue::identity::UeIdentity;

/// TS 31.103 4.2.3: a domain name; RFC 3261 25.1 and RFC 1123 2.1: of letters, digits and hyphens.
pub(super) const NO_NAME: Rule = Rule {
    id: "domain-no-name",
    severity: Severity::Wrong,
    title: "The home domain is no domain name",
    looks_at: "EF_DOMAIN of the ISIM",
    example: "EF_DOMAIN of the ISIM says \"sip:ims.example\", and that is no domain name (it is a URI): it cannot stand in \
              the Request-URI of a REGISTER; write the name as DNS has it, in letters, digits, hyphens and dots (other \
              letters in their form xn--).",
    find: no_name,
};

fn no_name(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let Some(domain) = domain(card) else {
        return Vec::new();
    };
    let Some(why) = why_no_name(domain) else {
        return Vec::new();
    };
    vec![Said::new(
        format!(
            "EF_DOMAIN of the ISIM says \"{}\", and that is no domain name ({why}): it cannot stand in the Request-URI of \
             a REGISTER",
            printable(domain)
        ),
        "write the name as DNS has it, in letters, digits, hyphens and dots (other letters in their form xn--)",
    )]
}

fn domain(card: &CardContents) -> Option<&str> {
    card.isim.as_ref()?.domain.is().map(String::as_str)
}

fn why_no_name(domain: &str) -> Option<&'static str> {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if domain.starts_with("sip:") || domain.starts_with("sips:") {
        Some("it is a URI")
    } else if domain.contains('@') {
        Some("it is an identity")
    } else if !domain.is_ascii() {
        Some("it has characters that are not ASCII")
    } else if !domain.chars().all(is_of_a_name) {
        Some("it has other characters than letters, digits, hyphens and dots")
    } else if domain.split('.').any(str::is_empty) {
        Some("one of its labels is empty")
    } else {
        None
    }
}

/// TS 23.003 13.2.
pub(super) const FORM: Rule = Rule {
    id: "domain-form",
    severity: Severity::Note,
    title: "The home domain is not the one of a PLMN",
    looks_at: "EF_DOMAIN of the ISIM",
    example: "Home domain ims.example is not of the form ims.mncMNC.mccMCC.3gppnetwork.org: phones take it as it is, except \
              those that derive one from MCC and MNC whatever the ISIM says; nothing to do unless a phone registers with \
              another domain than this.",
    find: form,
};

fn form(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    match domain(card) {
        Some(domain) if why_no_name(domain).is_none() && !is_of_plmn(domain) => vec![Said::new(
            format!(
                "Home domain {domain} is not of the form ims.mncMNC.mccMCC.3gppnetwork.org: phones take it as it is, except \
                 those that derive one from MCC and MNC whatever the ISIM says"
            ),
            "nothing to do unless a phone registers with another domain than this",
        )],
        _ => Vec::new(),
    }
}

fn is_of_plmn(domain: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    let digits = |label: Option<&str>, prefix: &str| {
        let digits = label.and_then(|label| label.strip_prefix(prefix));
        digits.is_some_and(|digits| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut labels = domain.split('.');
    labels.next() == Some("ims")
        && digits(labels.next(), "mnc")
        && digits(labels.next(), "mcc")
        && labels.eq(["3gppnetwork", "org"])
}

/// TS 24.229 5.1.1.1A, 5.1.1.2.1: the Request-URI of a REGISTER is the home domain.
pub(super) const NOT_SERVED: Rule = Rule {
    id: "domain-not-served",
    severity: Severity::Wrong,
    title: "This core does not serve the home domain",
    looks_at: "EF_DOMAIN, or EF_IMSI and EF_AD without an ISIM; home_realm of the core's files",
    example: "A phone with this card registers with ims.mnc009.mcc001.3gppnetwork.org, and this core serves \
              ims.mnc001.mcc001.3gppnetwork.org (pcscf.yaml); write the core's domain to EF_DOMAIN, EF_IMPI and EF_IMPU of \
              the ISIM, or make the card's the home_realm of the core.",
    find: not_served,
};

fn not_served(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let (Some(core), Ok(identity)) = (core, card.identity()) else {
        return Vec::new();
    };
    let home = &identity.names.home;
    if core.serves(home) != Some(false) {
        return Vec::new();
    }
    let remedy = match identity.origin {
        Origin::Isim { .. } => {
            "write the core's domain to EF_DOMAIN, EF_IMPI and EF_IMPU of the ISIM, or make the card's the home_realm of \
             the core"
        }
        Origin::Usim => {
            "take a card whose IMSI begins with the MCC and MNC of this core, or make the card's domain the home_realm of \
             the core"
        }
    };
    vec![Said::new(
        format!(
            "A phone with this card registers with {}, and this core serves {}",
            printable(home),
            core.realms_in_words()
        ),
        remedy,
    )]
}

/// TS 31.102 4.2.18; TS 23.003 13.2: the MNC is filled to three digits.
pub(super) const MNC_LENGTH: Rule = Rule {
    id: "mnc-length",
    severity: Severity::Wrong,
    title: "EF_AD and the home domain disagree how long the MNC is",
    looks_at: "EF_IMSI and EF_AD of the USIM; EF_DOMAIN, or the core's home_realm without an ISIM",
    example: "EF_AD of the USIM says that the MNC has 3 digits, so that IMSI 001010000000001 is of \
              ims.mnc010.mcc001.3gppnetwork.org, and EF_DOMAIN says ims.mnc001.mcc001.3gppnetwork.org, as if it had 2; \
              write 02 to the fourth octet of EF_AD, or correct the domain.",
    find: mnc_length,
};

fn mnc_length(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let Some((imsi, Some(digits))) = imsi_and_digits(card) else {
        return Vec::new();
    };
    let other = if digits == 2 { 3 } else { 2 };
    let (said, other_home) = (home(imsi, digits), home(imsi, other));
    let contradicts =
        |home: &str| !home.eq_ignore_ascii_case(&said) && home.eq_ignore_ascii_case(&other_home);
    let who = match (domain(card), core) {
        (Some(domain), _) if contradicts(domain) => "EF_DOMAIN says",
        (None, Some(core)) if core.realms().all(contradicts) && core.serves(&other_home) == Some(true) => {
            "this core serves"
        }
        _ => return Vec::new(),
    };
    vec![Said::new(
        format!(
            "EF_AD of the USIM says that the MNC has {digits} digits, so that IMSI {imsi} is of {said}, and {who} \
             {other_home}, as if it had {other}"
        ),
        format!("write 0{other} to the fourth octet of EF_AD, or correct the domain"),
    )]
}

pub(super) const MNC_LENGTH_UNSAID: Rule = Rule {
    id: "mnc-length-unsaid",
    severity: Severity::Doubtful,
    title: "EF_AD does not say how long the MNC is",
    looks_at: "EF_AD of the USIM, when there is no ISIM",
    example: "EF_AD of the USIM does not say how many digits the MNC has, and the home domain follows from it: \
              ims.mnc001.mcc001.3gppnetwork.org with 2, as here, ims.mnc010.mcc001.3gppnetwork.org with 3; write 02 or 03 \
              to the fourth octet of EF_AD.",
    find: mnc_length_unsaid,
};

fn mnc_length_unsaid(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    match (&card.isim, imsi_and_digits(card)) {
        (None, Some((imsi, None))) => vec![Said::new(
            format!(
                "EF_AD of the USIM does not say how many digits the MNC has, and the home domain follows from it: {} with \
                 2, as here, {} with 3",
                home(imsi, 2),
                home(imsi, 3)
            ),
            "write 02 or 03 to the fourth octet of EF_AD",
        )],
        _ => Vec::new(),
    }
}

fn imsi_and_digits(card: &CardContents) -> Option<(&str, Option<usize>)> {
    let usim = card.usim.as_ref()?;
    Some((usim.imsi.is()?, usim.said_mnc_digits()))
}

fn home(imsi: &str, mnc_digits: usize) -> String {
    UeIdentity::from_imsi(imsi, mnc_digits).home
}

/// TS 23.003 13.3: both are of the home network.
pub(super) const IMPI_REALM: Rule = Rule {
    id: "impi-realm",
    severity: Severity::Doubtful,
    title: "IMPI and home domain name two realms",
    looks_at: "EF_IMPI and EF_DOMAIN of the ISIM; whether the HSS has just this IMPI",
    example: "IMPI 001010000000001@private.example is of realm private.example, and EF_DOMAIN says \
              ims.mnc001.mcc001.3gppnetwork.org; see that the HSS has this IMPI octet by octet, or write the home domain \
              behind its @.",
    find: impi_realm,
};

fn impi_realm(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let Ok(CardIdentity { names, .. }) = card.identity() else {
        return Vec::new();
    };
    let is_known = core.is_some_and(|core| core.subscriber(&names.impi).is_some());
    match names.impi.rsplit_once('@') {
        Some((_, realm)) if !realm.eq_ignore_ascii_case(&names.home) && !is_known => vec![Said::new(
            format!(
                "IMPI {} is of realm {}, and EF_DOMAIN says {}",
                printable(&names.impi),
                printable(realm),
                printable(&names.home)
            ),
            "see that the HSS has this IMPI octet by octet, or write the home domain behind its @",
        )],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::asserting::{assert_found, assert_said, assert_silent};
    use super::super::samples::{
        HOME, ad, card, card_with_isim, card_with_usim, core, core_with, text, usim_only, without_hss,
    };
    use super::*;

    fn with_domain(domain: &str) -> CardContents {
        card_with_isim(|isim| isim.domain = text(domain))
    }

    #[test]
    fn what_is_no_domain_name_is_told_with_the_reason() {
        assert_found(&NO_NAME, &with_domain("sip:ims.example"), None);
        for (domain, why) in [
            ("ims.müller.example", "it has characters that are not ASCII"),
            ("alice@ims.example", "it is an identity"),
            (
                "ims example",
                "it has other characters than letters, digits, hyphens and dots",
            ),
            ("ims..example", "one of its labels is empty"),
        ] {
            let said = NO_NAME
                .example
                .replace("it is a URI", why)
                .replace("sip:ims.example", domain);
            assert_said(&NO_NAME, &with_domain(domain), None, &said);
        }
        assert_silent(&NO_NAME, &card(), None);
        assert_silent(&NO_NAME, &usim_only(), None);
    }

    #[test]
    fn a_domain_of_no_plmn_is_a_note() {
        assert_found(&FORM, &with_domain("ims.example"), None);
        assert_silent(&FORM, &with_domain("IMS.mnc001.mcc001.3gppnetwork.org"), None);
        // A name that is none has its own sentence.
        assert_silent(&FORM, &with_domain("ims.müller.example"), None);
        for other in [
            "ims.mnc01.mcc001.3gppnetwork.org",
            "ims.mnc001.mcc001.3gppnetwork.org.x",
        ] {
            assert!(!is_of_plmn(other), "{other}");
        }
    }

    #[test]
    fn a_domain_that_the_core_does_not_serve_is_wrong() {
        let other = with_domain("ims.mnc009.mcc001.3gppnetwork.org");
        assert_found(&NOT_SERVED, &other, Some(&core()));
        let other = card_with_usim(|usim| usim.imsi = text("001090000000001"));
        let usim_only = CardContents { isim: None, ..other };
        let said = NOT_SERVED.example.replace(
            "write the core's domain to EF_DOMAIN, EF_IMPI and EF_IMPU of the ISIM, or make the card's the home_realm",
            "take a card whose IMSI begins with the MCC and MNC of this core, or make the card's domain the home_realm",
        );
        assert_said(&NOT_SERVED, &usim_only, Some(&core()), &said);
        assert_silent(&NOT_SERVED, &usim_only, None);
        assert_silent(&NOT_SERVED, &card(), Some(&core()));
    }

    #[test]
    fn an_mnc_of_another_length_contradicts_the_domain() {
        let three = card_with_usim(|usim| usim.ad = ad(Some(3)));
        assert_found(&MNC_LENGTH, &three, None);
        let said = MNC_LENGTH.example.replace("EF_DOMAIN says", "this core serves");
        let usim_only = CardContents { isim: None, ..three };
        assert_said(&MNC_LENGTH, &usim_only, Some(&without_hss()), &said);
        assert_silent(&MNC_LENGTH, &usim_only, None);
        assert_silent(&MNC_LENGTH, &card(), Some(&core()));
        // Another domain altogether is no matter of digits.
        assert_silent(&MNC_LENGTH, &with_domain("ims.example"), None);
    }

    #[test]
    fn an_unsaid_length_of_the_mnc_is_doubtful_where_names_are_derived() {
        let unsaid = card_with_usim(|usim| usim.ad = ad(None));
        assert_silent(&MNC_LENGTH_UNSAID, &unsaid, None);
        let usim_only = CardContents { isim: None, ..unsaid };
        assert_found(&MNC_LENGTH_UNSAID, &usim_only, None);
    }

    #[test]
    fn two_realms_are_doubtful_unless_the_hss_has_them_so() {
        let impi = "001010000000001@private.example";
        let other = card_with_isim(|isim| isim.impi = text(impi));
        assert_found(&IMPI_REALM, &other, Some(&core()));
        let known = core_with(&format!("{{imsi: \"001010000000001\", impi: {impi}}}"));
        assert_silent(&IMPI_REALM, &other, Some(&known));
        let same = card_with_isim(|isim| isim.impi = text(&format!("alice@{HOME}")));
        assert_silent(&IMPI_REALM, &same, None);
    }
}
