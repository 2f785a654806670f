//! Engine: who may not call whom: numbers by prefix, and callers who do not say who they are (RFC 5079, TS 24.611).

use ims_common::identity::Impu;
use ims_common::sip::{HeaderName, Request, StatusCode, Uri};

use crate::numbers::{Normaliser, Number};

/// A number that is blocked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BlockedPrefix {
    /// `+` and digits, or the digits of a local number.
    pub(crate) prefix: String,
    pub(crate) status: StatusCode,
    /// What the caller is told.
    pub(crate) reason: String,
    /// Its place among all rules, those of called numbers first.
    pub(crate) number: usize,
}

/// What the caller is told of it: the place of the reason among those of [`Blocking`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    reason: usize,
}

impl BlockedPrefix {
    pub(crate) fn told(&self) -> Told {
        Told {
            status: self.status,
            reason: self.number,
        }
    }
}

/// What the operator blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocking {
    /// Numbers that users may not call.
    pub(crate) called: Vec<BlockedPrefix>,
    /// Numbers that may not call users.
    pub(crate) calling: Vec<BlockedPrefix>,
    /// Nobody is called by callers who do not say who they are.
    pub(crate) anonymous: bool,
    /// These users are not.
    pub(crate) anonymous_to: Vec<Impu>,
}

impl Blocking {
    /// Numbers the rules.
    pub(crate) fn numbered(mut self) -> Self {
        for (number, rule) in self.called.iter_mut().chain(&mut self.calling).enumerate() {
            rule.number = number;
        }
        self
    }

    /// The words of a rule.
    pub(crate) fn reason(&self, told: Told) -> Option<&str> {
        let mut rules = self.called.iter().chain(&self.calling);
        rules.nth(told.reason).map(|rule| rule.reason.as_str())
    }

    /// Why what a user dials is not called, if so.
    pub(crate) fn of_called(&self, normaliser: &Normaliser, uri: &Uri<'_>) -> Option<&BlockedPrefix> {
        if self.called.is_empty() {
            return None;
        }
        let number = match normaliser.read(uri) {
            Number::Global(number) => format!("+{}", number.digits()),
            Number::Local(number) if number.context.is_none() => number.digits,
            Number::Local(_) | Number::Incomplete | Number::Name => return None,
        };
        longest(&self.called, &number)
    }

    /// Why a user is not called by whoever sends a request, if so.
    pub(crate) fn of_calling(&self, request: &Request) -> Option<&BlockedPrefix> {
        if self.calling.is_empty() {
            return None;
        }
        let asserted = request
            .name_addrs(HeaderName::PAssertedIdentity)
            .unwrap_or_default();
        let from = request.from().ok().map(|from| from.uri);
        let uris = asserted.iter().map(|identity| identity.uri).chain(from);
        let mut numbers = uris.filter_map(|uri| calling_number(&uri));
        numbers.find_map(|number| longest(&self.calling, &number))
    }

    /// Whether a user is not called because the caller does not say who he is.
    pub(crate) fn of_anonymous(&self, served: &Impu, request: &Request) -> bool {
        (self.anonymous || self.anonymous_to.contains(served)) && is_anonymous(request)
    }
}

/// TS 24.611 4.5.2.6.1: the originating identity is restricted, or there is none.
fn is_anonymous(request: &Request) -> bool {
    let wants = |value: &[u8]| {
        let value = value.trim_ascii();
        [&b"id"[..], b"user", b"header"]
            .iter()
            .any(|known| value.eq_ignore_ascii_case(known))
    };
    let is_private = request
        .headers(HeaderName::Privacy)
        .flat_map(|line| line.split(|byte| matches!(byte, b';' | b',')))
        .any(wants);
    let has_identity = request.header(HeaderName::PAssertedIdentity).is_some();
    let from = request.from().ok().map(|from| from.uri);
    let is_nobody = from.is_some_and(|uri| {
        let host = uri.host().to_string();
        host.eq_ignore_ascii_case("anonymous.invalid")
    });
    is_private || (is_nobody && !has_identity)
}

/// The rule with the longest prefix of a number.
fn longest<'a>(rules: &'a [BlockedPrefix], number: &str) -> Option<&'a BlockedPrefix> {
    let hits = rules.iter().filter(|rule| number.starts_with(&rule.prefix));
    hits.max_by_key(|rule| rule.prefix.len())
}

