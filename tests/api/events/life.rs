//! Live events, and the lifetime of a stream.

use super::*;

#[tokio::test]
async fn live_events_have_no_id_and_reach_own_app_only() {
    let world = World::new();
    let (room, other) = (room_id("acW68", 1), room_id("acW68", 2));
    world.room(room, "demo", "a", 1, 0).await;
    let mut all = open(&world.router, "").await;
    let mut of_room = open(&world.router, &format!("?room_id={room}")).await;
    let mut wanted = open(&world.router, "?event=member.*").await;
    let mut unwanted = open(&world.router, "?event=call.*").await;
    let live = vec![
        talking("other", room, true),
        talking("demo", other, true),
        talking("demo", room, false),
    ];
    wait_for_subscription(&world, &mut all).await;
    world
        .store
        .publish_live(node_id("acW68"), &live)
        .await
        .unwrap();
    for (client, count) in [(&mut all, 2), (&mut wanted, 2), (&mut of_room, 1)] {
        let mut got = Vec::new();
        while got.len() < count {
            let event = client.event().await;
            // Skips the events of the wait for the subscription.
            if event.event == "member.talking" {
                assert_eq!(event.id, None);
                got.push(event.data);
            }
        }
        let own = live.iter().rev().take(count).rev().map(|live| &live.body);
        assert_eq!(got.iter().collect::<Vec<_>>(), own.collect::<Vec<_>>());
    }
    commit_events(&*world.store, "acW68", 1..=1).await;
    assert_eq!(unwanted.event().await.event, "call.answered");
}

