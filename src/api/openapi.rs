//! The OpenAPI document of the callers' API, made from the code, and a page that shows it.
//!
//! Owns what all operations have in common, and how the document is served. Leaves out what each takes and answers:
//! that stands with the routes. Both are open to everybody, for they tell nothing that the documentation does not; the
//! page asks no other host for anything, and its policy forbids it.

use std::sync::LazyLock;

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Content, Info, OpenApi, Ref, RefOr, Response, ResponseBuilder, SecurityRequirement,
};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};

use super::gateway::{Failure, Paths};
use super::voipbin;

/// What any operation can be answered.
const FAILURES: [(&str, &str); 8] = [
    (
        "400",
        "Something of the request is not as it must be; `detail.field` names it.",
    ),
    ("401", "X-App-ID or X-API-Key is missing or wrong."),
    ("408", "The body did not arrive in time."),
    ("413", "The body is too large."),
    ("415", "The body is not application/json."),
    (
        "429",
        "Too many requests: `Retry-After` says when to come back.",
    ),
    ("500", "A mistake of ours."),
    (
        "503",
        "The store or the node cannot be reached: `Retry-After` says when to come back.",
    ),
];

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().unwrap_or_default());

const PAGE: &str = include_str!("docs.html");

/// Nothing from anywhere but this server, and nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document, as JSON for people to read.
///
/// # Errors
/// Never: it is made of texts.
pub fn document() -> Result<String, serde_json::Error> {
    let mut text = api().to_pretty_json()?;
    text.push('\n');
    Ok(text)
}

fn api() -> OpenApi {
    let mut api = Paths::openapi();
    api.merge(voipbin::Paths::openapi());
    let mut info = Info::new("Roomkeeper", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Conferences on FreeSWITCH: rooms, the calls in them, and what can be asked of both. What happens is told by \
         webhooks. Unknown fields and parameters are ignored; `null` is the same as a field left out."
            .to_owned(),
    );
    api.info = info;
    let components = api.components.get_or_insert_default();
    components
        .schemas
        .insert(Failure::name().into_owned(), Failure::schema());
    for (name, header) in [("app_id", "X-App-ID"), ("api_key", "X-API-Key")] {
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
        components
            .security_schemes
            .insert(name.to_owned(), RefOr::T(scheme));
    }
    let bearer = Http::new(HttpAuthScheme::Bearer);
    let token = ApiKey::Query(ApiKeyValue::new("token"));
    for (name, scheme) in [
        ("bearer", SecurityScheme::Http(bearer)),
        ("token", SecurityScheme::ApiKey(token)),
    ] {
        let schemes = &mut components.security_schemes;
        schemes.insert(name.to_owned(), RefOr::T(scheme));
    }
    let none: [&str; 0] = [];
    api.security = Some(vec![
        SecurityRequirement::new("app_id", none).add("api_key", none),
    ]);
    for (path, item) in &mut api.paths.paths {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            if path.starts_with("/v1.0/") {
                operation.security = Some(vec![
                    SecurityRequirement::new("app_id", none).add("api_key", none),
                    SecurityRequirement::new("bearer", none),
                    SecurityRequirement::new("token", none),
                ]);
            }
            for (status, why) in FAILURES {
                operation
                    .responses
                    .responses
                    .entry(status.to_owned())
                    .or_insert_with(|| RefOr::T(failure(why)));
            }
        }
    }
    api
}

fn failure(why: &str) -> Response {
    let schema = Ref::from_schema_name(Failure::name());
    ResponseBuilder::new()
        .description(why)
        .content("application/json", Content::new(Some(schema)))
        .build()
}

/// `GET /openapi.json` and `GET /docs`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/openapi.json", get(json))
        .route("/docs", get(page))
}

async fn json() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

async fn page() -> impl IntoResponse {
    let headers: [(HeaderName, &str); 2] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, PAGE)
}
