//! `roomkeeper webhook …`: an app's webhook endpoints and their deliveries.
//!
//! Owns the requests and the rendering of the responses. Leaves out the delivery: the controller decides.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use super::arguments::{IdView, WebhookArguments, WebhookOptions, WebhookReference};
use super::client::{Client, ClientError, Pages};
use super::reference::ShortIds;
use super::show::ids;
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, consent, lookup, print, terminal};

const ENDPOINTS: &str = "api/v1/webhooks";

/// The least number of digits of a shortened delivery. Only some deliveries are listed, and these digits are random: a
/// prefix that another delivery has as well is as good as impossible, and would be refused.
const DELIVERY_DIGITS: usize = 12;

/// The maximum page size of deliveries.
const PAGE: u32 = 200;

/// Executes a command for webhook endpoints.
///
/// # Errors
/// [`Failure`], also when a secret that is shown only once could not be printed.
pub async fn run(options: WebhookOptions) -> Result<(), Failure> {
    let api = options.access.client()?;
    let view = options.view;
    let clock = Clock::new(view.view.utc);
    match options.command {
        WebhookArguments::List => {
            let answer = api.get(ENDPOINTS, &[]).await?;
            report(view, &answer, || endpoints_text(&answer, view, &clock))
        }
        WebhookArguments::Deliveries {
            target,
            status,
            limit,
        } => {
            let id = lookup::endpoint(&api, &target.endpoint).await?;
            let answer = deliveries(&api, &id, status.as_deref(), limit).await?;
            let ids = if view.view.json || view.full_ids {
                DeliveryIds::whole()
            } else {
                DeliveryIds::fetch(&api, &answer).await?
            };
            report(view, &answer, || {
                deliveries_text(&answer, &ids, &clock, terminal::width())
            })
        }
        WebhookArguments::Add { url, events } => {
            let mut body = json!({ "url": url });
            if !events.is_empty() {
                body["events"] = events.into();
            }
            let answer = api.post(ENDPOINTS, Some(&body)).await?;
            let words = format!(
                "{} is created and gets all matching events from now on.",
                plain(&answer["id"])
            );
            report_secret(view, &answer, &words)
        }
        WebhookArguments::Rotate(target) => {
            let id = lookup::endpoint(&api, &target.endpoint).await?;
            let path = format!("{ENDPOINTS}/{id}/rotate-secret");
            let answer = api.post(&path, Some(&json!({}))).await?;
            let words = format!(
                "The secret of {id} is replaced. Messages are also signed with the previous one until {} {}.",
                clock.show(&answer["replaced_until"]),
                clock.zone()
            );
            report_secret(view, &answer, &words)
        }
        WebhookArguments::Remove { target, yes } => {
            let id = lookup::endpoint(&api, &target.endpoint).await?;
            let question = format!("Remove the webhook endpoint {id} and its pending deliveries?");
            consent::ask(&question, yes)?;
            let path = format!("{ENDPOINTS}/{id}");
            let answer = api.request(Method::DELETE, &path, &[], None).await?;
            report(view, &answer, || format!("{id} is removed.\n"))
        }
        WebhookArguments::Enable(target) => set_enabled(&api, target, view, true).await,
        WebhookArguments::Disable(target) => set_enabled(&api, target, view, false).await,
        WebhookArguments::Test(target) => {
            let id = lookup::endpoint(&api, &target.endpoint).await?;
            let answer = api.post(&format!("{ENDPOINTS}/{id}/test"), None).await?;
            report(view, &answer, || sent(&id, &answer))
        }
        WebhookArguments::Resend { target, delivery } => {
            let id = lookup::endpoint(&api, &target.endpoint).await?;
            let delivery = lookup::delivery(&api, &id, &delivery).await?;
            let path = format!("{ENDPOINTS}/{id}/deliveries/{delivery}/redeliver");
            let answer = api.post(&path, None).await?;
            report(view, &answer, || sent(&id, &answer))
        }
    }
}

