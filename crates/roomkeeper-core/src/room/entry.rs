//! The entry of a call into a room: everything that the plan of a join needs.

use crate::ids::CallId;

use super::details::Kind;
use super::dial::DialRequest;
use super::member::Move;
use super::member_settings::MemberSettings;
use super::room_settings::RoomSettings;
use super::settings::Sparse;
use super::state::{Registration, RoomState};

/// The entry of a call into a room. A control that changes the plan of a join adds a field here, or a setting of the room
/// or the member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The kind of conference.
    pub kind: Kind,
    /// True to enter muted.
    pub muted: bool,
    /// True to enter deaf.
    pub deaf: bool,
    /// True to enter in spite of a lock.
    pub past_lock: bool,
    /// The settings of the member.
    pub member: Sparse<MemberSettings>,
    /// The settings of the room, in force from the creation of the conference.
    pub room: Sparse<RoomSettings>,
    /// The room's registration, if the room has no conference yet: the conference carries it from its creation, so that
    /// a wiped store can be rebuilt even before the registration is written on it.
    pub registration: Option<Registration>,
}

impl RoomState {
    /// Returns the entry of a member.
    pub fn entry(&self, call: CallId) -> Option<Entry> {
        let member = self.members.get(&call)?;
        let registration = self.registration.as_ref();
        Some(Entry {
            kind: self.kind(),
            muted: !member.flags.speak,
            // The hold, or the wait for a moderator, decides whether the member hears the room.
            deaf: !member.flags.hear || member.hold().is_some(),
            past_lock: member.moving.as_deref() == Some(&Move::Back),
            member: member.settings.clone(),
            room: registration.map_or_else(Sparse::default, |r| r.details.settings.clone()),
            registration: registration
                .filter(|_| self.conference().is_none())
                .cloned(),
        })
    }

    /// Returns the entry of a dialled call. The room may have lost its conference by the time of the answer, so it always
    /// has the registration.
    pub fn dial_entry(&self, request: &DialRequest) -> Option<Entry> {
        let registration = self.registration.as_ref()?;
        Some(Entry {
            kind: self.kind(),
            muted: request.muted,
            deaf: self.makes_wait(&request.member),
            past_lock: false,
            member: request.member.clone(),
            room: registration.details.settings.clone(),
            registration: Some(registration.clone()),
        })
    }
}
