//! The telephone: its SIP socket, its transactions, and the calls that arrive.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::call::{Call, Established};
use super::dialog::{Dialog, Via};
use super::media::Media;
use super::message::{Message, tag_of};
use super::sdp::{Description, Direction};
use super::tone::Tone;

/// A message is sent again after this time without an answer.
const RETRANSMISSION: Duration = Duration::from_millis(500);

/// A transaction without an answer has failed after this time.
const TRANSACTION: Duration = Duration::from_secs(32);

/// A call must be answered in this time, also on a busy machine.
const ANSWER: Duration = Duration::from_secs(30);

/// Unread calls, and unread responses of one transaction: more than one test causes.
const WAITING: usize = 16;

/// The methods that this telephone accepts.
const ALLOWED: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO";

/// A telephone on loopback.
pub struct Phone {
    agent: Arc<Agent>,
    arriving: mpsc::Receiver<IncomingCall>,
    task: JoinHandle<()>,
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Phone {
    /// Starts a telephone with this name, its caller id.
    pub async fn start(name: &str) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (arrives, arriving) = mpsc::channel(WAITING);
        let agent = Arc::new(Agent {
            name: name.to_owned(),
            address: socket.local_addr().unwrap(),
            socket,
            state: Mutex::default(),
        });
        let task = tokio::spawn(Arc::clone(&agent).receive(arrives));
        Self {
            agent,
            arriving,
            task,
        }
    }

    /// The address at which it can be called.
    pub fn address(&self) -> SocketAddr {
        self.agent.address
    }

    /// Calls this number at this server. Returns the status of a refusal.
    pub async fn try_call(
        &self,
        server: SocketAddr,
        number: &str,
        tone: Option<Tone>,
    ) -> Result<Call, u16> {
        let agent = &self.agent;
        let media = Media::open(tone);
        let via = Via::unique(agent.address);
        let offer = Description {
            media: media.address,
            direction: Direction::Both,
        };
        let (name, address) = (&agent.name, agent.address);
        let invite = Message::request("INVITE", &format!("sip:{number}@{server}"))
            .with("Via", via.to_string())
            .with("Max-Forwards", "70")
            .with(
                "From",
                format!("\"{name}\" <sip:{name}@{address}>;tag={}", unique()),
            )
            .with("To", format!("<sip:{number}@{server}>"))
            .with("Call-ID", unique())
            .with("CSeq", "1 INVITE")
            .with("Contact", format!("<sip:{name}@{address}>"))
            .with("Allow", ALLOWED)
            .with_sdp(offer.write(1));
        let response = agent.transact(&invite, server).await;
        let status = response.status().unwrap_or_default();
        if status >= 300 {
            return Err(status);
        }
        let dialog = Dialog::placed(&response).expect("an answer to INVITE has a contact");
        let answer =
            Description::parse(&response.body).expect("an answer to INVITE has a description");
        media.lock().remote = Some(answer.media);
        agent.acknowledge(&dialog, &response).await;
        Ok(Call::new(agent, Established::new(dialog, media)))
    }

    /// Calls this number, which must answer.
    pub async fn call(&self, server: SocketAddr, number: &str, tone: Option<Tone>) -> Call {
        let placed = self.try_call(server, number, tone).await;
        placed.unwrap_or_else(|status| panic!("the call to {number} was refused with {status}"))
    }

    /// Asks this server for its abilities. Returns true if it answers within a second.
    pub async fn is_answered(&self, server: SocketAddr) -> bool {
        let (name, address) = (&self.agent.name, self.agent.address);
        let request = Message::request("OPTIONS", &format!("sip:{server}"))
            .with("Via", Via::unique(address).to_string())
            .with("Max-Forwards", "70")
            .with("From", format!("<sip:{name}@{address}>;tag={}", unique()))
            .with("To", format!("<sip:{server}>"))
            .with("Call-ID", unique())
            .with("CSeq", "1 OPTIONS")
            .with("Contact", format!("<sip:{name}@{address}>"));
        let answer = self.agent.transact(&request, server);
        timeout(Duration::from_secs(1), answer).await.is_ok()
    }

