//! Testkit: the suite on loopback sockets: the three real binaries, the embedded HSS, phones of ours and SIPp.

mod daemon_life;
mod lab_program;
mod network;
mod phones;
mod sipp;
