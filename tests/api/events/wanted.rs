//! Authentication and content of a stream.

use super::*;

#[tokio::test]
async fn stream_checks_key_and_parameters() {
    let world = World::new();
    let (own, foreign) = (room_id("acW68", 1), room_id("acW68", 2));
    world.room(own, "demo", "own", 1, 0).await;
    world.room(foreign, "other", "foreign", 1, 0).await;
    let unauthenticated = stream_request(("demo", "wrong"), "?room_id=nonsense", None);
    world.send(unauthenticated).await.fails(401);
    for (query, field) in [
        ("?room_id=nonsense".to_owned(), "room_id"),
        (format!("?room_id={own}&room_id={own}"), "room_id"),
        ("?event=".to_owned(), "event"),
        ("?event=call".to_owned(), "event"),
        ("?event=call.new,,call.hangup".to_owned(), "event"),
        ("?event=call.new&event=call.old".to_owned(), "event"),
        // Sent to webhooks only.
        ("?event=webhook.disabled".to_owned(), "event"),
        // Always sent, so it is no filter.
        ("?event=stream.gap".to_owned(), "event"),
        // Syntax comes before existence, and existence before ownership.
        (format!("?room_id={foreign}&event=x"), "event"),
    ] {
        let answer = world.send(stream_request(DEMO, &query, None)).await;
        assert_eq!(answer.fails(400)["detail"]["field"], field, "{query}");
    }
    let nowhere = format!("?room_id={}", room_id("acW68", 3));
    world
        .send(stream_request(DEMO, &nowhere, None))
        .await
        .fails(404);
    let foreign = format!("?room_id={foreign}");
    world
        .send(stream_request(DEMO, &foreign, None))
        .await
        .fails(403);
    let (_own, first) = open_with(
        &world.router,
        stream_request(DEMO, &format!("?room_id={own}"), None),
    )
    .await;
    assert_eq!(first.json()["room_id"], own.to_string());

    let hiding = World::with_settings(ApiSettings {
        hide_foreign: true,
        ..settings()
    });
    let theirs = room_id("acW68", 2);
    hiding.room(theirs, "other", "foreign", 1, 0).await;
    hiding
        .send(stream_request(DEMO, &foreign, None))
        .await
        .fails(404);
}

#[tokio::test]
async fn event_id_is_valid_for_its_app_and_stream_only() {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "a", 1, 0).await;
    let of_room = format!("?room_id={room}");
    let (_, first) = open_with(&world.router, stream_request(DEMO, "", None)).await;
    let id = first.id();
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
        "{id}"
    );
    for (caller, query, last) in [
        (OTHER, "", id),
        (DEMO, of_room.as_str(), id),
        (DEMO, "", "nonsense"),
        (DEMO, "", &id[1..]),
    ] {
        let answer = world.send(stream_request(caller, query, Some(last))).await;
        let field = &answer.fails(400)["detail"]["field"];
        assert_eq!(field, "Last-Event-ID", "{query} {last}");
    }
    let mut twice = stream_request(DEMO, "", Some(id));
    let value = twice.headers()["last-event-id"].clone();
    twice.headers_mut().append("last-event-id", value);
    world.send(twice).await.fails(400);
    // An empty id, as a client sends it before its first event.
    let (_, first) = open_with(&world.router, stream_request(DEMO, "", Some(""))).await;
    assert_eq!(first.json()["data"], json!({"resumed": false}));
    // An id is independent of filters.
    resume(&world.router, "?event=call.*", id).await;
}

#[tokio::test]
async fn stream_has_headers_and_webhook_bodies() {
    let world = World::new();
    let (mut client, first) = open_with(&world.router, stream_request(DEMO, "", None)).await;
    let header = |name: &str| client.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-accel-buffering"), "no");
    assert_eq!(first.retry.as_deref(), Some("2000"));
    let body = first.json();
    assert_eq!(
        (&body["event"], &body["app_id"], &body["data"]),
        (
            &json!("stream.open"),
            &json!("demo"),
            &json!({"resumed": false})
        )
    );
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    let mine = message("demo", call_scope("acW68"), "call.new", 1);
    let theirs = message("other", call_scope("acW68"), "call.new", 2);
    let elsewhere = message("demo", call_scope("bbbbb"), "call.new", 3);
    commit_messages(&*world.store, "acW68", vec![theirs, mine.clone()]).await;
    let got = client.event().await;
    assert_eq!((got.event.as_str(), &got.data), ("call.new", &mine.body));
    commit_messages(&*world.store, "bbbbb", vec![elsewhere.clone()]).await;
    assert_eq!(client.event().await.data, elsewhere.body);
}

