//! Codec: tests of [`super`].

use super::*;

const CLIENT: &str = "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;prot=esp;mod=trans;spi-c=1111111111;spi-s=1111111112;port-c=45061;port-s=45062,\
     ipsec-3gpp;alg=hmac-sha-1-96;ealg=null;prot=esp;mod=trans;spi-c=1111111111;spi-s=1111111112;port-c=45061;port-s=45062";
const SERVER: &str = "ipsec-3gpp;q=0.1;prot=esp;mod=trans;spi-c=2222222221;spi-s=2222222222;port-c=6100;port-s=6101;alg=hmac-sha-1-96;ealg=aes-cbc";

const OWN: OwnNumbers = OwnNumbers {
    spi_pc: 2_222_222_221,
    spi_ps: 2_222_222_222,
    port_pc: 6100,
    port_ps: 6101,
};

fn values(text: &str) -> impl Iterator<Item = &[u8]> {
    text.split(',').map(str::as_bytes)
}

fn agreement_on(client: &str, suite: &str) -> Agreement {
    let offer = Offer::of_values(values(client));
    let choice = offer.select(&[suite.parse().unwrap()]).unwrap();
    Agreement::new(offer, choice, OWN)
}

fn verify(verify: &str, client: &str) -> Result<(), Mismatch> {
    agreement_on(CLIENT, "hmac-sha-1-96/aes-cbc").verify_values(values(verify), values(client))
}

#[test]
fn security_server_names_our_numbers_and_the_chosen_pair() {
    assert_eq!(
        agreement_on(CLIENT, "hmac-sha-1-96/aes-cbc").security_server(),
        SERVER
    );
    assert_eq!(
        agreement_on(CLIENT, "hmac-sha-1-96/null").security_server(),
        SERVER.replace("aes-cbc", "null")
    );
}

#[test]
fn what_a_494_lists_is_in_our_order_with_falling_preference() {
    let policy: Vec<Suite> = ["hmac-sha-1-96/aes-cbc", "null/aes-gcm"]
        .iter()
        .map(|it| it.parse().unwrap())
        .collect();
    assert_eq!(
        supported(&policy),
        "ipsec-3gpp;q=0.999;prot=esp;mod=trans;alg=hmac-sha-1-96;ealg=aes-cbc, \
         ipsec-3gpp;q=0.998;prot=esp;mod=trans;alg=null;ealg=aes-gcm"
    );
}

#[test]
fn both_headers_repeated_as_they_were_are_verified() {
    assert_eq!(verify(SERVER, CLIENT), Ok(()));
}

#[test]
fn order_case_white_space_zeros_and_defaults_do_not_matter() {
    let mut reordered: Vec<&str> = SERVER.split(';').collect();
    reordered.reverse();
    let mechanism = reordered.pop();
    let server = [mechanism.unwrap(), &reordered.join(" ;\t")]
        .join(" ; ")
        .to_uppercase();
    let turned: Vec<&str> = CLIENT.split(',').rev().collect();
    let client = turned
        .join(" , ")
        .replace("=", " = ")
        .replace("1111111111", "\"1111111111\"");
    assert_eq!(verify(&server, &client), Ok(()));
    let spare = |text: &str| {
        text.replace(";prot=esp", "")
            .replace(";mod=trans", "")
            .replace(";ealg=null", "")
    };
    assert_eq!(verify(&spare(SERVER), &spare(CLIENT)), Ok(()));
    assert_eq!(verify(&SERVER.replace("=6100", "=06100"), CLIENT), Ok(()));
    assert_eq!(verify(&SERVER.replace("q=0.1", "q=0.100"), CLIENT), Ok(()));
}

#[test]
fn a_security_verify_without_the_preference_is_verified() {
    assert_eq!(verify(&SERVER.replace(";q=0.1", ""), CLIENT), Ok(()));
    assert_eq!(
        verify(&SERVER.replace("q=0.1", "q=0.2"), CLIENT),
        Err(Mismatch::Verify("q"))
    );
}

#[test]
fn junk_behind_the_last_parameter_is_no_difference() {
    assert_eq!(verify(&format!("{SERVER}>"), &format!("{CLIENT}>")), Ok(()));
    assert_eq!(verify(&format!("{SERVER};x=y"), CLIENT), Ok(()));
}

#[test]
fn media_mechanisms_are_left_out_of_both() {
    let media = |text: &str| format!("sdes-srtp;mediasec,{text},msrp-tls;mediasec");
    assert_eq!(verify(&media(SERVER), &media(CLIENT)), Ok(()));
    let agreement = agreement_on(&media(CLIENT), "hmac-sha-1-96/aes-cbc");
    assert_eq!(agreement.verify_values(values(SERVER), values(CLIENT)), Ok(()));
}

