//! Testkit: phones whose card answers the challenge: a virtual one here, asked by the very commands of a real one
//! (TS 33.203 6.1, TS 24.229 5.1.1.5, TS 31.103 7.1).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ims_common::net::Transport;
use ims_tests::card::apdu::instruction;
use ims_tests::card::channel::{CardError, ReaderError, Transmit};
use ims_tests::card::identity::Origin;
use ims_tests::card::session::Card;
use ims_tests::card::virtual_card::{CardProfile, Fault, VirtualCard};
use ims_tests::hss::{TEST_K, TEST_OPC};
use ims_tests::milenage::{Milenage, Sqn};
use ims_tests::scene::{Scene, imsi, subscriber};
use ims_tests::site::Site;
use ims_tests::text::param_of;
use ims_tests::ue::esp_keys::esp_keys;
use ims_tests::ue::identity::{Secret, SharedCard};
use ims_tests::ue::verdict::{self, About, Prover, Sort, Verdict};
use ims_tests::ue::{UeCommand, UeEvent};

use super::protected::{header, in_clear, is_registered, sent, sets};

/// A card that a test holds too, while it is in a phone.
#[derive(Clone)]
struct Held(Arc<Mutex<VirtualCard>>);

impl Held {
    fn card(&self) -> MutexGuard<'_, VirtualCard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The times that it was challenged.
    fn challenged(&self) -> u32 {
        self.card().counted(instruction::AUTHENTICATE)
    }
}

impl Transmit for Held {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ReaderError> {
        self.card().transmit(command)
    }

    fn atr(&self) -> &[u8] {
        &[]
    }

    fn is_t0(&self) -> bool {
        self.card().is_t0()
    }
}

/// A protected site whose subscriber 1 has a phone `UE` with this card, as whom the card says that it is.
fn scene_with(seed: u64, profile: CardProfile) -> (Scene, Held) {
    let site = Site::on_network([192, 0, 2]).with_ipsec();
    let mut scene = Scene::with(seed, site, vec![subscriber(1)]);
    scene.world.record_why();
    let held = Held(Arc::new(Mutex::new(VirtualCard::new(profile))));
    let mut card = Card::open(held.clone()).expect("a card");
    let contents = card.read().expect("a card that can be read");
    let identity = contents.identity().expect("a card of a subscriber");
    scene.phone_with("UE", 1, |mut config| {
        config.identity = identity.names;
        config.secret = Secret::Card(SharedCard::new(card));
        config
    });
    (scene, held)
}

fn card_of_subscriber() -> CardProfile {
    CardProfile::new(&imsi(1))
}

/// What the program would say of it.
fn verdict(scene: &mut Scene, events: &[UeEvent]) -> Verdict {
    let pcscf = scene.site.gm;
    let names = scene.ue("UE", |_, ue| ue.config_mut().identity.clone());
    let about = About {
        impi: names.impi,
        impu: names.impu,
        home: names.home,
        pcscf,
        transport: Transport::Udp,
        ipsec: true,
        prover: Prover::Card,
    };
    verdict::of_registration(events, &about)
}

#[test]
fn a_phone_registers_by_its_isim_and_both_kernels_have_the_keys_of_the_card() {
    let (mut scene, card) = scene_with(13_001, card_of_subscriber());
    let events = scene.tell("UE", UeCommand::Register);
    assert!(is_registered(&events), "{events:?}\n{}", scene.ladder());
    assert_eq!(card.challenged(), 1);
    assert_eq!(in_clear(&scene).len(), 2, "the first REGISTER and its 401");
    let challenge = sent(&scene, "P-CSCF", "UE").remove(0).1;
    let nonce = header(&challenge, "WWW-Authenticate").unwrap();
    let nonce = STANDARD.decode(param_of(&nonce, "nonce").unwrap()).unwrap();
    let keys = Milenage::new(&TEST_K, &TEST_OPC).f2345(nonce.first_chunk().unwrap());
    for node in ["UE", "P-CSCF"] {
        let set = scene.world.kernel(node).sets().next().unwrap();
        let expected = esp_keys(set.suite, &keys.ck, &keys.ik);
        assert!(*set.keys == expected, "the keys of the card at {node}");
    }
    scene.assert_quiet();
}

