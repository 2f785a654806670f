//! Procedure: one REGISTER's journey (TS 24.229 5.4.1.2, 5.4.1.4; TS 29.228 6.1.2, 6.3).
//!
//! A REGISTER is classified, may wait for a MAA or a SAA, and ends in exactly one response. The node keeps
//! what is awaited; functions here decide the next step and touch nothing but the tables of [`Context`].

mod answer;
mod authentication;
mod classify;
mod request;

use std::time::Duration;

use hss_client::cx::{CxAnswer, CxError, CxRequest, CxResult, Saa, ServerAssignmentType};
use hss_client::user_data::{self, ImsSubscription};
use ims_common::identity::Impu;
use ims_common::sip::Response;

use crate::context::{Context, Notice};
use crate::deregister::{self, Removal};
use crate::registrar::{
    BindingEffect, ContactGrant, ImplicitRegistrationSet, Member, Profile, SetId, members_of,
};
use crate::registration_change::{ContactEvent, RegistrationChange};
use crate::reject::RegisterReject;

pub(crate) use answer::{ok, reject_response};
pub(crate) use authentication::Issue;
pub(crate) use request::{ChallengeAnswer, ContactRequest, Intent, Register};

/// What a REGISTER waits for.
#[derive(Debug)]
pub(crate) enum Await {
    /// A MAA, to challenge.
    Maa(Issue),
    /// A SAA, to bind.
    Saa(BindingGrant),
    /// A SAA, to confirm a removal already made.
    DeregistrationSaa(Removal),
}

/// What the REGISTER came to, for the one log line and counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Challenged,
    /// After a synchronisation failure: the phone's SQN is ahead of the HSS.
    Resynchronised,
    /// After an answer without a response: wrong key or OPc on one side, most of the time.
    ChallengedAgain,
    /// A right SIP Digest answer to an old nonce.
    ChallengedStale,
    ChallengeRepeated,
    Registered,
    Refreshed,
    Repeated,
    Deregistered,
    Queried,
}

impl Outcome {
    /// The metric label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Challenged => "challenged",
            Self::Resynchronised => "resynchronised",
            Self::ChallengedAgain => "challenged_again",
            Self::ChallengedStale => "challenged_stale",
            Self::ChallengeRepeated => "challenge_repeated",
            Self::Registered => "registered",
            Self::Refreshed => "refreshed",
            Self::Repeated => "repeated",
            Self::Deregistered => "deregistered",
            Self::Queried => "queried",
        }
    }
}

/// The next step of a REGISTER.
#[derive(Debug)]
pub(crate) enum Step {
    /// Ask the HSS and wait.
    Ask(CxRequest, Await),
    /// Answer; the journey is over.
    Answer(Outcome, Response),
}

/// What is bound when the HSS agrees.
#[derive(Debug)]
pub(crate) struct BindingGrant {
    grants: Vec<ContactGrant>,
    assignment_type: ServerAssignmentType,
    proof: Proof,
    hss_host: Option<String>,
    termination: Termination,
}

/// What RTRs have said while the SAA was awaited (TS 29.228 6.1.3).
#[derive(Debug)]
enum Termination {
    /// Nothing.
    None,
    /// These identities end, each with its implicit set.
    Of(Vec<Impu>),
    /// All of the private identity.
    Whole,
}

impl Await {
    /// A RTR for the private identity; no identities means all. The HSS may have answered the SAR before or
    /// after: a UE that registers once more costs little, a contact of a user whom the HSS has removed
    /// stays for days.
    pub(crate) fn terminate(&mut self, identities: &[Impu]) {
        let Self::Saa(grant) = self else { return };
        match &mut grant.termination {
            Termination::Whole => {}
            termination if identities.is_empty() => *termination = Termination::Whole,
            Termination::Of(terminated) => terminated.extend_from_slice(identities),
            Termination::None => grant.termination = Termination::Of(identities.to_vec()),
        }
    }
}

impl BindingGrant {
    /// Whether what the SAA would register is what a RTR has ended meanwhile.
    fn is_terminated(&self, ctx: &Context<'_>, register: &Register, profile: Option<&Profile>) -> bool {
        let identities = match &self.termination {
            Termination::None => return false,
            Termination::Whole => return true,
            Termination::Of(identities) => identities,
        };
        let held = || ctx.registrar.set_of(&register.impu)?.subscription();
        let subscription = profile.and_then(|profile| profile.subscription.clone().or_else(held));
        let has = |impu| subscription.as_ref().is_some_and(|s| s.find(impu).is_some());
        identities.iter().any(|impu| *impu == register.impu || has(impu))
    }
}

