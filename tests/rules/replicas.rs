//! What another replica has asked for is in the store, and not in what the owner believes: what hints at it is looked up.

use roomkeeper::ids::RecordingId;
use roomkeeper::session::StepId;

use super::*;

impl World {
    /// What is to be looked up when this is heard.
    fn looks_up(&mut self, what: What) -> Option<EntityId> {
        self.sequence += 1;
        let news = News {
            core: core(),
            sequence: self.sequence,
            at: self.now,
            what,
        };
        let unknown = self.belief.unknown_to(&news);
        self.with(|belief, cx| belief.news(news, cx));
        unknown
    }
}

fn of_room(n: u128, change: ConferenceChange) -> What {
    What::Conference {
        room: room(n),
        conference: life(n),
        size: Some(1),
        change,
    }
}

#[test]
fn a_step_that_ends_and_was_not_known_to_be_under_way() {
    let mut world = World::with_room_and_call();
    let step = StepId {
        run: Uuid::from_u128(5),
        index: 0,
    };
    let ended = |session: SessionId| What::Channel {
        channel: session.channel(),
        change: ChannelChange::StepEnded {
            step,
            response: "FILE PLAYED".to_owned(),
        },
    };
    let looked_up = world.looks_up(ended(call(1)));
    assert_eq!(looked_up, Some(EntityId::Session(call(1))));
    assert_eq!(world.looks_up(ended(call(2))), None, "nobody's call");
}

#[test]
fn a_recording_that_was_not_known_to_be_asked_for() {
    let mut world = World::joined();
    let recording = RecordingId::fresh(node(), Uuid::from_u128(5 << 32));
    let begins = ConferenceChange::RecordingStarted {
        recording,
        failed: false,
    };
    assert_eq!(
        world.looks_up(of_room(1, begins)),
        Some(EntityId::Room(room(1)))
    );
}

#[test]
fn a_room_that_is_heard_of_for_the_first_time() {
    let mut world = World::new();
    let comes = || of_room(1, ConferenceChange::Added(block(call(1), true)));
    assert_eq!(world.looks_up(comes()), Some(EntityId::Room(room(1))));
    assert_eq!(world.looks_up(comes()), None, "an orphan by now");
}

#[test]
fn where_a_call_was_sent_its_room_is_read_with_it_and_the_other_way_round() {
    let other = {
        let mut other = World::with_room_and_call();
        other.join(call(1), room(1)).unwrap();
        other
    };
    let (there, the_call) = (EntityId::Room(room(1)), EntityId::Session(call(1)));
    let session = other.belief.session(call(1)).unwrap().clone();
    let state = other.belief.room(room(1)).unwrap().clone();

    let mut world = World::with_room_and_call();
    world.belief.put_session(call(1), Some(session));
    assert_eq!(world.belief.written_with(the_call), [there]);
    world.belief.put_room(room(1), Some(state.clone()));
    assert_eq!(world.belief.written_with(the_call), []);

    let mut world = World::with_room_and_call();
    world.belief.put_room(room(1), Some(state));
    assert_eq!(world.belief.written_with(there), [the_call]);
}

#[test]
fn a_call_that_another_replica_has_turned_away_is_one_that_was_on_its_way() {
    let mut world = World::with_room_and_call();
    let there = EntityId::Room(room(1));
    assert_eq!(world.belief.on_their_way_into(there), []);
    world.join(call(1), room(1)).unwrap();
    let the_call = EntityId::Session(call(1));
    assert_eq!(world.belief.on_their_way_into(there), [the_call]);

    // Read again, the room says nothing of the call any more.
    let other = World::with_room_and_call();
    let state = other.belief.room(room(1)).unwrap().clone();
    world.belief.put_room(room(1), Some(state));
    assert_eq!(world.belief.written_with(there), []);
    assert_eq!(world.belief.on_their_way_into(there), []);
    assert_eq!(world.place(), Place::Joining(room(1)), "until it is read");
}

#[test]
fn old_copy_of_a_leaving_call_stays_in_the_room_that_has_it_joined() {
    let mut world = World::joined();
    world.leave().unwrap();
    let leaving = world.belief.session(call(1)).cloned();
    assert_eq!(world.place(), Place::Leaving(Some(room(1))));
    // Another replica takes the leave back in room and call. Here only the room is read again.
    let order = world.orders.pop().unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|belief, cx| belief.refused(&order, &refused, cx));
    world.belief.put_session(call(1), leaving);
    assert_eq!(world.place(), Place::Leaving(Some(room(1))));
    world.sequence += 1;
    world.looks(world.sequence, vec![late::shown(1, 1, &[call(1)])]);
    assert_eq!(world.place(), Place::InRoom(room(1)));
    world.told(&[]);
}