#[test]
fn each_parameter_of_security_verify_that_differs_is_found() {
    for (written, changed, parameter) in [
        ("ipsec-3gpp", "ipsec-ike", "mechanism"),
        ("alg=hmac-sha-1-96", "alg=hmac-md5-96", "alg"),
        ("ealg=aes-cbc", "ealg=null", "ealg"),
        (";ealg=aes-cbc", "", "ealg"),
        ("prot=esp", "prot=ah", "prot"),
        ("mod=trans", "mod=tun", "mod"),
        ("spi-c=2222222221", "spi-c=2222222223", "spi-c"),
        (";spi-c=2222222221", "", "spi-c"),
        ("spi-s=2222222222", "spi-s=222222222", "spi-s"),
        ("port-c=6100", "port-c=6102", "port-c"),
        ("port-s=6101", "port-s=", "port-s"),
    ] {
        let changed = SERVER.replace(written, changed);
        assert_ne!(changed, SERVER);
        assert_eq!(verify(&changed, CLIENT), Err(Mismatch::Verify(parameter)));
    }
}

#[test]
fn each_parameter_of_security_client_that_differs_is_found() {
    for (written, changed, parameter) in [
        ("alg=hmac-sha-1-96;ealg=null", "alg=hmac-md5-96;ealg=null", "alg"),
        ("ealg=aes-cbc", "ealg=des-ede3-cbc", "ealg"),
        ("prot=esp", "prot=ah", "prot"),
        ("mod=trans", "mod=UDP-enc-tun", "mod"),
        ("spi-c=1111111111", "spi-c=1111111113", "spi-c"),
        ("spi-s=1111111112", "spi-s=1111111114", "spi-s"),
        ("port-c=45061", "port-c=45063", "port-c"),
        ("port-s=45062", "port-s=45064", "port-s"),
        ("mod=trans", "mod=trans;q=0.5", "q"),
    ] {
        let changed = CLIENT.replacen(written, changed, 1);
        assert_ne!(changed, CLIENT);
        assert_eq!(verify(SERVER, &changed), Err(Mismatch::Client(parameter)));
    }
}

#[test]
fn a_mechanism_more_or_less_is_found() {
    let (first, _) = CLIENT.split_once(',').unwrap();
    assert_eq!(verify(SERVER, first), Err(Mismatch::Client("mechanisms")));
    assert_eq!(
        verify(SERVER, &format!("{first},{first}")),
        Err(Mismatch::Client("ealg"))
    );
    assert_eq!(
        verify(SERVER, &format!("{CLIENT},{first}")),
        Err(Mismatch::Client("mechanisms"))
    );
    assert_eq!(
        verify(SERVER, &format!("{CLIENT},tls")),
        Err(Mismatch::Client("mechanisms"))
    );
    assert_eq!(
        verify(&format!("{SERVER},{SERVER}"), CLIENT),
        Err(Mismatch::Verify("mechanisms"))
    );
    assert_eq!(verify("", CLIENT), Err(Mismatch::Verify("mechanisms")));
}

#[test]
fn an_offer_of_more_mechanisms_than_are_looked_at_is_verified_too() {
    let mechanism = CLIENT.split_once(',').unwrap().0;
    let offered = vec![mechanism; 80].join(",");
    let agreement = agreement_on(&offered, "hmac-sha-1-96/aes-cbc");
    assert_eq!(agreement.verify_values(values(SERVER), values(&offered)), Ok(()));
}

#[test]
fn absent_headers_are_told_from_wrong_ones() {
    use ims_common::limits::SipLimits;
    let answer = |lines: &str| {
        let text = format!("REGISTER sip:h.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9\r\n{lines}\r\n");
        let message = Message::parse(text.into_bytes().into(), &SipLimits::default()).unwrap();
        agreement_on(CLIENT, "hmac-sha-1-96/aes-cbc").verify(&message)
    };
    let (verify, client) = (
        format!("Security-Verify: {SERVER}\r\n"),
        format!("Security-Client: {CLIENT}\r\n"),
    );
    assert_eq!(answer(&format!("{verify}{client}")), Ok(()));
    assert_eq!(answer(&client), Err(Mismatch::VerifyMissing));
    assert_eq!(answer(&verify), Err(Mismatch::ClientMissing));
    let wrong = answer(&format!("Security-Verify: tls\r\n{client}")).unwrap_err();
    assert_eq!(
        (wrong.header(), wrong.parameter()),
        ("Security-Verify", "mechanism")
    );
    assert!(!wrong.is_missing());
    assert!(answer("").unwrap_err().is_missing());
}
