//! The stored state of webhooks: the outbox, the queues, and the log of each endpoint.
//!
//! Defines queues, claims, results of attempts, and the log. `webhook` filters events, sends the requests and schedules
//! retries.
//!
//! A message for one endpoint is a *delivery*. It is pending, and then delivered or dead; both can be made pending again.
//! The queues contain its id; its message and attempts are stored once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Message, StoreError};
use roomkeeper_core::ids::{AppId, EndpointId, NodeId};
use roomkeeper_core::time::Timestamp;

/// Dead deliveries of an endpoint that are kept on each node. Beyond the limit the oldest is dropped and counted
/// ([`WEBHOOK_DEAD_DROPPED`](crate::telemetry::WEBHOOK_DEAD_DROPPED)): a vanished receiver must not fill the store.
pub const DEAD_LIMIT: u64 = 10_000;

/// The keeping time of a delivered message, on the store's clock.
pub const DELIVERED_KEPT: Duration = Duration::from_secs(72 * 3600);

/// The number of last attempts of a delivery that are kept: several whole schedules.
pub const ATTEMPTS_KEPT: u64 = 32;

/// Limits of the queues and the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueLimits {
    /// Pending deliveries of one endpoint on one node, and messages in one node's outbox. Messages beyond the limit are not
    /// queued, and counted ([`WEBHOOK_LOST`](crate::telemetry::WEBHOOK_LOST)).
    pub pending: u64,
    /// Delivered messages of one endpoint that are kept on one node.
    pub delivered: u64,
}

impl Default for QueueLimits {
    /// 100,000 and 10,000. At 1 KiB a message the first is 100 MB for an endpoint whose receiver is down all day.
    fn default() -> Self {
        Self {
            pending: 100_000,
            delivered: 10_000,
        }
    }
}

/// A position in a node's outbox: all messages up to it are in the delivery queues.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboxCursor(pub String);

impl OutboxCursor {
    /// The cursor with this number of messages at or before it; the default one for 0.
    pub(in crate::store) fn at(position: u64) -> Self {
        match position {
            0 => Self::default(),
            n => Self(n.to_string()),
        }
    }

    /// The number of messages at or before it.
    ///
    /// # Errors
    /// Fails if the cursor was not created here.
    pub fn position(&self) -> Result<u64, StoreError> {
        if *self == Self::default() {
            return Ok(0);
        }
        self.0.parse().map_err(|_| StoreError::Corrupt {
            key: "outbox cursor".to_owned(),
            why: format!("{:?} is not a number", self.0),
        })
    }
}

/// The messages of the outbox after its cursor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboxBatch {
    /// The cursor from which it was read.
    pub from: OutboxCursor,
    /// The cursor after the last of the messages.
    pub to: OutboxCursor,
    /// In order of commit.
    pub messages: Vec<Message>,
    /// The number of missing messages between the two cursors: another program has deleted them.
    pub missing: u64,
    /// The number of entries between the two cursors that this program did not write.
    pub unreadable: u64,
    /// The outbox had another type and was repaired by this read. It is noted already.
    pub mended: bool,
}

/// A message on its way to one endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDelivery {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The message.
    pub message: Message,
    /// The endpoint is disabled: the message is dead from the start, and can be sent later.
    pub held: bool,
}

/// The head of one delivery queue, claimed by one worker for a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimedDelivery {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The message.
    pub message: Message,
    /// The number of failed attempts since it became pending.
    pub failed_attempts: u32,
    /// The time since the first of them, on the store's clock; zero if there is none.
    pub failing_for: Duration,
    /// It is parked in a separate queue: no other delivery waits for it.
    pub parked: bool,
    /// Proves the claim at its end.
    pub token: Uuid,
}

/// The permits of a worker for attempts, and the bounds of its claims.
///
/// A claim gives one permit after the other to the app that has the fewest, and within the app to the endpoint that has the
/// fewest; among equals, to the one that has been due for longest. Three bounds apply:
///
/// - An app gets another permit only while it has fewer than one in [`APP_PART`] of the free ones. So some permits are always
///   free, however many permits other apps have, and an app without any gets one at once.
/// - An endpoint gets another permit only while it has fewer than its app may still get, and fewer than `each`. So the other
///   endpoints of its app get permits, too.
/// - A lowered endpoint has a smaller bound, and all lowered endpoints together have one.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// The limit of claimed deliveries.
    pub total: usize,
    /// Free permits; at least `total`.
    pub free: usize,
    /// The limit of permits of one endpoint.
    pub each: usize,
    /// Permits that lowered endpoints may get in addition to their present ones.
    pub lowered_left: usize,
    /// Occupied permits, by endpoint; each with its app.
    pub under_way: &'a [(AppId, EndpointId, usize)],
    /// The lowered endpoints, and the limit of permits of each.
    pub lowered: &'a [(EndpointId, usize)],
}

impl Share<'static> {
    /// Creates a share of this number of claims, for any app.
    pub const fn all(total: usize) -> Self {
        Self {
            total,
            free: usize::MAX,
            each: usize::MAX,
            lowered_left: usize::MAX,
            under_way: &[],
            lowered: &[],
        }
    }
}

