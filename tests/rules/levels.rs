//! The volumes of a member and the energy above which it is heard.

use super::*;
use roomkeeper_core::intent::UpdateMember;
use roomkeeper_core::labels::LabelsUpdate;
use roomkeeper_core::node_state::Timeouts;
use roomkeeper_core::room::{Level, Member, MemberSettings, MemberUpdate, Settings, Sparse};

/// The levels of a member that nobody has changed: the profile has an energy of 100.
const PROFILE: ReportedLevels = ReportedLevels {
    volume_in: Some(0),
    volume_out: Some(0),
    energy: Some(100),
};

fn volume_in(value: i32) -> MemberUpdate {
    MemberUpdate {
        volume_in: Some(value),
        ..MemberUpdate::default()
    }
}

fn all() -> MemberUpdate {
    MemberUpdate {
        volume_in: Some(2),
        volume_out: Some(-3),
        energy: Some(Some(300)),
        ..MemberUpdate::default()
    }
}

impl World {
    fn set_levels(&mut self, update: MemberUpdate) {
        let update = UpdateMember {
            update: Box::new(update),
            labels: LabelsUpdate::default(),
        };
        let (room, call) = (room(1), call(1));
        let intent = Intent::new(Target::Member { room, call }, demo(), update);
        self.submit(intent.with_uid(Some("c-4".parse().unwrap())))
            .unwrap();
    }

    /// Reports a level of the first call.
    fn level(&mut self, level: Level, value: i32) {
        let block = block(call(1), false);
        let change = ConferenceChange::Level {
            block,
            level,
            value,
        };
        self.conference(1, 1, 1, change);
    }

    /// Merges a snapshot that shows the first call with these levels.
    fn shows_levels(&mut self, levels: ReportedLevels) {
        self.sequence += 1;
        self.shows_levels_at((core(), 1), self.sequence, levels);
    }

    fn shows_levels_at(
        &mut self,
        (core, instance): (CoreId, u128),
        fence: u64,
        levels: ReportedLevels,
    ) {
        let member = SnapshotMember {
            channel: call(1).channel(),
            can_speak: false,
            can_hear: true,
            hold: false,
            talking: false,
            has_floor: false,
            talked: None,
            levels,
            caller_id: "527121101".into(),
        };
        let snapshot = Snapshot {
            core,
            fence,
            rooms: vec![SnapshotRoom {
                room: room(1),
                conference: conference_id(instance),
                locked: false,
                meta: None,
                recordings: Vec::new(),
                members: vec![member],
            }],
        };
        self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
    }

    /// Takes the levels that were sent.
    fn sent(&mut self) -> Vec<(Level, i32)> {
        let commands = std::mem::take(&mut self.commands);
        let levels = commands.into_iter().filter_map(|c| match c.action {
            SwitchAction::SetLevel { level, value } => Some((level, value)),
            _ => None,
        });
        levels.collect()
    }

    fn first_member(&self) -> &Member {
        &self.node_state.room(room(1)).unwrap().members()[&call(1)]
    }

    /// Stores the room and reads it again, as a restart does.
    fn restart_with_members(&mut self) {
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
        assert_eq!(restored.members(), state.members());
    }
}

#[test]
fn levels_of_a_join_are_in_its_entry_and_need_no_command() {
    let mut world = World::with_room_and_call();
    let mut settings: Sparse<MemberSettings> = Sparse::default();
    settings.apply(all());
    let join = Join {
        settings,
        ..Join::default()
    };
    let (room, call) = (room(1), call(1));
    let intent = Intent::new(Target::Member { room, call }, demo(), join);
    world.submit(intent).unwrap();
    let SwitchAction::Enter(entry) = &world.commands[0].action else {
        panic!("{:?}", world.commands);
    };
    assert_eq!(entry.member.volume_out, -3);
    assert_eq!(entry.member.energy, Some(300));
    world.commands.clear();
    world.enters(call, 1, 1, false);
    world.expect_notifications(&[
        r#"joined 527121101 muted=true {"volume_in":2,"volume_out":-3,"energy":300}"#,
    ]);
    assert_eq!(world.sent(), []);
    world.restart_with_members();
}

#[test]
fn changed_levels_are_sent_and_reported_once() {
    let mut world = World::joined();
    world.set_levels(all());
    let updated = r#"member updated {"volume_in":2,"volume_out":-3,"energy":300} [c-4]"#;
    world.expect_notifications(&[updated]);
    let sent = [
        (Level::VolumeIn, 2),
        (Level::VolumeOut, -3),
        (Level::Energy, 300),
    ];
    assert_eq!(world.sent(), sent);
    for (level, value) in sent {
        world.level(level, value);
    }
    world.set_levels(all());
    world.expect_notifications(&[]);
    assert_eq!(world.sent(), []);
}