    /// Waits for the next call that arrives here.
    pub async fn incoming(&mut self) -> IncomingCall {
        let arrived = timeout(ANSWER, self.arriving.recv()).await;
        arrived
            .expect("a call arrives")
            .expect("the telephone lives")
    }

    /// Waits for the next call that arrives here, however long that takes.
    pub async fn next_call(&mut self) -> IncomingCall {
        self.arriving.recv().await.expect("the telephone lives")
    }

    /// True if a call has arrived that [`Phone::incoming`] did not return yet.
    pub fn is_called(&self) -> bool {
        !self.arriving.is_empty()
    }
}

/// A call that arrived and has no final answer yet.
pub struct IncomingCall {
    agent: Arc<Agent>,
    invite: Message,
    tag: String,
    /// Its sound before the answer.
    early: Option<Media>,
    cancelled: watch::Receiver<bool>,
}

impl IncomingCall {
    /// The dialled user.
    pub fn number(&self) -> &str {
        self.invite.user().unwrap_or_default()
    }

    /// A header of the request; empty without one.
    pub fn header(&self, name: &str) -> &str {
        self.invite.header(name)
    }

    /// Sends a provisional response without sound: 180 is ringing.
    pub async fn progress(&self, status: u16) {
        let response = self.response(status, "Progress");
        self.agent.respond(&self.invite, &response).await;
    }

    /// Refuses the call: 486 is busy.
    pub async fn refuse(self, status: u16) {
        let response = self.response(status, "Refused");
        self.agent.respond(&self.invite, &response).await;
    }

    /// Sends this tone before the call is answered, as early media.
    pub async fn sound_early(&mut self, tone: Tone) {
        let media = self.early.insert(Media::open(Some(tone)));
        let answer = describe(&self.invite, media);
        let response = self.response(183, "Session Progress").with_sdp(answer);
        self.agent.respond(&self.invite, &response).await;
    }

    /// Answers the call. Early media goes on.
    pub async fn answer(mut self, tone: Option<Tone>) -> Call {
        let media = self.early.take().unwrap_or_else(|| Media::open(tone));
        let answer = describe(&self.invite, &media);
        let response = self.response(200, "OK").with_sdp(answer);
        let dialog = Dialog::received(&self.invite, &response).expect("an INVITE has a contact");
        let call = Call::new(&self.agent, Established::new(dialog, media));
        self.agent
            .confirm(&self.invite, response, &call.shared)
            .await;
        call
    }

    /// Waits until the caller gives up.
    pub async fn until_cancelled(mut self) {
        let cancelled = timeout(ANSWER, self.cancelled.wait_for(|is| *is)).await;
        cancelled
            .expect("the call is cancelled")
            .expect("the telephone lives");
    }

    /// Lets it ring for this time. Returns false if the caller gives up before.
    pub async fn rings_for(&mut self, time: Duration) -> bool {
        timeout(time, self.cancelled.wait_for(|is| *is))
            .await
            .is_err()
    }

    fn response(&self, status: u16, reason: &str) -> Message {
        Message::response(&self.invite, status, reason, &self.tag)
            .with("Contact", self.agent.contact())
            .with("Allow", ALLOWED)
    }
}

/// Connects the sound to the offer of an `INVITE`, and returns the answer to it.
fn describe(invite: &Message, media: &Media) -> String {
    let offer = Description::parse(&invite.body).expect("an INVITE has a description");
    media.lock().remote = Some(offer.media);
    let answer = Description {
        media: media.address,
        direction: offer.direction.reversed(),
    };
    answer.write(1)
}

/// The SIP side of a telephone, shared with its calls.
pub struct Agent {
    name: String,
    pub address: SocketAddr,
    socket: UdpSocket,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The transactions of this side, by branch.
    transactions: HashMap<String, mpsc::Sender<Message>>,
    /// The last response to each request of the other side, and where it went, for retransmissions.
    responses: HashMap<String, (Vec<u8>, SocketAddr)>,
    /// The acknowledgements of answered requests, by `Call-ID` and number, for retransmissions.
    acks: HashMap<(String, u32), Vec<u8>>,
    /// The unanswered calls that have arrived, by branch.
    arrived: HashMap<String, (Message, watch::Sender<bool>)>,
    /// Established calls by `Call-ID`.
    calls: HashMap<String, Arc<Established>>,
}

