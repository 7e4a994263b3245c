//! Dial-outs of a room: requests, FreeSWITCH's events, lost events, and the resulting notifications and commands.

use roomkeeper_core::dial::{DialPermission, DialRules};
use roomkeeper_core::ids::IdSet;
use roomkeeper_core::intent::{CancelDial, Dial, DialCancelled};
use roomkeeper_core::room::{DialChange, DialEvent, DialOutcome, DialRequest, Sparse};

use super::*;

/// The notification of a dial-out, as a text.
pub(crate) fn words(event: &DialEvent) -> String {
    let what = match &event.change {
        DialChange::Ringing => "ringing".to_owned(),
        DialChange::Answered => "answered".to_owned(),
        DialChange::Ended {
            outcome,
            cause,
            sip_status,
            retry_at,
        } => {
            let outcome = match outcome {
                DialOutcome::Busy => "busy",
                DialOutcome::NoAnswer => "no_answer",
                DialOutcome::Failed => "failed",
                DialOutcome::Cancelled => "cancelled",
            };
            let status = sip_status
                .map(|status| format!(" {status}"))
                .unwrap_or_default();
            let again = if retry_at.is_some() { ", again" } else { "" };
            format!("{outcome} {cause}{status}{again}")
        }
    };
    format!("call {}/{} {what}", event.attempt, event.attempts)
}

pub(super) fn request(retries: u8) -> DialRequest {
    DialRequest {
        to: "+49301".parse().unwrap(),
        from: Some("+49302".parse().unwrap()),
        caller_name: None,
        timeout: 30,
        muted: false,
        retries,
        retry_pause: 5,
        member: Sparse::default(),
        headers: Vec::new(),
    }
}

pub(super) fn dial_room() -> World {
    let mut world = World::new();
    let rules = Rules {
        apps: BTreeSet::from([demo()]),
        dial: DialRules {
            numbers_have_route: true,
            addresses_have_route: false,
            permissions: vec![DialPermission {
                app: Some(demo()),
                numbers: vec!["+49".to_owned()],
                ..DialPermission::default()
            }],
        },
        ..Rules::default()
    };
    world.node_state.set_rules(rules);
    world.create(1);
    world.notifications.clear();
    world
}

impl World {
    pub(super) fn dial(&mut self, request: DialRequest) -> Result<CallId, Refusal> {
        let session = call(1);
        let dial = Dial {
            session,
            request: Box::new(request),
        };
        let intent = Intent::new(Target::Room(room(1)), demo(), dial);
        let accepted = self.submit(intent.with_uid(Some("d-1".parse().unwrap())))?;
        assert!(matches!(accepted, Accepted::Dial(dial) if dial.session == session));
        Ok(session)
    }

    fn dialling(retries: u8) -> Self {
        let mut world = dial_room();
        world.dial(request(retries)).unwrap();
        world
    }

    fn cancel(&mut self, id: CallId) -> Result<Accepted, Refusal> {
        let intent = Intent::new(Target::Room(room(1)), demo(), CancelDial { id });
        self.submit(intent.with_uid(Some("d-2".parse().unwrap())))
    }

    fn dialled(&mut self, session: CallId, change: ChannelChange, sip_status: Option<u16>) {
        let change = ChannelChange::Dialled {
            room: room(1),
            change: Box::new(change),
            sip_status,
            answered: false,
        };
        self.channel(session, change);
    }

    /// The answered call hangs up, and the events from before are lost.
    fn hangs_up_after_a_lost_answer(&mut self, session: CallId) {
        let cause = "NORMAL_CLEARING".to_owned();
        let change = ChannelChange::Dialled {
            room: room(1),
            change: Box::new(ChannelChange::HungUp { cause }),
            sip_status: None,
            answered: true,
        };
        self.channel(session, change);
    }

    fn rings(&mut self, session: CallId) {
        let created = ChannelChange::Created(identity(Some("demo")));
        self.dialled(session, created, None);
        self.dialled(session, ChannelChange::Ringing, None);
    }

    pub(super) fn picks_up(&mut self, session: CallId) {
        let answered = ChannelChange::Answered(identity(Some("demo")));
        self.dialled(session, answered, None);
    }

