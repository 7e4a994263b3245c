//! `POST /api/v1/conferences/{room_id}/say` and `/members/{uuid}/say`. A node without a speech engine refuses both.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        say_answers_202_and_freeswitch_speaks,
        say_webhooks_tell_the_text_and_its_end,
        say_waits_for_the_file_before_it,
        say_is_paused_and_stopped_like_a_file,
        say_keeps_quotes_and_braces_in_the_text,
        say_uses_a_configured_voice_and_reports_one_that_freeswitch_lacks,
        say_400_bad_texts_and_voices,
        say_403_404_409,
        say_repeated_with_the_same_command_uid_speaks_once,
        say_to_a_member_is_heard_by_that_member_alone,
        say_to_a_member_webhooks_tell_the_text_and_its_end,
        say_to_a_member_keeps_quotes_and_braces_in_the_text,
        say_to_a_member_stops_when_it_leaves,
    ]
}

const SHORT: &str = "Hello.";

/// A text that lasts for seconds.
fn long() -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(60)
}

/// Returns true if the node speaks, else checks that it refuses.
async fn speaks(row: &Row<'_>, room: &str) -> bool {
    let speaks = row.fs("module_exists mod_flite").await == "true";
    if !speaks {
        let answer = row.control(room, "say", json!({ "text": SHORT })).await;
        answer.names_field("text");
    }
    speaks
}

/// Creates a room with one member, on a node that speaks.
async fn room_with_member(row: &Row<'_>) -> Option<(String, Call)> {
    let (room, call) = row.room_with_member().await;
    speaks(row, &room).await.then_some((room, call))
}

async fn say(row: &Row<'_>, room: &str, body: Value) -> String {
    let answer = row.control(room, "say", body).await;
    answer.is(
        202,
        json!({ "operation_id": UUID, "status": "in_progress" }),
    );
    answer.text("operation_id")
}

async fn of_member(row: &Row<'_>, room: &str, call: &Call, what: &str, body: Value) -> Answer {
    let path = format!("members/{}/{what}", call.id);
    row.control(room, &path, body).await
}

async fn until_speaks(row: &Row<'_>, room: &str, call: Option<&Call>, text: &str) {
    let member = call.map(|call| format!(" uuid={}", call.channel));
    let ask = format!(
        "conference {room} play_status{}",
        member.unwrap_or_default()
    );
    let what = format!("FreeSWITCH speaks {text}");
    poll::until(&what, poll::TIMEOUT, async || {
        row.fs(&ask).await.contains(text).then_some(())
    })
    .await;
}

async fn say_answers_202_and_freeswitch_speaks(row: &Row<'_>) {
    let Some((room, _)) = room_with_member(row).await else {
        return;
    };
    let text = long();
    let operation = say(row, &room, json!({ "text": text })).await;
    until_speaks(row, &room, None, "|kal|The quick brown fox").await;
    let shown = row.status(&room).await.body;
    assert_eq!(shown["playback_status"], "playing");
    assert_eq!(shown["playback_text"], text.trim_end());
    assert_eq!(shown["playback_urls"], json!([]));
    assert_eq!(shown["playback_operation_id"], operation);
    row.control(&room, "stop", Value::Null).await;
    row.webhook(&room, "conference.play.stopped").await;
    let shown = row.status(&room).await.body;
    assert_eq!(shown["playback_text"], Value::Null);
}

