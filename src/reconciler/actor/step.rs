//! One batch: apply, commit, carry out; and what becomes of it when it cannot be committed.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::ids::{ChannelId, IdSet, RoomId};
use crate::node::{CommandError, Link};
use crate::room::RoomStatus;
use crate::store::record::{encode_room, encode_session};
use crate::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Life, Listing, Message, StoreError, Version,
    ViewWrite,
};
use crate::telemetry as names;
use crate::telemetry::millis;
use crate::telemetry::trace::{self, Place};
use crate::time::Timestamp;
use crate::webhook::payload;

use crate::reconciler::asked::Reply;
use crate::reconciler::belief::{About, Cx, FreshIds, Notice, Order};
use crate::reconciler::feed::FromNode;
use crate::reconciler::intent::{Accepted, Intent, IntentError};
use crate::reconciler::news::ListedChannel;

use super::{Actor, Applied, Asks, CONFLICT_TRIES, Item, Merged, Waiting, Work, meters, views};

/// What a batch writes: rooms and calls, what is shown of stays and recordings, and when each entity wants to be looked at.
type Writes = (
    Vec<EntityWrite>,
    Vec<ViewWrite>,
    Vec<(EntityId, Option<Timestamp>)>,
);

impl Actor {
    /// What a replica that does not reconcile the node has to do with: the rest is the owner's, and is counted.
    fn without_news(&self, items: Vec<Item>) -> Vec<Item> {
        self.meters.dropped(&items, "not_owned");
        items
            .into_iter()
            .filter(|item| match item {
                Item::Work(_) => true,
                Item::News(_) | Item::Due(_) | Item::NodeLost => false,
            })
            .collect()
    }

    /// Reads what a caller names, or FreeSWITCH, and the owner does not know: another replica may have made it, or it is
    /// over. Returned is what was read.
    async fn load_unknown(&mut self, items: &[Item]) -> Result<BTreeSet<EntityId>, StoreError> {
        let mut unknown = BTreeSet::new();
        let unheard_of =
            |room: &RoomId| room.node() == self.id() && self.belief.room(*room).is_none();
        for item in items {
            match item {
                Item::Work(Work::Intent {
                    intent: Intent::CreateRoom { .. },
                    ..
                }) => {}
                Item::Work(work @ Work::Intent { .. }) => {
                    unknown.extend(about(work).into_iter().filter(|entity| {
                        match entity {
                            EntityId::Room(id) => self
                                .belief
                                .room(*id)
                                .is_none_or(|room| room.registration().is_none()),
                            EntityId::Session(id) => self.belief.session(*id).is_none(),
                        }
                    }));
                }
                Item::Work(Work::Snapshot(part, _)) => {
                    let shown = part.snapshot.rooms.iter().map(|shown| shown.room);
                    unknown.extend(shown.filter(unheard_of).map(EntityId::Room));
                }
                Item::News(FromNode::News(heard)) => {
                    unknown.extend(self.belief.unknown_to(&heard.news));
                }
                Item::News(FromNode::Up | FromNode::Down | FromNode::Fence { .. })
                | Item::Work(_)
                | Item::Due(_)
                | Item::NodeLost => {}
            }
        }
        self.catch_up(&unknown).await?;
        Ok(unknown)
    }

    /// Answers what only asks what is believed, and gives back the intents that nobody has looked up and of which nothing is
    /// known here. The rest is as though it had been looked up: what is believed under the lease is what is stored, and
    /// where it is not, the commit finds another version.
    fn vouch(&self, items: &mut Vec<Item>) {
        let believes = self.lease.is_some() && !self.stale;
        let asks = |item: &mut Item| {
            let Item::Work(work) = item else {
                return false;
            };
            if let Work::Intent {
                intent, looked_up, ..
            } = work
            {
                *looked_up = *looked_up || (believes && self.belief.vouches_for(intent));
                return !*looked_up;
            }
            matches!(work, Work::Vouch { .. })
        };
        for item in items.extract_if(.., asks) {
            match item {
                Item::Work(Work::Vouch { intent, reply }) => {
                    // A caller that hung up does not need to know.
                    let _gone = reply.send(believes && self.belief.vouches_for(&intent));
                }
                Item::Work(work) => refuse(work, || IntentError::Busy),
                Item::News(_) | Item::Due(_) | Item::NodeLost => {}
            }
        }
    }

