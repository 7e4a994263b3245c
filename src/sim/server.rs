//! The simulated node on a TCP port, in real time.
//!
//! Owns sockets, the clock, and the faults that tests inject. Leaves out all that FreeSWITCH does: that is
//! [`core`](super::core). One task drives the model, two more per connection read and write.
//!
//! A writer takes bytes out of the model only when the socket has taken the last ones, so what a client does
//! not read stays in the model's queue, which is bounded, and overflows there as it does in the real server.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::core::{
    ConnId, Core, Counters, InboundCall, Media, MediaPace, NodeConfig, SeededIds, Snapshot,
};

/// How much a writer takes at once.
const CHUNK: usize = 64 * 1024;
/// What a client sees of an event when its connection is cut in the middle of one.
const TORN_FRAME: &[u8] =
    b"Content-Length: 512\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\nCore-UU";
const REJECTION: &[u8] =
    b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n";

/// How to start a simulated node.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Seed of all identifiers.
    pub seed: u64,
    /// Up to a frame of jitter on all that waits for media; the steps of different calls then interleave
    /// differently with every seed.
    pub jitter: bool,
    /// The backlog of the listening socket. The real server's is 5.
    pub backlog: u32,
    /// The node itself.
    pub node: NodeConfig,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1,
            jitter: false,
            backlog: 5,
            node: NodeConfig::default(),
        }
    }
}

/// How often each fault was injected, as seen from the outside, and what the model itself counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections cut between messages.
    pub cut: u64,
    /// Connections cut in the middle of a message.
    pub torn: u64,
    /// Connections that ended because the node was killed.
    pub killed: u64,
    /// Restarts.
    pub restarts: u64,
    /// Graceful shutdowns begun.
    pub shutdowns: u64,
    /// Event connections that got bytes which no server would send.
    pub garbage: u64,
    /// Chunks read or written late because the node stalled.
    pub stalled: u64,
    /// Connections refused with `text/rude-rejection`.
    pub rejected: u64,
    /// What the model counts in the node's present life.
    pub core: Counters,
}

#[derive(Debug, Default)]
struct FaultCounters {
    accepted: AtomicU64,
    cut: AtomicU64,
    torn: AtomicU64,
    killed: AtomicU64,
    restarts: AtomicU64,
    shutdowns: AtomicU64,
    garbage: AtomicU64,
    stalled: AtomicU64,
    rejected: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How a connection ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Between,
    Torn,
    Killed,
}

#[derive(Debug)]
struct Link {
    output: Arc<Notify>,
    cut: watch::Sender<Option<Cut>>,
}

#[derive(Debug)]
struct State {
    core: Core,
    links: BTreeMap<ConnId, Link>,
    lives: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the task that drives the model: something may have become due.
    wake: Notify,
    stalled: watch::Sender<bool>,
    refuse: AtomicBool,
    faults: FaultCounters,
    epoch: u64,
    begin: Instant,
    config: SimConfig,
}

impl Shared {
    /// A panic elsewhere must not hide behind a poisoned lock: the state is used as it is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.epoch + u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
    }

    /// Does something with the model at the present time, then has the consequences sent.
    fn with<T>(&self, act: impl FnOnce(&mut Core, u64) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        state.core.advance(now);
        let outcome = act(&mut state.core, now);
        for (id, link) in &state.links {
            if state.core.has_output(*id) || state.core.is_closed(*id) {
                link.output.notify_one();
            }
        }
        drop(state);
        self.wake.notify_one();
        outcome
    }
}

