//! A record that cannot be decoded is quarantined and affects no other.

use std::sync::Arc;
use std::time::Duration;

use freeswitch_sim::SimNode;
use roomkeeper::reconciler::{Accepted, IntentError, Refusal};
use roomkeeper::store::node_status::{self, OrphanReport, StatusField};
use roomkeeper::store::redis::{RedisOptions, RedisStore};
use roomkeeper::store::{EntityId, Store, keys};
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::FlagAccepted;
use roomkeeper_core::room::MemberFlag;

use crate::support::redis::RedisServer;
use crate::world::{DID, World, call_id, node, simulated, until};

struct Two {
    redis: RedisServer,
    sim: SimNode,
    /// The one member of each room.
    good: (RoomId, CallId),
    bad: (RoomId, CallId),
}

async fn replica(redis: &RedisServer, sim: &SimNode) -> World {
    let options = RedisOptions {
        // A busy machine must not look like a broken store.
        timeout: Duration::from_secs(5),
        ..RedisOptions::default()
    };
    let store: Arc<dyn Store> = Arc::new(RedisStore::connect(&redis.url(), &options).unwrap());
    World::with(sim, store, |_, _| {}).await.synced().await
}

async fn say<T: redis::FromRedisValue>(redis: &RedisServer, command: &[&str]) -> T {
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    let mut connection = redis.connection().await.unwrap();
    cmd.query_async(&mut connection).await.unwrap()
}

/// The number of these requests to the server.
async fn calls(redis: &RedisServer, command: &str) -> u64 {
    let stats: String = say(redis, &["INFO", "commandstats"]).await;
    let line = format!("cmdstat_{command}:calls=");
    let rest = stats.lines().find_map(|l| l.strip_prefix(&line));
    rest.map_or(0, |rest| {
        rest.split(',').next().unwrap().parse::<u64>().unwrap()
    })
}

impl Two {
    /// Two rooms with a member each, without an owner now.
    async fn new() -> Self {
        let (redis, sim) = (RedisServer::start().await, simulated().await);
        let world = replica(&redis, &sim).await;
        let mut rooms = Vec::new();
        for name in ["good", "bad"] {
            let room = world.room(name).await;
            let call = call_id(&sim.call_in(DID, "1001", &[]));
            world.until_webhook(&call.to_string(), "call.new", 1).await;
            world.join(call, room).await;
            let joined = "conference.member.joined";
            world.until_webhook(&room.to_string(), joined, 1).await;
            rooms.push((room, call));
        }
        world.end().await;
        Self {
            redis,
            sim,
            good: rooms[0],
            bad: rooms[1],
        }
    }

    fn key(&self) -> String {
        keys::entity(EntityId::Room(self.bad.0))
    }

    async fn bad_record(&self) -> Vec<(String, String)> {
        let mut fields: Vec<(String, String)> = say(&self.redis, &["HGETALL", &self.key()]).await;
        fields.sort();
        fields
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn record_without_version_is_quarantined_and_node_continues() {
    let two = Two::new().await;
    let version: String = say(&two.redis, &["HGET", &two.key(), "#v"]).await;
    assert_eq!(say::<u32>(&two.redis, &["HDEL", &two.key(), "#v"]).await, 1);
    // Every poll reports it as due, too.
    let due = keys::deadlines(node());
    let _: u32 = say(&two.redis, &["ZADD", &due, "1", &two.bad.0.to_string()]).await;
    let before = two.bad_record().await;
    let read = calls(&two.redis, "smembers").await;

    let world = replica(&two.redis, &two.sim).await;
    let (room, call) = two.good;
    for (mute, accepted, event) in [
        (
            true,
            Accepted::SetFlag(FlagAccepted {
                room,
                flag: MemberFlag::Speak,
                on: false,
            }),
            "conference.member.muted",
        ),
        (
            false,
            Accepted::SetFlag(FlagAccepted {
                room,
                flag: MemberFlag::Speak,
                on: true,
            }),
            "conference.member.unmuted",
        ),
    ] {
        assert_eq!(world.mute(call, mute).await.unwrap(), accepted);
        world.until_webhook(&room.to_string(), event, 1).await;
    }
    let third = call_id(&two.sim.call_in(DID, "1002", &[]));
    world.until_webhook(&third.to_string(), "call.new", 1).await;
    // Requests for it are refused and do not affect the others.
    let refused = world.mute(two.bad.1, true).await;
    assert!(
        matches!(refused, Err(IntentError::Refused(Refusal::NotInRoom))),
        "{refused:?}"
    );
    // Its member leaves: that cannot be written, and no webhook reuses an earlier number.
    assert!(
        two.sim
            .hang_up(two.bad.1.channel().to_string().as_str(), "NORMAL_CLEARING")
    );
    world
        .until_webhook(&two.bad.1.to_string(), "call.hangup", 1)
        .await;
    // Each read of the list of deadlines returns it as due.
    let looked = calls(&two.redis, "zrange").await;
    until("the deadlines are read twice more", async || {
        (calls(&two.redis, "zrange").await >= looked + 2).then_some(())
    })
    .await;
    assert_eq!(
        calls(&two.redis, "smembers").await,
        read + 1,
        "the node is read once, not once a second"
    );
    assert_eq!(
        two.bad_record().await,
        before,
        "the record must stay unchanged"
    );
    let bad = two.bad.0.to_string();
    let webhooks = world.webhooks().await;
    let of_bad: Vec<_> = webhooks
        .iter()
        .filter(|m| m.scope.to_string() == bad)
        .collect();
    assert_eq!(of_bad.len(), 0, "{of_bad:?}");
    assert_eq!(
        world.mute(call, true).await.unwrap(),
        Accepted::SetFlag(FlagAccepted {
            room,
            flag: MemberFlag::Speak,
            on: false
        })
    );

    // The operator's report names the record, and the conference of that name with its member.
    let report = until("the record is reported", async || {
        let text = world.store.read_report(node()).await.unwrap()?;
        let report: OrphanReport =
            node_status::decode(node(), StatusField::Orphans, &text).unwrap();
        (report.records_total == 1).then_some(report)
    })
    .await;
    assert_eq!(report.records[0].key, two.key());
    assert_eq!(report.records[0].why, "it has no version");

    // After a person has repaired it, the next read loads it.
    let _: u32 = say(&two.redis, &["HSET", &two.key(), "#v", &version]).await;
    world.end().await;
    let world = replica(&two.redis, &two.sim).await;
    world.until_webhook(&bad, "conference.member.left", 1).await;
    world.delete(two.bad.0).await;
    world.until_webhook(&bad, "conference.destroyed", 1).await;
    world.end().await;
}
