//! The talk of members, for apps that want webhooks about it.

use super::*;

impl World {
    fn wants_talk(&mut self) {
        let rules = Rules {
            apps: BTreeSet::from([demo()]),
            talk_apps: BTreeSet::from([demo()]),
            muted_talk_apps: BTreeSet::from([demo()]),
            ..Rules::default()
        };
        self.node_state.set_rules(rules);
    }

    fn unmuted() -> Self {
        let mut world = Self::with_room_and_call();
        world.enters(call(1), 1, 1, true);
        world.notifications.clear();
        world
    }

    fn is_heard(&mut self, call: CallId, size: usize, talking: bool) {
        let block = MemberBlock {
            talking,
            ..block(call, true)
        };
        self.conference(1, 1, size, ConferenceChange::Flags(block));
    }

    /// Stores the room and reads it again: talk is not stored, its report is.
    fn forgets_talk(&mut self) {
        let state = self.node_state.room(room(1)).unwrap();
        let mut changes = roomkeeper_core::room::state::Changes::default();
        changes.members.extend(state.members().keys());
        let (head, parts) = encode_room(state, &changes, true);
        let parts = parts.into_iter();
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: parts
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        };
        let restored = decode_room(room(1), &record).unwrap();
        let member = &restored.members()[&call(1)];
        assert!(member.talk_reported && !member.flags.talking);
        self.node_state.put_room(room(1), Some(restored));
    }

    fn talks_muted(&mut self) {
        let block = block(call(1), false);
        self.conference(1, 1, 1, ConferenceChange::MutedTalk(block));
    }
}

#[test]
fn start_and_stop_are_reported_to_an_app_that_wants_them() {
    let mut world = World::unmuted();
    world.is_heard(call(1), 1, true);
    world.is_heard(call(1), 1, false);
    world.expect_notifications(&[]);
    world.wants_talk();
    for talking in [true, true, false, false] {
        world.is_heard(call(1), 1, talking);
    }
    world.expect_notifications(&["talking true", "talking false"]);
    world.is_heard(call(1), 1, true);
    world.flags_muted();
    world.expect_notifications(&["talking true", "muted", "talking false"]);
}

impl World {
    fn flags_muted(&mut self) {
        let block = block(call(1), false);
        self.conference(1, 1, 1, ConferenceChange::Flags(block));
    }
}

#[test]
fn starts_of_a_member_are_bounded_and_each_has_its_stop() {
    let mut world = World::unmuted();
    world.wants_talk();
    for _ in 0..40 {
        world.is_heard(call(1), 1, true);
        world.is_heard(call(1), 1, false);
    }
    world.expect_notifications(&["talking true", "talking false"].repeat(5));
    world.is_heard(call(1), 1, true);
    world.now = world.now + Duration::from_secs(10);
    world.is_heard(call(1), 1, false);
    world.expect_notifications(&[]);
    world.is_heard(call(1), 1, true);
    world.expect_notifications(&["talking true"]);
}

#[test]
fn starts_of_a_room_are_bounded() {
    let mut world = World::unmuted();
    for n in 2..=20 {
        world.parks(call(n), Some("demo"));
        let block = block(call(n), true);
        world.conference(1, 1, n as usize, ConferenceChange::Added(block));
    }
    world.notifications.clear();
    world.wants_talk();
    for _ in 0..5 {
        for n in 1..=20 {
            world.is_heard(call(n), 20, true);
            world.is_heard(call(n), 20, false);
        }
    }
    world.expect_notifications(&["talking true", "talking false"].repeat(50));
}

#[test]
fn stop_that_a_restart_missed_is_reported_with_the_next_report() {
    let mut world = World::unmuted();
    world.wants_talk();
    world.is_heard(call(1), 1, true);
    world.expect_notifications(&["talking true"]);
    world.forgets_talk();
    world.is_heard(call(1), 1, false);
    world.expect_notifications(&["talking false"]);
    world.is_heard(call(1), 1, false);
    world.expect_notifications(&[]);
}

#[test]
fn muted_talk_is_reported_once_and_is_no_talk() {
    let mut world = World::joined();
    world.talks_muted();
    world.expect_notifications(&[]);
    world.wants_talk();
    world.talks_muted();
    world.sequence -= 1;
    world.talks_muted();
    world.expect_notifications(&["talks muted"]);
    let room = world.node_state.room(room(1)).unwrap();
    let member = &room.members()[&call(1)];
    assert!(!member.flags.talking && !member.talk_reported);
}

#[test]
fn join_asks_freeswitch_to_detect_muted_talk_only_for_an_app_that_wants_it() {
    for wants in [false, true] {
        let mut world = World::with_room_and_call();
        if wants {
            world.wants_talk();
        }
        world.join(call(1), room(1)).unwrap();
        let SwitchAction::Enter(entry) = &world.commands[0].action else {
            panic!("{:?}", world.commands);
        };
        assert_eq!(entry.detects_muted_talk, wants);
    }
}