fn report(view: IdView, answer: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let text = if view.view.json {
        format!("{answer:#}\n")
    } else {
        text()
    };
    Ok(print(&text)?)
}

/// Prints an answer with a secret. A secret that was not printed is lost, and the user must know.
fn report_secret(view: IdView, answer: &Value, words: &str) -> Result<(), Failure> {
    let text = if view.view.json {
        format!("{answer:#}\n")
    } else {
        format!(
            "{words}\nsigning secret: {}\nStore this secret now: it is not shown again.\n",
            plain(&answer["secret"])
        )
    };
    print(&text).map_err(Failure::WebhookSecretNotShown)
}

async fn set_enabled(
    api: &Client,
    target: WebhookReference,
    view: IdView,
    enabled: bool,
) -> Result<(), Failure> {
    let id = lookup::endpoint(api, &target.endpoint).await?;
    let path = format!("{ENDPOINTS}/{id}");
    let body = json!({ "enabled": enabled });
    let answer = api.request(Method::PATCH, &path, &[], Some(&body)).await?;
    report(view, &answer, || match enabled {
        true => format!("{id} is enabled.\n"),
        false => format!("{id} is disabled: its messages are kept as dead deliveries.\n"),
    })
}

fn sent(endpoint: &str, answer: &Value) -> String {
    format!(
        "{} to {endpoint}: {}\n",
        plain(&answer["id"]),
        plain(&answer["status"])
    )
}

