//! Table: findings about what the HSS has under the names of a card.

use hss_client::user_data::PublicIdentity;
use ims_common::identity::Impu;

use super::super::contents::CardContents;
use super::super::core::Core;
use super::super::identity::CardIdentity;
use super::super::wording::{and, printable};
use super::{Rule, Said, Severity};
use crate::hss::Subscriber;

/// Identities that one sentence names.
const NAMED_MAX: usize = 4;

/// TS 29.228 6.1.1.1, 6.3.1: 5001.
pub(super) const IMPI_UNKNOWN: Rule = Rule {
    id: "impi-unknown",
    severity: Severity::Wrong,
    title: "The HSS does not know the IMPI",
    looks_at: "EF_IMPI, or EF_IMSI and EF_AD without an ISIM; the subscribers of the HSS",
    example: "The HSS does not know IMPI 001010000000001@ims.mnc001.mcc001.3gppnetwork.org (hss.yaml has 1 subscriber, the \
              nearest one is 001010000000002@ims.mnc001.mcc001.3gppnetwork.org): 5001 to the UAR, 403 for the phone; \
              provision it, or correct the spelling of one of the two: an HSS compares octet by octet.",
    find: impi_unknown,
};

fn impi_unknown(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let (Some(core), Ok(identity)) = (core, card.identity()) else {
        return Vec::new();
    };
    let (Some(subscribers), None) = (core.subscribers(), core.subscriber(&identity.names.impi)) else {
        return Vec::new();
    };
    let impi = &identity.names.impi;
    let files = core.hss_in_words();
    let count = match subscribers.len() {
        0 => format!("{files} has no subscribers"),
        1 => format!("{files} has 1 subscriber"),
        count => format!("{files} has {count} subscribers"),
    };
    let nearest = nearest(subscribers, impi)
        .map(|near| format!(", the nearest one is {}", near.private_identity().as_str()));
    vec![Said::new(
        format!(
            "The HSS does not know IMPI {} ({count}{}): 5001 to the UAR, 403 for the phone",
            printable(impi),
            nearest.unwrap_or_default()
        ),
        "provision it, or correct the spelling of one of the two: an HSS compares octet by octet",
    )]
}

/// The one that begins like it, or that ends like it, by most characters; none when that says nothing.
fn nearest<'a>(subscribers: &'a [Subscriber], impi: &str) -> Option<&'a Subscriber> {
    let common = |other: &str| {
        let start = impi.bytes().zip(other.bytes()).take_while(|(a, b)| a == b);
        let end = impi.bytes().rev().zip(other.bytes().rev());
        start.count() + end.take_while(|(a, b)| a == b).count()
    };
    let near = subscribers
        .iter()
        .map(|subscriber| (common(subscriber.private_identity().as_str()), subscriber));
    // The first one of equals.
    let (length, near) = near.rev().max_by_key(|(length, _)| *length)?;
    (length >= impi.len() / 2).then_some(near)
}

/// TS 33.203 6.1: a card knows AKA and nothing else.
pub(super) const NO_KEYS: Rule = Rule {
    id: "hss-no-keys",
    severity: Severity::Wrong,
    title: "The HSS has a password instead of keys",
    looks_at: "the subscriber with the card's IMPI",
    example: "The HSS has a password for IMPI 001010000000001@ims.mnc001.mcc001.3gppnetwork.org (SIP Digest) and no keys: a \
              card cannot answer with a password; give the subscriber K and OPc in the HSS.",
    find: no_keys,
};

fn no_keys(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    match known(card, core) {
        Some(Known { identity, subscriber }) if !subscriber.has_keys() => vec![Said::new(
            format!(
                "The HSS has a password for IMPI {} (SIP Digest) and no keys: a card cannot answer with a password",
                printable(&identity.names.impi)
            ),
            "give the subscriber K and OPc in the HSS",
        )],
        _ => Vec::new(),
    }
}

