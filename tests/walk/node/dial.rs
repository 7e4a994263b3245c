//! Dial-outs of a real FreeSWITCH to `sipp` as the callee: each outcome, and what a crash of FreeSWITCH or of the
//! controller leaves.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::ESL_PASSWORD;
use crate::freeswitch::say;
use crate::program::freeswitch::{FreeSwitch, installed};
use crate::program::poll;
use crate::program::receiver::ReceivedWebhook;
use crate::program::switch::{Line, Switch, real_app};
use crate::program::world::{Setup, Store, World};
use crate::support::process;

/// Starts the node of a test; `None` where FreeSWITCH or sipp is missing.
async fn node() -> Option<FreeSwitch> {
    let program = installed().filter(|_| process::installed("sipp"));
    let Some(program) = program else {
        say("Without FreeSWITCH and sipp nobody was called.\n");
        return None;
    };
    let app = real_app();
    let settings = [
        ("RK_ESL_PASSWORD", ESL_PASSWORD),
        ("RK_ESL_ACL", "127.0.0.1/32"),
        ("RK_APP", app.as_str()),
    ];
    Some(FreeSwitch::start(program, &settings).await)
}

/// A controller that may call SIP addresses on this machine.
async fn world(node: &FreeSwitch) -> World {
    let switch = Switch::real(node.server.clone(), Line::Inbound);
    let environment = [
        ("ROOMKEEPER_DIAL__ADDRESS", "sofia/inbound/${address}"),
        ("ROOMKEEPER_DIAL__ALLOW__0__APP", "*"),
        ("ROOMKEEPER_DIAL__ALLOW__0__DOMAINS", "[127.0.0.1]"),
    ];
    let setup = Setup {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Setup::with_short_timeouts(Store::DurableRedis)
    };
    let world = setup.start_with(switch).await;
    world.controller.until_synced().await;
    world
}

/// A telephone that takes `calls` calls, and no more.
struct Phone {
    sipp: Child,
    address: String,
    _scenario: tempfile::NamedTempFile,
}

