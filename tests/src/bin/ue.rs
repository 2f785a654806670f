//! Shell: a simulated phone on the command line.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use ims_common::net::Transport;
use ims_tests::host::Phone;
use ims_tests::milenage::Sqn;
use ims_tests::ue::identity::{Secret, UeIdentity};
use ims_tests::ue::remote::Seen;
use ims_tests::ue::security::{Misdeed, UeSecurity, Verify};
use ims_tests::ue::talk::{Answer, CallEvent, Manner, Plan, Text};
use ims_tests::ue::{UeCommand, UeConfig, UeEvent, events, shape};
use ims_tests::usim::Usim;
use ims_tests::watch::Watcher;

/// Registers with a P-CSCF as a phone does, calls, texts, is called, leaves, and prints what was said.
#[derive(Parser)]
#[command(name = "ue", version)]
struct Arguments {
    /// Address of the P-CSCF; port 5060 unless said.
    #[arg(long)]
    pcscf: String,
    /// Our own address; port 5060 unless said.
    #[arg(long, default_value = "127.0.1.20")]
    local: String,
    /// IMSI.
    #[arg(long)]
    imsi: String,
    /// Digits of the MNC in the IMSI.
    #[arg(long, default_value_t = 2)]
    mnc_digits: usize,
    /// K, 32 hex digits.
    #[arg(long)]
    k: String,
    /// OPc, 32 hex digits.
    #[arg(long)]
    opc: String,
    /// Highest sequence number that the USIM has seen (48 bits); one above the HSS's makes it ask for resynchronisation.
    #[arg(long, default_value_t = 0)]
    sqn: u64,
    /// Over TCP.
    #[arg(long)]
    tcp: bool,
    /// The seconds to ask for.
    #[arg(long, default_value_t = 600_000)]
    expires: u32,
    /// The phone family whose messages to send.
    #[arg(long, default_value = "plain")]
    shape: String,
    /// With security associations in the kernel; needs CAP_NET_ADMIN. Use a network namespace: the policies of the phone's
    /// ports stay in the kernel when it ends, until it starts again at this address.
    #[arg(long)]
    ipsec: bool,
    /// With --ipsec: Security-Verify is not a copy of Security-Server but says the same in other words.
    #[arg(long)]
    reordered_verify: bool,
    /// With --ipsec: what the phone does wrong.
    #[arg(long, value_enum, default_value = "none")]
    misdeed: Misdemeanour,
    /// So many registrations more after the first one.
    #[arg(long, default_value_t = 0)]
    again: u32,
    /// Seconds between them, and before the end.
    #[arg(long, default_value_t = 0)]
    pause: u64,
    /// Print what happened as JSON, one object in a line, instead of a ladder.
    #[arg(long)]
    json: bool,
    /// With `call` and `message`: to whom, a URI.
    #[arg(long)]
    to: Option<String>,
    /// With `message`: what to write.
    #[arg(long, default_value = "Hello")]
    text: String,
    /// With `call`: seconds to talk; with `wait`: to wait for calls and messages.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Calls without preconditions and reliable provisional answers.
    #[arg(long)]
    simple: bool,
    /// Subscribe to the registration state.
    #[arg(long)]
    subscribe: bool,
    /// When it is called: refuse with this status, instead of answering after a second.
    #[arg(long)]
    refuse: Option<u16>,
    /// What to do.
    action: Action,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Register and end.
    Register,
    /// Register, then leave at once.
    Deregister,
    /// Register, call, talk, hang up, and leave.
    Call,
    /// Register, send a text, and leave.
    Message,
    /// Register, be there for calls and texts, and leave.
    Wait,
}

#[derive(Clone, Copy, ValueEnum)]
enum Misdemeanour {
    None,
    WrongVerify,
    NoVerify,
    ChangedClient,
    NoClient,
    OtherImpi,
    WrongKey,
    MessageOnTemporarySet,
    AnswerUnprotected,
    NeverAnswers,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        eprintln!("ue: {error:#}");
        std::process::exit(1);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut watcher = Watcher::new("UE", "P-CSCF", Instant::now());
    let is_json = arguments.json;
    let phone = Phone::start("UE", config(arguments)?, move |now, seen: Seen<'_>| {
        if let Some(line) = watcher.line(now, &seen)
            && !is_json
        {
            println!("{line}");
        }
    })?;
    let granted = register(arguments, &phone, UeCommand::Register)?;
    say(arguments, &format!("registered for {granted} s"));
    for _ in 0..arguments.again {
        pause(arguments);
        register(arguments, &phone, UeCommand::Refresh)?;
    }
    pause(arguments);
    match arguments.action {
        Action::Register => return Ok(()),
        Action::Deregister => {}
        Action::Call => call(arguments, &phone)?,
        Action::Message => message(arguments, &phone)?,
        Action::Wait => wait(arguments, &phone),
    }
    leave(arguments, &phone)
}

fn leave(arguments: &Arguments, phone: &Phone) -> Result<()> {
    let events = tell(arguments, phone, UeCommand::Deregister)?;
    anyhow::ensure!(
        events.contains(&UeEvent::Deregistered),
        "not de-registered: {events:?}"
    );
    say(arguments, "de-registered");
    Ok(())
}

