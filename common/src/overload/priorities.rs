//! Engine: what a node knows besides the message of how urgent it is.

use crate::net::{Flow, Interface};
use crate::sip::Message;

use super::{Work, is_in_progress};

/// What goes before what.
#[derive(Clone, Debug, Default)]
pub struct Priorities {
    /// Besides those that are emergency numbers everywhere.
    emergency_numbers: Vec<Box<str>>,
}

impl Priorities {
    /// With these numbers besides.
    #[must_use]
    pub fn with_emergency_numbers<'a>(numbers: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            emergency_numbers: numbers.into_iter().map(Into::into).collect(),
        }
    }

    /// What a message along a flow is.
    #[must_use]
    pub fn work_of(&self, flow: &Flow, message: &Message) -> Work {
        // Over security associations there is nobody who was not challenged, as a rule nobody who is not registered: a
        // registration that ends for want of an answer costs more than one that begins later.
        let is_known =
            flow.interface == Interface::GmProtected && message.request_method() == Some(b"REGISTER");
        if is_known || is_in_progress(message, &self.emergency_numbers) {
            Work::InProgress
        } else {
            Work::New
        }
    }

    /// What a message is, wherever it came from.
    pub(crate) fn of_message(&self, message: &Message) -> Work {
        match is_in_progress(message, &self.emergency_numbers) {
            true => Work::InProgress,
            false => Work::New,
        }
    }
}
