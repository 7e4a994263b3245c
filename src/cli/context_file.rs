//! The user's file of contexts: named addresses and keys of controllers.
//!
//! Owns its place, its form, its mode and its changes, which keep comments. Leaves out the precedence of a context among
//! other settings ([`super::access`]).

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;
use toml_edit::{DocumentMut, Item, Table, value};
use url::Url;

use roomkeeper_core::ids::AppId;

use super::arguments::listener_url;
use super::print_to_stderr;

/// The keys of a context.
pub const KEYS: &[&str] = &["api", "app", "key", "admin", "admin_key", "admin_key_file"];

/// The failure to read or change the contexts.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The environment names no folder for the file.
    #[error("cannot find the folder of the contexts: neither XDG_CONFIG_HOME nor HOME is set")]
    NoFolder,
    /// The file cannot be read or written.
    #[error("cannot use the contexts in {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file has a mistake.
    #[error("{path}: {error}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The mistake.
        error: String,
    },
    /// There is no context with this name.
    #[error("there is no context {name:?} in {path}{known}")]
    Unknown {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
        /// The names that exist, for the message.
        known: String,
    },
    /// The name cannot be that of a context.
    #[error("{0:?} is no name of a context: expected 1 to 64 characters of A-Z a-z 0-9 _ -")]
    Name(String),
    /// Standard input has no key.
    #[error("standard input has no key")]
    NoKey,
    /// No context was chosen and none is current.
    #[error("there is no current context; choose one with: roomkeeper context use NAME")]
    NoCurrent,
}

/// The settings of a context.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The controller's API.
    pub api: Option<Url>,
    /// The calling app.
    pub app: Option<AppId>,
    /// The app's key.
    pub key: Option<SecretString>,
    /// The controller's admin listener.
    pub admin: Option<Url>,
    /// The admin key.
    pub admin_key: Option<SecretString>,
    /// A file with the admin key.
    pub admin_key_file: Option<PathBuf>,
}

/// The user's file of contexts.
#[derive(Debug)]
pub struct ContextFile {
    /// `None` if the environment names no folder.
    path: Option<PathBuf>,
    document: DocumentMut,
}

impl ContextFile {
    /// Reads the file below the folder that these environment variables name. A missing file has no contexts.
    ///
    /// # Errors
    /// [`ContextError`]: the file cannot be read, or is no TOML.
    pub fn load(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ContextError> {
        let Some(path) = default_path(variable) else {
            return Ok(Self {
                path: None,
                document: DocumentMut::new(),
            });
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ContextError::File { path, source }),
        };
        warn_if_shared(&path);
        let document = text.parse().map_err(|error: toml_edit::TomlError| {
            // The whole error quotes the line, which can contain a key.
            let error = error.message().to_owned();
            ContextError::Invalid {
                path: path.clone(),
                error,
            }
        })?;
        Ok(Self {
            path: Some(path),
            document,
        })
    }

    fn path(&self) -> Result<&Path, ContextError> {
        self.path.as_deref().ok_or(ContextError::NoFolder)
    }

    /// The name of the current context.
    pub fn current(&self) -> Option<&str> {
        self.document.get("current").and_then(Item::as_str)
    }

    /// The names of all contexts, in order.
    pub fn names(&self) -> Vec<&str> {
        let contexts = self.document.get("contexts").and_then(Item::as_table_like);
        let mut names: Vec<&str> = contexts
            .into_iter()
            .flat_map(|contexts| contexts.iter().map(|(name, _)| name))
            .collect();
        names.sort_unstable();
        names
    }

    /// Reads a context.
    ///
    /// # Errors
    /// [`ContextError`]: there is none with this name, or it has a mistake.
    pub fn get(&self, name: &str) -> Result<Context, ContextError> {
        let path = self.path()?;
        let item = self
            .document
            .get("contexts")
            .and_then(|contexts| contexts.get(name));
        let item = item.ok_or_else(|| self.unknown(name, path))?;
        let invalid = |error: String| ContextError::Invalid {
            path: path.to_owned(),
            error: format!("contexts.{name}{error}"),
        };
        let fields = item
            .as_table_like()
            .ok_or_else(|| invalid(" is no table".to_owned()))?;
        let mut context = Context::default();
        for (field, item) in fields.iter() {
            let text = item
                .as_str()
                .ok_or_else(|| invalid(format!(".{field} is no text")))?;
            let url = || listener_url(text).map_err(|error| invalid(format!(".{field}: {error}")));
            match field {
                "api" => context.api = Some(url()?),
                "admin" => context.admin = Some(url()?),
                "app" => {
                    let app = text.parse::<AppId>();
                    context.app = Some(app.map_err(|error| invalid(format!(".app: {error}")))?);
                }
                "key" => context.key = Some(text.into()),
                "admin_key" => context.admin_key = Some(text.into()),
                "admin_key_file" => context.admin_key_file = Some(text.into()),
                _ => {
                    let known = KEYS.join(", ");
                    return Err(invalid(format!(
                        " has an unknown key {field:?}; known are {known}"
                    )));
                }
            }
        }
        Ok(context)
    }

    fn unknown(&self, name: &str, path: &Path) -> ContextError {
        let names = self.names();
        ContextError::Unknown {
            name: name.to_owned(),
            path: path.to_owned(),
            known: if names.is_empty() {
                String::new()
            } else {
                format!("; it has {}", names.join(", "))
            },
        }
    }

    /// Makes a context the current one.
    ///
    /// # Errors
    /// [`ContextError::Unknown`].
    pub fn choose(&mut self, name: &str) -> Result<(), ContextError> {
        self.get(name)?;
        self.document["current"] = value(name);
        Ok(())
    }

