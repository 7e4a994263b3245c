//! A command as a request to the controller, and the event that confirms it.
//!
//! A new command is a line in its area's arguments and one [`Request`] here: its path, its fields, and the events that
//! confirm it or report its failure.

use reqwest::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

use roomkeeper_core::ids::{CallId, RoomId};

use super::Failure;
use super::table::{plain, sanitize};

/// A request that changes something.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, without a slash at its start.
    pub path: String,
    /// The parameters.
    pub query: Vec<(&'static str, String)>,
    /// The fields of the body; a request without any has no body.
    pub fields: Map<String, Value>,
    /// The command in words, such as `lock acW68-room-…`.
    pub words: String,
    /// The event that confirms it; `None` if its answer does.
    pub confirmation: Option<Confirmation>,
}

impl Request {
    /// Creates a request without parameters and fields.
    pub fn new(method: Method, path: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            fields: Map::new(),
            words: words.into(),
            confirmation: None,
        }
    }

    /// Creates a `POST`.
    pub fn post(path: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(Method::POST, path, words)
    }

    /// Adds a field.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// Adds fields.
    pub fn with_all(mut self, fields: Map<String, Value>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// Adds a `command_uid`, which returns in the events of the command.
    pub fn with_uid(self) -> Self {
        self.with("command_uid", Uuid::new_v4().to_string())
    }

    /// Sets the event that confirms the command.
    pub fn confirmed_by(mut self, subject: Subject, event: &'static str) -> Self {
        self.confirmation = Some(Confirmation {
            subject,
            events: vec![event],
            failures: Vec::new(),
            command_uid: self.fields.get("command_uid").cloned(),
            data: None,
            answer_field: None,
            start: None,
            settled: &[],
        });
        self
    }

    /// Changes the confirmation, if there is one.
    pub fn confirmation(mut self, change: impl FnOnce(&mut Confirmation)) -> Self {
        if let Some(confirmation) = &mut self.confirmation {
            change(confirmation);
        }
        self
    }

    /// Adds the events that report the failure of the command.
    pub fn fails_with(self, events: &[&'static str]) -> Self {
        self.confirmation(|confirmation| confirmation.failures.extend_from_slice(events))
    }
}

/// Returns the fields of a change.
///
/// # Errors
/// [`Failure::NoSetting`]: there are none.
pub fn changes(fields: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    if fields.is_empty() {
        return Err(Failure::NoSetting);
    }
    Ok(fields)
}

/// The object of the events that belong to a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A room.
    Room(RoomId),
    /// The room that the answer names.
    NewRoom,
    /// A call, in a room or not.
    Call(CallId),
}

/// The event that confirms a command.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// The object of the event.
    pub subject: Subject,
    /// The names of the events that confirm it.
    pub events: Vec<&'static str>,
    /// The names of the events that report its failure.
    pub failures: Vec<&'static str>,
    /// The id that the event repeats, if it has any.
    pub command_uid: Option<Value>,
    /// A field of the event's data and its value.
    pub data: Option<(&'static str, Value)>,
    /// A field that answer and event share, such as `operation_id`.
    pub answer_field: Option<&'static str>,
    /// The name of the first event of the command, if the later ones do not repeat its id.
    pub start: Option<&'static str>,
    /// Values of the answer's `status` after which no event comes.
    pub settled: &'static [&'static str],
}

/// The meaning of an event for a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// FreeSWITCH has confirmed the command.
    Confirmed,
    /// The command failed, with the reason.
    Failed(String),
}

