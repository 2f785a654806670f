//! Testkit: short messages over IP, through an IP-SM-GW (TS 24.341, TS 23.204).

use ims_common::net::Transport;
use ims_tests::hss::Subscriber;
use ims_tests::ladder::assert_golden;
use ims_tests::scene::calls::{sip, tel};
use ims_tests::scene::{Scene, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::sms_gateway::{SERVICE_CENTRE, SmsEvent, criteria};
use ims_tests::ue::message::Rp;
use ims_tests::ue::talk::Text;
use ims_tests::ue::{UeCommand, UeConfig, UeEvent, shape};

/// What is in a short message: no text at all.
const OCTETS: &[u8] = b"\0\r\n\r\n\xFF\x1A octets";

/// Phones `A` and `B`, and a gateway that knows of their registrations.
fn scene(seed: u64, change: impl Fn(&str, UeConfig) -> UeConfig) -> Scene {
    let site = Site::on_network([192, 0, 2]);
    let uri = site.app_server_uri(1);
    let served = |number| {
        criteria(&uri)
            .into_iter()
            .fold(subscriber(number), Subscriber::ifc)
    };
    let mut scene = Scene::with(seed, site, vec![served(1), served(2)]);
    scene.sms_gateway(1);
    for (name, number) in [("A", 1), ("B", 2)] {
        scene.phone_with(name, number, |config| change(name, config.shape(shape::SAMSUNG)));
        scene.register(name);
    }
    scene.world.run_until_idle();
    scene.world.forget_record();
    scene
}

fn short_message(reference: u8) -> UeCommand {
    let psi = format!("sip:+{SERVICE_CENTRE}@{HOME};user=phone");
    UeCommand::Message(Text::sms(&psi, SERVICE_CENTRE, "15550002", reference, OCTETS))
}

/// Lets what follows an answer happen.
fn settle(scene: &mut Scene) {
    scene.world.advance(std::time::Duration::from_secs(10));
}

fn assert_delivered(scene: &mut Scene) {
    let received = scene.messages_of("B");
    assert_eq!(received.len(), 1, "\n{}", scene.ladder());
    assert!(matches!(received[0].rp(), Some(Rp::Data(_))), "{received:?}");
    assert!(received[0].body.ends_with(OCTETS), "{received:?}");
    // Its report goes to whom P-Asserted-Identity names (TS 24.341 5.3.2.4).
    let uri = scene.site.app_server_uri(1);
    assert!(received[0].from.contains(&uri), "{received:?}");
    let events = scene.sms_events();
    let is_report = |event: &SmsEvent| matches!(event, SmsEvent::Acknowledged(_));
    assert!(events.iter().any(is_report), "{events:?}\n{}", scene.ladder());
}

#[test]
fn a_short_message_is_submitted_reported_delivered_and_acknowledged() {
    let mut scene = scene(6_500, |_, config| config);
    let events = scene.tell("A", short_message(7));
    assert!(
        events.contains(&UeEvent::Answered(202)),
        "{events:?}\n{}",
        scene.ladder()
    );
    settle(&mut scene);
    assert_golden("sms_mo_mt", &scene.ladder());
    let report = scene.messages_of("A").remove(0);
    assert_eq!(report.rp(), Some(Rp::Ack(7)), "{report:?}");
    assert!(report.in_reply_to.is_some(), "{report:?}");
    assert_delivered(&mut scene);
    scene.assert_quiet();
}

#[test]
fn a_short_message_keeps_its_octets_over_tcp() {
    let mut scene = scene(6_501, |_, config| config.transport(Transport::Tcp));
    scene.tell("A", short_message(8));
    settle(&mut scene);
    assert_delivered(&mut scene);
    scene.assert_quiet();
}

#[test]
fn a_gateway_learns_who_registers_and_who_leaves() {
    let mut scene = scene(6_502, |_, config| config);
    scene.tell("B", UeCommand::Deregister);
    settle(&mut scene);
    let events = scene.sms_events();
    let of = |impu: &str, seconds: &dyn Fn(u32) -> bool| {
        let is_it = |event: &SmsEvent| matches!(event, SmsEvent::Registered(who, expires) if who == impu && seconds(*expires));
        events.iter().any(is_it)
    };
    assert!(of(&sip(1), &|seconds| seconds > 0), "{events:?}");
    assert!(of(&sip(2), &|seconds| seconds > 0), "{events:?}");
    assert!(of(&sip(2), &|seconds| seconds == 0), "{events:?}");
}

#[test]
fn a_delivery_from_outside_reaches_the_phone() {
    let mut scene = scene(6_503, |_, config| config);
    scene.with_sms_gateway(|now, gateway| gateway.deliver(now, &tel(2), "15550009", OCTETS));
    settle(&mut scene);
    assert!(
        scene.sms_events().contains(&SmsEvent::Delivered(200)),
        "\n{}",
        scene.ladder()
    );
    assert_delivered(&mut scene);
    scene.assert_quiet();
}

#[test]
fn a_delivery_to_who_is_away_is_480_and_one_to_nobody_is_404() {
    let mut scene = scene(6_504, |_, config| config);
    scene.tell("B", UeCommand::Deregister);
    settle(&mut scene);
    scene.with_sms_gateway(|now, gateway| {
        gateway.deliver(now, &tel(2), "15550009", OCTETS);
        gateway.deliver(now, "tel:+15559999", "15550009", OCTETS);
    });
    settle(&mut scene);
    let events = scene.sms_events();
    for status in [480, 404] {
        assert!(
            events.contains(&SmsEvent::Delivered(status)),
            "{events:?}\n{}",
            scene.ladder()
        );
    }
}

/// RFC 3841 7.2: the gateway asks for a contact with `+g.3gpp.smsip`, explicitly.
#[test]
fn a_phone_without_short_messages_gets_none() {
    let mut scene = scene(6_507, |_, config| config.shape(shape::PLAIN));
    scene.with_sms_gateway(|now, gateway| gateway.deliver(now, &tel(2), "15550009", OCTETS));
    settle(&mut scene);
    assert!(
        scene.sms_events().contains(&SmsEvent::Delivered(480)),
        "\n{}",
        scene.ladder()
    );
    assert_eq!(scene.messages_of("B"), []);
    scene.assert_quiet();
}

#[test]
fn a_refused_submission_comes_back_as_rp_error() {
    let mut scene = scene(6_505, |_, config| config);
    scene.with_sms_gateway(|_, gateway| gateway.config_mut().refuses = Some(38));
    scene.tell("A", short_message(9));
    settle(&mut scene);
    let report = scene.messages_of("A").remove(0);
    assert_eq!(report.rp(), Some(Rp::Error(9)), "{report:?}");
    assert_eq!(scene.messages_of("B"), []);
    scene.assert_quiet();
}

/// TS 24.341 5.3.1.2, 5.3.3.4.2: what the phone and the gateway say of whom they want goes through.
#[test]
fn in_reply_to_and_request_disposition_pass() {
    let mut scene = scene(6_506, |_, config| config);
    scene.tell("A", short_message(10));
    settle(&mut scene);
    let to_a = scene.world.record().sip("P-CSCF", "A");
    let report = to_a
        .iter()
        .find(|message| message.starts_with("MESSAGE "))
        .unwrap();
    for header in [
        "In-Reply-To: ",
        "Request-Disposition: no-fork",
        "P-Asserted-Identity: ",
    ] {
        assert!(report.contains(header), "no {header} in {report}");
    }
    let seen = scene.with_sms_gateway(|_, gateway| gateway.requests().to_vec());
    let message = seen
        .iter()
        .find(|request| request.method().as_str() == "MESSAGE")
        .unwrap();
    assert_eq!(message.header_named("Request-Disposition"), Some(&b"no-fork"[..]));
    assert!(message.header_named("P-Access-Network-Info").is_some());
}
