//! Machine: tests of the order of preference: away from a peer, and back to it (RFC 3539 3.4, RFC 6733 5.4, 5.5.3).

use ims_common::diameter::base::DisconnectCause;

use super::*;

/// The HSS says goodbye on its connection.
fn say_goodbye(world: &mut World, number: usize, cause: DisconnectCause) {
    let local = world.hsses[number].local().clone();
    let dpr = local.dpr(world.hsses[number].identifiers(), cause);
    world.push(number, dpr);
}

fn asked(world: &mut World, id: u64) -> usize {
    world.request(id, uar());
    let (number, connection, message) = world.requests.pop().unwrap();
    let bytes = uaa(CxResult::FIRST_REGISTRATION).encode(world.hsses[number].local(), &message);
    world.hsses[number].send(connection, bytes);
    world.pump();
    assert!(world.only_answer().is_ok());
    number
}

#[test]
fn preferred_hss_is_preferred_again_only_after_three_watchdog_answers() {
    let mut world = World::new(config());
    assert_eq!(asked(&mut world, 1), 0);
    world.cut(0);
    assert_eq!(asked(&mut world, 2), 1);
    // Dialled again after a second; RFC 3539: REOPEN until three DWAs came, one every 30 s after the first.
    world.advance(2);
    assert_eq!(world.client.peers.open_peers().count(), 2);
    assert_eq!(asked(&mut world, 3), 1);
    world.advance(50);
    assert_eq!(asked(&mut world, 4), 1);
    world.advance(20);
    assert_eq!(asked(&mut world, 5), 0);
    assert_eq!(world.count("ims_diameter_events_total", "failback"), 1);
}

#[test]
fn hss_that_comes_back_alone_serves_before_its_watchdog_answers() {
    let mut world = World::new(config());
    world.refusing = vec![0];
    world.cut(0);
    assert_eq!(asked(&mut world, 1), 1);
    world.refusing = vec![0, 1];
    world.cut(1);
    world.request(2, uar());
    assert_eq!(world.only_answer().unwrap_err(), CxError::NoPeer);
    // The second comes back alone: a peer in REOPEN is better than none.
    world.refusing = vec![0];
    world.advance(4);
    assert_eq!(asked(&mut world, 3), 1);
}

#[test]
fn hss_that_says_goodbye_keeps_its_connection_until_the_dpa_and_its_requests_go_elsewhere() {
    let mut world = World::new(config());
    world.request(1, uar());
    let first = *world.requests.remove(0).2.header();
    say_goodbye(&mut world, 0, DisconnectCause::Rebooting);
    let (number, _, message) = &world.requests[0];
    assert_eq!(*number, 1);
    assert!(message.header().flags.is_retransmitted());
    assert_eq!(message.header().end_to_end, first.end_to_end);
    let dpa = world.sent.iter().filter(|bytes| bytes[4..8] == [0, 0, 1, 0x1A]);
    assert_eq!(dpa.count(), 1);
    world.answer(&uaa(CxResult::FIRST_REGISTRATION));
    assert!(world.only_answer().is_ok());
    assert_eq!(asked(&mut world, 2), 1);
}

#[test]
fn hss_that_reboots_is_dialled_again_soon_and_one_that_is_busy_after_ten_tc() {
    for (cause, secs) in [(DisconnectCause::Rebooting, 1), (DisconnectCause::Busy, 300)] {
        let mut world = World::single_peer();
        say_goodbye(&mut world, 0, cause);
        let connection = *world.wires.keys().next().unwrap();
        world.hsses[0].handle(world.now, DiameterInput::Closed { connection });
        world.wires.clear();
        world.diameter(DiameterInput::Closed { connection });
        world.advance(secs - 1);
        assert!(!world.client.is_connected(), "{cause:?}");
        world.advance(1);
        assert!(world.client.is_connected(), "{cause:?}");
    }
}
