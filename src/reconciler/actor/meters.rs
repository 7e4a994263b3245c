//! Metrics of the actor, with handles that are created once, and the time from an intent to the event that settles it.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use tokio::time::Instant;
use tracing::Span;

use crate::reconciler::feed::NodeInput;
use crate::reconciler::messages::ActorMessage;
use crate::reconciler::reply::Reply;
use crate::store::{Commit, CommitOutcome, EntityId, StoreError};
use crate::telemetry as names;
use crate::telemetry::trace::{self, SpanRef};
use roomkeeper_core::call::{CallEvent, TransferChange};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::intent::{Accepted, Action, Intent};
use roomkeeper_core::node_state::{Notification, Subject};
use roomkeeper_core::room::{CoachChange, MemberFlag, RecordingChange, RoomEvent};

use super::batch::Item;

/// The maximum number of intents under measurement: those of a busy second. Intents older than any deadline are removed
/// first; beyond the limit, intents are not measured.
const MOST_PENDING: usize = 4_096;

/// Age at which an intent is removed when there are [`MOST_PENDING`].
const OLD: Duration = Duration::from_secs(60);

/// Links of a commit's span: its parent is the first cause, and further causes are linked.
const MOST_LINKS: usize = 32;

/// The kind of event that settles an intent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Confirmation {
    Joined,
    Left,
    Flag(MemberFlag, bool),
    Hold(bool),
    Locked(bool),
    Answered,
    HungUp,
    Destroyed,
    RecordingStarted,
    RecordingStopped,
    RecordingPaused(bool),
    Coached,
    Uncoached,
    TransferEnded,
}

struct PendingIntent {
    intent: &'static str,
    since: Instant,
    cause: SpanRef,
}

pub(super) struct Meters {
    node: String,
    pub(super) events_waited: Histogram,
    pub(super) intents_waited: Histogram,
    pub(super) lag: Histogram,
    pub(super) batch: Histogram,
    pub(super) apply: Histogram,
    pub(super) ignored: Counter,
    pub(super) foreign: Counter,
    pub(super) rooms: Gauge,
    pub(super) calls: Gauge,
    commit: Histogram,
    applied: Counter,
    conflict: Counter,
    lease_lost: Counter,
    error: Counter,
    pending: HashMap<(EntityId, Confirmation), PendingIntent>,
}

impl Meters {
    pub(super) fn new(node: NodeId) -> Self {
        let node = node.to_string();
        let histogram = |name: &'static str| metrics::histogram!(name, "node" => node.clone());
        let counter = |name: &'static str| metrics::counter!(name, "node" => node.clone());
        let gauge = |name: &'static str| metrics::gauge!(name, "node" => node.clone());
        let commits = |outcome: &'static str| metrics::counter!(names::COMMITS, "node" => node.clone(), "outcome" => outcome);
        Self {
            events_waited: histogram(names::ESL_QUEUE_SECONDS),
            intents_waited: histogram(names::RECONCILER_QUEUE_SECONDS),
            lag: histogram(names::ESL_LAG_SECONDS),
            batch: histogram(names::BATCH_ITEMS),
            apply: histogram(names::APPLY_SECONDS),
            ignored: counter(names::EVENTS_IGNORED),
            foreign: counter(names::FOREIGN_CALLS),
            rooms: gauge(names::ROOMS),
            calls: gauge(names::CALLS),
            commit: histogram(names::COMMIT_SECONDS),
            applied: commits("applied"),
            conflict: commits("conflict"),
            lease_lost: commits("lease_lost"),
            error: commits("error"),
            pending: HashMap::new(),
            node,
        }
    }

    /// Records how long an item has waited before it is applied.
    pub(super) fn record_wait(&self, item: &Item, now: Instant) {
        match item {
            Item::SwitchEvent(NodeInput::SwitchEvent(received)) => {
                self.events_waited.record(now - received.since);
            }
            Item::Message(ActorMessage::Submit { reply, .. }) => {
                self.intents_waited.record(now - reply.since());
            }
            Item::SwitchEvent(NodeInput::Up | NodeInput::Down | NodeInput::Fence { .. })
            | Item::Message(_)
            | Item::Due(_)
            | Item::NodeLost
            | Item::RecoveryOver => {}
        }
    }

    pub(super) fn dropped(&self, items: &[Item], why: &'static str) {
        let is_event = |item: &&Item| matches!(item, Item::SwitchEvent(NodeInput::SwitchEvent(_)));
        let count = items.iter().filter(is_event).count() as u64;
        metrics::counter!(names::ESL_EVENTS_DROPPED, "node" => self.node.clone(), "why" => why)
            .increment(count);
    }

