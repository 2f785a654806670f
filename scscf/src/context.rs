//! Procedure: what the procedures of this node work on, lent to them for one event.

use std::time::Instant;

use hss_client::cx::{CxRequest, Sar, ServerAssignmentType};
use ims_common::identity::{Impi, Impu};
use ims_common::sip::Request;
use ims_common::token::{self, ShardId};
use ims_common::why::{Facts, Note, NoteKind, Notes};
use rand::rngs::StdRng;

use crate::challenges::Challenges;
use crate::node::ScscfSettings;
use crate::reg_event::Subscriptions;
use crate::registrar::{Registrar, Unbound};
use crate::registration_change::Outbox;
use crate::service_route::ServiceRoute;
use crate::sessions::Tables;

/// The tables of the node and its settings, for one event at `now`.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) settings: &'a ScscfSettings,
    pub(crate) service_route: &'a ServiceRoute,
    pub(crate) registrar: &'a mut Registrar,
    pub(crate) challenges: &'a mut Challenges,
    pub(crate) changes: &'a mut Outbox,
    pub(crate) subscriptions: &'a mut Subscriptions,
    pub(crate) sessions: &'a mut Tables,
    pub(crate) notices: &'a mut Vec<Notice>,
    pub(crate) notes: &'a mut Notes,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) shard: ShardId,
}

/// Something that the HSS is told and no SIP request waits for.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) impi: Impi,
    pub(crate) impu: Impu,
    pub(crate) assignment_type: ServerAssignmentType,
    pub(crate) hss_host: Option<String>,
}

impl Notice {
    /// The end of a registration, for the HSS: only when no contact of the private identity is left.
    pub(crate) fn of(impi: Impi, unbound: Unbound, assignment_type: ServerAssignmentType) -> Option<Self> {
        let removed = unbound.removed.into_iter().next()?;
        unbound.last_of_impi.then_some(Self {
            impi,
            impu: removed.impu,
            assignment_type,
            hss_host: unbound.hss_host,
        })
    }
}

impl Context<'_> {
    pub(crate) fn fresh_token(&mut self) -> String {
        token::fresh(self.shard, self.rng)
    }

    /// Notes what no wire shows of a request.
    pub(crate) fn note(&mut self, kind: NoteKind, request: &Request, facts: impl FnOnce() -> Facts) {
        self.notes
            .make(|| Note::of_call(kind, request.call_id().unwrap_or_default(), facts()));
    }

    /// A SAR for one identity of a set: the HSS extends it to the set (TS 29.228 6.1.2).
    pub(crate) fn sar(&self, notice: Notice, user_data_already_available: bool) -> CxRequest {
        CxRequest::Sar(Sar {
            user_name: Some(notice.impi),
            public_identities: vec![notice.impu],
            server_name: self.settings.server_name.to_string(),
            assignment_type: notice.assignment_type,
            user_data_already_available,
            destination_host: notice.hss_host,
        })
    }
}
