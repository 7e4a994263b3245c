//! A store in memory that panics or hangs on request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use roomkeeper::store::StoreError;
use roomkeeper::store::memory::MemoryStore;
use tokio::sync::Notify;

/// The fault of a call.
#[derive(Clone)]
pub enum Act {
    /// The first call panics, the others work.
    PanicOnce,
    /// Each call waits until it is released.
    Hold(Arc<Notify>),
}

pub struct Tampered {
    inner: MemoryStore,
    acts: Mutex<BTreeMap<&'static str, Act>>,
    /// The number of calls that panicked or waited.
    fired: AtomicU64,
    /// The number of calls of each method.
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tampered {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            acts: Mutex::default(),
            fired: AtomicU64::new(0),
            calls: Mutex::default(),
        })
    }

    pub fn will(&self, method: &'static str, act: Act) {
        self.acts.lock().unwrap().insert(method, act);
    }

    /// Lets later calls work. Held calls still wait.
    pub fn behaves(&self, method: &'static str) {
        self.acts.lock().unwrap().remove(method);
    }

    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    /// The number of calls of each method.
    pub fn calls(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        self.calls.lock().unwrap().clone().into_iter()
    }

    pub fn calls_of(&self, method: &str) -> u64 {
        self.calls()
            .find(|(name, _)| *name == method)
            .map_or(0, |(_, calls)| calls)
    }

    async fn gate(&self, method: &'static str) -> Result<&MemoryStore, StoreError> {
        *self.calls.lock().unwrap().entry(method).or_default() += 1;
        let act = {
            let mut acts = self.acts.lock().unwrap();
            let act = acts.get(method).cloned();
            if matches!(act, Some(Act::PanicOnce)) {
                acts.remove(method);
            }
            act
        };
        if act.is_some() {
            self.fired.fetch_add(1, Ordering::SeqCst);
        }
        match act {
            None => {}
            Some(Act::PanicOnce) => panic!("the test requested a panic of the store"),
            Some(Act::Hold(go)) => go.notified().await,
        }
        Ok(&self.inner)
    }
}

impl fmt::Debug for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tampered")
    }
}

store_behind!(roomkeeper, Tampered);
