//! Codec: documents as HSSs write them, by schema, and documents that are none.

use ims_common::identity::Impu;

use super::*;
use crate::user_data::profile::*;

/// As a PyHSS template renders: comments, indentation, empty extensions, numbers without `+`, the IMSI
/// identity last, groups of their own.
const TEMPLATE_SHAPED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- rendered from a template -->
<IMSSubscription>
    <PrivateID>001010000000001@ims.mnc001.mcc001.3gppnetwork.org</PrivateID>
    <ServiceProfile>
        <!-- identities -->
        <PublicIdentity>
            <Identity>sip:12025550101@ims.mnc001.mcc001.3gppnetwork.org</Identity>
            <Extension>
                <IdentityType>0</IdentityType>
                <Extension>
                    <AliasIdentityGroupID>1</AliasIdentityGroupID>
                </Extension>
            </Extension>
        </PublicIdentity>
        <PublicIdentity>
            <Identity>tel:12025550101</Identity>
            <Extension>
                <IdentityType>0</IdentityType>
                <Extension>
                    <AliasIdentityGroupID>1</AliasIdentityGroupID>
                </Extension>
            </Extension>
        </PublicIdentity>
        <PublicIdentity>
            <Identity>sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org</Identity>
            <Extension>
                <IdentityType>0</IdentityType>
                <Extension></Extension>
            </Extension>
        </PublicIdentity>
        <InitialFilterCriteria>
            <Priority>20</Priority>
            <TriggerPoint>
                <ConditionTypeCNF>1</ConditionTypeCNF>
                <SPT>
                    <ConditionNegated>0</ConditionNegated>
                    <Group>0</Group>
                    <Method>MESSAGE</Method>
                    <Extension></Extension>
                </SPT>
                <SPT>
                    <ConditionNegated>1</ConditionNegated>
                    <Group>1</Group>
                    <SIPHeader>
                        <Header>Server</Header>
                    </SIPHeader>
                </SPT>
                <SPT>
                    <Group>2</Group>
                    <SessionCase>0</SessionCase>
                </SPT>
            </TriggerPoint>
            <ApplicationServer>
                <ServerName>sip:smsc.ims.example:5060</ServerName>
                <DefaultHandling>0</DefaultHandling>
            </ApplicationServer>
        </InitialFilterCriteria>
        <InitialFilterCriteria>
            <Priority>10</Priority>
            <TriggerPoint>
                <ConditionTypeCNF>0</ConditionTypeCNF>
                <SPT>
                    <ConditionNegated>0</ConditionNegated>
                    <Group>0</Group>
                    <Method>REGISTER</Method>
                    <Extension><RegistrationType>0</RegistrationType><RegistrationType>2</RegistrationType></Extension>
                </SPT>
            </TriggerPoint>
            <ApplicationServer>
                <ServerName>sip:as.ims.example:5060</ServerName>
                <DefaultHandling>1</DefaultHandling>
                <ServiceInfo>a &amp; b</ServiceInfo>
                <Extension><IncludeRegisterRequest/><IncludeRegisterResponse/></Extension>
            </ApplicationServer>
            <ProfilePartIndicator>0</ProfilePartIndicator>
        </InitialFilterCriteria>
        <!--
        <InitialFilterCriteria><Priority>40</Priority></InitialFilterCriteria>
        -->
    </ServiceProfile>
</IMSSubscription>
"#;

/// As Open5GS writes: one line, the first identity barred.
const ONE_LINE: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><IMSSubscription>",
    "<PrivateID>001010000000001@ims.mnc001.mcc001.3gppnetwork.org</PrivateID><ServiceProfile>",
    "<PublicIdentity><BarringIndication>1</BarringIndication>",
    "<Identity>sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org</Identity>",
    "<Extension><IdentityType>0</IdentityType></Extension></PublicIdentity>",
    "<PublicIdentity><Identity>tel:+12025550101</Identity>",
    "<Extension><IdentityType>0</IdentityType></Extension></PublicIdentity>",
    "</ServiceProfile></IMSSubscription>"
);

/// One subscription with the given content of its only profile.
fn with_profile(profile: &str) -> String {
    format!(
        "<IMSSubscription><PrivateID>a@h.example</PrivateID><ServiceProfile>{profile}</ServiceProfile></IMSSubscription>"
    )
}

const ALICE: &str = "<PublicIdentity><Identity>sip:alice@h.example</Identity></PublicIdentity>";

