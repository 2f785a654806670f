//! Machine: tests of requests that an HSS sends again (RFC 6733 3, 5.5.4).

use super::*;

/// The RTR of [`rtr`] as it comes on its way number `hop_by_hop`.
fn printed(world: &World, session_id: &str, hop_by_hop: u32, is_again: bool) -> Bytes {
    let head = RequestHead {
        hop_by_hop,
        ..rtr_head(world.hsses[0].local(), session_id)
    };
    let first = rtr().encode(&head);
    if is_again {
        let message = Message::parse(first).unwrap();
        return message.retransmission(hop_by_hop);
    }
    first
}

fn push_id(world: &mut World) -> crate::cx::CxPushId {
    match world.cx.pop() {
        Some(CxInput::Push { id, .. }) => id,
        other => panic!("no push: {other:?}"),
    }
}

fn answer(world: &mut World, id: crate::cx::CxPushId) {
    let answer = CxPushAnswer::Rta(Rta {
        result: CxResult::SUCCESS,
    });
    world
        .client
        .handle(world.now, HssClientInput::Cx(CxOutput::PushAnswer { id, answer }));
    world.pump();
}

#[test]
fn push_that_comes_again_gets_the_same_answer_and_the_cscf_does_not_hear_of_it() {
    let mut world = World::new(config());
    let first = printed(&world, "hss1;1;1", 77, false);
    world.push(0, first);
    let id = push_id(&mut world);
    answer(&mut world, id);
    // The answer was lost with the connection, say: the HSS asks again, by another way.
    let again = printed(&world, "hss1;1;1", 99, true);
    world.push(1, again);
    assert!(world.cx.is_empty());
    let answers: Vec<_> = world
        .hss_answers
        .iter()
        .map(|rta| (rta.header().hop_by_hop, rta.result_code()))
        .collect();
    assert_eq!(answers, [(77, Some(2001)), (99, Some(2001))]);
    assert!(!world.hss_answers[1].header().flags.is_retransmitted());
    assert_eq!(world.count(PUSHES, "repeated"), 1);
}

#[test]
fn push_that_comes_again_before_its_answer_is_answered_once_where_it_came_from_last() {
    let mut world = World::new(config());
    let first = printed(&world, "hss1;1;1", 77, false);
    world.push(0, first);
    let id = push_id(&mut world);
    world.cut(0);
    let again = printed(&world, "hss1;1;1", 99, true);
    world.push(1, again);
    assert!(world.cx.is_empty());
    answer(&mut world, id);
    assert_eq!(world.hss_answers.len(), 1);
    assert_eq!(world.hss_answers[0].header().hop_by_hop, 99);
}

#[test]
fn push_with_a_used_identifier_and_a_new_session_is_a_new_one() {
    let mut world = World::single_peer();
    let first = printed(&world, "hss1;1;1", 77, false);
    world.push(0, first);
    let id = push_id(&mut world);
    answer(&mut world, id);
    let other = printed(&world, "hss1;2;1", 78, false);
    world.push(0, other);
    let id = push_id(&mut world);
    answer(&mut world, id);
    assert_eq!(world.hss_answers.len(), 2);
}

#[test]
fn answers_to_pushes_are_remembered_for_four_minutes() {
    let mut world = World::single_peer();
    let first = printed(&world, "hss1;1;1", 77, false);
    world.push(0, first);
    let id = push_id(&mut world);
    answer(&mut world, id);
    let remembered = |world: &World| {
        let mut metrics = Metrics::default();
        world.client.metrics(&mut metrics);
        metrics.sum("ims_cx_pushes_remembered", &[])
    };
    world.advance(239);
    assert_eq!(remembered(&world), 1);
    world.advance(1);
    assert_eq!(remembered(&world), 0);
    let again = printed(&world, "hss1;1;1", 99, true);
    world.push(0, again);
    assert!(matches!(world.cx.pop(), Some(CxInput::Push { .. })));
}

#[test]
fn push_that_nobody_answered_in_time_is_asked_again() {
    let mut world = World::single_peer();
    let first = printed(&world, "hss1;1;1", 77, false);
    world.push(0, first);
    push_id(&mut world);
    world.advance(6);
    let again = printed(&world, "hss1;1;1", 99, true);
    world.push(0, again);
    let id = push_id(&mut world);
    answer(&mut world, id);
    assert_eq!(world.hss_answers.len(), 1);
}

