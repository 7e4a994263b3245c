//! A program that uses all of its features records every metric with the documented labels and a plausible value.

use std::collections::{BTreeMap, BTreeSet};

use freeswitch_sim::core::Media;
use roomkeeper::telemetry::{self as names, Kind, METRICS};
use serde_json::json;

use crate::page::{self, Series};
use crate::program::poll;
use crate::program::world::{Setup, Store, World};

/// Counters of faults, which start at zero, with the tests that cause the fault:
const AT_ZERO: &[(&str, &str)] = &[
    (names::ESL_EVENTS_DROPPED, "tests/faults, a node's storm"),
    (
        names::ESL_BAD_FRAMES,
        "tests/faults, a connection that is spoilt",
    ),
    (
        names::ESL_BAD_EVENTS,
        "tests/faults, a connection that is spoilt",
    ),
    (
        names::ESL_RECONNECTS,
        "tests/faults, a connection that breaks",
    ),
    (
        names::RESYNCS_FAILED,
        "tests/reconciler, a fence that does not come",
    ),
    (
        names::LEASES_LOST,
        "tests/reconciler, a lease that runs out",
    ),
    (names::NODE_BUSY, "node::handle, a command too many"),
    (names::COMMIT_CONFLICTS, "tests/faults, replicas"),
    (names::STORE_ERRORS, "tests/faults, a store that is away"),
    (names::STORE_LOST_ROOMS, "tests/faults, a failover"),
    (
        names::STORE_CORRUPT,
        "tests/reconciler, a record that is spoilt",
    ),
    (
        names::WEBHOOK_LOST,
        "tests/store_contract, a queue that is full",
    ),
    (
        names::WEBHOOK_DEAD_DROPPED,
        "tests/store_contract, too many dead",
    ),
    (
        names::WEBHOOK_OUTBOX_MISSING,
        "tests/faults, an outbox that is deleted",
    ),
    (
        names::WEBHOOK_OUTBOX_UNREADABLE,
        "tests/faults, an outbox that is spoilt",
    ),
    (
        names::HTTP_CONNECTIONS_CLOSED,
        "tests/clients, idle connections",
    ),
    (names::HTTP_UNAUTHORIZED, "tests/clients, wrong keys"),
    (
        names::STORE_CORRUPT_OTHER,
        "tests/faults, a stored value of another type",
    ),
    (
        names::QUOTA_REFUSED,
        "tests/faults, an app that writes as much as it can",
    ),
    (names::AUDIT_LOST, "audit, a queue that is full"),
    (names::EVENTS_SENT, "tests/walk, events"),
    (names::EVENT_GAPS, "tests/api, events"),
    (names::LIVE_DROPPED, "tests/api, events"),
    (names::TASK_PANICS, "tests/reconciler, panics"),
    // Only a node that fetches files increases them, and the simulated one does not.
    (names::MEDIA_REQUESTS, "tests/faults, play URLs"),
    (names::MEDIA_FETCHES, "tests/faults, play URLs"),
    (names::MEDIA_FETCHED_BYTES, "tests/faults, play URLs"),
];

/// Gauges that are zero while nothing waits.
const MAY_BE_ZERO: &[&str] = &[
    names::ESL_QUEUE_DEPTH,
    names::RECONCILER_QUEUE_DEPTH,
    names::NODE_COMMANDS_WAITING,
    names::ORDERS_WAITING,
    names::WEBHOOK_OUTBOX_DEPTH,
    names::WEBHOOK_QUEUES,
    names::WEBHOOK_PENDING,
    names::WEBHOOK_FULL_RATIO,
    names::WEBHOOK_IN_FLIGHT,
    names::WEBHOOK_LOWERED,
    names::EVENT_STREAMS,
    names::MEDIA_STORED_BYTES,
    names::APPS_AT_QUOTA,
    // Zero means unlimited.
    names::PROCESS_VIRTUAL_MAX_BYTES,
    // It counts whole seconds, and the program runs for a few only.
    names::PROCESS_CPU_SECONDS,
];

