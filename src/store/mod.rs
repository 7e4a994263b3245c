//! State that outlives the program.
//!
//! [`contract`] is the trait and its types, [`encoding`] the stored form of all data. There are two implementations:
//! [`memory`], which ends with the process, and [`redis`], which several controllers share. The reconciler knows the meaning
//! of the records and when to write them.

pub mod contract;
pub mod encoding;
pub mod memory;
mod open_error;
pub mod redis;
pub mod unreadable;

use std::sync::Arc;

pub use self::contract::{
    AppsWrite, Commit, CommitOutcome, EntityId, EntityKind, EntityWrite, Fields, FieldsRef, Lease,
    LeaseOutcome, Life, ListEntry, ListOf, Listing, Message, NameOutcome, NodeReader,
    REMEMBERED_REQUESTS, RawRecord, Record, Scope, Store, StoreError, StoredApps, Version,
    ViewEntry, ViewId, ViewKind, ViewWrite, deliveries, limits, live, node_status, polls, usage,
};
use self::deliveries::QueueLimits;
pub use self::encoding::{apps, audit, call, endpoints, keys, packed, room, view};
use self::memory::MemoryStore;
pub use self::open_error::OpenError;
use self::redis::{RedisOptions, RedisStore};

/// Opens the store of a URL: `memory:` for a store that ends with the process; `redis://…`, `redis+sentinel://…` or
/// `redis+cluster://…` for Redis, which may still be unreachable; with `rediss` instead of `redis`, over TLS.
///
/// # Errors
///
/// Fails if the URL is invalid or has an unsupported scheme.
pub fn open(
    url: &str,
    options: &RedisOptions,
    limits: QueueLimits,
) -> Result<Arc<dyn Store>, OpenError> {
    let (scheme, _) = url.split_once(':').ok_or_else(|| OpenError::Invalid {
        why: "it has no scheme".to_owned(),
    })?;
    match scheme {
        "memory" => Ok(Arc::new(MemoryStore::new().with_limits(limits))),
        "redis" | "redis+sentinel" | "redis+cluster" | "rediss" | "rediss+sentinel"
        | "rediss+cluster" => Ok(Arc::new(
            RedisStore::connect(url, options)?.with_limits(limits),
        )),
        _ => Err(OpenError::Unsupported {
            scheme: scheme.to_owned(),
        }),
    }
}
