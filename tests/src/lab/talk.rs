//! Shell: the call and the text of the lab.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Lab, PATIENCE};
use crate::host::Phone;
use crate::site::HOME;
use crate::sms_gateway::{SERVICE_CENTRE, SmsEvent};
use crate::ue::message::Rp;
use crate::ue::sdp::Direction;
use crate::ue::talk::{CallEvent, Text};
use crate::ue::{UeCommand, UeEvent};

/// What alice writes: octets of a text, and some that are none.
const WORDS: &[u8] = b"Hello, bob!\0\r\n\xFF";

impl Lab {
    /// Alice calls bob, who rings once there are resources; she puts him on hold, comes back and hangs up.
    pub(super) fn call(&self) -> Result<()> {
        let (alice, bob) = self.pair()?;
        self.say("alice calls bob, with preconditions and reliable provisional answers");
        alice.tell(UeCommand::call(&format!("sip:+15550002@{HOME};user=phone")));
        expect(alice, "a call that begins", is(&CallEvent::Begun))?;
        expect(bob, "a call that begins", is(&CallEvent::Begun))?;
        for (command, what, direction) in [
            (UeCommand::Hold, "puts bob on hold", Direction::SendOnly),
            (UeCommand::Resume, "comes back to bob", Direction::SendRecv),
        ] {
            self.say(&format!("alice {what}"));
            alice.tell(command);
            expect(bob, what, is(&CallEvent::Changed(direction)))?;
            expect(alice, what, is(&CallEvent::ChangeAnswered(200)))?;
        }
        self.say("alice hangs up");
        alice.tell(UeCommand::HangUp);
        for phone in [alice, bob] {
            let is_end = |event: &UeEvent| {
                matches!(
                    event,
                    UeEvent::Call {
                        what: CallEvent::Ended(_),
                        ..
                    }
                )
            };
            expect(phone, "the end of the call", is_end)?;
        }
        Ok(())
    }

    /// Alice's short message goes to the gateway, which reports to her and delivers it; bob says that he has it.
    pub(super) fn text(&self) -> Result<()> {
        let (alice, bob) = self.pair()?;
        self.say("alice texts bob through the IP-SM-GW");
        let psi = format!("sip:+{SERVICE_CENTRE}@{HOME};user=phone");
        let text = Text::sms(&psi, SERVICE_CENTRE, "15550002", 7, WORDS);
        alice.tell(UeCommand::Message(text));
        expect(
            alice,
            "the gateway's report",
            |event| matches!(event, UeEvent::MessageReceived(received) if received.rp() == Some(Rp::Ack(7))),
        )?;
        expect(bob, "the text", |event| {
            matches!(event, UeEvent::MessageReceived(received)
                if matches!(received.rp(), Some(Rp::Data(_))) && received.body.ends_with(WORDS))
        })?;
        let is_acknowledged = |events: &[SmsEvent]| {
            let is_report = |event: &SmsEvent| matches!(event, SmsEvent::Acknowledged(_));
            events.iter().any(is_report)
        };
        wait("the IP-SM-GW: no report of bob's", || {
            let asked = self
                .gateway
                .ask(move |_, gateway| is_acknowledged(gateway.events()));
            Ok(asked.context("the IP-SM-GW is gone")?.then_some(()))
        })?;
        self.say("the IP-SM-GW knows that bob has it");
        Ok(())
    }

    fn pair(&self) -> Result<(&Phone, &Phone)> {
        match self.phones.as_slice() {
            [alice, bob, ..] => {
                let _before = (alice.take_events(), bob.take_events());
                Ok((alice, bob))
            }
            _ => bail!("the lab has two phones"),
        }
    }
}

fn is(expected: &CallEvent) -> impl Fn(&UeEvent) -> bool {
    move |event| matches!(event, UeEvent::Call { what, .. } if what == expected)
}

/// Waits until a phone has seen this. What it saw before that is taken from it, what comes after is not.
fn expect(phone: &Phone, what: &str, is_it: impl Fn(&UeEvent) -> bool) -> Result<()> {
    let mut seen = Vec::new();
    let name = phone.name();
    wait(&format!("{name}: no {what}"), || {
        seen.extend(phone.take_events());
        Ok(seen.iter().any(&is_it).then_some(()))
    })
    .with_context(|| format!("{name} saw {seen:?}"))
}

fn wait(what: &str, mut look: impl FnMut() -> Result<Option<()>>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if look()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("{what}")
}
