//! Actions of a call before it joins a conference and after it has left: greetings, music, a pause, a hang-up.
//!
//! Pure. Owns the form in which callers write actions, and their order. Leaves out their execution (`call::run`) and
//! the hosts that files may come from (the API).

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::gather::{Gather, Prompt};
use crate::pin::PinRequest;
use crate::play_url::{InvalidPlayUrl, PlayUrl};

pub use crate::speech::Speech;

/// The maximum number of actions in a list.
pub const MAX_ACTIONS: usize = 64;

/// The maximum number of files in one `play`.
pub const MAX_URLS: usize = 128;

/// The maximum length of a pause.
pub const MAX_SLEEP: Duration = Duration::from_secs(3_600);

/// One action, as the caller wrote it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "ActionJson", into = "ActionJson")]
pub struct Action {
    /// Its name for `next_id`; the zero UUID if it has none.
    pub id: Uuid,
    /// The id of the action that follows; the zero UUID stands for the next in the list.
    pub next_id: Uuid,
    /// The caller's JSON; unknown keys are kept for the owner.
    option: Map<String, Value>,
    task: Task,
}

/// The task of an action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Task {
    /// Speaks a text.
    Talk(Speech),
    /// Plays files, one after the other.
    Play(Vec<PlayUrl>),
    /// Plays a short tone.
    Beep,
    /// Pauses.
    Sleep(Duration),
    /// Ends the call.
    Hangup,
}

/// One step that FreeSWITCH carries out on a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Answers the call: a ringing call carries no audio.
    Answer,
    /// Speaks a text.
    Talk(Speech),
    /// Plays a file.
    Play(PlayUrl),
    /// Plays a short tone.
    Beep,
    /// Pauses for this number of milliseconds.
    Sleep(u32),
    /// Ends the call.
    Hangup,
    /// Asks for digits, once.
    Gather(Box<Gather>),
    /// Asks for the PIN of a room, once; then again, if the digits are wrong.
    Pin(Box<PinRequest>),
}

impl Step {
    /// Returns true if the step needs a speech engine.
    pub fn speaks(&self) -> bool {
        match self {
            Self::Talk(_) => true,
            Self::Gather(gather) => matches!(gather.prompt, Prompt::Talk(_)),
            Self::Pin(request) => matches!(request.prompt, Prompt::Talk(_)),
            Self::Answer | Self::Play(_) | Self::Beep | Self::Sleep(_) | Self::Hangup => false,
        }
    }
}

/// An action's form on the wire and in the store.
#[derive(Clone, Serialize, Deserialize)]
struct ActionJson {
    #[serde(default, deserialize_with = "null_is_nothing")]
    id: Uuid,
    #[serde(default, deserialize_with = "null_is_nothing")]
    next_id: Uuid,
    r#type: String,
    #[serde(default, deserialize_with = "null_is_nothing")]
    option: Map<String, Value>,
}

/// Reads null as a missing value, like all of the APIs.
fn null_is_nothing<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Reads milliseconds. `2.0` counts as a whole number, as in JSON Schema and in clients with a single number type.
fn milliseconds(value: &Value) -> Option<Duration> {
    if let Some(whole) = value.as_u64() {
        return Some(Duration::from_millis(whole));
    }
    let number = value.as_f64()?;
    let time = Duration::try_from_secs_f64(number / 1_000.0).ok()?;
    (number.fract() == 0.0).then_some(time)
}

/// The reason why an action is invalid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAction {
    /// It is not an object with a `type` and an `option`.
    #[error("{0}")]
    Form(String),
    /// The type is unknown.
    #[error("its type must be talk, play, beep, sleep or hangup")]
    Type,
    /// An option that the type needs is missing or invalid.
    #[error("its option {0}")]
    Option(String),
    /// Another action has the same id.
    #[error("its id is not unique")]
    DuplicateId,
    /// No action has the id in `next_id`.
    #[error("its next_id names no action")]
    NextUnknown,
    /// The actions form a cycle.
    #[error("its next_id forms a cycle")]
    Cycle,
    /// The list is too long.
    #[error("there are more than {MAX_ACTIONS} actions")]
    TooMany,
}

/// The position of an invalid action in its list, and the reason.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("action {index}: {why}")]
pub struct InvalidActions {
    /// Its index, from 0.
    pub index: usize,
    /// The reason.
    pub why: InvalidAction,
}

impl Action {
    /// Returns the task.
    pub const fn task(&self) -> &Task {
        &self.task
    }

    /// Returns the files of a `play`; empty for other tasks.
    pub fn urls(&self) -> &[PlayUrl] {
        match &self.task {
            Task::Play(urls) => urls,
            Task::Talk(_) | Task::Beep | Task::Sleep(_) | Task::Hangup => &[],
        }
    }
}

