//! Testkit: registrations that fail, and the sentence that says why.

use std::time::Duration;

use hss_client::cx::CxResult;
use ims_common::ipsec::{Encryption, Integrity, Suite};
use ims_tests::hss::{Fault, Faulty, Subscriber};
use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::site::{HOME, Site};
use ims_tests::ue::identity::Secret;
use ims_tests::ue::security::{Dialect, suite};
use ims_tests::ue::shape::{PLAIN, Shape};
use ims_tests::ue::{Behaviour, UeCommand, UeConfig};
use ims_tests::world::links::Link;

use super::{found_by, site};

/// Phone `UE` of this subscriber, changed so, that was told to register.
fn tried(seed: u64, site: Site, subscriber: Subscriber, change: impl FnOnce(UeConfig) -> UeConfig) -> Scene {
    let mut scene = Scene::with(seed, site, vec![subscriber]);
    scene.world.record_why();
    scene.phone_with("UE", 1, change);
    scene.tell("UE", UeCommand::Register);
    scene
}

#[test]
fn a_phone_that_does_not_answer_the_challenge_could_not_verify_the_network() {
    let mut scene = tried(6_200, site().with_ipsec(), subscriber(1), |config| {
        config.behaviour(Behaviour::IgnoreChallenge)
    });
    assert_eq!(scene.world.findings(&imsi(1)), [], "it has time");
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["challenge-unanswered"]);
    scene.world.assert_explained(&imsi(1), "challenge-unanswered");
}

#[test]
fn a_phone_that_says_so_is_believed() {
    let mut scene = tried(6_201, site(), subscriber(1), |config| {
        config.behaviour(Behaviour::MacFailure)
    });
    assert_eq!(
        scene.world.why(&imsi(1)),
        "The handset of IMSI 001010000000001 says that it could not verify the network: it gave 2 answers without a response to \
         the challenge (AKAv1-MD5); check Ki, OP against OPc, and AMF of this SIM in the HSS."
    );
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["challenge-unanswered"]);
}

#[test]
fn an_hss_that_does_not_follow_the_sim_is_told() {
    let mut scene = tried(6_202, site(), subscriber(1), |config| {
        config.behaviour(Behaviour::AlwaysResync)
    });
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["resynchronisation"]);
    scene.world.assert_explained(&imsi(1), "resynchronisation");
}

#[test]
fn a_wrong_answer_to_the_challenge_is_told_from_none() {
    let mut scene = tried(6_203, site(), subscriber(1), |config| {
        config.behaviour(Behaviour::WrongResponse)
    });
    scene.world.assert_explained(&imsi(1), "wrong-response");
    assert_eq!(found_by(&mut scene, "S-CSCF"), ["wrong-response"]);
}

#[test]
fn a_wrong_password_is_told_as_such() {
    let with_password = subscriber(1).digest_password("correct");
    let mut scene = tried(6_204, site(), with_password, |mut config| {
        config.secret = Secret::Digest("wrong".to_owned());
        config
    });
    scene.world.advance(Duration::from_secs(13));
    assert_eq!(
        scene.world.why(&imsi(1)),
        "The handset of IMSI 001010000000001 answered the challenge, and the answer is wrong (it says MD5, the challenge was \
         MD5): it has another password than the HSS; check the password, and that user name and realm of the client are those of \
         the HSS."
    );
}

#[test]
fn a_phone_without_ipsec_is_told_what_to_switch_on() {
    let mut scene = tried(6_205, site().with_ipsec(), subscriber(1), |mut config| {
        config.security = None;
        config
    });
    scene.world.assert_explained(&imsi(1), "no-security-client");
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["no-security-client"]);
}

#[test]
fn two_lists_of_algorithms_without_a_common_one_are_shown() {
    const WEAK: [Suite; 1] = [suite(Integrity::HmacMd5_96, Encryption::Null)];
    let shape = Shape {
        dialect: Dialect {
            suites: &WEAK,
            ..PLAIN.dialect
        },
        ..PLAIN
    };
    let mut site = site().with_ipsec();
    site.pcscf_more = "  ipsec: {algorithms: [hmac-sha-1-96/aes-cbc]}\n".to_owned();
    let mut scene = tried(6_206, site, subscriber(1), |config| config.shape(shape));
    scene.world.assert_explained(&imsi(1), "no-common-algorithm");
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["no-common-algorithm"]);
}

#[test]
fn a_subscriber_that_the_hss_does_not_know_is_named() {
    let mut scene = Scene::with(6_207, site(), vec![subscriber(1)]);
    scene.world.record_why();
    scene.phone("UE", 99);
    scene.tell("UE", UeCommand::Register);
    scene.world.assert_explained(&imsi(99), "hss-refuses");
    assert_eq!(found_by(&mut scene, "I-CSCF"), ["hss-refuses"]);
}