fn profile_of(profile: &str) -> ServiceProfile {
    let text = with_profile(&format!("{ALICE}{profile}"));
    parse(text.as_bytes()).unwrap().profiles.remove(0)
}

fn error_of(profile: &str) -> UserDataError {
    parse(with_profile(&format!("{ALICE}{profile}")).as_bytes()).unwrap_err()
}

fn criterion(trigger_point: &str) -> String {
    format!(
        "<InitialFilterCriteria><Priority>1</Priority><TriggerPoint>{trigger_point}</TriggerPoint>\
         <ApplicationServer><ServerName>sip:as.example</ServerName></ApplicationServer></InitialFilterCriteria>"
    )
}

fn spt_of(spt: &str) -> Spt {
    let text = criterion(&format!("<ConditionTypeCNF>1</ConditionTypeCNF><SPT>{spt}</SPT>"));
    profile_of(&text)
        .filter_criteria
        .remove(0)
        .trigger_point
        .unwrap()
        .spts
        .remove(0)
}

fn identity_of(fields: &str) -> PublicIdentity {
    let text = with_profile(&format!(
        "<PublicIdentity><Identity>tel:+1</Identity>{fields}</PublicIdentity>"
    ));
    parse(text.as_bytes())
        .unwrap()
        .profiles
        .remove(0)
        .public_identities
        .remove(0)
}

#[test]
fn a_template_shaped_document_is_read_by_schema() {
    let s = parse(TEMPLATE_SHAPED.as_bytes()).unwrap();
    assert_eq!(
        s.private_identity.as_str(),
        "001010000000001@ims.mnc001.mcc001.3gppnetwork.org"
    );
    let [profile] = &*s.profiles else {
        panic!("one profile")
    };
    let identities: Vec<_> = profile
        .public_identities
        .iter()
        .map(|i| i.impu.as_str())
        .collect();
    assert_eq!(
        identities,
        [
            "sip:12025550101@ims.mnc001.mcc001.3gppnetwork.org",
            "tel:12025550101",
            "sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org"
        ]
    );
    assert!(
        profile
            .public_identities
            .iter()
            .all(|i| !i.barred && i.is_distinct())
    );
    assert_eq!(profile.public_identities[1].alias_group.as_deref(), Some("1"));
    assert_eq!(profile.public_identities[2].alias_group, None);
    assert_eq!(s.default_public_identity().unwrap().user(), Some("12025550101"));
}

#[test]
fn filter_criteria_come_by_priority_and_not_by_place() {
    let s = parse(TEMPLATE_SHAPED.as_bytes()).unwrap();
    let [register, message] = &*s.profiles[0].filter_criteria else {
        panic!("two criteria")
    };
    assert_eq!((register.priority, message.priority), (10, 20));
    assert_eq!(register.profile_part, Some(ProfilePart::Registered));
    let server = &register.application_server;
    assert_eq!(server.server_name, "sip:as.ims.example:5060");
    assert_eq!(server.default_handling, DefaultHandling::SessionTerminated);
    assert_eq!(server.service_info.as_deref(), Some("a & b"));
    assert!(server.include_register_request && server.include_register_response);
    let trigger = register.trigger_point.as_ref().unwrap();
    assert_eq!(trigger.condition_type, ConditionType::Dnf);
    assert_eq!(
        trigger.spts[0].registration_types,
        [RegistrationType::Initial, RegistrationType::Deregistration]
    );
    let trigger = message.trigger_point.as_ref().unwrap();
    assert_eq!(trigger.condition_type, ConditionType::Cnf);
    let spts: Vec<_> = trigger
        .spts
        .iter()
        .map(|s| (s.negated, s.groups[0], s.condition.clone()))
        .collect();
    assert_eq!(
        spts,
        [
            (false, 0, SptCondition::Method("MESSAGE".into())),
            (
                true,
                1,
                SptCondition::SipHeader {
                    header: "Server".into(),
                    content: None
                }
            ),
            (
                false,
                2,
                SptCondition::SessionCase(SessionCase::OriginatingRegistered)
            ),
        ]
    );
    assert!(!message.application_server.include_register_request);
    assert_eq!(message.profile_part, None);
}

