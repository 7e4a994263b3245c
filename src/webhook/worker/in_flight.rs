//! The attempts of a worker that are under way.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{self, JoinSet};

use crate::webhook::breaker::Breaker;
use roomkeeper_core::ids::{AppId, EndpointId};

/// The outcome of an attempt.
#[derive(Debug)]
pub(super) struct FinishedAttempt {
    /// There is something to claim now that there was not before.
    pub(super) more: bool,
    /// The endpoint, and whether it did not answer in time; `None` when it was not asked.
    pub(super) timed_out: Option<(EndpointId, bool)>,
}

/// The attempts that are under way, and whose they are.
pub(super) struct InFlight {
    tasks: JoinSet<FinishedAttempt>,
    receivers: HashMap<task::Id, (AppId, EndpointId)>,
    pub(super) breaker: Breaker,
}

impl InFlight {
    pub(super) fn new(each: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            receivers: HashMap::new(),
            breaker: Breaker::new(each),
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
        self.receivers.insert(id, (app, endpoint));
    }

    /// The next that ends, and whether there may be something to claim since; `None` when none is under way.
    pub(super) async fn next(&mut self) -> Option<Result<bool, task::JoinError>> {
        let done = self.tasks.join_next_with_id().await?;
        Some(self.forget(done))
    }

    /// One that has ended.
    pub(super) fn ended(&mut self) -> Option<Result<bool, task::JoinError>> {
        let done = self.tasks.try_join_next_with_id()?;
        Some(self.forget(done))
    }

    fn forget(
        &mut self,
        done: Result<(task::Id, FinishedAttempt), task::JoinError>,
    ) -> Result<bool, task::JoinError> {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        self.receivers.remove(&id);
        let (_, ended) = done?;
        if let Some((endpoint, timed_out)) = &ended.timed_out {
            self.breaker.note(endpoint, *timed_out);
        }
        Ok(ended.more)
    }

    /// The places that are taken, by endpoint.
    pub(super) fn by_endpoint(&self) -> Vec<(AppId, EndpointId, usize)> {
        let mut counts: HashMap<&(AppId, EndpointId), usize> = HashMap::new();
        for of in self.receivers.values() {
            *counts.entry(of).or_default() += 1;
        }
        let counts = counts.into_iter();
        counts
            .map(|((app, id), count)| (app.clone(), id.clone(), count))
            .collect()
    }

    /// The number of permits that slow endpoints hold.
    pub(super) fn lowered_count(&self) -> usize {
        let endpoints = self.receivers.values();
        endpoints
            .filter(|(_, endpoint)| self.breaker.is_lowered(endpoint))
            .count()
    }
}