    fn call_fails(&mut self, session: CallId, cause: &str, sip_status: Option<u16>) {
        let cause = cause.to_owned();
        self.dialled(session, ChannelChange::HungUp { cause }, sip_status);
    }

    /// The command fails with this error.
    fn fails(&mut self, command: &SwitchCommand, error: CommandError) {
        self.with(|node_state, cx| node_state.revert_command(command, &error, cx));
    }

    fn dials(&self) -> Vec<(u8, &'static str)> {
        let room = self.node_state.room(room(1)).unwrap();
        room.dials().map(|d| (d.attempt, d.status())).collect()
    }

    fn take_commands(&mut self) -> Vec<&'static str> {
        let commands = std::mem::take(&mut self.commands);
        commands.iter().map(SwitchCommand::name).collect()
    }

    /// A snapshot's list of channels lacks every channel, and FreeSWITCH confirms that.
    fn is_asked_for_channels(&mut self) -> usize {
        let missing = self.node_state.missing_from(&IdSet::default());
        for channel in &missing {
            let (channel, fence) = (*channel, self.sequence);
            self.with(|node_state, cx| node_state.end_vanished_call(channel, fence, cx));
        }
        missing.len()
    }
}

#[test]
fn answered_callee_becomes_a_member() {
    let mut world = World::dialling(0);
    assert_eq!(world.take_commands(), ["dial"]);
    assert_eq!(world.dials(), [(1, "dialling")]);
    world.rings(call(1));
    world.expect_notifications(&["call 1/1 ringing [d-1]"]);
    assert_eq!(world.dials(), [(1, "ringing")]);
    world.picks_up(call(1));
    world.expect_notifications(&[
        "call 1/1 answered [d-1]",
        "call.new +49301",
        "call.answered",
    ]);
    assert_eq!(world.dials(), []);
    assert_eq!(world.call_status(), CallStatus::Joining(room(1)));
    world.enters(call(1), 1, 1, true);
    world.expect_notifications(&["joined +49302 muted=false [d-1]"]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
    world.call_fails(call(1), "NORMAL_CLEARING", Some(200));
    world.expect_notifications(&["left hangup", "call.hangup NORMAL_CLEARING 0ms"]);
}

#[test]
fn room_without_a_place_for_the_callee_leaves_it_parked() {
    let mut world = World::dialling(0);
    world.picks_up(call(1));
    world.notifications.clear();
    let (identity, by) = (identity(Some("demo")), None);
    world.dialled(
        call(1),
        ChannelChange::Parked {
            identity,
            by,
            bridge: None,
        },
        None,
    );
    world.expect_notifications(&["join_failed refused [d-1]"]);
    assert_eq!(world.call_status(), CallStatus::Parked);
}

#[test]
fn each_outcome_has_its_notification() {
    for (cause, status, expected) in [
        ("USER_BUSY", Some(486), "call 1/1 busy USER_BUSY 486 [d-1]"),
        (
            "NO_USER_RESPONSE",
            Some(480),
            "call 1/1 no_answer NO_USER_RESPONSE 480 [d-1]",
        ),
        ("NO_ANSWER", None, "call 1/1 no_answer NO_ANSWER [d-1]"),
        (
            "UNALLOCATED_NUMBER",
            Some(404),
            "call 1/1 failed UNALLOCATED_NUMBER 404 [d-1]",
        ),
        (
            "CALL_REJECTED",
            Some(603),
            "call 1/1 failed CALL_REJECTED 603 [d-1]",
        ),
    ] {
        let mut world = World::dialling(0);
        world.call_fails(call(1), cause, status);
        world.expect_notifications(&[expected]);
        assert_eq!(world.dials(), []);
        world.call_fails(call(1), cause, status);
        world.expect_notifications(&[]);
    }
}

#[test]
fn failed_command_waits_for_the_sip_status() {
    let mut world = World::dialling(0);
    let command = world.commands[0].clone();
    world.fails(&command, CommandError::Refused("USER_BUSY".to_owned()));
    world.expect_notifications(&[]);
    world.call_fails(call(1), "USER_BUSY", Some(486));
    world.expect_notifications(&["call 1/1 busy USER_BUSY 486 [d-1]"]);
    // Without a channel there is no event.
    let mut world = World::dialling(0);
    world.fails(
        &command,
        CommandError::Refused("INVALID_GATEWAY".to_owned()),
    );
    world.waits(1);
    world.expect_notifications(&["call 1/1 failed INVALID_GATEWAY [d-1]"]);
    assert_eq!(world.dials(), []);
}

#[test]
fn command_that_was_not_sent_fails_and_one_without_an_answer_does_not() {
    let mut world = World::dialling(0);
    let command = world.commands[0].clone();
    world.fails(&command, CommandError::Unknown);
    world.waits(2);
    assert_eq!(world.dials(), [(1, "dialling")]);
    world.fails(&command, CommandError::Busy);
    world.waits(1);
    world.expect_notifications(&["call 1/1 failed NORMAL_TEMPORARY_FAILURE [d-1]"]);
    assert_eq!(world.take_commands(), ["dial"], "nothing is sent again");
}

#[test]
fn further_attempt_has_a_session_of_its_own() {
    let mut world = World::dialling(1);
    world.take_commands();
    world.call_fails(call(1), "USER_BUSY", Some(486));
    world.expect_notifications(&["call 1/2 busy USER_BUSY 486, again [d-1]"]);
    assert_eq!(world.dials(), [(1, "waiting")]);
    world.waits(4);
    assert_eq!(world.take_commands(), [""; 0]);
    world.waits(1);
    assert_eq!(world.take_commands(), ["dial"]);
    assert_eq!(world.dials(), [(2, "dialling")]);
    let room = world.node_state.room(room(1)).unwrap();
    let dial = room.dial(call(1)).expect("the id stays").clone();
    assert_ne!(dial.session, call(1));
    // Late events of the first attempt do not concern the second.
    world.rings(call(1));
    world.expect_notifications(&[]);
    world.call_fails(dial.session, "NO_ANSWER", None);
    world.expect_notifications(&["call 2/2 no_answer NO_ANSWER [d-1]"]);
    assert_eq!(world.dials(), []);
}

#[test]
fn final_refusals_are_not_repeated() {
    let mut world = World::dialling(3);
    world.call_fails(call(1), "UNALLOCATED_NUMBER", Some(404));
    world.expect_notifications(&["call 1/4 failed UNALLOCATED_NUMBER 404 [d-1]"]);
    assert_eq!(world.dials(), []);
}

#[test]
fn cancel_is_repeated_until_the_call_is_over() {
    let mut world = World::dialling(3);
    assert!(matches!(
        world.cancel(call(1)),
        Ok(Accepted::CancelDial(DialCancelled { over: false }))
    ));
    assert_eq!(world.take_commands(), ["dial", "cancel_dial"]);
    assert_eq!(world.dials(), [(1, "cancelling")]);
    world.waits(1);
    assert_eq!(world.take_commands(), ["cancel_dial"]);
    let second = world.cancel(call(1));
    assert!(matches!(second, Ok(Accepted::CancelDial(_))));
    assert_eq!(world.take_commands(), [""; 0]);
    world.expect_notifications(&[]);
    world.call_fails(call(1), "NORMAL_CLEARING", None);
    world.expect_notifications(&["call 1/4 cancelled NORMAL_CLEARING [d-2]"]);
    assert_eq!(world.cancel(call(1)), Err(Refusal::DialNotFound));
}

#[test]
fn cancel_between_two_attempts_is_done_at_once() {
    let mut world = World::dialling(1);
    world.call_fails(call(1), "USER_BUSY", Some(486));
    world.notifications.clear();
    world.take_commands();
    assert!(matches!(
        world.cancel(call(1)),
        Ok(Accepted::CancelDial(DialCancelled { over: true }))
    ));
    world.expect_notifications(&["call 1/2 cancelled ORIGINATOR_CANCEL [d-2]"]);
    world.waits(10);
    assert_eq!(world.take_commands(), [""; 0]);
}

#[test]
fn unknown_channel_ends_a_cancelled_attempt_only_when_its_command_must_have_arrived() {
    let mut world = World::dialling(0);
    world.cancel(call(1)).unwrap();
    let kill = world.commands[1].clone();
    world.fails(&kill, CommandError::NoSuchChannel);
    assert_eq!(
        world.dials(),
        [(1, "cancelling")],
        "originate may be on its way"
    );
    world.now = world.now + Duration::from_secs(5);
    world.fails(&kill, CommandError::NoSuchChannel);
    world.expect_notifications(&["call 1/1 cancelled UNKNOWN [d-2] (synthesized)"]);
    assert_eq!(world.dials(), []);
}

#[test]
fn answer_that_overtakes_a_cancel_is_reported_and_hung_up() {
    let mut world = World::dialling(0);
    world.cancel(call(1)).unwrap();
    world.take_commands();
    world.picks_up(call(1));
    world.expect_notifications(&[
        "call 1/1 answered [d-2]",
        "call.new +49301",
        "call.answered",
    ]);
    assert_eq!(world.take_commands(), ["hangup"]);
    assert_eq!(world.dials(), []);
}

#[test]
fn lost_answer_is_revealed_by_the_member_the_park_or_the_command() {
    let mut world = World::dialling(0);
    world.enters(call(1), 1, 1, true);
    world.expect_notifications(&[
        "call 1/1 answered [d-1] (synthesized)",
        "call.new +49301",
        "call.answered",
        "joined +49302 muted=false [d-1]",
    ]);
    let mut world = World::dialling(0);
    let command = world.commands[0].clone();
    world.with(|node_state, cx| node_state.apply_answer(&command, "", cx));
    world.expect_notifications(&["call 1/1 answered [d-1] (synthesized)", "call.new +49301"]);
    assert_eq!(world.call_status(), CallStatus::Joining(room(1)));
}

#[test]
fn lost_end_is_revealed_by_freeswitch_once_the_command_must_have_arrived() {
    let mut world = World::dialling(3);
    assert_eq!(world.is_asked_for_channels(), 1);
    assert_eq!(
        world.dials(),
        [(1, "dialling")],
        "the command may be on its way"
    );
    world.waits(5);
    assert!(world.wants_resync, "FreeSWITCH is asked again");
    world.is_asked_for_channels();
    // It may have been answered meanwhile: nobody is called twice.
    world.expect_notifications(&["call 1/4 failed UNKNOWN [d-1] (synthesized)"]);
    assert_eq!(world.dials(), []);
    assert_eq!(world.take_commands(), ["dial"]);
}

#[test]
fn callee_that_hung_up_after_a_lost_answer_is_not_called_again() {
    let mut world = World::dialling(2);
    world.take_commands();
    world.hangs_up_after_a_lost_answer(call(1));
    world.expect_notifications(&[
        "call 1/3 answered [d-1] (synthesized)",
        "call.new +49301",
        "join_failed hangup [d-1]",
        "call.hangup NORMAL_CLEARING 0ms",
    ]);
    assert_eq!(world.dials(), []);
}

#[test]
fn callee_that_was_moved_before_its_answer_arrives_does_not_join() {
    let mut world = World::dialling(0);
    world.create(2);
    world.take_commands();
    // Somebody else sent it into another room, and only that is reported.
    world.conference(2, 2, 0, ConferenceChange::Created);
    world.conference(2, 2, 1, ConferenceChange::Added(block(call(1), true)));
    world.notifications.clear();
    world.picks_up(call(1));
    world.expect_notifications(&["call 1/1 answered [d-1]"]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(2)));
    assert_eq!(world.dials(), []);
}

