//! Moves of a member to another room, and what FreeSWITCH, losses and other requests make of them.

use roomkeeper_core::intent::{Kick, Move, SetHold, SetLock, UpdateMember};
use roomkeeper_core::labels::LabelsUpdate;
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::PlayCommand;
use roomkeeper_core::switch_event::SnapshotMember;

use super::playback::name;
use super::*;

const A: u128 = 1;
const B: u128 = 2;

impl World {
    /// Two rooms, and the call in the first one, unmuted.
    fn with_two_rooms() -> Self {
        let mut world = Self::joined();
        world.create(B);
        world.mute(false).unwrap();
        world.conference(A, 1, 1, ConferenceChange::Flags(block(call(1), true)));
        world.notifications.clear();
        world.commands.clear();
        world
    }

    /// The same, with the move on its way.
    fn moving() -> Self {
        let mut world = Self::with_two_rooms();
        world.move_to(B, None).unwrap();
        world.commands.clear();
        world
    }

    fn move_to(&mut self, to: u128, muted: Option<bool>) -> Result<Accepted, Refusal> {
        let target = Target::Member {
            room: room(A),
            call: call(1),
        };
        let action = Move {
            to: room(to),
            muted,
        };
        let uid = Some("c-4".parse().unwrap());
        self.submit(Intent::new(target, demo(), action).with_uid(uid))
    }

    /// Holds the member in the first room, and lets FreeSWITCH confirm it.
    fn hold_before_the_move(&mut self) {
        let target = Target::Member {
            room: room(A),
            call: call(1),
        };
        let (on, music) = (true, Some(PlayUrl::new("http://h/music.wav").unwrap()));
        let intent = Intent::new(target, demo(), SetHold { on, music });
        self.submit(intent).unwrap();
        let block = MemberBlock {
            hear: false,
            hold: true,
            ..block(call(1), true)
        };
        self.conference(A, 1, 1, ConferenceChange::Flags(block));
        self.notifications.clear();
        self.commands.clear();
    }

    /// Returns the commands that hold the call or change its hearing since the last call.
    fn hold_commands(&mut self) -> Vec<String> {
        std::mem::take(&mut self.commands)
            .into_iter()
            .filter_map(|command| match command.action {
                SwitchAction::Hold { on } => Some(format!("hold={on}")),
                SwitchAction::SetHearing { on } => Some(format!("hears={on}")),
                _ => None,
            })
            .collect()
    }

    fn delete_room(&mut self, n: u128) {
        let intent = Intent::new(Target::Room(room(n)), demo(), DeleteRoom);
        self.submit(intent).unwrap();
    }

    /// Lets the deadline of each room pass, the second room first.
    fn waits_for_both(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        for n in [B, A] {
            let entity = EntityId::Room(room(n));
            self.with(|node_state, cx| node_state.deadline(entity, cx));
        }
    }

    /// Returns the commands for the call: the room that it enters, or that it is parked.
    fn transfers(&mut self) -> Vec<String> {
        std::mem::take(&mut self.commands)
            .into_iter()
            .filter_map(|command| match command.action {
                SwitchAction::Enter(entry) => {
                    let room = numbered("enter", command.target.room());
                    let others = [(entry.deaf, " deaf"), (entry.past_lock, " past lock")];
                    let others = others.map(|(is_set, word)| if is_set { word } else { "" });
                    Some(format!("{room} muted={}{}", entry.muted, others.concat()))
                }
                SwitchAction::Park { .. } => Some("park".to_owned()),
                _ => None,
            })
            .collect()
    }

    fn snapshot(
        &mut self,
        rooms: &[(u128, u128, bool)],
    ) -> BTreeSet<roomkeeper_core::room::plan::Suspect> {
        self.merge(rooms, &BTreeSet::new())
    }

