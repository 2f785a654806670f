//! Testkit: the embedded HSS.
//!
//! * [`Subscriber`]: what it knows about a user
//! * [`cx::Subscribers`]: what it answers

pub mod cx;
pub mod profile_xml;
mod subscribers;

pub use cx::{DiameterClient, RegistrationState, Subscribers};
pub use subscribers::{Subscriber, SubscriberConfig, TEST_K, TEST_OPC};
