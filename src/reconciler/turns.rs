//! Whose turn it is to take in all of a node: what is stored of it, or a list that it has written.
//!
//! Owns how many may at a time. A node of ten thousand calls writes megabytes, and a controller that starts takes in all
//! of its nodes: together that would be many times what it keeps of them, and nothing would be ready sooner, because
//! reading takes the cores. Leaves out what is read. Each actor and each resync asks for its turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Enough for the cores that such a fleet's controller has to be busy, while some wait for a node or the store.
const AT_ONCE: usize = 6;

/// A node that does not answer must not hold up the others for ever: who has waited this long goes on without a turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turns of one process.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

/// It is over when this is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Turns {
    /// Waits for a turn; `None`: for too long.
    pub(super) async fn take(&self) -> Option<Turn> {
        let turn = Arc::clone(&self.0).acquire_owned();
        tokio::time::timeout(PATIENCE, turn).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_goes_on_without_a_turn() {
        let turns = Turns::default();
        let mut taken = Vec::new();
        for _ in 0..AT_ONCE {
            taken.push(turns.take().await);
        }
        assert!(taken.iter().all(Option::is_some));
        assert!(turns.take().await.is_none());
        taken.pop();
        assert!(turns.take().await.is_some());
    }
}
