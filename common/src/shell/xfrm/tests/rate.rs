//! Shell: how fast this machine's kernel takes sets. Figures to read, for a release build on a quiet machine:
//! `unshare -rn cargo test --release -p ims-common --lib xfrm::tests::rate -- --ignored --nocapture`

use std::time::Instant;

use super::message::{Direction, SeenPolicy, SeenState, delete_policy, dump_policies, dump_states};
use super::netlink::{Ack, Netlink};
use super::*;
use crate::ipsec::{Encryption, Integrity, Suite};

const SETS: u16 = 10_000;

fn ports() -> ProtectedPorts {
    ProtectedPorts {
        local: Vec::new(),
        reqid: 33_203,
        priority: 2_100,
        replay_window: 32,
        requests_max: usize::from(SETS),
        suites: Vec::new(),
    }
}

fn report(what: &str, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let each = seconds * 1e6 / f64::from(SETS);
    println!(
        "{SETS} sets {what} in {seconds:.2} s: {:.0} a second, {each:.0} us each",
        f64::from(SETS) / seconds
    );
}

/// The kernel's memory that is not of programs, in KiB.
fn slab() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0)
}

/// Four policies stand for the four states of a set: they cost the kernel the same way, and need no ESP.
#[test]
#[ignore = "a figure: needs a network namespace of its own"]
fn four_policies_a_set() {
    let mut netlink = Netlink::open().unwrap();
    let ports = ports();
    let began = Instant::now();
    for number in 0..SETS {
        let directions = [Direction::In, Direction::Out, Direction::Out, Direction::In];
        let set = set(number);
        let mut four: Vec<_> = set
            .states
            .iter()
            .zip(directions)
            .map(|(state, direction)| message::policy_of(&ports, state, direction))
            .collect();
        assert_eq!(netlink.exchange(&mut four), [Ack::Done; 4]);
    }
    report("of four policies installed", began);
    let mut seen = Vec::new();
    netlink
        .dump(dump_policies(), |body| seen.extend(SeenPolicy::parse(body)))
        .unwrap();
    assert_eq!(seen.len(), 4 * usize::from(SETS));
    let began = Instant::now();
    for four in seen.chunks(4) {
        let mut four: Vec<_> = four.iter().map(delete_policy).collect();
        assert!(netlink.exchange(&mut four).iter().all(|ack| *ack == Ack::Done));
    }
    report("of four policies removed", began);
}

/// The whole way: through the thread, with real states.
#[test]
#[ignore = "a figure: needs a network namespace of its own, and a kernel with ESP"]
fn sets_with_real_states() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut xfrm = Xfrm::start(&ports()).unwrap();
        let before = slab();
        let began = Instant::now();
        for number in 0..SETS {
            xfrm.ask(XfrmOutput::Install {
                set: set(number),
                lifetime: Duration::from_secs(3_600),
            });
        }
        for _ in 0..SETS {
            let answer = answer(&mut xfrm).await;
            assert!(matches!(answer, XfrmInput::Installed { .. }), "{answer:?}");
        }
        report("installed", began);
        let kib = slab().saturating_sub(before);
        println!("{} octets of kernel memory a set", kib * 1_024 / u64::from(SETS));
        let began = Instant::now();
        let mut netlink = Netlink::open().unwrap();
        let mut states = 0_u32;
        netlink
            .dump(dump_states(), |body| {
                states += u32::from(SeenState::parse(body).is_some())
            })
            .unwrap();
        assert_eq!(states, 4 * u32::from(SETS));
        report("listed", began);
        let began = Instant::now();
        for number in 0..SETS {
            xfrm.ask(XfrmOutput::Remove {
                id: SaSetId(u64::from(number)),
            });
        }
        for _ in 0..SETS {
            answer(&mut xfrm).await;
        }
        report("removed", began);
        xfrm.remove_states().await;
        xfrm.remove_policies().await;
    });
}

fn set(number: u16) -> Arc<SaSet> {
    let [high, low] = number.to_be_bytes();
    let ue = |port| SocketAddr::from(([198, 51, high, low], port));
    let us = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let flows = [
        (ue(5_061), us(6_101)),
        (us(6_101), ue(5_061)),
        (us(6_102), ue(5_062)),
        (ue(5_062), us(6_102)),
    ];
    let mut spi = 4_096 + 4 * u32::from(number);
    let states = flows.map(|(source, destination)| {
        spi += 1;
        SaState {
            spi,
            source,
            destination,
        }
    });
    Arc::new(SaSet {
        id: SaSetId(u64::from(number)),
        suite: Suite {
            integrity: Integrity::HmacSha1_96,
            encryption: Encryption::AesCbc,
        },
        keys: Arc::new(EspKeys {
            integrity: vec![1; 20].into(),
            encryption: vec![2; 16].into(),
        }),
        states,
    })
}

async fn answer(xfrm: &mut Xfrm) -> XfrmInput {
    let heard = std::future::poll_fn(|task| match xfrm.poll(task) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    timeout(END_PATIENCE, heard).await.expect("no answer");
    xfrm.next().unwrap().0
}
