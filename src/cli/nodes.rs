//! `roomkeeper nodes …`: the nodes of a running controller, through its admin listener.
//!
//! Owns the requests, the rendering of nodes, and the waits until one is empty or resynced. Leaves out the placement of
//! rooms: the controller decides.

use std::time::Duration;

use serde_json::Value;

use crate::shutdown::stop_signal;
use crate::telemetry;
use roomkeeper_core::ids::NodeId;

use super::arguments::{NodeArguments, View};
use super::client::{Client, ClientError};
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, print, print_to_stderr, relay, terminal};

/// The poll interval of a wait.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A command for nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeCommand {
    /// Show all nodes.
    List,
    /// Stop creating rooms on a node.
    Drain {
        /// The node's id.
        id: NodeId,
        /// Waits until the node is empty.
        wait: bool,
    },
    /// Create rooms on a node again.
    Undrain {
        /// The node's id.
        id: NodeId,
    },
    /// Compare a node with a snapshot now.
    Resync {
        /// The node's id.
        id: NodeId,
        /// Waits until the comparison is complete.
        wait: bool,
    },
    /// Test the way for relays to other nodes.
    RelayTest {
        /// The calling node's id.
        from: NodeId,
        /// The called node's id; every other node that accepts relays if omitted.
        to: Option<NodeId>,
    },
}

impl From<Option<NodeArguments>> for NodeCommand {
    fn from(arguments: Option<NodeArguments>) -> Self {
        match arguments {
            None => Self::List,
            Some(NodeArguments::Drain { node_id: id, wait }) => Self::Drain { id, wait },
            Some(NodeArguments::Undrain { node_id: id }) => Self::Undrain { id },
            Some(NodeArguments::Resync { node_id: id, wait }) => Self::Resync { id, wait },
            Some(NodeArguments::RelayTest { from, to }) => Self::RelayTest { from, to },
        }
    }
}

/// Executes a command and prints the response.
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
    print(&text)?;
    match command {
        NodeCommand::RelayTest { .. } => relay::check(&answer),
        NodeCommand::List
        | NodeCommand::Drain { .. }
        | NodeCommand::Undrain { .. }
        | NodeCommand::Resync { .. } => Ok(()),
    }
}

/// Executes a command and returns the response unchanged, after a wait the node's row, or the results of all tests.
///
/// # Errors
/// [`Failure`]; [`Failure::Interrupted`] if a signal ends a wait, which does not undo the command.
pub async fn run(admin: &Client, command: NodeCommand) -> Result<Value, Failure> {
    match command {
        NodeCommand::List => Ok(list(admin).await?),
        NodeCommand::RelayTest { from, to } => relay::run(admin, from, to).await,
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
            let interrupted = format!(
                "stopped waiting: {id} still drains; `roomkeeper nodes undrain {id}` cancels that"
            );
            wait_until(admin, id, &interrupted, |row| {
                let remaining = Remaining::from_row(row);
                (remaining.is_empty(), remaining.to_string())
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
            let interrupted = format!("stopped waiting: the resync of {id} continues");
            wait_until(admin, id, &interrupted, |row| {
                let done = !row["resynced_at"].is_null() && row["resynced_at"] != before;
                (done, "resync in progress".to_owned())
            })
            .await
        }
    }
}

/// Fetches all nodes and adds `rooms`, the number of rooms, to those that this controller reconciles. It comes from
/// metrics.
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

/// Reads the gauge of a node's rooms.
fn rooms(metrics: &str, node: &str) -> Option<u64> {
    let name = format!("{}{{node=\"{node}\"}} ", telemetry::ROOMS);
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name)?.trim().parse().ok())
}

/// The rooms and calls that are still on a node.
struct Remaining {
    calls: u64,
    /// Only the controller that reconciles the node knows its rooms.
    rooms: Option<u64>,
}

impl Remaining {
    fn from_row(row: &Value) -> Self {
        Self {
            calls: row["calls"].as_u64().unwrap_or(0),
            rooms: row["rooms"].as_u64(),
        }
    }

    fn is_empty(&self) -> bool {
        self.calls == 0 && self.rooms.unwrap_or(0) == 0
    }
}

impl std::fmt::Display for Remaining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rooms {
            Some(rooms) => write!(f, "rooms left: {rooms}, calls left: {}", self.calls),
            None => write!(f, "calls left: {}", self.calls),
        }
    }
}

