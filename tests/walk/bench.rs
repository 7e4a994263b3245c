//! The load harness on a real FreeSWITCH: it measures something, and leaves nothing behind but its report.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::program::poll;
use crate::program::switch::RealServer;
use crate::support::process;

/// The app of its calls, as it appears in their channel names.
const ITS_CALLS: &str = "null/bench";

async fn ask(server: &RealServer, command: String) -> String {
    let server = server.clone();
    let answer = spawn_blocking(move || server.ask(&command)).await.unwrap();
    answer.expect("the server answers")
}

async fn channels(server: &RealServer) -> usize {
    let text = ask(server, "show channels as json".to_owned()).await;
    let list: Value = serde_json::from_str(&text).unwrap();
    let rows = list["rows"].as_array().cloned().unwrap_or_default();
    let is_its = |row: &&Value| row["name"].as_str().is_some_and(|name| name == ITS_CALLS);
    rows.iter().filter(is_its).count()
}

async fn until_no_call_remains(server: &RealServer) {
    // FreeSWITCH's list lags behind.
    poll::until("the harness has no calls", poll::TIMEOUT, async || {
        (channels(server).await == 0).then_some(())
    })
    .await;
}

pub async fn measures_and_leaves_nothing_behind(server: &RealServer) {
    let other = Uuid::new_v4().to_string();
    let call = format!("originate {{origination_uuid={other}}}null/other &park()");
    assert!(ask(server, call).await.starts_with("+OK"));
    let program = process::program_beside(env!("CARGO_BIN_EXE_roomkeeper"), "roomkeeper-bench");
    let program = program.display().to_string();
    let bench = || {
        let mut command = process::command(&program);
        command
            .args(["webhooks", "--size", "smoke", "--json"])
            .args(["--controller", env!("CARGO_BIN_EXE_roomkeeper")])
            .args(["--freeswitch", &server.address.to_string()])
            .env("RK_ESL_PASSWORD", &server.password)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        process::spawn(command)
    };

    let run = bench();
    let run = spawn_blocking(|| run.wait_with_output()).await.unwrap();
    let run = run.unwrap();
    let output = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{output}");
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let sections = report["sections"].as_array().unwrap();
    assert_eq!(sections.len(), 2, "simulated nodes, and the real one");
    let rows = sections[1]["rows"].as_array().unwrap();
    let latencies = rows.iter().filter(|row| {
        let what = row["what"].as_str().unwrap();
        what.contains("fired → received")
    });
    let (mut positive, mut all) = (0, 0);
    for row in latencies {
        for figure in [&row["measured"], &row["beside"]["measured"]] {
            all += 1;
            positive += usize::from(figure.as_f64() > Some(0.0));
        }
    }
    assert!(all >= 12 && positive == all, "{report}");
    until_no_call_remains(server).await;

    // The harness is interrupted while it runs.
    let mut run = bench();
    poll::until("the harness has calls", poll::TIMEOUT, async || {
        assert!(run.try_wait().unwrap().is_none(), "the harness ended early");
        (channels(server).await > 0).then_some(())
    })
    .await;
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    let status = spawn_blocking(move || run.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(130));
    until_no_call_remains(server).await;

    let exists = ask(server, format!("uuid_exists {other}")).await;
    assert_eq!(
        exists.trim(),
        "true",
        "the harness ended another client's call"
    );
    ask(server, format!("uuid_kill {other}")).await;
}
