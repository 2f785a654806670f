//! Testkit: the application server as a back-to-back user agent (TS 24.229 5.7.5): two dialogs with other Call-IDs and
//! tags, and everything of the one carried into the other.
//!
//! The tags of one side are those of the other with a mark before them, and numbers of CSeq and RSeq are the same on
//! both sides, so that RAck and forked early dialogs need no tables.

use std::collections::BTreeMap;
use std::time::Instant;

use ims_common::proxy::ServerTransactionId;
use ims_common::sip::{HeaderName, Method, NameAddr, Request, Response};

use super::{AppServer, Awaited, is_in_dialog, text_of};

/// Before a tag on the side where the server shows it.
const MARK: &str = "b2b-";

/// A side of a bridge.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Side {
    Caller,
    Callee,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// How the far end of a side is reached.
#[derive(Clone, Debug, Default)]
struct End {
    target: String,
    routes: Vec<String>,
}

/// All bridges of a server.
#[derive(Debug, Default)]
pub struct Bridges {
    /// Call-IDs of both sides: the bridge, and which side.
    calls: BTreeMap<String, (u64, Side)>,
    /// By bridge, side and the far end's tag.
    ends: BTreeMap<(u64, Side, String), End>,
    last: u64,
}

impl Bridges {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len() / 2
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether a request is in a dialog of a bridge.
    pub(super) fn knows(&self, request: &Request) -> bool {
        is_in_dialog(request) && self.of(request).is_some()
    }

    fn of(&self, request: &Request) -> Option<(u64, Side)> {
        self.calls.get(&call_id(request)).copied()
    }

    /// The Call-ID of a side.
    fn call_id(&self, bridge: u64, side: Side) -> Option<String> {
        let found = self.calls.iter().find(|(_, of)| **of == (bridge, side));
        found.map(|(call_id, _)| call_id.clone())
    }

    fn open(&mut self, caller: String, callee: String) -> u64 {
        self.last += 1;
        self.calls.insert(caller, (self.last, Side::Caller));
        self.calls.insert(callee, (self.last, Side::Callee));
        self.last
    }

    fn close(&mut self, bridge: u64) {
        self.calls.retain(|_, (of, _)| *of != bridge);
        self.ends.retain(|(of, ..), _| *of != bridge);
    }

    /// The first message of a far end says how to reach it; later ones move only its target (RFC 3261 12.2.1.2).
    fn learn(&mut self, key: (u64, Side, String), target: Option<String>, routes: Vec<String>) {
        let Some(target) = target else { return };
        let end = self.ends.entry(key).or_insert_with(|| End {
            target: String::new(),
            routes,
        });
        end.target = target;
    }
}

impl AppServer {
    /// The bridges that it holds.
    #[must_use]
    pub const fn bridges(&self) -> &Bridges {
        &self.bridges
    }

    /// Carries a request to the other side.
    pub(super) fn bridge(&mut self, now: Instant, transaction: ServerTransactionId, request: &Request) {
        let bridged = match self.bridged_request(request) {
            Some(bridged) => bridged,
            None => self.open_bridge(request),
        };
        self.send(now, bridged, Awaited::Bridged(transaction, request.clone()));
    }

    fn open_bridge(&mut self, request: &Request) -> Request {
        let callee = format!("{MARK}{}", self.core.fresh_token());
        let bridge = self.bridges.open(call_id(request), callee.clone());
        let from_tag = tag(request.from().ok());
        let routes = values(request, HeaderName::RecordRoute);
        self.bridges
            .learn((bridge, Side::Caller, from_tag), contact(request), routes);
        self.as_own(request, &callee).finish_request()
    }

