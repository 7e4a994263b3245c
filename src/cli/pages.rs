//! What is made from the arguments themselves: completions for shells, manual pages.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, Failure, print};

/// Prints what makes a shell complete commands and options.
///
/// # Errors
/// When standard output takes no more.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "roomkeeper", &mut script);
    Ok(print(&String::from_utf8_lossy(&script))?)
}

/// Prints the manual page, or writes one for each command into a folder that is made where it is missing.
///
/// # Errors
/// When they cannot be written.
pub fn manual(folder: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
        return Ok(print(&String::from_utf8_lossy(&page))?);
    };
    let named = |error: io::Error| {
        let kind = error.kind();
        io::Error::new(kind, format!("{}: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(named)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(named)?;
    Ok(())
}
