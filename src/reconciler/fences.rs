//! The fences of a node that are in flight.
//!
//! Knows which task waits for which fence. `node` sends a fence, and the actor applies all earlier events before it passes
//! one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use roomkeeper_core::ids::CoreId;
use roomkeeper_core::room::Sequence;

/// The position of a fence: the run of FreeSWITCH, and the sequence of the event before it.
pub(super) type Fence = (CoreId, Sequence);

/// The waiting tasks, by the token of their fence.
#[derive(Clone, Default, Debug)]
pub(super) struct Fences(Arc<Mutex<HashMap<u64, oneshot::Sender<Fence>>>>);

impl Fences {
    /// Waits for the fence with this token. Call it before sending the fence. The channel closes if the fence is lost.
    pub(super) fn wait(&self, token: u64) -> oneshot::Receiver<Fence> {
        let (seen, fence) = oneshot::channel();
        let mut waiting = self.lock();
        // Tasks that gave up are removed.
        waiting.retain(|_, waits| !waits.is_closed());
        waiting.insert(token, seen);
        fence
    }

    /// Reports that a fence came back and that all earlier events are applied.
    pub(super) fn pass(&self, token: u64, fence: Fence) {
        if let Some(seen) = self.lock().remove(&token) {
            // The resync may have given up.
            let _gone = seen.send(fence);
        }
    }

    /// Reports that a fence came back but that earlier events may not be applied.
    pub(super) fn lose(&self, token: u64) {
        self.lock().remove(&token);
    }

    /// Reports that no fence in flight will come back.
    pub(super) fn lose_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Fence>>> {
        // No code under this lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn waiting_task_receives_its_fence_or_its_loss() {
        let fences = Fences::default();
        let [first, second, third, fourth] = [1, 2, 3, 4].map(|token| fences.wait(token));
        let core = CoreId::new(Uuid::from_u128(9));
        fences.pass(2, (core, 7));
        fences.lose(1);
        assert_eq!(second.await.unwrap(), (core, 7));
        assert!(first.await.is_err());
        drop(third);
        let fifth = fences.wait(5);
        assert_eq!(fences.lock().len(), 2, "a task that gave up is removed");
        fences.lose_all();
        assert!(fourth.await.is_err() && fifth.await.is_err());
        fences.pass(4, (core, 8));
    }
}
