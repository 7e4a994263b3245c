//! A demo in one process: a simulated node over real TCP, a controller with a store in memory, an app, callers, and a
//! receiver that prints each webhook.
//!
//! Owns the demo. The controller is the same as that of `serve`, and the demo uses its HTTP API like any app.
//!
//! Two parts also run alone, next to a real controller and real nodes: [`receiver`] and [`callers`].

pub mod callers;
mod error;
mod output;
pub mod receiver;

pub use error::LabError;
use output::say;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::{self, AppError};
use crate::config::Config;
use crate::shutdown::stop_signal;
use crate::webhook::sign::Secret;
use freeswitch_sim::{SimConfig, SimNode};

const APP: &str = "demo";
const KEY: &str = "lab-key";
const NODE: &str = "acW68";
const PASSWORD: &str = "lab-node-password";
const DID: &str = "747713001";
const ROOM: &str = "lobby";

/// The number of concurrent callers.
const CALLERS: usize = 3;

/// The interval between two counts of the calls.
const CALLER_PAUSE: Duration = Duration::from_millis(250);

/// The timeout of one step of the demo, which takes milliseconds.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// The ports of the lab.
#[derive(Clone, Copy, Debug)]
pub struct LabPorts {
    /// The API's port on loopback; another free port if it is in use.
    pub http: u16,
    /// The admin listener's port on loopback; another free port if it is in use.
    pub admin: u16,
}

/// Runs the lab until a stop signal.
///
/// # Errors
/// [`LabError`] if it cannot start.
pub async fn run(ports: LabPorts, metrics: PrometheusHandle) -> Result<(), LabError> {
    let start = Instant::now();
    let stop = stop_signal();
    let mut sim_config = SimConfig::default();
    sim_config.node.password = PASSWORD.to_owned();
    let sim = SimNode::start(sim_config).await?;
    let secret_text = format!(
        "whsec_{}",
        BASE64_STANDARD.encode(rand::random::<[u8; 24]>())
    );
    let secret: Secret = secret_text
        .parse()
        .map_err(|_| LabError::Demo("the generated secret is invalid".to_owned()))?;
    let hooks = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let hook = format!("http://{}/hook", hooks.local_addr()?);
    let text = configuration(
        free_or_any(ports.http).await?,
        free_or_any(ports.admin).await?,
        free_or_any(0).await?,
        sim.addr,
        &hook,
        &secret_text,
    );
    let config = Config::from_text(&text, std::iter::empty())?;
    let receiving = tokio::spawn(async move {
        // The server runs as long as the process.
        let _ended = axum::serve(hooks, receiver::routes(secret)).await;
    });

    let store = app::open_store(&config.store).map_err(AppError::from)?;
    let running = app::start(&config, store, metrics).await?;
    let api = Api::new(running.http)?;
    say(&format!(
        "Roomkeeper lab: one simulated FreeSWITCH node ({}), one controller, a store in memory, the app \"{APP}\".\n\
         \n  console  http://{http}/console   app {APP}, key {KEY}\n  API      http://{http}   X-App-ID: {APP}   X-API-Key: {KEY}\n  admin    http://{}/readyz   /metrics; /admin/nodes with X-Admin-API-Key, as: roomkeeper nodes{nodes}\n\n\
         The app's webhooks are printed as they arrive:\n",
        sim.addr,
        running.admin,
        http = running.http,
        nodes = match running.admin.port() {
            9090 => String::new(),
            port => format!(" --admin http://127.0.0.1:{port}"),
        },
    ));

    let calls = api.start_calls(&sim, CALLERS).await?;
    let room = api.create_room().await?;
    let (Some(first), Some(second), Some(third)) = (calls.first(), calls.get(1), calls.get(2))
    else {
        return Err(LabError::Demo("too few callers".to_owned()));
    };
    for call in [first, second] {
        api.join(call, &room).await?;
    }
    api.wait_for_members(&room, 2).await?;
    say(&instructions(
        &running.http,
        &room,
        first,
        third,
        start.elapsed(),
    ));

    tokio::select! {
        () = stop => {}
        () = replace_callers(&sim) => {}
    }
    running.stop().await;
    receiving.abort();
    Ok(())
}

/// Places a new call whenever one has ended. Never returns.
async fn replace_callers(sim: &SimNode) {
    for placed in CALLERS + 1.. {
        while sim.snapshot().channels.len() >= CALLERS {
            tokio::time::sleep(CALLER_PAUSE).await;
        }
        place_call(sim, placed);
    }
}

/// Calls the app's number as the caller with this index.
fn place_call(sim: &SimNode, caller: usize) {
    sim.call_in(DID, &format!("5271211{:02}", caller % 100), &[]);
}

/// Returns this port if it is free, or any free port.
async fn free_or_any(port: u16) -> io::Result<u16> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok(listener.local_addr()?.port()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            Ok(listener.local_addr()?.port())
        }
        Err(error) => Err(error),
    }
}

fn configuration(
    http: u16,
    admin: u16,
    media: u16,
    node: SocketAddr,
    hook: &str,
    secret: &str,
) -> String {
    format!(
        r#"
[http]
listen = "127.0.0.1:{http}"
admin_listen = "127.0.0.1:{admin}"
[store]
url = "memory:"
[webhooks]
allow_http = true
allow_private = true
[play]
proxy_url = "http://127.0.0.1:{media}"
proxy_listen = "127.0.0.1:{media}"
[[nodes]]
id = "{NODE}"
address = "{node}"
password = "{PASSWORD}"
[[apps]]
id = "{APP}"
customer_id = "5e4a0680-804e-11ec-8477-2fea5968d85b"
api_key = "{KEY}"
dids = ["{DID}"]
[[apps.webhooks]]
url = "{hook}"
secret = "{secret}"
events = ["*"]
"#
    )
}

