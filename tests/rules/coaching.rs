//! A call that coaches a member: requests, FreeSWITCH's events, and the resulting notifications.

use roomkeeper_core::intent::{Coach, Uncoach};
use roomkeeper_core::room::RoomState;
use roomkeeper_core::switch_event::{ChannelDump, ListedChannel};

use super::*;

fn member() -> Target {
    Target::Member {
        room: room(1),
        call: call(1),
    }
}

impl World {
    /// A room with a member, and a parked call of the same app.
    fn with_coach() -> Self {
        let mut world = Self::joined();
        world.parks(call(2), Some("demo"));
        world.channel(call(2), ChannelChange::Answered(identity(Some("demo"))));
        world.notifications.clear();
        world.commands.clear();
        world
    }

    fn coach(&mut self, coach: CallId) -> Result<Accepted, Refusal> {
        let intent = Intent::new(member(), demo(), Coach { coach });
        self.submit(intent.with_uid(Some("k-1".parse().unwrap())))
    }

    fn uncoach(&mut self) -> Result<Accepted, Refusal> {
        let intent = Intent::new(member(), demo(), Uncoach);
        self.submit(intent.with_uid(Some("k-2".parse().unwrap())))
    }

    fn listens(&mut self) {
        self.channel(call(1), ChannelChange::ListenedTo);
    }

    fn coached() -> Self {
        let mut world = Self::with_coach();
        world.coach(call(2)).unwrap();
        world.listens();
        world.notifications.clear();
        world.commands.clear();
        world
    }

    fn status(&self, call: CallId) -> &'static str {
        self.node_state.call(call).unwrap().status().as_str()
    }

    /// Returns the id of the last command that parks the call.
    fn last_park(&self) -> ParkId {
        let mut parks = self
            .commands
            .iter()
            .filter_map(|command| match command.action {
                SwitchAction::Break { id } | SwitchAction::Coach { id, .. } => Some(id),
                _ => None,
            });
        parks.next_back().unwrap()
    }

    /// Parks the coach by the command with this id.
    fn coach_parks(&mut self, by: ParkId) {
        self.is_parked(call(2), Some("demo"), Some(by));
    }

    /// Lets the deadline of the coach pass.
    fn coach_waits(&mut self) {
        self.now = self.now + Duration::from_secs(10);
        let entity = EntityId::Call(call(2));
        self.with(|node_state, cx| node_state.deadline(entity, cx));
    }

    /// Applies a dump of the coach.
    fn coach_is_dumped(&mut self, listens_to: Option<CallId>, parked_by: Option<ParkId>) {
        self.sequence += 1;
        let dump = ChannelDump {
            transfers: false,
            bridge: None,
            is_leg: false,
            core: core(),
            sequence: self.sequence,
            channel: call(2).channel(),
            identity: identity(Some("demo")),
            parked: listens_to.is_none(),
            parked_by,
            listens_to: listens_to.map(|call| call.channel()),
        };
        self.with(|b, cx| b.apply_dump(dump, cx));
    }

    fn actions(&self) -> Vec<&'static str> {
        self.commands.iter().map(SwitchCommand::name).collect()
    }
}

#[test]
fn coaching_begins_and_ends_with_events_of_freeswitch() {
    let mut world = World::with_coach();
    world.coach(call(2)).unwrap();
    let [command] = world.commands.as_slice() else {
        panic!("{:?}", world.commands);
    };
    assert_eq!(command.target.call(), Some(call(2)));
    let SwitchAction::Coach { member, .. } = command.action else {
        panic!("{command:?}");
    };
    assert_eq!((member, world.status(call(2))), (call(1), "coaching"));
    world.expect_notifications(&[]);
    world.listens();
    world.listens();
    world.expect_notifications(&["coached [k-1]"]);
    world.uncoach().unwrap();
    assert!(world.uncoach().is_ok(), "it is ending");
    assert_eq!(world.actions(), ["coach", "break"]);
    world.expect_notifications(&[]);
    let by = world.last_park();
    world.coach_parks(by);
    world.expect_notifications(&["uncoached requested [k-2]"]);
    assert_eq!(world.status(call(2)), "parked");
    assert!(world.join(call(2), room(1)).is_ok());
}

