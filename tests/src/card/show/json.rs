//! Testkit: what is said of a card, for programs. A name that is here stays.
//!
//! Each file is `{"state": "is", "value": …}`, or in another state: `empty`, `absent`, `refused` with `status`, `malformed` with
//! `why` and `octets`. The value of a file of records is the list of them, each again in a state.

use serde::Serialize;

use super::super::contents::{self, AdministrativeData, CardContents, PinState, Read, Records, ServiceTable};
use super::super::findings::Finding;
use super::super::identity::Origin;
use super::super::wording::hex;
use super::{Report, files, phone, services};

#[derive(Serialize)]
pub(super) struct Card<'a> {
    reader: &'a str,
    atr: String,
    iccid: File<String>,
    applications: File<Vec<File<Application>>>,
    pin: Option<Pin>,
    isim: Option<Isim>,
    usim: Option<Usim>,
    phone: Phone,
    compared: Compared<'a>,
    findings: &'a [Finding],
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum File<T> {
    Is { value: T },
    Empty,
    Absent,
    Refused { status: String },
    Malformed { why: String, octets: String },
}

#[derive(Serialize)]
struct Application {
    aid: String,
    label: Option<String>,
}

#[derive(Serialize)]
struct Pin {
    reference: u8,
    state: &'static str,
    tries: Option<u8>,
}

#[derive(Serialize)]
struct Isim {
    aid: String,
    impi: File<String>,
    domain: File<String>,
    impu: File<Vec<File<String>>>,
    ad: File<Mode>,
    ist: File<Vec<Service>>,
    pcscf: File<Vec<File<String>>>,
    smsp: File<Vec<File<Option<String>>>>,
    psismsc: File<Vec<File<String>>>,
}

#[derive(Serialize)]
struct Usim {
    aid: String,
    imsi: File<String>,
    ad: File<Mode>,
    ust: File<Vec<Service>>,
    msisdn: File<Vec<File<String>>>,
    smsp: File<Vec<File<Option<String>>>>,
    psismsc: File<Vec<File<String>>>,
}

#[derive(Serialize)]
struct Mode {
    operation: u8,
    mnc_digits: Option<u8>,
}

#[derive(Serialize)]
struct Service {
    number: usize,
    name: Option<&'static str>,
}

/// Who the phone will be; without names it will not register.
#[derive(Serialize)]
struct Phone {
    impi: Option<String>,
    impu: Option<String>,
    home: Option<String>,
    /// `isim` or `usim`
    origin: Option<&'static str>,
    will: Vec<String>,
}

#[derive(Serialize)]
struct Compared<'a> {
    files: &'a [String],
    realms: Vec<&'a str>,
    hss: bool,
}

impl<'a> Card<'a> {
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        let CardContents {
            atr,
            iccid,
            applications,
            pin,
            isim,
            usim,
        } = report.card;
        Self {
            reader: report.reader,
            atr: hex(atr),
            iccid: file(iccid, Clone::clone),
            applications: records(applications, |application| Application {
                aid: hex(&application.aid),
                label: application.label.clone(),
            }),
            pin: pin.map(Pin::from),
            isim: isim.as_ref().map(Isim::from),
            usim: usim.as_ref().map(Usim::from),
            phone: Phone::new(report),
            compared: Compared {
                files: report.core.map(|core| core.files()).unwrap_or_default(),
                realms: report.core.iter().flat_map(|core| core.realms()).collect(),
                hss: report.core.is_some_and(|core| core.subscribers().is_some()),
            },
            findings: report.findings(),
        }
    }
}

impl Phone {
    fn new(report: &Report<'_>) -> Self {
        let identity = report.card.identity().ok();
        let origin = identity.as_ref().map(|identity| match identity.origin {
            Origin::Isim { .. } => "isim",
            Origin::Usim => "usim",
        });
        let names = identity.map(|identity| identity.names);
        Self {
            impi: names.as_ref().map(|names| names.impi.clone()),
            impu: names.as_ref().map(|names| names.impu.clone()),
            home: names.map(|names| names.home),
            origin,
            will: phone::sentences(report.card, report.core),
        }
    }
}

