//! Testkit: the application server as a proxy (TS 24.229 5.7.4), good and bad.

use std::time::Instant;

use ims_common::net::Interface;
use ims_common::proxy::{NextHop, NextHopTarget, ServerTransactionId, route};
use ims_common::sip::{HeaderName, Request, StatusCode, UriBuf};

use super::{AppServer, text_of};

impl AppServer {
    /// Sends a request on along its Route.
    pub(super) fn pass(&mut self, now: Instant, transaction: ServerTransactionId, request: Request) {
        let Some(hop) = route::next_hop(&request) else {
            return self.core.reject(now, transaction, StatusCode::NOT_FOUND);
        };
        let target = NextHopTarget::unchanged(NextHop::Uri(hop));
        self.core
            .relay(now, transaction, request, vec![target], Interface::Mw);
    }

    /// The request with so many Record-Routes of the server's own.
    pub(super) fn with_record_routes(&self, request: Request, count: usize) -> Request {
        (0..count).fold(request, |request, number| {
            let value = self.record_route(&format!("rr{number}"));
            request
                .edit()
                .push_front(HeaderName::RecordRoute, value)
                .finish_request()
        })
    }

    /// One branch for each of these Request-URIs, all along the same Route.
    pub(super) fn fork(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: Request,
        uris: &[String],
    ) {
        let Some(hop) = route::next_hop(&request) else {
            return self.core.reject(now, transaction, StatusCode::NOT_FOUND);
        };
        let targets = uris.iter().map(|uri| NextHopTarget {
            request_uri: UriBuf::parse(uri.as_bytes()).ok(),
            ..NextHopTarget::unchanged(NextHop::Uri(hop.clone()))
        });
        let targets = targets.collect();
        self.core.relay(now, transaction, request, targets, Interface::Mw);
    }

    /// Sends it to the S-CSCF that it came from without the original dialog identifier: as a new request of the
    /// served user's, or for them.
    pub(super) fn send_as_new(&mut self, now: Instant, transaction: ServerTransactionId, request: Request) {
        let request = without_odi(&request);
        self.pass(now, transaction, request);
    }

    /// The same, but only when the Call-ID was never seen.
    pub(super) fn drop_odi_once(&mut self, now: Instant, transaction: ServerTransactionId, request: Request) {
        let call_id = request.call_id().unwrap_or_default().to_vec();
        if self.dropped.contains(&call_id) {
            return self.pass(now, transaction, request);
        }
        self.dropped.push(call_id);
        self.send_as_new(now, transaction, request);
    }
}

/// The top Route without its user part, with `orig` when the served user is the caller.
fn without_odi(request: &Request) -> Request {
    let Some(top) = route::top_route(request) else {
        return request.clone();
    };
    let uri = top.as_uri();
    let port = uri.port().map_or_else(String::new, |port| format!(":{port}"));
    let served = request.header(HeaderName::PServedUser).map(text_of);
    let is_originating =
        uri.param("orig").is_some() || served.is_some_and(|value| value.contains("sescase=orig"));
    let orig = if is_originating { ";orig" } else { "" };
    let value = format!("<sip:{}{port};lr{orig}>", uri.host());
    request
        .edit()
        .pop_first_value(HeaderName::Route)
        .push_front(HeaderName::Route, value)
        .finish_request()
}
