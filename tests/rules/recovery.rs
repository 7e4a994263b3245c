//! Calls that outlive FreeSWITCH: a restart, the members that return, and those that do not.

use super::*;

use roomkeeper_core::node_state::Timeouts;
use roomkeeper_core::room::RoomStatus;

/// The time in which FreeSWITCH may recover its calls.
const TIME: Duration = Duration::from_secs(20);

fn next_core() -> CoreId {
    CoreId::new(Uuid::from_u128(8))
}

impl World {
    /// A member, unmuted, and another one, muted, on a node that recovers its calls.
    fn recovering() -> Self {
        let mut world = Self::joined();
        world.recovers();
        world.parks(call(2), Some("demo"));
        world.conference(1, 1, 2, ConferenceChange::Added(block(call(2), true)));
        world.notifications.clear();
        world.commands.clear();
        world.restart();
        world
    }

    /// Lets the node recover its calls after a restart.
    pub(super) fn recovers(&mut self) {
        let rules = Rules {
            apps: BTreeSet::from([demo()]),
            timeouts: Timeouts {
                recovery: TIME,
                ..Timeouts::default()
            },
            ..Rules::default()
        };
        self.node_state.set_rules(rules);
    }

    pub(super) fn restart(&mut self) {
        self.with(|node_state, cx| node_state.core_changed(Some(next_core()), cx));
    }

    /// Applies an event of the new core.
    fn emit_next(&mut self, sequence: u64, kind: SwitchEventKind) {
        let event = SwitchEvent {
            core: next_core(),
            sequence,
            at: self.now,
            kind,
        };
        self.with(|node_state, cx| node_state.apply_event(event, cx));
    }

    /// Merges a snapshot of the new core with these members, each with its permissions to speak and to hear.
    pub(super) fn shows_next(&mut self, fence: u64, members: &[(CallId, bool, bool)]) {
        let members = members
            .iter()
            .map(|(call, can_speak, can_hear)| SnapshotMember {
                channel: call.channel(),
                can_speak: *can_speak,
                can_hear: *can_hear,
                hold: false,
                talking: false,
                talked: None,
                has_floor: false,
                levels: ReportedLevels::default(),
                caller_id: "527121101".into(),
            });
        let snapshot = Snapshot {
            core: next_core(),
            fence,
            rooms: vec![SnapshotRoom {
                room: room(1),
                conference: conference_id(9),
                locked: false,
                meta: None,
                members: members.collect(),
                recordings: Vec::new(),
            }],
        };
        self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
    }

    fn shows_nothing(&mut self, fence: u64) {
        let snapshot = Snapshot {
            core: next_core(),
            fence,
            rooms: Vec::new(),
        };
        for _ in 0..2 {
            self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
        }
    }

    fn conference_next(&mut self, sequence: u64, size: usize, change: ConferenceChange) {
        let kind = SwitchEventKind::Conference {
            room: room(1),
            conference: conference_id(9),
            size: Some(size),
            change,
        };
        self.emit_next(sequence, kind);
    }

    fn passes(&mut self, time: Duration) {
        self.now = self.now + time;
        self.with(|node_state, cx| node_state.end_recovery(cx));
    }

    fn is_waiting(&self) -> bool {
        self.node_state.recovery_deadline().is_some()
    }

    /// The commands that set flags, as `mute 1`.
    fn flag_commands(&mut self) -> Vec<String> {
        let commands = std::mem::take(&mut self.commands);
        let flags = commands.into_iter().filter_map(|command| {
            let SwitchAction::SetFlag { flag, on } = command.action else {
                return None;
            };
            let Target::Member { call, .. } = command.target else {
                return None;
            };
            let number = call.channel().uuid().as_u128() - 100;
            Some(format!("{} {number}", flag.names(on).command))
        });
        flags.collect()
    }
}

#[test]
fn restart_ends_nothing_while_calls_may_be_recovered() {
    let mut world = World::recovering();
    world.expect_notifications(&[]);
    assert!(world.is_waiting() && world.node_state.has_unrecovered_calls());
    assert_eq!(world.node_state.room(room(1)).unwrap().members().len(), 2);
    // No list of the new core shows the calls yet.
    let listed = Default::default();
    assert!(world.node_state.missing_from(&listed).is_empty());
    world.shows_nothing(3);
    world.expect_notifications(&[]);
    assert!(world.is_waiting());
}

