//! The environment of the tests: a node, a store, and a reconciler between them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use freeswitch_esl::command::{ModuleName, Password, ProfileName, Voice};
use freeswitch_sim::{SimConfig, SimNode};
use roomkeeper::node::{NodeConfig, Timing};
use roomkeeper::reconciler::{
    Accepted, CommandSettings, Controller, Intent, IntentError, Link, OutboxSignals, Reconciler,
    RelaySettings, Settings,
};
use roomkeeper::store::{Message, Store};
use roomkeeper::supervise::ShutdownPhase;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{AppId, CallId, ChannelId, NodeId, RoomId};
use roomkeeper_core::intent::{CreateRoom, DeleteRoom, Join, JoinAccepted, SetFlag};
use roomkeeper_core::node_state::{Rules, Timeouts};
use roomkeeper_core::room::MemberFlag;
use roomkeeper_core::room::{Kind, Origin};
use tokio::sync::watch;
use uuid::Uuid;

pub const DID: &str = "747713001";

/// Longer than any successful operation.
pub const TIMEOUT: Duration = Duration::from_secs(120);

pub fn node() -> NodeId {
    "acW68".parse().unwrap()
}

pub fn app() -> AppId {
    "demo".parse().unwrap()
}

pub fn call_id(channel: &str) -> CallId {
    CallId::new(node(), ChannelId::new(channel.parse().unwrap()))
}

