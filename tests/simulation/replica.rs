//! One replica of the controller without its sockets and clocks: the core, its commits, and their effects.
//!
//! It calls the core as `reconciler::actor` does: it applies a batch, commits it under the versions and the lease, and
//! only then sends commands. The store is the real one in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use roomkeeper::node::CommandError;
use roomkeeper::store::call::{decode_call_state, encode_call_state};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::room::{decode_room, encode_room};
use roomkeeper::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Lease, LeaseOutcome, Life, Listing, Message,
    NodeReader, RawRecord, Record, Store, StoreError, Version,
};
use roomkeeper::webhook::payload;
use roomkeeper_core::call::{Checkpoint, StepId};
use roomkeeper_core::dial::{DialPermission, DialRules};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{AppId, ChannelId, CoreId, RoomId};
use roomkeeper_core::intent::{Accepted, Action, Intent, Refusal};
use roomkeeper_core::node_state::{
    Context, IdSource, NodeState, Notification, Outcome, RecordedMember, Rules, Subject, Timeouts,
};
use roomkeeper_core::room::plan::Suspect;
use roomkeeper_core::room::{FileId, RoomState, RoomStatus};
use roomkeeper_core::switch_command::SwitchCommand;
use roomkeeper_core::switch_event::{ChannelDump, ListedChannel, Snapshot, SwitchEvent};
use roomkeeper_core::time::Timestamp;
use uuid::Uuid;

use super::faults::{Fault, Faults};
use super::node::{app, node_id};

/// The lifetime of a lease that is not renewed.
pub const LEASE: Duration = Duration::from_secs(10);

/// The time for which ended entities stay in the store.
const KEEP: Duration = Duration::from_secs(3_600);

/// The maximum number of attempts of a commit against other writers.
const CONFLICT_TRIES: usize = 16;

/// The failure mode of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outage {
    /// The store neither answers nor acts.
    Away,
    /// The store acts; the answer to the next commit is lost.
    LosesAnswer,
    /// The store acts, and no answer to a commit arrives.
    LosesAnswers,
}

/// The store, its failure mode, and its accepted commits.
pub struct Shared {
    pub store: MemoryStore,
    clock: Arc<AtomicU64>,
    pub outage: Option<Outage>,
    /// The highest epoch so far.
    epoch: u64,
    pub faults: Faults,
    /// The first violated invariant of the store.
    pub broken: Option<String>,
}

impl Shared {
    pub fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let hand = Arc::clone(&clock);
        let store = MemoryStore::with_clock(Arc::new(move || {
            Duration::from_millis(hand.load(Ordering::Relaxed))
        }));
        Self {
            store,
            clock,
            outage: None,
            epoch: 0,
            faults: Faults::default(),
            broken: None,
        }
    }

    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    fn is_away(&self) -> bool {
        self.outage == Some(Outage::Away)
    }

    /// Returns the answer of this store, which never waits.
    pub fn at_once<T>(answer: impl Future<Output = T>) -> T {
        answer
            .now_or_never()
            .expect("a store in memory never waits")
    }

    fn read(&mut self, entity: EntityId) -> Result<Option<Record>, Unavailable> {
        if self.is_away() {
            return Err(Unavailable);
        }
        Ok(Self::at_once(self.store.read(entity)).expect("the record can be decoded"))
    }

    /// Returns a stored room, even an ended one.
    pub fn room(&self, id: RoomId) -> Option<RoomState> {
        let record =
            Self::at_once(self.store.read(EntityId::Room(id))).expect("the record can be decoded");
        record.map(|record| decode_room(id, &record).expect("a stored room can be decoded"))
    }

    fn commit_once(&mut self, commit: &Commit) -> Result<CommitOutcome, Unavailable> {
        if self.is_away() {
            self.faults.fired(Fault::CommitNotTaken);
            return Err(Unavailable);
        }
        let outcome = Self::at_once(self.store.commit(commit)).expect("the store answers");
        if outcome == CommitOutcome::Applied
            && let Some(lease) = commit.lease
            && lease.epoch < self.epoch
        {
            self.broken = Some(format!(
                "I5: a write of epoch {} was accepted after epoch {} began",
                lease.epoch, self.epoch
            ));
        }
        match self.outage {
            Some(Outage::LosesAnswer) => {
                self.outage = None;
                self.faults.fired(Fault::CommitAnswerLost);
                Err(Unavailable)
            }
            Some(Outage::LosesAnswers) => {
                self.faults.fired(Fault::CommitTakenUnknown);
                Err(Unavailable)
            }
            Some(Outage::Away) | None => Ok(outcome),
        }
    }

    /// Repeats a commit under the same request id if the answer was lost.
    fn commit(&mut self, commit: &Commit) -> Result<CommitOutcome, Unavailable> {
        self.commit_once(commit)
            .or_else(|_| self.commit_once(commit))
    }
}

