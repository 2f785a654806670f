//! Testkit: a proxy without memory (RFC 3261 16.11) for what the load program needs in the way of calls: an application
//! server that gives every request back, and a home network of one thread.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow};

/// Octets that the kernel is to keep for it.
const RECEIVE_BUFFER: usize = 4 << 20;
const SIP_PORT: u16 = 5060;

/// A request on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Onward<'a> {
    /// As it goes on.
    pub(super) text: String,
    /// The URI of the Route below ours, else the Request-URI.
    pub(super) next: &'a str,
}

/// What a proxy at `own` sends on of a request that has our Route on top; with a Record-Route of ours if asked.
pub(super) fn onward(request: &str, own: SocketAddr, stays: bool) -> Option<Onward<'_>> {
    let mut lines = request.split("\r\n");
    let first = lines.next()?;
    let mut next = first.split(' ').nth(1)?;
    let mut text = String::with_capacity(request.len() + 256);
    let (_, after_via) = request.split_once("branch=")?;
    let branch = after_via.split([';', ',', '\r']).next()?.trim();
    // Writing to a String does not fail.
    let _ = write!(text, "{first}\r\nVia: SIP/2.0/UDP {own};branch={branch}-r\r\n");
    if stays {
        let _ = write!(text, "Record-Route: <sip:{own};lr>\r\n");
    }
    let (mut is_ours, mut is_next) = (true, true);
    let (head, body) = request.split_once("\r\n\r\n")?;
    for line in head.split("\r\n").skip(1) {
        let Some(value) = value_of(line, "Route") else {
            text.extend([line, "\r\n"]);
            continue;
        };
        let mut rest = value;
        if is_ours {
            is_ours = false;
            rest = rest.split_once(',').map_or("", |(_, rest)| rest.trim());
        }
        if !rest.is_empty() {
            if is_next {
                is_next = false;
                next = rest.split(',').next()?;
            }
            let _ = write!(text, "Route: {rest}\r\n");
        }
    }
    text.extend(["\r\n", body]);
    Some(Onward { text, next })
}

/// What a proxy sends back of a response, and to whom.
pub(super) fn back(response: &str) -> Option<(String, SocketAddr)> {
    let mut text = String::with_capacity(response.len());
    let mut to = None;
    let mut is_ours = true;
    let (head, body) = response.split_once("\r\n\r\n")?;
    for (index, line) in head.split("\r\n").enumerate() {
        let via = value_of(line, "Via").filter(|_| index > 0 && to.is_none());
        let Some(mut value) = via else {
            text.extend([line, "\r\n"]);
            continue;
        };
        if is_ours {
            is_ours = false;
            value = value.split_once(',').map_or("", |(_, rest)| rest.trim());
        }
        if !value.is_empty() {
            to = Some(sent_by(value)?);
            let _ = write!(text, "Via: {value}\r\n");
        }
    }
    text.extend(["\r\n", body]);
    Some((text, to?))
}

/// The address in a URI, with angle brackets or without; nothing when it has a name.
pub(super) fn address_of(uri: &str) -> Option<SocketAddr> {
    let (_, rest) = uri.split_once("sip:")?;
    let rest = rest.split([';', '>', '?']).next()?;
    socket_of(rest.rsplit('@').next()?)
}

/// The user of a SIP URI.
pub(super) fn user_of(uri: &str) -> Option<&str> {
    Some(uri.split_once("sip:")?.1.split_once('@')?.0)
}

fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = line.split_once(':')?;
    found.trim_end().eq_ignore_ascii_case(name).then(|| value.trim())
}

/// RFC 3261 18.2.2, RFC 3581 4.
fn sent_by(via: &str) -> Option<SocketAddr> {
    let mut parts = via.split(',').next()?.split(';').map(str::trim);
    let mut address = socket_of(parts.next()?.split_whitespace().nth(1)?)?;
    for part in parts {
        match part.split_once('=') {
            Some(("received", ip)) => address.set_ip(ip.parse().ok()?),
            Some(("rport", port)) => address.set_port(port.parse().ok()?),
            _ => {}
        }
    }
    Some(address)
}

fn socket_of(text: &str) -> Option<SocketAddr> {
    let ip = || Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, SIP_PORT));
    text.parse().ok().or_else(ip)
}

