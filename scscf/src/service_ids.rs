//! Engine: which communication service a request is for, and whether the user may have it (TS 24.229 5.4.3.2, RFC 6050).

use ims_common::sip::{HeaderName, Method, Request};

use crate::config::{NotSubscribed, ServiceIdsConfig};
use ims_common::sip::sdp;

/// Multimedia telephony (TS 24.173 5.1).
const MMTEL: &str = "urn:urn-7:3gpp-service.ims.icsi.mmtel";
/// Values that are looked at.
const VALUES_MAX: usize = 8;

/// What becomes of P-Preferred-Service and P-Asserted-Service. P-Preferred-Service goes in any case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ServiceVerdict {
    /// P-Asserted-Service stays as it is, or absent.
    Unchanged,
    /// P-Asserted-Service becomes this.
    Asserted(String),
    /// P-Asserted-Service goes.
    Removed,
    /// 403.
    Refused,
}

/// For a request of a user who has subscribed to these services (`ListOfServiceIds`); an empty list filters nothing.
pub(crate) fn originating(
    request: &Request,
    subscribed: &[String],
    policy: &ServiceIdsConfig,
) -> ServiceVerdict {
    let is_asserted = request.header(HeaderName::PAssertedService).is_some();
    if is_asserted {
        // By an application server, or what an earlier pass has put there.
        return ServiceVerdict::Unchanged;
    }
    let mut preferred = services(request, HeaderName::PPreferredService).peekable();
    if preferred.peek().is_some() {
        let allowed = preferred.find(|service| is_subscribed(service, subscribed));
        return match (allowed, policy.not_subscribed) {
            (Some(service), _) => ServiceVerdict::Asserted(service),
            (None, NotSubscribed::Remove) => ServiceVerdict::Removed,
            (None, NotSubscribed::Refuse) => ServiceVerdict::Refused,
        };
    }
    let is_telephony =
        policy.assert_mmtel && request.method() == Method::Invite && is_subscribed(MMTEL, subscribed);
    match is_telephony && offers_audio(request) {
        true => ServiceVerdict::Asserted(MMTEL.to_owned()),
        false => ServiceVerdict::Unchanged,
    }
}

/// For a request to such a user (TS 24.229 5.4.3.3).
pub(crate) fn terminating(
    request: &Request,
    subscribed: &[String],
    policy: &ServiceIdsConfig,
) -> ServiceVerdict {
    let mut asserted = services(request, HeaderName::PAssertedService);
    let has_other = asserted.any(|service| !is_subscribed(&service, subscribed));
    match (has_other, policy.not_subscribed) {
        (false, _) => ServiceVerdict::Unchanged,
        (true, NotSubscribed::Remove) => ServiceVerdict::Removed,
        (true, NotSubscribed::Refuse) => ServiceVerdict::Refused,
    }
}

