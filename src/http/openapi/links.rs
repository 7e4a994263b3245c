//! Links of the OpenAPI document: from each response that contains an id to every operation that takes one.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, RefOr, Response};

use super::operations::operations;

/// Sources of ids: an operation, one of its responses, the expression that finds the id in the exchange, and the
/// parameter of other operations that takes the id.
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
pub(super) fn add_links(api: &mut OpenApi) {
    let takers: Vec<(String, BTreeSet<String>)> = operations(api)
        .filter_map(|operation| Some((operation.operation_id.clone()?, parameters(operation))))
        .collect();
    for (operation, (id, own)) in operations(api).zip(&takers) {
        let answers = &mut operation.responses.responses;
        for (taker, names) in &takers {
            // One link has all parameters of the other operation that this response provides.
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
