//! The testkit (simulated UE, embedded HSS, virtual world), the lab, and all suites

pub mod app_server;
mod bcd;
pub mod busy;
pub mod cable;
pub mod card;
pub mod child;
pub mod daemons;
pub mod dashboard;
pub mod host;
pub mod hss;
pub mod kernel;
pub mod lab;
pub mod ladder;
pub mod load;
pub mod memory;
pub mod milenage;
pub mod prometheus;
pub mod scene;
pub mod site;
pub mod sms_gateway;
pub mod swarm;
pub mod text;
pub mod ue;
pub mod usim;
pub mod watch;
pub mod world;
