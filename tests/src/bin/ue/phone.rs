//! Shell: `ue register`, `deregister`, `call`, `message`, `wait`: one phone, told what to do step by step.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ims_tests::host::Phone;
use ims_tests::ue::remote::Seen;
use ims_tests::ue::talk::{CallEvent, Plan, Text};
use ims_tests::ue::{UeCommand, UeEvent, events};
use ims_tests::watch::Watcher;

use crate::options::{CallOptions, MessageOptions, PhoneOptions, WaitOptions, config};

/// A phone that has registered.
struct Registered<'a> {
    options: &'a PhoneOptions,
    phone: Phone,
}

/// `ue register`
pub(crate) fn register(options: &PhoneOptions) -> Result<()> {
    Registered::start(options).map(drop)
}

/// `ue deregister`
pub(crate) fn deregister(options: &PhoneOptions) -> Result<()> {
    Registered::start(options)?.leave()
}

/// `ue call`
pub(crate) fn call(options: &CallOptions) -> Result<()> {
    let registered = Registered::start(&options.phone)?;
    let events = registered.tell(UeCommand::Call(Plan::to(&options.to)))?;
    let last = events.iter().rev().find_map(|event| match event {
        UeEvent::Call { what, .. } => Some(what),
        _ => None,
    });
    match last {
        Some(CallEvent::Begun) => registered.say("the call has begun"),
        other => bail!("no call: {other:?}"),
    }
    registered.wait(options.seconds);
    registered.tell(UeCommand::HangUp)?;
    registered.say("the call is over");
    registered.leave()
}

/// `ue message`
pub(crate) fn message(options: &MessageOptions) -> Result<()> {
    let registered = Registered::start(&options.phone)?;
    let text = Text::plain(&options.to, &options.text);
    let events = registered.tell(UeCommand::Message(text))?;
    let is_taken = |event: &UeEvent| matches!(event, UeEvent::Answered(200..=299));
    anyhow::ensure!(events.iter().any(is_taken), "not taken: {events:?}");
    registered.say("the text was taken");
    registered.leave()
}

/// `ue wait`
pub(crate) fn wait(options: &WaitOptions) -> Result<()> {
    let registered = Registered::start(&options.phone)?;
    registered.wait(options.seconds);
    registered.leave()
}

impl<'a> Registered<'a> {
    /// Switches the phone on and registers as often as the options say.
    fn start(options: &'a PhoneOptions) -> Result<Self> {
        let mut watcher = Watcher::new("UE", "P-CSCF", Instant::now());
        let is_json = options.json;
        let phone = Phone::start("UE", config(options)?, move |now, seen: Seen<'_>| {
            if let Some(line) = watcher.line(now, &seen)
                && !is_json
            {
                println!("{line}");
            }
        })?;
        let started = Self { options, phone };
        let granted = started.register(UeCommand::Register)?;
        started.say(&format!("registered for {granted} s"));
        for _ in 0..options.again {
            started.pause();
            started.register(UeCommand::Refresh)?;
        }
        started.pause();
        Ok(started)
    }

    fn leave(&self) -> Result<()> {
        let events = self.tell(UeCommand::Deregister)?;
        anyhow::ensure!(
            events.contains(&UeEvent::Deregistered),
            "not de-registered: {events:?}"
        );
        self.say("de-registered");
        Ok(())
    }

    /// So many seconds in which things happen to it.
    fn wait(&self, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
            self.show(&self.phone.take_events());
        }
    }

    /// The seconds that were granted.
    fn register(&self, command: UeCommand) -> Result<u32> {
        let events = self.tell(command)?;
        let granted = events.iter().rev().find_map(|event| match event {
            UeEvent::Registered(granted) => Some(granted.expires),
            _ => None,
        });
        match granted {
            Some(seconds) => Ok(seconds),
            None => bail!("not registered: {events:?}"),
        }
    }

    fn tell(&self, command: UeCommand) -> Result<Vec<UeEvent>> {
        let events = self.phone.tell_and_wait(command, Duration::from_secs(130))?;
        self.show(&events);
        Ok(events)
    }

    fn show(&self, events: &[UeEvent]) {
        for event in events.iter().filter(|_| self.options.json) {
            println!("{}", events::json(event));
        }
    }

    fn say(&self, text: &str) {
        if !self.options.json {
            println!("{text}");
        }
    }

    fn pause(&self) {
        std::thread::sleep(Duration::from_secs(self.options.pause));
    }
}
