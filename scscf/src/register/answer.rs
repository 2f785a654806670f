//! Engine: the responses to a REGISTER (TS 24.229 5.4.1.2.1A, 5.4.1.2.1B, 5.4.1.2.2F).

use std::time::Instant;

use ims_common::aka::AkaVersion;
use ims_common::sip::{HeaderName, Reply, Request, Response, StatusCode};

use super::Proof;
use super::request::{Intent, Register, is_supported};
use crate::challenges::{Challenge, Secret};
use crate::charging;
use crate::context::Context;
use crate::node::ScscfSettings;
use crate::registrar::{ContactAddress, ImplicitRegistrationSet};
use crate::reject::RegisterReject;

/// Seconds after which an overloaded registrar may be asked again.
const RETRY_AFTER_SECS: u32 = 10;

/// The 200. `first` is the contact whose Service-Route the UE gets.
pub(crate) fn ok(
    ctx: &mut Context<'_>,
    register: &Register,
    first: Option<&ContactAddress>,
    proof: &Proof,
) -> Response {
    let tag = ctx.fresh_token();
    let mut reply = register.request.reply(StatusCode::OK).to_tag(&tag);
    if first.is_some() {
        for path in register.request.headers(HeaderName::Path) {
            reply = reply.header(HeaderName::Path, String::from_utf8_lossy(path));
        }
    }
    if let Some(set) = told_set(ctx, register) {
        let binding = first.and_then(|contact| {
            set.bindings_of(&register.impi)
                .find(|b| b.contact.has_uri_of(contact))
        });
        if let Some(binding) = binding {
            let value = ctx.service_route.value(&binding.service_route);
            reply = reply.header(HeaderName::ServiceRoute, value);
        }
        reply = listing(reply, set, ctx.now);
        if let Some(charging) = set.charging()
            && is_home(ctx.settings, register)
            && let Some(value) = charging::function_addresses(charging)
        {
            reply = reply.header(HeaderName::PChargingFunctionAddresses, value);
        }
    }
    if let Proof::Response {
        authentication_info: Some(info),
    } = proof
    {
        reply = reply.header(HeaderName::AuthenticationInfo, info);
    }
    with_charging_vector(reply, &register.request, ctx.settings).finish()
}

/// The set that the UE may hear of. Who only asks must have a contact in it: some HSSs do not check whose the
/// public identity in a UAR is, so anybody may ask for anybody.
fn told_set<'a>(ctx: &'a Context<'_>, register: &Register) -> Option<&'a ImplicitRegistrationSet> {
    let set = ctx.registrar.set_of(&register.impu)?;
    let is_told = match register.intent {
        Intent::Query => set.bindings_of(&register.impi).next().is_some(),
        Intent::RemoveAll | Intent::Remove(_) | Intent::Bind(_) => true,
    };
    is_told.then_some(set)
}

/// P-Associated-URI, the default identity first, and every contact of the set with its time left.
fn listing<'a>(mut reply: Reply<'a>, set: &ImplicitRegistrationSet, now: Instant) -> Reply<'a> {
    let identities: Vec<String> = set
        .associated_identities()
        .map(|impu| format!("<{}>", impu.as_str()))
        .collect();
    if !identities.is_empty() {
        reply = reply.header(HeaderName::PAssociatedUri, identities.join(", "));
    }
    for binding in set.bindings() {
        let mut value = binding.contact.to_contact(binding.expires_secs(now));
        if let Some(gruu) = set.gruu_of(binding) {
            // RFC 5627 5.1.
            value.push_str(&format!(";pub-gruu=\"{gruu}\""));
        }
        reply = reply.header(HeaderName::Contact, value);
    }
    reply
}

/// The 401. For AKA the parameters `ck` and `ik` are for the P-CSCF, which removes them
/// (TS 24.229 5.4.1.2.1A, 7.2A.1).
pub(super) fn challenge(ctx: &Context<'_>, register: &Register, challenge: &Challenge) -> Response {
    let nonce = &challenge.nonce;
    // The tag is bound to the challenge, so that its repetition is the same response.
    let tag = tag_of(nonce);
    let mut reply = register.request.reply(StatusCode::UNAUTHORIZED).to_tag(&tag);
    match &challenge.secret {
        Secret::Aka(vector) => {
            let offered = [
                (AkaVersion::V2Sha256, ctx.settings.registration.akav2),
                (AkaVersion::V1Md5, true),
            ];
            for (version, _) in offered.into_iter().filter(|(_, is_offered)| *is_offered) {
                let value = format!(
                    "Digest realm=\"{}\",nonce=\"{nonce}\",algorithm={},qop=\"auth\",ck=\"{}\",ik=\"{}\"",
                    ctx.settings.home_realm,
                    version.token(),
                    vector.ck_hex(),
                    vector.ik_hex(),
                );
                reply = reply.header(HeaderName::WwwAuthenticate, value);
            }
        }
        Secret::Digest { realm, ha1s } => {
            let realm = realm.replace(['"', '\\'], "");
            let stale = if challenge.stale { ",stale=TRUE" } else { "" };
            for ha1 in ha1s {
                let algorithm = ha1.hash().token();
                let value = format!(
                    "Digest realm=\"{realm}\",nonce=\"{nonce}\",algorithm={algorithm},qop=\"auth\"{stale}"
                );
                reply = reply.header(HeaderName::WwwAuthenticate, value);
            }
        }
    }
    with_charging_vector(reply, &register.request, ctx.settings).finish()
}

fn tag_of(nonce: &str) -> String {
    nonce
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(24)
        .collect()
}

/// A refusal, with the headers that its status code needs.
pub(crate) fn reject_response(
    request: &Request,
    reject: RegisterReject,
    tag: &str,
    settings: &ScscfSettings,
) -> Response {
    let mut reply = request.reply(reject.status()).to_tag(tag);
    if let RegisterReject::IntervalTooBrief { expires_min_secs } = reject {
        reply = reply.header(HeaderName::MinExpires, expires_min_secs);
    }
    if reject == RegisterReject::UnsupportedExtension {
        for token in request.tokens(HeaderName::Require).filter(|t| !is_supported(t)) {
            reply = reply.header(HeaderName::Unsupported, String::from_utf8_lossy(token));
        }
    }
    if reject == RegisterReject::Overloaded {
        reply = reply.header(HeaderName::RetryAfter, RETRY_AFTER_SECS);
    }
    with_charging_vector(reply, request, settings).finish()
}

fn with_charging_vector<'a>(reply: Reply<'a>, request: &Request, settings: &ScscfSettings) -> Reply<'a> {
    match request
        .header(HeaderName::PChargingVector)
        .and_then(|received| charging::vector_of_response(received, &settings.home_realm))
    {
        Some(value) => reply.header(HeaderName::PChargingVector, value),
        None => reply,
    }
}

/// TS 24.229 5.4.1.2.2F: charging addresses stay in the home network.
fn is_home(settings: &ScscfSettings, register: &Register) -> bool {
    let Some(visited) = &register.visited_network else {
        return false;
    };
    let mut home = std::iter::once(&settings.home_realm).chain(&settings.home_networks);
    home.any(|network| network.eq_ignore_ascii_case(visited))
}
