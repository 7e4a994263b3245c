//! The state that follows from the webhooks of the soak of controls alone, and what they report twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Map, Value};

use crate::program::receiver::{ReceivedWebhook, Receiver};

use super::views::{MemberView, View};

/// A dial-out in the webhooks.
#[derive(Clone, Debug, Default)]
pub struct DialStory {
    pub room: String,
    /// The highest reported attempt.
    pub attempts: usize,
    /// The last event that no attempt follows.
    pub ended: Option<String>,
    /// The sessions of all attempts.
    pub sessions: BTreeSet<String>,
}

/// A reported hang-up.
#[derive(Clone, Debug)]
pub struct Hangup {
    pub call: String,
    pub at: Instant,
}

#[derive(Default)]
pub struct Story {
    pub view: View,
    /// The reports that change nothing.
    pub unchanged: Vec<String>,
    /// The results of requests for digits.
    pub gathered: BTreeSet<String>,
    /// The dial-outs by id.
    pub dials: BTreeMap<String, DialStory>,
    pub hangups: Vec<Hangup>,
    /// All webhooks of each call.
    pub of_calls: BTreeMap<String, Vec<String>>,
    /// The calls that ever were in a room.
    pub joined: BTreeSet<String>,
    /// The ends of rooms, with their webhook.
    pub destroyed: BTreeMap<String, String>,
    /// The rooms that a setting may have ended.
    pub may_end: BTreeSet<String>,
    /// The operations that play, by room.
    plays: BTreeMap<String, BTreeSet<String>>,
    /// The members by room and coach.
    coaches: BTreeMap<(String, String), String>,
    /// The operations that play to one member.
    pub member_plays: BTreeSet<String>,
}

impl Story {
    /// Replays the webhooks.
    pub fn read(receiver: &Receiver) -> Self {
        let mut story = Self::default();
        let mut seen = BTreeSet::new();
        for webhook in receiver.all() {
            if webhook.status < 300 && seen.insert(webhook.id.clone()) {
                let texts = story.of_calls.entry(session(&webhook)).or_default();
                texts.push(webhook.text.clone());
                let changed = match webhook.event().strip_prefix("call.") {
                    Some(event) => story.apply_call_event(event, &webhook),
                    None => story.apply_room_event(&webhook),
                };
                if !changed {
                    story.unchanged.push(webhook.text.clone());
                }
            }
        }
        for (id, room) in &mut story.view.rooms {
            room.plays = story.plays.get(id).is_some_and(|plays| !plays.is_empty());
            let mut dials = story.dials.values();
            room.dials = dials.any(|dial| dial.room == *id && dial.ended.is_none());
        }
        // Each room has its own order, so that another room can report a coach earlier.
        let coaches = story.coaches.iter();
        let coaches = coaches.map(|((_, coach), member)| (coach.clone(), member.clone()));
        story.view.coaches = coaches.collect();
        story
    }

    fn apply_call_event(&mut self, event: &str, webhook: &ReceivedWebhook) -> bool {
        let call = session(webhook);
        match event {
            "new" => self.view.calls.insert(call),
            "transferred" => self.view.transfers.insert(call),
            "transfer_ended" => self.view.transfers.remove(&call),
            "transfer_failed" => !self.view.transfers.contains(&call),
            "hangup" => {
                self.view.transfers.remove(&call);
                self.hangups.push(Hangup {
                    call: call.clone(),
                    at: webhook.at,
                });
                self.view.calls.remove(&call)
            }
            "gathered" => self.gathered(webhook),
            _ => true,
        }
    }

    fn gathered(&mut self, webhook: &ReceivedWebhook) -> bool {
        let operation = &webhook.body["data"]["operation_id"];
        self.gathered.insert(text(operation))
    }

    /// Applies one webhook of a room. Returns false if it reports a state that the room has already.
    fn apply_room_event(&mut self, webhook: &ReceivedWebhook) -> bool {
        let (id, call) = (webhook.scope().to_owned(), session(webhook));
        let data = &webhook.body["data"];
        let event = webhook.event().strip_prefix("conference.").expect("a room");
        if let Some(event) = event.strip_prefix("call.") {
            return self.apply_dial_event(event, (id, call), data);
        }
        if let Some(event) = event.strip_prefix("play.") {
            let plays = self.plays.entry(id).or_default();
            let operation = text(&data["operation_id"]);
            return match event {
                "started" => plays.insert(operation),
                "finished" | "stopped" => plays.remove(&operation),
                _ => true,
            };
        }
        let room = self.view.rooms.entry(id.clone()).or_default();
        if let Some(event) = event.strip_prefix("member.") {
            return self.apply_member_event((id, call), event, webhook);
        }
        match event {
            "updated" => {
                if let Some(locked) = data["locked"].as_bool() {
                    return set(&mut room.locked, locked);
                }
                update(&mut room.settings, data, ROOM_SETTINGS);
                if data["end_when_silent_for"].as_u64() > Some(0) {
                    self.may_end.insert(id);
                }
                true
            }
            "recording.started" => set(&mut room.recorded, true),
            "recording.stopped" => set(&mut room.recorded, false),
            "destroyed" => self.destroyed.insert(id, webhook.text.clone()).is_none(),
            _ => true,
        }
    }

