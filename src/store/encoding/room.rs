//! The stored form of a room, and the way back.
//!
//! Owns the stored types, which are separate from the domain's so that either can change alone, and their version. Leaves
//! out keys and scripts.
//!
//! A room's head has four fields: `reg`, its registration; `run`, its changing state; `play`, its playback and progress;
//! and `urls`, the URLs of the playback, which are longer and change less. The last two exist only after something has been
//! played. They are JSON. The record of each member is [`packed`](super::packed): with short names of the app and the
//! caller its values have at most 64 bytes, and Redis keeps such a small hash in a third of the memory. In both forms,
//! unknown fields are ignored, so that a newer program's records can be read, and a missing field without a default is an
//! error.
//!
//! `member` encodes a member, `playback` the third and fourth field, `recording` a part of the second, [`call`](super::call) a
//! call.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use roomkeeper_core::ids::{
    AppId, CallId, ChannelId, CommandUid, ConferenceId, CoreId, RecordingId, RoomId,
};
use roomkeeper_core::room::playback::Playback;
use roomkeeper_core::room::state::Changes;
use roomkeeper_core::room::{
    Actions, Conference, Details, DialOut, DialOuts, EndReason, Kind, Lock, LockRequest, Member,
    MemberCoach, Origin, PinHash, Recording, Registration, RoomData, RoomSettings, RoomState,
    RoomStatus, Sparse,
};
use roomkeeper_core::time::Timestamp;

use super::json_fields::{corrupt, field, json};
use super::member::{MOVES, decode_member, encode_member, encode_moves};
use super::packed::{UUID_DIGITS, push_uuid, read_uuid};
use super::playback::{decode_playback, encode_playback};
use super::recording::{StoredRecording, decode_recording, encode_recording};
use super::stored_fields::UndecodedPart;
use crate::store::{EntityId, FieldsRef, RawRecord, StoreError};

const REGISTRATION: &str = "reg";
const RUN: &str = "run";

#[derive(Serialize, Deserialize)]
struct StoredRegistration {
    app: AppId,
    name: String,
    origin: StoredOrigin,
    created: Timestamp,
    #[serde(default)]
    kind: Kind,
    // The fields of [`Details`] one by one: a flattened struct would be parsed into a tree first, for each read of a room.
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
    #[serde(default, skip_serializing_if = "Sparse::is_default")]
    settings: Sparse<RoomSettings>,
    /// The hash of the PIN, which the settings do not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<PinHash>,
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
    /// The instances that have lost their last member, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emptied: Vec<(ConferenceId, u64)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    /// The lock has not been sent to its conference yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lock_due: bool,
    /// The requested lock, its command and its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock_asked: Option<(bool, Option<CommandUid>, Timestamp)>,
    /// A member whose exit ends the room has left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended_by_member: bool,
    /// Members with a membership, for readers of the head alone.
    present: usize,
    seq: u64,
    #[serde(default)]
    updated: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recording: Option<StoredRecording>,
    /// The recordings of members in progress.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    member_recordings: Vec<(CallId, StoredRecording)>,
    /// Members and their coaches, each with true if it coaches already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    coaches: Vec<(CallId, CallId, bool)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recordings: Vec<RecordingId>,
    /// The dial-outs in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dials: Option<Box<DialOuts>>,
    /// The conference has started after a wait for a moderator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    started: bool,
    /// The time since which a command for a setting has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resend: Option<Timestamp>,
    /// The conference instance in which a setting was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removed: Option<ConferenceId>,
    /// The time at which the room ends unless a member has talked since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    silent: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredStatus {
    Starting,
    Progressing,
    Terminating,
    Terminated,
}

/// The content of a room's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomHead {
    /// The registration.
    pub registration: Registration,
    /// Its status.
    pub status: RoomStatus,
    /// The time of its last change, by its owner's clock.
    pub updated_at: Timestamp,
    /// The time of its end.
    pub ended_at: Option<Timestamp>,
    /// The recording in progress.
    pub recording: Option<Recording>,
    /// All recordings, oldest first.
    pub recordings: Vec<RecordingId>,
    /// The dial-outs in progress.
    pub dials: Option<Box<DialOuts>>,
    /// The number of members that FreeSWITCH has shown.
    pub present: usize,
    /// The room is locked.
    pub locked: bool,
    /// The conference has started after a wait for a moderator.
    pub started: bool,
    /// The playback.
    pub playback: Playback,
}

