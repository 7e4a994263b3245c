//! Lists over all nodes.
//!
//! Every node has its own list, sorted by position: creation time, then id. Positions of different nodes are
//! comparable, so the merged list has the same order, and a cursor is the last visited position. Insertions and
//! deletions elsewhere in the list do not shift a page.

use std::fmt;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::store::{EntityId, EntityKind, ListOf, Store, StoreError, ViewId, ViewKind, unreadable};
use roomkeeper_core::ids::{AppId, NodeId, RoomId};

use super::auth::Caller;
use super::cursor::{CursorKey, List};
use super::error::ApiError;
use super::ownership::Nodes;
use super::state::ApiState;

/// The number of concurrent reads of one request: enough to hide the store's latency, too few to starve other requests.
pub(crate) const READS: usize = 16;

/// The maximum number of rounds to fill a page. Only ending rows are skipped, so one round is nearly always enough. A
/// page may still be short; its cursor continues behind it.
const ROUNDS: usize = 8;

/// A page's rows, and the cursor of the next; empty on the last.
pub(crate) struct Rows<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) cursor: String,
}

/// The source of an app's list.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// An app's open rooms or live calls.
    Entities(EntityKind),
    /// Views of an app or a room, also after its end.
    Views(ViewKind, Option<RoomId>),
}

/// The rows that a list has on each node.
#[derive(Clone, Copy)]
pub(crate) enum Listing<'a> {
    /// Open rooms or live calls of this app; `None`: of all apps.
    Entities(EntityKind, Option<&'a AppId>),
    /// Views, also after their end.
    Views(ViewKind, ListOf<'a>),
}

/// The object of a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Listed {
    Entity(EntityId),
    View(ViewId),
}

/// A row, before it is read.
type Entry = (String, Listed);

impl Listing<'_> {
    async fn read(
        self,
        store: &dyn Store,
        node: NodeId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let listed = match self {
            Self::Entities(kind, Some(app)) => store.list(node, kind, app, after, limit).await?,
            Self::Entities(kind, None) => store.list_all(node, kind, after, limit).await?,
            Self::Views(kind, of) => {
                let views = store.list_views(node, kind, of, after, limit).await?;
                let rows = views.into_iter();
                return Ok(rows
                    .map(|entry| (entry.position, Listed::View(entry.view)))
                    .collect());
            }
        };
        let rows = listed.into_iter();
        Ok(rows
            .map(|entry| (entry.position, Listed::Entity(entry.entity)))
            .collect())
    }

    /// A room's list is on its node only.
    fn is_on(self, node: NodeId) -> bool {
        match self {
            Self::Views(_, ListOf::Room(room)) => room.node() == node,
            Self::Entities(..) | Self::Views(_, ListOf::App(_)) => true,
        }
    }
}

/// A list over nodes, and the signature of its cursors.
#[derive(Clone, Copy)]
pub(crate) struct MergedList<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) nodes: &'a Nodes,
    pub(crate) listing: Listing<'a>,
    pub(crate) key: &'a CursorKey,
    /// The owner of the cursors.
    pub(crate) owner: &'a (dyn fmt::Display + Sync),
    pub(crate) list: List,
}

/// Reads one page of an app's list. `read` converts an object to a row, or to nothing if callers must not see it.
pub(crate) async fn page<T, F>(
    state: &ApiState,
    nodes: &Nodes,
    caller: &Caller,
    (source, list): (Source, List),
    page: (Option<&str>, usize),
    read: impl Fn(Listed) -> F,
) -> Result<Rows<T>, ApiError>
where
    F: Future<Output = Result<Option<T>, StoreError>>,
{
    let app = &caller.app;
    let merged = MergedList {
        store: &*state.store,
        nodes,
        listing: match source {
            Source::Entities(kind) => Listing::Entities(kind, Some(app)),
            Source::Views(kind, room) => {
                Listing::Views(kind, room.map_or(ListOf::App(app), ListOf::Room))
            }
        },
        key: &state.settings.cursor_key,
        owner: app,
        list,
    };
    merged.page(page, read).await
}

impl MergedList<'_> {
    /// Reads one page. `read` converts an object to a row, or to nothing if callers must not see it.
    pub(crate) async fn page<T, F>(
        self,
        (cursor, limit): (Option<&str>, usize),
        read: impl Fn(Listed) -> F,
    ) -> Result<Rows<T>, ApiError>
    where
        F: Future<Output = Result<Option<T>, StoreError>>,
    {
        let mut after = cursor
            .map(|text| self.key.open(&self.owner, self.list, text))
            .transpose()?;
        let mut rows = Vec::new();
        for _ in 0..ROUNDS {
            let want = limit - rows.len();
            // One more than wanted tells whether there is a next page.
            let mut entries = self.entries(after.as_deref(), want + 1).await?;
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
        let seal = |at: String| self.key.seal(&self.owner, self.list, &at);
        let cursor = after.map_or_else(String::new, seal);
        Ok(Rows { rows, cursor })
    }

    /// The first `limit` entries after a position, over all nodes.
    pub(crate) async fn entries(
        self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let nodes = self.nodes.iter();
        let lists: Vec<_> = nodes
            .filter(|node| self.listing.is_on(node.id))
            .map(async |node| {
                let list = self.listing.read(self.store, node.id, after, limit);
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
}

/// Skips and reports an unreadable record or list, so that the others are still shown.
pub(crate) fn or_nothing<T>(read: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(error @ StoreError::Corrupt { .. }) => {
            unreadable::note_error(&error);
            Ok(None)
        }
        read => read,
    }
}
