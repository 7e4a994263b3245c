//! The log of deliveries: keeping, listing, sending again and removing.

use std::collections::BTreeMap;

use super::*;
use roomkeeper::store::deliveries::{
    ATTEMPTS_KEPT, AttemptRecord, CLAIM_SCAN_LIMIT, DEFERRAL, Delivery, DeliveryStatus,
    EndpointHealth, QueueLimits, log_position,
};

const PENDING: DeliveryStatus = DeliveryStatus::Pending;
const DELIVERED: DeliveryStatus = DeliveryStatus::Delivered;
const DEAD: DeliveryStatus = DeliveryStatus::Dead;

pub(super) fn attempt(at: u64, status: Option<u16>) -> AttemptRecord {
    let error = status.is_none().then(|| "no answer in time".to_owned());
    AttemptRecord {
        at,
        status,
        error,
        ms: 7,
    }
}

impl Subject {
    /// Finishes a claim with the receiver's answer.
    pub(super) async fn answered(
        &self,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempt: &AttemptRecord,
    ) -> Option<Duration> {
        let store = &self.store;
        let finish = store.finish_delivery(node(), claim, result, Some(attempt));
        finish
            .await
            .unwrap()
            .expect("claim should be valid")
            .failing_for
    }

    pub(super) async fn log(&self, of: u8, status: DeliveryStatus) -> Vec<Delivery> {
        let endpoint = endpoint(of);
        let rows = self
            .store
            .list_deliveries(node(), &endpoint, status, None, 1000);
        rows.await.unwrap()
    }

    async fn ids(&self, of: u8, status: DeliveryStatus) -> Vec<String> {
        let rows = self.log(of, status).await;
        rows.into_iter().map(|row| row.message.id).collect()
    }

    async fn one(&self, of: u8, id: &str) -> Option<Delivery> {
        let endpoint = endpoint(of);
        let row = self.store.read_delivery(node(), &endpoint, id);
        row.await.unwrap()
    }

    pub(super) async fn health(&self, of: u8) -> EndpointHealth {
        let of = [endpoint(of)];
        let health = self.store.endpoint_health(node(), &of);
        health.await.unwrap()[0]
    }

    pub(super) async fn redeliver(&self, of: u8, id: &str) -> bool {
        self.store
            .redeliver(node(), &endpoint(of), id)
            .await
            .unwrap()
    }
}

pub async fn delivery_is_listed_from_queueing_to_end(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(2, 1)])
        .await;
    assert_eq!(s.ids(1, PENDING).await, ["msg_2_1", "msg_1_1"]);
    assert!(
        s.log(2, PENDING).await.is_empty(),
        "another endpoint has no deliveries"
    );
    let claims = s.claim(LONG).await;
    let of = |id: &str| claims.iter().find(|c| c.message.id == id).unwrap();
    let failed = attempt(1, None);
    let refused = attempt(2, Some(500));
    let retry = DeliveryResult::Retry {
        after: Duration::ZERO,
    };
    s.answered(of("msg_1_1"), retry, &failed).await;
    s.answered(of("msg_2_1"), DeliveryResult::Dead, &refused)
        .await;
    let again = s.claim_one(LONG).await;
    let taken = attempt(3, Some(200));
    s.answered(&again, DeliveryResult::Delivered, &taken).await;
    let delivered = s.log(1, DELIVERED).await;
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0].message, message(1, 1));
    assert_eq!(delivered[0].status, DELIVERED);
    assert_eq!(delivered[0].attempts, [failed, taken]);
    let dead = s.log(1, DEAD).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0].message, &dead[0].attempts),
        (&message(2, 1), &vec![refused])
    );
    assert!(s.log(1, PENDING).await.is_empty());
    assert_eq!(s.one(1, "msg_2_1").await.as_ref(), dead.first());
    assert_eq!(s.one(1, "msg_3_1").await, None);
    assert_eq!(s.one(2, "msg_2_1").await, None);
}

