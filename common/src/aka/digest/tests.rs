//! Engine: published vectors of plain digest.

use super::*;

struct Case {
    user: &'static str,
    realm: &'static str,
    password: &'static str,
    method: &'static str,
    uri: &'static str,
    nonce: &'static str,
    cnonce: &'static str,
}

const RFC2617: Case = Case {
    user: "Mufasa",
    realm: "testrealm@host.com",
    password: "Circle Of Life",
    method: "GET",
    uri: "/dir/index.html",
    nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    cnonce: "0a4f113b",
};

const RFC7616: Case = Case {
    user: "Mufasa",
    realm: "http-auth@example.org",
    password: "Circle of Life",
    method: "GET",
    uri: "/dir/index.html",
    nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
};

const SIP_INVITE: Case = Case {
    user: "bob",
    realm: "biloxi.com",
    password: "zanzibar",
    method: "INVITE",
    uri: "sip:bob@biloxi.com",
    nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    cnonce: "0a4f113b",
};

impl Case {
    fn ha1(&self, hash: DigestHash) -> Ha1 {
        Ha1::new(
            hash,
            self.user.as_bytes(),
            self.realm.as_bytes(),
            self.password.as_bytes(),
        )
    }

    fn input(&self, qop: Option<&'static str>) -> DigestInput<'static> {
        DigestInput {
            username: self.user.as_bytes().into(),
            realm: self.realm.as_bytes().into(),
            nonce: self.nonce.as_bytes().into(),
            uri: self.uri.as_bytes().into(),
            qop: qop.map(|q| q.as_bytes().into()),
            nc: b"00000001"[..].into(),
            cnonce: self.cnonce.as_bytes().into(),
            method: self.method.as_bytes().into(),
            ..DigestInput::default()
        }
    }

    fn response(&self, hash: DigestHash, qop: Option<&'static str>) -> String {
        self.input(qop).expected_response(&self.ha1(hash)).unwrap()
    }
}

#[test]
fn rfc2617_3_5_example() {
    assert_eq!(
        RFC2617.ha1(DigestHash::Md5).expose_hex(),
        "939e7578ed9e3c518a452acee763bce9"
    );
    assert_eq!(
        DigestHash::Md5.of(&[b"GET", b"/dir/index.html"]),
        "39aff3a2bab6126f332b942af96d3366"
    );
    assert_eq!(
        RFC2617.response(DigestHash::Md5, Some("auth")),
        "6629fae49393a05397450978507c4ef1"
    );
    assert_eq!(
        RFC2617.response(DigestHash::Md5, None),
        "670fd8c2df070c60b045671b8b24ff02"
    );
}

#[test]
fn rfc7616_3_9_1_examples() {
    assert_eq!(
        RFC7616.response(DigestHash::Md5, Some("auth")),
        "8ca523f5e9506fed4657c9700eebdbec"
    );
    assert_eq!(
        RFC7616.response(DigestHash::Sha256, Some("auth")),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    );
}

#[test]
fn sip_invite_example() {
    assert_eq!(
        SIP_INVITE.ha1(DigestHash::Md5).expose_hex(),
        "12af60467a33e8518da5c68bbff12b11"
    );
    assert_eq!(
        SIP_INVITE.response(DigestHash::Md5, Some("auth")),
        "89eb0059246c02b2f6ee02c7961d5ea3"
    );
    assert_eq!(
        SIP_INVITE.response(DigestHash::Md5, None),
        "bf57e4e0d0bffc0fbaedce64d59add5e"
    );
}

#[test]
fn a_right_response_is_accepted_and_any_changed_digit_is_not() {
    let ha1 = SIP_INVITE.ha1(DigestHash::Md5);
    let mut input = SIP_INVITE.input(Some("auth"));
    let right = b"89eb0059246c02b2f6ee02c7961d5ea3";
    input.response = right[..].into();
    assert_eq!(verify_digest(&input, &ha1), Ok(()));
    for position in 0..right.len() {
        let mut wrong = right.to_vec();
        wrong[position] = if wrong[position] == b'0' { b'1' } else { b'0' };
        input.response = wrong.into();
        assert_eq!(verify_digest(&input, &ha1), Err(DigestReject::WrongResponse));
    }
    input.response = right[..31].into();
    assert_eq!(verify_digest(&input, &ha1), Err(DigestReject::WrongResponse));
    input.response = b"89EB0059246C02B2F6EE02C7961D5EA3"[..].into();
    assert_eq!(verify_digest(&input, &ha1), Ok(()));
}

#[test]
fn each_part_of_the_request_is_protected() {
    let ha1 = SIP_INVITE.ha1(DigestHash::Md5);
    let mut good = SIP_INVITE.input(Some("auth"));
    good.response = b"89eb0059246c02b2f6ee02c7961d5ea3"[..].into();
    let changes: [fn(&mut DigestInput<'_>); 5] = [
        |i| i.nonce = b"x"[..].into(),
        |i| i.uri = b"sip:eve@biloxi.com"[..].into(),
        |i| i.nc = b"00000002"[..].into(),
        |i| i.cnonce = b"x"[..].into(),
        |i| i.method = b"BYE"[..].into(),
    ];
    for change in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(verify_digest(&changed, &ha1), Err(DigestReject::WrongResponse));
    }
}

#[test]
fn incomplete_credentials_are_told_apart() {
    let ha1 = SIP_INVITE.ha1(DigestHash::Md5);
    let verdict = |change: fn(&mut DigestInput<'_>)| {
        let mut input = SIP_INVITE.input(Some("auth"));
        input.response = b"89eb0059246c02b2f6ee02c7961d5ea3"[..].into();
        change(&mut input);
        verify_digest(&input, &ha1)
    };
    assert_eq!(
        verdict(|i| i.response = b""[..].into()),
        Err(DigestReject::NoResponse)
    );
    assert_eq!(
        verdict(|i| i.qop = Some(b"token"[..].into())),
        Err(DigestReject::UnknownQop)
    );
    assert_eq!(
        verdict(|i| i.nc = b""[..].into()),
        Err(DigestReject::MissingCnonce)
    );
    assert_eq!(
        verdict(|i| i.cnonce = b""[..].into()),
        Err(DigestReject::MissingCnonce)
    );
    assert_eq!(
        verdict(|i| i.algorithm = Some(b"SHA-256"[..].into())),
        Err(DigestReject::AlgorithmMismatch)
    );
    assert_eq!(verdict(|i| i.algorithm = Some(b"md5"[..].into())), Ok(()));
}

#[test]
fn authentication_info_proves_the_server() {
    let ha1 = SIP_INVITE.ha1(DigestHash::Md5);
    let input = SIP_INVITE.input(Some("auth"));
    let rspauth = input.rspauth(&ha1, b"").unwrap();
    assert_ne!(rspauth, input.expected_response(&ha1).unwrap());
    assert_eq!(
        input.authentication_info(&ha1).unwrap().unwrap(),
        format!("qop=auth,rspauth=\"{rspauth}\",cnonce=\"0a4f113b\",nc=00000001")
    );
    assert_eq!(SIP_INVITE.input(None).authentication_info(&ha1), Ok(None));
}

#[test]
fn ha1_of_the_hss_is_hex_of_the_right_length() {
    let hex = b"12AF60467A33E8518DA5C68BBFF12B11";
    assert_eq!(
        Ha1::from_hex(DigestHash::Md5, hex),
        Some(SIP_INVITE.ha1(DigestHash::Md5))
    );
    assert_eq!(Ha1::from_hex(DigestHash::Sha256, hex), None);
    assert_eq!(Ha1::from_hex(DigestHash::Md5, &[b'g'; 32]), None);
    assert_eq!(
        format!("{:?}", SIP_INVITE.ha1(DigestHash::Md5)),
        "Ha1 { hash: Md5, hex: <redacted> }"
    );
}

#[test]
fn nonce_count_is_eight_hex_digits() {
    let count = |nc: &'static [u8]| {
        DigestInput {
            nc: nc.into(),
            ..DigestInput::default()
        }
        .nonce_count()
    };
    assert_eq!(count(b"0000001f"), Some(31));
    assert_eq!(count(b"1f"), None);
    assert_eq!(count(b"+000001f"), None);
    assert_eq!(count(b"\xff0000000"), None);
}
