//! SIGTERM: no new request, those in flight finish, the node is handed over at once.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll::{self, PATIENCE};
use crate::program::world::{Setup, Store};

/// The limit that the program promises.
const STOP: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_in_flight_and_hands_over() {
    let mut setup = Setup::on(Store::Redis);
    // Whoever comes next could not have waited for it to run out.
    setup.lease_ttl = 60;
    let mut world = setup.start().await;
    world.controller.until_synced().await;
    let room = world.room("stop").await;
    let session = world.call("1001").await;
    world.join(&session, &room).await;

    // A request is in flight: it is committed, and FreeSWITCH does not answer yet.
    world.switch.sim().stall(true);
    let commits = "roomkeeper_store_commits_total";
    let before = world.controller.metric(commits, "").await;
    let path = format!("/sessions/{session}/commands/conference/unmute");
    let body = json!({ "command_uid": "last-one" });
    let request = world.controller.once("POST", &path, Some(&body));
    let begun = Instant::now();
    let stopping = async {
        poll::until("the request is committed", PATIENCE, async || {
            (world.controller.metric(commits, "").await > before).then_some(())
        })
        .await;
        world.controller.terminate();
        poll::until("new requests are refused", PATIENCE, async || {
            let answer = world.controller.once("GET", "/sessions", None).await;
            answer.is_err().then_some(())
        })
        .await;
        world.switch.sim().stall(false);
    };
    let (answer, ()) = tokio::join!(request, stopping);
    let answer = answer.expect("it was answered");
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(world.switch.sim().faults().stalled > 0);
    let status = world.controller.ended(STOP).await;
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < STOP, "{:?}", begun.elapsed());

    // The next one has the node at once, and tells what came of the last request, if it was not told yet.
    world.controller.start_again();
    let begun = Instant::now();
    world.controller.until_synced().await;
    assert!(begun.elapsed() < STOP, "{:?}", begun.elapsed());
    let told = world
        .receiver
        .first(&room, "conference.member.unmuted")
        .await;
    assert_eq!(told.body["data"]["command_uid"], "last-one");
    world.check_members(&room).await;
    world.receiver.check_story();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_an_idle_program_quickly() {
    let mut world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    world.controller.terminate();
    let status = world.controller.ended(STOP).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_in_time_when_nothing_answers_any_more() {
    let mut setup = Setup::impatient(Store::Redis);
    // Neither the request nor the node's other orders come to an end by themselves.
    setup.command_timeout = 60;
    let mut world = setup.start().await;
    world.controller.until_synced().await;
    let room = world.room("stuck").await;
    let session = world.call("1001").await;
    world.join(&session, &room).await;
    world.switch.sim().stall(true);
    let commits = "roomkeeper_store_commits_total";
    let before = world.controller.metric(commits, "").await;
    let path = format!("/sessions/{session}/commands/conference/unmute");
    let request = world.controller.once("POST", &path, None);
    let stopping = async {
        poll::until("the request is committed", PATIENCE, async || {
            (world.controller.metric(commits, "").await > before).then_some(())
        })
        .await;
        let delete = format!("/conferences/{room}");
        let answer = world.controller.ask("DELETE", &delete, None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        world.redis.as_ref().unwrap().pause().await;
        world.controller.terminate();
        Instant::now()
    };
    let (answer, begun) = tokio::join!(request, stopping);
    // Nothing can be said of it.
    let said = answer.map_or(504, |answer| answer.status);
    assert_eq!(said, 504);
    assert!(world.switch.sim().faults().stalled > 0);
    let status = world.controller.ended(STOP).await;
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < STOP, "{:?}", begun.elapsed());
}
