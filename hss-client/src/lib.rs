//! Cx towards the HSS: commands as values, the dictionary behind them, and the client.
//!
//! * [`cx`] has [`cx::Uar`] … [`cx::Ppa`], [`cx::CxResult`], [`cx::CxInput`], [`cx::CxOutput`]
//! * [`client`] has [`client::HssClient`]
//! * [`user_data`] has [`user_data::ImsSubscription`], what a SAA or a PPR carries
//! * [`with_hss`] has [`with_hss::CxUser`] and [`with_hss::WithHss`], which joins a CSCF and the client
#![warn(missing_docs)]

pub mod client;
pub mod cx;
mod push;
pub mod user_data;
pub mod with_hss;
