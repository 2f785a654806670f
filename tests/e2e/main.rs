//! Testkit: the suite on loopback sockets: the three real binaries, the embedded HSS, phones of ours, and peers by other hands: SIPp, baresip, Kamailio, freeDiameter.

mod card;
mod card_core;
mod card_phone;
mod cdr;
mod console;
mod daemon_life;
mod doctor;
mod free_diameter;
mod imsctl;
mod lab_program;
mod network;
mod observed;
mod peers;
mod phones;
mod reload;
mod scan;
mod shards;
mod sipp;
mod ue_program;
mod whole_reads;
