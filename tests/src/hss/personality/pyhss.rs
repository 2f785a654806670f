//! Testkit: PyHSS as a peer: connections, base messages, batches.

mod cx;
mod profile;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hss_client::cx::CxRequest;
use ims_common::diameter::base::Application;
use ims_common::diameter::grammar::{avp, command, result_code};
use ims_common::diameter::{CommandFlags, Header, LocalPeer, Message, MessageBuilder};
use ims_common::net::{ConnectionId, DiameterInput, DiameterOutput};
use ims_common::node::{TimerTable, earliest};

use crate::hss::cx::Subscribers;

/// Answers leave together, this long after the first of them was ready.
const BATCH: Duration = Duration::from_millis(100);
/// After this long, one of two connections with the same Origin-Host is deaf.
const DEAFENING: Duration = Duration::from_secs(1);
/// A connection that was silent this long is closed.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// What arrives within this time is one read of the socket.
const ONE_READ: Duration = Duration::from_millis(1);
/// What waited longer for the process that does the work is gone.
const QUEUED_FOR: Duration = Duration::from_secs(3);
/// What waits for that process at most.
const QUEUED_MAX: usize = 10_000;
/// S6a, Cx, S13, `SLh`, Sh, Rx, Gx.
const APPLICATIONS: [u32; 7] = [
    16_777_251, 16_777_216, 16_777_252, 16_777_291, 16_777_217, 16_777_236, 16_777_238,
];
const FIRMWARE_REVISION: u32 = 10_201;

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::hss) enum Version {
    /// 1.0.2.
    One,
    /// 2.0.0.
    Two,
}

#[derive(Debug, Default)]
struct Client {
    host: Option<String>,
    is_deaf: bool,
    last_read: Option<Instant>,
}

/// The stand-in for PyHSS.
#[derive(Debug)]
pub(in crate::hss) struct PyHss {
    version: Version,
    local: LocalPeer,
    /// The S-CSCF of users that have none.
    pool: String,
    clients: BTreeMap<ConnectionId, Client>,
    deafening: TimerTable<ConnectionId>,
    silence: TimerTable<ConnectionId>,
    /// What came while the process that does the work was down; the one with the sockets went on reading.
    queued: Option<VecDeque<(Instant, ConnectionId, Bytes)>>,
    batch: Vec<(ConnectionId, Bytes)>,
    batch_at: Option<Instant>,
    outputs: VecDeque<DiameterOutput>,
}

