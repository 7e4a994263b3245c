//! Tests of the way between two nodes: their results, and that no app and no report sees their calls.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freeswitch_esl::command::{ChannelUuid, RelayAddress, RelayKey, RelayTest as RelayCall};
use freeswitch_sim::core::Media;
use freeswitch_sim::{SimConfig, SimNode};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Controller, RelayFigures, RelaySettings, RelayTest, RelayTestError};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::node_status::{self, NodeStatusStore, OrphanReport, StatusField};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::node_state::Rules;
use tokio::sync::watch;
use uuid::Uuid;

use crate::world::{World, app, node, until};

const KEY: &str = "a-key-of-the-relay-tests";
const ADDRESSES: [&str; 2] = ["192.0.2.1:5090", "192.0.2.2:5090"];

fn other() -> NodeId {
    "bdX79".parse().unwrap()
}

fn relays(key: &str) -> RelaySettings {
    let [here, there] = ADDRESSES.map(|address| RelayAddress::new(address).unwrap());
    RelaySettings {
        key: Some(RelayKey::new(key).unwrap()),
        addresses: HashMap::from([(node(), here), (other(), there)]),
    }
}

/// A node that takes part in relays. Its tone lasts until somebody ends the call.
async fn relaying() -> SimNode {
    let mut config = SimConfig::default();
    config.node.relay_key = Some(KEY.to_owned());
    let endless = Media {
        duration: Some(3_600_000_000),
        opening: 0,
    };
    config.node.media = [("tone_stream://%(3000,0,440)".to_owned(), endless)].into();
    SimNode::start(config).await.unwrap()
}

/// Two nodes that reach each other, and a replica.
struct Pair {
    nodes: [SimNode; 2],
    store: Arc<MemoryStore>,
    world: World,
    /// The dialled number of a test belongs to an app.
    _rules: watch::Sender<Rules>,
}

impl Pair {
    async fn new() -> Self {
        Self::with(relays(KEY)).await
    }

    async fn with(relays: RelaySettings) -> Self {
        let nodes = [relaying().await, relaying().await];
        let [here, there] = ADDRESSES;
        SimNode::connect_relays(&[(here, &nodes[0]), (there, &nodes[1])]);
        let store = Arc::new(MemoryStore::new());
        let rules = Rules {
            dids: HashMap::from([("relay-test".to_owned(), app())]),
            apps: [app()].into(),
            ..Rules::default()
        };
        let (sender, rules) = watch::channel(rules);
        let with_ids = ids(&nodes);
        let world = World::with_nodes(&with_ids, store.clone(), |settings, _| {
            (settings.relays, settings.rules) = (relays, rules);
        });
        let world = world.await;
        until("both nodes are synced", async || {
            let reports = world.reconciler.nodes();
            reports.iter().all(|node| node.synced).then_some(())
        })
        .await;
        Self {
            nodes,
            store,
            world,
            _rules: sender,
        }
    }

    async fn test(&self) -> Result<RelayTest, RelayTestError> {
        self.world.reconciler.test_relay(node(), other()).await
    }

    fn start(&self) -> tokio::task::JoinHandle<Result<RelayTest, RelayTestError>> {
        let reconciler = Arc::clone(&self.world.reconciler);
        tokio::spawn(async move { reconciler.test_relay(node(), other()).await })
    }

    /// Waits until both ends of the call are up, and returns their ids.
    async fn answered(&self) -> [String; 2] {
        until("the call is answered", async || {
            let ends = self.nodes.each_ref().map(|node| {
                let channels = node.snapshot().channels;
                let runs = |app: &str| ["playback", "echo"].contains(&app);
                let up = channels
                    .iter()
                    .find(|channel| channel.application.as_deref().is_some_and(runs));
                up.map(|channel| channel.uuid.clone())
            });
            match ends {
                [Some(here), Some(there)] => Some([here, there]),
                _ => None,
            }
        })
        .await
    }

