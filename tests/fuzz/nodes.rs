//! Testkit: whole nodes against scripts: what comes in, in which order, after how long, and what the neighbours answer.
//!
//! A script is text, so that it can be read when it fails and changed like any other text ([`script`]). Around the node is a
//! [`bench`] that plays the neighbours and checks after every step: no panic, few outputs, tables within their limits, one
//! answer for each request, nothing on Gm that belongs to the network.

mod bench;
mod hss;
mod kernel;
mod rules;
mod script;

use ims_common::config::{DaemonConfig, parse};
use ims_common::net::Interface;
use ims_common::node::Seed;

use self::bench::{Bench, Limit, NetNode};
use crate::engine::{Target, Verdict, corpus};

pub(crate) const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";

static PCSCF: Target = Target {
    name: "node_pcscf",
    check: |script| {
        play(
            script,
            &[Interface::Gm, Interface::Mw],
            build::<pcscf::PcscfConfig>,
            PCSCF_FILE,
            PCSCF_LIMITS,
        )
    },
    generate: script::generate,
    iterations: 800,
};

static PROTECTED_PCSCF: Target = Target {
    name: "node_pcscf_ipsec",
    check: |script| {
        play(
            script,
            &[Interface::Gm, Interface::GmProtected, Interface::Mw],
            build::<pcscf::PcscfConfig>,
            PROTECTED_PCSCF_FILE,
            PROTECTED_PCSCF_LIMITS,
        )
    },
    generate: script::generate,
    iterations: 800,
};

static ICSCF: Target = Target {
    name: "node_icscf",
    check: |script| {
        play(
            script,
            &[Interface::Mw],
            build::<icscf::IcscfConfig>,
            ICSCF_FILE,
            ICSCF_LIMITS,
        )
    },
    generate: script::generate,
    iterations: 800,
};

static SCSCF: Target = Target {
    name: "node_scscf",
    check: |script| {
        play(
            script,
            &[Interface::Mw],
            build::<scscf::ScscfConfig>,
            SCSCF_FILE,
            SCSCF_LIMITS,
        )
    },
    generate: script::generate,
    iterations: 800,
};

#[test]
fn no_order_of_inputs_breaks_a_pcscf() {
    fuzz!(PCSCF);
}

#[test]
fn no_order_of_inputs_breaks_a_pcscf_with_ipsec() {
    fuzz!(PROTECTED_PCSCF);
}

#[test]
fn no_order_of_inputs_breaks_an_icscf() {
    fuzz!(ICSCF);
}

#[test]
fn no_order_of_inputs_breaks_an_scscf() {
    fuzz!(SCSCF);
}

const PCSCF_FILE: &str = "pcscf: {home_realm: ims.mnc001.mcc001.3gppnetwork.org, gm: {address: 192.0.2.1, security: none}, mw: {address: 192.0.2.2}, \
     icscf: [\"sip:192.0.2.3\", \"sip:icscf.h.example\"], contacts: 4, reg_event: {subscribe: false}, \
     limits: {transactions: 24, message_bytes: 16000}}";

const PROTECTED_PCSCF_FILE: &str = "pcscf: {home_realm: ims.mnc001.mcc001.3gppnetwork.org, gm: {address: 192.0.2.1, security: ipsec}, \
     mw: {address: 192.0.2.2}, ipsec: {sets_max: 6}, \
     icscf: [\"sip:192.0.2.3\", \"sip:icscf.h.example\"], contacts: 4, reg_event: {subscribe: false}, \
     limits: {transactions: 24, message_bytes: 16000}}";

const ICSCF_FILE: &str = "icscf: {home_realm: ims.mnc001.mcc001.3gppnetwork.org, mw: {address: 192.0.2.3}, \
     hss: {peers: [192.0.2.5], origin_host: icscf.h.example, listen: \"192.0.2.3:3868\"}, cx: {outstanding: 6, in_flight: 2}, \
     scscfs: [{uri: \"sip:scscf1.h.example\", capabilities: [1, 2]}, {uri: \"sip:192.0.2.6\", capabilities: [2]}], \
     limits: {transactions: 24, message_bytes: 16000}}";

const SCSCF_FILE: &str = "scscf: {home_realm: ims.mnc001.mcc001.3gppnetwork.org, mw: {address: 192.0.2.4}, \
     server_name: \"sip:scscf1.ims.mnc001.mcc001.3gppnetwork.org\", \
     hss: {peers: [192.0.2.5], origin_host: scscf1.h.example, listen: \"192.0.2.4:3868\"}, cx: {outstanding: 6, in_flight: 2}, \
     registration: {unprotected_response: accept, bindings_per_impu: 2, bindings: 5, challenges: 3}, \
     limits: {transactions: 24, message_bytes: 16000}}";

