//! Metrics, log and traces of a process, the dashboard and the alert rules.
//!
//! The tests see the output of a scrape, the log and a collector, and check that dashboard and alert rules use existing
//! metrics.
// The whole crate is test code, which the lint does not recognize.
#![allow(clippy::unwrap_used)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod dashboard;
mod log;
mod metrics;
mod outages;
mod page;
#[cfg(feature = "otlp")]
mod traces;
