//! Records of rooms, calls, stays and recordings, whatever they contain: an error, or a state that is sound, that is
//! written and read again as it was, and that time can pass for.
//!
//! Input: lines of `<field>=<value>`. The fields of a room's and a call's head are named as in the store, any other is a
//! part of the room; each value is read as a view, too.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "store.rs"]
mod store;

use std::collections::BTreeMap;

use ids::{ChannelId, MemberId, NodeId, RoomId, CallId};
use libfuzzer_sys::fuzz_target;
// The sources above name them as modules of this crate.
use roomkeeper_core::{action, call as session, ids, play_url, room, time};
use room::state::Changes;
use room::{MembershipChange, RoomInput, RoomState};
use session::{CallInput, CallState};
use store::Record;
use store::call::{decode_call_state, encode_call_state};
use store::room::{decode_room, decode_room_head, encode_room};
use store::view::{decode_call, decode_recording, encode_call, encode_recording};
use time::Timestamp;
use uuid::Uuid;

const HEAD: [&str; 7] = ["reg", "run", "play", "urls", "app", "call", "place"];

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    // A store has no field twice.
    let (mut head, mut parts) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        views(value);
        let is_head = HEAD.contains(&name);
        let fields = if is_head { &mut head } else { &mut parts };
        fields.entry(name).or_insert(value);
    }
    let record = Record {
        head: head.into_iter().collect(),
        parts: parts.into_iter().collect(),
    };
    let node: NodeId = "acW68".parse().expect("a node's id");
    rooms(RoomId::new(node, Uuid::from_u128(1)), &record);
    calls(
        CallId::new(node, ChannelId::new(Uuid::from_u128(2))),
        &record,
    );
});

fn rooms(id: RoomId, record: &Record) {
    let head = decode_room_head(id, record);
    let Ok(mut room) = decode_room(id, record) else {
        return;
    };
    let head = head.expect("the head of what can be read");
    assert_eq!(Some(&head.registration), room.registration());
    room.check_invariants();
    let written = write(&room);
    let read = decode_room(id, &written).expect("what was written");
    assert_eq!(room.registration(), read.registration());
    assert_eq!(room.status(), read.status());
    assert_eq!(room.members(), read.members());
    assert_eq!(room.instances(), read.instances());
    assert_eq!(room.playback(), read.playback());
    assert_eq!(room.recording(), read.recording());
    assert_eq!(write(&read), written);
    let _ = (
        head.updated_at.voipbin(),
        head.registration.created_at.rfc3339_seconds(),
    );
    // Whatever is due is done, and leaves it sound.
    let now = room.next_deadline().unwrap_or_default();
    room::apply(&mut room, RoomInput::Deadline, now);
    room.check_invariants();
}

/// All of it.
fn write(room: &RoomState) -> Record {
    let changes = Changes {
        head: true,
        play: true,
        urls: true,
        registration: true,
        members: room.members().keys().copied().collect(),
        ..Changes::default()
    };
    let (head, parts) = encode_room(room, &changes, true);
    Record {
        head: head.into_iter().collect(),
        parts: parts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
    }
}

fn calls(id: CallId, record: &Record) {
    let Ok(mut call) = decode_call_state(id, record) else {
        return;
    };
    call.check_invariants();
    let written = Record {
        head: encode_call_state(&call).into_iter().collect(),
        ..Record::default()
    };
    let read = decode_call_state(id, &written).expect("what was written");
    assert_eq!(call, read);
    let now = call.next_deadline().unwrap_or_default();
    session::apply(&mut call, CallInput::Deadline, now);
    call.check_invariants();
}

fn views(body: &str) {
    let stay = MemberId::generate("acW68".parse().expect("a node's id"), Uuid::from_u128(3));
    if let Ok(view) = decode_call(stay, body) {
        let change = MembershipChange {
            call: view.session,
            status: view.status,
            since: view.created_at,
        };
        let again = encode_call(&view.app, view.room, &change, view.updated_at);
        assert_eq!(
            decode_call(stay, &again).expect("what was written"),
            view
        );
    }
    if let Ok(record) = decode_recording(&"a recording", body) {
        let again = encode_recording(&record.app, record.room, &record.view, record.updated_at);
        let read = decode_recording(&"a recording", &again).expect("what was written");
        assert_eq!(read, record);
    }
}
