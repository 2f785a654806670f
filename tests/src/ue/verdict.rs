//! Testkit: what probably is wrong when a phone did not get what it wanted, and the remedy, as one sentence.
//!
//! It says what a phone can know. Why the network did so, the network knows: `imsctl why`.

mod sort;
mod talk;

use std::fmt;
use std::net::SocketAddr;

use ims_common::net::Transport;

pub use self::sort::Sort;
pub use self::talk::{has_begun, of_call, of_message, of_report};
use super::UeEvent;
use crate::card::session::AkaFailure;
use crate::card::wording::printable;

/// What was tried, and with what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct About {
    /// The private identity.
    pub impi: String,
    /// The public identity.
    pub impu: String,
    /// The home domain.
    pub home: String,
    /// The P-CSCF.
    pub pcscf: SocketAddr,
    /// How it was spoken to.
    pub transport: Transport,
    /// With security associations.
    pub ipsec: bool,
    /// What answers challenges.
    pub prover: Prover,
}

/// What answers challenges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Prover {
    /// A card.
    Card,
    /// Keys from the command line.
    Keys,
}

impl Prover {
    /// How such a phone is told to register without IPsec.
    #[must_use]
    pub const fn in_clear(self) -> &'static str {
        match self {
            Self::Card => "with --clear",
            Self::Keys => "without --ipsec",
        }
    }

    /// How such a phone is run as root. sudo drops what it is not told to keep.
    #[must_use]
    pub const fn as_root(self) -> &'static str {
        match self {
            Self::Card => "sudo --preserve-env=UE_PIN ue …",
            Self::Keys => "sudo ue …",
        }
    }

    const fn wants_ipsec(self) -> &'static str {
        match self {
            Self::Card => "without --clear",
            Self::Keys => "with --ipsec",
        }
    }
}

impl fmt::Display for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Card => "the card",
            Self::Keys => "the phone",
        })
    }
}

/// A failure, for people and for programs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Its sort.
    pub sort: Sort,
    /// The final status that came, when one did.
    pub status: Option<u16>,
    /// What probably is wrong, and the remedy.
    pub sentence: String,
}

impl Verdict {
    fn new(sort: Sort, sentence: impl Into<String>) -> Self {
        Self {
            sort,
            status: None,
            sentence: sentence.into(),
        }
    }
}

/// What a registered phone wants of its network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Errand {
    /// To stay registered.
    Refresh,
    /// To leave.
    Leave,
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refresh => "registering again",
            Self::Leave => "leaving",
        })
    }
}

/// Why a registration did not come about, by what the phone saw of it.
#[must_use]
pub fn of_registration(events: &[UeEvent], about: &About) -> Verdict {
    of_register(events, about, None)
}

/// Why a phone that was registered could not stay, or leave, by what it saw of that.
#[must_use]
pub fn of_registered(events: &[UeEvent], about: &About, errand: Errand) -> Verdict {
    of_register(events, about, Some(errand))
}

/// Somebody ended the program.
#[must_use]
pub fn interrupted() -> Verdict {
    Verdict::new(
        Sort::Interrupted,
        "interrupted before it was done; what the network has granted it keeps until it expires",
    )
}

/// The program itself is at fault.
#[must_use]
pub fn internal(why: &str) -> Verdict {
    Verdict::new(
        Sort::Internal,
        format!("{why}: this is a fault of the program ue, not of the network; try again, and report it"),
    )
}

