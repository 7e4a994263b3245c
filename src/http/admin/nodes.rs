//! `/admin/nodes` and `/admin/orphans`: the state of the nodes, draining, and orphans.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::try_join_all;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::error::ApiError;
use crate::http::openapi::schemas::Failure;
use crate::http::request::{InPath, PathId};
use crate::reconciler::{Controller, Link, NodeReport, RelayTest};
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

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(drain))
        .routes(routes!(undrain))
        .routes(routes!(resync))
        .routes(routes!(orphans))
}

/// The path of a node.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes the path")]
pub(super) struct NodePath {
    /// The node.
    #[param(pattern = "^[A-Za-z0-9]{5}$")]
    id: String,
}

/// The state of the connection to a node.
#[derive(ToSchema)]
#[schema(as = NodeLink, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(super) enum LinkText {
    Connecting,
    Up,
    Down,
}

/// The status of a requested resync.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum ResyncStatus {
    InProgress,
}

/// The kind of a conference that belongs to no app.
#[derive(ToSchema)]
#[schema(as = OrphanKind, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum OrphanKindText {
    Foreign,
    Unknown,
    Unreadable,
}

/// The direction of a call, as FreeSWITCH sees it.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum CallDirection {
    Inbound,
    Outbound,
}

#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<NodeRow>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
struct NodeRow {
    id: String,
    #[schema(value_type = LinkText)]
    link: &'static str,
    /// The reason why it is down.
    #[schema(required)]
    reason: Option<String>,
    #[schema(required)]
    retry_after_ms: Option<u64>,
    synced: bool,
    /// Time of the last merged snapshot.
    #[schema(required, format = DateTime)]
    resynced_at: Option<String>,
    /// The number of differences that snapshots have revealed.
    drift: u64,
    #[schema(required, format = DateTime)]
    drifted_at: Option<String>,
    /// The node gets no new rooms.
    draining: bool,
    /// Milliseconds from the latest events to their commit.
    #[schema(required)]
    lag_ms: Option<u64>,
    owned_elsewhere: bool,
    calls: u64,
    max_calls: u64,
    #[schema(required, format = DateTime)]
    last_heard: Option<String>,
    /// Where it accepts calls from other nodes, `host:port`.
    #[schema(required)]
    relay: Option<String>,
    /// The last tests of the way to other nodes by the replica that answers.
    relay_tests: Vec<RelayTestRow>,
}

/// The last test of the way to a node.
#[derive(Serialize, ToSchema)]
#[schema(as = LastRelayTest)]
struct RelayTestRow {
    to: String,
    #[schema(format = DateTime)]
    at: String,
    works: bool,
    /// The reason why it does not work.
    #[schema(required)]
    cause: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Draining {
    id: String,
    draining: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Resyncing {
    id: String,
    #[schema(value_type = ResyncStatus)]
    status: &'static str,
    /// Time of the previous resync. This one is complete when the node reports a later time.
    #[schema(required, format = DateTime)]
    resynced_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct OrphanList {
    nodes: Vec<NodeOrphans>,
    /// Stored values that belong to no node and that this replica could not decode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<RecordRow>,
}

/// Objects of a node that belong to no app: at most 100 of each kind, and their number.
#[derive(Serialize, ToSchema)]
struct NodeOrphans {
    id: String,
    /// Time of the owner's last report.
    #[schema(required, format = DateTime)]
    at: Option<String>,
    conferences: Vec<ConferenceRow>,
    conferences_total: u64,
    calls: Vec<CallRow>,
    calls_total: u64,
    records: Vec<RecordRow>,
    records_total: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OrphanConference)]
struct ConferenceRow {
    name: String,
    conference_id: String,
    #[schema(value_type = OrphanKindText)]
    kind: &'static str,
    members: u64,
    #[schema(format = DateTime)]
    since: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OrphanCall)]
struct CallRow {
    uuid: String,
    caller_id: String,
    did: String,
    #[schema(value_type = CallDirection)]
    direction: &'static str,
    #[schema(required)]
    app: Option<String>,
    #[schema(required, format = DateTime)]
    since: Option<String>,
}

/// A stored value that cannot be decoded.
#[derive(Serialize, ToSchema)]
#[schema(as = UnreadableRecord)]
struct RecordRow {
    key: String,
    why: String,
}

/// List the nodes
#[utoipa::path(
    get, path = "/admin/nodes", tag = "nodes", operation_id = "listNodes",
    responses((status = 200, description = "All nodes, with their state and its reason.", body = NodeList,
         example = json!({"nodes": [{"id": "acW68", "link": "up", "reason": null, "retry_after_ms": null, "synced": true, "resynced_at": "2026-05-06T12:34:56.672025Z", "drift": 0, "drifted_at": null, "draining": false, "lag_ms": 23, "owned_elsewhere": false, "calls": 12, "max_calls": 1000, "last_heard": "2026-05-06T12:34:56.672025Z", "relay": "10.0.0.11:5090", "relay_tests": [{"to": "bdX79", "at": "2026-05-06T12:34:56.672025Z", "works": false, "cause": "CALL_REJECTED"}]}]})))
)]
pub(super) async fn list(State(shared): State<Shared>, _: Operator) -> Json<NodeList> {
    let reports = shared.state.controller.nodes();
    Json(NodeList {
        nodes: reports.iter().map(NodeRow::from_report).collect(),
    })
}

