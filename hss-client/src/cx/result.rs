//! Codec: results of Cx answers (TS 29.229 6.2; RFC 6733 7.1).

/// How a request ended: a number and the AVP that carried it.
///
/// The same number means different things in Result-Code and in Experimental-Result-Code (2001, 2002,
/// 5001, 5002, 5003, 5012), so a bare number is no result.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CxResult {
    /// Result-Code (268).
    Base(u32),
    /// Experimental-Result-Code (298) of vendor 10415.
    Experimental(u32),
    /// Neither AVP is there, or the vendor is another.
    #[default]
    Missing,
}

impl CxResult {
    /// Base 2001.
    pub const SUCCESS: Self = Self::Base(2001);
    /// Base 2002, in RTA: part of it was refused.
    pub const LIMITED_SUCCESS: Self = Self::Base(2002);
    /// Base 3002.
    pub const UNABLE_TO_DELIVER: Self = Self::Base(3002);
    /// Base 3004.
    pub const TOO_BUSY: Self = Self::Base(3004);
    /// Base 3006.
    pub const REDIRECT_INDICATION: Self = Self::Base(3006);
    /// Base 5003.
    pub const AUTHORIZATION_REJECTED: Self = Self::Base(5003);
    /// Base 5012.
    pub const UNABLE_TO_COMPLY: Self = Self::Base(5012);
    /// TS 29.229 6.2.1.1.
    pub const FIRST_REGISTRATION: Self = Self::Experimental(2001);
    /// TS 29.229 6.2.1.2.
    pub const SUBSEQUENT_REGISTRATION: Self = Self::Experimental(2002);
    /// TS 29.229 6.2.1.3.
    pub const UNREGISTERED_SERVICE: Self = Self::Experimental(2003);
    /// TS 29.229 6.2.1.4.
    pub const SERVER_NAME_NOT_STORED: Self = Self::Experimental(2004);
    /// TS 29.229 6.2.2.1.
    pub const USER_UNKNOWN: Self = Self::Experimental(5001);
    /// TS 29.229 6.2.2.2.
    pub const IDENTITIES_DONT_MATCH: Self = Self::Experimental(5002);
    /// TS 29.229 6.2.2.3.
    pub const IDENTITY_NOT_REGISTERED: Self = Self::Experimental(5003);
    /// TS 29.229 6.2.2.4.
    pub const ROAMING_NOT_ALLOWED: Self = Self::Experimental(5004);
    /// TS 29.229 6.2.2.5.
    pub const IDENTITY_ALREADY_REGISTERED: Self = Self::Experimental(5005);
    /// TS 29.229 6.2.2.6.
    pub const AUTH_SCHEME_NOT_SUPPORTED: Self = Self::Experimental(5006);
    /// TS 29.229 6.2.2.7.
    pub const IN_ASSIGNMENT_TYPE: Self = Self::Experimental(5007);
    /// TS 29.229 6.2.2.8.
    pub const TOO_MUCH_DATA: Self = Self::Experimental(5008);
    /// TS 29.229 6.2.2.9.
    pub const NOT_SUPPORTED_USER_DATA: Self = Self::Experimental(5009);
    /// TS 29.229 6.2.2.11.
    pub const FEATURE_UNSUPPORTED: Self = Self::Experimental(5011);

    /// Whether the number is of the success class, 2xxx.
    #[must_use]
    pub fn is_success(self) -> bool {
        match self {
            Self::Base(code) | Self::Experimental(code) => (2000..3000).contains(&code),
            Self::Missing => false,
        }
    }

    /// Whether another HSS peer, or the same one later, may answer better: base 3xxx and 4xxx.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Base(3000..5000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_number_in_the_other_avp_is_another_result() {
        assert_ne!(CxResult::SUCCESS, CxResult::FIRST_REGISTRATION);
        assert_ne!(
            CxResult::AUTHORIZATION_REJECTED,
            CxResult::IDENTITY_NOT_REGISTERED
        );
    }

    #[test]
    fn success_class_is_2xxx_of_either_avp_and_a_missing_result_is_none() {
        assert!(CxResult::SUCCESS.is_success());
        assert!(CxResult::SUBSEQUENT_REGISTRATION.is_success());
        assert!(!CxResult::USER_UNKNOWN.is_success());
        assert!(!CxResult::TOO_BUSY.is_success());
        assert!(!CxResult::Missing.is_success());
    }

    #[test]
    fn protocol_and_transient_failures_are_told_from_permanent_ones() {
        assert!(CxResult::TOO_BUSY.is_transient());
        assert!(CxResult::Base(4001).is_transient());
        assert!(!CxResult::UNABLE_TO_COMPLY.is_transient());
        assert!(!CxResult::Experimental(4001).is_transient());
    }
}
