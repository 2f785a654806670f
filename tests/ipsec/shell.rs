//! Testkit: the product's shell asks a real kernel: installs, extends, removes, rolls back, and hears what vanishes.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ims_common::aka::hex::from_hex;
use ims_common::config::{ShellConfig, SipListener};
use ims_common::ipsec::{
    EspKeys, GoneCause, ProtectedPorts, SaSet, SaSetId, SaState, Suite, XfrmFailure, XfrmInput, XfrmOutput,
};
use ims_common::net::{
    ConnectionId, Destination, Flow, Interface, NetInput, NetOutput, SendTag, SipInput, SipOutput, Transmit,
    Transport,
};
use ims_common::node::{Metrics, Node};
use ims_tests::host::host;
use ims_tests::ue::remote::Handle;

use crate::esp::{Four, PCSCF_REQID, PROTECTIONS, UE_REQID, protect};
use crate::space::{Net, SILENCE, eventually, pcscf_address};
use crate::wire::{Capture, contains};

const PORTS: [u16; 2] = [6101, 6102];
const LIFE: Duration = Duration::from_secs(600);
const OPTIONS: &str = "OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.101;branch=z9hG4bK1\r\n\
                       From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
                       Content-Length: 0\r\n\r\n";

/// Asks what it is told to ask, and keeps what it hears.
#[derive(Default)]
struct Asker {
    outputs: VecDeque<NetOutput>,
    heard: Vec<NetInput>,
}

impl Node for Asker {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, _: Instant, input: NetInput) {
        self.heard.push(input);
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self) -> Option<NetOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn metrics(&self, _: &mut Metrics) {}
}

/// A P-CSCF's shell with nothing but an [`Asker`] in it.
struct Shell<'a> {
    net: &'a Net,
    node: Handle<Asker>,
    thread: JoinHandle<()>,
}

/// Of the operator, in the P-CSCF's namespace.
const ADMIN: &str = "127.0.0.1:9091";

impl<'a> Shell<'a> {
    fn start(net: &'a Net, v4: bool) -> Self {
        let at = |port| SocketAddr::new(pcscf_address(v4), port);
        let listener = |interface, port| SipListener {
            interface,
            address: at(port),
            key: "address",
            accepts_streams: port != PORTS[1],
        };
        let listeners = vec![
            listener(Interface::Gm, 5060),
            listener(Interface::GmProtected, PORTS[0]),
            listener(Interface::GmProtected, PORTS[1]),
        ];
        let mut config = ShellConfig::new("pcscf", listeners);
        config.protected = Some(ProtectedPorts {
            local: PORTS.map(at).to_vec(),
            reqid: PCSCF_REQID,
            priority: 2_080,
            replay_window: 64,
            requests_max: 4_096,
            suites: Suite::ALL.to_vec(),
        });
        config.admin = Some(ADMIN.parse().expect("an address"));
        let (node, thread) = net
            .pcscf
            .inside(|| host(Asker::default(), config, |_, _| {}))
            .expect("a shell");
        Self { net, node, thread }
    }

    fn say(&self, output: NetOutput) {
        self.node.act(move |_, node| node.outputs.push_back(output));
    }

    fn ask(&self, request: XfrmOutput) {
        self.say(NetOutput::Xfrm(request));
    }

