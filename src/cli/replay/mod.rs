//! `roomkeeper replay`: replays a recorded Event Socket stream.
//!
//! The recording runs through the controller's parser, translation and rules (`stream`, `rehearsal`). The resulting
//! webhooks and commands are printed (`report`) instead of sent. Owns progress and the messages about incomplete
//! recordings. There is no store and no network.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use crate::app;
use crate::config::Config;
use roomkeeper_core::ids::{AppId, NodeId};
use roomkeeper_core::node_state::Rules;

use super::{BadRecordings, Failure, chain, print, print_to_stderr, terminal};

use rehearsal::{Outcome, Owners, Rehearsal};
use report::{Counts, Format};
use stream::{MessageKind, ReadError, Recording};

mod rehearsal;
mod report;
mod stream;

/// The size in bytes from which a file gets a progress bar.
const PROGRESS_BAR_BYTES: u64 = 8 << 20;

/// The number of messages between two updates of the progress bar.
const PROGRESS_STEP: u64 = 256;

/// The app of calls whose owner is unknown.
const APP: &str = "replay";

/// The configuration that is used if none is given.
const DEFAULTS: &str = "[store]\nurl = \"memory:\"\n[[nodes]]\nid = \"node0\"\naddress = \"127.0.0.1:8021\"\npassword = \"none\"\n";

/// The recordings and the output format.
#[derive(Debug, Default)]
pub struct Options {
    /// The recordings in order, as successive connections of one node; `-` means standard input.
    pub files: Vec<PathBuf>,
    /// The app that owns all calls and rooms.
    pub app: Option<AppId>,
    /// The configuration that determines the owners.
    pub config: Option<Config>,
    /// The node; if absent, that of the first room.
    pub node: Option<NodeId>,
    /// Prints one JSON object per line.
    pub json: bool,
    /// Also prints events without consequences.
    pub verbose: bool,
    /// Uses colours.
    pub colours: bool,
}

/// Replays the recordings and prints the outcomes.
///
/// # Errors
/// [`Failure`]. All readable parts have been replayed nevertheless.
pub fn run(options: Options) -> Result<(), Failure> {
    let Options {
        files,
        app,
        config,
        node,
        json,
        verbose,
        colours,
    } = options;
    let (config, is_given) = match config {
        Some(config) => (config, true),
        None => (Config::from_text(DEFAULTS, std::iter::empty())?, false),
    };
    let commands = app::command_settings(&config).map_err(|e| io::Error::other(chain(&e)))?;
    let owners = match (app, is_given) {
        (Some(app), _) => Owners::One(app),
        (None, true) => Owners::Configured,
        (None, false) => Owners::FromChannel(replay_app()),
    };
    let node = node.or(match config.nodes.as_slice() {
        [only] if is_given => Some(only.id),
        _ => None,
    });
    let mut replay = Replay {
        rehearsal: Rehearsal::new(node, owners, rules(&config), commands),
        format: Format {
            json,
            verbose,
            colours,
        },
        counts: Counts::default(),
    };
    let mut wrong = BadRecordings::default();
    for file in &files {
        replay.file(file, &mut wrong)?;
    }
    replay.end()?;
    if wrong == BadRecordings::default() {
        Ok(())
    } else {
        Err(Failure::Recordings(wrong))
    }
}

fn rules(config: &Config) -> Rules {
    let id = |app: &crate::config::AppConfig| app.id.clone();
    Rules {
        dids: config
            .apps
            .iter()
            .flat_map(|app| app.dids.iter().map(|did| (did.clone(), app.id.clone())))
            .collect(),
        apps: config.apps.iter().map(id).collect(),
        timeouts: app::timeouts(config),
        digit_apps: BTreeSet::new(),
        talk_apps: BTreeSet::new(),
        muted_talk_apps: BTreeSet::new(),
        recordings: config.recording.directory.clone(),
        dial: config.dial.rules.clone(),
    }
}

fn replay_app() -> AppId {
    match APP.parse() {
        Ok(app) => app,
        Err(e) => unreachable!("letters: {e}"),
    }
}