impl RoomHead {
    /// Returns true while its members wait for a moderator, or the first one would.
    pub fn is_waiting(&self) -> bool {
        self.registration.details.settings.wait_for_moderator && !self.started
    }

    /// Returns the dial-outs in progress, oldest first.
    pub fn dials(&self) -> impl Iterator<Item = &DialOut> {
        self.dials.iter().flat_map(|dials| dials.iter())
    }

    /// Returns true if calls can join it and the gateway API shows it.
    pub const fn is_open(&self) -> bool {
        matches!(self.status, RoomStatus::Starting | RoomStatus::Progressing)
    }
}

/// The fields to set for a room: head, and parts (`None`: remove).
pub type RoomFields = (Vec<(String, String)>, Vec<(String, Option<String>)>);

/// Encodes these changes of a room. `created` means that the store has no record of it yet.
pub fn encode_room(room: &RoomState, changes: &Changes, created: bool) -> RoomFields {
    let mut head = Vec::new();
    if (created || changes.registration)
        && let Some(registration) = room.registration()
    {
        let stored = StoredRegistration::from(registration);
        head.push((REGISTRATION.to_owned(), json(&stored)));
    }
    if created || changes.head {
        head.push((RUN.to_owned(), json(&StoredRun::from(room))));
    }
    if changes.play {
        encode_playback(room.playback(), changes.urls, &mut head);
    }
    let node = room.id().node();
    let mut parts = Vec::with_capacity(2 * changes.members.len());
    for call in &changes.members {
        let member = room.members().get(call);
        let mut name = String::with_capacity(UUID_DIGITS + 1);
        push_uuid(&mut name, call.channel().uuid());
        parts.push((
            name.clone(),
            member.map(|member| encode_member(member, node)),
        ));
        name.push_str(MOVES);
        parts.push((name, member.map(|member| encode_moves(member, node))));
    }
    (head, parts)
}

impl From<&Registration> for StoredRegistration {
    fn from(r: &Registration) -> Self {
        let Details {
            detail,
            data,
            timeout,
            pre_actions,
            post_actions,
            settings,
        } = r.details.clone();
        Self {
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
            pin: settings.pin.hash().cloned(),
            settings,
        }
    }
}

impl From<&RoomState> for StoredRun {
    fn from(room: &RoomState) -> Self {
        let (status, deadline) = match room.status() {
            RoomStatus::Starting => (StoredStatus::Starting, None),
            RoomStatus::Progressing => (StoredStatus::Progressing, None),
            RoomStatus::Terminating { deadline } => (StoredStatus::Terminating, Some(deadline)),
            RoomStatus::Terminated => (StoredStatus::Terminated, None),
        };
        Self {
            status,
            deadline,
            lives: room
                .instances()
                .iter()
                .map(|c| (c.core, c.id, c.since))
                .collect(),
            emptied: room
                .instances()
                .iter()
                .filter_map(|c| Some((c.id, c.emptied?)))
                .collect(),
            locked: room.lock().locked(),
            lock_due: room.lock().due(),
            lock_asked: room
                .lock()
                .requested()
                .map(|a| (a.lock, a.command_uid.clone(), a.deadline)),
            ended_by_member: room.end_reason() == Some(EndReason::MemberLeft),
            present: room.present(),
            seq: room.sequence(),
            updated: room.updated_at(),
            ended: room.ended_at(),
            recording: room.recording().map(encode_recording),
            member_recordings: room
                .member_recordings()
                .iter()
                .map(|(call, recording)| (*call, encode_recording(recording)))
                .collect(),
            coaches: room
                .coaches()
                .iter()
                .map(|(member, coach)| (*member, coach.call, coach.began))
                .collect(),
            recordings: room.recordings().to_vec(),
            dials: room.stored_dials().cloned().map(Box::new),
            started: room.has_started(),
            resend: room.resend_at(),
            removed: room.removed_in(),
            silent: room.silent_at(),
        }
    }
}