pub async fn log_is_paged_latest_first(s: Subject) {
    for n in 1..=7 {
        s.queue(&[endpoint(1)], vec![message(n, 1), message(n, 2)])
            .await;
    }
    let mut found = Vec::new();
    let mut below: Option<String> = None;
    loop {
        let endpoint = endpoint(1);
        let page = s
            .store
            .list_deliveries(node(), &endpoint, PENDING, below.as_deref(), 3);
        let page = page.await.unwrap();
        let Some(last) = page.last() else { break };
        below = Some(last.position.clone());
        found.extend(page.into_iter().map(|row| row.message));
    }
    let wanted: Vec<_> = (1..=7)
        .rev()
        .flat_map(|n| [message(n, 2), message(n, 1)])
        .collect();
    assert_eq!(found, wanted);
}

pub async fn last_attempts_are_kept(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1)]).await;
    let after = Duration::ZERO;
    for n in 1..=ATTEMPTS_KEPT + 3 {
        let claim = s.claim_one(LONG).await;
        let attempt = attempt(n, Some(500));
        s.answered(&claim, DeliveryResult::Retry { after }, &attempt)
            .await;
    }
    let kept = s.one(1, "msg_1_1").await.unwrap().attempts;
    let at: Vec<u64> = kept.iter().map(|attempt| attempt.at).collect();
    assert_eq!(at, (4..=ATTEMPTS_KEPT + 3).collect::<Vec<_>>());
}

pub async fn held_delivery_is_dead_and_not_claimed(s: Subject) {
    let mut held = delivery(&endpoint(1), &message(1, 1));
    held.held = true;
    s.store.enqueue(node(), &held).await.unwrap();
    assert_eq!(s.claim(LONG).await, []);
    assert_eq!(s.ids(1, DEAD).await, ["msg_1_1"]);
    assert_eq!(s.health(1).await.dead, 1);
    assert_eq!(s.backlog().await.queues, 0);
}

pub async fn repeated_enqueue_queues_once(s: Subject) {
    let new = delivery(&endpoint(1), &message(1, 1));
    for _ in 0..2 {
        s.store.enqueue(node(), &new).await.unwrap();
    }
    let claim = s.claim_one(LONG).await;
    assert_eq!(claim.message, message(1, 1));
    s.answered(&claim, DeliveryResult::Delivered, &attempt(1, Some(200)))
        .await;
    s.store.enqueue(node(), &new).await.unwrap();
    assert_eq!(s.claim(LONG).await, []);
}

pub async fn redelivery_bypasses_queue_and_restarts_schedule(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(1, 2)])
        .await;
    let first = s.claim_one(LONG).await;
    s.answered(&first, DeliveryResult::Dead, &attempt(1, Some(500)))
        .await;
    let second = s.claim_one(LONG).await;
    s.answered(
        &second,
        DeliveryResult::Retry { after: LONG },
        &attempt(2, None),
    )
    .await;
    assert!(s.redeliver(1, "msg_1_1").await);
    assert_eq!(s.ids(1, PENDING).await, ["msg_1_2", "msg_1_1"]);
    let again = s.claim_one(LONG).await;
    assert_eq!(again.message, message(1, 1));
    assert_eq!(
        (again.failed_attempts, again.failing_for),
        (0, Duration::ZERO)
    );
    let taken = attempt(3, Some(200));
    s.answered(&again, DeliveryResult::Delivered, &taken).await;
    // A delivered message can be sent again, too.
    assert!(s.redeliver(1, "msg_1_1").await);
    let again = s.claim_one(LONG).await;
    s.answered(&again, DeliveryResult::Delivered, &taken).await;
    assert_eq!(s.one(1, "msg_1_1").await.unwrap().attempts.len(), 3);
    assert!(!s.redeliver(1, "msg_9_9").await);
    assert!(!s.redeliver(2, "msg_1_1").await);
}

