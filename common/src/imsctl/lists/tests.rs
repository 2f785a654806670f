//! Testkit: the lists as an operator reads them.

use super::*;
use crate::operate::{ImpuRow, SaStateRow, UserContactRow};

fn user() -> UserRow {
    let impu = |text: &str, barred| ImpuRow {
        impu: text.to_owned(),
        barred,
    };
    UserRow {
        node: "scscf".to_owned(),
        impis: vec!["001010000000001@home.example".to_owned()],
        impus: vec![
            impu("sip:001010000000001@home.example", true),
            impu("tel:+15550001", false),
        ],
        state: "registered".to_owned(),
        contacts: vec![UserContactRow {
            contact: "<sip:001010000000001@198.51.100.7:5060;transport=udp>".to_owned(),
            ..UserContactRow::default()
        }],
        expires_in_secs: Some(3_500),
        profiles: 1,
        application_servers: vec!["sip:tas.home.example".to_owned()],
    }
}

fn peer(state: &str, error: Option<&str>) -> PeerRow {
    PeerRow {
        node: "icscf".to_owned(),
        protocol: "diameter".to_owned(),
        address: "192.0.2.5:3868".to_owned(),
        host: Some("hss.home.example".to_owned()),
        state: state.to_owned(),
        since_secs: Some(61),
        last_error: error.map(str::to_owned),
        pending: 0,
    }
}

#[test]
fn a_user_stands_with_the_identity_that_is_used_first() {
    let report = Report {
        users: vec![user()],
        left_off: 3,
        ..Report::default()
    };
    let line = |node, user, state, expires, contact, others, servers| {
        format!("{node:<6}  {user:<13}  {state:<10}  {expires:<7}  {contact:<37}  {others:<41}  {servers}\n")
    };
    let expected = [
        line(
            "NODE",
            "USER",
            "STATE",
            "EXPIRES",
            "CONTACT",
            "OTHER IDENTITIES",
            "SERVERS",
        ),
        line(
            "S-CSCF",
            "tel:+15550001",
            "registered",
            "58m 20s",
            "sip:001010000000001@198.51.100.7:5060",
            "sip:001010000000001@home.example (barred)",
            "sip:tas.home.example",
        ),
        "3 more are left out; --limit shows more, a name fewer\n".to_owned(),
    ];
    assert_eq!(print(List::Users, &report, Paper::PIPE), expected.concat());
}

#[test]
fn an_empty_list_says_so() {
    for (list, text) in [
        (List::Users, "no users\n"),
        (List::Sas, "no security associations\n"),
    ] {
        assert_eq!(print(list, &Report::default(), Paper::PIPE), text);
    }
    assert_eq!(findings(&Findings::default(), Paper::PIPE), "no findings\n");
}

#[test]
fn contacts_peers_bans_and_sessions_are_lines() {
    let report = Report {
        contacts: vec![ContactRow {
            node: "pcscf".to_owned(),
            contact: "sip:198.51.100.7:5060".to_owned(),
            impus: vec!["tel:+15550001".to_owned()],
            flow: "udp 198.51.100.7:5060".to_owned(),
            expires_in_secs: 59,
            ..ContactRow::default()
        }],
        peers: vec![peer("okay", None), peer("down", Some("connection refused"))],
        bans: vec![BanRow {
            node: "pcscf".to_owned(),
            source: "203.0.113.9".to_owned(),
            cause: "scan".to_owned(),
            since_secs: 5,
            ends_in_secs: 55,
            dropped: 1_200,
        }],
        sessions: vec![SessionRow {
            node: "scscf".to_owned(),
            call_id: "c1".to_owned(),
            caller: "tel:+15550001".to_owned(),
            called: "tel:+15550002".to_owned(),
            state: "confirmed".to_owned(),
            side: "originating".to_owned(),
            icid: None,
            since_secs: 5,
        }],
        ..Report::default()
    };
    let lines: Vec<String> = [List::Contacts, List::Peers, List::Bans, List::Sessions]
        .iter()
        .map(|list| print(*list, &report, Paper::PIPE))
        .collect();
    assert_eq!(
        lines,
        [
            "NODE    USER           UE                     PROTECTED  EXPIRES  CONTACT\n\
             P-CSCF  tel:+15550001  udp 198.51.100.7:5060  no         59s      sip:198.51.100.7:5060\n",
            "NODE    PROTOCOL  PEER            HOST              STATE  SINCE   PENDING  LAST ERROR\n\
             I-CSCF  diameter  192.0.2.5:3868  hss.home.example  okay   1m 01s  0\n\
             I-CSCF  diameter  192.0.2.5:3868  hss.home.example  down   1m 01s  0        connection refused\n",
            "NODE    SOURCE       CAUSE  SINCE  ENDS IN  DROPPED\n\
             P-CSCF  203.0.113.9  scan   5s     55s      1200\n",
            "NODE    SIDE         STATE      SINCE  CALLER         CALLED         CALL-ID\n\
             S-CSCF  originating  confirmed  5s     tel:+15550001  tel:+15550002  c1\n",
        ]
    );
}