/// Why the REGISTER is believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Proof {
    /// It came over an SA of a registered private identity.
    Protection,
    /// It had the right response; SIP Digest adds Authentication-Info to the 200.
    Response { authentication_info: Option<String> },
}

/// Begins. TS 24.229 5.4.1.2.1.
pub(crate) fn start(ctx: &mut Context<'_>, register: &Register) -> Result<Step, RegisterReject> {
    authentication::start(ctx, register)
}

/// Goes on with an answer of the HSS, or with its silence.
pub(crate) fn on_answer(
    ctx: &mut Context<'_>,
    register: &Register,
    awaited: Await,
    answer: Result<CxAnswer, CxError>,
) -> Result<Step, RegisterReject> {
    match awaited {
        Await::DeregistrationSaa(removal) => Ok(deregister::on_saa(ctx, register, removal, answer)),
        Await::Maa(issue) => match answer.map_err(RegisterReject::HssUnavailable)? {
            CxAnswer::Maa(maa) => authentication::on_maa(ctx, register, issue, maa),
            CxAnswer::Uaa(_) | CxAnswer::Saa(_) | CxAnswer::Lia(_) => Err(RegisterReject::Internal),
        },
        Await::Saa(grant) => match answer.map_err(RegisterReject::HssUnavailable)? {
            CxAnswer::Saa(saa) => on_saa(ctx, register, &grant, saa),
            CxAnswer::Uaa(_) | CxAnswer::Maa(_) | CxAnswer::Lia(_) => Err(RegisterReject::Internal),
        },
    }
}

/// The UE is believed: do what it wants. TS 24.229 5.4.1.2.2F, 5.4.1.4.
fn accept(
    ctx: &mut Context<'_>,
    register: &Register,
    proof: Proof,
    hss_host: Option<String>,
) -> Result<Step, RegisterReject> {
    match &register.intent {
        Intent::Query => {
            let response = answer::ok(ctx, register, None, &proof);
            Ok(Step::Answer(Outcome::Queried, response))
        }
        Intent::RemoveAll => deregister::start(ctx, register, None, proof),
        Intent::Remove(contacts) => deregister::start(ctx, register, Some(contacts), proof),
        Intent::Bind(contacts) => bind(ctx, register, contacts, proof, hss_host),
    }
}

/// TS 24.229 5.4.1.2.2, steps before the SAR.
fn bind(
    ctx: &mut Context<'_>,
    register: &Register,
    contacts: &[ContactRequest],
    proof: Proof,
    hss_host: Option<String>,
) -> Result<Step, RegisterReject> {
    let grants = grants_of(ctx, contacts)?;
    // RFC 3261 10.3 step 7: per Call-ID the CSeq only grows.
    let bound = ctx
        .registrar
        .cseq_of(&register.impi, &register.impu, &register.call_id);
    match bound {
        Some(cseq) if register.cseq < cseq => return Err(RegisterReject::OutOfOrder),
        Some(cseq) if register.cseq == cseq => return repeat(ctx, register, &grants, &proof),
        Some(_) | None => {}
    }
    if !ctx.registrar.fits(&register.impu, &register.impi, &grants) {
        return Err(RegisterReject::TooManyBindings);
    }
    let is_registered = ctx.registrar.is_registered(&register.impi, &register.impu);
    if !ctx
        .registrar
        .has_room_for(&register.impu, &register.impi, &grants)
    {
        return Err(RegisterReject::Overloaded);
    }
    let held = ctx.registrar.set_of(&register.impu);
    let hss_host = hss_host.or_else(|| held.and_then(ImplicitRegistrationSet::hss_host));
    // TS 29.228 6.1.2: type 1 the first time, type 2 and "data already available" afterwards.
    let assignment_type = if is_registered {
        ServerAssignmentType::ReRegistration
    } else {
        ServerAssignmentType::Registration
    };
    let notice = Notice {
        impi: register.impi.clone(),
        impu: register.impu.clone(),
        assignment_type,
        hss_host: hss_host.clone(),
    };
    let request = ctx.sar(notice, is_registered);
    let grant = BindingGrant {
        grants,
        assignment_type,
        proof,
        hss_host,
        termination: Termination::None,
    };
    Ok(Step::Ask(request, Await::Saa(grant)))
}

