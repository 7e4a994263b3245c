//! Actions of a call before it joins a conference and after it has left.

use roomkeeper_core::action::{self, Step};
use roomkeeper_core::call::{Checkpoint, StepId};
use roomkeeper_core::intent::Kick;
use serde_json::{Value, json};

use super::*;

fn details(pre: Value, post: Value) -> Details {
    let read = |list: Value| action::parse_list(list.as_array().unwrap().clone()).unwrap();
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
        world.notifications.clear();
        world
    }

    /// Returns the only command, which begins a step.
    #[track_caller]
    fn step(&mut self, expected: &Step) -> StepId {
        let commands = std::mem::take(&mut self.commands);
        let [
            SwitchCommand {
                action: SwitchAction::Step { id, step, .. },
                ..
            },
        ] = commands.as_slice()
        else {
            panic!("expected one step command, got {commands:?}");
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
        let entity = EntityId::Call(call(1));
        self.with(|node_state, cx| node_state.deadline(entity, cx));
    }

    #[track_caller]
    fn enters_unmuted(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        assert!(
            matches!(
                commands.as_slice(),
                [SwitchCommand {
                    action: SwitchAction::Enter(entry),
                    ..
                }] if !entry.muted
            ),
            "{commands:?}"
        );
    }

    /// A room with the call in it, which had no pre-actions.
    fn inside(post: Value) -> Self {
        let mut world = Self::acting(json!([]), post);
        world.join(call(1), room(1)).unwrap();
        world.enters_unmuted();
        world.enters(call(1), 1, 1, true);
        world.notifications.clear();
        world
    }
}

fn url(text: &str) -> Step {
    Step::Play(roomkeeper_core::play_url::PlayUrl::new(text).unwrap())
}

const ONE: &str = "http://media.example/one.wav";
const TWO: &str = "http://media.example/two.wav";

#[test]
fn next_step_waits_for_confirmation_and_join_follows_the_last() {
    let mut world = World::acting(json!([play(&[ONE, TWO]), { "type": "beep" }]), json!([]));
    world.join(call(1), room(1)).unwrap();
    assert_eq!(world.call_status(), CallStatus::Acting(Some(room(1))));
    assert_eq!(world.call_status().as_str(), "acting");
    let first = world.step(&url(ONE));
    world.step_ended(first, "FILE PLAYED");
    let second = world.step(&url(TWO));
    world.step_ended(first, "FILE PLAYED");
    assert!(
        world.commands.is_empty(),
        "the end of a step must count once"
    );
    world.step_ended(second, "FILE PLAYED");
    let third = world.step(&Step::Beep);
    world.step_ended(third, "FILE PLAYED");
    world.enters_unmuted();
    assert_eq!(world.call_status(), CallStatus::Joining(room(1)));
    world.expect_notifications(&[]);
    world.enters(call(1), 1, 1, true);
    world.expect_notifications(&["joined 527121101 muted=false [c-1]"]);
}

#[test]
fn ringing_call_is_answered_first() {
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
    world.channel(
        call(1),
        ChannelChange::Parked {
            identity,
            by,
            bridge: None,
        },
    );
    world.join(call(1), room(1)).unwrap();
    let answer = world.step(&Step::Answer);
    world.step_ended(answer, "_none_");
    let sleep = world.step(&Step::Sleep(5));
    world.step_ended(sleep, "_none_");
    world.enters_unmuted();
}

#[test]
fn failed_step_ends_the_run_and_the_join() {
    for response in ["FILE NOT FOUND", "PLAYBACK ERROR", "_none_", ""] {
        let mut world = World::acting(json!([play(&[ONE]), { "type": "beep" }]), json!([]));
        world.join(call(1), room(1)).unwrap();
        let step = world.step(&url(ONE));
        world.step_ended(step, response);
        world.expect_notifications(&["join_failed action_failed [c-1]"]);
        assert_eq!(world.call_status(), CallStatus::Parked);
        assert!(world.commands.is_empty());
        assert!(
            world.join(call(1), room(1)).is_ok(),
            "the join can be repeated"
        );
    }
}

