//! The playback of a room, applied to its conference.

use crate::room::effect::{RoomCommand, RoomEvent};
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
                    self.notify(RoomEvent::Play(event), command_uid, synthesized);
                }
            }
        }
    }
}
