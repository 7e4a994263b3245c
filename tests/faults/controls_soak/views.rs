//! The state of the soak of controls as FreeSWITCH, the API and the webhooks show it, and its comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::controller::Controller;
use crate::program::world::World;
use crate::scene::list_all;

use super::catalog::is_transfer;
use super::story::{MEMBER_SETTINGS, ROOM_SETTINGS, Story, VOLUMES, update};
use super::{Actors, CONSISTENCY_TIMEOUT, Node};

/// A member. FreeSWITCH hides the first two flags while the member is held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemberView {
    pub muted: bool,
    pub deaf: bool,
    pub held: bool,
    pub settings: Value,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoomView {
    pub locked: bool,
    pub recorded: bool,
    pub members: BTreeMap<String, MemberView>,
    /// The members that are recorded by themselves.
    pub taps: BTreeSet<String>,
    pub settings: Value,
    pub plays: bool,
    pub dials: bool,
    /// Its members wait for a moderator: FreeSWITCH lets none of them hear or speak.
    pub waits: bool,
}

/// Rooms with members, calls, coaches with their members, and transferred calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    pub rooms: BTreeMap<String, RoomView>,
    pub calls: BTreeSet<String>,
    pub coaches: BTreeMap<String, String>,
    pub transfers: BTreeSet<String>,
}

impl View {
    /// Hides what FreeSWITCH cannot show while it shows a hold, and rooms without members.
    fn visible(mut self) -> Self {
        self.rooms.retain(|_, room| !room.members.is_empty());
        for room in self.rooms.values_mut() {
            update(&mut room.settings, &Value::Null, &[]);
            for member in room.members.values_mut() {
                if member.held {
                    (member.muted, member.deaf) = (false, false);
                }
            }
        }
        self
    }

    /// Leaves only what FreeSWITCH shows.
    fn in_freeswitch(mut self) -> Self {
        for room in self.rooms.values_mut() {
            let most = &room.settings["max_members"];
            room.settings = Value::Object(
                most.as_u64()
                    .map(|most| ("max_members".to_owned(), most.into()))
                    .into_iter()
                    .collect(),
            );
            (room.plays, room.dials) = (false, false);
            for member in room.members.values_mut() {
                let settings = std::mem::take(&mut member.settings);
                update(&mut member.settings, &settings, VOLUMES);
            }
        }
        self
    }

    /// Hides the flags of members that wait for a moderator in the other view.
    fn waiting_like(self, other: &Self) -> Self {
        let mut view = self.with_waits_of(other);
        let waiting = view.rooms.values_mut().filter(|room| room.waits);
        for member in waiting.flat_map(|room| room.members.values_mut()) {
            (member.muted, member.deaf) = (false, false);
        }
        view
    }

    /// Takes over which rooms wait: no webhook reports the beginning.
    fn with_waits_of(mut self, other: &Self) -> Self {
        for (id, room) in &mut self.rooms {
            room.waits = other.rooms.get(id).is_some_and(|room| room.waits);
        }
        self
    }

    fn differences(&self, real: &Self) -> Vec<String> {
        let rooms: BTreeSet<_> = self.rooms.keys().chain(real.rooms.keys()).collect();
        let mut differences = Vec::new();
        for room in rooms {
            let (mine, theirs) = (self.rooms.get(room), real.rooms.get(room));
            if mine != theirs {
                differences.push(format!("{room}: {mine:?}, but {theirs:?}"));
            }
        }
        let calls = self.calls.symmetric_difference(&real.calls);
        differences.extend(calls.map(|call| format!("call {call}")));
        let transfers = self.transfers.symmetric_difference(&real.transfers);
        differences.extend(transfers.map(|call| format!("transfer of {call}")));
        if self.coaches != real.coaches {
            differences.push(format!(
                "coaches {:?}, but {:?}",
                self.coaches, real.coaches
            ));
        }
        differences
    }
}

