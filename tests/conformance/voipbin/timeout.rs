//! `timeout`: "Conference auto-termination timeout in seconds. Set to 0 for no timeout."

use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use serde_json::{Value, json};

use super::{LATE, NEVER};
use crate::program::poll;
use crate::row::{Row, rows};

rows! {
    Plain: [
        it_ends_when_its_time_is_over_and_members_are_parked,
        an_empty_one_ends_too,
        put_replaces_the_one_deadline,
        put_0_takes_it_away,
        put_of_a_time_that_is_over_ends_it,
    ]
    Plain, not in memory because "what a killed controller knew is gone": [
        a_time_that_was_over_while_no_controller_was_there,
    ]
}

/// How long after its making it was over, as it says of itself.
fn lasted(over: &Value) -> Duration {
    let at = |name: &str| over[name].as_str().unwrap().parse::<DateTime>().unwrap();
    let took = at("tm_create").duration_until(at("tm_delete"));
    Duration::try_from(took).unwrap()
}

fn is_on_time(over: &Value, seconds: u64) {
    let (took, due) = (lasted(over), Duration::from_secs(seconds));
    assert!(took >= due, "{took:?} of {due:?}");
    assert!(took <= due + LATE, "{took:?} of {due:?}");
}

async fn it_ends_when_its_time_is_over_and_members_are_parked(row: &Row<'_>) {
    let id = row.conference(json!({ "timeout": 3 })).await;
    let (call, stay) = row.inside(&id).await;
    let over = row.until_conference(&id, "terminated").await;
    is_on_time(&over, 3);
    row.until_call(&stay, "leaved").await;
    let room = row.room_of_conference(&id);
    let left = row.told(&room, "conference.member.left").await;
    assert_eq!(left.body["data"]["reason"], "timeout");
    row.told(&room, "conference.destroyed").await;
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn an_empty_one_ends_too(row: &Row<'_>) {
    let id = row.conference(json!({ "timeout": 1 })).await;
    is_on_time(&row.until_conference(&id, "terminated").await, 1);
}

async fn put_replaces_the_one_deadline(row: &Row<'_>) {
    let id = row.conference(json!({ "timeout": 2 })).await;
    let path = format!("/conferences/{id}");
    row.good("PUT", &path, json!({ "timeout": 4 })).await;
    is_on_time(&row.until_conference(&id, "terminated").await, 4);
}

async fn put_0_takes_it_away(row: &Row<'_>) {
    let id = row.conference(json!({ "timeout": 2 })).await;
    let path = format!("/conferences/{id}");
    row.good("PUT", &path, json!({ "timeout": 0 })).await;
    // Another one with the same time, made later, is over before.
    let other = row.conference(json!({ "timeout": 2 })).await;
    row.until_conference(&other, "terminated").await;
    let lives = row.conference_is(&id).await;
    assert_eq!(lives["status"], "progressing");
    assert_eq!(lives["tm_delete"], NEVER);
}

async fn put_of_a_time_that_is_over_ends_it(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, _) = row.inside(&id).await;
    let begun = Instant::now();
    poll::until("a second has passed", poll::PATIENCE, async || {
        (begun.elapsed() >= Duration::from_secs(1)).then_some(())
    })
    .await;
    let path = format!("/conferences/{id}");
    row.good("PUT", &path, json!({ "timeout": 1 })).await;
    row.until_conference(&id, "terminated").await;
    row.until_parked(&call).await;
}

async fn a_time_that_was_over_while_no_controller_was_there(row: &Row<'_>) {
    let mut row = row.alone(|_| {}).await;
    let id = row.conference(json!({ "timeout": 4 })).await;
    let (call, stay) = row.inside(&id).await;
    let begun = Instant::now();
    row.world_mut().controller.kill();
    poll::until("its time is over", poll::PATIENCE, async || {
        (begun.elapsed() >= Duration::from_secs(5)).then_some(())
    })
    .await;
    let room = row.room_of_conference(&id);
    assert_eq!(
        row.speaks(&room, &call).await,
        Some(true),
        "FreeSWITCH knows no time"
    );
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    row.until_conference(&id, "terminated").await;
    row.until_call(&stay, "leaved").await;
    row.until_parked(&call).await;
    row.told(&room, "conference.destroyed").await;
    row.check_story();
}
