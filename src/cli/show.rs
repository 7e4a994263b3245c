//! Shows an app's rooms, members and calls, through the API.
//!
//! Owns the requests for them and their rendering. Leaves out commands to them.

use std::fmt::Write as _;
use std::time::Duration;

use console::Term;
use serde_json::{Value, json};

use crate::shutdown::stop_signal;
use roomkeeper_core::ids::{CallId, NodeId, RoomId};

use super::arguments::IdView;
use super::client::{Client, ClientError, UNAVAILABLE};
use super::reference::ShortIds;
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, lookup, print, print_to_stderr, terminal};

const ROOMS: &str = "api/v1/conferences";
const CALLS: &str = "api/v1/sessions";

/// The rooms, members or calls to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// All rooms, or those on a node.
    Rooms(Option<NodeId>),
    /// A room and its members.
    Room(RoomId),
    /// The members of a room.
    Members(RoomId),
    /// The calls that match.
    Calls(CallFilter),
    /// A call.
    Call(CallId),
}

/// The calls of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallFilter {
    /// Only calls on this node.
    pub node: Option<NodeId>,
    /// Only calls in this state.
    pub state: Option<String>,
    /// Only calls whose caller's or dialled number contains this.
    pub number: Option<String>,
}

impl CallFilter {
    fn accepts(&self, call: &Value) -> bool {
        let is_on_node = self
            .node
            .is_none_or(|node| call["node"] == node.to_string());
        let is_in_state = self
            .state
            .as_ref()
            .is_none_or(|state| call["state"] == **state);
        let contains = |field: &str, number: &str| {
            let text = call[field].as_str();
            text.is_some_and(|text| text.contains(number))
        };
        let has_number = self
            .number
            .as_deref()
            .is_none_or(|number| contains("caller_id", number) || contains("did", number));
        is_on_node && is_in_state && has_number
    }
}

/// A response and the ids that its tables show.
struct Content {
    answer: Value,
    ids: ShortIds,
}

/// Fetches and prints rooms, members or calls, once or until a signal comes.
///
/// # Errors
/// [`Failure`]. While watching, an unavailable controller is reported and polled again.
pub async fn show(
    api: &Client,
    query: Query,
    view: IdView,
    every: Option<Duration>,
) -> Result<(), Failure> {
    let IdView { view, full_ids } = view;
    let clock = Clock::new(view.utc);
    let shortens = !view.json && !full_ids;
    let text = |fetched: &Content| {
        if view.json {
            format!("{:#}\n", fetched.answer)
        } else {
            render(
                &query,
                &fetched.answer,
                &fetched.ids,
                &clock,
                terminal::width(),
            )
        }
    };
    watch(every, async || fetch(api, &query, shortens).await, text).await
}

/// Prints what `fetch` returns, once or at intervals until a signal comes.
///
/// # Errors
/// [`Failure`]. While watching, an unavailable controller is reported and polled again.
pub async fn watch<T>(
    every: Option<Duration>,
    fetch: impl AsyncFn() -> Result<T, ClientError>,
    text: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    let fetched = fetch().await?;
    let Some(every) = every else {
        return Ok(print(&text(&fetched))?);
    };
    let watching = async {
        let mut fetched: Result<T, ClientError> = Ok(fetched);
        loop {
            match &fetched {
                Ok(fetched) => {
                    let screen = Term::stdout();
                    if screen.is_term() {
                        screen.clear_screen()?;
                    }
                    print(&text(fetched))?;
                }
                Err(error) => print_to_stderr(&error.to_string()),
            }
            tokio::time::sleep(every).await;
            fetched = fetch().await;
            if let Err(error) = &fetched
                && error.exit_code() != UNAVAILABLE
            {
                return fetched.map(drop).map_err(Failure::from);
            }
        }
    };
    tokio::select! {
        ended = watching => ended,
        () = stop_signal() => Ok(()),
    }
}

