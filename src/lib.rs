//! Roomkeeper, a conference controller for FreeSWITCH: it knows which calls are in which room, does what applications
//! ask over HTTP, and tells them by webhook what became of it.
//!
//! This is the page for those who read or change the code. How to run it, its API and its configuration are in
//! `README.md`. Good places to begin:
//!
//! - [`room`]: the rules, and the tables of them;
//! - [`reconciler::belief`]: how rooms and calls act on each other;
//! - [`reconciler`]: where FreeSWITCH's events and callers' intents meet;
//! - [`store::Store`]: what storage promises;
//! - [`sim`]: the simulated node that the tests and the lab run on.
//!
#![doc = include_str!("ARCHITECTURE.md")]
#![warn(missing_docs)]

pub mod action;
pub mod admin_key;
pub mod api;
pub mod app;
pub mod bench;
pub mod cli;
pub mod config;
pub mod console;
pub mod esl;
pub mod ids;
pub mod lab;
pub mod listen;
pub mod media;
pub mod node;
pub mod play_url;
pub mod reconciler;
pub mod room;
pub mod session;
pub mod sim;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod webhook;
