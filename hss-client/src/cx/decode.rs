//! Codec: Diameter messages into Cx commands (TS 29.229 6.1).
//!
//! Requests are checked against their ABNF, answers are read for what is in them: unknown AVPs are
//! skipped, what is missing is `None`, only what cannot be an answer at all is malformed.

use bytes::Bytes;
use ims_common::aka::{AuthVector, Secret, VectorError};
use ims_common::diameter::grammar::{self, VENDOR_3GPP, avp as base, result_code};
use ims_common::diameter::{Avp, AvpDef, Message, Refusal};
use ims_common::identity::{Impi, Impu};

use super::dictionary::{self, APPLICATION, avp, code};
use super::values::{
    AuthItem, AuthScheme, ChargingInformation, DeregistrationReason, DigestHa1, ReasonCode,
    ServerAssignmentType, ServerCapabilities, UserAuthorizationType,
};
use super::{
    CxAnswer, CxError, CxPush, CxPushAnswer, CxRequest, CxResult, Lia, Lir, Maa, Mar, Ppa, Ppr, Rta, Rtr,
    Saa, Sar, Uaa, Uar,
};

/// A request of either direction.
enum AnyRequest {
    Request(CxRequest),
    Push(CxPush),
}

/// Checks that a request is one of Cx and follows its ABNF, then reads it.
fn request(message: &Message) -> Result<AnyRequest, Refusal> {
    let header = message.header();
    if header.application != APPLICATION {
        return Err(Refusal::new(result_code::APPLICATION_UNSUPPORTED));
    }
    let mut commands = dictionary::REQUESTS.iter();
    let Some(command) = commands.find(|command| command.code == header.code) else {
        return Err(Refusal::new(result_code::COMMAND_UNSUPPORTED));
    };
    grammar::check(message, command.rules, avp::ALL)?;
    match header.code {
        code::USER_AUTHORIZATION => uar(message).map(CxRequest::Uar).map(AnyRequest::Request),
        code::SERVER_ASSIGNMENT => sar(message).map(CxRequest::Sar).map(AnyRequest::Request),
        code::LOCATION_INFO => lir(message).map(CxRequest::Lir).map(AnyRequest::Request),
        code::MULTIMEDIA_AUTH => mar(message).map(CxRequest::Mar).map(AnyRequest::Request),
        code::REGISTRATION_TERMINATION => rtr(message).map(CxPush::Rtr).map(AnyRequest::Push),
        code::PUSH_PROFILE => ppr(message).map(CxPush::Ppr).map(AnyRequest::Push),
        _ => Err(Refusal::new(result_code::COMMAND_UNSUPPORTED)),
    }
}

impl CxRequest {
    /// Reads a request that an HSS received.
    ///
    /// # Errors
    /// What the HSS has to answer.
    pub fn decode(message: &Message) -> Result<Self, Refusal> {
        match request(message)? {
            AnyRequest::Request(request) => Ok(request),
            AnyRequest::Push(_) => Err(Refusal::new(result_code::COMMAND_UNSUPPORTED)),
        }
    }
}

impl CxPush {
    /// Reads a request that a CSCF received.
    ///
    /// # Errors
    /// What the CSCF has to answer.
    pub fn decode(message: &Message) -> Result<Self, Refusal> {
        match request(message)? {
            AnyRequest::Push(push) => Ok(push),
            AnyRequest::Request(_) => Err(Refusal::new(result_code::COMMAND_UNSUPPORTED)),
        }
    }
}

impl CxAnswer {
    /// Reads an answer, by its command code; the application id is not looked at.
    ///
    /// # Errors
    /// When it has no result, or is the answer of no Cx request.
    pub fn decode(message: &Message) -> Result<Self, CxError> {
        let result = CxResult::of(message);
        if result == CxResult::Missing {
            return Err(CxError::Malformed("no result"));
        }
        match message.header().code {
            code::USER_AUTHORIZATION => Ok(Self::Uaa(uaa(message, result))),
            code::SERVER_ASSIGNMENT => Ok(Self::Saa(saa(message, result))),
            code::LOCATION_INFO => Ok(Self::Lia(lia(message, result))),
            code::MULTIMEDIA_AUTH => Ok(Self::Maa(maa(message, result))),
            _ => Err(CxError::Malformed("no answer of Cx")),
        }
    }
}

impl CxPushAnswer {
    /// Reads an answer that an HSS received.
    ///
    /// # Errors
    /// When it is the answer of no push.
    pub fn decode(message: &Message) -> Result<Self, CxError> {
        let result = CxResult::of(message);
        match message.header().code {
            code::REGISTRATION_TERMINATION => Ok(Self::Rta(Rta { result })),
            code::PUSH_PROFILE => Ok(Self::Ppa(Ppa { result })),
            _ => Err(CxError::Malformed("no answer of Cx")),
        }
    }
}

