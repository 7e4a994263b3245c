//! One attempt of a worker: the request, the next delay, and storing the outcome.

use tokio::time::sleep;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, info_span, warn};

use super::in_flight::FinishedAttempt;
use super::{Worker, back_off};
use crate::clock;
use crate::store::deliveries::{AttemptRecord, ClaimedDelivery, DeliveryResult, FinishOutcome};
use crate::telemetry::{self, millis, trace};
use crate::webhook::endpoint::Endpoint;
use crate::webhook::payload;
use crate::webhook::schedule::Attempt;
use crate::webhook::sender::Report;

/// The number of attempts for an endpoint that is not configured. A replica that has not been restarted yet does not
/// know a new endpoint and must leave it to others; a delivery for a removed one must not be kept for days.
const UNKNOWN_ENDPOINT_ATTEMPTS: u32 = 7;

/// The number of attempts to store a result, before the message is sent again.
const FINISH_ATTEMPTS: u32 = 4;

impl Worker {
    /// Delivers one message and stores the outcome.
    pub(super) async fn deliver(self, claim: ClaimedDelivery) -> FinishedAttempt {
        let mut timed_out = None;
        let endpoints = self.endpoints();
        let (result, attempted) = match endpoints.get(&claim.endpoint) {
            // A held delivery is dead until it is recovered.
            Some(endpoint) if endpoint.disabled.is_some() => (DeliveryResult::Dead, None),
            Some(endpoint) => {
                let at = clock::now();
                let span = self.attempt_span(&claim);
                let post = self.sender.post(endpoint, &claim.message);
                let report = post.instrument(span.clone()).await;
                span.record("outcome", report.outcome());
                drop(span);
                let attempt = report.attempt();
                let is_outdated = attempt != Attempt::Accepted && self.has_moved(endpoint);
                let result = if is_outdated {
                    DeliveryResult::Restart
                } else {
                    let jitter = rand::random();
                    let (failed, failing_for) = (claim.failed_attempts, claim.failing_for);
                    self.schedule.after(attempt, failed, failing_for, jitter)
                };
                self.record_report(endpoint, &claim, &report, result);
                if !is_outdated {
                    let is_late = report.took >= self.sender.limits().request;
                    timed_out = Some((endpoint.id.clone(), is_late || report.is_timeout()));
                }
                (result, Some((attempt, report.attempted(at))))
            }
            None if endpoints.is_removed(&claim.endpoint) => (DeliveryResult::Forgotten, None),
            None => (self.retry_unknown_endpoint(&claim), None),
        };
        let record = attempted.as_ref().map(|(_, record)| record);
        let finished = self.finish(&claim, result, record).await;
        if let (Some((attempt, _)), Some(finished)) = (attempted, finished)
            // An earlier URL says nothing about the endpoint.
            && result != DeliveryResult::Restart
        {
            self.disable_if_failed(&claim, attempt, finished).await;
        }
        let has_more = match result {
            DeliveryResult::Retry { .. }
            | DeliveryResult::Park { .. }
            | DeliveryResult::Restart => true,
            DeliveryResult::Delivered | DeliveryResult::Dead | DeliveryResult::Forgotten => {
                finished.is_none_or(|finished| finished.behind > 0)
            }
        };
        FinishedAttempt {
            has_more,
            timed_out,
        }
    }

    /// Returns true if an endpoint has another URL now than at the start of an attempt.
    fn has_moved(&self, attempted: &Endpoint) -> bool {
        let endpoints = self.endpoints();
        let current = endpoints.get(&attempted.id);
        current.is_some_and(|current| current.url != attempted.url)
    }

    /// Creates the span of an attempt, as part of the trace of its event.
    fn attempt_span(&self, claim: &ClaimedDelivery) -> Span {
        let span = info_span!(
            target: trace::TARGET,
            parent: None,
            "attempt",
            otel.kind = "client",
            node.id = %self.node,
            endpoint.id = %claim.endpoint,
            webhook.id = claim.message.id,
            event = claim.message.event,
            attempt = claim.failed_attempts + 1,
            outcome = Empty
        );
        if !span.is_disabled() {
            trace::recall(&claim.message.id).adopt(&span);
        }
        span
    }

    /// Disables the endpoint if it is gone or has failed for too long.
    async fn disable_if_failed(
        &self,
        claim: &ClaimedDelivery,
        attempt: Attempt,
        finished: FinishOutcome,
    ) {
        let failing_for = finished.failing_for.unwrap_or_default();
        let disabler = &self.context.disabler;
        let done = match attempt {
            Attempt::Accepted => return,
            Attempt::Gone => disabler.disable_gone(&claim.endpoint).await,
            Attempt::Failed { .. } if failing_for >= self.settings.disabled_after => {
                disabler.disable_failing(&claim.endpoint).await
            }
            Attempt::Failed { .. } => return,
        };
        if let Err(error) = done {
            error.log_effect(
                Some(self.node),
                "cannot disable an endpoint; its next attempt will try again",
            );
        }
    }

