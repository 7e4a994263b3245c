//! The outbox, the queues and the log of deliveries on Redis.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Pipeline, Value};
use uuid::Uuid;

use super::{
    BACKLOG, CLAIM, DELIVERIES_LIST, FAN_OUT, FINISH, FORGET_ENDPOINT, HEALTH, OUTBOX_MEND,
    OUTBOX_NOTE, Pairs, RECOVER, REDELIVER, RedisStore, millis, readable, stored,
};
use crate::ids::{AppId, EndpointId, NodeId};
use crate::store::deliveries::{
    APP_PART, ATTEMPTS_KEPT, Attempted, Backlog, ClaimedDelivery, DEAD_LIMIT, DEFERRED,
    DELIVERED_KEPT, Deliveries, Delivery, DeliveryResult, DeliveryStatus, EndpointHealth, Finished,
    LOOKED_AT, NewDelivery, OutboxBatch, OutboxCursor, Recovered, Share,
};
use crate::store::{Message, StoreError, keys, unreadable};
use crate::telemetry::{Chain, WEBHOOK_DEAD_DROPPED, WEBHOOK_LOST};

/// How often a cursor is looked for that others move meanwhile. After that there is nothing to hand over just now: they do.
const CURSOR_TRIES: usize = 4;

/// A message as it is stored: a JSON array, so that an operator can read it.
type StoredMessage<'a> = (Cow<'a, str>, AppId, String, u64, Cow<'a, str>, Cow<'a, str>);

fn encode(message: &Message) -> String {
    let stored: StoredMessage<'_> = (
        message.id.as_str().into(),
        message.app.clone(),
        message.scope.to_string(),
        message.sequence,
        message.event.as_str().into(),
        message.body.as_str().into(),
    );
    // Strings and a number: there is nothing in it that has no JSON form.
    serde_json::to_string(&stored).unwrap_or_default()
}

fn decode(key: &str, text: &str) -> Result<Message, StoreError> {
    let (id, app, scope, sequence, event, body): StoredMessage<'_> = serde_json::from_str(text)
        .map_err(|error| StoreError::Corrupt {
            key: key.to_owned(),
            why: error.to_string(),
        })?;
    Ok(Message {
        id: id.into_owned(),
        app,
        scope: stored(key, &scope)?,
        sequence,
        event: event.into_owned(),
        body: body.into_owned(),
    })
}

pub(super) fn outbox_message(key: &str, fields: Pairs) -> Result<Message, StoreError> {
    let missing = |field: &str| StoreError::Corrupt {
        key: key.to_owned(),
        why: format!("a message without {field}"),
    };
    let (mut id, mut app, mut scope, mut sequence, mut event, mut body) =
        (None, None, None, None, None, None);
    for (field, value) in fields {
        match field.as_str() {
            "id" => id = Some(value),
            "app" => app = Some(stored(key, &value)?),
            "scope" => scope = Some(stored(key, &value)?),
            "sequence" => sequence = Some(stored(key, &value)?),
            "event" => event = Some(value),
            "body" => body = Some(value),
            // A later layout may say more.
            _ => {}
        }
    }
    Ok(Message {
        id: id.ok_or_else(|| missing("id"))?,
        app: app.ok_or_else(|| missing("app"))?,
        scope: scope.ok_or_else(|| missing("scope"))?,
        sequence: sequence.ok_or_else(|| missing("sequence"))?,
        event: event.ok_or_else(|| missing("event"))?,
        body: body.ok_or_else(|| missing("body"))?,
    })
}

