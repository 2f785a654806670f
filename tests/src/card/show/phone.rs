//! Testkit: what a phone will do with a card, in sentences that begin with a verb.

use ims_common::identity::Impu;

use super::super::contents::{CardContents, Isim, PinState, Read};
use super::super::core::Core;
use super::super::identity::{CardIdentity, CardPcscfs, Origin, ServiceCentre};
use super::super::wording::{and, printable};
use super::files::pcscf;

/// In the order in which it does them.
pub(super) fn sentences(card: &CardContents, core: Option<&Core>) -> Vec<String> {
    let mut all = Vec::new();
    match card.pin.map(|pin| pin.state) {
        Some(PinState::Wanted { .. } | PinState::Verified) => {
            all.push("ask for the PIN when it is switched on".to_owned());
        }
        Some(PinState::Blocked) => {
            return vec![
                "ask for the PUK when it is switched on, and do nothing before it is said".to_owned(),
            ];
        }
        Some(PinState::Disabled | PinState::Unknown(_)) | None => {}
    }
    let identity = match card.identity() {
        Ok(identity) => identity,
        Err(_) if is_protected(card) => {
            all.push("register with names that could not be read here".to_owned());
            return all;
        }
        Err(missing) => {
            all.push(format!("not register: {missing}{}", instead(card)));
            return all;
        }
    };
    all.push(ask_pcscf(card, core));
    all.push(register(&identity));
    all.extend(be_known(&identity, core));
    all.push(text(card));
    all
}

/// The names are there, and the card kept them back.
fn is_protected(card: &CardContents) -> bool {
    let is_refused = |read: &Read<String>| matches!(read, Read::Refused(_));
    match (&card.isim, &card.usim) {
        (Some(isim), _) => {
            is_refused(&isim.impi) || is_refused(&isim.domain) || matches!(isim.impus, Read::Refused(_))
        }
        (None, Some(usim)) => is_refused(&usim.imsi),
        (None, None) => false,
    }
}

/// Some phones do not care that an ISIM is there.
fn instead(card: &CardContents) -> String {
    let usim_alone = CardContents {
        isim: None,
        ..card.clone()
    };
    match (&card.isim, usim_alone.identity()) {
        (Some(_), Ok(identity)) => format!(
            "; some take the USIM instead, and register {} as {}",
            identity.names.impu, identity.names.impi
        ),
        _ => String::new(),
    }
}

/// TS 24.229 5.1.1.2.1.
fn register(identity: &CardIdentity) -> String {
    let names = &identity.names;
    let origin = match identity.origin {
        Origin::Isim { record } => format!("the names of the ISIM, record {record} of EF_IMPU"),
        Origin::Usim => "names derived from the IMSI of the USIM".to_owned(),
    };
    format!(
        "register {} as {} at {} ({origin})",
        printable(&names.impu),
        printable(&names.impi),
        printable(&names.home)
    )
}

/// TS 24.229 9.2.1, L.2.2.1: what the network says, or what the card says when its service table lets it.
fn ask_pcscf(card: &CardContents, core: Option<&Core>) -> String {
    let has_to_be = match core {
        Some(core) if core.pcscfs().next().is_some() => {
            format!("; it has to be {}", core.pcscfs_in_words())
        }
        _ => String::new(),
    };
    let of_card: Vec<_> = card.isim.as_ref().map(pcscfs_to_use).unwrap_or_default();
    match of_card.is_empty() {
        true => format!("ask the P-CSCF that the network names, for the card names none{has_to_be}"),
        false => format!(
            "ask the P-CSCF that the network names, or {} of EF_P-CSCF when it names none{has_to_be}",
            and(&of_card)
        ),
    }
}

fn pcscfs_to_use(isim: &Isim) -> Vec<String> {
    match isim.pcscfs_of_phone() {
        CardPcscfs::Used(named) => named.iter().map(pcscf).collect(),
        CardPcscfs::Unused(_) => Vec::new(),
    }
}

