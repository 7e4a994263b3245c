//! The digits of calls, for apps that want them.

use roomkeeper_core::gather::{Gather, PressedDigit, Prompt};
use roomkeeper_core::intent::Gather as GatherIntent;

use super::*;

impl World {
    /// The digits of this app's calls are wanted.
    fn wants_digits(&mut self, app: AppId) {
        let rules = Rules {
            apps: BTreeSet::from([demo()]),
            digit_apps: BTreeSet::from([app]),
            ..Rules::default()
        };
        self.node_state.set_rules(rules);
    }

    fn presses(&mut self, digit: char) {
        let duration_ms = 100;
        let pressed = PressedDigit { digit, duration_ms };
        self.channel(call(1), ChannelChange::Digit(pressed));
    }
}

#[test]
fn digits_of_member_and_of_parked_call_are_reported() {
    let mut world = World::joined();
    world.wants_digits(demo());
    world.presses('1');
    world.presses('1');
    world.presses('#');
    world.expect_notifications(&["dtmf 1", "dtmf 1", "dtmf #"]);
    world.leaves(call(1), 1, 1, 0);
    world.parks(call(1), None);
    world.notifications.clear();
    world.presses('*');
    world.expect_notifications(&["call.dtmf *"]);
}

#[test]
fn digits_of_other_apps_change_nothing() {
    let mut world = World::joined();
    world.presses('1');
    world.wants_digits("other".parse().unwrap());
    world.presses('1');
    world.expect_notifications(&[]);
}

#[test]
fn doubled_event_is_one_digit() {
    let mut world = World::joined();
    world.wants_digits(demo());
    world.presses('7');
    world.sequence -= 1;
    world.presses('7');
    world.expect_notifications(&["dtmf 7"]);
}

#[test]
fn flood_of_digits_is_bounded_each_second() {
    let mut world = World::joined();
    world.wants_digits(demo());
    for second in 0..2 {
        for _ in 0..300 {
            world.presses('5');
        }
        let reported = std::mem::take(&mut world.notifications);
        assert_eq!(reported.len(), 16, "in second {second}");
        world.now = world.now + Duration::from_secs(1);
    }
}

#[test]
fn digits_of_a_request_are_in_its_result_alone() {
    let mut world = World::joined();
    world.wants_digits(demo());
    let request = Box::new(Gather {
        prompt: Prompt::Silence,
        min_digits: 1,
        max_digits: 4,
        terminator: None,
        timeout_ms: 5_000,
        inter_digit_timeout_ms: 5_000,
        tries: 1,
    });
    let intent = Intent::new(Target::Call(call(1)), demo(), GatherIntent { request });
    world.submit(intent).unwrap();
    world.presses('1');
    world.expect_notifications(&[]);
}

#[test]
fn debug_hides_the_key() {
    let pressed = PressedDigit {
        digit: '8',
        duration_ms: 100,
    };
    assert_eq!(format!("{pressed:?}"), "PressedDigit(100 ms)");
}

#[test]
fn late_digit_of_a_request_is_not_reported() {
    let mut world = World::joined();
    world.wants_digits(demo());
    let request = Box::new(Gather {
        prompt: Prompt::Silence,
        min_digits: 1,
        max_digits: 1,
        terminator: None,
        timeout_ms: 5_000,
        inter_digit_timeout_ms: 5_000,
        tries: 1,
    });
    let target = Target::Member {
        room: room(1),
        call: call(1),
    };
    let intent = Intent::new(target, demo(), GatherIntent { request });
    world
        .submit(intent.with_uid(Some("g-1".parse().unwrap())))
        .unwrap();
    let Some(SwitchCommand {
        action: SwitchAction::Step { id: step, .. },
        ..
    }) = world.commands.pop()
    else {
        panic!("expected an attempt");
    };
    world.sequence += 1;
    let response = "success:7".to_owned();
    world.channel(call(1), ChannelChange::StepEnded { step, response });
    world.notifications.clear();
    world.sequence -= 2;
    world.presses('7');
    world.expect_notifications(&[]);
    world.sequence += 1;
    world.presses('8');
    world.expect_notifications(&["dtmf 8"]);
}
