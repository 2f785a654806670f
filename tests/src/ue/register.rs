//! Testkit: the registration procedures of a phone (TS 24.229 5.1.1).

mod digest;
mod judge;

use std::time::{Duration, Instant};

use ims_common::node::Seed;
use ims_common::proxy::ForwardId;
use ims_common::sip::Response;
use rand::Rng as _;
use rand::rngs::StdRng;

pub use self::digest::Authorization;
use self::digest::{Asked, Challenge, Proof};
use self::judge::Judgement;
use super::sas::{Said, Sas};
use super::security::Misdeed;
use super::shape::Fill;
use super::{Behaviour, Granted, UeConfig, UeEvent};
use crate::text::{SipText, param_of};
use crate::usim::Res;

/// When to refresh a registration of this many seconds (TS 24.229 5.1.1.4.1).
#[must_use]
pub const fn refresh_after(seconds: u32) -> Duration {
    let seconds = seconds as u64;
    Duration::from_secs(if seconds > 1_200 {
        seconds - 600
    } else {
        seconds / 2
    })
}

/// What a REGISTER is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Procedure {
    /// Initial registration.
    Register,
    /// Registration again.
    Refresh,
    /// De-registration of the phone's own contact.
    Deregister,
    /// De-registration of all contacts.
    DeregisterAll,
    /// Asks for the bindings.
    Query,
}

/// Challenges that a phone answers in one procedure.
const CHALLENGES_MAX: u32 = 5;

/// What is under way.
struct Pending {
    command: Procedure,
    forward: Option<ForwardId>,
    challenges: u32,
    bad_challenges: u32,
}

/// The phone's side of a registration.
pub struct Registrant {
    rng: StdRng,
    call_id: String,
    from_tag: String,
    cseq: u32,
    challenge: Option<Challenge>,
    pending: Option<Pending>,
    granted: Option<u32>,
    pub(super) service_route: Vec<String>,
    pub(super) associated: Vec<String>,
    /// Its security associations, when it can have some.
    pub(super) sas: Option<Sas>,
}

impl Registrant {
    pub(super) fn new(seed: &Seed, config: &UeConfig) -> Self {
        Self {
            sas: config.security.map(|_| Sas::new(seed)),
            rng: seed.rng(40),
            call_id: String::new(),
            from_tag: String::new(),
            cseq: 0,
            challenge: None,
            pending: None,
            granted: None,
            service_route: Vec::new(),
            associated: Vec::new(),
        }
    }

    pub(super) const fn is_registered(&self) -> bool {
        self.granted.is_some()
    }

