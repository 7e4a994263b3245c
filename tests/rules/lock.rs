//! The lock of a room: requests, FreeSWITCH's reports, admission, and its life beyond a conference.

use roomkeeper_core::intent::{Kick, LockAccepted, SetLock};
use roomkeeper_core::room::RoomState;
use roomkeeper_core::room::state::Changes;

use super::late::shown;
use super::*;

fn command(lock: bool) -> SwitchCommand {
    SwitchCommand::new(
        Target::Room(room(1)),
        SwitchAction::SetLock { locked: lock },
    )
}

impl World {
    pub(super) fn lock(&mut self, lock: bool) -> Result<Accepted, Refusal> {
        self.submit(
            Intent::new(Target::Room(room(1)), demo(), SetLock { locked: lock })
                .with_uid(Some("l-1".parse().unwrap())),
        )
    }

    fn is_locked(&self) -> bool {
        self.state().lock().locked()
    }

    fn state(&self) -> &RoomState {
        self.node_state.room(room(1)).unwrap()
    }

    /// Emits FreeSWITCH's lock event of the conference.
    fn emit_lock(&mut self, instance: u128, locked: bool) {
        self.conference(1, instance, 1, ConferenceChange::Locked(locked));
    }

    /// Merges a snapshot that shows the conference with the call in it.
    fn merge_lock_snapshot(&mut self, instance: u128, locked: bool) {
        let mut room = shown(1, instance, &[call(1)]);
        room.locked = locked;
        self.sequence += 1;
        self.merge_snapshot(self.sequence, vec![room]);
    }

    fn ends(&mut self, instance: u128) {
        self.leaves(call(1), 1, instance, 0);
        self.conference(1, instance, 0, ConferenceChange::Destroyed);
    }

    /// A room with the call in it, which FreeSWITCH has locked.
    fn locked() -> Self {
        let mut world = Self::joined();
        world.lock(true).unwrap();
        world.emit_lock(1, true);
        world.notifications.clear();
        world.commands.clear();
        world
    }

    /// Stores the room and loads it as another replica does.
    pub(super) fn stored_and_read(&mut self) {
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
        assert_eq!(read.lock().requested(), state.lock().requested());
        self.node_state.put_room(room(1), Some(read));
    }

    #[track_caller]
    fn commands(&mut self, expected: &[SwitchCommand]) {
        let commands = std::mem::take(&mut self.commands);
        let locks: Vec<_> = commands
            .into_iter()
            .filter(|command| {
                matches!(
                    command,
                    SwitchCommand {
                        action: SwitchAction::SetLock { .. },
                        ..
                    }
                )
            })
            .collect();
        assert_eq!(locks, expected);
    }
}

#[test]
fn room_is_locked_once_freeswitch_reports_it() {
    let mut world = World::joined();
    assert_eq!(
        world.lock(true),
        Ok(Accepted::SetLock(LockAccepted::InProgress))
    );
    world.commands(&[command(true)]);
    world.expect_notifications(&[]);
    assert!(!world.is_locked());
    // Nothing more happens.
    assert_eq!(
        world.lock(true),
        Ok(Accepted::SetLock(LockAccepted::InProgress))
    );
    world.commands(&[]);
    world.emit_lock(1, true);
    world.expect_notifications(&["locked=true [l-1]"]);
    assert!(world.is_locked());
    assert_eq!(
        world.lock(true),
        Ok(Accepted::SetLock(LockAccepted::Locked { locked: true }))
    );
    world.commands(&[]);
    assert_eq!(
        world.lock(false),
        Ok(Accepted::SetLock(LockAccepted::InProgress))
    );
    world.commands(&[command(false)]);
    world.emit_lock(1, false);
    world.expect_notifications(&["locked=false [l-1]"]);
    assert!(!world.is_locked());
    world.emit_lock(1, false);
    world.expect_notifications(&[]);
}

