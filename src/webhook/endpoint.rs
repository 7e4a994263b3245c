//! Webhook endpoints and their event filters.
//!
//! Owns the receivers of each app and the choice between them. Leaves out how they are reached. An endpoint's id is
//! the same after a restart and on every replica, and stays when its secret or filters change: that of one in the
//! configuration is made from its app and URL alone, that of any other is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use url::Url;
use uuid::Uuid;

use super::payload::event_names;
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
    /// `*`.
    All,
    /// An event's own name.
    Exact(String),
    /// `conference.member.*`: everything below.
    Below(String),
}

/// Why a text is not a filter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no event is called {0:?}: expected *, a name or a prefix such as conference.member.*")]
pub struct UnknownEvent(pub String);

impl EventFilter {
    /// The filter that this text is, where these are the names of all events there are.
    ///
    /// # Errors
    /// When none of them is meant.
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

    /// Every filter there is among these names, as callers write them: all, what is below each prefix, each name.
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

    /// True if the filter matches this event name.
    pub fn matches(&self, event: &str) -> bool {
        match self {
            Self::All => true,
            Self::Exact(name) => name == event,
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

/// One receiver of one app.
#[derive(Clone)]
pub struct Endpoint {
    /// Stable: see [`endpoint_id`].
    pub id: EndpointId,
    /// The owner.
    pub app: AppId,
    /// Where.
    pub url: Url,
    /// Every body is signed with each of them.
    pub secrets: Vec<Secret>,
    /// One that was replaced, and until when bodies are signed with it as well.
    pub replaced: Option<(Secret, Timestamp)>,
    /// The filters. It gets events that match any of them.
    pub events: Vec<EventFilter>,
    /// Why it is not called; what it would get is held.
    pub disabled: Option<Disabled>,
    /// When it was made; `None` for one of the configuration.
    pub created_at: Option<Timestamp>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query is where receivers keep their tokens.
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
    /// The receiver at this URL.
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

/// The id of an app's receiver at a URL: `ep_` and 32 hexadecimal digits.
pub fn endpoint_id(app: &AppId, url: &Url) -> EndpointId {
    // An app id has no slash, so no two pairs are the same text.
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
pub trait Disabling: Send + Sync + fmt::Debug + 'static {
    /// The receiver answered that it is gone for good.
    ///
    /// # Errors
    /// When the store does not answer; what follows is found again with the next attempt.
    async fn gone(&self, id: &EndpointId) -> Result<(), StoreError>;

    /// The receiver took nothing on one node for as long as is waited; on the others it may have.
    ///
    /// # Errors
    /// As [`Disabling::gone`].
    async fn failing(&self, id: &EndpointId) -> Result<(), StoreError>;
}

/// The receivers of all apps.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    by_id: HashMap<EndpointId, Arc<Endpoint>>,
    by_app: BTreeMap<AppId, Vec<Arc<Endpoint>>>,
    apps: Option<BTreeSet<AppId>>,
    removed: BTreeSet<EndpointId>,
}

impl Endpoints {
    /// These receivers. Of two with the same id the last one counts.
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

    /// These apps are all that are known, also those without a receiver.
    #[must_use]
    pub fn with_apps(mut self, apps: BTreeSet<AppId>) -> Self {
        self.apps = Some(apps);
        self
    }

    /// These are receivers no more.
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

    /// All of them, by id.
    pub fn ids(&self) -> impl Iterator<Item = &EndpointId> {
        self.by_id.keys()
    }

    /// The receiver with this id.
    pub fn get(&self, id: &EndpointId) -> Option<&Arc<Endpoint>> {
        self.by_id.get(id)
    }

    /// The receivers of an app, in the order of the configuration.
    pub fn for_app(&self, app: &AppId) -> &[Arc<Endpoint>] {
        self.by_app.get(app).map_or(&[], Vec::as_slice)
    }

    /// The receivers that want an app's event.
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
    fn an_id_is_the_same_after_every_restart() {
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
    fn filters() {
        let wants =
            |filter: &str, event: &str| filter.parse::<EventFilter>().unwrap().matches(event);
        assert!(wants("*", "call.new"));
        assert!(wants("call.new", "call.new"));
        assert!(!wants("call.new", "call.answered"));
        assert!(wants("conference.member.*", "conference.member.joined"));
        assert!(wants("conference.*", "conference.member.joined"));
        assert!(!wants("conference.member.*", "conference.created"));
        for bad in [
            "",
            ".*",
            "call",
            "call.",
            "call.new.*",
            "conf.*",
            "call.*new",
            "**",
        ] {
            assert!(bad.parse::<EventFilter>().is_err(), "{bad:?}");
        }
        for text in ["*", "call.new", "conference.member.*"] {
            assert_eq!(text.parse::<EventFilter>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn only_the_own_apps_receivers_that_want_it_get_it() {
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