/// A delivery as [`keys::delivery`] says it is stored.
fn delivery(key: &str, fields: Pairs) -> Result<Delivery, StoreError> {
    let missing = |field: &str| StoreError::Corrupt {
        key: key.to_owned(),
        why: format!("a delivery without {field}"),
    };
    let (mut message, mut status, mut position, mut tried) = (None, None, None, 0);
    let mut attempts = Vec::new();
    for (field, value) in fields {
        match field.as_str() {
            "m" => message = Some(decode(key, &value)?),
            "s" => status = Some(stored(key, &value)?),
            "p" => position = Some(value),
            "n" => tried = stored(key, &value)?,
            other => {
                let Some(place) = other.strip_prefix('a') else {
                    continue;
                };
                let attempt: Attempted =
                    serde_json::from_str(&value).map_err(|error| StoreError::Corrupt {
                        key: key.to_owned(),
                        why: error.to_string(),
                    })?;
                attempts.push((stored::<u64>(key, place)?, attempt));
            }
        }
    }
    // They take turns on the places: the oldest is on the one that comes next.
    let next: u64 = tried;
    attempts
        .sort_by_key(|(place, _)| (place + ATTEMPTS_KEPT - next % ATTEMPTS_KEPT) % ATTEMPTS_KEPT);
    Ok(Delivery {
        position: position.ok_or_else(|| missing("position"))?,
        message: message.ok_or_else(|| missing("message"))?,
        status: status.ok_or_else(|| missing("status"))?,
        attempts: attempts.into_iter().map(|(_, attempt)| attempt).collect(),
    })
}

/// Entries of a stream.
type Entries = Vec<(String, Pairs)>;

/// The cursor, the newest position, and what is behind the cursor.
type Found = (Option<u64>, Option<u64>, Entries);

/// The unreadable values that were rebuilt.
struct Mended {
    /// Entries of the outbox that were set aside, the cursor included.
    spoilt: u64,
    /// Other keys.
    others: u64,
}

impl Mended {
    const fn is_nothing(&self) -> bool {
        self.spoilt == 0 && self.others == 0
    }
}

/// The position of an entry of the outbox; `None` for an id that is none of this program's.
pub(super) fn position_of_entry(id: &str) -> Option<u64> {
    id.strip_prefix("0-")?.parse().ok()
}

/// The first of a sorted set, if there is one, with its score.
pub(super) type First = Vec<(String, u64)>;

/// Asks when the next queue is due, as [`next_of`] reads it.
fn ask_next(pipe: &mut Pipeline, due: &str) {
    pipe.cmd("TIME");
    ask_first(pipe, due);
}

/// Asks for the next queue, as [`next_of`] reads it with the time of the server.
pub(super) fn ask_first(pipe: &mut Pipeline, due: &str) {
    pipe.cmd("ZRANGE").arg(due).arg(0).arg(0).arg("WITHSCORES");
}

pub(super) fn next_of(now: (u64, u64), first: First) -> Option<Duration> {
    let (_, due) = first.first()?;
    Some(Duration::from_millis(due.saturating_sub(clock(now))))
}

impl RedisStore {
    /// Queues deliveries; `cursor` is where it was and where it goes. Nothing when it was elsewhere.
    async fn queue(
        &self,
        node: NodeId,
        cursor: Option<(u64, u64)>,
        deliveries: &[NewDelivery],
    ) -> Result<bool, StoreError> {
        let key = keys::cursor(node);
        let (from, _) = cursor.unwrap_or_default();
        let given = cursor.map(|(_, to)| self.outboxes.given(node, to));
        let given = given.unwrap_or_default();
        let handed_over = cursor.map(|(_, to)| self.outboxes.given_bytes(node, to));
        let handed_over = handed_over.unwrap_or_default();
        let (lost, dropped): (i64, u64) = self
            .run(&FAN_OUT, &key, 4, |command| {
                command
                    .arg(&key)
                    .arg(keys::outbox(node))
                    .arg(keys::due(node))
                    .arg(keys::health(node));
                match cursor {
                    Some((from, to)) => command.arg(from).arg(to),
                    None => command.arg("").arg(""),
                };
                command
                    .arg(keys::OUTBOX_KEPT)
                    .arg(keys::node_prefix(node))
                    .arg(self.limits.pending)
                    .arg(DEAD_LIMIT)
                    .arg(given.len())
                    .arg(deliveries.len())
                    .arg(&given);
                for (n, delivery) in deliveries.iter().enumerate() {
                    command
                        .arg(delivery.endpoint.as_str())
                        .arg(keys::queue_name(&delivery.endpoint, delivery.message.scope))
                        .arg(&delivery.message.id)
                        .arg(format!("{from:011}{n:05}"))
                        .arg(encode(&delivery.message))
                        .arg(u8::from(delivery.held))
                        .arg(delivery.message.app.as_str());
                }
                command.arg(keys::OUTBOX_KEPT_BYTES);
                for (app, bytes) in &handed_over {
                    command.arg(app.as_str()).arg(bytes);
                }
            })
            .await?;
        if let Ok(lost @ 1..) = u64::try_from(lost) {
            metrics::counter!(WEBHOOK_LOST).increment(lost);
        }
        if dropped > 0 {
            metrics::counter!(WEBHOOK_DEAD_DROPPED).increment(dropped);
        }
        match cursor {
            Some(_) if lost < 0 => self.outboxes.forget(node),
            Some((_, to)) => self.outboxes.cursor_is(node, to),
            None => {}
        }
        Ok(lost >= 0)
    }

