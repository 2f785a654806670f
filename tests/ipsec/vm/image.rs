//! Shell: the file system of the machine: the program, the daemons, a few tools, their libraries, the modules.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::kernel::Kernel;
use crate::{found, output};

/// Built programs that come along when they lie beside ours.
const COMPANIONS: [&str; 4] = ["pcscf", "icscf", "scscf", "imsctl"];
/// Tools of the system; the shell is dash, for busybox's own prefers its applets to the programs of the same name.
const TOOLS: [&str; 7] = ["dash", "ip", "tc", "kmod", "tcpdump", "kill", "unshare"];
/// What busybox is used for.
const APPLETS: [&str; 15] = [
    "cat", "date", "grep", "id", "ls", "mkdir", "mount", "ps", "reboot", "rm", "sleep", "sysctl", "top",
    "true", "umount",
];
/// What a suite needs besides for a phone with a card: the phone, the PC/SC service, and its driver of virtual readers,
/// which nothing names as its library. What is not installed is left out, and the tests that need it say so.
const PHONE: &str = "ue";
const CARD_SERVICE: [&str; 2] = ["/usr/sbin/pcscd", "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"];
/// Variables that the program sees inside as outside.
const VARIABLES: [&str; 5] = [
    "RUST_BACKTRACE",
    "RUST_LOG",
    "RUST_TEST_THREADS",
    "UPDATE_GOLDEN",
    "IMS_FIGURES",
];
const INIT: &str = include_str!("init.sh");

/// Writes the file system for `command`, an uncompressed cpio archive.
pub(crate) fn write(target: &Path, kernel: &Kernel, command: &[String], with: &[String]) -> Result<()> {
    let mut tree = Tree::default();
    let program = command.first().context("no program")?;
    let program = fs::canonicalize(program).with_context(|| format!("no program {program}"))?;
    tree.add_built(&program, target)?;
    for directory in program.ancestors().skip(1).take(2) {
        for name in COMPANIONS {
            let companion = directory.join(name);
            if companion.is_file() {
                tree.add_built(&companion, target)?;
            }
        }
    }
    if is_suite(&program) {
        tree.add_card(&program, target)?;
    }
    for other in with {
        let other = fs::canonicalize(other).with_context(|| format!("no program {other}"))?;
        tree.add_built(&other, target)?;
    }
    for tool in TOOLS {
        tree.add_program(&found(tool)?)?;
    }
    let busybox = found("busybox")?;
    tree.add_program(&busybox)?;
    for applet in APPLETS {
        tree.link(&format!("/bin/{applet}"), &busybox);
    }
    tree.link("/bin/sh", &found("dash")?);
    tree.link("/sbin/modprobe", &found("kmod")?);
    tree.add_folder(&kernel.modules, &kernel.modules)?;
    for folder in ["/dev", "/proc", "/sys", "/tmp", "/run/netns", "/root", "/var/run"] {
        tree.entries.insert(PathBuf::from(folder), Entry::Folder);
    }
    tree.text("/init", INIT, 0o755);
    tree.text("/command", &script(&program, command)?, 0o755);
    tree.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644);
    tree.text("/etc/group", "root:x:0:\n", 0o644);
    let mut out = BufWriter::new(File::create(target)?);
    tree.write(&mut out)?;
    Ok(out.flush()?)
}

/// Cargo puts the binaries of tests into a directory of that name, and the programs into the one above.
fn is_suite(program: &Path) -> bool {
    program.parent().is_some_and(|folder| folder.ends_with("deps"))
}

/// What dash runs inside: the program where it was, with its arguments.
fn script(program: &Path, command: &[String]) -> Result<String> {
    let mut script = String::new();
    for name in VARIABLES {
        if let Ok(value) = std::env::var(name) {
            script += &format!("export {name}={}\n", quoted(&value));
        }
    }
    script += &format!(
        "exec {}",
        quoted(program.to_str().context("a path that is no UTF-8")?)
    );
    for argument in command.iter().skip(1) {
        script += &format!(" {}", quoted(argument));
    }
    Ok(script + "\n")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

enum Entry {
    Folder,
    Link(PathBuf),
    File(PathBuf),
    Text(String, u32),
}

/// Every path inside, in order: a folder sorts before what is in it.
#[derive(Default)]
struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
    stripped: usize,
}

