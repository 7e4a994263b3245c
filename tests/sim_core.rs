//! The model alone, in virtual time: a real server's answers verbatim where no recording has them, and invariants under
//! any timing of threads.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

use freeswitch_sim::core::{
    ConnId, Core, InboundCall, Media, MediaPace, NodeConfig, SeededIds, Snapshot,
};

const SECOND: u64 = 1_000_000;

struct Node {
    core: Core,
    conn: ConnId,
    events: ConnId,
    now: u64,
}

impl Node {
    /// Creates a node whose connections deliver events at once.
    fn new(pace: MediaPace) -> Self {
        Self::with_poll(pace, 0)
    }

    fn with_poll(pace: MediaPace, poll: u64) -> Self {
        let now = 1_700_000_000 * SECOND;
        let mut core = Core::new(
            NodeConfig {
                poll,
                ..NodeConfig::default()
            },
            Box::new(SeededIds::new(3)),
            Box::new(pace),
            now,
        );
        let (conn, events) = (core.connect(now), core.connect(now));
        for id in [conn, events] {
            core.handle_command(id, "auth ClueCon", now);
        }
        core.handle_command(
            events,
            "event plain CHANNEL_PARK CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP BACKGROUND_JOB CUSTOM conference::maintenance",
            now,
        );
        let mut node = Self {
            core,
            conn,
            events,
            now,
        };
        node.output();
        node.take_events();
        node
    }

    fn output(&mut self) -> String {
        String::from_utf8(self.core.poll_output(self.conn)).unwrap()
    }

    /// Returns `Event-Name`, or `Action`, or application and response, of the events since the last call.
    fn take_events(&mut self) -> Vec<String> {
        let text = String::from_utf8(self.core.poll_output(self.events)).unwrap();
        text.split("Content-Type: text/event-plain\n\n")
            .skip(1)
            .map(|event| {
                let get = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or("")
                        .to_owned()
                };
                match (get("Action: "), get("Application: ")) {
                    (action, app) if action.is_empty() && app.is_empty() => get("Event-Name: "),
                    (action, app) if action.is_empty() => {
                        format!("{app} {}", get("Application-Response: "))
                    }
                    (action, _) => action,
                }
            })
            .collect()
    }

    fn pass(&mut self, micros: u64) {
        self.now += micros;
        self.core.advance(self.now);
    }

    /// Returns the complete answer to a command, within one second.
    fn command(&mut self, text: &str) -> String {
        self.output();
        self.core.handle_command(self.conn, text, self.now);
        let mut answer = self.output();
        if answer.is_empty() {
            self.pass(SECOND);
            answer = self.output();
        }
        answer
    }

    fn api(&mut self, text: &str) -> String {
        let answer = self.command(&format!("api {text}"));
        answer.split_once("\n\n").unwrap().1.to_owned()
    }

    fn reply(&mut self, text: &str) -> String {
        let answer = self.command(text);
        answer
            .lines()
            .find_map(|line| line.strip_prefix("Reply-Text: "))
            .unwrap_or("")
            .to_owned()
    }

    fn call(&mut self) -> String {
        let uuid = self.core.call_in(
            InboundCall {
                did: "1".into(),
                caller_number: "2".into(),
                ..InboundCall::default()
            },
            self.now,
        );
        self.pass(SECOND);
        uuid
    }

    fn join(&mut self, uuid: &str, plan: &str) {
        assert_eq!(
            self.api(&format!("uuid_transfer {uuid} {plan} inline")),
            "+OK\n"
        );
        self.pass(SECOND);
    }
}

