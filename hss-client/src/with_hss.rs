//! Machine: a CSCF and its HSS client as one node, joined by values.

use std::collections::VecDeque;
use std::time::Instant;

use ims_common::cdr::CdrEvent;
use ims_common::identity::Impu;
use ims_common::ifc_test::{IfcTest, IfcTestAnswer, IfcTestError};
use ims_common::net::{Command, NetInput, NetOutput, SipInput, SipOutput};
use ims_common::node::{Metrics, Node, Sharded, Spoken, earliest};
use ims_common::operate::{Question, Report};
use ims_common::steering::ShardPlace;
use ims_common::token::ShardId;
use ims_common::why::Note;

mod desk;

use self::desk::{Desk, number_of};
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
    /// Requests for this identity are served here, by this shard.
    Serves(Impu),
    /// No longer.
    Leaves(Impu),
    /// Something to be charged has happened: as [`NetOutput::Cdr`].
    Cdr(Box<CdrEvent>),
    /// Nothing is in progress any more, after [`Command::Drain`].
    Drained,
}

/// A CSCF that speaks Cx.
pub trait CxUser: Node<Input = CscfInput, Output = CscfOutput> {}

impl<N: Node<Input = CscfInput, Output = CscfOutput>> CxUser for N {}

/// Where the one HSS client of a node is.
const DESK: ShardId = ShardId(0);

/// What shards tell each other about Cx. The HSS sees one client: it lives in the first shard, and the others ask there.
#[derive(Clone, Debug)]
pub enum CxWord {
    /// To the first shard: ask the HSS, or answer it. The number of a request carries the shard that asks.
    Ask(CxOutput),
    /// From the first shard: an answer of the HSS, or a request.
    Tell(CxInput),
    /// From the first shard: whether so much waits for the HSS that nothing new should begin.
    Behind(bool),
    /// To the first shard: this one has nothing in progress any more.
    Drained,
}

/// A CSCF and its HSS client under one driver, or one shard of these.
///
/// Outputs of the one are inputs of the other at the same instant; what is left is for the world. After
/// [`Command::Drain`] the CSCF finishes first, then the client says goodbye to its peers, then
/// [`NetOutput::Drained`] comes. Drain `poll_output` once after construction: it dials the peers.
#[derive(Debug)]
pub struct WithHss<N> {
    cscf: N,
    hss: Hss,
    outputs: VecDeque<NetOutput>,
    spoken: VecDeque<Spoken<CxWord>>,
}

/// The way to the HSS.
#[derive(Debug)]
enum Hss {
    Here(Box<Desk>),
    Away { own: ShardId, is_behind: bool },
}

impl<N: CxUser> WithHss<N> {
    /// Joins the two.
    pub fn new(cscf: N, hss: HssClient) -> Self {
        Self::of_shard(cscf, ShardPlace::ALONE, || hss)
    }

    /// One shard. The client of the first one serves all.
    pub fn of_shard(cscf: N, place: ShardPlace, hss: impl FnOnce() -> HssClient) -> Self {
        let hss = match place.shard {
            DESK => Hss::Here(Box::new(Desk::new(hss(), place.of))),
            own => Hss::Away {
                own,
                is_behind: false,
            },
        };
        Self {
            cscf,
            hss,
            outputs: VecDeque::new(),
            spoken: VecDeque::new(),
        }
    }

    /// The CSCF.
    pub fn cscf(&self) -> &N {
        &self.cscf
    }

    /// The CSCF, to give it other settings.
    pub fn cscf_mut(&mut self) -> &mut N {
        &mut self.cscf
    }

    /// Whether what would begin something is refused.
    fn is_behind(&self, now: Instant) -> bool {
        match &self.hss {
            Hss::Here(desk) => desk.client.is_behind(now),
            Hss::Away { is_behind, .. } => *is_behind,
        }
    }

    /// Carries values between the two until both are quiet; each is drained after each of its inputs.
    fn exchange(&mut self, now: Instant) {
        match &mut self.hss {
            Hss::Here(_) => self.exchange_here(now),
            Hss::Away { own, .. } => {
                let own = *own;
                self.exchange_away(own);
            }
        }
    }

    fn exchange_here(&mut self, now: Instant) {
        let Hss::Here(desk) = &mut self.hss else { return };
        let mut to_hss = VecDeque::new();
        let mut to_cscf = VecDeque::new();
        loop {
            while let Some(output) = self.cscf.poll_output() {
                match output {
                    CscfOutput::Sip(output) => self.outputs.push_back(NetOutput::Sip(output)),
                    CscfOutput::Cx(output) => to_hss.extend(desk.asked(output)),
                    CscfOutput::Serves(impu) => self.spoken.push_back(Spoken::Serves(impu)),
                    CscfOutput::Leaves(impu) => self.spoken.push_back(Spoken::Leaves(impu)),
                    CscfOutput::Cdr(event) => self.outputs.push_back(NetOutput::Cdr(event)),
                    CscfOutput::Drained => to_hss.extend(desk.one_has_drained()),
                }
            }
            while let Some(output) = desk.client.poll_output() {
                match output {
                    HssClientOutput::Diameter(output) => self.outputs.push_back(NetOutput::Diameter(output)),
                    HssClientOutput::Cx(input) => to_cscf.extend(desk.told(input, &mut self.spoken)),
                    HssClientOutput::Stopped => self.outputs.push_back(NetOutput::Drained),
                }
            }
            if let Some(input) = to_hss.pop_front() {
                desk.client.handle(now, input);
            } else if let Some(input) = to_cscf.pop_front() {
                self.cscf.handle(now, CscfInput::Cx(input));
            } else {
                return desk.tell_whether_behind(now, &mut self.spoken);
            }
        }
    }

