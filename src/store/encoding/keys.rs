//! The keys in Redis. Pure.
//!
//! One function per key, which documents its type, its writers and its lifetime. Only the store on Redis uses them.
//!
//! A key starts with the version of the layout ([`LAYOUT`]): a program with another layout increments it and can run beside
//! the old one, or find and convert its data. The part in braces determines the slot in a cluster: all keys of a node are in
//! one slot, so that one script can check a lease, change rooms and append webhook messages; all keys of an app are in
//! another, the apps themselves in a third, and the audit log in a fourth. Of a tenant's texts, keys contain only validated
//! ids and names (without `{`, `}` and `:`).

use uuid::Uuid;

use crate::store::contract::audit::AuditLogKind;
use crate::store::deliveries::DeliveryStatus;
use crate::store::packed::{UUID_DIGITS, push_padded, push_uuid};
use crate::store::{EntityId, EntityKind, ListOf, Scope, ViewId, ViewKind};
use roomkeeper_core::ids::{AppId, CommandUid, EndpointId, NodeId, RoomName};
use roomkeeper_core::time::Timestamp;

/// The version of the layout, in front of every key.
pub const LAYOUT: &str = "rk1";

/// The limit of messages that the outbox keeps behind its cursor. They are already delivered or queued. They serve readers
/// of the stream, and operators who ask what happened last. At 1 KiB a message, they are 10 MB a node.
pub const OUTBOX_KEPT: u64 = 10_000;

/// The limit of bytes that the outbox keeps behind its cursor. If one app has large messages, readers of the other apps
/// find fewer of theirs.
pub const OUTBOX_KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// String: written to check that the store accepts writes. Expires after seconds.
pub fn ping() -> String {
    format!("{LAYOUT}:ping")
}

fn node_key(node: NodeId, rest: &str) -> String {
    format!("{LAYOUT}:{{{node}}}:{rest}")
}

/// Hash `epoch`, `owner`: the owner of the node. Written with the lease; expires with it.
pub fn lease(node: NodeId) -> String {
    node_key(node, "lease")
}

/// Number: the epoch of the latest lease. Written with the lease; never expires, so that epochs only grow.
pub fn epoch(node: NodeId) -> String {
    node_key(node, "epoch")
}

/// Returns the digits of a UUID, the form of ids in keys that contain the node already.
fn digits(uuid: Uuid) -> String {
    let mut text = String::with_capacity(UUID_DIGITS);
    push_uuid(&mut text, uuid);
    text
}

/// The number of a list position's characters for its time.
pub const SINCE_DIGITS: usize = 8;

/// The position of an entity or a view in a list: its time in milliseconds, then its UUID. The digits sort like the values.
/// `None` sorts before every time.
pub fn list_position(since: Option<Timestamp>, uuid: Uuid) -> String {
    let mut text = String::with_capacity(SINCE_DIGITS + UUID_DIGITS);
    push_padded(
        &mut text,
        since.map_or(0, Timestamp::as_millis),
        SINCE_DIGITS,
    );
    push_uuid(&mut text, uuid);
    text
}

/// Hash: an entity's head. Written by commits; stays until it has ended, then for its keeping time.
///
/// A head field is under `h` and its name. The store's own fields are under `#`: `#v` the version, `#q` the last requests,
/// `#l` the [`list_position`] and the app of the list that contains it, `#e` a mark for an ended entity. Redis keeps a hash
/// of small values (64 bytes by default) in a third of the memory.
pub fn entity(entity: EntityId) -> String {
    let kind = match entity.kind() {
        EntityKind::Room => "room",
        EntityKind::Call => "call",
    };
    // Not by `format!`: every read calls it.
    let node = entity.node();
    let mut key = String::with_capacity(LAYOUT.len() + 16 + UUID_DIGITS);
    for part in [LAYOUT, ":{", node.as_str(), "}:", kind, ":"] {
        key.push_str(part);
    }
    push_uuid(&mut key, entity.uuid());
    key
}

/// Hash: an entity's parts, by name. Written by commits, lives as long as the head.
pub fn parts(of_entity: EntityId) -> String {
    entity(of_entity) + ":parts"
}

