//! Testkit: how the REGISTERs of phone families look, line by line.
//!
//! A shape is text with places to fill. A line whose value comes out empty is left out.

use ims_common::ipsec::{Encryption, Integrity, Suite};
use ims_common::net::Transport;

use super::UeConfig;
use super::register::{Authorization, Procedure};
use super::sas::Said;
use super::security::{Dialect, Spis, suite};

/// The looks of one family. The places to fill stand in braces in its templates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// All header lines, in order.
    pub lines: &'static str,
    /// The Contact value.
    pub contact: &'static str,
    /// The Authorization value.
    pub authorization: &'static str,
    /// How it offers security mechanisms.
    pub dialect: Dialect,
}

const MD5_3DES: Suite = suite(Integrity::HmacMd5_96, Encryption::DesEde3Cbc);
const MD5_AES: Suite = suite(Integrity::HmacMd5_96, Encryption::AesCbc);
const MD5_NULL: Suite = suite(Integrity::HmacMd5_96, Encryption::Null);
const SHA1_3DES: Suite = suite(Integrity::HmacSha1_96, Encryption::DesEde3Cbc);
const SHA1_AES: Suite = suite(Integrity::HmacSha1_96, Encryption::AesCbc);
const SHA1_NULL: Suite = suite(Integrity::HmacSha1_96, Encryption::Null);

/// All shapes.
pub const ALL: [Shape; 6] = [PLAIN, SAMSUNG, QUALCOMM, QUALCOMM_COMPACT, HUAWEI, IPHONE];

/// The text of the specification and nothing else.
pub const PLAIN: Shape = Shape {
    name: "plain",
    lines: "Max-Forwards: 70\nFrom: <{impu}>;tag={tag}\nTo: <{impu}>\nCall-ID: {call_id}\nCSeq: {cseq} REGISTER\n\
            Contact: {contact}\nExpires: {expires}\nSupported: path\nRequire: {sec_agree}\nProxy-Require: {sec_agree}\n\
            Security-Client: {security_client}\nSecurity-Verify: {security_verify}\n\
            Authorization: {authorization}\nContent-Length: 0\n",
    contact: "<sip:{user}@{address}{transport}>;+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\"",
    authorization: "Digest username=\"{impi}\",realm=\"{realm}\",nonce=\"{nonce}\",uri=\"{uri}\",response=\"{response}\"{more}",
    dialect: Dialect {
        mechanism: "ipsec-3gpp;alg={alg};ealg={ealg};prot=esp;mod=trans;spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        separator: ",",
        after: "",
        suites: &[SHA1_AES, SHA1_NULL],
        spis: Spis::Random(256, u32::MAX),
        port_us: 45_062,
        ports_uc: &[45_061, 45_063, 45_064, 45_065],
        always: false,
    },
};

/// The same with all that a phone says that calls and texts over IMS (TS 24.173 5.1, TS 24.341 5.3.2.2).
pub const VOLTE: Shape = Shape {
    name: "volte",
    contact: "<sip:{user}@{address}{transport}>;+sip.instance=\"<urn:gsma:imei:35622410-483840-0>\";\
              +g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\";+g.3gpp.smsip;audio",
    ..PLAIN
};

/// Samsung: Security-Client with consecutive SPIs, several Supported lines.
pub const SAMSUNG: Shape = Shape {
    name: "samsung",
    lines: "Max-Forwards: 70\nContact: {contact}\nTo: <{impu}>\nFrom: <{impu}>;tag={tag}\nCall-ID: {call_id}@{ip}\n\
            CSeq: {cseq} REGISTER\nExpires: {expires}\n\
            Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, UPDATE, INFO, REFER, NOTIFY, MESSAGE, PRACK\n\
            Supported: path\nSupported: gruu, sec-agree\nRequire: sec-agree\nProxy-Require: sec-agree\n\
            Security-Client: {security_client}\nSecurity-Verify: {security_verify}\n\
            Authorization: {authorization}\nP-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000101\n\
            User-Agent: SM-G000T-00000 6.0\nContent-Length: 0\n",
    contact: "<sip:{user}@{address}{transport}>;q=1.0;+g.3gpp.smsip;\
              +g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\";audio;video;\
              +sip.instance=\"<urn:gsma:imei:35622410-483841-0>\"",
    authorization: "Digest username=\"{impi}\", realm=\"{realm}\", uri=\"{uri}\", nonce=\"{nonce}\", response=\"{response}\"{more}",
    dialect: Dialect {
        mechanism: "ipsec-3gpp;prot=esp;mod=trans;spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s};alg={alg};ealg={ealg}",
        separator: ", ",
        after: "",
        suites: &[MD5_NULL, SHA1_NULL],
        spis: Spis::Consecutive(12_001),
        port_us: 6_101,
        ports_uc: &[6_102, 6_103, 6_104, 6_105],
        always: true,
    },
};

