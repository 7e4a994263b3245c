//! Conferences of the VoIPBIN API: of two, with a time, changed by their owner.

use roomkeeper::room::{RoomStatus, Update};

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
                world.orders.pop(),
                Some(Order::Enter {
                    kind: Kind::Connect,
                    muted: false,
                    ..
                })
            ));
            world.enters(call(n), 1, 1, true);
        }
        world.told.clear();
        world
    }

    fn parked_out(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.orders)
            .into_iter()
            .filter_map(|order| {
                if let Order::Park { session, .. } = order {
                    Some(session)
                } else {
                    None
                }
            })
            .collect()
    }

    fn status(&self) -> Option<RoomStatus> {
        self.belief.room(room(1)).map(|r| r.status())
    }
}

fn timed(timeout: u32) -> Details {
    Details {
        timeout,
        ..Details::default()
    }
}

#[test]
fn a_third_is_refused() {
    let mut world = World::connect();
    assert_eq!(world.join(call(3), room(1)), Err(Refusal::RoomFull));
    world.told(&[]);
}

#[test]
fn a_third_that_the_dialplan_brings_is_put_out_and_the_two_stay() {
    let mut world = World::connect();
    world.enters(call(3), 1, 1, true);
    world.told(&["joined 527121101 muted=false"]);
    assert_eq!(world.parked_out(), [call(3)]);
    world.leaves(call(3), 1, 1, 2);
    world.told(&["left removed"]);
    assert_eq!(world.status(), Some(RoomStatus::Progressing));
    assert!(world.parked_out().is_empty());
}

#[test]
fn one_alone_that_is_back_before_it_was_heard_to_go_finds_it_over_and_is_put_out() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Connect, Details::default());
    world.parks(call(1), Some("demo"));
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 1, true);
    world.told.clear();
    world.orders.clear();
    world.enters(call(1), 1, 1, true);
    world.told(&["left removed (synthesized)", "destroyed"]);
    assert_eq!(world.parked_out(), [call(1)]);
    assert_eq!(world.status(), Some(RoomStatus::Terminated));
}

#[test]
fn when_one_goes_the_other_goes_too_and_the_conference_with_them() {
    let mut world = World::connect();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    world.told(&["left hangup", "call.hangup NORMAL_CLEARING 50ms"]);
    assert_eq!(world.parked_out(), [call(2)]);
    assert_eq!(
        world.join(call(3), room(1)),
        Err(Refusal::RoomNotFound),
        "it is ending"
    );
    world.leaves(call(2), 1, 1, 0);
    world.told(&["left room_destroyed", "destroyed"]);
}

#[test]
fn also_when_it_was_the_only_one() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Connect, Details::default());
    world.parks(call(1), Some("demo"));
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 1, true);
    world.told.clear();
    world.leave().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.told(&["left removed [c-3]", "destroyed"]);
}

#[test]
fn at_its_time_a_conference_ends_and_its_members_are_parked() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Conference, timed(60));
    world.parks(call(1), Some("demo"));
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 1, true);
    world.told.clear();
    world.orders.clear();
    let deadline = world.belief.room(room(1)).unwrap().next_deadline();
    assert_eq!(deadline, Some(Timestamp::from_millis(61_000)));
    world.waits(59);
    assert!(world.parked_out().is_empty());
    world.waits(1);
    assert_eq!(world.parked_out(), [call(1)]);
    world.leaves(call(1), 1, 1, 0);
    world.told(&["left timeout", "destroyed"]);
}

#[test]
fn an_empty_conference_ends_at_its_time_at_once() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Conference, timed(5));
    world.told.clear();
    world.waits(5);
    world.told(&["destroyed"]);
    let ended = world.belief.room(room(1)).unwrap();
    assert_eq!(ended.status(), RoomStatus::Terminated);
    assert_eq!(ended.ended_at(), Some(Timestamp::from_millis(6_000)));
}

#[test]
fn its_owner_changes_what_it_says_and_the_time_that_counts_is_the_new_one() {
    let mut world = World::new();
    world.create_as(1, Origin::Voipbin, Kind::Conference, timed(5));
    world.told.clear();
    let change = |update: Update| Intent::UpdateRoom {
        room: room(1),
        app: demo(),
        update: Box::new(update),
    };
    let update = Update {
        name: Some("another".to_owned()),
        detail: Some(String::new()),
        timeout: Some(20),
        ..Update::default()
    };
    assert_eq!(world.asks(change(update.clone())), Ok(Accepted::Updated));
    world.told(&["updated {\"name\":\"another\",\"timeout\":20}"]);
    assert_eq!(world.asks(change(update)), Ok(Accepted::Updated));
    world.told(&[]);
    world.waits(5);
    world.told(&[]);
    let none = Update {
        timeout: Some(0),
        ..Update::default()
    };
    world.asks(change(none)).unwrap();
    world.told(&["updated {\"timeout\":0}"]);
    world.waits(1_000);
    world.told(&[]);
}

#[test]
fn a_conference_made_while_its_node_cannot_be_reached_starts_and_goes_on_when_it_can() {
    let mut world = World::new();
    world.create(1);
    assert_eq!(world.status(), Some(RoomStatus::Starting));
    assert!(world.belief.room(room(1)).unwrap().is_open());
    let snapshot = Snapshot {
        core: core(),
        fence: 50,
        rooms: Vec::new(),
    };
    world.with(|belief, cx| belief.snapshot(&snapshot, &BTreeSet::new(), cx));
    assert_eq!(world.status(), Some(RoomStatus::Progressing));
    world.belief.set_reachable(true);
    world.create(2);
    let status = world.belief.room(room(2)).unwrap().status();
    assert_eq!(status, RoomStatus::Progressing);
}
