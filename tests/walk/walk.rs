//! One call's walk through one room, step by step.
//!
//! Each step is a request and its expected results, in two functions, so that a fault can occur in between.

use std::time::Instant;

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::program::switch::{DID, PlacedCall, Switch};
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::support::redis::{Cluster, Passwords, RedisServer, Sentinels};
use crate::support::tls::{Authority, LOCAL, ServerTls};

pub const CALLER: &str = "527121100";
pub const ROOM: &str = "walk";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    CallIn,
    Create,
    Join,
    List,
    Unmute,
    Mute,
    Leave,
    HangUp,
    Delete,
    NotFound,
}

pub const STEPS: [Step; 10] = [
    Step::CallIn,
    Step::Create,
    Step::Join,
    Step::List,
    Step::Unmute,
    Step::Mute,
    Step::Leave,
    Step::HangUp,
    Step::Delete,
    Step::NotFound,
];

/// One row of the table that a walk on a real server prints.
pub struct Row {
    pub step: Step,
    pub result: String,
    pub millis: u128,
}

/// The progress of a walk.
pub struct Walk {
    placed: Option<PlacedCall>,
    pub session: String,
    pub room: String,
    /// The dialled number in the first webhook.
    did: String,
    caller: String,
    pub rows: Vec<Row>,
    start: Instant,
    result: String,
}

impl Walk {
    pub fn new() -> Self {
        Self {
            placed: None,
            session: String::new(),
            room: String::new(),
            did: String::new(),
            caller: String::new(),
            rows: Vec::new(),
            start: Instant::now(),
            result: String::new(),
        }
    }

    pub async fn step(&mut self, world: &World, step: Step) {
        self.request(world, step).await;
        self.confirm(world, step).await;
    }

    fn note(&mut self, what: impl Into<String>) {
        if !self.result.is_empty() {
            self.result.push_str("; ");
        }
        self.result.push_str(&what.into());
    }

    fn note_answer(&mut self, answer: &Answer) {
        let compact = answer.body.to_string().replace(&self.room, "<room>");
        self.note(format!("{} {compact}", answer.status));
    }

    /// Sends the step's request, and checks the answer.
    pub async fn request(&mut self, world: &World, step: Step) {
        self.start = Instant::now();
        self.result.clear();
        match step {
            Step::CallIn => {
                let placed = world.switch.place_call(CALLER, PASSWORD).await;
                if let PlacedCall::Channel(channel) = &placed {
                    self.session = world.call_id(channel);
                }
                self.placed = Some(placed);
            }
            Step::Create => {
                let body = json!({ "name": ROOM });
                let answer = world
                    .controller
                    .ask("POST", "/conferences", Some(&body))
                    .await;
                assert_eq!(answer.status, 201, "{}", answer.body);
                self.room = answer.body["room_id"].as_str().unwrap().to_owned();
                assert!(self.room.starts_with(&format!("{}-room-", world.node)));
                assert_eq!(answer.body, json!({ "room_id": self.room }));
                self.note_answer(&answer);
            }
            Step::Join => {
                let body = json!({ "room_id": self.room, "command_uid": "walk-join" });
                self.command(world, "conference/join", body, "joining")
                    .await;
            }
            Step::List => {
                let path = format!("/conferences/{}/members", self.room);
                let answer = world.controller.get(&path).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let row = json!({
                    "uuid": self.session,
                    "did": self.did,
                    "caller_id": self.caller,
                    "muted": true,
                    "joined_at": answer.body["members"][0]["joined_at"],
                });
                assert!(row["joined_at"].is_string(), "{}", answer.body);
                assert_eq!(
                    answer.body,
                    json!({ "room_id": self.room, "members": [row], "cursor": "" })
                );
                self.note_answer(&answer);
            }
            Step::Unmute => {
                let body = json!({ "command_uid": "walk-unmute" });
                self.command(world, "conference/unmute", body, "unmuted")
                    .await;
            }
            Step::Mute => {
                let body = json!({ "command_uid": "walk-mute" });
                self.command(world, "conference/mute", body, "muted").await;
            }
            Step::Leave => {
                let body = json!({ "command_uid": "walk-leave" });
                self.command(world, "conference/leave", body, "leaving")
                    .await;
            }
            Step::HangUp => {
                let answer = world
                    .command(
                        &self.session,
                        "hangup",
                        &json!({ "cause": "NORMAL_CLEARING" }),
                    )
                    .await;
                assert_eq!(answer.status, 202, "{}", answer.body);
                assert_eq!(answer.body["status"], "in_progress");
                assert!(answer.body["operation_id"].is_string());
                self.note(format!("{} in_progress", answer.status));
            }
            Step::Delete => {
                let path = format!("/conferences/{}", self.room);
                let answer = world.controller.ask("DELETE", &path, None).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                assert_eq!(answer.body, json!({ "room_id": self.room }));
                self.note_answer(&answer);
            }
            Step::NotFound => {
                let room = format!("/conferences/{}", self.room);
                let session = format!("/sessions/{}", self.session);
                let join = json!({ "room_id": self.room });
                for (method, path, body) in [
                    ("GET", room.clone(), None),
                    ("GET", format!("{room}/members"), None),
                    ("DELETE", room, None),
                    ("GET", session.clone(), None),
                    (
                        "POST",
                        format!("{session}/commands/conference/join"),
                        Some(&join),
                    ),
                    ("POST", format!("{session}/commands/conference/leave"), None),
                    ("POST", format!("{session}/commands/hangup"), None),
                ] {
                    let answer = world.controller.ask(method, &path, body).await;
                    assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
                    assert_eq!(answer.body["success"], false, "{}", answer.body);
                    assert!(answer.body["error"].is_string(), "{}", answer.body);
                }
                self.note("404 on room, members, delete, session, join, leave, hangup");
            }
        }
    }

