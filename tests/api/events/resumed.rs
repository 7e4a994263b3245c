//! Resumption of streams without gaps and repetitions, and the report of a gap.

use super::*;

#[tokio::test]
async fn stream_resumes_behind_last_id_on_any_replica() {
    let world = World::new();
    let replica = World::with_store(world.store.clone(), world.store.clone(), settings());
    let mut client = open(&world.router, "").await;
    commit_events(&*world.store, "acW68", 1..=4).await;
    let received = client.events(3).await;
    drop(client);
    commit_events(&*world.store, "acW68", 5..=300).await;
    for (router, next) in [(&world.router, 301), (&replica.router, 302)] {
        let mut client = resume(router, "", received[2].id()).await;
        let rest = client.events(297).await;
        assert_eq!(numbers(&rest), (4..=300).collect::<Vec<_>>());
        // From any id, the rest is the same.
        let mut again = resume(router, "", rest[100].id()).await;
        assert_eq!(again.events(196).await, rest[101..]);
        commit_events(&*world.store, "acW68", next..=next).await;
        let mut new = resume(router, "", rest[296].id()).await;
        assert_eq!(numbers(&new.events(1).await), [301]);
        assert_eq!(*numbers(&client.events(1).await).last().unwrap(), 301);
    }
}

#[tokio::test]
async fn stream_resumes_each_node_at_its_position() {
    let world = World::new();
    let mut client = open(&world.router, "").await;
    commit_events(&*world.store, "acW68", 1..=2).await;
    let first = client.events(2).await;
    commit_events(&*world.store, "bbbbb", 11..=13).await;
    let second = client.events(1).await;
    assert_eq!((numbers(&first), numbers(&second)), (vec![1, 2], vec![11]));
    commit_events(&*world.store, "acW68", 3..=3).await;
    let mut client = resume(&world.router, "", second[0].id()).await;
    let mut rest = numbers(&client.events(3).await);
    rest.sort_unstable();
    assert_eq!(rest, [3, 12, 13]);
}

#[tokio::test]
async fn new_node_starts_at_oldest_stored_message() {
    let store = Arc::new(MemoryStore::new());
    let few = World::with_nodes(&["acW68"], store.clone(), settings());
    let (_, first) = open_with(&few.router, stream_request(DEMO, "", None)).await;
    commit_events(&*store, "acW68", 1..=1).await;
    commit_events(&*store, "bbbbb", 11..=11).await;
    let more = World::with_nodes(&["acW68", "bbbbb"], store.clone(), settings());
    let mut client = resume(&more.router, "", first.id()).await;
    let mut got = numbers(&client.events(2).await);
    got.sort_unstable();
    assert_eq!(got, [1, 11]);
    // A removed node is ignored.
    commit_events(&*store, "bbbbb", 12..=12).await;
    let last = client.event().await;
    let (mut client, _) = open_with(&few.router, stream_request(DEMO, "", Some(last.id()))).await;
    commit_events(&*store, "acW68", 2..=2).await;
    assert_eq!(*numbers(&[client.event().await]).last().unwrap(), 2);
}

#[tokio::test]
async fn slow_client_gets_all_events_without_buffering() {
    let store = Arc::new(MemoryStore::new());
    let counter = ReadCounter::new(store.clone());
    let world = World::with_store(counter.clone(), store.clone(), settings());
    let mut slow = open(&world.router, "").await;
    let mut quick = open(&world.router, "").await;
    // More messages than the ring holds.
    for round in 0..50 {
        commit_events(&*store, "acW68", round * 100 + 1..=round * 100 + 100).await;
        let got = quick.events(100).await;
        assert_eq!(numbers(&got)[99], round * 100 + 100);
    }
    let before = counter.reads.load(Ordering::Relaxed);
    let got = slow.events(5_000).await;
    assert_eq!(numbers(&got), (1..=5_000).collect::<Vec<_>>());
    // The slow stream reads the store itself, in small pages.
    let reads = counter.reads.load(Ordering::Relaxed) - before;
    assert!(reads >= 5_000 / 64, "{reads}");
}

#[tokio::test(start_paused = true)]
async fn poll_finds_messages_without_notification() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["publish_live", "subscribe_live"]);
    let world = World::with_store(faulty.clone(), store.clone(), settings());
    let mut client = open(&world.router, "").await;
    for n in 1..=3 {
        let start = tokio::time::Instant::now();
        commit_events(&*faulty, "acW68", n..=n).await;
        assert_eq!(numbers(&[client.event().await]), [n]);
        let elapsed = start.elapsed();
        assert!(elapsed <= Duration::from_millis(1_100), "{elapsed:?}");
    }
    assert!(faulty.fired.load(Ordering::Relaxed) >= 4);
}

