//! What the actor counts: handles that are made once, and how long callers waited for the event that settled what they
//! asked for.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use tokio::time::Instant;
use tracing::Span;

use crate::ids::NodeId;
use crate::reconciler::asked::Reply;
use crate::reconciler::belief::{About, Notice};
use crate::reconciler::feed::FromNode;
use crate::reconciler::intent::{Accepted, Intent};
use crate::room::{PlayFact, RoomFact};
use crate::session::SessionFact;
use crate::store::{Commit, CommitOutcome, EntityId, StoreError};
use crate::telemetry as names;
use crate::telemetry::trace::{self, Place};

use super::{Item, Work};

/// Intents whose event is waited for, to be measured: as many as one busy second has, and what is older than any deadline
/// of theirs is thrown out first. Beyond it they are not measured.
const MOST_UNSETTLED: usize = 4_096;

/// See [`MOST_UNSETTLED`].
const OLD: Duration = Duration::from_secs(60);

/// A commit is the child of the first thing that led to it, and is linked with so many of the others.
const MOST_LINKS: usize = 32;

/// What settles an intent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Settling {
    Joined,
    Left,
    Muted(bool),
    Locked(bool),
    Answered,
    HungUp,
    Destroyed,
    RecordingBegun,
    RecordingOver,
}

struct Unsettled {
    intent: &'static str,
    since: Instant,
    place: Place,
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
    unsettled: HashMap<(EntityId, Settling), Unsettled>,
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
            unsettled: HashMap::new(),
            node,
        }
    }

    /// It is applied now: how long it has waited.
    pub(super) fn taken_up(&self, item: &Item, now: Instant) {
        match item {
            Item::News(FromNode::News(heard)) => {
                self.events_waited.record(now - heard.since);
            }
            Item::Work(Work::Intent { reply, .. }) => {
                self.intents_waited.record(now - reply.since());
            }
            Item::News(FromNode::Up | FromNode::Down | FromNode::Fence { .. })
            | Item::Work(_)
            | Item::Due(_)
            | Item::NodeLost => {}
        }
    }

    pub(super) fn dropped(&self, items: &[Item], why: &'static str) {
        let is_news = |item: &&Item| matches!(item, Item::News(FromNode::News(_)));
        let count = items.iter().filter(is_news).count() as u64;
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

    pub(super) fn drifted<'a>(&self, revealed: impl Iterator<Item = &'a Notice>) {
        for notice in revealed {
            metrics::counter!(names::DRIFT, "node" => self.node.clone(), "kind" => kind(notice))
                .increment(1);
        }
    }

    /// An intent stands: its event is waited for from now on.
    pub(super) fn expect(&mut self, intent: &Intent, accepted: &Accepted, reply: &Reply) {
        // It stands already: nothing will be told of it, or it is told of at once.
        if matches!(
            accepted,
            Accepted::AlreadyJoined { .. } | Accepted::Locked { .. }
        ) {
            return;
        }
        let Some(key) = awaited(intent) else {
            return;
        };
        if self.unsettled.len() >= MOST_UNSETTLED {
            self.unsettled
                .retain(|_, asked| asked.since.elapsed() < OLD);
        }
        if self.unsettled.len() < MOST_UNSETTLED {
            // Whoever asked for the same before waits for the same.
            self.unsettled.entry(key).or_insert_with(|| Unsettled {
                intent: intent.kind(),
                since: reply.since(),
                place: Place::of(reply.span()),
            });
        }
    }

    /// Something is told that may be what an intent was for. `cause` is the span of what it comes from.
    pub(super) fn settle(&mut self, notice: &Notice, cause: Option<&Span>) {
        let Some((entity, settling, good)) = settles(notice) else {
            return;
        };
        let Some(asked) = self.unsettled.remove(&(entity, settling)) else {
            return;
        };
        if let Some(span) = cause {
            asked.place.link_from(span);
        }
        let outcome = if good { "confirmed" } else { "failed" };
        metrics::histogram!(
            names::CONFIRM_SECONDS,
            "node" => self.node.clone(), "intent" => asked.intent, "outcome" => outcome
        )
        .record(asked.since.elapsed());
    }

    /// The span of a commit: part of the first thing that led to it, and linked with the others.
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
            Place::of(other).link_from(&span);
        }
        span
    }
}

/// What it is part of.
pub(super) fn span(item: &Item) -> Option<&Span> {
    match item {
        Item::News(FromNode::News(heard)) => Some(&heard.span),
        Item::Work(
            Work::Intent { reply, .. }
            | Work::Answered {
                caller: Some((_, reply)),
                ..
            },
        ) => Some(reply.span()),
        Item::News(FromNode::Up | FromNode::Down | FromNode::Fence { .. })
        | Item::Work(_)
        | Item::Due(_)
        | Item::NodeLost => None,
    }
}

