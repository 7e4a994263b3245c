//! Playback in rooms: actions of callers and answers of FreeSWITCH.

use std::collections::BTreeSet;

use crate::command_error::CommandError;
use crate::entity::Target;
use crate::ids::{OperationId, RoomId};
use crate::room::{FileId, PlayCommand, PlayFailure, PlayInput, RoomInput};

use crate::intent::{
    Accepted, Decision, OperationAccepted, PauseAccepted, Play, Refusal, SetVolume, StopAccepted,
    VolumeAccepted,
};
use crate::switch_command::{SwitchAction, SwitchCommand};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    pub(super) fn check_play(&self, room: RoomId, play: &Play) -> Result<Decision, Refusal> {
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        // FreeSWITCH has no conference to play into.
        if state.present() == 0 {
            return Err(Refusal::NoMembers);
        }
        if !state.playback().has_room_for(&play.urls) {
            return Err(Refusal::TooMuchPlaying);
        }
        Ok(Decision::Act)
    }

    pub(super) fn play(
        &mut self,
        by: Request,
        play: Play,
        cx: &mut Context<'_>,
    ) -> Result<OperationAccepted, Refusal> {
        let room = by.room()?;
        let operation = OperationId::new(cx.ids.next_uuid());
        let input = PlayInput::Start {
            operation,
            urls: play.urls,
            command_uid: by.command_uid,
        };
        self.room_input(room, RoomInput::Play(input), cx);
        Ok(OperationAccepted { operation })
    }

    pub(super) fn check_pause(&self, room: RoomId) -> Result<Decision, Refusal> {
        self.playing(room).ok_or(Refusal::NothingPlaying)?;
        Ok(Decision::Act)
    }

    /// Pauses or resumes. FreeSWITCH has only a toggle, so its answer decides which it was: see
    /// [`NodeState::apply_answer`].
    pub(super) fn pause(
        &mut self,
        by: Request,
        cx: &mut Context<'_>,
    ) -> Result<PauseAccepted, Refusal> {
        let room = by.room()?;
        let operation = self.playing(room).ok_or(Refusal::NothingPlaying)?;
        let paused = self.room(room).is_some_and(|r| r.playback().paused());
        let toggle = PlayCommand::Toggle {
            command_uid: by.command_uid,
        };
        let command = SwitchCommand::new(Target::Room(room), SwitchAction::Play(toggle));
        cx.out.commands.push(command);
        Ok(PauseAccepted {
            operation,
            paused: !paused,
        })
    }

    /// Stops the playback. FreeSWITCH gets the command even if nothing plays: an earlier stop may not have reached it.
    pub(super) fn stop(
        &mut self,
        by: Request,
        cx: &mut Context<'_>,
    ) -> Result<StopAccepted, Refusal> {
        let room = by.room()?;
        let operation = self.playing(room);
        let input = PlayInput::Stop {
            command_uid: by.command_uid,
        };
        self.room_input(room, RoomInput::Play(input), cx);
        Ok(StopAccepted { operation })
    }

    pub(super) fn set_volume(
        &mut self,
        by: Request,
        set: SetVolume,
        cx: &mut Context<'_>,
    ) -> Result<VolumeAccepted, Refusal> {
        let room = by.room()?;
        let SetVolume { volume } = set;
        let operation = self.playing(room);
        let input = PlayInput::Volume {
            volume,
            command_uid: by.command_uid,
        };
        self.room_input(room, RoomInput::Play(input), cx);
        Ok(VolumeAccepted { operation, volume })
    }

    fn playing(&self, room: RoomId) -> Option<OperationId> {
        Some(self.room(room)?.playback().head()?.id)
    }

    /// Applies the answer to a command whose answer has content; returns the result for the caller.
    pub fn apply_answer(
        &mut self,
        command: &SwitchCommand,
        text: &str,
        cx: &mut Context<'_>,
    ) -> Option<Accepted> {
        let (SwitchAction::Play(play), Some(room)) = (&command.action, command.target.room())
        else {
            self.recording_answered(command, cx);
            return None;
        };
        let input = match play {
            PlayCommand::Start { file, .. } => PlayInput::Opened(*file),
            PlayCommand::Toggle { command_uid } => PlayInput::Toggled {
                paused: text != "Resume",
                command_uid: command_uid.clone(),
            },
            PlayCommand::Stop | PlayCommand::Volume { .. } => return None,
        };
        if !self.rooms.contains_key(&room) {
            return None;
        }
        let toggled = match &input {
            PlayInput::Toggled { paused, .. } => Some(*paused),
            PlayInput::Start { .. }
            | PlayInput::Stop { .. }
            | PlayInput::Volume { .. }
            | PlayInput::Opened(_)
            | PlayInput::NotPlayed(..)
            | PlayInput::Ended(_)
            | PlayInput::Lost(_) => None,
        };
        self.room_input(room, RoomInput::Play(input), cx);
        let (paused, operation) = (toggled?, self.playing(room)?);
        Some(Accepted::Pause(PauseAccepted { operation, paused }))
    }

    pub(super) fn play_refused(
        &mut self,
        room: RoomId,
        command: &PlayCommand,
        error: &CommandError,
        cx: &mut Context<'_>,
    ) {
        match command {
            PlayCommand::Start { file, .. } => {
                let why = match error {
                    CommandError::Refused(_) | CommandError::NoSuchChannel => PlayFailure::Refused,
                    CommandError::Down { .. } | CommandError::Busy => PlayFailure::NotSent,
                    // The file may still be opened: its deadline decides.
                    CommandError::Unknown => return,
                };
                if self.rooms.contains_key(&room) {
                    let input = PlayInput::NotPlayed(*file, why);
                    self.room_input(room, RoomInput::Play(input), cx);
                }
            }
            // If nothing plays, there is nothing to pause, to stop or to make louder.
            PlayCommand::Toggle { .. } | PlayCommand::Stop | PlayCommand::Volume { .. } => {}
        }
    }

    /// Returns the rooms in which FreeSWITCH should be playing something.
    pub fn playing_rooms(&self) -> Vec<RoomId> {
        self.rooms
            .values()
            .filter(|r| !r.playback().at_freeswitch().is_empty())
            .map(|r| r.id())
            .collect()
    }

    /// Applies FreeSWITCH's report that it plays nothing in these rooms. `confirmed` holds the files that were missing
    /// in the previous report; the result holds those that are missing only now.
    pub fn apply_silence_report(
        &mut self,
        rooms: &[RoomId],
        confirmed: &BTreeSet<(RoomId, FileId)>,
        cx: &mut Context<'_>,
    ) -> BTreeSet<(RoomId, FileId)> {
        let mut suspects = BTreeSet::new();
        for room in rooms {
            let known_files = self
                .room(*room)
                .map(|r| r.playback().at_freeswitch())
                .unwrap_or_default();
            for file in known_files {
                if confirmed.contains(&(*room, file)) {
                    self.room_input(*room, RoomInput::Play(PlayInput::Lost(file)), cx);
                } else {
                    suspects.insert((*room, file));
                }
            }
        }
        suspects
    }
}
