//! Shell: a responder that knows little SIP, to see how much the load program itself can do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::str;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::phone::number_of;
use super::relay::{self, Whereabouts};
use super::{Plan, Report, Scenario, run};
use crate::hss::{TEST_K, TEST_OPC};
use crate::milenage::{Milenage, Sqn};
use crate::site::HOME;

/// Where it answers, until the process ends.
const fn address_of(scenario: Scenario) -> SocketAddr {
    let last = match scenario {
        Scenario::Register | Scenario::Reregister | Scenario::Deregister | Scenario::Mixed => 1,
        Scenario::Calls => 2,
        Scenario::Messages => 3,
    };
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 78, last)), 5060)
}

/// Raises the rate until the program no longer keeps up with a responder that challenges and accepts everybody, and
/// carries calls and messages from one phone to the other: what it found at each rate.
///
/// # Errors
/// When a socket cannot be had.
pub fn ceiling(plan: &Plan) -> Result<Vec<Report>> {
    let address = address_of(plan.scenario);
    let socket = relay::bind(address)?;
    std::thread::spawn(move || respond(&socket, address));
    let mut reports = Vec::new();
    let scenario = match plan.scenario {
        Scenario::Calls | Scenario::Messages => plan.scenario,
        Scenario::Register | Scenario::Reregister | Scenario::Deregister | Scenario::Mixed => {
            Scenario::Register
        }
    };
    for rate in [500_u32, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000] {
        let plan = Plan {
            pcscf: address,
            users: 1_000.min(plan.addresses),
            prepare_rate: 2_000.0,
            hold: 0.0,
            operations: Some(u64::from(rate) * 2),
            rate: f64::from(rate),
            scenario,
            patience: 8,
            ..plan.clone()
        };
        let report = run(&plan)?;
        eprint!("{report}");
        let goes_on = report.keeps_up();
        reports.push(report);
        if !goes_on {
            break;
        }
    }
    Ok(reports)
}

/// The highest rate of these at which the program kept up.
#[must_use]
pub fn highest(reports: &[Report]) -> f64 {
    let good = reports.iter().filter(|report| report.keeps_up());
    good.map(|report| report.rate_intended).fold(0.0, f64::max)
}

fn respond(socket: &UdpSocket, own: SocketAddr) {
    let mut phones = Whereabouts::default();
    let milenage = Milenage::new(&TEST_K, &TEST_OPC);
    let mut sqn = Sqn::default();
    let mut buffer = [0; 16_384];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let Ok(text) = str::from_utf8(buffer.get(..length).unwrap_or_default()) else {
            continue;
        };
        if !text.starts_with("REGISTER") {
            let _ = phones
                .pass(text, own)
                .map(|(text, to)| socket.send_to(text.as_bytes(), to));
            continue;
        }
        let Some(via) = text.lines().nth(1) else { continue };
        let cseq = text.lines().find(|line| line.starts_with("CSeq:"));
        let cseq = cseq.unwrap_or("CSeq: 0 REGISTER");
        let answer = if text.contains("response=\"\"") {
            sqn = sqn.next();
            let vector = milenage.vector([7; 16], sqn, [0x80, 0]);
            let nonce = STANDARD.encode([vector.rand, vector.autn].concat());
            format!(
                "SIP/2.0 401 Unauthorized\r\n{via}\r\n{cseq}\r\nWWW-Authenticate: Digest realm=\"{HOME}\",nonce=\"{nonce}\",\
                 algorithm=AKAv1-MD5,qop=\"auth\"\r\nContent-Length: 0\r\n\r\n"
            )
        } else {
            if let Some(imsi) = text.split_once("\r\nTo: ").and_then(|(_, to)| relay::user_of(to)) {
                phones.learn(number_of(imsi.parse().unwrap_or_default()), from);
            }
            format!("SIP/2.0 200 OK\r\n{via}\r\n{cseq}\r\nContent-Length: 0\r\n\r\n")
        };
        let _ = socket.send_to(answer.as_bytes(), from);
    }
}