/// The store did not answer.
#[derive(Debug)]
pub struct Unavailable;

struct Counted {
    incarnation: u128,
    given: u128,
}

impl IdSource for Counted {
    fn next_uuid(&mut self) -> Uuid {
        self.given += 1;
        // Above the bits that hold the node in an id that carries its node.
        Uuid::from_u128((0xAAAA << 112) | (self.incarnation << 72) | (self.given << 32))
    }
}

/// An item of a batch.
#[derive(Clone, Debug)]
pub enum Item {
    SwitchEvent(SwitchEvent),
    /// A fence came back: this core runs.
    Fence(CoreId),
    /// The node was unreachable until it was given up.
    NodeLost,
    /// The time for FreeSWITCH to recover calls has passed.
    RecoveryOver,
    Due(EntityId),
    Intent(Intent),
    Failed(SwitchCommand, CommandError),
    Answered(SwitchCommand, String),
    Listed(Vec<ListedChannel>),
    Snapshot(Snapshot, BTreeSet<Suspect>),
    Dumps(Vec<ChannelDump>),
    Vanished {
        channels: Vec<ChannelId>,
        core: CoreId,
        fence: u64,
    },
    Silent(Vec<Target>, BTreeSet<(Target, FileId)>),
    Marked(Vec<(ChannelId, StepId, Option<Checkpoint>)>),
    Tapped(Vec<(RecordedMember, bool)>, u64),
}

/// The results of a committed batch.
#[derive(Debug, Default)]
pub struct Applied {
    pub out: Outcome,
    /// The result of each intent, in order.
    pub verdicts: Vec<Result<Accepted, Refusal>>,
    pub suspects: BTreeSet<Suspect>,
    pub silent: BTreeSet<(Target, FileId)>,
}

/// The outcome of a batch.
#[derive(Debug)]
pub enum BatchOutcome {
    /// The batch is committed, or there was nothing to commit.
    Done(Applied),
    /// Another replica has the lease.
    LeaseLost,
    /// The store did not confirm the commit: the outcome is unknown.
    Unknown,
    /// The state in memory is stale, so nothing was applied.
    Skipped,
}

pub struct Replica {
    owner: Uuid,
    ids: Counted,
    pub node_state: NodeState,
    versions: HashMap<EntityId, Version>,
    deadlines: BTreeMap<EntityId, Timestamp>,
    pub lease: Option<Lease>,
    /// The lease that the store has refused.
    refused: Option<Lease>,
    /// True if the stored state must be loaded before the next batch.
    pub stale: bool,
    /// True if events were missed and no snapshot has begun since.
    pub missed: bool,
    /// The reason for another snapshot.
    pub wants: Option<&'static str>,
    /// Dispatched commands without an answer, with the time of their dispatch.
    pub commands: VecDeque<(u64, SwitchCommand)>,
}

/// The time for FreeSWITCH to recover its calls.
const RECOVERY: Duration = Duration::from_secs(5);

pub fn rules(recovers: bool) -> Rules {
    let recovery = if recovers { RECOVERY } else { Duration::ZERO };
    Rules {
        timeouts: Timeouts {
            recovery,
            ..Timeouts::default()
        },
        apps: BTreeSet::from([app()]),
        recordings: "/var/recordings".to_owned(),
        dial: DialRules {
            numbers_have_route: true,
            addresses_have_route: false,
            permissions: vec![DialPermission {
                app: Some(app()),
                numbers: vec!["+49".to_owned()],
                ..DialPermission::default()
            }],
        },
        ..Rules::default()
    }
}

impl NodeReader for Replica {
    fn expect(&mut self, _: usize, _: usize) {}

    fn entity(&mut self, id: EntityId, version: Version, stored: RawRecord<'_>) {
        self.set_state_from_stored(id, Some((version, stored)));
    }

    fn unreadable(&mut self, id: Option<EntityId>, error: StoreError) {
        panic!("{id:?}: {error}");
    }
}