#[test]
fn change_of_another_client_is_followed_and_reported() {
    let mut world = World::joined();
    world.level(Level::VolumeIn, -4);
    world.expect_notifications(&[r#"member updated {"volume_in":-4}"#]);
    world.level(Level::Energy, 5_000);
    world.expect_notifications(&[r#"member updated {"energy":5000}"#]);
    world.level(Level::VolumeIn, 0);
    world.expect_notifications(&[r#"member updated {"volume_in":0}"#]);
    assert_eq!(world.sent(), []);
}

#[test]
fn snapshot_corrects_levels_and_ignores_the_energy_of_the_profile() {
    let mut world = World::joined();
    world.shows_levels(PROFILE);
    world.expect_notifications(&[]);
    assert!(world.first_member().settings.is_default());
    world.shows_levels(ReportedLevels {
        volume_in: Some(1),
        volume_out: Some(2),
        ..PROFILE
    });
    world.expect_notifications(&[r#"member updated {"volume_in":1,"volume_out":2} (synthesized)"#]);
    world.level(Level::Energy, 300);
    world.notifications.clear();
    world.shows_levels(PROFILE);
    world.expect_notifications(&[
        r#"member updated {"volume_in":0,"volume_out":0,"energy":100} (synthesized)"#,
    ]);
}

#[test]
fn level_that_freeswitch_lacks_is_sent_again_with_a_snapshot_until_confirmed() {
    let mut world = World::joined();
    world.set_levels(volume_in(2));
    world.notifications.clear();
    assert_eq!(world.sent(), [(Level::VolumeIn, 2)]);
    world.restart_with_members();
    world.shows_levels(PROFILE);
    assert_eq!(world.sent(), [(Level::VolumeIn, 2)]);
    let two = ReportedLevels {
        volume_in: Some(2),
        ..PROFILE
    };
    world.shows_levels(two);
    assert_eq!(world.sent(), []);
    world.expect_notifications(&[]);
    world.shows_levels(PROFILE);
    world.expect_notifications(&[r#"member updated {"volume_in":0} (synthesized)"#]);
    assert_eq!(world.sent(), []);
    assert!(world.first_member().settings.is_default());
    assert!(world.first_member().requests.levels().is_empty());
}

#[test]
fn event_of_an_earlier_request_changes_nothing() {
    let mut world = World::joined();
    world.set_levels(volume_in(2));
    world.set_levels(volume_in(3));
    world.notifications.clear();
    world.level(Level::VolumeIn, 2);
    world.expect_notifications(&[]);
    world.level(Level::VolumeIn, 3);
    world.expect_notifications(&[]);
    assert_eq!(world.first_member().settings.volume_in, 3);
    let late = world.sequence;
    world.level(Level::VolumeIn, 1);
    world.notifications.clear();
    world.shows_levels_at((core(), 1), late, PROFILE);
    world.expect_notifications(&[]);
}

#[test]
fn refused_level_leads_to_a_snapshot_and_stays_wanted() {
    let mut world = World::joined();
    world.set_levels(volume_in(2));
    let command = world.commands.remove(0);
    let error = CommandError::NoSuchChannel;
    world.with(|node_state, cx| {
        node_state.revert_command(&command, &error, cx);
        assert!(cx.out.resync.is_some());
    });
    assert_eq!(world.first_member().settings.volume_in, 2);
    world.shows_levels(PROFILE);
    assert_eq!(world.sent(), [(Level::VolumeIn, 2)]);
}

#[test]
fn member_whose_call_outlives_its_core_gets_its_levels_back() {
    let mut world = World::joined();
    let rules = Rules {
        apps: BTreeSet::from([demo()]),
        timeouts: Timeouts {
            recovery: Duration::from_secs(20),
            ..Timeouts::default()
        },
        ..Rules::default()
    };
    world.node_state.set_rules(rules);
    world.set_levels(volume_in(2));
    world.level(Level::VolumeIn, 2);
    world.commands.clear();
    let next = CoreId::new(Uuid::from_u128(8));
    world.with(|node_state, cx| node_state.core_changed(Some(next), cx));
    world.notifications.clear();
    world.shows_levels_at((next, 9), 5, PROFILE);
    assert_eq!(world.sent(), [(Level::VolumeIn, 2)]);
    assert_eq!(world.first_member().settings.volume_in, 2);
    let reported: Vec<_> = world.notifications.drain(..).collect();
    assert!(
        reported
            .iter()
            .all(|n| !format!("{n:?}").contains("Updated")),
        "{reported:?}"
    );
}

#[test]
fn defaults_are_no_levels() {
    assert_eq!(Level::Energy.get(MemberSettings::defaults()), None);
    assert_eq!(Level::VolumeIn.get(MemberSettings::defaults()), Some(0));
}
