//! Testkit: every row of the life of a set (TS 24.229 5.2.2.2 with table 5.2.2-1, 5.2.5.1; TS 33.203 7.5).

use super::*;
use ims_common::ipsec::GoneCause;

#[test]
fn a_401_makes_a_temporary_set_that_lives_for_reg_await_auth() {
    let mut bench = Bench::new();
    let id = bench.challenge(1, None);
    assert_eq!(bench.sas.standing(id), Some(Standing::Temporary));
    bench.advance(secs(239));
    assert_eq!(bench.alive(), [id]);
    bench.advance(secs(1));
    assert!(bench.alive().is_empty());
    assert_eq!(bench.removed("challenge_unanswered"), 1);
    assert_eq!(bench.sas.table.spis.len(), 0);
}

#[test]
fn the_four_associations_are_those_of_the_table() {
    let mut bench = Bench::new();
    let id = bench.challenge(1, None);
    let own = bench.sas.own_end(id).unwrap();
    let rows: Vec<_> = bench.kernel[&id]
        .states
        .iter()
        .map(|s| (s.source.to_string(), s.destination.to_string(), s.spi))
        .collect();
    let client = format!("192.0.2.1:{}", own.port_pc);
    let (uc, us) = ("192.0.2.10:45001".to_owned(), "192.0.2.10:44062".to_owned());
    let server = SERVER.to_owned();
    assert_eq!(own.port_ps, 6101);
    assert_eq!(
        rows,
        [
            (uc.clone(), server.clone(), own.spi_ps),
            (server, uc, end(1).spi_uc),
            (client.clone(), us.clone(), end(1).spi_us),
            (us, client, own.spi_pc),
        ]
    );
}

#[test]
fn another_401_deletes_the_temporary_set_and_makes_a_new_one() {
    let mut bench = Bench::new();
    let first = bench.challenge(1, None);
    let second = bench.challenge(2, None);
    assert_eq!(bench.alive(), [second]);
    assert_eq!(bench.sas.standing(first), None);
    // The UE may offer the same again (TS 24.229 5.1.1.4.2).
    let third = bench.challenge(2, None);
    assert_eq!(bench.alive(), [third]);
}

#[test]
fn another_401_while_the_kernel_works_on_the_first_leaves_one_set() {
    let mut bench = Bench::new();
    let first = bench.sas.prepare(bench.now, proposal(1, None)).unwrap();
    let second = bench.sas.prepare(bench.now, proposal(1, None)).unwrap();
    assert_eq!(
        bench.sas.poll_event(),
        Some(SaEvent::Failed(first, SaFailure::Replaced))
    );
    // All that was asked is done in order: install, remove, install.
    bench.obey();
    assert_eq!(bench.events, [SaEvent::Ready(second)]);
    assert_eq!(bench.alive(), [second]);
}

#[test]
fn the_200_of_an_initial_registration_takes_the_set_into_use_and_deletes_all_before() {
    let mut bench = Bench::new();
    let first = bench.registered(1, 3600);
    assert_eq!(bench.spoken_over(), Some(first));
    let second = bench.challenge(2, None);
    assert_eq!(bench.alive(), [first, second]);
    assert_eq!(bench.spoken_over(), Some(first));
    bench.promote(second, 600);
    assert_eq!(bench.alive(), [second]);
    assert_eq!(bench.spoken_over(), Some(second));
    // "max (old set's lifetime, registration expiry + 30 s)"
    bench.advance(secs(3629));
    assert_eq!(bench.alive(), [second]);
    bench.advance(secs(1));
    assert!(bench.alive().is_empty());
}

#[test]
fn the_200_of_a_re_registration_keeps_the_set_that_carried_it_in_use_and_deletes_all_older() {
    let mut bench = Bench::new();
    let first = bench.registered(1, 600_000);
    let second = bench.challenge(2, Some(first));
    bench.promote(second, 3600);
    bench.received(second);
    let third = bench.challenge(3, Some(second));
    assert_eq!(bench.alive(), [first, second, third]);
    bench.promote(third, 3600);
    assert_eq!(bench.alive(), [second, third]);
    assert_eq!(bench.spoken_over(), Some(second));
}

#[test]
fn the_first_message_over_a_newly_established_set_takes_it_into_use_and_the_old_one_has_64_t1_left() {
    let mut bench = Bench::new();
    let old = bench.registered(1, 3600);
    let new = bench.challenge(2, Some(old));
    bench.promote(new, 3600);
    assert_eq!(bench.spoken_over(), Some(old));
    bench.advance(secs(1000));
    assert_eq!(bench.alive(), [old, new]);
    bench.received(new);
    assert_eq!(bench.spoken_over(), Some(new));
    bench.advance(T1_64 - secs(1));
    assert_eq!(bench.alive(), [old, new]);
    bench.advance(secs(1));
    assert_eq!(bench.alive(), [new]);
    assert_eq!(bench.removed("superseded"), 1);
}

