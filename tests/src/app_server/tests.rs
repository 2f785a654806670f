//! Testkit: the application server alone, between a caller and an S-CSCF that are application servers too.

use std::time::Duration;

use super::*;
use crate::world::{NodeSpec, World};

const CALLER: &str = "192.0.2.1:5060";
const SERVER: &str = "192.0.2.2:5060";
const SCSCF: &str = "192.0.2.3:5060";

/// A caller, the server, and what answers behind it.
fn world(behaviour: AsBehaviour) -> World {
    let mut world = World::seeded(5);
    let nodes = [
        ("caller", CALLER, AsBehaviour::Answer),
        ("server", SERVER, behaviour),
        ("scscf", SCSCF, AsBehaviour::Answer),
    ];
    for (name, address, behaviour) in nodes {
        let local = address.parse().unwrap();
        let seed = world.next_seed();
        let server = AppServer::new(AsConfig::new(local).behaviour(behaviour), &seed);
        let spec = NodeSpec::network(name).socket(Interface::Mw, local);
        world.add(spec, server);
    }
    world
}

/// What comes from an S-CSCF: the server on top, then an original dialog identifier.
fn invocation(method: Method) -> OwnRequest {
    let mut own = OwnRequest::new(method, "sip:b@home.test", &format!("<sip:{SERVER};lr>"));
    own.routes.push(format!("<sip:odi-1@{SCSCF};lr>"));
    own.on_behalf_of("sip:a@home.test").header("X-Kept", "a,b")
}

fn begin(world: &mut World, method: Method) -> String {
    let call_id = world.with("caller", |now, caller: &mut AppServer| {
        caller.begin(now, invocation(method))
    });
    world.advance(Duration::from_secs(1));
    call_id
}

fn answers(world: &mut World) -> Vec<u16> {
    world.with("caller", |_, caller: &mut AppServer| {
        caller.answers().iter().map(|(_, status)| *status).collect()
    })
}

fn seen(world: &mut World, name: &str) -> Vec<Request> {
    world.with(name, |_, server: &mut AppServer| server.requests().to_vec())
}

fn hang_up(world: &mut World) {
    world.with("caller", |now, caller: &mut AppServer| caller.hang_up(now));
    world.advance(Duration::from_secs(60));
}

#[test]
fn what_continues_comes_back_along_the_identifier() {
    let mut world = world(AsBehaviour::Continue { record_route: true });
    let call_id = begin(&mut world, Method::Invite);
    assert_eq!(answers(&mut world), [200]);
    let back = seen(&mut world, "scscf");
    assert_eq!(back[0].call_id(), Some(call_id.as_bytes()));
    assert_eq!(back[0].values(HeaderName::Via).count(), 2);
    assert_eq!(
        back[0].values(HeaderName::Route).next(),
        Some(format!("<sip:odi-1@{SCSCF};lr>").as_bytes())
    );
    hang_up(&mut world);
    assert_eq!(seen(&mut world, "server").len(), 2, "INVITE and BYE");
    assert_eq!(seen(&mut world, "scscf").len(), 2, "INVITE and BYE");
    assert_eq!(answers(&mut world), [200, 200]);
}

#[test]
fn bridge_has_two_calls_of_different_names() {
    let mut world = world(AsBehaviour::B2bua);
    let call_id = begin(&mut world, Method::Invite);
    assert_eq!(answers(&mut world), [200]);
    let (first, second) = (seen(&mut world, "server"), seen(&mut world, "scscf"));
    assert_ne!(second[0].call_id(), Some(call_id.as_bytes()));
    assert_ne!(tag_of(&first[0]), tag_of(&second[0]));
    assert_eq!(second[0].values(HeaderName::Via).count(), 1);
    assert_eq!(second[0].header_named("X-Kept"), Some(&b"a,b"[..]));
    let bridges =
        |world: &mut World| world.with("server", |_, server: &mut AppServer| server.bridges().len());
    assert_eq!(bridges(&mut world), 1);
    world.with("scscf", |_, scscf: &mut AppServer| assert_eq!(scscf.acks(), 1));
    hang_up(&mut world);
    assert_eq!(answers(&mut world), [200, 200]);
    assert_eq!(bridges(&mut world), 0);
    let bye = &seen(&mut world, "scscf")[1];
    assert_eq!(bye.call_id(), second[0].call_id());
    assert_eq!(tag_of(bye), tag_of(&second[0]));
}

fn tag_of(request: &Request) -> Vec<u8> {
    request.from().unwrap().tag().unwrap().to_vec()
}

#[test]
fn bridged_message_leaves_nothing_behind() {
    let mut world = world(AsBehaviour::B2bua);
    begin(&mut world, Method::Message);
    assert_eq!(answers(&mut world), [200]);
    world.with("server", |_, server: &mut AppServer| {
        assert!(server.bridges().is_empty())
    });
}

#[test]
fn each_behaviour_ends_as_it_says() {
    let to = |uri: &str| uri.to_owned();
    let cases: [(AsBehaviour, &[u16], usize); 8] = [
        (AsBehaviour::Answer, &[200], 0),
        (AsBehaviour::Redirect(to("sip:c@home.test")), &[302], 0),
        (AsBehaviour::Refuse(486), &[486], 0),
        (AsBehaviour::ProgressThenRefuse(480), &[183, 480], 0),
        (AsBehaviour::AnswerTwice, &[200, 200], 0),
        (AsBehaviour::RecordRoutes(40), &[200], 1),
        (AsBehaviour::DropOdi, &[200], 1),
        (
            AsBehaviour::Fork(vec![to("sip:c@home.test"), to("sip:d@home.test")]),
            &[200, 200],
            2,
        ),
    ];
    for (behaviour, expected, passed) in cases {
        let name = format!("{behaviour:?}");
        let mut world = world(behaviour);
        begin(&mut world, Method::Invite);
        assert_eq!(answers(&mut world), expected, "{name}");
        assert_eq!(seen(&mut world, "scscf").len(), passed, "{name}");
    }
}

#[test]
fn silent_server_does_not_even_try() {
    let mut world = world(AsBehaviour::Silent);
    begin(&mut world, Method::Invite);
    let ladder = crate::ladder::of(world.record());
    assert!(!ladder.contains("100"), "{ladder}");
}

#[test]
fn diverting_server_names_who_diverts() {
    let mut world = world(AsBehaviour::Retarget {
        uri: "sip:c@home.test".to_owned(),
        diverts: true,
    });
    begin(&mut world, Method::Invite);
    let back = &seen(&mut world, "scscf")[0];
    assert_eq!(back.request_uri_bytes(), b"sip:c@home.test");
    assert_eq!(
        back.header(HeaderName::PServedUser),
        Some(&b"<sip:b@home.test>;orig-cdiv"[..])
    );
}

#[test]
fn dropped_identifier_leaves_the_host() {
    let mut world = world(AsBehaviour::DropOdi);
    begin(&mut world, Method::Invite);
    let back = &seen(&mut world, "scscf")[0];
    assert_eq!(
        back.values(HeaderName::Route).next(),
        Some(format!("<sip:{SCSCF};lr>").as_bytes())
    );
}
