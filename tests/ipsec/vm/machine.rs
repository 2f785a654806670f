//! Shell: the machine: qemu's microvm, emulated, without any device but serial ports.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::kernel::Kernel;

/// Emulated, unless this variable names another accelerator: where KVM is itself emulated, it opens and then hangs.
const ACCELERATOR: &str = "IMS_VM_ACCELERATOR";
/// The machine's time is counted in its instructions, two nanoseconds each, and jumps while it sleeps: a busy host makes
/// no timer of ours expire early, and waiting costs nothing.
const EMULATED: [&str; 4] = ["-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off"];
const QEMU: &str = "qemu-system-x86_64";
/// One processor: with two emulated ones, packets between namespaces take several times as long.
const FIXED: [&str; 14] = [
    "-M",
    "microvm",
    "-cpu",
    "max",
    "-smp",
    "1",
    "-global",
    "virtio-mmio.force-legacy=false",
    "-nodefaults",
    "-display",
    "none",
    "-nic",
    "none",
    "-no-reboot",
];
/// The last lines of the kernel that are shown when the machine has died.
const CONSOLE_LINES: usize = 40;

/// Which time the machine has.
enum Time {
    /// That of its instructions.
    Counted,
    /// Ours, with this accelerator.
    Real(String),
}

impl Time {
    fn chosen(real_time: bool) -> Self {
        match std::env::var(ACCELERATOR) {
            Ok(accelerator) => Self::Real(accelerator),
            Err(_) if real_time => Self::Real("tcg,thread=multi".to_owned()),
            Err(_) => Self::Counted,
        }
    }
}

/// A machine that runs.
struct Machine {
    child: Child,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Boots, copies what the program prints, and gives its exit status.
pub(crate) fn run(
    work: &Path,
    kernel: &Kernel,
    initrd: &Path,
    limit: Duration,
    real_time: bool,
) -> Result<u8> {
    let time = Time::chosen(real_time);
    let end = Instant::now() + limit;
    let console = work.join("console");
    let names = ["output", "errors", "status"];
    let listeners = names
        .iter()
        .map(|name| {
            let listener = UnixListener::bind(work.join(name))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut command = Command::new(QEMU);
    command.args(FIXED);
    match &time {
        Time::Counted => command.args(EMULATED),
        Time::Real(accelerator) => command.args(["-accel", accelerator]),
    };
    command.args(["-m", &format!("{}M", memory(initrd)?)]);
    command
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initrd);
    command.args(["-append", &command_line(&time)]);
    command.args(["-serial", &format!("file:{}", console.display())]);
    command.args(["-device", "virtio-serial-device"]);
    for name in names {
        let path = work.join(name);
        command.args(["-chardev", &format!("socket,id={name},path={}", path.display())]);
        command.args(["-device", &format!("virtserialport,chardev={name},name={name}")]);
    }
    let complaints = fs::File::create(work.join("qemu"))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(complaints.try_clone()?)
        .stderr(complaints)
        .spawn()
        .with_context(|| format!("cannot run {QEMU}"))?;
    let mut machine = Machine { child };
    let mut streams = Vec::new();
    for listener in &listeners {
        streams.push(accept(listener, &mut machine, end, work)?);
    }
    let status = streams.pop().map(collected);
    let copies = [
        streams.pop().map(|stream| copied(stream, std::io::stderr())),
        streams.pop().map(|stream| copied(stream, std::io::stdout())),
    ];
    let ended = wait(&mut machine, end);
    // Ends the threads, if the machine has not.
    drop(machine);
    for copy in copies.into_iter().flatten() {
        let _ = copy.join();
    }
    let said = status.and_then(|thread| thread.join().ok()).unwrap_or_default();
    match said.trim().parse::<u8>() {
        Ok(status) => Ok(status),
        Err(_) if ended => bail!("the machine has died; its last words:\n{}", words(work)),
        Err(_) => bail!(
            "not done after {limit:?}; the machine's last words:\n{}",
            words(work)
        ),
    }
}

/// Without a timer to compare with, the frequency of the time stamp counter has to be said: a busy host else makes the
/// machine hang while it measures.
fn command_line(time: &Time) -> String {
    let mut line = "console=ttyS0 quiet panic=-1 reboot=t rdinit=/init mitigations=off nokaslr tsc=reliable no_timer_check \
                    random.trust_cpu=on cryptomgr.notests"
        .to_owned();
    let khz = match time {
        // Nanoseconds of the machine's own time.
        Time::Counted => Some(1_000_000),
        Time::Real(_) => tsc_khz(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
    };
    if let Some(khz) = khz {
        line += &format!(" tsc_early_khz={khz}");
    }
    line
}

/// Half of what Linux calls bogomips, in kHz.
fn tsc_khz(cpuinfo: &str) -> Option<u64> {
    let line = cpuinfo.lines().find(|line| line.starts_with("bogomips"))?;
    let (whole, part) = line.split(':').nth(1)?.trim().split_once('.')?;
    let hundredths: u64 = format!("{whole}{:0<2.2}", part).parse().ok()?;
    Some(hundredths * 10 / 2)
}

/// Megabytes: the archive lies there twice while it is read.
fn memory(initrd: &Path) -> Result<u64> {
    Ok(768 + 2 * fs::metadata(initrd)?.len() / 1_000_000)
}

fn accept(listener: &UnixListener, machine: &mut Machine, end: Instant, work: &Path) -> Result<UnixStream> {
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false)?;
            return Ok(stream);
        }
        if let Some(status) = machine.child.try_wait()? {
            let complaints = fs::read_to_string(work.join("qemu")).unwrap_or_default();
            bail!("{QEMU} ended with {status}: {}", complaints.trim());
        }
        if Instant::now() >= end {
            bail!("{QEMU} does not open its ports");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn copied(mut from: UnixStream, mut to: impl Write + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let _ = to.write_all(buffer.get(..length).unwrap_or_default());
            let _ = to.flush();
        }
    })
}

fn collected(mut from: UnixStream) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut said = String::new();
        let _ = from.read_to_string(&mut said);
        said
    })
}

/// Whether the machine came to its end in time.
fn wait(machine: &mut Machine, end: Instant) -> bool {
    while Instant::now() < end {
        if !matches!(machine.child.try_wait(), Ok(None)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// The end of the kernel's console, and what qemu complained of.
fn words(work: &Path) -> String {
    let read = |name: &str| {
        let bytes = fs::read(work.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (console, qemu) = (read("console"), read("qemu"));
    let lines: Vec<&str> = console.lines().chain(qemu.lines()).collect();
    lines
        .get(lines.len().saturating_sub(CONSOLE_LINES)..)
        .unwrap_or_default()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::tsc_khz;

    #[test]
    fn the_time_stamp_counter_runs_at_half_the_bogomips() {
        assert_eq!(tsc_khz("processor : 0\nbogomips\t: 5199.99\n"), Some(2_599_995));
        assert_eq!(tsc_khz("bogomips\t: 48.5\n"), Some(24_250));
        assert_eq!(tsc_khz("model name : x\n"), None);
    }
}
