//! Rooms with members, created as an app does it: through the API, with inbound calls on the simulated nodes.
//!
//! Owns their preparation, and an operator at a node who mutes members: that causes events for which no API caller waits.
//! Leaves out the measurement.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use freeswitch_sim::SimNode;
use freeswitch_sim::core::ConnId;

use super::world::{Controller, DID, PASSWORD, TIMEOUT, World, node_id, until};
use super::{BenchError, Run};

/// Concurrent requests during preparation.
const CONCURRENCY: usize = 64;

/// A member, with its ids in the API and on the node.
#[derive(Clone, Debug)]
pub struct Member {
    /// The id of the call in the API.
    pub call: String,
    /// FreeSWITCH's `Member-ID`.
    pub number: u64,
}

/// A room with its members in it.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its id, which is the conference's name at the node.
    pub id: String,
    /// The index of the simulated node; 0 for the real one.
    pub node: usize,
    /// Its members.
    pub members: Vec<Member>,
}

/// Creates a room for each of these sizes, on the nodes in turn, and lets that many calls join. Returns when the controller
/// reports all members of each room.
///
/// # Errors
/// [`BenchError`] when the API refuses, or the members do not join in time.
pub async fn fill(run: &Run<'_>, world: &World, sizes: &[usize]) -> Result<Vec<Room>, BenchError> {
    let on = |n: usize| n % world.nodes.len();
    let nodes: Vec<String> = (0..sizes.len()).map(|n| node_id(on(n))).collect();
    let created = create(run, &world.controller, &nodes).await?;
    let indexed = sizes.iter().enumerate();
    let calls: Vec<(usize, String)> = indexed
        .flat_map(|(room_index, size)| std::iter::repeat_n(room_index, *size))
        .enumerate()
        .map(|(n, room_index)| {
            let from = format!("52{n:07}");
            let call = world.nodes[on(room_index)].call_in(DID, &from, &[]);
            (room_index, format!("{}-{call}", nodes[room_index]))
        })
        .collect();
    join(run, &world.controller, &created, &calls).await?;
    let rooms = created.into_iter().enumerate();
    let rooms = rooms.map(|(n, id)| (id, on(n))).collect();
    Ok(with_numbers(world, rooms, &calls))
}

/// Creates a room on each of these nodes. Returns their ids, in this order.
///
/// # Errors
/// [`BenchError`] when the API refuses.
pub async fn create(
    run: &Run<'_>,
    controller: &Controller,
    nodes: &[String],
) -> Result<Vec<String>, BenchError> {
    run.show_progress(format!("creating {} rooms", nodes.len()));
    let create = |(n, node): (usize, &String)| {
        let body = json!({ "name": format!("room-{n}"), "node": node });
        async move {
            let answer = post(controller, "/conferences", &body).await?;
            Ok(answer["room_id"].as_str().unwrap_or_default().to_owned())
        }
    };
    run_concurrently(nodes.iter().enumerate().map(create)).await
}

/// Lets each of these calls, once the controller knows it, join the room with its index in `rooms`. Returns when the
/// controller reports all members of each room.
///
/// # Errors
/// [`BenchError`] when the API refuses, or the members do not join in time.
pub async fn join(
    run: &Run<'_>,
    controller: &Controller,
    rooms: &[String],
    calls: &[(usize, String)],
) -> Result<(), BenchError> {
    run.show_progress(format!("{} members join", calls.len()));
    let join = |(room_index, call): &(usize, String)| {
        let body = json!({ "room_id": rooms[*room_index], "muted": false });
        let call = call.clone();
        async move {
            until("the controller knows the call", TIMEOUT, async || {
                let (status, _) = get(controller, &format!("/sessions/{call}")).await?;
                Ok((status == 200).then_some(()))
            })
            .await?;
            let path = format!("/sessions/{call}/commands/conference/join");
            post(controller, &path, &body).await
        }
    };
    let _joined: Vec<Value> = run_concurrently(calls.iter().map(join)).await?;
    run.show_progress("all members are in");
    let mut sizes = vec![0; rooms.len()];
    for (room_index, _) in calls {
        sizes[*room_index] += 1;
    }
    let wait_until_full = |(id, size): (&String, usize)| {
        let path = format!("/conferences/{id}");
        async move {
            until("all members are in", TIMEOUT, async || {
                let (_, body) = get(controller, &path).await?;
                Ok((body["members"] == size).then_some(()))
            })
            .await
        }
    };
    let _full: Vec<()> = run_concurrently(rooms.iter().zip(sizes).map(wait_until_full)).await?;
    Ok(())
}

