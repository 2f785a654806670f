//! Testkit: a Diameter message in one line of a ladder, read without the project's own codec.

use bytes::Bytes;

/// AVPs that group others and are looked into.
const GROUPED: [u32; 4] = [297, 603, 612, 615];

pub(super) fn summary(bytes: &Bytes) -> Option<(String, String)> {
    let request = bytes.get(4)? & 0x80 != 0;
    let code = be24(bytes.get(5..8)?);
    let name = match code {
        257 => "CE",
        280 => return None,
        282 => "DP",
        300 => "UA",
        301 => "SA",
        302 => "LI",
        303 => "MA",
        304 => "RT",
        305 => "PP",
        _ => "?",
    };
    let mut details = Vec::new();
    avps(bytes.get(20..)?, &mut details);
    Some((
        format!("{name}{}", if request { 'R' } else { 'A' }),
        details.join(" "),
    ))
}

/// The Origin-Host of a message.
#[must_use]
pub fn origin_host(bytes: &Bytes) -> Option<String> {
    let mut rest = bytes.get(20..)?;
    while let Some((code, value, next)) = avp(rest) {
        if code == 264 {
            return String::from_utf8(value.to_vec()).ok();
        }
        rest = next;
    }
    None
}

fn avps(mut rest: &[u8], details: &mut Vec<String>) {
    while let Some((code, value, next)) = avp(rest) {
        rest = next;
        if GROUPED.contains(&code) {
            avps(value, details);
            continue;
        }
        details.extend(detail(code, value));
    }
}

/// Code and value of the first AVP, and what follows it.
fn avp(rest: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let code = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
    let length = be24(rest.get(5..8)?) as usize;
    let head = if rest.get(4)? & 0x80 == 0 { 8 } else { 12 };
    let value = rest.get(head..length)?;
    let next = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((code, value, next))
}

fn detail(code: u32, value: &[u8]) -> Option<String> {
    let number = || value.try_into().map(u32::from_be_bytes).ok();
    Some(match code {
        268 => format!("result={}", number()?),
        298 => format!("experimental={}", number()?),
        273 => format!("cause={}", number()?),
        602 => format!("server={}", String::from_utf8_lossy(value)),
        604 => format!("mandatory-capability={}", number()?),
        606 => "user-data".to_owned(),
        608 => format!("scheme={}", String::from_utf8_lossy(value)),
        610 if value.len() == 30 => "rand|auts".to_owned(),
        614 => format!("assignment={}", assignment(number()?)),
        616 => format!("reason={}", number()?),
        623 => format!(
            "authorization={}",
            ["REGISTRATION", "DE_REGISTRATION", "CAPABILITIES"].get(number()? as usize)?
        ),
        624 if number()? == 1 => "user-data-already-available".to_owned(),
        _ => return None,
    })
}

/// Names of TS 29.229 6.3.15.
fn assignment(number: u32) -> &'static str {
    match number {
        0 => "NO_ASSIGNMENT",
        1 => "REGISTRATION",
        2 => "RE_REGISTRATION",
        3 => "UNREGISTERED_USER",
        4 => "TIMEOUT_DEREGISTRATION",
        5 => "USER_DEREGISTRATION",
        6 => "TIMEOUT_DEREGISTRATION_STORE_SERVER_NAME",
        7 => "USER_DEREGISTRATION_STORE_SERVER_NAME",
        8 => "ADMINISTRATIVE_DEREGISTRATION",
        9 => "AUTHENTICATION_FAILURE",
        10 => "AUTHENTICATION_TIMEOUT",
        11 => "DEREGISTRATION_TOO_MUCH_DATA",
        _ => "?",
    }
}

fn be24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
