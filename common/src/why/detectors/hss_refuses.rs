//! Engine: the HSS refuses what it was asked about a subscriber.

use crate::why::case::Case;
use crate::why::detector::{Detector, Finding};
use crate::why::entry::Entry;
use crate::why::facts::Fact;

use super::diameter_peer_down::name_of;

pub(super) const DETECTOR: Detector = Detector {
    name: "hss-refuses",
    title: "The HSS refuses",
    signal: "an answer of the HSS (UAA, MAA, SAA, LIA) that is no success",
    example: "The HSS does not know IMPI 001010000000099@ims.mnc001.mcc001.3gppnetwork.org or IMPU \
              sip:001010000000099@ims.mnc001.mcc001.3gppnetwork.org (5001 to the UAR of the I-CSCF); provision the subscriber, or \
              correct the spelling of its identities there.",
    weight: 75,
    detect,
};

/// What was asked for, in words.
struct Asked {
    impi: String,
    impu: String,
    network: String,
}

fn detect(case: &Case) -> Vec<Finding> {
    let commands = [("UAA", "UAR"), ("MAA", "MAR"), ("SAA", "SAR"), ("LIA", "LIR")];
    let found = commands
        .iter()
        .filter_map(|(answer, request)| refusal(case, answer, request));
    found.collect()
}

/// The newest answer to this command, when it is a refusal that stood.
fn refusal(case: &Case, answer: &str, request: &str) -> Option<Finding> {
    let answer = case
        .newest(|entry| entry.is_heard() && entry.is_diameter(answer))
        .next()?;
    let result = answer.diameter()?.result?;
    let is_of_3gpp = answer.facts.has(Fact::ResultOf3gpp);
    let is_told_elsewhere = match (request, result, is_of_3gpp) {
        // The callee, and the scheme.
        ("LIR", 5_001 | 5_003, true) | ("MAR", 5_006, true) => true,
        _ => result / 1_000 == 2,
    };
    if is_told_elsewhere || (request != "LIR" && case.is_granted_after(answer.at)) {
        return None;
    }
    let asked = case
        .story(answer)
        .filter(|entry| entry.at <= answer.at && entry.node == answer.node && entry.is_diameter(request))
        .last();
    Some(finding(answer, asked, request, result))
}

fn finding(answer: &Entry, request: Option<&Entry>, command: &str, result: u32) -> Finding {
    let value = |fact| request.and_then(|it| it.get(fact));
    let named = |what: &str, fact| match value(fact) {
        Some(value) => format!("{what} {value}"),
        None => format!("the {what}"),
    };
    let asked = Asked {
        impi: named("IMPI", Fact::Impi),
        impu: named("IMPU", Fact::Impu),
        network: value(Fact::VisitedNetwork)
            .unwrap_or("the visited network")
            .to_owned(),
    };
    let (cause, remedy) = match answer.facts.has(Fact::ResultOf3gpp) {
        true => of_3gpp(result, &asked),
        false => of_the_base(result, &asked, value(Fact::Realm)),
    };
    let says = answer.get(Fact::ErrorMessage);
    let says = says.map(|it| format!(", it says \"{it}\"")).unwrap_or_default();
    let cause = format!(
        "{cause} ({result} to the {command} of the {}{says})",
        name_of(&answer.node)
    );
    let finding = Finding::new(answer, cause, remedy);
    match request {
        Some(request) => finding.and(request),
        None => finding,
    }
}

/// Experimental-Result-Codes (TS 29.229 6.2).
fn of_3gpp(result: u32, asked: &Asked) -> (String, &'static str) {
    let Asked { impi, impu, network } = asked;
    match result {
        5_001 => (
            match impi.contains('@') {
                true => format!("The HSS does not know {impi} or {impu}"),
                false => format!("The HSS does not know {impu}"),
            },
            "provision the subscriber, or correct the spelling of its identities there",
        ),
        5_002 => (
            format!("To the HSS {impu} is not one of the identities of {impi}"),
            "add the public identity to this subscription, or correct it in the handset (ISIM)",
        ),
        5_003 => (
            format!("To the HSS {impu} is not registered, so it cannot be deregistered or served"),
            "nothing to do: the handset registers anew; if it lasts, the HSS has lost what the S-CSCF stored",
        ),
        5_004 => (
            format!("The HSS does not let {impi} roam in {network}"),
            "allow the visited network for this subscriber, or correct visited_network of the P-CSCF",
        ),
        5_005 => (
            format!("To the HSS {impu} is registered with another subscription or at another S-CSCF"),
            "look for two subscribers with this public identity, and clear the S-CSCF name that the HSS has stored",
        ),
        5_006 => (
            format!("The HSS does not have what {impi} is to be authenticated with"),
            "give the subscriber AKA keys",
        ),
        5_007 => (
            format!("To the HSS what is asked about {impu} does not fit what it is"),
            "the HSS and the S-CSCF disagree on whether it is registered: deregister it on both sides",
        ),
        5_008 => (
            format!("The HSS has more data of {impu} than fit into an answer"),
            "shorten the profile: fewer initial filter criteria or identities",
        ),
        5_011 | 5_012 => (
            "The HSS does not have a feature that it was asked for".to_owned(),
            "look for the Supported-Features of this HSS; an update may have them",
        ),
        4_181 => (
            format!("The HSS could not make a challenge for {impi}"),
            "look at the HSS and its authentication centre: the keys of this subscriber, and the log",
        ),
        _ => (
            format!("The HSS refuses {impu}"),
            "look the code up in TS 29.229 6.2, and the HSS's log at this time",
        ),
    }
}

/// Result-Codes (RFC 6733 7.1).
fn of_the_base(result: u32, asked: &Asked, realm: Option<&str>) -> (String, &'static str) {
    let Asked { impi, impu, .. } = asked;
    let realm = realm.unwrap_or("that was named");
    match result {
        3_001 | 3_007 => (
            "What answers for the HSS does not speak Cx".to_owned(),
            "connect to the HSS's Cx interface, or let the Diameter agent route application 16777216",
        ),
        3_002 => (
            format!("The Diameter agent cannot reach an HSS for realm {realm}"),
            "look at the agent's connection to the HSS, and its routes for this realm",
        ),
        3_003 => (
            format!("The HSS does not serve realm {realm}"),
            "correct home_realm here or the realm of the HSS",
        ),
        3_004 => ("The HSS is too busy".to_owned(), "look at the load of the HSS"),
        3_005 => (
            "The request went round in a circle of Diameter agents".to_owned(),
            "correct the routes of the agents",
        ),
        3_006 => (
            "A Diameter agent redirects to an HSS, which this core does not follow".to_owned(),
            "name the HSS itself in hss.peers",
        ),
        5_003 => (
            format!("The HSS does not allow {impu} to register: it is barred, or has no IMS subscription"),
            "unbar one of its public identities in the HSS",
        ),
        5_001 | 5_004..=5_009 | 5_014 => (
            format!("The HSS finds fault with an AVP of the request about {impu}"),
            "look at its log: which AVP (Failed-AVP); most HSSs have a setting for what they ask for",
        ),
        5_012 => (
            format!("The HSS could not answer about {impi} ({impu}): unable to comply"),
            "look at the HSS's log at this time; often its database, or a subscriber without a complete IMS profile",
        ),
        _ => (
            format!("The HSS refuses {impu}"),
            "look the code up in RFC 6733 7.1, and the HSS's log at this time",
        ),
    }
}
