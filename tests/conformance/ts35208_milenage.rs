//! Testkit: the Milenage test sets of TS 35.207 and TS 35.208, and digest AKA on top of them.

use ims_common::aka::hex::{from_hex, to_hex};
use ims_common::aka::{AkaVersion, DigestInput, verify_aka};
use ims_tests::milenage::{Milenage, Sqn};
use ims_tests::usim::{Usim, UsimError};

struct TestSet {
    number: u8,
    k: &'static str,
    rand: &'static str,
    sqn: &'static str,
    amf: &'static str,
    op: &'static str,
    opc: &'static str,
    f1: &'static str,
    f1_star: &'static str,
    f2: &'static str,
    f5: &'static str,
    f3: &'static str,
    f4: &'static str,
    f5_star: &'static str,
    /// Computed, not part of the specification.
    autn: Option<&'static str>,
    /// Computed for SQN_MS = SQN, AMF* = 0; not part of the specification.
    auts: Option<&'static str>,
}

const SETS: [TestSet; 8] = [
    TestSet {
        number: 1,
        k: "465b5ce8b199b49faa5f0a2ee238a6bc",
        rand: "23553cbe9637a89d218ae64dae47bf35",
        sqn: "ff9bb4d0b607",
        amf: "b9b9",
        op: "cdc202d5123e20f62b6d676ac72cb318",
        opc: "cd63cb71954a9f4e48a5994e37a02baf",
        f1: "4a9ffac354dfafb3",
        f1_star: "01cfaf9ec4e871e9",
        f2: "a54211d5e3ba50bf",
        f5: "aa689c648370",
        f3: "b40ba9a3c58b2a05bbf0d987b21bf8cb",
        f4: "f769bcd751044604127672711c6d3441",
        f5_star: "451e8beca43b",
        autn: Some("55f328b43577b9b94a9ffac354dfafb3"),
        auts: Some("ba853f3c123ccf44e93596e355c6"),
    },
    TestSet {
        number: 2,
        k: "0396eb317b6d1c36f19c1c84cd6ffd16",
        rand: "c00d603103dcee52c4478119494202e8",
        sqn: "fd8eef40df7d",
        amf: "af17",
        op: "ff53bade17df5d4e793073ce9d7579fa",
        opc: "53c15671c60a4b731c55b4a441c0bde2",
        f1: "5df5b31807e258b0",
        f1_star: "a8c016e51ef4a343",
        f2: "d3a628ed988620f0",
        f5: "c47783995f72",
        f3: "58c433ff7a7082acd424220f2b67c556",
        f4: "21a8c1f929702adb3e738488b9f5c5da",
        f5_star: "30f1197061c1",
        autn: Some("39f96cd9800faf175df5b31807e258b0"),
        auts: Some("cd7ff630bebc1fb5eba74924b0e0"),
    },
    TestSet {
        number: 3,
        k: "fec86ba6eb707ed08905757b1bb44b8f",
        rand: "9f7c8d021accf4db213ccff0c7f71a6a",
        sqn: "9d0277595ffc",
        amf: "725c",
        op: "dbc59adcb6f9a0ef735477b7fadf8374",
        opc: "1006020f0a478bf6b699f15c062e42b3",
        f1: "9cabc3e99baf7281",
        f1_star: "95814ba2b3044324",
        f2: "8011c48c0c214ed2",
        f5: "33484dc2136b",
        f3: "5dbdbb2954e8f3cde665b046179a5098",
        f4: "59a92d3b476a0443487055cf88b2307b",
        f5_star: "deacdd848cc6",
        autn: Some("ae4a3a9b4c97725c9cabc3e99baf7281"),
        auts: Some("43aeaaddd33a9f8be774d095d08b"),
    },
    TestSet {
        number: 4,
        k: "9e5944aea94b81165c82fbf9f32db751",
        rand: "ce83dbc54ac0274a157c17f80d017bd6",
        sqn: "0b604a81eca8",
        amf: "9e09",
        op: "223014c5806694c007ca1eeef57f004f",
        opc: "a64a507ae1a2a98bb88eb4210135dc87",
        f1: "74a58220cba84c49",
        f1_star: "ac2cc74a96871837",
        f2: "f365cd683cd92e96",
        f5: "f0b9c08ad02e",
        f3: "e203edb3971574f5a94b0d61b816345d",
        f4: "0c4524adeac041c4dd830d20854fc46b",
        f5_star: "6085a86c6f63",
        autn: Some("fbd98a0b3c869e0974a58220cba84c49"),
        auts: Some("6be5e2ed83cb7685bae0a5680aa6"),
    },
    TestSet {
        number: 5,
        k: "4ab1deb05ca6ceb051fc98e77d026a84",
        rand: "74b0cd6031a1c8339b2b6ce2b8c4a186",
        sqn: "e880a1b580b6",
        amf: "9f07",
        op: "2d16c5cd1fdf6b22383584e3bef2a8d8",
        opc: "dcf07cbd51855290b92a07a9891e523e",
        f1: "49e785dd12626ef2",
        f1_star: "9e85790336bb3fa2",
        f2: "5860fc1bce351e7e",
        f5: "31e11a609118",
        f3: "7657766b373d1c2138f307e3de9242f9",
        f4: "1c42e960d89b8fa99f2744e0708ccb53",
        f5_star: "fe2555e54aa9",
        autn: Some("d961bbd511ae9f0749e785dd12626ef2"),
        auts: Some("16a5f450ca1f782c7adc092ecaf5"),
    },
    TestSet {
        number: 6,
        k: "6c38a116ac280c454f59332ee35c8c4f",
        rand: "ee6466bc96202c5a557abbeff8babf63",
        sqn: "414b98222181",
        amf: "4464",
        op: "1ba00a1a7c6700ac8c3ff3e96ad08725",
        opc: "3803ef5363b947c6aaa225e58fae3934",
        f1: "078adfb488241a57",
        f1_star: "80246b8d0186bcf1",
        f2: "16c8233f05a0ac28",
        f5: "45b0f69ab06c",
        f3: "3f8c7587fe8e4b233af676aede30ba3b",
        f4: "a7466cc1e6b2a1337d49d3b66e95d7b4",
        f5_star: "1f53cd2b1113",
        autn: Some("04fb6eb891ed4464078adfb488241a57"),
        auts: Some("5e1855093092c6b5a5bee94751e0"),
    },
    TestSet {
        number: 7,
        k: "2d609d4db0ac5bf0d2c0de267014de0d",
        rand: "194aa756013896b74b4a2a3b0af4539e",
        sqn: "6bf69438c2e4",
        amf: "5f67",
        op: "460a48385427aa39264aac8efc9e73e8",
        opc: "c35a0ab0bcbfc9252caff15f24efbde0",
        f1: "bd07d3003b9e5cc3",
        f1_star: "bcb6c2fcad152250",
        f2: "8c25a16cd918a1df",
        f5: "7e6455f34cf3",
        f3: "4cd0846020f8fa0731dd47cbdc6be411",
        f4: "88ab80a415f15c73711254a1d388f696",
        f5_star: "dc6dd01e8f15",
        autn: None,
        auts: None,
    },
    TestSet {
        number: 20,
        k: "90dca4eda45b53cf0f12d7c9c3bc6a89",
        rand: "9fddc72092c6ad036b6e464789315b78",
        sqn: "20f813bd4141",
        amf: "61df",
        op: "3ffcfe5b7b1111589920d3528e84e655",
        opc: "cb9cccc4b9258e6dca4760379fb82581",
        f1: "09db94eab4f8149e",
        f1_star: "a29468aa9775b527",
        f2: "a95100e2760952cd",
        f5: "83cfd54db913",
        f3: "b5f2da03883b69f96bf52e029ed9ac45",
        f4: "b4721368bc16ea67875c5598688bb0ef",
        f5_star: "4f2039392ddc",
        autn: None,
        auts: None,
    },
];

