//! Tasks in the background that no other task waits for: metrics, the count of bytes, the audit log.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::audit::{AuditRecorder, audit_log};
use crate::config::Config;
use crate::http::Quota;
use crate::store::Store;
use crate::supervise::{ShutdownPhase, supervise};
use crate::tenants::Registry;

/// The interval at which unscraped histograms are folded. It costs the same without new values, and new values take a few
/// bytes for each event.
const METRICS_UPKEEP: Duration = Duration::from_secs(10);

/// Folds the histograms regularly, which otherwise happens only when the metrics are read.
pub(super) fn run_metrics_upkeep(metrics: PrometheusHandle, phase: &ShutdownPhase) {
    let stop = phase.stop().clone();
    phase.spawn(async move {
        let mut due = tokio::time::interval(METRICS_UPKEEP);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = due.tick() => metrics.run_upkeep(),
            }
        }
    });
}

/// Creates the quota of all apps, and keeps its count of bytes up to date.
pub(super) fn follow_usage(
    config: &Config,
    store: &Arc<dyn Store>,
    apps: &Registry,
    phase: &ShutdownPhase,
) -> Arc<Quota> {
    let quota = Arc::new(Quota::new(
        Arc::clone(store),
        config.nodes.iter().map(|node| node.id).collect(),
        apps.receivers(),
        config.limits.app_bytes,
    ));
    let (counted, stop) = (Arc::clone(&quota), phase.stop().clone());
    phase.spawn(async move {
        let state = (counted, stop.clone());
        supervise("quota", "all", &stop, state, |(counted, stop)| {
            let (counted, stop) = (Arc::clone(counted), stop.clone());
            Box::pin(async move { counted.run(&stop).await })
        })
        .await;
    });
    quota
}

/// Starts the writer of the audit log. It ends after the listeners, whose requests make the entries.
pub(super) fn start_audit(
    config: &Config,
    store: &Arc<dyn Store>,
    phase: &ShutdownPhase,
) -> AuditRecorder {
    let (recorder, writer) = audit_log(Arc::clone(store), config.audit);
    let stop = phase.stop().clone();
    phase.spawn(async move {
        let ends = stop.clone();
        supervise("audit", "all", &ends, (writer, stop), |(writer, stop)| {
            Box::pin(writer.run(stop))
        })
        .await;
    });
    recorder
}
