//! One event stream: from its cursor on, at the speed of its client.
//!
//! Owns the order: each stored event comes once and without a gap. Messages of the hub that the stream missed are read
//! from the store. The connection drives it and requests the next event when it can send one, so at most one read of
//! the store is buffered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::cursor::{NodePosition, PositionStatus, StreamCursor};
use super::hub::{Hub, HubMessage, StreamPermit};
use crate::clock;
use crate::http::cursor::{CursorKey, List};
use crate::store::live::{LiveEvent, OutboxSlice};
use crate::store::{Message, Scope, StoreError};
use crate::telemetry as names;
use crate::tenants::{KeyDigest, Tenants};
use crate::webhook::endpoint::EventFilter;
use roomkeeper_core::ids::{AppId, NodeId, RoomId};

/// The number of messages of one read: the memory that a slow client costs.
const READ: usize = 64;

/// The client's pause before it reconnects: short, but it spreads the clients of a stopping replica.
const RETRY: Duration = Duration::from_secs(2);

/// The last event of a room.
const LAST: &str = "conference.destroyed";

/// The key that opened the stream, and the registry that says if it is still valid.
pub(super) struct Access {
    pub(super) tenants: watch::Receiver<Arc<Tenants>>,
    pub(super) key: KeyDigest,
}

impl Access {
    /// True if the key still belongs to the app.
    fn is_valid(&mut self, app: &AppId) -> bool {
        let tenants = self.tenants.borrow_and_update();
        tenants.get(app).is_some_and(|app| app.has(&self.key))
    }
}

/// The filter of a stream.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) app: AppId,
    /// Only this room.
    pub(super) room: Option<RoomId>,
    /// The room had ended when the stream started: the stream ends after the stored events.
    pub(super) room_is_over: bool,
    /// Events that match any of these; all events if empty.
    pub(super) events: Vec<EventFilter>,
}

impl Subject {
    fn wants(&self, event: &str) -> bool {
        // A name with a line break would break the stream; no name has one.
        let is_name = event.bytes().all(|byte| byte.is_ascii_graphic());
        let matches = || self.events.iter().any(|filter| filter.matches(event));
        is_name && (self.events.is_empty() || matches())
    }

    fn is_about(&self, app: &AppId, room: Option<RoomId>) -> bool {
        *app == self.app && (self.room.is_none() || self.room == room)
    }

    pub(super) fn list(&self) -> List {
        List::Events(self.room)
    }
}

/// The source of an event.
#[derive(Clone, Copy)]
enum Kind {
    Stored,
    Live,
    /// The stream itself.
    Own,
}

/// A stream's progress on one node.
struct NodeProgress {
    node: NodeId,
    /// The position; `None`: start at the oldest message.
    position: Option<NodePosition>,
    /// Messages must be read from the store.
    is_behind: bool,
    /// The time of the next attempt after the store did not respond.
    not_before: Option<Instant>,
}

/// One event stream.
pub(super) struct Reader {
    hub: Arc<Hub>,
    key: CursorKey,
    access: Access,
    subject: Subject,
    progress: Vec<NodeProgress>,
    messages: broadcast::Receiver<HubMessage>,
    live: broadcast::Receiver<Arc<LiveEvent>>,
    /// Events to send, with the kind that metrics count.
    ready: VecDeque<(Kind, Event)>,
    /// The stream has moved since the last id that the client got.
    has_moved: bool,
    /// No events follow those in `ready`.
    is_over: bool,
    next_beat: Instant,
    _permit: StreamPermit,
}

/// The body of an event about the stream itself, in the form of a webhook's body.
#[derive(Serialize)]
struct StreamBody<'a, D> {
    event: &'static str,
    timestamp: String,
    app_id: &'a AppId,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<RoomId>,
    data: D,
}

#[derive(Serialize)]
struct OpenData {
    resumed: bool,
}

#[derive(Serialize)]
struct GapData {
    nodes: [MissingEvents; 1],
}

#[derive(Serialize)]
struct MissingEvents {
    node: NodeId,
    missing: Option<u64>,
}

