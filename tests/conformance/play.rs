//! `POST /api/v1/conferences/{room_id}/play`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::row::{Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        answers_202_with_operation_id_and_status_in_progress,
        every_operation_id_is_unique,
        each_url_is_a_play_of_its_own_in_their_order,
        webhook_started_includes_room_id_urls_and_operation_id,
        webhook_started_is_immediate_also_behind_another_operation,
        webhook_started_carries_the_command_uid,
        webhook_finished_is_deferred_until_the_playback_completes,
        webhook_finished_lists_the_files_that_could_not_be_played,
        webhook_finished_once_of_every_operation_in_their_order,
        urls_400_missing,
        urls_400_not_a_list_of_strings,
        urls_400_empty,
        urls_202_of_128_files,
        urls_400_of_129_files,
        urls_400_neither_http_nor_https_names_the_index,
        urls_202_of_2048_characters,
        urls_400_of_2049_characters_names_the_index,
        room_409_it_has_no_member,
        room_409_its_last_member_has_left,
    ]
    Fleet: [
        urls_400_an_address_that_is_not_allowed_names_the_index,
    ]
}

async fn answers_202_with_operation_id_and_status_in_progress(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let answer = row
        .control(&room, "play", json!({ "urls": [row.sound(200)] }))
        .await;
    answer.is(
        202,
        json!({ "operation_id": UUID, "status": "in_progress" }),
    );
}

async fn every_operation_id_is_unique(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    let mut operations = Vec::new();
    for _ in 0..5 {
        operations.push(row.play(&room, &[&url]).await);
    }
    operations.sort();
    operations.dedup();
    assert_eq!(operations.len(), 5);
}

