//! A store that is down or has nothing due.

use super::*;

#[tokio::test]
async fn worker_waits_for_unavailable_store() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let flaky = Flaky::new(&bench, true);
    let store = Arc::clone(&flaky) as Arc<dyn Store>;
    let running = bench.start_on(store, [endpoint(&receiver.url, &["*"])]);
    bench.emit(1, [1]).await;
    until("the worker meets the outage", || async {
        flaky.refused.load(Ordering::SeqCst) >= 2
    })
    .await;
    assert!(receiver.requests.try_recv().is_err());
    flaky.down.store(false, Ordering::SeqCst);
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 1));
    bench.until_delivered().await;
    flaky.down.store(true, Ordering::SeqCst);
    running.stop.cancel();
    soon("the worker stops", running.task).await.unwrap();
}

#[tokio::test]
async fn idle_worker_claims_nothing_and_finds_deliveries_of_other_replicas() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let store = Flaky::new(&bench, false);
    let endpoint = endpoint(&receiver.url, &["*"]);
    let (_sender, endpoints) = watch::channel(Arc::new(Endpoints::new([endpoint.clone()])));
    let settings = Settings {
        idle: Duration::from_millis(20),
        ..Settings::default()
    };
    let worker_store = Arc::clone(&store) as Arc<dyn Store>;
    let _running = bench.start_following(worker_store, endpoints, settings);
    let wait_for_reads = async |times: usize| {
        let before = store.reads.load(Ordering::SeqCst);
        until("the worker reads the outbox", || async {
            store.reads.load(Ordering::SeqCst) >= before + times
        })
        .await;
    };
    // The worker's start is complete.
    wait_for_reads(2).await;
    let claims = store.claims.load(Ordering::SeqCst);
    wait_for_reads(5).await;
    assert_eq!(store.claims.load(Ordering::SeqCst), claims);
    let delivery = NewDelivery {
        endpoint: endpoint.id,
        message: message(1, 1),
        held: false,
    };
    bench.store.enqueue(node(), &delivery).await.unwrap();
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 1));
    bench.until_delivered().await;
}

#[tokio::test]
async fn outage_at_end_of_attempt_repeats_no_delivery() {
    let bench = Bench::new();
    let flaky = Flaky::new(&bench, false);
    let cut = Arc::clone(&flaky);
    let mut receiver = Receiver::start(move |_| {
        cut.down.store(true, Ordering::SeqCst);
        Box::pin(async { StatusCode::OK.into_response() })
    })
    .await;
    let store = Arc::clone(&flaky) as Arc<dyn Store>;
    let _running = bench.start_on(store, [endpoint(&receiver.url, &["*"])]);
    bench.emit(1, [1]).await;
    receiver.next().await;
    until("the worker meets the outage", || async {
        flaky.refused.load(Ordering::SeqCst) >= 1
    })
    .await;
    flaky.down.store(false, Ordering::SeqCst);
    bench.until_delivered().await;
    assert!(receiver.requests.try_recv().is_err());
}

#[test]
fn back_off_grows_to_its_limit() {
    let delays: Vec<u128> = (0..7).map(|n| back_off(n).as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1600, 2000, 2000]);
    assert_eq!(back_off(u32::MAX), Duration::from_secs(2));
}
