//! Faults around the program, one row each: real processes, a network that breaks, and what must hold after.
//!
//! Each row makes its fault, asserts that it did occur, and asserts what must hold; it reports how long recovery took
//! and what was lost or told twice. The table of all reports is printed at the end. A row runs in a short form, or in
//! the long one that `tests/run --faults` asks for (`ROOMKEEPER_TEST_FAULTS=long`): the same steps with larger numbers.
//! Those that a real FreeSWITCH can have run on it too when one is given (`ROOMKEEPER_TEST_FREESWITCH=host:port:password`,
//! as for the walk; it must run on this machine, for it is stopped and killed), one after the other.
//!
//! The invariant that always holds once things are quiet is in [`scene`]: FreeSWITCH, the API and the webhooks agree.
// All of it is a test, also what the lint cannot know to be one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod calls_soak;
mod report;
mod scene;
mod server;
mod soak;

mod calls;
mod clients;
mod connection;
mod failover;
mod media;
mod node;
mod receivers;
mod replicas;
mod store;
mod stored;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::program::switch::RealServer;
use crate::report::{Row, Table, message};
use crate::scene::{Form, Stage};

/// Rows at a time, unless the caller says otherwise. Each has processes of its own, and most of them wait; but some
/// measure, so they must not be in each other's way.
const AT_A_TIME: usize = 4;

/// These measure how long things take: in the long form, nothing else runs beside them.
const MEASURE: [u8; 4] = [9, 10, 28, 29];

/// No row takes longer, in its long form.
const LONGEST: Duration = Duration::from_secs(360);

fn rows() -> Vec<Row> {
    let mut rows = calls::rows();
    rows.extend(clients::rows());
    rows.extend(connection::rows());
    rows.extend(node::rows());
    rows.extend(store::rows());
    rows.extend(stored::rows());
    rows.extend(failover::rows());
    rows.extend(replicas::rows());
    rows.extend(receivers::rows());
    rows.extend(media::rows());
    rows.sort_by_key(|row| row.number);
    rows
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let form = Form::given();
    let mut stages = vec![Stage { form, server: None }];
    if let Some(server) = RealServer::given() {
        stages.push(Stage {
            form,
            server: Some(server),
        });
    } else if !arguments.list {
        println!("No real FreeSWITCH was given: the faults happen to the simulated node only.");
    }
    let table = Arc::new(Mutex::new(Table::default()));
    // A real server is one: what stops it stops it for every row.
    let server = Arc::new(Mutex::new(()));
    let quiet = Arc::new(RwLock::new(()));
    let mut trials = Vec::new();
    for stage in stages.into_iter().map(Arc::new) {
        for row in rows() {
            if stage.server.is_some() && !row.on_a_real_server {
                continue;
            }
            let name = format!("{}::{:02}_{}", stage.name(), row.number, row.name);
            let (stage, handle) = (Arc::clone(&stage), runtime.handle().clone());
            let (table, server) = (Arc::clone(&table), Arc::clone(&server));
            let quiet = Arc::clone(&quiet);
            trials.push(Trial::ignorable_test(name, move || {
                if let Some(Err(why)) = row.needs.map(|needs| needs())
                    && stage.form == Form::Short
                {
                    return Ok(Completion::ignored_with(why));
                }
                let _alone = stage
                    .server
                    .is_some()
                    .then(|| server.lock().unwrap_or_else(|failed| failed.into_inner()));
                let measures = stage.form == Form::Long && MEASURE.contains(&row.number);
                let _quiet = measures.then(|| quiet.write().unwrap_or_else(|e| e.into_inner()));
                let _others = (!measures).then(|| quiet.read().unwrap_or_else(|e| e.into_inner()));
                let limit = stage.pick(LONGEST / 4, LONGEST);
                let run = AssertUnwindSafe(|| {
                    let run = async { tokio::time::timeout(limit, (row.run)(&stage)).await };
                    let report = handle.block_on(run);
                    report.unwrap_or_else(|_| panic!("it does not end within {limit:?}"))
                });
                match catch_unwind(run) {
                    Ok(report) => {
                        table.lock().unwrap().add(stage.name(), &row, Ok(report));
                        Ok(Completion::Completed)
                    }
                    Err(panic) => {
                        let why = message(panic.as_ref());
                        table.lock().unwrap().add(stage.name(), &row, Err(why));
                        resume_unwind(panic)
                    }
                }
            }));
        }
    }
    let handle = runtime.handle().clone();
    trials.push(Trial::test("soak", move || {
        print!("{}", handle.block_on(soak::soak(soak::Size::given())));
        Ok(())
    }));
    let handle = runtime.handle().clone();
    trials.push(Trial::ignorable_test("soak_of_calls", move || {
        if let Some(why) = calls_soak::missing() {
            return Ok(Completion::ignored_with(why));
        }
        print!("{}", handle.block_on(calls_soak::soak()));
        Ok(Completion::Completed)
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let table = table.lock().unwrap().to_string();
    print!("{table}");
    if let Some(file) = std::env::var_os("ROOMKEEPER_TEST_FAULTS_TABLE") {
        std::fs::write(file, table).unwrap();
    }
    conclusion.exit_code()
}