    pub(super) fn committed(&self, outcome: &Result<CommitOutcome, StoreError>, took: Duration) {
        match outcome {
            Ok(CommitOutcome::Applied) => &self.applied,
            Ok(CommitOutcome::Conflict(_)) => &self.conflict,
            Ok(CommitOutcome::LeaseLost) => &self.lease_lost,
            Err(_) => &self.error,
        }
        .increment(1);
        self.commit.record(took);
    }

    pub(super) fn drifted<'a>(&self, revealed: impl Iterator<Item = &'a Notification>) {
        for notice in revealed {
            metrics::counter!(names::DRIFT, "node" => self.node.clone(), "kind" => drift_kind(notice))
                .increment(1);
        }
    }

    /// Starts to measure an accepted intent until the event that confirms it.
    pub(super) fn expect(&mut self, intent: &Intent, reply: &Reply<Accepted>) {
        let Some(key) = awaited_confirmation(intent) else {
            return;
        };
        if self.pending.len() >= MOST_PENDING {
            self.pending
                .retain(|_, pending| pending.since.elapsed() < OLD);
        }
        if self.pending.len() < MOST_PENDING {
            // An earlier intent with the same confirmation stays the measured one.
            self.pending.entry(key).or_insert_with(|| PendingIntent {
                intent: intent.action.name(),
                since: reply.since(),
                cause: SpanRef::from_span(reply.span()),
            });
        }
    }

    /// Ends the measurement of the intent that a notification settles. `cause` is the span of the notification's event.
    pub(super) fn settle(&mut self, notice: &Notification, cause: Option<&Span>) {
        let Some((entity, confirmation, succeeded)) = confirmed_by(notice) else {
            return;
        };
        let Some(pending) = self.pending.remove(&(entity, confirmation)) else {
            return;
        };
        if let Some(span) = cause {
            pending.cause.link_from(span);
        }
        let outcome = if succeeded { "confirmed" } else { "failed" };
        metrics::histogram!(
            names::CONFIRM_SECONDS,
            "node" => self.node.clone(), "intent" => pending.intent, "outcome" => outcome
        )
        .record(pending.since.elapsed());
    }

    /// The span of a commit: a child of its first cause, and linked with the others.
    pub(super) fn commit_span(&self, items: &[Item], commit: &Commit) -> Span {
        let mut causes = items.iter().filter_map(span).filter(|s| !s.is_disabled());
        let Some(first) = causes.next() else {
            return Span::none();
        };
        let span = tracing::info_span!(
            target: trace::TARGET,
            parent: first,
            "commit",
            node.id = self.node,
            items = items.len(),
            entities = commit.entities.len(),
            webhooks = commit.outbox.len()
        );
        for other in causes.take(MOST_LINKS) {
            SpanRef::from_span(other).link_from(&span);
        }
        span
    }
}

/// The span that an item belongs to.
pub(super) fn span(item: &Item) -> Option<&Span> {
    match item {
        Item::SwitchEvent(NodeInput::SwitchEvent(received)) => Some(&received.span),
        Item::Message(
            ActorMessage::Submit { reply, .. }
            | ActorMessage::Answered {
                caller: Some((_, reply)),
                ..
            },
        ) => Some(reply.span()),
        Item::SwitchEvent(NodeInput::Up | NodeInput::Down | NodeInput::Fence { .. })
        | Item::Message(_)
        | Item::Due(_)
        | Item::NodeLost
        | Item::RecoveryOver => None,
    }
}

/// The event that confirms an intent. Other intents end with their commit or with FreeSWITCH's answer.
const fn awaited_confirmation(intent: &Intent) -> Option<(EntityId, Confirmation)> {
    let confirmation = match &intent.action {
        Action::Join(_) | Action::Move(_) => Confirmation::Joined,
        Action::Leave(_) | Action::Kick(_) => Confirmation::Left,
        Action::SetFlag(set) => Confirmation::Flag(set.flag, set.on),
        Action::SetHold(set) => Confirmation::Hold(set.on),
        Action::Answer(_) => Confirmation::Answered,
        Action::Hangup(_) => Confirmation::HungUp,
        Action::SetLock(set) => Confirmation::Locked(set.locked),
        Action::DeleteRoom(_) => Confirmation::Destroyed,
        Action::StartRecording(_) => Confirmation::RecordingStarted,
        Action::StopRecording(_) => Confirmation::RecordingStopped,
        Action::Coach(_) => Confirmation::Coached,
        Action::Uncoach(_) => Confirmation::Uncoached,
        Action::CancelTransfer(_) => Confirmation::TransferEnded,
        Action::PauseRecording(set) => Confirmation::RecordingPaused(set.pause),
        Action::CreateRoom(_)
        | Action::UpdateRoom(_)
        | Action::Dial(_)
        | Action::CancelDial(_)
        | Action::UpdateMember(_)
        | Action::Play(_)
        | Action::Pause(_)
        | Action::Stop(_)
        | Action::SetVolume(_)
        // The other side decides when it answers.
        | Action::Transfer(_)
        // The caller decides when it ends.
        | Action::Gather(_)
        | Action::StopGather(_)
        | Action::SendDigits(_) => return None,
    };
    Some((intent.target.entity(), confirmation))
}

