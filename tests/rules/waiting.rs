//! Rooms that wait for a moderator: who hears the room before and after the start, whichever events are lost.

use super::*;
use roomkeeper_core::intent::{SetHold, StartRecording, UpdateMember, UpdateRoom};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{
    MemberSettings, MemberUpdate, PlayCommand, Role, RoomSettings, RoomSettingsUpdate, Sparse,
    Update,
};

fn moderator() -> MemberSettings {
    MemberSettings {
        role: Role::Moderator,
        ..MemberSettings::default()
    }
}

fn music() -> PlayUrl {
    PlayUrl::new("http://h/moh").unwrap()
}

impl World {
    /// A waiting room, and three parked calls.
    fn waiting(wait_url: Option<PlayUrl>) -> Self {
        let mut world = Self::new();
        let settings = RoomSettings {
            wait_for_moderator: true,
            wait_url,
            ..RoomSettings::default()
        };
        let details = Details {
            settings: Sparse::new(settings),
            ..Details::default()
        };
        world.create_as(1, Origin::Gateway, Kind::Conference, details);
        for n in 1..=3 {
            world.parks(call(n), Some("demo"));
        }
        world.notifications.clear();
        world
    }

    fn join_as(&mut self, n: u128, settings: MemberSettings) {
        let join = Join {
            muted: Some(false),
            settings: Sparse::new(settings),
            ..Join::default()
        };
        let (room, call) = (room(1), call(n));
        let target = Target::Member { room, call };
        self.submit(Intent::new(target, demo(), join)).unwrap();
    }

    /// FreeSWITCH reports that a call has entered, with the flag of the plan that it got last.
    fn enters_by_plan(&mut self, n: u128) {
        let to = |command: &SwitchCommand| command.target.call() == Some(call(n));
        let plan = self
            .commands
            .iter()
            .rev()
            .find_map(|command| match &command.action {
                SwitchAction::Enter(entry) if to(command) => Some(entry.deaf),
                _ => None,
            });
        let block = MemberBlock {
            hear: !plan.unwrap(),
            ..block(call(n), true)
        };
        self.conference(1, 1, 1, ConferenceChange::Added(block));
    }

    /// A member that waits.
    fn with_waiting_member(wait_url: Option<PlayUrl>) -> Self {
        let mut world = Self::waiting(wait_url);
        world.join_as(1, MemberSettings::default());
        world.enters_by_plan(1);
        world
    }

    fn hears(&mut self, n: u128, hear: bool) {
        let block = MemberBlock {
            hear,
            ..block(call(n), true)
        };
        self.conference(1, 1, 1, ConferenceChange::Flags(block));
    }

    /// Takes the commands that concern what members hear.
    #[track_caller]
    fn expect_sound(&mut self, expected: &[&str]) {
        let commands = std::mem::take(&mut self.commands).into_iter();
        let words = commands.filter_map(|command| {
            let call = command.target.call()?.channel().uuid().as_u128() - 100;
            let word = match &command.action {
                SwitchAction::Enter(entry) if entry.deaf => "enter deaf".to_owned(),
                SwitchAction::Enter(_) => "enter".to_owned(),
                SwitchAction::SetHearing { on: true } => "hear".to_owned(),
                SwitchAction::SetHearing { on: false } => "silence".to_owned(),
                SwitchAction::Hold { on } => format!("hold {on}"),
                SwitchAction::Play(PlayCommand::Stop) => "stop".to_owned(),
                SwitchAction::Play(PlayCommand::Start { media, .. }) => {
                    format!("play {}", super::playback::name(media))
                }
                _ => return None,
            };
            Some(format!("{call} {word}"))
        });
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }

    fn change_member(&mut self, n: u128, update: MemberUpdate) {
        let (room, call) = (room(1), call(n));
        let update = UpdateMember {
            update: Box::new(update),
            labels: Default::default(),
        };
        let intent = Intent::new(Target::Member { room, call }, demo(), update);
        let intent = intent.with_uid(Some("c-4".parse().unwrap()));
        self.submit(intent).unwrap();
    }

    fn change_room(&mut self, settings: RoomSettingsUpdate) {
        let update = UpdateRoom {
            update: Box::new(Update {
                settings,
                ..Update::default()
            }),
            labels: Default::default(),
        };
        self.submit(Intent::new(Target::Room(room(1)), demo(), update))
            .unwrap();
    }

