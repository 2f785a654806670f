//! Shell: calls with peers by other hands: SIPp as caller, callee and application server, Kamailio as application server
//! and as a telephone network, baresip as a client with a password.
#![allow(clippy::disallowed_methods, reason = "shell")]

mod baresip;
mod kamailio;
mod sipp;

use ims_tests::hss::Subscriber;
use ims_tests::scene::imsi;
use ims_tests::site::HOME;

/// What all of them prove who they are with.
const PASSWORD: &str = "swordfish";

/// The subscriber with this number, who has a password and one public identity.
///
/// baresip 1.0 and SIPp 3.6 know MD5 only, and baresip gives up when it is offered anything else first.
fn client(number: u8) -> Subscriber {
    Subscriber::new(&imsi(number))
        .digest_password(PASSWORD)
        .md5_only()
}

fn impu(number: u8) -> String {
    format!("sip:{}@{HOME}", imsi(number))
}
