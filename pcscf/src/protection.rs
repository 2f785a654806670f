//! Machine: what comes in over security associations, and what may go out over them (TS 33.203 7.1; TS 24.229 5.2.1).
//!
//! The core knows nothing of sets. What comes over one reaches it with the flow by which the answer leaves; what it
//! sends to a protected UE passes one gate, where the set of the flow is looked up once more.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use ims_common::identity::Impi;
use ims_common::ipsec::SaSetId;
use ims_common::net::{Destination, Flow, Interface, Malformed, SipInput, SipOutput};
use ims_common::node::give_back;
use ims_common::proxy::ServerTransactionId;
use ims_common::sip::{Message, Method, SipMessage};
use rand::rngs::StdRng;
use tracing::debug;

use crate::challenge::AwaitSaInstalled;
use crate::guard::Verdict;
use crate::ipsec::manager::{Dropped, SaConfig, SaManager, Standing};
use crate::ipsec::policy::IpsecPolicy;
use crate::node::Pcscf;

/// What a P-CSCF has that makes security associations.
#[derive(Debug)]
pub(crate) struct Protection {
    /// What the operator wants.
    pub(crate) policy: IpsecPolicy,
    /// The sets.
    pub(crate) sas: SaManager,
    /// 401s that wait for the kernel.
    pub(crate) challenges: BTreeMap<SaSetId, AwaitSaInstalled>,
    /// The latest REGISTER of each UE whose answer is awaited.
    latest: HashMap<(Impi, IpAddr), ServerTransactionId>,
}

/// What a message begins with, as far as a temporary set must know.
#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Register(&'a Message),
    Other,
}

impl Protection {
    /// No sets yet. `rng` draws the SPIs.
    pub(crate) fn new(policy: IpsecPolicy, rng: StdRng) -> Self {
        Self {
            sas: SaManager::new(SaConfig::of(&policy), rng),
            policy,
            challenges: BTreeMap::new(),
            latest: HashMap::new(),
        }
    }

    /// A REGISTER with an offer is on its way: the offer of an earlier one that is not answered yet counts no more
    /// (TS 24.229 5.2.2.2).
    pub(crate) fn await_answer(&mut self, impi: &Impi, ue: IpAddr, transaction: ServerTransactionId) {
        self.latest.insert((impi.clone(), ue), transaction);
    }

    /// Its answer came. Says whether its offer still counts.
    pub(crate) fn answered(&mut self, impi: &Impi, ue: IpAddr, transaction: ServerTransactionId) -> bool {
        let key = (impi.clone(), ue);
        let is_latest = self.latest.get(&key) == Some(&transaction);
        if is_latest {
            self.latest.remove(&key);
            give_back(&mut self.latest);
        }
        is_latest
    }

    /// TS 33.203 7.1: the flow of a message is one of a live set, and a temporary set carries REGISTERs alone.
    fn admit(&mut self, now: Instant, flow: Flow, content: Content<'_>) -> Result<Flow, Dropped> {
        let set = match content {
            Content::Register(register) => self.sas.set_of_register(&flow, register),
            Content::Other => self.sas.set_of_flow(&flow),
        };
        let set = set.ok_or(Dropped::NoSet)?;
        match (self.sas.standing(set).ok_or(Dropped::NoSet)?, content) {
            (Standing::Temporary | Standing::Ending, Content::Other) => {
                return Err(Dropped::NonRegisterOnTemporary);
            }
            (Standing::Temporary | Standing::Ending, Content::Register(_)) | (Standing::Established, _) => {}
        }
        let register = match content {
            Content::Register(register) => register.cseq().ok().map(|cseq| cseq.number),
            Content::Other => None,
        };
        self.sas.received(now, set, flow.connection, register);
        Ok(self.sas.way_back(set, flow))
    }
}

