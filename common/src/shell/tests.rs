//! Shell: tests over real sockets on loopback. Limits of time bound the waits; nothing sleeps to get in step.

mod admin;
mod diameter;
mod operator;
mod protected;
mod tcp;
mod udp;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::net::{Destination, Flow, NetOutput, SipInput, SipOutput, Transmit};
use crate::node::{Metrics, Node};
use crate::sip::{SipMessage, StatusCode};

/// No step of these tests takes longer, unless it is stuck.
const STUCK: Duration = Duration::from_secs(20);

type Reaction = Box<dyn FnMut(&NetInput) -> Vec<NetOutput>>;

/// Answers OPTIONS with 200, does what the test adds, and shows the test what it hears.
struct Probe {
    heard: mpsc::UnboundedSender<NetInput>,
    reaction: Reaction,
    outputs: VecDeque<NetOutput>,
}

impl Node for Probe {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, _: Instant, input: NetInput) {
        if let NetInput::Sip(SipInput::Received { flow, message }) = &input
            && let SipMessage::Request(request) = message.clone().into_parts()
        {
            let response = request.reply(StatusCode::OK).to_tag("probe").finish();
            self.outputs
                .push_back(transmit(Destination::Flow(*flow), response.bytes().clone(), 1));
        }
        self.outputs.extend((self.reaction)(&input));
        let _ = self.heard.send(input);
    }
    fn handle_timeout(&mut self, _: Instant) {}
    fn poll_output(&mut self) -> Option<NetOutput> {
        self.outputs.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn metrics(&self, out: &mut Metrics) {
        out.gauge("probe_outputs", &[], 0);
    }
}

/// A probe on sockets.
struct Lab {
    sip: SocketAddr,
    admin: Option<SocketAddr>,
    diameter: Option<SocketAddr>,
    heard: mpsc::UnboundedReceiver<NetInput>,
    counters: Arc<Counters>,
}

impl Lab {
    /// The next input that the probe hears.
    async fn hears(&mut self) -> NetInput {
        timeout(STUCK, self.heard.recv())
            .await
            .expect("the node heard nothing")
            .expect("the node is gone")
    }
}

fn config(address: &str) -> ShellConfig {
    let listener = SipListener {
        interface: Interface::Mw,
        address: address.parse().unwrap(),
        key: "probe.mw.address",
        accepts_streams: true,
    };
    ShellConfig::new("probe", vec![listener])
}

/// Runs a probe and a test beside it, in one thread.
fn run<T>(
    config: &ShellConfig,
    first: Vec<NetOutput>,
    reaction: impl FnMut(&NetInput) -> Vec<NetOutput> + 'static,
    test: impl AsyncFnOnce(Lab) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let shell = Shell::bind(config).await.unwrap();
        let (heard, hearing) = mpsc::unbounded_channel();
        let lab = Lab {
            sip: shell.sip_addresses()[0],
            admin: shell.admin_address(),
            diameter: shell.diameter_address(),
            heard: hearing,
            counters: Arc::clone(&shell.context.counters),
        };
        let probe = Probe {
            heard,
            reaction: Box::new(reaction),
            outputs: first.into(),
        };
        let test = test(lab);
        let drive = async {
            shell.drive(probe).await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = test => done,
            () = drive => unreachable!("a driver that has ended waits for ever"),
        }
    })
}

fn quiet(_: &NetInput) -> Vec<NetOutput> {
    Vec::new()
}

fn transmit(destination: Destination, bytes: Bytes, tag: u64) -> NetOutput {
    NetOutput::Sip(SipOutput::Transmit(Transmit {
        bytes,
        destination,
        tag: SendTag(tag),
    }))
}

fn options(call: &str) -> String {
    format!(
        "OPTIONS sip:probe.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK{call};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:ping@example.com>;tag=1\r\nTo: <sip:probe.example>\r\n\
         Call-ID: {call}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A TCP peer of the probe.
struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(STUCK, TcpStream::connect(address))
            .await
            .unwrap()
            .unwrap();
        Self::of(stream)
    }

    fn of(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until the text has come, and returns all up to its end.
    async fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = find(&self.received, text.as_bytes()) {
                let rest = self.received.split_off(at + text.len());
                return String::from_utf8(std::mem::replace(&mut self.received, rest)).unwrap();
            }
            let mut chunk = [0; 4096];
            let length = timeout(STUCK, self.stream.read(&mut chunk))
                .await
                .expect(text)
                .unwrap();
            assert!(
                length > 0,
                "closed before {text:?}; got {:?}",
                String::from_utf8_lossy(&self.received)
            );
            self.received.extend_from_slice(&chunk[..length]);
        }
    }

    /// Reads to the end of the stream.
    async fn expect_close(&mut self) {
        let mut chunk = vec![0; 65_536];
        loop {
            match timeout(STUCK, self.stream.read(&mut chunk))
                .await
                .expect("never closed")
            {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}

fn flow_of(input: &NetInput) -> Flow {
    match input {
        NetInput::Sip(SipInput::Received { flow, .. }) => *flow,
        NetInput::Sip(SipInput::Malformed(malformed)) => malformed.flow,
        other => panic!("no message: {other:?}"),
    }
}
