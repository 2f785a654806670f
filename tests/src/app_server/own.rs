//! Testkit: what an application server begins by itself (TS 24.229 5.7.3): calls and messages with `orig`, and
//! subscriptions to the registration state (TS 24.229 5.7.1.1).

use std::time::Instant;

use bytes::Bytes;
use ims_common::sip::{HeaderName, Method, Request, Response};

use super::{AppServer, Awaited, SDP, text_of};

/// A request that a server begins.
#[derive(Clone, Debug)]
pub struct OwnRequest {
    /// The method.
    pub method: Method,
    /// Whom it is for.
    pub request_uri: String,
    /// Whom it is from; the server itself when `None`.
    pub from: Option<String>,
    /// Route values.
    pub routes: Vec<String>,
    /// Further lines.
    pub headers: Vec<(String, String)>,
    /// Content-Type and body.
    pub body: Option<(String, Bytes)>,
}

impl OwnRequest {
    /// A request from the server itself, along this Route value.
    #[must_use]
    pub fn new(method: Method, request_uri: &str, route: &str) -> Self {
        Self {
            method,
            request_uri: request_uri.to_owned(),
            from: None,
            routes: vec![route.to_owned()],
            headers: Vec::new(),
            body: None,
        }
    }

    /// A call to this user on behalf of that one, through their S-CSCF (`sip:host:port`).
    #[must_use]
    pub fn call(scscf: &str, from: &str, to: &str) -> Self {
        Self::new(Method::Invite, to, &orig_route(scscf))
            .on_behalf_of(from)
            .body("application/sdp", SDP)
    }

    /// A page-mode message to this user on behalf of that one, through their S-CSCF.
    #[must_use]
    pub fn message(scscf: &str, from: &str, to: &str, text: &str) -> Self {
        Self::new(Method::Message, to, &orig_route(scscf))
            .on_behalf_of(from)
            .body("text/plain", text.to_owned())
    }

    /// A subscription to the registration state of this user at their S-CSCF (RFC 3680).
    #[must_use]
    pub fn subscription(scscf: &str, impu: &str, seconds: u32) -> Self {
        Self::new(Method::Subscribe, impu, &format!("<{scscf};lr>"))
            .header("Event", "reg")
            .header("Accept", "application/reginfo+xml")
            .header("Expires", seconds.to_string())
    }

    /// The same with From and P-Asserted-Identity of this user (TS 24.229 5.7.3).
    #[must_use]
    pub fn on_behalf_of(mut self, impu: &str) -> Self {
        self.from = Some(impu.to_owned());
        self.header("P-Asserted-Identity", format!("<{impu}>"))
    }

    /// The same with a further line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type.to_owned(), body.into()));
        self
    }
}

/// The Route value of TS 24.229 5.7.3: the S-CSCF, with `orig`.
#[must_use]
pub fn orig_route(scscf: &str) -> String {
    format!("<{scscf};lr;orig>")
}

/// A dialog that a server has begun.
#[derive(Clone, Debug)]
struct Dialog {
    call_id: String,
    from: String,
    to: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
    is_call: bool,
}

/// A NOTIFY as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notified {
    /// Subscription-State.
    pub state: String,
    /// The body.
    pub body: String,
}

/// What a server has begun.
#[derive(Debug, Default)]
pub struct Own {
    answers: Vec<(Method, u16)>,
    dialogs: Vec<Dialog>,
    notified: Vec<Notified>,
}

impl Own {
    pub(super) fn answered(&mut self, method: Method, status: u16) {
        self.answers.push((method, status));
    }

    pub(super) fn on_notify(&mut self, request: &Request) {
        self.notified.push(Notified {
            state: text_of(request.header(HeaderName::SubscriptionState).unwrap_or_default()),
            body: text_of(request.body()),
        });
    }
}

impl AppServer {
    /// The answers to what the server began, provisional ones too.
    #[must_use]
    pub fn answers(&self) -> &[(Method, u16)] {
        &self.own.answers
    }

