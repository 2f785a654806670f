//! Procedure: a trial of filter criteria for the operator: nothing is sent, nothing changes.

use hss_client::user_data::{self, ServiceProfile, UserDataLimits};
use ims_common::identity::Impu;
use ims_common::ifc_test::{IfcTest, IfcTestAnswer, IfcTestError};
use ims_common::sip::Method;

use crate::ifc::{Criteria, Expressions, Subject, explain};
use crate::registrar::{Registrar, Services};
use crate::sessions::HeldProfiles;
use crate::spelling::with_or_without_plus;
use std::sync::Arc;

/// Octets of a profile that comes with a trial: compiling it takes the node's time.
const PROFILE_BYTES_MAX: usize = 64 * 1024;

/// Which application servers would be asked, in which order, and why.
pub(crate) fn answer(
    test: &IfcTest,
    registrar: &Registrar,
    held: &HeldProfiles,
) -> Result<IfcTestAnswer, IfcTestError> {
    match &test.profile {
        Some(xml) => {
            let (user, profile) = given(xml, test.user.as_deref())?;
            let sets = registrar.shared_ifc_sets();
            let criteria = Criteria::of(&profile, sets, &mut Expressions::default());
            tried(test, &user, "given", &criteria)
        }
        None => {
            let (user, source, services) = known(test.user.as_deref(), registrar, held)?;
            tried(test, &user, source, &services.criteria)
        }
    }
}

fn tried(
    test: &IfcTest,
    user: &Impu,
    source: &str,
    criteria: &Criteria,
) -> Result<IfcTestAnswer, IfcTestError> {
    let request = test.sip_request(user.as_str())?;
    let is_register = request.method() == Method::Register;
    let subject = Subject {
        request: &request,
        case: explain::session_case(test.case),
        registration: is_register.then(|| explain::registration_type(test.registration)),
    };
    Ok(IfcTestAnswer {
        user: user.as_str().to_owned(),
        source: source.to_owned(),
        case: test.case,
        registration: is_register.then_some(test.registration),
        method: request.method().as_str().to_owned(),
        uri: String::from_utf8_lossy(request.request_uri_bytes()).into_owned(),
        servers: explain::servers(criteria, &subject),
        criteria: explain::criteria(criteria, &subject),
        unknown_shared_sets: criteria.unknown_sets().to_vec(),
    })
}

/// The profile of the user in the document; of its default identity unless one is named.
fn given(xml: &str, user: Option<&str>) -> Result<(Impu, ServiceProfile), IfcTestError> {
    let limits = UserDataLimits {
        octets_max: PROFILE_BYTES_MAX,
        ..UserDataLimits::default()
    };
    let subscription = user_data::parse_within(xml.as_bytes(), &limits).map_err(|why| {
        IfcTestError::new(
            format!("the profile is not usable: {why}"),
            "give an IMSSubscription document of TS 29.228 Annex E, as the HSS sends it",
        )
    })?;
    let wanted = user.map(identity).transpose()?;
    let found = match &wanted {
        Some(impu) => subscription.find(impu),
        None => subscription.profiles.iter().find_map(|profile| {
            let named = profile.public_identities.iter().find(|i| !i.barred);
            Some((profile, named.or_else(|| profile.public_identities.first())?))
        }),
    };
    let Some((profile, named)) = found else {
        return Err(IfcTestError::new(
            "the profile does not have that user",
            "name one of its public identities, or none for its default one",
        ));
    };
    Ok((wanted.unwrap_or_else(|| named.impu.clone()), profile.clone()))
}

/// What this server has of the user.
fn known<'a>(
    user: Option<&str>,
    registrar: &'a Registrar,
    held: &'a HeldProfiles,
) -> Result<(Impu, &'static str, &'a Arc<Services>), IfcTestError> {
    let Some(user) = user else {
        return Err(IfcTestError::new(
            "neither a user nor a profile was given",
            "give a public identity that is registered here, or a profile as XML",
        ));
    };
    let impu = identity(user)?;
    let spellings: Vec<Impu> = with_or_without_plus(impu).collect();
    let registered = spellings.iter().find_map(|impu| {
        let services = registrar.set_of(impu)?.services_of(impu)?;
        Some((impu.clone(), "registered", services))
    });
    let unregistered = || {
        let of = |impu: &Impu| Some((impu.clone(), "unregistered", held.services_of(impu)?));
        spellings.iter().find_map(of)
    };
    registered.or_else(unregistered).ok_or_else(|| {
        IfcTestError::new(
            "that user is not registered here",
            "ask the S-CSCF where they are (imsctl users), or give the profile as XML",
        )
    })
}

fn identity(text: &str) -> Result<Impu, IfcTestError> {
    Impu::parse(text).map_err(|_| {
        IfcTestError::new(
            "the user is no public identity",
            "write it as sip:user@realm or tel:+15550001",
        )
    })
}

#[cfg(test)]
mod tests;
