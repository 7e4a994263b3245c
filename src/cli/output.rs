//! Writing to standard output and standard error.

use std::error::Error;
use std::io::{self, Write};

/// Returns the text of an error and of all its causes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Writes to standard output and flushes it.
///
/// # Errors
/// If standard output is not writable.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line to standard error. A closed standard error is no failure.
pub(crate) fn print_to_stderr(text: &str) {
    let _closed = writeln!(io::stderr(), "roomkeeper: {text}");
}
