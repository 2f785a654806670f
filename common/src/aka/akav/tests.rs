//! Engine: computed vectors of digest AKA, from Milenage test sets 1 and 2.

use super::*;
use crate::aka::hex::from_hex;

const USER: &[u8] = b"001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
const REALM: &[u8] = b"ims.mnc001.mcc001.3gppnetwork.org";
const URI: &[u8] = b"sip:ims.mnc001.mcc001.3gppnetwork.org";

fn vector(authenticate: &str, xres: &str, ck: &str, ik: &str) -> AuthVector {
    let hex = |text| from_hex(text).unwrap();
    AuthVector::from_avps(&hex(authenticate), &hex(xres), &hex(ck), &hex(ik)).unwrap()
}

fn vector_a() -> AuthVector {
    vector(
        "23553cbe9637a89d218ae64dae47bf3555f328b43577b9b94a9ffac354dfafb3",
        "a54211d5e3ba50bf",
        "b40ba9a3c58b2a05bbf0d987b21bf8cb",
        "f769bcd751044604127672711c6d3441",
    )
}

fn vector_b() -> AuthVector {
    vector(
        "c00d603103dcee52c4478119494202e8c47783995f5380002ea9ede40e99bfbf",
        "d3a628ed988620f0",
        "58c433ff7a7082acd424220f2b67c556",
        "21a8c1f929702adb3e738488b9f5c5da",
    )
}

