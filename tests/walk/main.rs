//! The program as its users have it: the binary in a process of its own, a Redis or none, a node, a receiver.
//!
//! [`walk`] is the way of one call through one room, and every other module goes it under some misfortune. Nothing
//! here looks inside the program: what is asserted is what the API answers, what the receiver gets, and what
//! FreeSWITCH itself says.
// All of it is a test, also what the lint cannot know to be one.
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
mod stop;
mod walk;
mod webhooks;
