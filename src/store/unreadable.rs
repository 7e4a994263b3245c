//! The process-wide list of stored values that cannot be decoded, with their keys and reasons.
//!
//! The values stay as they are. All code that decodes stored values enters failures here; the probes, the operator's
//! listener and the owner's report of a node read the list.
//!
//! An entry lasts for [`REMEMBERED`] after the last failure. The log and the metric have each key once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::StoreError;
use super::keys;
use super::node_status::{UnreadableRecord, shortened};
use crate::telemetry::{STORE_CORRUPT, STORE_CORRUPT_OTHER};
use roomkeeper_core::ids::NodeId;

/// The lifetime of an entry.
pub const REMEMBERED: Duration = Duration::from_secs(600);

/// The limit of the list for a person; the log has all keys.
const LIMIT: usize = 1_000;

struct Found {
    why: String,
    at: Instant,
}

static FOUND: Mutex<BTreeMap<String, Found>> = Mutex::new(BTreeMap::new());

fn found() -> MutexGuard<'static, BTreeMap<String, Found>> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.retain(|_, found| found.at.elapsed() < REMEMBERED);
    found
}

/// Enters the value of this error, if it is unreadable.
pub fn note_error(error: &StoreError) {
    if let StoreError::Corrupt { key, why } = error {
        note(key, why);
    }
}

/// Enters a key.
pub fn note(key: &str, why: &str) {
    let mut found = found();
    let why = shortened(why);
    if let Some(known) = found.get_mut(key) {
        *known = Found {
            why,
            at: Instant::now(),
        };
        return;
    }
    match node_of(key) {
        Some(node) => metrics::counter!(STORE_CORRUPT, "node" => node.to_owned()).increment(1),
        None => metrics::counter!(STORE_CORRUPT_OTHER).increment(1),
    }
    tracing::error!(
        store.key = key,
        why,
        "stored value is unreadable and stays unchanged"
    );
    if found.len() < LIMIT {
        let at = Instant::now();
        found.insert(shortened(key), Found { why, at });
    }
}

/// Removes a key whose value is readable.
pub fn clear(key: impl FnOnce() -> String) {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if !found.is_empty() {
        found.remove(&key());
    }
}

/// Returns the entries of a node.
pub fn of_node(node: NodeId) -> Vec<UnreadableRecord> {
    entries(|key| node_of(key) == Some(node.as_str()))
}

/// Returns the entries that belong to no node.
pub fn of_no_node() -> Vec<UnreadableRecord> {
    entries(|key| key.starts_with(keys::LAYOUT) && node_of(key).is_none())
}

fn entries(wanted: impl Fn(&str) -> bool) -> Vec<UnreadableRecord> {
    let found = found();
    let wanted = found.iter().filter(|(key, _)| wanted(key));
    wanted
        .map(|(key, found)| UnreadableRecord {
            key: key.clone(),
            why: found.why.clone(),
        })
        .collect()
}

/// Returns the node in whose slot a key is: a node's id has no colon, unlike an app's slot, and is not `apps`.
fn node_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(keys::LAYOUT)?.strip_prefix(":{")?;
    let (slot, _) = rest.split_once('}')?;
    slot.parse::<NodeId>().ok().map(|_| slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn entry_lasts_until_value_is_readable_or_expires() {
        let node: NodeId = "unre1".parse().unwrap();
        let key = |name: &str| format!("rk1:{{{node}}}:{name}");
        let names = || -> Vec<String> { of_node(node).into_iter().map(|f| f.key).collect() };
        note(&key("lease"), "a list");
        note(&key("room:1"), "no version");
        note("rk1:{app:unre1}:name:standup", "a list");
        assert_eq!(names(), [key("lease"), key("room:1")]);
        let others = of_no_node();
        assert!(others.iter().any(|f| f.key.contains("unre1")));
        clear(|| key("room:1"));
        assert_eq!(names(), [key("lease")]);
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(names(), Vec::<String>::new());
    }
}
