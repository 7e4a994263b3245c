//! What is heard late, twice, or after a snapshot that knew more.

use std::collections::BTreeSet;

use roomkeeper::reconciler::news::ShownMember;
use roomkeeper::room::plan::Suspect;

use super::*;

/// A conference as a snapshot shows it.
pub fn shown(n: u128, life_of: u128, members: &[SessionId]) -> ShownRoom {
    ShownRoom {
        room: room(n),
        conference: life(life_of),
        locked: false,
        meta: None,
        members: members
            .iter()
            .map(|session| ShownMember {
                channel: session.channel(),
                can_speak: false,
                can_hear: true,
                hold: false,
                talking: false,
                has_floor: false,
                caller_id: "".into(),
            })
            .collect(),
        recordings: Vec::new(),
    }
}

impl World {
    fn merges(
        &mut self,
        fence: u64,
        rooms: Vec<ShownRoom>,
        confirmed: &BTreeSet<Suspect>,
    ) -> BTreeSet<Suspect> {
        let snapshot = Snapshot {
            core: core(),
            fence,
            rooms,
        };
        self.with(|belief, cx| belief.snapshot(&snapshot, confirmed, cx))
    }

    pub fn looks(&mut self, fence: u64, rooms: Vec<ShownRoom>) {
        self.merges(fence, rooms, &BTreeSet::new());
    }

    /// What happens now is told at that sequence.
    fn at(&mut self, sequence: u64, happens: impl FnOnce(&mut Self)) {
        let now = std::mem::replace(&mut self.sequence, sequence - 1);
        happens(self);
        self.sequence = now;
    }

    fn news_of(&self, sequence: u64, change: ChannelChange) -> News {
        News {
            core: core(),
            sequence,
            at: self.now,
            what: What::Channel {
                channel: call(1).channel(),
                change,
            },
        }
    }
}

#[test]
fn a_snapshot_does_not_move_a_call_that_has_told_since_its_fence_where_it_is() {
    let mut world = World::with_room_and_call();
    let fence = world.sequence - 1;
    world.looks(fence, vec![shown(1, 1, &[call(1)])]);
    world.told(&[]);
    assert!(world.wants_resync, "its next event may be lost");
    assert_eq!(world.place(), Place::Parked);
    world.enters(call(1), 1, 1, false);
    world.told(&["joined 527121101 muted=true"]);
    assert_eq!(world.place(), Place::InRoom(room(1)));
}

#[test]
fn a_call_that_ends_and_is_told_of_again_in_one_batch_is_over() {
    let mut world = World::new();
    let cause = "NORMAL_CLEARING".to_owned();
    let (by, identity) = (None, identity(Some("demo")));
    let parked = world.news_of(11, ChannelChange::Parked { identity, by });
    let over = world.news_of(12, ChannelChange::HungUp { cause });
    // Nothing is committed in between, so the end is not remembered yet.
    world.with(|belief, cx| {
        for news in [parked.clone(), over, parked] {
            belief.news(news, cx);
        }
    });
    world.told(&["call.new 747713001", "call.hangup NORMAL_CLEARING 50ms"]);
    let entered = News {
        core: core(),
        sequence: 11,
        at: world.now,
        what: What::Conference {
            room: room(1),
            conference: life(1),
            size: Some(1),
            change: ConferenceChange::Added(block(call(1), true)),
        },
    };
    world.with(|belief, cx| belief.news(entered, cx));
    world.told(&[]);
}

#[test]
fn a_call_that_does_not_exist_leaves_its_room_first_also_when_it_came_in_after_the_fence() {
    let mut world = World::joined();
    let fence = world.sequence - 1;
    world.with(|belief, cx| belief.vanished(call(1).channel(), fence, cx));
    world.told(&["left hangup (synthesized)", "call.hangup UNKNOWN 50ms"]);
}