pub async fn redelivery_makes_waiting_retry_due_at_once(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(1, 2)])
        .await;
    let first = s.claim_one(LONG).await;
    // An attempt is in progress, so the delivery is not sent a second time.
    assert!(s.redeliver(1, "msg_1_1").await);
    assert_eq!(s.claim(LONG).await, []);
    let park = DeliveryResult::Park {
        after: LONG,
        hold: LONG,
    };
    s.answered(&first, park, &attempt(1, None)).await;
    assert!(s.redeliver(1, "msg_1_1").await);
    let parked = s.claim_one(LONG).await;
    assert_eq!((&parked.message, parked.parked), (&message(1, 1), true));
    assert_eq!(parked.failed_attempts, 1, "the schedule continues");
    // The next one waits for it until it is redelivered itself.
    assert_eq!(s.claim(LONG).await, []);
    assert!(s.redeliver(1, "msg_1_2").await);
    assert_eq!(s.claim_one(LONG).await.message, message(1, 2));
}

pub async fn dead_deliveries_are_recovered_in_order(s: Subject) {
    let give_up = async |messages: Vec<Message>| {
        let count = messages.len();
        s.queue(&[endpoint(1)], messages).await;
        for _ in 0..count {
            let claim = s.claim_one(LONG).await;
            s.answered(&claim, DeliveryResult::Dead, &attempt(1, None))
                .await;
        }
    };
    give_up(vec![message(1, 1)]).await;
    let before = s.log(1, DEAD).await[0].position.clone();
    s.pass(SHORT).await;
    give_up((2..=6).map(|n| message(1, n)).collect()).await;
    let since = before.split(':').next().unwrap().parse::<u64>().unwrap() + 1;
    let mut from = Some(log_position(Timestamp::from_millis(since)));
    let mut counts = Vec::new();
    let receiver = endpoint(1);
    while let Some(position) = from {
        let recovered = s.store.recover(node(), &receiver, &position, 2);
        let recovered = recovered.await.unwrap();
        counts.push(recovered.count);
        from = recovered.next;
    }
    assert_eq!(counts, [2, 2, 1]);
    assert_eq!(
        s.ids(1, DEAD).await,
        ["msg_1_1"],
        "it is older than the start of the recovery"
    );
    for n in 2..=6 {
        let claim = s.claim_one(LONG).await;
        assert_eq!(claim.message, message(1, n));
        s.answered(&claim, DeliveryResult::Delivered, &attempt(2, Some(200)))
            .await;
    }
    let other = endpoint(2);
    let unknown = s.store.recover(node(), &other, "", 2);
    assert_eq!(unknown.await.unwrap().count, 0);
}

pub async fn endpoint_fails_from_its_first_failure_until_a_success(s: Subject) {
    assert_eq!(s.health(1).await, EndpointHealth::default());
    s.queue(&[endpoint(1)], vec![message(1, 1), message(2, 1)])
        .await;
    let claims = s.claim(LONG).await;
    let retry = DeliveryResult::Retry {
        after: Duration::ZERO,
    };
    let failing = s.answered(&claims[0], retry, &attempt(1, None)).await;
    assert!(failing.unwrap() < LONG);
    s.pass(SHORT).await;
    let failing = s.answered(&claims[1], retry, &attempt(2, Some(500))).await;
    assert!(failing.unwrap() >= SHORT, "{failing:?}");
    let health = s.health(1).await;
    assert!(health.failing_for.unwrap() >= SHORT);
    assert_eq!((health.delivered_ago, health.pending), (None, 2));
    let claims = s.claim(LONG).await;
    let taken = attempt(3, Some(200));
    let after = s.answered(&claims[0], DeliveryResult::Delivered, &taken);
    assert_eq!(after.await, None);
    let health = s.health(1).await;
    assert!(health.delivered_ago.unwrap() < LONG);
    assert_eq!((health.failing_for, health.pending), (None, 1));
    // An end without an attempt does not change the endpoint's health.
    assert!(s.finish(&claims[1], DeliveryResult::Dead).await);
    let health = s.health(1).await;
    assert_eq!(
        (health.failing_for, health.pending, health.dead),
        (None, 0, 1)
    );
    assert_eq!(s.health(2).await, EndpointHealth::default());
}

