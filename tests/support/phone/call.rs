//! One established call.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::agent::Agent;
use super::dialog::{Dialog, Via};
use super::media::Media;
use super::message::Message;
use super::sdp::{Description, Direction};
use super::tone::Tone;

/// Time limit for what the other side must do.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The part of a call that its telephone needs for requests of the other side.
pub struct Established {
    dialog: Mutex<Dialog>,
    media: Media,
    negotiation: Mutex<Negotiation>,
    acknowledged: watch::Sender<bool>,
    /// The reason of the end, once the other side has ended the call.
    ended: watch::Sender<Option<String>>,
}

struct Negotiation {
    /// The number of session descriptions of this side.
    version: u32,
    /// The wanted direction.
    direction: Direction,
    /// The number of offers by the other side since the call was established.
    offers: usize,
}

impl Established {
    pub fn new(dialog: Dialog, media: Media) -> Arc<Self> {
        Arc::new(Self {
            dialog: Mutex::new(dialog),
            media,
            negotiation: Mutex::new(Negotiation {
                version: 1,
                direction: Direction::Both,
                offers: 0,
            }),
            acknowledged: watch::Sender::new(false),
            ended: watch::Sender::new(None),
        })
    }

    pub fn acknowledged(&self) -> watch::Receiver<bool> {
        self.acknowledged.subscribe()
    }

    /// Takes an acknowledgement, and the description in it, if the answer was an offer.
    pub fn acknowledge(&self, ack: &Message) {
        if let Some(description) = Description::parse(&ack.body) {
            self.media.lock().remote = Some(description.media);
        }
        self.acknowledged.send_replace(true);
    }

    /// Answers the offer in a request of the other side, or makes one if the request is an `INVITE` without one.
    pub fn describe(&self, request: &Message, response: Message) -> Message {
        self.dialog.lock().unwrap().retarget(request);
        let offer = Description::parse(&request.body);
        if offer.is_none() && request.method() == Some("UPDATE") {
            return response;
        }
        let mut negotiation = self.negotiation.lock().unwrap();
        negotiation.version += 1;
        let mut direction = negotiation.direction;
        if let Some(offer) = offer {
            negotiation.offers += 1;
            self.media.lock().remote = Some(offer.media);
            if direction == Direction::Both {
                direction = offer.direction.reversed();
            }
        }
        let answer = Description {
            media: self.media.address,
            direction,
        };
        response.with_sdp(answer.write(negotiation.version))
    }

    pub fn end(&self, reason: &str) {
        self.media.lock().remote = None;
        self.ended.send_replace(Some(reason.to_owned()));
    }
}

/// A call in progress. It is hung up when its value is dropped.
pub struct Call {
    agent: Arc<Agent>,
    call_id: String,
    pub(super) shared: Arc<Established>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.agent.remove(&self.call_id);
        if !self.is_over() {
            let (bye, to) = self.request("BYE");
            self.agent.send_now(&bye.to_bytes(), to);
        }
    }
}

impl Call {
    pub(super) fn new(agent: &Arc<Agent>, shared: Arc<Established>) -> Self {
        let call_id = shared.dialog.lock().unwrap().call_id.clone();
        agent.add(call_id.clone(), Arc::clone(&shared));
        Self {
            agent: Arc::clone(agent),
            call_id,
            shared,
        }
    }

    fn request(&self, method: &str) -> (Message, SocketAddr) {
        let mut dialog = self.shared.dialog.lock().unwrap();
        let request = dialog.request(method, &Via::unique(self.agent.address));
        let to = dialog
            .address()
            .expect("the other side's contact is an address");
        (request, to)
    }

    /// Sends this tone from now on, or silence.
    pub fn send(&self, tone: Option<Tone>) {
        self.shared.media.lock().tone = tone;
    }

    /// Puts the other side on hold: from now on it should send nothing.
    pub async fn hold(&self) {
        self.offer(Direction::SendOnly).await;
    }

    /// Ends the hold.
    pub async fn resume(&self) {
        self.offer(Direction::Both).await;
    }

    async fn offer(&self, direction: Direction) {
        let offer = {
            let mut negotiation = self.shared.negotiation.lock().unwrap();
            negotiation.version += 1;
            negotiation.direction = direction;
            let media = self.shared.media.address;
            Description { media, direction }.write(negotiation.version)
        };
        let (invite, to) = self.request("INVITE");
        let response = self.agent.transact(&invite.with_sdp(offer), to).await;
        assert_eq!(response.status(), Some(200), "a new offer: {response:?}");
        let dialog = self.shared.dialog.lock().unwrap().clone();
        self.agent.acknowledge(&dialog, &response).await;
        let answer = Description::parse(&response.body).expect("an answer has a description");
        self.shared.media.lock().remote = Some(answer.media);
    }

    /// Presses these keys, one after the other. Returns when all have been sent.
    pub async fn press(&self, keys: &str) {
        self.shared.media.press(keys);
        let sent = async {
            while !self.shared.media.has_pressed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(TIMEOUT, sent).await.expect("the keys are sent");
    }

    /// The keys that the other side has pressed.
    pub fn keys(&self) -> String {
        self.shared.media.lock().keys.clone()
    }

    /// Ends the call.
    pub async fn hang_up(&self) {
        let (bye, to) = self.request("BYE");
        let response = self.agent.transact(&bye, to).await;
        assert_eq!(response.status(), Some(200), "{response:?}");
        self.shared.end("");
    }

    /// True if either side has ended the call.
    pub fn is_over(&self) -> bool {
        self.shared.ended.borrow().is_some()
    }

    /// Waits until the other side ends the call. Returns the header `Reason`.
    pub async fn until_ended(&self) -> String {
        let mut ended = self.shared.ended.subscribe();
        let waited = timeout(TIMEOUT, ended.wait_for(Option::is_some)).await;
        let ended = waited.expect("the other side hangs up").unwrap();
        ended.clone().unwrap_or_default()
    }

    /// Waits until the other side ends the call. Returns false if it has not after this time.
    pub async fn ends_within(&self, time: Duration) -> bool {
        let mut ended = self.shared.ended.subscribe();
        timeout(time, ended.wait_for(Option::is_some)).await.is_ok()
    }

    /// The number of offers (re-INVITE, UPDATE) that the other side has made in this call.
    pub fn offers(&self) -> usize {
        self.shared.negotiation.lock().unwrap().offers
    }

    /// The time up to which sound has been received.
    pub fn clock(&self) -> Instant {
        self.shared.media.lock().clock
    }

    /// The samples that arrived between these times.
    pub fn sound(&self, from: Instant, to: Instant) -> Vec<i16> {
        self.shared.media.lock().hearing.sound(from, to)
    }

    /// The known tones that are audible in each of these consecutive windows.
    pub fn audible(&self, from: Instant, window: Duration, count: u32) -> Vec<BTreeSet<Tone>> {
        self.shared
            .media
            .lock()
            .hearing
            .audible(from, window, count)
    }
}
