//! S-CSCF: registrar and session control (TS 24.229 5.4).
//!
//! * `config`: [`config::ScscfConfig`]
//! * `node`: [`node::Scscf`], a pure node; `register`, `deregister`, `network_initiated`, `sessions` are
//!   its procedures, `registrar` and `challenges` its tables, `reject` the one place with status codes
//! * `registration_change`: what happened to registrations, in order; `reg_event` tells it to those who watch them
//!
//! Documents to read first: TS 24.229 5.4.1, TS 29.228 6.1 to 6.3, RFC 3261 10, RFC 3310, RFC 3327.

#[allow(dead_code, reason = "sessions ask it")]
mod breakout;
#[allow(dead_code, reason = "sessions ask it")]
mod caller_preferences;
mod challenges;
mod charging;
pub mod config;
mod context;
mod deregister;
#[allow(dead_code, reason = "sessions ask it")]
mod enum_lookup;
mod ere;
#[allow(dead_code, reason = "sessions ask it")]
mod ifc;
#[allow(dead_code, reason = "sessions ask it")]
mod media_policy;
mod network_initiated;
pub mod node;
#[allow(dead_code, reason = "sessions ask it")]
mod numbers;
mod reg_event;
mod register;
pub mod registrar;
pub mod registration_change;
mod reject;
mod sdp;
#[allow(dead_code, reason = "sessions ask it")]
mod service_ids;
mod service_route;
mod sessions;
mod spelling;
mod third_party_register;
mod xml;

pub use config::ScscfConfig;
pub use node::Scscf;
