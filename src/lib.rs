//! Roomkeeper, a conference controller for FreeSWITCH: it tracks which calls are in which room, executes the commands of
//! applications over HTTP, and reports every change by webhook.
//!
//! This page is for readers of the code. `README.md` and `docs/` describe how to run it, its APIs and its configuration.
//! Good places to start:
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
pub mod audit;
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
