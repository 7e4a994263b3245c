//! Commands in too quick succession, as a caller sees them with state on Redis.

use freeswitch_sim::core::Media;
use serde_json::{Value, json};

use crate::program::poll;
use crate::program::world::{Setup, Store};

#[tokio::test]
async fn early_command_gets_429_with_retry_after() {
    let mut setup = Setup::on(Store::Redis);
    setup.cooldowns = true;
    let world = setup.start().await;
    world.controller.until_ready().await;
    world.controller.until_synced().await;
    let session = world.call("527121100").await;
    let room = world.room("walk").await;
    let join = json!({ "room_id": room, "command_uid": "join-1" });
    let first = world.command(&session, "conference/join", &join).await;
    assert_eq!(first.status, 202, "{}", first.body);
    world
        .receiver
        .first(&room, "conference.member.joined")
        .await;
    // The repeated command is not too soon: it is the same command.
    let again = world.command(&session, "conference/join", &join).await;
    assert_eq!((again.status, &again.body), (202, &first.body));

    let mut was_limited = false;
    let left = poll::until("the call may leave", poll::TIMEOUT, async || {
        let answer = world
            .command(&session, "conference/leave", &json!({}))
            .await;
        if answer.status == 429 {
            let ms = answer.body["detail"]["retry_after_ms"].as_u64().unwrap();
            assert!((1..=2_000).contains(&ms), "{}", answer.body);
            assert!((1..=2).contains(&answer.retry_after.unwrap()));
            assert_eq!(answer.body["success"], false);
            was_limited = true;
            return None;
        }
        Some(answer)
    })
    .await;
    assert_eq!(left.status, 202, "{}", left.body);
    assert!(
        was_limited,
        "the cooldown of the join was over before the leave"
    );
    world.receiver.first(&room, "conference.member.left").await;
    let joins = world
        .receiver
        .delivered(&room)
        .iter()
        .filter(|got| got.event() == "conference.member.joined")
        .count();
    assert_eq!(joins, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_play_with_one_command_uid_plays_once() {
    let mut setup = Setup::on(Store::Redis);
    setup.cooldowns = true;
    setup.command_timeout = 1;
    let world = setup.start().await;
    world.controller.until_synced().await;
    let session = world.call("527121100").await;
    let room = world.room("music").await;
    world.join(&session, &room).await;
    let url = "http://127.0.0.1:9080/long.wav";
    let long = Media {
        duration: Some(60_000_000),
        opening: 0,
    };
    world.switch.sim().set_media(url, long);
    let path = |what: &str| format!("/conferences/{room}/{what}");
    let ask = async |what: &str, body: &Value| {
        let path = path(what);
        world.controller.ask("POST", &path, Some(body)).await
    };
    let play = json!({ "urls": [url], "command_uid": "play-1" });
    let first = ask("play", &play).await;
    assert_eq!(first.status, 202, "{}", first.body);
    let again = ask("play", &play).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    let other = json!({ "urls": [url, url], "command_uid": "play-1" });
    assert_eq!(ask("play", &other).await.status, 409);
    let next = ask("play", &json!({ "urls": [url] })).await;
    assert_eq!(next.status, 429, "{}", next.body);
    let status = format!("conference {room} play_status");
    poll::until("the node plays it", poll::TIMEOUT, async || {
        world.fs(&status).await.contains("long.wav").then_some(())
    })
    .await;

    // A second toggle would resume it.
    let pause = json!({ "command_uid": "pause-1" });
    for _ in 0..2 {
        let answer = ask("pause", &pause).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(answer.body["status"], "paused");
    }
    // Without an answer in time the command may be done or not, and is not repeated.
    let stop = json!({ "command_uid": "stop-1" });
    poll::until("the cooldown is over", poll::TIMEOUT, async || {
        let volume = json!({ "volume": 1 });
        (ask("volume", &volume).await.status == 202).then_some(())
    })
    .await;
    world.switch.sim().stall(true);
    let stopped = poll::until("the next one is over", poll::TIMEOUT, async || {
        let answer = ask("stop", &stop).await;
        (answer.status != 429).then_some(answer)
    })
    .await;
    assert_eq!(stopped.status, 504, "{}", stopped.body);
    let again = ask("stop", &stop).await;
    assert_eq!((again.status, &again.body), (504, &stopped.body));
    assert!(world.switch.sim().faults().stalled > 0);
    world.switch.sim().stall(false);
    let webhook = world.receiver.first(&room, "conference.play.stopped").await;
    assert_eq!(webhook.body["data"]["command_uid"], "stop-1");
    let names: Vec<String> = world
        .receiver
        .delivered(&room)
        .iter()
        .map(|got| got.event().to_owned())
        .filter(|name| name.starts_with("conference.play."))
        .collect();
    assert_eq!(
        names,
        [
            "conference.play.started",
            "conference.play.paused",
            "conference.play.volume_changed",
            "conference.play.stopped"
        ]
    );
    world.receiver.check_sequences();
}
