//! The circuit breaker of endpoints: limits the permits of each.
//!
//! Pure: the outcome of each attempt comes in, a limit comes out. Owns the limits of endpoints that time out. Leaves
//! out the distribution of permits ([`Share`](crate::store::deliveries::Share)) and the time of the next attempt
//! (`schedule`). Driven by `worker`, which has one for its node; replicas do not share it.
//!
//! Each attempt that times out halves the limit of its endpoint, to at least one permit. Each response doubles it, up
//! to the full limit. So an endpoint that hangs still gets attempts, but holds one permit, and gets the others back
//! after a few responses. A response of any status counts: an endpoint that fails at once delays no other.

use std::collections::HashMap;

use roomkeeper_core::ids::EndpointId;

/// The limits of all endpoints of a node.
#[derive(Debug)]
pub(super) struct Breaker {
    full: usize,
    /// The endpoints below the full limit, each with its limit.
    lowered: HashMap<EndpointId, usize>,
}

impl Breaker {
    /// Starts all endpoints with the `full` limit.
    pub(super) fn new(full: usize) -> Self {
        Self {
            full,
            lowered: HashMap::new(),
        }
    }

    /// Records the outcome of an attempt.
    pub(super) fn note(&mut self, endpoint: &EndpointId, timed_out: bool) {
        let limit = self.lowered.get(endpoint).copied().unwrap_or(self.full);
        let limit = match timed_out {
            true => (limit / 2).max(1),
            false => limit.saturating_mul(2),
        };
        if limit < self.full {
            self.lowered.insert(endpoint.clone(), limit);
        } else {
            self.lowered.remove(endpoint);
        }
    }

    /// Forgets the outcomes of an endpoint.
    pub(super) fn reset(&mut self, endpoint: &EndpointId) {
        self.lowered.remove(endpoint);
    }

    /// Forgets all endpoints except the known ones.
    pub(super) fn retain(&mut self, is_known: impl Fn(&EndpointId) -> bool) {
        self.lowered.retain(|endpoint, _| is_known(endpoint));
    }

    /// The endpoints below the full limit, each with its limit.
    pub(super) fn lowered(&self) -> Vec<(EndpointId, usize)> {
        let lowered = self.lowered.iter();
        lowered.map(|(id, limit)| (id.clone(), *limit)).collect()
    }

    /// True if an endpoint is below the full limit.
    pub(super) fn is_lowered(&self, endpoint: &EndpointId) -> bool {
        self.lowered.contains_key(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_lower_limit_and_responses_restore_it() {
        let (slow, other): (EndpointId, EndpointId) =
            ("ep_1".parse().unwrap(), "ep_2".parse().unwrap());
        let mut breaker = Breaker::new(32);
        let mut after = |timed_out: bool| {
            breaker.note(&slow, timed_out);
            assert!(!breaker.is_lowered(&other));
            breaker.lowered().first().map_or(32, |(_, limit)| *limit)
        };
        let limits: Vec<usize> = (0..6).map(|_| after(true)).collect();
        assert_eq!(limits, [16, 8, 4, 2, 1, 1]);
        let limits: Vec<usize> = (0..6).map(|_| after(false)).collect();
        assert_eq!(limits, [2, 4, 8, 16, 32, 32]);
        assert!(breaker.lowered().is_empty());
    }

    #[test]
    fn removed_endpoint_is_forgotten() {
        let mut breaker = Breaker::new(1);
        let id: EndpointId = "ep_1".parse().unwrap();
        breaker.note(&id, true);
        assert!(breaker.lowered().is_empty(), "one permit is the full limit");
        let mut breaker = Breaker::new(8);
        breaker.note(&id, true);
        breaker.retain(|known| *known == id);
        assert_eq!(breaker.lowered(), [(id.clone(), 4)]);
        breaker.retain(|known| *known != id);
        assert!(!breaker.is_lowered(&id));
    }
}
