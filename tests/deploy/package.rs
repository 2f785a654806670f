//! Test: the Debian package is made, has what it should, and lives through installation, upgrade, removal and purge.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use ims_tests::daemons::fresh_directory;

use crate::{DAEMONS, binaries, deploy, must, run, said, text};

/// Makes the package of the programs in `bin`.
fn build(bin: &Path, out: &Path, version: &str) -> PathBuf {
    must(
        Command::new(deploy().join("debian/build.sh"))
            .env("BIN", bin)
            .env("OUT", out)
            .env("VERSION", version)
            // Nobody keeps it.
            .env("COMPRESS", "-Znone"),
    );
    let arch = must(Command::new("dpkg").arg("--print-architecture"));
    let package = out.join(format!("ims-core_{version}_{}.deb", arch.trim()));
    assert!(package.is_file(), "{}", package.display());
    package
}

/// Programs that say their name, for what is not about them.
fn stand_ins(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    for program in ["pcscf", "icscf", "scscf", "imsctl"] {
        let path = bin.join(program);
        fs::write(&path, format!("#!/bin/sh\necho {program} \"$@\"\n")).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    bin
}

/// The programs that have been built.
fn real_programs(folder: &Path) -> PathBuf {
    let bin = stand_ins(folder);
    for program in ["pcscf", "icscf", "scscf", "imsctl"] {
        let built = binaries().join(program);
        let here = bin.join(program);
        fs::remove_file(&here).expect("a stand-in");
        // A copy where the folder is on another disk.
        if fs::hard_link(&built, &here).is_err() {
            fs::copy(&built, &here).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
        }
    }
    bin
}

fn listing(package: &Path) -> Vec<(String, String)> {
    must(Command::new("dpkg-deb").arg("--contents").arg(package))
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.nth(4)?.to_owned()))
        })
        .collect()
}

#[test]
fn the_package_has_programs_units_configurations_and_documents() {
    let directory = fresh_directory().expect("a directory");
    let package = build(&real_programs(&directory), &directory, "0.1.0");
    let files = listing(&package);
    for (mode, path) in [
        ("-rwxr-xr-x", "./usr/bin/pcscf"),
        ("-rwxr-xr-x", "./usr/bin/icscf"),
        ("-rwxr-xr-x", "./usr/bin/scscf"),
        ("-rwxr-xr-x", "./usr/bin/imsctl"),
        ("-rw-r-----", "./etc/ims/pcscf.yaml"),
        ("-rw-r--r--", "./usr/lib/systemd/system/scscf.service"),
        ("-rw-r--r--", "./usr/lib/systemd/system/ims.target"),
        ("-rw-r--r--", "./usr/lib/sysusers.d/ims-core.conf"),
        ("-rw-r--r--", "./usr/lib/tmpfiles.d/ims-core.conf"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/imsctl"),
        ("-rw-r--r--", "./usr/share/man/man7/ims-core.7.gz"),
        ("-rw-r--r--", "./usr/share/man/man8/pcscf.8.gz"),
        ("-rw-r--r--", "./usr/share/doc/ims-core/copyright"),
        ("-rw-r--r--", "./usr/share/doc/ims-core/guide.md"),
        (
            "-rw-r--r--",
            "./usr/share/doc/ims-core/examples/three-machines/pcscf.yaml",
        ),
    ] {
        let found = files.iter().find(|(_, name)| name == path);
        assert_eq!(found.map(|(mode, _)| mode.as_str()), Some(mode), "{path}");
    }
    let root = directory.join("root");
    must(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root));
    for daemon in DAEMONS {
        // The very programs of the package, with the very files.
        must(
            Command::new(root.join("usr/bin").join(daemon))
                .arg("--config")
                .arg(root.join(format!("etc/ims/{daemon}.yaml")))
                .args(["--check", "--quiet"]),
        );
    }
    let completion = fs::read_to_string(root.join("usr/share/bash-completion/completions/imsctl"));
    assert!(completion.expect("a file").contains("imsctl"));
    let _ = fs::remove_dir_all(directory);
}

/// Copies a program and the libraries that it wants.
fn copy_program(program: &Path, root: &Path) {
    let libraries = must(Command::new("ldd").arg(program));
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.map(Path::new).chain([program]) {
        let target = root.join(path.strip_prefix("/").expect("an absolute path"));
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(path, target).expect("a copy");
    }
}

/// A root directory with a shell, the program that makes users, and nothing else, as dpkg wants one.
struct Root(PathBuf);

