//! Testkit: the embedded HSS, a node as any other.
//!
//! * [`Subscriber`]: what it knows about a user
//! * [`Subscribers`]: what it answers, and what it remembers
//! * [`Hss`]: the node: connections, pushes, and faults at command
//! * [`Personality`]: which HSS of the field it imitates
//!
//! A test changes it between two steps of the world:
//!
//! ```no_run
//! # use ims_tests::{hss::*, world::World};
//! # fn example(world: &mut World, impi: &ims_common::identity::Impi) {
//! world.with("HSS", |_, hss: &mut Hss| hss.set_fault(Faulty::All, Fault::Silent));
//! world.with("HSS", |now, hss: &mut Hss| hss.send_rtr(now, impi, &[], hss_client::cx::ReasonCode::ServerChange));
//! # }
//! ```

mod config;
mod criteria;
pub mod cx;
mod personality;
pub mod profile_xml;
mod subscribers;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hss_client::cx::{CxAnswer, CxPush, CxPushAnswer, CxRequest, CxResult, ReasonCode, RequestHead};
use ims_common::diameter::base::DisconnectCause;
use ims_common::diameter::grammar::{avp, result_code};
use ims_common::diameter::{
    AcceptPolicy, Application, DiameterEvent, DiameterPeers, LocalPeer, Message, PeersConfig, Refusal,
};
use ims_common::identity::{Impi, Impu};
use ims_common::net::{Command, ConnectionId, NetInput, NetOutput};
use ims_common::node::{Counters, Metrics, Node, Seed, Sharded, TimerTable, earliest};

pub use config::{HssFile, SubscriberConfig};
pub use criteria::Ifc;
pub use cx::{DiameterClient, RegistrationState, Subscribers};
use personality::Persona;
pub use personality::Personality;
pub use subscribers::{Subscriber, SubscriberKeys, TEST_K, TEST_OPC};

/// Requests that are remembered for tests; older ones are forgotten.
const REQUESTS_MAX: usize = 10_000;
/// RFC 6733 7.1.3.
const REALM_NOT_SERVED: u32 = 3003;
const REQUESTS: &str = "ims_hss_requests_total";

/// What an HSS is told once.
#[derive(Clone, Debug)]
pub struct HssConfig {
    /// Origin-Host.
    pub origin_host: String,
    /// Origin-Realm.
    pub origin_realm: String,
    /// CSCFs that it dials.
    pub peers: Vec<String>,
    /// Tw of RFC 3539.
    pub watchdog: Duration,
    /// The users.
    pub subscribers: Vec<Subscriber>,
    /// Which HSS it imitates.
    pub personality: Personality,
    /// The S-CSCF that a personality names for users that have none.
    pub scscf_pool: Option<String>,
    /// Open5GS: the SIP URI of the IP-SM-GW, which gets every SMS of each user by a criterion of its own.
    pub sms_over_ims: Option<String>,
}

impl Default for HssConfig {
    fn default() -> Self {
        Self {
            origin_host: "hss.ims.mnc001.mcc001.3gppnetwork.org".into(),
            origin_realm: "ims.mnc001.mcc001.3gppnetwork.org".into(),
            peers: Vec::new(),
            watchdog: Duration::from_secs(30),
            subscribers: Vec::new(),
            personality: Personality::default(),
            scscf_pool: None,
            sms_over_ims: None,
        }
    }
}

impl HssConfig {
    /// With one more user.
    #[must_use]
    pub fn with(mut self, subscriber: Subscriber) -> Self {
        self.subscribers.push(subscriber);
        self
    }
}

/// Which requests a fault concerns.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Faulty {
    /// UAR.
    Uar,
    /// SAR.
    Sar,
    /// LIR.
    Lir,
    /// MAR.
    Mar,
    /// Each of them that has no fault of its own.
    All,
}

/// How an HSS fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It does not answer, and does not note the request.
    Silent,
    /// It answers, but late.
    Delay(Duration),
    /// It answers with this result and nothing else, and does not note the request.
    Answer(CxResult),
    /// It does what the request asks but the answer is lost.
    LoseAnswer,
    /// It answers with these AVPs instead of a good answer: an answer of a broken HSS.
    Garbage(Bytes),
}

