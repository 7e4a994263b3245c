//! The keys in Redis. Pure.
//!
//! One function per key, which documents its type, its writers and its lifetime. Only the store on Redis uses them.
//!
//! A key starts with the version of the layout ([`LAYOUT`]): a program with another layout increments it and can run beside
//! the old one, or find and convert its data. The part in braces determines the slot in a cluster: all keys of a node are in
//! one slot, so that one script can check a lease, change rooms and append webhook messages; all keys of an app are in
//! another, and the apps themselves in a third. Of a tenant's texts, keys contain only validated ids and names (without `{`,
//! `}` and `:`).

use uuid::Uuid;

use crate::store::deliveries::DeliveryStatus;
use crate::store::packed::{UUID_DIGITS, push_padded, push_uuid};
use crate::store::{EntityId, EntityKind, ListOf, Scope, ViewId, ViewKind};
use roomkeeper_core::ids::{AppId, CommandUid, EndpointId, NodeId, RoomName};
use roomkeeper_core::time::Timestamp;

/// The version of the layout, in front of every key.
pub const LAYOUT: &str = "rk1";

/// Messages that the outbox keeps behind its cursor. They are delivered or queued elsewhere; what stays is for
/// those who read the stream itself, and for the operator's question of what happened last. At 1 KiB a message this
/// many are 10 MB a node.
pub const OUTBOX_KEPT: u64 = 10_000;

/// How many bytes of messages the outbox keeps behind its cursor, whatever their number. What comes for one app may be large;
/// that the other nodes' and apps' readers find fewer messages then is what it costs.
pub const OUTBOX_KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// String: what is written to see whether the store can be written to. Expires after seconds.
pub fn ping() -> String {
    format!("{LAYOUT}:ping")
}

fn of_node(node: NodeId, rest: &str) -> String {
    format!("{LAYOUT}:{{{node}}}:{rest}")
}

/// Hash `epoch`, `owner`: the owner of the node. Written with the lease; expires with it.
pub fn lease(node: NodeId) -> String {
    of_node(node, "lease")
}

/// Number: the epoch of the latest lease. Written with the lease; never expires, so that epochs only grow.
pub fn epoch(node: NodeId) -> String {
    of_node(node, "epoch")
}

/// The digits of a UUID, as ids are written in keys where the node is there already.
fn digits(uuid: Uuid) -> String {
    let mut text = String::with_capacity(UUID_DIGITS);
    push_uuid(&mut text, uuid);
    text
}

/// How many of a position's characters say since when.
pub const SINCE_DIGITS: usize = 8;

/// Where an entity or a view is in a list: since when, in milliseconds, then its UUID, each in digits that are ordered like
/// what they stand for. With or without one of both, because `None` is before all that has some.
pub fn place(since: Option<Timestamp>, uuid: Uuid) -> String {
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
/// A head field is under `h` and its name; what the store itself notes is under `#`: `#v` the version, `#q` the last
/// requests, `#l` since when it is on the list that shows it, as in [`place`], and whose app's that list is, `#e` that it
/// has ended. Redis keeps a hash of small values (64 bytes, unless configured) in a third of the room.
pub fn entity(entity: EntityId) -> String {
    let kind = match entity.kind() {
        EntityKind::Room => "room",
        EntityKind::Call => "call",
    };
    // Put together by hand: it is asked for with each read.
    let node = entity.node();
    let mut key = String::with_capacity(LAYOUT.len() + 16 + UUID_DIGITS);
    for part in [LAYOUT, ":{", node.as_str(), "}:", kind, ":"] {
        key.push_str(part);
    }
    push_uuid(&mut key, entity.uuid());
    key
}

/// Hash: an entity's parts, by name. Written by commits, lives as long as the head.
pub fn parts(of: EntityId) -> String {
    entity(of) + ":parts"
}

/// Set of keys of lists: those that the node's live entities are on. Written by commits; a list leaves it when it is empty.
pub fn lists(node: NodeId) -> String {
    of_node(node, "lists")
}

/// Sorted set of entity ids by deadline, microseconds since the epoch (exact in a double until the year 2255). Written
/// by commits; an entity leaves it when it ends or has no deadline.
pub fn deadlines(node: NodeId) -> String {
    of_node(node, "deadlines")
}

/// A list in pieces (`scripts/rope.lua`) of [`place`]s: an app's live entities of one kind. Written by commits; an entity
/// leaves it when it ends. One that was made without an app is on the list of none.
pub fn list(node: NodeId, kind: EntityKind, app: &AppId) -> String {
    list_prefix(node, kind) + app.as_str()
}

/// The prefix before the app in the key of its list.
pub fn list_prefix(node: NodeId, kind: EntityKind) -> String {
    let kind = match kind {
        EntityKind::Room => "rooms",
        EntityKind::Call => "sessions",
    };
    of_node(node, &format!("list:{kind}:"))
}

/// The prefix before the digits of a view's UUID in the key of its body.
pub fn view_prefix(node: NodeId, kind: ViewKind) -> String {
    let kind = match kind {
        ViewKind::Conference => "conference:",
        ViewKind::Call => "stay:",
        ViewKind::Recording => "recording:",
    };
    of_node(node, kind)
}

/// String: a view's body. Written by commits; stays while it lives, then for its keeping time. Conferences have none.
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
    of_node(node, "views:")
}

