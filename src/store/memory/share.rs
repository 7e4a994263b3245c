//! The remaining bounds of a claim in progress.

use std::collections::HashMap;

use crate::store::deliveries::{APP_PART, Share};
use roomkeeper_core::ids::{AppId, EndpointId};

/// The part of a [`Share`] that is not claimed yet.
pub(super) struct RemainingShare {
    free: usize,
    each: usize,
    lowered_left: usize,
    by_app: HashMap<AppId, usize>,
    by_endpoint: HashMap<EndpointId, usize>,
    lowered: HashMap<EndpointId, usize>,
}

impl RemainingShare {
    pub(super) fn new(share: Share<'_>) -> Self {
        let mut by_app: HashMap<AppId, usize> = HashMap::new();
        for (app, _, count) in share.under_way {
            *by_app.entry(app.clone()).or_default() += count;
        }
        let under_way = share.under_way.iter();
        Self {
            free: share.free,
            each: share.each,
            lowered_left: share.lowered_left,
            by_app,
            by_endpoint: under_way
                .map(|(_, id, count)| (id.clone(), *count))
                .collect(),
            lowered: share.lowered.iter().cloned().collect(),
        }
    }

    /// The number of attempts under way for an app, those just claimed included.
    pub(super) fn used_by_app(&self, app: &AppId) -> usize {
        self.by_app.get(app).copied().unwrap_or_default()
    }

    /// The number of attempts under way for an endpoint, those just claimed included.
    pub(super) fn used_by_endpoint(&self, endpoint: &EndpointId) -> usize {
        self.by_endpoint.get(endpoint).copied().unwrap_or_default()
    }

    /// Returns true if an endpoint may get one more attempt.
    pub(super) fn allows(&self, app: &AppId, endpoint: &EndpointId) -> bool {
        let left = (self.free / APP_PART)
            .max(1)
            .saturating_sub(self.used_by_app(app));
        let lowered = self.lowered.get(endpoint);
        let most = lowered.copied().unwrap_or(self.each).min(left);
        self.used_by_endpoint(endpoint) < most && (lowered.is_none() || self.lowered_left > 0)
    }

    /// Counts one more attempt for an endpoint.
    pub(super) fn take(&mut self, app: &AppId, endpoint: &EndpointId) {
        *self.by_app.entry(app.clone()).or_default() += 1;
        *self.by_endpoint.entry(endpoint.clone()).or_default() += 1;
        self.free = self.free.saturating_sub(1);
        if self.lowered.contains_key(endpoint) {
            self.lowered_left = self.lowered_left.saturating_sub(1);
        }
    }
}
