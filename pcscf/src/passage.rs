//! Procedure: a request other than REGISTER on its way through the P-CSCF, and its answers back across the trust
//! boundary (TS 24.229 5.2.6; RFC 3261 16.7).

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use ims_common::dialog::{DialogKey, SetupKey, Side};
use ims_common::net::Interface;
use ims_common::node::TimerTable;
use ims_common::proxy::{ForwardFailure, ForwardId, NextHop, ServerTransactionId};
use ims_common::sip::{Edit, HeaderName, Message, Method, Request, Response, StatusCode};
use tracing::info;

use crate::contacts::FlowToken;
use crate::node::Pcscf;
use crate::reject::Reject;
use crate::trust_boundary::{ResponseMarks, response_towards_home, response_towards_ue};

/// How long further 2xx of an INVITE may come: timer M, 64*T1 of the side that it left by (RFC 6026 7.2).
fn timer_m(out: Interface) -> Duration {
    match out {
        Interface::Mw => Duration::from_secs(32),
        Interface::Gm | Interface::GmProtected => Duration::from_secs(128),
    }
}

/// What a request means to the dialogs on our path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Journey {
    /// Nothing.
    Standalone,
    /// It may make some.
    Setup(SetupKey),
    /// It belongs to one.
    InDialog(DialogKey, Side),
}

/// A request ready to go.
#[derive(Clone, Debug)]
pub(crate) struct Onward {
    pub(crate) request: Request,
    pub(crate) hop: NextHop,
    pub(crate) out: Interface,
    pub(crate) journey: Journey,
    /// The contact that it comes from or goes to.
    pub(crate) contact: FlowToken,
    /// What we say in answers of the UE.
    pub(crate) marks: ResponseMarks,
}

/// Requests whose answers are awaited.
#[derive(Debug, Default)]
pub(crate) struct Passages {
    by_forward: BTreeMap<ForwardId, Passage>,
    by_transaction: HashMap<ServerTransactionId, ForwardId>,
    /// Of those that may make dialogs.
    by_contact: HashMap<FlowToken, Vec<ForwardId>>,
    timer_m: TimerTable<ForwardId>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    pub(crate) transaction: ServerTransactionId,
    /// As it came, and as it left.
    received: Request,
    sent: Request,
    /// The side that the request left by.
    pub(crate) out: Interface,
    pub(crate) journey: Journey,
    contact: FlowToken,
    marks: ResponseMarks,
    progress: Progress,
}

/// What the sender knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    /// Nothing final.
    Pending,
    /// A 2xx; others may come.
    Accepted,
    /// That we released it: what still comes is not for the sender.
    Released,
}

impl Passage {
    /// The contact that the request came from or goes to.
    pub(crate) fn contact(&self) -> &str {
        &self.contact
    }
}

impl Passages {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_forward.len()
    }

    /// When the next one is forgotten.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timer_m.next()
    }

    fn insert(&mut self, forward: ForwardId, passage: Passage) {
        self.by_transaction.insert(passage.transaction, forward);
        if let Journey::Setup(_) = passage.journey {
            self.by_contact
                .entry(passage.contact.clone())
                .or_default()
                .push(forward);
        }
        self.by_forward.insert(forward, passage);
    }

    fn remove(&mut self, forward: ForwardId) -> Option<Passage> {
        let passage = self.by_forward.remove(&forward)?;
        self.by_transaction.remove(&passage.transaction);
        if let Some(of_contact) = self.by_contact.get_mut(&passage.contact) {
            of_contact.retain(|other| *other != forward);
            if of_contact.is_empty() {
                self.by_contact.remove(&passage.contact);
            }
        }
        Some(passage)
    }

    /// Another one takes its place.
    pub(crate) fn forget(&mut self, forward: ForwardId) {
        self.timer_m.cancel(&forward);
        self.remove(forward);
    }

    /// Requests of or to a contact that may make dialogs count as released from now on; those without a final answer are
    /// given.
    pub(crate) fn release(&mut self, contact: &str) -> Vec<(ForwardId, Passage)> {
        let forwards = self.by_contact.get(contact).cloned().unwrap_or_default();
        let mut released = Vec::new();
        for forward in forwards {
            let Some(passage) = self.by_forward.get_mut(&forward) else {
                continue;
            };
            if passage.progress == Progress::Pending {
                released.push((forward, passage.clone()));
            }
            passage.progress = Progress::Released;
        }
        released
    }
}

impl Pcscf {
    /// Sends a request on; its answers come to [`Pcscf::on_passage_response`].
    pub(crate) fn pass_on(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        received: &Request,
        onward: Onward,
    ) -> ForwardId {
        let Onward {
            request,
            hop,
            out,
            journey,
            contact,
            marks,
        } = onward;
        if let Journey::InDialog(key, from) = journey {
            self.sessions.dialogs.on_request(now, key, from, &request);
        }
        if request.method() == Method::Invite {
            // TS 24.229 5.2.7.2, 5.2.7.3: every INVITE hears 100 (Trying), whoever is quick.
            let trying = received.reply(StatusCode::TRYING).finish();
            self.core.respond(now, transaction, trying);
        }
        let forward = self.core.forward(now, request.clone(), hop, out);
        let passage = Passage {
            transaction,
            received: received.clone(),
            sent: request,
            out,
            journey,
            contact,
            marks,
            progress: Progress::Pending,
        };
        self.passages.insert(forward, passage);
        forward
    }