/// Fetches all pages: `{"conferences": […]}`, `{"room": {…}, "members": […]}`, `{"sessions": […]}`, or a call. With
/// `shortens`, also fetches all ids from which those in tables must differ.
async fn fetch(api: &Client, query: &Query, shortens: bool) -> Result<Content, ClientError> {
    let mut others = Vec::new();
    let answer = match query {
        Query::Rooms(node) => {
            let mut rooms = lookup::all(api, ROOMS, "conferences").await?;
            others.push(ids(&rooms["conferences"], "room_id"));
            retain(&mut rooms["conferences"], |room| {
                node.is_none_or(|node| is_on_node(room, node))
            });
            rooms
        }
        Query::Room(id) => {
            let room = api.get(&format!("{ROOMS}/{id}"), &[]).await?;
            let members = lookup::members(api, *id).await?;
            json!({ "room": room, "members": members["members"] })
        }
        Query::Members(id) => lookup::members(api, *id).await?,
        Query::Calls(filter) => {
            let mut calls = lookup::all(api, CALLS, "sessions").await?;
            others.push(ids(&calls["sessions"], "uuid"));
            retain(&mut calls["sessions"], |call| filter.accepts(call));
            if shortens {
                let rooms = lookup::all(api, ROOMS, "conferences").await?;
                others.push(ids(&rooms["conferences"], "room_id"));
                // A room can have been created since.
                others.push(ids(&calls["sessions"], "room_id"));
            }
            calls
        }
        Query::Call(id) => api.get(&format!("{CALLS}/{id}"), &[]).await?,
    };
    if shortens && answer["members"].is_array() {
        let calls = lookup::all(api, CALLS, "sessions").await?;
        others.push(ids(&calls["sessions"], "uuid"));
        // A member can be another app's call.
        others.push(ids(&answer["members"], "uuid"));
    }
    let ids = if shortens {
        ShortIds::new(others.into_iter().flatten())
    } else {
        ShortIds::default()
    };
    Ok(Content { answer, ids })
}

/// The ids in a field of rows.
pub fn ids(rows: &Value, field: &str) -> Vec<String> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .filter_map(|row| row[field].as_str().map(str::to_owned))
        .collect()
}

fn retain(rows: &mut Value, accepts: impl Fn(&Value) -> bool) {
    if let Value::Array(rows) = rows {
        rows.retain(accepts);
    }
}

/// True if a room is on this node, by its id.
fn is_on_node(room: &Value, node: NodeId) -> bool {
    let id = room["room_id"]
        .as_str()
        .and_then(|id| id.parse::<RoomId>().ok());
    id.is_some_and(|id| id.node() == node)
}

/// Renders a response of [`fetch`] as text.
fn render(
    query: &Query,
    answer: &Value,
    ids: &ShortIds,
    clock: &Clock,
    width: Option<usize>,
) -> String {
    let list = |name: &str| {
        answer[name]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    match query {
        Query::Rooms(_) => match list("conferences") {
            [] => "There are no rooms.\n".to_owned(),
            rooms => {
                let mut text = room_table(rooms, ids, clock).render(width);
                text.push_str(stale(rooms));
                text
            }
        },
        Query::Room(_) => {
            let mut text = room_block(&answer["room"], clock);
            text.push('\n');
            match list("members") {
                [] => text.push_str("The room is empty.\n"),
                members => text.push_str(&member_table(members, ids).render(width)),
            }
            text.push_str(stale(std::slice::from_ref(&answer["room"])));
            text
        }
        Query::Members(_) => match list("members") {
            [] => "The room is empty.\n".to_owned(),
            members => {
                let mut text = member_table(members, ids).render(width);
                text.push_str(stale(std::slice::from_ref(answer)));
                text
            }
        },
        Query::Calls(_) => match list("sessions") {
            [] => "There are no calls.\n".to_owned(),
            calls => {
                let mut text = call_table(calls, ids, clock).render(width);
                text.push_str(stale(calls));
                text
            }
        },
        Query::Call(_) => {
            let mut text = call_block(answer, clock);
            text.push_str(stale(std::slice::from_ref(answer)));
            text
        }
    }
}

/// The note below rows whose node is not connected.
pub fn stale(rows: &[Value]) -> &'static str {
    if rows.iter().any(|row| row["stale"] == true) {
        "(a node is not connected: its rows show the last known state)\n"
    } else {
        ""
    }
}

