//! `roomkeeper nodes …`: the nodes of a running controller, through its admin listener.
//!
//! Owns the requests, how nodes look, and how it is waited for that one is empty or was compared. Leaves out where new
//! rooms go: the controller decides.

use std::time::Duration;

use serde_json::Value;

use crate::app;
use crate::ids::NodeId;
use crate::telemetry;

use super::arguments::View;
use super::client::{Client, ClientError};
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, print, terminal};

/// How often it is asked whether what is waited for is so.
const LOOK: Duration = Duration::from_millis(500);

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeCommand {
    /// Show all nodes.
    List,
    /// Make no new room on it.
    Drain {
        /// Which.
        id: NodeId,
        /// Until nothing is left on it.
        wait: bool,
    },
    /// Make rooms on it again.
    Undrain {
        /// Which.
        id: NodeId,
    },
    /// Compare it with a snapshot, now.
    Resync {
        /// Which.
        id: NodeId,
        /// Until that is done.
        wait: bool,
    },
}

/// Carries a command out and prints what came of it.
///
/// # Errors
/// As for [`run`].
pub async fn show(admin: &Client, command: NodeCommand, view: View) -> Result<(), Failure> {
    let answer = run(admin, command).await?;
    let text = if view.json {
        format!("{answer:#}\n")
    } else {
        render(command, &answer, &Clock::new(view.utc), terminal::width())
    };
    Ok(print(&text)?)
}

/// Carries a command out; its answer as the listener gave it, or, where it was waited for something, the node's row as
/// it is then.
///
/// # Errors
/// [`Failure`]; [`Failure::Interrupted`] when a signal ends a wait: what was asked for stands.
pub async fn run(admin: &Client, command: NodeCommand) -> Result<Value, Failure> {
    match command {
        NodeCommand::List => Ok(list(admin).await?),
        NodeCommand::Undrain { id } => {
            let path = format!("admin/nodes/{id}/undrain");
            Ok(admin.post(&path, None).await?)
        }
        NodeCommand::Drain { id, wait } => {
            let path = format!("admin/nodes/{id}/drain");
            let answer = admin.post(&path, None).await?;
            if !wait {
                return Ok(answer);
            }
            let told = format!(
                "not waited for: {id} still drains; `roomkeeper nodes undrain {id}` takes it back"
            );
            until(admin, id, &told, |row| {
                let left = Left::of(row);
                (left.is_nothing(), left.to_string())
            })
            .await
        }
        NodeCommand::Resync { id, wait } => {
            let path = format!("admin/nodes/{id}/resync");
            let answer = admin.post(&path, None).await?;
            if !wait {
                return Ok(answer);
            }
            let before = answer["resynced_at"].clone();
            let told = format!("not waited for: {id} is still being compared");
            until(admin, id, &told, |row| {
                let done = !row["resynced_at"].is_null() && row["resynced_at"] != before;
                (done, "being compared".to_owned())
            })
            .await
        }
    }
}

/// All nodes, and how many rooms are on those that this controller reconciles: `rooms`, which its metrics have.
async fn list(admin: &Client) -> Result<Value, ClientError> {
    let mut list = admin.get("admin/nodes", &[]).await?;
    let metrics = admin.text("metrics").await?;
    let rows = list["nodes"].as_array_mut().map(Vec::as_mut_slice);
    for row in rows.unwrap_or_default() {
        let rooms = match (&row["id"], &row["owned_elsewhere"]) {
            (Value::String(id), Value::Bool(false)) => rooms(&metrics, id),
            _ => None,
        };
        if let Value::Object(row) = row {
            row.insert("rooms".to_owned(), rooms.into());
        }
    }
    Ok(list)
}

/// The gauge of a node's rooms.
fn rooms(metrics: &str, node: &str) -> Option<u64> {
    let name = format!("{}{{node=\"{node}\"}} ", telemetry::ROOMS);
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name)?.trim().parse().ok())
}

/// What is still on a node.
struct Left {
    calls: u64,
    /// Only who reconciles the node knows its rooms.
    rooms: Option<u64>,
}

impl Left {
    fn of(row: &Value) -> Self {
        Self {
            calls: row["calls"].as_u64().unwrap_or(0),
            rooms: row["rooms"].as_u64(),
        }
    }

    fn is_nothing(&self) -> bool {
        self.calls == 0 && self.rooms.unwrap_or(0) == 0
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rooms {
            Some(rooms) => write!(f, "rooms left: {rooms}, calls left: {}", self.calls),
            None => write!(f, "calls left: {}", self.calls),
        }
    }
}

