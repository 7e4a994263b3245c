//! Whose turn it is to take in all of a node: what is stored of it, or a list that it has written.
//!
//! Owns how many may at a time. A node of ten thousand calls writes megabytes, and a controller that starts takes in all
//! of its nodes: together that would be many times what it keeps of them, and nothing would be ready sooner, because
//! reading takes the cores. Leaves out what is read. Each actor and each resync asks for its turn.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Enough for the cores that such a fleet's controller has to be busy, while some wait for a node or the store.
const AT_ONCE: usize = 6;

/// A node that does not answer must not hold up the others for ever: who has waited this long, and nobody got a turn
/// meanwhile, goes on without one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turns of one process.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    /// How many there were.
    taken: Arc<AtomicU64>,
}

/// It is over when this is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

impl Default for Turns {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(AT_ONCE)),
            taken: Arc::default(),
        }
    }
}

impl Turns {
    /// Waits for a turn; `None`: for too long, and in vain.
    pub(super) async fn take(&self) -> Option<Turn> {
        let mut turn = pin!(Arc::clone(&self.free).acquire_owned());
        let mut seen = self.taken.load(Ordering::Relaxed);
        loop {
            if let Ok(turn) = timeout(PATIENCE, turn.as_mut()).await {
                self.taken.fetch_add(1, Ordering::Relaxed);
                return turn.ok();
            }
            // A large fleet takes longer than that, and goes on.
            let taken = self.taken.load(Ordering::Relaxed);
            if std::mem::replace(&mut seen, taken) == taken {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::future::join_all;
    use tokio::time::Instant;

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

    #[tokio::test(start_paused = true)]
    async fn who_waits_while_others_get_their_turn_waits_on() {
        let turns = Turns::default();
        let mut taken: Vec<_> = join_all((0..AT_ONCE).map(|_| turns.take())).await;
        let waits = |turns: Turns| tokio::spawn(async move { turns.take().await });
        let [first, second] = [turns.clone(), turns.clone()].map(waits);
        tokio::time::sleep(PATIENCE / 2).await;
        taken.pop();
        let first = first.await.unwrap();
        assert!(first.is_some());
        tokio::time::sleep(PATIENCE).await;
        assert!(!second.is_finished(), "somebody got one meanwhile");
        let begun = Instant::now();
        assert!(second.await.unwrap().is_none(), "now nobody has");
        assert_eq!(begun.elapsed(), PATIENCE / 2);
    }
}
