use std::net::SocketAddr;

use ims_common::limits::SipLimits;
use ims_common::sip::{Message, SipMessage};

use super::*;
use crate::hss::{TEST_K, TEST_OPC};
use crate::ue::identity::{Secret, UeIdentity};
use crate::ue::verdict::{self, About, Prover, Sort};
use crate::usim::Usim;

#[test]
fn long_registrations_are_refreshed_600_s_before_their_end_and_short_ones_half_way() {
    assert_eq!(refresh_after(600_000), Duration::from_secs(599_400));
    assert_eq!(refresh_after(1_200), Duration::from_secs(600));
}

#[test]
fn lists_split_outside_of_brackets_and_quotes() {
    let values: Vec<_> = split_list("<sip:a,b@c>;x=\"1,2\", <tel:+1>").collect();
    assert_eq!(values, ["<sip:a,b@c>;x=\"1,2\"", "<tel:+1>"]);
}

#[allow(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn start() -> Instant {
    Instant::now()
}

/// What a phone makes of a 401 with these lines: what it saw, and whether it answers.
fn challenged_by(lines: &str, secret: Secret) -> (Vec<UeEvent>, bool) {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let identity = UeIdentity::from_imsi("001010000000001", 2);
    let mut config = UeConfig::new(identity, secret, at("192.0.2.9:5060"), at("192.0.2.1:5060"));
    let mut registrant = Registrant::new(&Seed::from_number(1), &config);
    registrant.start(Procedure::Register, &config);
    let text = format!(
        "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:a@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    let message = Message::parse(text.into_bytes().into(), &SipLimits::default()).unwrap();
    let SipMessage::Response(response) = message.into_parts() else {
        panic!("a 401 is a response");
    };
    let mut events = Vec::new();
    let next = registrant.on_final(start(), &response, &mut config, &mut events);
    (events, next.is_some())
}

fn challenge_of(algorithm: &str, nonce: &[u8]) -> String {
    use base64::Engine as _;
    let nonce = base64::engine::general_purpose::STANDARD.encode(nonce);
    format!("WWW-Authenticate: Digest realm=\"h\",nonce=\"{nonce}\"{algorithm},qop=\"auth\"\r\n")
}

#[test]
fn a_challenge_that_is_not_for_a_card_is_no_mac_failure_and_no_silence() {
    let akav2 = challenge_of(",algorithm=AKAv2-SHA-256", &[7; 32]);
    let sha = challenge_of(",algorithm=SHA-256", &[7; 40]);
    for (lines, algorithm) in [
        (challenge_of(",algorithm=MD5", &[7; 40]), "MD5"),
        (challenge_of("", &[7; 32]), "MD5"),
        (challenge_of(",algorithm=AKAv1-MD5", &[7; 31]), "AKAv1-MD5"),
        (akav2.clone(), "AKAv2-SHA-256"),
        (format!("{sha}{akav2}"), "SHA-256"),
        (String::new(), "none"),
    ] {
        let usim = Secret::Aka(Usim::new(&TEST_K, &TEST_OPC));
        let (events, answers) = challenged_by(&lines, usim);
        let algorithm = algorithm.to_owned();
        assert_eq!(events, [UeEvent::Challenged { algorithm }], "{lines}");
        assert!(!answers, "{lines}");
        let about = About {
            impi: "a@h".to_owned(),
            impu: "sip:a@h".to_owned(),
            home: "h".to_owned(),
            pcscf: "192.0.2.1:5060".parse().unwrap(),
            transport: ims_common::net::Transport::Udp,
            ipsec: false,
            prover: Prover::Card,
        };
        assert_eq!(
            verdict::of_registration(&events, &about).sort,
            Sort::Challenge,
            "{lines}"
        );
    }
}

#[test]
fn a_card_answers_the_challenge_that_is_for_it_wherever_it_stands() {
    let for_others = challenge_of(",algorithm=MD5", &[7; 40]);
    let for_it = challenge_of(",algorithm=AKAv1-MD5", &[7; 32]);
    let usim = || Secret::Aka(Usim::new(&TEST_K, &TEST_OPC));
    let (events, answers) = challenged_by(&format!("{for_others}{for_it}"), usim());
    let algorithm = "AKAv1-MD5".to_owned();
    assert_eq!(
        events,
        [UeEvent::Challenged { algorithm }, UeEvent::MacFailure],
        "its AUTN is none of this USIM's network"
    );
    assert!(answers, "TS 24.229 5.1.1.5.3: an empty response");
    let (events, answers) = challenged_by(&for_others, Secret::Digest("x".to_owned()));
    let algorithm = "MD5".to_owned();
    assert_eq!(events, [UeEvent::Challenged { algorithm }]);
    assert!(answers, "a password answers it");
}
