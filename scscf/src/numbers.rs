//! Engine: what number a Request-URI names, as a global one if the dial plan tells (TS 24.229 5.4.3.2, RFC 3966).
//!
//! | Request-URI | is |
//! | --- | --- |
//! | `tel:+…`, `sip:+…@home` | global |
//! | `tel:…`, `…;phone-context=` home domain, one below it, or `+` our country code; `sip:…@home;user=phone` | by the dial plan |
//! | `…;phone-context=+…` of elsewhere | global: context and number |
//! | `…;phone-context=` another domain | local to others |
//! | `sip:digits@home` | global if the dial plan says so, else a name; an IMSI is a name |
//! | anything else | a name |

use std::fmt::{self, Write};

use ims_common::sip::{Scheme, Uri};
use ims_common::telemetry::redact::Redacted;

use crate::config::NumbersConfig;

/// Digits of a global number, at most (E.164).
const GLOBAL_DIGITS_MAX: usize = 15;
/// Characters of a number, parameters included, at most.
const LENGTH_MAX: usize = 256;

/// Parameters of a number that are read.
const PARAMETERS_MAX: usize = 16;

/// What a Request-URI names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Number {
    /// An E.164 number.
    Global(GlobalNumber),
    /// A number that means something only in its context: a service number, or one of another network.
    Local(LocalNumber),
    /// Digits are missing: 484.
    Incomplete,
    /// A name, or no identity at all.
    Name,
}

/// An E.164 number and what is known of its portability.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct GlobalNumber {
    digits: String,
    /// `;name=value` for each parameter but the context.
    parameters: String,
    routing_number: Option<String>,
}

/// Digits, `*` and `#` without visual separators.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct LocalNumber {
    pub(crate) digits: String,
    /// The domain or prefix in which it is valid; `None` is the home network.
    pub(crate) context: Option<String>,
}

impl GlobalNumber {
    /// Without `+`.
    pub(crate) fn digits(&self) -> &str {
        &self.digits
    }

    /// `tel:+…` with its parameters, `rn` and `npdi` among them.
    pub(crate) fn to_tel(&self) -> String {
        format!("tel:+{}{}", self.digits, self.parameters)
    }

    /// The routing number of a query that has been made (`rn` with `npdi`, RFC 4694 4), with its `+`.
    pub(crate) fn routing_number(&self) -> Option<&str> {
        self.routing_number.as_deref()
    }
}

impl fmt::Debug for GlobalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GlobalNumber({})", Redacted(self.to_tel()))
    }
}

impl fmt::Debug for LocalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalNumber({})", Redacted(self.digits.as_str()))
    }
}

/// Reads numbers by the dial plan of the home network.
#[derive(Clone, Debug)]
pub(crate) struct Normaliser {
    plan: NumbersConfig,
    home_realm: String,
    /// What IMSIs of the home network begin with.
    imsi_prefixes: Vec<String>,
}

/// A telephone-subscriber (RFC 3966 3): the number without separators, and its parameters.
struct Subscriber<'a> {
    number: String,
    parameters: &'a str,
}

impl Normaliser {
    pub(crate) fn new(plan: &NumbersConfig, home_realm: &str) -> Self {
        Self {
            plan: plan.clone(),
            home_realm: home_realm.to_ascii_lowercase(),
            imsi_prefixes: imsi_prefixes(home_realm).unwrap_or_default(),
        }
    }