#[test]
fn a_call_that_is_seen_in_a_room_after_it_has_gone_elsewhere_has_left_it() {
    let mut world = World::with_room_and_call();
    world.create(2);
    let late = world.sequence + 1;
    world.sequence = late;
    world.enters(call(1), 2, 2, true);
    world.told(&["created room-2", "joined 527121101 muted=false"]);
    let now = std::mem::replace(&mut world.sequence, late - 1);
    world.enters(call(1), 1, 1, true);
    world.sequence = now;
    world.told(&["joined 527121101 muted=false", "left moved (synthesized)"]);
    assert_eq!(world.place(), Place::InRoom(room(2)));
}

#[test]
fn a_conference_is_over_at_the_second_look_also_when_the_first_one_shows_its_member_elsewhere() {
    let mut world = World::joined();
    world.create(2);
    world.told.clear();
    let elsewhere = || vec![shown(2, 2, &[call(1)])];
    let fence = world.sequence + 1;
    let suspects = world.merges(fence, elsewhere(), &BTreeSet::new());
    world.told(&["left moved", "joined 527121101 muted=true (synthesized)"]);
    world.merges(fence + 1, elsewhere(), &suspects);
    let believed = world.belief.room(room(1)).unwrap();
    assert!(believed.lives().is_empty(), "{:?}", believed.lives());
}

#[test]
fn a_call_that_was_parked_before_its_conference_ended_is_parked_whichever_is_heard_first() {
    let mut world = World::joined();
    let parked_at = world.sequence;
    world.sequence += 1;
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.told(&["left removed (synthesized)"]);
    assert_eq!(world.place(), Place::Leaving(None));
    let now = std::mem::replace(&mut world.sequence, parked_at);
    world.parks(call(1), None);
    world.sequence = now;
    assert_eq!(world.place(), Place::Parked);
    world.told(&[]);
}

#[test]
fn a_call_in_a_room_that_is_not_stored_is_asked_where_it_is() {
    let mut world = World::joined();
    let listed = [ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
    }];
    assert_eq!(world.belief.wants_dump(&listed), []);
    // As after a restart: the room was nobody's, and the call was one of ours.
    world.belief.put_room(room(1), None);
    assert_eq!(world.belief.wants_dump(&listed), [call(1).channel()]);
}

#[test]
fn a_call_that_was_given_up_with_its_node_is_found_again_also_when_it_was_asked_for_meanwhile() {
    let mut world = World::with_room_and_call();
    world.with(|belief, cx| belief.core_changed(None, cx));
    let over = world.belief.session(call(1)).unwrap().clone();
    let now = world.now;
    world.belief.drop_over(EntityId::Session(call(1)), now);
    world.with(|belief, cx| belief.core_changed(Some(core()), cx));
    world.told.clear();
    // A caller has named it, so it was read.
    world.belief.put_session(call(1), Some(over.clone()));
    let listed = [ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
    }];
    assert_eq!(world.belief.wants_dump(&listed), [call(1).channel()]);
    // What is told of it otherwise does not make it one that has just ended.
    world.belief.take_touched();
    world.channel(call(1), ChannelChange::Answered(identity(None)));
    assert!(world.belief.take_touched().is_empty());
    assert!(world.belief.forget_over(EntityId::Session(call(1))));
    world.belief.put_session(call(1), Some(over));
    world.parks(call(1), Some("demo"));
    world.told(&["call.new 747713001"]);
}

#[test]
fn an_older_life_told_again_after_a_later_one_was_left_opens_nothing() {
    let mut world = World::joined();
    let first = world.sequence;
    world.enters(call(1), 1, 2, false);
    world.leaves(call(1), 1, 2, 0);
    world.told(&[
        "left removed (synthesized)",
        "joined 527121101 muted=true",
        "left removed",
    ]);
    let now = std::mem::replace(&mut world.sequence, first - 1);
    world.enters(call(1), 1, 1, false);
    world.sequence = now;
    world.told(&[]);
}

