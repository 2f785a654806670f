//! Machine: a CSCF and its HSS client as one node, joined by values.

use std::collections::VecDeque;
use std::time::Instant;

use ims_common::net::{Command, NetInput, NetOutput, SipInput, SipOutput};
use ims_common::node::{Metrics, Node, earliest};

use crate::client::{HssClient, HssClientInput, HssClientOutput};
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

/// A CSCF and its HSS client under one driver.
///
/// Outputs of the one are inputs of the other at the same instant; what is left is for the world. After
/// [`Command::Drain`] the CSCF finishes first, then the client says goodbye to its peers, then
/// [`NetOutput::Drained`] comes. Drain `poll_output` once after construction: it dials the peers.
#[derive(Debug)]
pub struct WithHss<N> {
    cscf: N,
    hss: HssClient,
    outputs: VecDeque<NetOutput>,
}

impl<N: CxUser> WithHss<N> {
    /// Joins the two.
    pub fn new(cscf: N, hss: HssClient) -> Self {
        let outputs = VecDeque::new();
        Self { cscf, hss, outputs }
    }

    /// The CSCF.
    pub fn cscf(&self) -> &N {
        &self.cscf
    }

    /// The client.
    pub fn hss(&self) -> &HssClient {
        &self.hss
    }

    /// Carries values between the two until both are quiet; each is drained after each of its inputs.
    fn exchange(&mut self, now: Instant) {
        let mut to_hss = VecDeque::new();
        let mut to_cscf = VecDeque::new();
        loop {
            while let Some(output) = self.cscf.poll_output() {
                match output {
                    CscfOutput::Sip(output) => self.outputs.push_back(NetOutput::Sip(output)),
                    CscfOutput::Cx(output) => to_hss.push_back(HssClientInput::Cx(output)),
                    CscfOutput::Drained => to_hss.push_back(HssClientInput::Stop),
                }
            }
            while let Some(output) = self.hss.poll_output() {
                match output {
                    HssClientOutput::Diameter(output) => self.outputs.push_back(NetOutput::Diameter(output)),
                    HssClientOutput::Cx(input) => to_cscf.push_back(CscfInput::Cx(input)),
                    HssClientOutput::Stopped => self.outputs.push_back(NetOutput::Drained),
                }
            }
            if let Some(input) = to_hss.pop_front() {
                self.hss.handle(now, input);
            } else if let Some(input) = to_cscf.pop_front() {
                self.cscf.handle(now, input);
            } else {
                return;
            }
        }
    }
}

impl<N: CxUser> Node for WithHss<N> {
    type Input = NetInput;
    type Output = NetOutput;

    fn handle(&mut self, now: Instant, input: NetInput) {
        match input {
            // What would only wait for the HSS is refused while that costs nothing.
            NetInput::Sip(SipInput::Received { flow, message }) if self.hss.is_behind(now) => {
                let excess = SipInput::Excess { flow, message };
                self.cscf.handle(now, CscfInput::Sip(excess));
            }
            NetInput::Sip(input) => self.cscf.handle(now, CscfInput::Sip(input)),
            NetInput::Diameter(input) => self.hss.handle(now, HssClientInput::Diameter(input)),
            NetInput::Command(command) => self.cscf.handle(now, CscfInput::Command(command)),
            // No UE is a neighbour of a node that asks the HSS.
            NetInput::Xfrm(_) => {}
        }
        self.exchange(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.cscf.handle_timeout(now);
        self.exchange(now);
        self.hss.handle_timeout(now);
        self.exchange(now);
    }

    fn poll_output(&mut self) -> Option<NetOutput> {
        let queued = self.outputs.pop_front();
        // Before the first input only the client has something to say: it dials.
        queued.or_else(|| match self.hss.poll_output()? {
            HssClientOutput::Diameter(output) => Some(NetOutput::Diameter(output)),
            HssClientOutput::Stopped => Some(NetOutput::Drained),
            HssClientOutput::Cx(_) => unreachable!("the client answers requests only, and none was made"),
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.cscf.poll_timeout(), self.hss.poll_timeout())
    }

    fn metrics(&self, out: &mut Metrics) {
        self.cscf.metrics(out);
        self.hss.metrics(out);
    }
}

#[cfg(test)]
mod tests;
