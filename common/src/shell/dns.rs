//! Shell: where a URI is served (RFC 3263 4): NAPTR, then SRV, then A and AAAA.

mod hickory;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;

use self::hickory::HickoryRecords;
use super::Context;
use crate::net::{Naptr, NaptrRequest, ResolveRequest, ResolvedTarget, Transport};

/// Targets of one answer; more are not worth trying.
const TARGETS_MAX: usize = 16;
/// The longest one question may take, all its records together.
const PATIENCE: Duration = Duration::from_secs(8);
/// Without a port in the name or in DNS (RFC 3263 4.2).
const SIP_PORT: u16 = 5060;

/// The part of DNS that RFC 3263 needs. What cannot be had is empty.
pub(crate) trait Records {
    /// NAPTR records of a name.
    fn naptr(&self, name: &str) -> impl Future<Output = Vec<Naptr>> + Send;
    /// SRV records of a name.
    fn srv(&self, name: &str) -> impl Future<Output = Vec<Srv>> + Send;
    /// Addresses of a name, IPv4 before IPv6.
    fn addresses(&self, name: &str) -> impl Future<Output = Vec<IpAddr>> + Send;
}

/// RFC 2782.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Srv {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    pub(crate) target: String,
}

/// The resolver of a node, with its limit of questions at a time.
#[derive(Clone)]
pub(crate) struct Dns {
    records: Arc<HickoryRecords>,
    permits: Arc<Semaphore>,
    context: Context,
    families: Families,
}

/// Address families in which the node has a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Families {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl Families {
    const fn has(self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

impl Dns {
    /// A resolver that asks these servers, or those of the machine when there are none.
    pub(crate) fn new(servers: &[SocketAddr], families: Families, context: Context) -> Self {
        Self {
            records: Arc::new(HickoryRecords::new(servers)),
            permits: Arc::new(Semaphore::new(
                context.limits.dns_questions.min(Semaphore::MAX_PERMITS),
            )),
            context,
            families,
        }
    }

    /// The ordered targets of a question; empty when the name serves nothing, DNS is dead or too busy.
    pub(crate) async fn resolve(&self, question: &ResolveRequest, rng: StdRng) -> Vec<ResolvedTarget> {
        let counters = &self.context.counters;
        counters.dns_questions.count();
        let Ok(_permit) = self.permits.try_acquire() else {
            counters.dns_overload.count();
            return Vec::new();
        };
        let answer = targets(&*self.records, question, self.families, rng);
        let found = tokio::time::timeout(PATIENCE, answer).await.unwrap_or_default();
        if found.is_empty() {
            counters.dns_empty.count();
        }
        found
    }

    /// The NAPTR records of a name, at most so many; empty when there are none, DNS is dead or too busy.
    pub(crate) async fn naptr(&self, question: &NaptrRequest) -> Vec<Naptr> {
        let counters = &self.context.counters;
        counters.dns_questions.count();
        let Ok(_permit) = self.permits.try_acquire() else {
            counters.dns_overload.count();
            return Vec::new();
        };
        let answer = self.records.naptr(&question.name);
        let mut found = tokio::time::timeout(PATIENCE, answer).await.unwrap_or_default();
        found.truncate(TARGETS_MAX);
        if found.is_empty() {
            counters.dns_empty.count();
        }
        found
    }

    /// All addresses of a name.
    pub(crate) async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let answer = self.records.addresses(name);
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_default()
    }
}

/// RFC 3263 4.1 and 4.2.
async fn targets(
    records: &impl Records,
    question: &ResolveRequest,
    families: Families,
    mut rng: StdRng,
) -> Vec<ResolvedTarget> {
    let mut found = Vec::new();
    if let Some(port) = question.port {
        // 4.1, 4.2: an explicit port: the transport is given or UDP, and only addresses are asked.
        let transport = question.transport.unwrap_or(Transport::Udp);
        add_host(records, &question.host, port, transport, families, &mut found).await;
        return found;
    }
    for (transport, name) in services(records, question).await {
        let mut servers = records.srv(&name).await;
        for server in in_rfc2782_order(&mut servers, &mut rng) {
            add_host(
                records,
                &server.target,
                server.port,
                transport,
                families,
                &mut found,
            )
            .await;
            if found.len() >= TARGETS_MAX {
                return found;
            }
        }
    }
    if found.is_empty() {
        // 4.2: no SRV records: addresses of the name itself, default port.
        let transport = question.transport.unwrap_or(Transport::Udp);
        add_host(records, &question.host, SIP_PORT, transport, families, &mut found).await;
    }
    found
}

/// The SRV names to ask, in order, with the transport that each means (RFC 3263 4.1).
async fn services(records: &impl Records, question: &ResolveRequest) -> Vec<(Transport, String)> {
    let guess = |transport| {
        let label = match transport {
            Transport::Udp => "_udp",
            Transport::Tcp => "_tcp",
        };
        (transport, format!("_sip.{label}.{}", question.host))
    };
    if let Some(transport) = question.transport {
        return vec![guess(transport)];
    }
    let mut pointers = records.naptr(&question.host).await;
    pointers.retain(|n| n.flags.eq_ignore_ascii_case("s"));
    pointers.sort_by_key(|n| (n.order, n.preference));
    let named: Vec<_> = pointers
        .into_iter()
        .filter_map(|n| match n.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Some((Transport::Udp, n.replacement)),
            "SIP+D2T" => Some((Transport::Tcp, n.replacement)),
            _ => None,
        })
        .collect();
    if named.is_empty() {
        return vec![guess(Transport::Udp), guess(Transport::Tcp)];
    }
    named
}

async fn add_host(
    records: &impl Records,
    host: &str,
    port: u16,
    transport: Transport,
    families: Families,
    found: &mut Vec<ResolvedTarget>,
) {
    for ip in records.addresses(host).await {
        let target = ResolvedTarget {
            transport,
            remote: SocketAddr::new(ip, port),
        };
        if families.has(ip) && found.len() < TARGETS_MAX && !found.contains(&target) {
            found.push(target);
        }
    }
}

/// RFC 2782: lowest priority first; within one, chance by weight, weight 0 nearly last. A target `.` is no service.
fn in_rfc2782_order(servers: &mut Vec<Srv>, rng: &mut StdRng) -> Vec<Srv> {
    servers.retain(|s| !s.target.is_empty() && s.target != ".");
    servers.sort_by_key(|s| (s.priority, s.weight));
    let mut ordered: Vec<Srv> = Vec::with_capacity(servers.len());
    while let Some(priority) = servers.first().map(|s| s.priority) {
        let group = servers.iter().take_while(|s| s.priority == priority);
        let sum: u64 = group.clone().map(|s| u64::from(s.weight)).sum();
        let drawn = rng.random_range(0..=sum);
        let mut running = 0;
        let position = group
            .clone()
            .position(|s| {
                running += u64::from(s.weight);
                running >= drawn
            })
            .unwrap_or(0);
        ordered.push(servers.remove(position));
    }
    ordered
}

#[cfg(test)]
mod tests;
