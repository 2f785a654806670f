//! Shell: the project's own CI, the same at home and on the server: `cargo ci fast|sim|e2e|ipsec|fuzz|pure|all`.
//!
//! `make test` is set-up plus `cargo ci all`, which fuzzes for a short time; `cargo ci fuzz [TARGET] [--secs N | --iterations N]
//! [--seed N]` goes on for so long on each target. Each step prints its command, so that it can be run alone.

use std::process::{Command, ExitCode};
use std::time::Instant;

/// One command of the pipeline.
struct Step<'a> {
    name: &'a str,
    argv: &'a [&'a str],
    env: &'a [(&'a str, &'a str)],
}

const fn step<'a>(name: &'a str, argv: &'a [&'a str]) -> Step<'a> {
    Step { name, argv, env: &[] }
}

const FORMAT: Step<'static> = step("format", &["cargo", "fmt", "--all", "--check"]);
const LINTS: Step<'static> = step(
    "lints",
    &[
        "cargo",
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
);
/// The core: without the shell no tokio, no sockets, no clock.
const CORE: [&str; 5] = ["ims-common", "hss-client", "pcscf", "icscf", "scscf"];
const BINARIES: Step<'static> = step(
    "binaries",
    &[
        "cargo",
        "build",
        "--locked",
        "--bins",
        "-p",
        "pcscf",
        "-p",
        "icscf",
        "-p",
        "scscf",
        "-p",
        "ims-tests",
        "-p",
        "ims-common",
    ],
);
/// After [`BINARIES`].
const TESTS: Step<'static> = Step {
    name: "tests",
    argv: &["cargo", "test", "--locked", "--workspace", "--quiet"],
    env: &[("IMS_BINARIES_ARE_BUILT", "1")],
};
const DOCS: Step<'static> = Step {
    name: "documentation",
    argv: &[
        "cargo",
        "doc",
        "--locked",
        "--workspace",
        "--no-deps",
        "--quiet",
        "--lib",
    ],
    env: &[("RUSTDOCFLAGS", "-D warnings")],
};
const LAB: Step<'static> = step(
    "lab, one round",
    &[
        "cargo",
        "run",
        "--quiet",
        "--locked",
        "-p",
        "ims-tests",
        "--bin",
        "vm",
        "--",
        "lab",
        "--ipsec",
        "--once",
    ],
);
const TIDY: Step<'static> = step(
    "tidy",
    &[
        "cargo",
        "test",
        "--locked",
        "--quiet",
        "-p",
        "ims-tests",
        "--test",
        "tidy",
    ],
);
const SIM: Step<'static> = step(
    "simulation",
    &[
        "cargo",
        "test",
        "--locked",
        "--quiet",
        "-p",
        "ims-tests",
        "--test",
        "sim",
    ],
);
const E2E: Step<'static> = step(
    "end to end",
    &[
        "cargo",
        "test",
        "--locked",
        "--quiet",
        "-p",
        "ims-tests",
        "--test",
        "e2e",
    ],
);

const FUZZ: Step<'static> = step(
    "fuzz",
    &[
        "cargo",
        "test",
        "--locked",
        "--quiet",
        "--profile",
        "fuzz",
        "-p",
        "ims-tests",
        "--test",
        "fuzz",
        "--",
        "--nocapture",
        "--test-threads",
        "1",
    ],
);

