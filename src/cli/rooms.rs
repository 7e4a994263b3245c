//! `roomkeeper rooms`, `roomkeeper sessions`: an app's rooms and calls, through the API.
//!
//! Owns the requests, and how rooms, members and calls look. Leaves out what is asked of them: the API decides.

use std::fmt::Write as _;
use std::time::Duration;

use console::Term;
use serde_json::{Value, json};

use crate::app;
use crate::ids::{RoomId, SessionId};

use super::arguments::View;
use super::client::{Client, ClientError, UNAVAILABLE};
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, aside, print, terminal};

/// The most that one page may have.
const PAGE: u32 = 200;
const PAGE_OF_MEMBERS: u32 = 1_000;

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// All rooms.
    Rooms,
    /// A room and who is in it.
    Room(RoomId),
    /// All calls.
    Sessions,
    /// A call.
    Session(SessionId),
}

/// Asks for it and prints it, once or until a signal comes.
///
/// # Errors
/// [`Failure`]. While it is watched, a controller that is away for a while is said and asked again.
pub async fn show(
    api: &Client,
    what: Look,
    view: View,
    every: Option<Duration>,
) -> Result<(), Failure> {
    let clock = Clock::new(view.utc);
    let shown = |answer: &Value| {
        if view.json {
            format!("{answer:#}\n")
        } else {
            render(what, answer, &clock, terminal::width())
        }
    };
    let answer = look(api, what).await?;
    let Some(every) = every else {
        return Ok(print(&shown(&answer))?);
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
                    print(&shown(answer))?;
                }
                Err(error) => aside(&error.to_string()),
            }
            tokio::time::sleep(every).await;
            answer = look(api, what).await;
            if let Err(error) = &answer
                && error.exit_code() != UNAVAILABLE
            {
                return answer.map(drop).map_err(Failure::from);
            }
        }
    };
    tokio::select! {
        ended = watching => ended,
        () = app::stop_signal() => Ok(()),
    }
}

/// Asks for it, all pages: `{"conferences": […]}`, `{"room": {…}, "members": […]}`, `{"sessions": […]}`, or a session.
///
/// # Errors
/// [`ClientError`].
pub async fn look(api: &Client, what: Look) -> Result<Value, ClientError> {
    let progress = terminal::spinner("asking");
    let answer = match what {
        Look::Rooms => {
            let path = "api/v1/conferences";
            api.all(path, "conferences", PAGE, &progress).await
        }
        Look::Room(id) => {
            let path = format!("api/v1/conferences/{id}");
            match api.get(&path, &[]).await {
                Ok(room) => {
                    let path = format!("{path}/members");
                    let members = api.all(&path, "members", PAGE_OF_MEMBERS, &progress).await;
                    members.map(|members| json!({ "room": room, "members": members["members"] }))
                }
                Err(error) => Err(error),
            }
        }
        Look::Sessions => {
            let path = "api/v1/sessions";
            api.all(path, "sessions", PAGE, &progress).await
        }
        Look::Session(id) => api.get(&format!("api/v1/sessions/{id}"), &[]).await,
    };
    progress.finish_and_clear();
    answer
}

/// An answer of [`look`] as people read it.
pub fn render(what: Look, answer: &Value, clock: &Clock, width: Option<usize>) -> String {
    let list = |name: &str| {
        answer[name]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    match what {
        Look::Rooms => match list("conferences") {
            [] => "There are no rooms.\n".to_owned(),
            rooms => {
                let mut text = room_table(rooms, clock).render(width);
                text.push_str(stale(rooms));
                text
            }
        },
        Look::Room(_) => {
            let mut text = room_block(&answer["room"], clock);
            text.push('\n');
            match list("members") {
                [] => text.push_str("Nobody is in it.\n"),
                members => text.push_str(&member_table(members).render(width)),
            }
            text.push_str(stale(std::slice::from_ref(&answer["room"])));
            text
        }
        Look::Sessions => match list("sessions") {
            [] => "There are no calls.\n".to_owned(),
            calls => {
                let mut text = call_table(calls, clock).render(width);
                text.push_str(stale(calls));
                text
            }
        },
        Look::Session(_) => {
            let mut text = call_block(answer, clock);
            text.push_str(stale(std::slice::from_ref(answer)));
            text
        }
    }
}

/// What is to be said below rows of a node that cannot be heard.
fn stale(rows: &[Value]) -> &'static str {
    if rows.iter().any(|row| row["stale"] == true) {
        "(a node cannot be heard right now: this is what was known of it last)\n"
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
        ("LOCKED", Fit::Spare),
        (created.as_str(), Fit::Spare),
    ]);
    for room in rooms {
        table.row([
            plain(&room["room_id"]),
            plain(&room["name"]),
            plain(&room["members"]),
            locked(room),
            clock.show(&room["created_at"]),
        ]);
    }
    table
}

/// It is said of those that are locked.
fn locked(room: &Value) -> String {
    plain(&Value::Bool(room["locked"] == true))
}

fn room_block(room: &Value, clock: &Clock) -> String {
    let mut plays = plain(&room["playback_status"]);
    if room["playback_status"] != "stopped" {
        let _ = write!(
            plays,
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
        ("locked", locked(room)),
        ("playback", plays),
        ("volume", format!("{} dB", plain(&room["playback_volume"]))),
    ])
}

fn member_table(members: &[Value]) -> Table {
    let mut table = Table::new([
        ("CALL", Fit::Keep),
        ("CALLER", Fit::Cut),
        ("DIALLED", Fit::Cut),
        ("MUTED", Fit::Keep),
    ]);
    for member in members {
        table.row([
            plain(&member["uuid"]),
            plain(&member["caller_id"]),
            plain(&member["did"]),
            plain(&member["muted"]),
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
        ("DIRECTION", Fit::Spare),
        ("ROOM", Fit::Spare),
        (created.as_str(), Fit::Spare),
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
    let widest = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:widest$}  {value}");
    }
    text
}
