//! 429: the cooldown of each group of commands, and the limit of all requests of an app.
//!
//! Time is real here. A row asks until it is told to wait, so that a slow machine makes it slow and not wrong, and then
//! waits for as long as it was told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::backend::APP_RATE;
use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};

rows! {
    Cooled: [
        conf_play_2_s_for_each_room,
        conference_control_200_ms_shared_by_pause_stop_and_volume,
        conference_control_is_for_each_room,
        conference_2_s_for_each_session_shared_by_join_and_leave,
        conference_mute_2_s_for_each_session_shared_by_mute_and_unmute,
        groups_do_not_share_their_cooldowns,
        what_is_refused_for_its_state_costs_no_cooldown,
        what_is_refused_for_its_state_is_so_also_while_a_cooldown_runs,
        already_joined_costs_no_cooldown,
        what_freeswitch_refuses_costs_no_cooldown,
        a_repeated_command_uid_costs_no_cooldown,
    ]
    Limited: [
        too_many_requests_of_an_app_429,
        requests_that_fail_count_too,
        requests_of_another_app_do_not_count,
    ]
}

const GROUP: u64 = 2_000;
const CONTROL: u64 = 200;

/// Follows the document's advice: come back after the given time.
async fn come_back(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Asks until the answer is 429 of this window; what is to be waited.
async fn until_limited(what: &str, window: u64, mut ask: impl AsyncFnMut() -> Answer) -> u64 {
    let what = format!("{what} is too soon");
    // A machine may be so slow that hardly any is.
    poll::until(&what, poll::PATIENCE * 6, async || {
        let answer = ask().await;
        if answer.status == 202 {
            // The machine was so slow that it was not too soon. Then the next one may be.
            return None;
        }
        Some(answer.limited(window))
    })
    .await
}

async fn conf_play_2_s_for_each_room(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    let (other, _) = row.inhabited().await;
    let body = json!({ "urls": [row.sound(60_000)] });
    assert_eq!(row.control(&room, "play", body.clone()).await.status, 202);
    let wait = until_limited("a second play", GROUP, async || {
        row.control(&room, "play", body.clone()).await
    })
    .await;
    assert_eq!(row.control(&other, "play", body.clone()).await.status, 202);
    let played = row.count(&room, "conference.play.started");
    come_back(wait).await;
    assert_eq!(row.control(&room, "play", body).await.status, 202);
    row.nth(&room, "conference.play.started", played + 1).await;
}

async fn conference_control_200_ms_shared_by_pause_stop_and_volume(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    let body = |what: &str| match what {
        "volume" => json!({ "volume": 2 }),
        _ => Value::Null,
    };
    // A stop last: a pause needs something that plays.
    for (first, second) in [
        ("volume", "volume"),
        ("volume", "pause"),
        ("pause", "volume"),
        ("pause", "pause"),
        ("volume", "stop"),
        ("stop", "volume"),
        ("stop", "stop"),
    ] {
        if first == "volume" && second == "volume" {
            let url = row.sound(60_000);
            row.play(&room, &[&url]).await;
            row.until_plays(&room, Some(&url)).await;
        }
        let wait = until_limited(&format!("{second} after {first}"), CONTROL, async || {
            // The first one may itself come too soon after the last pair.
            poll::until(first, poll::PATIENCE, async || {
                let answer = row.control(&room, first, body(first)).await;
                if answer.status == 429 {
                    come_back(answer.limited(CONTROL)).await;
                    return None;
                }
                assert_eq!(answer.status, 202, "{}", answer.body);
                Some(())
            })
            .await;
            row.control(&room, second, body(second)).await
        })
        .await;
        come_back(wait).await;
        let answer = row.control(&room, second, body(second)).await;
        assert_eq!(
            answer.status, 202,
            "{second} after {first}: {}",
            answer.body
        );
    }
}

async fn conference_control_is_for_each_room(row: &Row<'_>) {
    let (one, two) = (row.room().await, row.room().await);
    let body = json!({ "volume": 2 });
    let mut others = 0;
    until_limited("a second volume of one room", CONTROL, async || {
        assert_ne!(row.control(&one, "volume", body.clone()).await.status, 404);
        // Only once: its own cooldown would be in the way.
        if others == 0 {
            others += 1;
            assert_eq!(row.control(&two, "volume", body.clone()).await.status, 202);
        }
        row.control(&one, "volume", body.clone()).await
    })
    .await;
}

/// Asks for it at once after the call has done something else of the same group; again with another call, should the
/// machine have been too slow. The call, and what it has to wait.
async fn too_soon(
    row: &Row<'_>,
    what: &str,
    mut before: impl AsyncFnMut() -> (Call, Value),
) -> (Call, u64) {
    poll::until(&format!("{what} is too soon"), poll::PATIENCE, async || {
        let (call, body) = before().await;
        let answer = row.command(&call, what, body).await;
        if answer.status == 202 {
            return None;
        }
        Some((call, answer.limited(GROUP)))
    })
    .await
}

async fn conference_2_s_for_each_session_shared_by_join_and_leave(row: &Row<'_>) {
    let room = row.room().await;
    let (call, wait) = too_soon(row, "leave", async || {
        (row.member(&room).await, Value::Null)
    })
    .await;
    assert_eq!(row.place(&call).await, ("in_room".to_owned(), json!(room)));
    // It is not another session's.
    let other = row.member(&room).await;
    come_back(wait).await;
    let answer = row.command(&call, "leave", Value::Null).await;
    answer.is(202, json!({ "status": "leaving", "room_id": room }));
    let join = json!({ "room_id": room });
    let (call, wait) = too_soon(row, "join", async || {
        // Whoever was too slow last time comes round again.
        let call = if row.place(&call).await.0 == "in_room" {
            &other
        } else {
            &call
        };
        poll::until("the call may leave", poll::PATIENCE, async || {
            let (state, _) = row.place(call).await;
            if state == "parked" {
                return Some(());
            }
            let answer = row.command(call, "leave", Value::Null).await;
            if answer.status == 429 {
                come_back(answer.limited(GROUP)).await;
            }
            None
        })
        .await;
        (call.clone(), join.clone())
    })
    .await;
    come_back(wait).await;
    let answer = row.joins(&call, &room).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
}

async fn conference_mute_2_s_for_each_session_shared_by_mute_and_unmute(row: &Row<'_>) {
    let room = row.room().await;
    let (call, wait) = too_soon(row, "mute", async || {
        let call = row.member(&room).await;
        let told = row.count(&room, "conference.member.unmuted");
        assert_eq!(row.command(&call, "unmute", Value::Null).await.status, 202);
        row.nth(&room, "conference.member.unmuted", told + 1).await;
        (call, Value::Null)
    })
    .await;
    assert_eq!(
        row.speaks(&room, &call).await,
        Some(true),
        "it was not muted"
    );
    // It is not another session's.
    let other = row.member(&room).await;
    assert_eq!(row.command(&other, "unmute", Value::Null).await.status, 202);
    come_back(wait).await;
    let answer = row.command(&call, "mute", Value::Null).await;
    answer.is(202, json!({ "status": "muted", "room_id": room }));
    row.told(&room, "conference.member.muted").await;
    let answer = row.command(&call, "unmute", Value::Null).await;
    if answer.status != 202 {
        come_back(answer.limited(GROUP)).await;
        let answer = row.command(&call, "unmute", Value::Null).await;
        answer.is(202, json!({ "status": "unmuted", "room_id": room }));
    }
}

async fn groups_do_not_share_their_cooldowns(row: &Row<'_>) {
    // Each of these is the first of its group; all cooldowns together are asked of one call and one room.
    let (room, call) = row.inhabited().await;
    assert_eq!(row.command(&call, "unmute", Value::Null).await.status, 202);
    row.play(&room, &[&row.sound(60_000)]).await;
    let body = json!({ "volume": 2 });
    assert_eq!(row.control(&room, "volume", body).await.status, 202);
}

async fn what_is_refused_for_its_state_costs_no_cooldown(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "urls": [row.sound(60_000)] });
    row.control(&room, "play", body.clone()).await.fails(409);
    row.control(&room, "pause", Value::Null).await.fails(409);
    assert_eq!(
        row.control(&room, "volume", json!({ "volume": 1 }))
            .await
            .status,
        202
    );
    row.command(&call, "leave", Value::Null).await.fails(404);
    row.command(&call, "mute", Value::Null).await.fails(404);
    row.join(&call, &room).await;
    assert_eq!(row.control(&room, "play", body).await.status, 202);
    row.command(&call, "mute", Value::Null).await.fails(409);
    assert_eq!(row.command(&call, "unmute", Value::Null).await.status, 202);
}