impl From<contents::Pin> for Pin {
    fn from(pin: contents::Pin) -> Self {
        let (state, tries) = match pin.state {
            PinState::Disabled => ("disabled", None),
            PinState::Verified => ("verified", None),
            PinState::Wanted { tries } => ("wanted", Some(tries)),
            PinState::Blocked => ("blocked", Some(0)),
            PinState::Unknown(_) => ("unknown", None),
        };
        Self {
            reference: pin.reference,
            state,
            tries,
        }
    }
}

impl From<&contents::Isim> for Isim {
    fn from(isim: &contents::Isim) -> Self {
        Self {
            aid: hex(&isim.aid),
            impi: file(&isim.impi, Clone::clone),
            domain: file(&isim.domain, Clone::clone),
            impu: records(&isim.impus, Clone::clone),
            ad: file(&isim.ad, mode),
            ist: file(&isim.ist, |table| list(table, services::of_isim)),
            pcscf: records(&isim.pcscfs, files::pcscf),
            smsp: records(&isim.smsp, |parameters| parameters.service_centre.clone()),
            psismsc: records(&isim.psismsc, Clone::clone),
        }
    }
}

impl From<&contents::Usim> for Usim {
    fn from(usim: &contents::Usim) -> Self {
        Self {
            aid: hex(&usim.aid),
            imsi: file(&usim.imsi, Clone::clone),
            ad: file(&usim.ad, mode),
            ust: file(&usim.ust, |table| list(table, services::of_usim)),
            msisdn: records(&usim.msisdns, Clone::clone),
            smsp: records(&usim.smsp, |parameters| parameters.service_centre.clone()),
            psismsc: records(&usim.psismsc, Clone::clone),
        }
    }
}

fn file<T, U>(read: &Read<T>, turn: impl FnOnce(&T) -> U) -> File<U> {
    match read {
        Read::Is(value) => File::Is { value: turn(value) },
        Read::Empty => File::Empty,
        Read::Absent => File::Absent,
        Read::Refused(status) => File::Refused {
            status: format!("{:04X}", status.0),
        },
        Read::Malformed { why, octets } => File::Malformed {
            why: why.clone(),
            octets: hex(octets),
        },
    }
}

fn records<T, U>(all: &Records<T>, turn: impl Fn(&T) -> U) -> File<Vec<File<U>>> {
    file(all, |all| all.iter().map(|record| file(record, &turn)).collect())
}

const fn mode(ad: &AdministrativeData) -> Mode {
    Mode {
        operation: ad.operation,
        mnc_digits: ad.mnc_digits,
    }
}

fn list(table: &ServiceTable, name: fn(usize) -> Option<&'static str>) -> Vec<Service> {
    let service = |number| Service {
        number,
        name: name(number),
    };
    table.numbers().map(service).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::findings::samples::{HOME, card_with_isim, core, protected, text};
    use super::super::Report;

    #[test]
    fn files_have_states_and_findings_have_ids() {
        let card = card_with_isim(|isim| {
            isim.domain = text("ims.example");
            isim.pcscfs = protected();
        });
        let core = core();
        let report = Report::new("Reader 0", &card, Some(&core));
        let json = serde_json::to_value(report.json()).unwrap();
        assert_eq!(json["isim"]["domain"]["value"], "ims.example");
        assert_eq!(json["isim"]["impu"]["value"][2]["value"], "tel:+15550001");
        assert_eq!(json["isim"]["pcscf"]["status"], "6982");
        assert_eq!(json["isim"]["psismsc"]["state"], "absent");
        assert_eq!(json["usim"]["ad"]["value"]["mnc_digits"], 2);
        assert_eq!(json["usim"]["ust"]["value"][0]["name"], "SM-over-IP");
        assert_eq!(json["phone"]["origin"], "isim");
        assert_eq!(json["compared"]["realms"][0], HOME);
        assert_eq!(json["compared"]["hss"], true);
        assert_eq!(json["findings"][0]["id"], "domain-not-served");
        assert_eq!(json["findings"][0]["severity"], "wrong");
    }
}
