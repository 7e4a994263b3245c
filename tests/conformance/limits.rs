//! 429: the cooldown of each group of commands, and the rate limit of an app.
//!
//! Time is real here. A row repeats a request until it gets 429, so that a slow machine makes the row slow but not
//! wrong, and then waits for as long as the answer says.

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
        refusal_for_the_state_costs_no_cooldown,
        refusal_for_the_state_precedes_a_running_cooldown,
        already_joined_costs_no_cooldown,
        refusal_by_freeswitch_costs_no_cooldown,
        repeated_command_uid_costs_no_cooldown,
    ]
    Limited: [
        too_many_requests_of_an_app_429,
        requests_that_fail_count_too,
        requests_of_another_app_do_not_count,
    ]
}

const GROUP: u64 = 2_000;
const CONTROL: u64 = 200;

/// Waits for the time that the answer gives, as the document advises.
async fn wait_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Repeats a request until its answer is 429 of this window; returns the time to wait, in milliseconds.
async fn until_limited(what: &str, window: u64, mut ask: impl AsyncFnMut() -> Answer) -> u64 {
    let what = format!("{what} is too soon");
    // On a slow machine hardly any request is too soon.
    poll::until(&what, poll::TIMEOUT * 6, async || {
        let answer = ask().await;
        if answer.status == 202 {
            // The machine was so slow that the cooldown had passed. The next request may be too soon.
            return None;
        }
        Some(answer.is_limited(window))
    })
    .await
}

async fn conf_play_2_s_for_each_room(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let (other, _) = row.room_with_member().await;
    let body = json!({ "urls": [row.sound(60_000)] });
    assert_eq!(row.control(&room, "play", body.clone()).await.status, 202);
    let wait = until_limited("a second play", GROUP, async || {
        row.control(&room, "play", body.clone()).await
    })
    .await;
    assert_eq!(row.control(&other, "play", body.clone()).await.status, 202);
    let played = row.count(&room, "conference.play.started");
    wait_ms(wait).await;
    assert_eq!(row.control(&room, "play", body).await.status, 202);
    row.nth_webhook(&room, "conference.play.started", played + 1)
        .await;
}

async fn conference_control_200_ms_shared_by_pause_stop_and_volume(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let body = |what: &str| match what {
        "volume" => json!({ "volume": 2 }),
        _ => Value::Null,
    };
    // Stop is last: a pause needs a playback.
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
            // The first command may itself be too soon after the last pair.
            poll::until(first, poll::TIMEOUT, async || {
                let answer = row.control(&room, first, body(first)).await;
                if answer.status == 429 {
                    wait_ms(answer.is_limited(CONTROL)).await;
                    return None;
                }
                assert_eq!(answer.status, 202, "{}", answer.body);
                Some(())
            })
            .await;
            row.control(&room, second, body(second)).await
        })
        .await;
        wait_ms(wait).await;
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
        // Only once: the other room's own cooldown would interfere.
        if others == 0 {
            others += 1;
            assert_eq!(row.control(&two, "volume", body.clone()).await.status, 202);
        }
        row.control(&one, "volume", body.clone()).await
    })
    .await;
}

/// Sends the command at once after the call has done another one of the same group; repeats with another call if the
/// machine was too slow. Returns the call and the time to wait, in milliseconds.
async fn too_soon(
    row: &Row<'_>,
    what: &str,
    mut before: impl AsyncFnMut() -> (Call, Value),
) -> (Call, u64) {
    poll::until(&format!("{what} is too soon"), poll::TIMEOUT, async || {
        let (call, body) = before().await;
        let answer = row.command(&call, what, body).await;
        if answer.status == 202 {
            return None;
        }
        Some((call, answer.is_limited(GROUP)))
    })
    .await
}

async fn conference_2_s_for_each_session_shared_by_join_and_leave(row: &Row<'_>) {
    let room = row.room().await;
    let (call, wait) = too_soon(row, "leave", async || {
        (row.member(&room).await, Value::Null)
    })
    .await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("in_room".to_owned(), json!(room))
    );
    // The cooldown does not apply to another session.
    let other = row.member(&room).await;
    wait_ms(wait).await;
    let answer = row.command(&call, "leave", Value::Null).await;
    answer.is(202, json!({ "status": "leaving", "room_id": room }));
    let join = json!({ "room_id": room });
    let (call, wait) = too_soon(row, "join", async || {
        // A call that was too slow last time comes round again.
        let call = if row.state_and_room(&call).await.0 == "in_room" {
            &other
        } else {
            &call
        };
        poll::until("the call may leave", poll::TIMEOUT, async || {
            let (state, _) = row.state_and_room(call).await;
            if state == "parked" {
                return Some(());
            }
            let answer = row.command(call, "leave", Value::Null).await;
            if answer.status == 429 {
                wait_ms(answer.is_limited(GROUP)).await;
            }
            None
        })
        .await;
        (call.clone(), join.clone())
    })
    .await;
    wait_ms(wait).await;
    let answer = row.request_join(&call, &room).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
}

