//! The names in the lab, which its configuration, its demo and its first screen share.

/// The app.
pub(super) const APP: &str = "demo";
/// The app's key.
pub(super) const KEY: &str = "lab-key";
/// The node's id.
pub(super) const NODE: &str = "acW68";
/// The number that the callers dial; its calls belong to the app.
pub(super) const DID: &str = "747713001";
/// The demo room.
pub(super) const ROOM: &str = "lobby";
