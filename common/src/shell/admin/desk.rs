//! Shell: asks the drivers of a node, and the neighbours of the node, for an operator.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::access::Access;
use super::api::worst;
use super::client::{Client, path};
use super::{AdminRequest, Event};
use crate::operate::{Filter, List, NodeRow, Question, Report, SaRow, Unanswered};
use crate::shell::export::pcap::Pcap;
use crate::why::Entry;

/// Requests at a time; more are refused.
const TURNS: usize = 32;
/// Live traces at a time; more are refused.
const TRACES: usize = 16;
/// Downloads of captures at a time; more are refused.
const DOWNLOADS: usize = 2;
/// How long a driver may take to answer.
const DRIVER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a neighbour may take.
const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(3);

/// What all requests share.
pub(super) struct Desk {
    pub(super) name: &'static str,
    pub(super) access: Access,
    pub(super) turns: Semaphore,
    /// Live traces that may be read at a time.
    pub(super) traces: Arc<Semaphore>,
    /// Captures whose files may be made at a time: each is a copy of what it has.
    pub(super) downloads: Arc<Semaphore>,
    /// The drivers of all shards.
    drivers: Vec<mpsc::Sender<Event>>,
    neighbours: Vec<Client>,
    /// Captures on demand.
    pub(super) pcap: Option<Arc<Pcap>>,
}

