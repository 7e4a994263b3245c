//! The document of the operator's API.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use roomkeeper::http::admin_document;
use serde_json::{Value, json};

use super::{METHODS, UNDOCUMENTED, check_examples, check_failures, fits, operations, resolved};
use crate::admin::{GENERATED_KEY, admin};
use crate::world::*;

fn api() -> Value {
    resolved(&admin_document().unwrap())
}

#[test]
fn apps_see_no_operation_of_operators() {
    let paths = super::api()["paths"].clone();
    for path in paths.as_object().unwrap().keys() {
        assert!(
            path.starts_with("/api/v1/") || path.starts_with("/v1.0/"),
            "{path}"
        );
    }
    let api = api();
    for path in api["paths"].as_object().unwrap().keys() {
        assert!(
            !path.starts_with("/api/") && !path.starts_with("/v1.0/"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_admin_route_is_documented() {
    let shown = format!("{:?}", admin(&World::new(), None));
    let routed: BTreeSet<&str> = shown
        .split('"')
        .filter(|text| text.starts_with('/') && *text != "/" && !text.contains("__private"))
        .filter(|text| !text.starts_with("/console"))
        .collect();
    assert!(routed.contains("/admin/apps/{app_id}/webhooks"), "{shown}");
    let api = api();
    let paths = api["paths"].as_object().unwrap().keys();
    let documented: BTreeSet<&str> = paths.map(String::as_str).chain(UNDOCUMENTED).collect();
    assert_eq!(routed, documented);
}

#[tokio::test]
async fn every_documented_admin_operation_is_routed_and_no_other_method_is() {
    let (api, router) = (api(), admin(&World::new(), Some("secret")));
    for (path, item) in api["paths"].as_object().unwrap() {
        let target = path
            .replace("{app_id}", "demo")
            .replace("{id}", "acW68")
            .replace("{webhook_id}", "msg_0");
        for method in METHODS {
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(&target);
            let answer = send(&router, request.body(Body::empty()).unwrap()).await;
            let expected: &[u16] = match (item[method].is_object(), path.as_str()) {
                (true, "/healthz" | "/readyz") => &[200],
                // Without a key, every other route returns 401.
                (true, _) => &[401],
                (false, _) => &[405],
            };
            let status = answer.status.as_u16();
            assert!(expected.contains(&status), "{method} {path}: {status}");
        }
    }
}

#[test]
fn admin_operations_are_complete() {
    let api = api();
    assert_eq!(api["security"], json!([{"admin_key": []}]));
    assert_eq!(
        api["components"]["securitySchemes"]["admin_key"]["name"],
        "X-Admin-API-Key"
    );
    check_failures(&api);
    check_examples(&api);
    for (what, operation) in operations(&api) {
        let places = what.split('{').skip(1).map(|part| part.split('}').next());
        for name in places.flatten() {
            let mut parameters = operation["parameters"].as_array().into_iter().flatten();
            let is_declared =
                parameters.any(|given| given["in"] == "path" && given["name"] == name);
            assert!(is_declared, "{what}: {name}");
        }
    }
}

#[tokio::test]
async fn real_answers_of_admin_listener_fit_their_schemas() {
    let (api, world) = (api(), World::new());
    let router = admin(&world, None);
    for (method, path, documented, body) in [
        ("GET", "/healthz", "/healthz", None),
        ("GET", "/readyz", "/readyz", None),
        ("GET", "/admin/nodes", "/admin/nodes", None),
        ("GET", "/admin/orphans", "/admin/orphans", None),
        ("GET", "/admin/apps", "/admin/apps", None),
        (
            "POST",
            "/admin/apps/acme",
            "/admin/apps/{app_id}",
            Some(json!({"dids": ["42"]})),
        ),
        (
            "POST",
            "/admin/apps/acme",
            "/admin/apps/{app_id}",
            Some(json!({})),
        ),
        ("GET", "/admin/apps/acme", "/admin/apps/{app_id}", None),
        ("GET", "/admin/apps/nobody", "/admin/apps/{app_id}", None),
        (
            "POST",
            "/admin/apps/acme/rotate-key",
            "/admin/apps/{app_id}/rotate-key",
            None,
        ),
        (
            "POST",
            "/admin/apps/acme/rate-limit",
            "/admin/apps/{app_id}/rate-limit",
            Some(json!({"rate_limit": 5})),
        ),
        (
            "GET",
            "/admin/apps/acme/webhooks",
            "/admin/apps/{app_id}/webhooks",
            None,
        ),
        (
            "POST",
            "/admin/apps/acme/disable",
            "/admin/apps/{app_id}/disable",
            None,
        ),
        (
            "POST",
            "/admin/nodes/acW68/drain",
            "/admin/nodes/{id}/drain",
            None,
        ),
        (
            "POST",
            "/admin/nodes/acW68/undrain",
            "/admin/nodes/{id}/undrain",
            None,
        ),
        (
            "POST",
            "/admin/nodes/acW68/resync",
            "/admin/nodes/{id}/resync",
            None,
        ),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("X-Admin-API-Key", GENERATED_KEY)
            .header("Content-Type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = send(&router, request.body(body).unwrap()).await;
        let status = answer.status.as_u16();
        let what = format!("{method} {path} {status}");
        let operation = &api["paths"][documented][method.to_lowercase()];
        let response = &operation["responses"][status.to_string()];
        assert!(response.is_object(), "{what}: {}", answer.text);
        let media = &response["content"]["application/json"];
        fits(&api, media, &answer.json(), &what);
    }
}