/// Of [`place`]s: an app's or a room's views of one kind. An app's is a list in pieces (`scripts/rope.lua`); a room's, which
/// is short, a sorted set, all scores 0 and so in the order of the texts.
/// Written by commits; a view leaves it some time after its keeping time is over, by a commit or by whoever comes upon it.
pub fn view_list(node: NodeId, kind: ViewKind, of: ListOf<'_>) -> String {
    view_list_prefix(node) + &view_list_name(kind, of)
}

/// Sorted set of notes by when the keeping time of the view they tell of is over, in milliseconds of the store's clock.
/// Written by commits: by the one that ends a view, and again by any later one that ends another and finds it over.
pub fn views_over(node: NodeId) -> String {
    of_node(node, "views-over")
}

/// The note of an ended view: its lists and its positions in them.
pub fn view_note(app_list: &str, room_list: &str, place: &str) -> String {
    format!("{app_list}|{room_list}|{place}")
}

/// Stream of messages, with ids `0-1`, `0-2`, … without a gap, so that differences of ids are counts. Appended to by
/// commits, trimmed by the fan-out: never what is after the cursor, and to [`OUTBOX_KEPT`] before it. What is no such
/// stream is set aside for a day under `outbox:aside` (`outbox.lua`).
pub fn outbox(node: NodeId) -> String {
    of_node(node, "outbox")
}

/// Number: the position of the newest message that the outbox ever had. Written by commits; stays, so that positions go on
/// when the outbox is deleted, and what is missing then can be counted.
pub fn outbox_last(node: NodeId) -> String {
    of_node(node, "outbox:last")
}

/// Channel: live events of a node ([`publish_live`](crate::store::live::Live::publish_live)). Channels ignore databases, so
/// `db` separates the databases of a server.
pub fn said(node: NodeId, db: i64) -> String {
    of_node(node, &format!("said:{db}"))
}

/// Number: how many of the outbox's messages have been handed to the delivery queues. Written by the fan-out; stays.
pub fn cursor(node: NodeId) -> String {
    of_node(node, "cursor")
}

/// The name of the queue of an endpoint and a scope within its node.
pub fn queue_name(endpoint: &EndpointId, scope: Scope) -> String {
    format!("{endpoint}:{scope}")
}

/// The name of the queue that one message is parked on.
pub fn parked_name(queue: &str, message: &str) -> String {
    format!("{queue}#{message}")
}

/// The prefix before a queue's name in the key of its list.
pub fn queue_prefix(node: NodeId) -> String {
    of_node(node, "queue:")
}

/// List of ids of deliveries, the next one first. Appended to by the fan-out, taken from when one is finished; there
/// while it is not empty.
pub fn queue(node: NodeId, name: &str) -> String {
    queue_prefix(node) + name
}

/// The prefix of all keys of a node, for scripts that build the keys of queues and logs.
pub fn node_prefix(node: NodeId) -> String {
    of_node(node, "")
}