#[test]
fn a_leave_from_before_the_call_was_parked_does_not_end_the_join_that_came_after() {
    let mut world = World::with_room_and_call();
    let parked = world.sequence;
    world.join(call(1), room(1)).unwrap();
    let now = std::mem::replace(&mut world.sequence, parked - 2);
    world.leaves(call(1), 1, 1, 0);
    world.sequence = now;
    world.told(&[]);
    world.enters(call(1), 1, 1, false);
    world.told(&["joined 527121101 muted=true [c-1]"]);
    let place = world.belief.session(call(1)).unwrap().place().clone();
    assert_eq!(place, Place::InRoom(room(1)));
}

#[test]
fn a_call_that_left_and_came_back_is_in_the_room_when_its_leave_is_heard_last() {
    let mut world = World::with_room_and_call();
    let first = world.sequence;
    // Of the first stay, whose add-member is told before anything else of it.
    world.at(first + 2, |world| {
        let muted_by_key = ConferenceChange::Flags(block(call(1), false));
        world.conference(1, 1, 2, muted_by_key);
    });
    world.told(&["joined 527121101 muted=true (synthesized)"]);
    world.at(first + 4, |world| world.enters(call(1), 1, 1, true));
    world.told(&["left removed (synthesized)", "joined 527121101 muted=false"]);
    world.at(first + 3, |world| world.leaves(call(1), 1, 1, 1));
    world.at(first + 1, |world| world.enters(call(1), 1, 1, true));
    world.told(&[]);
    assert_eq!(world.place(), Place::InRoom(room(1)));
}

#[test]
fn a_call_that_a_snapshot_has_shown_and_that_came_back_since_is_in_the_room_when_its_leave_is_heard_last()
 {
    let mut world = World::with_room_and_call();
    let fence = world.sequence + 1;
    world.looks(fence, vec![shown(1, 1, &[call(1)])]);
    world.told(&["joined 527121101 muted=true (synthesized)"]);
    world.at(fence + 3, |world| world.enters(call(1), 1, 1, false));
    world.at(fence + 1, |world| world.leaves(call(1), 1, 1, 1));
    world.at(fence + 2, |world| world.parks(call(1), None));
    world.told(&[]);
    assert_eq!(world.place(), Place::InRoom(room(1)));
}

#[test]
fn the_late_end_of_an_older_life_does_not_make_the_last_end_forgotten() {
    let mut world = World::joined();
    let first = world.sequence;
    world.at(first + 2, |world| world.enters(call(1), 1, 2, false));
    world.at(first + 3, |world| world.leaves(call(1), 1, 2, 0));
    world.told(&[
        "left removed (synthesized)",
        "joined 527121101 muted=true",
        "left removed",
    ]);
    world.at(first + 1, |world| world.leaves(call(1), 1, 1, 0));
    // Told twice.
    world.at(first + 2, |world| world.enters(call(1), 1, 2, false));
    world.told(&[]);
    assert_eq!(world.place(), Place::Leaving(None));
}

#[test]
fn what_is_told_of_a_member_before_its_coming_back_is_heard_counts() {
    let mut world = World::joined();
    let first = world.sequence;
    world.at(first + 1, |world| world.leaves(call(1), 1, 1, 1));
    world.told(&["left removed"]);
    world.at(first + 3, |world| {
        let unmuted_by_key = ConferenceChange::Flags(block(call(1), true));
        world.conference(1, 1, 2, unmuted_by_key);
    });
    // Alone it does not say that the call is there: a member's last flags can be told after its end.
    world.told(&[]);
    world.at(first + 2, |world| world.enters(call(1), 1, 1, false));
    world.told(&["joined 527121101 muted=false"]);
}

#[test]
fn a_call_that_is_seen_where_it_was_before_it_was_parked_is_parked_also_when_it_is_to_go_there() {
    let mut world = World::with_room_and_call();
    world.sequence += 2;
    world.parks(call(1), None);
    let parked = world.sequence;
    world.join(call(1), room(1)).unwrap();
    world.at(parked - 2, |world| world.enters(call(1), 1, 1, true));
    world.told(&[
        "joined 527121101 muted=false [c-1]",
        "left removed (synthesized)",
    ]);
    assert_eq!(world.place(), Place::Parked);
}
