//! Transitions of speech and of the floor. Neither is stored.

use std::time::Duration;

use crate::ids::CallId;
use crate::room::effect::{LiveChange, RoomEffect, RoomEvent};
use crate::room::member::Member;
use crate::room::stamp::EventStamp;

use super::Transition;

impl Transition<'_> {
    pub(super) fn floor(&mut self, at: EventStamp, holder: Option<CallId>) {
        if self.is_current(at) && at.sequence > self.room.floor_at {
            self.give_floor(holder);
            self.room.floor_at = at.sequence;
        }
    }

    /// Gives the floor to this call, or to no call.
    pub(super) fn give_floor(&mut self, holder: Option<CallId>) {
        let channel = holder.map(|call| call.channel());
        if self.room.floor != channel {
            self.room.floor = channel;
            let member = holder.and_then(|call| self.room.members.get(&call));
            let member = member.map(|member| member.id);
            self.effects
                .push(RoomEffect::Live(LiveChange::Floor { holder, member }));
        }
    }

    /// Reports by a webhook that a member began or stopped talking.
    pub(super) fn talk(&mut self, call: CallId, talking: bool) {
        let changes = |m: &Member| m.membership.is_some() && m.talk_reported != talking;
        if self.room.members.get(&call).is_some_and(changes) {
            self.room.with_member(call, |m| m.talk_reported = talking);
            self.notify(RoomEvent::Talking { call, talking }, None, false);
        }
    }

    /// Reports by a webhook that a muted member talks.
    pub(super) fn muted_talk(&mut self, call: CallId) {
        let is_muted = |m: &Member| m.membership.is_some() && !m.flags.speak;
        if self.room.members.get(&call).is_some_and(is_muted) {
            self.notify(RoomEvent::TalkingMuted { call }, None, false);
        }
    }

    /// Reports whether a member talks, if that changed, or if a webhook has reported talk that a restart of the controller
    /// has forgotten.
    pub(super) fn report_talking(&mut self, call: CallId, was_talking: bool) {
        let member = self.room.members.get(&call);
        let changed =
            |m: &&Member| m.flags.talking != was_talking || (m.talk_reported && !m.flags.talking);
        if let Some(member) = member.filter(changed) {
            let change = LiveChange::Talking {
                call,
                member: member.id,
                talking: member.flags.talking,
            };
            self.effects.push(RoomEffect::Live(change));
            self.talked(Duration::ZERO);
        }
    }
}