#[test]
fn attempt_that_begins_after_its_end_was_reported_is_ended() {
    let mut world = World::dialling(1);
    world.take_commands();
    world.now = world.now + Duration::from_secs(6);
    world.is_asked_for_channels();
    world.expect_notifications(&["call 1/2 failed UNKNOWN [d-1] (synthesized)"]);
    world.rings(call(1));
    assert_eq!(world.take_commands(), ["cancel_dial", "cancel_dial"]);
    world.call_fails(call(1), "NORMAL_CLEARING", None);
    world.expect_notifications(&[]);
    assert_eq!(world.take_commands(), [""; 0]);
}

#[test]
fn callee_that_answers_after_the_question_for_its_channel_is_no_vanished_call() {
    let mut world = World::dialling(0);
    let missing = world.node_state.missing_from(&IdSet::default());
    assert_eq!(missing, [call(1).channel()]);
    let fence = world.sequence;
    world.rings(call(1));
    world.picks_up(call(1));
    world.notifications.clear();
    let channel = call(1).channel();
    world.with(|node_state, cx| node_state.end_vanished_call(channel, fence, cx));
    world.enters(call(1), 1, 1, true);
    world.expect_notifications(&["joined +49302 muted=false [d-1]"]);
    // The next question is about the call.
    assert_eq!(world.is_asked_for_channels(), 1);
    world.expect_notifications(&["left hangup (synthesized)", "call.hangup UNKNOWN 0ms"]);
}

