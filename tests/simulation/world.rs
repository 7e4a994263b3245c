//! One simulation: a node, two replicas that would have it, their store, and what is on its way between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use roomkeeper::action::Action;
use roomkeeper::esl::command::{ProfileName, Voice};
use roomkeeper::ids::{ChannelId, CoreId, RoomId, SessionId};
use roomkeeper::node::CommandError;
use roomkeeper::play_url::PlayUrl;
use roomkeeper::reconciler::belief::Order;
use roomkeeper::reconciler::intent::{Accepted, Intent};
use roomkeeper::reconciler::meta;
use roomkeeper::reconciler::news::{Dump, ListedChannel, News, Snapshot};
use roomkeeper::reconciler::{OrderSettings, order_text};
use roomkeeper::room::plan::Suspect;
use roomkeeper::room::{Details, FileId, Kind, Origin, PlayCommand, RoomState, RoomStatus, Update};
use roomkeeper::session::{Mark, StepId};
use roomkeeper::store::deliveries::Deliveries;
use uuid::Uuid;

use super::faults::Fault;
use super::node::{Going, No, Node, Place, Plan, app, node_id};
use super::replica::{Applied, Became, Item, Replica, Shared};
use super::schedule::{Fate, Mood, ROOMS, Schedule, Step, Whom, Wish};
use super::told::Told;

/// What FreeSWITCH has told or done is not on its way for longer than this.
const ON_ITS_WAY: u64 = 10_000;

/// A keeper renews its lease this often.
const KEEP_ROUND: u64 = 3_000;

/// What comes through an event connection.
#[derive(Clone, Debug)]
enum Wire {
    News(News),
    Fence { token: u64, core: CoreId },
}

/// How far a resync is.
#[derive(Clone, Debug)]
enum Phase {
    AwaitsFence,
    Lists,
    Takes,
    /// Until everything is heard that was told before it was taken.
    Hears(Snapshot),
    Merges(Snapshot),
    AsksForChannels,
    TakesIn {
        dumps: Vec<Dump>,
        gone: Vec<ChannelId>,
    },
    /// Until everything is heard that was told before they were asked about.
    HearsOfThem {
        dumps: Vec<Dump>,
        gone: Vec<ChannelId>,
    },
    AsksWhatPlays,
    AsksForMarks,
}

#[derive(Clone, Debug)]
struct Resync {
    token: u64,
    fence: u64,
    core: CoreId,
    after_gap: bool,
    second: bool,
    listed: Vec<ListedChannel>,
    suspects: BTreeSet<Suspect>,
    silent: BTreeSet<(RoomId, FileId)>,
    phase: Phase,
}

/// A replica and what is on its way to it.
struct Side {
    replica: Replica,
    /// What was told on its event connection and is not read yet, and when it was told.
    wire: VecDeque<(u64, Wire)>,
    /// What has stayed behind.
    behind: VecDeque<(u64, Wire)>,
    connected: bool,
    /// Its lease is not renewed any more.
    hangs: bool,
    resync: Option<Resync>,
    answers: VecDeque<(u64, Order, Result<String, CommandError>)>,
}

/// What callers know of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    No,
    /// The caller was told that it stands.
    Told,
    /// Nobody knows.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Room {
    id: RoomId,
    made: Asked,
    ended: Asked,
    kind: Kind,
}

pub struct World {
    mood: Mood,
    pub shared: Shared,
    node: Node,
    sides: [Side; 2],
    /// Every room that was ever asked for; the latest of a slot is what callers mean.
    rooms: Vec<Room>,
    slots: [Option<usize>; ROOMS],
    runs: u128,
    tokens: u64,
    urls: usize,
    commands_up: bool,
    revives: bool,
    second_look_fails: bool,
    /// It has come to rest, and a snapshot was taken since.
    looked: bool,
    /// The calls that were ever ordered to be parked.
    told_to_park: BTreeSet<ChannelId>,
    /// What happened, in words, when somebody wants to read it.
    trace: Option<String>,
}

macro_rules! note {
    ($world:expr, $($words:tt)*) => {
        if let Some(trace) = &mut $world.trace {
            let _written = writeln!(trace, $($words)*);
        }
    };
}

type Checked = Result<(), String>;

impl World {
    pub fn new(mood: Mood, traced: bool) -> Self {
        let side = |run| Side {
            replica: Replica::start(run),
            wire: VecDeque::new(),
            behind: VecDeque::new(),
            connected: false,
            hangs: false,
            resync: None,
            answers: VecDeque::new(),
        };
        Self {
            mood,
            shared: Shared::new(),
            node: Node::new(),
            sides: [side(1), side(2)],
            rooms: Vec::new(),
            slots: [None; ROOMS],
            runs: 2,
            tokens: 0,
            urls: 0,
            commands_up: true,
            revives: false,
            second_look_fails: false,
            looked: false,
            told_to_park: BTreeSet::new(),
            trace: traced.then(String::new),
        }
    }

    pub fn trace(&mut self) -> String {
        self.trace.take().unwrap_or_default()
    }

    /// Runs a schedule, then lets everything come to rest, and checks what must hold then.
    pub fn run(&mut self, schedule: &Schedule) -> Checked {
        self.begin()?;
        for step in &schedule.steps {
            note!(self, "{:>7} {step:?}", self.shared.now());
            self.shared.pass(1);
            self.step(*step)?;
            self.is_sound()?;
        }
        note!(self, "-- quiet");
        self.comes_to_rest()?;
        self.agrees()?;
        self.hands_over()
    }

    fn begin(&mut self) -> Checked {
        self.keep(0);
        self.whole_resync(0)
    }

    /// What holds after every step.
    fn is_sound(&mut self) -> Checked {
        if let Some(why) = self.node.hung_up_unasked {
            return Err(format!("a call was hung up that nobody hung up: {why}"));
        }
        match self.shared.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }

    // ---- who --------------------------------------------------------------------------------------------------

    fn owner(&self) -> usize {
        let epoch = |side: &Side| side.replica.lease.map(|lease| lease.epoch);
        usize::from(epoch(&self.sides[1]) > epoch(&self.sides[0]))
    }

    fn who(&self, whom: Whom) -> usize {
        match whom {
            Whom::Owner => self.owner(),
            Whom::Other => 1 - self.owner(),
        }
    }

    fn call(&self, n: usize) -> Option<ChannelId> {
        let count = self.node.calls.len();
        (count > 0).then(|| self.node.calls.keys().nth(n % count).copied())?
    }

    /// One of those that are in a conference.
    fn member(&self, n: usize) -> Option<ChannelId> {
        let inside = |call: &&ChannelId| matches!(self.node.calls[*call].place, Place::In(_));
        let members: Vec<_> = self.node.calls.keys().filter(inside).collect();
        let count = members.len();
        (count > 0).then(|| *members[n % count])
    }

