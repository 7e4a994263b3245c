//! Order, retries, bounds and shares of deliveries; a lost and a stopped worker.

use super::*;

#[tokio::test]
async fn event_arrives_complete_and_signed() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let running = bench.start([endpoint(&receiver.url, &["*"])]);
    let sent = message(1, 1);
    bench.commit(1, vec![sent.clone()]).await;
    let request = receiver.next().await;
    standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .verify(&request.body, &request.headers)
        .unwrap();
    assert_eq!(request.id(), sent.id);
    assert_eq!(request.body, sent.body.as_bytes());
    assert_eq!(request.headers[header::CONTENT_TYPE], "application/json");
    bench.until_delivered().await;
    running.stop.cancel();
    soon("the worker stops", running.task).await.unwrap();
}

#[tokio::test]
async fn failure_delays_its_own_room_only() {
    let bench = Bench::new();
    let failed = AtomicUsize::new(0);
    let mut receiver = Receiver::start(move |request| {
        let first =
            request.room_and_sequence() == (1, 1) && failed.fetch_add(1, Ordering::SeqCst) == 0;
        let status = if first {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::NO_CONTENT
        };
        Box::pin(async move { status.into_response() })
    })
    .await;
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.emit(1, [1, 2]).await;
    let first = receiver.next().await;
    assert_eq!(first.room_and_sequence(), (1, 1));
    bench.until_retry_is_set().await;
    bench.emit(2, [1, 2, 3]).await;
    for sequence in 1..=3 {
        assert_eq!(receiver.next().await.room_and_sequence(), (2, sequence));
    }
    bench.until_queues(1).await;
    bench.advance(2 * HOUR);
    let again = receiver.next().await;
    assert_eq!(again.id(), first.id());
    assert_eq!(again.body, first.body);
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 2));
    bench.until_delivered().await;
}

#[tokio::test]
async fn lasting_failure_is_parked_and_later_messages_go_on() {
    let bench = Bench {
        hold_timeout: MINUTE,
        ..Bench::new()
    };
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    let mut receiver = Receiver::start(move |request| {
        let status = if request.room_and_sequence().1 == 1 && fails.load(Ordering::SeqCst) {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::NO_CONTENT
        };
        Box::pin(async move { status.into_response() })
    })
    .await;
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.emit(1, [1, 2, 3]).await;
    let first = receiver.next().await;
    assert_eq!(first.room_and_sequence(), (1, 1));
    // One queue for the parked message, one for those behind it, which wait for a minute.
    bench.until_queues(2).await;
    assert!(receiver.requests.try_recv().is_err());
    bench.advance(MINUTE);
    for sequence in 2..=3 {
        assert_eq!(receiver.next().await.room_and_sequence(), (1, sequence));
    }
    bench.until_queues(1).await;
    failing.store(false, Ordering::SeqCst);
    bench.advance(2 * HOUR);
    let again = receiver.next().await;
    assert_eq!(again.id(), first.id());
    assert_eq!(again.body, first.body);
    bench.until_delivered().await;
}

#[tokio::test]
async fn message_is_dead_after_its_last_attempt_and_next_one_follows() {
    let bench = Bench::new();
    let mut receiver = Receiver::start(|request| {
        let status = match request.room_and_sequence().1 {
            1 => StatusCode::BAD_GATEWAY,
            2 => StatusCode::GONE,
            _ => StatusCode::OK,
        };
        Box::pin(async move { status.into_response() })
    })
    .await;
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.emit(1, [1, 2, 3]).await;
    for _ in 0..2 {
        assert_eq!(receiver.next().await.room_and_sequence(), (1, 1));
        bench.until_retry_is_set().await;
        bench.advance(2 * HOUR);
    }
    // The third attempt is the last; after 410 there is no other.
    for sequence in 1..=3 {
        assert_eq!(receiver.next().await.room_and_sequence(), (1, sequence));
    }
    bench.until_delivered().await;
    let dead = bench.dead(&receiver.url).await;
    let attempts: Vec<usize> = dead.iter().map(|row| row.attempts.len()).collect();
    assert_eq!(attempts, [1, 3], "latest first");
    assert_eq!(dead[0].attempts[0].status, Some(410));
    let id = endpoint(&receiver.url, &["*"]).id;
    assert_eq!(bench.disabler.all(), [(id, "gone")]);
}

#[tokio::test]
async fn each_endpoint_gets_only_events_of_its_filter() {
    let bench = Bench::new();
    let mut all = Receiver::always(StatusCode::OK).await;
    let mut calls = Receiver::always(StatusCode::OK).await;
    let _running = bench.start([
        endpoint(&all.url, &["conference.*"]),
        endpoint(&calls.url, &["call.*"]),
    ]);
    bench.emit(1, [1, 2]).await;
    assert_eq!(all.next().await.room_and_sequence(), (1, 1));
    assert_eq!(all.next().await.room_and_sequence(), (1, 2));
    bench.until_delivered().await;
    assert!(calls.requests.try_recv().is_err());
}

