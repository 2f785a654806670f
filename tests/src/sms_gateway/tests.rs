//! Testkit: the gateway alone, between two nodes that answer for everybody.

use std::time::Duration;

use super::*;
use crate::app_server::own::OwnRequest;
use crate::app_server::{AppServer, AsBehaviour, AsConfig};
use crate::world::{NodeSpec, World};

const GATEWAY: &str = "192.0.2.2:5060";
const SCSCF: &str = "192.0.2.3:5060";
const ICSCF: &str = "192.0.2.4:5060";

fn world() -> World {
    let mut world = World::seeded(6);
    for (name, address) in [("scscf", SCSCF), ("icscf", ICSCF)] {
        let local = address.parse().unwrap();
        let seed = world.next_seed();
        let server = AppServer::new(AsConfig::new(local).behaviour(AsBehaviour::Answer), &seed);
        world.add(NodeSpec::network(name).socket(Interface::Mw, local), server);
    }
    let local = GATEWAY.parse().unwrap();
    let config = SmsGatewayConfig {
        local,
        host: None,
        icscf: format!("sip:{ICSCF}"),
        refuses: None,
        hosts: HostsTable::default(),
    };
    let seed = world.next_seed();
    let gateway = SmsGateway::new(config, &seed);
    world.add(NodeSpec::network("gateway").socket(Interface::Mw, local), gateway);
    world
}

fn send(world: &mut World, own: OwnRequest) {
    world.with("scscf", |now, scscf: &mut AppServer| scscf.begin(now, own));
    world.advance(Duration::from_secs(1));
}

/// The third-party REGISTER of the user with the number +15550001.
fn register(world: &mut World) {
    let mut own = OwnRequest::new(Method::Register, &format!("sip:{GATEWAY}"), "");
    own.routes.clear();
    own = own.header("Expires", "3600");
    own.from = Some("sip:scscf@home.test".to_owned());
    own.request_uri = format!("sip:{GATEWAY}");
    world.with("scscf", |now, scscf: &mut AppServer| scscf.begin(now, own));
    world.advance(Duration::from_secs(1));
}

fn submission(rp: &Rp) -> OwnRequest {
    OwnRequest::new(Method::Message, "tel:+15550099", &format!("<sip:{GATEWAY};lr>"))
        .on_behalf_of("tel:+15550001")
        .body(CONTENT_TYPE, rp.print())
}

fn requests(world: &mut World, name: &str) -> Vec<Request> {
    world.with(name, |_, server: &mut AppServer| server.requests().to_vec())
}

#[test]
fn submission_is_accepted_reported_and_delivered() {
    let mut world = world();
    let rp = Rp::Data {
        from_ms: true,
        reference: 9,
        service_centre: SERVICE_CENTRE.to_owned(),
        tpdu: Submit::of_octets("15550002", b"\0\r\n\xFF").print(1),
    };
    send(&mut world, submission(&rp));
    let answers = world.with("scscf", |_, scscf: &mut AppServer| scscf.answers().to_vec());
    assert_eq!(answers, [(Method::Message, 202)]);
    let sent = requests(&mut world, "icscf");
    assert_eq!(sent.len(), 2, "a report and a delivery");
    assert_eq!(sent[0].request_uri_bytes(), b"tel:+15550001");
    assert_eq!(
        Rp::parse(sent[0].body()),
        Some(Rp::Ack {
            from_ms: false,
            reference: 9
        })
    );
    assert!(sent[0].header(HeaderName::InReplyTo).is_some());
    assert_eq!(sent[1].request_uri_bytes(), b"tel:+15550002");
    let Some(Rp::Data { tpdu, .. }) = Rp::parse(sent[1].body()) else {
        panic!("no delivery")
    };
    assert_eq!(rp::delivered_data(&tpdu), Some(&b"\0\r\n\xFF"[..]));
}

#[test]
fn report_without_a_delivery_is_488() {
    let mut world = world();
    let rp = Rp::Ack {
        from_ms: true,
        reference: 1,
    };
    send(&mut world, submission(&rp).header("In-Reply-To", "nobody"));
    let answers = world.with("scscf", |_, scscf: &mut AppServer| scscf.answers().to_vec());
    assert_eq!(answers, [(Method::Message, 488)]);
}

#[test]
fn registered_user_is_reached_at_their_own_scscf() {
    let mut world = world();
    register(&mut world);
    world.with("gateway", |now, gateway: &mut SmsGateway| {
        gateway.deliver(now, &format!("sip:{GATEWAY}"), "15550001", b"x");
    });
    world.advance(Duration::from_secs(1));
    assert_eq!(requests(&mut world, "scscf").len(), 1);
    assert_eq!(requests(&mut world, "icscf").len(), 0);
}
