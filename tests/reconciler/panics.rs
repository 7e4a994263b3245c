//! A panic in a task costs only its current work.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use freeswitch_esl::Event;
use freeswitch_esl::command::{ModuleName, Password};
use metrics_exporter_prometheus::PrometheusHandle;
use roomkeeper::node::{self, CommandError, EventSink, Link, NodeConfig, Timing};
use roomkeeper::reconciler::{Accepted, IntentError};
use roomkeeper::supervise::ShutdownPhase;
use roomkeeper::telemetry;
use roomkeeper_core::intent::FlagAccepted;
use roomkeeper_core::room::MemberFlag;

use crate::tampered::{Act, Tampered};
use crate::world::{DID, TIMEOUT, World, call_id, node, simulated, until};

/// The metrics of this process.
pub static METRICS: LazyLock<PrometheusHandle> =
    LazyLock::new(|| telemetry::init_metrics().expect("nobody else collects them"));

/// The number of panics of this task.
pub fn panics(task: &str) -> u32 {
    let line = format!(
        "{}{{task=\"{task}\",of=\"acW68\"}} ",
        telemetry::TASK_PANICS
    );
    let page = METRICS.render();
    let count = page.lines().find_map(|l| l.strip_prefix(line.as_str()));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn actor_restarts_from_stored_state() {
    let (sim, store) = (simulated().await, Tampered::new());
    assert_eq!(panics("actor"), 0);
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    let room = world.room("walk").await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    world.until_webhook(&call.to_string(), "call.new", 1).await;
    world.join(call, room).await;
    let joined = "conference.member.joined";
    world.until_webhook(&room.to_string(), joined, 1).await;

    store.will("commit", Act::PanicOnce);
    let refused = world.mute(call, true).await;
    // The result is unknown: it may have been written.
    assert!(
        matches!(refused, Err(IntentError::Command(CommandError::Unknown))),
        "{refused:?}"
    );
    until("it is counted", async || {
        (panics("actor") == 1).then_some(())
    })
    .await;
    assert_eq!(store.fired(), 1);
    // The lease was kept, and changes in the meantime are recovered.
    let second = call_id(&sim.call_in(DID, "1002", &[]));
    world
        .until_webhook(&second.to_string(), "call.new", 1)
        .await;
    let accepted = world.mute(call, true).await;
    assert_eq!(
        accepted.unwrap(),
        Accepted::SetFlag(FlagAccepted {
            room,
            flag: MemberFlag::Speak,
            on: false
        })
    );
    let muted = "conference.member.muted";
    world.until_webhook(&room.to_string(), muted, 1).await;
    assert_eq!(world.count(&room.to_string(), joined).await, 1);
    assert_eq!(panics("actor"), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_lease_keeper_keeps_the_lease() {
    let (sim, store) = (simulated().await, Tampered::new());
    let _counted = &*METRICS;
    store.will("acquire_lease", Act::PanicOnce);
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    assert_eq!((store.fired(), panics("lease")), (1, 1));
    world.end().await;
}

/// Panics when the first connection is up, and at the first event of the second one.
struct Clumsy {
    ups: Arc<AtomicU32>,
    events: Arc<AtomicU32>,
}

impl EventSink for Clumsy {
    fn up(&mut self) {
        assert!(self.ups.fetch_add(1, Ordering::SeqCst) > 0, "clumsy");
    }
    fn event(&mut self, _: &Event) {
        assert!(self.events.fetch_add(1, Ordering::SeqCst) > 0, "clumsy");
    }
    fn down(&mut self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn event_connection_is_reopened_after_a_panic() {
    let sim = simulated().await;
    let _counted = &*METRICS;
    let (ups, events) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let config = NodeConfig {
        id: node(),
        address: sim.addr.to_string(),
        password: Password::new("ClueCon").unwrap(),
        speech_module: ModuleName::new("mod_flite").unwrap(),
        timing: Timing::default(),
        nudge: roomkeeper::node::Nudge::default(),
    };
    let sink = Clumsy {
        ups: ups.clone(),
        events: events.clone(),
    };
    let stage = ShutdownPhase::new();
    let handle = node::start(config, sink, &stage).unwrap();
    handle.want_events(true);
    until("a second connection is up", async || {
        (ups.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    sim.call_in(DID, "1001", &[]);
    until("events of a third one are heard", async || {
        sim.call_in(DID, "1002", &[]);
        let heard = events.load(Ordering::SeqCst) > 1 && ups.load(Ordering::SeqCst) == 3;
        heard.then_some(())
    })
    .await;
    assert_eq!(panics("event_connection"), 2);
    let status = handle.status();
    assert_eq!((status.commands, status.events), (Link::Up, Some(Link::Up)));
    assert!(stage.end(TIMEOUT).await);
}
