//! What goes wrong around the program: the node, the way to it, the store.
//!
//! Each test asserts that its fault did occur, then what must hold.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll::{self, PATIENCE};
use crate::program::switch::DID;
use crate::program::world::{PASSWORD, Setup, Store, World};

/// A call in a room, muted.
struct InRoom {
    session: String,
    channel: String,
    room: String,
}

impl InRoom {
    async fn new(world: &World) -> Self {
        world.controller.until_synced().await;
        let room = world.room("faults").await;
        let session = world.call("1001").await;
        world.join(&session, &room).await;
        let channel = world.channel(&session).to_owned();
        Self {
            session,
            channel,
            room,
        }
    }

    /// Somebody else than the controller changes the member.
    async fn somebody_says(&self, world: &World, what: &str) {
        let id = world.member_id(&self.room, &self.channel).await;
        let said = world
            .fs(&format!("conference {} {what} {id}", self.room))
            .await;
        assert!(said.contains("OK"), "{said}");
    }

    /// Whatever happened before, the controller hears what happens now, and its members are FreeSWITCH's.
    async fn is_whole(&self, world: &World) {
        let unmuted = self.count(world, "conference.member.unmuted");
        let answer = world
            .command(&self.session, "conference/unmute", &json!({}))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        world
            .receiver
            .nth(&self.room, "conference.member.unmuted", unmuted + 1)
            .await;
        let muted = self.count(world, "conference.member.muted");
        self.somebody_says(world, "mute").await;
        world
            .receiver
            .nth(&self.room, "conference.member.muted", muted + 1)
            .await;
        world.check_members(&self.room).await;
        world.receiver.check_story();
    }

    fn count(&self, world: &World, event: &str) -> usize {
        let all = world.receiver.delivered(&self.room);
        all.iter().filter(|got| got.event() == event).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_plainly_and_tried_rarely() {
    let mut setup = Setup::on(Store::Memory);
    setup.password = "not the password".to_owned();
    let world = setup.start().await;
    // The first connection has failed, so there is nothing to wait for.
    let ready = world.controller.until_ready().await;
    assert_eq!(ready["nodes"][0]["link"], "down");
    let sim = world.switch.sim();
    assert!(sim.faults().core.refused >= 1, "it was refused");
    let nodes = world
        .controller
        .operator("/admin/nodes")
        .await
        .unwrap()
        .body;
    let node = &nodes["nodes"][0];
    let reason = node["reason"].as_str().unwrap();
    assert!(reason.contains("refuses the password"), "{reason}");
    assert!(!reason.contains("not the password"), "no secret: {reason}");
    let wait = node["retry_after_ms"].as_u64().unwrap();
    assert!((10_000..=30_000).contains(&wait), "{wait} ms");
    // Both connections have been refused by now, or will be once.
    poll::stays(
        "it is not tried again",
        Duration::from_secs(2),
        async || sim.faults().core.refused <= 2,
    )
    .await;
    let answer = world
        .controller
        .once("POST", "/conferences", Some(&json!({ "name": "nowhere" })))
        .await
        .unwrap();
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.retry_after.is_some_and(|s| s >= 1));
}

/// The store is away for as long as `away` takes; meanwhile things happen in FreeSWITCH.
async fn without_redis(world: &mut World, inside: &InRoom, hung_up: &str, stopped: bool) {
    let redis = world.redis.as_mut().unwrap();
    if stopped {
        redis.pause().await;
    } else {
        redis.kill();
    }
    for (method, path, body) in [
        (
            "POST",
            "/conferences".to_owned(),
            Some(json!({ "name": "lost" })),
        ),
        ("GET", format!("/conferences/{}", inside.room), None),
        (
            "POST",
            format!("/sessions/{}/commands/conference/unmute", inside.session),
            Some(json!({})),
        ),
    ] {
        let answer = world
            .controller
            .once(method, &path, body.as_ref())
            .await
            .unwrap();
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.body);
        assert!(
            answer.retry_after.is_some_and(|s| s >= 1),
            "{method} {path}"
        );
        assert!(answer.took < Duration::from_secs(8), "{:?}", answer.took);
    }
    let ready = world.controller.operator("/readyz").await.unwrap();
    assert_eq!(ready.status, 503, "{}", ready.body);
    let alive = world.controller.operator("/healthz").await.unwrap();
    assert_eq!(alive.status, 200);
    inside.somebody_says(world, "unmute").await;
    let sim = world.switch.sim();
    assert!(sim.hang_up(hung_up, "NORMAL_CLEARING"));
}

