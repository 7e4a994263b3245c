//! The errors of a configuration.

use std::fmt;

/// One error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The path of the key, or the file.
    pub key: String,
    /// The problem.
    pub problem: String,
}

/// All errors, at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, ConfigError { key, problem }) in self.0.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{key}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
