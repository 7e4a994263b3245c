//! What a call does before it comes into a conference and after it has left it.

use roomkeeper::action::{self, Step};
use roomkeeper::session::{Mark, StepId};
use serde_json::{Value, json};

use super::*;

fn details(pre: Value, post: Value) -> Details {
    let read = |list: Value| action::read(list.as_array().unwrap().clone()).unwrap();
    Details {
        pre_actions: read(pre),
        post_actions: read(post),
        ..Details::default()
    }
}

fn play(urls: &[&str]) -> Value {
    json!({ "type": "play", "option": { "stream_urls": urls } })
}

impl World {
    /// A conference with these actions, and a parked call.
    fn acting(pre: Value, post: Value) -> Self {
        let mut world = Self::new();
        world.create_as(1, Origin::Voipbin, Kind::Conference, details(pre, post));
        world.parks(call(1), Some("demo"));
        world.told.clear();
        world
    }

    /// The step that FreeSWITCH was told to begin, and nothing else.
    #[track_caller]
    fn step(&mut self, expected: &Step) -> StepId {
        let orders = std::mem::take(&mut self.orders);
        let [Order::Step { id, step, .. }] = orders.as_slice() else {
            panic!("{orders:?} is not one step");
        };
        assert_eq!(step, expected);
        *id
    }

    fn step_ended(&mut self, step: StepId, response: &str) {
        let response = response.to_owned();
        self.channel(call(1), ChannelChange::StepEnded { step, response });
    }

    fn waits_for_call(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        let entity = EntityId::Session(call(1));
        self.with(|belief, cx| belief.deadline(entity, cx));
    }

    #[track_caller]
    fn enters_unmuted(&mut self) {
        let orders = std::mem::take(&mut self.orders);
        assert!(
            matches!(orders.as_slice(), [Order::Enter { muted: false, .. }]),
            "{orders:?}"
        );
    }

    /// In the room, without anything to do before.
    fn inside(post: Value) -> Self {
        let mut world = Self::acting(json!([]), post);
        world.join(call(1), room(1)).unwrap();
        world.enters_unmuted();
        world.enters(call(1), 1, 1, true);
        world.told.clear();
        world
    }
}

fn url(text: &str) -> Step {
    Step::Play(roomkeeper::play_url::PlayUrl::new(text).unwrap())
}

const ONE: &str = "http://media.example/one.wav";
const TWO: &str = "http://media.example/two.wav";

#[test]
fn each_step_is_confirmed_before_the_next_and_the_call_goes_in_after_the_last() {
    let mut world = World::acting(json!([play(&[ONE, TWO]), { "type": "beep" }]), json!([]));
    world.join(call(1), room(1)).unwrap();
    assert_eq!(world.place(), Place::Acting(Some(room(1))));
    assert_eq!(world.place().as_str(), "acting");
    let first = world.step(&url(ONE));
    world.step_ended(first, "FILE PLAYED");
    let second = world.step(&url(TWO));
    world.step_ended(first, "FILE PLAYED");
    assert!(world.orders.is_empty(), "the end of a step counts once");
    world.step_ended(second, "FILE PLAYED");
    let third = world.step(&Step::Beep);
    world.step_ended(third, "FILE PLAYED");
    world.enters_unmuted();
    assert_eq!(world.place(), Place::Joining(room(1)));
    world.told(&[]);
    world.enters(call(1), 1, 1, true);
    world.told(&["joined 527121101 muted=false [c-1]"]);
}

#[test]
fn a_call_that_rings_is_answered_first() {
    let mut world = World::new();
    world.create_as(
        1,
        Origin::Voipbin,
        Kind::Conference,
        details(
            json!([{ "type": "sleep", "option": { "duration": 5 } }]),
            json!([]),
        ),
    );
    let rings = Identity {
        answered_at: None,
        ..identity(Some("demo"))
    };
    let (identity, by) = (rings, None);
    world.channel(call(1), ChannelChange::Parked { identity, by });
    world.join(call(1), room(1)).unwrap();
    let answer = world.step(&Step::Answer);
    world.step_ended(answer, "_none_");
    let sleep = world.step(&Step::Sleep(5));
    world.step_ended(sleep, "_none_");
    world.enters_unmuted();
}

