//! Testkit: the reg event package: SUBSCRIBE and NOTIFY (RG-13 to RG-16, RG-18).

use super::*;
use hss_client::cx::{DeregistrationReason, Ppr, ReasonCode, Rtr};
use ims_common::identity::Impi;
use ims_common::sip::StatusCode;

/// A SUBSCRIBE as a P-CSCF would forward it.
#[derive(Clone)]
pub(super) struct Sub {
    uri: String,
    asserted: Option<String>,
    contact: String,
    call_id: String,
    cseq: u32,
    expires: Option<u32>,
    to_tag: String,
    more: String,
}

impl Sub {
    /// From the usual UE.
    pub(super) fn ue() -> Self {
        Self {
            uri: IMPU.to_owned(),
            asserted: Some(format!("<{IMPU}>")),
            contact: CONTACT.to_owned(),
            call_id: "s1@ue".to_owned(),
            cseq: 1,
            expires: Some(600_000),
            to_tag: String::new(),
            more: "Event: reg\r\nRecord-Route: <sip:mo-1@192.0.2.20:5060;lr>\r\n".to_owned(),
        }
    }

    /// From the P-CSCF in the Path.
    pub(super) fn pcscf() -> Self {
        Self {
            asserted: Some("<sip:192.0.2.20>".to_owned()),
            contact: "<sip:reg-7@192.0.2.20:5060>".to_owned(),
            call_id: "s2@pcscf".to_owned(),
            more: "Event: reg\r\n".to_owned(),
            ..Self::ue()
        }
    }

    /// Within the dialog that `ok` has made.
    fn again(&self, ok: &Response, cseq: u32, expires: u32) -> Self {
        let contact = header(ok, HeaderName::Contact);
        let tag = ok.to().unwrap().tag().unwrap().to_vec();
        Self {
            uri: contact.trim_matches(['<', '>']).to_owned(),
            to_tag: format!(";tag={}", String::from_utf8(tag).unwrap()),
            cseq,
            expires: Some(expires),
            ..self.clone()
        }
    }

    fn text(&self, branch: u32) -> String {
        let mut text = format!(
            "SUBSCRIBE {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bKs{branch}\r\nMax-Forwards: 69\r\n\
             From: <{IMPU}>;tag=f1\r\nTo: <{IMPU}>{to_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} SUBSCRIBE\r\n\
             Contact: {contact}\r\n{more}",
            uri = self.uri,
            to_tag = self.to_tag,
            call_id = self.call_id,
            cseq = self.cseq,
            contact = self.contact,
            more = self.more,
        );
        if let Some(expires) = self.expires {
            text.push_str(&format!("Expires: {expires}\r\n"));
        }
        if let Some(asserted) = &self.asserted {
            text.push_str(&format!("P-Asserted-Identity: {asserted}\r\n"));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        text
    }
}

impl Rig {
    pub(super) fn subscribe(&mut self, subscribe: &Sub) -> Response {
        self.branches += 1;
        let text = subscribe.text(self.branches);
        self.receive(text);
        self.responses.pop_front().expect("the SUBSCRIBE was answered")
    }

    /// The next NOTIFY, answered with 200.
    pub(super) fn notify(&mut self) -> Told {
        let told = self.unanswered_notify();
        self.answer_notify(&told.request, StatusCode::OK, "");
        told
    }

    fn unanswered_notify(&mut self) -> Told {
        let request = self.requests.pop_front().expect("a NOTIFY was sent");
        assert_eq!(request.method().as_str(), "NOTIFY");
        Told { request }
    }

    fn answer_notify(&mut self, request: &Request, status: StatusCode, more: &str) {
        let mut reply = request.reply(status).to_tag("n1");
        if let Some((name, value)) = more.split_once(": ") {
            reply = reply.header_named(name, value);
        }
        let text = String::from_utf8(reply.finish().bytes().to_vec()).unwrap();
        self.receive(text);
    }

    pub(super) fn subscriptions(&self) -> u64 {
        self.gauge("ims_scscf_reg_subscriptions")
    }
}

/// A NOTIFY.
pub(super) struct Told {
    request: Request,
}

impl Told {
    fn header(&self, name: HeaderName) -> String {
        String::from_utf8(self.request.header(name).unwrap_or_default().to_vec()).unwrap()
    }

    pub(super) fn state(&self) -> String {
        self.header(HeaderName::SubscriptionState)
    }

    pub(super) fn body(&self) -> &str {
        std::str::from_utf8(self.request.body()).unwrap()
    }