fn main() -> ExitCode {
    let job = std::env::args().nth(1).unwrap_or_else(|| "all".to_owned());
    let outcome = match job.as_str() {
        "fast" => run_all(&[&FORMAT, &LINTS, &TIDY, &SIM, &DOCS]).and_then(|()| pure()),
        "sim" => run_all(&[&SIM]),
        "e2e" => run_all(&[&BINARIES, &E2E]),
        "ipsec" => run_all(&[&BINARIES]).and_then(|()| ipsec(&job)),
        "fuzz" => fuzz(),
        "pure" => pure(),
        "all" => run_all(&[&FORMAT, &LINTS, &BINARIES, &TESTS])
            .and_then(|()| ipsec(&job))
            .and_then(|()| run_all(&[&LAB, &DOCS]))
            .and_then(|()| pure()),
        other => Err(format!(
            "unknown job '{other}'; expected fast, sim, e2e, ipsec, fuzz, pure or all"
        )),
    };
    match outcome {
        Ok(()) => {
            println!("ci {job}: all steps held");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("ci {job}: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run_all(steps: &[&Step<'_>]) -> Result<(), String> {
    steps.iter().try_for_each(|step| run(step))
}

fn run(step: &Step<'_>) -> Result<(), String> {
    println!("ci: {} $ {}", step.name, step.argv.join(" "));
    let started = now();
    let (program, arguments) = step.argv.split_first().ok_or("a step without a command")?;
    let status = Command::new(program)
        .args(arguments)
        .envs(step.env.iter().copied())
        .status()
        .map_err(|error| format!("{}: cannot start {program}: {error}", step.name))?;
    println!("ci: {} took {:.1} s", step.name, started.elapsed().as_secs_f32());
    if status.success() {
        Ok(())
    } else {
        Err(format!("step '{}' failed", step.name))
    }
}

/// The suite on real ESP, by way of the program `vm`: with this kernel where it can, else in a virtual machine. `--vm` and
/// `--native` choose; any other argument goes to the test binary (`cargo ci ipsec NAME` runs the tests so named).
fn ipsec(job: &str) -> Result<(), String> {
    let machine = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut runner = machine.with_file_name("vm").display().to_string();
    let mut argv = vec![
        "cargo",
        "test",
        "--locked",
        "-p",
        "ims-tests",
        "--test",
        "ipsec",
        "--",
    ];
    argv.extend(["--include-ignored", "--test-threads", "2"]);
    let chosen: Vec<String> = match job {
        "ipsec" => std::env::args().skip(2).collect(),
        _ => Vec::new(),
    };
    for argument in &chosen {
        match argument.as_str() {
            "--vm" | "--native" => runner += &format!(" {argument}"),
            other => argv.push(other),
        }
    }
    let triple = format!("{}_UNKNOWN_LINUX_GNU", std::env::consts::ARCH.to_uppercase());
    let variable = format!("CARGO_TARGET_{triple}_RUNNER");
    run(&Step {
        name: "IPsec",
        argv: &argv,
        env: &[(&variable, &runner)],
    })
}

/// Each target, or the one that is named, for `--secs N` (60 unless said) or `--iterations N`, from `--seed N` on.
/// A seed that is not said is the number of the present second, so that no two runs are the same.
fn fuzz() -> Result<(), String> {
    let mut env: Vec<(&str, String)> = vec![("FUZZ_SEED", fresh_seed())];
    let mut arguments = std::env::args().skip(2);
    while let Some(argument) = arguments.next() {
        let name = match argument.as_str() {
            "--secs" => "FUZZ_SECS",
            "--iterations" => "FUZZ_ITERATIONS",
            "--seed" => "FUZZ_SEED",
            target => {
                env.push(("FUZZ_TARGET", target.to_owned()));
                continue;
            }
        };
        let number = arguments.next().filter(|text| text.parse::<u64>().is_ok());
        env.push((name, number.ok_or_else(|| format!("{argument} wants a number"))?));
    }
    if !env
        .iter()
        .any(|(name, _)| matches!(*name, "FUZZ_SECS" | "FUZZ_ITERATIONS"))
    {
        env.push(("FUZZ_SECS", "60".to_owned()));
    }
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    println!("ci: fuzz with {env:?}");
    run(&Step { env: &env, ..FUZZ })
}

/// Purity is proved: the core compiles without its shell, without tokio among its dependencies, and for wasm
/// where that target is installed.
fn pure() -> Result<(), String> {
    check_core("pure core", &[])?;
    for package in CORE {
        let tree = output(&[
            "cargo",
            "tree",
            "--locked",
            "-e",
            "normal",
            "--no-default-features",
            "-p",
            package,
        ])?;
        for banned in ["tokio v", "socket2 v", "hickory", "rtnetlink v"] {
            if tree.contains(banned) {
                return Err(format!("{package} without its shell still depends on {banned}"));
            }
        }
    }
    println!("ci: no package of the core depends on tokio without its shell");
    let installed = output(&[
        "rustc",
        "--print",
        "target-libdir",
        "--target",
        "wasm32-unknown-unknown",
    ])?;
    if std::path::Path::new(installed.trim()).is_dir() {
        check_core("pure core for wasm", &["--target", "wasm32-unknown-unknown"])
    } else {
        println!("ci: the target wasm32-unknown-unknown is not installed here: the wasm build is left out");
        Ok(())
    }
}

fn check_core(name: &str, options: &[&str]) -> Result<(), String> {
    let mut argv = vec!["cargo", "check", "--locked", "--lib", "--no-default-features"];
    argv.extend(options);
    argv.extend(CORE.iter().flat_map(|package| ["-p", package]));
    run(&step(name, &argv))
}

fn output(argv: &[&str]) -> Result<String, String> {
    let (program, arguments) = argv.split_first().ok_or("no command")?;
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    } else {
        Err(format!(
            "{} failed: {}",
            argv.join(" "),
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

#[allow(clippy::disallowed_methods, reason = "shell: how long a step took")]
fn now() -> Instant {
    Instant::now()
}

#[allow(
    clippy::disallowed_methods,
    reason = "shell: a number that differs from run to run"
)]
fn fresh_seed() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Far apart, since each input of a run takes the next number.
    (since.map_or(1, |since| since.as_secs()) << 32).to_string()
}
