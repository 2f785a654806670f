//! Engine: from a next hop to the targets that serve it (RFC 3263 4).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::net::{Destination, Flow, Interface, ResolveId, ResolveRequest, ResolvedTarget, Transport};
use crate::sip::{Host, Scheme, Uri};

use super::blacklist::Blacklist;
use super::{HostsTable, NextHop};

const DEFAULT_PORT: u16 = 5060;

/// One try of sending a request somewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Attempt {
    pub(super) destination: Destination,
    pub(super) transport: Transport,
    pub(super) remote: SocketAddr,
    /// Only for when the same address refused TCP, which was chosen for the size of the request.
    pub(super) after_refused_tcp: bool,
}

/// What is known about a next hop without asking.
#[derive(Debug)]
pub(super) enum Resolution {
    /// In the order in which to try.
    Targets(Vec<ResolvedTarget>),
    /// A path on which something came before.
    Path(Flow),
    /// DNS has to be asked.
    Ask {
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    },
    /// Not for us: another scheme, no host.
    Impossible,
}

impl Resolution {
    pub(super) fn of(hop: &NextHop, hosts: &HostsTable) -> Self {
        match hop {
            NextHop::Flow(flow) => Self::Path(*flow),
            NextHop::Address { transport, remote } => Self::Targets(vec![ResolvedTarget {
                transport: *transport,
                remote: *remote,
            }]),
            NextHop::Uri(uri) => Self::of_uri(&uri.as_uri(), hosts),
        }
    }

    fn of_uri(uri: &Uri<'_>, hosts: &HostsTable) -> Self {
        if uri.scheme() != Scheme::Sip {
            return Self::Impossible;
        }
        let Ok(transport) = explicit_transport(uri) else {
            return Self::Impossible;
        };
        let port = uri.port();
        // RFC 3263 4: "TARGET is the value of the maddr parameter, if present, otherwise the host"
        let host = match text_param(uri, "maddr") {
            Some(maddr) => maddr,
            None => match uri.host() {
                Host::V4(address) => return Self::numeric(IpAddr::V4(address), port, transport),
                Host::V6(address) => return Self::numeric(IpAddr::V6(address), port, transport),
                Host::Name(name) => name.to_string(),
            },
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Self::numeric(address, port, transport);
        }
        match hosts.0.get(&host) {
            Some(targets) => Self::Targets(
                targets
                    .iter()
                    .map(|target| ResolvedTarget {
                        transport: transport.unwrap_or(target.transport),
                        remote: SocketAddr::new(
                            target.remote.ip(),
                            port.unwrap_or_else(|| target.remote.port()),
                        ),
                    })
                    .collect(),
            ),
            None if host.is_empty() => Self::Impossible,
            None => Self::Ask {
                host,
                port,
                transport,
            },
        }
    }

    /// RFC 3263 4.1, 4.2: a numeric TARGET is used as it is, UDP unless the URI says otherwise.
    fn numeric(address: IpAddr, port: Option<u16>, transport: Option<Transport>) -> Self {
        Self::Targets(vec![ResolvedTarget {
            transport: transport.unwrap_or(Transport::Udp),
            remote: SocketAddr::new(address, port.unwrap_or(DEFAULT_PORT)),
        }])
    }

    /// The question to DNS, when there is one.
    pub(super) fn question(
        id: ResolveId,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> ResolveRequest {
        ResolveRequest {
            id,
            host,
            port,
            transport,
        }
    }
}

fn explicit_transport(uri: &Uri<'_>) -> Result<Option<Transport>, ()> {
    match text_param(uri, "transport") {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("udp") => Ok(Some(Transport::Udp)),
        Some(text) if text.eq_ignore_ascii_case("tcp") => Ok(Some(Transport::Tcp)),
        Some(_) => Err(()),
    }
}

fn text_param(uri: &Uri<'_>, name: &str) -> Option<String> {
    let value = uri.param(name)??;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The tries for a list of targets: those that failed lately come last, and a request too long for a datagram
/// is offered to TCP before UDP (RFC 3261 18.1.1).
pub(super) fn attempts(
    now: Instant,
    interface: Interface,
    targets: &[ResolvedTarget],
    too_long_for_udp: bool,
    blacklist: &Blacklist,
) -> VecDeque<Attempt> {
    let mut all: Vec<Attempt> = Vec::with_capacity(targets.len() * 2);
    for target in targets {
        let attempt = |transport, after_refused_tcp| Attempt {
            destination: Destination::Address {
                interface,
                transport,
                remote: target.remote,
            },
            transport,
            remote: target.remote,
            after_refused_tcp,
        };
        if target.transport == Transport::Udp && too_long_for_udp {
            let refused = blacklist.contains(now, Transport::Tcp, target.remote);
            if !refused {
                all.push(attempt(Transport::Tcp, false));
            }
            all.push(attempt(Transport::Udp, !refused));
        } else {
            all.push(attempt(target.transport, false));
        }
    }
    // A stable sort keeps the order of preference within both halves.
    all.sort_by_key(|attempt| blacklist.contains(now, attempt.transport, attempt.remote));
    all.into()
}

/// The tries for a path. It is used as it is, but for a UE inside security associations: one set serves UDP and TCP
/// (TS 33.203 7.1), so that a request too long for a datagram goes over a connection of ours between the same ports
/// first, and a UE that takes no connection gets a datagram.
pub(super) fn attempts_along(
    now: Instant,
    flow: &Flow,
    too_long_for_udp: bool,
    blacklist: &Blacklist,
) -> VecDeque<Attempt> {
    let attempt = |flow: Flow, after_refused_tcp| Attempt {
        destination: Destination::Flow(flow),
        transport: flow.transport,
        remote: flow.remote,
        after_refused_tcp,
    };
    let is_free = flow.interface == Interface::GmProtected && flow.connection.is_none();
    if !is_free || (flow.transport == Transport::Udp && !too_long_for_udp) {
        return VecDeque::from([attempt(*flow, false)]);
    }
    let over = |transport| Flow { transport, ..*flow };
    let datagram = over(Transport::Udp);
    if blacklist.contains(now, Transport::Tcp, flow.remote) {
        return VecDeque::from([attempt(datagram, false)]);
    }
    VecDeque::from([attempt(over(Transport::Tcp), false), attempt(datagram, true)])
}
