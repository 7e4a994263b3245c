//! The composition root: what runs, what it is connected by, and in which order it stops.
//!
//! ```text
//! node connections ─→ feed (65,536, drops and resyncs) ─→ actor ─→ store ─→ webhook worker ─→ receivers
//! API listeners ───→ work (1,024, else 503) ────────────↗   └─→ dispatch (32,768, 32 in flight) ─→ node connections
//! ```
//!
//! Each channel's bound stands, with its reason, where it is made. Stopping goes in stages, each of which has ended, or had
//! its time, before the next begins: the listeners take no new request and finish those in flight; the actors finish what
//! they have at hand, give the orders that are left and hand their nodes over; the connections to the nodes end; what the
//! workers have in flight is delivered or left to others.
//!
//! A task that panics is begun anew ([`crate::supervise`]).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::admin_key;
use crate::api::limits::AppLimiter;
use crate::api::{
    AdminState, AllowedHosts, ApiSettings, ApiState, CursorKey, Hub, KeyDigest, PlayRules, Quota,
    Registry, admin_router, router,
};
use crate::config::{Config, HttpConfig};
use crate::esl::command::{ModuleName, Password, ProfileName, Unfit, Voice};
use crate::listen;
use crate::media;
use crate::media::fetch::{FetchLimits, Fetcher, FetcherError};
use crate::media::link::{LinkKey, Links};
use crate::media::proxy::{Proxy, ProxyLimits};
use crate::node::{NodeConfig, Timing};
use crate::reconciler::belief::{Patience, Rules};
use crate::reconciler::{Controller, OrderSettings, Reconciler, Settings, Told};
use crate::store::{OpenError, Store};
use crate::supervise::{Stage, keep};
use crate::telemetry::{self, Chain, Traces};
use crate::webhook::endpoint::Disabling;
use crate::webhook::guard::system_lookup;
use crate::webhook::pressure::Pressure;
use crate::webhook::schedule::Schedule;
use crate::webhook::sender::{Limits, Sender, SenderError};
use crate::webhook::worker::{self, Receivers, Worker};

/// Requests in flight get this long when the program is stopped; the whole program has 10 s.
const DRAIN: Duration = Duration::from_secs(5);

/// The actors get this long to finish what they have at hand, give the orders that are left, and hand their nodes over.
const HAND_OVER: Duration = Duration::from_secs(3);

/// The connections to the nodes have nothing to finish.
const HANG_UP: Duration = Duration::from_millis(500);

/// Everything together has this long to end; what the others leave of it is the deliveries'.
const STOP: Duration = Duration::from_millis(9_500);

/// Calls that are over are remembered this long, so that what comes late does not bring one back.
const KEEP_ENDED_SESSIONS: Duration = Duration::from_secs(600);

/// How long a command may take besides waiting for FreeSWITCH, which it does twice at most.
const COMMAND_HOLD: Duration = Duration::from_secs(5);

/// The media proxy's space holds this many of the largest files: twice as many as it fetches from one host.
const LARGEST_FILE: u64 = 16;

/// From being told to stop to the end of the process.
const WHOLE_STOP: Duration = Duration::from_millis(9_900);

/// The last spans get this long to be sent, or what is left of the above.
const FLUSH: Duration = Duration::from_secs(2);

/// How often histograms that nobody scrapes are folded. It costs as much for one that has nothing new; what comes in that
/// time is a few bytes for each event.
const METRICS_UPKEEP: Duration = Duration::from_secs(10);

