//! Shell: asks the neighbours: a trial connection with each HSS, DNS for the next hops, OPTIONS to each.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::diameter::{Answer, Outcome, Unreached};
use super::next_hops::{Reply, Seen};
use crate::config::{HssSurroundings, NextHop, ShellConfig};
use crate::diameter::Message;
use crate::diameter::base::{Application, Capabilities, DisconnectCause, Identifiers, LocalPeer};
use crate::diameter::framing::{FrameError, split};
use crate::diameter::grammar::{VENDOR_3GPP, VENDOR_ETSI, avp};
use crate::net::{ResolveId, ResolveRequest, ResolvedTarget, Transport};
use crate::node::Seed;
use crate::shell::Context;
use crate::shell::counters::Counters;
use crate::shell::diameter::dial_name;
use crate::shell::dns::{Dns, Families};
use crate::sip::Host;

/// How long a connection, and an answer over it, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Waits for the answer to an OPTIONS: it is sent again, for UDP may lose it.
const OPTIONS_WAITS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(2_000),
];

/// What trials need: DNS, chance, our address.
pub(super) struct Neighbours {
    dns: Dns,
    seed: Seed,
    rng: StdRng,
    local: Option<IpAddr>,
    /// Diameter's end of ours.
    diameter_local: Option<IpAddr>,
}

impl Neighbours {
    pub(super) fn new(config: &ShellConfig) -> Result<Self, String> {
        let seed = crate::shell::seed().map_err(|error| error.to_string())?;
        let (events, _) = mpsc::channel(1);
        let context = Context {
            events,
            counters: Arc::new(Counters::default()),
            limits: Arc::new(config.limits.clone()),
            connections: Arc::default(),
            device: None,
        };
        let all = || config.sip.iter().map(|listener| listener.address.ip());
        let families = Families {
            v4: all().any(|ip| ip.is_ipv4()),
            v6: all().any(|ip| ip.is_ipv6()),
        };
        let toward_core = config
            .sip
            .iter()
            .rfind(|listener| listener.interface == crate::net::Interface::Mw);
        Ok(Self {
            dns: Dns::new(&config.dns_servers, families, context),
            rng: StdRng::from_seed(seed.entropy),
            seed,
            local: toward_core.map(|listener| listener.address.ip()),
            diameter_local: config.diameter_local,
        })
    }

    /// Connects, CER, CEA, then says goodbye with a DPR.
    pub(super) async fn try_hss(&mut self, own: &HssSurroundings, peer: &str) -> Outcome {
        let local = self.diameter_local;
        let dialled = timeout(PATIENCE, dial_name(peer, local, &self.dns, PATIENCE)).await;
        let mut stream = match dialled {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Outcome::NotConnected(unreached(&error)),
            Err(_) => return Outcome::NotConnected(Unreached::TimedOut),
        };
        let local = stream
            .local_addr()
            .map_or_else(|_| IpAddr::from([127, 0, 0, 1]), |a| a.ip());
        let peer = LocalPeer {
            origin_host: own.origin_host.clone(),
            origin_realm: own.origin_realm.clone(),
            host_ip_addresses: Vec::new(),
            product_name: "ims-core".to_owned(),
            origin_state_id: u32::try_from(self.seed.boot_unix_secs & 0xFFFF_FFFF).unwrap_or(0),
            applications: vec![Application::CX],
            supported_vendors: vec![VENDOR_3GPP, VENDOR_ETSI],
        };
        let mut ids = Identifiers::new(&self.seed, 0, &mut self.rng);
        let cer = peer.cer(&mut ids, local);
        if stream.write_all(&cer).await.is_err() {
            return Outcome::Closed;
        }
        let outcome = match timeout(PATIENCE, read_message(&mut stream)).await {
            Err(_) => Outcome::Silent,
            Ok(Err(outcome)) => outcome,
            Ok(Ok(message)) => Outcome::Answered(answer_of(&message)),
        };
        if matches!(&outcome, Outcome::Answered(answer) if answer.result.is_some_and(|r| r / 1_000 == 2)) {
            // So that it does not look for us again at once. Whether it answers, nothing depends on.
            let dpr = peer.dpr(&mut ids, DisconnectCause::DoNotWantToTalkToYou);
            if stream.write_all(&dpr).await.is_ok() {
                let _ = timeout(PATIENCE, read_message(&mut stream)).await;
            }
        }
        outcome
    }

    /// Where requests to a next hop go, and whether somebody answers there.
    pub(super) async fn try_hop(&mut self, hop: &NextHop, config: &ShellConfig) -> Seen {
        let uri = hop.uri.as_uri();
        let host = uri.host();
        let name = host.to_string();
        let (is_literal, in_file) = match host {
            Host::V4(_) | Host::V6(_) => (true, None),
            Host::Name(_) => (
                false,
                config.surroundings.hosts.get(&name.to_ascii_lowercase()).cloned(),
            ),
        };
        let is_from_file = in_file.is_some();
        let targets = match in_file {
            Some(targets) => targets,
            None => {
                let question = ResolveRequest {
                    id: ResolveId(0),
                    host: name.clone(),
                    port: uri.port(),
                    transport: None,
                };
                match literal(&host, uri.port()) {
                    Some(target) => vec![target],
                    None => self.dns.resolve(&question, self.rng.clone()).await,
                }
            }
        };
        let mut replies = Vec::new();
        for target in targets.iter().take(4) {
            replies.push((target.remote, self.options(*target, &hop.uri.to_string()).await));
        }
        Seen {
            is_literal,
            is_from_file,
            replies,
        }
    }

