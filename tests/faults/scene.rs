//! The target of a fault: a room with members, a parked call, a controller, and a way to the node that can break.
//!
//! Owns the comparison that every row ends with: what FreeSWITCH has, what the API answers, and what one who only reads
//! the webhooks believes are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::controller::Controller;
use crate::program::poll::{self, PATIENCE};
use crate::program::proxy::Proxy;
use crate::program::receiver::Receiver;
use crate::program::switch::{Line, RealServer, Switch};
use crate::program::world::{PASSWORD, Setup, World};
use crate::report::Report;

pub const RECONNECTS: &str = "roomkeeper_esl_reconnects_total";
pub const RESYNCS: &str = "roomkeeper_reconciler_resyncs_total";

/// How large a row's numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Short,
    Long,
}

impl Form {
    /// Reads the form requested for this run of the tests.
    pub fn given() -> Self {
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

    /// A limit that is promised, and in the short form the time that a machine takes which runs all other tests as well, and
    /// whose host has other machines: what is held there is that it comes about, in the long form also how soon.
    pub fn within(&self, limit: Duration) -> Duration {
        limit + self.pick(Duration::from_secs(10), Duration::from_millis(500))
    }

    pub async fn switch(&self) -> Switch {
        match &self.server {
            None => Switch::simulated(PASSWORD).await,
            Some(server) => Switch::real(server.clone(), Line::given()),
        }
    }

    pub async fn scene(&self, setup: Setup) -> Scene {
        self.scene_on(self.switch().await, setup).await
    }

    pub async fn scene_on(&self, switch: Switch, mut setup: Setup) -> Scene {
        let proxy = Proxy::start(switch.address()).await;
        setup.by_way_of.get_or_insert(proxy.address);
        let world = setup.start_with(switch).await;
        world.controller.until_ready().await;
        world.controller.until_synced().await;
        let room = world.room("faults").await;
        let mut calls = Vec::new();
        for caller in ["1001", "1002", "1003"] {
            calls.push(world.call(caller).await);
        }
        let [session, other, parked] = <[String; 3]>::try_from(calls).unwrap();
        for member in [&session, &other] {
            world.join(member, &room).await;
        }
        Scene {
            channel: world.channel(&session).to_owned(),
            world,
            proxy,
            room,
            session,
            other,
            parked,
        }
    }
}

pub struct Scene {
    pub world: World,
    pub proxy: Proxy,
    pub room: String,
    /// In the room, muted; so is the other.
    pub session: String,
    pub channel: String,
    pub other: String,
    pub parked: String,
}

/// Rooms that somebody is in, with whether each may speak, and calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    pub rooms: BTreeMap<String, BTreeMap<String, bool>>,
    pub calls: BTreeSet<String>,
}

/// The knowledge of a client that only reads the webhooks.
#[derive(Debug, Default)]
pub struct Heard {
    pub view: View,
    /// Rooms that were made and have not ended.
    pub rooms: BTreeSet<String>,
    /// Changes reported although the state was so already.
    pub doubled: Vec<String>,
    /// How many came more than once under their id.
    pub resent: usize,
}

impl Heard {
    pub fn from(receiver: &Receiver) -> Self {
        let mut heard = Self::default();
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for got in receiver.all() {
            if got.status >= 300 {
                continue;
            }
            let seen = times.entry(got.id.clone()).or_default();
            *seen += 1;
            if *seen > 1 {
                continue;
            }
            let session = got.body["session_uuid"].as_str().unwrap_or_default();
            let view = &mut heard.view;
            let members = view.rooms.entry(got.scope().to_owned()).or_default();
            let is_news = match got.event() {
                "conference.created" => heard.rooms.insert(got.scope().to_owned()),
                "conference.destroyed" => heard.rooms.remove(got.scope()),
                "conference.member.joined" => {
                    let speaks = got.body["data"]["muted"] == false;
                    members.insert(session.to_owned(), speaks).is_none()
                }
                "conference.member.left" => members.remove(session).is_some(),
                "conference.member.muted" => {
                    members.insert(session.to_owned(), false) == Some(true)
                }
                "conference.member.unmuted" => {
                    members.insert(session.to_owned(), true) == Some(false)
                }
                "call.new" => view.calls.insert(session.to_owned()),
                "call.hangup" => view.calls.remove(session),
                _ => true,
            };
            if !is_news {
                heard.doubled.push(got.text.clone());
            }
        }
        heard.view.rooms.retain(|_, members| !members.is_empty());
        heard.resent = times.values().filter(|times| **times > 1).count();
        heard
    }
}

impl View {
    /// The differences from the real state, in few words.
    pub fn against(&self, real: &Self, name: &str) -> String {
        let rooms: BTreeSet<_> = self.rooms.keys().chain(real.rooms.keys()).collect();
        let differ = rooms
            .into_iter()
            .filter(|room| self.rooms.get(*room) != real.rooms.get(*room))
            .map(|room| {
                format!(
                    "{room}: {:?}, really {:?}",
                    self.rooms.get(room),
                    real.rooms.get(room)
                )
            });
        let calls: Vec<_> = self.calls.symmetric_difference(&real.calls).collect();
        let rooms: Vec<_> = differ.take(5).collect();
        format!("{name}: rooms {rooms:#?}, calls {calls:?}")
    }
}

/// FreeSWITCH's view of this world's rooms and calls.
pub async fn truth(world: &World) -> View {
    truth_of(&world.switch, &world.node).await
}

