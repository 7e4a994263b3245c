//! The OpenAPI document of the callers' API, made from the code, and a page that shows it.
//!
//! Owns what all operations have in common, and how the document is served. Leaves out what each takes and answers:
//! that stands with the routes. Both are open to everybody, for they tell nothing that the documentation does not; the
//! page asks no other host for anything, and its policy forbids it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Content, Info, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
    SecurityRequirement,
};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};

use super::gateway::{Failure, Paths};
use super::{events, voipbin, webhooks};

/// Declares the schema of a text that says which of the events with these names are meant.
macro_rules! event_filter {
    ($(#[$doc:meta])* $name:ident, $names:expr) => {
        $(#[$doc])*
        struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let texts = crate::webhook::endpoint::EventFilter::all_among($names);
                let text = utoipa::openapi::ObjectBuilder::new();
                text.schema_type(utoipa::openapi::Type::String).enum_values(Some(texts)).into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}
pub(super) use event_filter;

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
    api.merge(events::Paths::openapi());
    api.merge(webhooks::Paths::openapi());
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
    let schemas = components.schemas.clone();
    for (path, item) in &mut api.paths.paths {
        if path.starts_with("/v1.0/") {
            for operation in operations_of(item) {
                operation.security = Some(vec![
                    SecurityRequirement::new("app_id", none).add("api_key", none),
                    SecurityRequirement::new("bearer", none),
                    SecurityRequirement::new("token", none),
                ]);
            }
        }
    }
    for operation in operations(&mut api) {
        for (status, why) in FAILURES {
            operation
                .responses
                .responses
                .entry(status.to_owned())
                .or_insert_with(|| RefOr::T(failure(why)));
        }
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            let needed = body
                .content
                .values()
                .any(|content| has_required(&schemas, content));
            body.required = Some(if needed {
                Required::True
            } else {
                Required::False
            });
        }
    }
    link(&mut api);
    api
}

fn operations(api: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    api.paths.paths.values_mut().flat_map(operations_of)
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

/// Whether a body must be there: something in it must be.
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

/// Where ids come from: an operation, one of its answers, where in the exchange the id stands, and the parameter that it
/// can be of others.
const SOURCES: [(&str, &str, &str, &str); 15] = [
    ("create", "201", "$response.body#/room_id", "room_id"),
    (
        "list",
        "200",
        "$response.body#/conferences/0/room_id",
        "room_id",
    ),
    ("sessions", "200", "$response.body#/sessions/0/uuid", "uuid"),
    ("join", "202", "$request.path.uuid", "uuid"),
    ("join", "202", "$response.body#/room_id", "room_id"),
    ("play", "202", "$request.path.room_id", "room_id"),
    ("create_webhook", "201", "$response.body#/id", "id"),
    ("webhooks", "200", "$response.body#/webhooks/0/id", "id"),
    ("test_webhook", "202", "$response.body#/id", "webhook_id"),
    ("test_webhook", "202", "$request.path.id", "id"),
    (
        "create_conference",
        "200",
        "$response.body#/id",
        "conference_id",
    ),
    (
        "list_conferences",
        "200",
        "$response.body#/result/0/id",
        "conference_id",
    ),
    (
        "create_conferencecall",
        "200",
        "$response.body#/id",
        "conferencecall_id",
    ),
    (
        "list_conferencecalls",
        "200",
        "$response.body#/result/0/id",
        "conferencecall_id",
    ),
    (
        "list_recordings",
        "200",
        "$response.body#/result/0/id",
        "recording_id",
    ),
];

/// Links each source of an id to every operation that takes one, and each list to its next page.
fn link(api: &mut OpenApi) {
    let takers: Vec<(String, BTreeSet<String>)> = operations(api)
        .filter_map(|operation| Some((operation.operation_id.clone()?, parameters(operation))))
        .collect();
    for (operation, (id, own)) in operations(api).zip(&takers) {
        let answers = &mut operation.responses.responses;
        for (taker, names) in &takers {
            // One link for all that this answer can say of what the other takes.
            let mut links: BTreeMap<&str, LinkBuilder> = BTreeMap::new();
            let sources = SOURCES.iter().filter(|source| source.0 == id);
            for (_, status, expression, parameter) in
                sources.filter(|source| names.contains(source.3))
            {
                let link = links.remove(status);
                let link = link.unwrap_or_else(|| LinkBuilder::new().operation_id(taker));
                links.insert(status, link.parameter(*parameter, *expression));
            }
            for (status, link) in links {
                add_link(answers, status, taker, link);
            }
        }
        if own.contains("cursor") {
            let link = LinkBuilder::new()
                .operation_id(id)
                .parameter("cursor", "$response.body#/cursor");
            let link = if own.contains("room_id") {
                link.parameter("room_id", "$response.body#/room_id")
            } else if own.contains("id") {
                link.parameter("id", "$request.path.id")
            } else {
                link
            };
            add_link(answers, "200", "next", link);
        }
        if own.contains("page_token") {
            let link = LinkBuilder::new()
                .operation_id(id)
                .parameter("page_token", "$response.body#/next_page_token");
            add_link(answers, "200", "next", link);
        }
    }
}

fn parameters(operation: &Operation) -> BTreeSet<String> {
    let parameters = operation.parameters.iter().flatten();
    parameters
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter.name.clone()),
            RefOr::Ref(_) => None,
        })
        .collect()
}

fn add_link(
    answers: &mut BTreeMap<String, RefOr<Response>>,
    status: &str,
    name: &str,
    link: LinkBuilder,
) {
    if let Some(RefOr::T(answer)) = answers.get_mut(status) {
        answer.links.insert(name.to_owned(), RefOr::T(link.build()));
    }
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
