//! The stored form of all data, and the way back. Pure.
//!
//! [`room`] (with `member`, `playback` and `recording`), [`call`] and [`view`] encode state; [`apps`] and [`endpoints`]
//! encode the records of apps and their endpoints, [`audit`] the entries of the audit log. [`packed`] is the text form of
//! the small records, `stored_fields` declares their fields, [`keys`] names every key in Redis.

pub mod apps;
pub mod audit;
pub mod call;
pub mod endpoints;
mod json_fields;
pub mod keys;
mod member;
pub mod packed;
mod playback;
mod recording;
pub mod room;
mod stored_fields;
pub mod view;
