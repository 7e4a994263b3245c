//! The HTTP APIs: parse, authorise, one domain call, render.
//!
//! Owns the requests, their authorisation, and the form of every response. Leaves out the effects of a request:
//! [`Controller`] changes the state, and [`Store`] reads it.
//!
//! # The order of checks
//!
//! | check | response | where |
//! |---|---|---|
//! | form of the head | 400, 408, 414, 431 | `listen`; answered by `middleware` |
//! | too many wrong keys from an address | 429 | `auth::Attempt`; a key that was valid from there before passes |
//! | authentication | 401 | `auth::Caller`, the first extractor of every handler, before the body is received |
//! | the app's rate limit | 429 | `rate_limit`: the end of `auth::Caller`, so that it counts every request |
//! | backpressure of the webhook queues | 503 | `auth`: `ApiState::admit`, after it, for changes |
//! | the app's quota of bytes | 413, 429 | `quota`, after it, for requests that add data |
//! | syntax: path, query, body | 400, 413, 415 | the extractors after it, then the handler's own parsing |
//! | existence | 404 | reads: `ownership`, `find_*`; changes: [`Controller::check`] and [`Controller::submit`] |
//! | ownership | 403 | the same: `ownership`, `own_*`, or the controller |
//! | idempotency key (`command_uid`) | the first response, 409 | `idempotency`, in `gateway::command` |
//! | slow checks of the request | 400 | in `gateway::command`: host names of files to play are resolved |
//! | state | 409 | the controller |
//! | cooldown | 429 | `cooldown`, in `gateway::command` |
//! | the command | 404, 502, 503, 504 | [`Controller::submit`] |
//!
//! `gateway::command` has the order from existence on as one function. A node that is down gives 503 only if all
//! other checks pass.
//!
//! Unknown paths and wrong methods get 404 and 405 before authentication: these reveal nothing beyond the
//! documentation.
//!
//! # Reading requests
//!
//! Unknown fields of a body and unknown parameters of a query are ignored, so that a newer client can talk to an
//! older server. A known field of a wrong type gives 400 with its name. A `null` field counts as omitted. A body may
//! be omitted if no field is required; the `Content-Type` of a body is `application/json` or missing.
//!
//! [`Controller`]: crate::reconciler::Controller
//! [`Controller::check`]: crate::reconciler::Controller::check
//! [`Controller::submit`]: crate::reconciler::Controller::submit
//! [`Store`]: crate::store::Store

mod admin;
mod auth;
mod body;
mod console;
pub mod cooldown;
mod cursor;
mod dial_slots;
mod error;
mod events;
mod gateway;
pub mod idempotency;
mod index;
pub mod listen;
mod lists;
mod middleware;
mod openapi;
mod ownership;
mod placement;
mod quota;
pub mod rate_limit;
mod request;
mod server;
mod state;
mod voipbin;
mod webhooks;

pub use crate::media::PlayRules;
pub use admin::{AdminState, admin_document, admin_router};
pub use cursor::CursorKey;
pub use events::{Hub, StreamSettings};
pub use middleware::site::AllowedHosts;
pub use quota::Quota;
pub use server::{document, router};
pub use state::{ApiSettings, ApiState, IdSource};
