//! Procedure: requests other than REGISTER: which of the procedures below one belongs to (TS 24.229 5.4.3.1).
//!
//! Read first: TS 24.229 5.4.3, TS 23.218 5.2 and 6.4, RFC 3261 16, RFC 5502, RFC 8498.
//!
//! A request within a dialog follows its route and is not looked at again. Any other becomes a [`Session`]: it is
//! served for somebody, and its answers come back here ([`answers`]).
//!
//! * `authorisation`: what the profile of the served user allows
//! * `originating`: for whom a request is served that a UE or an AS sends; `served_user`: who that is
//! * `terminating`: who is called; `targets`: the contacts that a call goes to; `unregistered`: users without any
//! * `chain`: the application servers that a request visits; `dialog_ids`: by what they send it back
//! * `onward`: where a request goes that is not for a contact of ours
//! * `dialog`: requests within dialogs, and requests to this server itself
//! * `charging`: P-Charging-Vector at each boundary; `identity`: alias identities
//! * `running`, `dialog_ids`, `held_profiles`: what is kept between events

mod answers;
mod authorisation;
mod chain;

pub(crate) mod charging;
mod dialog;
mod dialog_ids;
mod held_profiles;
mod identity;
mod onward;
mod originating;
mod running;
mod served_user;
mod targets;
mod terminating;
mod unregistered;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hss_client::cx::CxRequest;
use hss_client::user_data::SessionCase;
use ims_common::dialog::Side;
use ims_common::identity::Impu;
use ims_common::net::Flow;
use ims_common::node::earliest;
use ims_common::proxy::{ForkPlan, NextHop, NextHopTarget, ServerTransactionId, route};
use ims_common::sip::{HeaderName, Method, Request, Response, Uri, UriBuf};

pub(crate) use self::answers::{Answered, Reaction, on_answer, on_further_answer};
pub(crate) use self::chain::on_silence;
use self::chain::{Chain, Visit};
pub(crate) use self::dialog::{on_ack, without_own_routes};
pub(crate) use self::dialog_ids::DialogIds;
pub(crate) use self::held_profiles::{HeldProfile, HeldProfiles};
use self::onward::Exit;
pub(crate) use self::onward::on_naptr;
use self::running::Patience;
pub(crate) use self::running::{Expired, Running};
pub(crate) use self::unregistered::{on_saa, release};
use crate::call_limits::{CallLimits, Holders, TrunkId};
use crate::cdr::{RecordKey, Records, Served};
use crate::context::Context;
use crate::enum_lookup::EnumLookup;
use crate::node::ScscfSettings;
use crate::registrar::SetId;
use crate::reject::RequestReject;
use crate::service_route;

/// What is kept between events.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) running: Running,
    pub(crate) dialog_ids: DialogIds,
    pub(crate) held: HeldProfiles,
    pub(crate) records: Records,
    pub(crate) limits: CallLimits,
}

impl Tables {
    /// `records`: what the identifiers of charging data records begin with, when there are to be any.
    pub(crate) fn new(settings: &ScscfSettings, records: Option<String>) -> Self {
        let (isc, sessions) = (&settings.isc, &settings.sessions);
        Self {
            running: Running::new(patience_of(settings)),
            dialog_ids: DialogIds::new(isc.dialog_ids),
            held: HeldProfiles::new(
                sessions.unregistered_profile.get(),
                sessions.unregistered_profiles,
            ),
            // Of a call between two users of ours there are two.
            records: Records::new(
                settings.server_name.to_string(),
                records,
                sessions.dialogs.saturating_mul(2),
            ),
            limits: CallLimits::new(settings.call_maxima.clone()),
        }
    }
}

fn patience_of(settings: &ScscfSettings) -> Patience {
    let lookup = settings.enum_lookup.as_ref();
    Patience {
        app_server: settings.isc.response_timeout.get(),
        lookup: lookup.map_or(Duration::ZERO, EnumLookup::timeout),
    }
}

impl Tables {
    /// From now on, others may take this long.
    pub(crate) fn reconfigure(&mut self, settings: &ScscfSettings) {
        self.running.set_patience(patience_of(settings));
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let ids = earliest(self.dialog_ids.next_timeout(), self.held.next_timeout());
        earliest(
            earliest(self.running.next_timeout(), self.records.next_timeout()),
            ids,
        )
    }
}