#[test]
fn recovered_members_are_reconnected_with_their_flags() {
    let mut world = World::recovering();
    let before = world.node_state.room(room(1)).unwrap().members()[&call(1)].id;
    // The plans of both joins were muted, and the second member was unmuted since.
    world.shows_next(3, &[(call(1), false, true), (call(2), false, true)]);
    world.expect_notifications(&["reconnected (synthesized)", "reconnected (synthesized)"]);
    assert_eq!(world.flag_commands(), ["unmute 2"]);
    let after = world.node_state.room(room(1)).unwrap();
    assert_eq!(after.members()[&call(1)].id, before);
    assert!(after.members()[&call(2)].flags.speak);
    assert_eq!(after.instances().len(), 1);
    assert!(!world.is_waiting());
    // The confirmation is no change.
    let change = ConferenceChange::Flags(block(call(2), true));
    world.emit_next(
        5,
        SwitchEventKind::Conference {
            room: room(1),
            conference: conference_id(9),
            size: Some(2),
            change,
        },
    );
    world.expect_notifications(&[]);
    // Events of the new core count, although its numbers are lower.
    world.emit_next(
        6,
        SwitchEventKind::Channel {
            channel: call(1).channel(),
            change: ChannelChange::HungUp {
                cause: "NORMAL_CLEARING".to_owned(),
            },
        },
    );
    world.expect_notifications(&["left hangup", "call.hangup NORMAL_CLEARING 50ms"]);
}

#[test]
fn event_reconnects_a_member_before_any_snapshot() {
    let mut world = World::recovering();
    world.conference_next(2, 0, ConferenceChange::Created);
    world.conference_next(
        3,
        1,
        ConferenceChange::Floor {
            holder: Some(block(call(1), false)),
        },
    );
    world.expect_notifications(&["reconnected (synthesized)"]);
    assert!(world.is_waiting(), "for the other member");
    world.shows_next(4, &[(call(1), false, true), (call(2), true, true)]);
    world.expect_notifications(&["reconnected (synthesized)"]);
    assert!(!world.is_waiting());
}

#[test]
fn members_that_do_not_return_in_time_have_left() {
    let mut world = World::recovering();
    world.shows_next(3, &[(call(1), false, true)]);
    world.expect_notifications(&["reconnected (synthesized)"]);
    world.passes(TIME / 2);
    world.expect_notifications(&[]);
    world.passes(TIME);
    world.expect_notifications(&[
        "left orphan (synthesized)",
        "call.hangup NORMAL_TEMPORARY_FAILURE 30050ms",
    ]);
    assert!(!world.is_waiting());
    let room = world.node_state.room(room(1)).unwrap();
    assert_eq!(room.members().len(), 1);
    assert_eq!(room.instances().len(), 1);
}

#[test]
fn recovered_call_that_is_parked_has_left_its_room() {
    let mut world = World::recovering();
    let parked = ChannelChange::Parked {
        bridge: None,
        identity: identity(Some("demo")),
        by: None,
    };
    world.emit_next(
        4,
        SwitchEventKind::Channel {
            channel: call(1).channel(),
            change: parked,
        },
    );
    world.expect_notifications(&["left removed"]);
    let state = world.node_state.call(call(1)).unwrap();
    assert_eq!(*state.status(), CallStatus::Parked);
}

#[test]
fn caller_that_hung_up_meanwhile_has_left_with_that_reason() {
    let mut world = World::recovering();
    world.emit_next(
        4,
        SwitchEventKind::Channel {
            channel: call(2).channel(),
            change: ChannelChange::HungUp {
                cause: "NORMAL_CLEARING".to_owned(),
            },
        },
    );
    world.expect_notifications(&["left hangup", "call.hangup NORMAL_CLEARING 50ms"]);
}

#[test]
fn member_that_was_leaving_is_parked_when_it_returns() {
    let mut world = World::joined();
    world.node_state.set_rules(Rules {
        apps: BTreeSet::from([demo()]),
        timeouts: Timeouts {
            recovery: TIME,
            ..Timeouts::default()
        },
        ..Rules::default()
    });
    world.leave().unwrap();
    world.restart();
    world.commands.clear();
    world.shows_next(3, &[(call(1), false, true)]);
    world.expect_notifications(&[]);
    let parks = |command: &SwitchCommand| matches!(command.action, SwitchAction::Park { .. });
    assert!(world.commands.iter().any(parks), "{:?}", world.commands);
}

