//! `roomkeeper replay` on recordings of a real server.
// The whole file is a test, but the lint does not recognize helpers as such.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn recording(scenario: &str) -> PathBuf {
    fixtures().join(scenario).join("events.esl")
}

/// Runs `roomkeeper replay` with this standard input.
fn replay(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_roomkeeper"))
        .arg("replay")
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The output must be read while the input is written.
    let writer = std::thread::spawn(move || {
        // The program may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Parses the output as lines of JSON.
fn lines(out: &Output) -> Vec<Value> {
    text(&out.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

/// The members of each conference and their flags, comparable between a replay and FreeSWITCH's list.
type Rooms = BTreeMap<String, (String, bool, BTreeMap<String, [bool; 5]>)>;

fn rooms_of_replay(end: &Value) -> Rooms {
    let list = |value: &Value| value.as_array().unwrap().clone();
    list(&end["rooms"])
        .iter()
        .filter(|room| !list(&room["members"]).is_empty())
        .map(|room| {
            let members = list(&room["members"])
                .iter()
                .map(|member| {
                    let channel = member["uuid"].as_str().unwrap()[6..].to_owned();
                    let flags = ["can_speak", "can_hear", "hold", "talking", "floor"];
                    (channel, flags.map(|name| member[name].as_bool().unwrap()))
                })
                .collect();
            let text = |name: &str| room[name].as_str().unwrap().to_owned();
            (
                text("room_id"),
                (
                    text("conference_id"),
                    room["locked"].as_bool().unwrap(),
                    members,
                ),
            )
        })
        .collect()
}

fn rooms_of_freeswitch(json_list: &Value) -> Rooms {
    let rooms = json_list.as_array().unwrap();
    rooms
        .iter()
        .map(|room| {
            let members = room["members"].as_array().unwrap();
            let members = members
                .iter()
                // A recording is a member without a channel.
                .filter(|member| member["uuid"].is_string())
                .map(|member| {
                    let channel = member["uuid"].as_str().unwrap().to_owned();
                    let flags = ["can_speak", "can_hear", "hold", "talking", "has_floor"];
                    let flag = |name: &str| member["flags"][name].as_bool().unwrap();
                    (channel, flags.map(flag))
                })
                .collect();
            let text = |name: &str| room[name].as_str().unwrap().to_owned();
            (
                text("conference_name"),
                (
                    text("conference_uuid"),
                    room["locked"].as_bool().unwrap(),
                    members,
                ),
            )
        })
        .collect()
}

#[test]
fn final_state_matches_freeswitch_list_at_each_checkpoint() {
    let mut compared = 0;
    let mut scenarios = 0;
    for format in ["plain", "json"] {
        for entry in std::fs::read_dir(fixtures().join(format)).unwrap() {
            let scenario = entry.unwrap().path();
            scenarios += 1;
            let bytes = std::fs::read(scenario.join("events.esl")).unwrap();
            let script = std::fs::read_to_string(scenario.join("script.jsonl")).unwrap();
            for step in script.lines() {
                let step: Value = serde_json::from_str(step).unwrap();
                let Some(at) = step["checkpoint"].as_u64() else {
                    continue;
                };
                let at = usize::try_from(at).unwrap();
                let out = replay(&["-", "--json"], &bytes[..at]);
                assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
                let lines = lines(&out);
                let end = lines.last().unwrap();
                assert_eq!(end["kind"], "end");
                assert_eq!(
                    rooms_of_replay(end),
                    rooms_of_freeswitch(&step["json_list"]),
                    "{} after {at} bytes",
                    scenario.display()
                );
                compared += 1;
            }
        }
    }
    assert_eq!(scenarios, 15, "a recording is missing");
    assert!(compared >= 45, "only {compared} checkpoints were compared");
}

#[test]
fn replay_sends_webhooks_without_gaps_and_ends_all_calls() {
    for scenario in [
        "plain/join_mute_leave",
        "json/join_mute_leave",
        "plain/burst",
    ] {
        let file = recording(scenario);
        let out = replay(&[file.to_str().unwrap(), "--json"], b"");
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        let lines = lines(&out);
        let webhooks = of_kind(&lines, "webhook");
        assert!(webhooks.len() > 10, "{scenario}: {}", webhooks.len());
        let mut sequences: BTreeMap<String, u64> = BTreeMap::new();
        for webhook in &webhooks {
            let body = &webhook["body"];
            let name = body["event"].as_str().unwrap();
            let scope = if name.starts_with("call.") {
                &body["session_uuid"]
            } else {
                &body["room_id"]
            };
            let next = sequences
                .entry(scope.as_str().unwrap().to_owned())
                .or_default();
            *next += 1;
            assert_eq!(body["sequence"], *next, "{scenario}: {body}");
            assert_eq!(body["app_id"], "replay");
        }
        let count = |name: &str| {
            webhooks
                .iter()
                .filter(|webhook| webhook["body"]["event"] == name)
                .count()
        };
        let joined = count("conference.member.joined");
        assert!(joined >= 3, "{scenario}: {joined}");
        assert_eq!(count("conference.member.left"), joined, "{scenario}");
        assert_eq!(count("call.new"), count("call.hangup"), "{scenario}");
        let end = lines.last().unwrap();
        assert_eq!(end["sessions"], serde_json::json!([]), "{scenario}");
        assert_eq!(end["webhooks"], webhooks.len(), "{scenario}");
        // Each call's channel is prepared, and a new conference gets a variable with its owner.
        let commands = of_kind(&lines, "order");
        let (prepared, others): (Vec<&str>, Vec<&str>) = commands
            .iter()
            .map(|line| line["command"].as_str().unwrap())
            .partition(|command| command.starts_with("uuid_setvar_multi "));
        assert_eq!(prepared.len(), count("call.new"), "{scenario}");
        let described = others[0];
        assert!(
            described.starts_with("conference nodeA-room-")
                && described.contains(" setvar roomkeeper_meta "),
            "{described}"
        );
    }
}

#[test]
fn text_output_has_line_per_outcome_and_final_tables() {
    let bytes = std::fs::read(recording("plain/join_mute_leave")).unwrap();
    let script =
        std::fs::read_to_string(fixtures().join("plain/join_mute_leave/script.jsonl")).unwrap();
    let steps = script
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The first checkpoint with a member in the room.
    let at = steps
        .filter(|step| step["json_list"][0]["members"].is_array())
        .find_map(|step| step["checkpoint"].as_u64())
        .unwrap();
    let until = usize::try_from(at).unwrap();
    let out = replay(&["-"], &bytes[..until]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let shown = text(&out.stdout);
    let joined = shown
        .lines()
        .find(|line| line.contains("conference.member.joined"))
        .unwrap();
    // 12:34:56.789  conference.member.joined     nodeA-…  {…}
    assert_eq!(&joined[12..14], "  ", "{joined}");
    assert_eq!(&joined[38..43], "     ", "{joined}");
    assert!(joined[43..].starts_with("nodeA-"), "{joined}");
    assert!(joined.contains("  {\"caller_id\":"), "{joined}");
    assert!(!shown.contains('\u{1b}'), "no colours without a terminal");
    assert!(shown.contains("\nFinal state: 1 room, "), "{shown}");
    assert!(shown.contains("\nROOM "), "{shown}");
    assert!(shown.contains("\nMEMBER "), "{shown}");
    assert!(shown.contains(&format!("({at} bytes)")), "{shown}");
    assert!(!shown.contains("  ignored"), "{shown}");

    let coloured = replay(&["-", "--color", "always"], &bytes[..until]);
    let coloured = text(&coloured.stdout);
    assert!(coloured.contains("\u{1b}[36mconference.member.joined"));
    assert_eq!(console::strip_ansi_codes(&coloured), shown);

    let verbose = replay(&["-", "--verbose"], &bytes[..until]);
    let verbose = text(&verbose.stdout);
    assert!(verbose.len() >= shown.len());
}

#[test]
fn owner_of_calls_comes_from_option_or_configuration() {
    let file = recording("plain/sip_inbound");
    let file = file.to_str().unwrap();
    let named = replay(&[file, "--json", "--app", "acme"], b"");
    let named = lines(&named);
    let webhooks = of_kind(&named, "webhook");
    assert!(
        webhooks
            .iter()
            .all(|webhook| webhook["body"]["app_id"] == "acme")
    );
    let new: Vec<&&Value> = webhooks
        .iter()
        .filter(|webhook| webhook["body"]["event"] == "call.new")
        .collect();
    assert_eq!(new.len(), 3, "three calls came in");
    let did = new[0]["body"]["data"]["did"].as_str().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let configured = |dids: &str| {
        let path = dir.path().join("roomkeeper.toml");
        let config = format!(
            "[store]\nurl = \"memory:\"\n\
             [[nodes]]\nid = \"nodeA\"\naddress = \"127.0.0.1:8021\"\npassword = \"p\"\n\
             [[apps]]\nid = \"beta\"\napi_key = \"k\"\ndids = [{dids}]\n"
        );
        std::fs::write(&path, config).unwrap();
        let out = replay(
            &[
                file,
                "--json",
                "--verbose",
                "--config",
                path.to_str().unwrap(),
            ],
            b"",
        );
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        lines(&out)
    };
    let owned = configured(&format!("\"{did}\""));
    let of_owned = of_kind(&owned, "webhook");
    assert!(
        of_owned
            .iter()
            .all(|webhook| webhook["body"]["app_id"] == "beta")
    );
    let names = |webhooks: &[&Value]| -> Vec<String> {
        webhooks
            .iter()
            .filter(|webhook| {
                webhook["body"]["data"]["did"] == did || webhook["body"]["data"]["did"].is_null()
            })
            .map(|webhook| webhook["body"]["event"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(names(&of_owned).contains(&"call.new".to_owned()));

    // Calls without an owner are ignored, and so is their room.
    let foreign = configured("\"0\"");
    assert!(of_kind(&foreign, "webhook").is_empty(), "{foreign:?}");
    assert!(!of_kind(&foreign, "foreign").is_empty());
    assert_eq!(foreign.last().unwrap()["sessions"], serde_json::json!([]));
}

#[test]
fn invalid_recording_is_reported_with_byte_position() {
    let greeting = "Content-Type: auth/request\n\n";
    for (input, words) in [
        (
            "hello\n\nworld\n",
            "standard input: the message at byte 0 is not Event Socket: ",
        ),
        (
            "hello",
            "standard input: the message at byte 0 is incomplete: the recording ends after 5 of its bytes",
        ),
        (
            &format!("{greeting}what is this\n\n"),
            "standard input: the message at byte 28 is not Event Socket: ",
        ),
    ] {
        let out = replay(&["-"], input.as_bytes());
        let errors = text(&out.stderr);
        assert_eq!(out.status.code(), Some(65), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
    let out = replay(&["/nonexistent/events.esl"], b"");
    assert_eq!(out.status.code(), Some(66));
    let errors = text(&out.stderr);
    assert!(
        errors.contains("/nonexistent/events.esl: cannot open"),
        "{errors}"
    );
    let out = replay(&[fixtures().to_str().unwrap()], b"");
    assert_eq!(out.status.code(), Some(66));
    let out = replay(&["-"], b"");
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stderr).contains("standard input: the recording is empty"));
    let out = replay(&[], b"");
    assert_eq!(out.status.code(), Some(2));
    let commands = fixtures().join("plain/burst/commands.esl");
    let out = replay(&[commands.to_str().unwrap()], b"");
    assert_eq!(out.status.code(), Some(0));
    let errors = text(&out.stderr);
    assert!(
        errors.contains("was it made on an event connection?"),
        "{errors}"
    );
}

/// An incomplete last message, an undecodable event or a broken file does not stop the replay of the rest.
#[test]
fn replay_continues_where_controller_would() {
    let bytes = std::fs::read(recording("plain/burst")).unwrap();
    let torn = &bytes[..bytes.len() - 1];
    let out = replay(&["-", "--json"], torn);
    assert_eq!(out.status.code(), Some(0));
    let errors = text(&out.stderr);
    assert!(
        errors.contains(" is incomplete: the recording ends after "),
        "{errors}"
    );

    // An event that cannot be decoded is skipped, all others are applied.
    let nameless = b"Content-Length: 6\nContent-Type: text/event-plain\n\nA: b\n\n";
    let at = text(&bytes).find("Content-Length: ").unwrap();
    let odd = [&bytes[..at], nameless, &bytes[at..]].concat();
    let whole = lines(&replay(&["-", "--json"], &bytes));
    let out = replay(&["-", "--json"], &odd);
    assert_eq!(out.status.code(), Some(0));
    let errors = text(&out.stderr);
    let words = format!("skipped the event at byte {at}: event has no Event-Name");
    assert!(errors.contains(&words), "{errors}");
    let end = lines(&out);
    let end = end.last().unwrap();
    assert_eq!(end["unreadable"], 1);
    assert_eq!(end["webhooks"], whole.last().unwrap()["webhooks"]);

    // After bytes that are not Event Socket a controller reconnects: the replay continues with the next file.
    let dir = tempfile::tempdir().unwrap();
    let garbage = dir.path().join("garbage.esl");
    std::fs::write(&garbage, "no header\n\n").unwrap();
    let good = recording("plain/burst");
    let out = replay(
        &[garbage.to_str().unwrap(), good.to_str().unwrap(), "--json"],
        b"",
    );
    assert_eq!(out.status.code(), Some(65));
    assert!(text(&out.stderr).contains("garbage.esl: the message at byte 0"));
    let end = lines(&out);
    assert_eq!(
        end.last().unwrap()["webhooks"],
        whole.last().unwrap()["webhooks"]
    );
}

#[test]
fn closed_output_is_not_an_error() {
    let file = recording("plain/burst");
    let mut child = Command::new(env!("CARGO_BIN_EXE_roomkeeper"))
        .args(["replay", file.to_str().unwrap(), "--verbose"])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(text(&out.stderr), "");
}

/// Every line of the example in docs/cli.md is printed, in its order; … stands for what is left out.
#[test]
fn documented_example_is_printed() {
    let page = std::fs::read_to_string(fixtures().join("../docs/cli.md")).unwrap();
    let command = "roomkeeper replay fixtures/plain/join_mute_leave/events.esl\n```\n";
    let behind = page.split_once(command).unwrap().1;
    let example = behind.split("```").nth(1).unwrap();
    let file = recording("plain/join_mute_leave");
    let out = text(&replay(&[file.to_str().unwrap()], b"").stdout);
    let mut printed = out.lines();
    let mut compared = 0;
    for shown in example
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty() && *line != "…")
    {
        let parts: Vec<&str> = shown.split('…').collect();
        let is_it = |line: &str| {
            let mut rest = line;
            parts.iter().all(|part| match rest.find(part) {
                Some(at) => {
                    rest = &rest[at + part.len()..];
                    true
                }
                None => false,
            })
        };
        assert!(
            printed.any(is_it),
            "{shown:?} is missing from the output or out of order:\n{out}"
        );
        compared += 1;
    }
    assert!(compared >= 12, "{compared}");
}
