//! Table: findings about P-CSCF, short messages and the mode of operation.

use super::super::contents::{
    AdministrativeData, CardContents, Isim, PcscfAddress, Read, Records, ServiceTable, ShortMessageParameters,
};
use super::super::core::Core;
use super::super::wording::{and, printable};
use super::{Rule, Said, Severity};

/// Support of SM-over-IP, of a USIM (TS 31.102 4.2.8).
const USIM_SM_OVER_IP: usize = 91;

pub(super) const OTHER_PCSCF: Rule = Rule {
    id: "pcscf-other",
    severity: Severity::Doubtful,
    title: "EF_P-CSCF names another P-CSCF",
    looks_at: "EF_P-CSCF of the ISIM; gm.address, names and hosts of the core's files",
    example: "EF_P-CSCF names 192.0.2.99, and the P-CSCF of this core is 192.0.2.5:5060 (pcscf.yaml): a phone that is not \
              told one by the network asks there; write the core's address to EF_P-CSCF, or nothing.",
    find: other_pcscf,
};

fn other_pcscf(card: &CardContents, core: Option<&Core>) -> Vec<Said> {
    let (Some(core), Some(isim)) = (core, &card.isim) else {
        return Vec::new();
    };
    let others: Vec<_> = isim
        .pcscfs
        .records()
        .filter(|(_, address)| core.is_pcscf(address) == Some(false))
        .map(|(_, address)| in_words(address))
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    vec![Said::new(
        format!(
            "EF_P-CSCF names {}, and the P-CSCF of this core is {}: a phone that is not told one by the network asks there",
            and(&others),
            core.pcscfs_in_words()
        ),
        "write the core's address to EF_P-CSCF, or nothing",
    )]
}

fn in_words(address: &PcscfAddress) -> String {
    match address {
        PcscfAddress::Name(name) => printable(name),
        PcscfAddress::Ip(ip) => ip.to_string(),
    }
}

/// TS 31.103 4.2.7, 4.2.8: the file is there when service 1 or 5 is available.
pub(super) const PCSCF_SERVICE: Rule = Rule {
    id: "pcscf-service",
    severity: Severity::Doubtful,
    title: "EF_IST and EF_P-CSCF disagree",
    looks_at: "services 1 and 5 of EF_IST, EF_P-CSCF",
    example: "EF_P-CSCF names pcscf.ims.mnc001.mcc001.3gppnetwork.org, and EF_IST has neither service 1 (P-CSCF address) nor \
              5 (P-CSCF discovery for IMS local breakout): a phone need not look at the file; switch service 1 on in EF_IST, \
              or empty EF_P-CSCF.",
    find: pcscf_service,
};

fn pcscf_service(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let Some(isim) = &card.isim else {
        return Vec::new();
    };
    // What was not read is not compared.
    let (Some(services), false) = (services(&isim.ist), is_unknown(&isim.pcscfs)) else {
        return Vec::new();
    };
    let named: Vec<_> = isim
        .pcscfs
        .records()
        .map(|(_, address)| in_words(address))
        .collect();
    let says_address = services.has(ServiceTable::ISIM_PCSCF_ADDRESS);
    let is_looked_at = says_address || services.has(ServiceTable::ISIM_PCSCF_DISCOVERY);
    match named.is_empty() {
        false if !is_looked_at => vec![Said::new(
            format!(
                "EF_P-CSCF names {}, and EF_IST has neither service 1 (P-CSCF address) nor 5 (P-CSCF discovery for IMS \
                 local breakout): a phone need not look at the file",
                and(&named)
            ),
            "switch service 1 on in EF_IST, or empty EF_P-CSCF",
        )],
        // Service 5 alone is found on many cards whose file is empty: the network names the P-CSCF.
        true if says_address => vec![Said::new(
            "EF_IST has service 1 (P-CSCF address), and EF_P-CSCF names no P-CSCF",
            "write an address to EF_P-CSCF, or switch the service off in EF_IST: the network names the P-CSCF then",
        )],
        true | false => Vec::new(),
    }
}

fn services(table: &Read<ServiceTable>) -> Option<ServiceTable> {
    match table {
        Read::Is(services) => Some(services.clone()),
        Read::Empty | Read::Absent => Some(ServiceTable::default()),
        Read::Refused(_) | Read::Malformed { .. } => None,
    }
}

