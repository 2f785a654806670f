//! Shell: baresip, a client without IMS: it registers with a password, calls and is called.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use ims_tests::daemons::{Daemon, fresh_directory};
use ims_tests::scene::imsi;
use ims_tests::site::{HOME, Site};

use super::sipp::{call, phone};
use super::{PASSWORD, client, impu};
use crate::network::Network;

/// Where its commands are taken.
const fn control(local: SocketAddr) -> SocketAddr {
    SocketAddr::new(local.ip(), 4_444)
}

/// Starts a baresip without sound as the client with this number, which answers every call.
fn start(site: &Site, number: u8) -> Daemon {
    let directory = fresh_directory().expect("a directory");
    let local: SocketAddr = site.ue(number);
    let config = format!(
        "sip_listen {local}\naudio_player aubridge,nil\naudio_source aubridge,nil\naudio_alert aubridge,nil\n\
         audio_channels 1\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aubridge.so\n\
         module ctrl_tcp.so\nctrl_tcp_listen {}\nmodule_tmp account.so\nmodule_app menu.so\n",
        control(local)
    );
    let user = imsi(number);
    let account = format!(
        "<sip:{user}@{HOME}>;auth_user={user}@{HOME};auth_pass={PASSWORD};outbound=\"sip:{}\";regint=3600;\
         answermode=auto\n",
        site.gm
    );
    for (name, text) in [
        ("config", config),
        ("accounts", account),
        ("contacts", String::new()),
    ] {
        fs::write(directory.join(name), text).expect("a file");
    }
    let mut command = Command::new("baresip");
    command
        .arg("-4")
        .arg("-s")
        .arg("-f")
        .arg(&directory)
        .args(["-t", "60"]);
    Daemon::run("baresip", command, directory.join("baresip.log"))
        .expect("baresip is not installed: `apt-get install baresip-core` (make test does it)")
}

fn wait_for(daemon: &Daemon, words: &str, network: &Network) {
    let end = Instant::now() + Duration::from_secs(8);
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

/// A command as a netstring of JSON, the way its module `ctrl_tcp` wants it.
fn tell(site: &Site, number: u8, command: &str, parameters: &str) {
    let text = format!("{{\"command\":\"{command}\",\"params\":\"{parameters}\"}}");
    let mut stream = TcpStream::connect(control(site.ue(number))).expect("baresip's commands");
    write!(stream, "{}:{text},", text.len()).expect("a command");
    // It has read it when it answers.
    let wait = Some(Duration::from_secs(5));
    stream.set_read_timeout(wait).expect("a socket");
    let _ = stream.read(&mut [0; 512]);
}

#[test]
fn baresip_with_a_password_is_called_and_calls() {
    let site = Site::on_network([127, 0, 54]);
    let network = Network::start(site, vec![client(95), client(96)]);
    let client = start(&network.site, 96);
    wait_for(&client, "[1 binding]", &network);

    let seen = call(&network, 95, "u1", &impu(96));
    assert!(seen.contains("SIP/2.0 180"), "{seen}");

    let phone = phone(&network, 95, "u1");
    tell(&network.site, 96, "dial", &impu(95));
    // The words "Call established" may be those of the call before.
    phone.wait_for("ACK sip:callee@");
    tell(&network.site, 96, "hangup", "");
    phone.wait_for("BYE sip:callee@");
    network.stop();
}
