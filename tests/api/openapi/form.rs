//! The form of both documents: shared parts, operation ids, enumerations.

use std::collections::{BTreeMap, BTreeSet};

use roomkeeper::http::{admin_document, document};
use serde_json::Value;

use super::operations;

/// The verbs of operation ids.
const VERBS: [&str; 43] = [
    "answer", "cancel", "coach", "collect", "create", "deafen", "delete", "disable", "drain",
    "enable", "get", "hangUp", "hold", "join", "kick", "leave", "list", "lock", "move", "mute",
    "pause", "recover", "resend", "resume", "resync", "rotate", "run", "search", "send", "set",
    "speak", "start", "stop", "stream", "test", "transfer", "uncoach", "undeafen", "undrain",
    "unhold", "unlock", "unmute", "update",
];

#[test]
fn documents_state_shared_parts_once() {
    for text in [document().unwrap(), admin_document().unwrap()] {
        assert!(text.len() < 300_000, "{} bytes", text.len());
        let api: Value = serde_json::from_str(&text).unwrap();
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (what, operation) in operations(&api) {
            let responses = operation["responses"].as_object().unwrap().iter();
            for (status, response) in responses {
                if !status.starts_with('2') && response["$ref"].is_null() {
                    let places = seen.entry(response.to_string()).or_default();
                    places.push(format!("{what} {status}"));
                }
                let links = response["links"].as_object().into_iter().flatten();
                for (_, link) in links {
                    let places = seen.entry(link.to_string()).or_default();
                    places.push(format!("{what} {status}"));
                }
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["$ref"].is_null() {
                    let places = seen.entry(parameter.to_string()).or_default();
                    places.push(what.clone());
                }
            }
        }
        for (part, places) in seen {
            assert!(places.len() < 3, "{places:?} repeat {part}");
        }
    }
}

#[test]
fn operation_ids_are_unique_verbs_with_nouns() {
    for text in [document().unwrap(), admin_document().unwrap()] {
        let api: Value = serde_json::from_str(&text).unwrap();
        let mut ids = BTreeSet::new();
        for (what, operation) in operations(&api) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{what}: {id} is used twice");
            let noun = VERBS.iter().filter_map(|verb| id.strip_prefix(verb));
            let is_noun = |noun: &str| {
                noun.starts_with(|c: char| c.is_ascii_uppercase())
                    && noun.chars().all(|c| c.is_ascii_alphabetic())
            };
            assert!(noun.into_iter().any(is_noun), "{what}: {id}");
            assert!(operation["summary"].is_string(), "{what}");
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{what}");
            let tags = api["tags"].as_array().unwrap();
            let tag = &operation["tags"][0];
            assert!(
                tags.iter().any(|known| known["name"] == *tag),
                "{what}: {tag}"
            );
        }
        assert!(ids.len() > 15, "{ids:?}");
    }
}

#[test]
fn each_status_and_state_is_an_enumeration() {
    let names = [
        "status",
        "state",
        "playback_status",
        "recording_status",
        "link",
        "direction",
    ];
    let mut seen = 0;
    for text in [document().unwrap(), admin_document().unwrap()] {
        let api: Value = serde_json::from_str(&text).unwrap();
        for (schema, definition) in api["components"]["schemas"].as_object().unwrap() {
            let parts = definition["allOf"].as_array().into_iter().flatten();
            for part in parts.chain([definition]) {
                let properties = part["properties"].as_object().into_iter().flatten();
                // The status of an attempt is that of HTTP.
                for (name, property) in properties
                    .filter(|(name, _)| names.contains(&name.as_str()))
                    .filter(|(_, property)| !property["type"].to_string().contains("integer"))
                {
                    let text = property.to_string();
                    let reference = text.split("#/components/schemas/").nth(1);
                    let target = reference.and_then(|rest| rest.split('"').next());
                    let target =
                        target.map_or(property, |name| &api["components"]["schemas"][name]);
                    assert!(target["enum"].is_array(), "{schema}.{name}: {target}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}
