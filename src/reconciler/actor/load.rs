//! Entities that a batch names and that must be read before it is applied.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::reconciler::feed::NodeInput;
use crate::reconciler::messages::ActorMessage;
use crate::store::room::decode_room_head;
use crate::store::{EntityId, StoreError, unreadable};
use roomkeeper_core::ids::{AppId, NodeId, RoomId};
use roomkeeper_core::intent::{Action, Intent};

use super::Actor;
use super::batch::Item;

impl Actor {
    /// Reads the entities that callers or FreeSWITCH name and that are not loaded: another replica may have created
    /// them, or they are over. Returns them.
    pub(super) async fn load_unknown(
        &mut self,
        items: &[Item],
    ) -> Result<BTreeSet<EntityId>, StoreError> {
        let mut unknown = BTreeSet::new();
        let is_unknown =
            |room: &RoomId| room.node() == self.id() && self.node_state.room(*room).is_none();
        for item in items {
            match item {
                // It is new.
                Item::Message(
                    ActorMessage::Submit { intent, .. } | ActorMessage::Check { intent, .. },
                ) if matches!(intent.action, Action::CreateRoom(_)) => {}
                Item::Message(
                    work @ (ActorMessage::Submit { .. } | ActorMessage::Check { .. }),
                ) => {
                    unknown.extend(about(work).filter(|entity| !self.knows(*entity)));
                }
                Item::Message(ActorMessage::Snapshot(part, _)) => {
                    let shown = part.snapshot.rooms.iter().map(|shown| shown.room);
                    unknown.extend(shown.filter(is_unknown).map(EntityId::Room));
                }
                Item::SwitchEvent(NodeInput::SwitchEvent(received)) => {
                    unknown.extend(self.node_state.unknown_entity(&received.event));
                }
                Item::SwitchEvent(NodeInput::Up | NodeInput::Down | NodeInput::Fence { .. })
                | Item::Message(_)
                | Item::Due(_)
                | Item::NodeLost
                | Item::RecoveryOver => {}
            }
        }
        self.refresh(&unknown).await?;
        Ok(unknown)
    }

    fn knows(&self, entity: EntityId) -> bool {
        match entity {
            EntityId::Room(id) => {
                let room = self.node_state.room(id);
                room.is_some_and(|room| room.registration().is_some())
            }
            EntityId::Call(id) => self.node_state.call(id).is_some(),
        }
    }

    /// Reads the rooms of other nodes that joins name: their owner decides between 404, 403 and 409.
    pub(super) async fn load_foreign_rooms(&mut self, items: &[Item]) -> Result<(), StoreError> {
        self.node_state.forget_foreign_rooms();
        let intents = items.iter().filter_map(|item| match item {
            Item::Message(work) => work.intent(),
            Item::SwitchEvent(_) | Item::Due(_) | Item::NodeLost | Item::RecoveryOver => None,
        });
        let rooms: BTreeSet<RoomId> = intents.flat_map(Intent::foreign_rooms).collect();
        for room in rooms {
            let owner = match self.owner_of_foreign(room).await {
                // One unreadable record of another node must not cost this node: the room is not found.
                Err(error) if !error.is_retryable() => {
                    unreadable::note_error(&error);
                    None
                }
                owner => owner?,
            };
            self.node_state.set_foreign_room(room, owner);
        }
        Ok(())
    }

    async fn owner_of_foreign(&self, room: RoomId) -> Result<Option<AppId>, StoreError> {
        let record = self.parts.store.read_head(EntityId::Room(room)).await?;
        let head = record.map(|record| decode_room_head(room, &record));
        let open = head.transpose()?.filter(|head| head.is_open());
        Ok(open.map(|head| head.registration.app))
    }

    /// Reads all entities that a batch names: a replica without the lease keeps no state between two batches.
    pub(super) async fn load_for(&mut self, items: &[Item]) -> Result<(), StoreError> {
        self.forget();
        let mut wanted = BTreeSet::new();
        for item in items {
            if let Item::Message(work) = item {
                wanted.extend(about(work));
            }
        }
        self.reload(&wanted).await?;
        self.load_foreign_rooms(items).await
    }
}

/// The entities of this node that a caller or a switch command names.
pub(super) fn about(work: &ActorMessage) -> impl Iterator<Item = EntityId> + use<> {
    let named: Option<(SmallVec<[EntityId; 3]>, NodeId)> = match work {
        ActorMessage::Submit { intent, .. } | ActorMessage::Check { intent, .. } => {
            Some((intent.entities().collect(), intent.node()))
        }
        ActorMessage::Failed { command, .. } | ActorMessage::Answered { command, .. } => {
            Some((command.target.entities().collect(), command.target.node()))
        }
        ActorMessage::Snapshot(..)
        | ActorMessage::Dumps(_)
        | ActorMessage::EndedCalls { .. }
        | ActorMessage::Checkpoints(_)
        | ActorMessage::RecordedMembers(..)
        | ActorMessage::Silent { .. }
        | ActorMessage::Resynced(_) => None,
    };
    named.into_iter().flat_map(|(entities, node)| {
        let entities = entities.into_iter();
        entities.filter(move |entity| entity.node() == node)
    })
}