    fn version(&self) -> u32 {
        self.body()
            .split("version=\"")
            .nth(2)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// What is said of each identity: `aor state: contact-state contact-event, …`.
    pub(super) fn registrations(&self) -> Vec<String> {
        let attribute = |text: &str, name: &str| {
            let start = format!(" {name}=\"");
            text.split(&*start)
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .to_owned()
        };
        self.body()
            .split("<registration")
            .skip(1)
            .map(|registration| {
                let mut contacts = registration.split("<contact");
                let head = contacts.next().unwrap();
                let contacts: Vec<String> = contacts
                    .map(|c| format!("{} {}", attribute(c, "state"), attribute(c, "event")))
                    .collect();
                format!(
                    "{} {}: {}",
                    attribute(head, "aor"),
                    attribute(head, "state"),
                    contacts.join(", ")
                )
            })
            .collect()
    }
}

fn rtr(code: ReasonCode) -> CxPush {
    CxPush::Rtr(Rtr {
        user_name: Impi::parse(IMPI).unwrap(),
        public_identities: Vec::new(),
        associated_identities: Vec::new(),
        reason: DeregistrationReason { code, info: None },
    })
}

#[test]
fn subscribe_of_the_ue_gets_200_and_at_once_a_notify_with_the_whole_set() {
    let mut rig = Rig::registered();
    let ok = rig.subscribe(&Sub::ue());
    assert_eq!(status(&ok), 200);
    assert_eq!(header(&ok, HeaderName::Expires), "600000");
    assert_eq!(
        lines(&ok, HeaderName::RecordRoute),
        ["<sip:mo-1@192.0.2.20:5060;lr>"]
    );
    let contact = header(&ok, HeaderName::Contact);
    assert!(contact.starts_with("<sip:reg-00"), "{contact}");
    let told = rig.notify();
    assert_eq!(
        told.request.request_uri_bytes(),
        CONTACT.trim_matches(['<', '>']).as_bytes()
    );
    assert_eq!(told.header(HeaderName::Route), "<sip:mo-1@192.0.2.20:5060;lr>");
    assert_eq!(told.header(HeaderName::CallId), "s1@ue");
    assert_eq!(told.header(HeaderName::To), format!("<{IMPU}>;tag=f1"));
    let tag = ok.to().unwrap().tag().unwrap().to_vec();
    assert_eq!(told.request.from().unwrap().tag(), Some(&*tag));
    assert_eq!(told.header(HeaderName::Contact), contact);
    assert_eq!(told.header(HeaderName::Event), "reg");
    assert_eq!(told.state(), "active;expires=600000");
    assert_eq!(told.header(HeaderName::ContentType), "application/reginfo+xml");
    // The barred identity was registered by name; it is not told, and the others came with it.
    assert_eq!(
        told.registrations(),
        [
            format!("{IMPU} active: active created"),
            "tel:+15550001 active: active created".to_owned()
        ]
    );
    assert!(
        told.body().contains(" callid=\"c1@ue\" cseq=\"2\""),
        "{}",
        told.body()
    );
    assert!(told.body().contains(" expires=\"600000\""), "{}", told.body());
}

#[test]
fn document_is_well_formed_and_tells_what_the_phone_can() {
    let mut rig = Rig::new();
    let contact = "<sip:a&b@192.0.2.10:5060>;q=0.5;+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\";\
                   +g.3gpp.smsip;+g.x=\"a'<b>&amp;\"";
    let nonce = nonce_of(&rig.register(&Reg {
        contact: Some(contact.to_owned()),
        ..Reg::new(1)
    }));
    rig.register(&Reg {
        contact: Some(contact.to_owned()),
        authorization: Some(aka_authorization(&nonce, true, "yes")),
        ..Reg::new(2)
    });
    rig.subscribe(&Sub::ue());
    let told = rig.notify();
    let body = told.body();
    for part in [
        "<uri>sip:a&amp;b@192.0.2.10:5060</uri>",
        " q=\"0.5\">",
        "<unknown-param name=\"+sip.instance\">&quot;&lt;urn:gsma:imei:35622410-483840-0&gt;&quot;</unknown-param>",
        "<unknown-param name=\"+g.3gpp.smsip\"></unknown-param>",
        "<unknown-param name=\"+g.x\">&quot;a&apos;&lt;b&gt;&amp;amp;&quot;</unknown-param>",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    // What is left without markup has no character that XML reserves, and all elements are closed.
    let mut open = Vec::new();
    for markup in body.split('<').skip(1) {
        let (tag, text) = markup.split_once('>').unwrap();
        assert!(!text.contains(['>', '"']), "{text}");
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed.to_owned())),
            None if name.starts_with('?') => {}
            None => open.push(name.to_owned()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn pcscf_of_the_path_and_servers_of_the_criteria_may_subscribe_and_others_not() {
    let server = "<InitialFilterCriteria><Priority>1</Priority><ApplicationServer>\
                  <ServerName>sip:tas.home.example:5065</ServerName></ApplicationServer></InitialFilterCriteria>\
                  </ServiceProfile>";
    let mut rig = Rig::new();
    rig.hss.user_data = Some(profile().replace("</ServiceProfile>", server));
    rig.register_over_ipsec();
    for (asserted, expected) in [
        (Some("<sip:192.0.2.20>"), 200),
        (Some("<sip:term-1@192.0.2.20:5070;lr>"), 200),
        (Some("<sip:tas.home.example>"), 200),
        (Some("\"TAS\" <sip:tas@tas.home.example:5065;transport=tcp>"), 200),
        (Some("<tel:+15550001>"), 200),
        (Some(&*format!("<{TEMPORARY_IMPU}>")), 403),
        (Some("<tel:+15559999>"), 403),
        (Some(&*format!("<sip:+15559999@{HOME}>")), 403),
        (Some("<sip:other.home.example>"), 403),
        (None, 403),
    ] {
        let response = rig.subscribe(&Sub {
            asserted: asserted.map(str::to_owned),
            call_id: format!("w{}", asserted.map_or(0, str::len)),
            ..Sub::ue()
        });
        assert_eq!(status(&response), expected, "{asserted:?}");
    }
}

#[test]
fn bad_subscribes_are_refused_each_for_its_reason() {
    let cases = [
        ("Event: presence\r\n", HOME, "", 489),
        ("Event: reg\r\nAccept: application/pidf+xml\r\n", "", "", 406),
        (
            "Event: reg\r\n",
            "sip:+15557777@ims.mnc001.mcc001.3gppnetwork.org",
            "",
            480,
        ),
        (
            "Event: reg\r\n",
            "sip:reg-00aaaaaaaaaaaaaaaaaaaaaaaaaa@scscf1.",
            ";tag=x",
            481,
        ),
    ];
    for (more, uri, to_tag, expected) in cases {
        let mut rig = Rig::registered();
        let uri = match uri {
            "" => IMPU.to_owned(),
            HOME => format!("sip:scscf1.{HOME}"),
            uri if uri.ends_with('.') => format!("{uri}{HOME}"),
            uri => uri.to_owned(),
        };
        let response = rig.subscribe(&Sub {
            uri,
            to_tag: to_tag.to_owned(),
            more: more.to_owned(),
            ..Sub::ue()
        });
        assert_eq!(status(&response), expected, "{more}");
        assert_eq!(rig.subscriptions(), 0);
        assert!(rig.requests.is_empty());
    }
    let mut rig = Rig::registered();
    let response = rig.subscribe(&Sub {
        expires: Some(10),
        ..Sub::ue()
    });
    assert_eq!(status(&response), 423);
    assert_eq!(header(&response, HeaderName::MinExpires), "60");
}

#[test]
fn lifetime_is_the_default_of_the_package_or_at_most_the_longest() {
    for (asked, granted) in [(None, "3761"), (Some(9_999_999), "600000"), (Some(61), "61")] {
        let mut rig = Rig::registered();
        let ok = rig.subscribe(&Sub {
            expires: asked,
            ..Sub::ue()
        });
        assert_eq!(header(&ok, HeaderName::Expires), granted);
    }
}

#[test]
fn versions_count_per_subscription_and_changes_meanwhile_go_into_one_notify() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::ue());
    rig.subscribe(&Sub::pcscf());
    let first = rig.unanswered_notify();
    let other = rig.notify();
    assert_eq!((first.version(), other.version()), (0, 0));
    for cseq in 3..6 {
        rig.register(&Reg::protected(cseq));
    }
    // The P-CSCF hears of the first; of the others once it has answered. The UE has answered none yet.
    let next = rig.notify();
    assert_eq!(
        (next.version(), next.header(HeaderName::CallId)),
        (1, "s2@pcscf".to_owned())
    );
    assert_eq!(
        next.registrations()[0],
        format!("{IMPU} active: active refreshed")
    );
    assert_eq!(rig.notify().version(), 2);
    assert!(rig.requests.is_empty());
    rig.answer_notify(&first.request, StatusCode::OK, "");
    let late = rig.notify();
    assert_eq!(
        (late.version(), late.header(HeaderName::CSeq)),
        (1, "2 NOTIFY".to_owned())
    );
    assert!(rig.requests.is_empty());
}

#[test]
fn refresh_prolongs_and_moves_the_target_and_an_old_cseq_does_not() {
    let mut rig = Rig::registered();
    let ok = rig.subscribe(&Sub::ue());
    rig.notify();
    rig.advance(secs(1_000));
    let refresh = Sub {
        contact: "<sip:new@192.0.2.10:5062>".to_owned(),
        ..Sub::ue().again(&ok, 2, 600_000)
    };
    assert_eq!(status(&rig.subscribe(&refresh)), 200);
    let told = rig.notify();
    assert_eq!(told.request.request_uri_bytes(), b"sip:new@192.0.2.10:5062");
    assert_eq!(
        (told.state(), told.version()),
        ("active;expires=600000".to_owned(), 1)
    );
    assert_eq!(status(&rig.subscribe(&refresh)), 500);
    let foreign = Sub {
        call_id: "other".to_owned(),
        ..Sub::ue().again(&ok, 3, 600_000)
    };
    assert_eq!(status(&rig.subscribe(&foreign)), 481);
    assert!(rig.requests.is_empty());
    assert_eq!(rig.subscriptions(), 1);
}

#[test]
fn subscription_ends_by_expires_0_and_by_time_with_a_last_notify() {
    let mut rig = Rig::registered();
    let ok = rig.subscribe(&Sub::ue());
    rig.notify();
    let response = rig.subscribe(&Sub::ue().again(&ok, 2, 0));
    assert_eq!(
        (status(&response), header(&response, HeaderName::Expires)),
        (200, "0".to_owned())
    );
    assert_eq!(rig.notify().state(), "terminated;reason=timeout");
    assert_eq!(rig.subscriptions(), 0);
    assert_eq!(status(&rig.subscribe(&Sub::ue().again(&ok, 3, 600))), 481);

    rig.subscribe(&Sub {
        expires: Some(600),
        ..Sub::ue()
    });
    rig.notify();
    rig.advance(secs(599));
    assert!(rig.requests.is_empty());
    rig.advance(secs(1));
    let told = rig.notify();
    assert_eq!(told.state(), "terminated;reason=timeout");
    assert_eq!(told.registrations().len(), 2);
    assert_eq!(rig.subscriptions(), 0);
}

#[test]
fn first_subscribe_with_expires_0_fetches_once() {
    let mut rig = Rig::registered();
    let ok = rig.subscribe(&Sub {
        expires: Some(0),
        ..Sub::ue()
    });
    assert_eq!(status(&ok), 200);
    let told = rig.notify();
    assert_eq!(
        (told.state(), told.registrations().len()),
        ("terminated;reason=timeout".to_owned(), 2)
    );
    assert_eq!(rig.subscriptions(), 0);
}

#[test]
fn phone_that_has_forgotten_its_subscription_replaces_it() {
    let mut rig = Rig::registered();
    let old = rig.subscribe(&Sub::ue());
    rig.notify();
    let new = Sub {
        call_id: "s9@ue".to_owned(),
        ..Sub::ue()
    };
    rig.subscribe(&new);
    assert_eq!(rig.notify().version(), 0);
    assert_eq!(rig.subscriptions(), 1);
    assert_eq!(status(&rig.subscribe(&Sub::ue().again(&old, 2, 600))), 481);
    rig.register(&Reg::protected(3));
    assert_eq!(rig.notify().header(HeaderName::CallId), "s9@ue");
    assert!(rig.requests.is_empty());
}

#[test]
fn deregistration_by_the_ue_ends_all_subscriptions_with_a_terminated_document() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::ue());
    rig.subscribe(&Sub::pcscf());
    rig.notify();
    rig.notify();
    let response = rig.register(&Reg {
        expires: Some(0),
        ..Reg::protected(3)
    });
    assert_eq!(status(&response), 200);
    for _ in 0..2 {
        let told = rig.notify();
        assert_eq!(told.state(), "terminated;reason=noresource");
        assert_eq!(
            told.registrations(),
            [
                format!("{IMPU} terminated: terminated unregistered"),
                "tel:+15550001 terminated: terminated unregistered".to_owned()
            ]
        );
    }
    assert_eq!(rig.subscriptions(), 0);
    assert!(rig.requests.is_empty());
}