/// Adds a node's state in FreeSWITCH; `None` without an answer.
async fn add_real(view: &mut View, node: &Node) -> Option<()> {
    let text = node.ask("conference json_list").await?;
    let list: Value = serde_json::from_str(&text).ok()?;
    let id = |channel: &str| format!("{}-{channel}", node.id);
    for conference in list.as_array().into_iter().flatten() {
        let name = conference["conference_name"].as_str().unwrap_or_default();
        let members = conference["members"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut room = RoomView {
            locked: conference["locked"] == true,
            recorded: members.iter().any(|m| m["type"] == "recording_node"),
            ..RoomView::default()
        };
        update(&mut room.settings, conference, &["max_members"]);
        for member in members.iter().filter(|m| m["type"] == "caller") {
            let channel = member["uuid"].as_str().unwrap_or_default();
            let recordings = node.ask(&format!("uuid_buglist {channel}")).await?;
            if recordings.contains("<function>session_record</function>") {
                room.taps.insert(id(channel));
            }
            let mut view = MemberView {
                muted: member["flags"]["can_speak"] == false,
                deaf: member["flags"]["can_hear"] == false,
                held: member["flags"]["hold"] == true,
                settings: Value::Null,
            };
            update(&mut view.settings, member, VOLUMES);
            let member = view;
            room.members.insert(id(channel), member);
        }
        view.rooms.insert(name.to_owned(), room);
    }
    for channel in node.list_channels().await? {
        let text = |name: &str| channel[name].as_str().unwrap_or_default();
        // The other side of a transfer is no call of the API.
        if is_transfer(text("dest")) {
            continue;
        }
        let call = id(text("uuid"));
        match text("application") {
            "eavesdrop" => {
                let member = id(text("application_data"));
                view.coaches.insert(call.clone(), member);
            }
            "bridge" => {
                view.transfers.insert(call.clone());
            }
            _ => {}
        }
        view.calls.insert(call);
    }
    Some(())
}

/// Reads the state in this controller's API.
async fn api_view(controller: &Controller) -> View {
    let mut view = View::default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for row in list_all(controller, "/conferences", "conferences").await {
        let id = text(&row["room_id"]);
        let members = list_all(controller, &format!("/conferences/{id}/members"), "members").await;
        let dials = controller.get(&format!("/conferences/{id}/calls")).await;
        let dials = dials.body["calls"].as_array();
        let mut room = RoomView {
            locked: row["locked"] == true,
            recorded: row["recording_status"].is_string(),
            plays: row["playback_status"].is_string(),
            dials: dials.is_some_and(|dials| !dials.is_empty()),
            waits: row["waiting"] == true,
            ..RoomView::default()
        };
        update(&mut room.settings, &row, ROOM_SETTINGS);
        for row in members {
            let call = text(&row["uuid"]);
            let mut member = MemberView {
                muted: row["muted"] == true,
                deaf: row["deaf"] == true,
                held: row["held"] == true,
                settings: Value::Null,
            };
            update(&mut member.settings, &row, MEMBER_SETTINGS);
            if row["recording_status"].is_string() {
                room.taps.insert(call.clone());
            }
            if let Some(coach) = row["coach"].as_str() {
                view.coaches.insert(coach.to_owned(), call.clone());
            }
            room.members.insert(call, member);
        }
        view.rooms.insert(id, room);
    }
    let calls = list_all(controller, "/sessions", "sessions").await;
    for call in calls {
        let id = text(&call["uuid"]);
        if call["state"] == "transferring" || call["state"] == "transferred" {
            view.transfers.insert(id.clone());
        }
        view.calls.insert(id);
    }
    view
}

/// Waits until FreeSWITCH, both replicas and the webhooks agree. Returns the elapsed time and the webhooks' story.
pub async fn until_consistent(
    actors: &Actors,
    world: &World,
    replica: &Controller,
) -> (Duration, Story) {
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
        let mut story = Story::read(&world.receiver);
        let webhooks = std::mem::take(&mut story.view).visible();
        let mut differences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, view, other) in [
            (
                "FreeSWITCH, first replica",
                real.waiting_like(&first),
                &first,
            ),
            (
                "webhooks, first replica",
                webhooks.with_waits_of(&first),
                &first,
            ),
            ("second replica, first", second, &first),
        ] {
            let other = match name.starts_with("FreeSWITCH") {
                true => other.clone().waiting_like(other).in_freeswitch(),
                false => other.clone(),
            };
            differences.insert(name, view.differences(&other));
        }
        let unfinished = actors.unfinished(&story);
        differences.insert("unfinished", unfinished);
        differences.retain(|_, list| !list.is_empty());
        if differences.is_empty() {
            assert!(
                story.unchanged.is_empty(),
                "reported twice: {:#?}",
                story.unchanged
            );
            world.receiver.check_sequences();
            return (start.elapsed(), story);
        }
        assert!(
            start.elapsed() < CONSISTENCY_TIMEOUT,
            "not consistent after {CONSISTENCY_TIMEOUT:?}: {differences:#?}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
