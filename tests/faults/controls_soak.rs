//! A soak of all controls on two real FreeSWITCH nodes: SIP calls receive random commands of every kind, from the API of
//! two replicas and from FreeSWITCH's own console, and rooms call telephones, while controllers, Redis and nodes are
//! killed. Afterwards the API, the webhooks and FreeSWITCH's lists show the same rooms, members, flags, settings,
//! recordings and coaches; no call was hung up and no room ended without a request; nobody was called twice; and every
//! dial-out and every request for digits has one result.
//!
//! Requires FreeSWITCH and `sipp`. `tests/run --soak [SECONDS]` runs the long form; the ordinary tests run a short one.

mod callees;
mod catalog;
mod kills;
mod story;
mod verdict;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::callers::{self, Callers};
use crate::program::controller::KEY;
use crate::program::freeswitch::{FreeSwitch, installed};
use crate::program::media::MediaServer;
use crate::program::switch::{DID, Line, RealServer, Switch, real_app};
use crate::program::world::{PASSWORD, Setup, Store, World};

use callees::{Callees, Dial};
use catalog::{Choice, Mark, Source};
use kills::Kills;

/// The id of the second node. The first one has a random id.
const SECOND_NODE: &str = "soak2";

/// Calls that are up on each node, as far as nothing ends them.
const CALLS: usize = 12;

/// Rooms on each node.
const ROOMS: usize = 3;

/// Callers of the API that act at the same time.
const ACTORS: u64 = 4;

/// Pause between two actions of an actor.
const PACE: Duration = Duration::from_millis(150);

/// Time limit for agreement after the load. A delivery that has failed four times is repeated after two minutes.
const CONSISTENCY_TIMEOUT: Duration = Duration::from_secs(240);

/// Reads the length of the run and the pause between two faults. The default is a short run.
fn size() -> (Duration, Duration) {
    let seconds = std::env::var("ROOMKEEPER_TEST_SOAK").ok();
    seconds.and_then(|text| text.parse().ok()).map_or(
        (Duration::from_secs(32), Duration::from_secs(5)),
        |seconds| (Duration::from_secs(seconds), Duration::from_secs(15)),
    )
}

/// A node as the actors see it.
struct Node {
    id: String,
    server: RealServer,
    /// Channels that are up, refreshed while the soak runs.
    channels: Mutex<Vec<String>>,
    /// Rooms with their members' channels, refreshed like the channels.
    members: Mutex<Vec<(String, String)>>,
    /// Open rooms.
    rooms: Mutex<Vec<String>>,
}

impl Node {
    /// Runs one `api` command; `None` while the server is down.
    async fn ask(&self, command: &str) -> Option<String> {
        let (server, command) = (self.server.clone(), command.to_owned());
        tokio::task::spawn_blocking(move || server.ask(&command).ok())
            .await
            .unwrap()
    }

    /// All channels; `None` while the server is down.
    async fn list_channels(&self) -> Option<Vec<Value>> {
        let text = self.ask("show channels as json").await?;
        let list: Value = serde_json::from_str(&text).ok()?;
        Some(list["rows"].as_array().cloned().unwrap_or_default())
    }

    /// The channels that are up; `None` while the server is down.
    async fn channels(&self) -> Option<BTreeSet<String>> {
        let rows = self.list_channels().await?;
        let answered = rows.iter().filter(|row| row["callstate"] == "ACTIVE");
        let channels = answered.filter_map(|row| row["uuid"].as_str());
        Some(channels.map(str::to_owned).collect())
    }

    /// The rooms with their members' channels; `None` while the server is down.
    async fn members(&self) -> Option<Vec<(String, String)>> {
        let text = self.ask("conference json_list").await?;
        let list: Value = serde_json::from_str(&text).ok()?;
        let mut found = Vec::new();
        for conference in list.as_array().into_iter().flatten() {
            let name = conference["conference_name"].as_str().unwrap_or_default();
            let members = conference["members"].as_array().into_iter().flatten();
            let channels = members.filter_map(|member| member["uuid"].as_str());
            found.extend(channels.map(|channel| (name.to_owned(), channel.to_owned())));
        }
        Some(found)
    }
}