impl Pcscf {
    /// What of an input the core gets to know.
    pub(crate) fn admitted(&mut self, now: Instant, input: SipInput) -> Option<SipInput> {
        match input {
            SipInput::Received { flow, message } => {
                let verdict = self.guarded(now, &flow, &message);
                if matches!(verdict, Verdict::Drop | Verdict::Forbid) {
                    return None;
                }
                let (flow, message) = self.admitted_message(now, flow, message)?;
                Some(match verdict {
                    Verdict::Excess => SipInput::Excess { flow, message },
                    Verdict::Pass | Verdict::Drop | Verdict::Forbid => SipInput::Received { flow, message },
                })
            }
            SipInput::Excess { flow, message } => {
                let verdict = self.guarded(now, &flow, &message);
                if matches!(verdict, Verdict::Drop | Verdict::Forbid) {
                    return None;
                }
                let (flow, message) = self.admitted_message(now, flow, message)?;
                Some(SipInput::Excess { flow, message })
            }
            SipInput::Malformed(malformed) => {
                if self.guards_malformed(now, &malformed.flow) {
                    return None;
                }
                let flow = self.admit(now, malformed.flow, Content::Other)?;
                Some(SipInput::Malformed(Malformed { flow, ..malformed }))
            }
            SipInput::ConnectionClosed(connection, _) => {
                if let Some(protection) = &mut self.protection {
                    protection.sas.connection_closed(connection);
                }
                Some(input)
            }
            SipInput::SendFailed(_) | SipInput::Resolved { .. } | SipInput::Naptr { .. } => Some(input),
        }
    }

    fn admitted_message(&mut self, now: Instant, flow: Flow, message: Message) -> Option<(Flow, Message)> {
        if flow.interface != Interface::GmProtected {
            return Some((flow, message));
        }
        match message.into_parts() {
            SipMessage::Request(request) => {
                let content = match request.method() {
                    Method::Register => Content::Register(&request),
                    _ => Content::Other,
                };
                let flow = self.admit(now, flow, content)?;
                Some((flow, request.into_message()))
            }
            SipMessage::Response(response) => {
                let flow = self.admit(now, flow, Content::Other)?;
                Some((flow, response.into_message()))
            }
        }
    }

    fn admit(&mut self, now: Instant, flow: Flow, content: Content<'_>) -> Option<Flow> {
        if flow.interface != Interface::GmProtected {
            return Some(flow);
        }
        let admitted = match &mut self.protection {
            Some(protection) => protection.admit(now, flow, content),
            None => Err(Dropped::NoSet),
        };
        match admitted {
            Ok(flow) => Some(flow),
            Err(dropped) => {
                self.count_dropped(dropped);
                if let (Dropped::NoSet, Some(connection), Some(protection)) =
                    (dropped, flow.connection, &mut self.protection)
                {
                    protection.sas.close(connection);
                }
                None
            }
        }
    }

    /// The gate: what goes to a protected UE leaves over a set of that UE, or not at all.
    pub(crate) fn outbound(&mut self, now: Instant, output: SipOutput) -> Option<SipOutput> {
        let SipOutput::Transmit(mut transmit) = output else {
            return Some(output);
        };
        let way = match transmit.destination {
            Destination::Flow(flow) if flow.interface == Interface::GmProtected => {
                let sas = self.protection.as_ref().map(|protection| &protection.sas);
                sas.and_then(|sas| sas.way(&flow)).ok_or(Dropped::NoWay)
            }
            Destination::Address {
                interface: Interface::GmProtected,
                ..
            } => Err(Dropped::NoFlow),
            Destination::Flow(_) | Destination::Address { .. } => return Some(SipOutput::Transmit(transmit)),
        };
        match way {
            Ok(flow) => {
                transmit.destination = Destination::Flow(flow);
                Some(SipOutput::Transmit(transmit))
            }
            Err(dropped) => {
                self.count_dropped(dropped);
                self.core.handle(now, SipInput::SendFailed(transmit.tag));
                self.drain_events(now);
                None
            }
        }
    }

    fn count_dropped(&mut self, dropped: Dropped) {
        debug!(reason = dropped.label(), "protected message dropped");
        self.counters
            .count("ims_pcscf_protected_dropped_total", dropped.label());
    }
}