/// One request on its way through this server.
#[derive(Debug)]
pub(crate) struct Session {
    /// Owed an answer.
    pub(crate) transaction: ServerTransactionId,
    /// As it came.
    pub(crate) received: Request,
    /// As it goes on, without what was meant for us.
    request: Request,
    /// Whose services it gets, and how far it has come through them.
    chain: Chain,
    /// Who sent it.
    upstream: charging::Boundary,
    /// Who got it last.
    downstream: Downstream,
    /// Where it may go when the next hop that has it now is dead.
    exits: VecDeque<Exit>,
    /// Other flows of UEs that it goes to (RFC 5626 6).
    flows: VecDeque<NextHopTarget>,
    /// The trunk that it goes to, where the calls of that are limited.
    trunk: Option<TrunkId>,
    /// How often it was redirected.
    redirections: u8,
    /// What its next event means.
    pub(crate) awaits: Await,
    /// Its sender has given up.
    pub(crate) is_cancelled: bool,
}

impl Session {
    /// Its record, if there is one.
    pub(crate) fn record(&self) -> Option<RecordKey> {
        self.chain.record
    }

    /// Notes where the request goes now.
    pub(crate) fn note_way(&self, records: &mut Records, sent: &Request, plan: &ForkPlan, icscf: &UriBuf) {
        let hop = plan.groups.first().and_then(|group| group.first());
        let hop = hop.and_then(|target| match &target.hop {
            NextHop::Uri(uri) => Some(uri),
            NextHop::Flow(_) | NextHop::Address { .. } => None,
        });
        let key = self.record();
        if let (Await::AppServer(_), Some(hop)) = (&self.awaits, hop) {
            return records.visit(key, &self.received, hop.to_string().as_bytes());
        }
        let trunk = hop.filter(|hop| self.downstream != Downstream::Contact && *hop != icscf);
        let trunk = trunk.map(ToString::to_string);
        records.leave(key, &self.received, sent, trunk.as_ref().map(String::as_bytes));
    }

    /// Whose call it is, where it counts.
    pub(crate) fn holders(&self) -> Holders {
        let is_call = self.received.method() == Method::Invite && !is_emergency(&self.request);
        match is_call {
            true => Holders {
                subscriber: self.leg(),
                trunk: self.trunk,
            },
            false => Holders::default(),
        }
    }

    /// Whose leg this is when it is the one next to a UE of ours, and who calls in it.
    pub(crate) fn leg(&self) -> Option<(SetId, Side)> {
        let set = self.chain.served.set?;
        match (self.upstream, self.downstream) {
            (charging::Boundary::Visited, _) => Some((set, Side::Owner)),
            (_, Downstream::Contact) => Some((set, Side::Peer)),
            (_, Downstream::Trusted | Downstream::Foreign) => None,
        }
    }
}

/// Whose services a request gets, and why.
#[derive(Clone, Debug)]
struct ServedUser {
    impu: Impu,
    case: SessionCase,
    /// `None`: not registered.
    set: Option<SetId>,
}

impl ServedUser {
    fn for_record(&self) -> Served<'_> {
        Served {
            impu: self.impu.as_str(),
            case: self.case,
        }
    }
}

/// Whose answers come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Downstream {
    /// A UE of ours, behind its P-CSCF.
    Contact,
    /// A server of the trust domain.
    Trusted,
    /// A server outside of it.
    Foreign,
}

/// What a session waits for.
#[derive(Debug)]
pub(crate) enum Await {
    /// What the HSS knows of a user who is not registered.
    Saa,
    /// What DNS knows of a number.
    Naptr,
    /// An application server's decision.
    AppServer(Visit),
    /// The final answer of where it went last.
    Answer,
}

/// What to do with a request now.
#[derive(Debug)]
pub(crate) enum Step {
    /// Answer it here.
    Answer(Response),
    /// Pass it on by its route; its answers are of no interest.
    Follow(Request, NextHop),
    /// Ask the HSS first.
    Ask(Box<Session>, CxRequest),
    /// Ask DNS for the records of a number first.
    LookUp(Box<Session>, String),
    /// Send it to these, and tell what they answer.
    Fork(Box<Session>, Request, ForkPlan),
}

