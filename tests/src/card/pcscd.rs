//! Shell: a PC/SC service of a test's own, the real pcscd with a virtual reader and no other.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::daemons::{Daemon, fresh_directory};

/// The driver of virtual readers.
const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
/// How long it may take to serve.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often other ports are tried.
const TRIES: usize = 5;
/// Runs it where its directory is nobody else's, and where the readers of this machine are not to be seen: wrong PINs are
/// said here, and must never reach somebody's card.
const SCRIPT: &str = "mount -t tmpfs none /run && mkdir /run/pcscd || exit 1
    for devices in /sys/bus/usb/devices /dev/bus/usb; do
        [ ! -d $devices ] || mount -t tmpfs none $devices || exit 1
    done
    exec \"$1\" --foreground --info --config \"$2\"";
/// What pcscd says of each reader that it takes, before its name.
const TAKES: &str = "Attempting startup of ";
/// What it calls its readers here.
const FRIENDLY: &str = "Virtual PCD";

/// A pcscd. It is killed when this value goes away; the machine's own is never touched.
pub struct Pcscd {
    daemon: Daemon,
    port: u16,
    directory: PathBuf,
}

impl Pcscd {
    /// The name of its reader in which cards are put; the driver has a second slot, which stays empty.
    pub const READER: &str = "Virtual PCD 00 00";
    /// The variable in which a client looks for the service's socket.
    pub const VARIABLE: &str = "PCSCLITE_CSOCK_NAME";

    /// Starts one, and waits until it serves.
    ///
    /// # Errors
    /// When a Debian package is missing, or when this user may not make a mount namespace.
    pub fn start() -> Result<Self> {
        let program = installed()?;
        let mut failed = None;
        for _ in 0..TRIES {
            let port = free_pair()?;
            match Self::start_at(&program, port) {
                Ok(pcscd) => return Ok(pcscd),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| anyhow::anyhow!("pcscd was not tried")))
    }

    fn start_at(program: &Path, port: u16) -> Result<Self> {
        let directory = fresh_directory()?;
        let config = directory.join("reader.conf");
        let text = format!(
            "FRIENDLYNAME \"{FRIENDLY}\"\nDEVICENAME /dev/null:{port}\nLIBPATH {DRIVER}\nCHANNELID {port}\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new("unshare");
        if fs::metadata("/proc/self")?.uid() != 0 {
            command.arg("--map-root-user");
        }
        command
            .args(["--mount", "sh", "-c", SCRIPT, "sh"])
            .arg(program)
            .arg(&config);
        let daemon = Daemon::run("pcscd", command, directory.join("pcscd.log"))
            .context("cannot run unshare: install the Debian package util-linux")?;
        let mut pcscd = Self {
            daemon,
            port,
            directory,
        };
        pcscd.wait()?;
        Ok(pcscd)
    }

    /// Until it serves, with its readers.
    fn wait(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let log = self.daemon.log();
            ensure!(
                !log.contains("Could not initialize connection"),
                "ports {} and {} are not free",
                self.port,
                self.port + 1
            );
            if log.contains("daemon ready") && self.socket().exists() {
                let mut taken = log.lines().filter_map(|line| line.split_once(TAKES));
                let strange = taken.find(|(_, reader)| !reader.starts_with(FRIENDLY));
                ensure!(
                    strange.is_none(),
                    "pcscd takes a reader of this machine: {strange:?}"
                );
                return Ok(());
            }
            if self.daemon.has_ended()? {
                bail!("pcscd does not start:\n{}", self.daemon.tail(20));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!(
            "pcscd does not serve within {PATIENCE:?}:\n{}",
            self.daemon.tail(20)
        )
    }

    /// Its socket, the value of [`Self::VARIABLE`]: `/run` as it sees it.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/run/pcscd/pcscd.comm", self.daemon.pid()))
    }

    /// Where its virtual reader waits for a card.
    #[must_use]
    pub const fn reader(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Kills it.
    ///
    /// # Errors
    /// When the `kill` program cannot be run.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.kill()
    }
}

impl Drop for Pcscd {
    fn drop(&mut self) {
        // The daemon is killed after this; it needs none of its files any more.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Where pcscd is, when its driver is there too.
fn installed() -> Result<PathBuf> {
    let places = ["/usr/sbin/pcscd", "/sbin/pcscd", "/usr/local/sbin/pcscd"].map(PathBuf::from);
    let program = places.into_iter().find(|place| place.is_file());
    let program = program.context("there is no pcscd: install the Debian package pcscd")?;
    ensure!(
        Path::new(DRIVER).is_file(),
        "there is no {DRIVER}: install the Debian package vsmartcard-vpcd"
    );
    Ok(program)
}

/// Two ports in a row that nobody has, below those that the kernel gives out by itself. Each call tries others.
fn free_pair() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const PAIRS: u16 = 5_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Programs that run at the same time begin at different places.
    let of_process = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(PAIRS))?;
    for _ in 0..PAIRS {
        let pair = (of_process + NEXT.fetch_add(1, Ordering::Relaxed) % PAIRS) % PAIRS;
        let port = FIRST + 2 * pair;
        let is_free = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return Ok(port);
        }
    }
    bail!("there are no two free ports in a row")
}