#[test]
fn a_registration_that_expires_is_told_as_expired() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::pcscf());
    rig.notify();
    rig.register(&Reg {
        expires: Some(100),
        ..Reg::protected(3)
    });
    rig.notify();
    rig.advance(secs(99));
    assert!(rig.requests.is_empty());
    rig.advance(secs(1));
    let told = rig.notify();
    assert_eq!(
        told.registrations()[0],
        format!("{IMPU} terminated: terminated expired")
    );
    assert_eq!(told.state(), "terminated;reason=noresource");
}

#[test]
fn each_way_that_a_registration_ends_has_its_event() {
    for (code, event) in [
        (ReasonCode::PermanentTermination, Some("rejected")),
        (ReasonCode::ServerChange, Some("deactivated")),
        (ReasonCode::NewServerAssigned, None),
    ] {
        let mut rig = Rig::registered();
        rig.subscribe(&Sub::pcscf());
        rig.notify();
        rig.push(rtr(code));
        match event {
            Some(event) => {
                let told = rig.notify();
                assert_eq!(
                    told.registrations()[0],
                    format!("{IMPU} terminated: terminated {event}")
                );
                assert!(told.state().starts_with("terminated"));
            }
            None => assert!(rig.requests.is_empty()),
        }
        assert_eq!(rig.subscriptions(), 0);
    }
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::pcscf());
    rig.notify();
    rig.advance(secs(600_000));
    let told = rig.notify();
    assert_eq!(
        told.registrations()[0],
        format!("{IMPU} terminated: terminated expired")
    );
}

