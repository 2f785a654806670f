//! Procedure: one REGISTER on its way to the S-CSCF (TS 24.229 5.3.1).
//!
//! Read first: TS 24.229 5.3.1.2 and 5.3.1.3, TS 29.228 6.1.1 and 6.7. The I-CSCF keeps nothing when it is over.

use std::time::{Duration, Instant};

use hss_client::cx::{CxAnswer, CxError, CxRequest, Uar, UserAuthorizationType};
use ims_common::identity::{Impi, Impu};
use ims_common::net::{Flow, Interface};
use ims_common::proxy::{ForwardFailure, ForwardId, NextHop, ServerTransactionId};
use ims_common::sip::{Contacts, Credentials, HeaderName, Request, Response, UriBuf};
use ims_common::why::{Fact, Facts, Note, NoteKind};
use tracing::{debug, info};

use crate::node::{Icscf, Query};
use crate::reject::Reject;
use crate::selection::{Assignment, candidates};

/// Everything must end before timer F of the P-CSCF, 32 s (TS 24.229 table 7.7.1).
const BUDGET: Duration = Duration::from_secs(28);

/// A REGISTER and what the HSS is asked about it.
#[derive(Debug)]
pub(crate) struct Register {
    transaction: ServerTransactionId,
    request: Request,
    uar: Uar,
    reselectable: bool,
    give_up_at: Instant,
    tried: Vec<UriBuf>,
    /// The last 3xx or 480 of an S-CSCF.
    refusal: Option<Response>,
    /// P-User-Database.
    user_database: Option<String>,
}

/// The HSS is asked.
#[derive(Debug)]
pub(crate) struct AwaitUaa(Register);

/// An S-CSCF is asked.
#[derive(Debug)]
pub(crate) struct AwaitScscf {
    register: Register,
    stage: Stage,
}

/// Where the next S-CSCF comes from.
#[derive(Debug)]
enum Stage {
    /// From the HSS, asked for capabilities.
    Assigned,
    /// From this list, of an answer that had been asked for capabilities.
    Reselecting(std::vec::IntoIter<UriBuf>),
}

impl Icscf {
    /// TS 24.229 5.3.1.2: every REGISTER asks the HSS.
    pub(crate) fn on_register(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: &Flow,
    ) {
        match self.start_register(now, transaction, request, flow) {
            Ok(register) => self.ask_uar(register),
            Err(reject) => self.refuse(now, transaction, reject),
        }
    }

    fn start_register(
        &mut self,
        now: Instant,
        transaction: ServerTransactionId,
        request: &Request,
        flow: &Flow,
    ) -> Result<Register, Reject> {
        if !self.settings.trusts(flow) {
            return Err(Reject::Untrusted);
        }
        self.note_foreign_realm(request);
        let credentials = request.authorization().map_err(|_| Reject::Malformed)?;
        let uar = self.uar(request, credentials.as_ref())?;
        Ok(Register {
            transaction,
            reselectable: uar.authorization_type == UserAuthorizationType::Registration
                && !is_integrity_protected(credentials.as_ref()),
            request: request.clone(),
            uar,
            give_up_at: now + BUDGET,
            tried: Vec::new(),
            refusal: None,
            user_database: None,
        })
    }

    /// Another realm may be one that the HSS knows too; if not, it is the likeliest cause.
    fn note_foreign_realm(&mut self, request: &Request) {
        let Ok(host) = request.request_uri().map(|uri| uri.host().to_string()) else {
            return;
        };
        let ours = &self.settings.home_realm;
        if !host.eq_ignore_ascii_case(ours) {
            self.core.note(|| {
                let facts = Facts::new()
                    .with(Fact::RequestHost, host)
                    .with(Fact::Expected, ours);
                Note::of_call(
                    NoteKind::ForeignRealm,
                    request.call_id().unwrap_or_default(),
                    facts,
                )
            });
        }
    }

    fn uar(&self, request: &Request, credentials: Option<&Credentials<'_>>) -> Result<Uar, Reject> {
        let to = request.to().map_err(|_| Reject::Malformed)?;
        let public_identity = Impu::from_bytes(to.uri.as_bytes()).map_err(|_| Reject::Malformed)?;
        let contacts = request.contacts().map_err(|_| Reject::Malformed)?;
        Ok(Uar {
            user_name: Impi::of_register(credentials, &public_identity).map_err(|_| Reject::Malformed)?,
            public_identity,
            visited_network: visited_network(request).unwrap_or_else(|| self.settings.home_realm.clone()),
            authorization_type: authorization_type(&contacts, request.expires()),
            emergency: is_emergency(&contacts),
        })
    }

