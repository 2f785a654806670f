//! Table: one histogram for each combination of labels, made when it is first needed.

use std::time::Duration;

use crate::diameter::{Avps, Header};
use crate::net::Interface;
use crate::node::{Bounds, Histogram, Metrics};
use crate::telemetry::catalogue::{COMMANDS, METHODS, RESULTS, STATUS_CLASSES};

const INTERFACES: [(Interface, &str); 3] = [
    (Interface::Gm, "gm"),
    (Interface::GmProtected, "gm_protected"),
    (Interface::Mw, "mw"),
];
const SIDES: [(Side, &str); 2] = [(Side::Server, "server"), (Side::Client, "client")];

/// Which side of a request the node is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Server,
    Client,
}

impl Side {
    pub(super) const fn letter(self) -> &'static [u8] {
        match self {
            Self::Server => b"S",
            Self::Client => b"C",
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Server => 0,
            Self::Client => 1,
        }
    }
}

/// Histograms of SIP requests, by interface, side, method and class of status.
#[derive(Debug)]
pub(super) struct SipSeries(Vec<Option<Box<Histogram>>>);

impl Default for SipSeries {
    fn default() -> Self {
        Self(vec![
            None;
            INTERFACES.len()
                * SIDES.len()
                * METHODS.len()
                * STATUS_CLASSES.len()
        ])
    }
}

impl SipSeries {
    /// The first of the numbers of a request: those of the classes of status follow.
    pub(super) fn number(interface: usize, side: Side, method: usize) -> u16 {
        let number =
            ((interface * SIDES.len() + side.place()) * METHODS.len() + method) * STATUS_CLASSES.len();
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    pub(super) fn observe(&mut self, series: u16, status: u16, duration: Duration, bounds: Bounds) {
        let class = usize::from(status / 100).clamp(2, STATUS_CLASSES.len() + 1) - 2;
        observe(&mut self.0, usize::from(series) + class, duration, bounds);
    }

    pub(super) fn export(&self, out: &mut Metrics) {
        for (number, histogram) in self.0.iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            let (number, class) = (number / STATUS_CLASSES.len(), number % STATUS_CLASSES.len());
            let (number, method) = (number / METHODS.len(), number % METHODS.len());
            let (interface, side) = (number / SIDES.len(), number % SIDES.len());
            let (Some((_, interface)), Some((_, side))) = (INTERFACES.get(interface), SIDES.get(side)) else {
                continue;
            };
            let (Some(method), Some(status)) = (METHODS.get(method), STATUS_CLASSES.get(class)) else {
                continue;
            };
            let labels = [
                ("interface", *interface),
                ("side", *side),
                ("method", *method),
                ("status", *status),
            ];
            out.histogram("ims_sip_request_duration_seconds", &labels, histogram);
        }
    }
}

/// Counts one duration where it belongs.
pub(super) fn observe(all: &mut [Option<Box<Histogram>>], number: usize, duration: Duration, bounds: Bounds) {
    if let Some(slot) = all.get_mut(number) {
        slot.get_or_insert_with(|| Box::new(Histogram::new(bounds)))
            .observe(duration);
    }
}

pub(super) fn interface_of(interface: Interface) -> usize {
    let place = INTERFACES.iter().position(|(it, _)| *it == interface);
    place.unwrap_or_default()
}

/// The place among [`METHODS`], whose last stands for all others.
pub(super) fn method_of(method: &[u8]) -> usize {
    let place = METHODS.iter().position(|known| known.as_bytes() == method);
    place.unwrap_or(METHODS.len() - 1)
}

/// How many histograms Diameter has at most.
pub(super) const DIAMETER_SERIES: usize = SIDES.len() * COMMANDS.len() * RESULTS.len();

pub(super) fn diameter_number(side: Side, command: u16, result: usize) -> usize {
    (side.place() * COMMANDS.len() + usize::from(command)) * RESULTS.len() + result
}

/// The place among [`COMMANDS`] of a command code (RFC 6733 3.1, TS 29.229 table 6.1.1).
pub(super) fn command_of(code: u32) -> u16 {
    const { assert!(COMMANDS.len() == 10) };
    match code {
        257 => 0,
        280 => 1,
        282 => 2,
        300 => 3,
        301 => 4,
        302 => 5,
        303 => 6,
        304 => 7,
        305 => 8,
        _ => 9,
    }
}

/// The place among [`RESULTS`] of an answer's Result-Code or Experimental-Result-Code.
pub(super) fn result_of(answer: &[u8]) -> usize {
    const RESULT_CODE: u32 = 268;
    const EXPERIMENTAL_RESULT: u32 = 297;
    const EXPERIMENTAL_RESULT_CODE: u32 = 298;
    let avps = Avps::new(answer.get(Header::LEN..).unwrap_or_default());
    let code = avps.map_while(Result::ok).find_map(|avp| match avp.code {
        RESULT_CODE => avp.u32(),
        EXPERIMENTAL_RESULT => avp
            .members()
            .map_while(Result::ok)
            .find(|member| member.code == EXPERIMENTAL_RESULT_CODE)
            .and_then(|member| member.u32()),
        _ => None,
    });
    match code.map(|code| code / 1000) {
        Some(2) => 0,
        Some(3) => 1,
        Some(4) => 2,
        Some(5) => 3,
        _ => 4,
    }
}

pub(super) fn export_diameter(all: &[Option<Box<Histogram>>], out: &mut Metrics) {
    for (number, histogram) in all.iter().enumerate() {
        let Some(histogram) = histogram else { continue };
        let (number, result) = (number / RESULTS.len(), number % RESULTS.len());
        let (side, command) = (number / COMMANDS.len(), number % COMMANDS.len());
        if let (Some((_, side)), Some(command), Some(result)) =
            (SIDES.get(side), COMMANDS.get(command), RESULTS.get(result))
        {
            let labels = [("side", *side), ("command", *command), ("result", *result)];
            out.histogram("ims_diameter_request_duration_seconds", &labels, histogram);
        }
    }
}
