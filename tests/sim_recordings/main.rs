//! Compares the model with recordings of a real server: the same commands at the same times must give the same events, the
//! same answers and the same state.
//!
//! For each scenario, `commands.sent` has the commands, `script.jsonl` their times, and `steps.jsonl` the rest:
//!
//! - `zero`: the server's clock when the script began; `first_member`: the first member id of the recording;
//! - `media`: the duration of a URL, or that it is `missing`;
//! - `t` with `sent`: the time of a command that the script does not list;
//! - `t` with `call`, `hangup`: a call from outside and its hang-up; `t` with `stop`: the server gets a signal.
//!
//! The test compares all events per channel, per conference and per job, in order, with all headers except those of time and
//! chance (see `compare`); every answer on the command connection, verbatim; and at each checkpoint the server's own report
//! of rooms and channels. The order of threads comes from the recording (see `replay`).

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

mod compare;
mod replay;
mod wire;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use freeswitch_sim::core::{Core, InboundCall, Media, MediaPace, NodeConfig, SeededIds, Timing};
use replay::{Known, RecordedIds, RecordedTiming};
use serde_json::Value;
use wire::{Event, Frame, events, frames};

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Something that happens at a time.
#[derive(Debug, Clone)]
enum Act {
    Send(String),
    Call {
        uuid: String,
        from: String,
        to: String,
    },
    HangUp(String),
    Terminate,
}

struct Recording {
    zero: u64,
    first_member: u64,
    media: BTreeMap<String, Media>,
    acts: Vec<(u64, Act)>,
    /// Events up to the last checkpoint; the next scenario may have begun after it.
    events: Vec<Event>,
    all_events: Vec<Event>,
    stream: Vec<Frame>,
    answers: Vec<Frame>,
    subscription: String,
}

/// Returns the commands of a `.sent` file, without authentication.
fn commands(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.split("\n\n")
        .map(str::trim)
        .filter(|command| !command.is_empty() && !command.starts_with("auth "))
        .map(str::to_owned)
        .collect()
}

fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

impl Recording {
    fn read(name: &str) -> Self {
        let dir = scenario(name);
        let script = lines(&dir.join("script.jsonl"));
        let steps = lines(&dir.join("steps.jsonl"));
        let stream = frames(&fs::read(dir.join("events.esl")).unwrap());
        let answers = frames(&fs::read(dir.join("commands.esl")).unwrap());
        let all_events = events(&stream);
        let stops = steps.iter().any(|step| !step["stop"].is_null());
        let end = match script
            .iter()
            .filter_map(|step| step["checkpoint"].as_u64())
            .next_back()
        {
            Some(end) if !stops => usize::try_from(end).unwrap(),
            _ => usize::MAX,
        };
        let number = |key: &str| steps.iter().find_map(|step| step[key].as_u64()).unwrap();
        let zero = number("zero");
        let mut media = BTreeMap::new();
        for step in steps.iter().filter(|step| !step["media"].is_null()) {
            let duration = step["seconds"].as_f64().map(micros);
            media.insert(
                step["media"].as_str().unwrap().to_owned(),
                Media {
                    duration,
                    opening: 0,
                },
            );
        }
        let events: Vec<Event> = all_events
            .iter()
            .filter(|event| event.offset < end)
            .cloned()
            .collect();
        let mut recording = Self {
            zero,
            first_member: number("first_member"),
            media,
            acts: Vec::new(),
            events,
            all_events,
            stream,
            answers,
            subscription: commands(&dir.join("events.sent")).concat(),
        };
        recording.acts =
            recording.timetable(&commands(&dir.join("commands.sent")), &script, &steps);
        recording
    }

