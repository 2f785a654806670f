//! Machine: a CSCF and its HSS client as one node, joined by values.

use ims_common::net::{Command, SipInput, SipOutput};
use ims_common::node::Node;

use crate::cx::{CxInput, CxOutput};

/// Everything that can happen to a CSCF that speaks Cx.
#[derive(Clone, Debug)]
pub enum CscfInput {
    /// On SIP.
    Sip(SipInput),
    /// From the HSS client.
    Cx(CxInput),
    /// From the operator.
    Command(Command),
}

/// Everything that a CSCF that speaks Cx can ask for.
#[derive(Clone, Debug)]
pub enum CscfOutput {
    /// Of SIP.
    Sip(SipOutput),
    /// Of the HSS client.
    Cx(CxOutput),
    /// Nothing is in progress any more, after [`Command::Drain`].
    Drained,
}

/// A CSCF that speaks Cx.
pub trait CxUser: Node<Input = CscfInput, Output = CscfOutput> {}

impl<N: Node<Input = CscfInput, Output = CscfOutput>> CxUser for N {}
