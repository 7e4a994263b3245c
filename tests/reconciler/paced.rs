//! Many switch commands at once: none is lost, and no caller waits for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freeswitch_sim::SimNode;
use futures_util::{StreamExt, stream};
use roomkeeper::reconciler::{Accepted, Settings};
use roomkeeper::store::EntityId;
use roomkeeper::store::memory::MemoryStore;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::FlagAccepted;
use roomkeeper_core::node_state::Timeouts;
use roomkeeper_core::room::MemberFlag;

use crate::world::{DID, TIMEOUT, World, call_id, simulated, until};

/// More than a connection has in flight and in its queue together.
const MEMBERS: usize = 3_000;

/// A large room with everyone in it, and one with one call.
struct Rooms {
    sim: SimNode,
    world: World,
    large: RoomId,
    members: Vec<String>,
    small: RoomId,
    other: CallId,
}

impl Rooms {
    async fn with_members(
        members: usize,
        change: impl FnOnce(&mut Settings, &mut Timeouts),
    ) -> Self {
        let sim = simulated().await;
        let world = World::with(&sim, Arc::new(MemoryStore::new()), change)
            .await
            .synced()
            .await;
        let mut channels: Vec<String> = (0..=members)
            .map(|n| sim.call_in(DID, &format!("527121{n}"), &[]))
            .collect();
        until("all calls are known", async || {
            let webhooks = world.webhooks().await;
            let new = webhooks.iter().filter(|m| m.event == "call.new").count();
            (new == channels.len()).then_some(())
        })
        .await;
        let other = call_id(&channels.pop().unwrap());
        let (large, small) = (world.room("large").await, world.room("small").await);
        stream::iter(&channels)
            .for_each_concurrent(64, |channel| world.join(call_id(channel), large))
            .await;
        world.join(other, small).await;
        let joined = "conference.member.joined";
        world
            .until_webhook(&large.to_string(), joined, members)
            .await;
        world.until_webhook(&small.to_string(), joined, 1).await;
        Self {
            sim,
            world,
            large,
            members: channels,
            small,
            other,
        }
    }

    /// The number of members of the large room on the node.
    fn inside(&self) -> usize {
        let truth = self.sim.snapshot();
        let room = truth.room(&self.large.to_string());
        room.map_or(0, |room| room.members.len())
    }

    /// Every member left once, and then the room ended.
    async fn check_end(&self, synthesized: bool) {
        let id = self.large.to_string();
        self.world
            .until_webhook(&id, "conference.destroyed", 1)
            .await;
        let webhooks = self.world.webhooks().await;
        let of_large: Vec<_> = webhooks
            .iter()
            .filter(|m| m.scope.to_string() == id)
            .collect();
        let lefts: Vec<String> = of_large
            .iter()
            .filter(|m| m.event == "conference.member.left")
            .map(|m| {
                let body: serde_json::Value = serde_json::from_str(&m.body).unwrap();
                assert_eq!(body["data"]["reason"], "room_destroyed", "{body}");
                assert!(synthesized || body["data"]["synthesized"].is_null());
                body["session_uuid"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(lefts.len(), self.members.len(), "one each");
        let left: BTreeSet<String> = lefts.into_iter().collect();
        let all = self.members.iter().map(|c| call_id(c).to_string());
        assert_eq!(left, all.collect());
        assert_eq!(of_large.last().unwrap().event, "conference.destroyed");
    }

    /// They are all still there, and where they should be.
    fn check_parked(&self) {
        let truth = self.sim.snapshot();
        for channel in &self.members {
            let call = truth.channel(channel).unwrap();
            assert_eq!(call.application.as_deref(), Some("park"), "{call:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mute_in_another_room_does_not_wait_for_end_of_room_of_3000() {
    // A busy machine must not look like a room that did not end in time.
    let rooms = Rooms::with_members(MEMBERS, |_, timeouts| timeouts.delete = TIMEOUT).await;
    let (world, small) = (&rooms.world, rooms.small);
    let version = async || {
        let record = world.store.read_head(EntityId::Room(small)).await.unwrap();
        record.unwrap().version
    };
    // This fixes the order of the requests.
    rooms.sim.stall(true);
    world.delete(rooms.large).await;
    let before = version().await;
    let mute = world.mute(rooms.other, true);
    let goes_on = async {
        until("the mute is asked for", async || {
            let stalled = rooms.sim.faults().stalled > 0;
            (version().await > before && stalled).then_some(())
        })
        .await;
        assert_eq!(rooms.inside(), MEMBERS);
        rooms.sim.stall(false);
    };
    let (accepted, ()) = tokio::join!(mute, goes_on);
    // FreeSWITCH executes one command after the other: those in flight, and then the mute.
    let inside = rooms.inside();
    assert_eq!(
        accepted.unwrap(),
        Accepted::SetFlag(FlagAccepted {
            room: small,
            flag: MemberFlag::Speak,
            on: false
        })
    );
    assert!(inside > MEMBERS - 900, "{inside} were still to be parked");
    rooms.check_end(false).await;
    rooms.check_parked();
    rooms.world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_wait_for_reconnect() {
    let rooms = Rooms::with_members(600, |settings, patience| {
        settings.resync_interval = Duration::from_secs(2);
        patience.delete = Duration::from_secs(12);
    })
    .await;
    // No command is executed before the connection breaks.
    rooms.sim.stall(true);
    rooms.world.delete(rooms.large).await;
    until("orders are on their way", async || {
        (rooms.sim.faults().stalled > 0).then_some(())
    })
    .await;
    assert!(rooms.sim.drop_connections(false) >= 2);
    assert_eq!(rooms.inside(), 600);
    rooms.sim.stall(false);
    let broken = Instant::now();
    // Commands in flight may or may not be executed. All others are.
    until("the others are parked", async || {
        (rooms.inside() <= 32).then_some(())
    })
    .await;
    let took = broken.elapsed();
    assert!(took < Duration::from_secs(11), "the room ended: {took:?}");
    rooms.check_end(true).await;
    until("a snapshot showed who was left", async || {
        (rooms.inside() == 0).then_some(())
    })
    .await;
    rooms.check_parked();
    rooms.world.end().await;
}