    /// The NOTIFYs that came.
    #[must_use]
    pub fn notified(&self) -> &[Notified] {
        &self.own.notified
    }

    /// Begins something; its Call-ID.
    pub fn begin(&mut self, now: Instant, own: OwnRequest) -> String {
        let call_id = self.core.fresh_token();
        let tag = self.core.fresh_token();
        let from = own.from.clone().unwrap_or_else(|| self.config.uri());
        let mut builder =
            Request::build(own.method.clone(), &own.request_uri).header(HeaderName::MaxForwards, 70);
        for route in &own.routes {
            builder = builder.header(HeaderName::Route, route);
        }
        builder = builder
            .header(HeaderName::From, format_args!("<{from}>;tag={tag}"))
            .header(HeaderName::To, format_args!("<{}>", own.request_uri))
            .header(HeaderName::CallId, &call_id)
            .header(HeaderName::CSeq, format_args!("1 {}", own.method));
        if own.method != Method::Message {
            builder = builder.header(HeaderName::Contact, self.contact("as"));
        }
        for (name, value) in &own.headers {
            builder = builder.header_named(name, value);
        }
        if let Some((content_type, body)) = &own.body {
            builder = builder.body(content_type, body.clone());
        }
        self.send(now, builder.finish_request(), Awaited::Own(own));
        self.run(now);
        call_id
    }

    /// Ends every call that the server began.
    pub fn hang_up(&mut self, now: Instant) {
        let (calls, rest) = std::mem::take(&mut self.own.dialogs)
            .into_iter()
            .partition(|dialog: &Dialog| dialog.is_call);
        self.own.dialogs = rest;
        for dialog in calls {
            let bye = within(&dialog, &Method::Bye, dialog.cseq + 1);
            self.send(
                now,
                bye,
                Awaited::Own(OwnRequest::new(Method::Bye, &dialog.target, "")),
            );
        }
        self.run(now);
    }

    pub(super) fn on_own(&mut self, now: Instant, own: &OwnRequest, response: &Response) {
        self.own.answered(own.method.clone(), response.status().as_u16());
        let makes_dialog = matches!(own.method, Method::Invite | Method::Subscribe);
        if !response.status().is_success() || !makes_dialog {
            return;
        }
        let dialog = Dialog::of(own, response);
        if dialog.is_call {
            let ack = within(&dialog, &Method::Ack, dialog.cseq);
            self.send_ack(now, ack);
        }
        if !self.own.dialogs.iter().any(|known| known.to == dialog.to) {
            self.own.dialogs.push(dialog);
        }
    }
}

impl Dialog {
    /// RFC 3261 12.1.2.
    fn of(own: &OwnRequest, response: &Response) -> Self {
        let text = |name| text_of(response.header(name).unwrap_or_default());
        let mut routes: Vec<String> = response.values(HeaderName::RecordRoute).map(text_of).collect();
        routes.reverse();
        let contacts = response.name_addrs(HeaderName::Contact).ok();
        let target = contacts.and_then(|all| all.first().map(|contact| contact.uri.to_string()));
        Self {
            call_id: text_of(response.call_id().unwrap_or_default()),
            from: text(HeaderName::From),
            to: text(HeaderName::To),
            target: target.unwrap_or_else(|| own.request_uri.clone()),
            routes,
            cseq: 1,
            is_call: own.method == Method::Invite,
        }
    }
}

fn within(dialog: &Dialog, method: &Method, cseq: u32) -> Request {
    let mut builder = Request::build(method.clone(), &dialog.target).header(HeaderName::MaxForwards, 70);
    for route in &dialog.routes {
        builder = builder.header(HeaderName::Route, route);
    }
    builder
        .header(HeaderName::From, &dialog.from)
        .header(HeaderName::To, &dialog.to)
        .header(HeaderName::CallId, &dialog.call_id)
        .header(HeaderName::CSeq, format_args!("{cseq} {method}"))
        .finish_request()
}
