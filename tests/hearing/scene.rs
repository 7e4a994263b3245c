//! The servers, the controller and the files that all tests share, and a room for each test.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::party::Party;
use crate::phone::agent::Phone;
use crate::phone::tone::Tone;
use crate::program::freeswitch::{FreeSwitch, installed};
use crate::program::media::{Origin, sound, wav_with};
use crate::program::poll;
use crate::program::receiver::ReceivedWebhook;
use crate::program::switch::{Line, RealServer, Switch, real_app};
use crate::program::world::{PASSWORD, Setup, Store, World};

/// The id of the second node. The first one has a random id.
const SECOND: &str = "node2";

/// The source of the servers.
#[derive(Clone)]
pub enum Place {
    /// This program, started twice.
    Installed(PathBuf),
    /// A running server, and its address for SIP.
    Given(RealServer, SocketAddr),
}

impl Place {
    /// Finds a given or an installed server.
    pub fn find() -> Option<Self> {
        let sip = std::env::var("ROOMKEEPER_TEST_SIP").ok();
        let sip = sip.map(|text| {
            let mut found = text
                .to_socket_addrs()
                .expect("ROOMKEEPER_TEST_SIP is an address");
            found.next().expect("an address")
        });
        match RealServer::from_env().zip(sip) {
            Some((server, sip)) => Some(Self::Given(server, sip)),
            None => installed().map(Self::Installed),
        }
    }
}

/// A node of the controller.
pub struct Node {
    id: String,
    pub sip: SocketAddr,
}

pub struct Scene {
    pub world: World,
    pub nodes: Vec<Node>,
    /// A server of files with tones.
    files: Origin,
    rooms: AtomicUsize,
    /// The started servers. They end after the controller.
    pub servers: Vec<FreeSwitch>,
}

impl Scene {
    pub async fn start(place: Place) -> Self {
        Self::with(place, 2, Setup::on(Store::Redis)).await
    }

    /// Starts one server for one test, and its controller with these variables.
    pub async fn of_one_test(place: Place, environment: &[(&str, &str)]) -> Self {
        let mut setup = Setup::on(Store::Redis);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        setup.environment.extend(environment.iter().map(owned));
        Self::with(place, 1, setup).await
    }

    async fn with(place: Place, servers_wanted: usize, mut setup: Setup) -> Self {
        let mut servers = Vec::new();
        let mut addresses = Vec::new();
        match place {
            Place::Given(server, sip) => addresses.push((server, sip)),
            Place::Installed(program) => {
                let settings = [("RK_ESL_PASSWORD", PASSWORD), ("RK_APP", &real_app())];
                for _ in 0..servers_wanted {
                    servers.push(FreeSwitch::start(program.clone(), &settings).await);
                }
                addresses.extend(servers.iter().map(|one| (one.server.clone(), one.sip)));
            }
        }
        if let Some((server, _)) = addresses.get(1) {
            setup.more_nodes.push((SECOND.to_owned(), server.address));
        }
        let switch = Switch::real(addresses[0].0.clone(), Line::Inbound);
        let world = setup.start_with(switch).await;
        let ids = [world.node.clone(), SECOND.to_owned()];
        let pairs = ids.into_iter().zip(&addresses);
        let nodes: Vec<Node> = pairs.map(|(id, (_, sip))| Node { id, sip: *sip }).collect();
        for node in &nodes {
            until_synced(&world, &node.id).await;
            until_calls_are_accepted(node).await;
        }
        Self {
            world,
            nodes,
            files: Origin::start(Ipv4Addr::LOCALHOST, file).await,
            rooms: AtomicUsize::new(0),
            servers,
        }
    }

    /// Creates a room, on each node in turn.
    pub async fn room(&self) -> Room<'_> {
        let number = self.rooms.fetch_add(1, Ordering::SeqCst);
        self.room_on(number % self.nodes.len(), number).await
    }

    /// Creates two rooms on one node.
    pub async fn two_rooms(&self) -> (Room<'_>, Room<'_>) {
        let number = self.rooms.fetch_add(2, Ordering::SeqCst);
        let node = number % self.nodes.len();
        let first = self.room_on(node, number).await;
        (first, self.room_on(node, number + 1).await)
    }

    async fn room_on(&self, node: usize, number: usize) -> Room<'_> {
        let node = &self.nodes[node];
        let body = json!({ "name": format!("hearing{number}"), "node": node.id });
        let answer = self
            .world
            .controller
            .ask("POST", "/conferences", Some(&body));
        let answer = answer.await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        Room {
            scene: self,
            id: answer.body["room_id"].as_str().unwrap().to_owned(),
            node,
        }
    }

    /// The URL of a file with this tone.
    pub fn file(&self, tone: Tone, length: Duration) -> String {
        let (address, hertz, ms) = (self.files.address, tone.hertz(), length.as_millis());
        format!("http://{address}/{hertz}-{ms}.wav")
    }
}

