//! The gateway API and the VoIPBIN API, compared with their documents from top to bottom: one test a row, named after
//! its assertion.
//!
//! The rows are in the modules, in the document's order, and each module begins with its list. Every row runs on each
//! backend: state in memory and on Redis with a simulated node, and on a real FreeSWITCH when one is given
//! (`ROOMKEEPER_TEST_FREESWITCH=host:port:password`; `walk/freeswitch.rs` lists what it must provide, and it must be
//! able to fetch files from this machine's loopback address). So a row is called `memory::join::…`, `redis::join::…`
//! and `real::join::…`.
//!
//! A row asserts only facts that a user of the API sees: answers, webhooks, and FreeSWITCH's own reports. Rows share
//! running worlds, each with its own rooms, calls and apps, and many run at a time, because they mostly wait. For that
//! reason this target has its own `main`: it starts worlds once and stops them after the last row.
// The whole target is a test, including parts that the lint does not recognize.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod backend;
mod roles;
mod row;
mod shape;

mod access;
mod announcement;
mod bulk;
mod coach;
mod commands;
mod control;
mod create;
mod delete;
mod dial;
mod join;
mod keypad;
mod leave;
mod levels;
mod limits;
mod list;
mod member_audio;
mod members;
mod moderation;
mod moves;
mod mute;
mod nodes;
mod pin;
mod play;
mod recording;
mod say;
mod settings;
mod status;
mod talk;
mod transfer;
mod voipbin;
mod waiting;
mod webhooks;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::backend::Backend;
use crate::program::switch::RealServer;
use crate::program::world::Store;
use crate::row::Entry;

/// Concurrent rows, unless the caller sets another number. Rows wait for webhooks more than they work.
const AT_A_TIME: usize = 16;

fn rows() -> Vec<(&'static str, Vec<Entry>)> {
    vec![
        ("access", access::rows()),
        ("create", create::rows()),
        ("list", list::rows()),
        ("status", status::rows()),
        ("talk", talk::rows()),
        ("members", members::rows()),
        ("delete", delete::rows()),
        ("dial", dial::rows()),
        ("transfer", transfer::rows()),
        ("play", play::rows()),
        ("say", say::rows()),
        ("announcement", announcement::rows()),
        ("control", control::rows()),
        ("recording", recording::rows()),
        ("coach", coach::rows()),
        ("join", join::rows()),
        ("leave", leave::rows()),
        ("levels", levels::rows()),
        ("mute", mute::rows()),
        ("commands", commands::rows()),
        ("bulk", bulk::rows()),
        ("keypad", keypad::rows()),
        ("pin", pin::rows()),
        ("limits", limits::rows()),
        ("nodes", nodes::rows()),
        ("moderation", moderation::rows()),
        ("member_audio", member_audio::rows()),
        ("moves", moves::rows()),
        ("settings", settings::rows()),
        ("roles", roles::rows()),
        ("waiting", waiting::rows()),
        ("webhooks", webhooks::rows()),
        ("v_access", voipbin::access::rows()),
        ("v_conferences", voipbin::conferences::rows()),
        ("v_calls", voipbin::calls::rows()),
        ("v_actions", voipbin::actions::rows()),
        ("v_recordings", voipbin::recordings::rows()),
        ("v_connect", voipbin::connect::rows()),
        ("v_timeout", voipbin::timeout::rows()),
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut backends = vec![
        Backend::new("memory", Store::Memory, None),
        Backend::new("redis", Store::Redis, None),
    ];
    let real = RealServer::from_env();
    if let Some(server) = &real {
        backends.push(Backend::new("real", Store::Redis, Some(server.clone())));
    } else if !arguments.list {
        println!("No real FreeSWITCH was given: the rows run on the simulated node only.");
    }
    let backends: Vec<Arc<Backend>> = backends.into_iter().map(Arc::new).collect();
    let mut trials = Vec::new();
    for backend in &backends {
        for (module, entries) in rows() {
            for entry in entries {
                let name = format!("{}::{module}::{}", backend.name, entry.name);
                let (backend, handle) = (Arc::clone(backend), runtime.handle().clone());
                trials.push(Trial::ignorable_test(name, move || {
                    if let Some(reason) = backend.skips(&entry) {
                        return Ok(Completion::ignored_with(reason));
                    }
                    handle.block_on(backend.run(&entry));
                    Ok(Completion::Completed)
                }));
            }
        }
    }
    // Returns after the last row; the worlds stop afterwards.
    libtest_mimic::run(&arguments, trials).exit_code()
}