/// TS 29.228 6.1.1.1: 5001 and 5002.
pub(super) const IMPU_UNKNOWN: Rule = Rule {
    id: "impu-unknown",
    severity: Severity::Wrong,
    title: "The HSS does not have an IMPU of the card",
    looks_at: "EF_IMPU, or EF_IMSI and EF_AD without an ISIM; the subscriber with the card's IMPI",
    example: "The HSS does not have IMPU sip:alice@ims.mnc001.mcc001.3gppnetwork.org (record 2 of EF_IMPU) for IMPI \
              001010000000001@ims.mnc001.mcc001.3gppnetwork.org; it has \
              sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org (barred), \
              sip:+15550001@ims.mnc001.mcc001.3gppnetwork.org and tel:+15550001; add it to the subscriber, or write one that \
              the HSS has.",
    find: impu_unknown,
};

fn impu_unknown(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let Some(Known { identity, subscriber }) = known(card, core) else {
        return Vec::new();
    };
    let on_card: Vec<_> = match &card.isim {
        Some(isim) => isim
            .impus
            .records()
            .map(|(record, impu)| (impu.as_str(), format!(" (record {record} of EF_IMPU)")))
            .collect(),
        None => vec![(identity.names.impu.as_str(), String::new())],
    };
    let say = |(text, origin): (&str, String)| {
        let impu = Impu::parse(text).ok()?;
        if Core::implicit_set(subscriber, &impu).is_some() {
            return None;
        }
        let has: Vec<_> = subscriber.public_identities().collect();
        Some(Said::new(
            format!(
                "The HSS does not have IMPU {}{origin} for IMPI {}; it has {}",
                printable(text),
                printable(&identity.names.impi),
                in_words(&has)
            ),
            "add it to the subscriber, or write one that the HSS has",
        ))
    };
    on_card.into_iter().filter_map(say).collect()
}

/// TS 29.228 6.1.1.1: 5003 when nothing but barred identities would be registered.
pub(super) const BARRED: Rule = Rule {
    id: "impu-barred",
    severity: Severity::Wrong,
    title: "The IMPU is barred, and so is all that goes with it",
    looks_at: "the implicit set of the IMPU that a phone registers",
    example: "The HSS bars IMPU sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org, and its implicit set has none that is \
              not barred: 5003 to the UAR, 403 for the phone; give the subscriber an MSISDN, as a SIP and a tel URI of the \
              same implicit set that are not barred.",
    find: barred,
};

fn barred(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let Some((impu, set)) = set_of_registered(card, core) else {
        return Vec::new();
    };
    if set.iter().any(|identity| !identity.barred) {
        return Vec::new();
    }
    vec![Said::new(
        format!(
            "The HSS bars IMPU {}, and its implicit set has none that is not barred: 5003 to the UAR, 403 for the phone",
            printable(&impu)
        ),
        "give the subscriber an MSISDN, as a SIP and a tel URI of the same implicit set that are not barred",
    )]
}

/// TS 24.229 5.4.1.2.2F: P-Associated-URI has what is not barred of the implicit set.
pub(super) const NO_NUMBER: Rule = Rule {
    id: "no-number",
    severity: Severity::Doubtful,
    title: "No number in the implicit set",
    looks_at: "the implicit set of the IMPU that a phone registers",
    example: "The HSS has no tel URI with IMPU sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org, only \
              sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org: nobody can dial this phone, who is called sees no \
              number, and some phones do not stay registered without one; give the subscriber an MSISDN in the HSS.",
    find: no_number,
};

fn no_number(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let Some((impu, set)) = set_of_registered(card, core) else {
        return Vec::new();
    };
    let visible: Vec<_> = set.into_iter().filter(|identity| !identity.barred).collect();
    // With none at all there is a worse thing to say.
    if visible.is_empty() || visible.iter().any(|identity| identity.impu.is_tel()) {
        return Vec::new();
    }
    vec![Said::new(
        format!(
            "The HSS has no tel URI with IMPU {}, only {}: nobody can dial this phone, who is called sees no number, and \
             some phones do not stay registered without one",
            printable(&impu),
            in_words(&visible)
        ),
        "give the subscriber an MSISDN in the HSS",
    )]
}

/// A card whose IMPI the HSS knows.
struct Known<'a> {
    identity: CardIdentity,
    subscriber: &'a Subscriber,
}

fn known<'a>(card: &CardContents, core: Option<&'a Core>) -> Option<Known<'a>> {
    let identity = card.identity().ok()?;
    let subscriber = core?.subscriber(&identity.names.impi)?;
    Some(Known { identity, subscriber })
}