impl Agent {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.name, self.address)
    }

    pub fn add(&self, call_id: String, call: Arc<Established>) {
        self.state().calls.insert(call_id, call);
    }

    pub fn remove(&self, call_id: &str) {
        self.state().calls.remove(call_id);
    }

    /// Sends a datagram. Without a receiver it is lost, like any other.
    pub async fn send(&self, bytes: &[u8], to: SocketAddr) {
        let _ = self.socket.send_to(bytes, to).await;
    }

    /// Sends a datagram from code that cannot wait.
    pub fn send_now(&self, bytes: &[u8], to: SocketAddr) {
        let _ = self.socket.try_send_to(bytes, to);
    }

    /// Sends a request until it has a final response, which is returned.
    pub async fn transact(&self, request: &Message, to: SocketAddr) -> Message {
        let (send, mut responses) = mpsc::channel(WAITING);
        let branch = request.branch().to_owned();
        self.state().transactions.insert(branch.clone(), send);
        let (bytes, start) = (request.to_bytes(), Instant::now());
        let mut proceeds = false;
        let last = loop {
            if !proceeds {
                self.send(&bytes, to).await;
            }
            match timeout(RETRANSMISSION, responses.recv()).await {
                Ok(Some(response)) if response.status() < Some(200) => proceeds = true,
                Ok(response) => break response.expect("the sender is in the table"),
                Err(_) => assert!(start.elapsed() < TRANSACTION, "no answer to {request:?}"),
            }
        };
        self.state().transactions.remove(&branch);
        if request.method() == Some("INVITE") && last.status() >= Some(300) {
            self.send(&request.refusal_ack(&last).to_bytes(), to).await;
        }
        last
    }

    /// Acknowledges a final answer to an `INVITE`, and again each time it is repeated.
    pub async fn acknowledge(&self, dialog: &Dialog, answer: &Message) {
        let number = answer.cseq().map_or(0, |(number, _)| number);
        let ack = dialog.ack(number, &Via::unique(self.address)).to_bytes();
        let key = (dialog.call_id.clone(), number);
        self.state().acks.insert(key, ack.clone());
        if let Some(to) = dialog.address() {
            self.send(&ack, to).await;
        }
    }

    /// Sends a response, and remembers it for repetitions of the request.
    pub async fn respond(&self, request: &Message, response: &Message) {
        let Some(to) = source_of(request) else {
            return;
        };
        let bytes = response.to_bytes();
        let key = transaction_of(request);
        {
            let mut state = self.state();
            if response.status() >= Some(200) {
                state.arrived.remove(request.branch());
            }
            state.responses.insert(key, (bytes.clone(), to));
        }
        self.send(&bytes, to).await;
    }

    /// Sends the answer to an `INVITE` until it is acknowledged.
    async fn confirm(self: &Arc<Self>, invite: &Message, answer: Message, call: &Arc<Established>) {
        let mut acknowledged = call.acknowledged();
        self.respond(invite, &answer).await;
        let (agent, invite) = (Arc::clone(self), invite.clone());
        tokio::spawn(async move {
            for _ in 0..TRANSACTION.as_millis() / RETRANSMISSION.as_millis() {
                let waited = timeout(RETRANSMISSION, acknowledged.wait_for(|is| *is)).await;
                if waited.map(drop).is_ok() {
                    return;
                }
                agent.respond(&invite, &answer).await;
            }
        });
    }

    async fn receive(self: Arc<Self>, arrives: mpsc::Sender<IncomingCall>) {
        let mut buffer = vec![0; 65_536];
        // A closed port of the other side ends no telephone.
        loop {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else {
                continue;
            };
            let Some(message) = Message::parse(&buffer[..length]) else {
                continue;
            };
            match message.method() {
                None => self.receive_response(message, from).await,
                Some(_) => self.receive_request(message, from, &arrives).await,
            }
        }
    }

    async fn receive_response(&self, response: Message, from: SocketAddr) {
        let again = {
            let state = self.state();
            if let Some(waiting) = state.transactions.get(response.branch()) {
                // Repetitions that find no place are no loss.
                let _ = waiting.try_send(response);
                return;
            }
            let number = response.cseq().map_or(0, |(number, _)| number);
            let key = (response.header("Call-ID").to_owned(), number);
            state.acks.get(&key).cloned()
        };
        if let Some(ack) = again {
            self.send(&ack, from).await;
        }
    }

    async fn receive_request(
        self: &Arc<Self>,
        request: Message,
        from: SocketAddr,
        arrives: &mpsc::Sender<IncomingCall>,
    ) {
        let request = request.with(SOURCE, from.to_string());
        let call = self.state().calls.get(request.header("Call-ID")).cloned();
        if request.method() == Some("ACK") {
            if let Some(call) = call {
                call.acknowledge(&request);
            }
            return;
        }
        let before = self
            .state()
            .responses
            .get(&transaction_of(&request))
            .cloned();
        if let Some((bytes, to)) = before {
            self.send(&bytes, to).await;
            return;
        }
        match (request.method().unwrap_or_default(), call) {
            ("INVITE", None) if tag_of(request.header("To")).is_none() => {
                self.receive_call(request, arrives).await;
            }
            ("CANCEL", _) => self.receive_cancel(&request).await,
            ("OPTIONS", None) => self.answer_plainly(&request, 200, "OK").await,
            (_, None) => self.answer_plainly(&request, 481, "No Such Call").await,
            ("INVITE" | "UPDATE", Some(call)) => {
                let response = call.describe(&request, self.response(&request, 200, "OK"));
                self.respond(&request, &response).await;
            }
            ("BYE", Some(call)) => {
                self.answer_plainly(&request, 200, "OK").await;
                call.end(request.header("Reason"));
            }
            ("OPTIONS" | "INFO" | "NOTIFY", Some(_)) => {
                self.answer_plainly(&request, 200, "OK").await;
            }
            _ => self.answer_plainly(&request, 501, "Not Implemented").await,
        }
    }

    async fn receive_call(self: &Arc<Self>, invite: Message, arrives: &mpsc::Sender<IncomingCall>) {
        let (cancel, cancelled) = watch::channel(false);
        let branch = invite.branch().to_owned();
        self.state()
            .arrived
            .insert(branch, (invite.clone(), cancel));
        self.answer_plainly(&invite, 100, "Trying").await;
        let incoming = IncomingCall {
            agent: Arc::clone(self),
            invite: invite.clone(),
            tag: unique(),
            early: None,
            cancelled,
        };
        if arrives.try_send(incoming).is_err() {
            self.answer_plainly(&invite, 486, "Busy Here").await;
        }
    }

    async fn receive_cancel(&self, cancel: &Message) {
        let arrived = self.state().arrived.remove(cancel.branch());
        let Some((invite, cancelled)) = arrived else {
            self.answer_plainly(cancel, 481, "No Such Call").await;
            return;
        };
        self.answer_plainly(cancel, 200, "OK").await;
        self.answer_plainly(&invite, 487, "Request Terminated")
            .await;
        cancelled.send_replace(true);
    }

    async fn answer_plainly(&self, request: &Message, status: u16, reason: &str) {
        let response = self.response(request, status, reason);
        self.respond(request, &response).await;
    }

    fn response(&self, request: &Message, status: u16, reason: &str) -> Message {
        Message::response(request, status, reason, &unique())
            .with("Contact", self.contact())
            .with("Allow", ALLOWED)
    }
}

/// The address that a request came from, which the receiver notes on it.
const SOURCE: &str = "X-Source";

fn source_of(request: &Message) -> Option<SocketAddr> {
    request.header(SOURCE).parse().ok()
}

/// The key of a transaction of the other side. An `INVITE` and its `CANCEL` share a branch.
fn transaction_of(request: &Message) -> String {
    format!(
        "{} {}",
        request.branch(),
        request.method().unwrap_or_default()
    )
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
