//! Requests to other replicas are in the store, but not in the owner's memory: events that hint at them load the
//! entity.

use roomkeeper_core::call::StepId;
use roomkeeper_core::ids::RecordingId;

use super::*;

impl World {
    /// Returns the entity that this event loads.
    fn entity_to_load(&mut self, kind: SwitchEventKind) -> Option<EntityId> {
        self.sequence += 1;
        let event = SwitchEvent {
            core: core(),
            sequence: self.sequence,
            at: self.now,
            kind,
        };
        let unknown = self.node_state.unknown_entity(&event);
        self.with(|node_state, cx| node_state.apply_event(event, cx));
        unknown
    }
}

fn of_room(n: u128, change: ConferenceChange) -> SwitchEventKind {
    SwitchEventKind::Conference {
        room: room(n),
        conference: conference_id(n),
        size: Some(1),
        change,
    }
}

#[test]
fn end_of_an_unknown_step_loads_its_call() {
    let mut world = World::with_room_and_call();
    let step = StepId {
        run: Uuid::from_u128(5),
        index: 0,
    };
    let ended = |call: CallId| SwitchEventKind::Channel {
        channel: call.channel(),
        change: ChannelChange::StepEnded {
            step,
            response: "FILE PLAYED".to_owned(),
        },
    };
    let looked_up = world.entity_to_load(ended(call(1)));
    assert_eq!(looked_up, Some(EntityId::Call(call(1))));
    assert_eq!(
        world.entity_to_load(ended(call(2))),
        None,
        "the call is unknown"
    );
}

#[test]
fn event_of_an_unknown_recording_loads_its_room() {
    let mut world = World::joined();
    let recording = RecordingId::generate(node(), Uuid::from_u128(5 << 32));
    let begins = ConferenceChange::RecordingStarted {
        recording,
        failed: false,
    };
    assert_eq!(
        world.entity_to_load(of_room(1, begins)),
        Some(EntityId::Room(room(1)))
    );
}

#[test]
fn first_event_of_a_room_loads_it() {
    let mut world = World::new();
    let comes = || of_room(1, ConferenceChange::Added(block(call(1), true)));
    assert_eq!(world.entity_to_load(comes()), Some(EntityId::Room(room(1))));
    assert_eq!(
        world.entity_to_load(comes()),
        None,
        "the room is known as an orphan"
    );
}

#[test]
fn call_and_room_of_a_join_are_loaded_together() {
    let other = {
        let mut other = World::with_room_and_call();
        other.join(call(1), room(1)).unwrap();
        other
    };
    let (there, the_call) = (EntityId::Room(room(1)), EntityId::Call(call(1)));
    let joining = other.node_state.call(call(1)).unwrap().clone();
    let state = other.node_state.room(room(1)).unwrap().clone();

    let mut world = World::with_room_and_call();
    world.node_state.put_call(call(1), Some(joining));
    assert_eq!(world.node_state.written_together_with(the_call), [there]);
    world.node_state.put_room(room(1), Some(state.clone()));
    assert_eq!(world.node_state.written_together_with(the_call), []);

    let mut world = World::with_room_and_call();
    world.node_state.put_room(room(1), Some(state));
    assert_eq!(world.node_state.written_together_with(there), [the_call]);
}

#[test]
fn call_turned_away_by_another_replica_was_joining() {
    let mut world = World::with_room_and_call();
    let there = EntityId::Room(room(1));
    assert_eq!(world.node_state.calls_joining(there), []);
    world.join(call(1), room(1)).unwrap();
    let the_call = EntityId::Call(call(1));
    assert_eq!(world.node_state.calls_joining(there), [the_call]);

    // Loaded again, the room no longer lists the call.
    let other = World::with_room_and_call();
    let state = other.node_state.room(room(1)).unwrap().clone();
    world.node_state.put_room(room(1), Some(state));
    assert_eq!(world.node_state.written_together_with(there), []);
    assert_eq!(world.node_state.calls_joining(there), []);
    assert_eq!(
        world.call_status(),
        CallStatus::Joining(room(1)),
        "the call is unchanged until it is loaded"
    );
}

#[test]
fn old_copy_of_a_leaving_call_stays_in_the_room_that_has_it_joined() {
    let mut world = World::joined();
    world.leave().unwrap();
    let leaving = world.node_state.call(call(1)).cloned();
    assert_eq!(world.call_status(), CallStatus::Leaving(Some(room(1))));
    // Another replica reverts the leave in room and call. Here only the room is loaded again.
    let command = world.commands.pop().unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|node_state, cx| node_state.revert_command(&command, &refused, cx));
    world.node_state.put_call(call(1), leaving);
    assert_eq!(world.call_status(), CallStatus::Leaving(Some(room(1))));
    world.sequence += 1;
    world.merge_snapshot(world.sequence, vec![late::shown(1, 1, &[call(1)])]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
    world.expect_notifications(&[]);
}
