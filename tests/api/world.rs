//! The setup of the tests: a store with rooms and calls, and a scripted controller.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use roomkeeper::audit::{AuditRecorder, AuditSettings, audit_log};
use roomkeeper::config::{ApiKeyDigest, AppConfig, customer_of};
use roomkeeper::http::rate_limit::{AppLimiter, LimitSettings};
use roomkeeper::http::{ApiSettings, ApiState, CursorKey, Hub, Quota};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{
    Accepted, Controller, Decision, Depth, Intent, IntentError, Link, NodeReport, RelayTest,
    RelayTestError,
};
use roomkeeper::store::call::{decode_call_state, encode_call_state};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::node_status::NodeStatusStore;
use roomkeeper::store::room::{decode_room, encode_room};
use roomkeeper::store::view::{encode_call, encode_recording};
use roomkeeper::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Life, Listing, Store, StoreError, Version,
    ViewId, ViewWrite,
};
use roomkeeper::supervise::ShutdownPhase;
use roomkeeper::tenants::Registry;
use roomkeeper::webhook::backpressure::Backpressure;
use roomkeeper_core::call::{self, CallInput, CallState, Direction};
use roomkeeper_core::dial::{DialPermission, DialRules};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{
    AppId, CallId, ChannelId, ConferenceId, CoreId, MemberId, NodeId, RecordingId, RoomId,
};
use roomkeeper_core::intent::{
    Action, DeleteAccepted, JoinAccepted, LeaveAccepted, RecordingAccepted, UpdateAccepted,
};
use roomkeeper_core::node_state::{NodeState, Rules};
use roomkeeper_core::room::state::Changes;
use roomkeeper_core::room::{
    self, Details, EventStamp, Kind, LeftReason, MemberStatus, MembershipStatus, Origin,
    RecordInput, Registration, ReportedFlags, ReportedLevels, ReportedMember, RoomInput, RoomState,
    RoomStatus,
};
use roomkeeper_core::time::Timestamp;
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

/// The quota of each app, in bytes.
pub const QUOTA: u64 = 1 << 20;

pub const DEMO: (&str, &str) = ("demo", "demo-key");
pub const OTHER: (&str, &str) = ("other", "other-key");
pub const NODES: [&str; 3] = ["acW68", "bbbbb", "ccccc"];

/// The creation time of the double's rooms. Each later change is a second after the previous one.
pub const CREATED: Timestamp = Timestamp::from_micros(1_778_070_896_672_025);

/// The time for which ended objects can be read.
const KEEP: Duration = Duration::from_secs(3_600);

/// An action during a submitted intent.
type During = Box<
    dyn FnOnce(Intent, Arc<MemoryStore>) -> futures_util::future::BoxFuture<'static, ()> + Send,
>;

pub struct Double {
    pub store: Arc<MemoryStore>,
    /// The store that it reads, which may be faulty.
    read_store: Arc<dyn Store>,
    pub nodes: Mutex<Vec<NodeReport>>,
    pub intents: Mutex<Vec<Intent>>,
    pub script: Mutex<VecDeque<Result<Accepted, IntentError>>>,
    pub during: Mutex<Option<During>>,
    /// The result of the next relay test.
    pub relay_test: Mutex<Option<Result<RelayTest, RelayTestError>>>,
    pub panics: Mutex<bool>,
    /// The number of changes that were not scripted.
    changes: AtomicU64,
}

impl Double {
    /// Applies an input to a room, like the reconciler.
    async fn change(&self, room: RoomId, input: RoomInput) {
        let at = CREATED + Duration::from_secs(1 + self.changes.fetch_add(1, Ordering::Relaxed));
        change(&self.store, room, input, at).await;
    }

    fn report(&self, id: NodeId) -> Result<NodeReport, IntentError> {
        let nodes = self.nodes.lock().unwrap();
        let report = nodes.iter().find(|node| node.id == id);
        report.cloned().ok_or(IntentError::UnknownNode(id))
    }

    fn deadline(&self) -> Timestamp {
        CREATED + Duration::from_secs(10 + self.changes.load(Ordering::Relaxed))
    }
}

