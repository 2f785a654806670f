//! Procedure: what the network starts: RTR and PPR, the end of a registration, a new authentication (TS 24.229 5.4.1.5,
//! 5.4.1.6; TS 29.228 6.1.3, 6.2.2).

use std::collections::BTreeSet;

use hss_client::cx::{CxResult, Ppa, Ppr, ReasonCode, Rta, Rtr, ServerAssignmentType};
use hss_client::user_data::ImsSubscription;
use ims_common::identity::{Impi, Impu};

use crate::context::{Context, Notice};
use crate::register::read_user_data;
use crate::registrar::{Profile, SetId, Unbound, members_of};
use crate::registration_change::{ContactEvent, RegistrationChange};
use crate::spelling::with_or_without_plus;

/// Removes what the HSS says; no SAR follows (TS 29.228 6.1.3).
pub(crate) fn on_rtr(ctx: &mut Context<'_>, rtr: &Rtr) -> Rta {
    let event = match rtr.reason.code {
        ReasonCode::PermanentTermination => ContactEvent::Rejected,
        ReasonCode::ServerChange => ContactEvent::Deactivated,
        // TS 24.229 5.4.1.5: the UE is not told, it is registered elsewhere already.
        ReasonCode::NewServerAssigned => ContactEvent::MovedAway,
        // Concerns profiles kept for unregistered services only.
        ReasonCode::RemoveScscf => {
            for impi in private_identities(rtr) {
                ctx.sessions.held.forget(impi);
            }
            return Rta {
                result: CxResult::SUCCESS,
            };
        }
    };
    let mut outcome = Removed::default();
    for impi in private_identities(rtr) {
        for id in scope(ctx, impi, &rtr.public_identities) {
            let _ = remove(ctx, id, impi, event, &mut outcome);
        }
        if !ctx.registrar.knows(impi) {
            ctx.challenges.take(impi);
        }
        ctx.sessions.held.forget(impi);
    }
    tracing::info!(
        impi = ?rtr.user_name, reason = ?rtr.reason.code, removed = outcome.contacts,
        emergency = outcome.kept_for_emergency, clause = "TS 29.228 6.1.3",
        "registration terminated by the HSS"
    );
    Rta {
        result: outcome.result(),
    }
}

/// What a termination came to.
#[derive(Clone, Copy, Debug, Default)]
struct Removed {
    contacts: usize,
    kept_for_emergency: usize,
}

impl Removed {
    /// TS 29.228 6.1.3.1: contacts for emergency calls stay, and the HSS is told so.
    fn result(self) -> CxResult {
        match (self.contacts, self.kept_for_emergency) {
            // The wanted state is reached, also when there was nothing to remove.
            (_, 0) => CxResult::SUCCESS,
            (0, _) => CxResult::UNABLE_TO_COMPLY,
            (_, _) => CxResult::LIMITED_SUCCESS,
        }
    }
}

/// Ends the registration of a private identity in a set, for the network's own reasons (TS 24.229 5.4.1.5). The HSS is
/// told when nothing is left of it.
pub(crate) fn deregister(ctx: &mut Context<'_>, id: SetId, impi: &Impi, event: ContactEvent) -> usize {
    let mut outcome = Removed::default();
    let unbound = remove(ctx, id, impi, event, &mut outcome);
    let notice = unbound.and_then(|unbound| {
        Notice::of(
            impi.clone(),
            unbound,
            ServerAssignmentType::AdministrativeDeregistration,
        )
    });
    ctx.notices.extend(notice);
    if !ctx.registrar.knows(impi) {
        ctx.challenges.take(impi);
    }
    outcome.contacts
}

/// The operator ends the registrations of a set (TS 24.229 5.4.1.5); says how many contacts went.
pub(crate) fn by_operator(ctx: &mut Context<'_>, impu: &Impu, again: bool) -> usize {
    let event = match again {
        true => ContactEvent::Deactivated,
        false => ContactEvent::Rejected,
    };
    let Some((id, impis)) = all_of(ctx, impu) else {
        return 0;
    };
    impis.iter().map(|impi| deregister(ctx, id, impi, event)).sum()
}

/// Users are to prove themselves soon (TS 24.229 5.4.1.6): the contacts of the set last no longer than the policy says,
/// and the next REGISTER is challenged. Says how many contacts that concerns.
pub(crate) fn reauthenticate(ctx: &mut Context<'_>, impu: &Impu) -> usize {
    let within = ctx.settings.reg_event.reauthenticate_within.get();
    let Some((id, impis)) = all_of(ctx, impu) else {
        return 0;
    };
    let mut count = 0;
    for impi in impis {
        let contacts = ctx.registrar.shorten(id, &impi, ctx.now + within);
        let Some(set) = ctx.registrar.set(id).filter(|_| !contacts.is_empty()) else {
            continue;
        };
        count += contacts.len();
        ctx.challenges.take(&impi);
        ctx.changes.push(RegistrationChange {
            impi,
            set: id,
            identities: set.associated_identities().collect(),
            contacts,
            event: ContactEvent::Shortened,
            served: Vec::new(),
            cause: None,
        });
    }
    count
}

