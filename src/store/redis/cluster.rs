//! A Redis Cluster: the map of its slots, and a connection to each of its nodes.
//!
//! Keeps the map and follows redirections; [`connection`](super::connection) manages the connection to each node. Driven by
//! [`RedisStore`](super::RedisStore).
//!
//! # Why this is not left to redis-rs
//!
//! The cluster connection of redis-rs (1.8.1) was measured against this one:
//!
//! - During the migration of a slot it deadlocks with more than 100 requests in flight.
//! - It never leaves a node that hangs.
//! - It sends `ASKING` apart from the command that it is for, so another request can come between the two.
//! - It does not report new connections, after which this program must read its state again.
//!
//! # Rules
//!
//! A request has keys of one slot only, so it goes to the slot's node according to the map. The first request reads the map,
//! and so does the first one after a node has failed. Between these, answers correct it:
//!
//! - `MOVED`: the slot belongs to another node from now on.
//! - `ASK`: the slot is migrating, and the key has moved already. This request goes there, the next one does not.
//! - `TRYAGAIN`: the slot is migrating, and the keys are on both nodes, or this program cannot rule that out. The request
//!   waits. A script that uses undeclared keys does not run meanwhile: it would take a migrating list for an empty one, or
//!   Redis would stop it half-way.
//!
//! The known nodes are queried for the map at once. When more than half have answered, or the time is over, the answer of
//! the latest election counts. An isolated master stops by itself (within the cluster's `cluster-node-timeout`), so no code
//! watches for one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{Arg, Cmd, ErrorKind, RedisError, Value};
use tokio::time::Instant;

use super::address::Address;
use super::connect::{Access, Target};
use super::connection::{BACK_OFF, Fault, RedisOptions, Request, ServerConnection};
use super::health::{StoreHealth, has_code};

const SLOTS: u16 = 16384;

/// The pause before a request for a migrating slot is repeated.
const PAUSE: Duration = Duration::from_millis(10);

/// The number of redirections after which a request pauses: for a moment, two nodes can redirect to each other.
const REDIRECTIONS: u32 = 4;

/// The number of nodes queried for the map, enough for a cluster of any size.
const QUERIED: usize = 9;

/// The connections to a cluster.
pub(super) struct Cluster {
    /// The nodes of the URL, under their addresses in it.
    seeds: Vec<Arc<Node>>,
    /// The transport and the login for all nodes.
    access: Access,
    options: RedisOptions,
    /// The connections to all nodes.
    health: Arc<StoreHealth>,
    state: Mutex<State>,
    /// Held by the one call that reads the map.
    learning: tokio::sync::Mutex<()>,
}

struct State {
    /// The node of each slot.
    slots: Vec<Option<Arc<Node>>>,
    /// The nodes that have or had a slot since the map was read.
    nodes: HashMap<Address, Arc<Node>>,
    /// Nodes that failed since the map was read: before their next request, it is read again.
    suspects: HashSet<Address>,
    /// The last request for the map, and its error if it failed.
    last_query: Option<(Instant, Option<RedisError>)>,
    /// The index of the first node for the next request for the map.
    turn: usize,
}

struct Node {
    address: Address,
    connection: ServerConnection,
}

/// Ranges of slots, from the first to the last one, with their node.
type Map = Vec<(u16, u16, Address)>;

/// A node's view of the cluster.
struct MapReply {
    /// True if the node serves requests; an isolated one does not.
    is_up: bool,
    /// The latest election that it knows.
    epoch: u64,
    map: Map,
}

/// The reaction to a failed request.
enum Redirect {
    /// The slot has moved to this node.
    Moved(Address),
    /// Send this one request to this node.
    Ask(Address),
    /// Repeat the request after a pause.
    Wait,
    /// Read the map again, and repeat the request if the slot has another node.
    Learn,
    /// Return the error as the answer.
    Answer,
}

impl Node {
    fn new(
        address: Address,
        access: &Access,
        options: &RedisOptions,
        health: &Arc<StoreHealth>,
    ) -> Arc<Self> {
        let connection =
            ServerConnection::to_server(access.target(address.clone()), options, health);
        Arc::new(Self {
            address,
            connection,
        })
    }