const fn is_unknown<T>(read: &Read<T>) -> bool {
    matches!(read, Read::Refused(_) | Read::Malformed { .. })
}

/// TS 24.341 5.3.1.2: the address of a short message is that of the service centre.
pub(super) const NO_SERVICE_CENTRE: Rule = Rule {
    id: "no-service-centre",
    severity: Severity::Doubtful,
    title: "No service centre for short messages",
    looks_at: "EF_PSISMSC and EF_SMSP of the ISIM and of the USIM",
    example: "Neither EF_PSISMSC nor EF_SMSP names a service centre: a text over IP has nowhere to go, unless the phone's \
              user types its number in; write the number of the service centre to EF_SMSP, or its URI to EF_PSISMSC.",
    find: no_service_centre,
};

fn no_service_centre(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let of_isim = card.isim.as_ref().map(|isim| (&isim.psismsc, &isim.smsp));
    let of_usim = card.usim.as_ref().map(|usim| (&usim.psismsc, &usim.smsp));
    let mut files = of_isim.into_iter().chain(of_usim).peekable();
    let may_have_one = |(uris, numbers): (&Records<String>, &Records<ShortMessageParameters>)| {
        is_unknown(uris) || is_unknown(numbers)
    };
    if files.peek().is_none() || card.service_centre().is_some() || files.any(may_have_one) {
        return Vec::new();
    }
    vec![Said::new(
        "Neither EF_PSISMSC nor EF_SMSP names a service centre: a text over IP has nowhere to go, unless the phone's user \
         types its number in",
        "write the number of the service centre to EF_SMSP, or its URI to EF_PSISMSC",
    )]
}

/// TS 31.103 4.2.7, TS 31.102 4.2.8.
pub(super) const NO_SMS_OVER_IP: Rule = Rule {
    id: "no-sms-over-ip",
    severity: Severity::Note,
    title: "SMS over IP is not switched on",
    looks_at: "service 8 of EF_IST, or service 91 of EF_UST without an ISIM",
    example: "EF_IST of the ISIM has not service 8 (SM-over-IP): some phones then send texts by the radio network instead of \
              IMS; switch it on in EF_IST when texts are to go over IMS.",
    find: no_sms_over_ip,
};

fn no_sms_over_ip(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let (file, owner, service, table) = match (&card.isim, &card.usim) {
        (Some(Isim { ist, .. }), _) => ("EF_IST", "ISIM", ServiceTable::ISIM_SM_OVER_IP, ist),
        (None, Some(usim)) => ("EF_UST", "USIM", USIM_SM_OVER_IP, &usim.ust),
        (None, None) => return Vec::new(),
    };
    if services(table).is_none_or(|services| services.has(service)) {
        return Vec::new();
    }
    vec![Said::new(
        format!(
            "{file} of the {owner} has not service {service} (SM-over-IP): some phones then send texts by the radio network \
             instead of IMS"
        ),
        format!("switch it on in {file} when texts are to go over IMS"),
    )]
}

/// TS 31.102 4.2.18, TS 31.103 4.2.6.
pub(super) const TEST_MODE: Rule = Rule {
    id: "test-mode",
    severity: Severity::Doubtful,
    title: "The card is one for tests",
    looks_at: "the first octet of EF_AD, of the ISIM and of the USIM",
    example: "EF_AD of the USIM says operation mode 80 (type approval): phones treat it as a test card, and some switch \
              features off or on for it; write 00 (normal operation) to its first octet, unless a test is meant.",
    find: test_mode,
};

fn test_mode(card: &CardContents, _: Option<&Core>) -> Vec<Said> {
    let of_isim = card.isim.as_ref().map(|isim| ("ISIM", &isim.ad));
    let of_usim = card.usim.as_ref().map(|usim| ("USIM", &usim.ad));
    let say = |(owner, ad): (&str, &Read<AdministrativeData>)| {
        let operation = ad.is()?.operation;
        (operation != 0).then(|| {
            Said::new(
                format!(
                    "EF_AD of the {owner} says operation mode {operation:02X} ({}): phones treat it as a test card, and some \
                     switch features off or on for it",
                    mode(operation)
                ),
                "write 00 (normal operation) to its first octet, unless a test is meant",
            )
        })
    };
    of_isim.into_iter().chain(of_usim).filter_map(say).collect()
}