#[test]
fn replaced_contact_is_told_once_as_deactivated_and_its_own_subscription_ends() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::ue());
    rig.subscribe(&Sub::pcscf());
    rig.notify();
    rig.notify();
    rig.register(&Reg {
        contact: Some("<sip:001010000000001@192.0.2.11:5060>".to_owned()),
        ..Reg::protected(3)
    });
    let to_ue = rig.notify();
    assert_eq!(to_ue.state(), "terminated;reason=noresource");
    let told = rig.notify();
    assert!(told.state().starts_with("active"));
    assert_eq!(
        told.registrations()[0],
        format!("{IMPU} active: active created, terminated deactivated")
    );
    rig.register(&Reg {
        contact: Some("<sip:001010000000001@192.0.2.11:5060>".to_owned()),
        ..Reg::protected(4)
    });
    assert_eq!(
        rig.notify().registrations()[0],
        format!("{IMPU} active: active refreshed")
    );
    assert_eq!(rig.subscriptions(), 1);
}

#[test]
fn contact_keeps_its_id_and_no_other_contact_has_it() {
    let mut rig = Rig::registered();
    rig.register_second();
    rig.subscribe(&Sub::pcscf());
    let ids = |told: &Told| -> Vec<String> {
        let mut ids: Vec<String> = told
            .body()
            .split("<contact id=\"")
            .skip(1)
            .map(|c| c.split('"').next().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let first = ids(&rig.notify());
    let mut distinct = first.clone();
    distinct.dedup();
    assert_eq!((first.len(), distinct.len()), (2, 2));
    rig.hss.user_data = None;
    rig.register(&Reg::protected(3));
    assert_eq!(ids(&rig.notify()), first);
}

#[test]
fn pushed_profile_tells_who_joined_and_who_left() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::ue());
    rig.notify();
    let new = profile_of(
        IMPI,
        &[(TEMPORARY_IMPU, true), (IMPU, false), ("tel:+15550009", false)],
    );
    rig.push(CxPush::Ppr(Ppr {
        user_name: Impi::parse(IMPI).unwrap(),
        user_data: Some(Bytes::from(new)),
        charging: None,
        digest: None,
    }));
    let told = rig.notify();
    assert_eq!(
        told.registrations(),
        [
            format!("{IMPU} active: active created"),
            "tel:+15550009 active: active created".to_owned(),
            "tel:+15550001 terminated: terminated deactivated".to_owned(),
        ]
    );
    assert!(rig.requests.is_empty());
}

