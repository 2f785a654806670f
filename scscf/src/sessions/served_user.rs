//! Engine: whose services an originating request gets (TS 24.229 5.4.3.2).

use ims_common::identity::Impu;
use ims_common::sip::Request;

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
