//! An event as one line: time, name, room or call, and data. Times are UTC, as in the event.

use console::Style;
use serde_json::Value;

use super::table::sanitize;

/// Renders an event as a line with its line feed.
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
    other(
        &clock(text("timestamp")),
        name,
        &[about, &data],
        &style(name).force_styling(colours),
    )
}

/// Renders a line of the same form for something other than an event.
pub fn other(clock: &str, name: &str, rest: &[&str], style: &Style) -> String {
    let name = format!("{:<28}", sanitize(name));
    let rest: Vec<String> = rest.iter().map(|part| sanitize(part)).collect();
    let line = format!(
        "{}  {} {}",
        sanitize(clock),
        style.apply_to(name),
        rest.join("  ")
    );
    format!("{}\n", line.trim_end())
}

/// The time of day of a timestamp such as `2026-05-06T12:34:56.672025Z`, in milliseconds.
pub fn clock(timestamp: &str) -> String {
    timestamp.get(11..23).unwrap_or(timestamp).to_owned()
}

/// The colour of an event: green to blue for progress, yellow for endings, red for failures.
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
    fn event_is_one_line_with_colours_on_request() {
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
    fn line_omits_missing_fields() {
        let body = json!({"event": "conference.destroyed", "timestamp": "soon", "room_id": "acW68-room-1", "data": {}});
        assert_eq!(
            event(&body, false),
            "soon  conference.destroyed         acW68-room-1  {}\n"
        );
        assert_eq!(event(&json!({}), false), "\n");
    }
}
