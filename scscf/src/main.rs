//! Shell: the S-CSCF daemon.

use std::process::ExitCode;

use ims_common::shell::cli::daemon_main;
use scscf::ScscfConfig;

fn main() -> ExitCode {
    daemon_main::<ScscfConfig>()
}
