//! Shell: the operator's command: see [`ims_common::imsctl`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ims_common::imsctl::main()
}
