//! The model, its connections and its clock, shared by all tasks of a node.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicBool},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::config::SimConfig;
use super::faults::FaultCounters;
use crate::core::{ConnId, Core, MediaPace, SeededIds};

/// The ways to end a connection early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    Between,
    Torn,
    Killed,
}

/// A connection, as the model's driver sees it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) output: Arc<Notify>,
    pub(super) cut: watch::Sender<Option<ConnectionEnd>>,
}

/// The model and its connections.
#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Core,
    pub(super) links: BTreeMap<ConnId, Link>,
    /// The number of earlier starts.
    pub(super) starts: u64,
}

/// The state that all tasks of a node share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the task that drives the model: work may have become due.
    pub(super) wake: Notify,
    pub(super) stalled: watch::Sender<bool>,
    pub(super) refuse: AtomicBool,
    pub(super) faults: FaultCounters,
    /// The nodes by the address of their relays.
    pub(super) relays: Mutex<BTreeMap<String, Weak<Shared>>>,
    epoch: u64,
    start: Instant,
    pub(super) config: SimConfig,
}

impl State {
    fn notify_writers(&self) {
        for (id, link) in &self.links {
            if self.core.has_output(*id) || self.core.is_closed(*id) {
                link.output.notify_one();
            }
        }
    }
}

impl Shared {
    pub(super) fn new(config: SimConfig) -> Self {
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let epoch = u64::try_from(epoch.as_micros()).unwrap_or_default();
        Self {
            state: Mutex::new(State {
                core: new_core(&config, 0, epoch),
                links: BTreeMap::new(),
                starts: 0,
            }),
            wake: Notify::new(),
            stalled: watch::Sender::new(false),
            refuse: AtomicBool::new(false),
            faults: FaultCounters::default(),
            relays: Mutex::default(),
            epoch,
            start: Instant::now(),
            config,
        }
    }

    /// A panic elsewhere must not hide behind a poisoned lock: the state remains usable.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        self.epoch + u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
    }

    /// Runs `act` on the model at the present time, then wakes the writers.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Core, u64) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        state.core.advance(now);
        let outcome = act(&mut state.core, now);
        state.notify_writers();
        let signals = state.core.take_relay_signals();
        drop(state);
        self.wake.notify_one();
        self.deliver(signals);
        outcome
    }

    /// Does the work that is due. Returns the time until the next work, in microseconds.
    pub(super) fn advance(&self) -> Option<u64> {
        let now = self.now();
        let mut state = self.lock();
        state.core.advance(now);
        state.notify_writers();
        let next = state.core.next_wakeup().map(|at| at.saturating_sub(now));
        let signals = state.core.take_relay_signals();
        drop(state);
        self.deliver(signals);
        next
    }

    /// Starts a new model without connections.
    pub(super) fn start_new_core(&self) {
        let now = self.now();
        let mut state = self.lock();
        state.starts += 1;
        let tracked = state.core.tracked_calls();
        state.core = new_core(&self.config, state.starts, now);
        state.core.add_tracked(tracked);
        state.links.clear();
        drop(state);
        self.wake.notify_one();
    }
}

/// Creates a model; each start of a node has its own identifiers.
fn new_core(config: &SimConfig, start_number: u64, now: u64) -> Core {
    let seed = config
        .seed
        .wrapping_mul(1_000_003)
        .wrapping_add(start_number);
    let pace = if config.jitter {
        MediaPace::jittered(seed)
    } else {
        MediaPace::default()
    };
    Core::new(
        config.node.clone(),
        Box::new(SeededIds::new(seed)),
        Box::new(pace),
        now,
    )
}
