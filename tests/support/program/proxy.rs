//! A proxy to a node that simulates network faults: it holds back, drops, changes or tears messages, and cuts or
//! black-holes connections.
//!
//! Owns the split of the node's stream into messages, and the rules for them. All other messages pass unchanged. So
//! events about different objects may overtake each other, as those of FreeSWITCH do.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::poll;

/// The queue of messages to one client. It is unbounded, because a release must not wait and tests are short.
type ClientQueue = mpsc::UnboundedSender<Output>;

/// Output to the client.
enum Output {
    Message(Vec<u8>),
    /// The end of the connection.
    End,
}

/// The treatment of a message.
pub enum Change {
    Pass,
    Lose,
    /// Sends half of the message, then ends the connection.
    Tear,
    /// Sends these messages instead.
    Instead(Vec<Vec<u8>>),
}

enum Action {
    Hold {
        matches: Box<dyn Fn(&str) -> bool + Send>,
        held: Vec<(ClientQueue, Vec<u8>)>,
    },
    Change(Box<dyn FnMut(&str) -> Change + Send>),
}

struct Rule {
    id: u64,
    action: Action,
    /// The number of matched messages.
    hits: usize,
}

#[derive(Default)]
struct Rules {
    next: u64,
    rules: Vec<Rule>,
    /// Replaces the next `api` command to the node.
    replacement: Option<String>,
}

/// The affected connections. The proxy recognizes the event connection by its subscription to HEARTBEAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    Events,
    Commands,
    Both,
}

/// The state of a whole connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LinkState {
    Open,
    /// Both ends stay open, and nothing passes.
    BlackHoled,
    Cut,
}

/// One proxied connection.
struct Link {
    events: bool,
    state: watch::Sender<LinkState>,
}

impl Rules {
    fn find(&mut self, id: u64) -> Option<&mut Rule> {
        self.rules.iter_mut().find(|rule| rule.id == id)
    }

    fn add(&mut self, action: Action) -> u64 {
        let id = self.next;
        self.next += 1;
        self.rules.push(Rule {
            id,
            action,
            hits: 0,
        });
        id
    }

    fn end(&mut self, id: u64) -> Vec<(ClientQueue, Vec<u8>)> {
        let index = self.rules.iter().position(|rule| rule.id == id);
        match index.map(|index| self.rules.remove(index).action) {
            Some(Action::Hold { held, .. }) => held,
            Some(Action::Change(_)) | None => Vec::new(),
        }
    }

    /// Applies the rules to a message and writes the result to the client. Returns `false` when the connection has
    /// ended.
    fn apply(&mut self, client: &ClientQueue, message: Vec<u8>) -> bool {
        let text = String::from_utf8_lossy(&message);
        for rule in &mut self.rules {
            match &mut rule.action {
                Action::Hold { matches, held } => {
                    if matches(&text) {
                        rule.hits += 1;
                        held.push((client.clone(), message));
                        return true;
                    }
                }
                Action::Change(change) => match change(&text) {
                    Change::Pass => {}
                    Change::Lose => {
                        rule.hits += 1;
                        return true;
                    }
                    Change::Tear => {
                        rule.hits += 1;
                        let half = message[..message.len() / 2].to_vec();
                        return client.send(Output::Message(half)).is_ok()
                            && client.send(Output::End).is_ok();
                    }
                    Change::Instead(messages) => {
                        rule.hits += 1;
                        let mut messages = messages.into_iter();
                        return messages
                            .all(|message| client.send(Output::Message(message)).is_ok());
                    }
                },
            }
        }
        client.send(Output::Message(message)).is_ok()
    }
}

type Links = Arc<Mutex<Vec<Link>>>;

