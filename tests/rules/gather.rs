//! Requests for digits: their attempts, their one result, and the loss of FreeSWITCH's reports.

use roomkeeper_core::action::Step;
use roomkeeper_core::call::{Checkpoint, StepId};
use roomkeeper_core::gather::{Gather, Prompt};
use roomkeeper_core::intent::{Gather as GatherIntent, StopGather};
use roomkeeper_core::play_url::PlayUrl;

use super::*;

fn gather(tries: u8) -> Gather {
    Gather {
        prompt: Prompt::Play(PlayUrl::new("http://media.example/pin.wav").unwrap()),
        min_digits: 2,
        max_digits: 4,
        terminator: Some('#'),
        timeout_ms: 5_000,
        inter_digit_timeout_ms: 2_000,
        tries,
    }
}

fn member() -> Target {
    Target::Member {
        room: room(1),
        call: call(1),
    }
}

impl World {
    fn ask(&mut self, target: Target, tries: u8) -> Result<Accepted, Refusal> {
        let request = Box::new(gather(tries));
        let intent = Intent::new(target, demo(), GatherIntent { request });
        self.submit(intent.with_uid(Some("g-1".parse().unwrap())))
    }

    fn stop_asking(&mut self, target: Target) -> Result<Accepted, Refusal> {
        self.submit(Intent::new(target, demo(), StopGather))
    }

    /// Returns the id of the only command, which begins an attempt.
    #[track_caller]
    fn attempt(&mut self) -> StepId {
        let commands = std::mem::take(&mut self.commands);
        match commands.as_slice() {
            [
                SwitchCommand {
                    action:
                        SwitchAction::Step {
                            id,
                            step: Step::Gather(_),
                        },
                    ..
                },
            ] => *id,
            _ => panic!("expected one attempt, got {commands:?}"),
        }
    }

    #[track_caller]
    fn stops_attempt(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        let actions: Vec<_> = commands.into_iter().map(|command| command.action).collect();
        assert_eq!(actions, [SwitchAction::StopGather]);
    }

    fn attempt_ends(&mut self, step: StepId, response: &str) {
        let response = response.to_owned();
        self.channel(call(1), ChannelChange::StepEnded { step, response });
    }

    fn is_checked(&mut self, step: StepId, checkpoint: Option<&str>) {
        let checkpoint: Option<Checkpoint> = checkpoint.map(|text| text.parse().unwrap());
        let checkpoints = vec![(call(1).channel(), step, checkpoint)];
        self.with(|node_state, cx| node_state.apply_checkpoints(checkpoints, cx));
    }

    fn call_waits(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        let entity = EntityId::Call(call(1));
        self.with(|node_state, cx| node_state.deadline(entity, cx));
    }

    fn hangs_up(&mut self) {
        let cause = "NORMAL_CLEARING".to_owned();
        self.channel(call(1), ChannelChange::HungUp { cause });
    }

    /// A room with a member who is asked for digits; returns the attempt.
    fn asked(tries: u8) -> (Self, StepId) {
        let mut world = Self::joined();
        world.ask(member(), tries).unwrap();
        let attempt = world.attempt();
        (world, attempt)
    }
}