fn instructions(
    api: &SocketAddr,
    room: &str,
    inside: &str,
    parked: &str,
    took: Duration,
) -> String {
    let auth = format!("-H 'X-App-ID: {APP}' -H 'X-API-Key: {KEY}'");
    let base = format!("http://{api}/api/v1");
    format!(
        "\nReady after {took:.1?}. Two callers are in the room \"{ROOM}\", muted; a third one is parked.\n\
         Try this in another terminal, and watch the webhooks here:\n\n\
         # unmute a caller\n\
         curl -X POST {base}/sessions/{inside}/commands/conference/unmute {auth}\n\n\
         # list the members of the room\n\
         curl {base}/conferences/{room}/members {auth}\n\n\
         # join the parked caller\n\
         curl -X POST {base}/sessions/{parked}/commands/conference/join {auth} \\\n     \
              -H 'Content-Type: application/json' -d '{{\"room_id\": \"{room}\"}}'\n\n\
         # play a file of a public server (the simulated node does not fetch it), then pause it, and stop it\n\
         curl -X POST {base}/conferences/{room}/play {auth} \\\n     \
              -H 'Content-Type: application/json' -d '{{\"urls\": [\"https://example.com/hello.wav\"]}}'\n\
         curl -X POST {base}/conferences/{room}/pause {auth}\n\
         curl -X POST {base}/conferences/{room}/stop {auth}\n\n\
         # remove a caller, end a call (a new caller follows), end the room\n\
         curl -X POST {base}/sessions/{inside}/commands/conference/leave {auth}\n\
         curl -X POST {base}/sessions/{inside}/commands/hangup {auth}\n\
         curl -X DELETE {base}/conferences/{room} {auth}\n\n\
         # all calls, all rooms\n\
         curl {base}/sessions {auth}\n\
         curl {base}/conferences {auth}\n\n\
         Ctrl-C ends the lab.\n"
    )
}

/// The demo's client of the API.
struct Api {
    client: reqwest::Client,
    base: String,
}

impl Api {
    fn new(address: SocketAddr) -> Result<Self, LabError> {
        let client = reqwest::Client::builder()
            .timeout(STEP_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|e| LabError::Demo(e.to_string()))?;
        Ok(Self {
            client,
            base: format!("http://{address}/api/v1"),
        })
    }

    async fn request(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<(StatusCode, serde_json::Value), LabError> {
        let failed = |e: reqwest::Error| LabError::Demo(e.to_string());
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("X-App-ID", APP)
            .header("X-API-Key", KEY);
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(failed)?;
        let json = serde_json::from_slice(&bytes).map_err(|e| LabError::Demo(e.to_string()))?;
        Ok((status, json))
    }

    /// Polls a path until `select` finds a value in the response.
    async fn poll_until<T>(
        &self,
        path: &str,
        select: impl Fn(&serde_json::Value) -> Option<T>,
    ) -> Result<T, LabError> {
        let end = Instant::now() + STEP_TIMEOUT;
        loop {
            let (status, json) = self.request(reqwest::Method::GET, path, None).await?;
            if let Some(found) = select(&json) {
                return Ok(found);
            }
            if Instant::now() > end {
                return Err(LabError::Demo(format!(
                    "{path} still returns {status} {json}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts calls and waits until the controller knows them.
    async fn start_calls(&self, sim: &SimNode, n: usize) -> Result<Vec<String>, LabError> {
        self.poll_until("/sessions", |json| {
            json["sessions"].is_array().then_some(())
        })
        .await?;
        for i in 1..=n {
            // The dialled number belongs to the app, so the call does.
            place_call(sim, i);
        }
        self.poll_until("/sessions", |json| {
            let sessions = json["sessions"].as_array()?;
            let parked: Vec<String> = sessions
                .iter()
                .filter(|s| s["state"] == "parked")
                .filter_map(|s| s["uuid"].as_str().map(str::to_owned))
                .collect();
            (parked.len() == n).then_some(parked)
        })
        .await
    }

    async fn create_room(&self) -> Result<String, LabError> {
        let body = serde_json::json!({ "name": ROOM });
        let (status, json) = self
            .request(reqwest::Method::POST, "/conferences", Some(body))
            .await?;
        json["room_id"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| LabError::Demo(format!("{status} {json}")))
    }

    async fn join(&self, session: &str, room: &str) -> Result<(), LabError> {
        let path = format!("/sessions/{session}/commands/conference/join");
        let body = serde_json::json!({ "room_id": room });
        let (status, json) = self
            .request(reqwest::Method::POST, &path, Some(body))
            .await?;
        if status == StatusCode::ACCEPTED {
            Ok(())
        } else {
            Err(LabError::Demo(format!("{status} {json}")))
        }
    }

    async fn wait_for_members(&self, room: &str, n: usize) -> Result<(), LabError> {
        self.poll_until(&format!("/conferences/{room}"), |json| {
            (json["members"].as_u64()? == n as u64).then_some(())
        })
        .await
    }
}
