//! Shell: a node of the testkit on real sockets, in a thread of its own.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use ims_common::config::{ShellConfig, SipListener};
use ims_common::ipsec::ProtectedPorts;
use ims_common::net::{Interface, NetInput, NetOutput};
use ims_common::node::{Metrics, Node};
use ims_common::shell::Shell;

use crate::hss::Hss;
use crate::ue::remote::{Handle, Remote, Seen};
use crate::ue::{Ue, UeCommand, UeConfig, UeEvent};

/// Marks the states and policies of phones in the kernel, each with the end of its address added: at its start a phone
/// removes what bears its own mark.
const PHONE_REQID: u32 = 0x0049_0000;

/// The mark of the phone at this address.
fn reqid(address: IpAddr) -> u32 {
    let end = match address {
        IpAddr::V4(ip) => {
            let [.., c, d] = ip.octets();
            u16::from_be_bytes([c, d])
        }
        IpAddr::V6(ip) => {
            let [.., end] = ip.segments();
            end
        }
    };
    PHONE_REQID + u32::from(end)
}

/// Sockets for one phone, and for one with IPsec its protected ports.
#[must_use]
pub fn phone_sockets(config: &UeConfig) -> ShellConfig {
    let listener = |interface, address, accepts_streams| SipListener {
        interface,
        address,
        key: "ue.address",
        accepts_streams,
    };
    let ports = config.protected_ports();
    let protected = ports.iter().enumerate();
    let streams = |index| index == 0 && config.accepts_streams();
    let protected = protected.map(|(index, port)| listener(Interface::GmProtected, *port, streams(index)));
    let clear = listener(Interface::Gm, config.local, true);
    let mut shell = ShellConfig::new("ue", std::iter::once(clear).chain(protected).collect());
    shell.protected = (!ports.is_empty()).then(|| ProtectedPorts {
        local: ports,
        reqid: reqid(config.local.ip()),
        priority: 2_080,
        replay_window: 64,
        requests_max: 64,
        // A phone may offer what its kernel lacks; it learns so when that is chosen.
        suites: Vec::new(),
    });
    shell
}

/// A socket on ISC for one application server.
#[must_use]
pub fn server_sockets(address: SocketAddr) -> ShellConfig {
    let listener = SipListener {
        interface: Interface::Mw,
        address,
        key: "as.address",
        accepts_streams: true,
    };
    ShellConfig::new("as", vec![listener])
}

/// A Diameter listener for one HSS.
#[must_use]
pub fn hss_sockets(address: SocketAddr) -> ShellConfig {
    let mut config = ShellConfig::new("hss", Vec::new());
    config.diameter_listen = Some(address);
    config
}

/// Runs a node until the program or the node ends; says no earlier that it runs than its sockets are bound.
///
/// # Errors
/// When a socket cannot be had.
pub fn host<N>(
    node: N,
    sockets: ShellConfig,
    watch: impl FnMut(Instant, Seen<'_>) + Send + 'static,
) -> Result<(Handle<N>, JoinHandle<()>)>
where
    N: Node<Input = NetInput, Output = NetOutput> + Send + 'static,
{
    let (remote, handle) = Remote::new(node, Instant::now(), watch);
    let (bound, is_bound) = channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            match Shell::bind(&sockets).await {
                Ok(shell) => {
                    let _ = bound.send(Ok(()));
                    let _ = shell.drive(remote).await;
                }
                Err(error) => {
                    let _ = bound.send(Err(error.to_string()));
                }
            }
        });
    });
    is_bound
        // Where a kernel first loads its algorithms, in an emulated machine that others use too, this takes long.
        .recv_timeout(Duration::from_secs(60))
        .context("the sockets are not there after 60 s")?
        .map_err(|error| anyhow!(error))?;
    Ok((handle, thread))
}

/// Waits until so many CSCFs are connected with an HSS: a daemon says `ready` when it listens, not when its peers are up.
///
/// # Errors
/// When they do not come.
pub fn wait_for_peers(hss: &Handle<Hss>, count: usize) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let open = hss.ask(|_, hss| {
            let mut metrics = Metrics::default();
            hss.metrics(&mut metrics);
            metrics.sum("ims_diameter_peers_open", &[])
        });
        if open.is_some_and(|open| usize::try_from(open).unwrap_or(0) >= count) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(anyhow!(
        "fewer than {count} CSCFs are connected with the HSS after 20 s"
    ))
}

/// A phone on real sockets.
pub struct Phone {
    name: String,
    handle: Handle<Ue>,
    thread: JoinHandle<()>,
}

impl Phone {
    /// Switches a phone on.
    ///
    /// # Errors
    /// When its sockets cannot be had.
    pub fn start(
        name: &str,
        config: UeConfig,
        watch: impl FnMut(Instant, Seen<'_>) + Send + 'static,
    ) -> Result<Self> {
        let sockets = phone_sockets(&config);
        Self::start_on(name, config, sockets, watch)
    }

    /// Switches a phone on, on sockets that are not quite the usual ones.
    ///
    /// # Errors
    /// When its sockets cannot be had.
    pub fn start_on(
        name: &str,
        config: UeConfig,
        sockets: ShellConfig,
        watch: impl FnMut(Instant, Seen<'_>) + Send + 'static,
    ) -> Result<Self> {
        let seed = ims_common::shell::seed()?;
        let (handle, thread) = host(Ue::new(config, &seed), sockets, watch)?;
        Ok(Self {
            name: name.to_owned(),
            handle,
            thread,
        })
    }

    /// Switches it off, whatever it does: its sockets close, and the kernel keeps nothing of it.
    ///
    /// # Errors
    /// When it has not ended in time.
    pub fn stop(self, patience: Duration) -> Result<()> {
        self.handle.act(|_, ue| ue.switch_off());
        let end = Instant::now() + patience;
        while !self.thread.is_finished() {
            anyhow::ensure!(
                Instant::now() < end,
                "{} has not ended after {patience:?}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells it something and does not wait.
    pub fn tell(&self, command: UeCommand) {
        self.handle.act(move |now, ue| ue.command(now, command));
    }

    /// Tells it something and waits until it is done: what it saw.
    ///
    /// # Errors
    /// When it is not done in time.
    pub fn tell_and_wait(&self, command: UeCommand, patience: Duration) -> Result<Vec<UeEvent>> {
        self.tell(command.clone());
        let end = Instant::now() + patience;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            let seen = self.handle.ask(|_, ue| ue.is_idle().then(|| ue.take_events()));
            if let Some(events) = seen.context("the phone is gone")? {
                return Ok(events);
            }
        }
        Err(anyhow!(
            "{} has not done {command:?} after {patience:?}",
            self.name
        ))
    }

    /// Acts on it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(Instant, &mut Ue) -> T + Send + 'static,
    ) -> Result<T> {
        self.handle.ask(act).context("the phone is gone")
    }

    /// What it saw since it was last asked.
    #[must_use]
    pub fn take_events(&self) -> Vec<UeEvent> {
        self.handle.ask(|_, ue| ue.take_events()).unwrap_or_default()
    }
}
