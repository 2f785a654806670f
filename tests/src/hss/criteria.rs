//! Testkit: initial filter criteria, said in the words of a test (TS 29.228 Annex B and C).

use hss_client::user_data::{
    ApplicationServer, ConditionType, DefaultHandling, InitialFilterCriterion, ProfilePart, RegistrationType,
    SessionCase, Spt, SptCondition, TriggerPoint,
};

/// A criterion in the making. Each word is one condition more: all of them must hold.
///
/// ```
/// # use ims_tests::hss::{Ifc, Subscriber};
/// let subscriber = Subscriber::new("001010000000001")
///     .ifc(Ifc::to("sip:as1.test", 1).method(&["INVITE", "MESSAGE"]).originating())
///     .ifc(Ifc::to("sip:as2.test", 2).method(&["INVITE"]).not_header("Privacy", Some("id")).terminates());
/// ```
#[derive(Clone, Debug)]
pub struct Ifc {
    priority: u32,
    server: ApplicationServer,
    spts: Vec<Spt>,
    group: u32,
    join: ConditionType,
    profile_part: Option<ProfilePart>,
}

impl Ifc {
    /// Asks this server, whatever the request, and goes on without it when it is dead.
    #[must_use]
    pub fn to(server_name: &str, priority: u32) -> Self {
        Self {
            priority,
            server: ApplicationServer {
                server_name: server_name.to_owned(),
                default_handling: DefaultHandling::SessionContinued,
                service_info: None,
                include_register_request: false,
                include_register_response: false,
            },
            spts: Vec::new(),
            group: 0,
            join: ConditionType::Cnf,
            profile_part: None,
        }
    }

    /// One of these methods.
    #[must_use]
    pub fn method(self, methods: &[&str]) -> Self {
        self.one_of(
            methods
                .iter()
                .map(|method| SptCondition::Method((*method).to_owned())),
        )
    }

    /// One of these session cases.
    #[must_use]
    pub fn cases(self, cases: &[SessionCase]) -> Self {
        self.one_of(cases.iter().map(|case| SptCondition::SessionCase(*case)))
    }

    /// Requests of a registered user.
    #[must_use]
    pub fn originating(self) -> Self {
        self.cases(&[SessionCase::OriginatingRegistered])
    }

    /// Requests for a registered user.
    #[must_use]
    pub fn terminating(self) -> Self {
        self.cases(&[SessionCase::TerminatingRegistered])
    }

    /// Requests for a user who is not registered.
    #[must_use]
    pub fn terminating_unregistered(self) -> Self {
        self.cases(&[SessionCase::TerminatingUnregistered])
    }

    /// Requests that a served user has diverted.
    #[must_use]
    pub fn diverting(self) -> Self {
        self.cases(&[SessionCase::OriginatingCdiv])
    }

    /// A header line of this name, with this content when given.
    #[must_use]
    pub fn header(self, header: &str, content: Option<&str>) -> Self {
        self.one_of([header_condition(header, content)])
    }

    /// No such header line.
    #[must_use]
    pub fn not_header(self, header: &str, content: Option<&str>) -> Self {
        let mut ifc = self.one_of([header_condition(header, content)]);
        ifc.negate_last();
        ifc
    }

    /// This Request-URI.
    #[must_use]
    pub fn request_uri(self, pattern: &str) -> Self {
        self.one_of([SptCondition::RequestUri(pattern.to_owned())])
    }

    /// A line of the session description, with this content when given.
    #[must_use]
    pub fn session_description(self, line: &str, content: Option<&str>) -> Self {
        self.one_of([SptCondition::SessionDescription {
            line: line.to_owned(),
            content: content.map(ToOwned::to_owned),
        }])
    }

    /// REGISTERs of these kinds, of all kinds when there is none.
    #[must_use]
    pub fn registers(self, kinds: &[RegistrationType]) -> Self {
        let mut ifc = self.method(&["REGISTER"]);
        if let Some(spt) = ifc.spts.last_mut() {
            spt.registration_types = kinds.to_vec();
        }
        ifc
    }

    /// The conditions in disjunctive form: the words so far and those that follow each suffice.
    #[must_use]
    pub const fn any(mut self) -> Self {
        self.join = ConditionType::Dnf;
        self
    }

    /// When the server is dead, so is the session.
    #[must_use]
    pub const fn terminates(mut self) -> Self {
        self.server.default_handling = DefaultHandling::SessionTerminated;
        self
    }

    /// Goes into the body of third-party REGISTERs.
    #[must_use]
    pub fn service_info(mut self, text: &str) -> Self {
        self.server.service_info = Some(text.to_owned());
        self
    }

    /// Third-party REGISTERs carry the user's REGISTER and its answer.
    #[must_use]
    pub const fn with_registers(mut self) -> Self {
        self.server.include_register_request = true;
        self.server.include_register_response = true;
        self
    }

    /// Belongs to this part of the profile only.
    #[must_use]
    pub const fn part(mut self, part: ProfilePart) -> Self {
        self.profile_part = Some(part);
        self
    }

    /// In CNF the alternatives share a group; in DNF each is a group of its own.
    fn one_of(mut self, conditions: impl IntoIterator<Item = SptCondition>) -> Self {
        for condition in conditions {
            self.spts.push(Spt {
                negated: false,
                groups: vec![self.group],
                condition,
                registration_types: Vec::new(),
            });
            self.group += u32::from(self.join == ConditionType::Dnf);
        }
        self.group += u32::from(self.join == ConditionType::Cnf);
        self
    }

    fn negate_last(&mut self) {
        if let Some(spt) = self.spts.last_mut() {
            spt.negated = true;
        }
    }
}

fn header_condition(header: &str, content: Option<&str>) -> SptCondition {
    SptCondition::SipHeader {
        header: header.to_owned(),
        content: content.map(ToOwned::to_owned),
    }
}

impl From<Ifc> for InitialFilterCriterion {
    fn from(ifc: Ifc) -> Self {
        let trigger_point = (!ifc.spts.is_empty()).then_some(TriggerPoint {
            condition_type: ifc.join,
            spts: ifc.spts,
        });
        Self {
            priority: ifc.priority,
            trigger_point,
            application_server: ifc.server,
            profile_part: ifc.profile_part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_share_a_group_and_words_do_not() {
        let ifc = Ifc::to("sip:as", 3)
            .method(&["INVITE", "MESSAGE"])
            .originating()
            .terminates();
        let criterion = InitialFilterCriterion::from(ifc);
        let trigger = criterion.trigger_point.unwrap();
        let groups: Vec<_> = trigger.spts.iter().map(|spt| spt.groups.clone()).collect();
        assert_eq!(groups, [[0], [0], [1]]);
        assert_eq!(
            (criterion.priority, criterion.application_server.default_handling),
            (3, DefaultHandling::SessionTerminated)
        );
        let always = InitialFilterCriterion::from(Ifc::to("sip:as", 1));
        assert_eq!(always.trigger_point, None);
    }

    #[test]
    fn any_of_the_words_has_a_group_of_its_own() {
        let ifc = Ifc::to("sip:as", 3)
            .any()
            .method(&["INVITE", "MESSAGE"])
            .not_header("X", None);
        let trigger = InitialFilterCriterion::from(ifc).trigger_point.unwrap();
        let groups: Vec<_> = trigger
            .spts
            .iter()
            .map(|spt| (spt.groups[0], spt.negated))
            .collect();
        assert_eq!(groups, [(0, false), (1, false), (2, true)]);
        assert_eq!(trigger.condition_type, ConditionType::Dnf);
    }
}