/// FreeSWITCH's view of a node's rooms and calls.
pub async fn truth_of(switch: &Switch, node: &str) -> View {
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

async fn all(controller: &Controller, path: &str, of: &str) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = controller
            .get(&format!("{path}?limit=200&cursor={cursor}"))
            .await;
        if answer.status != 200 {
            // It has ended meanwhile: whoever compares looks again.
            return found;
        }
        found.extend(answer.body[of].as_array().unwrap().iter().cloned());
        answer.body["cursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut cursor);
        if cursor.is_empty() {
            return found;
        }
    }
}

/// This controller's API's view of the world's node, and the existing rooms, also empty ones.
pub async fn told(world: &World, controller: &Controller) -> (View, BTreeSet<String>) {
    let (mut view, mut rooms) = rooms_and_calls(controller).await;
    let of_this_node = |id: &String| id.starts_with(&world.node);
    view.rooms.retain(|id, _| of_this_node(id));
    view.calls.retain(of_this_node);
    rooms.retain(of_this_node);
    (view, rooms)
}

/// This controller's API's view, and the existing rooms, also empty ones.
pub async fn rooms_and_calls(controller: &Controller) -> (View, BTreeSet<String>) {
    let mut view = View::default();
    let mut rooms = BTreeSet::new();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    for room in all(controller, "/conferences", "conferences").await {
        let id = text(&room["room_id"]);
        let members = all(controller, &format!("/conferences/{id}/members"), "members").await;
        let members: BTreeMap<String, bool> = members
            .iter()
            .map(|member| (text(&member["uuid"]), member["muted"] == false))
            .collect();
        if !members.is_empty() {
            view.rooms.insert(id.clone(), members);
        }
        rooms.insert(id);
    }
    let sessions = all(controller, "/sessions", "sessions").await;
    let sessions = sessions.iter().map(|session| text(&session["uuid"]));
    view.calls = sessions.collect();
    (view, rooms)
}

/// Waits until FreeSWITCH, the API and the webhooks tell the same (I1, I3); then no change may have been told twice (I4)
/// and every sequence is whole.
pub async fn settles(world: &World) -> Heard {
    let begun = Instant::now();
    loop {
        let real = truth(world).await;
        let (told, rooms) = told(world, &world.controller).await;
        let mut heard = Heard::from(&world.receiver);
        let of_this_node = |id: &String| id.starts_with(&world.node);
        heard.view.rooms.retain(|id, _| of_this_node(id));
        heard.view.calls.retain(of_this_node);
        heard.rooms.retain(of_this_node);
        let same = real == told && told == heard.view && rooms == heard.rooms;
        if same {
            assert!(heard.doubled.is_empty(), "told twice: {:?}", heard.doubled);
            world.receiver.check_story();
            return heard;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "not the same after {PATIENCE:?}\nFreeSWITCH: {real:?}\nthe API:    {told:?} {rooms:?}\nwebhooks:   {heard:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn until_metric(controller: &Controller, name: &str, label: &str, at_least: f64) {
    let what = format!("{name}{{{label}}} is {at_least}");
    poll::until(&what, poll::REDELIVERY * 2, async || {
        (controller.metric(name, label).await >= at_least).then_some(())
    })
    .await;
}

impl Scene {
    /// Somebody else than the controller changes the member.
    pub async fn somebody_says(&self, what: &str) {
        let id = self.world.member_id(&self.room, &self.channel).await;
        let said = self
            .world
            .fs(&format!("conference {} {what} {id}", self.room))
            .await;
        assert!(said.contains("OK"), "{said}");
    }

    /// Somebody hangs a call up.
    pub async fn hangs_up(&self, session: &str) {
        let channel = self.world.channel(session);
        let said = self.world.fs(&format!("uuid_kill {channel}")).await;
        assert!(said.contains("OK"), "{said}");
    }

    pub fn count(&self, event: &str) -> usize {
        let all = self.world.receiver.delivered(&self.room);
        all.iter().filter(|got| got.event() == event).count()
    }

    /// The next webhook of this event about the room, from now on.
    pub async fn next(&self, event: &str, what: impl AsyncFnOnce()) -> Duration {
        let before = self.count(event);
        let begun = Instant::now();
        what().await;
        self.world.receiver.nth(&self.room, event, before + 1).await;
        begun.elapsed()
    }

    /// Whatever happened before, the controller commands, and hears what happens now.
    pub async fn works(&self) {
        let Self { world, .. } = self;
        let muted = world
            .switch
            .members(PASSWORD, &self.room)
            .await
            .unwrap()
            .iter()
            .any(|(channel, speaks)| *channel == self.channel && !*speaks);
        let (command, told, back, told_back) = if muted {
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
        self.next(told, async || {
            let path = format!("conference/{command}");
            let answer = world.command(&self.session, &path, &json!({})).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
        })
        .await;
        self.next(told_back, async || self.somebody_says(back).await)
            .await;
    }

    /// Ends every row: checks that it works and that all views agree, and returns the report.
    pub async fn report(
        &self,
        fired: impl Into<String>,
        held: impl Into<String>,
        recovery: Option<Duration>,
    ) -> Report {
        self.works().await;
        self.report_quietly(fired, held, recovery).await
    }

    /// The same where the member is not in its room any more.
    pub async fn report_quietly(
        &self,
        fired: impl Into<String>,
        held: impl Into<String>,
        recovery: Option<Duration>,
    ) -> Report {
        let heard = settles(&self.world).await;
        Report {
            fired: fired.into(),
            held: held.into(),
            recovery,
            lost: 0,
            resent: heard.resent,
            doubled: heard.doubled.len(),
        }
    }
}