#[test]
fn the_new_set_is_used_anyway_when_the_old_one_has_less_than_64_t1_left() {
    let mut bench = Bench::new();
    let old = bench.registered(1, 600);
    let new = bench.challenge(2, Some(old));
    bench.promote(new, 3600);
    bench.advance(secs(630) - T1_64 - secs(1));
    assert_eq!(bench.spoken_over(), Some(old));
    bench.advance(secs(1));
    assert_eq!(bench.spoken_over(), Some(new));
    bench.advance(T1_64);
    assert_eq!(bench.alive(), [new]);
    // And at once, where it has less already.
    let mut bench = Bench::new();
    let old = bench.registered(1, 60);
    let new = bench.challenge(2, Some(old));
    bench.promote(new, 3600);
    assert_eq!(bench.spoken_over(), Some(new));
}

#[test]
fn the_200_of_an_unchallenged_refresh_extends_the_set_and_tells_the_kernel() {
    let mut bench = Bench::new();
    let id = bench.registered(1, 600);
    bench.advance(secs(300));
    bench.sas.extend(bench.now, id, secs(600));
    bench.obey();
    assert_eq!(bench.lifetimes[&id], secs(600 + 30) + KERNEL_MARGIN);
    // "max (current, expiry + 30 s)"
    bench.sas.extend(bench.now, id, secs(60));
    bench.advance(secs(629));
    assert_eq!(bench.alive(), [id]);
    bench.advance(secs(1));
    assert!(bench.alive().is_empty());
}

#[test]
fn a_refresh_over_the_old_set_extends_the_one_in_use() {
    let mut bench = Bench::new();
    let old = bench.registered(1, 600);
    let new = bench.challenge(2, Some(old));
    bench.promote(new, 600);
    bench.received(new);
    bench.sas.extend(bench.now, old, secs(3600));
    bench.advance(secs(3600));
    assert_eq!(bench.alive(), [new]);
}

#[test]
fn a_refused_answer_deletes_the_temporary_set_when_the_response_has_arrived() {
    let mut bench = Bench::new();
    let old = bench.registered(1, 3600);
    let id = bench.challenge(2, Some(old));
    bench.sas.fail(bench.now, id);
    assert_eq!(bench.sas.standing(id), Some(Standing::Ending));
    assert_eq!(bench.sas.way(&bench.out(id)), Some(bench.out(id)));
    bench.advance(T1_64);
    assert_eq!(bench.alive(), [old]);
    assert_eq!(bench.spoken_over(), Some(old));
}

#[test]
fn a_de_registration_keeps_the_set_for_64_t1() {
    let mut bench = Bench::new();
    let id = bench.registered(1, 3600);
    bench
        .sas
        .release(bench.now, &impi(1), UE.parse().unwrap(), Some(id));
    bench.advance(T1_64 - secs(1));
    assert_eq!(bench.alive(), [id]);
    assert_eq!(bench.sas.way(&bench.out(id)), Some(bench.out(id)));
    bench.advance(secs(1));
    assert!(bench.alive().is_empty());
}

#[test]
fn a_challenged_de_registration_ends_both_sets() {
    let mut bench = Bench::new();
    let old = bench.registered(1, 3600);
    let id = bench.challenge(2, Some(old));
    bench
        .sas
        .release(bench.now, &impi(1), UE.parse().unwrap(), Some(id));
    bench.advance(T1_64 - secs(1));
    assert_eq!(bench.alive(), [old, id]);
    bench.advance(secs(1));
    assert!(bench.alive().is_empty());
}

#[test]
fn a_ue_that_registers_again_over_a_set_that_ends_keeps_it() {
    let mut bench = Bench::new();
    let id = bench.registered(1, 3600);
    bench
        .sas
        .release(bench.now, &impi(1), UE.parse().unwrap(), Some(id));
    bench.advance(secs(60));
    bench.sas.extend(bench.now, id, secs(600));
    bench.advance(secs(600));
    assert_eq!(bench.alive(), [id]);
}

#[test]
fn the_end_of_a_lifetime_deletes_the_set_and_closes_its_connections() {
    let mut bench = Bench::new();
    let id = bench.registered(1, 600);
    let other = bench.prepare(Proposal {
        impi: impi(2),
        ue: "192.0.2.11".parse().unwrap(),
        ..proposal(1, None)
    });
    bench.promote(other.unwrap(), 3600);
    bench.sas.received(bench.now, id, Some(ConnectionId(8)), None);
    bench.sas.received(bench.now, id, Some(ConnectionId(8)), None);
    bench.sas.received(bench.now, id, Some(ConnectionId(9)), None);
    bench
        .sas
        .received(bench.now, other.unwrap(), Some(ConnectionId(10)), None);
    bench.sas.connection_closed(ConnectionId(9));
    bench.advance(secs(630));
    assert_eq!(bench.closed, [ConnectionId(8)]);
    assert_eq!(bench.alive(), [other.unwrap()]);
    assert_eq!(bench.removed("expired"), 1);
}

