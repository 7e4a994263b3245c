//! A store that panics or hangs where it is told to, and otherwise is the one in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use roomkeeper::store::StoreError;
use roomkeeper::store::memory::MemoryStore;
use tokio::sync::Notify;

/// What happens to a call.
#[derive(Clone)]
pub enum Act {
    /// The first one panics, the others are as ever.
    PanicOnce,
    /// Each waits until it is let go.
    Hold(Arc<Notify>),
}

pub struct Tampered {
    inner: MemoryStore,
    acts: Mutex<BTreeMap<&'static str, Act>>,
    /// How often something happened to a call.
    fired: AtomicU64,
    /// How often each method was called.
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

    /// From now on calls are as ever. Those that are held still wait.
    pub fn behaves(&self, method: &'static str) {
        self.acts.lock().unwrap().remove(method);
    }

    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    /// How often each method was called.
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
            Some(Act::PanicOnce) => panic!("the store was told to panic"),
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
