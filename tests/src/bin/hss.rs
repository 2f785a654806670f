//! Shell: the embedded HSS alone, for a lab.

fn main() -> std::process::ExitCode {
    ims_common::shell::cli::daemon_main::<ims_tests::hss::HssFile>()
}
