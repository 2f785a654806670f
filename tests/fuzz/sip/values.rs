//! Testkit: values of SIP headers by themselves: URIs, addresses, Via, digest, security agreement, identities.

use bytes::Bytes;
use ims_common::identity::{Impi, Impu, Realm};
use ims_common::limits::SipLimits;
use ims_common::sip::{
    CSeq, Challenge, Credentials, HeaderName, Message, NameAddr, Params, SecurityMechanism, Uri, UriBuf, Via,
};

use crate::dice::{Dice, change, changed};
use crate::engine::{Target, Verdict};
use crate::sip::WORDS;

static URI: Target = Target {
    name: "uri",
    check: check_uri,
    generate: value,
    iterations: 20_000,
};

static IDENTITY: Target = Target {
    name: "identity",
    check: check_identity,
    generate: value,
    iterations: 20_000,
};

static ADDRESS: Target = Target {
    name: "address",
    check: check_address,
    generate: value,
    iterations: 15_000,
};

static DIGEST: Target = Target {
    name: "digest",
    check: check_digest,
    generate: value,
    iterations: 15_000,
};

static SECURITY: Target = Target {
    name: "security",
    check: check_security,
    generate: value,
    iterations: 15_000,
};

#[test]
fn a_uri_is_the_same_as_itself_and_sameness_goes_both_ways() {
    fuzz!(URI);
}

#[test]
fn the_canonical_form_of_an_identity_is_its_own_canonical_form() {
    fuzz!(IDENTITY);
}

#[test]
fn an_address_is_read_as_a_whole_or_refused() {
    fuzz!(ADDRESS);
}

#[test]
fn no_key_stays_in_a_challenge_and_no_mark_of_a_ue_in_its_credentials() {
    fuzz!(DIGEST);
}

#[test]
fn a_security_mechanism_has_only_numbers_that_fit() {
    fuzz!(SECURITY);
}

/// Values are refused for one wrong octet, so most inputs have none or few.
fn value(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = changed(dice, seeds, &WORDS[..46]);
    if dice.one_in(3) {
        bytes = seeds[dice.below(seeds.len())].clone();
        if dice.one_in(2) {
            let at = dice.below(bytes.len() + 1);
            let letter = b"aZ09-._~;=:"[dice.below(11)];
            bytes.insert(at, letter);
        } else {
            change(dice, &mut bytes, &[b";a=b", b"a", b"0", b"-"]);
        }
    }
    bytes
}

fn check_uri(bytes: &[u8]) -> Verdict {
    // Two of them, one per line: are they the same?
    let mut lines = bytes.splitn(2, |b| *b == b'\n');
    let (one, two) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let (Ok(one), two) = (Uri::parse(one), Uri::parse(two)) else {
        return Verdict::Refused;
    };
    uri(&one);
    if let Ok(two) = two {
        uri(&two);
        let same = one.equivalent(&two);
        assert_eq!(same, two.equivalent(&one), "{one} and {two}");
        if let (true, Ok(a), Ok(b)) = (same, Impu::from_uri(&one), Impu::from_uri(&two)) {
            assert_eq!(a, b, "{one} and {two} are the same URI and not the same identity");
        }
    }
    Verdict::Accepted
}

fn repeats_a_name(params: Params<'_>) -> bool {
    let names: Vec<_> = params.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    (1..names.len()).any(|at| names[..at].contains(&names[at]))
}

/// What holds for every URI.
fn uri(uri: &Uri<'_>) {
    // A name that stands twice is an error (RFC 3261 19.1.1) that we let pass; such a URI is like no other.
    assert!(
        uri.equivalent(uri) || repeats_a_name(uri.params()),
        "{uri} is not the same as itself"
    );
    let kept = UriBuf::from(*uri);
    assert_eq!(kept.as_str().as_bytes(), uri.as_bytes(), "a URI is ASCII");
    assert_eq!(kept.as_uri().port(), uri.port());
    assert_eq!(UriBuf::parse(uri.as_bytes()).as_ref(), Ok(&kept));
    if uri.is_sip() {
        assert!(!uri.host().to_string().is_empty());
        assert!(uri.user() != Some(b""));
        assert_ne!(uri.port(), Some(0));
        // Host and port are read as they are printed.
        let again = format!("sip:{}", uri.host());
        let again = Uri::parse(again.as_bytes()).unwrap_or_else(|e| panic!("{again}: {e}"));
        assert_eq!(again.host(), uri.host());
    }
    let _ = (
        uri.tel_number(),
        uri.user_unescaped(),
        uri.password(),
        uri.headers().count(),
    );
    params(uri.params());
    let _ = Impu::from_uri(uri).map(|impu| identity(&impu));
}

