//! Views of memberships and recordings, written together with their room.

use crate::store::view::{encode_call, encode_recording};
use crate::store::{Listing, ViewId, ViewWrite};
use roomkeeper_core::room::state::Changes;
use roomkeeper_core::room::{MembershipStatus, RoomState, RoomStatus};
use roomkeeper_core::time::Timestamp;

use crate::reconciler::settings::Settings;

/// The views that result from these changes of a room.
pub(super) fn room_views(
    room: &RoomState,
    changes: &Changes,
    created: bool,
    settings: &Settings,
    now: Timestamp,
) -> Vec<ViewWrite> {
    let Some(registration) = room.registration() else {
        return Vec::new();
    };
    let view = |view, created_at, body, keep| ViewWrite {
        view,
        body,
        listing: Listing {
            app: registration.app.clone(),
            created_at,
        },
        room: room.id(),
        keep,
    };
    let mut views = Vec::new();
    let over = room.status() == RoomStatus::Terminated;
    if created || over {
        let keep = over.then_some(settings.keep_ended_rooms);
        let id = ViewId::Conference(room.id());
        views.push(view(id, registration.created_at, String::new(), keep));
    }
    for (id, change) in &changes.calls {
        let body = encode_call(&registration.app, room.id(), change, now);
        let keep = (change.status == MembershipStatus::Left).then_some(settings.keep_ended_rooms);
        views.push(view(ViewId::Call(*id), change.since, body, keep));
    }
    for (id, recording) in &changes.recordings {
        let body = encode_recording(&registration.app, room.id(), recording, now);
        let keep = recording
            .state
            .is_over()
            .then_some(settings.keep_recordings);
        views.push(view(
            ViewId::Recording(*id),
            recording.created_at,
            body,
            keep,
        ));
    }
    views
}
