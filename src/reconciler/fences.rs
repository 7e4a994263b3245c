//! The fences of a node that are under way.
//!
//! Owns who waits for which. Leaves out how a fence is sent, which is the node's, and that all that was told before it has
//! been applied when it is passed, which is the actor's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::ids::CoreId;
use crate::room::state::Sequence;

/// Where a fence stands: in which run of FreeSWITCH, and behind which of its events.
pub(super) type Fence = (CoreId, Sequence);

/// Who waits, by the token of the fence.
#[derive(Clone, Default, Debug)]
pub(super) struct Fences(Arc<Mutex<HashMap<u64, oneshot::Sender<Fence>>>>);

impl Fences {
    /// Waits for this one, which is to be sent only then. Nothing comes when it is known that it will not come back.
    pub(super) fn wait(&self, token: u64) -> oneshot::Receiver<Fence> {
        let (seen, fence) = oneshot::channel();
        let mut waiting = self.lock();
        // Whoever gave up does not need it any more.
        waiting.retain(|_, waits| !waits.is_closed());
        waiting.insert(token, seen);
        fence
    }

    /// It has come back, and everything before it is applied.
    pub(super) fn pass(&self, token: u64, fence: Fence) {
        if let Some(seen) = self.lock().remove(&token) {
            // A resync that gave up does not need it any more.
            let _gone = seen.send(fence);
        }
    }

    /// It has come back, and what was told before it may not be applied.
    pub(super) fn lose(&self, token: u64) {
        self.lock().remove(&token);
    }

    /// None of those that are under way will come back.
    pub(super) fn lose_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Fence>>> {
        // Nothing that is done under it panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_where_its_own_fence_stands_or_that_it_is_lost() {
        let fences = Fences::default();
        let [first, second, third, fourth] = [1, 2, 3, 4].map(|token| fences.wait(token));
        let core = CoreId::new(Uuid::from_u128(9));
        fences.pass(2, (core, 7));
        fences.lose(1);
        assert_eq!(second.await.unwrap(), (core, 7));
        assert!(first.await.is_err());
        drop(third);
        let fifth = fences.wait(5);
        assert_eq!(fences.lock().len(), 2, "who gave up is forgotten");
        fences.lose_all();
        assert!(fourth.await.is_err() && fifth.await.is_err());
        fences.pass(4, (core, 8));
    }
}
