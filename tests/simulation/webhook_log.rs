//! The history that an app can derive from the bodies of its webhooks alone, and its consistency.

use std::collections::{BTreeMap, BTreeSet};

use roomkeeper::store::Message;
use roomkeeper_core::room::MemberFlag;
use serde_json::Value;

/// The knowledge of a reader of all webhooks.
#[derive(Debug, Default)]
pub struct WebhookLog {
    ids: BTreeSet<String>,
    sequences: BTreeMap<String, u64>,
    /// The reported rooms: true while they exist, false once they are over.
    pub rooms: BTreeMap<String, bool>,
    /// The volumes that members were reported with.
    pub volumes: BTreeMap<(String, String), i64>,
    /// The members by room and call: the membership, and the flags that are off.
    pub inside: BTreeMap<(String, String), (String, BTreeSet<MemberFlag>)>,
    /// All reported memberships: none begins twice.
    memberships: BTreeSet<String>,
    /// The live calls: true if answered.
    pub calls: BTreeMap<String, bool>,
    over: BTreeSet<String>,
    /// The conferences that have started after a wait.
    started: BTreeSet<String>,
    /// The rooms that are reported as locked.
    pub locked: BTreeSet<String>,
    /// The active recording of each room.
    pub recordings: BTreeMap<String, String>,
    /// The active recording of each member, by room and call.
    pub taps: BTreeMap<(String, String), String>,
    /// The calls that are connected by a transfer.
    pub transferred: BTreeSet<String>,
    /// The coach of each member that has one, by room and call.
    pub coaches: BTreeMap<(String, String), String>,
    recorded: BTreeSet<String>,
    paused: BTreeSet<String>,
    /// The operations that play, with their rooms.
    pub plays: BTreeMap<String, String>,
    played: BTreeSet<String>,
    /// The requests for digits that ended.
    pub gathered: BTreeSet<String>,
    /// The dial-outs by id.
    pub dials: BTreeMap<String, DialLog>,
    /// The moderators by room and call.
    pub moderators: BTreeSet<(String, String)>,
    /// The members that are on hold, by room and call.
    pub held: BTreeSet<(String, String)>,
    /// The operations that play to one member, with room and call.
    pub member_plays: BTreeMap<String, (String, String)>,
    /// The rooms that speak the number of their members to each one that enters.
    counting: BTreeSet<String>,
    /// The members that have entered and must hear a number, by room and call.
    uncounted: BTreeMap<(String, String), usize>,
    /// The members that another room has refused, by room and call: they hear no number when they return.
    returned: BTreeSet<(String, String)>,
    /// The rooms that have waited for a moderator: what they speak is not followed.
    waited: BTreeSet<String>,
    /// The reported joins of each call into each room: all, and those that are not synthesized.
    pub joins: BTreeMap<(String, String), (usize, usize)>,
    /// The calls that left a room for another one.
    pub moved: BTreeSet<String>,
    /// The reported refusals of each call's joins into each room.
    pub refused: BTreeMap<(String, String), usize>,
}

/// A dial-out in the webhooks.
#[derive(Debug, Default)]
pub struct DialLog {
    room: String,
    attempt: u64,
    /// The sessions of the attempts, the last one at the end.
    pub sessions: Vec<String>,
    rings: bool,
    attempt_is_over: bool,
    /// True once no attempt follows.
    pub over: bool,
}

impl DialLog {
    /// Reads a report about an attempt.
    fn read(&mut self, kind: &str, session: &str, data: &Value) -> Result<(), String> {
        ensure(!self.over, "I6: a dial-out was reported after its end")?;
        let attempt = data["attempt"].as_u64().unwrap_or_default();
        ensure(
            data["attempts"].as_u64() >= Some(attempt),
            "I6: a dial-out has too many attempts",
        )?;
        if attempt != self.attempt {
            ensure(
                attempt == self.attempt + 1 && (attempt == 1 || self.attempt_is_over),
                "I6: an attempt began before the end of the last one",
            )?;
            ensure(
                !self.sessions.iter().any(|known| known == session),
                "I6: two attempts have one session",
            )?;
            self.sessions.push(session.to_owned());
            self.attempt = attempt;
            (self.rings, self.attempt_is_over) = (false, false);
        }
        ensure(
            self.sessions.last().is_some_and(|known| known == session),
            "I6: an attempt has two sessions",
        )?;
        ensure(
            !self.attempt_is_over || kind == "cancelled",
            "I6: an attempt was reported after its end",
        )?;
        if kind == "ringing" {
            let rang = std::mem::replace(&mut self.rings, true);
            return ensure(!rang, "I6: a callee began to ring twice");
        }
        self.attempt_is_over = true;
        self.over = data["retry_at"].is_null();
        ensure(
            self.over || matches!(kind, "busy" | "no_answer" | "failed"),
            "I6: an answered or cancelled dial-out goes on",
        )
    }
}