async fn what_is_refused_for_its_state_is_so_also_while_a_cooldown_runs(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    let other = row.room().await;
    // The cooldown of its join runs, and that of this unmute.
    assert_eq!(row.command(&call, "unmute", Value::Null).await.status, 202);
    row.told(&room, "conference.member.unmuted").await;
    row.command(&call, "unmute", Value::Null).await.fails(409);
    row.joins(&call, &other).await.fails(409);
    let again = row.joins(&call, &room).await;
    again.is(200, json!({ "status": "already_joined", "room_id": room }));
}

async fn already_joined_costs_no_cooldown(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    // When the cooldown of its own join is over, an idempotent one does not begin another.
    let wait = poll::until("the cooldown of the join", poll::PATIENCE, async || {
        let answer = row
            .command(&call, "leave", json!({ "command_uid": "away" }))
            .await;
        if answer.status == 202 {
            return Some(None);
        }
        Some(Some(answer.limited(GROUP)))
    })
    .await;
    let Some(wait) = wait else {
        // So slow a machine that the cooldown was over: the leave is the proof already.
        return;
    };
    come_back(wait).await;
    let again = row.joins(&call, &room).await;
    again.is(200, json!({ "status": "already_joined", "room_id": room }));
    let answer = row.command(&call, "leave", Value::Null).await;
    answer.is(202, json!({ "status": "leaving", "room_id": room }));
}

