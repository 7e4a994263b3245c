//! The reconciler over a simulated node: its actor, its orders, its lease, in one process, so that a store can be made to
//! fail where a test says.
// All of it is a test, also what the lint cannot know to be one.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod board;
mod fence;
mod lease;
mod lookout;
mod paced;
mod panics;
mod quarantine;
mod replicas;
#[path = "../support/store_behind.rs"]
#[macro_use]
mod store_behind;

mod table;
mod tampered;
mod timeout;
mod turns;
mod vouched;
mod wiped;
mod world;
