//! The lab of containers, and the FreeSWITCH configuration in it: what can be seen without an engine to run them.
//!
//! [`compose`] reads docker-compose.yml as Compose does, [`node`] reads freeswitch-conf/; [`parts`] starts what the
//! containers would run, as plain processes on loopback. `tests/compose` is the same on an engine.
// All of it is a test, also what the lint cannot know to be one.
#![allow(clippy::unwrap_used)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod compose;
mod node;
mod parts;
mod proxy;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path: PathBuf = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn say(text: &str) {
    use std::io::Write as _;
    // Past the harness, which shows nothing of a test that passes.
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}