impl PyHss {
    pub(in crate::hss) fn new(version: Version, local: LocalPeer, pool: String) -> Self {
        Self {
            version,
            local,
            pool,
            clients: BTreeMap::new(),
            deafening: TimerTable::default(),
            silence: TimerTable::default(),
            queued: None,
            batch: Vec::new(),
            batch_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; the Cx request in it that a standard HSS would understand, for the record.
    pub(in crate::hss) fn handle(
        &mut self,
        now: Instant,
        input: DiameterInput,
        subscribers: &mut Subscribers,
    ) -> Option<CxRequest> {
        match input {
            DiameterInput::Connected { connection, .. } => {
                self.clients.insert(connection, Client::default());
                self.silence.set(connection, now + SILENCE_MAX);
            }
            DiameterInput::ConnectFailed { .. } => {}
            DiameterInput::Closed { connection } => {
                self.clients.remove(&connection);
                self.deafening.cancel(&connection);
                self.silence.cancel(&connection);
            }
            DiameterInput::Message { connection, bytes } => {
                if !self.hears(now, connection) {
                    return None;
                }
                if let Some(queued) = &mut self.queued {
                    if queued.len() < QUEUED_MAX {
                        queued.push_back((now, connection, bytes));
                    }
                    return None;
                }
                return self.serve(now, connection, bytes, subscribers);
            }
        }
        None
    }

    /// Does what a message asks.
    fn serve(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        bytes: Bytes,
        subscribers: &mut Subscribers,
    ) -> Option<CxRequest> {
        // What it does not like gets no answer.
        let message = Message::parse(bytes).ok().filter(Message::is_request)?;
        let answer = match message.header().application {
            0 => self.base(now, connection, &message),
            id if id == Application::CX.id => self.cx(&message, subscribers),
            _ => None,
        };
        if let Some(bytes) = answer {
            self.batch.push((connection, bytes));
            self.batch_at.get_or_insert(now + BATCH);
        }
        CxRequest::decode(&message).ok()
    }

    /// The process that does the work ends; the one with the sockets goes on.
    pub(in crate::hss) fn pause(&mut self) {
        self.queued.get_or_insert_default();
    }

    /// The process that does the work is back: what is older than three seconds is gone for good.
    pub(in crate::hss) fn resume(&mut self, now: Instant, subscribers: &mut Subscribers) -> Vec<CxRequest> {
        let queued = self.queued.take().unwrap_or_default();
        let fresh = queued.into_iter().filter(|(at, ..)| now <= *at + QUEUED_FOR);
        fresh
            .filter_map(|(_, connection, bytes)| self.serve(now, connection, bytes, subscribers))
            .collect()
    }

    /// A deaf connection hears nothing; 1.0.2 hears only the first message of a read.
    fn hears(&mut self, now: Instant, connection: ConnectionId) -> bool {
        let Some(client) = self.clients.get_mut(&connection) else {
            return false;
        };
        let is_second = client.last_read.is_some_and(|last| now < last + ONE_READ);
        client.last_read = Some(now);
        self.silence.set(connection, now + SILENCE_MAX);
        let is_lost = is_second && self.version == Version::One;
        !client.is_deaf && !is_lost
    }

    fn base(&mut self, now: Instant, connection: ConnectionId, request: &Message) -> Option<Bytes> {
        let header = request.header();
        if header.flags != CommandFlags(CommandFlags::REQUEST) {
            return None;
        }
        let mut builder = MessageBuilder::new(Header {
            flags: CommandFlags(0),
            ..*header
        });
        builder.u32(&avp::RESULT_CODE, result_code::SUCCESS);
        self.local.put_origin(&mut builder);
        match header.code {
            command::CAPABILITIES_EXCHANGE => {
                self.on_cer(now, connection, request);
                put_capabilities(&mut builder, &self.local.product_name);
                put_origin_state(&mut builder, request);
            }
            command::DEVICE_WATCHDOG => put_origin_state(&mut builder, request),
            // The connection stays open: who left has to close it.
            command::DISCONNECT_PEER => {}
            _ => return None,
        }
        Some(builder.finish())
    }

    /// Two connections with one Origin-Host: 1.0.2 soon forgets the newer, 2.0.0 the older.
    fn on_cer(&mut self, now: Instant, connection: ConnectionId, cer: &Message) {
        let host = cer.text(&avp::ORIGIN_HOST).map(str::to_owned);
        let older = self
            .clients
            .iter()
            .find(|(id, client)| **id != connection && host.is_some() && client.host == host);
        if let Some((older, _)) = older {
            let deaf = match self.version {
                Version::One => connection,
                Version::Two => *older,
            };
            self.deafening.set(deaf, now + DEAFENING);
        }
        if let Some(client) = self.clients.get_mut(&connection) {
            client.host = host;
        }
    }

    pub(in crate::hss) fn handle_timeout(&mut self, now: Instant) {
        while let Some(connection) = self.deafening.pop_expired(now) {
            if let Some(client) = self.clients.get_mut(&connection) {
                client.is_deaf = true;
            }
        }
        while let Some(connection) = self.silence.pop_expired(now) {
            if self.clients.remove(&connection).is_some() {
                self.deafening.cancel(&connection);
                self.outputs.push_back(DiameterOutput::Close { connection });
            }
        }
        if self.batch_at.is_some_and(|at| at <= now) {
            self.batch_at = None;
            // The last one first: nothing is in order here.
            for (connection, bytes) in self.batch.drain(..).rev() {
                let is_open = self
                    .clients
                    .get(&connection)
                    .is_some_and(|client| !client.is_deaf);
                if is_open {
                    self.outputs.push_back(DiameterOutput::Send { connection, bytes });
                }
            }
        }
    }

    /// Its process ends.
    pub(in crate::hss) fn stop(&mut self) {
        let closed = std::mem::take(&mut self.clients).into_keys();
        self.silence = TimerTable::default();
        self.deafening = TimerTable::default();
        self.outputs
            .extend(closed.map(|connection| DiameterOutput::Close { connection }));
    }

    pub(in crate::hss) fn poll_output(&mut self) -> Option<DiameterOutput> {
        self.outputs.pop_front()
    }

    pub(in crate::hss) fn poll_timeout(&self) -> Option<Instant> {
        let connections = earliest(self.silence.next(), self.deafening.next());
        earliest(self.batch_at, connections)
    }
}

/// Auth-Application-Id stands before Vendor-Id in each group, and nothing is said of security.
fn put_capabilities(builder: &mut MessageBuilder, product: &str) {
    builder
        .address(&avp::HOST_IP_ADDRESS, std::net::Ipv4Addr::UNSPECIFIED.into())
        .u32(&avp::VENDOR_ID, 0)
        .text(&avp::PRODUCT_NAME, product);
    for application in APPLICATIONS {
        builder.group(&avp::VENDOR_SPECIFIC_APPLICATION_ID, |b| {
            b.u32(&avp::AUTH_APPLICATION_ID, application)
                .u32(&avp::VENDOR_ID, Application::CX.vendor);
        });
    }
    builder
        .u32(&avp::AUTH_APPLICATION_ID, 16_777_238)
        .u32(&avp::AUTH_APPLICATION_ID, 10)
        .u32(&avp::FIRMWARE_REVISION, FIRMWARE_REVISION);
}

/// The number of the request, plus one: it says nothing of restarts.
fn put_origin_state(builder: &mut MessageBuilder, request: &Message) {
    if let Some(number) = request.u32(&avp::ORIGIN_STATE_ID) {
        builder.u32(&avp::ORIGIN_STATE_ID, number.wrapping_add(1));
    }
}
