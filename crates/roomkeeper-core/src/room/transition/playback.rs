//! The playback of a room, applied to its conference, and the playback to one member.

use crate::ids::{CallId, OperationId};
use crate::room::audio::MemberAudio;
use crate::room::effect::{RoomCommand, RoomEvent};
use crate::room::media::Media;
use crate::room::member::MemberStatus;
use crate::room::play::{MemberPlayEvent, PlayEvent};
use crate::room::playback::{PlayEffect, PlayInput, Playback};
use crate::room::state::RoomStatus;

use super::Transition;

impl Transition<'_> {
    pub(super) fn apply_playback(&mut self, input: PlayInput) {
        let (alive, now) = (self.can_play(), self.now);
        self.play(|playback| playback.apply(input, alive, now));
    }

    /// Returns true if there is a conference to play into.
    pub(super) fn can_play(&self) -> bool {
        self.room.conference().is_some() && !matches!(self.room.status, RoomStatus::Terminated)
    }

    pub(super) fn apply_member_playback(&mut self, call: CallId, input: PlayInput) {
        let (alive, now) = (self.can_play_to(call), self.now);
        self.play_to(call, |playback| playback.apply(input, alive, now));
    }

    /// Returns true if a member can be played to.
    pub(super) fn can_play_to(&self, call: CallId) -> bool {
        let member = self.room.members.get(&call);
        member.is_some_and(|m| m.membership.is_some() && m.status == MemberStatus::Joined)
    }

    /// Changes the playback to a member.
    pub(super) fn play_to(
        &mut self,
        call: CallId,
        change: impl FnOnce(&mut Playback) -> Vec<PlayEffect>,
    ) {
        let effects = self.room.with_member(call, |member| {
            change(&mut member.audio.get_or_insert_default().playback)
        });
        for effect in effects.into_iter().flatten() {
            match effect {
                PlayEffect::Command(command) => {
                    self.command(RoomCommand::PlayTo { call, command });
                }
                PlayEffect::Notify(event, command_uid, synthesized) => {
                    if let Some(event) = MemberPlayEvent::from_event(event) {
                        let event = RoomEvent::MemberPlay { call, event };
                        self.notify(event, command_uid, synthesized);
                    }
                }
            }
        }
    }

    /// Speaks the number of members to one that has entered and is not alone. Members that wait hear nobody, and those of an
    /// adopted room have entered before.
    pub(super) fn announce_count(&mut self, call: CallId) {
        let count = self.room.present;
        let is_silent = count < 2 || self.room.is_waiting();
        if is_silent || self.room.adopted_at == Some(self.now) {
            return;
        }
        let announcement = self.room.settings().announce_count.as_ref();
        let Some(spoken) = announcement.map(|announcement| announcement.spoken(count)) else {
            return;
        };
        let Some(member) = self.room.members.get(&call).map(|m| m.id) else {
            return;
        };
        let input = PlayInput::Start {
            // Each membership has one announcement.
            operation: OperationId::new(member.uuid()),
            media: vec![Media::Speech(spoken)],
            command_uid: None,
        };
        self.apply_member_playback(call, input);
    }

    /// Continues the playback to a member that stays after all.
    pub(super) fn resume_member_playback(&mut self, call: CallId) {
        let (alive, now) = (self.can_play_to(call), self.now);
        if self.has_audio(call) {
            self.play_to(call, |playback| playback.resume(alive, now));
        }
    }

    /// Applies a deadline of the sound that a member alone hears.
    pub(super) fn member_audio_deadline(&mut self, call: CallId) {
        let (alive, now) = (self.can_play_to(call), self.now);
        if self.has_audio(call) {
            self.play_to(call, |playback| playback.past_deadline(alive, now));
        }
    }

    fn has_audio(&self, call: CallId) -> bool {
        let is_playing = |audio: &MemberAudio| !audio.playback.is_idle();
        let member = self.room.members.get(&call);
        member
            .and_then(|m| m.audio.as_deref())
            .is_some_and(is_playing)
    }

    /// Ends the playback to a member whose files FreeSWITCH has stopped.
    pub(super) fn stop_member_files(&mut self, call: CallId, synthesized: bool) {
        if self.has_audio(call) {
            self.play_to(call, |playback| playback.stopped_by_switch(synthesized));
        }
    }

    /// Ends the playback to a member that has left.
    pub(super) fn end_member_playback(&mut self, call: CallId, synthesized: bool) {
        if self.has_audio(call) {
            self.play_to(call, |playback| playback.conference_over(synthesized));
        }
    }

    pub(super) fn play(&mut self, change: impl FnOnce(&mut Playback) -> Vec<PlayEffect>) {
        let before = self.room.playback.clone();
        let effects = change(&mut self.room.playback);
        if self.room.playback != before {
            self.room.changes.play = true;
        }
        for effect in effects {
            match effect {
                PlayEffect::Command(command) => self.command(RoomCommand::Play(command)),
                PlayEffect::Notify(event, command_uid, synthesized) => {
                    let over = end_of(&event);
                    self.notify(RoomEvent::Play(event), command_uid, synthesized);
                    if let Some((operation, played)) = over {
                        self.announced(operation, played);
                    }
                }
            }
        }
    }
}

/// Returns the operation that is over, and true if all of it was played; `None` for other events.
const fn end_of(event: &PlayEvent) -> Option<(OperationId, bool)> {
    match event {
        PlayEvent::Finished { operation, errors } => Some((*operation, errors.is_empty())),
        PlayEvent::Stopped { operation } => Some((*operation, false)),
        PlayEvent::Started { .. }
        | PlayEvent::Paused { .. }
        | PlayEvent::Resumed { .. }
        | PlayEvent::VolumeChanged { .. } => None,
    }
}
