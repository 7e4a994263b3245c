//! Late and duplicate events, and events that are older than a snapshot.

use std::collections::BTreeSet;

use roomkeeper_core::room::plan::Suspect;
use roomkeeper_core::switch_event::SnapshotMember;

use super::*;

/// A conference as a snapshot shows it.
pub fn shown(n: u128, instance: u128, members: &[CallId]) -> SnapshotRoom {
    SnapshotRoom {
        room: room(n),
        conference: conference_id(instance),
        locked: false,
        meta: None,
        members: members
            .iter()
            .map(|call| SnapshotMember {
                talked: None,
                channel: call.channel(),
                can_speak: false,
                can_hear: true,
                hold: false,
                talking: false,
                has_floor: false,
                levels: ReportedLevels::default(),
                caller_id: "".into(),
            })
            .collect(),
        recordings: Vec::new(),
    }
}

impl World {
    fn merge_with_suspects(
        &mut self,
        fence: u64,
        rooms: Vec<SnapshotRoom>,
        confirmed: &BTreeSet<Suspect>,
    ) -> BTreeSet<Suspect> {
        let snapshot = Snapshot {
            core: core(),
            fence,
            rooms,
        };
        self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, confirmed, cx))
    }

    pub fn merge_snapshot(&mut self, fence: u64, rooms: Vec<SnapshotRoom>) {
        self.merge_with_suspects(fence, rooms, &BTreeSet::new());
    }

    /// Emits the events of `happens` at that sequence.
    fn at(&mut self, sequence: u64, happens: impl FnOnce(&mut Self)) {
        let now = std::mem::replace(&mut self.sequence, sequence - 1);
        happens(self);
        self.sequence = now;
    }

    fn channel_event(&self, sequence: u64, change: ChannelChange) -> SwitchEvent {
        SwitchEvent {
            core: core(),
            sequence,
            at: self.now,
            kind: SwitchEventKind::Channel {
                channel: call(1).channel(),
                change,
            },
        }
    }
}

#[test]
fn snapshot_does_not_move_a_call_placed_after_its_fence() {
    let mut world = World::with_room_and_call();
    let fence = world.sequence - 1;
    world.merge_snapshot(fence, vec![shown(1, 1, &[call(1)])]);
    world.expect_notifications(&[]);
    assert!(
        world.wants_resync,
        "a snapshot is needed: the next event may be lost"
    );
    assert_eq!(world.call_status(), CallStatus::Parked);
    world.enters(call(1), 1, 1, false);
    world.expect_notifications(&["joined 527121101 muted=true"]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
}

#[test]
fn late_event_in_the_same_batch_does_not_revive_a_call() {
    let mut world = World::new();
    let cause = "NORMAL_CLEARING".to_owned();
    let (by, identity) = (None, identity(Some("demo")));
    let parked = world.channel_event(
        11,
        ChannelChange::Parked {
            identity,
            by,
            bridge: None,
        },
    );
    let over = world.channel_event(12, ChannelChange::HungUp { cause });
    // Nothing is committed in between, so the end is not remembered yet.
    world.with(|node_state, cx| {
        for event in [parked.clone(), over, parked] {
            node_state.apply_event(event, cx);
        }
    });
    world.expect_notifications(&["call.new 747713001", "call.hangup NORMAL_CLEARING 50ms"]);
    let entered = SwitchEvent {
        core: core(),
        sequence: 11,
        at: world.now,
        kind: SwitchEventKind::Conference {
            room: room(1),
            conference: conference_id(1),
            size: Some(1),
            change: ConferenceChange::Added(block(call(1), true)),
        },
    };
    world.with(|node_state, cx| node_state.apply_event(entered, cx));
    world.expect_notifications(&[]);
}

#[test]
fn vanished_call_leaves_its_room_even_if_it_entered_after_the_fence() {
    let mut world = World::joined();
    let fence = world.sequence - 1;
    world.with(|node_state, cx| node_state.end_vanished_call(call(1).channel(), fence, cx));
    world.expect_notifications(&["left hangup (synthesized)", "call.hangup UNKNOWN 50ms"]);
}

#[test]
fn call_seen_in_a_room_after_it_moved_has_left_that_room() {
    let mut world = World::with_room_and_call();
    world.create(2);
    let late = world.sequence + 1;
    world.sequence = late;
    world.enters(call(1), 2, 2, true);
    world.expect_notifications(&["created room-2", "joined 527121101 muted=false"]);
    let now = std::mem::replace(&mut world.sequence, late - 1);
    world.enters(call(1), 1, 1, true);
    world.sequence = now;
    world.expect_notifications(&["joined 527121101 muted=false", "left moved (synthesized)"]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(2)));
}

