//! Shell: what `make lab` shows: three real daemons with an embedded HSS and an IP-SM-GW, and two phones that come, call,
//! text, stay and go.
#![allow(clippy::disallowed_methods, reason = "shell")]

mod talk;

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ims_common::net::Transport;
use ims_common::operate::Report;

use crate::cable::Cable;
use crate::daemons::{Daemons, binaries, http_get};
use crate::host::{self, Phone};
use crate::hss::Subscriber;
use crate::scene::{hss, imsi, phone_config, subscriber};
use crate::site::Site;
use crate::sms_gateway::{self, SmsGateway};
use crate::ue::remote::{Handle, Seen};
use crate::ue::security::UeSecurity;
use crate::ue::{UeCommand, UeConfig, UeEvent, shape};
use crate::watch::Watcher;

/// How long a step may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the phones ask for when they stay: the shortest that the S-CSCF grants.
const SHORT_EXPIRES: u32 = 60;

/// Where the lab is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// In clear, on loopback addresses with these first three numbers.
    Loopback([u8; 3]),
    /// With Gm protected by IPsec: the network in one namespace, the phones in another.
    Namespaces,
}

/// Runs the lab: one round, or until Ctrl-C.
///
/// # Errors
/// With one sentence about the first step that did not hold, and the ends of the daemons' logs.
pub fn run(place: Place, once: bool) -> Result<()> {
    let printer = Printer::start();
    let result = Lab::start(&printer, place, once).and_then(|mut lab| {
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
    /// A phone of which the HSS does not know.
    stranger: Phone,
    gateway: Handle<SmsGateway>,
    /// Where the P-CSCF answers an operator.
    admin: SocketAddr,
    lines: Sender<String>,
    /// With IPsec.
    cable: Option<Cable>,
}

/// The number of a phone of which the HSS does not know.
const STRANGER: u8 = 4;

/// Where the nodes answer an operator: each at its own address.
fn admin(site: &Site) -> [SocketAddr; 3] {
    [site.pcscf, site.icscf, site.scscf()].map(|node| SocketAddr::new(node.ip(), 9_091))
}

/// The core on loopback addresses, Gm where the cable is.
fn protected_site() -> Site {
    Site {
        gm: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5_060),
        ues: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
        ..Site::on_network([127, 0, 0]).with_ipsec()
    }
}

impl Lab {
    fn start(printer: &Printer, place: Place, once: bool) -> Result<Self> {
        let mut site = match place {
            Place::Loopback(network) => Site::on_network(network),
            Place::Namespaces => protected_site(),
        };
        site.admin = Some(admin(&site));
        let phones = [1, 2, STRANGER].map(|number| site.ue(number).ip());
        let cable = match place {
            Place::Loopback(_) => None,
            Place::Namespaces => Some(Cable::lay(site.gm.ip(), &phones)?),
        };
        let began = printer.began;
        printer.say(&format!(
            "HSS at {}: alice, bob, and {} for a phone of yours",
            site.hss,
            imsi(3)
        ));
        let network = || network(&site, printer);
        let (daemons, gateway) = match &cable {
            Some(cable) => cable.network.inside(network)?,
            None => network()?,
        };
        for (name, address) in [
            ("P-CSCF", site.gm),
            ("I-CSCF", site.icscf),
            ("S-CSCF", site.scscf()),
            ("IP-SM-GW", site.app_server(1)),
        ] {
            printer.say(&format!("{name} serves at {address}"));
        }
        let switch_on = |(name, number, transport, shape)| {
            let mut config: UeConfig = phone_config(&site, number, number)
                .shape(shape)
                .transport(transport);
            config.security = cable.is_some().then(UeSecurity::default);
            if !once {
                config.refreshes = true;
                config.expires = SHORT_EXPIRES;
            }
            let watcher = printer.watcher(name, "P-CSCF");
            let start = || Phone::start(name, config, watcher);
            let phone = match &cable {
                Some(cable) => cable.phones.inside(start),
                None => start(),
            };
            phone.with_context(|| format!("the phone of {name} cannot be switched on"))
        };
        let phones = [
            ("alice", 1, Transport::Udp, shape::SAMSUNG),
            ("bob", 2, Transport::Tcp, shape::QUALCOMM),
        ];
        let phones = phones.map(&switch_on).into_iter().collect::<Result<Vec<_>>>()?;
        let stranger = switch_on(("eve", STRANGER, Transport::Udp, shape::SAMSUNG))?;
        printer.say(&format!(
            "two phones are on after {} ms",
            began.elapsed().as_millis()
        ));
        Ok(Self {
            daemons,
            phones,
            stranger,
            gateway,
            admin: admin(&site)[0],
            lines: printer.lines.clone(),
            cable,
        })
    }

    /// Shows the security associations of the P-CSCF's kernel, and what they have carried.
    fn show_associations(&self) -> Result<()> {
        let Some(cable) = &self.cable else {
            return Ok(());
        };
        let (_, text) = cable.network.inside(|| http_get(self.admin, "/api/v1/sas"))?;
        for line in associations(&text).context("the P-CSCF says nothing of its associations")? {
            self.say(&line);
        }
        Ok(())
    }

    fn round(&mut self, once: bool) -> Result<()> {
        self.step("registers", &UeCommand::Register)?;
        self.show_associations()?;
        self.call()?;
        self.text()?;
        self.ask_why()?;
        if once {
            self.step("registers again", &UeCommand::Refresh)?;
            self.show_associations()?;
        } else {
            if self.cable.is_none() {
                self.say(&format!(
                    "from another terminal: target/debug/imsctl --node http://{0} status; console: http://{0}/",
                    self.admin
                ));
            }
            self.say("the phones refresh by themselves; Ctrl-C ends");
            wait_for_interrupt()?;
        }
        self.step("leaves", &UeCommand::Deregister)
    }

    /// A phone that may not register, and what `imsctl why` says of it.
    fn ask_why(&self) -> Result<()> {
        self.say("eve registers, of whom the HSS does not know");
        let events = self.stranger.tell_and_wait(UeCommand::Register, PATIENCE)?;
        ensure!(
            matches!(events.last(), Some(UeEvent::Rejected { status: 403, .. })),
            "eve was not refused: she saw {events:?}"
        );
        let ask = || {
            Command::new(binaries()?.join("imsctl"))
                .args([
                    "--node",
                    &format!("http://{}", self.admin),
                    "why",
                    &imsi(STRANGER),
                ])
                .output()
                .context("imsctl cannot be started")
        };
        self.say(&format!("imsctl why {}", imsi(STRANGER)));
        let output = match &self.cable {
            Some(cable) => cable.network.inside(ask)?,
            None => ask()?,
        };
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in told.lines() {
            self.say(&format!("  {line}"));
        }
        ensure!(
            told.contains("does not know"),
            "imsctl why does not say why: {told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Lets both phones do something, one after the other.
    fn step(&self, what: &str, command: &UeCommand) -> Result<()> {
        for phone in &self.phones {
            self.say(&format!("{} {what}", phone.name()));
            let _before = phone.take_events();
            let events = phone
                .tell_and_wait(command.clone(), PATIENCE)
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

/// The HSS, the gateway and the daemons.
fn network(site: &Site, printer: &Printer) -> Result<(Daemons, Handle<SmsGateway>)> {
    let gateway = site.sms_gateway(1);
    let served = |number| {
        let criteria = sms_gateway::criteria(&gateway.uri());
        criteria.into_iter().fold(subscriber(number), Subscriber::ifc)
    };
    let hss = hss(vec![served(1), served(2), served(3)], ims_common::shell::seed()?);
    let (hss, _) = host::host(hss, host::hss_sockets(site.hss), printer.watcher("HSS", "?"))
        .context("the embedded HSS cannot listen")?;
    let sockets = host::server_sockets(gateway.local);
    let gateway = SmsGateway::new(gateway, &ims_common::shell::seed()?);
    let (gateway, _) = host::host(gateway, sockets, printer.watcher("IP-SM-GW", "S-CSCF"))
        .context("the IP-SM-GW cannot listen")?;
    let daemons = Daemons::start(site, &binaries()?)?;
    host::wait_for_peers(&hss, 1 + site.scscfs.len())?;
    Ok((daemons, gateway))
}

/// A line for each state of what the P-CSCF lists; nothing where it is no list.
fn associations(text: &str) -> Option<Vec<String>> {
    let report: Report = serde_json::from_str(text).ok()?;
    let mut lines = Vec::new();
    for set in report.sas {
        lines.push(format!("security associations, set {}", set.id));
        for state in set.states {
            lines.push(format!(
                "  SPI {} {:>17} > {:<17} {:>3} packets {:>6} octets",
                state.spi,
                state.source.to_string(),
                state.destination.to_string(),
                state.packets,
                state.bytes
            ));
        }
    }
    Some(lines)
}

/// Whether a phone got what it wanted.
fn holds(command: &UeCommand, events: &[UeEvent]) -> bool {
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
        assert!(holds(&UeCommand::Register, std::slice::from_ref(&full)));
        assert!(!holds(&UeCommand::Register, &[refused, full]));
        assert!(!holds(
            &UeCommand::Register,
            &[UeEvent::Registered(Granted::default())]
        ));
        assert!(!holds(&UeCommand::Deregister, &[]));
    }

    #[test]
    fn what_the_kernel_has_carried_is_a_line_for_each_state() {
        let listed = r#"{"left_off":0,"sas":[{"node":"pcscf","id":3,"states":[{"spi":"0x00001001","source":"192.0.2.11:6102","destination":"192.0.2.1:6101",
            "installed":true,"bytes":1200,"packets":2,"replayed":0,"integrity_failed":0}]}]}"#;
        let lines = associations(listed).expect("a list");
        assert_eq!(lines.len(), 2);
        assert!(
            lines[1].contains("0x00001001") && lines[1].ends_with("  2 packets   1200 octets"),
            "{lines:?}"
        );
        assert_eq!(associations("not found"), None);
    }

    #[test]
    fn colour_is_for_terminals_only() {
        assert_eq!(painted("-- hello", false), "-- hello");
        assert!(painted("-- hello", true).starts_with("\x1b[1m"));
    }
}
