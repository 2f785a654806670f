//! Testkit: sets that cannot be had, and what is left of them: nothing.

use super::*;

fn install_asked(bench: &mut Bench) -> Arc<SaSet> {
    match bench.sas.poll_output() {
        Some(NetOutput::Xfrm(XfrmOutput::Install { set, .. })) => set,
        other => panic!("{other:?}"),
    }
}

fn refuse(bench: &mut Bench, id: SaSetId, failure: XfrmFailure) {
    bench
        .sas
        .on_xfrm(bench.now, XfrmInput::InstallFailed { id, failure });
}

#[test]
fn a_set_that_the_kernel_does_not_take_leaves_nothing() {
    for failure in [
        XfrmFailure::NotPermitted,
        XfrmFailure::Unsupported,
        XfrmFailure::KernelFull,
        XfrmFailure::Busy,
        XfrmFailure::NoIpsec,
        XfrmFailure::Other,
    ] {
        let mut bench = Bench::new();
        let id = bench.sas.prepare(bench.now, proposal(1, None)).unwrap();
        install_asked(&mut bench);
        refuse(&mut bench, id, failure);
        assert_eq!(
            bench.sas.poll_event(),
            Some(SaEvent::Failed(id, SaFailure::Kernel(failure)))
        );
        assert!(bench.sas.poll_output().is_none());
        assert_eq!((bench.sas.len(), bench.sas.table.spis.len()), (0, 0));
        assert_eq!(bench.sas.poll_timeout(), None);
    }
}

#[test]
fn spis_that_somebody_else_has_are_replaced_by_others_twice() {
    let mut bench = Bench::new();
    let id = bench.sas.prepare(bench.now, proposal(1, None)).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let set = install_asked(&mut bench);
        assert_eq!(set.id, id);
        let own = bench.sas.own_end(id).unwrap();
        assert_eq!((set.states[0].spi, set.states[3].spi), (own.spi_ps, own.spi_pc));
        assert_eq!(set.states[1].spi, end(1).spi_uc);
        assert_eq!(set.states[2].spi, end(1).spi_us);
        assert!(!seen.contains(&own.spi_ps) && !seen.contains(&own.spi_pc));
        seen.extend([own.spi_ps, own.spi_pc]);
        refuse(&mut bench, id, XfrmFailure::Exists);
    }
    assert_eq!(
        bench.sas.poll_event(),
        Some(SaEvent::Failed(id, SaFailure::Kernel(XfrmFailure::Exists)))
    );
    assert!(bench.sas.poll_output().is_none());
    assert_eq!((bench.sas.len(), bench.sas.table.spis.len()), (0, 0));
}

#[test]
fn a_kernel_that_says_nothing_is_not_waited_for_and_what_it_did_is_undone() {
    let mut bench = Bench::new();
    let id = bench.sas.prepare(bench.now, proposal(1, None)).unwrap();
    install_asked(&mut bench);
    let at = bench.sas.poll_timeout().unwrap();
    bench.sas.handle_timeout(at);
    assert_eq!(
        bench.sas.poll_event(),
        Some(SaEvent::Failed(id, SaFailure::Silent))
    );
    assert!(matches!(
        bench.sas.poll_output(),
        Some(NetOutput::Xfrm(XfrmOutput::Remove { id: removed })) if removed == id
    ));
    bench.sas.on_xfrm(at, XfrmInput::Installed { id });
    assert!(bench.sas.poll_event().is_none());
    assert_eq!(
        bench.sas.table.spis.len(),
        2,
        "not before the kernel has removed them"
    );
    bench.sas.on_xfrm(at, XfrmInput::Removed { id });
    assert_eq!((bench.sas.len(), bench.sas.table.spis.len()), (0, 0));
}

#[test]
fn ports_and_spis_of_another_users_live_set_are_refused() {
    let mut bench = Bench::new();
    let first = bench.registered(1, 3600);
    let taken = end(1);
    let free = UeEnd {
        port_uc: 50_001,
        port_us: 50_002,
        ..end(9)
    };
    for end in [
        UeEnd {
            port_uc: taken.port_uc,
            ..free
        },
        UeEnd {
            port_us: taken.port_us,
            ..free
        },
        UeEnd {
            port_uc: taken.port_us,
            ..free
        },
        UeEnd {
            spi_uc: taken.spi_us,
            ..free
        },
    ] {
        let proposal = Proposal {
            impi: impi(2),
            end,
            ..proposal(9, None)
        };
        assert_eq!(bench.prepare(proposal), Err(SaRefusal::TakenByAnother));
    }
    assert_eq!(bench.alive(), [first]);
    let other = Proposal {
        impi: impi(2),
        end: free,
        ..proposal(9, None)
    };
    let second = bench.prepare(other).unwrap();
    assert_eq!(bench.alive(), [first, second]);
}

#[test]
fn an_address_that_went_to_another_phone_does_not_keep_the_ports_of_the_one_before() {
    let mut bench = Bench::new();
    let gone = bench.registered(1, 600_000);
    let newcomer = || Proposal {
        impi: impi(2),
        ..proposal(1, None)
    };
    bench.advance(secs(100));
    bench.received(gone);
    bench.advance(T1_64 - secs(1));
    assert_eq!(bench.prepare(newcomer()), Err(SaRefusal::TakenByAnother));
    bench.advance(secs(1));
    let new = bench.prepare(newcomer()).unwrap();
    assert_eq!(bench.alive(), [new]);
    bench.promote(new, 600);
    let old_way = bench.sas.way_to(&impi(1), UE.parse().unwrap(), Transport::Udp);
    assert_eq!(old_way, None, "what is for the one before reaches nobody");
}

