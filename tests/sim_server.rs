//! The simulated node over real sockets: limits of the protocol, and every fault with its counter.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

use std::time::Duration;

use freeswitch_sim::{
    SimConfig, SimNode,
    core::{InboundCall, Media},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A minimal client: messages of headers, a blank line, and a body.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    headers: Vec<(String, String)>,
    body: String,
}

impl Message {
    fn get(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// Returns a header of the event in the body, still encoded.
    fn event(&self, name: &str) -> &str {
        self.body
            .lines()
            .take_while(|line| !line.is_empty())
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or("")
    }
}

impl Client {
    async fn connect(node: &SimNode) -> Self {
        Self {
            stream: TcpStream::connect(node.addr).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    async fn login(node: &SimNode) -> Self {
        let mut client = Self::connect(node).await;
        assert_eq!(
            client.next().await.unwrap().get("Content-Type"),
            "auth/request"
        );
        assert_eq!(
            client.command("auth ClueCon").await.get("Reply-Text"),
            "+OK accepted"
        );
        client
    }

    async fn send(&mut self, text: &str) {
        self.stream
            .write_all(format!("{text}\n\n").as_bytes())
            .await
            .unwrap();
    }

    /// Sends a command and returns its reply, skipping events.
    async fn command(&mut self, text: &str) -> Message {
        self.send(text).await;
        loop {
            let message = self.next().await.expect("a reply");
            if !message.get("Content-Type").starts_with("text/event") {
                return message;
            }
        }
    }

    async fn api(&mut self, text: &str) -> String {
        self.command(&format!("api {text}")).await.body
    }

    /// Returns the next message; none at the end of the connection.
    async fn next(&mut self) -> Option<Message> {
        timeout(Duration::from_secs(10), self.read_message())
            .await
            .expect("a message in time")
    }

    async fn read_message(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.cut() {
                return Some(message);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
            }
        }
    }

    fn cut(&mut self) -> Option<Message> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        let headers: Vec<(String, String)> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let length = headers
            .iter()
            .find(|(key, _)| key == "Content-Length")
            .map_or(0, |(_, text)| text.parse().unwrap());
        let body = self.buffer.get(end + 2..end + 2 + length)?.to_vec();
        self.buffer.drain(..end + 2 + length);
        Some(Message {
            headers,
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// Returns the next event that satisfies `wanted`.
    async fn event(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = self.next().await.expect("an event");
            if message.get("Content-Type") == "text/event-plain" && wanted(&message) {
                return message;
            }
        }
    }
}

async fn node() -> SimNode {
    SimNode::start(SimConfig::default()).await.unwrap()
}

const EVENTS: &str = "event plain CHANNEL_PARK CHANNEL_HANGUP BACKGROUND_JOB HEARTBEAT SHUTDOWN CUSTOM conference::maintenance roomkeeper::fence";

#[tokio::test]
async fn correct_password_is_accepted_and_wrong_one_ends_the_connection() {
    let node = node().await;
    Client::login(&node).await;
    let mut client = Client::connect(&node).await;
    client.next().await;
    assert_eq!(
        client.command("api status").await.get("Reply-Text"),
        "-ERR command not found"
    );
    assert_eq!(
        client.command("auth wrong").await.get("Reply-Text"),
        "-ERR invalid"
    );
    let notice = client.next().await.unwrap();
    assert_eq!(notice.get("Content-Type"), "text/disconnect-notice");
    assert_eq!(notice.get("Content-Length"), "67");
    assert_eq!(client.next().await, None);
    assert_eq!(node.faults().core.refused, 1);
}

#[tokio::test]
async fn replies_arrive_in_the_order_of_commands() {
    let node = node().await;
    let mut client = Client::login(&node).await;
    let many: Vec<String> = (0..50).map(|n| format!("api echo {n}\n\n")).collect();
    // The command in the middle takes time: those behind it wait.
    let slow = "api originate loopback/silence/default &park()\n\n";
    client
        .stream
        .write_all(format!("{}{slow}{}", many[..25].concat(), many[25..].concat()).as_bytes())
        .await
        .unwrap();
    for n in 0..25 {
        assert_eq!(client.next().await.unwrap().body, n.to_string());
    }
    assert!(client.next().await.unwrap().body.starts_with("+OK "));
    for n in 25..50 {
        assert_eq!(client.next().await.unwrap().body, n.to_string());
    }
}

#[tokio::test]
async fn call_joins_a_room_is_muted_and_parks_again() {
    let node = node().await;
    let mut client = Client::login(&node).await;
    client.command(EVENTS).await;
    let uuid = node.call_in("747713001", "491711234", &[("roomkeeper_app", "demo")]);
    let parked = client
        .event(|event| event.event("Event-Name") == "CHANNEL_PARK")
        .await;
    assert_eq!(parked.event("Unique-ID"), uuid);
    assert_eq!(parked.event("variable_roomkeeper_app"), "demo");
    assert_eq!(
        client
            .api(&format!(
                "uuid_transfer {uuid} conference:r1@default+flags{{mute}},park inline"
            ))
            .await,
        "+OK\n"
    );
    let added = client
        .event(|event| event.event("Action") == "add-member")
        .await;
    assert_eq!(
        (added.event("Speak"), added.event("Member-ID")),
        ("false", "1")
    );
    assert_eq!(
        client
            .api(&format!("conference r1 unmute uuid={uuid}"))
            .await,
        "+OK unmute 1\n"
    );
    assert!(node.snapshot().room("r1").unwrap().members[0].speak);
    assert_eq!(
        client.api("conference r1 setvar roomkeeper_meta a-b").await,
        "+OK\n"
    );
    assert!(
        client
            .api("conference json_list compact")
            .await
            .contains(r#""variables":{"roomkeeper_meta":"a-b"}"#)
    );
    assert_eq!(client.api("conference r1 kick 1").await, "+OK kicked 1\n");
    let kicked = client
        .event(|event| event.event("Action") == "kick-member")
        .await;
    assert!(
        kicked.body.find("roomkeeper_meta: a-b").unwrap() < kicked.body.find("Action: ").unwrap()
    );
    let parked = client
        .event(|event| event.event("Event-Name") == "CHANNEL_PARK")
        .await;
    assert_eq!(parked.event("Unique-ID"), uuid);
    assert!(node.hang_up(&uuid, "USER_BUSY"));
    let hangup = client
        .event(|event| event.event("Event-Name") == "CHANNEL_HANGUP")
        .await;
    assert_eq!(hangup.event("Hangup-Cause"), "USER_BUSY");
}

#[tokio::test]
async fn fences_reach_subscribers_and_jobs_reach_matching_filters() {
    let node = node().await;
    let mut events = Client::login(&node).await;
    events.command(EVENTS).await;
    let mut commands = Client::login(&node).await;
    commands.command("event plain BACKGROUND_JOB").await;
    commands.command(r"filter Job-UUID /^mine\-/").await;
    assert!(
        events
            .command("sendevent CUSTOM\nEvent-Subclass: roomkeeper::fence\nFence: 7")
            .await
            .get("Reply-Text")
            .starts_with("+OK")
    );
    let fence = events
        .event(|event| event.event("Event-Subclass") == "roomkeeper%3A%3Afence")
        .await;
    assert_eq!(fence.event("Fence"), "7");
    assert!(fence.event("Event-Sequence").parse::<u64>().unwrap() > 0);
    commands.command("bgapi status\nJob-UUID: other-1").await;
    let reply = commands.command("bgapi echo hello\nJob-UUID: mine-1").await;
    assert_eq!(
        (reply.get("Reply-Text"), reply.get("Job-UUID")),
        ("+OK Job-UUID: mine-1", "mine-1")
    );
    let job = commands.next().await.unwrap();
    assert_eq!(job.event("Job-UUID"), "mine-1");
    assert!(job.body.ends_with("Content-Length: 5\n\nhello"));
}

#[tokio::test]
async fn calls_survive_cut_connections() {
    let node = node().await;
    let uuid = node.call_in("1", "2", &[]);
    let mut client = Client::login(&node).await;
    assert_eq!(node.drop_connections(false), 1);
    assert_eq!(client.next().await, None);
    let mut client = Client::login(&node).await;
    assert_eq!(node.drop_connections(true), 1);
    assert_eq!(client.next().await, None);
    assert!(
        String::from_utf8_lossy(&client.buffer).contains("Content-Length: 512"),
        "the rest of a torn message is there"
    );
    let faults = node.faults();
    assert_eq!((faults.cut, faults.torn), (1, 1));
    assert!(node.snapshot().channel(&uuid).is_some());
}

#[tokio::test]
async fn killed_node_restarts_empty_on_the_same_port() {
    let node = node().await;
    node.call_in("1", "2", &[]);
    let before = node.snapshot();
    let mut client = Client::login(&node).await;
    node.kill();
    assert_eq!(client.next().await, None);
    assert_eq!(node.faults().killed, 1);
    node.restart().await.unwrap();
    let mut client = Client::login(&node).await;
    assert_eq!(
        client.api("show channels as json").await,
        "{\"row_count\": 0}\n"
    );
    assert_ne!(
        client.api("global_getvar core_uuid").await,
        before.core_uuid
    );
    assert_eq!(node.faults().restarts, 1);
}

#[tokio::test]
async fn killed_node_recovers_its_calls_on_request() {
    let node = node().await;
    let uuid = node.call_in("1", "2", &[]);
    let mut client = Client::login(&node).await;
    client.command(EVENTS).await;
    let parks = |event: &Message| event.event("Event-Name") == "CHANNEL_PARK";
    client.event(parks).await;
    let enter = format!("uuid_transfer {uuid} conference:r1@default+flags{{mute}},park inline");
    client.api(&enter).await;
    let adds = |event: &Message| event.event("Action") == "add-member";
    client.event(adds).await;
    client.api("conference r1 unmute all").await;
    node.restart().await.unwrap();
    let mut client = Client::login(&node).await;
    client.command(EVENTS).await;
    assert_eq!(client.api("sofia recover").await, "Recovered 1 call(s)\n");
    assert_eq!(client.api("sofia recover").await, "No calls to recover.\n");
    // It enters by its last plan, without an event of its entry.
    let first = client
        .event(|event| !event.event("Conference-Size").is_empty())
        .await;
    assert_eq!(first.event("Action"), "conference-create");
    let flags = |list: &str| {
        let list: serde_json::Value = serde_json::from_str(list).unwrap();
        list[0]["members"][0]["flags"]["can_speak"].clone()
    };
    loop {
        let list = client.api("conference json_list").await;
        if list.contains(&uuid) {
            assert_eq!(flags(&list), false, "muted as in the plan");
            break;
        }
        tokio::task::yield_now().await;
    }
    // Its next entry is reported.
    client
        .api(&format!("uuid_transfer {uuid} park inline"))
        .await;
    client.event(parks).await;
    client.api(&enter).await;
    assert_eq!(client.event(adds).await.event("Unique-ID"), uuid);
}

#[tokio::test]
async fn graceful_shutdown_reports_everything_first() {
    let node = node().await;
    let mut client = Client::login(&node).await;
    client.command(EVENTS).await;
    node.call_in("1", "2", &[]);
    client
        .event(|event| event.event("Event-Name") == "CHANNEL_PARK")
        .await;
    node.shutdown_gracefully();
    client
        .event(|event| event.event("Event-Name") == "SHUTDOWN")
        .await;
    let hangup = client
        .event(|event| event.event("Event-Name") == "CHANNEL_HANGUP")
        .await;
    assert_eq!(hangup.event("Hangup-Cause"), "SYSTEM_SHUTDOWN");
    let mut last = None;
    while let Some(message) = client.next().await {
        last = Some(message);
    }
    assert_eq!(last.unwrap().body, "The system is being shut down.\n");
    assert_eq!(node.faults().shutdowns, 1);
}

#[tokio::test]
async fn garbage_and_lost_events_are_counted() {
    let node = node().await;
    let mut client = Client::login(&node).await;
    client.command(EVENTS).await;
    assert_eq!(node.send_garbage(b"nonsense\n\n"), 1);
    let garbage = client.next().await.unwrap();
    assert!(garbage.headers.is_empty());
    node.drop_next_events(1_000);
    let uuid = node.call_in("1", "2", &[]);
    for _ in 0..200 {
        if node
            .snapshot()
            .channel(&uuid)
            .and_then(|channel| channel.application.clone())
            .as_deref()
            == Some("park")
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let faults = node.faults();
    assert_eq!(faults.garbage, 1);
    assert!(faults.core.dropped >= 4, "{faults:?}");
    assert_eq!(client.api("echo still here").await, "still here");
}

#[tokio::test]
async fn stalled_node_accepts_connections_without_a_greeting() {
    let node = node().await;
    node.stall(true);
    let mut client = Client::connect(&node).await;
    let silent = timeout(Duration::from_millis(100), client.read_message()).await;
    assert!(silent.is_err());
    assert!(node.faults().stalled >= 1);
    node.stall(false);
    assert_eq!(
        client.next().await.unwrap().get("Content-Type"),
        "auth/request"
    );
}

#[tokio::test]
async fn refused_address_gets_a_rejection() {
    let node = node().await;
    node.refuse_acl(true);
    let mut client = Client::connect(&node).await;
    assert_eq!(
        client.next().await.unwrap().get("Content-Type"),
        "text/rude-rejection"
    );
    assert_eq!(client.next().await, None);
    assert_eq!(node.faults().rejected, 1);
}

#[tokio::test]
async fn client_that_does_not_read_loses_events_and_its_connection() {
    let mut config = SimConfig::default();
    config.node.max_queued_events = 20;
    let node = SimNode::start(config).await.unwrap();
    let mut client = Client::login(&node).await;
    client.command("event plain ALL").await;
    // While the node is stalled, nothing leaves the queue.
    node.stall(true);
    node.with_core(|core, now| {
        for _ in 0..200 {
            core.call_in(InboundCall::default(), now);
        }
    });
    for _ in 0..400 {
        if node.faults().core.given_up == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let faults = node.faults();
    assert!(faults.core.overflowed > 500, "{faults:?}");
    assert_eq!(faults.core.given_up, 1);
}

#[tokio::test]
async fn slow_url_delays_only_its_own_connection() {
    let node = node().await;
    node.set_media(
        "http://h/slow.wav",
        Media {
            duration: Some(50_000),
            opening: 150_000,
        },
    );
    let uuid = node.call_in("1", "2", &[]);
    let mut events = Client::login(&node).await;
    events.command(EVENTS).await;
    let mut client = Client::login(&node).await;
    for _ in 0..200 {
        if client
            .api(&format!(
                "uuid_transfer {uuid} conference:r1@default inline"
            ))
            .await
            == "+OK\n"
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    events
        .event(|event| event.event("Action") == "add-member")
        .await;
    client
        .send("api conference r1 play http://h/slow.wav")
        .await;
    assert_eq!(events.api("echo free").await, "free");
    assert_eq!(
        client.next().await.unwrap().body,
        "+OK (play) Playing file http://h/slow.wav\n"
    );
    events
        .event(|event| event.event("Action") == "play-file-done")
        .await;
}

#[tokio::test]
async fn dropped_handle_stops_the_node() {
    let node = node().await;
    let mut client = Client::login(&node).await;
    let addr = node.addr;
    drop(node);
    assert_eq!(client.next().await, None);
    for _ in 0..100 {
        if TcpStream::connect(addr).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the port is still open");
}