/// Hash: a delivery. `m` the message, `s` its status, `p` its position in the log, `q` the name of its queue, `n` how
/// often it was tried, `a0`, `a1`, … the last attempts, by `n` modulo how many are kept. Written by fan-out and finish;
/// stays while it is pending or dead, then for [`DELIVERED_KEPT`](crate::store::deliveries::DELIVERED_KEPT).
pub fn delivery(node: NodeId, endpoint: &EndpointId, id: &str) -> String {
    of_node(node, &format!("delivery:{endpoint}:{id}"))
}

/// Sorted set, all scores 0 and so in the order of the texts, of positions: the log of a receiver by status. Written
/// with the deliveries, bounded by number.
pub fn log(node: NodeId, endpoint: &EndpointId, status: DeliveryStatus) -> String {
    of_node(node, &format!("log:{status}:{endpoint}"))
}

/// Hash of numbers: `<endpoint>:ok` when a receiver last took something, `<endpoint>:bad` since when it has been failing
/// (milliseconds of the store's clock), `<endpoint>:lost` how many messages could not be queued for it, and `lost` how
/// many the outbox had no room for; `outbox:missing`, `outbox:unreadable` and `outbox:at`, what was found of the outbox and
/// when. Written by fan-out, finish and commit; stays.
pub fn health(node: NodeId) -> String {
    of_node(node, "health")
}

/// Sorted set of `<app>:<endpoint>` by when the first queue of the endpoint is due, in milliseconds of the store's clock.
/// Written with [`due_queues`]; an endpoint leaves it when it has no queue left.
pub fn due(node: NodeId) -> String {
    of_node(node, "due")
}

/// Sorted set of the names of an endpoint's queues that are not empty, by when their head may be claimed, in milliseconds
/// of the store's clock. Written by fan-out, claim and finish; a queue leaves it when it is empty.
pub fn due_queues(node: NodeId, endpoint: &EndpointId) -> String {
    of_node(node, &format!("due:{endpoint}"))
}

/// Sorted set of the names of all queues, as earlier versions had it instead of [`due`]. A claim (`claim.lua`) moves what it
/// finds here.
pub fn ready(node: NodeId) -> String {
    of_node(node, "ready")
}

/// Hash, name of a queue to the token of the claim on its head. Written by claim and finish.
pub fn claims(node: NodeId) -> String {
    of_node(node, "claims")
}

/// Hash, name of a queue to how often its head has failed. Written by finish; not there for none.
pub fn failed(node: NodeId) -> String {
    of_node(node, "failed")
}

/// String: the holder of the cooldown of a group of commands to a room or a call. Written by who takes it; expires with
/// the window, or is given back. The group is a word of ours, not a tenant's text.
pub fn cooldown(about: EntityId, group: &str) -> String {
    of_node(about.node(), &format!("cooldown:{group}:{about}"))
}

/// Hash `fingerprint`, `token`, and once it is answered `status`, `body`: a command that its caller gave an id. Written
/// by the request that carries it out; expires when that should long have ended, or some time after its answer.
pub fn command(about: EntityId, uid: &CommandUid) -> String {
    of_node(about.node(), &format!("command:{about}:{uid}"))
}

/// Hash: the status of a node. `draining` while no new room is placed there and `resyncs`, the number of requested snapshots,
/// are written by the operator's commands; `standing` and `report` by its owner. Never expires.
pub fn node_status(node: NodeId) -> String {
    of_node(node, "board")
}

/// Hash: the bytes of what lives, by app; `#w` how often that changed, `#t` the bytes of all messages ever. Written by commits;
/// stays.
pub fn live_bytes(node: NodeId) -> String {
    of_node(node, "bytes")
}

/// Hash, `<second at which it expires>:<app>` to the bytes of what is over and kept. Written by commits; an entry leaves when
/// the hash is read later than that second.
pub fn ended_bytes(node: NodeId) -> String {
    of_node(node, "bytes-ended")
}

/// Hash, app to the bytes of its messages behind the cursor. Written by commits and the fan-out; there while there are any.
pub fn outbox_bytes(node: NodeId) -> String {
    of_node(node, "bytes-outbox")
}

/// Hash, receiver to the bytes of what is pending or dead for it. Written with the deliveries.
pub fn delivery_bytes(node: NodeId) -> String {
    of_node(node, "bytes-deliveries")
}

