//! The settings of a member.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::labels::Labels;

use super::settings::settings;

settings! {
    /// The settings of a member that its app chooses: at the join, and later by an update.
    ///
    /// They are stored with the member, shown in lists of members and in `conference.member.joined`, and kept when the
    /// member enters the conference again.
    ///
    /// To add a setting: add a line here, whose type has a JSON form and whose default stands for "not set"; parse it and
    /// add it to the schema in `http::openapi::schemas` and `http::gateway::settings`. If FreeSWITCH must know it, add the command to
    /// `update_member` of the transitions, and to the plan of the join, which gets all settings with
    /// [`Entry`](super::Entry).
    MemberSettings, MemberUpdate {
        /// The labels.
        labels: Labels,
        /// The role.
        role: Role,
        /// True if the room ends when the member leaves.
        end_on_exit: bool,
        /// The volume of what the member says, -4 to 4. Like the others below, it can be out of its range if another
        /// client chose it.
        volume_in: i32,
        /// The volume of what the member hears, -4 to 4.
        volume_out: i32,
        /// The energy above which the member is heard, 0 to 1800; `None` for that of the conference profile.
        energy: Option<i32>,
        /// True if a room that waits for a moderator starts with the member; `None` if its role decides.
        start_on_enter: Option<bool>,
    }
}

impl MemberSettings {
    /// Returns true if a room that waits for a moderator starts with the member.
    pub fn starts_conference(&self) -> bool {
        let by_role = self.role == Role::Moderator;
        self.start_on_enter.unwrap_or(by_role)
    }
}

/// The role of a member. It is state of the room: FreeSWITCH's flag is given by the plan of a join and cannot be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An ordinary member.
    #[default]
    Participant,
    /// A moderator.
    Moderator,
}

impl FromStr for Role {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "participant" => Ok(Self::Participant),
            "moderator" => Ok(Self::Moderator),
            _ => Err("expected moderator or participant"),
        }
    }
}
