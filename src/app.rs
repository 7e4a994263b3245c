//! The composition root: starts all tasks, connects them, and stops them in order.
//!
//! ```text
//! node connections ─→ feed (65,536, drops and resyncs) ─→ actor ─→ store ─→ webhook worker ─→ receivers
//! API listeners ───→ work (1,024, else 503) ────────────↗   └─→ dispatch (32,768, 32 in flight) ─→ node connections
//! ```
//!
//! Each channel documents its limit where it is created. The shutdown has phases, and each one starts when the previous one
//! has ended or exceeded its time limit: the listeners accept no new request and finish those in flight; the actors finish
//! their batch, send the remaining commands and hand their nodes over; the connections to the nodes end; the workers finish
//! the deliveries in flight, or leave them to other replicas.
//!
//! A task restarts after a panic ([`crate::supervise`]).

mod audio;
mod background;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::admin_key;
use crate::audit::AuditRecorder;
use crate::config::{Config, HttpConfig, StoreConfig};
use crate::http::listen;
use crate::http::rate_limit::AppLimiter;
use crate::http::{
    AdminState, AllowedHosts, ApiSettings, ApiState, CursorKey, Hub, PlayRules, admin_router,
    router,
};
use crate::media::fetch::FetcherError;
use crate::node::{NodeConfig, Timing};
use crate::reconciler::{
    CommandSettings, Controller, DialTemplates, OutboxSignals, Reconciler, RelaySettings, Settings,
};
use crate::shutdown::{ShutdownPhases, stop_signal};
use crate::store::redis::RedisOptions;
use crate::store::{self, OpenError, Store};
use crate::supervise::{ShutdownPhase, supervise};
use crate::telemetry::{self, Traces};
use crate::tenants::{KeyDigest, Registry};
use crate::webhook::backpressure::Backpressure;
use crate::webhook::endpoint::EndpointDisabler;
use crate::webhook::schedule::Schedule;
use crate::webhook::sender::{Limits, Sender, SenderError};
use crate::webhook::worker::{self, Worker, WorkerContext};
use freeswitch_esl::command::{ModuleName, Password, ProfileName, RelayAddress, Unfit, Voice};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::node_state::{Rules, Timeouts};

use audio::{media_links, media_routes};
use background::{follow_usage, run_metrics_upkeep, start_audit};

/// Ended calls are remembered this long, so that late events do not revive them.
const KEEP_ENDED_SESSIONS: Duration = Duration::from_secs(600);

/// Time limit of a command besides its waits for FreeSWITCH, of which it has at most two.
const COMMAND_HOLD: Duration = Duration::from_secs(5);

/// Time from the signal to the end of the process.
const WHOLE_STOP: Duration = Duration::from_millis(9_900);

/// Time to send the last spans, at most the rest of [`WHOLE_STOP`].
const FLUSH: Duration = Duration::from_secs(2);