    pub(super) async fn step(&mut self, mut items: Vec<Item>) {
        self.vouch(&mut items);
        if items.is_empty() {
            return;
        }
        let now = Instant::now();
        self.meters.batch.record(items.len() as f64);
        items
            .iter()
            .for_each(|item| self.meters.taken_up(item, now));
        let refused = self.step_once(items, true).await;
        if refused.is_empty() {
            return;
        }
        // Another replica may have made possible, just now, what the owner refuses by what it believes.
        let named = refused.iter().filter_map(|item| match item {
            Item::Work(work) => Some(about(work)),
            Item::News(_) | Item::Due(_) | Item::NodeLost => None,
        });
        let named: BTreeSet<EntityId> = named.flatten().collect();
        if let Err(error) = self.catch_up(&named).await {
            return self.fail(refused, error);
        }
        self.step_once(refused, false).await;
        self.forget_all_over(&named);
    }

    /// Gives back the intents that the owner refuses, if it may think of them a second time.
    async fn step_once(&mut self, items: Vec<Item>, may_doubt: bool) -> Vec<Item> {
        let owner = self.lease.is_some();
        if owner && self.stale {
            self.meters.dropped(&items, "store");
            for item in items {
                self.skip(item);
            }
            self.missed = true;
            self.want_resync("the store was away");
            return Vec::new();
        }
        let items = if owner {
            items
        } else {
            self.without_news(items)
        };
        if items.is_empty() {
            return Vec::new();
        }
        let mut read = BTreeSet::new();
        if owner {
            match self.load_unknown(&items).await {
                Ok(unknown) => read = unknown,
                Err(error) => {
                    return self.give_up(items, error);
                }
            }
        }
        let may_doubt = may_doubt && owner;
        let (core, fence) = self.belief.run();
        for _ in 0..CONFLICT_TRIES {
            if !owner && let Err(error) = self.load_for(&items).await {
                return self.give_up(items, error);
            }
            let now = Timestamp::now();
            let applied = self.apply(&items, now);
            let touched = self.belief.take_touched();
            let (writes, views, deadlines) = self.writes(&touched, now);
            if writes.is_empty() {
                let refused = self.done(items, applied, &touched, now, may_doubt).await;
                self.forget_all_over(&read);
                return refused;
            }
            let commit = Commit {
                node: self.id(),
                request: Uuid::new_v4(),
                lease: self.lease,
                outbox: self.messages(&applied.out.notices, now),
                entities: writes,
                views,
            };
            let tells = !commit.outbox.is_empty();
            let span = self.meters.commit_span(&items, &commit);
            let place = Place::of(&span);
            match self.commit(&commit).instrument(span).await {
                Ok(CommitOutcome::Applied) => {
                    for message in &commit.outbox {
                        trace::remember(&message.id, &place);
                    }
                    for write in &commit.entities {
                        self.versions.insert(write.entity, write.expected.next());
                    }
                    for (entity, at) in deadlines {
                        self.set_deadline(entity, at);
                    }
                    if tells {
                        self.parts.told.notify_one();
                        self.parts.voice.something_is_stored();
                    }
                    let refused = self.done(items, applied, &touched, now, may_doubt).await;
                    self.forget_all_over(&read);
                    return refused;
                }
                Ok(CommitOutcome::Conflict(entity)) => {
                    read.extend(&touched);
                    metrics::counter!(names::COMMIT_CONFLICTS, "node" => self.label()).increment(1);
                    tracing::debug!(node.id = %self.id(), %entity, "another has written; applying once more");
                    if let Err(error) = self.reload(&touched).await {
                        return self.give_up(items, error);
                    }
                    // What the batch said of the run of FreeSWITCH is to be learnt once more, too.
                    self.belief.believe_run(core, fence);
                }
                Ok(CommitOutcome::LeaseLost) => {
                    self.lease_refused();
                    for item in items {
                        self.skip(item);
                    }
                    return Vec::new();
                }
                Err(error) => return self.give_up(items, error),
            }
        }
        let error = StoreError::Unavailable("too many writers at once".into());
        self.give_up(items, error)
    }

    /// [`Self::fail`], after which nothing is left to think about.
    fn give_up(&mut self, items: Vec<Item>, error: StoreError) -> Vec<Item> {
        self.fail(items, error);
        Vec::new()
    }

