//! The actor of one node: everything about the node is applied here, one thing after the other.
//!
//! Owns the loop: gather what has queued → apply it to the belief → one commit → orders, answers. Owns, too, the
//! lease that makes this replica the one that reconciles the node, the deadlines, and when a resync is due. When it
//! panics, what it believed is gone with it, and the next one begins with what is stored and a snapshot.
//!
//! A commit that finds another version than expected changes nothing: what was touched is read again and the batch is
//! applied once more. When the store does not answer, what is believed is thrown away: callers are refused, news is
//! not kept (its reader must not wait), and when the store is back everything is read again and a snapshot makes it
//! whole.

mod meters;
mod ownership;
mod resyncing;
mod state;
mod step;
mod views;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::ids::{ChannelId, CoreId, IdMap, NodeId, RoomId};
use crate::node::{CommandError, Link, NodeHandle};
use crate::room::FileId;
use crate::room::plan::Suspect;
use crate::session::{Mark, StepId};
use crate::store::board::{NodeReport, UnreadableRecord};
use crate::store::{EntityId, Lease, Store, Version};
use crate::time::Timestamp;

use self::meters::Meters;
use self::ownership::comes_round;
pub(super) use self::ownership::{Keeper, Owner, Ownership};
pub(super) use self::step::refuse;

use super::Settings;
use super::asked::Reply;
use super::belief::{Belief, FreshIds, Order, Outcome, Rules};
use super::board::Seen;
use super::dispatch::Dispatch;
use super::feed::FromNode;
use super::fences::Fences;
use super::intent::{Accepted, Intent, IntentError, Refusal};
use super::live::Voice;
use super::news::{Dump, ListedChannel, ListedConference, Snapshot};
use super::resync::{Found, ResyncError};
use super::turns::{Turn, Turns};

/// News applied in one commit at most: enough to keep up with a storm, little enough for a commit of milliseconds.
const NEWS_BATCH: usize = 512;

/// Other work applied in one commit at most.
const WORK_BATCH: usize = 64;

/// How often a commit is tried against other writers before the store is taken to be in trouble. A conflict means that
/// another replica added an intent, which is rare.
const CONFLICT_TRIES: usize = 16;

/// Between two resyncs at the least, so that a cause that persists does not become a load.
const RESYNC_PAUSE: Duration = Duration::from_secs(2);

/// FreeSWITCH writes its list of calls late, so one that came while nobody listened can be missing from the first
/// snapshot. Another follows when the list has had the time.
const LATE_LIST: Duration = Duration::from_secs(2);

/// Between two attempts to read everything again from a store that was away.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// Deadlines taken from the store at once.
const DUE_BATCH: usize = 256;

/// What others ask of the actor.
#[derive(Debug)]
pub(super) enum Work {
    /// A caller wants something.
    Intent {
        intent: Intent,
        /// Who asks has looked up that what it names is there and is the caller's. What was not looked up is given back
        /// unless the belief vouches for it.
        looked_up: bool,
        reply: Reply,
    },
    /// Whether the belief vouches for what an intent names.
    Vouch {
        intent: Intent,
        reply: oneshot::Sender<bool>,
    },
    /// FreeSWITCH did not carry an order out.
    Failed { order: Order, error: CommandError },
    /// FreeSWITCH carried out an order whose answer says something.
    Answered {
        order: Order,
        /// What stood behind `+OK`.
        text: String,
        /// Who waits for it, and what is told unless the answer says otherwise.
        caller: Option<Waiting>,
    },
    /// A snapshot of the conferences, or a part of it.
    Snapshot(Part, oneshot::Sender<Merged>),
    /// What was told about channels.
    Dumps(Vec<Dump>),
    /// Calls that FreeSWITCH says do not exist.
    Vanished {
        channels: Vec<ChannelId>,
        core: CoreId,
        fence: u64,
    },
    /// FreeSWITCH plays nothing in these rooms.
    Silent {
        rooms: Vec<RoomId>,
        confirmed: BTreeSet<(RoomId, FileId)>,
        reply: oneshot::Sender<BTreeSet<(RoomId, FileId)>>,
    },
    /// What their channels say of how far they are.
    Marked(Vec<(ChannelId, StepId, Option<Mark>)>),
    /// The resync that was under way has ended.
    Resynced(Result<Found, ResyncError>),
}

