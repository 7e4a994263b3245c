//! A way to a node that does what networks do, when a test wants it: it holds back, loses, changes, cuts, or swallows all.
//!
//! Owns the cutting of the node's stream into messages, and what becomes of those that a rule names. Everything else
//! passes as it is. Events of one thing may so be overtaken by those of another, as FreeSWITCH's own are.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::poll;

/// Messages to one connection: unbounded, for whoever releases them must not wait, and a test does not last.
type Line = mpsc::UnboundedSender<Piece>;

/// A piece written to the client.
enum Piece {
    Message(Vec<u8>),
    /// Nothing more: the connection ends here.
    End,
}

/// The treatment of a message.
pub enum Change {
    Pass,
    Lose,
    /// The client gets half of it and then the end of the connection.
    Tear,
    /// The client gets these messages instead.
    Instead(Vec<Vec<u8>>),
}

enum Act {
    Hold {
        wanted: Box<dyn Fn(&str) -> bool + Send>,
        held: Vec<(Line, Vec<u8>)>,
    },
    Change(Box<dyn FnMut(&str) -> Change + Send>),
}

struct Rule {
    id: u64,
    act: Act,
    /// How many messages it was applied to.
    hits: usize,
}

#[derive(Default)]
struct Rules {
    next: u64,
    rules: Vec<Rule>,
    /// The command sent to the node instead of the next `api` command.
    instead: Option<String>,
}

/// Which connections are meant. The one for events is known by its subscription to HEARTBEAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    Events,
    Commands,
    Both,
}

/// The treatment of a connection as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Carried,
    /// Its ends are kept open, and nothing passes any more.
    Swallowed,
    Cut,
}

/// One connection, as long as it is carried.
struct Way {
    events: bool,
    fate: watch::Sender<Fate>,
}

impl Rules {
    fn find(&mut self, id: u64) -> Option<&mut Rule> {
        self.rules.iter_mut().find(|rule| rule.id == id)
    }

    fn add(&mut self, act: Act) -> u64 {
        let id = self.next;
        self.next += 1;
        self.rules.push(Rule { id, act, hits: 0 });
        id
    }

    fn end(&mut self, id: u64) -> Vec<(Line, Vec<u8>)> {
        let place = self.rules.iter().position(|rule| rule.id == id);
        match place.map(|place| self.rules.remove(place).act) {
            Some(Act::Hold { held, .. }) => held,
            Some(Act::Change(_)) | None => Vec::new(),
        }
    }

    /// Writes a message to the client, changed by the rules; `false`: nobody writes to it any more.
    fn apply(&mut self, line: &Line, message: Vec<u8>) -> bool {
        let text = String::from_utf8_lossy(&message);
        for rule in &mut self.rules {
            match &mut rule.act {
                Act::Hold { wanted, held } => {
                    if wanted(&text) {
                        rule.hits += 1;
                        held.push((line.clone(), message));
                        return true;
                    }
                }
                Act::Change(change) => match change(&text) {
                    Change::Pass => {}
                    Change::Lose => {
                        rule.hits += 1;
                        return true;
                    }
                    Change::Tear => {
                        rule.hits += 1;
                        let half = message[..message.len() / 2].to_vec();
                        return line.send(Piece::Message(half)).is_ok()
                            && line.send(Piece::End).is_ok();
                    }
                    Change::Instead(messages) => {
                        rule.hits += 1;
                        let mut messages = messages.into_iter();
                        return messages.all(|message| line.send(Piece::Message(message)).is_ok());
                    }
                },
            }
        }
        line.send(Piece::Message(message)).is_ok()
    }
}

type Ways = Arc<Mutex<Vec<Way>>>;

