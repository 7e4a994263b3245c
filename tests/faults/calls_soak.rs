//! A soak of calls on a real FreeSWITCH: SIP calls join, leave, mute and unmute at random through two replicas, while
//! rooms are created and deleted. Afterwards every call is still up.
//!
//! Requires FreeSWITCH and `sipp`. Starts its own server with `freeswitch-conf/`. Half of the callers
//! send a `Max-Forwards` that is lower than the number of their transfers. `tests/run --soak [SECONDS]` runs the long
//! form; the ordinary tests run a short one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::callers::{self, Callers};
use crate::program::controller::Controller;
use crate::program::freeswitch::{EventCounter, FreeSwitch, installed};
use crate::program::poll;
use crate::program::switch::{Line, Switch, real_app};
use crate::program::world::{Setup, Store, World};
use crate::scene::{View, WebhookView, api_view_of_all_nodes, freeswitch_view_for};
use crate::support::process;

/// Calls in total; half of them arrive with [`LOW_MAX_FORWARDS`].
const CALLS: usize = 40;

/// A `Max-Forwards` below the number of transfers of any call in the short form.
const LOW_MAX_FORWARDS: u32 = 4;

const ROOMS: usize = 6;

/// Callers that act at the same time.
const ACTORS: u64 = 4;

/// Time limit for agreement after the load.
const CONSISTENCY_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two actions of an actor: 4 actors at this pace are 40 actions a second.
const PACE: Duration = Duration::from_millis(100);

/// The missing requirement of the soak, if any.
pub fn missing() -> Option<&'static str> {
    if installed().is_none() {
        Some("no FreeSWITCH is installed")
    } else if !process::installed("sipp") {
        Some("sipp is not installed")
    } else {
        None
    }
}

/// Reads the length of the run. The default is a short one.
fn duration() -> Duration {
    let seconds = std::env::var("ROOMKEEPER_TEST_SOAK").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(20))
}

struct Actions {
    client: reqwest::Client,
    replicas: [u16; 2],
    app: String,
    key: &'static str,
    node: String,
    calls: Vec<String>,
    rooms: Mutex<Vec<String>>,
    created: AtomicU64,
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// Error texts of 502 answers, which are refusals of FreeSWITCH.
    refusals: Mutex<BTreeMap<String, u64>>,
}