async fn until_synced(world: &World, node: &str) {
    let what = format!("node {node} is synced");
    poll::until(&what, poll::REDELIVERY, async || {
        let answer = world.controller.operator("/admin/nodes").await?.body;
        let nodes = answer["nodes"].as_array()?;
        let node = nodes.iter().find(|row| row["id"] == node)?;
        (node["synced"] == true && node["link"] == "up").then_some(())
    })
    .await;
}

/// FreeSWITCH starts its SIP profiles after everything else.
async fn until_calls_are_accepted(node: &Node) {
    let phone = Phone::start("probe").await;
    let what = format!("node {} answers SIP at {}", node.id, node.sip);
    poll::until(&what, poll::REDELIVERY, async || {
        phone.is_answered(node.sip).await.then_some(())
    })
    .await;
}

/// Answers `/<hertz>-<milliseconds>.wav` with that tone.
fn file(path: &str) -> Option<Vec<u8>> {
    let name = path.trim_start_matches('/').strip_suffix(".wav")?;
    let (hertz, ms) = name.split_once('-')?;
    let (hertz, ms): (u32, u32) = (hertz.parse().ok()?, ms.parse().ok()?);
    let tone = Tone::ALL.into_iter().find(|tone| tone.hertz() == hertz)?;
    let samples: Vec<i16> = (0..ms * 8).map(|at| tone.sample(at)).collect();
    Some(sound("audio/x-wav", &wav_with(&samples)))
}

/// A room of one test.
pub struct Room<'a> {
    pub scene: &'a Scene,
    pub id: String,
    pub node: &'a Node,
}

impl<'a> Room<'a> {
    /// Calls the room's node and joins the room, with permission to speak.
    pub async fn party(&self, tone: Tone) -> Party<'a> {
        let party = Party::call(self.scene, self.node, tone).await;
        self.join(&party).await;
        party
    }

    /// Calls with these tones; all join the room.
    pub async fn parties<const N: usize>(&self, tones: [Tone; N]) -> [Party<'a>; N] {
        let mut parties = Vec::new();
        for tone in tones {
            parties.push(self.party(tone).await);
        }
        parties.try_into().ok().expect("as many as tones")
    }

    /// Lets a party join, with permission to speak.
    pub async fn join(&self, party: &Party<'_>) {
        let before = self.count("conference.member.joined");
        let body = json!({ "room_id": self.id, "muted": false });
        party.command("conference/join", &body).await;
        self.webhook("conference.member.joined", before + 1).await;
    }

    /// Sends a command to the room, which must be accepted.
    pub async fn command(&self, what: &str, body: &Value) -> Value {
        let path = format!("/conferences/{}/{what}", self.id);
        let answer = self.scene.world.controller.ask("POST", &path, Some(body));
        let answer = answer.await;
        assert_eq!(answer.status, 202, "{what}: {}", answer.body);
        answer.body
    }

    /// Sends a command to a member, which must be accepted.
    pub async fn member(&self, party: &Party<'_>, what: &str, body: &Value) -> Value {
        let path = format!("members/{}/{what}", party.session);
        self.command(&path, body).await
    }

    /// Changes the settings of the room.
    pub async fn patch(&self, settings: &Value) {
        let path = format!("/conferences/{}", self.id);
        let controller = &self.scene.world.controller;
        let answer = controller.ask("PATCH", &path, Some(settings)).await;
        assert_eq!(answer.status, 202, "{settings}: {}", answer.body);
    }

    /// Changes the settings of a member.
    pub async fn patch_member(&self, party: &Party<'_>, settings: &Value) {
        let path = format!("/conferences/{}/members/{}", self.id, party.session);
        let controller = &self.scene.world.controller;
        let answer = controller.ask("PATCH", &path, Some(settings)).await;
        assert_eq!(answer.status, 202, "{settings}: {}", answer.body);
    }

    /// Waits for the n-th webhook of this name about the room.
    pub async fn webhook(&self, event: &str, n: usize) -> ReceivedWebhook {
        self.scene.world.receiver.nth(&self.id, event, n).await
    }

    /// The number of webhooks of this name so far.
    pub fn count(&self, event: &str) -> usize {
        let delivered = self.scene.world.receiver.delivered(&self.id);
        let named = delivered.iter().filter(|webhook| webhook.event() == event);
        named.count()
    }
}