    /// Merges a snapshot that shows these rooms, each with the number of its instance, and the call in it or not.
    fn merge(
        &mut self,
        rooms: &[(u128, u128, bool)],
        confirmed: &BTreeSet<roomkeeper_core::room::plan::Suspect>,
    ) -> BTreeSet<roomkeeper_core::room::plan::Suspect> {
        self.sequence += 1;
        let shown = rooms.iter().map(|(n, instance, inside)| SnapshotRoom {
            room: room(*n),
            conference: conference_id(*instance),
            locked: false,
            meta: None,
            members: if *inside {
                vec![SnapshotMember {
                    talked: None,
                    channel: call(1).channel(),
                    can_speak: true,
                    can_hear: true,
                    hold: false,
                    talking: false,
                    has_floor: false,
                    levels: ReportedLevels::default(),
                    caller_id: "527121101".into(),
                }]
            } else {
                Vec::new()
            },
            recordings: Vec::new(),
        });
        let snapshot = Snapshot {
            core: core(),
            fence: self.sequence,
            rooms: shown.collect(),
        };
        self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, confirmed, cx))
    }

    fn rooms_with_call(&self) -> Vec<u128> {
        let rooms = [A, B].into_iter();
        let has_it = |n: &u128| {
            let room = self.node_state.room(room(*n));
            room.is_some_and(|room| room.members().contains_key(&call(1)))
        };
        rooms.filter(has_it).collect()
    }

    /// Stores and reads both rooms and the call, as a restarted controller does.
    fn restarts(&mut self) {
        for n in [A, B] {
            let stored = self.node_state.room_mut(room(n)).unwrap();
            // Everything is written, as for a new room.
            let read = reread(stored);
            self.node_state.put_room(room(n), Some(read));
        }
        let head = encode_call_state(self.node_state.call(call(1)).unwrap());
        let record = Record {
            version: Version::default(),
            head: head.into_iter().collect(),
            parts: Fields::default(),
        };
        let read = decode_call_state(call(1), &record).unwrap();
        self.node_state.put_call(call(1), Some(read));
    }
}

/// Stores a room with all its members, and reads it.
pub(super) fn reread(
    room: &mut roomkeeper_core::room::RoomState,
) -> roomkeeper_core::room::RoomState {
    let mut changes = room.take_changes();
    changes.head = true;
    changes.registration = true;
    changes.members = room.members().keys().copied().collect();
    let (head, parts) = encode_room(room, &changes, true);
    let parts = parts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let record = Record {
        version: Version::default(),
        head: head.into_iter().collect(),
        parts: parts.collect(),
    };
    decode_room(room.id(), &record).unwrap()
}

#[test]
fn move_takes_one_transfer_and_is_reported_in_both_rooms() {
    let mut world = World::with_two_rooms();
    assert!(matches!(world.move_to(B, None), Ok(Accepted::Move(to)) if to.room == room(B)));
    assert_eq!(world.transfers(), ["enter 2 muted=false"]);
    assert_eq!(world.call_status().as_str(), "joining");
    world.expect_notifications(&[]);
    world.leaves(call(1), A, 1, 0);
    world.expect_notifications(&["left moved to 2 [c-4]"]);
    world.enters(call(1), B, 2, true);
    world.expect_notifications(&["joined 527121101 muted=false from 1 [c-4]"]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(B)));
    assert_eq!(world.rooms_with_call(), [B]);
    assert_eq!(world.transfers(), [""; 0]);
}

#[test]
fn member_enters_as_it_was_unless_the_request_says_otherwise() {
    let mut world = World::with_two_rooms();
    world.move_to(B, Some(true)).unwrap();
    assert_eq!(world.transfers(), ["enter 2 muted=true"]);
    // An unconfirmed request counts: FreeSWITCH may never confirm it.
    let mut world = World::with_two_rooms();
    world.mute(true).unwrap();
    world.move_to(B, None).unwrap();
    assert_eq!(world.transfers(), ["enter 2 muted=true"]);
}

