//! What every node of the IMS core needs.
//!
//! * [`node`]: the one contract, [`node::Node`], and [`node::TimerTable`]
//! * [`net`]: what crosses a node's border, as values
//! * [`sip`]: SIP messages
//! * [`token`], [`limits`]: small pure things
#![warn(missing_docs)]

pub mod limits;
pub mod net;
pub mod node;
pub mod sip;
pub mod token;
