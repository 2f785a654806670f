//! Machine: rows of RFC 6733 5.6, named by behaviour.

use super::*;
use crate::diameter::header::CommandFlags;
use crate::diameter::testing::{secs, start};

const I: ConnectionId = ConnectionId(1);
const R: ConnectionId = ConnectionId(2);
const OTHER: ConnectionId = ConnectionId(3);

const HEADER: Header = Header {
    flags: CommandFlags(0x80),
    code: 257,
    application: 0,
    hop_by_hop: 5,
    end_to_end: 6,
};

fn responder(connection: ConnectionId, wins: bool) -> Responder {
    Responder {
        connection,
        cer: HEADER,
        wins,
    }
}

struct Bench {
    now: Instant,
    fsm: PeerFsm,
}

impl Bench {
    fn closed() -> Self {
        Self {
            now: start(),
            fsm: PeerFsm::default(),
        }
    }

    fn wait_conn_ack() -> Self {
        let mut bench = Self::closed();
        assert_eq!(bench.fsm.start(9)[..], [PeerAction::Connect { attempt: 9 }]);
        bench
    }

    fn wait_i_cea() -> Self {
        let mut bench = Self::wait_conn_ack();
        let actions = bench.event(PeerEvent::IRcvConnAck { connection: I });
        assert_eq!(actions[..], [PeerAction::SendCer(I)]);
        bench
    }

    fn wait_conn_ack_elect(wins: bool) -> Self {
        let mut bench = Self::wait_conn_ack();
        assert!(bench.event(PeerEvent::RConnCer(responder(R, wins))).is_empty());
        bench
    }

    fn wait_returns() -> Self {
        let mut bench = Self::wait_i_cea();
        assert!(bench.event(PeerEvent::RConnCer(responder(R, false))).is_empty());
        bench
    }

    fn i_open() -> Self {
        let mut bench = Self::wait_i_cea();
        assert_eq!(bench.event(PeerEvent::IRcvCea)[..], [PeerAction::Up(I)]);
        bench
    }

    fn r_open() -> Self {
        let mut bench = Self::closed();
        let actions = bench.event(PeerEvent::RConnCer(responder(R, false)));
        assert_eq!(
            actions[..],
            [PeerAction::SendCea(responder(R, false)), PeerAction::Up(R)]
        );
        bench
    }

    fn event(&mut self, event: PeerEvent) -> PeerActions {
        self.fsm.handle(self.now, event)
    }

    fn disc(&mut self, connection: ConnectionId) -> PeerActions {
        self.event(PeerEvent::PeerDisc { connection })
    }

    fn expire(&mut self) -> PeerActions {
        self.now = self.fsm.poll_timeout().expect("a timer runs");
        self.fsm.handle_timeout(self.now)
    }
}

#[test]
fn closed_start_dials_and_a_second_start_does_not() {
    let mut bench = Bench::wait_conn_ack();
    assert!(bench.fsm.start(10).is_empty());
    assert_eq!(bench.fsm.state(), PeerState::WaitConnAck { attempt: 9 });
}

#[test]
fn closed_cer_of_the_peer_opens_the_responder() {
    assert_eq!(Bench::r_open().fsm.state(), PeerState::ROpen { connection: R });
}

#[test]
fn wait_conn_ack_nack_closes() {
    let mut bench = Bench::wait_conn_ack();
    assert!(bench.event(PeerEvent::IRcvConnNack).is_empty());
    assert_eq!(bench.fsm.state(), PeerState::Closed);
}

#[test]
fn wait_i_cea_success_opens_the_initiator() {
    assert_eq!(Bench::i_open().fsm.state(), PeerState::IOpen { connection: I });
}

#[test]
fn wait_i_cea_anything_but_a_good_cea_closes() {
    for event in [PeerEvent::IRcvNonCea, PeerEvent::PeerDisc { connection: I }] {
        let mut bench = Bench::wait_i_cea();
        assert_eq!(bench.event(event)[..], [PeerAction::Close(I)]);
        assert_eq!(bench.fsm.state(), PeerState::Closed);
    }
}

