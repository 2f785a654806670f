//! Engine: what became of a trial with a Diameter peer, in words (RFC 6733 5.3, 7.1).

use std::net::SocketAddr;

use super::check::Check;
use crate::config::HssSurroundings;
use crate::diameter::base::Application;

const NAME: &str = "diameter";

/// How far a trial came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// No connection.
    NotConnected(Unreached),
    /// Connected, and the CER was not answered in time.
    Silent,
    /// Connected, and closed at the CER.
    Closed,
    /// What came is no Diameter.
    NotDiameter(String),
    /// A CEA.
    Answered(Answer),
}

/// Why there is no connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Unreached {
    /// Nobody listens.
    Refused,
    /// No answer at all.
    TimedOut,
    /// The name has no address.
    NoAddress,
    /// All else, as the system says it.
    Other(String),
}

/// A CEA.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Answer {
    /// Result-Code, or that of Experimental-Result.
    pub(super) result: Option<u32>,
    pub(super) origin_host: String,
    pub(super) origin_realm: String,
    pub(super) error_message: Option<String>,
    /// Of the applications that it names one is Cx, or all.
    pub(super) serves_cx: bool,
}

/// What it means, and what to do.
pub(super) fn judge(own: &HssSurroundings, peer: &str, outcome: &Outcome) -> Check {
    match outcome {
        Outcome::NotConnected(reason) => unreached(peer, reason),
        Outcome::Silent => Check::fail(
            NAME,
            format!("{peer} accepts connections and does not answer our CER"),
            "see whether an HSS listens there and works (PyHSS: its service `hss` beside `diameter`, and Redis), and no web \
             server or another program",
        ),
        Outcome::Closed => Check::fail(
            NAME,
            format!(
                "{peer} closes the connection at our CER, without an answer: it may not know {}, or have a connection with this \
                 Origin-Host already",
                own.origin_host
            ),
            format!(
                "let the HSS know {} in realm {} (freeDiameter: ConnectPeer), and give no two nodes one hss.origin_host",
                own.origin_host, own.origin_realm
            ),
        ),
        Outcome::NotDiameter(why) => Check::fail(
            NAME,
            format!("{peer} answers our CER with something that is no Diameter: {why}"),
            "correct the port in hss.peers",
        ),
        Outcome::Answered(answer) => answered(own, peer, answer),
    }
}

fn unreached(peer: &str, reason: &Unreached) -> Check {
    let (found, remedy) = match reason {
        Unreached::Refused => (
            "nobody listens there (connection refused)".to_owned(),
            "start the HSS, or correct address and port in hss.peers",
        ),
        Unreached::TimedOut => (
            "no answer at all".to_owned(),
            "see whether the machine is up, and routes and firewalls let TCP pass",
        ),
        Unreached::NoAddress => (
            "the name has no address".to_owned(),
            "write IP:port in hss.peers, or put the name into DNS (hosts is for SIP only)",
        ),
        Unreached::Other(said) => (
            said.clone(),
            "correct hss.peers, or see to the route and the firewall",
        ),
    };
    Check::fail(NAME, format!("{peer} is not reached: {found}"), remedy)
}

fn answered(own: &HssSurroundings, peer: &str, answer: &Answer) -> Check {
    let who = match answer.origin_host.is_empty() {
        true => peer.to_owned(),
        false => format!("{} ({peer})", answer.origin_host),
    };
    match answer.result {
        Some(2_000..3_000) => welcome(own, &who, answer),
        Some(5_012) if is_busy(answer) => Check::fail(
            NAME,
            format!(
                "{who} refuses our CER (5012): it has a connection with {} already, Origin-Host is in use twice",
                own.origin_host
            ),
            remedy(own, 4_003),
        ),
        Some(code) => {
            let said = answer.error_message.as_ref();
            let said = said.map(|text| format!(", \"{text}\"")).unwrap_or_default();
            Check::fail(
                NAME,
                format!("{who} refuses our CER: {}{said}", words(code)),
                remedy(own, code),
            )
        }
        None => Check::fail(
            NAME,
            format!("{who} answers our CER without a Result-Code"),
            "see its log; this is no CEA of RFC 6733",
        ),
    }
}

/// freeDiameter says so of a peer whose connection is open.
fn is_busy(answer: &Answer) -> bool {
    let said = answer.error_message.as_deref();
    said.is_some_and(|text| text.contains("Invalid state to receive a new connection"))
}

