//! PINs of rooms: the request to the caller before its call joins, and what nobody may see of it.

use roomkeeper_core::action::{self, Step};
use roomkeeper_core::call::{Checkpoint, StepId};
use roomkeeper_core::gather::Prompt;
use roomkeeper_core::intent::{Kick, SetLock, UpdateRoom};
use roomkeeper_core::labels::LabelsUpdate;
use roomkeeper_core::pin::{PinHash, RoomPin};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{RoomSettings, RoomSettingsUpdate, Sparse, Update};
use serde_json::json;

use super::*;

fn hash() -> PinHash {
    PinHash::new(&"4711".parse().unwrap(), Uuid::from_u128(7))
}

fn settings(tries: u8) -> RoomSettings {
    RoomSettings {
        pin: RoomPin::new(Some(hash())),
        pin_prompt_url: Some(PlayUrl::new("http://media.example/pin.wav").unwrap()),
        pin_tries: tries,
        ..RoomSettings::default()
    }
}

impl World {
    /// A room with a PIN, and a parked call.
    fn with_pin(tries: u8) -> Self {
        Self::with_details(Details {
            settings: Sparse::new(settings(tries)),
            ..Details::default()
        })
    }

    fn with_details(details: Details) -> Self {
        let mut world = Self::new();
        world.create_as(1, Origin::Gateway, Kind::Conference, details);
        world.parks(call(1), Some("demo"));
        world.notifications.clear();
        world
    }

    /// A call that is asked for the PIN; returns the attempt.
    fn asked_for_pin(tries: u8) -> (Self, StepId) {
        let mut world = Self::with_pin(tries);
        world.join(call(1), room(1)).unwrap();
        let attempt = world.pin_attempt();
        (world, attempt)
    }

    /// Returns the id of the only command, which asks for the PIN.
    #[track_caller]
    fn pin_attempt(&mut self) -> StepId {
        let commands = std::mem::take(&mut self.commands);
        match commands.as_slice() {
            [
                SwitchCommand {
                    action:
                        SwitchAction::Step {
                            id,
                            step: Step::Pin(_),
                        },
                    ..
                },
            ] => *id,
            _ => panic!("expected one attempt, got {commands:?}"),
        }
    }

    #[track_caller]
    fn sends_it_in(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        let [
            SwitchCommand {
                action: SwitchAction::Enter(_),
                ..
            },
        ] = commands.as_slice()
        else {
            panic!("expected the command to enter, got {commands:?}");
        };
    }

    fn caller_enters(&mut self, attempt: StepId, response: &str) {
        let response = response.to_owned();
        let step = attempt;
        self.channel(call(1), ChannelChange::StepEnded { step, response });
    }

    fn set_lock(&mut self, locked: bool) {
        let lock = SetLock { locked };
        self.submit(Intent::new(Target::Room(room(1)), demo(), lock))
            .unwrap();
    }

    fn set_pin(&mut self, pin: RoomPin) {
        let update = Update {
            settings: RoomSettingsUpdate {
                pin: Some(pin),
                ..RoomSettingsUpdate::default()
            },
            ..Update::default()
        };
        let update = UpdateRoom {
            update: Box::new(update),
            labels: LabelsUpdate::default(),
        };
        self.submit(Intent::new(Target::Room(room(1)), demo(), update))
            .unwrap();
    }
}

#[test]
fn right_pin_lets_the_call_in() {
    let (mut world, attempt) = World::asked_for_pin(3);
    assert_eq!(world.call_status(), CallStatus::Acting(Some(room(1))));
    world.caller_enters(attempt, "success:4711");
    world.sends_it_in();
    world.expect_notifications(&[]);
    world.enters(call(1), 1, 1, false);
    world.expect_notifications(&["joined 527121101 muted=true [c-1]"]);
}

#[test]
fn pin_ended_by_a_timeout_counts() {
    let (mut world, attempt) = World::asked_for_pin(1);
    world.caller_enters(attempt, "timeout:4711");
    world.sends_it_in();
}

#[test]
fn join_fails_after_the_last_wrong_pin() {
    for wrong in [
        "success:4712",
        "success:47110",
        "success:471",
        "timeout:",
        "failure:",
        "success:*4711",
    ] {
        let (mut world, first) = World::asked_for_pin(3);
        world.caller_enters(first, wrong);
        let second = world.pin_attempt();
        assert_ne!(first, second);
        world.caller_enters(first, "success:4711");
        assert!(world.commands.is_empty(), "an attempt must count once");
        world.caller_enters(second, wrong);
        let third = world.pin_attempt();
        world.expect_notifications(&[]);
        world.caller_enters(third, wrong);
        world.expect_notifications(&["join_failed pin [c-1]"]);
        assert_eq!(world.call_status(), CallStatus::Parked);
        assert!(world.commands.is_empty());
        world.join(call(1), room(1)).unwrap();
        let again = world.pin_attempt();
        world.caller_enters(again, "success:4711");
        world.sends_it_in();
    }
}

#[test]
fn last_attempt_with_the_right_pin_lets_the_call_in() {
    let (mut world, first) = World::asked_for_pin(2);
    world.caller_enters(first, "success:0000");
    let second = world.pin_attempt();
    world.caller_enters(second, "success:4711");
    world.sends_it_in();
}

#[test]
fn room_has_three_attempts_unless_it_says_otherwise() {
    let (mut world, mut attempt) = World::asked_for_pin(0);
    for _ in 0..2 {
        world.caller_enters(attempt, "failure:");
        attempt = world.pin_attempt();
    }
    world.caller_enters(attempt, "failure:");
    world.expect_notifications(&["join_failed pin [c-1]"]);
}

