//! Shell: tests of SIP over TCP.

use tokio::net::TcpListener;

use super::*;
use crate::config::DurationText;
use crate::net::Transport;

fn to(remote: SocketAddr) -> Destination {
    Destination::Address {
        interface: Interface::Mw,
        transport: Transport::Tcp,
        remote,
    }
}

#[test]
fn options_pings_in_any_pieces_are_answered_on_the_same_connection() {
    run(&config("127.0.0.1:0"), Vec::new(), quiet, async |mut lab: Lab| {
        let mut peer = Peer::connect(lab.sip).await;
        let three = [options("tcp1"), options("tcp2"), options("tcp3")].concat();
        let (head, tail) = three.split_at(300);
        peer.send(head).await;
        peer.expect("Call-ID: tcp1").await;
        peer.send(tail).await;
        peer.expect("Call-ID: tcp2").await;
        peer.expect("Call-ID: tcp3").await;
        let first = flow_of(&lab.hears().await);
        let second = flow_of(&lab.hears().await);
        assert_eq!(first, second);
        assert_eq!(
            (first.transport, first.local, first.remote),
            (Transport::Tcp, lab.sip, peer.stream.local_addr().unwrap())
        );
        drop(peer);
        assert!(matches!(
            lab.hears().await,
            NetInput::Sip(SipInput::Received { .. })
        ));
        assert!(matches!(
            lab.hears().await,
            NetInput::Sip(SipInput::ConnectionClosed(id, _)) if Some(id) == first.connection
        ));
    });
}

#[test]
fn a_keep_alive_ping_gets_a_pong() {
    run(&config("127.0.0.1:0"), Vec::new(), quiet, async |lab: Lab| {
        let mut peer = Peer::connect(lab.sip).await;
        peer.send("\r\n\r\n").await;
        assert_eq!(peer.expect("\r\n").await, "\r\n");
        peer.send(&options("after")).await;
        assert!(peer.expect("\r\n\r\n").await.starts_with("SIP/2.0 200 "));
        assert_eq!(lab.counters.keep_alive.get(), 1);
    });
}

#[test]
fn a_stream_whose_framing_is_lost_is_closed() {
    run(&config("127.0.0.1:0"), Vec::new(), quiet, async |mut lab: Lab| {
        let mut peer = Peer::connect(lab.sip).await;
        let broken = options("lost").replace("Content-Length: 0", "Content-Length: many");
        peer.send(&broken).await;
        peer.expect_close().await;
        assert!(matches!(
            lab.hears().await,
            NetInput::Sip(SipInput::ConnectionClosed(..))
        ));
        assert_eq!(lab.counters.closed_framing.get(), 1);
    });
}

#[test]
fn a_message_over_the_limit_closes_its_stream() {
    let mut config = config("127.0.0.1:0");
    config.limits.message_bytes = 2_000;
    run(&config, Vec::new(), quiet, async |lab: Lab| {
        let mut announced = Peer::connect(lab.sip).await;
        let large = options("large").replace("Content-Length: 0", "Content-Length: 2000");
        announced.send(&large).await;
        announced.expect_close().await;
        let mut endless = Peer::connect(lab.sip).await;
        endless
            .send(&format!(
                "OPTIONS sip:a SIP/2.0\r\nSubject: {}",
                "x".repeat(3_000)
            ))
            .await;
        endless.expect_close().await;
        assert_eq!(lab.counters.closed_framing.get(), 2);
    });
}

#[test]
fn a_message_that_does_not_become_complete_in_time_closes_its_stream() {
    let mut config = config("127.0.0.1:0");
    config.limits.slow_message = DurationText::millis(40);
    run(&config, Vec::new(), quiet, async |lab: Lab| {
        let mut slow = Peer::connect(lab.sip).await;
        slow.send("OPTIONS sip:probe.example SIP/2.0\r\nVia: ").await;
        slow.expect_close().await;
        assert_eq!(lab.counters.closed_slow.get(), 1);
    });
}

#[test]
fn a_silent_connection_is_closed() {
    let mut config = config("127.0.0.1:0");
    config.limits.idle_connection = DurationText::millis(40);
    run(&config, Vec::new(), quiet, async |lab: Lab| {
        let mut silent = Peer::connect(lab.sip).await;
        silent.expect_close().await;
        assert_eq!(lab.counters.closed_idle.get(), 1);
    });
}

