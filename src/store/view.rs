//! The stored form of what can be read of a stay and of a recording, also after it is over, and the way back.
//!
//! A view is written in the commit of its room and never read by the reconciler: what it shows is the room's to know.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{AppId, RoomId, SessionId};
use crate::room::{CallChange, CallStatus, RecordingState, RecordingView};
use crate::time::Timestamp;

use super::StoreError;

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
struct StoredCall {
    a: AppId,
    r: RoomId,
    s: SessionId,
    t: StoredCallStatus,
    c: Timestamp,
    u: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredCallStatus {
    Joining,
    Joined,
    Leaving,
    Left,
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

/// The body of a stay's view.
pub fn encode_call(app: &AppId, room: RoomId, change: &CallChange, now: Timestamp) -> String {
    json(&StoredCall {
        a: app.clone(),
        r: room,
        s: change.session,
        t: match change.status {
            CallStatus::Joining => StoredCallStatus::Joining,
            CallStatus::Joined => StoredCallStatus::Joined,
            CallStatus::Leaving => StoredCallStatus::Leaving,
            CallStatus::Left => StoredCallStatus::Left,
        },
        c: change.since,
        u: now,
    })
}

/// A stay's view as it was stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not what [`encode_call`] writes.
pub fn decode_call(key: &dyn std::fmt::Display, body: &str) -> Result<CallView, StoreError> {
    let stored: StoredCall = read(key, body)?;
    Ok(CallView {
        app: stored.a,
        room: stored.r,
        session: stored.s,
        status: match stored.t {
            StoredCallStatus::Joining => CallStatus::Joining,
            StoredCallStatus::Joined => CallStatus::Joined,
            StoredCallStatus::Leaving => CallStatus::Leaving,
            StoredCallStatus::Left => CallStatus::Left,
        },
        created_at: stored.c,
        updated_at: stored.u,
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
