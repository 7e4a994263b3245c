//! `roomkeeper replay`: what a recording of an Event Socket stream would do.
//!
//! It goes through the parser, the translation and the rules that a controller has (`stream`, `rehearsal`), and what a
//! controller would tell and order is printed instead. Owns what is printed, progress, and what is said of recordings
//! that are not whole. There is no store and no network.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use console::Style;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::app;
use crate::config::Config;
use crate::ids::{AppId, NodeId};
use crate::reconciler::belief::Rules;

use super::table::{Fit, Table, plain};
use super::{Failure, aside, chain, line, terminal};

use rehearsal::{Follows, Owners, Rehearsal, Told};
use stream::{Broken, Recording, What};

mod rehearsal;
mod stream;

/// From this size on, in bytes, a file is worth a bar of progress.
const LARGE: u64 = 8 << 20;

/// How often the bar moves, in messages.
const STEP: u64 = 256;

/// Whose calls they are taken to be when nothing says so.
const APP: &str = "replay";

/// The defaults of a configuration, for one that was not given.
const DEFAULTS: &str = "[store]\nurl = \"memory:\"\n[[nodes]]\nid = \"node0\"\naddress = \"127.0.0.1:8021\"\npassword = \"none\"\n";

/// What is replayed, and how it is shown.
#[derive(Debug, Default)]
pub struct Options {
    /// The recordings, one after the other, as the connections of one node; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// All calls and rooms are this app's.
    pub app: Option<AppId>,
    /// Whose they are is decided as with this configuration.
    pub config: Option<Config>,
    /// The node; without it, that of the first room.
    pub node: Option<NodeId>,
    /// One JSON object a line.
    pub json: bool,
    /// Also what means nothing.
    pub verbose: bool,
    /// With colours.
    pub colours: bool,
}

/// What was wrong with recordings; each has been named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BadRecordings {
    /// Files that cannot be opened or read.
    pub unread: usize,
    /// Files that are not what FreeSWITCH sends.
    pub bad: usize,
}

impl BadRecordings {
    /// What the process ends with, after sysexits.h.
    pub const fn exit_code(&self) -> u8 {
        // EX_DATAERR, EX_NOINPUT.
        if self.bad > 0 { 65 } else { 66 }
    }
}

impl fmt::Display for BadRecordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "recordings that could not be read: {}, that are not of Event Socket: {}",
            self.unread, self.bad
        )
    }
}

/// Replays the recordings and prints what they would do.
///
/// # Errors
/// [`Failure`]; what could be read was replayed all the same.
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
    let orders = app::order_settings(&config).map_err(|e| io::Error::other(chain(&e)))?;
    let owners = match (app, is_given) {
        (Some(app), _) => Owners::One(app),
        (None, true) => Owners::Configured,
        (None, false) => Owners::AsSaid(replay_app()),
    };
    let node = node.or(match config.nodes.as_slice() {
        [only] if is_given => Some(only.id),
        _ => None,
    });
    let mut replay = Replay {
        rehearsal: Rehearsal::new(node, owners, rules(&config), orders),
        show: Show {
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
    let of = |app: &crate::config::AppConfig| app.id.clone();
    Rules {
        dids: config
            .apps
            .iter()
            .flat_map(|app| app.dids.iter().map(|did| (did.clone(), app.id.clone())))
            .collect(),
        apps: config.apps.iter().map(of).collect(),
        patience: app::patience(config),
        recordings: config.recording.directory.clone(),
    }
}

fn replay_app() -> AppId {
    match APP.parse() {
        Ok(app) => app,
        Err(e) => unreachable!("letters: {e}"),
    }
}

/// What was found, for the last line.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    bytes: u64,
    messages: u64,
    events: u64,
    unreadable: u64,
    webhooks: u64,
    orders: u64,
    snapshots: u64,
    ignored: u64,
    foreign: u64,
}

#[derive(Clone, Copy, Debug)]
struct Show {
    json: bool,
    verbose: bool,
    colours: bool,
}

