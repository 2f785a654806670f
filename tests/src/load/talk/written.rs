//! Testkit: templates of what phones say in calls and messages.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;

use super::heard::Heard;
use crate::site::HOME;

/// Octets of a message, kept until it need not be sent again.
pub(crate) type Octets = Rc<[u8]>;

/// AMR-WB, AMR and telephone events, as phones for voice over LTE offer them.
const SDP: &str = "m=audio 49152 RTP/AVP 116 107 118 96 111\r\n\
    b=AS:41\r\nb=RS:512\r\nb=RR:1537\r\n\
    a=rtpmap:116 AMR-WB/16000/1\r\na=fmtp:116 mode-change-capability=2;max-red=0\r\n\
    a=rtpmap:107 AMR-WB/16000/1\r\na=fmtp:107 octet-align=1;mode-change-capability=2;max-red=0\r\n\
    a=rtpmap:118 AMR/8000/1\r\na=fmtp:118 mode-change-capability=2;max-red=0\r\n\
    a=rtpmap:96 telephone-event/16000\r\na=fmtp:96 0-15\r\n\
    a=rtpmap:111 telephone-event/8000\r\na=fmtp:111 0-15\r\n\
    a=ptime:20\r\na=maxptime:240\r\na=sendrecv\r\n";
const TEXT: &str = "See you at the station at half past seven, platform two. Bring the umbrella.";
const ALLOW: &str = "INVITE, ACK, OPTIONS, CANCEL, BYE, UPDATE, INFO, REFER, NOTIFY, MESSAGE, PRACK";
const ACCESS: &str = "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000001";
const SERVICE: &str = "urn:urn-7:3gpp-service.ims.icsi.mmtel";
const FEATURE: &str = "+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\"";

/// One who calls or is called.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) imsi: u64,
    /// `+` and digits.
    pub(crate) number: String,
    pub(crate) local: SocketAddr,
    /// The P-CSCF and the Service-Route, as the value of Route.
    pub(crate) route: String,
}

impl Party {
    fn contact(&self) -> String {
        format!("sip:{:015}@{}", self.imsi, self.local)
    }
}

/// What names a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) run: u32,
    pub(super) number: u32,
}

/// The way of a request and whom it reaches.
#[derive(Clone, Debug, Default)]
pub(super) struct Dialog {
    /// Value of Route.
    pub(super) route: String,
    /// Request-URI.
    pub(super) target: String,
    /// Value of To.
    pub(super) to: String,
}

impl Dialog {
    /// Of the first request.
    pub(super) fn towards(caller: &Party, callee: &Party) -> Self {
        let target = format!("sip:{}@{HOME}", callee.number);
        Self {
            route: caller.route.clone(),
            to: format!("<{target}>"),
            target,
        }
    }
}

/// INVITE with an offer.
pub(super) fn invite(name: Name, caller: &Party, dialog: &Dialog) -> Octets {
    let mut out = begin(name, caller, dialog, 1, "INVITE");
    let Party { number, local, .. } = caller;
    let _ = write!(
        out,
        "Contact: <{contact}>;{FEATURE}\r\nP-Preferred-Identity: <sip:{number}@{HOME}>\r\n\
         P-Access-Network-Info: {ACCESS}\r\nP-Preferred-Service: {SERVICE}\r\nAccept-Contact: *;{FEATURE}\r\n\
         Allow: {ALLOW}\r\nSupported: timer\r\nAccept: application/sdp, application/3gpp-ims+xml\r\n\
         User-Agent: load\r\n",
        contact = caller.contact()
    );
    finish(out, "application/sdp", &sdp(local))
}

/// MESSAGE with a text.
pub(super) fn message(name: Name, caller: &Party, dialog: &Dialog) -> Octets {
    let mut out = begin(name, caller, dialog, 1, "MESSAGE");
    let _ = write!(
        out,
        "P-Preferred-Identity: <sip:{number}@{HOME}>\r\nP-Access-Network-Info: {ACCESS}\r\nAllow: {ALLOW}\r\n\
         User-Agent: load\r\n",
        number = caller.number
    );
    finish(out, "text/plain", TEXT)
}

/// ACK of a 2xx, or with the branch of its INVITE of another final response.
pub(super) fn ack(name: Name, caller: &Party, dialog: &Dialog, is_accepted: bool) -> Octets {
    let out = if is_accepted {
        begin(name, caller, dialog, 1, "ACK")
    } else {
        // RFC 3261 17.1.1.3
        begin(name, caller, dialog, 1, "ACK").replacen("-1-ACK;", "-1-INVITE;", 1)
    };
    end(out)
}

/// BYE of the caller.
pub(super) fn bye(name: Name, caller: &Party, dialog: &Dialog) -> Octets {
    let mut out = begin(name, caller, dialog, 2, "BYE");
    let _ = write!(out, "P-Access-Network-Info: {ACCESS}\r\n");
    end(out)
}

/// A response of one who is called.
pub(super) fn response(status: &str, request: &Heard<'_>, callee: Option<&Party>) -> Octets {
    let mut out = String::with_capacity(2_048);
    let _ = write!(out, "SIP/2.0 {status}\r\n");
    for via in &request.vias {
        let _ = write!(out, "Via: {via}\r\n");
    }
    for route in &request.record_routes {
        let _ = write!(out, "Record-Route: {route}\r\n");
    }
    let tag = if request.to.contains(";tag=") {
        ""
    } else {
        ";tag=callee"
    };
    let _ = write!(
        out,
        "From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
        request.from, request.to, request.call_id, request.cseq
    );
    let Some(callee) = callee else { return end(out) };
    let _ = write!(
        out,
        "Contact: <{}>;{FEATURE}\r\nP-Access-Network-Info: {ACCESS}\r\nAllow: {ALLOW}\r\n",
        callee.contact()
    );
    if status.starts_with("200") {
        return finish(out, "application/sdp", &sdp(&callee.local));
    }
    end(out)
}

fn begin(name: Name, caller: &Party, dialog: &Dialog, cseq: u32, method: &str) -> String {
    let Name { run, number } = name;
    let Dialog { route, target, to } = dialog;
    let Party {
        number: from, local, ..
    } = caller;
    let mut out = String::with_capacity(2_560);
    let _ = write!(
        out,
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{run:x}-{number:x}-{cseq}-{method};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{from}@{HOME}>;tag={run:x}-{number:x}\r\nTo: {to}\r\n\
         Call-ID: {run:08x}{number:08x}@{ip}\r\nCSeq: {cseq} {method}\r\n",
        ip = local.ip()
    );
    if !route.is_empty() {
        let _ = write!(out, "Route: {route}\r\n");
    }
    out
}

fn finish(mut out: String, kind: &str, body: &str) -> Octets {
    let length = body.len();
    let _ = write!(
        out,
        "Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    out.into_bytes().into()
}

fn end(mut out: String) -> Octets {
    out.push_str("Content-Length: 0\r\n\r\n");
    out.into_bytes().into()
}

fn sdp(local: &SocketAddr) -> String {
    let ip = local.ip();
    format!("v=0\r\no=- 3912 3912 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n{SDP}")
}
