//! The configuration: a TOML file and the environment become one validated [`Config`], or a list of all errors.
//!
//! `types` has the types, `values` those of single keys, `summary` the text for the operator, `keys` every key, `tree`
//! overlays the file with the environment, `read` has defaults and checks, `store_tls` reads certificates. The tree is
//! parsed by hand, because a derived parser stops at the first error and an operator needs to see all of them.
//!
//! A variable is named after its key: `ROOMKEEPER_STORE__URL` is `store.url`, and `ROOMKEEPER_NODES__0__PASSWORD` the
//! password of the first node. It overrides the file. A string is taken literally; lists are written `[a, b]`. Variables
//! without a double underscore are ignored, because an orchestrator sets some with this prefix.

mod errors;
mod keys;
mod read;
mod read_apps;
mod read_dial;
mod store_tls;
mod summary;
mod tree;
mod types;
mod values;

use std::path::Path;

use crate::webhook::endpoint::Endpoints;

pub use errors::{ConfigError, ConfigErrors};
pub use keys::{KEYS, KeyDoc, key_table_markdown};
pub use read_apps::{MOST_REQUESTS, customer_of, is_did};
pub use store_tls::StoreTls;
pub use types::{
    AppConfig, CallsConfig, ConferenceConfig, Config, DialConfig, FleetConfig, HttpConfig,
    LimitsConfig, MediaProxyConfig, NodeConfig, PlayConfig, RecordingConfig, SpeechConfig,
    StoreConfig, StoreKind,
};
pub use values::{ApiKeyDigest, NodeAddress};

/// A complete configuration with comments on every key.
pub const EXAMPLE: &str = include_str!("../../fixtures/roomkeeper.example.toml");

/// The standard variables that enable traces.
const OTLP_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

impl Config {
    /// Reads the file, overlays it with the environment, and checks the result.
    ///
    /// # Errors
    /// Returns all errors.
    pub fn load(
        path: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            ConfigErrors(vec![ConfigError {
                key: path.display().to_string(),
                problem: format!("cannot be read: {e}"),
            }])
        })?;
        Self::from_text(&text, env)
    }

    /// Loads the text of a file like [`Config::load`].
    ///
    /// # Errors
    /// Returns all errors.
    pub fn from_text(
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut problems = tree::Problems::default();
        let tree = match tree::parse_file(text) {
            Ok(tree) => tree,
            Err(e) => {
                problems.add("configuration file", e);
                return Err(ConfigErrors(problems.0));
            }
        };
        let mut asked_by_environment = false;
        let env = env.into_iter().inspect(|(name, value)| {
            asked_by_environment |= OTLP_VARIABLES.contains(&name.as_str()) && !value.is_empty();
        });
        let tree = tree::lay_over(tree, env, &mut problems);
        let mut config = read::read_config(tree, &mut problems);
        if let Some(config) = &mut config {
            config.telemetry.asked_by_environment = asked_by_environment;
        }
        match config {
            Some(config) if problems.0.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigErrors(problems.0)),
        }
    }

    /// Returns the webhook endpoints of all configured apps.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::new(
            self.apps
                .iter()
                .flat_map(|app| app.webhooks.iter().cloned()),
        )
    }
}

#[cfg(test)]
mod tests;
