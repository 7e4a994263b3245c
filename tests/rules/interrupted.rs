//! Joins that the end of a conference interrupts: FreeSWITCH admits the call and removes it again.

use super::*;

/// Returns a world in which a call joins while the last member leaves. The enter command has been sent.
fn racing() -> World {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.notifications.clear();
    world.join(call(2), room(1)).unwrap();
    world.leave().unwrap();
    world.commands.clear();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left removed [c-3]"]);
    world
}

fn call_status(world: &World) -> CallStatus {
    world.node_state.call(call(2)).unwrap().status().clone()
}

#[test]
fn interrupted_join_is_repeated_once_the_call_is_parked() {
    let mut world = racing();
    world.wants_resync = false;
    world.enters(call(2), 1, 1, false);
    world.expect_notifications(&[]);
    world.leaves(call(2), 1, 1, 0);
    world.expect_notifications(&[]);
    assert_eq!(world.commands, [], "no command before the call is parked");
    world.parks(call(2), None);
    world.expect_notifications(&[]);
    let [command] = world.commands.as_slice() else {
        panic!("{:?}", world.commands);
    };
    assert!(
        matches!(command, SwitchCommand { target: Target::Member { call: entering, .. }, action: SwitchAction::Enter(entry), .. } if *entering == call(2) && entry.muted),
        "{command:?}"
    );
    assert_eq!(call_status(&world), CallStatus::Joining(room(1)));
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.enters(call(2), 1, 2, false);
    world.expect_notifications(&["joined 527121101 muted=true [c-1]"]);
    assert_eq!(call_status(&world), CallStatus::InRoom(room(1)));
    assert!(!world.wants_resync, "no snapshot is needed");
}

#[test]
fn repeated_join_that_is_interrupted_again_fails() {
    let mut world = racing();
    world.enters(call(2), 1, 1, false);
    world.leaves(call(2), 1, 1, 0);
    world.parks(call(2), None);
    world.commands.clear();
    world.enters(call(2), 1, 1, false);
    world.leaves(call(2), 1, 1, 0);
    world.expect_notifications(&[]);
    world.parks(call(2), None);
    world.expect_notifications(&["join_failed refused [c-1]"]);
    assert_eq!(world.commands, []);
    assert_eq!(call_status(&world), CallStatus::Parked);
}

#[test]
fn repeated_join_that_is_refused_fails() {
    let mut world = racing();
    world.enters(call(2), 1, 1, false);
    world.parks(call(2), None);
    world.expect_notifications(&[]);
    world.parks(call(2), None);
    world.expect_notifications(&["join_failed refused [c-1]"]);
}

#[test]
fn interrupted_join_is_recognised_by_its_end_alone() {
    let mut world = racing();
    world.leaves(call(2), 1, 1, 0);
    world.parks(call(2), None);
    world.expect_notifications(&[]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Enter(_),
            ..
        }]
    ));
}

#[test]
fn interrupted_join_is_repeated_when_its_park_event_comes_first() {
    let mut world = racing();
    world.sequence += 2;
    world.parks(call(2), None);
    world.expect_notifications(&[]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Enter(_),
            ..
        }]
    ));
    // The events of the first attempt, late.
    let parked_at = world.sequence;
    let removed = ConferenceChange::Removed {
        channel: call(2).channel(),
        hung_up: false,
        last: true,
    };
    let late = [ConferenceChange::Added(block(call(2), false)), removed];
    for (sequence, change) in (parked_at - 2..).zip(late) {
        let event = SwitchEvent {
            core: core(),
            sequence,
            at: world.now,
            kind: SwitchEventKind::Conference {
                room: room(1),
                conference: conference_id(1),
                size: None,
                change,
            },
        };
        world.with(|node_state, cx| node_state.apply_event(event, cx));
    }
    world.expect_notifications(&[]);
    assert_eq!(call_status(&world), CallStatus::Joining(room(1)));
    world.enters(call(2), 1, 2, false);
    world.expect_notifications(&["joined 527121101 muted=true [c-1]"]);
}

#[test]
fn call_that_hangs_up_while_its_join_is_interrupted_has_not_joined() {
    let mut world = racing();
    world.enters(call(2), 1, 1, false);
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(2), ChannelChange::HungUp { cause });
    world.expect_notifications(&[
        "join_failed hangup [c-1]",
        "call.hangup NORMAL_CLEARING 50ms",
    ]);
    assert_eq!(world.commands, []);
}

