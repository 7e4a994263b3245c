//! Reads the lists of entities and of views, a page at a time.

use super::RedisStore;
use super::entity::entity_at;
use super::place::{beyond, no_place, since_and_uuid, view_at};
use super::scripts::{LIST, VIEWS_LIST};
use super::values::readable;
use crate::store::contract::position_of;
use crate::store::{EntityKind, ListEntry, ListOf, StoreError, ViewEntry, ViewKind, keys};
use roomkeeper_core::ids::{AppId, NodeId};

/// How many rows of a list of views are looked at in one go, at least and at most. Those that are over are passed over,
/// so it can take several, and few rows must not take many.
const LIST_BATCH: std::ops::RangeInclusive<usize> = 64..=1000;

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
        let from = beyond(node, &key, after)?;
        let places: Vec<String> = self
            .run(&LIST, &key, 1, |command| {
                command.arg(&key).arg(&from).arg(limit);
            })
            .await?;
        let entries = places.into_iter().filter_map(|place| {
            let entity = entity_at(node, kind, &place);
            let found = entity.zip(since_and_uuid(&place));
            let (entity, (since, _)) = readable(found.ok_or_else(|| no_place(&key, &place)))?;
            let position = position_of(since, &entity);
            Some(ListEntry { entity, position })
        });
        Ok(entries.collect())
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
        // How the script tells what is over: by the body that is gone, or, where there is none, by the note.
        let (bodies, notes) = match kind {
            ViewKind::Conference => {
                let name = keys::view_list_name(kind, of);
                (String::new(), keys::view_note(&name, "", ""))
            }
            ViewKind::Call | ViewKind::Recording => (keys::view_prefix(node, kind), String::new()),
        };
        let mut entries = Vec::new();
        let mut from = beyond(node, &key, after)?;
        let in_pieces = matches!(of, ListOf::App(_));
        while entries.len() < limit {
            let wanted = limit - entries.len();
            let look_at = wanted.clamp(*LIST_BATCH.start(), *LIST_BATCH.end());
            let (last, places): (String, Vec<String>) = self
                .run(&VIEWS_LIST, &key, 2, |command| {
                    command.arg(&key).arg(keys::views_over(node));
                    command.arg(&from).arg(wanted).arg(look_at);
                    command.arg(&bodies).arg(&notes).arg(u8::from(in_pieces));
                })
                .await?;
            for place in places {
                let found = view_at(node, kind, &place).ok_or_else(|| no_place(&key, &place));
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
