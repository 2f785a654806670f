//! Testkit: what is on a virtual card.

use std::collections::BTreeMap;

use ims_common::aka::Secret;

use super::super::contents::{
    AdministrativeData, Application, PcscfAddress, ServiceTable, ShortMessageParameters,
};
use super::super::files as ef;
use super::Fault;
use super::commands::{PinLock, Uicc};
use super::files::{Access, Body, Dir, File, Tree};
use crate::hss::{TEST_K, TEST_OPC};
use crate::milenage::Sqn;
use crate::ue::identity::UeIdentity;
use crate::usim::Usim;

/// The protocol between card and reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize)]
pub enum Protocol {
    /// T=0: answers to commands with data are fetched.
    T0 = 0,
    /// T=1
    T1 = 1,
}

/// What is on a card. Each method puts something on it or takes something from it; files given octet by octet go
/// before those that are made.
#[derive(Clone, Debug)]
pub struct CardProfile {
    imsi: String,
    mnc_digits: u8,
    isim: Option<IsimNames>,
    has_usim: bool,
    msisdn: Option<String>,
    smsc: Option<String>,
    psismsc: Option<String>,
    k: Secret<[u8; 16]>,
    opc: Secret<[u8; 16]>,
    sqn: Sqn,
    pin: Option<Secret<String>>,
    tries: u8,
    pin_reference: u8,
    protocol: Protocol,
    /// `None`: there is no such file.
    changed: BTreeMap<(Dir, u16), Option<Body>>,
    forbidden: Vec<(Dir, u16)>,
    faults: Vec<Fault>,
}

/// What is in the ISIM; `None`: as it is derived from the IMSI.
#[derive(Clone, Debug, Default)]
struct IsimNames {
    impi: Option<String>,
    domain: Option<String>,
    impus: Option<Vec<String>>,
    pcscfs: Vec<PcscfAddress>,
    ist: Option<Vec<usize>>,
}