#[test]
fn subscriber_that_knows_nothing_or_is_silent_gets_nothing_more() {
    for answer in [
        Some(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST),
        Some(StatusCode::REQUEST_TIMEOUT),
        None,
    ] {
        let mut rig = Rig::registered();
        rig.subscribe(&Sub::ue());
        let told = rig.unanswered_notify();
        match answer {
            Some(status) => rig.answer_notify(&told.request, status, ""),
            None => rig.advance(secs(40)),
        }
        rig.requests.clear();
        assert_eq!(rig.subscriptions(), 0, "{answer:?}");
        rig.register(&Reg::protected(3));
        assert!(rig.requests.is_empty(), "{answer:?}");
    }
}

#[test]
fn registration_that_ends_while_a_dead_subscriber_is_awaited_sends_nothing_more() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::pcscf());
    rig.push(rtr(ReasonCode::PermanentTermination));
    rig.unanswered_notify();
    rig.advance(secs(40));
    let is_first = |request: &Request| request.cseq().unwrap().number == 1;
    assert!(rig.requests.iter().all(is_first));
    assert_eq!(rig.subscriptions(), 0);
}

#[test]
fn last_notify_waits_for_the_answer_to_the_one_before() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::pcscf());
    let first = rig.unanswered_notify();
    rig.push(rtr(ReasonCode::PermanentTermination));
    assert!(rig.requests.is_empty());
    rig.answer_notify(&first.request, StatusCode::OK, "");
    let told = rig.notify();
    assert_eq!(
        (told.version(), told.state()),
        (1, "terminated;reason=noresource".to_owned())
    );
    assert_eq!(rig.subscriptions(), 0);
}

