//! The open connections of a listener: the limit per address, and which connection is closed for a new one.
//!
//! A new connection is rarely refused. When its address or the whole listener has reached its limit, the oldest
//! connection that waits for a request and has never carried a valid key is closed instead. So clients that open
//! connections and send nothing close each other's, and a client with a key keeps its own. If all have carried a
//! key, the oldest idle one is closed; on a full listener, that of the address with the most idle connections.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::HeaderMap;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use super::client::client_of;
use super::head::RefusedHead;

/// The addresses that a request passed, as proxies write them: the client first, then the peer of each proxy.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// One connection; an extension of each of its requests.
#[derive(Debug)]
pub struct Connection {
    peer: IpAddr,
    is_trusted_proxy: bool,
    connections: Arc<Connections>,
    /// A request on it had a valid key.
    has_key: AtomicBool,
    /// A request on it is being answered.
    is_busy: AtomicBool,
    /// The next request replaces a head that was refused for this reason.
    refused: Mutex<Option<RefusedHead>>,
    pub(super) closed: CancellationToken,
}

impl Connection {
    fn new(peer: IpAddr, is_trusted_proxy: bool, connections: Arc<Connections>) -> Self {
        Self {
            peer,
            is_trusted_proxy,
            connections,
            has_key: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            refused: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Returns the address of the client that sent a request with these headers. Behind a trusted proxy, this is the
    /// last address of `X-Forwarded-For` that is not a trusted proxy itself.
    pub fn client(&self, headers: &HeaderMap) -> IpAddr {
        if !self.is_trusted_proxy {
            return self.peer;
        }
        let forwarded = headers.get_all(FORWARDED_FOR);
        let forwarded: Vec<&str> = forwarded
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let proxies = &self.connections.trusted_proxies;
        let mut client = self.peer;
        for text in forwarded.into_iter().rev() {
            // An invalid value does not come from a trusted proxy.
            let Ok(address) = text.trim().parse() else {
                break;
            };
            client = address;
            if !proxies.contains(address) {
                break;
            }
        }
        client
    }

    /// The attempts of all addresses on its listener.
    pub fn attempts(&self) -> &Attempts {
        &self.connections.attempts
    }

    /// Protects the connection from being closed for a new one: a request on it had a valid key.
    pub fn keep(&self) {
        self.has_key.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }

    pub(super) fn refuse_next(&self, refusal: RefusedHead) {
        *self.refused() = Some(refusal);
    }

    pub(super) fn take_refusal(&self) -> Option<RefusedHead> {
        self.refused().take()
    }

    fn refused(&self) -> MutexGuard<'_, Option<RefusedHead>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        !self.is_busy.load(Ordering::Relaxed)
    }

    fn has_key(&self) -> bool {
        self.has_key.load(Ordering::Relaxed)
    }
}

/// The networks of trusted proxies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Wraps a list of networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// True if this address is a trusted proxy's.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    per_address: usize,
    trusted_proxies: TrustedProxies,
    attempts: Attempts,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// In the order of their creation.
    all: BTreeMap<u64, Arc<Connection>>,
    by_client: HashMap<IpAddr, BTreeSet<u64>>,
}

/// A connection in the table, removed when dropped.
#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    pub(super) connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.table().remove(self.id);
    }
}

impl Connections {
    pub(super) fn new(
        per_address: usize,
        trusted_proxies: TrustedProxies,
        attempts: Attempts,
    ) -> Self {
        Self {
            per_address,
            trusted_proxies,
            attempts,
            table: Mutex::default(),
        }
    }

    /// Adds a new connection, and returns whether another one of its address was closed for it. `None`: its address has
    /// reached its limit, and all its connections are in use.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<(Entry, bool)> {
        let is_trusted_proxy = self.trusted_proxies.contains(peer);
        let mut table = self.table();
        let client = client_of(peer);
        let count = table.by_client.get(&client).map_or(0, BTreeSet::len);
        let is_full = !is_trusted_proxy && count >= self.per_address;
        if is_full && !table.close_oldest(Some(client)) {
            return None;
        }
        let id = table.next;
        table.next += 1;
        let connection = Arc::new(Connection::new(peer, is_trusted_proxy, Arc::clone(self)));
        table.all.insert(id, Arc::clone(&connection));
        if !is_trusted_proxy {
            table.by_client.entry(client).or_default().insert(id);
        }
        let entry = Entry {
            id,
            connection,
            connections: Arc::clone(self),
        };
        Some((entry, is_full))
    }

    /// Closes one idle connection other than this one. `false`: all are in use.
    pub(super) fn close_idle(&self, except: &Entry) -> bool {
        // Without a request it would be a candidate itself.
        except.connection.set_busy(true);
        let has_closed = self.table().close_oldest(None);
        except.connection.set_busy(false);
        has_closed
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn close_oldest(&mut self, client: Option<IpAddr>) -> bool {
        let is_idle = |id: &u64| self.all.get(id).is_some_and(|one| one.is_idle());
        let is_without_key =
            |id: &u64| is_idle(id) && self.all.get(id).is_some_and(|one| !one.has_key());
        let of_client = |client: IpAddr| self.by_client.get(&client).into_iter().flatten().copied();
        let oldest = match client {
            Some(client) => of_client(client)
                .find(is_without_key)
                .or_else(|| of_client(client).find(is_idle)),
            None => self.all.keys().copied().find(is_without_key).or_else(|| {
                let idle = |client: &IpAddr| of_client(*client).filter(is_idle).count();
                let largest = self.by_client.keys().copied().max_by_key(idle);
                largest
                    .and_then(|client| of_client(client).find(is_idle))
                    // All connections are proxies'.
                    .or_else(|| self.all.keys().copied().find(is_idle))
            }),
        };
        let Some(id) = oldest else {
            return false;
        };
        // It no longer counts, although its task may take a moment to end.
        if let Some(connection) = self.remove(id) {
            connection.closed.cancel();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Connection>> {
        let connection = self.all.remove(&id)?;
        let client = client_of(connection.peer);
        if let Some(ids) = self.by_client.get_mut(&client) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_client.remove(&client);
            }
        }
        Some(connection)
    }
}

