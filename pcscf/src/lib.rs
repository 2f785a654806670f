//! P-CSCF: the UE's entry point (TS 24.229 5.2).
//!
//! * [`config`]: the file and what it becomes
//! * [`node`]: [`Pcscf`], the one node
//! * `register`: REGISTER; `originating`, `terminating`, `passage`: all else; `sessions`: what belongs to a dialog
//! * `asserted`, `charging`: for whom a UE speaks, and what it is charged by
//! * `trust_boundary`, `ue_challenge`: what a message loses and gains on the border
//! * `protection`: the gate of what is protected; `challenge`: a 401 that makes security associations
//! * `contacts`: who is registered behind which flow; `entry_points`: the I-CSCFs to try
//! * [`ipsec`]: the security agreement with UEs
//! * `signals`: what challenges and their answers tell the operator
//! * [`reg_event`]: our own subscription to registrations
//! * `emergency`: calls for help; `restoration`: a dead S-CSCF; `alternative_service`: what a UE is told to do instead
//! * `guard`: limits of sources, and bans
//! * `reject`: refusals and their status codes

mod alternative_service;
mod asserted;
mod challenge;
mod charging;
pub mod config;
mod contacts;
mod emergency;
mod entry_points;
mod guard;
pub mod ipsec;
pub mod node;
mod originating;
mod passage;
mod protection;
pub mod reg_event;
mod register;
mod reject;
mod report;
mod restoration;
mod sessions;
mod signals;
mod terminating;
mod trust_boundary;
mod ue_challenge;

#[cfg(test)]
mod tests;

pub use config::PcscfConfig;
pub use node::Pcscf;