/// Set of keys of lists: those that contain the node's live entities. Written by commits; a list leaves it when it is
/// empty.
pub fn lists(node: NodeId) -> String {
    node_key(node, "lists")
}

/// Sorted set of entity ids by deadline, microseconds since the epoch (exact in a double until the year 2255). Written
/// by commits; an entity leaves it when it ends or has no deadline.
pub fn deadlines(node: NodeId) -> String {
    node_key(node, "deadlines")
}

/// A list in pieces (`scripts/rope.lua`) of [`list_position`]s: an app's live entities of one kind. Written by commits; an
/// entity leaves it when it ends. An entity without an app is on the list of the empty app.
pub fn list(node: NodeId, kind: EntityKind, app: &AppId) -> String {
    list_prefix(node, kind) + app.as_str()
}

/// The prefix before the app in the key of its list.
pub fn list_prefix(node: NodeId, kind: EntityKind) -> String {
    let kind = match kind {
        EntityKind::Room => "rooms",
        EntityKind::Call => "sessions",
    };
    node_key(node, &format!("list:{kind}:"))
}

/// The prefix before the digits of a view's UUID in the key of its body.
pub fn view_prefix(node: NodeId, kind: ViewKind) -> String {
    let kind = match kind {
        ViewKind::Conference => "conference:",
        ViewKind::Call => "stay:",
        ViewKind::Recording => "recording:",
    };
    node_key(node, kind)
}

/// String: a view's body. Written by commits; stays while its subject lives, then for its keeping time. Conferences have
/// none.
pub fn view(view: ViewId) -> String {
    view_prefix(view.node(), view.kind()) + &digits(view.uuid())
}

/// The name of a list of views within its node.
pub fn view_list_name(kind: ViewKind, of: ListOf<'_>) -> String {
    let kind = match kind {
        ViewKind::Conference => "conferences",
        ViewKind::Call => "calls",
        ViewKind::Recording => "recordings",
    };
    match of {
        ListOf::App(app) => format!("{kind}:app:{app}"),
        // The node is in the key.
        ListOf::Room(room) => format!("{kind}:room:{}", digits(room.uuid())),
    }
}

/// The prefix before a list's name in its key.
pub fn view_list_prefix(node: NodeId) -> String {
    node_key(node, "views:")
}

/// The [`list_position`]s of an app's or a room's views of one kind. An app's is a list in pieces (`scripts/rope.lua`); a
/// room's, which is short, a sorted set in which all scores are 0, so the texts give the order.
/// Written by commits. Some time after its keeping time, a commit or a reader of the list removes a view.
pub fn view_list(node: NodeId, kind: ViewKind, of: ListOf<'_>) -> String {
    view_list_prefix(node) + &view_list_name(kind, of)
}

/// Sorted set of notes by the end of their view's keeping time, in milliseconds of the store's clock. Written by commits:
/// by the one that ends a view, and by any later one that ends another view and finds the keeping time over.
pub fn views_over(node: NodeId) -> String {
    node_key(node, "views-over")
}

/// Returns the note of an ended view: its lists and its positions in them.
pub fn view_note(app_list: &str, room_list: &str, list_position: &str) -> String {
    format!("{app_list}|{room_list}|{list_position}")
}

/// Stream of messages, with ids `0-1`, `0-2`, … without a gap, so that differences of ids are counts. Appended to by
/// commits. Trimmed by the fan-out: never after the cursor, and to [`OUTBOX_KEPT`] before it. A value that is no such
/// stream is set aside for a day under `outbox:aside` (`outbox.lua`).
pub fn outbox(node: NodeId) -> String {
    node_key(node, "outbox")
}

/// Number: the position of the newest message that the outbox ever had. Written by commits; stays, so that positions
/// continue after the outbox is deleted, and the missing messages can be counted.
pub fn outbox_last(node: NodeId) -> String {
    node_key(node, "outbox:last")
}

/// Channel: live events of a node ([`publish_live`](crate::store::live::Live::publish_live)). Channels ignore databases, so
/// `db` separates the databases of a server.
pub fn live_channel(node: NodeId, db: i64) -> String {
    node_key(node, &format!("said:{db}"))
}

/// Number: the count of the outbox's messages that are in the delivery queues. Written by the fan-out; stays.
pub fn cursor(node: NodeId) -> String {
    node_key(node, "cursor")
}

