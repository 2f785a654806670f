//! Shell: tests of SIP over UDP and of names.

use socket2::SockRef;
use tokio::net::UdpSocket;

use super::*;
use crate::net::{Naptr, NaptrId, NaptrRequest, ResolveId, ResolveRequest, Transport};

async fn client() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 4096];
    let (length, from) = timeout(STUCK, socket.recv_from(&mut buffer))
        .await
        .expect("no answer")
        .unwrap();
    (String::from_utf8(buffer[..length].to_vec()).unwrap(), from)
}

#[test]
fn an_options_ping_is_answered_from_the_address_it_was_sent_to() {
    run(&config("127.0.0.2:0"), Vec::new(), quiet, async |mut lab: Lab| {
        let socket = client().await;
        socket.send_to(options("udp1").as_bytes(), lab.sip).await.unwrap();
        let (answer, from) = receive(&socket).await;
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        assert_eq!(from, lab.sip);
        let flow = flow_of(&lab.hears().await);
        assert_eq!(
            (flow.transport, flow.local, flow.remote),
            (Transport::Udp, lab.sip, socket.local_addr().unwrap())
        );
    });
}

#[test]
fn a_request_of_almost_64_kib_in_one_datagram_is_taken() {
    run(&config("127.0.0.1:0"), Vec::new(), quiet, async |mut lab: Lab| {
        let socket = client().await;
        let head = options("large").replace("Content-Length: 0", "Content-Length: 65000");
        let datagram = head + &"x".repeat(65_000);
        assert!(
            datagram.len() > 65_200 && datagram.len() <= 65_507,
            "{}",
            datagram.len()
        );
        socket.send_to(datagram.as_bytes(), lab.sip).await.unwrap();
        let (answer, _) = receive(&socket).await;
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        match lab.hears().await {
            NetInput::Sip(SipInput::Received { message, .. }) => assert_eq!(message.body().len(), 65_000),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn ipv6_has_its_own_socket_on_the_same_port() {
    run(&config("[::1]:0"), Vec::new(), quiet, async |mut lab: Lab| {
        let socket = UdpSocket::bind("[::1]:0").await.unwrap();
        socket.send_to(options("udp6").as_bytes(), lab.sip).await.unwrap();
        let (answer, from) = receive(&socket).await;
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        assert_eq!(from, lab.sip);
        assert_eq!(flow_of(&lab.hears().await).remote, socket.local_addr().unwrap());
    });
}

#[test]
fn keep_alives_are_counted_and_garbage_is_told_as_malformed() {
    run(&config("127.0.0.1:0"), Vec::new(), quiet, async |mut lab: Lab| {
        let socket = client().await;
        for datagram in ["\r\n\r\n", "", "\0"] {
            socket.send_to(datagram.as_bytes(), lab.sip).await.unwrap();
        }
        socket.send_to(b"GET / HTTP/1.1\r\n\r\n", lab.sip).await.unwrap();
        match lab.hears().await {
            NetInput::Sip(SipInput::Malformed(malformed)) => assert_eq!(&malformed.bytes[..5], b"GET /"),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            (lab.counters.keep_alive.get(), lab.counters.malformed.get()),
            (3, 1)
        );
    });
}

/// More datagrams than one turn of the driver takes.
#[test]
fn a_burst_of_datagrams_is_answered_to_the_last_one() {
    run(&config("127.0.0.1:0"), Vec::new(), quiet, async |lab: Lab| {
        let socket = client().await;
        for number in 0..200 {
            let text = options(&format!("burst{number}"));
            // Past tokio, so that the driver has no turn before all have come.
            SockRef::from(&socket)
                .send_to(text.as_bytes(), &lab.sip.into())
                .unwrap();
        }
        for number in 0..200 {
            let (answer, _) = receive(&socket).await;
            assert!(
                answer.contains(&format!("branch=z9hG4bKburst{number};")),
                "{answer}"
            );
        }
        assert_eq!(lab.counters.udp_received.get(), 200);
    });
}

#[test]
fn what_is_in_progress_overtakes_what_is_new() {
    run(&config("127.0.0.1:0"), Vec::new(), quiet, async |mut lab: Lab| {
        let socket = client().await;
        let in_dialog = options("dialog").replace("To: <sip:probe.example>", "To: <sip:probe.example>;tag=2");
        for text in [options("new1"), options("new2"), in_dialog] {
            SockRef::from(&socket)
                .send_to(text.as_bytes(), &lab.sip.into())
                .unwrap();
        }
        let mut heard = Vec::new();
        for _ in 0..3 {
            match lab.hears().await {
                NetInput::Sip(SipInput::Received { message, .. }) => {
                    heard.push(String::from_utf8(message.call_id().unwrap().to_vec()).unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(heard, ["dialog", "new1", "new2"]);
    });
}

#[test]
fn a_queue_without_places_has_one() {
    let mut config = config("127.0.0.1:0");
    config.limits.queue = 0;
    run(&config, Vec::new(), quiet, async |lab: Lab| {
        let socket = client().await;
        socket.send_to(options("one").as_bytes(), lab.sip).await.unwrap();
        assert!(receive(&socket).await.0.starts_with("SIP/2.0 200 "));
    });
}

/// A timer that the node moves earlier and later fires once for each time that it was due.
#[test]
fn timers_of_the_node_fire_when_due_though_the_alarm_is_set_seldom() {
    struct Clockwork {
        due: VecDeque<Instant>,
        fired: mpsc::UnboundedSender<Instant>,
    }
    impl Node for Clockwork {
        type Input = NetInput;
        type Output = NetOutput;
        fn handle(&mut self, now: Instant, _: NetInput) {
            // Earlier than what is set.
            self.due.push_front(now + Duration::from_millis(10));
        }
        fn handle_timeout(&mut self, now: Instant) {
            while self.due.front().is_some_and(|at| *at <= now) {
                let _ = self.due.pop_front().map(|at| self.fired.send(at));
            }
        }
        fn poll_output(&mut self) -> Option<NetOutput> {
            None
        }
        fn poll_timeout(&self) -> Option<Instant> {
            self.due.front().copied()
        }
        fn metrics(&self, _: &mut Metrics) {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let shell = Shell::bind(&config("127.0.0.1:0")).await.unwrap();
        let (sip, (fired, mut firing)) = (shell.sip_addresses()[0], mpsc::unbounded_channel());
        let start = Instant::now();
        let node = Clockwork {
            due: [100, 150, 200].map(|ms| start + Duration::from_millis(ms)).into(),
            fired,
        };
        let test = async {
            client()
                .await
                .send_to(options("tick").as_bytes(), sip)
                .await
                .unwrap();
            for _ in 0..4 {
                let at = timeout(STUCK, firing.recv()).await.unwrap().unwrap();
                assert!(at <= Instant::now());
            }
        };
        tokio::select! {
            () = test => {}
            _ = shell.drive(node) => unreachable!("nobody ends it"),
        }
    });
}

#[test]
fn what_cannot_be_sent_is_told_with_its_tag() {
    let nowhere = Destination::Address {
        interface: Interface::Gm,
        transport: Transport::Udp,
        remote: "127.0.0.1:5060".parse().unwrap(),
    };
    let too_long = Destination::Address {
        interface: Interface::Mw,
        transport: Transport::Udp,
        remote: "127.0.0.1:5060".parse().unwrap(),
    };
    let first = vec![
        transmit(nowhere, Bytes::from_static(b"x"), 7),
        transmit(too_long, Bytes::from(vec![b'x'; 70_000]), 8),
    ];
    run(&config("127.0.0.1:0"), first, quiet, async |mut lab: Lab| {
        for tag in [7, 8] {
            match lab.hears().await {
                NetInput::Sip(SipInput::SendFailed(failed)) => assert_eq!(failed, SendTag(tag)),
                other => panic!("{other:?}"),
            }
        }
    });
}

/// NAPTR 10 20 "u" "E2U+sip" "!^.*$!sip:b@c.example!" .
const NAPTR: &[u8] = b"\x00\x0A\x00\x14\x01u\x07E2U+sip\x16!^.*$!sip:b@c.example!\x00";

/// A DNS server that knows `scscf.example A 192.0.2.7` and `1.e164.example NAPTR ...`, and no other name.
async fn serve_dns(socket: UdpSocket) {
    let mut query = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut query).await.unwrap();
        let question_end = find(&query[12..length], &[0]).unwrap() + 12 + 1 + 4;
        let question = &query[12..question_end];
        let is_number = question.starts_with(b"\x011\x04e164\x07example\0");
        let known = is_number || question.starts_with(b"\x05scscf\x07example\0");
        let asks_it = question.ends_with(&[0, if is_number { 35 } else { 1 }, 0, 1]);
        let mut answer = query[..2].to_vec();
        let answers = u8::from(known && asks_it);
        answer.extend([
            0x85,
            if known { 0x80 } else { 0x83 },
            0,
            1,
            0,
            answers,
            0,
            0,
            0,
            0,
        ]);
        answer.extend(question);
        if answers == 1 && is_number {
            let length = u8::try_from(NAPTR.len()).unwrap();
            answer.extend([0xC0, 12, 0, 35, 0, 1, 0, 0, 0, 60, 0, length]);
            answer.extend(NAPTR);
        } else if answers == 1 {
            answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}

#[test]
fn names_are_asked_of_dns_and_an_unknown_one_has_no_targets() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let mut config = config("127.0.0.1:0");
    config.dns_servers = vec![server.local_addr().unwrap()];
    let question = |id, host: &str| {
        NetOutput::Sip(SipOutput::Resolve(ResolveRequest {
            id: ResolveId(id),
            host: host.to_owned(),
            port: None,
            transport: None,
        }))
    };
    let first = vec![question(3, "scscf.example"), question(4, "nobody.example")];
    run(&config, first, quiet, async |mut lab: Lab| {
        tokio::spawn(serve_dns(UdpSocket::from_std(server).unwrap()));
        let mut answers = Vec::new();
        for _ in 0..2 {
            match lab.hears().await {
                NetInput::Sip(SipInput::Resolved { id, targets }) => answers.push((id, targets)),
                other => panic!("{other:?}"),
            }
        }
        answers.sort_by_key(|(id, _)| *id);
        let expected = crate::net::ResolvedTarget {
            transport: Transport::Udp,
            remote: "192.0.2.7:5060".parse().unwrap(),
        };
        assert_eq!(
            answers,
            [(ResolveId(3), vec![expected]), (ResolveId(4), Vec::new())]
        );
        assert_eq!(
            (lab.counters.dns_questions.get(), lab.counters.dns_empty.get()),
            (2, 1)
        );
    });
}

#[test]
fn naptr_records_are_told_as_they_are() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let mut config = config("127.0.0.1:0");
    config.dns_servers = vec![server.local_addr().unwrap()];
    let question = |id, name: &str| {
        NetOutput::Sip(SipOutput::Naptr(NaptrRequest {
            id: NaptrId(id),
            name: name.to_owned(),
        }))
    };
    let first = vec![question(3, "1.e164.example"), question(4, "2.e164.example")];
    run(&config, first, quiet, async |mut lab: Lab| {
        tokio::spawn(serve_dns(UdpSocket::from_std(server).unwrap()));
        let mut answers = Vec::new();
        for _ in 0..2 {
            match lab.hears().await {
                NetInput::Sip(SipInput::Naptr { id, records }) => answers.push((id, records)),
                other => panic!("{other:?}"),
            }
        }
        answers.sort_by_key(|(id, _)| *id);
        let expected = Naptr {
            order: 10,
            preference: 20,
            flags: "u".to_owned(),
            service: "E2U+sip".to_owned(),
            regexp: "!^.*$!sip:b@c.example!".to_owned(),
            replacement: ".".to_owned(),
        };
        assert_eq!(answers, [(NaptrId(3), vec![expected]), (NaptrId(4), Vec::new())]);
    });
}
