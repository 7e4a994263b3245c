//! The details of a room: its kind, its owner's description and data, its timeout, and the actions before and after it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::Action;
use crate::time::Timestamp;

use super::room_settings::{RoomSettings, RoomSettingsUpdate};
use super::settings::Sparse;

/// The kind of a conference. It never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Any number of members; the room stays when they have left.
    #[default]
    Conference,
    /// Two members; when one leaves, the other is removed and the room ends.
    Connect,
}

impl Kind {
    /// Returns the maximum number of members.
    pub const fn most_members(self) -> Option<usize> {
        match self {
            Self::Conference => None,
            Self::Connect => Some(2),
        }
    }

    /// Returns the word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conference => "conference",
            Self::Connect => "connect",
        }
    }
}

/// The actions of a call, in order.
pub type Actions = Vec<Action>;

/// The details of a room that its owner may change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Details {
    /// A description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The owner's own data.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// The lifetime of the room in seconds; 0 for no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: u32,
    /// The pre-actions: run before a call enters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_actions: Actions,
    /// The post-actions: run after a call has left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_actions: Actions,
    /// The settings that the gateway API has.
    #[serde(default, skip_serializing_if = "Sparse::is_default")]
    pub settings: Sparse<RoomSettings>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Details {
    /// Returns the time when a room that was created at `created_at` expires.
    pub fn expires_at(&self, created_at: Timestamp) -> Option<Timestamp> {
        (self.timeout > 0).then(|| created_at + Duration::from_secs(self.timeout.into()))
    }
}

/// An update of a room; `None` leaves a field unchanged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Update {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The owner's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
    /// The lifetime in seconds since the creation; 0 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// The pre-actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_actions: Option<Vec<Action>>,
    /// The post-actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_actions: Option<Vec<Action>>,
    /// The settings that the gateway API has.
    #[serde(flatten)]
    pub settings: RoomSettingsUpdate,
}

impl Update {
    /// Returns true if it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Removes the fields that have the new value already.
    pub(super) fn against(mut self, name: &str, now: &Details) -> Self {
        fn keep<T: PartialEq>(new: &mut Option<T>, old: &T) {
            if new.as_ref() == Some(old) {
                *new = None;
            }
        }
        if self.name.as_deref() == Some(name) {
            self.name = None;
        }
        keep(&mut self.detail, &now.detail);
        keep(&mut self.data, &now.data);
        keep(&mut self.timeout, &now.timeout);
        keep(&mut self.pre_actions, &now.pre_actions);
        keep(&mut self.post_actions, &now.post_actions);
        self.settings = self.settings.against(&now.settings);
        self
    }

    /// Applies the update.
    pub(super) fn make(self, name: &mut String, details: &mut Details) {
        fn set<T>(old: &mut T, new: Option<T>) {
            if let Some(new) = new {
                *old = new;
            }
        }
        set(name, self.name);
        set(&mut details.detail, self.detail);
        set(&mut details.data, self.data);
        set(&mut details.timeout, self.timeout);
        set(&mut details.pre_actions, self.pre_actions);
        set(&mut details.post_actions, self.post_actions);
        if !self.settings.is_empty() {
            details.settings.apply(self.settings);
        }
    }
}
