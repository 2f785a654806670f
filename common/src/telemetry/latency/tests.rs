//! Testkit: what is measured, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::limits::SipLimits;
use crate::net::{Flow, Transport};

struct Bench {
    latency: Latency,
    now: Instant,
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

impl Bench {
    #[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn new() -> Self {
        Self {
            latency: Latency::new((1, 2)),
            now: Instant::now(),
        }
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }

    fn heard(&mut self, text: &str) {
        let message = Message::parse(Bytes::from(text.replace('\n', "\r\n")), &SipLimits::default()).unwrap();
        let flow = Flow {
            interface: Interface::Gm,
            transport: Transport::Udp,
            local: at(5060),
            remote: at(5061),
            connection: None,
        };
        let input = NetInput::Sip(SipInput::Received { flow, message });
        self.latency.heard(self.now, &input);
    }

    fn said(&mut self, interface: Interface, text: &str) {
        let transmit = Transmit {
            bytes: Bytes::from(text.replace('\n', "\r\n")),
            destination: Destination::Address {
                interface,
                transport: Transport::Udp,
                remote: at(5061),
            },
            tag: crate::net::SendTag(0),
        };
        self.latency
            .said(self.now, &NetOutput::Sip(SipOutput::Transmit(transmit)));
    }

    fn count(&self, name: &str, wanted: &[(&str, &str)]) -> (u64, Duration) {
        let mut metrics = Metrics::default();
        self.latency.metrics(&mut metrics);
        assert!(crate::telemetry::catalogue::complaints(&metrics).is_empty());
        let of_name = metrics.histograms().filter(|(it, labels, _)| {
            *it == name
                && wanted
                    .iter()
                    .all(|(k, v)| labels.iter().any(|(lk, lv)| lk == k && lv == v))
        });
        of_name.fold((0, Duration::ZERO), |(count, sum), (_, _, histogram)| {
            (count + histogram.count(), sum + histogram.sum())
        })
    }
}

fn request(method: &str, branch: &str, more: &str) -> String {
    format!(
        "{method} sip:home.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\nFrom: <sip:a@home.example>;tag=1\n\
         To: <sip:b@home.example>\nCall-ID: c1\nCSeq: 1 {method}\n{more}Content-Length: 0\n\n"
    )
}

fn answer(status: u16, method: &str, branch: &str) -> String {
    format!(
        "SIP/2.0 {status} So\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\nFrom: <sip:a@home.example>;tag=1\n\
         To: <sip:b@home.example>;tag=2\nCall-ID: c1\nCSeq: 1 {method}\nContent-Length: 0\n\n"
    )
}

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn both_sides_of_a_request_are_measured_and_a_repeated_one_counts_from_the_first() {
    let mut bench = Bench::new();
    bench.heard(&request("MESSAGE", "up", ""));
    bench
        .after(10)
        .said(Interface::Mw, &request("MESSAGE", "down", ""));
    bench.after(500).heard(&request("MESSAGE", "up", ""));
    bench.after(90).heard(&answer(200, "MESSAGE", "down"));
    bench.after(1).said(Interface::Gm, &answer(200, "MESSAGE", "up"));
    let name = "ims_sip_request_duration_seconds";
    let server = [
        ("interface", "gm"),
        ("side", "server"),
        ("method", "MESSAGE"),
        ("status", "2xx"),
    ];
    assert_eq!(bench.count(name, &server), (1, MS(601)));
    let client = [("interface", "mw"), ("side", "client"), ("status", "2xx")];
    assert_eq!(bench.count(name, &client), (1, MS(590)));
}

