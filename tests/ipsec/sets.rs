//! Testkit: clear text at the product's protected ports, sets that all vanish at once, and what an operator sees.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ims_common::config::{ListenAddress, ShellConfig, SipListener};
use ims_common::ipsec::{
    Encryption, EspKeys, GoneCause, Integrity, ProtectedPorts, SaSet, SaSetId, SaState, Suite, XfrmInput,
    XfrmOutput,
};
use ims_common::net::{
    Command, Destination, Flow, Interface, NetInput, NetOutput, SendTag, SipInput, SipOutput, Transmit,
    Transport,
};
use ims_common::node::{Metrics, Node};
use ims_common::shell::Shell;

use crate::esp::{Four, PCSCF_REQID, PROTECTIONS, Protection, UE_REQID, protect};
use crate::space::{Net, PATIENCE, SILENCE, Space};

/// How often the node looks for orders.
const PERIOD: Duration = Duration::from_millis(5);
const MINUTE: Duration = Duration::from_secs(60);
/// As [`PROTECTIONS`] has it.
const SUITE: Suite = Suite {
    integrity: Integrity::HmacSha1_96,
    encryption: Encryption::AesCbc,
};
const PROTECTION: Protection = PROTECTIONS[1];

/// Does what it is ordered, shows what it hears, answers no message.
struct Obedient {
    orders: Receiver<NetOutput>,
    heard: Sender<NetInput>,
    draining: bool,
    look: Instant,
}

impl Node for Obedient {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, _: Instant, input: NetInput) {
        self.draining |= matches!(input, NetInput::Command(Command::Drain));
        let _ = self.heard.send(input);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.look = now + PERIOD;
    }
    fn poll_output(&mut self) -> Option<NetOutput> {
        let order = self.orders.try_recv().ok();
        order.or_else(|| std::mem::take(&mut self.draining).then_some(NetOutput::Drained))
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.look)
    }
    fn metrics(&self, _: &mut Metrics) {}
}

/// A shell of ours in a namespace.
struct Host<'a> {
    space: &'a Space,
    orders: Sender<NetOutput>,
    heard: Receiver<NetInput>,
    thread: Option<JoinHandle<()>>,
    admin: SocketAddr,
}

impl<'a> Host<'a> {
    /// With the protected ports of this set.
    fn start(space: &'a Space, four: &Four) -> Self {
        let (orders, receiver) = channel();
        let (sender, heard) = channel();
        let (ready, is_ready) = channel();
        let config = config(four);
        let thread = space.inside(|| {
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let shell = Shell::bind(&config)
                        .await
                        .unwrap_or_else(|error| panic!("{error}"));
                    let _ = ready.send(shell.admin_address().expect("asked for"));
                    let node = Obedient {
                        orders: receiver,
                        heard: sender,
                        draining: false,
                        look: Instant::now(),
                    };
                    shell.drive(node).await.expect("signals");
                });
            })
        });
        Self {
            space,
            orders,
            heard,
            thread: Some(thread),
            admin: is_ready.recv().expect("the shell starts"),
        }
    }

    fn order(&self, output: NetOutput) {
        self.orders.send(output).expect("it runs");
    }

    fn hears(&self) -> NetInput {
        self.heard.recv_timeout(PATIENCE).expect("the node hears nothing")
    }

    fn asks(&self, request: XfrmOutput) -> XfrmInput {
        self.order(NetOutput::Xfrm(request));
        self.hears_of_kernel()
    }

    fn hears_of_kernel(&self) -> XfrmInput {
        match self.hears() {
            NetInput::Xfrm(input) => input,
            other => panic!("not of the kernel: {other:?}"),
        }
    }

    fn http(&self, request: &str) -> String {
        let admin = self.admin;
        self.space.inside(|| {
            let mut stream = std::net::TcpStream::connect(admin).expect("HTTP is served");
            let text = format!(
                "{request} HTTP/1.1\r\nHost: localhost\r\nX-Ims-Admin: 1\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(text.as_bytes()).expect("it reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("it answers");
            answer
        })
    }

    /// An orderly end.
    fn end(mut self) {
        self.http("POST /api/v1/drain");
        if let Some(thread) = self.thread.take() {
            thread.join().expect("an orderly end");
        }
    }
}