    /// A copy without what belongs to the side that it came from.
    fn as_own<'a>(&self, request: &'a Request, call_id: &str) -> ims_common::sip::Edit<'a> {
        let from = retagged(request.from().ok(), |tag| format!("{MARK}{tag}"));
        let left = request.max_forwards().unwrap_or(70).saturating_sub(1);
        let mut edit = request
            .edit()
            .remove_all(&[HeaderName::Via, HeaderName::RecordRoute])
            .set(HeaderName::CallId, call_id)
            .set(HeaderName::MaxForwards, left)
            .set(HeaderName::From, from);
        if request.header(HeaderName::Contact).is_some() {
            edit = edit.set(HeaderName::Contact, self.contact("b2bua"));
        }
        edit
    }

    /// The request of a dialog as the other side is to see it; `None` when it is in no dialog of a bridge.
    pub(super) fn bridged_request(&mut self, request: &Request) -> Option<Request> {
        let (bridge, side) = self.bridges.of(request).filter(|_| is_in_dialog(request))?;
        let from_tag = tag(request.from().ok());
        if request.method() != Method::Ack {
            self.bridges
                .learn((bridge, side, from_tag), contact(request), Vec::new());
        }
        let other = side.other();
        let to_tag = tag(request.to().ok());
        let far_tag = to_tag.strip_prefix(MARK).unwrap_or(&to_tag).to_owned();
        let end = self.bridges.ends.get(&(bridge, other, far_tag.clone()))?.clone();
        let call_id = self.bridges.call_id(bridge, other)?;
        let to = retagged(request.to().ok(), |_| far_tag.clone());
        let mut edit = self
            .as_own(request, &call_id)
            .set(HeaderName::To, to)
            .remove(HeaderName::Route)
            .request_uri(&end.target);
        for route in end.routes.iter().rev() {
            edit = edit.push_front(HeaderName::Route, route);
        }
        Some(edit.finish_request())
    }

    /// Carries an answer back.
    pub(super) fn on_bridged(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        response: &Response,
    ) {
        let far_tag = tag(response.to().ok());
        if let Some((bridge, side)) = self.bridges.of(request) {
            let mut routes = values(response, HeaderName::RecordRoute);
            routes.reverse();
            let key = (bridge, side.other(), far_tag.clone());
            let is_session = matches!(
                request.method(),
                Method::Invite | Method::Update | Method::Subscribe
            );
            if is_session && !far_tag.is_empty() && response.status().as_u16() < 300 {
                self.bridges.learn(key, contact(response), routes);
            }
            let is_end = request.method() == Method::Bye || !is_in_dialog(request) && !is_dialog(response);
            if response.status().is_final() && is_end {
                self.bridges.close(bridge);
            }
        }
        let answer = self.answer_of(request, response, &far_tag);
        self.core.respond(now, transaction, answer);
    }

    fn answer_of(&self, request: &Request, response: &Response, far_tag: &str) -> Response {
        let mut reply = request
            .reply(response.status())
            .reason(&text_of(response.reason()))
            .to_tag(&format!("{MARK}{far_tag}"));
        for value in request.headers(HeaderName::RecordRoute) {
            reply = reply.header(HeaderName::RecordRoute, text_of(value));
        }
        for (name, value) in response.header_lines() {
            reply = match HeaderName::from_bytes(name) {
                HeaderName::Via
                | HeaderName::From
                | HeaderName::To
                | HeaderName::CallId
                | HeaderName::CSeq
                | HeaderName::RecordRoute
                | HeaderName::ContentType
                | HeaderName::ContentLength => reply,
                HeaderName::Contact if response.status().class() != 3 => {
                    reply.header(HeaderName::Contact, self.contact("b2bua"))
                }
                _ => reply.header_named(&text_of(name), text_of(value)),
            };
        }
        if let Some(content_type) = response.header(HeaderName::ContentType) {
            reply = reply.body(&text_of(content_type), response.body_bytes());
        }
        reply.finish()
    }
}

/// Whether a final answer to what begins a dialog has made one.
fn is_dialog(response: &Response) -> bool {
    let makes = |method: &Method| matches!(method, Method::Invite | Method::Subscribe);
    response.status().is_success() && response.cseq().is_ok_and(|cseq| makes(&cseq.method))
}

fn call_id(request: &Request) -> String {
    text_of(request.call_id().unwrap_or_default())
}

fn tag(party: Option<NameAddr<'_>>) -> String {
    let tag = party.and_then(|party| party.tag().map(text_of));
    tag.unwrap_or_default()
}

fn retagged(party: Option<NameAddr<'_>>, with: impl FnOnce(&str) -> String) -> String {
    let Some(party) = party else {
        return String::new();
    };
    let tag = party.tag().map(text_of).unwrap_or_default();
    format!("<{}>;tag={}", party.uri, with(&tag))
}

fn contact(message: &ims_common::sip::Message) -> Option<String> {
    let contacts = message.name_addrs(HeaderName::Contact).ok()?;
    contacts.first().map(|contact| contact.uri.to_string())
}

fn values(message: &ims_common::sip::Message, name: HeaderName) -> Vec<String> {
    message.values(name).map(text_of).collect()
}
