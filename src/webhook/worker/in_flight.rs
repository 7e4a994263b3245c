//! The running attempts of a worker.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{self, JoinSet};

use crate::webhook::breaker::Breaker;
use roomkeeper_core::ids::{AppId, EndpointId};

/// The outcome of an attempt.
#[derive(Debug)]
pub(super) struct FinishedAttempt {
    /// A delivery can be claimed now that could not be claimed before.
    pub(super) has_more: bool,
    /// The endpoint, and whether it timed out; `None` if it got no request.
    pub(super) timed_out: Option<(EndpointId, bool)>,
}

/// The running attempts with their apps and endpoints.
pub(super) struct InFlight {
    tasks: JoinSet<FinishedAttempt>,
    by_task: HashMap<task::Id, (AppId, EndpointId)>,
    pub(super) breaker: Breaker,
}

impl InFlight {
    pub(super) fn new(per_endpoint: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            breaker: Breaker::new(per_endpoint),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn spawn(
        &mut self,
        app: AppId,
        endpoint: EndpointId,
        attempt: impl Future<Output = FinishedAttempt> + Send + 'static,
    ) {
        let id = self.tasks.spawn(attempt).id();
        self.by_task.insert(id, (app, endpoint));
    }

    /// Waits for the next end of an attempt; true if more deliveries may be claimed. `None` without running attempts.
    pub(super) async fn next(&mut self) -> Option<Result<bool, task::JoinError>> {
        let done = self.tasks.join_next_with_id().await?;
        Some(self.remove(done))
    }

    /// Like [`Self::next`], for an attempt that has ended already.
    pub(super) fn try_next(&mut self) -> Option<Result<bool, task::JoinError>> {
        let done = self.tasks.try_join_next_with_id()?;
        Some(self.remove(done))
    }

    fn remove(
        &mut self,
        done: Result<(task::Id, FinishedAttempt), task::JoinError>,
    ) -> Result<bool, task::JoinError> {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        self.by_task.remove(&id);
        let (_, ended) = done?;
        if let Some((endpoint, timed_out)) = &ended.timed_out {
            self.breaker.note(endpoint, *timed_out);
        }
        Ok(ended.has_more)
    }

    /// The number of permits that each endpoint holds.
    pub(super) fn by_endpoint(&self) -> Vec<(AppId, EndpointId, usize)> {
        let mut counts: HashMap<&(AppId, EndpointId), usize> = HashMap::new();
        for endpoint in self.by_task.values() {
            *counts.entry(endpoint).or_default() += 1;
        }
        let counts = counts.into_iter();
        counts
            .map(|((app, id), count)| (app.clone(), id.clone(), count))
            .collect()
    }

    /// The number of permits that slow endpoints hold.
    pub(super) fn lowered_count(&self) -> usize {
        let endpoints = self.by_task.values();
        endpoints
            .filter(|(_, endpoint)| self.breaker.is_lowered(endpoint))
            .count()
    }
}