/// The name of the queue of an endpoint and a scope within its node.
pub fn queue_name(endpoint: &EndpointId, scope: Scope) -> String {
    format!("{endpoint}:{scope}")
}

/// Returns the name of the queue of one parked message.
pub fn parked_name(queue: &str, message: &str) -> String {
    format!("{queue}#{message}")
}

/// The prefix before a queue's name in the key of its list.
pub fn queue_prefix(node: NodeId) -> String {
    node_key(node, "queue:")
}

/// List of ids of deliveries, the next one first. Appended to by the fan-out; finish removes entries. Exists while it is
/// not empty.
pub fn queue(node: NodeId, name: &str) -> String {
    queue_prefix(node) + name
}

/// The prefix of all keys of a node, for scripts that build the keys of queues and logs.
pub fn node_prefix(node: NodeId) -> String {
    node_key(node, "")
}

/// Hash: a delivery. `m` the message, `s` its status, `p` its position in the log, `q` the name of its queue, `n` the
/// number of attempts, `a0`, `a1`, … the last attempts, by `n` modulo their limit. Written by fan-out and finish; stays
/// while it is pending or dead, then for [`DELIVERED_KEPT`](crate::store::deliveries::DELIVERED_KEPT).
pub fn delivery(node: NodeId, endpoint: &EndpointId, id: &str) -> String {
    node_key(node, &format!("delivery:{endpoint}:{id}"))
}

/// Sorted set of positions, all scores 0, so the texts give the order: the log of an endpoint by status. Written with the
/// deliveries, bounded by number.
pub fn log(node: NodeId, endpoint: &EndpointId, status: DeliveryStatus) -> String {
    node_key(node, &format!("log:{status}:{endpoint}"))
}

/// Hash of numbers: `<endpoint>:ok` the time of an endpoint's last success, `<endpoint>:bad` the start of its failures
/// (milliseconds of the store's clock), `<endpoint>:lost` the messages that could not be queued for it, and `lost` the
/// messages that did not fit into the outbox; `outbox:missing`, `outbox:unreadable` and `outbox:at`, the damage of the
/// outbox and when it was found. Written by fan-out, finish and commit; stays.
pub fn health(node: NodeId) -> String {
    node_key(node, "health")
}

/// Sorted set of `<app>:<endpoint>` by when the first queue of the endpoint is due, in milliseconds of the store's clock.
/// Written with [`due_queues`]; an endpoint leaves it when it has no queue left.
pub fn due(node: NodeId) -> String {
    node_key(node, "due")
}

/// Sorted set of the names of an endpoint's queues that are not empty, by when their head may be claimed, in milliseconds
/// of the store's clock. Written by fan-out, claim and finish; a queue leaves it when it is empty.
pub fn due_queues(node: NodeId, endpoint: &EndpointId) -> String {
    node_key(node, &format!("due:{endpoint}"))
}

/// Sorted set of the names of all queues, which earlier versions had instead of [`due`]. A claim (`claim.lua`) moves its
/// entries.
pub fn ready(node: NodeId) -> String {
    node_key(node, "ready")
}

/// Hash, name of a queue to the token of the claim on its head. Written by claim and finish.
pub fn claims(node: NodeId) -> String {
    node_key(node, "claims")
}

/// Hash, name of a queue to the number of failures of its head. Written by finish; missing for none.
pub fn failed(node: NodeId) -> String {
    node_key(node, "failed")
}

/// String: the holder of the cooldown of a group of commands to a room or a call. Written by its holder; expires with the
/// window, or is given back. The group is a word of ours, not a tenant's text.
pub fn cooldown(about: EntityId, group: &str) -> String {
    node_key(about.node(), &format!("cooldown:{group}:{about}"))
}

/// Hash `fingerprint`, `token`, and once it is answered `status`, `body`: a command with an idempotency key. Written by the
/// request that carries it out; expires when that request must long have ended, or some time after its answer.
pub fn command(about: EntityId, uid: &CommandUid) -> String {
    node_key(about.node(), &format!("command:{about}:{uid}"))
}

