//! Testkit: what `ue card show` says of a card that fits and of cards that do not: golden texts.

use ims_tests::card::core::Core;
use ims_tests::card::files as ef;
use ims_tests::card::session::Card;
use ims_tests::card::show::Report;
use ims_tests::card::virtual_card::{CardProfile, Dir, VirtualCard};
use ims_tests::ladder::assert_golden_file;

const IMSI: &str = "001010000000001";
const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const SUBSCRIBER: &str = "{imsi: \"001010000000001\", msisdn: \"15550001\"}";

/// One P-CSCF, one realm, and an HSS with these subscribers.
fn core(subscribers: &str) -> Core {
    let pcscf =
        format!("pcscf:\n  home_realm: {HOME}\n  gm: {{address: 192.0.2.5}}\n  mw: {{address: 127.0.1.2}}\n");
    let hss = format!("hss:\n  listen: 127.0.1.5:3868\n  subscribers: [{subscribers}]\n");
    Core::default()
        .with_file("pcscf.yaml", &pcscf)
        .and_then(|core| core.with_file("hss.yaml", &hss))
        .expect("a core")
}

fn profile() -> CardProfile {
    CardProfile::new(IMSI).smsc("+15550100").msisdn("+15550001")
}

/// Reads the card as the program does, and compares what it says. The text names these findings and no others.
fn assert_shown(name: &str, profile: CardProfile, core: &Core, findings: &[&str]) {
    let mut card = Card::open(VirtualCard::new(profile)).expect("a card");
    let contents = card.read().expect("its contents");
    let report = Report::new("Virtual PCD 00 00", &contents, Some(core));
    assert_golden_file(&format!("card/{name}.txt"), &report.to_string());
    let found: Vec<_> = report.findings().iter().map(|finding| finding.id).collect();
    assert_eq!(found, findings);
}

#[test]
fn an_isim_that_fits_has_nothing_to_be_said_against_it() {
    let impus = [
        format!("sip:{IMSI}@{HOME}"),
        format!("sip:+15550001@{HOME}"),
        "tel:+15550001".to_owned(),
    ];
    let impus = [&*impus[0], &*impus[1], &*impus[2]];
    let profile = profile()
        .impus(&impus)
        .pcscfs(&["192.0.2.5"])
        .psismsc("sip:smsc.ims.mnc001.mcc001.3gppnetwork.org");
    assert_shown("isim_that_fits", profile, &core(SUBSCRIBER), &[]);
}

#[test]
fn a_card_without_an_isim_names_itself_by_its_imsi() {
    let profile = profile().without_isim();
    let findings = ["no-isim", "no-sms-over-ip"];
    assert_shown("usim_only", profile, &core(SUBSCRIBER), &findings);
}

#[test]
fn a_card_of_another_network_is_wrong_here() {
    let other = "ims.mnc009.mcc001.3gppnetwork.org";
    let profile = profile()
        .domain(other)
        .impi(&format!("{IMSI}@{other}"))
        .impus(&[&format!("sip:{IMSI}@{other}")])
        .pcscfs(&["192.0.2.99"]);
    let findings = [
        "domain-not-served",
        "impi-unknown",
        "impu-temporary-only",
        "pcscf-other",
    ];
    assert_shown("realm_not_served", profile, &core(SUBSCRIBER), &findings);
}

#[test]
fn a_temporary_identity_that_is_barred_and_alone_is_wrong() {
    let impu = format!("sip:{IMSI}@{HOME}");
    let subscriber = format!("{{imsi: \"{IMSI}\", impus: [{{identity: \"{impu}\", barred: true}}]}}");
    let profile = profile().impus(&[&impu]);
    assert_shown(
        "barred_without_another",
        profile,
        &core(&subscriber),
        &["impu-barred"],
    );
}

#[test]
fn a_wrong_length_in_one_of_several_records_is_told_with_its_octets() {
    let record = |text: &str| ef::padded(ef::text::encode(text), 80);
    let mut wrong = record(&format!("sip:+15550001@{HOME}"));
    wrong[1] = 0x4E;
    let impus = vec![
        record(&format!("sip:{IMSI}@{HOME}")),
        wrong,
        record("tel:+15550001"),
        vec![0xFF; 80],
    ];
    let profile = profile().records(Dir::Isim, ef::EF_IMPU, impus);
    assert_shown("malformed_impu", profile, &core(SUBSCRIBER), &["file-malformed"]);
}

#[test]
fn a_domain_that_is_not_ascii_is_told_with_its_letter() {
    let domain = ef::padded(ef::text::encode("ims.müller.example"), 64);
    let profile = profile().transparent(Dir::Isim, ef::EF_DOMAIN, &domain);
    assert_shown(
        "domain_not_ascii",
        profile,
        &core(SUBSCRIBER),
        &["file-malformed"],
    );
}

#[test]
fn of_a_card_whose_pin_is_blocked_little_is_known() {
    let profile = profile().pin("1234", 0);
    assert_shown(
        "pin_blocked",
        profile,
        &core(SUBSCRIBER),
        &["pin-blocked", "file-refused", "other-file-refused"],
    );
}

#[test]
fn an_isim_with_nothing_in_it_is_wrong() {
    let profile = profile()
        .transparent(Dir::Isim, ef::EF_IMPI, &[0xFF; 96])
        .transparent(Dir::Isim, ef::EF_DOMAIN, &[0xFF; 64])
        .records(Dir::Isim, ef::EF_IMPU, vec![vec![0xFF; 96]; 4]);
    assert_shown("isim_empty", profile, &core(SUBSCRIBER), &["isim-empty"]);
}
