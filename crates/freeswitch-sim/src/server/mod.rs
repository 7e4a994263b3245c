//! The simulated node on a TCP port, in real time.
//!
//! Owns sockets, the clock, and the faults that tests inject. Leaves out FreeSWITCH's behaviour: that is
//! [`core`](crate::core). One task drives the model, two more per connection read and write.
//!
//! A writer takes bytes out of the model only when the socket has accepted the last ones, so bytes that a client does
//! not read stay in the model's queue, which is bounded, and overflow there as in the real server.

mod config;
mod connection;
mod faults;
mod relays;
mod shared;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

pub use self::config::SimConfig;
use self::connection::{reject, serve};
pub use self::faults::Faults;
use self::faults::count;
use self::shared::{ConnectionEnd, Shared};
use crate::core::{Core, InboundCall, Media, Snapshot};

/// A running simulated node. It ends when this handle is dropped.
#[derive(Debug)]
pub struct SimNode {
    /// Its address, the same after a restart.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    /// Ends the node.
    end: CancellationToken,
    /// Ends accepting; a restart renews it.
    accepting: Mutex<CancellationToken>,
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn bind(addr: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(backlog)
}

impl SimNode {
    /// Starts a node.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        let listener = bind(config.listen, config.backlog)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(config));
        let end = CancellationToken::new();
        let accepting = end.child_token();
        tokio::spawn(
            end.clone()
                .run_until_cancelled_owned(drive(Arc::clone(&shared))),
        );
        tokio::spawn(accept(
            Arc::clone(&shared),
            listener,
            accepting.clone(),
            end.clone(),
        ));
        Ok(Self {
            addr,
            shared,
            end,
            accepting: Mutex::new(accepting),
        })
    }

    /// Makes these nodes reach each other by calls to these addresses.
    pub fn connect_relays(nodes: &[(&str, &Self)]) {
        let routes = nodes
            .iter()
            .map(|(address, node)| ((*address).to_owned(), Arc::downgrade(&node.shared)));
        let routes: BTreeMap<_, _> = routes.collect();
        for (_, node) in nodes {
            routes.clone_into(&mut node.shared.routes());
        }
    }

    /// Starts a call from outside, which is answered and parked. Returns its UUID at once; events follow.
    pub fn call_in(&self, did: &str, caller_number: &str, vars: &[(&str, &str)]) -> String {
        self.call_in_with(InboundCall {
            did: did.to_owned(),
            caller_name: caller_number.to_owned(),
            caller_number: caller_number.to_owned(),
            vars: vars
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            ..InboundCall::default()
        })
    }

    /// Starts a call from outside with its own plan in the dialplan.
    pub fn call_in_with(&self, call: InboundCall) -> String {
        self.shared.with(|core, now| core.call_in(call, now))
    }

    /// Hangs up a call from outside. Returns false if there is no such call.
    pub fn hang_up(&self, uuid: &str, cause: &str) -> bool {
        self.shared
            .with(|core, now| core.hang_up_call(uuid, cause, now))
    }

    /// Starts or stops the voice at the other end of a call.
    pub fn talk(&self, uuid: &str, speaks: bool) {
        self.shared.with(|core, now| core.talk(uuid, speaks, now));
    }

    /// Sets the duration of a file or URL, or that it cannot be opened.
    pub fn set_media(&self, path: &str, media: Media) {
        self.shared.with(|core, _| {
            core.config_mut().media.insert(path.to_owned(), media);
        });
    }

    /// Returns the true state of this node.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.with(|core, _| core.snapshot())
    }

    /// Runs `act` on the model, with the present time (microseconds since the Unix epoch).
    pub fn with_core<T>(&self, act: impl FnOnce(&mut Core, u64) -> T) -> T {
        self.shared.with(act)
    }

    /// Returns the counters of injected faults and their effects.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let core = self.shared.lock().core.counters();
        self.shared.faults.read(core)
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().links.len()
    }

    /// Cuts all connections; calls and conferences continue. `torn` cuts in the middle of a message. Returns the number
    /// of connections.
    pub fn drop_connections(&self, torn: bool) -> usize {
        self.cut_all(if torn {
            ConnectionEnd::Torn
        } else {
            ConnectionEnd::Between
        })
    }

    fn cut_all(&self, cut: ConnectionEnd) -> usize {
        let state = self.shared.lock();
        for link in state.links.values() {
            link.cut.send_replace(Some(cut));
        }
        state.links.len()
    }

    /// Kills the node with all its calls: connections end, and its port is closed.
    pub fn kill(&self) {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancel();
        self.cut_all(ConnectionEnd::Killed);
        self.shared.start_new_core();
    }

    /// Restarts the node on the same port: another `Core-UUID`, sequences and member ids from the start. A running node
    /// is killed first.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound again.
    pub async fn restart(&self) -> io::Result<()> {
        self.kill();
        let mut attempt = 0;
        // The last listener closes its socket in its own task, a moment later.
        let listener = loop {
            match bind(self.addr, self.shared.config.backlog) {
                Ok(listener) => break listener,
                Err(error) if attempt >= 200 => return Err(error),
                Err(_) => {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        let token = self.end.child_token();
        *self
            .accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = token.clone();
        tokio::spawn(accept(
            Arc::clone(&self.shared),
            listener,
            token,
            self.end.clone(),
        ));
        count(&self.shared.faults.restarts);
        Ok(())
    }

    /// Stops the node as a supervisor does: SHUTDOWN, hangups, notice, end. New connections are refused.
    pub fn shutdown_gracefully(&self) {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancel();
        count(&self.shared.faults.shutdowns);
        self.shared.with(Core::shut_down);
    }

    /// Inserts bytes between the events of all subscribed connections. Returns their number.
    pub fn send_garbage(&self, bytes: &[u8]) -> usize {
        let hit = self.shared.with(|core, _| {
            let listeners = core.listeners();
            for conn in &listeners {
                core.inject(*conn, bytes);
            }
            listeners.len()
        });
        self.shared
            .faults
            .garbage
            .fetch_add(hit as u64, Ordering::Relaxed);
        hit
    }

    /// Loses the next `n` events without a trace.
    pub fn drop_next_events(&self, n: u64) {
        self.shared.with(|core, _| core.drop_next_events(n));
    }

    /// Loses events about this conference or channel without a trace; `None` ends that.
    pub fn lose_events_about(&self, what: Option<&str>) {
        self.shared
            .with(|core, _| core.lose_events_about(what.map(str::to_owned)));
    }

    /// Stalls the node: it accepts connections, but reads and writes nothing.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.send_replace(stalled);
    }

    /// Refuses new connections with `text/rude-rejection`.
    pub fn refuse_acl(&self, refuse: bool) {
        self.shared.refuse.store(refuse, Ordering::Relaxed);
    }
}

/// Runs the work of the model when it is due.
async fn drive(shared: Arc<Shared>) {
    loop {
        let next = shared.advance();
        let pause = Duration::from_micros(next.unwrap_or(60_000_000));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.wake.notified() => {}
        }
    }
}

async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    accepting: CancellationToken,
    end: CancellationToken,
) {
    loop {
        let stream = tokio::select! {
            biased;
            () = accepting.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of descriptors, or the client has gone already: the node continues.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        count(&shared.faults.accepted);
        // A socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        if shared.refuse.load(Ordering::Relaxed) {
            count(&shared.faults.rejected);
            tokio::spawn(end.clone().run_until_cancelled_owned(reject(stream)));
        } else {
            tokio::spawn(
                end.clone()
                    .run_until_cancelled_owned(serve(Arc::clone(&shared), stream)),
            );
        }
    }
}
