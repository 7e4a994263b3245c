//! `roomkeeper app …`: apps of a running controller, through its admin listener.
//!
//! Owns the requests and the rendering of the responses. Leaves out the effect of a command: the controller decides.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Map, Value, json};

use roomkeeper_core::ids::AppId;

use super::arguments::{AppArguments, View};
use super::client::{Client, ClientError};
use super::show::block;
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, consent, print, terminal};

/// A command for apps.
#[derive(Clone, Debug)]
pub enum AppCommand {
    /// Create an app.
    Add {
        /// Its id.
        id: AppId,
        /// Its UUID in the VoIPBIN API.
        customer_id: Option<String>,
        /// Its dialled numbers.
        dids: Vec<String>,
        /// Its rate limit in requests per second.
        rate_limit: Option<u32>,
        /// The URL of its webhook endpoint.
        webhook_url: Option<String>,
    },
    /// Show all apps.
    List,
    /// Create another key for an app.
    RotateKey {
        /// The app's id.
        id: AppId,
    },
    /// Set an app's rate limit.
    RateLimit {
        /// The app's id.
        id: AppId,
        /// Requests per second; `None`: the configured default.
        rate_limit: Option<u32>,
    },
    /// Show an app.
    Show {
        /// The app's id.
        id: AppId,
    },
    /// Replace an app's dialled numbers.
    SetDids {
        /// The app's id.
        id: AppId,
        /// The dialled numbers.
        dids: Vec<String>,
    },
    /// Disable an app's keys.
    Disable {
        /// The app's id.
        id: AppId,
    },
    /// Enable an app's keys.
    Enable {
        /// The app's id.
        id: AppId,
    },
    /// Delete an app.
    Delete {
        /// The app's id.
        id: AppId,
        /// Delete it also while it has rooms or calls.
        force: bool,
        /// Delete it without a question.
        yes: bool,
    },
}

impl AppCommand {
    /// True if the response contains a secret that is shown only once.
    pub const fn returns_secret(&self) -> bool {
        matches!(self, Self::Add { .. } | Self::RotateKey { .. })
    }
}

impl From<AppArguments> for AppCommand {
    fn from(arguments: AppArguments) -> Self {
        match arguments {
            AppArguments::Add {
                app_id: id,
                dids,
                customer_id,
                rate_limit,
                webhook_url,
            } => Self::Add {
                id,
                customer_id,
                dids,
                rate_limit,
                webhook_url,
            },
            AppArguments::List => Self::List,
            AppArguments::RotateKey { app_id: id } => Self::RotateKey { id },
            AppArguments::RateLimit {
                app_id: id,
                rate_limit,
            } => Self::RateLimit { id, rate_limit },
            AppArguments::Show { app_id: id } => Self::Show { id },
            AppArguments::SetDids {
                app_id: id, dids, ..
            } => Self::SetDids { id, dids },
            AppArguments::Disable { app_id: id } => Self::Disable { id },
            AppArguments::Enable { app_id: id } => Self::Enable { id },
            AppArguments::Delete {
                app_id: id,
                force,
                yes,
            } => Self::Delete { id, force, yes },
        }
    }
}

/// Executes a command and prints the response.
///
/// # Errors
/// [`Failure`], also when a key that is shown only once could not be printed.
pub async fn show(admin: &Client, command: &AppCommand, view: View) -> Result<(), Failure> {
    if let AppCommand::Delete { id, yes, .. } = command {
        consent::ask(
            &format!("Delete the app {id}, its keys and its webhook endpoints?"),
            *yes,
        )?;
    }
    let answer = run(admin, command).await?;
    let text = if view.json {
        format!("{answer:#}\n")
    } else {
        render(command, &answer, &Clock::new(view.utc), terminal::width())
    };
    match print(&text) {
        // A key that was not printed is lost, and the user must know.
        Err(error) if command.returns_secret() => Err(Failure::SecretNotShown(error)),
        printed => Ok(printed?),
    }
}

/// Executes a command and returns the response unchanged.
///
/// # Errors
/// [`ClientError`].
pub async fn run(admin: &Client, command: &AppCommand) -> Result<Value, ClientError> {
    match command {
        AppCommand::Add { id, .. } => {
            let body = new_app(command).into();
            admin.post(&path(id, ""), Some(&body)).await
        }
        AppCommand::List => admin.get("admin/apps", &[]).await,
        AppCommand::Show { id } => admin.get(&path(id, ""), &[]).await,
        AppCommand::RotateKey { id } => admin.post(&path(id, "/rotate-key"), None).await,
        AppCommand::RateLimit { id, rate_limit } => {
            let body = json!({ "rate_limit": rate_limit });
            admin.post(&path(id, "/rate-limit"), Some(&body)).await
        }
        AppCommand::SetDids { id, dids } => {
            let body = json!({ "dids": dids });
            admin
                .request(Method::PUT, &path(id, "/dids"), &[], Some(&body))
                .await
        }
        AppCommand::Disable { id } => admin.post(&path(id, "/disable"), None).await,
        AppCommand::Enable { id } => admin.post(&path(id, "/enable"), None).await,
        AppCommand::Delete { id, force, .. } => {
            let query: &[(&str, &str)] = if *force { &[("force", "true")] } else { &[] };
            admin
                .request(Method::DELETE, &path(id, ""), query, None)
                .await
        }
    }
}