#[test]
fn refused_step_ends_the_run_unless_the_node_is_down() {
    let mut world = World::acting(json!([play(&[ONE])]), json!([]));
    world.join(call(1), room(1)).unwrap();
    let command = world.commands.remove(0);
    let retry_after = Duration::from_secs(1);
    world.with(|b, cx| b.revert_command(&command, &CommandError::Down { retry_after }, cx));
    world.expect_notifications(&[]);
    assert_eq!(world.call_status(), CallStatus::Acting(Some(room(1))));
    let refused = CommandError::Refused("no engine".to_owned());
    world.with(|b, cx| b.revert_command(&command, &refused, cx));
    world.expect_notifications(&["join_failed action_failed [c-1]"]);
}

#[test]
fn step_is_stopped_at_its_deadline() {
    let mut world = World::acting(json!([play(&[ONE])]), json!([]));
    world.join(call(1), room(1)).unwrap();
    let step = world.step(&url(ONE));
    world.waits_for_call(299);
    world.expect_notifications(&[]);
    world.waits_for_call(1);
    world.expect_notifications(&["join_failed action_failed [c-1]"]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Break { .. },
            ..
        }]
    ));
    world.commands.clear();
    world.step_ended(step, "PLAYBACK ERROR");
    world.expect_notifications(&[]);
    assert_eq!(
        world.call_status(),
        CallStatus::Leaving(None),
        "the command may be on its way"
    );
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::StillLeaving));
    world.parks(call(1), None);
    assert_eq!(world.call_status(), CallStatus::Parked);
}

#[test]
fn hang_up_ends_the_run() {
    let mut world = World::acting(json!([play(&[ONE])]), json!([play(&[TWO])]));
    world.join(call(1), room(1)).unwrap();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    world.expect_notifications(&[
        "join_failed hangup [c-1]",
        "call.hangup NORMAL_CLEARING 50ms",
    ]);
}

#[test]
fn post_actions_start_once_the_call_is_parked() {
    for parked_first in [false, true] {
        let mut world = World::inside(json!([play(&[TWO])]));
        world.leave().unwrap();
        world.commands.clear();
        if parked_first {
            world.parks(call(1), Some("demo"));
            world.leaves(call(1), 1, 1, 0);
        } else {
            world.leaves(call(1), 1, 1, 0);
            assert!(
                world.commands.is_empty(),
                "no step before the call is parked"
            );
            world.parks(call(1), Some("demo"));
        }
        world.expect_notifications(&["left removed [c-3]"]);
        assert_eq!(world.call_status(), CallStatus::Acting(None));
        let step = world.step(&url(TWO));
        world.step_ended(step, "FILE PLAYED");
        assert_eq!(world.call_status(), CallStatus::Parked);
        world.expect_notifications(&[]);
    }
}

#[test]
fn post_actions_start_after_the_room_has_ended() {
    let mut world = World::inside(json!([play(&[TWO])]));
    world.delete().unwrap();
    world.commands.clear();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left room_destroyed", "destroyed"]);
    world.parks(call(1), Some("demo"));
    world.step(&url(TWO));
}

#[test]
fn join_ends_the_post_actions_of_the_last_room() {
    let mut world = World::inside(json!([play(&[TWO])]));
    world.leave().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.parks(call(1), Some("demo"));
    world.create(2);
    world.notifications.clear();
    world.commands.clear();
    world.join(call(1), room(2)).unwrap();
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Enter(_),
            ..
        }]
    ));
    assert_eq!(world.call_status(), CallStatus::Joining(room(2)));
}