/// Reads a room.
///
/// # Errors
/// [`StoreError::Corrupt`] when a field is missing or is not in the form of [`encode_room`], or when they contradict each
/// other.
pub fn decode_room<'a>(
    id: RoomId,
    record: impl Into<RawRecord<'a>>,
) -> Result<RoomState, StoreError> {
    let stored = record.into();
    let entity = EntityId::Room(id);
    let run: StoredRun = field(entity, &stored.head, RUN)?;
    let status = status(&run);
    let without_deadline = || corrupt(entity, &format!("field {RUN}"), "recording has no deadline");
    let recording = run
        .recording
        .map(|stored| decode_recording(stored).ok_or_else(without_deadline))
        .transpose()?;
    let member_recordings = run.member_recordings.into_iter().map(|(call, stored)| {
        let recording = decode_recording(stored).ok_or_else(without_deadline)?;
        Ok((call, recording))
    });
    let member_recordings = member_recordings.collect::<Result<_, StoreError>>()?;
    let emptied = |id: ConferenceId| {
        let mut emptied = run.emptied.iter();
        emptied
            .find(|(emptied, _)| *emptied == id)
            .map(|(_, sequence)| *sequence)
    };
    let instances = run.lives.into_iter().map(|(core, id, since)| Conference {
        core,
        id,
        since,
        emptied: emptied(id),
    });
    let requested = run
        .lock_asked
        .map(|(lock, command_uid, deadline)| LockRequest {
            lock,
            command_uid,
            deadline,
        });
    let data = RoomData {
        id,
        registration: registration(id, &stored)?,
        status,
        instances: instances.collect(),
        end_reason: run.ended_by_member.then_some(EndReason::MemberLeft),
        lock: Lock::restore(run.locked, run.lock_due, requested),
        playback: decode_playback(id, &stored)?,
        recording,
        member_recordings,
        coaches: run
            .coaches
            .into_iter()
            .map(|(member, call, began)| (member, MemberCoach { call, began }))
            .collect(),
        recordings: run.recordings,
        dials: run.dials,
        updated_at: run.updated,
        ended_at: run.ended,
        members: decode_members(id, &stored.parts)?,
        sequence: run.seq,
        started: run.started,
        removed_in: run.removed,
        resend_at: run.resend,
        silent_at: run.silent,
    };
    RoomState::restore(data).map_err(|why| corrupt(entity, "record", why))
}

fn decode_members(id: RoomId, parts: &FieldsRef<'_>) -> Result<Vec<(CallId, Member)>, StoreError> {
    let corrupt = |part: &str, why: &dyn fmt::Display| {
        super::json_fields::corrupt(EntityId::Room(id), &format!("part {part}"), why)
    };
    let mut members = Vec::with_capacity(parts.len() / 2);
    let mut parts = parts.iter().peekable();
    while let Some((name, fixed)) = parts.next() {
        let channel = read_uuid(name).ok_or_else(|| corrupt(name, &"not the UUID of a channel"))?;
        // Parts are sorted by name, so the two of a member are neighbours.
        let moves = parts.next_if(|(next, _)| next.strip_suffix(MOVES) == Some(name));
        let (_, moves) = moves.ok_or_else(|| corrupt(name, &"the changing part is missing"))?;
        let member = decode_member(id.node(), fixed, moves)
            .map_err(|UndecodedPart { part, why }| corrupt(&format!("{name}{part}"), &why))?;
        members.push((CallId::new(id.node(), ChannelId::new(channel)), member));
    }
    Ok(members)
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

/// Decodes a room's head.
///
/// # Errors
/// [`StoreError::Corrupt`] like [`decode_room`].
pub fn decode_room_head<'a>(
    id: RoomId,
    record: impl Into<RawRecord<'a>>,
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
        dials: run.dials,
        present: run.present,
        locked: run.locked,
        started: run.started,
        playback: decode_playback(id, &stored)?,
    })
}

fn registration(id: RoomId, stored: &RawRecord<'_>) -> Result<Registration, StoreError> {
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
            settings: stored.settings.with_pin(stored.pin),
        },
    })
}