    async fn command(&mut self, world: &World, what: &str, body: Value, status: &str) {
        let answer = world.command(&self.session, what, &body).await;
        assert_eq!(answer.status, 202, "{what}: {}", answer.body);
        assert_eq!(
            answer.body,
            json!({ "status": status, "room_id": self.room }),
            "{what}"
        );
        self.note_answer(&answer);
    }

    /// Waits for the step's results, and checks the state.
    pub async fn confirm(&mut self, world: &World, step: Step) {
        match step {
            Step::CallIn => {
                let placed = self.placed.take().expect("a call was placed");
                self.session = world.placed_call_id(&placed).await;
                let new = world.receiver.first(&self.session, "call.new").await;
                self.did = new.body["data"]["did"].as_str().unwrap().to_owned();
                self.caller = new.body["data"]["caller_id"].as_str().unwrap().to_owned();
                if matches!(world.switch, Switch::Sim(_)) {
                    assert_eq!((self.did.as_str(), self.caller.as_str()), (DID, CALLER));
                    assert_eq!(new.body["data"]["direction"], "inbound");
                }
                self.note(format!(
                    "call.new did={} caller_id={}",
                    self.did, self.caller
                ));
                self.check_state(world, "parked", false).await;
            }
            Step::Create => {
                self.until_webhook(world, "conference.created").await;
                let path = format!("/conferences/{}", self.room);
                let answer = world.controller.get(&path).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                assert_eq!(answer.body["name"], ROOM);
                assert_eq!(answer.body["members"], 0);
            }
            Step::Join => {
                self.until_webhook(world, "conference.member.joined").await;
                self.check_state(world, "in_room", true).await;
                self.check_speaks(world, false).await;
            }
            Step::List | Step::NotFound => {}
            Step::Unmute => {
                self.until_webhook(world, "conference.member.unmuted").await;
                self.check_speaks(world, true).await;
            }
            Step::Mute => {
                self.until_webhook(world, "conference.member.muted").await;
                self.check_speaks(world, false).await;
            }
            Step::Leave => {
                self.until_webhook(world, "conference.member.left").await;
                // `left` is reported before the call has arrived in park.
                let parked = ("parked".to_owned(), None);
                poll::until("the call is parked again", poll::TIMEOUT, async || {
                    (world.call_state(&self.session).await == parked).then_some(())
                })
                .await;
                world.switch.until_members(PASSWORD, &self.room, &[]).await;
            }
            Step::HangUp => {
                let hangup = world.receiver.first(&self.session, "call.hangup").await;
                self.note(format!("call.hangup {}", hangup.body["data"]));
                let exists = format!("uuid_exists {}", world.channel(&self.session));
                poll::until("FreeSWITCH has no such call", poll::TIMEOUT, async || {
                    (world.fs(&exists).await == "false").then_some(())
                })
                .await;
            }
            Step::Delete => self.until_webhook(world, "conference.destroyed").await,
        }
        self.rows.push(Row {
            step,
            result: std::mem::take(&mut self.result),
            millis: self.start.elapsed().as_millis(),
        });
    }

    async fn until_webhook(&mut self, world: &World, event: &str) {
        let got = world.receiver.first(&self.room, event).await;
        self.note(format!("{event} {}", got.body["data"]));
    }

