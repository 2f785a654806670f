//! Engine: what a message loses and gains between the UE and the home network (TS 24.229 4.4, 5.2.1, 5.2.2.1, 5.2.6).

use ims_common::net::Interface;
use ims_common::sip::{Credentials, Edit, HeaderName, Message, Method, NameAddr, Request, Response};

use crate::node::Settings;
use crate::ue_challenge::UeChallenge;

/// Only the trust domain writes these; what a UE sends of them is removed (TS 24.229 4.4, 5.2.1, 5.2.2.1).
const NOT_FROM_A_UE: [HeaderName; 14] = [
    HeaderName::PChargingVector,
    HeaderName::PChargingFunctionAddresses,
    HeaderName::PAssertedIdentity,
    HeaderName::PAssertedService,
    HeaderName::PServedUser,
    HeaderName::PProfileKey,
    HeaderName::PPrivateNetworkIndication,
    HeaderName::PMediaAuthorization,
    HeaderName::PVisitedNetworkId,
    HeaderName::PUserDatabase,
    HeaderName::PCalledPartyId,
    HeaderName::FeatureCaps,
    HeaderName::RelayedCharge,
    HeaderName::RestorationInfo,
];

/// Those of them without a name of their own here (TS 24.229 7.2.11, 7.2.13).
const NAMED_NOT_FROM_A_UE: [&str; 2] = ["Resource-Share", "Priority-Share"];

/// The way of a REGISTER is the P-CSCF's own business: the UE is its first hop and preloads nothing
/// (TS 24.229 5.2.2.1).
const NOT_IN_A_REGISTER_FROM_A_UE: [HeaderName; 6] = [
    HeaderName::Path,
    HeaderName::Route,
    HeaderName::RecordRoute,
    HeaderName::SecurityClient,
    HeaderName::SecurityVerify,
    HeaderName::SecurityServer,
];

/// Names of the network's own bookkeeping, and where the other party is; a UE never sees them (TS 24.229 4.4, 5.2.2.2,
/// 5.2.6.3.4, 5.2.6.4.3).
const NOT_TO_A_UE: [HeaderName; 8] = [
    HeaderName::PChargingVector,
    HeaderName::PChargingFunctionAddresses,
    HeaderName::PServedUser,
    HeaderName::PProfileKey,
    HeaderName::PPrivateNetworkIndication,
    HeaderName::PVisitedNetworkId,
    HeaderName::PUserDatabase,
    HeaderName::PAccessNetworkInfo,
];

/// Whether a UE may open the way for early media (RFC 5009 8).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum EarlyMediaOfUe {
    /// Its authorisations are removed. That it understands them passes.
    #[default]
    Ignored,
    /// They pass.
    Trusted,
}

/// The value of `integrity-protected` that tells the S-CSCF how a REGISTER came (TS 24.229 7.2A.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum IntegrityProtected {
    /// IMS AKA, without a security association.
    No,
    /// IMS AKA: over an established set, or the answer to a challenge over its temporary set.
    Yes,
    /// SIP Digest, a challenge response from an address that no registration of this IMPI vouches for.
    IpAssocPending,
    /// SIP Digest, a challenge response from the address and port that this IMPI is registered from.
    IpAssocYes,
}

impl IntegrityProtected {
    /// The parameter's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::IpAssocPending => "ip-assoc-pending",
            Self::IpAssocYes => "ip-assoc-yes",
        }
    }

    /// How an unprotected REGISTER is marked (TS 24.229 5.2.2.2 and 5.2.2.3; 33.203 Annex P.3).
    ///
    /// The `ip-assoc` values are for SIP Digest alone: a security offer or an AKA algorithm means IMS AKA,
    /// and a REGISTER without a challenge response answers nothing; both are `no`.
    pub(crate) fn of_unprotected(
        credentials: &Credentials<'_>,
        offers_security: bool,
        associated: bool,
    ) -> Self {
        let answers = credentials
            .response()
            .is_some_and(|response| !response.is_empty());
        let aka = credentials.algorithm().is_some_and(|name| {
            name.get(..3)
                .is_some_and(|head| head.eq_ignore_ascii_case(b"AKA"))
        });
        let resynchronises = credentials.auts().is_some();
        if offers_security || aka || resynchronises || !answers {
            Self::No
        } else if associated {
            Self::IpAssocYes
        } else {
            Self::IpAssocPending
        }
    }
}

/// What the P-CSCF says in a REGISTER towards the home network.
#[derive(Clone, Debug)]
pub(crate) struct RegisterMarks {
    /// Value of Path.
    pub(crate) path: String,
    /// Value of P-Visited-Network-ID.
    pub(crate) visited_network: String,
    /// Value of P-Charging-Vector.
    pub(crate) charging_vector: String,
    /// Authorization with `integrity-protected` overwritten; none where the UE sent none.
    pub(crate) authorization: Option<String>,
}

