//! Testkit: keys and vectors as they are typed.

use std::str::FromStr;

use ims_common::aka::Secret;
use ims_common::aka::hex::from_hex;

use crate::hss::{Subscriber, SubscriberKeys};
use crate::milenage::{Milenage, Sqn};

/// What a card and its HSS should have.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Where they come from, behind "the keys": `given`, `of hss.yaml`.
    pub whose: String,
    /// K
    pub k: Secret<[u8; 16]>,
    /// OP or OPc.
    pub operator: Operator,
    /// AMF that the HSS is to use; any when absent.
    pub amf: Option<[u8; 2]>,
    /// Where the HSS begins when it starts, by its file.
    pub sqn: Option<Sqn>,
}

/// What Milenage takes beside K.
#[derive(Clone, Debug)]
pub enum Operator {
    /// The operator's value.
    Op(Secret<[u8; 16]>),
    /// The one made of it for this K (TS 35.206 4.1).
    Opc(Secret<[u8; 16]>),
}

impl Keys {
    /// Those that an HSS has for a subscriber; none of one with a password.
    #[must_use]
    pub fn of_subscriber(subscriber: &Subscriber, file: &str) -> Option<Self> {
        let SubscriberKeys { k, opc, amf, sqn } = subscriber.keys()?;
        Some(Self {
            whose: format!("of {file}"),
            k,
            operator: Operator::Opc(opc),
            amf: Some(amf),
            sqn: Some(sqn),
        })
    }

    /// OPc as they say it.
    #[must_use]
    pub fn opc(&self) -> Secret<[u8; 16]> {
        match &self.operator {
            Operator::Opc(opc) => opc.clone(),
            Operator::Op(op) => Secret::new(Milenage::opc(self.k.expose(), op.expose())),
        }
    }
}

/// What an HSS gives out for one authentication: RAND and AUTN, maybe more.
#[derive(Clone, Debug)]
pub struct Vector {
    /// RAND
    pub rand: [u8; 16],
    /// AUTN
    pub autn: [u8; 16],
    /// XRES
    pub xres: Option<Secret<Vec<u8>>>,
    /// CK
    pub ck: Option<Secret<[u8; 16]>>,
    /// IK
    pub ik: Option<Secret<[u8; 16]>>,
}

impl Vector {
    /// A challenge alone.
    #[must_use]
    pub const fn challenge(rand: [u8; 16], autn: [u8; 16]) -> Self {
        Self {
            rand,
            autn,
            xres: None,
            ck: None,
            ik: None,
        }
    }

    /// AMF, which is not hidden.
    #[must_use]
    pub const fn amf(&self) -> [u8; 2] {
        let [_, _, _, _, _, _, high, low, ..] = self.autn;
        [high, low]
    }
}

/// A text is not what it should be. It does not say the text: it may be a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadInput {
    /// RAND, AUTN, K, OP, OPc, CK or IK.
    #[error("{0} has 32 hex digits")]
    Sixteen(&'static str),
    /// XRES
    #[error("XRES has 8 to 32 hex digits")]
    Xres,
    /// AMF
    #[error("AMF has 4 hex digits")]
    Amf,
    /// SQN
    #[error("SQN is a decimal number below 2^48, or 12 hex digits after 0x")]
    Sqn,
    /// A vector.
    #[error("a vector is RAND,AUTN or RAND,AUTN,XRES or RAND,AUTN,XRES,CK,IK, in hex")]
    Vector,
}

/// A value of sixteen octets.
///
/// # Errors
/// When it has not 32 hex digits.
pub fn key(name: &'static str, text: &str) -> Result<[u8; 16], BadInput> {
    from_hex(text.trim())
        .and_then(|octets| octets.try_into().ok())
        .ok_or(BadInput::Sixteen(name))
}

/// AMF.
///
/// # Errors
/// When it has not four hex digits.
pub fn amf(text: &str) -> Result<[u8; 2], BadInput> {
    from_hex(text.trim())
        .and_then(|octets| octets.try_into().ok())
        .ok_or(BadInput::Amf)
}

/// SQN of 48 bits, as HSSs show it: a decimal number, or hex after `0x`.
///
/// # Errors
/// When it is no such number.
pub fn sqn(text: &str) -> Result<Sqn, BadInput> {
    let number = match text.trim().strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.trim().parse(),
    };
    match number {
        Ok(number) if number < 1 << 48 => Ok(Sqn::new(number)),
        _ => Err(BadInput::Sqn),
    }
}

impl FromStr for Vector {
    type Err = BadInput;

    fn from_str(text: &str) -> Result<Self, BadInput> {
        let parts: Vec<_> = text.split(',').map(str::trim).collect();
        let (rand, autn, rest) = match parts.as_slice() {
            [rand, autn, rest @ ..] => (*rand, *autn, rest),
            _ => return Err(BadInput::Vector),
        };
        let mut vector = Self::challenge(key("RAND", rand)?, key("AUTN", autn)?);
        let (xres, keys) = match rest {
            [] => return Ok(vector),
            [xres] => (*xres, None),
            [xres, ck, ik] => (*xres, Some((*ck, *ik))),
            _ => return Err(BadInput::Vector),
        };
        let xres = from_hex(xres).filter(|octets| (4..=16).contains(&octets.len()));
        vector.xres = Some(Secret::new(xres.ok_or(BadInput::Xres)?));
        if let Some((ck, ik)) = keys {
            vector.ck = Some(Secret::new(key("CK", ck)?));
            vector.ik = Some(Secret::new(key("IK", ik)?));
        }
        Ok(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_two_three_or_five_parts() {
        let part = "00112233445566778899aabbccddeeff";
        let parse = |text: String| text.parse::<Vector>();
        let short = parse(format!("{part},{part}")).unwrap();
        assert!(short.xres.is_none() && short.amf() == [0x66, 0x77]);
        assert!(
            parse(format!("{part}, {part}, 0011223344556677"))
                .unwrap()
                .xres
                .is_some()
        );
        let whole = parse(format!("{part},{part},0011223344556677,{part},{part}")).unwrap();
        assert_eq!(whole.ik.unwrap().expose()[15], 0xFF);
        for (text, error) in [
            (part.to_owned(), BadInput::Vector),
            (format!("{part},{part},00112233,{part}"), BadInput::Vector),
            (format!("{part},00"), BadInput::Sixteen("AUTN")),
            (format!("{part},{part},00"), BadInput::Xres),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
    }

    #[test]
    fn sqn_is_a_number_of_48_bits() {
        assert_eq!(sqn("33"), Ok(Sqn::of(1, 1)));
        assert_eq!(sqn("0x000000000021"), Ok(Sqn::of(1, 1)));
        for wrong in ["", "-1", "281474976710656", "0xg"] {
            assert_eq!(sqn(wrong), Err(BadInput::Sqn));
        }
        assert_eq!(amf("8000"), Ok([0x80, 0]));
        assert_eq!(amf("80"), Err(BadInput::Amf));
    }
}