/// Waits until live events reach the streams; the subscription starts with the first stream.
async fn wait_for_subscription(world: &World, client: &mut Client) {
    let floor = LiveEvent {
        event: "member.floor".to_owned(),
        ..talking("demo", room_id("acW68", 9), true)
    };
    loop {
        let events = std::slice::from_ref(&floor);
        world
            .store
            .publish_live(node_id("acW68"), events)
            .await
            .unwrap();
        let event = tokio::time::timeout(Duration::from_millis(50), client.event()).await;
        if event.is_ok_and(|event| event.event == "member.floor") {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn quiet_stream_sends_comment_with_position() {
    let world = World::new();
    let (mut client, first) = open_with(&world.router, stream_request(DEMO, "", None)).await;
    let start = tokio::time::Instant::now();
    let beat = client.next().await;
    assert_eq!(
        beat,
        Block {
            comments: 1,
            ..Block::default()
        }
    );
    assert_eq!(start.elapsed().as_secs(), 15);
    // Another app's events are not sent, but the position moves behind them, so that they are not read again.
    let mut moved = first.id().to_owned();
    for _ in 0..3 {
        let theirs = (1..=4_000).map(|n| message("other", call_scope("acW68"), "call.new", n));
        commit_messages(&*world.store, "acW68", theirs.collect()).await;
        let beat = client.next().await;
        assert_eq!((beat.comments, beat.data.as_str()), (1, ""));
        assert_ne!(beat.id(), moved);
        moved = beat.id().to_owned();
        fan_out_all(&world.store, node_id("acW68")).await;
    }
    assert_eq!(
        client.next().await.id,
        None,
        "the position has not moved since"
    );
    commit_events(&*world.store, "acW68", 1..=1).await;
    let mut late = resume(&world.router, "", &moved).await;
    assert_eq!(late.event().await.event, "call.answered", "and no gap");
    let mut late = resume(&world.router, "", first.id()).await;
    assert_eq!(late.event().await.event, "stream.gap");
}

#[tokio::test]
async fn streams_are_limited_per_app_and_process() {
    let streams = StreamSettings {
        each_app: 2,
        all: 3,
        ..StreamSettings::default()
    };
    let world = World::with_settings(ApiSettings {
        streams,
        ..settings()
    });
    let one = open(&world.router, "").await;
    let _two = open(&world.router, "").await;
    let answer = world.send(stream_request(DEMO, "", None)).await;
    assert!(answer.fails(429)["detail"]["retry_after_ms"].is_u64());
    let _three = open_with(&world.router, stream_request(OTHER, "", None)).await;
    world.send(stream_request(OTHER, "", None)).await.fails(503);
    // A closed stream releases its permit, and a refused request holds none.
    drop(one);
    world
        .send(stream_request(DEMO, "?event=x", None))
        .await
        .fails(400);
    let _four = open(&world.router, "").await;
    world.send(stream_request(DEMO, "", None)).await.fails(503);
}

#[tokio::test(start_paused = true)]
async fn streams_end_at_shutdown() {
    let world = World::new();
    let mut quiet = open(&world.router, "").await;
    let mut busy = open(&world.router, "").await;
    commit_events(&*world.store, "acW68", 1..=500).await;
    let seen = busy.events(3).await;
    let start = tokio::time::Instant::now();
    let ended = world.phase.end(Duration::from_secs(5));
    let (ended, ()) = tokio::join!(ended, async {
        // Events that are read but not sent may be dropped: the client resumes at another replica.
        while let Some(block) = busy.try_next().await {
            assert!(block.json()["sequence"].as_u64().unwrap() > 3);
        }
        assert_eq!(quiet.try_next().await.map(|b| b.event), None);
    });
    assert!(ended);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let replica = World::with_store(world.store.clone(), world.store.clone(), settings());
    let mut client = resume(&replica.router, "", seen[2].id()).await;
    assert_eq!(numbers(&client.events(497).await)[0], 4);
}

#[tokio::test]
async fn stream_ends_when_its_key_is_revoked() {
    let world = World::new();
    let admin = crate::admin::admin(&world, Some("secret"));
    let change = async |what: &str| {
        let path = format!("/admin/apps/acme{what}");
        let answer = crate::apps::ask(&admin, "POST", &path, Some(json!({}))).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        answer.json()["api_key"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let first = change("").await;
    let (mut of_first, _) =
        open_with(&world.router, stream_request(("acme", &first), "", None)).await;
    let mut of_demo = open(&world.router, "").await;
    let second = change("/rotate-key").await;
    let (mut of_second, _) =
        open_with(&world.router, stream_request(("acme", &second), "", None)).await;
    // Both keys are valid now.
    let messages = vec![message("acme", call_scope("acW68"), "call.new", 1)];
    commit_messages(&*world.store, "acW68", messages).await;
    for stream in [&mut of_first, &mut of_second] {
        assert_eq!(numbers(&[stream.event().await]), [1]);
    }
    change("/rotate-key").await;
    assert_eq!(of_first.try_next().await, None);
    let messages = vec![message("acme", call_scope("acW68"), "call.new", 2)];
    commit_messages(&*world.store, "acW68", messages).await;
    assert_eq!(numbers(&[of_second.event().await]), [2]);
    change("/disable").await;
    assert_eq!(of_second.try_next().await, None);
    commit_events(&*world.store, "acW68", 3..=3).await;
    assert_eq!(numbers(&[of_demo.event().await]), [3]);
}

#[test]
fn stream_metrics_are_counted() {
    let observation = crate::observed::observe(async {
        let world = World::new();
        let (_, first) = open_with(&world.router, stream_request(DEMO, "", None)).await;
        commit_events(&*world.store, "acW68", 1..=10_003).await;
        fan_out_all(&world.store, node_id("acW68")).await;
        let mut client = resume(&world.router, "", first.id()).await;
        client.events(2).await;
        let _other = open(&world.router, "").await;
    });
    for line in [
        "roomkeeper_events_gaps_total 1",
        "roomkeeper_events_sent_total{kind=\"stored\"} 1",
        "roomkeeper_events_streams 0",
    ] {
        assert!(
            observation.metrics.contains(line),
            "{line}\n{}",
            observation.metrics
        );
    }
    assert!(!observation.log.contains(DEMO.1));
}