    /// Waits for what is looked for; the rest is kept.
    fn hear<T: Send + 'static>(
        &self,
        what: &str,
        find: impl Fn(&NetInput) -> Option<T> + Send + Copy + 'static,
    ) -> T {
        let mut found = None;
        eventually(what, || {
            found = self
                .node
                .ask(move |_, node| {
                    let (index, value) = node
                        .heard
                        .iter()
                        .enumerate()
                        .find_map(|(at, input)| Some((at, find(input)?)))?;
                    node.heard.remove(index);
                    Some(value)
                })
                .expect("the shell lives");
            found.is_some()
        });
        found.unwrap_or_else(|| unreachable!("found"))
    }

    /// The next answer of the kernel.
    fn answer(&self) -> XfrmInput {
        self.hear("an answer of the kernel", |input| match input {
            NetInput::Xfrm(answer) => Some(answer.clone()),
            _ => None,
        })
    }

    fn install(&self, set: &Arc<SaSet>, lifetime: Duration) -> XfrmInput {
        self.ask(install(set, lifetime));
        self.answer()
    }

    /// Where the next message came from.
    fn received(&self) -> Flow {
        self.hear("a message", |input| match input {
            NetInput::Sip(SipInput::Received { flow, .. }) => Some(*flow),
            _ => None,
        })
    }

    fn send(&self, flow: Flow) {
        self.say(NetOutput::Sip(SipOutput::Transmit(Transmit {
            bytes: OPTIONS.into(),
            destination: Destination::Flow(flow),
            tag: SendTag(1),
        })));
    }

    /// As SIGTERM does; a signal would be for all tests.
    fn end(self) {
        self.net.pcscf.inside(|| {
            let mut stream = TcpStream::connect(ADMIN).expect("the operator's port");
            write!(
                stream,
                "POST /api/v1/drain HTTP/1.1\r\nHost: {ADMIN}\r\nX-Ims-Admin: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            .expect("sent");
            let _ = stream.read_to_end(&mut Vec::new());
        });
        self.say(NetOutput::Drained);
        self.thread.join().expect("a clean end");
    }
}

fn install(set: &Arc<SaSet>, lifetime: Duration) -> XfrmOutput {
    XfrmOutput::Install {
        set: Arc::clone(set),
        lifetime,
    }
}

/// CK and IK of the first test set of TS 35.208.
fn challenge_keys() -> [[u8; 16]; 2] {
    [
        "b40ba9a3c58b2a05bbf0d987b21bf8cb",
        "f769bcd751044604127672711c6d3441",
    ]
    .map(|text| from_hex(text).expect("hex").try_into().expect("16 octets"))
}

fn set_of(four: &Four, id: u64, suite: Suite) -> Arc<SaSet> {
    let [ck, ik] = challenge_keys();
    let flows = four.flows();
    let state = |row: usize| SaState {
        spi: four.spis[row],
        source: flows[row].0,
        destination: flows[row].1,
    };
    Arc::new(SaSet {
        id: SaSetId(id),
        suite,
        keys: Arc::new(EspKeys::derive(suite, &ck, &ik)),
        states: [0, 1, 2, 3].map(state),
    })
}

fn four(v4: bool, number: u16) -> Four {
    Four::new(v4, number, PROTECTIONS[0])
}

const fn flow(transport: Transport, (local, remote): (SocketAddr, SocketAddr)) -> Flow {
    Flow {
        interface: Interface::GmProtected,
        transport,
        local,
        remote,
        connection: None,
    }
}

fn suite(text: &str) -> Suite {
    text.parse().expect("a pair of algorithms")
}

