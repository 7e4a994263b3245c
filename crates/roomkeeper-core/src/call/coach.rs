//! Transitions of a call that coaches a member of a room.

use crate::ids::{CallId, CommandUid};
use crate::room::{CoachChange, CoachEnd};

use super::coaching::{COACH_TIMEOUT, Coaching};
use super::effect::CallEffect;
use super::state::{CallStatus, ParkId};
use super::transition::Transition;

impl Transition<'_> {
    /// Begins a coaching: the call is parked, and parks again after it with this id.
    pub(super) fn begin_coaching(&mut self, coaching: Coaching, id: ParkId) {
        let (room, member) = (coaching.room, coaching.member);
        self.state.coaching = Some(Box::new(coaching));
        self.state.pending_park = Some(id);
        self.set_status(CallStatus::Coaching, None);
        self.effects.push(CallEffect::Coach { room, member, id });
    }

    /// FreeSWITCH lets the call listen to this member. An event from before the call was parked last is of another
    /// coaching.
    pub(super) fn coaching_confirmed(
        &mut self,
        member: CallId,
        sequence: Option<u64>,
        synthesized: bool,
    ) {
        if sequence.is_some_and(|sequence| sequence <= self.state.status_at) {
            return;
        }
        let Some(coaching) = self.state.coaching.as_mut() else {
            return;
        };
        if coaching.member != member {
            return;
        }
        // A dump shows that the command that ends it was lost.
        let repeats = sequence.is_none() && coaching.deadline.is_none();
        if let Some((reason, command_uid)) = coaching.ending.clone().filter(|_| repeats) {
            self.end_coaching(member, reason, command_uid);
        }
        let Some(coaching) = self.state.coaching.as_mut().filter(|work| !work.began) else {
            return;
        };
        coaching.began = true;
        if coaching.ending.is_none() {
            coaching.deadline = None;
        }
        let (room, command_uid) = (coaching.room, coaching.command_uid.take());
        self.state.changed = true;
        self.effects.push(CallEffect::CoachChanged {
            room,
            member,
            change: CoachChange::Began,
            command_uid,
            synthesized,
        });
    }

    /// Makes FreeSWITCH park the coach.
    pub(super) fn end_coaching(
        &mut self,
        member: CallId,
        reason: CoachEnd,
        command_uid: Option<CommandUid>,
    ) {
        let deadline = self.now + COACH_TIMEOUT;
        let Some(coaching) = self.state.coaching.as_mut() else {
            return;
        };
        if coaching.member != member {
            return;
        }
        coaching.ending = Some((reason, command_uid));
        coaching.deadline = Some(deadline);
        let room = coaching.room;
        self.state.changed = true;
        self.effects.push(CallEffect::Break { room });
    }

    /// Reports the end of a coaching, if there is one. `found` is the reason unless a command ended it.
    pub(super) fn coaching_over(&mut self, found: CoachEnd, synthesized: bool) {
        let Some(coaching) = self.state.coaching.take() else {
            return;
        };
        self.state.changed = true;
        let Coaching {
            room,
            member,
            began,
            ending,
            command_uid,
            ..
        } = *coaching;
        let (reason, ending_uid) = match (found, ending) {
            // The end of the call or of its node is more specific.
            (CoachEnd::Hangup | CoachEnd::Orphan, ending) => {
                (found, ending.and_then(|(_, uid)| uid))
            }
            (_, Some((reason, uid))) => (reason, uid),
            (_, None) if !began => (CoachEnd::Refused, None),
            (_, None) => (found, None),
        };
        let (change, command_uid) = if began {
            (CoachChange::Ended(reason), ending_uid)
        } else {
            (CoachChange::Failed(reason), command_uid)
        };
        self.effects.push(CallEffect::CoachChanged {
            room,
            member,
            change,
            command_uid,
            synthesized,
        });
    }

    /// FreeSWITCH refused to begin a coaching: the call never left the park.
    pub(super) fn coaching_refused(&mut self, id: ParkId) {
        let has_begun = self.state.coaching.as_ref().is_none_or(|c| c.began);
        if self.state.pending_park != Some(id) || has_begun {
            return;
        }
        self.state.pending_park = None;
        self.coaching_over(CoachEnd::Refused, false);
        self.set_status(self.state.parked(), None);
    }

    /// FreeSWITCH confirmed neither the beginning nor the end in time.
    pub(super) fn coaching_deadline(&mut self) {
        let Some(coaching) = self.state.coaching.as_mut() else {
            return;
        };
        let member = coaching.member;
        self.effects.push(CallEffect::CheckAgain);
        match (&coaching.ending, coaching.began) {
            // A caller may try again.
            (Some((CoachEnd::Requested, _)), true) => {
                coaching.ending = None;
                coaching.deadline = None;
                self.state.changed = true;
            }
            // The coach must not stay with a member that has left, nor begin unnoticed: the command is repeated if the
            // dump of the channel shows that it still listens.
            (Some(_), _) => {
                coaching.deadline = None;
                self.state.changed = true;
            }
            (None, _) => self.end_coaching(member, CoachEnd::Timeout, None),
        }
    }
}
