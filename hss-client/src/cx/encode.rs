//! Codec: Cx commands into Diameter messages, AVPs in the order of the ABNF (TS 29.229 6.1).

use bytes::Bytes;
use ims_common::diameter::base::{Application, put_application};
use ims_common::diameter::grammar::avp as base;
use ims_common::diameter::{CommandFlags, Header, LocalPeer, Message, MessageBuilder};

use super::dictionary::{APPLICATION, avp, code};
use super::values::{AuthItem, AuthScheme, ChargingInformation, DigestHa1, ServerCapabilities};
use super::{
    CxAnswer, CxPush, CxPushAnswer, CxRequest, CxResult, Lia, Lir, Maa, Mar, Ppr, Rtr, Saa, Sar, Uaa, Uar,
};

/// NO_STATE_MAINTAINED, in every command (TS 29.229 5.3).
const NO_STATE_MAINTAINED: u32 = 1;

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Who we are.
    pub local: &'a LocalPeer,
    /// Session-Id: a new one for each request.
    pub session_id: &'a str,
    /// Destination-Host, when known.
    pub destination_host: Option<&'a str>,
    /// Destination-Realm.
    pub destination_realm: &'a str,
    /// Hop-by-Hop Identifier.
    pub hop_by_hop: u32,
    /// End-to-End Identifier.
    pub end_to_end: u32,
}

impl RequestHead<'_> {
    fn builder(&self, code: u32) -> MessageBuilder {
        let mut builder = MessageBuilder::new(Header {
            flags: CommandFlags(CommandFlags::REQUEST | CommandFlags::PROXIABLE),
            code,
            application: APPLICATION,
            hop_by_hop: self.hop_by_hop,
            end_to_end: self.end_to_end,
        });
        builder.text(&base::SESSION_ID, self.session_id);
        put_application(&mut builder, Application::CX);
        builder.u32(&base::AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
        self.local.put_origin(&mut builder);
        if let Some(host) = self.destination_host {
            builder.text(&base::DESTINATION_HOST, host);
        }
        builder.text(&base::DESTINATION_REALM, self.destination_realm);
        builder
    }
}

/// OC-Supported-Features with OLR_DEFAULT_ALGO (RFC 7683 7.1, 7.2): we heed reports of overload.
const OVERLOAD_CONTROL: [u8; 24] = [
    0, 0, 2, 0x6D, 0, 0, 0, 24, 0, 0, 2, 0x6E, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1,
];

impl CxRequest {
    /// Prints the request.
    #[must_use]
    pub fn encode(&self, head: &RequestHead<'_>) -> Bytes {
        self.encode_with_features(head, 0)
    }

    /// Prints the request; a SAR says which features of list 1 we have (TS 29.229 7.2.1), if any. None is required.
    pub(crate) fn encode_with_features(&self, head: &RequestHead<'_>, features: u32) -> Bytes {
        let mut builder = head.builder(self.code());
        builder.raw(&OVERLOAD_CONTROL);
        if features != 0 && matches!(self, Self::Sar(_)) {
            put_features(&mut builder, features);
        }
        match self {
            Self::Uar(uar) => put_uar(builder, uar),
            Self::Sar(sar) => put_sar(builder, sar),
            Self::Lir(lir) => put_lir(builder, lir),
            Self::Mar(mar) => put_mar(builder, mar),
        }
    }

    /// The command code.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Uar(_) => code::USER_AUTHORIZATION,
            Self::Sar(_) => code::SERVER_ASSIGNMENT,
            Self::Lir(_) => code::LOCATION_INFO,
            Self::Mar(_) => code::MULTIMEDIA_AUTH,
        }
    }

    /// The command's name, a metric label.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uar(_) => "uar",
            Self::Sar(_) => "sar",
            Self::Lir(_) => "lir",
            Self::Mar(_) => "mar",
        }
    }

    /// Destination-Host, when an earlier answer taught it.
    #[must_use]
    pub fn destination_host(&self) -> Option<&str> {
        match self {
            Self::Sar(sar) => sar.destination_host.as_deref(),
            Self::Mar(mar) => mar.destination_host.as_deref(),
            Self::Uar(_) | Self::Lir(_) => None,
        }
    }
}