    pub(super) const fn granted(&self) -> Option<u32> {
        self.granted
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    pub(super) fn awaits(&self, forward: ForwardId) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| pending.forward == Some(forward))
    }

    /// It forgets what it wanted, and its security associations stay.
    pub(super) fn on_no_answer_but_keep(&mut self) {
        self.pending = None;
    }

    /// A request that is no REGISTER, from its text with places.
    pub(super) fn other_request(&mut self, template: &str, config: &UeConfig) -> String {
        let mut said = match &mut self.sas {
            Some(sas) => sas.said_in_use(config),
            None => Said::default(),
        };
        said.service_route = self.service_route.join(",");
        let (call_id, from_tag) = (self.word(), self.word());
        let authorization = Authorization::default();
        let fill = Fill {
            config,
            command: Procedure::Register,
            call_id: &call_id,
            from_tag: &from_tag,
            cseq: 1,
            authorization: &authorization,
            said: &said,
        };
        fill.other(template)
    }

    pub(super) const fn sent(&mut self, forward: ForwardId) {
        if let Some(pending) = &mut self.pending {
            pending.forward = Some(forward);
        }
    }

    pub(super) fn on_no_answer(&mut self) {
        self.pending = None;
        if let Some(sas) = &mut self.sas {
            sas.on_failure();
        }
    }

    /// The first REGISTER of a command.
    pub(super) fn start(&mut self, mut command: Procedure, config: &UeConfig) -> String {
        if let Some(sas) = &mut self.sas {
            // Nothing but an initial registration is of use when the security associations are gone.
            if command == Procedure::Refresh && !sas.is_established() {
                command = Procedure::Register;
            }
            sas.begin(config, command == Procedure::Register);
        }
        if command == Procedure::Register {
            self.call_id = self.word();
            self.from_tag = self.word();
            self.cseq = 0;
            self.challenge = None;
        }
        self.pending = Some(Pending {
            command,
            forward: None,
            challenges: 0,
            bad_challenges: 0,
        });
        let proof = if self.challenge.is_some() {
            Proof::Answer
        } else {
            Proof::Nothing
        };
        self.request(command, config, &proof)
    }

    /// Takes a final answer; the REGISTER that follows it, when one does.
    pub(super) fn on_final(
        &mut self,
        now: Instant,
        response: &Response,
        config: &mut UeConfig,
        events: &mut Vec<UeEvent>,
    ) -> Option<String> {
        let pending = self.pending.take()?;
        let text = SipText::new(response.bytes())?;
        match response.status().as_u16() {
            200 => {
                let event = self.on_ok(pending.command, text, config);
                self.agree(now, &event);
                events.push(event);
                None
            }
            401 | 407 => {
                let next = self.on_challenge(now, pending, text, config, events);
                if next.is_none()
                    && let Some(sas) = &mut self.sas
                {
                    sas.on_failure();
                }
                next
            }
            423 if pending.command != Procedure::Query => self.on_brief(pending, text, config, events),
            status => {
                events.push(rejected(status, text));
                if let Some(sas) = &mut self.sas {
                    sas.on_failure();
                }
                None
            }
        }
    }

    /// TS 24.229 5.1.1.5.1, 5.1.1.6.1: what a 200 means for the security associations.
    fn agree(&mut self, now: Instant, event: &UeEvent) {
        let Some(sas) = &mut self.sas else { return };
        if *event == UeEvent::Deregistered {
            return sas.on_deregistered();
        }
        let expires = if let UeEvent::Registered(granted) = event {
            granted.expires
        } else {
            0
        };
        sas.on_ok(now, expires);
    }

    fn on_ok(&mut self, command: Procedure, text: SipText<'_>, config: &UeConfig) -> UeEvent {
        let granted = granted(text, config);
        match command {
            Procedure::Register | Procedure::Refresh => {
                self.granted = Some(granted.expires);
                self.service_route.clone_from(&granted.service_route);
                self.associated.clone_from(&granted.associated);
                UeEvent::Registered(granted)
            }
            Procedure::Deregister | Procedure::DeregisterAll => {
                self.granted = None;
                UeEvent::Deregistered
            }
            Procedure::Query => UeEvent::Bindings(granted.contacts),
        }
    }

    /// RFC 3261 10.2.8: 423 is tried again with the Min-Expires of the answer.
    fn on_brief(
        &mut self,
        pending: Pending,
        text: SipText<'_>,
        config: &mut UeConfig,
        events: &mut Vec<UeEvent>,
    ) -> Option<String> {
        events.push(rejected(423, text));
        config.expires = text.header("Min-Expires")?.parse().ok()?;
        let command = pending.command;
        self.pending = Some(pending);
        let proof = if self.challenge.is_some() {
            Proof::Answer
        } else {
            Proof::Nothing
        };
        Some(self.request(command, config, &proof))
    }

    fn on_challenge(
        &mut self,
        now: Instant,
        mut pending: Pending,
        text: SipText<'_>,
        config: &mut UeConfig,
        events: &mut Vec<UeEvent>,
    ) -> Option<String> {
        let (found, algorithm) = self.find_challenge(text, config);
        events.push(UeEvent::Challenged { algorithm });
        let (mut challenge, asked) = found?;
        if config.behaviour == Behaviour::IgnoreChallenge {
            return None;
        }
        let judgement = Judgement::of(asked, config);
        events.extend(judgement.event());
        let (proof, res) = match judgement {
            Judgement::Password(password) => {
                challenge.set_password(password.into_bytes());
                (Proof::Answer, None)
            }
            Judgement::Good(res) => {
                let mut password = res.res.expose().clone();
                if config.behaviour == Behaviour::WrongResponse {
                    password.reverse();
                }
                challenge.set_password(password);
                (Proof::Answer, Some(res))
            }
            Judgement::Foreign => (Proof::MacFailure, None),
            Judgement::OutOfRange(auts) => (Proof::Resync(auts), None),
            Judgement::CardFailed(_) => return None,
        };
        let bad = matches!(proof, Proof::MacFailure | Proof::Resync(_));
        if let Err(why) = self.protect(now, res.as_ref(), text, config) {
            events.push(UeEvent::SaFailed(why));
            return None;
        }
        pending.bad_challenges = if bad { pending.bad_challenges + 1 } else { 0 };
        self.challenge = Some(challenge);
        pending.challenges += 1;
        // TS 24.229 5.1.1.5.1: after two consecutive invalid challenges the UE stops; it answers the second one too.
        // No phone goes on for ever when good answers are not believed either.
        if pending.bad_challenges > 2 || pending.challenges > CHALLENGES_MAX {
            events.push(UeEvent::GaveUp);
            return None;
        }
        if config.behaviour == Behaviour::NewCallId {
            self.call_id = self.word();
        }
        let command = pending.command;
        self.pending = Some(pending);
        Some(self.request(command, config, &proof))
    }

    /// RFC 8760 2.4: the topmost challenge that the phone can answer. And its algorithm, or that of the topmost one of all.
    fn find_challenge(
        &mut self,
        text: SipText<'_>,
        config: &UeConfig,
    ) -> (Option<(Challenge, Asked)>, String) {
        let cnonce = self.word();
        let read = |value| Challenge::read(value, cnonce.clone());
        let mut all = text.headers("WWW-Authenticate").map(read).peekable();
        let topmost = all.peek().map(|challenge| challenge.algorithm.clone());
        let found = all.find_map(|challenge| {
            let asked = challenge.asks(&config.secret)?;
            Some((challenge, asked))
        });
        let of_found = found.as_ref().map(|(challenge, _)| challenge.algorithm.clone());
        let algorithm = of_found.or(topmost);
        (found, algorithm.unwrap_or_else(|| "none".to_owned()))
    }

    /// A good challenge makes a set of security associations, a bad one another offer (TS 24.229 5.1.1.5.1, 5.1.1.5.3).
    fn protect(
        &mut self,
        now: Instant,
        res: Option<&Res>,
        text: SipText<'_>,
        config: &UeConfig,
    ) -> Result<(), &'static str> {
        let Some(sas) = &mut self.sas else {
            return Ok(());
        };
        match res {
            Some(res) => {
                let server: Vec<_> = text.headers("Security-Server").collect();
                let server = (!server.is_empty()).then(|| server.join(","));
                sas.on_challenge(now, config, server.as_deref(), res)
            }
            None => {
                sas.begin_again(config);
                Ok(())
            }
        }
    }

    fn request(&mut self, command: Procedure, config: &UeConfig, proof: &Proof) -> String {
        self.cseq += 1;
        let authorization = match &mut self.challenge {
            Some(challenge) => challenge.authorization(&config.identity, proof),
            None => Authorization::unasked(config),
        };
        let said = self
            .sas
            .as_ref()
            .map_or_else(Said::default, |sas| sas.said(config));
        let stolen;
        let is_answer = matches!(proof, Proof::Answer) && said.address.is_some();
        let config = if is_answer && config.misdeed() == Misdeed::OtherImpi {
            stolen = config.with_impi_of_another();
            &stolen
        } else {
            config
        };
        config.shape.request(&Fill {
            config,
            command,
            call_id: &self.call_id,
            from_tag: &self.from_tag,
            cseq: self.cseq,
            authorization: &authorization,
            said: &said,
        })
    }

    fn word(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>())
    }
}

