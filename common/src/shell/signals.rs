//! Shell: SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Event;

/// The two signals by which an operator or a supervisor asks a daemon to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both signals over from their default, which ends the process at once.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
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
            else => std::future::pending().await,
        }
    }
}
