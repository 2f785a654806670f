//! Test: a process that has locked itself in cannot do what it does not need, and still does all that it does.
//!
//! What holds is tried by this very program, started again with a name of one of the tests that do nothing alone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ims_common::shell::harden::{Plan, enclose};
use ims_tests::daemons::{Daemon, fresh_directory, http_get};
use ims_tests::site::Site;

use crate::{DAEMONS, binaries, must, run, said};

/// Set in the second life of this program, to a folder of the test's.
const FOLDER: &str = "IMS_HARDENED_FOLDER";

/// What the locked-in process says of each attempt.
fn attempt(name: &str, result: std::io::Result<()>) {
    match result {
        Ok(()) => println!("attempt {name}: done"),
        Err(error) => println!("attempt {name}: {:?}", error.kind()),
    }
}

#[test]
fn the_second_life_of_this_program_locks_itself_in() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let plan = Plan {
        read: vec![folder.join("read"), "/proc".into()],
        write: vec![folder.join("write")],
        ipsec: false,
    };
    let enclosure = enclose(&plan);
    println!("held {:?} left out {:?}", enclosure.held, enclosure.left_out);
    attempt("read", fs::read(folder.join("read/file")).map(drop));
    attempt(
        "replaced",
        fs::rename(folder.join("write/file"), folder.join("write/other")),
    );
    attempt("write", fs::write(folder.join("write/new"), "text"));
    attempt("write-beside", fs::write(folder.join("read/new"), "text"));
    attempt("shadow", fs::read("/etc/shadow").map(drop));
    attempt("temporary", fs::write(folder.join("new"), "text"));
    attempt("program", Command::new("/bin/true").status().map(drop));
    let child = std::thread::spawn(|| {
        attempt(
            "program-of-a-thread",
            Command::new("/bin/true").status().map(drop),
        );
        attempt("shadow-of-a-thread", fs::read("/etc/shadow").map(drop));
    });
    child.join().expect("a thread");
    attempt("socket", std::net::UdpSocket::bind("127.0.0.1:0").map(drop));
    attempt("unix", std::os::unix::net::UnixDatagram::unbound().map(drop));
    let packet = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::DGRAM, None);
    attempt("packet-socket", packet.map(drop));
    let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
    attempt("namespace", unshared.map_err(std::io::Error::from));
    println!(
        "{}",
        fs::read_to_string("/proc/thread-self/status").unwrap_or_else(|e| e.to_string())
    );
    let _ = std::io::stdout().flush();
}

/// Whether this kernel lets processes restrict their files.
fn has_landlock(said: &str) -> bool {
    said.contains("\"landlock\"")
}

#[test]
fn a_locked_in_process_reads_no_secrets_and_starts_no_programs() {
    let folder = fresh_directory().expect("a directory");
    for part in ["read", "write"] {
        fs::create_dir_all(folder.join(part)).expect("a folder");
        fs::write(folder.join(part).join("file"), "text").expect("a file");
    }
    let again = std::env::current_exe().expect("ourselves");
    let output = run(Command::new(again)
        .args([
            "--exact",
            "hardened::the_second_life_of_this_program_locks_itself_in",
        ])
        .args(["--nocapture", "--test-threads", "1"])
        .env(FOLDER, &folder));
    let said = said(&output);
    let assert = |name: &str, wanted: &str| {
        assert!(
            said.contains(&format!("attempt {name}: {wanted}")),
            "{name}: {wanted}\n{said}"
        );
    };
    for name in ["program", "program-of-a-thread", "packet-socket", "namespace"] {
        assert(name, "PermissionDenied");
    }
    for name in ["read", "replaced", "write", "socket", "unix"] {
        assert(name, "done");
    }
    assert!(
        said.contains("Seccomp:\t2") && said.contains("NoNewPrivs:\t1"),
        "{said}"
    );
    if has_landlock(&said) {
        for name in ["shadow", "shadow-of-a-thread", "write-beside", "temporary"] {
            assert(name, "PermissionDenied");
        }
    } else {
        eprintln!(
            "left out: this kernel has no landlock, so that files are guarded by their permissions only"
        );
    }
    let _ = fs::remove_dir_all(folder);
}

/// A key of `/proc/PID/status`.
fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap_or_default().trim().to_owned()
}