pub struct Proxy {
    pub address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    links: Links,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A rule that holds messages back until they are released or lost. Drop releases them.
pub struct Hold {
    id: u64,
    rules: Arc<Mutex<Rules>>,
}

impl Proxy {
    /// Starts a proxy to this node.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::<Mutex<Rules>>::default();
        let links = Links::default();
        let (shared_rules, shared_links) = (Arc::clone(&rules), Arc::clone(&links));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(carry(
                    client,
                    to,
                    Arc::clone(&shared_rules),
                    Arc::clone(&shared_links),
                ));
                // Remove finished connections.
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            rules,
            links,
            task,
        }
    }

    /// Applies a function to each message of the node from now on.
    pub fn change(&self, change: impl FnMut(&str) -> Change + Send + 'static) -> ActiveChange {
        let action = Action::Change(Box::new(change));
        ActiveChange {
            id: self.rules.lock().unwrap().add(action),
            rules: Arc::clone(&self.rules),
        }
    }

    /// Replaces the next `api` command to the node on any connection.
    pub fn replace_command(&self, api: &str) {
        self.rules.lock().unwrap().replacement = Some(format!("api {api}\n\n"));
    }

    /// True if the replacement was sent.
    pub fn has_replaced(&self) -> bool {
        self.rules.lock().unwrap().replacement.is_none()
    }

    /// Closes these connections at once. Returns their number.
    pub fn cut(&self, which: Which) -> usize {
        self.set_state(which, LinkState::Cut)
    }

    /// Silently stops all traffic of these connections. New connections work. Returns their number.
    pub fn black_hole(&self, which: Which) -> usize {
        self.set_state(which, LinkState::BlackHoled)
    }

    /// The number of open event connections.
    pub fn open_event_connections(&self) -> usize {
        let links = self.links.lock().unwrap();
        let is_open = |link: &&Link| {
            link.state.receiver_count() > 0 && *link.state.borrow() == LinkState::Open
        };
        links
            .iter()
            .filter(|link| link.events)
            .filter(is_open)
            .count()
    }

    fn set_state(&self, which: Which, state: LinkState) -> usize {
        let mut links = self.links.lock().unwrap();
        // Black-holed connections keep their state, and ended ones are removed.
        links.retain(|link| {
            link.state.receiver_count() > 0 && *link.state.borrow() == LinkState::Open
        });
        let mut changed = 0;
        for link in links.iter() {
            let matches = match which {
                Which::Events => link.events,
                Which::Commands => !link.events,
                Which::Both => true,
            };
            if matches {
                link.state.send_replace(state);
                changed += 1;
            }
        }
        changed
    }

    /// Holds back every matching event from now on.
    pub fn hold_events(&self, matches: impl Fn(&str) -> bool + Send + 'static) -> Hold {
        self.hold(move |message| message.contains("text/event-plain") && matches(message))
    }

    /// Holds back every answer to a command from now on.
    pub fn hold_answers(&self) -> Hold {
        self.hold(|message| {
            ["api/response", "command/reply"]
                .iter()
                .any(|kind| message.starts_with(&format!("Content-Type: {kind}")))
        })
    }

    fn hold(&self, matches: impl Fn(&str) -> bool + Send + 'static) -> Hold {
        let action = Action::Hold {
            matches: Box::new(matches),
            held: Vec::new(),
        };
        Hold {
            id: self.rules.lock().unwrap().add(action),
            rules: Arc::clone(&self.rules),
        }
    }
}

/// A rule that changes messages until it is dropped.
pub struct ActiveChange {
    id: u64,
    rules: Arc<Mutex<Rules>>,
}

impl ActiveChange {
    /// The number of messages that did not pass unchanged.
    pub fn hits(&self) -> usize {
        let mut rules = self.rules.lock().unwrap();
        rules.find(self.id).expect("the rule is there").hits
    }
}

impl Drop for ActiveChange {
    fn drop(&mut self) {
        self.rules.lock().unwrap().end(self.id);
    }
}

impl Hold {
    /// Waits until a message with this text is held back.
    pub async fn until_held(&self, text: &str) {
        let what = format!("a message with {text:?} is held back");
        poll::until(&what, poll::TIMEOUT, async || {
            let mut rules = self.rules.lock().unwrap();
            let rule = rules.find(self.id).expect("the rule is there");
            let Action::Hold { held, .. } = &rule.action else {
                panic!("the rule does not hold messages back");
            };
            let held = held.iter();
            held.map(|(_, message)| String::from_utf8_lossy(message))
                .any(|message| message.contains(text))
                .then_some(())
        })
        .await;
    }