fn config(four: &Four) -> ShellConfig {
    let listener = |port, key| {
        let address: ListenAddress = SocketAddr::new(four.pcscf, port)
            .to_string()
            .parse()
            .expect("an address");
        SipListener::new(Interface::GmProtected, address, key)
    };
    let mut config = ShellConfig::new(
        "host",
        vec![
            listener(four.ps, "host.ps"),
            listener(four.pc, "host.pc").datagrams_only(),
        ],
    );
    config.admin = Some("127.0.0.1:0".parse().expect("an address"));
    config.protected = Some(ProtectedPorts {
        local: vec![
            SocketAddr::new(four.pcscf, four.ps),
            SocketAddr::new(four.pcscf, four.pc),
        ],
        reqid: PCSCF_REQID,
        priority: 2_080,
        replay_window: 32,
        requests_max: 64,
        suites: vec![SUITE],
    });
    config
}

/// The same numbers and keys as [`Four`] has, as values of the product.
fn set(id: u64, four: &Four) -> Arc<SaSet> {
    let key = |length: u8| -> Vec<u8> { (0..length).map(|at| four.seed ^ (at * 7 + 1)).collect() };
    let keys = EspKeys {
        integrity: key(20).into(),
        encryption: key(16).into(),
    };
    let flows = four.flows();
    let states = [0, 1, 2, 3].map(|row| SaState {
        spi: four.spis[row],
        source: flows[row].0,
        destination: flows[row].1,
    });
    Arc::new(SaSet {
        id: SaSetId(id),
        suite: SUITE,
        keys: Arc::new(keys),
        states,
    })
}

fn install(set: &Arc<SaSet>, lifetime: Duration) -> XfrmOutput {
    XfrmOutput::Install {
        set: Arc::clone(set),
        lifetime,
    }
}

/// A net with the UE's half of these sets.
fn net(ues: &[Four]) -> Net {
    let net = Net::new();
    for four in ues {
        net.ue.batch(&protect(four.ue, &[four.uc, four.us], UE_REQID));
        net.ue.batch(&four.add(UE_REQID));
    }
    net
}

