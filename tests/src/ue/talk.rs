//! Testkit: how a phone calls and is called, what it may be told about calls and messages, and what it sees of them.

use std::time::Duration;

use ims_common::net::Transport;

use super::dialog::Dialog;
use super::sdp::{Direction, Length};

/// A call of one phone: the first one that it made or got has number 1.
pub type CallNumber = u32;

/// How a phone calls and is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Manner {
    /// What it does when it is called.
    pub answer: Answer,
    /// RFC 3312: nobody rings before there are resources. Without: an offer, 180, and 200 with the answer.
    pub preconditions: bool,
    /// RFC 3262: provisional answers may be reliable.
    pub reliable: bool,
    /// 180 is reliable too.
    pub reliable_ringing: bool,
    /// How long resources take.
    pub reservation: Duration,
    /// RFC 4028: the seconds of Session-Expires in what it sends.
    pub session_expires: Option<u32>,
    /// SUBSCRIBEs to its registration state when it is registered (TS 24.229 5.1.1.3).
    pub subscribes: bool,
    /// How it says who it is.
    pub preferred: Preferred,
    /// What it says of where it is; empty: nothing.
    pub access: &'static str,
    /// PRACKs go by another transport than all else.
    pub prack_transport: Option<Transport>,
    /// Answers a short message with RP-ACK (TS 24.341 5.3.2.4).
    pub acknowledges_sms: bool,
}

impl Manner {
    /// A phone with VoLTE that rings for a second and is answered.
    pub const VOLTE: Self = Self {
        answer: Answer::Ring(Duration::from_secs(1)),
        preconditions: true,
        reliable: true,
        reliable_ringing: false,
        reservation: Duration::from_millis(100),
        session_expires: Some(1_800),
        subscribes: false,
        preferred: Preferred::Bracketed,
        access: "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000101",
        prack_transport: None,
        acknowledges_sms: true,
    };

    /// The same without preconditions and reliable provisional answers.
    pub const SIMPLE: Self = Self {
        preconditions: false,
        reliable: false,
        session_expires: None,
        ..Self::VOLTE
    };
}

/// What a phone does when it is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Rings so long, then somebody answers.
    Ring(Duration),
    /// Answers without having rung, and without preconditions.
    AtOnce,
    /// Refuses at once: 486, 480, 488, 603, …
    Refuse(u16),
    /// Rings so long, then refuses.
    RingThenRefuse(Duration, u16),
    /// 302 to this URI.
    Redirect(&'static str),
    /// Rings until somebody picks up ([`super::UeCommand::PickUp`]), and for ever when nobody does.
    RingForEver,
    /// Does not even say 100.
    Silent,
    /// Rings; a CANCEL meets somebody who has just answered.
    AnswerWhenCancelled,
    /// Answers after so long, and is gone: it hears nothing any more.
    AnswerAndVanish(Duration),
}

/// How a phone says who it is (RFC 3325 9.2, and what is met).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Preferred {
    /// `<sip:…>`
    #[default]
    Bracketed,
    /// `sip:…`
    Unbracketed,
    /// `<tel:…>`, also in From.
    Tel,
    /// `tel:…`
    UnbracketedTel,
    /// Not at all.
    Absent,
    /// With these words.
    Words(&'static str),
}

/// A call that a phone is told to make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The Request-URI.
    pub to: String,
    /// What it offers.
    pub offer: Offer,
    /// More lines, each with its end.
    pub lines: String,
    /// Leaves out the registration's route.
    pub unrouted: bool,
}

/// What an INVITE carries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Offer {
    /// As the phone's manner is.
    #[default]
    Usual,
    /// More than a datagram of 1,300 octets carries.
    Long,
    /// Nothing: the other offers.
    Late,
    /// Something that says it is SDP.
    Malformed,
}

impl Offer {
    pub(super) const fn length(self) -> Length {
        match self {
            Self::Long => Length::Long,
            Self::Usual | Self::Late | Self::Malformed => Length::Short,
        }
    }
}

impl Plan {
    /// A call to this URI.
    #[must_use]
    pub fn to(uri: &str) -> Self {
        Self {
            to: uri.to_owned(),
            offer: Offer::Usual,
            lines: String::new(),
            unrouted: false,
        }
    }

    /// The same with another offer.
    #[must_use]
    pub const fn offer(mut self, offer: Offer) -> Self {
        self.offer = offer;
        self
    }

    /// The same with one more header line.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines += line;
        self.lines += "\r\n";
        self
    }
}

/// A MESSAGE that a phone is told to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Text {
    /// The Request-URI.
    pub to: String,
    /// Content-Type
    pub content_type: String,
    /// The body
    pub body: Vec<u8>,
    /// More lines, each with its end.
    pub lines: String,
}

/// A request in a dialog, and what is wrong with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Twist {
    /// Nothing.
    None,
    /// CSeq of the request before.
    OldCseq,
    /// This instead of the route set.
    Routes(Vec<String>),
    /// By the other transport.
    OtherTransport,
    /// To this Request-URI.
    Target(String),
    /// In this dialog, which is one of others.
    Foreign(Box<Dialog>),
}

/// Why a call is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cause {
    /// It was answered with this.
    Refused(u16),
    /// No answer came.
    NoAnswer,
    /// Who called gave up.
    Cancelled,
    /// The phone hung up.
    HungUp,
    /// The other did, for this Reason.
    PeerHungUp(Option<String>),
    /// The session was not refreshed (RFC 4028 10), or no ACK came.
    Expired,
    /// Another phone answered.
    NotChosen,
}

/// What a phone sees of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CallEvent {
    /// It is called.
    Incoming {
        /// P-Asserted-Identity, or From when there is none.
        from: String,
        /// P-Called-Party-ID, or To when there is none.
        called: String,
    },
    /// A provisional answer other than 180.
    Progress(u16),
    /// The other rings.
    Ringing,
    /// It has begun.
    Begun,
    /// The other has changed it: what it wants to do with media.
    Changed(Direction),
    /// The answer to a re-INVITE, UPDATE or INFO of its own.
    ChangeAnswered(u16),
    /// An INFO came.
    Info,
    /// It is over.
    Ended(Cause),
}

impl CallEvent {
    /// Why it is over, when it is.
    #[must_use]
    pub fn ended(&self) -> Option<&Cause> {
        if let Self::Ended(cause) = self {
            return Some(cause);
        }
        None
    }
}
