//! A way to a node that can hold back what the node sends: what a slow network does, when a test wants it.
//!
//! Owns the cutting of the node's stream into messages, and what becomes of those that a rule names. Everything else
//! passes as it is. Events of one thing may so be overtaken by those of another, as FreeSWITCH's own are.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::poll;

/// Messages to one connection: unbounded, for whoever releases them must not wait, and a test does not last.
type Line = mpsc::UnboundedSender<Vec<u8>>;

struct Rule {
    id: u64,
    wanted: Box<dyn Fn(&str) -> bool + Send>,
    held: Vec<(Line, Vec<u8>)>,
}

#[derive(Default)]
struct Rules {
    next: u64,
    rules: Vec<Rule>,
}

impl Rules {
    fn find(&mut self, id: u64) -> Option<&mut Rule> {
        self.rules.iter_mut().find(|rule| rule.id == id)
    }

    fn end(&mut self, id: u64) -> Vec<(Line, Vec<u8>)> {
        let place = self.rules.iter().position(|rule| rule.id == id);
        place.map_or_else(Vec::new, |place| self.rules.remove(place).held)
    }
}

pub struct Proxy {
    pub address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is held back, until it is released, lost or dropped; dropped is released.
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
        let seen = Arc::clone(&rules);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(carry(client, to, Arc::clone(&seen)));
                // What has ended is nobody's any more.
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            rules,
            task,
        }
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
        let mut rules = self.rules.lock().unwrap();
        let id = rules.next;
        rules.next += 1;
        rules.rules.push(Rule {
            id,
            wanted: Box::new(wanted),
            held: Vec::new(),
        });
        Hold {
            id,
            rules: Arc::clone(&self.rules),
        }
    }
}

impl Hold {
    /// Waits until a message that says this is held back.
    pub async fn until_held(&self, says: &str) {
        let what = format!("a message that says {says:?} is held back");
        poll::until(&what, poll::PATIENCE, async || {
            let mut rules = self.rules.lock().unwrap();
            let rule = rules.find(self.id).expect("the rule is there");
            let held = rule.held.iter();
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
            let _ = line.send(message);
        }
    }
}

async fn carry(client: TcpStream, to: SocketAddr, rules: Arc<Mutex<Rules>>) {
    let Ok(node) = TcpStream::connect(to).await else {
        return;
    };
    // A socket that refuses the option still works.
    let _ = client.set_nodelay(true);
    let _ = node.set_nodelay(true);
    let (mut from_client, mut to_client) = client.into_split();
    let (from_node, mut to_node) = node.into_split();
    let (line, mut messages) = mpsc::unbounded_channel::<Vec<u8>>();
    let commands = tokio::io::copy(&mut from_client, &mut to_node);
    let reading = read(from_node, line, &rules);
    let writing = async {
        while let Some(message) = messages.recv().await {
            to_client.write_all(&message).await?;
        }
        io::Result::Ok(())
    };
    // Whichever side ends ends both.
    tokio::select! {
        _ = commands => {}
        _ = writing => {}
        () = async {
            let _ = reading.await;
            // What was read last is still being written.
            std::future::pending::<()>().await;
        } => {}
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
        let mut rules = rules.lock().unwrap();
        let text = String::from_utf8_lossy(&message);
        match rules.rules.iter_mut().find(|rule| (rule.wanted)(&text)) {
            Some(rule) => rule.held.push((line.clone(), message)),
            // Nobody writes any more: the client is gone.
            None if line.send(message).is_err() => return Ok(()),
            None => {}
        }
    }
}
