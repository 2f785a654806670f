//! Shell: tests of Diameter's connections.

use tokio::net::TcpListener;

use super::*;
use crate::net::{DiameterInput, DiameterOutput};

/// A message of `length` octets, header included, all else zero.
fn message(length: u32) -> Vec<u8> {
    let mut octets = vec![0; usize::try_from(length).unwrap()];
    octets[..4].copy_from_slice(&(0x0100_0000 | length).to_be_bytes());
    octets
}

fn connect(attempt: u64, address: SocketAddr) -> NetOutput {
    NetOutput::Diameter(DiameterOutput::Connect {
        attempt,
        address: address.to_string(),
    })
}

async fn hears(lab: &mut Lab) -> DiameterInput {
    match lab.hears().await {
        NetInput::Diameter(input) => input,
        other => panic!("{other:?}"),
    }
}

fn listener() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn messages_are_framed_both_ways_on_a_dialled_connection() {
    let (hss, address) = listener();
    let greet = |input: &NetInput| match input {
        NetInput::Diameter(DiameterInput::Connected { connection, .. }) => {
            vec![NetOutput::Diameter(DiameterOutput::Send {
                connection: *connection,
                bytes: Bytes::from(message(20)),
            })]
        }
        _ => Vec::new(),
    };
    let first = vec![connect(5, address)];
    run(&config("127.0.0.1:0"), first, greet, async |mut lab: Lab| {
        let hss = TcpListener::from_std(hss).unwrap();
        let (stream, _) = timeout(STUCK, hss.accept()).await.unwrap().unwrap();
        let mut peer = Peer::of(stream);
        let DiameterInput::Connected {
            connection,
            attempt: Some(5),
            remote,
            ..
        } = hears(&mut lab).await
        else {
            panic!("not connected");
        };
        assert_eq!(remote, address);
        let mut got = vec![0; 20];
        timeout(STUCK, peer.stream.read_exact(&mut got))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(got, message(20));
        let two = [message(24), message(1_000)].concat();
        peer.stream.write_all(&two[..30]).await.unwrap();
        match hears(&mut lab).await {
            DiameterInput::Message { bytes, .. } => assert_eq!(bytes, message(24)),
            other => panic!("{other:?}"),
        }
        peer.stream.write_all(&two[30..]).await.unwrap();
        match hears(&mut lab).await {
            DiameterInput::Message { bytes, .. } => assert_eq!(bytes, message(1_000)),
            other => panic!("{other:?}"),
        }
        drop(peer);
        assert!(matches!(hears(&mut lab).await, DiameterInput::Closed { connection: c } if c == connection));
    });
}

#[test]
fn an_accepted_connection_is_told_without_an_attempt_and_closed_on_a_message_too_long() {
    let mut config = config("127.0.0.1:0");
    config.diameter_listen = Some("127.0.0.1:0".parse().unwrap());
    config.limits.diameter_message_bytes = 4_096;
    run(&config, Vec::new(), quiet, async |mut lab: Lab| {
        let mut peer = Peer::connect(lab.diameter.unwrap()).await;
        assert!(matches!(
            hears(&mut lab).await,
            DiameterInput::Connected { attempt: None, .. }
        ));
        peer.stream.write_all(&message(4_100)[..20]).await.unwrap();
        assert!(matches!(hears(&mut lab).await, DiameterInput::Closed { .. }));
        peer.expect_close().await;
        assert_eq!(lab.counters.diameter_closed_framing.get(), 1);
    });
}

#[test]
fn a_dial_that_fails_is_told_with_its_attempt() {
    let (nobody, address) = listener();
    drop(nobody);
    let wrong = NetOutput::Diameter(DiameterOutput::Connect {
        attempt: 9,
        address: "no port".to_owned(),
    });
    let first = vec![connect(8, address), wrong];
    run(&config("127.0.0.1:0"), first, quiet, async |mut lab: Lab| {
        let mut failed = Vec::new();
        for _ in 0..2 {
            match hears(&mut lab).await {
                DiameterInput::ConnectFailed { attempt, reason } => failed.push((attempt, reason)),
                other => panic!("{other:?}"),
            }
        }
        failed.sort();
        assert_eq!((failed[0].0, failed[1].0), (8, 9));
        assert_eq!(failed[1].1, "neither IP:port nor name:port");
    });
}

#[test]
fn a_new_connection_begins_only_after_the_old_one_has_ended() {
    let (hss, address) = listener();
    let again = move |input: &NetInput| match input {
        NetInput::Diameter(DiameterInput::Connected {
            connection,
            attempt: Some(1),
            ..
        }) => vec![
            NetOutput::Diameter(DiameterOutput::Send {
                connection: *connection,
                bytes: Bytes::from(message(20)),
            }),
            NetOutput::Diameter(DiameterOutput::Close {
                connection: *connection,
            }),
            connect(2, address),
        ],
        _ => Vec::new(),
    };
    let first = vec![connect(1, address)];
    run(&config("127.0.0.1:0"), first, again, async |mut lab: Lab| {
        let hss = TcpListener::from_std(hss).unwrap();
        let (old, _) = timeout(STUCK, hss.accept()).await.unwrap().unwrap();
        let (_new, _) = timeout(STUCK, hss.accept()).await.unwrap().unwrap();
        // The last words and the end of the old one are here already: the kernel gives both without waiting.
        let mut all = Vec::new();
        let read = std::io::Read::read_to_end(&mut old.into_std().unwrap(), &mut all);
        read.expect("the old connection was still open");
        assert_eq!(all, message(20));
        assert!(matches!(
            hears(&mut lab).await,
            DiameterInput::Connected { attempt: Some(1), .. }
        ));
        assert!(matches!(hears(&mut lab).await, DiameterInput::Closed { .. }));
        assert!(matches!(
            hears(&mut lab).await,
            DiameterInput::Connected { attempt: Some(2), .. }
        ));
    });
}

#[test]
fn an_old_connection_that_takes_nothing_is_cut_before_the_new_one_begins() {
    let (hss, address) = listener();
    let much = 32 << 20;
    let mut config = config("127.0.0.1:0");
    config.limits.connection_write_bytes = much;
    let again = move |input: &NetInput| match input {
        NetInput::Diameter(DiameterInput::Connected {
            connection,
            attempt: Some(1),
            ..
        }) => vec![
            NetOutput::Diameter(DiameterOutput::Send {
                connection: *connection,
                bytes: Bytes::from(vec![0; much]),
            }),
            NetOutput::Diameter(DiameterOutput::Close {
                connection: *connection,
            }),
            connect(2, address),
        ],
        _ => Vec::new(),
    };
    run(&config, vec![connect(1, address)], again, async |_lab: Lab| {
        let hss = TcpListener::from_std(hss).unwrap();
        let (mut old, _) = timeout(STUCK, hss.accept()).await.unwrap().unwrap();
        let (_new, _) = timeout(STUCK, hss.accept()).await.unwrap().unwrap();
        let mut all = Vec::new();
        // Its end may be a reset.
        let _ = timeout(STUCK, tokio::io::AsyncReadExt::read_to_end(&mut old, &mut all))
            .await
            .expect("never closed");
        assert!(all.len() < much, "the old connection went on beside the new one");
    });
}
