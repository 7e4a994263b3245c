//! Parts that many operations of a document share: stated once, under `components`, and referred to.
//!
//! Runs on the finished operations, so the attributes above the handlers stay complete by themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{
    Components, Content, ObjectBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder,
    Schema, Type,
};

use super::operations::{operations, operations_of};
use super::schemas::Failure;

/// A failure that many operations share: status, name in the document, description.
pub(super) type SharedFailure = (&'static str, &'static str, &'static str);

/// Failures that operations declare with exactly these texts.
const DECLARED: [SharedFailure; 16] = [
    ("403", "Foreign", "It belongs to another app."),
    ("403", "ForeignCall", "The call belongs to another app."),
    (
        "403",
        "ForeignConference",
        "The conference belongs to another app.",
    ),
    ("404", "NotFound", "It does not exist."),
    (
        "404",
        "CallNotFound",
        "The call does not exist or is in no conference.",
    ),
    (
        "404",
        "ConferenceNotFound",
        "The conference does not exist.",
    ),
    (
        "404",
        "MemberNotFound",
        "The conference does not exist, or the call is not in it.",
    ),
    ("404", "WebhookNotFound", "The app has no such endpoint."),
    (
        "404",
        "DeliveryNotFound",
        "The endpoint or the delivery does not exist.",
    ),
    (
        "409",
        "CommandConflict",
        "The `command_uid` belongs to another command.",
    ),
    ("404", "NodeNotFound", "The node does not exist."),
    ("404", "AppNotFound", "The app does not exist."),
    (
        "404",
        "RoomNotFound",
        "The room does not exist, or has ended.",
    ),
    (
        "404",
        "LiveCallNotFound",
        "The call does not exist, or has ended.",
    ),
    ("502", "Refused", "FreeSWITCH refused the command."),
    (
        "504",
        "Unanswered",
        "FreeSWITCH did not answer in time. The command may have been executed.",
    ),
];

/// Statuses whose responses have a `Retry-After`.
const RETRY_STATUSES: [&str; 2] = ["429", "503"];
const RETRY_AFTER: &str = "Retry-After";
/// Statuses of requests whose body is read.
const BODY_STATUSES: [&str; 3] = ["408", "413", "415"];

/// Adds these failures to every operation that does not declare its own, and shares them with [`DECLARED`].
pub(super) fn add_failures(api: &mut OpenApi, any_operation: &[SharedFailure]) {
    let mut used: BTreeMap<&str, Response> = BTreeMap::new();
    let items = api.paths.paths.values();
    let without_body = items.flat_map(|item| [&item.get, &item.delete]);
    let without_body: BTreeSet<String> = without_body
        .flatten()
        .filter_map(|operation| operation.operation_id.clone())
        .collect();
    for operation in operations(api) {
        let id = operation.operation_id.as_deref().unwrap_or_default();
        let reads_body = !without_body.contains(id);
        let answers = &mut operation.responses.responses;
        for (status, name, why) in any_operation {
            if BODY_STATUSES.contains(status) && !reads_body {
                continue;
            }
            answers.entry((*status).to_owned()).or_insert_with(|| {
                used.insert(*name, failure(status, why));
                RefOr::Ref(Ref::from_response_name(*name))
            });
        }
        for (status, name, why) in DECLARED {
            let declared = answers.get_mut(status);
            if let Some(declared) = declared.filter(|d| **d == RefOr::T(failure("", why))) {
                *declared = RefOr::Ref(Ref::from_response_name(name));
                used.insert(name, failure(status, why));
            }
        }
    }
    let components = api.components.get_or_insert_default();
    for (name, response) in used {
        let shared = &mut components.responses;
        shared.insert(name.to_owned(), RefOr::T(response));
    }
    let seconds = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1));
    let header = HeaderBuilder::new()
        .schema(Some(seconds))
        .description(Some("Whole seconds until the next attempt."))
        .build();
    components
        .headers
        .insert("RetryAfter".to_owned(), RefOr::T(header));
}

fn failure(status: &str, why: &str) -> Response {
    let schema = Ref::from_schema_name(Failure::name());
    let response = ResponseBuilder::new()
        .description(why)
        .content("application/json", Content::new(Some(schema)));
    match RETRY_STATUSES.contains(&status) {
        true => response.header_ref(RETRY_AFTER, Ref::new("#/components/headers/RetryAfter")),
        false => response,
    }
    .build()
}

/// Moves parameters and long examples that occur more than once to the components.
pub(super) fn share_repeated(api: &mut OpenApi) {
    let mut components = api.components.take().unwrap_or_default();
    share_parameters(api, &mut components);
    share_examples(api, &mut components);
    api.components = Some(components);
}

