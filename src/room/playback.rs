//! What plays in a room: operations, their files, and where each file stands.
//!
//! Owns the queue and its rules. FreeSWITCH opens files in the order in which their opening ends, not in which it was
//! asked to, so at most one is being opened; and no more than two are there, one that plays and one that is ready, so
//! that a stop leaves little behind and a volume holds for what comes. A file is told apart by the operation and index
//! that stand in front of its path ([`FileId`]), never by what else an event carries.
//!
//! An opening outlives its operation: a file that opens after a stop is stopped at once, and until then no other is
//! sent. What is not confirmed by the deadline of its opening counts as not played and is never sent again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::{CommandUid, OperationId};
use crate::play_url::PlayUrl;
use crate::time::Timestamp;

use super::effect::{PlayCommand, PlayFact};

/// How long a file may take to be opened.
pub const OPENING: Duration = Duration::from_secs(30);

/// Files at FreeSWITCH at once: the one that plays, and the one that follows it without a gap.
const AT_FREESWITCH: usize = 2;

/// All URLs that wait in a room, in bytes: they are part of what is stored of it.
const WAITING_BYTES: usize = 256 * 1024;

/// The operations that wait in a room.
const WAITING_OPERATIONS: usize = 64;

/// Operations that ended a while ago and may still be heard of.
const REMEMBERED: usize = 16;

/// One file of one operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId {
    /// The operation.
    pub operation: OperationId,
    /// Which of its files, from 0.
    pub index: u16,
}

/// Where a file stands. It only moves forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileState {
    /// Not sent yet.
    Waiting,
    /// FreeSWITCH was told to play it: it is [`Playback::opening()`].
    Opening,
    /// FreeSWITCH has it: it plays, or follows the one that does.
    Ready {
        /// The volume it plays at.
        volume: i8,
    },
    /// It was played.
    Done,
    /// It was not, or nobody knows.
    Failed(Unplayed),
}

impl FileState {
    const fn is_over(self) -> bool {
        match self {
            Self::Done | Self::Failed(_) => true,
            Self::Waiting | Self::Opening | Self::Ready { .. } => false,
        }
    }
}

/// Why a file was not played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unplayed {
    /// FreeSWITCH could not open it.
    Refused,
    /// FreeSWITCH could not be told.
    NotSent,
    /// Its opening was not confirmed in time.
    NotOpened,
    /// FreeSWITCH had it and has it no more, and its end was not told.
    Unconfirmed,
}

impl Unplayed {
    /// The words in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "the file could not be played",
            Self::NotSent => "the node could not be told to play it",
            Self::NotOpened => "it was not opened in time",
            Self::Unconfirmed => "its end was not confirmed",
        }
    }
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Where it is fetched from.
    pub url: PlayUrl,
    /// Where it stands.
    pub state: FileState,
}

/// Files that were asked for together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// In the order in which they play.
    pub files: Vec<File>,
}

/// The file that is being opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// Which. Its operation may be over.
    pub file: FileId,
    /// The volume it was sent with.
    pub volume: i8,
    /// Given up then.
    pub deadline: Timestamp,
}

/// What plays in a room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Playback {
    pub(crate) operations: VecDeque<Operation>,
    pub(crate) opening: Option<Opening>,
    pub(crate) volume: i8,
    pub(crate) paused: bool,
    /// Not stored: only saves a look at the store.
    pub(crate) over: VecDeque<OperationId>,
    /// Which operations there are has changed since it was last stored.
    pub(crate) urls_changed: bool,
}

