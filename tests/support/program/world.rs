//! The environment of a test: the controller, its store, a node, a webhook receiver.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::controller::{Answer, Controller, KEY};
use super::poll;
use super::receiver::{Receiver, SECRET};
use super::switch::{DID, PlacedCall, Switch};
use crate::support::redis::RedisServer;

/// The simulated node's password.
pub const PASSWORD: &str = "walk-password";

/// The kind of store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    Memory,
    Redis,
    /// A Redis that has every write on disk before it answers.
    DurableRedis,
}

/// The settings of a test's world.
pub struct Setup {
    pub store: Store,
    /// The URL of an existing store, instead of a server of the world.
    pub store_url: Option<String>,
    /// The password that the controller uses for the node.
    pub password: String,
    /// The store's timeout in milliseconds: at most a third of `lease_ttl`.
    pub store_timeout: u32,
    /// In seconds, like `resync_interval`.
    pub lease_ttl: u32,
    pub resync_interval: u32,
    pub command_timeout: u32,
    pub lost_after: u32,
    /// Enables cooldowns. Most walks disable them to run without pauses.
    pub cooldowns: bool,
    /// Requests per second of each app; 0 disables the limit.
    pub app_rate: u32,
    /// The time limit for a file of an action, in seconds.
    pub action_timeout: u32,
    /// The directory of recordings, instead of the world's own.
    pub recordings: Option<PathBuf>,
    /// Allows audio from this machine.
    pub play_private: bool,
    /// Additional lines of `[play]`.
    pub play: String,
    /// True if the app wants webhooks.
    pub webhooks: bool,
    /// The address at which the controller connects to the node, for example a proxy.
    pub node_address: Option<SocketAddr>,
    /// Additional nodes, by id and address, with the simulated node's password.
    pub more_nodes: Vec<(String, SocketAddr)>,
    /// Additional apps, by id and key.
    pub more_apps: Vec<(String, String)>,
    /// The controller's environment variables.
    pub environment: Vec<(String, String)>,
}

impl Setup {
    /// Default settings. Timeouts are long, so that a busy machine does not look like a lost store.
    pub fn on(store: Store) -> Self {
        Self {
            store,
            password: PASSWORD.to_owned(),
            store_timeout: 10_000,
            lease_ttl: 30,
            // Long enough that no test depends on it by accident.
            resync_interval: 600,
            command_timeout: 5,
            lost_after: 120,
            cooldowns: false,
            app_rate: 0,
            action_timeout: 300,
            recordings: None,
            play_private: true,
            play: String::new(),
            webhooks: true,
            node_address: None,
            more_nodes: Vec::new(),
            more_apps: Vec::new(),
            store_url: None,
            environment: Vec::new(),
        }
    }

    /// Default settings with a short store timeout and lease, for tests that lose the store or the controller.
    pub fn with_short_timeouts(store: Store) -> Self {
        Self {
            store_timeout: 1_000,
            lease_ttl: 3,
            ..Self::on(store)
        }
    }

    /// Starts the world with a simulated node.
    pub async fn start(self) -> World {
        let switch = Switch::simulated(PASSWORD).await;
        self.start_with(switch).await
    }

    pub async fn start_with(self, switch: Switch) -> World {
        let redis = match self.store {
            Store::Memory => None,
            Store::Redis => Some(RedisServer::start().await),
            Store::DurableRedis => Some(RedisServer::start_durable().await),
        };
        let receiver = Receiver::start().await;
        // A unique id, so that another controller on the same real server has other rooms.
        let node: String = uuid::Uuid::new_v4().simple().to_string()[..5].to_owned();
        let (app, password) = match &switch {
            Switch::Sim(_) => ("demo".to_owned(), self.password.clone()),
            Switch::Real { app, server, .. } => (app.clone(), server.password.clone()),
        };
        let recordings = tempfile::tempdir().unwrap();
        // A real server may run as another user.
        fs::set_permissions(recordings.path(), Permissions::from_mode(0o777)).unwrap();
        let directory = self
            .recordings
            .unwrap_or_else(|| recordings.path().to_owned());
        let store = self.store_url.unwrap_or_else(|| {
            redis
                .as_ref()
                .map_or_else(|| "memory:".to_owned(), RedisServer::url)
        });
        let mut config = format!(
            r#"
[store]
url = "{store}"
timeout_ms = {}
[webhooks]
allow_http = true
allow_private = true
[play]
allow_private = {}
{}
[conference]
action_timeout = {}
[speech]
voices = ["slt", "nobody"]
[recording]
directory = "{}"
[fleet]
lease_ttl = {}
resync_interval = {}
command_timeout = {}
lost_after = {}
[limits]
app_rate = {}
cooldowns = {}
[[nodes]]
id = "{node}"
address = "{}"
password = "{password}"
[[apps]]
id = "{app}"
api_key = "{KEY}"
dids = ["{DID}"]
"#,
            self.store_timeout,
            self.play_private,
            self.play,
            self.action_timeout,
            directory.display(),
            self.lease_ttl,
            self.resync_interval,
            self.command_timeout,
            self.lost_after,
            self.app_rate,
            self.cooldowns,
            self.node_address.unwrap_or_else(|| switch.address()),
        );
        if self.webhooks {
            write!(
                config,
                "[[apps.webhooks]]\nurl = \"{}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\n",
                receiver.url
            )
            .unwrap();
        }
        for (id, key) in &self.more_apps {
            write!(config, "[[apps]]\nid = \"{id}\"\napi_key = \"{key}\"\n").unwrap();
        }
        for (id, address) in &self.more_nodes {
            write!(
                config,
                "[[nodes]]\nid = \"{id}\"\naddress = \"{address}\"\npassword = \"{PASSWORD}\"\n"
            )
            .unwrap();
        }
        let controller = Controller::start_with_env(&app, &config, self.environment);
        World {
            controller,
            receiver,
            redis,
            switch,
            node,
            app,
            config,
            directory,
            _recordings: recordings,
        }
    }
}