/// Parses a list of actions.
///
/// # Errors
/// [`InvalidActions`] names the first action that is invalid, or whose `next_id` is.
pub fn parse_list(list: Vec<Value>) -> Result<Vec<Action>, InvalidActions> {
    let mut actions = Vec::with_capacity(list.len().min(MAX_ACTIONS));
    for (index, value) in list.into_iter().enumerate() {
        let invalid = |why| InvalidActions { index, why };
        if index == MAX_ACTIONS {
            return Err(invalid(InvalidAction::TooMany));
        }
        let given: ActionJson = serde_json::from_value(value)
            .map_err(|error| invalid(InvalidAction::Form(error.to_string())))?;
        actions.push(Action::from_json(given, PlayUrl::new).map_err(invalid)?);
    }
    execution_order(&actions)?;
    Ok(actions)
}

/// Returns the indices of the actions in execution order: each action is followed by the one that its `next_id` names,
/// or by the next in the list.
fn execution_order(actions: &[Action]) -> Result<Vec<usize>, InvalidActions> {
    let named = |id: Uuid| actions.iter().position(|action| action.id == id);
    let mut seen = BTreeSet::new();
    for (index, action) in actions.iter().enumerate() {
        let invalid = |why| Err(InvalidActions { index, why });
        if !action.id.is_nil() && named(action.id) != Some(index) {
            return invalid(InvalidAction::DuplicateId);
        }
        if !action.next_id.is_nil() && named(action.next_id).is_none() {
            return invalid(InvalidAction::NextUnknown);
        }
    }
    let mut ordered = Vec::new();
    let mut next = (!actions.is_empty()).then_some(0);
    let mut last = 0;
    while let Some(index) = next {
        if !seen.insert(index) {
            return Err(InvalidActions {
                index: last,
                why: InvalidAction::Cycle,
            });
        }
        ordered.push(index);
        last = index;
        next = match actions[index].next_id {
            id if id.is_nil() => Some(index + 1).filter(|next| *next < actions.len()),
            id => named(id),
        };
    }
    Ok(ordered)
}

/// Returns the steps of these actions, in order. A ringing call is answered first.
pub fn steps(actions: &[Action], answered: bool) -> Vec<Step> {
    // Stored actions have passed `parse_list`, so the order is valid.
    let ordered = execution_order(actions).unwrap_or_default();
    let mut steps = Vec::new();
    if !answered && !ordered.is_empty() {
        steps.push(Step::Answer);
    }
    for index in ordered {
        match &actions[index].task {
            Task::Talk(text) => steps.push(Step::Talk(text.clone())),
            Task::Play(urls) => steps.extend(urls.iter().cloned().map(Step::Play)),
            Task::Beep => steps.push(Step::Beep),
            Task::Sleep(time) => {
                steps.push(Step::Sleep(
                    u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
                ));
            }
            Task::Hangup => steps.push(Step::Hangup),
        }
    }
    steps
}

impl TryFrom<ActionJson> for Action {
    type Error = InvalidAction;
    /// Reads a stored action.
    fn try_from(given: ActionJson) -> Result<Self, InvalidAction> {
        Self::from_json(given, PlayUrl::from_stored)
    }
}

impl Action {
    fn from_json(
        given: ActionJson,
        parse_url: fn(&str) -> Result<PlayUrl, InvalidPlayUrl>,
    ) -> Result<Self, InvalidAction> {
        let invalid = |why: &str| InvalidAction::Option(why.to_owned());
        let option = &given.option;
        let task = match given.r#type.as_str() {
            "talk" => {
                let text = option.get("text").and_then(Value::as_str);
                let text = text.ok_or_else(|| invalid("needs a text"))?;
                Task::Talk(Speech::new(text).map_err(invalid)?)
            }
            "play" => {
                let urls = option.get("stream_urls").and_then(Value::as_array);
                let urls = urls.ok_or_else(|| invalid("needs stream_urls, a list"))?;
                if urls.is_empty() || urls.len() > MAX_URLS {
                    return Err(invalid("needs 1 to 128 stream_urls"));
                }
                let urls = urls.iter().enumerate().map(|(n, url)| {
                    let invalid = |why: &dyn std::fmt::Display| {
                        InvalidAction::Option(format!("stream_urls[{n}]: {why}"))
                    };
                    let text = url.as_str().ok_or_else(|| invalid(&"it is not a text"))?;
                    parse_url(text).map_err(|why| invalid(&why))
                });
                Task::Play(urls.collect::<Result<_, _>>()?)
            }
            "beep" => Task::Beep,
            "sleep" => {
                let time = option.get("duration").and_then(milliseconds);
                let time = time.filter(|time| *time <= MAX_SLEEP);
                Task::Sleep(time.ok_or_else(|| invalid("needs a duration of 0 to 3600000 ms"))?)
            }
            "hangup" => Task::Hangup,
            _ => return Err(InvalidAction::Type),
        };
        Ok(Self {
            id: given.id,
            next_id: given.next_id,
            option: given.option,
            task,
        })
    }
}

