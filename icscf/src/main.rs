//! Shell: the `icscf` daemon.

/// Gives memory back that a storm has used (see the manual's architecture, choices).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ims_common::shell::cli::daemon_main::<icscf::IcscfConfig>()
}