/// The divisor of an app's share of the free places: alone, it gets a quarter of all. See [`Share`].
pub const APP_PART: usize = 3;

/// The limit of due endpoints that one claim visits. If there are more, endpoints that have their share are put off by
/// [`DEFERRAL`], so that the next claim visits others.
pub const CLAIM_SCAN_LIMIT: usize = 1_000;

/// The time by which a claim puts off endpoints; see [`CLAIM_SCAN_LIMIT`].
pub const DEFERRAL: Duration = Duration::from_secs(1);

/// The result of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryResult {
    /// The receiver accepted it: the next of the queue can be attempted at once.
    Delivered,
    /// Retry it after this time, on the store's clock. The deliveries behind it wait.
    Retry {
        /// The time.
        after: Duration,
    },
    /// Retry it after this time, in a separate queue.
    Park {
        /// The time.
        after: Duration,
        /// The time for which the deliveries behind it still wait, unless it ends earlier.
        hold: Duration,
    },
    /// Retry it at once with a new schedule: the attempt was at an earlier URL of the endpoint, whose health it does not
    /// change.
    Restart,
    /// Give it up: it is dead, the next of the queue can be attempted at once.
    Dead,
    /// The endpoint no longer exists: the delivery is removed.
    Forgotten,
}

/// The status of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// It waits for an attempt.
    Pending,
    /// The receiver has accepted it.
    Delivered,
    /// It was given up, or the endpoint was disabled when it was queued.
    Dead,
}

impl DeliveryStatus {
    /// All statuses.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Returns the text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of a text that is not a [`DeliveryStatus`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected pending, delivered or dead")]
pub struct UnknownStatus;

impl FromStr for DeliveryStatus {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or(UnknownStatus)
    }
}

/// A stored attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its start, microseconds since the epoch.
    pub at: u64,
    /// The status of the receiver's answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason if there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its duration in milliseconds.
    pub ms: u64,
}

/// The last failed attempt at an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastError {
    /// The attempt's start, microseconds since the epoch.
    pub at: u64,
    /// The status of the receiver's answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason of the failure.
    pub error: String,
    /// The event's name.
    pub event: String,
}

impl LastError {
    /// Describes a failed attempt to deliver this event.
    pub(in crate::store) fn from_attempt(attempt: &AttemptRecord, event: &str) -> Self {
        let reason = match (&attempt.error, attempt.status) {
            (Some(error), _) => error.clone(),
            (None, Some(status)) => format!("the receiver answered {status}"),
            (None, None) => "the receiver did not answer".to_owned(),
        };
        Self {
            at: attempt.at,
            status: attempt.status,
            error: reason,
            event: event.to_owned(),
        }
    }
}

/// One row of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Its position: the log is sorted by this text, the latest first, and continues below a position. The text is `<time of
    /// queueing, milliseconds, 14 digits>:<position in the outbox, 16 digits>:<id>`, so that positions of different nodes
    /// merge into one order.
    pub position: String,
    /// The message.
    pub message: Message,
    /// The status.
    pub status: DeliveryStatus,
    /// The last attempts, [`ATTEMPTS_KEPT`] at most, the oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// The result of the end of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FinishOutcome {
    /// The time since the endpoint's first failure after its last success, if any, on this node. `None` after a success.
    pub failing_for: Option<Duration>,
    /// The number of deliveries behind it that can be claimed now; 0 if it will be retried itself.
    pub behind: u64,
}

/// The state of an endpoint on one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndpointHealth {
    /// The time since its last success.
    pub delivered_ago: Option<Duration>,
    /// As [`FinishOutcome::failing_for`].
    pub failing_for: Option<Duration>,
    /// Deliveries that wait for it.
    pub pending: u64,
    /// Dead deliveries that are kept.
    pub dead: u64,
    /// Messages that could not be queued for it, ever.
    pub lost: u64,
}

/// The progress of a recovery.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoverOutcome {
    /// The number of deliveries that are pending again.
    pub count: u64,
    /// The position at which to continue; `None` at the end.
    pub next: Option<String>,
}

/// The sizes of a node's outbox and queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Messages in the outbox that are not queued yet.
    pub outbox: u64,
    /// Queues (one for each endpoint and scope) that are not empty.
    pub queues: u64,
    /// Messages that did not fit into the outbox, ever.
    pub lost: u64,
    /// Messages that were deleted from the outbox before they were queued, ever.
    pub missing: u64,
    /// Entries of the outbox that were not messages of this program, ever.
    pub unreadable: u64,
    /// The time since one of the last two counts has grown.
    pub noticed_ago: Option<Duration>,
}