#[test]
fn remembered_answers_are_limited_and_the_oldest_goes_first() {
    let local = World::single_peer().hsses.remove(0);
    let mut pushes = crate::push::Pushes::new(1, 0);
    let world = World::single_peer();
    let mut ask = |number: u32| {
        let head = RequestHead {
            end_to_end: number,
            ..rtr_head(local.local(), "hss1;1;1")
        };
        let request = Message::parse(rtr().encode(&head)).unwrap();
        let accepted = pushes.accept(
            world.now + Duration::from_secs(5),
            local.local(),
            ConnectionId(1),
            request,
            String::new(),
        );
        let crate::push::Accepted::New(CxInput::Push { id, .. }) = accepted else {
            return (false, pushes.answered());
        };
        let rta = CxPushAnswer::Rta(Rta::default());
        assert!(pushes.answer(world.now, local.local(), id, rta).is_some());
        (true, pushes.answered())
    };
    for number in 0..4_096 {
        assert_eq!(ask(number), (true, number as usize + 1));
    }
    assert_eq!(ask(0), (false, 4_096));
    assert_eq!(ask(4_096), (true, 4_096));
    assert_eq!(ask(0), (true, 4_096), "forgotten");
    assert_eq!(ask(2), (false, 4_096), "not yet forgotten");
}

#[test]
fn push_that_requires_features_is_refused_with_those_that_we_have_and_one_that_offers_them_is_taken() {
    // Supported-Features of 3GPP, list 1: SiFC.
    let features = |flags: u8| {
        let member = |code: [u8; 2], flags: u8, vendor: &[u8], value: u32| {
            let length = u8::try_from(12 + vendor.len()).unwrap();
            [
                &[0, 0],
                &code[..],
                &[flags, 0, 0, length],
                vendor,
                &value.to_be_bytes(),
            ]
            .concat()
        };
        let vendor = [0, 0, 0x28, 0xAF];
        let members = [
            member([1, 0x0A], 0x40, &[], 10_415),
            member([2, 0x75], 0x80, &vendor, 1),
            member([2, 0x76], 0x80, &vendor, 1),
        ]
        .concat();
        let length = u8::try_from(12 + members.len()).unwrap();
        [&[0, 0, 2, 0x74, flags, 0, 0, length], &vendor[..], &members].concat()
    };
    let mut world = World::single_peer();
    let answer = refusal_of(&mut world, |bytes| bytes.extend(features(0xC0)));
    assert_eq!(CxResult::of(&answer), CxResult::FEATURE_UNSUPPORTED);
    assert!(!answer.header().flags.is_error());
    let said = answer.avps().flatten().find(|avp| avp.code == 628).unwrap();
    assert!(!said.flags.is_mandatory());
    let list = said.members().flatten().find(|avp| avp.code == 630).unwrap();
    assert_eq!(list.u32(), Some(0));

    let with_features = |world: &World, flags: u8| {
        let mut bytes = printed(world, "hss1;1;9", 80, false).to_vec();
        bytes.extend(features(flags));
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[1..4].copy_from_slice(&length[1..]);
        Bytes::from(bytes)
    };
    let offered = with_features(&world, 0x80);
    world.push(0, offered);
    push_id(&mut world);

    let mut world = World::new(HssClientConfig {
        peers: vec!["192.0.2.1:3868".to_owned()],
        shared_ifc: true,
        ..config()
    });
    let required = with_features(&world, 0xC0);
    world.push(0, required);
    push_id(&mut world);
}

#[test]
fn client_that_knows_shared_criteria_says_so_in_its_sars_only() {
    let said = |shared_ifc: bool, request: CxRequest| {
        let peers = vec!["192.0.2.1:3868".to_owned()];
        let mut world = World::new(HssClientConfig {
            peers,
            shared_ifc,
            ..config()
        });
        world.request(1, request);
        // Supported-Features: Vendor-Id, Feature-List-ID, Feature-List.
        let group = world.requests[0].2.avps().flatten().find(|avp| avp.code == 628)?;
        assert!(!group.flags.is_mandatory());
        let members: Vec<_> = group
            .members()
            .flatten()
            .map(|avp| (avp.code, avp.u32()))
            .collect();
        assert_eq!(members[..2], [(266, Some(10_415)), (629, Some(1))]);
        members[2].1
    };
    assert_eq!(said(true, sar(None)), Some(1));
    assert_eq!(said(false, sar(None)), None);
    assert_eq!(said(true, uar()), None);
}
