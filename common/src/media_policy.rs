//! Engine: whether the media of an offer are those that the user may have (TS 24.229 6.3, TS 29.228 B.2.1).

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::sip::{Request, sdp};

/// Media descriptions of one offer that are looked at; further ones are not allowed.
const MEDIA_MAX: usize = 32;
/// The first payload type that has no codec of its own (RFC 3551 6).
const DYNAMIC: u8 = 96;

/// The media profiles of the configuration.
#[derive(Clone, Debug, Default)]
pub struct MediaPolicy {
    profiles: BTreeMap<Option<u32>, MediaProfile>,
}

/// What may be offered.
#[derive(Clone, Debug)]
pub struct MediaProfile {
    /// Types in lower case with their codecs; none is all.
    media: BTreeMap<String, Vec<String>>,
}

/// What becomes of an offer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MediaVerdict {
    /// It passes.
    Allowed,
    /// 488 with this session description: what would be allowed (RFC 3264 9).
    NotAllowed(String),
}

/// One media description of an offer.
#[derive(Debug)]
struct Medium<'a> {
    kind: String,
    protocol: &'a str,
    formats: Vec<&'a str>,
    /// Payload type and encoding name of `a=rtpmap`.
    encodings: Vec<(&'a str, &'a str)>,
}

impl MediaPolicy {
    /// Adds a profile. False when there is one of this id already; the new one counts.
    pub fn insert(&mut self, id: Option<u32>, profile: MediaProfile) -> bool {
        self.profiles.insert(id, profile).is_none()
    }

    /// What becomes of the offer in a request of a user with this `SubscribedMediaProfileId`. Profiles that the
    /// configuration does not have filter nothing, and neither do requests without a session description.
    #[must_use]
    pub fn verdict(&self, request: &Request, subscribed: Option<u32>) -> MediaVerdict {
        match self.profiles.get(&subscribed) {
            Some(profile) => profile.verdict(request),
            None => MediaVerdict::Allowed,
        }
    }
}

impl MediaProfile {
    /// Of types of media with their codecs; no codec is all.
    #[must_use]
    pub fn new(media: &BTreeMap<String, Vec<String>>) -> Self {
        let lower = |(kind, codecs): (&String, &Vec<String>)| (kind.to_ascii_lowercase(), codecs.clone());
        Self {
            media: media.iter().map(lower).collect(),
        }
    }

    /// What becomes of the offer in a request. One without a session description offers nothing.
    #[must_use]
    pub fn verdict(&self, request: &Request) -> MediaVerdict {
        let bodies = sdp::bodies(request);
        let media: Vec<Medium<'_>> = bodies.iter().flat_map(|body| media_of(body)).collect();
        match media.len() <= MEDIA_MAX && media.iter().all(|medium| self.allows(medium)) {
            true => MediaVerdict::Allowed,
            false => MediaVerdict::NotAllowed(self.describe()),
        }
    }

    fn allows(&self, medium: &Medium<'_>) -> bool {
        let Some(codecs) = self.media.get(&medium.kind) else {
            return false;
        };
        let is_rtp = medium.protocol.contains("RTP/");
        codecs.is_empty()
            || !is_rtp
            || medium.formats.iter().all(|format| {
                let offered = medium.encoding(format);
                codecs
                    .iter()
                    .any(|codec| name(codec).eq_ignore_ascii_case(offered))
            })
    }

    /// What is allowed, without addresses: ports are 0 (RFC 3264 9).
    fn describe(&self) -> String {
        let mut text = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n".to_owned();
        for (kind, codecs) in &self.media {
            let codecs: Vec<&str> = match codecs.is_empty() {
                true => usual(kind).to_vec(),
                false => codecs.iter().map(String::as_str).collect(),
            };
            if codecs.is_empty() {
                // Writing to a String does not fail.
                let _ = write!(text, "m={kind} 0 {} *\r\n", usual_protocol(kind));
                continue;
            }
            let types = (DYNAMIC..=127).zip(&codecs);
            let formats: Vec<String> = types.clone().map(|(number, _)| number.to_string()).collect();
            let _ = write!(text, "m={kind} 0 RTP/AVP {}\r\n", formats.join(" "));
            for (number, codec) in types {
                let _ = match codec.contains('/') {
                    true => write!(text, "a=rtpmap:{number} {codec}\r\n"),
                    false => write!(text, "a=rtpmap:{number} {codec}/{}\r\n", clock_of(kind, codec)),
                };
            }
        }
        text
    }
}

impl Medium<'_> {
    /// The encoding name of a payload type: as the offer says, or the one that it always has (RFC 3551 6).
    fn encoding(&self, format: &str) -> &str {
        let said = self.encodings.iter().find(|(number, _)| *number == format);
        said.map_or_else(|| static_encoding(format), |(_, encoding)| name(encoding))
    }
}

/// The media descriptions that are not switched off (RFC 3264 6).
fn media_of(body: &[u8]) -> Vec<Medium<'_>> {
    let mut media: Vec<(bool, Medium<'_>)> = Vec::new();
    for (kind, value) in sdp::lines(body) {
        let value = std::str::from_utf8(value).unwrap_or_default();
        let has_room = media.len() <= MEDIA_MAX;
        match (kind, media.last_mut()) {
            (b'm', _) if has_room => media.push(medium(value)),
            (b'a', Some((_, medium))) if medium.encodings.len() < 64 => {
                let encoding = value
                    .strip_prefix("rtpmap:")
                    .and_then(|rest| rest.split_once(' '));
                medium.encodings.extend(encoding);
            }
            _ => {}
        }
    }
    media
        .into_iter()
        .filter(|(is_on, _)| *is_on)
        .map(|(_, medium)| medium)
        .collect()
}