/// The embedded HSS.
#[derive(Debug)]
pub struct Hss {
    peers: DiameterPeers,
    /// Users and their states.
    pub subscribers: Subscribers,
    persona: Persona,
    /// Where the requests of each client came from last: it may be behind an agent.
    routes: BTreeMap<String, ConnectionId>,
    faults: BTreeMap<Faulty, Fault>,
    late: TimerTable<u64>,
    late_answers: BTreeMap<u64, (ConnectionId, Bytes)>,
    sequence: u64,
    requests: VecDeque<CxRequest>,
    push_answers: Vec<CxPushAnswer>,
    is_drained: bool,
    counters: Counters,
}

impl Hss {
    /// An HSS that dials its configured peers and accepts everyone.
    #[must_use]
    pub fn new(config: HssConfig, seed: Seed) -> Self {
        let local = LocalPeer {
            origin_host: config.origin_host,
            origin_realm: config.origin_realm,
            host_ip_addresses: Vec::new(),
            product_name: "ims-tests hss".into(),
            origin_state_id: u32::try_from(seed.boot_unix_secs).unwrap_or(u32::MAX),
            applications: vec![Application::CX],
            supported_vendors: vec![Application::CX.vendor],
        };
        let mut persona = Persona::new(config.personality, &local, config.scscf_pool);
        if let (Persona::Open5gs(open5gs), Some(uri)) = (&mut persona, &config.sms_over_ims) {
            open5gs.send_sms_to(uri);
        }
        // Whom Open5GS serves, it also dials.
        let accept = match config.personality {
            Personality::Open5gs if !config.peers.is_empty() => AcceptPolicy::ConfiguredAddresses,
            _ => AcceptPolicy::Anyone,
        };
        let peers = if config.personality.dials() {
            config.peers
        } else {
            Vec::new()
        };
        let peers = PeersConfig {
            local,
            peers,
            accept,
            tw: config.watchdog,
            tc: Duration::from_secs(30),
            connections_max: 1000,
            shard: 0,
        };
        let mut subscribers = Subscribers::new(seed.rng(b'H'));
        config
            .subscribers
            .into_iter()
            .for_each(|subscriber| subscribers.add(subscriber));
        Self {
            peers: DiameterPeers::new(peers, &seed),
            subscribers,
            persona,
            routes: BTreeMap::new(),
            faults: BTreeMap::new(),
            late: TimerTable::default(),
            late_answers: BTreeMap::new(),
            sequence: 0,
            requests: VecDeque::new(),
            push_answers: Vec::new(),
            is_drained: false,
            counters: Counters::default(),
        }
    }

    /// Fails from now on.
    pub fn set_fault(&mut self, which: Faulty, fault: Fault) {
        self.faults.insert(which, fault);
    }

    /// Fails no more.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Forgets what the personality has only in memory, as at a restart of its process.
    pub fn lose_memory(&mut self) {
        if let Persona::Open5gs(open5gs) = &mut self.persona {
            open5gs.lose_memory();
        }
    }

    /// A personality of two processes loses the one that does the work; its sockets stay.
    pub fn pause(&mut self) {
        if let Persona::PyHss(pyhss) = &mut self.persona {
            pyhss.pause();
        }
    }

    /// The process that [`Self::pause`] took away is back.
    pub fn resume(&mut self, now: Instant) {
        if let Persona::PyHss(pyhss) = &mut self.persona {
            for request in pyhss.resume(now, &mut self.subscribers) {
                self.remember(&request);
            }
        }
    }

    /// The requests that were understood, in the order of arrival.
    pub fn requests(&self) -> impl Iterator<Item = &CxRequest> {
        self.requests.iter()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&mut self) {
        self.requests.clear();
    }

    /// The answers to RTR and PPR, in the order of arrival.
    #[must_use]
    pub fn push_answers(&self) -> &[CxPushAnswer] {
        &self.push_answers
    }

