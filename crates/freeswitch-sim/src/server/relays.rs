//! Calls between simulated nodes of one process.
//!
//! Owns the delivery of their signals. Leaves out both ends of a call: they are the model's.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError, Weak},
};

use super::shared::Shared;
use crate::core::RelaySignal;

/// The status of a call to an address without a node.
const UNREACHABLE: u16 = 503;

impl Shared {
    /// The nodes by the address of their relays.
    pub(super) fn routes(&self) -> MutexGuard<'_, BTreeMap<String, Weak<Self>>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(&self, address: &str) -> Option<Arc<Self>> {
        self.routes().get(address).and_then(Weak::upgrade)
    }

    /// Delivers signals to other nodes, while no model is locked.
    pub(super) fn deliver(&self, signals: Vec<RelaySignal>) {
        for signal in signals {
            match signal {
                RelaySignal::Invite {
                    address,
                    caller,
                    call_id,
                    key,
                } => {
                    let response = match self.route(&address) {
                        Some(node) => node.with(|core, now| core.relay_in(&call_id, &key, now)),
                        None => Err(UNREACHABLE),
                    };
                    self.with(|core, now| core.relay_answered(&caller, response, now));
                }
                RelaySignal::Ended { call_id } => {
                    let nodes: Vec<_> = self.routes().values().filter_map(Weak::upgrade).collect();
                    for node in nodes {
                        node.with(|core, now| core.relay_ended(&call_id, now));
                    }
                }
            }
        }
    }
}