    fn set_wait(&mut self, wait: bool) {
        self.change_room(RoomSettingsUpdate {
            wait_for_moderator: Some(wait),
            ..RoomSettingsUpdate::default()
        });
    }

    fn room_waits(&self) -> bool {
        self.node_state.room(room(1)).unwrap().is_waiting()
    }

    fn is_deaf_for_its_app(&self, n: u128) -> bool {
        let room = self.node_state.room(room(1)).unwrap();
        !room.members()[&call(n)].flags.hear
    }

    fn restarts_controller(&mut self) {
        let stored = self.node_state.room_mut(room(1)).unwrap();
        let read = super::moves::reread(stored);
        self.node_state.put_room(room(1), Some(read));
    }

    /// A snapshot shows these members, each with true if it hears the room.
    fn shows_hearing(&mut self, members: &[(u128, bool)]) {
        self.sequence += 1;
        let member = |(n, can_hear): &(u128, bool)| SnapshotMember {
            channel: call(*n).channel(),
            can_speak: true,
            can_hear: *can_hear,
            hold: false,
            talking: false,
            talked: None,
            has_floor: false,
            levels: ReportedLevels::default(),
            caller_id: "527121101".into(),
        };
        let snapshot = Snapshot {
            core: core(),
            fence: self.sequence,
            rooms: vec![SnapshotRoom {
                room: room(1),
                conference: conference_id(1),
                locked: false,
                meta: None,
                members: members.iter().map(member).collect(),
                recordings: Vec::new(),
            }],
        };
        self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
    }
}

#[test]
fn members_wait_deaf_and_hear_once_a_moderator_has_entered() {
    let mut world = World::with_waiting_member(None);
    world.expect_sound(&["1 enter deaf"]);
    world.expect_notifications(&["joined 527121101 muted=false"]);
    assert!(!world.is_deaf_for_its_app(1), "its app deafened nobody");
    world.join_as(2, moderator());
    assert!(world.room_waits());
    world.enters_by_plan(2);
    world.expect_sound(&["2 enter", "1 hear"]);
    world.expect_notifications(&[
        r#"joined 527121101 muted=false {"role":"moderator"}"#,
        "started",
    ]);
    assert!(!world.room_waits());
    world.hears(1, true);
    world.expect_notifications(&[]);
    // The record of the wait is gone: the flag is its app's again.
    world.hears(1, false);
    world.expect_notifications(&["deafened"]);
    world.join_as(3, MemberSettings::default());
    world.enters_by_plan(3);
    world.expect_sound(&["3 enter"]);
}

#[test]
fn member_setting_decides_before_the_role() {
    let mut world = World::with_waiting_member(None);
    let absent = MemberSettings {
        start_on_enter: Some(false),
        ..moderator()
    };
    world.join_as(2, absent);
    world.enters_by_plan(2);
    assert!(world.room_waits());
    let starter = MemberSettings {
        start_on_enter: Some(true),
        ..MemberSettings::default()
    };
    world.join_as(3, starter);
    world.enters_by_plan(3);
    world.expect_sound(&[
        "1 enter deaf",
        "2 enter deaf",
        "3 enter",
        "1 hear",
        "2 hear",
    ]);
    let last = world.notifications.last().map(String::as_str);
    assert_eq!(last, Some("started"));
}

#[test]
fn change_of_a_waiting_member_starts_the_conference() {
    for update in [
        MemberUpdate {
            role: Some(Role::Moderator),
            ..MemberUpdate::default()
        },
        MemberUpdate {
            start_on_enter: Some(Some(true)),
            ..MemberUpdate::default()
        },
    ] {
        let mut world = World::with_waiting_member(None);
        world.notifications.clear();
        world.commands.clear();
        world.change_member(1, update);
        world.expect_sound(&["1 hear"]);
        assert_eq!(world.notifications[1..], ["started [c-4]".to_owned()]);
    }
}

