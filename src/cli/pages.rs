//! Shell completions and manual pages, generated from the arguments.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, Failure, print};

/// Prints a shell's completion script.
///
/// # Errors
/// If standard output is not writable.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "roomkeeper", &mut script);
    Ok(print(&String::from_utf8_lossy(&script))?)
}

/// Prints the manual page, or writes one page for each command to a folder, which is created if missing.
///
/// # Errors
/// If the pages cannot be written.
pub fn manual(folder: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
        return Ok(print(&String::from_utf8_lossy(&page))?);
    };
    let with_path = |error: io::Error| {
        let kind = error.kind();
        io::Error::new(kind, format!("{}: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(with_path)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(with_path)?;
    Ok(())
}