#[tokio::test]
async fn stream_sends_only_matching_events() {
    let world = World::new();
    let room = Scope::Room(room_id("acW68", 1));
    let all = [
        ("conference.created", room),
        ("conference.member.joined", room),
        ("call.new", call_scope("acW68")),
        ("conference.member.left", room),
        ("call.hangup", call_scope("acW68")),
        ("conference.destroyed", room),
    ];
    for (query, wanted) in [
        ("", &[1, 2, 3, 4, 5, 6][..]),
        ("?event=*", &[1, 2, 3, 4, 5, 6]),
        ("?event=conference.member.*", &[2, 4]),
        ("?event=call.hangup,conference.created", &[1, 5]),
        ("?event=call.*&event=conference.destroyed", &[3, 5, 6]),
    ] {
        let mut client = open(&world.router, query).await;
        let numbered = (1..).zip(all);
        let messages = numbered.map(|(n, (event, scope))| message("demo", scope, event, n));
        commit_messages(&*world.store, "acW68", messages.collect()).await;
        let got = client.events(wanted.len()).await;
        assert_eq!(numbers(&got), wanted, "{query}");
    }
}

#[tokio::test]
async fn stream_of_room_has_its_events_and_ends_with_it() {
    let world = World::new();
    let (room, other) = (room_id("acW68", 1), room_id("acW68", 2));
    world.room(room, "demo", "a", 1, 0).await;
    let query = format!("?room_id={room}");
    let without_the_last = format!("{query}&event=conference.member.*");
    let mut client = open(&world.router, &query).await;
    let mut members = open(&world.router, &without_the_last).await;
    let story = vec![
        message("demo", Scope::Room(other), "conference.destroyed", 1),
        message("demo", call_scope("acW68"), "call.new", 2),
        message("demo", Scope::Room(room), "conference.member.left", 3),
        message("demo", Scope::Room(room), "conference.destroyed", 4),
        message("demo", Scope::Room(room), "conference.created", 5),
    ];
    commit_messages(&*world.store, "acW68", story).await;
    let left = client.event().await;
    let destroyed = client.event().await;
    assert_eq!(numbers(&[left.clone(), destroyed.clone()]), [3, 4]);
    assert_eq!(client.try_next().await, None);
    assert_eq!(numbers(&[members.event().await]), [3]);
    let last = members.next().await;
    assert_eq!(
        (last.event.as_str(), last.data.as_str(), last.comments),
        ("", "", 1)
    );
    assert_eq!(members.try_next().await, None);

    // A client that was disconnected at the end gets the rest, and no client reconnects forever.
    let ends = Timestamp::from_millis(1_000);
    let deadline = Timestamp::from_millis(5_000);
    world
        .apply_input(room, RoomInput::Delete { deadline }, ends)
        .await;
    let answer = world.send(stream_request(DEMO, &query, None)).await;
    answer.fails(404);
    let mut late = resume(&world.router, &query, left.id()).await;
    assert_eq!(late.event().await, destroyed);
    assert_eq!(late.try_next().await, None);
    for seen in [destroyed.id(), last.id()] {
        world
            .send(stream_request(DEMO, &query, Some(seen)))
            .await
            .fails(404);
    }
    // An id is invalid for another app.
    world
        .send(stream_request(OTHER, &query, Some(left.id())))
        .await
        .fails(400);
}

#[tokio::test]
async fn stream_of_ended_room_ends_after_last_event() {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "a", 1, 0).await;
    let query = format!("?room_id={room}");
    let (_, first) = open_with(&world.router, stream_request(DEMO, &query, None)).await;
    // The last event is no longer stored: the stream reports a gap and ends.
    end_room(&world, room).await;
    let others = (1..=10_100).map(|n| message("other", call_scope("acW68"), "call.new", n));
    commit_messages(&*world.store, "acW68", others.collect()).await;
    fan_out_all(&world.store, node_id("acW68")).await;
    let mut late = resume(&world.router, &query, first.id()).await;
    let gap = late.event().await;
    assert_eq!(gap.event, "stream.gap");
    let last = late.next().await;
    assert_eq!(late.try_next().await, None);
    let again = world
        .send(stream_request(DEMO, &query, Some(last.id())))
        .await;
    again.fails(404);
}

async fn end_room(world: &World, room: RoomId) {
    let at = Timestamp::from_millis(1_000);
    let delete = RoomInput::Delete { deadline: at };
    world.apply_input(room, delete, at).await;
    let state = stored_room(&world.store, room).await.unwrap();
    assert_eq!(state.status(), RoomStatus::Terminated, "the room is empty");
}