#[test]
fn a_one_line_document_with_a_barred_first_identity_is_read() {
    let s = parse(ONE_LINE.as_bytes()).unwrap();
    assert!(s.profiles[0].public_identities[0].barred);
    assert_eq!(s.default_public_identity().unwrap().as_str(), "tel:+12025550101");
    let registered = Impu::parse("sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org").unwrap();
    assert!(s.find(&registered).unwrap().1.barred);
}

#[test]
fn booleans_are_digits_or_words_with_white_space_around() {
    for (text, barred) in [
        ("0", false),
        ("1", true),
        ("false", false),
        ("true", true),
        (" true\n", true),
        ("True", true),
        ("", false),
        ("<![CDATA[1]]>", true),
        ("&#49;", true),
    ] {
        let identity = identity_of(&format!("<BarringIndication>{text}</BarringIndication>"));
        assert_eq!(identity.barred, barred, "{text:?}");
    }
    assert!(!identity_of("<BarringIndication/>").barred);
    let text = with_profile(
        "<PublicIdentity><BarringIndication>yes</BarringIndication><Identity>tel:+1</Identity></PublicIdentity>",
    );
    assert_eq!(
        parse(text.as_bytes()),
        Err(UserDataError::BadValue("BarringIndication"))
    );
}

#[test]
fn every_extension_of_an_identity_is_found_at_its_depth() {
    let identity = identity_of(
        "<Extension><IdentityType>4</IdentityType><WildcardedPSI>sip:p!.*!@h.example</WildcardedPSI>\
         <Extension><DisplayName>Al &lt;b&gt;</DisplayName><AliasIdentityGroupID>g</AliasIdentityGroupID>\
         <Extension><WildcardedIMPU>sip:+1!.*!@h.example</WildcardedIMPU><ServiceLevelTraceInfo>t</ServiceLevelTraceInfo>\
         <ServicePriorityLevel>4</ServicePriorityLevel>\
         <Extension><ExtendedPriority><PriorityNamespace>wps</PriorityNamespace><PriorityLevel>0</PriorityLevel></ExtendedPriority>\
         <ExtendedPriority><PriorityNamespace>ets</PriorityNamespace><PriorityLevel>1</PriorityLevel></ExtendedPriority>\
         <Extension><MaxNumOfAllowedSimultRegistrations>3</MaxNumOfAllowedSimultRegistrations>\
         </Extension></Extension></Extension></Extension></Extension>",
    );
    assert_eq!(identity.identity_type, IdentityType::WildcardedImpu);
    assert_eq!(identity.wildcarded_psi.as_deref(), Some("sip:p!.*!@h.example"));
    assert_eq!(identity.display_name.map(|n| n.0).as_deref(), Some("Al <b>"));
    assert_eq!(identity.alias_group.as_deref(), Some("g"));
    assert_eq!(identity.wildcarded_impu.as_deref(), Some("sip:+1!.*!@h.example"));
    assert_eq!(identity.service_level_trace.as_deref(), Some("t"));
    assert_eq!(identity.service_priority, Some(4));
    assert_eq!(identity.extended_priorities.len(), 2);
    assert_eq!(identity.extended_priorities[1].namespace, "ets");
    assert_eq!(identity.simultaneous_registrations_max, Some(3));
}

#[test]
fn extensions_of_subscription_and_profile_are_read() {
    let text = format!(
        "<IMSSubscription><PrivateID>a@h.example</PrivateID><ServiceProfile>{ALICE}\
         <CoreNetworkServicesAuthorization><SubscribedMediaProfileId>7</SubscribedMediaProfileId>\
         <Extension><ListOfServiceIds><ServiceId>urn:a</ServiceId><ServiceId>urn:b</ServiceId></ListOfServiceIds></Extension>\
         </CoreNetworkServicesAuthorization>\
         <Extension><SharedIFCSetID>5</SharedIFCSetID><SharedIFCSetID>6</SharedIFCSetID></Extension>\
         </ServiceProfile><Extension><IMSI>001010000000001</IMSI><Extension><ReferenceLocationInformation>\
         <AccessType>x</AccessType></ReferenceLocationInformation></Extension></Extension></IMSSubscription>"
    );
    let s = parse(text.as_bytes()).unwrap();
    assert_eq!(s.imsi.map(|i| i.0).as_deref(), Some("001010000000001"));
    let profile = &s.profiles[0];
    assert_eq!(profile.shared_ifc_set_ids, [5, 6]);
    assert_eq!(profile.subscribed_media_profile, Some(7));
    assert_eq!(profile.service_ids, ["urn:a", "urn:b"]);
    let plain = profile_of("<CoreNetworkServicesAuthorization/><Extension/>");
    assert_eq!(
        (plain.subscribed_media_profile, plain.service_ids.len()),
        (None, 0)
    );
}