/// What `ip xfrm` takes and shows for CK and IK of [`challenge_keys`] (TS 33.203 Annex I, computed by hand).
const VECTORS: [(&str, &str, &[&str]); 8] = [
    (
        "hmac-sha-1-96/null",
        "auth-trunc hmac(sha1) 0xf769bcd751044604127672711c6d344100000000 96 enc ecb(cipher_null) \"\"",
        &[
            "hmac(sha1) 0xf769bcd751044604127672711c6d344100000000",
            "ecb(cipher_null)",
        ],
    ),
    (
        "hmac-sha-1-96/aes-cbc",
        "auth-trunc hmac(sha1) 0xf769bcd751044604127672711c6d344100000000 96 enc cbc(aes) 0xb40ba9a3c58b2a05bbf0d987b21bf8cb",
        &[
            "hmac(sha1) 0xf769bcd751044604127672711c6d344100000000",
            "cbc(aes) 0xb40ba9a3c58b2a05bbf0d987b21bf8cb",
        ],
    ),
    (
        "hmac-sha-1-96/des-ede3-cbc",
        "auth-trunc hmac(sha1) 0xf769bcd751044604127672711c6d344100000000 96 enc cbc(des3_ede) 0xb40ba9a3c58b2a05bbf0d987b21bf8cbb40ba9a3c58b2a05",
        &[
            "hmac(sha1) 0xf769bcd751044604127672711c6d344100000000",
            "cbc(des3_ede) 0xb40ba9a3c58b2a05bbf0d987b21bf8cbb40ba9a3c58b2a05",
        ],
    ),
    (
        "hmac-md5-96/null",
        "auth-trunc hmac(md5) 0xf769bcd751044604127672711c6d3441 96 enc ecb(cipher_null) \"\"",
        &["hmac(md5) 0xf769bcd751044604127672711c6d3441", "ecb(cipher_null)"],
    ),
    (
        "hmac-md5-96/aes-cbc",
        "auth-trunc hmac(md5) 0xf769bcd751044604127672711c6d3441 96 enc cbc(aes) 0xb40ba9a3c58b2a05bbf0d987b21bf8cb",
        &[
            "hmac(md5) 0xf769bcd751044604127672711c6d3441",
            "cbc(aes) 0xb40ba9a3c58b2a05bbf0d987b21bf8cb",
        ],
    ),
    (
        "hmac-md5-96/des-ede3-cbc",
        "auth-trunc hmac(md5) 0xf769bcd751044604127672711c6d3441 96 enc cbc(des3_ede) 0xb40ba9a3c58b2a05bbf0d987b21bf8cbb40ba9a3c58b2a05",
        &[
            "hmac(md5) 0xf769bcd751044604127672711c6d3441",
            "cbc(des3_ede) 0xb40ba9a3c58b2a05bbf0d987b21bf8cbb40ba9a3c58b2a05",
        ],
    ),
    (
        "null/aes-gcm",
        "aead rfc4106(gcm(aes)) 0xb40ba9a3c58b2a05bbf0d987b21bf8cb89273db6 128",
        &["rfc4106(gcm(aes)) 0xb40ba9a3c58b2a05bbf0d987b21bf8cb89273db6"],
    ),
    (
        "aes-gmac/null",
        "aead rfc4543(gcm(aes)) 0xf769bcd751044604127672711c6d3441dbc2b1c2 128",
        &["rfc4543(gcm(aes)) 0xf769bcd751044604127672711c6d3441dbc2b1c2"],
    ),
];

