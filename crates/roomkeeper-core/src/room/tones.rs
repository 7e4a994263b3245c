//! The tones of a room.

use serde::{Deserialize, Serialize};

use crate::play_url::PlayUrl;

/// The files that the room hears when a member enters and when one leaves.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tones {
    /// When a member enters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enter: Option<PlayUrl>,
    /// When a member leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<PlayUrl>,
}

/// One of the two tones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// When a member enters.
    Enter,
    /// When a member leaves.
    Exit,
}