impl CxResult {
    /// The result of an answer. If both AVPs are there, the 3GPP one says more (TS 29.229 6.2).
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let experimental = message.find(&base::EXPERIMENTAL_RESULT).and_then(|group| {
            let vendor = group.members().find(&base::VENDOR_ID)?.u32()?;
            let code = group.members().find(&base::EXPERIMENTAL_RESULT_CODE)?.u32()?;
            (vendor == VENDOR_3GPP).then_some(Self::Experimental(code))
        });
        let base = || message.result_code().map(Self::Base);
        experimental.or_else(base).unwrap_or_default()
    }
}

/// Whether the sender requires a feature that is not among `ours` of list 1: Supported-Features with M
/// (TS 29.229 7.2.1). AliasInd and the restoration of S- and P-CSCF are not built.
pub(crate) fn requires_features(message: &Message, ours: u32) -> bool {
    let mut all = message.avps().all(&avp::SUPPORTED_FEATURES);
    all.any(|group| {
        let member = |def| group.members().find(def).and_then(|avp| avp.u32());
        let ours = if member(&avp::FEATURE_LIST_ID) == Some(1) {
            ours
        } else {
            0
        };
        let is_ours = member(&avp::FEATURE_LIST).is_some_and(|list| list & !ours == 0);
        group.flags.is_mandatory() && !is_ours
    })
}

fn uar(message: &Message) -> Result<Uar, Refusal> {
    let visited = required(message, &avp::VISITED_NETWORK_IDENTIFIER)?;
    Ok(Uar {
        user_name: impi(message)?,
        public_identity: impu(message)?,
        visited_network: String::from_utf8_lossy(visited.data).into_owned(),
        authorization_type: authorization_type(message)?.unwrap_or(UserAuthorizationType::Registration),
        emergency: message.u32(&avp::UAR_FLAGS).is_some_and(|flags| flags & 1 != 0),
    })
}

fn sar(message: &Message) -> Result<Sar, Refusal> {
    let public_identities = message
        .avps()
        .all(&avp::PUBLIC_IDENTITY)
        .map(|avp| parse_impu(&avp));
    Ok(Sar {
        user_name: message
            .find(&base::USER_NAME)
            .map(|avp| parse_impi(&avp))
            .transpose()?,
        public_identities: public_identities.collect::<Result<_, _>>()?,
        server_name: text(&required(message, &avp::SERVER_NAME)?),
        assignment_type: enumerated(
            &required(message, &avp::SERVER_ASSIGNMENT_TYPE)?,
            ServerAssignmentType::from_code,
        )?,
        user_data_already_available: message.u32(&avp::USER_DATA_ALREADY_AVAILABLE) == Some(1),
        destination_host: message.text(&base::DESTINATION_HOST).map(str::to_owned),
    })
}

fn lir(message: &Message) -> Result<Lir, Refusal> {
    Ok(Lir {
        public_identity: impu(message)?,
        originating: message.find(&avp::ORIGINATING_REQUEST).is_some(),
        authorization_type: authorization_type(message)?,
    })
}

fn mar(message: &Message) -> Result<Mar, Refusal> {
    let item = required(message, &avp::SIP_AUTH_DATA_ITEM)?;
    let scheme = item.members().find(&avp::SIP_AUTHENTICATION_SCHEME);
    let authorization = item.members().find(&avp::SIP_AUTHORIZATION);
    Ok(Mar {
        user_name: impi(message)?,
        public_identity: impu(message)?,
        scheme: scheme.map_or(AuthScheme::Unknown, |avp| AuthScheme::from_text(&text(&avp))),
        authorization: authorization.map(|avp| message.slice(avp.data)),
        server_name: text(&required(message, &avp::SERVER_NAME)?),
        destination_host: message.text(&base::DESTINATION_HOST).map(str::to_owned),
    })
}

fn rtr(message: &Message) -> Result<Rtr, Refusal> {
    let reason = required(message, &avp::DEREGISTRATION_REASON)?;
    let Some(reason_code) = reason.members().find(&avp::REASON_CODE) else {
        return Err(missing(&avp::REASON_CODE));
    };
    let public_identities = message
        .avps()
        .all(&avp::PUBLIC_IDENTITY)
        .map(|avp| parse_impu(&avp));
    Ok(Rtr {
        user_name: impi(message)?,
        public_identities: public_identities.collect::<Result<_, _>>()?,
        associated_identities: associated(message),
        reason: DeregistrationReason {
            code: enumerated(&reason_code, ReasonCode::from_code)?,
            info: reason.members().find(&avp::REASON_INFO).map(|avp| text(&avp)),
        },
    })
}

