//! Positions in the lists: their form, and the start of a page.

use uuid::Uuid;

use crate::store::{EntityId, StoreError, ViewId, ViewKind, keys, packed};
use roomkeeper_core::ids::{MemberId, NodeId, RecordingId, RoomId};
use roomkeeper_core::time::Timestamp;

/// Parses a list position into its time and its UUID.
pub(super) fn parse_list_position(position: &str) -> Option<(Timestamp, Uuid)> {
    let (since, uuid) = position.split_at_checked(keys::SINCE_DIGITS)?;
    let since = Timestamp::from_millis(packed::read_padded(since)?);
    Some((since, packed::read_uuid(uuid)?))
}

/// Parses a position in a list of views; `None` also for a view of another node.
pub(super) fn parse_view_position(
    node: NodeId,
    kind: ViewKind,
    position: &str,
) -> Option<(Timestamp, ViewId)> {
    let (since, uuid) = parse_list_position(position)?;
    let view = match kind {
        ViewKind::Conference => ViewId::Conference(RoomId::new(node, uuid)),
        ViewKind::Call => ViewId::Call(MemberId::from_uuid(uuid)?),
        ViewKind::Recording => ViewId::Recording(RecordingId::from_uuid(uuid)?),
    };
    (view.node() == node).then_some((since, view))
}

/// Returns the error of a text that is not a list position.
pub(super) fn invalid_position(list: &str, position: &str) -> StoreError {
    StoreError::Corrupt {
        key: list.to_owned(),
        why: format!("{position:?} is not a position in a list"),
    }
}

/// Returns the start of a page after this position, which can be another node's, as an argument of BYLEX.
pub(super) fn page_start(
    node: NodeId,
    key: &str,
    after: Option<&str>,
) -> Result<String, StoreError> {
    let Some(position) = after else {
        return Ok("-".to_owned());
    };
    let parts = position.split_once(':').and_then(|(since, id)| {
        let since = since.parse().ok()?;
        // Ids of entities start with the node, which sorts first; ids of most views are bare UUIDs.
        let (owner, uuid) = match id.parse::<ViewId>() {
            Ok(ViewId::Conference(room)) => (room.node(), room.uuid()),
            Ok(view @ (ViewId::Call(_) | ViewId::Recording(_))) => (node, view.uuid()),
            Err(_) => {
                let entity: EntityId = id.parse().ok()?;
                (entity.node(), entity.uuid())
            }
        };
        Some((Timestamp::from_millis(since), owner, uuid))
    });
    let (since, owner, uuid) = parts.ok_or_else(|| invalid_position(key, position))?;
    Ok(match owner.cmp(&node) {
        std::cmp::Ordering::Less => format!("[{}", keys::list_position(Some(since), Uuid::nil())),
        std::cmp::Ordering::Equal => format!("({}", keys::list_position(Some(since), uuid)),
        std::cmp::Ordering::Greater => {
            format!("({}", keys::list_position(Some(since), Uuid::max()))
        }
    })
}
