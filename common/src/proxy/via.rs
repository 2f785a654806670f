//! Codec: the Via that we write, and how we know it again (RFC 3261 16.6 step 8, RFC 5393 4.2).

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::net::Transport;
use crate::sip::{HeaderName, Request, Via};
use crate::transaction::wire;

const COOKIE: &str = "z9hG4bK";
/// Length of a token, see [`crate::token`].
const TOKEN: usize = 28;
/// Length of the printed loop hash.
const HASH: usize = 16;

/// A branch: the cookie, a token of ours, and the hash by which a loop is told from a spiral.
pub(super) fn branch(token: &str, loop_hash: u64) -> String {
    let mut branch = String::with_capacity(COOKIE.len() + TOKEN + HASH);
    branch.push_str(COOKIE);
    branch.push_str(token);
    // Writing to a String does not fail.
    let _ = write!(branch, "{loop_hash:016x}");
    branch
}

/// Our Via value. RFC 3581 3: `rport` is asked for on datagrams.
pub(super) fn value(transport: Transport, sent_by: &str, branch: &str) -> String {
    let rport = match transport {
        Transport::Udp => ";rport",
        Transport::Tcp => "",
    };
    [
        "SIP/2.0/",
        wire::transport_token(transport),
        " ",
        sent_by,
        ";branch=",
        branch,
        rport,
    ]
    .concat()
}

/// RFC 5393 4.2.1: a hash over everything that decides where a request goes. Via is left out, so that a true
/// loop, where only Via grows, gives the same hash again.
pub(super) fn loop_hash(request: &Request) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.request_uri_bytes().hash(&mut hasher);
    // No proxy changes these, so that the whole values do for their tags.
    request.header(HeaderName::From).hash(&mut hasher);
    request.header(HeaderName::To).hash(&mut hasher);
    request.call_id().hash(&mut hasher);
    request.cseq().map_or(0, |cseq| cseq.number).hash(&mut hasher);
    for name in [
        HeaderName::Route,
        HeaderName::ProxyRequire,
        HeaderName::ProxyAuthorization,
    ] {
        for value in request.headers(name) {
            value.hash(&mut hasher);
        }
        0xff_u8.hash(&mut hasher);
    }
    hasher.finish()
}

/// RFC 3261 16.3 step 4: whether one of the Vias is ours and carries the hash of this very request.
pub(super) fn is_loop(request: &Request, loop_hash: u64, is_own: impl Fn(&[u8]) -> bool) -> bool {
    let hash = format!("{loop_hash:016x}");
    request
        .values(HeaderName::Via)
        // Few Vias hold the hash at all; only those are worth to be read.
        .filter(|via| memchr::memmem::find(via, hash.as_bytes()).is_some())
        .filter_map(|via| Via::parse(via).ok())
        .any(|via| {
            via.branch().is_some_and(|branch| {
                branch.len() == COOKIE.len() + TOKEN + HASH
                    && branch.starts_with(COOKIE.as_bytes())
                    && branch.ends_with(hash.as_bytes())
                    && is_own(via.sent_by())
            })
        })
}