#[test]
fn hold_of_a_member_that_returns_on_its_way_out_is_reported() {
    let mut world = World::joined();
    world.node_state.set_rules(Rules {
        apps: BTreeSet::from([demo()]),
        timeouts: Timeouts {
            recovery: TIME,
            ..Timeouts::default()
        },
        ..Rules::default()
    });
    world.leave().unwrap();
    world.restart();
    let mut held = block(call(1), false);
    held.hold = true;
    world.conference_next(2, 0, ConferenceChange::Created);
    world.conference_next(3, 1, ConferenceChange::Flags(held));
    world.expect_notifications(&["held (synthesized)"]);
}

#[test]
fn lock_waits_for_members_that_return() {
    let mut world = World::joined();
    world.lock(true).unwrap();
    world.conference(1, 1, 1, ConferenceChange::Locked(true));
    world.parks(call(2), Some("demo"));
    world.conference(1, 1, 2, ConferenceChange::Added(block(call(2), true)));
    world.node_state.set_rules(Rules {
        apps: BTreeSet::from([demo()]),
        timeouts: Timeouts {
            recovery: TIME,
            ..Timeouts::default()
        },
        ..Rules::default()
    });
    world.restart();
    world.commands.clear();
    let locks = |world: &World| {
        let lock = |command: &&SwitchCommand| {
            matches!(command.action, SwitchAction::SetLock { locked: true })
        };
        world.commands.iter().filter(lock).count()
    };
    world.shows_next(3, &[(call(1), false, true)]);
    world.shows_next(4, &[(call(1), false, true)]);
    assert_eq!(locks(&world), 0, "it would refuse the other member");
    world.shows_next(5, &[(call(1), false, true), (call(2), true, true)]);
    assert!(locks(&world) >= 1);
}

#[test]
fn first_join_of_a_recovered_parked_call_requests_snapshots() {
    let mut world = World::recovering();
    let parked = ChannelChange::Parked {
        bridge: None,
        identity: identity(Some("demo")),
        by: None,
    };
    let channel = call(1).channel();
    world.emit_next(
        4,
        SwitchEventKind::Channel {
            channel,
            change: parked,
        },
    );
    world.wants_resync = false;
    world.join(call(1), room(1)).unwrap();
    assert!(std::mem::take(&mut world.wants_resync));
    // The call is not in the room yet.
    world.shows_next(5, &[(call(2), true, true)]);
    assert!(std::mem::take(&mut world.wants_resync));
    world.notifications.clear();
    world.shows_next(6, &[(call(1), false, true), (call(2), true, true)]);
    world.expect_notifications(&["joined 527121101 muted=true [c-1] (synthesized)"]);
    assert!(!world.wants_resync);
}

#[test]
fn lost_node_ends_the_wait() {
    let mut world = World::recovering();
    world.with(|node_state, cx| node_state.core_changed(None, cx));
    world.expect_notifications(&[
        "left orphan (synthesized)",
        "left orphan (synthesized)",
        "call.hangup NORMAL_TEMPORARY_FAILURE 50ms",
        "call.hangup NORMAL_TEMPORARY_FAILURE 50ms",
    ]);
    assert!(!world.is_waiting());
}

#[test]
fn controller_that_starts_meanwhile_waits_as_well() {
    let mut world = World::recovering();
    world.stored_and_read();
    world
        .node_state
        .restore_run(NodeState::new(node(), Rules::default()).run());
    assert!(!world.is_waiting());
    world.restart();
    assert!(world.is_waiting());
    world.shows_next(3, &[(call(1), false, true), (call(2), true, true)]);
    world.expect_notifications(&["reconnected (synthesized)", "reconnected (synthesized)"]);
}

#[test]
fn room_can_be_deleted_while_its_members_are_missing() {
    let mut world = World::recovering();
    world.delete().unwrap();
    world.notifications.clear();
    world.shows_next(3, &[(call(1), false, true)]);
    world.expect_notifications(&[]);
    world.passes(TIME);
    let state = world.node_state.room(room(1)).unwrap();
    assert!(matches!(state.status(), RoomStatus::Terminating { .. }));
}
