//! Testkit: the engine of this suite. Seeded, so that a run can be repeated; with a corpus that is kept, so that what was
//! found once is tried in every run; with a shrinker, so that what is found can be read.
//!
//! A target is a check of octets. The octets of the corpus are checked first, then octets that the target's generator
//! makes of the corpus. Both go through `bolero`; under `cargo bolero` the check is given to libFuzzer as it is.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bolero::TestTarget;
use bolero::bolero_engine::driver::{self, Options};
use bolero::bolero_engine::{Engine, Input, Test, panic};
use bolero::generator::ValueGenerator;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::dice::{Dice, DriverDice};

/// What a check thought of its input. Both are good; a panic is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The code under test took it, and the properties of what is taken were checked.
    Accepted,
    /// The code under test refused it.
    Refused,
}

impl Verdict {
    pub(crate) fn of(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

/// What is fuzzed.
pub(crate) struct Target {
    /// The folder of its corpus.
    pub(crate) name: &'static str,
    /// Checks one input.
    pub(crate) check: fn(&[u8]) -> Verdict,
    /// Makes an input out of the corpus.
    pub(crate) generate: fn(&mut dyn Dice, &[Vec<u8>]) -> Vec<u8>,
    /// Inputs of a short run.
    pub(crate) iterations: u64,
}

/// Of the generated inputs at least so many in a hundred must be accepted: what refuses all is not tested.
const ACCEPTED_PERCENT_MIN: usize = 30;
/// Generated inputs from which that share means something.
const SHARE_COUNTS_FROM: usize = 200;
/// No input of ours is so large that it may take so long, in any build on any machine.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);
const SHRINK_TIME_MAX: Duration = Duration::from_secs(20);

/// How long to go on, and from which seed: `FUZZ_ITERATIONS`, `FUZZ_SECS`, `FUZZ_SEED`. `FUZZ_TARGET` runs one target only.
struct Plan {
    seed: u64,
    iterations: u64,
    time: Option<Duration>,
}

impl Plan {
    fn of(target: &Target) -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let time = number("FUZZ_SECS").map(Duration::from_secs);
        let default = time.map_or(target.iterations, |_| u64::MAX);
        Self {
            seed: number("FUZZ_SEED").unwrap_or(1),
            iterations: number("FUZZ_ITERATIONS").unwrap_or(default),
            time,
        }
    }
}

/// Runs a target: its corpus, then generated inputs.
pub(crate) fn run(target: &'static Target) {
    if std::env::var("FUZZ_TARGET").is_ok_and(|wanted| wanted != target.name) {
        return;
    }
    panic::set_hook();
    let seeds = corpus(target);
    assert!(!seeds.is_empty(), "{} has no corpus", target.name);
    let (mut corpus_accepted, started) = (0, now());
    for (path, bytes) in &seeds {
        match checked(target, bytes) {
            Ok(verdict) => corpus_accepted += usize::from(verdict == Verdict::Accepted),
            Err(what) => panic!("{}: {what}", path.display()),
        }
    }
    assert!(
        corpus_accepted > 0,
        "{}: nothing of the corpus is accepted",
        target.name
    );
    let (plan, accepted) = (Plan::of(target), AtomicUsize::new(0));
    let inputs = Inputs {
        generate: target.generate,
        seeds: seeds.into_iter().map(|(_, bytes)| bytes).collect(),
    };
    let count = TestTarget::<bolero::ByteSliceGenerator, Seeded, _>::new(Seeded { target, plan })
        .with_generator(inputs)
        .for_each(|bytes: &Octets| {
            if timed(target, &bytes.0) == Verdict::Accepted {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        });
    let accepted = accepted.into_inner();
    println!(
        "fuzz {}: {count} inputs, {accepted} accepted, {:.1} s",
        target.name,
        started.elapsed().as_secs_f32()
    );
    assert!(
        count < SHARE_COUNTS_FROM || accepted * 100 >= count * ACCEPTED_PERCENT_MIN,
        "{}: only {accepted} of {count} generated inputs were accepted",
        target.name
    );
}

fn timed(target: &Target, bytes: &[u8]) -> Verdict {
    let started = now();
    let verdict = (target.check)(bytes);
    let took = started.elapsed();
    assert!(took < INPUT_TIME_MAX, "{} octets took {took:?}", bytes.len());
    verdict
}

fn checked(target: &Target, bytes: &[u8]) -> Result<Verdict, String> {
    catch_unwind(AssertUnwindSafe(|| timed(target, bytes)))
        .map_err(|_| panic::take_panic().map_or_else(|| "a panic".to_owned(), |error| error.to_string()))
}

fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target.name)
}