    /// Checks the call's state in the API. A webhook follows a commit, so the API has it at once.
    async fn check_state(&self, world: &World, state: &str, in_room: bool) {
        let room = in_room.then(|| self.room.clone());
        assert_eq!(
            world.call_state(&self.session).await,
            (state.to_owned(), room)
        );
    }

    /// Checks the member's speak flag in FreeSWITCH and in the API.
    async fn check_speaks(&self, world: &World, speaks: bool) {
        let channel = world.channel(&self.session).to_owned();
        world
            .switch
            .until_members(PASSWORD, &self.room, &[(&channel, speaks)])
            .await;
        world.check_members(&self.room).await;
    }

    /// Checks that each webhook of a whole walk was received exactly once. Returns the number of synthesized ones.
    pub fn check_all_webhooks(&self, world: &World) -> usize {
        world.receiver.check_sequences();
        let member = json!({ "did": self.did, "caller_id": self.caller, "muted": true });
        let uid = |uid: &str| json!({ "command_uid": uid });
        let left = json!({ "reason": "removed", "command_uid": "walk-leave" });
        let expected = [
            ("conference.created", json!({ "name": ROOM }), false),
            (
                "conference.member.joined",
                merged(member, uid("walk-join")),
                true,
            ),
            ("conference.member.unmuted", uid("walk-unmute"), true),
            ("conference.member.muted", uid("walk-mute"), true),
            ("conference.member.left", left, true),
            ("conference.destroyed", json!({}), false),
        ];
        let mut synthesized = 0;
        let webhooks = world.receiver.delivered(&self.room);
        let names: Vec<&str> = webhooks.iter().map(|got| got.event()).collect();
        assert_eq!(names, expected.each_ref().map(|(name, ..)| *name));
        for (got, (_, data, of_call)) in webhooks.iter().zip(&expected) {
            let mut found = got.body["data"].clone();
            let object = found.as_object_mut().unwrap();
            synthesized += usize::from(object.remove("synthesized").is_some());
            if got.event() == "conference.member.joined" {
                assert!(object.remove("conferencecall_id").is_some());
            }
            assert_eq!(found, *data, "{}", got.body);
            assert_eq!(got.body["app_id"], *world.app);
            let session = if *of_call {
                json!(self.session)
            } else {
                Value::Null
            };
            assert_eq!(got.body["session_uuid"], session, "{}", got.body);
        }
        let calls = world.receiver.delivered(&self.session);
        let names: Vec<&str> = calls.iter().map(|got| got.event()).collect();
        assert_eq!(names, ["call.new", "call.hangup"]);
        for got in &calls {
            synthesized += usize::from(got.synthesized());
            assert_eq!(got.body["room_id"], Value::Null, "{}", got.body);
        }
        if !calls[1].synthesized() {
            assert_eq!(calls[1].body["data"]["cause"], "NORMAL_CLEARING");
        }
        synthesized
    }
}

fn merged(mut a: Value, b: Value) -> Value {
    let more = b.as_object().unwrap().clone();
    a.as_object_mut().unwrap().extend(more);
    a
}

async fn on(store: Store) {
    take(Setup::on(store)).await;
}

async fn take(setup: Setup) {
    let world = setup.start().await;
    let ready = world.controller.until_ready().await;
    assert_eq!(ready["status"], "ready");
    world.controller.until_synced().await;
    let mut walk = Walk::new();
    for step in STEPS {
        walk.step(&world, step).await;
    }
    let synthesized = walk.check_all_webhooks(&world);
    assert_eq!(synthesized, 0, "no webhook was synthesized from a snapshot");
    assert_eq!(world.receiver.all().len(), 8, "each was delivered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn walk_succeeds_in_memory() {
    on(Store::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn walk_succeeds_on_redis() {
    on(Store::Redis).await;
}

/// The servers have no port without TLS, so a controller that connects in clear text cannot start.
#[tokio::test(flavor = "multi_thread")]
async fn walk_succeeds_over_tls() {
    let tls = Authority::new().server(LOCAL);
    let server = RedisServer::start_tls(None, &tls).await;
    over_tls(server.url(), &tls).await;
    let sentinels = Sentinels::start_tls(1, Passwords::default(), &tls, &tls).await;
    sentinels.disable_failure_detection().await;
    over_tls(sentinels.url(), &tls).await;
    let cluster = Cluster::start_tls(None, &tls).await;
    over_tls(cluster.url(), &tls).await;
}

async fn over_tls(url: String, tls: &ServerTls) {
    assert!(url.starts_with("rediss"), "{url}");
    take(Setup {
        store_url: Some(url),
        environment: tls.environment(),
        ..Setup::on(Store::Memory)
    })
    .await;
}
