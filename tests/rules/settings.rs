//! Settings of rooms and members: at a join, by an update, and what keeps them.

use super::*;
use roomkeeper_core::intent::{UpdateAccepted, UpdateMember, UpdateRoom};
use roomkeeper_core::labels::{InvalidLabel, Labels, LabelsUpdate, MOST_LABELS};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{
    MemberSettings, MemberUpdate, RoomControl, RoomSettings, RoomSettingsUpdate, RoomStatus,
    Sparse, Tone, Tones, Update,
};

fn labels(json: &str) -> Labels {
    serde_json::from_str(json).unwrap()
}

fn labels_update(labels: &[(&str, Option<&str>)]) -> LabelsUpdate {
    let mut update = LabelsUpdate::default();
    for (key, value) in labels {
        update.put(key, *value).unwrap();
    }
    update
}

impl World {
    fn join_labelled(&mut self) {
        let join = Join {
            settings: Sparse::new(MemberSettings {
                labels: labels(r#"{"seat":"12"}"#),
                ..MemberSettings::default()
            }),
            ..Join::default()
        };
        let target = Target::Member {
            room: room(1),
            call: call(1),
        };
        self.submit(Intent::new(target, demo(), join)).unwrap();
    }

    fn label_member(&mut self, changed: &[(&str, Option<&str>)]) -> Result<Accepted, Refusal> {
        let update = UpdateMember {
            update: Box::new(MemberUpdate::default()),
            labels: labels_update(changed),
        };
        let target = Target::Member {
            room: room(1),
            call: call(1),
        };
        let intent = Intent::new(target, demo(), update);
        self.submit(intent.with_uid(Some("c-4".parse().unwrap())))
    }

    fn label_room(&mut self, changed: &[(&str, Option<&str>)]) -> Result<Accepted, Refusal> {
        let update = UpdateRoom {
            update: Box::new(Update::default()),
            labels: labels_update(changed),
        };
        let intent = Intent::new(Target::Room(room(1)), demo(), update);
        self.submit(intent.with_uid(Some("c-5".parse().unwrap())))
    }

    fn update_room(&mut self, settings: RoomSettingsUpdate) {
        let update = UpdateRoom {
            update: Box::new(Update {
                settings,
                ..Update::default()
            }),
            labels: LabelsUpdate::default(),
        };
        let intent = Intent::new(Target::Room(room(1)), demo(), update);
        self.submit(intent).unwrap();
    }

    /// Takes the controls that were sent.
    fn controls(&mut self) -> Vec<RoomControl> {
        let commands = std::mem::take(&mut self.commands);
        let controls = commands.into_iter().map(|command| command.action);
        let controls = controls.filter_map(|action| match action {
            SwitchAction::Control(control) => Some(control),
            _ => None,
        });
        controls.collect()
    }

    /// Merges a snapshot that shows the room with its first call.
    fn shows(&mut self, talked: Option<Duration>, talking: bool) {
        self.sequence += 1;
        let snapshot = Snapshot {
            core: core(),
            fence: self.sequence,
            rooms: vec![SnapshotRoom {
                room: room(1),
                conference: conference_id(1),
                locked: false,
                meta: None,
                recordings: Vec::new(),
                members: vec![SnapshotMember {
                    channel: call(1).channel(),
                    can_speak: false,
                    can_hear: true,
                    hold: false,
                    talking,
                    has_floor: false,
                    talked,
                    levels: ReportedLevels::default(),
                    caller_id: "527121101".into(),
                }],
            }],
        };
        self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
    }

    fn talks(&mut self, talking: bool) {
        let block = MemberBlock {
            talking,
            ..block(call(1), true)
        };
        self.conference(1, 1, 1, ConferenceChange::Flags(block));
    }

    fn is_open(&self) -> bool {
        self.node_state.room(room(1)).unwrap().is_open()
    }

    fn settings(&self) -> Sparse<MemberSettings> {
        let room = self.node_state.room(room(1)).unwrap();
        room.members()[&call(1)].settings.clone()
    }

    /// Stores the room and reads it again.
    fn restore_room(&self) -> Fields {
        let state = self.node_state.room(room(1)).unwrap();
        let mut changes = roomkeeper_core::room::state::Changes::default();
        changes.members.extend(state.members().keys());
        let (head, parts) = encode_room(state, &changes, true);
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: parts
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        };
        let restored = decode_room(room(1), &record).unwrap();
        assert_eq!(restored.registration(), state.registration());
        assert_eq!(restored.members(), state.members());
        record.head
    }
}

