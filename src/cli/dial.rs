//! `roomkeeper call dial …`: the dial-outs of an app's rooms.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::Value;

use super::arguments::{CallArguments, IdView};
use super::client::Client;
use super::request::{Request, Subject};
use super::table::plain;
use super::{Failure, execute, lookup, print};

/// The events that end an attempt without an answer.
const FAILURES: [&str; 5] = [
    "conference.call.busy",
    "conference.call.no_answer",
    "conference.call.failed",
    "conference.call.cancelled",
    "conference.destroyed",
];

/// Executes a command for dial-outs. Does nothing for any other command.
///
/// # Errors
/// [`Failure`].
pub async fn run(api: &Client, command: CallArguments, view: IdView) -> Result<(), Failure> {
    let json = view.view.json;
    let (request, wait) = match command {
        CallArguments::Dial {
            room,
            to,
            from,
            caller_name,
            answer_within,
            retries,
            muted,
            settings,
            wait,
        } => {
            let room = lookup::room(api, &room).await?;
            let path = format!("api/v1/conferences/{room}/calls");
            let mut request = Request::post(path, format!("dial {to}"))
                .with("to", to)
                .with("muted", muted)
                .with_all(settings.fields())
                .with_uid();
            for (field, text) in [("from", from), ("caller_name", caller_name)] {
                if let Some(text) = text {
                    request = request.with(field, text);
                }
            }
            if let Some(seconds) = answer_within {
                request = request.with("timeout", seconds);
            }
            if let Some(retries) = retries {
                request = request.with("retries", retries);
            }
            let request = request
                .confirmed_by(Subject::Room(room), "conference.call.answered")
                .fails_with(&FAILURES)
                .confirmation(|each| each.answer_field = Some("call_id"));
            (request, wait)
        }
        CallArguments::Cancel {
            room,
            dial_out,
            wait,
        } => {
            let room = lookup::room(api, &room).await?;
            let path = format!("api/v1/conferences/{room}/calls/{dial_out}");
            let request = Request::new(Method::DELETE, path, format!("cancel {dial_out}"))
                .with_uid()
                .confirmed_by(Subject::Room(room), "conference.call.cancelled")
                .confirmation(|each| {
                    each.data = Some(("call_id", dial_out.to_string().into()));
                    each.settled = &["cancelled"];
                });
            (request, wait)
        }
        CallArguments::Dialling { room } => {
            let room = lookup::room(api, &room).await?;
            let answer = api
                .get(&format!("api/v1/conferences/{room}/calls"), &[])
                .await?;
            let text = match json {
                true => format!("{answer:#}\n"),
                false => table(&answer),
            };
            return Ok(print(&text)?);
        }
        _ => return Ok(()),
    };
    execute::run(api, request, wait, json).await
}

/// A line for each dial-out.
fn table(answer: &Value) -> String {
    let calls = answer["calls"].as_array().map_or(&[][..], Vec::as_slice);
    if calls.is_empty() {
        return "There are no dial-outs in progress.\n".to_owned();
    }
    let mut text = String::new();
    for call in calls {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{}  {}  {}, attempt {} of {}",
            plain(&call["call_id"]),
            plain(&call["to"]),
            plain(&call["status"]),
            call["attempt"],
            call["attempts"]
        );
    }
    text
}