/// Memory for incomplete heads, shared by all connections of a listener.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// The bytes that all incomplete heads share beyond their own allowance. Ordinary heads need none of them.
const BUDGET: usize = 16 * 1024 * 1024;

/// The allowance of each incomplete head, in bytes.
const FREE: usize = 4 * 1024;

/// A connection's part of the budget, released when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.reset();
    }
}

impl Charge {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Reserves the bytes for a head of this length; `false` if the budget is exhausted.
    pub(super) fn cover(&mut self, length: usize) -> bool {
        let more = length.saturating_sub(FREE).saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let before = self.budget.0.fetch_add(more, Ordering::Relaxed);
        if before + more > BUDGET {
            self.budget.0.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }

    /// Releases all reserved bytes.
    pub(super) fn reset(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.budget.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(per_address: usize) -> Arc<Connections> {
        let proxies = TrustedProxies::new(vec!["10.9.0.0/16".parse().unwrap()]);
        Arc::new(Connections::new(
            per_address,
            proxies,
            Attempts::new("test"),
        ))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn new_connection_closes_oldest_idle_one_of_its_address() {
        let connections = connections(2);
        let (a, b) = (address("192.0.2.1"), address("192.0.2.2"));
        let (other, _) = connections.enter(b).unwrap();
        let (with_key, _) = connections.enter(a).unwrap();
        with_key.connection.keep();
        let (idle, closed) = connections.enter(a).unwrap();
        assert!(!closed);
        let (busy, closed) = connections.enter(a).unwrap();
        assert!(closed);
        assert!(idle.connection.closed.is_cancelled());
        busy.connection.set_busy(true);
        for kept in [&other, &with_key, &busy] {
            assert!(!kept.connection.closed.is_cancelled());
        }
        // No other connection is idle.
        let (last, closed) = connections.enter(a).unwrap();
        assert!(closed);
        assert!(with_key.connection.closed.is_cancelled());
        last.connection.set_busy(true);
        assert!(connections.enter(a).is_none(), "both are in use");
        assert!(!other.connection.closed.is_cancelled());
        drop(busy);
        assert!(connections.enter(a).is_some());
    }

    #[test]
    fn full_listener_closes_connection_of_address_with_most() {
        let connections = connections(10);
        let enter = |last: u8| {
            let (entry, _) = connections.enter(IpAddr::from([192, 0, 2, last])).unwrap();
            entry.connection.keep();
            entry
        };
        let (first, many) = (enter(1), [enter(2), enter(2), enter(2)]);
        let newest = enter(3);
        assert!(connections.close_idle(&newest));
        assert!(many[0].connection.closed.is_cancelled());
        let without_key = enter(1);
        without_key
            .connection
            .has_key
            .store(false, Ordering::Relaxed);
        assert!(connections.close_idle(&newest));
        assert!(without_key.connection.closed.is_cancelled());
        assert!(!first.connection.closed.is_cancelled());
    }

    #[test]
    fn proxies_are_not_limited_by_address() {
        let connections = connections(1);
        let proxy = address("::ffff:10.9.1.1");
        let entries: Vec<_> = (0..3).map(|_| connections.enter(proxy).unwrap()).collect();
        assert!(entries.iter().all(|(_, closed)| !closed));
        let connection = &entries[0].0.connection;
        let client = |forwarded: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, forwarded.parse().unwrap());
            connection.client(&headers).to_string()
        };
        assert_eq!(
            client("198.51.100.1, 192.0.2.7, 10.9.2.2"),
            "192.0.2.7",
            "the client controls the text before its own address"
        );
        assert_eq!(client("nonsense, 10.9.2.2"), "10.9.2.2");
        assert_eq!(client("nonsense"), proxy.to_string());
        // On a full listener, idle ones are closed like others.
        assert!(connections.close_idle(&entries[2].0));
        assert!(entries[0].0.connection.closed.is_cancelled());
    }

    #[test]
    fn client_is_identified_by_its_ipv6_network() {
        assert_eq!(
            client_of(address("2001:db8::1")),
            client_of(address("2001:db8::ffff:1"))
        );
        assert_ne!(
            client_of(address("2001:db8::1")),
            client_of(address("2001:db8:0:1::1"))
        );
        assert_eq!(client_of(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn dropped_charge_releases_its_bytes() {
        let budget = Arc::<Budget>::default();
        let mut all = Charge::new(Arc::clone(&budget));
        assert!(all.cover(BUDGET + FREE));
        let mut other = Charge::new(Arc::clone(&budget));
        assert!(other.cover(FREE));
        assert!(!other.cover(FREE + 1));
        drop(all);
        assert!(other.cover(FREE + 1));
    }
}