/// A running simulated node. It ends when this handle is dropped.
#[derive(Debug)]
pub struct SimNode {
    /// Where it listens, also after a restart.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    /// Ends everything.
    end: CancellationToken,
    /// Ends accepting; renewed by a restart.
    accepting: Mutex<CancellationToken>,
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn new_core(config: &SimConfig, life: u64, now: u64) -> Core {
    // Each life has identifiers of its own.
    let seed = config.seed.wrapping_mul(1_000_003).wrapping_add(life);
    let pace = if config.jitter {
        MediaPace::jittered(seed)
    } else {
        MediaPace::default()
    };
    Core::new(
        config.node.clone(),
        Box::new(SeededIds::new(seed)),
        Box::new(pace),
        now,
    )
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
    /// When the address cannot be listened on.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        let listener = bind(config.listen, config.backlog)?;
        let addr = listener.local_addr()?;
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let epoch = u64::try_from(epoch.as_micros()).unwrap_or_default();
        let core = new_core(&config, 0, epoch);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                core,
                links: BTreeMap::new(),
                lives: 0,
            }),
            wake: Notify::new(),
            stalled: watch::Sender::new(false),
            refuse: AtomicBool::new(false),
            faults: FaultCounters::default(),
            epoch,
            begin: Instant::now(),
            config,
        });
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

    /// A call comes in from outside, is answered and parked. Returns its UUID at once; events follow.
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

    /// A call comes in from outside, and the dialplan does with it what the call says.
    pub fn call_in_with(&self, call: InboundCall) -> String {
        self.shared.with(|core, now| core.call_in(call, now))
    }

    /// Somebody outside hangs up. False: there is no such call.
    pub fn hang_up(&self, uuid: &str, cause: &str) -> bool {
        self.shared
            .with(|core, now| core.hang_up_call(uuid, cause, now))
    }

    /// Somebody at the other end of a call starts or stops to speak.
    pub fn talk(&self, uuid: &str, speaks: bool) {
        self.shared.with(|core, now| core.talk(uuid, speaks, now));
    }

    /// Sets how long a file or URL sounds, or that it cannot be opened.
    pub fn set_media(&self, path: &str, media: Media) {
        self.shared.with(|core, _| {
            core.config_mut().media.insert(path.to_owned(), media);
        });
    }

    /// What is true on this node now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.with(|core, _| core.snapshot())
    }

    /// Does anything else with the model, at the time given to `act` (microseconds since the Unix epoch).
    pub fn with_core<T>(&self, act: impl FnOnce(&mut Core, u64) -> T) -> T {
        self.shared.with(act)
    }

    /// What was injected so far, and what came of it.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let faults = &self.shared.faults;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Faults {
            accepted: read(&faults.accepted),
            cut: read(&faults.cut),
            torn: read(&faults.torn),
            killed: read(&faults.killed),
            restarts: read(&faults.restarts),
            shutdowns: read(&faults.shutdowns),
            garbage: read(&faults.garbage),
            stalled: read(&faults.stalled),
            rejected: read(&faults.rejected),
            core: self.shared.lock().core.counters(),
        }
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().links.len()
    }

    /// Cuts all connections; calls and conferences live on. `torn`: in the middle of a message.
    /// Returns how many were cut.
    pub fn drop_connections(&self, torn: bool) -> usize {
        self.cut_all(if torn { Cut::Torn } else { Cut::Between })
    }

    fn cut_all(&self, cut: Cut) -> usize {
        let state = self.shared.lock();
        for link in state.links.values() {
            link.cut.send_replace(Some(cut));
        }
        state.links.len()
    }

    /// The node is gone at once, with all its calls: connections end, and nobody listens on its port.
    pub fn kill(&self) {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancel();
        self.cut_all(Cut::Killed);
        self.renew();
    }

    fn renew(&self) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.lives += 1;
        state.core = new_core(&self.shared.config, state.lives, now);
        state.links.clear();
        drop(state);
        self.shared.wake.notify_one();
    }

    /// The node comes back on the same port: another `Core-UUID`, sequences and member ids from the start.
    /// One that lives is killed first.
    ///
    /// # Errors
    ///
    /// When the port cannot be listened on again.
    pub async fn restart(&self) -> io::Result<()> {
        self.kill();
        let mut attempt = 0;
        // The last listener closes its socket in a task of its own, a moment later.
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

    /// The node stops as a supervisor stops it: SHUTDOWN, hangups, notice, end. Nobody gets in any more.
    pub fn shutdown_gracefully(&self) {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancel();
        count(&self.shared.faults.shutdowns);
        self.shared.with(Core::shut_down);
    }

    /// Puts bytes between the events of all connections that listen. Returns on how many.
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

    /// The next `n` events are lost, and nothing tells of it.
    pub fn drop_next_events(&self, n: u64) {
        self.shared.with(|core, _| core.drop_next_events(n));
    }

    /// Events about this conference or channel are lost, and nothing tells of it; `None`: no more are.
    pub fn lose_events_about(&self, what: Option<&str>) {
        self.shared
            .with(|core, _| core.lose_events_about(what.map(str::to_owned)));
    }

    /// While stalled, connections are accepted but nothing is read or written.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.send_replace(stalled);
    }

    /// While refused, new connections get `text/rude-rejection` and are closed.
    pub fn refuse_acl(&self, refuse: bool) {
        self.shared.refuse.store(refuse, Ordering::Relaxed);
    }
}

