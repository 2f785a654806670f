//! Shell: a scan of the P-CSCF while phones register and call.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ims_tests::daemons::{fresh_directory, http_get};
use ims_tests::host::Phone;
use ims_tests::scene::subscriber;
use ims_tests::site::{HOME, Site};
use ims_tests::ue::talk::CallEvent;
use ims_tests::ue::{UeCommand, UeEvent};

use crate::network::{Network, PATIENCE};

/// Requests a second, and how many.
const RATE: u64 = 600;
const REQUESTS: u64 = 9_000;

/// SIPp sends whether anybody answers or not.
fn scan(network: &Network) -> Child {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/sipp/scan.xml");
    let directory = fresh_directory().expect("a directory");
    Command::new("sipp")
        .arg(network.site.gm.to_string())
        .arg("-sf")
        .arg(scenario)
        .args(["-i", &scanner(network), "-p", "5999", "-nostdin", "-nd"])
        .args([
            "-r",
            &RATE.to_string(),
            "-m",
            &REQUESTS.to_string(),
            "-timeout",
            "60",
        ])
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sipp is not installed: `apt-get install sip-tester` (make test does it)")
}

fn scanner(network: &Network) -> String {
    let std::net::IpAddr::V4(gm) = network.site.gm.ip() else {
        unreachable!("the site has IPv4 addresses");
    };
    let [a, b, c, _] = gm.octets();
    format!("{a}.{b}.{c}.200")
}

/// The sum of all series of this name whose labels have this text.
fn metric(admin: SocketAddr, name: &str, label: &str) -> u64 {
    let (_, text) = http_get(admin, "/metrics").expect("metrics");
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_it = series.split('{').next() == Some(name) && series.contains(label);
        is_it.then(|| value.parse::<u64>().ok())?
    });
    values.sum()
}

/// Registers, again when it is put off: until the scanner is banned a slow machine has more to do than it can. Says how
/// often it was.
fn register(network: &Network, phone: &Phone) -> u32 {
    for times in 0..60 {
        let events = phone
            .tell_and_wait(UeCommand::Register, PATIENCE)
            .expect("an end");
        match events.last() {
            Some(UeEvent::Registered(_)) => return times,
            Some(UeEvent::Rejected { status: 503, .. }) => std::thread::sleep(Duration::from_millis(500)),
            _ => panic!("{} {events:?}\n{}", phone.name(), network.daemons.tails(40)),
        }
    }
    panic!("{} was never registered", phone.name());
}

/// One call from the first to the second of a pair: whether it was set up, and ended.
fn call(a: &Phone, b: &Phone, number: u8) -> bool {
    let uri = format!("sip:+1555{number:04}@{HOME};user=phone");
    let events = a.tell_and_wait(UeCommand::call(&uri), PATIENCE).expect("an end");
    let is =
        |event: &UeEvent, wanted: &CallEvent| matches!(event, UeEvent::Call { what, .. } if what == wanted);
    let has_begun = events.iter().any(|event| is(event, &CallEvent::Begun));
    a.tell(UeCommand::HangUp);
    let end = Instant::now() + PATIENCE;
    let mut has_ended = false;
    while !has_ended && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
        has_ended = b.take_events().iter().any(|event| {
            matches!(
                event,
                UeEvent::Call {
                    what: CallEvent::Ended(_),
                    ..
                }
            )
        });
    }
    has_begun && has_ended
}

#[test]
fn a_scanner_is_banned_while_phones_register_and_call_and_nothing_of_theirs_is_lost() {
    let mut site = Site::on_network([127, 0, 75]);
    site.admin = Some([9091, 9092, 9093].map(|port| SocketAddr::new(site.gm.ip(), port)));
    let network = Network::start(site, (1..=6).map(subscriber).collect());
    let admin = network.site.admin.expect("operators")[0];
    let phones: Vec<Phone> = (1..=6)
        .map(|number| network.phone(number, |config| config))
        .collect();
    let begun = Instant::now();
    let mut scanner_process = scan(&network);
    let (mut registrations, mut calls, mut put_off) = (0, 0, 0);
    while scanner_process.try_wait().expect("a process").is_none() {
        for phone in &phones {
            put_off += register(&network, phone);
            registrations += 1;
        }
        for (pair, number) in phones.chunks_exact(2).zip([2, 4, 6]) {
            let [a, b] = pair else {
                unreachable!("two are a pair")
            };
            assert!(call(a, b, number), "a call failed\n{}", network.daemons.tails(40));
            calls += 1;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let bans = metric(admin, "ims_pcscf_guard_bans_total", "");
    let dropped = metric(admin, "ims_pcscf_guard_dropped_total", "banned");
    let failures = metric(admin, "ims_pcscf_guard_failures_total", "register_refused");
    println!(
        "{REQUESTS} requests in {seconds:.1} s; {failures} refused, {bans} bans, {dropped} dropped unread; \
         {registrations} registrations and {calls} calls during it, none lost, {put_off} registrations put off"
    );
    assert_eq!(bans, 1, "{}", network.daemons.tails(40));
    assert!(dropped > REQUESTS / 2, "{dropped}");
    assert!(failures < 1_000, "{failures}");
    assert!(registrations >= 12 && calls >= 6, "{registrations} {calls}");
    // Whoever is banned hears nothing, and others do.
    let (_, list) = http_get(admin, "/api/v1/bans").expect("bans");
    assert!(list.contains(&scanner(&network)), "{list}");
    network.stop();
}