#[test]
fn a_card_without_an_isim_registers_by_its_imsi_and_its_usim_answers() {
    let profile = card_of_subscriber().without_isim();
    let contents = Card::open(VirtualCard::new(profile.clone()))
        .unwrap()
        .read()
        .unwrap();
    assert_eq!(contents.identity().unwrap().origin, Origin::Usim);
    let (mut scene, card) = scene_with(13_002, profile);
    let events = scene.tell("UE", UeCommand::Register);
    assert!(is_registered(&events), "{events:?}\n{}", scene.ladder());
    assert_eq!(card.challenged(), 1);
}

#[test]
fn a_card_that_is_ahead_of_the_hss_resynchronises_it_by_its_auts() {
    let ahead = Sqn::of(1 << 20, 0);
    let (mut scene, card) = scene_with(13_003, card_of_subscriber().sqn(ahead));
    let events = scene.tell("UE", UeCommand::Register);
    assert!(events.contains(&UeEvent::SyncFailure), "{events:?}");
    assert!(is_registered(&events), "{events:?}\n{}", scene.ladder());
    assert!(scene.ladder().contains("rand|auts"), "AUTS reaches the HSS");
    assert_eq!(card.challenged(), 2);
    assert!(card.card().sqn() > ahead, "the next challenge is in order");
    scene.assert_quiet();
}

#[test]
fn a_card_of_another_network_finds_the_challenge_wrong_and_the_phone_says_so() {
    let foreign = card_of_subscriber().keys([0x44; 16], TEST_OPC);
    let (mut scene, card) = scene_with(13_004, foreign);
    let events = scene.tell("UE", UeCommand::Register);
    assert!(events.contains(&UeEvent::MacFailure), "{events:?}");
    assert!(
        events.contains(&UeEvent::GaveUp),
        "TS 24.229 5.1.1.5.1: {events:?}"
    );
    assert_eq!(card.challenged(), 3, "it answers the first two of them");
    let verdict = verdict(&mut scene, &events);
    assert_eq!(verdict.sort, Sort::MacFailure);
    assert!(verdict.sentence.contains("another K or OPc"), "{verdict:?}");
    assert_eq!(
        scene.world.why(&imsi(1)),
        "The handset of IMSI 001010000000001 says that it could not verify the network: it gave 2 answers without a response to \
         the challenge (AKAv1-MD5, IPsec hmac-sha-1-96/aes-cbc); check Ki, OP against OPc, and AMF of this SIM in the HSS."
    );
    scene.assert_quiet();
    assert_eq!((sets(&scene), scene.bindings("S-CSCF")), (0, 0));
}

#[test]
fn a_card_that_is_pulled_while_it_answers_ends_the_registration_and_looks_like_no_mac_failure() {
    let pulled = card_of_subscriber().fault(Fault::RemovedAtAuthenticate);
    let (mut scene, card) = scene_with(13_005, pulled);
    let events = scene.tell("UE", UeCommand::Register);
    let gone = CardError::Reader(ReaderError::Removed);
    assert_eq!(events.last(), Some(&UeEvent::CardFailed(gone)), "{events:?}");
    let verdict = verdict(&mut scene, &events);
    assert_eq!(verdict.sort, Sort::Card);
    assert!(
        verdict.sentence.contains("taken out of the reader"),
        "{verdict:?}"
    );
    scene.world.advance(Duration::from_secs(600));
    assert_eq!(
        sent(&scene, "UE", "P-CSCF").len(),
        1,
        "nothing is said after the challenge"
    );
    assert_eq!(
        (card.challenged(), sets(&scene), scene.bindings("S-CSCF")),
        (1, 0, 0)
    );
    // The network cannot know why nothing comes.
    scene.world.assert_explained(&imsi(1), "challenge-unanswered");
    card.card().set_faults([]);
    card.card().insert();
    let events = scene.tell("UE", UeCommand::Register);
    assert!(is_registered(&events), "{events:?}\n{}", scene.ladder());
    scene.assert_quiet();
}

#[test]
fn a_card_that_is_pulled_from_a_registered_phone_lets_the_registration_be_and_no_more() {
    let (mut scene, card) = scene_with(13_006, card_of_subscriber());
    scene.tell("UE", UeCommand::Register);
    card.card().remove();
    let events = scene.tell("UE", UeCommand::Register);
    assert!(
        matches!(events.last(), Some(UeEvent::CardFailed(_))),
        "{events:?}"
    );
    assert_eq!(scene.bindings("S-CSCF"), 1, "until it expires");
}
