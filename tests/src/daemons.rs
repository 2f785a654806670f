//! Shell: the three real binaries as child processes of a program of ours.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::site::Site;

/// How long a daemon may take to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// One child process. It is killed when this value goes away.
pub struct Daemon {
    name: String,
    command: Command,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program --config file`; what it says goes to `NAME.log` beside the file.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn start(name: &str, program: &Path, config: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("--config").arg(config);
        let log = config.with_file_name(format!("{name}.log"));
        Self::run(name, command, log)
            .with_context(|| format!("cannot start {}: build the workspace first", program.display()))
    }

    /// Runs a command in a process group of its own; what it says goes to `log`.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn run(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // A Ctrl-C in the terminal is for us; we tell the children ourselves.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            name: name.to_owned(),
            command,
            child,
            log,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines that it said.
    #[must_use]
    pub fn tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all.get(all.len().saturating_sub(lines)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Waits until it says that it serves.
    ///
    /// # Errors
    /// When it ends or says nothing.
    pub fn wait_ready(&mut self) -> Result<()> {
        self.wait_until("`ready`", is_ready)
    }

    /// Waits until its log `has` what is meant by `what`.
    ///
    /// # Errors
    /// When it ends or does not say it.
    pub fn wait_until(&mut self, what: &str, has: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if has(&self.log()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended with {status} before it said {what}:\n{}",
                    self.name,
                    self.tail(20)
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} did not say {what}:\n{}", self.name, self.tail(20))
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the system does not say it.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// When the `kill` program cannot be run.
    pub fn terminate(&self) -> Result<()> {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        anyhow::ensure!(status.success(), "cannot signal {}", self.name);
        Ok(())
    }

    /// SIGKILL for it and all of its children, and waits for its end.
    ///
    /// # Errors
    /// When the `kill` program cannot be run.
    pub fn kill(&mut self) -> Result<()> {
        // It leads a process group of its own.
        Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.child.id())])
            .status()?;
        self.child.wait()?;
        Ok(())
    }

    /// Kills it and starts it again; it may not serve yet.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.child = self.command.spawn()?;
        Ok(())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it goes on.
    pub fn wait_end(&mut self) -> Result<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} did not end within {PATIENCE:?} after SIGTERM", self.name)
    }

    /// SIGTERM, and nothing but success at the end.
    ///
    /// # Errors
    /// When it fails or goes on.
    pub fn stop(&mut self) -> Result<()> {
        self.terminate()?;
        let status = self.wait_end()?;
        anyhow::ensure!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.name,
            self.tail(20)
        );
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.kill();
        }
    }
}

/// The line `ready` of a daemon's log, as text or as JSON.
fn is_ready(log: &str) -> bool {
    log.lines()
        .any(|line| line.split([' ', '"']).any(|word| word == "ready"))
}

/// The daemons of a site, started in the order S, I, P.
pub struct Daemons {
    /// All.
    pub all: Vec<Daemon>,
    directory: PathBuf,
}

impl Daemons {
    /// Writes the files of `site`, starts its daemons and waits until they serve.
    ///
    /// # Errors
    /// When one does not.
    pub fn start(site: &Site, binaries: &Path) -> Result<Self> {
        Self::start_some(site, binaries, &["scscf1", "scscf2", "icscf", "pcscf"])
    }

    /// The same for those with these names.
    ///
    /// # Errors
    /// When one does not.
    pub fn start_some(site: &Site, binaries: &Path, names: &[&str]) -> Result<Self> {
        let directory = fresh_directory()?;
        let mut files = vec![
            ("icscf".to_owned(), "icscf", site.icscf_file()),
            ("pcscf".to_owned(), "pcscf", site.pcscf_file()),
        ];
        for index in 0..site.scscfs.len() {
            files.insert(
                index,
                (format!("scscf{}", index + 1), "scscf", site.scscf_file(index)),
            );
        }
        let mut daemons = Self {
            all: Vec::new(),
            directory,
        };
        files.retain(|(name, ..)| names.contains(&name.as_str()));
        for (name, program, text) in files {
            let config = daemons.directory.join(format!("{name}.yaml"));
            fs::write(&config, text)?;
            daemons
                .all
                .push(Daemon::start(&name, &binaries.join(program), &config)?);
        }
        for daemon in &mut daemons.all {
            daemon.wait_ready()?;
        }
        Ok(daemons)
    }

    /// No daemons yet; their files are in `directory`, which goes away with this value.
    #[must_use]
    pub const fn none(directory: PathBuf) -> Self {
        Self {
            all: Vec::new(),
            directory,
        }
    }

    /// The daemon called `name`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&mut self, name: &str) -> &mut Daemon {
        self.all
            .iter_mut()
            .find(|daemon| daemon.name == name)
            .unwrap_or_else(|| panic!("no daemon is called {name}"))
    }

    /// The last lines of all logs.
    #[must_use]
    pub fn tails(&self, lines: usize) -> String {
        self.all
            .iter()
            .map(|daemon| format!("--- {}\n{}\n", daemon.name, daemon.tail(lines)))
            .collect()
    }

    /// Stops all, P-CSCF first.
    ///
    /// # Errors
    /// When one does not end with success.
    pub fn stop(&mut self) -> Result<()> {
        for daemon in self.all.iter_mut().rev() {
            daemon.stop()?;
        }
        Ok(())
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        self.all.clear();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The directory of the binaries: that of this program, or for a test the one above.
///
/// # Errors
/// When the system does not say where we are.
pub fn binaries() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let directory = exe.parent().context("a program has a directory")?;
    Ok(if directory.ends_with("deps") {
        directory.parent().unwrap_or(directory).to_owned()
    } else {
        directory.to_owned()
    })
}

/// Where the daemons and imsctl are. They are built first, for a test of this package does not build those of others; the
/// CI has built them before the tests, with the same features, and says so.
///
/// # Panics
/// When they do not build.
#[must_use]
pub fn built() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build
                .args([
                    "build", "--quiet", "--bins", "-p", "pcscf", "-p", "icscf", "-p", "scscf",
                ])
                .args(["-p", "ims-tests", "-p", "ims-common"])
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            let is_built = std::env::var_os("IMS_BINARIES_ARE_BUILT").is_some()
                || build.status().is_ok_and(|status| status.success());
            assert!(is_built, "the binaries do not build");
            binaries().unwrap_or_else(|error| panic!("{error:#}"))
        })
        .clone()
}

/// A directory of our own for files that nobody keeps.
///
/// # Errors
/// When the system has no room for it.
pub fn fresh_directory() -> Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("ims-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

/// Asks an operator's endpoint: status line and body.
///
/// # Errors
/// When nobody answers.
pub fn http_get(address: SocketAddr, path: &str) -> Result<(String, String)> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Ok((
        head.lines().next().unwrap_or_default().to_owned(),
        body.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::is_ready;

    #[test]
    fn ready_is_a_word_of_a_line() {
        assert!(is_ready("2026-01-01T00:00:00Z  INFO ready name=pcscf\n"));
        assert!(is_ready(r#"{"level":"INFO","message":"ready"}"#));
        assert!(!is_ready("INFO already running\n"));
    }
}
