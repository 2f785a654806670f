//! Shell: the `icscf` daemon.

fn main() -> std::process::ExitCode {
    ims_common::shell::cli::daemon_main::<icscf::IcscfConfig>()
}
