//! Testkit: User-Data as an HSS prints it (TS 29.228 Annex E).

use std::fmt::Write as _;

use hss_client::user_data::{
    ApplicationServer, ConditionType, DefaultHandling, IdentityType, InitialFilterCriterion, ProfilePart,
    PublicIdentity, RegistrationType, ServiceProfile, SessionCase, Spt, SptCondition, TriggerPoint,
};
use ims_common::identity::Impi;

/// Prints `IMSSubscription`, elements in the order of the schema.
#[must_use]
pub fn print(impi: &Impi, profiles: &[ServiceProfile]) -> String {
    let mut xml = Xml::default();
    xml.text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    xml.element("IMSSubscription", |xml| {
        xml.leaf("PrivateID", impi.as_str());
        for profile in profiles {
            xml.element("ServiceProfile", |xml| service_profile(xml, profile));
        }
    });
    xml.text
}

#[derive(Default)]
struct Xml {
    text: String,
}

impl Xml {
    fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        let _ = write!(self.text, "<{name}>");
        content(self);
        let _ = write!(self.text, "</{name}>");
    }

    fn leaf(&mut self, name: &str, value: impl std::fmt::Display) {
        let mut escaped = String::new();
        for c in value.to_string().chars() {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                // A bare one would be read as a line feed (XML 2.11).
                '\r' => escaped.push_str("&#13;"),
                c => escaped.push(c),
            }
        }
        self.element(name, |xml| xml.text.push_str(&escaped));
    }

    fn optional(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.leaf(name, value);
        }
    }

    fn boolean(&mut self, name: &str, value: bool) {
        self.leaf(name, u8::from(value));
    }

    fn empty(&mut self, name: &str) {
        let _ = write!(self.text, "<{name}/>");
    }
}

fn service_profile(xml: &mut Xml, profile: &ServiceProfile) {
    for identity in &profile.public_identities {
        xml.element("PublicIdentity", |xml| public_identity(xml, identity));
    }
    if profile.subscribed_media_profile.is_some() || !profile.service_ids.is_empty() {
        xml.element("CoreNetworkServicesAuthorization", |xml| {
            xml.optional("SubscribedMediaProfileId", profile.subscribed_media_profile);
            xml.element("Extension", |xml| {
                xml.element("ListOfServiceIds", |xml| {
                    profile
                        .service_ids
                        .iter()
                        .for_each(|id| xml.leaf("ServiceId", id));
                });
            });
        });
    }
    for criterion in &profile.filter_criteria {
        xml.element("InitialFilterCriteria", |xml| {
            initial_filter_criterion(xml, criterion)
        });
    }
    if !profile.shared_ifc_set_ids.is_empty() {
        xml.element("Extension", |xml| {
            profile
                .shared_ifc_set_ids
                .iter()
                .for_each(|id| xml.leaf("SharedIFCSetID", id));
        });
    }
}

fn public_identity(xml: &mut Xml, identity: &PublicIdentity) {
    if identity.barred {
        xml.boolean("BarringIndication", true);
    }
    xml.leaf("Identity", identity.impu.as_str());
    xml.element("Extension", |xml| {
        let identity_type = match identity.identity_type {
            IdentityType::DistinctImpu => 0,
            IdentityType::DistinctPsi => 1,
            IdentityType::WildcardedPsi => 2,
            IdentityType::NonDistinctImpu => 3,
            IdentityType::WildcardedImpu => 4,
        };
        xml.leaf("IdentityType", identity_type);
        xml.optional("WildcardedPSI", identity.wildcarded_psi.as_deref());
        xml.element("Extension", |xml| {
            xml.optional(
                "DisplayName",
                identity.display_name.as_ref().map(|name| name.0.as_str()),
            );
            xml.optional("AliasIdentityGroupID", identity.alias_group.as_deref());
            xml.element("Extension", |xml| identity_extension_3(xml, identity));
        });
    });
}

fn identity_extension_3(xml: &mut Xml, identity: &PublicIdentity) {
    xml.optional("WildcardedIMPU", identity.wildcarded_impu.as_deref());
    xml.optional("ServiceLevelTraceInfo", identity.service_level_trace.as_deref());
    xml.optional("ServicePriorityLevel", identity.service_priority);
    xml.element("Extension", |xml| {
        for priority in &identity.extended_priorities {
            xml.element("ExtendedPriority", |xml| {
                xml.leaf("PriorityNamespace", &priority.namespace);
                xml.leaf("PriorityLevel", &priority.level);
            });
        }
        xml.element("Extension", |xml| {
            xml.optional(
                "MaxNumOfAllowedSimultRegistrations",
                identity.simultaneous_registrations_max,
            );
        });
    });
}

fn initial_filter_criterion(xml: &mut Xml, criterion: &InitialFilterCriterion) {
    xml.leaf("Priority", criterion.priority);
    if let Some(trigger) = &criterion.trigger_point {
        xml.element("TriggerPoint", |xml| trigger_point(xml, trigger));
    }
    xml.element("ApplicationServer", |xml| {
        application_server(xml, &criterion.application_server)
    });
    match criterion.profile_part {
        None => {}
        Some(ProfilePart::Registered) => xml.leaf("ProfilePartIndicator", 0),
        Some(ProfilePart::Unregistered) => xml.leaf("ProfilePartIndicator", 1),
    }
}