/// Asks for a node's row until it is as it should be; says how it is whenever that changes.
async fn until(
    admin: &Client,
    id: NodeId,
    told: &str,
    done: impl Fn(&Value) -> (bool, String),
) -> Result<Value, Failure> {
    let stop = app::stop_signal();
    tokio::pin!(stop);
    let progress = terminal::spinner("");
    let mut said = String::new();
    loop {
        let list = list(admin).await?;
        let rows = list["nodes"].as_array().map(Vec::as_slice);
        let row = rows
            .unwrap_or_default()
            .iter()
            .find(|row| row["id"] == id.to_string());
        let Some(row) = row else {
            return Err(ClientError::Refused {
                status: reqwest::StatusCode::NOT_FOUND,
                error: format!("the controller has no node {id} any more"),
                retry_after: None,
            }
            .into());
        };
        let (is_done, words) = done(row);
        let words = match row["link"].as_str() {
            Some("up") | None => format!("{id}: {words}"),
            Some(link) => format!("{id}: {words}; it is {link}, so this is what was known last"),
        };
        // A spinner shows it where there is a terminal; in a log each change is a line.
        if said != words {
            if progress.is_hidden() {
                super::aside(&words);
            }
            progress.set_message(words.clone());
            said = words;
        }
        if is_done {
            progress.finish_and_clear();
            return Ok(row.clone());
        }
        tokio::select! {
            () = &mut stop => {
                progress.finish_and_clear();
                return Err(Failure::Interrupted(told.to_owned()));
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// An answer as people read it.
pub fn render(command: NodeCommand, answer: &Value, clock: &Clock, width: Option<usize>) -> String {
    match command {
        NodeCommand::List => match answer["nodes"].as_array().map(Vec::as_slice) {
            Some([]) | None => "There are no nodes.\n".to_owned(),
            Some(nodes) => table(nodes, clock).render(width),
        },
        NodeCommand::Drain { id, wait: false } => {
            format!("{id} drains: no new room is made on it. What is there stays until it ends.\n")
        }
        NodeCommand::Drain { id, wait: true } => format!("{id} is empty.\n"),
        NodeCommand::Undrain { id } => format!("{id} takes new rooms again.\n"),
        NodeCommand::Resync { id, wait: false } => format!("{id} is being compared.\n"),
        NodeCommand::Resync { id, wait: true } => format!(
            "{id} was compared at {} {}; differences found so far: {}.\n",
            clock.show(&answer["resynced_at"]),
            clock.zone(),
            plain(&answer["drift"])
        ),
    }
}

fn table(nodes: &[Value], clock: &Clock) -> Table {
    let compared = clock.head("COMPARED");
    let mut table = Table::new([
        ("NODE", Fit::Keep),
        ("STATE", Fit::Keep),
        ("CALLS", Fit::Keep),
        ("ROOMS", Fit::Keep),
        ("LAG", Fit::Keep),
        ("DRIFT", Fit::Keep),
        ("REASON", Fit::Cut),
        (compared.as_str(), Fit::Spare),
    ]);
    for node in nodes {
        let mut state = plain(&node["link"]);
        for (is_so, word) in [
            (node["draining"] == true, ", draining"),
            (node["owned_elsewhere"] == true, ", another's"),
            (
                node["link"] == "up" && node["synced"] == false && node["owned_elsewhere"] == false,
                ", not compared yet",
            ),
        ] {
            state.push_str(if is_so { word } else { "" });
        }
        let calls = match node["max_calls"].as_u64() {
            Some(0) | None => plain(&node["calls"]),
            Some(most) => format!("{}/{most}", plain(&node["calls"])),
        };
        let lag = match node["lag_ms"].as_u64() {
            Some(ms) => format!("{ms} ms"),
            None => plain(&node["lag_ms"]),
        };
        table.row([
            plain(&node["id"]),
            state,
            calls,
            plain(&node["rooms"]),
            lag,
            plain(&node["drift"]),
            plain(&node["reason"]),
            clock.show(&node["resynced_at"]),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rooms_of_a_node_are_read_off_the_metrics() {
        let metrics = "# TYPE roomkeeper_reconciler_rooms gauge\n\
            roomkeeper_reconciler_rooms{node=\"acW68\"} 3\n\
            roomkeeper_reconciler_rooms{node=\"bbbbb\"} 0\n";
        assert_eq!(rooms(metrics, "acW68"), Some(3));
        assert_eq!(rooms(metrics, "bbbbb"), Some(0));
        assert_eq!(rooms(metrics, "ccccc"), None);
    }

    #[test]
    fn a_table_says_how_each_node_is() {
        let answer = json!({"nodes": [
            {"id": "acW68", "link": "up", "synced": true, "owned_elsewhere": false, "draining": true, "calls": 12,
             "max_calls": 1000, "rooms": 3, "lag_ms": 23, "drift": 0, "reason": null,
             "resynced_at": "2026-11-21T14:03:20.123456Z"},
            {"id": "bbbbb", "link": "down", "synced": false, "owned_elsewhere": false, "calls": 0, "max_calls": 0,
             "rooms": null, "drift": 2, "reason": "connection refused", "resynced_at": null},
            {"id": "ccccc", "link": "up", "synced": false, "owned_elsewhere": true, "calls": 1, "max_calls": 0,
             "rooms": null, "drift": 0, "reason": null, "resynced_at": null},
        ]});
        let clock = Clock::new(true);
        assert_eq!(
            render(NodeCommand::List, &answer, &clock, None),
            "NODE   STATE          CALLS    ROOMS  LAG    DRIFT  REASON              COMPARED (UTC)\n\
             acW68  up, draining   12/1000  3      23 ms  0      -                   2026-11-21 14:03:20\n\
             bbbbb  down           0        -      -      2      connection refused  -\n\
             ccccc  up, another's  1        -      -      0      -                   -\n"
        );
    }

    #[test]
    fn a_node_is_empty_when_nothing_is_left_on_it() {
        for (row, words) in [
            (
                json!({"calls": 2, "rooms": 1}),
                Some("rooms left: 1, calls left: 2"),
            ),
            (
                json!({"calls": 0, "rooms": 1}),
                Some("rooms left: 1, calls left: 0"),
            ),
            (json!({"calls": 2, "rooms": null}), Some("calls left: 2")),
            (json!({"calls": 0, "rooms": 0}), None),
            (json!({"calls": 0, "rooms": null}), None),
        ] {
            let left = Left::of(&row);
            assert_eq!(left.is_nothing(), words.is_none(), "{row}");
            if let Some(words) = words {
                assert_eq!(left.to_string(), words);
            }
        }
    }
}
