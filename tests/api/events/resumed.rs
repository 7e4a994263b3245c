//! Without a gap and without a repetition, and that a gap is told.

use super::*;

#[tokio::test]
async fn stream_resumes_behind_last_id_on_any_replica() {
    let world = World::new();
    let replica = World::on(world.store.clone(), world.store.clone(), settings());
    let mut client = open(&world.router, "").await;
    happens(&*world.store, "acW68", 1..=4).await;
    let begun = client.events(3).await;
    drop(client);
    happens(&*world.store, "acW68", 5..=300).await;
    for (router, next) in [(&world.router, 301), (&replica.router, 302)] {
        let mut client = resume(router, "", begun[2].id()).await;
        let rest = client.events(297).await;
        assert_eq!(numbers(&rest), (4..=300).collect::<Vec<_>>());
        // From any id, the rest is what it was.
        let mut again = resume(router, "", rest[100].id()).await;
        assert_eq!(again.events(196).await, rest[101..]);
        happens(&*world.store, "acW68", next..=next).await;
        let mut new = resume(router, "", rest[296].id()).await;
        assert_eq!(numbers(&new.events(1).await), [301]);
        assert_eq!(*numbers(&client.events(1).await).last().unwrap(), 301);
    }
}

#[tokio::test]
async fn stream_resumes_each_node_at_its_position() {
    let world = World::new();
    let mut client = open(&world.router, "").await;
    happens(&*world.store, "acW68", 1..=2).await;
    let first = client.events(2).await;
    happens(&*world.store, "bbbbb", 11..=13).await;
    let second = client.events(1).await;
    assert_eq!((numbers(&first), numbers(&second)), (vec![1, 2], vec![11]));
    happens(&*world.store, "acW68", 3..=3).await;
    let mut client = resume(&world.router, "", second[0].id()).await;
    let mut rest = numbers(&client.events(3).await);
    rest.sort_unstable();
    assert_eq!(rest, [3, 12, 13]);
}

#[tokio::test]
async fn new_node_starts_at_oldest_stored_message() {
    let store = Arc::new(MemoryStore::new());
    let few = World::on_nodes(&["acW68"], store.clone(), settings());
    let (_, first) = opened(&few.router, asks(DEMO, "", None)).await;
    happens(&*store, "acW68", 1..=1).await;
    happens(&*store, "bbbbb", 11..=11).await;
    let more = World::on_nodes(&["acW68", "bbbbb"], store.clone(), settings());
    let mut client = resume(&more.router, "", first.id()).await;
    let mut got = numbers(&client.events(2).await);
    got.sort_unstable();
    assert_eq!(got, [1, 11]);
    // And one that is gone is let go of.
    happens(&*store, "bbbbb", 12..=12).await;
    let last = client.event().await;
    let (mut client, _) = opened(&few.router, asks(DEMO, "", Some(last.id()))).await;
    happens(&*store, "acW68", 2..=2).await;
    assert_eq!(*numbers(&[client.event().await]).last().unwrap(), 2);
}

#[tokio::test]
async fn slow_client_gets_all_events_without_buffering() {
    let store = Arc::new(MemoryStore::new());
    let seen = Seen::new(store.clone());
    let world = World::on(seen.clone(), store.clone(), settings());
    let mut slow = open(&world.router, "").await;
    let mut quick = open(&world.router, "").await;
    // More than is kept for those who are a moment behind.
    for round in 0..50 {
        happens(&*store, "acW68", round * 100 + 1..=round * 100 + 100).await;
        let got = quick.events(100).await;
        assert_eq!(numbers(&got)[99], round * 100 + 100);
    }
    let before = seen.reads.load(Ordering::Relaxed);
    let got = slow.events(5_000).await;
    assert_eq!(numbers(&got), (1..=5_000).collect::<Vec<_>>());
    // It read the store itself, in small pages.
    let reads = seen.reads.load(Ordering::Relaxed) - before;
    assert!(reads >= 5_000 / 64, "{reads}");
}

