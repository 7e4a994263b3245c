//! The depths of a node's queues, measured while deliveries are on their way.

use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use crate::store::deliveries::{Backlog, EndpointHealth};
use crate::store::{Store, StoreError};
use crate::telemetry;
use crate::webhook::backpressure::Backpressure;
use crate::webhook::breaker::Breaker;
use crate::webhook::endpoint::Endpoints;
use roomkeeper_core::ids::NodeId;

/// The shortest time between two measurements.
const INTERVAL: Duration = Duration::from_secs(5);

/// The last measurement of the depths of a node.
#[derive(Debug)]
pub(super) struct Depths {
    node: NodeId,
    measured: Option<Instant>,
    /// The depths may have changed since.
    is_outdated: bool,
    /// The missing and the unreadable entries of the outbox that are counted already.
    losses: Option<(u64, u64)>,
}

impl Depths {
    pub(super) const fn new(node: NodeId) -> Self {
        Self {
            node,
            measured: None,
            is_outdated: false,
            losses: None,
        }
    }

    /// Returns true if the depths may be measured again.
    pub(super) fn is_due(&self) -> bool {
        self.measured.is_none_or(|at| at.elapsed() >= INTERVAL)
    }

    /// Notes a round with or without a measurement, after which deliveries are on their way (`is_busy`) or not. Returns
    /// the time until the next measurement if one is needed.
    pub(super) fn note_round(&mut self, with_measurement: bool, is_busy: bool) -> Option<Duration> {
        let now = Instant::now();
        if with_measurement {
            self.measured = Some(now);
        }
        self.is_outdated = is_busy || (self.is_outdated && !with_measurement);
        let at = self.measured.filter(|_| self.is_outdated)?;
        Some((at + INTERVAL).saturating_duration_since(now))
    }

    /// Measures the depths, and forgets the bounds of endpoints that were removed.
    pub(super) async fn measure(
        &mut self,
        store: &dyn Store,
        endpoints: &Endpoints,
        backpressure: &Backpressure,
        breaker: &mut Breaker,
    ) -> Result<(), StoreError> {
        let backlog = store.backlog(self.node).await?;
        let node = self.node.to_string();
        self.count_losses(&backlog);
        for (name, depth) in [
            (telemetry::WEBHOOK_OUTBOX_DEPTH, backlog.outbox),
            (telemetry::WEBHOOK_QUEUES, backlog.queues),
        ] {
            metrics::gauge!(name, "node" => node.clone()).set(depth as f64);
        }
        breaker.retain(|id| endpoints.get(id).is_some());
        let lowered = breaker.lowered().len();
        metrics::gauge!(telemetry::WEBHOOK_LOWERED, "node" => node.clone()).set(lowered as f64);
        let ids: Vec<_> = endpoints.ids().cloned().collect();
        let health = store.endpoint_health(self.node, &ids).await?;
        let (mut pending, mut dead) = (0, 0);
        for health in &health {
            pending += health.pending;
            dead += health.dead;
        }
        for (name, count) in [
            (telemetry::WEBHOOK_PENDING, pending),
            (telemetry::WEBHOOK_DEAD, dead),
        ] {
            metrics::gauge!(name, "node" => node.clone()).set(count as f64);
        }
        let fullest = health.iter().map(|health| health.pending).max();
        let fullest = fullest.unwrap_or_default().max(backlog.outbox);
        metrics::gauge!(telemetry::WEBHOOK_FULL_RATIO, "node" => node)
            .set(fullest as f64 / backpressure.limit().max(1) as f64);
        let full = |health: &EndpointHealth| health.pending >= backpressure.threshold();
        let full = ids.iter().zip(&health).filter(|(_, health)| full(health));
        let apps = full.filter_map(|(id, _)| Some(endpoints.get(id)?.app.clone()));
        backpressure.update(self.node, backlog.outbox, apps.collect());
        Ok(())
    }

    /// Counts the entries of the outbox that any replica has found missing or unreadable since the last measurement.
    fn count_losses(&mut self, backlog: &Backlog) {
        let now = (backlog.missing, backlog.unreadable);
        let (missing, unreadable) = self.losses.replace(now).unwrap_or(now);
        let missing = now.0.saturating_sub(missing);
        let unreadable = now.1.saturating_sub(unreadable);
        if missing + unreadable == 0 {
            return;
        }
        for (name, count) in [
            (telemetry::WEBHOOK_OUTBOX_MISSING, missing),
            (telemetry::WEBHOOK_OUTBOX_UNREADABLE, unreadable),
        ] {
            metrics::counter!(name, "node" => self.node.to_string()).increment(count);
        }
        error!(
            node.id = %self.node,
            missing,
            unreadable,
            "outbox entries were deleted or corrupted: their webhooks are lost, all others are sent"
        );
    }
}
