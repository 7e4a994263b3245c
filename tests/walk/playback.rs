//! Playback in a room, from the API to the receiver, on a node that plays in real time.

use freeswitch_sim::core::Media;
use serde_json::{Value, json};

use crate::program::poll;
use crate::program::receiver::ReceivedWebhook;
use crate::program::world::{Setup, Store, World};

const FILES: &str = "http://127.0.0.1:9080";

struct Room {
    world: World,
    id: String,
}

impl Room {
    async fn on(setup: Setup) -> Self {
        let world = setup.start().await;
        world.controller.until_synced().await;
        let session = world.call("527121100").await;
        let id = world.room("music").await;
        world.join(&session, &id).await;
        Self { world, id }
    }

    /// Sets a file of the node, with times in milliseconds; `None`: it cannot be opened.
    fn set_file(&self, file: &str, lasts: Option<u64>, opens: u64) -> String {
        let url = format!("{FILES}/{file}");
        let media = Media {
            duration: lasts.map(|ms| ms * 1_000),
            opening: opens * 1_000,
        };
        self.world.switch.sim().set_media(&url, media);
        url
    }

    async fn ask(&self, what: &str, body: Value, status: u16) -> Value {
        let path = format!("/conferences/{}/{what}", self.id);
        let answer = self.world.controller.ask("POST", &path, Some(&body)).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        answer.body
    }

    async fn play(&self, urls: &[&String]) -> String {
        let answer = self.ask("play", json!({ "urls": urls }), 202).await;
        assert_eq!(answer["status"], "in_progress");
        answer["operation_id"].as_str().unwrap().to_owned()
    }

    async fn status(&self) -> (String, i64, usize, String) {
        let path = format!("/conferences/{}", self.id);
        let answer = self.world.controller.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        (
            text("playback_status"),
            answer.body["playback_volume"].as_i64().unwrap(),
            answer.body["playback_urls"].as_array().unwrap().len(),
            text("playback_operation_id"),
        )
    }

    async fn webhook(&self, event: &str, n: usize) -> ReceivedWebhook {
        self.world
            .receiver
            .nth(&self.id, &format!("conference.play.{event}"), n)
            .await
    }

