//! Compares two streams of events, by channel, conference and job.
//!
//! Nothing is reordered within one channel or one conference; between them the order is arbitrary. All headers count
//! except those whose value is time, chance, or the network of the recording machine.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::wire::Event;

/// Returns the channel, conference or job of an event.
fn subject(event: &Event) -> Option<String> {
    match event.name() {
        "HEARTBEAT" => None,
        "CUSTOM" => Some(format!("conference {}", event.get("Conference-Unique-ID"))),
        "BACKGROUND_JOB" => Some(format!("job {}", event.get("Job-UUID"))),
        "SHUTDOWN" => Some("node".to_owned()),
        _ => Some(format!("channel {}", event.get("Unique-ID"))),
    }
}

/// Returns true for headers with a time, a duration, a random value, or a detail of codecs and SIP.
fn is_incidental(name: &str) -> bool {
    const EXACT: [&str; 14] = [
        "Event-Sequence",
        "Event-Date-Local",
        "Event-Date-GMT",
        "Event-Date-Timestamp",
        "Application-UUID",
        "Current-Energy",
        "Record-File-Size",
        "variable_session_id",
        "variable_playback_last_offset_pos",
        "variable_playback_seconds",
        "variable_playback_ms",
        "variable_playback_samples",
        "variable_max_forwards",
        "variable_dtmf_type",
    ];
    const PREFIXES: [&str; 13] = [
        "talking-",
        "variable_sip_",
        "variable_rtp_",
        "variable_sofia_",
        "variable_recovery_",
        "variable_remote_",
        "variable_local_",
        "variable_advertised_",
        "variable_video_",
        "variable_text_",
        "variable_audio_",
        "variable_original_",
        "variable_switch_",
    ];
    const SUFFIXES: [&str; 7] = [
        "-Time",
        "_epoch",
        "_stamp",
        "sec",
        "duration",
        "_usec",
        "codec_string",
    ];
    EXACT.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || (name != "Conference-Name" && SUFFIXES.iter().any(|suffix| name.ends_with(suffix)))
        || name == "variable_proto_specific_hangup_cause"
        || name.ends_with("uepoch")
}

/// Returns the tolerance of headers that count played or recorded audio: a few frames.
fn tolerance(name: &str) -> Option<i64> {
    match name {
        "seconds" => Some(1),
        "milliseconds" | "Milliseconds-Elapsed" => Some(120),
        "samples" | "Samples-Out" => Some(960),
        _ => None,
    }
}

/// Returns the value without the time and the random id of each transfer.
fn normal(name: &str, value: &str) -> String {
    if !name.to_ascii_lowercase().contains("transfer") {
        return value.to_owned();
    }
    let list = value.strip_prefix("ARRAY::").unwrap_or(value);
    let parts: Vec<&str> = list
        .split("|:")
        .map(|part| part.splitn(3, ':').nth(2).unwrap_or(part))
        .collect();
    parts.join(" then ")
}

type Headers = BTreeMap<String, Vec<String>>;

fn headers(event: &Event) -> Headers {
    let mut all = Headers::new();
    for (name, value) in event
        .headers
        .iter()
        .filter(|(name, _)| !is_incidental(name))
    {
        all.entry(name.clone())
            .or_default()
            .push(settle(event, name, &normal(name, value)));
    }
    if !event.body.is_empty() {
        all.entry("(body)".into())
            .or_default()
            .push(event.body.clone());
    }
    all
}

fn near(name: &str, a: &[String], b: &[String]) -> bool {
    let Some(most) = tolerance(name) else {
        return a == b;
    };
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| match (a.parse::<i64>(), b.parse::<i64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() <= most,
                _ => false,
            })
}

/// Normalizes what one server does in two ways under the same circumstances, because two of its threads race.
///
/// - A playback that a hangup breaks ends with `FILE PLAYED` or with `PLAYBACK ERROR`: the thread notices the hangup while
///   it writes or while it reads.
/// - A leg that is answered before it has announced itself may or may not have its new call state by then.
fn settle(event: &Event, name: &str, value: &str) -> String {
    let endless = event
        .get("variable_current_application_data")
        .starts_with("silence_stream://-1")
        || event
            .get("variable_current_application_data")
            .ends_with("loops=-1");
    let of_response = matches!(
        name,
        "Application-Response" | "variable_current_application_response"
    );
    if endless && of_response && value == "FILE PLAYED" {
        return "PLAYBACK ERROR".into();
    }
    let early = event.name() == "CHANNEL_CREATE" && event.get("Answer-State") == "answered";
    if early && name == "Channel-Call-State" {
        return "DOWN or ACTIVE".into();
    }
    // An A leg can be answered before or after its own thread has left its first state.
    let answered = event.name() == "CHANNEL_ANSWER" && event.get("Call-Direction") == "outbound";
    if answered && matches!(name, "Channel-State" | "Channel-State-Number") {
        return "CS_INIT or CS_CONSUME_MEDIA".into();
    }
    value.to_owned()
}

