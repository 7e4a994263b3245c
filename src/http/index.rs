//! `GET /` on both listeners: the links to everything that a listener serves.
//!
//! Needs no key: it contains nothing beyond the documentation. A program gets JSON, a browser a page with the same links.

use axum::Router;
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value};

/// Allows nothing but the inline style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The name and the path of a link.
type Link = (&'static str, &'static str);

/// The links of the API's listener.
const API: &[Link] = &[
    ("console", "/console"),
    ("docs", "/docs"),
    ("openapi", "/openapi.json"),
    ("api", "/api/v1"),
    ("voipbin_api", "/v1.0"),
];

/// The links of the admin listener.
const ADMIN: &[Link] = &[
    ("console", "/console"),
    ("docs", "/docs"),
    ("openapi", "/openapi.json"),
    ("healthz", "/healthz"),
    ("readyz", "/readyz"),
    ("metrics", "/metrics"),
    ("nodes", "/admin/nodes"),
    ("orphans", "/admin/orphans"),
    ("apps", "/admin/apps"),
    ("rooms", "/admin/rooms"),
    ("calls", "/admin/calls"),
    ("search", "/admin/search"),
    ("audit", "/admin/audit"),
];

/// The route of the API's listener.
pub(super) fn api_routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    routes("API", API)
}

/// The route of the admin listener.
pub(super) fn admin_routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    routes("admin listener", ADMIN)
}

fn routes<S: Clone + Send + Sync + 'static>(
    listener: &'static str,
    links: &'static [Link],
) -> Router<S> {
    Router::new().route(
        "/",
        get(move |headers: HeaderMap| async move { answer(&headers, listener, links) }),
    )
}

fn answer(headers: &HeaderMap, listener: &str, links: &[Link]) -> Response {
    let accepted = headers.get_all(ACCEPT).iter();
    let is_browser = accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"));
    let (kind, body) = if is_browser {
        ("text/html; charset=utf-8", page(listener, links))
    } else {
        ("application/json", json(links).to_string())
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (VARY, HeaderValue::from_static("accept")),
    ];
    (headers, body).into_response()
}

fn json(links: &[Link]) -> Value {
    let about = [
        ("name", "Roomkeeper"),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    let all = about.iter().chain(links);
    let fields = all.map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// The page for a browser. The API's paths have no page of their own, so `/docs` stands for them.
fn page(listener: &str, links: &[Link]) -> String {
    let shown = links.iter().filter(|(name, _)| !name.ends_with("api"));
    let rows: String = shown
        .map(|(_, path)| format!("<li><a href=\"{path}\">{path}</a></li>"))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Roomkeeper</title>\
         <style>body{{font-family:sans-serif;margin:2rem;color-scheme:light dark}}</style>\
         <h1>Roomkeeper {version}</h1><p>{listener}</p><ul>{rows}</ul></html>\n"
    )
}
