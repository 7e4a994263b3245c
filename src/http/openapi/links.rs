//! Links of the OpenAPI document: from the response that first contains an id to every operation that takes it.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, RefOr, Response};

use super::operations::operations;

/// Sources of ids: an operation, one of its responses, the expression that finds the id in the exchange, and the
/// parameter of other operations that takes the id. Each id has one source, so that no link repeats another.
const SOURCES: [(&str, &str, &str, &str); 8] = [
    ("createRoom", "201", "$response.body#/room_id", "room_id"),
    (
        "listCalls",
        "200",
        "$response.body#/sessions/0/uuid",
        "uuid",
    ),
    ("createWebhook", "201", "$response.body#/id", "id"),
    ("testWebhook", "202", "$response.body#/id", "webhook_id"),
    ("testWebhook", "202", "$request.path.id", "id"),
    (
        "createConference",
        "200",
        "$response.body#/id",
        "conference_id",
    ),
    (
        "createConferencecall",
        "200",
        "$response.body#/id",
        "conferencecall_id",
    ),
    (
        "listRecordings",
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
            // One link has all parameters of the other operation that this exchange provides.
            let provided = SOURCES.iter().filter(|source| source.0 == id);
            let provided: Vec<_> = provided.filter(|source| names.contains(source.3)).collect();
            // An id that the request already had only completes a link.
            let new = provided
                .iter()
                .find(|source| source.2.starts_with("$response"));
            let Some((_, status, ..)) = new else {
                continue;
            };
            let link = provided.iter().fold(
                LinkBuilder::new().operation_id(taker),
                |link, (_, _, expression, parameter)| link.parameter(*parameter, *expression),
            );
            add_link(answers, status, taker, link);
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
