//! Shell: what a driver tells an operator.

use std::time::Instant;

use super::{Driver, Phase};
use crate::node::{Bounds, Metrics, Sharded};
use crate::operate::{LimitRow, List, NodeStatus, Question, Report};
use crate::overload::Work;
use crate::shell::admin::Health;

/// Bounds of the durations of turns: from a timer that does nothing to a stall that senders notice.
pub(super) const TURNS: Bounds = &[
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000,
];
/// Bounds of the time that messages wait: new ones are refused after some tens of milliseconds.
pub(super) const WAITS: Bounds = &[
    100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
];

impl<N: Sharded> Driver<N> {
    pub(super) fn health(&self) -> Health {
        let reader = self
            .reloading
            .as_ref()
            .and_then(|reloading| reloading.reader.as_ref());
        let status = reader.map(|reader| reader.status());
        Health {
            config_generation: status.map_or(0, |(generation, _)| generation),
            last_reload: status.and_then(|(_, last)| last),
            status: match self.phase {
                Phase::Serving => NodeStatus::Serving,
                Phase::Draining { .. } | Phase::Over => NodeStatus::Draining,
            },
            node: self.shell.name,
            version: env!("CARGO_PKG_VERSION"),
            uptime_secs: self.started.elapsed().as_secs(),
            sip: self.shell.sip_addresses(),
        }
    }

    pub(super) fn report(&self, now: Instant, question: &Question) -> Report {
        let mut report = Report::default();
        self.node.report(now, question, &mut report);
        if question.list == List::Limits {
            self.limits(question, &mut report);
        }
        report
    }

    /// The limits of the sockets.
    fn limits(&self, question: &Question, out: &mut Report) {
        let (limits, counters) = (&self.shell.context.limits, &self.shell.context.counters);
        let connections = LimitRow::new("limits.connections", limits.connections)
            .used(self.shell.streams.len())
            .refused(counters.refused_total.get());
        out.add(question, || connections);
        let of_address = LimitRow::new("limits.connections_per_address", limits.connections_per_address)
            .refused(counters.refused_address.get());
        out.add(question, || of_address);
        let waiting = self.waiting.len(Work::InProgress) + self.waiting.len(Work::New);
        let queue = LimitRow::new("limits.queue", limits.queue)
            .used(waiting)
            .refused(counters.dropped_queue_full.get());
        out.add(question, || queue);
        let questions =
            LimitRow::new("limits.dns_questions", limits.dns_questions).refused(counters.dns_overload.get());
        out.add(question, || questions);
    }

    pub(super) fn metrics(&self) -> Metrics {
        let mut all = Metrics::default();
        self.node.metrics(&mut all);
        self.shell.context.counters.export(&mut all);
        self.tap.metrics(&mut all);
        if let Some(xfrm) = &self.shell.xfrm {
            xfrm.export(&mut all);
        }
        if let Some(cdr) = &self.shell.cdr {
            cdr.export(&mut all);
        }
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        all.gauge(
            "ims_connections",
            &[("protocol", "sip")],
            count(self.shell.streams.len()),
        );
        all.gauge(
            "ims_connections",
            &[("protocol", "diameter")],
            count(self.shell.diameter.len()),
        );
        for (label, work) in [("in_progress", Work::InProgress), ("new", Work::New)] {
            all.gauge(
                "ims_queue_length",
                &[("work", label)],
                count(self.waiting.len(work)),
            );
        }
        all.gauge(
            "ims_queue_length",
            &[("work", "events")],
            count(self.shell.events.len()),
        );
        all.histogram("ims_driver_turn_duration_seconds", &[], &self.turns);
        all.histogram("ims_queue_wait_duration_seconds", &[], &self.waits);
        all.longest("ims_queue_delay_seconds", &[], self.waiting.delay());
        if !self.is_first() {
            return all;
        }
        // Of the process.
        if let Some(reader) = self
            .reloading
            .as_ref()
            .and_then(|reloading| reloading.reader.as_ref())
        {
            reader.export(&mut all);
        }
        all.gauge("ims_shards", &[], u64::from(self.shell.place.of));
        all.counter("ims_log_lines_left_out_total", &[], self.shell.left_out.get());
        all.gauge("ims_draining", &[], u64::from(self.phase != Phase::Serving));
        all.gauge("ims_uptime_seconds", &[], self.started.elapsed().as_secs());
        all
    }
}
