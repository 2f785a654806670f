//! Codec: the body by which a network tells a UE what to do instead (TS 24.229 7.6, `application/3gpp-ims+xml`).

/// The media type of [`AlternativeService`].
pub(crate) const CONTENT_TYPE: &str = "application/3gpp-ims+xml";

/// What a UE is to do (TS 24.229 table 7.6.1). What is not named here leaves it to the circuit-switched network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AlternativeService {
    /// An emergency call needs an emergency registration.
    EmergencyRegistration,
    /// An emergency call is not possible here.
    NoEmergencyCalls,
    /// The registration is lost; the UE begins anew (TS 24.229 5.1.2A.1.6).
    Restoration,
}

impl AlternativeService {
    /// The document. The schema wants type, reason, action in this order.
    pub(crate) fn body(self) -> String {
        let (kind, reason, action) = match self {
            Self::EmergencyRegistration => (
                "emergency",
                "Emergency calls need an emergency registration",
                "<action>emergency-registration</action>",
            ),
            Self::NoEmergencyCalls => ("emergency", "Emergency calls are not supported here", ""),
            Self::Restoration => (
                "restoration",
                "The home network cannot be reached through this registration",
                "<action>initial-registration</action>",
            ),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ims-3gpp version=\"1\"><alternative-service>\
             <type>{kind}</type><reason>{reason}</reason>{action}</alternative-service></ims-3gpp>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_reason_and_action_stand_in_the_order_of_the_schema() {
        for (service, kind, action) in [
            (
                AlternativeService::EmergencyRegistration,
                "emergency",
                Some("emergency-registration"),
            ),
            (AlternativeService::NoEmergencyCalls, "emergency", None),
            (
                AlternativeService::Restoration,
                "restoration",
                Some("initial-registration"),
            ),
        ] {
            let body = service.body();
            let at = |text: &str| body.find(text);
            let (Some(type_at), Some(reason_at)) = (at(&format!("<type>{kind}</type>")), at("<reason>"))
            else {
                panic!("{body}");
            };
            assert!(type_at < reason_at, "{body}");
            let action_at = action.map(|action| at(&format!("<action>{action}</action>")).unwrap());
            assert_eq!(
                action_at.is_some_and(|at| reason_at < at),
                action.is_some(),
                "{body}"
            );
            assert_eq!(at("<action>").is_some(), action.is_some());
        }
    }
}
