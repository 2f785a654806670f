//! Testkit: SIP Digest (AU-16).

use super::*;
use hss_client::cx::{AuthScheme, DigestHa1, Ppr};
use ims_common::aka::{DigestHash, Secret};
use ims_common::identity::Impi;

fn ha1(hash: DigestHash) -> Ha1 {
    Ha1::new(hash, IMPI.as_bytes(), HOME.as_bytes(), b"secret")
}

fn rig(sha256: bool) -> Rig {
    let mut rig = Rig::new();
    let alternate = Secret::new(ha1(DigestHash::Sha256).expose_hex().to_owned());
    rig.hss.items = Some(vec![AuthItem::Digest(DigestHa1 {
        realm: HOME.to_owned(),
        qop: "auth".to_owned(),
        algorithm: None,
        ha1: Secret::new(ha1(DigestHash::Md5).expose_hex().to_owned()),
        ha1_sha256: sha256.then_some(alternate),
    })]);
    rig
}

fn initial(cseq: u32) -> Reg {
    Reg {
        authorization: Some(authorization(IMPI, "", "", "ip-assoc-pending")),
        ..Reg::new(cseq)
    }
}

fn answer(cseq: u32, nonce: &str, nc: Option<u32>, hash: DigestHash) -> Reg {
    let value = digest_authorization(IMPI, nonce, &ha1(hash), nc, hash.token(), "ip-assoc-yes");
    Reg {
        authorization: Some(value),
        ..Reg::new(cseq)
    }
}

#[test]
fn hss_that_answers_sip_digest_makes_a_digest_challenge_without_keys() {
    let mut rig = rig(false);
    let response = rig.register(&initial(1));
    assert_eq!(rig.mars()[0].scheme, AuthScheme::Unknown);
    let challenge = header(&response, HeaderName::WwwAuthenticate);
    assert!(challenge.ends_with("algorithm=MD5,qop=\"auth\""), "{challenge}");
}

/// baresip's first REGISTER: it was asked for as AKA, which the HSS refused, and the client with 403.
#[test]
fn hss_decides_how_a_client_without_authorization_is_challenged() {
    let mut rig = rig(false);
    let response = rig.register(&Reg {
        authorization: None,
        ..Reg::new(1)
    });
    assert_eq!(rig.mars()[0].scheme, AuthScheme::Unknown);
    assert_eq!(status(&response), 401);
}

#[test]
fn right_digest_registers_and_the_200_proves_the_server_too() {
    let mut rig = rig(false);
    let nonce = nonce_of(&rig.register(&initial(1)));
    let response = rig.register(&answer(2, &nonce, Some(1), DigestHash::Md5));
    assert_eq!(status(&response), 200);
    let info = header(&response, HeaderName::AuthenticationInfo);
    assert!(info.starts_with("qop=auth,rspauth=\""), "{info}");
    assert!(info.ends_with("cnonce=\"0a4f113b\",nc=00000001"), "{info}");
}

#[test]
fn sha_256_is_offered_before_md5_and_either_is_accepted() {
    for hash in [DigestHash::Sha256, DigestHash::Md5] {
        let mut rig = rig(true);
        let response = rig.register(&initial(1));
        let challenges = lines(&response, HeaderName::WwwAuthenticate);
        assert!(challenges[0].contains("algorithm=SHA-256"), "{challenges:?}");
        assert!(challenges[1].contains("algorithm=MD5"), "{challenges:?}");
        let answer = answer(2, &nonce_of(&response), Some(1), hash);
        assert_eq!(status(&rig.register(&answer)), 200);
    }
}

#[test]
fn repeated_nonce_count_is_stale_and_a_higher_one_is_not() {
    let mut rig = rig(false);
    let nonce = nonce_of(&rig.register(&initial(1)));
    assert_eq!(
        status(&rig.register(&answer(2, &nonce, Some(1), DigestHash::Md5))),
        200
    );
    assert_eq!(
        status(&rig.register(&answer(3, &nonce, Some(2), DigestHash::Md5))),
        200
    );
    let response = rig.register(&answer(4, &nonce, Some(2), DigestHash::Md5));
    assert_ne!(nonce_of(&response), nonce);
    let challenge = header(&response, HeaderName::WwwAuthenticate);
    assert!(challenge.ends_with("stale=TRUE"), "{challenge}");
}

#[test]
fn old_nonce_with_the_right_digest_is_stale() {
    let mut rig = rig(false);
    let nonce = nonce_of(&rig.register(&initial(1)));
    rig.register(&answer(2, &nonce, Some(1), DigestHash::Md5));
    rig.advance(secs(3_600));
    let response = rig.register(&answer(3, &nonce, Some(2), DigestHash::Md5));
    assert!(header(&response, HeaderName::WwwAuthenticate).ends_with("stale=TRUE"));
}

#[test]
fn nonce_answered_without_qop_serves_once() {
    let mut rig = rig(false);
    let nonce = nonce_of(&rig.register(&initial(1)));
    assert_eq!(
        status(&rig.register(&answer(2, &nonce, None, DigestHash::Md5))),
        200
    );
    assert_eq!(
        status(&rig.register(&answer(3, &nonce, None, DigestHash::Md5))),
        401
    );
}

#[test]
fn wrong_digest_gets_403_and_stays_unregistered() {
    let mut rig = rig(false);
    let nonce = nonce_of(&rig.register(&initial(1)));
    let wrong = Ha1::new(DigestHash::Md5, IMPI.as_bytes(), HOME.as_bytes(), b"guess");
    let wrong = Reg {
        authorization: Some(digest_authorization(
            IMPI,
            &nonce,
            &wrong,
            Some(1),
            "MD5",
            "ip-assoc-pending",
        )),
        ..Reg::new(2)
    };
    assert_eq!(status(&rig.register(&wrong)), 403);
    assert_eq!(rig.gauge("ims_scscf_bindings"), 0);
}

#[test]
fn register_without_authorization_derives_the_private_identity() {
    let mut rig = rig(false);
    let mut bare = Reg::new(1);
    bare.authorization = None;
    assert_eq!(status(&rig.register(&bare)), 401);
    assert_eq!(rig.mars()[0].user_name.as_str(), IMPI);
}

#[test]
fn pushed_hash_makes_the_nonces_of_the_old_one_void() {
    let mut rig = rig(false);
    let nonce = nonce_of(&rig.register(&initial(1)));
    rig.register(&answer(2, &nonce, Some(1), DigestHash::Md5));
    let Some([AuthItem::Digest(digest)]) = rig.hss.items.as_deref() else {
        panic!("the HSS gives SIP Digest");
    };
    let push = CxPush::Ppr(Ppr {
        user_name: Impi::parse(IMPI).unwrap(),
        user_data: None,
        charging: None,
        digest: Some(digest.clone()),
    });
    let CxPushAnswer::Ppa(ppa) = rig.push(push) else {
        panic!("a PPR is answered with a PPA");
    };
    assert_eq!(ppa.result, CxResult::SUCCESS);
    let response = rig.register(&answer(3, &nonce, Some(2), DigestHash::Md5));
    assert_ne!(nonce_of(&response), nonce);
}
