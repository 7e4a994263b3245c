//! The lock of a room: what is asked, what FreeSWITCH says, who comes in, and what outlives a conference.

use roomkeeper::room::RoomState;
use roomkeeper::room::state::Changes;

use super::late::shown;
use super::*;

fn order(lock: bool) -> Order {
    Order::Lock {
        room: room(1),
        lock,
    }
}

impl World {
    fn lock(&mut self, lock: bool) -> Result<Accepted, Refusal> {
        self.asks(Intent::Lock {
            room: room(1),
            app: demo(),
            lock,
            command_uid: Some("l-1".parse().unwrap()),
        })
    }

    fn is_locked(&self) -> bool {
        self.state().lock().locked()
    }

    fn state(&self) -> &RoomState {
        self.belief.room(room(1)).unwrap()
    }

    /// FreeSWITCH says so of the conference.
    fn turns(&mut self, life_of: u128, locked: bool) {
        self.conference(1, life_of, 1, ConferenceChange::Locked(locked));
    }

    /// A snapshot shows the conference with the call in it.
    fn shows(&mut self, life_of: u128, locked: bool) {
        let mut room = shown(1, life_of, &[call(1)]);
        room.locked = locked;
        self.sequence += 1;
        self.looks(self.sequence, vec![room]);
    }

    fn ends(&mut self, life_of: u128) {
        self.leaves(call(1), 1, life_of, 0);
        self.conference(1, life_of, 0, ConferenceChange::Destroyed);
    }

    /// The call is in a room that FreeSWITCH has locked.
    fn locked() -> Self {
        let mut world = Self::joined();
        world.lock(true).unwrap();
        world.turns(1, true);
        world.told.clear();
        world.orders.clear();
        world
    }

    /// Written, and read by another replica.
    fn stored_and_read(&mut self) {
        let state = self.state();
        let all = Changes {
            members: state.members().keys().copied().collect(),
            ..Changes::default()
        };
        let (head, parts) = encode_room(state, &all, true);
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: parts
                .into_iter()
                .filter_map(|(name, text)| Some((name, text?)))
                .collect(),
        };
        let read = decode_room(room(1), &record).unwrap();
        assert_eq!(read.lock().locked(), state.lock().locked());
        assert_eq!(read.lock().due(), state.lock().due());
        assert_eq!(read.lock().asked(), state.lock().asked());
        self.belief.put_room(room(1), Some(read));
    }

    #[track_caller]
    fn orders(&mut self, expected: &[Order]) {
        let orders = std::mem::take(&mut self.orders);
        let locks: Vec<_> = orders
            .into_iter()
            .filter(|order| matches!(order, Order::Lock { .. }))
            .collect();
        assert_eq!(locks, expected);
    }
}

#[test]
fn a_room_is_locked_when_freeswitch_says_so() {
    let mut world = World::joined();
    assert_eq!(world.lock(true), Ok(Accepted::Locking));
    world.orders(&[order(true)]);
    world.told(&[]);
    assert!(!world.is_locked());
    // Nothing more is done about it.
    assert_eq!(world.lock(true), Ok(Accepted::Locking));
    world.orders(&[]);
    world.turns(1, true);
    world.told(&["locked=true [l-1]"]);
    assert!(world.is_locked());
    assert_eq!(world.lock(true), Ok(Accepted::Locked { locked: true }));
    world.orders(&[]);
    assert_eq!(world.lock(false), Ok(Accepted::Locking));
    world.orders(&[order(false)]);
    world.turns(1, false);
    world.told(&["locked=false [l-1]"]);
    assert!(!world.is_locked());
    world.turns(1, false);
    world.told(&[]);
}

#[test]
fn only_its_owner_locks_a_room_that_lives() {
    let mut world = World::joined();
    let asks = |room, app: &str| Intent::Lock {
        room,
        app: app.parse().unwrap(),
        lock: true,
        command_uid: None,
    };
    assert_eq!(
        world.asks(asks(room(1), "other")),
        Err(Refusal::ForeignRoom)
    );
    assert_eq!(
        world.asks(asks(room(9), "demo")),
        Err(Refusal::RoomNotFound)
    );
    world.delete().unwrap();
    assert_eq!(world.lock(true), Err(Refusal::RoomNotFound));
    world.orders(&[]);
}

#[test]
fn nobody_joins_a_locked_room_and_whoever_is_in_it_stays() {
    let mut world = World::locked();
    world.parks(call(2), Some("demo"));
    assert_eq!(world.join(call(2), room(1)), Err(Refusal::RoomLocked));
    assert!(matches!(
        world.join(call(1), room(1)),
        Ok(Accepted::AlreadyJoined { .. })
    ));
    // Whom FreeSWITCH lets in all the same is in.
    world.told.clear();
    world.enters(call(3), 1, 1, true);
    world.told(&["call.new 747713001", "joined 527121101 muted=false"]);
    world.turns(1, false);
    assert!(world.join(call(2), room(1)).is_ok());
}