fn room_table(rooms: &[Value], ids: &ShortIds, clock: &Clock) -> Table {
    let created = clock.head("CREATED");
    let mut table = Table::new([
        ("ROOM", Fit::Keep),
        ("NAME", Fit::Cut),
        ("MEMBERS", Fit::Keep),
        ("LOCKED", Fit::Omit),
        (created.as_str(), Fit::Omit),
    ]);
    for room in rooms {
        table.row([
            ids.show(&room["room_id"]),
            plain(&room["name"]),
            plain(&room["members"]),
            flag(room, "locked"),
            clock.show(&room["created_at"]),
        ]);
    }
    table
}

/// Renders a flag that the API omits unless it is true.
fn flag(row: &Value, name: &str) -> String {
    plain(&Value::Bool(row[name] == true))
}

fn room_block(room: &Value, clock: &Clock) -> String {
    let mut playback = plain(&room["playback_status"]);
    if room["playback_status"] != "stopped" {
        let _ = write!(
            playback,
            ", operation {}, {}",
            plain(&room["playback_operation_id"]),
            plain(&room["playback_urls"])
        );
    }
    let recording = match &room["recording_status"] {
        Value::Null => "stopped".to_owned(),
        status => plain(status),
    };
    block([
        ("room", plain(&room["room_id"])),
        ("name", plain(&room["name"])),
        (
            "created",
            format!("{} {}", clock.show(&room["created_at"]), clock.zone()),
        ),
        ("members", plain(&room["members"])),
        ("locked", flag(room, "locked")),
        ("waiting", flag(room, "waiting")),
        ("playback", playback),
        ("recording", recording),
        ("volume", format!("{} dB", plain(&room["playback_volume"]))),
    ])
}

fn member_table(members: &[Value], ids: &ShortIds) -> Table {
    let mut table = Table::new([
        ("CALL", Fit::Keep),
        ("CALLER", Fit::Cut),
        ("DIALLED", Fit::Cut),
        ("MUTED", Fit::Keep),
        ("DEAF", Fit::Keep),
    ]);
    for member in members {
        table.row([
            ids.show(&member["uuid"]),
            plain(&member["caller_id"]),
            plain(&member["did"]),
            plain(&member["muted"]),
            flag(member, "deaf"),
        ]);
    }
    table
}

fn call_table(calls: &[Value], ids: &ShortIds, clock: &Clock) -> Table {
    let created = clock.head("CREATED");
    let mut table = Table::new([
        ("CALL", Fit::Keep),
        ("STATE", Fit::Keep),
        ("CALLER", Fit::Cut),
        ("DIALLED", Fit::Cut),
        ("ROOM", Fit::Keep),
        (created.as_str(), Fit::Omit),
        ("DIRECTION", Fit::Omit),
    ]);
    for call in calls {
        table.row([
            ids.show(&call["uuid"]),
            plain(&call["state"]),
            plain(&call["caller_id"]),
            plain(&call["did"]),
            ids.show(&call["room_id"]),
            clock.show(&call["created_at"]),
            plain(&call["direction"]),
        ]);
    }
    table
}

fn call_block(call: &Value, clock: &Clock) -> String {
    block([
        ("call", plain(&call["uuid"])),
        ("node", plain(&call["node"])),
        ("state", plain(&call["state"])),
        ("room", plain(&call["room_id"])),
        ("caller", plain(&call["caller_id"])),
        ("dialled", plain(&call["did"])),
        ("direction", plain(&call["direction"])),
        (
            "created",
            format!("{} {}", clock.show(&call["created_at"]), clock.zone()),
        ),
    ])
}

/// Renders lines of a name and a value.
pub fn block<const N: usize>(lines: [(&str, String); N]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:width$}  {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deaf_column_shows_no_unless_api_sends_true() {
        let member = json!({"uuid": "acW68-1", "caller_id": "1", "did": "2", "muted": false});
        let mut deaf = member.clone();
        deaf["deaf"] = json!(true);
        let table = member_table(&[member, deaf], &ShortIds::default()).render(None);
        let flags: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().skip(3).collect())
            .collect();
        assert_eq!(flags, [["MUTED", "DEAF"], ["no", "no"], ["no", "yes"]]);
    }
}
