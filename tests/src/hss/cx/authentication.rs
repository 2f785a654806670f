//! Testkit: MAR and MAA (TS 29.228 6.3.1).

use hss_client::cx::{AuthItem, AuthScheme, CxResult, DigestHa1, Maa, Mar};
use ims_common::aka::{Auts, DigestHash};
use rand::Rng;

use super::{DiameterClient, Subscribers};
use crate::hss::subscribers::Authentication;

impl Subscribers {
    /// TS 29.228 6.3.1.
    pub(super) fn on_mar(&mut self, mar: &Mar, from: &DiameterClient) -> Maa {
        let refuse = |result| Maa {
            result,
            ..Maa::default()
        };
        let place = match self.check(&mar.user_name, &mar.public_identity) {
            Ok(place) => place,
            Err(result) => return refuse(result),
        };
        let item = match self.auth_item(place.subscriber, mar) {
            Ok(item) => item,
            Err(result) => return refuse(result),
        };
        // The S-CSCF that challenges becomes the one that serves; the identity is now being authenticated.
        self.assign(place.subscriber, &mar.server_name, from);
        let state = self.states.entry(mar.public_identity.clone()).or_default();
        state.auth_pending.insert(mar.user_name.clone());
        Maa {
            result: CxResult::SUCCESS,
            user_name: Some(mar.user_name.clone()),
            public_identity: Some(mar.public_identity.clone()),
            items: vec![item],
            ..Maa::default()
        }
    }

    fn auth_item(&mut self, index: usize, mar: &Mar) -> Result<AuthItem, CxResult> {
        let breaks_mac = self.breaks_mac;
        let rand: [u8; 16] = self.rng.random();
        let subscriber = &mut self.subscribers[index];
        let milenage = subscriber.milenage();
        let is_digest = matches!(subscriber.authentication, Authentication::Digest { .. });
        let fits = match mar.scheme {
            AuthScheme::DigestAkaV1Md5 | AuthScheme::DigestAkaV2Sha256 => !is_digest,
            AuthScheme::SipDigest => is_digest,
            AuthScheme::Unknown => true,
            AuthScheme::Other(_) => false,
        };
        if !fits {
            return Err(CxResult::AUTH_SCHEME_NOT_SUPPORTED);
        }
        match &mut subscriber.authentication {
            Authentication::Aka { amf, sqn, .. } => {
                if let Some(authorization) = &mar.authorization {
                    // TS 33.102 6.3.5: SQN_HE follows SQN_MS only when MAC-S is right.
                    *sqn = rand_and_auts(authorization)
                        .ok_or(CxResult::Base(5004))
                        .and_then(|(rand, auts)| {
                            milenage.open_auts(&rand, &auts).ok_or(CxResult::UNABLE_TO_COMPLY)
                        })?;
                }
                *sqn = sqn.next();
                let mut vector = milenage.vector(rand, *sqn, *amf);
                vector.autn[15] ^= u8::from(breaks_mac);
                Ok(AuthItem::Aka(vector))
            }
            Authentication::Digest { password, sha256 } => {
                let (password, sha256) = (password.clone(), *sha256);
                Ok(AuthItem::Digest(DigestHa1 {
                    realm: subscriber.home.clone(),
                    qop: "auth".into(),
                    algorithm: None,
                    ha1: subscriber.ha1(DigestHash::Md5, &password),
                    ha1_sha256: sha256.then(|| subscriber.ha1(DigestHash::Sha256, &password)),
                }))
            }
        }
    }
}

/// RAND and AUTS of a SIP-Authorization.
fn rand_and_auts(authorization: &[u8]) -> Option<([u8; 16], Auts)> {
    let (rand, auts) = authorization.split_at_checked(16)?;
    Some((rand.try_into().ok()?, Auts(auts.try_into().ok()?)))
}