/// Polls a node's row until `done` and reports each change.
async fn wait_until(
    admin: &Client,
    id: NodeId,
    interrupted: &str,
    done: impl Fn(&Value) -> (bool, String),
) -> Result<Value, Failure> {
    let stop = stop_signal();
    tokio::pin!(stop);
    let progress = terminal::spinner("");
    let mut reported = String::new();
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
            Some(link) => {
                format!("{id}: {words}; the node is {link}, so this is the last known state")
            }
        };
        // On a terminal, the spinner shows the change; in a log, each change is a line.
        if reported != words {
            if progress.is_hidden() {
                print_to_stderr(&words);
            }
            progress.set_message(words.clone());
            reported = words;
        }
        if is_done {
            progress.finish_and_clear();
            return Ok(row.clone());
        }
        tokio::select! {
            () = &mut stop => {
                progress.finish_and_clear();
                return Err(Failure::Interrupted(interrupted.to_owned()));
            }
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Renders a response as text.
pub fn render(command: NodeCommand, answer: &Value, clock: &Clock, width: Option<usize>) -> String {
    match command {
        NodeCommand::List => match answer["nodes"].as_array().map(Vec::as_slice) {
            Some([]) | None => "There are no nodes.\n".to_owned(),
            Some(nodes) => table(nodes, clock).render(width),
        },
        NodeCommand::Drain { id, wait: false } => {
            format!(
                "{id} drains: it gets no new rooms. Present rooms and calls stay until they end.\n"
            )
        }
        NodeCommand::Drain { id, wait: true } => format!("{id} is empty.\n"),
        NodeCommand::RelayTest { .. } => relay::render(answer, width),
        NodeCommand::Undrain { id } => format!("{id} gets new rooms again.\n"),
        NodeCommand::Resync { id, wait: false } => format!("The resync of {id} has started.\n"),
        NodeCommand::Resync { id, wait: true } => format!(
            "{id} was resynced at {} {}; total differences found: {}.\n",
            clock.show(&answer["resynced_at"]),
            clock.zone(),
            plain(&answer["drift"])
        ),
    }
}

fn table(nodes: &[Value], clock: &Clock) -> Table {
    let resynced = clock.head("RESYNCED");
    let mut table = Table::new([
        ("NODE", Fit::Keep),
        ("STATE", Fit::Keep),
        ("CALLS", Fit::Keep),
        ("ROOMS", Fit::Keep),
        ("LAG", Fit::Keep),
        ("DRIFT", Fit::Keep),
        ("REASON", Fit::Cut),
        (resynced.as_str(), Fit::Omit),
    ]);
    for node in nodes {
        let mut state = plain(&node["link"]);
        for (is_so, word) in [
            (node["draining"] == true, ", draining"),
            (node["owned_elsewhere"] == true, ", other owner"),
            (
                node["link"] == "up" && node["synced"] == false && node["owned_elsewhere"] == false,
                ", not resynced yet",
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
    fn room_count_comes_from_metrics() {
        let metrics = "# TYPE roomkeeper_reconciler_rooms gauge\n\
            roomkeeper_reconciler_rooms{node=\"acW68\"} 3\n\
            roomkeeper_reconciler_rooms{node=\"bbbbb\"} 0\n";
        assert_eq!(rooms(metrics, "acW68"), Some(3));
        assert_eq!(rooms(metrics, "bbbbb"), Some(0));
        assert_eq!(rooms(metrics, "ccccc"), None);
    }

    #[test]
    fn table_shows_state_of_each_node() {
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
            "NODE   STATE            CALLS    ROOMS  LAG    DRIFT  REASON              RESYNCED (UTC)\n\
             acW68  up, draining     12/1000  3      23 ms  0      -                   2026-11-21 14:03:20\n\
             bbbbb  down             0        -      -      2      connection refused  -\n\
             ccccc  up, other owner  1        -      -      0      -                   -\n"
        );
    }

    #[test]
    fn node_is_empty_without_rooms_and_calls() {
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
            let remaining = Remaining::from_row(&row);
            assert_eq!(remaining.is_empty(), words.is_none(), "{row}");
            if let Some(words) = words {
                assert_eq!(remaining.to_string(), words);
            }
        }
    }
}
