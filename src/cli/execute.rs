//! Sends commands, waits for their confirmation, and prints the outcome.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::shutdown::stop_signal;

use super::arguments::Wait;
use super::client::{Client, ClientError};
use super::follow::Follower;
use super::request::{Outcome, Request, Verdict};
use super::{Failure, print, print_to_stderr, terminal};

/// Executes a command and prints its outcome.
///
/// # Errors
/// [`Failure`]: the controller refused, the command failed, or its confirmation did not come in time.
pub async fn run(client: &Client, request: Request, wait: Wait, json: bool) -> Result<(), Failure> {
    let progress = terminal::spinner(&request.words);
    let outcome = until_signal(&request.words, execute(client, &request, wait)).await;
    progress.finish_and_clear();
    let outcome = outcome?;
    let text = if json {
        format!("{:#}\n", outcome.document())
    } else {
        outcome.line(&request)
    };
    Ok(print(&text)?)
}

/// Executes a command and waits for its confirmation, if that is wanted.
async fn execute(client: &Client, request: &Request, wait: Wait) -> Result<Outcome, Failure> {
    match (wait.limit(), &request.confirmation) {
        (Some(limit), Some(confirmation)) => {
            let mut follower = Follower::open(client, confirmation.names()).await?;
            let answer = send(client, request).await;
            confirmed(request, answer, &mut follower, limit).await
        }
        (Some(_) | None, _) => Ok(send(client, request).await?.into()),
    }
}

impl From<Value> for Outcome {
    fn from(answer: Value) -> Self {
        Self {
            answer,
            event: None,
        }
    }
}

/// Sends a request and returns its answer.
///
/// # Errors
/// [`ClientError`].
pub(super) async fn send(client: &Client, request: &Request) -> Result<Value, ClientError> {
    let query: Vec<(&str, &str)> = request
        .query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let body = (!request.fields.is_empty()).then(|| Value::from(request.fields.clone()));
    let method = request.method.clone();
    client
        .request(method, &request.path, &query, body.as_ref())
        .await
}

/// Waits for the event that confirms a command, on a stream that was opened before the command was sent.
async fn confirmed(
    request: &Request,
    answer: Result<Value, ClientError>,
    follower: &mut Follower<'_>,
    limit: Duration,
) -> Result<Outcome, Failure> {
    let mut answer = match answer {
        // FreeSWITCH did not answer the controller in time. The command stands, so its event can still come.
        Err(error) if error.status() == Some(StatusCode::GATEWAY_TIMEOUT) => {
            print_to_stderr(&format!("{}: {error}", request.words));
            json!({})
        }
        answer => answer?,
    };
    let confirmation = request.confirmation.as_ref();
    let Some(confirmation) = confirmation.filter(|each| !each.is_settled(&answer)) else {
        return Ok(answer.into());
    };
    // On a terminal, the spinner shows it.
    if !console::user_attended_stderr() {
        print_to_stderr(&format!("{}: waiting for the event", request.words));
    }
    let search = async {
        loop {
            let event = follower.next().await?;
            confirmation.complete(&mut answer, &event);
            match confirmation.verdict(&answer, &event) {
                Some(Verdict::Confirmed) => return Ok(event),
                Some(Verdict::Failed(reason)) => {
                    return Err(Failure::Command(format!(
                        "{} failed: {reason}",
                        request.words
                    )));
                }
                None => {}
            }
        }
    };
    match tokio::time::timeout(limit, search).await {
        Ok(event) => Ok(Outcome {
            event: Some(event?),
            answer,
        }),
        Err(_) => Err(Failure::Unconfirmed(format!(
            "{}: accepted, but not confirmed within {} s",
            request.words,
            limit.as_secs()
        ))),
    }
}

/// Runs `work` until a signal comes. A signal does not undo a command that was sent.
pub(super) async fn until_signal<T>(
    words: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let stop = stop_signal();
    tokio::select! {
        done = work => done,
        () = stop => Err(Failure::Interrupted(format!("{words}: stopped waiting; a command that was sent stands"))),
    }
}