impl Confirmation {
    /// The names of all events to follow, for the filter of the stream.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let events = self.events.iter().chain(&self.failures);
        events.chain(&self.start).copied()
    }

    /// Completes an answer that was lost: an event of the command has the field that answer and event share.
    pub fn complete(&self, answer: &mut Value, event: &Value) {
        let data = &event["data"];
        let uid = self.command_uid.as_ref();
        let is_ours = uid.is_some() && data.get("command_uid") == uid;
        if let (Value::Object(fields), Some(field)) = (answer, self.answer_field)
            && let Some(value) = data.get(field)
            && is_ours
        {
            fields.entry(field).or_insert_with(|| value.clone());
        }
    }

    /// True if no event follows this answer.
    pub fn is_settled(&self, answer: &Value) -> bool {
        let status = answer["status"].as_str().unwrap_or_default();
        let is_without_operation = self.answer_field.is_some_and(|field| answer[field] == "");
        self.settled.contains(&status) || is_without_operation
    }

    /// The meaning of an event after this answer; `None` if it belongs to something else.
    pub fn verdict(&self, answer: &Value, event: &Value) -> Option<Verdict> {
        let name = event["event"].as_str().unwrap_or_default();
        let data = &event["data"];
        if !self.is_about_subject(answer, event) {
            return None;
        }
        let has_other_uid = match (&self.command_uid, &data["command_uid"]) {
            (Some(ours), theirs) => !theirs.is_null() && ours != theirs,
            (None, _) => false,
        };
        let is_of_operation = self
            .answer_field
            .is_none_or(|field| data[field] == answer[field]);
        if self.events.contains(&name) {
            let has_data = self
                .data
                .as_ref()
                .is_none_or(|(field, value)| data[*field] == *value);
            if has_other_uid || !is_of_operation || !has_data {
                return None;
            }
            return Some(match &data["errors"] {
                Value::Array(errors) if !errors.is_empty() => Verdict::Failed(play_errors(errors)),
                _ => Verdict::Confirmed,
            });
        }
        // A dial-out with another attempt to come has not failed yet.
        if !self.failures.contains(&name) || !data["retry_at"].is_null() {
            return None;
        }
        // The end of the object ends each command to it; a failure is that of one command.
        let is_end = !name.ends_with("failed")
            && !name.ends_with("play.stopped")
            && !name.starts_with("conference.call.");
        let is_ours = is_end || (!has_other_uid && is_of_operation);
        is_ours.then(|| Verdict::Failed(failure(name, data)))
    }

    fn is_about_subject(&self, answer: &Value, event: &Value) -> bool {
        match self.subject {
            Subject::Room(room) => event["room_id"] == room.to_string(),
            Subject::NewRoom => {
                event["room_id"].is_string() && event["room_id"] == answer["room_id"]
            }
            Subject::Call(call) => event["session_uuid"] == call.to_string(),
        }
    }
}

fn play_errors(errors: &[Value]) -> String {
    let errors: Vec<String> = errors
        .iter()
        .map(|error| format!("{}: {}", plain(&error["url"]), plain(&error["error"])))
        .collect();
    errors.join("; ")
}

/// The result of a request for digits, if the event has one.
fn gathered(data: &Value) -> String {
    match data["digits"].as_str() {
        Some(digits) => format!(", {} {}", plain(&data["reason"]), sanitize(digits)),
        None => String::new(),
    }
}

fn failure(name: &str, data: &Value) -> String {
    let reason = ["reason", "cause"]
        .into_iter()
        .find_map(|field| data[field].as_str());
    match reason {
        Some(reason) => format!("{name}, {}", sanitize(reason)),
        None => name.to_owned(),
    }
}

/// The answer to a request, and the event that confirmed it.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The controller's answer.
    pub answer: Value,
    /// The confirming event; `None` without a wait, or if none comes.
    pub event: Option<Value>,
}

impl Outcome {
    /// The answer as a document, with the confirming event under `event`.
    pub fn document(&self) -> Value {
        let mut document = self.answer.clone();
        if let (Value::Object(fields), Some(event)) = (&mut document, &self.event) {
            fields.insert("event".to_owned(), event.clone());
        }
        document
    }