/// Lets the model do what is due.
async fn drive(shared: Arc<Shared>) {
    loop {
        let next = {
            let now = shared.now();
            let mut state = shared.lock();
            state.core.advance(now);
            for (id, link) in &state.links {
                if state.core.has_output(*id) || state.core.is_closed(*id) {
                    link.output.notify_one();
                }
            }
            state.core.next_wakeup().map(|at| at.saturating_sub(now))
        };
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
                // Out of descriptors, or the client was gone already: neither is the node's end.
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

async fn reject(mut stream: TcpStream) {
    // The client may be gone; there is nobody to tell.
    let _ = stream.write_all(REJECTION).await;
    let _ = stream.shutdown().await;
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let output = Arc::new(Notify::new());
    let (cut, mut cut_seen) = watch::channel(None);
    let (id, life) = {
        let now = shared.now();
        let mut state = shared.lock();
        let id = state.core.connect(now);
        state.links.insert(
            id,
            Link {
                output: Arc::clone(&output),
                cut,
            },
        );
        (id, state.lives)
    };
    shared.wake.notify_one();
    let (reader, mut writer) = stream.into_split();
    let outcome = {
        let reading = read(Arc::clone(&shared), reader, id, life);
        let writing = write(&shared, &mut writer, id, life, &output);
        tokio::pin!(reading, writing);
        loop {
            tokio::select! {
                biased;
                changed = cut_seen.changed() => {
                    let seen = *cut_seen.borrow();
                    match (changed, seen) {
                        (_, Some(cut)) => break Some(cut),
                        // The other end of the channel went with the node's last life.
                        (Err(_), None) => break Some(Cut::Killed),
                        (Ok(()), None) => {}
                    }
                }
                // A client that has closed its side is not served any more, as by the real server.
                () = &mut reading => break None,
                () = &mut writing => break None,
            }
        }
    };
    match outcome {
        Some(Cut::Torn) => {
            count(&shared.faults.torn);
            let _ = writer.write_all(TORN_FRAME).await;
        }
        Some(Cut::Between) => count(&shared.faults.cut),
        Some(Cut::Killed) => count(&shared.faults.killed),
        None => {}
    }
    {
        let mut state = shared.lock();
        if state.lives == life {
            state.core.disconnect(id);
            state.links.remove(&id);
        }
    }
    let _ = writer.shutdown().await;
}

/// Waits while the node stalls.
async fn unless_stalled(shared: &Shared) {
    let mut stalled = shared.stalled.subscribe();
    if *stalled.borrow() {
        count(&shared.faults.stalled);
        // An error means that the node is gone, which ends the connection elsewhere.
        let _ = stalled.wait_for(|stalled| !*stalled).await;
    }
}

async fn read(shared: Arc<Shared>, mut reader: OwnedReadHalf, id: ConnId, life: u64) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                unless_stalled(&shared).await;
                if shared.lock().lives != life {
                    return;
                }
                shared.with(|core, now| core.handle_bytes(id, &buffer[..length], now));
            }
        }
    }
}

async fn write(
    shared: &Shared,
    writer: &mut OwnedWriteHalf,
    id: ConnId,
    life: u64,
    output: &Notify,
) {
    loop {
        unless_stalled(shared).await;
        let (chunk, closed) = {
            let mut state = shared.lock();
            if state.lives != life {
                return;
            }
            let chunk = state.core.poll_output_up_to(id, CHUNK);
            (chunk, state.core.is_closed(id))
        };
        if !chunk.is_empty() {
            if writer.write_all(&chunk).await.is_err() {
                return;
            }
        } else if closed {
            return;
        } else {
            output.notified().await;
        }
    }
}