fn set_of_registered<'a>(
    card: &CardContents,
    core: Option<&'a Core>,
) -> Option<(String, Vec<&'a PublicIdentity>)> {
    let Known { identity, subscriber } = known(card, core)?;
    let impu = Impu::parse(&identity.names.impu).ok()?;
    let set = Core::implicit_set(subscriber, &impu)?;
    Some((identity.names.impu, set))
}

fn in_words(identities: &[&PublicIdentity]) -> String {
    let mut words: Vec<_> = identities
        .iter()
        .take(NAMED_MAX)
        .map(|identity| match identity.barred {
            true => format!("{} (barred)", identity.impu.as_str()),
            false => identity.impu.as_str().to_owned(),
        })
        .collect();
    if let more @ 1.. = identities.len().saturating_sub(NAMED_MAX) {
        words.push(format!("{more} more"));
    }
    and(&words)
}

#[cfg(test)]
mod tests {
    use super::super::samples::asserting::{assert_found, assert_said, assert_silent};
    use super::super::samples::{
        HOME, IMSI, card, card_with_isim, core, core_with, texts, usim_only, without_hss,
    };
    use super::*;

    #[test]
    fn an_impi_that_the_hss_does_not_have_is_told_with_the_nearest_one() {
        let other = core_with("{imsi: \"001010000000002\"}");
        assert_found(&IMPI_UNKNOWN, &card(), Some(&other));
        let none = IMPI_UNKNOWN.example.replace(
            "hss.yaml has 1 subscriber, the nearest one is 001010000000002@ims.mnc001.mcc001.3gppnetwork.org",
            "hss.yaml has no subscribers",
        );
        assert_said(&IMPI_UNKNOWN, &usim_only(), Some(&core_with("")), &none);
        assert_silent(&IMPI_UNKNOWN, &card(), Some(&core()));
        assert_silent(&IMPI_UNKNOWN, &card(), Some(&without_hss()));
    }

    #[test]
    fn a_password_is_nothing_for_a_card() {
        let digest = core_with(&format!("{{imsi: \"{IMSI}\", digest_password: swordfish}}"));
        assert_found(&NO_KEYS, &card(), Some(&digest));
        assert_silent(&NO_KEYS, &card(), Some(&core()));
    }

    #[test]
    fn an_impu_that_the_hss_does_not_have_is_told_with_those_that_it_has() {
        let impus = [format!("sip:{IMSI}@{HOME}"), format!("sip:alice@{HOME}")];
        let other = card_with_isim(|isim| isim.impus = texts(&[&impus[0], &impus[1]]));
        assert_found(&IMPU_UNKNOWN, &other, Some(&core()));
        assert_silent(&IMPU_UNKNOWN, &card(), Some(&core()));
        assert_silent(&IMPU_UNKNOWN, &usim_only(), Some(&core()));
        // With an unknown IMPI there is nothing to compare with.
        assert_silent(&IMPU_UNKNOWN, &other, Some(&core_with("")));
    }

    #[test]
    fn nothing_but_barred_identities_is_wrong() {
        let impu = format!("sip:{IMSI}@{HOME}");
        let barred = core_with(&format!(
            "{{imsi: \"{IMSI}\", impus: [{{identity: \"{impu}\", barred: true}}]}}"
        ));
        assert_found(&BARRED, &usim_only(), Some(&barred));
        assert_silent(&NO_NUMBER, &usim_only(), Some(&barred));
        // The temporary identity is barred as it should be, and others go with it.
        assert_silent(&BARRED, &usim_only(), Some(&core()));
    }

    #[test]
    fn a_set_without_a_number_is_doubtful() {
        let no_number = core_with(&format!("{{imsi: \"{IMSI}\"}}"));
        assert_found(&NO_NUMBER, &usim_only(), Some(&no_number));
        assert_silent(&NO_NUMBER, &card(), Some(&core()));
    }

    #[test]
    fn many_identities_are_counted() {
        let impus: Vec<_> = (0..6).map(|n| format!("\"sip:u{n}@h.test\"")).collect();
        let subscriber = format!("{{imsi: \"{IMSI}\", impus: [{}]}}", impus.join(", "));
        let core = core_with(&subscriber);
        let all: Vec<_> = core.subscribers().unwrap()[0].public_identities().collect();
        assert!(
            in_words(&all).ends_with("sip:u2@h.test and 3 more"),
            "{}",
            in_words(&all)
        );
    }
}
