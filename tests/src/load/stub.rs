//! Shell: a home network that challenges and accepts everybody, for little processor time: what a P-CSCF alone speaks to.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::str;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::relay;
use crate::hss::{TEST_K, TEST_OPC};
use crate::milenage::{Milenage, Sqn};
use crate::site::HOME;

/// Lets it answer here until the process ends. Another call finds it there.
///
/// # Errors
/// When the address is not to be had.
pub(super) fn start(address: SocketAddr) -> Result<()> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| serve(address).map_err(|error| format!("{error:#}")));
    started.clone().map_err(|error| anyhow!(error))
}

fn serve(address: SocketAddr) -> Result<()> {
    let socket = relay::bind(address)?;
    std::thread::Builder::new()
        .name("stub".to_owned())
        .spawn(move || {
            let milenage = Milenage::new(&TEST_K, &TEST_OPC);
            let mut sqn = Sqn::default();
            let mut buffer = [0; 8_192];
            let mut answer = String::new();
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Ok(request) = str::from_utf8(buffer.get(..length).unwrap_or_default()) else {
                    continue;
                };
                answer.clear();
                write_answer(&mut answer, request, &milenage, &mut sqn);
                let _ = socket.send_to(answer.as_bytes(), from);
            }
        })?;
    Ok(())
}

fn write_answer(out: &mut String, request: &str, milenage: &Milenage, sqn: &mut Sqn) {
    let is_first = request.contains("response=\"\"");
    out.push_str(match is_first {
        true => "SIP/2.0 401 Unauthorized\r\n",
        false => "SIP/2.0 200 OK\r\n",
    });
    for line in request.split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" => out.extend([line, "\r\n"]),
            "Path" | "Contact" if !is_first => out.extend([line, "\r\n"]),
            "Expires" if !is_first => out.extend([line, "\r\n"]),
            "To" => {
                out.extend([line, ";tag=stub\r\n"]);
                if !is_first {
                    let uri = line.get(3..).unwrap_or_default();
                    let _ = write!(out, "P-Associated-URI:{uri}\r\n");
                }
            }
            _ => {}
        }
    }
    // Writing to a String does not fail.
    let _ = if is_first {
        *sqn = sqn.next();
        let vector = milenage.vector([7; 16], *sqn, [0x80, 0]);
        let nonce = STANDARD.encode([vector.rand, vector.autn].concat());
        write!(
            out,
            "WWW-Authenticate: Digest realm=\"{HOME}\",nonce=\"{nonce}\",algorithm=AKAv1-MD5,qop=\"auth\"\r\n\
             Content-Length: 0\r\n\r\n"
        )
    } else {
        write!(
            out,
            "Service-Route: <sip:orig@scscf1.{HOME};lr>\r\nContent-Length: 0\r\n\r\n"
        )
    };
}