fn rejected(status: u16, text: SipText<'_>) -> UeEvent {
    let number = |name| {
        text.header(name)
            .and_then(|value| value.split([';', ' ']).next()?.parse().ok())
    };
    UeEvent::Rejected {
        status,
        retry_after: number("Retry-After"),
        min_expires: number("Min-Expires"),
    }
}

fn granted(text: SipText<'_>, config: &UeConfig) -> Granted {
    let list = |name| -> Vec<String> {
        text.headers(name)
            .flat_map(split_list)
            .map(ToOwned::to_owned)
            .collect()
    };
    let contacts = list("Contact");
    let own = config.local.to_string();
    let own_protected = config.protected_server().map(|address| address.to_string());
    let is_own = |contact: &&String| {
        contact.contains(&own) || own_protected.as_ref().is_some_and(|own| contact.contains(own))
    };
    let expires = contacts
        .iter()
        .find(is_own)
        .and_then(|contact| param_of(contact, "expires"))
        .or_else(|| text.header("Expires"))
        .and_then(|value| value.parse().ok())
        .unwrap_or(0);
    Granted {
        expires,
        contacts,
        service_route: list("Service-Route"),
        associated: list("P-Associated-URI"),
        path: list("Path"),
    }
}

/// The values of a comma-separated line; commas inside `<>` and quotes do not separate.
pub(super) fn split_list(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut angle) = (false, false);
    line.split(move |c: char| {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            _ => {}
        }
        c == ',' && !quoted && !angle
    })
    .map(str::trim)
    .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