struct Replay {
    rehearsal: Rehearsal,
    show: Show,
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
                aside(&format!("{name}: is a folder, not a recording"));
                wrong.unread += 1;
                Ok(())
            }
            Ok((about, file)) => {
                let size = Some(about.len()).filter(|size| *size >= LARGE);
                self.recording(&name, file, size, wrong)
            }
            Err(error) => {
                aside(&format!("{name}: cannot be opened: {error}"));
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
        let broken = loop {
            let message = match recording.next() {
                Ok(Some(message)) => message,
                Ok(None) => break None,
                Err(broken) => break Some(broken),
            };
            messages += 1;
            if messages % STEP == 0 {
                bar.set_position(message.at);
            }
            match message.what {
                What::Answer => {}
                What::Event(heard) => {
                    events += 1;
                    let event = heard.name.clone();
                    let told = self.rehearsal.event(message.at, *heard);
                    self.tell(&event, &told, &bar)?;
                }
                What::Unreadable(why) => {
                    self.counts.unreadable += 1;
                    let at = message.at;
                    let words = format!("{name}: the event at byte {at} is skipped: {why}");
                    bar.suspend(|| aside(&words));
                }
                What::Farewell(words) => {
                    let at = message.at;
                    let words =
                        format!("{name}: FreeSWITCH ends the connection at byte {at}: {words}");
                    bar.suspend(|| aside(&words));
                    break None;
                }
            }
        };
        bar.finish_and_clear();
        self.counts.bytes += recording.bytes();
        self.counts.messages += messages;
        self.counts.events += events;
        match broken {
            None if messages == 0 => aside(&format!("{name}: is empty")),
            None if events == 0 => aside(&format!(
                "{name}: there is no event in it: is it of an event connection?"
            )),
            None => {}
            Some(broken) => {
                // A recorder that is stopped leaves the last message as it is; a controller connects again.
                let is_bad = match &broken {
                    Broken::Io { .. } => {
                        wrong.unread += 1;
                        true
                    }
                    Broken::Torn { .. } if messages > 0 => false,
                    Broken::Torn { .. } | Broken::NotEventSocket { .. } => {
                        wrong.bad += 1;
                        true
                    }
                };
                let then = if is_bad {
                    "a controller would connect again here"
                } else {
                    "what is before that was replayed"
                };
                aside(&format!("{name}: {}; {then}", chain(&broken)));
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: &str, told: &[Told], bar: &ProgressBar) -> Result<(), Failure> {
        let mut text = String::new();
        for told in told {
            let counter = match &told.what {
                Follows::Webhook(_) => &mut self.counts.webhooks,
                Follows::Order(_) | Follows::NoOrder(_) => &mut self.counts.orders,
                Follows::Snapshot(_) => &mut self.counts.snapshots,
                Follows::Ignored => &mut self.counts.ignored,
                Follows::Foreign => &mut self.counts.foreign,
            };
            *counter += 1;
            text.push_str(&self.show.line(event, told));
        }
        if text.is_empty() {
            return Ok(());
        }
        bar.suspend(|| io::stdout().lock().write_all(text.as_bytes()))?;
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        let told = self.rehearsal.end();
        self.tell("the end of the recording", &told, &ProgressBar::hidden())?;
        let text = if self.show.json {
            format!("{}\n", self.summary())
        } else {
            self.believed(terminal::width())
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }

    fn summary(&self) -> Value {
        let counts = &self.counts;
        json!({
            "kind": "end",
            "node": self.rehearsal.node().map(|node| node.to_string()),
            "rooms": self.rehearsal.rooms(),
            "sessions": self.rehearsal.calls(),
            "bytes": counts.bytes,
            "messages": counts.messages,
            "events": counts.events,
            "unreadable": counts.unreadable,
            "webhooks": counts.webhooks,
            "orders": counts.orders,
            "snapshots": counts.snapshots,
            "ignored": counts.ignored,
            "foreign": counts.foreign,
        })
    }

    fn believed(&self, width: Option<usize>) -> String {
        let (rooms, calls) = (self.rehearsal.rooms(), self.rehearsal.calls());
        let members: Vec<(&Value, &Value)> = rooms
            .iter()
            .flat_map(|room| {
                let members = room["members"].as_array().map(Vec::as_slice);
                members
                    .unwrap_or_default()
                    .iter()
                    .map(move |member| (room, member))
            })
            .collect();
        let mut text = String::from("\nBelieved in the end: ");
        text.push_str(&format!(
            "{}, {}, {}.\n",
            many(rooms.len() as u64, "room"),
            many(members.len() as u64, "member"),
            many(calls.len() as u64, "call")
        ));
        if !rooms.is_empty() {
            let mut table = Table::new([
                ("ROOM", Fit::Keep),
                ("APP", Fit::Cut),
                ("MEMBERS", Fit::Keep),
                ("LOCKED", Fit::Spare),
            ]);
            for room in &rooms {
                let inside = room["members"].as_array().map_or(0, Vec::len);
                table.row([
                    plain(&room["room_id"]),
                    plain(&room["app_id"]),
                    inside.to_string(),
                    plain(&room["locked"]),
                ]);
            }
            text.push('\n');
            text.push_str(&table.render(width));
        }
        if !members.is_empty() {
            let mut table = Table::new([
                ("MEMBER", Fit::Keep),
                ("CALLER", Fit::Cut),
                ("SPEAKS", Fit::Keep),
                ("HEARS", Fit::Keep),
                ("FLOOR", Fit::Spare),
                ("ROOM", Fit::Spare),
            ]);
            for (room, member) in members {
                table.row([
                    plain(&member["uuid"]),
                    plain(&member["caller_id"]),
                    plain(&member["can_speak"]),
                    plain(&member["can_hear"]),
                    plain(&member["floor"]),
                    plain(&room["room_id"]),
                ]);
            }
            text.push('\n');
            text.push_str(&table.render(width));
        }
        let elsewhere: Vec<&Value> = calls
            .iter()
            .filter(|call| call["room_id"].is_null())
            .collect();
        if !elsewhere.is_empty() {
            let mut table = Table::new([
                ("CALL", Fit::Keep),
                ("APP", Fit::Cut),
                ("STATE", Fit::Keep),
                ("CALLER", Fit::Cut),
                ("DIALLED", Fit::Spare),
            ]);
            for call in elsewhere {
                table.row([
                    plain(&call["uuid"]),
                    plain(&call["app_id"]),
                    plain(&call["state"]),
                    plain(&call["caller_id"]),
                    plain(&call["did"]),
                ]);
            }
            text.push('\n');
            text.push_str(&table.render(width));
        }
        let counts = &self.counts;
        text.push_str(&format!(
            "\n{} in {} ({} bytes): {}, {}, {}; {} ignored, {} of nobody, {} unreadable.\n",
            many(counts.events, "event"),
            many(counts.messages, "message"),
            counts.bytes,
            many(counts.webhooks, "webhook"),
            many(counts.orders, "order"),
            many(counts.snapshots, "snapshot"),
            counts.ignored,
            counts.foreign,
            counts.unreadable,
        ));
        text
    }
}

/// A number of things, in words.
fn many(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

impl Show {
    /// What follows as a line; nothing for what means nothing, unless all is to be seen.
    fn line(&self, event: &str, told: &Told) -> String {
        let quiet = match &told.what {
            Follows::Webhook(_) | Follows::Order(_) | Follows::NoOrder(_) => false,
            Follows::Snapshot(_) | Follows::Ignored | Follows::Foreign => !self.verbose,
        };
        if quiet {
            return String::new();
        }
        let time = told.time.rfc3339_micros();
        if self.json {
            let (kind, what) = match &told.what {
                Follows::Webhook(body) => ("webhook", json!({ "body": body })),
                Follows::Order(command) => ("order", json!({ "command": command })),
                Follows::NoOrder(why) => ("refused", json!({ "why": why })),
                Follows::Snapshot(why) => ("snapshot", json!({ "why": why })),
                Follows::Ignored => ("ignored", json!({})),
                Follows::Foreign => ("foreign", json!({})),
            };
            let mut object = json!({ "kind": kind, "at": told.at, "time": time, "cause": event });
            if let (Value::Object(object), Value::Object(what)) = (&mut object, what) {
                object.extend(what);
            }
            return format!("{object}\n");
        }
        let dim = Style::new().dim().force_styling(self.colours);
        let clock = line::clock(&time);
        let of = format!("{event} at byte {}", told.at);
        match &told.what {
            Follows::Webhook(body) => line::event(body, self.colours),
            Follows::Order(command) => line::said(&clock, "  order", &[command], &dim),
            Follows::NoOrder(why) => line::said(&clock, "  no order", &[why], &dim),
            Follows::Snapshot(why) => line::said(&clock, "  snapshot", &[why, &of], &dim),
            Follows::Ignored => line::said(&clock, "  ignored", &[&of], &dim),
            Follows::Foreign => line::said(&clock, "  of nobody", &[&of], &dim),
        }
    }
}
