//! Shell: `ue register`, `deregister`, `call`, `message`, `wait`: one phone, told what to do step by step.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use ims_common::net::{Command, NetInput};
use ims_common::shell::{KernelSets, Lack, ShellConfig};
use ims_tests::host::{Phone, phone_sockets};
use ims_tests::ue::message::SMS;
use ims_tests::ue::remote::Seen;
use ims_tests::ue::talk::{Plan, Text};
use ims_tests::ue::verdict::{self, About, Errand, Prover, Verdict};
use ims_tests::ue::{UeCommand, UeConfig, UeEvent};
use ims_tests::watch::Watcher;
use serde_json::json;

use crate::identity::Identity;
use crate::letter::{self, Letter};
use crate::network::{self, Place};
use crate::number::Target;
use crate::options::{CallOptions, MessageOptions, PhoneOptions, WaitOptions};
use crate::teller::{Failed, Teller};

/// How often the phone is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long the other may ring, and a text may take: as long as a phone's transactions (64 T1 of TS 24.229 7.8).
const TALK_PATIENCE: Duration = Duration::from_secs(130);
/// How long a service centre may take to say whether it has taken a short message: TR1M of TS 24.011 10.
const REPORT_PATIENCE: Duration = Duration::from_secs(40);
/// How long the kernel may take to forget the phone.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// What a phone is told to do.
#[derive(Subcommand)]
pub(crate) enum PhoneCommand {
    /// Register and end. The network believes the phone to be there until the registration expires.
    Register(PhoneOptions),
    /// Register, then leave at once.
    Deregister(PhoneOptions),
    /// Register, call, talk, hang up, and leave.
    Call(CallOptions),
    /// Register, send a text, and leave.
    Message(MessageOptions),
    /// Register, be there for calls and texts, and leave; Ctrl-C leaves earlier.
    Wait(WaitOptions),
}

impl PhoneCommand {
    /// Does it, and tells how it went.
    ///
    /// # Errors
    /// One sentence that says what probably is wrong, with the remedy.
    pub(crate) fn run(&self) -> Result<()> {
        let options = match self {
            Self::Register(phone) | Self::Deregister(phone) => phone,
            Self::Call(options) => &options.phone,
            Self::Message(options) => &options.phone,
            Self::Wait(options) => &options.phone,
        };
        let teller = Teller::new(options.output.json, options.output.ladder);
        let letter = match self {
            Self::Message(options) => Some(Letter::new(options)).transpose(),
            Self::Register(_) | Self::Deregister(_) | Self::Call(_) | Self::Wait(_) => Ok(None),
        };
        let done = letter.and_then(|letter| {
            let start = || Handset::start(options, self.stays(), letter.as_ref(), &teller);
            with_phone(start, |handset| self.act(handset))
        });
        done.inspect_err(|error| teller.failed(error))
    }

    /// Whether it is there for longer than a registration may last, and has to refresh it.
    const fn stays(&self) -> bool {
        match self {
            Self::Call(_) | Self::Wait(_) => true,
            Self::Register(_) | Self::Deregister(_) | Self::Message(_) => false,
        }
    }

    /// What comes after the registration.
    fn act(&self, handset: &Handset<'_>) -> Result<()> {
        let done = match self {
            Self::Register(_) => return Ok(()),
            Self::Deregister(_) => Ok(()),
            Self::Call(options) => handset.call(&options.to, Duration::from_secs(options.seconds)),
            Self::Message(_) => handset.write(),
            Self::Wait(options) => {
                handset.wait(Duration::from_secs(options.seconds));
                Ok(())
            }
        };
        // A phone that could not do it is not left in the network either.
        let left = handset.leave();
        done.and(left)
    }
}

/// Switches a phone on, registers as often as the options say, does `act`, and switches it off, whatever becomes of it.
fn with_phone<'a>(
    start: impl FnOnce() -> Result<Handset<'a>>,
    act: impl FnOnce(&Handset<'a>) -> Result<()>,
) -> Result<()> {
    let handset = start()?;
    let done = handset.register_as_told().and_then(|()| act(&handset));
    let ended = handset.phone.stop(END_PATIENCE);
    // Something was sent: what has no verdict by now is a fault of ours.
    done.and(ended).map_err(|error| match error.is::<Failed>() {
        true => error,
        false => Failed(verdict::internal(&format!("{error:#}"))).into(),
    })
}

/// How long the sockets live after a Ctrl-C: longer than hanging up and leaving may take, so that it is told how they went.
fn drain_timeout(patience: u64) -> Duration {
    Duration::from_secs(patience)
        .saturating_add(TALK_PATIENCE)
        .saturating_add(END_PATIENCE)
}

/// How waiting ended.
enum Waited {
    ToTheEnd,
    Interrupted,
}