/// The actors' common state.
struct Actors {
    client: reqwest::Client,
    replicas: [u16; 2],
    app: String,
    nodes: Vec<Node>,
    sound: String,
    callees: Callees,
    /// Answers by command and status; 0 stands for no answer.
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// Sessions that somebody hung up, or whose node was killed.
    hung_up: Mutex<BTreeSet<String>>,
    /// The times in which requests or killed nodes hung up any call of a room, or of a node.
    hangup_times: Mutex<Vec<(String, Instant, Instant)>>,
    /// The accepted requests for digits.
    gathers: Mutex<BTreeSet<String>>,
    /// The rooms whose end was requested.
    deleted: Mutex<BTreeSet<String>>,
    names: Mutex<u64>,
    ended: AtomicBool,
}

impl Actors {
    async fn request(
        &self,
        rng: &mut SmallRng,
        name: &'static str,
        (method, path): (&str, &str),
        body: &Value,
    ) -> Option<(u16, Value)> {
        let port = self.replicas.choose(rng).expect("two replicas");
        let request = self
            .client
            .request(
                method.parse().unwrap(),
                format!("http://127.0.0.1:{port}/api/v1{path}"),
            )
            .header("X-App-ID", &self.app)
            .header("X-API-Key", KEY)
            .header("Content-Type", "application/json")
            .body(body.to_string());
        let answer = async {
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            let body = answer.bytes().await.ok()?;
            Some((status, serde_json::from_slice(&body).unwrap_or_default()))
        };
        let answer: Option<(u16, Value)> = answer.await;
        let status = answer.as_ref().map_or(0, |(status, _)| *status);
        let mut answers = self.answers.lock().unwrap();
        *answers.entry((name, status)).or_default() += 1;
        answer
    }

    /// Creates a room. A lost answer leaves a room that nobody uses.
    async fn create_room(&self, rng: &mut SmallRng, node: &Node) {
        let name = {
            let mut names = self.names.lock().unwrap();
            *names += 1;
            format!("room-{names}")
        };
        let body = json!({ "name": name, "node": node.id });
        let request = ("POST", "/conferences");
        if let Some((201, answer)) = self.request(rng, "create", request, &body).await {
            let room = answer["room_id"].as_str().unwrap().to_owned();
            node.rooms.lock().unwrap().push(room);
        }
    }

    /// Performs one random action.
    async fn act(&self, rng: &mut SmallRng) {
        let node = self.nodes.choose(rng).expect("nodes");
        let rooms = node.rooms.lock().unwrap().clone();
        let channels = node.channels.lock().unwrap().clone();
        if rooms.len() < ROOMS {
            return self.create_room(rng, node).await;
        }
        let (Some(room), Some(channel)) = (rooms.choose(rng), channels.choose(rng)) else {
            return;
        };
        let members = node.members.lock().unwrap().clone();
        // Most commands name a member, the others any room and any call.
        let member = members.choose(rng).filter(|_| rng.random_bool(0.8));
        let (room, other, channel) = member.map_or((room, room, channel), |(joined, channel)| {
            (joined, room, channel)
        });
        let id = |channel: &String| format!("{}-{channel}", node.id);
        let (call, other_call) = (id(channel), id(channels.choose(rng).unwrap_or(channel)));
        let inside: BTreeSet<&String> = members
            .iter()
            .filter(|(joined, _)| joined == room)
            .map(|(_, channel)| channel)
            .collect();
        let others = channels.iter().filter(|channel| !inside.contains(channel));
        let others: Vec<String> = others.map(id).collect();
        let dial = self.callees.any_path(rng);
        let choice = Choice {
            room,
            other_room: other,
            call: &call,
            channel,
            other_call: &other_call,
            sound: &self.sound,
            callee: self.callees.choose(rng),
            dial: dial.as_deref().unwrap_or("/conferences/none/calls/none"),
            others: &others,
        };
        let action = catalog::choose(rng);
        self.note(
            action.mark,
            &choice,
            inside.iter().map(|channel| id(channel)),
        );
        let begin = Instant::now();
        match (action.source)(rng, &choice) {
            Source::Api(method, path, body) => {
                // Any answer is permitted; the final state counts.
                let answer = self.request(rng, action.name, (method, &path), &body).await;
                let is_missing = matches!(answer, Some((404, _)));
                self.note_answer(action.mark, &choice, &body, (answer, begin));
                if is_missing {
                    self.forget_ended_room(rng, node, room).await;
                }
            }
            Source::Console(command) => {
                let answer = node.ask(&command).await;
                let status = answer.map_or(0, |text| if text.contains("-ERR") { 400 } else { 200 });
                let mut answers = self.answers.lock().unwrap();
                *answers.entry((action.name, status)).or_default() += 1;
            }
        }
    }