#[test]
fn prompt_that_cannot_be_played_is_no_wrong_pin() {
    let (mut world, attempt) = World::asked_for_pin(3);
    world.caller_enters(attempt, ":");
    world.expect_notifications(&["join_failed action_failed [c-1]"]);
}

#[test]
fn ringing_call_is_answered_and_pre_actions_follow_the_pin() {
    let beep = json!([{ "type": "beep" }]);
    let mut world = World::new();
    world.create_as(
        1,
        Origin::Voipbin,
        Kind::Conference,
        Details {
            settings: Sparse::new(settings(1)),
            pre_actions: action::parse_list(beep.as_array().unwrap().clone()).unwrap(),
            ..Details::default()
        },
    );
    let identity = Identity {
        answered_at: None,
        ..identity(Some("demo"))
    };
    world.channel(
        call(1),
        ChannelChange::Parked {
            identity,
            by: None,
            bridge: None,
        },
    );
    world.join(call(1), room(1)).unwrap();
    let mut steps = Vec::new();
    for response in ["_none_", "success:4711", "FILE PLAYED"] {
        let Some(SwitchCommand {
            action: SwitchAction::Step { id, step },
            ..
        }) = world.commands.pop()
        else {
            panic!("expected a step");
        };
        steps.push(step);
        world.caller_enters(id, response);
    }
    assert!(
        matches!(steps.as_slice(), [Step::Answer, Step::Pin(_), Step::Beep]),
        "{steps:?}"
    );
    world.sends_it_in();
}

#[test]
fn app_that_knows_the_pin_skips_it() {
    let mut world = World::with_pin(3);
    let join = Join {
        skip_pin: true,
        ..Join::default()
    };
    let target = Target::Member {
        room: room(1),
        call: call(1),
    };
    world.submit(Intent::new(target, demo(), join)).unwrap();
    world.sends_it_in();
}

#[test]
fn removed_pin_is_not_asked_for_and_a_new_one_counts_for_the_next_join() {
    let (mut world, attempt) = World::asked_for_pin(1);
    world.set_pin(RoomPin::default());
    world.expect_notifications(&[r#"updated {"pin_required":false}"#]);
    // A request under way keeps its PIN.
    world.caller_enters(attempt, "success:0000");
    world.expect_notifications(&["join_failed pin [c-1]"]);
    world.join(call(1), room(1)).unwrap();
    world.sends_it_in();
}

#[test]
fn room_that_was_locked_meanwhile_stays_closed() {
    let (mut world, attempt) = World::asked_for_pin(1);
    world.set_lock(true);
    world.notifications.clear();
    world.caller_enters(attempt, "success:4711");
    world.expect_notifications(&["join_failed refused [c-1]"]);
    assert!(world.commands.is_empty());
    assert_eq!(world.call_status(), CallStatus::Parked);
}

#[test]
fn lost_event_of_an_attempt_is_read_from_the_channel() {
    let (mut world, first) = World::asked_for_pin(2);
    let read = |world: &mut World, step: StepId, text: &str| {
        let checkpoint: Checkpoint = text.parse().unwrap();
        let checkpoints = vec![(call(1).channel(), step, Some(checkpoint))];
        world.with(|node_state, cx| node_state.apply_checkpoints(checkpoints, cx));
    };
    read(&mut world, first, &format!("{first}=success:1"));
    let second = world.pin_attempt();
    read(&mut world, second, &format!("{first}=success:4711"));
    assert!(
        world.commands.is_empty(),
        "the command may be on its way: {:?}",
        world.commands
    );
    read(&mut world, second, &format!("{second}=success:4711"));
    world.sends_it_in();
}

#[test]
fn attempts_outlive_the_controller() {
    let (mut world, first) = World::asked_for_pin(3);
    world.caller_enters(first, "success:1111");
    world.pin_attempt();
    let before = world.node_state.call(call(1)).unwrap().data();
    let run = serde_json::to_string(&before.run).unwrap();
    assert!(!run.contains("4711"), "{run}");
    let stored = serde_json::from_str(&run).unwrap();
    assert_eq!(before.run, stored);
}

#[test]
fn kicked_and_ended_calls_are_asked_no_longer() {
    let (mut world, attempt) = World::asked_for_pin(3);
    let target = Target::Member {
        room: room(1),
        call: call(1),
    };
    world
        .submit(Intent::new(target, demo(), Kick { member: None }))
        .unwrap();
    world.expect_notifications(&["join_failed removed [c-1]"]);
    world.commands.clear();
    world.caller_enters(attempt, "success:4711");
    assert!(world.commands.is_empty());

    let (mut world, attempt) = World::asked_for_pin(3);
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    world.expect_notifications(&[
        "join_failed hangup [c-1]",
        "call.hangup NORMAL_CLEARING 50ms",
    ]);
    world.caller_enters(attempt, "success:4711");
    assert!(world.commands.is_empty());
}

#[test]
fn deadline_covers_all_attempts() {
    let (mut world, attempt) = World::asked_for_pin(10);
    // Each attempt has 300 s for its prompt.
    world.waits(2_900);
    world.expect_notifications(&[]);
    world.caller_enters(attempt, "success:4711");
    world.sends_it_in();
}

#[test]
fn room_shows_that_it_has_a_pin_and_no_more() {
    let shown = serde_json::to_value(settings(2)).unwrap();
    let expected = json!({
        "pin_required": true,
        "pin_prompt_url": "http://media.example/pin.wav",
        "pin_tries": 2,
    });
    assert_eq!(shown, expected);
    let request = settings(2).pin_request().unwrap();
    assert!(matches!(request.prompt, Prompt::Play(_)));
    assert!(RoomSettings::default().pin_request().is_none());
}