/// What holds for all parameters.
fn params(params: Params<'_>) {
    for (name, value) in params.iter() {
        assert!(!name.is_empty() || value.is_none());
        let name = String::from_utf8_lossy(name);
        assert!(params.has(&name));
        let _ = params.unquoted(&name);
    }
    assert_eq!(params.is_empty(), params.iter().next().is_none());
}

fn check_identity(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(Impu::from_bytes(bytes).is_err());
        return Verdict::Refused;
    };
    if let Ok(realm) = Realm::parse(text) {
        assert_eq!(Realm::parse(realm.as_str()).as_ref(), Ok(&realm));
    }
    if let Ok(impi) = Impi::parse(text) {
        assert_eq!(Impi::parse(impi.as_str()).as_ref(), Ok(&impi));
        let _ = (impi.user(), impi.realm());
        redacts(&impi.to_string(), impi.user());
    }
    let Ok(impu) = Impu::parse(text) else {
        return Verdict::Refused;
    };
    identity(&impu);
    Verdict::Accepted
}

fn identity(impu: &Impu) {
    let text = impu.as_str();
    assert_eq!(Impu::parse(text).as_ref(), Ok(impu), "{text} is not canonical");
    assert!(!text.chars().any(|c| c.is_whitespace() || c.is_control()));
    assert_eq!(impu.is_tel(), impu.host().is_none());
    let impi = impu.to_impi();
    assert!(!impi.as_str().is_empty());
    assert_eq!(Impi::parse(impi.as_str()).as_ref(), Ok(&impi), "of {text}");
    redacts(&impu.to_string(), impu.user().unwrap_or_default());
    redacts(&format!("{impu:?}"), impu.user().unwrap_or_default());
}

/// A long user part never stands in what is logged. (Of the host the first label does.)
fn redacts(shown: &str, user: &str) {
    let shown = shown.rsplit_once('@').map_or(shown, |(shown, _)| shown);
    assert!(
        user.chars().count() < 6 || !shown.contains(user),
        "{user} is shown"
    );
}

fn check_address(bytes: &[u8]) -> Verdict {
    let mut accepted = false;
    if let Ok(read) = NameAddr::parse(bytes) {
        address(&read);
        accepted = true;
    }
    if let Ok(read) = Via::parse(bytes) {
        via(&read);
        accepted = true;
    }
    if let Ok(read) = CSeq::parse(bytes) {
        let printed = read.to_string();
        assert_eq!(CSeq::parse(printed.as_bytes()).as_ref(), Ok(&read));
        accepted = true;
    }
    if bytes.len() < 4_000 && !bytes.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        as_list(bytes);
    }
    Verdict::of(accepted)
}

/// The same value as a list in one line and in two.
fn as_list(bytes: &[u8]) {
    let message = |lines: &[&[u8]]| {
        let mut text = b"OPTIONS sip:h SIP/2.0\r\n".to_vec();
        for line in lines {
            text.extend_from_slice(b"Route: ");
            text.extend_from_slice(line);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        Message::parse(Bytes::from(text), &SipLimits::default()).ok()
    };
    let joined = [b"<sip:first.example>,", bytes].concat();
    let (one, two) = (message(&[&joined]), message(&[b"<sip:first.example>", bytes]));
    assert_eq!(one.is_some(), two.is_some());
    if let (Some(one), Some(two)) = (one, two) {
        let values = |m: &Message| {
            m.values(HeaderName::Route)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        };
        assert_eq!(values(&one), values(&two));
    }
}

/// What holds for every address.
pub(crate) fn address(address: &NameAddr<'_>) {
    uri(&address.uri);
    params(address.params);
    let (raw, whole) = (address.raw(), |part: &[u8]| raw_contains(address.raw(), part));
    assert!(whole(address.uri.as_bytes()) && whole(address.display));
    assert_eq!(
        NameAddr::parse(raw).expect("what was read").uri.as_bytes(),
        address.uri.as_bytes()
    );
    assert!(address.q().is_none_or(|q| q <= 1_000));
    let _ = (address.tag(), address.expires(), address.display_unquoted());
    if !address.has_brackets() {
        assert!(address.uri.params().is_empty() && !address.uri.has_headers());
    }
}

fn raw_contains(raw: &[u8], part: &[u8]) -> bool {
    part.is_empty() || raw.windows(part.len()).any(|window| window == part)
}

fn via(via: &Via<'_>) {
    params(via.params());
    assert_ne!(via.port(), Some(0));
    let again = Via::parse(via.raw()).expect("what was read");
    assert_eq!(
        (again.host(), again.port(), again.branch()),
        (via.host(), via.port(), via.branch())
    );
    let _ = (
        via.received(),
        via.rport(),
        via.maddr(),
        via.is_udp(),
        via.is_tcp(),
    );
    assert!(!via.transport().is_empty() && !via.sent_by().is_empty());
}

fn check_digest(bytes: &[u8]) -> Verdict {
    let (read, offered) = (Credentials::parse(bytes), Challenge::parse(bytes));
    assert_eq!(read.is_ok(), offered.is_ok(), "one grammar serves both");
    if let Ok(read) = &read {
        credentials(read);
    }
    if let Ok(offered) = &offered {
        challenge(offered);
    }
    Verdict::of(read.is_ok())
}

/// Name and value of each parameter, as a reader would find them that knows of quotes and commas and nothing else.
fn plain_params(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let start = value
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(value.len());
    let (mut pieces, mut piece, mut quoted, mut escaped) = (vec![], vec![], false, false);
    for byte in &value[start..] {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                pieces.push(std::mem::take(&mut piece));
                continue;
            }
            _ => {}
        }
        piece.push(*byte);
    }
    pieces.push(piece);
    let named = |piece: &Vec<u8>| {
        let at = piece.iter().position(|b| *b == b'=')?;
        let name = String::from_utf8_lossy(&piece[..at]).trim().to_ascii_lowercase();
        Some((name, piece[at + 1..].trim_ascii().to_vec()))
    };
    pieces.iter().filter_map(named).collect()
}

