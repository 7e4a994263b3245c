//! The list of channels is parsed as a table without escapes, for any names of callers.

use std::sync::Arc;
use std::time::Duration;

use freeswitch_esl::command::DELIMITER;
use freeswitch_sim::core::InboundCall;
use roomkeeper::store::memory::MemoryStore;
use serde_json::Value;

use crate::world::{DID, World, call_id, simulated, until};

#[tokio::test(flavor = "multi_thread")]
async fn caller_name_with_separators_neither_hides_nor_forges_calls() {
    let sim = simulated().await;
    // These arrive without events: only the list contains them.
    let between = char::from(DELIMITER);
    let names = [
        "Alice".to_owned(),
        format!("B{between}ob"),
        format!("x\n{between}{between}park{between}"),
    ];
    let calls: Vec<_> = (1_001..)
        .zip(&names)
        .map(|(number, name)| {
            let channel = sim.call_in_with(InboundCall {
                did: DID.to_owned(),
                caller_name: name.clone(),
                caller_number: number.to_string(),
                ..InboundCall::default()
            });
            (call_id(&channel), number.to_string())
        })
        .collect();
    // FreeSWITCH writes the list late; then it contains the names.
    until("the names are in the table", async || {
        let table = sim.with_core(|core, now| {
            let conn = core.connect(now);
            core.handle_command(conn, "auth ClueCon", now);
            core.handle_command(conn, &format!("api show channels as delim {between}"), now);
            let said = core.poll_output(conn).to_vec();
            core.disconnect(conn);
            String::from_utf8(said).unwrap()
        });
        names.iter().all(|name| table.contains(name)).then_some(())
    })
    .await;
    let world = World::with(&sim, Arc::new(MemoryStore::new()), |settings, _| {
        settings.resync_interval = Duration::from_secs(1);
    });
    let world = world.await.synced().await;
    for (call, number) in &calls {
        world.until_webhook(&call.to_string(), "call.new", 1).await;
        let webhooks = world.webhooks().await;
        let new = webhooks
            .iter()
            .find(|m| m.scope.to_string() == call.to_string());
        let body: Value = serde_json::from_str(&new.unwrap().body).unwrap();
        assert_eq!(body["data"]["caller_id"], **number, "{body}");
        assert_eq!(body["data"]["did"], DID, "{body}");
    }
    let webhooks = world.webhooks().await;
    assert_eq!(webhooks.iter().filter(|m| m.event == "call.new").count(), 3);
    world.end().await;
}