#[test]
fn settings_and_deafness_go_along_and_return() {
    let mut world = World::with_two_rooms();
    let mut labels = LabelsUpdate::default();
    labels.put("team", Some("sales")).unwrap();
    let update = UpdateMember {
        update: Box::default(),
        labels,
    };
    let target = Target::Member {
        room: room(A),
        call: call(1),
    };
    world.submit(Intent::new(target, demo(), update)).unwrap();
    let mut deaf = block(call(1), true);
    deaf.hear = false;
    world.conference(A, 1, 1, ConferenceChange::Flags(deaf));
    world.notifications.clear();
    world.move_to(B, None).unwrap();
    assert_eq!(world.transfers(), ["enter 2 muted=false deaf"]);
    world.leaves(call(1), A, 1, 0);
    world.restarts();
    world.parks(call(1), Some("demo"));
    assert_eq!(world.transfers(), ["enter 1 muted=false deaf past lock"]);
    world.enters(call(1), A, 3, true);
    let joined = world.notifications.pop().unwrap();
    assert!(
        joined.contains(r#"{"labels":{"team":"sales"}}"#),
        "{joined}"
    );
}

#[test]
fn hold_goes_along_and_its_music_begins_again() {
    let mut world = World::with_two_rooms();
    world.hold_before_the_move();
    world.move_to(B, None).unwrap();
    assert_eq!(world.transfers(), ["enter 2 muted=false deaf"]);
    world.leaves(call(1), A, 1, 0);
    world.commands.clear();
    world.restarts();
    world.enters(call(1), B, 2, true);
    // Deafened first: the hold alone leaves the room audible.
    assert_eq!(world.hold_commands(), ["hears=false", "hold=true"]);
    let block = MemberBlock {
        hear: false,
        hold: true,
        ..block(call(1), true)
    };
    world.notifications.clear();
    world.conference(B, 2, 1, ConferenceChange::Flags(block));
    world.expect_notifications(&["held with music.wav"]);
    let plays = |c: &SwitchCommand| matches!(&c.action, SwitchAction::Play(PlayCommand::Start { media, .. }) if name(media) == "music.wav");
    assert!(world.commands.iter().any(plays), "{:?}", world.commands);
}

#[test]
fn hold_returns_with_a_member_that_the_new_room_refuses() {
    let mut world = World::with_two_rooms();
    world.hold_before_the_move();
    world.move_to(B, None).unwrap();
    world.commands.clear();
    world.leaves(call(1), A, 1, 0);
    world.parks(call(1), Some("demo"));
    assert_eq!(world.transfers(), ["enter 1 muted=false deaf past lock"]);
    world.enters(call(1), A, 3, true);
    assert_eq!(world.hold_commands(), ["hears=false", "hold=true"]);
}

#[test]
fn hold_that_ends_does_not_go_along() {
    let mut world = World::with_two_rooms();
    world.hold_before_the_move();
    let target = Target::Member {
        room: room(A),
        call: call(1),
    };
    let (on, music) = (false, None);
    let unhold = Intent::new(target, demo(), SetHold { on, music });
    world.submit(unhold).unwrap();
    world.move_to(B, None).unwrap();
    world.leaves(call(1), A, 1, 0);
    world.commands.clear();
    world.enters(call(1), B, 2, true);
    assert_eq!(world.hold_commands(), [""; 0]);
}

#[test]
fn move_is_refused_unless_the_member_and_the_other_room_are_ready() {
    let mut world = World::with_two_rooms();
    assert_eq!(world.move_to(A, None), Err(Refusal::InSameRoom));
    assert_eq!(world.move_to(3, None), Err(Refusal::RoomNotFound));
    let lock = Intent::new(Target::Room(room(B)), demo(), SetLock { locked: true });
    world.submit(lock).unwrap();
    assert_eq!(world.move_to(B, None), Err(Refusal::RoomLocked));
    world.create_as(4, Origin::Voipbin, Kind::Connect, Details::default());
    for n in [2, 3] {
        world.parks(call(n), Some("demo"));
        world.join(call(n), room(4)).unwrap();
    }
    assert_eq!(world.move_to(4, None), Err(Refusal::RoomFull));
    world.leave().unwrap();
    world.create(5);
    assert_eq!(world.move_to(5, None), Err(Refusal::StillLeaving));
    world.leaves(call(1), A, 1, 0);
    assert_eq!(world.move_to(5, None), Err(Refusal::NotInRoom));
}

#[test]
fn foreign_room_is_refused() {
    let mut world = World::with_two_rooms();
    let create = CreateRoom {
        name: "theirs".to_owned(),
        origin: Origin::Gateway,
        kind: Kind::Conference,
        details: Box::default(),
    };
    let other: AppId = "other".parse().unwrap();
    let intent = Intent::new(Target::Room(room(3)), other, create);
    world.submit(intent).unwrap();
    assert_eq!(world.move_to(3, None), Err(Refusal::ForeignRoom));
}

#[test]
fn member_returns_when_the_new_room_refuses_it() {
    let mut world = World::moving();
    world.leaves(call(1), A, 1, 0);
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "join_failed refused [c-4]",
        "move_failed to 2 refused [c-4]",
    ]);
    assert_eq!(world.transfers(), ["enter 1 muted=false past lock"]);
    world.enters(call(1), A, 3, true);
    world.expect_notifications(&["joined 527121101 muted=false"]);
    assert_eq!(world.rooms_with_call(), [A]);
}

