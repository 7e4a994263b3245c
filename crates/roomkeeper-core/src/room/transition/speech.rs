//! Transitions of speech and of the floor. Neither is stored.

use std::time::Duration;

use crate::ids::CallId;
use crate::room::effect::{LiveChange, RoomEffect};
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

    /// Reports whether a member talks, if that changed.
    pub(super) fn report_talking(&mut self, call: CallId, was_talking: bool) {
        let member = self.room.members.get(&call);
        if let Some(member) = member.filter(|member| member.flags.talking != was_talking) {
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
