//! Shell: baresip, a client without IMS: it registers with a password, calls and is called.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use ims_tests::daemons::{Daemon, fresh_directory};
use ims_tests::scene::imsi;
use ims_tests::site::{HOME, Site};

use super::{PASSWORD, client, impu};
use crate::network::Network;

/// Starts a baresip without sound as the client with this number, which does this and answers every call.
fn start(site: &Site, number: u8, commands: &[&str]) -> Daemon {
    let directory = fresh_directory().expect("a directory");
    let local: SocketAddr = site.ue(number);
    let config = format!(
        "sip_listen {local}\naudio_player aubridge,nil\naudio_source aubridge,nil\naudio_alert aubridge,nil\n\
         audio_channels 1\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aubridge.so\n\
         module_tmp account.so\nmodule_app menu.so\n"
    );
    let user = imsi(number);
    let account = format!(
        "<sip:{user}@{HOME}>;auth_user={user}@{HOME};auth_pass={PASSWORD};outbound=\"sip:{}\";regint=3600;\
         answermode=auto\n",
        site.gm
    );
    for (name, text) in [("config", config), ("accounts", account), ("contacts", String::new())] {
        fs::write(directory.join(name), text).expect("a file");
    }
    let mut command = Command::new("baresip");
    command.arg("-4").arg("-s").arg("-f").arg(&directory).args(["-t", "60"]);
    for text in commands {
        command.args(["-e", text]);
    }
    Daemon::run("baresip", command, directory.join("baresip.log"))
        .expect("baresip is not installed: `apt-get install baresip-core` (make test does it)")
}

fn wait_for(daemon: &Daemon, words: &str, network: &Network) {
    let end = Instant::now() + Duration::from_secs(20);
    while !daemon.log().contains(words) {
        assert!(
            Instant::now() < end,
            "baresip does not say `{words}`:\n{}\n{}",
            daemon.tail(200),
            network.daemons.tails(30)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn baresip_registers_with_a_password() {
    let site = Site::on_network([127, 0, 34]);
    let network = Network::start(site, vec![client(95), client(96)]);
    let callee = start(&network.site, 96, &[]);
    wait_for(&callee, "200 OK", &network);
    panic!("{}", callee.log());
}
