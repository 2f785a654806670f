//! Testkit: documents of the reg event package, read as a subscriber does (checklist RG-15).

use super::*;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" \
                    xmlns:gr=\"urn:ietf:params:xml:ns:gruuinfo\" version=\"3\" state=\"full\">";

fn read(registrations: &str) -> Result<RegInfo, RegInfoError> {
    RegInfo::parse(format!("{HEAD}{registrations}</reginfo>").as_bytes())
}

fn contact(attributes: &str, uri: &str) -> String {
    format!(
        "<registration aor=\"sip:a@h.test\" id=\"r\" state=\"active\"><contact id=\"c\" {attributes}><uri>{uri}</uri>\
         </contact></registration>"
    )
}

#[test]
fn a_whole_document_is_read() {
    let info = read(
        "<registration aor=\"sip:+15550001@h.test\" id=\"r1\" state=\"active\">\
           <contact id=\"c1\" state=\"active\" event=\"shortened\" expires=\"600\" callid=\"c1@ue\" cseq=\"2\">\
             <uri>sip:u@[2001:db8::1]:45062</uri>\
             <unknown-param name=\"+sip.instance\">\"&lt;urn:gsma:imei:35622410-483840-0&gt;\"</unknown-param>\
             <gr:pub-gruu uri=\"sip:x@h.test;gr=1\"/>\
           </contact>\
         </registration>\
         <!-- the same by number -->\
         <registration aor=\"tel:+1-555-0001\" id=\"r2\" state=\"terminated\">\
           <contact id=\"c2\" state=\"terminated\" event=\"deactivated\"><uri> <![CDATA[sip:u@[2001:db8::1]:45062]]> </uri></contact>\
         </registration>",
    )
    .unwrap();
    assert_eq!((info.version, info.is_full), (3, true));
    let [first, second] = &info.registrations[..] else {
        panic!("{info:?}");
    };
    assert_eq!(first.state, RegistrationState::Active);
    let contact = &first.contacts[0];
    assert_eq!(contact.uri.to_string(), "sip:u@[2001:db8::1]:45062");
    assert!(contact.is_active);
    assert_eq!(
        (contact.event, contact.expires),
        (ContactEvent::Shortened, Some(600))
    );
    assert_eq!(
        (contact.call_id.as_deref(), contact.cseq),
        (Some("c1@ue"), Some(2))
    );
    assert_eq!(second.impu.as_str(), "tel:+15550001");
    assert_eq!(second.state, RegistrationState::Terminated);
    assert_eq!(second.contacts[0].event, ContactEvent::Deactivated);
    assert!(!second.contacts[0].is_active);
    assert_eq!(second.contacts[0].uri, contact.uri);
}

#[test]
fn a_prefix_is_as_good_as_a_default_namespace() {
    let text = "<r:reginfo xmlns:r=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"partial\"><r:registration \
                aor='sip:a@h.test' id='x' state='init'/></r:reginfo>";
    let info = RegInfo::parse(text.as_bytes()).unwrap();
    assert!(!info.is_full);
    assert_eq!(info.registrations[0].state, RegistrationState::Init);
}

#[test]
fn what_cannot_be_read_is_left_out_and_the_rest_is_kept() {
    for (registrations, expected) in [
        (
            contact("state=\"active\" event=\"registered\"", "mailto"),
            Some(0),
        ),
        (
            contact("state=\"odd\" event=\"registered\"", "sip:a@h.test"),
            Some(0),
        ),
        (contact("state=\"active\" event=\"odd\"", "sip:a@h.test"), Some(1)),
        (contact("state=\"active\"", "sip:a@h.test"), Some(1)),
        (
            contact(
                "state=\"active\" expires=\"99999999999\" cseq=\"-1\"",
                "sip:a@h.test",
            ),
            Some(1),
        ),
        (
            "<registration aor=\"mailto:a@h\" state=\"active\"/>".to_owned(),
            None,
        ),
        ("<registration state=\"active\"/>".to_owned(), None),
        (
            "<registration aor=\"sip:a@h.test\" state=\"x\"/>".to_owned(),
            None,
        ),
        (
            "<other><registration aor=\"sip:a@h.test\" state=\"init\"/></other>".to_owned(),
            None,
        ),
    ] {
        let info = read(&registrations).unwrap_or_else(|e| panic!("{e}: {registrations}"));
        let contacts = info.registrations.first().map(|r| r.contacts.len());
        assert_eq!(contacts, expected, "{registrations}");
    }
    let large = read(&contact(
        "state=\"active\" expires=\"99999999999\"",
        "sip:a@h.test",
    ))
    .unwrap();
    assert_eq!(large.registrations[0].contacts[0].expires, Some(u32::MAX));
}

#[test]
fn documents_that_mean_harm_are_refused() {
    let deep = format!("{}{}", "<a>".repeat(DEPTH_MAX), "</a>".repeat(DEPTH_MAX));
    let many = "<registration aor=\"sip:a@h.test\" state=\"init\"/>".repeat(REGISTRATIONS_MAX + 1);
    let contacts = "<contact/>".repeat(CONTACTS_MAX + 1);
    let contacts = format!("<registration aor=\"sip:a@h.test\" state=\"init\">{contacts}</registration>");
    let long = contact("state=\"active\"", &format!("sip:{}@h.test", "a".repeat(URI_MAX)));
    let entity = contact("state=\"active\"", "sip:&lol;@h.test");
    for (registrations, expected) in [
        (deep, RegInfoError::TooDeep),
        (many, RegInfoError::TooMany("registration")),
        (contacts, RegInfoError::TooMany("contact")),
        (long, RegInfoError::TooMany("character")),
        (entity, RegInfoError::NotWellFormed),
        ("</reginfo><reginfo>".to_owned(), RegInfoError::NotWellFormed),
        ("<registration".to_owned(), RegInfoError::NotWellFormed),
    ] {
        assert_eq!(read(&registrations), Err(expected));
    }
    let doctype = "<!DOCTYPE r [<!ENTITY a \"b\">]><reginfo version=\"0\" state=\"full\"/>";
    assert_eq!(RegInfo::parse(doctype.as_bytes()), Err(RegInfoError::DocType));
    assert_eq!(
        RegInfo::parse(&vec![b' '; OCTETS_MAX + 1]),
        Err(RegInfoError::TooLarge)
    );
    assert_eq!(RegInfo::parse(b"\xff\xfe"), Err(RegInfoError::NotWellFormed));
    for text in [
        "",
        "text",
        "<other version=\"0\" state=\"full\"/>",
        "<reginfo state=\"full\"/>",
        "<reginfo version=\"0\"/>",
        "<reginfo version=\"x\" state=\"full\"/>",
        "<reginfo version=\"0\" state=\"none\"/>",
    ] {
        assert!(RegInfo::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn every_event_prints_as_it_is_read() {
    for text in [
        "registered",
        "created",
        "refreshed",
        "shortened",
        "expired",
        "deactivated",
        "probation",
        "unregistered",
        "rejected",
        "other",
    ] {
        assert_eq!(ContactEvent::of(text).to_string(), text);
    }
}