/// A part of a snapshot.
#[derive(Debug)]
pub(super) struct Part {
    /// Who the channels are, with the first part: it is learnt before anybody is met in a room.
    pub(super) listed: Option<Arc<[ListedChannel]>>,
    pub(super) snapshot: Snapshot,
    pub(super) confirmed: Arc<BTreeSet<Suspect>>,
    /// The last part.
    pub(super) end: Option<End>,
}

/// What the last part of a snapshot knows.
#[derive(Debug)]
pub(super) struct End {
    /// Which rooms the other parts have shown.
    pub(super) before: BTreeSet<RoomId>,
    /// Which conferences there are.
    pub(super) all: Vec<ListedConference>,
    /// Which channels there are.
    pub(super) listed: Arc<[ListedChannel]>,
}

/// What came of a part.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// What it lacks.
    pub(super) suspects: BTreeSet<Suspect>,
    /// What no list says; of the last part.
    pub(super) asks: Asks,
}

/// What FreeSWITCH is to be asked about by name.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Channels of which more is to be known.
    pub(super) wanted: Vec<ChannelId>,
    /// Believed calls that are not listed.
    pub(super) missing: Vec<ChannelId>,
    /// Rooms in which it should be playing something.
    pub(super) playing: Vec<RoomId>,
    /// Calls that should be busy with a step.
    pub(super) acting: Vec<(ChannelId, StepId)>,
}

/// A caller who is answered later, and what it is told when all goes well.
pub(super) type Waiting = (Accepted, Reply);

/// How the actor stands, for those who report it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Standing {
    /// A snapshot has been merged.
    pub(super) synced: bool,
    /// When the last one was.
    pub(super) resynced_at: Option<Timestamp>,
    /// Differences that snapshots have revealed.
    pub(super) drift: u64,
    /// When the last of them was found.
    pub(super) drifted_at: Option<Timestamp>,
    /// Another replica reconciles the node.
    pub(super) owned_elsewhere: bool,
    /// Calls that are believed in.
    pub(super) calls: u64,
    /// How long the last events took from FreeSWITCH's clock to the commit, in milliseconds.
    pub(super) lag_ms: Option<u64>,
}

struct RandomIds;

impl FreshIds for RandomIds {
    fn uuid(&mut self) -> Uuid {
        // As `new_v4`, which asks the kernel for each: this is made for every event.
        uuid::Builder::from_random_bytes(rand::random()).into_uuid()
    }
}

/// One thing to apply.
enum Item {
    News(FromNode),
    Work(Work),
    Due(EntityId),
    NodeLost,
}

/// What applying a batch came to.
#[derive(Default)]
struct Applied {
    out: Outcome,
    /// For each item that is an intent: what it came to, and the first of its orders.
    verdicts: HashMap<usize, (Result<Accepted, Refusal>, Option<usize>)>,
    suspects: HashMap<usize, BTreeSet<Suspect>>,
    silent: HashMap<usize, BTreeSet<(RoomId, FileId)>>,
    /// How many notices there were after each item.
    told: Vec<usize>,
}

/// What an actor works with, and leaves to the one that comes after it when it panics.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) node: NodeHandle,
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Settings,
    /// The actor's own queue, for those who tell it something later.
    pub(super) queue: mpsc::Sender<Work>,
    pub(super) turns: Turns,
    pub(super) fences: Fences,
    pub(super) dispatch: Dispatch,
    pub(super) ownership: Ownership,
    pub(super) standing: watch::Sender<Standing>,
    /// The node's board, as this replica knows it.
    pub(super) board: Seen,
    /// Told to look for deadlines that another replica has set, and whether the store is the same.
    pub(super) look: Arc<Notify>,
    pub(super) told: Arc<Notify>,
    pub(super) voice: Voice,
    pub(super) tasks: TaskTracker,
    /// Ends what it has begun.
    pub(super) stop: CancellationToken,
}

