//! The stored form of the recording of a room: a part of the field `run`.

use serde::{Deserialize, Serialize};

use roomkeeper_core::ids::{CommandUid, RecordingId};
use roomkeeper_core::room::{Recording, RecordingStatus};
use roomkeeper_core::time::Timestamp;

/// The stored recording.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredRecording {
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

/// Returns the stored form of a recording.
pub(super) fn encode_recording(recording: &Recording) -> StoredRecording {
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

/// Reads a recording. Returns `None` if its deadline is missing.
pub(super) fn decode_recording(stored: StoredRecording) -> Option<Recording> {
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