    /// Returns the times of the commands, and the other inputs.
    fn timetable(&self, sent: &[String], script: &[Value], steps: &[Value]) -> Vec<(u64, Act)> {
        let mut acts = Vec::new();
        let mut unscripted: Vec<(&str, f64)> = steps
            .iter()
            .filter_map(|step| Some((step["sent"].as_str()?, step["t"].as_f64()?)))
            .collect();
        let mut script = script
            .iter()
            .filter(|step| step["eof"].is_null())
            .peekable();
        let mut last = self.zero;
        let mut left: Vec<&str> = sent.iter().map(String::as_str).collect();
        left.reverse();
        while let Some(command) = left.pop() {
            let scripted = |text: &str| {
                text == command
                    || text.starts_with("40 x") && command.starts_with("bgapi originate")
                    || text.starts_with("sendmsg") && command.starts_with("sendmsg")
            };
            let next = script.peek();
            let at = if next.is_some_and(|step| step["cmd"].as_str().is_some_and(scripted)) {
                let step = next.copied().unwrap();
                let burst = step["cmd"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("40 x"));
                if !burst
                    || !left
                        .last()
                        .is_some_and(|command| command.starts_with("bgapi originate"))
                {
                    script.next();
                }
                match burst {
                    // All forty were sent before the first had an effect.
                    true => self.events[0].time() - 1_000,
                    false => self.sent_at(command, step),
                }
            } else if next.is_some_and(|step| !step["checkpoint"].is_null())
                && command == "api conference json_list"
            {
                self.zero + micros(next.unwrap()["t"].as_f64().unwrap())
            } else if let Some(known) = unscripted.iter().position(|(text, _)| *text == command) {
                self.zero + micros(unscripted.remove(known).1)
            } else {
                // This is the second half of a checkpoint, or a query that the script does not list.
                if command == "api show channels as json" {
                    script.next_if(|step| !step["checkpoint"].is_null());
                }
                last
            };
            last = at.max(last);
            acts.push((last, Act::Send(command.to_owned())));
        }
        assert!(
            script.next().is_none(),
            "a step of the script was never sent"
        );
        for step in steps {
            let Some(at) = step["t"].as_f64().map(|t| self.zero + micros(t)) else {
                continue;
            };
            let text = |key: &str| step[key].as_str().map(str::to_owned);
            if let Some(uuid) = text("call") {
                acts.push((
                    at,
                    Act::Call {
                        uuid,
                        from: text("from").unwrap(),
                        to: text("to").unwrap(),
                    },
                ));
            } else if let Some(uuid) = text("hangup") {
                acts.push((at, Act::HangUp(uuid)));
            } else if text("stop").as_deref() == Some("SIGTERM") {
                acts.push((at, Act::Terminate));
            }
        }
        acts.sort_by_key(|(at, _)| *at);
        acts
    }

    /// Returns the time of a command. The script has the times of answers; for `originate`, which blocks, its first
    /// effect is closer.
    fn sent_at(&self, command: &str, step: &Value) -> u64 {
        let created = command.starts_with("api originate").then(|| {
            let uuid = step["reply"]
                .as_str()
                .unwrap()
                .trim_start_matches("+OK ")
                .trim();
            let create = self.events.iter().find(|event| {
                event.name() == "CHANNEL_CREATE"
                    && [
                        event.get("Unique-ID"),
                        event.get("variable_other_loopback_leg_uuid"),
                    ]
                    .contains(&uuid)
            });
            create.unwrap().time() - 500
        });
        let answered = self.zero + micros(step["t"].as_f64().unwrap());
        // The events of a conference command carry the time of a clock that ticks every 20 ms.
        let mut words = command
            .split(' ')
            .skip_while(|word| *word != "conference")
            .skip(1);
        let told = words.next().zip(words.next()).and_then(|(room, verb)| {
            let action = format!("{verb}-member");
            let told = self.events.iter().filter(|event| {
                event.get("Conference-Name") == room
                    && event.get("Action") == action
                    && event.time().abs_diff(answered) < 45_000
            });
            told.map(Event::time).min().map(|at| at - 1)
        });
        created.or(told).unwrap_or(answered)
    }