fn of_register(events: &[UeEvent], about: &About, errand: Option<Errand>) -> Verdict {
    let count = |is: fn(&UeEvent) -> bool| events.iter().filter(|event| is(event)).count();
    let told = events.iter().rev().find_map(|event| told(event, about));
    let status = events.iter().rev().find_map(|event| {
        if let UeEvent::Rejected { status, .. } = event {
            return Some(Some(*status));
        }
        matches!(event, UeEvent::Challenged { .. } | UeEvent::NoAnswer).then_some(None)
    });
    let status = status.flatten();
    let seen = Seen {
        errand,
        challenged: count(|event| matches!(event, UeEvent::Challenged { .. })),
        answered: count(|event| matches!(event, UeEvent::NetworkAuthentic)),
        unanswerable: events.last().and_then(|event| {
            let UeEvent::Challenged { algorithm } = event else {
                return None;
            };
            Some(algorithm.as_str())
        }),
        installed: count(|event| matches!(event, UeEvent::SaInstalled(_))) > 0,
        retry_after: events.iter().rev().find_map(|event| {
            let UeEvent::Rejected { retry_after, .. } = event else {
                return None;
            };
            Some(*retry_after)
        }),
    };
    let verdict = if let Some(told) = told {
        told
    } else if count(|event| matches!(event, UeEvent::MacFailure)) > 0 {
        mac_failure(about)
    } else if count(|event| matches!(event, UeEvent::SyncFailure)) > 0 && seen.answered == 0 {
        not_resynchronised(about)
    } else {
        seen.verdict(status, about)
    };
    Verdict { status, ..verdict }
}

/// What is told of one event, whatever else there was.
fn told(event: &UeEvent, about: &About) -> Option<Verdict> {
    if let UeEvent::CardFailed(error) = event {
        let sentence = format!(
            "the card did not answer the challenge, and nothing more was said to the network: {}",
            AkaFailure::Card(error.clone())
        );
        return Some(Verdict::new(Sort::Card, sentence));
    }
    let UeEvent::SaFailed(why) = event else {
        return None;
    };
    Some(without_set(why, about))
}

/// What a phone saw of a registration in which it accepted every challenge.
struct Seen<'a> {
    errand: Option<Errand>,
    /// The algorithm of the last challenge, when the phone stopped there.
    unanswerable: Option<&'a str>,
    challenged: usize,
    answered: usize,
    installed: bool,
    retry_after: Option<Option<u32>>,
}

impl Seen<'_> {
    fn verdict(&self, status: Option<u16>, about: &About) -> Verdict {
        match (status, self.unanswerable) {
            (Some(status), _) => self.refused(status, about),
            (None, Some(algorithm)) => unanswerable(algorithm),
            (None, None) if self.answered > 1 => not_believed("it challenged again and again", about),
            (None, None) if self.challenged == 0 => match self.errand {
                Some(errand) => silence_when_registered(errand, about),
                None => silence(about),
            },
            (None, None) if self.installed => Verdict::new(
                Sort::Esp,
                format!(
                    "the challenge came, and nothing came over the security associations: ESP (IP protocol 50) is dropped \
                     or its addresses are translated between here and {}, or the P-CSCF has other keys or SPIs; look \
                     with tcpdump on both ends and at /proc/net/xfrm_stat, and take NAT and firewalls out of the way",
                    about.pcscf.ip()
                ),
            ),
            (None, None) => Verdict::new(
                Sort::SilenceAfterChallenge,
                format!(
                    "the challenge was answered, and {} said nothing more: the network waits for somebody, or the answer was \
                     too long for a datagram and got lost; try --tcp, and ask the P-CSCF (imsctl why {})",
                    about.pcscf, about.impi
                ),
            ),
        }
    }

    fn refused(&self, status: u16, about: &About) -> Verdict {
        let About { impi, impu, home, .. } = about;
        match status {
            401 | 403 if self.answered > 0 => return not_believed(&format!("it says {status}"), about),
            // What stands between a phone and its first registration is past.
            403 | 404 | 420 | 421 | 494 => {
                if let Some(errand) = self.errand {
                    return refused_when_registered(status, errand, about);
                }
            }
            _ => {}
        }
        match status {
            403 => Verdict::new(
                Sort::Forbidden,
                format!(
                    "403 before any challenge: the HSS does not know {impi}, or {impu} is not an identity of it, or \
                     roaming is not allowed; compare both names with the HSS, letter by letter"
                ),
            ),
            404 => Verdict::new(
                Sort::Unknown,
                format!("404: nobody knows {impu}; add it to the subscriber {impi} in the HSS"),
            ),
            420 | 421 | 494 => without_agreement(status, about),
            504 | 408 => Verdict::new(
                Sort::NetworkWaits,
                format!(
                    "{status}: the P-CSCF is there, and a node behind it does not answer: the I-CSCF, the S-CSCF or the HSS; \
                     run the doctor of each (--doctor), and see that their Diameter peers are open"
                ),
            ),
            480 | 500 | 503 => Verdict::new(
                Sort::Unavailable,
                format!(
                    "{status}: the network cannot serve this now{}: no S-CSCF to be had, no connection with the HSS, too \
                     much to do, or a node that drains; ask its nodes (imsctl why {impi})",
                    match self.retry_after.flatten() {
                        Some(seconds) => format!(" and wants to be asked again after {seconds} s"),
                        None => String::new(),
                    }
                ),
            ),
            400 => Verdict::new(
                Sort::Malformed,
                format!(
                    "400: a node finds something in this REGISTER that it does not take, perhaps the names of the card \
                     ({impi}, {impu}, {home}); the ladder and the node's log say what"
                ),
            ),
            status => Verdict::new(
                Sort::Refused,
                format!(
                    "the network refuses with {status}; the ladder shows what it was told, imsctl why {impi} the reason"
                ),
            ),
        }
    }
}

