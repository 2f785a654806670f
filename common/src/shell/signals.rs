//! Shell: SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Context, Event};

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

    /// Tells the driver of each.
    pub(crate) fn report_to(mut self, context: Context) {
        tokio::spawn(async move {
            loop {
                let signal = self.next().await;
                context.report(Event::Signal(signal)).await;
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