#[test]
fn digits_of_member_are_reported_once_in_its_room() {
    let (mut world, attempt) = World::asked(1);
    world.attempt_ends(attempt, "success:123");
    world.expect_notifications(&["gathered 123 matched [g-1]"]);
    world.attempt_ends(attempt, "success:123");
    world.expect_notifications(&[]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
}

#[test]
fn digits_of_parked_call_are_reported_for_the_call() {
    let mut world = World::with_room_and_call();
    world.ask(Target::Call(call(1)), 1).unwrap();
    let attempt = world.attempt();
    world.attempt_ends(attempt, "timeout:12");
    world.expect_notifications(&["call.gathered 12 matched [g-1]"]);
}

#[test]
fn attempt_with_too_few_digits_is_repeated() {
    let (mut world, first) = World::asked(2);
    world.attempt_ends(first, "failure:1");
    world.expect_notifications(&[]);
    let second = world.attempt();
    assert_eq!((second.run, second.index), (first.run, 1));
    world.attempt_ends(first, "success:99");
    world.expect_notifications(&[]);
    world.attempt_ends(second, "failure:7");
    world.expect_notifications(&["gathered 7 timeout [g-1]"]);
}

#[test]
fn no_digits_are_no_input() {
    let (mut world, attempt) = World::asked(1);
    world.attempt_ends(attempt, "failure:");
    world.expect_notifications(&["gathered  no_input [g-1]"]);
}

#[test]
fn prompt_that_cannot_be_played_fails_without_another_attempt() {
    let (mut world, attempt) = World::asked(3);
    world.attempt_ends(attempt, ":");
    world.expect_notifications(&["gathered  failed http://media.example/pin.wav [g-1]"]);
    assert!(world.commands.is_empty());
}

#[test]
fn second_request_is_refused_until_the_first_has_ended() {
    let (mut world, attempt) = World::asked(1);
    assert_eq!(world.ask(member(), 1), Err(Refusal::AlreadyGathering));
    let call_target = Target::Call(call(1));
    assert_eq!(world.ask(call_target, 1), Err(Refusal::AlreadyGathering));
    world.attempt_ends(attempt, "success:12");
    assert!(world.ask(member(), 1).is_ok());
}

#[test]
fn stopped_request_reports_the_digits_so_far() {
    let (mut world, attempt) = World::asked(3);
    world.stop_asking(member()).unwrap();
    world.stops_attempt();
    world.expect_notifications(&[]);
    world.attempt_ends(attempt, "failure:1");
    world.expect_notifications(&["gathered 1 stopped [g-1]"]);
    assert_eq!(world.stop_asking(member()), Err(Refusal::NotGathering));
}

#[test]
fn stop_is_repeated_and_ends_the_request_without_an_answer() {
    let (mut world, _) = World::asked(1);
    world.stop_asking(Target::Call(call(1))).unwrap();
    world.stops_attempt();
    for _ in 0..2 {
        world.call_waits(3);
        world.stops_attempt();
    }
    world.call_waits(3);
    world.expect_notifications(&["gathered  stopped [g-1] (synthesized)"]);
}

#[test]
fn request_without_report_is_stopped_and_fails() {
    let (mut world, _) = World::asked(1);
    world.call_waits(300);
    assert!(world.commands.is_empty());
    world.call_waits(30);
    world.stops_attempt();
    for _ in 0..2 {
        world.call_waits(3);
        world.stops_attempt();
    }
    world.call_waits(3);
    let url = "http://media.example/pin.wav";
    world.expect_notifications(&[&format!("gathered  failed {url} [g-1] (synthesized)")]);
}

#[test]
fn hangup_ends_the_request_before_the_member_leaves() {
    let (mut world, attempt) = World::asked(1);
    world.hangs_up();
    world.expect_notifications(&[
        "gathered  hangup [g-1]",
        "left hangup",
        "call.hangup NORMAL_CLEARING 50ms",
    ]);
    world.attempt_ends(attempt, "success:12");
    world.expect_notifications(&[]);
}

#[test]
fn leave_ends_the_request() {
    let (mut world, attempt) = World::asked(1);
    world.leave().unwrap();
    world.expect_notifications(&["gathered  stopped [g-1]"]);
    world.attempt_ends(attempt, "failure:1");
    world.expect_notifications(&[]);
}

#[test]
fn member_that_is_gone_already_reports_for_the_call() {
    let (mut world, _) = World::asked(1);
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["call.gathered  stopped [g-1]", "left removed"]);
}

#[test]
fn join_ends_the_request_of_a_parked_call() {
    let mut world = World::with_room_and_call();
    world.ask(Target::Call(call(1)), 1).unwrap();
    world.attempt();
    world.join(call(1), room(1)).unwrap();
    world.expect_notifications(&["call.gathered  stopped [g-1]"]);
}

#[test]
fn lost_event_is_replaced_by_the_checkpoint() {
    let (mut world, attempt) = World::asked(1);
    assert_eq!(
        world.node_state.acting_calls(),
        [(call(1).channel(), attempt)]
    );
    world.is_checked(attempt, Some(&attempt.to_string()));
    world.expect_notifications(&[]);
    world.is_checked(attempt, Some(&format!("{attempt}=success:4711")));
    world.expect_notifications(&["gathered 4711 matched [g-1] (synthesized)"]);
}

#[test]
fn attempt_that_did_not_reach_freeswitch_is_sent_again() {
    let (mut world, attempt) = World::asked(1);
    world.is_checked(attempt, None);
    assert!(world.commands.is_empty(), "it may still be queued");
    world.now = world.now + Duration::from_secs(6);
    world.is_checked(attempt, None);
    assert_eq!(world.attempt(), attempt);
}

#[test]
fn request_survives_a_restart_of_the_controller() {
    let (world, attempt) = World::asked(2);
    let stored = encode_call_state(world.node_state.call(call(1)).unwrap());
    let stored = Record {
        version: Version(1),
        head: stored.into_iter().collect(),
        parts: Fields::default(),
    };
    let restored = decode_call_state(call(1), &stored).unwrap();
    assert_eq!(restored.gather().unwrap().step_id(), attempt);
    assert_eq!(
        restored.data(),
        world.node_state.call(call(1)).unwrap().data()
    );
}

#[test]
fn refused_command_fails_the_request() {
    let mut world = World::joined();
    world.ask(member(), 2).unwrap();
    let command = world.commands.pop().unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|node_state, cx| node_state.revert_command(&command, &refused, cx));
    world.expect_notifications(&["gathered  failed http://media.example/pin.wav [g-1]"]);
}

#[test]
fn only_answered_call_outside_of_actions_is_asked() {
    let mut world = World::with_room_and_call();
    assert_eq!(world.ask(member(), 1), Err(Refusal::NotInRoom));
    world.join(call(1), room(1)).unwrap();
    assert_eq!(world.ask(member(), 1), Err(Refusal::StillJoining));
    world.enters(call(1), 1, 1, false);
    let other = Target::Member {
        room: room(2),
        call: call(1),
    };
    world.create(2);
    assert_eq!(world.ask(other, 1), Err(Refusal::NotInRoom));
    let stranger: AppId = "other".parse().unwrap();
    let request = Box::new(gather(1));
    let foreign = Intent::new(member(), stranger, GatherIntent { request });
    assert_eq!(world.submit(foreign), Err(Refusal::ForeignCall));
    assert!(world.ask(member(), 1).is_ok());
}