#[test]
fn every_kind_of_service_point_trigger_is_read() {
    let group = "<Group>0</Group>";
    for (text, condition) in [
        (
            "<RequestURI>sip:.*@h</RequestURI>",
            SptCondition::RequestUri("sip:.*@h".into()),
        ),
        ("<Method> INVITE </Method>", SptCondition::Method("INVITE".into())),
        (
            "<SIPHeader><Header>Recv-Info</Header><Content>\"g.3gpp.ussd\"</Content></SIPHeader>",
            SptCondition::SipHeader {
                header: "Recv-Info".into(),
                content: Some("\"g.3gpp.ussd\"".into()),
            },
        ),
        (
            "<SIPHeader><Header>Accept</Header><Content><![CDATA[a<b&c]]></Content></SIPHeader>",
            SptCondition::SipHeader {
                header: "Accept".into(),
                content: Some("a<b&c".into()),
            },
        ),
        (
            "<SIPHeader><Header>Accept</Header><Content/></SIPHeader>",
            SptCondition::SipHeader {
                header: "Accept".into(),
                content: None,
            },
        ),
        (
            "<SessionCase>0</SessionCase>",
            SptCondition::SessionCase(SessionCase::OriginatingRegistered),
        ),
        (
            "<SessionCase>1</SessionCase>",
            SptCondition::SessionCase(SessionCase::TerminatingRegistered),
        ),
        (
            "<SessionCase>2</SessionCase>",
            SptCondition::SessionCase(SessionCase::TerminatingUnregistered),
        ),
        (
            "<SessionCase>3</SessionCase>",
            SptCondition::SessionCase(SessionCase::OriginatingUnregistered),
        ),
        (
            "<SessionCase>4</SessionCase>",
            SptCondition::SessionCase(SessionCase::OriginatingCdiv),
        ),
        (
            "<SessionDescription><Line>m</Line><Content>audio.*</Content></SessionDescription>",
            SptCondition::SessionDescription {
                line: "m".into(),
                content: Some("audio.*".into()),
            },
        ),
        (
            "<SessionDescription><Line>m</Line></SessionDescription>",
            SptCondition::SessionDescription {
                line: "m".into(),
                content: None,
            },
        ),
    ] {
        let spt = spt_of(&format!("{group}{text}"));
        assert_eq!(spt.condition, condition);
        assert!(!spt.negated && spt.registration_types.is_empty());
    }
}

#[test]
fn a_service_point_trigger_may_belong_to_several_groups() {
    let spt = spt_of(
        "<Group>1</Group><Group>3</Group><Method>REGISTER</Method><ConditionNegated>true</ConditionNegated>\
         <Extension><Extension><RegistrationType>1</RegistrationType></Extension></Extension>",
    );
    assert_eq!(spt.groups, [1, 3]);
    assert!(spt.negated);
    assert_eq!(spt.registration_types, [RegistrationType::Reregistration]);
}

#[test]
fn unknown_elements_are_skipped_at_any_depth() {
    let noise = "<x:Vendor xmlns:x='urn:v' a='1'><Identity>sip:eve@h</Identity><Deep><Deep/>text</Deep></x:Vendor><?pi x?>";
    let noisy = TEMPLATE_SHAPED
        .replace("<PublicIdentity>", &format!("{noise}<PublicIdentity>{noise}"))
        .replace("<SPT>", &format!("{noise}<SPT>{noise}"))
        .replace("<ServerName>", &format!("{noise}<ServerName>"))
        .replace("</Extension>", &format!("{noise}</Extension>"))
        .replace("</IMSSubscription>", &format!("{noise}</IMSSubscription>"));
    assert_eq!(parse(noisy.as_bytes()), parse(TEMPLATE_SHAPED.as_bytes()));
}

#[test]
fn a_namespace_or_prefix_changes_nothing() {
    let prefixed = ONE_LINE
        .replace("</", "</ims:")
        .replace('<', "<ims:")
        .replace("<ims:/ims:", "</ims:")
        .replace("<ims:?", "<?")
        .replace(
            "<ims:IMSSubscription>",
            "<ims:IMSSubscription xmlns:ims=\"urn:x\">",
        );
    assert_eq!(parse(prefixed.as_bytes()), parse(ONE_LINE.as_bytes()));
}

