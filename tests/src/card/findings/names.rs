//! Table: findings about the private and the public identities on a card.

use ims_common::identity::Impu;

use super::super::contents::{CardContents, Read};
use super::super::core::Core;
use super::super::identity::Origin;
use super::super::wording::{and, printable};
use super::{Rule, Said, Severity};

/// TS 23.003 13.3: a network access identifier, `user@realm`.
pub(super) const IMPI_MALFORMED: Rule = Rule {
    id: "impi-malformed",
    severity: Severity::Wrong,
    title: "The IMPI is no identity",
    looks_at: "EF_IMPI of the ISIM",
    example: "EF_IMPI of the ISIM says \"sip:alice@ims.example\", and an IMPI is user@realm without a scheme: an HSS knows \
              none of this form; write it without sip:, as the HSS has it.",
    find: impi_malformed,
};

fn impi_malformed(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let Some(impi) = card.isim.as_ref().and_then(|isim| isim.impi.is()) else {
        return Vec::new();
    };
    let remedy = if impi.starts_with("sip:") || impi.starts_with("tel:") {
        "write it without sip:, as the HSS has it"
    } else if impi
        .split_once('@')
        .is_none_or(|(user, realm)| user.is_empty() || realm.is_empty() || impi.contains(char::is_whitespace))
    {
        "write user, @ and realm, as the HSS has them"
    } else {
        return Vec::new();
    };
    vec![Said::new(
        format!(
            "EF_IMPI of the ISIM says \"{}\", and an IMPI is user@realm without a scheme: an HSS knows none of this form",
            printable(impi)
        ),
        remedy,
    )]
}

/// TS 23.003 13.4, TS 31.103 4.2.4: a SIP URI or a tel URI.
pub(super) const IMPU_MALFORMED: Rule = Rule {
    id: "impu-malformed",
    severity: Severity::Wrong,
    title: "An IMPU is no URI",
    looks_at: "each record of EF_IMPU",
    example: "EF_IMPU of the ISIM says \"sip:alice@\" in record 1, and that is no IMPU (identity has no valid host); write it \
              as a whole, as sip:alice@ims.example or tel:+15550001.",
    find: impu_malformed,
};

fn impu_malformed(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let say = |(record, impu): (usize, &String)| {
        let error = Impu::parse(impu).err()?;
        Some(Said::new(
            format!(
                "EF_IMPU of the ISIM says \"{}\" in record {record}, and that is no IMPU ({error})",
                printable(impu)
            ),
            "write it as a whole, as sip:alice@ims.example or tel:+15550001",
        ))
    };
    impus(card).filter_map(say).collect()
}

fn impus(card: &CardContents) -> impl Iterator<Item = (usize, &String)> {
    let isim = card.isim.iter();
    isim.flat_map(|isim| isim.impus.records())
}

fn is_tel(impu: &str) -> bool {
    Impu::parse(impu).is_ok_and(|impu| impu.is_tel())
}

/// TS 24.229 5.1.1.2.1: To and From of a REGISTER have the SIP URI of a public identity.
pub(super) const NO_SIP_IMPU: Rule = Rule {
    id: "impu-no-sip",
    severity: Severity::Wrong,
    title: "No SIP URI among the IMPUs",
    looks_at: "EF_IMPU of the ISIM",
    example: "EF_IMPU of the ISIM has no SIP URI, only tel:+15550001: a REGISTER cannot be for a number; write the SIP URI \
              of the subscriber to record 1 of EF_IMPU.",
    find: no_sip_impu,
};

fn no_sip_impu(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let numbers: Vec<_> = impus(card)
        .filter(|(_, impu)| is_tel(impu))
        .map(|(_, impu)| printable(impu))
        .collect();
    if numbers.is_empty() || numbers.len() < impus(card).count() {
        return Vec::new();
    }
    vec![Said::new(
        format!(
            "EF_IMPU of the ISIM has no SIP URI, only {}: a REGISTER cannot be for a number",
            and(&numbers)
        ),
        "write the SIP URI of the subscriber to record 1 of EF_IMPU",
    )]
}

/// TS 31.103 4.2.4: the first record is the default identity, and that of emergency registrations.
pub(super) const FIRST_IMPU_IS_NUMBER: Rule = Rule {
    id: "impu-first-is-number",
    severity: Severity::Doubtful,
    title: "The first IMPU is a number",
    looks_at: "the first record of EF_IMPU, when another has a SIP URI",
    example: "The first IMPU is tel:+15550001, and record 2 of EF_IMPU has the SIP URI \
              sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org: phones that take the first record as it is cannot \
              register with it; write the SIP URI to record 1 and the number behind it.",
    find: first_impu_is_number,
};

