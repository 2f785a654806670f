//! Engine: requests that the network sends in a dialog on its own (TS 24.229 5.2.8.1, 5.4.5.1).

use std::hash::Hash;

use crate::sip::{HeaderName, Method, Request};

use super::{DialogKey, DialogState, DialogTable, Side};

impl<O: Clone + Eq + Hash> DialogTable<O> {
    /// The BYE to one side in the name of the other, complete but for Via (TS 24.229 5.2.8.1.2): Request-URI is the
    /// remote target, Route the way from here, CSeq one above the last. `reason` is the value of Reason (RFC 3326). The
    /// next hop is the top Route, else the Request-URI. `None` for what is no confirmed session.
    ///
    /// The dialog stays; [`DialogTable::forget`] ends it.
    pub fn bye_towards(&mut self, key: DialogKey, side: Side, reason: &str) -> Option<Request> {
        let dialog = self.dialogs.get_mut(&key)?;
        if dialog.state != DialogState::Confirmed || !dialog.session || dialog.target(side).is_empty() {
            return None;
        }
        let cseq = dialog.cseq(side.other()).map_or(1, |last| last.saturating_add(1));
        dialog.set_cseq(side.other(), cseq);
        let dialog = self.dialogs.get(&key)?;
        let text = |bytes| String::from_utf8_lossy(bytes);
        let mut bye = Request::build(Method::Bye, &text(dialog.target(side)))
            .header(HeaderName::MaxForwards, 70)
            .header(HeaderName::From, text(dialog.address(side.other())))
            .header(HeaderName::To, text(dialog.address(side)))
            .header(HeaderName::CallId, text(dialog.get(super::Field::CallId)))
            .header(HeaderName::CSeq, format_args!("{cseq} BYE"));
        for route in dialog.route(side) {
            bye = bye.header(HeaderName::Route, text(route));
        }
        Some(bye.header(HeaderName::Reason, reason).finish_request())
    }
}