    /// What a Request-URI names.
    pub(crate) fn read(&self, uri: &Uri<'_>) -> Number {
        let Some(Ok(user)) = uri
            .user()
            .filter(|user| user.len() <= LENGTH_MAX)
            .map(std::str::from_utf8)
        else {
            return Number::Name;
        };
        match uri.scheme() {
            Scheme::Tel => {
                let parameters = std::str::from_utf8(uri.params().as_bytes()).unwrap_or_default();
                match parameters.len() <= LENGTH_MAX {
                    true => self.of_subscriber(&Subscriber::new(user, parameters)),
                    false => Number::Name,
                }
            }
            Scheme::Sip | Scheme::Sips if self.is_home(&uri.host().to_string()) => {
                let (number, parameters) = user.split_once(';').unwrap_or((user, ""));
                let subscriber = Subscriber::new(number, parameters);
                let phone = uri.param("user").flatten();
                if phone.is_some_and(|phone| phone.eq_ignore_ascii_case(b"phone")) {
                    return self.of_subscriber(&subscriber);
                }
                self.of_name(&subscriber)
            }
            _ => Number::Name,
        }
    }

    fn is_home(&self, host: &str) -> bool {
        host.trim_end_matches('.').eq_ignore_ascii_case(&self.home_realm)
    }

    /// A user part that nobody calls a number: only what is certainly one counts.
    fn of_name(&self, subscriber: &Subscriber<'_>) -> Number {
        let number = &subscriber.number;
        let mut prefixes = self.imsi_prefixes.iter();
        let is_imsi = prefixes.any(|prefix| number.starts_with(prefix));
        if is_imsi && matches!(number.len(), 14 | 15) {
            return Number::Name;
        }
        match self.of_subscriber(subscriber) {
            Number::Global(global) => Number::Global(global),
            _ => Number::Name,
        }
    }

    fn of_subscriber(&self, subscriber: &Subscriber<'_>) -> Number {
        let number = &subscriber.number;
        if let Some(global) = number.strip_prefix('+') {
            return self.global(global, subscriber);
        }
        if !is_local(number) {
            return Number::Name;
        }
        let Some(context) = subscriber.parameter("phone-context") else {
            return self.dialled(subscriber);
        };
        let is_ours = match context.strip_prefix('+') {
            Some(prefix) => self.plan.country_code.as_deref() == Some(&without_separators(prefix)),
            None => self.is_home_context(context),
        };
        if is_ours {
            return self.dialled(subscriber);
        }
        match context.strip_prefix('+') {
            // RFC 3966 5.1.5 promises no more than uniqueness, but this is how it is used.
            Some(prefix) if is_digits(number) => {
                self.global(&format!("{}{number}", without_separators(prefix)), subscriber)
            }
            _ => Number::Local(LocalNumber {
                digits: number.clone(),
                context: Some(context.to_ascii_lowercase()),
            }),
        }
    }

    /// The home domain, or a domain below it: a number of the access network that the UE is in
    /// (TS 24.229 7.2A.10.3).
    fn is_home_context(&self, context: &str) -> bool {
        let context = context.trim_end_matches('.').to_ascii_lowercase();
        context
            .strip_suffix(&self.home_realm)
            .is_some_and(|access| access.is_empty() || access.ends_with('.'))
    }

    /// As a subscriber of the home network dials.
    fn dialled(&self, subscriber: &Subscriber<'_>) -> Number {
        let (plan, number) = (&self.plan, subscriber.number.as_str());
        let local = || {
            Number::Local(LocalNumber {
                digits: number.to_owned(),
                context: None,
            })
        };
        let Some(country) = plan.country_code.as_deref().filter(|_| is_digits(number)) else {
            return local();
        };
        let is_dialled = |prefix: &str| !prefix.is_empty() && number.starts_with(prefix);
        if is_dialled(&plan.international_prefix) {
            let abroad = number.get(plan.international_prefix.len()..);
            return self.global(abroad.unwrap_or_default(), subscriber);
        }
        let national = |digits: &str| self.global(&format!("{country}{digits}"), subscriber);
        let has_national_length = |digits: &str| plan.national_digits.is_none_or(|n| n == digits.len());
        if is_dialled(&plan.national_prefix) {
            let rest = number.get(plan.national_prefix.len()..).unwrap_or_default();
            if rest.is_empty() {
                return Number::Incomplete;
            }
            if has_national_length(rest) {
                return national(rest);
            }
        }
        if plan.national_digits == Some(number.len()) {
            return national(number);
        }
        if number.len() <= plan.short_digits {
            return local();
        }
        match &plan.area_code {
            Some(area) => national(&format!("{area}{number}")),
            None if plan.national_prefix.is_empty() && plan.national_digits.is_none() => national(number),
            None => local(),
        }
    }

