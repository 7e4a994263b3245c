//! Creating, changing and ending rooms.

use crate::ids::RoomId;
use crate::labels::{Labels, LabelsUpdate};
use crate::room::{Origin, Registration, RoomInput, RoomState};

use crate::intent::{
    CreateRoom, Decision, DeleteAccepted, Refusal, Requester, UpdateAccepted, UpdateRoom,
};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    pub(super) fn create_room(
        &mut self,
        by: Request,
        create: CreateRoom,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let room = by.room()?;
        let Requester::App(app) = by.requester else {
            return Err(Refusal::NoOwner);
        };
        let registration = Registration {
            app,
            name: create.name,
            origin: create.origin,
            created_at: cx.now,
            kind: create.kind,
            details: *create.details,
        };
        self.room_input(room, RoomInput::Created(registration), cx);
        if !self.reachable {
            self.room_input(room, RoomInput::Unplaced, cx);
        }
        Ok(())
    }

    /// Checks an update. The gateway API finds a room by its unique name, so a room created there keeps its name.
    pub(super) fn check_update(
        &self,
        room: RoomId,
        update: &UpdateRoom,
    ) -> Result<Decision, Refusal> {
        let registration = self.room(room).and_then(RoomState::registration);
        let registration = registration.ok_or(Refusal::RoomNotFound)?;
        let name = update.update.name.as_ref();
        if registration.origin == Origin::Gateway
            && name.is_some_and(|name| *name != registration.name)
        {
            return Err(Refusal::NameFixed);
        }
        updated_labels(&registration.details.settings.labels, &update.labels)?;
        Ok(Decision::Act)
    }

    pub(super) fn update_room(
        &mut self,
        by: Request,
        update: UpdateRoom,
        cx: &mut Context<'_>,
    ) -> Result<UpdateAccepted, Refusal> {
        let room = by.room()?;
        let UpdateRoom { mut update, labels } = update;
        let before = self.registration(room).ok_or(Refusal::RoomNotFound)?;
        update.settings.labels = updated_labels(&before.details.settings.labels, &labels)?;
        let before = before.clone();
        let input = RoomInput::Update {
            update,
            command_uid: by.command_uid,
        };
        self.room_input(room, input, cx);
        Ok(match self.registration(room) {
            Some(now) if *now != before => UpdateAccepted::Updated,
            Some(_) | None => UpdateAccepted::Unchanged,
        })
    }

    pub(super) fn delete_room(
        &mut self,
        by: &Request,
        cx: &mut Context<'_>,
    ) -> Result<DeleteAccepted, Refusal> {
        let room = by.room()?;
        let registration = self.room(room).and_then(RoomState::registration);
        let registration = registration.ok_or(Refusal::RoomNotFound)?;
        let accepted = DeleteAccepted {
            app: registration.app.clone(),
            name: registration.name.clone(),
            origin: registration.origin,
        };
        let deadline = cx.now + self.rules.timeouts.delete;
        self.room_input(room, RoomInput::Delete { deadline }, cx);
        Ok(accepted)
    }
}

/// Returns the labels after an update; `None` if it changes none.
pub(super) fn updated_labels(
    labels: &Labels,
    update: &LabelsUpdate,
) -> Result<Option<Labels>, Refusal> {
    if update.is_empty() {
        return Ok(None);
    }
    labels.updated(update).map(Some).map_err(Refusal::Labels)
}