#[test]
fn a_ue_that_comes_with_another_address_has_another_set_and_the_old_one_ends_by_itself() {
    let mut bench = Bench::new();
    let old = bench.registered(1, 600);
    let moved = Proposal {
        ue: "192.0.2.77".parse().unwrap(),
        ..proposal(1, None)
    };
    let new = bench.prepare(moved).unwrap();
    bench.promote(new, 3600);
    assert_eq!(bench.alive(), [old, new]);
    bench.advance(secs(630));
    assert_eq!(bench.alive(), [new]);
}

#[test]
fn a_set_that_the_kernel_lost_is_gone_and_the_one_that_waits_takes_its_place() {
    let mut bench = Bench::new();
    let old = bench.registered(1, 3600);
    let new = bench.challenge(2, Some(old));
    bench.promote(new, 3600);
    let cause = GoneCause::Deleted;
    bench.kernel.remove(&old);
    bench.sas.on_xfrm(bench.now, XfrmInput::Gone { id: old, cause });
    assert_eq!(bench.alive(), [new]);
    assert_eq!(bench.spoken_over(), Some(new));
    assert_eq!(bench.sas.counters.get("ims_pcscf_sa_gone_total", "deleted"), 1);
    assert_eq!(bench.sas.table.spis.len(), 2);
    bench.kernel.remove(&new);
    bench.sas.on_xfrm(bench.now, XfrmInput::Gone { id: new, cause });
    assert_eq!(bench.spoken_over(), None);
    assert_eq!(bench.sas.table.spis.len(), 0);
}

#[test]
fn an_old_set_passes_its_messages_to_the_one_in_use_and_its_connections_stay() {
    let mut bench = Bench::new();
    let old = bench.registered(1, 3600);
    let (out, uplink) = (bench.out(old), bench.uplink(old));
    let connection = Some(ConnectionId(5));
    let stream = Flow {
        transport: Transport::Tcp,
        connection,
        ..uplink
    };
    let new = bench.challenge(2, Some(old));
    bench.promote(new, 3600);
    assert_eq!(bench.sas.way(&out), Some(out));
    bench.received(new);
    // Accepted on both, answered over UDP on the newest in use, over TCP on the connection of the request.
    assert_eq!(bench.sas.set_of_flow(&uplink), Some(old));
    assert_eq!(bench.sas.way(&out), Some(bench.out(new)));
    assert_eq!(bench.sas.way(&stream), Some(stream));
    bench.advance(T1_64);
    assert_eq!(bench.sas.way(&out), None);
    assert_eq!(bench.sas.way(&stream), None);
}

#[test]
fn what_came_over_udp_goes_back_from_the_client_port_to_the_server_port() {
    let mut bench = Bench::new();
    let id = bench.challenge(1, None);
    let back = bench.sas.way_back(id, bench.uplink(id));
    assert_eq!(back, bench.out(id));
    assert_eq!(back.remote.port(), 44_062);
    let port_pc = bench.sas.own_end(id).unwrap().port_pc;
    assert_eq!(back.local.port(), port_pc);
    // Row 4 carries UDP of some UEs too.
    assert_eq!(bench.sas.set_of_flow(&back), Some(id));
    let stream = Flow {
        transport: Transport::Tcp,
        connection: Some(ConnectionId(1)),
        ..bench.uplink(id)
    };
    assert_eq!(bench.sas.way_back(id, stream), stream);
}

#[test]
fn what_fits_no_row_came_over_no_set() {
    let mut bench = Bench::new();
    let id = bench.challenge(1, None);
    let port_pc = bench.sas.own_end(id).unwrap().port_pc;
    let other_pc = if port_pc == 6100 { 6102 } else { 6100 };
    for (local, remote) in [
        (SERVER.to_owned(), "192.0.2.10:44062"),
        (SERVER.to_owned(), "192.0.2.10:5060"),
        (SERVER.to_owned(), "192.0.2.11:45001"),
        (format!("192.0.2.1:{port_pc}"), "192.0.2.10:45001"),
        (format!("192.0.2.1:{other_pc}"), "192.0.2.10:44062"),
    ] {
        let flow = protected(&local, remote);
        assert_eq!(bench.sas.set_of_flow(&flow), None, "{local} {remote}");
        assert_eq!(bench.sas.way(&flow), None);
    }
    let clear = Flow {
        interface: Interface::Gm,
        ..bench.uplink(id)
    };
    assert_eq!(bench.sas.set_of_flow(&clear), None);
}
