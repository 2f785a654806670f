//! Table: names of services in `EF_IST` and `EF_UST`; of a USIM those that matter for IMS or for a network of its own.

/// TS 31.103 4.2.7.
pub(super) fn of_isim(number: usize) -> Option<&'static str> {
    name(&ISIM, number)
}

/// TS 31.102 4.2.8.
pub(super) fn of_usim(number: usize) -> Option<&'static str> {
    name(&USIM, number)
}

fn name(table: &[(usize, &'static str)], number: usize) -> Option<&'static str> {
    let row = table.iter().find(|(of, _)| *of == number);
    row.map(|(_, name)| *name)
}

const ISIM: [(usize, &str); 22] = [
    (1, "P-CSCF address"),
    (2, "GBA"),
    (3, "HTTP Digest"),
    (4, "local keys by GBA"),
    (5, "P-CSCF discovery for IMS local breakout"),
    (6, "storage of short messages"),
    (7, "status reports of short messages"),
    (8, "SM-over-IP"),
    (9, "communication control"),
    (10, "UICC access to IMS"),
    (11, "URI support"),
    (12, "media types"),
    (13, "call disconnection cause"),
    (14, "control of short messages by URI"),
    (15, "MCPTT"),
    (16, "SMS-PP download by URI"),
    (17, "preferred From"),
    (18, "IMS configuration data"),
    (19, "XCAP configuration data"),
    (20, "WebRTC URI"),
    (21, "MuD and MiD configuration data"),
    (22, "IMS data channel"),
];

const USIM: [(usize, &str); 23] = [
    (10, "storage of short messages"),
    (11, "status reports of short messages"),
    (12, "parameters of short messages"),
    (19, "name of the service provider"),
    (21, "MSISDN"),
    (27, "GSM access"),
    (38, "GSM security context"),
    (45, "names of PLMNs"),
    (68, "GBA"),
    (85, "EPS mobility management"),
    (91, "SM-over-IP"),
    (93, "communication control for IMS"),
    (95, "UICC access to IMS"),
    (99, "URI support"),
    (106, "ePDG configuration"),
    (107, "ePDG configured"),
    (114, "preferred From"),
    (115, "IMS configuration data"),
    (117, "PS data off"),
    (120, "XCAP configuration data"),
    (122, "5GS mobility management"),
    (124, "concealed identity (SUCI)"),
    (125, "SUCI by the USIM"),
];
