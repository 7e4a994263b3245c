//! An app manages its own webhook endpoints while the program runs, as the documentation describes.

use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;

use crate::program::poll;
use crate::program::receiver::{Receiver, SECRET};
use crate::program::world::{Setup, Store};

const PATH: &str = "/webhooks";

async fn endpoint_lives_from_creation_to_removal(store: Store) {
    let world = Setup::on(store).start().await;
    let api = &world.controller;
    api.until_ready().await;
    let own = Receiver::start().await;

    // An endpoint created at run time gets the events from then on.
    let wanted = json!({"url": own.url, "events": ["conference.*"], "secret": SECRET});
    let made = api.ask("POST", PATH, Some(&wanted)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().unwrap().to_owned();
    let path = format!("{PATH}/{id}");
    let room = world.room("first").await;
    own.first(&room, "conference.created").await;
    let test = api.ask("POST", &format!("{path}/test"), None).await;
    assert_eq!(test.status, 202, "{}", test.body);
    let arrived = own.first(&id, "webhook.test").await;
    assert_eq!(test.body["id"], arrived.id);

    // The receiver answers 410: its deliveries stop, and the other receiver gets a notification.
    own.answer(410);
    let second = world.room("second").await;
    world.receiver.first(&id, "webhook.disabled").await;
    let held = world.room("third").await;
    world.receiver.first(&held, "conference.created").await;
    let shown = api.get(&path).await.body;
    assert_eq!(
        (&shown["enabled"], &shown["disabled_reason"]),
        (&json!(false), &json!("gone"))
    );
    let dead = format!("{path}/deliveries?status=dead");
    let dead = poll::until("both deliveries are dead", poll::TIMEOUT, async || {
        let rows = api.get(&dead).await.body["deliveries"].as_array().cloned();
        rows.filter(|rows| rows.len() == 2)
    })
    .await;
    assert_eq!(dead[1]["attempts"][0]["status"], 410);
    assert_eq!(
        dead[0]["attempts"],
        json!([]),
        "an attempt was made after the endpoint was disabled"
    );
    assert_eq!(own.refused(&second), 1);

    // The receiver is back, and gets the missed deliveries in order.
    own.answer(204);
    let enable = json!({"enabled": true});
    let enabled = api.ask("PATCH", &path, Some(&enable)).await;
    assert_eq!(enabled.body["enabled"], true);
    let since = json!({"since": shown["created_at"]});
    let recover = format!("{path}/recover");
    let recovered = api.ask("POST", &recover, Some(&since)).await;
    assert_eq!(recovered.body, json!({"recovered": 2}));
    own.first(&second, "conference.created").await;
    let late = own.first(&held, "conference.created").await;
    assert_eq!(dead[0]["id"], late.id);
    own.check_sequences();

    // A delivered webhook can be sent again under the same id. Until its answer is recorded the attempt is under way,
    // and not repeated.
    let delivered = format!("{path}/deliveries?status=delivered");
    poll::until("its answer is recorded", poll::TIMEOUT, async || {
        let rows = api.get(&delivered).await.body["deliveries"]
            .as_array()
            .cloned();
        rows?.iter().any(|row| row["id"] == *late.id).then_some(())
    })
    .await;
    let one = format!("{path}/deliveries/{}/redeliver", late.id);
    let again = api.ask("POST", &one, None).await;
    assert_eq!(again.status, 202, "{}", again.body);
    poll::until("the webhook is sent again", poll::TIMEOUT, async || {
        let all = own.all();
        (all.iter().filter(|got| got.id == late.id).count() == 2).then_some(())
    })
    .await;

    // After its removal the endpoint gets nothing: only the other receiver gets later events.
    let gone = api.ask("DELETE", &path, None).await;
    assert_eq!(gone.status, 200, "{}", gone.body);
    let after = world.room("fourth").await;
    world.receiver.first(&after, "conference.created").await;
    assert!(own.delivered(&after).is_empty());
    assert_eq!(api.get(&path).await.status, 404);
}

/// Accepts TLS connections with a self-signed certificate for as long as the test runs; returns its URL.
fn self_signed() -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
            // The client ends the connection when it has seen the certificate.
            while server.is_handshaking() && server.complete_io(&mut stream).is_ok() {}
        }
    });
    format!("https://localhost:{port}/hook")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ca_certificates_http_is_delivered_and_https_reports_an_error() {
    let nothing = tempfile::tempdir().unwrap();
    let missing = nothing.path().join("none.pem");
    let environment = [
        ("SSL_CERT_DIR", nothing.path()),
        ("SSL_CERT_FILE", &missing),
    ];
    let world = Setup {
        environment: environment
            .map(|(name, path)| (name.to_owned(), path.display().to_string()))
            .to_vec(),
        ..Setup::on(Store::Memory)
    }
    .start()
    .await;
    let api = &world.controller;
    api.until_ready().await;
    let warned = api.log_about(|line| line.contains("CA certificates cannot be loaded"));
    assert!(warned.contains("WARN"), "{warned}");

    let wanted = json!({"url": self_signed(), "events": ["conference.*"], "secret": SECRET});
    let made = api.ask("POST", PATH, Some(&wanted)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().unwrap();
    let room = world.room("first").await;
    world.receiver.first(&room, "conference.created").await;
    let deliveries = format!("{PATH}/{id}/deliveries");
    let error = poll::until("the delivery is attempted", poll::TIMEOUT, async || {
        let rows = api.get(&deliveries).await.body;
        let error = rows["deliveries"][0]["attempts"][0]["error"].as_str();
        error.map(str::to_owned)
    })
    .await;
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_lives_from_creation_to_removal_in_memory() {
    endpoint_lives_from_creation_to_removal(Store::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_lives_from_creation_to_removal_on_redis() {
    endpoint_lives_from_creation_to_removal(Store::Redis).await;
}