/// Application servers, each at its address until the process ends, that give every request back along its Route; a
/// Route with a name leads to `scscf`. Another call finds them there.
///
/// # Errors
/// When an address is not to be had.
pub(super) fn start_app_servers(addresses: &[SocketAddr], scscf: SocketAddr) -> Result<()> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        let mut all = addresses.iter().map(|address| serve(*address, scscf));
        all.try_for_each(|one| one.map_err(|error| format!("{error:#}")))
    });
    started.clone().map_err(|error| anyhow!(error))
}

fn serve(address: SocketAddr, scscf: SocketAddr) -> Result<()> {
    let socket = bind(address)?;
    std::thread::Builder::new()
        .name("app server".to_owned())
        .spawn(move || {
            let mut buffer = [0; 16_384];
            while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                let Ok(text) = str::from_utf8(buffer.get(..length).unwrap_or_default()) else {
                    continue;
                };
                let sent = if text.starts_with("SIP/2.0 ") {
                    back(text)
                } else {
                    onward(text, address, false)
                        .map(|onward| (onward.text, address_of(onward.next).unwrap_or(scscf)))
                };
                let _ = sent.map(|(text, to)| socket.send_to(text.as_bytes(), to));
            }
        })?;
    Ok(())
}

/// A socket with room for what comes while its thread waits for a core.
pub(super) fn bind(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot have {address}"))?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(socket)
}

/// Where the phones of a home network of one thread are.
#[derive(Debug, Default)]
pub(super) struct Whereabouts(HashMap<String, SocketAddr>);

impl Whereabouts {
    /// Who has this number is there.
    pub(super) fn learn(&mut self, number: String, address: SocketAddr) {
        self.0.insert(number, address);
    }

    /// What is sent next of a message of a phone, and to whom.
    pub(super) fn pass(&self, text: &str, own: SocketAddr) -> Option<(String, SocketAddr)> {
        if text.starts_with("SIP/2.0 ") {
            return back(text);
        }
        let onward = onward(text, own, text.starts_with("INVITE "))?;
        let known = || self.0.get(user_of(onward.next)?).copied();
        let to = address_of(onward.next).or_else(known)?;
        Some((onward.text, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: ([u8; 4], u16) = ([127, 0, 0, 9], 5060);

    #[test]
    fn a_request_goes_where_the_route_below_ours_says_and_its_answer_comes_back() {
        let request = "INVITE tel:+1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.4:5062;branch=z9hG4bK1;rport\r\n\
                       Route: <sip:127.0.0.9;lr>, <sip:odi-1@127.0.0.4:5061;lr>\r\nRoute: <sip:c;lr>\r\n\r\nbody";
        let onward = onward(request, SocketAddr::from(OWN), false).unwrap();
        let next = address_of(onward.next).unwrap();
        assert_eq!(next.to_string(), "127.0.0.4:5061");
        assert_eq!(
            onward.text,
            "INVITE tel:+1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9:5060;branch=z9hG4bK1-r\r\n\
             Via: SIP/2.0/UDP 127.0.0.4:5062;branch=z9hG4bK1;rport\r\nRoute: <sip:odi-1@127.0.0.4:5061;lr>\r\n\
             Route: <sip:c;lr>\r\n\r\nbody"
        );
        let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.9:5060;branch=z9hG4bK1-r\r\n\
                      Via: SIP/2.0/UDP 127.0.0.4:5062;branch=z9hG4bK1;rport=5063\r\n\r\n";
        let (text, to) = back(answer).unwrap();
        assert_eq!(to.to_string(), "127.0.0.4:5063");
        assert_eq!(
            text,
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.4:5062;branch=z9hG4bK1;rport=5063\r\n\r\n"
        );
    }

    #[test]
    fn a_number_is_found_where_its_phone_registered() {
        let mut all = Whereabouts::default();
        all.learn("+15550".to_owned(), SocketAddr::from(([127, 66, 0, 1], 5060)));
        let request = "MESSAGE sip:+15550@home SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.4;branch=z9hG4bK1\r\n\
                       Route: <sip:127.0.0.9;lr>\r\n\r\n";
        let (text, to) = all.pass(request, SocketAddr::from(OWN)).unwrap();
        assert_eq!(to.to_string(), "127.66.0.1:5060");
        assert!(!text.contains("Route"), "{text}");
        assert_eq!(address_of("<sip:scscf1.home;lr>"), None);
    }
}
