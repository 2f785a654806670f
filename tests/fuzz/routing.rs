//! Testkit: the engines of the S-CSCF that choose where a request goes: filter criteria, caller preferences, numbers,
//! substitutions of ENUM.

use bytes::Bytes;
use hss_client::user_data::{self, SessionCase};
use ims_common::limits::SipLimits;
use ims_common::sip::{HeaderName, Message, NameAddr, Request, SipMessage, Uri, UriBuf};
use scscf::config::NumbersConfig;
use scscf::probe;

use crate::dice::{Dice, changed, few, pick, seed};
use crate::engine::{Target, Verdict, assert_linear, now};

static CRITERIA: Target = Target {
    name: "criteria",
    check: check_criteria,
    generate: generate_criteria,
    iterations: 600,
};

static PREFERENCES: Target = Target {
    name: "preferences",
    check: check_preferences,
    generate: generate_preferences,
    iterations: 6_000,
};

static NUMBERS: Target = Target {
    name: "numbers",
    check: check_number,
    generate: generate_number,
    iterations: 12_000,
};

static NAPTR: Target = Target {
    name: "naptr",
    check: check_naptr,
    generate: generate_naptr,
    iterations: 1_500,
};

#[test]
fn criteria_are_met_in_order_and_those_without_conditions_always() {
    fuzz!(CRITERIA);
}

#[test]
fn contacts_are_chosen_once_and_as_the_caller_disposes() {
    fuzz!(PREFERENCES);
}

#[test]
fn a_number_once_global_stays_as_it_is() {
    fuzz!(NUMBERS);
}

#[test]
fn a_substitution_makes_a_uri_or_nothing() {
    fuzz!(NAPTR);
}

/// Pieces of extended regular expressions, whole and broken.
const EXPRESSIONS: [&str; 28] = [
    "^",
    "$",
    ".*",
    "a*?",
    "(",
    ")",
    "[",
    "]",
    "[^]a]",
    "[[:digit:]]",
    "[[.-.]]",
    "[a\\]",
    "{2}",
    "{,3}",
    "{",
    "}",
    "|",
    "\\.",
    "\\+",
    "\\1",
    "\\<",
    "(?i)",
    "(?:",
    "*",
    "+",
    "sip:",
    "tel:",
    "alice",
];

fn request(head: &str, headers: &[u8]) -> Option<Request> {
    let mut text = format!("{head} SIP/2.0\r\n").into_bytes();
    text.extend_from_slice(headers);
    text.extend_from_slice(b"\r\n\r\n");
    match Message::parse(Bytes::from(text), &SipLimits::default())
        .ok()?
        .into_parts()
    {
        SipMessage::Request(request) => Some(request),
        SipMessage::Response(_) => None,
    }
}

/// A profile, with the text of one element replaced by an expression of chance.
fn generate_criteria(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(&seed(dice, seeds)).into_owned();
    for _ in 0..few(dice) {
        let element = pick(
            dice,
            &[
                "<RequestURI>",
                "<Header>",
                "<Content>",
                "<Line>",
                "<ConditionTypeCNF>",
                "<Group>",
            ],
        );
        let Some(at) = text.find(element) else { continue };
        let from = at + element.len();
        let length = text[from..].find('<').unwrap_or(0);
        let value = if dice.one_in(6) || element.ends_with("CNF>") || element.ends_with("Group>") {
            dice.below(2).to_string()
        } else {
            (0..1 + dice.below(5))
                .map(|_| pick(dice, &EXPRESSIONS))
                .collect::<String>()
        };
        text.replace_range(from..from + length, &value.replace('<', "&lt;"));
    }
    text.into_bytes()
}