#[test]
fn connections_beyond_the_limits_are_closed_at_once() {
    let mut config = config("127.0.0.1:0");
    config.limits.connections_per_address = 1;
    run(&config, Vec::new(), quiet, async |mut lab: Lab| {
        let mut first = Peer::connect(lab.sip).await;
        first.send(&options("first")).await;
        first.expect("\r\n\r\n").await;
        Peer::connect(lab.sip).await.expect_close().await;
        assert_eq!(lab.counters.refused_address.get(), 1);
        first.send(&options("second")).await;
        first.expect("Call-ID: second").await;
        // A place that is free again is given away again.
        drop(first);
        while !matches!(lab.hears().await, NetInput::Sip(SipInput::ConnectionClosed(..))) {}
        let mut next = Peer::connect(lab.sip).await;
        next.send(&options("third")).await;
        next.expect("Call-ID: third").await;
    });
    config.limits.connections = 0;
    run(&config, Vec::new(), quiet, async |lab: Lab| {
        Peer::connect(lab.sip).await.expect_close().await;
        assert_eq!(lab.counters.refused_total.get(), 1);
    });
}

#[test]
fn a_peer_that_does_not_read_loses_its_connection_and_the_sends_fail() {
    let mut config = config("127.0.0.1:0");
    config.limits.connection_write_bytes = 10_000;
    let flood = |input: &NetInput| match input {
        // More than all buffers of the kernel.
        NetInput::Sip(SipInput::Received { flow, .. }) => (10..10_010)
            .map(|tag| transmit(Destination::Flow(*flow), Bytes::from_static(&[b'x'; 4_000]), tag))
            .collect(),
        _ => Vec::new(),
    };
    run(&config, Vec::new(), flood, async |mut lab: Lab| {
        let mut peer = Peer::connect(lab.sip).await;
        peer.send(&options("flood")).await;
        let mut failed = Vec::new();
        loop {
            match lab.hears().await {
                NetInput::Sip(SipInput::SendFailed(tag)) => failed.push(tag.0),
                NetInput::Sip(SipInput::ConnectionClosed(..)) => break,
                _ => {}
            }
        }
        failed.sort_unstable();
        // What the kernel took, and at most two of 4,000 octets in the queue, may have gone; nothing after that.
        let first = *failed.first().expect("some do not fit");
        assert!(
            failed.iter().copied().eq(first..10_010),
            "{first} to {:?}",
            failed.last()
        );
        peer.expect_close().await;
        assert_eq!(lab.counters.closed_write_limit.get(), 1);
    });
}

#[test]
fn messages_to_one_address_share_a_connection_from_the_interface_address() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (listener, remote) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = listener.local_addr().unwrap();
        (listener.into_std().unwrap(), remote)
    });
    let first = vec![
        transmit(to(remote), Bytes::from(options("out1")), 1),
        transmit(to(remote), Bytes::from(options("out2")), 2),
    ];
    let config = config("127.0.0.3:0");
    run(&config, first, quiet, async |mut lab: Lab| {
        let listener = TcpListener::from_std(listener).unwrap();
        let (stream, from) = timeout(STUCK, listener.accept()).await.unwrap().unwrap();
        assert_eq!(from.ip(), lab.sip.ip());
        assert_ne!(from.port(), lab.sip.port());
        let mut peer = Peer::of(stream);
        peer.expect("Call-ID: out1").await;
        peer.expect("Call-ID: out2").await;
        // The way back is the same connection, and the node hears its flow.
        peer.send(&options("back")).await;
        let flow = flow_of(&lab.hears().await);
        assert_eq!((flow.local, flow.remote), (from, remote));
        assert_eq!(lab.counters.tcp_dialled.get(), 1);
    });
}

#[test]
fn a_refused_connection_fails_every_message_that_waited_for_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // A port that was free a moment ago: nobody listens there.
    let remote = runtime.block_on(async {
        TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
    });
    let first = vec![
        transmit(to(remote), Bytes::from_static(b"x"), 21),
        transmit(to(remote), Bytes::from_static(b"y"), 22),
    ];
    run(&config("127.0.0.1:0"), first, quiet, async |mut lab: Lab| {
        for tag in [21, 22] {
            match lab.hears().await {
                NetInput::Sip(SipInput::SendFailed(failed)) => assert_eq!(failed, SendTag(tag)),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            lab.hears().await,
            NetInput::Sip(SipInput::ConnectionClosed(..))
        ));
    });
}

#[test]
fn a_flow_whose_connection_is_gone_fails_and_opens_nothing() {
    let mut gone = None;
    let late = move |input: &NetInput| match input {
        NetInput::Sip(SipInput::Received { flow, .. }) => {
            gone = Some(*flow);
            Vec::new()
        }
        NetInput::Sip(SipInput::ConnectionClosed(..)) => {
            let flow = gone.unwrap();
            vec![transmit(Destination::Flow(flow), Bytes::from_static(b"late"), 31)]
        }
        _ => Vec::new(),
    };
    run(&config("127.0.0.1:0"), Vec::new(), late, async |mut lab: Lab| {
        let mut peer = Peer::connect(lab.sip).await;
        peer.send(&options("gone")).await;
        peer.expect("Call-ID: gone").await;
        drop(peer);
        loop {
            match lab.hears().await {
                NetInput::Sip(SipInput::SendFailed(tag)) => break assert_eq!(tag, SendTag(31)),
                _ => continue,
            }
        }
        assert_eq!(lab.counters.tcp_dialled.get(), 0);
    });
}

