//! The state of the soak of controls as FreeSWITCH, the API and the webhooks show it, and its comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::controller::Controller;
use crate::program::receiver::Receiver;
use crate::program::world::World;
use crate::scene::list_all;

use super::{Actors, CONSISTENCY_TIMEOUT, Node};

/// The flags of a member. FreeSWITCH hides the first two while the member is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct MemberView {
    muted: bool,
    deaf: bool,
    held: bool,
}

impl MemberView {
    fn visible(self) -> Self {
        if self.held {
            Self {
                held: true,
                ..Self::default()
            }
        } else {
            self
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct RoomView {
    locked: bool,
    recorded: bool,
    members: BTreeMap<String, MemberView>,
}

/// Rooms with members, and calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct View {
    rooms: BTreeMap<String, RoomView>,
    calls: BTreeSet<String>,
}

impl View {
    /// Hides what FreeSWITCH cannot show.
    fn visible(mut self) -> Self {
        self.rooms.retain(|_, room| !room.members.is_empty());
        for member in self
            .rooms
            .values_mut()
            .flat_map(|room| room.members.values_mut())
        {
            *member = member.visible();
        }
        self
    }

    fn differences(&self, real: &Self) -> Vec<String> {
        let rooms: BTreeSet<_> = self.rooms.keys().chain(real.rooms.keys()).collect();
        let mut differences = Vec::new();
        for room in rooms {
            let (mine, theirs) = (self.rooms.get(room), real.rooms.get(room));
            if mine != theirs {
                differences.push(format!("{room}: {mine:?}, in FreeSWITCH {theirs:?}"));
            }
        }
        let calls = self.calls.symmetric_difference(&real.calls);
        differences.extend(calls.map(|call| format!("call {call}")));
        differences
    }
}

/// Adds a node's state in FreeSWITCH; `None` without an answer.
async fn add_real(view: &mut View, node: &Node) -> Option<()> {
    let text = node.ask("conference json_list").await?;
    let list: Value = serde_json::from_str(&text).ok()?;
    for conference in list.as_array().into_iter().flatten() {
        let name = conference["conference_name"].as_str().unwrap_or_default();
        let members = conference["members"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let recorded = members.iter().any(|m| m["type"] == "recording_node");
        let members = members.iter().filter(|m| m["type"] == "caller").map(|m| {
            let channel = m["uuid"].as_str().unwrap_or_default();
            let member = MemberView {
                muted: m["flags"]["can_speak"] == false,
                deaf: m["flags"]["can_hear"] == false,
                held: m["flags"]["hold"] == true,
            };
            (format!("{}-{channel}", node.id), member)
        });
        let room = RoomView {
            locked: conference["locked"] == true,
            recorded,
            members: members.collect(),
        };
        view.rooms.insert(name.to_owned(), room);
    }
    let channels = node.channels().await?.into_iter();
    view.calls
        .extend(channels.map(|channel| format!("{}-{channel}", node.id)));
    Some(())
}

/// Reads the state in this controller's API.
async fn api_view(controller: &Controller) -> View {
    let mut view = View::default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for room in list_all(controller, "/conferences", "conferences").await {
        let id = text(&room["room_id"]);
        let members = list_all(controller, &format!("/conferences/{id}/members"), "members").await;
        let members = members.iter().map(|m| {
            let member = MemberView {
                muted: m["muted"] == true,
                deaf: m["deaf"] == true,
                held: m["held"] == true,
            };
            (text(&m["uuid"]), member)
        });
        let room = RoomView {
            locked: room["locked"] == true,
            recorded: room["recording_status"].is_string(),
            members: members.collect(),
        };
        view.rooms.insert(id, room);
    }
    let calls = list_all(controller, "/sessions", "sessions").await;
    view.calls = calls.iter().map(|call| text(&call["uuid"])).collect();
    view
}

/// Replays the webhooks. Returns the state and the reports that change nothing.
fn webhook_view(receiver: &Receiver) -> (View, Vec<String>) {
    let mut view = View::default();
    let mut unchanged = Vec::new();
    let mut seen = BTreeSet::new();
    for webhook in receiver.all() {
        if webhook.status >= 300 || !seen.insert(webhook.id.clone()) {
            continue;
        }
        let data = &webhook.body["data"];
        let call = webhook.body["session_uuid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let event = webhook.event();
        let changed = if let Some(event) = event.strip_prefix("call.") {
            match event {
                "new" => view.calls.insert(call),
                "hangup" => view.calls.remove(&call),
                _ => true,
            }
        } else {
            let room = view.rooms.entry(webhook.scope().to_owned()).or_default();
            apply_room_event(room, event, call, data)
        };
        if !changed {
            unchanged.push(webhook.text.clone());
        }
    }
    (view, unchanged)
}

/// Applies one webhook of a room. Returns false if it reports a state that the room has already.
fn apply_room_event(room: &mut RoomView, event: &str, call: String, data: &Value) -> bool {
    fn set(value: &mut bool, new: bool) -> bool {
        std::mem::replace(value, new) != new
    }
    let flag = |room: &mut RoomView, change: fn(&mut MemberView) -> bool| {
        room.members.get_mut(&call).is_some_and(change)
    };
    match event {
        "conference.updated" => {
            if let Some(locked) = data["locked"].as_bool() {
                room.locked = locked;
            }
            true
        }
        "conference.recording.started" => set(&mut room.recorded, true),
        "conference.recording.stopped" => set(&mut room.recorded, false),
        "conference.member.joined" => {
            let member = MemberView {
                muted: data["muted"] == true,
                deaf: data["deaf"] == true,
                held: data["held"] == true,
            };
            room.members.insert(call, member).is_none()
        }
        "conference.member.left" => room.members.remove(&call).is_some(),
        "conference.member.muted" => flag(room, |member| set(&mut member.muted, true)),
        "conference.member.unmuted" => flag(room, |member| set(&mut member.muted, false)),
        "conference.member.deafened" => flag(room, |member| set(&mut member.deaf, true)),
        "conference.member.undeafened" => flag(room, |member| set(&mut member.deaf, false)),
        "conference.member.held" => flag(room, |member| set(&mut member.held, true)),
        "conference.member.unheld" => flag(room, |member| set(&mut member.held, false)),
        _ => true,
    }
}

/// Waits until FreeSWITCH, both replicas and the webhooks agree. Returns the elapsed time.
pub async fn until_consistent(actors: &Actors, world: &World, replica: &Controller) -> Duration {
    let start = Instant::now();
    loop {
        let mut real = View::default();
        for node in &actors.nodes {
            // A node that does not answer shows no calls, and the comparison is repeated.
            let _ = add_real(&mut real, node).await;
        }
        let real = real.visible();
        let first = api_view(&world.controller).await.visible();
        let second = api_view(replica).await.visible();
        let (webhooks, unchanged) = webhook_view(&world.receiver);
        let webhooks = webhooks.visible();
        let views = [
            ("first replica", &first),
            ("second replica", &second),
            ("webhooks", &webhooks),
        ];
        if views.iter().all(|(_, view)| **view == real) {
            assert!(unchanged.is_empty(), "reported twice: {unchanged:#?}");
            world.receiver.check_sequences();
            return start.elapsed();
        }
        if start.elapsed() >= CONSISTENCY_TIMEOUT {
            let differences: Vec<_> = views
                .iter()
                .map(|(name, view)| (name, view.differences(&real)))
                .collect();
            panic!("not consistent after {CONSISTENCY_TIMEOUT:?}: {differences:#?}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