    /// Returns identifiers in the order in which the commands make the server create them.
    fn known(&self) -> Known {
        let mut known = Known {
            core: self.all_events[0].get("Core-UUID").to_owned(),
            ..Known::default()
        };
        let other = |uuid: &str| {
            self.all_events
                .iter()
                .find(|event| event.name() == "CHANNEL_CREATE" && event.get("Unique-ID") == uuid)
                .map(|event| event.get("variable_other_loopback_leg_uuid").to_owned())
        };
        let sent = self.acts.iter().filter_map(|(_, act)| match act {
            Act::Send(command) => Some(command),
            Act::Call { .. } | Act::HangUp(_) | Act::Terminate => None,
        });
        // The greeting and the answer to the password come first.
        for (command, answer) in sent.zip(&self.answers[2..]) {
            let job = answer
                .head
                .lines()
                .find_map(|line| line.strip_prefix("Job-UUID: "));
            let mut made = None;
            if let Some(job) = job {
                known.jobs.push_back(job.to_owned());
                made = self
                    .all_events
                    .iter()
                    .find(|event| event.get("Job-UUID") == job)
                    .map(|event| event.body.clone());
            } else if command.starts_with("api originate") {
                made = Some(answer.body.clone());
            }
            let uuid =
                made.and_then(|body| body.strip_prefix("+OK ").map(|uuid| uuid.trim().to_owned()));
            if let Some(uuid) = uuid.filter(|_| command.contains("originate")) {
                known.channels.extend(
                    other(&uuid)
                        .map(|other| [uuid, other])
                        .into_iter()
                        .flatten(),
                );
            }
        }
        let created = self
            .all_events
            .iter()
            .filter(|event| event.get("Action") == "conference-create");
        known.rooms = created
            .map(|event| event.get("Conference-Unique-ID").to_owned())
            .collect();
        known
    }

    fn node(&self) -> NodeConfig {
        let first = &self.all_events[0];
        let of = |name: &str| first.get(name).to_owned();
        NodeConfig {
            hostname: of("FreeSWITCH-Hostname"),
            switchname: of("FreeSWITCH-Switchname"),
            ipv4: of("FreeSWITCH-IPv4"),
            ipv6: of("FreeSWITCH-IPv6"),
            media: self.media.clone(),
            ..NodeConfig::default()
        }
    }
}

/// The model's output for the inputs of a recording.
struct Outcome {
    stream: Vec<Frame>,
    answers: Vec<Frame>,
}

fn run(recording: &Recording, timing: Box<dyn Timing>) -> Outcome {
    let known = Arc::new(Mutex::new(recording.known()));
    let ids = Box::new(RecordedIds {
        known,
        others: SeededIds::new(7),
    });
    let begin = recording.acts[0].0.min(recording.all_events[0].time()) - 1_000_000;
    let mut core = Core::new(recording.node(), ids, timing, begin);
    core.set_next_member_id(recording.first_member);
    let listener = core.connect(begin);
    let commander = core.connect(begin);
    for conn in [listener, commander] {
        core.handle_command(conn, "auth ClueCon", begin);
    }
    core.handle_command(listener, &recording.subscription, begin);
    let (mut stream, mut answers) = (Vec::new(), Vec::new());
    let mut now = begin;
    for (at, act) in &recording.acts {
        now = now.max(*at);
        match act {
            Act::Send(command) => {
                // Bytes are cut anywhere: the framing is part of the test.
                let (head, tail) = command.split_at(command.len() / 2);
                core.handle_bytes(commander, head.as_bytes(), now);
                core.handle_bytes(commander, format!("{tail}\n\n").as_bytes(), now);
            }
            Act::Call { uuid, from, to } => {
                core.call_in(
                    InboundCall {
                        did: to.clone(),
                        caller_name: from.clone(),
                        caller_number: from.clone(),
                        uuid: Some(uuid.clone()),
                        ..InboundCall::default()
                    },
                    now,
                );
            }
            Act::HangUp(uuid) => {
                core.hang_up_call(uuid, "NORMAL_CLEARING", now);
            }
            Act::Terminate => core.shut_down(now),
        }
        stream.extend(core.poll_output(listener));
        answers.extend(core.poll_output(commander));
    }
    core.advance(now + 3_000_000);
    stream.extend(core.poll_output(listener));
    answers.extend(core.poll_output(commander));
    // Nobody read the command connection any longer when the server was stopped.
    let answers = frames(&answers)
        .into_iter()
        .filter(|frame| frame.content_type() != "text/disconnect-notice")
        .collect();
    Outcome {
        stream: frames(&stream),
        answers,
    }
}