/// The set of an identity, and the private identities that have contacts in it.
fn all_of(ctx: &Context<'_>, impu: &Impu) -> Option<(SetId, BTreeSet<Impi>)> {
    let set = with_or_without_plus(impu.clone()).find_map(|impu| ctx.registrar.set_of(&impu))?;
    Some((set.id, set.bindings().iter().map(|b| b.impi.clone()).collect()))
}

/// Whom a RTR is about.
pub(crate) fn private_identities(rtr: &Rtr) -> BTreeSet<&Impi> {
    std::iter::once(&rtr.user_name)
        .chain(&rtr.associated_identities)
        .collect()
}

/// No identities: all of this private identity. Else those named, each with its implicit set.
fn scope(ctx: &Context<'_>, impi: &Impi, identities: &[Impu]) -> Vec<SetId> {
    let all = ctx.registrar.sets_of_impi(impi);
    if identities.is_empty() {
        return all;
    }
    let is_meant = |id: &SetId| {
        ctx.registrar
            .set(*id)
            .is_some_and(|set| identities.iter().any(|impu| set.has_member(impu)))
    };
    all.into_iter().filter(is_meant).collect()
}

fn remove(
    ctx: &mut Context<'_>,
    id: SetId,
    impi: &Impi,
    event: ContactEvent,
    outcome: &mut Removed,
) -> Option<Unbound> {
    let unbound = ctx
        .registrar
        .unbind(id, impi, |b| !b.contact.is_for_emergency())?;
    let left = ctx.registrar.set(id);
    outcome.kept_for_emergency += left.map_or(0, |set| set.bindings_of(impi).count());
    if unbound.removed.is_empty() {
        return None;
    }
    outcome.contacts += unbound.removed.len();
    ctx.changes.push(unbound.change(impi, event));
    Some(unbound)
}

/// Replaces profile and charging addresses (TS 29.228 6.2.2).
pub(crate) fn on_ppr(ctx: &mut Context<'_>, ppr: &Ppr) -> Ppa {
    let result = push(ctx, ppr);
    tracing::info!(impi = ?ppr.user_name, ?result, clause = "TS 29.228 6.2.2", "profile pushed by the HSS");
    Ppa { result }
}

fn push(ctx: &mut Context<'_>, ppr: &Ppr) -> CxResult {
    let sets = ctx.registrar.sets_of_impi(&ppr.user_name);
    // The profile of a user who is not registered is asked for anew when it is needed.
    let was_held = ctx.sessions.held.forget(&ppr.user_name);
    if sets.is_empty() {
        return if was_held {
            CxResult::SUCCESS
        } else {
            CxResult::USER_UNKNOWN
        };
    }
    let subscription = match &ppr.user_data {
        None => None,
        Some(xml) => match read_user_data(ctx, xml) {
            Ok(subscription) if !members_of(&subscription).is_empty() => Some(subscription),
            Ok(_) | Err(_) => return CxResult::NOT_SUPPORTED_USER_DATA,
        },
    };
    let Some(parts) = share(ctx, &sets, subscription.as_ref()) else {
        return CxResult::UNABLE_TO_COMPLY;
    };
    for (id, part) in parts {
        replace(ctx, id, part, ppr);
    }
    if ppr.digest.is_some() {
        // The old H(A1) is void: the next REGISTER is challenged with the new one.
        ctx.challenges.take(&ppr.user_name);
    }
    CxResult::SUCCESS
}

/// Which set gets what. A push without profile concerns all sets; a profile concerns the sets that it has
/// identities of, or the only set there is when it replaces all of its identities.
fn share(
    ctx: &Context<'_>,
    sets: &[SetId],
    subscription: Option<&ImsSubscription>,
) -> Option<Vec<(SetId, Option<ImsSubscription>)>> {
    let Some(subscription) = subscription else {
        return Some(sets.iter().map(|id| (*id, None)).collect());
    };
    if let [only] = sets {
        return Some(vec![(*only, Some(subscription.clone()))]);
    }
    let mut parts = Vec::new();
    for id in sets {
        let set = ctx.registrar.set(*id)?;
        let mut part = subscription.clone();
        part.profiles.retain(|profile| {
            profile
                .public_identities
                .iter()
                .any(|identity| set.has_member(&identity.impu))
        });
        if !part.profiles.is_empty() {
            parts.push((*id, Some(part)));
        }
    }
    (!parts.is_empty()).then_some(parts)
}

fn replace(ctx: &mut Context<'_>, id: SetId, part: Option<ImsSubscription>, ppr: &Ppr) {
    if let Some(charging) = &ppr.charging {
        ctx.registrar.set_charging(id, charging.clone());
    }
    let Some(subscription) = part else { return };
    let profile = Profile {
        subscription: Some(subscription),
        ..Profile::default()
    };
    // TS 24.229 5.4.2.1.2: who joined is `created`, who left is `deactivated`.
    let (joined, left) = ctx.registrar.replace_profile(id, profile);
    for (identities, event) in [(joined, ContactEvent::Created), (left, ContactEvent::Deactivated)] {
        if !identities.is_empty() {
            ctx.changes.push(RegistrationChange {
                impi: ppr.user_name.clone(),
                set: id,
                identities,
                contacts: Vec::new(),
                event,
                served: Vec::new(),
                cause: None,
            });
        }
    }
}
