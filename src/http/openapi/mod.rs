//! The OpenAPI document of the callers' API, generated from the code, and a page that shows it.
//!
//! Owns the parts that all operations share ([`complete`]), shared schemas (`schemas`), the links between operations
//! (`links`), and the routes of the document. Each operation is described above its handler. Document and page need no
//! key: they contain nothing beyond the documentation. The page loads nothing from another host, and its content
//! security policy forbids it.

mod links;
mod operations;
pub(crate) mod schemas;

use std::collections::BTreeMap;

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Content, Info, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
    SecurityRequirement,
};
use utoipa::{OpenApi as _, ToSchema};

use operations::{operations, operations_of};
use schemas::{Failure, SharedSchemas};

/// Failures that many operations share: status, name in the document, description.
type SharedFailure = (&'static str, &'static str, &'static str);

/// The failures that any operation can have.
const ANY_OPERATION: [SharedFailure; 8] = [
    (
        "400",
        "BadRequest",
        "The request is invalid; `detail.field` names the field.",
    ),
    (
        "401",
        "Unauthorized",
        "X-App-ID or X-API-Key is missing or wrong.",
    ),
    ("408", "RequestTimeout", "The body did not arrive in time."),
    ("413", "ContentTooLarge", "The body is too large."),
    (
        "415",
        "UnsupportedMediaType",
        "The body is not application/json.",
    ),
    (
        "429",
        "TooManyRequests",
        "Too many requests. `Retry-After` says when to retry.",
    ),
    ("500", "InternalServerError", "An internal error."),
    (
        "503",
        "Unavailable",
        "The store or the node is unavailable. `Retry-After` says when to retry.",
    ),
];

/// The failures of commands to FreeSWITCH. Operations that have them declare them with these texts.
const COMMANDS: [SharedFailure; 2] = [
    ("502", "Refused", "FreeSWITCH refused the command."),
    (
        "504",
        "Unanswered",
        "FreeSWITCH did not answer in time. The command may have been executed.",
    ),
];

const PAGE: &str = include_str!("docs.html");

/// Allows files of this server only, and no framing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds the common parts of all operations to the document.
pub(super) fn complete(routes: OpenApi) -> OpenApi {
    let mut api = SharedSchemas::openapi();
    api.merge(routes);
    let mut info = Info::new("Roomkeeper", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Conferences on FreeSWITCH: rooms, the calls in them, and commands for both. Webhooks and the event stream report \
         every change. Unknown fields and parameters are ignored; `null` means the same as an omitted field."
            .to_owned(),
    );
    api.info = info;
    add_security(&mut api);
    add_failures(&mut api);
    mark_required_bodies(&mut api);
    links::add_links(&mut api);
    api
}

/// Adds the ways to authenticate: headers everywhere, a bearer token or a parameter in the VoIPBIN API alone.
fn add_security(api: &mut OpenApi) {
    let schemes = [
        (
            "app_id",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-App-ID"))),
        ),
        (
            "api_key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))),
        ),
        (
            "bearer",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        ),
        (
            "token",
            SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("token"))),
        ),
    ];
    let components = api.components.get_or_insert_default();
    for (name, scheme) in schemes {
        let schemes = &mut components.security_schemes;
        schemes.insert(name.to_owned(), RefOr::T(scheme));
    }
    let none: [&str; 0] = [];
    let headers = SecurityRequirement::new("app_id", none).add("api_key", none);
    api.security = Some(vec![headers.clone()]);
    let voipbin = api.paths.paths.iter_mut();
    for (_, item) in voipbin.filter(|(path, _)| path.starts_with("/v1.0/")) {
        for operation in operations_of(item) {
            operation.security = Some(vec![
                headers.clone(),
                SecurityRequirement::new("bearer", none),
                SecurityRequirement::new("token", none),
            ]);
        }
    }
}

/// Adds the failures that any operation can have. The document states a shared failure once and refers to it.
fn add_failures(api: &mut OpenApi) {
    for operation in operations(api) {
        let answers = &mut operation.responses.responses;
        for (status, name, _) in ANY_OPERATION {
            let shared = RefOr::Ref(Ref::from_response_name(name));
            answers.entry(status.to_owned()).or_insert(shared);
        }
        for (status, name, why) in COMMANDS {
            let declared = answers.get_mut(status);
            if let Some(declared) = declared.filter(|d| **d == RefOr::T(failure(why))) {
                *declared = RefOr::Ref(Ref::from_response_name(name));
            }
        }
    }
    let shared = &mut api.components.get_or_insert_default().responses;
    for (_, name, why) in ANY_OPERATION.into_iter().chain(COMMANDS) {
        shared.insert(name.to_owned(), RefOr::T(failure(why)));
    }
}

fn mark_required_bodies(api: &mut OpenApi) {
    let components = api.components.get_or_insert_default();
    let schemas = components.schemas.clone();
    for operation in operations(api) {
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            let mut contents = body.content.values();
            body.required = Some(
                match contents.any(|content| has_required(&schemas, content)) {
                    true => Required::True,
                    false => Required::False,
                },
            );
        }
    }
}

/// True if the schema of a body has a required field: then the body itself is required.
fn has_required(schemas: &BTreeMap<String, RefOr<Schema>>, content: &RefOr<Content>) -> bool {
    let RefOr::T(content) = content else {
        return false;
    };
    let schema = match &content.schema {
        Some(RefOr::Ref(reference)) => {
            let name = reference.ref_location.rsplit('/').next();
            name.and_then(|name| schemas.get(name))
        }
        other => other.as_ref(),
    };
    matches!(schema, Some(RefOr::T(Schema::Object(object))) if !object.required.is_empty())
}

fn failure(why: &str) -> Response {
    let schema = Ref::from_schema_name(Failure::name());
    ResponseBuilder::new()
        .description(why)
        .content("application/json", Content::new(Some(schema)))
        .build()
}

/// `GET /openapi.json` and `GET /docs`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(document: &'static str) -> Router<S> {
    let json = async move || ([(CONTENT_TYPE, "application/json")], document);
    Router::new()
        .route("/openapi.json", get(json))
        .route("/docs", get(page))
}

async fn page() -> impl IntoResponse {
    let headers: [(HeaderName, &str); 2] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, PAGE)
}