/// Hash: the status of a node. `draining` while no new room is placed there and `resyncs`, the number of requested snapshots,
/// are written by the operator's commands; `standing` and `report` by its owner. Never expires.
pub fn node_status(node: NodeId) -> String {
    node_key(node, "board")
}

/// Hash: the bytes of live entities and views, by app; `#w` the number of changes, `#t` the bytes of all messages ever.
/// Written by commits; stays.
pub fn live_bytes(node: NodeId) -> String {
    node_key(node, "bytes")
}

/// Hash, `<second at which it expires>:<app>` to the bytes of ended views in their keeping time. Written by commits; an
/// entry leaves when the hash is read later than that second.
pub fn ended_bytes(node: NodeId) -> String {
    node_key(node, "bytes-ended")
}

/// Hash, app to the bytes of its messages behind the cursor. Written by commits and the fan-out; exists while there are
/// any.
pub fn outbox_bytes(node: NodeId) -> String {
    node_key(node, "bytes-outbox")
}

/// Hash, endpoint to the bytes of its pending and dead deliveries. Written with the deliveries.
pub fn delivery_bytes(node: NodeId) -> String {
    node_key(node, "bytes-deliveries")
}

/// Hash, endpoint to the bytes of its delivered messages that are kept. Written with the deliveries.
pub fn history_bytes(node: NodeId) -> String {
    node_key(node, "bytes-history")
}

/// Hash, key to its error: keys of another type that scripts found. Written by scripts; expires ten minutes after the last
/// entry.
pub fn unreadable(node: NodeId) -> String {
    node_key(node, "unreadable")
}

/// Number: the time at which the app's bucket of requests is full, in microseconds of the store's clock. Written with each
/// request that takes tokens; expires when the bucket is full, so a missing bucket is a full one.
pub fn tokens(app: &AppId) -> String {
    format!("{LAYOUT}:{{app:{app}}}:tokens")
}

/// Sorted set, by the time of the request: the app's dial-outs that count towards its limit, `<room_id> <id>`. Written with
/// each request to dial; entries of ended dial-outs are removed when the limit is reached.
pub fn dial_slots(app: &AppId) -> String {
    format!("{LAYOUT}:{{app:{app}}}:dials")
}

/// Hash `room`, and while it is only reserved `until`, milliseconds of the store's clock: the room that has a name. Written
/// when the room is made. Stays until it is freed, also after the reservation has expired: only a check of the room can
/// show that the name is free.
pub fn name(app: &AppId, name: &RoomName) -> String {
    format!("{LAYOUT}:{{app:{app}}}:name:{name}")
}

/// Hash, app id to record ([`AppRecord`](super::apps::AppRecord)): the apps made at run time. Written by the operator's
/// commands; stays.
pub fn apps() -> String {
    format!("{LAYOUT}:{{apps}}:records")
}

/// Hash, endpoint to record ([`EndpointRecord`](super::endpoints::EndpointRecord)): the endpoints that apps made, and
/// additions to configured ones. Written by apps and operators, and when an endpoint is found to be gone.
pub fn endpoints() -> String {
    format!("{LAYOUT}:{{apps}}:endpoints")
}

/// Sorted set in which all scores are 0, so the texts give the order: an audit log. Written in batches after the requests;
/// bounded by number and age; expires with its newest entry.
pub fn audit(log: AuditLogKind) -> String {
    let log = match log {
        AuditLogKind::Operator => "operator",
        AuditLogKind::Apps => "apps",
    };
    format!("{LAYOUT}:{{audit}}:{log}")
}

/// Number: the count of writes to records of apps and endpoints. Written with them; stays, so that it only grows.
pub fn apps_version() -> String {
    format!("{LAYOUT}:{{apps}}:version")
}

#[cfg(test)]
mod tests {
    use super::*;
    use roomkeeper_core::ids::{MemberId, RecordingId, RoomId};
    use uuid::Uuid;

