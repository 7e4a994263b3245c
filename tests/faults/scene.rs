//! The target of a fault: a room with members, a parked call, a controller, and a proxy to the node.
//!
//! Owns the final comparison of every row: FreeSWITCH, the API and a client that only reads the webhooks have the same
//! state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::controller::Controller;
use crate::program::poll::{self, TIMEOUT};
use crate::program::proxy::Proxy;
use crate::program::receiver::Receiver;
use crate::program::switch::{Line, RealServer, Switch};
use crate::program::world::{PASSWORD, Setup, World};
use crate::report::Report;

pub const RECONNECTS: &str = "roomkeeper_esl_reconnects_total";
pub const RESYNCS: &str = "roomkeeper_reconciler_resyncs_total";

/// The size of a row's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Short,
    Long,
}

impl Form {
    /// Reads the form requested for this run of the tests.
    pub fn from_env() -> Self {
        match std::env::var("ROOMKEEPER_TEST_FAULTS").as_deref() {
            Ok("long") => Self::Long,
            Ok(_) | Err(_) => Self::Short,
        }
    }
}

/// Where and how a row runs.
pub struct Stage {
    pub form: Form,
    pub server: Option<RealServer>,
}

impl Stage {
    pub fn name(&self) -> &'static str {
        if self.server.is_some() {
            "real"
        } else {
            "simulated"
        }
    }

    pub fn pick<T>(&self, short: T, long: T) -> T {
        match self.form {
            Form::Short => short,
            Form::Long => long,
        }
    }

    /// A guaranteed limit with a tolerance. The short form shares the machine with all other tests, so its tolerance is
    /// 10 s and it only checks that the result is reached. The long form checks the time.
    pub fn within(&self, limit: Duration) -> Duration {
        limit + self.pick(Duration::from_secs(10), Duration::from_millis(500))
    }

    pub async fn switch(&self) -> Switch {
        match &self.server {
            None => Switch::simulated(PASSWORD).await,
            Some(server) => Switch::real(server.clone(), Line::from_env()),
        }
    }

    pub async fn scene(&self, setup: Setup) -> Scene {
        self.scene_on(self.switch().await, setup).await
    }

    pub async fn scene_on(&self, switch: Switch, mut setup: Setup) -> Scene {
        let proxy = Proxy::start(switch.address()).await;
        setup.node_address.get_or_insert(proxy.address);
        let world = setup.start_with(switch).await;
        world.controller.until_ready().await;
        world.controller.until_synced().await;
        let room = world.room("faults").await;
        let mut calls = Vec::new();
        for caller in ["1001", "1002", "1003"] {
            calls.push(world.call(caller).await);
        }
        let [call, other, parked] = <[String; 3]>::try_from(calls).unwrap();
        for member in [&call, &other] {
            world.join(member, &room).await;
        }
        Scene {
            channel: world.channel(&call).to_owned(),
            world,
            proxy,
            room,
            call,
            other,
            parked,
        }
    }
}

pub struct Scene {
    pub world: World,
    pub proxy: Proxy,
    pub room: String,
    /// In the room, muted, like `other`.
    pub call: String,
    pub channel: String,
    pub other: String,
    pub parked: String,
}

/// Rooms with members, each member's permission to speak, and calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    pub rooms: BTreeMap<String, BTreeMap<String, bool>>,
    pub calls: BTreeSet<String>,
}

/// The state according to the webhooks.
#[derive(Debug, Default)]
pub struct WebhookView {
    pub view: View,
    /// Existing rooms, also empty ones.
    pub rooms: BTreeSet<String>,
    /// Reported changes that do not change the state.
    pub doubled: Vec<String>,
    /// The number of ids delivered more than once.
    pub resent: usize,
}

impl WebhookView {
    pub fn from_receiver(receiver: &Receiver) -> Self {
        let mut result = Self::default();
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for webhook in receiver.all() {
            if webhook.status >= 300 {
                continue;
            }
            let count = times.entry(webhook.id.clone()).or_default();
            *count += 1;
            if *count > 1 {
                continue;
            }
            let call = webhook.body["session_uuid"].as_str().unwrap_or_default();
            let view = &mut result.view;
            let members = view.rooms.entry(webhook.scope().to_owned()).or_default();
            let is_change = match webhook.event() {
                "conference.created" => result.rooms.insert(webhook.scope().to_owned()),
                "conference.destroyed" => result.rooms.remove(webhook.scope()),
                "conference.member.joined" => {
                    let speaks = webhook.body["data"]["muted"] == false;
                    members.insert(call.to_owned(), speaks).is_none()
                }
                "conference.member.left" => members.remove(call).is_some(),
                "conference.member.muted" => members.insert(call.to_owned(), false) == Some(true),
                "conference.member.unmuted" => members.insert(call.to_owned(), true) == Some(false),
                "call.new" => view.calls.insert(call.to_owned()),
                "call.hangup" => view.calls.remove(call),
                _ => true,
            };
            if !is_change {
                result.doubled.push(webhook.text.clone());
            }
        }
        result.view.rooms.retain(|_, members| !members.is_empty());
        result.resent = times.values().filter(|times| **times > 1).count();
        result
    }
}