    fn retry_unknown_endpoint(&self, claim: &ClaimedDelivery) -> DeliveryResult {
        warn!(
            node.id = %self.node,
            endpoint.id = %claim.endpoint,
            webhook.id = claim.message.id,
            "webhook for an endpoint that is not configured here"
        );
        if claim.failed_attempts + 1 >= UNKNOWN_ENDPOINT_ATTEMPTS {
            return DeliveryResult::Dead;
        }
        let failed = Attempt::Failed { retry_after: None };
        self.schedule.after(
            failed,
            claim.failed_attempts,
            claim.failing_for,
            rand::random(),
        )
    }

    fn record_report(
        &self,
        endpoint: &Endpoint,
        claim: &ClaimedDelivery,
        report: &Report,
        result: DeliveryResult,
    ) {
        let node = self.node.to_string();
        metrics::counter!(telemetry::WEBHOOK_ATTEMPTS, "node" => node.clone(), "outcome" => report.outcome())
            .increment(1);
        metrics::histogram!(telemetry::WEBHOOK_ATTEMPT_SECONDS, "node" => node)
            .record(report.took.as_secs_f64());
        let next = match result {
            DeliveryResult::Delivered => {
                debug!(
                    node.id = %self.node,
                    endpoint.id = %endpoint.id,
                    webhook.id = claim.message.id,
                    event = claim.message.event,
                    duration_ms = millis(report.took),
                    "webhook delivered"
                );
                return;
            }
            DeliveryResult::Retry { after } => format!("again in {:.1} s", after.as_secs_f64()),
            DeliveryResult::Park { after, hold } if !claim.parked => format!(
                "again in {:.1} s, later messages wait for another {:.1} s",
                after.as_secs_f64(),
                hold.as_secs_f64()
            ),
            DeliveryResult::Park { after, .. } => format!("again in {:.1} s", after.as_secs_f64()),
            DeliveryResult::Restart => "at once at the new URL".to_owned(),
            DeliveryResult::Dead | DeliveryResult::Forgotten => "given up".to_owned(),
        };
        let problem = match &report.result {
            Ok(status) => format!("status {}", status.as_u16()),
            Err(failure) => failure.to_string(),
        };
        warn!(
            node.id = %self.node,
            endpoint.id = %endpoint.id,
            endpoint.host = endpoint.url.host_str(),
            webhook.id = claim.message.id,
            event = claim.message.event,
            attempt = claim.failed_attempts + 1,
            duration_ms = millis(report.took),
            problem,
            next,
            "webhook not delivered"
        );
    }

    /// Stores the result of an attempt. If that fails, the claim expires and the message is sent again under the same
    /// id.
    async fn finish(
        &self,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempted: Option<&AttemptRecord>,
    ) -> Option<FinishOutcome> {
        for failures in 0..FINISH_ATTEMPTS {
            let store = &self.store;
            let finish = store.finish_delivery(self.node, claim, result, attempted);
            match finish.await {
                Ok(Some(finished)) => {
                    self.count_result(result, claim);
                    return Some(finished);
                }
                Ok(None) => {
                    warn!(
                        node.id = %self.node,
                        webhook.id = claim.message.id,
                        "the claim on a webhook expired before its result was stored"
                    );
                    return None;
                }
                Err(e) => {
                    metrics::counter!(telemetry::STORE_ERRORS, "caller" => "webhook").increment(1);
                    e.log_effect(
                        Some(self.node),
                        "cannot store the result of a webhook attempt",
                    );
                }
            }
            sleep(back_off(failures)).await;
        }
        None
    }

    fn count_result(&self, result: DeliveryResult, claim: &ClaimedDelivery) {
        let parked = claim.parked;
        let result = match result {
            DeliveryResult::Delivered => {
                if let Some(at) = payload::event_time(&claim.message) {
                    metrics::histogram!(telemetry::WEBHOOK_DELIVERED_SECONDS, "node" => self.node.to_string())
                        .record(clock::now().since(at));
                }
                "delivered"
            }
            DeliveryResult::Dead => "dead",
            DeliveryResult::Forgotten => "forgotten",
            DeliveryResult::Park { .. } if !parked => "parked",
            DeliveryResult::Retry { .. }
            | DeliveryResult::Park { .. }
            | DeliveryResult::Restart => return,
        };
        metrics::counter!(telemetry::WEBHOOK_DELIVERIES, "node" => self.node.to_string(), "result" => result)
            .increment(1);
    }
}
