//! Testkit: fuzzing. See `tests/README.md` for how to run it long, and how to repeat what it finds.
#![allow(unexpected_cfgs, reason = "`cargo bolero` sets `fuzzing`")]

/// Runs a target from the test that calls it: with our own engine, or with the one that `cargo bolero` has built in.
macro_rules! fuzz {
    ($target:expr) => {{
        #[cfg(fuzzing)]
        bolero::check!().for_each(|bytes: &[u8]| _ = ($target.check)(bytes));
        #[cfg(not(fuzzing))]
        $crate::engine::run(&$target);
    }};
}

mod card;
mod config;
mod diameter;
mod dice;
mod engine;
mod nodes;
mod reginfo;
mod routing;
mod sec_agree;
mod sip;
mod user_data;
