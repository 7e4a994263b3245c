//! Values as Redis stores and returns them: names of fields, durations, parsed texts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::{FromRedisValue, Value};

use super::connection::Fault;
use super::health::has_code;
use crate::store::{StoreError, unreadable};

/// The field of an entity's hash with its version.
pub(super) const VERSION: &str = "#v";

/// The field of an entity's hash that marks an entity as ended.
pub(super) const ENDED: &str = "#e";

/// The prefix of the fields of a head: it keeps them apart from the fields that the scripts add.
pub(super) const HEAD: char = 'h';

/// Returns the name that a field of a head has in the hash.
pub(super) fn head_field(name: &str) -> String {
    format!("{HEAD}{name}")
}

/// A hash as Redis returns it.
pub(super) type Pairs = Vec<(String, String)>;

/// Converts a reply; `what` names the value in errors.
pub(super) fn decode<T: FromRedisValue>(
    what: &str,
    value: Result<Value, Fault>,
) -> Result<T, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt {
        key: what.to_owned(),
        why,
    };
    match value {
        Ok(value) => redis::from_redis_value(value).map_err(|error| corrupt(error.to_string())),
        // A foreign value under our key stays there, so a repeated request does not help.
        Err(Fault::Answer(error)) if has_code(&error, "WRONGTYPE") => {
            Err(corrupt(error.to_string()))
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Parses a stored text.
pub(super) fn stored<T>(key: &str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Corrupt {
        key: key.to_owned(),
        why: format!("{text:?}: {error}"),
    })
}

/// Returns a value; notes it if it is unreadable.
pub(super) fn readable<T>(value: Result<T, StoreError>) -> Option<T> {
    value.inspect_err(unreadable::note_error).ok()
}

/// Returns a hash of records in the order of their ids. Notes unreadable ids and leaves them out.
pub(super) fn by_id<T>(key: &str, fields: Pairs) -> Vec<(T, String)>
where
    T: FromStr + Ord,
    T::Err: fmt::Display,
{
    let records = fields.into_iter();
    let records =
        records.filter_map(|(id, record)| Some((readable(stored::<T>(key, &id))?, record)));
    let mut records: Vec<_> = records.collect();
    records.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    records
}

/// Returns the milliseconds of a duration, at most 2^48.
pub(super) fn millis(duration: Duration) -> u64 {
    // Lua counts in doubles. 2^48 ms are ten thousand years, longer than any duration here.
    const LIMIT: u64 = 1 << 48;
    u64::try_from(duration.as_millis()).map_or(LIMIT, |ms| ms.min(LIMIT))
}
