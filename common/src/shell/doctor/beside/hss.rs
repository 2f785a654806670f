//! Engine: whether the freeDiameter of Open5GS's HSS knows this node (`ConnectPeer` of hss.conf).

use super::super::check::{Check, Snippet};
use super::super::free_diameter::{ConnectPeer, FreeDiameter};
use super::mw;
use crate::config::{DIAMETER_PORT, HssSurroundings, ShellConfig};

const NAME: &str = "hss.conf";

/// Peers and realms of both sides.
pub(super) fn judge(config: &ShellConfig, file: &FreeDiameter) -> Vec<Check> {
    let Some(own) = &config.surroundings.hss else {
        let found = "hss.conf concerns I-CSCF and S-CSCF: give it to icscf --doctor and scscf --doctor";
        return vec![Check::skipped(NAME, found)];
    };
    let mut checks = realms(own, file);
    let host = &own.origin_host;
    let known = file
        .peers
        .iter()
        .find(|peer| peer.name.eq_ignore_ascii_case(host));
    checks.push(match known {
        None => Check::fail(
            NAME,
            format!("it has no ConnectPeer for {host}: the HSS refuses our CER (3010, unknown peer)"),
            "paste the lines below into hss.conf and restart the HSS",
        ),
        Some(peer) => match peer
            .realm
            .as_ref()
            .filter(|realm| !realm.eq_ignore_ascii_case(&own.origin_realm))
        {
            Some(realm) => Check::fail(
                NAME,
                format!(
                    "line {}: ConnectPeer {host} has the realm {realm}, and ours is {}",
                    peer.line, own.origin_realm
                ),
                format!("write Realm = \"{}\" there, or leave it out", own.origin_realm),
            ),
            None if !peer.no_tls => Check::warn(
                NAME,
                format!(
                    "line {}: ConnectPeer {host} has no No_TLS, and this node speaks no TLS",
                    peer.line
                ),
                "add No_TLS; there, else the HSS may refuse our CER (5017)",
            ),
            None => Check::ok(NAME, format!("line {}: it knows {host}", peer.line)),
        },
    });
    checks.extend(known.and_then(|peer| dials(config, peer)));
    checks
}

fn realms(own: &HssSurroundings, file: &FreeDiameter) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(identity) = file
        .identity
        .as_ref()
        .filter(|i| i.eq_ignore_ascii_case(&own.origin_host))
    {
        checks.push(Check::fail(
            NAME,
            format!("its Identity is {identity}, and so is our hss.origin_host"),
            "give hss.origin_host a name of this node's own",
        ));
    }
    // Without Realm it is what follows the first dot of Identity.
    let of_identity = || file.identity.as_deref()?.split_once('.').map(|(_, realm)| realm);
    let realm = file.realm.as_deref().or_else(of_identity);
    if let Some(realm) = realm
        && !realm.eq_ignore_ascii_case(&own.destination_realm)
    {
        checks.push(Check::fail(
            NAME,
            format!(
                "the HSS is of realm {realm}, and our requests go to realm {}: it does not serve them",
                own.destination_realm
            ),
            format!(
                "set hss.destination_realm to {realm}, or Realm of hss.conf to {}",
                own.destination_realm
            ),
        ));
    }
    let port = file.port.unwrap_or(DIAMETER_PORT);
    let reaches = |peer: &String| {
        file.listen_on.iter().any(|ip| {
            let address = std::net::SocketAddr::new(*ip, port).to_string();
            peer.trim_start_matches(crate::config::SCTP_SCHEME) == address
        })
    };
    // A name in hss.peers may be any of its addresses.
    let by_address = own.peers.iter().all(|peer| {
        peer.trim_start_matches(crate::config::SCTP_SCHEME)
            .parse::<std::net::SocketAddr>()
            .is_ok()
    });
    if !file.listen_on.is_empty() && !own.peers.is_empty() && by_address && !own.peers.iter().any(reaches) {
        let all: Vec<String> = file.listen_on.iter().map(|ip| format!("{ip}:{port}")).collect();
        checks.push(Check::warn(
            NAME,
            format!(
                "it listens on {} (ListenOn, Port), and hss.peers is {}",
                all.join(", "),
                own.peers.join(", ")
            ),
            "make them the same, or let ListenOn name an address that this node reaches",
        ));
    }
    checks
}

/// ConnectPeer also means that the HSS dials us.
fn dials(config: &ShellConfig, peer: &ConnectPeer) -> Option<Check> {
    let (port, to) = (peer.port.unwrap_or(DIAMETER_PORT), peer.connect_to.first()?);
    if let Some(listen) = config.diameter_listen {
        let ours = listen.ip().is_unspecified() || listen.ip().to_string() == *to;
        return (!(ours && listen.port() == port)).then(|| {
            Check::warn(
                NAME,
                format!(
                    "line {}: the HSS dials us at {to}:{port}, and hss.listen is {listen}",
                    peer.line
                ),
                format!(
                    "write ConnectTo = \"{}\"; Port = {}; there",
                    listen.ip(),
                    listen.port()
                ),
            )
        });
    }
    Some(Check::ok(
        NAME,
        format!(
            "line {}: the HSS dials us at {to}:{port} too, where nothing listens (hss.listen is not set): our own connection \
             serves both ways",
            peer.line
        ),
    ))
}

/// The lines for hss.conf.
pub(super) fn snippet(config: &ShellConfig) -> Option<Snippet> {
    let own = config.surroundings.hss.as_ref()?;
    let listen = config.diameter_listen;
    let address = listen
        .map(|l| l.ip())
        .filter(|ip| !ip.is_unspecified())
        .or_else(|| mw(config))?;
    let port = listen.map_or(DIAMETER_PORT, |listen| listen.port());
    Some(Snippet {
        file: "Open5GS: hss.conf of its freeDiameter, one line for each CSCF".to_owned(),
        text: format!(
            "ConnectPeer = \"{}\" {{ ConnectTo = \"{address}\"; Port = {port}; No_TLS; Prefer_TCP; Realm = \"{}\"; }};\n",
            own.origin_host, own.origin_realm
        ),
    })
}