#[test]
fn member_returns_when_only_its_park_is_reported() {
    let mut world = World::moving();
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "join_failed refused [c-4]",
        "move_failed to 2 refused [c-4]",
    ]);
    assert_eq!(world.transfers(), ["enter 1 muted=false past lock"]);
    // The late event of the old membership does not end the new one.
    world.sequence -= 2;
    world.leaves(call(1), A, 1, 0);
    world.sequence += 2;
    world.enters(call(1), A, 3, true);
    world.expect_notifications(&["joined 527121101 muted=false"]);
}

#[test]
fn refused_return_parks_the_call() {
    let mut world = World::moving();
    world.leaves(call(1), A, 1, 0);
    world.parks(call(1), Some("demo"));
    world.conference(A, 1, 0, ConferenceChange::Destroyed);
    world.notifications.clear();
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&["join_failed refused"]);
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert_eq!(world.rooms_with_call(), [0_u128; 0]);
}

#[test]
fn refused_command_leaves_the_member_where_it_is() {
    let mut world = World::with_two_rooms();
    world.move_to(B, None).unwrap();
    let command = world.commands.pop().unwrap();
    let error = CommandError::Refused("-ERR".to_owned());
    world.with(|node_state, cx| node_state.revert_command(&command, &error, cx));
    world.expect_notifications(&[
        "join_failed refused [c-4]",
        "move_failed to 2 refused [c-4]",
    ]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(A)));
    assert_eq!(world.rooms_with_call(), [A]);
    assert_eq!(world.transfers(), [""; 0]);
}

#[test]
fn move_without_any_event_is_reverted_at_its_deadline() {
    let mut world = World::moving();
    world.waits_for_both(10);
    world.expect_notifications(&[
        "join_failed timeout [c-4]",
        "move_failed to 2 timeout [c-4]",
    ]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(A)));
    // FreeSWITCH carried it out after all.
    world.leaves(call(1), A, 1, 0);
    world.enters(call(1), B, 2, true);
    world.expect_notifications(&["left removed", "joined 527121101 muted=false"]);
    assert_eq!(world.rooms_with_call(), [B]);
}

#[test]
fn call_that_left_and_never_arrived_returns_at_the_deadline() {
    let mut world = World::moving();
    world.leaves(call(1), A, 1, 0);
    world.notifications.clear();
    world.waits_for_both(10);
    world.expect_notifications(&[
        "join_failed timeout [c-4]",
        "move_failed to 2 timeout [c-4]",
    ]);
    assert_eq!(world.transfers(), ["enter 1 muted=false past lock"]);
}

#[test]
fn hang_up_during_a_move_ends_it_in_both_rooms() {
    let mut world = World::moving();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    world.expect_notifications(&[
        "left hangup [c-4]",
        "join_failed hangup [c-4]",
        "call.hangup NORMAL_CLEARING 50ms",
    ]);
    assert_eq!(world.rooms_with_call(), [0_u128; 0]);
}

#[test]
fn lost_leave_is_concluded_from_the_arrival() {
    let mut world = World::moving();
    world.enters(call(1), B, 2, true);
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "joined 527121101 muted=false from 1 [c-4]",
    ]);
    assert_eq!(world.rooms_with_call(), [B]);
}

