//! The stored form of a room and of a call, and the way back.
//!
//! Owns the wire types of storage, which are apart from the domain's so that either can change alone, and their
//! version. Leaves out keys and scripts.
//!
//! A room's head has four fields: `reg`, what it was asked for as; `run`, what changes; `play`, what plays in it and how
//! far, and `urls`, where that is fetched from, which is longer and changes less. The last two are only there once
//! something has been played. Each member is a part
//! named by its channel. A call is a head with the one field `call`. All are JSON; unknown fields are ignored, so
//! that a newer program's records can be read, and a missing field that has no default is an error.

use serde::{Deserialize, Serialize};

use crate::ids::{
    AppId, ChannelId, CommandUid, ConferenceId, CoreId, MemberId, OperationId, RecordingId, RoomId,
    SessionId,
};
use crate::play_url::PlayUrl;
use crate::room::playback::{File, FileId, FileState, Opening, Operation, Playback, Unplayed};
use crate::room::state::Changes;
use crate::room::{
    Conference, Details, Flags, Kind, LeftReason, Lock, LockAsked, Member, MemberStatus, Origin,
    Pending, Recording, RecordingStatus, Registration, RoomState, RoomStatus, Stay,
};
use crate::session::{Direction, Place, Run, SessionState};
use crate::time::Timestamp;

use super::{Record, StoreError};

const REGISTRATION: &str = "reg";
const RUN: &str = "run";
const PLAY: &str = "play";
const URLS: &str = "urls";
const CALL: &str = "call";

