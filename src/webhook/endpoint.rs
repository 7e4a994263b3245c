//! Webhook endpoints and their event filters.
//!
//! Owns the endpoints of each app and the selection by event. Leaves out the requests. An endpoint's id is the same
//! after a restart and on every replica, and stays when its secret or filters change: the id of a configured endpoint
//! is derived from its app and URL, that of any other is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use url::Url;
use uuid::Uuid;

use super::payload::{OPT_IN, event_names};
use super::sign::Secret;
use crate::store::StoreError;
use crate::store::endpoints::Disabled;
use roomkeeper_core::ids::{AppId, EndpointId};
use roomkeeper_core::time::Timestamp;

/// The UUID namespace of endpoint ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0d_4a52_3c1e_5b67_9d0a_71c2_8e64_b3f1);

/// A filter of events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventFilter {
    /// `*`: every event.
    All,
    /// The name of an event.
    Exact(String),
    /// `conference.member.*`: every event below this prefix.
    Below(String),
}

/// The reason why a text is no filter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no event is called {0:?}: expected *, a name or a prefix such as conference.member.*")]
pub struct UnknownEvent(pub String);

impl EventFilter {
    /// Parses a filter; `names` are those of all events.
    ///
    /// # Errors
    /// If it matches none of them.
    pub fn among<'a>(
        text: &str,
        mut names: impl Iterator<Item = &'a str>,
    ) -> Result<Self, UnknownEvent> {
        let filter = match text.strip_suffix(".*") {
            _ if text == "*" => Self::All,
            Some(prefix) => Self::Below(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        };
        if names.any(|event| filter.matches(event)) {
            Ok(filter)
        } else {
            Err(UnknownEvent(text.to_owned()))
        }
    }

    /// Every valid filter for these names, as callers write them: all, each prefix, each name.
    pub fn all_among<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut filters = vec!["*".to_owned()];
        for name in names {
            let ends = name.match_indices('.').map(|(end, _)| end);
            let below = ends.map(|end| format!("{}.*", &name[..end]));
            for filter in below.chain(std::iter::once(name.to_owned())) {
                if !filters.contains(&filter) {
                    filters.push(filter);
                }
            }
        }
        filters
    }

    /// True if the filter matches this event name. Only its own name matches an event that must be asked for.
    pub fn matches(&self, event: &str) -> bool {
        match self {
            Self::Exact(name) => name == event,
            Self::All | Self::Below(_) if OPT_IN.contains(&event) => false,
            Self::All => true,
            Self::Below(prefix) => event
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.starts_with('.')),
        }
    }
}

impl FromStr for EventFilter {
    type Err = UnknownEvent;
    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        Self::among(text, event_names())
    }
}

impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Below(prefix) => write!(f, "{prefix}.*"),
        }
    }
}

/// A webhook endpoint of an app.
#[derive(Clone)]
pub struct Endpoint {
    /// Stable: see [`endpoint_id`].
    pub id: EndpointId,
    /// The app that owns it.
    pub app: AppId,
    /// The URL that gets the requests.
    pub url: Url,
    /// The secrets; each of them signs every body.
    pub secrets: Vec<Secret>,
    /// The replaced secret, and the time until which it also signs.
    pub replaced: Option<(Secret, Timestamp)>,
    /// The filters. The endpoint gets events that match any of them.
    pub events: Vec<EventFilter>,
    /// The reason why it is disabled. Its deliveries are stored as dead.
    pub disabled: Option<Disabled>,
    /// The time of its creation; `None` for a configured endpoint.
    pub created_at: Option<Timestamp>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may contain a token.
        let mut url = self.url.clone();
        url.set_query(None);
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("app", &self.app)
            .field("url", &url.as_str())
            .field("secrets", &self.secrets)
            .field("events", &self.events)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Creates a configured endpoint.
    pub fn new(app: AppId, url: Url, secrets: Vec<Secret>, events: Vec<EventFilter>) -> Self {
        Self {
            id: endpoint_id(&app, &url),
            app,
            url,
            secrets,
            replaced: None,
            events,
            disabled: None,
            created_at: None,
        }
    }

    /// The secrets that sign bodies at this time.
    pub fn signing(&self, now: Timestamp) -> Vec<Secret> {
        let replaced = self.replaced.iter().filter(|(_, until)| now < *until);
        let replaced = replaced.map(|(secret, _)| secret);
        replaced.chain(&self.secrets).cloned().collect()
    }

    /// True if one of its filters matches this event name.
    pub fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|filter| filter.matches(event))
    }
}

/// Derives the id of an app's endpoint at a URL: `ep_` and 32 hexadecimal digits.
pub fn endpoint_id(app: &AppId, url: &Url) -> EndpointId {
    // An app id has no slash, so the text is unambiguous.
    let name = format!("{app}/{url}");
    let id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
    let text = format!("ep_{}", id.simple());
    match text.parse() {
        Ok(id) => id,
        Err(_) => unreachable!("{text} has the form of an endpoint id"),
    }
}

/// Disables endpoints.
#[async_trait]
pub trait EndpointDisabler: Send + Sync + fmt::Debug + 'static {
    /// Disables an endpoint whose receiver answered 410.
    ///
    /// # Errors
    /// If the store does not respond; the next attempt tries again.
    async fn disable_gone(&self, id: &EndpointId) -> Result<(), StoreError>;

    /// Disables an endpoint that has failed on one node for too long, unless it succeeded on another one.
    ///
    /// # Errors
    /// As [`EndpointDisabler::disable_gone`].
    async fn disable_failing(&self, id: &EndpointId) -> Result<(), StoreError>;
}