impl Reader {
    /// Starts a stream at a cursor, or at the current position.
    pub(super) async fn begin(
        hub: &Arc<Hub>,
        key: CursorKey,
        access: Access,
        subject: Subject,
        from: Option<StreamCursor>,
        permit: StreamPermit,
    ) -> Result<Self, StoreError> {
        // Subscribed before the current position is read: messages in between are skipped, not missed.
        let (messages, live) = (hub.subscribe(), hub.subscribe_live());
        let nodes: Vec<NodeId> = match subject.room {
            Some(room) => vec![room.node()],
            None => hub.nodes().to_vec(),
        };
        let resumed = from.is_some();
        let mut progress = Vec::with_capacity(nodes.len());
        for node in nodes {
            let position = match &from {
                Some(cursor) => cursor.positions.get(&node).copied(),
                None => {
                    let slice = hub.store.read_outbox_after(node, None, 0).await?;
                    Some(NodePosition::newest(&slice))
                }
            };
            progress.push(NodeProgress {
                node,
                position,
                is_behind: resumed,
                not_before: None,
            });
        }
        let mut reader = Self {
            hub: Arc::clone(hub),
            key,
            access,
            subject,
            progress,
            messages,
            live,
            ready: VecDeque::new(),
            has_moved: false,
            is_over: false,
            next_beat: Instant::now() + hub.settings.heartbeat,
            _permit: permit,
        };
        let opened = reader.own("stream.open", OpenData { resumed }).retry(RETRY);
        reader.ready.push_back((Kind::Own, opened));
        Ok(reader)
    }

