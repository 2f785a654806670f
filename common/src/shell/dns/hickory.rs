//! Shell: DNS records by hickory-resolver, which caches them for their time to live.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use super::{Records, Srv};
use crate::net::Naptr;

/// One try with one server.
const TRY: Duration = Duration::from_secs(2);

/// A resolver, or nothing when this machine has no DNS at all.
pub(crate) struct HickoryRecords(Option<TokioResolver>);

impl HickoryRecords {
    /// Asks these servers, or those of /etc/resolv.conf.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        let builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let mut config = ResolverConfig::default();
            for server in servers {
                let mut entry = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut entry.connections {
                    connection.port = server.port();
                }
                config.add_name_server(entry);
            }
            Ok(TokioResolver::builder_with_config(
                config,
                TokioRuntimeProvider::default(),
            ))
        };
        let resolver = builder.and_then(|mut builder| {
            limit(builder.options_mut());
            builder.build()
        });
        if let Err(error) = &resolver {
            tracing::warn!(%error, "no DNS: only names of the configuration will resolve");
        }
        Self(resolver.ok())
    }
}

fn limit(options: &mut ResolverOpts) {
    options.timeout = TRY;
    options.attempts = 2;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
}

/// Names of the core are complete: no search list.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

impl Records for HickoryRecords {
    async fn naptr(&self, name: &str) -> Vec<Naptr> {
        let mut found = Vec::new();
        if let Some(resolver) = &self.0
            && let Ok(lookup) = resolver
                .lookup(absolute(name), hickory_resolver::proto::rr::RecordType::NAPTR)
                .await
        {
            for record in lookup.answers() {
                if let RData::NAPTR(naptr) = &record.data {
                    found.push(Naptr {
                        order: naptr.order,
                        preference: naptr.preference,
                        flags: text(&naptr.flags),
                        service: text(&naptr.services),
                        regexp: text(&naptr.regexp),
                        replacement: naptr.replacement.to_string(),
                    });
                }
            }
        }
        found
    }

    async fn srv(&self, name: &str) -> Vec<Srv> {
        let mut found = Vec::new();
        if let Some(resolver) = &self.0
            && let Ok(lookup) = resolver
                .lookup(absolute(name), hickory_resolver::proto::rr::RecordType::SRV)
                .await
        {
            for record in lookup.answers() {
                if let RData::SRV(srv) = &record.data {
                    found.push(Srv {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: srv.port,
                        target: srv.target.to_string(),
                    });
                }
            }
        }
        found
    }

    async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let Some(resolver) = &self.0 else {
            return Vec::new();
        };
        match resolver.lookup_ip(absolute(name)).await {
            Ok(lookup) => {
                let mut all: Vec<IpAddr> = lookup.iter().collect();
                all.sort_by_key(IpAddr::is_ipv6);
                all
            }
            Err(_) => Vec::new(),
        }
    }
}