#[test]
fn answers_match_recorded_answers() {
    let mut node = Node::new(MediaPace::default());
    for (command, reply) in [
        (
            "filter Job-UUID /^a-/",
            "+OK filter added. [Job-UUID]=[/^a-/]",
        ),
        ("filter delete Job-UUID", "+OK filter deleted. [Job-UUID][]"),
        ("filter delete all", "+OK filter deleted. [all][]"),
        ("filter X", "-ERR invalid syntax"),
        ("event", "-ERR no keywords supplied"),
        ("event bogus HEARTBEAT", "+OK event listener enabled plain"),
        ("nixevent HEARTBEAT", "+OK events nixed"),
        ("noevents", "+OK no longer listening for events"),
        ("noevents", "-ERR not listening for events"),
        ("log", "+OK log level  [7]"),
        ("log info", "+OK log level info [6]"),
        ("nolog", "+OK no longer logging"),
        ("nolog", "-ERR not loging"),
        ("linger", "-ERR not controlling a session"),
        ("bogus", "-ERR command not found"),
        ("api", "-ERR command not found"),
        ("sendmsg 1234", "-ERR invalid session id [1234]"),
    ] {
        assert_eq!(node.reply(command), reply, "{command}");
    }
    let (a, b) = (node.call(), node.call());
    for uuid in [&a, &b] {
        node.join(uuid, "conference:r@default+flags{mute},park");
    }
    for (command, body) in [
        ("echo", "-ERR no reply\n"),
        ("uuid_kill", "-USAGE: <uuid> [cause]\n"),
        ("uuid_kill nosuch", "-ERR No such channel!\n"),
        ("uuid_answer nosuch", "-ERROR\n"),
        ("uuid_getvar nosuch x", "-ERR No such channel!\n"),
        (
            "conference nosuch list",
            "-ERR Conference nosuch not found\n",
        ),
        ("conference r setvar k v w", "+OK\n"),
        ("conference r getvar k", "v"),
        ("conference r getvar nosuch", "-ERR no reply\n"),
        ("conference r count", "2"),
        (
            "conference r pin 1234",
            "+OK Pin for conference r set: 1234\n",
        ),
        ("conference r nopin", "+OK Pin for conference r deleted\n"),
        (
            "conference r mute",
            "mute <[member_id|all]|last|non_moderator> [<quiet>]",
        ),
        (
            "conference r mute uuid=nosuch",
            "-ERR Non-Existant member\n",
        ),
        ("conference r mute 77", "-ERR Non-Existant ID 77\n"),
        ("conference r tmute last", "+OK unmute 2\n"),
        ("conference r tmute last", "+OK mute 2\n"),
        (
            "conference r energy all",
            "Energy 2 = 100\nEnergy 1 = 100\n",
        ),
        (
            "conference r volume_in all 2",
            "+OK Volume IN 2 = 2\n+OK Volume IN 1 = 2\n",
        ),
        ("conference r play_status", "-ERR Nothing is playing\n"),
        (
            "conference r file-vol 3",
            "-ERR File not playing\nfile-vol <vol#>",
        ),
        ("conference r pause_play", "-ERR no reply\n"),
        ("conference r stop", "+OK Stopped 0 files.\n"),
        (
            "conference r recording check",
            "-ERR Conference is not being recorded.\n",
        ),
        ("conference r recording status", "+OK Record file status\n"),
        (
            "conference r transfer x 99",
            "-ERR No Member 99 in conference r.\n",
        ),
        ("conference r lock", "+OK r locked\n"),
        ("conference r unlock", "+OK r unlocked\n"),
        ("conference r hold all", "+OK hold 2\n+OK hold 1\n"),
        (
            "conference r play /a.wav",
            "+OK (play) Playing file /a.wav\n",
        ),
        ("conference r play_status", "+OK 0/0 /a.wav\n"),
        ("show channels count", "\n2 total.\n"),
    ] {
        assert_eq!(node.api(command), body, "{command}");
    }
}

#[test]
fn channel_table_matches_its_json() {
    let mut node = Node::new(MediaPace::default());
    assert_eq!(node.api("show channels as delim ;"), "\n0 total.\n");
    assert_eq!(node.api("show channels as json"), "{\"row_count\": 0}\n");
    let call = node.call();
    let count = "\n1 total.\n";
    let listed: serde_json::Value =
        serde_json::from_str(&node.api("show channels as json")).unwrap();
    let row = listed["rows"][0].as_object().unwrap();
    for (command, delimiter) in [
        ("show channels", ","),
        ("show channels as delim ;", ";"),
        ("show channels as delim \x1f", "\x1f"),
    ] {
        let table = node.api(command);
        let mut lines = table.strip_suffix(count).unwrap().lines();
        let names = lines.next().unwrap().split(delimiter);
        let values = lines.next().unwrap().split(delimiter);
        assert_eq!(lines.next(), None);
        assert!(values.clone().any(|value| value == call), "{table}");
        let pairs: Vec<_> = names.zip(values).collect();
        assert_eq!(pairs.len(), row.len());
        for (name, value) in pairs {
            assert_eq!(row[name], value, "{command}");
        }
    }
}

