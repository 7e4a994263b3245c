//! The fields of a head, many of which are JSON, and the error of an unreadable record.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{EntityId, FieldsRef, StoreError, keys};

/// Returns the value of a field.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    // Numbers, booleans and texts always have a JSON form; a reader reports an empty field as corrupt.
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a JSON field.
pub(super) fn field<T: DeserializeOwned>(
    id: EntityId,
    fields: &FieldsRef<'_>,
    name: &str,
) -> Result<T, StoreError> {
    let text = head(id, fields, name)?;
    serde_json::from_str(text).map_err(|e| corrupt(id, &format!("field {name}"), e))
}

/// Returns the text of a field that every record has.
pub(super) fn head<'a>(
    id: EntityId,
    fields: &FieldsRef<'a>,
    name: &str,
) -> Result<&'a str, StoreError> {
    fields
        .get(name)
        .ok_or_else(|| corrupt(id, &format!("field {name}"), "it is missing"))
}

/// Returns the error of a record: its key, and the wrong part.
pub(super) fn corrupt(id: EntityId, part: &str, why: impl fmt::Display) -> StoreError {
    StoreError::Corrupt {
        key: keys::entity(id),
        why: format!("{part}: {why}"),
    }
}