/// The reason why the program cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A listener cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The store's URL is invalid.
    #[error("the store cannot be opened")]
    Store(#[from] OpenError),
    /// The configured file of the admin key can neither be read nor created.
    #[error("cannot use {path} as http.admin_key_file")]
    AdminKey {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The HTTP client for webhooks cannot be created.
    #[error("webhooks cannot be sent")]
    Webhooks(#[from] SenderError),
    /// The HTTP client of the media proxy cannot be created.
    #[error("audio cannot be fetched")]
    Media(#[from] FetcherError),
    /// A configured value cannot be sent to FreeSWITCH.
    #[error("the configuration of {what} cannot be sent to FreeSWITCH")]
    Unfit {
        /// The configuration key.
        what: String,
        /// The cause.
        source: Unfit,
    },
}

/// A running controller.
#[derive(Debug)]
pub struct Running {
    /// The API's address.
    pub http: SocketAddr,
    /// The admin listener's address.
    pub admin: SocketAddr,
    /// The media proxy's address, if there is one.
    pub media: Option<SocketAddr>,
    phases: ShutdownPhases,
}

impl Running {
    /// Stops in order; returns whether everything ended in time.
    pub async fn stop(self) -> bool {
        self.phases.stop().await
    }
}

/// Runs a controller until SIGTERM or SIGINT.
///
/// # Errors
/// Fails with [`AppError`] if it cannot start. Later failures are logged and retried.
pub async fn serve(
    config: Config,
    metrics: PrometheusHandle,
    traces: Traces,
) -> Result<(), AppError> {
    let stop_signal = stop_signal();
    let store = open_store(&config.store)?;
    let running = start(&config, store, metrics).await?;
    let media = running.media.map(tracing::field::display);
    tracing::info!(http = %running.http, admin = %running.admin, media, "Roomkeeper is up");
    stop_signal.await;
    let start = Instant::now();
    tracing::info!("stopping: refusing new requests and handing the nodes over");
    if running.stop().await {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped before all tasks had ended");
    }
    let remaining = WHOLE_STOP.saturating_sub(start.elapsed()).min(FLUSH);
    // The panic hook reports a panic in this closure.
    let _ = tokio::task::spawn_blocking(move || traces.flush(remaining)).await;
    Ok(())
}

/// Opens the configured store. It connects on first use.
///
/// # Errors
/// Fails if the URL is invalid.
pub fn open_store(config: &StoreConfig) -> Result<Arc<dyn Store>, OpenError> {
    let options = RedisOptions {
        timeout: config.timeout,
        // A connection attempt must end before the call that makes it.
        connect_timeout: config.timeout * 4 / 5,
        tls: config.tls.as_ref().map(|tls| tls.config.clone()),
    };
    store::open(config.url.expose_secret(), &options, config.queues)
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
    let phases = ShutdownPhases::default();
    let http = bind(config.http.listen).await?;
    let admin = bind(config.http.admin_listen).await?;
    let addresses = (local(&http)?, local(&admin)?);
    let media = bind_media(config).await?;
    let media_address = media.as_ref().map(local).transpose()?;

    let apps = known_apps(config, &store).await;
    let rules = follow_apps(config, &apps, &phases.deliveries);
    let signals = OutboxSignals::for_nodes(config.nodes.iter().map(|node| node.id));
    let reconciler = Reconciler::start(
        node_configs(config)?,
        &store,
        &settings(config, rules)?,
        &signals,
        &phases.actors,
        &phases.connections,
    )
    .map_err(|source| AppError::Unfit {
        what: "Roomkeeper's own constants".to_owned(),
        source,
    })?;
    let depths = reconciler.depths();
    let controller: Arc<dyn Controller> = Arc::new(reconciler);
    let backpressure = Arc::new(Backpressure::new(config.store.queues.pending));
    let context = WorkerContext {
        endpoints: apps.receivers(),
        disabler: Arc::clone(&apps) as Arc<dyn EndpointDisabler>,
        backpressure: Arc::clone(&backpressure),
    };
    start_workers(config, &store, &context, &signals, &phases.deliveries)?;
    run_metrics_upkeep(metrics.clone(), &phases.deliveries);
    let api_settings = api_settings(config);
    let recorder = start_audit(config, &store, &phases.deliveries);
    let state = admin_state(config, addresses.1, &store, &controller, &apps, move || {
        telemetry::measure_process();
        depths.measure();
        metrics.render()
    })?;
    let admin_state = AdminState {
        recorder: recorder.clone(),
        ..state
    };
    let admin_routes = admin_router(admin_state, &api_settings);
    let limiter = AppLimiter::new(Arc::clone(&store), &api_settings.limits);
    // In the listeners' phase, which waits for requests in flight: an event stream is one until it ends.
    let events = Hub::start(
        Arc::clone(&store),
        config.nodes.iter().map(|node| node.id).collect(),
        api_settings.streams,
        &phases.listeners,
    );
    let quota = follow_usage(config, &store, &apps, &phases.listeners);
    let routes = router(ApiState {
        recorder,
        quota,
        limiter: Arc::new(limiter),
        backpressure,
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
        listen_on(config, listener, routes, name, &phases.listeners);
    }
    Ok(Running {
        http: addresses.0,
        admin: addresses.1,
        media: media_address,
        phases,
    })
}

/// Binds the listener of the media proxy, if one is configured.
async fn bind_media(config: &Config) -> Result<Option<TcpListener>, AppError> {
    if let Some(proxy) = &config.play.proxy {
        return bind(proxy.listen).await.map(Some);
    }
    tracing::warn!(
        "play.proxy_url is not set: FreeSWITCH fetches audio itself, follows redirects and does not verify TLS; \
         it needs an egress rule that keeps it off private addresses"
    );
    Ok(None)
}

/// The apps of the configuration, and those of the store if it answers.
async fn known_apps(config: &Config, store: &Arc<dyn Store>) -> Arc<Registry> {
    let apps = Registry::new(
        Arc::clone(store),
        &config.apps,
        config.nodes.iter().map(|node| node.id).collect(),
    );
    if let Err(error) = apps.refresh().await {
        // A controller can start before its store; the registry continues to poll it.
        error.log_effect(None, "the stored apps are not known yet");
    }
    Arc::new(apps)
}

fn api_settings(config: &Config) -> ApiSettings {
    ApiSettings {
        cursor_key: cursor_key(config),
        limits: config.limits.into(),
        command_hold: COMMAND_HOLD + config.fleet.command_timeout * 2,
        play: PlayRules::configured(&config.play),
        voices: config.speech.all_voices(),
        webhooks: config.webhooks,
        max_dials: config.dial.max_per_app,
        ..ApiSettings::configured(&config.http)
    }
}

/// The state of the operator's listener. `render_metrics` measures on each call, so that the values are current even if
/// the task that would report them hangs.
fn admin_state(
    config: &Config,
    address: SocketAddr,
    store: &Arc<dyn Store>,
    controller: &Arc<dyn Controller>,
    apps: &Arc<Registry>,
    render_metrics: impl Fn() -> String + Send + Sync + 'static,
) -> Result<AdminState, AppError> {
    Ok(AdminState {
        store: Arc::clone(store),
        controller: Arc::clone(controller),
        apps: Arc::clone(apps),
        audit: config.audit,
        recorder: AuditRecorder::disabled(),
        key: KeyDigest::for_key(admin_key(&config.http)?.expose_secret()),
        metrics_are_open: config.http.admin_key.is_none() && config.http.admin_key_file.is_none(),
        hosts: match address.ip().is_loopback() {
            true => AllowedHosts::only(&config.http.allowed_hosts),
            false => AllowedHosts::Any,
        },
        render_metrics: Arc::new(render_metrics),
    })
}

/// Serves these routes on a listener until its phase stops.
fn listen_on(
    config: &Config,
    listener: TcpListener,
    routes: Router,
    name: &'static str,
    phase: &ShutdownPhase,
) {
    let limits = listen::Limits {
        per_address: config.http.connections_per_address,
        ..listen::Limits::default()
    };
    let proxies = listen::TrustedProxies::new(config.http.trusted_proxies.clone());
    let stop = phase.stop().clone();
    phase.spawn(listen::serve(listener, routes, limits, proxies, name, stop));
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

/// Keeps the registry of apps up to date, and sends the actors their rules. Webhook workers know a new app first, so
/// that an actor's first commit for it finds its endpoints.
fn follow_apps(
    config: &Config,
    apps: &Arc<Registry>,
    phase: &ShutdownPhase,
) -> watch::Receiver<Rules> {
    let timeouts = timeouts(config);
    let recordings = config.recording.directory.clone();
    let dial = config.dial.rules.clone();
    let rules_of = move |apps: &Registry| Rules {
        dids: apps.dids(),
        apps: apps.ids(),
        digit_apps: apps
            .endpoints()
            .apps_wanting(&["conference.member.dtmf", "call.dtmf"]),
        talk_apps: apps
            .endpoints()
            .apps_wanting(&["conference.member.talking"]),
        muted_talk_apps: apps
            .endpoints()
            .apps_wanting(&["conference.member.talking_muted"]),
        timeouts,
        recordings: recordings.clone(),
        dial: dial.clone(),
    };
    let changes = apps.watch();
    let (rules, told_rules) = watch::channel(rules_of(apps));
    let (asking, stop) = (Arc::clone(apps), phase.stop().clone());
    phase.spawn(async move {
        let state = (asking, stop.clone());
        supervise("apps", "all", &stop, state, |(apps, stop)| {
            Box::pin(Arc::clone(apps).run(stop.clone()))
        })
        .await;
    });
    let (apps, stop) = (Arc::clone(apps), phase.stop().clone());
    phase.spawn(async move {
        let ends = stop.clone();
        let state = (changes, rules);
        // A follower restarts after a panic with the same state.
        let rules_of = Arc::new(rules_of);
        let follow =
            stop.run_until_cancelled(supervise("apps", "followers", &ends, state, |state| {
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

/// Starts one worker per node, each woken by the commits of its node.
fn start_workers(
    config: &Config,
    store: &Arc<dyn Store>,
    context: &WorkerContext,
    signals: &OutboxSignals,
    phase: &ShutdownPhase,
) -> Result<(), AppError> {
    let sender = Sender::new(config.webhooks, Limits::default())?;
    for node in &config.nodes {
        let wake = signals.signal(node.id);
        let worker = Worker::new(
            node.id,
            Arc::clone(store),
            context.clone(),
            sender.clone(),
            Schedule::default(),
            worker::Settings::default(),
        );
        let (label, stop) = (node.id.to_string(), phase.stop().clone());
        phase.spawn(async move {
            let state = (worker, wake, stop.clone());
            supervise(
                "webhook_worker",
                &label,
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

/// The configured timeouts.
pub fn timeouts(config: &Config) -> Timeouts {
    Timeouts {
        join: config.conference.join_timeout,
        step: config.conference.action_timeout,
        recovery: config.fleet.recovery_timeout,
        ..Timeouts::default()
    }
}

/// The configured settings of switch commands.
///
/// # Errors
/// [`AppError::Unfit`].
pub fn command_settings(config: &Config) -> Result<CommandSettings, AppError> {
    let (conference, speech) = (&config.conference, &config.speech);
    Ok(CommandSettings {
        profile: fit("conference.profile", ProfileName::new(&*conference.profile))?,
        connect_profile: fit(
            "conference.connect_profile",
            ProfileName::new(&*conference.connect_profile),
        )?,
        speech_engine: fit("speech.engine", Voice::new(&*speech.engine))?,
        speech_voice: fit("speech.voice", Voice::new(&*speech.voice))?,
        park_timeout: config.calls.park_timeout,
        dial: DialTemplates {
            number: config.dial.number.clone(),
            address: config.dial.address.clone(),
        },
        links: None,
    })
}

/// The address of each node that has one.
fn relay_addresses(config: &Config) -> HashMap<NodeId, RelayAddress> {
    let nodes = config.nodes.iter();
    nodes
        .filter_map(|node| Some((node.id, node.relay.clone()?)))
        .collect()
}

fn settings(config: &Config, rules: watch::Receiver<Rules>) -> Result<Settings, AppError> {
    let conference = &config.conference;
    Ok(Settings {
        rules,
        commands: CommandSettings {
            links: media_links(config),
            ..command_settings(config)?
        },
        relays: RelaySettings {
            key: config.relay_key.clone(),
            addresses: relay_addresses(config),
        },
        lease_ttl: config.fleet.lease_ttl,
        resync_interval: config.fleet.resync_interval,
        lost_after: config.fleet.lost_after,
        keep_ended_rooms: conference.keep_ended,
        keep_recordings: config.recording.keep,
        keep_ended_sessions: KEEP_ENDED_SESSIONS,
    })
}

/// Replicas that serve the same callers must accept each other's cursors, so the key is derived from a shared secret: the
/// digests of the apps' keys.
fn cursor_key(config: &Config) -> CursorKey {
    let mut digests: Vec<[u8; 32]> = config
        .apps
        .iter()
        .flat_map(|app| app.api_keys.iter().map(|key| *key.as_bytes()))
        .collect();
    // Without a configured app, the shared secret is the admin key.
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