fn share_parameters(api: &mut OpenApi, components: &mut Components) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for operation in operations(api) {
        for parameter in operation.parameters.iter().flatten() {
            if let RefOr::T(parameter) = parameter {
                *counts.entry(text(parameter)).or_default() += 1;
            }
        }
    }
    for operation in operations(api) {
        for slot in operation.parameters.iter_mut().flatten() {
            let RefOr::T(parameter) = &*slot else {
                continue;
            };
            if counts.get(&text(parameter)).is_none_or(|count| *count < 2) {
                continue;
            }
            let known = &mut components.parameters;
            let base = parameter_name(parameter);
            // Different parameters can have the same name and place: the `id` of an endpoint and that of a node.
            let names = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}{n}")));
            let is_free = |name: &String| known.get(name).is_none_or(|other| other == slot);
            let Some(name) = names.take(counts.len() + 1).find(is_free) else {
                continue;
            };
            let reference = Ref::new(format!("#/components/parameters/{name}"));
            let parameter = std::mem::replace(slot, RefOr::Ref(reference));
            known.insert(name, parameter);
        }
    }
}

/// The component's name: `RoomIdPath`, `LimitQuery`.
fn parameter_name(parameter: &Parameter) -> String {
    let place = match parameter.parameter_in {
        ParameterIn::Path => "Path",
        ParameterIn::Query | ParameterIn::QueryString => "Query",
        ParameterIn::Header => "Header",
        ParameterIn::Cookie => "Cookie",
    };
    format!("{}{place}", pascal_case(&parameter.name))
}

/// `room_id` and `conference.member.joined` as `RoomId` and `ConferenceMemberJoined`.
pub(super) fn pascal_case(name: &str) -> String {
    let mut words = String::with_capacity(name.len());
    let mut starts = true;
    for c in name.chars() {
        match c {
            '_' | '.' | '-' => starts = true,
            c if starts => {
                words.extend(c.to_uppercase());
                starts = false;
            }
            c => words.push(c),
        }
    }
    words
}

fn share_examples(api: &mut OpenApi, components: &mut Components) {
    /// Shorter examples are stated where they are used.
    const LONG: usize = 200;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for content in contents(api) {
        if let Some(example) = &content.example {
            *counts.entry(example.to_string()).or_default() += 1;
        }
    }
    for content in contents(api) {
        let text = content.example.as_ref().map(Value::to_string);
        let text = text.filter(|text| text.len() > LONG);
        if text.is_none_or(|text| counts.get(&text).is_none_or(|count| *count < 2)) {
            continue;
        }
        let Some(RefOr::Ref(schema)) = &content.schema else {
            continue;
        };
        let name = schema.ref_location.rsplit('/').next().unwrap_or_default();
        let value = content.example.take();
        let shared = components.examples.entry(name.to_owned());
        let example = RefOr::T(ExampleBuilder::new().value(value.clone()).build());
        let is_same = *shared.or_insert_with(|| example.clone()) == example;
        if is_same {
            let reference = Ref::new(format!("#/components/examples/{name}"));
            content
                .examples
                .insert("example".to_owned(), RefOr::Ref(reference));
        } else {
            content.example = value;
        }
    }
}

/// The contents of all responses.
fn contents(api: &mut OpenApi) -> impl Iterator<Item = &mut Content> {
    operations(api)
        .flat_map(|operation| operation.responses.responses.values_mut())
        .filter_map(|response| match response {
            RefOr::T(response) => Some(response.content.values_mut()),
            RefOr::Ref(_) => None,
        })
        .flatten()
        .filter_map(|content| match content {
            RefOr::T(content) => Some(content),
            RefOr::Ref(_) => None,
        })
}

fn text(value: &impl serde::Serialize) -> String {
    // Only texts, numbers and lists: it always serializes.
    serde_json::to_string(value).unwrap_or_default()
}

/// Declares each body as required if one of its fields is.
pub(super) fn mark_required_bodies(api: &mut OpenApi) {
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
    let schema = content.schema.as_ref();
    schema.is_some_and(|schema| requires_field(schemas, schema))
}

fn requires_field(schemas: &BTreeMap<String, RefOr<Schema>>, schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next();
            let named = name.and_then(|name| schemas.get(name));
            named.is_some_and(|schema| requires_field(schemas, schema))
        }
        RefOr::T(Schema::Object(object)) => !object.required.is_empty(),
        RefOr::T(Schema::AllOf(all)) => {
            let mut parts = all.items.iter();
            parts.any(|part| requires_field(schemas, part))
        }
        RefOr::T(Schema::OneOf(one)) => {
            let mut kinds = one.items.iter();
            kinds.all(|kind| requires_field(schemas, kind))
        }
        RefOr::T(_) => false,
    }
}

/// Adds a parameter to every operation below a path that contains it and does not declare it: routes that are nested
/// below the path do not know it.
pub(super) fn add_path_parameter(api: &mut OpenApi, parameter: &Parameter) {
    let place = format!("{{{}}}", parameter.name);
    let items = api.paths.paths.iter_mut();
    for (_, item) in items.filter(|(path, _)| path.contains(&place)) {
        for operation in operations_of(item) {
            let parameters = operation.parameters.get_or_insert_default();
            let is_declared = parameters
                .iter()
                .any(|known| matches!(known, RefOr::T(known) if known.name == parameter.name));
            if !is_declared {
                parameters.insert(0, RefOr::T(parameter.clone()));
            }
        }
    }
}