fn trigger_point(xml: &mut Xml, trigger: &TriggerPoint) {
    xml.boolean("ConditionTypeCNF", trigger.condition_type == ConditionType::Cnf);
    for spt in &trigger.spts {
        xml.element("SPT", |xml| service_point_trigger(xml, spt));
    }
}

fn service_point_trigger(xml: &mut Xml, spt: &Spt) {
    xml.boolean("ConditionNegated", spt.negated);
    spt.groups.iter().for_each(|group| xml.leaf("Group", group));
    match &spt.condition {
        SptCondition::RequestUri(pattern) => xml.leaf("RequestURI", pattern),
        SptCondition::Method(method) => xml.leaf("Method", method),
        SptCondition::SipHeader { header, content } => xml.element("SIPHeader", |xml| {
            xml.leaf("Header", header);
            xml.optional("Content", content.as_deref());
        }),
        SptCondition::SessionCase(case) => {
            let number = match case {
                SessionCase::OriginatingRegistered => 0,
                SessionCase::TerminatingRegistered => 1,
                SessionCase::TerminatingUnregistered => 2,
                SessionCase::OriginatingUnregistered => 3,
                SessionCase::OriginatingCdiv => 4,
            };
            xml.leaf("SessionCase", number);
        }
        SptCondition::SessionDescription { line, content } => xml.element("SessionDescription", |xml| {
            xml.leaf("Line", line);
            xml.optional("Content", content.as_deref());
        }),
    }
    if !spt.registration_types.is_empty() {
        xml.element("Extension", |xml| {
            for registration_type in &spt.registration_types {
                let number = match registration_type {
                    RegistrationType::Initial => 0,
                    RegistrationType::Reregistration => 1,
                    RegistrationType::Deregistration => 2,
                };
                xml.leaf("RegistrationType", number);
            }
        });
    }
}

fn application_server(xml: &mut Xml, server: &ApplicationServer) {
    xml.leaf("ServerName", &server.server_name);
    xml.boolean(
        "DefaultHandling",
        server.default_handling == DefaultHandling::SessionTerminated,
    );
    xml.optional("ServiceInfo", server.service_info.as_deref());
    if server.include_register_request || server.include_register_response {
        xml.element("Extension", |xml| {
            if server.include_register_request {
                xml.empty("IncludeRegisterRequest");
            }
            if server.include_register_response {
                xml.empty("IncludeRegisterResponse");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use hss_client::user_data::{ExtendedPriority, ImsSubscription, parse};
    use ims_common::identity::Impu;
    use ims_common::telemetry::redact::Redacted;

    use super::*;

    fn everything() -> ServiceProfile {
        let spt = |condition| Spt {
            negated: true,
            groups: vec![0, 3],
            condition,
            registration_types: vec![],
        };
        let mut register = spt(SptCondition::Method("REGISTER".into()));
        register.registration_types = vec![
            RegistrationType::Initial,
            RegistrationType::Reregistration,
            RegistrationType::Deregistration,
        ];
        let pattern = || Some("a<b&\"c\" > d".to_owned());
        let spts = vec![
            register,
            spt(SptCondition::RequestUri("sip:.*".into())),
            spt(SptCondition::SipHeader {
                header: "Accept".into(),
                content: pattern(),
            }),
            spt(SptCondition::SipHeader {
                header: "Accept".into(),
                content: None,
            }),
            spt(SptCondition::SessionCase(SessionCase::OriginatingCdiv)),
            spt(SptCondition::SessionDescription {
                line: "m".into(),
                content: pattern(),
            }),
        ];
        ServiceProfile {
            public_identities: vec![PublicIdentity {
                barred: true,
                identity_type: IdentityType::WildcardedImpu,
                alias_group: Some("1".into()),
                display_name: Some(Redacted("A & B".into())),
                wildcarded_psi: Some("sip:a!.*!@h.example".into()),
                wildcarded_impu: Some("sip:b!.*!@h.example".into()),
                service_level_trace: Some("t".into()),
                service_priority: Some(2),
                extended_priorities: vec![ExtendedPriority {
                    namespace: "wps".into(),
                    level: "1".into(),
                }],
                simultaneous_registrations_max: Some(4),
                ..PublicIdentity::new(Impu::parse("tel:+15550001").unwrap())
            }],
            filter_criteria: vec![InitialFilterCriterion {
                priority: 7,
                trigger_point: Some(TriggerPoint {
                    condition_type: ConditionType::Dnf,
                    spts,
                }),
                application_server: ApplicationServer {
                    server_name: "sip:as.example;lr".into(),
                    default_handling: DefaultHandling::SessionTerminated,
                    service_info: Some("<x/>".into()),
                    include_register_request: true,
                    include_register_response: true,
                },
                profile_part: Some(ProfilePart::Unregistered),
            }],
            shared_ifc_set_ids: vec![3, 4],
            subscribed_media_profile: Some(9),
            service_ids: vec!["urn:x".into()],
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_profile() {
        let impi = Impi::parse("a@h.example").unwrap();
        let profiles = vec![
            everything(),
            ServiceProfile {
                filter_criteria: vec![],
                ..everything()
            },
        ];
        let read = parse(print(&impi, &profiles).as_bytes()).unwrap();
        let expected = ImsSubscription {
            private_identity: impi,
            imsi: None,
            profiles,
            unusable_identities: 0,
        };
        assert_eq!(read, expected);
    }
}
