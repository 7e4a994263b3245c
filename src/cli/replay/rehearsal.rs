//! A dry run of the controller's rules: the node state that switch events lead to, and the webhooks and commands.
//!
//! Owns the assumed owners of calls and rooms, and the order of the inputs: switch events, and deadlines that were due
//! before them. There is no store: each switch event is a commit of its own that always succeeds. There is no
//! FreeSWITCH that could answer a command or return a snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::reconciler::{CommandSettings, command_text};
use crate::store::EntityId;
use crate::webhook::payload;
use roomkeeper_core::call::Direction;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{AppId, ChannelId, NodeId, RoomId};
use roomkeeper_core::intent::{CreateRoom, Intent};
use roomkeeper_core::node_state::{Context, IdSource, NodeState, Notification, Rules, Subject};
use roomkeeper_core::room::{Kind, MemberStatus, Origin};
use roomkeeper_core::switch_command::SwitchCommand;
use roomkeeper_core::switch_event::{
    ChannelChange, ConferenceChange, Identity, SwitchEvent, SwitchEventKind,
};
use roomkeeper_core::time::Timestamp;

use super::stream::ReceivedEvent;

/// The maximum number of events that are buffered until one names a room, and so the node.
const MAX_BUFFERED: usize = 8_192;

/// The name of rooms that are assumed to exist before the recording.
const NAME: &str = "replay";

/// The owners of calls and rooms.
#[derive(Clone, Debug)]
pub(super) enum Owners {
    /// This app owns all of them.
    One(AppId),
    /// The app in the channel variable, or else this app.
    FromChannel(AppId),
    /// The owner that the configuration determines. Calls without an owner are ignored.
    Configured,
}

/// The kind of an outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum OutcomeKind {
    /// A webhook with this body.
    Webhook(Value),
    /// A command for FreeSWITCH.
    Command(String),
    /// The reason why a command cannot be sent.
    InvalidCommand(String),
    /// A request for a snapshot, with its reason.
    Snapshot(&'static str),
    /// The event is irrelevant to all rooms and calls, or too old.
    Ignored,
    /// A call without an owner was parked.
    Unowned,
}

/// An outcome of the message at byte `at`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    pub(super) at: u64,
    pub(super) time: Timestamp,
    pub(super) kind: OutcomeKind,
}

/// A source of sequential ids, so that the output is reproducible.
#[derive(Debug)]
struct SequentialIds(u128);

impl IdSource for SequentialIds {
    fn next_uuid(&mut self) -> Uuid {
        self.0 += 1;
        // The lower bits encode the node in ids that carry one.
        Uuid::from_u128(self.0 << 64)
    }
}

/// A node state that is built from a recording.
#[derive(Debug)]
pub(super) struct Rehearsal {
    node_state: Option<NodeState>,
    rules: Rules,
    owners: Owners,
    commands: CommandSettings,
    ids: SequentialIds,
    now: Timestamp,
    /// Events until the node is known.
    buffered: Vec<(u64, ReceivedEvent)>,
    /// The owners of calls that have named one.
    callers: HashMap<ChannelId, AppId>,
    /// New conferences whose owner is not known yet.
    unclaimed: BTreeMap<RoomId, (u64, SwitchEvent)>,
    deadlines: BTreeSet<(Timestamp, EntityId)>,
    deadline_of: HashMap<EntityId, Timestamp>,
}

impl Rehearsal {
    pub(super) fn new(
        node: Option<NodeId>,
        owners: Owners,
        mut rules: Rules,
        commands: CommandSettings,
    ) -> Self {
        if let Owners::One(app) | Owners::FromChannel(app) = &owners {
            rules.apps.insert(app.clone());
        }
        let mut rehearsal = Self {
            node_state: None,
            rules,
            owners,
            commands,
            ids: SequentialIds(0),
            now: Timestamp::default(),
            buffered: Vec::new(),
            callers: HashMap::new(),
            unclaimed: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: HashMap::new(),
        };
        if let Some(node) = node {
            rehearsal.set_node(node);
        }
        rehearsal
    }

    fn set_node(&mut self, node: NodeId) {
        let mut node_state = NodeState::new(node, self.rules.clone());
        // The node sent the recorded bytes, so it is up.
        node_state.set_reachable(true);
        self.node_state = Some(node_state);
    }

