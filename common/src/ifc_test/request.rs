//! Codec: the request of a trial: as it was given, or made of its parts.

use bytes::Bytes;

use super::{IfcTest, IfcTestError};
use crate::limits::SipLimits;
use crate::sip::{HeaderName, Message, Method, Request, SipMessage};

/// What stands in a request that is made of parts unless it is given.
const CALL_ID: &str = "ifc-test";

impl IfcTest {
    /// The request that the criteria shall look at; `user` is whom it is served for.
    ///
    /// # Errors
    /// When what was given is no request.
    pub fn sip_request(&self, user: &str) -> Result<Request, IfcTestError> {
        let text = match &self.request {
            Some(whole) => self.whole(whole)?,
            None => self.of_parts(user)?,
        };
        parse(text)
    }

    /// A file of an editor has line feeds alone, and no length.
    fn whole(&self, whole: &str) -> Result<String, IfcTestError> {
        let parts = [self.method.is_some(), self.uri.is_some(), self.body.is_some()];
        if parts.contains(&true) || !self.headers.is_empty() {
            return Err(IfcTestError::new(
                "a whole request and parts of one were given",
                "give either the request, or method, URI, headers and body",
            ));
        }
        let text = whole.trim_start().replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or_else(|| (text.trim_end(), ""));
        let lines = head
            .lines()
            .filter(|line| !is_named(line, HeaderName::ContentLength));
        let lines: Vec<&str> = lines.collect();
        let body = body.replace('\n', "\r\n");
        Ok(joined(&lines, &body))
    }

    fn of_parts(&self, user: &str) -> Result<String, IfcTestError> {
        let method = self.method.as_deref().unwrap_or("INVITE");
        let uri = self.request_uri(method, user)?;
        let given = |name: HeaderName| self.headers.iter().any(|line| is_named(line, name));
        let mut lines = vec![
            format!("{method} {uri} SIP/2.0"),
            format!("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-{CALL_ID}"),
        ];
        let from = if self.case.is_terminating() {
            "sip:caller@invalid"
        } else {
            user
        };
        let is_register = method == Method::Register.as_str();
        let to = if is_register { user } else { uri.as_str() };
        let defaults = [
            (HeaderName::From, format!("<{from}>;tag={CALL_ID}")),
            (HeaderName::To, format!("<{to}>")),
            (HeaderName::CallId, CALL_ID.to_owned()),
            (HeaderName::CSeq, format!("1 {method}")),
            (HeaderName::MaxForwards, "70".to_owned()),
        ];
        for (name, value) in defaults {
            if !given(name) {
                lines.push(format!("{}: {value}", name.as_str()));
            }
        }
        // The P-CSCF asserts who sends it (TS 24.229 5.2.6.3).
        if !is_register && !self.case.is_terminating() && !given(HeaderName::PAssertedIdentity) {
            lines.push(format!("P-Asserted-Identity: <{user}>"));
        }
        if self.body.is_some() && !given(HeaderName::ContentType) {
            lines.push("Content-Type: application/sdp".to_owned());
        }
        let others = self.headers.iter();
        lines.extend(
            others
                .filter(|line| !is_named(line, HeaderName::ContentLength))
                .cloned(),
        );
        if let Some(bad) = lines.iter().find(|line| line.contains(['\r', '\n'])) {
            return Err(IfcTestError::new(
                format!("{:?} is more than one line", cut(bad)),
                "give one header line at a time",
            ));
        }
        let body = self.body.as_deref().unwrap_or_default();
        let body = body.replace("\r\n", "\n").replace('\n', "\r\n");
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        Ok(joined(&lines, &body))
    }

    fn request_uri(&self, method: &str, user: &str) -> Result<String, IfcTestError> {
        if let Some(uri) = &self.uri {
            return Ok(uri.clone());
        }
        if method == Method::Register.as_str() {
            let host = user.split_once('@').map_or("invalid", |(_, host)| host);
            return Ok(format!("sip:{host}"));
        }
        match self.case.is_terminating() {
            true => Ok(user.to_owned()),
            false => Err(IfcTestError::new(
                "nobody knows whom the request is for",
                "give its Request-URI: --uri tel:+15550002",
            )),
        }
    }
}

fn is_named(line: &str, name: HeaderName) -> bool {
    let written = line.split(':').next().unwrap_or_default().trim();
    HeaderName::from_bytes(written.as_bytes()) == name
}

fn joined(lines: &[&str], body: &str) -> String {
    format!(
        "{}\r\nContent-Length: {}\r\n\r\n{body}",
        lines.join("\r\n"),
        body.len()
    )
}