#[test]
fn wait_i_cea_timeout_closes() {
    let mut bench = Bench::wait_i_cea();
    assert!(bench.fsm.handle_timeout(bench.now + secs(9)).is_empty());
    assert_eq!(bench.expire()[..], [PeerAction::Close(I)]);
    assert_eq!(bench.fsm.state(), PeerState::Closed);
}

#[test]
fn won_election_keeps_the_connection_of_the_peer() {
    let mut bench = Bench::wait_i_cea();
    let actions = bench.event(PeerEvent::RConnCer(responder(R, true)));
    let cea = PeerAction::SendCea(responder(R, true));
    assert_eq!(actions[..], [PeerAction::Close(I), cea, PeerAction::Up(R)]);
    assert_eq!(bench.fsm.state(), PeerState::ROpen { connection: R });
}

#[test]
fn lost_election_waits_and_keeps_our_connection() {
    let mut bench = Bench::wait_returns();
    assert_eq!(
        bench.event(PeerEvent::IRcvCea)[..],
        [PeerAction::Close(R), PeerAction::Up(I)]
    );
    assert_eq!(bench.fsm.state(), PeerState::IOpen { connection: I });
}

#[test]
fn wait_conn_ack_elect_ack_sends_the_cer_and_holds_the_election() {
    let mut bench = Bench::wait_conn_ack_elect(false);
    let actions = bench.event(PeerEvent::IRcvConnAck { connection: I });
    assert_eq!(actions[..], [PeerAction::SendCer(I)]);
    assert!(matches!(bench.fsm.state(), PeerState::WaitReturns { .. }));
    let mut bench = Bench::wait_conn_ack_elect(true);
    let actions = bench.event(PeerEvent::IRcvConnAck { connection: I });
    let cea = PeerAction::SendCea(responder(R, true));
    assert_eq!(
        actions[..],
        [
            PeerAction::SendCer(I),
            PeerAction::Close(I),
            cea,
            PeerAction::Up(R)
        ]
    );
}

#[test]
fn wait_conn_ack_elect_nack_opens_the_responder() {
    let mut bench = Bench::wait_conn_ack_elect(false);
    let actions = bench.event(PeerEvent::IRcvConnNack);
    assert_eq!(
        actions[..],
        [PeerAction::SendCea(responder(R, false)), PeerAction::Up(R)]
    );
}

#[test]
fn wait_conn_ack_elect_loss_of_the_responder_goes_on_dialling() {
    let mut bench = Bench::wait_conn_ack_elect(false);
    assert_eq!(bench.disc(R)[..], [PeerAction::Close(R)]);
    assert_eq!(bench.fsm.state(), PeerState::WaitConnAck { attempt: 9 });
    assert_eq!(bench.fsm.poll_timeout(), None);
}

#[test]
fn wait_conn_ack_elect_and_wait_returns_timeouts_close_what_is_there() {
    let mut bench = Bench::wait_conn_ack_elect(false);
    assert_eq!(bench.expire()[..], [PeerAction::Close(R)]);
    let mut bench = Bench::wait_returns();
    assert_eq!(bench.expire()[..], [PeerAction::Close(I), PeerAction::Close(R)]);
    assert_eq!(bench.fsm.state(), PeerState::Closed);
}

#[test]
fn wait_returns_loss_of_the_initiator_opens_the_responder() {
    for event in [PeerEvent::PeerDisc { connection: I }, PeerEvent::IRcvNonCea] {
        let mut bench = Bench::wait_returns();
        let cea = PeerAction::SendCea(responder(R, false));
        assert_eq!(
            bench.event(event)[..],
            [PeerAction::Close(I), cea, PeerAction::Up(R)]
        );
    }
}

#[test]
fn wait_returns_loss_of_the_responder_waits_for_our_cea() {
    let mut bench = Bench::wait_returns();
    assert_eq!(bench.disc(R)[..], [PeerAction::Close(R)]);
    assert_eq!(bench.fsm.state(), PeerState::WaitICea { initiator: I });
}

