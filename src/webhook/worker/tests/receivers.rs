//! Endpoints and apps that are created, removed and disabled.

use super::*;
use crate::clock;

#[tokio::test]
async fn delivery_for_unknown_endpoint_is_left_to_other_replicas() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    // A replica that knows the endpoint fans out, one that does not know it claims.
    bench.emit(1, [1]).await;
    let batch = bench.store.read_outbox(node(), 10).await.unwrap();
    let deliveries = [NewDelivery {
        endpoint: endpoint(&receiver.url, &["*"]).id,
        message: batch.messages[0].clone(),
        held: false,
    }];
    assert!(
        bench
            .store
            .fan_out(node(), &batch.from, &batch.to, &deliveries)
            .await
            .unwrap()
    );
    let unaware = bench.start([]);
    bench.until_retry_is_set().await;
    unaware.stop.cancel();
    soon("the worker stops", unaware.task).await.unwrap();
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.advance(2 * HOUR);
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 1));
    bench.until_delivered().await;
}

#[tokio::test]
async fn events_of_unknown_app_wait_until_it_is_known() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let no_apps = Endpoints::new([]).with_apps(BTreeSet::new());
    let (apps, endpoints) = watch::channel(Arc::new(no_apps));
    let store = Flaky::new(&bench, false);
    let settings = Settings {
        idle: Duration::from_millis(20),
        ..Settings::default()
    };
    let worker_store = Arc::clone(&store) as Arc<dyn Store>;
    let _running = bench.start_following(worker_store, endpoints, settings);
    bench.emit(1, [1]).await;
    // After several reads, the message is still in the outbox.
    let before = store.reads.load(Ordering::SeqCst);
    until("the worker reads the outbox", || async {
        store.reads.load(Ordering::SeqCst) >= before + 5
    })
    .await;
    assert_eq!(bench.store.backlog(node()).await.unwrap().outbox, 1);
    let known = endpoint(&receiver.url, &["*"]);
    let ids = BTreeSet::from([known.app.clone()]);
    apps.send_replace(Arc::new(Endpoints::new([known]).with_apps(ids)));
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 1));
    bench.until_delivered().await;
}

#[tokio::test]
async fn unknown_app_does_not_block_the_outbox_for_long() {
    let bench = Bench::new();
    let known = BTreeSet::new();
    let (_, endpoints) = watch::channel(Arc::new(Endpoints::new([]).with_apps(known)));
    let store: Arc<dyn Store> = Arc::clone(&bench.store) as Arc<dyn Store>;
    let settings = Settings {
        idle: Duration::from_millis(20),
        ..Settings::default()
    };
    let _running = bench.start_following(store, endpoints, settings);
    bench.emit(1, [1]).await;
    let fanned_out = async {
        while bench.store.backlog(node()).await.unwrap().outbox > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(UNKNOWN_APP_TIMEOUT * 3, fanned_out).await.unwrap();
}

#[tokio::test]
async fn endpoint_that_fails_for_days_is_disabled() {
    let bench = Bench::new();
    let is_healthy = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&is_healthy);
    let mut receiver = Receiver::start(move |_| {
        let status = match now.load(Ordering::SeqCst) {
            true => StatusCode::OK,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Box::pin(async move { status.into_response() })
    })
    .await;
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.emit(1, [1]).await;
    receiver.next().await;
    bench.until_retry_is_set().await;
    bench.advance(DISABLED_AFTER - HOUR);
    receiver.next().await;
    bench.until_retry_is_set().await;
    assert_eq!(bench.disabler.all(), []);
    // A success resets the time of failure.
    is_healthy.store(true, Ordering::SeqCst);
    bench.advance(2 * HOUR);
    receiver.next().await;
    bench.until_delivered().await;
    is_healthy.store(false, Ordering::SeqCst);
    bench.emit(1, [2]).await;
    receiver.next().await;
    bench.until_retry_is_set().await;
    assert_eq!(bench.disabler.all(), []);
    bench.advance(DISABLED_AFTER + HOUR);
    receiver.next().await;
    until("the endpoint is disabled", || async {
        bench.disabler.all().len() == 1
    })
    .await;
    assert_eq!(bench.disabler.all()[0].1, "failing");
}

#[tokio::test]
async fn messages_for_disabled_endpoint_are_kept_for_recovery() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let enabled = endpoint(&receiver.url, &["*"]);
    let mut disabled = enabled.clone();
    disabled.disabled = Some(Disabled {
        at: clock::now(),
        why: DisabledWhy::Owner,
        is_reported: true,
    });
    let (change, endpoints) = watch::channel(Arc::new(Endpoints::new([disabled])));
    let store: Arc<dyn Store> = Arc::clone(&bench.store) as Arc<dyn Store>;
    let _running = bench.start_following(store, endpoints, Settings::default());
    bench.emit(1, [1, 2, 3]).await;
    bench.until_delivered().await;
    let dead = bench.dead(&receiver.url).await;
    let sequences: Vec<u64> = dead.iter().map(|row| row.message.sequence).collect();
    assert_eq!(sequences, [3, 2, 1]);
    assert!(dead.iter().all(|row| row.attempts.is_empty()));
    let id = enabled.id.clone();
    change.send_replace(Arc::new(Endpoints::new([enabled])));
    let (store, from) = (&bench.store, &dead[1].position);
    let recovered = store.recover(node(), &id, from, 100).await.unwrap();
    assert_eq!((recovered.count, recovered.next), (2, None));
    bench.wake.notify_one();
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 2));
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 3));
    bench.until_delivered().await;
    assert_eq!(bench.dead(&receiver.url).await.len(), 1);
}

#[tokio::test]
async fn messages_for_removed_endpoint_are_dropped() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::INTERNAL_SERVER_ERROR).await;
    let known = endpoint(&receiver.url, &["*"]);
    let id = known.id.clone();
    let (change, endpoints) = watch::channel(Arc::new(Endpoints::new([known])));
    let store: Arc<dyn Store> = Arc::clone(&bench.store) as Arc<dyn Store>;
    let _running = bench.start_following(store, endpoints, Settings::default());
    bench.emit(1, [1, 2]).await;
    receiver.next().await;
    bench.until_retry_is_set().await;
    let removed = Endpoints::new([]).with_removed(BTreeSet::from([id.clone()]));
    change.send_replace(Arc::new(removed));
    bench.advance(2 * HOUR);
    bench.until_delivered().await;
    let remaining = bench.store.forget_endpoint(node(), &id).await.unwrap();
    assert_eq!(remaining, 0);
    assert!(receiver.requests.try_recv().is_err());
    assert!(bench.dead(&receiver.url).await.is_empty());
}