async fn page_of(world: &World) -> Vec<Series> {
    let text = world.controller.metrics().await;
    for metric in METRICS {
        let help = format!("# HELP {} ", metric.name);
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let kind = format!("# TYPE {} {kind}\n", metric.name);
        assert!(text.contains(&help), "{} has no HELP text", metric.name);
        assert!(text.contains(&kind), "{} has another type", metric.name);
    }
    page::parse(&text)
}

/// Uses all features except faults.
async fn use_all_features(world: &mut World) {
    let room = world.room("first").await;
    let lost = world.call("527121100").await;
    world.join(&lost, &room).await;
    // Hung up without an event connection: a snapshot reveals it, and a second look follows.
    world.controller.kill();
    let channel = world.channel(&lost).to_owned();
    let reply = world.fs(&format!("uuid_kill {channel}")).await;
    assert!(reply.starts_with("+OK"), "{reply}");
    world.controller.start_again();
    world.controller.until_synced().await;
    world.receiver.first(&lost, "call.hangup").await;

    let session = world.call("527121101").await;
    // A foreign call, in a conference with the name of another node's room.
    let stranger = world.switch.sim().call_in("1000", "527121199", &[]);
    let elsewhere = format!("conference:other-room-{}@default", uuid::Uuid::new_v4());
    let reply = world
        .fs(&format!("uuid_transfer {stranger} {elsewhere} inline"))
        .await;
    assert!(reply.starts_with("+OK"), "{reply}");
    world.join(&session, &room).await;
    for (what, event) in [
        ("conference/unmute", "conference.member.unmuted"),
        ("conference/mute", "conference.member.muted"),
    ] {
        let answer = world.command(&session, what, &json!({})).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        world.receiver.first(&room, event).await;
    }
    for (what, nth) in [("lock", 1), ("unlock", 2)] {
        let path = format!("/conferences/{room}/{what}");
        let answer = world.controller.ask("POST", &path, None).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(answer.body["status"], "in_progress");
        world.receiver.nth(&room, "conference.updated", nth).await;
    }
    let url = "http://127.0.0.1:9080/a.wav";
    let media = Media {
        duration: Some(200_000),
        opening: 0,
    };
    world.switch.sim().set_media(url, media);
    let path = |what: &str| format!("/conferences/{room}/{what}");
    for (what, body, event) in [
        ("play", json!({ "urls": [url] }), "conference.play.finished"),
        ("recording/start", json!({}), "conference.recording.started"),
        ("recording/stop", json!({}), "conference.recording.stopped"),
    ] {
        let answer = world.controller.ask("POST", &path(what), Some(&body)).await;
        assert_eq!(answer.status, 202, "{what}: {}", answer.body);
        world.receiver.first(&room, event).await;
    }
    // The room exists already; and a rule refuses another one.
    let again = json!({ "room_id": room });
    let other = world.room("other").await;
    // The room has no members, so the lock takes effect without FreeSWITCH, and there is nothing to wait for.
    for (what, status) in [
        ("lock", "locked"),
        ("lock", "locked"),
        ("unlock", "unlocked"),
    ] {
        let path = format!("/conferences/{other}/{what}");
        let answer = world.controller.ask("POST", &path, None).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(answer.body["status"], status);
    }
    let again_elsewhere = json!({ "room_id": other });
    let answer = world.command(&session, "conference/join", &again).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = world
        .command(&session, "conference/join", &again_elsewhere)
        .await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    // A webhook that is refused, and retried.
    world.receiver.answer(500);
    let answer = world
        .command(&session, "conference/leave", &json!({}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    poll::until(
        "the receiver has refused the webhook",
        poll::TIMEOUT,
        async || (world.receiver.refused(&room) > 0).then_some(()),
    )
    .await;
    world.receiver.answer(204);
    world.receiver.first(&room, "conference.member.left").await;
    // A disabled receiver: its messages are dead at once.
    let gone = crate::program::receiver::Receiver::start().await;
    let wanted = json!({"url": gone.url, "events": ["conference.created"]});
    let made = world
        .controller
        .ask("POST", "/webhooks", Some(&wanted))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let disabled = format!("/webhooks/{}", made.body["id"].as_str().unwrap());
    let off = json!({"enabled": false});
    let answer = world.controller.ask("PATCH", &disabled, Some(&off)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let held = world.room("held").await;
    world.receiver.first(&held, "conference.created").await;

    let answer = world
        .command(&session, "hangup", &json!({"cause": "NORMAL_CLEARING"}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    world.receiver.first(&session, "call.hangup").await;
    let answer = world
        .controller
        .ask("DELETE", &format!("/conferences/{room}"), None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.receiver.first(&room, "conference.destroyed").await;
    world.call("527121102").await;
}

fn series_named<'a>(page: &'a [Series], name: &str) -> Vec<&'a Series> {
    page.iter().filter(|series| series.name == name).collect()
}

/// Strips a histogram series' suffix: returns the metric of which it is a part.
fn base(name: &str) -> &str {
    let known = |name: &str| METRICS.iter().any(|metric| metric.name == name);
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|end| name.strip_suffix(end))
        .find(|base| known(base))
        .unwrap_or(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_recorded() {
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.resync_interval = 1;
    let mut world = setup.start().await;
    world.controller.until_synced().await;
    use_all_features(&mut world).await;

    // The worker's periodic measurements and the last commit may be missing yet.
    let problems = poll::until("all metrics are recorded", poll::TIMEOUT, async || {
        let problems = problems(&page_of(&world).await);
        problems.is_empty().then_some(problems)
    });
    if tokio::time::timeout(std::time::Duration::from_secs(15), problems)
        .await
        .is_err()
    {
        panic!("{:#?}", problems_of(&world).await);
    }

    let page = page_of(&world).await;
    check_labels_are_documented(&page, &world);
    check_values_are_plausible(&page, &world);
}

async fn problems_of(world: &World) -> Vec<String> {
    problems(&page_of(world).await)
}

/// Metrics that are missing, or unexpectedly zero.
fn problems(page: &[Series]) -> Vec<String> {
    let mut problems = Vec::new();
    for metric in METRICS {
        let at_zero = AT_ZERO.iter().any(|(name, _)| *name == metric.name);
        let free = at_zero || MAY_BE_ZERO.contains(&metric.name);
        let shown = match metric.kind {
            Kind::Histogram => series_named(page, &format!("{}_count", metric.name)),
            Kind::Counter | Kind::Gauge => series_named(page, metric.name),
        };
        let all: f64 = shown.iter().map(|series| series.value).sum();
        if shown.is_empty() {
            problems.push(format!("{} is not there", metric.name));
        } else if all == 0.0 && !free {
            problems.push(format!("{} is zero", metric.name));
        }
    }
    problems
}

fn check_labels_are_documented(page: &[Series], world: &World) {
    for series in page {
        let name = base(&series.name);
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not documented"));
        let labels: BTreeSet<&str> = series
            .labels
            .keys()
            .map(String::as_str)
            .filter(|label| *label != "le")
            .collect();
        let documented: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(labels, documented, "{series:?}");
        if let Some(node) = series.labels.get("node") {
            assert_eq!(*node, world.node, "{series:?}");
        }
        for value in series.labels.values() {
            // No value is the id of a room, a call or an app: a uuid has 36 characters.
            assert!(value.len() < 36 || value.starts_with('/'), "{series:?}");
            assert_ne!(*value, world.app, "{series:?}");
        }
    }
}

fn check_values_are_plausible(page: &[Series], world: &World) {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for series in page {
        assert!(series.value.is_finite(), "{series:?}");
        assert!(series.value >= 0.0, "{series:?}");
        *sums.entry(series.name.as_str()).or_default() += series.value;
    }
    for metric in METRICS.iter().filter(|m| m.kind == Kind::Histogram) {
        let count = sums[format!("{}_count", metric.name).as_str()];
        let mean = sums[format!("{}_sum", metric.name).as_str()] / count;
        if metric.name.ends_with("_seconds") {
            // No duration exceeds the test's.
            assert!(mean < 30.0, "{}: {mean} s", metric.name);
        } else {
            assert!((1.0..=576.0).contains(&mean), "{}: {mean}", metric.name);
        }
    }
    let value = |name: &str, labels: &[(&str, &str)]| -> f64 {
        series_named(page, name)
            .into_iter()
            .filter(|series| labels.iter().all(|(l, v)| series.labels[*l] == *v))
            .map(|series| series.value)
            .sum()
    };
    for (intent, outcome) in [
        ("join", "accepted"),
        ("join", "refused"),
        ("mute", "accepted"),
        ("unmute", "accepted"),
        ("leave", "accepted"),
        ("hangup", "accepted"),
        ("create_room", "accepted"),
        ("delete_room", "accepted"),
        ("play", "accepted"),
        ("record_start", "accepted"),
        ("record_stop", "accepted"),
    ] {
        let labels = [("intent", intent), ("outcome", outcome)];
        assert!(value(names::INTENTS, &labels) > 0.0, "{labels:?}");
    }
    let confirmed = format!("{}_count", names::CONFIRM_SECONDS);
    for intent in [
        "join",
        "mute",
        "unmute",
        "lock",
        "unlock",
        "leave",
        "hangup",
        "delete_room",
        "record_start",
        "record_stop",
    ] {
        let labels = [("intent", intent), ("outcome", "confirmed")];
        // Exactly as often as it was requested and accepted.
        assert_eq!(value(&confirmed, &labels), 1.0, "{labels:?}");
    }
    for stage in [
        "fence",
        "list",
        "snapshot",
        "channels",
        "playback",
        "second_look",
    ] {
        let name = format!("{}_count", names::RESYNC_STAGE_SECONDS);
        assert!(value(&name, &[("stage", stage)]) > 0.0, "{stage}");
    }
    for kind in ["member.left", "call.hangup"] {
        assert_eq!(value(names::DRIFT, &[("kind", kind)]), 1.0, "{kind}");
    }
    for (order, outcome) in [("enter", "ok"), ("park", "ok"), ("mute", "ok")] {
        let labels = [("order", order), ("outcome", outcome)];
        assert!(value(names::ORDERS, &labels) > 0.0, "{labels:?}");
    }
    for (name, label, one) in [
        (names::ESL_EVENTS, "event", "add-member"),
        (names::ESL_EVENTS, "event", "CHANNEL_PARK"),
        (names::NODE_COMMANDS, "outcome", "ok"),
        (names::COMMITS, "outcome", "applied"),
        (names::WEBHOOK_ATTEMPTS, "outcome", "ok"),
        (names::WEBHOOK_ATTEMPTS, "outcome", "status"),
        (names::WEBHOOK_DELIVERIES, "result", "delivered"),
        (names::HTTP_CONNECTIONS, "listener", "admin"),
    ] {
        assert!(value(name, &[(label, one)]) > 0.0, "{name} {one}");
    }
    assert_eq!(value(names::NODE_UP, &[]), 1.0);
    assert_eq!(value(names::LEASE_HELD, &[]), 1.0);
    assert_eq!(value(names::LEASES_TAKEN, &[]), 1.0);
    assert_eq!(value(names::BUILD_INFO, &[]), 1.0);
    assert_eq!(value(names::CALLS, &[]), 1.0);
    assert_eq!(value(names::ROOMS, &[]), 2.0);
    assert!(value(names::STORE_CONNECTIONS, &[]) >= 1.0);
    assert!(value(names::PROCESS_RESIDENT_BYTES, &[]) > 1e6);
    let started = value(names::PROCESS_START_SECONDS, &[]);
    let now = unix_now();
    assert!((now - 600.0..=now + 2.0).contains(&started), "{started}");
    assert!(world.receiver.count() > 0);
}

fn unix_now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs_f64()
}

/// Counters of faults exist before the first fault: alerts depend on their first increase.
#[tokio::test(flavor = "multi_thread")]
async fn alerting_counters_start_at_zero() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_ready().await;
    let page = page::parse(&world.controller.metrics().await);
    for (name, made_in) in AT_ZERO {
        let shown = series_named(&page, name);
        assert!(!shown.is_empty(), "{name} is not there before {made_in}");
        assert!(shown.iter().all(|series| series.value == 0.0), "{shown:?}");
    }
}