fn octets<const N: usize>(text: &str) -> [u8; N] {
    from_hex(text)
        .and_then(|o| o.try_into().ok())
        .expect("hex of the right length")
}

impl TestSet {
    fn milenage(&self) -> Milenage {
        Milenage::new(&octets(self.k), &octets(self.opc))
    }

    fn sqn(&self) -> Sqn {
        Sqn::from_octets(octets(self.sqn))
    }
}

fn set(number: u8) -> &'static TestSet {
    SETS.iter().find(|s| s.number == number).expect("known set")
}

#[test]
fn opc_of_every_test_set() {
    for s in &SETS {
        let opc = Milenage::opc(&octets(s.k), &octets(s.op));
        assert_eq!(to_hex(&opc), s.opc, "set {}", s.number);
    }
}

#[test]
fn f1_to_f5_star_of_every_test_set() {
    for s in &SETS {
        let (milenage, rand) = (s.milenage(), octets(s.rand));
        let macs = milenage.f1(&rand, s.sqn(), octets(s.amf));
        let keys = milenage.f2345(&rand);
        let results = [
            (to_hex(&macs.mac_a), s.f1),
            (to_hex(&macs.mac_s), s.f1_star),
            (to_hex(&keys.res), s.f2),
            (to_hex(&keys.ck), s.f3),
            (to_hex(&keys.ik), s.f4),
            (to_hex(&keys.ak), s.f5),
            (to_hex(&milenage.f5_star(&rand)), s.f5_star),
        ];
        for (index, (result, expected)) in results.iter().enumerate() {
            assert_eq!(result, expected, "set {} function {index}", s.number);
        }
    }
}