/// The confirmation in a notification, and true if the intent succeeded.
const fn confirmed_by(notification: &Notification) -> Option<(EntityId, Confirmation, bool)> {
    Some(match &notification.about {
        Subject::Room(room, notification) => match &notification.event {
            RoomEvent::MemberJoined { call, .. } => {
                (EntityId::Call(*call), Confirmation::Joined, true)
            }
            RoomEvent::JoinFailed { call, .. } => {
                (EntityId::Call(*call), Confirmation::Joined, false)
            }
            RoomEvent::MemberLeft { call, .. } => (EntityId::Call(*call), Confirmation::Left, true),
            RoomEvent::FlagChanged { call, flag, on } => {
                (EntityId::Call(*call), Confirmation::Flag(*flag, *on), true)
            }
            RoomEvent::HoldChanged { call, on, .. } => {
                (EntityId::Call(*call), Confirmation::Hold(*on), true)
            }
            RoomEvent::Recording { call, change, .. } => {
                let entity = match call {
                    None => EntityId::Room(*room),
                    Some(call) => EntityId::Call(*call),
                };
                let (confirmation, succeeded) = recording_confirmed(*change);
                (entity, confirmation, succeeded)
            }
            RoomEvent::Coach { call, change, .. } => {
                let (confirmation, succeeded) = match change {
                    CoachChange::Began => (Confirmation::Coached, true),
                    CoachChange::Failed(_) => (Confirmation::Coached, false),
                    CoachChange::Ended(_) => (Confirmation::Uncoached, true),
                };
                (EntityId::Call(*call), confirmation, succeeded)
            }
            RoomEvent::Locked { locked, .. } => {
                (EntityId::Room(*room), Confirmation::Locked(*locked), true)
            }
            RoomEvent::Destroyed { .. } => (EntityId::Room(*room), Confirmation::Destroyed, true),
            RoomEvent::Created { .. }
            | RoomEvent::Updated(_)
            | RoomEvent::Started { .. }
            | RoomEvent::Gathered { .. }
            | RoomEvent::Digit { .. }
            | RoomEvent::Talking { .. }
            | RoomEvent::TalkingMuted { .. }
            | RoomEvent::MemberReconnected { .. }
            | RoomEvent::MoveFailed { .. }
            | RoomEvent::MemberUpdated { .. }
            | RoomEvent::Play(_)
            | RoomEvent::MemberPlay { .. }
            | RoomEvent::Dial(_) => return None,
        },
        Subject::Call(call, notification) => match &notification.event {
            CallEvent::Answered => (EntityId::Call(*call), Confirmation::Answered, true),
            CallEvent::Hangup { .. } => (EntityId::Call(*call), Confirmation::HungUp, true),
            CallEvent::Transfer(event) => match event.change {
                TransferChange::Failed { .. } | TransferChange::Ended { .. } => {
                    (EntityId::Call(*call), Confirmation::TransferEnded, true)
                }
                TransferChange::Answered => return None,
            },
            CallEvent::New { .. } | CallEvent::Gathered(_) | CallEvent::Digit(_) => return None,
        },
    })
}

const fn recording_confirmed(change: RecordingChange) -> (Confirmation, bool) {
    match change {
        RecordingChange::Started => (Confirmation::RecordingStarted, true),
        RecordingChange::Failed(_) => (Confirmation::RecordingStarted, false),
        RecordingChange::Stopped => (Confirmation::RecordingStopped, true),
        RecordingChange::Paused => (Confirmation::RecordingPaused(true), true),
        RecordingChange::Resumed => (Confirmation::RecordingPaused(false), true),
    }
}

/// The label of a difference: the name of its event, without `conference.`.
fn drift_kind(notice: &Notification) -> &'static str {
    let name = notice.name();
    name.strip_prefix("conference.").unwrap_or(name)
}