/// The REGISTER as it leaves for the home network (TS 24.229 5.2.2.1, 5.2.2.2).
pub(crate) fn register_towards_home(request: &Request, marks: &RegisterMarks) -> Request {
    let mut edit = keep_to_the_ues_own(request).remove_all(&NOT_IN_A_REGISTER_FROM_A_UE);
    // RFC 3329 2.3.1: the agreement is between the UE and its first hop; the tag ends here.
    if request.has_token(HeaderName::ProxyRequire, "sec-agree") {
        edit = edit.remove(HeaderName::ProxyRequire);
        let kept = tags_without_sec_agree(request, HeaderName::ProxyRequire);
        if !kept.is_empty() {
            edit = edit.append(HeaderName::ProxyRequire, kept.join(", "));
        }
    }
    // RFC 3327 5.2: the registrar must not take the REGISTER without understanding Path.
    if request.has_token(HeaderName::Require, "sec-agree") || !request.has_token(HeaderName::Require, "path")
    {
        let mut tags = tags_without_sec_agree(request, HeaderName::Require);
        if !tags.iter().any(|tag| tag.eq_ignore_ascii_case("path")) {
            tags.push("path".to_owned());
        }
        edit = edit
            .remove(HeaderName::Require)
            .append(HeaderName::Require, tags.join(", "));
    }
    if let Some(authorization) = &marks.authorization {
        edit = edit.set(HeaderName::Authorization, authorization);
    }
    edit.push_front(HeaderName::Path, &marks.path)
        .append(HeaderName::PVisitedNetworkId, &marks.visited_network)
        .append(HeaderName::PChargingVector, &marks.charging_vector)
        .finish_request()
}

/// RFC 3329 2.3.1: the agreement is between the UE and its first hop, and each request of the UE repeats it; it ends
/// here.
fn without_the_agreement<'a>(mut edit: Edit<'a>, message: &Message) -> Edit<'a> {
    edit = edit.remove_all(&[
        HeaderName::SecurityClient,
        HeaderName::SecurityVerify,
        HeaderName::SecurityServer,
    ]);
    for name in [
        HeaderName::Require,
        HeaderName::ProxyRequire,
        HeaderName::Supported,
    ] {
        if message.has_token(name, "sec-agree") {
            edit = edit.remove(name);
            let kept = tags_without_sec_agree(message, name);
            if !kept.is_empty() {
                edit = edit.append(name, kept.join(", "));
            }
        }
    }
    edit
}

/// A request of a UE, other than REGISTER, as it goes on.
pub(crate) fn request_towards_home(request: &Request, early_media: EarlyMediaOfUe) -> Edit<'_> {
    let edit = keep_to_the_ues_own(request).remove(HeaderName::PPreferredIdentity);
    without_early_media(without_the_agreement(edit, request), request, early_media)
}

/// A request of a UE without what only the network may say (TS 24.229 4.4, 5.2.1).
fn keep_to_the_ues_own(request: &Request) -> Edit<'_> {
    without_the_networks_words(request.edit(), request)
}

/// What the P-CSCF says in a response of a UE (TS 24.229 5.2.6.4.4).
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseMarks {
    /// Value of P-Asserted-Identity.
    pub(crate) asserted: Option<String>,
    /// Value of P-Charging-Vector.
    pub(crate) charging_vector: Option<String>,
}

/// A response of a UE as it goes on: without what only the network may say, with what the P-CSCF says of it.
pub(crate) fn response_towards_home(
    response: &Response,
    marks: &ResponseMarks,
    early_media: EarlyMediaOfUe,
) -> Response {
    let edit = without_the_networks_words(response.edit(), response).remove(HeaderName::PPreferredIdentity);
    let mut edit = without_early_media(without_the_agreement(edit, response), response, early_media);
    if let Some(asserted) = &marks.asserted {
        edit = edit.append(HeaderName::PAssertedIdentity, asserted);
    }
    if let Some(vector) = &marks.charging_vector {
        edit = edit.append(HeaderName::PChargingVector, vector);
    }
    edit.finish_response()
}

fn without_the_networks_words<'a>(mut edit: Edit<'a>, message: &Message) -> Edit<'a> {
    edit = edit.remove_all(&NOT_FROM_A_UE);
    for name in NAMED_NOT_FROM_A_UE {
        edit = edit.remove_named(name);
    }
    if let Some(kept) = access_network_info_of_the_ue(message) {
        edit = edit.remove(HeaderName::PAccessNetworkInfo);
        for value in kept {
            edit = edit.append(HeaderName::PAccessNetworkInfo, value);
        }
    }
    if let Some(kept) = places_without_their_source(message) {
        edit = edit.remove(HeaderName::Geolocation);
        for value in kept {
            edit = edit.append(HeaderName::Geolocation, value);
        }
    }
    edit
}

/// RFC 5009 8: what a UE says about early media authorises nothing; only `supported` is its own to say.
fn without_early_media<'a>(edit: Edit<'a>, message: &Message, policy: EarlyMediaOfUe) -> Edit<'a> {
    let is_own = |value: &[u8]| value.eq_ignore_ascii_case(b"supported");
    let authorises = message
        .values(HeaderName::PEarlyMedia)
        .any(|value| !is_own(value));
    if policy == EarlyMediaOfUe::Trusted || !authorises {
        return edit;
    }
    let is_supported = message.values(HeaderName::PEarlyMedia).any(is_own);
    let edit = edit.remove(HeaderName::PEarlyMedia);
    match is_supported {
        true => edit.append(HeaderName::PEarlyMedia, "supported"),
        false => edit,
    }
}