fn check_criteria(bytes: &[u8]) -> Verdict {
    let Ok(subscription) = user_data::parse(bytes) else {
        return Verdict::Refused;
    };
    let headers = b"From: <sip:alice@h.test>;tag=f\r\nP-Asserted-Identity: <sip:alice@h.test>, <tel:+1>\r\n\
        Content-Type: application/sdp\r\nContent-Length: 20\r\n\r\nv=0\r\nm=audio 1 RTP";
    let requests = ["INVITE sip:bob@h.test", "REGISTER sip:h.test", "MESSAGE tel:+1-2"]
        .map(|head| request(head, headers).expect("a request"));
    let cases = [
        SessionCase::OriginatingRegistered,
        SessionCase::TerminatingRegistered,
        SessionCase::TerminatingUnregistered,
        SessionCase::OriginatingUnregistered,
        SessionCase::OriginatingCdiv,
    ];
    let subjects: Vec<(&Request, SessionCase)> = requests
        .iter()
        .flat_map(|request| cases.map(|case| (request, case)))
        .collect();
    for profile in &subscription.profiles {
        let (met, count) = probe::criteria(profile, &subjects);
        assert_eq!(count, profile.filter_criteria.len());
        for places in met {
            assert!(places.is_sorted() && places.iter().all(|place| *place < count));
            let mut all: Vec<_> = profile.filter_criteria.iter().collect();
            all.sort_by_key(|criterion| criterion.priority);
            for (place, criterion) in all.into_iter().enumerate() {
                let always = criterion.trigger_point.is_none() && criterion.profile_part.is_none();
                assert!(!always || places.contains(&place));
            }
        }
    }
    Verdict::of(
        subscription
            .profiles
            .iter()
            .any(|profile| !profile.filter_criteria.is_empty()),
    )
}

const PREFERENCE_WORDS: [&[u8]; 24] = [
    b"\r\nAccept-Contact: *;",
    b"\r\nReject-Contact: *;",
    b"\r\nRequest-Disposition: ",
    b"\r\nContact: <sip:x@h.test>;",
    b"require",
    b"explicit",
    b";",
    b"=",
    b",",
    b"\"",
    b"audio",
    b"video=\"FALSE\"",
    b"+g.3gpp.smsip",
    b"q=0.5",
    b"+sip.instance=\"<urn:x:1>\"",
    b"reg-id=1",
    b"\"#>=5\"",
    b"\"#1:-2.5\"",
    b"\"!en,de\"",
    b"no-fork",
    b"parallel",
    b"sequential",
    b"methods=\"INVITE\"",
    b";sos",
];

fn generate_preferences(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    changed(dice, seeds, &PREFERENCE_WORDS)
}

fn check_preferences(bytes: &[u8]) -> Verdict {
    let Some(request) = request("INVITE sip:bob@h.test", bytes) else {
        return Verdict::Refused;
    };
    let contacts: Vec<NameAddr<'_>> = request
        .values(HeaderName::Contact)
        .filter_map(|value| NameAddr::parse(value).ok())
        .collect();
    let groups = probe::contacts(now(), &request, &contacts);
    let mut chosen: Vec<u64> = groups.iter().flatten().copied().collect();
    assert!(groups.iter().all(|group| !group.is_empty()));
    let all = chosen.len();
    chosen.sort_unstable();
    chosen.dedup();
    assert_eq!(chosen.len(), all, "nobody is called twice");
    let is_target = |contact: &NameAddr<'_>| contact.uri.param("sos").is_none();
    assert!(all <= contacts.iter().filter(|contact| is_target(contact)).count());
    let has = |token| request.has_token(HeaderName::RequestDisposition, token);
    let (parallel, sequential) = (has("parallel"), has("sequential"));
    assert!(!has("no-fork") || all <= 1);
    match (parallel, sequential) {
        (true, false) => assert!(groups.len() <= 1),
        (false, true) => assert!(groups.iter().all(|group| group.len() == 1)),
        (true, true) | (false, false) => {}
    }
    let says = |name| request.header(name).is_some();
    if !says(HeaderName::AcceptContact) && !says(HeaderName::RejectContact) {
        // Who wants nothing gets somebody.
        assert_eq!(all == 0, !contacts.iter().any(is_target));
    }
    Verdict::of(all > 0)
}

const NUMBER_WORDS: [&[u8]; 24] = [
    b"tel:",
    b"sip:",
    b"+",
    b"00",
    b"0",
    b"1",
    b"-",
    b"(",
    b".",
    b"*",
    b"#",
    b";phone-context=",
    b"h.test",
    b"+1",
    b"+49",
    b"@h.test",
    b";user=phone",
    b";npdi",
    b";rn=+1-2",
    b";rn-context=+1",
    b"%2B",
    b";isub=1",
    b"5551234567",
    b"a",
];

fn generate_number(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    changed(dice, seeds, &NUMBER_WORDS)
}

