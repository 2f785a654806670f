//! Codec: one dialog, its texts packed into one allocation: there are as many of them as calls.

use std::time::Instant;

use crate::sip::NameAddr;

use super::{DialogState, Side};

/// The texts of a dialog, in the order in which they are packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Field {
    CallId,
    /// From or To of the owner as it stands in messages, with its tag.
    OwnerAddress,
    PeerAddress,
    /// The remote target at the owner: the URI of its Contact.
    OwnerTarget,
    PeerTarget,
    /// Route values from this proxy to the owner, nearest first, parted by [`SEPARATOR`].
    OwnerRoute,
    PeerRoute,
    Icid,
}

const FIELDS: usize = 8;

/// Stands in no header value here: folds are undone when a value is kept.
const SEPARATOR: u8 = b'\n';

/// Texts, one after the other.
#[derive(Clone, Debug)]
struct Texts {
    text: Box<[u8]>,
    ends: [u32; FIELDS],
}

impl Texts {
    fn new(parts: [&[u8]; FIELDS]) -> Self {
        let text = parts.concat().into_boxed_slice();
        let mut end = 0;
        let ends = parts.map(|part| {
            end += u32::try_from(part.len()).unwrap_or(u32::MAX);
            end
        });
        Self { text, ends }
    }

    fn get(&self, field: Field) -> &[u8] {
        let place = field as usize;
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = start.map_or(0, |start| *start as usize);
        let end = self.ends.get(place).map_or(0, |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    fn all(&self) -> [&[u8]; FIELDS] {
        [
            self.get(Field::CallId),
            self.get(Field::OwnerAddress),
            self.get(Field::PeerAddress),
            self.get(Field::OwnerTarget),
            self.get(Field::PeerTarget),
            self.get(Field::OwnerRoute),
            self.get(Field::PeerRoute),
            self.get(Field::Icid),
        ]
    }
}

/// What is known of one side when a dialog is made.
#[derive(Clone, Debug, Default)]
pub(super) struct PartyTexts {
    pub(super) address: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) route: Vec<u8>,
}

/// One dialog.
#[derive(Clone, Debug)]
pub(super) struct Dialog<O> {
    pub(super) owner: O,
    pub(super) state: DialogState,
    /// Who began it.
    pub(super) caller: Side,
    /// When it became known here.
    pub(super) since: Option<Instant>,
    /// An INVITE made it and no BYE ended it.
    pub(super) session: bool,
    /// Subscriptions in it (RFC 6665, RFC 3515).
    pub(super) subscriptions: u8,
    /// It ends at a time that was agreed, not by idleness.
    pub(super) has_deadline: bool,
    owner_cseq: Option<u32>,
    peer_cseq: Option<u32>,
    texts: Texts,
}

impl<O> Dialog<O> {
    pub(super) fn new(
        owner: O,
        call_id: &[u8],
        of_owner: &PartyTexts,
        of_peer: &PartyTexts,
        icid: &str,
    ) -> Self {
        let texts = Texts::new([
            call_id,
            &of_owner.address,
            &of_peer.address,
            &of_owner.target,
            &of_peer.target,
            &of_owner.route,
            &of_peer.route,
            icid.as_bytes(),
        ]);
        Self {
            owner,
            state: DialogState::Early,
            caller: Side::Owner,
            since: None,
            session: false,
            subscriptions: 0,
            has_deadline: false,
            owner_cseq: None,
            peer_cseq: None,
            texts,
        }
    }

    pub(super) fn get(&self, field: Field) -> &[u8] {
        self.texts.get(field)
    }

    pub(super) fn set(&mut self, field: Field, value: &[u8]) {
        if self.get(field) == value {
            return;
        }
        let mut parts = self.texts.all();
        if let Some(part) = parts.get_mut(field as usize) {
            *part = value;
        }
        let texts = Texts::new(parts);
        self.texts = texts;
    }

    pub(super) fn address(&self, side: Side) -> &[u8] {
        self.get(match side {
            Side::Owner => Field::OwnerAddress,
            Side::Peer => Field::PeerAddress,
        })
    }

    /// Empty where a party of RFC 2543 has none.
    pub(super) fn tag(&self, side: Side) -> &[u8] {
        let address = NameAddr::parse(self.address(side)).ok();
        address.and_then(|address| address.tag()).unwrap_or_default()
    }

    pub(super) fn target(&self, side: Side) -> &[u8] {
        self.get(target_of(side))
    }

    pub(super) fn route(&self, side: Side) -> impl Iterator<Item = &[u8]> {
        let text = self.get(route_of(side));
        text.split(|byte| *byte == SEPARATOR)
            .filter(|value| !value.is_empty())
    }

    /// The CSeq of the last request of a side.
    pub(super) fn cseq(&self, side: Side) -> Option<u32> {
        match side {
            Side::Owner => self.owner_cseq,
            Side::Peer => self.peer_cseq,
        }
    }

    pub(super) fn set_cseq(&mut self, side: Side, number: u32) {
        let cseq = match side {
            Side::Owner => &mut self.owner_cseq,
            Side::Peer => &mut self.peer_cseq,
        };
        *cseq = Some(cseq.map_or(number, |last| last.max(number)));
    }
}

pub(super) fn target_of(side: Side) -> Field {
    match side {
        Side::Owner => Field::OwnerTarget,
        Side::Peer => Field::PeerTarget,
    }
}

pub(super) fn route_of(side: Side) -> Field {
    match side {
        Side::Owner => Field::OwnerRoute,
        Side::Peer => Field::PeerRoute,
    }
}

/// Route values as one text.
pub(super) fn joined<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    for value in values {
        if !text.is_empty() {
            text.push(SEPARATOR);
        }
        text.extend(unfolded(value));
    }
    text
}

/// A header value on one line (RFC 3261 7.3.1).
pub(super) fn unfolded(value: &[u8]) -> impl Iterator<Item = u8> {
    value.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        other => *other,
    })
}
