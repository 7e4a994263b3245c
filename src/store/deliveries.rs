//! From the outbox to the receivers: what is stored of a webhook on its way, and after it.
//!
//! Owns the words: queues, claims, what came of an attempt, the log that is kept. Leaves out who wants which event, the
//! request, and when it is tried again (`webhook`).
//!
//! A message for one receiver is a *delivery*. It is pending, and then delivered or dead; a dead one, and one that was
//! delivered, can be made pending again. The queues hold its id; what it is and what became of each attempt is stored once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Message, StoreError};
use crate::ids::{AppId, EndpointId, NodeId};
use crate::time::Timestamp;

/// How many given-up messages of a receiver are kept on each node. Beyond it the oldest is dropped and counted
/// ([`WEBHOOK_DEAD_DROPPED`](crate::telemetry::WEBHOOK_DEAD_DROPPED)): a receiver that is gone for good must not fill the store.
pub const DEAD_LIMIT: u64 = 10_000;

/// For how long a delivered message is kept, on the store's clock.
pub const DELIVERED_KEPT: Duration = Duration::from_secs(72 * 3600);

/// How many of the last attempts of a delivery are kept: those of a whole schedule, several times.
pub const ATTEMPTS_KEPT: u64 = 32;

/// How much of it there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueLimits {
    /// Pending deliveries of one receiver on one node, and messages of one node that are not handed over yet. What comes
    /// beyond is not queued, and counted ([`WEBHOOK_LOST`](crate::telemetry::WEBHOOK_LOST)).
    pub pending: u64,
    /// Delivered messages of one receiver that are kept on one node.
    pub delivered: u64,
}

impl Default for QueueLimits {
    /// 100,000 and 10,000. At 1 KiB a message the first is 100 MB for a receiver that has been away all day.
    fn default() -> Self {
        Self {
            pending: 100_000,
            delivered: 10_000,
        }
    }
}

/// A place in a node's outbox: everything up to it has been handed to the delivery queues.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboxCursor(pub String);

impl OutboxCursor {
    /// The cursor with so many messages at or before it; with none it is the default one.
    pub(super) fn at(position: u64) -> Self {
        match position {
            0 => Self::default(),
            n => Self(n.to_string()),
        }
    }

    /// How many messages are at or before it.
    ///
    /// # Errors
    /// When it was not made here.
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

/// What the outbox holds after its cursor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboxBatch {
    /// The cursor it was read from.
    pub from: OutboxCursor,
    /// The cursor after the last of the messages.
    pub to: OutboxCursor,
    /// In order of commit.
    pub messages: Vec<Message>,
    /// How many messages between the two cursors are not there: somebody has deleted them.
    pub missing: u64,
    /// How many entries between the two cursors are not messages of this program.
    pub unreadable: u64,
    /// The outbox was not one, and was mended just now. It is noted already.
    pub mended: bool,
}

/// A message on its way to one endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDelivery {
    /// The receiver.
    pub endpoint: EndpointId,
    /// What it gets.
    pub message: Message,
    /// The receiver is not called for now: the message is dead from the start, and can be sent later.
    pub held: bool,
}

/// The head of one delivery queue, claimed by one worker for a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimedDelivery {
    /// The receiver.
    pub endpoint: EndpointId,
    /// What it gets.
    pub message: Message,
    /// How many attempts have failed before this one, since it became pending.
    pub failed_attempts: u32,
    /// How long ago the first of them failed, on the store's clock; zero when none has.
    pub failing_for: Duration,
    /// It is on a queue of its own: nothing waits for it.
    pub parked: bool,
    /// Proves the claim when it is finished.
    pub token: Uuid,
}

/// The places that a worker has for attempts, and what may be claimed for them.
///
/// A claim gives one place after the other to the app that has the fewest, and within the app to the endpoint that has the
/// fewest; among equals the one that has been due for longest comes first. Three bounds hold meanwhile:
///
/// - An app gets another place only while it has fewer than one in [`APP_PART`] of those that are free. So there are always
///   free places, however many apps hold theirs, and an app that has none gets one at once.
/// - An endpoint gets another place only while it has fewer than its app may still get, and fewer than `each`. So the other
///   endpoints of its app get places, too.
/// - A lowered endpoint has a smaller bound, and all lowered endpoints together have one.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// Deliveries that are claimed at most.
    pub total: usize,
    /// Places that are free; at least `total`.
    pub free: usize,
    /// Places that one endpoint has at most.
    pub each: usize,
    /// Places that lowered endpoints may get, besides those that they have.
    pub lowered_left: usize,
    /// Places that are taken, by endpoint; each with its app.
    pub under_way: &'a [(AppId, EndpointId, usize)],
    /// The lowered endpoints, and how many places each has at most.
    pub lowered: &'a [(EndpointId, usize)],
}