/// Hash, receiver to the bytes of what it has taken and is kept. Written with the deliveries.
pub fn history_bytes(node: NodeId) -> String {
    of_node(node, "bytes-history")
}

/// Hash, key to what is wrong with it: keys of another type that scripts came upon. Written by scripts; expires ten minutes
/// after the last entry.
pub fn unreadable(node: NodeId) -> String {
    of_node(node, "unreadable")
}

/// Number: when the app's bucket of requests will be full, in microseconds of the store's clock. Written by whoever takes
/// tokens; expires when it is full, which is what a bucket that is not there is.
pub fn tokens(app: &AppId) -> String {
    format!("{LAYOUT}:{{app:{app}}}:tokens")
}

/// Hash `room`, and while it is only reserved `until`, milliseconds of the store's clock: whose a name is. Written by
/// who makes the room; stays until it is freed, also when the reservation's time is over, because only who looks
/// whether the room lives may say that it is nobody's.
pub fn name(app: &AppId, name: &RoomName) -> String {
    format!("{LAYOUT}:{{app:{app}}}:name:{name}")
}

/// Hash, app id to record ([`AppRecord`](super::apps::AppRecord)): the apps made at run time. Written by the operator's
/// commands; stays.
pub fn apps() -> String {
    format!("{LAYOUT}:{{apps}}:records")
}

/// Hash, receiver to record ([`EndpointRecord`](super::endpoints::EndpointRecord)): the receivers that apps made, and
/// what is to be said of those of the configuration. Written by apps, the operator, and by who finds that one is gone.
pub fn endpoints() -> String {
    format!("{LAYOUT}:{{apps}}:endpoints")
}

/// Number: how often a record of an app or a receiver was written. Written with them; stays, so that it only grows.
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
        let session: EntityId = "acW68-550e8400-e29b-41d4-a716-446655440000"
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
            view(ViewId::Call(MemberId::fresh(node, Uuid::max()))),
            view_list(node, ViewKind::Call, ListOf::App(&app)),
            view_list(node, ViewKind::Call, ListOf::Room(room_id)),
            views_over(node),
            outbox(node),
            outbox_last(node),
            cursor(node),
            said(node, 0),
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
            command(session, &"u.1".parse().unwrap()),
        ] {
            assert!(key.starts_with("rk1:{acW68}:"), "{key}");
        }
        let key = name(&app, &"standup".parse().unwrap());
        assert_eq!(key, "rk1:{app:acme}:name:standup");
        assert_eq!(tokens(&app), "rk1:{app:acme}:tokens");
        // Neither a node's nor an app's: a node's id has five characters, and an app's slot has a prefix.
        for key in [apps(), apps_version(), endpoints()] {
            assert!(key.starts_with("rk1:{apps}:"), "{key}");
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
    fn views_and_their_lists_are_told_apart() {
        let node: NodeId = "acW68".parse().unwrap();
        let random = Uuid::from_u128(1 << 32);
        let room = RoomId::fresh(node, random);
        // An app can be called what a room's id is.
        let app: AppId = digits(room.uuid()).parse().unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for kind in [ViewKind::Conference, ViewKind::Call, ViewKind::Recording] {
            for of in [ListOf::App(&app), ListOf::Room(room)] {
                keys.insert(view_list(node, kind, of));
            }
        }
        for id in [
            ViewId::Conference(room),
            ViewId::Call(MemberId::fresh(node, random)),
            ViewId::Recording(RecordingId::fresh(node, random)),
        ] {
            assert!(view(id).ends_with(&format!(":{}", digits(id.uuid()))));
            keys.insert(view(id));
        }
        assert_eq!(keys.len(), 9, "{keys:?}");
        let list = view_list(node, ViewKind::Call, ListOf::App(&app));
        assert_eq!(list, format!("rk1:{{acW68}}:views:calls:app:{app}"));
    }

    #[test]
    fn a_note_is_taken_apart_at_its_bars() {
        let app: AppId = "a_-Z9".parse().unwrap();
        let list = view_list_name(ViewKind::Conference, ListOf::App(&app));
        let note = view_note(&list, "", "00000000000001:x");
        let apart: Vec<_> = note.split('|').collect();
        assert_eq!(apart, ["conferences:app:a_-Z9", "", "00000000000001:x"]);
    }
}