#[test]
fn only_the_owner_locks_an_open_room() {
    let mut world = World::joined();
    let intent = |room, app: &str| {
        Intent::new(
            Target::Room(room),
            app.parse::<AppId>().unwrap(),
            SetLock { locked: true },
        )
    };
    assert_eq!(
        world.submit(intent(room(1), "other")),
        Err(Refusal::ForeignRoom)
    );
    assert_eq!(
        world.submit(intent(room(9), "demo")),
        Err(Refusal::RoomNotFound)
    );
    world.delete().unwrap();
    assert_eq!(world.lock(true), Err(Refusal::RoomNotFound));
    world.commands(&[]);
}

#[test]
fn join_fails_when_room_is_locked_and_members_stay() {
    let mut world = World::locked();
    world.parks(call(2), Some("demo"));
    assert_eq!(world.join(call(2), room(1)), Err(Refusal::RoomLocked));
    assert!(matches!(
        world.join(call(1), room(1)),
        Ok(Accepted::Join(JoinAccepted::AlreadyJoined { .. }))
    ));
    // A call that FreeSWITCH admits nevertheless is a member.
    world.notifications.clear();
    world.enters(call(3), 1, 1, true);
    world.expect_notifications(&["call.new 747713001", "joined 527121101 muted=false"]);
    world.emit_lock(1, false);
    assert!(world.join(call(2), room(1)).is_ok());
}

#[test]
fn join_in_progress_fails_when_freeswitch_refuses_it() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    world.lock(true).unwrap();
    world.emit_lock(1, true);
    world.notifications.clear();
    // FreeSWITCH parks it again.
    world.parks(call(2), None);
    world.expect_notifications(&["join_failed refused [c-1]"]);
}

#[test]
fn lock_from_the_console_is_reported() {
    let mut world = World::joined();
    world.emit_lock(1, true);
    world.expect_notifications(&["locked=true"]);
    world.commands(&[]);
    // A snapshot shows another lock than the events.
    world.merge_lock_snapshot(1, false);
    world.expect_notifications(&["locked=false (synthesized)"]);
    world.merge_lock_snapshot(1, true);
    world.expect_notifications(&["locked=true (synthesized)"]);
    world.commands(&[]);
}

#[test]
fn lock_event_with_the_higher_sequence_wins() {
    let mut world = World::joined();
    let at = |sequence, locked| SwitchEvent {
        core: core(),
        sequence,
        at: Timestamp::from_millis(1),
        kind: SwitchEventKind::Conference {
            room: room(1),
            conference: conference_id(1),
            size: Some(1),
            change: ConferenceChange::Locked(locked),
        },
    };
    let now = world.sequence;
    world.with(|node_state, cx| node_state.apply_event(at(now + 3, true), cx));
    world.with(|node_state, cx| node_state.apply_event(at(now + 2, false), cx));
    world.with(|node_state, cx| node_state.apply_event(at(now + 3, true), cx));
    world.expect_notifications(&["locked=true"]);
    assert!(world.is_locked());
}

#[test]
fn refused_or_unconfirmed_lock_is_dropped() {
    let mut world = World::joined();
    world.lock(true).unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|node_state, cx| node_state.revert_command(&command(true), &refused, cx));
    assert!(world.state().lock().requested().is_none());
    world.lock(true).unwrap();
    world.waits(11);
    assert!(world.state().lock().requested().is_none());
    // FreeSWITCH carried it out after all.
    world.emit_lock(1, true);
    world.expect_notifications(&["locked=true"]);
    // A missing answer proves nothing.
    world.lock(false).unwrap();
    world.with(|node_state, cx| node_state.revert_command(&command(true), &refused, cx));
    assert!(
        world.state().lock().requested().is_some(),
        "only the refused value is dropped"
    );
}