fn path(id: &AppId, rest: &str) -> String {
    format!("admin/apps/{id}{rest}")
}

/// The body that creates an app.
fn new_app(command: &AppCommand) -> Map<String, Value> {
    let mut body = Map::new();
    let AppCommand::Add {
        id: _,
        customer_id,
        dids,
        rate_limit,
        webhook_url,
    } = command
    else {
        return body;
    };
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
    body
}

/// Renders a response as text.
pub fn render(command: &AppCommand, answer: &Value, clock: &Clock, width: Option<usize>) -> String {
    match command {
        AppCommand::Add { .. } => {
            let mut text = table(std::slice::from_ref(answer), clock).render(width);
            text.push('\n');
            push_secret(&mut text, "API key", &answer["api_key"]);
            push_secret(&mut text, "webhook secret", &answer["webhook_secret"]);
            text.push_str("Store these secrets now: they are not shown again.\n");
            text
        }
        AppCommand::List => match answer["apps"].as_array().map(Vec::as_slice) {
            Some([]) | None => {
                "There are no apps yet. Create one with: roomkeeper app add\n".to_owned()
            }
            Some(apps) => table(apps, clock).render(width),
        },
        AppCommand::RotateKey { id } => {
            let mut text = String::new();
            push_secret(&mut text, "API key", &answer["api_key"]);
            text.push_str("Store these secrets now: they are not shown again.\n");
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{} key(s) of {id} are active. The previous key stays active until the next rotation.",
                answer["active_keys"]
            );
            text
        }
        AppCommand::RateLimit { id, .. } => match answer["rate_limit"].as_u64() {
            Some(limit) => format!("The rate limit of app {id} is {limit} requests per second.\n"),
            None => format!("The rate limit of app {id} is the configured default.\n"),
        },
        AppCommand::Show { .. } => block([
            ("app", plain(&answer["app_id"])),
            ("state", state(answer).to_owned()),
            ("keys", plain(&answer["active_keys"])),
            ("numbers", plain(&answer["dids"])),
            ("rate limit", plain(&answer["rate_limit"])),
            ("webhooks", plain(&answer["webhook_urls"])),
            ("customer", plain(&answer["customer_id"])),
            (
                "created",
                format!("{} {}", clock.show(&answer["created_at"]), clock.zone()),
            ),
        ]),
        AppCommand::SetDids { id, dids } => match dids.as_slice() {
            [] => format!("The app {id} has no dialled numbers.\n"),
            dids => format!("The dialled numbers of app {id} are {}.\n", dids.join(", ")),
        },
        AppCommand::Enable { id } => format!("The app {id} is enabled: its keys are valid.\n"),
        AppCommand::Delete { id, .. } => format!(
            "The app {id} is deleted. Ended rooms: {}, ended calls: {}.\n",
            plain(&answer["ended_rooms"]),
            plain(&answer["ended_calls"])
        ),
        AppCommand::Disable { id } => {
            format!("The app {id} is disabled: its keys are no longer valid. Its calls stay up.\n")
        }
    }
}

fn push_secret(text: &mut String, what: &str, value: &Value) {
    if let Some(value) = value.as_str() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{what}: {value}");
    }
}

fn table(apps: &[Value], clock: &Clock) -> Table {
    let created = clock.head("CREATED");
    let mut table = Table::new([
        ("APP", Fit::Keep),
        ("STATE", Fit::Keep),
        ("KEYS", Fit::Keep),
        ("NUMBERS", Fit::Cut),
        ("LIMIT", Fit::Keep),
        ("WEBHOOKS", Fit::Cut),
        ("CUSTOMER", Fit::Omit),
        (created.as_str(), Fit::Omit),
    ]);
    for app in apps {
        table.row([
            plain(&app["app_id"]),
            state(app).to_owned(),
            plain(&app["active_keys"]),
            plain(&app["dids"]),
            plain(&app["rate_limit"]),
            plain(&app["webhook_urls"]),
            plain(&app["customer_id"]),
            clock.show(&app["created_at"]),
        ]);
    }
    table
}

fn state(app: &Value) -> &'static str {
    match (app["disabled"] == true, app["configured"] == true) {
        (true, _) => "disabled",
        (false, true) => "configured",
        (false, false) => "active",
    }
}
