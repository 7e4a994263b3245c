//! Roomkeeper, a conference controller for FreeSWITCH.
#![warn(missing_docs)]

pub mod api;
pub mod app;
pub mod config;
pub mod esl;
pub mod ids;
pub mod lab;
pub mod node;
pub mod play_url;
pub mod reconciler;
pub mod room;
pub mod session;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod webhook;
