//! Shell: what `make lab` shows: three real daemons with an embedded HSS, and two phones that come, stay and go.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ims_common::net::Transport;

use crate::daemons::{Daemons, binaries};
use crate::host::{self, Phone};
use crate::scene::{hss, imsi, phone_config, subscriber};
use crate::site::Site;
use crate::ue::remote::Seen;
use crate::ue::{UeCommand, UeConfig, UeEvent, shape};
use crate::watch::Watcher;

/// How long a step may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the phones ask for when they stay: the shortest that the S-CSCF grants.
const SHORT_EXPIRES: u32 = 60;

/// Runs the lab on the addresses of `network` (its first three numbers): one round, or until Ctrl-C.
///
/// # Errors
/// With one sentence about the first step that did not hold, and the ends of the daemons' logs.
pub fn run(network: [u8; 3], once: bool) -> Result<()> {
    let printer = Printer::start();
    let result = Lab::start(&printer, network, once).and_then(|mut lab| {
        let held = lab.round(once);
        let stopped = lab.daemons.stop();
        held.and(stopped).map_err(|error| {
            let tails = lab.daemons.tails(15);
            error.context(format!("the ends of the daemons' logs:\n{tails}"))
        })
    });
    if result.is_ok() {
        printer.say("every step held; the daemons ended with exit code 0");
    }
    printer.end();
    result.map_err(|error| {
        // The logs first, so that the reason is the last line on the screen.
        eprintln!("{error}");
        anyhow::anyhow!("{}", error.root_cause())
    })
}

struct Lab {
    daemons: Daemons,
    phones: Vec<Phone>,
    lines: Sender<String>,
}

impl Lab {
    fn start(printer: &Printer, network: [u8; 3], once: bool) -> Result<Self> {
        let site = Site::on_network(network);
        let began = printer.began;
        printer.say(&format!(
            "HSS at {}: alice, bob, and {} for a phone of yours",
            site.hss,
            imsi(3)
        ));
        let subscribers = vec![subscriber(1), subscriber(2), subscriber(3)];
        let hss = hss(subscribers, ims_common::shell::seed()?);
        let (hss, _) = host::host(hss, host::hss_sockets(site.hss), printer.watcher("HSS", "?"))
            .context("the embedded HSS cannot listen")?;
        let daemons = Daemons::start(&site, &binaries()?)?;
        host::wait_for_peers(&hss, 1 + site.scscfs.len())?;
        for (name, address) in [
            ("P-CSCF", site.gm),
            ("I-CSCF", site.icscf),
            ("S-CSCF", site.scscf()),
        ] {
            printer.say(&format!("{name} serves at {address}"));
        }
        let mut phones = Vec::new();
        for (name, number, transport, shape) in [
            ("alice", 1, Transport::Udp, shape::SAMSUNG),
            ("bob", 2, Transport::Tcp, shape::QUALCOMM),
        ] {
            let mut config: UeConfig = phone_config(&site, number, number)
                .shape(shape)
                .transport(transport);
            if !once {
                config.refreshes = true;
                config.expires = SHORT_EXPIRES;
            }
            let phone = Phone::start(name, config, printer.watcher(name, "P-CSCF"))
                .with_context(|| format!("the phone of {name} cannot be switched on"))?;
            phones.push(phone);
        }
        printer.say(&format!(
            "two phones are on after {} ms",
            began.elapsed().as_millis()
        ));
        Ok(Self {
            daemons,
            phones,
            lines: printer.lines.clone(),
        })
    }

    fn round(&mut self, once: bool) -> Result<()> {
        self.step("registers", UeCommand::Register)?;
        if once {
            self.step("registers again", UeCommand::Refresh)?;
        } else {
            self.say("the phones refresh by themselves; Ctrl-C ends");
            wait_for_interrupt()?;
        }
        self.step("leaves", UeCommand::Deregister)
    }