    /// What the outbox holds; and when the next queue is due, if that is asked for as well.
    async fn outbox(
        &self,
        node: NodeId,
        limit: usize,
        and_next: bool,
    ) -> Result<(OutboxBatch, Option<Duration>), StoreError> {
        let key = keys::outbox(node);
        let mut cursor = self.outboxes.cursor(node);
        let mut next = None;
        let mut mended = false;
        let (mut is_known, mut newest) = (false, 0);
        let mut entries = Entries::new();
        // A script that reads the cursor first would have to take each message apart and put it together again. Mostly the
        // cursor is where this replica has left it; where it is not, it is asked for again from there.
        for _ in 0..CURSOR_TRIES {
            let mut pipe = redis::pipe();
            pipe.atomic();
            pipe.cmd("GET").arg(keys::cursor(node));
            pipe.cmd("GET").arg(keys::outbox_last(node));
            pipe.cmd("XRANGE")
                .arg(&key)
                .arg(format!("(0-{cursor}"))
                .arg(("+", "COUNT", limit));
            if and_next {
                ask_next(&mut pipe, &keys::due(node));
            }
            let found: Result<Found, StoreError> = if and_next {
                let found = self.transaction(&key, &pipe).await;
                found.map(|(cursor, last, behind, now, first)| {
                    next = next_of(now, first);
                    (cursor, last, behind)
                })
            } else {
                self.transaction(&key, &pipe).await
            };
            let (found, last, behind) = match found {
                Ok(found)
                    if found
                        .2
                        .iter()
                        .all(|(id, _)| position_of_entry(id).is_some()) =>
                {
                    found
                }
                // Not what this program writes.
                Ok(_) | Err(StoreError::Corrupt { .. }) => {
                    let done = self.mend_outbox(node).await?;
                    mended |= done.spoilt > 0;
                    if done.is_nothing() {
                        found?
                    } else {
                        continue;
                    }
                }
                found => found?,
            };
            let is_there = found.unwrap_or_default() == cursor;
            cursor = found.unwrap_or_default();
            if is_there {
                (is_known, newest) = (found.is_some(), last.unwrap_or_default());
                entries = behind;
                break;
            }
        }
        let mut batch = OutboxBatch {
            from: OutboxCursor::at(cursor),
            mended,
            ..OutboxBatch::default()
        };
        let is_all = entries.len() < limit;
        let (mut last, mut last_message) = (cursor, cursor);
        for (id, fields) in entries {
            let Some(position) = position_of_entry(&id) else {
                break;
            };
            batch.missing += position.saturating_sub(last + 1);
            last = position;
            match outbox_message(&key, fields) {
                Ok(message) => {
                    last_message = position;
                    batch.messages.push(message);
                }
                Err(error) => {
                    batch.unreadable += 1;
                    tracing::error!(node.id = %node, entry = id, error = %Chain(&error), "an entry of the outbox is not a message and is passed over");
                }
            }
        }
        if is_all && newest > last {
            batch.missing += newest - last;
            last = newest;
        }
        if !is_known {
            // There has been none yet, or it was deleted: then what is not there was handed over.
            batch.missing = 0;
        }
        batch.to = OutboxCursor::at(last);
        // What is handed over is checked by the message at its end, if there is one.
        let at_end = batch.messages.last().filter(|_| last_message == last);
        self.outboxes
            .was_read(node, cursor, last, &batch.messages, at_end);
        Ok((batch, next))
    }

