//! The wait for a moderator.
//!
//! All members of a waiting room are deaf at FreeSWITCH, so nobody hears anybody, and each hears its music as a file for it
//! alone. The record of a hold keeps FreeSWITCH's flag apart from the one that the app sees. The start lets everybody hear:
//! one command for each member, repeated like those of a hold. FreeSWITCH's own `wait-mod` would cost no command, but only a
//! moderator that enters lifts it: no change of a role or of the room could, without taking a member out of the room.

use crate::ids::{CallId, CommandUid, OperationId};
use crate::room::audio::{Hold, MemberAudio};
use crate::room::effect::RoomEvent;
use crate::room::flag::{Flags, ReportedFlags};
use crate::room::member::{Member, MemberStatus};
use crate::time::Timestamp;
use uuid::Uuid;

use super::Transition;

/// Returns the id of music that begins now. The music before it has another one, so that its late events do not count.
fn music_id(member: &Member, now: Timestamp) -> OperationId {
    let id = member.id.uuid().as_u128() ^ u128::from(now.as_micros());
    OperationId::new(Uuid::from_u128(id))
}

/// Returns true if reported flags of a member that waits for a moderator change nothing but its talking, which is not
/// stored: a waiting room can have many members, and each talks.
pub(super) fn is_settled_wait(m: &Member, reported: ReportedFlags) -> bool {
    let Some(hold) = m.hold() else {
        return false;
    };
    let music = m.audio.as_ref().and_then(|audio| audio.playback.music());
    let is_played = music.is_none_or(|music| music.not_before.is_some());
    let is_unheld = hold.is_over() && !reported.hold && !m.flags.hold;
    let is_known = hold.hears == Some(false)
        && reported.hear == Some(false)
        && reported.speak == Some(m.flags.speak);
    is_unheld
        && is_known
        && is_played
        && hold.adjusting.is_none()
        && m.requests.iter().next().is_none()
}

impl Transition<'_> {
    /// Lets a member that is about to enter a waiting room enter deaf.
    pub(super) fn prepare_wait(&mut self, call: CallId) {
        let Some(m) = self.room.members.get(&call) else {
            return;
        };
        let waits = self.room.makes_wait(&m.settings);
        if !waits && m.audio.is_none() {
            return;
        }
        self.room.with_member(call, |m| {
            let audio = m.audio.get_or_insert_default();
            if waits {
                audio.hold.get_or_insert(Hold::waiting(None));
            } else if audio.hold.as_ref().is_some_and(Hold::is_over) {
                audio.hold = None;
            }
        });
    }

    /// Returns the record of a member that was found in the room, and corrects its flags: a deaf member of a waiting room
    /// entered deaf by its plan.
    pub(super) fn found_waiting(&self, flags: &mut Flags) -> Option<Box<MemberAudio>> {
        if !self.room.is_waiting() {
            return None;
        }
        let hears = std::mem::replace(&mut flags.hear, true);
        let hears = Some(hears).filter(|_| !flags.hold);
        Some(MemberAudio::with_hold(Hold::waiting(hears)))
    }

    /// Starts the conference with a member that has just joined, or makes it wait.
    pub(super) fn joined_waiting(&mut self, call: CallId, synthesized: bool) {
        self.start_with(call, None, synthesized);
        if self.room.is_waiting() {
            self.room.with_member(call, |m| {
                let hears = Some(m.flags.hear);
                let hold = &mut m.audio.get_or_insert_default().hold;
                hold.get_or_insert(Hold::waiting(hears));
            });
            self.play_wait_music(call);
        }
        self.adjust_hearing(call);
    }

    /// Starts a waiting conference if this member does so.
    pub(super) fn start_with(
        &mut self,
        call: CallId,
        command_uid: Option<CommandUid>,
        synthesized: bool,
    ) {
        let starts =
            |m: &Member| m.status == MemberStatus::Joined && m.settings.starts_conference();
        if self.room.is_waiting() && self.room.members.get(&call).is_some_and(starts) {
            self.room.started = true;
            self.start(Some(call), command_uid, synthesized);
        }
    }

    /// Applies a change of the room's settings. A running conference goes on without a wait.
    pub(super) fn change_wait(
        &mut self,
        waits: Option<bool>,
        has_new_music: bool,
        command_uid: Option<CommandUid>,
    ) {
        let is_running = self.room.present > 0;
        let had_started = self.room.started;
        match waits {
            Some(true) => self.room.started = is_running,
            Some(false) => {
                self.room.started = false;
                if is_running && !had_started {
                    self.start(None, command_uid, false);
                }
            }
            None if has_new_music && self.room.is_waiting() => {
                for call in self.present() {
                    self.end_wait_music(call);
                    self.play_wait_music(call);
                }
            }
            None => {}
        }
    }

    /// Continues the wait of a room whose registration a snapshot restores, unless a member hears the others: then it had
    /// started.
    pub(super) fn adopt_wait(&mut self, is_heard: bool) {
        let hears = |m: &Member| m.membership.is_some() && m.flags.hear;
        let is_heard = is_heard || self.room.members.values().any(hears);
        self.room.started = is_heard && self.room.settings().wait_for_moderator;
        let waiting = if self.room.is_waiting() {
            self.present()
        } else {
            Vec::new()
        };
        for call in waiting {
            self.room.with_member(call, |m| {
                let hears = Some(std::mem::replace(&mut m.flags.hear, true));
                let hold = &mut m.audio.get_or_insert_default().hold;
                hold.get_or_insert(Hold::waiting(None)).hears = hears;
            });
        }
    }

    fn present(&self) -> Vec<CallId> {
        let members = self.room.members.iter();
        let present = members.filter(|(_, m)| m.membership.is_some());
        present.map(|(call, _)| *call).collect()
    }

    /// Reports the start and lets all members hear.
    fn start(&mut self, by: Option<CallId>, command_uid: Option<CommandUid>, synthesized: bool) {
        self.updated();
        self.notify(RoomEvent::Started { by }, command_uid, synthesized);
        for call in self.present() {
            self.end_wait_music(call);
            self.adjust_hearing(call);
        }
    }

    /// Plays the music of a waiting member to it, unless it is held.
    pub(super) fn play_wait_music(&mut self, call: CallId) {
        let Some(m) = self.room.members.get(&call) else {
            return;
        };
        let is_held = m.flags.hold || m.hold().is_some_and(|hold| !hold.is_over());
        let url = self.room.settings().wait_url.clone();
        if let Some(url) = url.filter(|_| self.room.is_waiting() && !is_held) {
            let (alive, now) = (self.can_play_to(call), self.now);
            let operation = music_id(m, now);
            self.play_to(call, |playback| {
                playback.loop_music(operation, url, alive, now)
            });
        }
    }

    /// Ends the music of a member that no longer waits, or is held.
    pub(super) fn end_wait_music(&mut self, call: CallId) {
        let Some(m) = self.room.members.get(&call) else {
            return;
        };
        let music = m.audio.as_ref().and_then(|audio| audio.playback.music());
        let of_hold = m.hold().and_then(|hold| hold.music.as_ref());
        let of_hold = of_hold.map(|(operation, _)| *operation);
        if music.is_some_and(|music| Some(music.operation) != of_hold) {
            let alive = self.can_play_to(call);
            self.play_to(call, |playback| playback.end_music(alive));
        }
    }
}