#[test]
fn kicked_call_follows_its_plan_or_hangs_up() {
    let mut node = Node::new(MediaPace::default());
    let (kept, lost) = (node.call(), node.call());
    node.join(&kept, "conference:r@default,park");
    node.join(&lost, "conference:r@default");
    node.api("conference r kick all");
    node.pass(SECOND);
    let truth = node.core.snapshot();
    assert_eq!(
        truth.channel(&kept).unwrap().application.as_deref(),
        Some("park")
    );
    assert_eq!(truth.channel(&lost), None);
    assert!(truth.rooms.is_empty());
}

#[test]
fn refused_joins_emit_no_conference_events() {
    let mut node = Node::new(MediaPace::default());
    let (first, second) = (node.call(), node.call());
    node.join(&first, "conference:r@default,park");
    node.api("conference r lock");
    node.take_events();
    node.join(&second, "conference:r@default,park");
    assert_eq!(
        node.take_events(),
        ["park _none_", "conference _none_", "CHANNEL_PARK"]
    );
    node.api("conference r unlock");
    node.api("conference r set max_members 1");
    node.take_events();
    node.join(&second, "conference:r@default,park");
    assert_eq!(
        node.take_events(),
        ["park _none_", "conference _none_", "CHANNEL_PARK"]
    );
    assert_eq!(node.core.counters().joins_refused, 2);
}

#[test]
fn messages_nest_unless_locked() {
    let mut node = Node::new(MediaPace::default());
    node.core.config_mut().media.insert(
        "/long.wav".into(),
        Media {
            duration: Some(3 * SECOND),
            opening: 0,
        },
    );
    let uuid = node.call();
    let send = |node: &mut Node, app: &str, arg: &str, lock: &str| {
        let text = format!(
            "sendmsg {uuid}\ncall-command: execute\nexecute-app-name: {app}\nexecute-app-arg: {arg}\nevent-lock: {lock}"
        );
        assert_eq!(node.reply(&text), "+OK");
    };
    node.take_events();
    send(&mut node, "playback", "/long.wav", "false");
    node.pass(SECOND);
    send(&mut node, "sleep", "500", "false");
    node.pass(10 * SECOND);
    assert_eq!(
        node.take_events(),
        ["sleep _none_", "playback FILE%20PLAYED"]
    );
    send(&mut node, "playback", "/long.wav", "true");
    send(&mut node, "sleep", "500", "true");
    node.pass(10 * SECOND);
    assert_eq!(
        node.take_events(),
        ["playback FILE%20PLAYED", "sleep _none_"]
    );
    send(&mut node, "speak", "flite|kal|hello", "true");
    send(&mut node, "nosuchapp", "", "true");
    node.pass(SECOND);
    assert_eq!(node.take_events()[..2], ["speak _none_", "CHANNEL_HANGUP"]);
}

#[test]
fn park_timeout_ends_the_call_and_applies_to_one_park() {
    let mut node = Node::new(MediaPace::default());
    let uuid = node.call();
    node.api(&format!("uuid_setvar {uuid} park_timeout 5"));
    node.join(&uuid, "park");
    node.join(&uuid, "park");
    node.pass(20 * SECOND);
    assert!(
        node.core.snapshot().channel(&uuid).is_some(),
        "the second park had none"
    );
    node.api(&format!("uuid_setvar {uuid} park_timeout 5"));
    node.join(&uuid, "park");
    node.pass(20 * SECOND);
    assert_eq!(node.core.snapshot().channel(&uuid), None);
}

