//! One list over all nodes.
//!
//! Every node has its own list, sorted by position: time of creation, then id. Positions of different nodes compare,
//! so the merged order is one as well, and a cursor is no more than the last position that was looked at. What comes
//! or goes elsewhere in the list moves nothing.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::api::ApiState;
use crate::api::access::Nodes;
use crate::api::auth::Caller;
use crate::api::cursor::List;
use crate::api::error::ApiError;
use crate::api::request::Page;
use crate::store::{EntityKind, ListEntry, StoreError};

/// How many reads of one request are under way at once: enough to hide the way to the store, too few to crowd others
/// out of it.
const READS: usize = 16;

/// How often a page that is not full is filled up. Rows are skipped only while they are ending, so one round nearly
/// always does; a page may be short all the same, and its cursor goes on.
const ROUNDS: usize = 8;

/// A page's rows, and the cursor of the next; empty on the last.
pub(super) struct Rows<T> {
    pub(super) rows: Vec<T>,
    pub(super) cursor: String,
}

/// One page of an app's list. `read` makes a row of an entry, or nothing of one that callers do not see any more.
pub(super) async fn page<T, F>(
    state: &ApiState,
    nodes: &Nodes,
    caller: &Caller,
    (kind, list): (EntityKind, List),
    (page, limit): (&Page, usize),
    read: impl Fn(ListEntry) -> F,
) -> Result<Rows<T>, ApiError>
where
    F: Future<Output = Result<Option<T>, StoreError>>,
{
    let key = &state.settings.cursor_key;
    let mut after = page
        .cursor
        .as_deref()
        .map(|text| key.open(&caller.app, list, text))
        .transpose()?;
    let mut rows = Vec::new();
    for _ in 0..ROUNDS {
        let want = limit - rows.len();
        // One more than wanted tells whether there is a next page.
        let mut entries = merged(state, nodes, caller, kind, after.as_deref(), want + 1).await?;
        let more = entries.len() > want;
        entries.truncate(want);
        if let Some(last) = entries.last() {
            after = Some(last.position.clone());
        }
        let read: Vec<Option<T>> = stream::iter(entries.into_iter().map(&read))
            .buffered(READS)
            .try_collect()
            .await?;
        rows.extend(read.into_iter().flatten());
        if !more {
            let cursor = String::new();
            return Ok(Rows { rows, cursor });
        }
        if rows.len() == limit {
            break;
        }
    }
    let cursor = after.map_or_else(String::new, |at| key.seal(&caller.app, list, &at));
    Ok(Rows { rows, cursor })
}

/// The first `limit` entries after a position, over all nodes.
async fn merged(
    state: &ApiState,
    nodes: &Nodes,
    caller: &Caller,
    kind: EntityKind,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ListEntry>, StoreError> {
    let lists: Vec<_> = nodes
        .iter()
        .map(|node| state.store.list(node.id, kind, &caller.app, after, limit))
        .collect();
    let mut entries: Vec<ListEntry> = stream::iter(lists)
        .buffer_unordered(READS)
        .try_collect::<Vec<_>>()
        .await?
        .concat();
    entries.sort_unstable();
    entries.truncate(limit);
    Ok(entries)
}
