//! The whole program in this process, on a store that can panic on request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use freeswitch_sim::SimNode;
use roomkeeper::app::{self, Running};
use roomkeeper::config::Config;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::panics::{METRICS, panics};
use crate::tampered::{Act, Tampered};
use crate::world::{DID, simulated, until};

/// A webhook receiver, with its URL and the received bodies.
async fn receiver() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, webhooks) = mpsc::unbounded_channel();
    let hook = post(
        |State(tell): State<mpsc::UnboundedSender<String>>, body: String| async move {
            let _over = tell.send(body);
        },
    );
    let routes = Router::new().route("/hook", hook).with_state(tell);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (url, webhooks)
}

async fn start(sim: &SimNode, hook: &str, store: Arc<Tampered>) -> Running {
    let text = format!(
        r#"
[http]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
admin_key = "admin"
[store]
url = "memory:"
[webhooks]
allow_http = true
allow_private = true
[[nodes]]
id = "acW68"
address = "{}"
password = "ClueCon"
[[apps]]
id = "demo"
api_key = "k"
dids = ["{DID}"]
[[apps.webhooks]]
url = "{hook}"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"#,
        sim.addr
    );
    let config = Config::from_text(&text, []).unwrap();
    app::start(&config, store, METRICS.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_restarts_and_delivers_remaining_messages() {
    let (sim, store) = (simulated().await, Tampered::new());
    let (hook, mut webhooks) = receiver().await;
    for method in ["read_outbox", "claim_deliveries"] {
        store.will(method, Act::PanicOnce);
    }
    let running = start(&sim, &hook, store.clone()).await;
    until("it has panicked twice", async || {
        (store.fired() == 2 && panics("webhook_worker") == 2).then_some(())
    })
    .await;
    sim.call_in(DID, "1001", &[]);
    let body = tokio::time::timeout(Duration::from_secs(60), webhooks.recv()).await;
    let body = body.unwrap().unwrap();
    assert!(body.contains("call.new"), "{body}");
    assert!(running.stop().await);
}