#[test]
fn coach_is_refused_in_the_wrong_state() {
    let mut world = World::with_coach();
    assert_eq!(world.uncoach(), Err(Refusal::NotCoached));
    assert_eq!(world.coach(call(1)), Err(Refusal::CoachItself));
    assert_eq!(world.coach(call(3)), Err(Refusal::CallNotFound));
    world.parks(call(3), Some("demo"));
    world.join(call(3), room(1)).unwrap();
    assert_eq!(world.coach(call(3)), Err(Refusal::CoachNotParked));
    world.parks(call(4), Some("other"));
    assert_eq!(world.coach(call(4)), Err(Refusal::ForeignCall));
    world.coach(call(2)).unwrap();
    assert_eq!(world.coach(call(2)), Err(Refusal::AlreadyCoached));
    assert_eq!(world.join(call(2), room(1)), Err(Refusal::Coaching));
}

#[test]
fn coach_that_parks_before_it_is_heard_has_failed() {
    let mut world = World::with_coach();
    world.coach(call(2)).unwrap();
    let by = world.last_park();
    world.coach_parks(by);
    world.expect_notifications(&["coach_failed refused [k-1]"]);
    assert_eq!(world.status(call(2)), "parked");
    assert!(world.coach(call(2)).is_ok());
}

#[test]
fn refused_coach_stays_parked() {
    let mut world = World::with_coach();
    world.coach(call(2)).unwrap();
    let command = world.commands.pop().unwrap();
    let refused = CommandError::Refused(String::new());
    world.with(|b, cx| b.revert_command(&command, &refused, cx));
    world.expect_notifications(&["coach_failed refused [k-1]"]);
    assert_eq!(world.status(call(2)), "parked");
}

#[test]
fn coach_parks_when_its_member_leaves() {
    let mut world = World::coached();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left removed"]);
    assert_eq!(world.actions(), ["break"]);
    let by = world.last_park();
    world.coach_parks(by);
    world.expect_notifications(&["uncoached member_left"]);
}

#[test]
fn coach_of_a_member_that_has_left_is_parked_again_if_it_still_listens() {
    let mut world = World::coached();
    world.leaves(call(1), 1, 1, 0);
    world.wants_resync = false;
    world.coach_waits();
    assert!(world.wants_resync);
    assert_eq!(world.actions(), ["break"], "no blind repeat");
    world.coach_is_dumped(Some(call(1)), None);
    assert_eq!(world.actions(), ["break", "break"]);
    assert_eq!(world.status(call(2)), "coaching");
    let by = world.last_park();
    world.notifications.clear();
    world.coach_parks(by);
    world.expect_notifications(&["uncoached member_left"]);
}

#[test]
fn unconfirmed_end_is_reverted_and_unconfirmed_start_is_ended() {
    let mut world = World::coached();
    world.uncoach().unwrap();
    world.coach_waits();
    assert_eq!(world.status(call(2)), "coaching");
    world.expect_notifications(&[]);
    assert!(world.uncoach().is_ok());
    assert_eq!(world.actions(), ["break", "break"]);

    let mut world = World::with_coach();
    world.coach(call(2)).unwrap();
    world.coach_waits();
    assert_eq!(world.actions(), ["coach", "break"]);
    let by = world.last_park();
    world.coach_parks(by);
    world.expect_notifications(&["coach_failed timeout [k-1]"]);
}

#[test]
fn park_of_an_earlier_command_does_not_end_a_coaching() {
    let mut world = World::with_coach();
    world.coach(call(2)).unwrap();
    world.listens();
    world.notifications.clear();
    world.is_parked(call(2), Some("demo"), None);
    world.expect_notifications(&[]);
    assert_eq!(world.status(call(2)), "coaching");
}

