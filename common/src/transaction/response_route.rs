//! Engine: where the responses of a request go (RFC 3261 18.2.2, RFC 3581 4; TS 33.203 7.1).

use std::net::SocketAddr;

use crate::net::{Destination, Flow, Interface, Transport};
use crate::sip::{Host, Message, Via};

const DEFAULT_PORT: u16 = 5060;

/// The way back, and another one for when it is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ResponseRoute {
    pub(crate) first: Destination,
    pub(crate) fallback: Option<Destination>,
}

impl ResponseRoute {
    /// For the top Via of a message, the request of which came over `flow`.
    pub(crate) fn of(message: &Message, flow: &Flow) -> Self {
        // TS 33.203 7.1: inside security associations there is one way back, and no header names another: not rport,
        // not sent-by, not maddr. Where it is gone the response is lost rather than sent in clear.
        if flow.interface == Interface::GmProtected {
            return Self {
                first: Destination::Flow(*flow),
                fallback: None,
            };
        }
        let via = message.top_via().ok();
        let sent_by_port = via.and_then(|via| via.port()).unwrap_or(DEFAULT_PORT);
        match flow.transport {
            // RFC 3261 18.2.2: "using the existing connection to the source of the original request"; if that is
            // gone, "a connection to the IP address in the received parameter … using the port in the sent-by"
            Transport::Tcp => Self {
                first: Destination::Flow(*flow),
                fallback: Some(Destination::Address {
                    interface: flow.interface,
                    transport: Transport::Tcp,
                    remote: SocketAddr::new(flow.remote.ip(), sent_by_port),
                }),
            },
            Transport::Udp => Self {
                first: Destination::Flow(Flow {
                    remote: datagram_target(via, flow, sent_by_port),
                    ..*flow
                }),
                fallback: None,
            },
        }
    }
}

fn datagram_target(via: Option<Via<'_>>, flow: &Flow, sent_by_port: u16) -> SocketAddr {
    // RFC 3261 18.2.2: "if the top Via has a maddr parameter, the response MUST be forwarded to the address
    // listed there, using the port indicated in sent-by, or port 5060". A maddr that is a name is ignored.
    let maddr = via
        .and_then(|via| via.maddr())
        .and_then(Host::parse)
        .and_then(|host| host.ip());
    if let Some(address) = maddr {
        return SocketAddr::new(address, sent_by_port);
    }
    // RFC 3581 4: with rport, "to the IP address in received and the port in rport"
    if via.is_some_and(|via| via.rport().is_some()) {
        return flow.remote;
    }
    // RFC 3261 18.2.2: "to the address in received, using the port in sent-by, or 5060"
    SocketAddr::new(flow.remote.ip(), sent_by_port)
}