#[test]
fn second_cer_of_a_peer_is_rejected_in_every_later_state() {
    let benches = [
        Bench::wait_conn_ack_elect(false),
        Bench::wait_returns(),
        Bench::i_open(),
        Bench::r_open(),
    ];
    for mut bench in benches {
        let before = bench.fsm.state();
        let actions = bench.event(PeerEvent::RConnCer(responder(OTHER, true)));
        assert_eq!(actions[..], [PeerAction::Close(OTHER)]);
        assert_eq!(bench.fsm.state(), before);
    }
}

#[test]
fn open_stop_says_dpr_and_closes_after_the_dpa() {
    for (mut bench, connection) in [(Bench::i_open(), I), (Bench::r_open(), R)] {
        let cause = DisconnectCause::Rebooting;
        let actions = bench.event(PeerEvent::Stop(cause));
        assert_eq!(
            actions[..],
            [
                PeerAction::Down(connection),
                PeerAction::SendDpr(connection, cause)
            ]
        );
        assert_eq!(bench.fsm.state(), PeerState::Closing { connection });
        assert_eq!(
            bench.event(PeerEvent::RcvDpa)[..],
            [PeerAction::Close(connection)]
        );
        assert_eq!(bench.fsm.state(), PeerState::Closed);
    }
}

#[test]
fn open_dpr_of_the_peer_is_answered_and_the_peer_closes() {
    let mut bench = Bench::i_open();
    let actions = bench.event(PeerEvent::RcvDpr { dpr: HEADER });
    assert_eq!(actions[..], [PeerAction::SendDpa(I, HEADER), PeerAction::Down(I)]);
    assert_eq!(bench.disc(I)[..], [PeerAction::Close(I)]);
    assert_eq!(bench.fsm.state(), PeerState::Closed);
}

#[test]
fn closing_times_out_when_the_other_side_does_nothing() {
    let mut bench = Bench::i_open();
    bench.event(PeerEvent::RcvDpr { dpr: HEADER });
    assert_eq!(bench.expire()[..], [PeerAction::Close(I)]);
    assert_eq!(bench.fsm.state(), PeerState::Closed);
}

#[test]
fn closing_answers_a_dpr_that_crossed_ours() {
    let mut bench = Bench::i_open();
    bench.event(PeerEvent::Stop(DisconnectCause::Rebooting));
    assert_eq!(
        bench.event(PeerEvent::RcvDpr { dpr: HEADER })[..],
        [PeerAction::SendDpa(I, HEADER)]
    );
    assert_eq!(bench.fsm.state(), PeerState::Closing { connection: I });
}

#[test]
fn open_loss_of_the_connection_takes_the_peer_down() {
    let mut bench = Bench::i_open();
    assert!(bench.disc(OTHER).is_empty());
    assert_eq!(bench.disc(I)[..], [PeerAction::Down(I), PeerAction::Close(I)]);
    assert_eq!(bench.fsm.state(), PeerState::Closed);
}

#[test]
fn stop_before_open_closes_at_once() {
    for (mut bench, closed) in [
        (Bench::wait_conn_ack(), vec![]),
        (Bench::wait_i_cea(), vec![PeerAction::Close(I)]),
        (Bench::wait_conn_ack_elect(false), vec![PeerAction::Close(R)]),
        (
            Bench::wait_returns(),
            vec![PeerAction::Close(I), PeerAction::Close(R)],
        ),
    ] {
        assert_eq!(
            bench.event(PeerEvent::Stop(DisconnectCause::Rebooting))[..],
            closed[..]
        );
        assert_eq!(bench.fsm.state(), PeerState::Closed);
    }
}

#[test]
fn election_is_won_by_the_greater_origin_host() {
    assert!(wins_election("scscf.example.org", "hss.example.org"));
    assert!(!wins_election("hss.example.org", "scscf.example.org"));
    assert!(!wins_election("HSS1", "hss1"));
    assert!(wins_election("hss1.example.org", "hss1"));
}