    fn ask_uar(&mut self, register: Register) {
        let request = CxRequest::Uar(register.uar.clone());
        self.ask(request, Query::Uaa(AwaitUaa(register)));
    }

    /// TS 29.228 6.1.1: the answer names an S-CSCF, or what it must be able to do, or refuses.
    pub(crate) fn on_uaa(&mut self, now: Instant, waiting: AwaitUaa, answer: Result<CxAnswer, CxError>) {
        let AwaitUaa(mut register) = waiting;
        let assignment = match answer {
            Ok(CxAnswer::Uaa(uaa)) => match Reject::of_uaa(uaa.result) {
                None => {
                    register.user_database = self.settings.user_database(&uaa.origin_host);
                    Ok(Assignment {
                        server_name: uaa.server_name,
                        capabilities: uaa.capabilities,
                    })
                }
                Some(reject) => Err(reject),
            },
            Ok(CxAnswer::Saa(_) | CxAnswer::Lia(_) | CxAnswer::Maa(_)) => Err(Reject::HssUnavailable),
            Err(error) => Err(Reject::of_cx_error(error)),
        };
        let reselecting = !register.tried.is_empty();
        match assignment {
            Ok(assignment) => {
                let list = candidates(&assignment, &self.settings.scscfs, &register.tried);
                let mut list = list.into_iter();
                match list.next() {
                    Some(scscf) => {
                        let stage = if reselecting {
                            Stage::Reselecting(list)
                        } else {
                            Stage::Assigned
                        };
                        self.ask_scscf(now, scscf, AwaitScscf { register, stage });
                    }
                    None if reselecting => self.no_more_scscf(now, register),
                    None => self.refuse_register(now, &register, Reject::NoCapableScscf),
                }
            }
            // An S-CSCF was asked and its silence or its refusal is the reason, not the HSS.
            Err(Reject::HssRefused | Reject::HssUnavailable) if reselecting => {
                self.no_more_scscf(now, register)
            }
            Err(reject) => self.refuse_register(now, &register, reject),
        }
    }

    /// TS 24.229 5.3.1.2: the Request-URI becomes the name of the S-CSCF, all else stays.
    fn ask_scscf(&mut self, now: Instant, scscf: UriBuf, mut waiting: AwaitScscf) {
        let register = &mut waiting.register;
        let mut edit = register
            .request
            .edit()
            .request_uri(&scscf.to_string())
            // The way in ends here; the S-CSCF is reached by its name, not by a Route.
            .remove_all(&[HeaderName::Route, HeaderName::PUserDatabase]);
        if let Some(database) = &register.user_database {
            edit = edit.append(HeaderName::PUserDatabase, database);
        }
        let request = edit.finish_request();
        let timer = (now + self.settings.scscf_timeout).min(register.give_up_at);
        register.tried.push(scscf.clone());
        debug!(procedure = "register", impu = %register.uar.public_identity, scscf = %scscf, attempt = register.tried.len(), "register forwarded");
        self.counters.count("ims_icscf_register_total", "forwarded");
        let forward = self
            .core
            .forward(now, request, NextHop::Uri(scscf), Interface::Mw);
        self.scscf_timers.set(forward, timer);
        self.registers.insert(forward, waiting);
    }

    /// TS 24.229 5.3.1.3: silence or no way to the S-CSCF.
    pub(crate) fn on_register_failed(
        &mut self,
        now: Instant,
        forward: ForwardId,
        waiting: AwaitScscf,
        cause: ForwardFailure,
    ) {
        self.scscf_timers.cancel(&forward);
        info!(procedure = "register", ?cause, "S-CSCF does not answer");
        self.counters.count("ims_icscf_register_total", "scscf-silent");
        self.reselect(now, waiting);
    }

    /// An answer of an S-CSCF.
    pub(crate) fn on_register_response(
        &mut self,
        now: Instant,
        forward: ForwardId,
        mut waiting: AwaitScscf,
        response: Response,
    ) {
        let code = response.status().as_u16();
        if response.status().is_provisional() {
            self.core.respond(now, waiting.register.transaction, response);
            self.registers.insert(forward, waiting);
            return;
        }
        self.scscf_timers.cancel(&forward);
        let elsewhere = (300..400).contains(&code) || code == 480;
        if elsewhere && waiting.register.reselectable {
            waiting.register.refusal = Some(response);
            self.reselect(now, waiting);
            return;
        }
        // What became of it is the S-CSCF's decision, and its line in the log.
        debug!(procedure = "register", impu = %waiting.register.uar.public_identity, code, "register answered");
        self.counters.count("ims_icscf_register_total", "answered");
        self.core.respond(now, waiting.register.transaction, response);
    }

