//! Testkit: messages made at random: what was written is what is read, and what is read is what is sent on.

use bytes::Bytes;
use ims_common::limits::SipLimits;
use ims_common::sip::{HeaderName, Message, Uri};
use proptest::prelude::*;

use crate::{edit_everything, read_everything};

/// A header line: name, value, and how it is written.
#[derive(Clone, Debug)]
struct Line {
    name: String,
    value: String,
    before_colon: &'static str,
    after_colon: &'static str,
    fold: bool,
}

impl Line {
    fn written(&self) -> String {
        let value = if self.fold {
            self.value.replace(' ', "\r\n ")
        } else {
            self.value.clone()
        };
        format!(
            "{}{}:{}{value}\r\n",
            self.name, self.before_colon, self.after_colon
        )
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Via".to_owned()),
        Just("v".to_owned()),
        Just("ROUTE".to_owned()),
        Just("k".to_owned()),
        Just("subject".to_owned()),
        "X-[A-Za-z0-9!%*_+`'~.-]{1,20}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["", "[!-~]([ -~]{0,60}[!-~])?", "[!-~]\\PC{0,20}[!-~]"]
}

fn line() -> impl Strategy<Value = Line> {
    (
        name(),
        value(),
        prop_oneof![Just(""), Just(" "), Just("\t ")],
        prop_oneof![Just(""), Just(" "), Just("   \t"), Just("\r\n ")],
        any::<bool>(),
    )
        .prop_map(|(name, value, before_colon, after_colon, fold)| Line {
            name,
            value,
            before_colon,
            after_colon,
            fold,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_and_sent_on(
        lines in prop::collection::vec(line(), 0..60),
        body in prop::collection::vec(any::<u8>(), 0..200),
        leading in 0_usize..3,
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut text = String::from("MESSAGE sip:b@h.example SIP/2.0\r\n");
        text.extend(lines.iter().map(Line::written));
        text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut exact = text.into_bytes();
        exact.extend_from_slice(&body);
        let mut wire = b"\r\n".repeat(leading);
        wire.extend_from_slice(&exact);
        wire.extend_from_slice(&tail);

        let message = Message::parse(Bytes::from(wire), &SipLimits::default()).unwrap();
        prop_assert_eq!(message.bytes().as_ref(), exact.as_slice());
        prop_assert_eq!(message.body(), body.as_slice());
        prop_assert_eq!(message.header_lines().count(), lines.len() + 1);
        for (line, (name, value)) in lines.iter().zip(message.header_lines()) {
            prop_assert_eq!(name, line.name.as_bytes());
            let unfolded = String::from_utf8_lossy(value).replace("\r\n ", " ");
            prop_assert_eq!(unfolded, line.value.as_str());
        }
        read_everything(&message);
        edit_everything(message);
    }

    #[test]
    fn values_are_the_same_in_one_line_or_in_several(values in prop::collection::vec("(\"[a-z,<;\\\\\\\\]{0,5}\\\\\\\\,\" ?)?<sip:[a-z,;]{1,9}@h\\.example>(;[a-z]{1,4}=\"[,<> a-z]{0,5}\")?", 1..8), split in any::<u8>()) {
        let joined = values.join(" , ");
        let (a, b) = values.split_at(usize::from(split) % values.len());
        let text = format!("OPTIONS sip:h SIP/2.0\r\nRoute: {joined}\r\n{}Path: {}\r\n\r\n", if a.is_empty() { String::new() } else { format!("Path: {}\r\n", a.join(",")) }, b.join(","));
        let message = Message::parse(Bytes::from(text), &SipLimits::default()).unwrap();
        let expected: Vec<_> = values.iter().map(String::as_bytes).collect();
        prop_assert_eq!(message.values(HeaderName::Route).collect::<Vec<_>>(), expected.clone());
        prop_assert_eq!(message.values(HeaderName::Path).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn sip_uris_are_read_as_they_were_put_together(
        user in prop::option::of("([a-z0-9_.!~*'()&=+$,;?/-]|%[0-9a-f]{2}){1,12}"),
        host in prop_oneof!["[a-z][a-z0-9-]{0,9}(\\.[a-z]{2,5}){0,2}", Just("192.0.2.7".to_owned()), Just("[2001:db8::7]".to_owned())],
        port in prop::option::of(1_u16..),
        params in prop::collection::vec(("[a-z]{1,8}", prop::option::of("[a-z0-9.%-]{0,3}[a-z0-9]")), 0..4),
    ) {
        let mut text = String::from("sip:");
        text.extend(user.iter().map(|user| format!("{user}@")));
        text.push_str(&host);
        text.extend(port.iter().map(|port| format!(":{port}")));
        let params: Vec<_> = params.into_iter().map(|(n, v)| (n, v.map(|v| v.replace('%', "%25")))).collect();
        for (name, value) in &params {
            text.push_str(&format!(";{name}"));
            text.extend(value.iter().map(|value| format!("={value}")));
        }
        let uri = Uri::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(uri.user(), user.as_deref().map(str::as_bytes));
        prop_assert_eq!(uri.host().to_string(), host);
        prop_assert_eq!(uri.port(), port);
        let read: Vec<_> = uri.params().iter().map(|(n, v)| (String::from_utf8_lossy(n).into_owned(), v.map(|v| String::from_utf8_lossy(v).into_owned()))).collect();
        prop_assert_eq!(read, params.clone());
        let unique = params.iter().enumerate().all(|(i, (n, _))| params.iter().skip(i + 1).all(|(m, _)| m != n));
        prop_assert!(!unique || uri.equivalent(&Uri::parse(text.as_bytes()).unwrap()));
    }

    #[test]
    fn nothing_at_random_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = Message::parse(Bytes::from(bytes.clone()), &SipLimits::default()) {
            edit_everything(message);
        }
        let _ = Uri::parse(&bytes).map(|uri| uri.equivalent(&uri));
    }
}
