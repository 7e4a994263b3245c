//! `/admin/nodes` and `/admin/orphans`: the state of the nodes, draining, and orphans.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::try_join_all;
use serde::Serialize;

use crate::http::error::ApiError;
use crate::http::request::{InPath, PathId};
use crate::reconciler::{Controller, Link, NodeReport};
use crate::store::node_status::{
    self, ForeignCall, OrphanConference, StatusField, UnreadableRecord,
};
use crate::store::{StoreError, keys, unreadable};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

use super::state::{Operator, Shared};

impl InPath for NodeId {
    const PARAM: &'static str = "id";
}

#[derive(Serialize)]
pub(super) struct NodeList {
    nodes: Vec<NodeRow>,
}

#[derive(Serialize)]
struct NodeRow {
    id: String,
    link: &'static str,
    /// The reason why it is down.
    reason: Option<String>,
    retry_after_ms: Option<u64>,
    synced: bool,
    /// Time of the last merged snapshot.
    resynced_at: Option<String>,
    /// The number of differences that snapshots have revealed.
    drift: u64,
    drifted_at: Option<String>,
    /// The node gets no new rooms.
    draining: bool,
    /// Milliseconds from the latest events to their commit.
    lag_ms: Option<u64>,
    owned_elsewhere: bool,
    calls: u64,
    max_calls: u64,
    last_heard: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Draining {
    id: String,
    draining: bool,
}

#[derive(Serialize)]
pub(super) struct Resyncing {
    id: String,
    status: &'static str,
    /// Time of the previous resync. This one is complete when the node reports a later time.
    resynced_at: Option<String>,
}

#[derive(Serialize)]
pub(super) struct OrphanList {
    nodes: Vec<NodeOrphans>,
    /// Stored values that belong to no node and that this replica could not decode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<RecordRow>,
}

#[derive(Serialize)]
struct NodeOrphans {
    id: String,
    /// Time of the owner's last report.
    at: Option<String>,
    conferences: Vec<ConferenceRow>,
    conferences_total: u64,
    calls: Vec<CallRow>,
    calls_total: u64,
    records: Vec<RecordRow>,
    records_total: u64,
}

#[derive(Serialize)]
struct ConferenceRow {
    name: String,
    conference_id: String,
    kind: &'static str,
    members: u64,
    since: String,
}

#[derive(Serialize)]
struct CallRow {
    uuid: String,
    caller_id: String,
    did: String,
    direction: &'static str,
    app: Option<String>,
    since: Option<String>,
}

#[derive(Serialize)]
struct RecordRow {
    key: String,
    why: String,
}

/// `GET /admin/nodes`.
pub(super) async fn list(State(shared): State<Shared>, _: Operator) -> Json<NodeList> {
    let reports = shared.state.controller.nodes();
    Json(NodeList {
        nodes: reports.iter().map(NodeRow::from_report).collect(),
    })
}

/// `POST /admin/nodes/{id}/drain`.
pub(super) async fn drain(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<NodeId>,
) -> Result<Json<Draining>, ApiError> {
    set_draining(&shared, id, true).await
}

/// `POST /admin/nodes/{id}/undrain`.
pub(super) async fn undrain(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<NodeId>,
) -> Result<Json<Draining>, ApiError> {
    set_draining(&shared, id, false).await
}

async fn set_draining(
    shared: &Shared,
    id: NodeId,
    draining: bool,
) -> Result<Json<Draining>, ApiError> {
    let controller = &shared.state.controller;
    let done = controller.drain(id, draining).await;
    done.map_err(|error| ApiError::intent(error, false))?;
    tracing::info!(node.id = %id, draining, "the operator changed the draining state of the node");
    Ok(Json(Draining {
        id: id.to_string(),
        draining,
    }))
}

/// `POST /admin/nodes/{id}/resync`.
pub(super) async fn resync(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<NodeId>,
) -> Result<(StatusCode, Json<Resyncing>), ApiError> {
    let controller = &shared.state.controller;
    // Read before the request, so that a client that waits for a later time does not miss it.
    let before = report(&**controller, id).and_then(|node| node.resynced_at);
    let requested = controller.resync(id).await;
    requested.map_err(|error| ApiError::intent(error, false))?;
    let body = Resyncing {
        id: id.to_string(),
        status: "in_progress",
        resynced_at: before.map(Timestamp::rfc3339_micros),
    };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

fn report(controller: &dyn Controller, id: NodeId) -> Option<NodeReport> {
    controller.nodes().into_iter().find(|node| node.id == id)
}

/// `GET /admin/orphans`: the report of each node's owner, from any replica.
pub(super) async fn orphans(
    State(shared): State<Shared>,
    _: Operator,
) -> Result<Json<OrphanList>, ApiError> {
    let nodes = shared.state.controller.nodes();
    let found = nodes.iter().map(|node| orphans_of(&shared, node.id));
    let nodes = try_join_all(found).await?;
    let records = unreadable::of_no_node();
    Ok(Json(OrphanList {
        nodes,
        records: records.into_iter().map(Into::into).collect(),
    }))
}

async fn orphans_of(shared: &Shared, id: NodeId) -> Result<NodeOrphans, ApiError> {
    let text = shared.state.store.read_report(id).await;
    let report = text.and_then(|text| {
        text.map(|text| {
            node_status::decode::<node_status::OrphanReport>(id, StatusField::Orphans, &text)
        })
        .transpose()
    });
    // An unreadable report must not hide the others.
    let mut unread = None;
    let report = match report {
        Err(StoreError::Corrupt { why, .. }) => {
            let key = keys::node_status(id);
            tracing::error!(store.key = key, why, "cannot decode the report of a node");
            unread = Some(UnreadableRecord { key, why });
            None
        }
        report => report?,
    };
    let at = report.as_ref().map(|report| report.at.rfc3339_micros());
    let mut report = report.unwrap_or_default();
    // Values that this replica has found since, or that the owner could not report.
    for found in unread.into_iter().chain(unreadable::of_node(id)) {
        if !report.records.iter().any(|known| known.key == found.key) {
            report.records.push(found);
            report.records_total += 1;
        }
    }
    let mut records: Vec<RecordRow> = report.records.into_iter().map(Into::into).collect();
    let mut records_total = report.records_total;
    if let Some(outbox) = outbox_of(shared, id).await? {
        // This row replaces the report's row of the same key, because it has counts.
        let others = records.len();
        records.retain(|record| record.key != outbox.key);
        records_total = records_total - (others - records.len()) as u64 + 1;
        records.push(outbox);
    }
    Ok(NodeOrphans {
        id: id.to_string(),
        at,
        conferences: report.conferences.into_iter().map(Into::into).collect(),
        conferences_total: report.conferences_total,
        calls: report.calls.into_iter().map(Into::into).collect(),
        calls_total: report.calls_total,
        records,
        records_total,
    })
}

/// The damage found in the node's outbox within a day: deleted or corrupted entries.
async fn outbox_of(shared: &Shared, id: NodeId) -> Result<Option<RecordRow>, ApiError> {
    const SHOWN: Duration = Duration::from_secs(24 * 3600);
    let backlog = shared.state.store.backlog(id).await?;
    let is_recent = backlog.noticed_ago.is_some_and(|ago| ago < SHOWN);
    Ok(is_recent.then(|| RecordRow {
        key: keys::outbox(id),
        why: format!(
            "outbox entries were deleted or corrupted: {} missing, {} unreadable",
            backlog.missing, backlog.unreadable
        ),
    }))
}

pub(super) const fn word(link: &Link) -> &'static str {
    match link {
        Link::Connecting => "connecting",
        Link::Up => "up",
        Link::Down { .. } => "down",
    }
}

impl NodeRow {
    fn from_report(node: &NodeReport) -> Self {
        let (reason, retry_after_ms) = match &node.link {
            Link::Down {
                reason,
                retry_after,
            } => (
                Some(reason.clone()),
                Some(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX)),
            ),
            Link::Connecting | Link::Up => (None, None),
        };
        Self {
            id: node.id.to_string(),
            link: word(&node.link),
            reason,
            retry_after_ms,
            synced: node.is_compared(),
            resynced_at: node.resynced_at.map(Timestamp::rfc3339_micros),
            drift: node.drift,
            drifted_at: node.drifted_at.map(Timestamp::rfc3339_micros),
            draining: node.draining,
            lag_ms: node.lag_ms,
            owned_elsewhere: node.owned_elsewhere,
            calls: node.calls,
            max_calls: node.max_calls,
            last_heard: node.last_heard.map(Timestamp::rfc3339_micros),
        }
    }
}

impl From<OrphanConference> for ConferenceRow {
    fn from(found: OrphanConference) -> Self {
        Self {
            name: found.name,
            conference_id: found.conference,
            kind: found.kind.as_str(),
            members: found.members,
            since: found.since.rfc3339_micros(),
        }
    }
}

impl From<ForeignCall> for CallRow {
    fn from(found: ForeignCall) -> Self {
        Self {
            uuid: found.call.to_string(),
            caller_id: found.caller_id,
            did: found.did,
            direction: if found.inbound { "inbound" } else { "outbound" },
            app: found.app.map(|app| app.to_string()),
            since: found.since.map(Timestamp::rfc3339_micros),
        }
    }
}

impl From<UnreadableRecord> for RecordRow {
    fn from(found: UnreadableRecord) -> Self {
        Self {
            key: found.key,
            why: found.why,
        }
    }
}
