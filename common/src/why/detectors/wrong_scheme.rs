//! Engine: a phone speaks another authentication scheme than the HSS has for its subscriber.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;

pub(super) const DETECTOR: Detector = Detector {
    name: "wrong-scheme",
    title: "Handset and HSS authenticate in different ways",
    signal: "MAA with another scheme than the MAR asked for or the REGISTER names, or 5006 to the MAR",
    example: "The handset of IMSI 001010000000001 is to be authenticated with Digest-AKAv1-MD5, and the HSS has nothing of the \
              kind for 001010000000001@ims.mnc001.mcc001.3gppnetwork.org (5006 to the MAR); give the subscriber Ki and OPc in the \
              HSS, or let the client use SIP Digest.",
    weight: 88,
    detect,
};

/// DIAMETER_ERROR_AUTH_SCHEME_NOT_SUPPORTED (TS 29.229 6.2.2.6).
const NOT_SUPPORTED: u32 = 5_006;

fn detect(case: &Case) -> Vec<Finding> {
    let answer = case
        .newest(|entry| entry.is_heard() && entry.is_diameter("MAA"))
        .next();
    let Some(answer) = answer.filter(|it| !case.is_granted_after(it.at)) else {
        return Vec::new();
    };
    let asked = case
        .story(answer)
        .filter(|entry| entry.at <= answer.at && entry.is_diameter("MAR"))
        .last();
    asked
        .and_then(|asked| not_supported(case, asked, answer).or_else(|| another(case, asked, answer)))
        .into_iter()
        .collect()
}

fn not_supported(case: &Case, asked: &Entry, answer: &Entry) -> Option<Finding> {
    let is_refused = answer.diameter()?.result == Some(NOT_SUPPORTED) && answer.facts.has(Fact::ResultOf3gpp);
    let (scheme, impi) = (asked.get(Fact::Scheme)?, asked.get(Fact::Impi)?);
    is_refused.then(|| {
        let cause = format!(
            "The handset of {} is to be authenticated with {scheme}, and the HSS has nothing of the kind for {impi} \
             (5006 to the MAR)",
            case.subscriber()
        );
        Finding::new(answer, cause, remedy(is_aka_scheme(scheme))).and(asked)
    })
}

fn another(case: &Case, asked: &Entry, answer: &Entry) -> Option<Finding> {
    let (wanted, given) = (asked.get(Fact::Scheme)?, answer.get(Fact::Scheme)?);
    let register = case
        .story(answer)
        .filter(|entry| entry.at <= asked.at && entry.is_heard() && entry.is_request("REGISTER"))
        .last()?;
    // `Unknown` is asked where the REGISTER does not look like AKA: then it says what it is.
    let speaks_aka = match register.get(Fact::Algorithm) {
        Some(algorithm) => Some(is_aka_scheme(algorithm)),
        None if wanted == "Unknown" => None,
        None => Some(is_aka_scheme(wanted)),
    };
    let speaks_aka = speaks_aka.filter(|speaks_aka| *speaks_aka != is_aka_scheme(given))?;
    let speaks = if speaks_aka { "AKA" } else { "SIP Digest (MD5)" };
    let cause = format!(
        "The HSS returned {given} for {}, whose handset speaks {speaks}",
        case.subscriber()
    );
    Some(Finding::new(answer, cause, remedy(speaks_aka)).and(register))
}

fn is_aka_scheme(name: &str) -> bool {
    name.to_ascii_uppercase().contains("AKA")
}

const fn remedy(speaks_aka: bool) -> &'static str {
    match speaks_aka {
        true => "give the subscriber Ki and OPc in the HSS, or let the client use SIP Digest",
        false => "give the subscriber a password in the HSS, or let the client use AKA with its SIM",
    }
}
