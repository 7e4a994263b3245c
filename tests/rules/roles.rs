//! Roles, and rooms that end when a certain member leaves.

use roomkeeper_core::intent::{Move, UpdateMember};
use roomkeeper_core::room::{MemberUpdate, RoomStatus};

use super::*;

impl World {
    /// A room with two members; it ends when the first one leaves.
    fn with_host() -> Self {
        let mut world = Self::joined();
        world.parks(call(2), Some("demo"));
        world.join(call(2), room(1)).unwrap();
        world.enters(call(2), 1, 1, false);
        world.update(MemberUpdate {
            end_on_exit: Some(true),
            ..MemberUpdate::default()
        });
        world.notifications.clear();
        world.commands.clear();
        world
    }

    fn update(&mut self, update: MemberUpdate) {
        let target = Target::Member {
            room: room(1),
            call: call(1),
        };
        let action = UpdateMember {
            update: Box::new(update),
            labels: Default::default(),
        };
        self.submit(Intent::new(target, demo(), action)).unwrap();
    }

    fn parks_others(&self) -> bool {
        self.commands.iter().any(|command| {
            matches!(command.action, SwitchAction::Park { .. })
                && command.target.call() == Some(call(2))
        })
    }
}

#[test]
fn role_is_changed_and_reported_without_a_command() {
    let mut world = World::joined();
    let update = || MemberUpdate {
        role: Some(roomkeeper_core::room::Role::Moderator),
        ..MemberUpdate::default()
    };
    world.update(update());
    world.expect_notifications(&[r#"member updated {"role":"moderator"}"#]);
    world.update(update());
    world.expect_notifications(&[]);
    assert!(world.commands.is_empty());
}

#[test]
fn room_ends_when_its_host_hangs_up() {
    let mut world = World::with_host();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    assert!(world.parks_others());
    world.leaves(call(2), 1, 1, 0);
    world.expect_notifications(&[
        "left hangup",
        "call.hangup NORMAL_CLEARING 50ms",
        "left room_destroyed",
        "destroyed member_left",
    ]);
}

#[test]
fn room_ends_when_its_host_leaves_or_a_snapshot_lacks_it() {
    let mut world = World::with_host();
    world.leave().unwrap();
    assert!(!world.parks_others());
    world.leaves(call(1), 1, 1, 1);
    assert!(world.parks_others());
    // All events are lost.
    let mut world = World::with_host();
    let snapshot = |world: &mut World| {
        world.sequence += 1;
        Snapshot {
            core: core(),
            fence: world.sequence,
            rooms: Vec::new(),
        }
    };
    let first = snapshot(&mut world);
    let suspects =
        world.with(|node_state, cx| node_state.merge_snapshot(&first, &BTreeSet::new(), cx));
    let second = snapshot(&mut world);
    world.with(|node_state, cx| node_state.merge_snapshot(&second, &suspects, cx));
    let last = world.notifications.last().map(String::as_str);
    assert_eq!(last, Some("destroyed member_left"));
}

#[test]
fn end_of_a_room_keeps_its_reason_over_a_restart() {
    let mut world = World::with_host();
    world.leaves(call(1), 1, 1, 1);
    let stored = world.node_state.room_mut(room(1)).unwrap();
    let read = super::moves::reread(stored);
    assert_eq!(read.end_reason(), stored.end_reason());
    assert!(matches!(read.status(), RoomStatus::Terminating { .. }));
    world.node_state.put_room(room(1), Some(read));
    world.leaves(call(2), 1, 1, 0);
    let last = world.notifications.last().map(String::as_str);
    assert_eq!(last, Some("destroyed member_left"));
}

#[test]
fn move_of_the_host_ends_no_room_and_the_setting_goes_along() {
    let mut world = World::with_host();
    world.create(2);
    let target = Target::Member {
        room: room(1),
        call: call(1),
    };
    let action = Move {
        to: room(2),
        muted: None,
    };
    world.submit(Intent::new(target, demo(), action)).unwrap();
    world.leaves(call(1), 1, 1, 1);
    world.enters(call(1), 2, 2, false);
    assert!(!world.parks_others());
    assert!(world.node_state.room(room(1)).unwrap().is_open());
    world.notifications.clear();
    world.leaves(call(1), 2, 2, 0);
    world.expect_notifications(&["left removed", "destroyed member_left"]);
}

#[test]
fn host_that_cannot_return_from_a_move_ends_the_room() {
    let mut world = World::with_host();
    world.create(2);
    let target = Target::Member {
        room: room(1),
        call: call(1),
    };
    let action = Move {
        to: room(2),
        muted: None,
    };
    world.submit(Intent::new(target, demo(), action)).unwrap();
    world.leaves(call(1), 1, 1, 1);
    world.parks(call(1), Some("demo"));
    assert!(world.node_state.room(room(1)).unwrap().is_open());
    world.parks(call(1), Some("demo"));
    assert!(world.parks_others());
    world.leaves(call(2), 1, 1, 0);
    let last = world.notifications.last().map(String::as_str);
    assert_eq!(last, Some("destroyed member_left"));
}

#[test]
fn lost_node_and_deletion_are_no_exit_of_the_host() {
    let mut world = World::with_host();
    world.delete().unwrap();
    world.leaves(call(1), 1, 1, 1);
    world.leaves(call(2), 1, 1, 0);
    let last = world.notifications.last().map(String::as_str);
    assert_eq!(last, Some("destroyed"));
    let mut world = World::with_host();
    world.with(|node_state, cx| node_state.core_changed(None, cx));
    assert!(world.node_state.room(room(1)).unwrap().is_open());
}
