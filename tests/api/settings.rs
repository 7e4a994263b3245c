//! `PATCH /conferences/{room_id}` and `/members/{uuid}`, and the settings in bodies and rows.

use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Refusal};
use roomkeeper_core::entity::Target;
use roomkeeper_core::gather::Digits;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{Action, JoinAccepted, UpdateAccepted, UpdateMember, UpdateRoom};
use roomkeeper_core::labels::{InvalidLabel, Labels, LabelsUpdate};
use roomkeeper_core::room::{MemberUpdate, RoomInput, RoomSettingsUpdate, Update};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::*;

fn labels(value: Value) -> Labels {
    serde_json::from_value(value).unwrap()
}

async fn world() -> (World, RoomId, CallId) {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    let call = session_id("acW68", 1);
    world.session(call, "demo", 1).await;
    (world, room, call)
}

fn room_path(room: RoomId) -> String {
    format!("/api/v1/conferences/{room}")
}

fn member_path(room: RoomId, call: CallId) -> String {
    format!("/api/v1/conferences/{room}/members/{call}")
}

#[tokio::test]
async fn update_of_a_room_gives_202_with_status() {
    let (world, room, _) = world().await;
    let body = json!({"labels": {"team": "sales", "old": null}, "command_uid": "u.1", "extra": 1});
    for (accepted, status) in [
        (UpdateAccepted::Updated, "updated"),
        (UpdateAccepted::Unchanged, "unchanged"),
    ] {
        world.script(Ok(Accepted::UpdateRoom(accepted)));
        let mut body = body.clone();
        body["command_uid"] = json!(status);
        let answer = world.patch(&room_path(room), body).await;
        answer.is(202, json!({ "status": status }));
        let mut labels = LabelsUpdate::default();
        labels.put("team", Some("sales")).unwrap();
        labels.put("old", None).unwrap();
        let update = UpdateRoom {
            update: Box::new(Update::default()),
            labels,
        };
        let expected = Intent::new(Target::Room(room), app("demo"), update)
            .with_uid(Some(status.parse().unwrap()));
        assert_eq!(world.intents(), [expected]);
    }
}

#[tokio::test]
async fn update_of_a_member_gives_202_once_for_a_command_uid() {
    let (world, room, call) = world().await;
    let body = json!({"labels": {"seat": "12"}, "command_uid": "u.1"});
    world.script(Ok(Accepted::UpdateMember(UpdateAccepted::Updated)));
    for _ in 0..2 {
        let answer = world.patch(&member_path(room, call), body.clone()).await;
        answer.is(202, json!({ "status": "updated" }));
    }
    let mut labels = LabelsUpdate::default();
    labels.put("seat", Some("12")).unwrap();
    let update = UpdateMember {
        update: Box::new(MemberUpdate::default()),
        labels,
    };
    let expected = Intent::new(Target::Member { room, call }, app("demo"), update)
        .with_uid(Some("u.1".parse().unwrap()));
    assert_eq!(world.intents(), [expected]);
    let other = json!({"labels": {"seat": "13"}, "command_uid": "u.1"});
    world
        .patch(&member_path(room, call), other)
        .await
        .fails(409);
}

