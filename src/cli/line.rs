//! An event as one line: when, what, of whom, and its data. The times are UTC, as they stand in the event.

use console::Style;
use serde_json::Value;

use super::table::harmless;

/// The line, with its end.
pub fn event(body: &Value, colours: bool) -> String {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let name = text("event");
    let about = match text("session_uuid") {
        "" => text("room_id"),
        session => session,
    };
    let data = if body["data"].is_null() {
        String::new()
    } else {
        body["data"].to_string()
    };
    said(
        &clock(text("timestamp")),
        name,
        &[about, &data],
        &style(name).force_styling(colours),
    )
}

/// A line of the same form for what is no event.
pub fn said(clock: &str, name: &str, rest: &[&str], style: &Style) -> String {
    let name = format!("{:<28}", harmless(name));
    let rest: Vec<String> = rest.iter().map(|part| harmless(part)).collect();
    let line = format!(
        "{}  {} {}",
        harmless(clock),
        style.apply_to(name),
        rest.join("  ")
    );
    format!("{}\n", line.trim_end())
}

/// The time of day in a time such as `2026-05-06T12:34:56.672025Z`, to the millisecond.
pub fn clock(timestamp: &str) -> String {
    timestamp.get(11..23).unwrap_or(timestamp).to_owned()
}

/// What goes well is calm, what ends is not.
fn style(event: &str) -> Style {
    let style = Style::new();
    match event {
        "stream.gap" | "webhook.disabled" => style.red().bold(),
        _ if event.ends_with(".failed") || event.ends_with("join_failed") => style.red(),
        _ if event.ends_with(".left")
            || event.ends_with(".hangup")
            || event.ends_with(".destroyed") =>
        {
            style.yellow()
        }
        _ if event.starts_with("call.") => style.green(),
        _ if event.contains("member.") => style.cyan(),
        _ => style.blue(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_and_has_colours_only_when_asked() {
        let body = json!({
            "event": "conference.member.joined",
            "timestamp": "2026-05-06T12:34:56.672025Z",
            "room_id": "acW68-room-1",
            "session_uuid": "acW68-2",
            "data": {"caller_id": "1\u{9b}2", "muted": true},
        });
        assert_eq!(
            event(&body, false),
            "12:34:56.672  conference.member.joined     acW68-2  {\"caller_id\":\"12\",\"muted\":true}\n"
        );
        let shown = event(&body, true);
        assert!(
            shown.contains("\u{1b}[36mconference.member.joined"),
            "{shown:?}"
        );
        assert_eq!(console::strip_ansi_codes(&shown), event(&body, false));
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let body = json!({"event": "conference.destroyed", "timestamp": "soon", "room_id": "acW68-room-1", "data": {}});
        assert_eq!(
            event(&body, false),
            "soon  conference.destroyed         acW68-room-1  {}\n"
        );
        assert_eq!(event(&json!({}), false), "\n");
    }
}
