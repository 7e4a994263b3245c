//! What a call does before it comes into a conference, and after it has left it: greetings, music, a pause, the end.
//!
//! Pure. Owns the form in which callers write actions and the order in which they are carried out. Leaves out who carries
//! them out (`session::run`) and which hosts may be played from (the API).

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::play_url::{InvalidPlayUrl, PlayUrl};

/// How many actions a list may have.
pub const MOST_ACTIONS: usize = 64;

/// How many files one `play` may name.
pub const MOST_URLS: usize = 128;

/// The longest text to be spoken, in bytes.
pub const LONGEST_TEXT: usize = 4_096;

/// The longest pause.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// One action, as it was given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Given", into = "Given")]
pub struct Action {
    /// Its name for others in the list; the zero UUID: it has none.
    pub id: Uuid,
    /// The one that follows it; the zero UUID: the next in the list.
    pub next_id: Uuid,
    /// As it was given: what is not known here is kept for its owner.
    option: Map<String, Value>,
    task: Task,
}

/// What there is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Task {
    /// Say a text.
    Talk(Speech),
    /// Play files, one after the other.
    Play(Vec<PlayUrl>),
    /// A short tone.
    Beep,
    /// Nothing, for this long.
    Sleep(Duration),
    /// End the call.
    Hangup,
}

/// A text that a speech engine may be given: one line, not empty, without what FreeSWITCH would take for something else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Speech(String);

/// One thing that FreeSWITCH is told to do with a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Answer it: nothing is heard on a call that rings.
    Answer,
    /// Say a text.
    Talk(Speech),
    /// Play a file.
    Play(PlayUrl),
    /// A short tone.
    Beep,
    /// Nothing, for so many milliseconds.
    Sleep(u32),
    /// End it.
    Hangup,
}

/// The form on the wire and in the store.
#[derive(Clone, Serialize, Deserialize)]
struct Given {
    #[serde(default, deserialize_with = "null_is_nothing")]
    id: Uuid,
    #[serde(default, deserialize_with = "null_is_nothing")]
    next_id: Uuid,
    r#type: String,
    #[serde(default, deserialize_with = "null_is_nothing")]
    option: Map<String, Value>,
}

/// As everywhere in the APIs: what is null is as good as left out.
fn null_is_nothing<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Milliseconds. `2.0` is a whole number, too, to JSON Schema and to clients that know but one kind of number.
fn milliseconds(value: &Value) -> Option<Duration> {
    if let Some(whole) = value.as_u64() {
        return Some(Duration::from_millis(whole));
    }
    let number = value.as_f64()?;
    let time = Duration::try_from_secs_f64(number / 1_000.0).ok()?;
    (number.fract() == 0.0).then_some(time)
}

/// Why something is not an action.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAction {
    /// Not an object with a `type` and an `option`.
    #[error("{0}")]
    Form(String),
    /// None of ours.
    #[error("its type must be talk, play, beep, sleep or hangup")]
    Type,
    /// An option that its type needs is missing or is not what it must be.
    #[error("its option {0}")]
    Option(String),
    /// Named twice.
    #[error("its id is that of another action, too")]
    Twice,
    /// Names nothing.
    #[error("its next_id is the id of no action")]
    NextUnknown,
    /// Goes in a circle.
    #[error("its next_id leads back to an action that has been")]
    Circle,
    /// One too many.
    #[error("there are more than {MOST_ACTIONS} actions")]
    TooMany,
}

/// Where in a list of actions something is wrong, and what.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("action {index}: {why}")]
pub struct InvalidActions {
    /// Which one, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub why: InvalidAction,
}

impl Action {
    /// What there is to do.
    pub const fn task(&self) -> &Task {
        &self.task
    }

    /// The files that it names.
    pub fn urls(&self) -> &[PlayUrl] {
        match &self.task {
            Task::Play(urls) => urls,
            Task::Talk(_) | Task::Beep | Task::Sleep(_) | Task::Hangup => &[],
        }
    }
}

/// Reads a list of actions.
///
/// # Errors
/// [`InvalidActions`] names the first one that is none, or that leads nowhere.
pub fn read(list: Vec<Value>) -> Result<Vec<Action>, InvalidActions> {
    let mut actions = Vec::with_capacity(list.len().min(MOST_ACTIONS));
    for (index, value) in list.into_iter().enumerate() {
        let wrong = |why| InvalidActions { index, why };
        if index == MOST_ACTIONS {
            return Err(wrong(InvalidAction::TooMany));
        }
        let given: Given = serde_json::from_value(value)
            .map_err(|error| wrong(InvalidAction::Form(error.to_string())))?;
        actions.push(Action::from_given(given, PlayUrl::new).map_err(wrong)?);
    }
    order(&actions)?;
    Ok(actions)
}

