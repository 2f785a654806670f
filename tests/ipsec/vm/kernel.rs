//! Shell: Debian's kernel for virtual machines, fetched once and kept outside the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Depends on the kernel of the day; the second for systems without the first.
const META_PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-amd64"];
/// What of the modules we take: ESP and its algorithms, namespaces' interfaces, and what the machine itself needs.
const MODULES: [&str; 16] = [
    "arch/x86/crypto",
    "crypto",
    "drivers/block",
    "drivers/char",
    "drivers/crypto",
    "drivers/net/dummy.ko",
    "drivers/net/tun.ko",
    "drivers/net/veth.ko",
    "drivers/virtio",
    "lib",
    "net/core",
    "net/ipv4",
    "net/ipv6",
    "net/netfilter",
    "net/sched",
    "net/xfrm",
];

/// A kernel ready to boot.
pub(crate) struct Kernel {
    /// Its release, as `uname -r` says it.
    pub(crate) version: String,
    /// The uncompressed ELF file.
    pub(crate) image: PathBuf,
    /// Holds `lib/modules/VERSION`.
    pub(crate) modules: PathBuf,
}

impl Kernel {
    /// The newest kernel of the system's package lists, from the cache if it was fetched before.
    ///
    /// # Errors
    /// When it can be had neither from there nor from the mirror.
    pub(crate) fn cached() -> Result<Self> {
        ensure!(
            cfg!(target_arch = "x86_64"),
            "the virtual machine is for x86-64 only; here the kernel itself must have ESP"
        );
        let cache = cache_directory()?;
        let package = match package_name() {
            Ok(package) => package,
            // Without package lists, what was fetched before will do.
            Err(error) => newest(&cache).ok_or(error)?,
        };
        let directory = cache.join(&package);
        if !directory.join("complete").exists() {
            fetch(&package, &cache, &directory)
                .with_context(|| format!("cannot get the package {package}"))?;
        }
        Ok(Self {
            version: package
                .strip_prefix("linux-image-")
                .unwrap_or(&package)
                .to_owned(),
            image: directory.join("vmlinux"),
            modules: directory.join("modules"),
        })
    }
}

fn cache_directory() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    let cache = base.join("ims-test-vm");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

/// The package behind the first meta-package that the lists know; the lists are fetched when there are none.
fn package_name() -> Result<String> {
    let find = || META_PACKAGES.iter().find_map(|meta| dependency(meta));
    if let Some(package) = find() {
        return Ok(package);
    }
    let user = super::output(&["id", "-u"])?;
    let update: &[&str] = match user.trim_ascii() {
        b"0" => &["apt-get", "-qq", "update"],
        _ => &["sudo", "apt-get", "-qq", "update"],
    };
    super::output(update)?;
    find().with_context(|| format!("apt knows none of {META_PACKAGES:?}"))
}

fn dependency(meta: &str) -> Option<String> {
    let said = super::output(&["apt-cache", "depends", meta]).ok()?;
    String::from_utf8_lossy(&said)
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends:"))
        .map(|package| package.trim().to_owned())
        .find(|package| package.starts_with("linux-image-"))
}

/// The kernel in the cache whose name sorts last.
fn newest(cache: &Path) -> Option<String> {
    let names = fs::read_dir(cache).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.to_owned();
        path.join("complete").exists().then_some(name)
    });
    names.max()
}

/// Fetches the package and makes `directory` of it; another process may do the same at the same time.
fn fetch(package: &str, cache: &Path, directory: &Path) -> Result<()> {
    eprintln!("vm: fetching {package}, once");
    let work = cache.join(format!(".{package}-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    let made = prepare(package, &work).and_then(|()| {
        if fs::rename(work.join("made"), directory).is_err() {
            // Somebody else was faster, or gave up half way.
            ensure!(
                directory.join("complete").exists(),
                "{} is not ours to write: remove it",
                directory.display()
            );
        }
        Ok(())
    });
    let _ = fs::remove_dir_all(&work);
    made
}

fn prepare(package: &str, work: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    download
        .args(["-qq", "-o", "Acquire::Retries=3", "download", package])
        .current_dir(work);
    let output = download.output().context("cannot run apt-get")?;
    ensure!(
        output.status.success(),
        "apt-get download: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let archive = fs::read_dir(work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get download left no package")?;
    let tree = work.join("tree");
    super::output(&["dpkg-deb", "-x", text(&archive)?, text(&tree)?])?;
    let version = package.strip_prefix("linux-image-").unwrap_or(package);
    let made = work.join("made");
    take_modules(
        &tree.join("lib/modules").join(version),
        &made.join("modules/lib/modules").join(version),
    )?;
    super::output(&["depmod", "-b", text(&made.join("modules"))?, version])?;
    let packed = fs::read(tree.join("boot").join(format!("vmlinuz-{version}")))?;
    fs::write(made.join("vmlinux"), unpacked(&packed)?)?;
    fs::write(made.join("complete"), "")?;
    Ok(())
}

fn take_modules(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        fs::copy(from.join(name), to.join(name)).with_context(|| format!("no {name}"))?;
    }
    for part in MODULES {
        let part = Path::new("kernel").join(part);
        let source = from.join(&part);
        if source.exists() {
            let target = to.join(&part);
            fs::create_dir_all(target.parent().context("a path below another")?)?;
            super::output(&["cp", "-r", text(&source)?, text(&target)?])?;
        }
    }
    Ok(())
}

/// The ELF file inside a bzImage (Linux, x86 boot protocol 2.08: payload_offset and payload_length).
fn unpacked(image: &[u8]) -> Result<Vec<u8>> {
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("a short image")?;
        Ok(u32::from_le_bytes(bytes.try_into()?).try_into()?)
    };
    let sectors = match image.get(0x1f1).context("a short image")? {
        0 => 4,
        sectors => usize::from(*sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    // The last four bytes are the length after unpacking.
    let payload = image
        .get(start..start + word(0x24c)? - 4)
        .context("the image ends before its payload")?;
    let tool: &[&str] = match payload.get(..4).unwrap_or_default() {
        [0x02, 0x21, 0x4c, 0x18] => &["lz4", "-dc"],
        [0xfd, b'7', b'z', b'X'] => &["xz", "-dc"],
        [0x28, 0xb5, 0x2f, 0xfd] => &["zstd", "-dc"],
        [0x1f, 0x8b, ..] => &["gzip", "-dc"],
        magic => anyhow::bail!("the kernel is packed in an unknown way, {magic:02x?}"),
    };
    let elf = filtered(tool, payload)?;
    ensure!(elf.starts_with(b"\x7fELF"), "no ELF file in the kernel image");
    Ok(elf)
}

/// What a program makes of `input`.
fn filtered(argv: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write as _;
    let (program, arguments) = argv.split_first().context("no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        Ok(child.wait_with_output()?.stdout)
    })
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no UTF-8")
}