/// 420, 421 and 494: phone and P-CSCF do not agree how Gm is protected (RFC 3329 2.3.1).
fn without_agreement(status: u16, about: &About) -> Verdict {
    match status {
        420 => Verdict::new(
            Sort::NoSecAgree,
            format!(
                "420: this P-CSCF has no security agreement (sec-agree): register {}, or turn IPsec on there",
                about.prover.in_clear()
            ),
        ),
        421 | 494 if !about.ipsec => Verdict::new(
            Sort::SecAgreeWanted,
            format!(
                "{status}: this P-CSCF wants IPsec: register {}",
                about.prover.wants_ipsec()
            ),
        ),
        421 => Verdict::new(
            Sort::ExtensionWanted,
            "421: the P-CSCF wants an extension that this phone does not offer; the ladder shows it in Require",
        ),
        _ => Verdict::new(
            Sort::SecAgree,
            "494: the P-CSCF has none of the algorithms that were offered, or what it offered came back changed \
             (Security-Verify); allow hmac-sha-1-96 with aes-cbc or null there, or take another --shape",
        ),
    }
}

fn unanswerable(algorithm: &str) -> Verdict {
    let it = match algorithm {
        "none" => "no challenge is in the 401 (WWW-Authenticate)".to_owned(),
        algorithm => format!("the challenge ({}) cannot be answered", printable(algorithm)),
    };
    Verdict::new(
        Sort::Challenge,
        format!(
            "{it}: a phone with a card answers AKAv1-MD5 with RAND and AUTN in the nonce; have the HSS give AKA vectors for \
             this subscriber (Digest-AKAv1-MD5), not SIP Digest"
        ),
    )
}

fn mac_failure(about: &About) -> Verdict {
    let sentence = match about.prover {
        Prover::Card => format!(
            "the card finds the network's proof wrong (MAC failure): the HSS has another K or OPc for {} than the card, or \
             has OP where OPc belongs; compare them with `ue card check`, and program the HSS or the card again",
            about.impi
        ),
        Prover::Keys => format!(
            "the network's proof is wrong (MAC failure): the HSS has another K or OPc for {} than --k and --opc say",
            about.impi
        ),
    };
    Verdict::new(Sort::MacFailure, sentence)
}

