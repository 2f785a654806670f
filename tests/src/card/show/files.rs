//! Testkit: the files of a card, decoded, one line each or one line for each record.

use std::fmt;

use super::super::contents::{
    AdministrativeData, Application, CardContents, Isim, PcscfAddress, Read, Records, ServiceTable,
    ShortMessageParameters, Usim,
};
use super::super::findings::mode;
use super::super::wording::{hex, malformed, printable, wrapped};
use super::{COLUMNS, services};

/// What was read, in words.
pub(super) fn in_words<T>(read: &Read<T>, say: impl FnOnce(&T) -> String) -> String {
    match read {
        Read::Is(value) => say(value),
        Read::Empty => "empty".to_owned(),
        Read::Absent => "not there".to_owned(),
        Read::Refused(status) => format!("not readable ({:04X})", status.0),
        Read::Malformed { why, octets } => format!("malformed: {}", malformed(why, octets)),
    }
}

/// The applications and their files.
pub(super) fn write(f: &mut fmt::Formatter<'_>, card: &CardContents) -> fmt::Result {
    f.write_str("\nApplications\n")?;
    records(f, "EF_DIR", &card.applications, application)?;
    if let Some(isim) = &card.isim {
        f.write_str("\nISIM\n")?;
        write_isim(f, isim)?;
    }
    if let Some(usim) = &card.usim {
        f.write_str("\nUSIM\n")?;
        write_usim(f, usim)?;
    }
    Ok(())
}

fn write_isim(f: &mut fmt::Formatter<'_>, isim: &Isim) -> fmt::Result {
    file(f, "EF_IMPI", &isim.impi, |text| printable(text))?;
    file(f, "EF_DOMAIN", &isim.domain, |text| printable(text))?;
    records(f, "EF_IMPU", &isim.impus, |text| printable(text))?;
    file(f, "EF_AD", &isim.ad, operation)?;
    file(f, "EF_IST", &isim.ist, |table| {
        in_service(table, services::of_isim)
    })?;
    records(f, "EF_P-CSCF", &isim.pcscfs, pcscf)?;
    records(f, "EF_SMSP", &isim.smsp, short_messages)?;
    records(f, "EF_PSISMSC", &isim.psismsc, |text| printable(text))
}

fn write_usim(f: &mut fmt::Formatter<'_>, usim: &Usim) -> fmt::Result {
    file(f, "EF_IMSI", &usim.imsi, |text| printable(text))?;
    file(f, "EF_AD", &usim.ad, |ad| match ad.mnc_digits {
        Some(digits) => format!("{}, MNC of {digits} digits", operation(ad)),
        None => format!("{}, length of the MNC not said", operation(ad)),
    })?;
    file(f, "EF_UST", &usim.ust, |table| {
        in_service(table, services::of_usim)
    })?;
    records(f, "EF_MSISDN", &usim.msisdns, |text| printable(text))?;
    records(f, "EF_SMSP", &usim.smsp, short_messages)?;
    records(f, "EF_PSISMSC", &usim.psismsc, |text| printable(text))
}

fn file<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    read: &Read<T>,
    say: impl FnOnce(&T) -> String,
) -> fmt::Result {
    f.write_str(&line(name, "", &in_words(read, say)))
}

fn records<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    records: &Records<T>,
    say: impl Fn(&T) -> String,
) -> fmt::Result {
    let Read::Is(all) = records else {
        return f.write_str(&line(name, "", &in_words(records, |_| String::new())));
    };
    // Empty records at the end are as many as the card has room for.
    let used = all.iter().rposition(|record| !matches!(record, Read::Empty));
    let used = used.map_or(0, |last| last + 1);
    if used == 0 {
        return f.write_str(&line(name, "", "empty"));
    }
    for (number, record) in (1..).zip(all.iter().take(used)) {
        let name = if number == 1 { name } else { "" };
        f.write_str(&line(name, &format!("{number}  "), &in_words(record, &say)))?;
    }
    Ok(())
}

fn line(name: &str, number: &str, text: &str) -> String {
    wrapped(&format!("  {name:<12}{number}"), text, COLUMNS)
}

fn application(application: &Application) -> String {
    let aid = hex(&application.aid);
    match &application.label {
        Some(label) => format!("{aid} ({})", printable(label)),
        None => aid,
    }
}

fn operation(ad: &AdministrativeData) -> String {
    format!("{:02X} ({})", ad.operation, mode(ad.operation))
}

/// Those with a name first, then the numbers of the others.
fn in_service(table: &ServiceTable, name: fn(usize) -> Option<&'static str>) -> String {
    let named = table
        .numbers()
        .filter_map(|number| Some(format!("{number} {}", name(number)?)));
    let mut words: Vec<_> = named.collect();
    let others: Vec<_> = table
        .numbers()
        .filter(|number| name(*number).is_none())
        .map(|number| number.to_string())
        .collect();
    if !others.is_empty() {
        words.push(format!("others: {}", others.join(" ")));
    }
    match words.is_empty() {
        true => "no service".to_owned(),
        false => words.join(", "),
    }
}

pub(super) fn pcscf(address: &PcscfAddress) -> String {
    match address {
        PcscfAddress::Name(name) => printable(name),
        PcscfAddress::Ip(ip) => ip.to_string(),
    }
}

fn short_messages(parameters: &ShortMessageParameters) -> String {
    match &parameters.service_centre {
        Some(number) => format!("service centre {}", printable(number)),
        None => "no service centre".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_without_a_name_are_numbers() {
        let table = ServiceTable(vec![0x91, 0x00, 0x00, 0x80]);
        assert_eq!(
            in_service(&table, services::of_isim),
            "1 P-CSCF address, 5 P-CSCF discovery for IMS local breakout, 8 SM-over-IP, others: 32"
        );
        assert_eq!(
            in_service(&ServiceTable::default(), services::of_isim),
            "no service"
        );
    }

    #[test]
    fn what_could_not_be_read_says_why() {
        let refused: Read<String> = Read::Refused(super::super::super::apdu::StatusWord::SECURITY_STATUS);
        let words = in_words(&refused, Clone::clone);
        assert_eq!(words, "not readable (6982)");
    }
}
