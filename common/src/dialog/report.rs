//! Table: dialogs as an operator sees them.

use std::borrow::Cow;
use std::hash::Hash;
use std::time::Instant;

use crate::operate::{Question, Report, SessionRow, secs_between};
use crate::sip::NameAddr;

use super::record::{Dialog, Field};
use super::{DialogState, DialogTable, Side};

impl<O: Clone + Eq + Hash> DialogTable<O> {
    /// Adds a row for each dialog that is asked for. `is_owner` says whether an owner is meant by what no message of
    /// the dialog names, as a private identity.
    pub fn report(&self, now: Instant, question: &Question, is_owner: impl Fn(&O) -> bool, out: &mut Report) {
        let keys = question.newest(self.dialogs.keys().copied(), &mut out.left_off);
        for dialog in keys.iter().filter_map(|key| self.dialogs.get(key)) {
            if is_asked_for(dialog, question, &is_owner) {
                out.add(question, || row(now, dialog));
            }
        }
    }
}

fn is_asked_for<O>(dialog: &Dialog<O>, question: &Question, is_owner: impl Fn(&O) -> bool) -> bool {
    if question.who.is_none() {
        return true;
    }
    let sides = [Side::Owner, Side::Peer].map(|side| party(dialog, side));
    let names = sides.iter().map(Cow::as_ref);
    let call_id = text(dialog.get(Field::CallId));
    question.is_about(names.chain([call_id.as_ref()])) || is_owner(&dialog.owner)
}

fn row<O>(now: Instant, dialog: &Dialog<O>) -> SessionRow {
    let icid = text(dialog.get(Field::Icid));
    SessionRow {
        node: String::new(),
        call_id: text(dialog.get(Field::CallId)).into_owned(),
        caller: party(dialog, dialog.caller).into_owned(),
        called: party(dialog, dialog.caller.other()).into_owned(),
        state: match dialog.state {
            DialogState::Early => "early",
            DialogState::Confirmed => "confirmed",
        }
        .to_owned(),
        side: match dialog.caller {
            Side::Owner => "originating",
            Side::Peer => "terminating",
        }
        .to_owned(),
        icid: (!icid.is_empty()).then(|| icid.into_owned()),
        since_secs: dialog.since.map_or(0, |since| secs_between(since, now)),
    }
}

/// The URI of a side.
fn party<O>(dialog: &Dialog<O>, side: Side) -> Cow<'_, str> {
    let address = dialog.address(side);
    match NameAddr::parse(address) {
        Ok(parsed) => Cow::Owned(text(parsed.uri.as_bytes()).into_owned()),
        Err(_) => text(address),
    }
}

fn text(octets: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(octets)
}
