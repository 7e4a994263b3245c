//! `timeout`: "Conference auto-termination timeout in seconds. Set to 0 for no timeout."

use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use serde_json::{Value, json};

use super::{LATE, NEVER};
use crate::program::poll;
use crate::row::{Row, rows};

rows! {
    Plain: [
        conference_ends_at_its_timeout_and_members_are_parked,
        an_empty_conference_ends_at_its_timeout,
        put_replaces_the_deadline,
        put_0_removes_the_timeout,
        put_of_a_past_timeout_ends_it,
    ]
    Plain, not in memory because "a killed controller loses its state": [
        timeout_that_passed_while_no_controller_ran_ends_it,
    ]
}

/// Returns the time from creation to end, as the conference reports it.
fn duration(over: &Value) -> Duration {
    let at = |name: &str| over[name].as_str().unwrap().parse::<DateTime>().unwrap();
    let took = at("tm_create").duration_until(at("tm_delete"));
    Duration::try_from(took).unwrap()
}

fn is_on_time(over: &Value, seconds: u64) {
    let (took, due) = (duration(over), Duration::from_secs(seconds));
    assert!(took >= due, "{took:?} of {due:?}");
    assert!(took <= due + LATE, "{took:?} of {due:?}");
}

async fn conference_ends_at_its_timeout_and_members_are_parked(row: &Row<'_>) {
    let id = row.conference(json!({ "timeout": 3 })).await;
    let (call, membership) = row.joined_call(&id).await;
    let over = row.until_conference(&id, "terminated").await;
    is_on_time(&over, 3);
    row.until_conferencecall(&membership, "leaved").await;
    let room = row.room_of_conference(&id);
    let left = row.webhook(&room, "conference.member.left").await;
    assert_eq!(left.body["data"]["reason"], "timeout");
    row.webhook(&room, "conference.destroyed").await;
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn an_empty_conference_ends_at_its_timeout(row: &Row<'_>) {
    let id = row.conference(json!({ "timeout": 1 })).await;
    is_on_time(&row.until_conference(&id, "terminated").await, 1);
}

async fn put_replaces_the_deadline(row: &Row<'_>) {
    let id = row.conference(json!({ "timeout": 2 })).await;
    let path = format!("/conferences/{id}");
    row.send_ok("PUT", &path, json!({ "timeout": 4 })).await;
    is_on_time(&row.until_conference(&id, "terminated").await, 4);
}

async fn put_0_removes_the_timeout(row: &Row<'_>) {
    let id = row.conference(json!({ "timeout": 2 })).await;
    let path = format!("/conferences/{id}");
    row.send_ok("PUT", &path, json!({ "timeout": 0 })).await;
    // Another conference with the same timeout, created later, ends before.
    let other = row.conference(json!({ "timeout": 2 })).await;
    row.until_conference(&other, "terminated").await;
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["status"], "progressing");
    assert_eq!(conference["tm_delete"], NEVER);
}

async fn put_of_a_past_timeout_ends_it(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, _) = row.joined_call(&id).await;
    let start = Instant::now();
    poll::until("a second has passed", poll::TIMEOUT, async || {
        (start.elapsed() >= Duration::from_secs(1)).then_some(())
    })
    .await;
    let path = format!("/conferences/{id}");
    row.send_ok("PUT", &path, json!({ "timeout": 1 })).await;
    row.until_conference(&id, "terminated").await;
    row.until_parked(&call).await;
}

async fn timeout_that_passed_while_no_controller_ran_ends_it(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let id = row.conference(json!({ "timeout": 4 })).await;
    let (call, membership) = row.joined_call(&id).await;
    let start = Instant::now();
    row.world_mut().controller.kill();
    poll::until("the timeout has passed", poll::TIMEOUT, async || {
        (start.elapsed() >= Duration::from_secs(5)).then_some(())
    })
    .await;
    let room = row.room_of_conference(&id);
    assert_eq!(
        row.speaks(&room, &call).await,
        Some(true),
        "FreeSWITCH has no timeout"
    );
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    row.until_conference(&id, "terminated").await;
    row.until_conferencecall(&membership, "leaved").await;
    row.until_parked(&call).await;
    row.webhook(&room, "conference.destroyed").await;
    row.check_webhooks();
}