impl Replica {
    /// Starts a process. Each has its own number.
    pub fn start(incarnation: u128, recovers: bool) -> Self {
        Self {
            owner: Uuid::from_u128(0x0BBB_0000 + incarnation),
            ids: Counted {
                incarnation,
                given: 0,
            },
            node_state: NodeState::new(node_id(), rules(recovers)),
            versions: HashMap::new(),
            deadlines: BTreeMap::new(),
            lease: None,
            refused: None,
            stale: false,
            missed: true,
            wants: None,
            commands: VecDeque::new(),
        }
    }

    // ---- the lease ----------------------------------------------------------------------------------------------

    /// A round of the lease keeper: acquires or renews the lease. Returns true if it was acquired.
    pub fn keep(&mut self, shared: &mut Shared) -> bool {
        if shared.is_away() {
            return false;
        }
        let answer = shared.store.acquire_lease(node_id(), self.owner, LEASE);
        match Shared::at_once(answer).expect("the store answers") {
            LeaseOutcome::Held(lease) => {
                shared.epoch = shared.epoch.max(lease.epoch);
                if Some(lease) == self.lease || Some(lease) == self.refused {
                    return false;
                }
                self.lease = Some(lease);
                self.refused = None;
                self.stale = true;
                self.missed = true;
                self.wants = Some("this replica owns the node now");
                true
            }
            LeaseOutcome::Other { .. } => {
                self.lose_lease();
                false
            }
        }
    }

    fn lose_lease(&mut self) {
        self.lease = None;
        self.forget();
    }

    fn forget(&mut self) {
        self.node_state.clear();
        self.versions.clear();
        self.deadlines.clear();
    }

    // ---- the store ----------------------------------------------------------------------------------------------

    /// Loads the node again if the state in memory is stale.
    pub fn read_again(&mut self, shared: &mut Shared) {
        if !self.stale || self.lease.is_none() || shared.is_away() {
            return;
        }
        self.forget();
        Shared::at_once(shared.store.read_node(node_id(), self)).expect("the store answers");
        self.stale = false;
        self.wants = Some("the state was read from the store");
    }

    fn set_state(&mut self, entity: EntityId, record: Option<&Record>) {
        self.set_state_from_stored(entity, record.map(|r| (r.version, r.into())));
    }

    fn set_state_from_stored(
        &mut self,
        entity: EntityId,
        stored: Option<(Version, RawRecord<'_>)>,
    ) {
        let (version, stored) = stored.unzip();
        let deadline = match entity {
            EntityId::Room(id) => {
                let room =
                    stored.map(|s| decode_room(id, s).expect("a stored room can be decoded"));
                let deadline = room.as_ref().and_then(|r| r.next_deadline());
                self.node_state.put_room(id, room);
                deadline
            }
            EntityId::Call(id) => {
                let session =
                    stored.map(|s| decode_call_state(id, s).expect("a stored call can be decoded"));
                let deadline = session.as_ref().and_then(|s| s.next_deadline());
                self.node_state.put_call(id, session);
                deadline
            }
        };
        match version {
            Some(version) => self.versions.insert(entity, version),
            None => self.versions.remove(&entity),
        };
        self.set_deadline(entity, deadline);
    }

    fn reload(
        &mut self,
        entities: &BTreeSet<EntityId>,
        shared: &mut Shared,
    ) -> Result<(), Unavailable> {
        self.read_all(entities, true, shared)
    }

    fn catch_up(
        &mut self,
        entities: &BTreeSet<EntityId>,
        shared: &mut Shared,
    ) -> Result<(), Unavailable> {
        self.read_all(entities, false, shared)
    }

    fn read_all(
        &mut self,
        entities: &BTreeSet<EntityId>,
        forced: bool,
        shared: &mut Shared,
    ) -> Result<(), Unavailable> {
        let coming = self.coming_into(entities);
        self.read_each(entities, forced, shared)?;
        let still = self.coming_into(entities);
        let with_them: BTreeSet<EntityId> = entities
            .iter()
            .flat_map(|entity| self.node_state.written_together_with(*entity))
            .chain(coming.difference(&still).copied())
            .filter(|entity| !entities.contains(entity))
            .collect();
        self.read_each(&with_them, forced, shared)?;
        self.forget_all_over(&with_them);
        Ok(())
    }

    fn coming_into(&self, entities: &BTreeSet<EntityId>) -> BTreeSet<EntityId> {
        entities
            .iter()
            .flat_map(|entity| self.node_state.calls_joining(*entity))
            .collect()
    }

    fn forget_all_over<'a>(&mut self, read: impl IntoIterator<Item = &'a EntityId>) {
        for entity in read {
            if self.node_state.forget_over(*entity) {
                self.versions.remove(entity);
                self.set_deadline(*entity, None);
            }
        }
    }

