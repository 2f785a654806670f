//! Testkit: phones that talk, in a scene.

use std::time::Duration;

use super::{Scene, subscriber};
use crate::hss::Subscriber;
use crate::site::{HOME, Site};
use crate::ue::message::Received;
use crate::ue::talk::{CallEvent, Cause};
use crate::ue::{UeCommand, UeConfig, UeEvent};

/// The telephone number of the subscriber with this number, as a URI.
#[must_use]
pub fn tel(number: u8) -> String {
    format!("tel:+1555{number:04}")
}

/// The SIP URI of the subscriber with this number.
#[must_use]
pub fn sip(number: u8) -> String {
    format!("sip:+1555{number:04}@{HOME}")
}

impl Scene {
    /// The default site; phones `A` and `B` of subscribers 1 and 2 are registered, and the record begins after that.
    #[must_use]
    pub fn talking(seed: u64) -> Self {
        let site = Site::on_network([192, 0, 2]);
        Self::talking_with(seed, site, vec![subscriber(1), subscriber(2)], |_, config| config)
    }

    /// A site with these subscribers; phones `A` and `B` of the first two, changed by `change`, are registered, and the
    /// record begins after that.
    #[must_use]
    pub fn talking_with(
        seed: u64,
        site: Site,
        subscribers: Vec<Subscriber>,
        change: impl Fn(&str, UeConfig) -> UeConfig,
    ) -> Self {
        let mut scene = Self::with(seed, site, subscribers);
        for (name, number) in [("A", 1), ("B", 2)] {
            scene.phone_with(name, number, |config| change(name, config));
            scene.register(name);
        }
        scene.world.forget_record();
        scene
    }

    /// Registers a phone.
    ///
    /// # Panics
    /// When it is not.
    pub fn register(&mut self, name: &str) {
        let events = self.tell(name, UeCommand::Register);
        let is_registered = events.iter().any(|event| matches!(event, UeEvent::Registered(_)));
        assert!(is_registered, "{name}: {events:?}\n{}", self.ladder());
    }

    /// One phone calls the subscriber with this number, and waits until it is through or refused: what it saw.
    pub fn call(&mut self, name: &str, number: u8) -> Vec<CallEvent> {
        self.tell_of_calls(name, UeCommand::call(&tel(number)))
    }

    /// Tells a phone something about calls: what it saw of them.
    pub fn tell_of_calls(&mut self, name: &str, command: UeCommand) -> Vec<CallEvent> {
        of_calls(self.tell(name, command))
    }

    /// A call to the subscriber with this number that is through.
    ///
    /// # Panics
    /// When it is not.
    pub fn talk(&mut self, name: &str, number: u8) {
        let events = self.call(name, number);
        assert_eq!(events.last(), Some(&CallEvent::Begun), "\n{}", self.ladder());
    }

    /// A call that rings; so many seconds later.
    pub fn ring(&mut self, name: &str, number: u8, seconds: u64) {
        self.ue(name, |now, ue| ue.command(now, UeCommand::call(&tel(number))));
        self.world.advance(Duration::from_secs(seconds));
    }

    /// What a phone saw of calls since it was switched on.
    pub fn calls_of(&mut self, name: &str) -> Vec<CallEvent> {
        of_calls(self.ue(name, |_, ue| ue.events().to_vec()))
    }

    /// How the last call of a phone ended; `None` while it lasts.
    pub fn end_of_call(&mut self, name: &str) -> Option<Cause> {
        match self.calls_of(name).pop()? {
            CallEvent::Ended(cause) => Some(cause),
            _ => None,
        }
    }

    /// The MESSAGEs that a phone got since it was switched on.
    pub fn messages_of(&mut self, name: &str) -> Vec<Received> {
        let events = self.ue(name, |_, ue| ue.events().to_vec());
        let messages = events.into_iter().filter_map(|event| match event {
            UeEvent::MessageReceived(received) => Some(received),
            _ => None,
        });
        messages.collect()
    }
}

fn of_calls(events: Vec<UeEvent>) -> Vec<CallEvent> {
    let calls = events.into_iter().filter_map(|event| match event {
        UeEvent::Call { what, .. } => Some(what),
        _ => None,
    });
    calls.collect()
}