    /// Creates or changes a context. Settings that are `None` stay as they are.
    ///
    /// # Errors
    /// [`ContextError::Name`], [`ContextError::Invalid`].
    pub fn set(&mut self, name: &str, given: &Context) -> Result<(), ContextError> {
        if !is_name(name) {
            return Err(ContextError::Name(name.to_owned()));
        }
        let invalid = |path: &Path| ContextError::Invalid {
            path: path.to_owned(),
            error: format!("contexts.{name} is no table"),
        };
        let path = self.path()?.to_owned();
        let contexts = self.document.entry("contexts").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let contexts = contexts.as_table_like_mut().ok_or_else(|| invalid(&path))?;
        let context = contexts
            .entry(name)
            .or_insert_with(|| Item::Table(Table::new()));
        let context = context.as_table_like_mut().ok_or_else(|| invalid(&path))?;
        let secret =
            |key: &Option<SecretString>| key.as_ref().map(|key| key.expose_secret().to_owned());
        let texts = [
            ("api", given.api.as_ref().map(Url::to_string)),
            ("app", given.app.as_ref().map(AppId::to_string)),
            ("key", secret(&given.key)),
            ("admin", given.admin.as_ref().map(Url::to_string)),
            ("admin_key", secret(&given.admin_key)),
            (
                "admin_key_file",
                given
                    .admin_key_file
                    .as_ref()
                    .map(|file| file.display().to_string()),
            ),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                context.insert(field, value(text));
            }
        }
        if self.current().is_none() {
            self.document["current"] = value(name);
        }
        Ok(())
    }

    /// Removes a context. If it was the current one, none is current.
    ///
    /// # Errors
    /// [`ContextError::Unknown`].
    pub fn remove(&mut self, name: &str) -> Result<(), ContextError> {
        let path = self.path()?.to_owned();
        let contexts = self
            .document
            .get_mut("contexts")
            .and_then(Item::as_table_like_mut);
        if contexts
            .and_then(|contexts| contexts.remove(name))
            .is_none()
        {
            return Err(self.unknown(name, &path));
        }
        if self.current() == Some(name) {
            self.document.remove("current");
        }
        Ok(())
    }

    /// Writes the file as a whole, so that only its owner can read it.
    ///
    /// # Errors
    /// [`ContextError::File`].
    pub fn save(&self) -> Result<(), ContextError> {
        let path = self.path()?;
        self.write(path).map_err(|source| ContextError::File {
            path: path.to_owned(),
            source,
        })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        // A link stays a link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        // A new temporary file has the mode 0600.
        let mut file = NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut file, self.document.to_string().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// The file of contexts; `None` if the environment names no folder.
fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    folder("XDG_CONFIG_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("roomkeeper").join("contexts.toml"))
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn warn_if_shared(path: &Path) {
    let is_shared = |meta: fs::Metadata| meta.permissions().mode() & 0o077 != 0;
    if fs::metadata(path).is_ok_and(is_shared) {
        print_to_stderr(&format!(
            "other users can read the keys in {0}; protect them with: chmod 600 {0}",
            path.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ContextFile {
        ContextFile {
            path: Some("/contexts.toml".into()),
            document: text.parse().unwrap(),
        }
    }

    #[test]
    fn change_keeps_comments_and_other_settings() {
        let mut contexts = file(
            "# mine\ncurrent = \"lab\"\n\n[contexts.lab]\napi = \"http://127.0.0.1:8080\" # here\nkey = \"lab-key\"\n",
        );
        let given = Context {
            app: Some("demo".parse().unwrap()),
            ..Context::default()
        };
        contexts.set("lab", &given).unwrap();
        contexts.set("other", &given).unwrap();
        let text = contexts.document.to_string();
        assert_eq!(
            text,
            "# mine\ncurrent = \"lab\"\n\n[contexts.lab]\napi = \"http://127.0.0.1:8080\" # here\nkey = \"lab-key\"\n\
             app = \"demo\"\n\n[contexts.other]\napp = \"demo\"\n"
        );
        contexts.remove("lab").unwrap();
        assert_eq!(
            (contexts.current(), contexts.names()),
            (None, vec!["other"])
        );
    }

    #[test]
    fn mistakes_are_named_without_values() {
        for (text, words) in [
            ("[contexts.lab]\nkey = 1", "contexts.lab.key is no text"),
            ("[contexts.lab]\nkeys = \"geheim\"", "unknown key \"keys\""),
            (
                "[contexts.lab]\napi = \"ftp://h\"",
                "contexts.lab.api: ftp is not http",
            ),
            ("contexts = { lab = 1 }", "contexts.lab is no table"),
        ] {
            let error = file(text).get("lab").unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
        let error = file("[contexts.a]\n[contexts.b]").get("lab").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no context \"lab\" in /contexts.toml; it has a, b"
        );
        let mut contexts = file("");
        assert!(contexts.set("a b", &Context::default()).is_err());
    }

    #[test]
    fn file_is_below_config_folder_of_user() {
        let path = |set: &'static [(&str, &str)]| {
            default_path(move |name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        let expected = |path: &str| Some(PathBuf::from(path));
        assert_eq!(
            path(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")]),
            expected("/c/roomkeeper/contexts.toml")
        );
        assert_eq!(
            path(&[("XDG_CONFIG_HOME", "relative"), ("HOME", "/h")]),
            expected("/h/.config/roomkeeper/contexts.toml")
        );
        assert_eq!(path(&[]), None);
    }
}