impl Share<'static> {
    /// So many, whoever they are for.
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

/// An app has fewer than one in so many of the free places: alone, it gets a quarter of all. See [`Share`].
pub const APP_PART: usize = 3;

/// Due endpoints that one claim looks at. Where there are more, those that have their share are put off by [`DEFERRED`], so
/// that the next claim looks at others.
pub const LOOKED_AT: usize = 1_000;

/// See [`LOOKED_AT`].
pub const DEFERRED: Duration = Duration::from_secs(1);

/// What came of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryResult {
    /// The receiver has it: the next of the queue may go at once.
    Delivered,
    /// Try the same one again after this long, on the store's clock. Those behind it wait.
    Retry {
        /// How long.
        after: Duration,
    },
    /// Try it again after this long, on a queue of its own.
    Park {
        /// How long.
        after: Duration,
        /// Those behind it wait for so long yet, and then no more for it.
        hold: Duration,
    },
    /// Give it up: it is dead, the next of the queue may go at once.
    Dead,
    /// There is no such receiver any more: nothing is kept of it.
    Forgotten,
}

/// What became of a message for one receiver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// It will be tried, again or for the first time.
    Pending,
    /// The receiver said that it has it.
    Delivered,
    /// It was given up, or the receiver was disabled when it came.
    Dead,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// As it is written.
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

/// What is not a [`DeliveryStatus`].
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

/// One attempt, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attempted {
    /// When it began, microseconds since the epoch.
    pub at: u64,
    /// What the receiver answered, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// One row of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Where it stands: the log is sorted by this text, the latest first, and goes on below one. It is `<when it was
    /// queued, milliseconds, 14 digits>:<its place in the outbox, 16 digits>:<id>`, so that positions of different
    /// nodes merge into one order.
    pub position: String,
    /// What is, or was, sent.
    pub message: Message,
    /// What became of it.
    pub status: DeliveryStatus,
    /// The last attempts, [`ATTEMPTS_KEPT`] at most, the oldest first.
    pub attempts: Vec<Attempted>,
}

/// The end of a claim, as it was written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Finished {
    /// How long the receiver has been failing on this node: since its first failure after the last success, or after
    /// the first attempt ever. `None` after a success.
    pub failing_for: Option<Duration>,
    /// How many wait behind it and can be claimed now; 0 when it will be tried again itself.
    pub behind: u64,
}

/// How a receiver is, on one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndpointHealth {
    /// How long ago it last took something.
    pub delivered_ago: Option<Duration>,
    /// As [`Finished::failing_for`].
    pub failing_for: Option<Duration>,
    /// Deliveries that wait for it.
    pub pending: u64,
    /// Deliveries that were given up and are kept.
    pub dead: u64,
    /// Messages that could not be queued for it, ever.
    pub lost: u64,
}

/// How many deliveries became pending again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// So many.
    pub count: u64,
    /// Where to go on; `None` when that was all.
    pub next: Option<String>,
}

/// How much lies in a node's queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// In the outbox, not yet handed to the delivery queues.
    pub outbox: u64,
    /// Queues (one an endpoint and scope) with something to deliver.
    pub queues: u64,
    /// Messages that the outbox had no room for, ever.
    pub lost: u64,
    /// Messages that were deleted from the outbox before they were handed over, ever.
    pub missing: u64,
    /// Entries of the outbox that were not messages of this program, ever.
    pub unreadable: u64,
    /// How long ago one of the last two has grown.
    pub noticed_ago: Option<Duration>,
}

