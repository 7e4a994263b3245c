//! What the program tells of itself: metrics, log and traces of a process, and what is made of them.
//!
//! Nothing here looks inside the program: what is asserted is what a scraper, a reader of the log and a collector get, and
//! that dashboard and alert rules name what there is.
// All of it is a test, also what the lint cannot know to be one.
#![allow(clippy::unwrap_used)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod dashboard;
mod log;
mod metrics;
mod page;
#[cfg(feature = "otlp")]
mod traces;
