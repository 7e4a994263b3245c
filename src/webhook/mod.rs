//! Webhooks: from the outbox to the apps' receivers.
//!
//! Owns the body, the signature, the retry schedule, the rules for addresses, and the worker that delivers. Leaves out
//! the events (the pure core) and their atomicity with the state (the commit).
//!
//! ```text
//! commit ─→ outbox ─(match endpoints)→ one queue per endpoint and room or call ─(claim head, POST, finish)→ receiver
//! ```
//!
//! Delivery is at least once, under a constant id, in order within a queue and concurrent between queues. Both steps
//! can be repeated, so any number of replicas may run a worker for the same node.

pub mod backpressure;
mod bounded;
mod breaker;
pub mod endpoint;
pub mod guard;
pub mod payload;
pub mod schedule;
pub mod sender;
pub mod sign;
pub mod worker;