/// A phone that is switched on.
struct Handset<'a> {
    options: &'a PhoneOptions,
    teller: &'a Teller,
    about: About,
    /// What it is to write.
    text: Option<Text>,
    phone: Phone,
    is_interrupted: Arc<AtomicBool>,
}

impl<'a> Handset<'a> {
    fn start(
        options: &'a PhoneOptions,
        stays: bool,
        letter: Option<&Letter>,
        teller: &'a Teller,
    ) -> Result<Self> {
        if let Some(name) = &options.network.netns {
            let prover = match options.proof.card {
                Some(_) => Prover::Card,
                None => Prover::Keys,
            };
            network::enter(name, prover)?;
        }
        let identity = Identity::find(&options.proof, teller)?;
        let text = letter.map(|letter| letter.text(&identity)).transpose()?;
        let place = Place::find(&options.network, &identity, options.is_protected())?;
        let about = About {
            impi: identity.names.impi.clone(),
            impu: identity.names.impu.clone(),
            home: identity.names.home.clone(),
            pcscf: place.pcscf,
            transport: options.network.transport(),
            ipsec: options.is_protected(),
            prover: identity.prover,
        };
        tell_place(options, &place, teller);
        let config = UeConfig::new(identity.names, identity.secret, place.local, place.pcscf);
        let mut config = options.shaped(config);
        config.refreshes = stays;
        let mut sockets = phone_sockets(&config);
        sockets.drain_timeout = drain_timeout(options.course.patience);
        sockets.device.clone_from(&options.network.interface);
        sockets
            .sip
            .iter_mut()
            .for_each(|listener| listener.key = "--local");
        can_protect(&config, &sockets, about.prover)?;
        let is_interrupted = Arc::new(AtomicBool::new(false));
        let watch = watch(teller.clone(), Arc::clone(&is_interrupted));
        let phone = Phone::start_on("the phone", config, sockets, watch).context("the phone cannot begin")?;
        Ok(Self {
            options,
            teller,
            about,
            text,
            phone,
            is_interrupted,
        })
    }

    fn register_as_told(&self) -> Result<()> {
        self.register(UeCommand::Register, verdict::of_registration)?;
        for _ in 0..self.options.course.again {
            self.pause()?;
            self.register(UeCommand::Refresh, |events, about| {
                verdict::of_registered(events, about, Errand::Refresh)
            })?;
        }
        self.pause()
    }

    fn register(&self, command: UeCommand, why: impl FnOnce(&[UeEvent], &About) -> Verdict) -> Result<()> {
        let events = self.tell_a_register(command)?;
        let is_registered = |event: &UeEvent| matches!(event, UeEvent::Registered(_));
        ensure(events.iter().any(is_registered), || why(&events, &self.about))
    }

    fn leave(&self) -> Result<()> {
        let events = self.tell_a_register(UeCommand::Deregister)?;
        ensure(events.contains(&UeEvent::Deregistered), || {
            verdict::of_registered(&events, &self.about, Errand::Leave)
        })
    }

    fn call(&self, to: &Target, talk: Duration) -> Result<()> {
        let begun = self.dial(&to.uri(&self.about.home));
        if begun.is_ok() {
            self.wait(talk);
        }
        // What still rings is given up.
        let hung_up = self.tell(UeCommand::HangUp, TALK_PATIENCE).map(drop);
        begun.and(hung_up)
    }

    fn dial(&self, uri: &str) -> Result<()> {
        let (events, _) = self.tell(UeCommand::Call(Plan::to(uri)), TALK_PATIENCE)?;
        ensure(verdict::has_begun(&events), || verdict::of_call(&events, uri))
    }

    /// Sends what it is to write. Of a short message the service centre says whether it has taken it.
    fn write(&self) -> Result<()> {
        let text = self.text.clone().context("there is nothing to write")?;
        let (to, is_sms) = (text.to.clone(), text.content_type == SMS);
        let (events, _) = self.tell(UeCommand::Message(text), TALK_PATIENCE)?;
        let is_taken = |event: &UeEvent| matches!(event, UeEvent::Answered(200..=299));
        ensure(events.iter().any(is_taken), || verdict::of_message(&events, &to))?;
        match is_sms {
            true => self.await_report(events, &to),
            false => Ok(()),
        }
    }

    fn await_report(&self, mut events: Vec<UeEvent>, to: &str) -> Result<()> {
        let end = Instant::now() + REPORT_PATIENCE;
        loop {
            match letter::report(&events) {
                Some(true) => return Ok(()),
                Some(false) => return Err(Failed(verdict::of_report(true, to)).into()),
                None if Instant::now() >= end => return Err(Failed(verdict::of_report(false, to)).into()),
                None => {}
            }
            if self.is_interrupted.swap(false, Ordering::Relaxed) {
                return Err(interrupted());
            }
            std::thread::sleep(LOOK);
            events = self.phone.take_events();
            self.show(&events);
        }
    }