impl Tree {
    /// A program of ours, without its symbols.
    fn add_built(&mut self, program: &Path, target: &Path) -> Result<()> {
        self.stripped += 1;
        let stripped = target.with_file_name(format!("stripped{}", self.stripped));
        let (from, to) = (text(program)?, text(&stripped)?);
        output(&["strip", "-o", to, from])?;
        self.add_libraries(program)?;
        self.entries.insert(program.to_owned(), Entry::File(stripped));
        Ok(())
    }

    /// What is there of a phone with a card and its reader.
    fn add_card(&mut self, suite: &Path, target: &Path) -> Result<()> {
        let programs = suite.ancestors().nth(2);
        if let Some(phone) = programs
            .map(|folder| folder.join(PHONE))
            .filter(|phone| phone.is_file())
        {
            self.add_built(&phone, target)?;
        }
        for installed in CARD_SERVICE.map(Path::new) {
            if installed.is_file() {
                self.add_program(installed)?;
            }
        }
        Ok(())
    }

    fn add_program(&mut self, program: &Path) -> Result<()> {
        self.add_libraries(program)?;
        self.entries
            .insert(program.to_owned(), Entry::File(program.to_owned()));
        Ok(())
    }

    /// What `ldd` names; nothing for a static program.
    fn add_libraries(&mut self, program: &Path) -> Result<()> {
        let Ok(said) = output(&["ldd", text(program)?]) else {
            return Ok(());
        };
        for word in String::from_utf8_lossy(&said).split_whitespace() {
            if word.starts_with('/') && Path::new(word).is_file() {
                self.entries
                    .insert(PathBuf::from(word), Entry::File(PathBuf::from(word)));
            }
        }
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path, root: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add_folder(&path, root)?;
            } else {
                let inside = Path::new("/").join(path.strip_prefix(root)?);
                self.entries.insert(inside, Entry::File(path));
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &str, to: &Path) {
        self.entries
            .entry(PathBuf::from(path))
            .or_insert_with(|| Entry::Link(to.to_owned()));
    }

    fn text(&mut self, path: &str, content: &str, mode: u32) {
        self.entries
            .insert(PathBuf::from(path), Entry::Text(content.to_owned(), mode));
    }

    /// As the kernel reads it (Documentation/driver-api/early-userspace/buffer-format.rst).
    fn write(mut self, out: &mut impl Write) -> Result<()> {
        let folders: Vec<PathBuf> = self
            .entries
            .keys()
            .flat_map(|path| path.ancestors().skip(1))
            .filter(|path| path.parent().is_some())
            .map(Path::to_owned)
            .collect();
        for folder in folders {
            self.entries.entry(folder).or_insert(Entry::Folder);
        }
        let mut number = 0;
        for (path, entry) in &self.entries {
            number += 1;
            let (mode, content) = match entry {
                Entry::Folder => (0o040_755, Vec::new()),
                Entry::Link(to) => (0o120_777, text(to)?.as_bytes().to_vec()),
                Entry::Text(content, mode) => (0o100_000 | mode, content.clone().into_bytes()),
                Entry::File(source) => {
                    let content = fs::read(source).with_context(|| format!("{}", source.display()))?;
                    (
                        0o100_000 | (fs::metadata(source)?.permissions().mode() & 0o777),
                        content,
                    )
                }
            };
            record(out, text(path)?.trim_start_matches('/'), number, mode, &content)?;
        }
        record(out, "TRAILER!!!", 0, 0, &[])
    }
}

/// One record of a cpio archive in the format `newc`.
fn record(out: &mut impl Write, name: &str, number: u32, mode: u32, content: &[u8]) -> Result<()> {
    let links = if mode & 0o040_000 == 0 { 1 } else { 2 };
    let size = u32::try_from(content.len())?;
    let named = u32::try_from(name.len() + 1)?;
    let fields = [number, mode, 0, 0, links, 0, size, 0, 0, 0, 0, named, 0];
    let mut head = String::from("070701");
    for field in fields {
        head += &format!("{field:08X}");
    }
    head += name;
    out.write_all(head.as_bytes())?;
    out.write_all(&[0])?;
    pad(out, head.len() + 1)?;
    out.write_all(content)?;
    pad(out, content.len())
}

fn pad(out: &mut impl Write, written: usize) -> Result<()> {
    let zeros = [0_u8; 3];
    Ok(out.write_all(zeros.get(..(4 - written % 4) % 4).unwrap_or_default())?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no UTF-8")
}