#[derive(Serialize, Deserialize)]
struct StoredRegistration {
    app: AppId,
    name: String,
    origin: StoredOrigin,
    created: Timestamp,
    #[serde(default)]
    kind: Kind,
    #[serde(flatten)]
    details: Details,
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
struct StoredMember {
    id: MemberId,
    status: StoredMemberStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<StoredReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<CommandUid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stay: Option<(CoreId, ConferenceId, u64, bool)>,
    from: String,
    did: String,
    speak: bool,
    hear: bool,
    hold: bool,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<(bool, Option<CommandUid>, Timestamp)>,
    since: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredMemberStatus {
    Joining,
    Joined,
    Leaving,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredReason {
    Hangup,
    Removed,
    Moved,
    RoomDestroyed,
    Timeout,
    Orphan,
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

#[derive(Serialize, Deserialize)]
struct StoredCall {
    app: AppId,
    core: CoreId,
    from: String,
    did: String,
    inbound: bool,
    created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answered: Option<Timestamp>,
    place: StoredPlace,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<RoomId>,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    seq: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredPlace {
    Ringing,
    Parked,
    Acting,
    Joining,
    InRoom,
    Leaving,
    Ended,
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
        let stored = StoredRegistration {
            app: r.app.clone(),
            name: r.name.clone(),
            origin: match r.origin {
                Origin::Gateway => StoredOrigin::Gateway,
                Origin::Voipbin => StoredOrigin::Voipbin,
            },
            created: r.created_at,
            kind: r.kind,
            details: r.details.clone(),
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
    let parts = changes
        .members
        .iter()
        .map(|who| {
            let member = room.members().get(who);
            (who.channel().to_string(), member.map(encode_member))
        })
        .collect();
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

fn decode_playback(id: RoomId, record: &Record) -> Result<Playback, StoreError> {
    if record.head.iter().all(|(name, _)| name != PLAY) {
        return Ok(Playback::default());
    }
    let stored: StoredPlay = field(&id, &record.head, PLAY)?;
    let mut operations = std::collections::VecDeque::new();
    if !stored.ops.is_empty() {
        let urls: Vec<(OperationId, Vec<PlayUrl>)> = field(&id, &record.head, URLS)?;
        let mut urls: std::collections::HashMap<_, _> = urls.into_iter().collect();
        for (operation, files) in stored.ops {
            let urls = urls
                .remove(&operation)
                .filter(|urls| urls.len() == files.len())
                .ok_or_else(|| corrupt(format!("{id} field {URLS}"), "not those of its files"))?;
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

fn encode_member(member: &Member) -> String {
    let (status, until, reason, uid) = match &member.status {
        MemberStatus::Joining {
            deadline,
            command_uid,
        } => (
            StoredMemberStatus::Joining,
            Some(*deadline),
            None,
            command_uid.clone(),
        ),
        MemberStatus::Joined => (StoredMemberStatus::Joined, None, None, None),
        MemberStatus::Leaving {
            deadline,
            reason,
            command_uid,
        } => (
            StoredMemberStatus::Leaving,
            Some(*deadline),
            Some(match reason {
                LeftReason::Hangup => StoredReason::Hangup,
                LeftReason::Removed => StoredReason::Removed,
                LeftReason::Moved => StoredReason::Moved,
                LeftReason::RoomDestroyed => StoredReason::RoomDestroyed,
                LeftReason::Timeout => StoredReason::Timeout,
                LeftReason::Orphan => StoredReason::Orphan,
            }),
            command_uid.clone(),
        ),
    };
    json(&StoredMember {
        id: member.id,
        status,
        until,
        reason,
        uid,
        stay: member
            .stay
            .map(|s| (s.core, s.conference, s.opened, s.revealed)),
        from: member.caller_id.clone(),
        did: member.did.clone(),
        speak: member.flags.speak,
        hear: member.flags.hear,
        hold: member.flags.hold,
        at: member.flags_at,
        pending: member
            .pending
            .as_ref()
            .map(|p| (p.mute, p.command_uid.clone(), p.deadline)),
        since: member.since,
    })
}

/// A room as it was stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when a field is missing or is not what [`encode_room`] writes, or when they contradict each other.
pub fn decode_room(id: RoomId, record: &Record) -> Result<RoomState, StoreError> {
    let run: StoredRun = field(&id, &record.head, RUN)?;
    let mut room = RoomState::unregistered(id);
    room.registration = Some(registration(id, record)?);
    room.status = status(&run);
    room.updated_at = run.updated;
    room.ended_at = run.ended;
    room.recordings = run.recordings;
    room.recording = run
        .recording
        .map(|stored| {
            let wrong = || {
                corrupt(
                    format!("{id} field {RUN}"),
                    "a recording without its deadline",
                )
            };
            decode_recording(stored).ok_or_else(wrong)
        })
        .transpose()?;
    room.lives = run
        .lives
        .into_iter()
        .map(|(core, id, since)| Conference { core, id, since })
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
    room.playback = decode_playback(id, record)?;
    for (channel, text) in &record.parts {
        let key = || format!("{id} part {channel}");
        let channel: ChannelId = channel.parse().map_err(|e| corrupt(key(), e))?;
        let stored: StoredMember = serde_json::from_str(text).map_err(|e| corrupt(key(), e))?;
        let member =
            decode_member(stored).ok_or_else(|| corrupt(key(), "status without its deadline"))?;
        room.put_member(SessionId::new(id.node(), channel), member);
    }
    room.take_changes();
    room.soundness()
        .map_err(|flaw| corrupt(id.to_string(), flaw))?;
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

fn decode_member(stored: StoredMember) -> Option<Member> {
    let status = match stored.status {
        StoredMemberStatus::Joining => MemberStatus::Joining {
            deadline: stored.until?,
            command_uid: stored.uid,
        },
        StoredMemberStatus::Joined => MemberStatus::Joined,
        StoredMemberStatus::Leaving => MemberStatus::Leaving {
            deadline: stored.until?,
            reason: match stored.reason? {
                StoredReason::Hangup => LeftReason::Hangup,
                StoredReason::Removed => LeftReason::Removed,
                StoredReason::Moved => LeftReason::Moved,
                StoredReason::RoomDestroyed => LeftReason::RoomDestroyed,
                StoredReason::Timeout => LeftReason::Timeout,
                StoredReason::Orphan => LeftReason::Orphan,
            },
            command_uid: stored.uid,
        },
    };
    Some(Member {
        id: stored.id,
        status,
        stay: stored
            .stay
            .map(|(core, conference, opened, revealed)| Stay {
                core,
                conference,
                opened,
                revealed,
                confirmed: 0,
            }),
        caller_id: stored.from,
        did: stored.did,
        flags: Flags {
            speak: stored.speak,
            hear: stored.hear,
            hold: stored.hold,
            talking: false,
        },
        flags_at: stored.at,
        pending: stored.pending.map(|(mute, command_uid, deadline)| Pending {
            mute,
            command_uid,
            deadline,
        }),
        since: stored.since,
    })
}

/// What a room's head alone tells.
///
/// # Errors
/// [`StoreError::Corrupt`] like [`decode_room`].
pub fn decode_room_head(id: RoomId, record: &Record) -> Result<RoomHead, StoreError> {
    let run: StoredRun = field(&id, &record.head, RUN)?;
    Ok(RoomHead {
        registration: registration(id, record)?,
        status: status(&run),
        updated_at: run.updated,
        ended_at: run.ended,
        recording: run.recording.and_then(decode_recording),
        recordings: run.recordings,
        present: run.present,
        locked: run.locked,
        playback: decode_playback(id, record)?,
    })
}

fn registration(id: RoomId, record: &Record) -> Result<Registration, StoreError> {
    let stored: StoredRegistration = field(&id, &record.head, REGISTRATION)?;
    Ok(Registration {
        app: stored.app,
        name: stored.name,
        origin: match stored.origin {
            StoredOrigin::Gateway => Origin::Gateway,
            StoredOrigin::Voipbin => Origin::Voipbin,
        },
        created_at: stored.created,
        kind: stored.kind,
        details: stored.details,
    })
}

/// The head of a call.
pub fn encode_session(session: &SessionState) -> Vec<(String, String)> {
    let stored = StoredCall {
        app: session.app.clone(),
        core: session.core,
        from: session.caller_id.clone(),
        did: session.did.clone(),
        inbound: session.direction == Direction::Inbound,
        created: session.created_at,
        answered: session.answered_at,
        place: match session.place {
            Place::Ringing => StoredPlace::Ringing,
            Place::Parked => StoredPlace::Parked,
            Place::Acting(_) => StoredPlace::Acting,
            Place::Joining(_) => StoredPlace::Joining,
            Place::InRoom(_) => StoredPlace::InRoom,
            Place::Leaving(_) => StoredPlace::Leaving,
            Place::Ended => StoredPlace::Ended,
        },
        room: session.place.room(),
        at: session.place_at,
        run: session.run.clone(),
        seq: session.sequence,
    };
    vec![(CALL.to_owned(), json(&stored))]
}

/// A call as it was stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when a field is missing or is not what [`encode_session`] writes.
pub fn decode_session(id: SessionId, record: &Record) -> Result<SessionState, StoreError> {
    let stored: StoredCall = field(&id, &record.head, CALL)?;
    let place = match (stored.place, stored.room) {
        (StoredPlace::Ringing, _) => Place::Ringing,
        (StoredPlace::Parked, _) => Place::Parked,
        (StoredPlace::Acting, room) => Place::Acting(room),
        (StoredPlace::Joining, Some(room)) => Place::Joining(room),
        (StoredPlace::InRoom, Some(room)) => Place::InRoom(room),
        (StoredPlace::Leaving, room) => Place::Leaving(room),
        (StoredPlace::Ended, _) => Place::Ended,
        (StoredPlace::Joining | StoredPlace::InRoom, None) => {
            return Err(corrupt(id.to_string(), "in a room without its id"));
        }
    };
    let session = SessionState {
        id,
        app: stored.app,
        core: stored.core,
        caller_id: stored.from,
        did: stored.did,
        direction: if stored.inbound {
            Direction::Inbound
        } else {
            Direction::Outbound
        },
        created_at: stored.created,
        answered_at: stored.answered,
        place,
        place_at: stored.at,
        run: stored.run,
        sequence: stored.seq,
        changed: false,
    };
    session
        .soundness()
        .map_err(|flaw| corrupt(id.to_string(), flaw))?;
    Ok(session)
}

fn json<T: Serialize>(value: &T) -> String {
    // Types of numbers, booleans and text cannot fail to serialise; an empty field would be told as corrupt.
    serde_json::to_string(value).unwrap_or_default()
}

fn field<T: serde::de::DeserializeOwned>(
    id: &dyn std::fmt::Display,
    fields: &[(String, String)],
    name: &str,
) -> Result<T, StoreError> {
    let key = || format!("{id} field {name}");
    let (_, text) = fields
        .iter()
        .find(|(n, _)| n == name)
        .ok_or_else(|| corrupt(key(), "it is missing"))?;
    serde_json::from_str(text).map_err(|e| corrupt(key(), e))
}

fn corrupt(key: String, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        key,
        why: why.to_string(),
    }
}
