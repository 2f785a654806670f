//! Test: files of Open5GS and PyHSS against a configuration of ours.

use super::*;
use crate::config::{HssSurroundings, ListenAddress, SipListener};
use crate::shell::doctor::check::Verdict;

const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";

fn pcscf(gm: &str) -> ShellConfig {
    let address: ListenAddress = gm.parse().unwrap();
    let mut config = ShellConfig::new(
        "pcscf",
        vec![SipListener::new(Interface::Gm, address, "pcscf.gm.address")],
    );
    config.ue_pools = ["10.45.0.0/16", "10.46.0.0/16"]
        .map(|pool| pool.parse().unwrap())
        .to_vec();
    config
}

fn scscf() -> ShellConfig {
    let mut config = ShellConfig::new("scscf", Vec::new());
    config.diameter_local = Some("192.0.2.4".parse().unwrap());
    config.surroundings.home_realm = HOME.to_owned();
    config.surroundings.server_names = vec![format!("sip:scscf.{HOME}")];
    config.surroundings.hss = Some(HssSurroundings {
        origin_host: format!("scscf.{HOME}"),
        origin_realm: HOME.to_owned(),
        destination_realm: HOME.to_owned(),
        peers: vec!["192.0.2.9:3868".to_owned()],
        in_flight: 1,
    });
    config
}

fn smf(config: &ShellConfig, text: &str) -> Vec<(Verdict, String)> {
    let files = Files {
        smf: Some(("smf.yaml".to_owned(), text.to_owned())),
        ..Files::default()
    };
    said(judge(config, &files).unwrap())
}

fn hss(config: &ShellConfig, text: &str) -> Vec<(Verdict, String)> {
    let files = Files {
        hss: Some(("hss.conf".to_owned(), text.to_owned())),
        ..Files::default()
    };
    said(judge(config, &files).unwrap())
}

fn pyhss(config: &ShellConfig, text: &str) -> Vec<(Verdict, String)> {
    let files = Files {
        pyhss: Some(("config.yaml".to_owned(), text.to_owned())),
        ..Files::default()
    };
    said(judge(config, &files).unwrap())
}

fn said(checks: Vec<Check>) -> Vec<(Verdict, String)> {
    checks
        .into_iter()
        .map(|check| (check.verdict, check.sentence()))
        .collect()
}

fn smf_file(p_cscf: &str) -> String {
    format!(
        "logger:\n  level: info\nsmf:\n  pfcp:\n    server:\n      - address: 127.0.0.4\n  session:\n    - subnet: 10.45.0.0/16\n      \
         gateway: 10.45.0.1\n      dnn: internet\n    - subnet: 10.46.0.0/16\n      gateway: 10.46.0.1\n      dnn: ims\n{p_cscf}  mtu: 1400\n"
    )
}

#[test]
fn the_smf_that_tells_our_address_is_ok() {
    let said = smf(&pcscf("192.0.2.5"), &smf_file("  p-cscf:\n    - 192.0.2.5\n"));
    assert_eq!(
        said,
        [(Verdict::Ok, "smf.p-cscf tells handsets 192.0.2.5".to_owned())]
    );
    let said = smf(&pcscf("192.0.2.5"), &smf_file("  p-cscf: 192.0.2.5\n"));
    assert_eq!(said[0].0, Verdict::Ok, "one address needs no list: {said:?}");
}