    /// Lets both phones do something, one after the other.
    fn step(&self, what: &str, command: UeCommand) -> Result<()> {
        for phone in &self.phones {
            self.say(&format!("{} {what}", phone.name()));
            let _before = phone.take_events();
            let events = phone
                .tell_and_wait(command, PATIENCE)
                .with_context(|| format!("{} {what}: no end", phone.name()))?;
            ensure!(
                holds(command, &events),
                "{} {what}: it saw {events:?}",
                phone.name()
            );
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        let _ = self.lines.send(format!("-- {text}"));
    }
}

/// Whether a phone got what it wanted.
fn holds(command: UeCommand, events: &[UeEvent]) -> bool {
    let refused = |event: &UeEvent| {
        matches!(
            event,
            UeEvent::Rejected { .. } | UeEvent::NoAnswer | UeEvent::GaveUp
        )
    };
    let done = |event: &UeEvent| match (command, event) {
        (UeCommand::Register | UeCommand::Refresh, UeEvent::Registered(granted)) => {
            granted.expires > 0 && !granted.service_route.is_empty() && !granted.associated.is_empty()
        }
        (UeCommand::Deregister | UeCommand::DeregisterAll, UeEvent::Deregistered) => true,
        _ => false,
    };
    events.iter().any(done) && !events.iter().any(refused)
}

fn wait_for_interrupt() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    Ok(())
}

/// The one thread that writes to the terminal.
struct Printer {
    lines: Sender<String>,
    thread: JoinHandle<()>,
    began: Instant,
}

/// Ends the printer's thread.
const END: &str = "\0";

impl Printer {
    fn start() -> Self {
        let (lines, queue) = channel::<String>();
        let thread = std::thread::spawn(move || {
            let mut out = std::io::stdout();
            let colour = out.is_terminal();
            while let Ok(line) = queue.recv() {
                if line == END || writeln!(out, "{}", painted(&line, colour)).is_err() {
                    break;
                }
                let _ = out.flush();
            }
        });
        Self {
            lines,
            thread,
            began: Instant::now(),
        }
    }

    fn say(&self, text: &str) {
        let _ = self.lines.send(format!("-- {text}"));
    }

    fn watcher(&self, own: &str, peer: &str) -> impl FnMut(Instant, Seen<'_>) + Send + 'static {
        let lines = self.lines.clone();
        let mut watcher = Watcher::new(own, peer, self.began);
        move |now, seen| {
            if let Some(line) = watcher.line(now, &seen) {
                let _ = lines.send(line);
            }
        }
    }

    fn end(self) {
        let _ = self.lines.send(END.to_owned());
        let _ = self.thread.join();
    }
}

/// A line in the colour of its kind, on a terminal.
fn painted(line: &str, colour: bool) -> String {
    if !colour {
        return line.to_owned();
    }
    let code = if line.starts_with("--") {
        "1"
    } else if line.contains("HSS") {
        "34"
    } else if line.contains(" 200 ") {
        "32"
    } else if line.contains(" 401 ") {
        "33"
    } else {
        "0"
    };
    format!("\x1b[{code}m{line}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ue::Granted;

    #[test]
    fn a_step_holds_only_with_the_whole_grant_and_without_a_refusal() {
        let granted = Granted {
            expires: 60,
            service_route: vec!["<sip:s>".to_owned()],
            associated: vec!["<sip:a>".to_owned()],
            ..Granted::default()
        };
        let refused = UeEvent::Rejected {
            status: 403,
            retry_after: None,
            min_expires: None,
        };
        let full = UeEvent::Registered(granted);
        assert!(holds(UeCommand::Register, std::slice::from_ref(&full)));
        assert!(!holds(UeCommand::Register, &[refused, full]));
        assert!(!holds(
            UeCommand::Register,
            &[UeEvent::Registered(Granted::default())]
        ));
        assert!(!holds(UeCommand::Deregister, &[]));
    }

    #[test]
    fn colour_is_for_terminals_only() {
        assert_eq!(painted("-- hello", false), "-- hello");
        assert!(painted("-- hello", true).starts_with("\x1b[1m"));
    }
}
