//! The talk of members, for apps that want webhooks about it.
//!
//! Each reported start has its end, so a start beyond the limits (`talk_windows`) has neither.

use crate::ids::{AppId, CallId, RoomId};
use crate::room::{EventStamp, RoomInput};
use crate::switch_event::MemberBlock;

use super::{Context, NodeState};

impl NodeState {
    /// Reports that a member began or stopped talking, if its app wants that.
    pub(super) fn talk_changed(
        &mut self,
        room: RoomId,
        app: &AppId,
        (call, talking): (CallId, bool),
        cx: &mut Context<'_>,
    ) {
        let member = self.room(room).and_then(|room| room.members().get(&call));
        let Some(is_reported) = member.map(|member| member.talk_reported) else {
            return;
        };
        let reports = if talking {
            !is_reported
                && self.rules.talk_apps.contains(app)
                && self.talks.admits(room, call, cx.now)
        } else {
            is_reported
        };
        if reports {
            self.room_input_later(room, RoomInput::Talk { call, talking }, cx);
        }
    }

    /// Returns true if the app of a room wants to know when a muted member talks.
    pub(super) fn wants_muted_talk(&self, room: RoomId) -> bool {
        let registration = self.registration(room);
        registration.is_some_and(|r| self.rules.muted_talk_apps.contains(&r.app))
    }

    /// Applies the presence of a member that talks while it is muted. Returns the report, if its app wants it and the event
    /// is not an old one.
    pub(super) fn muted_talk(
        &mut self,
        room: RoomId,
        at: EventStamp,
        block: MemberBlock,
        cx: &mut Context<'_>,
    ) -> Option<RoomInput> {
        let call = CallId::new(self.node, block.channel);
        let member = self.room(room).and_then(|room| room.members().get(&call));
        let is_new = member.is_none_or(|member| at.sequence > member.flags_at);
        let member = self.reported_member(block, cx);
        let present = RoomInput::MemberReported {
            at,
            member,
            entered: false,
        };
        self.room_input(room, present, cx);
        let wants = is_new && self.wants_muted_talk(room);
        wants.then_some(RoomInput::MutedTalk { call })
    }
}
