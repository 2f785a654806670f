//! Codec: the body of a third-party REGISTER (TS 24.229 5.4.1.7A, 7.6; RFC 3261 27.5; RFC 2046 5.1).

use bytes::Bytes;

use crate::xml::Escaped;

/// One part.
#[derive(Debug)]
pub(super) struct Part {
    content_type: &'static str,
    body: Bytes,
}

impl Part {
    /// What the HSS has for the application server.
    pub(super) fn service_info(info: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ims-3gpp version=\"1\"><service-info>{}</service-info></ims-3gpp>\n",
            Escaped(info)
        );
        Self {
            content_type: "application/3gpp-ims+xml",
            body: body.into(),
        }
    }

    /// A whole SIP message.
    pub(super) fn message(bytes: &Bytes) -> Self {
        Self {
            content_type: "message/sip",
            body: bytes.clone(),
        }
    }
}

/// Content-Type and body; `None` when there is no part. `boundary` occurs in no part: nobody can guess it.
pub(super) fn of(mut parts: Vec<Part>, boundary: String) -> Option<(String, Bytes)> {
    if parts.len() < 2 {
        let Part { content_type, body } = parts.pop()?;
        return Some((content_type.to_owned(), body));
    }
    let mut body = Vec::new();
    for part in &parts {
        let head = format!("--{boundary}\r\nContent-Type: {}\r\n\r\n", part.content_type);
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&part.body);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Some((format!("multipart/mixed;boundary={boundary}"), body.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: Vec<Part>) -> Option<(String, String)> {
        let (content_type, body) = of(parts, "b1".to_owned())?;
        Some((content_type, String::from_utf8(body.to_vec()).unwrap()))
    }

    #[test]
    fn one_part_is_the_body_and_several_are_multipart() {
        assert_eq!(text(Vec::new()), None);
        let (content_type, body) = text(vec![Part::service_info("<a>&")]).unwrap();
        assert_eq!(content_type, "application/3gpp-ims+xml");
        assert!(
            body.contains("<service-info>&lt;a&gt;&amp;</service-info>"),
            "{body}"
        );
        let message = Bytes::from_static(b"REGISTER sip:h SIP/2.0\r\n\r\n");
        let (content_type, body) = text(vec![Part::service_info("x"), Part::message(&message)]).unwrap();
        assert_eq!(content_type, "multipart/mixed;boundary=b1");
        assert!(
            body.starts_with("--b1\r\nContent-Type: application/3gpp-ims+xml\r\n\r\n<?xml"),
            "{body}"
        );
        assert!(
            body.ends_with(
                "--b1\r\nContent-Type: message/sip\r\n\r\nREGISTER sip:h SIP/2.0\r\n\r\n\r\n--b1--\r\n"
            ),
            "{body}"
        );
    }
}