fn parse(text: String) -> Result<Request, IfcTestError> {
    let refused = |why: &dyn std::fmt::Display| {
        IfcTestError::new(
            format!("this is no SIP request: {why}"),
            "check the request line and that each header line is `Name: value`",
        )
    };
    let message = Message::parse(Bytes::from(text), &SipLimits::default()).map_err(|e| refused(&e))?;
    match message.into_parts() {
        SipMessage::Request(request) => Ok(request),
        SipMessage::Response(_) => Err(refused(&"it is a response")),
    }
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ifc_test::ServedCase;

    const ALICE: &str = "sip:alice@home.example";

    fn printed(test: &IfcTest) -> String {
        let request = test.sip_request(ALICE).unwrap();
        String::from_utf8_lossy(request.bytes()).replace("\r\n", "\n")
    }

    #[test]
    fn a_request_of_its_parts_is_what_the_p_cscf_would_send() {
        let test = IfcTest {
            uri: Some("tel:+15550002".into()),
            headers: vec!["Accept-Contact: *;mmtel".into()],
            body: Some("v=0\nm=audio 1 RTP/AVP 0\n".into()),
            ..IfcTest::default()
        };
        assert_eq!(
            printed(&test),
            "INVITE tel:+15550002 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-ifc-test\n\
             From: <sip:alice@home.example>;tag=ifc-test\nTo: <tel:+15550002>\nCall-ID: ifc-test\nCSeq: 1 INVITE\n\
             Max-Forwards: 70\nP-Asserted-Identity: <sip:alice@home.example>\nContent-Type: application/sdp\n\
             Accept-Contact: *;mmtel\nContent-Length: 26\n\nv=0\nm=audio 1 RTP/AVP 0\n"
        );
    }

    #[test]
    fn a_request_for_the_user_goes_to_them_and_a_register_to_their_network() {
        let to = IfcTest {
            case: ServedCase::Terminating,
            ..IfcTest::default()
        };
        assert!(printed(&to).starts_with("INVITE sip:alice@home.example SIP/2.0\n"));
        assert!(!printed(&to).contains("P-Asserted-Identity"));
        let register = IfcTest {
            method: Some("REGISTER".into()),
            ..IfcTest::default()
        };
        let text = printed(&register);
        assert!(text.starts_with("REGISTER sip:home.example SIP/2.0\n"), "{text}");
        assert!(text.contains("To: <sip:alice@home.example>\n"), "{text}");
    }

    #[test]
    fn what_is_given_replaces_the_default_whatever_its_form() {
        let test = IfcTest {
            uri: Some("sip:b@home.example".into()),
            headers: vec!["f: <sip:x@y>;tag=1".into(), "l: 7".into()],
            ..IfcTest::default()
        };
        let text = printed(&test);
        assert!(
            text.contains("f: <sip:x@y>;tag=1\n") && !text.contains("From:"),
            "{text}"
        );
        assert!(
            text.contains("Content-Length: 0\n") && !text.contains("l: 7"),
            "{text}"
        );
    }

    #[test]
    fn a_file_of_an_editor_is_a_request() {
        let file = "\nMESSAGE sip:b@home.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a@h>;tag=1\n\
            To: <sip:b@h>\nCall-ID: 1\nCSeq: 1 MESSAGE\nContent-Length: 99\n\nhello\n";
        let test = IfcTest {
            request: Some(file.into()),
            ..IfcTest::default()
        };
        let request = test.sip_request(ALICE).unwrap();
        assert_eq!(
            (request.method(), request.body()),
            (Method::Message, &b"hello\r\n"[..])
        );
        let bare = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
            To: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n";
        let test = IfcTest {
            request: Some(bare.into()),
            ..IfcTest::default()
        };
        assert!(test.sip_request(ALICE).is_ok());
    }

    #[test]
    fn what_is_no_request_is_refused_with_a_remedy() {
        let of = |change: fn(&mut IfcTest)| {
            let mut test = IfcTest {
                uri: Some("tel:+1".into()),
                ..IfcTest::default()
            };
            change(&mut test);
            test.sip_request(ALICE).map(|_| ()).unwrap_err()
        };
        let none = of(|test| test.uri = None);
        assert!(none.hint.contains("--uri"), "{none:?}");
        let spliced = of(|test| test.headers = vec!["X: 1\r\nY: 2".into()]);
        assert!(spliced.error.contains("more than one line"), "{spliced:?}");
        let both = of(|test| test.request = Some("OPTIONS sip:a SIP/2.0\n\n".into()));
        assert!(both.error.contains("parts"), "{both:?}");
        let bad = of(|test| test.method = Some("IN VITE".into()));
        assert!(bad.error.starts_with("this is no SIP request"), "{bad:?}");
        let response = of(|test| {
            test.uri = None;
            test.request = Some("SIP/2.0 200 OK\nCall-ID: 1\n".into());
        });
        assert!(
            response.error.starts_with("this is no SIP request"),
            "{response:?}"
        );
        let headers = of(|test| test.headers = vec!["no colon".into()]);
        assert!(headers.error.starts_with("this is no SIP request"), "{headers:?}");
    }
}