    /// So long things may happen to it; Ctrl-C ends it earlier, and is heard by that.
    fn wait(&self, duration: Duration) -> Waited {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            if self.is_interrupted.swap(false, Ordering::Relaxed) {
                return Waited::Interrupted;
            }
            std::thread::sleep(LOOK);
            self.show(&self.phone.take_events());
        }
        Waited::ToTheEnd
    }

    fn pause(&self) -> Result<()> {
        match self.wait(Duration::from_secs(self.options.course.pause)) {
            Waited::ToTheEnd => Ok(()),
            Waited::Interrupted => Err(interrupted()),
        }
    }

    /// What a REGISTER brought; a network that has said nothing for too long does not answer.
    fn tell_a_register(&self, command: UeCommand) -> Result<Vec<UeEvent>> {
        let patience = Duration::from_secs(self.options.course.patience);
        let (mut events, is_done) = self.tell(command, patience)?;
        if !is_done {
            events.push(UeEvent::NoAnswer);
            self.show(&[UeEvent::NoAnswer]);
        }
        Ok(events)
    }

    /// Tells it something, and shows what happens until it is done, or until patience ends.
    fn tell(&self, command: UeCommand, patience: Duration) -> Result<(Vec<UeEvent>, bool)> {
        self.phone.tell(command);
        let end = Instant::now() + patience;
        let mut all = Vec::new();
        loop {
            std::thread::sleep(LOOK);
            if self.is_interrupted.swap(false, Ordering::Relaxed) {
                return Err(interrupted());
            }
            let (is_done, events) = self.phone.with(|_, ue| (ue.is_idle(), ue.take_events()))?;
            self.show(&events);
            all.extend(events);
            if is_done || Instant::now() >= end {
                return Ok((all, is_done));
            }
        }
    }

    fn show(&self, events: &[UeEvent]) {
        events.iter().for_each(|event| self.teller.event(event));
    }
}

fn interrupted() -> anyhow::Error {
    Failed(verdict::interrupted()).into()
}

fn ensure(is_so: bool, verdict: impl FnOnce() -> Verdict) -> Result<()> {
    match is_so {
        true => Ok(()),
        false => Err(Failed(verdict()).into()),
    }
}

fn tell_place(options: &PhoneOptions, place: &Place, teller: &Teller) {
    let Place {
        local,
        pcscf,
        pcscf_by,
    } = place;
    let transport = if options.network.tcp { "TCP" } else { "UDP" };
    let (netns, interface) = (&options.network.netns, &options.network.interface);
    let within = [("namespace", netns), ("interface", interface)];
    let within = within
        .iter()
        .filter_map(|(what, name)| Some(format!(", {what} {}", name.as_ref()?)));
    let ipsec = options.is_protected();
    let protection = if ipsec { "with IPsec" } else { "in clear" };
    teller.fact(
        &format!(
            "network: {local} to the P-CSCF {pcscf} (by {pcscf_by}) over {transport} {protection}{}",
            within.collect::<String>()
        ),
        &json!({
            "event": "network", "local": local, "pcscf": pcscf, "pcscf_by": pcscf_by, "transport": transport,
            "ipsec": ipsec, "netns": netns, "interface": interface,
        }),
    );
}

/// Security associations are possible here, when the phone wants some. Nothing is sent before that is known.
fn can_protect(config: &UeConfig, sockets: &ShellConfig, prover: Prover) -> Result<()> {
    let Some(ports) = &sockets.protected else {
        return Ok(());
    };
    let mut ports = ports.clone();
    ports.suites = config.shape.dialect.suites.to_vec();
    let (root, clear) = (prover.as_root(), prover.in_clear());
    match KernelSets::lack(&ports) {
        None => Ok(()),
        Some(lack) if lack.is_of_rights() => bail!(
            "{}: run it as root ({root}), give the program that right (setcap cap_net_admin+ep), or register without IPsec \
             ({clear})",
            lack.found
        ),
        Some(Lack { found, remedy, .. }) => bail!("{found}: {remedy} or register without IPsec ({clear})"),
    }
}

/// Gives messages to the ladder, and hears of Ctrl-C.
fn watch(teller: Teller, is_interrupted: Arc<AtomicBool>) -> impl FnMut(Instant, Seen<'_>) + Send + 'static {
    let mut watcher = Watcher::new("UE", "P-CSCF", Instant::now());
    move |now, seen: Seen<'_>| {
        if matches!(seen, Seen::Input(NetInput::Command(Command::Drain))) {
            is_interrupted.store(true, Ordering::Relaxed);
        }
        if let Some(line) = watcher.line(now, &seen) {
            teller.rung(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_outlive_the_patience_with_leaving() {
        for patience in [0, 40, 600] {
            assert!(drain_timeout(patience) > Duration::from_secs(patience) + TALK_PATIENCE);
        }
        assert!(drain_timeout(u64::MAX) > TALK_PATIENCE);
    }
}
