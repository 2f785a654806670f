//! Testkit: the suite on real ESP, in network namespaces: `cargo ci ipsec`.
//!
//! Every test here is ignored by a plain `cargo test`, since most machines' kernels want privileges or lack ESP: the
//! program `vm` runs the same binary with them, in a virtual machine where need be.
#![allow(clippy::disallowed_methods, reason = "shell")]

mod attacks;
mod card;
mod chain;
mod esp;
mod handsets;
mod kernel;
mod lives;
mod network;
mod sets;
mod shell;
mod space;
mod why;
mod wire;
