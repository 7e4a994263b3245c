//! `roomkeeper app …`: apps of a running controller, through its admin listener.
//!
//! Owns the requests and how the answers look. Leaves out what they do: the listener decides.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::ids::AppId;

use super::arguments::View;
use super::client::{Client, ClientError};
use super::table::{Clock, Fit, Table, plain};
use super::{Failure, print, terminal};

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

impl AppCommand {
    /// Whether the answer shows a secret, this once.
    pub const fn tells_secret(&self) -> bool {
        matches!(self, Self::Add { .. } | Self::RotateKey { .. })
    }
}

/// Carries a command out and prints what came of it.
///
/// # Errors
/// [`Failure`]; also when a key that is shown only once could not be written anywhere.
pub async fn show(admin: &Client, command: &AppCommand, view: View) -> Result<(), Failure> {
    let answer = run(admin, command).await?;
    let text = if view.json {
        format!("{answer:#}\n")
    } else {
        render(command, &answer, &Clock::new(view.utc), terminal::width())
    };
    match print(&text) {
        // A key that nobody has seen is lost, and whoever asked must know.
        Err(error) if command.tells_secret() => Err(Failure::Unseen(error)),
        printed => Ok(printed?),
    }
}

/// Carries a command out; its answer as the listener gave it.
///
/// # Errors
/// [`ClientError`].
pub async fn run(admin: &Client, command: &AppCommand) -> Result<Value, ClientError> {
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
            admin.post(&path, Some(&body.into())).await
        }
        AppCommand::List => admin.get("admin/apps", &[]).await,
        AppCommand::RotateKey { id } => {
            let path = format!("admin/apps/{id}/rotate-key");
            admin.post(&path, None).await
        }
        AppCommand::RateLimit { id, rate_limit } => {
            let path = format!("admin/apps/{id}/rate-limit");
            let body = json!({ "rate_limit": rate_limit });
            admin.post(&path, Some(&body)).await
        }
        AppCommand::Disable { id } => {
            let path = format!("admin/apps/{id}/disable");
            admin.post(&path, None).await
        }
    }
}

/// An answer as people read it.
pub fn render(command: &AppCommand, answer: &Value, clock: &Clock, width: Option<usize>) -> String {
    match command {
        AppCommand::Add { .. } => {
            let mut text = table(std::slice::from_ref(answer), clock).render(width);
            text.push('\n');
            secret(&mut text, "API key", &answer["api_key"]);
            secret(&mut text, "webhook secret", &answer["webhook_secret"]);
            text.push_str("Keep what is shown here: it is not shown again.\n");
            text
        }
        AppCommand::List => match answer["apps"].as_array().map(Vec::as_slice) {
            Some([]) | None => "There are no apps yet: roomkeeper app add\n".to_owned(),
            Some(apps) => table(apps, clock).render(width),
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

fn table(apps: &[Value], clock: &Clock) -> Table {
    let created = clock.head("CREATED");
    let mut table = Table::new([
        ("APP", Fit::Keep),
        ("STATE", Fit::Keep),
        ("KEYS", Fit::Keep),
        ("NUMBERS", Fit::Cut),
        ("LIMIT", Fit::Keep),
        ("WEBHOOKS", Fit::Cut),
        ("CUSTOMER", Fit::Spare),
        (created.as_str(), Fit::Spare),
    ]);
    for app in apps {
        let state = match (app["disabled"] == true, app["configured"] == true) {
            (true, _) => "disabled",
            (false, true) => "configured",
            (false, false) => "active",
        };
        table.row([
            plain(&app["app_id"]),
            state.to_owned(),
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