/// A request of the home network as the UE may see it (TS 24.229 4.4, 5.2.6.4).
pub(crate) fn request_towards_ue(request: &Request) -> Edit<'_> {
    let edit = request.edit().remove_all(&NOT_TO_A_UE);
    // TS 24.341 5.3.2.4: the receipt of a short message goes to the identity that its MESSAGE asserts.
    let is_short_message = request.method() == Method::Message && carries_sms(request);
    match is_short_message {
        true => edit,
        false => with_privacy(edit, request),
    }
}

fn carries_sms(message: &Message) -> bool {
    let content_type = message.header(HeaderName::ContentType).unwrap_or_default();
    let name = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    name.trim_ascii()
        .eq_ignore_ascii_case(b"application/vnd.3gpp.sms")
}

/// RFC 3325 7: the last element of the trust domain removes the asserted identity of a party that wants to stay unknown.
fn with_privacy<'a>(edit: Edit<'a>, message: &Message) -> Edit<'a> {
    let mut wishes = message
        .headers(HeaderName::Privacy)
        .flat_map(|line| line.split(|byte| matches!(byte, b';' | b',')));
    match wishes.any(|wish| wish.trim_ascii().eq_ignore_ascii_case(b"id")) {
        true => edit.remove(HeaderName::PAssertedIdentity),
        false => edit,
    }
}

/// Which of a request's two sides is the UE's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    /// From a UE over this side.
    From(Interface),
    /// Towards a UE over this side.
    Towards(Interface),
}

/// Our two Record-Route values, in the order in which to push them: the side the request leaves by comes on top
/// (RFC 5658 4). Towards a protected UE it is the protected server port (TS 24.229 5.2.6.3.3).
pub(crate) fn own_record_routes(settings: &Settings, token: &str, direction: Direction) -> [String; 2] {
    let (Direction::From(side) | Direction::Towards(side)) = direction;
    let gm = format!("<sip:{token}@{};lr>", settings.host_towards_ue(side));
    let mw = format!("<sip:{token}@{};lr>", settings.mw_host);
    match direction {
        Direction::From(_) => [gm, mw],
        Direction::Towards(_) => [mw, gm],
    }
}

/// A response as the UE may see it: no charging data, and challenges as [`UeChallenge`]. What is agreed on Gm is ours
/// to say alone.
pub(crate) fn response_towards_ue(response: &Response) -> Response {
    let mut edit = response
        .edit()
        .remove_all(&NOT_TO_A_UE)
        .remove(HeaderName::SecurityServer);
    edit = with_privacy(edit, response);
    for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
        for (nth, line) in response.headers(name).enumerate() {
            edit = edit.replace_line(name, nth, UeChallenge::of(line));
        }
    }
    edit.finish_response()
}

/// The P-Access-Network-Info values that a UE may say, when there is one that it may not:
/// `network-provided` is the network's word alone (TS 24.229 5.2.1, 7.2A.4).
fn access_network_info_of_the_ue(message: &Message) -> Option<Vec<String>> {
    let mut kept = Vec::new();
    let mut forged = false;
    for value in message.values(HeaderName::PAccessNetworkInfo) {
        if is_network_provided(value) {
            forged = true;
        } else {
            kept.push(String::from_utf8_lossy(value).into_owned());
        }
    }
    forged.then_some(kept)
}

/// The values of Geolocation without `loc-src`, when there is one that has it (TS 24.229 5.2.1, 7.2.10): who says where the
/// UE is, is the network's word alone.
fn places_without_their_source(message: &Message) -> Option<Vec<String>> {
    let mut forged = false;
    let mut kept = Vec::new();
    for value in message.values(HeaderName::Geolocation) {
        let Ok(place) = NameAddr::parse(value) else {
            kept.push(String::from_utf8_lossy(value).into_owned());
            continue;
        };
        let mut text = format!("<{}>", String::from_utf8_lossy(place.uri.as_bytes()));
        for (name, value) in place.params.iter() {
            if name.eq_ignore_ascii_case(b"loc-src") {
                forged = true;
                continue;
            }
            text.push(';');
            text.push_str(&String::from_utf8_lossy(name));
            if let Some(value) = value {
                text.push('=');
                text.push_str(&String::from_utf8_lossy(value));
            }
        }
        kept.push(text);
    }
    forged.then_some(kept)
}

fn is_network_provided(value: &[u8]) -> bool {
    value.split(|byte| *byte == b';').any(|parameter| {
        let name = parameter.split(|byte| *byte == b'=').next().unwrap_or(parameter);
        name.trim_ascii().eq_ignore_ascii_case(b"network-provided")
    })
}

fn tags_without_sec_agree(message: &Message, name: HeaderName) -> Vec<String> {
    message
        .tokens(name)
        .filter(|tag| !tag.eq_ignore_ascii_case(b"sec-agree"))
        .map(|tag| String::from_utf8_lossy(tag).into_owned())
        .collect()
}
