//! The OpenAPI documents of both listeners, generated from the code, and the page that shows them.
//!
//! [`complete`] makes the document of the callers' API, [`complete_admin`] that of the operator's: an app does not see
//! operations that it cannot call. Each operation is described above its handler, and named in the `routes()` of its
//! module. This module adds the rest: security, failures that any operation can have and other shared parts
//! (`shared`), links (`links`), and the events (`events`, `event_data`). `schemas` has the types that several handlers
//! use, `pages` the routes of the document and of its viewer. Neither needs a key: they contain nothing beyond the
//! documentation.

mod event_data;
mod events;
mod links;
mod operations;
mod pages;
pub(crate) mod schemas;
mod shared;

use utoipa::OpenApi as _;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Info, License, ObjectBuilder, OpenApi, RefOr, Required, SecurityRequirement, Server, Type,
};

use operations::operations_of;
use schemas::SharedSchemas;
use shared::SharedFailure;

pub(super) use pages::routes;

/// The failures that any operation of an app can have.
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

/// The failures that any operation of an operator can have.
const ANY_ADMIN_OPERATION: [SharedFailure; 10] = [
    ANY_OPERATION[0],
    (
        "401",
        "Unauthorized",
        "X-Admin-API-Key is missing or wrong.",
    ),
    (
        "403",
        "ForeignOrigin",
        "The request comes from a page of another site.",
    ),
    ANY_OPERATION[2],
    ANY_OPERATION[3],
    ANY_OPERATION[4],
    (
        "421",
        "MisdirectedRequest",
        "The listener does not answer to this host name.",
    ),
    ANY_OPERATION[5],
    ANY_OPERATION[6],
    ANY_OPERATION[7],
];

/// The tags of the callers' API, in the order of the page.
const TAGS: [(&str, &str); 10] = [
    ("conferences", "Rooms, their members, and moderation."),
    (
        "playback",
        "Files that play to a conference, and its recording.",
    ),
    ("sessions", "The app's calls."),
    ("commands", "Commands to one call."),
    ("events", "The app's events as a stream."),
    (
        "webhooks",
        "The app's webhook endpoints and their deliveries.",
    ),
    ("nodes", "The FreeSWITCH servers."),
    (
        "conferences (VoIPBIN)",
        "The same rooms in the form of the VoIPBIN API.",
    ),
    (
        "conferencecalls (VoIPBIN)",
        "The same memberships in the form of the VoIPBIN API.",
    ),
    ("recordings (VoIPBIN)", "Recordings of conferences."),
];

const ADMIN_TAGS: [(&str, &str); 7] = [
    ("health", "Probes and metrics."),
    (
        "nodes",
        "The FreeSWITCH servers, and what belongs to no app on them.",
    ),
    ("apps", "The apps and their keys."),
    ("rooms", "The rooms of all apps."),
    ("calls", "The calls of all apps."),
    ("audit", "The log of all requests that change something."),
    (
        "webhooks",
        "An app's webhook endpoints and their deliveries.",
    ),
];

/// Completes the document of the callers' API.
pub(super) fn complete(routes: OpenApi) -> OpenApi {
    let mut api = begin(
        routes,
        "Roomkeeper",
        "Conferences on FreeSWITCH: rooms, the calls in them, and commands for both. Webhooks and the event stream report \
         every change. Unknown fields and parameters are ignored; `null` means the same as an omitted field.",
    );
    add_tags(&mut api, &TAGS);
    add_tags(
        &mut api,
        &[(
            events::TAG,
            "Requests that Roomkeeper sends to the app's webhook endpoints.",
        )],
    );
    add_security(&mut api);
    events::add_events(&mut api);
    shared::add_failures(&mut api, &ANY_OPERATION);
    shared::mark_required_bodies(&mut api);
    links::add_links(&mut api);
    shared::share_repeated(&mut api);
    api
}

/// Completes the document of the operator's API.
pub(super) fn complete_admin(routes: OpenApi) -> OpenApi {
    let mut api = begin(
        routes,
        "Roomkeeper, for operators",
        "Health, metrics, nodes and apps of a Roomkeeper. It is served apart from the API of apps.",
    );
    add_tags(&mut api, &ADMIN_TAGS);
    add_scheme(&mut api, "admin_key", "X-Admin-API-Key");
    let none: [&str; 0] = [];
    api.security = Some(vec![SecurityRequirement::new("admin_key", none)]);
    // The routes of webhook endpoints are nested below their app and do not know it.
    let app = ParameterBuilder::new()
        .name("app_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The app."))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[A-Za-z0-9_-]{1,64}$")),
        ))
        .build();
    shared::add_path_parameter(&mut api, &app);
    shared::add_failures(&mut api, &ANY_ADMIN_OPERATION);
    shared::mark_required_bodies(&mut api);
    shared::share_repeated(&mut api);
    api
}

fn begin(routes: OpenApi, title: &str, description: &str) -> OpenApi {
    let mut api = SharedSchemas::openapi();
    api.merge(routes);
    let mut info = Info::new(title, env!("CARGO_PKG_VERSION"));
    info.description = Some(description.to_owned());
    let mut licence = License::new(env!("CARGO_PKG_LICENSE"));
    licence.identifier = Some(env!("CARGO_PKG_LICENSE").to_owned());
    info.license = Some(licence);
    api.info = info;
    let mut server = Server::new("/");
    server.description = Some("The server of this document".to_owned());
    api.servers = Some(vec![server]);
    api
}

fn add_tags(api: &mut OpenApi, tags: &[(&str, &str)]) {
    let tags = tags.iter().map(|(name, about)| {
        let tag = TagBuilder::new().name(*name).description(Some(*about));
        tag.build()
    });
    api.tags.get_or_insert_default().extend(tags);
}

fn add_scheme(api: &mut OpenApi, name: &str, header: &str) {
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
    let schemes = &mut api.components.get_or_insert_default().security_schemes;
    schemes.insert(name.to_owned(), RefOr::T(scheme));
}

/// Adds the ways to authenticate: headers everywhere, a bearer token or a parameter in the VoIPBIN API alone.
fn add_security(api: &mut OpenApi) {
    add_scheme(api, "app_id", "X-App-ID");
    add_scheme(api, "api_key", "X-API-Key");
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let token = SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("token")));
    for (name, scheme) in [("bearer", bearer), ("token", token)] {
        let schemes = &mut api.components.get_or_insert_default().security_schemes;
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
