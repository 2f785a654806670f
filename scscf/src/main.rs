//! Shell: the S-CSCF daemon.

use std::process::ExitCode;

use ims_common::shell::cli::daemon_main;
use scscf::ScscfConfig;

/// Gives memory back that a storm has used (see the manual's architecture, choices).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daemon_main::<ScscfConfig>()
}