/// TS 31.102 4.2.18.
pub(in super::super) const fn mode(operation: u8) -> &'static str {
    match operation {
        0x00 => "normal operation",
        0x01 => "normal operation with specific facilities",
        0x02 => "maintenance",
        0x04 => "cell test",
        0x80 => "type approval",
        0x81 => "type approval with specific facilities",
        _ => "not one of TS 31.102",
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::asserting::{assert_found, assert_said, assert_silent};
    use super::super::samples::{HOME, card, card_with_isim, card_with_usim, core, protected, usim_only};
    use super::*;

    fn with_pcscfs(services: u8, pcscfs: &[PcscfAddress]) -> CardContents {
        card_with_isim(|isim| {
            isim.ist = Read::Is(ServiceTable(vec![services]));
            isim.pcscfs = Read::Is(pcscfs.iter().cloned().map(Read::Is).collect());
        })
    }

    #[test]
    fn another_p_cscf_than_the_cores_is_doubtful() {
        let ours = PcscfAddress::Ip([192, 0, 2, 5].into());
        let other = PcscfAddress::Ip([192, 0, 2, 99].into());
        let both = with_pcscfs(0x81, &[ours.clone(), other]);
        assert_found(&OTHER_PCSCF, &both, Some(&core()));
        assert_silent(&OTHER_PCSCF, &both, None);
        assert_silent(&OTHER_PCSCF, &with_pcscfs(0x81, &[ours]), Some(&core()));
    }

    #[test]
    fn service_table_and_p_cscf_addresses_belong_together() {
        let name = [PcscfAddress::Name(format!("pcscf.{HOME}"))];
        assert_found(&PCSCF_SERVICE, &with_pcscfs(0x80, &name), None);
        assert_silent(&PCSCF_SERVICE, &with_pcscfs(0x81, &name), None);
        assert_silent(&PCSCF_SERVICE, &with_pcscfs(0x90, &name), None);
        let said = "EF_IST has service 1 (P-CSCF address), and EF_P-CSCF names no P-CSCF; write an address to EF_P-CSCF, or \
                    switch the service off in EF_IST: the network names the P-CSCF then.";
        assert_said(&PCSCF_SERVICE, &with_pcscfs(0x91, &[]), None, said);
        assert_silent(&PCSCF_SERVICE, &with_pcscfs(0x90, &[]), None);
        let locked = card_with_isim(|isim| {
            isim.ist = Read::Is(ServiceTable(vec![0x01]));
            isim.pcscfs = protected();
        });
        assert_silent(&PCSCF_SERVICE, &locked, None);
    }

    #[test]
    fn texts_need_a_service_centre() {
        let none = card_with_usim(|usim| usim.smsp = Read::Is(vec![Read::Empty]));
        assert_found(&NO_SERVICE_CENTRE, &none, None);
        let locked = card_with_usim(|usim| usim.smsp = protected());
        assert_silent(&NO_SERVICE_CENTRE, &locked, None);
        assert_silent(&NO_SERVICE_CENTRE, &usim_only(), None);
    }

    #[test]
    fn sms_over_ip_that_is_off_is_a_note() {
        let off = with_pcscfs(0x00, &[]);
        assert_found(&NO_SMS_OVER_IP, &off, None);
        let usim = card_with_usim(|usim| usim.ust = Read::Is(ServiceTable(vec![0xFF])));
        let usim = CardContents { isim: None, ..usim };
        let said = NO_SMS_OVER_IP
            .example
            .replace("EF_IST", "EF_UST")
            .replace("ISIM", "USIM")
            .replace("service 8", "service 91");
        assert_said(&NO_SMS_OVER_IP, &usim, None, &said);
        assert_silent(&NO_SMS_OVER_IP, &card(), None);
        assert_silent(&NO_SMS_OVER_IP, &usim_only(), None);
    }

    #[test]
    fn a_test_card_is_doubtful() {
        let of_test = |operation| {
            card_with_usim(|usim| {
                usim.ad = Read::Is(AdministrativeData {
                    operation,
                    mnc_digits: Some(2),
                });
            })
        };
        assert_found(&TEST_MODE, &of_test(0x80), None);
        assert_silent(&TEST_MODE, &of_test(0x00), None);
    }
}