impl CxPush {
    /// Prints the request; the head has a Destination-Host.
    #[must_use]
    pub fn encode(&self, head: &RequestHead<'_>) -> Bytes {
        match self {
            Self::Rtr(rtr) => put_rtr(head.builder(code::REGISTRATION_TERMINATION), rtr),
            Self::Ppr(ppr) => put_ppr(head.builder(code::PUSH_PROFILE), ppr),
        }
    }
}

impl CxAnswer {
    /// Prints the answer to `request`, from `local`.
    #[must_use]
    pub fn encode(&self, local: &LocalPeer, request: &Message) -> Bytes {
        let mut builder = answer_builder(local, request, self.result());
        match self {
            Self::Uaa(uaa) => put_uaa(&mut builder, uaa),
            Self::Saa(saa) => put_saa(&mut builder, saa),
            Self::Lia(lia) => put_lia(&mut builder, lia),
            Self::Maa(maa) => put_maa(&mut builder, maa),
        }
        finish_answer(builder, request)
    }
}

impl CxPushAnswer {
    /// Prints the answer to `request`, from `local`.
    #[must_use]
    pub fn encode(&self, local: &LocalPeer, request: &Message) -> Bytes {
        finish_answer(answer_builder(local, request, self.result()), request)
    }
}

/// The answer to a request that requires features which we have not (TS 29.229 7.2.1): 5011, and those that we have.
pub(crate) fn features_unsupported(local: &LocalPeer, request: &Message, features: u32) -> Bytes {
    let mut builder = answer_builder(local, request, CxResult::FEATURE_UNSUPPORTED);
    put_features(&mut builder, features);
    finish_answer(builder, request)
}

fn put_features(builder: &mut MessageBuilder, features: u32) {
    builder.group(&avp::SUPPORTED_FEATURES, |b| {
        b.u32(&base::VENDOR_ID, Application::CX.vendor)
            .u32(&avp::FEATURE_LIST_ID, 1)
            .u32(&avp::FEATURE_LIST, features);
    });
}

