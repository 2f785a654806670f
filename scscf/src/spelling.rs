//! Engine: whether an identity may be a registered one as an HSS reads it.
//!
//! Some HSSs find a public identity by its user part alone, with or without the plus of a global number, and
//! take any SAR that is no registration as the end of the registration (TS 29.228 6.1.2 says otherwise). A
//! notice about an identity that nobody has proved to own must not name a registered one in another spelling.

use ims_common::identity::Impu;

use crate::registrar::Registrar;

/// Whether `impu`, or the same user in the home network or as a number, has a contact here.
pub(crate) fn may_mean_a_registered_one(registrar: &Registrar, home_realm: &str, impu: &Impu) -> bool {
    let user = impu.user().unwrap_or_default();
    let others = [format!("sip:{user}@{home_realm}"), format!("tel:{user}")];
    let others = others.iter().filter_map(|text| Impu::parse(text).ok());
    std::iter::once(impu.clone())
        .chain(others)
        .flat_map(with_or_without_plus)
        .any(|spelling| registrar.has(&spelling))
}

/// An identity and its other spelling: some HSSs list numbers without the plus of a global number.
pub(crate) fn with_or_without_plus(impu: Impu) -> impl Iterator<Item = Impu> {
    let other = impu.as_str().split_once(':').and_then(|(scheme, rest)| {
        let text = match rest.strip_prefix('+') {
            Some(digits) => format!("{scheme}:{digits}"),
            None if rest.starts_with(|c: char| c.is_ascii_digit()) => format!("{scheme}:+{rest}"),
            None => return None,
        };
        Impu::parse(&text).ok()
    });
    std::iter::once(impu).chain(other)
}
