//! Testkit: what it costs to keep what happened for whoever asks why.
//! `cargo bench -p ims-common --bench why`

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use ims_common::limits::SipLimits;
use ims_common::net::{
    Destination, Flow, Interface, NetInput, NetOutput, SendTag, SipInput, SipOutput, Transmit, Transport,
};
use ims_common::sip::Message;
use ims_common::why::{Recorder, RecorderSettings, Who, explain};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// A protected VoLTE REGISTER of synthetic identities.
static REGISTER: &str = include_str!("register_volte.sip");

fn main() {
    divan::main();
}

/// The REGISTER of one of many phones.
fn register(number: usize) -> Bytes {
    let text = REGISTER
        .replace("001010000000001", &format!("00101{number:010}"))
        .replace("Call-ID: ", &format!("Call-ID: {number}-"));
    Bytes::from(text.into_bytes())
}

fn flow() -> Flow {
    Flow {
        interface: Interface::GmProtected,
        transport: Transport::Udp,
        local: SocketAddr::from(([192, 0, 2, 1], 6101)),
        remote: SocketAddr::from(([192, 0, 2, 101], 45_061)),
        connection: None,
    }
}

fn heard(bytes: Bytes) -> NetInput {
    let message = Message::parse(bytes, &SipLimits::default()).expect("the sample scans");
    NetInput::Sip(SipInput::Received {
        flow: flow(),
        message,
    })
}

fn said(bytes: Bytes) -> NetOutput {
    NetOutput::Sip(SipOutput::Transmit(Transmit {
        bytes,
        destination: Destination::Flow(flow()),
        tag: SendTag(0),
    }))
}

#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn recorder() -> (Recorder, Instant) {
    let now = Instant::now();
    let settings = RecorderSettings {
        node: "pcscf",
        addresses: Vec::new(),
        stories: 20_000,
        calendar: (now, 0),
    };
    (Recorder::new(settings), now)
}

/// Requests of more phones than there are stories: each begins one, and ends the oldest.
#[divan::bench]
fn a_register_that_begins_a_story(bencher: Bencher<'_, '_>) {
    let (mut recorder, now) = recorder();
    let all: Vec<NetInput> = (0..40_000).map(|number| heard(register(number))).collect();
    let mut next = 0;
    bencher.bench_local(|| {
        recorder.heard(now, black_box(&all[next]));
        next = (next + 1) % all.len();
    });
}

#[divan::bench]
fn a_register_that_goes_on(bencher: Bencher<'_, '_>) {
    let (mut recorder, now) = recorder();
    let all: Vec<NetOutput> = (0..20_000).map(|number| said(register(number))).collect();
    for one in &all {
        recorder.said(now, one);
    }
    let mut next = 0;
    bencher.bench_local(|| {
        recorder.said(now, black_box(&all[next]));
        next = (next + 1) % all.len();
    });
}

#[divan::bench]
fn a_question(bencher: Bencher<'_, '_>) {
    let (mut recorder, now) = recorder();
    for number in 0..20_000 {
        recorder.heard(now, &heard(register(number)));
    }
    let who = Who::parse("001010000000077").expect("an IMSI");
    bencher.bench_local(|| explain(&recorder.case(black_box(&who), now)));
}
