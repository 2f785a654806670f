//! Testkit: a second, simple-minded reader of SIP text.
//!
//! The ladder and the invariants do not believe the codec they watch: they read messages by themselves.

/// A SIP message as text.
#[derive(Clone, Copy, Debug)]
pub struct SipText<'a> {
    head: &'a str,
}

impl<'a> SipText<'a> {
    /// Reads the head; `None` when it is not UTF-8.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or(bytes.len());
        let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
        Some(Self { head })
    }

    /// The first line.
    #[must_use]
    pub fn start_line(&self) -> &'a str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.start_line().strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> Option<&'a str> {
        self.status()
            .is_none()
            .then(|| self.start_line().split(' ').next())?
    }

    /// The Request-URI of a request.
    #[must_use]
    pub fn request_uri(&self) -> Option<&'a str> {
        self.method()?;
        self.start_line().split(' ').nth(1)
    }

    /// Each line of this name, in order.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let compact = compact(name);
        let name = name.to_owned();
        self.head.lines().skip(1).filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            let found = found.trim();
            let same = found.eq_ignore_ascii_case(&name) || Some(found) == compact;
            same.then(|| value.trim())
        })
    }

    /// The first line of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// A parameter of the first line of this name, without its quotes.
    #[must_use]
    pub fn param(&self, header: &str, param: &str) -> Option<&'a str> {
        self.header(header).and_then(|value| param_of(value, param))
    }
}

/// A parameter of a header value, without its quotes.
#[must_use]
pub fn param_of<'a>(value: &'a str, param: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = value.get(from..)?.find(param) {
        let start = from + at;
        from = start + param.len();
        let before = value.get(..start)?.chars().next_back();
        let Some(rest) = value.get(from..)?.strip_prefix('=') else {
            continue;
        };
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '+' || c == '/') {
            continue;
        }
        return rest.strip_prefix('"').map_or_else(
            || rest.split([',', ';', ' ', '>']).next(),
            |quoted| quoted.split('"').next(),
        );
    }
    None
}

fn compact(name: &str) -> Option<&'static str> {
    [
        ("via", "v"),
        ("from", "f"),
        ("to", "t"),
        ("call-id", "i"),
        ("contact", "m"),
        ("supported", "k"),
        ("content-length", "l"),
        ("content-type", "c"),
    ]
    .into_iter()
    .find(|(long, _)| name.eq_ignore_ascii_case(long))
    .map(|(_, short)| short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_whole_and_unquoted() {
        let value = r#"Digest username="a",nonce="AAck=",algorithm=AKAv1-MD5,ik="00""#;
        assert_eq!(param_of(value, "nonce"), Some("AAck="));
        assert_eq!(param_of(value, "algorithm"), Some("AKAv1-MD5"));
        assert_eq!(param_of(value, "ik"), Some("00"));
        assert_eq!(param_of(value, "ck"), None);
    }

    #[test]
    fn compact_names_are_the_long_ones() {
        let text = SipText::new(b"MESSAGE tel:+1 SIP/2.0\r\nf: <sip:a@b>\r\n\r\nTo: body").unwrap();
        assert_eq!(text.header("From"), Some("<sip:a@b>"));
        assert_eq!(text.header("To"), None);
        assert_eq!(text.method(), Some("MESSAGE"));
    }
}
