//! Lists over all nodes.
//!
//! Every node has its own list, sorted by position: creation time, then id. Positions of different nodes are
//! comparable, so the merged list has the same order, and a cursor is the last visited position. Insertions and
//! deletions elsewhere in the list do not shift a page.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::store::{EntityId, EntityKind, ListOf, Store, StoreError, ViewId, ViewKind, unreadable};
use roomkeeper_core::ids::{AppId, NodeId, RoomId};

use super::auth::Caller;
use super::cursor::List;
use super::error::ApiError;
use super::ownership::Nodes;
use super::state::ApiState;

/// The number of concurrent reads of one request: enough to hide the store's latency, too few to starve other requests.
const READS: usize = 16;

/// The maximum number of rounds to fill a page. Only ending rows are skipped, so one round is nearly always enough. A
/// page may still be short; its cursor continues behind it.
const ROUNDS: usize = 8;

/// A page's rows, and the cursor of the next; empty on the last.
pub(crate) struct Rows<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) cursor: String,
}

/// The source of a list.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// An app's open rooms or live calls.
    Entities(EntityKind),
    /// Views of an app or a room, also after its end.
    Views(ViewKind, Option<RoomId>),
}

/// The object of a row.
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

    /// A room's list is on its node only.
    fn is_on(self, node: NodeId) -> bool {
        match self {
            Self::Entities(_) | Self::Views(_, None) => true,
            Self::Views(_, Some(room)) => room.node() == node,
        }
    }
}

/// Reads one page of a list. `read` converts an object to a row, or to nothing if callers must not see it.
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

/// Skips and reports an unreadable record or list, so that the others are still shown.
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