    async fn until_node_plays(&self, file: &str) {
        let ask = format!("conference {} play_status", self.id);
        poll::until("the node plays it", poll::TIMEOUT, async || {
            self.world.fs(&ask).await.contains(file).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_play_in_order_and_failed_files_are_listed() {
    let room = Room::on(Setup::on(Store::Memory)).await;
    // The slow file is requested first, and plays first.
    let slow = room.set_file("slow.wav", Some(300), 700);
    let fast = room.set_file("fast.wav", Some(300), 0);
    let missing = room.set_file("missing.wav", None, 0);
    let last = room.set_file("last.wav", Some(300), 0);
    let one = room.play(&[&slow, &fast, &missing]).await;
    let two = room.play(&[&last]).await;
    let started = room.webhook("started", 2).await;
    assert_eq!(
        started.body["data"],
        json!({ "urls": [last], "operation_id": two })
    );
    assert_eq!(room.status().await, ("playing".into(), 0, 3, one.clone()));
    let finished = room.webhook("finished", 1).await;
    assert_eq!(
        finished.body["data"],
        json!({
            "errors": [{ "url": missing, "error": "the file could not be played" }],
            "operation_id": one,
        })
    );
    let finished = room.webhook("finished", 2).await;
    assert_eq!(
        finished.body["data"],
        json!({ "errors": [], "operation_id": two })
    );
    assert_eq!(room.status().await, ("stopped".into(), 0, 0, String::new()));
    room.world.receiver.check_sequences();
}

#[tokio::test(flavor = "multi_thread")]
async fn playback_is_paused_turned_down_and_stopped() {
    let room = Room::on(Setup::on(Store::Memory)).await;
    room.ask("pause", json!({}), 409).await;
    let nothing = json!({ "operation_id": "", "status": "stopped" });
    assert_eq!(room.ask("stop", json!({}), 202).await, nothing);
    let long = room.set_file("long.wav", Some(60_000), 0);
    let op = room.play(&[&long, &long]).await;
    room.until_node_plays("long.wav").await;
    let paused = json!({ "operation_id": op, "status": "paused" });
    assert_eq!(room.ask("pause", json!({}), 202).await, paused);
    room.webhook("paused", 1).await;
    assert_eq!(room.status().await.0, "paused");
    let goes_on = json!({ "operation_id": op, "status": "in_progress" });
    assert_eq!(room.ask("pause", json!({}), 202).await, goes_on);
    room.webhook("resumed", 1).await;
    let volume = json!({ "volume": -20 });
    let set = json!({ "operation_id": op, "volume": -20 });
    assert_eq!(room.ask("volume", volume, 202).await, set);
    let webhook = room.webhook("volume_changed", 1).await;
    assert_eq!(webhook.body["data"], set);
    assert_eq!(room.status().await, ("playing".into(), -20, 2, op.clone()));
    let stopped = json!({ "operation_id": op, "status": "stopped" });
    assert_eq!(room.ask("stop", json!({}), 202).await, stopped);
    let webhook = room.webhook("stopped", 1).await;
    assert_eq!(webhook.body["data"], json!({ "operation_id": op }));
    let ask = format!("conference {} play_status", room.id);
    poll::until("the node is silent", poll::TIMEOUT, async || {
        (room.world.fs(&ask).await.contains("Nothing is playing")).then_some(())
    })
    .await;
    room.world.receiver.check_sequences();
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_opens_after_a_stop_does_not_play() {
    let room = Room::on(Setup::on(Store::Memory)).await;
    let slow = room.set_file("slow.wav", Some(60_000), 1_000);
    let next = room.set_file("next.wav", Some(400), 0);
    room.play(&[&slow]).await;
    room.ask("stop", json!({}), 202).await;
    let op = room.play(&[&next]).await;
    let finished = room.webhook("finished", 1).await;
    assert_eq!(
        finished.body["data"],
        json!({ "errors": [], "operation_id": op })
    );
    let ask = format!("conference {} play_status", room.id);
    assert!(room.world.fs(&ask).await.contains("Nothing is playing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_the_room_stops_playback() {
    let room = Room::on(Setup::on(Store::Memory)).await;
    let long = room.set_file("long.wav", Some(60_000), 0);
    room.play(&[&long]).await;
    room.until_node_plays("long.wav").await;
    let path = format!("/conferences/{}", room.id);
    let answer = room.world.controller.ask("DELETE", &path, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    room.world
        .receiver
        .first(&room.id, "conference.destroyed")
        .await;
    let names: Vec<String> = room
        .world
        .receiver
        .delivered(&room.id)
        .iter()
        .map(|got| got.event().to_owned())
        .collect();
    assert_eq!(
        names[2..],
        [
            "conference.play.started",
            "conference.play.stopped",
            "conference.member.left",
            "conference.destroyed",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn end_missed_during_a_disconnection_is_found_and_the_rest_plays() {
    let mut room = Room::on(Setup::with_short_timeouts(Store::DurableRedis)).await;
    let short = room.set_file("short.wav", Some(1_500), 0);
    let other = room.set_file("other.wav", Some(200), 0);
    let op = room.play(&[&short, &other, &other]).await;
    room.until_node_plays("short.wav").await;
    poll::until("the second is ready, too", poll::TIMEOUT, async || {
        let node = room.world.switch.sim().snapshot();
        (node.room(&room.id)?.files.len() == 2).then_some(())
    })
    .await;
    room.world.controller.kill();
    let ask = format!("conference {} play_status", room.id);
    poll::until("the node is silent", poll::TIMEOUT, async || {
        (room.world.fs(&ask).await.contains("Nothing is playing")).then_some(())
    })
    .await;
    room.world.controller.start_again();
    let finished = room.webhook("finished", 1).await;
    assert_eq!(finished.body["data"]["operation_id"], *op);
    assert_eq!(finished.body["data"]["synthesized"], true);
    let errors = finished.body["data"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "the third one played: {errors:?}");
    assert_eq!(errors[0]["error"], "its end was not confirmed");
    room.world.receiver.check_sequences();
}