fn answer_builder(local: &LocalPeer, request: &Message, result: CxResult) -> MessageBuilder {
    let is_protocol_error = matches!(result, CxResult::Base(3000..4000));
    let mut builder = MessageBuilder::new(request.header().answer(is_protocol_error));
    if let Some(session_id) = request.text(&base::SESSION_ID) {
        builder.text(&base::SESSION_ID, session_id);
    }
    put_application(&mut builder, Application::CX);
    match result {
        CxResult::Base(code) => {
            builder.u32(&base::RESULT_CODE, code);
        }
        CxResult::Experimental(code) => {
            builder.group(&base::EXPERIMENTAL_RESULT, |b| {
                b.u32(&base::VENDOR_ID, Application::CX.vendor)
                    .u32(&base::EXPERIMENTAL_RESULT_CODE, code);
            });
        }
        CxResult::Missing => {}
    }
    builder.u32(&base::AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
    local.put_origin(&mut builder);
    builder
}

/// RFC 6733 6.2: Proxy-Info comes back as it was.
fn finish_answer(mut builder: MessageBuilder, request: &Message) -> Bytes {
    for proxy_info in request.avps().all(&base::PROXY_INFO) {
        builder.raw(proxy_info.raw);
    }
    builder.finish()
}

fn put_uar(mut b: MessageBuilder, uar: &Uar) -> Bytes {
    b.text(&base::USER_NAME, uar.user_name.as_str())
        .text(&avp::PUBLIC_IDENTITY, uar.public_identity.as_str())
        .text(&avp::VISITED_NETWORK_IDENTIFIER, &uar.visited_network)
        .u32(&avp::USER_AUTHORIZATION_TYPE, uar.authorization_type.code());
    if uar.emergency {
        b.u32(&avp::UAR_FLAGS, 1);
    }
    b.finish()
}

fn put_sar(mut b: MessageBuilder, sar: &Sar) -> Bytes {
    if let Some(user_name) = &sar.user_name {
        b.text(&base::USER_NAME, user_name.as_str());
    }
    for identity in &sar.public_identities {
        b.text(&avp::PUBLIC_IDENTITY, identity.as_str());
    }
    b.text(&avp::SERVER_NAME, &sar.server_name)
        .u32(&avp::SERVER_ASSIGNMENT_TYPE, sar.assignment_type.code())
        .u32(
            &avp::USER_DATA_ALREADY_AVAILABLE,
            u32::from(sar.user_data_already_available),
        );
    b.finish()
}

fn put_lir(mut b: MessageBuilder, lir: &Lir) -> Bytes {
    if lir.originating {
        b.u32(&avp::ORIGINATING_REQUEST, 0);
    }
    b.text(&avp::PUBLIC_IDENTITY, lir.public_identity.as_str());
    if let Some(authorization_type) = lir.authorization_type {
        b.u32(&avp::USER_AUTHORIZATION_TYPE, authorization_type.code());
    }
    b.finish()
}

fn put_mar(mut b: MessageBuilder, mar: &Mar) -> Bytes {
    b.text(&base::USER_NAME, mar.user_name.as_str())
        .text(&avp::PUBLIC_IDENTITY, mar.public_identity.as_str())
        .group(&avp::SIP_AUTH_DATA_ITEM, |b| {
            b.text(&avp::SIP_AUTHENTICATION_SCHEME, mar.scheme.as_str());
            if let Some(authorization) = &mar.authorization {
                b.octets(&avp::SIP_AUTHORIZATION, authorization);
            }
        })
        .u32(&avp::SIP_NUMBER_AUTH_ITEMS, 1)
        .text(&avp::SERVER_NAME, &mar.server_name);
    b.finish()
}

fn put_rtr(mut b: MessageBuilder, rtr: &Rtr) -> Bytes {
    b.text(&base::USER_NAME, rtr.user_name.as_str());
    put_names(&mut b, &rtr.associated_identities);
    for identity in &rtr.public_identities {
        b.text(&avp::PUBLIC_IDENTITY, identity.as_str());
    }
    b.group(&avp::DEREGISTRATION_REASON, |b| {
        b.u32(&avp::REASON_CODE, rtr.reason.code.code());
        if let Some(info) = &rtr.reason.info {
            b.text(&avp::REASON_INFO, info);
        }
    });
    b.finish()
}

fn put_ppr(mut b: MessageBuilder, ppr: &Ppr) -> Bytes {
    b.text(&base::USER_NAME, ppr.user_name.as_str());
    if let Some(user_data) = &ppr.user_data {
        b.octets(&avp::USER_DATA, user_data);
    }
    put_charging(&mut b, ppr.charging.as_ref());
    if let Some(digest) = &ppr.digest {
        b.group(&avp::SIP_AUTH_DATA_ITEM, |b| {
            b.text(&avp::SIP_AUTHENTICATION_SCHEME, AuthScheme::SipDigest.as_str());
            put_digest(b, digest);
        });
    }
    b.finish()
}

fn put_uaa(b: &mut MessageBuilder, uaa: &Uaa) {
    put_server(b, uaa.server_name.as_ref(), uaa.capabilities.as_ref());
}

fn put_lia(b: &mut MessageBuilder, lia: &Lia) {
    put_server(b, lia.server_name.as_ref(), lia.capabilities.as_ref());
    if let Some(wildcard) = &lia.wildcarded_public_identity {
        b.text(&avp::WILDCARDED_PUBLIC_IDENTITY, wildcard);
    }
    if lia.psi_direct {
        b.u32(&avp::LIA_FLAGS, 1);
    }
}

fn put_saa(b: &mut MessageBuilder, saa: &Saa) {
    if let Some(user_name) = &saa.user_name {
        b.text(&base::USER_NAME, user_name.as_str());
    }
    if let Some(user_data) = &saa.user_data {
        b.octets(&avp::USER_DATA, user_data);
    }
    put_charging(b, saa.charging.as_ref());
    put_names(b, &saa.associated_identities);
    if saa.loose_route {
        b.u32(&avp::LOOSE_ROUTE_INDICATION, 1);
    }
    if let Some(server_name) = &saa.server_name {
        b.text(&avp::SERVER_NAME, server_name);
    }
    if let Some(wildcard) = &saa.wildcarded_public_identity {
        b.text(&avp::WILDCARDED_PUBLIC_IDENTITY, wildcard);
    }
}

fn put_maa(b: &mut MessageBuilder, maa: &Maa) {
    if let Some(user_name) = &maa.user_name {
        b.text(&base::USER_NAME, user_name.as_str());
    }
    if let Some(identity) = &maa.public_identity {
        b.text(&avp::PUBLIC_IDENTITY, identity.as_str());
    }
    if !maa.items.is_empty() {
        b.u32(
            &avp::SIP_NUMBER_AUTH_ITEMS,
            u32::try_from(maa.items.len()).unwrap_or(u32::MAX),
        );
    }
    for (number, item) in (1..).zip(&maa.items) {
        b.group(&avp::SIP_AUTH_DATA_ITEM, |b| {
            b.u32(&avp::SIP_ITEM_NUMBER, number);
            match item {
                AuthItem::Aka(vector) => {
                    b.text(
                        &avp::SIP_AUTHENTICATION_SCHEME,
                        AuthScheme::DigestAkaV1Md5.as_str(),
                    )
                    .octets(&avp::SIP_AUTHENTICATE, &vector.authenticate())
                    .octets(&avp::SIP_AUTHORIZATION, vector.xres.expose())
                    .octets(&avp::CONFIDENTIALITY_KEY, vector.ck.expose())
                    .octets(&avp::INTEGRITY_KEY, vector.ik.expose());
                }
                AuthItem::Digest(digest) => {
                    b.text(&avp::SIP_AUTHENTICATION_SCHEME, AuthScheme::SipDigest.as_str());
                    put_digest(b, digest);
                }
                AuthItem::Unusable(_) => {}
            }
        });
    }
}

fn put_server(b: &mut MessageBuilder, name: Option<&String>, capabilities: Option<&ServerCapabilities>) {
    if let Some(name) = name {
        b.text(&avp::SERVER_NAME, name);
    }
    if let Some(capabilities) = capabilities {
        b.group(&avp::SERVER_CAPABILITIES, |b| {
            for number in &capabilities.mandatory {
                b.u32(&avp::MANDATORY_CAPABILITY, *number);
            }
            for number in &capabilities.optional {
                b.u32(&avp::OPTIONAL_CAPABILITY, *number);
            }
            for name in &capabilities.server_names {
                b.text(&avp::SERVER_NAME, name);
            }
        });
    }
}

fn put_charging(b: &mut MessageBuilder, charging: Option<&ChargingInformation>) {
    let Some(charging) = charging else { return };
    let names = [
        (
            &avp::PRIMARY_EVENT_CHARGING_FUNCTION_NAME,
            &charging.primary_event,
        ),
        (
            &avp::SECONDARY_EVENT_CHARGING_FUNCTION_NAME,
            &charging.secondary_event,
        ),
        (
            &avp::PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME,
            &charging.primary_collection,
        ),
        (
            &avp::SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME,
            &charging.secondary_collection,
        ),
    ];
    b.group(&avp::CHARGING_INFORMATION, |b| {
        for (def, name) in names {
            if let Some(name) = name {
                b.text(def, name);
            }
        }
    });
}

fn put_names(b: &mut MessageBuilder, names: &[ims_common::identity::Impi]) {
    if names.is_empty() {
        return;
    }
    b.group(&avp::ASSOCIATED_IDENTITIES, |b| {
        for name in names {
            b.text(&base::USER_NAME, name.as_str());
        }
    });
}

fn put_digest(b: &mut MessageBuilder, digest: &DigestHa1) {
    b.group(&avp::SIP_DIGEST_AUTHENTICATE, |b| {
        b.text(&base::DIGEST_REALM, &digest.realm);
        if let Some(algorithm) = &digest.algorithm {
            b.text(&base::DIGEST_ALGORITHM, algorithm);
        }
        b.text(&base::DIGEST_QOP, &digest.qop)
            .text(&base::DIGEST_HA1, digest.ha1.expose());
        if let Some(ha1) = &digest.ha1_sha256 {
            b.text(&avp::ALTERNATE_DIGEST_ALGORITHM, "SHA-256")
                .text(&avp::ALTERNATE_DIGEST_HA1, ha1.expose());
        }
    });
}