    fn apply_dial_event(
        &mut self,
        event: &str,
        (room, call): (String, String),
        data: &Value,
    ) -> bool {
        let dial = self.dials.entry(text(&data["call_id"])).or_default();
        dial.room = room;
        let attempt = data["attempt"].as_u64().unwrap_or_default() as usize;
        dial.attempts = dial.attempts.max(attempt);
        dial.sessions.insert(call);
        let is_new = dial.ended.is_none();
        if event != "ringing" && data["retry_at"].is_null() {
            dial.ended = Some(event.to_owned());
        }
        is_new
    }

    fn apply_member_event(
        &mut self,
        (id, call): (String, String),
        event: &str,
        webhook: &ReceivedWebhook,
    ) -> bool {
        let data = &webhook.body["data"];
        let room = self.view.rooms.entry(id.clone()).or_default();
        if let Some(event) = event.strip_prefix("play.") {
            let operation = text(&data["operation_id"]);
            return match event {
                "started" => self.member_plays.insert(operation),
                _ => self.member_plays.remove(&operation),
            };
        }
        match event {
            "joined" => {
                let mut member = MemberView {
                    muted: data["muted"] == true,
                    ..MemberView::default()
                };
                update(&mut member.settings, data, MEMBER_SETTINGS);
                self.joined.insert(call.clone());
                room.members.insert(call, member).is_none()
            }
            "left" => {
                let member = room.members.remove(&call);
                let ends = member
                    .as_ref()
                    .is_some_and(|member| member.settings["end_on_exit"] == true);
                if ends {
                    self.may_end.insert(id);
                }
                member.is_some()
            }
            "gathered" => self.gathered(webhook),
            "recording.started" => room.taps.insert(call),
            "recording.stopped" => room.taps.remove(&call),
            "coached" => self
                .coaches
                .insert((id, text(&data["coach"])), call)
                .is_none(),
            "uncoached" => self.coaches.remove(&(id, text(&data["coach"]))) == Some(call),
            _ => {
                let Some(member) = room.members.get_mut(&call) else {
                    // The failure of a join, or of a move.
                    return event.ends_with("_failed") || event.starts_with("recording.");
                };
                match event {
                    "updated" => update(&mut member.settings, data, MEMBER_SETTINGS),
                    "muted" => return set(&mut member.muted, true),
                    "unmuted" => return set(&mut member.muted, false),
                    "deafened" => return set(&mut member.deaf, true),
                    "undeafened" => return set(&mut member.deaf, false),
                    "held" => return set(&mut member.held, true),
                    "unheld" => return set(&mut member.held, false),
                    _ => {}
                }
                true
            }
        }
    }
}

/// The settings of rooms and members in rows and webhooks.
pub const ROOM_SETTINGS: &[&str] = &[
    "labels",
    "max_members",
    "tones",
    "alone_url",
    "end_when_silent_for",
    "wait_for_moderator",
];
pub const MEMBER_SETTINGS: &[&str] = &[
    "labels",
    "role",
    "end_on_exit",
    "volume_in",
    "volume_out",
    "energy",
];
/// The settings of a member that FreeSWITCH shows.
pub const VOLUMES: &[&str] = &["volume_in", "volume_out"];

/// Takes over the settings in this object. A setting without effect counts as unset.
pub fn update(settings: &mut Value, from: &Value, names: &[&str]) {
    if settings.is_null() {
        *settings = Value::Object(Map::new());
    }
    let settings = settings.as_object_mut().expect("an object");
    for name in names {
        let Some(value) = from.get(name) else {
            continue;
        };
        match effective(value) {
            Some(value) => settings.insert((*name).to_owned(), value),
            None => settings.remove(*name),
        };
    }
}

/// Returns a value without what is unset; `None` if nothing is left.
fn effective(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) => (text != "participant").then(|| value.clone()),
        Value::Number(number) => (number.as_u64() != Some(0)).then(|| value.clone()),
        Value::Object(fields) => {
            let fields: Map<String, Value> = fields
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), effective(value)?)))
                .collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        Value::Bool(true) | Value::Array(_) => Some(value.clone()),
    }
}

fn set(value: &mut bool, new: bool) -> bool {
    std::mem::replace(value, new) != new
}

fn session(webhook: &ReceivedWebhook) -> String {
    text(&webhook.body["session_uuid"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
