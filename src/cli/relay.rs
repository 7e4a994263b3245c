//! `roomkeeper nodes relay-test …`: tests of the way from one node to others.
//!
//! Owns the requests, one after the other, and the table of their results. Leaves out the calls: the controller makes
//! them.

use reqwest::StatusCode;
use serde_json::{Value, json};

use roomkeeper_core::ids::NodeId;

use super::Failure;
use super::client::{Client, ClientError};
use super::table::{Fit, Table, plain};

/// Tests the way to one node, or to every other node that accepts relays. Returns `{"tests": […]}`; a test that the
/// controller could not make has its error as the cause.
///
/// # Errors
/// [`Failure`]; of a test to one node also if the controller could not make it.
pub(super) async fn run(
    admin: &Client,
    from: NodeId,
    to: Option<NodeId>,
) -> Result<Value, Failure> {
    let path = format!("admin/nodes/{from}/relay-test");
    if let Some(to) = to {
        let body = json!({ "to": to.to_string() });
        let test = admin.post(&path, Some(&body)).await?;
        return Ok(json!({ "tests": [test] }));
    }
    let list = admin.get("admin/nodes", &[]).await?;
    let nodes = list["nodes"].as_array().map(Vec::as_slice);
    let from = from.to_string();
    let others = nodes
        .unwrap_or_default()
        .iter()
        .filter(|node| node["id"] != from.as_str() && !node["relay"].is_null());
    let mut tests = Vec::new();
    for node in others {
        let to = &node["id"];
        let test = admin.post(&path, Some(&json!({ "to": to }))).await;
        tests.push(match test {
            Err(ClientError::Refused { status, error, .. }) if status != StatusCode::NOT_FOUND => {
                json!({"from": from, "to": to, "works": false, "cause": error})
            }
            test => test?,
        });
    }
    if tests.is_empty() {
        let error = "no other node has a relay address (nodes[].relay)";
        return Err(Failure::NotFound(error.to_owned()));
    }
    Ok(json!({ "tests": tests }))
}

/// Renders the results as a table.
pub(super) fn render(answer: &Value, width: Option<usize>) -> String {
    let mut table = Table::new([
        ("FROM", Fit::Keep),
        ("TO", Fit::Keep),
        ("WORKS", Fit::Keep),
        ("ANSWERED", Fit::Keep),
        ("SENT", Fit::Keep),
        ("RECEIVED", Fit::Keep),
        ("LOST", Fit::Keep),
        ("JITTER", Fit::Keep),
        ("CAUSE", Fit::Cut),
    ]);
    for test in rows(answer) {
        let ms = |field: &str| match &test[field] {
            Value::Null => plain(&Value::Null),
            ms => format!("{} ms", plain(ms)),
        };
        table.row([
            plain(&test["from"]),
            plain(&test["to"]),
            if works(test) { "yes" } else { "no" }.to_owned(),
            ms("answered_ms"),
            plain(&test["sent"]),
            plain(&test["received"]),
            plain(&test["lost"]),
            ms("jitter_ms"),
            plain(&test["cause"]),
        ]);
    }
    table.render(width)
}

/// Fails if one of the ways does not work.
///
/// # Errors
/// [`Failure::Command`] with their number.
pub(super) fn check(answer: &Value) -> Result<(), Failure> {
    let tests = rows(answer);
    match tests.iter().filter(|test| !works(test)).count() {
        0 => Ok(()),
        failed => Err(Failure::Command(format!(
            "{failed} of {} relays failed",
            tests.len()
        ))),
    }
}

fn rows(answer: &Value) -> &[Value] {
    answer["tests"].as_array().map_or(&[], Vec::as_slice)
}

fn works(test: &Value) -> bool {
    test["works"] == true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_the_figures_or_the_cause() {
        let answer = json!({"tests": [
            {"from": "acW68", "to": "bdX79", "works": true, "cause": null, "answered_ms": 21, "sent": 100,
             "received": 99, "lost": 0, "jitter_ms": 1.4},
            {"from": "acW68", "to": "ccccc", "works": false, "cause": "CALL_REJECTED", "answered_ms": null},
        ]});
        assert_eq!(
            render(&answer, None),
            "FROM   TO     WORKS  ANSWERED  SENT  RECEIVED  LOST  JITTER  CAUSE\n\
             acW68  bdX79  yes    21 ms     100   99        0     1.4 ms  -\n\
             acW68  ccccc  no     -         -     -         -     -       CALL_REJECTED\n"
        );
        let failed = check(&answer).unwrap_err();
        assert_eq!(failed.to_string(), "1 of 2 relays failed");
        assert_eq!(failed.exit_code(), 1);
        assert!(check(&json!({"tests": [{"works": true}]})).is_ok());
    }
}