/// Qualcomm: spaces in Security-Client and no `prot` or `mod`, a random Contact user, `algorithm` from the start.
pub const QUALCOMM: Shape = Shape {
    name: "qualcomm",
    lines: "From: <{impu}>;tag={tag}\nTo: <{impu}>\nCSeq: {cseq} REGISTER\nCall-ID: {call_id}\nMax-Forwards: 70\n\
            Contact: {contact}\nExpires: {expires}\nRequire: sec-agree\nProxy-Require: sec-agree\n\
            Supported: path,sec-agree\n\
            Security-Client: {security_client}\nSecurity-Verify: {security_verify}\n\
            P-Access-Network-Info: 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=0010100010000101\n\
            User-Agent: Vendor_Model_Android14_QC\nAuthorization: {authorization}\nContent-Length: 0\n",
    contact: "<sip:6f1f4f0e-8d8c-4c1e-9a56-0d2c4a4be001@{address}{transport}>;+g.3gpp.accesstype=\"cellular2\";\
              +sip.instance=\"<urn:gsma:imei:35622410-483842-0>\";audio;video;+g.3gpp.smsip;\
              +g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\"",
    authorization: "Digest uri=\"{uri}\",username=\"{impi}\",response=\"{response}\",realm=\"{realm}\",nonce=\"{nonce}\"{more}",
    dialect: Dialect {
        mechanism: "ipsec-3gpp; alg={alg}; ealg={ealg}; spi-c={spi_c}; spi-s={spi_s}; port-c={port_c}; port-s={port_s}",
        separator: ",",
        after: "",
        suites: &[MD5_3DES, MD5_AES, MD5_NULL, SHA1_3DES, SHA1_AES, SHA1_NULL],
        spis: Spis::Random(1_289_334_461, 3_721_934_562),
        port_us: 40_124,
        ports_uc: &[40_123, 40_125, 40_126, 40_127],
        always: true,
    },
};

/// Qualcomm with compact header names and folded, padded values.
pub const QUALCOMM_COMPACT: Shape = Shape {
    name: "qualcomm-compact",
    lines: "f: <{impu}>;tag={tag}\nt: <{impu}>\ni: {call_id}\nCSeq:   {cseq}   REGISTER\nMAX-FORWARDS : 70\n\
            m: {contact}\nExpires:{expires}\nk: path,\n  sec-agree\nRequire: {sec_agree}\nProxy-Require: {sec_agree}\n\
            Security-Client: {security_client}\nSecurity-Verify: {security_verify}\n\
            Authorization: {authorization}\nl: 0\n",
    contact: "<sip:{address}{transport}>;audio",
    authorization: "Digest nonce=\"{nonce}\",uri=\"{uri}\",response=\"{response}\",username=\"{impi}\",realm=\"{realm}\"{more}",
    dialect: Dialect {
        mechanism: "ipsec-3gpp;alg={alg};prot=esp;mod=trans;ealg={ealg};spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        separator: ",",
        after: "",
        suites: &[MD5_NULL],
        spis: Spis::Random(1_000_000, u32::MAX),
        port_us: 9_900,
        ports_uc: &[9_950, 9_951, 9_952, 9_953],
        always: false,
    },
};

/// Huawei: SHA-1 first, unordered SPIs, the expiry in the Contact only.
pub const HUAWEI: Shape = Shape {
    name: "huawei",
    lines: "To: <{impu}>\nFrom: <{impu}>;tag={tag}\nCall-ID: {call_id}\nCSeq: {cseq} REGISTER\nMax-Forwards: 70\n\
            Contact: {contact}\nUser-Agent: IM-client/OMA1.0 HW-Rto/V1.0\nSupported: path, gruu, sec-agree\n\
            Require: sec-agree\nProxy-Require: sec-agree\n\
            Security-Client: {security_client}\nSecurity-Verify: {security_verify}\n\
            Authorization: {authorization}\nContent-Length: 0\n",
    contact: "<sip:{user}@{address}{transport}>;expires={seconds};+g.3gpp.smsip;audio;\
              +sip.instance=\"<urn:gsma:imei:35622410-483843-0>\"",
    authorization: "Digest username=\"{impi}\",realm=\"{realm}\",nonce=\"{nonce}\",uri=\"{uri}\",response=\"{response}\"{more}",
    dialect: Dialect {
        mechanism: "ipsec-3gpp;alg={alg};prot=esp;mod=trans;ealg={ealg};spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        separator: ",",
        after: "",
        suites: &[SHA1_3DES, SHA1_AES, SHA1_NULL, MD5_3DES, MD5_AES, MD5_NULL],
        spis: Spis::Random(10_293_847, 93_847_562),
        port_us: 31_844,
        ports_uc: &[31_412, 31_413, 31_414, 31_415],
        always: true,
    },
};

