//! Settings of rooms and members, and sound for them: each option and its effect, as the API then shows it.

use freeswitch_sim::core::Media;
use serde_json::{Value, json};

use crate::command::{document, run, shown, text};
use crate::program::world::World;
use crate::world;

/// Runs a command with `--wait` and returns its answer with the event.
fn done(world: &World, args: &[&str]) -> Value {
    document(world, &[args, &["--wait", "--json"]].concat())
}

const ALONE: &str = "http://127.0.0.1/alone.wav";

#[tokio::test(flavor = "multi_thread")]
async fn room_settings_are_set_and_removed() {
    let world = world().await;
    let room = world.room("standup").await;
    let row = async || {
        world
            .controller
            .get(&format!("/conferences/{room}"))
            .await
            .body
    };
    let update = |args: &[&str]| done(&world, &[&["room", "update", "standup"], args].concat());
    let all: [(&[&str], &str, Value); 12] = [
        (
            &["--label", "team=sales", "--label", "seat=3"],
            "labels",
            json!({"team": "sales", "seat": "3"}),
        ),
        (&["--max-members", "20"], "max_members", json!(20)),
        (&["--max-duration", "3600"], "max_duration", json!(3600)),
        (
            &["--end-when-silent-for", "60"],
            "end_when_silent_for",
            json!(60),
        ),
        (&["--enter-tone", ALONE], "tones", json!({"enter": ALONE})),
        (&["--exit-tone", ALONE], "tones", json!({"exit": ALONE})),
        (&["--alone-url", ALONE], "alone_url", json!(ALONE)),
        (&["--wait-for-moderator"], "wait_for_moderator", json!(true)),
        (&["--wait-url", ALONE], "wait_url", json!(ALONE)),
        (
            &["--pin", "4711", "--pin-tries", "5"],
            "pin_tries",
            json!(5),
        ),
        (
            &["--pin-prompt-text", "Your code?"],
            "pin_prompt_text",
            json!("Your code?"),
        ),
        (
            &[
                "--announcement-text",
                "This is recorded.",
                "--announcement-voice",
                "slt",
            ],
            "announce_recording",
            json!({"text": "This is recorded.", "voice": "slt"}),
        ),
    ];
    for (args, field, value) in all {
        let updated = update(args);
        assert_eq!(updated["status"], "updated", "{args:?}: {updated}");
        assert_eq!(updated["event"]["event"], "conference.updated", "{args:?}");
        assert_eq!(row().await[field], value, "{args:?}");
    }
    assert_eq!(row().await["pin_required"], true);
    // No event follows if nothing changes.
    let same = update(&["--max-members", "20"]);
    assert_eq!(same["status"], "unchanged");
    assert_eq!(same["event"], Value::Null);
    // A file replaces the text.
    update(&["--pin-prompt-url", ALONE]);
    assert_eq!(row().await["pin_prompt_text"], Value::Null);

    let before = row().await;
    update(&[
        "--label",
        "team=",
        "--max-members",
        "0",
        "--max-duration",
        "0",
        "--end-when-silent-for",
        "0",
        "--exit-tone",
        "",
        "--alone-url",
        "",
        "--wait-for-moderator=false",
        "--wait-url",
        "",
        "--pin",
        "",
        "--pin-tries",
        "0",
        "--pin-prompt-url",
        "",
        "--announcement-url",
        "",
    ]);
    let after = row().await;
    assert_eq!(after["labels"], json!({"seat": "3"}));
    for field in [
        "max_members",
        "max_duration",
        "end_when_silent_for",
        "tones",
        "alone_url",
        "wait_for_moderator",
        "wait_url",
        "pin_required",
        "pin_tries",
        "pin_prompt_url",
        "announce_recording",
    ] {
        assert_ne!(before[field], Value::Null, "{field}");
        assert_eq!(after[field], Value::Null, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn update_without_setting_or_with_malformed_one_is_no_command() {
    let world = world().await;
    for args in [
        &["room", "update", "standup"][..],
        &["room", "update", "standup", "--wait"],
        &["room", "update", "standup", "--label", "team"],
        &["room", "update", "standup", "--label", "=sales"],
        &["room", "update", "standup", "--alone-url", "no url"],
        &["room", "update", "standup", "--wait-for-moderator=no"],
        &["member", "update", "standup", "527121101"],
        &[
            "member",
            "update",
            "standup",
            "527121101",
            "--role",
            "guest",
        ],
        &["member", "volume", "standup", "527121101"],
    ] {
        let out = run(&world, args);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{args:?}: {}",
            text(&out.stderr)
        );
    }
    // An announcement alone is a setting.
    world.room("standup").await;
    shown(
        &world,
        &[
            "room",
            "update",
            "standup",
            "--announcement-text",
            "This is recorded.",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_created_with_settings() {
    let world = world().await;
    let args = [
        "room",
        "create",
        "standup",
        "--max-members",
        "20",
        "--label",
        "team=sales",
    ];
    let more = ["--wait-for-moderator", "--wait-url", ALONE, "--pin", "4711"];
    done(&world, &[&args[..], &more[..]].concat());
    let row = document(&world, &["room", "show", "standup", "--json"])["room"].clone();
    assert_eq!(row["max_members"], 20);
    assert_eq!(row["labels"], json!({"team": "sales"}));
    assert_eq!(row["wait_for_moderator"], true);
    assert_eq!(row["wait_url"], ALONE);
    assert_eq!(row["pin_required"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn member_settings_are_set_at_the_join_and_later() {
    let world = world().await;
    let room = world.room("standup").await;
    world.call("527121101").await;
    let row = async || {
        let path = format!("/conferences/{room}/members");
        world.controller.get(&path).await.body["members"][0].clone()
    };
    let join = [
        "call",
        "join",
        "527121101",
        "standup",
        "--moderator",
        "--skip-pin",
    ];
    let settings = ["--label", "seat=3", "--volume-in", "-2", "--energy", "300"];
    done(&world, &[&join[..], &settings[..]].concat());
    let joined = row().await;
    assert_eq!(joined["role"], "moderator");
    assert_eq!(joined["labels"], json!({"seat": "3"}));
    assert_eq!(joined["volume_in"], -2);
    assert_eq!(joined["energy"], 300);

    let update = |args: &[&str]| {
        done(
            &world,
            &[&["member", "update", "standup", "527121101"], args].concat(),
        )
    };
    let all: [(&[&str], &str, Value); 7] = [
        (&["--role", "participant"], "role", Value::Null),
        (
            &["--label", "seat=", "--label", "team=sales"],
            "labels",
            json!({"team": "sales"}),
        ),
        (&["--volume-in", "2"], "volume_in", json!(2)),
        (&["--volume-out", "-1"], "volume_out", json!(-1)),
        (&["--energy", "0"], "energy", json!(0)),
        (&["--end-on-exit"], "end_on_exit", json!(true)),
        (&["--start-on-enter=false"], "start_on_enter", json!(false)),
    ];
    for (args, field, value) in all {
        let updated = update(args);
        assert_eq!(
            updated["event"]["event"], "conference.member.updated",
            "{args:?}"
        );
        assert_eq!(row().await[field], value, "{args:?}");
    }
    update(&["--end-on-exit=false"]);
    assert_eq!(row().await["end_on_exit"], Value::Null);
    let levels = [
        "member",
        "volume",
        "standup",
        "527121101",
        "--in",
        "1",
        "--out",
        "0",
    ];
    done(&world, &levels);
    let row = row().await;
    assert_eq!(row["volume_in"], 1);
    assert_eq!(row["volume_out"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn room_and_member_hear_texts_and_files() {
    let world = world().await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let url = "http://127.0.0.1/short.wav";
    let media = |duration| Media {
        duration: Some(duration),
        opening: 0,
    };
    world.switch.sim().set_media(url, media(200_000));
    let member = ["standup", "527121101"];
    for (args, event) in [
        (
            &["room", "say", "standup", "Hello.", "--voice", "slt"][..],
            "conference.play.finished",
        ),
        (
            &["member", "say", member[0], member[1], "Hello."],
            "conference.member.play.finished",
        ),
        (
            &["member", "play", member[0], member[1], url, url],
            "conference.member.play.finished",
        ),
    ] {
        let played = done(&world, args);
        assert_eq!(played["event"]["event"], event, "{args:?}");
        assert_eq!(
            played["event"]["data"]["operation_id"],
            played["operation_id"]
        );
    }
    let spoken = world.receiver.first(&room, "conference.play.started").await;
    assert_eq!(spoken.body["data"]["text"], "Hello.");
    assert_eq!(spoken.body["data"]["voice"], "slt");

    // A voice that is not configured is refused.
    let out = run(
        &world,
        &["room", "say", "standup", "Hello.", "--voice", "other"],
    );
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("voice"), "{}", text(&out.stderr));

    let long = "http://127.0.0.1/long.wav";
    world.switch.sim().set_media(long, media(600_000_000));
    shown(&world, &["member", "play", member[0], member[1], long]);
    let stopped = done(&world, &["member", "stop", member[0], member[1]]);
    assert_eq!(stopped["event"]["event"], "conference.member.play.stopped");
    // Nothing plays any more: no event follows.
    let again = done(&world, &["member", "stop", member[0], member[1]]);
    assert_eq!(again["event"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_begins_after_its_announcement() {
    let world = world().await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let args = [
        "room",
        "record",
        "standup",
        "--announcement-text",
        "This is recorded.",
    ];
    let started = done(&world, &args);
    assert_eq!(started["event"]["event"], "conference.recording.started");
    let announced = world.receiver.first(&room, "conference.play.started").await;
    assert_eq!(announced.body["data"]["text"], "This is recorded.");
}

#[tokio::test(flavor = "multi_thread")]
async fn member_is_asked_for_digits_and_hears_tones() {
    let world = world().await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let gather = [
        "member",
        "gather",
        "standup",
        "527121101",
        "--max-digits",
        "4",
    ];
    let silent = done(&world, &[&gather[..], &["--timeout-ms", "1000"]].concat());
    assert_eq!(silent["event"]["event"], "conference.member.gathered");
    assert_eq!(silent["event"]["data"]["reason"], "no_input");
    let asked = document(
        &world,
        &[&gather[..], &["--timeout-ms", "60000", "--json"]].concat(),
    );
    let stopped = done(&world, &["member", "gather-stop", "standup", "527121101"]);
    assert_eq!(stopped["event"]["data"]["reason"], "stopped");
    assert_eq!(stopped["operation_id"], asked["operation_id"]);
    let sent = shown(&world, &["member", "dtmf", "standup", "527121101", "12#"]);
    assert!(sent.starts_with(&format!("dtmf {call}: ")), "{sent}");
}