impl Double {
    /// Decides an intent by the rules and the stored state.
    async fn decide(&self, intent: &Intent, depth: Depth) -> Result<Decision, IntentError> {
        self.report(intent.node()).map_err(|_| intent.not_found())?;
        let mut node_state = NodeState::new(intent.node(), rules());
        for entity in intent.entities() {
            match entity {
                EntityId::Room(id) if id.node() == intent.node() => {
                    node_state.put_room(id, self.read_room(id).await?);
                }
                EntityId::Room(id) => {
                    let room = self.read_room(id).await?;
                    let open = room.filter(RoomState::is_open);
                    let owner = open.and_then(|room| Some(room.registration()?.app.clone()));
                    node_state.set_foreign_room(id, owner);
                }
                EntityId::Call(id) => {
                    let record = self.read_store.read_head(entity).await?;
                    let call = record.map(|record| decode_call_state(id, &record).unwrap());
                    if let Some(room) = call.as_ref().and_then(|call| call.status().room()) {
                        node_state.put_room(room, self.read_room(room).await?);
                    }
                    node_state.put_call(id, call);
                }
            }
        }
        Ok(node_state.check(intent, depth)?)
    }

    async fn read_room(&self, id: RoomId) -> Result<Option<RoomState>, StoreError> {
        let record = self.read_store.read(EntityId::Room(id)).await?;
        Ok(record.map(|record| decode_room(id, &record).unwrap()))
    }

    /// Executes an intent, as far as tests read the result.
    async fn execute(&self, intent: Intent) -> Accepted {
        let Intent {
            target,
            requester,
            command_uid,
            action,
        } = intent;
        match (action, target) {
            (Action::CreateRoom(create), Target::Room(room)) => {
                let app = requester.app().unwrap().clone();
                // Concurrent requests run while the room does not exist yet.
                tokio::task::yield_now().await;
                let registration = Registration {
                    app,
                    name: create.name,
                    origin: create.origin,
                    created_at: CREATED,
                    kind: create.kind,
                    details: *create.details,
                };
                put_room(&self.store, &registered(room, registration)).await;
                Accepted::CreateRoom(())
            }
            (Action::DeleteRoom(_), Target::Room(room)) => {
                let state = stored_room(&self.store, room).await.unwrap();
                let registration = state.registration().unwrap();
                let deadline = self.deadline();
                self.change(room, RoomInput::Delete { deadline }).await;
                Accepted::DeleteRoom(DeleteAccepted {
                    app: registration.app.clone(),
                    name: registration.name.clone(),
                    origin: registration.origin,
                })
            }
            (Action::UpdateRoom(update), Target::Room(room)) => {
                let input = RoomInput::Update {
                    update: update.update,
                    command_uid,
                };
                self.change(room, input).await;
                Accepted::UpdateRoom(UpdateAccepted::Updated)
            }
            (Action::Join(_), Target::Member { room, call }) => {
                let member = member_id(call);
                let join = RoomInput::Join {
                    call,
                    member,
                    caller_id: "527121102".to_owned(),
                    did: "747713001".to_owned(),
                    muted: false,
                    settings: Default::default(),
                    has_pre_actions: false,
                    command_uid,
                    deadline: self.deadline(),
                };
                self.change(room, join).await;
                Accepted::Join(JoinAccepted::Joining { room, member })
            }
            (Action::Kick(_), Target::Member { room, call }) => {
                let state = stored_room(&self.store, room).await.unwrap();
                let input = match state.members()[&call].status {
                    MemberStatus::Joining { .. } => RoomInput::Cancel { call },
                    MemberStatus::Joined | MemberStatus::Leaving { .. } => RoomInput::Leave {
                        call,
                        reason: roomkeeper_core::room::LeftReason::Removed,
                        command_uid: None,
                        deadline: self.deadline(),
                    },
                };
                self.change(room, input).await;
                Accepted::Kick(LeaveAccepted { room })
            }
            (Action::StartRecording(_), Target::Room(room)) => {
                let count = self.changes.load(Ordering::Relaxed);
                let random = Uuid::from_u128((0x4ec0_0000 + u128::from(count)) << 32);
                let id = RecordingId::generate(room.node(), random);
                let start = RecordInput::Start {
                    call: None,
                    id,
                    path: format!("/recordings/{id}.wav"),
                    announcement: None,
                    command_uid,
                    timeout: Duration::from_secs(10),
                };
                self.change(room, RoomInput::Record(start)).await;
                Accepted::StartRecording(RecordingAccepted { recording: id })
            }
            (Action::StopRecording(_), Target::Room(room)) => {
                let state = stored_room(&self.store, room).await.unwrap();
                let recording = state.recording().unwrap().id;
                let stop = RecordInput::Stop {
                    call: None,
                    command_uid,
                    deadline: self.deadline(),
                };
                self.change(room, RoomInput::Record(stop)).await;
                Accepted::StopRecording(RecordingAccepted { recording })
            }
            (action, _) => panic!("nothing is scripted for {action:?}"),
        }
    }
}