impl Root {
    fn fresh(folder: &Path) -> Self {
        let root = folder.join("root");
        for path in [
            "bin",
            "dev",
            "etc",
            "run",
            "tmp",
            "usr/bin",
            "usr/sbin",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
        ] {
            fs::create_dir_all(root.join(path)).expect("a folder");
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox; `make test` installs it");
        for tool in [
            "sh", "grep", "mkdir", "chown", "chgrp", "chmod", "rm", "rmdir", "echo", "cat",
        ] {
            symlink("busybox", root.join("bin").join(tool)).expect("a link");
        }
        copy_program(Path::new("/usr/bin/systemd-sysusers"), &root);
        fs::write(root.join("var/lib/dpkg/status"), "").expect("a file");
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("a file");
        fs::write(root.join("etc/group"), "root:x:0:\n").expect("a file");
        fs::write(root.join("etc/shadow"), "root:*:1:0:99999:7:::\n").expect("a file");
        Self(root)
    }

    /// A systemd that runs and writes down what it is told.
    fn with_systemd(self) -> Self {
        fs::create_dir_all(self.0.join("run/systemd/system")).expect("a folder");
        let path = self.0.join("usr/bin/systemctl");
        fs::write(&path, "#!/bin/sh\necho \"$@\" >>/tmp/systemctl\n").expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        self
    }

    /// What systemd was told since the last time.
    fn told(&self) -> Vec<String> {
        let path = self.0.join("tmp/systemctl");
        let told = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        told.lines().map(str::to_owned).collect()
    }

    fn dpkg(&self, arguments: &[&str]) -> String {
        must(
            Command::new("dpkg")
                .arg(format!("--root={}", self.0.display()))
                .arg(format!("--log={}", self.0.join("tmp/dpkg.log").display()))
                // The C library is not installed in there.
                .args(["--force-depends", "--force-confold"])
                .args(arguments),
        )
    }

    fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_default()
    }
}

/// Another version of a package, with one line more in a configuration that it brings.
fn next_version(package: &Path, folder: &Path) -> PathBuf {
    let tree = folder.join("next");
    must(Command::new("dpkg-deb").arg("-R").arg(package).arg(&tree));
    let control = tree.join("DEBIAN/control");
    let newer = fs::read_to_string(&control)
        .expect("a file")
        .replace("Version: 0.1.0", "Version: 0.1.1");
    fs::write(&control, newer).expect("a file");
    let config = tree.join("etc/ims/pcscf.yaml");
    let more = fs::read_to_string(&config).expect("a file") + "  # of the next version\n";
    fs::write(&config, more).expect("a file");
    let next = folder.join("next.deb");
    must(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Znone", "--build"])
            .arg(&tree)
            .arg(&next),
    );
    next
}

fn is_root() -> bool {
    must(Command::new("id").arg("-u")).trim() == "0"
}

#[test]
fn the_package_is_installed_upgraded_removed_and_purged_in_a_fresh_root() {
    if !is_root() {
        eprintln!("left out: dpkg runs the package's scripts in another root directory, which only root may");
        return;
    }
    let directory = fresh_directory().expect("a directory");
    let package = build(&stand_ins(&directory), &directory, "0.1.0");
    let next = next_version(&package, &directory);
    let root = Root::fresh(&directory).with_systemd();

    let said = root.dpkg(&["--install", package.to_str().expect("UTF-8")]);
    assert!(said.contains("write your addresses into /etc/ims"), "{said}");
    assert!(
        root.read("etc/passwd").contains("\nims:"),
        "{}",
        root.read("etc/passwd")
    );
    assert!(root.has("var/lib/ims") && root.has("usr/bin/pcscf"));
    // Nothing is started and nothing enabled.
    assert_eq!(root.told(), ["daemon-reload"]);

    let mine = root.0.join("etc/ims/pcscf.yaml");
    fs::write(&mine, "pcscf: {of: mine}\n").expect("a file");
    // A machine for one of the daemons does without the files of the others; dpkg leaves them deleted.
    fs::remove_file(root.0.join("etc/ims/scscf.yaml")).expect("a file");
    root.dpkg(&["--install", next.to_str().expect("UTF-8")]);
    assert_eq!(root.read("etc/ims/pcscf.yaml"), "pcscf: {of: mine}\n");
    assert!(
        root.read("etc/ims/pcscf.yaml.dpkg-dist")
            .contains("of the next version")
    );
    assert!(!root.has("etc/ims/scscf.yaml"));
    assert_eq!(
        root.told(),
        [
            // The old version's postrm, then the new one's postinst.
            "daemon-reload",
            "daemon-reload",
            "try-restart scscf.service",
            "try-restart icscf.service",
            "try-restart pcscf.service"
        ]
    );

    fs::write(root.0.join("var/lib/ims/record"), "a call\n").expect("a file");
    root.dpkg(&["--remove", "ims-core"]);
    assert!(!root.has("usr/bin/pcscf"));
    assert!(root.has("etc/ims/pcscf.yaml") && root.has("var/lib/ims/record"));
    let told = root.told();
    assert!(
        told.iter()
            .any(|line| line.contains("disable --now pcscf.service")),
        "{told:?}"
    );

    root.dpkg(&["--purge", "ims-core"]);
    assert!(!root.has("etc/ims/icscf.yaml") && !root.has("var/lib/ims") && !root.has("var/log/ims"));
    let _ = fs::remove_dir_all(directory);
}

#[test]
fn every_script_of_deploy_is_a_script_that_shellcheck_likes() {
    let scripts = [
        "apt-install.sh",
        "container/build-static.sh",
        "debian/build.sh",
        "debian/postinst",
        "debian/prerm",
        "debian/postrm",
    ];
    for script in scripts {
        assert!(text(script).starts_with("#!/bin/sh\n"), "{script}");
        must(Command::new("sh").arg("-n").arg(deploy().join(script)));
        let check = run(Command::new("shellcheck").arg(deploy().join(script)));
        assert!(check.status.success(), "{}", said(&check));
    }
}
