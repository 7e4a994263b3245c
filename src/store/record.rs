//! The stored form of a room and of a call, and the way back.
//!
//! Owns the wire types of storage, which are apart from the domain's so that either can change alone, and their
//! version. Leaves out keys and scripts.
//!
//! A room's head has four fields: `reg`, what it was asked for as; `run`, what changes; `play`, what plays in it and how
//! far, and `urls`, where that is fetched from, which is longer and changes less. The last two are only there once
//! something has been played. These are JSON. What there is of each call is [`packed`](super::packed), and in values of
//! at most 64 bytes if what the app and the caller are called is not long: so much of a small hash Redis keeps in a third
//! of the room. In both, unknown fields are ignored, so that a newer program's records can be read, and a missing field
//! that has no default is an error.
//!
//! The stored form of a member is `store::member`'s, that of a call `store::call`'s.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{
    AppId, ChannelId, CommandUid, ConferenceId, CoreId, OperationId, RecordingId, RoomId, SessionId,
};
use crate::play_url::PlayUrl;
use crate::room::playback::{File, FileId, FileState, Opening, Operation, Playback, Unplayed};
use crate::room::state::Changes;
use crate::room::{
    Actions, Conference, Details, Kind, Lock, LockAsked, Origin, Recording, RecordingStatus,
    Registration, RoomState, RoomStatus,
};
use crate::time::Timestamp;

pub use super::call::{decode_session, encode_session};
use super::member::{MOVES, decode_member, decode_moves, encode_member, encode_moves};
use super::packed::{UUID_DIGITS, push_uuid, read_uuid};
use super::{EntityId, Hashes, Named, StoreError, keys};

const REGISTRATION: &str = "reg";
const RUN: &str = "run";
const PLAY: &str = "play";
const URLS: &str = "urls";

