//! Playback in rooms and to single members: actions of callers and answers of FreeSWITCH.

use std::collections::BTreeSet;

use crate::command_error::CommandError;
use crate::entity::Target;
use crate::ids::{OperationId, RoomId};
use crate::room::playback::ROOM_LIMITS;
use crate::room::{
    FileId, MEMBER_LIMITS, PlayCommand, PlayFailure, PlayInput, Playback, RoomInput,
};

use crate::intent::{
    Accepted, Decision, OperationAccepted, PauseAccepted, Play, Refusal, SetVolume, StopAccepted,
    VolumeAccepted,
};
use crate::switch_command::{SwitchAction, SwitchCommand};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    pub(super) fn check_play(&self, target: Target, play: &Play) -> Result<Decision, Refusal> {
        let fits = match target {
            Target::Room(room) => {
                let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
                // FreeSWITCH has no conference to play into.
                if state.present() == 0 {
                    return Err(Refusal::NoMembers);
                }
                state.playback().has_room_for(&play.media, ROOM_LIMITS)
            }
            Target::Member { .. } | Target::Call(_) => {
                self.joined_member(target)?;
                let playback = self.playback(target);
                playback.is_none_or(|playback| playback.has_room_for(&play.media, MEMBER_LIMITS))
            }
        };
        if fits {
            Ok(Decision::Act)
        } else {
            Err(Refusal::TooMuchPlaying)
        }
    }

    pub(super) fn check_stop(&self, target: Target) -> Result<Decision, Refusal> {
        if let Target::Member { .. } = target {
            self.joined_member(target)?;
        }
        Ok(Decision::Act)
    }

    /// Returns the playback of a room, or to a member.
    fn playback(&self, target: Target) -> Option<&Playback> {
        let room = self.room(target.room()?)?;
        match target.call() {
            None => Some(room.playback()),
            Some(call) => Some(&room.members().get(&call)?.audio.as_ref()?.playback),
        }
    }

    /// Applies an input to the playback of a room, or to a member.
    fn play_input(&mut self, target: Target, input: PlayInput, cx: &mut Context<'_>) {
        let Some(room) = target.room() else { return };
        let input = match target.call() {
            None => RoomInput::Play(input),
            Some(call) => RoomInput::PlayTo { call, input },
        };
        self.room_input(room, input, cx);
    }

    /// Returns true if there is a playback that a report of FreeSWITCH can be about.
    fn has_playback(&self, target: Target) -> bool {
        self.playback(target).is_some()
    }

    pub(super) fn play(
        &mut self,
        by: Request,
        play: Play,
        cx: &mut Context<'_>,
    ) -> Result<OperationAccepted, Refusal> {
        let operation = OperationId::new(cx.ids.next_uuid());
        let input = PlayInput::Start {
            operation,
            media: play.media,
            command_uid: by.command_uid,
        };
        self.play_input(by.target, input, cx);
        Ok(OperationAccepted { operation })
    }

    pub(super) fn check_pause(&self, room: RoomId) -> Result<Decision, Refusal> {
        self.playing(Target::Room(room))
            .ok_or(Refusal::NothingPlaying)?;
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
        let operation = self
            .playing(Target::Room(room))
            .ok_or(Refusal::NothingPlaying)?;
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
        let operation = self.playing(by.target);
        let input = PlayInput::Stop {
            command_uid: by.command_uid,
        };
        self.play_input(by.target, input, cx);
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
        let operation = self.playing(Target::Room(room));
        let input = PlayInput::Volume {
            volume,
            command_uid: by.command_uid,
        };
        self.room_input(room, RoomInput::Play(input), cx);
        Ok(VolumeAccepted { operation, volume })
    }

    fn playing(&self, target: Target) -> Option<OperationId> {
        Some(self.playback(target)?.head()?.id)
    }

    /// Applies the answer to a command whose answer has content; returns the result for the caller.
    pub fn apply_answer(
        &mut self,
        command: &SwitchCommand,
        text: &str,
        cx: &mut Context<'_>,
    ) -> Option<Accepted> {
        if let (SwitchAction::Dial { .. }, Target::Member { room, call }) =
            (&command.action, command.target)
        {
            self.dial_answered(room, call, true, cx);
            return None;
        }
        let SwitchAction::Play(play) = &command.action else {
            self.recording_answered(command, cx);
            return None;
        };
        let target = command.target;
        let input = match play {
            PlayCommand::Start { file, .. } => PlayInput::Opened(*file),
            PlayCommand::Toggle { command_uid } => PlayInput::Toggled {
                paused: text != "Resume",
                command_uid: command_uid.clone(),
            },
            PlayCommand::Stop | PlayCommand::Volume { .. } => return None,
        };
        if !self.has_playback(target) {
            return None;
        }
        let toggled = match &input {
            PlayInput::Toggled { paused, .. } => Some(*paused),
            PlayInput::Start { .. }
            | PlayInput::Announce { .. }
            | PlayInput::Withdraw(_)
            | PlayInput::Stop { .. }
            | PlayInput::Volume { .. }
            | PlayInput::Opened(_)
            | PlayInput::NotPlayed(..)
            | PlayInput::NoMember(_)
            | PlayInput::Ended(_)
            | PlayInput::Lost(_) => None,
        };
        self.play_input(target, input, cx);
        let (paused, operation) = (toggled?, self.playing(target)?);
        Some(Accepted::Pause(PauseAccepted { operation, paused }))
    }

    pub(super) fn play_refused(
        &mut self,
        target: Target,
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
                let is_member = target.call().is_some();
                let input = if is_member && *error == CommandError::NoSuchChannel {
                    PlayInput::NoMember(*file)
                } else {
                    PlayInput::NotPlayed(*file, why)
                };
                if self.has_playback(target) {
                    self.play_input(target, input, cx);
                }
            }
            // If nothing plays, there is nothing to pause, to stop or to make louder.
            PlayCommand::Toggle { .. } | PlayCommand::Stop | PlayCommand::Volume { .. } => {}
        }
    }

    /// Returns the rooms in which, and the members to whom, FreeSWITCH should be playing something.
    pub fn playing_targets(&self) -> Vec<Target> {
        let rooms = self.rooms.values();
        let is_playing = |target: &Target| {
            let playback = self.playback(*target);
            playback.is_some_and(|playback| !playback.at_freeswitch().is_empty())
        };
        rooms
            .flat_map(|room| {
                let id = room.id();
                let with_audio = room.members().iter().filter(|(_, m)| m.audio.is_some());
                let members = with_audio.map(move |(call, _)| Target::Member {
                    room: id,
                    call: *call,
                });
                std::iter::once(Target::Room(id)).chain(members)
            })
            .filter(is_playing)
            .collect()
    }

    /// Applies FreeSWITCH's report that it plays nothing to these targets. `confirmed` holds the files that were missing
    /// in the previous report; the result holds those that are missing only now.
    pub fn apply_silence_report(
        &mut self,
        targets: &[Target],
        confirmed: &BTreeSet<(Target, FileId)>,
        cx: &mut Context<'_>,
    ) -> BTreeSet<(Target, FileId)> {
        let mut suspects = BTreeSet::new();
        for target in targets {
            let known_files = self.playback(*target).map(Playback::at_freeswitch);
            for file in known_files.unwrap_or_default() {
                if confirmed.contains(&(*target, file)) {
                    self.play_input(*target, PlayInput::Lost(file), cx);
                } else {
                    suspects.insert((*target, file));
                }
            }
        }
        suspects
    }
}