    /// Sends the held messages in their order and ends the rule.
    pub fn release(self) {
        drop(self);
    }

    /// Discards the held messages and ends the rule.
    pub fn lose(self) {
        self.rules.lock().unwrap().end(self.id);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Under the lock, so that newer messages cannot overtake the held ones.
        let mut rules = self.rules.lock().unwrap();
        for (client, message) in rules.end(self.id) {
            // The connection may have ended.
            let _ = client.send(Output::Message(message));
        }
    }
}

async fn carry(client: TcpStream, to: SocketAddr, rules: Arc<Mutex<Rules>>, links: Links) {
    let Ok(node) = TcpStream::connect(to).await else {
        return;
    };
    // A socket that refuses the option still works.
    let _ = client.set_nodelay(true);
    let _ = node.set_nodelay(true);
    let (state, mut changes) = watch::channel(LinkState::Open);
    let (mut from_client, mut to_client) = client.into_split();
    let (from_node, mut to_node) = node.into_split();
    let (queue, mut messages) = mpsc::unbounded_channel();
    let commands = async {
        let mut state = Some(state);
        let mut sent = Vec::new();
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let n = from_client.read(&mut bytes).await?;
            if n == 0 {
                return io::Result::Ok(());
            }
            if state.is_some() {
                sent.extend_from_slice(&bytes[..n]);
                let sent = String::from_utf8_lossy(&sent);
                let subscription = sent.split("event plain ").nth(1);
                if let Some(events) = subscription.filter(|events| events.contains("\n\n"))
                    && let Some(state) = state.take()
                {
                    let events = events.contains("HEARTBEAT");
                    links.lock().unwrap().push(Link { events, state });
                }
            }
            // A client writes whole commands.
            let replacement = bytes[..n]
                .starts_with(b"api ")
                .then(|| rules.lock().unwrap().replacement.take())
                .flatten();
            let mut rest = &bytes[..n];
            if let Some(replacement) = replacement {
                to_node.write_all(replacement.as_bytes()).await?;
                let end = rest.windows(2).position(|two| two == b"\n\n");
                rest = end.map_or(&[], |end| &rest[end + 2..]);
            }
            to_node.write_all(rest).await?;
        }
    };
    let reading = read(from_node, queue, &rules);
    let writing = async {
        while let Some(Output::Message(message)) = messages.recv().await {
            to_client.write_all(&message).await?;
        }
        io::Result::Ok(())
    };
    let stopped = async {
        // A connection is open until it has subscribed and a test changes its state.
        let stopped = changes.wait_for(|state| *state != LinkState::Open).await;
        match stopped.map(|state| *state) {
            Ok(LinkState::BlackHoled) => LinkState::BlackHoled,
            Ok(LinkState::Cut) => LinkState::Cut,
            Ok(LinkState::Open) | Err(_) => std::future::pending().await,
        }
    };
    // The end of either side ends both.
    let state = tokio::select! {
        _ = commands => LinkState::Cut,
        _ = writing => LinkState::Cut,
        state = stopped => state,
        () = async {
            let _ = reading.await;
            // The last messages are still being written.
            std::future::pending::<()>().await;
        } => LinkState::Cut,
    };
    if state == LinkState::BlackHoled {
        // The sockets stay open, so that neither end notices.
        std::future::pending::<()>().await;
    }
}

async fn read(node: OwnedReadHalf, client: ClientQueue, rules: &Mutex<Rules>) -> io::Result<()> {
    let mut node = BufReader::new(node);
    loop {
        let mut message = Vec::new();
        let mut length = 0;
        loop {
            let begin = message.len();
            if node.read_until(b'\n', &mut message).await? == 0 {
                return Ok(());
            }
            let header = String::from_utf8_lossy(&message[begin..]);
            if header == "\n" {
                break;
            }
            if let Some(n) = header.strip_prefix("Content-Length: ") {
                length = n.trim().parse().unwrap_or(0);
            }
        }
        let head = message.len();
        message.resize(head + length, 0);
        node.read_exact(&mut message[head..]).await?;
        if !rules.lock().unwrap().apply(&client, message) {
            return Ok(());
        }
    }
}
