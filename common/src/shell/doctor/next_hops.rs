//! Engine: whether requests find their way: what DNS or the file says of a next hop, and who answers there.

use std::net::SocketAddr;

use super::check::Check;
use crate::config::NextHop;

const DNS: &str = "dns";
const SIP: &str = "sip";

/// What an OPTIONS brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// An answer, whatever it says.
    Status(u16),
    /// None.
    Silent,
    /// Something else.
    NotSip,
    /// The system refused, or the other machine did.
    Error(String),
}

/// What was seen of a next hop.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    /// Its URI names an address.
    pub(super) is_literal: bool,
    /// `hosts` of the file names it.
    pub(super) is_from_file: bool,
    /// Each address and what it answered, in the order in which they are tried.
    pub(super) replies: Vec<(SocketAddr, Reply)>,
}

/// Where requests to it go, and whether it answers.
pub(super) fn judge(hop: &NextHop, servers: &str, seen: &Seen) -> Vec<Check> {
    let mut checks = Vec::new();
    let host = hop.uri.as_uri().host().to_string();
    if !seen.is_literal {
        let addresses: Vec<String> = seen.replies.iter().map(|(a, _)| a.to_string()).collect();
        if addresses.is_empty() {
            checks.push(Check::fail(
                DNS,
                format!(
                    "{host}, the {} of {}, has no NAPTR, SRV, A or AAAA record at {servers}",
                    hop.role, hop.key
                ),
                format!("put it into DNS, or into hosts of this file (hosts: {{{host}: \"IP:5060\"}}), or set {} to sip:IP:port", hop.key),
            ));
            return checks;
        }
        let who = match seen.is_from_file {
            true => "hosts of this file",
            false => servers,
        };
        checks.push(Check::ok(
            DNS,
            format!("{host} is {}, says {who}", addresses.join(", ")),
        ));
    }
    checks.extend(
        seen.replies
            .iter()
            .map(|(address, reply)| reachable(hop, *address, reply)),
    );
    checks
}

fn reachable(hop: &NextHop, address: SocketAddr, reply: &Reply) -> Check {
    let role = hop.role;
    let (found, remedy) = match reply {
        Reply::Status(status) => {
            return Check::ok(SIP, format!("{role} at {address} answers OPTIONS with {status}"));
        }
        Reply::Silent => (
            "does not answer OPTIONS".to_owned(),
            format!(
                "start it, correct {}, or see to the route and the firewall between the nodes (SIP over UDP and TCP)",
                hop.key
            ),
        ),
        Reply::NotSip => (
            "answers OPTIONS with something that is no SIP".to_owned(),
            format!("correct the port in {}", hop.key),
        ),
        Reply::Error(said) => (
            format!("is not reached: {said}"),
            format!("start it, or correct {}", hop.key),
        ),
    };
    // Nodes start in any order.
    Check::warn(SIP, format!("{role} at {address} {found}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::doctor::check::Verdict;

    fn hop(uri: &str) -> NextHop {
        NextHop {
            role: "I-CSCF",
            key: "pcscf.icscf",
            uri: uri.parse().unwrap(),
        }
    }

    fn replied(reply: Reply) -> Seen {
        Seen {
            replies: vec![("192.0.2.3:5060".parse().unwrap(), reply)],
            ..Seen::default()
        }
    }

    #[test]
    fn a_name_that_serves_nothing_fails_with_the_three_ways_out() {
        let [check] = judge(&hop("sip:ims.example"), "192.0.2.53:53", &Seen::default())
            .try_into()
            .unwrap();
        assert_eq!(check.verdict, Verdict::Fail);
        assert_eq!(
            check.sentence(),
            "ims.example, the I-CSCF of pcscf.icscf, has no NAPTR, SRV, A or AAAA record at 192.0.2.53:53; put it into DNS, or \
             into hosts of this file (hosts: {ims.example: \"IP:5060\"}), or set pcscf.icscf to sip:IP:port"
        );
    }

    #[test]
    fn a_hop_that_answers_is_ok_whatever_it_answers() {
        let checks = judge(&hop("sip:ims.example"), "DNS", &replied(Reply::Status(483)));
        assert!(
            checks.iter().all(|check| check.verdict == Verdict::Ok),
            "{checks:?}"
        );
        assert_eq!(checks[0].found, "ims.example is 192.0.2.3:5060, says DNS");
        let mut literal = replied(Reply::Status(200));
        literal.is_literal = true;
        assert_eq!(judge(&hop("sip:192.0.2.3"), "DNS", &literal).len(), 1);
    }

    #[test]
    fn a_hop_that_is_silent_or_no_sip_is_a_warning() {
        for reply in [
            Reply::Silent,
            Reply::NotSip,
            Reply::Error("connection refused".to_owned()),
        ] {
            let checks = judge(&hop("sip:ims.example"), "DNS", &replied(reply));
            assert_eq!(checks[1].verdict, Verdict::Warn, "{checks:?}");
            assert!(
                checks[1].found.starts_with("I-CSCF at 192.0.2.3:5060 "),
                "{checks:?}"
            );
        }
    }
}