    /// Notes what a command may do before it is sent.
    fn note(&self, mark: Mark, choice: &Choice<'_>, members: impl Iterator<Item = String>) {
        match mark {
            Mark::HangsUp => {
                self.hung_up.lock().unwrap().insert(choice.call.to_owned());
            }
            Mark::HangsUpAll => self.hung_up.lock().unwrap().extend(members),
            Mark::EndsRoom => {
                self.deleted.lock().unwrap().insert(choice.room.to_owned());
            }
            Mark::Cancels => {
                let mut dials = self.callees.dials();
                let mut all = dials.accepted.values_mut();
                if let Some(dial) = all.find(|dial| dial.path == choice.dial) {
                    dial.cancelled = true;
                }
            }
            Mark::None | Mark::Gathers | Mark::Dials => {}
        }
    }

    /// Notes what an answer promises.
    fn note_answer(
        &self,
        mark: Mark,
        choice: &Choice<'_>,
        request: &Value,
        (answer, begin): (Option<(u16, Value)>, Instant),
    ) {
        if mark == Mark::HangsUpAll {
            // Calls that joined meanwhile are hung up as well.
            let time = (choice.room.to_owned(), begin, Instant::now());
            self.hangup_times.lock().unwrap().push(time);
        }
        let Some((202, answer)) = answer else {
            return;
        };
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        match mark {
            Mark::Gathers => {
                self.gathers.lock().unwrap().insert(text("operation_id"));
            }
            Mark::Dials => {
                let call = text("call_id");
                let dial = Dial {
                    path: format!("/conferences/{}/calls/{call}", choice.room),
                    call,
                    attempts: 1 + request["retries"].as_u64().unwrap_or_default() as usize,
                    cancelled: false,
                };
                let mut dials = self.callees.dials();
                dials.accepted.insert(choice.callee.0, dial);
            }
            Mark::None | Mark::HangsUp | Mark::HangsUpAll | Mark::EndsRoom | Mark::Cancels => {}
        }
    }

    /// Forgets a room that the API no longer has: a setting or a request ended it.
    async fn forget_ended_room(&self, rng: &mut SmallRng, node: &Node, room: &str) {
        let path = format!("/conferences/{room}");
        let found = self.request(rng, "get", ("GET", &path), &json!({})).await;
        if matches!(found, Some((404, _))) {
            node.rooms.lock().unwrap().retain(|open| open != room);
        }
    }

    /// Refreshes the channels of all nodes and replaces calls that have ended.
    async fn refresh(
        &self,
        callers: &mut Callers,
        sip: &[std::net::SocketAddr],
        scenario: &std::path::Path,
    ) {
        for (node, sip) in self.nodes.iter().zip(sip) {
            let Some(up) = node.channels().await else {
                continue;
            };
            *node.members.lock().unwrap() = node.members().await.unwrap_or_default();
            let missing = CALLS.saturating_sub(up.len());
            *node.channels.lock().unwrap() = up.into_iter().collect();
            // Calls that were just placed are not up yet, so there can be some more.
            if missing > CALLS / 4 {
                callers.place(*sip, scenario, DID, missing);
            }
        }
    }
}

