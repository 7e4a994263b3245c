//! The program as its users run it: the binary in its own process, Redis or memory, a node, a receiver.
//!
//! [`walk`] takes one call through one room, and every other module does so under some fault. Tests do not access the
//! program's internals: they assert the API's answers, the receiver's webhooks, and FreeSWITCH's reports.
// The whole target is a test, including parts that the lint does not recognize.
#![allow(clippy::unwrap_used)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod bench;
mod events;
mod faults;
mod freeswitch;
mod hostile;
mod kills;
mod lab;
mod limits;
mod node;
mod operate;
mod paging;
mod play_urls;
mod playback;
mod recovery;
mod stop;
mod walk;
mod webhooks;
