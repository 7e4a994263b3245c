//! Caller credentials: the gateway's headers, `Authorization: Bearer`, `?token=`.

use serde_json::{Value, json};

use crate::program::controller::{Answer, ApiRequest, KEY};
use crate::row::{Row, rows};

rows! {
    Plain: [
        by_the_gateways_headers,
        by_bearer,
        by_token,
        no_credentials_401,
        wrong_key_401,
        key_is_valid_for_one_app_only,
        token_is_not_logged,
    ]
}

/// Sends a request with this `Authorization` and this path.
async fn ask(row: &Row<'_>, bearer: Option<&str>, path: &str) -> Answer {
    let ask = ApiRequest {
        method: "GET",
        path,
        authorization: bearer,
        ..ApiRequest::default()
    };
    row.exactly(ask).await
}

async fn is_own(row: &Row<'_>, answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let made = row.send_ok("POST", "/conferences", json!({})).await;
    let first = &answer.body["result"][0];
    assert_eq!(first["customer_id"], made["customer_id"]);
}

async fn by_the_gateways_headers(row: &Row<'_>) {
    row.conference(json!({})).await;
    let answer = row.v("GET", "/conferences", Value::Null).await;
    is_own(row, &answer).await;
}

async fn by_bearer(row: &Row<'_>) {
    row.conference(json!({})).await;
    for scheme in ["Bearer", "bearer"] {
        let bearer = format!("{scheme} {KEY}");
        is_own(row, &ask(row, Some(&bearer), "/v1.0/conferences").await).await;
    }
}

async fn by_token(row: &Row<'_>) {
    row.conference(json!({})).await;
    let path = format!("/v1.0/conferences?token={KEY}");
    is_own(row, &ask(row, None, &path).await).await;
}

async fn no_credentials_401(row: &Row<'_>) {
    for list in ["conferences", "conferencecalls", "recordings"] {
        ask(row, None, &format!("/v1.0/{list}")).await.fails(401);
    }
}

async fn wrong_key_401(row: &Row<'_>) {
    for (bearer, query) in [
        (Some("Bearer wrong"), ""),
        (Some("Bearer "), ""),
        (Some("Basic d2Fsay1rZXk6"), ""),
        (None, "?token=wrong"),
        (None, "?token="),
    ] {
        let path = format!("/v1.0/conferences{query}");
        ask(row, bearer, &path).await.fails(401);
    }
    // With two tokens, the checked one would be ambiguous.
    let twice = format!("/v1.0/conferences?token={KEY}&token={KEY}");
    ask(row, None, &twice).await.fails(401);
}

async fn key_is_valid_for_one_app_only(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let bearer = format!("Bearer {}", row.other().key);
    let path = format!("/v1.0/conferences/{id}");
    ask(row, Some(&bearer), &path).await.fails(403);
}

async fn token_is_not_logged(row: &Row<'_>) {
    let app = row.running.new_app();
    let path = format!("/v1.0/conferences?token={}", app.key);
    assert_eq!(ask(row, None, &path).await.status, 200);
    let wrong = format!("{}x", app.key);
    let path = format!("/v1.0/conferences?token={wrong}");
    ask(row, None, &path).await.fails(401);
    let log = &row.running.world.controller;
    assert!(!log.log_about(|line| line.contains("/v1.0/")).is_empty());
    assert_eq!(log.log_about(|line| line.contains(&app.key)), "");
}
