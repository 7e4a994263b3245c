//! The container lab and its FreeSWITCH configuration, as far as tests can check them without a container engine.
//!
//! [`compose`] reads docker-compose.yml as Compose does, [`images`] compares it with the images' Dockerfiles, [`node`]
//! reads freeswitch-conf/; [`parts`] starts the containers' programs as plain processes on loopback. `tests/compose`
//! does the same on an engine.
// The whole target is a test, including parts that the lint does not recognize.
#![allow(clippy::unwrap_used)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod compose;
mod images;
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
    // Bypasses the harness, which hides the output of a passing test.
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}
