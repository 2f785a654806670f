//! Shell: runs a program where the kernel has ESP: here in namespaces of its own, or else in a virtual machine.
//!
//! `vm [--vm | --native] [--limit SECONDS] PROGRAM [ARGUMENT]...`: PROGRAM is a test binary, or anything else that was
//! built here. What it prints and its exit status are those of the program, wherever it has run. `cargo ci ipsec` makes this
//! the runner of the suite `ipsec`. The daemons that lie beside PROGRAM come with it.
#![allow(clippy::disallowed_methods, reason = "shell")]

mod image;
mod kernel;
mod machine;
mod native;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;

/// Runs a program where the kernel has ESP.
#[derive(Parser)]
#[command(name = "vm", version)]
struct Arguments {
    /// In the virtual machine, whatever the kernel of this one can do.
    #[arg(long)]
    vm: bool,
    /// With the kernel of this machine, or not at all.
    #[arg(long, conflicts_with = "vm")]
    native: bool,
    /// Another program that was built here and has to be there; inside the machine it has the same path.
    #[arg(long)]
    with: Vec<String>,
    /// Seconds after which the program is ended.
    #[arg(long, default_value_t = 600)]
    limit: u64,
    /// The machine's time is that of the clock on the wall, for those who look at it.
    #[arg(long)]
    real_time: bool,
    /// The program and its arguments; a name without a path is that of a program beside this one.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Arguments {
    fn beside(mut self) -> Result<Self> {
        let own = std::env::current_exe()?;
        if let Some(program) = self.command.first_mut().filter(|program| !program.contains('/')) {
            let path = own.with_file_name(&*program);
            *program = path.to_str().context("a path that is no UTF-8")?.to_owned();
        }
        Ok(self)
    }
}

fn main() -> ExitCode {
    match Arguments::parse().beside().and_then(|arguments| run(&arguments)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("vm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8> {
    let limit = Duration::from_secs(arguments.limit);
    if !arguments.vm {
        match native::missing()? {
            None => {
                eprintln!("vm: this kernel has ESP: running in namespaces of this machine");
                return native::run(&arguments.command, limit);
            }
            Some(what) if arguments.native => anyhow::bail!("this kernel has no {what}"),
            Some(what) => eprintln!("vm: this kernel has no {what}: running in a virtual machine"),
        }
    }
    let began = Instant::now();
    let kernel = kernel::Kernel::cached()?;
    let work = Work::new()?;
    let initrd = work.directory.join("initrd");
    image::write(&initrd, &kernel, &arguments.command, &arguments.with)
        .context("cannot make the file system of the machine")?;
    eprintln!(
        "vm: Linux {} with {} MB of programs, made in {:.1} s",
        kernel.version,
        std::fs::metadata(&initrd)?.len() / 1_000_000,
        began.elapsed().as_secs_f32()
    );
    machine::run(&work.directory, &kernel, &initrd, limit, arguments.real_time)
}

/// A directory that goes away.
struct Work {
    directory: PathBuf,
}

impl Work {
    fn new() -> Result<Self> {
        Self::remove_leftovers();
        let directory = std::env::temp_dir().join(format!("ims-vm-{}", std::process::id()));
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// Of runners that were killed.
    fn remove_leftovers() {
        let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix("ims-vm-"));
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Where programs are: also in the directories that a user's PATH may lack.
fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/bin:/sbin:/bin"
}

/// Where the system has a program.
fn found(name: &str) -> Result<PathBuf> {
    search_path()
        .split(':')
        .map(|folder| Path::new(folder).join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("the program {name} is not installed"))
}

/// Runs a program to its end: what it printed.
fn output(argv: &[&str]) -> Result<Vec<u8>> {
    let (program, arguments) = argv.split_first().context("no command")?;
    let output = std::process::Command::new(found(program)?)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{} ended with {}: {}",
        argv.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}
