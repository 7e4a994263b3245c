//! The rooms and calls of all apps, through the admin listener: `--all-apps`.
//!
//! Owns the requests and tables of these commands. A node's id is part of each shortened id, so that ids of a list of
//! one node are unique among those of all nodes.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::Value;

use roomkeeper_core::ids::NodeId;

use super::arguments::{CallArguments, IdView, RoomArguments, Wait};
use super::client::{Client, ClientError, Pages};
use super::reference::ShortIds;
use super::request::Request;
use super::show::{block, ids, stale, watch};
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, consent, execute, lookup, print, terminal};

/// The rows of a list, and the ids that its table shows.
struct Listing {
    answer: Value,
    ids: ShortIds,
}

/// Executes a command for the rooms of all apps.
///
/// # Errors
/// [`Failure`], also for a command that only an app can give.
pub async fn run_room(admin: &Client, command: RoomArguments, view: IdView) -> Result<(), Failure> {
    let clock = Clock::new(view.view.utc);
    match command {
        RoomArguments::List { node, watch: every } => {
            let text = |fetched: &Listing| {
                text(fetched, view, "rooms", "There are no rooms.\n", |rows| {
                    room_table(rows, &fetched.ids, &clock)
                })
            };
            watch(
                every.interval(),
                async || rooms(admin, node, view).await,
                text,
            )
            .await
        }
        RoomArguments::Show {
            target,
            watch: every,
        } => {
            let room = lookup::room_of_any_app(admin, &target.room).await?;
            let path = format!("admin/rooms/{room}");
            let text = |room: &Value| {
                if view.view.json {
                    format!("{room:#}\n")
                } else {
                    room_text(room, &clock)
                }
            };
            watch(every.interval(), async || admin.get(&path, &[]).await, text).await
        }
        RoomArguments::Delete { target, yes, wait } => {
            without_wait(wait)?;
            let room = lookup::room_of_any_app(admin, &target.room).await?;
            consent::ask_to_delete(&target.room, room, yes)?;
            let path = format!("admin/rooms/{room}");
            let request = Request::new(Method::DELETE, path, format!("delete {room}"));
            execute::run(admin, request, wait, view.view.json).await
        }
        RoomArguments::Create { .. }
        | RoomArguments::Change(_)
        | RoomArguments::MuteAll(_)
        | RoomArguments::UnmuteAll(_)
        | RoomArguments::HangupAll { .. } => Err(Failure::NotForAllApps("list, show and delete")),
    }
}

/// Executes a command for the calls of all apps.
///
/// # Errors
/// [`Failure`], also for a command that only an app can give.
pub async fn run_call(admin: &Client, command: CallArguments, view: IdView) -> Result<(), Failure> {
    let clock = Clock::new(view.view.utc);
    match command {
        CallArguments::List {
            node,
            state,
            watch: every,
        } => {
            let text = |fetched: &Listing| {
                text(fetched, view, "calls", "There are no calls.\n", |rows| {
                    call_table(rows, &fetched.ids, &clock)
                })
            };
            let fetch = async || calls(admin, node, state.as_deref(), view).await;
            watch(every.interval(), fetch, text).await
        }
        CallArguments::Search { number } => {
            let found = admin.get("admin/search", &[("number", &number)]).await?;
            let text = if view.view.json {
                format!("{found:#}\n")
            } else {
                search_text(&found, &clock)
            };
            Ok(print(&text)?)
        }
        CallArguments::Hangup {
            target,
            cause,
            wait,
        } => {
            without_wait(wait)?;
            let call = lookup::call_of_any_app(admin, &target.call).await?;
            let path = format!("admin/calls/{call}/hangup");
            let mut request = Request::post(path, format!("hangup {call}"));
            if let Some(cause) = cause {
                request = request.with("cause", cause);
            }
            execute::run(admin, request, wait, view.view.json).await
        }
        CallArguments::Show { .. }
        | CallArguments::Dial { .. }
        | CallArguments::Dialling { .. }
        | CallArguments::Cancel { .. }
        | CallArguments::Transfer { .. }
        | CallArguments::TransferCancel { .. }
        | CallArguments::Answer { .. }
        | CallArguments::Gather { .. }
        | CallArguments::GatherStop { .. }
        | CallArguments::Dtmf { .. }
        | CallArguments::Join { .. }
        | CallArguments::Leave { .. } => Err(Failure::NotForAllApps("list, search and hangup")),
    }
}

/// Refuses a wait: the event stream is that of one app.
fn without_wait(wait: Wait) -> Result<(), Failure> {
    match wait.wait {
        true => Err(Failure::NotForAllApps("commands without --wait")),
        false => Ok(()),
    }
}

async fn rooms(admin: &Client, node: Option<NodeId>, view: IdView) -> Result<Listing, ClientError> {
    let filter = [("node", node.map(|node| node.to_string()))];
    let answer = list(admin, "admin/rooms", "rooms", &filter).await?;
    let ids = shortened(view, || ids(&answer["rooms"], "room_id"));
    Ok(Listing { answer, ids })
}