/// What reaches an actor, and what has not yet reaches the one after it.
pub(super) struct Inbox {
    pub(super) news: mpsc::Receiver<FromNode>,
    /// How much news was dropped because there was too much.
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) work: mpsc::Receiver<Work>,
}

pub(super) struct Actor {
    parts: Parts,
    /// Of orders for which there was no room: it goes before what has queued.
    own: Vec<Work>,
    ids: RandomIds,
    meters: Meters,

    belief: Belief,
    versions: IdMap<EntityId, Version>,
    deadlines: BTreeSet<(Timestamp, EntityId)>,
    deadline_of: IdMap<EntityId, Timestamp>,
    lease: Option<Lease>,
    /// What the store has said is not the lease any more.
    refused: Option<Lease>,
    /// What is believed is not what is stored: it must be read again before anything is applied.
    stale: bool,
    /// The connections of the store at the time of the last look.
    store_connections: u64,
    /// Rooms that were believed in when all was forgotten: the store should have them.
    remembered: BTreeSet<RoomId>,
    /// In which all of the node was read just now: its snapshot is taken in the same.
    turn: Option<Turn>,
    resyncing: bool,
    /// Events were missed, and no snapshot has been begun since.
    missed: bool,
    /// They were before the snapshot that is under way.
    after_gap: bool,
    /// Why a resync is wanted, and not before when.
    resync_wanted: Option<(&'static str, Instant)>,
    next_resync: Instant,
    /// A cause that persists must not become a load: a pause after each.
    resync_not_before: Instant,
    /// The event connection that was last acted on, by its number.
    connection: u64,
    /// How often a snapshot had been asked for when that was last looked at.
    resyncs_asked: Option<u64>,
    /// What was reported last of what belongs to nothing.
    reported: Option<NodeReport>,
    /// What is stored and cannot be read: the reports name it.
    unreadable: BTreeMap<EntityId, UnreadableRecord>,
    /// What stands among the entities and is none.
    nameless: BTreeSet<UnreadableRecord>,
    /// Deadlines are to be looked for that another replica has set.
    look: bool,
    next_read: Instant,
    down_since: Option<Instant>,
    lost: bool,
}

impl Actor {
    /// One that believes nothing yet.
    pub(super) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let rules = parts.settings.rules.borrow().clone();
        let belief = Belief::new(parts.node.id(), rules);
        // Of those that the actor before this one would have passed it is not known what came before them.
        parts.fences.lose_all();
        Self {
            meters: Meters::new(parts.node.id()),
            parts,
            own: Vec::new(),
            ids: RandomIds,
            belief,
            versions: IdMap::default(),
            deadlines: BTreeSet::new(),
            deadline_of: IdMap::default(),
            lease: None,
            refused: None,
            stale: false,
            store_connections: 0,
            remembered: BTreeSet::new(),
            turn: None,
            resyncing: false,
            missed: true,
            after_gap: false,
            resync_wanted: None,
            next_resync: now,
            resync_not_before: now,
            connection: 0,
            resyncs_asked: None,
            reported: None,
            unreadable: BTreeMap::new(),
            nameless: BTreeSet::new(),
            look: false,
            next_read: now,
            down_since: Some(now),
            lost: false,
        }
    }

    fn id(&self) -> NodeId {
        self.parts.node.id()
    }

