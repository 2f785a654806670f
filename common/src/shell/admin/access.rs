//! Shell: who may ask a node what, and how often.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};

use super::refusal::Refusal;
use super::token::Token;
use crate::config::AdminConfig;
use crate::node::Counters;

/// What a form of a browser cannot send: whoever changes something without a token has to.
pub(super) const OPERATOR_HEADER: &str = "x-ims-admin";
/// Requests a second, and how many may come at once.
const API_RATE: Rate = Rate {
    each_second: 50.0,
    burst: 200.0,
};
/// The same of /health and /metrics, so that who is flooded can still be watched.
const PROBE_RATE: Rate = Rate {
    each_second: 20.0,
    burst: 40.0,
};
/// Wrong tokens of one address before it has to wait.
const WRONG_FREE: u32 = 5;
/// The longest wait after a wrong token.
const WRONG_WAIT_MAX: Duration = Duration::from_secs(60);
/// Addresses with wrong tokens that are remembered.
const WRONG_ADDRESSES_MAX: usize = 1_024;

/// Whoever asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller {
    /// Someone whom the permissions of the Unix socket let in.
    Socket,
    /// Over TCP: their end and ours.
    Tcp { peer: SocketAddr, local: SocketAddr },
}

impl Caller {
    /// Whether it is on this machine. Who has our own address on the other end is.
    fn is_here(self) -> bool {
        match self {
            Self::Socket => true,
            Self::Tcp { peer, local } => {
                let peer = peer.ip().to_canonical();
                peer.is_loopback() || peer == local.ip().to_canonical()
            }
        }
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Right {
    /// Nothing: whether the node is well, and what the API looks like.
    Open,
    /// To see numbers.
    Figures,
    /// To see users.
    Read,
    /// To change something.
    Write,
}

/// Who may do what.
pub(super) struct Access {
    read: Option<Token>,
    write: Option<Token>,
    names: Vec<String>,
    state: Mutex<State>,
}

struct State {
    api: Bucket,
    probes: Bucket,
    /// Of the Unix socket: who floods TCP does not lock out whoever is on the machine.
    socket: Bucket,
    wrong: BTreeMap<IpAddr, Wrong>,
    counters: Counters,
}

/// Wrong tokens of one address.
#[derive(Clone, Copy)]
struct Wrong {
    count: u32,
    /// Until then wrong ones are told to wait.
    until: Instant,
}

impl Access {
    /// Reads the tokens.
    ///
    /// # Errors
    /// The key, and what is wrong with the file.
    pub(super) fn new(now: Instant, config: &AdminConfig) -> Result<Self, String> {
        Ok(Self {
            read: token("read_token_file", config.read_token_file.as_deref())?,
            write: token("write_token_file", config.write_token_file.as_deref())?,
            names: config.names.iter().map(|name| name.as_str().to_owned()).collect(),
            state: Mutex::new(State {
                api: Bucket::full(now, API_RATE),
                probes: Bucket::full(now, PROBE_RATE),
                socket: Bucket::full(now, API_RATE),
                wrong: BTreeMap::new(),
                counters: Counters::default(),
            }),
        })
    }

    /// The token with which neighbours are asked.
    pub(super) fn for_neighbours(&self) -> Option<Token> {
        self.read.clone()
    }

    /// Whether the request may go on.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn admit(
        &self,
        now: Instant,
        caller: Caller,
        right: Right,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let decided = self.decide(now, caller, right, headers);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match decided {
            Ok(()) => state.counters.count("ims_admin_requests_total", "admitted"),
            Err(refusal) => state.counters.count("ims_admin_requests_total", refusal.label()),
        }
        decided
    }

    /// Counts a request that was refused after it had been admitted.
    pub(super) fn count(&self, reason: &'static str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.counters.count("ims_admin_requests_total", reason);
    }

    /// Adds what is counted.
    pub(super) fn export(&self, out: &mut crate::node::Metrics) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.counters.export(out);
    }

