//! Commands that talk to a running controller, as an operator runs them.
// The whole file is a test, but the lint does not recognize helpers as such.
#![allow(clippy::unwrap_used)]

#[path = "cli/command.rs"]
mod command;
#[path = "support/program/mod.rs"]
mod program;
mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use serde_json::{Value, json};

use command::{RunningCommand, collect_lines, document, roomkeeper, run, shown, text};
use program::controller::{KEY, binary};
use program::poll::{self, TIMEOUT};
use program::world::{Setup, Store};
use support::process;

/// The time within which a drained node reports no calls: FreeSWITCH sends its number of calls every 20 s.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(45);

/// Converts a time of the API to its form in a table in UTC.
fn in_utc(time: &Value) -> String {
    time.as_str().unwrap()[..19].replace('T', " ")
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_rooms_and_calls_is_that_of_api() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    assert_eq!(shown(&world, &["rooms"]), "There are no rooms.\n");
    assert_eq!(shown(&world, &["sessions"]), "There are no calls.\n");
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    assert!(shown(&world, &["rooms", &room]).ends_with("\nThe room is empty.\n"));
    world.join(&call, &room).await;

    // JSON: the API's response without its cursor.
    let api = async |path: &str| world.controller.get(path).await.body;
    let rooms = api("/conferences").await;
    let (first, calls) = (&rooms["conferences"][0], api("/sessions").await);
    assert_eq!(
        document(&world, &["rooms", "--json"]),
        json!({ "conferences": [first] })
    );
    assert_eq!(
        document(&world, &["sessions", "--json"]),
        json!({ "sessions": calls["sessions"] })
    );
    let members = api(&format!("/conferences/{room}/members")).await;
    assert_eq!(
        document(&world, &["rooms", &room, "--json"]),
        json!({ "room": api(&format!("/conferences/{room}")).await, "members": members["members"] })
    );
    assert_eq!(
        document(&world, &["sessions", &call, "--json"]),
        calls["sessions"][0]
    );

    // `--watch` repeats the output.
    let mut watching = RunningCommand::start(&world, &["rooms", "--watch=1"]);
    poll::until("the table is shown twice", TIMEOUT, async || {
        let lines = watching.printed();
        let heads = lines.iter().filter(|line| line.starts_with("ROOM "));
        (heads.count() >= 2).then_some(())
    })
    .await;
    assert_eq!(watching.interrupt().await, Some(0), "{}", watching.errors());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_rooms_and_calls_have_short_ids() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let rooms = world.controller.get("/conferences").await.body;
    let calls = world.controller.get("/sessions").await.body;
    let first = &rooms["conferences"][0];
    // Ids are shortened to the node and eight characters.
    let made = in_utc(&first["created_at"]);
    let (short_room, short_call) = (&room[..19], &call[..14]);
    let rooms = shown(&world, &["room", "list", "--utc"]);
    assert_eq!(
        rooms,
        format!(
            "{:<19}  NAME     MEMBERS  LOCKED  CREATED (UTC)\n{short_room}  standup  1        no      {made}\n",
            "ROOM"
        )
    );
    assert_eq!(shown(&world, &["rooms", "--utc"]), rooms);
    let whole = shown(&world, &["room", "list", "--utc", "--full-ids"]);
    assert!(whole.contains(&format!("\n{room}  standup  1")), "{whole}");
    let here = shown(&world, &["room", "list"]);
    assert!(here.contains("CREATED (Europe/Berlin)"), "{here}");
    assert!(!here.contains(&made), "{here}");
    let did = calls["sessions"][0]["did"].as_str().unwrap();
    let begun = in_utc(&calls["sessions"][0]["created_at"]);
    let widest = did.len().max(7);
    let table = shown(&world, &["call", "list", "--utc"]);
    assert_eq!(
        table,
        format!(
            "{:<14}  STATE    CALLER     {:<widest$}  {:<19}  CREATED (UTC)        DIRECTION\n\
             {short_call}  in_room  527121101  {did:<widest$}  {short_room}  {begun}  inbound\n",
            "CALL", "DIALLED", "ROOM"
        )
    );
    assert_eq!(shown(&world, &["sessions", "--utc"]), table);
    let one = shown(&world, &["room", "show", short_room, "--utc"]);
    assert!(
        one.starts_with(&format!(
            "room       {room}\nname       standup\ncreated    {made} UTC\nmembers    1\n"
        )),
        "{one}"
    );
    let members = format!(
        "{:<14}  CALLER     {:<widest$}  MUTED  DEAF\n{short_call}  527121101  {did:<widest$}  yes    no\n",
        "CALL", "DIALLED"
    );
    assert!(one.ends_with(&format!("\n\n{members}")), "{one}");
    assert_eq!(shown(&world, &["member", "list", "standup"]), members);
    assert_eq!(shown(&world, &["rooms", "standup", "--utc"]), one);
    let one = shown(&world, &["call", "show", short_call, "--utc"]);
    assert!(one.starts_with(&format!("call       {call}\n")), "{one}");
    assert!(one.contains(&format!("\nroom       {room}\n")), "{one}");
    assert_eq!(shown(&world, &["sessions", "527121101", "--utc"]), one);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_form_one_table_and_one_document() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    for number in 0..201 {
        world.room(&format!("room-{number}")).await;
    }
    let all = document(&world, &["rooms", "--json"]);
    let mut names: Vec<&str> = all["conferences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|room| room["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 201);
    assert!(all.get("cursor").is_none());
    let table = shown(&world, &["rooms"]);
    assert_eq!(table.lines().count(), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_key_is_read_from_controllers_state_directory() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    // The user that runs the controller needs no key option.
    shown(&world, &["nodes"]);
    shown(&world, &["app", "list"]);
    let nowhere = tempfile::tempdir().unwrap();
    let as_other_user = |args: &[&str]| {
        let mut command = roomkeeper(&world);
        command.env("XDG_STATE_HOME", nowhere.path()).args(args);
        tokio::task::block_in_place(|| command.output().unwrap())
    };
    let out = as_other_user(&["nodes"]);
    assert_eq!(out.status.code(), Some(77), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("--admin-key-file"));
    let file = world.controller.state_dir().join("roomkeeper/admin-key");
    let file = file.display().to_string();
    let out = as_other_user(&["nodes", "--admin-key-file", &file]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let missing = nowhere.path().join("missing").display().to_string();
    let out = as_other_user(&["nodes", "--admin-key-file", &missing]);
    assert_eq!(out.status.code(), Some(77), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("cannot read the admin key in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_reason_and_exit_code() {
    let mut setup = Setup::on(Store::Memory);
    setup.more_apps = vec![("other".to_owned(), "other-key".to_owned())];
    let world = setup.start().await;
    world.controller.until_synced().await;
    let room = world.room("standup").await;
    let unused = format!("http://127.0.0.1:{}", process::free_port());
    let [_, admin] = world.controller.ports();
    let not_the_api = format!("http://127.0.0.1:{admin}");
    let gone = format!("{}-room-00000000-0000-0000-0000-000000000000", world.node);
    for (args, code, words) in [
        (&["rooms", "--key", "wrong"][..], 77, "ROOMKEEPER_KEY"),
        (&["rooms", "--app", "nobody"], 77, "ROOMKEEPER_APP"),
        (&["rooms", "--api", &unused], 69, "no response from"),
        (&["tail", "--api", &unused], 69, "no response from"),
        (&["nodes", "--admin", &unused], 69, "its admin_listen?"),
        (&["rooms", "--api", &not_the_api], 1, "404"),
        (&["rooms", &gone], 1, "room not found (404 Not Found)"),
        (
            &["rooms", &room, "--app", "other", "--key", "other-key"],
            1,
            "(403 Forbidden)",
        ),
        (
            &["call", "show", "acW68-nothing"],
            1,
            "there is no call \"acW68-nothing\"",
        ),
        (&["room", "show", "stand"], 1, "there is no room \"stand\""),
        (
            &["room", "list", "--api", "ftp://h"],
            2,
            "ftp is not http or https",
        ),
        (
            &["room", "list", "--context", "nobody"],
            64,
            "there is no context \"nobody\"",
        ),
        (&["tail", "--since", "a b"], 2, "no spaces"),
        (&["rooms", "--watch=0"], 2, "--watch"),
    ] {
        let out = run(&world, args);
        let errors = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.contains(words), "{args:?}: {errors}");
        assert!(out.stdout.is_empty(), "{args:?}");
    }
    for command in [
        &["room", "list"][..],
        &["call", "list"],
        &["tail"],
        &["rooms"],
    ] {
        let help = shown(&world, &[command, &["--help"]].concat());
        assert!(
            help.contains("ROOMKEEPER_KEY") && !help.contains(KEY),
            "{help}"
        );
        assert!(
            help.contains("69 no controller answers; 77 the key"),
            "{help}"
        );
    }
}

#[test]
fn completions_and_manual_pages_contain_every_command() {
    let mut commands = roomkeeper::cli::Arguments::command();
    commands.build();
    let names: Vec<&str> = commands
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(clap::Command::get_name)
        .collect();
    assert!(names.len() >= 12, "{names:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let out = binary().args(["completions", shell]).output().unwrap();
        assert_eq!(out.status.code(), Some(0));
        let script = text(&out.stdout);
        for name in &names {
            assert!(
                script.contains(name),
                "{name} is missing from the script for {shell}"
            );
        }
        for word in [
            "undrain",
            "admin-key",
            "mute-all",
            "deliveries",
            "rotate-key",
            "full-ids",
        ] {
            assert!(
                script.contains(word),
                "{word} is missing from the script for {shell}"
            );
        }
    }
    let out = binary().args(["completions", "dos"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));

    let out = binary().arg("man").output().unwrap();
    assert!(
        text(&out.stdout).starts_with(".ie"),
        "{}",
        text(&out.stdout)
    );
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let out = binary().args(["man", "--dir"]).arg(&pages).output();
    assert_eq!(out.unwrap().status.code(), Some(0));
    for name in names.iter().filter(|name| **name != "help") {
        let page = std::fs::read_to_string(pages.join(format!("roomkeeper-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let lock = std::fs::read_to_string(pages.join("roomkeeper-room-lock.1")).unwrap();
    assert!(lock.contains("roomkeeper room lock standup"), "{lock}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_with_wait_ends_when_node_is_empty() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let node = world.node.clone();
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    let row = |list: &Value| list["nodes"][0].clone();
    let rooms_counted = async || {
        poll::until("the rooms are counted", TIMEOUT, async || {
            let list = document(&world, &["nodes", "--json"]);
            (row(&list)["rooms"] == 1 && row(&list)["calls"] == 1).then(|| row(&list))
        })
        .await
    };
    let before = rooms_counted().await;
    assert_eq!(
        (&before["id"], &before["draining"]),
        (&json!(node), &json!(false))
    );
    let table = shown(&world, &["nodes", "--utc"]);
    assert!(table.starts_with("NODE   STATE  CALLS "), "{table}");
    assert!(table.contains(&format!("\n{node}  up     1")), "{table}");

    let output = shown(&world, &["nodes", "drain", &node]);
    assert!(output.starts_with(&format!("{node} drains: ")), "{output}");
    let draining = shown(&world, &["nodes"]);
    assert!(draining.contains("up, draining"), "{draining}");
    let body = json!({ "name": "another", "node": node });
    let refused = world
        .controller
        .ask("POST", "/conferences", Some(&body))
        .await;
    assert_eq!(refused.status, 409, "{}", refused.body);

    // Ctrl-C ends the wait, but not the drain.
    let mut wait = RunningCommand::start(&world, &["nodes", "drain", &node, "--wait"]);
    wait.reports("rooms left: 1, calls left: 1").await;
    assert_eq!(wait.interrupt().await, Some(130), "{}", wait.errors());
    assert!(wait.errors().contains("still drains"), "{}", wait.errors());
    let mut wait = RunningCommand::start(&world, &["nodes", "drain", &node, "--wait"]);
    wait.reports("rooms left: 1, calls left: 1").await;
    world.command(&call, "hangup", &json!({})).await;
    let path = format!("/conferences/{room}");
    world.controller.ask("DELETE", &path, None).await;
    let status = poll::until("the node is empty", DRAIN_TIMEOUT, async || {
        wait.child.try_wait().unwrap()
    });
    assert_eq!(status.await.code(), Some(0), "{}", wait.errors());
    wait.prints(&format!("{node} is empty.")).await;

    let output = shown(&world, &["nodes", "undrain", &node]);
    assert_eq!(output, format!("{node} gets new rooms again.\n"));
    world.room("another").await;

    let compared = document(&world, &["nodes", "resync", &node, "--wait", "--json"]);
    assert_ne!(compared["resynced_at"], before["resynced_at"]);
    for what in ["drain", "undrain", "resync"] {
        let out = run(&world, &["nodes", what, "zzzzz"]);
        assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("404"), "{}", text(&out.stderr));
    }
}

/// Parses printed lines as events.
fn events(lines: &[String]) -> Vec<Value> {
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The scope of an event's sequence.
fn scope(event: &Value) -> String {
    let is_call = event["event"].as_str().unwrap().starts_with("call.");
    let scope = &event[if is_call { "session_uuid" } else { "room_id" }];
    scope.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_each_event_once_after_controller_is_killed() {
    let mut world = Setup::with_short_timeouts(Store::Redis).start().await;
    world.controller.until_synced().await;
    let mut tail = RunningCommand::start(
        &world,
        &["tail", "--json", "--event", "conference.*,call.*"],
    );
    tail.reports("connected to http://127.0.0.1:").await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let joined = tail.prints("conference.member.joined").await;
    assert!(joined.contains(&call), "{joined}");

    world.controller.kill();
    tail.reports("reconnecting").await;
    world.controller.start_again();
    world.controller.until_synced().await;
    let left = world.command(&call, "conference/leave", &json!({})).await;
    assert_eq!(left.status, 202, "{}", left.body);
    tail.prints("conference.member.left").await;
    tail.reports("reconnected: the events in between follow")
        .await;
    let hung_up = world.command(&call, "hangup", &json!({})).await;
    assert_eq!(hung_up.status, 202, "{}", hung_up.body);
    tail.prints("call.hangup").await;

    // No event is lost or repeated: each room and call counts from 1.
    let lines = tail.printed();
    let events = events(&lines);
    for expected in [&room, &call] {
        let in_scope: Vec<&Value> = events
            .iter()
            .filter(|event| scope(event) == **expected)
            .collect();
        let sequences: Vec<u64> = in_scope
            .iter()
            .map(|event| event["sequence"].as_u64().unwrap())
            .collect();
        let counted: Vec<u64> = (1..).take(in_scope.len()).collect();
        assert_eq!(sequences, counted, "{lines:#?}");
        assert!(in_scope.len() >= 2, "{lines:#?}");
    }

    // The last id is a resume position.
    assert_eq!(tail.interrupt().await, Some(0), "{}", tail.errors());
    let last = events.last().unwrap()["id"].as_str().unwrap();
    assert!(
        tail.errors().contains(&format!("--since {last}")),
        "{}",
        tail.errors()
    );
    let first = events[0]["id"].as_str().unwrap();
    let again = RunningCommand::start(
        &world,
        &[
            "tail",
            "--json",
            "--event",
            "conference.*,call.*",
            "--since",
            first,
        ],
    );
    again.prints("call.hangup").await;
    assert_eq!(again.printed(), lines[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_of_room_shows_lines_and_ends_with_room() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let (room, other) = (world.room("standup").await, world.room("other").await);
    let args = ["tail", "--room", &room, "--event", "conference.member.*"];
    let mut tail = RunningCommand::start(&world, &args);
    let mut coloured =
        RunningCommand::start(&world, &["tail", "--room", &room, "--color", "always"]);
    tail.reports("times are UTC").await;
    coloured.reports("times are UTC").await;
    let call = world.call("527121101").await;
    let elsewhere = world.call("527121102").await;
    world.join(&elsewhere, &other).await;
    world.join(&call, &room).await;
    let joined = tail.prints("conference.member.joined").await;
    let webhooks = world.receiver.delivered(&room);
    let webhook = webhooks
        .iter()
        .find(|got| got.event() == "conference.member.joined")
        .unwrap();
    let clock = &webhook.body["timestamp"].as_str().unwrap()[11..23];
    assert_eq!(
        joined,
        format!(
            "{clock}  conference.member.joined     {call}  {}",
            webhook.body["data"]
        )
    );
    let answer = world
        .controller
        .ask("DELETE", &format!("/conferences/{room}"), None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(tail.ends().await, Some(0), "{}", tail.errors());
    assert_eq!(coloured.ends().await, Some(0), "{}", coloured.errors());
    assert!(
        tail.errors().contains("the room has ended"),
        "{}",
        tail.errors()
    );
    let names: Vec<String> = tail
        .printed()
        .iter()
        .map(|line| line.split_whitespace().nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        ["conference.member.joined", "conference.member.left"]
    );
    let coloured = coloured.printed().join("\n");
    assert!(
        coloured.contains("\u{1b}[33mconference.destroyed"),
        "{coloured:?}"
    );
    assert!(!coloured.contains(&elsewhere), "{coloured}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_ends_quietly_when_output_is_closed() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let refused = run(&world, &["tail", "--key", "wrong"]);
    assert_eq!(refused.status.code(), Some(77), "{}", text(&refused.stderr));
    let mut command = roomkeeper(&world);
    command
        .args(["tail"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = process::spawn(command);
    drop(child.stdout.take());
    let stderr = collect_lines(child.stderr.take().unwrap());
    let mut tail = RunningCommand {
        child,
        stdout: Arc::default(),
        stderr,
    };
    tail.reports("connected to").await;
    world.room("standup").await;
    assert_eq!(tail.ends().await, Some(0));
    assert!(!tail.errors().contains("cannot write"), "{}", tail.errors());
}
