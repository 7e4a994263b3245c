//! The bytes of each app.

use super::*;
use roomkeeper::store::usage::{
    ENTITY_BYTES, LARGE, MESSAGE_BYTES, MOST_HISTORY, NodeUsage, VIEW_BYTES,
};

impl Subject {
    async fn usage(&self) -> NodeUsage {
        self.store.read_usage(node()).await.unwrap()
    }

    /// Returns the bytes of the app.
    async fn bytes(&self) -> u64 {
        self.usage().await.apps.get(&app()).copied().unwrap_or(0)
    }

    /// Returns the bytes of pending and dead deliveries of an endpoint.
    async fn waiting(&self, of: u8) -> u64 {
        let usage = self.usage().await;
        usage.endpoints.get(&endpoint(of)).copied().unwrap_or(0)
    }

    /// Moves the cursor over the outbox without queueing deliveries.
    async fn skip_outbox(&self) {
        let batch = self.store.read_outbox(node(), 1_000).await.unwrap();
        let done = self.store.fan_out(node(), &batch.from, &batch.to, &[]);
        assert!(done.await.unwrap());
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap()
}

/// Returns a text of `n` times [`LARGE`] bytes.
fn large(n: usize) -> String {
    "x".repeat(n * LARGE)
}

fn large_message(n: u64, bytes: usize) -> Message {
    let mut message = message(1, n);
    message.body = "x".repeat(bytes);
    message
}

pub async fn entity_counts_large_values_until_keeping_time_ends(s: Subject) {
    assert_eq!(s.usage().await, NodeUsage::default());
    let mut first = listed(room(1), 1);
    first.entities[0].head.push(pair("data", &large(4)));
    first.entities[0].head.push(pair("small", "text"));
    first.entities[0].parts = vec![("part".to_owned(), Some(large(2)))];
    s.apply(&first).await;
    let large_bytes = length(&large(1));
    assert_eq!(s.bytes().await, ENTITY_BYTES + 6 * large_bytes);
    // A commit that is repeated after a lost answer counts once.
    s.apply(&first).await;
    assert_eq!(s.bytes().await, ENTITY_BYTES + 6 * large_bytes);
    // Replaced and rejected values do not count.
    let mut second = change(vec![write(room(1), Version(1))]);
    second.entities[0].head.push(pair("data", &large(1)));
    s.apply(&second).await;
    let mut late = change(vec![write(room(1), Version(1))]);
    late.entities[0].head.push(pair("data", &large(100)));
    assert_eq!(s.commit(&late).await, CommitOutcome::Conflict(room(1)));
    assert_eq!(s.bytes().await, ENTITY_BYTES + 3 * large_bytes);
    let mut third = change(vec![write(room(1), Version(2))]);
    third.entities[0].head.push(pair("data", "short"));
    third.entities[0].parts = vec![("part".to_owned(), None)];
    s.apply(&third).await;
    s.apply(&listed(session(2), 1)).await;
    assert_eq!(s.bytes().await, 2 * ENTITY_BYTES);
    // An ended entity counts while it is kept. Redis counts in whole seconds.
    s.apply(&end(room(1), Version(3), Duration::from_secs(2)))
        .await;
    assert_eq!(s.bytes().await, 2 * ENTITY_BYTES);
    s.pass(Duration::from_secs(4)).await;
    assert_eq!(s.bytes().await, ENTITY_BYTES);
    s.apply(&end(session(2), Version(1), SHORT)).await;
    s.pass(Duration::from_secs(4)).await;
    assert_eq!(s.usage().await, NodeUsage::default());
}

pub async fn unlisted_entity_counts_for_no_app(s: Subject) {
    s.apply(&create(room(1))).await;
    assert_eq!(s.usage().await, NodeUsage::default());
    let mut found = listed(room(1), 1);
    found.entities[0].expected = Version(1);
    s.apply(&found).await;
    assert_eq!(s.bytes().await, ENTITY_BYTES);
}

pub async fn kept_view_counts(s: Subject) {
    let mut stay = view(call(1), 1, 1);
    s.put(vec![stay.clone()]).await;
    assert_eq!(s.bytes().await, 0, "live memberships count as members");
    stay.keep = Some(Duration::from_secs(2));
    let body = length(&stay.body);
    s.put(vec![stay]).await;
    assert_eq!(s.bytes().await, VIEW_BYTES + body);
    s.pass(Duration::from_secs(4)).await;
    assert_eq!(s.bytes().await, 0);
}

pub async fn message_counts_until_it_is_queued(s: Subject) {
    let mut commit = create(room(1));
    commit.outbox = vec![large_message(1, 1_000), large_message(2, 500)];
    s.apply(&commit).await;
    let both = 2 * MESSAGE_BYTES + 1_500;
    assert_eq!(s.bytes().await, both);
    // Only the first message is queued.
    let batch = s.store.read_outbox(node(), 1).await.unwrap();
    let done = s.store.fan_out(node(), &batch.from, &batch.to, &[]);
    assert!(done.await.unwrap());
    assert_eq!(s.bytes().await, MESSAGE_BYTES + 500);
    s.skip_outbox().await;
    assert_eq!(s.usage().await, NodeUsage::default());
}

pub async fn delivery_counts_until_it_is_delivered_or_forgotten(s: Subject) {
    const BODY: u64 = 1_000;
    let messages = (1..=3).map(|n| large_message(n, 1_000)).collect();
    s.queue(&[endpoint(1), endpoint(2)], messages).await;
    for of in [1, 2] {
        let bytes = s.waiting(of).await;
        assert!((3 * BODY..3 * BODY + 1_000).contains(&bytes), "{bytes}");
    }
    let claim = async |of: u8| {
        let claims = s.claim(SHORT).await;
        s.pass(SHORT).await;
        let claim = claims.into_iter().find(|c| c.endpoint == endpoint(of));
        claim.expect("delivery should be claimable")
    };
    assert!(s.finish(&claim(1).await, DeliveryResult::Delivered).await);
    let two = s.waiting(1).await;
    assert!((2 * BODY..2 * BODY + 700).contains(&two), "{two}");
    assert!(s.finish(&claim(1).await, DeliveryResult::Dead).await);
    assert_eq!(s.waiting(1).await, two, "a dead delivery is kept");
    assert!(s.finish(&claim(1).await, DeliveryResult::Forgotten).await);
    let one = s.waiting(1).await;
    assert!((BODY..BODY + 400).contains(&one), "{one}");
    // A redelivered message is pending.
    let again = s.store.redeliver(node(), &endpoint(1), "msg_1_1").await;
    assert!(again.unwrap());
    assert!(s.waiting(1).await > one);
    let again = claim(1).await;
    assert!(s.finish(&again, DeliveryResult::Delivered).await);
    assert_eq!(s.waiting(1).await, one);
    // Only pending deliveries of a removed endpoint are kept.
    let left = s.store.forget_endpoint(node(), &endpoint(1)).await;
    assert_eq!((left.unwrap(), s.waiting(1).await), (0, 0));
    let left = s.store.forget_endpoint(node(), &endpoint(2)).await;
    assert_eq!(left.unwrap(), 3);
    assert!(s.waiting(2).await >= 3 * BODY);
    for _ in 0..3 {
        assert!(s.finish(&claim(2).await, DeliveryResult::Forgotten).await);
    }
    assert_eq!(s.usage().await, NodeUsage::default());
}

pub async fn delivered_bytes_are_bounded(s: Subject) {
    let most = usize::try_from(MOST_HISTORY).unwrap();
    let each = most / 4;
    for n in 1..=8 {
        s.queue(&[endpoint(1)], vec![large_message(n, each)]).await;
        let claim = s.claim_one(LONG).await;
        assert!(s.finish(&claim, DeliveryResult::Delivered).await);
    }
    let receiver = endpoint(1);
    let rows = s.store.list_deliveries(
        node(),
        &receiver,
        roomkeeper::store::deliveries::DeliveryStatus::Delivered,
        None,
        100,
    );
    let ids: Vec<_> = rows
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.message.id)
        .collect();
    assert_eq!(ids[0], "msg_1_8", "the latest first");
    // On Redis, the encoding around a body counts, too.
    assert!((3..=4).contains(&ids.len()), "{ids:?}");
    assert_eq!(s.usage().await.endpoints.len(), 0);
}

pub async fn queued_bytes_in_outbox_are_bounded(s: Subject) {
    let most = usize::try_from(roomkeeper::store::keys::OUTBOX_KEPT_BYTES).unwrap();
    for n in 1..=8 {
        s.queue(&[], vec![large_message(n, most / 4)]).await;
    }
    let slice = s
        .store
        .read_outbox_after(node(), Some(0), 100)
        .await
        .unwrap();
    assert_eq!(slice.newest, 8);
    assert!((5..=6).contains(&slice.oldest), "{}", slice.oldest);
}
