//! The keys and arguments of a commit.

use redis::Cmd;
use uuid::Uuid;

use super::values::{head_field, millis};
use crate::store::deliveries::QueueLimits;
use crate::store::{Commit, Life, REMEMBERED_REQUESTS, ViewId, ViewWrite, keys, packed};

/// The limit of expired views that a commit removes from the lists, in addition to the number of views that it ends. So a
/// backlog shrinks step by step.
const EXTRA_EXPIRED: usize = 64;

/// Adds a commit's keys and arguments, as `commit.lua` lists them.
pub(super) fn fill_commit(commit: &Commit, limits: QueueLimits, command: &mut Cmd) {
    let node = commit.node;
    command
        .arg(keys::lease(node))
        .arg(keys::lists(node))
        .arg(keys::deadlines(node))
        .arg(keys::outbox(node))
        .arg(keys::views_over(node))
        .arg(keys::cursor(node))
        .arg(keys::health(node));
    for write in &commit.entities {
        command
            .arg(keys::entity(write.entity))
            .arg(keys::parts(write.entity));
    }
    command.arg(request_note(commit.request));
    match commit.lease {
        Some(lease) => command.arg(lease.epoch).arg(lease.owner.to_string()),
        None => command.arg("").arg(""),
    };
    command
        .arg(commit.entities.len())
        .arg(commit.outbox.len())
        .arg(REMEMBERED_REQUESTS * REQUEST_DIGITS)
        .arg(commit.views.len())
        .arg(keys::view_list_prefix(node))
        .arg(EXTRA_EXPIRED)
        .arg(limits.pending);
    for write in &commit.entities {
        let removed = write.parts.iter().filter(|(_, v)| v.is_none()).count();
        command.arg(write.entity.to_string()).arg(write.expected.0);
        match write.deadline {
            Some(deadline) => command.arg(deadline.as_micros()),
            None => command.arg(""),
        };
        match write.life {
            Life::Live => command.arg(""),
            Life::Ended { keep } => command.arg(millis(keep)),
        };
        let (app, since) = match &write.listed {
            Some(listing) => (listing.app.as_str(), Some(listing.created_at)),
            None => ("", None),
        };
        command
            .arg(keys::list_prefix(node, write.entity.kind()))
            .arg(app)
            .arg(keys::list_position(since, write.entity.uuid()));
        command
            .arg(write.head.len())
            .arg(write.parts.len() - removed)
            .arg(removed);
        for (field, value) in &write.head {
            command.arg(head_field(field)).arg(value);
        }
        for (part, value) in &write.parts {
            if let Some(value) = value {
                command.arg(part).arg(value);
            }
        }
        for (part, value) in &write.parts {
            if value.is_none() {
                command.arg(part);
            }
        }
    }
    for message in &commit.outbox {
        command
            .arg(&message.id)
            .arg(message.app.as_str())
            .arg(message.scope.to_string())
            .arg(message.sequence)
            .arg(&message.event)
            .arg(&message.body);
    }
    for write in &commit.views {
        fill_view(write, command);
    }
}

fn fill_view(write: &ViewWrite, command: &mut Cmd) {
    let kind = write.view.kind();
    match write.view {
        ViewId::Conference(_) => command.arg("").arg(""),
        ViewId::Call(_) | ViewId::Recording(_) => {
            command.arg(keys::view(write.view)).arg(&write.body)
        }
    };
    match write.keep {
        Some(keep) => command.arg(millis(keep).max(1)),
        None => command.arg(""),
    };
    let (of_app, of_room) = write.lists();
    let of_app = keys::view_list_name(kind, of_app);
    let of_room = of_room.map_or_else(String::new, |of| keys::view_list_name(kind, of));
    let position = keys::list_position(Some(write.listing.created_at), write.view.uuid());
    let note = keys::view_note(&of_app, &of_room, &position);
    command.arg(of_app).arg(of_room).arg(position).arg(note);
}

/// The digits of a request's id that are stored: 72 bits, enough to distinguish the requests of one entity, and few enough
/// that Redis stores all of them as a small value.
const REQUEST_DIGITS: usize = 12;

fn request_note(request: Uuid) -> String {
    let mut text = String::new();
    packed::push_uuid(&mut text, request);
    // The random part of an id comes last.
    text.split_off(packed::UUID_DIGITS - REQUEST_DIGITS)
}