async fn say_webhooks_tell_the_text_and_its_end(row: &Row<'_>) {
    let Some((room, _)) = room_with_member(row).await else {
        return;
    };
    let operation = say(row, &room, json!({ "text": SHORT, "command_uid": "s.1" })).await;
    let data =
        json!({ "urls": [], "text": SHORT, "operation_id": operation, "command_uid": "s.1" });
    row.check_first_webhook(&room, "conference.play.started", None, data)
        .await;
    let data = json!({ "errors": [], "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.finished", None, data)
        .await;
}

async fn say_waits_for_the_file_before_it(row: &Row<'_>) {
    let Some((room, _)) = room_with_member(row).await else {
        return;
    };
    let file = row.sound(60_000);
    row.play(&room, &[&file]).await;
    row.until_plays(&room, Some(&file)).await;
    let text = long();
    say(row, &room, json!({ "text": text })).await;
    row.until_plays(&room, Some(&file)).await;
    row.fs(&format!("conference {room} stop current")).await;
    until_speaks(row, &room, None, "The quick brown fox").await;
}

async fn say_is_paused_and_stopped_like_a_file(row: &Row<'_>) {
    let Some((room, _)) = room_with_member(row).await else {
        return;
    };
    let operation = say(row, &room, json!({ "text": long() })).await;
    until_speaks(row, &room, None, "The quick brown fox").await;
    for (status, event) in [
        ("paused", "conference.play.paused"),
        ("in_progress", "conference.play.resumed"),
    ] {
        let answer = row.control(&room, "pause", Value::Null).await;
        answer.is(202, json!({ "operation_id": operation, "status": status }));
        let data = json!({ "operation_id": operation });
        row.check_first_webhook(&room, event, None, data).await;
    }
    let answer = row.control(&room, "stop", Value::Null).await;
    answer.is(
        202,
        json!({ "operation_id": operation, "status": "stopped" }),
    );
    let data = json!({ "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.stopped", None, data)
        .await;
    row.until_plays(&room, None).await;
}

/// Texts that FreeSWITCH would take apart if they were not written with care.
const ODD: [&str; 6] = [
    "don't stop: 'quoted', \"twice\" and it's",
    "back\\slash \\' and \\",
    "braces } { [ ] ( ) | and $5, 50% off; `ls` #1 & ^^:x",
    "async",
    "https://cdn.example.com/a.wav!b.wav",
    "\u{65e5}\u{672c}\u{8a9e} na\u{ef}ve \u{1f600}",
];

async fn say_keeps_quotes_and_braces_in_the_text(row: &Row<'_>) {
    let Some((room, _)) = room_with_member(row).await else {
        return;
    };
    for (n, text) in ODD.into_iter().enumerate() {
        let operation = say(row, &room, json!({ "text": text })).await;
        let started = row
            .nth_webhook(&room, "conference.play.started", n + 1)
            .await;
        let data = json!({ "urls": [], "text": text, "operation_id": operation });
        row.check_webhook(&started, &room, None, data);
        let finished = row
            .nth_webhook(&room, "conference.play.finished", n + 1)
            .await;
        let data = json!({ "errors": [], "operation_id": operation });
        row.check_webhook(&finished, &room, None, data);
    }
}

async fn say_uses_a_configured_voice_and_reports_one_that_freeswitch_lacks(row: &Row<'_>) {
    let Some((room, _)) = room_with_member(row).await else {
        return;
    };
    say(row, &room, json!({ "text": long(), "voice": "slt" })).await;
    until_speaks(row, &room, None, "|slt|The quick brown fox").await;
    row.control(&room, "stop", Value::Null).await;
    row.webhook(&room, "conference.play.stopped").await;
    let operation = say(row, &room, json!({ "text": SHORT, "voice": "nobody" })).await;
    let error =
        json!({ "text": SHORT, "voice": "nobody", "error": "the file could not be played" });
    let data = json!({ "errors": [error], "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.finished", None, data)
        .await;
}

async fn say_400_bad_texts_and_voices(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let too_long = "x".repeat(4_097);
    for (body, field) in [
        (json!({}), "text"),
        (json!({ "text": " " }), "text"),
        (json!({ "text": ["a"] }), "text"),
        (json!({ "text": "${uptime}" }), "text"),
        (json!({ "text": "{rate=1}a" }), "text"),
        (json!({ "text": too_long }), "text"),
        (json!({ "text": "a", "voice": "rms" }), "voice"),
        (json!({ "text": "a", "voice": "kal|b" }), "voice"),
    ] {
        let answer = row.control(&room, "say", body.clone()).await;
        answer.names_field(field);
        let answer = of_member(row, &room, &call, "say", body).await;
        answer.names_field(field);
    }
}

async fn say_403_404_409(row: &Row<'_>) {
    let Some((room, call)) = room_with_member(row).await else {
        return;
    };
    let (theirs, empty) = (row.room_of(row.other()).await, row.room().await);
    let body = || json!({ "text": long() });
    row.control(&theirs, "say", body()).await.fails(403);
    row.control(&empty, "say", body()).await.fails(409);
    let unknown = format!("members/{}-{}/say", row.node(), Uuid::new_v4());
    row.control(&room, &unknown, body()).await.fails(404);
    for (room, status) in [(&theirs, 403), (&empty, 404)] {
        let refused = of_member(row, room, &call, "say", body()).await;
        refused.fails(status);
    }
    // The texts for a member have 32 KiB. They wait behind a file.
    let file = json!({ "urls": [row.sound(600_000)] });
    let answer = of_member(row, &room, &call, "play", file).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    for _ in 0..12 {
        let answer = of_member(row, &room, &call, "say", body()).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let full = of_member(row, &room, &call, "say", body()).await;
    full.fails(409);
}

async fn say_repeated_with_the_same_command_uid_speaks_once(row: &Row<'_>) {
    let Some((room, _)) = room_with_member(row).await else {
        return;
    };
    let body = json!({ "text": SHORT, "command_uid": "s.1" });
    let first = say(row, &room, body.clone()).await;
    assert_eq!(say(row, &room, body).await, first);
    let other = json!({ "text": "Other.", "command_uid": "s.1" });
    row.control(&room, "say", other).await.fails(409);
    row.webhook(&room, "conference.play.finished").await;
    assert_eq!(row.count(&room, "conference.play.started"), 1);
}

async fn say_to_a_member_is_heard_by_that_member_alone(row: &Row<'_>) {
    let Some((room, call)) = room_with_member(row).await else {
        return;
    };
    let other = row.member(&room).await;
    let answer = of_member(row, &room, &call, "say", json!({ "text": long() })).await;
    answer.is(
        202,
        json!({ "operation_id": UUID, "status": "in_progress" }),
    );
    until_speaks(row, &room, Some(&call), "The quick brown fox").await;
    until_speaks(row, &room, Some(&other), "Nothing is playing").await;
    row.until_plays(&room, None).await;
    let answer = of_member(row, &room, &call, "stop", Value::Null).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    until_speaks(row, &room, Some(&call), "Nothing is playing").await;
}

async fn say_to_a_member_webhooks_tell_the_text_and_its_end(row: &Row<'_>) {
    let Some((room, call)) = room_with_member(row).await else {
        return;
    };
    let body = json!({ "text": SHORT, "voice": "slt", "command_uid": "s.1" });
    let answer = of_member(row, &room, &call, "say", body).await;
    let operation = answer.text("operation_id");
    let data = json!({
        "urls": [], "text": SHORT, "voice": "slt", "operation_id": operation, "command_uid": "s.1",
    });
    let started = "conference.member.play.started";
    row.check_first_webhook(&room, started, Some(&call), data)
        .await;
    let data = json!({ "errors": [], "operation_id": operation });
    let finished = "conference.member.play.finished";
    row.check_first_webhook(&room, finished, Some(&call), data)
        .await;
}

async fn say_to_a_member_keeps_quotes_and_braces_in_the_text(row: &Row<'_>) {
    let Some((room, call)) = room_with_member(row).await else {
        return;
    };
    let finished = "conference.member.play.finished";
    for (n, text) in ODD.into_iter().enumerate() {
        let answer = of_member(row, &room, &call, "say", json!({ "text": text })).await;
        let operation = answer.text("operation_id");
        let webhook = row.nth_webhook(&room, finished, n + 1).await;
        let data = json!({ "errors": [], "operation_id": operation });
        row.check_webhook(&webhook, &room, Some(&call), data);
    }
}

async fn say_to_a_member_stops_when_it_leaves(row: &Row<'_>) {
    let Some((room, call)) = room_with_member(row).await else {
        return;
    };
    let answer = of_member(row, &room, &call, "say", json!({ "text": long() })).await;
    let operation = answer.text("operation_id");
    row.command(&call, "leave", Value::Null).await;
    let stopped = "conference.member.play.stopped";
    let data = json!({ "operation_id": operation });
    row.check_first_webhook(&room, stopped, Some(&call), data)
        .await;
}
