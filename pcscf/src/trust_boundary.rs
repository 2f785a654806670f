//! Engine: what a message loses and gains between the UE and the home network (TS 24.229 4.4, 5.2.1, 5.2.2.1).

use ims_common::net::Interface;
use ims_common::sip::{Credentials, Edit, HeaderName, Message, Request, Response};

use crate::node::Settings;
use crate::ue_challenge::UeChallenge;

/// Only the trust domain writes these; what a UE sends of them is removed (TS 24.229 4.4, 5.2.1, 5.2.2.1).
const NOT_FROM_A_UE: [HeaderName; 11] = [
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
];

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

/// Names of the network's own bookkeeping; a UE never sees them (TS 24.229 4.4, 5.2.2.2).
const NOT_TO_A_UE: [HeaderName; 7] = [
    HeaderName::PChargingVector,
    HeaderName::PChargingFunctionAddresses,
    HeaderName::PServedUser,
    HeaderName::PProfileKey,
    HeaderName::PPrivateNetworkIndication,
    HeaderName::PVisitedNetworkId,
    HeaderName::PUserDatabase,
];

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
fn without_the_agreement<'a>(mut edit: Edit<'a>, request: &Request) -> Edit<'a> {
    edit = edit.remove_all(&[HeaderName::SecurityClient, HeaderName::SecurityVerify]);
    for name in [HeaderName::Require, HeaderName::ProxyRequire] {
        if request.has_token(name, "sec-agree") {
            edit = edit.remove(name);
            let kept = tags_without_sec_agree(request, name);
            if !kept.is_empty() {
                edit = edit.append(name, kept.join(", "));
            }
        }
    }
    edit
}

/// A request of a UE, other than REGISTER, as it goes on.
pub(crate) fn request_towards_home(request: &Request) -> Edit<'_> {
    without_the_agreement(keep_to_the_ues_own(request), request)
}

/// A request of a UE without what only the network may say (TS 24.229 4.4, 5.2.1).
fn keep_to_the_ues_own(request: &Request) -> Edit<'_> {
    without_the_networks_words(request.edit(), request)
}

/// A response of a UE without what only the network may say (TS 24.229 4.4, 5.2.1).
pub(crate) fn response_towards_home(response: &Response) -> Response {
    without_the_networks_words(response.edit(), response).finish_response()
}

fn without_the_networks_words<'a>(mut edit: Edit<'a>, message: &Message) -> Edit<'a> {
    edit = edit.remove_all(&NOT_FROM_A_UE);
    if let Some(kept) = access_network_info_of_the_ue(message) {
        edit = edit.remove(HeaderName::PAccessNetworkInfo);
        for value in kept {
            edit = edit.append(HeaderName::PAccessNetworkInfo, value);
        }
    }
    edit
}

/// A request of the home network as the UE may see it (TS 24.229 4.4, 5.2.6.4).
pub(crate) fn request_towards_ue(request: &Request) -> Edit<'_> {
    request.edit().remove_all(&NOT_TO_A_UE)
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