struct Replay {
    rehearsal: Rehearsal,
    format: Format,
    counts: Counts,
}

impl Replay {
    fn file(&mut self, path: &Path, wrong: &mut BadRecordings) -> Result<(), Failure> {
        let name = path.display().to_string();
        if path.as_os_str() == "-" {
            return self.recording("standard input", io::stdin().lock(), None, wrong);
        }
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((about, _)) if about.is_dir() => {
                print_to_stderr(&format!("{name}: is a directory, not a recording"));
                wrong.unread += 1;
                Ok(())
            }
            Ok((about, file)) => {
                let size = Some(about.len()).filter(|size| *size >= PROGRESS_BAR_BYTES);
                self.recording(&name, file, size, wrong)
            }
            Err(error) => {
                print_to_stderr(&format!("{name}: cannot open: {error}"));
                wrong.unread += 1;
                Ok(())
            }
        }
    }

    fn recording(
        &mut self,
        name: &str,
        input: impl Read,
        size: Option<u64>,
        wrong: &mut BadRecordings,
    ) -> Result<(), Failure> {
        let bar = size.map_or_else(ProgressBar::hidden, |size| terminal::bytes(size, name));
        let mut recording = Recording::new(input);
        let (mut messages, mut events) = (0, 0);
        let failure = loop {
            let message = match recording.next() {
                Ok(Some(message)) => message,
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            };
            messages += 1;
            if messages % PROGRESS_STEP == 0 {
                bar.set_position(message.at);
            }
            match message.kind {
                MessageKind::Reply => {}
                MessageKind::Event(received) => {
                    events += 1;
                    let event = received.name.clone();
                    let outcomes = self.rehearsal.event(message.at, *received);
                    self.print(&event, &outcomes, &bar)?;
                }
                MessageKind::Unreadable(why) => {
                    self.counts.unreadable += 1;
                    let at = message.at;
                    let words = format!("{name}: skipped the event at byte {at}: {why}");
                    bar.suspend(|| print_to_stderr(&words));
                }
                MessageKind::Disconnect(words) => {
                    let at = message.at;
                    let words =
                        format!("{name}: FreeSWITCH closed the connection at byte {at}: {words}");
                    bar.suspend(|| print_to_stderr(&words));
                    break None;
                }
            }
        };
        bar.finish_and_clear();
        self.counts.bytes += recording.bytes();
        self.counts.messages += messages;
        self.counts.events += events;
        match failure {
            None if messages == 0 => print_to_stderr(&format!("{name}: the recording is empty")),
            None if events == 0 => print_to_stderr(&format!(
                "{name}: the recording has no events: was it made on an event connection?"
            )),
            None => {}
            Some(failure) => {
                // Stopping a recorder leaves the last message incomplete; a controller would reconnect.
                let is_bad = match &failure {
                    ReadError::Io { .. } => {
                        wrong.unread += 1;
                        true
                    }
                    ReadError::Incomplete { .. } if messages > 0 => false,
                    ReadError::Incomplete { .. } | ReadError::NotEventSocket { .. } => {
                        wrong.bad += 1;
                        true
                    }
                };
                let note = if is_bad {
                    "a controller would reconnect here"
                } else {
                    "everything before it was replayed"
                };
                print_to_stderr(&format!("{name}: {}; {note}", chain(&failure)));
            }
        }
        Ok(())
    }

    fn print(
        &mut self,
        event: &str,
        outcomes: &[Outcome],
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        for outcome in outcomes {
            self.counts.add(&outcome.kind);
            text.push_str(&self.format.line(event, outcome));
        }
        if text.is_empty() {
            return Ok(());
        }
        bar.suspend(|| io::stdout().lock().write_all(text.as_bytes()))?;
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        let outcomes = self.rehearsal.end();
        self.print("end of the recording", &outcomes, &ProgressBar::hidden())?;
        let text = if self.format.json {
            format!("{}\n", report::json(&self.rehearsal, &self.counts))
        } else {
            report::text(&self.rehearsal, &self.counts, terminal::width())
        };
        Ok(print(&text)?)
    }
}