#[test]
fn associations_show_what_the_kernel_counted_and_limits_how_near_they_are() {
    let state = |packets, integrity_failed, installed| SaStateRow {
        spi: "c0ffee01".to_owned(),
        source: "198.51.100.7:45061".parse().unwrap(),
        destination: "192.0.2.1:6101".parse().unwrap(),
        installed,
        bytes: packets * 900,
        packets,
        replayed: 0,
        integrity_failed,
    };
    let report = Report {
        sas: vec![SaRow {
            node: "pcscf".to_owned(),
            id: 1,
            states: vec![state(4, 0, true), state(0, 2, false)],
        }],
        limits: vec![LimitRow {
            node: "pcscf".to_owned(),
            limit: "limits.transactions".to_owned(),
            value: 1_000,
            used: Some(910),
            refused: 3,
        }],
        ..Report::default()
    };
    assert_eq!(
        print(List::Sas, &report, Paper::PIPE),
        "NODE    SET  SPI       FROM                TO              PACKETS  OCTETS  WRONG KEY  KERNEL\n\
         P-CSCF  1    c0ffee01  198.51.100.7:45061  192.0.2.1:6101  4        3600               has it\n\
         P-CSCF  1    c0ffee01  198.51.100.7:45061  192.0.2.1:6101  0        0       2          gone\n"
    );
    assert_eq!(
        print(List::Limits, &report, Paper::PIPE),
        "NODE    LIMIT                VALUE  USED  %   REFUSED\n\
         P-CSCF  limits.transactions  1000   910   91  3\n"
    );
}

#[test]
fn the_status_names_what_is_wrong() {
    let node = NodeRow {
        config_generation: 0,
        last_reload: None,
        node: "icscf".to_owned(),
        status: NodeStatus::Serving,
        version: "0.1.0".to_owned(),
        uptime_secs: 3_600,
        shards: 1,
        sip: vec!["192.0.2.3:5060".parse().unwrap()],
        neighbours: Vec::new(),
    };
    let mut status = Status {
        counts: vec![(List::Users, 2), (List::Contacts, 1), (List::Sessions, 0)],
        findings: 2,
        ..Status::default()
    };
    status.nodes.nodes = vec![node];
    status.peers.peers = vec![peer("okay", None), peer("down", Some("connection refused"))];
    assert_eq!(
        status.print(Paper::PIPE),
        "NODE    STATUS   UPTIME  VERSION  SHARDS  SIP\n\
         I-CSCF  serving  1h 00m  0.1.0    1       192.0.2.3:5060\n\
         \n\
         2 users, 1 contacts, 0 sessions\n\
         ! I-CSCF: diameter peer hss.home.example at 192.0.2.5:3868 is down (connection refused)\n\
         2 failures are explained (imsctl findings)\n"
    );
}