async fn whole_again(world: &World, inside: &InRoom, hung_up: &str) {
    let begun = Instant::now();
    world.controller.until_ready().await;
    let ready = begun.elapsed();
    // 1 s, and the time that a busy machine takes.
    assert!(ready < Duration::from_secs(3), "ready after {ready:?}");
    world
        .receiver
        .first(&inside.room, "conference.member.unmuted")
        .await;
    world.receiver.first(hung_up, "call.hangup").await;
    let answer = world
        .controller
        .get(&format!("/conferences/{}", inside.room))
        .await;
    assert_eq!(answer.status, 200, "what was acknowledged is there");
    inside.somebody_says(world, "mute").await;
    world
        .receiver
        .first(&inside.room, "conference.member.muted")
        .await;
    world.room("another").await;
    inside.is_whole(world).await;
    // Whether the name was reserved is not known to a caller that was told 503: it is free or frees itself.
    let body = json!({ "name": "lost" });
    poll::until("the name can be had", poll::REDELIVERY, async || {
        let answer = world
            .controller
            .once("POST", "/conferences", Some(&body))
            .await
            .unwrap();
        assert!(matches!(answer.status, 201 | 503), "{}", answer.body);
        (answer.status == 201).then_some(())
    })
    .await;
}

async fn redis_goes_away(stopped: bool) {
    let mut world = Setup::on(Store::DurableRedis).start().await;
    let inside = InRoom::new(&world).await;
    let hung_up = world.call("1002").await;
    let channel = world.channel(&hung_up).to_owned();
    without_redis(&mut world, &inside, &channel, stopped).await;
    let redis = world.redis.as_mut().unwrap();
    if stopped {
        redis.resume().await;
    } else {
        redis.restart().await;
    }
    whole_again(&world, &inside, &hung_up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_dies_and_comes_back() {
    redis_goes_away(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_hangs_and_goes_on() {
    redis_goes_away(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wiped_redis_knew_is_rebuilt_from_freeswitch() {
    let world = Setup::on(Store::Redis).start().await;
    let inside = InRoom::new(&world).await;
    let parked = world.call("1002").await;
    let redis = world.redis.as_ref().unwrap();
    assert_eq!(redis.say("FLUSHALL").as_deref(), Some("+OK"), "it is wiped");

    // The room says whose it is, its member is seen in it, and the parked call is parked.
    let room = format!("/conferences/{}", inside.room);
    poll::until("the room is there again", PATIENCE, async || {
        let answer = world.controller.once("GET", &room, None).await.unwrap();
        (answer.status == 200 && answer.body["members"] == 1).then_some(())
    })
    .await;
    poll::until("the parked call is there again", PATIENCE, async || {
        let path = format!("/sessions/{parked}");
        let answer = world.controller.once("GET", &path, None).await.unwrap();
        (answer.status == 200 && answer.body["state"] == "parked").then_some(())
    })
    .await;
    let told = world
        .receiver
        .nth(&inside.room, "conference.member.joined", 2)
        .await;
    assert!(told.synthesized(), "{}", told.body);
    let told = world.receiver.nth(&parked, "call.new", 2).await;
    assert!(told.synthesized(), "{}", told.body);
    world.check_members(&inside.room).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_in_while_the_way_to_the_node_is_down() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let sim = world.switch.sim();
    let cut = sim.drop_connections(false);
    assert!(cut >= 2);
    let session = world.session(&sim.call_in(DID, "1009", &[]));
    let told = world.receiver.first(&session, "call.new").await;
    assert_eq!(told.body["data"]["caller_id"], "1009");
    assert!(sim.faults().cut >= 2);
    world.switch.until_members(PASSWORD, "nothing", &[]).await;
    world.receiver.check_story();
}
