//! The walk on a real FreeSWITCH, when one is given: `ROOMKEEPER_TEST_FREESWITCH=host:port:password`.
//!
//! The server needs a conference profile `roomkeeper`, the endpoint `null` of mod_dptools, and an extension that
//! answers and makes a sound or silence. `ROOMKEEPER_TEST_ENDPOINT` names the extension (`loopback/tone/default`),
//! `ROOMKEEPER_TEST_APP` the app of the calls (`demo`). With `ROOMKEEPER_TEST_SIP=host:port`, `sipp` also places a SIP
//! call; the dialplan must answer and park it with `roomkeeper_app` set to that app.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::bench;
use crate::kills;
use crate::program::switch::{Line, RealServer, Switch};
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::support::process;
use crate::walk::{STEPS, Step, Walk};

pub fn say(text: &str) {
    // Bypasses the harness, which hides the output of a passing test.
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

pub async fn world(server: &RealServer, line: Line, store: Store) -> World {
    let switch = Switch::real(server.clone(), line);
    let world = Setup::with_short_timeouts(store).start_with(switch).await;
    world.controller.until_ready().await;
    world.controller.until_synced().await;
    world
}

fn table(walk: &Walk, world: &World, title: &str) -> String {
    let mut text = format!("\n{title}\n| step | API and webhooks | ms |\n|---|---|---|\n");
    for row in &walk.rows {
        let result = row
            .result
            .replace(&walk.room, "<room>")
            .replace(&walk.session, "<call>")
            .replace(&world.node, "<node>");
        writeln!(text, "| {:?} | {result} | {} |", row.step, row.millis).unwrap();
    }
    text
}

pub async fn walk_on(server: &RealServer, line: Line, store: Store) {
    let world = world(server, line.clone(), store).await;
    let mut walk = Walk::new();
    for step in STEPS {
        walk.step(&world, step).await;
    }
    let synthesized = walk.check_all_webhooks(&world);
    say(&table(
        &walk,
        &world,
        &format!(
            "Calls by {line:?}, state on {store:?}; {synthesized} webhooks were synthesized from a snapshot"
        ),
    ));
}

async fn walk_with_kills(server: &RealServer) {
    let mut world = world(server, Line::from_env(), Store::Redis).await;
    let mut walk = Walk::new();
    for step in STEPS {
        match step {
            Step::Join | Step::Mute => {
                walk.step(&world, step).await;
                world.kill_and_start_again();
            }
            Step::Unmute | Step::Leave => {
                walk.request(&world, step).await;
                world.kill_and_start_again();
                walk.confirm(&world, step).await;
            }
            Step::CallIn
            | Step::Create
            | Step::List
            | Step::HangUp
            | Step::Delete
            | Step::NotFound => walk.step(&world, step).await,
        }
    }
    let synthesized = walk.check_all_webhooks(&world);
    say(&table(
        &walk,
        &world,
        &format!(
            "The controller killed after Join and Mute, and between answer and event of Unmute and Leave, state on \
             Redis; {synthesized} webhooks were synthesized from a snapshot"
        ),
    ));
}

/// One test, so that the tables are printed one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn walk_succeeds_on_a_real_server() {
    let Some(server) = RealServer::from_env() else {
        say("No real FreeSWITCH was given: the walk ran on the simulated node only.\n");
        return;
    };
    let probe = Switch::real(server.clone(), Line::from_env());
    let version = probe.api(PASSWORD, "version").await;
    say(&format!(
        "\nAgainst a real FreeSWITCH at {}: {}\n",
        server.address,
        version.trim()
    ));
    for store in [Store::Memory, Store::Redis] {
        walk_on(&server, Line::from_env(), store).await;
    }
    walk_with_kills(&server).await;
    kills::meanwhile(world(&server, Line::from_env(), Store::Redis).await).await;
    say(
        "\nHung up, kicked, unmuted, called in while no controller ran: reported after its restart, as synthesized.\n",
    );
    bench::measures_and_leaves_nothing_behind(&server).await;
    match std::env::var("ROOMKEEPER_TEST_SIP") {
        Ok(target) => {
            assert!(process::installed("sipp"), "ROOMKEEPER_TEST_SIP needs sipp");
            walk_on(&server, Line::Sip(target), Store::Redis).await;
        }
        Err(_) => say("No SIP address was given: calls were placed by originate only.\n"),
    }
}