    /// Mends an outbox that is not one, and due times that are none.
    async fn mend_outbox(&self, node: NodeId) -> Result<Mended, StoreError> {
        let key = keys::outbox(node);
        let (spoilt, others): (u64, u64) = self
            .run(&OUTBOX_MEND, &key, 4, |command| {
                command
                    .arg(keys::cursor(node))
                    .arg(&key)
                    .arg(keys::health(node))
                    .arg(keys::due(node));
            })
            .await?;
        if spoilt > 0 {
            tracing::error!(
                node.id = %node,
                key,
                entries = spoilt,
                "the outbox held what this program does not write, which was set aside"
            );
        }
        Ok(Mended { spoilt, others })
    }
}

#[async_trait]
impl Deliveries for RedisStore {
    async fn read_outbox(&self, node: NodeId, limit: usize) -> Result<OutboxBatch, StoreError> {
        let (batch, _) = self.outbox(node, limit, false).await?;
        Ok(batch)
    }

    fn fresh_outbox(&self, node: NodeId, limit: usize) -> Option<OutboxBatch> {
        self.outboxes.fresh(node, limit)
    }

    async fn look(
        &self,
        node: NodeId,
        limit: usize,
    ) -> Result<(OutboxBatch, Option<Duration>), StoreError> {
        self.outbox(node, limit, true).await
    }

    async fn fan_out(
        &self,
        node: NodeId,
        from: &OutboxCursor,
        to: &OutboxCursor,
        deliveries: &[NewDelivery],
    ) -> Result<bool, StoreError> {
        let cursor = (from.position()?, to.position()?);
        self.queue(node, Some(cursor), deliveries).await
    }

    async fn note_outbox(
        &self,
        node: NodeId,
        missing: u64,
        unreadable: u64,
    ) -> Result<(), StoreError> {
        let key = keys::health(node);
        self.run::<Value>(&OUTBOX_NOTE, &key, 1, |command| {
            command.arg(&key).arg(missing).arg(unreadable);
        })
        .await
        .map(drop)
    }

    async fn enqueue(&self, node: NodeId, delivery: &NewDelivery) -> Result<(), StoreError> {
        self.queue(node, None, std::slice::from_ref(delivery))
            .await
            .map(drop)
    }

    async fn claim_deliveries(
        &self,
        node: NodeId,
        visibility: Duration,
        share: Share<'_>,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let key = keys::due(node);
        // One for all: a claim is proved by its queue and its token.
        let token = Uuid::new_v4();
        // A double holds it, and nobody has so many.
        let bounded = |count: usize| count.min(1 << 40);
        let answer: Vec<String> = self
            .run(&CLAIM, &key, 3, |command| {
                command
                    .arg(&key)
                    .arg(keys::claims(node))
                    .arg(keys::failed(node))
                    .arg(keys::node_prefix(node))
                    .arg(millis(visibility))
                    .arg(token.to_string())
                    .arg(share.total)
                    .arg(bounded(share.free))
                    .arg(bounded(share.each))
                    .arg(bounded(share.lowered_left))
                    .arg(LOOKED_AT)
                    .arg(millis(DEFERRED))
                    .arg(APP_PART)
                    .arg(share.under_way.len());
                for (app, endpoint, count) in share.under_way {
                    command.arg(app.as_str()).arg(endpoint.as_str()).arg(count);
                }
                for (endpoint, most) in share.lowered {
                    command.arg(endpoint.as_str()).arg(most);
                }
            })
            .await?;
        let (rows, _) = answer.as_chunks::<4>();
        let mut claims = Vec::with_capacity(rows.len());
        for [queue, failed, failing, message] in rows {
            let key = keys::queue(node, queue);
            let claim = || {
                let (endpoint, _) = queue.split_once(':').unwrap_or((queue, ""));
                let endpoint: EndpointId = stored(&key, endpoint)?;
                let message = decode(&key, message)?;
                Ok::<_, StoreError>(ClaimedDelivery {
                    parked: *queue != keys::queue_name(&endpoint, message.scope),
                    endpoint,
                    message,
                    failed_attempts: stored(&key, failed)?,
                    failing_for: Duration::from_millis(stored(&key, failing)?),
                    token,
                })
            };
            match claim() {
                Ok(claim) => claims.push(claim),
                Err(error) => {
                    unreadable::note(&key, &error.to_string());
                    // The others of the batch are claimed and must go out.
                    tracing::error!(error = %Chain(&error), "a delivery cannot be read; its queue waits until it is removed");
                }
            }
        }
        Ok(claims)
    }