fn ppr(message: &Message) -> Result<Ppr, Refusal> {
    let item = message.find(&avp::SIP_AUTH_DATA_ITEM);
    let digest = item.and_then(|item| item.members().find(&avp::SIP_DIGEST_AUTHENTICATE));
    Ok(Ppr {
        user_name: impi(message)?,
        user_data: user_data(message),
        charging: charging(message),
        digest: digest.and_then(|digest| digest_ha1(&digest)),
    })
}

fn uaa(message: &Message, result: CxResult) -> Uaa {
    Uaa {
        result,
        server_name: server_name(message),
        capabilities: capabilities(message),
        origin_host: origin_host(message),
    }
}

fn lia(message: &Message, result: CxResult) -> Lia {
    Lia {
        result,
        server_name: server_name(message),
        capabilities: capabilities(message),
        wildcarded_public_identity: message.text(&avp::WILDCARDED_PUBLIC_IDENTITY).map(str::to_owned),
        psi_direct: message.u32(&avp::LIA_FLAGS).is_some_and(|flags| flags & 1 != 0),
        origin_host: origin_host(message),
    }
}

fn saa(message: &Message, result: CxResult) -> Saa {
    Saa {
        result,
        user_name: user_name(message),
        user_data: user_data(message),
        charging: charging(message),
        associated_identities: associated(message),
        loose_route: message.u32(&avp::LOOSE_ROUTE_INDICATION) == Some(1),
        server_name: server_name(message),
        wildcarded_public_identity: message.text(&avp::WILDCARDED_PUBLIC_IDENTITY).map(str::to_owned),
        origin_host: origin_host(message),
    }
}

fn maa(message: &Message, result: CxResult) -> Maa {
    let mut items: Vec<_> = message
        .avps()
        .all(&avp::SIP_AUTH_DATA_ITEM)
        .map(|item| {
            // TS 29.229 6.3.14: the lower number is used first; there are HSSs that count from 0.
            let number = item
                .members()
                .find(&avp::SIP_ITEM_NUMBER)
                .and_then(|avp| avp.u32());
            (number.unwrap_or(0), auth_item(&item))
        })
        .collect();
    items.sort_by_key(|(number, _)| *number);
    Maa {
        result,
        user_name: user_name(message),
        public_identity: message
            .find(&avp::PUBLIC_IDENTITY)
            .and_then(|avp| parse_impu(&avp).ok()),
        items: items.into_iter().map(|(_, item)| item).collect(),
        origin_host: origin_host(message),
    }
}

/// The scheme of the item counts, not the one that was asked for (TS 29.228 6.3.1).
fn auth_item(item: &Avp<'_>) -> AuthItem {
    let find = |def: &AvpDef| item.members().find(def);
    let scheme = find(&avp::SIP_AUTHENTICATION_SCHEME).map(|avp| AuthScheme::from_text(&text(&avp)));
    match scheme {
        Some(AuthScheme::SipDigest) => {
            match find(&avp::SIP_DIGEST_AUTHENTICATE).and_then(|avp| digest_ha1(&avp)) {
                Some(digest) => AuthItem::Digest(digest),
                None => AuthItem::Unusable("SIP Digest without SIP-Digest-Authenticate"),
            }
        }
        Some(AuthScheme::DigestAkaV1Md5 | AuthScheme::DigestAkaV2Sha256) | None => {
            let data = |def| find(def).map(|avp| avp.data).unwrap_or_default();
            let vector = AuthVector::from_avps(
                data(&avp::SIP_AUTHENTICATE),
                data(&avp::SIP_AUTHORIZATION),
                data(&avp::CONFIDENTIALITY_KEY),
                data(&avp::INTEGRITY_KEY),
            );
            match vector {
                Ok(vector) => AuthItem::Aka(vector),
                Err(error) => AuthItem::Unusable(reason(error)),
            }
        }
        Some(AuthScheme::Unknown | AuthScheme::Other(_)) => {
            AuthItem::Unusable("scheme of the HSS is not supported")
        }
    }
}

fn reason(error: VectorError) -> &'static str {
    match error {
        VectorError::AuthenticateLength => "SIP-Authenticate is not 32 octets",
        VectorError::XresLength => "SIP-Authorization is not 4 to 16 octets",
        VectorError::CkLength => "Confidentiality-Key is not 16 octets",
        VectorError::IkLength => "Integrity-Key is not 16 octets",
    }
}

fn digest_ha1(group: &Avp<'_>) -> Option<DigestHa1> {
    let find = |def: &AvpDef| group.members().find(def).map(|avp| text(&avp));
    Some(DigestHa1 {
        realm: find(&base::DIGEST_REALM)?,
        qop: find(&base::DIGEST_QOP).unwrap_or_else(|| "auth".to_owned()),
        algorithm: find(&base::DIGEST_ALGORITHM),
        ha1: Secret::new(find(&base::DIGEST_HA1)?),
        ha1_sha256: find(&avp::ALTERNATE_DIGEST_HA1).map(Secret::new),
    })
}

