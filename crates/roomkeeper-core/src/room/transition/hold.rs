//! The hold of a member.
//!
//! FreeSWITCH's `hold` leaves the room audible, so the member is deafened as well, and can hear again when the hold is over
//! unless its app has deafened it. A member that waits for a moderator is deafened in the same way. While a member is held, its flag `hear` is what its app wants; FreeSWITCH's own value is in
//! [`Hold::hears`]. A held member that FreeSWITCH lets hear the room, by a command of others, is deafened again.

use std::time::Duration;

use crate::ids::{CallId, CommandUid, OperationId};
use crate::play_url::PlayUrl;
use crate::room::audio::{Hold, HoldRequest};
use crate::room::effect::{RoomCommand, RoomEvent};
use crate::room::flag::{MemberFlag, ReportedFlags};
use crate::room::member::{Member, MemberStatus};
use crate::time::Timestamp;

use super::Transition;

/// The time that a change of a member's hearing may take.
const ADJUSTING: Duration = Duration::from_secs(10);

/// The time until a refused change is sent again.
const RETRY: Duration = Duration::from_secs(1);

impl Transition<'_> {
    /// Holds or unholds a member on request.
    pub(super) fn request_hold(
        &mut self,
        call: CallId,
        music: Option<(OperationId, PlayUrl)>,
        on: bool,
        request: HoldRequest,
    ) {
        self.settle_hearing(call);
        let hears = self.room.with_member(call, |m| {
            let hold = m
                .audio
                .get_or_insert_default()
                .hold
                .get_or_insert(Hold::found());
            hold.wanted = on;
            if on {
                hold.music = music;
            }
            hold.adjusting = Some(request.deadline);
            hold.request = Some(request);
            hold.hears = None;
            m.flags.hear
        });
        let Some(hears) = hears else { return };
        if on {
            self.command(RoomCommand::SetHearing { call, on: false });
            self.command(RoomCommand::Hold { call, on });
        } else {
            self.command(RoomCommand::Hold { call, on });
            if hears && !self.room.is_waiting() {
                self.command(RoomCommand::SetHearing { call, on: true });
            }
        }
    }

    pub(super) fn hold_refused(&mut self, call: CallId, on: bool) {
        let refused = self.with_hold(call, |hold, held| {
            let refused = hold.request.is_some() && hold.wanted == on;
            if refused {
                hold.request = None;
                hold.adjusting = None;
                hold.wanted = held;
            }
            refused
        });
        if refused == Some(true) {
            self.adjust_hearing(call);
        }
    }

    /// Sends the command again soon. The deadline is stored, so that the owner of the node does it: another replica may
    /// have sent the command, and the owner has not read its state yet.
    pub(super) fn hearing_refused(&mut self, call: CallId) {
        let soon = self.now + RETRY;
        self.with_hold(call, |hold, _| {
            hold.adjusting = hold.adjusting.map(|at| at.min(soon));
        });
    }

    /// Applies a deadline of a member's hold.
    pub(super) fn hold_deadline(&mut self, call: CallId) {
        let now = self.now;
        let passed = |at: Timestamp| at <= now;
        let is_wrong = self.with_hold(call, |hold, held| {
            let expired = hold.request.take_if(|request| passed(request.deadline));
            if expired.is_some() {
                hold.wanted = held;
            }
            let late = hold.adjusting.take_if(|at| passed(*at)).is_some();
            // A value whose change nothing confirms is unknown, and is set once more; then an event or a snapshot decides.
            let unconfirmed = late && hold.hears.take().is_some();
            expired.is_some() || unconfirmed
        });
        if is_wrong == Some(true) {
            self.adjust_hearing(call);
        }
    }

    /// Applies reported flags to the hold of a member. Returns the id of the request that they fulfil.
    pub(super) fn follow_hold(
        &mut self,
        call: CallId,
        reported: ReportedFlags,
    ) -> Option<CommandUid> {
        if self.hold(call).is_none() {
            self.settle_hearing(call);
            self.room.with_member(call, |m| {
                m.audio.get_or_insert_default().hold = Some(Hold::found());
            });
        }
        let fulfilled = self.with_hold(call, |hold, held| {
            hold.hears = reported.hear;
            if reported.hold != held && hold.request.is_none() {
                // Somebody else held or unheld the member.
                hold.wanted = reported.hold;
            }
            let is_fulfilled = reported.hold == hold.wanted;
            hold.request.take_if(|_| is_fulfilled)
        });
        fulfilled.flatten()?.command_uid
    }

    /// Continues the music of a held member that FreeSWITCH has reported.
    pub(super) fn resume_music(&mut self, call: CallId) {
        let member = self.room.members.get(&call);
        let audio = member.and_then(|m| m.audio.as_ref());
        let music = audio.and_then(|audio| audio.playback.music());
        if music.is_some_and(|music| music.not_before.is_none()) {
            let (alive, now) = (self.can_play_to(call), self.now);
            self.play_to(call, |playback| playback.member_reported(alive, now));
        }
    }

    /// Reports that a member is held, or no longer, and starts or ends its music.
    pub(super) fn hold_changed(
        &mut self,
        call: CallId,
        on: bool,
        command_uid: Option<CommandUid>,
        synthesized: bool,
    ) {
        let music = self.hold(call).and_then(|hold| hold.music.clone());
        let event = RoomEvent::HoldChanged {
            call,
            on,
            music: music.clone().filter(|_| on).map(|(_, url)| url),
        };
        self.notify(event, command_uid, synthesized);
        if on {
            self.end_wait_music(call);
        }
        let (alive, now) = (self.can_play_to(call), self.now);
        match (on, music) {
            (true, Some((operation, url))) => {
                self.play_to(call, |playback| {
                    playback.loop_music(operation, url, alive, now)
                });
            }
            (true, None) => {}
            // FreeSWITCH stops all files of the member.
            (false, _) => {
                self.stop_member_files(call, synthesized);
                self.play_wait_music(call);
            }
        }
    }

    /// Takes over the hold of a member that has just joined: one that FreeSWITCH reports, or one from before a rejoin.
    pub(super) fn joined_held(&mut self, call: CallId, synthesized: bool) {
        let Some(m) = self.room.members.get(&call) else {
            return;
        };
        let is_held = m.flags.hold;
        let kept = self.hold(call).filter(|hold| hold.wanted).cloned();
        if is_held {
            self.room.with_member(call, |m| {
                let hold = &mut m.audio.get_or_insert_default().hold;
                hold.get_or_insert(Hold::found()).hears = None;
            });
            self.hold_changed(call, true, None, synthesized);
            self.adjust_hearing(call);
        } else if let Some(hold) = kept {
            let request = HoldRequest {
                command_uid: None,
                deadline: self.now + ADJUSTING,
            };
            self.request_hold(call, hold.music, true, request);
        }
    }

    /// Takes up the hold of a member whose call a new core has recovered: FreeSWITCH lost the hold and the files.
    pub(super) fn recovered_held(&mut self, call: CallId, was_held: bool, stays: bool) {
        let is_held = self.room.members.get(&call).is_some_and(|m| m.flags.hold);
        if was_held && !is_held {
            self.hold_changed(call, false, None, true);
        } else {
            self.stop_member_files(call, true);
        }
        // Somebody else may have held it, also on its way out: the hold counts if it stays after all.
        if (stays || is_held) && !(was_held && is_held) {
            self.joined_held(call, true);
        }
    }

    /// Lets FreeSWITCH set whether a member hears the room, unless it is as wanted, or FreeSWITCH has such a command. Ends
    /// the hold when nothing of it is left.
    pub(super) fn adjust_hearing(&mut self, call: CallId) {
        let deadline = self.now + ADJUSTING;
        let waits = self.room.is_waiting();
        let Some(m) = self.room.members.get(&call) else {
            return;
        };
        let is_joined = m.status == MemberStatus::Joined;
        let (hear, held) = (m.flags.hear, m.flags.hold);
        let adjusted = self.room.with_member(call, |m| {
            let audio = m.audio.as_mut()?;
            let hold = audio.hold.as_mut()?;
            let on = !hold.wanted && hear && !waits;
            if hold.hears == Some(on) {
                hold.adjusting = None;
                if hold.is_over() && !held && !waits {
                    audio.hold = None;
                }
                return None;
            }
            if hold.adjusting.is_some() || !is_joined {
                return None;
            }
            hold.adjusting = Some(deadline);
            Some(on)
        });
        if let Some(on) = adjusted.flatten() {
            self.command(RoomCommand::SetHearing { call, on });
        }
    }

    /// Sets the flag `hear` of a held member at once: FreeSWITCH has nothing to do until the hold is over. Returns false if
    /// the member is not held.
    pub(super) fn set_hearing_of_held(
        &mut self,
        call: CallId,
        on: bool,
        command_uid: Option<CommandUid>,
    ) -> bool {
        if self.hold(call).is_none() {
            return false;
        }
        self.change_hearing(call, on, command_uid);
        self.adjust_hearing(call);
        true
    }

    /// Applies a request for the flag `hear` at once, because a hold begins or ends.
    fn settle_hearing(&mut self, call: CallId) {
        let take = |m: &mut Member| m.requests.take(MemberFlag::Hear);
        if let Some(request) = self.room.with_member(call, take).flatten() {
            self.change_hearing(call, request.on, request.command_uid);
        }
    }

    fn change_hearing(&mut self, call: CallId, on: bool, command_uid: Option<CommandUid>) {
        let replace = |m: &mut Member| std::mem::replace(&mut m.flags.hear, on);
        if self.room.with_member(call, replace) == Some(!on) {
            let flag = MemberFlag::Hear;
            self.notify(
                RoomEvent::FlagChanged { call, flag, on },
                command_uid,
                false,
            );
        }
    }

    fn hold(&self, call: CallId) -> Option<&Hold> {
        self.room.members.get(&call)?.hold()
    }

    /// Changes the hold of a member. The function also gets whether FreeSWITCH has reported the member as held.
    fn with_hold<R>(
        &mut self,
        call: CallId,
        change: impl FnOnce(&mut Hold, bool) -> R,
    ) -> Option<R> {
        self.hold(call)?;
        let changed = self.room.with_member(call, |m| {
            let held = m.flags.hold;
            let hold = m.audio.as_mut()?.hold.as_mut()?;
            Some(change(hold, held))
        });
        changed.flatten()
    }
}