    fn label(&self) -> String {
        self.id().to_string()
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self, inbox: &mut Inbox) {
        let stop = self.parts.stop.clone();
        let Inbox {
            news,
            dropped,
            work,
        } = inbox;
        let mut fresh = Vec::with_capacity(NEWS_BATCH);
        let mut asked = Vec::with_capacity(WORK_BATCH);
        let mut link = self.parts.node.watch();
        let mut lease = self.parts.ownership.watch();
        let mut rules = self.parts.settings.rules.clone();
        let mut board = self.parts.board.watch();
        // What they became since the actor was made is followed at once.
        rules.mark_changed();
        loop {
            let wake = self.next_wake();
            tokio::select! {
                () = stop.cancelled() => break,
                _ = news.recv_many(&mut fresh, NEWS_BATCH) => {}
                n = work.recv_many(&mut asked, WORK_BATCH) => if n == 0 { break },
                () = tokio::time::sleep_until(wake) => {}
                // Ends with the supervisors, and they with the program.
                Ok(()) = link.changed() => {}
                // Ends with this actor, which holds the other end, too.
                Ok(()) = lease.changed() => {}
                // Ends with this actor, too.
                Ok(()) = board.changed() => {}
                () = self.parts.look.notified() => self.look = true,
                // Nobody can change them any more: it is waited for the others alone.
                Ok(()) = rules.changed() => self.follow(&rules.borrow_and_update().clone()),
            }
            // What else has queued goes into the same commit.
            while fresh.len() < NEWS_BATCH
                && let Ok(item) = news.try_recv()
            {
                fresh.push(item);
            }
            while asked.len() < WORK_BATCH
                && let Ok(item) = work.try_recv()
            {
                asked.push(item);
            }
            let lost = dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(node.id = %self.id(), lost, "news was dropped because the queue was full; a snapshot will heal it");
                self.missed = true;
                self.want_resync("news was dropped");
            }
            self.parts.ownership.moves();
            self.follow_lease();
            self.follow_link();
            self.follow_board();
            self.follow_store();
            self.read_again().await;
            // Its own connection has come up meanwhile, if it came with the lease.
            self.follow_link();
            let mut items: Vec<Item> = fresh.drain(..).map(Item::News).collect();
            items.extend(self.own.drain(..).map(Item::Work));
            items.extend(asked.drain(..).map(Item::Work));
            self.add_due(&mut items).await;
            if !items.is_empty() {
                self.step(items).await;
            }
            self.start_resync();
            // A snapshot that does not begin now gets a turn of its own.
            self.turn = None;
            self.report();
        }
        // Whoever still asks is told that nothing was done.
        work.close();
        while let Ok(item) = work.try_recv() {
            step::refuse(item, || IntentError::Busy);
        }
    }

    /// Whether the event connection stands is read where it cannot be lost, unlike news of it. A new connection means that
    /// whatever happened before it may have been missed.
    fn follow_link(&mut self) {
        let status = self.parts.node.status();
        let up = status.events == Some(Link::Up);
        if up && status.connections != self.connection {
            self.connection = status.connections;
            self.down_since = None;
            self.lost = false;
            self.missed = true;
            self.want_resync("the event connection is up");
        } else if !up && self.down_since.is_none() && self.lease.is_some() {
            self.down_since = Some(Instant::now());
        }
    }

    /// Other rules hold. Calls that were nobody's may be an app's now; a snapshot shows them. Not at once: the list of
    /// channels is written late, and would lack a call that was parked just before.
    fn follow(&mut self, rules: &Rules) {
        if self.belief.set_rules(rules.clone()) && self.resync_wanted.is_none() {
            self.resync_wanted = Some(("the apps changed", Instant::now() + RESYNC_PAUSE));
        }
    }

    fn next_wake(&self) -> Instant {
        let mut wake = Instant::now() + comes_round(self.parts.settings.lease_ttl);
        if !self.own.is_empty() {
            return Instant::now();
        }
        if self.lease.is_some() {
            // Each time stands under the conditions under which something is done about it: one that has passed and is not
            // acted on would wake the actor for ever.
            if self.stale {
                return wake.min(self.next_read);
            }
            if self.can_resync() {
                wake = wake.min(self.next_resync);
                if let Some((_, at)) = self.resync_wanted {
                    wake = wake.min(at);
                }
            }
            if let Some((at, _)) = self.deadlines.first() {
                let left = at.since(Timestamp::now());
                wake = wake.min(Instant::now() + left);
            }
            if let Some(since) = self.down_since
                && !self.lost
            {
                wake = wake.min(since + self.parts.settings.lost_after);
            }
        }
        wake
    }
}