async fn what_freeswitch_refuses_costs_no_cooldown(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    // Somebody keeps the conference alive.
    row.member(&room).await;
    let hold = row.hold_room_and_call(&room, &call);
    row.fs(&format!("uuid_transfer {} park inline", call.channel))
        .await;
    row.until_speaks(&room, &call, None).await;
    for _ in 0..3 {
        row.command(&call, "unmute", Value::Null).await.fails(404);
    }
    hold.release();
}

async fn a_repeated_command_uid_costs_no_cooldown(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "room_id": room, "command_uid": "join-once" });
    for _ in 0..4 {
        let answer = row.command(&call, "join", body.clone()).await;
        answer.is(202, json!({ "status": "joining", "room_id": room }));
    }
    row.told(&room, "conference.member.joined").await;
    row.told_only(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

/// Asks, many at a time, until one is told to wait.
async fn until_too_many(what: &str, ask: impl AsyncFn() -> Answer) -> u64 {
    poll::until(what, poll::PATIENCE, async || {
        let all = (0..APP_RATE * 2).map(|_| ask());
        let answers = futures_util::future::join_all(all).await;
        let limited = answers.iter().find(|answer| answer.status == 429)?;
        Some(limited.limited(1_000))
    })
    .await
}

async fn too_many_requests_of_an_app_429(row: &Row<'_>) {
    let app = row.running.new_app();
    let get = async || row.ask(&app, "GET", "/conferences", None).await;
    let mut wait = until_too_many("too many requests", get).await;
    // Others of this app may be faster: again, as told.
    poll::until("a request passes", poll::PATIENCE, async || {
        come_back(wait).await;
        let answer = get().await;
        if answer.status == 429 {
            wait = answer.limited(1_000);
            return None;
        }
        answer.is(200, json!({ "conferences": [], "cursor": "" }));
        Some(())
    })
    .await;
}

async fn requests_that_fail_count_too(row: &Row<'_>) {
    let app = row.running.new_app();
    until_too_many("too many bad requests", async || {
        let answer = row.ask(&app, "GET", "/conferences/nonsense", None).await;
        assert!([400, 429].contains(&answer.status), "{}", answer.body);
        answer
    })
    .await;
}

async fn requests_of_another_app_do_not_count(row: &Row<'_>) {
    let (one, two) = (row.running.new_app(), row.running.new_app());
    until_too_many("too many requests", async || {
        row.ask(&one, "GET", "/conferences", None).await
    })
    .await;
    let answer = row.ask(&two, "GET", "/conferences", None).await;
    answer.is(200, json!({ "conferences": [], "cursor": "" }));
}
