//! The example of `freeswitch-esl` on the simulated node.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the test calls its functions instead of `main`")]
#[path = "../../freeswitch-esl/examples/events.rs"]
mod events;

use std::time::Duration;

use freeswitch_esl::command::Password;
use freeswitch_sim::{SimConfig, SimNode};
use tokio::sync::mpsc;

/// The maximum time of any step; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

async fn node() -> SimNode {
    let mut config = SimConfig::default();
    config.node.password = "right".to_owned();
    SimNode::start(config).await.unwrap()
}

#[tokio::test]
async fn example_prints_events_of_a_call() {
    let node = node().await;
    let (send, mut lines) = mpsc::channel(64);
    let address = node.addr.to_string();
    let listening = tokio::spawn(async move {
        let password = Password::new("right").unwrap();
        events::listen(&address, password, |event| {
            // The test reads one line, so the rest may be lost.
            let _ = send.try_send(events::describe(event));
        })
        .await
    });
    // The subscription has no event of its own, so calls come in until one is reported.
    let printed = tokio::time::timeout(PATIENCE, async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                line = lines.recv() => break line.unwrap(),
                _ = pause.tick() => { node.call_in("747713001", "527121101", &[]); }
            }
        }
    })
    .await
    .unwrap();
    assert!(printed.starts_with("CHANNEL_"), "{printed}");
    assert!(printed.contains(" Unique-ID="), "{printed}");
    assert!(
        printed.contains(" Caller-Caller-ID-Number=527121101"),
        "{printed}"
    );
    node.kill();
    let ended = tokio::time::timeout(PATIENCE, listening).await.unwrap();
    assert!(ended.unwrap().is_err(), "the server is gone");
}

#[tokio::test]
async fn example_reports_wrong_password() {
    let node = node().await;
    let password = Password::new("wrong").unwrap();
    let address = node.addr.to_string();
    let listening = events::listen(&address, password, |_| ());
    let ended = tokio::time::timeout(PATIENCE, listening).await.unwrap();
    let error = ended.unwrap_err().to_string();
    assert!(error.starts_with("AuthRefused"), "{error}");
}
