//! Deliveries that wait for another attempt: behind a parked one, and after their endpoint has changed.

use super::deliveries::attempt;
use super::*;
use roomkeeper::store::deliveries::DeliveryStatus;

pub async fn delivery_behind_parked_one_waits_until_its_end(s: Subject) {
    let park = DeliveryResult::Park {
        after: Duration::ZERO,
        hold: LONG,
    };
    s.queue(&[endpoint(1)], (1..=3).map(|n| message(1, n)).collect())
        .await;
    let first = s.claim_one(LONG).await;
    s.answered(&first, park, &attempt(1, None)).await;
    let parked = s.claim_one(LONG).await;
    assert!(parked.parked);
    s.answered(&parked, DeliveryResult::Delivered, &attempt(2, Some(200)))
        .await;
    let second = s.claim_one(LONG).await;
    assert_eq!(second.message, message(1, 2));
    // The end of another one does not release it.
    s.answered(&second, park, &attempt(3, None)).await;
    assert!(s.redeliver(1, "msg_1_1").await);
    let mut claims = s.claim(LONG).await;
    claims.sort_by(|a, b| a.message.id.cmp(&b.message.id));
    let ids: Vec<&str> = claims.iter().map(|c| c.message.id.as_str()).collect();
    assert_eq!(ids, ["msg_1_1", "msg_1_2"]);
    s.answered(
        &claims[0],
        DeliveryResult::Delivered,
        &attempt(4, Some(200)),
    )
    .await;
    assert_eq!(s.claim(LONG).await, []);
    s.answered(&claims[1], DeliveryResult::Dead, &attempt(5, None))
        .await;
    assert_eq!(s.claim_one(LONG).await.message, message(1, 3));
}

pub async fn retried_endpoint_has_its_waiting_deliveries_due(s: Subject) {
    let retry = DeliveryResult::Retry { after: LONG };
    let park = DeliveryResult::Park {
        after: LONG,
        hold: LONG,
    };
    s.queue(
        &[endpoint(1), endpoint(2)],
        vec![
            message(1, 1),
            message(1, 2),
            message(2, 1),
            message(2, 2),
            message(3, 1),
        ],
    )
    .await;
    let claims = s.claim(LONG).await;
    let mut under_way = Vec::new();
    for claim in &claims {
        let result = match claim.message.id.as_str() {
            "msg_1_1" => retry,
            "msg_2_1" => park,
            _ => {
                under_way.push(claim.clone());
                continue;
            }
        };
        s.answered(claim, result, &attempt(1, Some(500))).await;
    }
    assert_eq!(s.claim(LONG).await, []);

    s.store.retry_endpoint(node(), &endpoint(1)).await.unwrap();
    assert!(s.health(1).await.failing_for.is_none());
    assert!(s.health(2).await.failing_for.is_some());
    let mut claims = s.claim(LONG).await;
    claims.sort_by(|a, b| a.message.id.cmp(&b.message.id));
    let found: Vec<_> = claims
        .iter()
        .map(|c| {
            (
                c.endpoint.clone(),
                c.message.id.as_str(),
                c.parked,
                c.failed_attempts,
            )
        })
        .collect();
    // The attempts in progress keep their claims, and the delivery behind the parked one still waits for it.
    let own = endpoint(1);
    assert_eq!(
        found,
        [
            (own.clone(), "msg_1_1", false, 0),
            (own, "msg_2_1", true, 0)
        ]
    );
    for claim in &claims {
        s.answered(claim, DeliveryResult::Delivered, &attempt(2, Some(200)))
            .await;
    }
    let mut ids: Vec<String> = s
        .claim(LONG)
        .await
        .into_iter()
        .map(|c| c.message.id)
        .collect();
    ids.sort();
    assert_eq!(ids, ["msg_1_2", "msg_2_2"]);
    for claim in &under_way {
        assert!(s.finish(claim, DeliveryResult::Delivered).await);
    }
    let nobody = endpoint(9);
    let unknown = s.store.retry_endpoint(node(), &nobody);
    unknown.await.unwrap();
}

