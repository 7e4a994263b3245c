//! The HTTP APIs: every documented response, every error status in the common envelope.
//!
//! The controller is a double that records intents and returns scripted results; the store is in memory.
// The whole file is a test, but the lint does not recognize helpers as such.
#![allow(clippy::unwrap_used)]

mod admin;
mod app_changes;
mod apps;
mod audit;
mod bad_input;
mod bulk;
mod calls;
mod commands;
mod console;
mod create;
#[path = "../support/store_behind.rs"]
#[macro_use]
mod store_behind;

mod events;
mod faulty;
mod index;
mod limits;
mod lists;
mod member_audio;
mod moderation;
mod nodes;
mod observed;
mod openapi;
mod operator;
mod playback;
mod playback_limits;
mod recordings;
mod rooms;
mod say;
mod settings;
mod voipbin;
mod webhooks;
mod wire;
mod world;