pub async fn forgotten_endpoint_keeps_only_pending_deliveries(s: Subject) {
    s.queue(
        &[endpoint(1), endpoint(2)],
        (1..=3).map(|n| message(n, 1)).collect(),
    )
    .await;
    let mut claims = s.claim(LONG).await;
    claims.retain(|claim| claim.endpoint == endpoint(1));
    let taken = attempt(1, Some(200));
    s.answered(&claims[0], DeliveryResult::Delivered, &taken)
        .await;
    s.answered(&claims[1], DeliveryResult::Dead, &attempt(2, None))
        .await;
    let forget = async || s.store.forget_endpoint(node(), &endpoint(1)).await.unwrap();
    assert_eq!(forget().await, 1);
    assert!(s.log(1, DELIVERED).await.is_empty() && s.log(1, DEAD).await.is_empty());
    assert!(s.finish(&claims[2], DeliveryResult::Forgotten).await);
    assert_eq!(forget().await, 0);
    assert_eq!(s.one(1, &claims[2].message.id).await, None);
    assert_eq!(s.health(1).await, EndpointHealth::default());
    assert_eq!(
        s.log(2, PENDING).await.len(),
        3,
        "the other endpoint is unchanged"
    );
}

pub async fn last_delivered_messages_are_kept(s: Subject) {
    let limits = QueueLimits {
        delivered: 3,
        ..QueueLimits::default()
    };
    let s = s.limited(limits);
    for n in 1..=5 {
        s.queue(&[endpoint(1)], vec![message(n, 1)]).await;
        let claim = s.claim_one(LONG).await;
        s.answered(&claim, DeliveryResult::Delivered, &attempt(1, Some(200)))
            .await;
    }
    assert_eq!(s.ids(1, DELIVERED).await, ["msg_5_1", "msg_4_1", "msg_3_1"]);
    assert_eq!(s.one(1, "msg_2_1").await, None);
}

pub async fn deliveries_beyond_limit_are_lost_and_counted(s: Subject) {
    let limits = QueueLimits {
        pending: 3,
        ..QueueLimits::default()
    };
    let s = s.limited(limits);
    for n in 1..=5 {
        let receivers = [endpoint(1), endpoint(2)];
        s.queue(
            &receivers[..if n == 1 { 2 } else { 1 }],
            vec![message(n, 1)],
        )
        .await;
    }
    let health = s.health(1).await;
    assert_eq!((health.pending, health.lost), (3, 2));
    assert_eq!(
        s.health(2).await.lost,
        0,
        "other endpoints have separate limits"
    );
    // The outbox has a separate limit, beyond which commits still succeed.
    let mut commit = change(vec![write(room(1), Version::ABSENT)]);
    commit.outbox = (10..=15).map(|n| message(n, 1)).collect();
    s.apply(&commit).await;
    s.apply(&commit).await;
    let batch = s.store.read_outbox(node(), 100).await.unwrap();
    let ids: Vec<_> = batch.messages.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(ids, ["msg_10_1", "msg_11_1", "msg_12_1"]);
    assert_eq!(s.version(room(1)).await, Version(1));
    let backlog = s.backlog().await;
    assert_eq!(
        (backlog.outbox, backlog.lost),
        (3, 3),
        "a repeated commit counts once"
    );
    let moved = s.store.fan_out(node(), &batch.from, &batch.to, &[]);
    assert!(moved.await.unwrap());
    let mut commit = change(vec![write(room(1), Version(1))]);
    commit.outbox = vec![message(16, 1)];
    s.apply(&commit).await;
    assert_eq!((s.backlog().await.outbox, s.backlog().await.lost), (1, 3));
}

pub async fn outbox_damage_is_counted(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(1, 2)])
        .await;
    let batch = s.store.read_outbox(node(), 10).await.unwrap();
    assert_eq!((batch.missing, batch.unreadable), (0, 0));
    assert!(!batch.mended);
    let backlog = s.backlog().await;
    assert_eq!(
        (backlog.missing, backlog.unreadable, backlog.noticed_ago),
        (0, 0, None)
    );
    s.store.note_outbox(node(), 3, 0).await.unwrap();
    s.pass(SHORT).await;
    s.store.note_outbox(node(), 0, 2).await.unwrap();
    s.store.note_outbox(node(), 0, 0).await.unwrap();
    s.pass(SHORT).await;
    let backlog = s.backlog().await;
    assert_eq!((backlog.missing, backlog.unreadable), (3, 2));
    let ago = backlog.noticed_ago.unwrap();
    assert!((SHORT..LONG).contains(&ago), "{ago:?}");
}

