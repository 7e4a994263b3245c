//! Telling the apps: from the outbox to their receivers.
//!
//! Owns the body, the signature, the schedule of attempts, which addresses may be called, and the worker that
//! delivers. Leaves out what is told (the pure core), and that it is told exactly when it happened (the commit).
//!
//! ```text
//! commit ─→ outbox ─(match endpoints)→ one queue an endpoint and room or call ─(claim head, POST, finish)→ receiver
//! ```
//!
//! Delivery is at least once, under an id that never changes, in order within a queue and side by side between
//! queues. Both steps are safe to repeat, so any number of replicas may run a worker for the same node.

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
