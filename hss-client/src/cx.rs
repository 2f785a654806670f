//! Codec: the Cx commands as values (TS 29.228, TS 29.229).
//!
//! A CSCF speaks in [`CxRequest`] and [`CxAnswer`], [`CxPush`] and [`CxPushAnswer`]; no AVP leaves this crate.

mod commands;
mod decode;
mod dictionary;
mod encode;
mod result;
mod values;

pub use commands::{Lia, Lir, Maa, Mar, Ppa, Ppr, Rta, Rtr, Saa, Sar, Uaa, Uar};
pub(crate) use decode::requires_features;
pub use encode::RequestHead;
pub(crate) use encode::features_unsupported;
pub use result::CxResult;
pub use values::{
    AuthItem, AuthScheme, ChargingInformation, DeregistrationReason, DigestHa1, ReasonCode,
    ServerAssignmentType, ServerCapabilities, UserAuthorizationType,
};

/// A request of a CSCF.
#[derive(Clone, Debug)]
pub enum CxRequest {
    /// User-Authorization.
    Uar(Uar),
    /// Server-Assignment.
    Sar(Sar),
    /// Location-Info.
    Lir(Lir),
    /// Multimedia-Auth.
    Mar(Mar),
}

/// What the HSS answered to a [`CxRequest`]; always the answer of the request's command.
#[derive(Clone, Debug)]
pub enum CxAnswer {
    /// To a [`Uar`].
    Uaa(Uaa),
    /// To a [`Sar`].
    Saa(Saa),
    /// To a [`Lir`].
    Lia(Lia),
    /// To a [`Mar`].
    Maa(Maa),
}

impl CxAnswer {
    /// The result, whichever command it is.
    #[must_use]
    pub fn result(&self) -> CxResult {
        match self {
            Self::Uaa(answer) => answer.result,
            Self::Saa(answer) => answer.result,
            Self::Lia(answer) => answer.result,
            Self::Maa(answer) => answer.result,
        }
    }
}

/// A request of the HSS.
#[derive(Clone, Debug)]
pub enum CxPush {
    /// Registration-Termination.
    Rtr(Rtr),
    /// Push-Profile.
    Ppr(Ppr),
}

/// The S-CSCF's answer to a [`CxPush`].
#[derive(Clone, Debug)]
pub enum CxPushAnswer {
    /// To an [`Rtr`].
    Rta(Rta),
    /// To a [`Ppr`].
    Ppa(Ppa),
}

impl CxPushAnswer {
    /// The result, whichever command it is.
    #[must_use]
    pub const fn result(&self) -> CxResult {
        match self {
            Self::Rta(answer) => answer.result,
            Self::Ppa(answer) => answer.result,
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CxError {
    /// The HSS was silent for the request timeout.
    #[error("no answer from the HSS")]
    Timeout,
    /// No HSS is connected.
    #[error("no HSS is connected")]
    NoPeer,
    /// Too many requests are waiting for their answers.
    #[error("too many requests wait for the HSS")]
    Overloaded,
    /// The answer is none: a broken AVP, or one without which it means nothing.
    #[error("malformed answer of the HSS: {0}")]
    Malformed(&'static str),
}

/// Number of a request, chosen by the CSCF, unique among its pending ones.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CxRequestId(pub u64);

/// Number of a push, chosen by the client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CxPushId(pub u64);

/// What the HSS client tells a CSCF.
#[derive(Clone, Debug)]
pub enum CxInput {
    /// The one answer to a request.
    Answer {
        /// Of the request.
        id: CxRequestId,
        /// The answer, or why there is none.
        answer: Result<CxAnswer, CxError>,
    },
    /// A request of the HSS; wants exactly one [`CxOutput::PushAnswer`].
    Push {
        /// For the answer.
        id: CxPushId,
        /// The request.
        push: CxPush,
        /// Origin-Host of the HSS.
        origin_host: String,
    },
}

/// What a CSCF asks of the HSS client.
#[derive(Clone, Debug)]
pub enum CxOutput {
    /// Ask the HSS; gets exactly one [`CxInput::Answer`].
    Request {
        /// Comes back in the answer.
        id: CxRequestId,
        /// The request.
        request: CxRequest,
    },
    /// Answer the HSS.
    PushAnswer {
        /// Of the push.
        id: CxPushId,
        /// The answer.
        answer: CxPushAnswer,
    },
}