#[test]
fn a_join_that_was_under_way_is_refused_by_freeswitch() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    world.lock(true).unwrap();
    world.turns(1, true);
    world.told.clear();
    // It is parked again.
    world.parks(call(2), None);
    world.told(&["join_failed refused [c-1]"]);
}

#[test]
fn what_the_console_does_is_told_too() {
    let mut world = World::joined();
    world.turns(1, true);
    world.told(&["locked=true"]);
    world.orders(&[]);
    // A snapshot that shows another state than the events have told.
    world.shows(1, false);
    world.told(&["locked=false (synthesized)"]);
    world.shows(1, true);
    world.told(&["locked=true (synthesized)"]);
    world.orders(&[]);
}

#[test]
fn news_of_the_lock_counts_by_its_sequence() {
    let mut world = World::joined();
    let at = |sequence, locked| News {
        core: core(),
        sequence,
        at: Timestamp::from_millis(1),
        what: What::Conference {
            room: room(1),
            conference: life(1),
            size: Some(1),
            change: ConferenceChange::Locked(locked),
        },
    };
    let now = world.sequence;
    world.with(|belief, cx| belief.news(at(now + 3, true), cx));
    world.with(|belief, cx| belief.news(at(now + 2, false), cx));
    world.with(|belief, cx| belief.news(at(now + 3, true), cx));
    world.told(&["locked=true"]);
    assert!(world.is_locked());
}

#[test]
fn a_lock_that_is_refused_or_not_confirmed_is_forgotten() {
    let mut world = World::joined();
    world.lock(true).unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|belief, cx| belief.refused(&order(true), &refused, cx));
    assert!(world.state().lock().asked().is_none());
    world.lock(true).unwrap();
    world.waits(11);
    assert!(world.state().lock().asked().is_none());
    // It was carried out after all.
    world.turns(1, true);
    world.told(&["locked=true"]);
    // An answer that does not come says nothing.
    world.lock(false).unwrap();
    world.with(|belief, cx| belief.refused(&order(true), &refused, cx));
    assert!(
        world.state().lock().asked().is_some(),
        "another was refused"
    );
}

#[test]
fn an_empty_room_is_locked_at_once_and_its_conference_when_it_comes_to_be() {
    let mut world = World::with_room_and_call();
    assert_eq!(world.lock(true), Ok(Accepted::Locked { locked: true }));
    world.told(&["locked=true [l-1]"]);
    world.orders(&[]);
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::RoomLocked));
    // The dialplan brings one.
    world.enters(call(1), 1, 1, true);
    world.told(&["joined 527121101 muted=false"]);
    world.orders(&[order(true)]);
    assert!(world.state().lock().due());
    world.turns(1, true);
    world.told(&[]);
    assert!(!world.state().lock().due());
    // And unlocked while it is empty.
    world.ends(1);
    world.told.clear();
    assert_eq!(world.lock(false), Ok(Accepted::Locked { locked: false }));
    world.told(&["locked=false [l-1]"]);
    world.enters(call(1), 1, 2, true);
    world.orders(&[]);
}

#[test]
fn a_lock_outlives_its_conference() {
    let mut world = World::locked();
    world.ends(1);
    world.told(&["left removed"]);
    assert!(world.is_locked());
    world.enters(call(1), 1, 2, true);
    world.orders(&[order(true)]);
    // What the last life is told to be says nothing of this one.
    world.turns(1, false);
    assert!(world.is_locked());
    world.turns(2, true);
    world.told(&["joined 527121101 muted=false"]);
}

#[test]
fn a_lock_that_is_due_is_asked_for_until_a_snapshot_shows_it() {
    let mut world = World::locked();
    world.ends(1);
    world.enters(call(1), 1, 2, false);
    world.orders(&[order(true)]);
    world.told.clear();
    // The order was lost.
    world.shows(2, false);
    world.orders(&[order(true)]);
    world.stored_and_read();
    world.shows(2, false);
    world.orders(&[order(true)]);
    world.shows(2, true);
    world.orders(&[]);
    world.told(&[]);
    // From here on FreeSWITCH is believed.
    world.shows(2, false);
    world.orders(&[]);
    world.told(&["locked=false (synthesized)"]);
}

#[test]
fn somebody_who_unlocks_it_at_freeswitch_is_heeded_also_while_it_is_due() {
    let mut world = World::locked();
    world.ends(1);
    world.enters(call(1), 1, 2, true);
    world.told.clear();
    world.turns(2, false);
    world.told(&["locked=false"]);
    assert!(!world.state().lock().due());
    world.orders.clear();
    world.shows(2, false);
    world.orders(&[]);
}

#[test]
fn one_that_is_due_can_be_unlocked() {
    let mut world = World::locked();
    world.ends(1);
    world.enters(call(1), 1, 2, false);
    world.orders.clear();
    assert_eq!(world.lock(false), Ok(Accepted::Locking));
    world.orders(&[order(false)]);
    world.told.clear();
    // FreeSWITCH never had it locked, and a snapshot is the first to say so.
    world.shows(2, false);
    world.told(&["locked=false [l-1] (synthesized)"]);
    world.orders(&[]);
}