    /// Waits until neither node has a channel. No app has been told of any.
    async fn leaves_nothing(&self) {
        until("no channel is left", async || {
            let mut snapshots = self.nodes.iter().map(SimNode::snapshot);
            snapshots.all(|node| node.channels.is_empty()).then_some(())
        })
        .await;
        for id in [node(), other()] {
            let orphans = self.orphans_of(id).await;
            assert_eq!((orphans.calls_total, orphans.conferences_total), (0, 0));
            let outbox = self.world.store.read_outbox(id, 10).await.unwrap();
            assert!(outbox.messages.is_empty(), "{:?}", outbox.messages);
        }
    }

    /// The report of orphans by a snapshot that is taken now.
    async fn orphans_of(&self, id: NodeId) -> OrphanReport {
        let resynced_at = || {
            let reports = self.world.reconciler.nodes();
            let report = reports.into_iter().find(|report| report.id == id);
            report.unwrap().resynced_at
        };
        let before = resynced_at().unwrap();
        self.world.reconciler.resync(id).await.unwrap();
        until("the report is written", async || {
            let text = self.store.read_report(id).await.unwrap()?;
            let report: OrphanReport =
                node_status::decode(id, StatusField::Orphans, &text).unwrap();
            (resynced_at() > Some(before) && report.at > before).then_some(report)
        })
        .await
    }
}

fn ids(nodes: &[SimNode; 2]) -> [(NodeId, &SimNode); 2] {
    [(node(), &nodes[0]), (other(), &nodes[1])]
}