    /// OPTIONS that no proxy passes on: its Max-Forwards is 0.
    async fn options(&mut self, target: ResolvedTarget, uri: &str) -> Reply {
        let token: u64 = self.rng.random();
        let ask = async |local: SocketAddr| -> io::Result<Vec<u8>> {
            match target.transport {
                Transport::Udp => over_udp(local, target.remote, uri, token).await,
                Transport::Tcp => over_tcp(local, target.remote, uri, token).await,
            }
        };
        let unspecified: IpAddr = match target.remote.is_ipv4() {
            true => IpAddr::from([0; 4]),
            false => IpAddr::from([0_u8; 16]),
        };
        let own = self.local.filter(|ip| ip.is_ipv4() == target.remote.is_ipv4());
        match ask(SocketAddr::new(own.unwrap_or(unspecified), 0)).await {
            Ok(octets) => match status_of(&octets) {
                Some(status) => Reply::Status(status),
                None => Reply::NotSip,
            },
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Reply::Silent,
            Err(error) => Reply::Error(error.to_string()),
        }
    }
}

fn literal(host: &Host<'_>, port: Option<u16>) -> Option<ResolvedTarget> {
    let ip: IpAddr = match host {
        Host::V4(ip) => (*ip).into(),
        Host::V6(ip) => (*ip).into(),
        Host::Name(_) => return None,
    };
    Some(ResolvedTarget {
        transport: Transport::Udp,
        remote: SocketAddr::new(ip, port.unwrap_or(crate::config::SIP_PORT)),
    })
}

fn unreached(error: &io::Error) -> Unreached {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Unreached::Refused,
        io::ErrorKind::TimedOut => Unreached::TimedOut,
        io::ErrorKind::NotFound => Unreached::NoAddress,
        _ => Unreached::Other(error.to_string()),
    }
}

async fn read_message(stream: &mut TcpStream) -> Result<Message, Outcome> {
    /// A CEA is some hundred octets.
    const BYTES_MAX: usize = 64 * 1024;
    let mut buffer = BytesMut::new();
    loop {
        match split(&mut buffer, BYTES_MAX) {
            Ok(Some(bytes)) => {
                return Message::parse(bytes)
                    .map_err(|_| Outcome::NotDiameter("its AVPs cannot be read".to_owned()));
            }
            Ok(None) => {}
            Err(error @ (FrameError::Version | FrameError::Length | FrameError::TooLong)) => {
                return Err(Outcome::NotDiameter(error.to_string()));
            }
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Err(Outcome::Closed),
            Ok(_) => {}
        }
    }
}

fn answer_of(cea: &Message) -> Answer {
    let text = |def| cea.text(def).unwrap_or_default().to_owned();
    let capabilities = Capabilities::of_cea(cea);
    Answer {
        result: cea.result_code(),
        origin_host: text(&avp::ORIGIN_HOST),
        origin_realm: text(&avp::ORIGIN_REALM),
        error_message: cea.text(&avp::ERROR_MESSAGE).map(str::to_owned),
        serves_cx: capabilities.is_ok_and(|c| c.serves_any_of(&[Application::CX])),
    }
}

fn options_text(local: SocketAddr, transport: &str, uri: &str, token: u64) -> String {
    format!(
        "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bKdoctor{token:016x};rport\r\n\
         Max-Forwards: 0\r\nFrom: <sip:doctor@{local}>;tag={token:016x}\r\nTo: <{uri}>\r\n\
         Call-ID: doctor-{token:016x}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

async fn over_udp(local: SocketAddr, remote: SocketAddr, uri: &str, token: u64) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(local).await?;
    socket.connect(remote).await?;
    let text = options_text(socket.local_addr()?, "UDP", uri, token);
    let mut buffer = vec![0; 8_192];
    for wait in OPTIONS_WAITS {
        socket.send(text.as_bytes()).await?;
        if let Ok(read) = timeout(wait, socket.recv(&mut buffer)).await {
            buffer.truncate(read?);
            return Ok(buffer);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn over_tcp(local: SocketAddr, remote: SocketAddr, uri: &str, token: u64) -> io::Result<Vec<u8>> {
    let mut stream = crate::shell::tcp::dial(Some(local), remote, None, PATIENCE).await?;
    let text = options_text(stream.local_addr()?, "TCP", uri, token);
    stream.write_all(text.as_bytes()).await?;
    let mut buffer = vec![0; 8_192];
    let read = timeout(PATIENCE, stream.read(&mut buffer)).await??;
    buffer.truncate(read);
    Ok(buffer)
}

/// Of a SIP answer.
fn status_of(octets: &[u8]) -> Option<u16> {
    let line = octets.split(|octet| *octet == b'\r').next()?;
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("SIP/2.0 ")?;
    rest.get(..3)?.parse().ok()
}
