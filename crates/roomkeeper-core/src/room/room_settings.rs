//! The settings of a room.

use crate::labels::Labels;
use crate::play_url::PlayUrl;

use super::media::Announcement;
use super::settings::settings;
use super::tones::Tones;

settings! {
    /// The settings of a room that its app chooses: at the creation, and later by an update.
    ///
    /// They are stored with the room's registration, shown wherever the room is shown, and in force in each new conference
    /// instance. A copy on the conference restores them after a loss of the store, if it is short enough.
    ///
    /// To add a setting: add a line here, whose type has a JSON form and whose default stands for "not set"; parse it and
    /// add it to the schema in `http::openapi::schemas` and `http::gateway::settings`. If FreeSWITCH must know it, add the command for a running
    /// instance to the transition of `RoomInput::Update`, and the variable for a new instance to the plan of the join,
    /// which gets all settings with [`Entry`](super::Entry).
    RoomSettings, RoomSettingsUpdate {
        /// The labels.
        labels: Labels,
        /// The most members; 0 for no limit.
        max_members: u32,
        /// The files that the room hears when a member enters and when one leaves.
        tones: Tones,
        /// The file that a lone member hears.
        alone_url: Option<PlayUrl>,
        /// The seconds without a talking member after which the room ends; 0 for never.
        end_when_silent_for: u32,
        /// True if members wait until one that starts the conference enters.
        wait_for_moderator: bool,
        /// The file that each of them hears meanwhile.
        wait_url: Option<PlayUrl>,
        /// What the room hears before its recording begins.
        announce_recording: Option<Announcement>,
    }
}

impl RoomSettings {
    /// Returns the settings without their labels, for a copy of limited size.
    #[must_use]
    pub fn without_labels(&self) -> Self {
        Self {
            labels: Labels::default(),
            ..self.clone()
        }
    }

    /// Returns the settings of a fixed length, for a copy of limited size.
    #[must_use]
    pub fn short(&self) -> Self {
        Self {
            tones: Tones::default(),
            alone_url: None,
            wait_url: None,
            ..self.without_labels()
        }
    }
}