#[test]
fn subscriber_that_asks_for_a_pause_gets_it() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::ue());
    let told = rig.unanswered_notify();
    rig.answer_notify(&told.request, StatusCode::SERVICE_UNAVAILABLE, "Retry-After: 30");
    rig.requests.clear();
    rig.register(&Reg::protected(3));
    rig.advance(secs(29));
    assert!(rig.requests.is_empty());
    rig.advance(secs(1));
    let told = rig.notify();
    assert_eq!(told.version(), 1);
    assert_eq!(rig.subscriptions(), 1);
}

#[test]
fn full_table_refuses_and_is_not_burdened_by_those_who_left() {
    let mut rig = Rig::with_config("  reg_event: {subscriptions_per_set: 2}\n");
    rig.register_over_ipsec();
    let from = |number: u32| Sub {
        contact: format!("<sip:watcher-{number}@192.0.2.20:5060>"),
        call_id: format!("w{number}"),
        ..Sub::pcscf()
    };
    let ok = rig.subscribe(&from(1));
    assert_eq!(status(&rig.subscribe(&from(2))), 200);
    let refused = rig.subscribe(&from(3));
    assert_eq!(status(&refused), 503);
    assert!(!header(&refused, HeaderName::RetryAfter).is_empty());
    rig.notify();
    rig.notify();
    rig.subscribe(&from(1).again(&ok, 2, 0));
    rig.notify();
    assert_eq!(status(&rig.subscribe(&from(3))), 200);
}

#[test]
fn document_tells_the_gruu_of_each_identity_that_can_have_one() {
    let mut rig = Rig::with_registration("{gruu: true}");
    let register = Reg {
        contact: Some(format!("{CONTACT};+sip.instance=\"<urn:uuid:0-1>\"")),
        more: "Supported: gruu\r\n".to_owned(),
        ..Reg::new(1)
    };
    let nonce = nonce_of(&rig.register(&register));
    rig.register(&Reg {
        authorization: Some(aka_authorization(&nonce, true, "yes")),
        cseq: 2,
        ..register
    });
    rig.subscribe(&Sub::ue());
    let told = rig.notify();
    let gruu = format!("<gr:pub-gruu uri=\"{IMPU};gr=urn:uuid:0-1\"/>\n</contact>");
    assert_eq!(told.body().matches("pub-gruu").count(), 1, "{}", told.body());
    assert!(told.body().contains(&gruu), "{}", told.body());
}

#[test]
fn pause_that_a_subscriber_asks_for_at_the_end_does_not_keep_its_subscription() {
    let mut rig = Rig::registered();
    rig.subscribe(&Sub::pcscf());
    let first = rig.unanswered_notify();
    rig.push(rtr(ReasonCode::PermanentTermination));
    rig.answer_notify(&first.request, StatusCode::SERVICE_UNAVAILABLE, "Retry-After: 30");
    let told = rig.notify();
    assert_eq!(
        (told.version(), told.state()),
        (1, "terminated;reason=noresource".to_owned())
    );
    assert_eq!(rig.subscriptions(), 0);
}
