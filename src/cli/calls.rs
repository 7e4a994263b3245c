//! `roomkeeper call …`: an app's calls.
//!
//! Owns the requests of these commands. Leaves out their effect, which the controller decides, and the tables
//! ([`super::show`]).

use roomkeeper_core::ids::CallId;

use super::access::Fleet;
use super::arguments::{CallArguments, CallOptions, IdView, SessionsOptions};
use super::client::Client;
use super::request::{Request, Subject};
use super::show::{self, CallFilter, Query};
use super::{Failure, dial, execute, fleet, lookup};

/// Executes a command for calls.
///
/// # Errors
/// [`Failure`].
pub async fn run(options: CallOptions) -> Result<(), Failure> {
    match options.access.client()? {
        Fleet::App(api) => run_for_app(&api, options.command, options.view).await,
        Fleet::AllApps(admin) => fleet::run_call(&admin, options.command, options.view).await,
    }
}

/// Shows all calls, or one: `roomkeeper sessions`.
///
/// # Errors
/// [`Failure`].
pub async fn run_sessions(options: SessionsOptions) -> Result<(), Failure> {
    let api = options.access.client()?;
    let query = match options.call {
        Some(call) => Query::Call(lookup::call(&api, &call).await?),
        None => Query::Calls(CallFilter::default()),
    };
    show::show(&api, query, options.view, options.watch.interval()).await
}

async fn run_for_app(api: &Client, command: CallArguments, view: IdView) -> Result<(), Failure> {
    let (request, wait) = match command {
        CallArguments::List { node, state, watch } => {
            let filter = CallFilter {
                node,
                state,
                number: None,
            };
            return show::show(api, Query::Calls(filter), view, watch.interval()).await;
        }
        CallArguments::Show { target, watch } => {
            let call = lookup::call(api, &target.call).await?;
            return show::show(api, Query::Call(call), view, watch.interval()).await;
        }
        CallArguments::Search { number } => {
            let filter = CallFilter {
                number: Some(number),
                ..CallFilter::default()
            };
            return show::show(api, Query::Calls(filter), view, None).await;
        }
        CallArguments::Dial { .. }
        | CallArguments::Dialling { .. }
        | CallArguments::Cancel { .. } => return dial::run(api, command, view).await,
        CallArguments::Transfer {
            target,
            to,
            extension,
            context,
            from,
            caller_name,
            answer_within,
            wait,
        } => {
            let call = lookup::call(api, &target.call).await?;
            let mut request = command_to(call, "transfer");
            for (field, text) in [
                ("to", to),
                ("extension", extension),
                ("context", context),
                ("from", from),
                ("caller_name", caller_name),
            ] {
                if let Some(text) = text {
                    request = request.with(field, text);
                }
            }
            if let Some(seconds) = answer_within {
                request = request.with("timeout", seconds);
            }
            let request = request
                .confirmed_by(Subject::Call(call), "call.transferred")
                .fails_with(&["call.transfer_failed", "call.hangup"]);
            (request, wait)
        }
        CallArguments::TransferCancel { target, wait } => {
            let call = lookup::call(api, &target.call).await?;
            let mut request = command_to(call, "transfer/cancel");
            request.words = format!("transfer-cancel {call}");
            let request = request
                .confirmed_by(Subject::Call(call), "call.transfer_ended")
                .confirmation(|each| each.events.push("call.transfer_failed"));
            (request, wait)
        }
        CallArguments::Answer { target, wait } => {
            let call = lookup::call(api, &target.call).await?;
            let request = command_to(call, "answer")
                .confirmed_by(Subject::Call(call), "call.answered")
                .fails_with(&["call.hangup"]);
            (request, wait)
        }
        CallArguments::Hangup {
            target,
            cause,
            wait,
        } => {
            let call = lookup::call(api, &target.call).await?;
            let mut request = command_to(call, "hangup");
            if let Some(cause) = cause {
                request = request.with("cause", cause);
            }
            (
                request.confirmed_by(Subject::Call(call), "call.hangup"),
                wait,
            )
        }
        CallArguments::Gather {
            target,
            digits,
            wait,
        } => {
            let call = lookup::call(api, &target.call).await?;
            let request = command_to(call, "gather").with_all(digits.fields());
            (gathered(request, call), wait)
        }
        CallArguments::GatherStop { target, wait } => {
            let call = lookup::call(api, &target.call).await?;
            let mut request = stops_gathering(command_to(call, "gather/stop"), call);
            request.words = format!("gather-stop {call}");
            (request, wait)
        }
        CallArguments::Dtmf {
            target,
            tones,
            wait,
        } => {
            let call = lookup::call(api, &target.call).await?;
            (command_to(call, "dtmf").with_all(tones.fields()), wait)
        }
        CallArguments::Join {
            target,
            room,
            unmuted,
            skip_pin,
            settings,
            wait,
        } => {
            let call = lookup::call(api, &target.call).await?;
            let room = lookup::room(api, &room).await?;
            let mut request = command_to(call, "conference/join")
                .with("room_id", room.to_string())
                .with_all(settings.fields());
            if unmuted {
                request = request.with("muted", false);
            }
            if skip_pin {
                request = request.with("skip_pin", true);
            }
            let request = request
                .confirmed_by(Subject::Call(call), "conference.member.joined")
                .fails_with(&["conference.member.join_failed", "call.hangup"])
                .confirmation(|each| each.settled = &["already_joined"]);
            (request, wait)
        }
        CallArguments::Leave { target, wait } => {
            let call = lookup::call(api, &target.call).await?;
            let request = command_to(call, "conference/leave")
                .confirmed_by(Subject::Call(call), "conference.member.left");
            (request, wait)
        }
    };
    execute::run(api, request, wait, view.view.json).await
}

/// Adds the event with the digits, which is that of a member while the call is in a room.
pub(super) fn gathered(request: Request, call: CallId) -> Request {
    let request = request.confirmed_by(Subject::Call(call), "call.gathered");
    request.confirmation(|each| {
        each.events.push("conference.member.gathered");
        each.answer_field = Some("operation_id");
    })
}

/// Adds the same event, which has the id of the request for digits.
pub(super) fn stops_gathering(request: Request, call: CallId) -> Request {
    gathered(request, call).confirmation(|each| each.command_uid = None)
}

fn command_to(call: CallId, command: &str) -> Request {
    let verb = command.rsplit('/').next().unwrap_or(command);
    let path = format!("api/v1/sessions/{call}/commands/{command}");
    Request::post(path, format!("{verb} {call}")).with_uid()
}
