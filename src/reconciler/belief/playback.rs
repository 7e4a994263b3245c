//! What plays in rooms: what callers want of it, and what FreeSWITCH answers.

use std::collections::BTreeSet;

use crate::ids::{AppId, CommandUid, OperationId, RoomId};
use crate::node::CommandError;
use crate::play_url::PlayUrl;
use crate::room::{FileId, PlayCommand, PlayInput, RoomInput, Unplayed};

use crate::reconciler::intent::{Accepted, Refusal};

use super::{Belief, Cx, Order};

impl Belief {
    pub(super) fn play(
        &mut self,
        room: RoomId,
        app: &AppId,
        urls: Vec<PlayUrl>,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        self.own_room(room, app)?;
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        // FreeSWITCH has no conference then to play into.
        if state.present() == 0 {
            return Err(Refusal::NoMembers);
        }
        if !state.playback().has_room_for(&urls) {
            return Err(Refusal::TooMuchPlaying);
        }
        let operation = OperationId::new(cx.ids.uuid());
        let input = PlayInput::Start {
            operation,
            urls,
            command_uid,
        };
        self.room_input(room, RoomInput::Play(input), cx);
        Ok(Accepted::Playing { operation })
    }

    /// FreeSWITCH has only a toggle, so its answer decides what it came to: see [`Belief::answered`].
    pub(super) fn pause(
        &mut self,
        room: RoomId,
        app: &AppId,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        self.own_room(room, app)?;
        let operation = self.playing(room).ok_or(Refusal::NothingPlaying)?;
        let paused = self.room(room).is_some_and(|r| r.playback().paused());
        let command = PlayCommand::Toggle { command_uid };
        cx.out.orders.push(Order::Play { room, command });
        Ok(Accepted::Toggled {
            operation,
            paused: !paused,
        })
    }

    /// FreeSWITCH is told also when nothing is believed to play: an earlier stop may not have reached it.
    pub(super) fn stop(
        &mut self,
        room: RoomId,
        app: &AppId,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        self.own_room(room, app)?;
        let operation = self.playing(room);
        let input = PlayInput::Stop { command_uid };
        self.room_input(room, RoomInput::Play(input), cx);
        Ok(Accepted::Stopped { operation })
    }

    pub(super) fn volume(
        &mut self,
        room: RoomId,
        app: &AppId,
        volume: i8,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        self.own_room(room, app)?;
        let operation = self.playing(room);
        let input = PlayInput::Volume {
            volume,
            command_uid,
        };
        self.room_input(room, RoomInput::Play(input), cx);
        Ok(Accepted::VolumeSet { operation, volume })
    }

    fn playing(&self, room: RoomId) -> Option<OperationId> {
        Some(self.room(room)?.playback().head()?.id)
    }

    /// FreeSWITCH carried an order out whose answer says something: what the caller is told then, if it says so.
    pub fn answered(&mut self, order: &Order, text: &str, cx: &mut Cx<'_>) -> Option<Accepted> {
        let Order::Play { room, command } = order else {
            return None;
        };
        let input = match command {
            PlayCommand::Start { file, .. } => PlayInput::Opened(*file),
            PlayCommand::Toggle { command_uid } => PlayInput::Toggled {
                paused: text != "Resume",
                command_uid: command_uid.clone(),
            },
            PlayCommand::Stop | PlayCommand::Volume { .. } => return None,
        };
        if !self.rooms.contains_key(room) {
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
        self.room_input(*room, RoomInput::Play(input), cx);
        let (paused, operation) = (toggled?, self.playing(*room)?);
        Some(Accepted::Toggled { operation, paused })
    }

    pub(super) fn play_refused(
        &mut self,
        room: RoomId,
        command: &PlayCommand,
        error: &CommandError,
        cx: &mut Cx<'_>,
    ) {
        match command {
            PlayCommand::Start { file, .. } => {
                let why = match error {
                    CommandError::Refused(_) | CommandError::NoSuchChannel => Unplayed::Refused,
                    CommandError::Down { .. } | CommandError::Busy => Unplayed::NotSent,
                    // It may be opened yet: its deadline decides.
                    CommandError::Unknown => return,
                };
                if *error == CommandError::NoSuchChannel {
                    cx.out.resync = Some("FreeSWITCH does not have a room");
                }
                if self.rooms.contains_key(&room) {
                    let input = PlayInput::NotPlayed(*file, why);
                    self.room_input(room, RoomInput::Play(input), cx);
                }
            }
            // Where nothing plays there is nothing to pause, to stop or to turn up.
            PlayCommand::Toggle { .. } | PlayCommand::Stop | PlayCommand::Volume { .. } => {}
        }
    }

    /// The rooms that FreeSWITCH should be playing something in.
    pub fn playing_rooms(&self) -> Vec<RoomId> {
        self.rooms
            .values()
            .filter(|r| !r.playback().at_freeswitch().is_empty())
            .map(|r| r.id())
            .collect()
    }

    /// FreeSWITCH says that it plays nothing in these rooms. `confirmed` is what it was said to lack at the look before
    /// this one; returned is what it lacks now and did not then.
    pub fn silent(
        &mut self,
        rooms: &[RoomId],
        confirmed: &BTreeSet<(RoomId, FileId)>,
        cx: &mut Cx<'_>,
    ) -> BTreeSet<(RoomId, FileId)> {
        let mut suspects = BTreeSet::new();
        for room in rooms {
            let believed = self
                .room(*room)
                .map(|r| r.playback().at_freeswitch())
                .unwrap_or_default();
            for file in believed {
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