    fn global(&self, digits: &str, subscriber: &Subscriber<'_>) -> Number {
        if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.len() > GLOBAL_DIGITS_MAX {
            return Number::Name;
        }
        if digits.len() < self.plan.digits_min {
            return Number::Incomplete;
        }
        let mut parameters = String::new();
        for (name, value) in subscriber.parameters() {
            if !name.eq_ignore_ascii_case("phone-context") {
                // Writing to a String does not fail.
                let _ = write!(parameters, ";{name}");
                let _ = value.map(|value| write!(parameters, "={value}"));
            }
        }
        Number::Global(GlobalNumber {
            digits: digits.to_owned(),
            parameters,
            routing_number: subscriber.routing_number(),
        })
    }
}

impl<'a> Subscriber<'a> {
    fn new(number: &str, parameters: &'a str) -> Self {
        Self {
            // Of what may stand in a number, only these are ever written as escapes.
            number: without_separators(&number.replace("%2B", "+").replace("%2b", "+").replace("%23", "#")),
            parameters,
        }
    }

    fn parameters(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let all = self.parameters.split(';').map(str::trim).take(PARAMETERS_MAX);
        all.map(|parameter| match parameter.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (parameter, None),
        })
        .filter(|(name, value)| is_name(name) && value.is_none_or(is_value))
    }

    fn parameter(&self, wanted: &str) -> Option<&'a str> {
        let mut all = self.parameters();
        all.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?.1
    }

    /// `rn`, global by itself or by its context, when `npdi` says that it is the answer of a query.
    fn routing_number(&self) -> Option<String> {
        let dipped = self
            .parameters()
            .any(|(name, _)| name.eq_ignore_ascii_case("npdi"));
        let number = without_separators(self.parameter("rn").filter(|_| dipped)?);
        let digits = number.strip_prefix('+').unwrap_or(&number);
        if !is_digits(digits) || number.len() > 2 * GLOBAL_DIGITS_MAX {
            return None;
        }
        let context = self
            .parameter("rn-context")
            .and_then(|context| context.strip_prefix('+'));
        Some(match context.filter(|_| !number.starts_with('+')) {
            Some(prefix) => format!("+{}{number}", without_separators(prefix)),
            None => number,
        })
    }
}

/// RFC 3966 3 `pname`
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// RFC 3966 3 `pvalue`
fn is_value(text: &str) -> bool {
    let is_mark = |b: u8| b"[]/:&+$-_.!~*'()%".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || is_mark(b))
}

/// RFC 3966 5.1.1
fn without_separators(number: &str) -> String {
    number
        .chars()
        .filter(|c| !matches!(c, '-' | '.' | '(' | ')'))
        .collect()
}

fn is_digits(number: &str) -> bool {
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// RFC 3966 3 `local-number-digits`, but for hexadecimal digits: no phone has them.
fn is_local(number: &str) -> bool {
    !number.is_empty()
        && number
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
}

/// MCC and MNC of `ims.mncNNN.mccNNN.3gppnetwork.org` (TS 23.003 13.2). An MNC of two digits is written with a zero
/// before it, so a zero there may or may not be one.
fn imsi_prefixes(home_realm: &str) -> Option<Vec<String>> {
    let mut labels = home_realm.split('.').skip(1);
    let mnc = labels.next()?.strip_prefix("mnc").filter(|mnc| is_digits(mnc))?;
    let mcc = labels.next()?.strip_prefix("mcc").filter(|mcc| is_digits(mcc))?;
    let short = mnc.strip_prefix('0').unwrap_or(mnc);
    Some(vec![format!("{mcc}{mnc}"), format!("{mcc}{short}")])
}

#[cfg(test)]
mod tests;
