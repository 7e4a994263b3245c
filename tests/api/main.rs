//! The HTTP APIs from outside: every documented answer, every status in the one envelope.
//!
//! The controller is a double that records what it is asked and answers as scripted; the store is the one in memory.
// All of it is a test, also what the lint cannot know to be one.
#![allow(clippy::unwrap_used)]

mod admin;
mod apps;
mod bad_input;
mod commands;
mod console;
mod create;
#[path = "../support/store_behind.rs"]
#[macro_use]
mod store_behind;

mod events;
mod faulty;
mod limits;
mod lists;
mod moderation;
mod nodes;
mod observed;
mod openapi;
mod playback;
mod playback_limits;
mod rooms;
mod voipbin;
mod webhooks;
mod wire;
mod world;