    fn exchange_away(&mut self, own: ShardId) {
        while let Some(output) = self.cscf.poll_output() {
            match output {
                CscfOutput::Sip(output) => self.outputs.push_back(NetOutput::Sip(output)),
                CscfOutput::Cx(output) => {
                    let word = CxWord::Ask(number_of(own, output));
                    self.spoken.push_back(Spoken::To(DESK, word));
                }
                CscfOutput::Serves(impu) => self.spoken.push_back(Spoken::Serves(impu)),
                CscfOutput::Leaves(impu) => self.spoken.push_back(Spoken::Leaves(impu)),
                CscfOutput::Cdr(event) => self.outputs.push_back(NetOutput::Cdr(event)),
                CscfOutput::Drained => {
                    self.spoken.push_back(Spoken::To(DESK, CxWord::Drained));
                    self.outputs.push_back(NetOutput::Drained);
                }
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
            NetInput::Sip(SipInput::Received { flow, message }) if self.is_behind(now) => {
                let excess = SipInput::Excess { flow, message };
                self.cscf.handle(now, CscfInput::Sip(excess));
            }
            NetInput::Sip(input) => self.cscf.handle(now, CscfInput::Sip(input)),
            NetInput::Diameter(input) => {
                if let Hss::Here(desk) = &mut self.hss {
                    desk.client.handle(now, HssClientInput::Diameter(input));
                }
            }
            NetInput::Command(command) => self.cscf.handle(now, CscfInput::Command(command)),
            // No UE is a neighbour of a node that asks the HSS.
            NetInput::Xfrm(_) => {}
        }
        self.exchange(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.cscf.handle_timeout(now);
        self.exchange(now);
        if let Hss::Here(desk) = &mut self.hss {
            desk.client.handle_timeout(now);
            self.exchange(now);
        }
    }

    fn poll_output(&mut self) -> Option<NetOutput> {
        let queued = self.outputs.pop_front();
        let Hss::Here(desk) = &mut self.hss else {
            return queued;
        };
        // Before the first input only the client has something to say: it dials.
        queued.or_else(|| match desk.client.poll_output()? {
            HssClientOutput::Diameter(output) => Some(NetOutput::Diameter(output)),
            HssClientOutput::Stopped => Some(NetOutput::Drained),
            HssClientOutput::Cx(_) => unreachable!("the client answers requests only, and none was made"),
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.hss {
            Hss::Here(desk) => earliest(self.cscf.poll_timeout(), desk.client.poll_timeout()),
            Hss::Away { .. } => self.cscf.poll_timeout(),
        }
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.cscf.poll_note()
    }

    fn metrics(&self, out: &mut Metrics) {
        self.cscf.metrics(out);
        if let Hss::Here(desk) = &self.hss {
            desk.client.metrics(out);
        }
    }

    fn ifc_test(&self, test: &IfcTest) -> Option<Result<IfcTestAnswer, IfcTestError>> {
        self.cscf.ifc_test(test)
    }

    fn report(&self, now: Instant, question: &Question, out: &mut Report) {
        self.cscf.report(now, question, out);
        if let Hss::Here(desk) = &self.hss {
            desk.client.report(now, question, out);
        }
    }
}

impl<N: CxUser> Sharded for WithHss<N> {
    type Word = CxWord;

    fn hear(&mut self, now: Instant, word: CxWord) {
        match (word, &mut self.hss) {
            (CxWord::Ask(output), Hss::Here(desk)) => {
                if let Some(input) = desk.asked(output) {
                    desk.client.handle(now, input);
                }
            }
            (CxWord::Drained, Hss::Here(desk)) => {
                if let Some(input) = desk.one_has_drained() {
                    desk.client.handle(now, input);
                }
            }
            (CxWord::Tell(input), Hss::Away { .. }) => self.cscf.handle(now, CscfInput::Cx(input)),
            (CxWord::Behind(now_behind), Hss::Away { is_behind, .. }) => *is_behind = now_behind,
            (CxWord::Ask(_) | CxWord::Drained, Hss::Away { .. })
            | (CxWord::Tell(_) | CxWord::Behind(_), Hss::Here(_)) => {
                unreachable!("only the first shard is asked, and it alone tells")
            }
        }
        self.exchange(now);
    }

    fn poll_spoken(&mut self) -> Option<Spoken<CxWord>> {
        self.spoken.pop_front()
    }
}

#[cfg(test)]
mod tests;