/// The number of a caller, whoever asserts it: a global number means the same in any domain (RFC 3966 5.1.4).
fn calling_number(uri: &Uri<'_>) -> Option<String> {
    let global = || {
        let user = std::str::from_utf8(uri.user()?).ok()?;
        let number = user.split(';').next()?;
        number.starts_with('+').then(|| number.to_owned())
    };
    uri.tel_number().or_else(global)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NumbersConfig;
    use bytes::Bytes;
    use ims_common::limits::SipLimits;
    use ims_common::sip::{Message, SipMessage};

    fn request(from: &str, further: &str) -> Request {
        let text = format!(
            "INVITE tel:+15550001 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: {from};tag=1\r\n\
             To: <tel:+15550001>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{further}\r\n"
        );
        match Message::parse(Bytes::from(text), &SipLimits::default())
            .unwrap()
            .into_parts()
        {
            SipMessage::Request(request) => request,
            SipMessage::Response(_) => unreachable!("it is a request"),
        }
    }

    fn rule(prefix: &str) -> BlockedPrefix {
        BlockedPrefix {
            prefix: prefix.to_owned(),
            status: StatusCode::DECLINE,
            reason: "blocked".to_owned(),
            number: 0,
        }
    }

    fn normaliser() -> Normaliser {
        let plan = NumbersConfig {
            country_code: Some("1".to_owned()),
            ..NumbersConfig::default()
        };
        Normaliser::new(&plan, "home.example")
    }

    #[test]
    fn numbers_are_blocked_by_their_longest_prefix_in_whichever_form_they_are_dialled() {
        let blocking = Blocking {
            called: vec![rule("+1900"), rule("+19005"), rule("118")],
            ..Blocking::default()
        };
        for (uri, prefix) in [
            ("tel:+19001234567", Some("+1900")),
            ("sip:+19005234567@home.example;user=phone", Some("+19005")),
            ("tel:0019001234567", Some("+1900")),
            ("tel:09001234567", Some("+1900")),
            ("tel:11833;phone-context=home.example", Some("118")),
            ("tel:+12025550101", None),
            ("sip:alice@home.example", None),
        ] {
            let uri = Uri::parse(uri.as_bytes()).unwrap();
            let found = blocking.of_called(&normaliser(), &uri);
            assert_eq!(found.map(|rule| rule.prefix.as_str()), prefix, "{uri:?}");
        }
    }

    #[test]
    fn callers_are_blocked_by_their_asserted_number() {
        let blocking = Blocking {
            calling: vec![rule("+882")],
            ..Blocking::default()
        };
        let from = "<sip:x@other.example>";
        let spam = request(
            from,
            "P-Asserted-Identity: <sip:+88299@other.example;user=phone>\r\n",
        );
        assert!(blocking.of_calling(&spam).is_some());
        let other = request(from, "P-Asserted-Identity: <tel:+4930123456>\r\n");
        assert_eq!(blocking.of_calling(&other), None);
    }

    #[test]
    fn anonymous_is_who_restricts_his_identity_or_has_none() {
        let alice = Impu::parse("sip:alice@home.example").unwrap();
        let bob = Impu::parse("sip:bob@home.example").unwrap();
        let blocking = Blocking {
            anonymous_to: vec![alice.clone()],
            ..Blocking::default()
        };
        let known = "P-Asserted-Identity: <tel:+4930123456>\r\n";
        let nobody = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
        for (from, further, is_blocked) in [
            ("<tel:+4930123456>", known.to_owned(), false),
            ("<tel:+4930123456>", format!("{known}Privacy: none\r\n"), false),
            (
                "<tel:+4930123456>",
                format!("{known}Privacy: critical;id\r\n"),
                true,
            ),
            (nobody, format!("{known}Privacy: id\r\n"), true),
            (nobody, String::new(), true),
            ("<sip:pbx@other.example>", String::new(), false),
        ] {
            let request = request(from, &further);
            assert_eq!(
                blocking.of_anonymous(&alice, &request),
                is_blocked,
                "{from} {further}"
            );
            assert!(!blocking.of_anonymous(&bob, &request));
        }
        let everybody = Blocking {
            anonymous: true,
            ..Blocking::default()
        };
        assert!(everybody.of_anonymous(&bob, &request(nobody, "")));
    }
}