#[test]
fn join_replaced_by_a_park_emits_no_conference_events() {
    let mut node = Node::new(MediaPace::default());
    let uuid = node.call();
    node.take_events();
    node.api(&format!(
        "uuid_transfer {uuid} conference:r@default,park inline"
    ));
    node.api(&format!("uuid_transfer {uuid} park inline"));
    node.pass(SECOND);
    assert!(
        !node
            .take_events()
            .iter()
            .any(|action| action.contains("member"))
    );
}

#[test]
fn answer_to_a_transfer_precedes_the_move() {
    let mut node = Node::new(MediaPace::default());
    let uuid = node.call();
    node.join(&uuid, "conference:one@default,park");
    let listed = |node: &mut Node, name: &str| {
        let list = node.api("conference json_list");
        let list = list.replace([' ', '\t'], "");
        list.contains(&format!("\"conference_name\":\"{name}\""))
    };
    let answer = node.api(&format!(
        "uuid_transfer {uuid} conference:two@default,park inline"
    ));
    assert_eq!(answer, "+OK\n");
    assert!(listed(&mut node, "one") && !listed(&mut node, "two"));
    node.pass(SECOND);
    assert!(!listed(&mut node, "one") && listed(&mut node, "two"));
}

#[test]
fn call_hangs_up_after_too_many_transfers() {
    // A SIP caller starts with 70.
    for (set, transfers) in [("", 69), ("max_forwards 3", 2), ("max_forwards 1", 0)] {
        let mut node = Node::new(MediaPace::default());
        let uuid = node.call();
        if !set.is_empty() {
            node.api(&format!("uuid_setvar {uuid} {set}"));
        }
        for _ in 0..transfers {
            node.join(&uuid, "park");
        }
        node.take_events();
        let answer = node.api(&format!("uuid_transfer {uuid} park inline"));
        assert_eq!(answer, "-ERR\n", "{set}");
        node.pass(SECOND);
        assert_eq!(node.take_events()[0], "CHANNEL_HANGUP", "{set}");
        assert_eq!(node.core.counters().out_of_forwards, 1);
        assert_eq!(node.core.snapshot().channel(&uuid), None);
    }
}

#[test]
fn max_session_transfers_restores_the_transfer_count() {
    let mut node = Node::new(MediaPace::default());
    let uuid = node.call();
    node.api(&format!("uuid_setvar {uuid} max_forwards 1"));
    node.api(&format!("uuid_setvar {uuid} max_session_transfers 2"));
    let history = |node: &mut Node| node.api(&format!("uuid_getvar {uuid} transfer_history"));
    for _ in 0..100 {
        node.join(&uuid, "set:max_session_transfers=2,park");
    }
    assert_eq!(history(&mut node).matches("bl_xfer").count(), 100);
    node.join(
        &uuid,
        "multiset:^^;max_session_transfers=70;transfer_history=,park",
    );
    assert_eq!(history(&mut node), "_undef_");
    let left = node.api(&format!("uuid_getvar {uuid} max_session_transfers"));
    assert_eq!(left, "70");
}

