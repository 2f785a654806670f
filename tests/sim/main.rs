//! Testkit: the suite in the virtual world: real nodes, real messages, no sockets, no waiting.

mod barred_identity;
mod call_mo_mt;
mod challenge_expiry;
mod contacts;
mod deregister;
mod digest;
mod expiry;
mod handset_fixtures;
mod handsets;
mod hss_failure;
mod link_faults;
mod permanent_termination;
mod personalities;
mod profile_update;
mod protected;
mod query;
mod register_aka;
mod reregister;
mod restart;
mod resync;
mod selection;
mod shutdown;
mod storm;
mod swarm;
mod unknown_user;
mod wrong_response;