#[test]
fn overdue_attempt_is_asked_for_and_then_ended() {
    let mut world = World::dialling(0);
    world.take_commands();
    world.waits(39);
    assert!(!world.wants_resync);
    world.waits(1);
    assert!(std::mem::take(&mut world.wants_resync));
    assert_eq!(world.take_commands(), [""; 0]);
    world.waits(10);
    assert!(world.wants_resync);
    assert_eq!(world.take_commands(), ["cancel_dial"]);
    world.call_fails(call(1), "NORMAL_CLEARING", None);
    world.expect_notifications(&["call 1/1 failed NORMAL_CLEARING [d-1]"]);
}

#[test]
fn restart_of_freeswitch_ends_no_dial_out_by_itself() {
    let mut world = World::dialling(0);
    world.rings(call(1));
    world.notifications.clear();
    let next = CoreId::new(Uuid::from_u128(8));
    world.with(|node_state, cx| node_state.core_changed(Some(next), cx));
    assert_eq!(world.dials(), [(1, "ringing")]);
    world.now = world.now + Duration::from_secs(6);
    world.is_asked_for_channels();
    world.expect_notifications(&["call 1/1 failed UNKNOWN [d-1] (synthesized)"]);
    let mut world = World::dialling(0);
    world.with(|node_state, cx| node_state.core_changed(None, cx));
    world.expect_notifications(&["call 1/1 failed UNKNOWN [d-1] (synthesized)"]);
}

