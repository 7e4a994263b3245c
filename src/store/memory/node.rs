//! The state of one node: its lease, entities, views and lists, and what a commit changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::commands::Commands;
use super::cooldowns::Cooldowns;
use super::queues::Queues;
use crate::store::deliveries::QueueLimits;
use crate::store::node_status::NodeStatus;
use crate::store::{
    Commit, CommitOutcome, EntityId, EntityKind, EntityWrite, Fields, Lease, Life, ListOf,
    REMEMBERED_REQUESTS, Record, Version, ViewId, ViewKind, ViewWrite,
};
use roomkeeper_core::ids::{AppId, RoomId};
use roomkeeper_core::time::Timestamp;

#[derive(Default)]
pub(super) struct Node {
    /// The lease and when it expires.
    pub(super) lease: Option<(Lease, Duration)>,
    pub(super) epoch: u64,
    pub(super) entities: HashMap<EntityId, Entity>,
    /// Ended entities by the end of their keeping time.
    pub(super) ended: BTreeSet<(Duration, EntityId)>,
    pub(super) deadlines: BTreeSet<(Timestamp, EntityId)>,
    pub(super) lists: HashMap<(EntityKind, AppId), BTreeMap<String, EntityId>>,
    pub(super) views: HashMap<ViewId, View>,
    pub(super) view_lists: HashMap<(ViewKind, ListOwner), BTreeMap<String, ViewId>>,
    /// Ended views by the end of their keeping time.
    pub(super) views_over: BTreeSet<(Duration, ViewId)>,
    pub(super) queues: Queues,
    pub(super) status: NodeStatus,
    /// The report on the status.
    pub(super) report: Option<String>,
    pub(super) cooldowns: Cooldowns,
    pub(super) commands: Commands,
}

#[derive(Default)]
pub(super) struct Entity {
    pub(super) version: Version,
    pub(super) head: BTreeMap<String, String>,
    pub(super) parts: BTreeMap<String, String>,
    /// The requests it was last written by, latest first.
    pub(super) requests: VecDeque<Uuid>,
    pub(super) deadline: Option<Timestamp>,
    /// The app whose list contains it, and its position there.
    pub(super) listed: Option<(AppId, String)>,
    /// The end of its keeping time, if it has ended.
    pub(super) kept_until: Option<Duration>,
}

pub(super) struct View {
    pub(super) written: ViewWrite,
    /// The end of its keeping time, if it has ended.
    pub(super) kept_until: Option<Duration>,
}

/// The owner of a list of views.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum ListOwner {
    App(AppId),
    Room(RoomId),
}

impl From<ListOf<'_>> for ListOwner {
    fn from(of: ListOf<'_>) -> Self {
        match of {
            ListOf::App(app) => Self::App(app.clone()),
            ListOf::Room(room) => Self::Room(room),
        }
    }
}

impl Node {
    pub(super) fn held_lease(&self, now: Duration) -> Option<&Lease> {
        self.lease
            .as_ref()
            .filter(|(_, until)| now < *until)
            .map(|(lease, _)| lease)
    }

