//! The admin key that is made where none is configured.
//!
//! Without a key, every program and every page in a browser on the machine could use the admin listener. So a key is made at
//! the first start and kept in a file that its owner alone can read. All controllers of one user share it, and the command
//! line reads it.
//!
//! Owns where the file is, how it is made, and how it is read. Leaves out who needs the key (`api::admin`).

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;

/// The file's name in its directory.
const FILE: &str = "admin-key";

/// The state directory of a system service, as seen by those who are none.
const SERVICE: &str = "/var/lib/roomkeeper/admin-key";

/// The longest key, in bytes.
const MAX_KEY: usize = 256;

/// Tells whether a text can be a key: 1 to 256 visible ASCII characters, as a header can carry them.
pub fn is_key(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Where the key is kept: in `$STATE_DIRECTORY`, as systemd sets it, or in `roomkeeper` under `$XDG_STATE_HOME` or
/// `$HOME/.local/state`. `None`: the environment names none of them.
pub fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let directory = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(list) = variable("STATE_DIRECTORY") {
        let first = std::env::split_paths(&list).find(|path| path.is_absolute());
        if let Some(first) = first {
            return Some(first.join(FILE));
        }
    }
    directory("XDG_STATE_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("roomkeeper").join(FILE))
}

/// The key that a controller of this user, or the machine's service, has made. `None`: there is none that can be read.
pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Option<SecretString> {
    let own = default_path(variable);
    own.into_iter()
        .chain([PathBuf::from(SERVICE)])
        .find_map(|path| load(&path).ok())
}

/// Reads the key in this file.
///
/// # Errors
/// When the file cannot be read, or holds no key.
pub fn load(path: &Path) -> io::Result<SecretString> {
    let text = fs::read_to_string(path)?;
    let key = text.trim();
    match is_key(key) {
        true => Ok(key.into()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "expected 1 to 256 visible ASCII characters",
        )),
    }
}

/// Reads the key in this file, and makes both when there is no file yet. Of several that make it at the same time, all get
/// the same key.
///
/// # Errors
/// When the file can neither be read nor made, or holds no key.
pub fn load_or_make(path: &Path) -> io::Result<SecretString> {
    match load(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
        loaded => {
            warn_if_shared(path);
            return loaded;
        }
    }
    load(path)
}

fn make(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    // Its owner alone can read it, from the beginning; and under its name it is whole.
    let mut file = NamedTempFile::new_in(directory)?;
    writeln!(file, "{}", random_key().expose_secret())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            tracing::info!(path = %path.display(), "admin key made");
            Ok(())
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

/// A key: 256 random bits.
pub fn random_key() -> SecretString {
    let bits: [u8; 32] = rand::random();
    format!("rka_{}", BASE64_URL_SAFE_NO_PAD.encode(bits)).into()
}

fn warn_if_shared(path: &Path) {
    let is_shared = |meta: fs::Metadata| meta.permissions().mode() & 0o077 != 0;
    if fs::metadata(path).is_ok_and(is_shared) {
        tracing::warn!(path = %path.display(), "admin key file is readable by others than its owner");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_made_once_and_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/roomkeeper/admin-key");
        let keys: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| load_or_make(&path).unwrap()))
                .collect();
            let made = makers.into_iter().map(|maker| maker.join().unwrap());
            made.map(|key| key.expose_secret().to_owned()).collect()
        });
        assert!(is_key(&keys[0]));
        assert!(keys.iter().all(|key| *key == keys[0]));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn file_without_a_key_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin-key");
        fs::write(&path, "two words\n").unwrap();
        assert!(load_or_make(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "two words\n");
    }

    #[test]
    fn path_follows_the_environment() {
        let path = |given: &[(&str, &str)]| {
            let given: Vec<(String, OsString)> = given
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect();
            let found = default_path(|name| {
                let found = given.iter().find(|(given, _)| given == name);
                found.map(|(_, value)| value.clone())
            });
            found.map(|path| path.display().to_string())
        };
        let home = ("HOME", "/home/op");
        let xdg = ("XDG_STATE_HOME", "/state");
        let systemd = ("STATE_DIRECTORY", "/var/lib/roomkeeper:/var/lib/other");
        assert_eq!(path(&[]), None);
        assert_eq!(
            path(&[home]).unwrap(),
            "/home/op/.local/state/roomkeeper/admin-key"
        );
        assert_eq!(path(&[home, xdg]).unwrap(), "/state/roomkeeper/admin-key");
        assert_eq!(
            path(&[home, xdg, systemd]).unwrap(),
            "/var/lib/roomkeeper/admin-key"
        );
        assert_eq!(path(&[("XDG_STATE_HOME", "relative")]), None);
    }
}