#[async_trait]
impl Controller for Double {
    async fn check(&self, intent: &Intent, depth: Depth) -> Result<Decision, IntentError> {
        self.decide(intent, depth).await
    }

    /// Returns the scripted result, or that of the rules.
    async fn submit(&self, intent: Intent) -> Result<Accepted, IntentError> {
        assert!(!*self.panics.lock().unwrap(), "a scripted panic");
        let during = self.during.lock().unwrap().take();
        let is_scripted = !self.script.lock().unwrap().is_empty();
        if !is_scripted
            && let Decision::NoChange(accepted) = self.decide(&intent, Depth::State).await?
        {
            return Ok(accepted);
        }
        self.intents.lock().unwrap().push(intent.clone());
        if let Some(during) = during {
            during(intent.clone(), self.store.clone()).await;
        }
        let scripted = self.script.lock().unwrap().pop_front();
        if let Some(answer) = scripted {
            return answer;
        }
        Ok(self.execute(intent).await)
    }

    fn nodes(&self) -> Vec<NodeReport> {
        self.nodes.lock().unwrap().clone()
    }

    async fn drain(&self, node: NodeId, draining: bool) -> Result<(), IntentError> {
        self.report(node)?;
        self.store.set_draining(node, draining).await?;
        let mut nodes = self.nodes.lock().unwrap();
        let report = nodes.iter_mut().find(|n| n.id == node).unwrap();
        report.draining = draining;
        Ok(())
    }

    async fn resync(&self, node: NodeId) -> Result<(), IntentError> {
        if let Link::Down { retry_after, .. } = self.report(node)?.link {
            return Err(CommandError::Down { retry_after }.into());
        }
        Ok(self.store.request_resync(node).await?)
    }

    async fn test_relay(&self, from: NodeId, to: NodeId) -> Result<RelayTest, RelayTestError> {
        for node in [from, to] {
            let report = self.report(node);
            report.map_err(|_| RelayTestError::UnknownNode(node))?;
        }
        let result = self.relay_test.lock().unwrap().take();
        result.expect("a scripted result")
    }
}

/// Both apps may call German numbers and one host.
fn rules() -> Rules {
    Rules {
        dial: DialRules {
            numbers_have_route: true,
            addresses_have_route: true,
            permissions: vec![DialPermission {
                numbers: vec!["+49".to_owned()],
                domains: vec!["pbx.example.com".to_owned()],
                ..DialPermission::default()
            }],
        },
        ..Rules::default()
    }
}

pub struct World {
    pub store: Arc<MemoryStore>,
    pub controller: Arc<Double>,
    pub apps: Arc<Registry>,
    pub recorder: AuditRecorder,
    pub backpressure: Arc<Backpressure>,
    pub quota: Arc<Quota>,
    /// The shutdown phase of the event streams.
    pub phase: ShutdownPhase,
    pub router: Router,
}

/// The names of the intents' actions.
pub fn names(intents: &[Intent]) -> Vec<&'static str> {
    intents.iter().map(|intent| intent.action.name()).collect()
}

pub fn node(id: &str) -> NodeReport {
    NodeReport {
        id: id.parse().unwrap(),
        link: Link::Up,
        synced: true,
        resynced_at: None,
        drift: 0,
        drifted_at: None,
        failed_once: false,
        owned_elsewhere: false,
        draining: false,
        lag_ms: None,
        speaks: true,
        calls: 0,
        max_calls: 100,
        last_heard: None,
        relay: None,
        relay_tests: Vec::new(),
    }
}

pub fn down(retry_after: Duration) -> Link {
    Link::Down {
        reason: "connection refused".to_owned(),
        retry_after,
    }
}

pub fn app(id: &str) -> AppId {
    id.parse().unwrap()
}

pub fn node_id(id: &str) -> NodeId {
    id.parse().unwrap()
}

pub fn room_id(node: &str, n: u128) -> RoomId {
    RoomId::new(node_id(node), Uuid::from_u128(n))
}

/// A room id whose UUID encodes the node, as in generated ids.
pub fn conference_id(node: &str, n: u128) -> RoomId {
    RoomId::generate(node_id(node), Uuid::from_u128(n << 32))
}

pub fn session_id(node: &str, n: u128) -> CallId {
    CallId::new(node_id(node), ChannelId::new(Uuid::from_u128(n)))
}

