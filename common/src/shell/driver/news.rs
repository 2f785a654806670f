//! Shell: what a driver does when the configuration is to be read again.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Driver;
use crate::node::Sharded;
use crate::operate::{ReloadReport, ReloadResult};
use crate::shell::reload::{self, NewConfig};

impl<N: Sharded> Driver<N> {
    /// The first shard has the file read, beside its own work; it tells all.
    pub(super) fn reload(&self, answer: Option<oneshot::Sender<ReloadReport>>) {
        if !self.is_first() {
            return;
        }
        let reader = self
            .reloading
            .as_ref()
            .and_then(|reloading| reloading.reader.clone());
        let Some(reader) = reader else {
            let report = ReloadReport {
                error: Some("this node was not started with a file".to_owned()),
                ..ReloadReport::of(ReloadResult::Refused)
            };
            return drop(answer.map(|answer| answer.send(report)));
        };
        let drivers = self.shell.all.clone();
        tokio::spawn(async move {
            let report = reload::run(reader, drivers).await;
            // Whoever asked may have gone meanwhile.
            answer.map(|answer| answer.send(report))
        });
    }

    /// Other values count from now on.
    pub(super) fn reconfigure(&mut self, now: Instant, news: &Arc<NewConfig>, done: oneshot::Sender<()>) {
        if let Some(reloading) = &self.reloading {
            (reloading.apply)(&mut self.node, news, self.shell.place);
            self.shell.drain_timeout = news.drain_timeout;
            self.speak(now);
        }
        let _ = done.send(());
    }
}
