//! Shell: SIGTERM, SIGINT and SIGHUP.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Event;

/// The name of the signal by which a daemon is asked to read its configuration again.
pub(super) const RELOAD: &str = "SIGHUP";

/// The signals by which an operator or a supervisor asks a daemon to end, or to read its configuration again.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which ends the process at once.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Tells the drivers of each.
    pub(crate) fn report_to(mut self, drivers: Vec<mpsc::Sender<Event>>) {
        tokio::spawn(async move {
            loop {
                let signal = self.next().await;
                for driver in &drivers {
                    // One that has ended wants to know nothing.
                    let _ = driver.send(Event::Signal(signal)).await;
                }
            }
        });
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            Some(()) = self.hangup.recv() => RELOAD,
            else => std::future::pending().await,
        }
    }
}
