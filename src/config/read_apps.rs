//! Reads the apps: their ids, keys, numbers and webhook endpoints.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;
use uuid::Uuid;

use super::tree::Section;
use super::types::AppConfig;
use super::values::{ApiKeyDigest, KEY_FORM};
use crate::admin_key::is_key;
use crate::webhook::endpoint::{Endpoint, EventFilter};
use crate::webhook::guard::Policy;
use crate::webhook::sign::Secret;
use roomkeeper_core::ids::AppId;

/// The UUID namespace of derived customer ids.
const CUSTOMERS: Uuid = Uuid::from_u128(0x9b1d_6a0e_7f3c_5d28_a1c4_0e5b_92f7_46d3);

/// The highest configurable limit of requests per second.
pub const MOST_REQUESTS: u32 = 1_000_000;

/// Derives the customer id of an app without a configured one.
pub fn customer_of(id: &AppId) -> Uuid {
    Uuid::new_v5(&CUSTOMERS, id.as_str().as_bytes())
}

/// Returns true if a text can be a dialled number: 1 to 64 visible characters.
pub fn is_did(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Values that must be unique among apps, with their app.
#[derive(Default)]
struct Taken {
    ids: BTreeSet<AppId>,
    customers: BTreeMap<Uuid, String>,
    keys: BTreeMap<[u8; 32], String>,
    dids: BTreeMap<String, String>,
}

pub(super) fn read_apps(root: &mut Section<'_>, policy: Policy) -> Vec<AppConfig> {
    let mut taken = Taken::default();
    let list = root.list("apps");
    let mut apps = Vec::new();
    for (i, tree) in list.into_iter().enumerate() {
        let s = Section::new(format!("apps[{i}]"), tree, root.problems);
        apps.extend(read_app(s, policy, &mut taken));
    }
    apps
}

fn read_app(mut s: Section<'_>, policy: Policy, taken: &mut Taken) -> Option<AppConfig> {
    let path = s.path.clone();
    let id: Option<AppId> = s.required("id").and_then(|text| s.parsed("id", &text));
    let repeated = id.as_ref().is_some_and(|id| !taken.ids.insert(id.clone()));
    if let Some(id) = &id
        && repeated
    {
        s.problem("id", format!("{id} is already the id of another app"));
    }
    let given = s.text("customer_id");
    let derived = given.is_none();
    let customer_id: Option<Uuid> = match (given, &id) {
        (Some(text), _) => {
            let parsed = Uuid::try_parse(&text).ok().filter(|uuid| !uuid.is_nil());
            if parsed.is_none() {
                s.problem("customer_id", format!("{text:?} is not a uuid"));
            }
            parsed
        }
        (None, Some(id)) => Some(customer_of(id)),
        (None, None) => None,
    };
    // A repeated id, which has the same derived UUID, is reported already.
    if let Some(uuid) = customer_id
        && let Some(other) = taken.customers.insert(uuid, path.clone())
        && !(derived && repeated)
    {
        s.problem("customer_id", format!("{uuid} is already that of {other}"));
    }
    let api_keys = read_api_keys(&mut s, taken);
    let dids = s.texts("dids");
    for (i, did) in dids.iter().enumerate() {
        let key = format!("dids[{i}]");
        if !is_did(did) {
            s.problem(&key, format!("{did:?} is not 1 to 64 visible characters"));
        } else if let Some(other) = taken.dids.insert(did.clone(), path.clone()) {
            s.problem(&key, format!("{did} is already one of {other}"));
        }
    }
    let rate_limit = s.table.contains_key("rate_limit").then(|| {
        let limit = s.number("rate_limit", 1.0, 1.0, f64::from(MOST_REQUESTS));
        if limit.fract() != 0.0 {
            s.problem("rate_limit", "expected a whole number");
        }
        // Whole and within bounds, or a problem.
        limit as u32
    });
    let webhooks = read_webhooks(&mut s, id.as_ref(), policy);
    s.finish();
    Some(AppConfig {
        id: id?,
        customer_id: customer_id?,
        api_keys,
        dids,
        rate_limit,
        webhooks,
    })
}

fn read_api_keys(s: &mut Section<'_>, taken: &mut Taken) -> Vec<ApiKeyDigest> {
    let given = s.table.contains_key("api_key") || s.table.contains_key("api_key_sha256");
    let mut digests = Vec::new();
    let own = "a random key, for example from: openssl rand -hex 32";
    for key in s.text_or_texts("api_key") {
        if s.refuse_placeholder("api_key", &key, own) {
            continue;
        }
        if is_key(&key) {
            digests.push(("api_key", ApiKeyDigest::from_key(&key)));
        } else {
            s.problem("api_key", KEY_FORM);
        }
    }
    let own = "the SHA-256 of a random key, for example from: printf %s \"$KEY\" | sha256sum";
    for text in s.text_or_texts("api_key_sha256") {
        if s.refuse_placeholder("api_key_sha256", &text, own) {
            continue;
        }
        if let Some(digest) = s.parsed("api_key_sha256", &text) {
            digests.push(("api_key_sha256", digest));
        }
    }
    if !given {
        s.problem(
            "api_key",
            "is missing: api_key or api_key_sha256 is required",
        );
    }
    if digests.len() > 2 {
        s.problem("api_key", "at most two keys can be active");
    }
    for (key, digest) in &digests {
        let path = s.path.clone();
        if let Some(other) = taken.keys.insert(*digest.as_bytes(), path) {
            s.problem(key, format!("the same key is already one of {other}"));
        }
    }
    digests.into_iter().map(|(_, digest)| digest).collect()
}

fn read_webhooks(s: &mut Section<'_>, app: Option<&AppId>, policy: Policy) -> Vec<Endpoint> {
    let mut webhooks: Vec<Endpoint> = Vec::new();
    let parent = s.key("webhooks");
    let list = s.list("webhooks");
    for (i, tree) in list.into_iter().enumerate() {
        let mut w = Section::new(format!("{parent}[{i}]"), tree, s.problems);
        let url: Option<Url> = w.required("url").and_then(|text| w.parsed("url", &text));
        if let Some(url) = &url
            && let Err(e) = policy.check_url(url)
        {
            w.problem("url", e);
        }
        let missing = !w.table.contains_key("secret");
        let texts = w.text_or_texts("secret");
        if missing {
            w.problem("secret", "is missing");
        } else if texts.len() > 2 {
            w.problem("secret", "at most two secrets can be active");
        }
        let own = "whsec_ and 24 to 64 random bytes in base64, for example from: \
                   echo whsec_$(openssl rand -base64 32)";
        let mut secrets: Vec<Secret> = Vec::new();
        for text in &texts {
            if !w.refuse_placeholder("secret", text, own) {
                secrets.extend(w.parsed::<Secret>("secret", text));
            }
        }
        let events = if w.table.contains_key("events") {
            w.texts("events")
        } else {
            vec!["*".to_owned()]
        };
        let events: Vec<EventFilter> = events
            .iter()
            .filter_map(|text| w.parsed("events", text))
            .collect();
        if let (Some(app), Some(url)) = (app, url) {
            let endpoint = Endpoint::new(app.clone(), url, secrets, events);
            if webhooks.iter().any(|other| other.id == endpoint.id) {
                w.problem("url", "is already that of another webhook of the app");
            }
            webhooks.push(endpoint);
        }
        w.finish();
    }
    webhooks
}
