//! Shell: freeDiameter, a Diameter agent by another hand, between the CSCFs and the HSS.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hss_client::cx::ReasonCode;
use ims_common::config::SCTP_SCHEME;
use ims_common::diameter::base::Application;
use ims_common::diameter::grammar::avp;
use ims_common::diameter::{CommandFlags, Header, Identifiers, LocalPeer, Message, MessageBuilder};
use ims_common::net::{DiameterInput, NetInput};
use ims_tests::daemons::{fresh_directory, http_get};
use ims_tests::host::Phone;
use ims_tests::hss::{Fault, Faulty};
use ims_tests::scene::{impi, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::remote::Seen;
use ims_tests::ue::{UeCommand, UeEvent};

use crate::network::{Network, PATIENCE};

const EXTENSIONS: &str = "/usr/lib/freeDiameter";
/// RFC 6733 6.7.1: what an agent says of itself.
const AGENT: &str = "relay.ims.mnc001.mcc001.3gppnetwork.org";

/// Builds the grammar of Cx for it: its package has the AVPs only.
fn build_rules(to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/free_diameter/cx_rules.c");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([to, &source])
        .status()
        .expect("a C compiler");
    assert!(
        status.success(),
        "no headers of freeDiameter: `apt-get install libfreediameter-dev` (make test does it)"
    );
}

/// A freeDiameter that relays between whoever comes from the home network and the HSS. It ends with this value.
pub(crate) struct FreeDiameter {
    child: Child,
    directory: PathBuf,
    starts: u32,
}

impl FreeDiameter {
    /// A free port, where it will listen: it takes every address of the machine.
    pub(crate) fn port() -> u16 {
        let any = TcpListener::bind("0.0.0.0:0").expect("a port");
        any.local_addr().expect("an address").port()
    }

    pub(crate) fn start(port: u16, hss: SocketAddr, takes_sctp: bool) -> Self {
        let directory = fresh_directory().expect("a directory");
        let own = directory.clone();
        build_rules(&directory.join("cx_rules.fdx"));
        let path = |name: &str| directory.join(name).display().to_string();
        let mut text = format!(
            "Identity = \"{AGENT}\";\nRealm = \"{HOME}\";\nPort = {port};\nSecPort = 0;\nNo_IPv6;\n\
             TwTimer = 6;\nTcTimer = 1;\n"
        );
        if !takes_sctp {
            text += "No_SCTP;\n";
        }
        let extensions = [
            ("dict_nasreq", None),
            ("dict_dcca", None),
            ("dict_dcca_3gpp", None),
            ("cx_rules", None),
            ("acl_wl", Some(path("peers.conf"))),
            ("rt_default", Some(path("routes.conf"))),
        ];
        for (name, config) in extensions {
            let config = config.map_or_else(String::new, |config| format!(" : \"{config}\""));
            let folder = if name == "cx_rules" {
                own.as_path()
            } else {
                Path::new(EXTENSIONS)
            };
            let file = folder.join(name).with_extension("fdx");
            let _ = writeln!(text, "LoadExtension = \"{}\"{config};", file.display());
        }
        let _ = writeln!(
            text,
            "ConnectPeer = \"hss.{HOME}\" {{ No_TLS; No_SCTP; Port = {}; ConnectTo = \"{}\"; }};",
            hss.port(),
            hss.ip()
        );
        for (name, text) in [
            ("agent.conf", text),
            ("peers.conf", format!("ALLOW_IPSEC *.{HOME}\n")),
            // All CSCFs serve Cx in this realm too: requests go to the HSS.
            ("routes.conf", format!("* : \"hss.{HOME}\" += 50 ;\n")),
        ] {
            fs::write(path(name), text).expect("a file");
        }
        let child = Self::spawn(&directory, 0);
        Self {
            child,
            directory,
            starts: 1,
        }
    }

    fn spawn(directory: &Path, number: u32) -> Child {
        let log = File::create(directory.join(format!("agent{number}.log"))).expect("a log");
        Command::new("freeDiameterd")
            .arg("--config")
            .arg(directory.join("agent.conf"))
            .args(["-d", "-d"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("freeDiameterd is not installed: `apt-get install freediameterd freediameter-extensions` (make test does it)")
    }

    /// Ends it as a crash does.
    fn kill(&mut self) {
        self.child.kill().expect("a process");
        let _ = self.child.wait();
    }

    /// Starts it anew, on the same port.
    fn restart(&mut self) {
        self.child = Self::spawn(&self.directory, self.starts);
        self.starts += 1;
    }

    /// Waits until connections are taken at its port.
    pub(crate) fn wait_until_it_listens(&self, port: u16) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains("is listening for connections")
            && TcpStream::connect(("127.0.0.1", port)).is_err()
        {
            assert!(Instant::now() < end, "it does not listen\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it said in all its lives.
    pub(crate) fn log(&self) -> String {
        let read = |n| fs::read_to_string(self.directory.join(format!("agent{n}.log"))).unwrap_or_default();
        (0..self.starts).map(read).collect()
    }

    /// Ends it as an operator does; it has to end by itself.
    fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.expect("kill").success());
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("a process").is_none() {
            assert!(Instant::now() < end, "it does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for FreeDiameter {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The Cx requests that reached the HSS, as they came.
type Requests = Arc<Mutex<Vec<Message>>>;

/// A network whose CSCFs dial an agent first.
struct Relayed {
    network: Network,
    agent: FreeDiameter,
    requests: Requests,
}

impl Relayed {
    /// On a network of its own; `falls_back`: the CSCFs know the HSS too.
    fn start(third: u8, falls_back: bool) -> Self {
        Self::start_over("", third, falls_back)
    }

    /// With `sctp://` or nothing before the address of the agent.
    fn start_over(scheme: &str, third: u8, falls_back: bool) -> Self {
        let mut site = Site::on_network([127, 0, third]);
        let port = FreeDiameter::port();
        // SCTP answers from addresses only that an interface has, and `lo` has 127.0.0.1.
        let agent = SocketAddr::from(([127, 0, 0, 1], port));
        site.diameter = vec![format!("{scheme}{agent}")];
        site.diameter.extend(falls_back.then_some(site.hss.to_string()));
        site.admin = Some([9091, 9092, 9093].map(|port| SocketAddr::new(site.gm.ip(), port)));
        for more in [&mut site.icscf_more, &mut site.scscf_more] {
            *more += "  cx: {watchdog: 6s, reconnect: 1s}\n";
        }
        let agent = FreeDiameter::start(port, site.hss, scheme == SCTP_SCHEME);
        let requests = Requests::default();
        let sink = Arc::clone(&requests);
        let watch = move |_: Instant, what: Seen<'_>| {
            if let Seen::Input(NetInput::Diameter(DiameterInput::Message { bytes, .. })) = what
                && let Ok(message) = Message::parse(bytes.clone())
                && message.is_request()
                && message.header().application != 0
            {
                sink.lock().expect("a list").push(message);
            }
        };
        let peers = if falls_back { 3 } else { 1 };
        let subscribers = vec![subscriber(1), subscriber(2)];
        let relayed = Self {
            network: Network::start_watched(site, subscribers, peers, watch),
            agent,
            requests,
        };
        relayed.wait_for_peers(if falls_back { 2 } else { 1 });
        relayed.wait_for_way();
        relayed
    }

    /// Waits until I- and S-CSCF have so many open peers each.
    fn wait_for_peers(&self, count: usize) {
        let end = Instant::now() + PATIENCE;
        let [_, icscf, scscf] = self.network.site.admin.expect("operator's endpoints");
        let expected = format!(" {count}");
        for address in [icscf, scscf] {
            loop {
                let (_, metrics) = http_get(address, "/metrics").expect("metrics");
                let is_so =
                    |line: &str| line.starts_with("ims_diameter_peers_open") && line.ends_with(&expected);
                if metrics.lines().any(is_so) {
                    break;
                }
                assert!(Instant::now() < end, "{}", self.said());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Waits until the HSS has so many requests.
    fn wait_for_requests(&self, count: usize) -> Vec<Message> {
        let end = Instant::now() + PATIENCE;
        loop {
            let requests = self.requests.lock().expect("a list").clone();
            if requests.len() >= count {
                return requests;
            }
            assert!(
                Instant::now() < end,
                "{} requests\n{}",
                requests.len(),
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the agent has said this.
    fn wait_for_log(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.agent.log().contains(text) {
            assert!(Instant::now() < end, "{text}: not said\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the agent, in its present life, would pass a request on: the HSS knows of their connection earlier.
    fn wait_for_way(&self) {
        let end = Instant::now() + PATIENCE;
        let opened = || {
            self.agent
                .log()
                .matches("'STATE_WAITCEA'\t-> 'STATE_OPEN'")
                .count()
        };
        while opened() < usize::try_from(self.agent.starts).unwrap_or(usize::MAX) {
            assert!(Instant::now() < end, "no way to the HSS\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_registered(&self, phone: &Phone) {
        let end = Instant::now() + PATIENCE;
        let mut events = Vec::new();
        while !events.iter().any(|event| matches!(event, UeEvent::Registered(_))) {
            assert!(Instant::now() < end, "{events:?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
            events.extend(phone.take_events());
        }
    }

    fn said(&self) -> String {
        format!(
            "{}\n--- freeDiameter\n{}",
            self.network.daemons.tails(20),
            self.agent.log()
        )
    }

    fn assert_no_complaint(&self) {
        let log = self.agent.log();
        let complains = |line: &&str| {
            let words = ["ERROR", "FATAL", "STATE_SUSPECT", "discarded"];
            // So it calls being told to end.
            let ends = line.contains("Initiating freeDiameter shutdown");
            !ends && words.iter().any(|word| line.contains(word))
        };
        let complaints: Vec<&str> = log.lines().filter(complains).collect();
        assert!(complaints.is_empty(), "{complaints:#?}\n{log}");
    }
}

#[test]
fn free_diameter_relays_the_life_of_a_phone_and_has_no_complaint() {
    let relayed = Relayed::start(30, false);
    let network = &relayed.network;
    let phones = [1, 2].map(|number| network.phone(number, |config| config));
    for phone in &phones {
        network.must(phone, UeCommand::Register);
        network.must(phone, UeCommand::Refresh);
    }
    // Every request came through the agent, which says whom it had it from.
    let requests = relayed.wait_for_requests(2 * 6);
    for request in &requests {
        let origin = request.text(&avp::ORIGIN_HOST).expect("Origin-Host");
        assert_eq!(
            request.text(&avp::ROUTE_RECORD),
            Some(origin),
            "{}",
            relayed.said()
        );
        assert!(!request.header().flags.is_retransmitted());
    }
    // The HSS reaches the S-CSCF through it too.
    let sent = network
        .hss
        .ask(|now, hss| hss.send_rtr(now, &impi(2), &[], ReasonCode::PermanentTermination));
    assert_eq!(sent, Some(true));
    let end = Instant::now() + PATIENCE;
    let answers = || network.hss.ask(|_, hss| hss.push_answers().len()).unwrap_or(0);
    while answers() == 0 {
        assert!(Instant::now() < end, "no RTA\n{}", relayed.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Longer than its watchdog takes to suspect a peer that does not answer: 6 s and 2 s of jitter, twice.
    std::thread::sleep(Duration::from_secs(17));
    network.must(&phones[0], UeCommand::Deregister);
    assert!(relayed.requests.lock().expect("a list").len() > requests.len());
    let mut relayed = relayed;
    relayed.network.daemons.stop().expect("an end");
    relayed.wait_for_log("icscf.ims.mnc001.mcc001.3gppnetwork.org' sent a DPR with cause: REBOOTING");
    relayed.assert_no_complaint();
    // It read each message by the grammar of its command.
    for message in [
        "300 R", "300 A", "301 R", "301 A", "303 R", "303 A", "304 R", "304 A",
    ] {
        relayed.wait_for_log(&format!("GRAMMAR holds: {message}"));
    }
}

#[test]
fn free_diameter_finds_what_is_missing_in_a_request() {
    let relayed = Relayed::start(33, false);
    let stranger = LocalPeer {
        origin_host: format!("stranger.{HOME}"),
        origin_realm: HOME.to_owned(),
        host_ip_addresses: Vec::new(),
        product_name: "test".to_owned(),
        origin_state_id: 1,
        applications: vec![Application::CX],
        supported_vendors: Vec::new(),
    };
    let mut stream = TcpStream::connect(&*relayed.network.site.diameter[0]).expect("a connection");
    let seed = ims_common::shell::seed().expect("a clock");
    let mut ids = Identifiers::new(&seed, 0, &mut seed.rng(1));
    let own = stream.local_addr().expect("an address").ip();
    stream.write_all(&stranger.cer(&mut ids, own)).expect("a CER");
    relayed.wait_for_log("'STATE_OPEN'\t'stranger.");
    let uar = Header {
        flags: CommandFlags(CommandFlags::REQUEST | CommandFlags::PROXIABLE),
        code: 300,
        application: Application::CX.id,
        hop_by_hop: ids.next_hop_by_hop(),
        end_to_end: ids.next_end_to_end(),
    };
    let mut builder = MessageBuilder::new(uar);
    builder.text(&avp::SESSION_ID, "stranger;1;1");
    stranger.put_origin(&mut builder);
    builder.text(&avp::DESTINATION_REALM, HOME);
    stream.write_all(&builder.finish()).expect("a UAR");
    relayed.wait_for_log("GRAMMAR broken: 300 DIAMETER_MISSING_AVP");
    relayed.network.stop();
}

#[test]
fn request_that_a_killed_relay_had_goes_to_the_hss_itself_with_t() {
    let mut relayed = Relayed::start(31, true);
    let delay = Fault::Delay(Duration::from_millis(600));
    let is_slow = relayed
        .network
        .hss
        .ask(move |_, hss| hss.set_fault(Faulty::Uar, delay));
    assert!(is_slow.is_some());
    let phone = relayed.network.phone(1, |config| config);
    phone.tell(UeCommand::Register);
    relayed.wait_for_requests(1);
    relayed.agent.kill();
    let requests = relayed.wait_for_requests(2);
    let (first, second) = (&requests[0], &requests[1]);
    let is_relayed = |request: &Message| request.find(&avp::ROUTE_RECORD).is_some();
    assert!(
        is_relayed(first) && !is_relayed(second),
        "{first:?} {second:?}\n{}",
        relayed.said()
    );
    assert!(!first.header().flags.is_retransmitted() && second.header().flags.is_retransmitted());
    assert_eq!(first.header().end_to_end, second.header().end_to_end);
    assert_eq!(first.text(&avp::SESSION_ID), second.text(&avp::SESSION_ID));
    relayed.wait_registered(&phone);
    // The next ones know it: no T, no agent.
    let requests = relayed.wait_for_requests(5);
    for later in &requests[2..] {
        assert!(!later.header().flags.is_retransmitted() && !is_relayed(later));
    }
    relayed.agent.restart();
    relayed.wait_for_peers(2);
    relayed.network.must(&phone, UeCommand::Deregister);
    relayed.network.stop();
}

#[test]
fn cscfs_survive_the_death_and_the_farewell_of_their_only_relay() {
    let mut relayed = Relayed::start(32, false);
    let phone = relayed.network.phone(1, |config| config);
    relayed.agent.kill();
    relayed.wait_for_peers(0);
    let events = phone
        .tell_and_wait(UeCommand::Register, PATIENCE)
        .expect("an end");
    let refused = |event: &UeEvent| matches!(event, UeEvent::Rejected { status: 480, .. });
    assert!(events.iter().any(refused), "{events:?}\n{}", relayed.said());
    relayed.agent.restart();
    relayed.wait_for_peers(1);
    relayed.wait_for_way();
    relayed.network.must(&phone, UeCommand::Register);
    // It says DPR, waits for our DPA, and ends.
    relayed.agent.terminate();
    relayed.wait_for_peers(0);
    relayed.agent.restart();
    relayed.wait_for_peers(1);
    relayed.wait_for_way();
    relayed.network.must(&phone, UeCommand::Deregister);
    relayed.network.daemons.stop().expect("an end");
    relayed.assert_no_complaint();
}

/// Where the kernel has no SCTP, this test only says so.
#[test]
fn cscfs_reach_free_diameter_over_sctp_and_find_it_again() {
    if !Path::new("/proc/net/sctp").exists() {
        println!("not tested: this kernel has no SCTP (modprobe sctp)");
        return;
    }
    let mut relayed = Relayed::start_over(SCTP_SCHEME, 35, false);
    let phone = relayed.network.phone(1, |config| config);
    relayed.network.must(&phone, UeCommand::Register);
    let associations = fs::read_to_string("/proc/net/sctp/assocs").expect("a list");
    assert!(
        associations.contains("127.0.35.3") && associations.contains("127.0.35.4"),
        "{associations}"
    );
    for message in ["300 R", "301 R", "303 R"] {
        relayed.wait_for_log(&format!("GRAMMAR holds: {message}"));
    }
    relayed.agent.kill();
    relayed.wait_for_peers(0);
    relayed.agent.restart();
    relayed.wait_for_peers(1);
    relayed.wait_for_way();
    relayed.network.must(&phone, UeCommand::Deregister);
    relayed.network.daemons.stop().expect("an end");
    relayed.wait_for_log("icscf.ims.mnc001.mcc001.3gppnetwork.org' sent a DPR with cause: REBOOTING");
    relayed.assert_no_complaint();
}
