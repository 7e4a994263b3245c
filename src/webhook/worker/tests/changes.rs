//! Endpoints whose URL changes, or that are enabled, while deliveries wait for them.

use super::*;

/// The same endpoint at another URL.
fn moved(endpoint: &Endpoint, url: &Url) -> Endpoint {
    Endpoint {
        url: url.clone(),
        ..endpoint.clone()
    }
}

impl Receiver {
    /// Starts a receiver that answers each request with this status, after a permit.
    async fn always_after(permit: &Arc<Notify>, status: StatusCode) -> Self {
        let permit = Arc::clone(permit);
        Self::start(move |_| {
            let permit = Arc::clone(&permit);
            Box::pin(async move {
                permit.notified().await;
                status.into_response()
            })
        })
        .await
    }
}

/// Starts a worker with this endpoint, and waits for its first round.
async fn follow(bench: &Bench, first: Endpoint) -> (Running, watch::Sender<Arc<Endpoints>>) {
    follow_with(bench, first, Settings::default()).await
}

/// As [`follow`], with these settings.
async fn follow_with(
    bench: &Bench,
    first: Endpoint,
    settings: Settings,
) -> (Running, watch::Sender<Arc<Endpoints>>) {
    let (change, endpoints) = watch::channel(Arc::new(Endpoints::new([first])));
    let store = Flaky::new(bench, false);
    let of_worker = Arc::clone(&store) as Arc<dyn Store>;
    let running = bench.start_following(of_worker, endpoints, settings);
    until("the first round", || async {
        store.reads.load(Ordering::SeqCst) > 0
    })
    .await;
    (running, change)
}

#[tokio::test]
async fn waiting_deliveries_go_to_new_url_at_once_and_in_order() {
    let bench = Bench::new();
    let mut old = Receiver::always(StatusCode::INTERNAL_SERVER_ERROR).await;
    let mut new = Receiver::always(StatusCode::OK).await;
    let before = endpoint(&old.url, &["*"]);
    let (_running, change) = follow(&bench, before.clone()).await;
    bench.emit(1, [1, 2, 3]).await;
    old.next().await;
    bench.until_retry_is_set().await;
    change.send_replace(Arc::new(Endpoints::new([moved(&before, &new.url)])));
    for sequence in 1..=3 {
        assert_eq!(new.next().await.room_and_sequence(), (1, sequence));
    }
    bench.until_delivered().await;
    let ids = [before.id];
    let health = bench.store.endpoint_health(node(), &ids).await.unwrap();
    assert_eq!(health[0].failing_for, None);
    assert!(old.requests.try_recv().is_err());
}

#[tokio::test]
async fn messages_behind_parked_one_follow_it_to_new_url() {
    let mut bench = Bench::new();
    bench.hold_timeout = 2 * MINUTE;
    let mut old = Receiver::always(StatusCode::INTERNAL_SERVER_ERROR).await;
    let mut new = Receiver::always(StatusCode::OK).await;
    let before = endpoint(&old.url, &["*"]);
    let (_running, change) = follow(&bench, before.clone()).await;
    bench.emit(1, [1, 2]).await;
    old.next().await;
    // The next delay is an hour, so the first message is parked.
    until("the first message is parked", || async {
        bench.store.backlog(node()).await.unwrap().queues == 2
    })
    .await;
    change.send_replace(Arc::new(Endpoints::new([moved(&before, &new.url)])));
    for sequence in 1..=2 {
        assert_eq!(new.next().await.room_and_sequence(), (1, sequence));
    }
    bench.until_delivered().await;
}

#[tokio::test]
async fn attempt_that_fails_after_url_changed_is_repeated_at_new_url() {
    let bench = Bench::new();
    let answer = Arc::new(Notify::new());
    let mut old = Receiver::always_after(&answer, StatusCode::GONE).await;
    let mut new = Receiver::always(StatusCode::OK).await;
    let before = endpoint(&old.url, &["*"]);
    let (_running, change) = follow(&bench, before.clone()).await;
    bench.emit(1, [1]).await;
    old.next().await;
    change.send_replace(Arc::new(Endpoints::new([moved(&before, &new.url)])));
    answer.notify_one();
    assert_eq!(new.next().await.room_and_sequence(), (1, 1));
    bench.until_delivered().await;
    assert_eq!(
        bench.disabler.all(),
        [],
        "the old URL is gone, not the endpoint"
    );
}

#[tokio::test]
async fn failed_attempt_at_old_url_does_not_disable_endpoint() {
    let bench = Bench::new();
    let answer = Arc::new(Notify::new());
    let mut old = Receiver::always_after(&answer, StatusCode::INTERNAL_SERVER_ERROR).await;
    let mut new = Receiver::always(StatusCode::OK).await;
    let before = endpoint(&old.url, &["*"]);
    let settings = Settings {
        // The first failure that counts disables the endpoint.
        disabled_after: Duration::ZERO,
        ..Settings::default()
    };
    let (_running, change) = follow_with(&bench, before.clone(), settings).await;
    bench.emit(1, [1]).await;
    old.next().await;
    change.send_replace(Arc::new(Endpoints::new([moved(&before, &new.url)])));
    answer.notify_one();
    new.next().await;
    bench.until_delivered().await;
    assert_eq!(bench.disabler.all(), []);
}

#[tokio::test]
async fn attempt_at_old_url_does_not_count_for_schedule_at_new_url() {
    let bench = Bench::new();
    let answer = Arc::new(Notify::new());
    let mut old = Receiver::always_after(&answer, StatusCode::INTERNAL_SERVER_ERROR).await;
    let mut new = Receiver::always(StatusCode::INTERNAL_SERVER_ERROR).await;
    let before = endpoint(&old.url, &["*"]);
    let (_running, change) = follow(&bench, before.clone()).await;
    bench.emit(1, [1]).await;
    old.next().await;
    change.send_replace(Arc::new(Endpoints::new([moved(&before, &new.url)])));
    answer.notify_one();
    // The schedule has two delays, so three attempts.
    for _ in 0..2 {
        new.next().await;
        bench.until_retry_is_set().await;
        bench.advance(2 * HOUR);
    }
    new.next().await;
    bench.until_delivered().await;
    assert_eq!(bench.dead(&old.url).await.len(), 1);
}

#[tokio::test]
async fn waiting_deliveries_are_due_when_endpoint_is_enabled() {
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
    let enabled = endpoint(&receiver.url, &["*"]);
    let mut disabled = enabled.clone();
    disabled.disabled = Some(Disabled {
        at: clock::now(),
        why: DisabledWhy::Owner,
        is_reported: true,
    });
    let (running, change) = follow(&bench, enabled.clone()).await;
    bench.emit(1, [1]).await;
    receiver.next().await;
    bench.until_retry_is_set().await;
    running.stop.cancel();
    soon("the worker stops", running.task).await.unwrap();
    drop(change);

    let (_running, change) = follow(&bench, disabled).await;
    is_healthy.store(true, Ordering::SeqCst);
    change.send_replace(Arc::new(Endpoints::new([enabled])));
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 1));
    bench.until_delivered().await;
}
