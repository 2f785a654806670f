//! Testkit: IPv6 in SIP (RFC 5118 4).

use std::net::{IpAddr, Ipv6Addr};

use ims_common::sip::Host;

use crate::{refused, request, valid};

fn register(uri: &str, via: &str) -> String {
    format!(
        "REGISTER {uri} SIP/2.0\nTo: sip:user@example.com\nFrom: sip:user@example.com;tag=81x2\nVia: SIP/2.0/UDP {via}\nCall-ID: SSG9559905523997077@hlau_4100\nMax-Forwards: 70\n\
         Contact: \"Caller\" <sip:caller@[2001:db8::1]>\nCSeq: 98176 REGISTER\nContent-Length: 0\n\n"
    )
}

const VIA: &str = "[2001:db8::9:1];branch=z9hG4bKas3-111";

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an IPv6 address")
}

/// RFC 5118 4.1
#[test]
fn a_reference_in_the_request_uri() {
    let register = valid(&register("sip:[2001:db8::10]", VIA));
    assert_eq!(
        register.request_uri().unwrap().host(),
        Host::V6(v6("2001:db8::10"))
    );
    assert_eq!(register.top_via().unwrap().host(), Host::V6(v6("2001:db8::9:1")));
}

/// RFC 5118 4.2
#[test]
fn an_address_without_brackets() {
    assert_eq!(refused(&register("sip:2001:db8::10", VIA)), "uri_host");
    assert_eq!(
        refused(&register("sip:[2001:db8::10]", "2001:db8::9:1;branch=z9hG4bK1")),
        "via_sent_by"
    );
}

/// RFC 5118 4.3, 4.4
#[test]
fn a_port_inside_and_outside_the_brackets() {
    let inside = valid(&register("sip:[2001:db8::10:5070]", VIA));
    assert_eq!(inside.request_uri().unwrap().port(), None);
    let outside = valid(&register("sip:[2001:db8::10]:5070", VIA));
    assert_eq!(outside.request_uri().unwrap().port(), Some(5070));
}

/// RFC 5118 4.5
#[test]
fn received_with_and_without_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let bye = valid(&register(
            "sip:[2001:db8::10]",
            &format!("[2001:db8::9:1];received={received};branch=z9hG4bKas3-111"),
        ));
        assert_eq!(
            bye.top_via().unwrap().received(),
            Some(IpAddr::V6(v6("2001:db8::9:255")))
        );
    }
}

/// RFC 5118 4.6, 4.8: bodies are carried as they are.
#[test]
fn session_descriptions_with_ipv6() {
    let sdp = "v=0\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\ns=-\nc=IN IP6 2001:db8::20\nt=3338481189 3370017201\nm=audio 6000 RTP/AVP 2\nm=audio 6000 RTP/AVP 2\nc=IN IP4 192.0.2.1\n";
    let length = sdp.replace('\n', "\r\n").len();
    let invite = request(&format!(
        "INVITE sip:user@[2001:db8::10] SIP/2.0\nVia: SIP/2.0/UDP {VIA}\nContent-Type: application/sdp\nContent-Length: {length}\n\n{sdp}"
    ));
    assert_eq!(invite.body(), sdp.replace('\n', "\r\n").as_bytes());
}

/// RFC 5118 4.7
#[test]
fn both_families_in_one_message() {
    let bye = valid(
        "BYE sip:user@host.example.net SIP/2.0\nVia: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144\n\
         Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200\nCall-ID: 997077@lau_4100\nMax-Forwards: 70\nCSeq: 89187 BYE\nTo: sip:user@example.net;tag=9817--94\n\
         From: sip:user@example.com;tag=81x2\nContent-Length: 0\n\n",
    );
    assert_eq!(bye.top_via().unwrap().port(), Some(6050));
}

/// RFC 5118 4.9
#[test]
fn an_ipv4_mapped_address() {
    let register = valid(&register(
        "sip:[::ffff:192.0.2.10]",
        "[::ffff:192.0.2.2]:5060;branch=z9hG4bKmapped",
    ));
    assert_eq!(
        register.request_uri().unwrap().host(),
        Host::V6(v6("::ffff:192.0.2.10"))
    );
}

/// RFC 5118 4.10: a colon too many, as the grammar of RFC 3261 allowed by mistake.
#[test]
fn an_address_with_three_colons() {
    assert_eq!(
        refused(&register("sip:user@[2001:db8:::192.0.2.1]", VIA)),
        "uri_host"
    );
    assert!(
        valid(&register("sip:user@[2001:db8::192.0.2.1]", VIA))
            .request_uri()
            .is_ok()
    );
}
