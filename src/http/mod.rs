//! The HTTP APIs: parse, authorise, one domain call, render.
//!
//! Owns what a caller may ask, who may ask it, and the one form of every answer. Leaves out what follows from a
//! request: the state changes behind [`Controller`], and is read through [`Store`].
//!
//! # The order of checks
//!
//! | check | answer | where |
//! |---|---|---|
//! | form of the head | 400, 408, 414, 431 | `listen`; answered by `middleware` |
//! | too many wrong keys from an address | 429 | `auth::Attempt`; a key that was valid from there before passes |
//! | authentication | 401 | `auth::Caller`, the first extractor of every handler, before the body is received |
//! | the app's rate limit | 429 | `rate_limit`: the end of `auth::Caller`, so that it counts every request |
//! | room for the webhooks of a change | 503 | `auth`: `ApiState::admit`, after it |
//! | the app's quota of bytes | 413, 429 | `quota`, after it, for requests that add something |
//! | syntax: path, query, body | 400, 413, 415 | the extractors after it, then the handler's own parsing |
//! | existence | 404 | of what is read: `ownership`, `find_*`; of what is changed: [`Controller::check`] and [`Controller::submit`] |
//! | ownership | 403 | the same: `ownership`, `own_*`, or the controller |
//! | replay of a `command_uid` | the first answer, 409 | `idempotency`, in `gateway::command` |
//! | checks of the request that take long | 400 | in `gateway::command`: names of files to play are resolved |
//! | state | 409 | the controller |
//! | cooldown | 429 | `cooldown`, in `gateway::command` |
//! | the command | 404, 502, 503, 504 | [`Controller::submit`] |
//!
//! `gateway::command` has the order from existence on as one function. A node that is down is 503 only where nothing
//! else refuses.
//!
//! Unknown paths and wrong methods are answered (404, 405) before authentication: they tell nothing that the
//! documentation does not.
//!
//! # Reading requests
//!
//! Unknown fields of a body and unknown parameters of a query are ignored, so that a newer client can talk to an
//! older server. A known field of a wrong type is 400 and named. `null` is the same as a field left out. A body may
//! be left out where no field is required; when there is one, its `Content-Type` is `application/json` or not given.
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
mod error;
mod events;
mod gateway;
pub mod idempotency;
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
pub use admin::{AdminState, admin_router};
pub use cursor::CursorKey;
pub use events::{Hub, StreamSettings};
pub use middleware::site::AllowedHosts;
pub use quota::Quota;
pub use server::{document, router};
pub use state::{ApiSettings, ApiState, IdSource};