fn check_answers(recording: &Recording, outcome: &Outcome, out: &mut String) {
    let sent = ["(greeting)", "auth"]
        .into_iter()
        .chain(recording.acts.iter().filter_map(|(_, act)| match act {
            Act::Send(command) => Some(command.as_str()),
            Act::Call { .. } | Act::HangUp(_) | Act::Terminate => None,
        }));
    for (at, command) in sent.enumerate() {
        let (Some(recorded), Some(modelled)) = (recording.answers.get(at), outcome.answers.get(at))
        else {
            let _ = writeln!(out, "{command}: no answer in the recording or in the model");
            continue;
        };
        let verdict = if command.contains("json_list") || command.starts_with("api show") {
            compare::same_json(&recorded.body, &modelled.body)
        } else if command.starts_with("api uuid_dump") {
            let event = |frame: &Frame| {
                let frame = Frame {
                    head: "Content-Type: text/event-json".into(),
                    ..frame.clone()
                };
                events(&[frame]).remove(0)
            };
            let lines = compare::difference(&event(recorded), &event(modelled));
            if lines.is_empty() {
                Ok(())
            } else {
                Err(lines.join("\n    "))
            }
        } else if (&recorded.head, &recorded.body) == (&modelled.head, &modelled.body) {
            Ok(())
        } else {
            Err(format!(
                "recorded {:?} {:?}\n    modelled {:?} {:?}",
                recorded.head, recorded.body, modelled.head, modelled.body
            ))
        };
        if let Err(why) = verdict {
            let _ = writeln!(out, "answer to `{command}`:\n    {why}");
        }
    }
    if recording.answers.len() != outcome.answers.len() {
        let _ = writeln!(
            out,
            "answers: {} recorded, {} modelled",
            recording.answers.len(),
            outcome.answers.len()
        );
    }
}

/// Checks the messages on the event connection that are not events.
fn check_rest(recording: &Recording, outcome: &Outcome, out: &mut String) {
    let rest = |frames: &[Frame]| -> Vec<(String, String)> {
        frames
            .iter()
            .filter(|frame| !frame.content_type().starts_with("text/event"))
            .map(|frame| (frame.head.clone(), frame.body.clone()))
            .collect()
    };
    let (recorded, modelled) = (rest(&recording.stream), rest(&outcome.stream));
    if recorded != modelled {
        let _ = writeln!(
            out,
            "messages that are no events: recorded {recorded:?}, modelled {modelled:?}"
        );
    }
}

fn differences(name: &str) -> String {
    let recording = Recording::read(name);
    let times = replay::times(&recording.all_events);
    let timing = RecordedTiming::new(&recording.all_events, &times);
    let outcome = run(&recording, Box::new(timing));
    let mut out = compare::report(&recording.events, &events(&outcome.stream));
    check_answers(&recording, &outcome, &mut out);
    check_rest(&recording, &outcome, &mut out);
    out
}

macro_rules! scenarios {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            let out = differences($name);
            assert!(out.is_empty(), "\n{out}");
        })*
    };
}

scenarios! {
    join_mute_leave: "plain/join_mute_leave",
    playback: "plain/playback",
    recording: "plain/recording",
    destroy_recreate: "plain/destroy_recreate",
    move_between_rooms: "plain/move_between_rooms",
    talk_floor: "plain/talk_floor",
    limits: "plain/limits",
    actions: "plain/actions",
    burst: "plain/burst",
    sip_inbound: "plain/sip_inbound",
    shutdown: "plain/shutdown",
    crash: "plain/crash",
    json_join_mute_leave: "json/join_mute_leave",
    json_playback: "json/playback",
    json_talk_floor: "json/talk_floor",
}