/// The outbox, the queues and the log of each node.
///
/// As with [`Store`](super::Store), every method is atomic.
#[async_trait]
pub trait Deliveries: Send + Sync + fmt::Debug + 'static {
    /// Reads the node's outbox after its cursor, at most `limit` messages. Changes nothing, except that a value of another
    /// type is repaired. Missing and unreadable messages are skipped and counted in the batch; after the fan-out, its
    /// caller notes them ([`Self::note_outbox`]).
    async fn read_outbox(&self, node: NodeId, limit: usize) -> Result<OutboxBatch, StoreError>;

    /// Returns a cached result of [`Self::read_outbox`]: messages that were committed through this store and, as far as it
    /// knows, not queued by another replica. [`Self::fan_out`] verifies it. `None` if the store has no cache.
    fn fresh_outbox(&self, _node: NodeId, _limit: usize) -> Option<OutboxBatch> {
        None
    }

    /// Moves the cursor from `from` to `to` and appends the deliveries to their queues (one per endpoint and scope), in one
    /// step. Returns false, and changes nothing, if the cursor is not at `from`, because another replica has queued the
    /// messages; or if the outbox does not contain the messages that were read or cached, because the store is another.
    /// Deliveries beyond the limit of an endpoint are counted, not queued.
    async fn fan_out(
        &self,
        node: NodeId,
        from: &OutboxCursor,
        to: &OutboxCursor,
        deliveries: &[NewDelivery],
    ) -> Result<bool, StoreError>;

    /// Adds the missing and unreadable messages of a queued batch to the counts for the operator ([`Backlog`]).
    async fn note_outbox(
        &self,
        node: NodeId,
        missing: u64,
        unreadable: u64,
    ) -> Result<(), StoreError>;

    /// Appends a delivery without a commit to its queue. A known delivery of this endpoint with this id stays unchanged.
    async fn enqueue(&self, node: NodeId, delivery: &NewDelivery) -> Result<(), StoreError>;

    /// Claims due heads of queues, within this share, each for `visibility` on the store's clock. If it is not finished by
    /// then, any worker can claim it again, as the same message.
    async fn claim_deliveries(
        &self,
        node: NodeId,
        visibility: Duration,
        share: Share<'_>,
    ) -> Result<Vec<ClaimedDelivery>, StoreError>;

    /// Ends a claim, and stores the attempt if there was one. Returns `None` and changes nothing if the claim has been
    /// replaced.
    async fn finish_delivery(
        &self,
        node: NodeId,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempt: Option<&AttemptRecord>,
    ) -> Result<Option<FinishOutcome>, StoreError>;

    /// Returns the time until the next queue is due; `None` if all are empty.
    async fn next_delivery(&self, node: NodeId) -> Result<Option<Duration>, StoreError>;

    /// Combines [`Self::read_outbox`] and [`Self::next_delivery`], in one request if the store can: the poll of an idle
    /// worker.
    async fn poll_outbox(
        &self,
        node: NodeId,
        limit: usize,
    ) -> Result<(OutboxBatch, Option<Duration>), StoreError> {
        let batch = self.read_outbox(node, limit).await?;
        Ok((batch, self.next_delivery(node).await?))
    }

    /// Returns the sizes of the node's outbox and queues.
    async fn backlog(&self, node: NodeId) -> Result<Backlog, StoreError>;

    /// Returns the states of these endpoints, in this order.
    async fn endpoint_health(
        &self,
        node: NodeId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<EndpointHealth>, StoreError>;

    /// Returns the last failed attempts at these endpoints, in this order. A success keeps it; [`Self::retry_endpoint`]
    /// removes it.
    async fn last_errors(
        &self,
        node: NodeId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<Option<LastError>>, StoreError>;

    /// Makes all deliveries of an endpoint that wait for another attempt due at once, each with a new schedule, because its
    /// failures say nothing about the next attempt. Also ends the endpoint's time of failure. The order of each queue
    /// stays: attempts in progress keep their claims, and deliveries behind a parked one wait until it ends.
    async fn retry_endpoint(&self, node: NodeId, endpoint: &EndpointId) -> Result<(), StoreError>;

    /// Reads the log of an endpoint below a position (or from its top), the latest first.
    async fn list_deliveries(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        status: DeliveryStatus,
        below: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Reads one delivery; `None` if it is no longer kept.
    async fn read_delivery(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<Option<Delivery>, StoreError>;

    /// Makes a delivery due at once, with a new schedule, apart from its queue. A delivery that already waits in its queue
    /// keeps waiting. Returns false if it is not kept.
    async fn redeliver(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<bool, StoreError>;

    /// Makes up to `limit` dead deliveries at or above a position pending again, in their order, behind the waiting ones.
    async fn recover(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        from: &str,
        limit: usize,
    ) -> Result<RecoverOutcome, StoreError>;

    /// Removes an endpoint except its pending deliveries, and returns their number. They are removed when their turn comes
    /// ([`DeliveryResult::Forgotten`]).
    async fn forget_endpoint(&self, node: NodeId, endpoint: &EndpointId)
    -> Result<u64, StoreError>;
}

/// Returns the position of this time in the log, for [`Deliveries::recover`].
pub fn log_position(since: Timestamp) -> String {
    format!("{:014}:", since.as_millis())
}
