//! `/admin/nodes/{id}/relay-test`: tests the way for relays from one node to another.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::Failure;
use crate::http::request::PathId;
use crate::reconciler::{RelayTest, RelayTestError};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

use super::nodes::NodePath;
use super::state::{Operator, Shared};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(test))
}

/// The other node of a relay.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct RelayTarget {
    /// The node to which the relay is placed.
    #[schema(pattern = "^[A-Za-z0-9]{5}$")]
    to: String,
}

/// The result of a relay test. Figures are null if the call was not answered, or ended before it was measured.
#[derive(Serialize, ToSchema)]
#[schema(as = RelayTest)]
pub(super) struct RelayTestAnswer {
    from: String,
    to: String,
    #[schema(format = DateTime)]
    at: String,
    works: bool,
    /// The reason why it does not work: FreeSWITCH's cause, `NO_MEDIA`, `CALL_ENDED` or `CALL_NOT_FOUND`.
    #[schema(required)]
    cause: Option<String>,
    /// Milliseconds from the creation of the call to its answer, by the clock of `from`.
    #[schema(required)]
    answered_ms: Option<u64>,
    /// RTP packets that `from` sent.
    #[schema(required)]
    sent: Option<u64>,
    /// RTP packets that `from` received back.
    #[schema(required)]
    received: Option<u64>,
    /// RTP packets of both directions that did not arrive, by their sequence numbers.
    #[schema(required)]
    lost: Option<u64>,
    /// The greatest standard deviation of the time between two packets that `from` received.
    #[schema(required)]
    jitter_ms: Option<f64>,
}

/// Test relays between two nodes
///
/// Places one call from the node to the other one, which returns its sound, and measures it for two seconds. No app sees the
/// call.
#[utoipa::path(
    post, path = "/admin/nodes/{id}/relay-test", tag = "nodes", operation_id = "testRelay",
    params(NodePath),
    request_body(content = RelayTarget, example = json!({"to": "bdX79"})),
    responses(
        (status = 200, description = "The result, also if the way does not work.", body = RelayTestAnswer,
         example = json!({"from": "acW68", "to": "bdX79", "at": "2026-05-06T12:34:56.672025Z", "works": true, "cause": null, "answered_ms": 21, "sent": 100, "received": 99, "lost": 0, "jitter_ms": 1.4})),
        (status = 404, description = "One of the nodes does not exist.", body = Failure),
        (status = 409, description = "One of the nodes has no relay address, both are the same, or another test from the node is in progress.", body = Failure),
        (status = 502, description = "FreeSWITCH refused the command.", body = Failure),
        (status = 504, description = "FreeSWITCH did not answer in time. The command may have been executed.", body = Failure),
    )
)]
pub(super) async fn test(
    State(shared): State<Shared>,
    _: Operator,
    PathId(from): PathId<NodeId>,
    fields: Fields,
) -> Result<Json<RelayTestAnswer>, ApiError> {
    let to: NodeId = fields.required("to")?;
    let test = shared.state.controller.test_relay(from, to).await?;
    tracing::info!(node.id = %from, to = %to, cause = test.cause, "the operator tested a relay");
    Ok(Json(RelayTestAnswer::from_test(from, test)))
}

impl RelayTestAnswer {
    fn from_test(from: NodeId, test: RelayTest) -> Self {
        let figures = test.figures;
        let answered = figures.map(|figures| figures.answered.as_millis());
        Self {
            from: from.to_string(),
            to: test.to.to_string(),
            at: Timestamp::rfc3339_micros(test.at),
            works: test.cause.is_none(),
            cause: test.cause,
            answered_ms: answered.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            sent: figures.map(|figures| figures.sent),
            received: figures.map(|figures| figures.received),
            lost: figures.map(|figures| figures.lost),
            jitter_ms: figures.map(|figures| {
                let tenths = (figures.jitter.as_secs_f64() * 10_000.0).round();
                tenths / 10.0
            }),
        }
    }
}

impl From<RelayTestError> for ApiError {
    fn from(error: RelayTestError) -> Self {
        let words = error.to_string();
        match error {
            RelayTestError::UnknownNode(_) => Self::new(StatusCode::NOT_FOUND, words),
            RelayTestError::SameNode
            | RelayTestError::NoAddress(_)
            | RelayTestError::InProgress(_) => Self::new(StatusCode::CONFLICT, words),
            RelayTestError::Command { error, .. } => Self::command(words, error),
        }
    }
}