    async fn finish_delivery(
        &self,
        node: NodeId,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempt: Option<&Attempted>,
    ) -> Result<Option<Finished>, StoreError> {
        let own = keys::queue_name(&claim.endpoint, claim.message.scope);
        let parked = keys::parked_name(&own, &claim.message.id);
        let queue = if claim.parked { &parked } else { &own };
        let key = keys::queue(node, queue);
        let (result, after, hold) = match result {
            DeliveryResult::Delivered => ("delivered", Duration::ZERO, Duration::ZERO),
            // It has been there all along.
            DeliveryResult::Park { after, .. } if claim.parked => ("retry", after, Duration::ZERO),
            DeliveryResult::Retry { after } => ("retry", after, Duration::ZERO),
            DeliveryResult::Park { after, hold } => ("park", after, hold),
            DeliveryResult::Dead => ("dead", Duration::ZERO, Duration::ZERO),
            DeliveryResult::Forgotten => ("forgotten", Duration::ZERO, Duration::ZERO),
        };
        let attempt = attempt.map_or_else(String::new, |attempt| {
            // Texts and numbers, as above.
            serde_json::to_string(attempt).unwrap_or_default()
        });
        let (dropped, failing, behind): (i64, i64, u64) = self
            .run(&FINISH, &key, 7, |command| {
                command
                    .arg(keys::due(node))
                    .arg(keys::claims(node))
                    .arg(keys::failed(node))
                    .arg(keys::health(node))
                    .arg(&key)
                    .arg(keys::queue(node, &parked))
                    .arg(keys::delivery(node, &claim.endpoint, &claim.message.id))
                    .arg(queue)
                    .arg(claim.token.to_string())
                    .arg(result)
                    .arg(millis(after))
                    .arg(millis(hold))
                    .arg(&parked)
                    .arg(keys::node_prefix(node))
                    .arg(claim.endpoint.as_str())
                    .arg(&attempt)
                    .arg(ATTEMPTS_KEPT)
                    .arg(DEAD_LIMIT)
                    .arg(self.limits.delivered)
                    .arg(millis(DELIVERED_KEPT))
                    .arg(claim.message.app.as_str());
            })
            .await?;
        let Ok(dropped) = u64::try_from(dropped) else {
            return Ok(None);
        };
        if dropped > 0 {
            metrics::counter!(WEBHOOK_DEAD_DROPPED).increment(dropped);
        }
        Ok(Some(Finished {
            failing_for: u64::try_from(failing).ok().map(Duration::from_millis),
            behind,
        }))
    }

    async fn next_delivery(&self, node: NodeId) -> Result<Option<Duration>, StoreError> {
        let key = keys::due(node);
        let mut pipe = redis::pipe();
        pipe.atomic();
        ask_next(&mut pipe, &key);
        let mut answer = self.transaction(&key, &pipe).await;
        if let Err(StoreError::Corrupt { .. }) = answer
            && !self.mend_outbox(node).await?.is_nothing()
        {
            answer = self.transaction(&key, &pipe).await;
        }
        let (now, first) = answer?;
        Ok(next_of(now, first))
    }

