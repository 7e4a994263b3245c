//! The settings of a member.

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
    /// [`update_member`](super::transition), and to the plan of the join, which gets all settings with
    /// [`Entry`](super::Entry).
    MemberSettings, MemberUpdate {
        /// The labels.
        labels: Labels,
    }
}