#[tokio::test]
async fn wrong_labels_give_400_wherever_they_are_given() {
    let (world, room, call) = world().await;
    let many: Value = (0..17)
        .map(|n| (n.to_string(), json!("v")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    for (labels, only_new) in [
        (json!("text"), false),
        (json!({"A": "b"}), false),
        (json!({"a": 1}), false),
        (json!({"a": {}}), false),
        (json!({"": "b"}), false),
        (json!({"a": "v".repeat(129)}), false),
        (many, true),
    ] {
        let join = json!({"room_id": room, "labels": labels});
        let created = json!({"name": "x", "labels": labels});
        let body = json!({"labels": labels});
        let join_path = format!("/api/v1/sessions/{call}/commands/conference/join");
        let mut answers = vec![
            world.post(&join_path, join).await,
            world.post("/api/v1/conferences", created).await,
        ];
        if !only_new {
            answers.push(world.patch(&room_path(room), body.clone()).await);
            answers.push(world.patch(&member_path(room, call), body).await);
        }
        for answer in answers {
            assert_eq!(answer.fails(400)["detail"]["field"], "labels", "{labels}");
        }
    }
    assert_eq!(world.intents(), []);
}

#[tokio::test]
async fn levels_are_in_the_intents_or_give_400() {
    let (world, room, call) = world().await;
    world.script(Ok(Accepted::UpdateMember(UpdateAccepted::Updated)));
    let body = json!({"volume_in": -4, "volume_out": 4, "energy": 0});
    let answer = world.patch(&member_path(room, call), body).await;
    answer.is(202, json!({ "status": "updated" }));
    let intents = world.intents();
    let Action::UpdateMember(UpdateMember { update, .. }) = &intents[0].action else {
        panic!("{intents:?}");
    };
    let levels = MemberUpdate {
        volume_in: Some(-4),
        volume_out: Some(4),
        energy: Some(Some(0)),
        ..MemberUpdate::default()
    };
    assert_eq!(**update, levels);
    for (field, bad) in [
        ("volume_in", json!(5)),
        ("volume_out", json!(-5)),
        ("volume_out", json!("loud")),
        ("energy", json!(1801)),
        ("energy", json!(-1)),
    ] {
        let join_path = format!("/api/v1/sessions/{call}/commands/conference/join");
        let join = json!({"room_id": room, field: bad});
        for answer in [
            world.post(&join_path, join).await,
            world
                .patch(&member_path(room, call), json!({field: bad}))
                .await,
        ] {
            assert_eq!(answer.fails(400)["detail"]["field"], field);
        }
    }
    assert_eq!(world.intents(), []);
}

#[tokio::test]
async fn failures_of_an_update_give_their_status() {
    let (world, room, call) = world().await;
    let foreign = room_id("acW68", 7);
    world.room(foreign, "other", "n", 1, 1).await;
    let body = json!({"labels": {"a": "b"}});
    world
        .patch(&room_path(foreign), body.clone())
        .await
        .fails(403);
    world
        .patch(&room_path(room_id("acW68", 9)), body.clone())
        .await
        .fails(404);
    let stranger = session_id("acW68", 9);
    world
        .patch(&member_path(room, stranger), body.clone())
        .await
        .fails(404);
    for (error, status) in [
        (Refusal::Labels(InvalidLabel::TooMany).into(), 409),
        (Refusal::StillJoining.into(), 409),
        (IntentError::Command(CommandError::Unknown), 504),
    ] {
        world.script(Err(error));
        let path = member_path(room, call);
        world.patch(&path, body.clone()).await.fails(status);
    }
}

#[tokio::test]
async fn labels_of_a_join_and_a_new_room_are_in_their_intents() {
    let (world, room, call) = world().await;
    let member = member_id(call);
    world.script(Ok(Accepted::Join(JoinAccepted::Joining { room, member })));
    let body = json!({"room_id": room, "labels": {"seat": "12", "none": null}});
    let path = format!("/api/v1/sessions/{call}/commands/conference/join");
    assert_eq!(world.post(&path, body).await.status.as_u16(), 202);
    let body = json!({"name": "standup", "labels": {"team": "sales"}});
    let created = world.post("/api/v1/conferences", body).await;
    assert_eq!(created.status.as_u16(), 201);
    let intents = world.intents();
    let [Action::Join(join), Action::CreateRoom(create)] = [&intents[0].action, &intents[1].action]
    else {
        panic!("{intents:?}");
    };
    assert_eq!(join.settings.labels, labels(json!({"seat": "12"})));
    let settings = &create.details.settings;
    assert_eq!(settings.labels, labels(json!({"team": "sales"})));
    let path = format!(
        "/api/v1/conferences/{}",
        created.json()["room_id"].as_str().unwrap()
    );
    assert_eq!(
        world.get(&path).await.json()["labels"],
        json!({"team": "sales"})
    );
}

#[tokio::test]
async fn rows_have_the_settings_that_are_set() {
    let (world, room, call) = world().await;
    for path in [
        "/api/v1/conferences".to_owned(),
        room_path(room),
        room_path(room) + "/members",
    ] {
        let text = world.get(&path).await.json().to_string();
        assert!(!text.contains("labels"), "{text}");
    }
    let set = |value| Some(labels(value));
    let at = Timestamp::from_millis(9);
    let update = Update {
        settings: RoomSettingsUpdate {
            labels: set(json!({"team": "sales"})),
            max_members: Some(2),
            tones: Some(serde_json::from_value(json!({"enter": "http://h/a"})).unwrap()),
            ..RoomSettingsUpdate::default()
        },
        timeout: Some(60),
        ..Update::default()
    };
    let input = RoomInput::Update {
        update: Box::new(update),
        command_uid: None,
    };
    world.apply_input(room, input, at).await;
    let input = RoomInput::UpdateMember {
        call,
        update: Box::new(MemberUpdate {
            labels: set(json!({"seat": "12"})),
            ..MemberUpdate::default()
        }),
        command_uid: None,
    };
    world.apply_input(room, input, at).await;
    let list = world.get("/api/v1/conferences").await.json();
    assert_eq!(list["conferences"][0]["labels"], json!({"team": "sales"}));
    let detail = world.get(&room_path(room)).await.json();
    assert_eq!(detail["labels"], json!({"team": "sales"}));
    assert_eq!(detail["max_members"], 2);
    assert_eq!(detail["max_duration"], 60);
    assert_eq!(detail["tones"], json!({"enter": "http://h/a"}));
    assert_eq!(detail.get("alone_url"), None);
    let members = world.get(&(room_path(room) + "/members")).await.json();
    assert_eq!(members["members"][0]["labels"], json!({"seat": "12"}));
}

#[tokio::test]
async fn settings_of_a_room_are_in_its_intents() {
    let (world, room, _) = world().await;
    let body = json!({
        "max_members": 5, "max_duration": 3_600, "end_when_silent_for": 60,
        "tones": {"enter": "https://1.1.1.1/in.wav", "exit": false}, "alone_url": "https://1.1.1.1/m.wav",
        "wait_for_moderator": true, "wait_url": "https://1.1.1.1/w.wav",
        "announce_recording": {"text": "This is\nrecorded", "url": null, "voice": null},
        "announce_count": {"text": "{count}\nare here", "voice": null},
    });
    world.script(Ok(Accepted::UpdateRoom(UpdateAccepted::Updated)));
    assert_eq!(
        world.patch(&room_path(room), body).await.status.as_u16(),
        202
    );
    let none = json!({
        "max_members": 0, "max_duration": 0, "end_when_silent_for": 0, "tones": false, "alone_url": false,
        "wait_for_moderator": false, "wait_url": false, "announce_recording": false, "announce_count": false,
    });
    world.script(Ok(Accepted::UpdateRoom(UpdateAccepted::Updated)));
    assert_eq!(
        world.patch(&room_path(room), none).await.status.as_u16(),
        202
    );
    let updates: Vec<Value> = world
        .intents()
        .iter()
        .map(|intent| match &intent.action {
            Action::UpdateRoom(update) => serde_json::to_value(&update.update).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    let set = json!({
        "max_members": 5, "timeout": 3_600, "end_when_silent_for": 60,
        "tones": {"enter": "https://1.1.1.1/in.wav"}, "alone_url": "https://1.1.1.1/m.wav",
        "wait_for_moderator": true, "wait_url": "https://1.1.1.1/w.wav",
        "announce_recording": {"text": "This is recorded"},
        "announce_count": {"text": "{count} are here"},
    });
    let none = json!({
        "max_members": 0, "timeout": 0, "end_when_silent_for": 0, "tones": {}, "alone_url": null,
        "wait_for_moderator": false, "wait_url": null, "announce_recording": null, "announce_count": null,
    });
    assert_eq!(updates, [set, none]);
}

#[tokio::test]
async fn wrong_settings_of_a_room_give_400_with_their_field() {
    let (world, room, _) = world().await;
    let long = format!("https://1.1.1.1/{}", "a".repeat(600));
    for (body, field) in [
        (json!({"max_members": 1}), "max_members"),
        (json!({"max_members": 10_001}), "max_members"),
        (json!({"max_members": -2}), "max_members"),
        (json!({"max_members": "5"}), "max_members"),
        (json!({"max_duration": 31_536_001}), "max_duration"),
        (json!({"end_when_silent_for": 4}), "end_when_silent_for"),
        (json!({"tones": true}), "tones"),
        (json!({"tones": {"enter": true}}), "tones.enter"),
        (json!({"tones": {"exit": "ftp://1.1.1.1/a"}}), "tones.exit"),
        (
            json!({"tones": {"exit": "https://127.0.0.1/a"}}),
            "tones.exit",
        ),
        (json!({"alone_url": 7}), "alone_url"),
        (json!({ "alone_url": long }), "alone_url"),
        (json!({"alone_url": "https://[::1]/a"}), "alone_url"),
        (json!({"announce_recording": true}), "announce_recording"),
        (json!({"announce_recording": {}}), "announce_recording"),
        (
            json!({"announce_recording": {"url": "https://1.1.1.1/a", "text": "a"}}),
            "announce_recording",
        ),
        (
            json!({"announce_recording": {"text": "x".repeat(513)}}),
            "announce_recording",
        ),
        (
            json!({ "announce_recording": { "url": long } }),
            "announce_recording",
        ),
        (
            json!({"announce_recording": {"text": "${a}"}}),
            "announce_recording.text",
        ),
        (
            json!({"announce_recording": {"text": "a", "voice": "nobody"}}),
            "announce_recording.voice",
        ),
        (
            json!({"announce_recording": {"url": "https://127.0.0.1/a"}}),
            "announce_recording.url",
        ),
        (json!({"announce_count": "{count}"}), "announce_count"),
        (
            json!({"announce_count": {"text": "count"}}),
            "announce_count.text",
        ),
        (
            json!({"announce_count": {"text": "${a} {count}"}}),
            "announce_count.text",
        ),
        (
            json!({"announce_count": {"text": "{{count}}"}}),
            "announce_count.text",
        ),
        (
            json!({"announce_count": {"text": "{count}".repeat(74)}}),
            "announce_count.text",
        ),
        (
            json!({"announce_count": {"text": "{count}", "voice": "nobody"}}),
            "announce_count.voice",
        ),
        (json!({"wait_for_moderator": 1}), "wait_for_moderator"),
        (json!({"wait_url": true}), "wait_url"),
        (json!({ "wait_url": long }), "wait_url"),
        (json!({"wait_url": "https://[::1]/a"}), "wait_url"),
    ] {
        let answer = world.patch(&room_path(room), body.clone()).await;
        assert_eq!(answer.fails(400)["detail"]["field"], field, "{body}");
        let mut created = body.clone();
        created["name"] = json!("x");
        let answer = world.post("/api/v1/conferences", created).await;
        assert_eq!(answer.fails(400)["detail"]["field"], field, "{body}");
    }
    assert_eq!(world.intents(), []);
}

#[tokio::test]
async fn number_of_members_needs_a_node_that_speaks() {
    let (world, room, _) = world().await;
    world.set_node("acW68", |node| node.speaks = false);
    let body = json!({"name": "x", "announce_count": {"text": "{count}"}});
    let created = world.post("/api/v1/conferences", body.clone()).await;
    for answer in [created, world.patch(&room_path(room), body).await] {
        assert_eq!(answer.fails(400)["detail"]["field"], "announce_count.text");
    }
    assert_eq!(world.intents(), []);
    // It can be removed all the same.
    world.script(Ok(Accepted::UpdateRoom(UpdateAccepted::Updated)));
    let none = json!({"announce_count": false});
    let answer = world.patch(&room_path(room), none).await;
    assert_eq!(answer.status.as_u16(), 202);
}

#[tokio::test]
async fn pin_is_hashed_in_the_intent_and_not_shown() {
    let (world, room, call) = world().await;
    let prompt = "https://1.1.1.1/pin.wav";
    let body = json!({"name": "standup", "pin": "4711", "pin_prompt_url": prompt, "pin_tries": 2});
    let created = world.post("/api/v1/conferences", body).await;
    assert_eq!(created.status.as_u16(), 201);
    let intents = world.intents();
    let Action::CreateRoom(create) = &intents[0].action else {
        panic!("{intents:?}");
    };
    let request = create.details.settings.pin_request().unwrap();
    assert!(request.hash.matches(&Digits::from_reported("4711")));
    assert_eq!(request.tries, 2);
    assert!(!format!("{intents:?}").contains("4711"));
    let path = room_path(created.json()["room_id"].as_str().unwrap().parse().unwrap());
    let row = world.get(&path).await.json();
    assert_eq!(row["pin_required"], json!(true));
    assert_eq!(row["pin_prompt_url"], json!(prompt));
    assert!(!row.to_string().contains("4711"), "{row}");
    for (pin, is_set) in [(json!("12345"), true), (json!(false), false)] {
        world.script(Ok(Accepted::UpdateRoom(UpdateAccepted::Updated)));
        world.patch(&room_path(room), json!({ "pin": pin })).await;
        let intents = world.intents();
        let Action::UpdateRoom(update) = &intents[0].action else {
            panic!("{intents:?}");
        };
        let pin = update.update.settings.pin.clone().unwrap();
        assert_eq!(pin.hash().is_some(), is_set);
    }
    let member = member_id(call);
    let path = format!("/api/v1/sessions/{call}/commands/conference/join");
    for (given, expected) in [(json!(true), true), (json!(null), false)] {
        world.script(Ok(Accepted::Join(JoinAccepted::Joining { room, member })));
        let body = json!({"room_id": room, "skip_pin": given});
        assert_eq!(world.post(&path, body).await.status.as_u16(), 202);
        let intents = world.intents();
        let Action::Join(join) = &intents[0].action else {
            panic!("{intents:?}");
        };
        assert_eq!(join.skip_pin, expected);
    }
    world
        .post(&path, json!({"room_id": room, "skip_pin": "yes"}))
        .await
        .fails(400);
}