    async fn backlog(&self, node: NodeId) -> Result<Backlog, StoreError> {
        let key = keys::outbox(node);
        type Answer = (u64, u64, u64, u64, u64, i64);
        let (outbox, queues, lost, missing, unreadable, ago): Answer = self
            .run(&BACKLOG, &key, 4, |command| {
                command
                    .arg(keys::cursor(node))
                    .arg(&key)
                    .arg(keys::due(node))
                    .arg(keys::health(node));
            })
            .await?;
        Ok(Backlog {
            outbox,
            queues,
            lost,
            missing,
            unreadable,
            noticed_ago: u64::try_from(ago).ok().map(Duration::from_millis),
        })
    }

    async fn endpoint_health(
        &self,
        node: NodeId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<EndpointHealth>, StoreError> {
        if endpoints.is_empty() {
            return Ok(Vec::new());
        }
        let key = keys::health(node);
        let answer: Vec<String> = self
            .run(&HEALTH, &key, 1 + 2 * endpoints.len(), |command| {
                command.arg(&key);
                for endpoint in endpoints {
                    for status in [DeliveryStatus::Pending, DeliveryStatus::Dead] {
                        command.arg(keys::log(node, endpoint, status));
                    }
                }
                for endpoint in endpoints {
                    command.arg(endpoint.as_str());
                }
            })
            .await?;
        let mut numbers = answer.iter().map(|text| text.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let now = next().unwrap_or_default();
        let ago = |at: Option<u64>| at.map(|at| Duration::from_millis(now.saturating_sub(at)));
        let health = endpoints.iter().map(|_| EndpointHealth {
            delivered_ago: ago(next()),
            failing_for: ago(next()),
            lost: next().unwrap_or_default(),
            pending: next().unwrap_or_default(),
            dead: next().unwrap_or_default(),
        });
        Ok(health.collect())
    }

    async fn list_deliveries(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        status: DeliveryStatus,
        below: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let key = keys::log(node, endpoint, status);
        let deliveries = keys::delivery(node, endpoint, "");
        let mut found = Vec::new();
        let mut below = below.unwrap_or_default().to_owned();
        while found.len() < limit {
            let (last, rows): (String, Vec<Pairs>) = self
                .run(&DELIVERIES_LIST, &key, 1, |command| {
                    command.arg(&key).arg(&below).arg(limit).arg(&deliveries);
                })
                .await?;
            for fields in rows {
                found.extend(readable(delivery(&deliveries, fields)));
            }
            if last.is_empty() {
                break;
            }
            below = last;
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn read_delivery(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        let key = keys::delivery(node, endpoint, id);
        let mut command: Cmd = redis::cmd("HGETALL");
        command.arg(&key);
        let fields: Pairs = self.query(&key, &command).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        delivery(&key, fields).map(Some)
    }

    async fn redeliver(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<bool, StoreError> {
        let key = keys::delivery(node, endpoint, id);
        self.run(&REDELIVER, &key, 4, |command| {
            command
                .arg(keys::due(node))
                .arg(keys::claims(node))
                .arg(keys::failed(node))
                .arg(&key)
                .arg(keys::node_prefix(node))
                .arg(endpoint.as_str())
                .arg(id);
        })
        .await
    }

    async fn recover(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        from: &str,
        limit: usize,
    ) -> Result<Recovered, StoreError> {
        let key = keys::due(node);
        let (count, next): (u64, String) = self
            .run(&RECOVER, &key, 1, |command| {
                command
                    .arg(&key)
                    .arg(keys::node_prefix(node))
                    .arg(endpoint.as_str())
                    .arg(from)
                    .arg(limit);
            })
            .await?;
        Ok(Recovered {
            count,
            next: Some(next).filter(|next| !next.is_empty()),
        })
    }

    async fn forget_endpoint(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
    ) -> Result<u64, StoreError> {
        let key = keys::health(node);
        self.run(&FORGET_ENDPOINT, &key, 4, |command| {
            command.arg(&key);
            for status in DeliveryStatus::ALL {
                command.arg(keys::log(node, endpoint, status));
            }
            command
                .arg(endpoint.as_str())
                .arg(keys::delivery(node, endpoint, ""));
        })
        .await
    }
}

/// The store's clock in milliseconds, from what `TIME` answers.
const fn clock((secs, micros): (u64, u64)) -> u64 {
    secs * 1000 + micros / 1000
}
