//! Procedure: what an operator is told of users, sessions and limits.

use std::time::Instant;

use ims_common::operate::{LimitRow, List, Question, Report};

use crate::node::Pcscf;

impl Pcscf {
    /// Adds the rows of a list.
    pub(crate) fn tell_operator(&self, now: Instant, question: &Question, out: &mut Report) {
        self.core.report(now, question, out);
        match question.list {
            List::Contacts => {
                let path = |token: &str| self.settings.path_of(token);
                self.contacts.report(now, question, path, out);
            }
            List::Sessions => {
                let is_owner =
                    |token: &crate::contacts::FlowToken| self.contacts.is_asked_for(token, question);
                self.sessions.dialogs.report(now, question, is_owner, out);
            }
            List::Limits => {
                let refused = |reason| self.counters.get("ims_pcscf_rejected_total", reason);
                let contacts = LimitRow::new("pcscf.contacts", self.contacts.limit())
                    .used(self.contacts.len())
                    .refused(refused("contacts-full"));
                out.add(question, || contacts);
                let dialogs = &self.sessions.dialogs;
                let dialogs = LimitRow::new("pcscf.sessions.dialogs", dialogs.limit())
                    .used(dialogs.len())
                    .refused(refused("dialogs-full"));
                out.add(question, || dialogs);
            }
            List::Bans => self.report_bans(now, question, out),
            List::Nodes | List::Users | List::Sas | List::Peers => {}
        }
    }
}
