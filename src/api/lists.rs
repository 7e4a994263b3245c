//! One list over all nodes.
//!
//! Every node has its own list, sorted by position: time of creation, then id. Positions of different nodes compare,
//! so the merged order is one as well, and a cursor is no more than the last position that was looked at. What comes
//! or goes elsewhere in the list moves nothing.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::ids::{AppId, NodeId, RoomId};
use crate::store::{EntityId, EntityKind, ListOf, Store, StoreError, ViewId, ViewKind, unreadable};

use super::ApiState;
use super::access::Nodes;
use super::auth::Caller;
use super::cursor::List;
use super::error::ApiError;

/// How many reads of one request are under way at once: enough to hide the way to the store, too few to crowd others
/// out of it.
const READS: usize = 16;

/// How often a page that is not full is filled up. Rows are skipped only while they are ending, so one round nearly
/// always does; a page may be short all the same, and its cursor goes on.
const ROUNDS: usize = 8;

/// A page's rows, and the cursor of the next; empty on the last.
pub(crate) struct Rows<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) cursor: String,
}

/// What a list is of.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// An app's living rooms or calls.
    Entities(EntityKind),
    /// What is shown of an app, or of a room, also after it is over.
    Views(ViewKind, Option<RoomId>),
}

/// What stands in a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Listed {
    Entity(EntityId),
    View(ViewId),
}

/// A row, before it is read.
type Entry = (String, Listed);

impl Source {
    async fn read(
        self,
        store: &dyn Store,
        node: NodeId,
        app: &AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(match self {
            Self::Entities(kind) => store
                .list(node, kind, app, after, limit)
                .await?
                .into_iter()
                .map(|entry| (entry.position, Listed::Entity(entry.entity)))
                .collect(),
            Self::Views(kind, room) => {
                let of = room.map_or(ListOf::App(app), ListOf::Room);
                store
                    .list_views(node, kind, of, after, limit)
                    .await?
                    .into_iter()
                    .map(|entry| (entry.position, Listed::View(entry.view)))
                    .collect()
            }
        })
    }

    /// The list of a room is on its node alone.
    fn is_on(self, node: NodeId) -> bool {
        match self {
            Self::Entities(_) | Self::Views(_, None) => true,
            Self::Views(_, Some(room)) => room.node() == node,
        }
    }
}

/// One page of a list. `read` makes a row of what stands there, or nothing of one that callers do not see.
pub(crate) async fn page<T, F>(
    state: &ApiState,
    nodes: &Nodes,
    caller: &Caller,
    (source, list): (Source, List),
    (cursor, limit): (Option<&str>, usize),
    read: impl Fn(Listed) -> F,
) -> Result<Rows<T>, ApiError>
where
    F: Future<Output = Result<Option<T>, StoreError>>,
{
    let key = &state.settings.cursor_key;
    let mut after = cursor
        .map(|text| key.open(&caller.app, list, text))
        .transpose()?;
    let mut rows = Vec::new();
    for _ in 0..ROUNDS {
        let want = limit - rows.len();
        // One more than wanted tells whether there is a next page.
        let mut entries = merged(state, nodes, caller, source, after.as_deref(), want + 1).await?;
        let more = entries.len() > want;
        entries.truncate(want);
        if let Some((position, _)) = entries.last() {
            after = Some(position.clone());
        }
        let reads = entries.into_iter().map(|(_, listed)| {
            let row = read(listed);
            async { or_nothing(row.await) }
        });
        let read: Vec<Option<T>> = stream::iter(reads).buffered(READS).try_collect().await?;
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

/// One unreadable record or list must not cost the others: it is noted and left out.
fn or_nothing<T>(read: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(error @ StoreError::Corrupt { .. }) => {
            unreadable::note_error(&error);
            Ok(None)
        }
        read => read,
    }
}

/// The first `limit` entries after a position, over all nodes.
async fn merged(
    state: &ApiState,
    nodes: &Nodes,
    caller: &Caller,
    source: Source,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let lists: Vec<_> = nodes
        .iter()
        .filter(|node| source.is_on(node.id))
        .map(async |node| {
            let list = source.read(&*state.store, node.id, &caller.app, after, limit);
            or_nothing(list.await.map(Some)).map(Option::unwrap_or_default)
        })
        .collect();
    let mut entries: Vec<Entry> = stream::iter(lists)
        .buffer_unordered(READS)
        .try_collect::<Vec<_>>()
        .await?
        .concat();
    entries.sort_unstable();
    entries.truncate(limit);
    Ok(entries)
}