fn not_resynchronised(about: &About) -> Verdict {
    let sentence = format!(
        "{} has asked for resynchronisation (AUTS), and the network does not follow: the HSS must verify AUTS with the same K \
         and OPc, take the SQN in it, and make its next vector with a higher one; compare OPc, and see whether another \
         program writes the SQN of {}",
        about.prover, about.impi
    );
    Verdict::new(Sort::NotResynchronised, sentence)
}

fn not_believed(what: &str, about: &About) -> Verdict {
    let check = match about.prover {
        Prover::Card => "compare the card with the HSS (`ue card check`)",
        Prover::Keys => "compare --k and --opc with the HSS",
    };
    Verdict::new(
        Sort::NotBelieved,
        format!(
            "the network was authentic and got RES, and {what}: the HSS compares with another XRES, or it refuses the \
             subscriber for another reason (barred, {} is not an identity of {}, roaming not allowed, no profile); {check}, \
             and see `imsctl why {}`",
            about.impu, about.impi, about.impi
        ),
    )
}

fn silence(about: &About) -> Verdict {
    let transport = match about.transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    };
    Verdict::new(
        Sort::Silence,
        format!(
            "nothing answers at {} over {transport}: see that the P-CSCF listens there (ss -lunpt), that there is a way to it \
             and back (ip route get {}), and that no firewall and no pool of allowed addresses (ue_pool) is in the way",
            about.pcscf,
            about.pcscf.ip()
        ),
    )
}

fn silence_when_registered(errand: Errand, about: &About) -> Verdict {
    let pcscf = about.pcscf;
    let sentence = match about.ipsec {
        true => format!(
            "the phone was registered, and {errand} has no answer over the security associations: they are gone at {} (a \
             P-CSCF that was started anew, or a lifetime that ended), or a firewall or NAT on the way has forgotten ESP; \
             compare `ip xfrm state` on both ends, and register anew",
            pcscf.ip()
        ),
        false => format!(
            "the phone was registered, and {errand} has no answer from {pcscf}: the P-CSCF, or a node behind it, has ended or \
             is out of reach since; see that they run, and that the way there is still open",
        ),
    };
    Verdict::new(Sort::SilenceWhenRegistered, sentence)
}

fn refused_when_registered(status: u16, errand: Errand, about: &About) -> Verdict {
    Verdict::new(
        Sort::RefusedWhenRegistered,
        format!(
            "the phone was registered, and {errand} is answered with {status}: the network has ended the registration since, \
             the subscriber was changed or removed in the HSS, or the P-CSCF no longer knows this phone; see `imsctl why {}`, \
             and register anew",
            about.impi
        ),
    )
}

/// By the words of [`super::sas`] and of the kernel.
fn without_set(why: &str, about: &About) -> Verdict {
    let in_clear = about.prover.in_clear();
    let sentence = match why {
        "no Security-Server" => format!(
            "the P-CSCF challenges without Security-Server: it does not protect Gm; turn IPsec on there, or register \
             {in_clear}"
        ),
        "no common mechanism" => {
            "the P-CSCF chose none of the algorithms that were offered; allow hmac-sha-1-96 with aes-cbc or null there, or \
             take another --shape"
                .to_owned()
        }
        "not_permitted" => format!(
            "the kernel refuses security associations: CAP_NET_ADMIN is missing; run it as root ({}), or {in_clear}",
            about.prover.as_root()
        ),
        "unsupported" => {
            "this kernel lacks ESP or the algorithm that the P-CSCF chose: modprobe esp4 esp6 authenc, or allow another there"
                .to_owned()
        }
        "exists" => {
            "this kernel has a security association with the same SPI already: another phone or P-CSCF uses this network \
             namespace; give each its own (--netns)"
                .to_owned()
        }
        why => format!(
            "there are no security associations ({why}); see `ip xfrm state`, `ip xfrm policy` and the kernel's log"
        ),
    };
    Verdict::new(Sort::SecurityAssociations, sentence)
}

#[cfg(test)]
mod tests;
