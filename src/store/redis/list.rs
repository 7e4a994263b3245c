//! Reads the lists of entities and of views, a page at a time.

use super::RedisStore;
use super::entity::entity_at;
use super::list_position::{
    invalid_position, page_start, parse_list_position, parse_view_position,
};
use super::scripts::{LIST, LIST_ALL, VIEWS_LIST};
use super::values::readable;
use crate::store::contract::position_of;
use crate::store::{EntityKind, ListEntry, ListOf, StoreError, ViewEntry, ViewKind, keys};
use roomkeeper_core::ids::{AppId, NodeId};

/// The least and the most rows of a list of views that one request visits. It skips expired views, so a page can take
/// several requests, and few rows must not take many.
const LIST_BATCH: std::ops::RangeInclusive<usize> = 64..=1000;

/// The entries at these positions. Invalid ones are noted and skipped.
fn entries_at(
    node: NodeId,
    kind: EntityKind,
    list: &str,
    positions: Vec<String>,
) -> Vec<ListEntry> {
    let entries = positions.into_iter().filter_map(|position| {
        let entity = entity_at(node, kind, &position);
        let found = entity.zip(parse_list_position(&position));
        let (entity, (since, _)) =
            readable(found.ok_or_else(|| invalid_position(list, &position)))?;
        let position = position_of(since, &entity);
        Some(ListEntry { position, entity })
    });
    entries.collect()
}

/// The start behind these positions; `None` at the end of the list. A page with invalid positions needs more of them: a
/// page that is too short would be the last.
fn next_start(positions: &[String], limit: usize) -> Option<String> {
    let last = positions.last().filter(|_| positions.len() >= limit)?;
    Some(format!("({last}"))
}

impl RedisStore {
    /// Reads a page of a list of entities.
    pub(super) async fn list_entities(
        &self,
        node: NodeId,
        kind: EntityKind,
        app: &AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError> {
        let key = keys::list(node, kind, app);
        let mut from = page_start(node, &key, after)?;
        let mut entries = Vec::new();
        loop {
            let positions: Vec<String> = self
                .run(&LIST, &key, 1, |command| {
                    command.arg(&key).arg(&from).arg(limit);
                })
                .await?;
            let next = next_start(&positions, limit);
            entries.extend(entries_at(node, kind, &key, positions));
            match next {
                Some(next) if entries.len() < limit => from = next,
                _ => break,
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }

    /// Reads a page of the merged lists of all apps.
    pub(super) async fn list_entities_of_all(
        &self,
        node: NodeId,
        kind: EntityKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError> {
        let (key, prefix) = (keys::lists(node), keys::list_prefix(node, kind));
        let mut from = page_start(node, &prefix, after)?;
        let mut entries = Vec::new();
        loop {
            let mut positions: Vec<String> = self
                .run(&LIST_ALL, &key, 1, |command| {
                    command.arg(&key).arg(&prefix).arg(&from).arg(limit);
                })
                .await?;
            positions.sort_unstable();
            positions.truncate(limit);
            let next = next_start(&positions, limit);
            entries.extend(entries_at(node, kind, &prefix, positions));
            match next {
                Some(next) if entries.len() < limit => from = next,
                _ => break,
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }

    /// Reads a page of a list of views.
    pub(super) async fn list_views_of(
        &self,
        node: NodeId,
        kind: ViewKind,
        of: ListOf<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ViewEntry>, StoreError> {
        let key = keys::view_list(node, kind, of);
        // The script recognizes an expired view by its missing body, or, without bodies, by its note.
        let (bodies, notes) = match kind {
            ViewKind::Conference => {
                let name = keys::view_list_name(kind, of);
                (String::new(), keys::view_note(&name, "", ""))
            }
            ViewKind::Call | ViewKind::Recording => (keys::view_prefix(node, kind), String::new()),
        };
        let mut entries = Vec::new();
        let mut from = page_start(node, &key, after)?;
        let in_pieces = matches!(of, ListOf::App(_));
        while entries.len() < limit {
            let wanted = limit - entries.len();
            let visited = wanted.clamp(*LIST_BATCH.start(), *LIST_BATCH.end());
            let (last, positions): (String, Vec<String>) = self
                .run(&VIEWS_LIST, &key, 2, |command| {
                    command.arg(&key).arg(keys::views_over(node));
                    command.arg(&from).arg(wanted).arg(visited);
                    command.arg(&bodies).arg(&notes).arg(u8::from(in_pieces));
                })
                .await?;
            for position in positions {
                let found = parse_view_position(node, kind, &position)
                    .ok_or_else(|| invalid_position(&key, &position));
                if let Some((since, view)) = readable(found) {
                    let position = position_of(since, &view);
                    entries.push(ViewEntry { view, position });
                }
            }
            if last.is_empty() {
                break;
            }
            from = format!("({last}");
        }
        Ok(entries)
    }
}
