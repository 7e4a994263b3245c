//! The output of a replay: one line per outcome, and the rooms, members and calls at the end.

use console::Style;
use serde_json::{Value, json};

use super::rehearsal::{Outcome, OutcomeKind, Rehearsal};
use crate::cli::line;
use crate::cli::table::{Fit, Table, plain};

/// The form of the lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// Prints one JSON object per line.
    pub(super) json: bool,
    /// Also shows events without consequences.
    pub(super) verbose: bool,
    pub(super) colours: bool,
}

/// The numbers of messages and outcomes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) bytes: u64,
    pub(super) messages: u64,
    pub(super) events: u64,
    pub(super) unreadable: u64,
    webhooks: u64,
    commands: u64,
    snapshots: u64,
    ignored: u64,
    unowned: u64,
}

impl Counts {
    /// Counts an outcome.
    pub(super) const fn add(&mut self, kind: &OutcomeKind) {
        let counter = match kind {
            OutcomeKind::Webhook(_) => &mut self.webhooks,
            OutcomeKind::Command(_) | OutcomeKind::InvalidCommand(_) => &mut self.commands,
            OutcomeKind::Snapshot(_) => &mut self.snapshots,
            OutcomeKind::Ignored => &mut self.ignored,
            OutcomeKind::Unowned => &mut self.unowned,
        };
        *counter += 1;
    }
}

impl Format {
    /// Returns the line of an outcome; empty for one that is not shown.
    pub(super) fn line(&self, event: &str, outcome: &Outcome) -> String {
        let quiet = match &outcome.kind {
            OutcomeKind::Webhook(_) | OutcomeKind::Command(_) | OutcomeKind::InvalidCommand(_) => {
                false
            }
            OutcomeKind::Snapshot(_) | OutcomeKind::Ignored | OutcomeKind::Unowned => !self.verbose,
        };
        if quiet {
            return String::new();
        }
        let time = outcome.time.rfc3339_micros();
        if self.json {
            let (kind, what) = match &outcome.kind {
                OutcomeKind::Webhook(body) => ("webhook", json!({ "body": body })),
                OutcomeKind::Command(command) => ("order", json!({ "command": command })),
                OutcomeKind::InvalidCommand(why) => ("refused", json!({ "why": why })),
                OutcomeKind::Snapshot(why) => ("snapshot", json!({ "why": why })),
                OutcomeKind::Ignored => ("ignored", json!({})),
                OutcomeKind::Unowned => ("foreign", json!({})),
            };
            let mut object =
                json!({ "kind": kind, "at": outcome.at, "time": time, "cause": event });
            if let (Value::Object(object), Value::Object(what)) = (&mut object, what) {
                object.extend(what);
            }
            return format!("{object}\n");
        }
        let dim = Style::new().dim().force_styling(self.colours);
        let clock = line::clock(&time);
        let cause = format!("{event} at byte {}", outcome.at);
        match &outcome.kind {
            OutcomeKind::Webhook(body) => line::event(body, self.colours),
            OutcomeKind::Command(command) => line::other(&clock, "  command", &[command], &dim),
            OutcomeKind::InvalidCommand(why) => {
                line::other(&clock, "  invalid command", &[why], &dim)
            }
            OutcomeKind::Snapshot(why) => line::other(&clock, "  snapshot", &[why, &cause], &dim),
            OutcomeKind::Ignored => line::other(&clock, "  ignored", &[&cause], &dim),
            OutcomeKind::Unowned => line::other(&clock, "  unowned call", &[&cause], &dim),
        }
    }
}

/// Returns the state at the end as one JSON object.
pub(super) fn json(rehearsal: &Rehearsal, counts: &Counts) -> Value {
    json!({
        "kind": "end",
        "node": rehearsal.node().map(|node| node.to_string()),
        "rooms": rehearsal.rooms(),
        "sessions": rehearsal.calls(),
        "bytes": counts.bytes,
        "messages": counts.messages,
        "events": counts.events,
        "unreadable": counts.unreadable,
        "webhooks": counts.webhooks,
        "orders": counts.commands,
        "snapshots": counts.snapshots,
        "ignored": counts.ignored,
        "foreign": counts.unowned,
    })
}

/// Returns the state at the end as tables, each at most `width` columns wide.
pub(super) fn text(rehearsal: &Rehearsal, counts: &Counts, width: Option<usize>) -> String {
    let (rooms, calls) = (rehearsal.rooms(), rehearsal.calls());
    let members: Vec<(&Value, &Value)> = rooms
        .iter()
        .flat_map(|room| members(room).iter().map(move |member| (room, member)))
        .collect();
    let outside = calls.iter().filter(|call| call["room_id"].is_null());
    let outside: Vec<&Value> = outside.collect();
    let mut text = format!(
        "\nFinal state: {}, {}, {}.\n",
        many(rooms.len() as u64, "room"),
        many(members.len() as u64, "member"),
        many(calls.len() as u64, "call")
    );
    let tables = [
        (!rooms.is_empty()).then(|| room_table(&rooms)),
        (!members.is_empty()).then(|| member_table(&members)),
        (!outside.is_empty()).then(|| call_table(&outside)),
    ];
    for table in tables.into_iter().flatten() {
        text.push('\n');
        text.push_str(&table.render(width));
    }
    text.push_str(&format!(
        "\n{} in {} ({} bytes): {}, {}, {}; {} ignored, {} unowned, {} unreadable.\n",
        many(counts.events, "event"),
        many(counts.messages, "message"),
        counts.bytes,
        many(counts.webhooks, "webhook"),
        many(counts.commands, "command"),
        many(counts.snapshots, "snapshot"),
        counts.ignored,
        counts.unowned,
        counts.unreadable,
    ));
    text
}

fn members(room: &Value) -> &[Value] {
    let members = room["members"].as_array().map(Vec::as_slice);
    members.unwrap_or_default()
}

fn room_table(rooms: &[Value]) -> Table {
    let mut table = Table::new([
        ("ROOM", Fit::Keep),
        ("APP", Fit::Cut),
        ("MEMBERS", Fit::Keep),
        ("LOCKED", Fit::Omit),
    ]);
    for room in rooms {
        table.row([
            plain(&room["room_id"]),
            plain(&room["app_id"]),
            members(room).len().to_string(),
            plain(&room["locked"]),
        ]);
    }
    table
}

fn member_table(members: &[(&Value, &Value)]) -> Table {
    let mut table = Table::new([
        ("MEMBER", Fit::Keep),
        ("CALLER", Fit::Cut),
        ("SPEAKS", Fit::Keep),
        ("HEARS", Fit::Keep),
        ("FLOOR", Fit::Omit),
        ("ROOM", Fit::Omit),
    ]);
    for (room, member) in members {
        table.row([
            plain(&member["uuid"]),
            plain(&member["caller_id"]),
            plain(&member["can_speak"]),
            plain(&member["can_hear"]),
            plain(&member["floor"]),
            plain(&room["room_id"]),
        ]);
    }
    table
}

fn call_table(calls: &[&Value]) -> Table {
    let mut table = Table::new([
        ("CALL", Fit::Keep),
        ("APP", Fit::Cut),
        ("STATE", Fit::Keep),
        ("CALLER", Fit::Cut),
        ("DIALLED", Fit::Omit),
    ]);
    for call in calls {
        table.row([
            plain(&call["uuid"]),
            plain(&call["app_id"]),
            plain(&call["state"]),
            plain(&call["caller_id"]),
            plain(&call["did"]),
        ]);
    }
    table
}

/// Returns a number with its unit, in the plural if it is not one.
fn many(number: u64, unit: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{s}")
}
