//! Engine: the lists of the nodes as tables.

use super::ladder::node_name;
use super::paper::{Ink, Paper, clean, moment, span};
use super::table::{Cell, Table};
use crate::operate::{
    BanRow, ContactRow, Findings, LimitRow, List, NodeRow, NodeStatus, PeerRow, Report, SaRow, SessionRow,
    UserRow,
};

/// States of peers that are as they should be.
const GOOD_PEERS: [&str; 3] = ["okay", "open", "i-open"];

/// One list, and how much of it was left out.
pub(super) fn print(list: List, report: &Report, paper: Paper) -> String {
    let mut text = match list {
        List::Nodes => nodes(&report.nodes, paper),
        List::Users => users(&report.users, paper),
        List::Contacts => contacts(&report.contacts, paper),
        List::Sessions => sessions(&report.sessions, paper),
        List::Sas => sas(&report.sas, paper),
        List::Peers => peers(&report.peers, paper),
        List::Limits => limits(&report.limits, paper),
        List::Bans => bans(&report.bans, paper),
    };
    if text.is_empty() {
        text = format!("no {}\n", noun(list));
    }
    if report.left_off > 0 {
        let more = format!(
            "{} more are left out; --limit shows more, a name fewer\n",
            report.left_off
        );
        text.push_str(&paper.ink(Ink::Dim, &more));
    }
    text
}

const fn noun(list: List) -> &'static str {
    match list {
        List::Nodes => "nodes",
        List::Users => "users",
        List::Contacts => "contacts",
        List::Sessions => "sessions",
        List::Sas => "security associations",
        List::Peers => "peers",
        List::Limits => "limits",
        List::Bans => "bans",
    }
}

fn node(name: &str) -> Cell {
    node_name(name).into()
}

fn nodes(rows: &[NodeRow], paper: Paper) -> String {
    let mut table = Table::new(&["NODE", "STATUS", "UPTIME", "VERSION", "SHARDS", "SIP"]);
    for row in rows {
        let status = match row.status {
            NodeStatus::Serving => Cell::new(Ink::Good, "serving"),
            NodeStatus::Draining => Cell::new(Ink::Warn, "draining"),
        };
        let sip: Vec<String> = row.sip.iter().map(ToString::to_string).collect();
        table.row([
            node(&row.node),
            status,
            span(row.uptime_secs).into(),
            (&row.version).into(),
            row.shards.into(),
            sip.join(" ").into(),
        ]);
    }
    table.print(paper)
}

fn users(rows: &[UserRow], paper: Paper) -> String {
    let mut table = Table::new(&[
        "NODE",
        "USER",
        "STATE",
        "EXPIRES",
        "CONTACT",
        "OTHER IDENTITIES",
        "SERVERS",
    ]);
    for row in rows {
        let shown = |impu: &crate::operate::ImpuRow| match impu.barred {
            true => format!("{} (barred)", impu.impu),
            false => impu.impu.clone(),
        };
        let main = row
            .impus
            .iter()
            .find(|impu| !impu.barred)
            .or_else(|| row.impus.first());
        let others: Vec<String> = row.impus.iter().filter(|i| Some(*i) != main).map(shown).collect();
        let contacts: Vec<String> = row.contacts.iter().map(|c| bare(&c.contact)).collect();
        let ink = if row.state == "registered" {
            Ink::Good
        } else {
            Ink::Warn
        };
        table.row([
            node(&row.node),
            main.map(shown).unwrap_or_default().into(),
            Cell::new(ink, &row.state),
            row.expires_in_secs.map(span).unwrap_or_default().into(),
            contacts.join(" ").into(),
            others.join(" ").into(),
            row.application_servers.join(" ").into(),
        ]);
    }
    table.print(paper)
}

/// A URI without brackets and parameters: where it is.
fn bare(contact: &str) -> String {
    let uri = contact.split('<').next_back().unwrap_or(contact);
    uri.split([';', '>']).next().unwrap_or(uri).to_owned()
}

fn contacts(rows: &[ContactRow], paper: Paper) -> String {
    let mut table = Table::new(&["NODE", "USER", "UE", "PROTECTED", "EXPIRES", "CONTACT"]);
    for row in rows {
        let protected = match row.is_protected {
            true => Cell::new(Ink::Good, "yes"),
            false => Cell::new(Ink::Warn, "no"),
        };
        let emergency = if row.is_emergency { " (emergency)" } else { "" };
        let user = row.impus.first().or(row.impi.as_ref()).map_or("", String::as_str);
        table.row([
            node(&row.node),
            format!("{user}{emergency}").into(),
            (&row.flow).into(),
            protected,
            span(row.expires_in_secs).into(),
            bare(&row.contact).into(),
        ]);
    }
    table.print(paper)
}

fn sessions(rows: &[SessionRow], paper: Paper) -> String {
    let mut table = Table::new(&["NODE", "SIDE", "STATE", "SINCE", "CALLER", "CALLED", "CALL-ID"]);
    for row in rows {
        table.row([
            node(&row.node),
            (&row.side).into(),
            (&row.state).into(),
            span(row.since_secs).into(),
            (&row.caller).into(),
            (&row.called).into(),
            (&row.call_id).into(),
        ]);
    }
    table.print(paper)
}