pub async fn restarted_delivery_is_due_with_new_schedule(s: Subject) {
    let retry = DeliveryResult::Retry {
        after: Duration::ZERO,
    };
    let park = DeliveryResult::Park {
        after: Duration::ZERO,
        hold: LONG,
    };
    s.queue(
        &[endpoint(1)],
        vec![message(1, 1), message(1, 2), message(2, 1)],
    )
    .await;
    for claim in s.claim(LONG).await {
        let result = match claim.message.id.as_str() {
            "msg_1_1" => park,
            _ => retry,
        };
        s.answered(&claim, result, &attempt(1, Some(500))).await;
    }
    s.pass(SHORT).await;
    let claims = s.claim(LONG).await;
    assert_eq!(claims.len(), 2);
    // The attempts are in progress, so this does not change their queues.
    s.store.retry_endpoint(node(), &endpoint(1)).await.unwrap();
    for claim in &claims {
        assert_eq!(claim.failed_attempts, 1);
        let restart = DeliveryResult::Restart;
        s.answered(claim, restart, &attempt(2, Some(500))).await;
    }
    let mut claims = s.claim(LONG).await;
    claims.sort_by(|a, b| a.message.id.cmp(&b.message.id));
    let found: Vec<_> = claims
        .iter()
        .map(|c| {
            let id = c.message.id.as_str();
            (id, c.parked, c.failed_attempts, c.failing_for)
        })
        .collect();
    // The delivery behind the parked one still waits for it.
    let new = Duration::ZERO;
    assert_eq!(
        found,
        [("msg_1_1", true, 0, new), ("msg_2_1", false, 0, new)]
    );
    for row in s.log(1, DeliveryStatus::Pending).await {
        let attempts = if row.message.id == "msg_1_2" { 0 } else { 2 };
        assert_eq!(row.attempts.len(), attempts, "{}", row.message.id);
    }
    let delivered = DeliveryResult::Delivered;
    assert!(s.finish(&claims[0], delivered).await);
    assert_eq!(s.claim_one(LONG).await.message, message(1, 2));
}

pub async fn restarted_delivery_does_not_change_health(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(2, 1)])
        .await;
    let [first, second] = &s.claim(LONG).await[..] else {
        panic!("two deliveries are due");
    };
    let retry = DeliveryResult::Retry { after: LONG };
    s.answered(first, retry, &attempt(1, Some(500))).await;
    assert!(s.health(1).await.failing_for.is_some());
    s.store.retry_endpoint(node(), &endpoint(1)).await.unwrap();
    let restart = DeliveryResult::Restart;
    let failing_for = s.answered(second, restart, &attempt(2, Some(500))).await;
    assert_eq!(failing_for, None);
    let health = s.health(1).await;
    assert_eq!((health.failing_for, health.delivered_ago), (None, None));
    let errors = s.store.last_errors(node(), &[endpoint(1)]).await.unwrap();
    assert_eq!(errors, [None]);
}

pub async fn last_error_is_kept_until_endpoint_is_retried(s: Subject) {
    let errors = async || {
        let of = [endpoint(1), endpoint(2)];
        s.store.last_errors(node(), &of).await.unwrap()
    };
    assert_eq!(errors().await, [None, None]);
    s.queue(&[endpoint(1)], vec![message(1, 1)]).await;
    let retry = DeliveryResult::Retry {
        after: Duration::ZERO,
    };
    let claim = s.claim_one(LONG).await;
    let event = claim.message.event.clone();
    s.answered(&claim, retry, &attempt(1, Some(500))).await;
    let [Some(error), None] = &errors().await[..] else {
        panic!("one endpoint has an error");
    };
    assert_eq!((error.at, error.status), (1, Some(500)));
    assert_eq!(error.error, "the receiver answered 500");
    assert_eq!(error.event, event);
    let claim = s.claim_one(LONG).await;
    s.answered(&claim, retry, &attempt(2, None)).await;
    let claim = s.claim_one(LONG).await;
    s.answered(&claim, DeliveryResult::Delivered, &attempt(3, Some(200)))
        .await;
    let [Some(error), None] = &errors().await[..] else {
        panic!("the error is kept");
    };
    assert_eq!((error.at, error.status), (2, None));
    assert_eq!(error.error, "no answer in time");
    s.store.retry_endpoint(node(), &endpoint(1)).await.unwrap();
    assert_eq!(errors().await, [None, None]);
}
