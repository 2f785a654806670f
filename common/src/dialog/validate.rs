//! Engine: whether a request belongs to a dialog, to its sender and to its moment (RFC 3261 12.2; TS 24.229 5.2.6.3.5,
//! 5.2.6.3.9).

use std::hash::Hash;

use crate::sip::{HeaderName, Method, NameAddr, Request, Uri};

use super::record::Dialog;
use super::{DialogKey, DialogTable, Field, Side};

/// Why a request in a dialog is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DialogFault {
    /// No dialog has this Call-ID and these tags. 481 (RFC 3261 12.2.2).
    #[error("no such dialog")]
    NoSuchDialog,
    /// The dialog is one of others than the sender. 403 (TS 24.229 5.2.6.3.5).
    #[error("the sender is no party of the dialog")]
    WrongParty,
    /// The sequence number is below that of the sender's last request. 500 (RFC 3261 12.2.2).
    #[error("the sequence number is below the last")]
    CseqTooLow,
}

impl<O: Clone + Eq + Hash> DialogTable<O> {
    /// The dialog that a request with a tag in To belongs to. `is_owner` says on whose behalf it came, or whom it is for.
    ///
    /// # Errors
    /// When it belongs to none, to others, or comes too late in it.
    pub fn validate(
        &self,
        from: Side,
        request: &Request,
        is_owner: impl Fn(&O) -> bool,
    ) -> Result<DialogKey, DialogFault> {
        let mut of_others = false;
        let mut found = None;
        for (key, dialog) in self.named_in(from, request) {
            if is_owner(&dialog.owner) {
                found = Some((key, dialog));
            } else {
                of_others = true;
            }
        }
        let (key, dialog) = match found {
            Some(found) => found,
            None if of_others => return Err(DialogFault::WrongParty),
            None => return Err(DialogFault::NoSuchDialog),
        };
        let number = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        // The same number again: a request whose transaction is over here, but not at its sender (timer F of a UE is 128 s).
        // The ACK has the number of its INVITE, after which others may have come (RFC 3261 13.2.2.4).
        let in_order = dialog.cseq(from).is_none_or(|last| number >= last);
        if in_order || request.method() == Method::Ack {
            Ok(key)
        } else {
            Err(DialogFault::CseqTooLow)
        }
    }

    fn named_in(&self, from: Side, request: &Request) -> impl Iterator<Item = (DialogKey, &Dialog<O>)> {
        let names = Names::of(from, request);
        let keys = names
            .as_ref()
            .and_then(|names| {
                let hash = self.hash_of(names.call_id, names.owner_tag, names.peer_tag);
                self.by_names.get(&hash)
            })
            .map(|keys| keys.as_slice())
            .unwrap_or_default();
        keys.iter()
            .filter_map(|key| Some((*key, self.dialogs.get(key)?)))
            .filter(move |(_, dialog)| names.as_ref().is_some_and(|names| names.are_of(dialog)))
    }

    /// Route values from this proxy to a side, nearest first; none where its remote target is the next hop.
    pub fn route_towards(&self, key: DialogKey, side: Side) -> impl Iterator<Item = String> {
        let dialog = self.dialogs.get(&key).into_iter();
        dialog.flat_map(move |dialog| {
            dialog
                .route(side)
                .map(|value| String::from_utf8_lossy(value).into_owned())
        })
    }

    /// The remote target of a side.
    #[must_use]
    pub fn target(&self, key: DialogKey, side: Side) -> Option<Uri<'_>> {
        Uri::parse(self.dialogs.get(&key)?.target(side)).ok()
    }

    /// Whether the Route of a request from `from`, without its first `own` values, is the way to the other side.
    #[must_use]
    pub fn follows_route_set(&self, key: DialogKey, from: Side, request: &Request, own: usize) -> bool {
        let Some(dialog) = self.dialogs.get(&key) else {
            return false;
        };
        let mut wanted = dialog.route(from.other());
        let mut written = request.values(HeaderName::Route).skip(own);
        loop {
            match (wanted.next(), written.next()) {
                (None, None) => return true,
                (Some(wanted), Some(written)) if is_same_hop(wanted, written) => {}
                _ => return false,
            }
        }
    }
}

/// What names a dialog in a request.
struct Names<'a> {
    call_id: &'a [u8],
    owner_tag: &'a [u8],
    peer_tag: &'a [u8],
}

impl<'a> Names<'a> {
    fn of(from: Side, request: &'a Request) -> Option<Self> {
        let sender = request.from().ok()?.tag().unwrap_or_default();
        let receiver = request.to().ok()?.tag()?;
        let (owner_tag, peer_tag) = match from {
            Side::Owner => (sender, receiver),
            Side::Peer => (receiver, sender),
        };
        let call_id = request.call_id()?;
        Some(Self {
            call_id,
            owner_tag,
            peer_tag,
        })
    }

    fn are_of<O>(&self, dialog: &Dialog<O>) -> bool {
        dialog.get(Field::CallId) == self.call_id
            && dialog.tag(Side::Owner) == self.owner_tag
            && dialog.tag(Side::Peer) == self.peer_tag
    }
}

fn is_same_hop(a: &[u8], b: &[u8]) -> bool {
    match (NameAddr::parse(a), NameAddr::parse(b)) {
        (Ok(a), Ok(b)) => a.uri.equivalent(&b.uri),
        _ => false,
    }
}
