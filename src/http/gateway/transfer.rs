//! `/sessions/{uuid}/commands/transfer` and `/transfer/cancel`: a call is connected with somebody outside of every
//! conference.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::{
    CommandBody, CommandUidText, Failure, SessionCommandFailures, SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::dial::{TransferRequest, TransferTarget};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::CallId;
use roomkeeper_core::intent::{CancelTransfer, Transfer, TransferAccepted};

use super::calls::answer_timeout;
use super::command::{Command, accepted};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(transfer))
        .routes(routes!(cancel))
}

/// The other side of a transfer.
#[derive(ToSchema)]
#[schema(as = Transfer)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body")]
enum TransferBody {
    Destination(DestinationBody),
    Extension(ExtensionBody),
}

/// A transfer to a number or a SIP address.
#[derive(ToSchema)]
#[schema(as = TransferToDestination)]
#[allow(dead_code, reason = "describes the body")]
struct DestinationBody {
    /// A number (`^\+?[0-9*]{1,32}$`) or a SIP address such as `alice@example.com`. The operator's configuration must
    /// allow it, as for a dial-out.
    #[schema(
        pattern = r"^(sip:)?(\+?[0-9*]{1,32}|[A-Za-z0-9+_.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[1-9][0-9]{0,4})?)$"
    )]
    to: String,
    /// The caller's number that the other side sees; that of the call if omitted.
    #[schema(pattern = r"^\+?[0-9*]{1,32}$")]
    from: Option<String>,
    /// The caller's name that the other side sees: letters, digits, spaces and `-._`; that of the call if omitted.
    #[schema(
        max_length = 64,
        pattern = r"^[A-Za-z0-9._-]([A-Za-z0-9 ._-]*[A-Za-z0-9._-])?$"
    )]
    caller_name: Option<String>,
    /// Seconds for an answer.
    #[schema(minimum = 1, maximum = 600, default = 60)]
    timeout: Option<u16>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// A transfer to an extension of the nodes' dialplan.
#[derive(ToSchema)]
#[schema(as = TransferToExtension)]
#[allow(dead_code, reason = "describes the body")]
struct ExtensionBody {
    /// The extension.
    #[schema(pattern = "^[A-Za-z0-9+*_.-]{1,64}$")]
    extension: String,
    /// The context of the extension. The operator's configuration must allow it.
    #[schema(pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    context: String,
    /// The caller's number that the other side sees; that of the call if omitted.
    #[schema(pattern = r"^\+?[0-9*]{1,32}$")]
    from: Option<String>,
    /// The caller's name that the other side sees: letters, digits, spaces and `-._`; that of the call if omitted.
    #[schema(
        max_length = 64,
        pattern = r"^[A-Za-z0-9._-]([A-Za-z0-9 ._-]*[A-Za-z0-9._-])?$"
    )]
    caller_name: Option<String>,
    /// Seconds for an answer.
    #[schema(minimum = 1, maximum = 600, default = 60)]
    timeout: Option<u16>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = TransferStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum StatusText {
    Transferring,
    Cancelling,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TransferOperation)]
struct Operation {
    #[schema(value_type = StatusText)]
    status: &'static str,
}

/// Transfer a call
///
/// FreeSWITCH calls the other side, and connects it with the call once it answers; until then the call hears a ringing
/// tone. A member leaves its conference first, with the reason `transferred` and without post-actions. The webhook is
/// `call.transferred`, or `call.transfer_failed` with the SIP status and FreeSWITCH's cause if nobody answers. When the
/// other side hangs up, `call.transfer_ended` follows. Afterwards the call is parked. The other side is no session. An app
/// transfers only to destinations and dialplan contexts that the operator allows; by default there are none.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/transfer", tag = "commands", operation_id = "transferCall",
    params(SessionPath),
    request_body(content = TransferBody, example = json!({"to": "+493012345", "timeout": 30, "command_uid": "transfer-1"})),
    responses(
        (status = 202, description = "FreeSWITCH accepted the command; webhooks report the progress.", body = Operation,
         example = json!({"status": "transferring"})),
        SessionCommandFailures,
        (status = 403, description = "The call belongs to another app, or the configuration does not allow the destination.", body = Failure),
        (status = 409, description = "The call is not answered, runs actions, is joining or leaving, coaches or has a coach, is asked for digits or is already transferred; or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn transfer(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let request = Box::new(request(&fields)?);
    let transfer = Transfer { request };
    Command::new(caller, Target::Call(call), transfer, "transfer", &fields)?
        .with_fresh_uid(&state)?
        .run(&state, |accepted| render(accepted, "transferring"))
        .await
}

/// End a transfer
///
/// The call is parked, and the other side is hung up. The webhook is `call.transfer_ended`, or `call.transfer_failed` if the
/// other side had not answered, with the reason `cancelled`.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/transfer/cancel", tag = "commands", operation_id = "cancelTransfer",
    params(SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "cancel-1"})),
    responses(
        (status = 202, description = "FreeSWITCH accepted the command; the webhook confirms it.", body = Operation,
         example = json!({"status": "cancelling"})),
        SessionCommandFailures,
        (status = 409, description = "The call is not transferred, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn cancel(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let target = Target::Call(call);
    Command::new(caller, target, CancelTransfer, "transfer/cancel", &fields)?
        .run(&state, |accepted| render(accepted, "cancelling"))
        .await
}

fn request(fields: &Fields) -> Result<TransferRequest, ApiError> {
    let to = match (fields.parsed("to")?, fields.parsed("extension")?) {
        (Some(_), Some(_)) => {
            return Err(ApiError::field("extension", "cannot be combined with to"));
        }
        (Some(to), None) => {
            if fields.text("context")?.is_some() {
                return Err(ApiError::field("context", "cannot be combined with to"));
            }
            TransferTarget::Destination(to)
        }
        (None, Some(extension)) => {
            TransferTarget::Extension(extension, fields.required("context")?)
        }
        (None, None) => {
            return Err(ApiError::field(
                "to",
                "is required, or extension and context",
            ));
        }
    };
    Ok(TransferRequest {
        to,
        from: fields.parsed("from")?,
        caller_name: fields.parsed("caller_name")?,
        timeout: answer_timeout(fields)?,
    })
}

fn render(_: TransferAccepted, status: &'static str) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation { status })
}