fn check_number(bytes: &[u8]) -> Verdict {
    let Ok(uri) = Uri::parse(bytes) else {
        return Verdict::Refused;
    };
    let open = NumbersConfig {
        country_code: Some("49".to_owned()),
        ..NumbersConfig::default()
    };
    let closed = NumbersConfig {
        country_code: Some("1".to_owned()),
        national_prefix: "1".to_owned(),
        national_digits: Some(10),
        area_code: Some("202".to_owned()),
        ..NumbersConfig::default()
    };
    let mut is_number = false;
    for plan in [open, closed, NumbersConfig::default()] {
        let Some(found) = probe::number(&plan, "h.test", &uri) else {
            continue;
        };
        is_number = true;
        if found.starts_with("tel:") {
            let again = Uri::parse(found.as_bytes()).expect("a tel URI");
            let digits = again.tel_number().expect("a number");
            assert!((2..=16).contains(&digits.len()) && digits[1..].bytes().all(|b| b.is_ascii_digit()));
            assert_eq!(probe::number(&plan, "h.test", &again), Some(found));
        }
    }
    Verdict::of(is_number)
}

const NAPTR_WORDS: [&[u8]; 22] = [
    b"!", b"/", b"^", b"$", b".*", b"(.*)", b"(", b")", b"\\1", b"\\9", b"\\!", b"\\\\", b"\\+", b"[0-9]",
    b"{1,3}", b"sip:", b"tel:", b"@h.test", b"i", b"|", b"*", b"?",
];

/// Mostly a whole substitution of pieces that go together: what is damaged is refused at once.
fn generate_naptr(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    if dice.one_in(3) {
        return changed(dice, seeds, &NAPTR_WORDS);
    }
    let expression = pick(
        dice,
        &[
            "^.*$",
            "^(.*)$",
            r"^\+(1)(.*)$",
            "([0-9]{3})",
            "^\\+1",
            "(1|2|[^a-f])+",
        ],
    );
    let mut replacement = pick(dice, &["sip:", "tel:", "sip:a"]).to_owned();
    for _ in 0..few(dice) {
        replacement.push_str(pick(dice, &[r"\1", r"\2", "5", "-", "a", r"\\", "+1", ";npdi"]));
    }
    if !replacement.starts_with("tel:") {
        replacement.push_str("@h.test");
    }
    format!("!{expression}!{replacement}!{}", pick(dice, &["", "i"])).into_bytes()
}

fn check_naptr(bytes: &[u8]) -> Verdict {
    let Ok(regexp) = std::str::from_utf8(bytes) else {
        return Verdict::Refused;
    };
    let number = Uri::parse(b"tel:+12025550101").expect("a URI");
    let Some(found) = probe::substituted(&number, regexp) else {
        return Verdict::Refused;
    };
    let uri: UriBuf = found.parse().expect("a URI");
    assert!(found.len() <= 512 && !uri.as_uri().has_headers());
    Verdict::Accepted
}

#[test]
fn large_values_cost_what_their_size_says() {
    let xml = |ere: &str| {
        format!(
            "<IMSSubscription><PrivateID>a@h.test</PrivateID><ServiceProfile><PublicIdentity><Identity>sip:a@h.test\
             </Identity></PublicIdentity><InitialFilterCriteria><Priority>1</Priority><TriggerPoint><ConditionTypeCNF>1\
             </ConditionTypeCNF><SPT><Group>0</Group><SIPHeader><Header>Subject</Header><Content>{ere}</Content>\
             </SIPHeader></SPT></TriggerPoint><ApplicationServer><ServerName>sip:as.h.test</ServerName>\
             </ApplicationServer></InitialFilterCriteria></ServiceProfile></IMSSubscription>"
        )
    };
    for ere in ["(a*)*b", "(a|aa)+$", "(.*,){8}x", "a{1,50}b"] {
        let profile = user_data::parse(xml(ere).as_bytes())
            .expect("a profile")
            .profiles
            .remove(0);
        let make = |size: usize| format!("Subject: {}", "a,a ".repeat(size / 4)).into_bytes();
        let limits = SipLimits {
            message_bytes_max: 1 << 20,
            header_bytes_max: 1 << 20,
            ..SipLimits::default()
        };
        assert_linear(ere, make, |bytes| {
            let mut text = b"INVITE sip:b@h.test SIP/2.0\r\n".to_vec();
            text.extend_from_slice(bytes);
            text.extend_from_slice(b"\r\n\r\n");
            let message = Message::parse(Bytes::from(text), &limits).expect("a request");
            if let SipMessage::Request(request) = message.into_parts() {
                _ = probe::criteria(&profile, &[(&request, SessionCase::OriginatingRegistered)]);
            }
        });
    }
}