/// What can happen to a playback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlayInput {
    /// Files were asked for.
    Start {
        /// The id they get.
        operation: OperationId,
        /// Where they are fetched from.
        urls: Vec<PlayUrl>,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Everything is to stop.
    Stop {
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// The volume of what plays, and of all that follows.
    Volume {
        /// In decibels.
        volume: i8,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// FreeSWITCH has paused what plays, or goes on with it.
    Toggled {
        /// Paused now.
        paused: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// FreeSWITCH has opened a file: it plays, or will.
    Opened(FileId),
    /// FreeSWITCH could not open a file, or was not told to.
    NotPlayed(FileId, Unplayed),
    /// A file has ended.
    Ended(FileId),
    /// FreeSWITCH had a file and plays nothing, and its end was not told.
    Lost(FileId),
}

/// What follows for FreeSWITCH and the app.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PlayEffect {
    Command(PlayCommand),
    Tell(PlayFact, Option<CommandUid>, bool),
}

impl Playback {
    /// Everything that is not over, in the order in which it plays.
    pub const fn operations(&self) -> &VecDeque<Operation> {
        &self.operations
    }

    /// The operation that plays, or comes next.
    pub fn head(&self) -> Option<&Operation> {
        self.operations.front()
    }

    /// The file that is being opened.
    pub const fn opening(&self) -> Option<Opening> {
        self.opening
    }

    /// In decibels, of what plays and of all that follows.
    pub const fn volume(&self) -> i8 {
        self.volume
    }

    /// What plays is paused.
    pub const fn paused(&self) -> bool {
        self.paused
    }

    /// The files that FreeSWITCH has, in the order in which they play.
    pub fn at_freeswitch(&self) -> Vec<FileId> {
        self.ready().map(|(file, _)| file).collect()
    }

    /// Whether an operation is, or was not long ago, one of this room.
    pub fn knows(&self, operation: OperationId) -> bool {
        self.operations.iter().any(|op| op.id == operation)
            || self.over.contains(&operation)
            || self.opening.is_some_and(|o| o.file.operation == operation)
    }

    /// Whether so many more bytes of URLs may wait.
    pub fn has_room_for(&self, urls: &[PlayUrl]) -> bool {
        let bytes = |url: &PlayUrl| url.as_str().len();
        let waiting: usize = self
            .operations
            .iter()
            .flat_map(|op| &op.files)
            .map(|file| bytes(&file.url))
            .sum();
        let more: usize = urls.iter().map(bytes).sum();
        self.operations.len() < WAITING_OPERATIONS && waiting.saturating_add(more) <= WAITING_BYTES
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.opening.map(|o| o.deadline)
    }

    pub(super) fn soundness(&self) -> Result<(), String> {
        for op in &self.operations {
            if op.files.iter().all(|f| f.state.is_over()) {
                return Err(format!("{} is over and still there", op.id));
            }
            for (index, file) in op.files.iter().enumerate() {
                let is_it = self.opening.is_some_and(|o| {
                    o.file.operation == op.id && usize::from(o.file.index) == index
                });
                if is_it != (file.state == FileState::Opening) {
                    return Err(format!("file {index} of {} is being opened, or not", op.id));
                }
            }
        }
        if self.paused && self.head().is_none() {
            return Err("nothing plays and it is paused".to_owned());
        }
        Ok(())
    }

    fn ready(&self) -> impl Iterator<Item = (FileId, i8)> {
        self.operations.iter().flat_map(|op| {
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
        })
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

    /// Takes an input in. `alive`: the room can be played into.
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
                urls,
                command_uid,
            } => {
                effects.push(PlayEffect::Tell(
                    PlayFact::Started {
                        operation,
                        urls: urls.clone(),
                    },
                    command_uid,
                    false,
                ));
                let waits = |url| File {
                    url,
                    state: FileState::Waiting,
                };
                self.urls_changed = true;
                self.operations.push_back(Operation {
                    id: operation,
                    files: urls.into_iter().map(waits).collect(),
                });
            }
            PlayInput::Stop { command_uid } => {
                if alive {
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
                effects.push(PlayEffect::Tell(
                    PlayFact::VolumeChanged { operation, volume },
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
                }
            }
            PlayInput::Ended(file) => self.ended(file),
            PlayInput::Lost(id) => {
                let ready = |f: &mut File| matches!(f.state, FileState::Ready { .. });
                if self.file_mut(id).is_some_and(ready) {
                    self.set(id, FileState::Failed(Unplayed::Unconfirmed));
                }
            }
        }
        self.finish(&mut effects);
        self.head_changed(playing, alive, &mut effects);
        self.pump(alive, now, &mut effects);
        effects
    }

    /// Time has passed.
    pub(super) fn past_deadline(&mut self, alive: bool, now: Timestamp) -> Vec<PlayEffect> {
        match self.opening {
            Some(opening) if opening.deadline <= now => {
                let why = Unplayed::NotOpened;
                self.apply(PlayInput::NotPlayed(opening.file, why), alive, now)
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// The conference that carried it is over: so is everything.
    pub(super) fn conference_over(&mut self, synthesized: bool) -> Vec<PlayEffect> {
        let mut effects = Vec::new();
        self.end(None, synthesized, &mut effects);
        self.opening = None;
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
            effects.push(PlayEffect::Tell(
                PlayFact::Stopped { operation: op.id },
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
        // What was paused may have ended before its answer was read.
        let Some(operation) = self.head().map(|op| op.id) else {
            return;
        };
        if self.paused == paused {
            return;
        }
        self.paused = paused;
        let fact = if paused {
            PlayFact::Paused { operation }
        } else {
            PlayFact::Resumed { operation }
        };
        effects.push(PlayEffect::Tell(fact, command_uid, false));
    }

    /// The opening of this file is over, if it is the one.
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
        let volume = opening.map_or(self.volume, |o| o.volume);
        match self.file_mut(id).map(|f| f.state) {
            Some(FileState::Waiting | FileState::Opening) => {
                self.set(id, FileState::Ready { volume });
            }
            // It ended before its beginning was told, or is told twice, or comes after it was given up.
            Some(FileState::Ready { .. } | FileState::Done | FileState::Failed(_)) => {}
            // It was stopped, or given up, while it was being opened. Where others play it cannot be singled out.
            None => {
                if alive && self.opening.is_none() && self.ready().next().is_none() {
                    effects.push(PlayEffect::Command(PlayCommand::Stop));
                }
            }
        }
    }

    fn ended(&mut self, id: FileId) {
        self.settled(id);
        if self.file_mut(id).is_none() {
            return;
        }
        // They play in order: what was ready before it has ended too, and that was not heard.
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

    /// Operations whose last file is over are finished, each once.
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
                        synthesized |= why == Unplayed::Unconfirmed;
                        Some((file.url, why))
                    }
                    FileState::Waiting
                    | FileState::Opening
                    | FileState::Ready { .. }
                    | FileState::Done => None,
                })
                .collect();
            let operation = op.id;
            let fact = PlayFact::Finished { operation, errors };
            effects.push(PlayEffect::Tell(fact, None, synthesized));
        }
    }

    /// The file that plays now: a pause was of the last one, and its volume is the one it was sent with.
    fn head_changed(&mut self, before: Option<FileId>, alive: bool, effects: &mut Vec<PlayEffect>) {
        let playing = self.ready().next();
        let now = playing.map(|(file, _)| file);
        if self.paused && before.is_some() && before != now {
            self.paused = false;
            let operation = before.map(|file| file.operation);
            if let Some(operation) = operation
                && self.operations.iter().any(|op| op.id == operation)
            {
                let fact = PlayFact::Resumed { operation };
                effects.push(PlayEffect::Tell(fact, None, true));
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
                    url: file.url.clone(),
                    volume,
                }));
                return;
            }
        }
    }
}
