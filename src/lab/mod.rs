//! A demo in one process: a node, a controller with a store in memory, an app, callers, and a receiver that prints each
//! webhook.
//!
//! Owns the demo. The controller is the same as that of `serve`, and the demo uses its HTTP API like any app. The node is
//! simulated, over real TCP, or a FreeSWITCH.
//!
//! Two parts also run alone, next to a real controller and real nodes: [`receiver`] and [`callers`].

mod api;
pub mod callers;
mod demo;
mod error;
mod names;
mod node;
mod output;
pub mod receiver;
mod screen;

pub use error::LabError;
pub use node::NodeChoice;
use output::say;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::{self, AppError, Running};
use crate::config::Config;
use crate::shutdown::stop_signal;
use crate::supervise::ShutdownPhase;
use crate::webhook::sign::Secret;
use api::Api;
use demo::{Demo, SPEAKERS};
use names::{APP, DID, KEY, NODE};
use node::LabNode;
use receiver::Printer;
use screen::Screen;

/// The timeout until all calls are where they belong. A simulated node takes milliseconds, a real one on a busy machine
/// many seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The timeout of the webhooks of the start, which the first screen replaces.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// The time for the end of the demo, which hangs up its calls on a real node, and of its connection.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// The ports of the lab.
#[derive(Clone, Copy, Debug)]
pub struct LabPorts {
    /// The API's port on loopback; 0 for a free one.
    pub http: u16,
    /// The admin listener's port on loopback; 0 for a free one.
    pub admin: u16,
}

/// The settings of the lab.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The ports.
    pub ports: LabPorts,
    /// The number of calls that are kept parked.
    pub callers: usize,
    /// The node.
    pub node: NodeChoice,
    /// Webhooks are printed in colour.
    pub colours: bool,
}

/// Runs the lab until a stop signal.
///
/// # Errors
/// [`LabError`] if it cannot start.
pub async fn run(options: LabOptions, metrics: PrometheusHandle) -> Result<(), LabError> {
    let start = Instant::now();
    let mut stop = pin!(stop_signal());
    let connections = ShutdownPhase::new();
    let node = LabNode::start(options.node, &connections).await?;
    let secret_text = format!(
        "whsec_{}",
        BASE64_STANDARD.encode(rand::random::<[u8; 24]>())
    );
    let secret: Secret = secret_text
        .parse()
        .map_err(|_| LabError::Demo("the generated secret is invalid".to_owned()))?;
    let hooks = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let hook = format!("http://{}/hook", hooks.local_addr()?);
    let printer = Printer::silent(options.colours);
    let routes = receiver::routes(secret, printer.clone());
    let receiving = tokio::spawn(async move {
        // The server runs as long as the process.
        let _ended = axum::serve(hooks, routes).await;
    });

    let running = start_controller(options.ports, &node, &hook, &secret_text, metrics).await?;
    let api = Api::new(format!("http://{}/api/v1", running.http))?;
    let description = node.description();
    let mut demo = Demo::new(api, node, options.callers);
    let started = tokio::select! {
        ready = demo.until_ready(READY_TIMEOUT) => ready.map(Some),
        () = &mut stop => Ok(None),
    };
    let demos = ShutdownPhase::new();
    if let Ok(Some(ready)) = &started {
        printer.start(SPEAKERS, WEBHOOK_TIMEOUT).await;
        let screen = Screen {
            node: description,
            http: running.http,
            admin: running.admin,
            callers: options.callers,
            ready,
            took: start.elapsed(),
        };
        say(&screen.text());
        demos.spawn(demo.run(demos.stop().clone()));
        stop.await;
    } else {
        demo.hang_up_all().await;
    }
    demos.end(STOP_TIMEOUT).await;
    running.stop().await;
    connections.end(STOP_TIMEOUT).await;
    receiving.abort();
    started.map(|_| ())
}

/// Starts the controller of the lab. A port that is in use is an error that names its option.
async fn start_controller(
    ports: LabPorts,
    node: &LabNode,
    hook: &str,
    secret: &str,
    metrics: PrometheusHandle,
) -> Result<Running, LabError> {
    let http = port_or_free(ports.http).await?;
    let admin = port_or_free(ports.admin).await?;
    if http == admin {
        return Err(LabError::PortInUse {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, admin)),
            option: "--admin-port",
        });
    }
    let mut text = configuration(http, admin, hook, secret);
    if node.is_on_loopback() {
        text.push_str(&media_proxy(port_or_free(0).await?));
    }
    // A password can contain any character, so it does not go through TOML.
    let secrets = [
        ("ROOMKEEPER_NODES__0__ADDRESS", node.address()),
        ("ROOMKEEPER_NODES__0__PASSWORD", node.password().to_owned()),
    ];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value));
    let config = Config::from_text(&text, secrets)?;
    let store = app::open_store(&config.store).map_err(AppError::from)?;
    app::start(&config, store, metrics)
        .await
        .map_err(|error| port_in_use(error, http, admin))
}

/// Names the option of a port that is in use.
fn port_in_use(error: AppError, http: u16, admin: u16) -> LabError {
    let (address, option) = match &error {
        AppError::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
            match address.port() {
                port if port == http => (*address, "--port"),
                port if port == admin => (*address, "--admin-port"),
                _ => return error.into(),
            }
        }
        _ => return error.into(),
    };
    LabError::PortInUse { address, option }
}

/// Returns this port, or a free one instead of 0.
async fn port_or_free(port: u16) -> io::Result<u16> {
    if port != 0 {
        return Ok(port);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?.port())
}

fn configuration(http: u16, admin: u16, hook: &str, secret: &str) -> String {
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
[[nodes]]
id = "{NODE}"
[[apps]]
id = "{APP}"
customer_id = "5e4a0680-804e-11ec-8477-2fea5968d85b"
api_key = "{KEY}"
# The demo uses the API as the same app.
rate_limit = 1000
dids = ["{DID}"]
[[apps.webhooks]]
url = "{hook}"
secret = "{secret}"
events = ["*"]
"#
    )
}

/// The media proxy, which only a node on this machine reaches.
fn media_proxy(port: u16) -> String {
    format!(
        r#"
[play]
proxy_url = "http://127.0.0.1:{port}"
proxy_listen = "127.0.0.1:{port}"
"#
    )
}