/// Waits until the closure returns a value.
pub async fn until<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(started.elapsed() < TIMEOUT, "timed out waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A node with room for many calls.
pub async fn simulated() -> SimNode {
    let mut config = SimConfig::default();
    config.node.max_sessions = 100_000;
    SimNode::start(config).await.unwrap()
}

/// One replica.
pub struct World {
    pub store: Arc<dyn Store>,
    pub reconciler: Arc<Reconciler>,
    actors: ShutdownPhase,
    connections: ShutdownPhase,
    webhooks: Mutex<Vec<Message>>,
    _rules: watch::Sender<Rules>,
}

pub fn settings(rules: watch::Receiver<Rules>) -> Settings {
    Settings {
        rules,
        commands: CommandSettings {
            profile: ProfileName::new("roomkeeper").unwrap(),
            connect_profile: ProfileName::new("roomkeeper-connect").unwrap(),
            speech_engine: Voice::new("flite").unwrap(),
            speech_voice: Voice::new("slt").unwrap(),
            park_timeout: Duration::from_secs(3_600),
            dial: roomkeeper::reconciler::DialTemplates::default(),
            links: None,
        },
        relays: RelaySettings::default(),
        lease_ttl: Duration::from_secs(10),
        // No test waits for one by accident.
        resync_interval: Duration::from_secs(600),
        lost_after: Duration::from_secs(120),
        keep_ended_rooms: Duration::from_secs(600),
        keep_recordings: Duration::from_secs(600),
        keep_ended_sessions: Duration::from_secs(600),
    }
}

impl World {
    pub async fn with(
        sim: &SimNode,
        store: Arc<dyn Store>,
        change: impl FnOnce(&mut Settings, &mut Timeouts),
    ) -> Self {
        Self::with_nodes(&[(node(), sim)], store, change).await
    }

    /// A world with these nodes; methods for a single node use the first.
    pub async fn with_nodes(
        nodes: &[(NodeId, &SimNode)],
        store: Arc<dyn Store>,
        change: impl FnOnce(&mut Settings, &mut Timeouts),
    ) -> Self {
        let (rules, rules_receiver) = watch::channel(Rules {
            digit_apps: BTreeSet::new(),
            talk_apps: BTreeSet::new(),
            muted_talk_apps: BTreeSet::new(),
            dids: HashMap::from([(DID.to_owned(), app())]),
            apps: BTreeSet::from([app()]),
            timeouts: Timeouts::default(),
            recordings: "/var/lib/freeswitch/recordings".to_owned(),
            ..Rules::default()
        });
        let mut settings = settings(rules_receiver);
        rules.send_modify(|rules| change(&mut settings, &mut rules.timeouts));
        let config = |(id, sim): &(NodeId, &SimNode)| NodeConfig {
            id: *id,
            address: sim.addr.to_string(),
            password: Password::new("ClueCon").unwrap(),
            speech_module: ModuleName::new("mod_flite").unwrap(),
            timing: Timing::default(),
            nudge: roomkeeper::node::Nudge::default(),
        };
        let (actors, connections) = (ShutdownPhase::new(), ShutdownPhase::new());
        let signals = OutboxSignals::for_nodes(nodes.iter().map(|(id, _)| *id));
        let reconciler = Reconciler::start(
            nodes.iter().map(config).collect(),
            &store,
            &settings,
            &signals,
            &actors,
            &connections,
        )
        .unwrap();
        Self {
            store,
            reconciler: Arc::new(reconciler),
            actors,
            connections,
            webhooks: Mutex::default(),
            _rules: rules,
        }
    }

    pub async fn synced(self) -> Self {
        until("the node is synced", async || {
            self.reconciler.nodes()[0].synced.then_some(())
        })
        .await;
        self
    }

    /// Waits until this replica knows another owner of the node and can send commands.
    pub async fn beside(self) -> Self {
        until(
            "another replica owns the node, and it can be reached",
            async || {
                let report = self.reconciler.nodes().remove(0);
                (report.owned_elsewhere && report.link == Link::Up).then_some(())
            },
        )
        .await;
        self
    }

    /// Stops it, and waits until everything has ended.
    pub async fn end(self) {
        assert!(self.actors.end(TIMEOUT).await);
        assert!(self.connections.end(TIMEOUT).await);
    }

    pub async fn submit(&self, intent: Intent) -> Result<Accepted, IntentError> {
        self.reconciler.submit(intent).await
    }

    pub async fn room(&self, name: &str) -> RoomId {
        let room = RoomId::new(node(), Uuid::new_v4());
        let intent = Intent::new(
            Target::Room(room),
            app(),
            CreateRoom {
                name: name.to_owned(),
                origin: Origin::Gateway,
                kind: Kind::Conference,
                details: Box::default(),
            },
        );
        assert_eq!(self.submit(intent).await.unwrap(), Accepted::CreateRoom(()));
        room
    }

    pub async fn join(&self, call: CallId, room: RoomId) {
        let intent = Intent::new(
            Target::Member { room, call },
            app(),
            Join {
                muted: Some(false),
                ..Join::default()
            },
        );
        let accepted = self.submit(intent).await.unwrap();
        assert!(
            matches!(accepted, Accepted::Join(JoinAccepted::Joining { room: into, .. }) if into == room),
            "{call}: {accepted:?}"
        );
    }

    pub async fn mute(&self, call: CallId, mute: bool) -> Result<Accepted, IntentError> {
        let intent = Intent::new(
            Target::Call(call),
            app(),
            SetFlag {
                flag: MemberFlag::Speak,
                on: !mute,
            },
        );
        self.submit(intent).await
    }

    pub async fn delete(&self, room: RoomId) {
        let intent = Intent::new(Target::Room(room), app(), DeleteRoom);
        let accepted = self.submit(intent).await.unwrap();
        assert!(matches!(accepted, Accepted::DeleteRoom(_)), "{accepted:?}");
    }

    /// All webhooks so far, in order.
    pub async fn webhooks(&self) -> Vec<Message> {
        loop {
            let batch = self.store.read_outbox(node(), 1_000).await.unwrap();
            if batch.messages.is_empty() {
                return self.webhooks.lock().unwrap().clone();
            }
            let moved = self.store.fan_out(node(), &batch.from, &batch.to, &[]);
            assert!(moved.await.unwrap(), "no other reader moves the outbox");
            self.webhooks.lock().unwrap().extend(batch.messages);
        }
    }

    /// The number of these webhooks of a room or a call.
    pub async fn count(&self, scope: &str, event: &str) -> usize {
        let webhooks = self.webhooks().await;
        webhooks
            .iter()
            .filter(|m| m.event == event && m.scope.to_string() == scope)
            .count()
    }

    pub async fn until_webhook(&self, scope: &str, event: &str, times: usize) {
        let what = format!("{event} of {scope}, {times} times");
        until(&what, async || {
            (self.count(scope, event).await >= times).then_some(())
        })
        .await;
    }
}
