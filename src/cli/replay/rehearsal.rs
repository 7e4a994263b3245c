//! What a controller would make of news: its belief, and what it would tell and order.
//!
//! Owns whose calls and rooms they are taken to be, and the order of the inputs: news, and the deadlines that were due
//! before it. There is no store: each piece of news is a commit of its own, and it always succeeds. There is no
//! FreeSWITCH either that could answer an order, or show a snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::ids::{AppId, ChannelId, NodeId, RoomId};
use crate::reconciler::belief::{About, Belief, Cx, FreshIds, Notice, Order, Rules};
use crate::reconciler::intent::Intent;
use crate::reconciler::news::{ChannelChange, ConferenceChange, Identity, News, What};
use crate::reconciler::{OrderSettings, order_text};
use crate::room::{Kind, MemberStatus, Origin};
use crate::session::Direction;
use crate::store::EntityId;
use crate::time::Timestamp;
use crate::webhook::payload;

use super::stream::Heard;

/// Events that are kept until one names a room, and so the node. A call is in a room, or parked for one, long before.
const KEPT: usize = 8_192;

/// The name of rooms that are taken to have been made before the recording.
const NAME: &str = "replay";

/// Whose the calls and rooms are.
#[derive(Clone, Debug)]
pub(super) enum Owners {
    /// All of them this app's.
    One(AppId),
    /// Whose the channel variable says, else this app's.
    AsSaid(AppId),
    /// As a controller with this configuration decides; what is nobody's is left alone.
    Configured,
}

/// What follows from a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Follows {
    /// Told to the app: the body.
    Webhook(Value),
    /// Told to FreeSWITCH: the command.
    Order(String),
    /// An order that could not be given, and why.
    NoOrder(String),
    /// A snapshot is taken, for this reason.
    Snapshot(&'static str),
    /// It means nothing to any room or call, or came too late to.
    Ignored,
    /// A call that is nobody's has been parked.
    Foreign,
}

/// What follows, when, and from the message at which byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) at: u64,
    pub(super) time: Timestamp,
    pub(super) what: Follows,
}

/// Ids that are the same every time.
#[derive(Debug)]
struct Counted(u128);

impl FreshIds for Counted {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        // Above the bits that hold the node in an id that leads to it.
        Uuid::from_u128(self.0 << 64)
    }
}

/// A belief that is made from a recording.
#[derive(Debug)]
pub(super) struct Rehearsal {
    belief: Option<Belief>,
    rules: Rules,
    owners: Owners,
    orders: OrderSettings,
    ids: Counted,
    now: Timestamp,
    /// Until the node is known.
    kept: Vec<(u64, Heard)>,
    /// Whose calls are that have said so.
    callers: HashMap<ChannelId, AppId>,
    /// Conferences that have begun and not shown yet whose they are.
    begun: BTreeMap<RoomId, (u64, News)>,
    deadlines: BTreeSet<(Timestamp, EntityId)>,
    deadline_of: HashMap<EntityId, Timestamp>,
}

impl Rehearsal {
    pub(super) fn new(
        node: Option<NodeId>,
        owners: Owners,
        mut rules: Rules,
        orders: OrderSettings,
    ) -> Self {
        if let Owners::One(app) | Owners::AsSaid(app) = &owners {
            rules.apps.insert(app.clone());
        }
        let mut rehearsal = Self {
            belief: None,
            rules,
            owners,
            orders,
            ids: Counted(0),
            now: Timestamp::default(),
            kept: Vec::new(),
            callers: HashMap::new(),
            begun: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: HashMap::new(),
        };
        if let Some(node) = node {
            rehearsal.meet(node);
        }
        rehearsal
    }

    fn meet(&mut self, node: NodeId) {
        let mut belief = Belief::new(node, self.rules.clone());
        // It sent this.
        belief.set_reachable(true);
        self.belief = Some(belief);
    }

