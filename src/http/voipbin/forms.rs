//! Response bodies: conferences, conferencecalls and recordings, as documented.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::store::view::{CallView, RecordingRecord};
use roomkeeper_core::action::Action;
use roomkeeper_core::room::{MemberStatus, RoomState, RoomStatus};
use roomkeeper_core::time::Timestamp;

/// The documented value of a time that has not come yet.
pub(super) const NEVER: &str = "9999-01-01 00:00:00.000000";

/// The type of a conference. `connect` has at most two members, and when one leaves, so does the other.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(super) enum ConferenceType {
    Conference,
    Connect,
}

/// The status of a conference. It never moves backward.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum ConferenceStatus {
    Starting,
    Progressing,
    Terminating,
    Terminated,
}

/// The status of a conferencecall. It never moves backward.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum ConferencecallStatus {
    Joining,
    Joined,
    Leaving,
    Leaved,
}

/// The kind of object that a conferencecall refers to.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(super) enum ReferenceType {
    Call,
}

/// The status of a recording.
#[derive(ToSchema)]
#[schema(as = VoipbinRecordingStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum RecordingStatusText {
    Starting,
    Recording,
    Ended,
    Failed,
}

/// The format of a recording's file.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum RecordingFormat {
    Wav,
}

/// A conference.
#[derive(Serialize, ToSchema)]
pub(super) struct Conference {
    id: Uuid,
    customer_id: Uuid,
    #[schema(value_type = ConferenceType)]
    r#type: &'static str,
    #[schema(value_type = ConferenceStatus)]
    status: &'static str,
    name: String,
    detail: String,
    #[schema(value_type = Object)]
    data: Map<String, Value>,
    timeout: u32,
    #[schema(value_type = Vec<Object>)]
    pre_actions: Vec<Action>,
    #[schema(value_type = Vec<Object>)]
    post_actions: Vec<Action>,
    conferencecall_ids: Vec<Uuid>,
    recording_id: Uuid,
    recording_ids: Vec<Uuid>,
    tm_create: String,
    tm_update: String,
    tm_delete: String,
}

/// A conferencecall: one membership of a call in a conference.
#[derive(Serialize, ToSchema)]
pub(super) struct Conferencecall {
    id: Uuid,
    customer_id: Uuid,
    conference_id: Uuid,
    #[schema(value_type = ReferenceType)]
    reference_type: &'static str,
    reference_id: Uuid,
    #[schema(value_type = ConferencecallStatus)]
    status: &'static str,
    tm_create: String,
    tm_update: String,
    tm_delete: &'static str,
}

/// A recording.
#[derive(Serialize, ToSchema)]
pub(super) struct Recording {
    id: Uuid,
    customer_id: Uuid,
    conference_id: Uuid,
    #[schema(value_type = RecordingStatusText)]
    status: &'static str,
    #[schema(value_type = RecordingFormat)]
    format: &'static str,
    /// The file on the node.
    path: String,
    /// Seconds; 0 until the recording has ended.
    duration: f64,
    tm_start: String,
    tm_end: String,
    tm_create: String,
    tm_update: String,
    tm_delete: &'static str,
}

impl Conference {
    /// Renders a room; `None` for one without an owner.
    pub(super) fn from_room(room: &RoomState, customer: Uuid) -> Option<Self> {
        let registration = room.registration()?;
        let details = &registration.details;
        let ids = room.members().values();
        let ids = ids.filter(|m| !matches!(m.status, MemberStatus::Joining { .. }));
        Some(Self {
            id: room.id().uuid(),
            customer_id: customer,
            r#type: registration.kind.as_str(),
            status: match room.status() {
                RoomStatus::Starting => "starting",
                RoomStatus::Progressing => "progressing",
                RoomStatus::Terminating { .. } => "terminating",
                RoomStatus::Terminated => "terminated",
            },
            name: registration.name.clone(),
            detail: details.detail.clone(),
            data: details.data.clone(),
            timeout: details.timeout,
            pre_actions: details.pre_actions.clone(),
            post_actions: details.post_actions.clone(),
            conferencecall_ids: ids.map(|member| member.id.uuid()).collect(),
            recording_id: room.recording().map(|r| r.id.uuid()).unwrap_or_default(),
            recording_ids: room.recordings().iter().map(|id| id.uuid()).collect(),
            tm_create: registration.created_at.voipbin(),
            tm_update: after(registration.created_at, room.updated_at()),
            tm_delete: or_never(room.ended_at()),
        })
    }
}

impl Conferencecall {
    pub(super) fn from_view(id: Uuid, view: &CallView, customer: Uuid) -> Self {
        Self {
            id,
            customer_id: customer,
            conference_id: view.room.uuid(),
            reference_type: "call",
            reference_id: view.session.channel().uuid(),
            status: view.status.as_str(),
            tm_create: view.created_at.voipbin(),
            tm_update: after(view.created_at, view.updated_at),
            tm_delete: NEVER,
        }
    }
}

impl Recording {
    pub(super) fn from_record(id: Uuid, record: &RecordingRecord, customer: Uuid) -> Self {
        let view = &record.view;
        Self {
            id,
            customer_id: customer,
            conference_id: record.room.uuid(),
            status: view.state.as_str(),
            format: "wav",
            path: view.path.clone(),
            duration: view.length.unwrap_or_default().as_secs_f64(),
            tm_start: or_never(view.started_at),
            tm_end: or_never(view.ended_at),
            tm_create: view.created_at.voipbin(),
            tm_update: after(view.created_at, record.updated_at),
            tm_delete: NEVER,
        }
    }
}

fn or_never(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), Timestamp::voipbin)
}

/// The time of the last change; [`NEVER`] if there was none after the creation.
fn after(created: Timestamp, changed: Timestamp) -> String {
    or_never(Some(changed).filter(|at| *at > created))
}