pub async fn endpoint_write_requires_its_version(s: Subject) {
    let (one, two) = (endpoint(1), endpoint(2));
    let app = app();
    let both = [
        AppsWrite::App(&app, Some("a1")),
        AppsWrite::Endpoint(&one, Some("e1")),
    ];
    assert!(put(&s, 0, &both).await);
    assert!(put(&s, 0, &both).await, "a repeated write succeeds");
    assert!(!put(&s, 0, &[AppsWrite::Endpoint(&two, Some("e2"))]).await);
    assert!(put(&s, 1, &[AppsWrite::Endpoint(&two, Some("e2"))]).await);
    let all = s.store.read_apps(Some(1)).await.unwrap().unwrap();
    let (e1, e2) = ("e1".to_owned(), "e2".to_owned());
    assert_eq!(all.endpoints, [(one.clone(), e1), (two.clone(), e2)]);
    assert_eq!(all.records.len(), 1);
    assert!(put(&s, 2, &[AppsWrite::Endpoint(&one, None)]).await);
    assert!(
        put(&s, 2, &[AppsWrite::Endpoint(&one, None)]).await,
        "record should be removed"
    );
    let all = s.store.read_apps(None).await.unwrap().unwrap();
    assert_eq!((all.version, all.endpoints.len()), (3, 1));
}

/// Returns a share of `free` permits, all of which can be claimed, with no attempt in progress.
const fn share(free: usize, each: usize) -> Share<'static> {
    Share {
        total: free,
        free,
        each,
        lowered_left: free,
        under_way: &[],
        lowered: &[],
    }
}

fn app_number(n: usize) -> AppId {
    format!("app{n}").parse().unwrap()
}

impl Subject {
    /// Claims by this share and returns the number of claims for each endpoint.
    async fn claims_by(&self, share: Share<'_>) -> BTreeMap<EndpointId, usize> {
        let claims = self.store.claim_deliveries(node(), LONG, share).await;
        let mut counts = BTreeMap::new();
        for claim in claims.unwrap() {
            *counts.entry(claim.endpoint).or_default() += 1;
        }
        counts
    }

    /// Queues a message of an app in each of this number of rooms, which creates as many queues.
    async fn queue_of(&self, app: usize, endpoint: &EndpointId, rooms: u128) {
        let messages = (1..=rooms).map(|n| {
            let mut message = message(n, 1);
            message.id = format!("msg_{app}_{endpoint}_{n}");
            message.app = app_number(app);
            message
        });
        let endpoint = std::slice::from_ref(endpoint);
        self.queue(endpoint, messages.collect()).await;
    }
}

pub async fn endpoint_with_its_share_is_skipped_despite_many_due_queues(s: Subject) {
    let (one, two) = (endpoint(1), endpoint(2));
    s.queue_of(1, &one, 2_500).await;
    assert_eq!(s.claims_by(share(300, 4)).await, [(one.clone(), 4)].into());
    // Due later than thousands of queues of the first endpoint.
    s.queue_of(1, &two, 2).await;
    let under_way = [(app_number(1), one.clone(), 4)];
    let full = Share {
        under_way: &under_way,
        ..share(300, 4)
    };
    assert_eq!(s.claims_by(full).await, [(two.clone(), 2)].into());
    let under_way = [(app_number(1), one.clone(), 3), (app_number(1), two, 2)];
    let room_for_one = Share {
        under_way: &under_way,
        ..share(300, 4)
    };
    assert_eq!(s.claims_by(room_for_one).await, [(one, 1)].into());
}

