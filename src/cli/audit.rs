//! `roomkeeper audit`: the audit log of a running controller, through its admin listener.

use jiff::Timestamp;
use serde_json::Value;

use roomkeeper_core::ids::AppId;

use super::arguments::AuditOptions;
use super::client::Pages;
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, print, terminal};

/// The page size of the requests.
const PAGE: u32 = 200;

/// Fetches and prints the entries that match.
///
/// # Errors
/// [`Failure`].
pub async fn run(options: AuditOptions) -> Result<(), Failure> {
    let admin = options.access.client()?;
    let filter = [
        ("app_id", options.app_id.as_ref().map(AppId::to_string)),
        ("action", options.action),
        ("actor", options.actor),
        ("since", options.since.as_ref().map(Timestamp::to_string)),
        ("until", options.until.as_ref().map(Timestamp::to_string)),
    ];
    let query: Vec<(&str, &str)> = filter
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
        .collect();
    let progress = terminal::spinner("loading");
    let pages = Pages {
        path: "admin/audit",
        list: "entries",
        page: options.limit.min(PAGE),
        query: &query,
        most: usize::try_from(options.limit).unwrap_or(usize::MAX),
    };
    let answer = admin.get_pages(pages, &progress).await;
    progress.finish_and_clear();
    let answer = answer?;
    let text = if options.view.json {
        format!("{answer:#}\n")
    } else {
        render(&answer, &Clock::new(options.view.utc), terminal::width())
    };
    Ok(print(&text)?)
}

fn render(answer: &Value, clock: &Clock, width: Option<usize>) -> String {
    let entries = answer["entries"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if entries.is_empty() {
        return "There are no entries.\n".to_owned();
    }
    let at = clock.head("TIME");
    let mut table = Table::new([
        (at.as_str(), Fit::Keep),
        ("ACTOR", Fit::Cut),
        ("ACTION", Fit::Cut),
        ("RESULT", Fit::Cut),
        ("TARGET", Fit::Cut),
        ("APP", Fit::Cut),
        ("CLIENT", Fit::Omit),
        ("REQUEST", Fit::Omit),
    ]);
    for entry in entries {
        table.row([
            clock.show(&entry["at"]),
            actor(&entry["actor"]),
            plain(&entry["action"]),
            result(entry),
            plain(&entry["target"]),
            plain(&entry["app_id"]),
            plain(&entry["client"]),
            plain(&entry["request_id"]),
        ]);
    }
    table.render(width)
}

fn actor(actor: &Value) -> String {
    match (&actor["kind"], &actor["id"]) {
        (kind, Value::Null) => plain(kind),
        // The operator has no other id.
        (kind, id) if kind == id => plain(kind),
        (kind, id) => format!("{} {}", plain(kind), plain(id)),
    }
}

/// Renders the result, with the status and error of one that is not `accepted`.
fn result(entry: &Value) -> String {
    let mut text = plain(&entry["result"]);
    if entry["result"] != "accepted" {
        for part in [&entry["status"], &entry["error"]] {
            if !part.is_null() {
                text.push(' ');
                text.push_str(&plain(part));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_show_actor_and_reason_of_refusal() {
        let answer = json!({"entries": [
            {"id": "2", "at": "2026-05-06T12:34:57.000000Z", "actor": {"kind": "operator", "id": "operator"},
             "action": "app.delete", "target": "demo", "app_id": "demo", "result": "refused", "status": 409,
             "error": "the app has calls", "request_id": "r2", "client": "127.0.0.1"},
            {"id": "1", "at": "2026-05-06T12:34:56.000000Z", "actor": {"kind": "app", "id": "demo"},
             "action": "room.lock", "target": "acW68-room-1", "app_id": "demo", "result": "accepted", "status": 202,
             "request_id": "r1", "client": "127.0.0.1"},
        ]});
        assert_eq!(
            render(&answer, &Clock::new(true), None),
            "TIME (UTC)           ACTOR     ACTION      RESULT                         TARGET        APP   CLIENT     REQUEST\n\
             2026-05-06 12:34:57  operator  app.delete  refused 409 the app has calls  demo          demo  127.0.0.1  r2\n\
             2026-05-06 12:34:56  app demo  room.lock   accepted                       acW68-room-1  demo  127.0.0.1  r1\n"
        );
        assert_eq!(
            render(&json!({"entries": []}), &Clock::new(true), None),
            "There are no entries.\n"
        );
    }
}