    /// Takes a user away from its S-CSCF: an RTR for these public identities, or for all when there are
    /// none. Says whether it could be sent.
    pub fn send_rtr(&mut self, now: Instant, impi: &Impi, impus: &[Impu], reason: ReasonCode) -> bool {
        match self.subscribers.terminate(impi, impus, reason) {
            Some((rtr, to)) => self.push(now, &CxPush::Rtr(rtr), &to),
            None => false,
        }
    }

    /// Tells the S-CSCF the present profile of the implicit set that has this public identity: a PPR. Says
    /// whether it could be sent.
    pub fn send_ppr(&mut self, now: Instant, impi: &Impi, impu: &Impu) -> bool {
        match self.subscribers.push(impi, impu) {
            Some((ppr, to)) => self.push(now, &CxPush::Ppr(ppr), &to),
            None => false,
        }
    }

    fn push(&mut self, now: Instant, push: &CxPush, to: &DiameterClient) -> bool {
        let direct = self.peers.connection_of(&to.host);
        let Some(connection) = direct.or_else(|| self.routes.get(&to.host).copied()) else {
            return false;
        };
        self.sequence += 1;
        let ids = self.peers.identifiers();
        let (hop_by_hop, end_to_end) = (ids.next_hop_by_hop(), ids.next_end_to_end());
        let local = self.peers.local();
        let session_id = format!(
            "{};{};{}",
            local.origin_host, local.origin_state_id, self.sequence
        );
        let bytes = push.encode(&RequestHead {
            local,
            session_id: &session_id,
            destination_host: Some(&to.host),
            destination_realm: &to.realm,
            hop_by_hop,
            end_to_end,
        });
        self.peers.send(connection, bytes);
        self.drain_events(now);
        true
    }

    fn drain_events(&mut self, now: Instant) {
        while let Some(event) = self.peers.poll_event() {
            match event {
                DiameterEvent::Request {
                    connection, message, ..
                } => {
                    self.on_request(now, connection, &message);
                }
                DiameterEvent::Answer { message, .. } => {
                    self.push_answers.extend(CxPushAnswer::decode(&message));
                }
                DiameterEvent::Stopped => self.is_drained = true,
                DiameterEvent::Down { connection, .. } => {
                    self.routes.retain(|_, route| *route != connection);
                }
                DiameterEvent::Up { .. } | DiameterEvent::BadAnswer { .. } => {}
            }
        }
    }

    fn on_request(&mut self, now: Instant, connection: ConnectionId, message: &Message) {
        if let Some(host) = message.text(&avp::ORIGIN_HOST) {
            self.routes.insert(host.to_owned(), connection);
        }
        let request = match self
            .misrouted(message)
            .map_or_else(|| CxRequest::decode(message), Err)
        {
            Ok(request) => request,
            Err(refusal) => {
                self.counters.count(REQUESTS, "refused");
                let session_id = message.text(&avp::SESSION_ID);
                let bytes = self.peers.local().refuse(message.header(), session_id, &refusal);
                return self.peers.send(connection, bytes);
            }
        };
        self.remember(&request);
        let fault = self
            .faults
            .get(&faulty(&request))
            .or_else(|| self.faults.get(&Faulty::All))
            .cloned();
        let answer = match &fault {
            Some(Fault::Silent) => return,
            Some(Fault::Garbage(avps)) => {
                let mut builder = ims_common::diameter::MessageBuilder::new(message.header().answer(false));
                builder.raw(avps);
                return self.peers.send(connection, builder.finish());
            }
            Some(Fault::Answer(result)) => failed(&request, *result),
            Some(Fault::Delay(_) | Fault::LoseAnswer) | None => {
                let client = DiameterClient {
                    host: message.text(&avp::ORIGIN_HOST).unwrap_or_default().to_owned(),
                    realm: message.text(&avp::ORIGIN_REALM).unwrap_or_default().to_owned(),
                };
                match &mut self.persona {
                    Persona::Open5gs(open5gs) => open5gs.answer(&mut self.subscribers, &request, &client),
                    _ => self.subscribers.answer(&request, &client),
                }
            }
        };
        let bytes = answer.encode(self.peers.local(), message);
        match fault {
            Some(Fault::LoseAnswer) => {}
            Some(Fault::Delay(delay)) => {
                self.sequence += 1;
                self.late.set(self.sequence, now + delay);
                self.late_answers.insert(self.sequence, (connection, bytes));
            }
            _ => self.peers.send(connection, bytes),
        }
    }

