//! The announcement of the number of members to each one that enters.

use std::fmt::Write as _;

use roomkeeper_core::intent::Move;
use roomkeeper_core::room::{CountAnnouncement, PlayCommand, RoomSettings, Sparse};
use roomkeeper_core::speech::CountTemplate;
use roomkeeper_core::switch_event::SnapshotMember;

use super::moves::reread;
use super::playback::name;
use super::*;

fn details(waits: bool) -> Details {
    let announcement = CountAnnouncement {
        text: CountTemplate::new("{count}\npeople").unwrap(),
        voice: None,
    };
    let settings = RoomSettings {
        announce_count: Some(announcement),
        wait_for_moderator: waits,
        ..RoomSettings::default()
    };
    Details {
        settings: Sparse::new(settings),
        ..Details::default()
    }
}

impl World {
    /// A room that announces, with one member, and another parked call.
    fn announcing() -> Self {
        let mut world = Self::new();
        world.create_as(1, Origin::Gateway, Kind::Conference, details(false));
        for n in [1, 2] {
            world.parks(call(n), Some("demo"));
        }
        world.enters(call(1), 1, 1, true);
        world.commands.clear();
        world
    }

    /// Returns the texts since the last call, each with the call that hears it.
    fn announced(&mut self) -> String {
        let mut all = String::new();
        for command in std::mem::take(&mut self.commands) {
            if let SwitchAction::Play(PlayCommand::Start { media, .. }) = &command.action {
                let hears = [1, 2].map(|n| command.target.call() == Some(call(n)));
                write!(all, "{hears:?} {};", name(media)).unwrap();
            }
        }
        all
    }

    fn shows_members(&mut self, meta: Option<String>, calls: &[CallId]) {
        self.sequence += 1;
        let member = |call: &CallId| SnapshotMember {
            channel: call.channel(),
            can_speak: true,
            can_hear: true,
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
                meta,
                members: calls.iter().map(member).collect(),
                recordings: Vec::new(),
            }],
        };
        self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
    }
}

const TO_THE_SECOND: &str = "[false, true] 2 people;";

#[test]
fn member_hears_the_number_once_from_the_second_one_on() {
    let mut world = World::new();
    world.create_as(1, Origin::Gateway, Kind::Conference, details(false));
    world.enters(call(1), 1, 1, true);
    assert_eq!(world.announced(), "");
    world.notifications.clear();
    let kind = SwitchEventKind::Conference {
        room: room(1),
        conference: conference_id(1),
        size: Some(2),
        change: ConferenceChange::Added(block(call(2), true)),
    };
    world.emit(kind.clone());
    assert_eq!(world.announced(), TO_THE_SECOND);
    let operation = world.node_state.room(room(1)).unwrap().members()[&call(2)].id;
    assert_eq!(world.notifications.last().unwrap(), "member play started 1");
    // The same event again, a snapshot, and a restarted controller.
    let event = SwitchEvent {
        core: core(),
        sequence: world.sequence,
        at: world.now,
        kind: kind.clone(),
    };
    world.with(|node_state, cx| node_state.apply_event(event, cx));
    world.shows_members(None, &[call(1), call(2)]);
    let read = reread(world.node_state.room_mut(room(1)).unwrap());
    world.node_state.put_room(room(1), Some(read));
    world.shows_members(None, &[call(1), call(2)]);
    assert_eq!(world.announced(), "");
    // Another membership has another one.
    world.leaves(call(2), 1, 1, 1);
    world.emit(kind);
    assert_eq!(world.announced(), TO_THE_SECOND);
    let next = world.node_state.room(room(1)).unwrap().members()[&call(2)].id;
    assert_ne!(next, operation);
}

#[test]
fn member_that_a_snapshot_finds_hears_the_number() {
    let mut world = World::announcing();
    world.shows_members(None, &[call(1), call(2)]);
    assert_eq!(world.announced(), TO_THE_SECOND);
    world.enters(call(2), 1, 1, true);
    assert_eq!(world.announced(), "");
}

#[test]
fn members_of_an_adopted_room_hear_nothing_and_later_ones_do() {
    let registration = Registration {
        app: demo(),
        name: "lost and found".to_owned(),
        origin: Origin::Gateway,
        created_at: Timestamp::from_millis(500),
        kind: Kind::Conference,
        details: details(false),
    };
    let mut world = World::new();
    world.enters(call(1), 1, 1, true);
    let meta = conference_meta::encode(&registration);
    world.shows_members(Some(meta), &[call(1), call(2)]);
    assert_eq!(world.announced(), "");
    world.now = world.now + Duration::from_secs(1);
    world.leaves(call(2), 1, 1, 1);
    world.enters(call(2), 1, 1, true);
    assert_eq!(world.announced(), TO_THE_SECOND);
}

#[test]
fn waiting_member_hears_nothing_and_the_moderator_hears_all() {
    use roomkeeper_core::room::{MemberSettings, Role};
    let mut world = World::new();
    world.create_as(1, Origin::Gateway, Kind::Conference, details(true));
    world.enters(call(3), 1, 1, true);
    world.enters(call(1), 1, 1, true);
    assert_eq!(world.announced(), "");
    world.parks(call(2), Some("demo"));
    let join = Join {
        settings: Sparse::new(MemberSettings {
            role: Role::Moderator,
            ..MemberSettings::default()
        }),
        ..Join::default()
    };
    let target = Target::Member {
        room: room(1),
        call: call(2),
    };
    world.submit(Intent::new(target, demo(), join)).unwrap();
    world.enters(call(2), 1, 1, true);
    assert_eq!(world.announced(), "[false, true] 3 people;");
}

#[test]
fn moved_member_hears_the_number_there_and_none_when_it_returns() {
    let mut world = World::announcing();
    world.create_as(2, Origin::Gateway, Kind::Conference, details(false));
    world.enters(call(2), 1, 1, true);
    world.announced();
    world.conference(2, 2, 1, ConferenceChange::Added(block(call(3), true)));
    for is_refused in [true, false] {
        let target = Target::Member {
            room: room(1),
            call: call(2),
        };
        let to = Move {
            to: room(2),
            muted: None,
        };
        world.submit(Intent::new(target, demo(), to)).unwrap();
        world.leaves(call(2), 1, 1, 1);
        if is_refused {
            world.parks(call(2), Some("demo"));
            world.enters(call(2), 1, 1, true);
            assert_eq!(world.announced(), "");
        } else {
            world.enters(call(2), 2, 2, true);
            assert_eq!(world.announced(), TO_THE_SECOND);
        }
    }
}

#[test]
fn member_that_returns_after_a_crash_hears_nothing() {
    let mut world = World::announcing();
    world.enters(call(2), 1, 1, true);
    world.recovers();
    world.announced();
    world.restart();
    world.shows_next(3, &[(call(1), true, true), (call(2), true, true)]);
    assert_eq!(world.announced(), "");
    let reconnected = "reconnected (synthesized)";
    assert_eq!(
        world
            .notifications
            .iter()
            .filter(|n| *n == reconnected)
            .count(),
        2
    );
}
