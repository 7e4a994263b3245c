//! One event stream: from its place on, at the speed of its client.
//!
//! Owns the order: what is stored comes once and without a gap, whatever was missed of the hub's telling is read from
//! the store. Driven by the connection, which asks for the next event when it has room for one: nothing is made ahead
//! but what one read of the store brought.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::hub::{Held, Hub, Told};
use super::place::{Found, Mark, Place};
use crate::api::auth::KeyDigest;
use crate::api::cursor::{CursorKey, List};
use crate::api::registry::Tenants;
use crate::ids::{AppId, NodeId, RoomId};
use crate::store::live::{LiveEvent, OutboxSlice};
use crate::store::{Message, Scope, StoreError};
use crate::telemetry as names;
use crate::time::Timestamp;
use crate::webhook::endpoint::EventFilter;

/// Messages read at once: what a slow client costs.
const READ: usize = 64;

/// What a client waits before it comes back, unless it knows better: so that those of a replica that stops do not all
/// come at once, and none of them waits for long.
const RETRY: Duration = Duration::from_secs(2);

/// The last that is told of a room.
const LAST: &str = "conference.destroyed";

/// Why the app may have the stream: the key that it was opened with.
pub(super) struct Access {
    pub(super) tenants: watch::Receiver<Arc<Tenants>>,
    pub(super) key: KeyDigest,
}

impl Access {
    /// Whether it is one of the app's keys still.
    fn holds(&mut self, app: &AppId) -> bool {
        let tenants = self.tenants.borrow_and_update();
        tenants.get(app).is_some_and(|app| app.has(&self.key))
    }
}

/// What a stream is of.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) app: AppId,
    /// This room alone.
    pub(super) room: Option<RoomId>,
    /// It was over when the stream began: the stream ends behind what has been told.
    pub(super) room_is_over: bool,
    /// What any of these means; all when there is none.
    pub(super) events: Vec<EventFilter>,
}

impl Subject {
    fn wants(&self, event: &str) -> bool {
        // One with a line break in it would be more than one line; none of ours has.
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

/// Where an event comes from.
#[derive(Clone, Copy)]
enum Kind {
    Stored,
    Live,
    /// Of the stream itself.
    Own,
}

/// A node's part of a stream.
struct Way {
    node: NodeId,
    /// How far it is; from the oldest message on where that is not known.
    mark: Option<Mark>,
    /// It is to be read from the store.
    is_behind: bool,
    /// But not before then, for the store did not answer.
    not_before: Option<Instant>,
}

/// One event stream.
pub(super) struct Reader {
    hub: Arc<Hub>,
    key: CursorKey,
    access: Access,
    subject: Subject,
    ways: Vec<Way>,
    told: broadcast::Receiver<Told>,
    live: broadcast::Receiver<Arc<LiveEvent>>,
    /// What is to be sent next, and what kind it is counted as.
    ready: VecDeque<(Kind, Event)>,
    /// The client does not have the id of the place where the stream is.
    has_moved: bool,
    /// Nothing follows what is ready.
    is_over: bool,
    next_beat: Instant,
    _place: Held,
}

/// The form of what is told of the stream itself: that of a webhook's body.
#[derive(Serialize)]
struct Own<'a, D> {
    event: &'static str,
    timestamp: String,
    app_id: &'a AppId,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<RoomId>,
    data: D,
}

#[derive(Serialize)]
struct Opened {
    resumed: bool,
}

#[derive(Serialize)]
struct Gap {
    nodes: [Missing; 1],
}

#[derive(Serialize)]
struct Missing {
    node: NodeId,
    missing: Option<u64>,
}

impl Reader {
    /// The stream from a place on, or from now on.
    pub(super) async fn begin(
        hub: &Arc<Hub>,
        key: CursorKey,
        access: Access,
        subject: Subject,
        from: Option<Place>,
        held: Held,
    ) -> Result<Self, StoreError> {
        // Before the store is asked where now is: what is told between is passed over, not missed.
        let (told, live) = (hub.told(), hub.live());
        let nodes: Vec<NodeId> = match subject.room {
            Some(room) => vec![room.node()],
            None => hub.nodes().to_vec(),
        };
        let resumed = from.is_some();
        let mut ways = Vec::with_capacity(nodes.len());
        for node in nodes {
            let mark = match &from {
                Some(place) => place.marks.get(&node).copied(),
                None => {
                    let slice = hub.store.read_outbox_after(node, None, 0).await?;
                    Some(Mark::newest(&slice))
                }
            };
            ways.push(Way {
                node,
                mark,
                is_behind: resumed,
                not_before: None,
            });
        }
        let mut reader = Self {
            hub: Arc::clone(hub),
            key,
            access,
            subject,
            ways,
            told,
            live,
            ready: VecDeque::new(),
            has_moved: false,
            is_over: false,
            next_beat: Instant::now() + hub.settings.heartbeat,
            _place: held,
        };
        let opened = reader.own("stream.open", Opened { resumed }).retry(RETRY);
        reader.ready.push_back((Kind::Own, opened));
        Ok(reader)
    }