async fn each_url_is_a_play_of_its_own_in_their_order(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let urls = [row.sound(60_000), row.sound(60_000), row.sound(60_000)];
    let operation = row.play(&room, &urls.each_ref().map(String::as_str)).await;
    for url in &urls {
        row.until_plays(&room, Some(url)).await;
        // Ends the file without waiting for its duration.
        row.fs(&format!("conference {room} stop current")).await;
    }
    let data = json!({ "errors": [], "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.finished", None, data)
        .await;
    row.until_plays(&room, None).await;
}

async fn webhook_started_includes_room_id_urls_and_operation_id(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let urls = [row.sound(200), row.sound(200)];
    let operation = row.play(&room, &[&urls[0], &urls[1]]).await;
    let data = json!({ "urls": urls, "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.started", None, data)
        .await;
}

async fn webhook_started_is_immediate_also_behind_another_operation(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    // The webhook does not wait for FreeSWITCH's reports.
    let _hold = row.hold_room(&room);
    let (long, short) = (row.sound(60_000), row.sound(200));
    row.play(&room, &[&long]).await;
    let second = row.play(&room, &[&short]).await;
    let got = row.nth_webhook(&room, "conference.play.started", 2).await;
    let data = json!({ "urls": [short], "operation_id": second });
    row.check_webhook(&got, &room, None, data);
    assert_eq!(row.count(&room, "conference.play.finished"), 0);
}

async fn webhook_started_carries_the_command_uid(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(200);
    let body = json!({ "urls": [url], "command_uid": "announce.1" });
    let operation = row.control(&room, "play", body).await.text("operation_id");
    let data = json!({ "urls": [url], "operation_id": operation, "command_uid": "announce.1" });
    row.check_first_webhook(&room, "conference.play.started", None, data)
        .await;
}

async fn webhook_finished_is_deferred_until_the_playback_completes(row: &Row<'_>) {
    const LASTS: Duration = Duration::from_millis(1_000);
    let (room, _) = row.room_with_member().await;
    let url = row.sound(u64::try_from(LASTS.as_millis()).unwrap());
    let operation = row.play(&room, &[&url]).await;
    let started = row.webhook(&room, "conference.play.started").await;
    let data = json!({ "errors": [], "operation_id": operation });
    let finished = row
        .check_first_webhook(&room, "conference.play.finished", None, data)
        .await;
    // The start is reported before the file is opened, so it cannot be later than the sound.
    let took = finished.at - started.at;
    assert!(took >= LASTS - Duration::from_millis(100), "after {took:?}");
    assert_eq!(row.status(&room).await.body["playback_status"], "stopped");
}

async fn webhook_finished_lists_the_files_that_could_not_be_played(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let (good, one, two) = (row.sound(200), row.no_sound(), row.no_sound());
    let operation = row.play(&room, &[&one, &good, &two]).await;
    let why = "the file could not be played";
    let data = json!({
        "errors": [{ "url": one, "error": why }, { "url": two, "error": why }],
        "operation_id": operation,
    });
    row.check_first_webhook(&room, "conference.play.finished", None, data)
        .await;
}

async fn webhook_finished_once_of_every_operation_in_their_order(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let mut operations = Vec::new();
    for _ in 0..3 {
        operations.push(row.play(&room, &[&row.sound(200)]).await);
    }
    for (n, operation) in operations.iter().enumerate() {
        let finished = row
            .nth_webhook(&room, "conference.play.finished", n + 1)
            .await;
        let data = json!({ "errors": [], "operation_id": operation });
        row.check_webhook(&finished, &room, None, data);
    }
    let mut expected = vec!["conference.member.joined"];
    // The starts are reported in the order of the requests, however far the first one is.
    let story = row.event_names(&room);
    let play = |name: &&String| name.starts_with("conference.play.");
    assert_eq!(story.iter().filter(play).count(), 6, "{story:?}");
    expected.extend(story.iter().filter(play).map(String::as_str));
    expected.push("conference.member.left");
    row.check_only_webhooks(&room, &expected).await;
}

async fn urls_400_missing(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.control(&room, "play", json!({}))
        .await
        .names_field("urls");
    row.control(&room, "play", json!({ "urls": null }))
        .await
        .names_field("urls");
    row.control(&room, "play", Value::Null)
        .await
        .names_field("urls");
}

async fn urls_400_not_a_list_of_strings(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(200);
    for (bad, field) in [
        (json!(url), "urls"),
        (json!({ "0": url }), "urls"),
        (json!(7), "urls"),
        (json!([7]), "urls[0]"),
        (json!([url, null]), "urls[1]"),
        (json!([url, url, [url]]), "urls[2]"),
    ] {
        row.control(&room, "play", json!({ "urls": bad }))
            .await
            .names_field(field);
    }
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn urls_400_empty(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.control(&room, "play", json!({ "urls": [] }))
        .await
        .names_field("urls");
}

async fn urls_202_of_128_files(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    let urls = [url.as_str(); 128];
    let operation = row.play(&room, &urls).await;
    let started = row.webhook(&room, "conference.play.started").await;
    let urls = json!(urls.to_vec());
    let data = json!({ "urls": urls, "operation_id": operation });
    row.check_webhook(&started, &room, None, data);
    assert_eq!(row.status(&room).await.body["playback_urls"], urls);
}

async fn urls_400_of_129_files(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let urls = vec![row.sound(60_000); 129];
    row.control(&room, "play", json!({ "urls": urls }))
        .await
        .names_field("urls");
}

async fn urls_400_neither_http_nor_https_names_the_index(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let good = row.sound(200);
    for bad in [
        "",
        "a.wav",
        "/etc/passwd",
        "//127.0.0.1/a.wav",
        "ftp://127.0.0.1/a.wav",
        "file:///etc/passwd",
        "say:hello",
        "shell_stream:///bin/ls",
        "{vol=50}http://127.0.0.1/a.wav",
        "http://",
        "http://user:secret@127.0.0.1/a.wav",
    ] {
        let first = row.control(&room, "play", json!({ "urls": [bad] })).await;
        first.names_field("urls[0]");
        let third = row
            .control(&room, "play", json!({ "urls": [good, good, bad] }))
            .await;
        third.names_field("urls[2]");
    }
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

fn long_url(length: usize) -> String {
    let begin = "http://127.0.0.1:1/";
    format!("{begin}{}.wav", "x".repeat(length - begin.len() - 4))
}

async fn urls_202_of_2048_characters(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = long_url(2_048);
    assert_eq!(url.len(), 2_048);
    row.play(&room, &[&url]).await;
}

async fn urls_400_of_2049_characters_names_the_index(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let urls = [row.sound(200), long_url(2_049)];
    row.control(&room, "play", json!({ "urls": urls }))
        .await
        .names_field("urls[1]");
}

async fn room_409_it_has_no_member(row: &Row<'_>) {
    let room = row.room().await;
    let body = json!({ "urls": [row.sound(200)] });
    row.control(&room, "play", body).await.fails(409);
    row.check_only_webhooks(&room, &[]).await;
}

async fn room_409_its_last_member_has_left(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    row.command(&call, "leave", Value::Null).await;
    row.webhook(&room, "conference.member.left").await;
    let body = json!({ "urls": [row.sound(200)] });
    row.control(&room, "play", body).await.fails(409);
}

async fn urls_400_an_address_that_is_not_allowed_names_the_index(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    for bad in [
        "http://127.0.0.1/a.wav",
        "http://10.1.2.3/a.wav",
        "http://localhost/a.wav",
    ] {
        let body = json!({ "urls": ["https://1.1.1.1/a.wav", bad] });
        row.control(&room, "play", body)
            .await
            .names_field("urls[1]");
    }
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}
