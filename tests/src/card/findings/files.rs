//! Table: findings about files that cannot be read, or whose octets have not the form that they should.

use super::super::apdu::StatusWord;
use super::super::contents::{CardContents, PinState, Read, Records};
use super::super::core::Core;
use super::super::wording::{self, and};
use super::{Rule, Said, Severity};

pub(super) const REFUSED: Rule = Rule {
    id: "file-refused",
    severity: Severity::Wrong,
    title: "The card does not let its names be read",
    looks_at: "the status word of READ BINARY and READ RECORD for EF_IMPI, EF_DOMAIN and EF_IMPU, or EF_IMSI without an ISIM",
    example: "The card does not let EF_IMPI and EF_DOMAIN of the ISIM be read: 6982 (not allowed: the PIN (or an ADM key) \
              has not been verified); say the PIN with --pin.",
    find: |card, _| refused(card, |file| is_name(card, file)),
};

pub(super) const OTHERS_REFUSED: Rule = Rule {
    id: "other-file-refused",
    severity: Severity::Doubtful,
    title: "The card does not let other files be read",
    looks_at: "the status word of READ BINARY and READ RECORD for all other files",
    example: "The card does not let EF_P-CSCF of the ISIM, EF_SMSP of the USIM be read: 6982 (not allowed: the PIN (or an ADM \
              key) has not been verified); look at the access conditions of these files with the tool of the card's vendor: a \
              phone may not read more.",
    find: |card, _| refused(card, |file| !is_name(card, file)),
};

/// What a phone cannot do without (TS 24.229 5.1.1.1A).
fn is_name(card: &CardContents, file: &File<'_>) -> bool {
    match &card.isim {
        Some(_) => file.owner == OF_ISIM && matches!(file.name, "EF_IMPI" | "EF_DOMAIN" | "EF_IMPU"),
        None => file.name == "EF_IMSI",
    }
}

fn refused(card: &CardContents, is_meant: impl Fn(&File<'_>) -> bool) -> Vec<Said> {
    let mut by_status: Vec<(StatusWord, Vec<String>)> = Vec::new();
    // What a phone may not read of one application stands together: `EF_IMPI and EF_DOMAIN of the ISIM`.
    for owner in OWNERS {
        for (status, names) in refused_of(card, owner, &is_meant) {
            let words = format!("{}{owner}", and(&names));
            match by_status.iter_mut().find(|(known, _)| *known == status) {
                Some((_, all)) => all.push(words),
                None => by_status.push((status, vec![words])),
            }
        }
    }
    let remedy = match card.pin.map(|pin| pin.state) {
        Some(PinState::Wanted { .. }) => "say the PIN with --pin",
        Some(PinState::Blocked) => "unblock the PIN first",
        Some(PinState::Disabled | PinState::Verified | PinState::Unknown(_)) | None => {
            "look at the access conditions of these files with the tool of the card's vendor: a phone may not read more"
        }
    };
    let say = |(status, all): (StatusWord, Vec<String>)| {
        Said::new(
            format!("The card does not let {} be read: {status}", all.join(", ")),
            remedy,
        )
    };
    by_status.into_iter().map(say).collect()
}

fn refused_of(
    card: &CardContents,
    owner: &'static str,
    is_meant: impl Fn(&File<'_>) -> bool,
) -> Vec<(StatusWord, Vec<String>)> {
    let mut by_status: Vec<(StatusWord, Vec<String>)> = Vec::new();
    let files = files(card).into_iter();
    for file in files.filter(|file| file.owner == owner && is_meant(file)) {
        let State::Refused(status) = file.state else {
            continue;
        };
        match by_status.iter_mut().find(|(known, _)| *known == status) {
            // All records of a file are one file.
            Some((_, names)) if names.last() == Some(&file.name()) => {}
            Some((_, names)) => names.push(file.name()),
            None => by_status.push((status, vec![file.name()])),
        }
    }
    by_status
}

pub(super) const MALFORMED: Rule = Rule {
    id: "file-malformed",
    severity: Severity::Wrong,
    title: "What is written in a file has not its form",
    looks_at: "each file, and each record of one",
    example: "EF_IMPU (record 2) of the ISIM is malformed: its length says 60 octets, and only 3 follow (it has 80 3C 73 \
              69 70, 5 octets); write it again: tag 80, the length of the text in octets, the text in ASCII, and FF up to \
              the end.",
    find: malformed,
};

fn malformed(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let say = |file: File<'_>| {
        let State::Malformed { why, written } = file.state else {
            return None;
        };
        let (name, owner) = (file.name_and_record(), file.owner);
        Some(Said::new(
            format!("{name}{owner} is malformed: {}", wording::malformed(why, written)),
            format!("write it again: {}", file.form),
        ))
    };
    files(card).into_iter().filter_map(say).collect()
}

/// A file, or a record of one.
struct File<'a> {
    name: &'static str,
    /// Where it is: ` of the ISIM`.
    owner: &'static str,
    /// How it is written.
    form: &'static str,
    record: Option<usize>,
    state: State<'a>,
}