/// P-Associated-URI: what is not barred of the implicit set (TS 24.229 5.4.1.2.2F).
fn be_known(identity: &CardIdentity, core: Option<&Core>) -> Option<String> {
    let subscriber = core?.subscriber(&identity.names.impi)?;
    let set = Core::implicit_set(subscriber, &Impu::parse(&identity.names.impu).ok()?)?;
    let visible: Vec<_> = set
        .iter()
        .filter(|identity| !identity.barred)
        .map(|identity| identity.impu.as_str().to_owned())
        .collect();
    match visible.is_empty() {
        true => None,
        false => Some(format!(
            "be {} to others, as the HSS has it ({})",
            and(&visible),
            core?.hss_in_words()
        )),
    }
}

fn text(card: &CardContents) -> String {
    let Some(centre) = card.service_centre() else {
        return "have no service centre to send texts through".to_owned();
    };
    let ServiceCentre { psi, file, owner, .. } = &centre;
    format!(
        "send texts through service centre {} ({file} of the {owner})",
        printable(psi)
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::contents::{PcscfAddress, ServiceTable};
    use super::super::super::findings::samples::{
        HOME, IMSI, card, card_with_isim, core, pin, protected, texts, usim_only,
    };
    use super::*;

    #[test]
    fn a_phone_asks_registers_is_known_and_texts() {
        let number = format!("sip:+15550001@{HOME}");
        assert_eq!(
            sentences(&card(), Some(&core())),
            [
                "ask the P-CSCF that the network names, for the card names none; it has to be 192.0.2.5:5060 (pcscf.yaml)"
                    .to_owned(),
                format!(
                    "register sip:{IMSI}@{HOME} as {IMSI}@{HOME} at {HOME} (the names of the ISIM, record 1 of EF_IMPU)"
                ),
                format!("be {number} and tel:+15550001 to others, as the HSS has it (hss.yaml)"),
                "send texts through service centre tel:+15550100 (EF_SMSP of the USIM)".to_owned(),
            ]
        );
    }

    #[test]
    fn an_isim_that_says_nothing_leaves_the_usim_to_some_phones() {
        let mut empty = card_with_isim(|isim| isim.impi = Read::Empty);
        empty.pin = pin(2);
        assert_eq!(
            sentences(&empty, None),
            [
                "ask for the PIN when it is switched on".to_owned(),
                format!(
                    "not register: the ISIM has no usable EF_IMPI; some take the USIM instead, and \
                     register sip:{IMSI}@{HOME} as {IMSI}@{HOME}"
                )
            ]
        );
    }

    #[test]
    fn what_a_locked_card_says_is_left_open() {
        let mut locked = card_with_isim(|isim| isim.impi = protected());
        locked.pin = pin(3);
        let said = sentences(&locked, None);
        assert_eq!(said[1..], ["register with names that could not be read here"]);
        locked.pin = pin(0);
        let said = "ask for the PUK when it is switched on, and do nothing before it is said";
        assert_eq!(sentences(&locked, None), [said]);
    }

    #[test]
    fn a_p_cscf_of_the_card_needs_its_service() {
        let with = |services| {
            card_with_isim(|isim| {
                isim.pcscfs = Read::Is(vec![Read::Is(PcscfAddress::Ip([192, 0, 2, 5].into()))]);
                isim.ist = Read::Is(ServiceTable(vec![services]));
            })
        };
        let asked = |card: &CardContents| ask_pcscf(card, None);
        assert_eq!(
            asked(&with(0x01)),
            "ask the P-CSCF that the network names, or 192.0.2.5 of EF_P-CSCF when it names none"
        );
        let none = "ask the P-CSCF that the network names, for the card names none";
        assert_eq!(asked(&with(0x80)), none);
        assert_eq!(asked(&usim_only()), none);
    }

    #[test]
    fn a_uri_of_the_service_centre_goes_before_its_number() {
        let uri = card_with_isim(|isim| isim.psismsc = texts(&["sip:smsc.ims.example"]));
        assert_eq!(
            text(&uri),
            "send texts through service centre sip:smsc.ims.example (EF_PSISMSC of the ISIM)"
        );
    }
}
