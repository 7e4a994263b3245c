//! Roomkeeper, a conference controller for FreeSWITCH: it knows which calls are in which room, does what applications
//! ask over HTTP, and tells them by webhook what became of it.
//!
//! This is the page for those who read or change the code. How to run it, its API and its configuration are in
//! `README.md` and `docs/`. Good places to begin:
//!
//! - [`roomkeeper_core::room`]: the rules, and the tables of them;
//! - [`roomkeeper_core::node_state`]: how rooms and calls act on each other;
//! - [`reconciler`]: where FreeSWITCH's events and callers' intents meet;
//! - [`store::Store`]: what storage promises;
//! - [`freeswitch_sim`]: the simulated node that the tests and the lab run on.
//!
#![doc = include_str!("ARCHITECTURE.md")]
#![warn(missing_docs)]

pub mod admin_key;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod lab;
pub mod media;
pub mod node;
pub mod reconciler;
pub mod shutdown;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod tenants;
pub mod tls;
pub mod webhook;
