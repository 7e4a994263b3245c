//! `roomkeeper replay`, as it is run: what a recording of a real server would have done.
// All of it is a test, also what the lint cannot know to be one.
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

/// Runs it with this as its standard input.
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
    // What it prints has to be read while it is written to.
    let writer = std::thread::spawn(move || {
        // It may have ended before it has read all.
        let _ = stdin.write_all(&input);
    });
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Its lines as programs read them.
fn lines(out: &Output) -> Vec<Value> {
    text(&out.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

/// Who is in which conference, and what they may do: the same of what is believed and of what FreeSWITCH said.
type Rooms = BTreeMap<String, (String, bool, BTreeMap<String, [bool; 5]>)>;

fn believed(end: &Value) -> Rooms {
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

fn said(json_list: &Value) -> Rooms {
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
fn what_is_believed_in_the_end_is_what_freeswitch_said_then() {
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
                    believed(end),
                    said(&step["json_list"]),
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
fn every_recording_is_told_without_a_gap_and_its_calls_end() {
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
        for told in &webhooks {
            let body = &told["body"];
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
                .filter(|told| told["body"]["event"] == name)
                .count()
        };
        let joined = count("conference.member.joined");
        assert!(joined >= 3, "{scenario}: {joined}");
        assert_eq!(count("conference.member.left"), joined, "{scenario}");
        assert_eq!(count("call.new"), count("call.hangup"), "{scenario}");
        let end = lines.last().unwrap();
        assert_eq!(end["sessions"], serde_json::json!([]), "{scenario}");
        assert_eq!(end["webhooks"], webhooks.len(), "{scenario}");
        // Each call's channel is prepared, and whose a conference is, is written on it when it begins.
        let orders = of_kind(&lines, "order");
        let (prepared, others): (Vec<&str>, Vec<&str>) = orders
            .iter()
            .map(|order| order["command"].as_str().unwrap())
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
fn people_get_a_line_for_each_and_tables_in_the_end() {
    let bytes = std::fs::read(recording("plain/join_mute_leave")).unwrap();
    let script =
        std::fs::read_to_string(fixtures().join("plain/join_mute_leave/script.jsonl")).unwrap();
    let steps = script
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The first moment with somebody in the room.
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
    assert!(
        !shown.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
    assert!(shown.contains("\nBelieved in the end: 1 room, "), "{shown}");
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
fn whose_calls_they_are_is_asked_for_or_configured() {
    let file = recording("plain/sip_inbound");
    let file = file.to_str().unwrap();
    let named = replay(&[file, "--json", "--app", "acme"], b"");
    let named = lines(&named);
    let webhooks = of_kind(&named, "webhook");
    assert!(webhooks.iter().all(|told| told["body"]["app_id"] == "acme"));
    let new: Vec<&&Value> = webhooks
        .iter()
        .filter(|told| told["body"]["event"] == "call.new")
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
    assert!(of_owned.iter().all(|told| told["body"]["app_id"] == "beta"));
    let names = |told: &[&Value]| -> Vec<String> {
        told.iter()
            .filter(|told| {
                told["body"]["data"]["did"] == did || told["body"]["data"]["did"].is_null()
            })
            .map(|told| told["body"]["event"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(names(&of_owned).contains(&"call.new".to_owned()));

    // Nobody's calls are left alone, and their room with them.
    let foreign = configured("\"0\"");
    assert!(of_kind(&foreign, "webhook").is_empty(), "{foreign:?}");
    assert!(!of_kind(&foreign, "foreign").is_empty());
    assert_eq!(foreign.last().unwrap()["sessions"], serde_json::json!([]));
}

#[test]
fn what_is_no_recording_is_said_with_its_place() {
    let greeting = "Content-Type: auth/request\n\n";
    for (input, words) in [
        (
            "hello\n\nworld\n",
            "standard input: the message at byte 0 is not Event Socket: ",
        ),
        (
            "hello",
            "standard input: it ends within the message at byte 0, of which there are 5 bytes",
        ),
        (
            &format!("{greeting}what is this\n\n"),
            "standard input: the message at byte 28 is not Event Socket: ",
        ),
    ] {
        let out = replay(&["-"], input.as_bytes());
        let told = text(&out.stderr);
        assert_eq!(out.status.code(), Some(65), "{told}");
        assert!(told.contains(words), "{told}");
    }
    let out = replay(&["/nonexistent/events.esl"], b"");
    assert_eq!(out.status.code(), Some(66));
    let told = text(&out.stderr);
    assert!(
        told.contains("/nonexistent/events.esl: cannot be opened"),
        "{told}"
    );
    let out = replay(&[fixtures().to_str().unwrap()], b"");
    assert_eq!(out.status.code(), Some(66));
    let out = replay(&["-"], b"");
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stderr).contains("standard input: is empty"));
    let out = replay(&[], b"");
    assert_eq!(out.status.code(), Some(2));
    let commands = fixtures().join("plain/burst/commands.esl");
    let out = replay(&[commands.to_str().unwrap()], b"");
    assert_eq!(out.status.code(), Some(0));
    let told = text(&out.stderr);
    assert!(told.contains("is it of an event connection?"), "{told}");
}

/// A recorder is stopped within a message; what was before it counts, and so does the file behind it.
#[test]
fn it_goes_on_where_a_controller_would() {
    let bytes = std::fs::read(recording("plain/burst")).unwrap();
    let torn = &bytes[..bytes.len() - 1];
    let out = replay(&["-", "--json"], torn);
    assert_eq!(out.status.code(), Some(0));
    let told = text(&out.stderr);
    assert!(
        told.contains("it ends within the message at byte "),
        "{told}"
    );

    // An event that cannot be read is skipped, and all others are read.
    let nameless = b"Content-Length: 6\nContent-Type: text/event-plain\n\nA: b\n\n";
    let at = text(&bytes).find("Content-Length: ").unwrap();
    let odd = [&bytes[..at], nameless, &bytes[at..]].concat();
    let whole = lines(&replay(&["-", "--json"], &bytes));
    let out = replay(&["-", "--json"], &odd);
    assert_eq!(out.status.code(), Some(0));
    let told = text(&out.stderr);
    let words = format!("the event at byte {at} is skipped: an event without Event-Name");
    assert!(told.contains(&words), "{told}");
    let end = lines(&out);
    let end = end.last().unwrap();
    assert_eq!(end["unreadable"], 1);
    assert_eq!(end["webhooks"], whole.last().unwrap()["webhooks"]);

    // Behind bytes that are not of Event Socket a controller connects again: the next file.
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
fn whoever_reads_only_the_first_lines_is_not_told_of_an_error() {
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

/// Every line of the README's example is printed, in its order; … stands for what is left out.
#[test]
fn the_readme_shows_what_is_printed() {
    let readme = std::fs::read_to_string(fixtures().join("../README.md")).unwrap();
    let command = "roomkeeper replay fixtures/plain/join_mute_leave/events.esl\n```\n";
    let behind = readme.split_once(command).unwrap().1;
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
            "{shown:?} is not printed in its place:\n{out}"
        );
        compared += 1;
    }
    assert!(compared >= 12, "{compared}");
}
