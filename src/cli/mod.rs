//! The command line: requests to a running controller, and replay of recordings.
//!
//! Owns the arguments, the rendering of responses on a terminal, and the exit codes. Leaves out the rules: a controller
//! decides, so a command has the same effect as an HTTP request, and a recording runs through the controller's own
//! rules.
//!
//! | module | owns |
//! |---|---|
//! | [`arguments`] | arguments, options and their help |
//! | [`client`] | requests to the API and the admin listener, pages of lists |
//! | `failure` | the failures of commands and their exit codes |
//! | `output` | writing to standard output and standard error |
//! | [`table`] | tables that fit the terminal, times with a named zone |
//! | [`terminal`] | the terminal's width, colours and progress bars |
//! | [`line`](mod@line) | an event as one line |
//! | [`apps`], [`rooms`], [`nodes`] | their commands and the rendering of responses |
//! | [`tail`] | following the event stream |
//! | [`replay`] | replay of a recording |
//! | [`pages`] | completions for shells, manual pages |

pub mod apps;
pub mod arguments;
pub mod client;
mod failure;
pub mod line;
pub mod nodes;
mod output;
pub mod pages;
pub mod replay;
pub mod rooms;
pub mod table;
pub mod tail;
pub mod terminal;

pub use arguments::Arguments;
pub use failure::{BadRecordings, Failure};
pub(crate) use output::print_to_stderr;
pub use output::{chain, print};
