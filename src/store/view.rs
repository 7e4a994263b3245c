//! The stored form of what can be read of a stay and of a recording, also after it is over, and the way back.
//!
//! A view is written in the commit of its room and never read by the reconciler: what it shows is the room's to know.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{AppId, ChannelId, MemberId, RoomId, SessionId};
use crate::room::{CallChange, CallStatus, RecordingState, RecordingView};
use crate::time::Timestamp;

use super::packed::{Packed, Packer, Unreadable};
use super::{StoreError, ViewId, keys};

/// What can be read of a stay: a conferencecall.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallView {
    /// Whose room it is or was in.
    pub app: AppId,
    /// The room.
    pub room: RoomId,
    /// The call.
    pub session: SessionId,
    /// Where it stands.
    pub status: CallStatus,
    /// When it was asked for, or first seen.
    pub created_at: Timestamp,
    /// When its status changed.
    pub updated_at: Timestamp,
}

/// What can be read of a recording, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingRecord {
    /// Whose room was recorded.
    pub app: AppId,
    /// The room.
    pub room: RoomId,
    /// What is shown.
    pub view: RecordingView,
    /// When it changed.
    pub updated_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredRecording {
    a: AppId,
    r: RoomId,
    p: String,
    t: StoredState,
    c: Timestamp,
    u: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<Timestamp>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    l: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredState {
    Starting,
    Recording,
    Ended,
    Failed,
}

/// The body of a stay's view, [`packed`](super::packed) because there is one for each member of each room: `a` the app, `r`
/// and `s` the UUIDs of the room and of the call's channel, on the node of the stay; `p` 1 joining, 2 joined, 3 leaving,
/// 4 left; `c` since when and `u` when that changed, microseconds, the latter only when it is another time.
pub fn encode_call(app: &AppId, room: RoomId, change: &CallChange, now: Timestamp) -> String {
    let mut packer = Packer::default();
    packer.text('a', app.as_str());
    packer.uuid('r', room.uuid());
    packer.uuid('s', change.session.channel().uuid());
    packer.number(
        'p',
        match change.status {
            CallStatus::Joining => 1,
            CallStatus::Joined => 2,
            CallStatus::Leaving => 3,
            CallStatus::Left => 4,
        },
    );
    packer.number('c', change.since.as_micros());
    if now != change.since {
        packer.number('u', now.as_micros());
    }
    packer.finish()
}

/// A stay's view as it was stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not what [`encode_call`] writes.
pub fn decode_call(id: MemberId, body: &str) -> Result<CallView, StoreError> {
    let packed = Packed::new(body);
    let corrupt = |why: &dyn std::fmt::Display| StoreError::Corrupt {
        key: keys::view(ViewId::Call(id)),
        why: why.to_string(),
    };
    let read = || -> Result<(RoomId, SessionId, u64, u64, Option<u64>), Unreadable> {
        let session = ChannelId::new(packed.uuid('s')?);
        Ok((
            RoomId::new(id.node(), packed.uuid('r')?),
            SessionId::new(id.node(), session),
            packed.number('p')?,
            packed.number('c')?,
            packed.some_number('u')?,
        ))
    };
    let (room, session, status, created, updated) = read().map_err(|why| corrupt(&why))?;
    let app = packed.text('a').map_err(|why| corrupt(&why))?;
    Ok(CallView {
        app: app.parse().map_err(|why| corrupt(&why))?,
        room,
        session,
        status: match status {
            1 => CallStatus::Joining,
            2 => CallStatus::Joined,
            3 => CallStatus::Leaving,
            4 => CallStatus::Left,
            _ => return Err(corrupt(&"it stands where there is nothing")),
        },
        created_at: Timestamp::from_micros(created),
        updated_at: Timestamp::from_micros(updated.unwrap_or(created)),
    })
}

/// The body of a recording's view.
pub fn encode_recording(app: &AppId, room: RoomId, view: &RecordingView, now: Timestamp) -> String {
    json(&StoredRecording {
        a: app.clone(),
        r: room,
        p: view.path.clone(),
        t: match view.state {
            RecordingState::Starting => StoredState::Starting,
            RecordingState::Recording => StoredState::Recording,
            RecordingState::Ended => StoredState::Ended,
            RecordingState::Failed => StoredState::Failed,
        },
        c: view.created_at,
        u: now,
        b: view.started_at,
        e: view.ended_at,
        l: view
            .length
            .map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// A recording's view as it was stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not what [`encode_recording`] writes.
pub fn decode_recording(
    key: &dyn std::fmt::Display,
    body: &str,
) -> Result<RecordingRecord, StoreError> {
    let stored: StoredRecording = read(key, body)?;
    Ok(RecordingRecord {
        app: stored.a,
        room: stored.r,
        view: RecordingView {
            path: stored.p,
            state: match stored.t {
                StoredState::Starting => RecordingState::Starting,
                StoredState::Recording => RecordingState::Recording,
                StoredState::Ended => RecordingState::Ended,
                StoredState::Failed => RecordingState::Failed,
            },
            created_at: stored.c,
            started_at: stored.b,
            ended_at: stored.e,
            length: stored.l.map(Duration::from_millis),
        },
        updated_at: stored.u,
    })
}

fn json<T: Serialize>(value: &T) -> String {
    // Types of numbers and text cannot fail to serialise; an empty body would be told as corrupt.
    serde_json::to_string(value).unwrap_or_default()
}

fn read<T: serde::de::DeserializeOwned>(
    key: &dyn std::fmt::Display,
    body: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|why| StoreError::Corrupt {
        key: key.to_string(),
        why: why.to_string(),
    })
}
