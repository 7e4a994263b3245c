//! Many commands in one request, and the filters of a list of members.

use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, IntentError, Refusal};
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{FlagAccepted, LockAccepted, OperationAccepted};
use roomkeeper_core::room::{MemberFlag, MemberUpdate, Role, RoomInput};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::*;

/// A room with the calls 1 to 3; the second is not muted.
async fn world() -> (World, RoomId, [CallId; 3]) {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 3).await;
    let calls = [1, 2, 3].map(|n| session_id("acW68", n));
    for call in calls {
        world.session(call, "demo", 1).await;
    }
    (world, room, calls)
}

fn path(room: RoomId, what: &str) -> String {
    format!("/api/v1/conferences/{room}/{what}")
}

fn muted(room: RoomId) -> Accepted {
    Accepted::SetFlag(FlagAccepted {
        room,
        flag: MemberFlag::Speak,
        on: false,
    })
}

#[tokio::test]
async fn mute_of_all_sends_one_command_for_each_member_and_counts_the_results() {
    let (world, room, calls) = world().await;
    let already = Refusal::FlagAlreadySet {
        flag: MemberFlag::Speak,
        on: false,
    };
    world.script(Ok(muted(room))).script(Err(already.into()));
    let body = json!({"except": [calls[0]], "command_uid": "m.1"});
    let answer = world.post(&path(room, "mute"), body.clone()).await;
    answer.is(202, json!({"accepted": 1, "unchanged": 1, "failed": []}));
    let intents = world.intents();
    assert_eq!(names(&intents), ["mute", "mute"]);
    let targets: Vec<_> = intents.iter().map(|i| i.target.call()).collect();
    assert_eq!(targets, [Some(calls[1]), Some(calls[2])]);
    assert!(
        intents
            .iter()
            .all(|i| i.command_uid == Some("m.1".parse().unwrap()))
    );
    // The same request again changes nothing.
    let again = world.post(&path(room, "mute"), body).await;
    again.is(202, json!({"accepted": 1, "unchanged": 1, "failed": []}));
    assert_eq!(world.intents().len(), 0);
    let other = json!({"command_uid": "m.1"});
    world.post(&path(room, "mute"), other).await.fails(409);
}

#[tokio::test]
async fn moderators_are_left_out_on_request() {
    let (world, room, calls) = world().await;
    let input = RoomInput::UpdateMember {
        call: calls[1],
        update: Box::new(MemberUpdate {
            role: Some(Role::Moderator),
            ..MemberUpdate::default()
        }),
        command_uid: None,
    };
    world
        .apply_input(room, input, Timestamp::from_millis(9))
        .await;
    for (body, targets) in [
        (json!({"except_moderators": true}), vec![calls[0], calls[2]]),
        (
            json!({"except_moderators": true, "except": [calls[0]]}),
            vec![calls[2]],
        ),
        (json!({"except_moderators": false}), calls.to_vec()),
    ] {
        for _ in &targets {
            world.script(Ok(muted(room)));
        }
        let answer = world.post(&path(room, "mute"), body).await;
        let accepted = targets.len();
        answer.is(
            202,
            json!({"accepted": accepted, "unchanged": 0, "failed": []}),
        );
        let muted = world.intents();
        let muted: Vec<_> = muted.iter().filter_map(|i| i.target.call()).collect();
        assert_eq!(muted, targets);
    }
    let wrong = json!({"except_moderators": "yes"});
    let answer = world.post(&path(room, "mute"), wrong).await;
    assert_eq!(answer.fails(400)["detail"]["field"], "except_moderators");
}

#[tokio::test]
async fn hangup_of_all_reports_the_calls_that_failed() {
    let (world, room, calls) = world().await;
    let operation = "a1b2c3d4-e5f6-7890-abcd-ef1234567890".parse().unwrap();
    let accepted = || Accepted::Hangup(OperationAccepted { operation });
    world
        .script(Ok(accepted()))
        .script(Err(IntentError::Command(CommandError::Unknown)))
        .script(Ok(accepted()));
    let answer = world.post_empty(&path(room, "hangup")).await;
    let json = answer.json();
    assert_eq!(
        (answer.status.as_u16(), &json["accepted"]),
        (202, &json!(2))
    );
    assert_eq!(json["failed"][0]["session"], calls[1].to_string());
    assert_eq!(json["failed"][0]["status"], 504);
    assert_eq!(names(&world.intents()), ["hangup", "hangup", "hangup"]);
}