/// A request that has just come.
struct Arrival<'a> {
    transaction: ServerTransactionId,
    /// As it came.
    received: &'a Request,
    /// Without the Route that was meant for us.
    request: Request,
    flow: &'a Flow,
}

impl Arrival<'_> {
    /// The first pass of a request through the services of a user: that is what a record is about.
    fn charged(self, ctx: &mut Context<'_>, mut chain: Chain, upstream: charging::Boundary) -> Box<Session> {
        let served = chain.served.for_record();
        chain.record = ctx
            .sessions
            .records
            .begin(ctx.now, self.transaction, self.received, &served);
        self.session(chain, upstream)
    }

    fn session(self, chain: Chain, upstream: charging::Boundary) -> Box<Session> {
        Box::new(Session {
            transaction: self.transaction,
            received: self.received.clone(),
            request: self.request,
            chain,
            upstream,
            downstream: Downstream::Trusted,
            exits: VecDeque::new(),
            flows: VecDeque::new(),
            trunk: None,
            redirections: 0,
            awaits: Await::Answer,
            is_cancelled: false,
        })
    }
}

/// TS 24.229 5.4.3.1: originating by the Route, else terminating by the Request-URI.
pub(crate) fn on_request(
    ctx: &mut Context<'_>,
    transaction: ServerTransactionId,
    received: &Request,
    flow: &Flow,
) -> Result<Step, RequestReject> {
    if received.to().is_ok_and(|to| to.tag().is_some()) {
        return dialog::on_request(ctx, received);
    }
    let routed = route::preprocess(received, |uri| is_own(ctx, uri));
    let arrival = Arrival {
        transaction,
        received,
        request: routed.request,
        flow,
    };
    let own = routed.own.as_ref().map(UriBuf::as_uri);
    if let Some(token) = own.as_ref().and_then(service_route::token_of) {
        return originating::from_ue(ctx, token, arrival);
    }
    if let Some(token) = own.as_ref().and_then(service_route::dialog_id_of) {
        return chain::resume(ctx, token, arrival);
    }
    if own.is_some_and(|own| own.param("orig").is_some()) {
        return originating::from_app_server(ctx, arrival);
    }
    if let Some(hop) = route::top_route(&arrival.request) {
        return Ok(Step::Follow(arrival.request, NextHop::Uri(hop)));
    }
    let uri = arrival
        .request
        .request_uri()
        .map_err(|_| RequestReject::Malformed("Request-URI"))?;
    if is_own(ctx, &uri) {
        return dialog::to_server(ctx, received);
    }
    terminating::start(ctx, arrival)
}

/// Whether a URI names this server: by its name or by its address.
pub(crate) fn is_own(ctx: &Context<'_>, uri: &Uri<'_>) -> bool {
    let name = ctx.settings.server_name.as_uri();
    let port_of = |uri: &Uri<'_>| uri.port().unwrap_or(ims_common::config::SIP_PORT);
    let by_name = uri.host() == name.host() && port_of(uri) == port_of(&name);
    let address = ctx.settings.address;
    let by_address = uri.host().ip() == Some(address.ip()) && port_of(uri) == address.port();
    by_name || by_address
}

/// Calls for help are neither counted nor blocked (RFC 5031 4.2).
fn is_emergency(request: &Request) -> bool {
    const SOS: &[u8] = b"urn:service:sos";
    let start = request.request_uri_bytes().get(..SOS.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(SOS))
}

/// Methods that make a dialog, and none other, are Record-Routed (TS 24.229 5.4.3.2; RFC 3261, 6665, 3515).
fn makes_a_dialog(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer)
}

/// Our Record-Route value for one pass of a request.
fn record_route(ctx: &mut Context<'_>) -> String {
    let token = ctx.fresh_token();
    ctx.service_route.record_route(&token)
}

/// What only application servers are told (RFC 5502 4), and what only says how the request came here.
const BETWEEN_SERVERS: [HeaderName; 3] = [
    HeaderName::PServedUser,
    HeaderName::PUserDatabase,
    HeaderName::PPreferredIdentity,
];
