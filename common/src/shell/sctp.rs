//! Shell: SCTP, the transport that 3GPP prefers for Diameter (TS 29.229 5.4; RFC 6733 2.1), dialled only.
//!
//! A one-to-one socket (RFC 6458 4) looks like one of TCP to everything above it: each write is one SCTP message on
//! stream 0, in order. The payload protocol identifier stays 0, which RFC 6733 2.1.1 lets receivers accept, and
//! Nagle's algorithm stays on: neither can be changed without options that only C has names for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

/// IPPROTO_SCTP.
const SCTP: i32 = 132;

/// Opens an association from one of our addresses, any port.
pub(crate) async fn dial(
    local: Option<IpAddr>,
    remote: SocketAddr,
    patience: Duration,
) -> io::Result<TcpStream> {
    let open = || {
        let socket = Socket::new(
            Domain::for_address(remote),
            Type::STREAM,
            Some(Protocol::from(SCTP)),
        )?;
        socket.set_nonblocking(true)?;
        if let Some(local) = local {
            socket.bind(&SocketAddr::new(local, 0).into())?;
        }
        Ok(TcpSocket::from_std_stream(socket.into()))
    };
    let socket = open().map_err(|error: io::Error| {
        let hint = "no SCTP socket; does this kernel have the module `sctp`?";
        io::Error::new(error.kind(), format!("{hint} ({error})"))
    })?;
    tokio::time::timeout(patience, socket.connect(remote)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn association_to_nobody_fails_and_says_what_is_missing_or_refused() {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let error = dial(None, nobody, Duration::from_secs(5)).await.unwrap_err();
        let is_clear = error.to_string().contains("sctp") || error.kind() == io::ErrorKind::ConnectionRefused;
        assert!(is_clear, "{error}");
    }
}