#[test]
fn interrupted_join_keeps_its_deadline_and_then_parks_the_call() {
    let mut world = racing();
    world.enters(call(2), 1, 1, false);
    world.waits(9);
    world.expect_notifications(&[]);
    world.waits(2);
    world.expect_notifications(&["join_failed timeout [c-1]"]);
    assert!(
        matches!(world.commands.as_slice(), [SwitchCommand { target: Target::Member { call: parked, .. }, action: SwitchAction::Park { .. }, .. }] if *parked == call(2)),
        "{:?}",
        world.commands
    );
    assert_eq!(call_status(&world), CallStatus::Leaving(None));
    world.parks(call(2), None);
    assert_eq!(call_status(&world), CallStatus::Parked);
}

#[test]
fn interrupted_join_that_is_parked_after_its_deadline_fails() {
    let mut world = racing();
    world.enters(call(2), 1, 1, false);
    // The deadline has not been checked yet.
    world.now = world.now + Duration::from_secs(11);
    world.parks(call(2), None);
    world.expect_notifications(&["join_failed timeout [c-1]"]);
    assert_eq!(world.commands, []);
    assert_eq!(call_status(&world), CallStatus::Parked);
}

#[test]
fn interrupted_join_is_not_repeated_when_its_room_has_ended() {
    let mut world = racing();
    world.enters(call(2), 1, 1, false);
    world.delete().unwrap();
    world.expect_notifications(&["join_failed room_destroyed [c-1]", "destroyed"]);
    world.parks(call(2), None);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Park { .. },
            ..
        }]
    ));
}

#[test]
fn call_that_entered_before_the_last_member_left_has_joined() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.notifications.clear();
    world.join(call(2), room(1)).unwrap();
    world.sequence += 1;
    let added_at = world.sequence;
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left removed"]);
    // The event is late: the call entered first, and before the other one left.
    let event = SwitchEvent {
        core: core(),
        sequence: added_at,
        at: world.now,
        kind: SwitchEventKind::Conference {
            room: room(1),
            conference: conference_id(1),
            size: Some(2),
            change: ConferenceChange::Added(block(call(2), false)),
        },
    };
    world.with(|node_state, cx| node_state.apply_event(event, cx));
    world.expect_notifications(&["joined 527121101 muted=true [c-1]"]);
}

#[test]
fn call_that_the_dialplan_sends_into_an_ending_conference_joins_and_leaves() {
    let mut world = World::joined();
    world.leaves(call(1), 1, 1, 0);
    world.notifications.clear();
    world.commands.clear();
    world.enters(call(2), 1, 1, false);
    world.leaves(call(2), 1, 1, 0);
    world.expect_notifications(&[
        "call.new 747713001",
        "joined 527121101 muted=true",
        "left removed",
    ]);
    assert_eq!(world.commands, []);
}

#[test]
fn state_of_an_interrupted_join_is_stored() {
    for repeated in [false, true] {
        let mut world = racing();
        world.enters(call(2), 1, 1, false);
        if repeated {
            world.parks(call(2), None);
        }
        let state = world.node_state.room_mut(room(1)).unwrap();
        let mut changes = state.take_changes();
        changes.head = true;
        changes.members = state.members().keys().copied().collect();
        let (head, parts) = encode_room(state, &changes, true);
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: parts
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        };
        let read = decode_room(room(1), &record).unwrap();
        assert_eq!(read.members(), state.members());
        assert_eq!(read.instances(), state.instances());
        assert!(read.instances()[0].emptied.is_some());
    }
}

#[test]
fn channel_is_prepared_when_its_call_is_first_seen() {
    let mut world = World::new();
    world.parks(call(1), Some("demo"));
    assert_eq!(world.prepared, [call(1)]);
    world.parks(call(1), Some("demo"));
    assert_eq!(world.prepared, [call(1)], "once");
    // Parked, and of no app: its channel is not prepared.
    world.parks(call(2), None);
    assert_eq!(world.prepared, [call(1)]);
    // The dialplan sends it into a room.
    world.create(1);
    world.enters(call(3), 1, 1, true);
    assert_eq!(world.prepared, [call(1), call(3)]);
}