#[test]
fn setting_that_is_switched_off_starts_the_conference_and_on_holds_from_the_next_one() {
    let mut world = World::with_waiting_member(None);
    world.commands.clear();
    world.notifications.clear();
    world.set_wait(false);
    world.expect_sound(&["1 hear"]);
    world.expect_notifications(&[r#"updated {"wait_for_moderator":false}"#, "started"]);
    world.hears(1, true);
    world.set_wait(true);
    assert!(!world.room_waits(), "a running conference goes on");
    world.expect_sound(&[]);
    world.leaves(call(1), 1, 1, 0);
    assert!(world.room_waits());
    // Nobody waits, so there is nothing to start.
    world.notifications.clear();
    world.set_wait(false);
    world.expect_notifications(&[r#"updated {"wait_for_moderator":false}"#]);
}

#[test]
fn conference_goes_on_without_its_moderator_and_the_next_one_waits_again() {
    let mut world = World::with_waiting_member(None);
    world.join_as(2, moderator());
    world.enters_by_plan(2);
    world.hears(1, true);
    world.leaves(call(2), 1, 1, 1);
    assert!(!world.room_waits());
    world.leaves(call(1), 1, 1, 0);
    assert!(world.room_waits());
    world.parks(call(1), Some("demo"));
    world.commands.clear();
    world.join_as(1, MemberSettings::default());
    world.expect_sound(&["1 enter deaf"]);
}

#[test]
fn start_survives_a_restart_of_the_controller() {
    let mut world = World::with_waiting_member(Some(music()));
    world.restarts_controller();
    assert!(world.room_waits());
    world.join_as(2, moderator());
    world.enters_by_plan(2);
    world.restarts_controller();
    assert!(!world.room_waits());
    world.commands.clear();
    // The command was lost with the controller: a snapshot shows that the member does not hear.
    world.now = world.now + Duration::from_secs(11);
    world.waits(0);
    world.shows_hearing(&[(1, false), (2, true)]);
    world.expect_sound(&["1 hear"]);
}

#[test]
fn moderator_that_only_a_snapshot_shows_starts_the_conference() {
    let mut world = World::with_waiting_member(None);
    world.join_as(2, moderator());
    world.commands.clear();
    world.notifications.clear();
    world.shows_hearing(&[(1, false), (2, true)]);
    world.expect_sound(&["1 hear"]);
    let last = world.notifications.last().map(String::as_str);
    assert_eq!(last, Some("started (synthesized)"));
}

#[test]
fn member_that_began_to_enter_before_the_start_hears_after_it() {
    let mut world = World::waiting(None);
    world.join_as(1, MemberSettings::default());
    world.join_as(2, moderator());
    world.enters_by_plan(2);
    world.enters_by_plan(1);
    world.expect_sound(&["1 enter deaf", "2 enter", "1 hear"]);
    world.hears(1, true);
    world.expect_sound(&[]);
    assert!(!world.is_deaf_for_its_app(1));
}

#[test]
fn waiting_member_that_hears_the_room_is_silenced() {
    let mut world = World::with_waiting_member(None);
    world.commands.clear();
    world.hears(1, true);
    world.expect_sound(&["1 silence"]);
    world.hears(1, false);
    world.expect_sound(&[]);
    // A call that the dialplan sent there.
    let found = ConferenceChange::Added(block(call(2), true));
    world.conference(1, 1, 2, found);
    world.expect_sound(&["2 silence"]);
    assert!(!world.is_deaf_for_its_app(2));
}

#[test]
fn flags_of_the_app_are_kept_through_the_wait() {
    let mut world = World::with_waiting_member(None);
    let (flag, on) = (MemberFlag::Hear, false);
    let deafen = Intent::new(Target::Call(call(1)), demo(), SetFlag { flag, on });
    world.commands.clear();
    world.submit(deafen).unwrap();
    assert_eq!(
        world.notifications.last().map(String::as_str),
        Some("deafened")
    );
    world.join_as(2, moderator());
    world.enters_by_plan(2);
    world.expect_sound(&["2 enter"]);
    assert!(world.is_deaf_for_its_app(1));
}

#[test]
fn hold_during_the_wait_outlasts_it_and_the_other_way_round() {
    let hold = |world: &mut World, on| {
        let (room, call) = (room(1), call(1));
        let hold = SetHold { on, music: None };
        let intent = Intent::new(Target::Member { room, call }, demo(), hold);
        world.submit(intent).unwrap();
    };
    let held = |world: &mut World, hold, hear| {
        let block = MemberBlock {
            hold,
            hear,
            ..block(call(1), true)
        };
        world.conference(1, 1, 1, ConferenceChange::Flags(block));
    };
    let mut world = World::with_waiting_member(Some(music()));
    world.expect_sound(&["1 enter deaf", "1 play moh"]);
    hold(&mut world, true);
    held(&mut world, true, false);
    world.expect_sound(&["1 silence", "1 hold true"]);
    hold(&mut world, false);
    held(&mut world, false, false);
    // Its music begins again once the opening of the last one is over, and it still waits.
    world.expect_sound(&["1 hold false"]);
    assert!(world.room_waits());
    hold(&mut world, true);
    held(&mut world, true, false);
    world.commands.clear();
    world.join_as(2, moderator());
    world.enters_by_plan(2);
    world.expect_sound(&["2 enter"]);
    hold(&mut world, false);
    world.expect_sound(&["1 hold false", "1 hear"]);
}

#[test]
fn music_of_the_wait_ends_with_it() {
    let mut world = World::with_waiting_member(Some(music()));
    world.expect_sound(&["1 enter deaf", "1 play moh"]);
    let music = world.node_state.room(room(1)).unwrap().members()[&call(1)].clone();
    let file = music.audio.unwrap().playback.opening().unwrap().file;
    let opened = ConferenceChange::FileOpened {
        file,
        failed: false,
        member: Some(call(1).channel()),
    };
    world.conference(1, 1, 1, opened);
    world.join_as(2, moderator());
    world.enters_by_plan(2);
    world.expect_sound(&["2 enter", "1 stop", "1 hear"]);
    world.hears(1, true);
    world.waits(60);
    world.expect_sound(&[]);
}

#[test]
fn another_file_replaces_the_music_of_waiting_members() {
    let mut world = World::with_waiting_member(None);
    world.commands.clear();
    world.change_room(RoomSettingsUpdate {
        wait_url: Some(Some(music())),
        ..RoomSettingsUpdate::default()
    });
    world.expect_sound(&["1 play moh"]);
}

#[test]
fn waiting_room_is_not_recorded_and_does_not_end_by_silence() {
    let mut world = World::with_waiting_member(None);
    let record = || Intent::new(Target::Room(room(1)), demo(), StartRecording::default());
    assert_eq!(world.submit(record()), Err(Refusal::WaitsForModerator));
    world.change_room(RoomSettingsUpdate {
        end_when_silent_for: Some(5),
        ..RoomSettingsUpdate::default()
    });
    world.waits(60);
    assert!(world.node_state.room(room(1)).unwrap().is_open());
    world.set_wait(false);
    assert!(world.submit(record()).is_ok());
    world.waits(60);
    assert!(!world.node_state.room(room(1)).unwrap().is_open());
}

#[test]
fn member_whose_leave_is_reverted_hears_a_conference_that_started_meanwhile() {
    let mut world = World::with_waiting_member(None);
    world.leave().unwrap();
    world.join_as(2, moderator());
    world.enters_by_plan(2);
    world.commands.clear();
    world.waits(11);
    world.expect_sound(&["1 hear"]);
}

#[test]
fn dialled_member_waits_like_others() {
    let mut world = super::dial::dial_room();
    world.set_wait(true);
    let session = world.dial(super::dial::request(0)).unwrap();
    let deaf = world
        .commands
        .iter()
        .any(|command| matches!(&command.action, SwitchAction::Dial { entry, .. } if entry.deaf));
    assert!(deaf, "{:?}", world.commands);
    // The conference starts while the telephone rings.
    world.set_wait(false);
    world.commands.clear();
    world.picks_up(session);
    let entered = MemberBlock {
        hear: false,
        ..block(session, true)
    };
    world.conference(1, 1, 1, ConferenceChange::Added(entered));
    world.expect_sound(&["1 hear"]);
    assert!(!world.is_deaf_for_its_app(1));
}

#[test]
fn held_member_that_moves_into_a_waiting_room_waits_after_its_hold() {
    let mut world = World::waiting(None);
    world.create(2);
    let enter = |world: &mut World, to| {
        let target = Target::Member {
            room: room(to),
            call: call(1),
        };
        world
            .submit(Intent::new(target, demo(), Join::default()))
            .unwrap();
    };
    enter(&mut world, 2);
    world.enters(call(1), 2, 2, true);
    let target = Target::Member {
        room: room(2),
        call: call(1),
    };
    let hold = |on| SetHold { on, music: None };
    world
        .submit(Intent::new(target, demo(), hold(true)))
        .unwrap();
    let held = |hold, hear| MemberBlock {
        hold,
        hear,
        ..block(call(1), true)
    };
    world.conference(2, 2, 1, ConferenceChange::Flags(held(true, false)));
    let moves = roomkeeper_core::intent::Move {
        to: room(1),
        muted: None,
    };
    world.submit(Intent::new(target, demo(), moves)).unwrap();
    world.leaves(call(1), 2, 2, 0);
    world.commands.clear();
    world.conference(1, 1, 1, ConferenceChange::Added(held(false, false)));
    world.expect_sound(&["1 silence", "1 hold true"]);
    world.conference(1, 1, 1, ConferenceChange::Flags(held(true, false)));
    let target = Target::Member {
        room: room(1),
        call: call(1),
    };
    world
        .submit(Intent::new(target, demo(), hold(false)))
        .unwrap();
    world.conference(1, 1, 1, ConferenceChange::Flags(held(false, false)));
    world.expect_sound(&["1 hold false"]);
    assert!(!world.is_deaf_for_its_app(1));
    world.set_wait(false);
    world.expect_sound(&["1 hear"]);
}

#[test]
fn recovered_members_wait_or_hear_as_before() {
    for starts in [false, true] {
        let mut world = World::with_waiting_member(None);
        world.recovers();
        world.join_as(2, MemberSettings::default());
        world.enters_by_plan(2);
        if starts {
            world.change_member(
                2,
                MemberUpdate {
                    role: Some(Role::Moderator),
                    ..MemberUpdate::default()
                },
            );
            world.hears(1, true);
            world.hears(2, true);
        }
        world.restart();
        world.notifications.clear();
        world.commands.clear();
        // Their plans let them enter deaf.
        let both = [(call(1), true, false), (call(2), true, false)];
        world.shows_next(5, &both);
        assert_eq!(world.room_waits(), !starts);
        let undeafs = world.commands.iter().filter(|command| {
            matches!(
                command.action,
                SwitchAction::SetFlag {
                    flag: MemberFlag::Hear,
                    on: true
                }
            )
        });
        assert_eq!(undeafs.count(), if starts { 2 } else { 0 });
        world.expect_notifications(&["reconnected (synthesized)"; 2]);
    }
}

#[test]
fn room_of_a_lost_store_waits_unless_a_member_hears() {
    for hears in [false, true] {
        let world = World::with_waiting_member(None);
        let registration = world.node_state.room(room(1)).unwrap().registration();
        let meta = conference_meta::encode(registration.unwrap());
        let mut world = World::new();
        world.sequence += 1;
        let member = |n: u128| SnapshotMember {
            channel: call(n).channel(),
            can_speak: true,
            can_hear: hears && n == 2,
            hold: false,
            talking: false,
            talked: None,
            has_floor: false,
            levels: ReportedLevels::default(),
            caller_id: "527121101".into(),
        };
        let snapshot = Snapshot {
            core: core(),
            fence: world.sequence,
            rooms: vec![SnapshotRoom {
                room: room(1),
                conference: conference_id(1),
                locked: false,
                meta: Some(meta),
                members: vec![member(1), member(2)],
                recordings: Vec::new(),
            }],
        };
        world.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
        assert_eq!(world.room_waits(), !hears, "{:?}", world.notifications);
        assert_eq!(world.is_deaf_for_its_app(1), hears);
        world.expect_sound(&[]);
    }
}

#[test]
fn talking_of_a_waiting_member_and_a_snapshot_write_nothing() {
    let mut world = World::with_waiting_member(None);
    let changes = |world: &mut World| {
        let room = world.node_state.room_mut(room(1)).unwrap();
        room.take_changes()
    };
    changes(&mut world);
    for talking in [true, false] {
        let block = MemberBlock {
            hear: false,
            talking,
            ..block(call(1), true)
        };
        world.conference(1, 1, 1, ConferenceChange::Flags(block));
    }
    assert_eq!(world.live.len(), 2);
    world.shows_hearing(&[(1, false)]);
    let changes = changes(&mut world);
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn refused_command_of_another_replica_is_sent_again_by_the_owner() {
    let mut world = World::with_waiting_member(None);
    world.commands.clear();
    world.set_wait(false);
    let hears =
        |command: &SwitchCommand| matches!(command.action, SwitchAction::SetHearing { on: true });
    let at = world.commands.iter().position(hears).unwrap();
    let command = world.commands.remove(at);
    let retry_after = Duration::from_secs(1);
    world.refuses(&command, &CommandError::Down { retry_after });
    world.commands.clear();
    // Only a stored deadline lets the owner read the state of the other replica.
    world.restarts_controller();
    world.waits(2);
    world.expect_sound(&["1 hear"]);
}