impl From<Action> for ActionJson {
    fn from(action: Action) -> Self {
        let r#type = match action.task {
            Task::Talk(_) => "talk",
            Task::Play(_) => "play",
            Task::Beep => "beep",
            Task::Sleep(_) => "sleep",
            Task::Hangup => "hangup",
        };
        Self {
            id: action.id,
            next_id: action.next_id,
            r#type: r#type.to_owned(),
            option: action.option,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(value: Value) -> Result<Vec<Action>, InvalidActions> {
        parse_list(value.as_array().unwrap().clone())
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn documented_action_round_trips() {
        let zero = "00000000-0000-0000-0000-000000000000";
        let given = json!([{
            "id": zero, "next_id": zero, "type": "talk",
            "option": { "text": "Hello.\nWelcome to  the test conference.", "gender": "female", "language": "en-US" },
        }]);
        let actions = list(given.clone()).unwrap();
        assert_eq!(serde_json::to_value(&actions).unwrap(), given);
        let speech = Speech::new("Hello. Welcome to the test conference.").unwrap();
        assert_eq!(steps(&actions, true), [Step::Talk(speech.clone())]);
        assert_eq!(steps(&actions, false), [Step::Answer, Step::Talk(speech)]);
    }

    #[test]
    fn next_ids_decide_the_order() {
        let actions = list(json!([
            { "id": id(1), "next_id": id(3), "type": "beep" },
            { "id": id(2), "type": "sleep", "option": { "duration": 1 } },
            { "id": id(3), "type": "sleep", "option": { "duration": 3 } },
            { "type": "play", "option": { "stream_urls": ["http://a/1.wav", "http://a/2.wav"] } },
            { "type": "hangup" },
        ]))
        .unwrap();
        let url = |n| Step::Play(PlayUrl::new(&format!("http://a/{n}.wav")).unwrap());
        assert_eq!(
            steps(&actions, true),
            [Step::Beep, Step::Sleep(3), url(1), url(2), Step::Hangup]
        );
        assert_eq!(steps(&[], false), []);
    }

    #[test]
    fn stored_action_with_a_longer_url_is_accepted() {
        let long = format!("http://h/{}", "@".repeat(2_000));
        let play = json!({ "type": "play", "option": { "stream_urls": [long] } });
        let stored: Action = serde_json::from_value(play.clone()).unwrap();
        assert!(!stored.urls()[0].as_str().contains('@'));
        assert!(list(json!([play])).is_err(), "a caller gets an error");
    }

    #[test]
    fn null_equals_missing_and_whole_floats_are_numbers() {
        let actions = list(json!([
            { "id": null, "next_id": null, "type": "beep", "option": null },
            { "type": "sleep", "option": { "duration": 2.0 } },
        ]));
        assert_eq!(steps(&actions.unwrap(), true), [Step::Beep, Step::Sleep(2)]);
    }

    #[test]
    fn invalid_action_is_reported_with_its_index() {
        let beep = json!({ "type": "beep" });
        let talk = |text: &str| json!({ "type": "talk", "option": { "text": text } });
        for (bad, says) in [
            (json!({ "type": "dance" }), "its type must be"),
            (json!("beep"), "invalid type"),
            (json!({ "option": {} }), "missing field `type`"),
            (json!({ "type": "talk" }), "its option needs a text"),
            (talk(" \n"), "text is empty"),
            (talk("${system(reboot)}"), "${"),
            (talk("{rate=1}hello"), "begins with {"),
            (talk("a\u{7}b"), "control character"),
            (talk(&"x".repeat(4_097)), "longer"),
            (
                json!({ "type": "play", "option": { "stream_urls": [] } }),
                "1 to 128",
            ),
            (
                json!({ "type": "play", "option": { "stream_urls": ["file:///etc/passwd"] } }),
                "stream_urls[0]: its scheme must be http or https",
            ),
            (json!({ "type": "sleep" }), "needs a duration"),
            (
                json!({ "type": "sleep", "option": { "duration": 3_600_001 } }),
                "needs a duration",
            ),
            (
                json!({ "type": "sleep", "option": { "duration": 0.5 } }),
                "needs a duration",
            ),
            (
                json!({ "type": "sleep", "option": { "duration": -1.0 } }),
                "needs a duration",
            ),
            (
                json!({ "type": "beep", "next_id": id(9) }),
                "next_id names no action",
            ),
        ] {
            let error = list(json!([beep, bad])).unwrap_err();
            assert_eq!(error.index, 1, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        let cycle = list(json!([
            { "id": id(1), "type": "beep" },
            { "id": id(2), "next_id": id(1), "type": "beep" },
        ]));
        assert_eq!(cycle.unwrap_err().why, InvalidAction::Cycle);
        let twice = list(json!([{ "id": id(1), "type": "beep" }, { "id": id(1), "type": "beep" }]));
        assert_eq!(twice.unwrap_err().why, InvalidAction::DuplicateId);
        let many = list(Value::Array(vec![beep; MAX_ACTIONS + 1]));
        assert_eq!(many.unwrap_err().index, MAX_ACTIONS);
    }
}