#[tokio::test]
async fn bulk_requests_have_the_errors_of_their_room() {
    let (world, room, _) = world().await;
    let foreign = room_id("acW68", 7);
    world.room(foreign, "other", "n", 1, 1).await;
    for what in ["mute", "unmute", "hangup"] {
        world.post_empty(&path(foreign, what)).await.fails(403);
        world
            .post_empty(&path(room_id("acW68", 9), what))
            .await
            .fails(404);
        let answer = world
            .post(&path(room, what), json!({"except": ["x"]}))
            .await;
        assert_eq!(answer.fails(400)["detail"]["field"], "except[0]");
    }
    let one = json!({"commands": [{"command": "lock"}]});
    world
        .post(&path(foreign, "commands"), one.clone())
        .await
        .fails(403);
    world
        .post(&path(room_id("acW68", 9), "commands"), one)
        .await
        .fails(404);
    let many: Vec<Value> = (0..101).map(|_| json!({"command": "lock"})).collect();
    for commands in [json!([]), json!(many), json!("x"), Value::Null] {
        let answer = world
            .post(&path(room, "commands"), json!({ "commands": commands }))
            .await;
        assert_eq!(answer.fails(400)["detail"]["field"], "commands");
    }
    let answer = world
        .post(&path(room, "commands"), json!({"commands": [1]}))
        .await;
    assert_eq!(answer.fails(400)["detail"]["field"], "commands[0]");
    assert_eq!(world.intents(), []);
}

#[tokio::test]
async fn commands_answer_207_with_the_answers_of_the_single_commands() {
    let (world, room, calls) = world().await;
    world.script(Ok(Accepted::SetLock(LockAccepted::InProgress)));
    let commands = json!({"commands": [
        {"command": "lock", "command_uid": "l.1"},
        {"command": "nonsense"},
        {"command": "mute"},
        {"command": "lock", "session": calls[0]},
        {"session": calls[0]},
        {"command": "deaf", "session": "x"},
        {"command": "volume", "volume": 99},
        {"command": "lock", "command_uid": "l.1"},
    ]});
    let answer = world.post(&path(room, "commands"), commands).await;
    assert_eq!(answer.status.as_u16(), 207, "{}", answer.text);
    let json = answer.json();
    let results = json["results"].as_array().unwrap();
    let statuses: Vec<_> = results
        .iter()
        .map(|r| r["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [202, 400, 400, 400, 400, 400, 400, 202]);
    assert_eq!(results[0]["body"], json!({"status": "in_progress"}));
    assert_eq!(results[7]["body"], results[0]["body"], "executed once");
    let fields: Vec<_> = results[1..7]
        .iter()
        .map(|r| &r["body"]["detail"]["field"])
        .collect();
    assert_eq!(
        fields,
        [
            "command", "command", "command", "command", "session", "volume"
        ]
    );
    assert_eq!(names(&world.intents()), ["lock"]);
}

#[tokio::test]
async fn commands_of_one_call_run_in_order() {
    let (world, room, calls) = world().await;
    world.script(Ok(muted(room))).script(Ok(muted(room)));
    let commands = json!({"commands": [
        {"command": "deaf", "session": calls[0]},
        {"command": "undeaf", "session": calls[0]},
    ]});
    let answer = world.post(&path(room, "commands"), commands).await;
    assert_eq!(answer.status.as_u16(), 207, "{}", answer.text);
    assert_eq!(names(&world.intents()), ["deaf", "undeaf"]);
}

#[tokio::test]
async fn members_are_filtered_and_sorted() {
    let (world, room, calls) = world().await;
    let update = |label: &str| MemberUpdate {
        labels: Some(serde_json::from_value(json!({ "team": label })).unwrap()),
        role: (label == "a").then_some(Role::Moderator),
        ..MemberUpdate::default()
    };
    for (call, label) in [(calls[0], "a"), (calls[2], "b")] {
        let input = RoomInput::UpdateMember {
            call,
            update: Box::new(update(label)),
            command_uid: None,
        };
        world
            .apply_input(room, input, Timestamp::from_millis(9))
            .await;
    }
    let listed = async |query: &str| -> Vec<String> {
        let list = world
            .get(&path(room, &format!("members{query}")))
            .await
            .json();
        let rows = list["members"].as_array().unwrap().iter();
        rows.map(|row| row["uuid"].as_str().unwrap().to_owned())
            .collect()
    };
    let ids = calls.map(|call| call.to_string());
    assert_eq!(listed("").await, ids);
    assert_eq!(listed("?muted=false").await, [ids[1].clone()]);
    assert_eq!(
        listed("?muted=true").await,
        [ids[0].clone(), ids[2].clone()]
    );
    assert_eq!(listed("?label.team=b&muted=true").await, [ids[2].clone()]);
    assert_eq!(listed("?label.team=c").await, Vec::<String>::new());
    assert_eq!(listed("?role=moderator").await, [ids[0].clone()]);
    assert_eq!(listed("?held=true").await, Vec::<String>::new());
    assert_eq!(listed("?held=false").await, ids);
    assert_eq!(listed("?sort=joined_at").await, ids);
    let first = world
        .get(&path(room, "members?sort=joined_at&limit=2"))
        .await
        .json();
    let cursor = first["cursor"].as_str().unwrap();
    let rest = listed(&format!("?sort=joined_at&cursor={cursor}")).await;
    assert_eq!(rest, [ids[2].clone()]);
    for (query, field) in [
        ("?muted=yes".to_owned(), "muted"),
        ("?sort=name".to_owned(), "sort"),
        (format!("?cursor={cursor}"), "cursor"),
    ] {
        let answer = world.get(&path(room, &format!("members{query}"))).await;
        assert_eq!(answer.fails(400)["detail"]["field"], field);
    }
}