pub struct Proxy {
    pub address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    ways: Ways,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Held-back messages, until they are released, lost or dropped; dropped means released.
pub struct Hold {
    id: u64,
    rules: Arc<Mutex<Rules>>,
}

impl Proxy {
    /// A way to this node.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::<Mutex<Rules>>::default();
        let ways = Ways::default();
        let (seen, carried) = (Arc::clone(&rules), Arc::clone(&ways));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(carry(client, to, Arc::clone(&seen), Arc::clone(&carried)));
                // What has ended is nobody's any more.
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            rules,
            ways,
            task,
        }
    }

    /// From now on this decides what becomes of each message of the node.
    pub fn change(&self, change: impl FnMut(&str) -> Change + Send + 'static) -> Changing {
        let act = Act::Change(Box::new(change));
        Changing {
            id: self.rules.lock().unwrap().add(act),
            rules: Arc::clone(&self.rules),
        }
    }

    /// The node is asked this instead of the next command that is sent to it by `api`, on any connection.
    pub fn replace_command(&self, api: &str) {
        self.rules.lock().unwrap().instead = Some(format!("api {api}\n\n"));
    }

    /// True if the command to replace has been replaced.
    pub fn replaced(&self) -> bool {
        self.rules.lock().unwrap().instead.is_none()
    }

    /// Ends these connections at once. Returns how many.
    pub fn cut(&self, which: Which) -> usize {
        self.doom(which, Fate::Cut)
    }

    /// Nothing passes these connections any more, and neither end is told; new ones are carried. Returns how many.
    pub fn swallow(&self, which: Which) -> usize {
        self.doom(which, Fate::Swallowed)
    }

    /// How many connections for events are carried.
    pub fn events_carried(&self) -> usize {
        let ways = self.ways.lock().unwrap();
        let carried =
            |way: &&Way| way.fate.receiver_count() > 0 && *way.fate.borrow() == Fate::Carried;
        ways.iter().filter(|way| way.events).filter(carried).count()
    }

    fn doom(&self, which: Which, fate: Fate) -> usize {
        let mut ways = self.ways.lock().unwrap();
        // What was swallowed before stays so; what has ended is gone.
        ways.retain(|way| way.fate.receiver_count() > 0 && *way.fate.borrow() == Fate::Carried);
        let mut doomed = 0;
        for way in ways.iter() {
            let meant = match which {
                Which::Events => way.events,
                Which::Commands => !way.events,
                Which::Both => true,
            };
            if meant {
                way.fate.send_replace(fate);
                doomed += 1;
            }
        }
        doomed
    }

    /// From now on every event of which this holds is held back.
    pub fn hold_events(&self, wanted: impl Fn(&str) -> bool + Send + 'static) -> Hold {
        self.hold(move |message| message.contains("text/event-plain") && wanted(message))
    }

    /// From now on every answer to a command is held back.
    pub fn hold_answers(&self) -> Hold {
        self.hold(|message| {
            ["api/response", "command/reply"]
                .iter()
                .any(|kind| message.starts_with(&format!("Content-Type: {kind}")))
        })
    }

    fn hold(&self, wanted: impl Fn(&str) -> bool + Send + 'static) -> Hold {
        let act = Act::Hold {
            wanted: Box::new(wanted),
            held: Vec::new(),
        };
        Hold {
            id: self.rules.lock().unwrap().add(act),
            rules: Arc::clone(&self.rules),
        }
    }
}

/// Messages are changed until this is dropped.
pub struct Changing {
    id: u64,
    rules: Arc<Mutex<Rules>>,
}

impl Changing {
    /// How many messages were not passed as they came.
    pub fn hits(&self) -> usize {
        let mut rules = self.rules.lock().unwrap();
        rules.find(self.id).expect("the rule is there").hits
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.rules.lock().unwrap().end(self.id);
    }
}

