//! The stored forms of messages and deliveries.

use std::borrow::Cow;

use super::values::{Pairs, stored};
use crate::store::deliveries::{ATTEMPTS_KEPT, AttemptRecord, Delivery};
use crate::store::{Message, StoreError};
use roomkeeper_core::ids::AppId;

/// A stored message: a JSON array, which an operator can read.
type StoredMessage<'a> = (Cow<'a, str>, AppId, String, u64, Cow<'a, str>, Cow<'a, str>);

/// Returns the stored form of a message.
pub(super) fn encode_message(message: &Message) -> String {
    let stored: StoredMessage<'_> = (
        message.id.as_str().into(),
        message.app.clone(),
        message.scope.to_string(),
        message.sequence,
        message.event.as_str().into(),
        message.body.as_str().into(),
    );
    // Strings and numbers always have a JSON form.
    serde_json::to_string(&stored).unwrap_or_default()
}

/// Reads a message from its stored form.
pub(super) fn decode_message(key: &str, text: &str) -> Result<Message, StoreError> {
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

/// Reads a message from an entry of the outbox.
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
            // A newer program may have added fields.
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

/// Reads a delivery from its hash: see [`keys::delivery`](crate::store::keys::delivery).
pub(super) fn read_delivery(key: &str, fields: Pairs) -> Result<Delivery, StoreError> {
    let missing = |field: &str| StoreError::Corrupt {
        key: key.to_owned(),
        why: format!("a delivery without {field}"),
    };
    let (mut message, mut status, mut position, mut tried) = (None, None, None, 0);
    let mut attempts = Vec::new();
    for (field, value) in fields {
        match field.as_str() {
            "m" => message = Some(decode_message(key, &value)?),
            "s" => status = Some(stored(key, &value)?),
            "p" => position = Some(value),
            "n" => tried = stored(key, &value)?,
            other => {
                let Some(slot) = other.strip_prefix('a') else {
                    continue;
                };
                let attempt: AttemptRecord =
                    serde_json::from_str(&value).map_err(|error| StoreError::Corrupt {
                        key: key.to_owned(),
                        why: error.to_string(),
                    })?;
                attempts.push((stored::<u64>(key, slot)?, attempt));
            }
        }
    }
    // Attempts reuse their fields in turn: the oldest is in the next field.
    let next: u64 = tried;
    attempts.sort_by_key(|(slot, _)| (slot + ATTEMPTS_KEPT - next % ATTEMPTS_KEPT) % ATTEMPTS_KEPT);
    Ok(Delivery {
        position: position.ok_or_else(|| missing("position"))?,
        message: message.ok_or_else(|| missing("message"))?,
        status: status.ok_or_else(|| missing("status"))?,
        attempts: attempts.into_iter().map(|(_, attempt)| attempt).collect(),
    })
}