    fn room(&self, slot: usize) -> Option<RoomId> {
        Some(self.rooms[self.slots[slot % ROOMS]?].id)
    }

    /// What the node has told goes out on every event connection.
    fn flush(&mut self) {
        let now = self.shared.now();
        for news in self.node.take_told() {
            note!(self, "          told #{} {:?}", news.sequence, news.what);
            for side in self.sides.iter_mut().filter(|side| side.connected) {
                side.wire.push_back((now, Wire::News(news.clone())));
            }
        }
    }

    // ---- steps ------------------------------------------------------------------------------------------------

    fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::CallIn { .. }
            | Step::Enter { .. }
            | Step::Moves { .. }
            | Step::Leave { .. }
            | Step::HangUp { .. }
            | Step::MuteKey { .. }
            | Step::Hold { .. }
            | Step::Lock { .. }
            | Step::Floor { .. }
            | Step::Answers { .. }
            | Step::GoesOn { .. }
            | Step::Interrupted { .. }
            | Step::FileEnds { .. }
            | Step::ActionEnds { .. }
            | Step::EndsAreTold
            | Step::Restart => {
                self.happens(step);
                self.flush();
            }
            Step::Hear { whom, events } => self.hear(self.who(whom), events),
            Step::Lose { .. }
            | Step::Double { .. }
            | Step::Late { .. }
            | Step::Straggle { .. }
            | Step::Arrive
            | Step::Cut => self.wire_suffers(step),
            Step::NodeLost => self.node_lost(),
            Step::Reach { up } => {
                self.commands_up = up;
            }
            Step::Ask { whom, wish } => self.ask(self.who(whom), wish),
            Step::Carry { whom, at, fate } => self.carry(self.who(whom), at, fate),
            Step::Answered { whom } => self.answered(self.who(whom)),
            Step::Look { whom, late } => self.look(self.who(whom), late),
            Step::LookFails => self.look_fails(self.owner()),
            Step::SecondLookFails => self.second_look_fails = true,
            Step::Crash { whom } => self.crash(self.who(whom)),
            Step::Hangs => {
                let owner = self.owner();
                self.sides[owner].hangs = true;
            }
            Step::Pass { ms } => self.pass(ms),
            Step::Store { outage } => {
                self.shared.outage = outage;
            }
        }
        for who in 0..2 {
            self.sides[who].replica.read_again(&mut self.shared);
        }
        Ok(())
    }

    fn happens(&mut self, step: Step) {
        match step {
            Step::CallIn { ours, answered } => self.node.call_in(ours, answered),
            Step::Enter {
                call,
                slot,
                muted,
                lingers,
            } => {
                if let (Some(channel), Some(room)) = (self.call(call), self.room(slot)) {
                    self.node.enter(channel, room, muted, lingers);
                    if self.node.lists_two_lives() {
                        self.shared.faults.fired(Fault::Recreated);
                    }
                }
            }
            Step::Moves { call, slot } => {
                if let (Some(channel), Some(room)) = (self.call(call), self.room(slot)) {
                    self.node.moves(channel, room);
                }
            }
            Step::Lock { slot, locked } => {
                if let Some(room) = self.room(slot) {
                    let _nobody_is_in = self.node.lock(room, locked);
                }
            }
            Step::FileEnds { slot } => {
                if let Some(room) = self.room(slot) {
                    self.node.file_ends(room);
                }
            }
            Step::EndsAreTold => {
                self.node.tell_ends();
            }
            Step::Restart => {
                self.shared.faults.fired(Fault::Restart);
                self.node.restart();
                for side in &mut self.sides {
                    // The connection breaks. What has arrived is still read, and before anything of the next one.
                    side.wire.retain(|(_, what)| matches!(what, Wire::News(_)));
                    side.replica.missed = true;
                    side.replica.wants = Some("the event connection is up");
                    side.resync = None;
                }
            }
            Step::Leave { call }
            | Step::MuteKey { call, .. }
            | Step::Hold { call, .. }
            | Step::Floor { call } => {
                if let Some(channel) = self.member(call) {
                    self.happens_to(channel, step);
                }
            }
            Step::HangUp { call }
            | Step::Answers { call }
            | Step::GoesOn { call }
            | Step::Interrupted { call, .. }
            | Step::ActionEnds { call, .. } => {
                if let Some(channel) = self.call(call) {
                    self.happens_to(channel, step);
                }
            }
            _ => {}
        }
    }

    fn happens_to(&mut self, channel: ChannelId, step: Step) {
        // Who is not in a conference has no key to press there.
        let _nothing = match step {
            Step::Leave { .. } => {
                self.node.leave(channel);
                Ok(())
            }
            Step::HangUp { .. } => self.node.hang_up(channel),
            Step::MuteKey { mute, .. } => self.node.mute(channel, None, mute),
            Step::Hold { held, .. } => {
                self.node.hold(channel, held);
                Ok(())
            }
            Step::Floor { .. } => {
                self.node.takes_floor(channel);
                Ok(())
            }
            Step::Answers { .. } => self.node.answer(channel),
            Step::GoesOn { .. } => {
                self.node.go_on(channel);
                Ok(())
            }
            Step::Interrupted { lingers, .. } => {
                if self.node.is_interrupted(channel, lingers) {
                    self.shared.faults.fired(Fault::Interrupted);
                }
                Ok(())
            }
            Step::ActionEnds { well, .. } => {
                self.node.end_step(channel, well);
                Ok(())
            }
            _ => Ok(()),
        };
    }

    // ---- the event connection ---------------------------------------------------------------------------------

    fn hear(&mut self, who: usize, events: usize) {
        let wire = &mut self.sides[who].wire;
        let heard: Vec<Wire> = wire
            .drain(..events.min(wire.len()))
            .map(|(_, what)| what)
            .collect();
        if heard.is_empty() || self.sides[who].replica.lease.is_none() {
            return;
        }
        let items: Vec<Item> = heard
            .iter()
            .map(|what| match what {
                Wire::News(news) => Item::News(news.clone()),
                Wire::Fence { core, .. } => Item::Fence(*core),
            })
            .collect();
        let stands = self.apply(who, &items).is_some();
        for what in heard {
            if let Wire::Fence { token, .. } = what
                && let Some(resync) = &mut self.sides[who].resync
                && resync.token == token
            {
                let next = match std::mem::replace(&mut resync.phase, Phase::AwaitsFence) {
                    Phase::AwaitsFence => Phase::Lists,
                    Phase::Hears(snapshot) => Phase::Merges(snapshot),
                    Phase::HearsOfThem { dumps, gone } => Phase::TakesIn { dumps, gone },
                    other => other,
                };
                if stands {
                    resync.phase = next;
                } else {
                    self.resync_failed(who);
                }
            }
        }
    }

    fn wire_suffers(&mut self, step: Step) {
        let owner = self.owner();
        let length = self.sides[owner].wire.len();
        let faults = &mut self.shared.faults;
        let wire = &mut self.sides[owner].wire;
        match step {
            Step::Cut if self.sides[owner].connected => {
                faults.fired(Fault::ConnectionCut);
                self.sides[owner].wire.clear();
                self.sides[owner].behind.clear();
                self.sides[owner].resync = None;
                self.reconnected(owner);
            }
            Step::Lose { at, events } if length > 0 => {
                let at = at % length;
                for _ in 0..events {
                    if wire.remove(at).is_some() {
                        faults.fired(Fault::EventLost);
                    }
                }
            }
            Step::Double { at, by } if length > 0 => {
                let at = at % length;
                let twice = wire[at].clone();
                wire.insert((at + by).min(length), twice);
                faults.fired(Fault::EventDoubled);
            }
            Step::Straggle { at } if length > 0 => {
                let at = at % length;
                if matches!(wire[at].1, Wire::News(_)) {
                    let behind = wire.remove(at);
                    self.sides[owner].behind.extend(behind);
                }
            }
            Step::Arrive => self.arrive(owner),
            Step::Late { at, by } if length > 1 => {
                let at = at % length;
                if let Some(late) = wire.remove(at) {
                    wire.insert((at + by).min(length - 1), late);
                    faults.fired(Fault::EventLate);
                }
            }
            _ => {}
        }
    }

    fn arrive(&mut self, who: usize) {
        let side = &mut self.sides[who];
        let behind = std::mem::take(&mut side.behind);
        side.wire.extend(behind);
    }

    fn reconnected(&mut self, who: usize) {
        let replica = &mut self.sides[who].replica;
        replica.missed = true;
        replica.wants = Some("the event connection is up");
    }

    fn node_lost(&mut self) {
        let owner = self.owner();
        if self.sides[owner].replica.lease.is_none() {
            return;
        }
        self.shared.faults.fired(Fault::NodeLost);
        self.revives = true;
        self.sides[owner].wire.clear();
        self.sides[owner].behind.clear();
        self.sides[owner].resync = None;
        self.apply(owner, &[Item::NodeLost]);
        self.reconnected(owner);
    }

    // ---- a batch ----------------------------------------------------------------------------------------------

    fn follows(&mut self, who: usize, applied: &Applied) {
        for notice in &applied.out.notices {
            note!(self, "          {} tells {:?}", name(who), notice.about);
        }
        for order in &applied.out.orders {
            note!(self, "          {} orders {order:?}", name(who));
        }
        self.is_ended_by_no_park(who, &applied.out.orders);
    }

    /// Applies, and says what it came to if it stands.
    fn apply(&mut self, who: usize, items: &[Item]) -> Option<Applied> {
        let became = self.sides[who]
            .replica
            .step(items, self.commands_up, &mut self.shared);
        match became {
            Became::Done(applied) => {
                self.follows(who, &applied);
                Some(applied)
            }
            Became::LeaseLost => {
                note!(
                    self,
                    "          {} is refused: it has lost its lease",
                    name(who)
                );
                let side = &mut self.sides[who];
                side.connected = false;
                side.wire.clear();
                side.behind.clear();
                side.resync = None;
                None
            }
            Became::Unknown | Became::Skipped => {
                note!(self, "          {} does not know: {became:?}", name(who));
                None
            }
        }
    }

    // ---- callers ----------------------------------------------------------------------------------------------

    fn ask(&mut self, who: usize, wish: Wish) {
        let Some(intent) = self.intent(wish) else {
            return;
        };
        let about = self.slot_of(wish);
        let became = self.sides[who].replica.step(
            &[Item::Intent(intent)],
            self.commands_up,
            &mut self.shared,
        );
        let asked = match &became {
            Became::Done(applied) => {
                note!(self, "          {:?}", applied.verdicts);
                self.follows(who, applied);
                match applied.verdicts.first() {
                    Some(Ok(Accepted::Created | Accepted::Deleted)) => Asked::Told,
                    _ => Asked::No,
                }
            }
            Became::Unknown => Asked::Unknown,
            Became::LeaseLost => {
                self.sides[who].connected = false;
                self.sides[who].wire.clear();
                self.sides[who].behind.clear();
                self.sides[who].resync = None;
                Asked::No
            }
            Became::Skipped => Asked::No,
        };
        if let Some(room) = about.map(|at| &mut self.rooms[at]) {
            match wish {
                Wish::Create { .. } => room.made = asked,
                Wish::Delete { .. } if room.ended != Asked::Told && asked != Asked::No => {
                    room.ended = asked;
                }
                _ => {}
            }
        }
    }

    fn slot_of(&self, wish: Wish) -> Option<usize> {
        match wish {
            Wish::Create { slot, .. } | Wish::Delete { slot } => self.slots[slot % ROOMS],
            _ => None,
        }
    }

    fn session(&self, call: usize) -> Option<SessionId> {
        Some(SessionId::new(node_id(), self.call(call)?))
    }

    fn intent(&mut self, wish: Wish) -> Option<Intent> {
        let (app, command_uid) = (app(), None);
        Some(match wish {
            Wish::Create {
                slot,
                connect,
                acts,
            } => self.create(slot, connect, acts)?,
            Wish::Delete { slot } => Intent::DeleteRoom {
                room: self.room(slot)?,
                app,
            },
            Wish::Update { slot } => Intent::UpdateRoom {
                room: self.room(slot)?,
                app,
                update: Box::new(Update {
                    detail: Some(format!("at {}", self.shared.now())),
                    ..Update::default()
                }),
            },
            Wish::Join { call, slot, muted } => Intent::Join {
                session: self.session(call)?,
                room: self.room(slot)?,
                app,
                muted: Some(muted),
                command_uid,
            },
            Wish::Leave { call } => Intent::Leave {
                session: self.session(call)?,
                app,
                command_uid,
            },
            Wish::Kick { call } => {
                let session = self.session(call)?;
                let belief = &self.sides[self.owner()].replica.belief;
                let room = belief.session(session)?.place().room()?;
                let member = belief.room(room)?.members().get(&session)?.id;
                Intent::Kick {
                    session,
                    room,
                    member: Some(member),
                    app,
                    command_uid,
                }
            }
            Wish::Lock { slot, lock } => Intent::Lock {
                room: self.room(slot)?,
                app,
                lock,
                command_uid,
            },
            Wish::Mute { call, mute } => Intent::Mute {
                session: self.session(call)?,
                app,
                mute,
                command_uid,
            },
            Wish::Play { slot, files } => Intent::Play {
                room: self.room(slot)?,
                app,
                urls: (0..files)
                    .map(|_| {
                        self.urls += 1;
                        PlayUrl::new(&format!("http://files.example/{}.wav", self.urls)).unwrap()
                    })
                    .collect(),
                command_uid,
            },
            Wish::Pause { slot } => Intent::Pause {
                room: self.room(slot)?,
                app,
                command_uid,
            },
            Wish::Stop { slot } => Intent::Stop {
                room: self.room(slot)?,
                app,
                command_uid,
            },
            Wish::Record { slot } => Intent::record_start(self.room(slot)?, app, command_uid),
            Wish::RecordStop { slot } => Intent::record_stop(self.room(slot)?, app, command_uid),
            Wish::Answer { call } => Intent::Answer {
                session: self.session(call)?,
                app,
            },
            Wish::HangUp { call } => Intent::Hangup {
                session: self.session(call)?,
                app,
                cause: None,
            },
        })
    }

    /// A slot is free again when its room was deleted, as a name is.
    fn create(&mut self, slot: usize, connect: bool, acts: bool) -> Option<Intent> {
        let slot = slot % ROOMS;
        if let Some(at) = self.slots[slot]
            && self.rooms[at].made == Asked::Told
            && self.rooms[at].ended != Asked::Told
        {
            return None;
        }
        let id = RoomId::new(node_id(), Uuid::from_u128(1 + self.rooms.len() as u128));
        let kind = if connect {
            Kind::Connect
        } else {
            Kind::Conference
        };
        self.slots[slot] = Some(self.rooms.len());
        self.rooms.push(Room {
            id,
            made: Asked::No,
            ended: Asked::No,
            kind,
        });
        let actions = |text: &str| -> Vec<Action> { serde_json::from_str(text).unwrap() };
        let details = if acts {
            Details {
                pre_actions: actions(
                    r#"[{"type": "beep"}, {"type": "sleep", "option": {"duration": 500}}]"#,
                ),
                post_actions: actions(r#"[{"type": "sleep", "option": {"duration": 100}}]"#),
                ..Details::default()
            }
        } else {
            Details::default()
        };
        Some(Intent::CreateRoom {
            room: id,
            app: app(),
            name: format!("room-{slot}"),
            origin: Origin::Gateway,
            kind,
            details: Box::new(details),
        })
    }

    /// A call that is sent into a room is free: no order to park it, decided before, is still on its way, whoever is to
    /// give it. It would end the join. Of a call that somebody else has sent about or taken out, nobody can know that much: the
    /// orders that park the members of a room that ends have no name.
    fn is_ended_by_no_park(&mut self, who: usize, new: &[Order]) {
        let now = crate::replica::time(&self.shared);
        for order in new {
            if let Order::Park { session, .. } | Order::Break { session, .. } = order {
                self.told_to_park.insert(session.channel());
            }
        }
        let entering = |(_, order): &(u64, Order)| {
            if let Order::Enter { session, .. } = order {
                Some(*session)
            } else {
                None
            }
        };
        let parks = |(_, order): &(u64, Order), call: SessionId| {
            if let Order::Park {
                session, parking, ..
            }
            | Order::Break {
                session, parking, ..
            } = order
            {
                *session == call && now.since(parking.0) < Duration::from_secs(5)
            } else {
                false
            }
        };
        let (own, other) = (
            &self.sides[who].replica.orders,
            &self.sides[1 - who].replica.orders,
        );
        for at in own.len() - new.len()..own.len() {
            let Some(call) = entering(&own[at]) else {
                continue;
            };
            let here = self.node.calls.get(&call.channel());
            if here.is_none_or(|call| call.sent_about || call.taken_out) {
                continue;
            }
            let mut before = own.iter().take(at).chain(other);
            if let Some((_, order)) = before.find(|order| parks(order, call)) {
                let found = format!("{call} is sent into a room, and then: {order:?}");
                self.shared.broken.get_or_insert(found);
            }
        }
    }

    // ---- orders -----------------------------------------------------------------------------------------------

    /// One order of those that are on their way comes to the node, or to nothing. Those about one call or one room keep
    /// their order.
    fn carry(&mut self, who: usize, at: usize, fate: Fate) {
        // One without orders lets the other one have its turn.
        let idle = self.sides[who].replica.orders.is_empty();
        let who = if idle { 1 - who } else { who };
        let orders = &self.sides[who].replica.orders;
        if orders.is_empty() {
            return;
        }
        let about = subject(&orders[at % orders.len()].1);
        let first = orders
            .iter()
            .position(|(_, order)| subject(order) == about)
            .unwrap_or_default();
        if let Some((since, order)) = self.sides[who].replica.orders.remove(first) {
            self.carry_out(who, since, order, fate);
        }
    }

    fn carry_out(&mut self, who: usize, since: u64, order: Order, fate: Fate) {
        let now = self.shared.now();
        note!(
            self,
            "          {} has carried out, {fate:?}: {order:?}",
            name(who)
        );
        if !self.commands_up {
            self.shared.faults.fired(Fault::OrderDown);
            let retry_after = Duration::from_secs(1);
            let down = Err(CommandError::Down { retry_after });
            self.sides[who].answers.push_back((now, order, down));
            return;
        }
        match fate {
            Fate::Lost => {
                self.shared.faults.fired(Fault::OrderLost);
                return;
            }
            Fate::Refused => self.shared.faults.fired(Fault::OrderRefused),
            Fate::Unanswered => self.shared.faults.fired(Fault::OrderUnanswered),
            Fate::Well => {}
        }
        if now - since > 2_000 {
            self.shared.faults.fired(Fault::CarriedLate);
        }
        let answer = self.obey(&order, fate != Fate::Refused);
        self.flush();
        if fate != Fate::Unanswered {
            let answer = answer.map_err(|no| match no {
                No::SuchChannel => CommandError::NoSuchChannel,
                No::SuchMember | No::NothingPlaying => CommandError::Refused("no".to_owned()),
            });
            self.sides[who].answers.push_back((now, order, answer));
        }
    }

    fn obey(&mut self, order: &Order, willing: bool) -> Result<String, No> {
        let node = &mut self.node;
        if let Order::Play {
            room,
            command: PlayCommand::Start { file, .. },
        } = order
        {
            return node
                .play(*room, *file, willing)
                .map(|()| "(play)".to_owned());
        }
        if let Order::RecordStart {
            room, recording, ..
        } = order
        {
            return node
                .record(*room, *recording, willing)
                .map(|()| String::new());
        }
        if !willing {
            return Err(No::SuchMember);
        }
        let plan = || {
            let text = order_text(order, &settings());
            Plan::from_text(&text.unwrap_or_default())
        };
        match order {
            Order::Enter {
                session,
                room,
                kind,
                muted,
                ..
            } => node.send(
                session.channel(),
                Going::Into {
                    room: *room,
                    muted: *muted,
                    bound: *kind == Kind::Connect,
                    plan: plan(),
                },
            ),
            Order::Park {
                session, parking, ..
            }
            | Order::Break {
                session, parking, ..
            } => node.send(session.channel(), Going::Park(*parking, plan())),
            Order::Prepare { session } => node.prepare(session.channel()),
            Order::Mute {
                session,
                room,
                mute,
            } => node.mute(session.channel(), Some(*room), *mute),
            Order::Lock { room, lock } => node.lock(*room, *lock),
            Order::Describe { room, registration } => {
                node.describe(*room, meta::encode(registration))
            }
            Order::Play { room, command } => match command {
                PlayCommand::Start { .. } | PlayCommand::Volume { .. } => Ok(()),
                PlayCommand::Stop => node.stop(*room),
                PlayCommand::Toggle { .. } => {
                    return node.toggle(*room).map(str::to_owned);
                }
            },
            Order::RecordStart { .. } => Ok(()),
            Order::RecordStop {
                room, recording, ..
            } => node.record_stop(*room, *recording),
            Order::Step { session, id, .. } => node.begin_step(session.channel(), *id),
            Order::Answer { session } => node.answer(session.channel()),
            Order::Hangup { session, .. } => node.hang_up(session.channel()),
        }
        .map(|()| String::new())
    }

    /// An answer arrives.
    fn answered(&mut self, who: usize) {
        let Some((since, order, answer)) = self.sides[who].answers.pop_front() else {
            return;
        };
        if self.shared.now() - since > 2_000 {
            self.shared.faults.fired(Fault::AnsweredLate);
        }
        let told = matches!(
            order,
            Order::Play {
                command: PlayCommand::Start { .. } | PlayCommand::Toggle { .. },
                ..
            }
        );
        let item = match answer {
            Ok(text) if told => Item::Answered(order, text),
            Ok(_) => return,
            Err(error) => Item::Failed(order, error),
        };
        self.apply(who, &[item]);
    }

    // ---- a resync ---------------------------------------------------------------------------------------------

    /// One step of the resync that is under way, or the beginning of one.
    fn look(&mut self, who: usize, late: usize) {
        let side = &self.sides[who];
        if side.replica.lease.is_none() {
            return;
        }
        match side.resync.clone() {
            None => self.begin_resync(who),
            Some(resync) => self.go_on_resync(who, resync, late),
        }
    }

    fn begin_resync(&mut self, who: usize) {
        let replica = &mut self.sides[who].replica;
        if replica.stale || !self.sides[who].connected || !self.commands_up {
            return;
        }
        let replica = &mut self.sides[who].replica;
        replica.wants = None;
        let after_gap = std::mem::take(&mut replica.missed);
        let resync = self.fenced(
            who,
            Resync {
                token: 0,
                fence: 0,
                core: self.node.core_id(),
                after_gap,
                second: false,
                listed: Vec::new(),
                suspects: BTreeSet::new(),
                silent: BTreeSet::new(),
                phase: Phase::AwaitsFence,
            },
        );
        self.sides[who].resync = Some(resync);
    }

    fn raise_fence(&mut self, who: usize) -> (u64, u64, CoreId) {
        self.tokens += 1;
        let (token, fence, core) = (self.tokens, self.node.fence(), self.node.core_id());
        note!(self, "          fence #{fence}");
        let now = self.shared.now();
        let wire = &mut self.sides[who].wire;
        wire.push_back((now, Wire::Fence { token, core }));
        (token, fence, core)
    }

    fn fenced(&mut self, who: usize, resync: Resync) -> Resync {
        let (token, fence, core) = self.raise_fence(who);
        Resync {
            token,
            fence,
            core,
            phase: Phase::AwaitsFence,
            ..resync
        }
    }

    fn go_on_resync(&mut self, who: usize, mut resync: Resync, late: usize) {
        let changed = resync.core != self.node.core_id();
        let waits = matches!(
            resync.phase,
            Phase::AwaitsFence | Phase::Hears(_) | Phase::HearsOfThem { .. }
        );
        if !waits && (changed || !self.commands_up) {
            return self.look_fails(who);
        }
        let phase = std::mem::replace(&mut resync.phase, Phase::AwaitsFence);
        resync.phase = match phase {
            Phase::AwaitsFence => return,
            Phase::Lists => {
                if late > 0 {
                    self.shared.faults.fired(Fault::ListLate);
                }
                resync.listed = self.node.list(late);
                let items = [Item::Listed(resync.listed.clone())];
                if !resync.second && self.apply(who, &items).is_none() {
                    return self.resync_failed(who);
                }
                Phase::Takes
            }
            Phase::Takes if resync.second && std::mem::take(&mut self.second_look_fails) => {
                return self.look_fails(who);
            }
            Phase::Takes => {
                if self.node.lists_two_lives() {
                    self.shared.faults.fired(Fault::TwoLives);
                }
                if !self.sides[who].wire.is_empty() {
                    self.shared.faults.fired(Fault::InFlight);
                }
                let snapshot = self.node.snapshot(resync.fence);
                let (token, now, _) = self.raise_fence(who);
                if now > resync.fence + 1 {
                    self.shared.faults.fired(Fault::Outrun);
                }
                resync.token = token;
                Phase::Hears(snapshot)
            }
            Phase::Hears(snapshot) => Phase::Hears(snapshot),
            Phase::Merges(snapshot) => {
                if self.straggles(who, resync.fence) {
                    self.shared.faults.fired(Fault::Straggles);
                }
                note!(self, "          merging {snapshot:?}");
                let confirmed = std::mem::take(&mut resync.suspects);
                let items = [Item::Snapshot(snapshot, confirmed)];
                let Some(applied) = self.apply(who, &items) else {
                    return self.resync_failed(who);
                };
                resync.suspects = applied.suspects;
                Phase::AsksForChannels
            }
            Phase::AsksForChannels => {
                let belief = &mut self.sides[who].replica.belief;
                let wanted = belief.wants_dump(&resync.listed);
                let known = resync.listed.iter().map(|l| l.channel).collect();
                let missing = belief.missing_from(&known);
                belief.keep_identities(&known);
                let dumps = wanted
                    .into_iter()
                    .filter_map(|channel| self.node.dump(channel))
                    .collect();
                let gone = missing
                    .into_iter()
                    .filter(|channel| !self.node.exists(*channel))
                    .collect();
                (resync.token, _, _) = self.raise_fence(who);
                Phase::HearsOfThem { dumps, gone }
            }
            Phase::HearsOfThem { dumps, gone } => Phase::HearsOfThem { dumps, gone },
            Phase::TakesIn { dumps, gone } => {
                note!(self, "          dumps {dumps:?}, gone {gone:?}");
                let vanished = Item::Vanished {
                    channels: gone,
                    core: resync.core,
                    fence: resync.fence,
                };
                if self.apply(who, &[Item::Dumps(dumps), vanished]).is_none() {
                    return self.resync_failed(who);
                }
                Phase::AsksWhatPlays
            }
            Phase::AsksWhatPlays => {
                let silent: Vec<RoomId> = self.sides[who]
                    .replica
                    .belief
                    .playing_rooms()
                    .into_iter()
                    .filter(|room| self.node.is_silent(*room))
                    .collect();
                let confirmed = std::mem::take(&mut resync.silent);
                let items = [Item::Silent(silent, confirmed)];
                let Some(applied) = self.apply(who, &items) else {
                    return self.resync_failed(who);
                };
                resync.silent = applied.silent;
                Phase::AsksForMarks
            }
            Phase::AsksForMarks => {
                if resync.second {
                    return self.resynced(who, &resync);
                }
                let marks: Vec<(ChannelId, StepId, Option<Mark>)> = self.sides[who]
                    .replica
                    .belief
                    .acting()
                    .into_iter()
                    .filter_map(|(channel, step)| {
                        Some((channel, step, self.node.mark(channel)?.parse().ok()))
                    })
                    .collect();
                if !marks.is_empty() && self.apply(who, &[Item::Marked(marks)]).is_none() {
                    return self.resync_failed(who);
                }
                if resync.suspects.is_empty() && resync.silent.is_empty() {
                    return self.resynced(who, &resync);
                }
                self.shared.faults.fired(Fault::SecondLook);
                resync.second = true;
                let again = self.fenced(who, resync);
                self.sides[who].resync = Some(again);
                return;
            }
        };
        self.sides[who].resync = Some(resync);
    }

    /// Whether something from before this fence has not been heard yet.
    fn straggles(&self, who: usize, fence: u64) -> bool {
        let core = self.node.core_id();
        self.sides[who].behind.iter().any(|(_, what)| match what {
            Wire::News(news) => news.core == core && news.sequence < fence,
            Wire::Fence { .. } => false,
        })
    }

    fn resynced(&mut self, who: usize, resync: &Resync) {
        let side = &mut self.sides[who];
        side.resync = None;
        if resync.after_gap && side.replica.wants.is_none() {
            side.replica.wants = Some("the list of calls is written late");
        }
    }

    /// FreeSWITCH does not answer, or what it answers is cut short: nothing is concluded from it.
    fn look_fails(&mut self, who: usize) {
        if let Some(resync) = &self.sides[who].resync {
            self.shared.faults.fired(if resync.second {
                Fault::SecondLookFailed
            } else {
                Fault::SnapshotFailed
            });
            self.resync_failed(who);
        }
    }

    fn resync_failed(&mut self, who: usize) {
        let side = &mut self.sides[who];
        if let Some(resync) = side.resync.take() {
            side.replica.missed |= resync.after_gap;
            side.replica.wants = Some("the last one failed");
        }
    }

    // ---- replicas and time ------------------------------------------------------------------------------------

    fn crash(&mut self, who: usize) {
        if who == self.owner() && self.sides[who].replica.lease.is_some() {
            self.shared.faults.fired(Fault::Crash);
            if !self.sides[who].replica.orders.is_empty() {
                self.shared.faults.fired(Fault::CrashWithOrders);
            }
        }
        self.runs += 1;
        self.sides[who] = Side {
            replica: Replica::start(self.runs),
            wire: VecDeque::new(),
            behind: VecDeque::new(),
            connected: false,
            hangs: false,
            resync: None,
            answers: VecDeque::new(),
        };
    }

    fn keep(&mut self, who: usize) {
        let side = &mut self.sides[who];
        if side.hangs {
            return;
        }
        let had = side.replica.lease;
        if side.replica.keep(&mut self.shared) {
            note!(self, "          {} has the node", name(who));
            let side = &mut self.sides[who];
            if !side.connected {
                side.connected = true;
                side.wire.clear();
                side.behind.clear();
            }
            side.resync = None;
            if had.is_none() && self.runs > 2 || who == 1 {
                self.shared.faults.fired(Fault::Takeover);
            }
        } else if had.is_some() && self.sides[who].replica.lease.is_none() {
            let side = &mut self.sides[who];
            side.connected = false;
            side.wire.clear();
            side.behind.clear();
            side.resync = None;
        }
        self.sides[who].replica.read_again(&mut self.shared);
    }

    fn pass(&mut self, ms: u64) {
        let mut left = ms;
        while left > 0 {
            let some = left.min(KEEP_ROUND);
            left -= some;
            self.shared.pass(some);
            self.what_is_late_arrives();
            for who in 0..2 {
                self.keep(who);
                self.deadlines(who);
            }
        }
    }

    /// No queue between FreeSWITCH and a replica holds anything for as long as ends of calls are remembered.
    fn what_is_late_arrives(&mut self) {
        let Some(old) = self.shared.now().checked_sub(ON_ITS_WAY) else {
            return;
        };
        for who in 0..2 {
            while let Some((since, order)) = self.sides[who]
                .replica
                .orders
                .pop_front_if(|(since, _)| *since < old)
            {
                self.carry_out(who, since, order, Fate::Well);
            }
        }
        for channel in self.node.calls.keys().copied().collect::<Vec<_>>() {
            self.node.go_on(channel);
        }
        self.flush();
        for who in 0..2 {
            while self.sides[who].answers.front().is_some_and(|a| a.0 < old) {
                self.answered(who);
            }
            if self.sides[who].behind.front().is_some_and(|b| b.0 < old) {
                self.arrive(who);
            }
            let wire = &self.sides[who].wire;
            let events = wire.iter().filter(|(since, _)| *since < old).count();
            self.hear(who, events);
        }
    }

    fn deadlines(&mut self, who: usize) {
        let due = self.sides[who].replica.due(&mut self.shared);
        if due.is_empty() {
            return;
        }
        self.shared
            .faults
            .fired_times(Fault::DeadlinePassed, due.len());
        let items: Vec<Item> = due.into_iter().map(Item::Due).collect();
        self.apply(who, &items);
    }

    // ---- quiet ------------------------------------------------------------------------------------------------

    /// Nothing fails any more, what is on its way arrives, what was waited for in vain is given up; then a resync, and
    /// another one if the first one or what was heard since asks for it.
    fn comes_to_rest(&mut self) -> Checked {
        self.shared.outage = None;
        self.commands_up = true;
        self.second_look_fails = false;
        for side in &mut self.sides {
            side.hangs = false;
        }
        self.pass(2 * KEEP_ROUND);
        self.pass(KEEP_ROUND * 4);
        let owner = self.owner();
        self.settles(owner)?;
        if self.mood == Mood::Calm || self.mood == Mood::Shuffled {
            self.agrees()
                .map_err(|e| format!("from events alone: {e}"))?;
        }
        self.looked = true;
        self.resync_failed(owner);
        self.whole_resync(owner)?;
        self.settles(owner)?;
        if self.sides[owner].replica.wants.is_some() {
            note!(self, "-- once more: {:?}", self.sides[owner].replica.wants);
            self.whole_resync(owner)?;
            self.settles(owner)?;
        }
        self.is_sound()
    }

    /// Until nothing is on its way and nobody waits for anything.
    fn settles(&mut self, owner: usize) -> Checked {
        for _ in 0..200 {
            self.shared.pass(1);
            let mut busy = self.node.tell_ends();
            for channel in self.node.calls.keys().copied().collect::<Vec<_>>() {
                busy |= self.node.end_step(channel, true);
                busy |= self.node.go_on(channel);
            }
            self.flush();
            for who in 0..2 {
                self.arrive(who);
                busy |= !self.sides[who].wire.is_empty();
                self.hear(who, usize::MAX);
                while let Some((since, order)) = self.sides[who].replica.orders.pop_front() {
                    busy = true;
                    self.carry_out(who, since, order, Fate::Well);
                }
                while !self.sides[who].answers.is_empty() {
                    busy = true;
                    self.answered(who);
                }
            }
            if busy {
                continue;
            }
            // Rooms that play only wait for their files; whoever waits for FreeSWITCH waits in vain.
            let Some(wait) = self.sides[owner].replica.next_deadline(&self.shared) else {
                return Ok(());
            };
            self.pass(wait.as_millis() as u64 + 1);
        }
        Err("it does not come to rest".to_owned())
    }

    fn whole_resync(&mut self, who: usize) -> Checked {
        for _ in 0..64 {
            self.look(who, 0);
            self.hear(who, usize::MAX);
            if self.sides[who].resync.is_none() {
                return Ok(());
            }
        }
        Err("a resync does not end".to_owned())
    }

    // ---- what must hold then ----------------------------------------------------------------------------------

    /// A replica that takes over now finds all as it is, and has nothing to tell.
    fn hands_over(&mut self) -> Checked {
        let told = self.told_so_far()?;
        note!(self, "-- handed over");
        let faults = self.shared.faults.clone();
        let owner = self.owner();
        self.crash(owner);
        self.pass(4 * KEEP_ROUND);
        self.shared.faults = faults;
        let owner = self.owner();
        self.whole_resync(owner)?;
        self.settles(owner)?;
        self.whole_resync(owner)?;
        self.settles(owner)?;
        self.agrees()
            .map_err(|e| format!("after a handover: {e}"))?;
        let again = self.told_so_far()?;
        if told.len() != again.len() {
            let first = &again[told.len()];
            return Err(format!("I3: a handover alone has told of {}", first.body));
        }
        Ok(())
    }

    fn told_so_far(&self) -> Result<Vec<roomkeeper::store::Message>, String> {
        let read = self.shared.store.read_outbox(node_id(), usize::MAX);
        let batch = Shared::at_once(read).map_err(|e| e.to_string())?;
        Ok(batch.messages)
    }

    /// I1: what is believed is what is. I2: what callers were told stands. I3, I4: what apps were told is that, too.
    fn agrees(&mut self) -> Checked {
        let mut told = Told::default();
        for message in self.told_so_far()? {
            told.read(&message, self.revives)?;
        }
        self.agrees_on_rooms(&told)?;
        self.agrees_on_calls(&told)?;
        self.keeps_its_word(&told)?;
        if self.mood == Mood::Calm || self.mood == Mood::Shuffled {
            self.told_each_time(&told)?;
            self.repeated_each_join(&told)?;
        }
        Ok(())
    }

    fn agrees_on_rooms(&self, told: &Told) -> Checked {
        let belief = &self.sides[self.owner()].replica.belief;
        for room in belief.rooms() {
            room.check_invariants();
        }
        let mut inside = BTreeMap::new();
        for Room { id, .. } in &self.rooms {
            let truth = self.node.conferences.get(id);
            // One that is over is nobody's when it is entered once more.
            let stored = self
                .shared
                .room(*id)
                .filter(|r| r.status() != RoomStatus::Terminated);
            let room = stored.as_ref().or_else(|| belief.room(*id));
            let believed: BTreeMap<ChannelId, (bool, bool)> = room
                .into_iter()
                .flat_map(|r| r.members())
                .map(|(who, m)| (who.channel(), (m.flags.hold, m.flags.speak || m.flags.hold)))
                .collect();
            let is: BTreeMap<ChannelId, (bool, bool)> = self
                .node
                .members(*id)
                .into_iter()
                .map(|channel| {
                    let call = &self.node.calls[&channel];
                    (channel, (call.held, call.speaks || call.held))
                })
                .collect();
            same("I1: who is in it (on hold, may speak)", id, &believed, &is)?;
            let lives = room.map(|r| r.lives().iter().map(|l| l.id).collect::<Vec<_>>());
            let life: Vec<_> = truth.map(|t| t.life).into_iter().collect();
            same("I1: its conference", id, &lives.unwrap_or_default(), &life)?;
            let facts = belief.room(*id).map(|r| (r.lock().locked(), r.floor()));
            let facts = facts.unwrap_or_default();
            // FreeSWITCH forgets the lock of a room that nobody is in any more; the room does not.
            let facts_are = truth.map_or((facts.0, None), |t| (t.locked, t.floor));
            // A lock that is told of before its conference is left to the next snapshot.
            if self.looked || self.mood == Mood::Calm {
                same("I1: locked, who has the floor", id, &facts, &facts_are)?;
            }
            let Some(room) = stored else {
                continue;
            };
            let known = told.locked.contains(&id.to_string());
            same(
                "I3: whether it was told to be locked",
                id,
                &known,
                &room.lock().locked(),
            )?;
            self.agrees_on_files(&room, told)?;
            for (who, member) in room.members() {
                if member.stay.is_some() {
                    let stay = (member.id.to_string(), !member.flags.speak);
                    inside.insert((id.to_string(), who.to_string()), stay);
                }
            }
        }
        same(
            "I3: who was told to be in a room",
            &"all",
            &told.inside,
            &inside,
        )
    }

    /// What plays is not in any list, so it is healed when all is silent; a recording of ours that FreeSWITCH goes on with
    /// after its end was lost is nobody's.
    fn agrees_on_files(&self, room: &RoomState, told: &Told) -> Checked {
        let id = room.id();
        let truth = self.node.conferences.get(&id);
        let playing = room.playback().at_freeswitch();
        if truth.is_none_or(|t| t.playing.is_empty()) && !playing.is_empty() {
            return Err(format!(
                "I1: {id} is silent, and {playing:?} is believed to play"
            ));
        }
        let recording = room.recording().filter(|r| r.started_at.is_some());
        let runs = |r| truth.is_some_and(|t| t.recordings.contains(&r));
        if let Some(recording) = recording
            && !runs(recording.id)
        {
            return Err(format!(
                "I1: {id} is believed to be recorded: {recording:?}"
            ));
        }
        let known = told.recordings.get(&id.to_string());
        same(
            "I3: the recording that was told to run",
            &id,
            &known.cloned(),
            &recording.map(|r| r.id.to_string()),
        )?;
        let asked: BTreeSet<String> = room
            .playback()
            .operations()
            .iter()
            .map(|op| op.id.to_string())
            .collect();
        let told: BTreeSet<String> = told
            .plays
            .iter()
            .filter(|(_, room)| **room == id.to_string())
            .map(|(op, _)| op.clone())
            .collect();
        same("I3: what was told to play", &id, &told, &asked)
    }

    fn agrees_on_calls(&self, told: &Told) -> Checked {
        let belief = &self.sides[self.owner()].replica.belief;
        // Whether its order was carried out before somebody else sent the call about, only a look says; one is asked for.
        let doubted: BTreeSet<ChannelId> = belief
            .sessions()
            .filter(|s| !self.looked && s.place() == &roomkeeper::session::Place::Leaving(None))
            .map(|s| s.id().channel())
            .filter(|c| self.told_to_park.contains(c))
            .filter(|c| self.node.calls.get(c).is_some_and(|call| call.sent_about))
            .collect();
        let believed: BTreeMap<ChannelId, (String, bool)> = belief
            .sessions()
            .filter(|s| !doubted.contains(&s.id().channel()))
            .map(|s| {
                let place = match s.place() {
                    roomkeeper::session::Place::Ringing => "Parked".to_owned(),
                    roomkeeper::session::Place::InRoom(room) => format!("{:?}", Place::In(*room)),
                    other => format!("{other:?}"),
                };
                (s.id().channel(), (place, s.answered_at().is_some()))
            })
            .collect();
        let in_a_room = |place| match place {
            Place::In(room) => belief
                .room(room)
                .is_some_and(|r| r.registration().is_some()),
            Place::Parked | Place::Between => false,
        };
        let is: BTreeMap<ChannelId, (String, bool)> = self
            .node
            .calls
            .iter()
            // Whose a call is, the dialplan says, or a room of ours that it is in. The dialplan is asked about who is parked.
            .filter(|(channel, call)| {
                let parked = call.place == Place::Parked;
                let known = believed.contains_key(channel) || (call.ours && parked);
                !doubted.contains(channel) && (known || in_a_room(call.place))
            })
            .map(|(channel, call)| (*channel, (format!("{:?}", call.place), call.answered)))
            .collect();
        same("I1: the calls: where, answered", &"all", &believed, &is)?;
        let told: BTreeSet<String> = told.calls.keys().cloned().collect();
        let known: BTreeSet<String> = belief.sessions().map(|s| s.id().to_string()).collect();
        same(
            "I3: the calls that were told to live",
            &"all",
            &told,
            &known,
        )
    }

    /// I2.
    fn keeps_its_word(&self, told: &Told) -> Checked {
        let belief = &self.sides[self.owner()].replica.belief;
        for room in &self.rooms {
            let stored = self.shared.room(room.id);
            let open = stored.as_ref().is_some_and(|r| r.is_open());
            let believed = belief.room(room.id).map(|r| r.status());
            if believed == Some(RoomStatus::Starting) {
                return Err(format!("a snapshot has not placed {}", room.id));
            }
            let story = told.rooms.get(&room.id.to_string()).copied();
            same(
                "I3: whether it was told to live",
                &room.id,
                &(story == Some(true)),
                &open,
            )?;
            let what = match (room.made, room.ended) {
                (Asked::Told, Asked::No) if room.kind == Kind::Conference => {
                    (!open).then_some("I2: it was made, and is not there")
                }
                (_, Asked::Told) => {
                    (story != Some(false)).then_some("I2: it was deleted, and lives")
                }
                (Asked::Told, _) => story
                    .is_none()
                    .then_some("I2: it was made, and nobody was told"),
                (Asked::No, _) => story.map(|_| "it was refused, and is there"),
                (Asked::Unknown, _) => None,
            };
            if let Some(what) = what {
                return Err(format!("{what}: {room:?}, {stored:?}"));
            }
        }
        Ok(())
    }

    /// When nothing else goes wrong, a join that a conference's end interrupts is repeated: FreeSWITCH refuses one only
    /// when it was interrupted twice.
    fn repeated_each_join(&self, told: &Told) -> Checked {
        for ((room, channel), interrupted) in &self.node.interrupted {
            let session = SessionId::new(node_id(), *channel);
            let key = (room.to_string(), session.to_string());
            let refused = told.refused.get(&key).copied().unwrap_or_default();
            if self.mood == Mood::Calm && 2 * refused > *interrupted {
                return Err(format!(
                    "{session} was refused {refused} times by {room}, and interrupted {interrupted} times"
                ));
            }
        }
        Ok(())
    }

    /// When nothing goes wrong, each time that a call comes into a room is told; and never one that was not.
    fn told_each_time(&self, told: &Told) -> Checked {
        for ((room, channel), times) in &self.node.came_in {
            let lives = self
                .rooms
                .iter()
                .any(|r| r.id == *room && r.ended == Asked::No && r.kind == Kind::Conference);
            if lives {
                let session = SessionId::new(node_id(), *channel);
                let key = (room.to_string(), session.to_string());
                let (told, heard) = told.came_in.get(&key).copied().unwrap_or_default();
                // Out of order, the end of a stay may be all that is heard of it, and what shows one may be of another.
                // Who was put out at once has come in, too, for one who does not wait for that call any more.
                let most = times + self.node.interrupted.get(&(*room, *channel)).unwrap_or(&0);
                let right = if self.mood == Mood::Calm {
                    (*times..=most).contains(&told)
                } else {
                    heard <= most
                };
                if !right {
                    return Err(format!(
                        "I3: {session} came into {room} {times} times, and was told to have {told} times"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    of: &dyn std::fmt::Display,
    believed: &T,
    is: &T,
) -> Checked {
    if believed == is {
        Ok(())
    } else {
        Err(format!("{what}: of {of}: {believed:?}, but {is:?}"))
    }
}

const fn name(who: usize) -> &'static str {
    if who == 0 { "A" } else { "B" }
}

/// With what orders become commands.
fn settings() -> OrderSettings {
    OrderSettings {
        profile: ProfileName::new("roomkeeper").unwrap(),
        connect_profile: ProfileName::new("roomkeeper-connect").unwrap(),
        speech_engine: Voice::new("flite").unwrap(),
        speech_voice: Voice::new("kal").unwrap(),
        links: None,
        park_timeout: Duration::from_secs(3_600),
    }
}

/// What an order is about: those about the same keep their order on their way.
fn subject(order: &Order) -> String {
    match order {
        Order::Enter { session, .. }
        | Order::Park { session, .. }
        | Order::Mute { session, .. }
        | Order::Step { session, .. }
        | Order::Break { session, .. }
        | Order::Prepare { session }
        | Order::Answer { session }
        | Order::Hangup { session, .. } => session.to_string(),
        Order::Describe { room, .. } => format!("what {room} is"),
        Order::Lock { room, .. } => format!("the lock of {room}"),
        Order::Play { room, .. } => format!("what plays in {room}"),
        Order::RecordStart { room, .. } | Order::RecordStop { room, .. } => {
            format!("the recording of {room}")
        }
    }
}
