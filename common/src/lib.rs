//! What every node of the IMS core needs.
//!
//! * [`node`]: the one contract, [`node::Node`], and [`node::TimerTable`]
//! * [`net`]: what crosses a node's border, as values
//! * [`config`]: configuration files
//! * [`sip`]: SIP messages
//! * [`identity`]: IMPI, IMPU, realm; [`aka`]: authentication; [`telemetry`]: what the log may show
//! * [`transaction`], [`proxy`]: SIP transactions, and the proxy core that every CSCF is built around
//! * [`operate`]: what an operator asks of a node, and what it answers
//! * [`ipsec`]: security associations, as values for the kernel
//! * [`overload`]: what is refused when more comes than a node can do
//! * [`steering`]: which shard of a node owns a message
//! * [`token`], [`limits`]: small pure things
//! * [`media_policy`]: which media an offer may have
//! * [`cdr`]: charging data records
//! * [`dialog`]: dialogs that a proxy has on its path
//! * [`diameter`]: the Diameter base protocol
//! * [`why`]: why something failed, by subscriber, in one sentence
//! * [`ifc_test`]: a trial of filter criteria, as the operator asks for it
#![warn(missing_docs)]

pub mod aka;
pub mod cdr;
pub mod config;
pub mod dialog;
pub mod diameter;
pub mod identity;
pub mod ifc_test;
#[cfg(feature = "imsctl")]
pub mod imsctl;
pub mod ipsec;
pub mod limits;
pub mod manual;
pub mod media_policy;
pub mod net;
pub mod node;
pub mod operate;
pub mod overload;
pub mod proxy;
#[cfg(feature = "shell")]
pub mod shell;
pub mod sip;
pub mod steering;
pub mod telemetry;
pub mod token;
pub mod transaction;
pub mod why;