#[test]
fn transfer_to_another_room_skips_post_actions() {
    let mut world = World::inside(json!([play(&[TWO])]));
    world.create(2);
    world.notifications.clear();
    world.conference(1, 1, 1, ConferenceChange::Moving(call(1).channel()));
    world.leaves(call(1), 1, 1, 0);
    world.enters(call(1), 2, 2, true);
    world.expect_notifications(&["left moved", "joined 527121101 muted=false"]);
    assert!(
        !world.commands.iter().any(|o| matches!(
            o,
            SwitchCommand {
                action: SwitchAction::Step { .. },
                ..
            }
        )),
        "{:?}",
        world.commands
    );
    assert!(world.node_state.call(call(1)).unwrap().run().is_none());
}

#[test]
fn kicked_call_that_runs_pre_actions_does_not_enter() {
    let mut world = World::acting(json!([play(&[ONE])]), json!([]));
    world.join(call(1), room(1)).unwrap();
    let step = world.step(&url(ONE));
    let member = world.member(call(1));
    let kick = Intent::new(
        Target::Member {
            room: room(1),
            call: call(1),
        },
        demo(),
        Kick {
            member: Some(member),
        },
    );
    world.submit(kick.clone()).unwrap();
    world.expect_notifications(&["join_failed removed [c-1]"]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Park { .. },
            ..
        }]
    ));
    world.commands.clear();
    world.step_ended(step, "PLAYBACK ERROR");
    assert_eq!(
        world.call_status(),
        CallStatus::Leaving(None),
        "the command may be on its way"
    );
    world.parks(call(1), None);
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert_eq!(world.submit(kick), Err(Refusal::NotInRoom));
}

#[test]
fn run_resumes_from_the_checkpoint_after_a_restart() {
    let begun = || {
        let mut world = World::acting(json!([play(&[ONE, TWO])]), json!([]));
        world.join(call(1), room(1)).unwrap();
        let step = world.step(&url(ONE));
        // A later owner reads this record.
        let record = Record {
            version: Version(1),
            head: encode_call_state(world.node_state.call(call(1)).unwrap())
                .into_iter()
                .collect(),
            parts: Fields::default(),
        };
        let state = decode_call_state(call(1), &record).unwrap();
        assert_eq!(
            &state,
            world
                .node_state
                .call(call(1))
                .map(|s| {
                    let mut s = s.clone();
                    s.take_changed();
                    s
                })
                .as_ref()
                .unwrap()
        );
        world.node_state.put_call(call(1), Some(state));
        (world, step)
    };
    let says = |world: &mut World, step: StepId, text: &str| {
        assert_eq!(world.node_state.acting_calls(), [(call(1).channel(), step)]);
        let mark: Option<Checkpoint> = text.parse().ok();
        world.with(|b, cx| b.apply_checkpoints(vec![(call(1).channel(), step, mark)], cx));
    };
    // The step has ended, and the event was lost.
    let (mut world, step) = begun();
    says(&mut world, step, &format!("{step}=FILE PLAYED"));
    let next = world.step(&url(TWO));
    assert_eq!((next.run, next.index), (step.run, 1));
    // The step still runs.
    let (mut world, step) = begun();
    says(&mut world, step, &step.to_string());
    assert!(world.commands.is_empty());
    // The step never began. It is not repeated at once, because a command may be on its way.
    for nothing in [
        "_undef_",
        "11111111-1111-4111-8111-111111111111.3=FILE PLAYED",
    ] {
        let (mut world, step) = begun();
        says(&mut world, step, nothing);
        assert!(world.commands.is_empty());
        assert!(world.wants_resync, "the checkpoint must be read again");
        world.now = world.now + Duration::from_secs(6);
        says(&mut world, step, nothing);
        assert_eq!(world.step(&url(ONE)), step);
    }
    // The step failed.
    let (mut world, step) = begun();
    says(&mut world, step, &format!("{step}=FILE NOT FOUND"));
    world.expect_notifications(&["join_failed action_failed [c-1]"]);
}