#[test]
fn empty_room_is_locked_at_once_and_its_next_conference_too() {
    let mut world = World::with_room_and_call();
    assert_eq!(
        world.lock(true),
        Ok(Accepted::SetLock(LockAccepted::Locked { locked: true }))
    );
    world.expect_notifications(&["locked=true [l-1]"]);
    world.commands(&[]);
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::RoomLocked));
    // The dialplan sends a call in.
    world.enters(call(1), 1, 1, true);
    world.expect_notifications(&["joined 527121101 muted=false"]);
    world.commands(&[command(true)]);
    assert!(world.state().lock().due());
    world.emit_lock(1, true);
    world.expect_notifications(&[]);
    assert!(!world.state().lock().due());
    // The room is unlocked while it is empty.
    world.ends(1);
    world.notifications.clear();
    assert_eq!(
        world.lock(false),
        Ok(Accepted::SetLock(LockAccepted::Locked { locked: false }))
    );
    world.expect_notifications(&["locked=false [l-1]"]);
    world.enters(call(1), 1, 2, true);
    world.commands(&[]);
}

#[test]
fn lock_outlives_its_conference() {
    let mut world = World::locked();
    world.ends(1);
    world.expect_notifications(&["left removed"]);
    assert!(world.is_locked());
    world.enters(call(1), 1, 2, true);
    world.commands(&[command(true)]);
    // A report about the last instance does not apply to this one.
    world.emit_lock(1, false);
    assert!(world.is_locked());
    world.emit_lock(2, true);
    world.expect_notifications(&["joined 527121101 muted=false"]);
}

#[test]
fn due_lock_is_repeated_until_a_snapshot_shows_it() {
    let mut world = World::locked();
    world.ends(1);
    world.enters(call(1), 1, 2, false);
    world.commands(&[command(true)]);
    world.notifications.clear();
    // The command was lost.
    world.merge_lock_snapshot(2, false);
    world.commands(&[command(true)]);
    world.stored_and_read();
    world.merge_lock_snapshot(2, false);
    world.commands(&[command(true)]);
    world.merge_lock_snapshot(2, true);
    world.commands(&[]);
    world.expect_notifications(&[]);
    // From here on FreeSWITCH's reports count.
    world.merge_lock_snapshot(2, false);
    world.commands(&[]);
    world.expect_notifications(&["locked=false (synthesized)"]);
}

#[test]
fn unlock_from_the_console_clears_a_due_lock() {
    let mut world = World::locked();
    world.ends(1);
    world.enters(call(1), 1, 2, true);
    world.notifications.clear();
    world.emit_lock(2, false);
    world.expect_notifications(&["locked=false"]);
    assert!(!world.state().lock().due());
    world.commands.clear();
    world.merge_lock_snapshot(2, false);
    world.commands(&[]);
}

#[test]
fn room_with_a_due_lock_can_be_unlocked() {
    let mut world = World::locked();
    world.ends(1);
    world.enters(call(1), 1, 2, false);
    world.commands.clear();
    assert_eq!(
        world.lock(false),
        Ok(Accepted::SetLock(LockAccepted::InProgress))
    );
    world.commands(&[command(false)]);
    world.notifications.clear();
    // FreeSWITCH never locked it, and a snapshot is the first to report that.
    world.merge_lock_snapshot(2, false);
    world.expect_notifications(&["locked=false [l-1] (synthesized)"]);
    world.commands(&[]);
}

#[test]
fn requested_lock_takes_effect_when_the_conference_ends() {
    let mut world = World::joined();
    world.lock(true).unwrap();
    // The conference has ended, and the event of its end is still to come.
    let error = CommandError::NoSuchChannel;
    world.with(|node_state, cx| node_state.revert_command(&command(true), &error, cx));
    world.stored_and_read();
    world.expect_notifications(&[]);
    world.ends(1);
    world.expect_notifications(&["left removed", "locked=true [l-1]"]);
    assert!(world.is_locked());
    assert_eq!(
        world.lock(true),
        Ok(Accepted::SetLock(LockAccepted::Locked { locked: true }))
    );
}