#[tokio::test(start_paused = true)]
async fn poll_finds_messages_without_notification() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["publish_live", "subscribe_live"]);
    let world = World::on(faulty.clone(), store.clone(), settings());
    let mut client = open(&world.router, "").await;
    for n in 1..=3 {
        let begun = tokio::time::Instant::now();
        happens(&*faulty, "acW68", n..=n).await;
        assert_eq!(numbers(&[client.event().await]), [n]);
        let took = begun.elapsed();
        assert!(took <= Duration::from_millis(1_100), "{took:?}");
    }
    assert!(faulty.fired.load(Ordering::Relaxed) >= 4);
}

#[tokio::test(start_paused = true)]
async fn broken_subscription_is_renewed() {
    let store = Arc::new(MemoryStore::new());
    let deaf = Arc::new(Deaf {
        inner: store.clone(),
        silent: MemoryStore::new(),
        ears: AtomicU64::new(0),
    });
    let world = World::on(deaf.clone(), store.clone(), settings());
    let mut client = open(&world.router, "").await;
    // The first hears nothing, so what is stored is found by looking, and in the end it is listened anew.
    let mut n = 0;
    while deaf.ears.load(Ordering::Relaxed) < 2 {
        n += 1;
        happens(&*store, "acW68", n..=n).await;
        assert_eq!(numbers(&[client.event().await]), [n]);
        assert!(n < 20, "it is never listened anew");
    }
    loop {
        let live = vec![talking("demo", room_id("acW68", 1), true)];
        store.publish_live(node_id("acW68"), &live).await.unwrap();
        happens(&*store, "acW68", 100..=100).await;
        if client.event().await.event == "member.talking" {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stream_waits_for_unavailable_store() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["read_outbox_after"]);
    let world = World::on(faulty.clone(), store.clone(), settings());
    world.send(asks(DEMO, "", None)).await.fails(503);
    faulty.broken.lock().unwrap().clear();
    let mut client = open(&world.router, "").await;
    faulty.broken.lock().unwrap().insert("read_outbox_after");
    happens(&*store, "acW68", 1..=2).await;
    let beat = client.next().await;
    assert_eq!(beat.comments, 1, "it lives");
    assert!(faulty.fired.load(Ordering::Relaxed) > 5);
    faulty.broken.lock().unwrap().clear();
    assert_eq!(numbers(&client.events(2).await), [1, 2]);
}

#[tokio::test]
async fn trimmed_messages_cause_gap() {
    let world = World::new();
    let (_, first) = opened(&world.router, asks(DEMO, "", None)).await;
    happens(&*world.store, "acW68", 1..=10_003).await;
    hand_over(&world.store, node_id("acW68")).await;
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
    // Whoever was told is not told again.
    let mut client = resume(&world.router, "", gap.id()).await;
    assert_eq!(numbers(&[client.event().await]), [4]);
}

#[tokio::test(start_paused = true)]
async fn wiped_store_causes_gap() {
    let stores = Arc::new(Wiped::default());
    let world = World::on(stores.clone(), stores.before.clone(), settings());
    let mut client = open(&world.router, "").await;
    happens(&*stores, "acW68", 1..=5).await;
    let told = client.events(5).await;
    stores.wipe();
    // Fewer than there were, then more: what is there is not what was.
    for (of, count) in [(0, 0), (4, 2), (4, 20)] {
        happens(&*stores, "acW68", 100..100 + count).await;
        let mut late = resume(&world.router, "", told[of].id()).await;
        let gap = late.event().await;
        assert_eq!(gap.event, "stream.gap", "{of} {count}");
        let nodes = json!({"nodes": [{"node": "acW68", "missing": null}]});
        assert_eq!(gap.json()["data"], nodes);
        // The state is to be read, so it goes on from now.
        happens(&*stores, "acW68", 7..=7).await;
        assert_eq!(numbers(&[late.event().await]), [7]);
    }
    // The stream that was open has noticed, too, and has missed nothing since.
    let mut gaps = 0;
    loop {
        let got = client.event().await;
        match got.event.as_str() {
            "stream.gap" => gaps += 1,
            _ if numbers(std::slice::from_ref(&got)) == [8] => break,
            _ => {}
        }
        happens(&*stores, "acW68", 8..=8).await;
    }
    assert_eq!(gaps, 1);
}