/// Behaviour of an iPhone: no user part in the Contact, no Security-Client, many option tags.
pub const IPHONE: Shape = Shape {
    name: "iphone",
    lines: "Max-Forwards: 70\nTo: <{impu}>\nFrom: <{impu}>;tag={tag}\nCall-ID: {call_id}\nCSeq: {cseq} REGISTER\n\
            Contact: {contact}\nExpires: {expires}\nSupported: 100rel,path,replaces\nAllow: INVITE,ACK,BYE,CANCEL,OPTIONS,MESSAGE,NOTIFY\n\
            Require: {sec_agree}\nProxy-Require: {sec_agree}\n\
            Security-Client: {security_client}\nSecurity-Verify: {security_verify}\n\
            Authorization: {authorization}\nP-Access-Network-Info: 3GPP-E-UTRAN-TDD;utran-cell-id-3gpp=0010100010000102\n\
            Content-Length: 0\n",
    contact: "<sip:{address}{transport}>;+sip.instance=\"<urn:gsma:imei:35622410-483844-0>\";+g.3gpp.smsip;audio",
    authorization: "Digest username=\"{impi}\",realm=\"{realm}\",uri=\"{uri}\",nonce=\"{nonce}\",response=\"{response}\"{more}",
    dialect: Dialect {
        mechanism: "ipsec-3gpp;alg={alg};ealg={ealg};prot=esp;mod=trans;spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}",
        separator: ", ",
        after: "",
        suites: &[SHA1_AES, SHA1_NULL, MD5_NULL],
        spis: Spis::Random(256, u32::MAX),
        port_us: 61_234,
        ports_uc: &[49_301, 50_302, 51_303, 52_304],
        always: false,
    },
};

/// What a shape is filled with.
pub struct Fill<'a> {
    /// The phone.
    pub config: &'a UeConfig,
    /// What the REGISTER is for.
    pub command: Procedure,
    /// Call-ID
    pub call_id: &'a str,
    /// From tag
    pub from_tag: &'a str,
    /// CSeq
    pub cseq: u32,
    /// Authorization
    pub authorization: &'a Authorization,
    /// What it says about security
    pub said: &'a Said,
}

impl Shape {
    /// A REGISTER without Via.
    #[must_use]
    pub fn request(&self, fill: &Fill<'_>) -> String {
        let mut text = format!("REGISTER sip:{} SIP/2.0\r\n", fill.config.identity.home);
        for line in self.lines.lines() {
            let (name, _) = line.split_once(':').unwrap_or((line, ""));
            let filled = fill.text(line, self);
            let empty = filled.strip_prefix(name).is_some_and(|rest| rest.trim() == ":");
            if !empty {
                text += &filled;
                text += "\r\n";
            }
        }
        text + "\r\n"
    }
}

impl Fill<'_> {
    /// Another request from its text with places, in which lines end as in Rust.
    pub(super) fn other(&self, template: &str) -> String {
        let shape = self.config.shape;
        let lines = template.replace('\n', "\r\n");
        let (head, body) = lines.split_once("\r\n\r\n").unwrap_or((&lines, ""));
        let body = self.text(body, &shape);
        let head = head.replace("{length}", &body.len().to_string());
        format!("{}\r\n\r\n{body}", self.text(&head, &shape))
    }

    /// `template` with every `{place}` filled.
    fn text(&self, template: &str, shape: &Shape) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            out += before;
            let (place, after) = after.split_once('}').unwrap_or((after, ""));
            out += &self.value(place, shape);
            rest = after;
        }
        out + rest
    }

    fn value(&self, place: &str, shape: &Shape) -> String {
        let identity = &self.config.identity;
        match place {
            "impu" => identity.impu.clone(),
            "impi" => identity.impi.clone(),
            "user" => identity.user().to_owned(),
            "service_route" => self.said.service_route.clone(),
            "home" => identity.home.clone(),
            "uri" => format!("sip:{}", identity.home),
            "tag" => self.from_tag.to_owned(),
            "call_id" => self.call_id.to_owned(),
            "cseq" => self.cseq.to_string(),
            "address" => self.said.address.unwrap_or(self.config.local).to_string(),
            "security_client" if self.config.security.is_none() && shape.dialect.always => {
                shape.dialect.unasked()
            }
            "security_client" => self.said.client.clone(),
            "security_verify" => self.said.verify.clone(),
            "sec_agree" => self.said.sec_agree.clone(),
            "ip" => self.config.local.ip().to_string(),
            "transport" if self.config.transport == Transport::Tcp => ";transport=tcp".to_owned(),
            "transport" => String::new(),
            "seconds" => self.seconds().to_string(),
            "expires" if self.command == Procedure::Query => String::new(),
            "expires" => self.seconds().to_string(),
            "realm" => self.authorization.realm.clone(),
            "nonce" => self.authorization.nonce.clone(),
            "response" => self.authorization.response.clone(),
            "more" => self.authorization.more.clone(),
            "authorization" => self.text(shape.authorization, shape),
            "contact" => match self.command {
                Procedure::Query => String::new(),
                Procedure::DeregisterAll => "*".to_owned(),
                Procedure::Register | Procedure::Refresh | Procedure::Deregister => {
                    self.text(shape.contact, shape)
                }
            },
            _ => unreachable!("no shape has the place {place}"),
        }
    }

    const fn seconds(&self) -> u32 {
        match self.command {
            Procedure::Deregister | Procedure::DeregisterAll => 0,
            Procedure::Register | Procedure::Refresh | Procedure::Query => self.config.expires,
        }
    }
}
