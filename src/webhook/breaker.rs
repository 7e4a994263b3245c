//! The circuit breaker of endpoints: how many places each may have.
//!
//! Pure: the outcome of each attempt comes in, a bound comes out. Owns the bound of endpoints that do not answer in
//! time. Leaves out who gets a free place ([`Share`](crate::store::deliveries::Share)) and when a delivery is tried
//! again (`schedule`). Driven by `worker`, which has one for its node: what one replica learns, another learns for
//! itself.
//!
//! Each attempt that times out halves the bound of its endpoint, to one place at least. Each answer doubles it, up to
//! the full bound. So an endpoint that hangs is tried all the time, but holds one place, and gets the others back after
//! a few answers. A response of any status restores the limit: an endpoint that fails at once delays no other.

use std::collections::HashMap;

use roomkeeper_core::ids::EndpointId;

/// The bounds of all endpoints of a node.
#[derive(Debug)]
pub(super) struct Breaker {
    full: usize,
    /// Those that have less than the full bound.
    lowered: HashMap<EndpointId, usize>,
}

impl Breaker {
    /// All endpoints begin with the `full` bound.
    pub(super) fn new(full: usize) -> Self {
        Self {
            full,
            lowered: HashMap::new(),
        }
    }

    /// Takes in the outcome of an attempt.
    pub(super) fn note(&mut self, endpoint: &EndpointId, timed_out: bool) {
        let bound = self.lowered.get(endpoint).copied().unwrap_or(self.full);
        let bound = match timed_out {
            true => (bound / 2).max(1),
            false => bound.saturating_mul(2),
        };
        if bound < self.full {
            self.lowered.insert(endpoint.clone(), bound);
        } else {
            self.lowered.remove(endpoint);
        }
    }

    /// Forgets the endpoints of which this does not hold: they come and go.
    pub(super) fn retain(&mut self, is_known: impl Fn(&EndpointId) -> bool) {
        self.lowered.retain(|endpoint, _| is_known(endpoint));
    }

    /// The endpoints that have less than the full bound, each with its bound.
    pub(super) fn lowered(&self) -> Vec<(EndpointId, usize)> {
        let lowered = self.lowered.iter();
        lowered.map(|(id, bound)| (id.clone(), *bound)).collect()
    }

    /// Tells whether an endpoint has less than the full bound.
    pub(super) fn is_lowered(&self, endpoint: &EndpointId) -> bool {
        self.lowered.contains_key(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_lower_a_bound_and_answers_restore_it() {
        let (slow, other): (EndpointId, EndpointId) =
            ("ep_1".parse().unwrap(), "ep_2".parse().unwrap());
        let mut breaker = Breaker::new(32);
        let mut after = |timed_out: bool| {
            breaker.note(&slow, timed_out);
            assert!(!breaker.is_lowered(&other));
            breaker.lowered().first().map_or(32, |(_, bound)| *bound)
        };
        let bounds: Vec<usize> = (0..6).map(|_| after(true)).collect();
        assert_eq!(bounds, [16, 8, 4, 2, 1, 1]);
        let bounds: Vec<usize> = (0..6).map(|_| after(false)).collect();
        assert_eq!(bounds, [2, 4, 8, 16, 32, 32]);
        assert!(breaker.lowered().is_empty());
    }

    #[test]
    fn an_endpoint_that_is_gone_is_forgotten() {
        let mut breaker = Breaker::new(1);
        let id: EndpointId = "ep_1".parse().unwrap();
        breaker.note(&id, true);
        assert!(breaker.lowered().is_empty(), "one place is the full bound");
        let mut breaker = Breaker::new(8);
        breaker.note(&id, true);
        breaker.retain(|known| *known == id);
        assert_eq!(breaker.lowered(), [(id.clone(), 4)]);
        breaker.retain(|known| *known != id);
        assert!(!breaker.is_lowered(&id));
    }
}
