//! Polls of the store: one request for many nodes, at times that all pollers share.
//!
//! Replicas are not notified of each other's writes, so each one polls the store once a second. With a request and a timer
//! for each node, an idle fleet would keep a core busy. Leaves out who polls, and who is woken.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::StoreError;
use super::node_status::NodeStatus;
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

/// The origin of all periods.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns the next multiple of a period, which pollers of the same period share; at most one period from now.
pub fn next_poll(period: Duration) -> Instant {
    let now = Instant::now();
    let elapsed = now.saturating_duration_since(*BEGIN).as_micros();
    let period = period.as_micros();
    let past = elapsed.checked_rem(period).unwrap_or(0);
    // Less than the period, which fits a Duration.
    now + Duration::from_micros(u64::try_from(period - past).unwrap_or(u64::MAX))
}

/// The result of a poll, for one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodePoll {
    /// Its status, as [`NodeStatusStore::read_node_status`](super::node_status::NodeStatusStore::read_node_status) has it; `None` while it is unreadable.
    pub status: Option<NodeStatus>,
    /// [`Store::due`](super::Store::due) returns something.
    pub due: bool,
    /// Messages may wait for their queues, or deliveries may be due. False if
    /// [`Deliveries::poll_outbox`](super::deliveries::Deliveries::poll_outbox) finds nothing, or only later deliveries.
    pub deliveries: bool,
}

/// Polls of many nodes at once.
#[async_trait]
pub trait NodePolls: Send + Sync + std::fmt::Debug + 'static {
    /// Polls these nodes at `now`, with as few requests as the store can. Returns their results in the same order. An error
    /// of one node leaves the results of the others.
    async fn poll_nodes(
        &self,
        nodes: &[NodeId],
        now: Timestamp,
    ) -> Result<Vec<Result<NodePoll, StoreError>>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pollers_of_same_period_poll_at_same_time() {
        const PERIOD: Duration = Duration::from_secs(1);
        let first = next_poll(PERIOD);
        tokio::time::advance(Duration::from_micros(1_500)).await;
        let now = Instant::now();
        let second = next_poll(PERIOD);
        assert!(now < second && second <= now + PERIOD);
        let apart = second - first;
        assert!(apart.is_zero() || apart == PERIOD, "{apart:?}");
        assert_eq!(next_poll(Duration::ZERO), now);
    }
}
