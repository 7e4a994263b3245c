//! A soak test with many faults: one of two controllers is killed every 20 s, Redis restarts twice, the receiver fails
//! one request in twenty, and callers join, mute, leave and hang up on four nodes. Afterwards all views must agree, and
//! memory must not have grown.
//!
//! `tests/run --soak [SECONDS]` runs the full size; the ordinary tests run a small one for seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use freeswitch_sim::SimNode;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::program::controller::{Controller, KEY};
use crate::program::poll;
use crate::program::switch::{DID, Switch};
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::scene::{View, WebhookView, api_view_of_all_nodes, freeswitch_view_for};

/// The size of the soak.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    pub rooms: usize,
    pub calls: usize,
    /// Actions per second.
    pub rate: u64,
    pub duration: Duration,
    pub kill_every: Duration,
}

impl Size {
    /// Reads the settings requested for this run of the tests.
    pub fn from_env() -> Self {
        let seconds = std::env::var("ROOMKEEPER_TEST_SOAK").ok();
        match seconds.and_then(|text| text.parse().ok()) {
            Some(seconds) => Self {
                nodes: 4,
                rooms: 200,
                calls: 2_000,
                rate: 60,
                duration: Duration::from_secs(seconds),
                kill_every: Duration::from_secs(20),
            },
            None => Self {
                nodes: 2,
                rooms: 10,
                calls: 60,
                rate: 30,
                duration: Duration::from_secs(12),
                kill_every: Duration::from_secs(5),
            },
        }
    }
}

/// Time limit for agreement after the load. A killed worker's delivery is claimed again after 20 s, and one that has
/// failed four times is repeated after two minutes.
const CONSISTENCY_TIMEOUT: Duration = Duration::from_secs(240);

/// The number of answers by status (0 without an answer), kills and restarts.
#[derive(Default)]
struct Counts {
    answers: Mutex<BTreeMap<u16, u64>>,
    kills: AtomicU64,
    restarts: AtomicU64,
}

struct Caller {
    client: reqwest::Client,
    ports: [u16; 2],
    app: String,
    counts: Arc<Counts>,
}

