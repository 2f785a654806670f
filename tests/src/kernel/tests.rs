use ims_common::aka::Secret;
use ims_common::ipsec::{Encryption, Integrity};

use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ends() -> [SocketAddr; 4] {
    [
        "192.0.2.10:1000",
        "192.0.2.1:6101",
        "192.0.2.1:6100",
        "192.0.2.10:1001",
    ]
    .map(at)
}

fn set(id: u64, spi: u32, key: u8) -> Arc<SaSet> {
    let [uc, ps, pc, us] = ends();
    let state = |spi, source, destination| SaState {
        spi,
        source,
        destination,
    };
    Arc::new(SaSet {
        id: SaSetId(id),
        suite: Suite {
            integrity: Integrity::HmacSha1_96,
            encryption: Encryption::Null,
        },
        keys: Arc::new(EspKeys {
            integrity: Secret::new(vec![key; 20]),
            encryption: Secret::new(Vec::new()),
        }),
        states: [
            state(spi, uc, ps),
            state(spi + 1, ps, uc),
            state(spi + 2, pc, us),
            state(spi + 3, us, pc),
        ],
    })
}

fn install(kernel: &mut Kernel, now: Instant, set: &Arc<SaSet>) -> XfrmInput {
    let request = XfrmOutput::Install {
        set: Arc::clone(set),
        lifetime: Duration::from_secs(240),
    };
    kernel.ask(now, &request).unwrap().1
}

/// The kernels of a phone and of a P-CSCF, with these sets.
fn kernels(ue: &Arc<SaSet>, network: &Arc<SaSet>) -> (Kernel, Kernel, Instant) {
    let now = crate::world::epoch();
    let [uc, ps, pc, us] = ends();
    let (mut a, mut b) = (Kernel::default(), Kernel::default());
    [uc, us].into_iter().for_each(|port| a.protect(port));
    [ps, pc].into_iter().for_each(|port| b.protect(port));
    install(&mut a, now, ue);
    install(&mut b, now, network);
    (a, b, now)
}

fn sealed(kernel: &mut Kernel) -> Envelope {
    let [uc, ps, ..] = ends();
    match kernel.seal(uc, ps, 100) {
        Sealed::Esp(envelope) => envelope,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_packet_passes_once_between_equal_states_and_is_counted_on_both_sides() {
    let (mut a, mut b, _) = kernels(&set(1, 300, 1), &set(7, 300, 1));
    let [uc, ps, ..] = ends();
    let envelope = sealed(&mut a);
    assert_eq!(b.open(uc, ps, Some(&envelope), 100), Ok(()));
    assert_eq!(b.open(uc, ps, Some(&envelope), 100), Err(Dropped::Replay));
    let one = Traffic {
        packets: 1,
        octets: 157,
    };
    let none = Traffic::default();
    assert_eq!(a.traffic(SaSetId(1)), Some([one, none, none, none]));
    assert_eq!(b.traffic(SaSetId(7)), Some([one, none, none, none]));
}

#[test]
fn a_packet_that_does_not_fit_is_dropped_by_its_reason() {
    let [uc, ps, pc, _] = ends();
    for (network, why) in [
        (set(7, 400, 1), Dropped::NoState),
        (set(7, 300, 2), Dropped::Integrity),
    ] {
        let (mut a, mut b, _) = kernels(&set(1, 300, 1), &network);
        assert_eq!(b.open(uc, ps, Some(&sealed(&mut a)), 100), Err(why));
        assert_eq!(b.dropped(why), 1);
    }
    let (mut a, mut b, _) = kernels(&set(1, 300, 1), &set(7, 300, 1));
    assert_eq!(b.open(uc, pc, Some(&sealed(&mut a)), 100), Err(Dropped::Selector));
    assert_eq!(b.open(uc, ps, None, 100), Err(Dropped::Clear));
    assert_eq!(b.open(at("192.0.2.99:1"), ps, None, 100), Err(Dropped::Clear));
    assert_eq!(b.open(uc, at("192.0.2.1:5060"), None, 100), Ok(()));
    assert!(matches!(a.seal(uc, at("192.0.2.1:6999"), 1), Sealed::Blocked));
    assert!(matches!(a.seal(at("192.0.2.10:5060"), ps, 1), Sealed::Clear));
}

#[test]
fn a_state_is_known_by_its_spi_and_destination_and_a_set_is_there_whole_or_not_at_all() {
    let (mut a, _, now) = kernels(&set(1, 300, 1), &set(7, 300, 1));
    let failed = |id, failure| XfrmInput::InstallFailed {
        id: SaSetId(id),
        failure,
    };
    // SPI 303 towards the P-CSCF is there.
    assert_eq!(
        install(&mut a, now, &set(2, 303, 1)),
        failed(2, XfrmFailure::Exists)
    );
    a.fail_next([Fault::ThirdOfFour, Fault::Refuse(XfrmFailure::NotPermitted)]);
    assert_eq!(
        install(&mut a, now, &set(3, 500, 1)),
        failed(3, XfrmFailure::KernelFull)
    );
    assert_eq!(
        install(&mut a, now, &set(4, 500, 1)),
        failed(4, XfrmFailure::NotPermitted)
    );
    assert_eq!(a.states(), 4);
    a.set_states_max(Some(7));
    assert_eq!(
        install(&mut a, now, &set(5, 500, 1)),
        failed(5, XfrmFailure::KernelFull)
    );
    a.set_states_max(None);
    assert_eq!(
        install(&mut a, now, &set(5, 500, 1)),
        XfrmInput::Installed { id: SaSetId(5) }
    );
    assert_eq!(
        install(&mut Kernel::default(), now, &set(6, 600, 1)),
        failed(6, XfrmFailure::NoIpsec)
    );
}

#[test]
fn a_set_ends_at_its_time_unless_it_is_extended_and_of_two_the_newest_is_used() {
    let (mut a, _, now) = kernels(&set(1, 300, 1), &set(7, 300, 1));
    install(&mut a, now, &set(2, 500, 1));
    assert_eq!(sealed(&mut a).spi, 500);
    let later = now + Duration::from_secs(200);
    let request = XfrmOutput::Extend {
        set: set(2, 500, 1),
        lifetime: Duration::from_secs(100),
    };
    assert_eq!(
        a.ask(later, &request).unwrap().1,
        XfrmInput::Extended { id: SaSetId(2) }
    );
    assert_eq!(a.next_expiry(), Some(now + Duration::from_secs(240)));
    let gone = |id, cause| XfrmInput::Gone {
        id: SaSetId(id),
        cause,
    };
    assert_eq!(
        a.expire(now + Duration::from_secs(240)),
        [gone(1, GoneCause::Expired)]
    );
    assert_eq!(a.lifetime(later, SaSetId(2)), Some(Duration::from_secs(100)));
    assert_eq!(
        a.delete_behind_its_back(SaSetId(2)),
        Some(gone(2, GoneCause::Deleted))
    );
    assert_eq!(a.states(), 0);
}
