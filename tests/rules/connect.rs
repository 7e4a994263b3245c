//! Rooms of the VoIPBIN API: for two members, with a timeout, updated by their owner.

use roomkeeper_core::intent::{UpdateAccepted, UpdateRoom};
use roomkeeper_core::room::{RoomStatus, Update};

use super::*;

impl World {
    fn connect() -> Self {
        let mut world = Self::new();
        world.create_as(1, Origin::Voipbin, Kind::Connect, Details::default());
        for n in 1..=3 {
            world.parks(call(n), Some("demo"));
        }
        for n in 1..=2 {
            world.join(call(n), room(1)).unwrap();
            assert!(matches!(
                world.commands.pop(),
                Some(SwitchCommand {
                    action: SwitchAction::Enter(entry),
                    ..
                }) if entry.kind == Kind::Connect && !entry.muted
            ));
            world.enters(call(n), 1, 1, true);
        }
        world.notifications.clear();
        world
    }

    fn parked_out(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.commands)
            .into_iter()
            .filter_map(|command| {
                if let SwitchCommand {
                    target: Target::Member { call, .. },
                    action: SwitchAction::Park { .. },
                    ..
                } = command
                {
                    Some(call)
                } else {
                    None
                }
            })
            .collect()
    }

    fn room_status(&self) -> Option<RoomStatus> {
        self.node_state.room(room(1)).map(|r| r.status())
    }
}

fn timed(timeout: u32) -> Details {
    Details {
        timeout,
        ..Details::default()
    }
}

#[test]
fn third_join_into_a_room_of_two_is_refused() {
    let mut world = World::connect();
    assert_eq!(world.join(call(3), room(1)), Err(Refusal::RoomFull));
    world.expect_notifications(&[]);
}

#[test]
fn third_member_from_the_dialplan_is_removed() {
    let mut world = World::connect();
    world.enters(call(3), 1, 1, true);
    world.expect_notifications(&["joined 527121101 muted=false"]);
    assert_eq!(world.parked_out(), [call(3)]);
    world.leaves(call(3), 1, 1, 2);
    world.expect_notifications(&["left removed"]);
    assert_eq!(world.room_status(), Some(RoomStatus::Progressing));
    assert!(world.parked_out().is_empty());
}

#[test]
fn sole_member_that_returns_before_its_leave_is_removed() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Connect, Details::default());
    world.parks(call(1), Some("demo"));
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 1, true);
    world.notifications.clear();
    world.commands.clear();
    world.enters(call(1), 1, 1, true);
    world.expect_notifications(&["left removed (synthesized)", "destroyed"]);
    assert_eq!(world.parked_out(), [call(1)]);
    assert_eq!(world.room_status(), Some(RoomStatus::Terminated));
}

#[test]
fn room_of_two_ends_when_one_member_leaves() {
    let mut world = World::connect();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    world.expect_notifications(&["left hangup", "call.hangup NORMAL_CLEARING 50ms"]);
    assert_eq!(world.parked_out(), [call(2)]);
    assert_eq!(
        world.join(call(3), room(1)),
        Err(Refusal::RoomNotFound),
        "the room is ending"
    );
    world.leaves(call(2), 1, 1, 0);
    world.expect_notifications(&["left room_destroyed", "destroyed"]);
}

#[test]
fn room_of_two_ends_when_its_only_member_leaves() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Connect, Details::default());
    world.parks(call(1), Some("demo"));
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 1, true);
    world.notifications.clear();
    world.leave().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left removed [c-3]", "destroyed"]);
}

#[test]
fn room_ends_at_its_timeout_and_parks_its_members() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Conference, timed(60));
    world.parks(call(1), Some("demo"));
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 1, true);
    world.notifications.clear();
    world.commands.clear();
    let deadline = world.node_state.room(room(1)).unwrap().next_deadline();
    assert_eq!(deadline, Some(Timestamp::from_millis(61_000)));
    world.waits(59);
    assert!(world.parked_out().is_empty());
    world.waits(1);
    assert_eq!(world.parked_out(), [call(1)]);
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left timeout", "destroyed"]);
}

#[test]
fn empty_room_ends_immediately_at_its_timeout() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Conference, timed(5));
    world.notifications.clear();
    world.waits(5);
    world.expect_notifications(&["destroyed"]);
    let ended = world.node_state.room(room(1)).unwrap();
    assert_eq!(ended.status(), RoomStatus::Terminated);
    assert_eq!(ended.ended_at(), Some(Timestamp::from_millis(6_000)));
}

#[test]
fn update_changes_details_and_the_timeout() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Conference, timed(5));
    world.notifications.clear();
    let change = |update: Update| {
        Intent::new(
            Target::Room(room(1)),
            demo(),
            UpdateRoom {
                update: Box::new(update),
                labels: Default::default(),
            },
        )
    };
    let update = Update {
        name: Some("another".to_owned()),
        detail: Some(String::new()),
        timeout: Some(20),
        ..Update::default()
    };
    assert_eq!(
        world.submit(change(update.clone())),
        Ok(Accepted::UpdateRoom(UpdateAccepted::Updated))
    );
    world.expect_notifications(&["updated {\"name\":\"another\",\"timeout\":20}"]);
    assert_eq!(
        world.submit(change(update)),
        Ok(Accepted::UpdateRoom(UpdateAccepted::Unchanged))
    );
    world.expect_notifications(&[]);
    world.waits(5);
    world.expect_notifications(&[]);
    let none = Update {
        timeout: Some(0),
        ..Update::default()
    };
    world.submit(change(none)).unwrap();
    world.expect_notifications(&["updated {\"timeout\":0}"]);
    world.waits(1_000);
    world.expect_notifications(&[]);
}

#[test]
fn room_created_on_an_unreachable_node_starts_once_it_returns() {
    let mut world = World::new();
    world.create(1);
    assert_eq!(world.room_status(), Some(RoomStatus::Starting));
    assert!(world.node_state.room(room(1)).unwrap().is_open());
    let snapshot = Snapshot {
        core: core(),
        fence: 50,
        rooms: Vec::new(),
    };
    world.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
    assert_eq!(world.room_status(), Some(RoomStatus::Progressing));
    world.node_state.set_reachable(true);
    world.create(2);
    let status = world.node_state.room(room(2)).unwrap().status();
    assert_eq!(status, RoomStatus::Progressing);
}