#[derive(Serialize, Deserialize)]
struct StoredRegistration {
    app: AppId,
    name: String,
    origin: StoredOrigin,
    created: Timestamp,
    #[serde(default)]
    kind: Kind,
    // What [`Details`] are, field by field: flattened, all of it would be read into a tree first, for each read of a room.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    data: Map<String, Value>,
    #[serde(default, skip_serializing_if = "is_zero")]
    timeout: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pre_actions: Actions,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    post_actions: Actions,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOrigin {
    Gateway,
    Voipbin,
}

#[derive(Serialize, Deserialize)]
struct StoredRun {
    status: StoredStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lives: Vec<(CoreId, ConferenceId, u64)>,
    /// Which of them have lost their last member, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emptied: Vec<(ConferenceId, u64)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    /// Its conference is still to be locked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lock_due: bool,
    /// Locked or unlocked, by which command, and until when that is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock_asked: Option<(bool, Option<CommandUid>, Timestamp)>,
    /// Members with a stay, for readers of the head alone.
    present: usize,
    seq: u64,
    #[serde(default)]
    updated: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recording: Option<StoredRecording>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recordings: Vec<RecordingId>,
}

#[derive(Serialize, Deserialize)]
struct StoredRecording {
    id: RecordingId,
    path: String,
    status: StoredRecordingStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<CommandUid>,
    created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    at: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredRecordingStatus {
    Starting,
    Active,
    Stopping,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredStatus {
    Starting,
    Progressing,
    Terminating,
    Terminated,
}

#[derive(Serialize, Deserialize)]
struct StoredPlay {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ops: Vec<(OperationId, Vec<StoredFile>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opening: Option<(OperationId, u16, i8, Timestamp)>,
    vol: i8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredFile {
    Waiting,
    Opening,
    Ready(i8),
    Done,
    Refused,
    NotSent,
    NotOpened,
    Unconfirmed,
}

/// What a reader of a room's head alone learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomHead {
    /// What it was asked for as.
    pub registration: Registration,
    /// Where it stands.
    pub status: RoomStatus,
    /// When its owner would last have seen it change.
    pub updated_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The recording that is under way.
    pub recording: Option<Recording>,
    /// All recordings that there have been, oldest first.
    pub recordings: Vec<RecordingId>,
    /// How many members FreeSWITCH has shown.
    pub present: usize,
    /// Nobody else comes in.
    pub locked: bool,
    /// What plays in it.
    pub playback: Playback,
}

impl RoomHead {
    /// Whether it can be joined, and is seen in the gateway API.
    pub const fn is_open(&self) -> bool {
        matches!(self.status, RoomStatus::Starting | RoomStatus::Progressing)
    }
}

/// The fields to set for a room: head, and parts (`None`: remove).
pub type RoomFields = (Vec<(String, String)>, Vec<(String, Option<String>)>);

/// What of a room is to be written for these changes. `created` when the store has nothing of it yet.
pub fn encode_room(room: &RoomState, changes: &Changes, created: bool) -> RoomFields {
    let mut head = Vec::new();
    if (created || changes.registration)
        && let Some(r) = room.registration()
    {
        let Details {
            detail,
            data,
            timeout,
            pre_actions,
            post_actions,
        } = r.details.clone();
        let stored = StoredRegistration {
            app: r.app.clone(),
            name: r.name.clone(),
            origin: match r.origin {
                Origin::Gateway => StoredOrigin::Gateway,
                Origin::Voipbin => StoredOrigin::Voipbin,
            },
            created: r.created_at,
            kind: r.kind,
            detail,
            data,
            timeout,
            pre_actions,
            post_actions,
        };
        head.push((REGISTRATION.to_owned(), json(&stored)));
    }
    if created || changes.head {
        let (status, deadline) = match room.status() {
            RoomStatus::Starting => (StoredStatus::Starting, None),
            RoomStatus::Progressing => (StoredStatus::Progressing, None),
            RoomStatus::Terminating { deadline } => (StoredStatus::Terminating, Some(deadline)),
            RoomStatus::Terminated => (StoredStatus::Terminated, None),
        };
        let stored = StoredRun {
            status,
            deadline,
            lives: room
                .lives()
                .iter()
                .map(|c| (c.core, c.id, c.since))
                .collect(),
            emptied: room
                .lives()
                .iter()
                .filter_map(|c| Some((c.id, c.emptied?)))
                .collect(),
            locked: room.lock().locked(),
            lock_due: room.lock().due(),
            lock_asked: room
                .lock()
                .asked()
                .map(|a| (a.lock, a.command_uid.clone(), a.deadline)),
            present: room.present(),
            seq: room.sequence(),
            updated: room.updated_at(),
            ended: room.ended_at(),
            recording: room.recording().map(encode_recording),
            recordings: room.recordings().to_vec(),
        };
        head.push((RUN.to_owned(), json(&stored)));
    }
    if changes.play {
        encode_playback(room.playback(), changes.urls, &mut head);
    }
    let mut parts = Vec::with_capacity(2 * changes.members.len());
    for who in &changes.members {
        let member = room.members().get(who);
        let mut name = String::with_capacity(UUID_DIGITS + 1);
        push_uuid(&mut name, who.channel().uuid());
        parts.push((name.clone(), member.map(encode_member)));
        name.push(MOVES);
        parts.push((name, member.map(encode_moves)));
    }
    (head, parts)
}

fn encode_recording(recording: &Recording) -> StoredRecording {
    let (status, until, uid) = match &recording.status {
        RecordingStatus::Starting {
            deadline,
            command_uid,
        } => (
            StoredRecordingStatus::Starting,
            Some(*deadline),
            command_uid.clone(),
        ),
        RecordingStatus::Active => (StoredRecordingStatus::Active, None, None),
        RecordingStatus::Stopping {
            deadline,
            command_uid,
        } => (
            StoredRecordingStatus::Stopping,
            Some(*deadline),
            command_uid.clone(),
        ),
    };
    StoredRecording {
        id: recording.id,
        path: recording.path.clone(),
        status,
        until,
        uid,
        created: recording.created_at,
        started: recording.started_at,
        at: recording.since,
    }
}

fn decode_recording(stored: StoredRecording) -> Option<Recording> {
    let status = match stored.status {
        StoredRecordingStatus::Starting => RecordingStatus::Starting {
            deadline: stored.until?,
            command_uid: stored.uid,
        },
        StoredRecordingStatus::Active => RecordingStatus::Active,
        StoredRecordingStatus::Stopping => RecordingStatus::Stopping {
            deadline: stored.until?,
            command_uid: stored.uid,
        },
    };
    Some(Recording {
        id: stored.id,
        path: stored.path,
        status,
        created_at: stored.created,
        started_at: stored.started,
        since: stored.at,
    })
}

fn encode_playback(playback: &Playback, urls: bool, head: &mut Vec<(String, String)>) {
    let file = |file: &File| match file.state {
        FileState::Waiting => StoredFile::Waiting,
        FileState::Opening => StoredFile::Opening,
        FileState::Ready { volume } => StoredFile::Ready(volume),
        FileState::Done => StoredFile::Done,
        FileState::Failed(Unplayed::Refused) => StoredFile::Refused,
        FileState::Failed(Unplayed::NotSent) => StoredFile::NotSent,
        FileState::Failed(Unplayed::NotOpened) => StoredFile::NotOpened,
        FileState::Failed(Unplayed::Unconfirmed) => StoredFile::Unconfirmed,
    };
    let stored = StoredPlay {
        ops: playback
            .operations
            .iter()
            .map(|op| (op.id, op.files.iter().map(file).collect()))
            .collect(),
        opening: playback
            .opening
            .map(|o| (o.file.operation, o.file.index, o.volume, o.deadline)),
        vol: playback.volume,
        paused: playback.paused,
    };
    head.push((PLAY.to_owned(), json(&stored)));
    if urls {
        let urls: Vec<(OperationId, Vec<&PlayUrl>)> = playback
            .operations
            .iter()
            .map(|op| (op.id, op.files.iter().map(|f| &f.url).collect()))
            .collect();
        head.push((URLS.to_owned(), json(&urls)));
    }
}

fn decode_playback(id: RoomId, stored: &Hashes<'_>) -> Result<Playback, StoreError> {
    let head = &stored.head;
    if head.get(PLAY).is_none() {
        return Ok(Playback::default());
    }
    let stored: StoredPlay = field(EntityId::Room(id), head, PLAY)?;
    let mut operations = std::collections::VecDeque::new();
    if !stored.ops.is_empty() {
        let urls: Vec<(OperationId, Vec<PlayUrl>)> = field(EntityId::Room(id), head, URLS)?;
        let mut urls: std::collections::HashMap<_, _> = urls.into_iter().collect();
        for (operation, files) in stored.ops {
            let urls = urls
                .remove(&operation)
                .filter(|urls| urls.len() == files.len())
                .ok_or_else(|| {
                    corrupt(
                        EntityId::Room(id),
                        &format!("field {URLS}"),
                        "not those of its files",
                    )
                })?;
            let files = urls
                .into_iter()
                .zip(files)
                .map(|(url, state)| File {
                    url,
                    state: match state {
                        StoredFile::Waiting => FileState::Waiting,
                        StoredFile::Opening => FileState::Opening,
                        StoredFile::Ready(volume) => FileState::Ready { volume },
                        StoredFile::Done => FileState::Done,
                        StoredFile::Refused => FileState::Failed(Unplayed::Refused),
                        StoredFile::NotSent => FileState::Failed(Unplayed::NotSent),
                        StoredFile::NotOpened => FileState::Failed(Unplayed::NotOpened),
                        StoredFile::Unconfirmed => FileState::Failed(Unplayed::Unconfirmed),
                    },
                })
                .collect();
            operations.push_back(Operation {
                id: operation,
                files,
            });
        }
    }
    Ok(Playback {
        operations,
        opening: stored
            .opening
            .map(|(operation, index, volume, deadline)| Opening {
                file: FileId { operation, index },
                volume,
                deadline,
            }),
        volume: stored.vol,
        paused: stored.paused,
        ..Playback::default()
    })
}

/// A room as it was stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when a field is missing or is not what [`encode_room`] writes, or when they contradict each other.
pub fn decode_room<'a>(id: RoomId, record: impl Into<Hashes<'a>>) -> Result<RoomState, StoreError> {
    let stored = record.into();
    let run: StoredRun = field(EntityId::Room(id), &stored.head, RUN)?;
    let mut room = RoomState::unregistered(id);
    room.registration = Some(registration(id, &stored)?);
    room.status = status(&run);
    room.updated_at = run.updated;
    room.ended_at = run.ended;
    room.recordings = run.recordings;
    room.recording = run
        .recording
        .map(|stored| {
            let wrong = || {
                corrupt(
                    EntityId::Room(id),
                    &format!("field {RUN}"),
                    "a recording without its deadline",
                )
            };
            decode_recording(stored).ok_or_else(wrong)
        })
        .transpose()?;
    room.lives = run
        .lives
        .into_iter()
        .map(|(core, id, since)| Conference {
            core,
            id,
            since,
            emptied: run
                .emptied
                .iter()
                .find(|(emptied, _)| *emptied == id)
                .map(|(_, sequence)| *sequence),
        })
        .collect();
    room.lives.sort_by_key(|c| c.since);
    room.lock = Lock {
        locked: run.locked,
        at: 0,
        due: run.lock_due,
        asked: run
            .lock_asked
            .map(|(lock, command_uid, deadline)| LockAsked {
                lock,
                command_uid,
                deadline,
            }),
    };
    room.sequence = run.seq;
    room.playback = decode_playback(id, &stored)?;
    let mut members = Vec::with_capacity(stored.parts.len() / 2);
    let mut parts = stored.parts.iter().peekable();
    while let Some((name, text)) = parts.next() {
        let wrong = |part: &str, why: &dyn fmt::Display| {
            corrupt(EntityId::Room(id), &format!("part {part}"), why)
        };
        let channel = read_uuid(name).ok_or_else(|| wrong(name, &"it is no channel"))?;
        // They are sorted by name, so the one is next to the other.
        let moves = parts.next_if(|(next, _)| next.strip_suffix(MOVES) == Some(name));
        let (moving, moves) = moves.ok_or_else(|| wrong(name, &"what changes of it is missing"))?;
        let mut member = decode_member(text).map_err(|why| wrong(name, &why))?;
        decode_moves(moves, &mut member).map_err(|why| wrong(moving, &why))?;
        members.push((SessionId::new(id.node(), ChannelId::new(channel)), member));
    }
    room.set_members(members);
    room.soundness()
        .map_err(|flaw| corrupt(EntityId::Room(id), "the whole", flaw))?;
    Ok(room)
}

const fn status(run: &StoredRun) -> RoomStatus {
    match (&run.status, run.deadline) {
        (StoredStatus::Starting, _) => RoomStatus::Starting,
        (StoredStatus::Progressing, _) => RoomStatus::Progressing,
        (StoredStatus::Terminating, Some(deadline)) => RoomStatus::Terminating { deadline },
        (StoredStatus::Terminating, None) => RoomStatus::Terminating {
            deadline: Timestamp::from_micros(0),
        },
        (StoredStatus::Terminated, _) => RoomStatus::Terminated,
    }
}

/// What a room's head alone tells.
///
/// # Errors
/// [`StoreError::Corrupt`] like [`decode_room`].
pub fn decode_room_head<'a>(
    id: RoomId,
    record: impl Into<Hashes<'a>>,
) -> Result<RoomHead, StoreError> {
    let stored = record.into();
    let run: StoredRun = field(EntityId::Room(id), &stored.head, RUN)?;
    Ok(RoomHead {
        registration: registration(id, &stored)?,
        status: status(&run),
        updated_at: run.updated,
        ended_at: run.ended,
        recording: run.recording.and_then(decode_recording),
        recordings: run.recordings,
        present: run.present,
        locked: run.locked,
        playback: decode_playback(id, &stored)?,
    })
}

fn registration(id: RoomId, stored: &Hashes<'_>) -> Result<Registration, StoreError> {
    let stored: StoredRegistration = field(EntityId::Room(id), &stored.head, REGISTRATION)?;
    Ok(Registration {
        app: stored.app,
        name: stored.name,
        origin: match stored.origin {
            StoredOrigin::Gateway => Origin::Gateway,
            StoredOrigin::Voipbin => Origin::Voipbin,
        },
        created_at: stored.created,
        kind: stored.kind,
        details: Details {
            detail: stored.detail,
            data: stored.data,
            timeout: stored.timeout,
            pre_actions: stored.pre_actions,
            post_actions: stored.post_actions,
        },
    })
}

pub(super) fn json<T: Serialize>(value: &T) -> String {
    // Types of numbers, booleans and text cannot fail to serialise; an empty field would be told as corrupt.
    serde_json::to_string(value).unwrap_or_default()
}

fn field<T: serde::de::DeserializeOwned>(
    id: EntityId,
    fields: &Named<'_>,
    name: &str,
) -> Result<T, StoreError> {
    let text = head(id, fields, name)?;
    serde_json::from_str(text).map_err(|e| corrupt(id, &format!("field {name}"), e))
}

pub(super) fn head<'a>(
    id: EntityId,
    fields: &Named<'a>,
    name: &str,
) -> Result<&'a str, StoreError> {
    fields
        .get(name)
        .ok_or_else(|| corrupt(id, &format!("field {name}"), "it is missing"))
}

/// The error of a record: its key, and which part of it is wrong.
pub(super) fn corrupt(id: EntityId, part: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        key: keys::entity(id),
        why: format!("{part}: {why}"),
    }
}