fn but(params: Vec<(String, Vec<u8>)>, names: &[&str]) -> Vec<(String, Vec<u8>)> {
    params
        .into_iter()
        .filter(|(name, _)| !names.contains(&name.as_str()))
        .collect()
}

/// What holds for all credentials.
pub(crate) fn credentials(read: &Credentials<'_>) {
    let _ = (
        read.username(),
        read.nonce(),
        read.response(),
        read.nc(),
        read.auts(),
        read.uri(),
    );
    let marked = read.with_integrity_protected("ip-assoc-yes");
    let again = Credentials::parse(marked.as_bytes()).unwrap_or_else(|e| panic!("{marked}: {e}"));
    let marks: Vec<_> = plain_params(marked.as_bytes())
        .into_iter()
        .filter(|(name, _)| name == "integrity-protected")
        .collect();
    assert_eq!(
        marks,
        [("integrity-protected".to_owned(), b"\"ip-assoc-yes\"".to_vec())],
        "{marked}"
    );
    assert_eq!(again.integrity_protected().as_deref(), Some(&b"ip-assoc-yes"[..]));
    let mark = &["integrity-protected"];
    assert_eq!(
        but(plain_params(marked.as_bytes()), mark),
        but(plain_params(read.raw()), mark)
    );
    assert!(!format!("{read:?}").contains("username"));
}

/// What holds for every challenge.
pub(crate) fn challenge(read: &Challenge<'_>) {
    let _ = (
        read.realm(),
        read.nonce(),
        read.qop(),
        read.stale(),
        read.domain(),
        read.opaque(),
    );
    let bare = read.without_keys();
    let left = plain_params(bare.as_bytes());
    assert!(
        !left.iter().any(|(name, _)| name == "ck" || name == "ik"),
        "{bare}"
    );
    assert_eq!(left, but(plain_params(read.raw()), &["ck", "ik"]));
    if let Ok(again) = Challenge::parse(bare.as_bytes()) {
        assert_eq!((again.ck(), again.ik()), (None, None));
        assert_eq!(
            (again.nonce(), again.algorithm()),
            (read.nonce(), read.algorithm())
        );
    }
    let shown = format!("{read:?}");
    assert!(
        read.ck()
            .is_none_or(|ck| ck.len() < 8 || !raw_contains(shown.as_bytes(), &ck))
    );
}

fn check_security(bytes: &[u8]) -> Verdict {
    let Some(read) = SecurityMechanism::parse(bytes) else {
        return Verdict::Refused;
    };
    mechanism(&read);
    Verdict::Accepted
}

/// What holds for every security mechanism.
pub(crate) fn mechanism(read: &SecurityMechanism<'_>) {
    assert!(!read.name().is_empty());
    assert!(read.q().is_none_or(|q| q <= 1_000));
    assert!(read.port_c() != Some(0) && read.port_s() != Some(0));
    let _ = (
        read.spi_c(),
        read.spi_s(),
        read.alg(),
        read.ealg(),
        read.prot(),
        read.mode(),
    );
    let again = SecurityMechanism::parse(read.raw()).expect("what was read");
    assert_eq!((again.spi_c(), again.port_s()), (read.spi_c(), read.port_s()));
    assert!(!(read.is_ipsec_3gpp() && read.is_mediasec()));
    for (name, _) in read.params().iter() {
        let _ = read.param(&String::from_utf8_lossy(name));
    }
}
