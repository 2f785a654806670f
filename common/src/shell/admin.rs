//! Shell: the operator's HTTP: health, metrics, and the API below /api/v1 that /openapi.json describes.

mod access;
mod api;
pub mod client;
mod console;
mod desk;
mod explain;
mod ifc_test;
mod listen;
mod pcap;
mod refusal;
mod surgery;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use self::access::Access;
use self::desk::Desk;
pub(crate) use self::listen::SocketFile;
use self::surgery::Surgery;
pub use self::token::Token;
use super::bound::refused;
use super::export::pcap::Pcap;
use super::{Event, ShellError};
use crate::config::{AdminConfig, ShellConfig};
use crate::ifc_test::{IfcTest, IfcTestAnswer, IfcTestError};
use crate::net::Command;
use crate::node::Metrics;
use crate::operate::{NodeStatus, Question, ReloadReport, ReloadResult, Report, SaRow};
use crate::why::{Case, Entry, Finding, Who};

/// What the operator asks of the driver. The driver's answer proves that the driver turns.
#[derive(Debug)]
pub(crate) enum AdminRequest {
    Health(oneshot::Sender<Health>),
    Metrics(oneshot::Sender<Metrics>),
    /// The rows of a list.
    Report(Question, oneshot::Sender<Report>),
    /// The latest security associations, and what they have carried.
    Sas(oneshot::Sender<Vec<SaRow>>),
    Drain(oneshot::Sender<Health>),
    /// Read the configuration again; of the first shard.
    Reload(oneshot::Sender<ReloadReport>),
    /// What this shard knows of one subscriber or call.
    Why(Who, oneshot::Sender<Case>),
    /// The latest findings, newest first, and whose they are.
    Findings(oneshot::Sender<Vec<(String, Finding)>>),
    /// All that happens to one subscriber or call, or to all, until the receiver is gone. Of too many the receiver is gone at once.
    Follow(Option<Who>, mpsc::Sender<Entry>),
    /// A trial of filter criteria; `None`: this node has none.
    IfcTest(
        IfcTest,
        oneshot::Sender<Option<Result<IfcTestAnswer, IfcTestError>>>,
    ),
    /// For the node. Of one about a registration only one shard, of an S-CSCF, has something to do.
    Command(Command, oneshot::Sender<Health>),
}

/// The answer of /health.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `serving` or `draining`.
    pub(crate) status: NodeStatus,
    /// The daemon.
    pub(crate) node: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// Since `ready`.
    pub(crate) uptime_secs: u64,
    /// Where it speaks SIP; not for everybody.
    #[serde(skip)]
    pub(crate) sip: Vec<SocketAddr>,
    /// How often another configuration was taken.
    #[serde(skip)]
    pub(crate) config_generation: u64,
    /// What came of the last reload.
    #[serde(skip)]
    pub(crate) last_reload: Option<ReloadResult>,
}

/// What is served.
pub(super) struct Served {
    /// Where TCP is bound.
    pub(super) address: Option<SocketAddr>,
    /// The Unix socket's file.
    pub(super) socket: Option<SocketFile>,
}

/// Serves HTTP as configured; the requests go to the drivers of all shards.
pub(super) async fn serve(
    shell: &ShellConfig,
    config: &AdminConfig,
    drivers: Vec<mpsc::Sender<Event>>,
    pcap: Option<Arc<Pcap>>,
) -> Result<Served, ShellError> {
    let name = shell.name;
    let access = Access::new(Instant::now(), config)
        .map_err(|problem| ShellError::Preflight(format!("{name}.admin.{problem}")))?;
    let desk = Arc::new(Desk::new(name, access, drivers, &config.neighbours).with_pcap(pcap));
    let routes = api::routes(&desk).layer(Extension(Surgery::new(shell)));
    let mut served = Served {
        address: None,
        socket: None,
    };
    if let Some(path) = &config.socket {
        let (listener, file) = listen::bind_socket(path).map_err(|error| {
            ShellError::Preflight(format!(
                "{name}.admin.socket {}: cannot listen ({error})",
                path.display()
            ))
        })?;
        served.socket = Some(file);
        listen::serve_socket(listener, routes.clone());
    }
    if let Some(address) = config.listen {
        let key = format!("{name}.admin");
        let (listener, bound) = listen::bind_tcp(address)
            .await
            .map_err(|error| refused(&key, address, error))?;
        served.address = Some(bound);
        listen::serve_tcp(listener, routes);
    }
    Ok(served)
}
