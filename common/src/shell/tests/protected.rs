//! Shell: tests of connections of protected ports. Loopback knows no IPsec; what the sockets do is the same.

use std::net::UdpSocket;

use tokio::net::TcpListener;

use super::*;
use crate::net::Transport;

/// A protected client port: datagrams, and connections that the probe opens.
fn client_port() -> ShellConfig {
    let mut config = config("127.0.0.1:0");
    config.sip[0].interface = Interface::GmProtected;
    config.sip[0] = config.sip[0].datagrams_only();
    config
}

/// On each datagram, a message to the next of these over a connection of our own.
fn to_each(remotes: Vec<SocketAddr>) -> impl FnMut(&NetInput) -> Vec<NetOutput> {
    let mut remotes = remotes.into_iter();
    move |input| match input {
        NetInput::Sip(SipInput::Received { flow, .. }) if flow.transport == Transport::Udp => {
            let Some(remote) = remotes.next() else {
                return Vec::new();
            };
            let own = Flow {
                transport: Transport::Tcp,
                remote,
                ..*flow
            };
            vec![transmit(Destination::Flow(own), options("own").into(), 7)]
        }
        _ => Vec::new(),
    }
}

fn prompt(lab: &Lab) {
    let prompter = UdpSocket::bind("127.0.0.1:0").unwrap();
    prompter.send_to(options("prompt").as_bytes(), lab.sip).unwrap();
}

async fn accept(listener: &TcpListener) -> Peer {
    let (stream, _) = timeout(STUCK, listener.accept())
        .await
        .expect("nobody connects")
        .unwrap();
    Peer::of(stream)
}

#[test]
fn many_ues_are_reached_from_one_client_port_each_over_one_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (one, other) = (bind(), bind());
    let [first, second] = [&one, &other].map(|l| l.local_addr().unwrap());
    drop((one, other));
    let remotes = vec![first, second, first];
    run(&client_port(), Vec::new(), to_each(remotes), async |lab: Lab| {
        let one = TcpListener::bind(first).await.unwrap();
        let other = TcpListener::bind(second).await.unwrap();
        prompt(&lab);
        let mut peer = accept(&one).await;
        assert_eq!(peer.stream.peer_addr().unwrap(), lab.sip);
        peer.expect("\r\n\r\n").await;
        prompt(&lab);
        let mut second = accept(&other).await;
        assert_eq!(second.stream.peer_addr().unwrap(), lab.sip);
        second.expect("\r\n\r\n").await;
        prompt(&lab);
        peer.expect("Call-ID: own").await;
        assert_eq!(lab.counters.tcp_dialled.get(), 2);
    });
}

#[test]
fn nothing_but_datagrams_is_taken_on_a_client_port() {
    run(&client_port(), Vec::new(), quiet, async |lab: Lab| {
        let error = TcpStream::connect(lab.sip).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn ue_that_is_silent_does_not_stand_before_another_and_its_message_fails_in_time() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let alive = listener.local_addr().unwrap();
    drop(listener);
    // No place is left in this queue, and nobody accepts: a connect waits for ever.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    full.listen(0).unwrap();
    let silent = full.local_addr().unwrap().as_socket().unwrap();
    let _takes_the_place = std::net::TcpStream::connect(silent).unwrap();
    let mut config = client_port();
    config.limits.connect = crate::config::DurationText::millis(300);
    run(
        &config,
        Vec::new(),
        to_each(vec![silent, alive]),
        async |mut lab: Lab| {
            let alive = TcpListener::bind(alive).await.unwrap();
            prompt(&lab);
            assert_eq!(flow_of(&lab.hears().await).transport, Transport::Udp);
            prompt(&lab);
            let mut second = accept(&alive).await;
            second.expect("Call-ID: own").await;
            assert_eq!(flow_of(&lab.hears().await).transport, Transport::Udp);
            let failed = lab.hears().await;
            assert!(
                matches!(failed, NetInput::Sip(SipInput::SendFailed(SendTag(7)))),
                "{failed:?}"
            );
        },
    );
}

#[test]
fn connection_that_the_node_closes_ends_with_a_reset() {
    let mut config = config("127.0.0.1:0");
    config.sip[0].interface = Interface::GmProtected;
    let close = |input: &NetInput| match input {
        NetInput::Sip(SipInput::Received { flow, .. }) => flow
            .connection
            .map(|id| NetOutput::Sip(SipOutput::Close(id)))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    };
    run(&config, Vec::new(), close, async |lab: Lab| {
        let mut peer = Peer::connect(lab.sip).await;
        peer.send(&options("last")).await;
        let reset = loop {
            let mut chunk = [0; 4096];
            match timeout(STUCK, peer.stream.read(&mut chunk)).await.unwrap() {
                Ok(0) => panic!("closed without a reset"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(lab.counters.closed_node.get(), 1);
    });
}