async fn conference_mute_2_s_for_each_session_shared_by_mute_and_unmute(row: &Row<'_>) {
    let room = row.room().await;
    let (call, wait) = too_soon(row, "mute", async || {
        let call = row.member(&room).await;
        let count = row.count(&room, "conference.member.unmuted");
        assert_eq!(row.command(&call, "unmute", Value::Null).await.status, 202);
        row.nth_webhook(&room, "conference.member.unmuted", count + 1)
            .await;
        (call, Value::Null)
    })
    .await;
    assert_eq!(
        row.speaks(&room, &call).await,
        Some(true),
        "a limited mute took effect"
    );
    // The cooldown does not apply to another session.
    let other = row.member(&room).await;
    assert_eq!(row.command(&other, "unmute", Value::Null).await.status, 202);
    wait_ms(wait).await;
    let answer = row.command(&call, "mute", Value::Null).await;
    answer.is(202, json!({ "status": "muted", "room_id": room }));
    row.webhook(&room, "conference.member.muted").await;
    let answer = row.command(&call, "unmute", Value::Null).await;
    if answer.status != 202 {
        wait_ms(answer.is_limited(GROUP)).await;
        let answer = row.command(&call, "unmute", Value::Null).await;
        answer.is(202, json!({ "status": "unmuted", "room_id": room }));
    }
}

async fn groups_do_not_share_their_cooldowns(row: &Row<'_>) {
    // Each of these commands is the first of its group; all cooldowns apply to one call and one room.
    let (room, call) = row.room_with_member().await;
    assert_eq!(row.command(&call, "unmute", Value::Null).await.status, 202);
    row.play(&room, &[&row.sound(60_000)]).await;
    let body = json!({ "volume": 2 });
    assert_eq!(row.control(&room, "volume", body).await.status, 202);
}

async fn refusal_for_the_state_costs_no_cooldown(row: &Row<'_>) {
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

async fn refusal_for_the_state_precedes_a_running_cooldown(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let other = row.room().await;
    // The cooldowns of the join and of this unmute run.
    assert_eq!(row.command(&call, "unmute", Value::Null).await.status, 202);
    row.webhook(&room, "conference.member.unmuted").await;
    row.command(&call, "unmute", Value::Null).await.fails(409);
    row.request_join(&call, &other).await.fails(409);
    let again = row.request_join(&call, &room).await;
    again.is(200, json!({ "status": "already_joined", "room_id": room }));
}

async fn already_joined_costs_no_cooldown(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    // When the join's cooldown is over, an idempotent join does not start another.
    let wait = poll::until("the cooldown of the join", poll::TIMEOUT, async || {
        let answer = row
            .command(&call, "leave", json!({ "command_uid": "away" }))
            .await;
        if answer.status == 202 {
            return Some(None);
        }
        Some(Some(answer.is_limited(GROUP)))
    })
    .await;
    let Some(wait) = wait else {
        // The machine is so slow that the cooldown is over: the leave is proof enough.
        return;
    };
    wait_ms(wait).await;
    let again = row.request_join(&call, &room).await;
    again.is(200, json!({ "status": "already_joined", "room_id": room }));
    let answer = row.command(&call, "leave", Value::Null).await;
    answer.is(202, json!({ "status": "leaving", "room_id": room }));
}

async fn refusal_by_freeswitch_costs_no_cooldown(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    // Another member keeps the conference alive.
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

async fn repeated_command_uid_costs_no_cooldown(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "room_id": room, "command_uid": "join-once" });
    for _ in 0..4 {
        let answer = row.command(&call, "join", body.clone()).await;
        answer.is(202, json!({ "status": "joining", "room_id": room }));
    }
    row.webhook(&room, "conference.member.joined").await;
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

/// Sends concurrent requests until one gets 429; returns the time to wait, in milliseconds.
async fn until_too_many(what: &str, ask: impl AsyncFn() -> Answer) -> u64 {
    poll::until(what, poll::TIMEOUT, async || {
        let all = (0..APP_RATE * 2).map(|_| ask());
        let answers = futures_util::future::join_all(all).await;
        let limited = answers.iter().find(|answer| answer.status == 429)?;
        Some(limited.is_limited(1_000))
    })
    .await
}

async fn too_many_requests_of_an_app_429(row: &Row<'_>) {
    let app = row.running.new_app();
    let get = async || row.ask(&app, "GET", "/conferences", None).await;
    let mut wait = until_too_many("too many requests", get).await;
    // Other requests of this app may be faster: wait again for as long as the answer says.
    poll::until("a request passes", poll::TIMEOUT, async || {
        wait_ms(wait).await;
        let answer = get().await;
        if answer.status == 429 {
            wait = answer.is_limited(1_000);
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