    /// Renders the outcome of a request as a line. A command whose event is still to come is only accepted.
    pub fn line(&self, request: &Request) -> String {
        let words = sanitize(&request.words);
        let name = |field: &str| {
            let value = self.answer[field]
                .as_str()
                .filter(|value| !value.is_empty());
            value.map_or_else(String::new, |value| {
                format!(", {field} {}", sanitize(value))
            })
        };
        let confirmation = request.confirmation.as_ref();
        // A new room exists with the answer.
        let is_new = confirmation.is_some_and(|each| each.subject == Subject::NewRoom);
        let awaits_event =
            confirmation.is_some_and(|each| !is_new && !each.is_settled(&self.answer));
        let mut ids = ["operation_id", "recording_id", "call_id"]
            .map(name)
            .concat();
        if is_new {
            ids += &name("room_id");
        }
        let state = match (&self.event, self.answer["status"].as_str()) {
            (Some(event), _) => {
                let digits = gathered(&event["data"]);
                format!("confirmed ({}{digits})", plain(&event["event"]))
            }
            (None, _) if awaits_event => "accepted".to_owned(),
            (None, Some(status)) => sanitize(status),
            (None, None) => "done".to_owned(),
        };
        format!("{words}: {state}{ids}\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROOM: &str = "acW68-room-d3249143-1498-4edb-a694-ac208e579e94";
    const CALL: &str = "acW68-04c64c27-1498-4edb-a694-ac208e579e94";

    fn mute() -> Confirmation {
        Request::post("", "")
            .with("command_uid", "ours")
            .confirmed_by(
                Subject::Call(CALL.parse().unwrap()),
                "conference.member.muted",
            )
            .fails_with(&["conference.member.left", "conference.member.join_failed"])
            .confirmation
            .unwrap()
    }

    fn event(name: &str, data: Value) -> Value {
        json!({"event": name, "room_id": ROOM, "session_uuid": CALL, "data": data})
    }

    #[test]
    fn event_confirms_command_with_its_uid_or_without_any() {
        let mute = mute();
        let verdict = |event: Value| mute.verdict(&json!({}), &event);
        let muted = "conference.member.muted";
        assert_eq!(
            verdict(event(muted, json!({"command_uid": "ours"}))),
            Some(Verdict::Confirmed)
        );
        assert_eq!(
            verdict(event(muted, json!({"synthesized": true}))),
            Some(Verdict::Confirmed)
        );
        assert_eq!(
            verdict(event(muted, json!({"command_uid": "theirs"}))),
            None
        );
        let mut other = event(muted, json!({"command_uid": "ours"}));
        other["session_uuid"] = json!("acW68-14c64c27-1498-4edb-a694-ac208e579e94");
        assert_eq!(verdict(other), None);
        assert_eq!(verdict(event("conference.member.unmuted", json!({}))), None);
    }

    #[test]
    fn failure_has_reason() {
        let mute = mute();
        let verdict = |event: Value| mute.verdict(&json!({}), &event);
        let failed = |reason: &str| Some(Verdict::Failed(reason.to_owned()));
        assert_eq!(
            verdict(event("conference.member.left", json!({"reason": "hangup"}))),
            failed("conference.member.left, hangup")
        );
        let join_failed = "conference.member.join_failed";
        assert_eq!(
            verdict(event(
                join_failed,
                json!({"reason": "timeout", "command_uid": "ours"})
            )),
            failed("conference.member.join_failed, timeout")
        );
        assert_eq!(
            verdict(event(
                join_failed,
                json!({"reason": "timeout", "command_uid": "theirs"})
            )),
            None
        );
    }

    #[test]
    fn operation_of_answer_selects_event() {
        let play = Request::post("", "")
            .confirmed_by(
                Subject::Room(ROOM.parse().unwrap()),
                "conference.play.finished",
            )
            .fails_with(&["conference.play.stopped", "conference.destroyed"])
            .confirmation(|confirmation| confirmation.answer_field = Some("operation_id"))
            .confirmation
            .unwrap();
        let answer = json!({"operation_id": "one"});
        let verdict = |event: Value| play.verdict(&answer, &event);
        let finished = "conference.play.finished";
        assert_eq!(
            verdict(event(
                finished,
                json!({"operation_id": "one", "errors": []})
            )),
            Some(Verdict::Confirmed)
        );
        assert_eq!(
            verdict(event(
                finished,
                json!({"operation_id": "two", "errors": []})
            )),
            None
        );
        assert_eq!(
            verdict(event(
                finished,
                json!({"operation_id": "one", "errors": [{"url": "http://h/a", "error": "not_opened"}]})
            )),
            Some(Verdict::Failed("http://h/a: not_opened".to_owned()))
        );
        assert_eq!(
            verdict(event(
                "conference.play.stopped",
                json!({"operation_id": "two"})
            )),
            None
        );
        assert!(matches!(
            verdict(event("conference.destroyed", json!({}))),
            Some(Verdict::Failed(_))
        ));
        assert!(play.is_settled(&json!({"operation_id": ""})));
        assert!(!play.is_settled(&answer));
    }

    #[test]
    fn event_with_uid_completes_lost_answer() {
        let play = Request::post("", "")
            .with("command_uid", "ours")
            .confirmed_by(
                Subject::Room(ROOM.parse().unwrap()),
                "conference.play.finished",
            )
            .confirmation(|confirmation| {
                confirmation.answer_field = Some("operation_id");
                confirmation.start = Some("conference.play.started");
            })
            .confirmation
            .unwrap();
        let started = |uid: Value, operation: &str| {
            let data = json!({"command_uid": uid, "operation_id": operation});
            event("conference.play.started", data)
        };
        let finished = event(
            "conference.play.finished",
            json!({"operation_id": "one", "errors": []}),
        );
        let mut answer = json!({});
        for uid in [json!("theirs"), Value::Null] {
            play.complete(&mut answer, &started(uid, "two"));
            assert_eq!(play.verdict(&answer, &finished), None);
        }
        play.complete(&mut answer, &started(json!("ours"), "one"));
        assert_eq!(play.verdict(&answer, &finished), Some(Verdict::Confirmed));
        // An answer that came is not changed.
        play.complete(&mut answer, &started(json!("ours"), "two"));
        assert_eq!(answer, json!({"operation_id": "one"}));
        assert!(play.names().any(|name| name == "conference.play.started"));
    }

    #[test]
    fn command_is_accepted_until_its_event_comes() {
        let mut lock = Request::post("", "lock it")
            .confirmed_by(Subject::Room(ROOM.parse().unwrap()), "conference.updated")
            .confirmation(|confirmation| confirmation.settled = &["locked"]);
        let line = |request: &Request, answer: Value, event: Option<Value>| {
            Outcome { answer, event }.line(request)
        };
        let started = json!({"status": "in_progress"});
        assert_eq!(line(&lock, started.clone(), None), "lock it: accepted\n");
        assert_eq!(
            line(
                &lock,
                started.clone(),
                Some(event("conference.updated", json!({})))
            ),
            "lock it: confirmed (conference.updated)\n"
        );
        assert_eq!(
            line(&lock, json!({"status": "locked"}), None),
            "lock it: locked\n"
        );
        let create =
            Request::post("", "make it").confirmed_by(Subject::NewRoom, "conference.created");
        assert_eq!(
            line(&create, json!({"room_id": ROOM}), None),
            format!("make it: done, room_id {ROOM}\n")
        );
        lock.confirmation = None;
        assert_eq!(line(&lock, started, None), "lock it: in_progress\n");
        assert_eq!(
            line(&lock, json!({"operation_id": "one"}), None),
            "lock it: done, operation_id one\n"
        );
    }

    #[test]
    fn data_of_event_must_match() {
        let lock = Request::post("", "")
            .with("command_uid", "ours")
            .confirmed_by(Subject::Room(ROOM.parse().unwrap()), "conference.updated")
            .confirmation(|confirmation| confirmation.data = Some(("locked", json!(true))))
            .confirmation
            .unwrap();
        let verdict = |data: Value| lock.verdict(&json!({}), &event("conference.updated", data));
        assert_eq!(verdict(json!({"locked": true})), Some(Verdict::Confirmed));
        assert_eq!(verdict(json!({"locked": false})), None);
        assert_eq!(verdict(json!({"name": "x"})), None);
    }
}