#[test]
fn lost_arrival_is_concluded_from_a_snapshot() {
    let mut world = World::moving();
    world.leaves(call(1), A, 1, 0);
    world.notifications.clear();
    world.snapshot(&[(B, 2, true)]);
    world.expect_notifications(&["joined 527121101 muted=false from 1 [c-4] (synthesized)"]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(B)));
}

#[test]
fn snapshot_concludes_a_move_whose_events_are_all_lost() {
    let mut world = World::moving();
    world.snapshot(&[(B, 2, true)]);
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "joined 527121101 muted=false from 1 [c-4] (synthesized)",
    ]);
    assert_eq!(world.rooms_with_call(), [B]);
}

#[test]
fn snapshot_from_before_the_move_changes_nothing() {
    let mut world = World::moving();
    let suspects = world.snapshot(&[(A, 1, true)]);
    world.merge(&[(A, 1, true)], &suspects);
    world.expect_notifications(&[]);
    world.leaves(call(1), A, 1, 0);
    world.enters(call(1), B, 2, true);
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "joined 527121101 muted=false from 1 [c-4]",
    ]);
}

#[test]
fn snapshots_between_both_rooms_lose_nothing() {
    let mut world = World::moving();
    let suspects = world.snapshot(&[]);
    world.expect_notifications(&[]);
    world.merge(&[], &suspects);
    world.expect_notifications(&["left moved to 2 [c-4] (synthesized)"]);
    world.enters(call(1), B, 2, true);
    world.expect_notifications(&["joined 527121101 muted=false from 1 [c-4]"]);
}

#[test]
fn listed_park_of_a_moving_call_is_checked() {
    let mut world = World::moving();
    world.leaves(call(1), A, 1, 0);
    let listed = ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
        listens: false,
    };
    assert_eq!(
        world.node_state.channels_to_dump(&[listed]),
        [call(1).channel()]
    );
}

#[test]
fn restart_in_the_middle_continues_the_move() {
    let mut world = World::moving();
    world.restarts();
    world.leaves(call(1), A, 1, 0);
    world.expect_notifications(&["left moved to 2 [c-4]"]);
    world.restarts();
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&[
        "join_failed refused [c-4]",
        "move_failed to 2 refused [c-4]",
    ]);
    world.restarts();
    world.enters(call(1), A, 3, true);
    world.expect_notifications(&["joined 527121101 muted=false"]);
}

#[test]
fn deletion_of_the_old_room_does_not_stop_the_move() {
    let mut world = World::moving();
    world.delete_room(A);
    assert_eq!(world.transfers(), [""; 0]);
    world.leaves(call(1), A, 1, 0);
    world.enters(call(1), B, 2, true);
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "destroyed",
        "joined 527121101 muted=false from 1 [c-4]",
    ]);
}

#[test]
fn call_parks_when_the_old_room_is_gone_and_the_new_one_refuses_it() {
    let mut world = World::moving();
    world.delete_room(A);
    world.leaves(call(1), A, 1, 0);
    world.notifications.clear();
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&["join_failed refused [c-4]"]);
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert_eq!(world.transfers(), [""; 0]);
    // The same once the old room is forgotten.
    let mut world = World::moving();
    world.delete_room(A);
    world.leaves(call(1), A, 1, 0);
    let now = world.now;
    world.node_state.drop_over(EntityId::Room(room(A)), now);
    world.parks(call(1), Some("demo"));
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert_eq!(world.transfers(), [""; 0]);
}

#[test]
fn member_that_cannot_move_out_of_an_ending_room_is_parked() {
    let mut world = World::with_two_rooms();
    world.move_to(B, None).unwrap();
    let command = world.commands.pop().unwrap();
    world.delete_room(A);
    let error = CommandError::Refused("-ERR".to_owned());
    world.with(|node_state, cx| node_state.revert_command(&command, &error, cx));
    assert_eq!(world.transfers(), ["park"]);
    world.leaves(call(1), A, 1, 0);
    world.expect_notifications(&[
        "join_failed refused [c-4]",
        "left room_destroyed",
        "destroyed",
    ]);
}

