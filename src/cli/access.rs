//! The connection of a command: options and environment variables first, then the context, then the defaults.

use secrecy::SecretString;
use url::Url;

use super::Failure;
use super::arguments::{
    AdminListener, AdminOptions, ApiAccess, ApiOptions, ContextChoice, FleetOptions,
};
use super::client::{AdminAccess, Client};
use super::context_file::{Context, ContextFile};

/// The API of a controller on this machine.
const DEFAULT_API: &str = "http://127.0.0.1:8080";

/// The admin listener of a controller on this machine.
const DEFAULT_ADMIN: &str = "http://127.0.0.1:9090";

impl ApiOptions {
    /// Creates a client of the API.
    ///
    /// # Errors
    /// [`Failure`]: the context or the credentials cannot be used.
    pub fn client(self) -> Result<Client, Failure> {
        api_client(&chosen(&self.context)?, self.api)
    }
}

impl AdminOptions {
    /// Creates a client of the admin listener.
    ///
    /// # Errors
    /// [`Failure`]: the context or the credentials cannot be used.
    pub fn client(self) -> Result<Client, Failure> {
        admin_client(chosen(&self.context)?, self.listener)
    }
}

/// The clients of a command for one app, or for all apps.
#[derive(Debug)]
pub enum Fleet {
    /// The API, on behalf of an app.
    App(Client),
    /// The admin listener, on behalf of the operator.
    AllApps(Client),
}

impl FleetOptions {
    /// Creates the client of the listener that the command uses.
    ///
    /// # Errors
    /// [`Failure`]: the context or the credentials cannot be used.
    pub fn client(self) -> Result<Fleet, Failure> {
        let context = chosen(&self.context)?;
        Ok(if self.all_apps {
            Fleet::AllApps(admin_client(context, self.listener)?)
        } else {
            Fleet::App(api_client(&context, self.api)?)
        })
    }
}

/// Reads the chosen context, or the current one; an empty context if there is none.
fn chosen(choice: &ContextChoice) -> Result<Context, Failure> {
    let file = ContextFile::load(|name| std::env::var_os(name))?;
    Ok(match &choice.context {
        Some(name) => file.get(name)?,
        None => match file.current() {
            Some(name) => file.get(name)?,
            None => Context::default(),
        },
    })
}

fn api_client(context: &Context, given: ApiAccess) -> Result<Client, Failure> {
    let base = url(given.api.or_else(|| context.api.clone()), DEFAULT_API);
    let app = given.app.or_else(|| context.app.clone());
    let key = given.key.as_ref().or(context.key.as_ref());
    let app = app.as_ref().map(|app| app.as_str());
    Ok(Client::api(base, app, key)?)
}

fn admin_client(context: Context, given: AdminListener) -> Result<Client, Failure> {
    Ok(Client::admin(admin_access(context, given))?)
}

fn admin_access(context: Context, given: AdminListener) -> AdminAccess {
    let listener = url(given.admin.or(context.admin), DEFAULT_ADMIN);
    let is_given = given.admin_key.is_some() || given.admin_key_file.is_some();
    let (key, key_file): (Option<SecretString>, _) = if is_given {
        (given.admin_key, given.admin_key_file)
    } else {
        (context.admin_key, context.admin_key_file)
    };
    AdminAccess {
        listener,
        key,
        key_file,
    }
}

fn url(given: Option<Url>, default: &str) -> Url {
    given.unwrap_or_else(|| {
        // A constant URL is valid.
        default
            .parse()
            .unwrap_or_else(|_| unreachable!("{default} is a URL"))
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn nothing() -> AdminListener {
        AdminListener {
            admin: None,
            admin_key: None,
            admin_key_file: None,
        }
    }

    #[test]
    fn given_values_precede_those_of_context() {
        let context = || Context {
            admin: Some("http://context".parse().unwrap()),
            admin_key: Some("context-key".into()),
            ..Context::default()
        };
        let key = |access: &AdminAccess| {
            access
                .key
                .as_ref()
                .map(|key| key.expose_secret().to_owned())
        };
        let from_context = admin_access(context(), nothing());
        assert_eq!(from_context.listener.as_str(), "http://context/");
        assert_eq!(key(&from_context).as_deref(), Some("context-key"));

        let given = AdminListener {
            admin: Some("http://given".parse().unwrap()),
            ..nothing()
        };
        let mixed = admin_access(context(), given);
        assert_eq!(mixed.listener.as_str(), "http://given/");
        assert_eq!(key(&mixed).as_deref(), Some("context-key"));

        // A given file precedes the context's key.
        let given = AdminListener {
            admin_key_file: Some("/given".into()),
            ..nothing()
        };
        let access = admin_access(context(), given);
        assert_eq!(
            (key(&access), access.key_file),
            (None, Some("/given".into()))
        );

        let default = admin_access(Context::default(), nothing());
        assert_eq!(default.listener.as_str(), "http://127.0.0.1:9090/");
    }
}
