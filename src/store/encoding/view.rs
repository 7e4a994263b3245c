//! The stored form of the views of memberships and recordings, which outlive their subjects, and the way back.
//!
//! A view is written in the commit of its room. The reconciler never reads it, because the room has the same data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use roomkeeper_core::ids::{AppId, CallId, MemberId, NodeId, RoomId};
use roomkeeper_core::room::{MembershipChange, MembershipStatus, RecordingState, RecordingView};
use roomkeeper_core::time::Timestamp;

use super::packed::{DecodeError, Packed, Packer};
use super::stored_fields::{
    Field, FieldGroup, field_row, read_field, stored_codes, stored_fields, write_field,
};
use crate::store::{StoreError, ViewId, keys};

/// The view of a membership, which is a conferencecall.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallView {
    /// The app of its room.
    pub app: AppId,
    /// The room.
    pub room: RoomId,
    /// The call.
    pub session: CallId,
    /// Its status.
    pub status: MembershipStatus,
    /// The time of the request, or of its first appearance.
    pub created_at: Timestamp,
    /// The time of the last change of its status.
    pub updated_at: Timestamp,
}

/// The view of a recording, with its app.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingRecord {
    /// The app of its room.
    pub app: AppId,
    /// The room.
    pub room: RoomId,
    /// The recording.
    pub view: RecordingView,
    /// The time of its last change.
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

stored_fields! {
    /// The view of a membership is packed, because there is one for each member of each room.
    StoredCall {
        'a' app "the app",
        'r' room "the UUID of the room, which is on the node of the membership",
        's' session "the UUID of the call's channel, on the same node",
        'p' status "1 joining, 2 joined, 3 leaving, 4 left",
        'c' created_at "when it was created, microseconds",
        'u' updated_at "when its status changed, microseconds, unless that is the same time",
    }
}

struct StoredCall {
    app: AppId,
    room: RoomId,
    session: CallId,
    status: MembershipStatus,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
}

stored_codes! {
    MembershipStatus {
        1 Joining,
        2 Joined,
        3 Leaving,
        4 Left,
    }
}

/// Returns the body of a membership's view.
pub fn encode_call(app: &AppId, room: RoomId, change: &MembershipChange, now: Timestamp) -> String {
    let stored = StoredCall {
        app: app.clone(),
        room,
        session: change.call,
        status: change.status,
        created_at: change.since,
        updated_at: (now != change.since).then_some(now),
    };
    let mut packer = Packer::default();
    stored.write(room.node(), &mut packer);
    packer.finish()
}

/// Reads the view of a membership.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not in the form of [`encode_call`].
pub fn decode_call(id: MemberId, body: &str) -> Result<CallView, StoreError> {
    let stored = StoredCall::read(id.node(), &Packed::new(body));
    let StoredCall {
        app,
        room,
        session,
        status,
        created_at,
        updated_at,
    } = stored.map_err(|why| StoreError::Corrupt {
        key: keys::view(ViewId::Call(id)),
        why: why.to_string(),
    })?;
    Ok(CallView {
        app,
        room,
        session,
        status,
        created_at,
        updated_at: updated_at.unwrap_or(created_at),
    })
}

/// Returns the body of a recording's view.
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

/// Reads a recording's view.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not in the form of [`encode_recording`].
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
    // Numbers and texts cannot fail to serialise; a reader reports an empty body as corrupt.
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