#[test]
fn one_unusable_identity_does_not_shut_the_user_out() {
    let text = with_profile(&format!(
        "<PublicIdentity><Identity>tel:</Identity></PublicIdentity>{ALICE}\
         <PublicIdentity><Identity>bob@h.example</Identity></PublicIdentity>"
    ));
    let s = parse(text.as_bytes()).unwrap();
    assert_eq!(s.unusable_identities, 2);
    assert_eq!(
        s.default_public_identity().unwrap().as_str(),
        "sip:alice@h.example"
    );
    let text = with_profile("<PublicIdentity><Identity>tel:</Identity></PublicIdentity>");
    assert_eq!(
        parse(text.as_bytes()),
        Err(UserDataError::Missing {
            parent: "ServiceProfile",
            element: "PublicIdentity"
        })
    );
}

#[test]
fn a_missing_mandatory_element_is_named() {
    let missing = |parent, element| UserDataError::Missing { parent, element };
    let server = "<ApplicationServer><ServerName>sip:as.example</ServerName></ApplicationServer>".to_owned();
    for (profile, error) in [
        (
            "<PublicIdentity/>".to_owned(),
            missing("PublicIdentity", "Identity"),
        ),
        (
            format!("<InitialFilterCriteria>{server}</InitialFilterCriteria>"),
            missing("InitialFilterCriteria", "Priority"),
        ),
        (
            "<InitialFilterCriteria><Priority>1</Priority></InitialFilterCriteria>".to_owned(),
            missing("InitialFilterCriteria", "ApplicationServer"),
        ),
        (
            "<InitialFilterCriteria><Priority>1</Priority><ApplicationServer/></InitialFilterCriteria>"
                .to_owned(),
            missing("ApplicationServer", "ServerName"),
        ),
        (criterion(""), missing("TriggerPoint", "ConditionTypeCNF")),
        (
            criterion("<ConditionTypeCNF>1</ConditionTypeCNF>"),
            missing("TriggerPoint", "SPT"),
        ),
        (
            criterion("<ConditionTypeCNF>1</ConditionTypeCNF><SPT><Method>INVITE</Method></SPT>"),
            missing("SPT", "Group"),
        ),
        (
            criterion("<ConditionTypeCNF>1</ConditionTypeCNF><SPT><Group>0</Group></SPT>"),
            missing("SPT", "condition"),
        ),
    ] {
        assert_eq!(error_of(&profile), error);
    }
    assert_eq!(
        parse(b"<IMSSubscription/>"),
        Err(missing("IMSSubscription", "PrivateID"))
    );
    assert_eq!(
        parse(b"<IMSSubscription><PrivateID>a@b</PrivateID></IMSSubscription>"),
        Err(missing("IMSSubscription", "ServiceProfile"))
    );
    assert_eq!(
        error_of("<PublicIdentity/>").to_string(),
        "PublicIdentity has no usable Identity"
    );
}

#[test]
fn a_value_out_of_range_is_named() {
    let spt = |text: &str| {
        criterion(&format!(
            "<ConditionTypeCNF>1</ConditionTypeCNF><SPT><Group>0</Group>{text}</SPT>"
        ))
    };
    for (profile, element) in [
        (spt("<SessionCase>5</SessionCase>"), "SessionCase"),
        (spt("<SessionCase/>"), "SessionCase"),
        (
            spt("<Method>REGISTER</Method><Extension><RegistrationType>3</RegistrationType></Extension>"),
            "RegistrationType",
        ),
        (
            criterion("<ConditionTypeCNF>2</ConditionTypeCNF>"),
            "ConditionTypeCNF",
        ),
        (
            "<InitialFilterCriteria><Priority>-1</Priority></InitialFilterCriteria>".to_owned(),
            "Priority",
        ),
        (
            "<PublicIdentity><Extension><IdentityType>9</IdentityType></Extension></PublicIdentity>"
                .to_owned(),
            "IdentityType",
        ),
    ] {
        assert_eq!(error_of(&profile), UserDataError::BadValue(element));
    }
}

