//! The harness measures something in each of its scenarios, and says what it lacks. What comes of it is not looked at here:
//! a test tells nothing of speed.
#![allow(clippy::unwrap_used)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "each test uses some of it")]
mod process;

use clap::ValueEnum;
use roomkeeper::bench::Scenario;
use serde_json::Value;
use tempfile::tempdir;

#[test]
fn each_scenario_measures_something() {
    let run = process::command(env!("CARGO_BIN_EXE_roomkeeper"))
        .args(["bench", "--size", "smoke", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let sections = report["sections"].as_array().unwrap();
    assert_eq!(sections.len(), Scenario::value_variants().len(), "{report}");
    for section in sections {
        let rows = section["rows"].as_array().unwrap();
        assert!(!rows.is_empty(), "{section}");
        for row in rows {
            let measured = row["measured"].as_f64();
            assert!(measured.is_some_and(|figure| figure >= 0.0), "{row}");
            // What stands beside it was measured, too.
            let beside = &row["beside"]["measured"];
            assert!(beside.is_null() || beside.as_f64() > Some(0.0), "{row}");
        }
        let something = |row: &Value| row["measured"].as_f64() > Some(0.0);
        assert!(rows.iter().any(something), "{section}");
    }
}

#[test]
fn without_a_redis_server_it_says_so() {
    let nothing = tempdir().unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_roomkeeper"))
        .args(["bench", "idle", "--size", "smoke"])
        .env("PATH", nothing.path())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("cannot start redis-server"), "{said}");
}
