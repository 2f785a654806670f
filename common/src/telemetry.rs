//! Engine: what a node says about itself.
//!
//! * [`catalogue`]: every number that a node tells
//! * [`latency`]: how long things take
//! * [`redact`]: identities as the log may show them
//! * `packet`, `trail`, `hep`, `capture`, `ip_packet`, `spans`: copies of messages, and what is made of them (with the shell)
//! * `log`, `metrics`: where lines and numbers go (with the shell)

#[cfg(feature = "shell")]
mod budget;
#[cfg(feature = "shell")]
pub mod capture;
pub mod catalogue;
pub(crate) mod glance;
#[cfg(feature = "shell")]
pub mod hep;
#[cfg(feature = "shell")]
pub mod ip_packet;
pub mod latency;
#[cfg(feature = "shell")]
pub mod log;
#[cfg(feature = "shell")]
pub(crate) mod log_context;
#[cfg(feature = "shell")]
pub mod metrics;
#[cfg(feature = "shell")]
pub mod packet;
pub mod redact;
#[cfg(feature = "shell")]
pub mod spans;
#[cfg(feature = "shell")]
pub mod trail;
