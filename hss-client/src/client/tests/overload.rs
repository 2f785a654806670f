//! Machine: tests of what an overloaded HSS asks for (RFC 7683; TS 29.228 Annex H).

use ims_common::diameter::MessageBuilder;

use super::*;

/// OC-OLR of an answer.
#[derive(Clone, Copy)]
struct Olr {
    sequence: u64,
    is_realm: bool,
    reduction: u32,
    validity: Option<u32>,
}

const HALF: Olr = Olr {
    sequence: 7,
    is_realm: false,
    reduction: 50,
    validity: Some(20),
};

/// The oldest request gets a good answer with this report.
fn answer_with(world: &mut World, olr: Olr) {
    let (number, connection, message) = world.requests.remove(0);
    let plain = uaa(CxResult::FIRST_REGISTRATION).encode(world.hsses[number].local(), &message);
    let mut builder = MessageBuilder::new(message.header().answer(false));
    builder.raw(&plain[ims_common::diameter::Header::LEN..]);
    builder.group(&avp::OC_OLR, |b| {
        b.u64(&avp::OC_SEQUENCE_NUMBER, olr.sequence)
            .u32(&avp::OC_REPORT_TYPE, u32::from(olr.is_realm))
            .u32(&avp::OC_REDUCTION_PERCENTAGE, olr.reduction);
        if let Some(validity) = olr.validity {
            b.u32(&avp::OC_VALIDITY_DURATION, validity);
        }
    });
    world.hsses[number].send(connection, builder.finish());
    world.pump();
}

fn report(world: &mut World, olr: Olr) {
    // Emergencies are always sent.
    world.request(0, emergency());
    answer_with(world, olr);
    assert!(world.only_answer().is_ok());
}

fn emergency() -> CxRequest {
    let CxRequest::Uar(uar) = uar() else {
        unreachable!("a UAR")
    };
    CxRequest::Uar(Uar {
        emergency: true,
        ..uar
    })
}

/// Of two hundred requests that begin a registration, how many each HSS got, and how many were left out.
fn share(world: &mut World) -> (usize, usize, usize) {
    let mut refused = 0;
    for id in 0..200 {
        world.request(id, uar());
    }
    for input in world.cx.drain(..) {
        let CxInput::Answer { answer, .. } = input else {
            panic!("a push")
        };
        assert_eq!(answer.unwrap_err(), CxError::Overloaded);
        refused += 1;
    }
    let to = |n| world.requests.iter().filter(|(number, ..)| *number == n).count();
    let share = (to(0), to(1), refused);
    while !world.requests.is_empty() {
        world.answer(&uaa(CxResult::FIRST_REGISTRATION));
    }
    world.cx.clear();
    share
}

#[test]
fn every_request_says_that_overload_reports_are_heeded() {
    let mut world = World::single_peer();
    world.request(1, uar());
    let group = world.requests[0].2.find(&avp::OC_SUPPORTED_FEATURES).unwrap();
    assert!(!group.flags.is_mandatory());
    let vector = group.members().find(&avp::OC_FEATURE_VECTOR).unwrap();
    assert_eq!(vector.u64(), Some(1));
}

#[test]
fn only_hss_that_asks_for_half_gets_half_and_all_when_the_time_is_over() {
    let mut world = World::single_peer();
    report(&mut world, HALF);
    let (sent, _, refused) = share(&mut world);
    assert!((70..=130).contains(&sent), "{sent}");
    assert_eq!(sent + refused, 200);
    assert_eq!(world.count(REQUESTS, "left_out"), refused as u64);
    world.advance(20);
    assert_eq!(share(&mut world), (200, 0, 0));
}

#[test]
fn what_an_overloaded_hss_does_not_want_goes_to_another_one() {
    let mut world = World::new(config());
    report(&mut world, HALF);
    let (first, second, refused) = share(&mut world);
    assert!((70..=130).contains(&first), "{first}");
    assert_eq!((first + second, refused), (200, 0));
}

#[test]
fn overload_of_the_realm_spares_every_hss_but_not_requests_that_name_theirs() {
    let mut world = World::new(HssClientConfig {
        destination_realm: "EPC.mnc001.mcc001.3gppnetwork.org".to_owned(),
        ..config()
    });
    let all = Olr {
        is_realm: true,
        reduction: 100,
        ..HALF
    };
    report(&mut world, all);
    assert_eq!(share(&mut world), (0, 0, 200));
    world.request(1, sar(Some("hss2")));
    assert_eq!(world.requests.len(), 1);
}

#[test]
fn emergencies_and_what_ends_or_completes_a_registration_are_sent_to_an_hss_that_wants_nothing() {
    let mut world = World::single_peer();
    let all = Olr {
        reduction: 100,
        ..HALF
    };
    report(&mut world, all);
    let CxRequest::Uar(leave) = uar() else {
        unreachable!("a UAR")
    };
    let leave = CxRequest::Uar(Uar {
        authorization_type: UserAuthorizationType::DeRegistration,
        ..leave
    });
    for request in [emergency(), leave, sar(None)] {
        world.request(1, request);
        assert_eq!(world.requests.len(), 1);
        world.requests.clear();
    }
}

#[test]
fn newer_report_replaces_the_older_one_and_a_duration_of_0_ends_it() {
    let mut world = World::single_peer();
    let all = Olr {
        reduction: 100,
        ..HALF
    };
    report(&mut world, all);
    let older = Olr {
        sequence: 6,
        reduction: 0,
        ..HALF
    };
    report(&mut world, older);
    assert_eq!(share(&mut world), (0, 0, 200), "what is older changes nothing");
    let end = Olr {
        sequence: 8,
        validity: Some(0),
        ..HALF
    };
    report(&mut world, end);
    assert_eq!(share(&mut world), (200, 0, 0));
}

#[test]
fn report_without_a_good_duration_holds_for_thirty_seconds() {
    for validity in [None, Some(86_401)] {
        let mut world = World::single_peer();
        let all = Olr {
            reduction: 100,
            validity,
            ..HALF
        };
        report(&mut world, all);
        world.advance(29);
        assert_eq!(share(&mut world), (0, 0, 200));
        world.advance(1);
        assert_eq!(share(&mut world), (200, 0, 0));
    }
}

#[test]
fn report_of_more_than_everything_is_counted_and_not_heeded() {
    let mut world = World::single_peer();
    let nonsense = Olr {
        reduction: 101,
        ..HALF
    };
    report(&mut world, nonsense);
    assert_eq!(share(&mut world), (200, 0, 0));
    assert_eq!(world.count(OVERLOAD, "unusable"), 1);
}