#[test]
fn what_the_hss_answers_is_told_in_words() {
    use Faulty::{Mar, Sar, Uar};
    for (seed, (which, result, words)) in (6_210..).zip([
        (
            Uar,
            CxResult::IDENTITIES_DONT_MATCH,
            "is not one of the identities of IMPI 001010000000001@",
        ),
        (
            Uar,
            CxResult::ROAMING_NOT_ALLOWED,
            &*format!("roam in {HOME} (5004 to the UAR of the I-CSCF)"),
        ),
        (
            Uar,
            CxResult::AUTHORIZATION_REJECTED,
            "it is barred, or has no IMS subscription (5003 to the UAR",
        ),
        (Uar, CxResult::UNABLE_TO_DELIVER, "cannot reach an HSS for realm "),
        (
            Uar,
            CxResult::TOO_BUSY,
            "The HSS is too busy (3004 to the UAR of the I-CSCF)",
        ),
        (
            Mar,
            CxResult::UNABLE_TO_COMPLY,
            "unable to comply (5012 to the MAR of the S-CSCF)",
        ),
        (Mar, CxResult::USER_UNKNOWN, "does not know IMPI 001010000000001@"),
        (
            Sar,
            CxResult::IDENTITY_ALREADY_REGISTERED,
            "or at another S-CSCF (5005 to the SAR of the S-CSCF)",
        ),
        (Sar, CxResult::TOO_MUCH_DATA, "fewer initial filter criteria"),
    ]) {
        let mut scene = Scene::with(seed, site(), vec![subscriber(1)]);
        scene.world.record_why();
        scene.phone("UE", 1);
        scene.hss(|_, hss| hss.set_fault(which, Fault::Answer(result)));
        scene.tell("UE", UeCommand::Register);
        let findings = scene.world.findings(&imsi(1));
        let told = findings.iter().find(|it| it.detector == "hss-refuses");
        let told = told.map(|it| it.sentence()).unwrap_or_default();
        assert!(
            told.contains(words),
            "{which:?} {result:?}: {told:?}\n{}",
            scene.ladder()
        );
        // One that is busy or out of reach is spared for a while.
        if [CxResult::UNABLE_TO_DELIVER, CxResult::TOO_BUSY].contains(&result) {
            continue;
        }
        scene.hss(|_, hss| hss.clear_faults());
        scene.register("UE");
        assert_eq!(scene.world.findings(&imsi(1)), [], "it is over: {result:?}");
    }
}

#[test]
fn a_subscriber_with_a_password_and_a_phone_with_a_sim_do_not_meet() {
    let with_password = subscriber(1).digest_password("correct");
    let mut scene = tried(6_230, site(), with_password, |config| config);
    scene.world.assert_explained(&imsi(1), "wrong-scheme");
    assert_eq!(found_by(&mut scene, "S-CSCF"), ["wrong-scheme"]);
}

#[test]
fn a_client_with_a_password_and_a_subscriber_with_a_sim_do_not_meet() {
    let mut scene = tried(6_231, site(), subscriber(1), |mut config| {
        config.secret = Secret::Digest("correct".to_owned());
        config
    });
    scene.world.advance(Duration::from_secs(13));
    let told = scene.world.why(&imsi(1));
    assert!(
        told.starts_with(
            "The HSS returned Digest-AKAv1-MD5 for IMSI 001010000000001, whose handset speaks SIP Digest (MD5)"
        ),
        "{told}"
    );
}

#[test]
fn a_200_that_the_phone_does_not_get_is_told() {
    let mut scene = Scene::with(6_240, site().with_ipsec(), vec![subscriber(1)]);
    scene.world.record_why();
    scene.phone("UE", 1);
    scene.ue("UE", |now, ue| ue.command(now, UeCommand::Register));
    let answers = |world: &mut ims_tests::world::World| world.record().sip("UE", "P-CSCF").len() == 2;
    assert!(scene.world.run_until(Duration::from_secs(5), answers));
    let cut = Link {
        cut: true,
        ..Link::default()
    };
    scene.world.links.set_from("P-CSCF", "UE", cut);
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["grant-not-received"]);
    scene.world.advance(Duration::from_secs(5));
    scene.world.assert_explained(&imsi(1), "grant-not-received");
}

#[test]
fn a_phone_that_registers_and_says_nothing_more_is_told() {
    let without_number = Subscriber::new(&imsi(1));
    let mut scene = tried(6_241, site(), without_number, |config| config);
    assert_eq!(scene.world.findings(&imsi(1)), [], "it has time");
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["no-reg-subscription"]);
    scene.world.assert_explained(&imsi(1), "no-reg-subscription");
}

#[test]
fn a_phone_that_registers_again_and_again_is_told() {
    let mut scene = Scene::with(6_242, site(), vec![subscriber(1)]);
    scene.world.record_why();
    scene.phone("UE", 1);
    for time in 0..4 {
        scene.register("UE");
        scene.tell("UE", UeCommand::Subscribe(600_000));
        if time < 3 {
            scene.world.advance(Duration::from_secs(25));
        }
    }
    assert_eq!(found_by(&mut scene, "P-CSCF"), ["registration-loop"]);
    scene.world.assert_explained(&imsi(1), "registration-loop");
}