impl Actions {
    async fn request(
        &self,
        rng: &mut SmallRng,
        action: &'static str,
        (method, path): (&str, &str),
        body: &Value,
    ) -> (u16, Value) {
        let port = self.replicas.choose(rng).expect("two replicas");
        let answer = self
            .client
            .request(
                method.parse().unwrap(),
                format!("http://127.0.0.1:{port}/api/v1{path}"),
            )
            .header("X-App-ID", &self.app)
            .header("X-API-Key", self.key)
            .header("Content-Type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("a replica answers");
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.expect("a whole answer");
        let body: Value = serde_json::from_slice(&bytes).expect("every answer is JSON");
        *self
            .answers
            .lock()
            .unwrap()
            .entry((action, status))
            .or_default() += 1;
        if status == 502 {
            let text = body["error"].as_str().unwrap_or_default().to_owned();
            *self.refusals.lock().unwrap().entry(text).or_default() += 1;
        }
        (status, body)
    }

    async fn create_room(&self, rng: &mut SmallRng) -> String {
        let name = format!("room-{}", self.created.fetch_add(1, Ordering::SeqCst));
        let body = json!({ "name": name, "node": self.node });
        let (status, answer) = self
            .request(rng, "create", ("POST", "/conferences"), &body)
            .await;
        assert_eq!(status, 201, "{answer}");
        answer["room_id"].as_str().unwrap().to_owned()
    }

    /// Replaces a room by a new one. The old one's members are parked while other calls join it.
    async fn replace_room(&self, rng: &mut SmallRng) {
        let new = self.create_room(rng).await;
        let old = {
            let mut rooms = self.rooms.lock().unwrap();
            let index = rng.random_range(0..rooms.len());
            std::mem::replace(&mut rooms[index], new)
        };
        let path = format!("/conferences/{old}");
        let (status, answer) = self
            .request(rng, "delete", ("DELETE", &path), &json!({}))
            .await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn act(&self, rng: &mut SmallRng) {
        let room = self.rooms.lock().unwrap().choose(rng).unwrap().clone();
        let call = self.calls.choose(rng).expect("calls").clone();
        let command = |name: &str| format!("/sessions/{call}/commands/conference/{name}");
        let (action, path, body) = match rng.random_range(0..100) {
            0..2 => return self.replace_room(rng).await,
            2..40 => ("leave", command("leave"), json!({})),
            40..52 => ("mute", command("mute"), json!({})),
            52..64 => ("unmute", command("unmute"), json!({})),
            _ => ("join", command("join"), json!({ "room_id": room })),
        };
        // Any answer is permitted; the final state counts.
        let _answer = self.request(rng, action, ("POST", &path), &body).await;
    }
}

/// Places the calls and returns their channels.
async fn place_calls(server: &FreeSwitch, folder: &std::path::Path) -> (Callers, BTreeSet<String>) {
    let mut callers = Callers::default();
    for max_forwards in [70, LOW_MAX_FORWARDS] {
        let scenario = folder.join(format!("caller-{max_forwards}.xml"));
        fs::write(&scenario, callers::scenario(max_forwards)).unwrap();
        callers.place(server.sip, &scenario, "747713001", CALLS / 2);
    }
    let channels = poll::until("all calls are parked", CONSISTENCY_TIMEOUT, async || {
        let channels = channels(server).await;
        (channels.len() == CALLS).then_some(channels)
    })
    .await;
    (callers, channels)
}

/// The server's channels that are up.
async fn channels(server: &FreeSwitch) -> BTreeSet<String> {
    let text = server.api("show channels as json").await;
    let list: Value = serde_json::from_str(&text).unwrap_or_default();
    let rows = list["rows"].as_array().cloned().unwrap_or_default();
    let answered = rows.iter().filter(|row| row["callstate"] == "ACTIVE");
    answered
        .filter_map(|row| row["uuid"].as_str())
        .map(str::to_owned)
        .collect()
}

/// Bytes of the largest dump of these channels.
async fn largest_dump(server: &FreeSwitch, channels: &BTreeSet<String>) -> usize {
    let mut largest = 0;
    for channel in channels {
        let dump = server.api(&format!("uuid_dump {channel}")).await;
        largest = largest.max(dump.len());
    }
    largest
}

/// Runs the soak and returns its summary.
pub async fn soak() -> String {
    let program = installed().expect("a FreeSWITCH");
    let app = real_app();
    let server = FreeSwitch::start(
        program,
        &[
            ("RK_ESL_PASSWORD", "a-soak-of-calls"),
            ("RK_ESL_ACL", "127.0.0.1/32"),
            ("RK_APP", &app),
        ],
    )
    .await;
    let ended = EventCounter::on(&server.server, &["CHANNEL_HANGUP_COMPLETE"], &[]).await;
    let mut setup = Setup::on(Store::Redis);
    setup.resync_interval = 30;
    let switch = Switch::real(server.server.clone(), Line::Sip(server.sip.to_string()));
    let world = setup.start_with(switch).await;
    world.controller.until_ready().await;
    world.controller.until_synced().await;
    let replica = world.replica(|config| config, Vec::new());
    replica.until_ready().await;
    let folder = tempfile::tempdir().unwrap();
    let (callers, channels_before) = place_calls(&server, folder.path()).await;
    let dump_before = largest_dump(&server, &channels_before).await;
    let calls: Vec<String> = channels_before
        .iter()
        .map(|channel| world.call_id(channel))
        .collect();
    for call in &calls {
        world.receiver.first(call, "call.new").await;
    }

    let seed: u64 = rand::random();
    let span = duration();
    println!("soak of calls: seed {seed}, {CALLS} calls, {span:?}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let actions = Arc::new(Actions {
        client: reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .unwrap(),
        replicas: [world.controller.http(), replica.http()],
        app: world.app.clone(),
        key: crate::program::controller::KEY,
        node: world.node.clone(),
        calls,
        rooms: Mutex::default(),
        created: AtomicU64::new(0),
        answers: Mutex::default(),
        refusals: Mutex::default(),
    });
    for _ in 0..ROOMS {
        let room = actions.create_room(&mut rng).await;
        actions.rooms.lock().unwrap().push(room);
    }
    let start = Instant::now();
    act_at_random(&actions, seed, span).await;
    let recovery = until_consistent(&server, &world, &replica).await;

    let answers = actions.answers.lock().unwrap().clone();
    let refusals = actions.refusals.lock().unwrap().clone();
    let lost: Vec<_> = channels_before
        .difference(&channels(&server).await)
        .cloned()
        .collect();
    let summary = format!(
        "soak of calls: answers {answers:?}, refused by FreeSWITCH {refusals:?}; consistent {:.1} s after the end",
        recovery.as_secs_f64()
    );
    let hangups = hangup_causes(&world, start);
    assert!(
        lost.is_empty() && hangups.is_empty(),
        "{} calls were hung up: {hangups:?}\n{summary}",
        lost.len()
    );
    assert_eq!(ended.count("CHANNEL_HANGUP_COMPLETE"), 0, "{summary}");
    assert!(!refusals.contains_key(""), "{summary}");
    assert!(
        refusals.keys().all(|text| !text.trim_end().ends_with(':')),
        "an error has no text\n{summary}"
    );
    let joins = answers.get(&("join", 202)).copied().unwrap_or(0);
    assert!(
        joins > (CALLS * LOW_MAX_FORWARDS as usize) as u64,
        "too few joins to use up the calls' forwards\n{summary}"
    );
    for call in &actions.calls {
        let answer = world.command(call, "conference/leave", &json!({})).await;
        assert!([202, 404, 409].contains(&answer.status), "{}", answer.body);
    }
    poll::until("all rooms are empty", CONSISTENCY_TIMEOUT, async || {
        freeswitch_view_for(&world.switch, &world.node)
            .await
            .rooms
            .is_empty()
            .then_some(())
    })
    .await;
    let dump_after = largest_dump(&server, &channels_before).await;
    drop(callers);
    format!(
        "{summary}; {joins} joins, no call hung up; largest dump {dump_before} bytes before, {dump_after} after\n"
    )
}

/// Causes of the hang-ups that the webhooks report, each with the number of seconds since the beginning.
fn hangup_causes(world: &World, start: Instant) -> Vec<(String, u64)> {
    let received = world.receiver.all();
    let hangups = received
        .iter()
        .filter(|webhook| webhook.event() == "call.hangup");
    hangups
        .map(|webhook| {
            let cause = webhook.body["data"]["cause"].to_string();
            (cause, webhook.at.saturating_duration_since(start).as_secs())
        })
        .collect()
}

async fn act_at_random(actions: &Arc<Actions>, seed: u64, span: Duration) {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for actor in 0..ACTORS {
        let actions = Arc::clone(actions);
        let mut rng = SmallRng::seed_from_u64(seed ^ (actor + 1));
        tasks.push(tokio::spawn(async move {
            // The pace of the load, not a wait for a condition.
            let mut beat = tokio::time::interval(PACE);
            while start.elapsed() < span {
                beat.tick().await;
                actions.act(&mut rng).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Waits until the server, both replicas and the webhooks agree on rooms, members, mutes and calls.
async fn until_consistent(server: &FreeSwitch, world: &World, replica: &Controller) -> Duration {
    let start = Instant::now();
    loop {
        let mut real = freeswitch_view_for(&world.switch, &world.node).await;
        let up = channels(server).await;
        real.calls = up.iter().map(|channel| world.call_id(channel)).collect();
        let (first, _) = api_view_of_all_nodes(&world.controller).await;
        let (second, _) = api_view_of_all_nodes(replica).await;
        let received = WebhookView::from_receiver(&world.receiver);
        let views: [(&str, &View); 3] = [
            ("first replica", &first),
            ("second replica", &second),
            ("webhooks", &received.view),
        ];
        if views.iter().all(|(_, view)| **view == real) {
            assert!(received.doubled.is_empty(), "{:?}", received.doubled);
            world.receiver.check_sequences();
            return start.elapsed();
        }
        if start.elapsed() >= CONSISTENCY_TIMEOUT {
            let mut text = String::new();
            for (name, view) in views {
                writeln!(text, "{}", view.describe_differences(&real, name)).unwrap();
            }
            panic!("not consistent after {CONSISTENCY_TIMEOUT:?}\n{text}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