impl Desk {
    pub(super) fn new(
        name: &'static str,
        access: Access,
        drivers: Vec<mpsc::Sender<Event>>,
        neighbours: &[crate::operate::Endpoint],
    ) -> Self {
        let token = access.for_neighbours();
        let client = |endpoint: &crate::operate::Endpoint| {
            Client::new(endpoint.clone())
                .with_token(token.clone())
                .with_patience(NEIGHBOUR_PATIENCE)
        };
        Self {
            name,
            access,
            turns: Semaphore::new(TURNS),
            traces: Arc::new(Semaphore::new(TRACES)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
            drivers,
            neighbours: neighbours.iter().map(client).collect(),
            pcap: None,
        }
    }

    /// Offers captures.
    pub(super) fn with_pcap(mut self, pcap: Option<Arc<Pcap>>) -> Self {
        self.pcap = pcap;
        self
    }

    /// The drivers' answers; `None` when one has too many requests waiting, is stuck, or has ended.
    pub(super) async fn ask<T>(
        &self,
        request: impl Fn(oneshot::Sender<T>) -> AdminRequest,
    ) -> Option<Vec<T>> {
        self.ask_some(None, request).await
    }

    /// The answers of one driver, or of all.
    pub(super) async fn ask_some<T>(
        &self,
        shard: Option<usize>,
        request: impl Fn(oneshot::Sender<T>) -> AdminRequest,
    ) -> Option<Vec<T>> {
        let asked = self
            .drivers
            .iter()
            .enumerate()
            .filter(|(index, _)| shard.is_none_or(|only| only == *index));
        let mut receivers = Vec::with_capacity(self.drivers.len());
        for (_, driver) in asked {
            let (sender, receiver) = oneshot::channel();
            driver.try_send(Event::Admin(request(sender))).ok()?;
            receivers.push(receiver);
        }
        let all = timeout(DRIVER_PATIENCE, join_all(receivers)).await.ok()?;
        all.into_iter().collect::<Result<Vec<T>, _>>().ok()
    }

    /// What this node answers.
    pub(super) async fn report(&self, question: &Question) -> Option<Report> {
        let report = match question.list {
            List::Nodes => self.nodes().await?,
            List::Sas => self.sas(question).await?,
            List::Users | List::Contacts | List::Sessions | List::Peers | List::Limits | List::Bans => {
                self.rows(question).await?
            }
        };
        Some(report.told_by(self.name))
    }

    async fn rows(&self, question: &Question) -> Option<Report> {
        let answers = self
            .ask(|answer| AdminRequest::Report(question.clone(), answer))
            .await?;
        let mut all = Report::default();
        for answer in answers {
            all.join(answer, question.limit);
        }
        Some(all)
    }

    async fn nodes(&self) -> Option<Report> {
        let health = worst(self.ask(AdminRequest::Health).await)?;
        let row = NodeRow {
            node: health.node.to_owned(),
            status: health.status,
            version: health.version.to_owned(),
            uptime_secs: health.uptime_secs,
            shards: self.drivers.len(),
            sip: health.sip,
            config_generation: health.config_generation,
            last_reload: health.last_reload,
            neighbours: self
                .neighbours
                .iter()
                .map(|client| client.endpoint().to_string())
                .collect(),
        };
        Some(Report {
            nodes: vec![row],
            ..Report::default()
        })
    }

    /// The first shard alone speaks with the kernel; without IPsec there are none.
    async fn sas(&self, question: &Question) -> Option<Report> {
        let sets = self.ask_some(Some(0), AdminRequest::Sas).await?.concat();
        let addresses = match &question.who {
            Some(who) => Some(self.addresses_of(who).await?),
            None => None,
        };
        let is_asked_for = |set: &SaRow| {
            addresses.as_ref().is_none_or(|addresses| {
                let ends = set
                    .states
                    .iter()
                    .flat_map(|state| [state.source.ip(), state.destination.ip()]);
                ends.into_iter().any(|ip| addresses.contains(&ip))
            })
        };
        let mut report = Report::default();
        for set in sets.into_iter().filter(is_asked_for) {
            report.add(question, || set);
        }
        Some(report)
    }

    /// Where the contacts of a user are, or the address that was asked about.
    async fn addresses_of(&self, who: &Filter) -> Option<BTreeSet<IpAddr>> {
        let question = Question {
            who: Some(who.clone()),
            ..Question::of(List::Contacts)
        };
        let contacts = self.rows(&question).await?.contacts;
        let addresses = contacts.iter().filter_map(|row| {
            let (_, address) = row.flow.split_once(' ')?;
            Some(address.parse::<std::net::SocketAddr>().ok()?.ip())
        });
        Some(addresses.chain(who.as_str().parse().ok()).collect())
    }

    /// The answers of the whole site: this node's and those of its neighbours.
    pub(super) async fn gather(&self, question: &Question, own: Option<Report>) -> Report {
        let mut all = own.unwrap_or_else(|| Report {
            unanswered: vec![Unanswered {
                endpoint: self.name.to_owned(),
                error: "the node is busy or ending".to_owned(),
            }],
            ..Report::default()
        });
        let limit = question.limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(question.who.as_ref().map(|who| ("who", who.as_str())));
        let wanted = path(question.list.path(), &query);
        let (answers, silent) = self.ask_neighbours::<Report>(&wanted).await;
        for answer in answers {
            all.join(answer, question.limit);
        }
        all.unanswered.extend(silent);
        all
    }

    /// What the neighbours answer, and which did not.
    pub(super) async fn ask_neighbours<T: DeserializeOwned>(
        &self,
        wanted: &str,
    ) -> (Vec<T>, Vec<Unanswered>) {
        let asked = self.neighbours.iter().map(|client| client.read::<T>(wanted));
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        for (client, answer) in self.neighbours.iter().zip(join_all(asked).await) {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => silent.push(Unanswered {
                    endpoint: client.endpoint().to_string(),
                    error: error.to_string(),
                }),
            }
        }
        (answers, silent)
    }

    /// Tells all drivers; says whether all took it.
    pub(super) fn tell(&self, request: impl Fn() -> AdminRequest) -> bool {
        let sent = |driver: &mpsc::Sender<Event>| driver.try_send(Event::Admin(request())).is_ok();
        self.drivers.iter().all(sent)
    }

    /// Passes on what the neighbours tell of those who are followed, until the reader goes.
    pub(super) fn follow_neighbours(&self, wanted: &str, entries: &mpsc::Sender<Entry>) {
        for client in self.neighbours.clone() {
            let (wanted, entries) = (wanted.to_owned(), entries.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = pass_on(&client, &wanted, &entries) => {}
                    () = entries.closed() => {}
                }
            });
        }
    }
}

async fn pass_on(client: &Client, wanted: &str, entries: &mpsc::Sender<Entry>) {
    let Ok(mut events) = client.follow(wanted).await else {
        return;
    };
    while let Ok(Some(data)) = events.next().await {
        if let Ok(entry) = serde_json::from_str(&data)
            && entries.send(entry).await.is_err()
        {
            return;
        }
    }
}