impl File<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn name_and_record(&self) -> String {
        match self.record {
            Some(record) => format!("{} (record {record})", self.name),
            None => self.name(),
        }
    }
}

enum State<'a> {
    Refused(StatusWord),
    Malformed { why: &'a str, written: &'a [u8] },
}

const TEXT: &str = "tag 80, the length of the text in octets, the text in ASCII, and FF up to the end";
const ADDRESS: &str = "tag 80, a length, then 00 and a name, 01 and an IPv4 address or 02 and an IPv6 address, and FF up \
                       to the end";
const MODE: &str = "one octet of operation mode, two more, and in a USIM the number of digits of the MNC";
const SERVICES: &str = "one bit for each service, the first one in the low bit of the first octet";
const PARAMETERS: &str = "28 octets at the end of the record, the service centre from the 14th of them on: length, type of \
                          number, digits in pairs with the first one low";
const NUMBER: &str =
    "14 octets at the end of the record: length, type of number, digits in pairs with the first one low";
const DIGITS: &str = "digits in pairs, the first one low, and FF up to the end";
const IMSI: &str = "the length in octets, then 9 and the digits, in pairs with the first one low";
const DIRECTORY: &str = "tag 61, in it tag 4F with the AID and tag 50 with a name";

const OF_CARD: &str = "";
const OF_ISIM: &str = " of the ISIM";
const OF_USIM: &str = " of the USIM";
const OWNERS: [&str; 3] = [OF_CARD, OF_ISIM, OF_USIM];

/// All that is not as it should be.
fn files(card: &CardContents) -> Vec<File<'_>> {
    let mut all = Listing(Vec::new());
    all.file(OF_CARD, "EF_ICCID", DIGITS, &card.iccid);
    all.records(OF_CARD, "EF_DIR", DIRECTORY, &card.applications);
    if let Some(isim) = &card.isim {
        let owner = OF_ISIM;
        all.file(owner, "EF_IMPI", TEXT, &isim.impi);
        all.file(owner, "EF_DOMAIN", TEXT, &isim.domain);
        all.records(owner, "EF_IMPU", TEXT, &isim.impus);
        all.file(owner, "EF_AD", MODE, &isim.ad);
        all.file(owner, "EF_IST", SERVICES, &isim.ist);
        all.records(owner, "EF_P-CSCF", ADDRESS, &isim.pcscfs);
        all.records(owner, "EF_SMSP", PARAMETERS, &isim.smsp);
        all.records(owner, "EF_PSISMSC", TEXT, &isim.psismsc);
    }
    if let Some(usim) = &card.usim {
        let owner = OF_USIM;
        all.file(owner, "EF_IMSI", IMSI, &usim.imsi);
        all.file(owner, "EF_AD", MODE, &usim.ad);
        all.file(owner, "EF_UST", SERVICES, &usim.ust);
        all.records(owner, "EF_MSISDN", NUMBER, &usim.msisdns);
        all.records(owner, "EF_SMSP", PARAMETERS, &usim.smsp);
        all.records(owner, "EF_PSISMSC", TEXT, &usim.psismsc);
    }
    all.0
}