/// RFC 8866 5.14: `m=<media> <port> <proto> <fmt> …`
fn medium(value: &str) -> (bool, Medium<'_>) {
    let mut parts = value.split_ascii_whitespace();
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_on = parts.next() != Some("0");
    let protocol = parts.next().unwrap_or_default();
    let medium = Medium {
        kind,
        protocol,
        formats: parts.take(64).collect(),
        encodings: Vec::new(),
    };
    (is_on, medium)
}

/// `AMR` of `AMR/8000`.
fn name(encoding: &str) -> &str {
    encoding.split('/').next().unwrap_or_default()
}

/// RFC 3551 6, tables 4 and 5.
fn static_encoding(format: &str) -> &'static str {
    match format {
        "0" => "PCMU",
        "3" => "GSM",
        "4" => "G723",
        "8" => "PCMA",
        "9" => "G722",
        "15" => "G728",
        "18" => "G729",
        "26" => "JPEG",
        "31" => "H261",
        "32" => "MPV",
        "34" => "H263",
        _ => "",
    }
}

/// What stands for any codec of a type.
fn usual(kind: &str) -> &'static [&'static str] {
    match kind {
        "audio" => &["AMR", "AMR-WB", "EVS", "telephone-event"],
        "video" => &["H264", "H265"],
        "text" => &["t140"],
        _ => &[],
    }
}

fn usual_protocol(kind: &str) -> &'static str {
    match kind {
        "message" => "TCP/MSRP",
        _ => "udp",
    }
}

fn clock_of(kind: &str, codec: &str) -> u32 {
    match (kind, codec.to_ascii_lowercase().as_str()) {
        (_, "amr-wb" | "evs") => 16_000,
        (_, "opus") => 48_000,
        ("video", _) => 90_000,
        ("text", _) => 1_000,
        _ => 8_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SipLimits;
    use crate::sip::{Message, SipMessage};

    fn offer(media: &str) -> Request {
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\n{}",
            media.replace('|', "\r\n")
        );
        let text = format!(
            "INVITE sip:b@home.example SIP/2.0\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let message = Message::parse(text.into(), &SipLimits::default()).unwrap();
        match message.into_parts() {
            SipMessage::Request(request) => request,
            SipMessage::Response(_) => unreachable!("a request was written"),
        }
    }

    fn policy() -> MediaPolicy {
        let profile = |id, media: &[(&str, &[&str])]| {
            let media = media.iter().map(|(kind, codecs)| {
                let codecs = codecs.iter().map(|codec| (*codec).to_owned()).collect();
                ((*kind).to_owned(), codecs)
            });
            (id, MediaProfile::new(&media.collect()))
        };
        let mut policy = MediaPolicy::default();
        for (id, profile) in [
            profile(Some(1), &[("audio", &["AMR", "AMR-WB/16000", "PCMA"])]),
            profile(Some(2), &[("Audio", &[]), ("message", &[])]),
        ] {
            assert!(policy.insert(id, profile));
        }
        policy
    }

    fn is_allowed(media: &str, subscribed: Option<u32>) -> bool {
        policy().verdict(&offer(media), subscribed) == MediaVerdict::Allowed
    }

    #[test]
    fn media_and_codecs_must_be_those_of_the_profile() {
        for (media, of_1, of_2) in [
            ("m=audio 4000 RTP/AVP 96|a=rtpmap:96 AMR/8000|", true, true),
            (
                "m=audio 4000 RTP/AVP 96 8|a=rtpmap:96 amr-wb/16000/1|",
                true,
                true,
            ),
            ("m=audio 4000 RTP/AVP 96 0|a=rtpmap:96 AMR/8000|", false, true),
            ("m=audio 4000 RTP/AVP 96|a=rtpmap:96 EVS/16000|", false, true),
            ("m=audio 4000 RTP/AVP 99|", false, true),
            ("m=audio 4000 RTP/AVP 8|m=video 4002 RTP/AVP 34|", false, false),
            ("m=audio 4000 RTP/AVP 8|m=video 0 RTP/AVP 34|", true, true),
            ("m=message 9 TCP/MSRP *|", false, true),
            ("m=|", false, false),
            ("", true, true),
        ] {
            assert_eq!(is_allowed(media, Some(1)), of_1, "{media}");
            assert_eq!(is_allowed(media, Some(2)), of_2, "{media}");
            // Neither a profile that the configuration does not have nor none at all filters.
            assert!(is_allowed(media, Some(3)) && is_allowed(media, None));
        }
    }

    #[test]
    fn very_many_media_are_not_allowed() {
        assert!(!is_allowed(
            &"m=audio 4000 RTP/AVP 8|".repeat(MEDIA_MAX + 1),
            Some(1)
        ));
    }

    #[test]
    fn a_refusal_tells_what_would_be_allowed() {
        let told = |subscribed| match policy().verdict(&offer("m=video 4000 RTP/AVP 34|"), Some(subscribed)) {
            MediaVerdict::NotAllowed(sdp) => sdp,
            MediaVerdict::Allowed => String::new(),
        };
        let head = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n";
        assert_eq!(
            told(1),
            format!(
                "{head}m=audio 0 RTP/AVP 96 97 98\r\na=rtpmap:96 AMR/8000\r\na=rtpmap:97 AMR-WB/16000\r\n\
                 a=rtpmap:98 PCMA/8000\r\n"
            )
        );
        assert!(told(2).ends_with("m=message 0 TCP/MSRP *\r\n"), "{}", told(2));
        assert!(told(2).contains("a=rtpmap:98 EVS/16000\r\n"), "{}", told(2));
    }
}
