//! Testkit: fuzzing. See `tests/README.md` for how to run it long, and how to repeat what it finds.

mod config;
mod diameter;
mod dice;
mod engine;
mod nodes;
mod sip;
mod user_data;