/// The actions in the order in which they are carried out: each is followed by the one that its `next_id` names, or by
/// the next in the list.
fn order(actions: &[Action]) -> Result<Vec<usize>, InvalidActions> {
    let named = |id: Uuid| actions.iter().position(|action| action.id == id);
    let mut seen = BTreeSet::new();
    for (index, action) in actions.iter().enumerate() {
        let wrong = |why| Err(InvalidActions { index, why });
        if !action.id.is_nil() && named(action.id) != Some(index) {
            return wrong(InvalidAction::Twice);
        }
        if !action.next_id.is_nil() && named(action.next_id).is_none() {
            return wrong(InvalidAction::NextUnknown);
        }
    }
    let mut ordered = Vec::new();
    let mut next = (!actions.is_empty()).then_some(0);
    let mut last = 0;
    while let Some(index) = next {
        if !seen.insert(index) {
            return Err(InvalidActions {
                index: last,
                why: InvalidAction::Circle,
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

/// What FreeSWITCH is told for these actions, in order. A call that rings is answered first.
pub fn steps(actions: &[Action], answered: bool) -> Vec<Step> {
    // Only what `read` has seen to is ever kept.
    let ordered = order(actions).unwrap_or_default();
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

impl Speech {
    /// Checks a text. Line ends and tabs become spaces.
    ///
    /// # Errors
    /// Why it cannot be spoken.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return Err("text is empty");
        }
        if text.len() > LONGEST_TEXT {
            return Err("text is longer than 4096 bytes");
        }
        if text.chars().any(char::is_control) {
            return Err("text has a control character in it");
        }
        if text.contains("${") {
            return Err("text has ${ in it, which FreeSWITCH would expand");
        }
        // Parameters of the engine stand there (switch_core_speech.c).
        if text.starts_with('{') {
            return Err("text begins with {");
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Speech {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<Speech> for String {
    fn from(speech: Speech) -> Self {
        speech.0
    }
}

impl TryFrom<Given> for Action {
    type Error = InvalidAction;
    /// Reads an action that was stored.
    fn try_from(given: Given) -> Result<Self, InvalidAction> {
        Self::from_given(given, PlayUrl::from_stored)
    }
}

impl Action {
    fn from_given(
        given: Given,
        parse_url: fn(&str) -> Result<PlayUrl, InvalidPlayUrl>,
    ) -> Result<Self, InvalidAction> {
        let wrong = |why: &str| InvalidAction::Option(why.to_owned());
        let option = &given.option;
        let task = match given.r#type.as_str() {
            "talk" => {
                let text = option.get("text").and_then(Value::as_str);
                let text = text.ok_or_else(|| wrong("needs a text"))?;
                Task::Talk(Speech::new(text).map_err(wrong)?)
            }
            "play" => {
                let urls = option.get("stream_urls").and_then(Value::as_array);
                let urls = urls.ok_or_else(|| wrong("needs stream_urls, a list"))?;
                if urls.is_empty() || urls.len() > MOST_URLS {
                    return Err(wrong("needs 1 to 128 stream_urls"));
                }
                let urls = urls.iter().enumerate().map(|(n, url)| {
                    let wrong = |why: &dyn std::fmt::Display| {
                        InvalidAction::Option(format!("stream_urls[{n}]: {why}"))
                    };
                    let text = url.as_str().ok_or_else(|| wrong(&"it is not a text"))?;
                    parse_url(text).map_err(|why| wrong(&why))
                });
                Task::Play(urls.collect::<Result<_, _>>()?)
            }
            "beep" => Task::Beep,
            "sleep" => {
                let time = option.get("duration").and_then(milliseconds);
                let time = time.filter(|time| *time <= LONGEST_SLEEP);
                Task::Sleep(time.ok_or_else(|| wrong("needs a duration of 0 to 3600000 ms"))?)
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

impl From<Action> for Given {
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
        read(value.as_array().unwrap().clone())
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn the_documented_action_is_read_and_given_back_as_it_was() {
        let zero = "00000000-0000-0000-0000-000000000000";
        let given = json!([{
            "id": zero, "next_id": zero, "type": "talk",
            "option": { "text": "Hello.\nWelcome to  the test conference.", "gender": "female", "language": "en-US" },
        }]);
        let actions = list(given.clone()).unwrap();
        assert_eq!(serde_json::to_value(&actions).unwrap(), given);
        let said = Speech::new("Hello. Welcome to the test conference.").unwrap();
        assert_eq!(steps(&actions, true), [Step::Talk(said.clone())]);
        assert_eq!(steps(&actions, false), [Step::Answer, Step::Talk(said)]);
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
    fn action_stored_by_an_earlier_version_is_read_though_its_url_is_longer_now() {
        let long = format!("http://h/{}", "@".repeat(2_000));
        let play = json!({ "type": "play", "option": { "stream_urls": [long] } });
        let stored: Action = serde_json::from_value(play.clone()).unwrap();
        assert!(!stored.urls()[0].as_str().contains('@'));
        assert!(list(json!([play])).is_err(), "a caller is told");
    }

    #[test]
    fn null_is_as_good_as_left_out_and_a_whole_number_may_have_a_point() {
        let actions = list(json!([
            { "id": null, "next_id": null, "type": "beep", "option": null },
            { "type": "sleep", "option": { "duration": 2.0 } },
        ]));
        assert_eq!(steps(&actions.unwrap(), true), [Step::Beep, Step::Sleep(2)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_index() {
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
                "the id of no action",
            ),
        ] {
            let error = list(json!([beep, bad])).unwrap_err();
            assert_eq!(error.index, 1, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        let circle = list(json!([
            { "id": id(1), "type": "beep" },
            { "id": id(2), "next_id": id(1), "type": "beep" },
        ]));
        assert_eq!(circle.unwrap_err().why, InvalidAction::Circle);
        let twice = list(json!([{ "id": id(1), "type": "beep" }, { "id": id(1), "type": "beep" }]));
        assert_eq!(twice.unwrap_err().why, InvalidAction::Twice);
        let many = list(Value::Array(vec![beep; MOST_ACTIONS + 1]));
        assert_eq!(many.unwrap_err().index, MOST_ACTIONS);
    }
}
