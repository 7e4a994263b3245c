//! Sends commands, waits for their confirmation, and prints the outcome.

use std::time::Duration;

use indicatif::ProgressBar;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::shutdown::stop_signal;

use super::arguments::Wait;
use super::client::{Client, ClientError};
use super::follow::Follower;
use super::request::{Confirmation, Outcome, Request, Verdict};
use super::{Failure, print, print_to_stderr, terminal};

/// The maximum number of requests for one command of many when the controller sends `Retry-After`.
const MAX_TRIES: usize = 20;

/// The longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

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

/// Executes several commands of one kind, in order, and prints the outcome of each. One that fails does not keep the
/// others from being executed, unless they would fail for the same reason.
///
/// # Errors
/// [`Failure`]: at least one of them failed.
pub async fn run_all(
    client: &Client,
    requests: Vec<Request>,
    wait: Wait,
    json: bool,
) -> Result<(), Failure> {
    let total = requests.len();
    let words = format!("{total} commands");
    let progress = terminal::spinner(&words);
    let mut report = Report::default();
    let work = execute_all(client, requests, wait, json, &progress, &mut report);
    let done = until_signal(&words, work).await;
    progress.finish_and_clear();
    let Report { documents, failed } = report;
    // The commands before an error or a signal were executed.
    if json && (done.is_ok() || !documents.is_empty()) {
        print(&format!("{:#}\n", json!({ "results": documents })))?;
    } else if total == 0 {
        print("There is nothing to do.\n")?;
    }
    done?;
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Command(format!(
            "{failed} of {total} commands failed"
        ))),
    }
}

#[derive(Default)]
struct Report {
    documents: Vec<Value>,
    failed: usize,
}

async fn execute_all(
    client: &Client,
    requests: Vec<Request>,
    wait: Wait,
    json: bool,
    progress: &ProgressBar,
    report: &mut Report,
) -> Result<(), Failure> {
    let names = requests
        .iter()
        .filter_map(|request| request.confirmation.as_ref())
        .flat_map(Confirmation::names);
    let mut follower = match wait.limit() {
        Some(_) if !requests.is_empty() => Some(Follower::open(client, names).await?),
        Some(_) | None => None,
    };
    for request in &requests {
        let outcome = match (&mut follower, wait.limit()) {
            (Some(follower), Some(limit)) => {
                let answer = patiently(client, request).await;
                confirmed(request, answer, follower, limit).await
            }
            _ => patiently(client, request)
                .await
                .map(Outcome::from)
                .map_err(Failure::from),
        };
        let (line, mut document) = match outcome {
            Ok(outcome) => (outcome.line(request), outcome.document()),
            // The others would fail for the same reason.
            Err(Failure::Client(error)) if error.exit_code() != 1 => return Err(error.into()),
            Err(error) => {
                report.failed += 1;
                let error = super::chain(&error);
                progress.suspend(|| print_to_stderr(&format!("{}: {error}", request.words)));
                (String::new(), json!({ "error": error }))
            }
        };
        if let Value::Object(fields) = &mut document {
            fields.insert("command".to_owned(), request.words.clone().into());
        }
        report.documents.push(document);
        if !json {
            progress.suspend(|| print(&line))?;
        }
    }
    Ok(())
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

async fn send(client: &Client, request: &Request) -> Result<Value, ClientError> {
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

/// Sends a command of many, and again when the controller says that it came too early.
async fn patiently(client: &Client, request: &Request) -> Result<Value, ClientError> {
    let mut tries = 1;
    loop {
        match send(client, request).await {
            Err(ClientError::Refused {
                status: StatusCode::TOO_MANY_REQUESTS,
                retry_after: Some(wait),
                ..
            }) if tries < MAX_TRIES && wait <= MAX_RETRY_AFTER => {
                tries += 1;
                tokio::time::sleep(wait).await;
            }
            answer => return answer,
        }
    }
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
async fn until_signal<T>(
    words: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let stop = stop_signal();
    tokio::select! {
        done = work => done,
        () = stop => Err(Failure::Interrupted(format!("{words}: stopped waiting; a command that was sent stands"))),
    }
}