#[test]
fn member_that_arrives_in_an_ending_room_is_parked() {
    let mut world = World::moving();
    world.delete_room(B);
    world.expect_notifications(&[]);
    world.leaves(call(1), A, 1, 0);
    world.enters(call(1), B, 2, true);
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "joined 527121101 muted=false from 1 [c-4]",
    ]);
    assert_eq!(world.transfers(), ["park"]);
    world.leaves(call(1), B, 2, 0);
    world.expect_notifications(&["left room_destroyed", "destroyed"]);
}

#[test]
fn member_returns_when_the_new_room_ends_without_it() {
    let mut world = World::moving();
    world.delete_room(B);
    world.leaves(call(1), A, 1, 0);
    world.notifications.clear();
    world.waits_for_both(10);
    world.expect_notifications(&[
        "join_failed room_destroyed [c-4]",
        "move_failed to 2 room_destroyed [c-4]",
        "destroyed",
    ]);
    assert_eq!(world.transfers(), ["enter 1 muted=false past lock"]);
}

#[test]
fn kick_from_the_new_room_parks_the_call() {
    let mut world = World::moving();
    let target = Target::Member {
        room: room(B),
        call: call(1),
    };
    let kick = Intent::new(target, demo(), Kick { member: None });
    world.submit(kick).unwrap();
    assert_eq!(world.transfers(), ["park"]);
    world.leaves(call(1), A, 1, 0);
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&["join_failed removed [c-4]", "left moved to 2 [c-4]"]);
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert_eq!(world.rooms_with_call(), [0_u128; 0]);
}

#[test]
fn move_into_an_ending_conference_is_repeated() {
    let mut world = World::with_two_rooms();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(B)).unwrap();
    world.enters(call(2), B, 2, true);
    world.leaves(call(2), B, 2, 0);
    world.move_to(B, None).unwrap();
    world.notifications.clear();
    world.commands.clear();
    world.leaves(call(1), A, 1, 0);
    world.enters(call(1), B, 2, true);
    world.leaves(call(1), B, 2, 0);
    world.parks(call(1), Some("demo"));
    assert_eq!(world.transfers(), ["enter 2 muted=false"]);
    world.conference(B, 2, 0, ConferenceChange::Destroyed);
    world.enters(call(1), B, 3, true);
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "joined 527121101 muted=false from 1 [c-4]",
    ]);
}

#[test]
fn moving_one_of_two_out_of_a_connect_room_ends_it() {
    let mut world = World::new();
    world.create_as(A, Origin::Voipbin, Kind::Connect, Details::default());
    world.create(B);
    for n in [1, 2] {
        world.parks(call(n), Some("demo"));
        world.join(call(n), room(A)).unwrap();
        world.enters(call(n), A, 1, true);
    }
    world.move_to(B, None).unwrap();
    world.notifications.clear();
    world.commands.clear();
    world.leaves(call(1), A, 1, 1);
    assert_eq!(world.transfers(), ["park"]);
    world.enters(call(1), B, 2, true);
    world.leaves(call(2), A, 1, 0);
    world.expect_notifications(&[
        "left moved to 2 [c-4]",
        "joined 527121101 muted=false from 1 [c-4]",
        "left room_destroyed",
        "destroyed",
    ]);
}

#[test]
fn another_replica_that_reads_the_call_reads_both_rooms() {
    let mut world = World::moving();
    let before = world.node_state.call(call(1)).unwrap().clone();
    let mut fresh = World::with_two_rooms();
    fresh.node_state.put_call(call(1), Some(before));
    let also = fresh
        .node_state
        .written_together_with(EntityId::Call(call(1)));
    assert_eq!(also, [EntityId::Room(room(B)), EntityId::Room(room(A))]);
    // The old room names the call and the new room.
    let stored = reread(world.node_state.room_mut(room(A)).unwrap());
    let mut fresh = World::with_two_rooms();
    fresh.node_state.put_room(room(A), Some(stored));
    let also = fresh
        .node_state
        .written_together_with(EntityId::Room(room(A)));
    assert_eq!(also, [EntityId::Call(call(1)), EntityId::Room(room(B))]);
}
