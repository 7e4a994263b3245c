//! Relays between two real nodes with the project's configuration: the key and the address decide whether they work, and
//! no call is left.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Output;

use freeswitch_esl::command::{ChannelUuid, RelayAddress, RelayKey, RelayTest};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::program::controller::{Controller, KEY, binary};
use crate::support::process::free_port;

const RELAY_KEY: &str = "a-key.of-the-relay-tests";

/// A controller of both nodes, which reach each other at these addresses.
async fn controller(nodes: [&FreeSwitch; 2], key: &str, relays: [SocketAddr; 2]) -> Controller {
    let [first, second] = nodes.map(|node| node.server.address);
    let [here, there] = relays;
    let controller = Controller::start(
        "demo",
        &format!(
            "[store]\nurl = \"memory:\"\n[relay]\nkey = \"{key}\"\n\
             [[nodes]]\nid = \"acW68\"\naddress = \"{first}\"\npassword = \"{ESL_PASSWORD}\"\nrelay = \"{here}\"\n\
             [[nodes]]\nid = \"bdX79\"\naddress = \"{second}\"\npassword = \"{ESL_PASSWORD}\"\nrelay = \"{there}\"\n\
             [[apps]]\nid = \"demo\"\napi_key = \"{KEY}\"\ndids = [\"relay-test\"]\n"
        ),
    );
    poll::until("both nodes are synced", poll::TIMEOUT, async || {
        let list = controller.operator("/admin/nodes").await?.body;
        let nodes = list["nodes"].as_array()?;
        nodes
            .iter()
            .all(|node| node["synced"] == true)
            .then_some(())
    })
    .await;
    controller
}

/// Runs `nodes relay-test`, and returns its exit code and the only result.
async fn relay_test(controller: &Controller, from: &str, to: &str) -> (Option<i32>, Value) {
    let admin = format!("127.0.0.1:{}", controller.ports()[1]);
    let mut command = binary();
    command
        .args(["nodes", "relay-test", from, to, "--json", "--admin", &admin])
        .env("ROOMKEEPER_ADMIN_KEY", controller.admin_key().unwrap());
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let out: Output = ran.await.unwrap();
    let shown = String::from_utf8(out.stdout).unwrap();
    let errors = String::from_utf8(out.stderr).unwrap();
    assert!(!format!("{shown}{errors}").contains(RELAY_KEY));
    let tests: Value = serde_json::from_str(&shown).expect(&errors);
    (out.status.code(), tests["tests"][0].clone())
}

/// Waits until neither node has a channel. No app and no report has ever seen one.
async fn leaves_nothing(nodes: [&FreeSwitch; 2], controller: &Controller) {
    poll::until("no channel is left", poll::TIMEOUT, async || {
        for node in nodes {
            let count = node.api("show channels count").await;
            if count.trim() != "0 total." {
                return None;
            }
        }
        Some(())
    })
    .await;
    let calls = controller.get("/sessions").await.body;
    assert_eq!(calls["sessions"], json!([]));
    let orphans = controller.operator("/admin/orphans").await.unwrap().body;
    for node in orphans["nodes"].as_array().unwrap() {
        assert_eq!(node["calls_total"], 0, "{node}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_work_with_the_key_and_leave_no_call() {
    let Some(program) = installed() else {
        return;
    };
    let settings = [
        ("RK_ESL_PASSWORD", ESL_PASSWORD),
        ("RK_RELAY_KEY", RELAY_KEY),
        ("RK_LOG_LEVEL", "info"),
    ];
    let first = FreeSwitch::start(program.clone(), &settings).await;
    let second = FreeSwitch::start(program, &settings).await;
    let nodes = [&first, &second];
    let addresses = [first.relays, second.relays];

    let right = controller(nodes, RELAY_KEY, addresses).await;
    for (from, to) in [("acW68", "bdX79"), ("bdX79", "acW68")] {
        let measured = relay_test(&right, from, to);
        let resynced = async {
            for (id, node) in ["acW68", "bdX79"].into_iter().zip(nodes) {
                poll::until("the call is there", poll::TIMEOUT, async || {
                    let count = node.api("show channels count").await;
                    (count.trim() == "1 total.").then_some(())
                })
                .await;
                let requested = right.operate(&format!("/admin/nodes/{id}/resync")).await;
                assert_eq!(requested.status, 202, "{}", requested.body);
            }
        };
        let ((code, test), ()) = tokio::join!(measured, resynced);
        say(&format!("relay {from} to {to}: {test}\n"));
        assert_eq!((code, &test["works"]), (Some(0), &json!(true)), "{test}");
        let figure = |name: &str| test[name].as_u64().unwrap();
        // A packet every 20 ms for two seconds, with a margin for a busy machine.
        assert!(figure("sent") >= 50, "{test}");
        assert!(
            figure("received") > 0 && figure("received") <= figure("sent"),
            "{test}"
        );
        assert!(figure("lost") <= 5, "{test}");
        assert!(figure("answered_ms") < 5_000, "{test}");
        assert!(test["jitter_ms"].as_f64().unwrap() < 1_000.0, "{test}");
        leaves_nothing(nodes, &right).await;
    }
    drop(right);

    let wrong = controller(nodes, "another-key-than-theirs", addresses).await;
    let (code, test) = relay_test(&wrong, "acW68", "bdX79").await;
    assert_eq!((code, &test["cause"]), (Some(1), &json!("CALL_REJECTED")));
    leaves_nothing(nodes, &wrong).await;
    drop(wrong);

    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let lost = controller(nodes, RELAY_KEY, [first.relays, closed]).await;
    let (code, test) = relay_test(&lost, "acW68", "bdX79").await;
    assert_eq!((code, &test["works"]), (Some(1), &json!(false)), "{test}");
    assert!(test["cause"].is_string(), "{test}");
    leaves_nothing(nodes, &lost).await;

    // Without a controller, the call ends by itself.
    let call = RelayTest {
        uuid: ChannelUuid::from(Uuid::new_v4()),
        other: ChannelUuid::from(Uuid::new_v4()),
        key: RelayKey::new(RELAY_KEY).unwrap(),
        to: RelayAddress::new(second.relays.to_string()).unwrap(),
        answer: Duration::from_secs(5),
        tone: Duration::from_secs(1),
        silence: Duration::from_secs(4),
    };
    let answer = first.api(&format!("originate {call}")).await;
    assert!(answer.starts_with("+OK"), "{answer}");
    assert_eq!(
        second.api(&format!("uuid_exists {}", call.other)).await,
        "true"
    );
    leaves_nothing(nodes, &lost).await;
    for node in nodes {
        assert!(!node.log().contains(RELAY_KEY), "the log shows the key");
    }
}