impl CardProfile {
    /// A card with an ISIM and a USIM, the names of TS 23.003 13 for an MNC of two digits, the keys that subscribers
    /// of the testkit have, and a PIN that is disabled. Both applications have one key and one array of sequence numbers.
    /// It speaks T=0, as the cards of operators do.
    #[must_use]
    pub fn new(imsi: &str) -> Self {
        Self {
            imsi: imsi.to_owned(),
            mnc_digits: 2,
            isim: Some(IsimNames::default()),
            has_usim: true,
            msisdn: None,
            smsc: None,
            psismsc: None,
            k: Secret::new(TEST_K),
            opc: Secret::new(TEST_OPC),
            sqn: Sqn::default(),
            pin: None,
            tries: 3,
            pin_reference: 0x01,
            protocol: Protocol::T0,
            changed: BTreeMap::new(),
            forbidden: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Without an ISIM.
    #[must_use]
    pub fn without_isim(mut self) -> Self {
        self.isim = None;
        self
    }

    /// Without a USIM.
    #[must_use]
    pub const fn without_usim(mut self) -> Self {
        self.has_usim = false;
        self
    }

    /// With an MNC of two or three digits.
    #[must_use]
    pub const fn mnc_digits(mut self, digits: u8) -> Self {
        self.mnc_digits = digits;
        self
    }

    /// With this `EF_IMPI`.
    #[must_use]
    pub fn impi(self, impi: &str) -> Self {
        self.of_isim(|isim| isim.impi = Some(impi.to_owned()))
    }

    /// With this `EF_DOMAIN`.
    #[must_use]
    pub fn domain(self, domain: &str) -> Self {
        self.of_isim(|isim| isim.domain = Some(domain.to_owned()))
    }

    /// With these records of `EF_IMPU`.
    #[must_use]
    pub fn impus(self, impus: &[&str]) -> Self {
        let impus = impus.iter().map(|impu| (*impu).to_owned()).collect();
        self.of_isim(|isim| isim.impus = Some(impus))
    }

    /// With these P-CSCFs in `EF_P-CSCF`, names or addresses.
    #[must_use]
    pub fn pcscfs(self, pcscfs: &[&str]) -> Self {
        let address = |text: &&str| {
            let ip = text.parse().map(PcscfAddress::Ip);
            ip.unwrap_or_else(|_| PcscfAddress::Name((*text).to_owned()))
        };
        let pcscfs = pcscfs.iter().map(address).collect();
        self.of_isim(|isim| isim.pcscfs = pcscfs)
    }

    /// With these services in `EF_IST`. Without it: the P-CSCF address when there is one, P-CSCF discovery, SM-over-IP.
    #[must_use]
    pub fn ist(self, services: &[usize]) -> Self {
        self.of_isim(|isim| isim.ist = Some(services.to_vec()))
    }

    /// With this number in `EF_MSISDN`.
    #[must_use]
    pub fn msisdn(mut self, number: &str) -> Self {
        self.msisdn = Some(number.to_owned());
        self
    }

    /// With this service centre in `EF_SMSP`, a number.
    #[must_use]
    pub fn smsc(mut self, number: &str) -> Self {
        self.smsc = Some(number.to_owned());
        self
    }

    /// With this service centre in `EF_PSISMSC` of `DF_TELECOM`, a URI.
    #[must_use]
    pub fn psismsc(mut self, uri: &str) -> Self {
        self.psismsc = Some(uri.to_owned());
        self
    }

    /// With these keys.
    #[must_use]
    pub fn keys(mut self, k: [u8; 16], opc: [u8; 16]) -> Self {
        self.k = Secret::new(k);
        self.opc = Secret::new(opc);
        self
    }

    /// With a history: it has accepted this sequence number, and those before it.
    #[must_use]
    pub const fn sqn(mut self, sqn: Sqn) -> Self {
        self.sqn = sqn;
        self
    }

    /// With a PIN that must be said, and so many tries; none: it is blocked.
    #[must_use]
    pub fn pin(mut self, pin: &str, tries: u8) -> Self {
        self.pin = Some(Secret::new(pin.to_owned()));
        self.tries = tries;
        self
    }

    /// With another key reference of the PIN, 01 to 08, or 11 (ETSI TS 102 221 9.4.1).
    #[must_use]
    pub const fn pin_reference(mut self, reference: u8) -> Self {
        self.pin_reference = reference;
        self
    }

    /// With this protocol.
    #[must_use]
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// With this transparent file.
    #[must_use]
    pub fn transparent(mut self, dir: Dir, file: u16, octets: &[u8]) -> Self {
        let body = Body::Transparent(octets.to_vec());
        self.changed.insert((dir, file), Some(body));
        self
    }

    /// With this file of records, which get the length of the longest.
    #[must_use]
    pub fn records(mut self, dir: Dir, file: u16, records: Vec<Vec<u8>>) -> Self {
        self.changed.insert((dir, file), Some(Body::Records(records)));
        self
    }

    /// Without this file.
    #[must_use]
    pub fn remove_file(mut self, dir: Dir, file: u16) -> Self {
        self.changed.insert((dir, file), None);
        self
    }

    /// With this file for nobody to read.
    #[must_use]
    pub fn forbid(mut self, dir: Dir, file: u16) -> Self {
        self.forbidden.push((dir, file));
        self
    }

    /// With this going wrong; where several are at one instruction, the first does.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    fn of_isim(mut self, change: impl FnOnce(&mut IsimNames)) -> Self {
        change(self.isim.get_or_insert_default());
        self
    }

    pub(super) const fn protocol_offered(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn build(self) -> (Uicc, Vec<Fault>) {
        let tree = self.tree();
        let lock = PinLock {
            reference: self.pin_reference,
            pin: self.pin.as_ref().map(|pin| padded_pin(pin.expose())),
            tries: self.tries,
            tries_max: self.tries.max(3),
            is_verified: false,
        };
        let usim = Usim::new(self.k.expose(), self.opc.expose()).with_sqn(self.sqn);
        let uicc = Uicc::new(tree, lock, usim, self.protocol == Protocol::T0);
        (uicc, self.faults)
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        let mut applications = Vec::new();
        if self.has_usim {
            applications.push((Dir::Usim, aid(Application::USIM), "USIM"));
            self.put_usim(&mut tree);
        }
        if let Some(isim) = &self.isim {
            applications.push((Dir::Isim, aid(Application::ISIM), "ISIM"));
            self.put_isim(&mut tree, isim);
        }
        let record = |(_, aid, label): &(Dir, Vec<u8>, &str)| {
            ef::dir::encode(&Application {
                aid: aid.clone(),
                label: Some((*label).to_owned()),
            })
        };
        let dir = padded_records(applications.iter().map(record), 3, 38);
        put_records(&mut tree, Dir::Mf, ef::EF_DIR, dir);
        put(
            &mut tree,
            Dir::Mf,
            ef::EF_ICCID,
            ef::iccid::encode(&iccid(&self.imsi)),
        );
        let psismsc = self.psismsc.iter().map(|uri| ef::text::encode(uri));
        let psismsc = padded_records(psismsc, 1, 64);
        put_records(&mut tree, Dir::Telecom, ef::EF_PSISMSC, psismsc);
        tree.applications = applications.into_iter().map(|(dir, aid, _)| (dir, aid)).collect();
        self.change(&mut tree);
        tree
    }

    fn put_usim(&self, tree: &mut Tree) {
        let dir = Dir::Usim;
        let ad = AdministrativeData {
            operation: 0,
            mnc_digits: Some(self.mnc_digits),
        };
        put(tree, dir, ef::EF_IMSI, ef::imsi::encode(&self.imsi));
        put(tree, dir, ef::EF_AD, ef::administrative_data::encode(&ad));
        // SMS parameters, MSISDN, GSM access, GSM security context (TS 31.102 4.2.8).
        let services = ef::service_table::encode(&[12, 21, 27, 38]);
        put(tree, dir, ef::EF_UST, services);
        let msisdn = self.msisdn.iter().map(|number| ef::msisdn::encode(number, 10));
        put_records(tree, dir, ef::EF_MSISDN, padded_records(msisdn, 1, 24));
        put_records(tree, dir, ef::EF_SMSP, self.smsp());
    }

    fn put_isim(&self, tree: &mut Tree, isim: &IsimNames) {
        let dir = Dir::Isim;
        let derived = UeIdentity::from_imsi(&self.imsi, usize::from(self.mnc_digits));
        let impi = isim.impi.as_deref().unwrap_or(&derived.impi);
        let domain = isim.domain.as_deref().unwrap_or(&derived.home);
        let impus = isim.impus.clone().unwrap_or_else(|| vec![derived.impu.clone()]);
        let ad = AdministrativeData {
            operation: 0,
            mnc_digits: None,
        };
        // Longer than what is in them, as operators order them.
        put(tree, dir, ef::EF_IMPI, ef::padded(ef::text::encode(impi), 96));
        put(tree, dir, ef::EF_DOMAIN, ef::padded(ef::text::encode(domain), 64));
        let impus = impus.iter().map(|impu| ef::text::encode(impu));
        put_records(tree, dir, ef::EF_IMPU, padded_records(impus, 4, 96));
        put(tree, dir, ef::EF_AD, ef::administrative_data::encode(&ad));
        let ist = isim.ist.clone().unwrap_or_else(|| default_ist(isim));
        put(tree, dir, ef::EF_IST, ef::service_table::encode(&ist));
        let pcscfs = isim.pcscfs.iter().map(ef::pcscf::encode);
        put_records(tree, dir, ef::EF_PCSCF, padded_records(pcscfs, 2, 64));
        put_records(tree, dir, ef::EF_SMSP, self.smsp());
    }

    fn smsp(&self) -> Vec<Vec<u8>> {
        let service_centre = self.smsc.clone();
        let parameters = ShortMessageParameters { service_centre };
        vec![ef::smsp::encode(&parameters, 12)]
    }

    fn change(&self, tree: &mut Tree) {
        for ((dir, file), body) in &self.changed {
            match body {
                None => {
                    tree.files.remove(&(*dir, *file));
                }
                Some(Body::Transparent(octets)) => put(tree, *dir, *file, octets.clone()),
                Some(Body::Records(records)) => put_records(tree, *dir, *file, records.clone()),
            }
        }
        for place in &self.forbidden {
            if let Some(file) = tree.files.get_mut(place) {
                file.access = Access::Never;
            }
        }
    }
}

fn put(tree: &mut Tree, dir: Dir, file: u16, octets: Vec<u8>) {
    tree.put(dir, file, File::transparent(dir, file, octets));
}

fn put_records(tree: &mut Tree, dir: Dir, file: u16, records: Vec<Vec<u8>>) {
    tree.put(dir, file, File::records(dir, file, records));
}

/// At least so many records, of at least this length; FF where nothing is written.
fn padded_records(records: impl Iterator<Item = Vec<u8>>, count: usize, length: usize) -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = records.map(|record| ef::padded(record, length)).collect();
    while records.len() < count {
        records.push(vec![0xFF; length]);
    }
    records
}

fn default_ist(isim: &IsimNames) -> Vec<usize> {
    let mut services = vec![ServiceTable::ISIM_PCSCF_DISCOVERY, ServiceTable::ISIM_SM_OVER_IP];
    if !isim.pcscfs.is_empty() {
        services.push(ServiceTable::ISIM_PCSCF_ADDRESS);
    }
    services
}

/// A whole AID of sixteen octets: the application, then country and provider that are not said, then a number of the
/// provider (ETSI TS 101 220 annex E).
fn aid(application: [u8; 7]) -> Vec<u8> {
    let rest = [0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0x06, 0x19, 0x00, 0x00];
    application.into_iter().chain(rest).collect()
}

/// A number for the card, of the one of its subscriber, with Luhn's check digit (ITU-T E.118).
fn iccid(imsi: &str) -> String {
    let body = format!("89{imsi:0>16}");
    let double = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let digits = body.chars().rev().filter_map(|digit| digit.to_digit(10));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { double(digit) } else { digit })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// As VERIFY says it (ETSI TS 102 221 9.5.1).
fn padded_pin(pin: &str) -> [u8; 8] {
    let digits = pin.as_bytes();
    std::array::from_fn(|i| digits.get(i).copied().unwrap_or(0xFF))
}