#[test]
fn missing_conference_ends_at_the_second_look_though_its_member_moved() {
    let mut world = World::joined();
    world.create(2);
    world.notifications.clear();
    let elsewhere = || vec![shown(2, 2, &[call(1)])];
    let fence = world.sequence + 1;
    let suspects = world.merge_with_suspects(fence, elsewhere(), &BTreeSet::new());
    world.expect_notifications(&["left moved", "joined 527121101 muted=true (synthesized)"]);
    world.merge_with_suspects(fence + 1, elsewhere(), &suspects);
    let believed = world.node_state.room(room(1)).unwrap();
    assert!(
        believed.instances().is_empty(),
        "{:?}",
        believed.instances()
    );
}

#[test]
fn call_parked_before_its_conference_ended_is_parked_in_any_event_order() {
    let mut world = World::joined();
    let parked_at = world.sequence;
    world.sequence += 1;
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.expect_notifications(&["left removed (synthesized)"]);
    assert_eq!(world.call_status(), CallStatus::Leaving(None));
    let now = std::mem::replace(&mut world.sequence, parked_at);
    world.parks(call(1), None);
    world.sequence = now;
    assert_eq!(world.call_status(), CallStatus::Parked);
    world.expect_notifications(&[]);
}

#[test]
fn call_in_an_unstored_room_gets_a_dump() {
    let mut world = World::joined();
    let listed = [ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
        listens: false,
    }];
    assert_eq!(world.node_state.channels_to_dump(&listed), []);
    // This is the state after a restart: the room belonged to no app, and the call was ours.
    world.node_state.put_room(room(1), None);
    assert_eq!(
        world.node_state.channels_to_dump(&listed),
        [call(1).channel()]
    );
}

#[test]
fn call_given_up_with_its_node_is_revived_even_after_a_lookup() {
    let mut world = World::with_room_and_call();
    world.with(|node_state, cx| node_state.core_changed(None, cx));
    let over = world.node_state.call(call(1)).unwrap().clone();
    let now = world.now;
    world.node_state.drop_over(EntityId::Call(call(1)), now);
    world.with(|node_state, cx| node_state.core_changed(Some(core()), cx));
    world.notifications.clear();
    // A caller named the call, so it was loaded.
    world.node_state.put_call(call(1), Some(over.clone()));
    let listed = [ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
        listens: false,
    }];
    assert_eq!(
        world.node_state.channels_to_dump(&listed),
        [call(1).channel()]
    );
    // Its other events do not make it a call that has just ended.
    world.node_state.take_touched();
    world.channel(call(1), ChannelChange::Answered(identity(None)));
    assert!(world.node_state.take_touched().is_empty());
    assert!(world.node_state.forget_over(EntityId::Call(call(1))));
    world.node_state.put_call(call(1), Some(over));
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&["call.new 747713001"]);
}

#[test]
fn late_event_of_an_older_instance_opens_no_membership() {
    let mut world = World::joined();
    let first = world.sequence;
    world.enters(call(1), 1, 2, false);
    world.leaves(call(1), 1, 2, 0);
    world.expect_notifications(&[
        "left removed (synthesized)",
        "joined 527121101 muted=true",
        "left removed",
    ]);
    let now = std::mem::replace(&mut world.sequence, first - 1);
    world.enters(call(1), 1, 1, false);
    world.sequence = now;
    world.expect_notifications(&[]);
}

#[test]
fn late_leave_does_not_end_a_later_join() {
    let mut world = World::with_room_and_call();
    let parked = world.sequence;
    world.join(call(1), room(1)).unwrap();
    let now = std::mem::replace(&mut world.sequence, parked - 2);
    world.leaves(call(1), 1, 1, 0);
    world.sequence = now;
    world.expect_notifications(&[]);
    world.enters(call(1), 1, 1, false);
    world.expect_notifications(&["joined 527121101 muted=true [c-1]"]);
    let status = world.node_state.call(call(1)).unwrap().status().clone();
    assert_eq!(status, CallStatus::InRoom(room(1)));
}