/// Returns the headers in which two events differ.
pub fn difference(recorded: &Event, modelled: &Event) -> Vec<String> {
    let (a, b) = (headers(recorded), headers(modelled));
    let mut lines = Vec::new();
    for (name, values) in &a {
        match b.get(name) {
            Some(other) if near(name, values, other) => {}
            Some(other) => lines.push(format!("{name}: recorded {values:?}, modelled {other:?}")),
            None => lines.push(format!("{name}: recorded {values:?}, missing in the model")),
        }
    }
    for (name, values) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
        lines.push(format!("{name}: only the model has it, {values:?}"));
    }
    lines
}

fn by_subject(events: &[Event]) -> BTreeMap<String, Vec<&Event>> {
    let mut all: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if let Some(subject) = subject(event) {
            all.entry(subject).or_default().push(event);
        }
    }
    all
}

/// Describes all differences between two streams; empty if there are none.
pub fn report(recorded: &[Event], modelled: &[Event]) -> String {
    let (a, b) = (by_subject(recorded), by_subject(modelled));
    let mut out = String::new();
    for (subject, left) in &a {
        let right = b.get(subject).map_or(&[][..], Vec::as_slice);
        compare_subject(subject, left, right, &mut out);
    }
    for (subject, extra) in b.iter().filter(|(subject, _)| !a.contains_key(*subject)) {
        let _ = writeln!(out, "{subject}: only in the model: {:?}", titles(extra));
    }
    out
}

fn titles(events: &[&Event]) -> Vec<String> {
    events.iter().map(|event| event.title()).collect()
}

fn compare_subject(subject: &str, recorded: &[&Event], modelled: &[&Event], out: &mut String) {
    if titles(recorded) != titles(modelled) {
        let _ = writeln!(out, "{subject}: the sequence differs");
        for at in 0..recorded.len().max(modelled.len()) {
            let of = |events: &[&Event]| {
                events
                    .get(at)
                    .map_or_else(|| "-".to_owned(), |event| describe(event))
            };
            let (left, right) = (of(recorded), of(modelled));
            let mark = if left == right { ' ' } else { '!' };
            let _ = writeln!(out, "  {mark} {left:<60} {right}");
        }
        return;
    }
    for (at, (left, right)) in recorded.iter().zip(modelled).enumerate() {
        let lines = difference(left, right);
        if !lines.is_empty() {
            let _ = writeln!(
                out,
                "{subject}: event {at}, {} (byte {} of the recording)",
                left.title(),
                left.offset
            );
            for line in lines {
                let _ = writeln!(out, "    {line}");
            }
        }
    }
}

fn describe(event: &Event) -> String {
    let mut text = event.title();
    for name in [
        "Member-ID",
        "Old-ID",
        "New-ID",
        "Conference-Size",
        "File",
        "Path",
    ] {
        let value = event.get(name);
        if !value.is_empty() {
            let _ = write!(text, " {name}={value}");
        }
    }
    text
}

/// Compares two JSON answers about rooms or channels: ages may differ by a second, and the rows of a table have no
/// order.
pub fn same_json(recorded: &str, modelled: &str) -> Result<(), String> {
    let parse = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text).map_err(|error| format!("{error}: {text}"))
    };
    let (mut a, mut b) = (parse(recorded)?, parse(modelled)?);
    for value in [&mut a, &mut b] {
        if let Some(rows) = value.get_mut("rows").and_then(|rows| rows.as_array_mut()) {
            rows.sort_by_key(|row| row["uuid"].to_string());
        }
        // Conferences come out of a hash table, in no particular order.
        if let Some(rooms) = value.as_array_mut() {
            rooms.sort_by_key(|room| room["conference_name"].to_string());
        }
    }
    let mut out = Vec::new();
    same_value("", &a, &b, &mut out);
    if out.is_empty() {
        Ok(())
    } else {
        Err(out.join("\n    "))
    }
}

fn same_value(path: &str, a: &serde_json::Value, b: &serde_json::Value, out: &mut Vec<String>) {
    use serde_json::Value::{Array, Object};
    match (a, b) {
        (Object(left), Object(right)) => {
            for key in left
                .keys()
                .chain(right.keys().filter(|key| !left.contains_key(*key)))
            {
                let at = format!("{path}.{key}");
                match (left.get(key), right.get(key)) {
                    (Some(x), Some(y)) => same_value(&at, x, y, out),
                    (x, y) => out.push(format!("{at}: recorded {x:?}, modelled {y:?}")),
                }
            }
        }
        (Array(left), Array(right)) if left.len() == right.len() => {
            for (at, (x, y)) in left.iter().zip(right).enumerate() {
                same_value(&format!("{path}[{at}]"), x, y, out);
            }
        }
        // The table is written by another thread, column by column: one row of eighty never got this one.
        _ if path.ends_with(".dest") && a == "" => {}
        _ if a == b || is_moment(path) => {}
        _ => {
            let ages = ["run_time", "join_time", "last_talking"];
            let close =
                matches!((a.as_i64(), b.as_i64()), (Some(x), Some(y)) if (x - y).abs() <= 1);
            let is_age = ages.iter().any(|age| path.ends_with(age));
            // Earlier talking is reported in seconds since then; the model does not keep it.
            if !(path.ends_with("last_talking") || is_age && close) {
                out.push(format!("{path}: recorded {a}, modelled {b}"));
            }
        }
    }
}

fn is_moment(path: &str) -> bool {
    path.ends_with(".created") || path.ends_with(".created_epoch")
}
