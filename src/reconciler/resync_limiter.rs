//! Limits how many nodes' lists and records are read at a time.
//!
//! A node with ten thousand calls writes megabytes, and a controller that starts reads all of its nodes. Reading them
//! together needs many times the memory of their state, and makes no node ready sooner, because reading keeps the cores
//! busy. The actor takes a permit before it reads the store, a resync before it reads the lists of FreeSWITCH.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The number of permits: enough to keep the cores busy while some holders wait for a node or for the store.
const PERMITS: usize = 6;

/// Nodes that do not answer must not block the others for ever: a caller goes on without a permit when no caller has got
/// one for this long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The permits of one process.
#[derive(Clone, Debug)]
pub(super) struct ResyncLimiter {
    free: Arc<Semaphore>,
    /// The number of permits that were ever acquired.
    acquired: Arc<AtomicU64>,
}

/// The right to read one node. It ends when it is dropped.
pub(super) type ResyncPermit = OwnedSemaphorePermit;

impl Default for ResyncLimiter {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(PERMITS)),
            acquired: Arc::default(),
        }
    }
}

impl ResyncLimiter {
    /// Waits for a permit. Returns `None` if no waiting resync has got one for too long.
    pub(super) async fn acquire(&self) -> Option<ResyncPermit> {
        let mut permit = pin!(Arc::clone(&self.free).acquire_owned());
        let mut before = self.acquired.load(Ordering::Relaxed);
        loop {
            if let Ok(permit) = timeout(TIMEOUT, permit.as_mut()).await {
                self.acquired.fetch_add(1, Ordering::Relaxed);
                return permit.ok();
            }
            // While others get permits, the wait goes on: a large fleet takes longer than one timeout.
            let acquired = self.acquired.load(Ordering::Relaxed);
            if std::mem::replace(&mut before, acquired) == acquired {
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
    async fn caller_goes_on_without_permit_after_timeout() {
        let limiter = ResyncLimiter::default();
        let mut permits = Vec::new();
        for _ in 0..PERMITS {
            permits.push(limiter.acquire().await);
        }
        assert!(permits.iter().all(Option::is_some));
        assert!(limiter.acquire().await.is_none());
        permits.pop();
        assert!(limiter.acquire().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn caller_keeps_waiting_while_others_get_permits() {
        let limiter = ResyncLimiter::default();
        let mut permits: Vec<_> = join_all((0..PERMITS).map(|_| limiter.acquire())).await;
        let waits = |limiter: ResyncLimiter| tokio::spawn(async move { limiter.acquire().await });
        let [first, second] = [limiter.clone(), limiter.clone()].map(waits);
        tokio::time::sleep(TIMEOUT / 2).await;
        permits.pop();
        let first = first.await.unwrap();
        assert!(first.is_some());
        tokio::time::sleep(TIMEOUT).await;
        assert!(
            !second.is_finished(),
            "another caller got a permit meanwhile"
        );
        let started = Instant::now();
        assert!(second.await.unwrap().is_none(), "now no caller has");
        assert_eq!(started.elapsed(), TIMEOUT / 2);
    }
}
