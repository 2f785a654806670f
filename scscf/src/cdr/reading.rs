//! Codec: what a record says of the messages of a session.

use std::time::Duration;

use ims_common::cdr::{CdrCase, CdrService, Record};
use ims_common::sip::{HeaderName, Message, NameAddr, Request, sdp};

use crate::charging::parameters;

/// What a request says for a record.
pub(super) fn record_of(id: String, node: &str, service: CdrService, request: &Request) -> Record {
    let mut record = Record {
        id,
        service,
        node: node.to_owned(),
        case: CdrCase::Originating,
        served: String::new(),
        calling: Vec::new(),
        called: Vec::new(),
        dialled: Record::text(request.request_uri_bytes()),
        target: None,
        icid: None,
        orig_ioi: None,
        term_ioi: None,
        call_ids: Vec::new(),
        access: Vec::new(),
        app_servers: Vec::new(),
        trunk: None,
        media: Vec::new(),
        content_type: None,
        content_octets: None,
        cause: None,
    };
    Record::add(&mut record.call_ids, request.call_id().unwrap_or_default());
    for value in request.values(HeaderName::PAssertedIdentity) {
        Record::add(&mut record.calling, uri_of(value));
    }
    for value in request.values(HeaderName::PAccessNetworkInfo) {
        Record::add(&mut record.access, value);
    }
    note_vector(&mut record, request.header(HeaderName::PChargingVector), false);
    match service {
        CdrService::Session => record.media = media_of(request),
        CdrService::Message => {
            record.content_type = request.header(HeaderName::ContentType).map(Record::text);
            record.content_octets = Some(request.body().len());
        }
    }
    record
}

/// The URI of a header value.
pub(super) fn uri_of(value: &[u8]) -> &[u8] {
    NameAddr::parse(value).map_or(value, |parsed| parsed.uri.as_bytes())
}

/// What a P-Charging-Vector says (RFC 7315 4.6), of a request or of a response.
pub(super) fn note_vector(record: &mut Record, vector: Option<&[u8]>, is_response: bool) {
    let text = vector.and_then(|vector| std::str::from_utf8(vector).ok());
    for parameter in parameters(text.unwrap_or_default()) {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        let value = Record::text(value.trim().trim_matches('"').as_bytes());
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        if is("icid-value") {
            record.icid.get_or_insert(value);
        } else if is("orig-ioi") {
            record.orig_ioi.get_or_insert(value);
        } else if is("term-ioi") && is_response {
            record.term_ioi = Some(value);
        }
    }
}

/// Reason headers (RFC 3326) as they came.
pub(super) fn reason_of(message: &Message) -> Option<String> {
    let mut all = Vec::new();
    for value in message.values(HeaderName::Reason) {
        Record::add(&mut all, value);
    }
    (!all.is_empty()).then(|| all.join(", "))
}

/// Types of the media that are on (RFC 8866 5.14: port 0 says off), in order, each once.
pub(super) fn media_of(message: &Message) -> Vec<String> {
    let mut media = Vec::new();
    for body in sdp::bodies(message) {
        for (_, line) in sdp::lines(body).filter(|(kind, _)| *kind == b'm') {
            let mut words = line.split(|octet| *octet == b' ');
            let (kind, port) = (words.next().unwrap_or_default(), words.next());
            if port.is_some_and(|port| port != b"0") {
                Record::add(&mut media, kind);
            }
        }
    }
    media
}

/// RFC 4028 4: "the absolute minimum is 90 seconds", and whatever asks for less, a session outlives it.
const SESSION_EXPIRES_MIN: Duration = Duration::from_secs(90);

/// RFC 4028 4.
pub(super) fn session_expires(message: &Message) -> Option<Duration> {
    let value = std::str::from_utf8(message.header(HeaderName::SessionExpires)?).ok()?;
    let seconds: u32 = value.split(';').next()?.trim().parse().ok()?;
    Some(Duration::from_secs(u64::from(seconds)).max(SESSION_EXPIRES_MIN))
}

/// What a dialog is known by, whoever speaks in it.
#[derive(Hash)]
pub(super) struct DialogName<'a> {
    call_id: &'a [u8],
    tags: [&'a [u8]; 2],
}

impl<'a> DialogName<'a> {
    pub(super) fn of(message: &'a Message) -> Option<Self> {
        let mut tags = [message.from().ok()?.tag()?, message.to().ok()?.tag()?];
        tags.sort_unstable();
        Some(Self {
            call_id: message.call_id()?,
            tags,
        })
    }
}
