//! Engine: whose services an originating request gets (TS 24.229 5.4.3.2).

use ims_common::identity::Impu;
use ims_common::sip::{HeaderName, NameAddr, Request};

use super::identity::asserted;
use crate::registrar::ImplicitRegistrationSet;
use crate::reject::RequestReject;
use crate::spelling::with_or_without_plus;

/// The identity that a P-CSCF asserts for the UE: a member of the set that the contact is bound to, not barred.
pub(super) fn of_ue(set: &ImplicitRegistrationSet, request: &Request) -> Result<Impu, RequestReject> {
    let asserted = asserted(request);
    if asserted.is_empty() {
        return Err(RequestReject::NotServed("no P-Asserted-Identity"));
    }
    let served = asserted
        .into_iter()
        .flat_map(with_or_without_plus)
        .find(|impu| set.has_member(impu))
        .ok_or(RequestReject::NotServed("identity of somebody else"))?;
    if set.is_barred(&served) {
        return Err(RequestReject::NotServed("barred identity"));
    }
    Ok(served)
}

/// The user that an application server speaks for.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) impu: Impu,
    /// The request is one that the user diverts (RFC 8498 5.2).
    pub(super) diverts: bool,
}

/// P-Served-User, else P-Asserted-Identity (TS 24.229 5.4.3.2; RFC 5502 4).
pub(super) fn of_app_server(request: &Request) -> Result<Named, RequestReject> {
    let value = [HeaderName::PServedUser, HeaderName::PAssertedIdentity]
        .into_iter()
        .find_map(|name| NameAddr::parse(request.values(name).next()?).ok())
        .ok_or(RequestReject::NotServed("no served user"))?;
    let impu = Impu::from_bytes(value.uri.as_bytes());
    Ok(Named {
        impu: impu.map_err(|_| RequestReject::Malformed("served user"))?,
        diverts: value.params.has("orig-cdiv"),
    })
}