    fn decide(&self, now: Instant, caller: Caller, right: Right, headers: &HeaderMap) -> Result<(), Refusal> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let bucket = match (caller, right) {
                (Caller::Socket, _) => &mut state.socket,
                (Caller::Tcp { .. }, Right::Open | Right::Figures) => &mut state.probes,
                (Caller::Tcp { .. }, Right::Read | Right::Write) => &mut state.api,
            };
            if !bucket.take(now) {
                return Err(Refusal::TooFast);
            }
        }
        let Caller::Tcp { peer, .. } = caller else {
            return Ok(());
        };
        if !self.is_own_name(headers) {
            return Err(Refusal::OtherHost);
        }
        if right == Right::Open {
            return Ok(());
        }
        match bearer(headers) {
            Some(presented) => self.check(now, peer.ip(), right, presented),
            None => self.without_token(caller, right, headers),
        }
    }

    /// A name that browsers were led here with by somebody else's DNS is not ours.
    fn is_own_name(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        host.to_str().is_ok_and(|host| {
            let name = host_of(host);
            name.parse::<IpAddr>().is_ok()
                || name.eq_ignore_ascii_case("localhost")
                || self.names.iter().any(|own| name.eq_ignore_ascii_case(own))
        })
    }

    fn check(&self, now: Instant, peer: IpAddr, right: Right, presented: &str) -> Result<(), Refusal> {
        let is = |token: &Option<Token>| token.as_ref().is_some_and(|token| token.is(presented));
        // Both are looked at, so that the time says nothing.
        let (may_write, may_read) = (is(&self.write), is(&self.read));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A right one passes at once, though others at its address, as behind a NAT, have to wait.
        if may_write || may_read {
            state.wrong.remove(&peer);
            return match right {
                Right::Write if !may_write => Err(Refusal::ReadOnlyToken),
                Right::Open | Right::Figures | Right::Read | Right::Write => Ok(()),
            };
        }
        if state.wrong.get(&peer).is_some_and(|wrong| wrong.until > now) {
            return Err(Refusal::TooManyWrongTokens);
        }
        state.remember_wrong(now, peer);
        Err(Refusal::WrongToken)
    }

    fn without_token(&self, caller: Caller, right: Right, headers: &HeaderMap) -> Result<(), Refusal> {
        let needed = match right {
            Right::Open => return Ok(()),
            // A scraper elsewhere is let in as long as no token is wanted of anybody.
            Right::Figures if self.read.is_none() => return Ok(()),
            Right::Figures | Right::Read => &self.read,
            Right::Write => &self.write,
        };
        if needed.is_some() {
            return Err(Refusal::TokenNeeded);
        }
        if !caller.is_here() {
            return Err(Refusal::NotFromHere);
        }
        if right == Right::Write && !headers.contains_key(OPERATOR_HEADER) {
            return Err(Refusal::MayBeForged);
        }
        Ok(())
    }
}

impl State {
    fn remember_wrong(&mut self, now: Instant, peer: IpAddr) {
        if self.wrong.len() >= WRONG_ADDRESSES_MAX && !self.wrong.contains_key(&peer) {
            let oldest = self.wrong.iter().min_by_key(|(_, wrong)| wrong.until);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.wrong.remove(&oldest);
            }
        }
        let wrong = self.wrong.entry(peer).or_insert(Wrong { count: 0, until: now });
        wrong.count = wrong.count.saturating_add(1);
        let doublings = wrong.count.saturating_sub(WRONG_FREE);
        if doublings > 0 {
            let wait = Duration::from_secs(1_u64 << doublings.min(6));
            wrong.until = now + wait.min(WRONG_WAIT_MAX);
        }
    }
}

fn token(key: &str, path: Option<&Path>) -> Result<Option<Token>, String> {
    let read = |path: &Path| {
        Token::from_file(path).map_err(|error: io::Error| format!("{key} {}: {error}", path.display()))
    };
    path.map(read).transpose()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    // What is no text is a wrong token, not none.
    let text = value.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") {
        token.trim()
    } else {
        ""
    })
}

/// The host of `host:port`, without the brackets of IPv6.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// How fast.
#[derive(Clone, Copy)]
struct Rate {
    each_second: f64,
    burst: f64,
}

/// Lets through so many a second.
struct Bucket {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Bucket {
    const fn full(now: Instant, rate: Rate) -> Self {
        Self {
            rate,
            left: rate.burst,
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = passed
            .mul_add(self.rate.each_second, self.left)
            .min(self.rate.burst);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "0123456789abcdef";

    fn access() -> (Access, Instant) {
        let now = Instant::now();
        let mut access = Access::new(now, &AdminConfig::default()).unwrap();
        access.read = Token::new(RIGHT).ok();
        (access, now)
    }

    fn headers(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "192.0.2.1:9091".parse().unwrap());
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        headers
    }

    fn stranger() -> Caller {
        Caller::Tcp {
            peer: SocketAddr::from(([192, 0, 2, 9], 40_000)),
            local: SocketAddr::from(([192, 0, 2, 1], 9_091)),
        }
    }

    #[test]
    fn a_right_token_passes_though_its_address_has_to_wait_for_wrong_ones() {
        let (access, now) = access();
        let ask = |token: &str| access.admit(now, stranger(), Right::Read, &headers(token));
        for _ in 0..=WRONG_FREE {
            assert_eq!(ask("fedcba9876543210"), Err(Refusal::WrongToken));
        }
        assert_eq!(ask("fedcba9876543210"), Err(Refusal::TooManyWrongTokens));
        assert_eq!(ask(RIGHT), Ok(()));
    }

    #[test]
    fn a_flood_over_tcp_does_not_lock_out_the_unix_socket() {
        let (access, now) = access();
        for right in [Right::Open, Right::Read] {
            let mut asked = 0;
            while access.admit(now, stranger(), right, &headers("")) != Err(Refusal::TooFast) {
                asked += 1;
                assert!(asked < 1_000, "it is bounded");
            }
            assert_eq!(
                access.admit(now, Caller::Socket, right, &HeaderMap::new()),
                Ok(())
            );
        }
    }
}
