//! The reconciler with a simulated node in one process: its actor, its switch commands and its lease, on a store that fails
//! on request.
// The whole crate is test code, which the lint cannot know.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod fence;
mod lease;
mod node_status;
mod paced;
mod panics;
mod quarantine;
mod relay;
mod replicas;
mod resync_limiter;
#[path = "../support/store_behind.rs"]
#[macro_use]
mod store_behind;

mod decided;
mod store_poller;
mod table;
mod tampered;
mod timeout;
mod wiped;
mod world;