fn welcome(own: &HssSurroundings, who: &str, answer: &Answer) -> Check {
    if answer.origin_host.eq_ignore_ascii_case(&own.origin_host) {
        return Check::fail(
            NAME,
            format!(
                "{who} calls itself {}, as we do: Origin-Host is in use twice",
                own.origin_host
            ),
            "give hss.origin_host a name of this node's own",
        );
    }
    if !answer.serves_cx {
        return Check::fail(
            NAME,
            format!(
                "{who} does not serve Cx ({}), only other applications",
                Application::CX.id
            ),
            "correct hss.peers: this may be a PCRF or an HSS for S6a alone; Open5GS's HSS needs the extension dict_dcca_3gpp",
        );
    }
    if !answer.origin_realm.eq_ignore_ascii_case(&own.destination_realm) {
        return Check::warn(
            NAME,
            format!(
                "{who} is of realm {}, and our requests go to realm {}: only a relay, or an HSS that does not look, takes them",
                answer.origin_realm, own.destination_realm
            ),
            format!(
                "if it is the HSS itself set hss.destination_realm to {}",
                answer.origin_realm
            ),
        );
    }
    Check::ok(NAME, format!("{who} of realm {} serves Cx", answer.origin_realm))
}

/// A Result-Code of a CEA as people say it.
fn words(code: u32) -> String {
    let words = match code {
        3_003 => "it does not serve the realm",
        3_010 => "it does not know us as a peer",
        4_003 => "it lost the election: it has a connection with this Origin-Host already",
        5_005 => "it misses an AVP",
        5_010 => "no application in common",
        5_012 => "unable to comply",
        5_017 => "no security in common: it wants TLS",
        _ => return format!("Result-Code {code}"),
    };
    format!("{words} ({code})")
}

fn remedy(own: &HssSurroundings, code: u32) -> String {
    let (host, realm) = (&own.origin_host, &own.origin_realm);
    match code {
        3_003 | 3_010 => format!(
            "let the HSS know {host} in realm {realm} (freeDiameter: ConnectPeer = \"{host}\" {{ … }}; --snippets prints it)"
        ),
        4_003 | 5_012 => format!(
            "see the HSS's log; {host} may be in use twice: by another node, or by this one before a restart"
        ),
        5_010 => "have the HSS serve Cx (Open5GS: the HSS's own hss.conf, with dict_dcca_3gpp), or correct hss.peers".to_owned(),
        5_017 => "add No_TLS to the ConnectPeer of this node in freeDiameter's configuration".to_owned(),
        _ => "see the HSS's log".to_owned(),
    }
}

/// A second peer of our name would take the place of the daemon, if that is who holds the port.
pub(super) fn not_tried() -> Check {
    Check::skipped(
        NAME,
        "the HSSs are not tried: a process that cannot be seen from here holds a port of the configuration; if it is this \
         daemon, a second peer of its name would end its connections; look as root, or as the user of the daemon",
    )
}

/// Only HSSs that dial us can reach such a node.
pub(super) fn without_peers(listen: Option<SocketAddr>) -> Check {
    match listen {
        Some(address) => Check::skipped(NAME, format!("hss.peers is empty: HSSs have to dial {address}")),
        None => Check::fail(
            NAME,
            "neither hss.peers nor hss.listen is set: no HSS is asked",
            "name the HSS in hss.peers (IP:port)",
        ),
    }
}

/// The state of the peers of a daemon that runs: a second connection with its Origin-Host would make one of them deaf.
pub(super) fn of_the_daemon(own: &HssSurroundings, open: Option<u64>, last_errors: &[String]) -> Check {
    let configured = own.peers.len();
    match open {
        None => Check::skipped(
            NAME,
            "the daemon runs and holds the connections: no second one with its Origin-Host is tried (see its peers: admin)",
        ),
        Some(0) => {
            let why = match last_errors {
                [] => String::new(),
                all => format!(" ({})", all.join("; ")),
            };
            Check::fail(
                NAME,
                format!(
                    "the daemon runs and has no open connection with {}{why}",
                    own.peers.join(", ")
                ),
                "see its log for the reason, or stop it and run --doctor again: then each peer is tried",
            )
        }
        Some(open) => Check::ok(
            NAME,
            format!("the daemon runs and has {open} open connections, {configured} configured"),
        ),
    }
}

