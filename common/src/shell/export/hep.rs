//! Shell: HEP3 to a capture server, over UDP or TCP.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Outlet;
use crate::config::{HepConfig, HepTransport};
use crate::telemetry::hep::{Agent, encode};
use crate::telemetry::trail::Trail;

/// A server that is slower is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_secs(5);

/// Starts the thread.
pub(super) fn start(config: HepConfig) -> Arc<Outlet> {
    let outlet = Arc::new(Outlet::default());
    let own = Arc::clone(&outlet);
    let run = move || run(&own, &config);
    if let Err(error) = thread::Builder::new().name("hep".into()).spawn(run) {
        tracing::warn!(%error, "no thread for HEP");
    }
    outlet
}

fn run(outlet: &Outlet, config: &HepConfig) {
    let agent = Agent {
        id: config.agent,
        key: config.key.as_ref().map(|key| key.reveal().to_owned()),
    };
    let mut trail = Trail::default();
    let mut server = Server::new(config);
    while let Some(packets) = outlet.next() {
        for mut packet in packets {
            let call_id = trail.call_id(&packet);
            packet.blank();
            let sent = match encode(&packet, &agent, call_id.as_deref()) {
                Some(message) => server.send(&message),
                None => Err(io::ErrorKind::InvalidData.into()),
            };
            match sent {
                Ok(()) => outlet.sent(1),
                Err(_) => outlet.failed(1),
            }
        }
    }
}

struct Server {
    address: SocketAddr,
    transport: HepTransport,
    udp: Option<UdpSocket>,
    tcp: Option<TcpStream>,
    tried: Option<Instant>,
}

impl Server {
    fn new(config: &HepConfig) -> Self {
        Self {
            address: config.collector,
            transport: config.transport,
            udp: None,
            tcp: None,
            tried: None,
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self.transport {
            HepTransport::Udp => {
                let socket = match self.udp.take() {
                    Some(socket) => socket,
                    None => self.open()?,
                };
                let sent = socket.send(message);
                self.udp = Some(socket);
                sent.map(drop)
            }
            HepTransport::Tcp => {
                let mut stream = match self.tcp.take() {
                    Some(stream) => stream,
                    None => self.connect()?,
                };
                // After a part of a message nothing that follows could be read.
                stream.write_all(message)?;
                self.tcp = Some(stream);
                Ok(())
            }
        }
    }

    fn open(&self) -> io::Result<UdpSocket> {
        let any: SocketAddr = match self.address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(self.address)?;
        Ok(socket)
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        if self.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.tried = Some(Instant::now());
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}
