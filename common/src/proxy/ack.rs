//! Machine: the ACK to a 2xx on its way, without a transaction (RFC 3261 16.11).

use std::time::Instant;

use crate::net::{Interface, ResolveId, SipOutput, Transmit};
use crate::sip::{HeaderName, Request};
use crate::transaction::layer::TAG_STATELESS;

use super::core::{ProxyCore, Resolving};
use super::forward::MAX_FORWARDS;
use super::next_hop::{Attempt, Resolution, attempts, attempts_along};
use super::{NextHop, route, via};

impl ProxyCore {
    /// Sends an ACK to a 2xx on, without a transaction (RFC 3261 16.11): Max-Forwards and Via as for any request.
    pub fn forward_ack(&mut self, now: Instant, request: Request, hop: NextHop, interface: Interface) {
        let Some(left) = request
            .max_forwards()
            .map_or(Some(MAX_FORWARDS), |hops| hops.checked_sub(1))
        else {
            self.counters.count("ims_sip_acks_dropped_total", "max_forwards");
            return;
        };
        let request = request.edit().set(HeaderName::MaxForwards, left).finish_request();
        let request = route::postprocess(request);
        match Resolution::of(&hop, &self.config.hosts) {
            Resolution::Path(flow) => {
                let too_long = self.is_too_long(&request, interface);
                if let Some(attempt) = attempts_along(now, &flow, too_long, &self.blacklist).pop_front() {
                    self.transmit_ack(&request, interface, &attempt);
                }
            }
            Resolution::Targets(targets) => {
                let good = attempts(now, interface, &targets, false, &self.blacklist).pop_front();
                match good {
                    Some(attempt) => self.transmit_ack(&request, interface, &attempt),
                    None => self.counters.count("ims_sip_acks_dropped_total", "unresolvable"),
                }
            }
            Resolution::Ask {
                host,
                port,
                transport,
            } => {
                // No transaction stands for an ACK, so nothing else limits those that wait.
                if self.resolving.len() >= self.config.limits.transactions_max {
                    self.counters.count("ims_sip_acks_dropped_total", "too_many");
                    return;
                }
                let question = ResolveId(self.next_number());
                self.resolving.insert(
                    question,
                    Resolving::Ack {
                        request: Box::new(request),
                        interface,
                    },
                );
                self.ask(now, question, host, port, transport);
            }
            Resolution::Impossible => self.counters.count("ims_sip_acks_dropped_total", "unresolvable"),
        }
        self.pump(now);
    }

    pub(super) fn transmit_ack(&mut self, request: &Request, interface: Interface, attempt: &Attempt) {
        let branch_token = self.fresh_token();
        let Some(config) = self.interface(interface) else {
            return;
        };
        let branch = via::branch(&branch_token, via::loop_hash(request));
        let value = via::value(attempt.transport, &config.sent_by, &branch);
        let bytes = request
            .edit()
            .push_front(HeaderName::Via, value)
            .finish_request()
            .bytes()
            .clone();
        self.outputs.push_back(SipOutput::Transmit(Transmit {
            bytes,
            destination: attempt.destination,
            tag: TAG_STATELESS,
        }));
    }
}
