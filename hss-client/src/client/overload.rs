//! Table: what overloaded HSSs ask of us (RFC 7683; TS 29.228 Annex H): fewer requests, for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ims_common::diameter::Message;
use ims_common::diameter::grammar::avp;

use crate::cx::{CxRequest, ServerAssignmentType, UserAuthorizationType};

/// Reports that are kept; an HSS that makes up names gets no more room.
const REPORTS_MAX: usize = 256;
/// OC-Validity-Duration when it is absent or too long (RFC 7683 7.5).
const VALIDITY: Duration = Duration::from_secs(30);
const VALIDITY_MAX_SECS: u32 = 86_400;

/// Whom a report is about (RFC 7683 7.6).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Subject {
    /// HOST_REPORT: requests that go to this host.
    Host(String),
    /// REALM_REPORT: requests to this realm that name no host.
    Realm(String),
}

#[derive(Clone, Copy, Debug)]
struct Report {
    sequence: u64,
    /// OC-Reduction-Percentage.
    reduction: u32,
    until: Instant,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<'a> {
    /// Destination-Host, or the HSS at the other end of the connection.
    pub(super) host: Option<&'a str>,
    /// Destination-Realm, when the request names no host.
    pub(super) realm: Option<&'a str>,
}

/// The reports that hold.
#[derive(Debug, Default)]
pub(super) struct Overload {
    reports: BTreeMap<Subject, Report>,
}

impl Overload {
    /// Takes the OC-OLR of an answer; `false` when there is one that cannot be used.
    pub(super) fn learn(&mut self, now: Instant, answer: &Message) -> bool {
        let Some(olr) = answer.find(&avp::OC_OLR) else {
            return true;
        };
        let (Some(host), Some(realm)) = (answer.text(&avp::ORIGIN_HOST), answer.text(&avp::ORIGIN_REALM))
        else {
            return false;
        };
        let member = |def| olr.members().find(def);
        let sequence = member(&avp::OC_SEQUENCE_NUMBER).and_then(|avp| avp.u64());
        let subject = match member(&avp::OC_REPORT_TYPE).and_then(|avp| avp.u32()) {
            Some(0) => Subject::Host(host.to_ascii_lowercase()),
            Some(1) => Subject::Realm(realm.to_ascii_lowercase()),
            _ => return false,
        };
        let reduction = member(&avp::OC_REDUCTION_PERCENTAGE).and_then(|avp| avp.u32());
        let (Some(sequence), Some(reduction @ 0..=100)) = (sequence, reduction) else {
            return false;
        };
        let validity = match member(&avp::OC_VALIDITY_DURATION).and_then(|avp| avp.u32()) {
            Some(secs @ 0..=VALIDITY_MAX_SECS) => Duration::from_secs(secs.into()),
            Some(_) | None => VALIDITY,
        };
        self.reports.retain(|_, report| report.until > now);
        // RFC 7683 5.2.1.1: what is not newer changes nothing.
        if self
            .reports
            .get(&subject)
            .is_some_and(|known| known.sequence >= sequence)
        {
            return true;
        }
        if self.reports.len() >= REPORTS_MAX && !self.reports.contains_key(&subject) {
            return false;
        }
        let report = Report {
            sequence,
            reduction,
            until: now + validity,
        };
        // A duration of 0 ends the overload.
        self.reports.insert(subject, report);
        true
    }

    /// Of a hundred requests on this way, how many not to send.
    pub(super) fn reduction(&self, now: Instant, route: Route<'_>) -> u32 {
        let host = route.host.map(|host| Subject::Host(host.to_ascii_lowercase()));
        let realm = route
            .realm
            .map(|realm| Subject::Realm(realm.to_ascii_lowercase()));
        let reports = [host, realm].into_iter().flatten();
        let holds =
            reports.filter_map(|subject| self.reports.get(&subject).filter(|report| report.until > now));
        holds.map(|report| report.reduction).max().unwrap_or(0)
    }

    /// How many reports hold.
    pub(super) fn len(&self) -> usize {
        self.reports.len()
    }
}

/// Whether a request may be left out: what begins something. What ends a registration, goes on with one, or is an
/// emergency is always sent (TS 29.228 Annex H).
pub(super) fn may_be_left_out(request: &CxRequest) -> bool {
    match request {
        CxRequest::Uar(uar) => {
            !uar.emergency && uar.authorization_type != UserAuthorizationType::DeRegistration
        }
        CxRequest::Mar(mar) => mar.authorization.is_none(),
        CxRequest::Lir(_) => true,
        CxRequest::Sar(sar) => sar.assignment_type == ServerAssignmentType::UnregisteredUser,
    }
}