fn options(call: &str) -> Bytes {
    let text = format!(
        "OPTIONS sip:a.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:6101;branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: {call}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    text.into()
}

fn hears_call(host: &Host<'_>, call: &str) -> Flow {
    match host.hears() {
        NetInput::Sip(SipInput::Received { flow, message }) => {
            let text = String::from_utf8_lossy(message.bytes()).into_owned();
            assert!(text.contains(&format!("Call-ID: {call}\r\n")), "{text}");
            flow
        }
        other => panic!("no message: {other:?}"),
    }
}

fn transmit(flow: Flow, call: &str) -> NetOutput {
    NetOutput::Sip(SipOutput::Transmit(Transmit {
        bytes: options(call),
        destination: Destination::Flow(flow),
        tag: SendTag(7),
    }))
}

#[test]
#[ignore = "cargo ci ipsec"]
fn sets_are_gone_whole_when_an_operator_deletes_a_state_or_all() {
    let [one, other] = [0, 1].map(|number| Four::new(false, number, PROTECTION));
    let net = net(&[]);
    let host = Host::start(&net.pcscf, &one);
    let gone = |id| XfrmInput::Gone {
        id: SaSetId(id),
        cause: GoneCause::Deleted,
    };
    host.asks(install(&set(1, &one), MINUTE));
    host.asks(install(&set(2, &other), MINUTE));
    net.pcscf.ip(&format!(
        "xfrm state delete src {} dst {} proto esp spi {:#x}",
        one.ue, one.pcscf, one.spis[3]
    ));
    assert_eq!(host.hears_of_kernel(), gone(1));
    assert_eq!(net.pcscf.states().len(), 4);
    net.pcscf.ip("xfrm state flush");
    assert_eq!(host.hears_of_kernel(), gone(2));
    let extend = XfrmOutput::Extend {
        set: set(2, &other),
        lifetime: MINUTE,
    };
    assert_eq!(host.asks(extend), gone(2));
    host.end();
    net.pcscf.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn clear_text_never_reaches_the_node_and_the_kernel_counts_it() {
    let four = Four::new(true, 0, PROTECTION);
    let net = net(&[four]);
    let host = Host::start(&net.pcscf, &four);
    host.asks(install(&set(1, &four), MINUTE));
    let [(client, ps), ..] = four.flows();
    let stranger = net.ue.udp(SocketAddr::new(four.ue, 5_060));
    stranger.send_to(&options("clear"), ps).expect("sent");
    let connected = net.ue.connect(SocketAddr::new(four.ue, 0), ps, SILENCE);
    assert!(connected.is_err(), "a SYN in clear is dropped");
    net.ue
        .udp(client)
        .send_to(&options("protected"), ps)
        .expect("sent");
    hears_call(&host, "protected");
    assert!(net.pcscf.xfrm_stat("XfrmInTmplMismatch") >= 2);
    let metrics = host.http("GET /metrics");
    let counter = "ims_xfrm_kernel_total{counter=\"XfrmInTmplMismatch\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(counter));
    assert!(value.is_some_and(|value| value != "0"), "{metrics}");
    assert!(
        metrics.contains("ims_xfrm_states{} 4\n") && metrics.contains("ims_xfrm_policies{} 5\n"),
        "{metrics}"
    );
    let sas = host.http("GET /api/v1/sas");
    assert!(
        sas.contains(&format!("\"spi\":\"{:#010x}\"", four.spis[0])),
        "{sas}"
    );
    assert!(sas.contains("\"packets\":1,"), "{sas}");
    let key: String = (0..16)
        .map(|at: u8| format!("{:02x}", four.seed ^ (at * 7 + 1)))
        .collect();
    assert!(!sas.contains(&key), "a key in {sas}");
    host.end();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn message_to_a_ue_without_a_set_is_never_sent_in_clear() {
    let four = Four::new(true, 0, PROTECTION);
    let net = Net::new();
    let host = Host::start(&net.pcscf, &four);
    let [_, _, (pc, server), _] = four.flows();
    let ue = net.ue.udp(server);
    ue.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let flow = Flow {
        interface: Interface::GmProtected,
        transport: Transport::Udp,
        local: pc,
        remote: server,
        connection: None,
    };
    host.order(transmit(flow, "lost"));
    let mut buffer = [0; 2_048];
    assert!(ue.recv_from(&mut buffer).is_err());
    assert!(net.pcscf.xfrm_stat("XfrmOutNoStates") >= 1);
    host.end();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn protected_address_never_says_that_a_port_is_closed_for_that_would_quote_what_was_decrypted() {
    for v4 in [true, false] {
        let four = Four::new(v4, 0, PROTECTION);
        let net = Net::new();
        let is_refused = || {
            let socket = net.ue.udp(SocketAddr::new(four.ue, 5_070));
            socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
            socket
                .connect(SocketAddr::new(four.pcscf, 5_071))
                .expect("an address");
            socket.send(b"to a closed port").expect("sent");
            let error = socket.recv(&mut [0]).expect_err("nobody answers");
            error.kind() == std::io::ErrorKind::ConnectionRefused
        };
        assert!(is_refused(), "the kernel says so by itself");
        let host = Host::start(&net.pcscf, &four);
        assert!(!is_refused());
        host.end();
        assert!(is_refused(), "and again");
    }
}