/// The running parts. Fields are dropped in this order, so that no part uses one that has ended.
pub struct World {
    pub controller: Controller,
    pub receiver: Receiver,
    pub redis: Option<RedisServer>,
    pub switch: Switch,
    pub node: String,
    pub app: String,
    config: String,
    directory: PathBuf,
    _recordings: tempfile::TempDir,
}

impl World {
    /// Kills the controller and starts it again.
    pub fn kill_and_start_again(&mut self) {
        self.controller.kill();
        self.controller.start_again();
    }

    /// Starts another controller on the same store and nodes. `change` edits its configuration.
    pub fn replica(
        &self,
        change: impl FnOnce(String) -> String,
        environment: Vec<(String, String)>,
    ) -> Controller {
        Controller::start_with_env(&self.app, &change(self.config.clone()), environment)
    }

    /// FreeSWITCH's number of a member.
    pub async fn member_id(&self, room: &str, channel: &str) -> u64 {
        let text = self.fs("conference json_list compact").await;
        let list: Value = serde_json::from_str(&text).unwrap();
        list.as_array()
            .unwrap()
            .iter()
            .filter(|c| c["conference_name"] == room)
            .flat_map(|c| c["members"].as_array().unwrap())
            .find(|m| m["uuid"] == channel)
            .and_then(|m| m["id"].as_u64())
            .expect("a member")
    }

    /// The path of a recording's file.
    pub fn recording(&self, id: &str) -> String {
        format!("{}/{id}.wav", self.directory.display())
    }

    /// The public id of a call.
    pub fn call_id(&self, channel: &str) -> String {
        format!("{}-{channel}", self.node)
    }

    /// The channel of a public id.
    pub fn channel<'a>(&self, call: &'a str) -> &'a str {
        call.strip_prefix(&format!("{}-", self.node))
            .expect("a call of this node")
    }

    /// Returns the id of a placed call, once it is known.
    pub async fn placed_call_id(&self, placed: &PlacedCall) -> String {
        match placed {
            PlacedCall::Channel(channel) => self.call_id(channel),
            PlacedCall::Dialled(did) => {
                poll::until("the call that dialled it", poll::TIMEOUT, async || {
                    self.receiver
                        .all()
                        .iter()
                        .find(|webhook| {
                            webhook.event() == "call.new" && webhook.body["data"]["did"] == **did
                        })
                        .map(|webhook| webhook.scope().to_owned())
                })
                .await
            }
        }
    }

    /// Places an inbound call. Returns its id after the webhook `call.new`.
    pub async fn call(&self, caller: &str) -> String {
        let placed = self.switch.place_call(caller, PASSWORD).await;
        let call = self.placed_call_id(&placed).await;
        self.receiver.first(&call, "call.new").await;
        call
    }

    /// Creates a room of this name on the first node. Returns its id.
    pub async fn room(&self, name: &str) -> String {
        let body = serde_json::json!({ "name": name, "node": self.node });
        let answer = self
            .controller
            .ask("POST", "/conferences", Some(&body))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["room_id"].as_str().unwrap().to_owned()
    }

    /// Puts the call into the room and waits for the webhook.
    pub async fn join(&self, call: &str, room: &str) {
        let before = self.count(room, "conference.member.joined");
        let answer = self
            .command(
                call,
                "conference/join",
                &serde_json::json!({ "room_id": room }),
            )
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        self.receiver
            .nth(room, "conference.member.joined", before + 1)
            .await;
    }

    fn count(&self, scope: &str, event: &str) -> usize {
        self.receiver
            .delivered(scope)
            .iter()
            .filter(|webhook| webhook.event() == event)
            .count()
    }

    /// Sends a command to a call.
    pub async fn command(&self, call: &str, what: &str, body: &Value) -> Answer {
        let path = format!("/sessions/{call}/commands/{what}");
        self.controller.ask("POST", &path, Some(body)).await
    }

    /// Runs an `api` command in FreeSWITCH, past the controller.
    pub async fn fs(&self, command: &str) -> String {
        self.switch.api(PASSWORD, command).await
    }

    /// `state` and `room_id` of a call in the API.
    pub async fn call_state(&self, call: &str) -> (String, Option<String>) {
        let answer = self.controller.get(&format!("/sessions/{call}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        (
            answer.body["state"].as_str().unwrap().to_owned(),
            answer.body["room_id"].as_str().map(str::to_owned),
        )
    }

    /// Checks I1 for one room: the API and FreeSWITCH have the same members.
    pub async fn check_members(&self, room: &str) {
        let answer = self
            .controller
            .get(&format!("/conferences/{room}/members"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut listed: Vec<(String, bool)> = answer.body["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| {
                (
                    self.channel(m["uuid"].as_str().unwrap()).to_owned(),
                    m["muted"] == false,
                )
            })
            .collect();
        let mut real = self
            .switch
            .members(PASSWORD, room)
            .await
            .unwrap_or_default();
        real.sort();
        listed.sort();
        assert_eq!(listed, real, "the API's members of {room} and FreeSWITCH's");
    }
}
