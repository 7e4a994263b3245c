//! SIGTERM: the program refuses new requests, finishes those in flight, and hands its node over at once.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll::{self, TIMEOUT};
use crate::program::world::{Setup, Store};

/// The program's promised time to stop.
const STOP: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_requests_in_flight_and_hands_over() {
    let mut setup = Setup::on(Store::Redis);
    // The next controller cannot wait for this lease to expire.
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
    let start = Instant::now();
    let stopping = async {
        poll::until("the request is committed", TIMEOUT, async || {
            (world.controller.metric(commits, "").await > before).then_some(())
        })
        .await;
        world.controller.terminate();
        poll::until("new requests are refused", TIMEOUT, async || {
            let answer = world.controller.once("GET", "/sessions", None).await;
            answer.is_err().then_some(())
        })
        .await;
        world.switch.sim().stall(false);
    };
    let (answer, ()) = tokio::join!(request, stopping);
    let answer = answer.expect("the request is answered");
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(world.switch.sim().faults().stalled > 0);
    let status = world.controller.ended(STOP).await;
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < STOP, "{:?}", start.elapsed());

    // The next controller gets the node at once, and reports the result of the last request if it was not reported yet.
    world.controller.start_again();
    let start = Instant::now();
    world.controller.until_synced().await;
    assert!(start.elapsed() < STOP, "{:?}", start.elapsed());
    let webhook = world
        .receiver
        .first(&room, "conference.member.unmuted")
        .await;
    assert_eq!(webhook.body["data"]["command_uid"], "last-one");
    world.check_members(&room).await;
    world.receiver.check_sequences();
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
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    // Neither the request nor the node's other commands end by themselves.
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
        poll::until("the request is committed", TIMEOUT, async || {
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
    let (answer, start) = tokio::join!(request, stopping);
    // The result is unknown.
    let status = answer.map_or(504, |answer| answer.status);
    assert_eq!(status, 504);
    assert!(world.switch.sim().faults().stalled > 0);
    let status = world.controller.ended(STOP).await;
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < STOP, "{:?}", start.elapsed());
}