impl View {
    /// Describes the differences from the real state.
    pub fn describe_differences(&self, real: &Self, name: &str) -> String {
        let rooms: BTreeSet<_> = self.rooms.keys().chain(real.rooms.keys()).collect();
        let differ = rooms
            .into_iter()
            .filter(|room| self.rooms.get(*room) != real.rooms.get(*room))
            .map(|room| {
                format!(
                    "{room}: {:?}, in FreeSWITCH {:?}",
                    self.rooms.get(room),
                    real.rooms.get(room)
                )
            });
        let calls: Vec<_> = self.calls.symmetric_difference(&real.calls).collect();
        let rooms: Vec<_> = differ.take(5).collect();
        format!("{name}: rooms {rooms:#?}, calls {calls:?}")
    }
}

/// The state of this world's node in FreeSWITCH.
pub async fn freeswitch_view(world: &World) -> View {
    freeswitch_view_for(&world.switch, &world.node).await
}

/// The state of a node in FreeSWITCH.
pub async fn freeswitch_view_for(switch: &Switch, node: &str) -> View {
    let text = switch.api(PASSWORD, "conference json_list").await;
    let list: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let mut view = View::default();
    for conference in list.as_array().into_iter().flatten() {
        let name = conference["conference_name"].as_str().unwrap_or_default();
        if !name.starts_with(&format!("{node}-room-")) {
            continue;
        }
        let members = conference["members"].as_array().into_iter().flatten();
        let members: BTreeMap<String, bool> = members
            .filter(|m| m["type"] == "caller")
            .map(|m| {
                let channel = m["uuid"].as_str().unwrap_or_default();
                (format!("{node}-{channel}"), m["flags"]["can_speak"] == true)
            })
            .collect();
        if !members.is_empty() {
            view.rooms.insert(name.to_owned(), members);
        }
    }
    let channels = switch.channels(PASSWORD).await;
    view.calls = channels
        .iter()
        .map(|channel| format!("{node}-{channel}"))
        .collect();
    view
}

/// All rows of a list of the API.
pub async fn list_all(controller: &Controller, path: &str, key: &str) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = controller
            .get(&format!("{path}?limit=200&cursor={cursor}"))
            .await;
        if answer.status != 200 {
            // The room has ended meanwhile: the caller compares again.
            return found;
        }
        found.extend(answer.body[key].as_array().unwrap().iter().cloned());
        answer.body["cursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut cursor);
        if cursor.is_empty() {
            return found;
        }
    }
}

/// The state of the world's node in this controller's API, and the existing rooms, also empty ones.
pub async fn api_view(world: &World, controller: &Controller) -> (View, BTreeSet<String>) {
    let (mut view, mut rooms) = api_view_of_all_nodes(controller).await;
    let of_this_node = |id: &String| id.starts_with(&world.node);
    view.rooms.retain(|id, _| of_this_node(id));
    view.calls.retain(of_this_node);
    rooms.retain(of_this_node);
    (view, rooms)
}

/// The state in this controller's API, and the existing rooms, also empty ones.
pub async fn api_view_of_all_nodes(controller: &Controller) -> (View, BTreeSet<String>) {
    let mut view = View::default();
    let mut rooms = BTreeSet::new();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    for room in list_all(controller, "/conferences", "conferences").await {
        let id = text(&room["room_id"]);
        let members = list_all(controller, &format!("/conferences/{id}/members"), "members").await;
        let members: BTreeMap<String, bool> = members
            .iter()
            .map(|member| (text(&member["uuid"]), member["muted"] == false))
            .collect();
        if !members.is_empty() {
            view.rooms.insert(id.clone(), members);
        }
        rooms.insert(id);
    }
    let calls = list_all(controller, "/sessions", "sessions").await;
    let calls = calls.iter().map(|call| text(&call["uuid"]));
    view.calls = calls.collect();
    (view, rooms)
}

