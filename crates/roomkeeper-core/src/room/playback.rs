//! The playback of a room or to one member: operations, their files, and the state of each file.
//!
//! Owns the queue and its rules. In FreeSWITCH, files open in completion order, not in request order, so at most one is
//! being opened. FreeSWITCH has at most two files, one that plays and one that is ready, so that few files
//! remain after a stop and a volume applies to the files that follow. Only the operation and index in front of its path
//! identify a file in an event ([`FileId`]).
//!
//! An opening outlives its operation: a file that opens after a stop is stopped at once, and no other file is sent
//! until then. A file whose opening is not confirmed by its deadline counts as not played and is never sent again.

use std::collections::VecDeque;
use std::time::Duration;

use super::media::Media;
use crate::ids::{CommandUid, OperationId};
use crate::play_url::PlayUrl;
use crate::time::Timestamp;

use super::play::{FileId, PlayCommand, PlayEvent, PlayFailure};

/// The time that FreeSWITCH may take to open a file.
pub const OPENING: Duration = Duration::from_secs(30);

/// The maximum number of files at FreeSWITCH: the one that plays, and the one that follows it without a gap.
const AT_FREESWITCH: usize = 2;

/// The limits of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The maximum number of waiting operations.
    pub operations: usize,
    /// The maximum size of all waiting URLs and texts, in bytes.
    pub bytes: usize,
}

/// The limits of a room's queue, which is stored with the room.
pub const ROOM_LIMITS: Limits = Limits {
    operations: 64,
    bytes: 256 * 1024,
};

/// The shortest time between two repetitions of music: shorter music leaves silence, so that it costs the node little.
const MUSIC_INTERVAL: Duration = Duration::from_secs(2);

/// The time until music that could not be played is tried again.
const MUSIC_RETRY: Duration = Duration::from_secs(30);

/// The number of ended operations that are remembered for late events.
const REMEMBERED: usize = 16;

/// The state of a file. It only moves forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileState {
    /// Not sent yet.
    Waiting,
    /// FreeSWITCH has the command to play it: it is [`Playback::opening()`].
    Opening,
    /// FreeSWITCH has it: it plays, or follows the one that does.
    Ready {
        /// The volume, in decibels.
        volume: i8,
    },
    /// Played.
    Done,
    /// Not played, or unknown.
    Failed(PlayFailure),
}

impl FileState {
    const fn is_over(self) -> bool {
        match self {
            Self::Done | Self::Failed(_) => true,
            Self::Waiting | Self::Opening | Self::Ready { .. } => false,
        }
    }
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its sound.
    pub media: Media,
    /// The state.
    pub state: FileState,
}

/// The files of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The files, in playing order.
    pub files: Vec<File>,
}

impl Operation {
    /// Returns true if one of its files has been sent to FreeSWITCH.
    fn has_begun(&self) -> bool {
        self.files
            .iter()
            .any(|file| file.state != FileState::Waiting)
    }
}

/// The file that is being opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The file. Its operation may be over.
    pub file: FileId,
    /// The volume that was sent with it.
    pub volume: i8,
    /// The opening fails then.
    pub deadline: Timestamp,
}

/// Music that repeats while no operation plays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Music {
    /// The id of its files.
    pub operation: OperationId,
    /// The URL.
    pub url: PlayUrl,
    /// The index of the next repetition.
    pub next: u16,
    /// The repetitions that FreeSWITCH has, in playing order.
    pub ready: VecDeque<u16>,
    /// The time before which it is not sent again; `None` until FreeSWITCH reports the member again.
    pub not_before: Option<Timestamp>,
}

/// The playback of a room or to one member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Playback {
    pub(super) operations: VecDeque<Operation>,
    pub(super) opening: Option<Opening>,
    pub(super) volume: i8,
    pub(super) paused: bool,
    pub(super) music: Option<Music>,
    /// Operations that ended. Not stored: only avoids reads of the store.
    pub(super) over: VecDeque<OperationId>,
    /// True if operations were added or removed since the last commit.
    pub(super) urls_changed: bool,
}

