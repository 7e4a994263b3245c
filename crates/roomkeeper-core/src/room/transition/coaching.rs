//! Transitions of the coaches of members. The coach's side is in [`crate::call`].

use crate::ids::{CallId, CommandUid};
use crate::room::coach::{CoachChange, CoachEnd, MemberCoach};
use crate::room::effect::{RoomEffect, RoomEvent};

use super::Transition;

impl Transition<'_> {
    pub(super) fn coach(&mut self, member: CallId, coach: CallId) {
        let coach = MemberCoach {
            call: coach,
            began: false,
        };
        self.room.coaches.insert(member, coach);
        self.room.changes.head = true;
    }

    pub(super) fn coach_changed(
        &mut self,
        (member, coach): (CallId, CallId),
        change: CoachChange,
        command_uid: Option<CommandUid>,
        synthesized: bool,
    ) {
        let known = self.room.coaches.get_mut(&member);
        let Some(known) = known.filter(|known| known.call == coach) else {
            return;
        };
        match change {
            CoachChange::Began => known.began = true,
            CoachChange::Failed(_) | CoachChange::Ended(_) => {
                self.room.coaches.remove(&member);
            }
        }
        self.updated();
        let event = RoomEvent::Coach {
            call: member,
            coach,
            change,
        };
        self.notify(event, command_uid, synthesized);
        self.finish_if_empty();
    }

    /// Ends the coaching of a member that has left.
    pub(super) fn coached_left(&mut self, member: CallId) {
        if let Some(coach) = self.room.coaches.get(&member).map(|coach| coach.call) {
            let left = RoomEffect::CoachedLeft { member, coach };
            self.effects.push(left);
        }
    }

    /// Ends all coachings: the room is over.
    pub(super) fn all_coaches_over(&mut self) {
        for (member, coach) in std::mem::take(&mut self.room.coaches) {
            let change = if coach.began {
                CoachChange::Ended(CoachEnd::MemberLeft)
            } else {
                CoachChange::Failed(CoachEnd::MemberLeft)
            };
            let event = RoomEvent::Coach {
                call: member,
                coach: coach.call,
                change,
            };
            self.notify(event, None, true);
        }
    }
}