/// The shell at one end, states with keys computed by hand at the other.
fn every_suite(v4: bool) {
    let net = Net::new();
    let shell = Shell::start(&net, v4);
    let four = four(v4, 0);
    net.ue.batch(&protect(four.ue, &[four.uc, four.us], UE_REQID));
    let [(uc, ps), to_client, to_server @ (_, us), _] = four.flows();
    let (client, server) = (net.ue.udp(uc), net.ue.udp(us));
    for (id, (name, by_hand, shown)) in (1..).zip(VECTORS) {
        net.ue.batch(&four.add_with(UE_REQID, by_hand));
        let set = set_of(&four, id, suite(name));
        assert_eq!(
            shell.install(&set, LIFE),
            XfrmInput::Installed { id: SaSetId(id) },
            "{name}"
        );
        client.send_to(OPTIONS.as_bytes(), ps).expect("sent");
        assert_eq!(shell.received(), flow(Transport::Udp, to_client), "{name}");
        shell.send(flow(Transport::Udp, to_server));
        let mut buffer = [0_u8; 4096];
        let (length, from) = server.recv_from(&mut buffer).expect("a request");
        assert_eq!(
            (&buffer[..length], from),
            (OPTIONS.as_bytes(), to_server.0),
            "{name}"
        );
        let states = net.pcscf.states();
        for (spi, (from, to)) in four.spis.iter().zip(four.flows()) {
            let state = states.iter().find(|state| state.spi == *spi).expect("a state");
            assert_eq!(state.algorithms, shown, "{name}");
            assert_eq!(
                (state.reqid, &state.from, &state.to),
                (PCSCF_REQID, &from.ip().to_string(), &to.ip().to_string())
            );
        }
        let packets: Vec<u64> = four
            .spis
            .iter()
            .filter_map(|spi| Some(states.iter().find(|state| state.spi == *spi)?.packets))
            .collect();
        assert_eq!(packets, [1, 0, 1, 0], "{name}");
        shell.ask(XfrmOutput::Remove { id: SaSetId(id) });
        assert_eq!(shell.answer(), XfrmInput::Removed { id: SaSetId(id) });
        assert_eq!(net.pcscf.states(), []);
        net.ue.ip("xfrm state deleteall");
    }
    shell.end();
    net.pcscf.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn states_of_every_suite_have_the_keys_of_the_annex_and_carry_both_ways_over_ipv4() {
    every_suite(true);
}

#[test]
#[ignore = "cargo ci ipsec"]
fn states_of_every_suite_have_the_keys_of_the_annex_and_carry_both_ways_over_ipv6() {
    every_suite(false);
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_set_of_which_the_kernel_refuses_the_third_state_leaves_nothing_and_spares_the_stranger() {
    let net = Net::new();
    let shell = Shell::start(&net, true);
    let four = four(true, 0);
    // Somebody else, say an IKE daemon, has the SPI towards this UE already.
    let foreign = four.add(77).lines().nth(2).expect("a state").to_owned();
    net.pcscf.batch(&(foreign + "\n"));
    let set = set_of(&four, 1, suite("hmac-sha-1-96/null"));
    let failed = XfrmInput::InstallFailed {
        id: SaSetId(1),
        failure: XfrmFailure::Exists,
    };
    assert_eq!(shell.install(&set, LIFE), failed);
    let left: Vec<_> = net
        .pcscf
        .states()
        .iter()
        .map(|state| (state.spi, state.reqid))
        .collect();
    assert_eq!(left, [(four.spis[2], 77)]);
    // With other numbers it goes.
    let other = Four {
        spis: [0x9001, 0x9002, 0x9003, 0x9004],
        uc: 40_003,
        us: 40_004,
        ..four
    };
    let set = set_of(&other, 2, suite("hmac-sha-1-96/null"));
    assert_eq!(shell.install(&set, LIFE), XfrmInput::Installed { id: SaSetId(2) });
    shell.end();
    let left: Vec<_> = net.pcscf.states().iter().map(|state| state.reqid).collect();
    assert_eq!(
        (left, net.pcscf.policies()),
        (vec![77], 0),
        "only the stranger's state outlives the shell"
    );
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_set_expires_by_itself_is_told_and_an_extended_one_lives_from_now_on() {
    let net = Net::new();
    let shell = Shell::start(&net, true);
    let (short, long) = (four(true, 0), four(true, 1));
    let sets = [(1, &short), (2, &long)].map(|(id, four)| set_of(four, id, suite("hmac-sha-1-96/null")));
    for set in &sets {
        let life = Duration::from_secs(3);
        assert_eq!(shell.install(set, life), XfrmInput::Installed { id: set.id });
    }
    std::thread::sleep(Duration::from_secs(1));
    shell.ask(XfrmOutput::Extend {
        set: Arc::clone(&sets[1]),
        lifetime: Duration::from_secs(6),
    });
    assert_eq!(shell.answer(), XfrmInput::Extended { id: SaSetId(2) });
    let extended = Instant::now();
    let expired = |id| XfrmInput::Gone {
        id: SaSetId(id),
        cause: GoneCause::Expired,
    };
    assert_eq!(shell.answer(), expired(1));
    let spis: Vec<u32> = net.pcscf.states().iter().map(|state| state.spi).collect();
    assert!(
        short.spis.iter().all(|spi| !spis.contains(spi)),
        "a rest of the expired set: {spis:x?}"
    );
    assert_eq!(shell.answer(), expired(2));
    let lived = extended.elapsed();
    // The kernel looks once in a second or so; on a busy machine it is late, never early.
    assert!(
        lived >= Duration::from_secs(5),
        "lived for {lived:?} after it was extended for 6 s"
    );
    shell.end();
    net.pcscf.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_state_that_an_operator_deletes_takes_its_set_along_and_is_told() {
    let net = Net::new();
    let shell = Shell::start(&net, true);
    let fours = [0, 1, 2].map(|number| four(true, number));
    for (id, four) in (1..).zip(&fours) {
        let set = set_of(four, id, suite("hmac-sha-1-96/aes-cbc"));
        assert_eq!(shell.install(&set, LIFE), XfrmInput::Installed { id: set.id });
    }
    let deleted = |id| XfrmInput::Gone {
        id: SaSetId(id),
        cause: GoneCause::Deleted,
    };
    let [four, ..] = &fours;
    net.pcscf.ip(&format!(
        "xfrm state delete src {} dst {} proto esp spi {:#x}",
        four.pcscf, four.ue, four.spis[1]
    ));
    assert_eq!(shell.answer(), deleted(1));
    assert_eq!(net.pcscf.states().len(), 8);
    // A flush tells no single state.
    net.pcscf.ip("xfrm state flush");
    let mut rest = [shell.answer(), shell.answer()];
    rest.sort_by_key(|answer| format!("{answer:?}"));
    assert_eq!(rest, [deleted(2), deleted(3)]);
    // Who extends a set that is gone learns it too.
    shell.ask(XfrmOutput::Extend {
        set: set_of(four, 1, suite("hmac-sha-1-96/aes-cbc")),
        lifetime: LIFE,
    });
    assert_eq!(shell.answer(), deleted(1));
    shell.end();
    net.pcscf.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn a_start_removes_the_leftovers_of_a_thousand_ues_and_nothing_of_another_program() {
    let net = Net::new();
    let mut leftovers =
        protect(pcscf_address(true), &PORTS, PCSCF_REQID).replace("priority 1000", "priority 2080");
    for number in 0..1_000_u32 {
        let mut one = four(true, 0);
        one.spis = [0, 1, 2, 3].map(|row| 0x10_0000 + 4 * number + row);
        one.uc = u16::try_from(10_000 + number).expect("a port");
        leftovers += &one.add(PCSCF_REQID);
    }
    let stranger = four(true, 1);
    leftovers += &stranger.add(77);
    leftovers += &protect(pcscf_address(true), &[4500], 77);
    net.pcscf.batch(&leftovers);
    assert_eq!((net.pcscf.states().len(), net.pcscf.policies()), (4_004, 6));
    let shell = Shell::start(&net, true);
    let mine = net
        .pcscf
        .states()
        .into_iter()
        .filter(|state| state.reqid == PCSCF_REQID)
        .count();
    assert_eq!(mine, 0);
    assert_eq!(net.pcscf.policies(), 2 + 5, "the stranger's, and our own anew");
    shell.end();
    let left: Vec<u32> = net.pcscf.states().iter().map(|state| state.reqid).collect();
    assert_eq!((left, net.pcscf.policies()), (vec![77; 4], 2));
}

#[test]
#[ignore = "cargo ci ipsec"]
fn connections_to_a_ue_leave_from_our_client_port_and_end_with_their_set() {
    let net = Net::new();
    let shell = Shell::start(&net, true);
    let four = four(true, 0);
    net.ue.batch(&protect(four.ue, &[four.uc, four.us], UE_REQID));
    net.ue.batch(&four.add_with(UE_REQID, VECTORS[1].1));
    let set = set_of(&four, 1, suite(VECTORS[1].0));
    assert_eq!(shell.install(&set, LIFE), XfrmInput::Installed { id: SaSetId(1) });
    let [(uc, ps), _, to_server @ (pc, us), _] = four.flows();
    let listener = net.ue.listener(us);
    shell.send(flow(Transport::Tcp, to_server));
    let (mut called, from) = listener.accept().expect("a connection");
    assert_eq!(from, pc);
    let mut buffer = vec![0_u8; OPTIONS.len()];
    called.read_exact(&mut buffer).expect("a request");
    assert_eq!(buffer, OPTIONS.as_bytes());
    let mut own = net
        .ue
        .connect(uc, ps, crate::space::PATIENCE)
        .expect("a connection");
    own.write_all(OPTIONS.as_bytes()).expect("sent");
    let flow = shell.received();
    assert!(
        matches!(flow.connection, Some(ConnectionId(_))) && flow.remote == uc,
        "{flow:?}"
    );
    // The answer comes back on the UE's own connection.
    shell.send(flow);
    own.read_exact(&mut buffer).expect("an answer");
    assert_eq!(buffer, OPTIONS.as_bytes());
    shell.ask(XfrmOutput::Remove { id: SaSetId(1) });
    assert_eq!(shell.answer(), XfrmInput::Removed { id: SaSetId(1) });
    let of_the_ue = flow.connection;
    shell.hear("the end of the UE's connection", move |input| match input {
        NetInput::Sip(SipInput::ConnectionClosed(id, _)) if Some(*id) == of_the_ue => Some(()),
        _ => None,
    });
    net.pcscf.inside(|| {
        eventually("no connection on a protected port is left", || {
            let table = std::fs::read_to_string("/proc/thread-self/net/tcp").expect("the table");
            // Port 6101 or 6102 in state 01, established.
            !table
                .lines()
                .any(|line| (line.contains(":17D5 ") || line.contains(":17D6 ")) && line.contains(" 01 "))
        });
    });
    shell.end();
    net.pcscf.assert_no_xfrm();
}

#[test]
#[ignore = "cargo ci ipsec"]
fn no_icmp_error_quotes_what_was_decrypted_while_the_shell_ends() {
    let net = Net::new();
    let shell = Shell::start(&net, true);
    let four = four(true, 0);
    net.ue.batch(&protect(four.ue, &[four.uc, four.us], UE_REQID));
    net.ue.batch(&four.add_with(UE_REQID, VECTORS[0].1));
    let set = set_of(&four, 1, suite(VECTORS[0].0));
    assert_eq!(shell.install(&set, LIFE), XfrmInput::Installed { id: SaSetId(1) });
    let [(uc, ps), ..] = four.flows();
    let client = net.ue.udp(uc);
    let capture = Capture::start(&net.ue);
    let sent = std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut sent = 0;
            // Refused with ECONNREFUSED if an ICMP error came.
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                client.send_to(OPTIONS.as_bytes(), ps).expect("sent");
                sent += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            sent
        });
        shell.received();
        std::thread::sleep(SILENCE);
        shell.end();
        traffic.join().expect("traffic")
    });
    let packets = capture.stop();
    let is_esp = |packet: &&Vec<u8>| packet.get(23) == Some(&50);
    let is_icmp = |packet: &&Vec<u8>| packet.get(23) == Some(&1);
    assert!(
        sent > 10 && packets.iter().filter(is_esp).count() > 10,
        "no traffic: {sent}"
    );
    assert_eq!(packets.iter().filter(is_icmp).count(), 0, "an ICMP error left");
    // Null encryption: what is inside ESP is readable too, and only there.
    let leaks = |packet: &&Vec<u8>| contains(packet, "OPTIONS sip:") && !is_esp(packet);
    assert_eq!(
        packets.iter().filter(leaks).count(),
        0,
        "a decrypted message left in clear"
    );
    net.pcscf.assert_no_xfrm();
}
