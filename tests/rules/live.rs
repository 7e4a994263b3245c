//! Talking and the floor: reported live to the room's app, and never stored.

use roomkeeper::webhook::payload;
use roomkeeper_core::room::LiveChange;

use super::*;

impl World {
    /// Returns the live notifications since the last call, as text.
    fn shown_live(&mut self) -> Vec<String> {
        let live = std::mem::take(&mut self.live);
        live.into_iter()
            .map(
                |LiveNotification {
                     app,
                     room: of,
                     change: event,
                 }| {
                    assert_eq!((app, of), (demo(), room(1)));
                    let who = |call: CallId| call.channel().uuid().as_u128() - 100;
                    match event {
                        LiveChange::Talking {
                            call,
                            member,
                            talking,
                        } => {
                            assert_eq!(member, self.member(call));
                            format!("{} {}", who(call), if talking { "talks" } else { "stops" })
                        }
                        LiveChange::Floor { holder, member } => {
                            assert_eq!(member.is_some(), holder.is_some());
                            let holder = holder.map_or("no one".to_owned(), |s| who(s).to_string());
                            format!("floor of {holder}")
                        }
                    }
                },
            )
            .collect()
    }

    /// Emits an event with a member's flags.
    fn flags(&mut self, call: CallId, speak: bool, talking: bool) {
        let block = MemberBlock {
            talking,
            ..block(call, speak)
        };
        self.conference(1, 1, 1, ConferenceChange::Flags(block));
    }

    fn floor(&mut self, holder: Option<MemberBlock>) {
        self.conference(1, 1, 1, ConferenceChange::Floor { holder });
    }

    /// Returns true if the room has changes to commit.
    fn has_changed(&mut self) -> bool {
        let room = self.node_state.room_mut(room(1)).unwrap();
        !room.take_changes().is_empty()
    }

    fn alone_and_unmuted() -> Self {
        let mut world = Self::with_room_and_call();
        world.enters(call(1), 1, 1, true);
        world.notifications.clear();
        assert_eq!(world.shown_live(), Vec::<String>::new());
        assert!(world.has_changed());
        world
    }
}

#[test]
fn talking_is_reported_live_and_not_stored() {
    let mut world = World::alone_and_unmuted();
    for _ in 0..2 {
        world.flags(call(1), true, true);
    }
    world.flags(call(1), true, false);
    assert_eq!(world.shown_live(), ["1 talks", "1 stops"]);
    world.expect_notifications(&[]);
    assert!(!world.has_changed());
}

#[test]
fn older_talking_event_is_ignored() {
    let mut world = World::alone_and_unmuted();
    world.sequence += 10;
    world.flags(call(1), true, true);
    world.sequence -= 10;
    world.flags(call(1), true, false);
    assert_eq!(world.shown_live(), ["1 talks"]);
}

#[test]
fn muted_member_stops_talking() {
    let mut world = World::alone_and_unmuted();
    world.flags(call(1), true, true);
    world.flags(call(1), false, false);
    world.expect_notifications(&["muted"]);
    assert_eq!(world.shown_live(), ["1 talks", "1 stops"]);
}

#[test]
fn talking_is_reported_after_the_join() {
    let mut world = World::with_room_and_call();
    let talks = MemberBlock {
        talking: true,
        ..block(call(1), true)
    };
    world.conference(1, 1, 1, ConferenceChange::Added(talks));
    world.expect_notifications(&["joined 527121101 muted=false"]);
    assert_eq!(world.shown_live(), ["1 talks"]);
    world.leaves(call(1), 1, 1, 0);
    assert_eq!(
        world.shown_live(),
        Vec::<String>::new(),
        "the leave is reported"
    );
}

#[test]
fn floor_change_is_reported_live() {
    let mut world = World::alone_and_unmuted();
    world.floor(Some(block(call(1), true)));
    world.floor(Some(block(call(1), true)));
    assert_eq!(world.shown_live(), ["floor of 1"]);
    world.floor(None);
    world.floor(None);
    assert_eq!(world.shown_live(), ["floor of no one"]);
    assert!(!world.has_changed());
    // The end of the conference takes it away, too.
    world.floor(Some(block(call(1), true)));
    world.leaves(call(1), 1, 1, 0);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    let shown = world.shown_live();
    assert_eq!(shown, ["floor of 1", "floor of no one"]);
}

#[test]
fn orphan_room_has_no_live_notifications() {
    let mut world = World::new();
    world.enters(call(1), 2, 2, true);
    world.conference(
        2,
        2,
        1,
        ConferenceChange::Flags(MemberBlock {
            talking: true,
            ..block(call(1), true)
        }),
    );
    assert_eq!(world.live, []);
}

#[test]
fn live_notification_is_a_webhook_without_sequence() {
    let at = Timestamp::from_micros(1_778_070_896_672_025);
    let member = MemberId::generate(node(), Uuid::from_u128(5 << 32));
    let body = |event| payload::live_event(&demo(), room(1), &event, at);
    let talking = body(LiveChange::Talking {
        call: call(1),
        member,
        talking: true,
    });
    let (room, call) = (room(1), call(1));
    let head = |event| {
        format!(
            "{{\"event\":\"{event}\",\"timestamp\":\"2026-05-06T12:34:56.672025Z\",\"app_id\":\"demo\",\"room_id\":\"{room}\","
        )
    };
    assert_eq!(
        talking.body,
        head("member.talking")
            + &format!(
                "\"session_uuid\":\"{call}\",\"data\":{{\"session_uuid\":\"{call}\",\"conferencecall_id\":\"{member}\",\"talking\":true}}}}"
            )
    );
    let floor = body(LiveChange::Floor {
        holder: None,
        member: None,
    });
    assert_eq!(
        floor.body,
        head("member.floor") + "\"data\":{\"session_uuid\":null,\"conferencecall_id\":null}}"
    );
    for live in [talking, floor] {
        assert_eq!((live.app, live.room), (demo(), room));
        assert!(LiveChange::NAMES.contains(&live.event.as_str()));
    }
}
