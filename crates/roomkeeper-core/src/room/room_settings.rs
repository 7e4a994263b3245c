//! The settings of a room.

use crate::gather::Prompt;
use crate::labels::Labels;
use crate::pin::{DEFAULT_TRIES, PinHash, PinRequest, RoomPin};
use crate::play_url::PlayUrl;
use crate::speech::Speech;

use super::media::{Announcement, CountAnnouncement};
use super::settings::{Sparse, settings};
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
        /// The PIN that a caller enters before its call joins.
        #[serde(rename = "pin_required")]
        pin: RoomPin,
        /// The file that asks for the PIN.
        pin_prompt_url: Option<PlayUrl>,
        /// The text that asks for the PIN, instead of a file.
        pin_prompt_text: Option<Speech>,
        /// The attempts of a caller; 0 for [`DEFAULT_TRIES`].
        pin_tries: u8,
        /// True if members wait until one that starts the conference enters.
        wait_for_moderator: bool,
        /// The file that each of them hears meanwhile.
        wait_url: Option<PlayUrl>,
        /// The announcement that the room hears before its recording begins.
        announce_recording: Option<Announcement>,
        /// The number of members, spoken to one that enters.
        announce_count: Option<CountAnnouncement>,
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

    /// Returns the settings of a fixed length, for a copy of limited size, and the announcement of a recording: without it
    /// the room would be recorded unannounced.
    #[must_use]
    pub fn short(&self) -> Self {
        Self {
            tones: Tones::default(),
            alone_url: None,
            pin_prompt_url: None,
            pin_prompt_text: None,
            wait_url: None,
            announce_count: None,
            ..self.without_labels()
        }
    }

    /// Returns the request to a caller for the PIN, if the room has one.
    pub fn pin_request(&self) -> Option<PinRequest> {
        let prompt = match (&self.pin_prompt_url, &self.pin_prompt_text) {
            (Some(url), _) => Prompt::Play(url.clone()),
            (None, Some(text)) => Prompt::Talk(text.clone()),
            (None, None) => Prompt::Silence,
        };
        Some(PinRequest {
            hash: self.pin.hash()?.clone(),
            prompt,
            tries: match self.pin_tries {
                0 => DEFAULT_TRIES,
                tries => tries,
            },
        })
    }
}

impl Sparse<RoomSettings> {
    /// Returns the settings with the hash of the PIN, which is stored beside them.
    #[must_use]
    pub fn with_pin(mut self, hash: Option<PinHash>) -> Self {
        if hash.is_some() {
            self.apply(RoomSettingsUpdate {
                pin: Some(RoomPin::new(hash)),
                ..RoomSettingsUpdate::default()
            });
        }
        self
    }
}
