//! Codec: the authentication vector and AUTS (TS 33.102 6.3.2, 6.3.3).

use super::Secret;

/// One authentication vector of UMTS AKA, as the HSS gives it (TS 33.102 6.3.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthVector {
    /// Random challenge.
    pub rand: [u8; 16],
    /// Network authentication token: SQN xor AK, AMF, MAC-A.
    pub autn: [u8; 16],
    /// Expected response, 4 to 16 octets.
    pub xres: Secret<Vec<u8>>,
    /// Confidentiality key.
    pub ck: Secret<[u8; 16]>,
    /// Integrity key.
    pub ik: Secret<[u8; 16]>,
}

/// Why octets are no authentication vector.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VectorError {
    /// SIP-Authenticate is RAND and AUTN, 32 octets (TS 29.229 6.3.10).
    #[error("SIP-Authenticate is not 32 octets")]
    AuthenticateLength,
    /// XRES has 4 to 16 octets (TS 33.102 6.3.7).
    #[error("SIP-Authorization is not 4 to 16 octets")]
    XresLength,
    /// CK has 16 octets (TS 29.229 6.3.27).
    #[error("Confidentiality-Key is not 16 octets")]
    CkLength,
    /// IK has 16 octets (TS 29.229 6.3.28).
    #[error("Integrity-Key is not 16 octets")]
    IkLength,
}

impl AuthVector {
    /// Makes a vector of the raw AVP contents of a SIP-Auth-Data-Item (TS 29.229 6.3.10 to 6.3.28).
    ///
    /// # Errors
    /// When an AVP has a wrong length.
    pub fn from_avps(authenticate: &[u8], xres: &[u8], ck: &[u8], ik: &[u8]) -> Result<Self, VectorError> {
        let (rand, autn) = authenticate
            .split_at_checked(16)
            .ok_or(VectorError::AuthenticateLength)?;
        if !(4..=16).contains(&xres.len()) {
            return Err(VectorError::XresLength);
        }
        Ok(Self {
            rand: rand.try_into().map_err(|_| VectorError::AuthenticateLength)?,
            autn: autn.try_into().map_err(|_| VectorError::AuthenticateLength)?,
            xres: Secret::new(xres.to_vec()),
            ck: Secret::new(ck.try_into().map_err(|_| VectorError::CkLength)?),
            ik: Secret::new(ik.try_into().map_err(|_| VectorError::IkLength)?),
        })
    }

    /// RAND and AUTN, 32 octets: the content of SIP-Authenticate (TS 29.229 6.3.10).
    #[must_use]
    pub fn authenticate(&self) -> [u8; 32] {
        let mut octets = [0; 32];
        let (rand, autn) = octets.split_at_mut(16);
        rand.copy_from_slice(&self.rand);
        autn.copy_from_slice(&self.autn);
        octets
    }
}

/// The resynchronisation token of a USIM: concealed SQN and MAC-S (TS 33.102 6.3.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Auts(pub [u8; 14]);

impl Auts {
    /// RAND of the failed challenge and AUTS, 30 octets: the content of SIP-Authorization in a MAR
    /// (TS 29.228 6.3.1).
    #[must_use]
    pub fn authorization(&self, rand: &[u8; 16]) -> [u8; 30] {
        let mut octets = [0; 30];
        let (head, tail) = octets.split_at_mut(16);
        head.copy_from_slice(rand);
        tail.copy_from_slice(&self.0);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_of_wrong_lengths_is_refused() {
        let make = |authenticate, xres, ck, ik| {
            AuthVector::from_avps(&vec![1; authenticate], &vec![2; xres], &vec![3; ck], &vec![4; ik]).err()
        };
        assert_eq!(make(32, 8, 16, 16), None);
        assert_eq!(make(32, 4, 16, 16), None);
        assert_eq!(make(32, 16, 16, 16), None);
        assert_eq!(make(31, 8, 16, 16), Some(VectorError::AuthenticateLength));
        assert_eq!(make(33, 8, 16, 16), Some(VectorError::AuthenticateLength));
        assert_eq!(make(0, 8, 16, 16), Some(VectorError::AuthenticateLength));
        assert_eq!(make(32, 3, 16, 16), Some(VectorError::XresLength));
        assert_eq!(make(32, 17, 16, 16), Some(VectorError::XresLength));
        assert_eq!(make(32, 8, 32, 16), Some(VectorError::CkLength));
        assert_eq!(make(32, 8, 16, 0), Some(VectorError::IkLength));
    }

    #[test]
    fn a_vector_does_not_print_its_keys() {
        let vector = AuthVector::from_avps(&[0x11; 32], &[0xA5; 8], &[0xC6; 16], &[0xD7; 16]).unwrap();
        let text = format!("{vector:?}");
        assert_eq!(text.matches("<redacted>").count(), 3, "{text}");
        for octet in ["165", "198", "215"] {
            assert!(!text.contains(octet), "{text}");
        }
        assert_eq!(vector.authenticate(), [0x11; 32]);
    }

    #[test]
    fn resynchronisation_sends_rand_then_auts() {
        let octets = Auts([2; 14]).authorization(&[1; 16]);
        assert_eq!((&octets[..16], &octets[16..]), (&[1; 16][..], &[2; 14][..]));
    }
}