    /// Drops entities and views whose keeping time is over.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(&(until, entity)) = self.ended.first()
            && until <= now
        {
            self.ended.pop_first();
            self.entities.remove(&entity);
        }
        self.expire_views(now);
    }

    pub(super) fn expire_views(&mut self, now: Duration) {
        while let Some(&(until, view)) = self.views_over.first()
            && until <= now
        {
            self.views_over.pop_first();
            let Some(View { written, .. }) = self.views.remove(&view) else {
                continue;
            };
            let position = written.position();
            let (of_app, of_room) = written.lists();
            for of in std::iter::once(of_app).chain(of_room) {
                let list = (view.kind(), of.into());
                if let Some(rows) = self.view_lists.get_mut(&list) {
                    rows.remove(&position);
                    if rows.is_empty() {
                        self.view_lists.remove(&list);
                    }
                }
            }
        }
    }

    fn put_view(&mut self, write: &ViewWrite, now: Duration) {
        let id = write.view;
        let position = write.position();
        let (of_app, of_room) = write.lists();
        for of in std::iter::once(of_app).chain(of_room) {
            let rows = self.view_lists.entry((id.kind(), of.into())).or_default();
            rows.insert(position.clone(), id);
        }
        let kept_until = write.keep.map(|keep| now.saturating_add(keep));
        let written = write.clone();
        let before = self.views.insert(
            id,
            View {
                written,
                kept_until,
            },
        );
        if let Some(until) = before.and_then(|view| view.kept_until) {
            self.views_over.remove(&(until, id));
        }
        if let Some(until) = kept_until {
            self.views_over.insert((until, id));
        }
    }

    pub(super) fn view_body(&self, view: ViewId) -> Option<String> {
        match view {
            ViewId::Conference(_) => None,
            ViewId::Call(_) | ViewId::Recording(_) => {
                self.views.get(&view).map(|v| v.written.body.clone())
            }
        }
    }

    pub(super) fn entity(&self, entity: EntityId, now: Duration) -> Option<&Entity> {
        self.entities
            .get(&entity)
            .filter(|e| e.kept_until.is_none_or(|until| now < until))
    }

    pub(super) fn commit(
        &mut self,
        commit: &Commit,
        now: Duration,
        limits: QueueLimits,
    ) -> CommitOutcome {
        self.expire(now);
        // Checked first: a repeated request was accepted under a lease and versions that may be gone by now.
        let repeated = commit.entities.iter().any(|write| {
            self.entities
                .get(&write.entity)
                .is_some_and(|e| e.requests.contains(&commit.request))
        });
        if repeated {
            return CommitOutcome::Applied;
        }
        if commit
            .lease
            .as_ref()
            .is_some_and(|lease| self.held_lease(now) != Some(lease))
        {
            return CommitOutcome::LeaseLost;
        }
        for write in &commit.entities {
            let stored = self
                .entities
                .get(&write.entity)
                .map_or(Version::ABSENT, |e| e.version);
            if stored != write.expected {
                return CommitOutcome::Conflict(write.entity);
            }
        }
        for write in &commit.entities {
            self.apply(write, commit.request, now);
        }
        for write in &commit.views {
            self.put_view(write, now);
        }
        self.queues.outbox.append(&commit.outbox, limits);
        CommitOutcome::Applied
    }

    fn apply(&mut self, write: &EntityWrite, request: Uuid, now: Duration) {
        let id = write.entity;
        let entity = self.entities.entry(id).or_default();
        entity.version = entity.version.next();
        entity.requests.push_front(request);
        entity.requests.truncate(REMEMBERED_REQUESTS);
        entity.head.extend(write.head.iter().cloned());
        for (part, value) in &write.parts {
            match value {
                Some(value) => {
                    entity.parts.insert(part.clone(), value.clone());
                }
                None => {
                    entity.parts.remove(part);
                }
            }
        }
        if entity.listed.is_none() {
            entity.listed = write
                .listed
                .as_ref()
                .map(|listing| (listing.app.clone(), listing.position(id)));
        }
        if let Some(deadline) = entity.deadline.take() {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(until) = entity.kept_until.take() {
            self.ended.remove(&(until, id));
        }
        match write.life {
            Life::Live => {
                entity.deadline = write.deadline;
                if let Some(deadline) = write.deadline {
                    self.deadlines.insert((deadline, id));
                }
                if let Some((app, position)) = &entity.listed {
                    self.lists
                        .entry((id.kind(), app.clone()))
                        .or_default()
                        .insert(position.clone(), id);
                }
            }
            Life::Ended { keep } => {
                let until = now.saturating_add(keep);
                entity.kept_until = Some(until);
                self.ended.insert((until, id));
                if let Some((app, position)) = &entity.listed {
                    let list = (id.kind(), app.clone());
                    if let Some(rows) = self.lists.get_mut(&list) {
                        rows.remove(position);
                        if rows.is_empty() {
                            self.lists.remove(&list);
                        }
                    }
                }
            }
        }
    }
}

impl Entity {
    pub(super) fn head(&self) -> Record {
        Record {
            version: self.version,
            head: self.head.iter().collect(),
            parts: Fields::default(),
        }
    }

    pub(super) fn record(&self) -> Record {
        Record {
            parts: self.parts.iter().collect(),
            ..self.head()
        }
    }
}
