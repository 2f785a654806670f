//! Procedure: an S-CSCF that is dead: the UE is told to register anew, so that it gets another one (TS 23.380 4.4;
//! TS 24.229 5.1.2A.1.6, 5.2.6.3.3).

use std::collections::BTreeMap;
use std::time::Instant;

use ims_common::proxy::{ForwardFailure, ForwardId, ServerTransactionId};
use ims_common::sip::{Method, Request};

use crate::alternative_service::AlternativeService;
use crate::node::Pcscf;

/// Requests along a Service-Route of which nothing has been heard.
#[derive(Debug, Default)]
pub(crate) struct Restorations {
    by_forward: BTreeMap<ForwardId, Restoration>,
}

#[derive(Debug)]
struct Restoration {
    /// As it came from the UE.
    request: Request,
    /// Our Path URI of the UE.
    path: String,
}

impl Restorations {
    /// A request that begins something goes to the S-CSCF of the UE with this Path.
    pub(crate) fn watch(&mut self, forward: ForwardId, request: &Request, path: String) {
        let restoration = Restoration {
            request: request.clone(),
            path,
        };
        self.by_forward.insert(forward, restoration);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_forward.len()
    }

    /// The S-CSCF lives, or nobody waits for it any more.
    pub(crate) fn heard(&mut self, forward: ForwardId) {
        self.by_forward.remove(&forward);
    }
}

impl Pcscf {
    /// Says whether the UE was told to register anew. The silence about a request that is no INVITE is nobody's fault: a
    /// phone at the other end that does not answer is as silent (RFC 4320 4.2).
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        forward: ForwardId,
        cause: ForwardFailure,
    ) -> bool {
        let Some(lost) = self.restorations.by_forward.remove(&forward) else {
            return false;
        };
        match cause {
            ForwardFailure::Unreachable | ForwardFailure::Unresolvable => {}
            ForwardFailure::Timeout if lost.request.method() == Method::Invite => {}
            ForwardFailure::Timeout => return false,
        }
        let service = AlternativeService::Restoration;
        self.offer_instead(now, transaction, &lost.request, service, &lost.path, None);
        true
    }
}