impl Phone {
    async fn start(scenario: &str, calls: usize, status: u16) -> Self {
        let path = format!(
            "{}/tests/walk/node/callee_{scenario}.xml",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(path).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        // sipp accepts no variable as a status.
        write!(file, "{}", text.replace("STATUS", &status.to_string())).unwrap();
        // sipp takes two ports beside the one for media, too.
        let [sip, media, _, _] = [(); 4].map(|()| process::free_port());
        let mut sipp = process::command("sipp");
        sipp.arg("-sf")
            .arg(file.path())
            .args(["-nostdin", "-i", "127.0.0.1", "-mi", "127.0.0.1"])
            .args(["-m", &calls.to_string()])
            .args(["-p", &sip.to_string(), "-mp", &media.to_string()])
            .args(["-key", "status", &status.to_string()])
            .args(["-timeout", "60s"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let phone = Self {
            sipp: process::spawn(sipp),
            address: format!("callee@127.0.0.1:{sip}"),
            _scenario: file,
        };
        let local = format!(":{sip:04X} ");
        poll::until("the telephone listens", poll::TIMEOUT, async || {
            let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
            sockets.contains(&local).then_some(())
        })
        .await;
        phone
    }

    /// Waits until it has taken its calls, each as in its scenario.
    async fn until_done(&mut self) {
        let status = poll::until("the telephone is done", poll::TIMEOUT, async || {
            self.sipp.try_wait().unwrap()
        })
        .await;
        assert!(status.success(), "the call was not as in the scenario");
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.sipp.kill();
        let _ = self.sipp.wait();
    }
}

impl World {
    /// Dials the phone with these fields. Returns the id.
    async fn dial(&self, room: &str, phone: &Phone, fields: Value) -> String {
        let mut body = fields;
        body["to"] = json!(phone.address);
        let path = format!("/conferences/{room}/calls");
        let answer = self.controller.ask("POST", &path, Some(&body)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.body["call_id"].as_str().unwrap().to_owned()
    }

    async fn until_ringing(&self, room: &str) -> ReceivedWebhook {
        self.receiver.first(room, "conference.call.ringing").await
    }

    /// The names of the room's webhooks about dial-outs and members.
    fn reported(&self, room: &str) -> Vec<String> {
        let all = self.receiver.delivered(room).into_iter();
        let names = all.map(|webhook| webhook.event().to_owned());
        let about = |name: &String| name.contains(".call.") || name.contains(".member.");
        names
            .filter(about)
            .map(|name| name.replace("conference.", ""))
            .collect()
    }

    async fn until_no_channel_is_left(&self) {
        poll::until("no channel is left", poll::TIMEOUT, async || {
            let count = self.fs("show channels count").await;
            count.trim().starts_with("0 total").then_some(())
        })
        .await;
    }

    async fn dials(&self, room: &str) -> Vec<Value> {
        let answer = self
            .controller
            .get(&format!("/conferences/{room}/calls"))
            .await;
        answer.body["calls"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callees_answer_refuse_or_do_not_answer() {
    let Some(node) = node().await else {
        return;
    };
    let world = world(&node).await;

    let room = world.room("answers").await;
    let mut phone = Phone::start("answers", 1, 0).await;
    let id = world
        .dial(&room, &phone, json!({"headers": {"X-Ticket": "a b:1/2"}, "from": "+4955", "caller_name": "Front desk 7", "muted": true}))
        .await;
    world.until_ringing(&room).await;
    let joined = world
        .receiver
        .first(&room, "conference.member.joined")
        .await;
    assert_eq!(joined.body["session_uuid"], *id);
    assert_eq!(joined.body["data"]["muted"], true);
    assert_eq!(joined.body["data"]["caller_id"], "+4955");
    assert_eq!(joined.body["data"]["did"], *phone.address);
    assert_eq!(
        world.reported(&room),
        ["call.ringing", "call.answered", "member.joined"]
    );
    assert!(world.dials(&room).await.is_empty());
    world.check_members(&room).await;
    let ended = world.command(&id, "hangup", &json!({})).await;
    assert_eq!(ended.status, 202, "{}", ended.body);
    world.receiver.first(&id, "call.hangup").await;
    phone.until_done().await;

    for (status, event, cause) in [
        (486, "busy", "USER_BUSY"),
        (480, "no_answer", "NO_USER_RESPONSE"),
        (404, "failed", "UNALLOCATED_NUMBER"),
        (603, "failed", "CALL_REJECTED"),
        (503, "failed", "NORMAL_TEMPORARY_FAILURE"),
    ] {
        let room = world.room(&format!("status-{status}")).await;
        let mut phone = Phone::start("refuses", 1, status).await;
        world.dial(&room, &phone, json!({})).await;
        let name = format!("conference.call.{event}");
        let data = world.receiver.first(&room, &name).await.body["data"].clone();
        assert_eq!(
            (&data["cause"], &data["sip_status"]),
            (&json!(cause), &json!(status))
        );
        assert_eq!(
            world.reported(&room),
            ["call.ringing", &format!("call.{event}")]
        );
        phone.until_done().await;
    }

    // A second attempt is a second call, and there is no third.
    let room = world.room("again").await;
    let mut phone = Phone::start("refuses", 2, 486).await;
    world
        .dial(&room, &phone, json!({"retries": 1, "retry_pause": 1}))
        .await;
    let last = world.receiver.nth(&room, "conference.call.busy", 2).await;
    assert_eq!(last.body["data"]["attempt"], 2);
    assert!(last.body["data"].get("retry_at").is_none());
    phone.until_done().await;

    let room = world.room("no-answer").await;
    let mut phone = Phone::start("rings", 1, 0).await;
    world.dial(&room, &phone, json!({"timeout": 2})).await;
    let over = world
        .receiver
        .first(&room, "conference.call.no_answer")
        .await;
    assert_eq!(over.body["data"]["cause"], "NO_ANSWER");
    phone.until_done().await;

    let room = world.room("cancelled").await;
    let mut phone = Phone::start("rings", 1, 0).await;
    let id = world.dial(&room, &phone, json!({"retries": 3})).await;
    world.until_ringing(&room).await;
    let path = format!("/conferences/{room}/calls/{id}");
    let listed = world.controller.get(&path).await;
    assert_eq!(listed.body["status"], "ringing", "{}", listed.body);
    let answer = world.controller.ask("DELETE", &path, None).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &json!("cancelling"))
    );
    world
        .receiver
        .first(&room, "conference.call.cancelled")
        .await;
    assert_eq!(world.controller.get(&path).await.status, 404);
    phone.until_done().await;

    // At once, before FreeSWITCH may have made the channel.
    let room = world.room("cancelled-at-once").await;
    let phone = Phone::start("rings", 1, 0).await;
    let id = world.dial(&room, &phone, json!({})).await;
    let path = format!("/conferences/{room}/calls/{id}");
    assert_eq!(
        world.controller.ask("DELETE", &path, None).await.status,
        202
    );
    world
        .receiver
        .first(&room, "conference.call.cancelled")
        .await;

    let room = world.room("ends").await;
    let mut phone = Phone::start("rings", 1, 0).await;
    world.dial(&room, &phone, json!({})).await;
    world.until_ringing(&room).await;
    let ended = world
        .controller
        .ask("DELETE", &format!("/conferences/{room}"), None)
        .await;
    assert_eq!(ended.status, 200);
    world.receiver.first(&room, "conference.destroyed").await;
    assert_eq!(world.reported(&room), ["call.ringing", "call.cancelled"]);
    phone.until_done().await;

    world.until_no_channel_is_left().await;
    world.receiver.check_sequences();
    say(
        "Callees answer, are busy, refuse, do not answer, and are cancelled, with the SIP status of each.\n",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn controller_killed_while_a_callee_rings_forgets_and_repeats_no_call() {
    let Some(node) = node().await else {
        return;
    };
    let mut world = world(&node).await;
    // The callee answers while no controller runs.
    let room = world.room("answers-meanwhile").await;
    let mut phone = Phone::start("answers_late", 1, 0).await;
    let id = world
        .dial(&room, &phone, json!({"retries": 2, "retry_pause": 1}))
        .await;
    world.until_ringing(&room).await;
    world.controller.kill();
    poll::until("the callee is in the room", poll::TIMEOUT, async || {
        let list = node.api(&format!("conference {room} list count")).await;
        list.trim().starts_with('1').then_some(())
    })
    .await;
    world.controller.start_again();
    let joined = world
        .receiver
        .first(&room, "conference.member.joined")
        .await;
    assert_eq!(joined.body["session_uuid"], *id);
    assert_eq!(
        world.reported(&room),
        ["call.ringing", "call.answered", "member.joined"]
    );
    world.check_members(&room).await;
    let channels = world.fs("show channels count").await;
    assert!(channels.trim().starts_with("1 total"), "{channels}");
    let ended = world.command(&id, "hangup", &json!({})).await;
    assert_eq!(ended.status, 202, "{}", ended.body);
    phone.until_done().await;
    world.until_no_channel_is_left().await;

    // The callee refuses meanwhile. It may have answered, so it is not called again.
    let room = world.room("refuses-meanwhile").await;
    let mut phone = Phone::start("refuses", 1, 486).await;
    world
        .dial(&room, &phone, json!({"retries": 2, "retry_pause": 1}))
        .await;
    world.until_ringing(&room).await;
    world.controller.kill();
    phone.until_done().await;
    world.controller.start_again();
    let over = world.receiver.first(&room, "conference.call.failed").await;
    assert_eq!(over.body["data"]["cause"], "UNKNOWN");
    assert!(over.synthesized());
    assert!(over.body["data"].get("retry_at").is_none());

    // It still rings when the next controller begins.
    let room = world.room("rings-on").await;
    let mut phone = Phone::start("rings", 1, 0).await;
    let id = world.dial(&room, &phone, json!({})).await;
    world.until_ringing(&room).await;
    world.kill_and_start_again();
    world.controller.until_synced().await;
    assert_eq!(world.dials(&room).await.len(), 1);
    let path = format!("/conferences/{room}/calls/{id}");
    assert_eq!(
        world.controller.ask("DELETE", &path, None).await.status,
        202
    );
    world
        .receiver
        .first(&room, "conference.call.cancelled")
        .await;
    phone.until_done().await;
    world.until_no_channel_is_left().await;
    world.receiver.check_sequences();
    say(
        "A controller killed while a callee rings finds its answer, or its end, and calls nobody twice.\n",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn freeswitch_killed_while_a_callee_rings_ends_the_dial_out() {
    let Some(mut node) = node().await else {
        return;
    };
    let world = world(&node).await;
    let room = world.room("node-dies").await;
    let phone = Phone::start("rings", 1, 0).await;
    world
        .dial(&room, &phone, json!({"retries": 2, "retry_pause": 1}))
        .await;
    world.until_ringing(&room).await;
    node.kill();
    node.start_again().await;
    let over = world.receiver.first(&room, "conference.call.failed").await;
    assert_eq!(over.body["data"]["cause"], "UNKNOWN");
    assert!(over.synthesized());
    assert!(world.dials(&room).await.is_empty());
    // The callee's telephone rings on by itself, but nobody calls it again.
    tokio::time::timeout(Duration::from_secs(60), world.until_no_channel_is_left())
        .await
        .expect("there is no second call");
    // The node makes calls again.
    let mut phone = Phone::start("refuses", 1, 486).await;
    world.dial(&room, &phone, json!({})).await;
    world.receiver.first(&room, "conference.call.busy").await;
    phone.until_done().await;
    world.receiver.check_sequences();
    say(
        "FreeSWITCH killed while a callee rings: the dial-out has failed, and there is no second call.\n",
    );
}