#[test]
fn the_node_can_close_a_connection_after_its_last_words() {
    let close = |input: &NetInput| match input {
        NetInput::Sip(SipInput::Received { flow, .. }) => {
            vec![NetOutput::Sip(SipOutput::Close(flow.connection.unwrap()))]
        }
        _ => Vec::new(),
    };
    run(&config("127.0.0.1:0"), Vec::new(), close, async |lab: Lab| {
        let mut peer = Peer::connect(lab.sip).await;
        peer.send(&options("bye")).await;
        peer.expect("Call-ID: bye").await;
        peer.expect_close().await;
        assert_eq!(lab.counters.closed_node.get(), 1);
    });
}

#[test]
fn a_busy_node_slows_its_streams_down_and_loses_nothing() {
    const MESSAGES: usize = 500;
    let mut config = config("127.0.0.1:0");
    config.limits.queue = 2;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // No driver takes anything out of the queue until the test does.
        let mut shell = Shell::bind(&config).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = Peer::connect(listener.local_addr().unwrap()).await;
        let (stream, _) = listener.accept().await.unwrap();
        shell.streams.accepted(Interface::Mw, stream);
        let counters = Arc::clone(&shell.context.counters);
        let writes = async {
            for number in 0..MESSAGES {
                let body = "x".repeat(50_000);
                let head =
                    options(&format!("busy{number}")).replace("Content-Length: 0", "Content-Length: 50000");
                peer.send(&(head + &body)).await;
            }
        };
        let reads = async {
            timeout(STUCK, async {
                while counters.tcp_received.get() < 3 {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .unwrap();
            for _ in 0..10_000 {
                tokio::task::yield_now().await;
            }
            // Two wait in the queue and one before it; the rest is the sender's and the kernel's.
            assert_eq!(counters.tcp_received.get(), 3);
            for number in 0..MESSAGES {
                let event = timeout(STUCK, shell.events.recv()).await.unwrap().unwrap();
                match event {
                    Event::Net(NetInput::Sip(SipInput::Received { message, .. })) => {
                        let call = format!("busy{number}");
                        assert_eq!(message.call_id(), Some(call.as_bytes()));
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::join!(writes, reads);
    });
}

#[test]
fn a_ue_does_not_get_more_connections_by_taking_more_addresses_of_its_prefix() {
    let mut config = config("[::1]:0");
    config.limits.connections_per_address = 1;
    assert_eq!(
        super::super::tcp::origin("2001:db8:1:2:3::4".parse().unwrap()),
        super::super::tcp::origin("2001:db8:1:2::99".parse().unwrap())
    );
    assert_ne!(
        super::super::tcp::origin("2001:db8:1:2::4".parse().unwrap()),
        super::super::tcp::origin("2001:db8:1:3::4".parse().unwrap())
    );
    run(&config, Vec::new(), quiet, async |lab: Lab| {
        let mut first = Peer::connect(lab.sip).await;
        first.send(&options("first6")).await;
        first.expect("Call-ID: first6").await;
        Peer::connect(lab.sip).await.expect_close().await;
        assert_eq!(lab.counters.refused_address.get(), 1);
    });
}

#[test]
fn accepted_connections_leave_room_for_those_that_the_node_opens() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let next_hop = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let remote = next_hop.local_addr().unwrap();
    let mut config = config("127.0.0.1:0");
    config.limits.connections = 8;
    let forward = move |input: &NetInput| match input {
        NetInput::Sip(SipInput::Malformed(_)) => {
            vec![transmit(to(remote), Bytes::from_static(b"forwarded"), 5)]
        }
        _ => Vec::new(),
    };
    run(&config, Vec::new(), forward, async |mut lab: Lab| {
        let mut peers = Vec::new();
        for number in 0..7 {
            let mut peer = Peer::connect(lab.sip).await;
            peer.send(&options(&format!("room{number}"))).await;
            peer.expect("\r\n\r\n").await;
            lab.hears().await;
            peers.push(peer);
        }
        Peer::connect(lab.sip).await.expect_close().await;
        peers[0].send("no SIP at all\r\n\r\n").await;
        lab.hears().await;
        assert_eq!(lab.counters.send_connections_full.get(), 0);
        assert_eq!(lab.counters.tcp_dialled.get(), 1);
    });
}