#[test]
fn autn_and_auts_of_the_test_sets() {
    for s in &SETS {
        let rand = octets(s.rand);
        if let Some(autn) = s.autn {
            assert_eq!(
                to_hex(&s.milenage().vector(rand, s.sqn(), octets(s.amf)).autn),
                autn
            );
        }
        if let Some(auts) = s.auts {
            assert_eq!(to_hex(&s.milenage().auts(&rand, s.sqn()).0), auts);
            assert_eq!(
                s.milenage().open_auts(&rand, &s.milenage().auts(&rand, s.sqn())),
                Some(s.sqn())
            );
        }
    }
    assert_eq!(
        SETS.iter()
            .filter(|s| s.autn.is_some() && s.auts.is_some())
            .count(),
        6
    );
}

#[test]
fn a_usim_answers_the_network_of_every_test_set() {
    for s in &SETS {
        let vector = s.milenage().vector(octets(s.rand), s.sqn(), octets(s.amf));
        let before = Sqn::new(s.sqn().number() - 32);
        let mut usim = Usim::new(&octets(s.k), &octets(s.opc)).with_sqn(before);
        let res = usim.authenticate(&vector.rand, &vector.autn).expect("accepted");
        assert_eq!(to_hex(res.res.expose()), s.f2, "set {}", s.number);
    }
}

const IMPI: &str = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";

fn register(nonce: &str, cnonce: &'static str) -> DigestInput<'static> {
    DigestInput {
        username: IMPI.as_bytes().into(),
        realm: HOME.as_bytes().into(),
        nonce: nonce.as_bytes().to_vec().into(),
        uri: format!("sip:{HOME}").into_bytes().into(),
        qop: Some(b"auth"[..].into()),
        nc: b"00000001"[..].into(),
        cnonce: cnonce.as_bytes().into(),
        method: b"REGISTER"[..].into(),
        ..DigestInput::default()
    }
}

#[test]
fn example_a_from_k_to_response() {
    let s = set(1);
    let vector = s.milenage().vector(octets(s.rand), s.sqn(), octets(s.amf));
    assert_eq!(vector.nonce(), "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=");
    let before = Sqn::new(s.sqn().number() - 32);
    let res = Usim::new(&octets(s.k), &octets(s.opc))
        .with_sqn(before)
        .authenticate(&vector.rand, &vector.autn)
        .expect("accepted");
    let mut input = register(&vector.nonce(), "0a4f113b5d2c7e91");
    let ha1 = AkaVersion::V1Md5.ha1(&input.username, &input.realm, &res.keys());
    let response = input.expected_response(&ha1).expect("complete");
    assert_eq!(response, "1affab8730666a619c19fbcaa1aed411");
    input.response = response.into_bytes().into();
    assert!(verify_aka(&input, &vector, AkaVersion::V1Md5).is_ok());
}

#[test]
fn example_b_from_k_to_response() {
    let s = set(2);
    let vector = s.milenage().vector(octets(s.rand), Sqn::new(0x21), [0x80, 0]);
    assert_eq!(to_hex(&vector.autn), "c47783995f5380002ea9ede40e99bfbf");
    assert_eq!(vector.nonce(), "wA1gMQPc7lLER4EZSUIC6MR3g5lfU4AALqnt5A6Zv78=");
    let res = Usim::new(&octets(s.k), &octets(s.opc))
        .authenticate(&vector.rand, &vector.autn)
        .expect("accepted");
    let input = register(&vector.nonce(), "6b8b4567327b23c6");
    let ha1 = AkaVersion::V1Md5.ha1(&input.username, &input.realm, &res.keys());
    assert_eq!(
        input.expected_response(&ha1).expect("complete"),
        "ecaa58447c9764223c7d2962c3c69d67"
    );
}

#[test]
fn resynchronisation_of_examples_a_and_b() {
    let s = set(1);
    let sqn_ms = Sqn::of(s.sqn().seq() + 1, s.sqn().ind());
    let auts = s.milenage().auts(&octets(s.rand), sqn_ms);
    assert_eq!(auts.to_base64(), "uoU/PBIctV7bggBAq0E=");
    assert_eq!(
        to_hex(&auts.authorization(&octets(s.rand))),
        "23553cbe9637a89d218ae64dae47bf35ba853f3c121cb55edb820040ab41"
    );
    let s = set(2);
    let mut usim = Usim::new(&octets(s.k), &octets(s.opc)).with_sqn(Sqn::new(0x41));
    let vector = s.milenage().vector(octets(s.rand), Sqn::new(0x21), [0x80, 0]);
    let Err(UsimError::SyncFailure(auts)) = usim.authenticate(&vector.rand, &vector.autn) else {
        panic!("the USIM is ahead of the network");
    };
    assert_eq!(auts.to_base64(), "MPEZcGGAjSh+/NADPIs=");
}
