//! SIP calls that the simulated node makes: the events and answers of a real node for each outcome.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use freeswitch_sim::core::{Callee, CalleeOutcome, ConnId, Core, MediaPace, NodeConfig, SeededIds};

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;
const CALL: &str = "75cdcc5c-a757-4d44-80d5-95d9e74567a2";
const ROOM: &str = "acW68-room-550e8400-e29b-41d4-a716-446655440000";

struct Node {
    core: Core,
    events: ConnId,
    now: u64,
}

impl Node {
    /// A node whose callees ring after 50 ms and behave like this.
    fn with_callees(then: CalleeOutcome) -> Self {
        let now = 1_700_000_000 * SECOND;
        let config = NodeConfig {
            poll: 0,
            default_callee: Some(Callee {
                rings: Some(50 * MS),
                then,
            }),
            ..NodeConfig::default()
        };
        let ids = Box::new(SeededIds::new(3));
        let mut core = Core::new(config, ids, Box::new(MediaPace::default()), now);
        let events = core.connect(now);
        core.handle_command(events, "auth ClueCon", now);
        let names = "CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_ANSWER CHANNEL_HANGUP BACKGROUND_JOB";
        let subscribe = format!("event plain {names} CUSTOM conference::maintenance");
        core.handle_command(events, &subscribe, now);
        core.poll_output(events);
        Self { core, events, now }
    }

    fn dial(&mut self) {
        let command = format!(
            "bgapi originate {{origination_uuid={CALL},ignore_early_media=true,originate_timeout=3,\
             origination_caller_id_number='+4955'}}sofia/gateway/trunk/+4930 \
             multiset:^^;park_timeout=60,conference:{ROOM}@roomkeeper,park inline\nJob-UUID: job"
        );
        self.send(&command);
    }

    fn send(&mut self, command: &str) {
        self.core.handle_command(self.events, command, self.now);
    }

    /// Returns the events of this time: the name, and the cause, the SIP status or the answer.
    fn events_of(&mut self, micros: u64) -> Vec<String> {
        self.now += micros;
        self.core.advance(self.now);
        let text = String::from_utf8(self.core.poll_output(self.events)).unwrap();
        let events = text.split("Content-Type: text/event-plain\n\n").skip(1);
        let shown = events.map(|event| {
            let get = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            let name = get("Action: ").or_else(|| get("Event-Name: ")).unwrap();
            let answer = event
                .lines()
                .find(|line| line.starts_with("-ERR") || line.starts_with("+OK"));
            let status = get("variable_sip_term_status: ");
            let words = [Some(name), get("Hangup-Cause: "), status, answer];
            words.into_iter().flatten().collect::<Vec<_>>().join(" ")
        });
        shown.filter(|event| event != "floor-change").collect()
    }

    fn exists(&mut self) -> bool {
        self.send(&format!("api uuid_exists {CALL}"));
        String::from_utf8(self.core.poll_output(self.events))
            .unwrap()
            .ends_with("true")
    }
}

#[test]
fn answered_callee_enters_the_conference() {
    let mut node = Node::with_callees(CalleeOutcome::Answers(500 * MS));
    node.dial();
    assert_eq!(
        node.events_of(100 * MS),
        ["CHANNEL_CREATE", "CHANNEL_PROGRESS"]
    );
    assert!(node.exists());
    let mut events = node.events_of(SECOND);
    assert_eq!(events.remove(0), "CHANNEL_ANSWER");
    assert_eq!(events.remove(0), format!("BACKGROUND_JOB +OK {CALL}"));
    assert_eq!(events, ["conference-create", "add-member"]);
}

#[test]
fn refusals_have_their_cause_and_sip_status() {
    for (status, cause) in [
        (486, "USER_BUSY"),
        (480, "NO_USER_RESPONSE"),
        (404, "UNALLOCATED_NUMBER"),
        (603, "CALL_REJECTED"),
        (503, "NORMAL_TEMPORARY_FAILURE"),
    ] {
        let mut node = Node::with_callees(CalleeOutcome::Refuses(200 * MS, status));
        node.dial();
        node.events_of(100 * MS);
        let mut events = node.events_of(SECOND);
        events.sort();
        let expected = [
            format!("BACKGROUND_JOB -ERR {cause}"),
            format!("CHANNEL_HANGUP {cause} {status}"),
        ];
        assert_eq!(events, expected);
        assert!(!node.exists());
    }
}

#[test]
fn silent_callee_ends_with_the_timeout_and_a_killed_call_at_once() {
    let mut node = Node::with_callees(CalleeOutcome::Silent);
    node.dial();
    node.events_of(2 * SECOND);
    let mut events = node.events_of(2 * SECOND);
    events.sort();
    assert_eq!(
        events,
        ["BACKGROUND_JOB -ERR NO_ANSWER", "CHANNEL_HANGUP NO_ANSWER"]
    );

    let mut node = Node::with_callees(CalleeOutcome::Answers(SECOND));
    node.dial();
    node.events_of(100 * MS);
    node.send(&format!("api uuid_kill {CALL}"));
    let mut events = node.events_of(2 * SECOND);
    events.sort();
    assert_eq!(
        events,
        [
            "BACKGROUND_JOB -ERR NORMAL_CLEARING",
            "CHANNEL_HANGUP NORMAL_CLEARING"
        ]
    );
}

#[test]
fn second_call_under_a_living_uuid_is_refused() {
    let mut node = Node::with_callees(CalleeOutcome::Silent);
    node.dial();
    node.events_of(100 * MS);
    node.dial();
    assert_eq!(
        node.events_of(100 * MS),
        ["BACKGROUND_JOB -ERR DESTINATION_OUT_OF_ORDER"]
    );
    assert!(node.exists());
}
