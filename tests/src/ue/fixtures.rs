//! Testkit: twenty-four handsets as they are met in the field, by what is peculiar about each. Their identities are
//! ours (PLMN 001/01); the table says what a network has to stand.

use ims_common::ipsec::{Encryption, Integrity, Suite};
use ims_common::net::Transport;

use super::security::{Dialect, Spis, suite};
use super::shape::{HUAWEI, IPHONE, PLAIN, QUALCOMM, QUALCOMM_COMPACT, SAMSUNG, Shape};

/// One handset, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Fixture {
    /// Its name.
    pub name: &'static str,
    /// What is peculiar about it, in one sentence.
    pub about: &'static str,
    /// How its messages look.
    pub shape: Shape,
    /// How it registers.
    pub transport: Transport,
    /// It has IPv6.
    pub ipv6: bool,
    /// It makes a security agreement; else the network has to allow it to do without.
    pub agrees: bool,
    /// What the operator accepts instead of the defaults, as the P-CSCF's file says it.
    pub algorithms: Option<&'static str>,
    /// What is chosen.
    pub chosen: Suite,
    /// Whether REGISTERs inside security associations are challenged.
    pub reauthenticate: &'static str,
    /// What it does between its first registration and its farewell.
    pub story: &'static [Step],
}

/// Something that a handset does.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Registers again in its Call-ID.
    Again,
    /// Registers as if it had been switched on.
    Anew,
    /// Its USIM refuses the next SQN.
    RunAhead,
    /// Does not answer the challenge that it gets.
    Ignore,
    /// Sends a request: over which transport, what, and the lines of it that reach the core unchanged.
    Ask(Transport, &'static str, &'static [&'static str]),
    /// Leaves with `Contact: *`; else it leaves with its own contact.
    LeaveAll,
}

const MD5_3DES: Suite = suite(Integrity::HmacMd5_96, Encryption::DesEde3Cbc);
const MD5_AES: Suite = suite(Integrity::HmacMd5_96, Encryption::AesCbc);
const MD5_NULL: Suite = suite(Integrity::HmacMd5_96, Encryption::Null);
const SHA1_3DES: Suite = suite(Integrity::HmacSha1_96, Encryption::DesEde3Cbc);
const SHA1_AES: Suite = suite(Integrity::HmacSha1_96, Encryption::AesCbc);
const SHA1_NULL: Suite = suite(Integrity::HmacSha1_96, Encryption::Null);

const BASE: Fixture = Fixture {
    name: "",
    about: "",
    shape: PLAIN,
    transport: Transport::Udp,
    ipv6: false,
    agrees: true,
    algorithms: None,
    chosen: SHA1_AES,
    reauthenticate: "always",
    story: &[Step::Again],
};

const SAMSUNG_GLOBAL: Shape = Shape {
    name: "samsung-global",
    dialect: Dialect {
        suites: &[MD5_3DES, MD5_AES, MD5_NULL, SHA1_3DES, SHA1_AES, SHA1_NULL],
        spis: Spis::Consecutive(74_618),
        port_us: 8_801,
        ports_uc: &[8_803, 8_805, 8_807, 8_809],
        ..SAMSUNG.dialect
    },
    ..SAMSUNG
};

const TINY_SPI: Shape = Shape {
    name: "tiny-spi",
    dialect: Dialect {
        mechanism: "ipsec-3gpp;alg={alg};ealg={ealg};spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        suites: &[MD5_NULL],
        spis: Spis::Consecutive(1_236),
        port_us: 7_005,
        ports_uc: &[7_004, 7_006, 7_007, 7_008],
        ..PLAIN.dialect
    },
    contact: "<sip:{user}@{address}>;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\";audio;video",
    ..PLAIN
};

const JUNK: Shape = Shape {
    name: "junk",
    dialect: Dialect {
        after: ">",
        ..PLAIN.dialect
    },
    ..PLAIN
};

/// What a phone on Wi-Fi says of where it is, and of the cell that it last saw.
const VOWIFI: Shape = Shape {
    name: "vowifi",
    lines: "Max-Forwards: 70\nFrom: <{impu}>;tag={tag}\nTo: <{impu}>\nCall-ID: {call_id}\nCSeq: {cseq} REGISTER\n\
            Contact: {contact}\nExpires: {expires}\nSupported: path\nRequire: {sec_agree}\nProxy-Require: {sec_agree}\n\
            Security-Client: {security_client}\nSecurity-Verify: {security_verify}\n\
            P-Access-Network-Info: IEEE-802.11;i-wlan-node-id=0a1b2c3d4e5f\n\
            Cellular-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000101;cell-info-age=57\n\
            Authorization: {authorization}\nContent-Length: 0\n",
    contact: "<sip:{user}@{address}{transport}>;+g.3gpp.accesstype=\"wlan1\";+g.3gpp.smsip;\
              +sip.instance=\"<urn:gsma:imei:35622410-483845-0>\"",
    ..PLAIN
};

/// A cell of 5G has an identity of 36 bits.
const NR: Shape = Shape {
    name: "nr",
    lines: "Max-Forwards: 70\nFrom: <{impu}>;tag={tag}\nTo: <{impu}>\nCall-ID: {call_id}\nCSeq: {cseq} REGISTER\n\
            Contact: {contact}\nExpires: {expires}\nSupported: path\nRequire: {sec_agree}\nProxy-Require: {sec_agree}\n\
            Security-Client: {security_client}\nSecurity-Verify: {security_verify}\n\
            P-Access-Network-Info: 3GPP-NR-TDD;utran-cell-id-3gpp=00101000001ABCDEF01234\n\
            Authorization: {authorization}\nContent-Length: 0\n",
    ..PLAIN
};

const SMS: &str = "MESSAGE tel:+15550009 SIP/2.0\nMax-Forwards: 70\nFrom: <{impu}>;tag={tag}\nTo: <tel:+15550009>\n\
    Call-ID: {call_id}\nCSeq: 1 MESSAGE\nP-Preferred-Identity: <sip:+15550001@{home}>\nRequest-Disposition: no-fork\n\
    Accept-Contact: *;+g.3gpp.smsip;require;explicit\nContent-Type: application/vnd.3gpp.sms\n\
    Content-Length: {length}\n\nabcdefgh";

const INVITE_FROM_CONTACTS: &str = "INVITE tel:+15550002 SIP/2.0\nMax-Forwards: 70\nFrom: <sip:+15550001@{home}>;tag={tag}\n\
    To: <tel:+15550002>\nCall-ID: {call_id}\nCSeq: 1 INVITE\nContact: {contact}\nSupported: timer, 100rel, precondition\n\
    P-Preferred-Service: urn:urn-7:3gpp-service.ims.icsi.mmtel\nContent-Length: 0\n\n";

const INVITE_HISTORY: &str = "INVITE tel:+15550002 SIP/2.0\nMax-Forwards: 70\nFrom: <sip:+15550001@{home}>;tag={tag}\n\
    To: <tel:+15550002>\nCall-ID: {call_id}\nCSeq: 1 INVITE\nContact: {contact}\n\
    History-Info: <sip:+15550002@{home};user=phone>;index=1\nContent-Length: 0\n\n";

const FROM_TEL: &str = "MESSAGE tel:+15550002 SIP/2.0\nMax-Forwards: 70\nFrom: <tel:+15550001>;tag={tag}\n\
    To: <tel:+15550002>\nCall-ID: {call_id}\nCSeq: 1 MESSAGE\nP-Preferred-Identity: <tel:+15550001>\n\
    Content-Length: 0\n\n";

const UNBRACKETED: &str = "MESSAGE tel:+15550002 SIP/2.0\nMax-Forwards: 70\nFrom: <sip:+15550001@{home}>;tag={tag}\n\
    To: <tel:+15550002>\nCall-ID: {call_id}\nCSeq: 1 MESSAGE\nP-Preferred-Identity: sip:+15550001@{home}\n\
    Session-ID: 0123456789abcdef0123456789abcdef\nContent-Length: 0\n\n";

const PRACK: &str = "PRACK sip:+15550002@{home} SIP/2.0\nMax-Forwards: 70\nRoute: {service_route}\n\
    From: <sip:+15550001@{home}>;tag={tag}\nTo: <sip:+15550002@{home}>;tag=early\nCall-ID: {call_id}\nCSeq: 2 PRACK\n\
    RAck: 1 1 INVITE\nContent-Length: 0\n\n";

/// Longer than any datagram that is not fragmented.
const LONG_INVITE: &str = "INVITE sip:+15550002@{home};user=phone SIP/2.0\nMax-Forwards: 70\n\
    From: <sip:+15550001@{home}>;tag={tag}\nTo: <sip:+15550002@{home};user=phone>\nCall-ID: {call_id}\nCSeq: 1 INVITE\n\
    Contact: {contact}\nP-Early-Media: supported\nP-Preferred-Service: urn:urn-7:3gpp-service.ims.icsi.mmtel\n\
    Accept-Contact: *;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\"\nSession-Expires: 1800\nMin-SE: 90\n\
    Content-Type: application/sdp\nContent-Length: {length}\n\n\
    v=0\no=- 1 1 IN IP4 {ip}\ns=QC VOIP\nc=IN IP4 {ip}\nb=AS:49\nb=RS:600\nb=RR:2000\nt=0 0\n\
    m=audio 50010 RTP/AVP 127 126 116 107 118 96 111 110\n\
    a=rtpmap:127 EVS/16000/1\na=fmtp:127 br=5.9-24.4;bw=nb-swb;ch-aw-recv=2\n\
    a=rtpmap:126 EVS/16000/1\na=fmtp:126 br=5.9-13.2;bw=nb-wb;ch-aw-recv=2\n\
    a=rtpmap:116 AMR-WB/16000/1\na=fmtp:116 mode-change-capability=2;max-red=0\n\
    a=rtpmap:107 AMR-WB/16000/1\na=fmtp:107 octet-align=1;mode-change-capability=2;max-red=0\n\
    a=rtpmap:118 AMR/8000/1\na=fmtp:118 mode-change-capability=2;max-red=0\n\
    a=rtpmap:96 AMR/8000/1\na=fmtp:96 octet-align=1;mode-change-capability=2;max-red=0\n\
    a=rtpmap:111 telephone-event/16000\na=fmtp:111 0-15\na=rtpmap:110 telephone-event/8000\na=fmtp:110 0-15\n\
    a=curr:qos local none\na=curr:qos remote none\na=des:qos mandatory local sendrecv\n\
    a=des:qos optional remote sendrecv\na=sendrecv\na=ptime:20\na=maxptime:240\n\
    m=video 50020 RTP/AVP 117 34\nb=AS:864\na=rtpmap:117 H264/90000\n\
    a=fmtp:117 profile-level-id=42C01E;packetization-mode=1;sprop-parameter-sets=Z0LAHtkAtBWnABAAAAMAEAAAAwPA8WLkgA==,aMuDyyA=\n\
    a=rtpmap:34 H263/90000\na=imageattr:117 send [x=480,y=640] recv [x=480,y=640]\na=extmap:7 urn:3gpp:video-orientation\n\
    a=rtcp-fb:* ccm fir\na=rtcp-fb:* ccm tmmbr\na=rtcp-fb:* nack\na=rtcp-fb:* nack pli\na=rtcp-fb:* trr-int 5000\n\
    a=curr:qos local none\na=curr:qos remote none\na=des:qos mandatory local sendrecv\na=des:qos optional remote sendrecv\n\
    a=tcap:1 RTP/AVPF\na=pcfg:1 t=1\na=sendrecv\n";

/// All of them.
pub const ALL: [Fixture; 24] = [
    Fixture {
        name: "samsung_na_tcp_v6_2mech",
        about: "two mechanisms without encryption, consecutive small SPIs, TCP over IPv6",
        shape: SAMSUNG,
        transport: Transport::Tcp,
        ipv6: true,
        chosen: SHA1_NULL,
        ..BASE
    },
    Fixture {
        name: "samsung_global_udp_6mech_3desfirst",
        about: "six mechanisms, MD5 with 3DES first, port-c = port-s + 2",
        shape: SAMSUNG_GLOBAL,
        algorithms: Some("[hmac-md5-96/des-ede3-cbc, hmac-md5-96/null]"),
        chosen: MD5_3DES,
        ..BASE
    },
    Fixture {
        name: "qcom_6mech_spaces_noprotmod",
        about: "spaces in Security-Client, neither prot nor mod, random SPIs of 32 bits, no user of its own in Contact",
        shape: QUALCOMM,
        transport: Transport::Tcp,
        ..BASE
    },
    Fixture {
        name: "qcom_cn_compact_headers",
        about: "compact header names, one mechanism of MD5 and no encryption",
        shape: QUALCOMM_COMPACT,
        chosen: MD5_NULL,
        ..BASE
    },
    Fixture {
        name: "huawei_sha1first",
        about: "SHA-1 before MD5, SPIs of eight digits that do not follow each other, expiry in Contact only",
        shape: HUAWEI,
        ..BASE
    },
    Fixture {
        name: "tiny_spi_7004",
        about: "SPIs 1236 and 1237, ports 7004 and 7005",
        shape: TINY_SPI,
        chosen: MD5_NULL,
        ..BASE
    },
    Fixture {
        name: "iphone_v6_nouser_tcp_then_udp_message",
        about: "no user in Contact, IPv6, registers over TCP and sends MESSAGE over UDP",
        shape: IPHONE,
        transport: Transport::Tcp,
        ipv6: true,
        story: &[
            Step::Ask(Transport::Udp, SMS, &["Request-Disposition: no-fork"]),
            Step::Again,
            Step::Ask(Transport::Udp, SMS, &["Request-Disposition: no-fork"]),
        ],
        ..BASE
    },
    Fixture {
        name: "no_security_client",
        about: "makes no agreement: served where the operator allows it",
        agrees: false,
        ..BASE
    },
    Fixture {
        name: "auts_resync",
        about: "a USIM whose sequence number is ahead of the HSS, at first and inside its set",
        story: &[Step::RunAhead, Step::Anew, Step::RunAhead, Step::Again],
        ..BASE
    },
    Fixture {
        name: "second_401_new_spi",
        about: "does not answer the first challenge and comes again with other SPIs and ports",
        story: &[Step::Ignore, Step::Anew, Step::Ignore, Step::Again],
        ..BASE
    },
    Fixture {
        name: "rereg_nc5_same_cnonce_new_spi",
        about: "nonce count up to 5 with one cnonce, and new SPIs each time",
        shape: SAMSUNG,
        chosen: SHA1_NULL,
        reauthenticate: "never",
        story: &[Step::Again, Step::Again, Step::Again, Step::Again],
        ..BASE
    },
    Fixture {
        name: "rereg_without_challenge",
        about: "is answered 200 at once when it registers again: its set lives on",
        reauthenticate: "never",
        ..BASE
    },
    Fixture {
        name: "dereg_contact_star",
        about: "leaves with Contact: *",
        story: &[Step::Again, Step::LeaveAll],
        ..BASE
    },
    Fixture {
        name: "register_in_stale_sa",
        about: "its initial REGISTER comes inside the set that it has from before",
        story: &[Step::Anew, Step::Again],
        ..BASE
    },
    Fixture {
        name: "vowifi_pani_cni",
        about: "P-Access-Network-Info of Wi-Fi, and Cellular-Network-Info",
        shape: VOWIFI,
        ..BASE
    },
    Fixture {
        name: "nr_pani_long_cellid",
        about: "P-Access-Network-Info with the long cell identity of 5G",
        shape: NR,
        ..BASE
    },
    Fixture {
        name: "tel_from_ppi",
        about: "From and P-Preferred-Identity are tel URIs",
        story: &[Step::Ask(
            Transport::Udp,
            FROM_TEL,
            &["P-Asserted-Identity: <tel:+15550001>"],
        )],
        ..BASE
    },
    Fixture {
        name: "unbracketed_ppi",
        about: "P-Preferred-Identity without angle brackets, Session-ID in every request",
        story: &[Step::Ask(
            Transport::Udp,
            UNBRACKETED,
            &[
                "P-Asserted-Identity: <sip:+15550001@{home}>",
                "Session-ID: 0123456789abcdef0123456789abcdef",
            ],
        )],
        ..BASE
    },
    Fixture {
        name: "history_info_mo",
        about: "History-Info in an INVITE of its own",
        shape: SAMSUNG,
        transport: Transport::Tcp,
        chosen: SHA1_NULL,
        story: &[Step::Ask(
            Transport::Tcp,
            INVITE_HISTORY,
            &["History-Info: <sip:+15550002@{home};user=phone>;index=1"],
        )],
        ..BASE
    },
    Fixture {
        name: "plus_e164_from_contacts",
        about: "calls an entry of its contacts: tel URI with + and no phone-context",
        story: &[Step::Ask(
            Transport::Udp,
            INVITE_FROM_CONTACTS,
            &[
                "INVITE tel:+15550002 SIP/2.0",
                "Supported: timer, 100rel, precondition",
            ],
        )],
        ..BASE
    },
    Fixture {
        name: "sms_tel_psi_nofork",
        about: "SMS to the tel URI of the SMSC, with Request-Disposition and Accept-Contact",
        story: &[Step::Ask(
            Transport::Udp,
            SMS,
            &[
                "MESSAGE tel:+15550009 SIP/2.0",
                "Request-Disposition: no-fork",
                "Accept-Contact: *;+g.3gpp.smsip;require;explicit",
                "Content-Type: application/vnd.3gpp.sms",
                "Content-Length: 8",
            ],
        )],
        ..BASE
    },
    Fixture {
        name: "prack_transport_flip",
        about: "the first PRACK over TCP, the next over UDP",
        shape: QUALCOMM,
        transport: Transport::Tcp,
        story: &[
            // Of no dialog: the P-CSCF answers for itself, over the transport that each came by.
            Step::Ask(Transport::Tcp, PRACK, &[]),
            Step::Ask(Transport::Udp, PRACK, &[]),
        ],
        ..BASE
    },
    Fixture {
        name: "invite_2k_udp",
        about: "an INVITE of more than 2,000 octets in one datagram",
        shape: QUALCOMM,
        story: &[Step::Ask(
            Transport::Udp,
            LONG_INVITE,
            &[
                "Session-Expires: 1800",
                "Min-SE: 90",
                "a=fmtp:127 br=5.9-24.4;bw=nb-swb;ch-aw-recv=2",
            ],
        )],
        ..BASE
    },
    Fixture {
        name: "trailing_junk_after_last_mechanism",
        about: "Security-Client ends in a stray >",
        shape: JUNK,
        ..BASE
    },
];
