//! `command_uid`: the optional field of every command.

use serde_json::{Value, json};

use crate::row::{Row, rows};

rows! {
    Plain: [
        command_uid_is_echoed_in_the_webhook_of_every_session_command,
        command_uid_202_of_128_characters,
        command_uid_400_malformed,
        command_uid_again_answers_the_same_and_acts_once,
        command_uid_again_answers_the_same_after_the_state_has_changed,
        command_uid_409_with_another_body,
        command_uid_409_with_another_command,
        command_uid_is_free_again_after_a_refusal,
        command_uid_belongs_to_its_session,
    ]
}

async fn command_uid_is_echoed_in_the_webhook_of_every_session_command(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    for (what, event) in [
        ("join", "conference.member.joined"),
        ("unmute", "conference.member.unmuted"),
        ("mute", "conference.member.muted"),
        ("leave", "conference.member.left"),
    ] {
        let uid = format!("My.{what}_1-x");
        let mut body = json!({ "command_uid": uid });
        if what == "join" {
            body["room_id"] = json!(room);
        }
        assert_eq!(row.command(&call, what, body).await.status, 202);
        let webhook = row.webhook(&room, event).await;
        assert_eq!(webhook.body["data"]["command_uid"], json!(uid));
    }
}

async fn command_uid_202_of_128_characters(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let uid = "u".repeat(128);
    let body = json!({ "command_uid": uid });
    assert_eq!(row.command(&call, "unmute", body).await.status, 202);
    let webhook = row.webhook(&room, "conference.member.unmuted").await;
    assert_eq!(webhook.body["data"]["command_uid"], json!(uid));
}

async fn command_uid_400_malformed(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for bad in [
        json!(""),
        json!("a b"),
        json!("a/b"),
        json!("ä"),
        json!("a\n"),
        json!("u".repeat(129)),
        json!(7),
        json!(["u"]),
    ] {
        for what in ["join", "leave", "mute", "unmute"] {
            let body = json!({ "room_id": room, "command_uid": bad });
            row.command(&call, what, body)
                .await
                .names_field("command_uid");
        }
        let url = "http://127.0.0.1:1/a.wav";
        let body = json!({ "urls": [url], "volume": 1, "command_uid": bad });
        for what in ["play", "pause", "stop", "volume"] {
            row.control(&room, what, body.clone())
                .await
                .names_field("command_uid");
        }
    }
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn command_uid_again_answers_the_same_and_acts_once(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "command_uid": "once" });
    let all = (0..4).map(|_| row.command(&call, "unmute", body.clone()));
    for answer in futures_util::future::join_all(all).await {
        answer.is(202, json!({ "status": "unmuted", "room_id": room }));
    }
    row.webhook(&room, "conference.member.unmuted").await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.unmuted",
            "conference.member.left",
        ],
    )
    .await;
}

async fn command_uid_again_answers_the_same_after_the_state_has_changed(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "room_id": room, "command_uid": "join-once" });
    let joining = json!({ "status": "joining", "room_id": room });
    row.command(&call, "join", body.clone())
        .await
        .is(202, joining.clone());
    row.webhook(&room, "conference.member.joined").await;
    // Executed again, it would answer 200 already_joined here, and join once more after the leave.
    row.command(&call, "join", body.clone())
        .await
        .is(202, joining.clone());
    assert_eq!(row.command(&call, "leave", Value::Null).await.status, 202);
    row.webhook(&room, "conference.member.left").await;
    row.command(&call, "join", body).await.is(202, joining);
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn command_uid_409_with_another_body(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "room_id": room, "command_uid": "one" });
    assert_eq!(row.command(&call, "join", body).await.status, 202);
    row.webhook(&room, "conference.member.joined").await;
    let other = json!({ "room_id": room, "command_uid": "one", "muted": false });
    row.command(&call, "join", other).await.fails(409);
}

async fn command_uid_409_with_another_command(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "command_uid": "one" });
    assert_eq!(row.command(&call, "unmute", body.clone()).await.status, 202);
    row.webhook(&room, "conference.member.unmuted").await;
    row.command(&call, "mute", body.clone()).await.fails(409);
    row.command(&call, "leave", body).await.fails(409);
    assert_eq!(
        row.state_and_room(&call).await,
        ("in_room".to_owned(), json!(room))
    );
}

async fn command_uid_is_free_again_after_a_refusal(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "command_uid": "later" });
    row.command(&call, "unmute", body.clone()).await.fails(404);
    row.join(&call, &room).await;
    let answer = row.command(&call, "unmute", body).await;
    answer.is(202, json!({ "status": "unmuted", "room_id": room }));
}

async fn command_uid_belongs_to_its_session(row: &Row<'_>) {
    let (room, one) = row.room_with_member().await;
    let two = row.member(&room).await;
    for (n, call) in [one, two].iter().enumerate() {
        let body = json!({ "command_uid": "the-same" });
        assert_eq!(row.command(call, "unmute", body).await.status, 202);
        let webhook = row
            .nth_webhook(&room, "conference.member.unmuted", n + 1)
            .await;
        assert_eq!(webhook.body["session_uuid"], json!(call.id));
    }
}
