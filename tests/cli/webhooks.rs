//! Webhook endpoints and their deliveries.

use serde_json::Value;

use crate::command::{document, shown};
use crate::program::poll::{self, TIMEOUT};
use crate::program::receiver::Receiver;
use crate::{fails, world};

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_is_created_tested_changed_and_removed() {
    let world = world().await;
    let receiver = Receiver::start().await;
    let made = document(
        &world,
        &[
            "webhook",
            "add",
            &receiver.url,
            "--event",
            "call.*,conference.created",
            "--json",
        ],
    );
    let id = made["id"].as_str().unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(
        made["events"],
        serde_json::json!(["call.*", "conference.created"])
    );
    // The endpoint of the configuration is listed as well. The ids are shortened, and accepted as arguments.
    let table = shown(&world, &["webhook", "list"]);
    let short = table
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|word| id.starts_with(word))
        .unwrap()
        .to_owned();
    assert!(short.len() < id.len(), "{table}");

    let state = |expected: &str| {
        let list = document(&world, &["webhook", "list", "--json"]);
        let rows = list["webhooks"].as_array().unwrap().clone();
        let row = rows.iter().find(|row| row["id"] == *id).unwrap();
        assert_eq!(row["enabled"], expected == "enabled");
    };
    let disabled = shown(&world, &["webhook", "disable", &short]);
    assert_eq!(
        disabled,
        format!("{id} is disabled: its messages are kept as dead deliveries.\n")
    );
    state("disabled");
    shown(&world, &["webhook", "enable", &receiver.url]);
    state("enabled");
    let rotated = shown(&world, &["webhook", "rotate", &short, "--utc"]);
    assert!(rotated.contains("\nsigning secret: whsec_"), "{rotated}");
    assert!(
        !rotated.contains(made["secret"].as_str().unwrap()),
        "{rotated}"
    );

    let (code, errors) = fails(&world, &["webhook", "remove", &short]);
    assert_eq!(code, Some(2), "{errors}");
    shown(&world, &["webhook", "remove", &short, "--yes"]);
    let (code, errors) = fails(&world, &["webhook", "test", &short]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("there is no webhook endpoint"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_and_sent_again() {
    let world = world().await;
    let url = world.receiver.url.clone();
    world.receiver.answer(410);
    let tested = document(&world, &["webhook", "test", &url, "--json"]);
    let id = tested["id"].as_str().unwrap();
    let delivery = async |status: &str| {
        let args = ["webhook", "deliveries", &url, "--status", status, "--json"];
        poll::until("the delivery has this status", TIMEOUT, async || {
            let list = document(&world, &args);
            let rows: Vec<Value> = list["deliveries"].as_array().unwrap().clone();
            rows.into_iter().find(|row| row["id"] == *id)
        })
        .await
    };
    let dead = delivery("dead").await;
    assert_eq!(dead["attempts"][0]["status"], 410);
    let table = shown(&world, &["webhook", "deliveries", &url]);
    let line = table
        .lines()
        .find(|line| line.starts_with(&id[..16]))
        .unwrap();
    assert!(
        line.contains("webhook.test  dead    1      410 in "),
        "{table}"
    );

    // The endpoint was disabled by its answer.
    world.receiver.answer(204);
    let (code, errors) = fails(&world, &["webhook", "resend", &url, id]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("(409 Conflict)"), "{errors}");
    shown(&world, &["webhook", "enable", &url]);
    let again = shown(&world, &["webhook", "resend", &url, &id[..34]]);
    assert!(again.starts_with(&format!("{id} to ep_")), "{again}");
    assert_eq!(
        delivery("delivered").await["attempts"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()["status"],
        204
    );
    let one = document(
        &world,
        &["webhook", "deliveries", &url, "--limit", "1", "--json"],
    );
    assert_eq!(one["deliveries"].as_array().unwrap().len(), 1);
}
