//! The addresses of a controller, and the credentials for it.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use roomkeeper_core::ids::AppId;

/// The context that supplies the addresses and credentials that are not given.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ContextChoice {
    /// The context with the addresses and keys that are not given; the current context if omitted.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "ROOMKEEPER_CONTEXT",
        help_heading = "Connection"
    )]
    pub context: Option<String>,
}

/// The API and the caller's credentials.
#[derive(clap::Args, Debug)]
pub struct ApiAccess {
    /// The controller's API, http://127.0.0.1:8080 by default. Without a scheme, http is used.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ROOMKEEPER_API",
        value_parser = listener_url,
        help_heading = "Connection"
    )]
    pub api: Option<Url>,
    /// The calling app.
    #[arg(
        long,
        global = true,
        value_name = "APP_ID",
        env = "ROOMKEEPER_APP",
        help_heading = "Connection"
    )]
    pub app: Option<AppId>,
    /// The key. Pass it in the environment or a context to keep it out of the process list.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "ROOMKEEPER_KEY",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub key: Option<SecretString>,
}

/// The admin listener and its key.
#[derive(clap::Args, Debug)]
pub struct AdminListener {
    /// The controller's admin listener, http://127.0.0.1:9090 by default. Without a scheme, http is used.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ROOMKEEPER_ADMIN",
        value_parser = listener_url,
        help_heading = "Connection"
    )]
    pub admin: Option<Url>,
    /// The admin key. Pass it in the environment or a context to keep it out of the process list.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "ROOMKEEPER_ADMIN_KEY",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub admin_key: Option<SecretString>,
    /// A file with the admin key. Without both, a listener on loopback gets the generated key of this user's controller.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ROOMKEEPER_ADMIN_KEY_FILE",
        help_heading = "Connection"
    )]
    pub admin_key_file: Option<PathBuf>,
}

/// The connection of a command that uses the API.
#[derive(clap::Args, Debug)]
pub struct ApiOptions {
    /// The context.
    #[command(flatten)]
    pub context: ContextChoice,
    /// The API and the caller's credentials.
    #[command(flatten)]
    pub api: ApiAccess,
}

/// The connection of a command that uses the admin listener.
#[derive(clap::Args, Debug)]
pub struct AdminOptions {
    /// The context.
    #[command(flatten)]
    pub context: ContextChoice,
    /// The admin listener and its key.
    #[command(flatten)]
    pub listener: AdminListener,
}

/// The connection of a command that uses the API, or the admin listener with `--all-apps`.
#[derive(clap::Args, Debug)]
pub struct FleetOptions {
    /// The context.
    #[command(flatten)]
    pub context: ContextChoice,
    /// The API and the caller's credentials.
    #[command(flatten)]
    pub api: ApiAccess,
    /// The admin listener and its key.
    #[command(flatten)]
    pub listener: AdminListener,
    /// All apps' rooms and calls, through the admin listener and with its key.
    #[arg(long, global = true, help_heading = "Connection")]
    pub all_apps: bool,
}

/// Parses the URL of a listener. Text without a scheme, such as `127.0.0.1:8080`, gets `http`.
pub(in crate::cli) fn listener_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    let url = url.map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{} is not http or https", url.scheme()));
    }
    if !url.has_host() {
        return Err("the host is missing".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_without_scheme_uses_http() {
        for (text, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("localhost:8080", "http://localhost:8080/"),
            ("[::1]:8080", "http://[::1]:8080/"),
            ("rk.example.com/base", "http://rk.example.com/base"),
            ("https://rk.example.com", "https://rk.example.com/"),
        ] {
            assert_eq!(listener_url(text).unwrap().as_str(), url, "{text}");
        }
        for text in ["", "http://", "ftp://h", "redis://h:1", "a b"] {
            assert!(listener_url(text).is_err(), "{text}");
        }
    }
}