/// Of one side each: the limit is checked for servers and for clients by itself.
const TRANSACTIONS: [Limit; 2] = [
    Limit::of_side("ims_sip_transactions", "server", 24),
    Limit::of_side("ims_sip_transactions", "client", 24),
];
const PCSCF_LIMITS: &[Limit] = &[
    TRANSACTIONS[0],
    TRANSACTIONS[1],
    Limit::new("ims_pcscf_contacts", 4),
    Limit::new("ims_pcscf_registers_pending", 24),
];
const PROTECTED_PCSCF_LIMITS: &[Limit] = &[
    TRANSACTIONS[0],
    TRANSACTIONS[1],
    Limit::new("ims_pcscf_contacts", 4),
    Limit::new("ims_pcscf_registers_pending", 24),
    Limit::new("ims_pcscf_challenges_waiting", 6),
    Limit::new("ims_pcscf_sa_sets", 6),
];
const ICSCF_LIMITS: &[Limit] = &[
    TRANSACTIONS[0],
    TRANSACTIONS[1],
    Limit::new("ims_cx_requests_pending", 6),
    Limit::new("ims_icscf_queries_pending", 24),
];
const SCSCF_LIMITS: &[Limit] = &[
    TRANSACTIONS[0],
    TRANSACTIONS[1],
    Limit::new("ims_cx_requests_pending", 6),
    Limit::new("ims_scscf_bindings", 5),
    Limit::new("ims_scscf_challenges", 3),
];

fn build<T: DaemonConfig>(file: &str) -> Box<NetNode> {
    let config: T = parse(T::NAME, file).unwrap_or_else(|e| panic!("{e}"));
    let (node, _) = config
        .build(Seed::from_number(7))
        .unwrap_or_else(|e| panic!("{e}"));
    Box::new(node)
}

fn play(
    bytes: &[u8],
    interfaces: &'static [Interface],
    build: fn(&str) -> Box<NetNode>,
    file: &str,
    limits: &'static [Limit],
) -> Verdict {
    let mut bench = Bench::new(build(file), interfaces, limits);
    for step in script::steps(bytes) {
        bench.step(&step);
    }
    bench.end();
    Verdict::of(bench.was_understood())
}

/// The highest that a gauge gets in any script of the corpus.
fn peak(target: &Target, mut bench: impl FnMut() -> Bench, gauge: &str) -> u64 {
    let scripts = corpus(target).into_iter().map(|(_, bytes)| {
        let mut bench = bench();
        script::steps(&bytes).iter().for_each(|step| bench.step(step));
        bench.peak(gauge)
    });
    scripts.max().unwrap_or_default()
}

#[test]
fn the_scripts_of_the_corpus_register_phones_and_fill_the_tables() {
    let gm_and_mw = &[Interface::Gm, Interface::Mw];
    let pcscf = || Bench::new(build::<pcscf::PcscfConfig>(PCSCF_FILE), gm_and_mw, PCSCF_LIMITS);
    assert!(peak(&PCSCF, pcscf, "ims_pcscf_contacts") >= 2);
    let protected = || {
        Bench::new(
            build::<pcscf::PcscfConfig>(PROTECTED_PCSCF_FILE),
            &[Interface::Gm, Interface::GmProtected, Interface::Mw],
            PROTECTED_PCSCF_LIMITS,
        )
    };
    assert!(peak(&PROTECTED_PCSCF, protected, "ims_pcscf_contacts") >= 2);
    assert!(peak(&PROTECTED_PCSCF, protected, "ims_pcscf_sa_sets") >= 3);
    let icscf = || {
        Bench::new(
            build::<icscf::IcscfConfig>(ICSCF_FILE),
            &[Interface::Mw],
            ICSCF_LIMITS,
        )
    };
    assert!(peak(&ICSCF, icscf, "ims_cx_requests_pending") >= 6);
    assert!(peak(&ICSCF, icscf, "ims_sip_transactions") >= 2);
    let scscf = || {
        Bench::new(
            build::<scscf::ScscfConfig>(SCSCF_FILE),
            &[Interface::Mw],
            SCSCF_LIMITS,
        )
    };
    assert!(peak(&SCSCF, scscf, "ims_scscf_bindings") >= 1);
    assert!(peak(&SCSCF, scscf, "ims_scscf_challenges") >= 3);
}
