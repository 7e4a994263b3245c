//! What a conference of the VoIPBIN API is besides a room: its kind, what its owner notes on it, its time, and what calls
//! do before and after it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::Action;
use crate::time::Timestamp;

/// Which kind of conference a room is. It never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Any number of members; it stays when they have gone.
    #[default]
    Conference,
    /// Two members; when one of them goes, the other goes too, and the conference with them.
    Connect,
}

impl Kind {
    /// How many members it takes at most.
    pub const fn most_members(self) -> Option<usize> {
        match self {
            Self::Conference => None,
            Self::Connect => Some(2),
        }
    }

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conference => "conference",
            Self::Connect => "connect",
        }
    }
}

/// What calls do, in this order.
pub type Actions = Vec<Action>;

/// What the owner of a room says of it, and may change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Details {
    /// A description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whatever the owner wants to be kept.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// It ends so many seconds after it was made; 0: it does not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: u32,
    /// What a call does before it comes in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_actions: Actions,
    /// What a call does after it has left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_actions: Actions,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Details {
    /// When the time of a room is over that was made then.
    pub fn expires_at(&self, created_at: Timestamp) -> Option<Timestamp> {
        (self.timeout > 0).then(|| created_at + Duration::from_secs(self.timeout.into()))
    }
}

/// What of a room its owner changes; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Update {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
    /// Its time in seconds since it was made; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// What a call does before it comes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_actions: Option<Vec<Action>>,
    /// What a call does after it has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_actions: Option<Vec<Action>>,
}

impl Update {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Leaves out what is as it is already.
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
        self
    }

    /// Makes the changes.
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
    }
}