#[test]
fn conference_copies_the_confvars_of_the_channel_that_creates_it() {
    let mut node = Node::new(MediaPace::default());
    let (first, second) = (node.call(), node.call());
    let plan = |value: &str| {
        format!("multiset:^^;confvar_some_thing={value};other_thing=x,conference:r@default,park")
    };
    node.join(&first, &plan("one"));
    let vars = |node: &Node| node.core.snapshot().room("r").unwrap().vars.clone();
    let one = [("some_thing".to_owned(), "one".to_owned())];
    assert_eq!(vars(&node), one);
    let listed = node.api("conference json_list compact");
    assert!(
        listed.contains(r#""variables":{"some_thing":"one"}"#),
        "{listed}"
    );
    // A later member changes nothing.
    node.join(&second, &plan("two"));
    assert_eq!(vars(&node), one);
    // A later conference does not get a cleared variable.
    node.join(&first, "park");
    node.join(&second, "multiset:^^;confvar_some_thing=,park");
    node.join(&second, "conference:r@default,park");
    assert_eq!(vars(&node), []);
}

/// Lets a call join while the last member leaves. Returns the events about it, and whether its call is up.
fn joins_an_ending_conference(hangup: &str) -> (Vec<String>, bool) {
    let mut node = Node::new(MediaPace::default());
    let (first, second) = (node.call(), node.call());
    node.join(&first, "conference:r@default,park");
    node.core.config_mut().admission = 15_000;
    node.api(&format!(
        "uuid_setvar {second} hangup_after_conference {hangup}"
    ));
    node.take_events();
    let plan = "conference:r@default,park inline";
    node.core.handle_command(
        node.conn,
        &format!("api uuid_transfer {second} {plan}"),
        node.now,
    );
    node.pass(5_000);
    node.core.handle_command(
        node.conn,
        &format!("api uuid_transfer {first} park inline"),
        node.now,
    );
    node.pass(SECOND);
    assert_eq!(node.core.counters().put_out, 1);
    let up = node.core.snapshot().channel(&second).is_some();
    assert!(node.core.snapshot().rooms.is_empty());
    (node.take_events(), up)
}

#[test]
fn ending_conference_removes_calls_that_still_enter() {
    let events_of_the_first = [
        "park _none_",
        "del-member",
        "conference _none_",
        "CHANNEL_PARK",
        "add-member",
    ];
    let (events, up) = joins_an_ending_conference("false");
    let events: Vec<&str> = events
        .iter()
        .map(String::as_str)
        .filter(|t| *t != "floor-change")
        .collect();
    assert_eq!(events[..5], events_of_the_first);
    assert_eq!(
        events[5..],
        [
            "del-member",
            "conference _none_",
            "CHANNEL_PARK",
            "conference-destroy"
        ]
    );
    assert!(up, "its channel asks not to be hung up");
    let (events, up) = joins_an_ending_conference("");
    let events: Vec<&str> = events
        .iter()
        .map(String::as_str)
        .filter(|t| *t != "floor-change")
        .collect();
    assert_eq!(events[..5], events_of_the_first);
    assert_eq!(events[5], "CHANNEL_HANGUP");
    assert!(!up);
}

#[test]
fn dialled_calls_obey_max_members_but_not_the_lock() {
    let mut node = Node::new(MediaPace::default());
    let inside = node.call();
    node.join(&inside, "conference:r@default,park");
    let dialled = |node: &mut Node| {
        let answer = node.api("originate loopback/silence/default &park()");
        let uuid = answer.trim_start_matches("+OK ").trim().to_owned();
        node.pass(SECOND);
        node.join(&uuid, "conference:r@default,park");
        let of_it = node.core.snapshot().channel(&uuid).unwrap().room.clone();
        of_it.is_some()
    };
    node.api("conference r set max_members 1");
    assert!(!dialled(&mut node), "full");
    node.api("conference r set max_members 0");
    node.api("conference r lock");
    assert!(dialled(&mut node), "the lock lets it in");
}

/// Checks what does not depend on the timing of threads, which differs from seed to seed.
#[test]
fn every_timing_ends_in_a_consistent_state() {
    for seed in 0..64 {
        let mut node = Node::new(MediaPace::jittered(seed));
        let calls: Vec<String> = (0..6).map(|_| node.call()).collect();
        let rooms = ["a", "b"];
        for round in 0..12_u64 {
            let uuid = &calls[((round * 7 + seed) % 6) as usize];
            let room = rooms[((round + seed) % 2) as usize];
            match (round * 5 + seed) % 5 {
                0 => node.api(&format!("conference {room} kick all")),
                1 => node.api(&format!("uuid_transfer {uuid} park inline")),
                2 => node.api(&format!("conference {room} mute last")),
                _ => node.api(&format!(
                    "uuid_transfer {uuid} conference:{room}@default,park inline"
                )),
            };
            node.pass((seed * 997 + round * 3_001) % 45_000);
            consistent(&node.core.snapshot(), seed);
        }
        node.pass(2 * SECOND);
        let truth = node.core.snapshot();
        consistent(&truth, seed);
        assert_eq!(truth.channels.len(), 6, "seed {seed}: no call was lost");
        for room in &truth.rooms {
            assert!(
                !room.members.is_empty(),
                "seed {seed}: an empty conference lives on"
            );
            assert_eq!(
                room.members.iter().filter(|member| member.floor).count(),
                1,
                "seed {seed}: the floor"
            );
        }
        for uuid in &calls {
            node.api(&format!("uuid_kill {uuid}"));
        }
        node.pass(2 * SECOND);
        let truth = node.core.snapshot();
        assert!(
            truth.rooms.is_empty() && truth.channels.is_empty(),
            "seed {seed}: {truth:?}"
        );
    }
}

fn consistent(truth: &Snapshot, seed: u64) {
    for room in &truth.rooms {
        for member in &room.members {
            let channel = truth.channel(&member.uuid);
            assert_eq!(
                channel.and_then(|channel| channel.room.as_ref()),
                Some(&room.uid),
                "seed {seed}: a member whose channel is elsewhere"
            );
        }
    }
}

#[test]
fn sleeping_command_delays_only_its_own_connection() {
    let mut node = Node::new(MediaPace::default());
    node.core
        .handle_command(node.conn, "api msleep 500", node.now);
    node.core
        .handle_command(node.conn, "api echo later", node.now);
    assert_eq!(node.output(), "");
    let call = node.core.call_in(InboundCall::default(), node.now);
    node.core.advance(node.now + SECOND / 4);
    assert!(
        !node.take_events().is_empty(),
        "{call} is reported meanwhile"
    );
    assert_eq!(node.output(), "");
    node.core.advance(node.now + SECOND / 2);
    let said = node.output();
    assert!(
        said.find("+OK").unwrap() < said.find("later").unwrap(),
        "{said}"
    );
}

#[test]
fn event_waits_for_the_next_poll_or_a_newline() {
    let look = NodeConfig::default().poll;
    let mut node = Node::with_poll(MediaPace::default(), look);
    // The subscription was the last input, so the thread of that connection has slept since then.
    let event = |node: &mut Node, at: u64| {
        node.now = at;
        node.command("sendevent CUSTOM\nEvent-Subclass: roomkeeper::fence");
    };
    node.core.handle_command(
        node.events,
        "event plain CUSTOM roomkeeper::fence",
        node.now,
    );
    node.core.poll_output(node.events);
    let begin = node.now;
    for n in 0..3 {
        event(&mut node, begin + n * look + 1_000);
        node.now = begin + (n + 1) * look - 1;
        node.core.advance(node.now);
        assert!(!node.core.has_output(node.events), "the thread sleeps");
        assert_eq!(node.take_events(), Vec::<String>::new());
        assert_eq!(node.core.queued_events(node.events), 1);
        node.pass(1);
        assert_eq!(node.take_events(), ["CUSTOM"], "the thread has polled");
    }
    // A newline wakes the thread, and it sleeps from then on.
    let begin = node.now + 5_000;
    event(&mut node, begin);
    node.core.handle_bytes(node.events, b"\n", begin + 100);
    assert_eq!(
        node.take_events(),
        ["CUSTOM"],
        "the newline woke the thread"
    );
    event(&mut node, begin + 200);
    node.now = begin + look + 99;
    node.core.advance(node.now);
    assert_eq!(
        node.take_events(),
        Vec::<String>::new(),
        "the thread sleeps again from then on"
    );
    node.pass(1);
    assert_eq!(node.take_events(), ["CUSTOM"]);
    // In the middle of a command the thread looks for no events, and newlines within a command differ from those
    // between two.
    node.core.handle_bytes(node.events, b"\nfilter ", node.now);
    event(&mut node, begin + 2 * look);
    node.pass(SECOND);
    assert_eq!(
        node.take_events(),
        Vec::<String>::new(),
        "only half a command has arrived"
    );
    node.core.handle_bytes(node.events, b"X y\n\n", node.now);
    let text = String::from_utf8(node.core.poll_output(node.events)).unwrap();
    let (reply, event) = text.split_once("\n\n").unwrap();
    assert!(reply.contains("+OK filter added. [X]=[y]"), "{text}");
    assert!(event.contains("Event-Name: CUSTOM"), "{text}");
}
