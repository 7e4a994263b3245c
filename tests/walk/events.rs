//! The program's event stream: it carries the same events as the webhooks, and talking states, through every fault.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::events::{Event, EventStream, Next};
use crate::program::poll::{self, TIMEOUT};
use crate::program::world::{Setup, Store, World};

/// The program's promised time to stop.
const STOP: Duration = Duration::from_secs(10);

const COMMITS: &str = "roomkeeper_store_commits_total";

async fn stream(world: &World, query: &str, last: Option<&str>) -> EventStream {
    EventStream::open(&world.controller, &world.app, query, last).await
}

/// Groups stored events by the scope that orders them.
fn story<'a>(events: impl IntoIterator<Item = &'a Event>) -> BTreeMap<String, Vec<String>> {
    let mut story: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events {
        let body = event.json();
        if body["sequence"].is_u64() {
            let scope = match event.name.starts_with("call.") {
                true => &body["session_uuid"],
                false => &body["room_id"],
            };
            let scope = scope.as_str().unwrap().to_owned();
            story.entry(scope).or_default().push(event.data.clone());
        }
    }
    story
}

/// Checks that the stream has the webhooks' bodies, byte for byte, each once, in the same order.
async fn check_equals_webhooks(world: &World, events: &[Event]) {
    for (scope, expected) in story(events) {
        poll::until("the webhooks have arrived", TIMEOUT, async || {
            let sent = world.receiver.delivered(&scope);
            let sent: Vec<String> = sent.into_iter().map(|got| got.text).collect();
            (sent.len() >= expected.len())
                .then(|| assert_eq!(sent[..expected.len()], expected, "{scope}"))
        })
        .await;
        for (n, body) in expected.iter().enumerate() {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["sequence"], n + 1, "{scope}");
        }
    }
}