#[test]
fn a_step_that_fails_ends_the_run_and_the_join() {
    for response in ["FILE NOT FOUND", "PLAYBACK ERROR", "_none_", ""] {
        let mut world = World::acting(json!([play(&[ONE]), { "type": "beep" }]), json!([]));
        world.join(call(1), room(1)).unwrap();
        let step = world.step(&url(ONE));
        world.step_ended(step, response);
        world.told(&["join_failed action_failed [c-1]"]);
        assert_eq!(world.place(), Place::Parked);
        assert!(world.orders.is_empty());
        assert!(
            world.join(call(1), room(1)).is_ok(),
            "and may be tried again"
        );
    }
}

#[test]
fn a_step_that_freeswitch_does_not_take_ends_it_too_but_a_node_that_is_down_is_asked_later() {
    let mut world = World::acting(json!([play(&[ONE])]), json!([]));
    world.join(call(1), room(1)).unwrap();
    let order = world.orders.remove(0);
    let retry_after = Duration::from_secs(1);
    world.with(|b, cx| b.refused(&order, &CommandError::Down { retry_after }, cx));
    world.told(&[]);
    assert_eq!(world.place(), Place::Acting(Some(room(1))));
    let refused = CommandError::Refused("no engine".to_owned());
    world.with(|b, cx| b.refused(&order, &refused, cx));
    world.told(&["join_failed action_failed [c-1]"]);
}

#[test]
fn a_step_past_its_deadline_is_broken_off() {
    let mut world = World::acting(json!([play(&[ONE])]), json!([]));
    world.join(call(1), room(1)).unwrap();
    let step = world.step(&url(ONE));
    world.waits_for_call(299);
    world.told(&[]);
    world.waits_for_call(1);
    world.told(&["join_failed action_failed [c-1]"]);
    assert!(matches!(world.orders.as_slice(), [Order::Break { .. }]));
    world.orders.clear();
    world.step_ended(step, "PLAYBACK ERROR");
    world.told(&[]);
    assert_eq!(
        world.place(),
        Place::Leaving(None),
        "the order is on its way"
    );
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::StillLeaving));
    world.parks(call(1), None);
    assert_eq!(world.place(), Place::Parked);
}

#[test]
fn a_caller_who_hangs_up_meanwhile_ends_it() {
    let mut world = World::acting(json!([play(&[ONE])]), json!([play(&[TWO])]));
    world.join(call(1), room(1)).unwrap();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    world.told(&[
        "join_failed hangup [c-1]",
        "call.hangup NORMAL_CLEARING 50ms",
    ]);
}

#[test]
fn who_leaves_does_what_follows_once_it_is_parked() {
    for parked_first in [false, true] {
        let mut world = World::inside(json!([play(&[TWO])]));
        world.leave().unwrap();
        world.orders.clear();
        if parked_first {
            world.parks(call(1), Some("demo"));
            world.leaves(call(1), 1, 1, 0);
        } else {
            world.leaves(call(1), 1, 1, 0);
            assert!(world.orders.is_empty(), "not before it is parked");
            world.parks(call(1), Some("demo"));
        }
        world.told(&["left removed [c-3]"]);
        assert_eq!(world.place(), Place::Acting(None));
        let step = world.step(&url(TWO));
        world.step_ended(step, "FILE PLAYED");
        assert_eq!(world.place(), Place::Parked);
        world.told(&[]);
    }
}

#[test]
fn also_when_the_conference_was_deleted_and_is_over() {
    let mut world = World::inside(json!([play(&[TWO])]));
    world.delete().unwrap();
    world.orders.clear();
    world.leaves(call(1), 1, 1, 0);
    world.told(&["left room_destroyed", "destroyed"]);
    world.parks(call(1), Some("demo"));
    world.step(&url(TWO));
}

#[test]
fn a_join_ends_what_a_call_does_after_the_last_one() {
    let mut world = World::inside(json!([play(&[TWO])]));
    world.leave().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.parks(call(1), Some("demo"));
    world.create(2);
    world.told.clear();
    world.orders.clear();
    world.join(call(1), room(2)).unwrap();
    assert!(matches!(world.orders.as_slice(), [Order::Enter { .. }]));
    assert_eq!(world.place(), Place::Joining(room(2)));
}