#[test]
fn what_was_asked_of_a_conference_that_ends_holds_without_it() {
    let mut world = World::joined();
    world.lock(true).unwrap();
    // It has ended, and its end is yet to be heard of.
    let error = CommandError::NoSuchChannel;
    world.with(|belief, cx| belief.refused(&order(true), &error, cx));
    world.stored_and_read();
    world.told(&[]);
    world.ends(1);
    world.told(&["left removed", "locked=true [l-1]"]);
    assert!(world.is_locked());
    assert_eq!(world.lock(true), Ok(Accepted::Locked { locked: true }));
}

#[test]
fn another_run_of_freeswitch_does_not_unlock_a_room() {
    let mut world = World::locked();
    let again = CoreId::new(Uuid::from_u128(8));
    world.with(|belief, cx| belief.core_changed(Some(again), cx));
    assert!(world.is_locked());
    world.told.clear();
    let news = News {
        core: again,
        sequence: 5,
        at: world.now,
        what: What::Conference {
            room: room(1),
            conference: life(7),
            size: Some(1),
            change: ConferenceChange::Added(block(call(5), true)),
        },
    };
    world.orders.clear();
    world.with(|belief, cx| belief.news(news, cx));
    world.orders(&[order(true)]);
}

#[test]
fn a_room_that_ends_wants_nothing_of_its_lock() {
    let mut world = World::joined();
    world.lock(true).unwrap();
    world.delete().unwrap();
    world.told.clear();
    world.ends(1);
    world.told(&["left room_destroyed", "destroyed"]);
    // One that comes in all the same finds nothing locked, and nobody is told of what is done there.
    world.orders.clear();
    world.enters(call(1), 1, 2, true);
    world.turns(2, true);
    world.orders(&[]);
    world.told(&[]);
}

#[test]
fn a_locked_conference_that_is_adopted_is_told_to_be_locked() {
    let mut world = World::new();
    let registration = Registration {
        app: demo(),
        name: "lost".to_owned(),
        origin: Origin::Gateway,
        created_at: Timestamp::from_millis(1),
        kind: Kind::Conference,
        details: Details::default(),
    };
    world.channel(call(1), ChannelChange::Created(identity(Some("demo"))));
    let mut room = shown(1, 1, &[call(1)]);
    room.locked = true;
    room.meta = Some(meta::encode(&registration));
    world.sequence += 1;
    world.looks(world.sequence, vec![room]);
    world.told(&[
        "call.new 747713001",
        "joined 527121101 muted=true (synthesized)",
        "locked=true (synthesized)",
    ]);
    world.orders(&[]);
    // It was somebody's before that was known, and had told of its lock.
    let mut world = World::new();
    world.enters(call(1), 1, 1, false);
    world.turns(1, true);
    world.told(&[]);
    let mut room = shown(1, 1, &[call(1)]);
    room.locked = true;
    room.meta = Some(meta::encode(&registration));
    world.sequence += 1;
    world.looks(world.sequence, vec![room]);
    world.told(&[
        "call.new 747713001",
        "joined 527121101 muted=true (synthesized)",
        "locked=true (synthesized)",
    ]);
}

#[test]
fn a_kick_names_the_room_and_the_call() {
    let mut world = World::joined();
    world.create(2);
    world.told.clear();
    let kick = |of: u128, app: &str| Intent::Kick {
        session: call(1),
        room: room(of),
        member: None,
        app: app.parse().unwrap(),
        command_uid: Some("k-1".parse().unwrap()),
    };
    for (asks, refusal) in [
        (kick(2, "demo"), Refusal::NotInRoom),
        (kick(9, "demo"), Refusal::RoomNotFound),
        (kick(1, "other"), Refusal::ForeignRoom),
    ] {
        assert_eq!(world.asks(asks), Err(refusal));
    }
    let leaving = Ok(Accepted::Leaving { room: room(1) });
    assert_eq!(world.asks(kick(1, "demo")), leaving);
    assert!(matches!(world.orders.as_slice(), [Order::Park { .. }]));
    // Once more: it is on its way.
    assert_eq!(world.asks(kick(1, "demo")), leaving);
    assert_eq!(world.orders.len(), 1);
    world.told(&[]);
    world.leaves(call(1), 1, 1, 0);
    world.told(&["left removed [k-1]"]);
    world.parks(call(1), None);
    assert_eq!(world.place(), Place::Parked);
    assert_eq!(world.asks(kick(1, "demo")), Err(Refusal::NotInRoom));
    // One that is still joining does not come in.
    world.join(call(1), room(1)).unwrap();
    world.orders.clear();
    assert_eq!(world.asks(kick(1, "demo")), leaving);
    world.told(&["join_failed removed [c-1]"]);
    world.delete().unwrap();
    assert_eq!(world.asks(kick(1, "demo")), Err(Refusal::RoomNotFound));
}
