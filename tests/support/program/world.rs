//! Everything that a test runs: the controller, its store, a node, a receiver.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::controller::{Answer, Controller, KEY};
use super::poll;
use super::receiver::{Receiver, SECRET};
use super::switch::{DID, Placed, Switch};
use crate::support::redis::RedisServer;

/// The simulated node's password.
pub const PASSWORD: &str = "walk-password";

/// Where state is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    Memory,
    Redis,
    /// Every write is on disk before it is answered.
    DurableRedis,
}

/// The settings that can differ from test to test.
pub struct Setup {
    pub store: Store,
    /// Where the state is, if that is no server of the world's own.
    pub store_url: Option<String>,
    /// The password that the controller uses for the node.
    pub password: String,
    /// Milliseconds that the store has to answer: a third of the next at most.
    pub store_timeout: u32,
    /// Seconds; so is the next.
    pub lease_ttl: u32,
    pub resync_interval: u32,
    pub command_timeout: u32,
    pub lost_after: u32,
    /// The time between commands: a walk that is not about it goes on at once.
    pub cooldowns: bool,
    /// Requests a second for each app; 0: no limit.
    pub app_rate: u32,
    /// Seconds that a file of an action may take.
    pub action_timeout: u32,
    /// Where recordings go, if not to a directory of the world's own.
    pub recordings: Option<PathBuf>,
    /// Audio from this machine.
    pub play_private: bool,
    /// More lines of `[play]`.
    pub play: String,
    /// True if the app wants webhooks.
    pub webhooks: bool,
    /// Where the controller finds the node, if not at its own address.
    pub by_way_of: Option<SocketAddr>,
    /// More nodes, by id and address, with the simulated node's password.
    pub more_nodes: Vec<(String, SocketAddr)>,
    /// More apps, by id and key.
    pub more_apps: Vec<(String, String)>,
    /// In the controller's environment.
    pub environment: Vec<(String, String)>,
}

impl Setup {
    /// A machine that does nothing else for seconds does not look like a store that is gone.
    pub fn on(store: Store) -> Self {
        Self {
            store,
            password: PASSWORD.to_owned(),
            store_timeout: 10_000,
            lease_ttl: 30,
            // No test waits for one by accident.
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
            by_way_of: None,
            more_nodes: Vec::new(),
            more_apps: Vec::new(),
            store_url: None,
            environment: Vec::new(),
        }
    }

    /// The same for what is about a store that is gone or a controller that dies: neither is waited for for long.
    pub fn impatient(store: Store) -> Self {
        Self {
            store_timeout: 1_000,
            lease_ttl: 3,
            ..Self::on(store)
        }
    }

    /// Starts everything, with a simulated node.
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
        // One of our own, so that another controller on a real server has other rooms.
        let node: String = uuid::Uuid::new_v4().simple().to_string()[..5].to_owned();
        let (app, password) = match &switch {
            Switch::Sim(_) => ("demo".to_owned(), self.password.clone()),
            Switch::Real { app, server, .. } => (app.clone(), server.password.clone()),
        };
        let recordings = tempfile::tempdir().unwrap();
        // A real server may be somebody else.
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
            self.by_way_of.unwrap_or_else(|| switch.address()),
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
        let controller = Controller::start_under(&app, &config, self.environment);
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

/// The running parts. Fields are dropped in this order: nobody speaks to what is gone.
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

    /// One more controller, on the same store and nodes, but for what is changed in its configuration.
    pub fn replica(
        &self,
        change: impl FnOnce(String) -> String,
        environment: Vec<(String, String)>,
    ) -> Controller {
        Controller::start_under(&self.app, &change(self.config.clone()), environment)
    }

    /// The number that FreeSWITCH knows a member by.
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

    /// Where a recording is written.
    pub fn recording(&self, id: &str) -> String {
        format!("{}/{id}.wav", self.directory.display())
    }

    /// The public id of a call.
    pub fn session(&self, channel: &str) -> String {
        format!("{}-{channel}", self.node)
    }

    /// The channel of a public id.
    pub fn channel<'a>(&self, session: &'a str) -> &'a str {
        session
            .strip_prefix(&format!("{}-", self.node))
            .expect("a session of this node")
    }

    /// The session of a call that was placed, once it is known.
    pub async fn placed(&self, placed: &Placed) -> String {
        match placed {
            Placed::Channel(channel) => self.session(channel),
            Placed::Dialled(did) => {
                poll::until("the call that dialled it", poll::PATIENCE, async || {
                    self.receiver
                        .all()
                        .iter()
                        .find(|got| got.event() == "call.new" && got.body["data"]["did"] == **did)
                        .map(|got| got.scope().to_owned())
                })
                .await
            }
        }
    }

    /// A call comes in; its session, once the app has been told.
    pub async fn call(&self, caller: &str) -> String {
        let placed = self.switch.place_call(caller, PASSWORD).await;
        let session = self.placed(&placed).await;
        self.receiver.first(&session, "call.new").await;
        session
    }

    /// A room of this name, on the first node.
    pub async fn room(&self, name: &str) -> String {
        let body = serde_json::json!({ "name": name, "node": self.node });
        let answer = self
            .controller
            .ask("POST", "/conferences", Some(&body))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["room_id"].as_str().unwrap().to_owned()
    }

    /// Puts the call into the room and waits until the app has been told.
    pub async fn join(&self, session: &str, room: &str) {
        let before = self.count(room, "conference.member.joined");
        let answer = self
            .command(
                session,
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
            .filter(|got| got.event() == event)
            .count()
    }

    /// A command to a call.
    pub async fn command(&self, session: &str, what: &str, body: &Value) -> Answer {
        let path = format!("/sessions/{session}/commands/{what}");
        self.controller.ask("POST", &path, Some(body)).await
    }

    /// Asks FreeSWITCH, past the controller.
    pub async fn fs(&self, command: &str) -> String {
        self.switch.api(PASSWORD, command).await
    }

    /// `state` and `room_id` of a call, as the API has them.
    pub async fn place(&self, session: &str) -> (String, Option<String>) {
        let answer = self.controller.get(&format!("/sessions/{session}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        (
            answer.body["state"].as_str().unwrap().to_owned(),
            answer.body["room_id"].as_str().map(str::to_owned),
        )
    }

    /// I1 for one room: the members of the API are those of FreeSWITCH.
    pub async fn check_members(&self, room: &str) {
        let answer = self
            .controller
            .get(&format!("/conferences/{room}/members"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let told: Vec<(String, bool)> = answer.body["members"]
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
        let mut told = told;
        told.sort();
        assert_eq!(told, real, "the API's members of {room} and FreeSWITCH's");
    }
}