#[test]
fn who_goes_straight_to_another_room_does_nothing_between() {
    let mut world = World::inside(json!([play(&[TWO])]));
    world.create(2);
    world.told.clear();
    world.conference(1, 1, 1, ConferenceChange::Moving(call(1).channel()));
    world.leaves(call(1), 1, 1, 0);
    world.enters(call(1), 2, 2, true);
    world.told(&["left moved", "joined 527121101 muted=false"]);
    assert!(
        !world.orders.iter().any(|o| matches!(o, Order::Step { .. })),
        "{:?}",
        world.orders
    );
    assert!(world.belief.session(call(1)).unwrap().run().is_none());
}

#[test]
fn one_that_is_kicked_before_it_comes_in_does_not_come_in() {
    let mut world = World::acting(json!([play(&[ONE])]), json!([]));
    world.join(call(1), room(1)).unwrap();
    let step = world.step(&url(ONE));
    let member = world.member(call(1));
    let kick = Intent::Kick {
        session: call(1),
        room: room(1),
        member: Some(member),
        app: demo(),
        command_uid: None,
    };
    world.asks(kick.clone()).unwrap();
    world.told(&["join_failed removed [c-1]"]);
    assert!(matches!(world.orders.as_slice(), [Order::Park { .. }]));
    world.orders.clear();
    world.step_ended(step, "PLAYBACK ERROR");
    assert_eq!(
        world.place(),
        Place::Leaving(None),
        "the order is on its way"
    );
    world.parks(call(1), None);
    assert_eq!(world.place(), Place::Parked);
    assert_eq!(world.asks(kick), Err(Refusal::NotInRoom));
}

#[test]
fn after_a_restart_the_channel_says_where_the_run_is_and_it_goes_on_there() {
    let begun = || {
        let mut world = World::acting(json!([play(&[ONE, TWO])]), json!([]));
        world.join(call(1), room(1)).unwrap();
        let step = world.step(&url(ONE));
        // What a later owner reads.
        let record = Record {
            version: Version(1),
            head: encode_session(world.belief.session(call(1)).unwrap())
                .into_iter()
                .collect(),
            parts: Fields::default(),
        };
        let session = decode_session(call(1), &record).unwrap();
        assert_eq!(
            &session,
            world
                .belief
                .session(call(1))
                .map(|s| {
                    let mut s = s.clone();
                    s.take_changed();
                    s
                })
                .as_ref()
                .unwrap()
        );
        world.belief.put_session(call(1), Some(session));
        (world, step)
    };
    let says = |world: &mut World, step: StepId, text: &str| {
        assert_eq!(world.belief.acting(), [(call(1).channel(), step)]);
        let mark: Option<Mark> = text.parse().ok();
        world.with(|b, cx| b.marked(vec![(call(1).channel(), step, mark)], cx));
    };
    // It is over, and nobody heard it.
    let (mut world, step) = begun();
    says(&mut world, step, &format!("{step}=FILE PLAYED"));
    let next = world.step(&url(TWO));
    assert_eq!((next.run, next.index), (step.run, 1));
    // It is under way.
    let (mut world, step) = begun();
    says(&mut world, step, &step.to_string());
    assert!(world.orders.is_empty());
    // It never began: not at once, because a command may be on its way.
    for nothing in [
        "_undef_",
        "11111111-1111-4111-8111-111111111111.3=FILE PLAYED",
    ] {
        let (mut world, step) = begun();
        says(&mut world, step, nothing);
        assert!(world.orders.is_empty());
        assert!(world.wants_resync, "it is asked again");
        world.now = world.now + Duration::from_secs(6);
        says(&mut world, step, nothing);
        assert_eq!(world.step(&url(ONE)), step);
    }
    // It failed.
    let (mut world, step) = begun();
    says(&mut world, step, &format!("{step}=FILE NOT FOUND"));
    world.told(&["join_failed action_failed [c-1]"]);
}
