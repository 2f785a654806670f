//! Testkit: configuration files: refused with a complaint, or effective, printed, and effective again.

use ims_common::config::{DaemonConfig, effective, parse};
use ims_common::node::Seed;

use crate::dice::{Dice, changed, few};
use crate::engine::{Target, Verdict};

static TARGET: Target = Target {
    name: "config",
    check,
    generate,
    iterations: 1_000,
};

#[test]
fn every_configuration_is_refused_or_prints_as_what_reads_the_same() {
    fuzz!(TARGET);
}

const WORDS: [&[u8]; 22] = [
    b"\n",
    b"  ",
    b": ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"- ",
    b"\"",
    b"#",
    b"null",
    b"4m",
    b"1s",
    b"0",
    b"-1",
    b"99999999999999999999",
    b"dns",
    b"[::1]:5060",
    b"0.0.0.0",
    b"&a ",
    b"*a",
    b"!!str ",
];

fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = changed(dice, seeds, &WORDS);
    if dice.one_in(3) {
        // Comments become keys, and lines move.
        let text = String::from_utf8_lossy(&seeds[dice.below(seeds.len())]).into_owned();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for _ in 0..few(dice) {
            let at = dice.below(lines.len());
            match dice.below(3) {
                0 => lines[at] = lines[at].replacen("# ", "", 1),
                1 => drop(lines.remove(at)),
                _ => {
                    let next = (at + 1) % lines.len();
                    lines.swap(at, next);
                }
            }
            if lines.is_empty() {
                break;
            }
        }
        bytes = lines.join("\n").into_bytes();
    }
    bytes
}

fn check(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Verdict::Refused;
    };
    let taken = [
        is_taken::<pcscf::PcscfConfig>(text),
        is_taken::<icscf::IcscfConfig>(text),
        is_taken::<scscf::ScscfConfig>(text),
    ];
    Verdict::of(taken.contains(&true))
}

fn is_taken<T: DaemonConfig>(text: &str) -> bool {
    match parse::<T>(T::NAME, text) {
        Ok(config) => {
            let shown = effective(T::NAME, &config).expect("what is read can be printed");
            let again = parse::<T>(T::NAME, &shown).unwrap_or_else(|e| panic!("{e}\n{shown}"));
            assert_eq!(effective(T::NAME, &again).expect("printed once more"), shown);
            if let Err(error) = config.build(Seed::from_number(1)) {
                assert!(error.to_string().contains(T::NAME), "{error}");
            }
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}
