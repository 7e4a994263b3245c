//! What those see who look at the store again and again, and when they do so: for all nodes at the same moment.
//!
//! Owns that moment, and the words for what is seen. Whoever has to hear of what other replicas have written looks once a
//! second; for each node on its own, each look would be a wake-up and a round trip, and a fleet on which nothing happens would
//! keep a core busy with them. So it is asked for all nodes in one question, and who has nothing to do is not woken. Leaves
//! out who is.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::StoreError;
use super::board::Board;
use crate::ids::NodeId;
use crate::time::Timestamp;

/// From where moments are counted.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The next look of those who look this often; at most so long from now.
pub fn next_look(period: Duration) -> Instant {
    let now = Instant::now();
    let begun = now.saturating_duration_since(*BEGIN).as_micros();
    let period = period.as_micros();
    let past = begun.checked_rem(period).unwrap_or(0);
    // Less than the period, which was a Duration.
    now + Duration::from_micros(u64::try_from(period - past).unwrap_or(u64::MAX))
}

/// What is to be seen of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sight {
    /// Its board, as [`Boards::read_board`](super::board::Boards::read_board) has it; `None` while it is unreadable.
    pub board: Option<Board>,
    /// [`Store::due`](super::Store::due) has something.
    pub due: bool,
    /// There may be something to hand over to the queues, or to claim from them: it is not said when there is nothing for
    /// [`Deliveries::look`](super::deliveries::Deliveries::look), or only something later.
    pub deliveries: bool,
}

/// What there is at many nodes at once.
#[async_trait]
pub trait Looks: Send + Sync + std::fmt::Debug + 'static {
    /// What is to be seen of each of these nodes at `now`, in their order, in as few questions as the store can. A node of
    /// which it cannot be said costs the others nothing.
    async fn look_at(
        &self,
        nodes: &[NodeId],
        now: Timestamp,
    ) -> Result<Vec<Result<Sight, StoreError>>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_looks_as_often_looks_at_the_same_moment() {
        const PERIOD: Duration = Duration::from_secs(1);
        let first = next_look(PERIOD);
        tokio::time::advance(Duration::from_micros(1_500)).await;
        let begun = Instant::now();
        let second = next_look(PERIOD);
        assert!(begun < second && second <= begun + PERIOD);
        let apart = second - first;
        assert!(apart.is_zero() || apart == PERIOD, "{apart:?}");
        assert_eq!(next_look(Duration::ZERO), begun);
    }
}