pub async fn apps_and_their_endpoints_take_turns(s: Subject) {
    // The first app has more queues, which have been due for longer.
    s.queue_of(1, &endpoint(1), 100).await;
    s.queue_of(1, &endpoint(2), 100).await;
    s.queue_of(2, &endpoint(3), 100).await;
    let ten = Share {
        total: 10,
        ..share(1_000, 100)
    };
    let counts = s.claims_by(ten).await;
    assert_eq!(counts[&endpoint(3)], 5, "{counts:?}");
    assert!(counts[&endpoint(1)].abs_diff(counts[&endpoint(2)]) <= 1);
    // The app with the fewest permits comes first.
    let under_way = [
        (app_number(1), endpoint(1), 3),
        (app_number(1), endpoint(2), 2),
        (app_number(2), endpoint(3), 8),
    ];
    let three = Share {
        total: 4,
        under_way: &under_way,
        ..share(1_000, 100)
    };
    let counts = s.claims_by(three).await;
    assert_eq!(counts.get(&endpoint(3)), None, "{counts:?}");
    assert_eq!(counts[&endpoint(2)], 2, "{counts:?}");
}

pub async fn app_without_permits_gets_one_while_others_hold_many(s: Subject) {
    for app in 1..=12 {
        s.queue_of(app, &endpoint(u8::try_from(app).unwrap()), 200)
            .await;
    }
    // One app after the other takes its maximum.
    let mut under_way: Vec<(AppId, EndpointId, usize)> = Vec::new();
    let mut free = 256;
    for app in 1..=12 {
        let id = endpoint(u8::try_from(app).unwrap());
        let others = (1..=12_u8).filter(|other| usize::from(*other) != app);
        let held: Vec<_> = others.map(|other| (endpoint(other), 0)).collect();
        let got = s
            .claims_by(Share {
                under_way: &under_way,
                lowered: &held,
                ..share(free, 1_000)
            })
            .await;
        let count = got.get(&id).copied().unwrap_or_default();
        assert_eq!(
            got.len(),
            1,
            "only the last app should get a permit: {got:?}"
        );
        assert!((1..=64).contains(&count), "app {app} got {count} of {free}");
        under_way.push((app_number(app), id, count));
        free -= count;
    }
    assert!(free > 0, "{under_way:?}");
    // One of two endpoints of an app cannot get all permits of the app.
    s.queue_of(20, &endpoint(20), 200).await;
    s.queue_of(20, &endpoint(21), 200).await;
    let under_way = [(app_number(20), endpoint(20), 32)];
    let full = Share {
        under_way: &under_way,
        total: 1,
        ..share(128, 100)
    };
    let counts = s.claims_by(full).await;
    assert!(!counts.contains_key(&endpoint(20)), "{counts:?}");
}

pub async fn lowered_endpoints_have_single_and_common_limit(s: Subject) {
    for n in 1..=4 {
        s.queue_of(usize::from(n), &endpoint(n), 50).await;
    }
    let lowered = [(endpoint(1), 2), (endpoint(2), 2), (endpoint(3), 2)];
    let counts = s
        .claims_by(Share {
            lowered: &lowered,
            lowered_left: 5,
            ..share(300, 8)
        })
        .await;
    assert_eq!(counts[&endpoint(4)], 8, "{counts:?}");
    assert_eq!(counts.values().sum::<usize>(), 13, "{counts:?}");
    assert!((1..=3).all(|n| counts[&endpoint(n)] <= 2), "{counts:?}");
}

pub async fn claims_reach_endpoints_beyond_scan_limit(s: Subject) {
    let id = |n: usize| -> EndpointId { format!("ep_x{n}").parse().unwrap() };
    let blocked: Vec<EndpointId> = (0..CLAIM_SCAN_LIMIT + 50).map(id).collect();
    s.queue(&blocked, vec![message(1, 1)]).await;
    s.queue_of(2, &endpoint(2), 1).await;
    let lowered: Vec<_> = blocked.iter().map(|id| (id.clone(), 1)).collect();
    let none_left = Share {
        lowered: &lowered,
        lowered_left: 0,
        ..share(100, 8)
    };
    let mut found = s.claims_by(none_left).await;
    found.extend(s.claims_by(none_left).await);
    assert_eq!(found, [(endpoint(2), 1)].into());
    s.pass(DEFERRAL).await;
    let three_left = Share {
        lowered_left: 3,
        ..none_left
    };
    let found = s.claims_by(three_left).await;
    assert_eq!(found.len(), 3, "{found:?}");
}
