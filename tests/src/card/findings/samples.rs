//! Testkit: a card without faults, and a core that knows it, for those who make faults.

use super::super::apdu::StatusWord;
use super::super::contents::{
    AdministrativeData, Application, CardContents, Isim, Pin, PinState, Read, Records, ServiceTable,
    ShortMessageParameters, Usim,
};
use super::super::core::Core;

/// The IMSI of the card.
pub const IMSI: &str = "001010000000001";
/// The home domain of its PLMN.
pub const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";

/// What is written in a file.
pub fn text(text: &str) -> Read<String> {
    Read::Is(text.to_owned())
}

/// What is written in the records of a file; an empty text is an empty record.
pub fn texts(all: &[&str]) -> Records<String> {
    let record = |record: &&str| match *record {
        "" => Read::Empty,
        written => text(written),
    };
    Read::Is(all.iter().map(record).collect())
}

/// `EF_AD` of normal operation.
#[must_use]
pub const fn ad(mnc_digits: Option<u8>) -> Read<AdministrativeData> {
    Read::Is(AdministrativeData {
        operation: 0,
        mnc_digits,
    })
}

/// A PIN that must be said, with so many tries; without any it is blocked.
#[must_use]
pub const fn pin(tries: u8) -> Option<Pin> {
    let state = match tries {
        0 => PinState::Blocked,
        tries => PinState::Wanted { tries },
    };
    Some(Pin {
        reference: 0x01,
        state,
    })
}

/// What a card says that wants its PIN.
#[must_use]
pub const fn protected<T>() -> Read<T> {
    Read::Refused(StatusWord::SECURITY_STATUS)
}

/// An ISIM and a USIM of PLMN 001/01 with all that a phone looks at.
#[must_use]
pub fn card() -> CardContents {
    let application = |aid: &[u8], label: &str| {
        Read::Is(Application {
            aid: aid.to_vec(),
            label: Some(label.to_owned()),
        })
    };
    CardContents {
        atr: vec![0x3B, 0x9F, 0x96, 0x80],
        iccid: text("8900101000000000017"),
        applications: Read::Is(vec![
            application(&Application::USIM, "USIM"),
            application(&Application::ISIM, "ISIM"),
        ]),
        pin: Some(Pin {
            reference: 0x01,
            state: PinState::Disabled,
        }),
        isim: Some(isim()),
        usim: Some(usim()),
    }
}

/// The same without an ISIM.
#[must_use]
pub fn usim_only() -> CardContents {
    CardContents { isim: None, ..card() }
}

/// The same with another ISIM.
pub fn card_with_isim(change: impl FnOnce(&mut Isim)) -> CardContents {
    let mut isim = isim();
    change(&mut isim);
    CardContents {
        isim: Some(isim),
        ..card()
    }
}

/// The same with another USIM.
pub fn card_with_usim(change: impl FnOnce(&mut Usim)) -> CardContents {
    let mut usim = usim();
    change(&mut usim);
    CardContents {
        usim: Some(usim),
        ..card()
    }
}

fn isim() -> Isim {
    Isim {
        aid: Application::ISIM.to_vec(),
        impi: text(&format!("{IMSI}@{HOME}")),
        domain: text(HOME),
        impus: texts(&[
            &format!("sip:{IMSI}@{HOME}"),
            &format!("sip:+15550001@{HOME}"),
            "tel:+15550001",
        ]),
        ad: ad(None),
        // Service 8.
        ist: Read::Is(ServiceTable(vec![0x80, 0x00])),
        pcscfs: Read::Absent,
        smsp: Read::Absent,
        psismsc: Read::Absent,
    }
}

fn usim() -> Usim {
    let parameters = ShortMessageParameters {
        service_centre: Some("+15550100".to_owned()),
    };
    let mut services = vec![0; 12];
    // Service 91.
    if let Some(octet) = services.get_mut(11) {
        *octet = 0x04;
    }
    Usim {
        aid: Application::USIM.to_vec(),
        imsi: text(IMSI),
        ad: ad(Some(2)),
        ust: Read::Is(ServiceTable(services)),
        msisdns: texts(&["+15550001"]),
        smsp: Read::Is(vec![Read::Is(parameters)]),
        psismsc: Read::Absent,
    }
}

/// The core of the card: its P-CSCF is 192.0.2.5, its HSS knows the card.
#[must_use]
pub fn core() -> Core {
    core_with(&format!("{{imsi: \"{IMSI}\", msisdn: \"15550001\"}}"))
}

/// The same with these subscribers, as a file of the HSS has them.
///
/// # Panics
/// When they make no sense.
#[must_use]
pub fn core_with(subscribers: &str) -> Core {
    let hss = format!("hss:\n  listen: 127.0.1.5:3868\n  subscribers: [{subscribers}]\n");
    let core = without_hss().with_file("hss.yaml", &hss);
    core.unwrap_or_else(|error| panic!("{error}"))
}

/// The same core, of which no file of the HSS was given.
///
/// # Panics
/// Never.
#[must_use]
pub fn without_hss() -> Core {
    let pcscf = format!(
        "pcscf:\n  home_realm: {HOME}\n  gm: {{address: 192.0.2.5}}\n  mw: {{address: 127.0.1.2}}\n  \
         names: [pcscf.{HOME}]\n"
    );
    let core = Core::default().with_file("pcscf.yaml", &pcscf);
    core.unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
pub(super) mod asserting {
    use super::super::{CATALOGUE, Finding, Rule};
    use super::*;

    fn found(rule: &Rule, card: &CardContents, core: Option<&Core>) -> Vec<String> {
        let listed = CATALOGUE.iter().any(|listed| listed.id == rule.id);
        assert!(listed, "{} is not in the catalogue", rule.id);
        rule.findings(card, core)
            .map(|it: Finding| it.to_string())
            .collect()
    }

    /// The rule says its example and nothing else.
    pub(in super::super) fn assert_found(rule: &Rule, card: &CardContents, core: Option<&Core>) {
        assert_eq!(found(rule, card, core), [rule.example]);
    }

    /// The rule says just this, besides its example.
    pub(in super::super) fn assert_said(rule: &Rule, card: &CardContents, core: Option<&Core>, text: &str) {
        assert_eq!(found(rule, card, core), [text]);
    }

    /// The rule has nothing to say.
    pub(in super::super) fn assert_silent(rule: &Rule, card: &CardContents, core: Option<&Core>) {
        assert_eq!(found(rule, card, core), [""; 0]);
    }
}