#[test]
fn a_registration_lasts_from_the_first_register_to_the_200_and_not_to_the_challenge() {
    let mut bench = Bench::new();
    bench.heard(&request("REGISTER", "1", ""));
    bench.after(50).said(Interface::Gm, &answer(401, "REGISTER", "1"));
    let answered = "Authorization: Digest username=\"a\", response=\"0123\"\n";
    bench.after(400).heard(&request("REGISTER", "2", answered));
    bench.after(50).said(Interface::Gm, &answer(200, "REGISTER", "2"));
    let name = "ims_registration_duration_seconds";
    assert_eq!(bench.count(name, &[("kind", "initial")]), (1, MS(500)));
    bench.after(9_000).heard(&request("REGISTER", "3", answered));
    bench.after(30).said(Interface::Gm, &answer(200, "REGISTER", "3"));
    assert_eq!(bench.count(name, &[("kind", "again")]), (1, MS(30)));
    bench.heard(&request("REGISTER", "4", "Expires: 0\n"));
    bench.after(20).said(Interface::Gm, &answer(200, "REGISTER", "4"));
    assert_eq!(bench.count(name, &[("kind", "end")]), (1, MS(20)));
    bench.heard(&request("REGISTER", "5", ""));
    bench.after(20).said(Interface::Gm, &answer(403, "REGISTER", "5"));
    assert_eq!(bench.count(name, &[]).0, 3, "a refusal is no registration");
}

#[test]
fn a_call_is_measured_until_it_rings_and_until_it_is_answered() {
    let mut bench = Bench::new();
    bench.heard(&request("INVITE", "1", ""));
    bench.after(5).said(Interface::Gm, &answer(100, "INVITE", "1"));
    bench.after(995).said(Interface::Gm, &answer(183, "INVITE", "1"));
    bench
        .after(1_000)
        .said(Interface::Gm, &answer(180, "INVITE", "1"));
    bench.after(500).said(Interface::Gm, &answer(180, "INVITE", "1"));
    bench.after(500).said(Interface::Gm, &answer(200, "INVITE", "1"));
    bench.after(500).said(Interface::Gm, &answer(200, "INVITE", "1"));
    assert_eq!(
        bench.count("ims_call_post_dial_delay_seconds", &[]),
        (1, MS(1_000))
    );
    let setup = "ims_call_setup_duration_seconds";
    assert_eq!(bench.count(setup, &[("until", "ringing")]), (1, MS(2_000)));
    assert_eq!(bench.count(setup, &[("until", "answer")]), (1, MS(3_000)));
}

#[test]
fn diameter_is_measured_by_command_and_result() {
    let mut bench = Bench::new();
    let connection = ConnectionId(1);
    let mut message = vec![1, 0, 0, 32, 0x80, 0, 1, 46, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9];
    message.extend([0, 0, 1, 12, 0x40, 0, 0, 12, 0, 0, 0x07, 0xD1]);
    let send = |bytes: &[u8]| {
        let bytes = Bytes::copy_from_slice(bytes);
        NetOutput::Diameter(DiameterOutput::Send { connection, bytes })
    };
    bench.latency.said(bench.now, &send(&message));
    message[4] = 0;
    let bytes = Bytes::from(message);
    bench.after(7);
    let input = NetInput::Diameter(DiameterInput::Message { connection, bytes });
    bench.latency.heard(bench.now, &input);
    let labels = [("side", "client"), ("command", "LIR"), ("result", "success")];
    assert_eq!(
        bench.count("ims_diameter_request_duration_seconds", &labels),
        (1, MS(7))
    );
}

#[test]
fn whatever_strangers_send_the_series_are_bounded_and_so_is_the_memory() {
    let mut bench = Bench::new();
    for number in 0..2_000 {
        let (method, branch) = (format!("X{number}"), format!("z9hG4bK{number}"));
        bench.heard(&request(
            &method,
            &branch,
            &format!("P-X{number}: h{number}.example\n"),
        ));
        let status = 200 + number % 500;
        bench
            .after(1)
            .said(Interface::Gm, &answer(status, &method, &branch));
    }
    let mut metrics = Metrics::default();
    bench.latency.metrics(&mut metrics);
    let series = metrics
        .histograms()
        .filter(|(name, ..)| *name == "ims_sip_request_duration_seconds");
    assert_eq!(series.count(), 5, "one method that is none of ours, five classes");
    bench.latency.requests = Generations::new(100);
    for number in 0..2_000 {
        bench.heard(&request("INVITE", &format!("z9hG4bK{number}"), ""));
    }
    let mut metrics = Metrics::default();
    bench.latency.metrics(&mut metrics);
    assert_eq!(metrics.sum("ims_latency_unmeasured_total", &[]), 1_900);
}