    /// Commits, and asks once more under the same request id when the answer was lost.
    pub(super) async fn commit(&self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        let begun = Instant::now();
        let mut outcome = self.parts.store.commit(commit).await;
        if matches!(outcome, Err(StoreError::Unavailable(_))) {
            outcome = self.parts.store.commit(commit).await;
        }
        self.meters.committed(&outcome, begun.elapsed());
        outcome
    }

    /// A replica that does not reconcile the node believes nothing between two intents: it reads what they are about.
    pub(super) async fn load_for(&mut self, items: &[Item]) -> Result<(), StoreError> {
        self.forget();
        let mut wanted = BTreeSet::new();
        for item in items {
            if let Item::Work(work) = item {
                wanted.extend(about(work));
            }
        }
        self.reload(&wanted).await
    }

    pub(super) fn apply(&mut self, items: &[Item], now: Timestamp) -> Applied {
        let begun = Instant::now();
        let mut applied = Applied::default();
        let reachable = self.parts.node.status().commands == Link::Up;
        self.belief.set_reachable(reachable);
        let mut cx = Cx::new(now, &mut self.ids);
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::News(FromNode::Up | FromNode::Down) => {}
                Item::News(FromNode::News(heard)) => {
                    self.belief.news(heard.news.clone(), &mut cx);
                }
                Item::News(FromNode::Fence { core, .. }) => {
                    self.belief.core_changed(Some(*core), &mut cx);
                }
                Item::NodeLost => self.belief.core_changed(None, &mut cx),
                Item::Due(entity) => self.belief.deadline(*entity, &mut cx),
                Item::Work(work) => match work {
                    Work::Intent { intent, .. } => {
                        let first = cx.out.orders.len();
                        let verdict = self.belief.intent(intent.clone(), &mut cx);
                        let order = (cx.out.orders.len() > first).then_some(first);
                        applied.verdicts.insert(index, (verdict, order));
                    }
                    Work::Failed { order, error } => {
                        self.belief.refused(order, error, &mut cx);
                    }
                    Work::Answered { order, text, .. } => {
                        if let Some(accepted) = self.belief.answered(order, text, &mut cx) {
                            applied.verdicts.insert(index, (Ok(accepted), None));
                        }
                    }
                    Work::Silent {
                        rooms, confirmed, ..
                    } => {
                        let suspects = self.belief.silent(rooms, confirmed, &mut cx);
                        applied.silent.insert(index, suspects);
                    }
                    Work::Snapshot(part, _) => {
                        if let Some(listed) = &part.listed {
                            self.belief.listed(listed);
                        }
                        let suspects = self.belief.snapshot_part(
                            &part.snapshot,
                            &part.confirmed,
                            part.end.as_ref().map(|end| &end.before),
                            &mut cx,
                        );
                        if let Some(end) = &part.end {
                            self.belief.conferences_listed(&end.all, now);
                        }
                        applied.suspects.insert(index, suspects);
                    }
                    Work::Dumps(dumps) => {
                        for dump in dumps {
                            self.belief.dump(dump.clone(), &mut cx);
                        }
                    }
                    Work::Vanished {
                        channels,
                        core,
                        fence,
                    } => {
                        if self.belief.core() == Some(*core) {
                            for channel in channels {
                                self.belief.vanished(*channel, *fence, &mut cx);
                            }
                        }
                    }
                    Work::Marked(marks) => self.belief.marked(marks.clone(), &mut cx),
                    Work::Vouch { .. } | Work::Resynced(_) => {}
                },
            }
            applied.told.push(cx.out.notices.len());
        }
        applied.out = cx.out;
        self.meters.apply.record(begun.elapsed());
        applied
    }

    /// What is to be written of what was touched, and the deadlines it then has.
    pub(super) fn writes(&mut self, touched: &BTreeSet<EntityId>, now: Timestamp) -> Writes {
        let mut writes = Vec::new();
        let mut shown = Vec::new();
        let mut deadlines = Vec::new();
        for entity in touched {
            let expected = self.versions.get(entity).copied().unwrap_or_default();
            let created = expected == Version::ABSENT;
            let write = match entity {
                EntityId::Room(id) => {
                    let Some(room) = self.belief.room_mut(*id) else {
                        continue;
                    };
                    let changes = room.take_changes();
                    let Some(registration) = room.registration() else {
                        continue;
                    };
                    if changes.is_empty() {
                        continue;
                    }
                    let (head, parts) = encode_room(room, &changes, created);
                    shown.extend(views::of_room(
                        room,
                        &changes,
                        created,
                        &self.parts.settings,
                        now,
                    ));
                    EntityWrite {
                        entity: *entity,
                        expected,
                        head,
                        parts,
                        deadline: room.next_deadline(),
                        life: match room.status() {
                            RoomStatus::Terminated => Life::Ended {
                                keep: self.parts.settings.keep_ended_rooms,
                            },
                            RoomStatus::Starting
                            | RoomStatus::Progressing
                            | RoomStatus::Terminating { .. } => Life::Live,
                        },
                        listed: Some(Listing {
                            app: registration.app.clone(),
                            created_at: registration.created_at,
                        }),
                    }
                }
                EntityId::Session(id) => {
                    let Some(session) = self.belief.session_mut(*id) else {
                        continue;
                    };
                    if !session.take_changed() {
                        continue;
                    }
                    EntityWrite {
                        entity: *entity,
                        expected,
                        head: encode_session(session),
                        parts: Vec::new(),
                        deadline: session.next_deadline(),
                        life: if session.is_over() {
                            Life::Ended {
                                keep: self.parts.settings.keep_ended_sessions,
                            }
                        } else {
                            Life::Live
                        },
                        listed: Some(Listing {
                            app: session.app().clone(),
                            created_at: session.created_at(),
                        }),
                    }
                }
            };
            deadlines.push((*entity, write.deadline));
            writes.push(write);
        }
        (writes, shown, deadlines)
    }

    /// What tells of it. The ids are made here, before the commit, and never again for the same change.
    pub(super) fn messages(&mut self, notices: &[Notice], now: Timestamp) -> Vec<Message> {
        notices
            .iter()
            .map(|notice| match &notice.about {
                About::Room(room, told) => {
                    payload::room_message(self.ids.uuid(), &notice.app, *room, told, now)
                }
                About::Session(session, told) => {
                    payload::session_message(self.ids.uuid(), &notice.app, *session, told, now)
                }
            })
            .collect()
    }

    /// The commit stands, or there was nothing to commit: carry out what follows. Gives back the intents that were refused,
    /// if they may be thought of again.
    pub(super) async fn done(
        &mut self,
        items: Vec<Item>,
        mut applied: Applied,
        touched: &BTreeSet<EntityId>,
        now: Timestamp,
        may_doubt: bool,
    ) -> Vec<Item> {
        for entity in touched {
            self.belief.drop_over(*entity, now);
            let gone = match entity {
                EntityId::Room(id) => self.belief.room(*id).is_none(),
                EntityId::Session(id) => self.belief.session(*id).is_none(),
            };
            if gone {
                self.versions.remove(entity);
                self.set_deadline(*entity, None);
            }
        }
        if !applied.out.revealed.is_empty() {
            let notices = &applied.out.notices;
            let revealed = applied
                .out
                .revealed
                .iter()
                .filter_map(|at| notices.get(*at));
            self.drifted(&revealed.collect::<Vec<_>>());
        }
        self.meters.ignored.increment(applied.out.ignored);
        self.meters.foreign.increment(applied.out.foreign);
        self.settle(&items, &applied);
        self.measure_lag(&items);
        self.parts.voice.say(applied.out.live.drain(..), now);
        if let Some(why) = applied.out.resync {
            self.want_resync(why);
        }
        // Callers are answered when all orders are on their way.
        let mut doubted = Vec::new();
        let mut told: Vec<(Reply, Result<Accepted, IntentError>)> = Vec::new();
        let mut waiting: HashMap<usize, Waiting> = HashMap::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                // It wakes the actor; what it tells is read from the connection's own status.
                Item::News(FromNode::Up) => {}
                // As does this; and a fence that was under way went with the connection.
                Item::News(FromNode::Down) => self.parts.fences.lose_all(),
                Item::News(FromNode::Fence {
                    token,
                    core,
                    sequence,
                }) => self.parts.fences.pass(token, (core, sequence)),
                Item::News(FromNode::News(_)) | Item::Due(_) | Item::NodeLost => {}
                Item::Work(Work::Intent {
                    intent,
                    looked_up,
                    reply,
                }) => match applied.verdicts.remove(&index) {
                    // What changes nothing is in no commit, so no version has said that it is so.
                    Some(
                        (Err(_) | Ok(Accepted::AlreadyJoined { .. } | Accepted::Locked { .. }), _)
                        | (Ok(Accepted::Joining { .. }), None),
                    ) if may_doubt => {
                        doubted.push(Item::Work(Work::Intent {
                            intent,
                            looked_up,
                            reply,
                        }));
                    }
                    Some((Ok(accepted), Some(order)))
                        if !matches!(accepted, Accepted::Deleted | Accepted::Playing { .. }) =>
                    {
                        waiting.insert(order, (accepted, reply));
                    }
                    Some((verdict, _)) => {
                        told.push((reply, verdict.map_err(IntentError::from)));
                    }
                    None => told.push((reply, Err(IntentError::Busy))),
                },
                Item::Work(Work::Snapshot(part, reply)) => {
                    let merged = Merged {
                        suspects: applied.suspects.remove(&index).unwrap_or_default(),
                        asks: part
                            .end
                            .map(|end| self.asks(&end.listed))
                            .unwrap_or_default(),
                    };
                    let _gone = reply.send(merged);
                }
                Item::Work(Work::Answered {
                    caller: Some((accepted, reply)),
                    ..
                }) => {
                    let accepted = match applied.verdicts.remove(&index) {
                        Some((Ok(told), _)) => told,
                        Some((Err(_), _)) | None => accepted,
                    };
                    told.push((reply, Ok(accepted)));
                }
                Item::Work(Work::Silent { reply, .. }) => {
                    let suspects = applied.silent.remove(&index).unwrap_or_default();
                    let _gone = reply.send(suspects);
                }
                Item::Work(Work::Resynced(result)) => self.resynced(result),
                Item::Work(
                    Work::Answered { caller: None, .. }
                    | Work::Vouch { .. }
                    | Work::Failed { .. }
                    | Work::Dumps(_)
                    | Work::Marked(_)
                    | Work::Vanished { .. },
                ) => {}
            }
        }
        let orders = applied.out.orders.into_iter().enumerate();
        let errands = orders.map(|(index, order)| (order, waiting.remove(&index)));
        let refused = self.parts.dispatch.give(errands);
        if !refused.is_empty() {
            let count = refused.len() as u64;
            tracing::error!(node.id = %self.id(), count, "orders were refused: too many are waiting for the node");
            metrics::counter!(names::NODE_BUSY, "node" => self.label(), "queue" => "orders")
                .increment(count);
        }
        for (order, caller) in refused {
            if let Some((_, reply)) = caller {
                told.push((reply, Err(CommandError::Busy.into())));
            }
            let error = CommandError::Busy;
            self.own.push(Work::Failed { order, error });
        }
        for (reply, verdict) in told {
            reply.send(verdict);
        }
        if self.lease.is_none() {
            self.forget();
        }
        doubted
    }

    /// What the lists of a snapshot that is merged leave open.
    fn asks(&mut self, listed: &[ListedChannel]) -> Asks {
        let known: IdSet<ChannelId> = listed.iter().map(|listed| listed.channel).collect();
        let missing = self.belief.missing_from(&known);
        self.belief.keep_identities(&known);
        Asks {
            wanted: self.belief.wants_dump(listed),
            missing,
            playing: self.belief.playing_rooms(),
            acting: self.belief.acting(),
        }
    }

    /// What was asked for is waited for from now on, and what was waited for may have come.
    fn settle(&mut self, items: &[Item], applied: &Applied) {
        let mut from = 0;
        for (index, (item, to)) in items.iter().zip(&applied.told).enumerate() {
            if let Item::Work(Work::Intent { intent, reply, .. }) = item
                && let Some((Ok(accepted), _)) = applied.verdicts.get(&index)
            {
                self.meters.expect(intent, accepted, reply);
            }
            for notice in applied.out.notices.get(from..*to).unwrap_or_default() {
                self.meters.settle(notice, meters::span(item));
            }
            from = *to;
        }
    }

    /// How old each event of the batch is now that it is committed. FreeSWITCH's clock is up to 20 ms early.
    fn measure_lag(&self, items: &[Item]) {
        let now = Timestamp::now();
        let mut most = None;
        for item in items {
            if let Item::News(FromNode::News(heard)) = item {
                let lag = now.since(heard.news.at);
                self.meters.lag.record(lag);
                most = most.max(Some(lag));
            }
        }
        if let Some(lag) = most {
            let lag_ms = Some(millis(lag));
            self.parts.standing.send_if_modified(|s| {
                let changed = s.lag_ms != lag_ms;
                s.lag_ms = lag_ms;
                changed
            });
        }
    }

    /// The store did not take the batch: callers are told, the rest will be read from FreeSWITCH.
    pub(super) fn fail(&mut self, items: Vec<Item>, error: StoreError) {
        self.store_failed(&error);
        let mut first = Some(error);
        for item in items {
            match item {
                Item::Work(work @ (Work::Intent { .. } | Work::Answered { .. })) => {
                    refuse(work, || {
                        IntentError::Store(first.take().unwrap_or_else(|| {
                            StoreError::Unavailable("the state could not be written".into())
                        }))
                    })
                }
                other @ (Item::News(_) | Item::Work(_) | Item::Due(_) | Item::NodeLost) => {
                    self.skip(other);
                }
            }
        }
        self.missed = true;
        self.want_resync("the store was away");
    }

    /// Lets go of something that cannot be applied now.
    pub(super) fn skip(&mut self, item: Item) {
        match item {
            Item::News(FromNode::Up) => {}
            Item::News(FromNode::Down) => self.parts.fences.lose_all(),
            // What was told before it is not known to be applied.
            Item::News(FromNode::Fence { token, .. }) => self.parts.fences.lose(token),
            Item::NodeLost => self.lost = false,
            Item::News(FromNode::News(_)) | Item::Due(_) => {}
            Item::Work(Work::Resynced(result)) => self.resynced(result),
            // Dropping a reply tells the one who waits.
            Item::Work(work) => refuse(work, || {
                IntentError::Store(StoreError::Unavailable("the store does not answer".into()))
            }),
        }
    }
}