    /// RFC 6733 6.1.4, 7.1.3: a request for another host or realm, or with flags that its command has not.
    fn misrouted(&self, message: &Message) -> Option<Refusal> {
        let is_strict = matches!(self.persona, Persona::Open5gs(_));
        if is_strict && !message.header().flags.is_proxiable() {
            return Some(Refusal::new(result_code::INVALID_HDR_BITS));
        }
        let local = self.peers.local();
        let differs = |def, own: &str| {
            message
                .text(def)
                .is_some_and(|text| !text.eq_ignore_ascii_case(own))
        };
        if differs(&avp::DESTINATION_HOST, &local.origin_host) {
            return Some(Refusal::new(result_code::UNABLE_TO_DELIVER));
        }
        differs(&avp::DESTINATION_REALM, &local.origin_realm).then(|| Refusal::new(REALM_NOT_SERVED))
    }

    fn remember(&mut self, request: &CxRequest) {
        let name = match request {
            CxRequest::Uar(_) => "uar",
            CxRequest::Sar(_) => "sar",
            CxRequest::Lir(_) => "lir",
            CxRequest::Mar(_) => "mar",
        };
        self.counters.count(REQUESTS, name);
        if self.requests.len() == REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(request.clone());
    }
}

fn faulty(request: &CxRequest) -> Faulty {
    match request {
        CxRequest::Uar(_) => Faulty::Uar,
        CxRequest::Sar(_) => Faulty::Sar,
        CxRequest::Lir(_) => Faulty::Lir,
        CxRequest::Mar(_) => Faulty::Mar,
    }
}

fn failed(request: &CxRequest, result: CxResult) -> CxAnswer {
    use hss_client::cx::{Lia, Maa, Saa, Uaa};
    match request {
        CxRequest::Uar(_) => CxAnswer::Uaa(Uaa {
            result,
            ..Uaa::default()
        }),
        CxRequest::Sar(_) => CxAnswer::Saa(Saa {
            result,
            ..Saa::default()
        }),
        CxRequest::Lir(_) => CxAnswer::Lia(Lia {
            result,
            ..Lia::default()
        }),
        CxRequest::Mar(_) => CxAnswer::Maa(Maa {
            result,
            ..Maa::default()
        }),
    }
}

impl Sharded for Hss {
    type Word = std::convert::Infallible;
}

impl Node for Hss {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        match input {
            NetInput::Diameter(input) => match &mut self.persona {
                Persona::PyHss(pyhss) => {
                    if let Some(request) = pyhss.handle(now, input, &mut self.subscribers) {
                        self.remember(&request);
                    }
                }
                _ => self.peers.handle(now, input),
            },
            NetInput::Command(Command::Drain) => {
                if let Persona::PyHss(pyhss) = &mut self.persona {
                    pyhss.stop();
                }
                self.peers.stop(now, DisconnectCause::Rebooting);
            }
            // An HSS speaks no SIP and has no UE beside it.
            NetInput::Sip(_)
            | NetInput::Xfrm(_)
            | NetInput::Command(Command::Registration(_) | Command::Unban(_)) => {}
        }
        self.drain_events(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.peers.handle_timeout(now);
        self.persona.handle_timeout(now);
        while let Some(key) = self.late.pop_expired(now) {
            if let Some((connection, bytes)) = self.late_answers.remove(&key) {
                self.peers.send(connection, bytes);
            }
        }
        self.drain_events(now);
    }

    fn poll_output(&mut self) -> Option<NetOutput> {
        let output = self.persona.poll_output().or_else(|| self.peers.poll_output());
        let output = output.map(NetOutput::Diameter);
        output.or_else(|| std::mem::take(&mut self.is_drained).then_some(NetOutput::Drained))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = earliest(self.persona.poll_timeout(), self.late.next());
        earliest(self.peers.poll_timeout(), own)
    }

    fn metrics(&self, out: &mut Metrics) {
        self.counters.export(out);
        self.peers.export_metrics(out);
    }
}

#[cfg(test)]
mod tests;
