//! The setup of the tests of malicious tenants: the program, and a node behind a recorder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use freeswitch_sim::core::InboundCall;
use freeswitch_sim::{SimConfig, SimNode};
use serde_json::{Value, json};

use super::http::{Answer, Raw};
use super::recorder::Recorder;
use super::wire::{self, Form, Known};
use crate::program::controller::{Controller, KEY};
use crate::program::poll;
use crate::program::switch::DID;

pub const NODE: &str = "acW68";
pub const DEMO: (&str, &str) = ("demo", KEY);
pub const OTHER: (&str, &str) = ("other", "other-key");
pub const OTHER_DID: &str = "747713002";
const PASSWORD: &str = "hostile-password";

/// The program, a recorder and a node. Fields are dropped in this order, so that each client ends before its server.
pub struct Stage {
    controller: Controller,
    recorder: Recorder,
    pub sim: SimNode,
    known: Mutex<Known>,
}

impl Stage {
    pub async fn start(hide_foreign: bool) -> Self {
        let mut config = SimConfig::default();
        config.node.password = PASSWORD.to_owned();
        let sim = SimNode::start(config).await.unwrap();
        let recorder = Recorder::before(sim.addr).await;
        let (other, other_key) = OTHER;
        let rest = format!(
            r#"hide_foreign = {hide_foreign}
[store]
url = "memory:"
[play]
allow_hosts = ["127.0.0.1"]
allow_private = true
[dial]
number = "sofia/gateway/trunk/${{number}}"
address = "sofia/external/${{address}}"
max_per_app = 1000
[[dial.allow]]
app = "*"
numbers = ["*"]
domains = ["127.0.0.1", "a"]
contexts = ["desk"]
[fleet]
resync_interval = 600
[limits]
app_rate = 0
cooldowns = false
[[nodes]]
id = "{NODE}"
address = "{}"
password = "{PASSWORD}"
[[apps]]
id = "demo"
api_key = "{KEY}"
dids = ["{DID}"]
[[apps]]
id = "{other}"
api_key = "{other_key}"
dids = ["{OTHER_DID}"]
"#,
            recorder.address
        );
        let controller = Controller::start("demo", &rest);
        let stage = Self {
            controller,
            recorder,
            sim,
            known: Mutex::new(Known {
                password: PASSWORD.to_owned(),
                ..Known::default()
            }),
        };
        stage.controller.until_synced().await;
        stage
    }

