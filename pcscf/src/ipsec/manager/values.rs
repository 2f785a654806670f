//! Codec: what the manager of security associations is told, and what it says (TS 33.203 7.1, TS 24.229 5.2.2.2).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ims_common::identity::Impi;
use ims_common::ipsec::{EspKeys, SaSetId, Suite, XfrmFailure};
use ims_common::net::Transport;

use super::super::offer::Choice;
use super::super::policy::IpsecPolicy;
use super::super::ports::ClientPorts;

/// What the configuration says.
#[derive(Clone, Debug)]
pub(crate) struct SaConfig {
    /// Our address and protected server port.
    pub(crate) server: SocketAddr,
    /// Our protected client ports.
    pub(crate) client_ports: ClientPorts,
    /// Sets at a time.
    pub(crate) sets_max: usize,
    /// How long a UE may take to answer a challenge (TS 24.229 7.8).
    pub(crate) reg_await_auth: Duration,
    /// 64*T1 towards UEs.
    pub(crate) overlap: Duration,
}

impl SaConfig {
    /// What the operator wants.
    pub(crate) fn of(policy: &IpsecPolicy) -> Self {
        Self {
            server: SocketAddr::new(policy.address, policy.port_ps),
            client_ports: ClientPorts::new(policy.port_pc.clone()),
            sets_max: policy.sets_max,
            reg_await_auth: policy.reg_await_auth,
            overlap: policy.overlap,
        }
    }
}

/// What a UE says of its end: the SPIs of its inbound associations and its ports (TS 33.203 Annex H).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct UeEnd {
    /// Of the association that ends at its client port.
    pub(crate) spi_uc: u32,
    /// Of the association that ends at its server port.
    pub(crate) spi_us: u32,
    /// Its client port.
    pub(crate) port_uc: u16,
    /// Its server port.
    pub(crate) port_us: u16,
}

impl From<Choice> for UeEnd {
    fn from(choice: Choice) -> Self {
        Self {
            spi_uc: choice.spi_uc,
            spi_us: choice.spi_us,
            port_uc: choice.port_uc,
            port_us: choice.port_us,
        }
    }
}

/// What a 401 (Unauthorized) makes possible.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// Who is challenged.
    pub(crate) impi: Impi,
    /// The source of the REGISTER; what stands in Contact or Via counts for nothing here.
    pub(crate) ue: IpAddr,
    /// The algorithms that were chosen.
    pub(crate) suite: Suite,
    /// Made of CK and IK.
    pub(crate) keys: Arc<EspKeys>,
    /// What the UE offered.
    pub(crate) end: UeEnd,
    /// The set that the challenged REGISTER came over; none when it came unprotected.
    pub(crate) carried_by: Option<SaSetId>,
    /// By which transport.
    pub(crate) transport: Transport,
}

/// Why a set cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SaRefusal {
    /// A set of another user at the same address, who speaks, has one of these ports or SPIs (TS 33.203 7.1).
    TakenByAnother,
    /// The UE offers again what its set in use has, while it speaks over it (TS 24.229 5.1.1.4.2).
    TakenByItself,
    /// Every client port of ours is taken by a live set of this UE.
    NoClientPort,
    /// No SPI was found.
    NoSpi,
    /// No place is left.
    Full,
    /// An address that no packet comes from.
    NoAddress,
}

impl SaRefusal {
    /// A metric label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::TakenByAnother => "taken_by_another",
            Self::TakenByItself => "taken_by_itself",
            Self::NoClientPort => "no_client_port",
            Self::NoSpi => "no_spi",
            Self::Full => "sets_max",
            Self::NoAddress => "no_address",
        }
    }
}

/// Why a set that was asked for did not come to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SaFailure {
    /// The kernel said no.
    Kernel(XfrmFailure),
    /// The kernel said nothing.
    Silent,
    /// Another challenge of this UE came.
    Replaced,
}

impl SaFailure {
    /// A metric label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Kernel(failure) => failure.label(),
            Self::Silent => "kernel_silent",
            Self::Replaced => "replaced",
        }
    }
}

/// What became of a set that was asked for. Each set that was asked for has exactly one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SaEvent {
    /// Packets pass: the 401 may leave.
    Ready(SaSetId),
    /// Nothing of it is left.
    Failed(SaSetId, SaFailure),
}

/// Where a set is in its life (TS 24.229 table 5.2.2-1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// The kernel has been asked.
    Preparing { tries: u8 },
    /// The UE has been challenged.
    Temporary,
    /// The UE's answer was refused, or took it away: the response is still on its way.
    Ending,
    /// Newly established, and not taken into use.
    NotYetUsed,
    /// Newly established, and taken into use: what goes to the UE goes over it.
    InUse,
    /// Old.
    Superseded,
}

impl Stage {
    pub(super) const LABELS: [&'static str; 6] = [
        "preparing",
        "temporary",
        "ending",
        "not_yet_used",
        "in_use",
        "superseded",
    ];

    /// Its place among [`Self::LABELS`].
    pub(super) const fn number(self) -> usize {
        match self {
            Self::Preparing { .. } => 0,
            Self::Temporary => 1,
            Self::Ending => 2,
            Self::NotYetUsed => 3,
            Self::InUse => 4,
            Self::Superseded => 5,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        Self::LABELS[self.number()]
    }

    /// Whether everything may be said over it.
    pub(super) const fn is_established(self) -> bool {
        matches!(self, Self::NotYetUsed | Self::InUse | Self::Superseded)
    }

    /// Whether the UE has not yet answered the challenge.
    pub(super) const fn is_pending(self) -> bool {
        matches!(self, Self::Preparing { .. } | Self::Temporary)
    }
}