/// The membership of a call that is in one room only.
pub fn member_id(session: CallId) -> MemberId {
    // In the bits above the node, and different from those of a conference.
    let random = 0x57a1_u128 << 96 | session.channel().uuid().as_u128() << 32;
    MemberId::generate(session.node(), Uuid::from_u128(random))
}

/// Settings without rate limits and cooldowns.
pub fn settings() -> ApiSettings {
    ApiSettings {
        limits: LimitSettings {
            app_rate: 0,
            cooldowns: false,
        },
        cursor_key: CursorKey::new([1; 32]),
        ..ApiSettings::default()
    }
}

/// An app of the configuration.
pub fn configured((id, key): (&str, &str)) -> AppConfig {
    AppConfig {
        id: app(id),
        customer_id: customer_of(&app(id)),
        api_keys: vec![ApiKeyDigest::from_key(key)],
        dids: Vec::new(),
        rate_limit: None,
        webhooks: Vec::new(),
    }
}

impl World {
    pub fn new() -> Self {
        Self::with_settings(settings())
    }

    pub fn with_settings(settings: ApiSettings) -> Self {
        let store = Arc::new(MemoryStore::new());
        Self::with_store(store.clone(), store, settings)
    }

    /// Uses `read_store` in the API and `store` for changes.
    pub fn with_store(
        read_store: Arc<dyn Store>,
        store: Arc<MemoryStore>,
        settings: ApiSettings,
    ) -> Self {
        let apps = [configured(DEMO), configured(OTHER)];
        Self::with_apps(&apps, read_store, store, settings)
    }

    /// Uses these nodes.
    pub fn with_nodes(nodes: &[&str], store: Arc<MemoryStore>, settings: ApiSettings) -> Self {
        let apps = [configured(DEMO), configured(OTHER)];
        Self::build(&apps, nodes, store.clone(), store, settings)
    }

    /// Uses these configured apps.
    pub fn with_apps(
        apps: &[AppConfig],
        read_store: Arc<dyn Store>,
        store: Arc<MemoryStore>,
        settings: ApiSettings,
    ) -> Self {
        Self::build(apps, &NODES, read_store, store, settings)
    }

    fn build(
        apps: &[AppConfig],
        nodes: &[&str],
        read_store: Arc<dyn Store>,
        store: Arc<MemoryStore>,
        settings: ApiSettings,
    ) -> Self {
        let controller = Arc::new(Double {
            store: store.clone(),
            read_store: read_store.clone(),
            nodes: Mutex::new(nodes.iter().map(|id| node(id)).collect()),
            intents: Mutex::default(),
            script: Mutex::default(),
            during: Mutex::default(),
            relay_test: Mutex::default(),
            panics: Mutex::default(),
            changes: AtomicU64::default(),
        });
        let counter = Arc::new(AtomicU64::new(0xf00));
        let limiter = AppLimiter::new(read_store.clone(), &settings.limits);
        let apps = Arc::new(Registry::new(
            read_store.clone(),
            apps,
            nodes.iter().map(|node| node.parse().unwrap()).collect(),
        ));
        let backpressure = Arc::new(Backpressure::new(100));
        let phase = ShutdownPhase::new();
        let nodes: Vec<_> = nodes.iter().map(|id| node_id(id)).collect();
        let quota = Quota::new(read_store.clone(), nodes.clone(), apps.receivers(), QUOTA);
        let quota = Arc::new(quota);
        let events = Hub::start(read_store.clone(), nodes, settings.streams, &phase);
        let (recorder, mut writer) = audit_log(read_store.clone(), AuditSettings::default());
        let stop = phase.stop().clone();
        phase.spawn(async move { writer.run(&stop).await });
        let router = roomkeeper::http::router(ApiState {
            recorder: recorder.clone(),
            events,
            limiter: Arc::new(limiter),
            backpressure: backpressure.clone(),
            quota: quota.clone(),
            store: read_store,
            controller: controller.clone(),
            apps: apps.clone(),
            settings,
            new_id: Arc::new(move || {
                let count: u128 = counter.fetch_add(1, Ordering::Relaxed).into();
                Uuid::from_u128(count << 32)
            }),
        });
        Self {
            store,
            controller,
            apps,
            recorder,
            backpressure,
            quota,
            phase,
            router,
        }
    }

    pub fn script(&self, answer: Result<Accepted, IntentError>) -> &Self {
        self.controller.script.lock().unwrap().push_back(answer);
        self
    }

