//! Worlds of a backend: each starts when the first row needs it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use crate::program::controller::KEY;
use crate::program::media::MediaServer;
use crate::program::poll;
use crate::program::proxy::Proxy;
use crate::program::switch::{Line, RealServer, Switch};
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::row::{App, Entry, Row};
use crate::support::process;

/// The kinds of world that rows need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No limits, for most rows.
    Plain,
    /// Cooldowns with the program's defaults.
    Cooled,
    /// Three nodes: the backend's own, a simulated one, and one that is down. Audio comes from public addresses only.
    Fleet,
    /// An app may make [`APP_RATE`] requests a second.
    Limited,
    /// A world for each row: the controller must not learn what FreeSWITCH did, and a resync that another row triggers
    /// would reveal it.
    Own,
    /// For rows in which FreeSWITCH turns out to have lost state, so that the controller resyncs.
    StateLost,
    /// The timeout of an action's file is one second.
    Brief,
    /// Recordings cannot be written.
    Unwritable,
}

/// Requests per second: few enough for a test to exceed, enough for the world's start.
pub const APP_RATE: u32 = 8;

/// A path at which no file can be created.
const UNWRITABLE: &str = "/proc/recordings";

/// A second node, which is up, and one that is down.
pub const SECOND: &str = "2ndup";
pub const DOWN: &str = "3down";

pub struct Running {
    pub world: World,
    /// Proxy between the controller and the node.
    pub proxy: Proxy,
    pub media: Arc<MediaServer>,
    /// The app of rows that need a second one.
    pub other: App,
    second: Option<Switch>,
    /// Unused apps, one for each row that takes one. All are configured before the start: an app created at run time
    /// triggers a resync.
    unused: Mutex<Vec<App>>,
}

/// Number of configured apps: more than the rows that take one.
const APPS: usize = 40;

impl Running {
    /// Takes an app that no other row uses.
    pub fn new_app(&self) -> App {
        let mut unused = self.unused.lock().unwrap();
        unused.pop().expect("there are more apps than rows")
    }

    /// Returns the second node's FreeSWITCH, where its calls arrive.
    pub fn second(&self) -> &Switch {
        self.second.as_ref().expect("a world with several nodes")
    }
}

pub struct Backend {
    pub name: &'static str,
    store: Store,
    real: Option<RealServer>,
    media: OnceCell<Arc<MediaServer>>,
    worlds: [OnceCell<Arc<Running>>; 8],
}

impl Backend {
    pub fn new(name: &'static str, store: Store, real: Option<RealServer>) -> Self {
        Self {
            name,
            store,
            real,
            media: OnceCell::new(),
            worlds: Default::default(),
        }
    }

    /// Returns the reason why this backend skips a row.
    pub fn skips(&self, entry: &Entry) -> Option<&'static str> {
        let real = self.real.as_ref().and(entry.not_on_a_real_server);
        let volatile = entry.not_in_memory.filter(|_| self.store == Store::Memory);
        real.or(volatile)
    }

    pub async fn run(&self, entry: &Entry) {
        let running = match entry.kind {
            Kind::Own => self.start(Kind::Own).await,
            shared => {
                let cell = &self.worlds[shared as usize];
                Arc::clone(cell.get_or_init(|| self.start(shared)).await)
            }
        };
        let row = Row::new(self, running, entry.name);
        (entry.run)(&row).await;
        row.check_webhooks();
    }

    async fn start(&self, kind: Kind) -> Arc<Running> {
        let mut setup = self.setup();
        match kind {
            Kind::Plain | Kind::Own | Kind::StateLost => {}
            Kind::Cooled => setup.cooldowns = true,
            Kind::Limited => setup.app_rate = APP_RATE,
            Kind::Fleet => setup.play_private = false,
            Kind::Brief => setup.action_timeout = 1,
            Kind::Unwritable => setup.recordings = Some(UNWRITABLE.into()),
        }
        let mut second = None;
        if kind == Kind::Fleet {
            let switch = Switch::simulated(PASSWORD).await;
            let unused_address = SocketAddr::from(([127, 0, 0, 1], process::free_port()));
            setup.more_nodes = vec![
                (SECOND.to_owned(), switch.address()),
                (DOWN.to_owned(), unused_address),
            ];
            second = Some(switch);
        }
        let running = self.start_with(setup, second).await;
        Arc::new(running)
    }

    /// Returns the setup common to all worlds of this backend.
    pub fn setup(&self) -> Setup {
        // A real server has no callees but those of its own dialplan.
        let route = match self.real {
            None => "sofia/gateway/trunk/${number}",
            Some(_) => "loopback/${number}/inbound/XML",
        };
        let dial = [
            ("ROOMKEEPER_DIAL__NUMBER", route),
            ("ROOMKEEPER_DIAL__MAX_PER_APP", "1000"),
            ("ROOMKEEPER_DIAL__ALLOW__0__APP", "*"),
            ("ROOMKEEPER_DIAL__ALLOW__0__NUMBERS", "[\"+4930\"]"),
            ("ROOMKEEPER_DIAL__ALLOW__0__CONTEXTS", "[inbound, nowhere]"),
        ];
        Setup {
            environment: dial
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            // No row tests a slow store, and a busy machine must not look like one.
            store_timeout: 3_000,
            lease_ttl: 9,
            ..Setup::on(self.store)
        }
    }

    /// Starts a world and waits until all its reachable nodes are usable.
    pub async fn start_with(&self, mut setup: Setup, second: Option<Switch>) -> Running {
        let media = self
            .media
            .get_or_init(|| async { Arc::new(MediaServer::start().await) });
        let media = Arc::clone(media.await);
        let switch = match &self.real {
            None => Switch::simulated(PASSWORD).await,
            Some(server) => Switch::real(server.clone(), Line::from_env()),
        };
        let proxy = Proxy::start(switch.address()).await;
        setup.node_address = Some(proxy.address);
        // App names are unique among all controllers on a real server.
        let app = |what: &str| {
            let id = format!("{what}-{}", uuid::Uuid::new_v4().simple());
            let key = format!("{KEY}-of-{id}");
            App { id, key }
        };
        let other = app("other");
        let unused: Vec<App> = (0..APPS).map(|_| app("app")).collect();
        setup.more_apps = unused
            .iter()
            .chain([&other])
            .map(|app| (app.id.clone(), app.key.clone()))
            .collect();
        let world = setup.start_with(switch).await;
        let mut up = vec![world.node.as_str()];
        up.extend(second.is_some().then_some(SECOND));
        for node in up {
            poll::until(
                &format!("node {node} is synced"),
                poll::TIMEOUT,
                async || {
                    let answer = world.controller.operator("/admin/nodes").await?.body;
                    let nodes = answer["nodes"].as_array()?;
                    let node = nodes.iter().find(|row| row["id"] == node)?;
                    (node["synced"] == true && node["link"] == "up").then_some(())
                },
            )
            .await;
        }
        // Each start takes a second snapshot, because FreeSWITCH writes its list of calls late.
        let resyncs = 2.0 * f64::from(1 + u8::from(second.is_some()));
        poll::until("each node was resynced twice", poll::TIMEOUT, async || {
            let name = "roomkeeper_reconciler_resyncs_total";
            (world.controller.metric(name, "").await >= resyncs).then_some(())
        })
        .await;
        Running {
            world,
            proxy,
            media,
            other,
            second,
            unused: Mutex::new(unused),
        }
    }
}