    /// TS 24.229 5.3.1.3: only a REGISTER that nobody protected may go to another S-CSCF; the HSS says which may serve.
    fn reselect(&mut self, now: Instant, waiting: AwaitScscf) {
        let AwaitScscf { mut register, stage } = waiting;
        if !register.reselectable || now >= register.give_up_at {
            self.no_more_scscf(now, register);
            return;
        }
        match stage {
            Stage::Assigned => {
                register.uar.authorization_type = UserAuthorizationType::RegistrationAndCapabilities;
                self.counters.count("ims_icscf_register_total", "reselection");
                self.ask_uar(register);
            }
            Stage::Reselecting(mut rest) => match rest.next() {
                Some(scscf) => {
                    let stage = Stage::Reselecting(rest);
                    self.ask_scscf(now, scscf, AwaitScscf { register, stage });
                }
                None => self.no_more_scscf(now, register),
            },
        }
    }

    /// TS 24.229 5.3.1.3: the last refusal is the answer; without any, 504 (Server Time-out).
    fn no_more_scscf(&mut self, now: Instant, mut register: Register) {
        match register.refusal.take() {
            Some(response) => {
                let code = response.status().as_u16();
                info!(procedure = "register", impu = %register.uar.public_identity, code, "no other S-CSCF");
                self.counters.count("ims_icscf_register_total", "answered");
                self.core.respond(now, register.transaction, response);
            }
            None => self.refuse_register(now, &register, Reject::ScscfSilent),
        }
    }

    fn refuse_register(&mut self, now: Instant, register: &Register, reject: Reject) {
        let uar = &register.uar;
        info!(procedure = "register", impu = %uar.public_identity, impi = %uar.user_name, reject = reject.label(), "register rejected");
        self.counters.count("ims_icscf_rejected_total", reject.label());
        self.core.reject(now, register.transaction, reject.status());
    }
}

/// TS 24.229 5.3.1.3: "no", and what is still pending, is not protected; absent counts as "no" (7.2A.2).
fn is_integrity_protected(credentials: Option<&Credentials<'_>>) -> bool {
    let value = credentials.and_then(Credentials::integrity_protected);
    value.is_some_and(|value| {
        let is = |text: &str| value.eq_ignore_ascii_case(text.as_bytes());
        is("yes") || is("tls-yes") || is("ip-assoc-yes") || is("auth-done")
    })
}

/// P-Visited-Network-ID, token or quoted string, without quotes and parameters (RFC 7315 4.3).
fn visited_network(request: &Request) -> Option<String> {
    let value = request.values(HeaderName::PVisitedNetworkId).next()?;
    let text = std::str::from_utf8(value).ok()?.trim();
    let name = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        None => text.split(';').next()?.trim().to_owned(),
    };
    (!name.is_empty()).then_some(name)
}

/// The text of a quoted string, its opening quote already gone.
fn unquoted(text: &str) -> String {
    let mut name = String::new();
    let mut escaped = false;
    for c in text.chars() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => break,
            _ => name.push(c),
        }
    }
    name
}

/// TS 29.228 6.1.1: de-registration when every contact is to expire now.
fn authorization_type(contacts: &Contacts<'_>, expires: Option<u32>) -> UserAuthorizationType {
    let leaves = match contacts {
        Contacts::None => false,
        // RFC 3261 10.2.2: a star goes with Expires 0 alone. Some HSSs forget the S-CSCF on being asked.
        Contacts::Star => expires == Some(0),
        Contacts::List(list) => list
            .iter()
            .all(|contact| contact.expires().or(expires) == Some(0)),
    };
    if leaves {
        UserAuthorizationType::DeRegistration
    } else {
        UserAuthorizationType::Registration
    }
}

/// TS 24.229 5.3.1.2: the `sos` URI parameter marks an emergency registration.
fn is_emergency(contacts: &Contacts<'_>) -> bool {
    match contacts {
        Contacts::None | Contacts::Star => false,
        Contacts::List(list) => list.iter().any(|contact| contact.uri.param("sos").is_some()),
    }
}
