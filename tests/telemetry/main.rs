//! Metrics, log and traces of a process, the dashboard and the alert rules.
//!
//! The tests see what a scraper, a reader of the log and a collector receive, and check that dashboard and alert rules use
//! existing metrics.
// The whole crate is test code, which the lint cannot know.
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
