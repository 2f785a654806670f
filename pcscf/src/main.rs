//! Shell: the `pcscf` daemon.

fn main() -> std::process::ExitCode {
    ims_common::shell::cli::daemon_main::<pcscf::PcscfConfig>()
}