fn services(request: &Request, name: HeaderName) -> impl Iterator<Item = String> {
    request
        .values(name)
        .take(VALUES_MAX)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// A service or a subclass of it (RFC 6050 8.2: labels after a dot).
fn is_subscribed(service: &str, subscribed: &[String]) -> bool {
    let service = canonical(service);
    subscribed.is_empty()
        || subscribed.iter().any(|known| {
            let below = service.strip_prefix(&canonical(known));
            below.is_some_and(|below| below.is_empty() || below.starts_with('.'))
        })
}

/// HSSs write the URN, its percent-encoded form, or what comes after `urn:urn-7:`.
fn canonical(service: &str) -> String {
    let text = service.trim().to_ascii_lowercase().replace("%3a", ":");
    text.strip_prefix("urn:urn-7:")
        .map_or_else(|| text.clone(), str::to_owned)
}

fn offers_audio(request: &Request) -> bool {
    let bodies = sdp::bodies(request);
    let mut lines = bodies.into_iter().flat_map(sdp::lines);
    lines.any(|(kind, value)| kind == b'm' && value.starts_with(b"audio ") && !value.starts_with(b"audio 0 "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims_common::limits::SipLimits;
    use ims_common::sip::{Message, SipMessage};

    fn request(method: &str, headers: &str, body: &str) -> Request {
        let text = format!(
            "{method} sip:b@home.example SIP/2.0\r\n{headers}Content-Type: application/sdp\r\nContent-Length: {}\r\n\
             \r\n{body}",
            body.len()
        );
        let message = Message::parse(text.into(), &SipLimits::default()).unwrap();
        match message.into_parts() {
            SipMessage::Request(request) => request,
            SipMessage::Response(_) => unreachable!("a request was written"),
        }
    }

    fn policy(not_subscribed: NotSubscribed, assert_mmtel: bool) -> ServiceIdsConfig {
        ServiceIdsConfig {
            not_subscribed,
            assert_mmtel,
        }
    }

    fn preferring(services: &str, subscribed: &[&str], not_subscribed: NotSubscribed) -> ServiceVerdict {
        let request = request("INVITE", &format!("P-Preferred-Service: {services}\r\n"), "");
        let subscribed: Vec<String> = subscribed.iter().map(|s| (*s).to_owned()).collect();
        originating(&request, &subscribed, &policy(not_subscribed, false))
    }

    #[test]
    fn a_preferred_service_is_asserted_when_subscribed() {
        let asserted = |text: &str| ServiceVerdict::Asserted(text.to_owned());
        let hd = format!("{MMTEL}.hd-video");
        for subscribed in [
            &[][..],
            &[MMTEL],
            &["3gpp-service.ims.icsi.mmtel"],
            &["URN%3Aurn-7%3A3gpp-service.ims.icsi.mmtel"],
        ] {
            assert_eq!(
                preferring(MMTEL, subscribed, NotSubscribed::Refuse),
                asserted(MMTEL)
            );
            assert_eq!(preferring(&hd, subscribed, NotSubscribed::Refuse), asserted(&hd));
        }
        let both = format!("urn:urn-7:other, {MMTEL}");
        assert_eq!(
            preferring(&both, &[MMTEL], NotSubscribed::Refuse),
            asserted(MMTEL)
        );
    }

    #[test]
    fn a_preferred_service_that_is_not_subscribed_is_removed_or_refused() {
        for service in ["urn:urn-7:other", "urn:urn-7:3gpp-service.ims.icsi.mmtelx"] {
            let verdict = |policy| preferring(service, &[MMTEL], policy);
            assert_eq!(verdict(NotSubscribed::Remove), ServiceVerdict::Removed);
            assert_eq!(verdict(NotSubscribed::Refuse), ServiceVerdict::Refused);
        }
    }

    #[test]
    fn a_call_with_audio_is_telephony_when_the_policy_says_so() {
        let audio = "v=0\r\nm=audio 4000 RTP/AVP 8\r\n";
        let off = "v=0\r\nm=audio 0 RTP/AVP 8\r\n";
        let other = vec!["urn:urn-7:other".to_owned()];
        let mmtel = ServiceVerdict::Asserted(MMTEL.to_owned());
        for (method, body, subscribed, asserts, verdict) in [
            ("INVITE", audio, &[][..], true, mmtel),
            ("INVITE", audio, &[], false, ServiceVerdict::Unchanged),
            ("INVITE", off, &[], true, ServiceVerdict::Unchanged),
            ("INVITE", audio, &other, true, ServiceVerdict::Unchanged),
            ("MESSAGE", audio, &[], true, ServiceVerdict::Unchanged),
        ] {
            let policy = policy(NotSubscribed::Remove, asserts);
            assert_eq!(
                originating(&request(method, "", body), subscribed, &policy),
                verdict,
                "{body}"
            );
        }
    }

    #[test]
    fn what_an_application_server_asserts_stays_unless_the_callee_may_not_have_it() {
        let asserted = request("INVITE", &format!("P-Asserted-Service: {MMTEL}\r\n"), "");
        let other = vec!["urn:urn-7:other".to_owned()];
        let remove = policy(NotSubscribed::Remove, true);
        let refuse = policy(NotSubscribed::Refuse, true);
        assert_eq!(originating(&asserted, &other, &refuse), ServiceVerdict::Unchanged);
        assert_eq!(terminating(&asserted, &[], &refuse), ServiceVerdict::Unchanged);
        assert_eq!(terminating(&asserted, &other, &remove), ServiceVerdict::Removed);
        assert_eq!(terminating(&asserted, &other, &refuse), ServiceVerdict::Refused);
        assert_eq!(
            terminating(&request("INVITE", "", ""), &other, &refuse),
            ServiceVerdict::Unchanged
        );
    }
}
