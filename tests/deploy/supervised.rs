//! Test: a supervisor hears of the daemons what systemd wants to hear.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use ims_tests::daemons::{Daemon, fresh_directory};
use ims_tests::site::Site;

use crate::binaries;

/// The next word that is not a sign of life; with `alive` the signs of life are counted.
fn heard(socket: &UnixDatagram, alive: &mut usize) -> String {
    loop {
        let mut octets = [0; 512];
        let length = socket.recv(&mut octets).expect("a word in time");
        let word = String::from_utf8_lossy(&octets[..length]).into_owned();
        if word != "WATCHDOG=1" {
            return word;
        }
        *alive += 1;
    }
}

#[test]
fn systemd_hears_that_a_daemon_serves_that_it_lives_and_that_it_ends() {
    let site = Site::on_network([127, 0, 71]);
    let directory = fresh_directory().expect("a directory");
    let socket = UnixDatagram::bind(directory.join("notify")).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    let files = [site.pcscf_file(), site.icscf_file(), site.scscf_file(0)];
    for (daemon, file) in crate::DAEMONS.iter().zip(files) {
        let config = directory.join(format!("{daemon}.yaml"));
        std::fs::write(&config, file).expect("a file");
        let mut command = Command::new(binaries().join(daemon));
        command
            .arg("--config")
            .arg(&config)
            .env("NOTIFY_SOCKET", directory.join("notify"))
            .env("WATCHDOG_USEC", "100000");
        let log = directory.join(format!("{daemon}.log"));
        let mut running = Daemon::run(daemon, command, log).expect("a process");
        let mut alive = 0;
        assert_eq!(
            heard(&socket, &mut alive),
            format!("READY=1\nSTATUS={daemon} serves")
        );
        running.wait_ready().expect("the same in the log");
        for _ in 0..3 {
            let mut octets = [0; 64];
            let length = socket.recv(&mut octets).expect("a sign of life");
            assert_eq!(&octets[..length], b"WATCHDOG=1", "{daemon}");
        }
        running.terminate().expect("a signal");
        assert_eq!(
            heard(&socket, &mut alive),
            format!("STOPPING=1\nSTATUS={daemon} drains: SIGTERM")
        );
        assert!(
            running.wait_end().expect("an end").success(),
            "{}",
            running.tail(20)
        );
        // Signs of life that were under way belong to this one.
        socket.set_nonblocking(true).expect("a mode");
        while socket.recv(&mut [0; 64]).is_ok() {}
        socket.set_nonblocking(false).expect("a mode");
    }
    let _ = std::fs::remove_dir_all(directory);
}