struct Listing<'a>(Vec<File<'a>>);

impl<'a> Listing<'a> {
    fn file<T>(&mut self, owner: &'static str, name: &'static str, form: &'static str, read: &'a Read<T>) {
        self.push(owner, name, form, None, read);
    }

    fn records<T>(
        &mut self,
        owner: &'static str,
        name: &'static str,
        form: &'static str,
        read: &'a Records<T>,
    ) {
        self.push(owner, name, form, None, read);
        for (number, record) in (1..).zip(read.is().into_iter().flatten()) {
            self.push(owner, name, form, Some(number), record);
        }
    }

    fn push<T>(
        &mut self,
        owner: &'static str,
        name: &'static str,
        form: &'static str,
        record: Option<usize>,
        read: &'a Read<T>,
    ) {
        let state = match read {
            Read::Refused(status) => State::Refused(*status),
            Read::Malformed { why, octets } => State::Malformed { why, written: octets },
            Read::Is(_) | Read::Empty | Read::Absent => return,
        };
        self.0.push(File {
            name,
            owner,
            form,
            record,
            state,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::asserting::{assert_found, assert_said, assert_silent};
    use super::super::samples::{card, card_with_isim, pin, protected, text};
    use super::*;

    #[test]
    fn what_the_card_keeps_back_is_told_with_its_status() {
        let locked = card_with_isim(|isim| {
            isim.impi = protected();
            isim.domain = protected();
        });
        let with_pin = CardContents {
            pin: pin(3),
            ..locked.clone()
        };
        assert_found(&REFUSED, &with_pin, None);
        let remedy = "look at the access conditions of these files with the tool of the card's vendor: a phone may not \
                      read more";
        let said = REFUSED.example.replace("say the PIN with --pin", remedy);
        assert_said(&REFUSED, &locked, None, &said);
        assert_silent(&REFUSED, &card(), None);
    }

    #[test]
    fn other_files_that_are_kept_back_are_doubtful() {
        let mut locked = card_with_isim(|isim| isim.pcscfs = protected());
        if let Some(usim) = &mut locked.usim {
            usim.smsp = protected();
        }
        assert_found(&OTHERS_REFUSED, &locked, None);
        assert_silent(&REFUSED, &locked, None);
        assert_silent(&OTHERS_REFUSED, &card(), None);
    }

    #[test]
    fn all_protected_records_of_one_file_are_one_file() {
        let locked = CardContents {
            pin: pin(0),
            ..card_with_isim(|isim| isim.impus = Read::Is(vec![protected(), protected()]))
        };
        let said = "The card does not let EF_IMPU of the ISIM be read: 6982 (not allowed: the PIN (or an ADM key) has not \
                    been verified); unblock the PIN first.";
        assert_said(&REFUSED, &locked, None, said);
    }

    #[test]
    fn a_malformed_record_is_told_with_its_octets() {
        let broken = Read::Malformed {
            why: "its length says 60 octets, and only 3 follow".to_owned(),
            octets: vec![0x80, 0x3C, 0x73, 0x69, 0x70],
        };
        let card_of = |impus| card_with_isim(|isim| isim.impus = impus);
        let first = text("sip:alice@ims.example");
        assert_found(&MALFORMED, &card_of(Read::Is(vec![first, broken])), None);
        assert_silent(&MALFORMED, &card(), None);
    }

    #[test]
    fn octets_of_a_card_do_not_reach_the_terminal_as_they_are() {
        let broken = card_with_isim(|isim| {
            isim.domain = Read::Malformed {
                why: "no UTF-8: \u{1b}[31m".to_owned(),
                octets: vec![0x80, 0xC3],
            };
        });
        let said = "EF_DOMAIN of the ISIM is malformed: no UTF-8: \\u{1b}[31m (it has 80 C3, 2 octets); write it again: tag \
                    80, the length of the text in octets, the text in ASCII, and FF up to the end.";
        assert_said(&MALFORMED, &broken, None, said);
    }
}