    pub fn intents(&self) -> Vec<Intent> {
        std::mem::take(&mut *self.controller.intents.lock().unwrap())
    }

    pub fn set_node(&self, id: &str, change: impl FnOnce(&mut NodeReport)) {
        let mut nodes = self.controller.nodes.lock().unwrap();
        change(nodes.iter_mut().find(|n| n.id == node_id(id)).unwrap());
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(request(DEMO, "GET", path, None)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(request(DEMO, "DELETE", path, None)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(request(DEMO, "POST", path, Some(body))).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(request(DEMO, "PATCH", path, Some(body))).await
    }

    pub async fn post_empty(&self, path: &str) -> Answer {
        self.send(request(DEMO, "POST", path, None)).await
    }

    /// Stores an open room with members; the n-th member is call n.
    pub async fn room(&self, id: RoomId, owner: &str, name: &str, at_ms: u64, members: u128) {
        let at = Timestamp::from_millis(at_ms);
        let mut state = new_room(id, &app(owner), name, Origin::Gateway, at);
        for n in 1..=members {
            enter(&mut state, session_id(id.node().as_str(), n), n % 2 == 0);
        }
        put_room(&self.store, &state).await;
    }

    /// Applies an input to a stored room.
    pub async fn apply_input(&self, room: RoomId, input: RoomInput, at: Timestamp) {
        change(&self.store, room, input, at).await;
    }

    /// Stores a parked call.
    pub async fn session(&self, id: CallId, owner: &str, at_ms: u64) {
        let state = new_session(id, owner, at_ms);
        put_call(&self.store, &state).await;
    }
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

pub fn request(
    (id, key): (&str, &str),
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Request<Body> {
    let builder = Request::builder()
        .method(method)
        .uri(path)
        .header("X-App-ID", id)
        .header("X-API-Key", key);
    match body {
        Some(body) => builder
            .header("Content-Type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => builder.body(Body::empty()).unwrap(),
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {:?}", self.text))
    }

    #[track_caller]
    pub fn is(&self, status: u16, body: Value) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.json(), body);
    }

    /// Checks for an error response with this status in the common envelope; returns its body.
    #[track_caller]
    pub fn fails(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/json");
        let json = self.json();
        let fields = json.as_object().unwrap();
        assert_eq!(fields["success"], Value::Bool(false));
        assert!(!fields["error"].as_str().unwrap().is_empty());
        assert!(
            fields
                .keys()
                .all(|k| ["success", "error", "detail"].contains(&k.as_str())),
            "{json}"
        );
        if status == 503 || status == 429 {
            assert!(self.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
        json
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// The id of a membership.
pub fn membership_id() -> MemberId {
    MemberId::generate(node_id("acW68"), Uuid::from_u128(0x57a1))
}

pub fn new_room(id: RoomId, owner: &AppId, name: &str, origin: Origin, at: Timestamp) -> RoomState {
    let registration = Registration {
        app: owner.clone(),
        name: name.to_owned(),
        origin,
        created_at: at,
        kind: Kind::Conference,
        details: Details::default(),
    };
    registered(id, registration)
}

pub fn registered(id: RoomId, registration: Registration) -> RoomState {
    let mut state = RoomState::unregistered(id);
    let at = registration.created_at;
    room::apply(&mut state, RoomInput::Created(registration), at);
    state
}

pub fn enter(state: &mut RoomState, session: CallId, speak: bool) {
    room::apply(state, entered(session, speak), Timestamp::from_millis(1));
}

/// The position of an event in the only conference instance.
fn stamp(sequence: u64) -> EventStamp {
    EventStamp {
        core: CoreId::new(Uuid::from_u128(1)),
        conference: ConferenceId::new(Uuid::from_u128(2)),
        sequence,
        synthesized: false,
    }
}

/// The input for a call that enters a room.
pub fn entered(session: CallId, speak: bool) -> RoomInput {
    let member = ReportedMember {
        call: session,
        caller_id: "527121102".into(),
        did: "747713001".into(),
        new_id: member_id(session),
        flags: ReportedFlags {
            speak: Some(speak),
            hear: Some(true),
            ..ReportedFlags::default()
        },
        levels: ReportedLevels::default(),
    };
    RoomInput::MemberReported {
        at: stamp(100),
        member,
        entered: true,
    }
}

/// The input for a call that leaves a room.
pub fn left(session: CallId) -> RoomInput {
    RoomInput::MemberGone {
        at: stamp(200),
        call: session,
        reason: LeftReason::Removed,
    }
}

pub fn new_session(id: CallId, owner: &str, at_ms: u64) -> CallState {
    let at = Timestamp::from_millis(at_ms);
    let mut state = CallState::first_seen(
        id,
        app(owner),
        CoreId::new(Uuid::from_u128(1)),
        "527121102".into(),
        "747713001".into(),
        Direction::Inbound,
        at,
        Some(at),
    );
    call::apply(&mut state, CallInput::FirstSeen { synthesized: false }, at);
    state
}

pub async fn put_room(store: &MemoryStore, state: &RoomState) {
    put_room_at(store, state, state.updated_at()).await;
}

/// Stores an entity with its view, like the reconciler.
async fn put_room_at(store: &MemoryStore, state: &RoomState, at: Timestamp) {
    let mut state = state.clone();
    let changes = state.take_changes();
    let (head, parts) = encode_room(&state, &changes, true);
    let registration = state.registration().unwrap();
    let listed = Listing {
        app: registration.app.clone(),
        created_at: registration.created_at,
    };
    let life = match state.status() {
        RoomStatus::Starting | RoomStatus::Progressing | RoomStatus::Terminating { .. } => {
            Life::Live
        }
        RoomStatus::Terminated => Life::Ended { keep: KEEP },
    };
    let entity = EntityId::Room(state.id());
    let views = views(&state, &changes, at);
    write(store, entity, head, parts, life, Some(listed), views).await;
}

fn views(state: &RoomState, changes: &Changes, at: Timestamp) -> Vec<ViewWrite> {
    let registration = state.registration().unwrap();
    let (app, room) = (&registration.app, state.id());
    let view = |view, created_at, body, over: bool| ViewWrite {
        view,
        body,
        listing: Listing {
            app: app.clone(),
            created_at,
        },
        room,
        keep: over.then_some(KEEP),
    };
    let over = state.status() == RoomStatus::Terminated;
    let conference = ViewId::Conference(room);
    let mut views = vec![view(
        conference,
        registration.created_at,
        String::new(),
        over,
    )];
    views.extend(changes.calls.iter().map(|(id, call)| {
        let body = encode_call(app, room, call, at);
        let over = call.status == MembershipStatus::Left;
        view(ViewId::Call(*id), call.since, body, over)
    }));
    views.extend(changes.recordings.iter().map(|(id, recording)| {
        let body = encode_recording(app, room, recording, at);
        let over = recording.state.is_over();
        view(ViewId::Recording(*id), recording.created_at, body, over)
    }));
    views
}

pub async fn stored_room(store: &MemoryStore, id: RoomId) -> Option<RoomState> {
    let record = store.read(EntityId::Room(id)).await.unwrap();
    record.map(|record| decode_room(id, &record).unwrap())
}

/// Applies an input to a stored room, if it exists.
pub async fn change(store: &MemoryStore, id: RoomId, input: RoomInput, at: Timestamp) {
    if let Some(mut state) = stored_room(store, id).await {
        room::apply(&mut state, input, at);
        put_room_at(store, &state, at).await;
    }
}

pub async fn put_call(store: &MemoryStore, state: &CallState) {
    let listed = Listing {
        app: state.app().clone(),
        created_at: state.created_at(),
    };
    let entity = EntityId::Call(state.id());
    write(
        store,
        entity,
        encode_call_state(state),
        Vec::new(),
        Life::Live,
        Some(listed),
        Vec::new(),
    )
    .await;
}

/// Removes an entity.
pub async fn end(store: &MemoryStore, entity: EntityId) {
    let life = Life::Ended {
        keep: Duration::ZERO,
    };
    write(
        store,
        entity,
        Vec::new(),
        Vec::new(),
        life,
        None,
        Vec::new(),
    )
    .await;
}

async fn write(
    store: &MemoryStore,
    entity: EntityId,
    head: Vec<(String, String)>,
    parts: Vec<(String, Option<String>)>,
    life: Life,
    listed: Option<Listing>,
    views: Vec<ViewWrite>,
) {
    let expected = store
        .read_head(entity)
        .await
        .unwrap()
        .map_or(Version::ABSENT, |record| record.version);
    let commit = Commit {
        node: entity.node(),
        request: Uuid::new_v4(),
        lease: None,
        entities: vec![EntityWrite {
            entity,
            expected,
            head,
            parts,
            deadline: None,
            life,
            listed,
        }],
        outbox: Vec::new(),
        views,
    };
    assert_eq!(store.commit(&commit).await.unwrap(), CommitOutcome::Applied);
}