    /// Queries the node's view of the cluster.
    async fn describe(&self, deadline: Instant) -> Result<MapReply, Fault> {
        let mut info = redis::cmd("CLUSTER");
        info.arg("INFO");
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let (info, slots) = tokio::try_join!(
            self.connection
                .send_by(deadline, Request::One(&info), false),
            self.connection
                .send_by(deadline, Request::One(&slots), false),
        )?;
        parse_map_reply(info, slots, &self.address).ok_or_else(|| {
            let error = (ErrorKind::UnexpectedReturnType, "not a node of a cluster");
            Fault::Answer(RedisError::from(error))
        })
    }
}

impl State {
    fn owner(&self, slot: u16) -> Option<Arc<Node>> {
        self.slots.get(usize::from(slot)).cloned().flatten()
    }

    /// Returns the slot's owner, unless it failed.
    fn trusted(&self, slot: u16) -> Option<Arc<Node>> {
        self.owner(slot)
            .filter(|node| !self.suspects.contains(&node.address))
    }

    fn assign(&mut self, from: u16, to: u16, node: &Arc<Node>) {
        for slot in from..=to.min(SLOTS - 1) {
            if let Some(owner) = self.slots.get_mut(usize::from(slot)) {
                *owner = Some(Arc::clone(node));
            }
        }
    }

    /// Returns the slot's owner, or the reason why it is unknown.
    fn known(&self, slot: u16) -> Result<Arc<Node>, Fault> {
        self.owner(slot).ok_or_else(|| {
            let error = match &self.last_query {
                Some((_, Some(error))) => error.clone(),
                _ => RedisError::from((ErrorKind::Io, "no node has the slot")),
            };
            Fault::Connect(error)
        })
    }
}

