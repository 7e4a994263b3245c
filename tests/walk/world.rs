//! Everything that a test runs: the controller, its store, a node, a receiver.

use serde_json::Value;

use crate::controller::{Controller, KEY};
use crate::receiver::{Receiver, SECRET};
use crate::support::redis::RedisServer;
use crate::switch::{DID, Placed, Switch};

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

/// What can be different from test to test.
pub struct Setup {
    pub store: Store,
    /// What the controller takes for the node's password.
    pub password: String,
    /// Seconds; so is the next.
    pub lease_ttl: u32,
    pub resync_interval: u32,
    pub command_timeout: u32,
    /// The time between commands: a walk that is not about it goes on at once.
    pub cooldowns: bool,
}

impl Setup {
    pub fn on(store: Store) -> Self {
        Self {
            store,
            password: PASSWORD.to_owned(),
            lease_ttl: 2,
            // No test waits for one by accident.
            resync_interval: 600,
            command_timeout: 5,
            cooldowns: false,
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
        let store = redis
            .as_ref()
            .map_or_else(|| "memory:".to_owned(), RedisServer::url);
        let config = format!(
            r#"
[store]
url = "{store}"
timeout_ms = 600
[webhooks]
allow_http = true
allow_private = true
[play]
allow_private = true
[fleet]
lease_ttl = {}
resync_interval = {}
command_timeout = {}
[limits]
app_rate = 0
cooldowns = {}
[[nodes]]
id = "{node}"
address = "{}"
password = "{password}"
[[apps]]
id = "{app}"
api_key = "{KEY}"
dids = ["{DID}"]
[[apps.webhooks]]
url = "{}"
secret = "{SECRET}"
events = ["*"]
"#,
            self.lease_ttl,
            self.resync_interval,
            self.command_timeout,
            self.cooldowns,
            switch.address(),
            receiver.url
        );
        let controller = Controller::start(&app, &config);
        World {
            controller,
            receiver,
            redis,
            switch,
            node,
            app,
        }
    }
}

/// What runs. Fields are dropped in this order: nobody speaks to what is gone.
pub struct World {
    pub controller: Controller,
    pub receiver: Receiver,
    pub redis: Option<RedisServer>,
    pub switch: Switch,
    pub node: String,
    pub app: String,
}

impl World {
    /// Kills the controller and starts it again.
    pub fn kill_and_start_again(&mut self) {
        self.controller.kill();
        self.controller.start_again();
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
                crate::poll::until(
                    "the call that dialled it",
                    crate::poll::PATIENCE,
                    async || {
                        self.receiver
                            .all()
                            .iter()
                            .find(|got| {
                                got.event() == "call.new" && got.body["data"]["did"] == **did
                            })
                            .map(|got| got.scope().to_owned())
                    },
                )
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

    /// A room of this name.
    pub async fn room(&self, name: &str) -> String {
        let body = serde_json::json!({ "name": name });
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
    pub async fn command(
        &self,
        session: &str,
        what: &str,
        body: &Value,
    ) -> crate::controller::Answer {
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