    #[test]
    fn keys_of_node_and_of_app_have_one_slot_each() {
        let node: NodeId = "acW68".parse().unwrap();
        let app: AppId = "acme".parse().unwrap();
        let endpoint: EndpointId = "ep_1".parse().unwrap();
        let room_id: RoomId = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
            .parse()
            .unwrap();
        let room = EntityId::Room(room_id);
        let call: EntityId = "acW68-550e8400-e29b-41d4-a716-446655440000"
            .parse()
            .unwrap();
        for key in [
            lease(node),
            epoch(node),
            entity(room),
            parts(room),
            lists(node),
            list_prefix(node, EntityKind::Room),
            deadlines(node),
            list(node, EntityKind::Room, &app),
            view(ViewId::Call(MemberId::generate(node, Uuid::max()))),
            view_list(node, ViewKind::Call, ListOf::App(&app)),
            view_list(node, ViewKind::Call, ListOf::Room(room_id)),
            views_over(node),
            outbox(node),
            outbox_last(node),
            cursor(node),
            live_channel(node, 0),
            queue(node, "q"),
            due(node),
            due_queues(node, &endpoint),
            ready(node),
            claims(node),
            failed(node),
            delivery(node, &endpoint, "msg_1"),
            log(node, &endpoint, DeliveryStatus::Dead),
            health(node),
            node_status(node),
            live_bytes(node),
            ended_bytes(node),
            outbox_bytes(node),
            delivery_bytes(node),
            history_bytes(node),
            unreadable(node),
            node_prefix(node),
            cooldown(room, "conference"),
            command(call, &"u.1".parse().unwrap()),
        ] {
            assert!(key.starts_with("rk1:{acW68}:"), "{key}");
        }
        let key = name(&app, &"standup".parse().unwrap());
        assert_eq!(key, "rk1:{app:acme}:name:standup");
        assert_eq!(tokens(&app), "rk1:{app:acme}:tokens");
        assert_eq!(dial_slots(&app), "rk1:{app:acme}:dials");
        // Neither a node's nor an app's: a node's id has five characters, and an app's slot has a prefix.
        for key in [apps(), apps_version(), endpoints()] {
            assert!(key.starts_with("rk1:{apps}:"), "{key}");
        }
        for log in [AuditLogKind::Operator, AuditLogKind::Apps] {
            assert!(audit(log).starts_with("rk1:{audit}:"));
        }
    }

    #[test]
    fn keys_are_unique() {
        let node: NodeId = "acW68".parse().unwrap();
        let app: AppId = "acme".parse().unwrap();
        assert_ne!(
            list(node, EntityKind::Room, &app),
            list(node, EntityKind::Call, &app)
        );
        let endpoint: EndpointId = "ep_1".parse().unwrap();
        let scope: Scope = "acW68-550e8400-e29b-41d4-a716-446655440000"
            .parse()
            .unwrap();
        assert_eq!(
            queue(node, &queue_name(&endpoint, scope)),
            format!("rk1:{{acW68}}:queue:ep_1:{scope}")
        );
    }

    #[test]
    fn views_and_their_lists_have_distinct_keys() {
        let node: NodeId = "acW68".parse().unwrap();
        let random = Uuid::from_u128(1 << 32);
        let room = RoomId::generate(node, random);
        // An app's id can equal the digits of a room's id.
        let app: AppId = digits(room.uuid()).parse().unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for kind in [ViewKind::Conference, ViewKind::Call, ViewKind::Recording] {
            for of in [ListOf::App(&app), ListOf::Room(room)] {
                keys.insert(view_list(node, kind, of));
            }
        }
        for id in [
            ViewId::Conference(room),
            ViewId::Call(MemberId::generate(node, random)),
            ViewId::Recording(RecordingId::generate(node, random)),
        ] {
            assert!(view(id).ends_with(&format!(":{}", digits(id.uuid()))));
            keys.insert(view(id));
        }
        assert_eq!(keys.len(), 9, "{keys:?}");
        let list = view_list(node, ViewKind::Call, ListOf::App(&app));
        assert_eq!(list, format!("rk1:{{acW68}}:views:calls:app:{app}"));
    }

    #[test]
    fn view_note_splits_at_its_bars() {
        let app: AppId = "a_-Z9".parse().unwrap();
        let list = view_list_name(ViewKind::Conference, ListOf::App(&app));
        let note = view_note(&list, "", "00000000000001:x");
        let parts: Vec<_> = note.split('|').collect();
        assert_eq!(parts, ["conferences:app:a_-Z9", "", "00000000000001:x"]);
    }
}
