//! `roomkeeper rooms`, `roomkeeper sessions`: an app's rooms and calls, through the API.
//!
//! Owns the requests and the rendering of rooms, members and calls. Leaves out commands to them.

use std::fmt::Write as _;
use std::time::Duration;

use console::Term;
use serde_json::{Value, json};

use crate::shutdown::stop_signal;
use roomkeeper_core::ids::{CallId, RoomId};

use super::arguments::View;
use super::client::{Client, ClientError, UNAVAILABLE};
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, print, print_to_stderr, terminal};

/// The maximum page size of the API.
const PAGE: u32 = 200;
const PAGE_OF_MEMBERS: u32 = 1_000;

/// The rooms or calls to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomsQuery {
    /// All rooms.
    Rooms,
    /// A room and its members.
    Room(RoomId),
    /// All calls.
    Sessions,
    /// A call.
    Session(CallId),
}

/// Fetches and prints rooms or calls, once or until a signal comes.
///
/// # Errors
/// [`Failure`]. While watching, an unavailable controller is reported and polled again.
pub async fn show(
    api: &Client,
    query: RoomsQuery,
    view: View,
    every: Option<Duration>,
) -> Result<(), Failure> {
    let clock = Clock::new(view.utc);
    let text = |answer: &Value| {
        if view.json {
            format!("{answer:#}\n")
        } else {
            render(query, answer, &clock, terminal::width())
        }
    };
    let answer = fetch(api, query).await?;
    let Some(every) = every else {
        return Ok(print(&text(&answer))?);
    };
    let watching = async {
        let mut answer: Result<Value, ClientError> = Ok(answer);
        loop {
            match &answer {
                Ok(answer) => {
                    let screen = Term::stdout();
                    if screen.is_term() {
                        screen.clear_screen()?;
                    }
                    print(&text(answer))?;
                }
                Err(error) => print_to_stderr(&error.to_string()),
            }
            tokio::time::sleep(every).await;
            answer = fetch(api, query).await;
            if let Err(error) = &answer
                && error.exit_code() != UNAVAILABLE
            {
                return answer.map(drop).map_err(Failure::from);
            }
        }
    };
    tokio::select! {
        ended = watching => ended,
        () = stop_signal() => Ok(()),
    }
}

/// Fetches all pages: `{"conferences": […]}`, `{"room": {…}, "members": […]}`, `{"sessions": […]}`, or a session.
///
/// # Errors
/// [`ClientError`].
pub async fn fetch(api: &Client, query: RoomsQuery) -> Result<Value, ClientError> {
    let progress = terminal::spinner("loading");
    let answer = match query {
        RoomsQuery::Rooms => {
            let path = "api/v1/conferences";
            api.get_all(path, "conferences", PAGE, &progress).await
        }
        RoomsQuery::Room(id) => {
            let path = format!("api/v1/conferences/{id}");
            match api.get(&path, &[]).await {
                Ok(room) => {
                    let path = format!("{path}/members");
                    let members = api
                        .get_all(&path, "members", PAGE_OF_MEMBERS, &progress)
                        .await;
                    members.map(|members| json!({ "room": room, "members": members["members"] }))
                }
                Err(error) => Err(error),
            }
        }
        RoomsQuery::Sessions => {
            let path = "api/v1/sessions";
            api.get_all(path, "sessions", PAGE, &progress).await
        }
        RoomsQuery::Session(id) => api.get(&format!("api/v1/sessions/{id}"), &[]).await,
    };
    progress.finish_and_clear();
    answer
}

/// Renders a response of [`fetch`] as text.
pub fn render(query: RoomsQuery, answer: &Value, clock: &Clock, width: Option<usize>) -> String {
    let list = |name: &str| {
        answer[name]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    match query {
        RoomsQuery::Rooms => match list("conferences") {
            [] => "There are no rooms.\n".to_owned(),
            rooms => {
                let mut text = room_table(rooms, clock).render(width);
                text.push_str(stale(rooms));
                text
            }
        },
        RoomsQuery::Room(_) => {
            let mut text = room_block(&answer["room"], clock);
            text.push('\n');
            match list("members") {
                [] => text.push_str("The room is empty.\n"),
                members => text.push_str(&member_table(members).render(width)),
            }
            text.push_str(stale(std::slice::from_ref(&answer["room"])));
            text
        }
        RoomsQuery::Sessions => match list("sessions") {
            [] => "There are no calls.\n".to_owned(),
            calls => {
                let mut text = call_table(calls, clock).render(width);
                text.push_str(stale(calls));
                text
            }
        },
        RoomsQuery::Session(_) => {
            let mut text = call_block(answer, clock);
            text.push_str(stale(std::slice::from_ref(answer)));
            text
        }
    }
}

/// The note below rows whose node is not connected.
fn stale(rows: &[Value]) -> &'static str {
    if rows.iter().any(|row| row["stale"] == true) {
        "(a node is not connected: its rows show the last known state)\n"
    } else {
        ""
    }
}

fn room_table(rooms: &[Value], clock: &Clock) -> Table {
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
            plain(&room["room_id"]),
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
    block([
        ("room", plain(&room["room_id"])),
        ("name", plain(&room["name"])),
        (
            "created",
            format!("{} {}", clock.show(&room["created_at"]), clock.zone()),
        ),
        ("members", plain(&room["members"])),
        ("locked", flag(room, "locked")),
        ("playback", playback),
        ("volume", format!("{} dB", plain(&room["playback_volume"]))),
    ])
}

fn member_table(members: &[Value]) -> Table {
    let mut table = Table::new([
        ("CALL", Fit::Keep),
        ("CALLER", Fit::Cut),
        ("DIALLED", Fit::Cut),
        ("MUTED", Fit::Keep),
        ("DEAF", Fit::Keep),
    ]);
    for member in members {
        table.row([
            plain(&member["uuid"]),
            plain(&member["caller_id"]),
            plain(&member["did"]),
            plain(&member["muted"]),
            flag(member, "deaf"),
        ]);
    }
    table
}

fn call_table(calls: &[Value], clock: &Clock) -> Table {
    let created = clock.head("CREATED");
    let mut table = Table::new([
        ("CALL", Fit::Keep),
        ("STATE", Fit::Keep),
        ("CALLER", Fit::Cut),
        ("DIALLED", Fit::Cut),
        ("DIRECTION", Fit::Omit),
        ("ROOM", Fit::Omit),
        (created.as_str(), Fit::Omit),
    ]);
    for call in calls {
        table.row([
            plain(&call["uuid"]),
            plain(&call["state"]),
            plain(&call["caller_id"]),
            plain(&call["did"]),
            plain(&call["direction"]),
            plain(&call["room_id"]),
            clock.show(&call["created_at"]),
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

fn block<const N: usize>(lines: [(&str, String); N]) -> String {
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
        let table = member_table(&[member, deaf]).render(None);
        let flags: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().skip(3).collect())
            .collect();
        assert_eq!(flags, [["MUTED", "DEAF"], ["no", "no"], ["no", "yes"]]);
    }
}