fn capabilities(message: &Message) -> Option<ServerCapabilities> {
    let group = message.find(&avp::SERVER_CAPABILITIES)?;
    let numbers = |def| group.members().all(def).filter_map(|avp| avp.u32()).collect();
    Some(ServerCapabilities {
        mandatory: numbers(&avp::MANDATORY_CAPABILITY),
        optional: numbers(&avp::OPTIONAL_CAPABILITY),
        server_names: group
            .members()
            .all(&avp::SERVER_NAME)
            .filter_map(|avp| with_scheme(&avp))
            .collect(),
    })
}

fn charging(message: &Message) -> Option<ChargingInformation> {
    let group = message.find(&avp::CHARGING_INFORMATION)?;
    let name = |def| group.members().find(def).map(|avp| text(&avp));
    Some(ChargingInformation {
        primary_event: name(&avp::PRIMARY_EVENT_CHARGING_FUNCTION_NAME),
        secondary_event: name(&avp::SECONDARY_EVENT_CHARGING_FUNCTION_NAME),
        primary_collection: name(&avp::PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME),
        secondary_collection: name(&avp::SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME),
    })
}

fn associated(message: &Message) -> Vec<Impi> {
    let group = message.find(&avp::ASSOCIATED_IDENTITIES);
    let names = group
        .into_iter()
        .flat_map(|group| group.members().map_while(Result::ok));
    names
        .filter(|avp| avp.is(&base::USER_NAME))
        .filter_map(|avp| Impi::parse(avp.text()?).ok())
        .collect()
}

fn server_name(message: &Message) -> Option<String> {
    with_scheme(&message.find(&avp::SERVER_NAME)?)
}

/// Server-Name is a SIP URI (TS 29.229 6.3.3). There are HSSs that send a bare host name.
fn with_scheme(avp: &Avp<'_>) -> Option<String> {
    let name = avp.text()?.trim();
    let has_scheme = ["sip:", "sips:"].iter().any(|scheme| {
        name.get(..scheme.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    });
    match (name.is_empty(), has_scheme) {
        (true, _) => None,
        (false, true) => Some(name.to_owned()),
        (false, false) => Some(format!("sip:{name}")),
    }
}

fn user_data(message: &Message) -> Option<Bytes> {
    Some(message.slice(message.find(&avp::USER_DATA)?.data))
}

fn user_name(message: &Message) -> Option<Impi> {
    Impi::parse(message.text(&base::USER_NAME)?).ok()
}

fn origin_host(message: &Message) -> String {
    message.text(&base::ORIGIN_HOST).unwrap_or_default().to_owned()
}

fn authorization_type(message: &Message) -> Result<Option<UserAuthorizationType>, Refusal> {
    let avp = message.find(&avp::USER_AUTHORIZATION_TYPE);
    avp.map(|avp| enumerated(&avp, UserAuthorizationType::from_code))
        .transpose()
}

fn impi(message: &Message) -> Result<Impi, Refusal> {
    parse_impi(&required(message, &base::USER_NAME)?)
}

fn impu(message: &Message) -> Result<Impu, Refusal> {
    parse_impu(&required(message, &avp::PUBLIC_IDENTITY)?)
}

fn parse_impi(avp: &Avp<'_>) -> Result<Impi, Refusal> {
    Impi::parse(avp.text().unwrap_or_default()).map_err(|_| invalid(avp))
}

fn parse_impu(avp: &Avp<'_>) -> Result<Impu, Refusal> {
    Impu::parse(avp.text().unwrap_or_default()).map_err(|_| invalid(avp))
}

fn enumerated<T>(avp: &Avp<'_>, from_code: impl Fn(u32) -> Option<T>) -> Result<T, Refusal> {
    avp.u32().and_then(from_code).ok_or_else(|| invalid(avp))
}

fn text(avp: &Avp<'_>) -> String {
    avp.text().unwrap_or_default().to_owned()
}

fn required<'a>(message: &'a Message, def: &AvpDef) -> Result<Avp<'a>, Refusal> {
    message.find(def).ok_or_else(|| missing(def))
}

fn missing(def: &AvpDef) -> Refusal {
    Refusal {
        code: result_code::MISSING_AVP,
        failed_avp: Some(grammar::example(def)),
    }
}

fn invalid(avp: &Avp<'_>) -> Refusal {
    Refusal::of(result_code::INVALID_AVP_VALUE, avp)
}

#[cfg(test)]
mod tests;
