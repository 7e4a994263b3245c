//! When a resync is due, and what its end means.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::store::board::{self, MOST_REPORTED, NodeReport, UnreadableRecord};
use crate::store::unreadable;
use crate::supervise::caught;
use crate::telemetry as names;
use crate::telemetry::{Chain, trace};
use crate::time::Timestamp;

use crate::reconciler::belief::Notice;
use crate::reconciler::resync::{Found, ResyncError, resync};

use super::{Actor, LATE_LIST, Parts, RESYNC_PAUSE, Work};

impl Actor {
    pub(super) fn want_resync(&mut self, why: &'static str) {
        if self.resync_wanted.is_none() {
            self.resync_wanted = Some((why, Instant::now().max(self.resync_not_before)));
        }
    }

    /// Whether somebody asks for a snapshot of the node, through whichever replica.
    pub(super) fn follow_board(&mut self) {
        let Some(asked) = self.parts.board.resyncs() else {
            return;
        };
        let before = self.resyncs_asked.replace(asked);
        // Whoever takes the node over takes a snapshot anyway.
        if before.is_some_and(|before| before != asked) && self.lease.is_some() {
            self.want_resync("the operator asks for it");
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
            self.want_resync("it is time");
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
            turns,
            fences,
            ..
        } = self.parts.clone();
        let turn = self.turn.take();
        let span = tracing::info_span!(target: trace::TARGET, parent: None, "resync", node.id = %node.id(), why);
        self.parts.tasks.spawn(async move {
            let of = node.id().to_string();
            let begun = Instant::now();
            let work = stop.run_until_cancelled(
                resync(&node, &queue, (&turns, turn), &fences).instrument(span),
            );
            let result = match caught("resync", &of, work).await {
                Some(Some(result)) => result,
                Some(None) => Err(ResyncError::Stopped),
                None => Err(ResyncError::Panicked),
            };
            metrics::histogram!(names::RESYNC_SECONDS, "node" => of).record(begun.elapsed());
            // Without an actor nobody wants to know.
            let _stopping = queue.send(Work::Resynced(result)).await;
        });
    }

    /// A third more or less, so that nodes and replicas do not all ask at once.
    pub(super) fn resync_interval(&self) -> Duration {
        let spread: f64 = rand::random();
        self.parts
            .settings
            .resync_interval
            .mul_f64(2.0 / 3.0 + spread * 2.0 / 3.0)
    }

    pub(super) fn resynced(&mut self, result: Result<Found, ResyncError>) {
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
                    "a snapshot of the node is merged"
                );
                let now = Timestamp::now();
                self.parts.standing.send_modify(|s| {
                    s.synced = true;
                    s.resynced_at = Some(now);
                });
                self.report_orphans(now);
                // What was asked for while this one ran is due, but not at once.
                if let Some((_, at)) = &mut self.resync_wanted {
                    *at = Instant::now() + RESYNC_PAUSE;
                } else if self.after_gap {
                    let late = Instant::now() + LATE_LIST;
                    self.resync_wanted = Some(("the list of calls is written late", late));
                }
            }
            Err(error) => {
                metrics::counter!(names::RESYNCS_FAILED, "node" => self.label()).increment(1);
                tracing::warn!(node.id = %self.id(), error = %Chain(&error), "a snapshot of the node came to nothing, and changes nothing");
                self.missed |= self.after_gap;
                self.resync_wanted = Some(("the last one failed", Instant::now() + RESYNC_PAUSE));
            }
        }
    }

    /// Tells the operator what belongs to nothing.
    fn report_orphans(&mut self, at: Timestamp) {
        let orphans = self.belief.orphans().clone();
        let (calls, calls_total) = self.belief.foreign_calls();
        let mut unreadable: BTreeSet<UnreadableRecord> = self
            .unreadable
            .values()
            .chain(&self.nameless)
            .cloned()
            .collect();
        for found in unreadable::of_node(self.id()) {
            if !unreadable.iter().any(|known| known.key == found.key) {
                unreadable.insert(found);
            }
        }
        let report = NodeReport {
            at,
            conferences: orphans.conferences,
            conferences_total: orphans.total,
            calls,
            calls_total,
            records_total: unreadable.len() as u64,
            records: unreadable.into_iter().take(MOST_REPORTED).collect(),
        };
        let known = self.reported.take();
        let is_news = known.is_none_or(|known| NodeReport { at, ..known } != report);
        self.parts.board.report(board::encode(&report), is_news);
        self.reported = Some(report);
    }

    /// A snapshot revealed these differences.
    pub(super) fn drifted(&self, revealed: &[&Notice]) {
        let differences = revealed.len() as u64;
        self.meters.drifted(revealed.iter().copied());
        self.parts.standing.send_modify(|s| {
            s.drift += differences;
            s.drifted_at = Some(Timestamp::now());
        });
    }

    pub(super) fn report(&self) {
        let calls = self.belief.session_count() as u64;
        // Who does not reconcile the node believes nothing: the owner's word is the fleet's.
        self.meters.rooms.set(self.belief.room_count() as f64);
        self.meters.calls.set(calls as f64);
        // Until the store has said whose it is, it is nobody's.
        let is_another = self.refused.is_some() || self.parts.ownership.is_another();
        let owned_elsewhere = self.lease.is_none() && is_another;
        self.parts.standing.send_if_modified(|s| {
            let changed = s.calls != calls || s.owned_elsewhere != owned_elsewhere;
            s.calls = calls;
            s.owned_elsewhere = owned_elsewhere;
            changed
        });
    }
}