#[test]
fn a_missing_loopback_or_foreign_p_cscf_is_told() {
    for (lines, words) in [
        ("", "smf.p-cscf is missing"),
        ("  p-cscf:\n", "smf.p-cscf is missing"),
        (
            "  p-cscf:\n    - 127.0.0.1\n    - ::1\n",
            "tells handsets 127.0.0.1, ::1: a loopback address, which a handset takes for itself, and this P-CSCF is at 192.0.2.5",
        ),
        (
            "  p-cscf:\n    - 2001:db8::5\n",
            ": only the other address family",
        ),
        (
            "  p-cscf:\n    - 192.0.2.77\n",
            "tells handsets 192.0.2.77, and this P-CSCF is at 192.0.2.5",
        ),
    ] {
        let said = smf(&pcscf("192.0.2.5"), &smf_file(lines));
        assert_eq!(said[0].0, Verdict::Fail, "{said:?}");
        assert!(
            said[0].1.contains(words) && said[0].1.contains("paste the lines below"),
            "{said:?}"
        );
    }
    let both = smf(
        &pcscf("192.0.2.5"),
        &smf_file("  p-cscf: [192.0.2.5, 127.0.0.1]\n"),
    );
    assert_eq!(both[0].0, Verdict::Warn, "{both:?}");
}

#[test]
fn a_block_of_the_ims_apn_outside_of_ue_pool_is_told() {
    let mut config = pcscf("192.0.2.5");
    config.ue_pools = vec!["10.45.0.0/16".parse().unwrap()];
    let said = smf(&config, &smf_file("  p-cscf: [192.0.2.5]\n"));
    assert!(
        said[1].1.contains("add 10.46.0.0/16 to pcscf.ue_pool"),
        "{said:?}"
    );
    assert_eq!(
        said.len(),
        2,
        "the block of the other APN does not count: {said:?}"
    );
}

const HSS: &str = "Identity = \"hss.ims.mnc001.mcc001.3gppnetwork.org\";\nRealm = \"ims.mnc001.mcc001.3gppnetwork.org\";\n\
                   ListenOn = \"192.0.2.9\";\n";

#[test]
fn an_hss_that_knows_us_is_ok_and_one_that_does_not_gets_a_snippet() {
    let config = scscf();
    let [snippet, _] = snippets(&config).try_into().unwrap();
    let said_of = hss(&config, &format!("{HSS}{}", snippet.text));
    assert!(
        said_of.iter().all(|(verdict, _)| *verdict == Verdict::Ok),
        "our own snippet is good: {said_of:?}"
    );
    let said_of = hss(&config, HSS);
    assert_eq!(said_of[0].0, Verdict::Fail);
    assert!(
        said_of[0].1.contains(&format!("no ConnectPeer for scscf.{HOME}")),
        "{said_of:?}"
    );
    assert!(
        snippet.text.starts_with(&format!(
            "ConnectPeer = \"scscf.{HOME}\" {{ ConnectTo = \"192.0.2.4\"; Port = 3868; No_TLS;"
        )),
        "{snippet:?}"
    );
}

#[test]
fn other_realms_names_and_addresses_of_the_hss_are_told() {
    let peer = format!("ConnectPeer = \"scscf.{HOME}\" {{ No_TLS; }};\n");
    for (text, words) in [
        (
            format!("Identity = \"hss.epc.example\";\nRealm = \"epc.example\";\n{peer}"),
            "the HSS is of realm epc.example",
        ),
        (
            format!("Identity = \"hss.epc.example\";\n{peer}"),
            "the HSS is of realm epc.example",
        ),
        (
            format!("Identity = \"scscf.{HOME}\";\n{peer}"),
            "and so is our hss.origin_host",
        ),
        (
            format!("{HSS}ConnectPeer = \"scscf.{HOME}\" {{ No_TLS; Realm = \"epc.example\"; }};"),
            "line 4: ConnectPeer",
        ),
        (format!("{HSS}ConnectPeer = \"scscf.{HOME}\";"), "has no No_TLS"),
        (
            format!("Identity = \"hss.{HOME}\"; ListenOn = \"127.0.0.8\";\n{peer}"),
            "it listens on 127.0.0.8:3868 (ListenOn, Port), and hss.peers is 192.0.2.9:3868",
        ),
    ] {
        let said_of = hss(&scscf(), &text);
        let told = said_of
            .iter()
            .any(|(verdict, said)| *verdict >= Verdict::Warn && said.contains(words));
        assert!(told, "{words} in {said_of:?}");
    }
}