#[test]
fn call_that_returned_is_in_the_room_when_its_leave_arrives_last() {
    let mut world = World::with_room_and_call();
    let first = world.sequence;
    // The event belongs to the first membership, whose add-member comes before every other event of it.
    world.at(first + 2, |world| {
        let muted_by_key = ConferenceChange::Flags(block(call(1), false));
        world.conference(1, 1, 2, muted_by_key);
    });
    world.expect_notifications(&["joined 527121101 muted=true (synthesized)"]);
    world.at(first + 4, |world| world.enters(call(1), 1, 1, true));
    world.expect_notifications(&["left removed (synthesized)", "joined 527121101 muted=false"]);
    world.at(first + 3, |world| world.leaves(call(1), 1, 1, 1));
    world.at(first + 1, |world| world.enters(call(1), 1, 1, true));
    world.expect_notifications(&[]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
}

#[test]
fn call_from_a_snapshot_that_returned_stays_when_its_leave_arrives_last() {
    let mut world = World::with_room_and_call();
    let fence = world.sequence + 1;
    world.merge_snapshot(fence, vec![shown(1, 1, &[call(1)])]);
    world.expect_notifications(&["joined 527121101 muted=true (synthesized)"]);
    world.at(fence + 3, |world| world.enters(call(1), 1, 1, false));
    world.at(fence + 1, |world| world.leaves(call(1), 1, 1, 1));
    world.at(fence + 2, |world| world.parks(call(1), None));
    world.expect_notifications(&[]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
}

#[test]
fn late_end_of_an_older_instance_keeps_the_last_tombstone() {
    let mut world = World::joined();
    let first = world.sequence;
    world.at(first + 2, |world| world.enters(call(1), 1, 2, false));
    world.at(first + 3, |world| world.leaves(call(1), 1, 2, 0));
    world.expect_notifications(&[
        "left removed (synthesized)",
        "joined 527121101 muted=true",
        "left removed",
    ]);
    world.at(first + 1, |world| world.leaves(call(1), 1, 1, 0));
    // A duplicate.
    world.at(first + 2, |world| world.enters(call(1), 1, 2, false));
    world.expect_notifications(&[]);
    assert_eq!(world.call_status(), CallStatus::Leaving(None));
}

#[test]
fn flags_that_arrive_before_the_add_member_count() {
    let mut world = World::joined();
    let first = world.sequence;
    world.at(first + 1, |world| world.leaves(call(1), 1, 1, 1));
    world.expect_notifications(&["left removed"]);
    world.at(first + 3, |world| {
        let unmuted_by_key = ConferenceChange::Flags(block(call(1), true));
        world.conference(1, 1, 2, unmuted_by_key);
    });
    // The event alone does not show that the call is present: a member's last flags can arrive after its end.
    world.expect_notifications(&[]);
    world.at(first + 2, |world| world.enters(call(1), 1, 1, false));
    world.expect_notifications(&["joined 527121101 muted=false"]);
}

#[test]
fn parked_call_stays_parked_when_an_older_event_shows_the_room_it_joins() {
    let mut world = World::with_room_and_call();
    world.sequence += 2;
    world.parks(call(1), None);
    let parked = world.sequence;
    world.join(call(1), room(1)).unwrap();
    world.at(parked - 2, |world| world.enters(call(1), 1, 1, true));
    world.expect_notifications(&[
        "joined 527121101 muted=false [c-1]",
        "left removed (synthesized)",
    ]);
    assert_eq!(world.call_status(), CallStatus::Parked);
}

#[test]
fn call_is_free_once_the_park_command_of_its_ending_room_parks_it() {
    let mut world = World::joined();
    world.leave().unwrap();
    world.now = world.now + Duration::from_millis(1);
    world.delete().unwrap();
    let parks: Vec<ParkId> = world
        .commands
        .iter()
        .filter_map(|command| match command.action {
            SwitchAction::Park { id } => Some(id),
            _ => None,
        })
        .collect();
    let [first, second] = parks[..] else {
        panic!("{:?}", world.commands);
    };
    world.leaves(call(1), 1, 1, 0);
    world.is_parked(call(1), None, Some(second));
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert!(first < second);
}