#[test]
fn coaching_ends_with_either_call() {
    let mut world = World::coached();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(
        call(2),
        ChannelChange::HungUp {
            cause: cause.clone(),
        },
    );
    world.expect_notifications(&["uncoached hangup", "call.hangup NORMAL_CLEARING 50ms"]);
    assert!(world.node_state.room(room(1)).unwrap().coaches().is_empty());

    let mut world = World::coached();
    world.channel(call(1), ChannelChange::HungUp { cause });
    world.notifications.clear();
    let by = world.last_park();
    world.coach_parks(by);
    world.expect_notifications(&["uncoached member_left"]);
}

#[test]
fn deleted_room_ends_after_its_coachings() {
    let mut world = World::coached();
    world.delete().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left room_destroyed"]);
    let by = world.last_park();
    world.coach_parks(by);
    world.expect_notifications(&["uncoached member_left", "destroyed"]);
    // If the coach does not park, the deadline of the room decides.
    let mut world = World::coached();
    world.delete().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.notifications.clear();
    world.waits(10);
    world.expect_notifications(&["uncoached member_left (synthesized)", "destroyed"]);
}

#[test]
fn dump_reports_a_coaching_whose_events_were_lost() {
    let mut world = World::with_coach();
    world.coach(call(2)).unwrap();
    world.coach_is_dumped(Some(call(1)), None);
    world.expect_notifications(&["coached [k-1] (synthesized)"]);
    let by = world.last_park();
    world.coach_is_dumped(None, Some(by));
    world.expect_notifications(&["uncoached removed"]);
}

#[test]
fn call_that_listens_without_a_coaching_is_found_and_parked() {
    let mut world = World::with_coach();
    // Another park than that of the command: the command itself may still be under way.
    world.coach(call(2)).unwrap();
    world.now = world.now + Duration::from_secs(6);
    world.is_parked(call(2), Some("demo"), None);
    world.expect_notifications(&["coach_failed refused [k-1]"]);
    let listed = |parked| ListedChannel {
        channel: call(2).channel(),
        identity: identity(Some("demo")),
        parked,
        listens: false,
    };
    let dumped = |world: &World, parked| world.node_state.channels_to_dump(&[listed(parked)]);
    assert!(dumped(&world, true).is_empty());
    assert_eq!(dumped(&world, false), [call(2).channel()]);
    world.commands.clear();
    world.coach_is_dumped(Some(call(1)), None);
    assert_eq!(world.actions(), ["break"]);
    assert_eq!(world.status(call(2)), "leaving");
    let by = world.last_park();
    world.coach_parks(by);
    assert_eq!(world.status(call(2)), "parked");
    world.expect_notifications(&[]);
}

#[test]
fn coach_that_returns_with_its_lost_node_is_parked() {
    let mut world = World::coached();
    world.with(|node_state, cx| node_state.core_changed(None, cx));
    world.with(|node_state, cx| node_state.core_changed(Some(core()), cx));
    world.notifications.clear();
    world.commands.clear();
    let listed = ListedChannel {
        channel: call(2).channel(),
        identity: identity(Some("demo")),
        parked: false,
        listens: true,
    };
    let wanted = world.node_state.channels_to_dump(&[listed]);
    assert_eq!(wanted, [call(2).channel()]);
    // Not one that somebody else lets listen.
    world.coach_is_dumped(Some(call(1)), None);
    world.expect_notifications(&[]);
    world.coach_is_dumped(Some(call(1)), Some(ParkId(world.now)));
    world.expect_notifications(&["call.new 747713001"]);
    assert!(world.actions().contains(&"break"), "{:?}", world.actions());
}

#[test]
fn stored_coaching_is_restored_unchanged() {
    let world = World::coached();
    let stored = world.node_state.call(call(2)).unwrap();
    let head = roomkeeper::store::call::encode_call_state(stored);
    let record = Record {
        version: Version(1),
        head: head.into_iter().collect(),
        parts: Default::default(),
    };
    let read = roomkeeper::store::call::decode_call_state(call(2), &record).unwrap();
    assert_eq!(read.data(), stored.data());
    let room: RoomState = recording::reread(&world);
    assert_eq!(
        room.coaches(),
        world.node_state.room(room.id()).unwrap().coaches()
    );
}
