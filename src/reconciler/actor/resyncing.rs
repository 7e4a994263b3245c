//! Starts resyncs when they are due, and handles their results.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::clock;
use crate::store::node_status::{self, MAX_REPORTED, OrphanReport, UnreadableRecord};
use crate::store::unreadable;
use crate::supervise::catch_panic;
use crate::telemetry as names;
use crate::telemetry::{Chain, trace};
use roomkeeper_core::time::Timestamp;

use crate::reconciler::messages::ActorMessage;
use crate::reconciler::messages::ResyncSummary;
use crate::reconciler::resync::{recover_calls, resync};
use crate::reconciler::resync_error::ResyncError;
use roomkeeper_core::node_state::Notification;

use super::{Actor, LATE_LIST, Parts, RECOVERY_PAUSE, RESYNC_PAUSE};

impl Actor {
    pub(super) fn want_resync(&mut self, why: &'static str) {
        if self.resync_wanted.is_none() {
            self.resync_wanted = Some((why, Instant::now().max(self.resync_not_before)));
        }
    }

    /// Follows requests for a snapshot that reach any replica.
    pub(super) fn follow_status(&mut self) {
        let Some(requested) = self.parts.status.requested_resyncs() else {
            return;
        };
        let before = self.resyncs_requested.replace(requested);
        // A new owner takes a snapshot anyway.
        if before.is_some_and(|before| before != requested) && self.lease.is_some() {
            self.want_resync("the operator open_questions for it");
        }
    }

    pub(super) fn can_resync(&self) -> bool {
        self.lease.is_some() && !self.stale && !self.resyncing && self.down_since.is_none()
    }

    pub(super) fn start_resync(&mut self) {
        if !self.can_resync() {
            return;
        }
        let now = Instant::now();
        if now >= self.next_resync {
            self.want_resync("the interval has passed");
        }
        let Some((why, at)) = self.resync_wanted else {
            return;
        };
        if at > now {
            return;
        }
        tracing::debug!(node.id = %self.id(), why, "resync begins");
        self.resync_wanted = None;
        self.resyncing = true;
        self.after_gap = std::mem::take(&mut self.missed);
        self.next_resync = now + self.resync_interval();
        let Parts {
            node,
            queue,
            stop,
            limiter,
            fences,
            ..
        } = self.parts.clone();
        let permit = self.permit.take();
        let recovers = self.node_state.has_unrecovered_calls();
        let span = tracing::info_span!(target: trace::TARGET, parent: None, "resync", node.id = %node.id(), why);
        self.parts.tasks.spawn(async move {
            let of = node.id().to_string();
            let started = Instant::now();
            let work = async {
                if recovers {
                    recover_calls(&node).await;
                }
                resync(&node, &queue, (&limiter, permit), &fences).await
            };
            let work = stop.run_until_cancelled(work.instrument(span));
            let result = match catch_panic("resync", &of, work).await {
                Some(Some(result)) => result,
                Some(None) => Err(ResyncError::Stopped),
                None => Err(ResyncError::Panicked),
            };
            metrics::histogram!(names::RESYNC_SECONDS, "node" => of).record(started.elapsed());
            // Without an actor nobody needs the result.
            let _stopping = queue.send(ActorMessage::Resynced(result)).await;
        });
    }

    /// The interval, a third more or less, so that nodes and replicas do not all resync at once.
    pub(super) fn resync_interval(&self) -> Duration {
        let spread: f64 = rand::random();
        self.parts
            .settings
            .resync_interval
            .mul_f64(2.0 / 3.0 + spread * 2.0 / 3.0)
    }

    pub(super) fn resynced(&mut self, result: Result<ResyncSummary, ResyncError>) {
        self.resyncing = false;
        self.resync_not_before = Instant::now() + RESYNC_PAUSE;
        match result {
            Ok(found) => {
                metrics::counter!(names::RESYNCS, "node" => self.label()).increment(1);
                tracing::info!(
                    node.id = %self.id(),
                    rooms = found.rooms,
                    channels = found.channels,
                    second_look = found.second_look,
                    "merged a snapshot of the node"
                );
                let now = clock::now();
                self.parts.actor_status.send_modify(|s| {
                    s.synced = true;
                    s.resynced_at = Some(now);
                });
                self.report_orphans(now);
                if self.node_state.recovery_deadline().is_some() {
                    let soon = Instant::now() + RECOVERY_PAUSE;
                    self.resync_wanted = Some(("FreeSWITCH recovers calls", soon));
                    return;
                }
                // A resync that was requested meanwhile is due after a pause.
                if let Some((_, at)) = &mut self.resync_wanted {
                    *at = Instant::now() + RESYNC_PAUSE;
                } else if self.after_gap {
                    let late = Instant::now() + LATE_LIST;
                    self.resync_wanted = Some(("FreeSWITCH writes its list of calls late", late));
                }
            }
            Err(error) => {
                metrics::counter!(names::RESYNCS_FAILED, "node" => self.label()).increment(1);
                let error_text = Chain(&error);
                // The end of the connection is logged where it is noticed.
                if error.is_disconnected() {
                    tracing::debug!(node.id = %self.id(), error = %error_text, "a snapshot of the node failed and changes nothing");
                } else {
                    tracing::warn!(node.id = %self.id(), error = %error_text, "a snapshot of the node failed and changes nothing");
                }
                self.missed |= self.after_gap;
                self.resync_wanted = Some(("the last one failed", Instant::now() + RESYNC_PAUSE));
            }
        }
    }

    /// Reports conferences, calls and records without owner to the operator.
    fn report_orphans(&mut self, at: Timestamp) {
        let orphans = self.node_state.orphans().clone();
        let (calls, calls_total) = self.node_state.foreign_calls();
        let mut unreadable: BTreeSet<UnreadableRecord> = self
            .unreadable
            .values()
            .chain(&self.unnamed_records)
            .cloned()
            .collect();
        for found in unreadable::of_node(self.id()) {
            if !unreadable.iter().any(|known| known.key == found.key) {
                unreadable.insert(found);
            }
        }
        let report = OrphanReport {
            at,
            conferences: orphans.conferences,
            conferences_total: orphans.total,
            calls,
            calls_total,
            records_total: unreadable.len() as u64,
            records: unreadable.into_iter().take(MAX_REPORTED).collect(),
        };
        let known = self.reported.take();
        let is_new = known.is_none_or(|known| OrphanReport { at, ..known } != report);
        self.parts
            .status
            .set_report(node_status::encode(&report), is_new);
        self.reported = Some(report);
    }

    /// Records differences that a snapshot revealed.
    pub(super) fn drifted(&self, revealed: &[&Notification]) {
        let differences = revealed.len() as u64;
        self.meters.drifted(revealed.iter().copied());
        self.parts.actor_status.send_modify(|s| {
            s.drift += differences;
            s.drifted_at = Some(clock::now());
        });
    }

    pub(super) fn report(&self) {
        let calls = self.node_state.call_count() as u64;
        // A replica that does not own the node has no state of it; the owner reports for the fleet.
        self.meters.rooms.set(self.node_state.room_count() as f64);
        self.meters.calls.set(calls as f64);
        // Before the store's first answer the owner is unknown.
        let is_another = self.refused.is_some() || self.parts.ownership.is_another();
        let owned_elsewhere = self.lease.is_none() && is_another;
        self.parts.actor_status.send_if_modified(|s| {
            let changed = s.calls != calls || s.owned_elsewhere != owned_elsewhere;
            s.calls = calls;
            s.owned_elsewhere = owned_elsewhere;
            changed
        });
    }
}