/// Asks over the Unix socket.
fn get(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("a socket");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn start(daemon: &str, config: &Path) -> Daemon {
    let mut running = Daemon::start(daemon, &binaries().join(daemon), config).expect("a process");
    running.wait_ready().expect("a daemon that serves");
    running
}

#[test]
fn every_daemon_serves_locked_in() {
    let site = Site::on_network([127, 0, 73]);
    let directory = fresh_directory().expect("a directory");
    let files = [site.pcscf_file(), site.icscf_file(), site.scscf_file(0)];
    for (daemon, file) in DAEMONS.iter().zip(files) {
        let admin: SocketAddr = SocketAddr::new(site.gm.ip(), 9091);
        let config = directory.join(format!("{daemon}.yaml"));
        // Neither folder is there yet.
        let socket = directory.join(format!("run/{daemon}.sock"));
        let admin_section = format!("  admin: {{listen: \"{admin}\", socket: {}}}\n", socket.display());
        let cdr_section = match *daemon {
            "scscf" => format!("  cdr: {{directory: {}}}\n", directory.join("cdr").display()),
            _ => String::new(),
        };
        fs::write(&config, format!("{file}{admin_section}{cdr_section}")).expect("a file");
        let mut running = start(daemon, &config);
        let log = running.log();
        assert!(log.contains("locked in"), "{log}");
        for thread in fs::read_dir(format!("/proc/{}/task", running.pid())).expect("threads") {
            let id = thread.expect("a thread").file_name();
            let id = id.to_string_lossy().parse().expect("a number");
            assert_eq!(status(id, "Seccomp"), "2", "{daemon}");
            assert_eq!(status(id, "NoNewPrivs"), "1", "{daemon}");
            // CAP_NET_BIND_SERVICE is bit 10; an ordinary user has none.
            let capabilities = u64::from_str_radix(&status(id, "CapEff"), 16).expect("a mask");
            assert_eq!(capabilities & !(1 << 10), 0, "{daemon} {capabilities:x}");
        }
        let (answer, _) = http_get(admin, "/health").expect("an answer");
        assert!(answer.contains("200"), "{daemon} {answer}");
        assert!(get(&socket, "/api/v1/node").contains(daemon), "{daemon}");
        running.stop().expect("an end");
    }
    assert!(directory.join("cdr").is_dir());
    let _ = fs::remove_dir_all(directory);
}

#[test]
fn what_is_switched_off_holds_nothing_and_what_is_required_holds_all() {
    let site = Site::on_network([127, 0, 74]);
    let directory = fresh_directory().expect("a directory");
    let config = directory.join("icscf.yaml");
    fs::write(&config, format!("{}  harden: off\n", site.icscf_file())).expect("a file");
    let mut running = start("icscf", &config);
    assert_eq!(status(running.pid(), "Seccomp"), "0", "{}", running.log());
    running.stop().expect("an end");

    fs::write(&config, format!("{}  harden: require\n", site.icscf_file())).expect("a file");
    let mut required = Daemon::start("icscf", &binaries().join("icscf"), &config).expect("a process");
    match required.wait_ready() {
        Ok(()) => {
            assert!(has_landlock(&required.log()), "{}", required.log());
            required.stop().expect("an end");
        }
        // It says which part this kernel does not have.
        Err(error) => assert!(error.to_string().contains("harden: require, but"), "{error}"),
    }
    must(
        Command::new(binaries().join("icscf"))
            .arg("--config")
            .arg(&config)
            .args(["--check", "--quiet"]),
    );
    let _ = fs::remove_dir_all(directory);
}

#[test]
fn a_locked_in_daemon_reads_a_configuration_that_has_taken_the_place_of_the_old_one() {
    let site = Site::on_network([127, 0, 75]);
    let directory = fresh_directory().expect("a directory");
    let config = directory.join("icscf.yaml");
    fs::write(&config, site.icscf_file()).expect("a file");
    let mut running = start("icscf", &config);
    for (number, more) in ["", "  no_such_key: 1\n"].into_iter().enumerate() {
        // As editors and ConfigMaps do it: another file under the old name.
        let new = directory.join("new.yaml");
        fs::write(&new, format!("{}{more}", site.icscf_file())).expect("a file");
        fs::rename(&new, &config).expect("the old name");
        let pid = running.pid().to_string();
        must(Command::new("kill").args(["-HUP", &pid]));
        let end = Instant::now() + Duration::from_secs(20);
        while running.log().matches("configuration read again").count() <= number {
            assert!(Instant::now() < end, "{}", running.tail(20));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(running.log().contains("no_such_key"), "{}", running.log());
    assert!(!running.log().contains("ermission denied"), "{}", running.log());
    running.stop().expect("an end");
    let _ = fs::remove_dir_all(directory);
}
