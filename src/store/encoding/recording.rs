//! The stored form of a recording of a room or a member: a part of the field `run`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use roomkeeper_core::ids::{CommandUid, OperationId, RecordingId};
use roomkeeper_core::room::{PauseRequest, Recording, RecordingPause, RecordingStatus};
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<StoredPause>,
    /// The operation of its announcement, and the time for the start after it, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    announced: Option<(OperationId, u64)>,
}

/// The pause, and a request to change it.
#[derive(Serialize, Deserialize)]
struct StoredPause {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    total_us: u64,
    at: u64,
    /// The requested value, its command and its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<(bool, Option<CommandUid>, Timestamp)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    uncertain: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredRecordingStatus {
    Announcing,
    Starting,
    Active,
    Stopping,
}

/// Returns the stored form of a recording.
pub(super) fn encode_recording(recording: &Recording) -> StoredRecording {
    let mut announced = None;
    let (status, until, uid) = match &recording.status {
        RecordingStatus::Announcing {
            operation,
            timeout,
            command_uid,
        } => {
            let timeout = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
            announced = Some((*operation, timeout));
            (StoredRecordingStatus::Announcing, None, command_uid.clone())
        }
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
        pause: encode_pause(&recording.pause),
        announced,
    }
}

/// Returns the stored form of a pause; `None` for a recording that was never paused.
fn encode_pause(pause: &RecordingPause) -> Option<StoredPause> {
    let is_new = RecordingPause {
        at: pause.at,
        ..RecordingPause::default()
    };
    (*pause != is_new).then(|| StoredPause {
        since: pause.since,
        total_us: u64::try_from(pause.total.as_micros()).unwrap_or(u64::MAX),
        at: pause.at,
        asked: pause
            .requested
            .as_ref()
            .map(|r| (r.pause, r.command_uid.clone(), r.deadline)),
        uncertain: pause.uncertain,
    })
}

fn decode_pause(stored: StoredPause) -> RecordingPause {
    RecordingPause {
        since: stored.since,
        total: Duration::from_micros(stored.total_us),
        at: stored.at,
        requested: stored
            .asked
            .map(|(pause, command_uid, deadline)| PauseRequest {
                pause,
                command_uid,
                deadline,
            }),
        uncertain: stored.uncertain,
    }
}

/// Reads a recording. Returns `None` if its deadline or its announcement is missing.
pub(super) fn decode_recording(stored: StoredRecording) -> Option<Recording> {
    let status = match stored.status {
        StoredRecordingStatus::Announcing => {
            let (operation, timeout) = stored.announced?;
            RecordingStatus::Announcing {
                operation,
                timeout: Duration::from_micros(timeout),
                command_uid: stored.uid,
            }
        }
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
        pause: stored.pause.map(decode_pause).unwrap_or_default(),
    })
}
