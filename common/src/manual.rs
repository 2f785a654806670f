//! Lists: the manual, as chapters of the documentation.

#[doc = include_str!("manual/architecture.md")]
pub mod architecture {}

#[doc = include_str!("manual/cdr.md")]
pub mod cdr {}

#[doc = include_str!("manual/troubleshooting.md")]
pub mod troubleshooting {}

#[doc = include_str!("manual/doctor.md")]
pub mod doctor {}

#[doc = include_str!("manual/guide.md")]
pub mod guide {}

#[doc = include_str!("manual/guide_services.md")]
pub mod guide_services {}

#[doc = include_str!("manual/handsets.md")]
pub mod handsets {}

#[doc = include_str!("manual/imsctl.md")]
pub mod imsctl {}

#[doc = include_str!("manual/ipsec.md")]
pub mod ipsec {}

#[doc = include_str!("manual/admin_api.md")]
pub mod admin_api {}

#[doc = include_str!("manual/isim_cards.md")]
pub mod isim_cards {}

#[doc = include_str!("manual/metrics.md")]
pub mod metrics {}

#[doc = include_str!("manual/protection.md")]
pub mod protection {}

#[doc = include_str!("manual/registration.md")]
pub mod registration {}

#[doc = include_str!("manual/reload.md")]
pub mod reload {}

#[doc = include_str!("manual/sessions.md")]
pub mod sessions {}