/// The outbox, the queues and the log of each node.
///
/// As with [`Store`](super::Store), every method is one step.
#[async_trait]
pub trait Deliveries: Send + Sync + fmt::Debug + 'static {
    /// Reads the node's outbox after its cursor, at most `limit` messages. Changes nothing, unless the outbox is not
    /// one: then it is mended. What is missing or cannot be read is passed over and counted in the batch; whoever hands the
    /// batch over notes it ([`Self::note_outbox`]).
    async fn read_outbox(&self, node: NodeId, limit: usize) -> Result<OutboxBatch, StoreError>;

    /// What [`Self::read_outbox`] would find, as far as it is known without asking: what was committed through this store
    /// and, as far as it has heard, not handed over by another. [`Self::fan_out`] finds out whether it is so. Nothing where
    /// that is not known.
    fn fresh_outbox(&self, _node: NodeId, _limit: usize) -> Option<OutboxBatch> {
        None
    }

    /// Moves the cursor from `from` to `to` and appends the deliveries to their queues (one an endpoint and scope), in
    /// one step. `false`, and nothing changed, when the cursor is not at `from`: another has done it; or when the outbox does
    /// not hold what was read or given out as fresh: the store is another than it was. What the receiver
    /// has too much of already is not queued but counted.
    async fn fan_out(
        &self,
        node: NodeId,
        from: &OutboxCursor,
        to: &OutboxCursor,
        deliveries: &[NewDelivery],
    ) -> Result<bool, StoreError>;

    /// Notes what a batch that was handed over was found to lack, for the operator ([`Backlog`]).
    async fn note_outbox(
        &self,
        node: NodeId,
        missing: u64,
        unreadable: u64,
    ) -> Result<(), StoreError>;

    /// Appends a delivery to its queue that is of no commit. One with this id that is known for this receiver stays as it
    /// is.
    async fn enqueue(&self, node: NodeId, delivery: &NewDelivery) -> Result<(), StoreError>;

    /// Claims heads of queues that are due, within this share, each for `visibility` on the store's clock: not finished by
    /// then, it is claimable again, by whom ever, as the same message.
    async fn claim_deliveries(
        &self,
        node: NodeId,
        visibility: Duration,
        share: Share<'_>,
    ) -> Result<Vec<ClaimedDelivery>, StoreError>;

    /// Ends a claim, and notes the attempt if there was one. `None`, and nothing changed, when the claim was no longer
    /// this one.
    async fn finish_delivery(
        &self,
        node: NodeId,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempt: Option<&Attempted>,
    ) -> Result<Option<Finished>, StoreError>;

    /// How long until the next queue is due; `None` when all are empty.
    async fn next_delivery(&self, node: NodeId) -> Result<Option<Duration>, StoreError>;

    /// Both [`Self::read_outbox`] and [`Self::next_delivery`], in one question where the store can: what somebody looks at
    /// again and again who has nothing to do.
    async fn look(
        &self,
        node: NodeId,
        limit: usize,
    ) -> Result<(OutboxBatch, Option<Duration>), StoreError> {
        let batch = self.read_outbox(node, limit).await?;
        Ok((batch, self.next_delivery(node).await?))
    }

    /// What lies in the node's queues.
    async fn backlog(&self, node: NodeId) -> Result<Backlog, StoreError>;

    /// How these receivers are, in this order.
    async fn endpoint_health(
        &self,
        node: NodeId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<EndpointHealth>, StoreError>;

    /// The log of a receiver below a position (or from its top), the latest first.
    async fn list_deliveries(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        status: DeliveryStatus,
        below: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// One delivery, while it is kept.
    async fn read_delivery(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<Option<Delivery>, StoreError>;

    /// Makes a delivery due at once, on a schedule of its own that begins anew. One that waits for its turn goes on
    /// waiting. `false` when it is not kept.
    async fn redeliver(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<bool, StoreError>;

    /// Makes up to `limit` dead deliveries at or above a position pending again, in their order, behind what waits.
    async fn recover(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        from: &str,
        limit: usize,
    ) -> Result<Recovered, StoreError>;

    /// Forgets a receiver but for what is pending, of which it says how much there is: that is forgotten when its turn
    /// comes ([`DeliveryResult::Forgotten`]).
    async fn forget_endpoint(&self, node: NodeId, endpoint: &EndpointId)
    -> Result<u64, StoreError>;
}

/// Where the log begins, for [`Deliveries::recover`]: what was queued at this time or later.
pub fn log_position(since: Timestamp) -> String {
    format!("{:014}:", since.as_millis())
}