#[test]
fn a_restarted_ue_that_offers_the_same_again_replaces_its_own_stale_set() {
    let mut bench = Bench::new();
    let stale = bench.registered(1, 3600);
    let new = bench.challenge(1, None);
    assert_eq!(bench.alive(), [new]);
    assert_eq!(bench.removed("replaced"), 1);
    assert_eq!(bench.sas.standing(stale), None);
}

#[test]
fn a_ue_that_offers_over_its_set_what_that_set_has_is_refused_and_keeps_it() {
    let mut bench = Bench::new();
    let id = bench.registered(1, 3600);
    assert_eq!(
        bench.prepare(proposal(1, Some(id))),
        Err(SaRefusal::TakenByItself)
    );
    let same_client_port = Proposal {
        end: UeEnd {
            port_uc: end(1).port_uc,
            ..end(2)
        },
        transport: Transport::Tcp,
        ..proposal(2, Some(id))
    };
    assert_eq!(bench.prepare(same_client_port), Err(SaRefusal::TakenByItself));
    assert_eq!(bench.alive(), [id]);
}

#[test]
fn one_address_with_two_users_and_two_addresses_with_equal_ports_have_sets_of_their_own() {
    let mut bench = Bench::new();
    let first = bench.registered(1, 3600);
    let far = Proposal {
        impi: impi(2),
        ue: "192.0.2.11".parse().unwrap(),
        ..proposal(1, None)
    };
    let far = bench.prepare(far).unwrap();
    let beside = Proposal {
        impi: impi(3),
        end: UeEnd {
            port_uc: 50_001,
            port_us: 50_002,
            ..end(9)
        },
        ..proposal(9, None)
    };
    let beside = bench.prepare(beside).unwrap();
    bench.promote(far, 600);
    bench.promote(beside, 600);
    assert_eq!(bench.alive(), [first, far, beside]);
    for (id, nth) in [(first, 1), (far, 2), (beside, 3)] {
        assert_eq!(bench.sas.set_of_flow(&bench.uplink(id)), Some(id));
        assert_eq!(bench.sas.impi(id), Some(&impi(nth)));
    }
    bench.sas.release(bench.now, &impi(3), UE.parse().unwrap(), None);
    bench.advance(T1_64);
    assert_eq!(bench.alive(), [first, far]);
}

#[test]
fn sets_of_one_ue_differ_in_our_client_port() {
    let mut bench = Bench::new();
    let mut in_use = bench.registered(1, 3600);
    for nth in 2..20 {
        let next = bench.challenge(nth, Some(in_use));
        let ports: Vec<u16> = bench
            .alive()
            .iter()
            .map(|id| bench.sas.own_end(*id).unwrap().port_pc)
            .collect();
        let distinct: std::collections::BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(distinct.len(), ports.len(), "{ports:?}");
        assert!(ports.len() <= SETS_PER_UE);
        bench.promote(next, 3600);
        bench.received(next);
        in_use = next;
    }
    bench.advance(T1_64);
    assert_eq!(bench.alive(), [in_use]);
}

#[test]
fn more_sets_than_the_limit_are_refused_and_a_replacement_is_not_one_more() {
    let mut bench = Bench::with(2);
    let first = bench.challenge(1, None);
    let second = bench.prepare(Proposal {
        impi: impi(2),
        ue: "192.0.2.11".parse().unwrap(),
        ..proposal(1, None)
    });
    let third = Proposal {
        impi: impi(3),
        ue: "192.0.2.12".parse().unwrap(),
        ..proposal(1, None)
    };
    assert_eq!(bench.prepare(third), Err(SaRefusal::Full));
    assert_eq!(bench.alive(), [first, second.unwrap()]);
    let again = bench.challenge(2, None);
    assert_eq!(bench.alive(), [second.unwrap(), again]);
}

#[test]
fn no_set_is_made_for_an_address_that_no_packet_comes_from() {
    let mut bench = Bench::new();
    for ue in [
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.1.1",
        "fe80::1",
    ] {
        let proposal = Proposal {
            ue: ue.parse().unwrap(),
            ..proposal(1, None)
        };
        assert_eq!(bench.prepare(proposal), Err(SaRefusal::NoAddress));
    }
    assert!(bench.alive().is_empty());
}

#[test]
fn the_last_places_are_for_those_who_renew() {
    let mut bench = Bench::with(8);
    let of = |nth: u8| Proposal {
        impi: impi(nth.into()),
        ue: [192, 0, 2, nth].into(),
        ..proposal(1, None)
    };
    for nth in 1..=7 {
        let id = bench.prepare(of(nth)).unwrap();
        bench.promote(id, 3600);
    }
    assert!(!bench.sas.has_room_for(&impi(8), [192, 0, 2, 8].into()));
    assert_eq!(bench.prepare(of(8)), Err(SaRefusal::Full));
    let first = bench.alive()[0];
    let renewal = Proposal {
        end: end(2),
        carried_by: Some(first),
        ..of(1)
    };
    assert!(bench.sas.has_room_for(&impi(1), [192, 0, 2, 1].into()));
    bench.prepare(renewal).unwrap();
    assert_eq!(bench.alive().len(), 8);
}