fn call(arguments: &Arguments, phone: &Phone) -> Result<()> {
    let plan = Plan::to(whom(arguments)?);
    let events = tell(arguments, phone, UeCommand::Call(plan))?;
    let last = events.iter().rev().find_map(|event| match event {
        UeEvent::Call { what, .. } => Some(what),
        _ => None,
    });
    match last {
        Some(CallEvent::Begun) => say(arguments, "the call has begun"),
        other => bail!("no call: {other:?}"),
    }
    wait(arguments, phone);
    tell(arguments, phone, UeCommand::HangUp)?;
    say(arguments, "the call is over");
    Ok(())
}

fn message(arguments: &Arguments, phone: &Phone) -> Result<()> {
    let text = Text::plain(whom(arguments)?, &arguments.text);
    let events = tell(arguments, phone, UeCommand::Message(text))?;
    let is_taken = |event: &UeEvent| matches!(event, UeEvent::Answered(200..=299));
    anyhow::ensure!(events.iter().any(is_taken), "not taken: {events:?}");
    say(arguments, "the text was taken");
    Ok(())
}

/// So many seconds in which things happen to it.
fn wait(arguments: &Arguments, phone: &Phone) {
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        show(arguments, &phone.take_events());
    }
}

fn whom(arguments: &Arguments) -> Result<&str> {
    arguments.to.as_deref().context("--to is missing")
}

/// The seconds that were granted.
fn register(arguments: &Arguments, phone: &Phone, command: UeCommand) -> Result<u32> {
    let events = tell(arguments, phone, command)?;
    let granted = events.iter().rev().find_map(|event| match event {
        UeEvent::Registered(granted) => Some(granted.expires),
        _ => None,
    });
    match granted {
        Some(seconds) => Ok(seconds),
        None => bail!("not registered: {events:?}"),
    }
}

fn tell(arguments: &Arguments, phone: &Phone, command: UeCommand) -> Result<Vec<UeEvent>> {
    let events = phone.tell_and_wait(command, Duration::from_secs(130))?;
    show(arguments, &events);
    Ok(events)
}

fn show(arguments: &Arguments, events: &[UeEvent]) {
    for event in events.iter().filter(|_| arguments.json) {
        println!("{}", events::json(event));
    }
}

fn say(arguments: &Arguments, text: &str) {
    if !arguments.json {
        println!("{text}");
    }
}

fn pause(arguments: &Arguments) {
    std::thread::sleep(Duration::from_secs(arguments.pause));
}

fn config(arguments: &Arguments) -> Result<UeConfig> {
    let usim = Usim::new(&key(&arguments.k, "--k")?, &key(&arguments.opc, "--opc")?)
        .with_sqn(Sqn::new(arguments.sqn));
    let shape = shape::ALL
        .into_iter()
        .find(|shape| shape.name == arguments.shape)
        .with_context(|| format!("no phone family is called {}", arguments.shape))?;
    let identity = UeIdentity::from_imsi(&arguments.imsi, arguments.mnc_digits);
    let transport = if arguments.tcp {
        Transport::Tcp
    } else {
        Transport::Udp
    };
    let (local, pcscf) = (address(&arguments.local)?, address(&arguments.pcscf)?);
    let config = UeConfig::new(identity, Secret::Aka(usim), local, pcscf)
        .shape(shape)
        .transport(transport)
        .expires(arguments.expires)
        .manner(manner(arguments));
    Ok(match arguments.ipsec {
        true => config.security(security(arguments)),
        false => config,
    })
}

fn manner(arguments: &Arguments) -> Manner {
    let manner = match arguments.simple {
        true => Manner::SIMPLE,
        false => Manner::VOLTE,
    };
    Manner {
        subscribes: arguments.subscribe,
        answer: arguments.refuse.map_or(manner.answer, Answer::Refuse),
        ..manner
    }
}

fn security(arguments: &Arguments) -> UeSecurity {
    UeSecurity {
        verify: match arguments.reordered_verify {
            true => Verify::Reordered,
            false => Verify::AsSent,
        },
        misdeed: match arguments.misdeed {
            Misdemeanour::None => Misdeed::None,
            Misdemeanour::WrongVerify => Misdeed::WrongVerify,
            Misdemeanour::NoVerify => Misdeed::NoVerify,
            Misdemeanour::ChangedClient => Misdeed::ChangedClient,
            Misdemeanour::NoClient => Misdeed::NoClient,
            Misdemeanour::OtherImpi => Misdeed::OtherImpi,
            Misdemeanour::WrongKey => Misdeed::WrongKey,
            Misdemeanour::MessageOnTemporarySet => Misdeed::MessageOnTemporarySet,
            Misdemeanour::AnswerUnprotected => Misdeed::AnswerUnprotected,
            Misdemeanour::NeverAnswers => Misdeed::NeverAnswers,
        },
        ..UeSecurity::default()
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 5060)))
        .with_context(|| format!("{text} is not an address"))
}

fn key(text: &str, option: &str) -> Result<[u8; 16]> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
    Ok(number
        .with_context(|| format!("{option}: a key has 32 hex digits"))?
        .to_be_bytes())
}