async fn talking_members_are_shown(store: Store) {
    let mut setup = Setup::on(store);
    setup.more_apps = vec![("other".to_owned(), "other-key".to_owned())];
    let mut world = setup.start().await;
    world.controller.until_synced().await;
    let mut all = stream(&world, "", None).await;
    let mut foreign =
        EventStream::open_as(&world.controller, ("other", "other-key"), "", None).await;
    let room = world.room("talk").await;
    let mut of_room = stream(&world, &format!("?room_id={room}&event=member.*"), None).await;
    let session = world.call("1001").await;
    world.join(&session, &room).await;
    let unmuted = world
        .command(&session, "conference/unmute", &json!({}))
        .await;
    assert_eq!(unmuted.status, 202, "{}", unmuted.body);
    let mut seen = all.until("conference.member.unmuted", &session).await;
    let joined = seen
        .iter()
        .find(|event| event.name == "conference.member.joined");
    let stay = joined.unwrap().json()["data"]["conferencecall_id"].clone();

    // A talking member is shown as talking, and nothing is written to the store.
    let before = world.controller.metric(COMMITS, "").await;
    let channel = world.channel(&session).to_owned();
    for talks in [true, false, true, false] {
        world.switch.sim().talk(&channel, talks);
        let word = format!("\"talking\":{talks}");
        for stream in [&mut all, &mut of_room] {
            let events = stream.until("member.talking", &word).await;
            let event = events.last().unwrap();
            assert_eq!(event.id, None);
            let body = event.json();
            assert_eq!(body["session_uuid"], session.as_str());
            assert_eq!(body["room_id"], room.as_str());
            assert_eq!(body["app_id"], world.app.as_str());
            assert!(body["sequence"].is_null());
            let data =
                json!({"session_uuid": session, "conferencecall_id": stay, "talking": talks});
            assert_eq!(body["data"], data);
        }
    }
    assert_eq!(world.controller.metric(COMMITS, "").await, before);

    let delete = format!("/conferences/{room}");
    world.controller.ask("DELETE", &delete, None).await;
    seen.extend(all.until("conference.destroyed", &room).await);
    check_equals_webhooks(&world, &seen).await;
    let (rest, end) = of_room.rest().await;
    assert!(
        rest.iter().all(|event| event.name.starts_with("member.")),
        "{rest:?}"
    );
    assert_eq!(end, Next::End, "with its room");

    // No event belongs to another app.
    world.controller.terminate();
    assert_eq!(foreign.rest().await, (Vec::new(), Next::End));
    world.controller.ended(STOP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn talking_members_are_shown_in_memory() {
    talking_members_are_shown(Store::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn talking_members_are_shown_on_redis() {
    talking_members_are_shown(Store::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floor_is_shown() {
    let world = Setup::on(Store::Redis).start().await;
    world.controller.until_synced().await;
    let mut floor = stream(&world, "?event=member.floor", None).await;
    let room = world.room("floor").await;
    let session = world.call("1001").await;
    let muted = json!({"room_id": room, "muted": false});
    world.command(&session, "conference/join", &muted).await;
    let has = floor.until("member.floor", &session).await;
    let body = has.last().unwrap().json();
    assert_eq!(body["data"]["session_uuid"], session.as_str());
    world
        .switch
        .sim()
        .hang_up(world.channel(&session), "NORMAL_CLEARING");
    let no_member = "\"data\":{\"session_uuid\":null,\"conferencecall_id\":null}";
    let free = floor.until("member.floor", no_member).await;
    assert!(free.last().unwrap().json()["session_uuid"].is_null());
}

/// Lets a new call join the room and leave it; returns its session id.
async fn call_joins_and_leaves(world: &World, room: &str, caller: &str) -> String {
    let session = world.call(caller).await;
    world.join(&session, room).await;
    let leave = world
        .command(&session, "conference/leave", &json!({}))
        .await;
    assert_eq!(leave.status, 202, "{}", leave.body);
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_continues_after_the_controller_was_killed() {
    let mut world = Setup::with_short_timeouts(Store::Redis).start().await;
    world.controller.until_synced().await;
    let mut events = stream(&world, "", None).await;
    let room = world.room("killed").await;
    let first = call_joins_and_leaves(&world, &room, "1001").await;
    let mut seen = events.until("conference.member.left", &first).await;
    // An event that this client does not receive.
    let second = call_joins_and_leaves(&world, &room, "1002").await;
    world.receiver.nth(&room, "conference.member.left", 2).await;
    let last = events.last.clone();
    world.kill_and_start_again();
    let (_, end) = events.rest().await;
    assert_eq!(end, Next::Broken);
    // And a change while no controller runs, which a snapshot reveals.
    world
        .switch
        .sim()
        .hang_up(world.channel(&first), "NORMAL_CLEARING");
    world.controller.until_synced().await;
    let mut events = stream(&world, "", Some(&last)).await;
    seen.extend(events.until("conference.member.left", &second).await);
    seen.extend(events.until("call.hangup", &first).await);
    let third = call_joins_and_leaves(&world, &room, "1003").await;
    seen.extend(events.until("conference.member.left", &third).await);
    assert!(seen.iter().all(|event| event.name != "stream.gap"));
    assert_eq!(
        story(&seen)[&room].len(),
        7,
        "made, and three times in and out"
    );
    check_equals_webhooks(&world, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_show_the_same_events_and_one_continues_for_the_other() {
    let mut world = Setup::with_short_timeouts(Store::Redis).start().await;
    world.controller.until_synced().await;
    let other = world.replica(|config| config, Vec::new());
    other.until_ready().await;
    assert!(!other.owns().await);
    let mut here = stream(&world, "", None).await;
    let mut there = EventStream::open(&other, &world.app, "", None).await;
    let room = world.room("replicas").await;
    let session = world.call("1001").await;
    let muted = json!({"room_id": room, "muted": false});
    world.command(&session, "conference/join", &muted).await;
    let mut seen = here.until("conference.member.joined", &session).await;
    let mut elsewhere = there.until("conference.member.joined", &session).await;
    assert_eq!(story(&seen), story(&elsewhere));

    // Replicas pass on to each other what the store does not keep.
    world.switch.sim().talk(world.channel(&session), true);
    for stream in [&mut here, &mut there] {
        stream.until("member.talking", "\"talking\":true").await;
    }

    // The owner stops. Its client moves to this replica; the client of this replica sees no difference.
    world.controller.kill();
    assert_eq!(here.rest().await.1, Next::Broken);
    poll::until("the other has the node", TIMEOUT, async || {
        other.owns().await.then_some(())
    })
    .await;
    other.until_synced().await;
    let mut here = EventStream::open(&other, &world.app, "", Some(&here.last)).await;
    world
        .switch
        .sim()
        .hang_up(world.channel(&session), "NORMAL_CLEARING");
    seen.extend(here.until("call.hangup", &session).await);
    elsewhere.extend(there.until("call.hangup", &session).await);
    world.controller = other;
    check_equals_webhooks(&world, &seen).await;
    assert_eq!(story(&seen), story(&elsewhere));
    assert!(
        seen.iter()
            .chain(&elsewhere)
            .all(|e| e.name != "stream.gap")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wiped_store_is_reported_and_the_stream_continues() {
    let world = Setup::on(Store::Redis).start().await;
    world.controller.until_synced().await;
    let mut events = stream(&world, "", None).await;
    let room = world.room("wiped").await;
    let session = world.call("1001").await;
    world.join(&session, &room).await;
    events.until("conference.member.joined", &session).await;
    let redis = world.redis.as_ref().unwrap();
    assert_eq!(redis.send_inline("FLUSHALL").as_deref(), Some("+OK"));
    let gap = events.until("stream.gap", &world.node).await;
    let gap = gap.last().unwrap();
    assert_eq!(gap.json()["data"]["nodes"][0]["missing"], json!(null));
    assert!(gap.id.is_some());
    let next = world.call("1002").await;
    events.until("call.new", &next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_restart_ends_no_stream() {
    let mut world = Setup::on(Store::DurableRedis).start().await;
    world.controller.until_synced().await;
    let mut events = stream(&world, "", None).await;
    let first = world.call("1001").await;
    let mut seen = events.until("call.new", &first).await;
    world.redis.as_mut().unwrap().restart().await;
    let second = world.call("1002").await;
    seen.extend(events.until("call.new", &second).await);
    let room = world.room("restarted").await;
    let muted = json!({"room_id": room, "muted": false});
    world.command(&second, "conference/join", &muted).await;
    seen.extend(events.until("conference.member.joined", &second).await);
    // The controller also subscribes to Redis again.
    let channel = world.channel(&second).to_owned();
    let mut talks = false;
    poll::until("the talking member is shown again", TIMEOUT, async || {
        talks = !talks;
        world.switch.sim().talk(&channel, talks);
        let word = format!("\"talking\":{talks}");
        let wait = Duration::from_millis(500);
        let received = tokio::time::timeout(wait, events.until("member.talking", &word)).await;
        received.ok()
    })
    .await;
    assert!(seen.iter().all(|event| event.name != "stream.gap"));
    check_equals_webhooks(&world, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_streams_at_once() {
    let mut world = Setup::on(Store::Redis).start().await;
    world.controller.until_synced().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(stream(&world, "", None).await);
    }
    let open = world
        .controller
        .metric("roomkeeper_events_streams", "")
        .await;
    assert_eq!(open, 20.0);
    let start = Instant::now();
    world.controller.terminate();
    for stream in &mut streams {
        assert_eq!(stream.rest().await, (Vec::new(), Next::End));
    }
    let ended = start.elapsed();
    assert!(ended < Duration::from_secs(2), "{ended:?}");
    let status = world.controller.ended(STOP).await;
    assert_eq!(status.code(), Some(0));
    // The stop did not cut off any request: the log would say so.
    let cut = world
        .controller
        .log_about(|line| line.contains("requests in flight were cut off"));
    assert_eq!(cut, "");
}