/// Why the program could not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The store's URL is not one that can be opened.
    #[error("the store cannot be opened")]
    Store(#[from] OpenError),
    /// The configured file of the admin key can neither be read nor made.
    #[error("cannot use {path} as http.admin_key_file")]
    AdminKey {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The client that calls receivers could not be made.
    #[error("webhooks cannot be sent")]
    Webhooks(#[from] SenderError),
    /// The client of the media proxy could not be made.
    #[error("audio cannot be fetched")]
    Media(#[from] FetcherError),
    /// Something of the configuration cannot be sent to FreeSWITCH.
    #[error("the configuration of {what} cannot be sent to FreeSWITCH")]
    Unfit {
        /// What.
        what: String,
        /// Why.
        source: Unfit,
    },
}

/// A controller that runs.
#[derive(Debug)]
pub struct Running {
    /// Where the API listens.
    pub http: SocketAddr,
    /// Where the operator's listener is.
    pub admin: SocketAddr,
    /// Where the media proxy listens, if there is one.
    pub media: Option<SocketAddr>,
    stages: Stages,
}

/// The stages of stopping, in their order. Each needs those behind it until it has ended.
#[derive(Clone, Debug, Default)]
struct Stages {
    listeners: Stage,
    actors: Stage,
    connections: Stage,
    /// And what all others need to the end.
    deliveries: Stage,
}

impl Running {
    /// Stops in order; returns whether everything ended in time.
    pub async fn stop(self) -> bool {
        let until = Instant::now() + STOP;
        let Stages {
            listeners,
            actors,
            connections,
            deliveries,
        } = self.stages;
        let mut all = true;
        for (stage, longest, left) in [
            (
                listeners,
                DRAIN,
                "requests that were still in flight are cut off",
            ),
            (
                actors,
                HAND_OVER,
                "a node could not be handed over: its lease will run out",
            ),
            (connections, HANG_UP, "a connection to a node did not end"),
            (deliveries, STOP, "attempts to deliver are left to others"),
        ] {
            let within = longest.min(until.saturating_duration_since(Instant::now()));
            if !stage.end(within).await {
                tracing::warn!("{left}");
                all = false;
            }
        }
        all
    }
}

/// Runs a controller until the process is told to stop (SIGTERM or SIGINT).
///
/// # Errors
/// [`AppError`] when it cannot begin. What fails later is logged and tried again.
pub async fn serve(
    config: Config,
    metrics: PrometheusHandle,
    traces: Traces,
) -> Result<(), AppError> {
    let told_to_stop = stop_signal();
    let store = config.store.open()?;
    let running = start(&config, store, metrics).await?;
    let media = running.media.map(tracing::field::display);
    tracing::info!(http = %running.http, admin = %running.admin, media, "Roomkeeper is up");
    told_to_stop.await;
    let told = Instant::now();
    tracing::info!("stopping: no new request is taken, the nodes are handed over");
    if running.stop().await {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped, though not everything had ended");
    }
    let left = WHOLE_STOP.saturating_sub(told.elapsed()).min(FLUSH);
    // A panic in there is told by its own hook, and there is nothing left to do.
    let _ = tokio::task::spawn_blocking(move || traces.flush(left)).await;
    Ok(())
}

/// Starts a controller on this store and returns once it listens.
///
/// # Errors
/// [`AppError`].
pub async fn start(
    config: &Config,
    store: Arc<dyn Store>,
    metrics: PrometheusHandle,
) -> Result<Running, AppError> {
    telemetry::begin_at_zero(config.nodes.iter().map(|node| node.id.as_str()));
    let stages = Stages::default();
    let http = bind(config.http.listen).await?;
    let admin = bind(config.http.admin_listen).await?;
    let addresses = (local(&http)?, local(&admin)?);
    let media = match &config.play.proxy {
        Some(proxy) => Some(bind(proxy.listen).await?),
        None => {
            tracing::warn!(
                "play.proxy_url is not set: FreeSWITCH fetches audio itself, follows redirects and does not verify TLS; \
                 it needs an egress rule that keeps it off private addresses"
            );
            None
        }
    };
    let media_address = media.as_ref().map(local).transpose()?;

    let apps = Arc::new(Registry::new(
        Arc::clone(&store),
        &config.apps,
        config.nodes.iter().map(|node| node.id).collect(),
    ));
    if let Err(error) = apps.refresh().await {
        // A controller starts before its store does; the registry goes on asking.
        tracing::warn!(
            error = %Chain(&error),
            "the stored apps are not known yet"
        );
    }
    let rules = follow_apps(config, &apps, &stages.deliveries);
    let told = Told::of(config.nodes.iter().map(|node| node.id));
    let reconciler = Reconciler::start(
        node_configs(config)?,
        &store,
        &settings(config, rules)?,
        &told,
        &stages.actors,
        &stages.connections,
    )
    .map_err(|source| AppError::Unfit {
        what: "Roomkeeper's own constants".to_owned(),
        source,
    })?;
    let depths = reconciler.depths();
    let controller: Arc<dyn Controller> = Arc::new(reconciler);
    let pressure = Arc::new(Pressure::new(config.store.queues.pending));
    let receivers = Receivers {
        endpoints: apps.receivers(),
        disabling: Arc::clone(&apps) as Arc<dyn Disabling>,
        pressure: Arc::clone(&pressure),
    };
    start_workers(config, &store, &receivers, &told, &stages.deliveries)?;

    let upkeep = metrics.clone();
    let upkeep_stop = stages.deliveries.stop().clone();
    stages.deliveries.spawn(async move {
        let mut due = tokio::time::interval(METRICS_UPKEEP);
        loop {
            tokio::select! {
                () = upkeep_stop.cancelled() => return,
                _ = due.tick() => upkeep.run_upkeep(),
            }
        }
    });

    let api_settings = ApiSettings {
        cursor_key: cursor_key(config),
        limits: config.limits.into(),
        command_hold: COMMAND_HOLD + config.fleet.command_timeout * 2,
        play: PlayRules::configured(&config.play),
        webhooks: config.webhooks,
        ..ApiSettings::configured(&config.http)
    };
    let admin_state = AdminState {
        store: Arc::clone(&store),
        controller: Arc::clone(&controller),
        apps: Arc::clone(&apps),
        key: KeyDigest::of(admin_key(&config.http)?.expose_secret()),
        metrics_are_open: config.http.admin_key.is_none() && config.http.admin_key_file.is_none(),
        hosts: match addresses.1.ip().is_loopback() {
            true => AllowedHosts::only(&config.http.allowed_hosts),
            false => AllowedHosts::Any,
        },
        // What is measured is as it is now, also where whoever else would say it hangs.
        render_metrics: Arc::new(move || {
            telemetry::measure_process();
            depths.measure();
            metrics.render()
        }),
    };
    let admin_routes = admin_router(admin_state, &api_settings);
    let limiter = AppLimiter::new(Arc::clone(&store), &api_settings.limits);
    // With the listeners, which wait for what is in flight: a stream is, for as long as nobody ends it.
    let events = Hub::start(
        Arc::clone(&store),
        config.nodes.iter().map(|node| node.id).collect(),
        api_settings.streams,
        &stages.listeners,
    );
    let quota = Arc::new(Quota::new(
        Arc::clone(&store),
        config.nodes.iter().map(|node| node.id).collect(),
        apps.receivers(),
        config.limits.app_bytes,
    ));
    follow_usage(&quota, &stages.listeners);
    let routes = router(ApiState {
        quota,
        limiter: Arc::new(limiter),
        pressure,
        store,
        controller,
        apps,
        settings: api_settings,
        events,
        new_id: Arc::new(Uuid::new_v4),
    });
    let media = match media {
        Some(listener) => Some((listener, media_routes(config)?, "media")),
        None => None,
    };
    let listeners = [(http, routes, "api"), (admin, admin_routes, "admin")];
    for (listener, routes, name) in listeners.into_iter().chain(media) {
        let stop = stages.listeners.stop().clone();
        let limits = listen::Limits {
            per_address: config.http.connections_per_address,
            ..listen::Limits::default()
        };
        let proxies = listen::TrustedProxies::new(config.http.trusted_proxies.clone());
        stages
            .listeners
            .spawn(listen::serve(listener, routes, limits, proxies, name, stop));
    }
    Ok(Running {
        http: addresses.0,
        admin: addresses.1,
        media: media_address,
        stages,
    })
}

/// The admin key: the configured one, that of the configured file, or that of this user.
fn admin_key(http: &HttpConfig) -> Result<SecretString, AppError> {
    if let Some(key) = &http.admin_key {
        return Ok(key.clone());
    }
    if let Some(path) = &http.admin_key_file {
        return admin_key::load_or_make(path).map_err(|source| AppError::AdminKey {
            path: path.clone(),
            source,
        });
    }
    let path = admin_key::default_path(|name| std::env::var_os(name));
    let made = match &path {
        Some(path) => admin_key::load_or_make(path),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set",
        )),
    };
    Ok(made.unwrap_or_else(|error| {
        tracing::warn!(
            path = path.as_deref().map(|path| tracing::field::display(path.display())),
            %error,
            "admin key cannot be kept, so /admin is closed: set http.admin_key or http.admin_key_file"
        );
        admin_key::random_key()
    }))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Listen { address, source })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, AppError> {
    listener.local_addr().map_err(|source| AppError::Listen {
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        source,
    })
}

/// Keeps what apps have stored up to date.
fn follow_usage(quota: &Arc<Quota>, stage: &Stage) {
    let (quota, stop) = (Arc::clone(quota), stage.stop().clone());
    stage.spawn(async move {
        let state = (quota, stop.clone());
        keep("quota", "all", &stop, state, |(quota, stop)| {
            let (quota, stop) = (Arc::clone(quota), stop.clone());
            Box::pin(async move { quota.run(&stop).await })
        })
        .await;
    });
}

/// Keeps the registry of apps up to date, and tells the actors whose a call is. Who delivers knows it before, so that what an
/// actor commits for a new app finds its receiver.
fn follow_apps(config: &Config, apps: &Arc<Registry>, stage: &Stage) -> watch::Receiver<Rules> {
    let patience = patience(config);
    let recordings = config.recording.directory.clone();
    let rules_of = move |apps: &Registry| Rules {
        dids: apps.dids(),
        apps: apps.ids(),
        patience,
        recordings: recordings.clone(),
    };
    let changes = apps.watch();
    let (rules, told_rules) = watch::channel(rules_of(apps));
    let (asking, stop) = (Arc::clone(apps), stage.stop().clone());
    stage.spawn(async move {
        let state = (asking, stop.clone());
        keep("apps", "all", &stop, state, |(apps, stop)| {
            Box::pin(Arc::clone(apps).run(stop.clone()))
        })
        .await;
    });
    let (apps, stop) = (Arc::clone(apps), stage.stop().clone());
    stage.spawn(async move {
        let ends = stop.clone();
        let state = (changes, rules);
        // A follower that panics is begun anew with the same.
        let rules_of = Arc::new(rules_of);
        let follow = stop.run_until_cancelled(keep("apps", "followers", &ends, state, |state| {
            let (changes, rules) = state;
            let (apps, rules_of) = (Arc::clone(&apps), Arc::clone(&rules_of));
            Box::pin(async move {
                while changes.changed().await.is_ok() {
                    changes.mark_unchanged();
                    rules.send_replace(rules_of(&apps));
                }
            })
        }));
        follow.await;
    });
    told_rules
}

/// One worker a node, each woken by the commits of its node.
fn start_workers(
    config: &Config,
    store: &Arc<dyn Store>,
    receivers: &Receivers,
    told: &Told,
    stage: &Stage,
) -> Result<(), AppError> {
    let sender = Sender::new(config.webhooks, Limits::default())?;
    for node in &config.nodes {
        let wake = told.wake(node.id);
        let worker = Worker::new(
            node.id,
            Arc::clone(store),
            receivers.clone(),
            sender.clone(),
            Schedule::default(),
            worker::Settings::default(),
        );
        let (of, stop) = (node.id.to_string(), stage.stop().clone());
        stage.spawn(async move {
            let state = (worker, wake, stop.clone());
            keep(
                "webhook_worker",
                &of,
                &stop,
                state,
                |(worker, wake, stop)| Box::pin(worker.clone().run(Arc::clone(wake), stop.clone())),
            )
            .await;
        });
    }
    Ok(())
}

fn node_configs(config: &Config) -> Result<Vec<NodeConfig>, AppError> {
    config
        .nodes
        .iter()
        .map(|node| {
            let password =
                Password::new(node.password.expose_secret()).map_err(|source| AppError::Unfit {
                    what: format!("the password of node {}", node.id),
                    source,
                })?;
            Ok(NodeConfig {
                id: node.id,
                address: node.address.to_string(),
                password,
                speech_module: fit("speech.module", ModuleName::new(&*config.speech.module))?,
                timing: Timing {
                    command: config.fleet.command_timeout,
                    ..Timing::default()
                },
                nudge: node.nudge,
            })
        })
        .collect()
}

fn fit<T>(what: &str, made: Result<T, Unfit>) -> Result<T, AppError> {
    made.map_err(|source| AppError::Unfit {
        what: what.to_owned(),
        source,
    })
}

/// How long what was asked for may take, as it is configured.
pub fn patience(config: &Config) -> Patience {
    Patience {
        join: config.conference.join_timeout,
        step: config.conference.action_timeout,
        ..Patience::default()
    }
}

/// What orders need of the configuration.
///
/// # Errors
/// [`AppError::Unfit`].
pub fn order_settings(config: &Config) -> Result<OrderSettings, AppError> {
    let (conference, speech) = (&config.conference, &config.speech);
    Ok(OrderSettings {
        profile: fit("conference.profile", ProfileName::new(&*conference.profile))?,
        connect_profile: fit(
            "conference.connect_profile",
            ProfileName::new(&*conference.connect_profile),
        )?,
        speech_engine: fit("speech.engine", Voice::new(&*speech.engine))?,
        speech_voice: fit("speech.voice", Voice::new(&*speech.voice))?,
        park_timeout: config.calls.park_timeout,
        links: None,
    })
}

fn settings(config: &Config, rules: watch::Receiver<Rules>) -> Result<Settings, AppError> {
    let conference = &config.conference;
    Ok(Settings {
        rules,
        orders: OrderSettings {
            links: media_links(config),
            ..order_settings(config)?
        },
        lease_ttl: config.fleet.lease_ttl,
        resync_interval: config.fleet.resync_interval,
        lost_after: config.fleet.lost_after,
        keep_ended_rooms: conference.keep_ended,
        keep_recordings: config.recording.keep,
        keep_ended_sessions: KEEP_ENDED_SESSIONS,
    })
}

/// The links to the media proxy. Replicas sign and open each other's, so the key comes from what they have in common and
/// no tenant has: the nodes' passwords.
fn media_links(config: &Config) -> Option<Links> {
    let proxy = config.play.proxy.as_ref()?;
    if config.nodes.is_empty() {
        // Nothing plays, and there is no secret to sign with.
        return None;
    }
    let mut digests: Vec<[u8; 32]> = config
        .nodes
        .iter()
        .map(|node| Sha256::digest(node.password.expose_secret()).into())
        .collect();
    digests.sort_unstable();
    let mut hash = Sha256::new_with_prefix(b"roomkeeper media links");
    for digest in digests {
        hash.update(digest);
    }
    Some(Links::new(
        proxy.url.clone(),
        LinkKey::new(hash.finalize().into()),
    ))
}

/// The routes of the media proxy.
fn media_routes(config: &Config) -> Result<axum::Router, AppError> {
    let Some((proxy, links)) = config.play.proxy.as_ref().zip(media_links(config)) else {
        return Ok(axum::Router::new());
    };
    let limits = FetchLimits {
        file: proxy.bytes / LARGEST_FILE,
        ..FetchLimits::default()
    };
    let rules = PlayRules::configured(&config.play);
    let fetcher = Fetcher::new(rules, limits, &system_lookup())?;
    let limits = ProxyLimits {
        bytes: proxy.bytes,
        ..ProxyLimits::default()
    };
    Ok(media::proxy::router(Arc::new(Proxy::new(
        links, fetcher, limits,
    ))))
}

/// Replicas that serve the same callers must read each other's cursors, so the key comes from what they have in common
/// and nobody else has: the digests of the apps' keys.
fn cursor_key(config: &Config) -> CursorKey {
    let mut digests: Vec<[u8; 32]> = config
        .apps
        .iter()
        .flat_map(|app| app.api_keys.iter().map(|key| *key.as_bytes()))
        .collect();
    // With no app in the configuration, what else they have in common: the operator's key.
    if let Some(key) = config.http.admin_key.as_ref()
        && digests.is_empty()
    {
        digests.push(Sha256::digest(key.expose_secret()).into());
    }
    if digests.is_empty() {
        return CursorKey::random();
    }
    digests.sort_unstable();
    let mut hash = Sha256::new_with_prefix(b"roomkeeper list cursors");
    for digest in digests {
        hash.update(digest);
    }
    CursorKey::new(hash.finalize().into())
}

/// Hears SIGTERM and SIGINT from this call on; what is returned ends with the first of them. So it is called before
/// anybody can be told that the program is up. Needs a runtime.
pub fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let hear = |kind| {
        signal(kind)
            .inspect_err(|error| tracing::warn!(%error, "a signal cannot be heard: it ends the program at once"))
            .ok()
    };
    let mut terminated = hear(SignalKind::terminate());
    let mut interrupted = hear(SignalKind::interrupt());
    async move {
        tokio::select! {
            Some(_) = heard(&mut terminated) => {}
            Some(_) = heard(&mut interrupted) => {}
            else => std::future::pending().await,
        }
    }
}

async fn heard(signal: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}
