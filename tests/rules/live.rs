//! Who talks and who has the floor: shown when it changes, to the room's app, and never stored.

use roomkeeper::room::LiveFact;
use roomkeeper::webhook::payload;

use super::*;

impl World {
    /// What was shown since this was last asked, as one would say it.
    fn shown_live(&mut self) -> Vec<String> {
        let live = std::mem::take(&mut self.live);
        live.into_iter()
            .map(
                |LiveNotice {
                     app,
                     room: of,
                     fact,
                 }| {
                    assert_eq!((app, of), (demo(), room(1)));
                    let who = |session: SessionId| session.channel().uuid().as_u128() - 100;
                    match fact {
                        LiveFact::Talking {
                            session,
                            member,
                            talking,
                        } => {
                            assert_eq!(member, self.member(session));
                            format!(
                                "{} {}",
                                who(session),
                                if talking { "talks" } else { "stops" }
                            )
                        }
                        LiveFact::Floor { holder, member } => {
                            assert_eq!(member.is_some(), holder.is_some());
                            let holder = holder.map_or("nobody".to_owned(), |s| who(s).to_string());
                            format!("floor of {holder}")
                        }
                    }
                },
            )
            .collect()
    }

    /// An event that tells a member's flags.
    fn flags(&mut self, session: SessionId, speak: bool, talking: bool) {
        let block = MemberBlock {
            talking,
            ..block(session, speak)
        };
        self.conference(1, 1, 1, ConferenceChange::Flags(block));
    }

    fn floor(&mut self, holder: Option<MemberBlock>) {
        self.conference(1, 1, 1, ConferenceChange::Floor { holder });
    }

    /// Whether there is anything to commit of the room.
    fn has_changed(&mut self) -> bool {
        let room = self.belief.room_mut(room(1)).unwrap();
        !room.take_changes().is_empty()
    }

    fn alone_and_unmuted() -> Self {
        let mut world = Self::with_room_and_call();
        world.enters(call(1), 1, 1, true);
        world.told.clear();
        assert_eq!(world.shown_live(), Vec::<String>::new());
        assert!(world.has_changed());
        world
    }
}

#[test]
fn talking_is_shown_when_it_changes_and_changes_nothing_that_is_stored() {
    let mut world = World::alone_and_unmuted();
    for _ in 0..2 {
        world.flags(call(1), true, true);
    }
    world.flags(call(1), true, false);
    assert_eq!(world.shown_live(), ["1 talks", "1 stops"]);
    world.told(&[]);
    assert!(!world.has_changed());
}

#[test]
fn older_news_of_talking_is_not_shown() {
    let mut world = World::alone_and_unmuted();
    world.sequence += 10;
    world.flags(call(1), true, true);
    world.sequence -= 10;
    world.flags(call(1), true, false);
    assert_eq!(world.shown_live(), ["1 talks"]);
}

#[test]
fn a_talker_who_is_muted_stops() {
    let mut world = World::alone_and_unmuted();
    world.flags(call(1), true, true);
    world.flags(call(1), false, false);
    world.told(&["muted"]);
    assert_eq!(world.shown_live(), ["1 talks", "1 stops"]);
}

#[test]
fn who_comes_in_talking_is_shown_after_he_came_in() {
    let mut world = World::with_room_and_call();
    let talks = MemberBlock {
        talking: true,
        ..block(call(1), true)
    };
    world.conference(1, 1, 1, ConferenceChange::Added(talks));
    world.told(&["joined 527121101 muted=false"]);
    assert_eq!(world.shown_live(), ["1 talks"]);
    world.leaves(call(1), 1, 1, 0);
    assert_eq!(
        world.shown_live(),
        Vec::<String>::new(),
        "that he left is told"
    );
}

#[test]
fn the_floor_is_shown_when_it_changes_hands() {
    let mut world = World::alone_and_unmuted();
    world.floor(Some(block(call(1), true)));
    world.floor(Some(block(call(1), true)));
    assert_eq!(world.shown_live(), ["floor of 1"]);
    world.floor(None);
    world.floor(None);
    assert_eq!(world.shown_live(), ["floor of nobody"]);
    assert!(!world.has_changed());
    // The end of the conference takes it away, too.
    world.floor(Some(block(call(1), true)));
    world.leaves(call(1), 1, 1, 0);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    let shown = world.shown_live();
    assert_eq!(shown, ["floor of 1", "floor of nobody"]);
}

#[test]
fn of_a_conference_that_is_nobodys_nothing_is_shown() {
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
fn what_is_shown_has_the_form_of_a_webhook_without_a_number() {
    let at = Timestamp::from_micros(1_778_070_896_672_025);
    let member = MemberId::fresh(node(), Uuid::from_u128(5 << 32));
    let body = |fact| payload::live_event(&demo(), room(1), &fact, at);
    let talking = body(LiveFact::Talking {
        session: call(1),
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
    let floor = body(LiveFact::Floor {
        holder: None,
        member: None,
    });
    assert_eq!(
        floor.body,
        head("member.floor") + "\"data\":{\"session_uuid\":null,\"conferencecall_id\":null}}"
    );
    for live in [talking, floor] {
        assert_eq!((live.app, live.room), (demo(), room));
        assert!(payload::LIVE_EVENTS.contains(&live.event.as_str()));
    }
}