/// `ims_diameter_peers_open` of a daemon's metrics.
pub(super) fn peers_open(metrics: &str) -> Option<u64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("ims_diameter_peers_open"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::doctor::check::Verdict;

    fn own() -> HssSurroundings {
        HssSurroundings {
            origin_host: "scscf.ims.example".to_owned(),
            origin_realm: "ims.example".to_owned(),
            destination_realm: "ims.example".to_owned(),
            peers: vec!["192.0.2.9:3868".to_owned()],
            in_flight: 1_000,
        }
    }

    fn answer() -> Answer {
        Answer {
            result: Some(2_001),
            origin_host: "hss.ims.example".to_owned(),
            origin_realm: "IMS.example".to_owned(),
            error_message: None,
            serves_cx: true,
        }
    }

    fn said(outcome: &Outcome) -> (Verdict, String) {
        let check = judge(&own(), "192.0.2.9:3868", outcome);
        (check.verdict, check.sentence())
    }

    fn of(change: impl FnOnce(&mut Answer)) -> (Verdict, String) {
        let mut answer = answer();
        change(&mut answer);
        said(&Outcome::Answered(answer))
    }

    #[test]
    fn an_hss_that_welcomes_us_is_ok() {
        let expected = "hss.ims.example (192.0.2.9:3868) of realm IMS.example serves Cx";
        assert_eq!(of(|_| {}), (Verdict::Ok, expected.to_owned()));
    }

    #[test]
    fn each_refusal_is_told_in_words_with_what_to_do() {
        for (code, words, remedy) in [
            (
                3_010,
                "does not know us as a peer (3010)",
                "ConnectPeer = \"scscf.ims.example\"",
            ),
            (5_010, "no application in common (5010)", "serve Cx"),
            (5_012, "unable to comply (5012)", "in use twice"),
            (5_017, "it wants TLS (5017)", "No_TLS"),
            (4_003, "election", "in use twice"),
            (5_999, "Result-Code 5999", "log"),
        ] {
            let (verdict, sentence) = of(|answer| answer.result = Some(code));
            assert_eq!(verdict, Verdict::Fail);
            assert!(
                sentence.contains(words) && sentence.contains(remedy),
                "{sentence}"
            );
        }
        let (_, sentence) = of(|answer| {
            answer.result = Some(3_010);
            answer.error_message = Some("go away".to_owned());
        });
        assert!(sentence.contains("(3010), \"go away\""), "{sentence}");
        assert_eq!(of(|answer| answer.result = None).0, Verdict::Fail);
    }

    #[test]
    fn free_diameter_that_has_a_connection_of_this_name_says_that_it_is_in_use_twice() {
        let (verdict, sentence) = of(|answer| {
            answer.result = Some(5_012);
            answer.error_message = Some("Invalid state to receive a new connection attempt.".to_owned());
        });
        assert_eq!(verdict, Verdict::Fail);
        let words = "refuses our CER (5012): it has a connection with scscf.ims.example already, Origin-Host is in use twice";
        assert!(sentence.contains(words), "{sentence}");
    }

    #[test]
    fn another_realm_is_a_warning_and_another_application_a_failure() {
        let (verdict, sentence) = of(|answer| answer.origin_realm = "epc.example".to_owned());
        assert_eq!(verdict, Verdict::Warn);
        assert!(
            sentence.contains("is of realm epc.example, and our requests go to realm ims.example"),
            "{sentence}"
        );
        let (verdict, sentence) = of(|answer| answer.serves_cx = false);
        assert_eq!(verdict, Verdict::Fail);
        assert!(sentence.contains("does not serve Cx (16777216)"), "{sentence}");
    }

    #[test]
    fn a_peer_with_our_own_name_is_origin_host_in_use_twice() {
        let (verdict, sentence) = of(|answer| answer.origin_host = "SCSCF.ims.example".to_owned());
        assert_eq!(verdict, Verdict::Fail);
        assert!(sentence.contains("in use twice"), "{sentence}");
    }

    #[test]
    fn connections_that_are_not_there_or_lead_nowhere_are_told_apart() {
        for (outcome, words) in [
            (Outcome::NotConnected(Unreached::Refused), "connection refused"),
            (Outcome::NotConnected(Unreached::TimedOut), "no answer at all"),
            (
                Outcome::NotConnected(Unreached::NoAddress),
                "the name has no address",
            ),
            (
                Outcome::NotConnected(Unreached::Other("no route to host".to_owned())),
                "no route to host",
            ),
            (Outcome::Silent, "does not answer our CER"),
            (Outcome::Closed, "closes the connection at our CER"),
            (
                Outcome::NotDiameter("version is not 1".to_owned()),
                "no Diameter: version is not 1",
            ),
        ] {
            let (verdict, sentence) = said(&outcome);
            assert_eq!(verdict, Verdict::Fail);
            assert!(sentence.contains(words), "{sentence}");
        }
    }

    #[test]
    fn a_daemon_that_runs_is_asked_instead() {
        assert_eq!(of_the_daemon(&own(), None, &[]).verdict, Verdict::Skipped);
        assert_eq!(of_the_daemon(&own(), Some(0), &[]).verdict, Verdict::Fail);
        assert_eq!(of_the_daemon(&own(), Some(1), &[]).verdict, Verdict::Ok);
        assert_eq!(peers_open("# TYPE x gauge\nims_diameter_peers_open 2\n"), Some(2));
        assert_eq!(peers_open("nothing"), None);
    }
}