async fn calls(
    admin: &Client,
    node: Option<NodeId>,
    state: Option<&str>,
    view: IdView,
) -> Result<Listing, ClientError> {
    let node = node.map(|node| node.to_string());
    let shortens = !view.view.json && !view.full_ids;
    let filter = [
        ("node", node.clone()),
        // A shortened id must differ from those of calls in other states as well.
        ("state", state.map(str::to_owned).filter(|_| !shortens)),
    ];
    let mut answer = list(admin, "admin/calls", "calls", &filter).await?;
    let mut known = ids(&answer["calls"], "uuid");
    known.extend(ids(&answer["calls"], "room_id"));
    if shortens {
        let rooms = list(admin, "admin/rooms", "rooms", &[("node", node)]).await?;
        known.extend(ids(&rooms["rooms"], "room_id"));
        if let (Some(state), Value::Array(calls)) = (state, &mut answer["calls"]) {
            calls.retain(|call| call["state"] == state);
        }
    }
    let ids = shortened(view, || known);
    Ok(Listing { answer, ids })
}

async fn list(
    admin: &Client,
    path: &str,
    field: &str,
    filter: &[(&str, Option<String>)],
) -> Result<Value, ClientError> {
    let query: Vec<(&str, &str)> = filter
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
        .collect();
    let progress = terminal::spinner("loading");
    let pages = Pages {
        path,
        list: field,
        query: &query,
        ..Pages::default()
    };
    let answer = admin.get_pages(pages, &progress).await;
    progress.finish_and_clear();
    answer
}

fn shortened(view: IdView, ids: impl FnOnce() -> Vec<String>) -> ShortIds {
    if view.view.json || view.full_ids {
        ShortIds::default()
    } else {
        ShortIds::new(ids())
    }
}

fn text(
    fetched: &Listing,
    view: IdView,
    field: &str,
    empty: &str,
    table: impl FnOnce(&[Value]) -> Table,
) -> String {
    if view.view.json {
        return format!("{:#}\n", fetched.answer);
    }
    match fetched.answer[field].as_array().map(Vec::as_slice) {
        Some([]) | None => empty.to_owned(),
        Some(rows) => table(rows).render(terminal::width()) + stale(rows),
    }
}

fn room_table(rooms: &[Value], ids: &ShortIds, clock: &Clock) -> Table {
    let created = clock.head("CREATED");
    let mut table = Table::new([
        ("ROOM", Fit::Keep),
        ("APP", Fit::Cut),
        ("NAME", Fit::Cut),
        ("MEMBERS", Fit::Keep),
        ("LOCKED", Fit::Keep),
        ("STATUS", Fit::Omit),
        ("TYPE", Fit::Omit),
        (created.as_str(), Fit::Omit),
    ]);
    for room in rooms {
        table.row([
            ids.show(&room["room_id"]),
            plain(&room["app_id"]),
            plain(&room["name"]),
            plain(&room["members"]),
            plain(&Value::Bool(room["locked"] == true)),
            plain(&room["status"]),
            plain(&room["type"]),
            clock.show(&room["created_at"]),
        ]);
    }
    table
}

fn call_table(calls: &[Value], ids: &ShortIds, clock: &Clock) -> Table {
    let created = clock.head("CREATED");
    let mut table = Table::new([
        ("CALL", Fit::Keep),
        ("APP", Fit::Cut),
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
            plain(&call["app_id"]),
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

fn room_text(room: &Value, clock: &Clock) -> String {
    let mut text = block([
        ("room", plain(&room["room_id"])),
        ("app", plain(&room["app_id"])),
        ("name", plain(&room["name"])),
        ("node", plain(&room["node"])),
        ("type", plain(&room["type"])),
        ("status", plain(&room["status"])),
        (
            "created",
            format!("{} {}", clock.show(&room["created_at"]), clock.zone()),
        ),
        ("locked", plain(&Value::Bool(room["locked"] == true))),
    ]);
    text.push('\n');
    let members = match room["members"].as_array().map(Vec::as_slice) {
        Some([]) | None => {
            text.push_str("The room is empty.\n");
            return text;
        }
        Some(members) => members,
    };
    let joined = clock.head("JOINED");
    let mut table = Table::new([
        ("CALL", Fit::Keep),
        ("CALLER", Fit::Cut),
        ("DIALLED", Fit::Cut),
        ("STATUS", Fit::Keep),
        ("MUTED", Fit::Keep),
        ("DEAF", Fit::Keep),
        (joined.as_str(), Fit::Omit),
    ]);
    for member in members {
        table.row([
            // Shortening it needs the calls of all apps.
            plain(&member["uuid"]),
            plain(&member["caller_id"]),
            plain(&member["did"]),
            plain(&member["status"]),
            plain(&Value::Bool(member["muted"] == true)),
            plain(&Value::Bool(member["deaf"] == true)),
            clock.show(&member["joined_at"]),
        ]);
    }
    text.push_str(&table.render(terminal::width()));
    text
}

/// Renders the found calls as blocks with whole ids: few calls have the same number.
fn search_text(found: &Value, clock: &Clock) -> String {
    let calls = found["calls"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if calls.is_empty() {
        return "No call has this number.\n".to_owned();
    }
    let blocks: Vec<String> = calls
        .iter()
        .map(|call| {
            block([
                ("call", plain(&call["uuid"])),
                ("app", plain(&call["app_id"])),
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
        })
        .collect();
    let mut text = blocks.join("\n");
    if found["truncated"] == true {
        let _ = writeln!(text, "\n(only the first {} calls are shown)", calls.len());
    }
    text
}