#[test]
fn room_that_ends_cancels_its_dial_outs() {
    let mut world = World::dialling(2);
    world.rings(call(1));
    world.notifications.clear();
    world.delete().unwrap();
    assert_eq!(world.take_commands(), ["dial", "cancel_dial"]);
    world.expect_notifications(&[]);
    world.call_fails(call(1), "NORMAL_CLEARING", None);
    world.expect_notifications(&["call 1/3 cancelled NORMAL_CLEARING [d-1]", "destroyed"]);
    // Without a report it ends at its deadline.
    let mut world = World::dialling(2);
    world.delete().unwrap();
    world.waits(10);
    world.expect_notifications(&[
        "call 1/3 cancelled UNKNOWN [d-1] (synthesized)",
        "destroyed",
    ]);
}

#[test]
fn only_allowed_destinations_are_dialled() {
    let mut world = dial_room();
    let to = |to: &str| DialRequest {
        to: to.parse().unwrap(),
        ..request(0)
    };
    assert_eq!(world.dial(to("+1555")), Err(Refusal::DestinationNotAllowed));
    assert_eq!(
        world.dial(to("a@example.com")),
        Err(Refusal::DestinationNotAllowed)
    );
    assert!(world.dial(to("+49301")).is_ok());
    assert_eq!(world.take_commands(), ["dial"]);
}

#[test]
fn dial_outs_survive_in_the_store() {
    let mut world = World::dialling(2);
    world.rings(call(1));
    let state = world.node_state.room_mut(room(1)).unwrap();
    let changes = state.take_changes();
    let (head, _) = encode_room(state, &changes, true);
    let record = Record {
        version: Version(1),
        head: head.into_iter().collect::<Fields>(),
        parts: Fields::default(),
    };
    let read = decode_room(room(1), &record).unwrap();
    let expected: Vec<_> = world
        .node_state
        .room(room(1))
        .unwrap()
        .dials()
        .cloned()
        .collect();
    assert_eq!(read.dials().cloned().collect::<Vec<_>>(), expected);
    assert_eq!(read.next_deadline(), Some(expected[0].deadline));
}