fn first_impu_is_number(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let (Some((_, first)), Ok(identity)) = (impus(card).next(), card.identity()) else {
        return Vec::new();
    };
    match identity.origin {
        Origin::Isim { record } if is_tel(first) => vec![Said::new(
            format!(
                "The first IMPU is {}, and record {record} of EF_IMPU has the SIP URI {}: phones that take the first record \
                 as it is cannot register with it",
                printable(first),
                printable(&identity.names.impu)
            ),
            "write the SIP URI to record 1 and the number behind it",
        )],
        _ => Vec::new(),
    }
}

/// TS 23.003 13.4: the host of a public identity is a domain of the home network.
pub(super) const IMPU_NOT_SERVED: Rule = Rule {
    id: "impu-not-served",
    severity: Severity::Wrong,
    title: "This core does not serve the domain of an IMPU",
    looks_at: "each record of EF_IMPU; home_realm of the core's files",
    example: "IMPU sip:alice@other.example (record 2 of EF_IMPU) is of domain other.example, and this core serves \
              ims.mnc001.mcc001.3gppnetwork.org (pcscf.yaml): calls to it go elsewhere; write it with the core's domain.",
    find: impu_not_served,
};

fn impu_not_served(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let Some(core) = core else {
        return Vec::new();
    };
    let say = |(record, text): (usize, &String)| {
        let impu = Impu::parse(text).ok()?;
        let host = impu.host()?;
        let home = card.isim.as_ref().and_then(|isim| isim.domain.is());
        // When the home domain is not served either, its own sentence says so.
        let is_home = home.is_some_and(|home| home.eq_ignore_ascii_case(host));
        (core.serves(host) == Some(false) && !is_home).then(|| {
            Said::new(
                format!(
                    "IMPU {} (record {record} of EF_IMPU) is of domain {}, and this core serves {}: calls to it go elsewhere",
                    printable(text),
                    printable(host),
                    core.realms_in_words()
                ),
                "write it with the core's domain",
            )
        })
    };
    impus(card).filter_map(say).collect()
}

/// TS 23.003 13.4B: the temporary public identity is for registration alone, and should be barred for all else.
pub(super) const TEMPORARY_ONLY: Rule = Rule {
    id: "impu-temporary-only",
    severity: Severity::Doubtful,
    title: "Only the temporary identity",
    looks_at: "EF_IMPU, EF_IMSI; the implicit set in the HSS, when it is known",
    example: "The only IMPU is sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org, the temporary one that has the IMSI in \
              it: it is for the REGISTER alone, and whether the HSS has another one with it is not known; give the \
              subscriber an MSISDN in the HSS, so that its implicit set has a SIP and a tel URI that others may see.",
    find: temporary_only,
};

fn temporary_only(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let imsi = card.usim.as_ref().and_then(|usim| usim.imsi.is());
    let (Some(imsi), Ok(identity)) = (imsi, card.identity()) else {
        return Vec::new();
    };
    let is_temporary = |impu: &str| Impu::parse(impu).is_ok_and(|impu| impu.user() == Some(imsi.as_str()));
    if !is_temporary(&identity.names.impu) || impus(card).any(|(_, impu)| !is_temporary(impu)) {
        return Vec::new();
    }
    let set = core.and_then(|core| {
        let subscriber = core.subscriber(&identity.names.impi)?;
        Core::implicit_set(subscriber, &Impu::parse(&identity.names.impu).ok()?)
    });
    let what = match set {
        // Barred alone, or with another one: both are said elsewhere, or need not be said.
        Some(set) if set.iter().all(|identity| identity.barred) => return Vec::new(),
        Some(set)
            if set
                .iter()
                .any(|identity| !identity.barred && !is_temporary(identity.impu.as_str())) =>
        {
            return Vec::new();
        }
        Some(_) => "and the HSS has no other one: whoever is called sees the IMSI",
        // A USIM has never more: that it is alone is no news.
        None if card.isim.is_none() => return Vec::new(),
        None => "and whether the HSS has another one with it is not known",
    };
    vec![Said::new(
        format!(
            "The only IMPU is {}, the temporary one that has the IMSI in it: it is for the REGISTER alone, {what}",
            printable(&identity.names.impu)
        ),
        "give the subscriber an MSISDN in the HSS, so that its implicit set has a SIP and a tel URI that others may see",
    )]
}

pub(super) const OTHER_IMSI: Rule = Rule {
    id: "impi-imsi-differ",
    severity: Severity::Note,
    title: "IMPI and IMSI name two subscribers",
    looks_at: "EF_IMPI of the ISIM, EF_IMSI of the USIM",
    example: "IMPI alice@ims.mnc001.mcc001.3gppnetwork.org of the ISIM has not IMSI 001010000000001 of the USIM in it: \
              radio and IMS know the phone by two names; nothing to do when the HSS has both as one subscriber with one K.",
    find: other_imsi,
};