#[tokio::test(start_paused = true)]
async fn broken_subscription_is_renewed() {
    let store = Arc::new(MemoryStore::new());
    let silent = Arc::new(SilentSubscription {
        inner: store.clone(),
        silent: MemoryStore::new(),
        subscriptions: AtomicU64::new(0),
    });
    let world = World::with_store(silent.clone(), store.clone(), settings());
    let mut client = open(&world.router, "").await;
    // The first subscription gets nothing, so polling finds the messages, and finally the subscription is renewed.
    let mut n = 0;
    while silent.subscriptions.load(Ordering::Relaxed) < 2 {
        n += 1;
        commit_events(&*store, "acW68", n..=n).await;
        assert_eq!(numbers(&[client.event().await]), [n]);
        assert!(n < 20, "the subscription is not renewed");
    }
    loop {
        let live = vec![talking("demo", room_id("acW68", 1), true)];
        store.publish_live(node_id("acW68"), &live).await.unwrap();
        commit_events(&*store, "acW68", 100..=100).await;
        if client.event().await.event == "member.talking" {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stream_waits_for_unavailable_store() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["read_outbox_after"]);
    let world = World::with_store(faulty.clone(), store.clone(), settings());
    world.send(stream_request(DEMO, "", None)).await.fails(503);
    faulty.broken.lock().unwrap().clear();
    let mut client = open(&world.router, "").await;
    faulty.broken.lock().unwrap().insert("read_outbox_after");
    commit_events(&*store, "acW68", 1..=2).await;
    let beat = client.next().await;
    assert_eq!(beat.comments, 1, "the stream stays open");
    assert!(faulty.fired.load(Ordering::Relaxed) > 5);
    faulty.broken.lock().unwrap().clear();
    assert_eq!(numbers(&client.events(2).await), [1, 2]);
}

#[tokio::test]
async fn trimmed_messages_cause_gap() {
    let world = World::new();
    let (_, first) = open_with(&world.router, stream_request(DEMO, "", None)).await;
    commit_events(&*world.store, "acW68", 1..=10_003).await;
    fan_out_all(&world.store, node_id("acW68")).await;
    let mut client = resume(&world.router, "", first.id()).await;
    let gap = client.event().await;
    assert_eq!(gap.event, "stream.gap");
    let body = gap.json();
    assert_eq!(
        (&body["event"], &body["app_id"], &body["data"]),
        (
            &json!("stream.gap"),
            &json!("demo"),
            &json!({"nodes": [{"node": "acW68", "missing": 3}]})
        )
    );
    let rest = numbers(&client.events(10_000).await);
    assert_eq!((rest[0], rest[9_999]), (4, 10_003));
    // A reported gap is not reported again.
    let mut client = resume(&world.router, "", gap.id()).await;
    assert_eq!(numbers(&[client.event().await]), [4]);
}

#[tokio::test(start_paused = true)]
async fn wiped_store_causes_gap() {
    let stores = Arc::new(WipeableStore::default());
    let world = World::with_store(stores.clone(), stores.before.clone(), settings());
    let mut client = open(&world.router, "").await;
    commit_events(&*stores, "acW68", 1..=5).await;
    let received = client.events(5).await;
    stores.wipe();
    // Fewer messages than before the wipe, then more: in both cases others than before.
    for (index, count) in [(0, 0), (4, 2), (4, 20)] {
        commit_events(&*stores, "acW68", 100..100 + count).await;
        let mut late = resume(&world.router, "", received[index].id()).await;
        let gap = late.event().await;
        assert_eq!(gap.event, "stream.gap", "{index} {count}");
        let nodes = json!({"nodes": [{"node": "acW68", "missing": null}]});
        assert_eq!(gap.json()["data"], nodes);
        // The client must read the state, so the stream continues from now.
        commit_events(&*stores, "acW68", 7..=7).await;
        assert_eq!(numbers(&[late.event().await]), [7]);
    }
    // The open stream reports the gap, too, and misses nothing afterwards.
    let mut gaps = 0;
    loop {
        let got = client.event().await;
        match got.event.as_str() {
            "stream.gap" => gaps += 1,
            _ if numbers(std::slice::from_ref(&got)) == [8] => break,
            _ => {}
        }
        commit_events(&*stores, "acW68", 8..=8).await;
    }
    assert_eq!(gaps, 1);
}