fn cause(test: &RelayTest) -> Option<&str> {
    test.cause.as_deref()
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_is_no_call_of_any_app() {
    let pair = Pair::new().await;
    // As a test places it, but it lasts until it is ended.
    let uuid = ChannelUuid::from(Uuid::new_v4());
    let call = RelayCall {
        uuid,
        other: ChannelUuid::from(Uuid::new_v4()),
        key: RelayKey::new(KEY).unwrap(),
        to: RelayAddress::new(ADDRESSES[1]).unwrap(),
        answer: Duration::from_secs(5),
        tone: Duration::from_secs(3),
        silence: Duration::from_secs(4),
    };
    let client = pair.nodes[0].with_core(|core, now| {
        let client = core.connect(now);
        core.handle_command(client, "auth ClueCon", now);
        core.handle_command(client, &format!("bgapi originate {call}"), now);
        client
    });
    pair.answered().await;
    for id in [node(), other()] {
        let orphans = pair.orphans_of(id).await;
        assert_eq!(orphans.calls_total, 0, "{:?}", orphans.calls);
    }
    // The snapshots were taken during the call.
    pair.answered().await;
    let kill = format!("api uuid_kill {uuid}");
    pair.nodes[0].with_core(|core, now| core.handle_command(client, &kill, now));
    pair.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_is_measured_and_shown() {
    let pair = Pair::new().await;
    let test = pair.start();
    let test = test.await.unwrap().unwrap();
    assert_eq!((cause(&test), test.to), (None, other()));
    let RelayFigures {
        answered,
        sent,
        received,
        lost,
        jitter,
    } = test.figures.unwrap();
    assert!(
        answered > Duration::ZERO && answered < Duration::from_secs(5),
        "{answered:?}"
    );
    // A packet every 20 ms, for two seconds at least.
    assert!(sent >= 95, "{sent}");
    assert_eq!((received, lost), (sent, 0));
    assert_eq!(jitter, Duration::from_millis(2));
    pair.leaves_nothing().await;
    let reports = pair.world.reconciler.nodes();
    let shown = reports
        .iter()
        .map(|node| (node.relay.as_deref(), node.relay_tests.clone()));
    let expected = [
        (Some(ADDRESSES[0]), vec![test]),
        (Some(ADDRESSES[1]), Vec::new()),
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_without_the_lease_tests_a_relay() {
    let pair = Pair::new().await;
    let nodes = ids(&pair.nodes);
    let second = World::with_nodes(&nodes, pair.store.clone(), |settings, _| {
        settings.relays = relays(KEY);
    });
    let second = second.await.beside().await;
    until("it reaches the other node, too", async || {
        second
            .reconciler
            .link(other())
            .filter(|link| *link == roomkeeper::reconciler::Link::Up)
    })
    .await;
    let test = second.reconciler.test_relay(other(), node()).await.unwrap();
    assert_eq!(cause(&test), None);
    assert!(pair.world.reconciler.nodes()[1].relay_tests.is_empty());
    pair.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_key_is_rejected() {
    let pair = Pair::with(relays("another-key-than-theirs")).await;
    let test = pair.test().await.unwrap();
    assert_eq!((cause(&test), test.figures), (Some("CALL_REJECTED"), None));
    assert_eq!(pair.world.reconciler.nodes()[0].relay_tests, [test]);
    pair.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_address_has_freeswitchs_cause() {
    let mut settings = relays(KEY);
    let nowhere = RelayAddress::new("192.0.2.3:5090").unwrap();
    settings.addresses.insert(other(), nowhere);
    let pair = Pair::with(settings).await;
    let test = pair.test().await.unwrap();
    assert_eq!(cause(&test), Some("NORMAL_TEMPORARY_FAILURE"));
    pair.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn address_of_another_node_is_found_out() {
    let (pair, third) = (Pair::new().await, relaying().await);
    SimNode::connect_relays(&[(ADDRESSES[0], &pair.nodes[0]), (ADDRESSES[1], &third)]);
    let test = pair.test().await.unwrap();
    assert_eq!(cause(&test), Some("CALL_NOT_FOUND"));
    pair.leaves_nothing().await;
    until("nor does the third one have a channel", async || {
        third.snapshot().channels.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_rtp_is_found_out() {
    let pair = Pair::new().await;
    pair.nodes[0].with_core(|core, _| core.config_mut().rtp_blocked = true);
    let test = pair.test().await.unwrap();
    assert_eq!(cause(&test), Some("NO_MEDIA"));
    let figures = test.figures.unwrap();
    assert!(figures.sent > 0 && figures.received == 0, "{figures:?}");
    pair.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_that_ends_too_early_is_found_out() {
    let pair = Pair::new().await;
    let test = pair.start();
    let [_, there] = pair.answered().await;
    assert!(pair.nodes[1].hang_up(&there, "NORMAL_CLEARING"));
    let test = test.await.unwrap().unwrap();
    assert_eq!(cause(&test), Some("CALL_ENDED"));
    pair.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_request_ends_the_call() {
    let pair = Pair::new().await;
    let test = pair.start();
    pair.answered().await;
    test.abort();
    assert!(test.await.unwrap_err().is_cancelled());
    pair.leaves_nothing().await;
    let again = pair.test().await.unwrap();
    assert_eq!(cause(&again), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_tests_are_refused() {
    let mut settings = relays(KEY);
    let pair = Pair::new().await;
    let reconciler = &pair.world.reconciler;
    let unknown: NodeId = "zzzzz".parse().unwrap();
    for (from, to) in [(unknown, other()), (node(), unknown)] {
        let refused = reconciler.test_relay(from, to).await;
        assert!(
            matches!(refused, Err(RelayTestError::UnknownNode(id)) if id == unknown),
            "{refused:?}"
        );
    }
    let same = reconciler.test_relay(node(), node()).await;
    assert!(matches!(same, Err(RelayTestError::SameNode)), "{same:?}");

    let running = pair.start();
    pair.answered().await;
    let second = pair.test().await;
    assert!(
        matches!(second, Err(RelayTestError::InProgress(id)) if id == node()),
        "{second:?}"
    );
    // The other way is another test.
    let back = reconciler.test_relay(other(), node()).await;
    assert_eq!(cause(&back.unwrap()), None);
    assert_eq!(cause(&running.await.unwrap().unwrap()), None);

    pair.nodes[1].kill();
    until("the connection is lost", async || {
        let down = reconciler.nodes()[1].link != roomkeeper::reconciler::Link::Up;
        down.then_some(())
    })
    .await;
    for (from, to) in [(node(), other()), (other(), node())] {
        let down = reconciler.test_relay(from, to).await;
        assert!(
            matches!(
                &down,
                Err(RelayTestError::Command { node, error: CommandError::Down { .. } }) if *node == other()
            ),
            "{down:?}"
        );
    }

    settings.addresses.remove(&other());
    let pair = Pair::with(settings).await;
    for (from, to) in [(node(), other()), (other(), node())] {
        let refused = pair.world.reconciler.test_relay(from, to).await;
        assert!(
            matches!(refused, Err(RelayTestError::NoAddress(id)) if id == other()),
            "{refused:?}"
        );
    }
}