/// The endpoints of all apps.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    by_id: HashMap<EndpointId, Arc<Endpoint>>,
    by_app: BTreeMap<AppId, Vec<Arc<Endpoint>>>,
    apps: Option<BTreeSet<AppId>>,
    removed: BTreeSet<EndpointId>,
}

impl Endpoints {
    /// Collects endpoints. The last one with an id wins.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut all = Self::default();
        for endpoint in endpoints {
            let endpoint = Arc::new(endpoint);
            let own = all.by_app.entry(endpoint.app.clone()).or_default();
            own.retain(|known| known.id != endpoint.id);
            own.push(Arc::clone(&endpoint));
            all.by_id.insert(endpoint.id.clone(), endpoint);
        }
        all
    }

    /// Sets the known apps, including those without an endpoint.
    #[must_use]
    pub fn with_apps(mut self, apps: BTreeSet<AppId>) -> Self {
        self.apps = Some(apps);
        self
    }

    /// Sets the ids of removed endpoints.
    #[must_use]
    pub fn with_removed(mut self, removed: BTreeSet<EndpointId>) -> Self {
        self.removed = removed;
        self
    }

    /// True if this endpoint was removed.
    pub fn is_removed(&self, id: &EndpointId) -> bool {
        self.removed.contains(id)
    }

    /// True if the app's endpoints are known here. Another replica may know a new app earlier.
    pub fn knows(&self, app: &AppId) -> bool {
        self.apps.as_ref().is_none_or(|apps| apps.contains(app))
    }

    /// The ids of all endpoints.
    pub fn ids(&self) -> impl Iterator<Item = &EndpointId> {
        self.by_id.keys()
    }

    /// The endpoint with this id.
    pub fn get(&self, id: &EndpointId) -> Option<&Arc<Endpoint>> {
        self.by_id.get(id)
    }

    /// The apps with an enabled endpoint whose filter matches one of these events.
    pub fn apps_wanting(&self, events: &[&str]) -> BTreeSet<AppId> {
        let wants = |endpoint: &&Arc<Endpoint>| {
            endpoint.disabled.is_none() && events.iter().any(|event| endpoint.wants(event))
        };
        let all = self.by_id.values().filter(wants);
        all.map(|endpoint| endpoint.app.clone()).collect()
    }

    /// The endpoints of an app, in the order of the configuration.
    pub fn for_app(&self, app: &AppId) -> &[Arc<Endpoint>] {
        self.by_app.get(app).map_or(&[], Vec::as_slice)
    }

    /// The endpoints that want an app's event.
    pub fn wanting(&self, app: &AppId, event: &str) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.for_app(app).iter().filter(move |e| e.wants(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(app: &str, url: &str, events: &[&str]) -> Endpoint {
        let events = events.iter().map(|e| e.parse().unwrap()).collect();
        Endpoint::new(
            app.parse().unwrap(),
            Url::parse(url).unwrap(),
            Vec::new(),
            events,
        )
    }

    #[test]
    fn endpoint_id_depends_on_app_and_url_only() {
        let id = |app: &str, url: &str| endpoint(app, url, &["*"]).id.to_string();
        assert_eq!(
            id("demo", "https://example.com/hook"),
            "ep_b15d4a82272357b381b5eb5e5a2a9a5d"
        );
        assert_ne!(
            id("demo", "https://example.com/a"),
            id("demo", "https://example.com/b")
        );
        assert_ne!(
            id("a", "https://example.com/a"),
            id("b", "https://example.com/a")
        );
    }

    #[test]
    fn filter_matches_name_prefix_or_all() {
        let wants =
            |filter: &str, event: &str| filter.parse::<EventFilter>().unwrap().matches(event);
        assert!(wants("*", "call.new"));
        assert!(wants("call.dtmf", "call.dtmf"));
        for filter in ["*", "call.*"] {
            assert!(!wants(filter, "call.dtmf"), "{filter}");
        }
        assert!(wants("call.new", "call.new"));
        assert!(!wants("call.new", "call.answered"));
        assert!(wants("conference.member.*", "conference.member.joined"));
        assert!(wants("conference.*", "conference.member.joined"));
        assert!(!wants("conference.member.*", "conference.created"));
        for invalid in [
            "",
            ".*",
            "call",
            "call.",
            "call.new.*",
            "conf.*",
            "call.*new",
            "**",
        ] {
            assert!(invalid.parse::<EventFilter>().is_err(), "{invalid:?}");
        }
        for text in ["*", "call.new", "conference.member.*"] {
            assert_eq!(text.parse::<EventFilter>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn event_goes_to_own_endpoints_with_matching_filter() {
        let all = Endpoints::new([
            endpoint("a", "https://example.com/1", &["*"]),
            endpoint(
                "a",
                "https://example.com/2",
                &["call.*", "conference.created"],
            ),
            endpoint("b", "https://example.com/3", &["*"]),
        ]);
        let urls = |app: &str, event: &str| -> Vec<String> {
            let app: AppId = app.parse().unwrap();
            all.wanting(&app, event)
                .map(|e| e.url.path().to_owned())
                .collect()
        };
        assert_eq!(urls("a", "call.new"), ["/1", "/2"]);
        assert_eq!(urls("a", "conference.member.left"), ["/1"]);
        assert_eq!(urls("b", "call.new"), ["/3"]);
        assert_eq!(urls("c", "call.new"), Vec::<String>::new());
    }
}