/// An input of the playback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlayInput {
    /// A request to play files.
    Start {
        /// The id of the operation.
        operation: OperationId,
        /// The files and texts.
        media: Vec<Media>,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// An operation that plays before those that have not begun: the announcement of a recording.
    Announce {
        /// The id of the operation.
        operation: OperationId,
        /// The file or text.
        media: Media,
    },
    /// The operation is no longer wanted. It has no effect once the operation has begun.
    Withdraw(OperationId),
    /// A request to stop everything.
    Stop {
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// A request to set the volume, of the present playback and of all that follows.
    Volume {
        /// In decibels.
        volume: i8,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// FreeSWITCH paused or resumed the playback.
    Toggled {
        /// True if it is paused.
        paused: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// FreeSWITCH opened a file: it plays, or will.
    Opened(FileId),
    /// FreeSWITCH could not open a file, or did not get the command.
    NotPlayed(FileId, PlayFailure),
    /// FreeSWITCH does not know the member that a file was to be played to. A snapshot decides.
    NoMember(FileId),
    /// A file ended.
    Ended(FileId),
    /// FreeSWITCH had a file and plays nothing, and no event reported the end.
    Lost(FileId),
}

/// An effect of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PlayEffect {
    Command(PlayCommand),
    Notify(PlayEvent, Option<CommandUid>, bool),
}

impl Playback {
    /// Returns the operations that are not over, in playing order.
    pub const fn operations(&self) -> &VecDeque<Operation> {
        &self.operations
    }

    /// Returns the operation that plays or comes next.
    pub fn head(&self) -> Option<&Operation> {
        self.operations.front()
    }

    /// Returns the file that is being opened.
    pub const fn opening(&self) -> Option<Opening> {
        self.opening
    }

    /// Returns the volume in decibels, of the present playback and of all that follows.
    pub const fn volume(&self) -> i8 {
        self.volume
    }

    /// Returns true if the playback is paused.
    pub const fn paused(&self) -> bool {
        self.paused
    }

    /// Returns the files that FreeSWITCH has, in playing order.
    pub fn at_freeswitch(&self) -> Vec<FileId> {
        self.ready().map(|(file, _)| file).collect()
    }

    /// Returns true if an operation belongs to this room, or did a short while ago.
    pub fn knows(&self, operation: OperationId) -> bool {
        self.operations.iter().any(|op| op.id == operation)
            || self.over.contains(&operation)
            || self.is_music(operation)
            || self.opening.is_some_and(|o| o.file.operation == operation)
    }

    /// Returns true if an operation is in the queue.
    pub(super) fn has(&self, operation: OperationId) -> bool {
        self.operations.iter().any(|op| op.id == operation)
    }

    /// Returns true if nothing plays, waits or is being opened.
    pub fn is_idle(&self) -> bool {
        self.operations.is_empty() && self.opening.is_none() && self.music.is_none()
    }

    /// Returns the music.
    pub const fn music(&self) -> Option<&Music> {
        self.music.as_ref()
    }

    /// Returns true if these files and texts fit into the queue.
    pub fn has_room_for(&self, media: &[Media], limits: Limits) -> bool {
        let waiting: usize = self
            .operations
            .iter()
            .flat_map(|op| &op.files)
            .map(|file| file.media.bytes())
            .sum();
        let more: usize = media.iter().map(Media::bytes).sum();
        self.operations.len() < limits.operations && waiting.saturating_add(more) <= limits.bytes
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let is_waiting = self.opening.is_none() && self.operations.is_empty();
        let music = self.music.as_ref().filter(|music| {
            let is_missing = music.ready.len() < AT_FREESWITCH;
            is_waiting && is_missing
        });
        let opening = self.opening.map(|o| o.deadline);
        opening.or(music.and_then(|music| music.not_before))
    }

    fn is_music(&self, operation: OperationId) -> bool {
        let music = self.music.as_ref();
        music.is_some_and(|music| music.operation == operation)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        for op in &self.operations {
            if op.files.iter().all(|f| f.state.is_over()) {
                return Err(format!("{} is over, and still in the queue", op.id));
            }
            for (index, file) in op.files.iter().enumerate() {
                let is_this_file = self.opening.is_some_and(|o| {
                    o.file.operation == op.id && usize::from(o.file.index) == index
                });
                if is_this_file != (file.state == FileState::Opening) {
                    return Err(format!(
                        "the state of file {index} of {} disagrees with the opening",
                        op.id
                    ));
                }
            }
        }
        if self.paused && self.head().is_none() {
            return Err("it is paused, and nothing plays".to_owned());
        }
        Ok(())
    }

    fn ready(&self) -> impl Iterator<Item = (FileId, i8)> {
        let music = self.music.iter().flat_map(|music| {
            let operation = music.operation;
            let ready = music.ready.iter();
            ready.map(move |index| {
                (
                    FileId {
                        operation,
                        index: *index,
                    },
                    0,
                )
            })
        });
        let operations = self.operations.iter().flat_map(|op| {
            op.files
                .iter()
                .zip(0_u16..)
                .filter_map(|(file, index)| match file.state {
                    FileState::Ready { volume } => {
                        let operation = op.id;
                        Some((FileId { operation, index }, volume))
                    }
                    FileState::Waiting
                    | FileState::Opening
                    | FileState::Done
                    | FileState::Failed(_) => None,
                })
        });
        operations.chain(music)
    }

    fn file_mut(&mut self, id: FileId) -> Option<&mut File> {
        self.operations
            .iter_mut()
            .find(|op| op.id == id.operation)?
            .files
            .get_mut(usize::from(id.index))
    }

    fn forget(&mut self, operation: OperationId) {
        self.urls_changed = true;
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back(operation);
    }

    /// Applies an input. `alive` is true if the room can be played into.
    pub(super) fn apply(
        &mut self,
        input: PlayInput,
        alive: bool,
        now: Timestamp,
    ) -> Vec<PlayEffect> {
        let playing = self.ready().next().map(|(file, _)| file);
        let mut effects = Vec::new();
        match input {
            PlayInput::Start {
                operation,
                media,
                command_uid,
            } => {
                let at = self.operations.len();
                self.start(at, (operation, media), command_uid, alive, &mut effects);
            }
            PlayInput::Announce { operation, media } => {
                let begun = self.operations.iter().rposition(Operation::has_begun);
                let at = begun.map_or(0, |begun| begun + 1);
                self.start(at, (operation, vec![media]), None, alive, &mut effects);
            }
            PlayInput::Withdraw(operation) => self.withdraw(operation, &mut effects),
            PlayInput::Stop { command_uid } => {
                // Music goes on, so there is nothing to stop while it plays alone.
                if alive && (self.music.is_none() || !self.operations.is_empty()) {
                    effects.push(PlayEffect::Command(PlayCommand::Stop));
                }
                self.end(command_uid.as_ref(), false, &mut effects);
            }
            PlayInput::Volume {
                volume,
                command_uid,
            } => {
                self.volume = volume;
                let operation = self.head().map(|op| op.id);
                effects.push(PlayEffect::Notify(
                    PlayEvent::VolumeChanged { operation, volume },
                    command_uid,
                    false,
                ));
            }
            PlayInput::Toggled {
                paused,
                command_uid,
            } => self.toggled(paused, command_uid, &mut effects),
            PlayInput::Opened(file) => self.opened(file, alive, &mut effects),
            PlayInput::NotPlayed(file, why) => {
                if self.settled(file).is_some() {
                    self.set(file, FileState::Failed(why));
                    if let Some(music) = self.music.as_mut()
                        && music.operation == file.operation
                    {
                        music.not_before = Some(now + MUSIC_RETRY);
                    }
                }
            }
            PlayInput::NoMember(file) => {
                if self.settled(file).is_some() {
                    self.set(file, FileState::Failed(PlayFailure::Refused));
                    if let Some(music) = self.music.as_mut() {
                        music.not_before = None;
                    }
                }
            }
            PlayInput::Ended(file) => self.ended(file),
            PlayInput::Lost(id) => {
                self.forget_music(id);
                let ready = |f: &mut File| matches!(f.state, FileState::Ready { .. });
                if self.file_mut(id).is_some_and(ready) {
                    self.set(id, FileState::Failed(PlayFailure::Unconfirmed));
                }
            }
        }
        self.finish(&mut effects);
        self.head_changed(playing, alive, &mut effects);
        self.pump(alive, now, &mut effects);
        effects
    }

    /// Adds an operation at this place of the queue.
    fn start(
        &mut self,
        at: usize,
        (operation, media): (OperationId, Vec<Media>),
        command_uid: Option<CommandUid>,
        alive: bool,
        effects: &mut Vec<PlayEffect>,
    ) {
        effects.push(PlayEffect::Notify(
            PlayEvent::Started {
                operation,
                media: media.clone(),
            },
            command_uid,
            false,
        ));
        let waits = |media| File {
            media,
            state: FileState::Waiting,
        };
        self.urls_changed = true;
        let operation = Operation {
            id: operation,
            files: media.into_iter().map(waits).collect(),
        };
        self.operations.insert(at, operation);
        self.interrupt_music(alive, effects);
    }

    /// Removes an operation that has not begun.
    fn withdraw(&mut self, operation: OperationId, effects: &mut Vec<PlayEffect>) {
        let mut operations = self.operations.iter();
        let Some(at) = operations.position(|op| op.id == operation && !op.has_begun()) else {
            return;
        };
        self.operations.remove(at);
        self.forget(operation);
        effects.push(PlayEffect::Notify(
            PlayEvent::Stopped { operation },
            None,
            false,
        ));
    }

    /// Applies a deadline that may have passed.
    pub(super) fn past_deadline(&mut self, alive: bool, now: Timestamp) -> Vec<PlayEffect> {
        match self.opening {
            Some(opening) if opening.deadline <= now => {
                let why = PlayFailure::NotOpened;
                self.apply(PlayInput::NotPlayed(opening.file, why), alive, now)
            }
            Some(_) => Vec::new(),
            None => {
                let effects = self.resume(alive, now);
                if let Some(music) = self.music.as_mut()
                    && !alive
                {
                    music.not_before = Some(now + MUSIC_INTERVAL);
                }
                effects
            }
        }
    }

    /// Repeats this music from now on.
    pub(super) fn loop_music(
        &mut self,
        operation: OperationId,
        url: PlayUrl,
        alive: bool,
        now: Timestamp,
    ) -> Vec<PlayEffect> {
        self.music = Some(Music {
            operation,
            url,
            next: 0,
            ready: VecDeque::new(),
            not_before: Some(now),
        });
        self.resume(alive, now)
    }

    /// Ends the music. A repetition that is being opened is stopped when it opens.
    pub(super) fn end_music(&mut self, alive: bool) -> Vec<PlayEffect> {
        let mut effects = Vec::new();
        self.interrupt_music(alive, &mut effects);
        self.music = None;
        effects
    }

    /// Continues music that waits for a report of its member.
    pub(super) fn member_reported(&mut self, alive: bool, now: Timestamp) -> Vec<PlayEffect> {
        if let Some(music) = self.music.as_mut() {
            music.not_before.get_or_insert(now);
        }
        self.resume(alive, now)
    }

    /// Ends everything whose files FreeSWITCH has stopped. A file that is being opened is stopped when it opens.
    pub(super) fn stopped_by_switch(&mut self, synthesized: bool) -> Vec<PlayEffect> {
        let mut effects = Vec::new();
        self.music = None;
        self.end(None, synthesized, &mut effects);
        effects
    }

    /// Stops the repetitions of the music that FreeSWITCH has, because an operation comes first.
    fn interrupt_music(&mut self, alive: bool, effects: &mut Vec<PlayEffect>) {
        if let Some(music) = self.music.as_mut()
            && !music.ready.is_empty()
        {
            music.ready.clear();
            if alive {
                effects.push(PlayEffect::Command(PlayCommand::Stop));
            }
        }
    }

    /// Removes a repetition of the music that is over, and those before it. Returns false for any other file.
    fn forget_music(&mut self, id: FileId) -> bool {
        let Some(music) = self.music.as_mut() else {
            return false;
        };
        if music.operation != id.operation {
            return false;
        }
        if let Some(at) = music.ready.iter().position(|index| *index == id.index) {
            music.ready.drain(..=at);
        }
        true
    }

    /// Sends the next file, if it may be sent again.
    pub(super) fn resume(&mut self, alive: bool, now: Timestamp) -> Vec<PlayEffect> {
        let mut effects = Vec::new();
        self.pump(alive, now, &mut effects);
        effects
    }

    /// Ends everything with the conference that carried it.
    pub(super) fn conference_over(&mut self, synthesized: bool) -> Vec<PlayEffect> {
        let mut effects = Vec::new();
        self.end(None, synthesized, &mut effects);
        self.opening = None;
        self.music = None;
        effects
    }

    fn end(
        &mut self,
        command_uid: Option<&CommandUid>,
        synthesized: bool,
        effects: &mut Vec<PlayEffect>,
    ) {
        while let Some(op) = self.operations.pop_front() {
            self.forget(op.id);
            effects.push(PlayEffect::Notify(
                PlayEvent::Stopped { operation: op.id },
                command_uid.cloned(),
                synthesized,
            ));
        }
        self.paused = false;
    }

    fn toggled(
        &mut self,
        paused: bool,
        command_uid: Option<CommandUid>,
        effects: &mut Vec<PlayEffect>,
    ) {
        // The file that was paused may have ended before the answer was read.
        let Some(operation) = self.head().map(|op| op.id) else {
            return;
        };
        if self.paused == paused {
            return;
        }
        self.paused = paused;
        let event = if paused {
            PlayEvent::Paused { operation }
        } else {
            PlayEvent::Resumed { operation }
        };
        effects.push(PlayEffect::Notify(event, command_uid, false));
    }

    /// Ends the opening of this file, if it is the one.
    fn settled(&mut self, file: FileId) -> Option<Opening> {
        self.opening.take_if(|o| o.file == file)
    }

    fn set(&mut self, id: FileId, state: FileState) {
        if let Some(file) = self.file_mut(id)
            && !file.state.is_over()
        {
            file.state = state;
        }
    }

    fn opened(&mut self, id: FileId, alive: bool, effects: &mut Vec<PlayEffect>) {
        let opening = self.settled(id);
        if let Some(music) = self.music.as_mut()
            && music.operation == id.operation
            && self.operations.is_empty()
        {
            // A second report of the same opening changes nothing.
            if opening.is_some() {
                music.ready.push_back(id.index);
            }
            return;
        }
        let volume = opening.map_or(self.volume, |o| o.volume);
        match self.file_mut(id).map(|f| f.state) {
            Some(FileState::Waiting | FileState::Opening) => {
                self.set(id, FileState::Ready { volume });
            }
            // The file ended before its opening was reported, or the event is a duplicate, or it comes after the
            // deadline.
            Some(FileState::Ready { .. } | FileState::Done | FileState::Failed(_)) => {}
            // The operation was stopped or given up during the opening. While other files play, this one cannot be
            // stopped alone.
            None => {
                if alive && self.opening.is_none() && self.ready().next().is_none() {
                    effects.push(PlayEffect::Command(PlayCommand::Stop));
                }
            }
        }
    }

    fn ended(&mut self, id: FileId) {
        self.settled(id);
        if self.forget_music(id) || self.file_mut(id).is_none() {
            return;
        }
        // Files play in order: those that were ready before this one have ended, too, without an event.
        let before: Vec<FileId> = self
            .ready()
            .map(|(file, _)| file)
            .take_while(|file| *file != id)
            .collect();
        if self.ready().any(|(file, _)| file == id) {
            for file in before {
                self.set(file, FileState::Done);
            }
        }
        self.set(id, FileState::Done);
    }

    /// Finishes the operations whose last file is over, each once.
    fn finish(&mut self, effects: &mut Vec<PlayEffect>) {
        let (over, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.operations)
            .into_iter()
            .partition(|op: &Operation| op.files.iter().all(|f| f.state.is_over()));
        self.operations = rest;
        for op in over {
            self.forget(op.id);
            let mut synthesized = false;
            let errors = op
                .files
                .into_iter()
                .filter_map(|file| match file.state {
                    FileState::Failed(why) => {
                        synthesized |= why == PlayFailure::Unconfirmed;
                        Some((file.media, why))
                    }
                    FileState::Waiting
                    | FileState::Opening
                    | FileState::Ready { .. }
                    | FileState::Done => None,
                })
                .collect();
            let operation = op.id;
            let event = PlayEvent::Finished { operation, errors };
            effects.push(PlayEffect::Notify(event, None, synthesized));
        }
    }

    /// Handles a change of the file that plays: a pause belonged to the last one, and the volume is the one that was
    /// sent with the file.
    fn head_changed(&mut self, before: Option<FileId>, alive: bool, effects: &mut Vec<PlayEffect>) {
        let playing = self.ready().next();
        let now = playing.map(|(file, _)| file);
        if self.paused && before.is_some() && before != now {
            self.paused = false;
            let operation = before.map(|file| file.operation);
            if let Some(operation) = operation
                && self.operations.iter().any(|op| op.id == operation)
            {
                let event = PlayEvent::Resumed { operation };
                effects.push(PlayEffect::Notify(event, None, true));
            }
        }
        if self.head().is_none() {
            self.paused = false;
        }
        if let Some((file, volume)) = playing
            && alive
            && volume != self.volume
        {
            let volume = self.volume;
            self.set(file, FileState::Ready { volume });
            effects.push(PlayEffect::Command(PlayCommand::Volume { volume }));
        }
    }

    /// Sends the next file, if one may be sent.
    fn pump(&mut self, alive: bool, now: Timestamp, effects: &mut Vec<PlayEffect>) {
        if !alive || self.opening.is_some() || self.ready().count() >= AT_FREESWITCH {
            return;
        }
        let volume = self.volume;
        for op in &mut self.operations {
            for (file, index) in op.files.iter_mut().zip(0_u16..) {
                if file.state != FileState::Waiting {
                    continue;
                }
                let id = FileId {
                    operation: op.id,
                    index,
                };
                file.state = FileState::Opening;
                self.opening = Some(Opening {
                    file: id,
                    volume,
                    deadline: now + OPENING,
                });
                effects.push(PlayEffect::Command(PlayCommand::Start {
                    file: id,
                    media: file.media.clone(),
                    volume,
                }));
                return;
            }
        }
        self.send_music(now, effects);
    }

    /// Sends the music once more, if no operation is left.
    fn send_music(&mut self, now: Timestamp, effects: &mut Vec<PlayEffect>) {
        let is_free = self.operations.is_empty() && self.opening.is_none();
        let Some(music) = self.music.as_mut() else {
            return;
        };
        if !is_free || music.not_before.is_none_or(|at| at > now) {
            return;
        }
        let file = FileId {
            operation: music.operation,
            index: music.next,
        };
        music.next = music.next.wrapping_add(1);
        music.not_before = Some(now + MUSIC_INTERVAL);
        self.opening = Some(Opening {
            file,
            volume: 0,
            deadline: now + OPENING,
        });
        effects.push(PlayEffect::Command(PlayCommand::Start {
            file,
            media: music.url.clone().into(),
            volume: 0,
        }));
    }
}
