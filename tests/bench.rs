//! The harness measures something in each of its scenarios, and says what it lacks. What comes of it is not looked at here:
//! a test tells nothing of speed.
#![allow(clippy::unwrap_used)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "each test uses some of it")]
mod process;

use std::net::SocketAddr;

use clap::ValueEnum;
use roomkeeper::bench::Scenario;
use roomkeeper::sim::{SimConfig, SimNode};
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

/// What `bench` says when it is to measure on this server with this password, and does not.
fn refused(address: SocketAddr, password: &str) -> String {
    let run = process::command(env!("CARGO_BIN_EXE_roomkeeper"))
        .args(["bench", "webhooks", "--size", "smoke", "--freeswitch"])
        .arg(address.to_string())
        .env("RK_ESL_PASSWORD", password)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stdout.is_empty(), "nothing was measured before");
    String::from_utf8_lossy(&run.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeswitch_that_cannot_be_used_is_named_at_once() {
    let mut config = SimConfig::default();
    config.node.password = "right".to_owned();
    let node = SimNode::start(config).await.unwrap();
    let address = node.addr;
    let named = format!("cannot log in to FreeSWITCH at {address}");
    let said = refused(address, "wrong");
    assert!(said.contains(&named), "{said}");
    assert!(said.contains("the password is refused"), "{said}");
    let nobody = SocketAddr::from(([127, 0, 0, 1], process::free_port()));
    let said = refused(nobody, "right");
    assert!(said.contains("onnection refused"), "{said}");
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
