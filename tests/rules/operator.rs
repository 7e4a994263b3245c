//! The operator's authority: the rooms and calls of all apps, within the rules.

use roomkeeper_core::intent::{Hangup, Requester};

use super::*;

fn by_operator(target: Target, action: impl Into<roomkeeper_core::intent::Action>) -> Intent {
    Intent::new(target, Requester::Operator, action)
}

#[test]
fn operator_ends_rooms_and_calls_of_any_app() {
    let mut world = World::joined();
    let hangup = Hangup { cause: None };
    let hung_up = world.submit(by_operator(Target::Call(call(1)), hangup));
    assert!(matches!(hung_up, Ok(Accepted::Hangup(_))), "{hung_up:?}");
    let deleted = world.submit(by_operator(Target::Room(room(1)), DeleteRoom));
    let Ok(Accepted::DeleteRoom(deleted)) = deleted else {
        panic!("{deleted:?}");
    };
    assert_eq!(deleted.app, demo());
    let again = world.submit(by_operator(Target::Room(room(1)), DeleteRoom));
    assert_eq!(again, Err(Refusal::RoomNotFound));
    let missing = world.submit(by_operator(Target::Call(call(9)), Hangup { cause: None }));
    assert_eq!(missing, Err(Refusal::CallNotFound));
}

#[test]
fn operator_owns_no_room() {
    let mut world = World::new();
    let create = CreateRoom {
        name: "n".to_owned(),
        origin: Origin::Gateway,
        kind: Kind::Conference,
        details: Box::default(),
    };
    let created = world.submit(by_operator(Target::Room(room(1)), create));
    assert_eq!(created, Err(Refusal::NoOwner));
    world.expect_notifications(&[]);
}

#[test]
fn call_of_one_app_never_joins_room_of_another() {
    let mut world = World::joined();
    world.parks(call(2), Some("other"));
    let target = Target::Member {
        room: room(1),
        call: call(2),
    };
    let joined = world.submit(by_operator(target, Join::default()));
    assert_eq!(joined, Err(Refusal::ForeignRoom));
    world.parks(call(3), Some("demo"));
    let target = Target::Member {
        room: room(1),
        call: call(3),
    };
    let joined = world.submit(by_operator(target, Join::default()));
    assert!(matches!(joined, Ok(Accepted::Join(_))), "{joined:?}");
}