/// The entities that work is about, for a replica that has to read them first.
fn about(work: &Work) -> Vec<EntityId> {
    match work {
        Work::Intent { intent, .. } => match intent {
            Intent::CreateRoom { room, .. }
            | Intent::UpdateRoom { room, .. }
            | Intent::RecordStart { room, .. }
            | Intent::RecordStop { room, .. }
            | Intent::DeleteRoom { room, .. }
            | Intent::Lock { room, .. }
            | Intent::Play { room, .. }
            | Intent::Pause { room, .. }
            | Intent::Stop { room, .. }
            | Intent::Volume { room, .. } => vec![EntityId::Room(*room)],
            Intent::Join { session, room, .. } | Intent::Kick { session, room, .. } => {
                let mut about = vec![EntityId::Session(*session)];
                if room.node() == session.node() {
                    about.push(EntityId::Room(*room));
                }
                about
            }
            Intent::Leave { session, .. }
            | Intent::Mute { session, .. }
            | Intent::Answer { session, .. }
            | Intent::Hangup { session, .. } => vec![EntityId::Session(*session)],
        },
        Work::Failed { order, .. } | Work::Answered { order, .. } => match order {
            Order::Play { room, .. }
            | Order::RecordStart { room, .. }
            | Order::RecordStop { room, .. }
            | Order::Lock { room, .. } => vec![EntityId::Room(*room)],
            Order::Step { session, .. } => vec![EntityId::Session(*session)],
            Order::Enter { session, room, .. }
            | Order::Park { session, room, .. }
            | Order::Mute { session, room, .. } => {
                vec![EntityId::Session(*session), EntityId::Room(*room)]
            }
            Order::Describe { .. }
            | Order::Break { .. }
            | Order::Prepare { .. }
            | Order::Answer { .. }
            | Order::Hangup { .. } => Vec::new(),
        },
        Work::Vouch { .. }
        | Work::Snapshot(..)
        | Work::Dumps(_)
        | Work::Vanished { .. }
        | Work::Marked(_)
        | Work::Silent { .. }
        | Work::Resynced(_) => Vec::new(),
    }
}

/// Tells a caller that nothing was done. Who has not looked up what it asks about is to do that first: of what is not there, or is
/// another's, this must not be told.
pub(in crate::reconciler) fn refuse(work: Work, error: impl FnOnce() -> IntentError) {
    if let Work::Intent {
        looked_up: false,
        reply,
        ..
    } = work
    {
        reply.give_back();
    } else if let Work::Intent { reply, .. }
    | Work::Answered {
        caller: Some((_, reply)),
        ..
    } = work
    {
        reply.send(Err(error()));
    }
}