fn input(nonce: &'static str, cnonce: &'static str, qop: Option<&'static str>) -> DigestInput<'static> {
    DigestInput {
        username: USER.into(),
        realm: REALM.into(),
        nonce: nonce.as_bytes().into(),
        uri: URI.into(),
        qop: qop.map(|q| q.as_bytes().into()),
        nc: b"00000001"[..].into(),
        cnonce: cnonce.as_bytes().into(),
        method: b"REGISTER"[..].into(),
        ..DigestInput::default()
    }
}

fn input_a(qop: Option<&'static str>) -> DigestInput<'static> {
    input(
        "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=",
        "0a4f113b5d2c7e91",
        qop,
    )
}

fn input_b(qop: Option<&'static str>) -> DigestInput<'static> {
    input(
        "wA1gMQPc7lLER4EZSUIC6MR3g5lfU4AALqnt5A6Zv78=",
        "6b8b4567327b23c6",
        qop,
    )
}

fn accepts(mut input: DigestInput<'static>, version: AkaVersion, response: &'static str, v: &AuthVector) {
    input.response = response.as_bytes().into();
    assert!(verify_aka(&input, v, version).is_ok(), "{response}");
    input.algorithm = Some(version.token().as_bytes().into());
    assert!(
        verify_aka(&input, v, version).is_ok(),
        "{response} with algorithm"
    );
}

#[test]
fn example_a_akav1() {
    let (v, version) = (vector_a(), AkaVersion::V1Md5);
    assert_eq!(v.nonce(), "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=");
    assert_eq!(v.ck_hex(), "b40ba9a3c58b2a05bbf0d987b21bf8cb");
    assert_eq!(v.ik_hex(), "f769bcd751044604127672711c6d3441");
    let ha1 = version.ha1(USER, REALM, &v.keys());
    assert_eq!(ha1.expose_hex(), "da00069eb0de6587da7e09ef503c29db");
    accepts(input_a(None), version, "1125a3c2e293453f07e08957ff235efc", &v);
    accepts(
        input_a(Some("auth")),
        version,
        "1affab8730666a619c19fbcaa1aed411",
        &v,
    );
    accepts(
        input_a(Some("auth-int")),
        version,
        "86c1fb1f228ed1d562863079b61a07ff",
        &v,
    );
    let rspauth = input_a(Some("auth")).rspauth(&ha1, b"").unwrap();
    assert_eq!(rspauth, "603d29cbe8479ab953af752bc95ab3bb");
}

#[test]
fn example_a_akav2() {
    let v = vector_a();
    assert_eq!(
        AkaVersion::V2Md5.derived_password(&v.keys()),
        "shzt3q8CWaZnCAWqs3WmEQ=="
    );
    accepts(
        input_a(Some("auth")),
        AkaVersion::V2Md5,
        "9619adff42c9a9aa0e7c64233e1570b1",
        &v,
    );
    assert_eq!(
        AkaVersion::V2Md5.ha1(USER, REALM, &v.keys()).expose_hex(),
        "5f16eac3c7cb97f22cbfb39ba2210495"
    );
    assert_eq!(
        AkaVersion::V2Sha256.derived_password(&v.keys()),
        "wpC+5dv/7kC35JEI2hluv8XcBd+vf8XcfedJBan1buk="
    );
    accepts(
        input_a(Some("auth")),
        AkaVersion::V2Sha256,
        "5ae0086d2145ac3061fa99baa09329064e74376844db468cf68678fab4f41168",
        &v,
    );
}

#[test]
fn example_b() {
    let v = vector_b();
    assert_eq!(v.nonce(), "wA1gMQPc7lLER4EZSUIC6MR3g5lfU4AALqnt5A6Zv78=");
    let ha1 = AkaVersion::V1Md5.ha1(USER, REALM, &v.keys());
    assert_eq!(ha1.expose_hex(), "47e6a2a37fd38bef939bdd3aed92e013");
    accepts(
        input_b(None),
        AkaVersion::V1Md5,
        "5bf56fe9de1e885901a7b96e8d59a423",
        &v,
    );
    accepts(
        input_b(Some("auth")),
        AkaVersion::V1Md5,
        "ecaa58447c9764223c7d2962c3c69d67",
        &v,
    );
    let rspauth = input_b(Some("auth")).rspauth(&ha1, b"").unwrap();
    assert_eq!(rspauth, "63d58332019864e4964ca79d257d48af");
    assert_eq!(
        AkaVersion::V2Md5.derived_password(&v.keys()),
        "SPm4KbygyM5ajfwCry1oYA=="
    );
    accepts(
        input_b(Some("auth")),
        AkaVersion::V2Md5,
        "c97515db12683768d4762e0d79961cdb",
        &v,
    );
}

#[test]
fn the_response_of_another_version_or_vector_is_refused() {
    let mut input = input_a(Some("auth"));
    input.response = b"1affab8730666a619c19fbcaa1aed411"[..].into();
    assert_eq!(
        verify_aka(&input, &vector_a(), AkaVersion::V2Md5).err(),
        Some(DigestReject::WrongResponse)
    );
    assert_eq!(
        verify_aka(&input, &vector_b(), AkaVersion::V1Md5).err(),
        Some(DigestReject::WrongResponse)
    );
    input.algorithm = Some(b"AKAv1-MD5"[..].into());
    assert_eq!(
        verify_aka(&input, &vector_a(), AkaVersion::V2Md5).err(),
        Some(DigestReject::AlgorithmMismatch)
    );
}

#[test]
fn res_as_hex_text_instead_of_octets_is_refused() {
    let ha1 = Ha1::new(DigestHash::Md5, USER, REALM, b"a54211d5e3ba50bf");
    let mut input = input_a(Some("auth"));
    input.response = input.expected_response(&ha1).unwrap().into_bytes().into();
    assert_eq!(
        verify_aka(&input, &vector_a(), AkaVersion::V1Md5).err(),
        Some(DigestReject::WrongResponse)
    );
}

#[test]
fn the_empty_password_of_a_resynchronisation_gives_the_computed_response() {
    let ha1 = Ha1::new(DigestHash::Md5, USER, REALM, b"");
    assert_eq!(
        input_a(Some("auth")).expected_response(&ha1).unwrap(),
        "b98d13508083096bbe6098f663acfb8c"
    );
}

#[test]
fn auts_is_base64_of_fourteen_octets() {
    let auts = Auts::from_base64(b"uoU/PBIctV7bggBAq0E=").unwrap();
    assert_eq!(super::super::hex::to_hex(&auts.0), "ba853f3c121cb55edb820040ab41");
    assert_eq!(auts.to_base64(), "uoU/PBIctV7bggBAq0E=");
    assert_eq!(Auts::from_base64(b"uoU/PBIctV7bggBAq0E"), Some(auts));
    let b = Auts::from_base64(b"MPEZcGGAjSh+/NADPIs=").unwrap();
    assert_eq!(super::super::hex::to_hex(&b.0), "30f1197061808d287efcd0033c8b");
    let rand = vector_b().rand;
    assert_eq!(
        super::super::hex::to_hex(&b.authorization(&rand)),
        "c00d603103dcee52c4478119494202e830f1197061808d287efcd0033c8b"
    );
    for bad in [
        "",
        "uoU/PBIctV7bggBAqw==",
        "uoU/PBIctV7bggBAq0FF",
        "not base64 at all!!!",
        "é",
    ] {
        assert_eq!(Auts::from_base64(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(Auts::from_base64(&[b'A'; 4096]), None);
}

#[test]
fn a_nonce_gives_back_rand_and_autn() {
    let v = vector_a();
    assert_eq!(decode_nonce(v.nonce().as_bytes()), Some((v.rand, v.autn)));
    assert_eq!(decode_nonce(b"AAAA"), None);
    assert_eq!(decode_nonce(b"\xff"), None);
}

#[test]
fn the_authorization_header_of_example_a_is_accepted_as_it_comes_from_the_wire() {
    let value = concat!(
        "Digest username=\"001010000000001@ims.mnc001.mcc001.3gppnetwork.org\",",
        "realm=\"ims.mnc001.mcc001.3gppnetwork.org\",",
        "nonce=\"I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=\",",
        "uri=\"sip:ims.mnc001.mcc001.3gppnetwork.org\",",
        "response=\"1affab8730666a619c19fbcaa1aed411\",",
        "algorithm=AKAv1-MD5,qop=auth,cnonce=\"0a4f113b5d2c7e91\",nc=00000001"
    );
    let credentials = crate::sip::Credentials::parse(value.as_bytes()).unwrap();
    let input = DigestInput::of(&credentials, b"REGISTER", b"");
    assert!(verify_aka(&input, &vector_a(), AkaVersion::V1Md5).is_ok());
    let other = DigestInput::of(&credentials, b"INVITE", b"");
    assert_eq!(
        verify_aka(&other, &vector_a(), AkaVersion::V1Md5).err(),
        Some(DigestReject::WrongResponse)
    );
}