impl Cluster {
    /// Creates the cluster without connecting.
    pub(super) fn new(
        seeds: Vec<Address>,
        access: Access,
        options: &RedisOptions,
        health: &Arc<StoreHealth>,
    ) -> Self {
        Self {
            health: Arc::clone(health),
            seeds: seeds
                .into_iter()
                .map(|address| Node::new(address, &access, options, health))
                .collect(),
            access,
            options: options.clone(),
            state: Mutex::new(State {
                slots: vec![None; usize::from(SLOTS)],
                nodes: HashMap::new(),
                suspects: HashSet::new(),
                last_query: None,
                turn: 0,
            }),
            learning: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request to the node of its slot. It may be sent twice.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Value, Fault> {
        let deadline = Instant::now() + self.options.timeout;
        let slot = slot_of(request);
        let mut ask_node = None;
        let mut redirections = 0;
        loop {
            let (node, asking) = match ask_node.take() {
                Some(node) => (node, true),
                None => (self.owner(slot, deadline).await?, false),
            };
            let fault = match node.connection.send_by(deadline, request, asking).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            match redirect_for(&fault, &node.address) {
                Redirect::Moved(address) => {
                    let owner = self.node(address);
                    self.state().assign(slot, slot, &owner);
                    redirections += 1;
                }
                Redirect::Ask(address) => {
                    ask_node = Some(self.node(address));
                    redirections += 1;
                }
                Redirect::Wait => redirections = REDIRECTIONS,
                Redirect::Learn => {
                    self.state().suspects.insert(node.address.clone());
                    if Instant::now() >= deadline {
                        return Err(fault);
                    }
                    match self.owner(slot, deadline).await {
                        Ok(owner) if owner.address != node.address => redirections += 1,
                        _ => return Err(fault),
                    }
                }
                Redirect::Answer => return Err(fault),
            }
            if redirections >= REDIRECTIONS {
                redirections = 0;
                let next = Instant::now() + PAUSE;
                if next >= deadline {
                    return Err(fault);
                }
                tokio::time::sleep_until(next).await;
            }
        }
    }

    /// Returns the node that has this key, for a separate connection.
    pub(super) async fn target_for(&self, key: &str) -> Result<Target, Fault> {
        let deadline = Instant::now() + self.options.timeout;
        let node = self.owner(slot_of_key(key.as_bytes()), deadline).await?;
        node.connection.target().await
    }

    /// Returns the node at this address.
    fn node(&self, address: Address) -> Arc<Node> {
        let mut state = self.state();
        if let Some(node) = state.nodes.get(&address) {
            return Arc::clone(node);
        }
        let seed = self.seeds.iter().find(|seed| seed.address == address);
        let node = match seed {
            Some(seed) => Arc::clone(seed),
            None => Node::new(address.clone(), &self.access, &self.options, &self.health),
        };
        state.nodes.insert(address, Arc::clone(&node));
        node
    }

    /// Returns the owner of a slot. Reads the map first if there is none, or if the node failed.
    async fn owner(&self, slot: u16, deadline: Instant) -> Result<Arc<Node>, Fault> {
        if let Some(node) = self.state().trusted(slot) {
            return Ok(node);
        }
        let learn = async {
            let _only_one = self.learning.lock().await;
            {
                let state = self.state();
                if let Some(node) = state.trusted(slot) {
                    return Ok(node);
                }
                let is_fresh = |at: &Instant| at.elapsed() < BACK_OFF;
                if state
                    .last_query
                    .as_ref()
                    .is_some_and(|(at, _)| is_fresh(at))
                {
                    return state.known(slot);
                }
            }
            let error = match self.learn().await {
                Ok(map) => {
                    self.adopt(map);
                    None
                }
                Err(fault) => Some(fault),
            };
            let error = error.map(|fault| match fault {
                Fault::Connect(error) | Fault::Answer(error) => error,
                Fault::Timeout(_) => {
                    RedisError::from((ErrorKind::Io, "no node of the cluster answers"))
                }
            });
            let mut state = self.state();
            state.last_query = Some((Instant::now(), error));
            state.known(slot)
        };
        match tokio::time::timeout_at(deadline, learn).await {
            Ok(owner) => owner,
            Err(_) => Err(Fault::Timeout(self.options.timeout)),
        }
    }

    /// Queries the map; returns the last error if no node has it.
    async fn learn(&self) -> Result<Map, Fault> {
        let nodes = self.next_nodes();
        let timeout = self.options.query_timeout();
        let deadline = Instant::now() + timeout;
        let mut queries: FuturesUnordered<_> =
            nodes.iter().map(|node| node.describe(deadline)).collect();
        let mut replies: Vec<MapReply> = Vec::with_capacity(nodes.len());
        let mut fault = Fault::Timeout(timeout);
        // Each query ends at the deadline.
        while let Some(answer) = queries.next().await {
            match answer {
                Ok(reply) => replies.push(reply),
                Err(other) => fault = other,
            }
            if replies.len() > nodes.len() / 2 {
                break;
            }
        }
        let latest = replies
            .into_iter()
            .max_by_key(|reply| (reply.is_up, reply.epoch));
        latest.map(|reply| reply.map).ok_or(fault)
    }

    fn next_nodes(&self) -> Vec<Arc<Node>> {
        let mut state = self.state();
        let seeds = self.seeds.iter();
        let unknown = seeds.filter(|seed| !state.nodes.contains_key(&seed.address));
        let mut nodes: Vec<_> = state.nodes.values().chain(unknown).cloned().collect();
        let turn = state.turn % nodes.len().max(1);
        nodes.rotate_left(turn);
        state.turn = state.turn.wrapping_add(QUERIED);
        nodes.truncate(QUERIED);
        nodes
    }

    fn adopt(&self, map: Map) {
        let owners: Vec<_> = map
            .into_iter()
            .map(|(from, to, address)| (from, to, self.node(address)))
            .collect();
        let mut state = self.state();
        state.slots.fill(None);
        for (from, to, node) in &owners {
            state.assign(*from, *to, node);
        }
        let owners: HashSet<_> = owners.iter().map(|(_, _, node)| &node.address).collect();
        state.nodes.retain(|address, _| owners.contains(address));
        state.suspects.clear();
    }
}

fn redirect_for(fault: &Fault, from: &Address) -> Redirect {
    let error = match fault {
        Fault::Timeout(_) | Fault::Connect(_) => return Redirect::Learn,
        Fault::Answer(error) => error,
    };
    if let Some(address) = redirection(error, "MOVED", from) {
        Redirect::Moved(address)
    } else if let Some(address) = redirection(error, "ASK", from) {
        Redirect::Ask(address)
    } else if has_code(error, "TRYAGAIN") {
        Redirect::Wait
    } else if ["CLUSTERDOWN", "MASTERDOWN", "READONLY", "LOADING"]
        .iter()
        .any(|code| has_code(error, code))
        || error.is_unrecoverable_error()
        || error.is_io_error()
    {
        Redirect::Learn
    } else {
        Redirect::Answer
    }
}

/// Returns the node that this error redirects to, if it has this code.
fn redirection(error: &RedisError, code: &str, from: &Address) -> Option<Address> {
    let errors = error.clone().into_server_errors()?;
    let (_, error) = errors.iter().find(|(_, error)| error.code() == code)?;
    let (_slot, address) = error.details()?.split_once(' ')?;
    Address::from_redirect(address, from)
}

/// Parses the answers to `CLUSTER INFO` and `CLUSTER SLOTS`.
fn parse_map_reply(info: Value, slots: Value, from: &Address) -> Option<MapReply> {
    let info: String = redis::from_redis_value(info).ok()?;
    let field = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let ranges: Vec<Vec<Value>> = redis::from_redis_value(slots).ok()?;
    let map = ranges.into_iter().map(|range| owner_of_range(range, from));
    Some(MapReply {
        is_up: field("cluster_state") == Some("ok"),
        epoch: field("cluster_current_epoch")?.parse().ok()?,
        map: map.collect::<Option<_>>()?,
    })
}

/// Parses a range: first slot, last slot, the master, replicas.
fn owner_of_range(range: Vec<Value>, from: &Address) -> Option<(u16, u16, Address)> {
    let mut range = range.into_iter();
    let mut next = || range.next();
    let first = redis::from_redis_value(next()?).ok()?;
    let last = redis::from_redis_value(next()?).ok()?;
    let master: Vec<Value> = redis::from_redis_value(next()?).ok()?;
    let mut master = master.into_iter();
    let host: Option<String> = redis::from_redis_value(master.next()?).ok()?;
    let port = redis::from_redis_value(master.next()?).ok()?;
    // Nodes that do not know their own name send none, or a question mark.
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let host = host.unwrap_or_else(|| from.host.clone());
    Some((first, last, Address { host, port }))
}

/// Returns the slot of a request, which contains all of its keys.
fn slot_of(request: Request<'_>) -> u16 {
    let key = match request {
        Request::One(command) => first_key(command),
        Request::Atomic(pipeline) | Request::Several(pipeline) => {
            pipeline.cmd_iter().find_map(first_key)
        }
    };
    // A request without key goes to any node.
    key.map_or(0, slot_of_key)
}

fn first_key(command: &Cmd) -> Option<&[u8]> {
    let mut args = command.args_iter().map(|arg| match arg {
        Arg::Simple(bytes) => bytes,
        // Only SCAN has a cursor argument, and it is not sent here.
        Arg::Cursor | _ => &[],
    });
    match args.next()? {
        // The script and the number of keys are before the first one.
        b"EVAL" | b"EVALSHA" => args.nth(2),
        _ => args.next(),
    }
}

/// Computes CRC-16/XMODEM of the text in the first braces, or of the whole key if there is none.
fn slot_of_key(key: &[u8]) -> u16 {
    let tag = memchr::memchr(b'{', key).and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = memchr::memchr(b'}', rest)?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_match_those_of_redis() {
        for (key, slot) in [
            ("123456789", 0x31c3),
            ("rk1:{acW68}:lease", slot_of_key(b"acW68")),
            ("foo{}{bar}", slot_of_key(b"foo{}{bar}")),
            ("{user1000}.following", 3443),
            ("foo{{bar}}zap", slot_of_key(b"{bar")),
            ("foo", 12182),
            ("", 0),
        ] {
            assert_eq!(slot_of_key(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn script_key_follows_number_of_keys() {
        let mut script = redis::cmd("EVALSHA");
        script
            .arg("sha")
            .arg(2)
            .arg("{user1000}.a")
            .arg("{user1000}.b");
        assert_eq!(slot_of(Request::One(&script)), 3443);
        let mut pipe = redis::pipe();
        pipe.cmd("TIME").cmd("GET").arg("foo");
        assert_eq!(slot_of(Request::Atomic(&pipe)), 12182);
    }

    #[test]
    fn node_without_name_gets_host_of_queried_node() {
        let from = Address {
            host: "h1".to_owned(),
            port: 1,
        };
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |from, to, host, port| {
            let node = Value::Array(vec![host, Value::Int(port), text("id")]);
            Value::Array(vec![Value::Int(from), Value::Int(to), node])
        };
        let slots = Value::Array(vec![
            range(0, 9, text("10.0.0.1"), 7),
            range(10, 19, Value::Nil, 8),
            range(20, 29, text("?"), 9),
        ]);
        let info = text("cluster_state:ok\r\ncluster_current_epoch:6\r\n");
        let reply = parse_map_reply(info, slots, &from).unwrap();
        assert!(reply.is_up && reply.epoch == 6);
        let map: Vec<_> = reply
            .map
            .iter()
            .map(|(from, to, address)| format!("{from}-{to} {address}"))
            .collect();
        assert_eq!(map, ["0-9 10.0.0.1:7", "10-19 h1:8", "20-29 h1:9"]);
    }
}
