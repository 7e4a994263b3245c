//! Polls of many nodes at once.

use super::*;
use roomkeeper::store::node_status::NodeStatus;
use roomkeeper::store::node_status::StatusField;
use roomkeeper::store::polls::NodePoll;

/// After all due times of these cases, and before the other times.
const NOW: Timestamp = Timestamp::from_millis(1_000);

impl Subject {
    async fn polls(&self, nodes: &[NodeId], now: Timestamp) -> Vec<NodePoll> {
        let seen = self.store.poll_nodes(nodes, now).await.unwrap();
        seen.into_iter().map(Result::unwrap).collect()
    }

    async fn poll(&self) -> NodePoll {
        self.polls(&[node()], NOW).await.remove(0)
    }

    /// Returns true if a message can be queued or claimed now.
    async fn has_deliveries(&self) -> bool {
        let there = self.poll().await.deliveries;
        let (batch, next) = self.store.poll_outbox(node(), 100).await.unwrap();
        let found = !batch.messages.is_empty() || next.is_some_and(|next| next.is_zero());
        assert_eq!(there, found);
        there
    }
}

pub async fn poll_of_many_nodes_equals_polls_of_each(s: Subject) {
    let nothing = NodePoll {
        status: Some(NodeStatus::default()),
        ..NodePoll::default()
    };
    let nodes = [other_node(), node()];
    assert_eq!(
        s.polls(&nodes, NOW).await,
        [nothing.clone(), nothing.clone()]
    );
    assert!(s.polls(&[], NOW).await.is_empty());
    s.store.set_draining(node(), true).await.unwrap();
    s.store.request_resync(node()).await.unwrap();
    let lease = s.lease(Uuid::from_u128(1), LONG).await;
    let written = s
        .store
        .write_status(lease, StatusField::Owner, "stands {\"é\"}\n");
    assert!(written.await.unwrap());
    let status = s.store.read_node_status(node()).await.unwrap();
    assert!(status.draining && status.resyncs == 1 && status.owner.is_some());
    let seen = NodePoll {
        status: Some(status),
        ..NodePoll::default()
    };
    assert_eq!(s.polls(&nodes, NOW).await, [nothing, seen.clone()]);
    assert_eq!(s.polls(&[node()], NOW).await, [seen]);
}

pub async fn poll_reports_due_deadline(s: Subject) {
    let mut commit = change(vec![write(room(1), Version::ABSENT)]);
    commit.entities[0].deadline = Some(NOW);
    s.apply(&commit).await;
    let before = Timestamp::from_micros(NOW.as_micros() - 1);
    for (now, due) in [(before, false), (NOW, true)] {
        let seen = s.polls(&[node(), other_node()], now).await;
        assert_eq!((seen[0].due, seen[1].due), (due, false));
    }
    let mut later = change(vec![write(room(1), Version(1))]);
    later.entities[0].deadline = None;
    s.apply(&later).await;
    assert!(!s.poll().await.due);
}

pub async fn poll_reports_deliveries_only_if_ready(s: Subject) {
    assert!(!s.has_deliveries().await);
    let mut commit = change(vec![write(room(1), Version::ABSENT)]);
    commit.outbox = vec![message(1, 1)];
    s.apply(&commit).await;
    assert!(s.has_deliveries().await, "a message waits in the outbox");
    assert!(!s.polls(&[other_node()], NOW).await[0].deliveries);
    let batch = s.store.read_outbox(node(), 100).await.unwrap();
    let queued = [delivery(&endpoint(1), &batch.messages[0])];
    let handed_over = s.store.fan_out(node(), &batch.from, &batch.to, &queued);
    assert!(handed_over.await.unwrap());
    assert!(s.has_deliveries().await, "a delivery waits for a claim");
    let claim = s.claim_one(LONG).await;
    assert!(!s.has_deliveries().await, "the delivery is claimed");
    let retry = DeliveryResult::Retry { after: LONG };
    assert!(s.finish(&claim, retry).await);
    assert!(!s.has_deliveries().await, "the retry is later");
    assert!(
        s.store
            .redeliver(node(), &endpoint(1), "msg_1_1")
            .await
            .unwrap()
    );
    assert!(s.has_deliveries().await);
    let claim = s.claim_one(LONG).await;
    assert!(s.finish(&claim, DeliveryResult::Delivered).await);
    assert!(!s.has_deliveries().await);
}