    /// The node, once it is known.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.node_state.as_ref().map(NodeState::node)
    }

    /// Applies an event and returns its outcomes in order.
    pub(super) fn event(&mut self, at: u64, received: ReceivedEvent) -> Vec<Outcome> {
        if self.node_state.is_some() {
            return self.apply(at, received);
        }
        let room =
            received
                .switch_event
                .as_ref()
                .and_then(|switch_event| match &switch_event.kind {
                    SwitchEventKind::Conference { room, .. } => Some(room.node()),
                    SwitchEventKind::Channel { .. } => None,
                });
        self.buffered.push((at, received));
        match room {
            Some(node) => self.replay_buffered(node),
            None if self.buffered.len() >= MAX_BUFFERED => self.replay_buffered(placeholder_node()),
            None => Vec::new(),
        }
    }

    /// Ends the recording and returns the remaining outcomes.
    pub(super) fn end(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if self.node_state.is_none() {
            outcomes = self.replay_buffered(placeholder_node());
        }
        for (room, (at, switch_event)) in std::mem::take(&mut self.unclaimed) {
            let owner = self.default_owner();
            outcomes.extend(self.room_event(at, room, owner, switch_event));
        }
        outcomes
    }

    fn replay_buffered(&mut self, node: NodeId) -> Vec<Outcome> {
        self.set_node(node);
        let buffered = std::mem::take(&mut self.buffered);
        buffered
            .into_iter()
            .flat_map(|(at, received)| self.apply(at, received))
            .collect()
    }

    fn apply(&mut self, at: u64, received: ReceivedEvent) -> Vec<Outcome> {
        // Recorded timestamps sometimes go back by milliseconds; a controller's clock does not.
        self.now = self.now.max(received.time.unwrap_or_default());
        let mut outcomes = self.due(at);
        if let Some(core) = received.core {
            outcomes
                .extend(self.input(at, |node_state, cx| node_state.core_changed(Some(core), cx)));
        }
        let Some(mut switch_event) = received.switch_event else {
            return outcomes;
        };
        self.assign_owner(&mut switch_event);
        let SwitchEventKind::Conference { room, change, .. } = &switch_event.kind else {
            outcomes.extend(self.input(at, |node_state, cx| {
                node_state.apply_event(switch_event, cx)
            }));
            return outcomes;
        };
        let (room, present) = (*room, change.present());
        let is_begin = matches!(change, ConferenceChange::Created);
        let known = self.knows(room);
        let caller = present.and_then(|channel| self.callers.get(&channel).cloned());
        if known {
            outcomes.extend(self.input(at, |node_state, cx| {
                node_state.apply_event(switch_event, cx)
            }));
        } else if is_begin && !matches!(self.owners, Owners::One(_)) {
            // Its first member, which comes next, determines the owner.
            if let Some((at, before)) = self.unclaimed.insert(room, (at, switch_event)) {
                let owner = self.default_owner();
                outcomes.extend(self.room_event(at, room, owner, before));
            }
        } else {
            let owner = caller.or_else(|| self.default_owner());
            if let Some((at, first_event)) = self.unclaimed.remove(&room) {
                outcomes.extend(self.room_event(at, room, owner.clone(), first_event));
            }
            outcomes.extend(self.room_event(at, room, owner, switch_event));
        }
        outcomes
    }

    /// Applies an event of a room that is assumed to belong to this app; `None`: to no app.
    fn room_event(
        &mut self,
        at: u64,
        room: RoomId,
        owner: Option<AppId>,
        switch_event: SwitchEvent,
    ) -> Vec<Outcome> {
        self.input(at, |node_state, cx| {
            if let Some(app) = owner
                && node_state.room(room).is_none()
                && room.node() == node_state.node()
            {
                let action = CreateRoom {
                    name: NAME.to_owned(),
                    origin: Origin::Gateway,
                    kind: Kind::Conference,
                    details: Box::default(),
                };
                let create = Intent::new(Target::Room(room), app, action);
                // Creating a room is never refused: its name was reserved before.
                let _ = node_state.intent(create, cx);
            }
            node_state.apply_event(switch_event, cx);
        })
    }

    /// True if the room is in the node state, with or without an owner.
    fn knows(&self, room: RoomId) -> bool {
        let node_state = self.node_state.as_ref();
        node_state.is_some_and(|node_state| node_state.room(room).is_some())
    }

    fn default_owner(&self) -> Option<AppId> {
        match &self.owners {
            Owners::One(app) | Owners::FromChannel(app) => Some(app.clone()),
            Owners::Configured => None,
        }
    }

    /// Sets the assumed owner of the call in a switch event.
    fn assign_owner(&mut self, switch_event: &mut SwitchEvent) {
        let (channel, identity) = match &mut switch_event.kind {
            SwitchEventKind::Conference { change, .. } => match change {
                ConferenceChange::Added(block)
                | ConferenceChange::Flags(block)
                | ConferenceChange::MutedTalk(block)
                | ConferenceChange::Level { block, .. }
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
                | ConferenceChange::FileEnded { .. }
                | ConferenceChange::RecordingStarted { .. }
                | ConferenceChange::RecordingStopped { .. }
                | ConferenceChange::RecordingPaused { .. }
                | ConferenceChange::Other => return,
            },
            SwitchEventKind::Channel { channel, change } => match change.of_channel_mut() {
                ChannelChange::Created(identity)
                | ChannelChange::Answered(identity)
                | ChannelChange::Parked { identity, .. } => (*channel, identity),
                ChannelChange::Destroyed { .. } => {
                    self.callers.remove(channel);
                    return;
                }
                ChannelChange::Ringing
                | ChannelChange::StepEnded { .. }
                | ChannelChange::Digit(_)
                | ChannelChange::ListenedTo
                | ChannelChange::Bridged { .. }
                | ChannelChange::Leg { .. }
                | ChannelChange::RecordingStarted { .. }
                | ChannelChange::RecordingStopped { .. }
                | ChannelChange::HungUp { .. }
                | ChannelChange::Dialled { .. } => return,
            },
        };
        match &self.owners {
            Owners::One(app) => identity.app = Some(app.clone()),
            Owners::FromChannel(app) => {
                if let Some(named) = &identity.app {
                    self.callers.insert(channel, named.clone());
                    if self.rules.apps.insert(named.clone())
                        && let Some(node_state) = &mut self.node_state
                    {
                        node_state.set_rules(self.rules.clone());
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

    /// Runs the deadlines that are due.
    fn due(&mut self, at: u64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let now = self.now;
        while let Some((due, entity)) = self.deadlines.first().copied()
            && due <= now
        {
            self.deadlines.pop_first();
            self.deadline_of.remove(&entity);
            self.now = due;
            outcomes.extend(self.input(at, |node_state, cx| node_state.deadline(entity, cx)));
            self.now = now;
        }
        outcomes
    }

    fn input(
        &mut self,
        at: u64,
        take: impl FnOnce(&mut NodeState, &mut Context<'_>),
    ) -> Vec<Outcome> {
        let Some(node_state) = &mut self.node_state else {
            return Vec::new();
        };
        let now = self.now;
        let mut cx = Context::new(now, &mut self.ids);
        take(node_state, &mut cx);
        let out = cx.out;
        let touched = node_state.take_touched();
        for entity in &touched {
            let deadline = match entity {
                EntityId::Room(id) => node_state.room_mut(*id).and_then(|room| {
                    // Nothing is stored here.
                    let _ = room.take_changes();
                    room.next_deadline()
                }),
                EntityId::Call(id) => node_state.call_mut(*id).and_then(|call| {
                    let _ = call.take_changed();
                    call.next_deadline()
                }),
            };
            node_state.drop_over(*entity, now);
            if let Some(before) = self.deadline_of.remove(entity) {
                self.deadlines.remove(&(before, *entity));
            }
            if let Some(due) = deadline {
                self.deadlines.insert((due, *entity));
                self.deadline_of.insert(*entity, due);
            }
        }
        let mut kinds: Vec<OutcomeKind> = Vec::new();
        kinds.extend(out.notifications.iter().map(|notification| {
            let body = body(notification, self.ids.next_uuid(), now);
            OutcomeKind::Webhook(body)
        }));
        kinds.extend(out.commands.iter().map(|command| self.command(command)));
        kinds.extend(out.resync.map(OutcomeKind::Snapshot));
        kinds.extend((0..out.ignored).map(|_| OutcomeKind::Ignored));
        kinds.extend((0..out.foreign).map(|_| OutcomeKind::Unowned));
        kinds
            .into_iter()
            .map(|kind| Outcome {
                at,
                time: now,
                kind,
            })
            .collect()
    }

    fn command(&self, command: &SwitchCommand) -> OutcomeKind {
        match command_text(command, &self.commands) {
            Ok(text) => OutcomeKind::Command(text),
            Err(error) => OutcomeKind::InvalidCommand(error.to_string()),
        }
    }

    /// The rooms of the node state: those of apps, and those with members.
    pub(super) fn rooms(&self) -> Vec<Value> {
        let Some(node_state) = &self.node_state else {
            return Vec::new();
        };
        let mut rooms: Vec<_> = node_state.rooms().collect();
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

    /// The calls of the node state.
    pub(super) fn calls(&self) -> Vec<Value> {
        let Some(node_state) = &self.node_state else {
            return Vec::new();
        };
        let mut calls: Vec<_> = node_state.calls().collect();
        calls.sort_by_key(|call| call.id());
        calls
            .into_iter()
            .map(|call| {
                json!({
                    "uuid": call.id().to_string(),
                    "app_id": call.app().to_string(),
                    "state": call.status().as_str(),
                    "room_id": call.status().room().map(|room| room.to_string()),
                    "caller_id": call.caller_id().as_str(),
                    "did": call.did().as_str(),
                    "direction": call.direction().as_str(),
                })
            })
            .collect()
    }
}

/// The assumed node of a recording that names no room. Its id is part of the call ids.
fn placeholder_node() -> NodeId {
    match "node0".parse() {
        Ok(node) => node,
        Err(e) => unreachable!("five characters: {e}"),
    }
}

/// Renders the body of a webhook.
fn body(notification: &Notification, id: Uuid, now: Timestamp) -> Value {
    let message = match &notification.about {
        Subject::Room(room, content) => {
            payload::room_message(id, &notification.app, *room, content, now)
        }
        Subject::Call(call, content) => {
            payload::session_message(id, &notification.app, *call, content, now)
        }
    };
    // The body was just serialized as JSON.
    serde_json::from_str(&message.body).unwrap_or_default()
}