#[test]
fn freeswitch_restart_does_not_unlock_a_room() {
    let mut world = World::locked();
    let again = CoreId::new(Uuid::from_u128(8));
    world.with(|node_state, cx| node_state.core_changed(Some(again), cx));
    assert!(world.is_locked());
    world.notifications.clear();
    let event = SwitchEvent {
        core: again,
        sequence: 5,
        at: world.now,
        kind: SwitchEventKind::Conference {
            room: room(1),
            conference: conference_id(7),
            size: Some(1),
            change: ConferenceChange::Added(block(call(5), true)),
        },
    };
    world.commands.clear();
    world.with(|node_state, cx| node_state.apply_event(event, cx));
    world.commands(&[command(true)]);
}

#[test]
fn ending_room_drops_its_lock_request() {
    let mut world = World::joined();
    world.lock(true).unwrap();
    world.delete().unwrap();
    world.notifications.clear();
    world.ends(1);
    world.expect_notifications(&["left room_destroyed", "destroyed"]);
    // A call that enters nevertheless finds the room unlocked, and lock events cause no webhook.
    world.commands.clear();
    world.enters(call(1), 1, 2, true);
    world.emit_lock(2, true);
    world.commands(&[]);
    world.expect_notifications(&[]);
}

#[test]
fn adopted_room_reports_the_lock_of_its_conference() {
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
    room.meta = Some(conference_meta::encode(&registration));
    world.sequence += 1;
    world.merge_snapshot(world.sequence, vec![room]);
    world.expect_notifications(&[
        "call.new 747713001",
        "joined 527121101 muted=true (synthesized)",
        "locked=true (synthesized)",
    ]);
    world.commands(&[]);
    // The conference belonged to an app before that was known here, and its lock was reported.
    let mut world = World::new();
    world.enters(call(1), 1, 1, false);
    world.emit_lock(1, true);
    world.expect_notifications(&[]);
    let mut room = shown(1, 1, &[call(1)]);
    room.locked = true;
    room.meta = Some(conference_meta::encode(&registration));
    world.sequence += 1;
    world.merge_snapshot(world.sequence, vec![room]);
    world.expect_notifications(&[
        "call.new 747713001",
        "joined 527121101 muted=true (synthesized)",
        "locked=true (synthesized)",
    ]);
}

#[test]
fn kick_applies_to_one_membership() {
    let mut world = World::joined();
    world.create(2);
    world.notifications.clear();
    let kick = |of: u128, app: &str| {
        Intent::new(
            Target::Member {
                room: room(of),
                call: call(1),
            },
            app.parse::<AppId>().unwrap(),
            Kick { member: None },
        )
        .with_uid(Some("k-1".parse().unwrap()))
    };
    for (intent, refusal) in [
        (kick(2, "demo"), Refusal::NotInRoom),
        (kick(9, "demo"), Refusal::RoomNotFound),
        (kick(1, "other"), Refusal::ForeignRoom),
    ] {
        assert_eq!(world.submit(intent), Err(refusal));
    }
    let leaving = Ok(Accepted::Kick(LeaveAccepted { room: room(1) }));
    assert_eq!(world.submit(kick(1, "demo")), leaving);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Park { .. },
            ..
        }]
    ));
    // A repeated request: the leave is in progress.
    assert_eq!(world.submit(kick(1, "demo")), leaving);
    assert_eq!(world.commands.len(), 1);
    world.expect_notifications(&[]);
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left removed [k-1]"]);
    world.parks(call(1), None);
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert_eq!(world.submit(kick(1, "demo")), Err(Refusal::NotInRoom));
    // A call that is still joining does not enter.
    world.join(call(1), room(1)).unwrap();
    world.commands.clear();
    assert_eq!(world.submit(kick(1, "demo")), leaving);
    world.expect_notifications(&["join_failed removed [c-1]"]);
    world.delete().unwrap();
    assert_eq!(world.submit(kick(1, "demo")), Err(Refusal::RoomNotFound));
}
