//! What an app was told, read off the bodies of the webhooks alone, and that it is one story.

use std::collections::{BTreeMap, BTreeSet};

use roomkeeper::store::Message;
use serde_json::Value;

/// What somebody knows who has read every webhook, and nothing else.
#[derive(Debug, Default)]
pub struct Told {
    ids: BTreeSet<String>,
    sequences: BTreeMap<String, u64>,
    /// Rooms that are told to exist, and those that are told to be over.
    pub rooms: BTreeMap<String, bool>,
    /// Who is in which room: the stay, and whether it is muted.
    pub inside: BTreeMap<(String, String), (String, bool)>,
    /// Stays that were ever told of: none comes twice.
    stays: BTreeSet<String>,
    /// Calls that live, and whether they were answered.
    pub calls: BTreeMap<String, bool>,
    over: BTreeSet<String>,
    /// Rooms that are told to be locked.
    pub locked: BTreeSet<String>,
    /// The recording that runs in each room.
    pub recordings: BTreeMap<String, String>,
    recorded: BTreeSet<String>,
    /// What was asked to be played and is not over.
    pub plays: BTreeMap<String, String>,
    played: BTreeSet<String>,
    /// How often each call was told to have come into each room; and how often of these by an event of its own.
    pub came_in: BTreeMap<(String, String), (usize, usize)>,
    /// How often each call's join into each room was told to be refused.
    pub refused: BTreeMap<(String, String), usize>,
}

impl Told {
    /// Reads one more. `revives`: calls may have been given up with their node, and come back with it.
    pub fn read(&mut self, message: &Message, revives: bool) -> Result<(), String> {
        self.take_in(message, revives).map_err(|what| {
            format!(
                "{what}: {} #{}: {}",
                message.scope, message.sequence, message.body
            )
        })
    }

    fn take_in(&mut self, message: &Message, revives: bool) -> Result<(), String> {
        let body: Value = serde_json::from_str(&message.body).map_err(|e| e.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let data = &body["data"];
        ensure(
            self.ids.insert(message.id.clone()),
            "I3: an id was used twice",
        )?;
        let last = self.sequences.entry(message.scope.to_string()).or_default();
        ensure(message.sequence == *last + 1, "I4: a gap, or told twice")?;
        ensure(
            body["sequence"] == message.sequence && body["event"] == message.event.as_str(),
            "the body says something else than its envelope",
        )?;
        *last += 1;
        let (room, call) = (text(&body["room_id"]), text(&body["session_uuid"]));
        let stay = text(&data["conferencecall_id"]);
        let who = (room.clone(), call.clone());
        if let Some(kind) = message.event.strip_prefix("conference.") {
            let known = self.rooms.get(&room).copied();
            if kind == "created" {
                ensure(known.is_none(), "created twice")?;
                self.rooms.insert(room, true);
                return Ok(());
            }
            // One that was adopted from FreeSWITCH was created in a store that is gone: none is here.
            ensure(
                known == Some(true),
                "told of a room that is over, or was never created",
            )?;
        }
        match message.event.as_str() {
            "conference.destroyed" => {
                ensure(
                    self.inside.keys().all(|(r, _)| *r != room),
                    "destroyed with members",
                )?;
                ensure(
                    !self.recordings.contains_key(&room),
                    "destroyed while recorded",
                )?;
                ensure(
                    !self.plays.values().any(|r| *r == room),
                    "destroyed while playing",
                )?;
                self.rooms.insert(room, false);
            }
            "conference.member.joined" => {
                ensure(
                    self.calls.contains_key(&call),
                    "joined before call.new, or after its end",
                )?;
                ensure(self.stays.insert(stay.clone()), "I4: a stay began twice")?;
                let muted = data["muted"] == true;
                ensure(
                    self.inside.insert(who.clone(), (stay, muted)).is_none(),
                    "I4: joined twice",
                )?;
                let (times, heard) = self.came_in.entry(who).or_default();
                *times += 1;
                *heard += usize::from(data["synthesized"] != true);
            }
            "conference.member.left" => {
                ensure(
                    self.inside.remove(&who).is_some(),
                    "I4: left, and was not in",
                )?;
            }
            "conference.member.muted" | "conference.member.unmuted" => {
                let mute = message.event.ends_with(".muted");
                let Some((_, muted)) = self.inside.get_mut(&who) else {
                    return Err("muted, and is not in".to_owned());
                };
                ensure(*muted != mute, "I3: muted or unmuted twice")?;
                *muted = mute;
            }
            "conference.recording.started" => {
                let id = text(&data["recording_id"]);
                ensure(
                    self.recorded.insert(id.clone()),
                    "I3: a recording began twice",
                )?;
                ensure(
                    self.recordings.insert(room, id).is_none(),
                    "two recordings in a room",
                )?;
            }
            "conference.recording.stopped" => {
                let was = self.recordings.remove(&room);
                ensure(
                    was == Some(text(&data["recording_id"])),
                    "I3: a recording stopped that did not run",
                )?;
            }
            "conference.recording.failed" => {
                let id = text(&data["recording_id"]);
                ensure(
                    self.recorded.insert(id),
                    "I3: a recording failed that had begun or failed",
                )?;
            }
            "conference.play.started" => {
                let id = text(&data["operation_id"]);
                ensure(self.played.insert(id.clone()), "I3: begun to play twice")?;
                self.plays.insert(id, room);
            }
            "conference.play.finished" | "conference.play.stopped" => {
                let id = text(&data["operation_id"]);
                ensure(
                    self.plays.remove(&id).is_some(),
                    "I3: played to its end twice",
                )?;
            }
            "call.new" => {
                ensure(
                    self.over.insert(call.clone()) || revives,
                    "I3: a call was new twice",
                )?;
                ensure(
                    self.calls.insert(call, false).is_none(),
                    "I3: a call was new twice",
                )?;
            }
            "call.answered" => {
                let answered = self.calls.insert(call, true);
                ensure(
                    answered == Some(false),
                    "I3: answered twice, or after its end",
                )?;
            }
            "call.hangup" => {
                ensure(self.calls.remove(&call).is_some(), "I3: hung up twice")?;
                ensure(
                    self.inside.keys().all(|(_, c)| *c != call),
                    "hung up before it had left",
                )?;
            }
            "conference.updated" => {
                let turned = match data["locked"].as_bool() {
                    Some(true) => self.locked.insert(room),
                    Some(false) => self.locked.remove(&room),
                    None => true,
                };
                ensure(turned, "I3: locked or unlocked twice")?;
            }
            "conference.member.join_failed" => {
                if data["reason"] == "refused" {
                    *self.refused.entry(who).or_default() += 1;
                }
            }
            "conference.play.paused"
            | "conference.play.resumed"
            | "conference.play.volume_changed" => {}
            other => return Err(format!("an event that nobody knows: {other}")),
        }
        Ok(())
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
