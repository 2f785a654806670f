//! Shell: everything that touches the world: sockets, clock, entropy, signals, HTTP.
//!
//! [`cli::daemon_main`] is the whole of a daemon's `main`. Below it, [`Shell::bind`] makes the sockets and
//! [`Shell::drive`] runs one [`Node`](crate::node::Node) on them, in one thread, until it is told to end.
//!
//! Back-pressure ([`overload`](crate::overload)): the driver reads datagrams faster than the node serves them, and
//! they wait where it is known what they are; the oldest that begin something are refused. Inputs of streams come
//! over one bounded channel; when too much waits it is not emptied, streams are not read, and their senders are
//! slowed down by TCP.
#![allow(clippy::disallowed_methods, reason = "shell")]

pub mod admin;
mod bound;
mod cdr_writer;
pub mod cli;
mod counters;
mod crew;
mod diameter;
mod directory;
mod dns;
pub mod doctor;
mod driver;
mod export;
pub mod harden;
mod log_writer;
mod reload;
mod rest;
mod scan;
mod sctp;
mod shards;
mod signals;
mod stream;
mod supervisor;
mod tcp;
mod udp;
mod xfrm;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use self::admin::AdminRequest;
pub use self::bound::{Shell, ShellError};
use self::counters::Counters;
pub use self::xfrm::{KernelSets, Lack};
use crate::config::LimitsConfig;
pub use crate::config::{DaemonConfig, ShellConfig, SipListener};
use crate::net::{ConnectionId, Interface, NetInput, SendTag};
use crate::node::Seed;
use crate::why::Note;

/// A node's chance and calendar, from the operating system.
///
/// # Errors
/// The system has no entropy to give.
pub fn seed() -> Result<Seed, ShellError> {
    let mut entropy = [0; 32];
    OsRng
        .try_fill_bytes(&mut entropy)
        .map_err(|error| ShellError::Entropy(error.to_string()))?;
    let boot_unix_secs = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    Ok(Seed {
        entropy,
        boot_unix_secs,
    })
}

/// What tasks tell the driver.
#[derive(Debug)]
enum Event {
    /// An input for the node, as it is.
    Net(NetInput),
    /// A SIP listener accepted.
    SipAccepted { interface: Interface, stream: TcpStream },
    /// A message on a stream was not written.
    SendFailed(SendTag),
    /// The task of a SIP connection has ended.
    SipEnded(ConnectionId),
    /// A Diameter connection is there, dialled by this attempt or accepted.
    DiameterUp { attempt: Option<u64>, stream: TcpStream },
    /// The task of a Diameter connection has ended.
    DiameterEnded(ConnectionId),
    /// The operator asks over HTTP.
    Admin(AdminRequest),
    /// A signal, by its name.
    Signal(&'static str),
    /// Other values count from now on; whoever asks wants to know that they do.
    Reconfigure(Arc<reload::NewConfig>, tokio::sync::oneshot::Sender<()>),
    /// What somebody has noted who is not the node.
    Noted(Note),
}

/// What every task of a shell has: the way to the driver, the counters, the limits.
#[derive(Clone)]
struct Context {
    events: mpsc::Sender<Event>,
    counters: Arc<Counters>,
    limits: Arc<LimitsConfig>,
    connections: Arc<AtomicU64>,
    /// The network device that SIP goes by, when it is not left to the routes.
    device: Option<Arc<str>>,
}

impl Context {
    /// A fresh number.
    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Relaxed))
    }

    /// Tells the driver, waiting while it is busy. A driver that has ended wants to know nothing.
    async fn report(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

#[cfg(test)]
mod tests;