/// Covers scenarios in which no two threads race: the model's own timing reproduces the recording, too.
#[test]
fn own_timing_reproduces_recordings_without_races() {
    let unraced = [
        "plain/actions",
        "plain/crash",
        "plain/move_between_rooms",
        "plain/sip_inbound",
        "json/talk_floor",
    ];
    for name in unraced {
        let recording = Recording::read(name);
        let outcome = run(&recording, Box::new(MediaPace::default()));
        let mut out = compare::report(&recording.events, &events(&outcome.stream));
        check_answers(&recording, &outcome, &mut out);
        assert!(out.is_empty(), "{name}:\n{out}");
    }
}

/// Checks the comparison itself: it must report each of these alterations.
#[test]
fn altered_stream_is_reported() {
    let recording = Recording::read("plain/talk_floor");
    let original = &recording.events;
    assert_eq!(compare::report(original, original), "");
    let at = |wanted: &str| {
        original
            .iter()
            .position(|event| event.title() == wanted)
            .unwrap()
    };
    let altered = |change: &dyn Fn(&mut Vec<Event>)| {
        let mut events = original.clone();
        change(&mut events);
        compare::report(original, &events)
    };
    let set = |event: &mut Event, name: &str, value: &str| {
        let header = event
            .headers
            .iter_mut()
            .rev()
            .find(|(key, _)| key == name)
            .unwrap();
        header.1 = value.to_owned();
    };
    let (add, del, floor) = (at("add-member"), at("del-member"), at("floor-change"));
    let cases: [(&str, String); 8] = [
        (
            "an event is missing",
            altered(&|events| drop(events.remove(del))),
        ),
        (
            "an event is there twice",
            altered(&|events| events.insert(del, events[del].clone())),
        ),
        (
            "two events of one conference are swapped",
            altered(&|events| events.swap(add, floor)),
        ),
        (
            "a member may speak",
            altered(&|events| set(&mut events[add], "Speak", "false")),
        ),
        (
            "the size is another",
            altered(&|events| set(&mut events[del], "Conference-Size", "2")),
        ),
        (
            "another one holds the floor",
            altered(&|events| set(&mut events[floor], "New-ID", "50")),
        ),
        (
            "a header is missing",
            altered(&|events| events[add].headers.retain(|(key, _)| key != "Member-ID")),
        ),
        (
            "a header is new",
            altered(&|events| events[add].headers.push(("Extra".into(), "1".into()))),
        ),
    ];
    for (what, report) in cases {
        assert!(!report.is_empty(), "{what}: the comparison must report it");
    }
    // Random differences are not reported.
    let chance = altered(&|events| {
        for event in events.iter_mut() {
            set(event, "Event-Sequence", "1");
        }
    });
    assert_eq!(chance, "");
}

/// Checks that the comparison of answers can fail.
#[test]
fn altered_answer_is_reported() {
    let recording = Recording::read("plain/limits");
    let answers = recording.answers.clone();
    let check = |answers: Vec<Frame>| {
        let mut out = String::new();
        check_answers(
            &recording,
            &Outcome {
                stream: Vec::new(),
                answers,
            },
            &mut out,
        );
        out
    };
    assert_eq!(check(answers.clone()), "");
    for at in 2..answers.len() {
        let mut altered = answers.clone();
        altered[at].body = altered[at]
            .body
            .replacen("true", "false", 1)
            .replacen("+OK", "-ERR", 1);
        if altered[at] != answers[at] {
            assert!(
                !check(altered).is_empty(),
                "answer {at} was altered: the comparison must report it"
            );
        }
    }
    assert!(!check(answers[..answers.len() - 1].to_vec()).is_empty());
}