/// Drain a node
///
/// It gets no new conferences. Existing ones continue, and calls still join them.
#[utoipa::path(
    post, path = "/admin/nodes/{id}/drain", tag = "nodes", operation_id = "drainNode",
    params(NodePath),
    responses(
        (status = 200, description = "The node is draining.", body = Draining, example = json!({"id": "acW68", "draining": true})),
        (status = 404, description = "The node does not exist.", body = Failure),
    )
)]
pub(super) async fn drain(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<NodeId>,
) -> Result<Json<Draining>, ApiError> {
    set_draining(&shared, id, true).await
}

/// Undrain a node
///
/// It gets new conferences again.
#[utoipa::path(
    post, path = "/admin/nodes/{id}/undrain", tag = "nodes", operation_id = "undrainNode",
    params(NodePath),
    responses(
        (status = 200, description = "The node is not draining.", body = Draining, example = json!({"id": "acW68", "draining": false})),
        (status = 404, description = "The node does not exist.", body = Failure),
    )
)]
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

/// Compare a node with FreeSWITCH
///
/// The node's owner takes a snapshot. It is merged when the list of nodes shows a later `resynced_at`.
#[utoipa::path(
    post, path = "/admin/nodes/{id}/resync", tag = "nodes", operation_id = "resyncNode",
    params(NodePath),
    responses(
        (status = 202, description = "The snapshot is requested.", body = Resyncing,
         example = json!({"id": "acW68", "status": "in_progress", "resynced_at": "2026-05-06T12:34:56.672025Z"})),
        (status = 404, description = "The node does not exist.", body = Failure),
    )
)]
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

/// List conferences, calls and records that belong to no app
///
/// The report of each node's owner, from any replica.
#[utoipa::path(
    get, path = "/admin/orphans", tag = "nodes", operation_id = "listOrphans",
    responses((status = 200, description = "The report of each node.", body = OrphanList,
         example = json!({"nodes": [{"id": "acW68", "at": "2026-05-06T12:34:56.672025Z", "conferences": [{"name": "3000", "conference_id": "0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "kind": "foreign", "members": 2, "since": "2026-05-06T12:30:00.000000Z"}], "conferences_total": 1, "calls": [], "calls_total": 0, "records": [], "records_total": 0}]})))
)]
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
            relay: node.relay.clone(),
            relay_tests: node.relay_tests.iter().map(Into::into).collect(),
        }
    }
}

impl From<&RelayTest> for RelayTestRow {
    fn from(test: &RelayTest) -> Self {
        Self {
            to: test.to.to_string(),
            at: test.at.rfc3339_micros(),
            works: test.cause.is_none(),
            cause: test.cause.clone(),
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