impl Caller {
    async fn once(
        &self,
        port: u16,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let url = format!("http://127.0.0.1:{port}/api/v1{path}");
        let mut request = self.client.request(method.parse().unwrap(), url);
        request = request
            .header("X-App-ID", &self.app)
            .header("X-API-Key", KEY);
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        let answer = async {
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            let body = answer.bytes().await.ok()?;
            Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        let answer = answer.await;
        let status = answer.as_ref().map_or(0, |(status, _)| *status);
        *self
            .counts
            .answers
            .lock()
            .unwrap()
            .entry(status)
            .or_default() += 1;
        answer
    }

    /// Alternates between the replicas, like a load balancer, and retries until the result is known.
    async fn until_known(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let start = Instant::now();
        for attempt in 0.. {
            let port = self.ports[attempt % 2];
            if let Some((status, body)) = self.once(port, method, path, body).await
                && status != 503
                && status != 504
            {
                return (status, body);
            }
            assert!(
                start.elapsed() < CONSISTENCY_TIMEOUT,
                "{method} {path}: no answer"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("attempts do not end")
    }
}

/// The acknowledged rooms (I2).
#[derive(Default)]
struct Acknowledged {
    rooms: BTreeSet<String>,
    deleted: BTreeSet<String>,
}

struct Actors {
    caller: Caller,
    nodes: Vec<(String, Arc<Switch>)>,
    size: Size,
    known: Mutex<Acknowledged>,
    created: AtomicU64,
    actions: AtomicU64,
}

impl Actors {
    fn sim(&self, node: usize) -> &SimNode {
        self.nodes[node].1.sim()
    }

    async fn make_room(&self, node: usize) {
        let name = format!("soak-{}", self.created.fetch_add(1, Ordering::SeqCst));
        let body = json!({ "name": name, "node": self.nodes[node].0 });
        let (status, answer) = self
            .caller
            .until_known("POST", "/conferences", Some(&body))
            .await;
        let id = match status {
            201 => &answer["room_id"],
            // The first answer was lost.
            409 => &answer["detail"]["room_id"],
            _ => panic!("{status}: {answer}"),
        };
        let id = id.as_str().unwrap().to_owned();
        self.known.lock().unwrap().rooms.insert(id);
    }

    async fn delete_room(&self, room: &str) {
        let path = format!("/conferences/{room}");
        let (status, answer) = self.caller.until_known("DELETE", &path, None).await;
        assert!([200, 404].contains(&status), "{status}: {answer}");
        let mut known = self.known.lock().unwrap();
        known.rooms.remove(room);
        known.deleted.insert(room.to_owned());
    }

    /// Performs one random action.
    async fn act(&self, rng: &mut SmallRng) {
        self.actions.fetch_add(1, Ordering::SeqCst);
        let node = rng.random_range(0..self.nodes.len());
        let sim = self.sim(node);
        let prefix = format!("{}-", self.nodes[node].0);
        let rooms: Vec<String> = {
            let known = self.known.lock().unwrap();
            let here = known.rooms.iter().filter(|id| id.starts_with(&prefix));
            here.cloned().collect()
        };
        let calls: Vec<String> = sim
            .snapshot()
            .channels
            .into_iter()
            .map(|c| c.uuid)
            .collect();
        let per_node = self.size.calls / self.size.nodes;
        let choice = rng.random_range(0..100);
        let (Some(room), Some(channel)) = (rooms.choose(rng), calls.choose(rng)) else {
            if rooms.is_empty() {
                return self.make_room(node).await;
            }
            sim.call_in(DID, "1000", &[]);
            return;
        };
        let call = format!("{prefix}{channel}");
        let command = format!("/sessions/{call}/commands/conference");
        let (path, body) = match choice {
            0..2 if rooms.len() * self.size.nodes > self.size.rooms => {
                return self.delete_room(room).await;
            }
            0..4 if rooms.len() * self.size.nodes < self.size.rooms => {
                return self.make_room(node).await;
            }
            0..10 if calls.len() > per_node / 2 => {
                sim.hang_up(channel, "NORMAL_CLEARING");
                return;
            }
            10..22 if calls.len() < per_node => {
                let caller = format!("1{:05}", rng.random_range(0..100_000));
                sim.call_in(DID, &caller, &[]);
                return;
            }
            22..30 => (format!("{command}/leave"), json!({})),
            30..50 => (format!("{command}/mute"), json!({})),
            50..70 => (format!("{command}/unmute"), json!({})),
            _ => (format!("{command}/join"), json!({ "room_id": room })),
        };
        let port = *self.caller.ports.choose(rng).unwrap();
        // Any answer is permitted; the final state counts.
        let _ = self.caller.once(port, "POST", &path, Some(&body)).await;
    }

    /// Creates the initial rooms and calls, and lets the calls join, before the first fault.
    async fn set_up(&self, rng: &mut SmallRng) {
        for n in 0..self.size.rooms {
            self.make_room(n % self.size.nodes).await;
        }
        for n in 0..self.size.calls {
            let node = n % self.size.nodes;
            let channel = self.sim(node).call_in(DID, &format!("2{n:05}"), &[]);
            let prefix = format!("{}-", self.nodes[node].0);
            let room = {
                let known = self.known.lock().unwrap();
                let here: Vec<_> = known
                    .rooms
                    .iter()
                    .filter(|id| id.starts_with(&prefix))
                    .collect();
                here.choose(rng).map(|id| (*id).clone()).unwrap()
            };
            let path = format!("/sessions/{prefix}{channel}/commands/conference/join");
            let body = json!({ "room_id": room });
            let start = Instant::now();
            // The controller knows the call after its first event.
            while self.caller.until_known("POST", &path, Some(&body)).await.0 == 404 {
                assert!(
                    start.elapsed() < CONSISTENCY_TIMEOUT,
                    "a call stays unknown"
                );
                tokio::task::yield_now().await;
            }
        }
    }
}

fn resident_kib(pid: Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The memory of a process over time, in KiB.
#[derive(Default)]
struct Series(Vec<(u64, u64)>);

impl Series {
    fn add(&mut self, at: Duration, kib: Option<u64>) {
        self.0.extend(kib.map(|kib| (at.as_secs(), kib)));
    }

    /// The maximums in the first and in the last third of the second half, when caches are full.
    fn growth(&self) -> Option<(u64, u64)> {
        let half = &self.0[self.0.len() / 2..];
        let third = half.len() / 3;
        if third == 0 {
            return None;
        }
        let max = |part: &[(u64, u64)]| part.iter().map(|(_, kib)| *kib).max();
        Some((max(&half[..third])?, max(&half[half.len() - third..])?))
    }
}

pub async fn soak(size: Size) -> String {
    let mut setup = Setup::with_short_timeouts(Store::DurableRedis);
    setup.lease_ttl = 4;
    setup.resync_interval = 10;
    let mut switches = Vec::new();
    for _ in 0..size.nodes {
        switches.push(Arc::new(Switch::simulated(PASSWORD).await));
    }
    for (n, switch) in switches.iter().enumerate().skip(1) {
        setup
            .more_nodes
            .push((format!("soak{n}"), switch.address()));
    }
    setup.node_address = Some(switches[0].address());
    setup.environment = vec![("ROOMKEEPER_LOG__FILTER".to_owned(), "info".to_owned())];
    let mut world = setup.start().await;
    world.receiver.fail_one_in(20);
    let environment = vec![("ROOMKEEPER_LOG__FILTER".to_owned(), "info".to_owned())];
    let mut other = world.replica(|config| config, environment);
    for controller in [&world.controller, &other] {
        controller.until_ready().await;
    }
    let mut nodes = vec![(world.node.clone(), Arc::clone(&switches[0]))];
    for (n, switch) in switches.iter().enumerate().skip(1) {
        nodes.push((format!("soak{n}"), Arc::clone(switch)));
    }
    let counts = Arc::new(Counts::default());
    let actors = Arc::new(Actors {
        caller: Caller {
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(10))
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            ports: [world.controller.http(), other.http()],
            app: world.app.clone(),
            counts: Arc::clone(&counts),
        },
        nodes,
        size,
        known: Mutex::default(),
        created: AtomicU64::new(0),
        actions: AtomicU64::new(0),
    });
    let seed: u64 = rand::random();
    println!("soak: seed {seed}, {size:?}");
    let mut rng = SmallRng::seed_from_u64(seed);
    actors.set_up(&mut rng).await;
    println!(
        "soak: all calls have joined, {} webhooks",
        world.receiver.count()
    );

    let start = Instant::now();
    let acting = (0..8).map(|n: u64| {
        let actors = Arc::clone(&actors);
        let mut rng = SmallRng::seed_from_u64(seed ^ (n + 1));
        tokio::spawn(async move {
            // The pace of the load, not a wait for a condition.
            let mut beat =
                tokio::time::interval(Duration::from_secs(8) / u32::try_from(size.rate).unwrap());
            while start.elapsed() < size.duration {
                beat.tick().await;
                actors.act(&mut rng).await;
            }
        })
    });
    let acting: Vec<_> = acting.collect();

    let (mut next_kill, mut next_look) = (size.kill_every, Duration::ZERO);
    let mut next_restart = size.duration / 3;
    let mut controllers = Series::default();
    let mut redis = Series::default();
    let mut kill = 0;
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    while start.elapsed() < size.duration {
        beat.tick().await;
        let at = start.elapsed();
        if at >= next_kill {
            next_kill += size.kill_every;
            // The replicas take turns. The memory is read just before the kill.
            let victim = if kill % 2 == 0 {
                &mut world.controller
            } else {
                &mut other
            };
            kill += 1;
            controllers.add(at, resident_kib(victim.pid()));
            victim.kill();
            counts.kills.fetch_add(1, Ordering::SeqCst);
            victim.start_again();
        }
        if at >= next_restart && counts.restarts.load(Ordering::SeqCst) < 2 {
            next_restart += size.duration / 3;
            let server = world.redis.as_mut().unwrap();
            server.kill();
            server.restart().await;
            counts.restarts.fetch_add(1, Ordering::SeqCst);
        }
        if at >= next_look {
            next_look += (size.duration / 20).max(Duration::from_secs(1));
            redis.add(
                at,
                world
                    .redis
                    .as_ref()
                    .and_then(|redis| resident_kib(redis.pid())),
            );
            println!(
                "soak: {:>4} s, {} actions, {} webhooks, {} kills, Redis {} KiB",
                at.as_secs(),
                actors.actions.load(Ordering::SeqCst),
                world.receiver.count(),
                counts.kills.load(Ordering::SeqCst),
                redis.0.last().map_or(0, |(_, kib)| *kib),
            );
        }
    }
    for task in acting {
        task.await.unwrap();
    }
    let recovery = until_all_agree(&actors, &world, &other).await;
    summary(&counts, &actors, &world, (&controllers, &redis), recovery).await
}

/// Waits until FreeSWITCH, both controllers and the webhooks agree (I1, I3, I4) and have the acknowledged rooms (I2).
/// Returns the elapsed time.
async fn until_all_agree(actors: &Actors, world: &World, other: &Controller) -> Duration {
    let start = Instant::now();
    loop {
        let mut real = View::default();
        for (node, switch) in &actors.nodes {
            let view = freeswitch_view_for(switch, node).await;
            real.rooms.extend(view.rooms);
            real.calls.extend(view.calls);
        }
        let (first, rooms) = api_view_of_all_nodes(&world.controller).await;
        let (second, _) = api_view_of_all_nodes(other).await;
        let webhooks = WebhookView::from_receiver(&world.receiver);
        let acknowledged = actors.known.lock().unwrap().rooms.clone();
        let agree = real == first && first == second && first == webhooks.view;
        if agree && rooms == webhooks.rooms && rooms == acknowledged {
            assert!(
                webhooks.doubled.is_empty(),
                "reported twice: {:?}",
                webhooks.doubled
            );
            world.receiver.check_sequences();
            return start.elapsed();
        }
        if start.elapsed() >= CONSISTENCY_TIMEOUT {
            let mut text = String::new();
            for (name, view) in [
                ("first controller", &first),
                ("second controller", &second),
                ("webhooks", &webhooks.view),
            ] {
                writeln!(text, "{}", view.describe_differences(&real, name)).unwrap();
            }
            let differ: Vec<_> = rooms.symmetric_difference(&acknowledged).collect();
            panic!(
                "different after {CONSISTENCY_TIMEOUT:?}\n{text}rooms that differ from the acknowledged ones: {differ:?}"
            );
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn summary(
    counts: &Counts,
    actors: &Actors,
    world: &World,
    (controllers, redis): (&Series, &Series),
    recovery: Duration,
) -> String {
    let hooks = world.controller.get("/webhooks").await;
    let id = hooks.body["webhooks"][0]["id"].as_str().unwrap();
    // The receiver gets the last webhook before the worker stores its result.
    let hook = poll::until("no delivery is pending", CONSISTENCY_TIMEOUT, async || {
        let hook = world.controller.get(&format!("/webhooks/{id}")).await.body;
        (hook["pending"] == json!(0)).then_some(hook)
    })
    .await;
    assert_eq!(
        (&hook["dead"], &hook["lost"]),
        (&json!(0), &json!(0)),
        "dead or lost webhooks"
    );
    let answers = counts.answers.lock().unwrap().clone();
    let bad: Vec<_> = answers.keys().filter(|s| [500, 502].contains(*s)).collect();
    assert!(bad.is_empty(), "{answers:?}");
    assert!(world.receiver.failed() > 0, "the receiver never failed");
    assert!(counts.kills.load(Ordering::SeqCst) > 0);
    assert_eq!(
        counts.restarts.load(Ordering::SeqCst),
        2,
        "restarts of Redis"
    );
    let mut text = String::new();
    writeln!(
        text,
        "soak: {} actions, answers {answers:?} (0: no answer); {} webhooks, {} of them refused at first; \
         {} kills, {} restarts of Redis; all views agree {:.1} s after the end",
        actors.actions.load(Ordering::SeqCst),
        world.receiver.count(),
        world.receiver.failed(),
        counts.kills.load(Ordering::SeqCst),
        counts.restarts.load(Ordering::SeqCst),
        recovery.as_secs_f64(),
    )
    .unwrap();
    for (name, series) in [
        ("controllers, each before its kill", controllers),
        ("Redis", redis),
    ] {
        writeln!(
            text,
            "soak: resident KiB of {name}, by second: {:?}",
            series.0
        )
        .unwrap();
        // The tolerance is a fifth and 8 MiB, because allocators do not return all memory.
        if actors.size.duration >= Duration::from_secs(120)
            && let Some((before, after)) = series.growth()
        {
            assert!(
                after <= before + before / 5 + 8_192,
                "{name} grew from {before} to {after} KiB\n{text}"
            );
        }
    }
    text
}
