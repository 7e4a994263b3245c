//! `roomkeeper app …`: the operator's commands, carried out by a running controller.
//!
//! Owns the client of the admin listener and how its answers look on a terminal. Leaves out what they do: the listener
//! decides, so that a command and a request of the operator's own can never differ.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use url::Url;

use crate::ids::AppId;

/// The listener answers within its store's timeout.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Clone, Debug)]
pub enum AppCommand {
    /// Make an app.
    Add {
        /// Its id.
        id: AppId,
        /// Its uuid in the VoIPBIN API.
        customer_id: Option<String>,
        /// Its dialled numbers.
        dids: Vec<String>,
        /// How many requests a second it may make.
        rate_limit: Option<u32>,
        /// Its receiver.
        webhook_url: Option<String>,
    },
    /// Show all apps.
    List,
    /// Give an app another key.
    RotateKey {
        /// Which.
        id: AppId,
    },
    /// Say how many requests a second an app may make.
    RateLimit {
        /// Which.
        id: AppId,
        /// How many; `None`: as many as every app.
        rate_limit: Option<u32>,
    },
    /// Close the API to an app.
    Disable {
        /// Which.
        id: AppId,
    },
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Nobody answered at this address.
    #[error("nobody answers at {url}: is the controller running, and is this its admin_listen?")]
    Unreachable {
        /// Which.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The admin key is missing or wrong.
    #[error("{0}: give the admin key with --admin-key or ROOMKEEPER_ADMIN_KEY")]
    Unauthorized(String),
    /// The controller refused.
    #[error("{error} ({status})")]
    Refused {
        /// With this status.
        status: StatusCode,
        /// In these words.
        error: String,
    },
    /// The answer is not one of an admin listener.
    #[error("{url} does not answer as Roomkeeper's admin listener does ({status})")]
    NotOurs {
        /// Which.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
}

/// A running controller, as its operator reaches it.
#[derive(Debug)]
pub struct Operator {
    client: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

impl Operator {
    /// The controller whose admin listener is at this URL.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: Url, key: Option<SecretString>) -> Result<Self, reqwest::Error> {
        // Whoever was first has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            // The key is for this address and no other.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, base, key })
    }

    /// Carries a command out; its answer as the listener gave it.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn run(&self, command: &AppCommand) -> Result<Value, OperatorError> {
        match command {
            AppCommand::Add {
                id,
                customer_id,
                dids,
                rate_limit,
                webhook_url,
            } => {
                let mut body = Map::new();
                body.insert("dids".to_owned(), dids.clone().into());
                if let Some(customer_id) = customer_id {
                    body.insert("customer_id".to_owned(), customer_id.clone().into());
                }
                if let Some(rate_limit) = rate_limit {
                    body.insert("rate_limit".to_owned(), (*rate_limit).into());
                }
                if let Some(url) = webhook_url {
                    body.insert("webhook_url".to_owned(), url.clone().into());
                }
                let path = format!("admin/apps/{id}");
                self.ask(Method::POST, &path, Some(body.into())).await
            }
            AppCommand::List => self.ask(Method::GET, "admin/apps", None).await,
            AppCommand::RotateKey { id } => {
                let path = format!("admin/apps/{id}/rotate-key");
                self.ask(Method::POST, &path, None).await
            }
            AppCommand::RateLimit { id, rate_limit } => {
                let path = format!("admin/apps/{id}/rate-limit");
                let body = json!({ "rate_limit": rate_limit });
                self.ask(Method::POST, &path, Some(body)).await
            }
            AppCommand::Disable { id } => {
                let path = format!("admin/apps/{id}/disable");
                self.ask(Method::POST, &path, None).await
            }
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, OperatorError> {
        let shown = self.base.origin().ascii_serialization();
        let unreachable = |source: reqwest::Error| OperatorError::Unreachable {
            url: shown.clone(),
            source: source.without_url(),
        };
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let mut request = self.client.request(method, url);
        if let Some(key) = &self.key {
            request = request.header("X-Admin-API-Key", key.expose_secret());
        }
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(unreachable)?;
        let json: Option<Value> = serde_json::from_slice(&bytes).ok();
        let error = json.as_ref().and_then(|json| json["error"].as_str());
        match (json.as_ref(), error) {
            (Some(_), Some(error)) if status == StatusCode::UNAUTHORIZED => {
                Err(OperatorError::Unauthorized(error.to_owned()))
            }
            (Some(_), Some(error)) => Err(OperatorError::Refused {
                status,
                error: error.to_owned(),
            }),
            (Some(json), None) if status.is_success() => Ok(json.clone()),
            (Some(_) | None, _) => Err(OperatorError::NotOurs { url: shown, status }),
        }
    }
}

/// An answer as people read it.
pub fn render(command: &AppCommand, answer: &Value) -> String {
    match command {
        AppCommand::Add { .. } => {
            let mut text = table(std::slice::from_ref(answer));
            text.push('\n');
            secret(&mut text, "API key", &answer["api_key"]);
            secret(&mut text, "webhook secret", &answer["webhook_secret"]);
            text.push_str("Keep what is shown here: it is not shown again.\n");
            text
        }
        AppCommand::List => match answer["apps"].as_array().map(Vec::as_slice) {
            Some([]) | None => "There are no apps yet: roomkeeper app add\n".to_owned(),
            Some(apps) => table(apps),
        },
        AppCommand::RotateKey { id } => {
            let mut text = String::new();
            secret(&mut text, "API key", &answer["api_key"]);
            text.push_str("Keep what is shown here: it is not shown again.\n");
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{} key(s) of {id} are active. The one before stays active until the next rotation.",
                answer["active_keys"]
            );
            text
        }
        AppCommand::RateLimit { id, .. } => match answer["rate_limit"].as_u64() {
            Some(limit) => format!("The app {id} may make {limit} requests a second.\n"),
            None => format!("The app {id} may make as many requests as every app.\n"),
        },
        AppCommand::Disable { id } => {
            format!("The app {id} is disabled: its keys open nothing. Its calls stay.\n")
        }
    }
}

fn secret(text: &mut String, what: &str, value: &Value) {
    if let Some(value) = value.as_str() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{what}: {value}");
    }
}

fn table(apps: &[Value]) -> String {
    let head = [
        "APP", "STATE", "KEYS", "NUMBERS", "LIMIT", "WEBHOOKS", "CUSTOMER", "CREATED",
    ];
    let mut rows: Vec<[String; 8]> = vec![head.map(str::to_owned)];
    for app in apps {
        let state = match (app["disabled"] == true, app["configured"] == true) {
            (true, _) => "disabled",
            (false, true) => "configured",
            (false, false) => "active",
        };
        rows.push([
            plain(&app["app_id"]),
            state.to_owned(),
            plain(&app["active_keys"]),
            plain(&app["dids"]),
            plain(&app["rate_limit"]),
            plain(&app["webhook_urls"]),
            plain(&app["customer_id"]),
            plain(&app["created_at"]),
        ]);
    }
    let widths: [usize; 8] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A value in a cell. What a terminal would act on is not passed on to it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
    }
}
