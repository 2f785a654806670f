//! Testkit: trials of filter criteria: what the operator reads.

use std::time::{Duration, Instant};

use ims_common::identity::Impi;
use ims_common::ifc_test::{ConditionTrial, RegistrationKind, ServedCase};

use super::*;
use crate::ifc::{SharedIfcSets, shared_sets};
use crate::registrar::{Profile, RegistrarLimits};
use crate::sessions::HeldProfile;

const ALICE: &str = "sip:alice@home.example";

fn criterion(priority: u32, trigger: &str, more: &str) -> String {
    format!(
        "<InitialFilterCriteria><Priority>{priority}</Priority>{trigger}<ApplicationServer>\
         <ServerName>sip:as{priority}.home.example</ServerName><DefaultHandling>{}</DefaultHandling>\
         </ApplicationServer>{more}</InitialFilterCriteria>",
        priority % 2
    )
}

fn trigger(cnf: u8, spts: &[(u32, &str)]) -> String {
    let spts = spts
        .iter()
        .map(|(group, spt)| format!("<SPT><Group>{group}</Group>{spt}</SPT>"));
    let spts: String = spts.collect();
    format!("<TriggerPoint><ConditionTypeCNF>{cnf}</ConditionTypeCNF>{spts}</TriggerPoint>")
}

fn profile(criteria: &str) -> String {
    format!(
        "<IMSSubscription><PrivateID>alice@home.example</PrivateID><ServiceProfile><PublicIdentity>\
         <BarringIndication>1</BarringIndication><Identity>sip:imsi@home.example</Identity></PublicIdentity>\
         <PublicIdentity><Identity>{ALICE}</Identity></PublicIdentity>{criteria}<Extension>\
         <SharedIFCSetID>7</SharedIFCSetID><SharedIFCSetID>9</SharedIFCSetID></Extension></ServiceProfile>\
         </IMSSubscription>"
    )
}

#[allow(clippy::disallowed_methods, reason = "the origin of virtual time")]
fn now() -> Instant {
    Instant::now()
}

/// An operator with the shared set 7.
fn registrar() -> Registrar {
    let mut sets = SharedIfcSets::default();
    sets.insert(7, shared_sets::parse(&criterion(15, "", "")).unwrap());
    let limits = RegistrarLimits {
        bindings_per_impu: 4,
        registrations: 4,
    };
    Registrar::new(limits).with_shared_ifc_sets(sets)
}

fn held() -> HeldProfiles {
    HeldProfiles::new(Duration::from_secs(60), 4)
}

fn invite(criteria: &str) -> IfcTest {
    IfcTest {
        profile: Some(profile(criteria)),
        uri: Some("tel:+1-555-0002".into()),
        ..IfcTest::default()
    }
}

fn try_it(test: &IfcTest) -> IfcTestAnswer {
    answer(test, &registrar(), &held()).unwrap()
}

/// As an operator reads it.
fn told(answer: &IfcTestAnswer) -> Vec<String> {
    let mut lines: Vec<String> = answer
        .servers
        .iter()
        .map(|server| format!("asks {} else {}", server.server, server.default_handling))
        .collect();
    for criterion in &answer.criteria {
        let set = criterion
            .shared_set
            .map_or(String::new(), |id| format!(" set {id}"));
        lines.push(format!("{}{set}: {}", criterion.priority, criterion.is_met));
        let Some(trigger) = &criterion.trigger else {
            continue;
        };
        for group in &trigger.groups {
            lines.push(format!(
                "  {} group {}: {}",
                trigger.form, group.group, group.is_met
            ));
        }
        lines.extend(trigger.conditions.iter().map(condition_told));
    }
    lines
}

fn condition_told(condition: &ConditionTrial) -> String {
    let problem = condition.problem.as_deref().unwrap_or_default();
    let (is_met, looked_at) = (condition.is_met, &condition.looked_at);
    format!("  {}: {is_met} {looked_at:?}{problem}", condition.condition)
}

#[test]
fn each_condition_says_what_it_looked_at_and_what_came_of_it() {
    let spts = [
        (0, "<Method>INVITE</Method>"),
        (0, "<Method>MESSAGE</Method>"),
        (
            1,
            "<ConditionNegated>1</ConditionNegated><SIPHeader><Header>P-Asserted-Identity</Header><Content>tel:</Content></SIPHeader>",
        ),
        (
            2,
            "<SessionDescription><Line>m</Line><Content>^video</Content></SessionDescription>",
        ),
        (2, "<RequestURI>5550002</RequestURI>"),
        (3, "<SessionCase>0</SessionCase>"),
    ];
    let mut test = invite(&criterion(1, &trigger(1, &spts), ""));
    test.body = Some("v=0\r\nm=audio 4000 RTP/AVP 96\r\n".into());
    let answer = try_it(&test);
    assert_eq!((answer.user.as_str(), answer.source.as_str()), (ALICE, "given"));
    assert_eq!(
        told(&answer),
        [
            "asks sip:as1.home.example else terminate",
            "asks sip:as15.home.example else terminate",
            "1: true",
            "  CNF group 0: true",
            "  CNF group 1: true",
            "  CNF group 2: true",
            "  CNF group 3: true",
            "  Method = INVITE: true [\"INVITE\"]",
            "  Method = MESSAGE: false [\"INVITE\"]",
            "  not SIPHeader P-Asserted-Identity ~ tel:: true [\"<sip:alice@home.example>\"]",
            "  SessionDescription m= ~ ^video: false [\"audio 4000 RTP/AVP 96\"]",
            "  RequestURI ~ 5550002: true [\"tel:+15550002\"]",
            "  SessionCase = originating: true [\"originating\"]",
            "15 set 7: true",
        ]
    );
    assert_eq!(answer.unknown_shared_sets, [9]);
}