#[tokio::test]
async fn attempts_are_limited_and_long_outbox_is_fanned_out_in_steps() {
    const ROOMS: u128 = 20;
    let bench = Bench::new();
    let running = Arc::new(AtomicUsize::new(0));
    let max = Arc::new(AtomicUsize::new(0));
    let (count, peak) = (Arc::clone(&running), Arc::clone(&max));
    let mut receiver = Receiver::start(move |_| {
        let (count, peak) = (Arc::clone(&count), Arc::clone(&peak));
        Box::pin(async move {
            let now = count.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(now, Ordering::SeqCst);
            // Long enough for all other allowed attempts to start.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            count.fetch_sub(1, Ordering::SeqCst);
            StatusCode::OK.into_response()
        })
    })
    .await;
    for room in 1..=ROOMS {
        bench.emit(room, [1, 2]).await;
    }
    // One endpoint gets two or three of 12 permits: the others are for other apps and for the app's other endpoints.
    let settings = Settings {
        concurrency: 12,
        batch: 7,
        ..Settings::default()
    };
    let store = Arc::clone(&bench.store) as Arc<dyn Store>;
    let _running = bench.start_within(store, [endpoint(&receiver.url, &["*"])], settings);
    bench.until_delivered().await;
    let mut last: HashMap<u128, u64> = HashMap::new();
    while let Ok(request) = receiver.requests.try_recv() {
        let (room, sequence) = request.room_and_sequence();
        let before = last.insert(room, sequence).unwrap_or_default();
        assert_eq!(sequence, before + 1, "room {room}");
    }
    assert_eq!(last.len() as u128, ROOMS);
    assert!(last.values().all(|sequence| *sequence == 2));
    // Attempts are concurrent, within the limit.
    assert!((2..=3).contains(&max.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn hanging_endpoints_leave_permits_for_other_apps() {
    const APPS: usize = 10;
    let bench = Bench::new();
    let hangs = Receiver::start(|_| Box::pin(std::future::pending())).await;
    let mut good = Receiver::always(StatusCode::OK).await;
    let mut endpoints = vec![endpoint(&good.url, &["*"])];
    let mut events = Vec::new();
    for n in 0..APPS {
        let app: AppId = format!("hostile{n}").parse().unwrap();
        for path in 0..16 {
            let url = hangs.url.join(&format!("/{path}")).unwrap();
            let filters = vec!["*".parse().unwrap()];
            let secrets = vec![SECRET.parse().unwrap()];
            endpoints.push(Endpoint::new(app.clone(), url, secrets, filters));
        }
        events.extend((1..=10).map(|room| Message {
            app: app.clone(),
            ..message(room, 1)
        }));
    }
    let settings = Settings {
        concurrency: 32,
        ..Settings::default()
    };
    let store = Arc::clone(&bench.store) as Arc<dyn Store>;
    // The events of the hanging endpoints are due first.
    bench.commit(999, events).await;
    let _running = bench.start_within(store, endpoints, settings);
    until("all attempts hang", || async {
        bench.store.backlog(node()).await.unwrap().outbox == 0
    })
    .await;
    for n in 1..=3 {
        let start = Instant::now();
        bench.emit(1, [n]).await;
        assert_eq!(good.next().await.room_and_sequence(), (1, n));
        // An attempt that hangs ends after 10 s.
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn delivery_is_repeated_under_same_id_after_worker_is_lost() {
    let bench = Bench::new();
    let mut receiver = Receiver::start({
        let requests = AtomicUsize::new(0);
        move |_| {
            let first = requests.fetch_add(1, Ordering::SeqCst) == 0;
            Box::pin(async move {
                if first {
                    std::future::pending::<()>().await;
                }
                StatusCode::OK.into_response()
            })
        }
    })
    .await;
    let lost = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.emit(1, [1]).await;
    let first = receiver.next().await;
    lost.task.abort();
    assert!(lost.task.await.unwrap_err().is_cancelled());

    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.advance(HOUR);
    let again = receiver.next().await;
    assert_eq!(again.id(), first.id());
    assert_eq!(again.body, first.body);
    bench.until_delivered().await;
}

#[tokio::test]
async fn stopped_worker_finishes_attempts_and_starts_none() {
    let bench = Bench::new();
    let release = Arc::new(Notify::new());
    let held = Arc::clone(&release);
    let mut receiver = Receiver::start(move |_| {
        let held = Arc::clone(&held);
        Box::pin(async move {
            held.notified().await;
            StatusCode::OK.into_response()
        })
    })
    .await;
    let running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.emit(1, [1, 2]).await;
    assert_eq!(receiver.next().await.room_and_sequence(), (1, 1));
    running.stop.cancel();
    release.notify_one();
    soon("the worker stops", running.task).await.unwrap();
    assert!(receiver.requests.try_recv().is_err());
    // The first message is delivered; the next claim returns the second one, at once and without a failure.
    let next = bench
        .store
        .claim_deliveries(node(), HOUR, Share::all(10))
        .await
        .unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!((next[0].message.sequence, next[0].failed_attempts), (2, 0));
}
