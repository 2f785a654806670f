//! Testkit: what application servers do with initial requests, and what no real one should.

use std::time::Instant;

use ims_common::proxy::ServerTransactionId;
use ims_common::sip::{HeaderName, Method, Request, StatusCode};

use super::{AppServer, status_of};

/// What an application server does with an initial request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AsBehaviour {
    /// Proxies it back along its original dialog identifier (TS 24.229 5.7.4).
    Continue {
        /// Stays in the path of the dialog.
        record_route: bool,
    },
    /// Sends a request of its own back, with another Call-ID and other tags (TS 24.229 5.7.5).
    B2bua,
    /// Takes the call, or the message (TS 24.229 5.7.2).
    Answer,
    /// 302 with this Contact.
    Redirect(String),
    /// Refuses it.
    Refuse(u16),
    /// 183, then refuses it: that is its decision and no failure.
    ProgressThenRefuse(u16),
    /// Says nothing at all.
    Silent,
    /// Says 100 and then nothing.
    TryingOnly,
    /// Sends it to the S-CSCF as if it were new, again and again.
    Loop,
    /// Drops the original dialog identifier when it sees a Call-ID for the first time.
    DropOdi,
    /// Proxies it back with another Request-URI.
    Retarget {
        /// The new one.
        uri: String,
        /// Says that the served user diverts it (RFC 8498 `orig-cdiv`).
        diverts: bool,
    },
    /// Proxies it back with so many Record-Routes.
    RecordRoutes(usize),
    /// Answers an INVITE with two 200s of different tags.
    AnswerTwice,
    /// Sends it back along the one original dialog identifier once for each of these Request-URIs.
    Fork(Vec<String>),
}

/// What an application server does with third-party REGISTERs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegisterAnswer {
    /// 200.
    Accept,
    /// Another final answer.
    Refuse(u16),
    /// Nothing.
    Silent,
}

impl AppServer {
    /// Does with an initial request what the server does; its own Route is off.
    pub(super) fn perform(&mut self, now: Instant, transaction: ServerTransactionId, request: Request) {
        let is_invite = request.method() == Method::Invite;
        match self.config.behaviour.clone() {
            AsBehaviour::Continue { record_route } => {
                let count = usize::from(record_route);
                let request = self.with_record_routes(request, count);
                self.pass(now, transaction, request);
            }
            AsBehaviour::RecordRoutes(count) => {
                let request = self.with_record_routes(request, count);
                self.pass(now, transaction, request);
            }
            AsBehaviour::B2bua => self.bridge(now, transaction, &request),
            AsBehaviour::AnswerTwice if is_invite => {
                self.answer(now, transaction, &request, StatusCode::OK);
                self.answer(now, transaction, &request, StatusCode::OK);
            }
            AsBehaviour::Answer | AsBehaviour::AnswerTwice => {
                self.answer(now, transaction, &request, StatusCode::OK);
            }
            AsBehaviour::Redirect(contact) => self.redirect(now, transaction, &request, &contact),
            AsBehaviour::Refuse(status) => self.core.reject(now, transaction, status_of(status)),
            AsBehaviour::ProgressThenRefuse(status) => {
                if is_invite {
                    self.answer(now, transaction, &request, status_of(183));
                }
                self.core.reject(now, transaction, status_of(status));
            }
            // Silence begins before the transactions; a 100 has been sent where there is one.
            AsBehaviour::Silent | AsBehaviour::TryingOnly => {}
            AsBehaviour::Loop => self.send_as_new(now, transaction, request),
            AsBehaviour::DropOdi => self.drop_odi_once(now, transaction, request),
            AsBehaviour::Retarget { uri, diverts } => {
                let request = retargeted(&request, &uri, diverts);
                self.pass(now, transaction, request);
            }
            AsBehaviour::Fork(uris) => self.fork(now, transaction, request, &uris),
        }
    }

    fn redirect(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request, contact: &str) {
        let reply = request
            .reply(status_of(302))
            .to_tag(&self.core.fresh_token())
            .header(HeaderName::Contact, format_args!("<{contact}>"));
        self.core.respond(now, transaction, reply.finish());
    }
}

/// The request to another target; who diverts is the served user (RFC 8498 5.3).
fn retargeted(request: &Request, uri: &str, diverts: bool) -> Request {
    let edit = request.edit().request_uri(uri);
    if !diverts {
        return edit.finish_request();
    }
    let served = request.header_named("P-Served-User").map(super::text_of);
    let user = served.as_deref().and_then(|value| value.split(';').next());
    let user = user.map_or_else(
        || format!("<{}>", super::text_of(request.request_uri_bytes())),
        ToOwned::to_owned,
    );
    edit.set(HeaderName::PServedUser, format_args!("{user};orig-cdiv"))
        .finish_request()
}