/// The same REGISTER in a new transaction: nothing changes, and the answer is the same (RG-22).
fn repeat(
    ctx: &mut Context<'_>,
    register: &Register,
    grants: &[ContactGrant],
    proof: &Proof,
) -> Result<Step, RegisterReject> {
    let set = ctx.registrar.set_of(&register.impu);
    let is_bound = |grant: &ContactGrant| {
        set.is_some_and(|set| {
            set.bindings_of(&register.impi)
                .any(|b| b.contact.has_uri_of(&grant.contact))
        })
    };
    if !grants.iter().filter(|g| g.expires.is_some()).all(is_bound) {
        return Err(RegisterReject::OutOfOrder);
    }
    let response = answer::ok(ctx, register, grants.first().map(|g| &g.contact), proof);
    Ok(Step::Answer(Outcome::Repeated, response))
}

/// RFC 3261 10.3 step 7: too brief is refused, too long is shortened.
fn grants_of(ctx: &Context<'_>, contacts: &[ContactRequest]) -> Result<Vec<ContactGrant>, RegisterReject> {
    let policy = &ctx.settings.registration;
    let (min, max) = (policy.expires_min.get(), policy.expires_max.get());
    let lifetime = |wish: Option<Duration>| match wish {
        None => Ok(Some(policy.expires_default.get())),
        Some(Duration::ZERO) => Ok(None),
        Some(wish) if wish < min => Err(RegisterReject::IntervalTooBrief {
            expires_min_secs: min.as_secs(),
        }),
        Some(wish) => Ok(Some(wish.min(max))),
    };
    contacts
        .iter()
        .map(|request| {
            Ok(ContactGrant {
                contact: request.contact.clone(),
                expires: lifetime(request.requested)?,
            })
        })
        .collect()
}

/// TS 29.228 6.1.2, then TS 24.229 5.4.1.2.2F.
fn on_saa(
    ctx: &mut Context<'_>,
    register: &Register,
    grant: &BindingGrant,
    saa: Saa,
) -> Result<Step, RegisterReject> {
    if !saa.result.is_success() || saa.result == CxResult::SERVER_NAME_NOT_STORED {
        return Err(RegisterReject::of_result(saa.result));
    }
    let profile = match profile_of(ctx, register, grant, saa) {
        profile if grant.is_terminated(ctx, register, profile.as_ref().ok()) => {
            return Err(RegisterReject::Terminated);
        }
        Ok(profile) => profile,
        Err(reject) => {
            // The HSS believes the identity registered here: take it back.
            take_back(ctx, register, grant, reject);
            return Err(reject);
        }
    };
    let id = ctx.registrar.store_profile(&register.impu, profile);
    ctx.sessions.held.forget(&register.impi);
    let effects = apply(ctx, register, id, grant);
    let first = effects.iter().find_map(|effect| match effect {
        BindingEffect::Registered(contact) | BindingEffect::Refreshed(contact) => {
            Some(contact.address.clone())
        }
        BindingEffect::Replaced(_) | BindingEffect::Removed(_) => None,
    });
    report(ctx, register, id, effects);
    let outcome = if grant.assignment_type == ServerAssignmentType::ReRegistration {
        Outcome::Refreshed
    } else {
        Outcome::Registered
    };
    let response = answer::ok(ctx, register, first.as_ref(), &grant.proof);
    Ok(Step::Answer(outcome, response))
}

fn apply(ctx: &mut Context<'_>, register: &Register, id: SetId, grant: &BindingGrant) -> Vec<BindingEffect> {
    let source = register.source(ctx.settings.registration.gruu);
    let (shard, rng) = (ctx.shard, &mut *ctx.rng);
    let effects = ctx.registrar.bind(ctx.now, id, &source, &grant.grants, || {
        ims_common::token::fresh(shard, rng)
    });
    if matches!(grant.proof, Proof::Response { .. })
        && let Some(set) = ctx.registrar.set_mut(id)
    {
        set.set_authenticated_at(&register.impi, ctx.now);
    }
    effects
}

