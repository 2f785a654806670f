//! Codec: SIP messages (RFC 3261 7, 20, 25).
//!
//! A [`Message`] is one [`bytes::Bytes`] and an index of its header lines, made in one pass without
//! allocation. Values stay bytes; typed views ([`Via`], [`NameAddr`], [`Credentials`] …) borrow from the
//! message and are parsed when asked for. A proxy changes a message with an [`Edit`]: every line that is
//! not edited leaves byte for byte as it came, and so does the body.
//!
//! What a stranger sends is judged in three places, each with its own error:
//!
//! | place | judges | error |
//! | --- | --- | --- |
//! | [`Framer`] | where a message ends on a stream | [`FramingError`]: close |
//! | [`Message::parse`] | start line, header lines, limits, lengths | [`ParseError`]: 400, 414, 505, 513 |
//! | [`Request::validate`] | mandatory headers, single headers, values a proxy reads | [`BadRequest`]: 400 |

mod build;
mod cseq;
pub(crate) mod digest;
mod edit;
mod error;
mod framing;
mod message;
mod method;
mod name;
mod name_addr;
mod params;
mod refusal;
mod reply;
mod request;
mod scan;
pub mod sdp;
mod sec_agree;
mod status;
mod text;
mod uri;
mod via;

pub use build::Builder;
pub use cseq::CSeq;
pub use digest::{Challenge, Credentials};
pub use edit::Edit;
pub use error::{BadRequest, FramingError, HeaderError, ParseError, UriError};
pub use framing::{Frame, Framer};
pub use message::{Contacts, Message};
pub use method::Method;
pub use name::HeaderName;
pub use name_addr::NameAddr;
pub use params::Params;
pub use refusal::refuse;
pub use reply::Reply;
pub use request::{Request, Response, SipMessage};
pub use sec_agree::SecurityMechanism;
pub use status::StatusCode;
pub use uri::{Host, Scheme, Uri, UriBuf};
pub use via::Via;