#[test]
fn labels_of_a_join_are_reported_and_in_the_entry() {
    let mut world = World::with_room_and_call();
    world.join_labelled();
    let SwitchAction::Enter(entry) = &world.commands[0].action else {
        panic!("{:?}", world.commands);
    };
    assert_eq!(entry.member.labels.get("seat"), Some("12"));
    world.restore_room();
    world.enters(call(1), 1, 1, false);
    world.expect_notifications(&[r#"joined 527121101 muted=true {"labels":{"seat":"12"}}"#]);
    world.restore_room();
}

#[test]
fn update_of_a_member_is_reported_once_with_its_command() {
    let mut world = World::joined();
    let updated = Ok(Accepted::UpdateMember(UpdateAccepted::Updated));
    let unchanged = Ok(Accepted::UpdateMember(UpdateAccepted::Unchanged));
    let seat = [("seat", Some("12")), ("x", Some("1"))];
    assert_eq!(world.label_member(&seat), updated);
    world.expect_notifications(&[r#"member updated {"labels":{"seat":"12","x":"1"}} [c-4]"#]);
    assert_eq!(world.label_member(&seat), unchanged);
    assert_eq!(world.label_member(&[]), unchanged);
    assert_eq!(world.label_member(&[("absent", None)]), unchanged);
    world.expect_notifications(&[]);
    assert_eq!(world.label_member(&[("x", None)]), updated);
    world.expect_notifications(&[r#"member updated {"labels":{"seat":"12"}} [c-4]"#]);
    assert_eq!(world.label_member(&[("seat", None)]), updated);
    world.expect_notifications(&[r#"member updated {"labels":{}} [c-4]"#]);
    assert!(world.settings().is_default(), "it takes no memory again");
    assert!(world.commands.is_empty());
}

#[test]
fn update_needs_a_joined_member_of_this_room() {
    let mut world = World::with_room_and_call();
    let seat = [("seat", Some("12"))];
    assert_eq!(world.label_member(&seat), Err(Refusal::NotInRoom));
    world.join(call(1), room(1)).unwrap();
    assert_eq!(world.label_member(&seat), Err(Refusal::StillJoining));
    world.enters(call(1), 1, 1, false);
    world.notifications.clear();
    let all: Vec<String> = (0..MOST_LABELS).map(|n| n.to_string()).collect();
    let all: Vec<_> = all.iter().map(|key| (key.as_str(), Some("v"))).collect();
    world.label_member(&all).unwrap();
    world.notifications.clear();
    let refused = Err(Refusal::Labels(InvalidLabel::TooMany));
    assert_eq!(world.label_member(&seat), refused);
    world.expect_notifications(&[]);
}

#[test]
fn update_of_a_room_is_reported_and_copied_to_its_conference() {
    let mut world = World::joined();
    let team = [("team", Some("sales"))];
    let updated = Ok(Accepted::UpdateRoom(UpdateAccepted::Updated));
    assert_eq!(world.label_room(&team), updated);
    world.expect_notifications(&[r#"updated {"labels":{"team":"sales"}} [c-5]"#]);
    let [
        SwitchCommand {
            action: SwitchAction::Describe { registration },
            ..
        },
    ] = world.commands.as_slice()
    else {
        panic!("{:?}", world.commands);
    };
    let copy = conference_meta::decode(&conference_meta::encode(registration)).unwrap();
    assert_eq!(copy.details.settings.labels.get("team"), Some("sales"));
    world.commands.clear();
    let unchanged = Ok(Accepted::UpdateRoom(UpdateAccepted::Unchanged));
    assert_eq!(world.label_room(&team), unchanged);
    world.expect_notifications(&[]);
    assert!(world.commands.is_empty());
    let head = world.restore_room();
    let stored = format!("{head:?}");
    assert!(stored.contains("sales"), "{stored}");
}

#[test]
fn room_without_settings_is_stored_as_before() {
    let world = World::joined();
    let head = format!("{:?}", world.restore_room());
    assert!(!head.contains("settings"), "{head}");
}

#[test]
fn copy_on_the_conference_leaves_out_what_does_not_fit() {
    let settings = |labels| {
        Sparse::new(RoomSettings {
            labels,
            ..RoomSettings::default()
        })
    };
    let few = labels(r#"{"team":"sales"}"#);
    let mut many = LabelsUpdate::default();
    for n in 0..MOST_LABELS {
        many.put(&n.to_string(), Some(&"v".repeat(128))).unwrap();
    }
    let many = Labels::default().updated(&many).unwrap();
    let registration = |settings, detail: usize| Registration {
        app: demo(),
        name: "room".to_owned(),
        origin: Origin::Gateway,
        created_at: Timestamp::from_millis(1),
        kind: Kind::Conference,
        details: Details {
            detail: "d".repeat(detail),
            timeout: 7,
            settings,
            ..Details::default()
        },
    };
    let copy = |registration: &Registration| {
        let copy = conference_meta::decode(&conference_meta::encode(registration));
        copy.unwrap().details
    };
    let both = registration(settings(few.clone()), 10);
    assert_eq!(copy(&both), both.details);
    let long_detail = copy(&registration(settings(few.clone()), 4_000));
    assert_eq!(
        (long_detail.detail.as_str(), long_detail.timeout),
        ("", 7),
        "the settings take precedence"
    );
    assert_eq!(long_detail.settings.labels, few);
    let long_labels = copy(&registration(settings(many), 10));
    assert_eq!(
        (long_labels.settings.is_default(), long_labels.timeout),
        (true, 7)
    );
}

fn url(text: &str) -> PlayUrl {
    PlayUrl::new(text).unwrap()
}

fn all_controls() -> RoomSettingsUpdate {
    RoomSettingsUpdate {
        max_members: Some(2),
        tones: Some(Tones {
            enter: Some(url("http://h/in.wav")),
            exit: None,
        }),
        alone_url: Some(Some(url("http://h/music.wav"))),
        ..RoomSettingsUpdate::default()
    }
}

#[test]
fn settings_are_sent_to_a_running_conference_and_to_each_new_one() {
    let mut world = World::joined();
    world.update_room(all_controls());
    let sent = [
        RoomControl::MaxMembers(2),
        RoomControl::ToneFile(Tone::Enter, url("http://h/in.wav")),
        RoomControl::ToneOn(Tone::Enter, true),
        RoomControl::ToneOn(Tone::Exit, false),
        RoomControl::AloneOn(true),
        RoomControl::AloneFile(url("http://h/music.wav")),
    ];
    assert_eq!(world.controls(), sent);
    world.leaves(call(1), 1, 1, 0);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.parks(call(1), None);
    world.join(call(1), room(1)).unwrap();
    world.conference(1, 2, 0, ConferenceChange::Created);
    assert_eq!(world.controls(), sent, "a new instance");
    world.enters(call(1), 1, 2, false);
    let none = RoomSettingsUpdate {
        max_members: Some(0),
        tones: Some(Tones::default()),
        alone_url: Some(None),
        ..RoomSettingsUpdate::default()
    };
    world.update_room(none);
    let sent = [
        RoomControl::MaxMembers(0),
        RoomControl::ToneOn(Tone::Enter, false),
        RoomControl::ToneOn(Tone::Exit, false),
        RoomControl::AloneOn(false),
        RoomControl::NoAloneFile,
    ];
    assert_eq!(world.controls(), sent);
}

#[test]
fn snapshot_repeats_settings_that_could_not_be_sent() {
    let mut world = World::joined();
    world.update_room(RoomSettingsUpdate {
        max_members: Some(2),
        ..RoomSettingsUpdate::default()
    });
    assert_eq!(world.controls(), [RoomControl::MaxMembers(2)]);
    world.shows(None, false);
    assert_eq!(world.controls(), []);
    let failed = SwitchCommand::new(
        Target::Room(room(1)),
        SwitchAction::Control(RoomControl::MaxMembers(2)),
    );
    let down = CommandError::Down {
        retry_after: Duration::from_secs(1),
    };
    world.with(|node_state, cx| node_state.revert_command(&failed, &down, cx));
    assert_eq!(world.controls(), []);
    world.shows(None, false);
    assert_eq!(world.controls(), [RoomControl::MaxMembers(2)]);
    world.shows(None, false);
    assert_eq!(world.controls(), []);
}

#[test]
fn owner_learns_of_a_setting_that_another_replica_could_not_send() {
    let mut world = World::joined();
    world.update_room(RoomSettingsUpdate {
        max_members: Some(2),
        ..RoomSettingsUpdate::default()
    });
    let due = |world: &World| world.node_state.room(room(1)).unwrap().next_deadline();
    assert_eq!(due(&world), None);
    let failed = world.commands.pop().unwrap();
    let error = CommandError::Unknown;
    world.with(|node_state, cx| node_state.revert_command(&failed, &error, cx));
    // The stored deadline makes the owner read the room.
    assert_eq!(due(&world), Some(world.now));
    world.restore_room();
    world.commands.clear();
    let entity = EntityId::Room(room(1));
    world.with(|node_state, cx| node_state.deadline(entity, cx));
    assert_eq!(due(&world), None);
    world.shows(None, false);
    assert_eq!(world.controls(), [RoomControl::MaxMembers(2)]);
}

#[test]
fn snapshot_repeats_the_removal_of_settings_that_could_not_be_sent() {
    let mut world = World::joined();
    for most in [2, 0] {
        world.update_room(RoomSettingsUpdate {
            max_members: Some(most),
            ..RoomSettingsUpdate::default()
        });
        assert_eq!(world.controls(), [RoomControl::MaxMembers(most)]);
    }
    // Also the next controller knows that the conference may still have the old value.
    let head = world.restore_room();
    assert!(format!("{head:?}").contains("removed"), "{head:?}");
    world.shows(None, false);
    assert_eq!(world.controls(), []);
    let action = SwitchAction::Control(RoomControl::MaxMembers(0));
    let failed = SwitchCommand::new(Target::Room(room(1)), action);
    let error = CommandError::Unknown;
    world.with(|node_state, cx| node_state.revert_command(&failed, &error, cx));
    world.shows(None, false);
    let repeated = world.controls();
    assert!(
        repeated.contains(&RoomControl::MaxMembers(0)),
        "{repeated:?}"
    );
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.conference(1, 2, 0, ConferenceChange::Created);
    assert_eq!(world.controls(), []);
}

#[test]
fn full_room_refuses_joins_and_a_lower_limit_removes_nobody() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.parks(call(3), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    world.update_room(RoomSettingsUpdate {
        max_members: Some(2),
        ..RoomSettingsUpdate::default()
    });
    assert_eq!(world.join(call(3), room(1)), Err(Refusal::RoomFull));
    assert!(world.is_open());
    world.update_room(RoomSettingsUpdate {
        max_members: Some(0),
        ..RoomSettingsUpdate::default()
    });
    world.join(call(3), room(1)).unwrap();
    let members = world.node_state.room(room(1)).unwrap().members().len();
    assert_eq!(members, 3);
}

/// A room with a member that ends after 60 s of silence.
fn watched() -> World {
    let mut world = World::joined();
    world.update_room(RoomSettingsUpdate {
        end_when_silent_for: Some(60),
        ..RoomSettingsUpdate::default()
    });
    world.notifications.clear();
    world
}

#[test]
fn silent_room_ends() {
    let mut world = watched();
    world.waits(59);
    assert!(world.is_open());
    world.waits(1);
    assert!(!world.is_open());
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left silence", "destroyed"]);
}

#[test]
fn talking_postpones_the_end_of_a_silent_room() {
    let mut world = watched();
    world.waits(50);
    world.talks(true);
    world.waits(100);
    assert!(world.is_open(), "it talks all the time");
    world.talks(false);
    world.waits(59);
    assert!(world.is_open());
    world.waits(61);
    assert!(!world.is_open());
}

#[test]
fn snapshot_shows_when_a_member_talked_whose_events_were_lost() {
    let mut world = watched();
    world.waits(50);
    world.shows(Some(Duration::from_secs(20)), false);
    world.waits(10);
    assert!(world.is_open(), "it talked 30 s ago");
    world.waits(29);
    assert!(world.is_open());
    world.waits(1);
    assert!(!world.is_open());
}

#[test]
fn empty_room_is_not_silent_and_a_restart_does_not_end_a_room_early() {
    let mut world = watched();
    let silent_at = |world: &World| world.node_state.room(room(1)).unwrap().silent_at();
    assert!(silent_at(&world).is_some());
    let head = world.restore_room();
    assert!(format!("{head:?}").contains("silent"), "{head:?}");
    world.leaves(call(1), 1, 1, 0);
    assert_eq!(silent_at(&world), None);
    world.waits(1_000);
    assert_eq!(
        world.node_state.room(room(1)).unwrap().status(),
        RoomStatus::Progressing
    );
}