    /// The node whose rooms these are, once that is known.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.belief.as_ref().map(Belief::node)
    }

    /// Takes in an event; what follows, in its order.
    pub(super) fn event(&mut self, at: u64, heard: Heard) -> Vec<Told> {
        if self.belief.is_some() {
            return self.apply(at, heard);
        }
        let room = heard.news.as_ref().and_then(|news| match &news.what {
            What::Conference { room, .. } => Some(room.node()),
            What::Channel { .. } => None,
        });
        self.kept.push((at, heard));
        match room {
            Some(node) => self.catch_up(node),
            None if self.kept.len() >= KEPT => self.catch_up(some_node()),
            None => Vec::new(),
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        if self.belief.is_none() {
            told = self.catch_up(some_node());
        }
        for (room, (at, news)) in std::mem::take(&mut self.begun) {
            let owner = self.default_owner();
            told.extend(self.room_news(at, room, owner, news));
        }
        told
    }

    fn catch_up(&mut self, node: NodeId) -> Vec<Told> {
        self.meet(node);
        let kept = std::mem::take(&mut self.kept);
        kept.into_iter()
            .flat_map(|(at, heard)| self.apply(at, heard))
            .collect()
    }

    fn apply(&mut self, at: u64, heard: Heard) -> Vec<Told> {
        // The clock of a recording goes back by milliseconds now and then, and that of a controller does not.
        self.now = self.now.max(heard.time.unwrap_or_default());
        let mut told = self.due(at);
        if let Some(core) = heard.core {
            told.extend(self.input(at, |belief, cx| belief.core_changed(Some(core), cx)));
        }
        let Some(mut news) = heard.news else {
            return told;
        };
        self.owned(&mut news);
        let What::Conference { room, change, .. } = &news.what else {
            told.extend(self.input(at, |belief, cx| belief.news(news, cx)));
            return told;
        };
        let (room, present) = (*room, change.present());
        let is_begin = matches!(change, ConferenceChange::Created);
        let known = self.knows(room);
        let caller = present.and_then(|channel| self.callers.get(&channel).cloned());
        if known {
            told.extend(self.input(at, |belief, cx| belief.news(news, cx)));
        } else if is_begin && !matches!(self.owners, Owners::One(_)) {
            // Whose it is, its first member says; that comes next.
            if let Some((at, before)) = self.begun.insert(room, (at, news)) {
                let owner = self.default_owner();
                told.extend(self.room_news(at, room, owner, before));
            }
        } else {
            let owner = caller.or_else(|| self.default_owner());
            if let Some((at, begun)) = self.begun.remove(&room) {
                told.extend(self.room_news(at, room, owner.clone(), begun));
            }
            told.extend(self.room_news(at, room, owner, news));
        }
        told
    }

    /// News of a room that is taken to be this app's; `None`: of nobody.
    fn room_news(&mut self, at: u64, room: RoomId, owner: Option<AppId>, news: News) -> Vec<Told> {
        self.input(at, |belief, cx| {
            if let Some(app) = owner
                && belief.room(room).is_none()
                && room.node() == belief.node()
            {
                let create = Intent::CreateRoom {
                    room,
                    app,
                    name: NAME.to_owned(),
                    origin: Origin::Gateway,
                    kind: Kind::Conference,
                    details: Box::default(),
                };
                // To make a room is never refused: its name was reserved before.
                let _ = belief.intent(create, cx);
            }
            belief.news(news, cx);
        })
    }

    /// Whether it was decided whose the room is: it is, or is nobody's, as long as it is there.
    fn knows(&self, room: RoomId) -> bool {
        let belief = self.belief.as_ref();
        belief.is_some_and(|belief| belief.room(room).is_some())
    }

    fn default_owner(&self) -> Option<AppId> {
        match &self.owners {
            Owners::One(app) | Owners::AsSaid(app) => Some(app.clone()),
            Owners::Configured => None,
        }
    }

    /// Makes the news say whose the call is, as far as that is taken to be so.
    fn owned(&mut self, news: &mut News) {
        let (channel, identity) = match &mut news.what {
            What::Conference { change, .. } => match change {
                ConferenceChange::Added(block)
                | ConferenceChange::Flags(block)
                | ConferenceChange::Floor {
                    holder: Some(block),
                } => (block.channel, &mut block.identity),
                ConferenceChange::Created
                | ConferenceChange::Destroyed
                | ConferenceChange::Removed { .. }
                | ConferenceChange::Moving(_)
                | ConferenceChange::Floor { holder: None }
                | ConferenceChange::Locked(_)
                | ConferenceChange::FileOpened { .. }
                | ConferenceChange::FileEnded(_)
                | ConferenceChange::RecordingStarted { .. }
                | ConferenceChange::RecordingStopped { .. }
                | ConferenceChange::Other => return,
            },
            What::Channel { channel, change } => match change {
                ChannelChange::Created(identity)
                | ChannelChange::Answered(identity)
                | ChannelChange::Parked { identity, .. } => (*channel, identity),
                ChannelChange::Destroyed { .. } => {
                    self.callers.remove(channel);
                    return;
                }
                ChannelChange::StepEnded { .. } | ChannelChange::HungUp { .. } => return,
            },
        };
        match &self.owners {
            Owners::One(app) => identity.app = Some(app.clone()),
            Owners::AsSaid(app) => {
                if let Some(said) = &identity.app {
                    self.callers.insert(channel, said.clone());
                    if self.rules.apps.insert(said.clone())
                        && let Some(belief) = &mut self.belief
                    {
                        belief.set_rules(self.rules.clone());
                    }
                }
                let owner = self.callers.get(&channel).unwrap_or(app);
                identity.app = Some(owner.clone());
            }
            Owners::Configured => {
                if let Some(owner) = self.configured_owner(identity) {
                    self.callers.insert(channel, owner);
                }
            }
        }
    }

    fn configured_owner(&self, identity: &Identity) -> Option<AppId> {
        match (&identity.app, identity.direction) {
            (Some(app), _) => self.rules.apps.get(app).cloned(),
            (None, Direction::Inbound) => self.rules.dids.get(identity.did.as_deref()?).cloned(),
            (None, Direction::Outbound) => None,
        }
    }

    /// What was due before now.
    fn due(&mut self, at: u64) -> Vec<Told> {
        let mut told = Vec::new();
        let now = self.now;
        while let Some((due, entity)) = self.deadlines.first().copied()
            && due <= now
        {
            self.deadlines.pop_first();
            self.deadline_of.remove(&entity);
            self.now = due;
            told.extend(self.input(at, |belief, cx| belief.deadline(entity, cx)));
            self.now = now;
        }
        told
    }

    fn input(&mut self, at: u64, take: impl FnOnce(&mut Belief, &mut Cx<'_>)) -> Vec<Told> {
        let Some(belief) = &mut self.belief else {
            return Vec::new();
        };
        let now = self.now;
        let mut cx = Cx::new(now, &mut self.ids);
        take(belief, &mut cx);
        let out = cx.out;
        let touched = belief.take_touched();
        for entity in &touched {
            let deadline = match entity {
                EntityId::Room(id) => belief.room_mut(*id).and_then(|room| {
                    // They are written nowhere.
                    let _ = room.take_changes();
                    room.next_deadline()
                }),
                EntityId::Session(id) => belief.session_mut(*id).and_then(|call| {
                    let _ = call.take_changed();
                    call.next_deadline()
                }),
            };
            belief.drop_over(*entity, now);
            if let Some(before) = self.deadline_of.remove(entity) {
                self.deadlines.remove(&(before, *entity));
            }
            if let Some(due) = deadline {
                self.deadlines.insert((due, *entity));
                self.deadline_of.insert(*entity, due);
            }
        }
        let mut follows: Vec<Follows> = Vec::new();
        follows.extend(out.notices.iter().map(|notice| {
            let body = body(notice, self.ids.uuid(), now);
            Follows::Webhook(body)
        }));
        follows.extend(out.orders.iter().map(|order| self.order(order)));
        follows.extend(out.resync.map(Follows::Snapshot));
        follows.extend((0..out.ignored).map(|_| Follows::Ignored));
        follows.extend((0..out.foreign).map(|_| Follows::Foreign));
        follows
            .into_iter()
            .map(|what| Told {
                at,
                time: now,
                what,
            })
            .collect()
    }

    fn order(&self, order: &Order) -> Follows {
        match order_text(order, &self.orders) {
            Ok(text) => Follows::Order(text),
            Err(unfit) => Follows::NoOrder(unfit.to_string()),
        }
    }

    /// What is believed of rooms: those of apps, and those with somebody in them.
    pub(super) fn rooms(&self) -> Vec<Value> {
        let Some(belief) = &self.belief else {
            return Vec::new();
        };
        let mut rooms: Vec<_> = belief.rooms().collect();
        rooms.sort_by_key(|room| room.id());
        rooms
            .into_iter()
            .map(|room| {
                let members: Vec<Value> = room
                    .members()
                    .iter()
                    .map(|(call, member)| {
                        let status = match member.status {
                            MemberStatus::Joining { .. } => "joining",
                            MemberStatus::Joined => "joined",
                            MemberStatus::Leaving { .. } => "leaving",
                        };
                        json!({
                            "uuid": call.to_string(),
                            "status": status,
                            "caller_id": member.caller_id.as_str(),
                            "did": member.did.as_str(),
                            "can_speak": member.flags.can_speak(),
                            "can_hear": member.flags.can_hear(),
                            "hold": member.flags.hold,
                            "talking": member.flags.talking,
                            "floor": room.floor() == Some(call.channel()),
                        })
                    })
                    .collect();
                json!({
                    "room_id": room.id().to_string(),
                    "app_id": room.registration().map(|of| of.app.to_string()),
                    "conference_id": room.conference().map(|of| of.id.to_string()),
                    "locked": room.lock().locked(),
                    "members": members,
                })
            })
            .collect()
    }

    /// What is believed of calls.
    pub(super) fn calls(&self) -> Vec<Value> {
        let Some(belief) = &self.belief else {
            return Vec::new();
        };
        let mut calls: Vec<_> = belief.sessions().collect();
        calls.sort_by_key(|call| call.id());
        calls
            .into_iter()
            .map(|call| {
                json!({
                    "uuid": call.id().to_string(),
                    "app_id": call.app().to_string(),
                    "state": call.place().as_str(),
                    "room_id": call.place().room().map(|room| room.to_string()),
                    "caller_id": call.caller_id().as_str(),
                    "did": call.did().as_str(),
                    "direction": call.direction().as_str(),
                })
            })
            .collect()
    }
}

/// The node of a recording that names no room: its id shows in the ids of the calls.
fn some_node() -> NodeId {
    match "node0".parse() {
        Ok(node) => node,
        Err(e) => unreachable!("five characters: {e}"),
    }
}

/// The body of a webhook.
fn body(notice: &Notice, id: Uuid, now: Timestamp) -> Value {
    let message = match &notice.about {
        About::Room(room, told) => payload::room_message(id, &notice.app, *room, told, now),
        About::Session(call, told) => payload::session_message(id, &notice.app, *call, told, now),
    };
    // It was just made from JSON.
    serde_json::from_str(&message.body).unwrap_or_default()
}
