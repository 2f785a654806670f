//! S-CSCF: registrar and session control (TS 24.229 5.4).
//!
//! * `config`: [`config::ScscfConfig`]
//! * `node`: [`node::Scscf`], a pure node; `register`, `deregister`, `network_initiated`, `sessions` are
//!   its procedures, `registrar` and `challenges` its tables, `reject` the one place with status codes
//! * `registration_change`: what happened to registrations, in order; `reg_event` tells it to those who watch them
//!
//! Documents to read first: TS 24.229 5.4.1, TS 29.228 6.1 to 6.3, RFC 3261 10, RFC 3310, RFC 3327.

mod blocking;
mod breakout;
mod call_limits;
mod caller_preferences;
mod cdr;
mod challenges;
mod charging;
pub mod config;
mod context;
mod deregister;
mod enum_lookup;
mod ere;
mod gruu;
mod ifc;
mod ifc_test;
mod network_initiated;
pub mod node;
mod numbers;
#[doc(hidden)]
pub mod probe;
mod reg_event;
mod register;
pub mod registrar;
pub mod registration_change;
mod reject;
mod release;
mod service_ids;
mod service_route;
mod sessions;
mod spelling;
mod third_party_register;
mod xml;

pub use config::ScscfConfig;
pub use node::Scscf;