/// Waits until FreeSWITCH, the API and the webhooks agree (I1, I3). Then checks that no change was reported twice (I4)
/// and that every sequence is complete.
pub async fn until_consistent(world: &World) -> WebhookView {
    let start = Instant::now();
    loop {
        let real = freeswitch_view(world).await;
        let (api, rooms) = api_view(world, &world.controller).await;
        let mut webhooks = WebhookView::from_receiver(&world.receiver);
        let of_this_node = |id: &String| id.starts_with(&world.node);
        webhooks.view.rooms.retain(|id, _| of_this_node(id));
        webhooks.view.calls.retain(of_this_node);
        webhooks.rooms.retain(of_this_node);
        let agree = real == api && api == webhooks.view && rooms == webhooks.rooms;
        if agree {
            assert!(
                webhooks.doubled.is_empty(),
                "reported twice: {:?}",
                webhooks.doubled
            );
            world.receiver.check_sequences();
            return webhooks;
        }
        assert!(
            start.elapsed() < TIMEOUT,
            "different after {TIMEOUT:?}\nFreeSWITCH: {real:?}\nthe API:    {api:?} {rooms:?}\nwebhooks:   {webhooks:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn until_metric(controller: &Controller, name: &str, label: &str, at_least: f64) {
    let condition = format!("{name}{{{label}}} is at least {at_least}");
    poll::until(&condition, poll::REDELIVERY * 2, async || {
        (controller.metric(name, label).await >= at_least).then_some(())
    })
    .await;
}

impl Scene {
    /// Runs a conference command on the member in FreeSWITCH, past the controller.
    pub async fn change_member(&self, command: &str) {
        let id = self.world.member_id(&self.room, &self.channel).await;
        let reply = self
            .world
            .fs(&format!("conference {} {command} {id}", self.room))
            .await;
        assert!(reply.contains("OK"), "{reply}");
    }

    /// Hangs a call up in FreeSWITCH, past the controller.
    pub async fn hang_up(&self, call: &str) {
        let channel = self.world.channel(call);
        let reply = self.world.fs(&format!("uuid_kill {channel}")).await;
        assert!(reply.contains("OK"), "{reply}");
    }

    pub fn count(&self, event: &str) -> usize {
        let all = self.world.receiver.delivered(&self.room);
        all.iter()
            .filter(|webhook| webhook.event() == event)
            .count()
    }

    /// Runs an action and waits for the room's next webhook of this event. Returns the elapsed time.
    pub async fn time_until(&self, event: &str, action: impl AsyncFnOnce()) -> Duration {
        let before = self.count(event);
        let start = Instant::now();
        action().await;
        self.world.receiver.nth(&self.room, event, before + 1).await;
        start.elapsed()
    }

    /// Checks that the controller carries out a command and reports a change made in FreeSWITCH.
    pub async fn check_commands_and_webhooks(&self) {
        let Self { world, .. } = self;
        let muted = world
            .switch
            .members(PASSWORD, &self.room)
            .await
            .unwrap()
            .iter()
            .any(|(channel, speaks)| *channel == self.channel && !*speaks);
        let (command, event, opposite, opposite_event) = if muted {
            (
                "unmute",
                "conference.member.unmuted",
                "mute",
                "conference.member.muted",
            )
        } else {
            (
                "mute",
                "conference.member.muted",
                "unmute",
                "conference.member.unmuted",
            )
        };
        self.time_until(event, async || {
            let path = format!("conference/{command}");
            let answer = world.command(&self.call, &path, &json!({})).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
        })
        .await;
        self.time_until(opposite_event, async || self.change_member(opposite).await)
            .await;
    }

    /// Ends a row: checks commands, webhooks and that all views agree. Returns the report.
    pub async fn report(
        &self,
        fired: impl Into<String>,
        held: impl Into<String>,
        recovery: Option<Duration>,
    ) -> Report {
        self.check_commands_and_webhooks().await;
        self.report_without_commands(fired, held, recovery).await
    }

    /// Ends a row whose member has left its room: checks that all views agree. Returns the report.
    pub async fn report_without_commands(
        &self,
        fired: impl Into<String>,
        held: impl Into<String>,
        recovery: Option<Duration>,
    ) -> Report {
        let webhooks = until_consistent(&self.world).await;
        Report {
            fired: fired.into(),
            held: held.into(),
            recovery,
            lost: 0,
            resent: webhooks.resent,
            doubled: webhooks.doubled.len(),
        }
    }
}