    /// An answer, marked for the side that it goes to.
    pub(crate) fn on_passage_response(&mut self, now: Instant, forward: ForwardId, response: &Response) {
        if self.on_ecscf_response(now, forward, response) {
            return;
        }
        let Some(passage) = self.passages.by_forward.get(&forward).cloned() else {
            return;
        };
        self.emergency_callers.heard(now, response);
        self.restorations.heard(forward);
        let restored = match passage.out {
            Interface::Mw => response.clone(),
            Interface::Gm | Interface::GmProtected => self.restored(&passage, response),
        };
        self.learn(now, &passage, &restored);
        let status = response.status();
        if status.is_final() {
            if passage.sent.method() == Method::Invite && status.is_success() {
                if self.passages.timer_m.get(&forward).is_none() {
                    self.passages.timer_m.set(forward, now + timer_m(passage.out));
                }
                if let Some(passage) = self.passages.by_forward.get_mut(&forward)
                    && passage.progress == Progress::Pending
                {
                    passage.progress = Progress::Accepted;
                }
            } else {
                self.passages.remove(forward);
            }
        }
        if passage.progress == Progress::Released {
            return self.after_release(now, &passage, status);
        }
        let towards = match passage.out {
            Interface::Mw => response_towards_ue(&restored),
            Interface::Gm | Interface::GmProtected => {
                response_towards_home(&restored, &passage.marks, self.settings.early_media)
            }
        };
        self.core.respond(now, passage.transaction, towards);
    }

    fn learn(&mut self, now: Instant, passage: &Passage, response: &Response) {
        let dialogs = &mut self.sessions.dialogs;
        match passage.journey {
            Journey::Standalone => {}
            Journey::Setup(setup) => {
                dialogs.on_response(now, setup, response);
                if response.status().is_final() && passage.sent.method() != Method::Invite {
                    dialogs.end(setup);
                }
            }
            Journey::InDialog(key, from) if response.status().is_final() => {
                dialogs.on_answer(now, key, from, &passage.sent, Some(response));
            }
            Journey::InDialog(..) => {}
        }
    }

    /// TS 24.229 5.2.6.4.4: a UE that answers changes neither Via nor Record-Route; what it did to them is undone.
    fn restored(&mut self, passage: &Passage, response: &Response) -> Response {
        let mut edit = None;
        if !same_values(response, &passage.received, HeaderName::Via) {
            self.counters.count("ims_pcscf_restored_total", "via");
            edit = Some(with_values(response.edit(), HeaderName::Via, &passage.received));
        }
        let may_make_a_dialog =
            matches!(passage.journey, Journey::Setup(_)) && (101..300).contains(&response.status().as_u16());
        if may_make_a_dialog && !same_values(response, &passage.sent, HeaderName::RecordRoute) {
            // A provisional response need not repeat it everywhere in the field; a wrong one is another matter.
            if response.header(HeaderName::RecordRoute).is_some() || response.status().is_success() {
                self.counters.count("ims_pcscf_restored_total", "record-route");
            }
            let edited = edit.unwrap_or_else(|| response.edit());
            edit = Some(with_values(edited, HeaderName::RecordRoute, &passage.sent));
        }
        edit.map_or_else(|| response.clone(), |edit| edit.finish_response())
    }

    /// No answer will come.
    pub(crate) fn on_passage_failed(&mut self, now: Instant, forward: ForwardId, cause: ForwardFailure) {
        if self.on_ecscf_failed(now, forward, cause) {
            return;
        }
        let Some(passage) = self.passages.remove(forward) else {
            return;
        };
        match passage.journey {
            Journey::Standalone => {}
            Journey::Setup(setup) => self.sessions.dialogs.end(setup),
            Journey::InDialog(key, from) => {
                let dialogs = &mut self.sessions.dialogs;
                dialogs.on_answer(now, key, from, &passage.sent, None);
            }
        }
        if passage.progress == Progress::Released {
            return self.restorations.heard(forward);
        }
        if self.restore(now, passage.transaction, forward, cause) {
            return;
        }
        let reject = match (cause, passage.out) {
            (ForwardFailure::Timeout, _) => Reject::Silence,
            (ForwardFailure::Unreachable | ForwardFailure::Unresolvable, Interface::Mw) => {
                Reject::HomeUnreachable
            }
            (ForwardFailure::Unreachable | ForwardFailure::Unresolvable, _) => Reject::FlowFailed,
        };
        info!(method = %passage.sent.method(), reject = reject.label(), "request not answered");
        self.counters.count("ims_pcscf_rejected_total", reject.label());
        self.core.reject(now, passage.transaction, reject.status());
    }

    /// RFC 3261 16.10: the CANCEL follows its INVITE; the 487 comes back as an answer.
    pub(crate) fn on_cancelled(&mut self, now: Instant, transaction: ServerTransactionId) {
        if let Some(forward) = self.passages.by_transaction.get(&transaction) {
            self.emergency_routes.give_up(*forward);
            self.core.cancel(now, *forward, None);
        }
    }

    /// Forgets answered INVITEs of which no further 2xx will come.
    pub(crate) fn expire_passages(&mut self, now: Instant) {
        while let Some(forward) = self.passages.timer_m.pop_expired(now) {
            if let Some(Passage {
                journey: Journey::Setup(setup),
                ..
            }) = self.passages.remove(forward)
            {
                self.sessions.dialogs.end(setup);
            }
        }
    }
}

fn same_values(a: &Message, b: &Message, name: HeaderName) -> bool {
    a.values(name).eq(b.values(name))
}

/// With the values of another message in place of its own.
fn with_values<'a>(edit: Edit<'a>, name: HeaderName, source: &Message) -> Edit<'a> {
    let values: Vec<String> = source
        .values(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    let edit = edit.remove(name);
    values
        .iter()
        .rev()
        .fold(edit, |edit, value| edit.push_front(name, value))
}
