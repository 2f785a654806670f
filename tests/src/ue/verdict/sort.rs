//! Testkit: the sorts of a phone's failures, and the words for them.

/// The sort of a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sort {
    /// Nothing was sent: something is missing on this machine, on the card or on the command line.
    Start,
    /// The card did not answer a challenge.
    Card,
    /// There are no security associations.
    SecurityAssociations,
    /// The challenge was not made with the card's keys.
    MacFailure,
    /// The network does not follow AUTS.
    NotResynchronised,
    /// The challenge was answered, and the network is not content.
    NotBelieved,
    /// 403 before any challenge.
    Forbidden,
    /// 404.
    Unknown,
    /// 400.
    Malformed,
    /// 420: no IPsec at the P-CSCF.
    NoSecAgree,
    /// 421 or 494 to a phone without IPsec.
    SecAgreeWanted,
    /// 421 to a phone with IPsec.
    ExtensionWanted,
    /// 494 to a phone with IPsec.
    SecAgree,
    /// 408 or 504: a node behind the P-CSCF is silent.
    NetworkWaits,
    /// 480, 500 or 503.
    Unavailable,
    /// Another status.
    Refused,
    /// A challenge of another sort than a card answers.
    Challenge,
    /// Nothing came.
    Silence,
    /// Nothing came over the security associations.
    Esp,
    /// Nothing came after the answer to the challenge, in clear.
    SilenceAfterChallenge,
    /// Nothing came to a phone that was registered.
    SilenceWhenRegistered,
    /// The network refuses a phone that was registered.
    RefusedWhenRegistered,
    /// A call was refused.
    CallRefused,
    /// An INVITE had no answer.
    CallUnanswered,
    /// A call neither began nor ended.
    CallNotBegun,
    /// A MESSAGE was refused.
    MessageRefused,
    /// A MESSAGE had no answer.
    MessageUnanswered,
    /// The service centre refuses a short message.
    SmsRefused,
    /// The service centre says nothing of a short message.
    SmsUnreported,
    /// Somebody ended the program before it was done.
    Interrupted,
    /// The program itself is at fault.
    Internal,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::Start,
        Self::Card,
        Self::SecurityAssociations,
        Self::MacFailure,
        Self::NotResynchronised,
        Self::NotBelieved,
        Self::Forbidden,
        Self::Unknown,
        Self::Malformed,
        Self::NoSecAgree,
        Self::SecAgreeWanted,
        Self::ExtensionWanted,
        Self::SecAgree,
        Self::NetworkWaits,
        Self::Unavailable,
        Self::Refused,
        Self::Challenge,
        Self::Silence,
        Self::Esp,
        Self::SilenceAfterChallenge,
        Self::SilenceWhenRegistered,
        Self::RefusedWhenRegistered,
        Self::CallRefused,
        Self::CallUnanswered,
        Self::CallNotBegun,
        Self::MessageRefused,
        Self::MessageUnanswered,
        Self::SmsRefused,
        Self::SmsUnreported,
        Self::Interrupted,
        Self::Internal,
    ];

    /// Its word, which does not change.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Card => "card",
            Self::SecurityAssociations => "security_associations",
            Self::MacFailure => "mac_failure",
            Self::NotResynchronised => "not_resynchronised",
            Self::NotBelieved => "not_believed",
            Self::Forbidden => "forbidden",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::NoSecAgree => "no_sec_agree",
            Self::SecAgreeWanted => "sec_agree_wanted",
            Self::ExtensionWanted => "extension_wanted",
            Self::SecAgree => "sec_agree",
            Self::NetworkWaits => "network_waits",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Challenge => "challenge",
            Self::Silence => "silence",
            Self::Esp => "esp",
            Self::SilenceAfterChallenge => "silence_after_challenge",
            Self::SilenceWhenRegistered => "silence_when_registered",
            Self::RefusedWhenRegistered => "refused_when_registered",
            Self::CallRefused => "call_refused",
            Self::CallUnanswered => "call_unanswered",
            Self::CallNotBegun => "call_not_begun",
            Self::MessageRefused => "message_refused",
            Self::MessageUnanswered => "message_unanswered",
            Self::SmsRefused => "sms_refused",
            Self::SmsUnreported => "sms_unreported",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }
}
