//! Transitions of the levels of members.

use std::time::Duration;

use crate::ids::CallId;
use crate::room::effect::{RoomCommand, RoomEffect, RoomEvent};
use crate::room::level::{Level, ReportedLevels};
use crate::room::member::{Member, MemberStatus};
use crate::room::member_settings::MemberUpdate;
use crate::room::stamp::EventStamp;

use super::Transition;

/// The time in which FreeSWITCH confirms a level, before it is looked at.
const UNCONFIRMED: Duration = Duration::from_secs(10);

impl Transition<'_> {
    /// Requests a snapshot if FreeSWITCH has not confirmed a level in time. Another replica may have sent it, and it may be
    /// lost.
    pub(super) fn levels_deadline(&mut self, call: CallId) {
        let now = self.now;
        let is_due = |m: &Member| m.requests.levels_due().is_some_and(|due| due <= now);
        if !self.room.members.get(&call).is_some_and(is_due) {
            return;
        }
        self.room.with_member(call, |m| m.requests.look_at_levels());
        self.effects.push(RoomEffect::CheckAgain);
    }

    /// Sends the levels in an update to FreeSWITCH.
    pub(super) fn send_levels(&mut self, call: CallId, update: &MemberUpdate) {
        let due = Some(self.now + UNCONFIRMED);
        for level in Level::ALL {
            if let Some(value) = level.updated(update) {
                self.room
                    .with_member(call, |m| m.requests.expect_level(level, due));
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
                        .with_member(call, |m| m.requests.confirm_level(level));
                }
                // An event can report the value before the last request.
                (false, true) if !at.synthesized => {}
                (false, true) => {
                    if let (MemberStatus::Joined, Some(value)) = (&m.status, own) {
                        let due = Some(self.now + UNCONFIRMED);
                        self.room
                            .with_member(call, |m| m.requests.expect_level(level, due));
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