    /// What is to be sent next, when there is something; `None`: the stream is over.
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
            let due = |way: &Way| way.is_behind && way.not_before.is_none_or(|at| at <= now);
            if let Some(behind) = self.ways.iter().position(due) {
                stop.run_until_cancelled(self.read(behind)).await?;
                continue;
            }
            let is_behind = self.ways.iter().any(|way| way.is_behind);
            if self.subject.room_is_over && !is_behind {
                self.end();
                continue;
            }
            let waits = self.ways.iter().filter(|way| way.is_behind);
            let wake = waits
                .filter_map(|way| way.not_before)
                .fold(self.next_beat, Instant::min);
            tokio::select! {
                () = stop.cancelled() => return None,
                // The registry ends with the program.
                Ok(()) = self.access.tenants.changed() => {
                    self.is_over = !self.access.holds(&self.subject.app);
                }
                told = self.told.recv() => self.hear(told),
                live = self.live.recv() => self.hear_live(live),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// What shows that the stream lives, and where it is if it went on without anything for its client: who comes back
    /// much later does not begin before all that happened to others.
    fn beat(&mut self) -> Event {
        let beat = Event::default().comment("");
        if std::mem::take(&mut self.has_moved) {
            beat.id(self.id())
        } else {
            beat
        }
    }

    /// The id of the place where the stream is.
    fn id(&self) -> String {
        let marks = self.ways.iter();
        let place = Place {
            marks: marks
                .filter_map(|way| Some((way.node, way.mark?)))
                .collect(),
            over: self.is_over,
        };
        let Subject { app, .. } = &self.subject;
        self.key.seal(app, self.subject.list(), &place.text())
    }

    /// Something that is told of the stream itself.
    fn own(&mut self, event: &'static str, data: impl Serialize) -> Event {
        let body = Own {
            event,
            timestamp: Timestamp::now().rfc3339_micros(),
            app_id: &self.subject.app,
            room_id: self.subject.room,
            data,
        };
        // Strings, numbers and flags under fixed names: it is always JSON.
        let body = serde_json::to_string(&body).unwrap_or_default();
        self.has_moved = false;
        Event::default().id(self.id()).event(event).data(body)
    }

    fn hear(&mut self, told: Result<Told, RecvError>) {
        match told {
            Ok(Told::Stored(stored)) => {
                let way = self.ways.iter_mut().find(|way| way.node == stored.node);
                let Some(way) = way.filter(|way| !way.is_behind) else {
                    // Of a node that the stream is not of; or it is read from the store all the same.
                    return;
                };
                let next = way.mark.map_or(1, |mark| mark.position + 1);
                match stored.mark.position.cmp(&next) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => {
                        way.mark = Some(stored.mark);
                        self.pass_on(&stored.message);
                    }
                    std::cmp::Ordering::Greater => way.is_behind = true,
                }
            }
            Ok(Told::Look(node)) => {
                for way in self.ways.iter_mut().filter(|way| way.node == node) {
                    way.is_behind = true;
                }
            }
            // Too slow for the ring, but not for the store.
            Err(RecvError::Lagged(_)) => {
                for way in &mut self.ways {
                    way.is_behind = true;
                }
            }
            // The hub holds the other end, and is held here.
            Err(RecvError::Closed) => self.is_over = true,
        }
    }