    /// Waits for the next event; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let stop = self.hub.stop().clone();
        loop {
            if stop.is_cancelled() {
                return None;
            }
            let now = Instant::now();
            if let Some((kind, event)) = self.ready.pop_front() {
                self.next_beat = now + self.hub.settings.heartbeat;
                let kind = match kind {
                    Kind::Stored => Some("stored"),
                    Kind::Live => Some("live"),
                    Kind::Own => None,
                };
                if let Some(kind) = kind {
                    metrics::counter!(names::EVENTS_SENT, "kind" => kind).increment(1);
                }
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if now >= self.next_beat {
                self.next_beat = now + self.hub.settings.heartbeat;
                return Some(self.beat());
            }
            let due = |progress: &NodeProgress| {
                progress.is_behind && progress.not_before.is_none_or(|at| at <= now)
            };
            if let Some(behind) = self.progress.iter().position(due) {
                stop.run_until_cancelled(self.read(behind)).await?;
                continue;
            }
            let is_behind = self.progress.iter().any(|progress| progress.is_behind);
            if self.subject.room_is_over && !is_behind {
                self.end();
                continue;
            }
            let waits = self.progress.iter().filter(|progress| progress.is_behind);
            let wake = waits
                .filter_map(|progress| progress.not_before)
                .fold(self.next_beat, Instant::min);
            tokio::select! {
                () = stop.cancelled() => return None,
                // The registry lives as long as the program.
                Ok(()) = self.access.tenants.changed() => {
                    self.is_over = !self.access.is_valid(&self.subject.app);
                }
                message = self.messages.recv() => self.handle_message(message),
                live = self.live.recv() => self.handle_live(live),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// A comment that keeps the connection alive. It carries the id if the stream has moved past events of others, so
    /// that a client that reconnects much later need not skip them again.
    fn beat(&mut self) -> Event {
        let beat = Event::default().comment("");
        if std::mem::take(&mut self.has_moved) {
            beat.id(self.id())
        } else {
            beat
        }
    }

    /// The id of the current position.
    fn id(&self) -> String {
        let marks = self.progress.iter();
        let cursor = StreamCursor {
            positions: marks
                .filter_map(|progress| Some((progress.node, progress.position?)))
                .collect(),
            is_over: self.is_over,
        };
        let Subject { app, .. } = &self.subject;
        self.key.seal(app, self.subject.list(), &cursor.text())
    }

    /// Creates an event about the stream itself.
    fn own(&mut self, event: &'static str, data: impl Serialize) -> Event {
        let body = StreamBody {
            event,
            timestamp: clock::now().rfc3339_micros(),
            app_id: &self.subject.app,
            room_id: self.subject.room,
            data,
        };
        // Strings, numbers and booleans always serialize.
        let body = serde_json::to_string(&body).unwrap_or_default();
        self.has_moved = false;
        Event::default().id(self.id()).event(event).data(body)
    }

    fn handle_message(&mut self, message: Result<HubMessage, RecvError>) {
        match message {
            Ok(HubMessage::Stored(stored)) => {
                let progress = self
                    .progress
                    .iter_mut()
                    .find(|progress| progress.node == stored.node);
                let Some(progress) = progress.filter(|progress| !progress.is_behind) else {
                    // Another room's node, or a node that is being read from the store.
                    return;
                };
                let next = progress.position.map_or(1, |position| position.offset + 1);
                match stored.position.offset.cmp(&next) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => {
                        progress.position = Some(stored.position);
                        self.send(&stored.message);
                    }
                    std::cmp::Ordering::Greater => progress.is_behind = true,
                }
            }
            Ok(HubMessage::CheckStore(node)) => {
                for progress in self
                    .progress
                    .iter_mut()
                    .filter(|progress| progress.node == node)
                {
                    progress.is_behind = true;
                }
            }
            // The stream was too slow for the ring and continues from the store.
            Err(RecvError::Lagged(_)) => {
                for progress in &mut self.progress {
                    progress.is_behind = true;
                }
            }
            // The hub, which this stream holds, keeps the channel open.
            Err(RecvError::Closed) => self.is_over = true,
        }
    }

    fn handle_live(&mut self, live: Result<Arc<LiveEvent>, RecvError>) {
        match live {
            Ok(live) => {
                let LiveEvent {
                    app, room, event, ..
                } = live.as_ref();
                if self.subject.is_about(app, Some(*room)) && self.subject.wants(event) {
                    let shown = Event::default().event(event).data(&live.body);
                    self.ready.push_back((Kind::Live, shown));
                }
            }
            Err(RecvError::Lagged(missed)) => {
                metrics::counter!(names::LIVE_DROPPED, "where" => "stream").increment(missed);
            }
            Err(RecvError::Closed) => self.is_over = true,
        }
    }

    /// Reads the next messages of a node from the store.
    async fn read(&mut self, at: usize) {
        let Some(progress) = self.progress.get(at) else {
            return;
        };
        let (node, position) = (progress.node, progress.position);
        let offset = Some(position.map_or(0, |position| position.offset));
        let store = Arc::clone(&self.hub.store);
        let read = async {
            let slice = store.read_outbox_after(node, offset, READ).await?;
            // Without a previous position, no message can be missing.
            let status = position.map_or(PositionStatus::Valid, |position| position.check(&slice));
            let now = match status {
                PositionStatus::Valid | PositionStatus::Trimmed(_) => None,
                PositionStatus::Unknown => Some(store.read_outbox_after(node, None, 0).await?),
            };
            Ok::<_, StoreError>((slice, status, now))
        };
        let read = read.await;
        let again = self.hub.next_attempt();
        let Some(progress) = self.progress.get_mut(at) else {
            return;
        };
        progress.not_before = None;
        match read {
            Ok((slice, PositionStatus::Valid, _)) => {
                if progress.position.is_none() {
                    progress.position = Some(NodePosition::before_oldest(&slice));
                }
                self.take(at, slice);
            }
            Ok((slice, PositionStatus::Trimmed(missing), _)) => {
                progress.position = Some(NodePosition::before_oldest(&slice));
                self.report_gap(node, Some(missing));
                self.take(at, slice);
            }
            // It is unknown which of these messages the client has. It must read the state, and the stream continues
            // from the newest message.
            Ok((_, PositionStatus::Unknown, now)) => {
                progress.position = now.as_ref().map(NodePosition::newest);
                self.report_gap(node, None);
            }
            Err(error) => {
                metrics::counter!(names::STORE_ERRORS, "caller" => "events").increment(1);
                tracing::debug!(
                    node.id = %node,
                    error = &error as &dyn std::error::Error,
                    "cannot read the next events of a stream"
                );
                progress.not_before = Some(again);
            }
        }
    }

    /// Sends the messages that were read of a node.
    fn take(&mut self, at: usize, slice: OutboxSlice) {
        let Some(progress) = self.progress.get_mut(at) else {
            return;
        };
        // A page that is not full is the last. Later messages come from the hub, or their gap is detected.
        progress.is_behind = slice.messages.len() == READ;
        for (offset, message) in slice.messages {
            if self.is_over {
                return;
            }
            if let Some(progress) = self.progress.get_mut(at) {
                progress.position = Some(NodePosition::after(offset, &message.id));
            }
            self.send(&message);
        }
    }

    fn report_gap(&mut self, node: NodeId, missing: Option<u64>) {
        metrics::counter!(names::EVENT_GAPS).increment(1);
        tracing::info!(
            node.id = %node,
            app.id = %self.subject.app,
            missing,
            "an event stream has a gap"
        );
        let nodes = [MissingEvents { node, missing }];
        let gap = self.own("stream.gap", GapData { nodes });
        self.ready.push_back((Kind::Own, gap));
    }

    /// Sends a message if it matches the filter.
    fn send(&mut self, message: &Message) {
        self.has_moved = true;
        let room = match message.scope {
            Scope::Room(room) => Some(room),
            Scope::Session(_) | Scope::Webhooks => None,
        };
        if !self.subject.is_about(&message.app, room) {
            return;
        }
        self.is_over = self.subject.room.is_some() && message.event == LAST;
        if self.subject.wants(&message.event) {
            self.has_moved = false;
            let event = Event::default()
                .id(self.id())
                .event(&message.event)
                .data(&message.body);
            self.ready.push_back((Kind::Stored, event));
        } else if self.is_over {
            self.end();
        }
    }

    /// Ends the stream with a final id, so that its client does not reconnect forever.
    fn end(&mut self) {
        self.is_over = true;
        self.has_moved = false;
        let last = Event::default().comment("").id(self.id());
        self.ready.push_back((Kind::Own, last));
    }
}