    fn read_each(
        &mut self,
        entities: &BTreeSet<EntityId>,
        forced: bool,
        shared: &mut Shared,
    ) -> Result<(), Unavailable> {
        for entity in entities {
            let record = shared.read(*entity)?;
            let version = record.as_ref().map(|record| record.version);
            if !forced && version.is_some() && version == self.versions.get(entity).copied() {
                continue;
            }
            if let EntityId::Room(id) = entity
                && self
                    .node_state
                    .room(*id)
                    .is_some_and(|r| r.registration().is_none())
            {
                if record.is_none() {
                    continue;
                }
                self.wants = Some("a room belongs to an app");
            }
            self.set_state(*entity, record.as_ref());
        }
        Ok(())
    }

    fn set_deadline(&mut self, entity: EntityId, at: Option<Timestamp>) {
        match at {
            Some(at) => self.deadlines.insert(entity, at),
            None => self.deadlines.remove(&entity),
        };
    }

    /// Returns the entities with a deadline that has passed, including those that another replica wrote.
    pub fn due(&mut self, shared: &mut Shared) -> Vec<EntityId> {
        let now = time(shared);
        if self.lease.is_none() || self.stale {
            return Vec::new();
        }
        let mut due: BTreeSet<EntityId> = self
            .deadlines
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(entity, _)| *entity)
            .collect();
        if !shared.is_away() {
            let stored = shared.store.due(node_id(), now, 256);
            let unknown: BTreeSet<EntityId> = Shared::at_once(stored)
                .expect("the store answers")
                .into_iter()
                .filter(|entity| !due.contains(entity))
                .collect();
            if self.catch_up(&unknown, shared).is_ok() {
                due.extend(unknown);
            }
        }
        due.into_iter().collect()
    }

    /// Returns true if FreeSWITCH had its time to recover calls.
    pub fn is_recovery_over(&self, shared: &Shared) -> bool {
        let deadline = self.node_state.recovery_deadline();
        let is_over = deadline.is_some_and(|at| at <= time(shared));
        is_over && self.lease.is_some() && !self.stale
    }

    /// Returns the time until the next deadline, including those that another replica wrote.
    pub fn next_deadline(&self, shared: &Shared) -> Option<Duration> {
        let now = time(shared);
        let recovery = self.node_state.recovery_deadline();
        let own = self.deadlines.values().copied().chain(recovery).min();
        let own = own.map(|at| at.since(now));
        let is_due = |wait: &u64| {
            let answer = shared
                .store
                .due(node_id(), now + Duration::from_secs(*wait), 1);
            !Shared::at_once(answer)
                .expect("the store answers")
                .is_empty()
        };
        let stored = [1, 5, 15, 60, 600].into_iter().find(is_due);
        own.into_iter().chain(stored.map(Duration::from_secs)).min()
    }

    // ---- one batch ----------------------------------------------------------------------------------------------

    /// Applies a batch and commits it. Commands go out only after the commit.
    pub fn step(&mut self, items: &[Item], reachable: bool, shared: &mut Shared) -> BatchOutcome {
        let owner = self.lease.is_some();
        if owner && self.stale {
            self.missed = true;
            self.wants = Some("the store did not answer");
            return BatchOutcome::Skipped;
        }
        let mut read = BTreeSet::new();
        if owner {
            read = self.names_unknown(items);
            if self.catch_up(&read, shared).is_err() {
                return self.fail();
            }
        }
        let run = self.node_state.run();
        for _ in 0..CONFLICT_TRIES {
            if !owner && self.load_for(items, shared).is_err() {
                return self.fail();
            }
            let now = time(shared);
            self.node_state.set_reachable(reachable);
            let applied = self.apply(items, now);
            let touched = self.node_state.take_touched();
            let (writes, deadlines) = self.writes(&touched);
            if writes.is_empty() {
                let done = self.done(applied, &touched, shared);
                self.forget_all_over(&read);
                return done;
            }
            let commit = Commit {
                node: node_id(),
                request: self.ids.next_uuid(),
                lease: self.lease,
                outbox: self.messages(&applied.out.notifications, now),
                entities: writes,
                views: Vec::new(),
            };
            match shared.commit(&commit) {
                Ok(CommitOutcome::Applied) => {
                    for write in &commit.entities {
                        self.versions.insert(write.entity, write.expected.next());
                    }
                    for (entity, at) in deadlines {
                        self.set_deadline(entity, at);
                    }
                    let done = self.done(applied, &touched, shared);
                    self.forget_all_over(&read);
                    return done;
                }
                Ok(CommitOutcome::Conflict(_)) => {
                    read.extend(&touched);
                    shared.faults.fired(Fault::Conflict);
                    if self.reload(&touched, shared).is_err() {
                        return self.fail();
                    }
                    self.node_state.restore_run(run);
                }
                Ok(CommitOutcome::LeaseLost) => {
                    shared.faults.fired(Fault::OldEpochRefused);
                    self.refused = self.lease;
                    self.lose_lease();
                    return BatchOutcome::LeaseLost;
                }
                Err(Unavailable) => return self.fail(),
            }
        }
        self.fail()
    }

    fn fail(&mut self) -> BatchOutcome {
        self.forget();
        self.stale = true;
        self.missed = true;
        self.wants = Some("the store did not answer");
        BatchOutcome::Unknown
    }

    /// Returns the entities in intents and events that the owner does not know: another replica may have created them,
    /// or they have ended.
    fn names_unknown(&self, items: &[Item]) -> BTreeSet<EntityId> {
        let unknown = |entity: &EntityId| match entity {
            EntityId::Room(id) => self
                .node_state
                .room(*id)
                .is_none_or(|room| room.registration().is_none()),
            EntityId::Call(id) => self.node_state.call(*id).is_none(),
        };
        let is_unknown = |room: &RoomId| self.node_state.room(*room).is_none();
        let mut found = BTreeSet::new();
        for item in items {
            match item {
                Item::Intent(intent) if matches!(intent.action, Action::CreateRoom(_)) => {}
                Item::Intent(_) => found.extend(named(item).into_iter().filter(unknown)),
                Item::Snapshot(snapshot, _) => {
                    let shown = snapshot.rooms.iter().map(|shown| shown.room);
                    found.extend(shown.filter(is_unknown).map(EntityId::Room));
                }
                Item::SwitchEvent(event) => found.extend(self.node_state.unknown_entity(event)),
                _ => {}
            }
        }
        found
    }

    /// Loads the entities of intents. A replica that does not own the node keeps no state between two intents.
    fn load_for(&mut self, items: &[Item], shared: &mut Shared) -> Result<(), Unavailable> {
        self.forget();
        let wanted: BTreeSet<EntityId> = items.iter().flat_map(named).collect();
        self.reload(&wanted, shared)
    }

    fn apply(&mut self, items: &[Item], now: Timestamp) -> Applied {
        let mut applied = Applied::default();
        let mut cx = Context::new(now, &mut self.ids);
        for item in items {
            match item {
                Item::SwitchEvent(event) => self.node_state.apply_event(event.clone(), &mut cx),
                Item::Fence(core) => self.node_state.core_changed(Some(*core), &mut cx),
                Item::NodeLost => self.node_state.core_changed(None, &mut cx),
                Item::RecoveryOver => self.node_state.end_recovery(&mut cx),
                Item::Due(entity) => self.node_state.deadline(*entity, &mut cx),
                Item::Intent(intent) => {
                    let verdict = self.node_state.intent(intent.clone(), &mut cx);
                    applied.verdicts.push(verdict);
                }
                Item::Failed(command, error) => {
                    self.node_state.revert_command(command, error, &mut cx)
                }
                Item::Answered(command, text) => {
                    self.node_state.apply_answer(command, text, &mut cx);
                }
                Item::Listed(listed) => {
                    self.node_state.find_listed(listed, &mut cx);
                    self.node_state.add_identities(listed);
                }
                Item::Snapshot(snapshot, confirmed) => {
                    applied.suspects = self.node_state.merge_snapshot(snapshot, confirmed, &mut cx);
                }
                Item::Dumps(dumps) => {
                    for dump in dumps {
                        self.node_state.apply_dump(dump.clone(), &mut cx);
                    }
                }
                Item::Vanished {
                    channels,
                    core,
                    fence,
                } => {
                    if self.node_state.core() == Some(*core) {
                        for channel in channels {
                            self.node_state.end_vanished_call(*channel, *fence, &mut cx);
                        }
                    }
                }
                Item::Silent(rooms, confirmed) => {
                    applied.silent = self
                        .node_state
                        .apply_silence_report(rooms, confirmed, &mut cx);
                }
                Item::Marked(marks) => self.node_state.apply_checkpoints(marks.clone(), &mut cx),
                Item::Tapped(tapped, fence) => {
                    self.node_state
                        .apply_recorded_members(tapped, *fence, &mut cx);
                }
            }
        }
        applied.out = cx.out;
        applied
    }

    fn writes(
        &mut self,
        touched: &BTreeSet<EntityId>,
    ) -> (Vec<EntityWrite>, Vec<(EntityId, Option<Timestamp>)>) {
        let mut writes = Vec::new();
        for entity in touched {
            let expected = self.versions.get(entity).copied().unwrap_or_default();
            let write = match entity {
                EntityId::Room(id) => {
                    let Some(room) = self.node_state.room_mut(*id) else {
                        continue;
                    };
                    let changes = room.take_changes();
                    let Some(registration) = room.registration() else {
                        continue;
                    };
                    if changes.is_empty() {
                        continue;
                    }
                    let (head, parts) = encode_room(room, &changes, expected == Version::ABSENT);
                    EntityWrite {
                        entity: *entity,
                        expected,
                        head,
                        parts,
                        deadline: room.next_deadline(),
                        life: life(room.status() == RoomStatus::Terminated),
                        listed: listing(&registration.app, registration.created_at),
                    }
                }
                EntityId::Call(id) => {
                    let Some(session) = self.node_state.call_mut(*id) else {
                        continue;
                    };
                    if !session.take_changed() {
                        continue;
                    }
                    EntityWrite {
                        entity: *entity,
                        expected,
                        head: encode_call_state(session),
                        parts: Vec::new(),
                        deadline: session.next_deadline(),
                        life: life(session.is_over()),
                        listed: listing(session.app(), session.created_at()),
                    }
                }
            };
            writes.push(write);
        }
        let deadlines = writes.iter().map(|w| (w.entity, w.deadline)).collect();
        (writes, deadlines)
    }

    fn messages(&mut self, notices: &[Notification], now: Timestamp) -> Vec<Message> {
        notices
            .iter()
            .map(|notice| match &notice.about {
                Subject::Room(room, event) => {
                    payload::room_message(self.ids.next_uuid(), &notice.app, *room, event, now)
                }
                Subject::Call(session, event) => payload::session_message(
                    self.ids.next_uuid(),
                    &notice.app,
                    *session,
                    event,
                    now,
                ),
            })
            .collect()
    }

    fn done(
        &mut self,
        applied: Applied,
        touched: &BTreeSet<EntityId>,
        shared: &mut Shared,
    ) -> BatchOutcome {
        let now = time(shared);
        for entity in touched {
            self.node_state.drop_over(*entity, now);
            let gone = match entity {
                EntityId::Room(id) => self.node_state.room(*id).is_none(),
                EntityId::Call(id) => self.node_state.call(*id).is_none(),
            };
            if gone {
                self.versions.remove(entity);
                self.set_deadline(*entity, None);
            }
        }
        if let Some(why) = applied.out.resync {
            self.wants = Some(why);
        }
        let at = shared.now();
        let commands = applied.out.commands.iter().cloned();
        self.commands.extend(commands.map(|command| (at, command)));
        if self.lease.is_none() {
            self.forget();
        }
        BatchOutcome::Done(applied)
    }
}

pub fn time(shared: &Shared) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + shared.now())
}

const fn life(is_over: bool) -> Life {
    if is_over {
        Life::Ended { keep: KEEP }
    } else {
        Life::Live
    }
}

fn listing(app: &AppId, created_at: Timestamp) -> Option<Listing> {
    Some(Listing {
        app: app.clone(),
        created_at,
    })
}

/// Returns the entities that intents and answers name.
fn named(item: &Item) -> Vec<EntityId> {
    match item {
        Item::Intent(intent) => intent.entities().collect(),
        Item::Failed(command, _) | Item::Answered(command, _) => {
            command.target.entities().collect()
        }
        _ => Vec::new(),
    }
}