    fn hear_live(&mut self, live: Result<Arc<LiveEvent>, RecvError>) {
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

    /// Reads a node on from the store.
    async fn read(&mut self, at: usize) {
        let Some(way) = self.ways.get(at) else {
            return;
        };
        let (node, mark) = (way.node, way.mark);
        let position = Some(mark.map_or(0, |mark| mark.position));
        let store = Arc::clone(&self.hub.store);
        let read = async {
            let slice = store.read_outbox_after(node, position, READ).await?;
            // Where the node is not known to have been before, there is nothing to miss.
            let found = mark.map_or(Found::Here, |mark| mark.find(&slice));
            let now = match found {
                Found::Here | Found::Trimmed(_) => None,
                Found::Lost => Some(store.read_outbox_after(node, None, 0).await?),
            };
            Ok::<_, StoreError>((slice, found, now))
        };
        let read = read.await;
        let again = self.hub.ask_again();
        let Some(way) = self.ways.get_mut(at) else {
            return;
        };
        way.not_before = None;
        match read {
            Ok((slice, Found::Here, _)) => {
                if way.mark.is_none() {
                    way.mark = Some(Mark::oldest(&slice));
                }
                self.take(at, slice);
            }
            Ok((slice, Found::Trimmed(missing), _)) => {
                way.mark = Some(Mark::oldest(&slice));
                self.tell_gap(node, Some(missing));
                self.take(at, slice);
            }
            // What there is in this store may be what the client has, or not: it is to read the state, which holds all
            // of it, and to go on from there.
            Ok((_, Found::Lost, now)) => {
                way.mark = now.as_ref().map(Mark::newest);
                self.tell_gap(node, None);
            }
            Err(error) => {
                metrics::counter!(names::STORE_ERRORS, "caller" => "events").increment(1);
                tracing::debug!(
                    node.id = %node,
                    error = &error as &dyn std::error::Error,
                    "an event stream could not be read on"
                );
                way.not_before = Some(again);
            }
        }
    }

    /// Takes over what was read of a node.
    fn take(&mut self, at: usize, slice: OutboxSlice) {
        let Some(way) = self.ways.get_mut(at) else {
            return;
        };
        // A page that is not full was the last; what has come since is told, or found to be missing by what comes next.
        way.is_behind = slice.messages.len() == READ;
        for (position, message) in slice.messages {
            if self.is_over {
                return;
            }
            if let Some(way) = self.ways.get_mut(at) {
                way.mark = Some(Mark::behind(position, &message.id));
            }
            self.pass_on(&message);
        }
    }

    fn tell_gap(&mut self, node: NodeId, missing: Option<u64>) {
        metrics::counter!(names::EVENT_GAPS).increment(1);
        tracing::info!(
            node.id = %node,
            app.id = %self.subject.app,
            missing,
            "an event stream was told of a gap"
        );
        let nodes = [Missing { node, missing }];
        let gap = self.own("stream.gap", Gap { nodes });
        self.ready.push_back((Kind::Own, gap));
    }

    /// Sends a message, if it is for this client.
    fn pass_on(&mut self, message: &Message) {
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

    /// Ends the stream with an id behind which there is nothing, so that its client does not come back for ever.
    fn end(&mut self) {
        self.is_over = true;
        self.has_moved = false;
        let last = Event::default().comment("").id(self.id());
        self.ready.push_back((Kind::Own, last));
    }
}