const fn awaited(intent: &Intent) -> Option<(EntityId, Settling)> {
    Some(match intent {
        Intent::Join { session, .. } => (EntityId::Session(*session), Settling::Joined),
        Intent::Leave { session, .. } | Intent::Kick { session, .. } => {
            (EntityId::Session(*session), Settling::Left)
        }
        Intent::Mute { session, mute, .. } => (EntityId::Session(*session), Settling::Muted(*mute)),
        Intent::Answer { session, .. } => (EntityId::Session(*session), Settling::Answered),
        Intent::Hangup { session, .. } => (EntityId::Session(*session), Settling::HungUp),
        Intent::Lock { room, lock, .. } => (EntityId::Room(*room), Settling::Locked(*lock)),
        Intent::DeleteRoom { room, .. } => (EntityId::Room(*room), Settling::Destroyed),
        Intent::RecordStart { room, .. } => (EntityId::Room(*room), Settling::RecordingBegun),
        Intent::RecordStop { room, .. } => (EntityId::Room(*room), Settling::RecordingOver),
        // What was asked for is done when it is committed, or when FreeSWITCH has answered.
        Intent::CreateRoom { .. }
        | Intent::UpdateRoom { .. }
        | Intent::Play { .. }
        | Intent::Pause { .. }
        | Intent::Stop { .. }
        | Intent::Volume { .. } => return None,
    })
}

/// What a notice settles, and whether as it was asked for.
const fn settles(notice: &Notice) -> Option<(EntityId, Settling, bool)> {
    Some(match &notice.about {
        About::Room(room, told) => match &told.fact {
            RoomFact::MemberJoined { session, .. } => {
                (EntityId::Session(*session), Settling::Joined, true)
            }
            RoomFact::JoinFailed { session, .. } => {
                (EntityId::Session(*session), Settling::Joined, false)
            }
            RoomFact::MemberLeft { session, .. } => {
                (EntityId::Session(*session), Settling::Left, true)
            }
            RoomFact::MemberMuted { session } => {
                (EntityId::Session(*session), Settling::Muted(true), true)
            }
            RoomFact::MemberUnmuted { session } => {
                (EntityId::Session(*session), Settling::Muted(false), true)
            }
            RoomFact::RecordingStarted { .. } => {
                (EntityId::Room(*room), Settling::RecordingBegun, true)
            }
            RoomFact::RecordingFailed { .. } => {
                (EntityId::Room(*room), Settling::RecordingBegun, false)
            }
            RoomFact::RecordingStopped { .. } => {
                (EntityId::Room(*room), Settling::RecordingOver, true)
            }
            RoomFact::Locked { locked, .. } => {
                (EntityId::Room(*room), Settling::Locked(*locked), true)
            }
            RoomFact::Destroyed => (EntityId::Room(*room), Settling::Destroyed, true),
            RoomFact::Created { .. } | RoomFact::Updated(_) | RoomFact::Play(_) => return None,
        },
        About::Session(session, told) => match &told.fact {
            SessionFact::Answered => (EntityId::Session(*session), Settling::Answered, true),
            SessionFact::Hangup { .. } => (EntityId::Session(*session), Settling::HungUp, true),
            SessionFact::New { .. } => return None,
        },
    })
}

/// What a notice tells, as a label.
const fn kind(notice: &Notice) -> &'static str {
    match &notice.about {
        About::Room(_, told) => match &told.fact {
            RoomFact::Created { .. } => "created",
            RoomFact::Updated(_) => "updated",
            RoomFact::Destroyed => "destroyed",
            RoomFact::Locked { locked: true, .. } => "locked",
            RoomFact::Locked { locked: false, .. } => "unlocked",
            RoomFact::RecordingStarted { .. } => "recording.started",
            RoomFact::RecordingStopped { .. } => "recording.stopped",
            RoomFact::RecordingFailed { .. } => "recording.failed",
            RoomFact::MemberJoined { .. } => "member.joined",
            RoomFact::MemberLeft { .. } => "member.left",
            RoomFact::JoinFailed { .. } => "member.join_failed",
            RoomFact::MemberMuted { .. } => "member.muted",
            RoomFact::MemberUnmuted { .. } => "member.unmuted",
            RoomFact::Play(
                PlayFact::Started { .. }
                | PlayFact::Finished { .. }
                | PlayFact::Paused { .. }
                | PlayFact::Resumed { .. }
                | PlayFact::Stopped { .. }
                | PlayFact::VolumeChanged { .. },
            ) => "play",
        },
        About::Session(_, told) => match &told.fact {
            SessionFact::New { .. } => "call.new",
            SessionFact::Answered => "call.answered",
            SessionFact::Hangup { .. } => "call.hangup",
        },
    }
}
