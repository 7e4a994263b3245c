//! Transitions of the levels of members.

use crate::ids::CallId;
use crate::room::effect::{RoomCommand, RoomEvent};
use crate::room::level::{Level, ReportedLevels};
use crate::room::member::MemberStatus;
use crate::room::member_settings::MemberUpdate;
use crate::room::stamp::EventStamp;

use super::Transition;

impl Transition<'_> {
    /// Sends the levels in an update to FreeSWITCH.
    pub(super) fn send_levels(&mut self, call: CallId, update: &MemberUpdate) {
        for level in Level::ALL {
            if let Some(value) = level.updated(update) {
                self.room
                    .with_member(call, |m| m.requests.expect_level(level, true));
                self.command(RoomCommand::SetLevel { call, level, value });
            }
        }
    }

    /// Applies reported levels of a member. `is_newer` is false if a later report of the member has been applied.
    pub(super) fn levels_reported(
        &mut self,
        at: EventStamp,
        call: CallId,
        reported: ReportedLevels,
        is_newer: bool,
    ) {
        if reported == ReportedLevels::default() {
            return;
        }
        let mut followed = MemberUpdate::default();
        for level in Level::ALL {
            let (Some(value), Some(m)) = (reported.get(level), self.room.members.get(&call)) else {
                continue;
            };
            let own = level.get(&m.settings);
            match (own == Some(value), m.requests.levels().contains(level)) {
                (true, false) => {}
                (true, true) => {
                    self.room
                        .with_member(call, |m| m.requests.expect_level(level, false));
                }
                // An event can report the value before the last request.
                (false, true) if !at.synthesized => {}
                (false, true) => {
                    if let (MemberStatus::Joined, Some(value)) = (&m.status, own) {
                        self.command(RoomCommand::SetLevel { call, level, value });
                    }
                }
                // A snapshot shows the value of the profile for what nobody has set.
                (false, false) if at.synthesized && own.is_none() => {}
                (false, false) if is_newer => level.put(&mut followed, value),
                (false, false) => {}
            }
        }
        if !followed.is_empty() {
            let update = Box::new(followed.clone());
            self.room.with_member(call, |m| m.settings.apply(followed));
            self.notify(
                RoomEvent::MemberUpdated { call, update },
                None,
                at.synthesized,
            );
        }
    }
}