    /// Returns the controller's OpenAPI document, whose operations contain their shared parameters.
    pub async fn document(&self) -> Value {
        let answer = self.send(&Raw::new("GET", "/openapi.json", DEMO)).await;
        assert_eq!(answer.status, 200);
        let mut document = answer.json();
        let components = document["components"].clone();
        let items = document["paths"].as_object_mut().unwrap().values_mut();
        for operation in items.flat_map(|item| item.as_object_mut().unwrap().values_mut()) {
            let parameters = operation
                .get_mut("parameters")
                .and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                if let Some(reference) = parameter["$ref"].as_str() {
                    let shared = reference.strip_prefix("#/components").unwrap();
                    *parameter = components.pointer(shared).unwrap().clone();
                }
            }
        }
        document
    }

    /// Sends the request, and notes the ids in the answer.
    pub async fn send(&self, request: &Raw) -> Answer {
        let answer = request.send(self.controller.http()).await;
        let json = answer.json();
        if answer.status < 300 {
            let mut known = self.known.lock().unwrap();
            if let Some(operation) = json["operation_id"].as_str() {
                known.operations.insert(operation.to_owned());
            }
            if let (Some(session), Some(_)) = (json["session_uuid"].as_str(), json.get("call_id")) {
                let channel = session.strip_prefix(&format!("{NODE}-")).unwrap();
                known.channels.insert(channel.to_owned());
            }
            if let (Some(id), Some(_)) =
                (json["id"].as_str(), json["conferencecall_ids"].as_array())
            {
                known.rooms.insert(format!("{NODE}-room-{id}"));
                known
                    .names
                    .insert(json["name"].as_str().unwrap().to_owned());
            }
            if let (201, Some(room)) = (answer.status, json["room_id"].as_str()) {
                known.rooms.insert(room.to_owned());
                let body: Value =
                    serde_json::from_slice(request.body.as_deref().unwrap_or_default()).unwrap();
                let name = body["name"].as_str().unwrap();
                known.names.insert(name.to_owned());
            }
        }
        answer
    }

    /// Sends an app's request, and checks the status.
    pub async fn ask(
        &self,
        app: (&str, &str),
        method: &str,
        path: &str,
        body: Option<&Value>,
        status: u16,
    ) -> Value {
        let mut request = Raw::new(method, format!("/api/v1{path}"), app);
        request.body = body.map(|body| body.to_string().into_bytes());
        let answer = self.send(&request).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        answer.json()
    }

    /// Permits this hang-up cause in commands.
    pub fn with_cause(&self, cause: &str) {
        let mut known = self.known.lock().unwrap();
        known.causes.insert(cause.to_owned());
    }

    /// Permits this spoken text in commands.
    pub fn with_text(&self, text: &str) {
        let mut known = self.known.lock().unwrap();
        known
            .texts
            .insert(text.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    /// Permits this channel, which the node reports, in commands.
    pub fn with_channel(&self, channel: &str) {
        let mut known = self.known.lock().unwrap();
        known.channels.insert(channel.to_owned());
    }

    /// Places a call, answered or not, waits until the app sees it, and returns its session id.
    pub async fn call(&self, app: (&str, &str), call: InboundCall) -> String {
        let call_is_answered = call.plan.is_empty();
        let channel = self.sim.call_in_with(call);
        self.with_channel(&channel);
        let session = format!("{NODE}-{channel}");
        let path = format!("/api/v1/sessions/{session}");
        let state = if call_is_answered {
            "parked"
        } else {
            "ringing"
        };
        poll::until("the call is known", poll::TIMEOUT, async || {
            let answer = self.send(&Raw::new("GET", path.clone(), app)).await;
            (answer.json()["state"] == state).then_some(())
        })
        .await;
        session
    }

    pub async fn room(&self, app: (&str, &str), name: &str) -> String {
        let body = json!({ "name": name });
        let answer = self
            .ask(app, "POST", "/conferences", Some(&body), 201)
            .await;
        answer["room_id"].as_str().unwrap().to_owned()
    }

    /// Brings the call into the room, and waits until it is there.
    pub async fn join(&self, app: (&str, &str), session: &str, room: &str) {
        let body = json!({ "room_id": room });
        let path = format!("/sessions/{session}/commands/conference/join");
        self.ask(app, "POST", &path, Some(&body), 202).await;
        self.until_state(app, session, "in_room").await;
    }

    pub async fn until_state(&self, app: (&str, &str), session: &str, state: &str) {
        let path = format!("/sessions/{session}");
        let what = format!("the call is {state}");
        poll::until(&what, poll::TIMEOUT, async || {
            let answer = self.ask(app, "GET", &path, None, 200).await;
            (answer["state"] == state).then_some(())
        })
        .await;
    }

    /// Checks that every recorded command has a known form; returns the number of each form.
    pub fn check(&self) -> BTreeMap<Form, usize> {
        let known = self.known.lock().unwrap();
        let mut forms = BTreeMap::new();
        for sent in self.recorder.sent() {
            for command in wire::commands(&sent) {
                *forms.entry(wire::form(&command, &known)).or_default() += 1;
            }
        }
        forms
    }

    /// Waits until a command that contains this text was sent.
    pub async fn until_sent(&self, text: &str) {
        poll::until(text, poll::TIMEOUT, async || {
            let sent = self.recorder.sent();
            let mut commands = sent.iter().flat_map(|sent| wire::commands(sent));
            commands.any(|command| command.contains(text)).then_some(())
        })
        .await;
    }

    /// Sends one good command of every form that a tenant of the gateway API can cause, so that the record is not empty.
    pub async fn send_every_form(&self) {
        let ringing = InboundCall {
            did: DID.to_owned(),
            plan: vec![("park".to_owned(), String::new())],
            ..InboundCall::default()
        };
        let call = self.call(DEMO, ringing).await;
        let room = self.room(DEMO, "everything").await;
        let command = async |what: &str, body: Value| {
            let path = format!("/sessions/{call}/commands/{what}");
            self.ask(DEMO, "POST", &path, Some(&body), 202).await
        };
        let control = async |what: &str, body: Value| {
            let path = format!("/conferences/{room}/{what}");
            self.ask(DEMO, "POST", &path, Some(&body), 202).await
        };
        command("answer", json!({})).await;
        self.until_state(DEMO, &call, "parked").await;
        self.join(DEMO, &call, &room).await;
        command("conference/unmute", json!({})).await;
        let path = format!("/conferences/{room}/members");
        poll::until("the member is unmuted", poll::TIMEOUT, async || {
            let members = self.ask(DEMO, "GET", &path, None, 200).await;
            (members["members"][0]["muted"] == false).then_some(())
        })
        .await;
        command("conference/mute", json!({})).await;
        control(&format!("members/{call}/deaf"), json!({})).await;
        poll::until("the member is deaf", poll::TIMEOUT, async || {
            let members = self.ask(DEMO, "GET", &path, None, 200).await;
            (members["members"][0]["deaf"] == true).then_some(())
        })
        .await;
        control(&format!("members/{call}/undeaf"), json!({})).await;
        let number =
            json!({"to": "+49301", "caller_name": "Front desk", "headers": {"X-A": "b c"}});
        control("calls", number).await;
        self.until_sent("sofia/gateway/trunk/+49301").await;
        let music = json!({ "music_url": "http://127.0.0.1/music.wav" });
        control(&format!("members/{call}/hold"), music).await;
        self.until_sent("music.wav").await;
        let urls = json!({ "urls": ["http://127.0.0.1/good.wav"] });
        let playing = control(&format!("members/{call}/play"), urls).await;
        self.until_sent(playing["operation_id"].as_str().unwrap())
            .await;
        let odd = json!({ "text": "don't say \\' \"it\"" });
        control(&format!("members/{call}/say"), odd).await;
        self.until_sent("|kal|don\u{2019}t say  \u{2019} \"it\"' uuid=")
            .await;
        control(&format!("members/{call}/stop"), json!({})).await;
        control(&format!("members/{call}/unhold"), json!({})).await;
        control("recording/start", json!({})).await;
        self.until_sent(" recording start ").await;
        control(&format!("members/{call}/recording/start"), json!({})).await;
        self.until_sent("uuid_record ").await;
        let files = vec!["http://127.0.0.1/good.wav"; 60];
        control("play", json!({ "urls": files })).await;
        // A volume that is set before the file is open goes with the file.
        poll::until("a volume was sent", poll::TIMEOUT, async || {
            control("volume", json!({"volume": -7})).await;
            self.check().contains_key(&Form::Volume).then_some(())
        })
        .await;
        control("stop", json!({})).await;
        let odd = json!({ "text": "don't say it to all" });
        control("say", odd).await;
        self.until_sent("|kal|don\u{2019}t say it to all'").await;
        control("stop", json!({})).await;
        let playing = control("play", json!({"urls": ["http://127.0.0.1/good.wav"]})).await;
        self.until_sent(playing["operation_id"].as_str().unwrap())
            .await;
        let path = format!("/api/v1/conferences/{room}/pause");
        let pause = Raw::new("POST", path, DEMO);
        poll::until("the file can be paused", poll::TIMEOUT, async || {
            (self.send(&pause).await.status == 202).then_some(())
        })
        .await;
        command("dtmf", json!({ "digits": "1w#", "duration_ms": 100 })).await;
        let prompt = json!({ "max_digits": 4, "prompt_text": "don't say \\ it" });
        command("gather", prompt).await;
        self.until_sent("don\\\\'t\\ssay\\s\\s\\sit").await;
        control(&format!("members/{call}/gather/stop"), json!({})).await;
        self.until_sent("uuid_recv_dtmf ").await;
        command("conference/leave", json!({})).await;
        self.until_state(DEMO, &call, "parked").await;
        let transfer = json!({ "to": "+4930", "from": "+49", "caller_name": "Front desk 7" });
        command("transfer", transfer).await;
        self.until_sent("roomkeeper_leg=").await;
        self.until_state(DEMO, &call, "parked").await;
        let pin = json!({ "pin": "1234", "pin_prompt_text": "the 'PIN' \\" });
        let closed = self.room(DEMO, "closed").await;
        let path = format!("/conferences/{closed}");
        self.ask(DEMO, "PATCH", &path, Some(&pin), 202).await;
        command("conference/join", json!({ "room_id": closed })).await;
        self.until_sent("the\\s\\\\'PIN\\\\'\\s\\s").await;
        let path = format!("/conferences/{closed}/members/{call}/kick");
        self.ask(DEMO, "POST", &path, None, 202).await;
        self.until_state(DEMO, &call, "parked").await;
        self.with_cause("USER_BUSY");
        command("hangup", json!({"cause": "USER_BUSY"})).await;
        let seen: BTreeSet<Form> = self.check().into_keys().collect();
        for form in [
            Form::Connection,
            Form::Prepare,
            Form::Enter,
            Form::Park,
            Form::Mute,
            Form::Unmute,
            Form::Deaf,
            Form::Undeaf,
            Form::Hold,
            Form::Unhold,
            Form::MemberPlay,
            Form::MemberSay,
            Form::MemberStop,
            Form::Describe,
            Form::Play,
            Form::Say,
            Form::Pause,
            Form::Stop,
            Form::Volume,
            Form::RecordMember,
            Form::Answer,
            Form::Kill,
            Form::Record,
            Form::Transfer,
            Form::Gather,
            Form::StopGather,
            Form::Dtmf,
        ] {
            assert!(seen.contains(&form), "{form:?} was not recorded");
        }
    }
}
