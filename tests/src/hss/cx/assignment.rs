//! Testkit: SAR and SAA (TS 29.228 6.1.2).

use hss_client::cx::{CxResult, Saa, Sar, ServerAssignmentType};
use ims_common::identity::Impi;

use super::{DiameterClient, Place, RegistrationState, Subscribers};

impl Subscribers {
    /// TS 29.228 6.1.2.
    pub(super) fn on_sar(&mut self, sar: &Sar, from: &DiameterClient) -> Saa {
        let refuse = |result| Saa {
            result,
            ..Saa::default()
        };
        let (impi, places) = match self.concerned(sar) {
            Ok(concerned) => concerned,
            Err(result) => return refuse(result),
        };
        let Some(&place) = places.first() else {
            return refuse(CxResult::USER_UNKNOWN);
        };
        let stored = self.subscription(place.subscriber).server_name.clone();
        let is_other = stored.as_ref().is_some_and(|name| *name != sar.server_name);
        match sar.assignment_type {
            ServerAssignmentType::NoAssignment if stored.is_none() || is_other => {
                refuse(CxResult::UNABLE_TO_COMPLY)
            }
            ServerAssignmentType::NoAssignment => self.profile_answer(sar, &impi, place),
            ServerAssignmentType::Registration
            | ServerAssignmentType::ReRegistration
            | ServerAssignmentType::UnregisteredUser => {
                if is_other && self.has_state(sar, |state| state != RegistrationState::NotRegistered) {
                    let result = CxResult::IDENTITY_ALREADY_REGISTERED;
                    return Saa {
                        result,
                        server_name: stored,
                        ..Saa::default()
                    };
                }
                self.take_over(sar, &impi, place, from)
            }
            // Only the S-CSCF that serves the user may take it down.
            _ if is_other => refuse(CxResult::UNABLE_TO_COMPLY),
            _ => self.take_down(sar.assignment_type, impi, &places),
        }
    }

    /// The types that assign the S-CSCF.
    fn take_over(&mut self, sar: &Sar, impi: &Impi, place: Place, from: &DiameterClient) -> Saa {
        if sar.assignment_type == ServerAssignmentType::UnregisteredUser {
            if self.has_state(sar, |state| state == RegistrationState::Registered) {
                return Saa {
                    result: CxResult::IN_ASSIGNMENT_TYPE,
                    ..Saa::default()
                };
            }
            self.each_state(place, |state| state.unregistered = true);
        } else {
            self.each_state(place, |state| {
                state.registered.insert(impi.clone());
                state.auth_pending.remove(impi);
                state.unregistered = false;
            });
        }
        self.assign(place.subscriber, &sar.server_name, from);
        self.profile_answer(sar, impi, place)
    }

    /// The types that end something.
    fn take_down(&mut self, assignment_type: ServerAssignmentType, impi: Impi, places: &[Place]) -> Saa {
        let keeps_name = match assignment_type {
            ServerAssignmentType::AuthenticationFailure | ServerAssignmentType::AuthenticationTimeout => {
                for place in places {
                    self.each_state(*place, |state| {
                        state.auth_pending.remove(&impi);
                    });
                    self.forget_server_when_unused(place.subscriber);
                }
                return Saa {
                    result: CxResult::SUCCESS,
                    user_name: Some(impi),
                    ..Saa::default()
                };
            }
            ServerAssignmentType::TimeoutDeregistrationStoreServerName
            | ServerAssignmentType::UserDeregistrationStoreServerName => Some(self.keeps_server_names),
            _ => None,
        };
        self.deregister(&impi, places, keeps_name == Some(true));
        let result = match keeps_name {
            Some(false) => CxResult::SERVER_NAME_NOT_STORED,
            Some(true) | None => CxResult::SUCCESS,
        };
        Saa {
            result,
            user_name: Some(impi),
            ..Saa::default()
        }
    }

    fn has_state(&self, sar: &Sar, is_wanted: impl Fn(RegistrationState) -> bool) -> bool {
        sar.public_identities
            .iter()
            .any(|impu| is_wanted(self.state(impu)))
    }

    /// Whom a SAR is about: known identities that belong together, one for the types that need one.
    fn concerned(&self, sar: &Sar) -> Result<(Impi, Vec<Place>), CxResult> {
        let wants_one = sar.assignment_type.code() <= ServerAssignmentType::UnregisteredUser.code();
        if wants_one && sar.public_identities.len() > 1 {
            // RFC 6733 7.1.5: DIAMETER_AVP_OCCURS_TOO_MANY_TIMES.
            return Err(CxResult::Base(5009));
        }
        match (&sar.user_name, sar.public_identities.first()) {
            (Some(impi), None) if !wants_one => {
                let subscriber = self.by_impi(impi).ok_or(CxResult::USER_UNKNOWN)?;
                let sets = self.subscribers[subscriber].implicit_sets.len();
                Ok((
                    impi.clone(),
                    (0..sets).map(|set| Place { subscriber, set }).collect(),
                ))
            }
            (_, None) => Err(CxResult::Base(5005)),
            (Some(impi), Some(_)) => {
                let places = sar.public_identities.iter().map(|impu| self.check(impi, impu));
                Ok((impi.clone(), places.collect::<Result<_, _>>()?))
            }
            (None, Some(impu)) => {
                let place = self.holder(impu).ok_or(CxResult::USER_UNKNOWN)?;
                Ok((self.subscribers[place.subscriber].impi.clone(), vec![place]))
            }
        }
    }

    fn deregister(&mut self, impi: &Impi, places: &[Place], keeps_name: bool) {
        for place in places {
            self.each_state(*place, |state| {
                state.registered.remove(impi);
                state.auth_pending.remove(impi);
                state.unregistered = keeps_name && state.registered.is_empty();
            });
        }
        if let Some(place) = places.first() {
            self.forget_server_when_unused(place.subscriber);
        }
    }

    fn profile_answer(&self, sar: &Sar, impi: &Impi, place: Place) -> Saa {
        let subscriber = &self.subscribers[place.subscriber];
        let members = &self.subscription(place.subscriber).members;
        let associated: Vec<Impi> = members
            .iter()
            .map(|m| self.subscribers[*m].impi.clone())
            .collect();
        Saa {
            result: CxResult::SUCCESS,
            user_name: Some(impi.clone()),
            user_data: (!sar.user_data_already_available).then(|| self.print(impi, place)),
            charging: subscriber.charging.clone(),
            associated_identities: if associated.len() > 1 {
                associated
            } else {
                Vec::new()
            },
            ..Saa::default()
        }
    }
}
