//! Testkit: calls and messages without a network between the phones.
#![allow(clippy::disallowed_methods, reason = "a beginning of time")]

use super::*;

struct Room {
    talk: Talk,
    now: Instant,
    /// What was said, in order.
    said: Vec<String>,
}

impl Room {
    fn new(kind: Kind) -> Self {
        let mut talk = Talk::new(kind, 7, Duration::from_secs(1), Duration::from_secs(8));
        let party = |last: u8| Party {
            imsi: u64::from(last),
            number: format!("+1555{last}"),
            local: std::net::SocketAddr::from(([127, 66, 0, last], 5060)),
            route: "<sip:p;lr>".to_owned(),
        };
        talk.meet(vec![party(1), party(2)]);
        Self {
            talk,
            now: Instant::now(),
            said: Vec::new(),
        }
    }

    /// Carries what is said between the two, but what `lost` names; responses come back to the caller of them.
    fn carry(&mut self, lost: &str) {
        while let Some((phone, octets)) = self.talk.poll_sent() {
            let text = String::from_utf8(octets.to_vec()).unwrap();
            let first = text.lines().next().unwrap().to_owned();
            self.said.push(first.clone());
            if lost.is_empty() || !first.contains(lost) {
                let heard = Heard::read(text.as_bytes()).unwrap();
                self.talk.receive(self.now, 1 - phone, &heard);
            }
        }
    }

    fn after(&mut self, seconds: u64, lost: &str) {
        self.now += Duration::from_secs(seconds);
        self.talk.expire(self.now);
        self.carry(lost);
    }
}

#[test]
fn a_call_is_set_up_held_and_ended_by_its_caller() {
    let mut room = Room::new(Kind::Call);
    room.talk.begin(room.now, 0, room.now);
    room.carry("");
    assert_eq!(room.talk.poll_ended(), None);
    room.after(1, "");
    let ended = room.talk.poll_ended().unwrap();
    assert_eq!(ended.outcome, Ok(Duration::ZERO));
    let home = crate::site::HOME;
    assert_eq!(
        room.said,
        [
            &*format!("INVITE sip:+15552@{home} SIP/2.0"),
            "SIP/2.0 180 Ringing",
            "SIP/2.0 200 OK",
            "ACK sip:000000000000002@127.66.0.2:5060 SIP/2.0",
            "BYE sip:000000000000002@127.66.0.2:5060 SIP/2.0",
            "SIP/2.0 200 OK",
        ]
    );
    room.after(200, "");
    assert_eq!((room.said.len(), room.talk.retransmissions), (6, 0));
}

#[test]
fn a_lost_ack_is_sent_again_for_the_200_that_comes_again() {
    let mut room = Room::new(Kind::Call);
    room.talk.hold = Duration::from_secs(4);
    room.talk.begin(room.now, 1, room.now);
    room.carry("ACK");
    room.after(2, "");
    room.after(2, "");
    assert!(room.talk.poll_ended().unwrap().outcome.is_ok());
    assert_eq!(room.talk.retransmissions, 2, "200 and ACK: {:?}", room.said);
}

#[test]
fn a_call_whose_ack_never_came_has_failed() {
    let mut room = Room::new(Kind::Call);
    room.talk.begin(room.now, 0, room.now);
    room.carry("ACK");
    room.after(1, "ACK");
    assert_eq!(
        room.talk.poll_ended().unwrap().outcome,
        Err("ACK lost".to_owned())
    );
}

#[test]
fn who_does_not_answer_is_asked_again_and_given_up() {
    for (kind, method, requests) in [(Kind::Call, "INVITE", 3), (Kind::Message, "MESSAGE", 3)] {
        let mut room = Room::new(kind);
        room.talk.begin(room.now, 0, room.now);
        room.carry(method);
        for _ in 0..8 {
            room.after(1, method);
        }
        let ended = room.talk.poll_ended().unwrap();
        assert_eq!(ended.outcome, Err(format!("{method} timeout")));
        assert_eq!(room.said.len(), requests, "{:?}", room.said);
    }
}

#[test]
fn a_refusal_is_acknowledged_on_its_branch_and_counted() {
    let mut room = Room::new(Kind::Call);
    room.talk.begin(room.now, 0, room.now);
    let (caller, invite) = room.talk.poll_sent().unwrap();
    let heard = Heard::read(&invite).unwrap();
    let refusal = written::response("486 Busy", &heard, None);
    room.talk
        .receive(room.now, caller, &Heard::read(&refusal).unwrap());
    let (_, ack) = room.talk.poll_sent().unwrap();
    let ack = Heard::read(&ack).unwrap();
    assert_eq!((ack.vias, ack.cseq), (heard.vias, "1 ACK"));
    assert!(ack.to.contains("tag="));
    let outcome = room.talk.poll_ended().unwrap().outcome;
    assert_eq!(outcome, Err("INVITE 486".to_owned()));
}

#[test]
fn a_message_is_answered() {
    let mut room = Room::new(Kind::Message);
    room.talk.begin(room.now, 0, room.now);
    room.carry("");
    assert_eq!(room.talk.poll_ended().unwrap().outcome, Ok(Duration::ZERO));
    assert_eq!(room.said.last().map(String::as_str), Some("SIP/2.0 200 OK"));
}
