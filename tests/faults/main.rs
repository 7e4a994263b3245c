//! Faults around the program, one row each, with real processes and a network that fails.
//!
//! Each row injects its fault, asserts that it occurred and that the guarantees hold, and reports the recovery time,
//! lost events and duplicates. The table of all reports is printed at the end. A row runs in a short form, or in the
//! long one of `tests/run --faults` (`ROOMKEEPER_TEST_FAULTS=long`): the same steps with larger numbers. Rows marked
//! `real` also run one by one on a given real FreeSWITCH (`ROOMKEEPER_TEST_FREESWITCH=host:port:password`, as for the
//! walk). It must be on this machine, because rows stop and kill it.
//!
//! [`scene`] checks the final invariant: FreeSWITCH, the API and the webhooks agree.
// The lint does not recognize this target as test code.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/phone/mod.rs"]
mod phone;
#[path = "../support/program/mod.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod callers;
mod calls_soak;
mod controls_soak;
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

/// The default number of concurrent rows. Each has its own processes, most of which wait. Some rows measure, so the
/// number is small.
const CONCURRENT_ROWS: usize = 4;

/// Rows that measure durations. In the long form they run alone.
const MEASURING_ROWS: [u8; 4] = [9, 10, 28, 29];

/// Time limit of a row in the long form.
const ROW_TIMEOUT: Duration = Duration::from_secs(360);

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
    arguments.test_threads.get_or_insert(CONCURRENT_ROWS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let form = Form::from_env();
    let mut stages = vec![Stage { form, server: None }];
    if let Some(server) = RealServer::from_env() {
        stages.push(Stage {
            form,
            server: Some(server),
        });
    } else if !arguments.list {
        println!("No real FreeSWITCH is given: the faults run on the simulated node only.");
    }
    let table = Arc::new(Mutex::new(Table::default()));
    // All rows share the real server, so only one of them may use it.
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
                let measures = stage.form == Form::Long && MEASURING_ROWS.contains(&row.number);
                let _quiet = measures.then(|| quiet.write().unwrap_or_else(|e| e.into_inner()));
                let _others = (!measures).then(|| quiet.read().unwrap_or_else(|e| e.into_inner()));
                let limit = stage.pick(ROW_TIMEOUT / 4, ROW_TIMEOUT);
                let run = AssertUnwindSafe(|| {
                    let run = async { tokio::time::timeout(limit, (row.run)(&stage)).await };
                    let report = handle.block_on(run);
                    report.unwrap_or_else(|_| panic!("the row does not end within {limit:?}"))
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
        print!("{}", handle.block_on(soak::soak(soak::Size::from_env())));
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
    let handle = runtime.handle().clone();
    trials.push(Trial::ignorable_test("soak_of_controls", move || {
        if let Some(why) = calls_soak::missing() {
            return Ok(Completion::ignored_with(why));
        }
        print!("{}", handle.block_on(controls_soak::soak()));
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
