//! Reads of the outbox by position, and live events.

use std::time::Duration;

use futures_util::StreamExt;
use roomkeeper::store::keys::OUTBOX_KEPT;
use roomkeeper::store::live::{LiveEvent, LiveStream, OutboxSlice};

use super::*;

/// Longer than the delay of a live event.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Subject {
    async fn after(&self, position: impl Into<Option<u64>>, limit: usize) -> OutboxSlice {
        let slice = self
            .store
            .read_outbox_after(node(), position.into(), limit)
            .await;
        slice.unwrap()
    }

    /// Appends this number of messages to the outbox in one commit.
    async fn append(&self, room_number: u128, numbers: std::ops::RangeInclusive<u64>) {
        let mut commit = create(room(room_number));
        commit.outbox = numbers.map(|n| message(1, n)).collect();
        self.apply(&commit).await;
    }

    /// Queues all messages of the outbox.
    async fn queue_all(&self) {
        let batch = self.store.read_outbox(node(), 100_000).await.unwrap();
        let moved = self.store.fan_out(node(), &batch.from, &batch.to, &[]);
        assert!(moved.await.unwrap());
    }
}

fn positions(slice: &OutboxSlice) -> Vec<u64> {
    slice.messages.iter().map(|(at, _)| *at).collect()
}

pub async fn outbox_is_read_after_any_position(s: Subject) {
    let empty = OutboxSlice {
        oldest: 1,
        ..OutboxSlice::default()
    };
    assert_eq!(s.after(None, 10).await, empty);
    assert_eq!(s.after(0, 10).await, empty);
    // A position that never existed is reported as missing.
    assert_eq!(s.after(7, 10).await, empty);
    s.append(1, 1..=3).await;
    s.append(2, 4..=5).await;
    let all = s.after(0, 10).await;
    assert_eq!((all.oldest, all.newest, &all.before), (1, 5, &None));
    let expected: Vec<_> = (1..=5).map(|n| (n, message(1, n))).collect();
    assert_eq!(all.messages, expected);
    let page = s.after(2, 2).await;
    assert_eq!(positions(&page), [3, 4]);
    assert_eq!(page.before, Some(message(1, 2).id));
    assert_eq!((page.oldest, page.newest), (1, 5));
    let newest = s.after(None, 10).await;
    assert_eq!(newest.messages, []);
    assert_eq!((newest.newest, newest.before), (5, Some(message(1, 5).id)));
    assert_eq!(positions(&s.after(1, 0).await), Vec::<u64>::new());
    let beyond = s.after(6, 10).await;
    assert_eq!((beyond.newest, beyond.before), (5, None));
    let elsewhere = s.store.read_outbox_after(other_node(), None, 10).await;
    assert_eq!(elsewhere.unwrap(), empty);
}

pub async fn positions_of_readers_and_webhook_cursor_are_independent(s: Subject) {
    s.append(1, 1..=3).await;
    s.queue_all().await;
    let all = s.after(0, 10).await;
    assert_eq!(positions(&all), [1, 2, 3]);
    s.append(2, 4..=4).await;
    let rest = s.after(2, 10).await;
    assert_eq!(positions(&rest), [3, 4]);
    assert_eq!(rest.before, Some(message(1, 2).id));
    // And the other way round.
    let batch = s.store.read_outbox(node(), 10).await.unwrap();
    assert_eq!(batch.messages, [message(1, 4)]);
}

pub async fn queued_messages_are_kept_for_a_while(s: Subject) {
    let total = OUTBOX_KEPT + 5;
    s.append(1, 1..=total).await;
    assert_eq!(s.after(0, 1).await.oldest, 1, "unqueued messages are kept");
    s.queue_all().await;
    let slice = s.after(0, 2).await;
    assert_eq!((slice.oldest, slice.newest), (6, total));
    assert_eq!(
        positions(&slice),
        [6, 7],
        "starts with the oldest kept message"
    );
    assert_eq!(slice.before, None);
    let slice = s.after(6, 1).await;
    assert_eq!(slice.before, Some(message(1, 6).id));
    assert_eq!(slice.messages, [(7, message(1, 7))]);
    // Messages that are not queued yet are always kept.
    s.append(2, total + 1..=total + 3).await;
    let slice = s.after(total, 10).await;
    assert_eq!((slice.oldest, slice.messages.len()), (6, 3));
}

fn live(n: u64) -> LiveEvent {
    LiveEvent {
        app: app(),
        room: room_id(1),
        event: "member.talking".to_owned(),
        body: format!("{{\"n\": {n}, \"text\": \"ü\\n\"}}"),
    }
}

async fn next(stream: &mut LiveStream) -> (NodeId, Vec<LiveEvent>) {
    let next = tokio::time::timeout(TIMEOUT, stream.next()).await;
    next.expect("event should arrive in time")
        .expect("stream should continue")
}

pub async fn live_events_reach_all_subscribers(s: Subject) {
    // Without a subscriber, the event is lost.
    s.store.publish_live(node(), &[live(0)]).await.unwrap();
    let mut one = s.store.subscribe_live(&[node()]).await.unwrap();
    let another = (s.make)(QueueLimits::default());
    // In memory there is no other replica.
    let there = match s.time {
        Time::Ours(_) => &s.store,
        Time::Theirs(_) => &another,
    };
    let mut both = there.subscribe_live(&[node(), other_node()]).await.unwrap();
    s.store
        .publish_live(node(), &[live(1), live(2)])
        .await
        .unwrap();
    s.store
        .publish_live(other_node(), &[live(3)])
        .await
        .unwrap();
    there.publish_live(node(), &[]).await.unwrap();
    let events = |n: &[u64]| n.iter().map(|n| live(*n)).collect::<Vec<_>>();
    assert_eq!(next(&mut one).await, (node(), events(&[1, 2])));
    assert_eq!(next(&mut one).await, (node(), Vec::new()));
    let mut received = Vec::new();
    for _ in 0..3 {
        received.push(next(&mut both).await);
    }
    // Events of different nodes may arrive in any order.
    let of = |node: NodeId| received.iter().filter(move |(of, _)| *of == node);
    assert!(of(node()).eq([&(node(), events(&[1, 2])), &(node(), Vec::new())]));
    assert!(of(other_node()).eq([&(other_node(), events(&[3]))]));
    drop((one, both));
    s.store.publish_live(node(), &[live(4)]).await.unwrap();
}