impl Hold {
    /// Waits until a message that says this is held back.
    pub async fn until_held(&self, says: &str) {
        let what = format!("a message that says {says:?} is held back");
        poll::until(&what, poll::PATIENCE, async || {
            let mut rules = self.rules.lock().unwrap();
            let rule = rules.find(self.id).expect("the rule is there");
            let Act::Hold { held, .. } = &rule.act else {
                panic!("it holds");
            };
            let held = held.iter();
            held.map(|(_, message)| String::from_utf8_lossy(message))
                .any(|message| message.contains(says))
                .then_some(())
        })
        .await;
    }

    /// Sends what was held back, in its order; nothing more is held.
    pub fn release(self) {
        drop(self);
    }

    /// Nobody ever gets what was held back; nothing more is held.
    pub fn lose(self) {
        self.rules.lock().unwrap().end(self.id);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Under the lock: what the rule would still have held must not overtake what it did hold.
        let mut rules = self.rules.lock().unwrap();
        for (line, message) in rules.end(self.id) {
            // The connection may have ended.
            let _ = line.send(Piece::Message(message));
        }
    }
}

async fn carry(client: TcpStream, to: SocketAddr, rules: Arc<Mutex<Rules>>, ways: Ways) {
    let Ok(node) = TcpStream::connect(to).await else {
        return;
    };
    // A socket that refuses the option still works.
    let _ = client.set_nodelay(true);
    let _ = node.set_nodelay(true);
    let (fate, mut told) = watch::channel(Fate::Carried);
    let (mut from_client, mut to_client) = client.into_split();
    let (from_node, mut to_node) = node.into_split();
    let (line, mut messages) = mpsc::unbounded_channel();
    let commands = async {
        let mut fate = Some(fate);
        let mut said = Vec::new();
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let n = from_client.read(&mut bytes).await?;
            if n == 0 {
                return io::Result::Ok(());
            }
            if fate.is_some() {
                said.extend_from_slice(&bytes[..n]);
                let said = String::from_utf8_lossy(&said);
                let subscribes = said.split("event plain ").nth(1);
                if let Some(events) = subscribes.filter(|events| events.contains("\n\n"))
                    && let Some(fate) = fate.take()
                {
                    let events = events.contains("HEARTBEAT");
                    ways.lock().unwrap().push(Way { events, fate });
                }
            }
            // A client writes whole commands.
            let instead = bytes[..n]
                .starts_with(b"api ")
                .then(|| rules.lock().unwrap().instead.take())
                .flatten();
            let mut rest = &bytes[..n];
            if let Some(instead) = instead {
                to_node.write_all(instead.as_bytes()).await?;
                let end = rest.windows(2).position(|two| two == b"\n\n");
                rest = end.map_or(&[], |end| &rest[end + 2..]);
            }
            to_node.write_all(rest).await?;
        }
    };
    let reading = read(from_node, line, &rules);
    let writing = async {
        while let Some(Piece::Message(message)) = messages.recv().await {
            to_client.write_all(&message).await?;
        }
        io::Result::Ok(())
    };
    let doomed = async {
        // Before it says what it is for, a connection is carried.
        let doomed = told.wait_for(|fate| *fate != Fate::Carried).await;
        match doomed.map(|fate| *fate) {
            Ok(Fate::Swallowed) => Fate::Swallowed,
            Ok(Fate::Cut) => Fate::Cut,
            Ok(Fate::Carried) | Err(_) => std::future::pending().await,
        }
    };
    // Whichever side ends ends both.
    let fate = tokio::select! {
        _ = commands => Fate::Cut,
        _ = writing => Fate::Cut,
        fate = doomed => fate,
        () = async {
            let _ = reading.await;
            // What was read last is still being written.
            std::future::pending::<()>().await;
        } => Fate::Cut,
    };
    if fate == Fate::Swallowed {
        // The sockets stay open, so that no end is told anything.
        std::future::pending::<()>().await;
    }
}

async fn read(node: OwnedReadHalf, line: Line, rules: &Mutex<Rules>) -> io::Result<()> {
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
        if !rules.lock().unwrap().apply(&line, message) {
            return Ok(());
        }
    }
}
