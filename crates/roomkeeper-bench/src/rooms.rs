//! Rooms with members, made as an app makes them: through the API, with calls that come in at the simulated nodes.
//!
//! Owns getting them ready, and an operator at a node who mutes its members, which is what makes events there that no
//! caller of the API waits for. Leaves out what is measured then.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use freeswitch_sim::SimNode;
use freeswitch_sim::core::ConnId;

use super::world::{Controller, DID, PASSWORD, PATIENCE, World, node_id, until};
use super::{BenchError, Run};

/// Requests under way at once while getting ready.
const AT_ONCE: usize = 64;

/// A member, as both sides know it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The call, in the API.
    pub session: String,
    /// `Member-ID`, at the node.
    pub number: u64,
}

/// A room with its members in it.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its id, which is the conference's name at the node.
    pub id: String,
    /// On which simulated node, or 0 on the real one.
    pub node: usize,
    /// Who is in it.
    pub members: Vec<Member>,
}

/// Makes a room for each of these, on one node after the other in turn, and lets so many calls into it. Returns when the
/// controller says of each room that all are in.
///
/// # Errors
/// [`BenchError`] when the API refuses, or it does not come about in time.
pub async fn fill(run: &Run<'_>, world: &World, sizes: &[usize]) -> Result<Vec<Room>, BenchError> {
    let on = |n: usize| n % world.nodes.len();
    let nodes: Vec<String> = (0..sizes.len()).map(|n| node_id(on(n))).collect();
    let made = make(run, &world.controller, &nodes).await?;
    let wanted = sizes.iter().enumerate();
    let calls: Vec<(usize, String)> = wanted
        .flat_map(|(of, size)| std::iter::repeat_n(of, *size))
        .enumerate()
        .map(|(n, of)| {
            let from = format!("52{n:07}");
            let call = world.nodes[on(of)].call_in(DID, &from, &[]);
            (of, format!("{}-{call}", nodes[of]))
        })
        .collect();
    join(run, &world.controller, &made, &calls).await?;
    let rooms = made.into_iter().enumerate();
    let rooms = rooms.map(|(n, id)| (id, on(n))).collect();
    Ok(numbered(world, rooms, &calls))
}

/// Makes a room on each of these nodes; their ids, in this order.
///
/// # Errors
/// [`BenchError`] when the API refuses.
pub async fn make(
    run: &Run<'_>,
    controller: &Controller,
    nodes: &[String],
) -> Result<Vec<String>, BenchError> {
    run.says(format!("{} rooms are made", nodes.len()));
    let make = |(n, node): (usize, &String)| {
        let body = json!({ "name": format!("room-{n}"), "node": node });
        async move {
            let answer = ask(controller, "/conferences", &body).await?;
            Ok(answer["room_id"].as_str().unwrap_or_default().to_owned())
        }
    };
    at_once(nodes.iter().enumerate().map(make)).await
}

/// Lets each of these calls, once it is known, into the room whose place in `rooms` it names. Returns when the controller
/// says of each room that all are in.
///
/// # Errors
/// [`BenchError`] when the API refuses, or it does not come about in time.
pub async fn join(
    run: &Run<'_>,
    controller: &Controller,
    rooms: &[String],
    calls: &[(usize, String)],
) -> Result<(), BenchError> {
    run.says(format!("{} members join", calls.len()));
    let join = |(of, session): &(usize, String)| {
        let body = json!({ "room_id": rooms[*of], "muted": false });
        let session = session.clone();
        async move {
            until("a call is known", PATIENCE, async || {
                let (status, _) = get(controller, &format!("/sessions/{session}")).await?;
                Ok((status == 200).then_some(()))
            })
            .await?;
            let path = format!("/sessions/{session}/commands/conference/join");
            ask(controller, &path, &body).await
        }
    };
    let _joined: Vec<Value> = at_once(calls.iter().map(join)).await?;
    run.says("all members are in");
    let mut sizes = vec![0; rooms.len()];
    for (of, _) in calls {
        sizes[*of] += 1;
    }
    let full = |(id, size): (&String, usize)| {
        let path = format!("/conferences/{id}");
        async move {
            until("all members are in", PATIENCE, async || {
                let (_, body) = get(controller, &path).await?;
                Ok((body["members"] == size).then_some(()))
            })
            .await
        }
    };
    let _full: Vec<()> = at_once(rooms.iter().zip(sizes).map(full)).await?;
    Ok(())
}

