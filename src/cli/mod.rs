//! The command line: requests to a running controller, and replay of recordings.
//!
//! Owns the arguments, the rendering of responses on a terminal, and the exit codes. Leaves out the rules: a controller
//! decides, so a command has the same effect as an HTTP request, and a recording runs through the controller's own
//! rules.
//!
//! | module | owns |
//! |---|---|
//! | [`arguments`] | arguments, options and their help |
//! | [`access`], [`context_file`] | the connection: options, environment, the user's contexts, defaults |
//! | [`client`] | requests to the API and the admin listener, pages of lists |
//! | [`reference`](mod@reference), [`lookup`] | the objects that arguments refer to, and shortened ids |
//! | [`request`], [`execute`] | commands as requests, their confirmation and their outcome |
//! | [`follow`], [`tail`] | following the event stream: for a confirmation, for the user |
//! | [`consent`] | the question before a destructive command |
//! | `failure` | the failures of commands and their exit codes |
//! | `output` | writing to standard output and standard error |
//! | [`table`] | tables that fit the terminal, times with a named zone |
//! | [`terminal`] | the terminal's width, colours and progress bars |
//! | [`line`](mod@line) | an event as one line |
//! | `dial` | the commands for dial-outs |
//! | [`everyone`] | commands to the members of a room by one request |
//! | [`rooms`], [`members`], [`calls`], [`webhooks`], [`apps`], [`nodes`], [`audit`], [`contexts`] | their commands |
//! | [`show`], [`fleet`] | the rooms and calls of an app, and of all apps |
//! | [`replay`] | replay of a recording |
//! | [`pages`] | completions for shells, manual pages |

pub mod access;
pub mod apps;
pub mod arguments;
pub mod audit;
pub mod calls;
pub mod client;
pub mod consent;
pub mod context_file;
pub mod contexts;
mod dial;
pub mod everyone;
pub mod execute;
mod failure;
pub mod fleet;
pub mod follow;
pub mod line;
pub mod lookup;
pub mod members;
pub mod nodes;
mod output;
pub mod pages;
pub mod reference;
mod relay;
pub mod replay;
pub mod request;
pub mod rooms;
pub mod show;
pub mod table;
pub mod tail;
pub mod terminal;
pub mod webhooks;

pub use arguments::Arguments;
pub use failure::{BadRecordings, Failure};
pub(crate) use output::print_to_stderr;
pub use output::{chain, print};
