//! Testkit: sets of many UEs in any order of events; what must hold does so after each of them.

use std::collections::BTreeSet;

use ims_common::ipsec::GoneCause;
use rand::Rng;

use super::*;

const UES: u16 = 6;

/// A UE of the swarm: some share an address, some share ports.
fn of(ue: u16, nth: u16, carried_by: Option<SaSetId>, rng: &mut StdRng) -> Proposal {
    let shift = if rng.random_bool(0.1) { 0 } else { ue * 100 };
    Proposal {
        impi: impi(ue),
        ue: format!("192.0.2.{}", 10 + ue / 2).parse().unwrap(),
        end: UeEnd {
            port_us: 44_000 + shift,
            port_uc: 45_000 + shift + nth,
            spi_uc: 0x1000_0000 + u32::from(shift) * 1_000 + 2 * u32::from(nth),
            spi_us: 0x1000_0001 + u32::from(shift) * 1_000 + 2 * u32::from(nth),
        },
        transport: if rng.random() {
            Transport::Udp
        } else {
            Transport::Tcp
        },
        ..proposal(1, carried_by)
    }
}

fn any(bench: &Bench, rng: &mut StdRng) -> Option<SaSetId> {
    let ids: Vec<SaSetId> = bench.kernel.keys().copied().collect();
    (!ids.is_empty()).then(|| ids[rng.random_range(0..ids.len())])
}

fn step(bench: &mut Bench, rng: &mut StdRng) {
    let id = any(bench, rng).unwrap_or(SaSetId(0));
    let expires = rng.random_range(1..700);
    match rng.random_range(0..10) {
        0..=2 => {
            let ue = rng.random_range(0..UES);
            let of_the_ue = |id: &SaSetId| bench.sas.impi(*id) == Some(&impi(ue));
            let carrier = Some(id).filter(of_the_ue);
            let established = |id: &SaSetId| bench.sas.standing(*id) == Some(Standing::Established);
            let proposal = of(ue, rng.random_range(0..5), carrier.filter(established), rng);
            let _ = bench.prepare(proposal);
        }
        3..=4 => bench.promote(id, expires),
        5 => bench.received(id),
        6 => bench.sas.extend(bench.now, id, secs(expires)),
        7 => bench.sas.fail(bench.now, id),
        8 if rng.random_bool(0.3) => {
            if let Some(impi) = bench.sas.impi(id).cloned() {
                let ue = bench.kernel[&id].states[0].source.ip();
                bench.sas.release(bench.now, &impi, ue, Some(id));
            }
        }
        8 => {
            bench.kernel.remove(&id);
            let cause = GoneCause::Deleted;
            bench.sas.on_xfrm(bench.now, XfrmInput::Gone { id, cause });
        }
        _ => bench.advance(secs(rng.random_range(0..200))),
    }
    bench.obey();
}

fn check(bench: &Bench) {
    let alive = bench.alive();
    let mut spis = BTreeSet::new();
    let mut outbound = BTreeSet::new();
    for id in &alive {
        let set = &bench.kernel[id];
        assert!(spis.insert(set.states[0].spi) && spis.insert(set.states[3].spi));
        assert!(
            outbound.insert((set.states[2].source, set.states[2].destination)),
            "two sets lead from one port of ours to one of a UE"
        );
        assert_eq!(bench.sas.set_of_flow(&bench.out(*id)), Some(*id));
        let way = bench.sas.way(&bench.out(*id)).expect("a live set has a way");
        let over = bench.sas.set_of_flow(&way).expect("over a live set");
        assert_eq!(bench.sas.impi(over), bench.sas.impi(*id), "to the same UE");
    }
    assert_eq!(bench.sas.table.spis.len(), spis.len());
    for ue in 0..UES {
        let of_ue = alive.iter().filter(|id| bench.sas.impi(**id) == Some(&impi(ue)));
        let sets: Vec<_> = of_ue.filter_map(|id| bench.sas.table.get(*id)).collect();
        let count = |stage: Stage| sets.iter().filter(|entry| entry.stage == stage).count();
        assert!(count(Stage::InUse) <= 1, "one set is in use");
        assert!(count(Stage::Temporary) <= 1, "one challenge is open");
        assert!(count(Stage::NotYetUsed) <= 1);
        assert!(sets.len() <= SETS_PER_UE + 1, "{}", sets.len());
    }
}

#[test]
fn whatever_happens_sets_stay_apart_and_nothing_is_left_behind() {
    for seed in 0..40 {
        let mut bench = Bench::new();
        let mut rng = Seed::from_number(seed).rng(1);
        for _ in 0..300 {
            step(&mut bench, &mut rng);
            check(&bench);
        }
        bench.advance(secs(2_000_000));
        assert!(bench.alive().is_empty());
        assert_eq!(bench.sas.table.spis.len(), 0);
        assert_eq!(bench.sas.poll_timeout(), None);
        assert_eq!(bench.sas.table.counts(), [0; 6]);
    }
}