/// Fetches the latest deliveries: `{"deliveries": […]}`.
async fn deliveries(
    api: &Client,
    endpoint: &str,
    status: Option<&str>,
    limit: u32,
) -> Result<Value, ClientError> {
    let query: Vec<(&str, &str)> = status
        .map(|status| ("status", status))
        .into_iter()
        .collect();
    let path = format!("{ENDPOINTS}/{endpoint}/deliveries");
    let progress = terminal::spinner("loading");
    let pages = Pages {
        path: &path,
        list: "deliveries",
        page: limit.min(PAGE),
        query: &query,
        most: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let answer = api.get_pages(pages, &progress).await;
    progress.finish_and_clear();
    answer
}

fn endpoints_text(answer: &Value, view: IdView, clock: &Clock) -> String {
    let endpoints = answer["webhooks"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if endpoints.is_empty() {
        return "There are no webhook endpoints. Create one with: roomkeeper webhook add\n"
            .to_owned();
    }
    let short = if view.full_ids {
        ShortIds::default()
    } else {
        ShortIds::new(ids(&answer["webhooks"], "id"))
    };
    let created = clock.head("CREATED");
    let mut table = Table::new([
        ("ENDPOINT", Fit::Keep),
        ("STATE", Fit::Keep),
        ("EVENTS", Fit::Cut),
        ("URL", Fit::Cut),
        ("CONFIGURED", Fit::Omit),
        (created.as_str(), Fit::Omit),
    ]);
    for endpoint in endpoints {
        let state = match (endpoint["enabled"] == true, &endpoint["disabled_reason"]) {
            (true, _) => "enabled".to_owned(),
            (false, Value::Null) => "disabled".to_owned(),
            (false, reason) => format!("disabled: {}", plain(reason)),
        };
        table.row([
            short.show(&endpoint["id"]),
            state,
            plain(&endpoint["events"]),
            plain(&endpoint["url"]),
            plain(&endpoint["configured"]),
            clock.show(&endpoint["created_at"]),
        ]);
    }
    table.render(terminal::width())
}

/// The ids of a table of deliveries.
struct DeliveryIds {
    deliveries: ShortIds,
    subjects: ShortIds,
}

impl DeliveryIds {
    /// Shortens the ids of these deliveries, and of the rooms and calls that they are about.
    async fn fetch(api: &Client, answer: &Value) -> Result<Self, ClientError> {
        let rows = &answer["deliveries"];
        let rooms = lookup::all(api, "api/v1/conferences", "conferences").await?;
        let calls = lookup::all(api, "api/v1/sessions", "sessions").await?;
        let subjects = [
            ids(&rooms["conferences"], "room_id"),
            ids(&calls["sessions"], "uuid"),
            // Those that have ended.
            ids(rows, "room_id"),
            ids(rows, "session_uuid"),
        ];
        Ok(Self {
            deliveries: ShortIds::with_length(ids(rows, "id"), DELIVERY_DIGITS),
            subjects: ShortIds::new(subjects.into_iter().flatten()),
        })
    }

    /// Leaves ids whole.
    fn whole() -> Self {
        Self {
            deliveries: ShortIds::default(),
            subjects: ShortIds::default(),
        }
    }
}

fn deliveries_text(
    answer: &Value,
    ids: &DeliveryIds,
    clock: &Clock,
    width: Option<usize>,
) -> String {
    let rows = answer["deliveries"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if rows.is_empty() {
        return "There are no deliveries.\n".to_owned();
    }
    let queued = clock.head("QUEUED");
    let mut table = Table::new([
        ("DELIVERY", Fit::Keep),
        ("EVENT", Fit::Keep),
        ("STATUS", Fit::Keep),
        ("TRIES", Fit::Keep),
        ("RESPONSE", Fit::Cut),
        ("ABOUT", Fit::Omit),
        (queued.as_str(), Fit::Omit),
    ]);
    for row in rows {
        let about = match &row["room_id"] {
            Value::Null => &row["session_uuid"],
            room => room,
        };
        let attempts = row["attempts"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        table.row([
            ids.deliveries.show(&row["id"]),
            plain(&row["event"]),
            plain(&row["status"]),
            attempts.len().to_string(),
            attempts.last().map_or_else(|| "-".to_owned(), response),
            ids.subjects.show(about),
            clock.show(&row["created_at"]),
        ]);
    }
    table.render(width)
}

/// Renders the response of an attempt: its status or error, and its duration.
fn response(attempt: &Value) -> String {
    let mut text = match &attempt["status"] {
        Value::Null => plain(&attempt["error"]),
        status => plain(status),
    };
    // Writing to a String does not fail.
    let _ = write!(text, " in {} ms", plain(&attempt["ms"]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_show_last_response() {
        let answer = json!({"deliveries": [
            {"id": "msg_018f3c2a9b1d7cc2a3f0b1c2d3e4f5a6", "event": "call.new", "session_uuid": "acW68-1",
             "status": "dead", "created_at": "2026-05-06T12:34:56.672025Z", "attempts": [
                {"at": "2026-05-06T12:34:56.680025Z", "status": null, "error": "timeout", "ms": 10000},
                {"at": "2026-05-06T12:34:57.680025Z", "status": 500, "error": null, "ms": 12}]},
            {"id": "msg_118f3c2a9b1d7cc2a3f0b1c2d3e4f5a7", "event": "conference.created", "room_id": "acW68-room-1",
             "status": "pending", "created_at": "2026-05-06T12:34:56.672025Z", "attempts": []},
        ]});
        let ids = DeliveryIds {
            deliveries: ShortIds::with_length(
                super::ids(&answer["deliveries"], "id"),
                DELIVERY_DIGITS,
            ),
            subjects: ShortIds::default(),
        };
        assert_eq!(
            deliveries_text(&answer, &ids, &Clock::new(true), None),
            "DELIVERY          EVENT               STATUS   TRIES  RESPONSE      ABOUT         QUEUED (UTC)\n\
             msg_018f3c2a9b1d  call.new            dead     2      500 in 12 ms  acW68-1       2026-05-06 12:34:56\n\
             msg_118f3c2a9b1d  conference.created  pending  0      -             acW68-room-1  2026-05-06 12:34:56\n"
        );
    }
}