#[test]
fn a_dnf_needs_one_group_and_a_bad_expression_says_why() {
    let spts = [
        (0, "<Method>INVITE</Method>"),
        (0, "<RequestURI>(</RequestURI>"),
        (1, "<SIPHeader><Header>Accept-Contact</Header></SIPHeader>"),
    ];
    let answer = try_it(&invite(&criterion(2, &trigger(0, &spts), "")));
    assert_eq!(
        told(&answer),
        [
            "asks sip:as15.home.example else terminate",
            "2: false",
            "  DNF group 0: false",
            "  DNF group 1: false",
            "  Method = INVITE: true [\"INVITE\"]",
            "  RequestURI ~ (: false []a parenthesis is not closed",
            "  SIPHeader Accept-Contact is there: false []",
            "15 set 7: true",
        ]
    );
}

#[test]
fn the_part_of_the_profile_and_the_registration_type_are_told() {
    let part = "<ProfilePartIndicator>1</ProfilePartIndicator>";
    let answer = try_it(&invite(&criterion(3, "", part)));
    let first = answer.criteria.first().unwrap();
    assert_eq!(first.profile_part.as_deref(), Some("unregistered"));
    assert!(!first.part_fits && !first.is_met && first.trigger.is_none());

    let register = [(
        0,
        "<Method>REGISTER</Method><Extension><RegistrationType>1</RegistrationType></Extension>",
    )];
    let mut test = invite(&criterion(3, &trigger(1, &register), ""));
    (test.uri, test.method) = (None, Some("REGISTER".into()));
    for (kind, is_met) in [
        (RegistrationKind::Initial, false),
        (RegistrationKind::Reregistration, true),
    ] {
        test.registration = kind;
        let answer = try_it(&test);
        assert_eq!(answer.registration, Some(kind));
        let first = answer.criteria.first().and_then(|c| c.trigger.clone()).unwrap();
        assert_eq!(first.fires, is_met);
        let line = format!(
            "  Method = REGISTER (reregistration): {is_met} [\"REGISTER\", \"{}\"]",
            kind.as_str()
        );
        assert_eq!(
            first.conditions.iter().map(condition_told).collect::<Vec<_>>(),
            [line]
        );
    }
}

#[test]
fn a_server_that_cannot_be_asked_says_so() {
    let http = criterion(4, "", "").replace("sip:as4", "http://as4");
    let twice = criterion(16, "", "").replace("as16", "as15");
    let mut test = invite(&format!("{http}{twice}"));
    (test.uri, test.method) = (None, Some("REGISTER".into()));
    let problems: Vec<_> = try_it(&test).servers.into_iter().map(|s| s.problem).collect();
    assert!(
        problems[0].as_ref().unwrap().contains("no SIP URI"),
        "{problems:?}"
    );
    assert_eq!(problems[1], None);
    assert!(
        problems[2].as_ref().unwrap().contains("told already"),
        "{problems:?}"
    );
}

#[test]
fn a_registered_user_and_one_whose_profile_is_held_need_no_document() {
    let (impi, alice) = (
        Impi::parse("alice@home.example").unwrap(),
        Impu::parse(ALICE).unwrap(),
    );
    let mut registrar = registrar();
    let subscription = user_data::parse(profile(&criterion(1, "", "")).as_bytes()).unwrap();
    let stored = Profile {
        subscription: Some(subscription.clone()),
        charging: None,
        hss_host: None,
    };
    registrar.store_profile(&alice, stored);
    let services = registrar.services(subscription.profiles[0].clone());
    let mut held = held();
    let bob = HeldProfile {
        impi,
        impu: Impu::parse("tel:+15550003").unwrap(),
        hss_host: None,
        is_barred: false,
        services: Some(services),
    };
    held.hold(now(), bob);
    let ask = |user: &str| {
        let test = IfcTest {
            user: Some(user.into()),
            case: ServedCase::Terminating,
            ..IfcTest::default()
        };
        answer(&test, &registrar, &held)
    };
    let registered = ask(ALICE).unwrap();
    assert_eq!(
        (registered.source.as_str(), registered.servers.len()),
        ("registered", 2)
    );
    assert_eq!(registered.uri, ALICE);
    let number = ask("tel:15550003").unwrap();
    assert_eq!(
        (number.source.as_str(), number.user.as_str()),
        ("unregistered", "tel:+15550003")
    );
    assert_eq!(
        ask("sip:carol@home.example").unwrap_err().error,
        "that user is not registered here"
    );
}

#[test]
fn what_is_not_usable_is_refused_with_a_remedy() {
    let of = |change: &dyn Fn(&mut IfcTest)| {
        let mut test = invite("");
        change(&mut test);
        let error = answer(&test, &registrar(), &held()).unwrap_err();
        assert!(!error.hint.is_empty());
        error.error
    };
    assert_eq!(
        of(&|test| test.profile = None),
        "neither a user nor a profile was given"
    );
    let xml = of(&|test| test.profile = Some("<IMSSubscription>".into()));
    assert!(xml.starts_with("the profile is not usable: "), "{xml}");
    let large = of(&|test| test.profile = Some(" ".repeat(PROFILE_BYTES_MAX + 1)));
    assert_eq!(large, "the profile is not usable: user data is too large");
    let stranger = of(&|test| test.user = Some("sip:bob@home.example".into()));
    assert_eq!(stranger, "the profile does not have that user");
    assert_eq!(
        of(&|test| test.user = Some("alice".into())),
        "the user is no public identity"
    );
    let request = of(&|test| test.method = Some("A B C".into()));
    assert!(request.starts_with("this is no SIP request"), "{request}");
}