/// Which number each member has at its node.
fn numbered(world: &World, made: Vec<(String, usize)>, calls: &[(usize, String)]) -> Vec<Room> {
    let mut numbers = HashMap::new();
    for (n, node) in world.nodes.iter().enumerate() {
        for room in node.snapshot().rooms {
            for member in room.members {
                numbers.insert(format!("{}-{}", node_id(n), member.uuid), member.id);
            }
        }
    }
    let mut rooms: Vec<Room> = made
        .into_iter()
        .map(|(id, node)| Room {
            id,
            node,
            members: Vec::new(),
        })
        .collect();
    for (of, session) in calls {
        if let Some(number) = numbers.get(session) {
            rooms[*of].members.push(Member {
                session: session.clone(),
                number: *number,
            });
        }
    }
    rooms
}

async fn at_once<T>(
    asked: impl Iterator<Item = impl Future<Output = Result<T, BenchError>>>,
) -> Result<Vec<T>, BenchError> {
    stream::iter(asked).buffered(AT_ONCE).try_collect().await
}

async fn get(controller: &Controller, path: &str) -> Result<(u16, Value), BenchError> {
    controller.ask(Method::GET, path, None).await
}

async fn ask(controller: &Controller, path: &str, body: &Value) -> Result<Value, BenchError> {
    let (status, answer) = controller.ask(Method::POST, path, Some(body)).await?;
    if (200..300).contains(&status) {
        Ok(answer)
    } else {
        let why = format!("POST {path} was answered with {status}: {answer}");
        Err(BenchError::Unexpected(why))
    }
}

/// An operator at a node's own console.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    connection: ConnId,
}

impl Operator {
    /// One who has logged in.
    pub fn at(node: &SimNode) -> Self {
        node.with_core(|core, now| {
            let connection = core.connect(now);
            core.handle_command(connection, &format!("auth {PASSWORD}"), now);
            core.poll_output(connection);
            Self { connection }
        })
    }

    /// Mutes and unmutes members, all at the same time; the node fires an event for each.
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
                // Its answers are read by nobody else.
                core.poll_output(self.connection);
            }
        });
    }
}

/// Every member of these rooms in turn, one of each room after the other: the first round mutes, the next unmutes.
#[derive(Debug)]
pub struct Rounds<'a> {
    rooms: Vec<&'a Room>,
    next: usize,
}

impl<'a> Rounds<'a> {
    /// From the first member on, none of whom is muted.
    pub fn new(rooms: impl IntoIterator<Item = &'a Room>) -> Self {
        let rooms = rooms.into_iter().collect();
        Self { rooms, next: 0 }
    }
}

impl<'a> Iterator for Rounds<'a> {
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
                    session: String::new(),
                    number: *number,
                })
                .collect(),
        }
    }

    #[test]
    fn each_member_is_muted_once_before_one_is_unmuted() {
        let rooms = [room("a", &[1, 2]), room("b", &[3, 4])];
        let told: Vec<(&str, u64, bool)> = Rounds::new(&rooms)
            .take(6)
            .map(|(room, member, mute)| (room.id.as_str(), member.number, mute))
            .collect();
        assert_eq!(
            told,
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
    fn nobody_is_muted_where_nobody_is() {
        assert_eq!(Rounds::new(&[]).count(), 0);
        assert_eq!(Rounds::new(&[room("a", &[])]).count(), 0);
    }
}
