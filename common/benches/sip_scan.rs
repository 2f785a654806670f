//! Testkit: what a scan, typed views and a proxy hop cost, in time and allocations.
//! `cargo bench -p ims-common --bench sip_scan`

use std::hint::black_box;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use ims_common::limits::SipLimits;
use ims_common::sip::{Framer, HeaderName, Message, Request, SipMessage};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// A protected VoLTE REGISTER of synthetic identities.
static REGISTER: &[u8] = include_bytes!("register_volte.sip");

fn main() {
    divan::main();
}

fn register() -> Request {
    match Message::parse(Bytes::from_static(REGISTER), &SipLimits::default()).map(Message::into_parts) {
        Ok(SipMessage::Request(request)) => request,
        other => panic!("the sample does not scan: {other:?}"),
    }
}

#[divan::bench]
fn scan(bencher: Bencher<'_, '_>) {
    let limits = SipLimits::default();
    let bytes = Bytes::from_static(REGISTER);
    bencher.bench_local(|| Message::parse(black_box(&bytes).clone(), &limits).is_ok());
}

#[divan::bench]
fn scan_and_validate(bencher: Bencher<'_, '_>) {
    let limits = SipLimits::default();
    let bytes = Bytes::from_static(REGISTER);
    bencher.bench_local(|| {
        match Message::parse(black_box(&bytes).clone(), &limits).map(Message::into_parts) {
            Ok(SipMessage::Request(request)) => request.validate().is_ok(),
            Ok(SipMessage::Response(_)) | Err(_) => false,
        }
    });
}

#[divan::bench]
fn five_typed_views(bencher: Bencher<'_, '_>) {
    let request = register();
    bencher.bench_local(|| {
        let request = black_box(&request);
        (
            request.top_via().is_ok_and(|via| via.branch().is_some()),
            request.from().is_ok_and(|from| from.tag().is_some()),
            request.to().is_ok_and(|to| to.tag().is_none()),
            request.cseq().is_ok(),
            request
                .authorization()
                .is_ok_and(|a| a.is_some_and(|a| a.response().is_some())),
        )
    });
}

#[divan::bench]
fn proxy_hop(bencher: Bencher<'_, '_>) {
    let request = register();
    bencher.bench_local(|| {
        black_box(&request)
            .edit()
            .push_front(
                HeaderName::Via,
                "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK00abcdefghijklmnopqrstuvwxyz",
            )
            .push_front(
                HeaderName::Path,
                "<sip:00abcdefghijklmnopqrstuvwxyz@pcscf.example:5060;lr>",
            )
            .set(HeaderName::MaxForwards, 69)
            .remove(HeaderName::SecurityVerify)
            .finish_request()
    });
}

#[divan::bench]
fn frame_from_a_stream(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| Framer::new(SipLimits::default()))
        .bench_local_values(|mut framer| {
            framer.push(black_box(REGISTER));
            framer.next()
        });
}