/// The kept inputs, by name.
pub(crate) fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path, bytes)
        })
        .collect()
}

/// Octets whose `Debug` is short.
pub(crate) struct Octets(pub(crate) Vec<u8>);

impl std::fmt::Debug for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A target's generator as `bolero` wants it.
struct Inputs {
    generate: fn(&mut dyn Dice, &[Vec<u8>]) -> Vec<u8>,
    seeds: Vec<Vec<u8>>,
}

impl ValueGenerator for Inputs {
    type Output = Octets;

    fn generate<D: bolero::Driver>(&self, driver: &mut D) -> Option<Octets> {
        Some(Octets((self.generate)(&mut DriverDice(driver), &self.seeds)))
    }
}

/// An engine whose inputs follow from a number. The one that comes with `bolero` asks the operating system.
struct Seeded {
    target: &'static Target,
    plan: Plan,
}

impl<T: Test<Value = Octets>> Engine<T> for Seeded {
    type Output = usize;

    fn run(self, mut test: T, options: Options) -> usize {
        let (started, mut count) = (now(), 0);
        for n in 0..self.plan.iterations {
            if self.plan.time.is_some_and(|time| started.elapsed() >= time) {
                break;
            }
            let seed = self.plan.seed.wrapping_add(n);
            if let Err(error) = test.test(&mut Draw::new(seed, &options)) {
                let found = test.generate_value(&mut Draw::new(seed, &options));
                self.keep(seed, &found.0, &error.to_string());
            }
            count += 1;
        }
        count
    }
}

impl Seeded {
    /// Shrinks what was found and leaves it in the corpus.
    fn keep(&self, seed: u64, found: &[u8], what: &str) -> ! {
        panic::forward_panic(false);
        let least = shrink(found, |bytes| checked(self.target, bytes).is_err());
        let now_what = checked(self.target, &least).err();
        panic::forward_panic(true);
        let path = folder(self.target).join(format!("found-{seed}"));
        let kept = fs::write(&path, &least).is_ok();
        panic!(
            "{} FUZZ_SEED={seed}: {}\n{} octets{}: {:?}",
            self.target.name,
            now_what.as_deref().unwrap_or(what),
            least.len(),
            if kept {
                format!(", kept as {}", path.display())
            } else {
                String::new()
            },
            String::from_utf8_lossy(least.get(..800).unwrap_or(&least))
        );
    }
}

/// Leaves out whatever can be left out.
fn shrink(found: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let started = now();
    let mut least = found.to_vec();
    let mut size = least.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < least.len() {
            if started.elapsed() > SHRINK_TIME_MAX {
                return least;
            }
            let mut less = least.clone();
            less.drain(at..(at + size).min(least.len()));
            if fails(&less) {
                least = less;
            } else {
                at += size;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    least
}

/// One input's chance.
struct Draw {
    driver: driver::Rng<StdRng>,
}

impl Draw {
    fn new(seed: u64, options: &Options) -> Self {
        let driver = driver::Rng::new(StdRng::seed_from_u64(seed), options);
        Self { driver }
    }
}

impl<Output> Input<Output> for Draw {
    type Driver = driver::Rng<StdRng>;

    fn with_slice<F: FnMut(&[u8]) -> Output>(&mut self, f: &mut F) -> Output {
        f(&[])
    }

    fn with_driver<F: FnMut(&mut Self::Driver) -> Output>(&mut self, f: &mut F) -> Output {
        f(&mut self.driver)
    }
}

#[allow(clippy::disallowed_methods, reason = "how long a run and an input took")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Time that this thread has spent on a processor, where the system tells it; elsewhere the time since `start`.
fn spent(start: Instant) -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Checks that eight times as much costs about eight times as much and not its square. The best of some tries counts,
/// since a machine has other things to do.
pub(crate) fn assert_linear(what: &str, make: impl Fn(usize) -> Vec<u8>, check: impl Fn(&[u8])) {
    let start = now();
    let best = |size: usize| {
        let input = make(size);
        (0..7)
            .map(|_| {
                let before = spent(start);
                check(&input);
                spent(start).saturating_sub(before)
            })
            .min()
            .unwrap_or_default()
    };
    let (small, large) = (best(6_000), best(48_000));
    assert!(
        large < small * 24 + Duration::from_millis(20),
        "{what}: 6 kB took {small:?}, 48 kB took {large:?}"
    );
}
