//! Testkit: documents of the reg event package, with elements lost, doubled, moved, nested and refilled.

use std::fmt::Write as _;

use pcscf::reg_event::reginfo::{
    CONTACTS_MAX, OCTETS_MAX, REGISTRATIONS_MAX, RegInfo, RegInfoError, RegistrationState,
};

use crate::dice::{Dice, change, few, raw, seed};
use crate::engine::{Target, Verdict, assert_linear};
use crate::user_data::{Words, change_pieces, pieces};

static TARGET: Target = Target {
    name: "reginfo",
    check,
    generate,
    iterations: 6_000,
};

#[test]
fn every_reginfo_is_refused_or_prints_as_what_reads_the_same() {
    fuzz!(TARGET);
}

const WORDS: Words = Words {
    elements: &[
        "<registration aor=\"sip:c@h.example\" id=\"x\" state=\"terminated\"/>",
        "<registration aor=\"tel:+1-555\" state=\"init\">",
        "</registration>",
        "<contact id=\"c\" state=\"terminated\" event=\"rejected\"><uri>sip:a@192.0.2.1</uri></contact>",
        "<contact state=\"active\" event=\"shortened\" expires=\"0\" cseq=\"4294967296\" callid=\"&lt;a&gt;\">",
        "</contact>",
        "<uri>sip:a@[2001:db8::1]:5060;transport=tcp</uri>",
        "<unknown-param name=\"+sip.instance\">\"&lt;urn:x&gt;\"</unknown-param>",
        "<gr:pub-gruu uri=\"sip:a@h.example;gr=1\"/>",
        "<x:y xmlns:x=\"z\"><a><b/></a></x:y>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]>",
        "<?pi x?>",
        "<!-- c -->",
        "text",
    ],
    texts: &[
        "",
        " ",
        "sip:b@h.example",
        "tel:+15550001",
        "sip:a@192.0.2.1:99999",
        "mailto:a@h",
        "&amp;&lt;",
        "&#x41;",
        "&#0;",
        "&nbsp;",
        "<![CDATA[sip:d@h.example]]>",
        "\u{e9}\u{6771}",
    ],
};

fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    if dice.one_in(20) {
        return raw(dice, 200);
    }
    let text = String::from_utf8_lossy(&seed(dice, seeds)).into_owned();
    let mut pieces = pieces(&text);
    for _ in 0..few(dice) {
        change_pieces(dice, &mut pieces, &WORDS);
    }
    let mut bytes = pieces.concat().into_bytes();
    if dice.one_in(5) {
        let parts: [&[u8]; 9] = [
            b"<",
            b">",
            b"/>",
            b"&",
            b"]]>",
            b"<!--",
            b" a=\"b\"",
            b" state=\"partial\"",
            b" expires=\"1\"",
        ];
        change(dice, &mut bytes, &parts);
    }
    bytes
}

fn check(bytes: &[u8]) -> Verdict {
    match RegInfo::parse(bytes) {
        Ok(info) => {
            assert!(bytes.len() <= OCTETS_MAX);
            assert!(info.registrations.len() <= REGISTRATIONS_MAX);
            let contacts: usize = info.registrations.iter().map(|r| r.contacts.len()).sum();
            assert!(contacts <= CONTACTS_MAX);
            let printed = print(&info);
            assert_eq!(RegInfo::parse(printed.as_bytes()), Ok(info), "{printed}");
            Verdict::Accepted
        }
        Err(error) => {
            quiet(error);
            Verdict::Refused
        }
    }
}

/// An error never quotes the document.
fn quiet(error: RegInfoError) {
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("192.0.2") && !shown.contains('\u{e9}'), "{shown}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn print(info: &RegInfo) -> String {
    let state = if info.is_full { "full" } else { "partial" };
    let mut out = format!("<reginfo version=\"{}\" state=\"{state}\">", info.version);
    for registration in &info.registrations {
        let state = match registration.state {
            RegistrationState::Init => "init",
            RegistrationState::Active => "active",
            RegistrationState::Terminated => "terminated",
        };
        let aor = escaped(registration.impu.as_str());
        _ = write!(out, "<registration aor=\"{aor}\" state=\"{state}\">");
        for contact in &registration.contacts {
            let state = if contact.is_active { "active" } else { "terminated" };
            _ = write!(out, "<contact state=\"{state}\" event=\"{}\"", contact.event);
            for (name, value) in [("expires", contact.expires), ("cseq", contact.cseq)] {
                if let Some(value) = value {
                    _ = write!(out, " {name}=\"{value}\"");
                }
            }
            if let Some(call_id) = &contact.call_id {
                _ = write!(out, " callid=\"{}\"", escaped(call_id));
            }
            _ = write!(out, "><uri>{}</uri></contact>", escaped(&contact.uri.to_string()));
        }
        out.push_str("</registration>");
    }
    out.push_str("</reginfo>");
    out
}

#[test]
fn a_large_reginfo_costs_what_its_size_says() {
    let of = |part: &'static str| {
        move |size: usize| {
            let head = "<reginfo version=\"0\" state=\"full\">";
            format!("{head}{}</reginfo>", part.repeat(size / part.len())).into_bytes()
        }
    };
    let check = |bytes: &[u8]| _ = RegInfo::parse(bytes);
    for part in [
        "<a/>",
        "<!-- -->",
        "&amp;",
        "<registration aor='sip:a@h' state='init'/>",
        "<registration aor='sip:a@h' state='active'><contact state='active'><uri>sip:a@h</uri></contact></registration>",
        "<x:y xmlns:x='z'/>",
        "<",
        "&",
    ] {
        assert_linear(part, of(part), check);
    }
}
