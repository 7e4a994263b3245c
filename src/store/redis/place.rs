//! Positions in the lists: of an entity or a view, and of the start of a page.

use uuid::Uuid;

use crate::store::{EntityId, StoreError, ViewId, ViewKind, keys, packed};
use roomkeeper_core::ids::{MemberId, NodeId, RecordingId, RoomId};
use roomkeeper_core::time::Timestamp;

pub(super) fn since_and_uuid(place: &str) -> Option<(Timestamp, Uuid)> {
    let (since, uuid) = place.split_at_checked(keys::SINCE_DIGITS)?;
    let since = Timestamp::from_millis(packed::read_padded(since)?);
    Some((since, packed::read_uuid(uuid)?))
}

pub(super) fn view_at(node: NodeId, kind: ViewKind, place: &str) -> Option<(Timestamp, ViewId)> {
    let (since, uuid) = since_and_uuid(place)?;
    let view = match kind {
        ViewKind::Conference => ViewId::Conference(RoomId::new(node, uuid)),
        ViewKind::Call => ViewId::Call(MemberId::from_uuid(uuid)?),
        ViewKind::Recording => ViewId::Recording(RecordingId::from_uuid(uuid)?),
    };
    (view.node() == node).then_some((since, view))
}

pub(super) fn no_place(list: &str, place: &str) -> StoreError {
    StoreError::Corrupt {
        key: list.to_owned(),
        why: format!("{place:?} is not a position in a list"),
    }
}

/// The start of a page after this position, which can be another node's, as an argument of BYLEX.
pub(super) fn beyond(node: NodeId, key: &str, after: Option<&str>) -> Result<String, StoreError> {
    let Some(position) = after else {
        return Ok("-".to_owned());
    };
    let parts = position.split_once(':').and_then(|(since, id)| {
        let since = since.parse().ok()?;
        // Ids of entities start with the node, which sorts first; ids of most views are bare UUIDs.
        let (of, uuid) = match id.parse::<ViewId>() {
            Ok(ViewId::Conference(room)) => (room.node(), room.uuid()),
            Ok(view @ (ViewId::Call(_) | ViewId::Recording(_))) => (node, view.uuid()),
            Err(_) => {
                let entity: EntityId = id.parse().ok()?;
                (entity.node(), entity.uuid())
            }
        };
        Some((Timestamp::from_millis(since), of, uuid))
    });
    let (since, of, uuid) = parts.ok_or_else(|| no_place(key, position))?;
    Ok(match of.cmp(&node) {
        std::cmp::Ordering::Less => format!("[{}", keys::place(Some(since), Uuid::nil())),
        std::cmp::Ordering::Equal => format!("({}", keys::place(Some(since), uuid)),
        std::cmp::Ordering::Greater => format!("({}", keys::place(Some(since), Uuid::max())),
    })
}