fn sas(rows: &[SaRow], paper: Paper) -> String {
    let heads = [
        "NODE",
        "SET",
        "SPI",
        "FROM",
        "TO",
        "PACKETS",
        "OCTETS",
        "REPLAYED",
        "WRONG KEY",
        "KERNEL",
    ];
    let mut table = Table::new(&heads);
    for row in rows {
        for state in &row.states {
            let bad = |count: u32| match count {
                0 => "".into(),
                count => Cell::new(Ink::Bad, count),
            };
            let kernel = match state.installed {
                true => "has it".into(),
                false => Cell::new(Ink::Bad, "gone"),
            };
            table.row([
                node(&row.node),
                row.id.into(),
                (&state.spi).into(),
                state.source.into(),
                state.destination.into(),
                state.packets.into(),
                state.bytes.into(),
                bad(state.replayed),
                bad(state.integrity_failed),
                kernel,
            ]);
        }
    }
    table.print(paper)
}

/// Whether a peer is as it should be.
fn is_good(row: &PeerRow) -> bool {
    GOOD_PEERS
        .iter()
        .any(|state| row.state.eq_ignore_ascii_case(state))
}

fn peers(rows: &[PeerRow], paper: Paper) -> String {
    let heads = [
        "NODE",
        "PROTOCOL",
        "PEER",
        "HOST",
        "STATE",
        "SINCE",
        "PENDING",
        "LAST ERROR",
    ];
    let mut table = Table::new(&heads);
    for row in rows {
        let ink = if is_good(row) { Ink::Good } else { Ink::Bad };
        table.row([
            node(&row.node),
            (&row.protocol).into(),
            (&row.address).into(),
            row.host.clone().unwrap_or_default().into(),
            Cell::new(ink, &row.state),
            row.since_secs.map(span).unwrap_or_default().into(),
            row.pending.into(),
            row.last_error.clone().unwrap_or_default().into(),
        ]);
    }
    table.print(paper)
}

fn limits(rows: &[LimitRow], paper: Paper) -> String {
    let mut table = Table::new(&["NODE", "LIMIT", "VALUE", "USED", "%", "REFUSED"]);
    for row in rows {
        let share = row
            .used
            .and_then(|used| used.saturating_mul(100).checked_div(row.value));
        let ink = match (row.refused, share) {
            (1.., _) | (_, Some(90..)) => Ink::Bad,
            (_, Some(70..)) => Ink::Warn,
            _ => Ink::Plain,
        };
        table.row([
            node(&row.node),
            (&row.limit).into(),
            row.value.into(),
            row.used.map(|used| used.to_string()).unwrap_or_default().into(),
            share.map_or_else(Cell::default, |share| Cell::new(ink, share)),
            match row.refused {
                0 => Cell::default(),
                refused => Cell::new(ink, refused),
            },
        ]);
    }
    table.print(paper)
}

fn bans(rows: &[BanRow], paper: Paper) -> String {
    let mut table = Table::new(&["NODE", "SOURCE", "CAUSE", "SINCE", "ENDS IN", "DROPPED"]);
    for row in rows {
        table.row([
            node(&row.node),
            (&row.source).into(),
            (&row.cause).into(),
            span(row.since_secs).into(),
            span(row.ends_in_secs).into(),
            row.dropped.into(),
        ]);
    }
    table.print(paper)
}

/// Findings, each as a paragraph.
pub(super) fn findings(all: &Findings, paper: Paper) -> String {
    if all.findings.is_empty() {
        return "no findings\n".to_owned();
    }
    let mut text = String::new();
    for row in &all.findings {
        let head = format!(
            "{}  {}  [{}]",
            moment(row.finding.at),
            clean(&row.subscriber),
            row.finding.detector
        );
        text.push_str(&paper.ink(Ink::Bold, &head));
        text.push('\n');
        text.push_str(&paper.wrapped("  ", &clean(&row.sentence)));
    }
    text
}

/// What a look at everything shows.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) nodes: Report,
    pub(super) peers: Report,
    pub(super) bans: Report,
    /// How many users, contacts, sessions there are.
    pub(super) counts: Vec<(List, u64)>,
    pub(super) findings: usize,
}

impl Status {
    /// What an operator has to look at.
    pub(super) fn troubles(&self) -> Vec<String> {
        let mut all = Vec::new();
        for row in &self.nodes.nodes {
            if row.status == NodeStatus::Draining {
                all.push(format!("{} is draining", node_name(&row.node)));
            }
        }
        for row in self.peers.peers.iter().filter(|row| !is_good(row)) {
            let error = row
                .last_error
                .as_ref()
                .map_or(String::new(), |error| format!(" ({error})"));
            let host = row.host.as_ref().map_or(String::new(), |host| format!(" {host}"));
            all.push(format!(
                "{}: {} peer{host} at {} is {}{error}",
                node_name(&row.node),
                row.protocol,
                row.address,
                row.state
            ));
        }
        all
    }

    /// Nodes, what they have, and what is wrong.
    pub(super) fn print(&self, paper: Paper) -> String {
        let mut text = nodes(&self.nodes.nodes, paper);
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(list, count)| format!("{count} {}", noun(*list)))
            .collect();
        text.push_str(&format!("\n{}\n", counts.join(", ")));
        for trouble in self.troubles() {
            text.push_str(&paper.ink(Ink::Bad, &paper.wrapped("", &format!("! {}", clean(&trouble)))));
        }
        if !self.bans.bans.is_empty() {
            let line = format!("{} sources are banned (imsctl bans)\n", self.bans.bans.len());
            text.push_str(&paper.ink(Ink::Warn, &line));
        }
        if self.findings > 0 {
            let line = format!("{} failures are explained (imsctl findings)\n", self.findings);
            text.push_str(&paper.ink(Ink::Warn, &line));
        }
        text
    }
}

#[cfg(test)]
mod tests;