fn other_imsi(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let (Some(isim), Some(usim)) = (&card.isim, &card.usim) else {
        return Vec::new();
    };
    let (Read::Is(impi), Read::Is(imsi)) = (&isim.impi, &usim.imsi) else {
        return Vec::new();
    };
    if impi.split('@').next() == Some(imsi) {
        return Vec::new();
    }
    vec![Said::new(
        format!(
            "IMPI {} of the ISIM has not IMSI {imsi} of the USIM in it: radio and IMS know the phone by two names",
            printable(impi)
        ),
        "nothing to do when the HSS has both as one subscriber with one K",
    )]
}

#[cfg(test)]
mod tests {
    use super::super::samples::asserting::{assert_found, assert_said, assert_silent};
    use super::super::samples::{
        HOME, IMSI, card, card_with_isim, core, core_with, text, texts, usim_only, without_hss,
    };
    use super::*;

    fn with_impus(impus: &[&str]) -> CardContents {
        card_with_isim(|isim| isim.impus = texts(impus))
    }

    fn with_impi(impi: &str) -> CardContents {
        card_with_isim(|isim| isim.impi = text(impi))
    }

    #[test]
    fn an_impi_with_a_scheme_or_without_a_realm_is_none() {
        assert_found(&IMPI_MALFORMED, &with_impi("sip:alice@ims.example"), None);
        let said = IMPI_MALFORMED
            .example
            .replace("sip:alice@ims.example", "alice")
            .replace(
                "write it without sip:, as the HSS has it",
                "write user, @ and realm, as the HSS has them",
            );
        assert_said(&IMPI_MALFORMED, &with_impi("alice"), None, &said);
        assert_silent(&IMPI_MALFORMED, &card(), None);
    }

    #[test]
    fn a_record_without_a_host_is_no_impu() {
        assert_found(&IMPU_MALFORMED, &with_impus(&["sip:alice@"]), None);
        assert_silent(&IMPU_MALFORMED, &card(), None);
    }

    #[test]
    fn numbers_alone_cannot_be_registered() {
        assert_found(&NO_SIP_IMPU, &with_impus(&["tel:+15550001", ""]), None);
        assert_silent(&NO_SIP_IMPU, &with_impus(&[""]), None);
        assert_silent(&NO_SIP_IMPU, &card(), None);
    }

    #[test]
    fn a_number_in_the_first_record_is_doubtful() {
        let sip = format!("sip:{IMSI}@{HOME}");
        assert_found(&FIRST_IMPU_IS_NUMBER, &with_impus(&["tel:+15550001", &sip]), None);
        assert_silent(&FIRST_IMPU_IS_NUMBER, &card(), None);
    }

    #[test]
    fn an_impu_of_another_domain_goes_elsewhere() {
        let other = with_impus(&[&format!("sip:{IMSI}@{HOME}"), "sip:alice@other.example"]);
        assert_found(&IMPU_NOT_SERVED, &other, Some(&core()));
        assert_silent(&IMPU_NOT_SERVED, &other, None);
        assert_silent(&IMPU_NOT_SERVED, &card(), Some(&core()));
    }

    #[test]
    fn the_temporary_identity_alone_is_doubtful_unless_the_hss_has_another() {
        let temporary = with_impus(&[&format!("sip:{IMSI}@{HOME}")]);
        assert_found(&TEMPORARY_ONLY, &temporary, Some(&without_hss()));
        assert_silent(&TEMPORARY_ONLY, &temporary, Some(&core()));
        let no_number = core_with(&format!("{{imsi: \"{IMSI}\"}}"));
        let said = TEMPORARY_ONLY.example.replace(
            "and whether the HSS has another one with it is not known",
            "and the HSS has no other one: whoever is called sees the IMSI",
        );
        assert_said(&TEMPORARY_ONLY, &temporary, Some(&no_number), &said);
        assert_said(&TEMPORARY_ONLY, &usim_only(), Some(&no_number), &said);
        assert_silent(&TEMPORARY_ONLY, &usim_only(), None);
        assert_silent(&TEMPORARY_ONLY, &card(), None);
    }

    #[test]
    fn an_impi_that_is_not_of_the_imsi_is_a_note() {
        assert_found(&OTHER_IMSI, &with_impi(&format!("alice@{HOME}")), None);
        assert_silent(&OTHER_IMSI, &card(), None);
        assert_silent(&OTHER_IMSI, &usim_only(), None);
    }
}