#[test]
fn what_is_no_user_data_is_refused() {
    for text in ["", "   ", "hello", "<!-- only -->", "<Other/>"] {
        assert_eq!(
            parse(text.as_bytes()),
            Err(UserDataError::NoSubscription),
            "{text:?}"
        );
    }
    assert_eq!(
        parse(b"<IMSSubscription>\xff</IMSSubscription>"),
        Err(UserDataError::NotUtf8)
    );
    for text in [
        "<IMSSubscription>",
        "<IMSSubscription><PrivateID>a@b</IMSSubscription>",
        "<IMSSubscription",
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, UserDataError::NotWellFormed(_)),
            "{text:?}: {error}"
        );
    }
    let twice = format!("{ONE_LINE}<IMSSubscription/>");
    assert!(matches!(
        parse(twice.as_bytes()),
        Err(UserDataError::NotWellFormed(_))
    ));
}

#[test]
fn a_byte_order_mark_and_padding_do_no_harm() {
    let text = format!("\u{FEFF}{ONE_LINE}\n\0\0");
    assert!(parse(text.as_bytes()).is_ok());
}

#[test]
fn entities_do_not_expand() {
    let bomb = format!(
        "<!DOCTYPE IMSSubscription [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>{}",
        with_profile("<PublicIdentity><Identity>&b;</Identity></PublicIdentity>")
    );
    assert_eq!(parse(bomb.as_bytes()), Err(UserDataError::DocType));
    let unknown = with_profile("<PublicIdentity><Identity>&b;</Identity></PublicIdentity>");
    assert!(matches!(
        parse(unknown.as_bytes()),
        Err(UserDataError::UnknownEntity(_))
    ));
}

#[test]
fn limits_hold() {
    let limits = UserDataLimits::default();
    let within = |text: &str| parse(text.as_bytes()).unwrap_err();
    assert_eq!(
        within(&" ".repeat(limits.octets_max + 1)),
        UserDataError::TooLarge
    );
    let deep = format!("{}{}", "<Extension>".repeat(40), "</Extension>".repeat(40));
    assert_eq!(error_of(&deep), UserDataError::TooDeep);
    let deep = format!("{}{}", "<Unknown>".repeat(40), "</Unknown>".repeat(40));
    assert_eq!(error_of(&deep), UserDataError::TooDeep);
    assert_eq!(
        error_of(&ALICE.repeat(limits.identities_max)),
        UserDataError::TooMany("PublicIdentity")
    );
    let criterion = "<InitialFilterCriteria><Priority>1</Priority><ApplicationServer>\
                     <ServerName>sip:as.example</ServerName></ApplicationServer></InitialFilterCriteria>";
    assert_eq!(
        profile_of(&criterion.repeat(limits.criteria_max))
            .filter_criteria
            .len(),
        64
    );
    assert_eq!(
        error_of(&criterion.repeat(limits.criteria_max + 1)),
        UserDataError::TooMany("InitialFilterCriteria")
    );
    let long = format!(
        "<PublicIdentity><Identity>{}</Identity></PublicIdentity>",
        "a".repeat(5000)
    );
    assert_eq!(error_of(&long), UserDataError::TextTooLong("Identity"));
}

#[test]
fn errors_do_not_quote_the_document() {
    let text = ONE_LINE.replace("</Identity>", "</Identify>");
    let error = parse(text.as_bytes()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("0101"), "{error:?}");
}

#[test]
fn no_cut_or_changed_document_makes_the_parser_panic() {
    let document = TEMPLATE_SHAPED.as_bytes();
    for end in 0..document.len() {
        let cut = &document[..end];
        assert!(
            parse(cut).is_err() || cut.ends_with(b"</IMSSubscription>"),
            "{end}"
        );
    }
    // A small linear congruential generator, so that the run is the same every time.
    let mut state = 0x2545_F491_u32;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as usize % bound
    };
    let tokens: [&[u8]; 12] = [
        b"<",
        b">",
        b"&",
        b"</",
        b"/>",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"-->",
        b"\0",
        b"\xff",
        b"<?",
    ];
    let mut accepted = 0_usize;
    for _ in 0..3000 {
        let mut mutated = document.to_vec();
        for _ in 0..=next(3) {
            let at = next(mutated.len());
            match next(3) {
                0 => mutated[at] = u8::try_from(next(256)).unwrap(),
                1 => drop(mutated.drain(at..(at + next(64)).min(document.len() / 2).max(at))),
                _ => drop(mutated.splice(at..at, tokens[next(tokens.len())].iter().copied())),
            }
        }
        accepted += usize::from(parse(&mutated).is_ok());
    }
    assert!((1..3000).contains(&accepted), "{accepted}");
}