#[test]
fn pyhss_is_compared_by_realm_transport_port_and_pool() {
    let good = "hss:\n  transport: \"TCP\"\n  bind_ip: [\"0.0.0.0\"]\n  bind_port: 3868\n  OriginHost: hss01\n  MCC: \"001\"\n  \
                MNC: \"01\"\n  scscf_pool:\n    - 'scscf.ims.mnc001.mcc001.3gppnetwork.org'\nhss_other: 1\n";
    assert_eq!(
        pyhss(&scscf(), good)[0].0,
        Verdict::Ok,
        "{:?}",
        pyhss(&scscf(), good)
    );
    for (from, to, words) in [
        (
            "\"01\"",
            "\"99\"",
            "make identities of ims.mnc099.mcc001.3gppnetwork.org",
        ),
        (
            "\"TCP\"",
            "\"SCTP\"",
            "listens on SCTP (transport), and hss.peers dials TCP",
        ),
        ("3868", "3875", "listens on port 3875 (bind_port)"),
        ("0.0.0.0", "127.0.0.1", "listens on 127.0.0.1 only (bind_ip)"),
        ("'scscf.ims", "'other.ims", "its scscf_pool hands out other.ims"),
        (
            "hss01",
            "scscf.ims.mnc001.mcc001.3gppnetwork.org",
            "its OriginHost is",
        ),
    ] {
        let said_of = pyhss(&scscf(), &good.replacen(from, to, 1));
        assert_eq!(said_of[0].0, Verdict::Fail, "{said_of:?}");
        assert!(said_of[0].1.contains(words), "{words} in {said_of:?}");
    }
    let mut config = scscf();
    config.surroundings.hss.as_mut().unwrap().in_flight = 1_000;
    let said_of = pyhss(&config, good);
    assert!(said_of[1].1.contains("cx.in_flight to 1"), "{said_of:?}");
}

#[test]
fn files_that_cannot_be_read_are_told_with_file_and_line() {
    let of = |files: Files| judge(&pcscf("192.0.2.5"), &files).unwrap_err().to_string();
    let file = |name: &str, text: &str| Some((name.to_owned(), text.to_owned()));
    let broken = of(Files {
        smf: file("smf.yaml", "smf:\n  p-cscf: [192.0.2.5\n  mtu: 1400\n"),
        ..Files::default()
    });
    assert!(broken.starts_with("smf.yaml:"), "{broken}");
    let wrong = of(Files {
        smf: file("smf.yaml", "smf:\n  session: 7\n"),
        ..Files::default()
    });
    assert!(wrong.starts_with("smf.yaml:2:"), "{wrong}");
    let broken = of(Files {
        hss: file("hss.conf", "Identity = \"a\";\nRealm = \"b;\n"),
        ..Files::default()
    });
    assert_eq!(broken, "hss.conf:2:1: a text has no closing quote");
}

#[test]
fn each_file_is_for_the_node_that_it_concerns() {
    assert_eq!(smf(&scscf(), "smf: {}")[0].0, Verdict::Skipped);
    assert_eq!(hss(&pcscf("192.0.2.5"), HSS)[0].0, Verdict::Skipped);
    assert_eq!(pyhss(&pcscf("192.0.2.5"), "hss: {}")[0].0, Verdict::Skipped);
    assert_eq!(smf(&pcscf("192.0.2.5"), "amf: {}")[0].0, Verdict::Fail);
}

#[test]
fn snippets_are_what_the_neighbours_need_of_this_configuration() {
    let of = |config: &ShellConfig| snippets(config).into_iter().map(|s| s.text).collect::<Vec<_>>();
    assert_eq!(of(&pcscf("192.0.2.5")), ["smf:\n  p-cscf:\n    - 192.0.2.5\n"]);
    let [_, pyhss] = of(&scscf()).try_into().unwrap();
    assert_eq!(
        pyhss,
        format!("hss:\n  MCC: \"001\"\n  MNC: \"001\"\n  scscf_pool:\n    - \"sip:scscf.{HOME}\"\n")
    );
}
