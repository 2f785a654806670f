//! Procedure: removal of contacts by the UE (TS 24.229 5.4.1.4; TS 29.228 6.1.2).

use hss_client::cx::{CxAnswer, CxError, ServerAssignmentType};

use crate::context::{Context, Notice};
use crate::register::{Await, ContactRequest, Outcome, Proof, Register, Step, ok};
use crate::registrar::{Binding, BindingId};
use crate::registration_change::{ContactEvent, RegistrationChange};
use crate::reject::RegisterReject;

/// A removal already made, which the HSS is being told.
#[derive(Debug)]
pub(crate) struct Removal {
    proof: Proof,
    /// Told after the 200 (TS 24.229 5.4.1.4).
    change: RegistrationChange,
}

/// Removes the contacts, or all of this private identity for `Contact: *`.
pub(crate) fn start(
    ctx: &mut Context<'_>,
    register: &Register,
    contacts: Option<&[ContactRequest]>,
    proof: Proof,
) -> Result<Step, RegisterReject> {
    let set = ctx
        .registrar
        .set_of(&register.impu)
        .ok_or(RegisterReject::NotBound)?;
    let all: Vec<&Binding> = set.bindings_of(&register.impi).collect();
    let bound: Vec<&Binding> = match contacts {
        None => all,
        Some(contacts) => contacts
            .iter()
            .filter_map(|c| all.get(c.contact.position_in(all.iter().copied())?).copied())
            .collect(),
    };
    if bound.is_empty() {
        return Err(RegisterReject::NotBound);
    }
    // RFC 3261 10.3 steps 6 and 7: within one Call-ID only a higher CSeq removes.
    let is_late = |b: &&Binding| *b.call_id == *register.call_id && register.cseq <= b.cseq;
    if bound.iter().any(is_late) {
        return Err(RegisterReject::OutOfOrder);
    }
    let id = set.id;
    let meant: Vec<BindingId> = bound.iter().map(|b| b.id).collect();
    let unbound = ctx
        .registrar
        .unbind(id, &register.impi, |b| meant.contains(&b.id))
        .ok_or(RegisterReject::NotBound)?;
    let change = unbound.change(&register.impi, ContactEvent::Unregistered);
    let hss_host = unbound.hss_host;
    if ctx.registrar.is_registered(&register.impi, &register.impu) {
        ctx.changes.push(change);
        let response = ok(ctx, register, None, &proof);
        return Ok(Step::Answer(Outcome::Deregistered, response));
    }
    // TS 29.228 6.1.2: one identity names its set.
    let notice = Notice {
        impi: register.impi.clone(),
        impu: register.impu.clone(),
        assignment_type: ServerAssignmentType::UserDeregistration,
        hss_host,
    };
    let request = ctx.sar(notice, false);
    Ok(Step::Ask(
        request,
        Await::DeregistrationSaa(Removal { proof, change }),
    ))
}

/// The UE is gone here whatever the HSS says; its next registration sets the HSS right.
pub(crate) fn on_saa(
    ctx: &mut Context<'_>,
    register: &Register,
    removal: Removal,
    answer: Result<CxAnswer, CxError>,
) -> Step {
    match answer.map(|answer| answer.result()) {
        Ok(result) if result.is_success() => {}
        Ok(result) => tracing::warn!(impi = ?register.impi, ?result, "HSS refused a de-registration"),
        Err(error) => tracing::warn!(impi = ?register.impi, %error, "HSS was not told a de-registration"),
    }
    ctx.changes.push(removal.change);
    let response = ok(ctx, register, None, &removal.proof);
    Step::Answer(Outcome::Deregistered, response)
}