/// Returns the rooms with their members, whose numbers come from the nodes.
fn with_numbers(
    world: &World,
    created: Vec<(String, usize)>,
    calls: &[(usize, String)],
) -> Vec<Room> {
    let mut numbers = HashMap::new();
    for (n, node) in world.nodes.iter().enumerate() {
        for room in node.snapshot().rooms {
            for member in room.members {
                numbers.insert(format!("{}-{}", node_id(n), member.uuid), member.id);
            }
        }
    }
    let mut rooms: Vec<Room> = created
        .into_iter()
        .map(|(id, node)| Room {
            id,
            node,
            members: Vec::new(),
        })
        .collect();
    for (room_index, call) in calls {
        if let Some(number) = numbers.get(call) {
            rooms[*room_index].members.push(Member {
                call: call.clone(),
                number: *number,
            });
        }
    }
    rooms
}

async fn run_concurrently<T>(
    requests: impl Iterator<Item = impl Future<Output = Result<T, BenchError>>>,
) -> Result<Vec<T>, BenchError> {
    stream::iter(requests)
        .buffered(CONCURRENCY)
        .try_collect()
        .await
}

async fn get(controller: &Controller, path: &str) -> Result<(u16, Value), BenchError> {
    controller.request(Method::GET, path, None).await
}

async fn post(controller: &Controller, path: &str, body: &Value) -> Result<Value, BenchError> {
    let (status, answer) = controller.request(Method::POST, path, Some(body)).await?;
    if (200..300).contains(&status) {
        Ok(answer)
    } else {
        let why = format!("POST {path} returned {status}: {answer}");
        Err(BenchError::Unexpected(why))
    }
}

/// An operator on a node's Event Socket.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    connection: ConnId,
}

impl Operator {
    /// Connects and logs in.
    pub fn log_in(node: &SimNode) -> Self {
        node.with_core(|core, now| {
            let connection = core.connect(now);
            core.handle_command(connection, &format!("auth {PASSWORD}"), now);
            core.poll_output(connection);
            Self { connection }
        })
    }

    /// Mutes and unmutes members, all at once; the node fires an event for each.
    pub fn mute<'a>(
        self,
        node: &SimNode,
        members: impl IntoIterator<Item = (&'a Room, &'a Member, bool)>,
    ) {
        node.with_core(|core, now| {
            for (room, member, mute) in members {
                let verb = if mute { "mute" } else { "unmute" };
                let command = format!("api conference {} {verb} {}", room.id, member.number);
                core.handle_command(self.connection, &command, now);
                // Discards the answer.
                core.poll_output(self.connection);
            }
        });
    }
}

/// Iterates over the members, one of each room in turn: the first round mutes, the next one unmutes.
#[derive(Debug)]
pub struct MuteRounds<'a> {
    rooms: Vec<&'a Room>,
    next: usize,
}

impl<'a> MuteRounds<'a> {
    /// Starts with the first member; none may be muted.
    pub fn new(rooms: impl IntoIterator<Item = &'a Room>) -> Self {
        let rooms = rooms.into_iter().collect();
        Self { rooms, next: 0 }
    }
}

impl<'a> Iterator for MuteRounds<'a> {
    type Item = (&'a Room, &'a Member, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let room = *self.rooms.get(self.next % self.rooms.len().max(1))?;
        let turn = self.next / self.rooms.len();
        let member = room.members.get(turn % room.members.len().max(1))?;
        self.next += 1;
        Some((room, member, (turn / room.members.len()).is_multiple_of(2)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn room(id: &str, members: &[u64]) -> Room {
        Room {
            id: id.to_owned(),
            node: 0,
            members: members
                .iter()
                .map(|number| Member {
                    call: String::new(),
                    number: *number,
                })
                .collect(),
        }
    }

    #[test]
    fn rounds_mute_each_member_before_unmuting_one() {
        let rooms = [room("a", &[1, 2]), room("b", &[3, 4])];
        let muted: Vec<(&str, u64, bool)> = MuteRounds::new(&rooms)
            .take(6)
            .map(|(room, member, mute)| (room.id.as_str(), member.number, mute))
            .collect();
        assert_eq!(
            muted,
            [
                ("a", 1, true),
                ("b", 3, true),
                ("a", 2, true),
                ("b", 4, true),
                ("a", 1, false),
                ("b", 3, false),
            ]
        );
    }

    #[test]
    fn rounds_without_members_are_empty() {
        assert_eq!(MuteRounds::new(&[]).count(), 0);
        assert_eq!(MuteRounds::new(&[room("a", &[])]).count(), 0);
    }
}