/// Runs the soak and returns its summary.
pub async fn soak() -> String {
    let (span, fault_every) = size();
    let app = real_app();
    let mut servers = Vec::new();
    for _ in 0..2 {
        let settings = [
            ("RK_ESL_PASSWORD", PASSWORD),
            ("RK_ESL_ACL", "127.0.0.1/32"),
            ("RK_APP", &app),
        ];
        servers.push(FreeSwitch::start(installed().expect("a FreeSWITCH"), &settings).await);
    }
    let sip: Vec<_> = servers.iter().map(|server| server.sip).collect();
    let mut setup = Setup::with_short_timeouts(Store::DurableRedis);
    setup.lease_ttl = 4;
    setup.resync_interval = 10;
    let second = (SECOND_NODE.to_owned(), servers[1].server.address);
    setup.more_nodes.push(second);
    let dial = [
        ("ROOMKEEPER_DIAL__ADDRESS", "sofia/inbound/${address}"),
        ("ROOMKEEPER_DIAL__ALLOW__0__APP", "*"),
        ("ROOMKEEPER_DIAL__ALLOW__0__DOMAINS", "[127.0.0.1]"),
    ];
    let environment = dial.map(|(name, value)| (name.to_owned(), value.to_owned()));
    setup.environment = environment.to_vec();
    let line = Line::Sip(servers[0].sip.to_string());
    let switch = Switch::real(servers[0].server.clone(), line);
    let mut world = setup.start_with(switch).await;
    let mut replica = world.replica(|config| config, environment.to_vec());
    for controller in [&world.controller, &replica] {
        controller.until_ready().await;
    }
    let seed: u64 = rand::random();
    let media = MediaServer::start().await;
    let node = |id: &str, server: &FreeSwitch| Node {
        id: id.to_owned(),
        server: server.server.clone(),
        channels: Mutex::default(),
        members: Mutex::default(),
        rooms: Mutex::default(),
    };
    let actors = Arc::new(Actors {
        client: reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap(),
        replicas: [world.controller.http(), replica.http()],
        app: world.app.clone(),
        nodes: vec![
            node(&world.node, &servers[0]),
            node(SECOND_NODE, &servers[1]),
        ],
        sound: media.add("sound.wav", Some(Duration::from_secs(2))),
        callees: Callees::start(seed).await,
        answers: Mutex::default(),
        hung_up: Mutex::default(),
        hangup_times: Mutex::default(),
        gathers: Mutex::default(),
        deleted: Mutex::default(),
        names: Mutex::default(),
        ended: AtomicBool::new(false),
    });
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("caller.xml");
    fs::write(&scenario, callers::scenario(70)).unwrap();
    let mut callers = Callers::default();
    println!("soak of controls: seed {seed}, {span:?}");
    let start = Instant::now();
    let tasks = start_actors(&actors, seed);
    let mut kills = Kills::new(seed, fault_every);
    // The pace of the supervision, not a wait for a condition.
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    while start.elapsed() < span {
        beat.tick().await;
        actors.refresh(&mut callers, &sip, &scenario).await;
        kills
            .inject_if_due(
                start.elapsed(),
                &actors,
                &mut servers,
                &mut world,
                &mut replica,
            )
            .await;
    }
    actors.ended.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    let (recovery, story) = views::until_consistent(&actors, &world, &replica).await;
    let text = summary(&actors, &world, &kills, recovery);
    verdict::check(&actors, &story, &text);
    text
}

fn start_actors(actors: &Arc<Actors>, seed: u64) -> Vec<tokio::task::JoinHandle<()>> {
    let start_one = |actor: u64| {
        let actors = Arc::clone(actors);
        let mut rng = SmallRng::seed_from_u64(seed ^ (actor + 1));
        tokio::spawn(async move {
            // The pace of the load, not a wait for a condition.
            let mut beat = tokio::time::interval(PACE);
            while !actors.ended.load(Ordering::SeqCst) {
                beat.tick().await;
                actors.act(&mut rng).await;
            }
        })
    };
    (0..ACTORS).map(start_one).collect()
}

fn summary(actors: &Actors, world: &World, kills: &Kills, recovery: Duration) -> String {
    let answers = actors.answers.lock().unwrap().clone();
    let mut by_command: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((name, status), count) in &answers {
        let list = by_command.entry(name).or_default();
        list.push(format!("{status}: {count}"));
    }
    let mut text = format!(
        "soak of controls: {kills}; consistent {:.1} s after the end; {} webhooks\n",
        recovery.as_secs_f64(),
        world.receiver.count()
    );
    for (name, list) in by_command {
        text += &format!("  {name}: {}\n", list.join(", "));
    }
    assert!(
        kills.all_kinds_occurred(),
        "a kind of fault is missing\n{text}"
    );
    let refused: Vec<_> = answers
        .keys()
        .filter(|(_, status)| *status == 500)
        .collect();
    assert!(refused.is_empty(), "internal errors\n{text}");
    text
}
