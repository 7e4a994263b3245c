//! `roomkeeper context …`: shows and changes the user's contexts, and never shows their keys.

use std::fmt::Write as _;
use std::io::{self, BufRead};
use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::arguments::{ContextArguments, ContextOptions, ContextSettings};
use super::context_file::{Context, ContextError, ContextFile, KEYS};
use super::table::{Fit, Table, plain};
use super::{Failure, print, terminal};

/// Executes a command for contexts.
///
/// # Errors
/// [`Failure`].
pub fn run(options: ContextOptions) -> Result<(), Failure> {
    let mut file = ContextFile::load(|name| std::env::var_os(name))?;
    let json = options.view.json;
    match options.command {
        ContextArguments::List => {
            let text = list(&file, json)?;
            Ok(print(&text)?)
        }
        ContextArguments::Show { name } => {
            let name = name.or_else(|| file.current().map(str::to_owned));
            let name = name.ok_or(ContextError::NoCurrent)?;
            let shown = describe(&name, &file)?;
            let text = if json {
                format!("{shown:#}\n")
            } else {
                block(&shown)
            };
            Ok(print(&text)?)
        }
        ContextArguments::Use { name } => {
            file.choose(&name)?;
            file.save()?;
            report(
                json,
                &json!({ "current": name }),
                &format!("{name} is the current context."),
            )
        }
        ContextArguments::Set { name, settings } => {
            let given = from_settings(*settings)?;
            file.set(&name, &given)?;
            file.save()?;
            let shown = describe(&name, &file)?;
            let is_current = if file.current() == Some(&name) {
                ", the current context"
            } else {
                ""
            };
            report(json, &shown, &format!("{name} is stored{is_current}."))
        }
        ContextArguments::Remove { name } => {
            file.remove(&name)?;
            file.save()?;
            report(
                json,
                &json!({ "removed": name }),
                &format!("{name} is removed."),
            )
        }
    }
}

fn report(json: bool, document: &Value, words: &str) -> Result<(), Failure> {
    let text = if json {
        format!("{document:#}\n")
    } else {
        format!("{words}\n")
    };
    Ok(print(&text)?)
}

fn from_settings(settings: ContextSettings) -> Result<Context, Failure> {
    let mut context = Context {
        api: settings.api,
        app: settings.app,
        key: settings.key,
        admin: settings.admin,
        admin_key: settings.admin_key,
        admin_key_file: settings
            .admin_key_file
            .map(std::path::absolute)
            .transpose()
            .map_err(|source| ContextError::File {
                path: PathBuf::from("--admin-key-file"),
                source,
            })?,
    };
    if settings.key_stdin {
        context.key = Some(key_from_stdin()?);
    }
    if settings.admin_key_stdin {
        context.admin_key = Some(key_from_stdin()?);
    }
    Ok(context)
}

fn key_from_stdin() -> Result<SecretString, ContextError> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match (read, line.trim()) {
        (Err(_), _) | (_, "") => Err(ContextError::NoKey),
        (Ok(_), key) => Ok(key.into()),
    }
}

/// Describes a context without its keys.
fn describe(name: &str, file: &ContextFile) -> Result<Value, ContextError> {
    let context = file.get(name)?;
    Ok(json!({
        "name": name,
        "current": file.current() == Some(name),
        "api": context.api.map(|url| url.to_string()),
        "app": context.app.map(|app| app.to_string()),
        "key": hidden(&context.key),
        "admin": context.admin.map(|url| url.to_string()),
        "admin_key": hidden(&context.admin_key),
        "admin_key_file": context.admin_key_file,
    }))
}

fn hidden(key: &Option<SecretString>) -> Option<&'static str> {
    key.as_ref().map(|_| "(hidden)")
}

fn block(shown: &Value) -> String {
    let mut text = String::new();
    for field in ["name", "current"].iter().chain(KEYS) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{field:14}  {}", plain(&shown[*field]));
    }
    text
}

fn list(file: &ContextFile, json: bool) -> Result<String, ContextError> {
    let names = file.names();
    let rows: Vec<Value> = names
        .iter()
        .map(|name| describe(name, file))
        .collect::<Result<_, _>>()?;
    if json {
        return Ok(format!("{:#}\n", json!({ "contexts": rows })));
    }
    if rows.is_empty() {
        return Ok(
            "There are no contexts yet. Create one with: roomkeeper context set\n".to_owned(),
        );
    }
    let mut table = Table::new([
        ("CONTEXT", Fit::Keep),
        ("CURRENT", Fit::Keep),
        ("API", Fit::Cut),
        ("APP", Fit::Cut),
        ("KEY", Fit::Keep),
        ("ADMIN", Fit::Cut),
        ("ADMIN KEY", Fit::Omit),
    ]);
    for row in &rows {
        let admin_key = match &row["admin_key"] {
            Value::Null => &row["admin_key_file"],
            key => key,
        };
        table.row([
            plain(&row["name"]),
            plain(&row["current"]),
            plain(&row["api"]),
            plain(&row["app"]),
            plain(&row["key"]),
            plain(&row["admin"]),
            plain(admin_key),
        ]);
    }
    Ok(table.render(terminal::width()))
}