/// The profile of the answer, or the one already held (CX-19).
fn profile_of(
    ctx: &Context<'_>,
    register: &Register,
    grant: &BindingGrant,
    saa: Saa,
) -> Result<Profile, RegisterReject> {
    let is_refresh = grant.assignment_type == ServerAssignmentType::ReRegistration;
    let held = ctx.registrar.set_of(&register.impu).filter(|_| is_refresh);
    let subscription = match &saa.user_data {
        Some(xml) => Some(read_user_data(ctx, xml)?),
        None => None,
    };
    let members: Vec<Member> = match (&subscription, held) {
        // The realm may differ: some HSSs write their own.
        (Some(given), _) if given.private_identity.user() != register.impi.user() => {
            return Err(RegisterReject::ForeignProfile);
        }
        (Some(given), _) => members_of(given),
        (None, Some(held)) => held.listed().collect(),
        // A profile held for others proves nothing about a newcomer.
        (None, None) => return Err(RegisterReject::ProfileMissing),
    };
    // TS 23.228 5.2.1a: a barred identity may register, if another one of its set can be used.
    if members.is_empty() {
        return Err(RegisterReject::ProfileUnusable);
    }
    // TS 24.229 5.4.8.2: an emergency registration is not barred.
    let is_emergency = grant.grants.iter().any(|g| g.contact.is_for_emergency());
    if members.iter().all(|m| m.barred) && !is_emergency {
        return Err(RegisterReject::AllIdentitiesBarred);
    }
    let hss_host = Some(saa.origin_host).filter(|host| !host.is_empty());
    Ok(Profile {
        subscription,
        charging: saa.charging,
        hss_host: hss_host.or_else(|| grant.hss_host.clone()),
    })
}

/// TS 29.228 Annex E, within the limits of this server.
pub(crate) fn read_user_data(ctx: &Context<'_>, xml: &[u8]) -> Result<ImsSubscription, RegisterReject> {
    let subscription = user_data::parse(xml).map_err(|error| {
        tracing::debug!(%error, clause = "TS 29.228 Annex E", "user data cannot be read");
        RegisterReject::ProfileUnusable
    })?;
    let criteria_max = ctx.settings.registration.ifc_per_profile;
    if subscription
        .profiles
        .iter()
        .any(|profile| profile.filter_criteria.len() > criteria_max)
    {
        return Err(RegisterReject::ProfileUnusable);
    }
    Ok(subscription)
}

/// After a success that cannot be used. A registered identity keeps its registration, and that of somebody
/// else is not touched.
fn take_back(ctx: &mut Context<'_>, register: &Register, grant: &BindingGrant, reject: RegisterReject) {
    let is_others = reject == RegisterReject::ForeignProfile || ctx.registrar.has(&register.impu);
    if is_others || grant.assignment_type == ServerAssignmentType::ReRegistration {
        return;
    }
    ctx.notices.push(Notice {
        impi: register.impi.clone(),
        impu: register.impu.clone(),
        assignment_type: if reject == RegisterReject::ProfileUnusable {
            ServerAssignmentType::DeregistrationTooMuchData
        } else {
            ServerAssignmentType::AdministrativeDeregistration
        },
        hss_host: grant.hss_host.clone(),
    });
}

/// Tells what happened to each contact (RFC 3680 5.1).
fn report(ctx: &mut Context<'_>, register: &Register, id: SetId, effects: Vec<BindingEffect>) {
    let identities: Vec<_> = ctx
        .registrar
        .set(id)
        .map(|set| set.associated_identities().collect())
        .unwrap_or_default();
    for effect in effects {
        let (contact, event) = match effect {
            BindingEffect::Registered(contact) => (contact, ContactEvent::Registered),
            BindingEffect::Refreshed(contact) => (contact, ContactEvent::Refreshed),
            // TS 24.229 5.4.1.2.2 4A: the old contact is reported as deactivated.
            BindingEffect::Replaced(contact) => (contact, ContactEvent::Deactivated),
            BindingEffect::Removed(contact) => (contact, ContactEvent::Unregistered),
        };
        ctx.changes.push(RegistrationChange {
            impi: register.impi.clone(),
            set: id,
            identities: identities.clone(),
            contacts: vec![contact],
            event,
            served: Vec::new(),
            cause: None,
        });
    }
}
