//! Properties common to all webhooks. Each row of the other modules checks the signature, `sequence` and the whole body
//! of its own.

use serde_json::{Value, json};

use crate::program::receiver::SECRET;
use crate::row::{Row, rows};

rows! {
    Plain: [
        webhooks_are_signed,
        sequence_counts_a_rooms_events_from_1,
        call_new_comes_before_joined,
        webhooks_go_to_the_app_that_owns_the_room,
    ]
}

async fn webhooks_are_signed(row: &Row<'_>) {
    let room = row.room().await;
    let got = row.webhook(&room, "conference.created").await;
    let header = |name: &str| got.headers[name].to_str().unwrap().to_owned();
    assert!(!header("webhook-id").is_empty());
    let now = jiff::Timestamp::now().as_second();
    let at: i64 = header("webhook-timestamp").parse().unwrap();
    assert!((now - 60..=now).contains(&at), "{at}");
    assert!(header("webhook-signature").starts_with("v1,"));
    let verify = |secret: &str, text: &str| {
        let verifier = standardwebhooks::Webhook::new(secret).unwrap();
        verifier.verify(text.as_bytes(), &got.headers)
    };
    verify(SECRET, &got.text).expect("signed with the app's secret");
    let changed = got.text.replace("conference.created", "conference.creatad");
    verify(SECRET, &changed).expect_err("the body is signed");
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    verify(other, &got.text).expect_err("only that secret signs so");
}

async fn sequence_counts_a_rooms_events_from_1(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    row.command(&call, "unmute", Value::Null).await;
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
    let delivered = row.running.world.receiver.delivered(&room);
    let numbers: Vec<u64> = delivered.iter().map(|got| got.sequence()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

async fn call_new_comes_before_joined(row: &Row<'_>) {
    // The dialplan brings the call into the room before any event about it.
    let room = row.room().await;
    let plan = format!("{room}@roomkeeper+flags{{mute}}");
    let call = row.place_call(&row.app, ("conference", &plan)).await;
    let joined = row.webhook(&room, "conference.member.joined").await;
    assert_eq!(joined.body["session_uuid"], json!(call.id));
    let new = row.webhook(&call.id, "call.new").await;
    assert_eq!(new.sequence(), 1);
    assert!(new.body["timestamp"].as_str() <= joined.body["timestamp"].as_str());
}

async fn webhooks_go_to_the_app_that_owns_the_room(row: &Row<'_>) {
    let theirs = row.room_of(row.other()).await;
    let path = format!("/conferences/{theirs}");
    row.ask(row.other(), "DELETE", &path, None)
        .await
        .is(200, json!({ "room_id": theirs }));
    // A later event of this app has arrived, and none of the other app.
    let room = row.room().await;
    row.check_only_webhooks(&room, &[]).await;
    assert!(row.event_names(&theirs).is_empty());
}
