//! Codec: the command line of `imsctl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::ifc_test::{RegistrationKind, ServedCase};
use crate::operate::{Endpoint, Filter};

/// Sees into the nodes of an IMS core, and operates them.
///
/// Exit status: 0 all is well, 1 something was found or failed, 2 the command line is wrong, 3 no node was reached.
#[derive(Debug, Parser)]
#[command(
    name = "imsctl",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub(super) struct Imsctl {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What all commands take.
#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    /// A node: the path of its Unix socket, or http://IP:port; may be repeated. Without it: those of IMSCTL_NODES, else
    /// the sockets in /run/ims, else http://127.0.0.1:9091 to 9093. Of a single one, its neighbours are asked too.
    #[arg(long, global = true, value_name = "ENDPOINT")]
    pub(super) node: Vec<Endpoint>,
    /// A file with the token of the nodes (admin.read_token_file or admin.write_token_file).
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// JSON instead of text.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The nodes: whether they serve, how much they have, and what is wrong with their peers.
    Status,
    /// Users that an S-CSCF serves, with their identities and contacts.
    Users(ListArgs),
    /// Contacts of UEs at a P-CSCF.
    Contacts(ListArgs),
    /// Security associations at a P-CSCF, with what the kernel has counted; never keys.
    Sas(ListArgs),
    /// Diameter peers, and SIP next hops that are left out for a while.
    Peers(ListArgs),
    /// Calls and other dialogs.
    Sessions(ListArgs),
    /// Limits, what is used of them, and how often they refused.
    Limits(ListArgs),
    /// Sources of which nothing is taken for a while.
    Bans(ListArgs),
    /// Lifts the ban of a source.
    Unban {
        /// Address or block, as `imsctl bans` shows it.
        source: String,
    },
    /// Why something failed: sentences on top, the ladder of all nodes below.
    Why {
        /// IMSI, MSISDN, private or public identity, or Call-ID.
        who: Filter,
        /// All steps, not only the last ones.
        #[arg(long)]
        all: bool,
    },
    /// Failures that the nodes explained by themselves, the newest first.
    Findings {
        /// Findings at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// What happens now, as a live ladder of all nodes.
    Trace {
        /// IMSI, MSISDN, private or public identity, or Call-ID; everybody unless said.
        who: Option<Filter>,
        /// Lines instead of a screen, as without a terminal.
        #[arg(long)]
        plain: bool,
        /// Ends after so many seconds.
        #[arg(long, value_name = "SECONDS")]
        duration: Option<u64>,
    },
    /// Initial filter criteria.
    #[command(subcommand)]
    Ifc(Ifc),
    /// Whether machine, kernel and neighbours are as the nodes' configurations need them.
    Doctor(Doctor),
    /// Ends a registration.
    Deregister {
        /// A public identity of the user.
        impu: String,
        /// The user is not asked to register again.
        #[arg(long)]
        for_good: bool,
    },
    /// Has a user authenticate again soon.
    Reauthenticate {
        /// A public identity of the user.
        impu: String,
    },
    /// Nodes take no new work, finish what they have, and end.
    Drain {
        /// Names (pcscf, icscf, scscf) or endpoints of nodes, or `all`.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Nodes read their configuration again; what may not change while they run is refused with a reason.
    Reload {
        /// Names or endpoints of nodes; all unless said.
        names: Vec<String>,
    },
    /// Packets of one subscriber, kept by the nodes on demand.
    #[command(subcommand)]
    Pcap(Pcap),
    /// Counters and gauges of the nodes.
    Metrics {
        /// Only those whose name or labels have this in them.
        filter: Option<String>,
    },
    /// The description of the nodes' API.
    Openapi,
    /// A completion script for a shell, on standard output.
    Completion {
        /// Which shell.
        shell: Shell,
    },
}

/// Which rows of a list.
#[derive(Args, Clone, Debug)]
pub(super) struct ListArgs {
    /// Only about these: IMSI, MSISDN, private or public identity, address or Call-ID.
    pub(super) who: Option<Filter>,
    /// Rows of each node at most (1000 is the most).
    #[arg(long, default_value_t = 100)]
    pub(super) limit: usize,
}

/// What to do with filter criteria.
#[derive(Debug, Subcommand)]
pub(super) enum Ifc {
    /// Which application servers a request would visit, in which order, and why; nothing is sent.
    Test(Box<IfcTestArgs>),
}

/// A request, and whose criteria.
#[derive(Args, Debug)]
pub(super) struct IfcTestArgs {
    /// The served user, a public identity; without --profile registered at the S-CSCF.
    #[arg(long, value_name = "IMPU", required_unless_present = "profile")]
    pub(super) user: Option<String>,
    /// A file with the user data (IMSSubscription), instead of what is registered.
    #[arg(long, value_name = "FILE")]
    pub(super) profile: Option<PathBuf>,
    /// Session case.
    #[arg(long, value_enum, default_value_t)]
    pub(super) case: ServedCase,
    /// What a REGISTER does.
    #[arg(long, value_enum, default_value_t)]
    pub(super) registration: RegistrationKind,
    /// A file with a whole SIP request; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "uri", "header", "body"])]
    pub(super) request: Option<PathBuf>,
    /// Method.
    #[arg(long)]
    pub(super) method: Option<String>,
    /// Request-URI.
    #[arg(long)]
    pub(super) uri: Option<String>,
    /// A header line, `Name: value`; may be repeated.
    #[arg(long, value_name = "LINE")]
    pub(super) header: Vec<String>,
    /// A file with the body, SDP unless a header says otherwise.
    #[arg(long, value_name = "FILE")]
    pub(super) body: Option<PathBuf>,
}

/// Where configurations are.
#[derive(Args, Clone, Debug)]
pub(super) struct Doctor {
    /// Configuration files; those in /etc/ims unless said.
    pub(super) configs: Vec<PathBuf>,
    /// Where the programs pcscf, icscf and scscf are: beside this one, else on PATH.
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) bin: Option<PathBuf>,
    /// The SMF's file of an Open5GS: is its P-CSCF address ours?
    #[arg(long, value_name = "FILE")]
    pub(super) open5gs_smf: Option<PathBuf>,
    /// The HSS's file of an Open5GS: does it know our nodes as peers?
    #[arg(long, value_name = "FILE")]
    pub(super) open5gs_hss: Option<PathBuf>,
    /// The configuration of a PyHSS: do realm and S-CSCF name fit ours?
    #[arg(long, value_name = "FILE")]
    pub(super) pyhss: Option<PathBuf>,
    /// Print what to paste into these files.
    #[arg(long)]
    pub(super) snippets: bool,
}

/// What to do with packets.
#[derive(Debug, Subcommand)]
pub(super) enum Pcap {
    /// Begins to keep packets of a subscriber, without keys.
    Start {
        /// IMSI, MSISDN, private or public identity.
        who: Filter,
        /// It ends by itself.
        #[arg(long, default_value_t = 10)]
        minutes: u32,
    },
    /// Ends it.
    Stop {
        /// Who was named at the start.
        who: Filter,
    },
    /// Writes what was kept, a file for each node: FILE.NODE.pcap.
    Save {
        /// Who was named at the start.
        who: Filter,
        /// The beginning of the files' names.
        file: PathBuf,
    },
}

#[cfg(test)]
mod manual;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Imsctl::command().debug_assert();
    }

    fn refused(line: &[&str]) -> String {
        let all = std::iter::once("imsctl").chain(line.iter().copied());
        Imsctl::try_parse_from(all).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused(&["drain"]).contains("<NAMES>..."));
        assert!(refused(&["ifc", "test"]).contains("--user"));
        assert!(refused(&["status", "--node", "localhost:1"]).contains("no endpoint"));
        assert!(refused(&["why", "a\nb"]).contains("characters that no identity has"));
        assert!(refused(&["completion", "dos"]).contains("bash"));
    }

    #[test]
    fn options_may_stand_after_the_command() {
        let line = [
            "imsctl",
            "users",
            "tel:+15550001",
            "--json",
            "--node",
            "/run/ims/s.sock",
            "--node",
            "127.0.0.1",
        ];
        let read = Imsctl::try_parse_from(line).unwrap();
        assert!(read.common.json);
        assert_eq!(read.common.node.len(), 2);
    }
}