impl WebhookLog {
    /// Reads one webhook. `revives` is true if calls may have been given up with their node and returned with it.
    pub fn read(&mut self, message: &Message, revives: bool) -> Result<(), String> {
        self.apply(message, revives).map_err(|what| {
            format!(
                "{what}: {} #{}: {}",
                message.scope, message.sequence, message.body
            )
        })
    }

    fn apply(&mut self, message: &Message, revives: bool) -> Result<(), String> {
        let body: Value = serde_json::from_str(&message.body).map_err(|e| e.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let data = &body["data"];
        ensure(
            self.ids.insert(message.id.clone()),
            "I3: an id was used twice",
        )?;
        let last = self.sequences.entry(message.scope.to_string()).or_default();
        ensure(
            message.sequence == *last + 1,
            "I4: a gap in the sequence, or a duplicate",
        )?;
        ensure(
            body["sequence"] == message.sequence && body["event"] == message.event.as_str(),
            "the body differs from its envelope",
        )?;
        *last += 1;
        let (room, call) = (text(&body["room_id"]), text(&body["session_uuid"]));
        let membership = text(&data["conferencecall_id"]);
        let member = (room.clone(), call.clone());
        if let Some(kind) = message.event.strip_prefix("conference.") {
            let known = self.rooms.get(&room).copied();
            if kind == "created" {
                ensure(known.is_none(), "a room was created twice")?;
                self.rooms.insert(room, true);
                return Ok(());
            }
            // A room that was adopted from FreeSWITCH was created in a store that is gone; there are none in the
            // simulation.
            ensure(
                known == Some(true),
                "event of a room that is over or was never created",
            )?;
        }
        match message.event.as_str() {
            "conference.started" => {
                ensure(
                    self.inside.keys().any(|(r, _)| *r == room),
                    "a conference started without members",
                )?;
                ensure(
                    data["started_by"].is_null()
                        || self
                            .inside
                            .contains_key(&(room.clone(), text(&data["started_by"]))),
                    "a conference started with a call that is not in it",
                )?;
                ensure(self.started.insert(room), "I3: a conference started twice")?;
            }
            "conference.destroyed" => {
                ensure(
                    self.inside.keys().all(|(r, _)| *r != room),
                    "a room was destroyed with members",
                )?;
                ensure(
                    !self.recordings.contains_key(&room)
                        && self.taps.keys().all(|(r, _)| *r != room)
                        && self.coaches.keys().all(|(r, _)| *r != room),
                    "a room was destroyed while it was recorded",
                )?;
                ensure(
                    !self.plays.values().any(|r| *r == room),
                    "a room was destroyed while it played",
                )?;
                ensure(
                    self.dials
                        .values()
                        .all(|dial| dial.over || dial.room != room),
                    "I6: a room was destroyed while it dialled",
                )?;
                self.rooms.insert(room, false);
            }
            "conference.member.joined" => {
                self.moderates(&member, &data["role"]);
                ensure(
                    self.calls.contains_key(&call),
                    "a call joined before call.new or after its end",
                )?;
                ensure(
                    self.memberships.insert(membership.clone()),
                    "I4: a membership began twice",
                )?;
                let muted = (data["muted"] == true).then_some(MemberFlag::Speak);
                let off = BTreeSet::from_iter(muted);
                ensure(
                    self.inside
                        .insert(member.clone(), (membership, off))
                        .is_none(),
                    "I4: a call joined twice",
                )?;
                self.volumes
                    .insert(member.clone(), volume(data).unwrap_or(0));
                self.enters(&member);
                let (times, unsynthesized) = self.joins.entry(member).or_default();
                *times += 1;
                *unsynthesized += usize::from(data["synthesized"] != true);
            }
            "conference.member.left" => {
                ensure(
                    self.inside.remove(&member).is_some(),
                    "I4: a call left a room that it was not in",
                )?;
                self.held.remove(&member);
                self.uncounted.remove(&member);
                self.volumes.remove(&member);
                if self.inside.keys().all(|(r, _)| *r != room) {
                    self.started.remove(&room);
                }
                self.moderators.remove(&member);
                ensure(
                    !self.member_plays.values().any(|of| *of == member),
                    "a member left while files played to it",
                )?;
                if data["to"].is_string() {
                    self.moved.insert(call);
                }
                ensure(
                    data["to"].is_null() || data["reason"] == "moved",
                    "a member that does not move has another room",
                )?;
            }
            "conference.member.reconnected" => {
                let known = self.inside.get(&member);
                ensure(
                    known.is_some_and(|(known, _)| *known == membership),
                    "a member returned that was not in the room",
                )?;
            }
            "conference.recording.started" => {
                let id = text(&data["recording_id"]);
                ensure(
                    self.recorded.insert(id.clone()),
                    "I3: a recording started twice",
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
            "conference.member.recording.started" => {
                let id = text(&data["recording_id"]);
                ensure(
                    self.recorded.insert(id.clone()),
                    "I3: a recording started twice",
                )?;
                ensure(
                    self.taps.insert(member, id).is_none(),
                    "two recordings of a member",
                )?;
            }
            "conference.member.recording.stopped" => {
                ensure(
                    self.taps.remove(&member) == Some(text(&data["recording_id"])),
                    "I3: a recording stopped that did not run",
                )?;
            }
            "conference.member.coached" => {
                ensure(
                    self.coaches.insert(member, text(&data["coach"])).is_none(),
                    "two coaches of a member",
                )?;
            }
            "conference.member.uncoached" => {
                ensure(
                    self.coaches.remove(&member) == Some(text(&data["coach"])),
                    "I3: a coaching ended that had not begun",
                )?;
            }
            "conference.member.coach_failed" => {
                ensure(
                    self.coaches.get(&member) != Some(&text(&data["coach"])),
                    "I3: a coaching failed after it had begun",
                )?;
            }
            "conference.recording.paused" | "conference.member.recording.paused" => {
                ensure(
                    self.paused.insert(text(&data["recording_id"])),
                    "I3: a recording paused twice",
                )?;
            }
            "conference.recording.resumed" | "conference.member.recording.resumed" => {
                ensure(
                    self.paused.remove(&text(&data["recording_id"])),
                    "I3: a recording resumed that was not paused",
                )?;
            }
            "conference.recording.failed" | "conference.member.recording.failed" => {
                let id = text(&data["recording_id"]);
                ensure(
                    self.recorded.insert(id),
                    "I3: a recording failed after it had started or failed",
                )?;
            }
            "conference.play.started" => {
                let id = text(&data["operation_id"]);
                ensure(
                    self.played.insert(id.clone()),
                    "I3: an operation started twice",
                )?;
                self.plays.insert(id, room);
            }
            "conference.play.finished" | "conference.play.stopped" => {
                let id = text(&data["operation_id"]);
                ensure(
                    self.plays.remove(&id).is_some(),
                    "I3: an operation ended twice",
                )?;
            }
            "conference.member.play.started" => {
                let id = text(&data["operation_id"]);
                ensure(
                    self.played.insert(id.clone()) && self.inside.contains_key(&member),
                    "I3: an operation of a member started twice, or outside of its room",
                )?;
                if let Some(number) = text(&data["text"]).strip_suffix(" members") {
                    let expected = self.uncounted.remove(&member);
                    ensure(
                        expected.is_some_and(|expected| expected.to_string() == number)
                            || self.waited.contains(&room)
                            || self.returned.contains(&member),
                        "I7: a member heard a wrong number of members, or heard it again",
                    )?;
                }
                self.member_plays.insert(id, member);
            }
            "conference.member.play.finished" | "conference.member.play.stopped" => {
                let id = text(&data["operation_id"]);
                ensure(
                    self.member_plays.remove(&id) == Some(member),
                    "I3: an operation of a member ended twice",
                )?;
            }
            "conference.member.held" | "conference.member.unheld" => {
                let has_changed = if message.event.ends_with(".held") {
                    self.held.insert(member.clone())
                } else {
                    self.held.remove(&member)
                };
                ensure(
                    has_changed && self.inside.contains_key(&member),
                    "I3: a member was held or unheld twice, or outside of its room",
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
                    "I3: a call was answered twice or after its end",
                )?;
            }
            "call.transferred" => {
                ensure(
                    self.calls.contains_key(&call) && self.inside.keys().all(|(_, c)| *c != call),
                    "a call was transferred that is over, or in a room",
                )?;
                ensure(
                    self.transferred.insert(call),
                    "I3: a transfer was answered twice",
                )?;
            }
            "call.transfer_failed" => {
                ensure(
                    self.calls.contains_key(&call) && !self.transferred.contains(&call),
                    "I3: a transfer failed after its answer, or after the end of the call",
                )?;
            }
            "call.transfer_ended" => {
                ensure(
                    self.transferred.remove(&call),
                    "I3: a transfer ended that was not answered",
                )?;
            }
            "call.hangup" => {
                self.transferred.remove(&call);
                ensure(
                    self.calls.remove(&call).is_some(),
                    "I3: a call hung up twice",
                )?;
                ensure(
                    self.inside.keys().all(|(_, c)| *c != call),
                    "a call hung up before it left its room",
                )?;
            }
            "conference.member.gathered" | "call.gathered" => {
                ensure(
                    self.calls.contains_key(&call),
                    "digits of a call that is over or unknown",
                )?;
                ensure(
                    room.is_empty() || self.inside.contains_key(&member),
                    "digits of a call that is not in the room",
                )?;
                ensure(
                    self.gathered.insert(text(&data["operation_id"])),
                    "I3: a request for digits ended twice",
                )?;
            }
            "conference.updated" => {
                match &data["announce_count"] {
                    Value::Object(_) => drop(self.counting.insert(room.clone())),
                    Value::Null if data.get("announce_count").is_some() => {
                        self.counting.remove(&room);
                    }
                    _ => {}
                }
                if data["wait_for_moderator"] == true {
                    self.waited.insert(room.clone());
                }
                let has_changed = match data["locked"].as_bool() {
                    Some(true) => self.locked.insert(room),
                    Some(false) => self.locked.remove(&room),
                    None => true,
                };
                ensure(has_changed, "I3: a room was locked or unlocked twice")?;
            }
            "conference.member.updated" => {
                self.moderates(&member, &data["role"]);
                if let Some(volume) = volume(data) {
                    self.volumes.insert((room.clone(), call.clone()), volume);
                }
                let has_level = |name: &str| data[name].is_i64();
                ensure(
                    data["labels"]["at"].is_string()
                        || data["end_on_exit"].is_boolean()
                        || data["start_on_enter"].is_boolean()
                        || data["role"].is_string()
                        || ["volume_in", "volume_out", "energy"]
                            .into_iter()
                            .any(has_level),
                    "a member was updated without its new setting",
                )?;
                ensure(
                    self.inside.contains_key(&(room, call)),
                    "a call that is in no room was updated",
                )?;
            }
            "conference.member.join_failed" => {
                if data["reason"] == "refused" {
                    *self.refused.entry(member).or_default() += 1;
                }
            }
            "conference.member.move_failed" => {
                // The member stays, or joins again.
                self.returned.insert(member);
                let another = text(&data["to"]) != room;
                ensure(another, "a member moved within a room")?;
            }
            "conference.play.paused"
            | "conference.play.resumed"
            | "conference.play.volume_changed" => {}
            other if other.starts_with("conference.call.") => {
                let dial = self.dials.entry(text(&data["call_id"])).or_default();
                dial.room = room;
                dial.read(&other["conference.call.".len()..], &call, data)?;
            }
            other => {
                let (flag, on) = flag_of(other).ok_or(format!("unknown event: {other}"))?;
                let Some((_, off)) = self.inside.get_mut(&member) else {
                    return Err("a flag of a call changed that is in no room".to_owned());
                };
                let changed = if on {
                    off.remove(&flag)
                } else {
                    off.insert(flag)
                };
                ensure(
                    changed,
                    "I3: a flag changed to the value that it already had",
                )?;
            }
        }
        Ok(())
    }
}

impl WebhookLog {
    /// Notes the number that a member hears which has just entered.
    fn enters(&mut self, member: &(String, String)) {
        let (room, _) = member;
        let present = self.inside.keys().filter(|(r, _)| r == room).count();
        if present > 1 && self.counting.contains(room) && !self.returned.contains(member) {
            self.uncounted.insert(member.clone(), present);
        }
    }

    /// Checks that each member of an open room has heard the number of members.
    pub fn check_counts(&self) -> Result<(), String> {
        let mut missing = self.uncounted.keys();
        match missing.find(|(room, _)| !self.waited.contains(room)) {
            Some(member) => Err(format!("I7: no number of members for {member:?}")),
            None => Ok(()),
        }
    }

    fn moderates(&mut self, member: &(String, String), role: &Value) {
        match role.as_str() {
            Some("moderator") => {
                self.moderators.insert(member.clone());
            }
            Some(_) => {
                self.moderators.remove(member);
            }
            None => {}
        }
    }
}

/// Returns the flag and the value that an event reports.
fn flag_of(event: &str) -> Option<(MemberFlag, bool)> {
    let both = |flag: &MemberFlag| [(*flag, false), (*flag, true)];
    let mut all = MemberFlag::ALL.iter().flat_map(both);
    all.find(|(flag, on)| flag.names(*on).event == event)
}

fn volume(data: &Value) -> Option<i64> {
    data["volume_in"].as_i64()
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
