//! Testkit: a UICC with an ISIM and a USIM as a phone uses it, by a card reader (ETSI TS 102 221, TS 31.102, TS 31.103).
//!
//! * [`apdu`], [`tlv`], [`files`]: what goes to the card and comes from it
//! * [`channel`]: commands and their answers, over any [`Transmit`](channel::Transmit)
//! * [`reader`]: a card in a reader, by the PC/SC service
//! * [`session`]: what a phone asks of a card
//! * [`contents`], [`identity`]: what is on a card, and who the phone is by it
//! * [`core`], [`findings`], [`show`]: what a card is for, what does not fit, and how its owner is told
//! * [`check`]: which of card, HSS and known keys is wrong
//! * [`virtual_card`]: a card that is none, for tests and for people without one
//! * [`vpcd`], [`pcscd`]: the same in a virtual reader of the real PC/SC service, and such a service for a test

pub mod apdu;
pub mod channel;
pub mod check;
pub mod contents;
pub mod core;
pub mod files;
pub mod findings;
pub mod identity;
pub mod pcscd;
pub mod reader;
pub mod session;
pub mod show;
pub mod tlv;
pub mod virtual_card;
pub mod vpcd;
pub mod wording;
